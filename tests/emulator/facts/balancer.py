"""The load balancer: target groups, listeners, rules."""
from common import BALANCED, PORTS, REGION, ZONES, client, fault, seen

MODERN = "ELBSecurityPolicy-TLS13-1-2-2021-06"
# What goes to the backend; the rule behind it sends everything to the frontend.
PATHS = {"backend": ["/api/*", "/health/*"], "frontend": ["/*"]}
PRIORITIES = {"backend": 10, "frontend": 20}


def attributes(**of):
    return [{"Key": name.replace("__", "."), "Value": value} for name, value in of.items()]


def make(shop):
    elb = client("elbv2")
    made = elb.create_load_balancer(Name=f"{shop.name}-lb", Subnets=shop.public, SecurityGroups=[shop.groups["balancer"]],
                                    Scheme="internet-facing")["LoadBalancers"][0]
    shop.balancer, shop.dns_name, shop.dns_zone = made["LoadBalancerArn"], made["DNSName"], made["CanonicalHostedZoneId"]
    client("s3").create_bucket(Bucket=f"{shop.name}-logs", CreateBucketConfiguration={"LocationConstraint": REGION})
    elb.modify_load_balancer_attributes(LoadBalancerArn=shop.balancer, Attributes=attributes(
        deletion_protection__enabled="true", access_logs__s3__enabled="true", access_logs__s3__bucket=f"{shop.name}-logs"))
    shop.target_groups = {service: target_group(shop, service) for service in BALANCED}
    shop.secure = elb.create_listener(LoadBalancerArn=shop.balancer, Protocol="HTTPS", Port=443, SslPolicy=MODERN, DefaultActions=forward(shop, "frontend"),
                                      Certificates=[{"CertificateArn": shop.certificate}])["Listeners"][0]["ListenerArn"]
    shop.plain = elb.create_listener(LoadBalancerArn=shop.balancer, Protocol="HTTP", Port=80, DefaultActions=redirect())["Listeners"][0]["ListenerArn"]
    shop.rules = {
        service: elb.create_rule(ListenerArn=shop.secure, Priority=PRIORITIES[service], Actions=forward(shop, service),
                                 Conditions=[{"Field": "path-pattern", "PathPatternConfig": {"Values": PATHS[service]}}])["Rules"][0]["RuleArn"]
        for service in BALANCED}
    shop.facts["balancers"][shop.balancer] = seen({
        "name": f"{shop.name}-lb", "dns_name": shop.dns_name, "internet_facing": True, "zones": ZONES, "security_groups": [shop.groups["balancer"]],
        "attributes": seen({"access_logs": f"{shop.name}-logs", "deletion_protection": True}), "listeners": listeners(shop)})


def target_group(shop, service):
    elb = client("elbv2")
    arn = elb.create_target_group(Name=f"{shop.name}-{service}", Protocol="HTTP", Port=PORTS[service], VpcId=shop.vpc, TargetType="ip",
                                  HealthCheckPath="/health/ready", HealthCheckIntervalSeconds=10, HealthCheckTimeoutSeconds=5,
                                  HealthyThresholdCount=2, UnhealthyThresholdCount=3)["TargetGroups"][0]["TargetGroupArn"]
    elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=attributes(deregistration_delay__timeout_seconds="30"))
    check = {"protocol": "HTTP", "port": "traffic-port", "path": "/health/ready", "interval_seconds": 10, "timeout_seconds": 5, "healthy": 2, "unhealthy": 3}
    shop.facts["target_groups"][arn] = seen({"name": f"{shop.name}-{service}", "port": PORTS[service], "protocol": "HTTP", "health": check,
                                             "deregistration_seconds": seen(30), "balancers": [shop.balancer], "targets": seen([])})
    return arn


def forward(shop, service):
    return [{"Type": "forward", "TargetGroupArn": shop.target_groups[service]}]


def redirect(status=301):
    return [{"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": f"HTTP_{status}"}}]


def rules(shop, priorities):
    def rule(service):
        return {"priority": priorities[service], "paths": PATHS[service], "hosts": [], "more_conditions": False,
                "action": {"forward": [[shop.target_groups[service], 1]]}}
    return seen([rule(service) for service in sorted(BALANCED, key=priorities.get)])


