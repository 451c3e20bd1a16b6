"""Two zones, each with a private and a public subnet and a NAT gateway of its own; endpoints; security groups."""
from common import REGION, ZONES, client, fault, only, seen

ANYWHERE = "0.0.0.0/0"
INTERFACES = ["ecr.api", "ecr.dkr", "logs", "secretsmanager"]
# Who is let in by which group, and where: the faults put a rule behind these, or take the last one away.
LETS_IN = {
    "balancer": [(443, ANYWHERE), (80, ANYWHERE)],
    "backend": [(8787, "balancer")],
    "frontend": [(80, "balancer")],
    "database": [(5432, "backend")],
    "cache": [(6379, "backend")],
}
S3 = f"com.amazonaws.{REGION}.s3"


def make(shop):
    ec2 = client("ec2")
    shop.vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    shop.internet = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=shop.internet, VpcId=shop.vpc)
    # The public subnets have the main table, the private ones a table each.
    main = only(ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [shop.vpc]}])["RouteTables"])["RouteTableId"]
    ec2.create_route(RouteTableId=main, DestinationCidrBlock=ANYWHERE, GatewayId=shop.internet)
    shop.private, shop.public, shop.tables, shop.nats = [], [], [], []
    for number, zone in enumerate(ZONES):
        zonal(shop, number, zone)
    endpoints(shop)
    for table, nat in zip(shop.tables, shop.nats):
        ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, NatGatewayId=nat)
    for subnet, zone, nat in zip(shop.private, ZONES, shop.nats):
        shop.facts["subnets"][subnet] = seen({"vpc": shop.vpc, "zone": zone, "routes": routes(shop, {"nat": nat})})
    groups(shop)


