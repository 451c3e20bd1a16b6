"""The distribution of files, and the budget of all of it."""
from common import REGION, account, client, fault, seen

# Managed policies (Amazon CloudFront Developer Guide, "Use managed cache policies").
CACHED = "658327ea-f89d-4fab-a63d-7e88639e58f6"
UNCACHED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
FILES = "assets"


def config(shop, path="/current", viewers="redirect-to-https", policy=CACHED, enabled=True, aliases=("assets",), certificate=None, tls="TLSv1.2_2021", acl=True,
           service=None):
    """`service` is how a service behind the same distribution is cached, and by which origin it is reached."""
    origins = [{"Id": FILES, "DomainName": bucket(shop), "OriginPath": path, "S3OriginConfig": {"OriginAccessIdentity": ""}}]
    rules = []
    if service:
        policy_of_it, origin = service
        origins.append({"Id": "service", "DomainName": f"shop.{shop.domain}", "OriginPath": "",
                        "CustomOriginConfig": {"HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": "https-only"}})
        rules.append({"PathPattern": "/api/*", "TargetOriginId": origin, "ViewerProtocolPolicy": "https-only", "CachePolicyId": policy_of_it})
    names = [f"{name}.{shop.domain}" for name in aliases]
    return {"CallerReference": shop.name, "Comment": "x", "Enabled": enabled, "Origins": {"Quantity": len(origins), "Items": origins},
            "DefaultCacheBehavior": {"TargetOriginId": FILES, "ViewerProtocolPolicy": viewers, "CachePolicyId": policy},
            "CacheBehaviors": {"Quantity": len(rules), "Items": rules}, "Aliases": {"Quantity": len(names), "Items": names},
            "ViewerCertificate": {"ACMCertificateArn": certificate or shop.assets_certificate, "SSLSupportMethod": "sni-only", "MinimumProtocolVersion": tls},
            "WebACLId": shop.assets_acl if acl else ""}


def bucket(shop):
    return f"{shop.bucket}.s3.{REGION}.amazonaws.com"


FILES_RULE = {"paths": "*", "origin": FILES, "viewers": "redirect-to-https", "caches": True}


def make(shop):
    metrics = {"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True, "MetricName": "m"}
    shop.assets_acl = client("wafv2", "us-east-1").create_web_acl(Name=f"{shop.name}-assets", Scope="CLOUDFRONT", DefaultAction={"Allow": {}},
                                                                  VisibilityConfig=metrics)["Summary"]["ARN"]
    made = client("cloudfront").create_distribution(DistributionConfig=config(shop))["Distribution"]
    shop.distribution, shop.cdn_name = made["Id"], made["DomainName"]
    shop.facts["distributions"][shop.distribution] = seen({
        "enabled": True, "aliases": [f"assets.{shop.domain}"], "certificate": shop.assets_certificate, "minimum_tls": "TLSv1.2_2021",
        "web_acl": shop.assets_acl,
        "origins": [{"id": FILES, "domain": bucket(shop), "path": "/current"}], "behaviours": [FILES_RULE]})
    budget(shop)


def update(shop, **change):
    cloudfront = client("cloudfront")
    tag = cloudfront.get_distribution_config(Id=shop.distribution)["ETag"]
    cloudfront.update_distribution(Id=shop.distribution, IfMatch=tag, DistributionConfig=config(shop, **change))


def changed(shop, fact, **change):
    update(shop, **change)
    yield {"distributions": {shop.distribution: seen(fact)}}
    update(shop)


@fault("cloudfront_distribution_off")
def distribution_is_off(shop):
    yield from changed(shop, {"enabled": False}, enabled=False)


@fault("cloudfront_host_unknown")
def name_was_not_added(shop):
    yield from changed(shop, {"aliases": []}, aliases=[])


@fault("cloudfront_certificate_wrong")
def another_name_was_added(shop):
    yield from changed(shop, {"aliases": [f"{name}.{shop.domain}" for name in ("assets", "cdn")]}, aliases=["assets", "cdn"])


@fault("cloudfront_tls_old")
def tls_of_2016(shop):
    yield from changed(shop, {"minimum_tls": "TLSv1_2016"}, tls="TLSv1_2016")


@fault("cloudfront_web_acl_missing")
def no_web_acl_at_the_edge(shop):
    yield from changed(shop, {"web_acl": None}, acl=False)


@fault("cloudfront_origin_path_wrong")
def files_of_another_release(shop):
    yield from changed(shop, {"origins": [{"id": FILES, "domain": bucket(shop), "path": "/next"}]}, path="/next")


@fault("cloudfront_http_allowed")
def files_over_http(shop):
    yield from changed(shop, {"behaviours": [FILES_RULE | {"viewers": "allow-all"}]}, viewers="allow-all")


@fault("cloudfront_files_uncached")
def nothing_is_cached(shop):
    yield from changed(shop, {"behaviours": [FILES_RULE | {"caches": False}]}, policy=UNCACHED)


def with_service(shop, policy, origin, caches):
    origins = [{"id": FILES, "domain": bucket(shop), "path": "/current"}, {"id": "service", "domain": f"shop.{shop.domain}", "path": ""}]
    rule = {"paths": "/api/*", "origin": origin, "viewers": "https-only", "caches": caches}
    yield from changed(shop, {"origins": origins, "behaviours": [rule, FILES_RULE]}, service=(policy, origin))


@fault("cloudfront_answers_cached")
def api_is_cached(shop):
    yield from with_service(shop, CACHED, "service", True)


@fault("cloudfront_origin_unknown")
def origin_was_renamed(shop):
    yield from with_service(shop, UNCACHED, "backend", False)


def budget(shop):
    notification = {"NotificationType": "ACTUAL", "ComparisonOperator": "GREATER_THAN", "Threshold": 80, "ThresholdType": "PERCENTAGE"}
    client("budgets", "us-east-1").create_budget(
        AccountId=account(), Budget={"BudgetName": shop.name, "BudgetLimit": {"Amount": "600", "Unit": "USD"}, "TimeUnit": "MONTHLY", "BudgetType": "COST"},
        NotificationsWithSubscribers=[{"Notification": notification, "Subscribers": [{"SubscriptionType": "EMAIL", "Address": "a@example.com"}]}])
    shop.facts["budgets"] = seen({shop.name: {"limit_cents": 60000, "unit": "USD", "period": "MONTHLY"}})


@fault("budgets_budget_missing")
def no_budget(shop):
    client("budgets", "us-east-1").delete_budget(AccountId=account(), BudgetName=shop.name)
    yield {"budgets": seen({shop.name: None})}
    budget(shop)
