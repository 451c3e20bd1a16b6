"""Certificates, the zone and its records, the zone above it."""
import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import balancer
import cdn
from common import REGION, client, fault, seen

# CloudFront takes certificates of this region only.
OF_CLOUDFRONT = "us-east-1"
# Of every alias to a distribution (Amazon Route 53 API, "AliasTarget").
CLOUDFRONT_ZONE = "Z2FDTNDATAQYW2"


def certificates(shop):
    """Before all else, for an emulator takes its time to issue one."""
    shop.certificate = request(REGION, f"shop.{shop.domain}", f"www.{shop.domain}")
    shop.assets_certificate = request(OF_CLOUDFRONT, f"assets.{shop.domain}")
    # Two that nothing shows, for faults to come.
    shop.narrow, shop.wide = request(REGION, f"shop.{shop.domain}"), request(OF_CLOUDFRONT, f"*.{shop.domain}")
    for arn, names in ((shop.certificate, ["shop", "www"]), (shop.assets_certificate, ["assets"])):
        shop.facts["certificates"][arn] = seen(certificate([f"{name}.{shop.domain}" for name in names]))


def request(region, name, *more):
    also = {"SubjectAlternativeNames": list(more)} if more else {}
    return client("acm", region).request_certificate(DomainName=name, ValidationMethod="DNS", **also)["CertificateArn"]


def certificate(names, status="ISSUED", issued_by_acm=True):
    return {"status": status, "names": names, "issued_by_acm": issued_by_acm, "not_after": "any", "renewal": None}


def until(arn, status):
    """Asks until it is so, for a minute at most."""
    acm, end = client("acm", arn.split(":")[3]), datetime.datetime.now() + datetime.timedelta(minutes=1)
    while acm.describe_certificate(CertificateArn=arn)["Certificate"]["Status"] != status:
        if datetime.datetime.now() > end:
            raise TimeoutError(f"{arn} is not {status}")


def make(shop):
    route53 = client("route53")
    made = route53.create_hosted_zone(Name=shop.domain, CallerReference=shop.name)
    shop.zone, shop.servers = made["HostedZone"]["Id"].split("/")[-1], made["DelegationSet"]["NameServers"]
    shop.parent = route53.create_hosted_zone(Name="example.com", CallerReference=f"{shop.name}-parent")["HostedZone"]["Id"].split("/")[-1]
    delegate(shop, shop.servers)
    for one in wanted(shop):
        change(shop, "CREATE", one)
    shop.facts["zones"][shop.zone] = seen({"name": shop.domain, "private": False, "name_servers": shop.servers,
                                           "delegated_to": seen(sorted(shop.servers)), "records": records(shop, wanted(shop))})
    for arn in (shop.certificate, shop.narrow, shop.assets_certificate, shop.wide):
        until(arn, "ISSUED")


