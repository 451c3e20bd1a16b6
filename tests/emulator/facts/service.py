"""The cluster and its services."""
from common import BALANCED, PORTS, REGION, TASKS, client, fault, only, seen
from registry import key


def make(shop):
    client("ecs").create_cluster(clusterName=shop.name)
    for service in PORTS:
        shop.facts["services"][service] = seen(create(shop, service))


def network(shop, service, subnets=None, groups=None, public="DISABLED"):
    groups = groups or [shop.groups["backend" if service == "worker" else service]]
    return {"awsvpcConfiguration": {"subnets": subnets or shop.private, "securityGroups": groups, "assignPublicIp": public}}


def deployment(shop, service, breaker=None, alarms=None, **more):
    """What a service's deployments are like."""
    return {"minimumHealthyPercent": 100, "maximumPercent": 200,
            "deploymentCircuitBreaker": {"enable": True, "rollback": True} | (breaker or {}),
            "alarms": {"enable": True, "rollback": True, "alarmNames": [f"{shop.name}-{service}-running-low"]} | (alarms or {})} | more


def settings(shop, service):
    """All that UpdateService can change of a service."""
    wanted = {"taskDefinition": shop.revisions[service], "desiredCount": TASKS, "platformVersion": "1.4.0", "loadBalancers": [],
              "networkConfiguration": network(shop, service), "deploymentConfiguration": deployment(shop, service),
              "deploymentController": {"type": "ECS"}}
    if service in BALANCED:
        behind = {"targetGroupArn": shop.target_groups[service], "containerName": service, "containerPort": PORTS[service]}
        wanted |= {"loadBalancers": [behind], "healthCheckGracePeriodSeconds": 60}
    return wanted


def create(shop, service, **change):
    """The service, and the fact of it. moto keeps what a deployment is like only when the service is updated."""
    wanted = settings(shop, service) | change
    asked = {name: value for name, value in wanted.items() if name != "deploymentConfiguration"}
    arn = client("ecs").create_service(cluster=shop.name, serviceName=service, launchType="FARGATE", **asked)["service"]["serviceArn"]
    late = ("deploymentConfiguration", "healthCheckGracePeriodSeconds")
    client("ecs").update_service(cluster=shop.name, service=service, **{name: wanted[name] for name in late if name in wanted})
    own = wanted["networkConfiguration"]["awsvpcConfiguration"]
    return {
        "arn": arn, "status": "ACTIVE", "desired": TASKS, "running": TASKS, "task_definition": wanted["taskDefinition"],
        "rollout_state": "COMPLETED", "controller": "ECS", "platform_version": "1.4.0", "subnets": own["subnets"],
        "security_groups": own["securityGroups"], "public_ip": False,
        "attachments": [{"target_group": one["targetGroupArn"], "container": service, "port": PORTS[service]} for one in wanted["loadBalancers"]],
        "breaker": {"enabled": True, "rollback": True, "threshold": None},
        "alarms": {"enabled": True, "rollback": True, "names": [f"{shop.name}-{service}-running-low"]},
        "minimum_healthy_percent": 100, "maximum_percent": 200, "grace_seconds": wanted.get("healthCheckGracePeriodSeconds"), "bake_minutes": None}


def update(shop, service, fact, more=None, **change):
    """Something else of a service, and back."""
    client("ecs").update_service(cluster=shop.name, service=service, **change)
    yield {"services": {service: seen(fact)}} | (more or {})
    client("ecs").update_service(cluster=shop.name, service=service, **settings(shop, service))


def anew(shop, service, **change):
    client("ecs").delete_service(cluster=shop.name, service=service, force=True)
    return create(shop, service, **change)


@fault("ecs_service_public_ip")
def tasks_have_addresses(shop):
    yield from update(shop, "backend", {"public_ip": True}, networkConfiguration=network(shop, "backend", public="ENABLED"))


@fault("ec2_task_zones_few")
def single_subnet(shop):
    yield from update(shop, "worker", {"subnets": shop.private[:1]}, networkConfiguration=network(shop, "worker", subnets=shop.private[:1]))


@fault("ec2_default_group_used")
def default_group(shop):
    which = [{"Name": "vpc-id", "Values": [shop.vpc]}, {"Name": "group-name", "Values": ["default"]}]
    group = only(client("ec2").describe_security_groups(Filters=which)["SecurityGroups"])["GroupId"]
    yield from update(shop, "worker", {"security_groups": [group]}, networkConfiguration=network(shop, "worker", groups=[group]),
                      more={"security_groups": {group: seen({"name": "default"})}})


