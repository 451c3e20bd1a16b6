//! Two zones, each with a private and a public subnet and a NAT gateway of its own.

use super::{VPC, texts};
use crate::readiness::fact::Snapshot;
use crate::readiness::fact::network::{
    Endpoint, Hop, Ingress, Nat, Route, SecurityGroup, Source, Subnet, Vpc,
};
use crate::readiness::known::Known;

/// The subnets of the tasks.
pub(super) const PRIVATE: [&str; 2] = ["subnet-0a", "subnet-0b"];
/// The security group of the load balancer.
pub(super) const BALANCERS: &str = "sg-balancer";
/// The security group of the backend's tasks, and of the worker's.
pub(super) const BACKEND: &str = "sg-backend";
/// The security group of the frontend's tasks.
pub(super) const FRONTEND: &str = "sg-frontend";
/// The security group of the database.
pub(super) const DATABASE: &str = "sg-database";
/// The security group of the cache.
pub(super) const CACHE: &str = "sg-cache";

pub(super) fn put(facts: &mut Snapshot) {
    let zones = ["eu-central-1a", "eu-central-1b"];
    for ((subnet, zone), nat) in PRIVATE.iter().zip(zones).zip(["nat-0a", "nat-0b"]) {
        let routes = vec![
            route("10.0.0.0/16", Hop::Local),
            route("0.0.0.0/0", Hop::Nat(nat.to_owned())),
            route("pl-6ea54007", Hop::Endpoint("vpce-s3".to_owned())),
        ];
        let value = Subnet {
            vpc: VPC.to_owned(),
            zone: zone.to_owned(),
            routes: Known::Seen(routes),
        };
        facts.subnets.seen(*subnet, value);
    }
    let nat = |id: &str, zone: &str| Nat {
        id: id.to_owned(),
        zone: Some(zone.to_owned()),
        available: true,
    };
    let vpc = Vpc {
        is_default: false,
        endpoints: Known::Seen(endpoints()),
        nats: Known::Seen(vec![
            nat("nat-0a", "eu-central-1a"),
            nat("nat-0b", "eu-central-1b"),
        ]),
    };
    facts.vpcs.seen(VPC, vpc);
    groups(facts);
}

fn route(destination: &str, by: Hop) -> Route {
    Route {
        destination: destination.to_owned(),
        by,
        active: true,
    }
}

fn endpoints() -> Vec<Endpoint> {
    let interface = |service: &str| Endpoint {
        id: format!("vpce-{}", service.replace('.', "-")),
        service: service.to_owned(),
        gateway: false,
        available: true,
        private_dns: true,
        subnets: texts(&PRIVATE),
    };
    let mut all: Vec<Endpoint> = ["ecr.api", "ecr.dkr", "logs", "secretsmanager"]
        .map(interface)
        .into();
    all.push(Endpoint {
        id: "vpce-s3".to_owned(),
        service: "s3".to_owned(),
        gateway: true,
        available: true,
        private_dns: true,
        subnets: Vec::new(),
    });
    all
}

fn groups(facts: &mut Snapshot) {
    let anywhere = || Source::Cidr("0.0.0.0/0".to_owned());
    let from = |group: &str| Source::Group(group.to_owned());
    let mut put = |id: &str, lets_in: Vec<(u16, Source)>| {
        let group = SecurityGroup {
            name: id.trim_start_matches("sg-").to_owned(),
            vpc: VPC.to_owned(),
            ingress: lets_in
                .into_iter()
                .map(|(port, source)| Ingress::tcp(port, source))
                .collect(),
        };
        facts.security_groups.seen(id, group);
    };
    put(BALANCERS, vec![(80, anywhere()), (443, anywhere())]);
    put(BACKEND, vec![(8787, from(BALANCERS))]);
    put(FRONTEND, vec![(80, from(BALANCERS))]);
    put(DATABASE, vec![(5432, from(BACKEND))]);
    put(CACHE, vec![(6379, from(BACKEND))]);
}
