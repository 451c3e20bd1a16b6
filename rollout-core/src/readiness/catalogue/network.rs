//! Subnets, routes, endpoints, security groups.

mod group;

use std::collections::BTreeSet;

use super::{each_balancer, each_service};
use crate::readiness::check::{Over, Rule, Ruling, Scene, Verdict};
use crate::readiness::fact::network::{Endpoint, Hop, Nat, Route, Subnet, Vpc};
use crate::readiness::fact::task::TaskDefinition;
use crate::readiness::known::Unseen;
use crate::readiness::scene::about;

pub(super) const RULES: &[Rule] = &[
    rule!(
        "ec2_task_subnet_public", Network, High, BLOCKING, STAGING_TOO,
        title: "Tasks run in private subnets",
        why: "In a subnet with a route to an internet gateway one wrong setting gives a task an address that everybody can reach.",
        remedy: "Run the service in subnets whose route table leads to no internet gateway; what is public belongs to the load balancer.",
        cli: "aws ecs update-service --cluster <cluster> --service <service> --network-configuration 'awsvpcConfiguration={subnets=[<private-subnets>],securityGroups=[<group>],assignPublicIp=DISABLED}'",
        terraform: "aws_ecs_service.network_configuration.subnets",
        cdk: "FargateService vpcSubnets: { subnetType: SubnetType.PRIVATE_WITH_EGRESS }",
        source: "Amazon VPC User Guide, \"Subnets for your VPC\"",
        over: each_service(private),
    ),
    rule!(
        "ecs_service_public_ip", Network, High, BLOCKING, STAGING_TOO,
        title: "Tasks have no public address",
        why: "A task with a public address is reached past the load balancer, past its web ACL and past its logs.",
        remedy: "Turn assignPublicIp off, and give the subnets a NAT gateway or endpoints.",
        cli: "aws ecs update-service --cluster <cluster> --service <service> --network-configuration 'awsvpcConfiguration={subnets=[<subnets>],securityGroups=[<group>],assignPublicIp=DISABLED}'",
        terraform: "aws_ecs_service.network_configuration.assign_public_ip",
        cdk: "FargateService assignPublicIp: false",
        source: "Amazon ECS Developer Guide, \"Amazon ECS task networking options for Fargate\"",
        over: each_service(addressless),
    ),
    rule!(
        "ec2_task_zones_few", Network, High, BLOCKING, PRODUCTION,
        title: "Tasks run in two Availability Zones or more",
        why: "With a single zone its failure is the service's.",
        remedy: "Add a subnet of another zone to the service.",
        cli: "aws ecs update-service --cluster <cluster> --service <service> --network-configuration 'awsvpcConfiguration={subnets=[<subnets-of-two-zones>],securityGroups=[<group>]}'",
        terraform: "aws_ecs_service.network_configuration.subnets",
        cdk: "Vpc maxAzs; FargateService vpcSubnets",
        source: "AWS Well-Architected Framework, Reliability Pillar, \"REL10-BP01 Deploy the workload to multiple locations\"",
        over: each_service(zones),
    ),
    rule!(
        "ec2_task_egress_missing", Network, Critical, BLOCKING, EVERYWHERE,
        title: "Tasks can pull images, read secrets and write logs",
        why: "Without a NAT gateway or the endpoints no task of the release starts: the pull times out.",
        remedy: "Give the subnet a default route by a NAT gateway, or the VPC the endpoints ecr.api, ecr.dkr, logs, secretsmanager and, as a gateway in this route table, s3.",
        cli: "aws ec2 create-vpc-endpoint --vpc-id <vpc> --service-name com.amazonaws.<region>.s3 --route-table-ids <route-table>",
        terraform: "aws_vpc_endpoint, or aws_nat_gateway with aws_route",
        cdk: "Vpc natGateways; InterfaceVpcEndpoint, GatewayVpcEndpoint",
        source: "Amazon ECR User Guide, \"Amazon ECR interface VPC endpoints (AWS PrivateLink)\"",
        over: each_service(egress),
    ),
    rule!(
        "ec2_task_route_dead", Network, High, BLOCKING, STAGING_TOO,
        title: "No route of the tasks leads nowhere",
        why: "What is sent along a black hole is dropped: calls hang until they time out.",
        remedy: "Point the route at a gateway that is there, or delete it.",
        cli: "aws ec2 replace-route --route-table-id <route-table> --destination-cidr-block 0.0.0.0/0 --nat-gateway-id <nat>",
        terraform: "aws_route.nat_gateway_id",
        cdk: "CfnRoute natGatewayId",
        source: "Amazon VPC User Guide, \"Troubleshoot NAT gateways\"",
        over: each_service(dead_routes),
    ),
    rule!(
        "ec2_nat_zone_shared", Network, Medium, BLOCKING, PRODUCTION,
        title: "Each zone has a NAT gateway of its own",
        why: "When the zone of the only NAT gateway fails, tasks in the other zones lose their way out too; until then every byte between zones is paid for.",
        remedy: "Make a NAT gateway in each zone, and route each private subnet by the one of its zone.",
        cli: "aws ec2 create-nat-gateway --subnet-id <public-subnet-of-the-zone> --allocation-id <address>",
        terraform: "aws_nat_gateway, one for each zone; aws_route.nat_gateway_id",
        cdk: "Vpc natGateways: one for each zone",
        source: "Amazon VPC User Guide, \"NAT gateway basics\"",
        over: each_service(nat_zones),
    ),
    rule!(
        "ec2_task_vpc_default", Network, Medium, BLOCKING, STAGING_TOO,
        title: "Tasks do not run in the default VPC",
        why: "All subnets of the default VPC are public, and whatever anybody starts without a thought lands beside the tasks.",
        remedy: "Make a VPC for the environment, with private subnets.",
        cli: "aws ec2 create-vpc --cidr-block 10.0.0.0/16",
        terraform: "aws_vpc",
        cdk: "Vpc",
        source: "Amazon VPC User Guide, \"Default VPCs\"",
        over: each_service(own_vpc),
    ),
    rule!(
        "ec2_default_group_used", Network, Medium, BLOCKING, STAGING_TOO,
        title: "Nothing uses the default security group",
        why: "Whatever is in it reaches everything else in it, and anything that is started without a group is in it.",
        remedy: "Give each part a security group of its own, and leave the default one without rules.",
        cli: "aws ec2 create-security-group --group-name <name> --description <text> --vpc-id <vpc>",
        terraform: "aws_security_group; aws_default_security_group without rules",
        cdk: "SecurityGroup; Vpc restrictDefaultSecurityGroup: true",
        source: "Amazon VPC User Guide, \"Default security groups for your VPCs\"",
        over: Over::Each { which: group::groups_in_use, judge: group::named_group },
    ),
    rule!(
        "ec2_balancer_group_wide", Network, High, BLOCKING, EVERYWHERE,
        title: "The load balancer lets the internet in at 80 and 443 only",
        why: "Any other open port is one that nobody watches.",
        remedy: "Take the rule away, or bound it to the addresses that need it.",
        cli: "aws ec2 revoke-security-group-ingress --group-id <group> --protocol tcp --port <port> --cidr 0.0.0.0/0",
        terraform: "aws_vpc_security_group_ingress_rule",
        cdk: "SecurityGroup addIngressRule",
        source: "User Guide for Application Load Balancers, \"Security groups for your Application Load Balancer\"",
        over: each_balancer(group::balancer_wide),
    ),
    rule!(
        "ec2_balancer_group_closed", Network, Critical, BLOCKING, PRODUCTION,
        title: "The load balancer lets the internet in at 80 and 443",
        why: "Otherwise requests never arrive: at 443 nobody is served, at 80 nobody is sent to 443.",
        remedy: "Let 0.0.0.0/0, or the prefix list of the distribution before it, in at both ports.",
        cli: "aws ec2 authorize-security-group-ingress --group-id <group> --protocol tcp --port 443 --cidr 0.0.0.0/0",
        terraform: "aws_vpc_security_group_ingress_rule",
        cdk: "SecurityGroup addIngressRule",
        source: "User Guide for Application Load Balancers, \"Security groups for your Application Load Balancer\"",
        over: each_balancer(group::balancer_closed),
    ),
    rule!(
        "ec2_task_group_wide", Network, High, BLOCKING, STAGING_TOO,
        title: "Only the load balancer reaches the tasks",
        why: "What comes past the load balancer comes past its web ACL, its certificate and its logs as well.",
        remedy: "Let only the load balancer's security group in, at the container's port.",
        cli: "aws ec2 authorize-security-group-ingress --group-id <tasks-group> --protocol tcp --port <port> --source-group <balancer-group>",
        terraform: "aws_vpc_security_group_ingress_rule.referenced_security_group_id",
        cdk: "FargateService connections.allowFrom(loadBalancer, Port.tcp(port))",
        source: "User Guide for Application Load Balancers, \"Security groups for your Application Load Balancer\"",
        over: each_service(group::task_wide),
    ),
    rule!(
        "ec2_task_group_closed", Network, Critical, BLOCKING, EVERYWHERE,
        title: "The load balancer reaches the tasks",
        why: "Otherwise no target ever becomes healthy, and the release fails at its first gate.",
        remedy: "Let the load balancer's security group in at the container's port.",
        cli: "aws ec2 authorize-security-group-ingress --group-id <tasks-group> --protocol tcp --port <port> --source-group <balancer-group>",
        terraform: "aws_vpc_security_group_ingress_rule.referenced_security_group_id",
        cdk: "FargateService connections.allowFrom(loadBalancer, Port.tcp(port))",
        source: "User Guide for Application Load Balancers, \"Security groups for your Application Load Balancer\"",
        over: each_service(group::task_closed),
    ),
    rule!(
        "ec2_database_group_wide", Network, High, BLOCKING, STAGING_TOO,
        title: "Only the tasks reach the database",
        why: "Whoever else reaches it needs but a password.",
        remedy: "Let only the security groups of the tasks in, at the database's port.",
        cli: "aws ec2 authorize-security-group-ingress --group-id <database-group> --protocol tcp --port <port> --source-group <tasks-group>",
        terraform: "aws_vpc_security_group_ingress_rule.referenced_security_group_id",
        cdk: "DatabaseInstance connections.allowDefaultPortFrom(service)",
        source: "Amazon RDS User Guide, \"Controlling access with security groups\"",
        over: Over::Each { which: |scene| Ok(scene.intent.data.databases.clone()), judge: group::database_wide },
    ),
    rule!(
        "ec2_cache_group_wide", Network, High, BLOCKING, STAGING_TOO,
        title: "Only the tasks reach the cache",
        why: "A cache often asks for no password at all: whoever reaches it reads every session.",
        remedy: "Let only the security groups of the tasks in, at the cache's port.",
        cli: "aws ec2 authorize-security-group-ingress --group-id <cache-group> --protocol tcp --port <port> --source-group <tasks-group>",
        terraform: "aws_vpc_security_group_ingress_rule.referenced_security_group_id",
        cdk: "CfnReplicationGroup securityGroupIds",
        source: "Amazon ElastiCache User Guide, \"Access Patterns for Accessing an ElastiCache Cache in an Amazon VPC\"",
        over: Over::Each { which: |scene| Ok(scene.intent.data.caches.clone()), judge: group::cache_wide },
    ),
];