@fault("ec2_task_vpc_default")
def default_vpc(shop):
    """Private subnets with a way out, but in the VPC that everybody has."""
    ec2 = client("ec2")
    vpc = only(ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"])["VpcId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=shop.nats[0])
    subnets, ties = [], []
    for block, zone in (("172.31.240.0/24", "a"), ("172.31.241.0/24", "b")):
        subnets.append(ec2.create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=f"{REGION}{zone}")["Subnet"]["SubnetId"])
        ties.append(ec2.associate_route_table(RouteTableId=table, SubnetId=subnets[-1])["AssociationId"])
    more = {"subnets": {subnet: seen({"vpc": vpc}) for subnet in subnets}, "vpcs": {vpc: seen({"is_default": True})}}
    yield from update(shop, "worker", {"subnets": subnets}, networkConfiguration=network(shop, "worker", subnets=subnets), more=more)
    for tie in ties:
        ec2.disassociate_route_table(AssociationId=tie)
    ec2.delete_route_table(RouteTableId=table)
    for subnet in subnets:
        ec2.delete_subnet(SubnetId=subnet)


@fault("ecs_service_controller_foreign")
def codedeploy_deploys(shop):
    yield from update(shop, "backend", {"controller": "CODE_DEPLOY"}, deploymentController={"type": "CODE_DEPLOY"})


@fault("ecs_service_tasks_too_few")
def one_task(shop):
    yield from update(shop, "frontend", {"desired": 1, "running": 1}, desiredCount=1)


@fault("ecs_service_platform_outdated")
def old_platform(shop):
    yield from update(shop, "backend", {"platform_version": "1.3.0"}, platformVersion="1.3.0")


@fault("ecs_service_grace_unfit")
def grace_of_hours(shop):
    yield from update(shop, "backend", {"grace_seconds": 7200}, healthCheckGracePeriodSeconds=7200)


@fault("ecs_service_percent_stuck")
def no_room_for_a_task(shop):
    yield from update(shop, "backend", {"maximum_percent": 100}, deploymentConfiguration=deployment(shop, "backend", maximumPercent=100))


@fault("ecs_service_breaker_off")
def no_breaker(shop):
    yield from update(shop, "backend", {"breaker": {"enabled": False}}, deploymentConfiguration=deployment(shop, "backend", {"enable": False}))


@fault("ecs_service_breaker_without_rollback")
def breaker_stops_half_way(shop):
    yield from update(shop, "backend", {"breaker": {"rollback": False}}, deploymentConfiguration=deployment(shop, "backend", {"rollback": False}))


@fault("ecs_service_breaker_unreachable")
def breaker_waits_for_a_hundred(shop):
    wanted = {"thresholdConfiguration": {"type": "COUNT", "value": 100}}
    yield from update(shop, "frontend", {"breaker": {"threshold": {"kind": "COUNT", "value": 100}}},
                      deploymentConfiguration=deployment(shop, "frontend", wanted))


@fault("ecs_service_alarms_off")
def alarms_do_not_go_back(shop):
    yield from update(shop, "backend", {"alarms": {"rollback": False}}, deploymentConfiguration=deployment(shop, "backend", alarms={"rollback": False}))


@fault("ecs_service_alarm_missing")
def alarm_that_never_was(shop):
    names = [f"{shop.name}-backend-running-low", f"{shop.name}-backend-gone"]
    yield from update(shop, "backend", {"alarms": {"names": names}}, deploymentConfiguration=deployment(shop, "backend", alarms={"alarmNames": names}))


@fault("ecs_service_deadline_short")
def bakes_for_an_hour(shop):
    yield from update(shop, "backend", {"bake_minutes": 60}, deploymentConfiguration=deployment(shop, "backend", bakeTimeInMinutes=60))


@fault("elbv2_service_unattached")
def no_target_group(shop):
    more = {"target_groups": {shop.target_groups["frontend"]: None}}
    yield from update(shop, "frontend", {"attachments": []}, loadBalancers=[], more=more)


@fault("ecs_service_deployment_unfinished")
def more_tasks_than_start(shop):
    """moto starts two tasks, and calls a deployment of more unfinished until the service is made anew."""
    anew(shop, "worker", desiredCount=3)
    yield {"services": {"worker": seen({"desired": 3, "rollout_state": "IN_PROGRESS"})}}
    anew(shop, "worker")


@fault("ecs_service_missing")
def no_worker(shop):
    """What only it names is not read then."""
    client("ecs").delete_service(cluster=shop.name, service="worker", force=True)
    names = {"task_definitions": shop.revisions["worker"], "roles": shop.roles["worker"], "log_groups": shop.log_groups["worker"],
             "repositories": f"{shop.name}/worker", "images": key(shop, "worker")}
    yield {"services": {"worker": "missing"}} | {table: {name: None} for table, name in names.items()}
    create(shop, "worker")