def listeners(shop, secure=None, plain=None):
    """Both, with what is other than it was made."""
    at_443 = {"arn": shop.secure, "port": 443, "protocol": "HTTPS", "tls_policy": MODERN, "certificates": seen([shop.certificate]),
              "default_action": {"forward": [[shop.target_groups["frontend"], 1]]}, "rules": rules(shop, PRIORITIES)}
    # moto names a policy for a listener without TLS, too.
    at_80 = {"arn": shop.plain, "port": 80, "protocol": "HTTP", "tls_policy": "any", "certificates": seen([]), "rules": seen([]),
             "default_action": {"redirect": {"status": 301, "protocol": "HTTPS", "port": "443"}}}
    return seen([at_443 | (secure or {}), at_80 | (plain or {})])


def of_balancer(shop, fact):
    return {"balancers": {shop.balancer: seen(fact)}}


def at_443(shop, fact, more=None, **change):
    """Something else of the listener at 443, and back."""
    client("elbv2").modify_listener(ListenerArn=shop.secure, **change)
    yield of_balancer(shop, {"listeners": listeners(shop, secure=fact)}) | (more or {})
    client("elbv2").modify_listener(ListenerArn=shop.secure, Protocol="HTTPS", SslPolicy=MODERN, Certificates=[{"CertificateArn": shop.certificate}],
                                    DefaultActions=forward(shop, "frontend"))


@fault("elbv2_https_listener_missing")
def plain_at_443(shop):
    """Nobody shows the certificate then, and so it is not read."""
    yield from at_443(shop, {"protocol": "HTTP", "certificates": seen([])}, Protocol="HTTP", more={"certificates": {shop.certificate: None}})


@fault("elbv2_tls_policy_old")
def old_tls(shop):
    yield from at_443(shop, {"tls_policy": "ELBSecurityPolicy-2016-08"}, SslPolicy="ELBSecurityPolicy-2016-08")


@fault("elbv2_http_redirect_missing")
def redirects_for_a_while(shop):
    client("elbv2").modify_listener(ListenerArn=shop.plain, DefaultActions=redirect(302))
    moved = {"redirect": {"status": 302, "protocol": "HTTPS", "port": "443"}}
    yield of_balancer(shop, {"listeners": listeners(shop, plain={"default_action": moved})})
    client("elbv2").modify_listener(ListenerArn=shop.plain, DefaultActions=redirect())


@fault("elbv2_path_astray")
def wide_rule_comes_first(shop):
    def give(priority):
        client("elbv2").set_rule_priorities(RulePriorities=[{"RuleArn": shop.rules["frontend"], "Priority": priority}])
    give(5)
    yield of_balancer(shop, {"listeners": listeners(shop, secure={"rules": rules(shop, PRIORITIES | {"frontend": 5})})})
    give(PRIORITIES["frontend"])


def attribute(shop, fact, name, value, healthy):
    put = client("elbv2").modify_load_balancer_attributes
    put(LoadBalancerArn=shop.balancer, Attributes=attributes(**{name: value}))
    yield of_balancer(shop, {"attributes": seen(fact)})
    put(LoadBalancerArn=shop.balancer, Attributes=attributes(**{name: healthy}))


@fault("elbv2_access_logs_off")
def no_access_logs(shop):
    yield from attribute(shop, {"access_logs": None}, "access_logs__s3__enabled", "false", "true")


@fault("elbv2_deletion_protection_off")
def deleted_by_mistake(shop):
    yield from attribute(shop, {"deletion_protection": False}, "deletion_protection__enabled", "false", "true")


@fault("elbv2_deregistration_slow")
def slow_drain(shop):
    group, put = shop.target_groups["backend"], client("elbv2").modify_target_group_attributes
    put(TargetGroupArn=group, Attributes=attributes(deregistration_delay__timeout_seconds="300"))
    yield {"target_groups": {group: seen({"deregistration_seconds": seen(300)})}}
    put(TargetGroupArn=group, Attributes=attributes(deregistration_delay__timeout_seconds="30"))


def health(shop, fact, change, healthy):
    group = shop.target_groups["backend"]
    client("elbv2").modify_target_group(TargetGroupArn=group, **change)
    yield {"target_groups": {group: seen({"health": fact})}}
    client("elbv2").modify_target_group(TargetGroupArn=group, **healthy)


@fault("elbv2_target_port_mismatch")
def health_is_asked_elsewhere(shop):
    yield from health(shop, {"port": "9000"}, {"HealthCheckPort": "9000"}, {"HealthCheckPort": "traffic-port"})


@fault("elbv2_health_path_mismatch")
def health_is_the_front_page(shop):
    yield from health(shop, {"path": "/"}, {"HealthCheckPath": "/"}, {"HealthCheckPath": "/health/ready"})