/// A subnet of a service's tasks.
struct Placed<'a> {
    id: &'a str,
    subnet: &'a Subnet,
    routes: &'a [Route],
}

/// The subnets of a service's tasks with their routes.
fn subnets<'a>(scene: &Scene<'a>, service: &str) -> Result<Vec<Placed<'a>>, Unseen> {
    let read = |id: &'a String| {
        let subnet = scene.facts.subnets.get(id)?;
        let routes = subnet.routes.get().map_err(|unseen| about(unseen, id))?;
        Ok(Placed { id, subnet, routes })
    };
    scene.service(service)?.subnets.iter().map(read).collect()
}

fn nats<'a>(scene: &Scene<'a>, vpc: &str) -> Result<&'a [Nat], Unseen> {
    let nats = scene.facts.vpcs.get(vpc)?.nats.get();
    Ok(nats.map_err(|unseen| about(unseen, vpc))?)
}

fn private(scene: &Scene<'_>, name: &str) -> Ruling {
    let mut wrong = Vec::new();
    for Placed { id, routes, .. } in subnets(scene, name)? {
        wrong.extend(routes.iter().filter_map(|route| match &route.by {
            Hop::InternetGateway(gateway) => Some(format!("{id}: {} by {gateway}", route.destination)),
            Hop::Local | Hop::Nat(_) | Hop::Endpoint(_) | Hop::Other(_) => None,
        }));
    }
    Ok(Verdict::unless(
        &wrong,
        "subnets without a route to an internet gateway",
    ))
}

