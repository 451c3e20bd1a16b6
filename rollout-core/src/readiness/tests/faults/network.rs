//! Subnets, routes, endpoints, security groups.

use super::{Fault, fault};
use crate::readiness::example::{BALANCER, VPC};
use crate::readiness::fact::Snapshot;
use crate::readiness::fact::network::{Hop, Ingress, Route, Source, Vpc};
use crate::readiness::known::Known;

/// Changes the routes of a subnet.
fn routes(facts: &mut Snapshot, subnet: &str, change: impl FnOnce(&mut Vec<Route>)) {
    if let Known::Seen(routes) = &mut facts.subnets.seen_mut(subnet).expect("the shop has it").routes {
        change(routes);
    }
}

fn is_default(route: &Route) -> bool {
    route.destination == "0.0.0.0/0"
}

/// Leads the default route of a subnet by something else.
fn default_by(facts: &mut Snapshot, subnet: &str, by: Hop) {
    routes(facts, subnet, |routes| {
        for route in routes.iter_mut().filter(|route| is_default(route)) {
            route.by = by.clone();
        }
    });
}

fn vpc(facts: &mut Snapshot) -> &mut Vpc {
    facts.vpcs.seen_mut(VPC).expect("the shop has one")
}

/// Takes the default route of a subnet away.
fn shut(facts: &mut Snapshot, subnet: &str) {
    routes(facts, subnet, |routes| routes.retain(|route| !is_default(route)));
}

fn ingress<'a>(facts: &'a mut Snapshot, group: &str) -> &'a mut Vec<Ingress> {
    &mut facts
        .security_groups
        .seen_mut(group)
        .expect("the shop has it")
        .ingress
}

fn anywhere() -> Source {
    Source::Cidr("0.0.0.0/0".to_owned())
}

pub(super) fn faults() -> Vec<Fault> {
    let mut all = subnets();
    all.extend(ways_out());
    all.extend(groups());
    all
}

fn subnets() -> Vec<Fault> {
    vec![
        fault("ec2_task_subnet_public", "one is public", |facts, _| {
            default_by(facts, "subnet-0b", Hop::InternetGateway("igw-0a".to_owned()));
        }),
        fault("ecs_service_public_ip", "tasks get addresses", |facts, _| {
            let service = facts.services.seen_mut("backend");
            service.expect("the shop has it").public_ip = true;
        }),
        fault("ec2_task_zones_few", "both subnets in one zone", |facts, _| {
            facts.subnets.seen_mut("subnet-0b").expect("the shop has it").zone = "eu-central-1a".to_owned();
            default_by(facts, "subnet-0b", Hop::Nat("nat-0a".to_owned()));
        }),
        fault("ec2_task_zones_few", "a single subnet", |facts, _| {
            let service = facts.services.seen_mut("worker");
            service.expect("the shop has it").subnets.truncate(1);
        }),
        fault("ec2_task_vpc_default", "it is the default one", |facts, _| {
            vpc(facts).is_default = true;
        }),
    ]
}

fn ways_out() -> Vec<Fault> {
    vec![
        fault(
            "ec2_task_egress_missing",
            "no NAT, no endpoint for logs",
            |facts, _| {
                shut(facts, "subnet-0a");
                if let Known::Seen(endpoints) = &mut vpc(facts).endpoints {
                    endpoints.retain(|endpoint| endpoint.service != "logs");
                }
            },
        ),
        fault("ec2_task_egress_missing", "no NAT, no route to S3", |facts, _| {
            shut(facts, "subnet-0b");
            routes(facts, "subnet-0b", |routes| {
                routes.retain(|route| !matches!(route.by, Hop::Endpoint(_)));
            });
        }),
        fault(
            "ec2_task_egress_missing",
            "no NAT, names lead elsewhere",
            |facts, _| {
                shut(facts, "subnet-0a");
                if let Known::Seen(endpoints) = &mut vpc(facts).endpoints {
                    for endpoint in endpoints.iter_mut().filter(|one| one.service == "ecr.dkr") {
                        endpoint.private_dns = false;
                    }
                }
            },
        ),
        fault("ec2_task_route_dead", "a black hole", |facts, _| {
            routes(facts, "subnet-0a", |routes| {
                for route in routes.iter_mut().filter(|route| is_default(route)) {
                    route.active = false;
                }
            });
        }),
        fault("ec2_task_route_dead", "the NAT gateway failed", |facts, _| {
            if let Known::Seen(nats) = &mut vpc(facts).nats {
                nats.iter_mut().for_each(|nat| nat.available = false);
            }
        }),
        fault("ec2_nat_zone_shared", "one NAT gateway for both", |facts, _| {
            default_by(facts, "subnet-0b", Hop::Nat("nat-0a".to_owned()));
        }),
    ]
}

