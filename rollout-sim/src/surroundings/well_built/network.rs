//! A VPC: in each zone a private subnet with its own way out, and security groups that let in only who must come in.

use rollout_core::readiness::fact::network::{
    Endpoint, Hop, Ingress, Nat, Route, SecurityGroup, Source, Subnet, Vpc,
};
use rollout_core::readiness::known::Known;

use super::Site;

const S3: &str = "vpce-s3";

impl Site<'_> {
    pub(super) fn network(&mut self) {
        let vpc = self.vpc();
        let subnets = self.subnets();
        let mut nats = Vec::new();
        for (id, zone) in subnets.iter().zip(self.zones()) {
            let nat = self.id("nat", &zone);
            let routes = vec![
                route("10.0.0.0/16", Hop::Local),
                route("0.0.0.0/0", Hop::Nat(nat.clone())),
                route("pl-6ea54007", Hop::Endpoint(self.id(S3, ""))),
            ];
            let subnet = Subnet {
                vpc: vpc.clone(),
                zone: zone.clone(),
                routes: Known::Seen(routes),
            };
            self.facts.subnets.seen(id, subnet);
            nats.push(Nat {
                id: nat,
                zone: Some(zone),
                available: true,
            });
        }
        let interface = |service: &str| Endpoint {
            id: self.id("vpce", service),
            service: service.to_owned(),
            gateway: false,
            available: true,
            private_dns: true,
            subnets: subnets.clone(),
        };
        let mut endpoints: Vec<_> = ["ecr.api", "ecr.dkr", "logs", "secretsmanager", "ssm"]
            .map(interface)
            .into();
        endpoints.push(Endpoint {
            id: self.id(S3, ""),
            service: "s3".to_owned(),
            gateway: true,
            available: true,
            private_dns: true,
            subnets: Vec::new(),
        });
        let value = Vpc {
            is_default: false,
            endpoints: Known::Seen(endpoints),
            nats: Known::Seen(nats),
        };
        self.facts.vpcs.seen(vpc, value);
        self.groups();
    }

    fn vpc(&self) -> String {
        self.id("vpc", "")
    }

    /// The private subnets, one for each zone.
    pub(super) fn subnets(&self) -> Vec<String> {
        self.zones().iter().map(|zone| self.id("subnet", zone)).collect()
    }

    /// The security group of something, such as of the load balancers or of a service.
    pub(super) fn security_group(&self, of: &str) -> String {
        self.id("sg", of)
    }

    fn groups(&mut self) {
        let anywhere = || Source::Cidr("0.0.0.0/0".to_owned());
        let balancers = Source::Group(self.security_group("balancers"));
        self.group("balancers", vec![(80, anywhere()), (443, anywhere())]);
        let mut tasks = Vec::new();
        for service in &self.intent.services {
            let name = service.name.as_str();
            let comes_in = service.port.map(|port| (port, balancers.clone()));
            self.group(name, comes_in.into_iter().collect());
            tasks.push(Source::Group(self.security_group(name)));
        }
        let from_tasks = |port: u16| tasks.iter().map(|from| (port, from.clone())).collect::<Vec<_>>();
        self.group("databases", from_tasks(5_432));
        self.group("caches", from_tasks(6_379));
    }

    fn group(&mut self, of: &str, lets_in: Vec<(u16, Source)>) {
        let group = SecurityGroup {
            name: format!("{}-{of}", self.prefix()),
            vpc: self.vpc(),
            ingress: lets_in
                .into_iter()
                .map(|(port, source)| Ingress::tcp(port, source))
                .collect(),
        };
        self.facts.security_groups.seen(self.security_group(of), group);
    }
}

fn route(destination: &str, by: Hop) -> Route {
    Route {
        destination: destination.to_owned(),
        by,
        active: true,
    }
}