fn addressless(scene: &Scene<'_>, name: &str) -> Ruling {
    let public = scene.service(name)?.public_ip;
    Ok(Verdict::when(
        !public,
        || "public addresses".to_owned(),
        "private addresses only",
    ))
}

fn zones(scene: &Scene<'_>, name: &str) -> Ruling {
    let mut zones = BTreeSet::new();
    for id in &scene.service(name)?.subnets {
        zones.insert(scene.facts.subnets.get(id)?.zone.as_str());
    }
    let wanted = scene.intent.limits.zones;
    let enough = u32::try_from(zones.len()).is_ok_and(|have| have >= wanted);
    let seen = || match zones.len() {
        0 => "no zone".to_owned(),
        _ => format!("only {}", zones.iter().copied().collect::<Vec<_>>().join(", ")),
    };
    Ok(Verdict::when(enough, seen, format!("{wanted} zones or more")))
}

/// What the agent must reach before and while a task runs: services of AWS by the name of their endpoint, and other registries.
fn needs(definition: &TaskDefinition) -> BTreeSet<&str> {
    let mut all = BTreeSet::new();
    for container in &definition.containers {
        // What stands before the first slash is a registry if it looks like a host; otherwise the image is of Docker's.
        let before = container.image.split_once('/').map(|(before, _)| before);
        let registry = before
            .filter(|host| host.contains(['.', ':']))
            .unwrap_or("docker.io");
        if registry.contains(".dkr.ecr") {
            // Layers are kept in S3 (Amazon ECR User Guide, "Create the Amazon S3 gateway endpoint").
            all.extend(["ecr.api", "ecr.dkr", "s3"]);
        } else {
            all.insert(registry);
        }
        if container.log_driver.as_deref() == Some("awslogs") {
            all.insert("logs");
        }
        for secret in &container.secrets {
            let manager = secret.from.split(':').nth(2) == Some("secretsmanager");
            all.insert(if manager { "secretsmanager" } else { "ssm" });
        }
    }
    all
}