fn groups() -> Vec<Fault> {
    vec![
        fault("ec2_default_group_used", "tasks are in it", |facts, _| {
            facts
                .security_groups
                .seen_mut("sg-frontend")
                .expect("the shop has it")
                .name = "default".to_owned();
        }),
        fault("ec2_default_group_used", "the cache is in it", |facts, _| {
            facts
                .security_groups
                .seen_mut("sg-cache")
                .expect("the shop has it")
                .name = "default".to_owned();
        }),
        fault("ec2_balancer_group_wide", "SSH is open", |facts, _| {
            ingress(facts, "sg-balancer").push(Ingress::tcp(22, anywhere()));
        }),
        fault("ec2_balancer_group_wide", "everything is open", |facts, _| {
            let everything = Ingress {
                protocol: "-1".to_owned(),
                ..Ingress::tcp(0, Source::Cidr("::/0".to_owned()))
            };
            ingress(facts, "sg-balancer").push(everything);
        }),
        fault("ec2_balancer_group_closed", "443 is closed", |facts, _| {
            ingress(facts, "sg-balancer").retain(|one| one.from != 443);
        }),
        fault(
            "ec2_balancer_group_closed",
            "80 is for one address",
            |facts, _| {
                for one in ingress(facts, "sg-balancer")
                    .iter_mut()
                    .filter(|one| one.from == 80)
                {
                    one.source = Source::Cidr("198.51.100.7/32".to_owned());
                }
            },
        ),
        fault("ec2_task_group_wide", "the whole VPC comes in", |facts, _| {
            ingress(facts, "sg-backend").push(Ingress::tcp(8787, Source::Cidr("10.0.0.0/16".to_owned())));
        }),
        fault("ec2_task_group_wide", "another group comes in", |facts, _| {
            let range = Ingress {
                from: 0,
                to: 65_535,
                ..Ingress::tcp(0, Source::Group("sg-bastion".to_owned()))
            };
            ingress(facts, "sg-frontend").push(range);
        }),
        fault(
            "ec2_task_group_closed",
            "the load balancer is not let in",
            |facts, _| {
                ingress(facts, "sg-frontend").clear();
            },
        ),
        fault(
            "ec2_task_group_closed",
            "it is let in at another port",
            |facts, _| {
                for one in ingress(facts, "sg-backend") {
                    (one.from, one.to) = (8080, 8080);
                }
            },
        ),
        fault("ec2_database_group_wide", "the internet comes in", |facts, _| {
            ingress(facts, "sg-database").push(Ingress::tcp(5432, anywhere()));
        }),
        fault("ec2_database_group_wide", "a bastion comes in", |facts, _| {
            ingress(facts, "sg-database").push(Ingress::tcp(5432, Source::Group("sg-bastion".to_owned())));
        }),
        fault(
            "ec2_cache_group_wide",
            "the load balancer comes in",
            |facts, _| {
                let balancer = facts.balancers.seen_mut(BALANCER).expect("the shop has one");
                let group = balancer.security_groups.first().expect("it has one").clone();
                ingress(facts, "sg-cache").push(Ingress::tcp(6379, Source::Group(group)));
            },
        ),
    ]
}
