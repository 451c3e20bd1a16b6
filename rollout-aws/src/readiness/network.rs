//! Subnets with their routes, VPCs with their endpoints and NAT gateways, security groups.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{self as ec2, Filter, RouteState};
use rollout_core::readiness::fact::network::{
    Endpoint, Hop, Ingress, Nat, Route, SecurityGroup, Source, Subnet, Vpc,
};
use rollout_core::readiness::known::{Known, Table};

use super::call::Call;
use super::map::{port, text};
use super::round::{Asked, Refused, Round, batched, known, names, pages, seen};

/// Values of one filter, at most (Amazon EC2 User Guide, "List and filter using the CLI and API").
const VALUES: usize = 200;

/// What is known of the networks that some subnets are in.
pub(super) async fn networks(round: &Round<'_>, wanted: BTreeSet<String>) -> (Table<Subnet>, Table<Vpc>) {
    let mut subnets = batched(wanted, VALUES, |ids| subnets_of(round, ids)).await;
    let ids = names(seen(&subnets).map(|(_, subnet)| &subnet.vpc));
    let (tables, vpcs) =
        futures_util::future::join(route_tables(round, &ids), vpcs(round, ids.clone())).await;
    for (id, subnet) in subnets.iter_mut() {
        if let Known::Seen(subnet) = subnet {
            subnet.routes = match &tables {
                Ok(tables) => routes(tables, id, &subnet.vpc),
                Err(refused) => known(Err(refused.clone())),
            };
        }
    }
    (subnets, vpcs)
}

/// Security groups by id.
pub(super) async fn security_groups(round: &Round<'_>, wanted: BTreeSet<String>) -> Table<SecurityGroup> {
    batched(wanted, VALUES, |ids| async move {
        let subject = ids.join(", ");
        let filter = filter("group-id", ids);
        let all = pages(Call::DescribeSecurityGroups, &subject, |token| {
            let request = round.aws.ec2.describe_security_groups();
            let request = request.filters(filter.clone()).set_next_token(token);
            let asked = round.ask(Call::DescribeSecurityGroups, &subject, request.send());
            async move {
                asked
                    .await
                    .map(|answer| (answer.security_groups.unwrap_or_default(), answer.next_token))
            }
        });
        let found = all.await?;
        Ok(found
            .iter()
            .map(|group| (text(group.group_id()), security_group(group)))
            .collect())
    })
    .await
}

fn filter(name: &str, values: Vec<String>) -> Filter {
    Filter::builder().name(name).set_values(Some(values)).build()
}

async fn subnets_of(round: &Round<'_>, ids: Vec<String>) -> Asked<BTreeMap<String, Subnet>> {
    let subject = ids.join(", ");
    let filter = filter("subnet-id", ids);
    let all = pages(Call::DescribeSubnets, &subject, |token| {
        let request = round.aws.ec2.describe_subnets();
        let request = request.filters(filter.clone()).set_next_token(token);
        let asked = round.ask(Call::DescribeSubnets, &subject, request.send());
        async move {
            asked
                .await
                .map(|answer| (answer.subnets.unwrap_or_default(), answer.next_token))
        }
    });
    let found = all.await?;
    let subnet = |subnet: &ec2::Subnet| Subnet {
        vpc: text(subnet.vpc_id()),
        zone: text(subnet.availability_zone()),
        routes: Known::default(),
    };
    Ok(found
        .iter()
        .map(|one| (text(one.subnet_id()), subnet(one)))
        .collect())
}

/// The route tables of some VPCs.
async fn route_tables(round: &Round<'_>, vpcs: &BTreeSet<String>) -> Asked<Vec<ec2::RouteTable>> {
    if vpcs.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = vpcs.iter().cloned().collect();
    let subject = ids.join(", ");
    let filter = filter("vpc-id", ids);
    pages(Call::DescribeRouteTables, &subject, |token| {
        let request = round.aws.ec2.describe_route_tables();
        let request = request.filters(filter.clone()).set_next_token(token);
        let asked = round.ask(Call::DescribeRouteTables, &subject, request.send());
        async move {
            asked
                .await
                .map(|answer| (answer.route_tables.unwrap_or_default(), answer.next_token))
        }
    })
    .await
}