/// Whether there is a way to anywhere. What lies behind a hop of another kind, such as a transit gateway, is another network's.
fn way_out(routes: &[Route], public_ip: bool) -> bool {
    let default = |route: &&Route| route.destination == "0.0.0.0/0" || route.destination == "::/0";
    routes.iter().filter(default).any(|route| match &route.by {
        Hop::InternetGateway(_) => public_ip,
        Hop::Nat(_) | Hop::Endpoint(_) | Hop::Other(_) => true,
        Hop::Local => false,
    })
}

/// Whether an endpoint leads to a service. A gateway does so only where the subnet's routes say it.
fn leads_to(service: &str, endpoint: &Endpoint, routes: &[Route]) -> bool {
    let by_route = || {
        let by_it = |route: &Route| matches!(&route.by, Hop::Endpoint(id) if *id == endpoint.id);
        routes.iter().any(by_it)
    };
    let open = if endpoint.gateway {
        by_route()
    } else {
        endpoint.private_dns
    };
    endpoint.service == service && endpoint.available && open
}

fn egress(scene: &Scene<'_>, name: &str) -> Ruling {
    let public_ip = scene.service(name)?.public_ip;
    let needs = needs(scene.task_definition(name)?);
    let mut wrong = Vec::new();
    for Placed { id, subnet, routes } in subnets(scene, name)? {
        if way_out(routes, public_ip) {
            continue;
        }
        let vpc: &Vpc = scene.facts.vpcs.get(&subnet.vpc)?;
        let endpoints = vpc.endpoints.get().map_err(|unseen| about(unseen, &subnet.vpc))?;
        let reached = |need: &str| endpoints.iter().any(|endpoint| leads_to(need, endpoint, routes));
        let missing: Vec<_> = needs.iter().copied().filter(|need| !reached(need)).collect();
        if !missing.is_empty() {
            wrong.push(format!(
                "{id}: no default route, and no endpoint for {}",
                missing.join(", ")
            ));
        }
    }
    let wanted = "a default route by a NAT gateway, or an endpoint for each";
    Ok(Verdict::unless(&wrong, wanted))
}