def delegate(shop, servers):
    above = {"Name": shop.domain, "Type": "NS", "TTL": 300, "ResourceRecords": [{"Value": server} for server in servers]}
    client("route53").change_resource_record_sets(HostedZoneId=shop.parent, ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": above}]})


def alias(shop, name, to, zone):
    return {"Name": f"{name}.{shop.domain}", "Type": "A", "AliasTarget": {"HostedZoneId": zone, "DNSName": to, "EvaluateTargetHealth": False}}


def cname(name, to, ttl):
    return {"Name": name, "Type": "CNAME", "TTL": ttl, "ResourceRecords": [{"Value": to}]}


def wanted(shop):
    validation = {}
    for arn in (shop.certificate, shop.assets_certificate, shop.wide):
        found = client("acm", arn.split(":")[3]).describe_certificate(CertificateArn=arn)["Certificate"]
        for one in found["DomainValidationOptions"]:
            record = one["ResourceRecord"]
            validation[record["Name"]] = cname(record["Name"].rstrip("."), record["Value"].rstrip("."), 300)
    return [alias(shop, "shop", shop.dns_name, shop.dns_zone), alias(shop, "assets", shop.cdn_name, CLOUDFRONT_ZONE),
            cname(f"www.{shop.domain}", shop.dns_name, 60), *validation.values()]


def records(shop, those):
    """The facts of records, in the order that Route 53 lists them in: by the labels of their names from behind, then by their types."""
    def fact(one):
        to = one.get("AliasTarget", {}).get("DNSName")
        return {"name": one["Name"], "kind": one["Type"], "ttl": one.get("TTL"), "alias": to, "weight": None,
                "values": [value["Value"] for value in one.get("ResourceRecords", [])]}
    own = [{"name": shop.domain, "kind": kind, "ttl": "any", "alias": None, "weight": None, "values": "any"} for kind in ("NS", "SOA")]
    return seen(sorted(own + [fact(one) for one in those], key=lambda one: (one["name"].split(".")[::-1], one["kind"])))


def change(shop, action, record):
    client("route53").change_resource_record_sets(HostedZoneId=shop.zone, ChangeBatch={"Changes": [{"Action": action, "ResourceRecordSet": record}]})


def with_record(shop, record, before=None):
    """One record more, or in the place of one."""
    change(shop, "UPSERT", record)
    kept = [one for one in wanted(shop) if one["Name"] != record["Name"]]
    yield {"zones": {shop.zone: seen({"records": records(shop, [*kept, record])})}}
    change(shop, "UPSERT" if before else "DELETE", before or record)


@fault("route53_record_astray")
def record_of_the_old_balancer(shop):
    old = f"old-1.{REGION}.elb.amazonaws.com"
    yield from with_record(shop, alias(shop, "shop", old, shop.dns_zone), alias(shop, "shop", shop.dns_name, shop.dns_zone))


@fault("route53_ttl_long")
def half_an_hour(shop):
    name = f"www.{shop.domain}"
    yield from with_record(shop, cname(name, shop.dns_name, 1800), cname(name, shop.dns_name, 60))


# What served before is kept for an hour, which is the TTL without any margin.
@fault("route53_ttl_long", "rollback_target_kept_short")
def an_hour(shop):
    name = f"www.{shop.domain}"
    yield from with_record(shop, cname(name, shop.dns_name, 3600), cname(name, shop.dns_name, 60))


@fault("route53_record_uncertified")
def name_that_nobody_planned(shop):
    yield from with_record(shop, alias(shop, "beta", shop.dns_name, shop.dns_zone))


@fault("acm_renewal_stuck")
def validation_is_gone(shop):
    all_of_them = wanted(shop)
    gone = next(one for one in all_of_them if one["Name"].startswith("_") and one["Name"].endswith(f".www.{shop.domain}"))
    change(shop, "DELETE", gone)
    yield {"zones": {shop.zone: seen({"records": records(shop, [one for one in all_of_them if one is not gone])})}}
    change(shop, "CREATE", gone)


@fault("route53_delegation_wrong")
def world_is_sent_elsewhere(shop):
    delegate(shop, ["ns-9.awsdns-09.com"])
    yield {"zones": {shop.zone: seen({"delegated_to": seen(["ns-9.awsdns-09.com"])})}}
    delegate(shop, shop.servers)


# Faults of certificates.


def shows(shop, arn, fact):
    """The listener shows another certificate."""
    yield from balancer.at_443(shop, {"certificates": seen([arn])}, Certificates=[{"CertificateArn": arn}],
                               more={"certificates": {shop.certificate: None, arn: seen(fact)}})


def imported(shop, lasts):
    """A certificate of one's own that lasts for so long."""
    names = [f"shop.{shop.domain}", f"www.{shop.domain}"]
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + lasts)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), False).sign(key, hashes.SHA256()))
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    arn = client("acm").import_certificate(Certificate=made.public_bytes(pem), PrivateKey=private)["CertificateArn"]
    return arn, certificate(names, issued_by_acm=False)


@fault("acm_renewal_stuck")
def nobody_renews_it(shop):
    yield from shows(shop, *imported(shop, datetime.timedelta(days=300)))


@fault("acm_renewal_stuck", "acm_certificate_ending")
def ten_days_left(shop):
    yield from shows(shop, *imported(shop, datetime.timedelta(days=10)))


@fault("acm_certificate_not_issued")
def certificate_has_ended(shop):
    arn, fact = imported(shop, datetime.timedelta(seconds=4))
    until(arn, "EXPIRED")
    yield from shows(shop, arn, fact | {"status": "EXPIRED"})


@fault("acm_host_uncovered")
def name_in_no_certificate(shop):
    yield from shows(shop, shop.narrow, certificate([f"shop.{shop.domain}"]))


@fault("elbv2_certificate_detached")
def name_at_the_wrong_place(shop):
    """The distribution shows a certificate for all names, the listener one for only one."""
    with_wide = cdn.changed(shop, {"certificate": shop.wide}, certificate=shop.wide)
    more = next(with_wide)
    narrow = shows(shop, shop.narrow, certificate([f"shop.{shop.domain}"]))
    said = next(narrow)
    said["certificates"] |= {shop.assets_certificate: None, shop.wide: seen(certificate([f"*.{shop.domain}"]))}
    yield said | more
    for one in (narrow, with_wide):
        next(one, None)


@fault("route53_zone_missing", stays=True)
def no_zone(shop):
    for one in wanted(shop):
        change(shop, "DELETE", one)
    client("route53").delete_hosted_zone(Id=shop.zone)
    yield {"zones": {shop.zone: "missing"}}