def zonal(shop, number, zone):
    ec2 = client("ec2")
    private, public = (
        ec2.create_subnet(VpcId=shop.vpc, CidrBlock=f"10.7.{block}.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for block in (number, 10 + number))
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    table = ec2.create_route_table(VpcId=shop.vpc)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=private)
    shop.private.append(private)
    shop.public.append(public)
    shop.tables.append(table)
    shop.nats.append(ec2.create_nat_gateway(SubnetId=public, AllocationId=address)["NatGateway"]["NatGatewayId"])


def endpoints(shop):
    ec2 = client("ec2")
    all_of_them = []
    for service in INTERFACES:
        made = ec2.create_vpc_endpoint(VpcId=shop.vpc, ServiceName=f"com.amazonaws.{REGION}.{service}", VpcEndpointType="Interface",
                                       SubnetIds=shop.private, PrivateDnsEnabled=True)["VpcEndpoint"]["VpcEndpointId"]
        all_of_them.append({"id": made, "service": service, "gateway": False, "available": True, "private_dns": True, "subnets": shop.private})
    shop.s3 = ec2.create_vpc_endpoint(VpcId=shop.vpc, ServiceName=S3, VpcEndpointType="Gateway", RouteTableIds=shop.tables)["VpcEndpoint"]["VpcEndpointId"]
    shop.s3_list = only(ec2.describe_managed_prefix_lists(Filters=[{"Name": "prefix-list-name", "Values": [S3]}])["PrefixLists"])["PrefixListId"]
    all_of_them.append({"id": shop.s3, "service": "s3", "gateway": True, "available": True, "private_dns": True, "subnets": []})
    nats = [{"id": nat, "zone": zone, "available": True} for nat, zone in zip(shop.nats, ZONES)]
    shop.facts["vpcs"][shop.vpc] = seen({"is_default": False, "endpoints": seen(all_of_them), "nats": seen(nats)})


def routes(shop, default=None, s3=True):
    """The routes of a private subnet, in the order that they were made in."""
    ways = [("10.7.0.0/16", "local"), (shop.s3_list, {"endpoint": shop.s3} if s3 else None), (ANYWHERE, default)]
    return seen([{"destination": to, "by": by, "active": True} for to, by in ways if by])


def permission(shop, port, source):
    one = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
    if "/" in source:
        return one | {"IpRanges": [{"CidrIp": source}]}
    return one | {"UserIdGroupPairs": [{"GroupId": shop.groups[source]}]}


def ingress(shop, rules):
    def of(source):
        return {"cidr": source} if "/" in source else {"group": shop.groups[source]}
    return [{"protocol": "tcp", "from": port, "to": port, "source": of(source)} for port, source in rules]


def groups(shop):
    ec2 = client("ec2")
    shop.groups = {}
    for what, rules in LETS_IN.items():
        made = ec2.create_security_group(GroupName=f"{shop.name}-{what}", Description=what, VpcId=shop.vpc)["GroupId"]
        shop.groups[what] = made
        for port, source in rules:
            ec2.authorize_security_group_ingress(GroupId=made, IpPermissions=[permission(shop, port, source)])
        shop.facts["security_groups"][made] = seen({"name": f"{shop.name}-{what}", "vpc": shop.vpc, "ingress": ingress(shop, rules)})


def also_let_in(shop, what, port, source):
    """One more rule of a group."""
    asked = {"GroupId": shop.groups[what], "IpPermissions": [permission(shop, port, source)]}
    client("ec2").authorize_security_group_ingress(**asked)
    yield {"security_groups": {shop.groups[what]: seen({"ingress": ingress(shop, [*LETS_IN[what], (port, source)])})}}
    client("ec2").revoke_security_group_ingress(**asked)


def shut_out(shop, what):
    """The last rule of a group is gone."""
    *left, (port, source) = LETS_IN[what]
    asked = {"GroupId": shop.groups[what], "IpPermissions": [permission(shop, port, source)]}
    client("ec2").revoke_security_group_ingress(**asked)
    yield {"security_groups": {shop.groups[what]: seen({"ingress": ingress(shop, left)})}}
    client("ec2").authorize_security_group_ingress(**asked)


@fault("ec2_balancer_group_wide")
def balancer_takes_ssh(shop):
    yield from also_let_in(shop, "balancer", 22, ANYWHERE)


@fault("ec2_balancer_group_closed")
def balancer_is_shut_at_80(shop):
    yield from shut_out(shop, "balancer")


@fault("ec2_task_group_wide")
def whole_vpc_reaches_tasks(shop):
    yield from also_let_in(shop, "frontend", 8080, "10.7.0.0/16")


@fault("ec2_task_group_closed")
def balancer_does_not_reach_tasks(shop):
    yield from shut_out(shop, "frontend")


@fault("ec2_database_group_wide")
def internet_reaches_database(shop):
    yield from also_let_in(shop, "database", 22, ANYWHERE)


def default_route_by(shop, zone, by, **target):
    """The way out of a zone is another one. It is made anew, and so stays the last of its table."""
    ec2, table = client("ec2"), shop.tables[zone]
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE)
    ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, **target)
    yield {"subnets": {shop.private[zone]: seen({"routes": routes(shop, by)})}}
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE)
    ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, NatGatewayId=shop.nats[zone])


@fault("ec2_task_subnet_public")
def public_subnet(shop):
    yield from default_route_by(shop, 1, {"internet_gateway": shop.internet}, GatewayId=shop.internet)


@fault("ec2_nat_zone_shared")
def one_nat_for_both_zones(shop):
    yield from default_route_by(shop, 1, {"nat": shop.nats[0]}, NatGatewayId=shop.nats[0])


@fault("ec2_task_egress_missing")
def no_way_to_layers(shop):
    """Neither a NAT gateway nor a route to S3, where the layers of images are."""
    ec2, table = client("ec2"), shop.tables[0]
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE)
    ec2.delete_route(RouteTableId=table, DestinationPrefixListId=shop.s3_list)
    yield {"subnets": {shop.private[0]: seen({"routes": routes(shop, s3=False)})}}
    ec2.create_route(RouteTableId=table, DestinationPrefixListId=shop.s3_list, GatewayId=shop.s3)
    ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, NatGatewayId=shop.nats[0])


@fault("ec2_task_route_dead", stays=True)
def nat_is_gone(shop):
    client("ec2").delete_nat_gateway(NatGatewayId=shop.nats[1])
    kept, gone = shop.fact("vpcs", shop.vpc)["nats"]["seen"]
    yield {"vpcs": {shop.vpc: seen({"nats": seen([kept, gone | {"available": False}])})}}