/// The routes of a subnet: of the table that it is associated with, else of its VPC's main one.
fn routes(tables: &[ec2::RouteTable], subnet: &str, vpc: &str) -> Known<Vec<Route>> {
    let of_subnet = |table: &&ec2::RouteTable| {
        let mut all = table.associations().iter();
        all.any(|association| association.subnet_id() == Some(subnet))
    };
    let main = |table: &&ec2::RouteTable| {
        let mut all = table.associations().iter();
        table.vpc_id() == Some(vpc) && all.any(|association| association.main() == Some(true))
    };
    match tables.iter().find(of_subnet).or_else(|| tables.iter().find(main)) {
        Some(table) => Known::Seen(table.routes().iter().map(route).collect()),
        None => known(Err(Refused::unclear(subnet, "its VPC has no main route table"))),
    }
}

fn route(route: &ec2::Route) -> Route {
    let destination = route
        .destination_cidr_block()
        .or_else(|| route.destination_ipv6_cidr_block())
        .or_else(|| route.destination_prefix_list_id());
    let gateway = route.gateway_id().map(|gateway| match gateway {
        "local" => Hop::Local,
        id if id.starts_with("igw-") => Hop::InternetGateway(id.to_owned()),
        id if id.starts_with("vpce-") => Hop::Endpoint(id.to_owned()),
        id => Hop::Other(id.to_owned()),
    });
    let nat = || {
        let id = route
            .nat_gateway_id()
            .or_else(|| route.egress_only_internet_gateway_id());
        id.map(|id| Hop::Nat(id.to_owned()))
    };
    let other = || {
        let id = route
            .transit_gateway_id()
            .or_else(|| route.vpc_peering_connection_id())
            .or_else(|| route.local_gateway_id())
            .or_else(|| route.carrier_gateway_id())
            .or_else(|| route.core_network_arn())
            .or_else(|| route.instance_id())
            .or_else(|| route.network_interface_id());
        Hop::Other(text(id))
    };
    Route {
        destination: text(destination),
        by: gateway.or_else(nat).unwrap_or_else(other),
        active: route.state() == Some(&RouteState::Active),
    }
}

async fn vpcs(round: &Round<'_>, ids: BTreeSet<String>) -> Table<Vpc> {
    if ids.is_empty() {
        return Table::default();
    }
    let all: Vec<String> = ids.iter().cloned().collect();
    let (mut vpcs, endpoints, nats) = futures_util::future::join3(
        batched(ids, VALUES, |ids| defaults(round, ids)),
        endpoints(round, &all),
        nats(round, &all),
    )
    .await;
    for (id, vpc) in vpcs.iter_mut() {
        if let Known::Seen(vpc) = vpc {
            vpc.endpoints = known(
                endpoints
                    .clone()
                    .map(|mut all| all.remove(id).unwrap_or_default()),
            );
            vpc.nats = known(nats.clone().map(|mut all| all.remove(id).unwrap_or_default()));
        }
    }
    vpcs
}

async fn defaults(round: &Round<'_>, ids: Vec<String>) -> Asked<BTreeMap<String, Vpc>> {
    let subject = ids.join(", ");
    let filter = filter("vpc-id", ids);
    let all = pages(Call::DescribeVpcs, &subject, |token| {
        let request = round.aws.ec2.describe_vpcs();
        let request = request.filters(filter.clone()).set_next_token(token);
        let asked = round.ask(Call::DescribeVpcs, &subject, request.send());
        async move {
            asked
                .await
                .map(|answer| (answer.vpcs.unwrap_or_default(), answer.next_token))
        }
    });
    let found = all.await?;
    let vpc = |vpc: &ec2::Vpc| Vpc {
        is_default: vpc.is_default().unwrap_or(false),
        endpoints: Known::default(),
        nats: Known::default(),
    };
    Ok(found.iter().map(|one| (text(one.vpc_id()), vpc(one))).collect())
}

/// Things by the VPC that they are in.
type ByVpc<T> = BTreeMap<String, Vec<T>>;

async fn endpoints(round: &Round<'_>, vpcs: &[String]) -> Asked<ByVpc<Endpoint>> {
    let subject = vpcs.join(", ");
    let filter = filter("vpc-id", vpcs.to_vec());
    let found = pages(Call::DescribeVpcEndpoints, &subject, |token| {
        let request = round.aws.ec2.describe_vpc_endpoints();
        let request = request.filters(filter.clone()).set_next_token(token);
        let asked = round.ask(Call::DescribeVpcEndpoints, &subject, request.send());
        async move {
            asked
                .await
                .map(|answer| (answer.vpc_endpoints.unwrap_or_default(), answer.next_token))
        }
    })
    .await?;
    let mut all = ByVpc::new();
    for one in &found {
        all.entry(text(one.vpc_id())).or_default().push(endpoint(one));
    }
    Ok(all)
}