fn dead_routes(scene: &Scene<'_>, name: &str) -> Ruling {
    let mut wrong = Vec::new();
    for Placed { id, subnet, routes } in subnets(scene, name)? {
        for route in routes {
            let (by, lives) = match &route.by {
                Hop::Local => continue,
                Hop::Nat(nat) => {
                    let known = nats(scene, &subnet.vpc)?.iter().find(|known| known.id == *nat);
                    // A NAT instance and an egress-only internet gateway are in no list of NAT gateways.
                    (nat, known.is_none_or(|known| known.available))
                }
                Hop::InternetGateway(by) | Hop::Endpoint(by) | Hop::Other(by) => (by, true),
            };
            if !(route.active && lives) {
                wrong.push(format!("{id}: {} by {by}", route.destination));
            }
        }
    }
    Ok(Verdict::unless(&wrong, "routes by what is there and available"))
}

fn nat_zones(scene: &Scene<'_>, name: &str) -> Ruling {
    let (mut wrong, mut any) = (Vec::new(), false);
    for Placed { id, subnet, routes } in subnets(scene, name)? {
        for route in routes {
            let Hop::Nat(by) = &route.by else { continue };
            let Some(nat) = nats(scene, &subnet.vpc)?.iter().find(|nat| nat.id == *by) else {
                continue;
            };
            let zone = nat.zone.as_ref().ok_or_else(|| Unseen::not_asked(by))?;
            any = true;
            if *zone != subnet.zone {
                wrong.push(format!("{id} in {} goes out by {by} in {zone}", subnet.zone));
            }
        }
    }
    if any {
        Ok(Verdict::unless(
            &wrong,
            "a NAT gateway in each zone that tasks run in",
        ))
    } else {
        Ok(Verdict::not_applicable("no NAT gateway is on its way out"))
    }
}

fn own_vpc(scene: &Scene<'_>, name: &str) -> Ruling {
    let mut wrong = BTreeSet::new();
    for id in &scene.service(name)?.subnets {
        let vpc = &scene.facts.subnets.get(id)?.vpc;
        if scene.facts.vpcs.get(vpc)?.is_default {
            wrong.insert(format!("{vpc} is the default VPC"));
        }
    }
    let wrong: Vec<_> = wrong.into_iter().collect();
    Ok(Verdict::unless(&wrong, "a VPC of its own"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::example;
    use crate::readiness::fact::task::SecretRef;

    fn definition() -> TaskDefinition {
        let release = example::shop().1.release.expect("a release is about to be made");
        let mut all = release.task_definitions.into_iter();
        let (_, definition) = all
            .find(|(name, _)| name.as_str() == "backend")
            .expect("it is a part");
        definition
    }

    #[test]
    fn a_task_needs_what_its_images_logs_and_secrets_are_in() {
        let mut definition = definition();
        let of_aws = ["ecr.api", "ecr.dkr", "logs", "s3", "secretsmanager"];
        assert_eq!(needs(&definition), of_aws.into());
        let container = &mut definition.containers[0];
        container.image = "nginx:1.29".to_owned();
        container.log_driver = None;
        container.secrets = vec![SecretRef {
            name: "TOKEN".to_owned(),
            from: "/production/token".to_owned(),
        }];
        assert_eq!(needs(&definition), ["docker.io", "ssm"].into());
        definition.containers[0].image = "public.ecr.aws/nginx/nginx:1.29".to_owned();
        assert_eq!(needs(&definition), ["public.ecr.aws", "ssm"].into());
    }

    #[test]
    fn an_internet_gateway_is_a_way_out_only_with_a_public_address() {
        let route = |by: Hop, destination: &str| Route {
            destination: destination.to_owned(),
            by,
            active: true,
        };
        let gateway = || Hop::InternetGateway("igw-1".to_owned());
        let nat = || Hop::Nat("nat-1".to_owned());
        assert!(way_out(&[route(gateway(), "0.0.0.0/0")], true));
        assert!(!way_out(&[route(gateway(), "0.0.0.0/0")], false));
        assert!(way_out(&[route(nat(), "::/0")], false));
        assert!(
            !way_out(&[route(nat(), "198.51.100.0/24")], false),
            "not a way to everywhere"
        );
        assert!(!way_out(&[route(Hop::Local, "10.0.0.0/16")], true));
    }
}
