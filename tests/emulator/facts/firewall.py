"""The web ACL before the load balancer."""
from common import REGION, account, client, fault, seen

METRICS = {"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True, "MetricName": "m"}
COMMON, BAD_INPUTS, SQLI = (f"AWSManagedRules{name}RuleSet" for name in ("Common", "KnownBadInputs", "SQLi"))


def managed(group, override="None", counted=()):
    overrides = [{"Name": rule, "ActionToUse": {"Count": {}}} for rule in counted]
    said = {"VendorName": "AWS", "Name": group} | ({"RuleActionOverrides": overrides} if overrides else {})
    return {"Name": group, "OverrideAction": {override: {}}, "Statement": {"ManagedRuleGroupStatement": said}}


def rate(name, path=None, limit=2000):
    said = {"Limit": limit, "AggregateKeyType": "IP"}
    if path:
        said["ScopeDownStatement"] = {"ByteMatchStatement": {
            "SearchString": path.encode(), "FieldToMatch": {"UriPath": {}}, "PositionalConstraint": "STARTS_WITH",
            "TextTransformations": [{"Priority": 0, "Type": "NONE"}]}}
    return {"Name": name, "Action": {"Block": {}}, "Statement": {"RateBasedStatement": said}}


def rules():
    """By name, in their order."""
    every = [managed(COMMON), managed(BAD_INPUTS), managed(SQLI), rate("everything"), rate("api", "/api/")]
    return {rule["Name"]: rule for rule in every}


def fact(rule):
    statement = rule["Statement"]
    if group := statement.get("ManagedRuleGroupStatement"):
        counted = [one["Name"] for one in group.get("RuleActionOverrides", [])]
        said = {"managed": {"vendor": "AWS", "group": group["Name"], "counted": counted}}
    else:
        bound = statement["RateBasedStatement"]
        path = bound.get("ScopeDownStatement", {}).get("ByteMatchStatement", {}).get("SearchString", b"").decode() or None
        said = {"rate": {"limit": bound["Limit"], "window_seconds": 300, "key": "IP", "path": path}}
    return {"name": rule["Name"], "blocks": "Count" not in rule.get("OverrideAction", {}), "statement": said}


def asked(wanted):
    return [rule | {"Priority": number, "VisibilityConfig": METRICS} for number, rule in enumerate(wanted)]


def make(shop):
    waf, shop.acl = client("wafv2"), f"{shop.name}-acl"
    made = waf.create_web_acl(Name=shop.acl, Scope="REGIONAL", DefaultAction={"Allow": {}}, VisibilityConfig=METRICS, Rules=asked(rules().values()))["Summary"]
    shop.acl_id, shop.acl_arn = made["Id"], made["ARN"]
    waf.associate_web_acl(WebACLArn=shop.acl_arn, ResourceArn=shop.balancer)
    log(shop)
    shop.fact("balancers", shop.balancer)["web_acl"] = seen(shop.acl)
    shop.facts["web_acls"][shop.acl] = seen({"logging": seen(True), "rules": [fact(rule) for rule in rules().values()]})


def log(shop):
    to = f"arn:aws:logs:{REGION}:{account()}:log-group:aws-waf-logs-{shop.name}"
    client("wafv2").put_logging_configuration(LoggingConfiguration={"ResourceArn": shop.acl_arn, "LogDestinationConfigs": [to]})


def put(shop, wanted):
    waf, which = client("wafv2"), {"Name": shop.acl, "Scope": "REGIONAL", "Id": shop.acl_id}
    token = waf.get_web_acl(**which)["LockToken"]
    waf.update_web_acl(**which, DefaultAction={"Allow": {}}, VisibilityConfig=METRICS, LockToken=token, Rules=asked(wanted))


def with_rule(shop, name, rule=None):
    """Another rule in the place of one, or none."""
    wanted = [rule if one == name else kept for one, kept in rules().items() if rule or one != name]
    put(shop, wanted)
    yield {"web_acls": {shop.acl: seen({"rules": [fact(one) for one in wanted]})}}
    put(shop, rules().values())


@fault("wafv2_common_rules_missing")
def no_common_rules(shop):
    yield from with_rule(shop, COMMON)


@fault("wafv2_common_rules_missing")
def one_common_rule_counts(shop):
    yield from with_rule(shop, COMMON, managed(COMMON, counted=["SizeRestrictions_BODY"]))


@fault("wafv2_known_bad_inputs_missing")
def bad_inputs_are_counted(shop):
    yield from with_rule(shop, BAD_INPUTS, managed(BAD_INPUTS, override="Count"))


@fault("wafv2_sqli_rules_missing")
def no_sqli_rules(shop):
    yield from with_rule(shop, SQLI)


@fault("wafv2_rate_rule_missing")
def ten_times_the_rate(shop):
    yield from with_rule(shop, "everything", rate("everything", limit=20000))


@fault("wafv2_api_rate_rule_missing")
def api_is_not_bounded(shop):
    yield from with_rule(shop, "api")


@fault("wafv2_logging_off")
def acl_logs_nothing(shop):
    client("wafv2").delete_logging_configuration(ResourceArn=shop.acl_arn)
    yield {"web_acls": {shop.acl: seen({"logging": seen(False)})}}
    log(shop)


@fault("wafv2_balancer_unprotected")
def no_web_acl(shop):
    """One that nothing leads to is not read."""
    client("wafv2").disassociate_web_acl(ResourceArn=shop.balancer)
    yield {"balancers": {shop.balancer: seen({"web_acl": "missing"})}, "web_acls": {shop.acl: None}}
    client("wafv2").associate_web_acl(WebACLArn=shop.acl_arn, ResourceArn=shop.balancer)