fn endpoint(endpoint: &ec2::VpcEndpoint) -> Endpoint {
    // `com.amazonaws.eu-central-1.ecr.api`, in China with `cn.` before it.
    let full = endpoint.service_name().unwrap_or_default();
    let service = full
        .split_once("com.amazonaws.")
        .and_then(|(_, rest)| rest.split_once('.'))
        .map_or(full, |(_, service)| service);
    let gateway = endpoint.vpc_endpoint_type() == Some(&ec2::VpcEndpointType::Gateway);
    Endpoint {
        id: text(endpoint.vpc_endpoint_id()),
        service: service.to_owned(),
        gateway,
        // The API writes the state with a capital letter or without.
        available: endpoint
            .state()
            .is_some_and(|state| state.as_str().eq_ignore_ascii_case("available")),
        private_dns: gateway || endpoint.private_dns_enabled().unwrap_or(false),
        subnets: endpoint.subnet_ids().to_vec(),
    }
}

async fn nats(round: &Round<'_>, vpcs: &[String]) -> Asked<ByVpc<Nat>> {
    let subject = vpcs.join(", ");
    let filter = filter("vpc-id", vpcs.to_vec());
    let found = pages(Call::DescribeNatGateways, &subject, |token| {
        let request = round.aws.ec2.describe_nat_gateways();
        let request = request.filter(filter.clone()).set_next_token(token);
        let asked = round.ask(Call::DescribeNatGateways, &subject, request.send());
        async move {
            asked
                .await
                .map(|answer| (answer.nat_gateways.unwrap_or_default(), answer.next_token))
        }
    })
    .await?;
    // A gateway names its subnet, and only that its zone.
    let subnets = names(found.iter().filter_map(|nat| nat.subnet_id.as_ref()));
    let subnets = batched(subnets, VALUES, |ids| subnets_of(round, ids)).await;
    let mut all = ByVpc::new();
    for nat in &found {
        let subnet = nat.subnet_id().and_then(|id| subnets.get(id).ok());
        let zone = subnet
            .map(|subnet| subnet.zone.clone())
            .filter(|zone| !zone.is_empty());
        all.entry(text(nat.vpc_id())).or_default().push(Nat {
            id: text(nat.nat_gateway_id()),
            zone,
            available: nat.state() == Some(&ec2::NatGatewayState::Available),
        });
    }
    Ok(all)
}

fn security_group(group: &ec2::SecurityGroup) -> SecurityGroup {
    SecurityGroup {
        name: text(group.group_name()),
        vpc: text(group.vpc_id()),
        ingress: group.ip_permissions().iter().flat_map(ingress).collect(),
    }
}

/// A permission, once for each place that it lets in from.
fn ingress(permission: &ec2::IpPermission) -> Vec<Ingress> {
    let protocol = permission.ip_protocol().unwrap_or("-1");
    // -1 is every type of ICMP, and nothing is every port (Amazon EC2 API, "IpPermission").
    let from = permission.from_port().map_or(0, port);
    let to = match permission.to_port() {
        Some(last) if last >= 0 => port(last),
        Some(_) | None => u16::MAX,
    };
    let v4 = permission
        .ip_ranges()
        .iter()
        .map(|range| range.cidr_ip().map(|block| Source::Cidr(block.to_owned())));
    let v6 = permission
        .ipv6_ranges()
        .iter()
        .map(|range| range.cidr_ipv6().map(|block| Source::Cidr(block.to_owned())));
    let groups = permission
        .user_id_group_pairs()
        .iter()
        .map(|pair| pair.group_id().map(|id| Source::Group(id.to_owned())));
    let lists = permission
        .prefix_list_ids()
        .iter()
        .map(|list| list.prefix_list_id().map(|id| Source::PrefixList(id.to_owned())));
    let sources = v4.chain(v6).chain(groups).chain(lists).flatten();
    sources
        .map(|source| Ingress {
            protocol: protocol.to_owned(),
            from,
            to,
            source,
        })
        .collect()
}
