//! Certificates, records, zones.

mod record;

use std::collections::BTreeSet;

use super::balancer::is_secure;
use super::rollback::day;
use crate::readiness::check::{Over, Rule, Ruling, Scene, Verdict};
use crate::readiness::fact::edge::{Balancer, Certificate, Validation};
use crate::readiness::intent::HostIntent;
use crate::readiness::known::{Known, Unseen};
use crate::readiness::scene::{about, has_name, same_name};
use crate::time::DAY_MILLIS;

pub(super) const RULES: &[Rule] = &[
    rule!(
        "acm_certificate_not_issued", Dns, Critical, BLOCKING, STAGING_TOO,
        title: "Each certificate in use is issued",
        why: "Browsers refuse one that has ended or was revoked; one that waits for its validation serves nobody.",
        remedy: "Put the validation records into the zone, or request a new certificate.",
        cli: "aws acm describe-certificate --certificate-arn <certificate>",
        terraform: "aws_acm_certificate_validation",
        cdk: "Certificate validation: CertificateValidation.fromDns(zone)",
        source: "AWS Certificate Manager User Guide, \"View AWS Certificate Manager certificate details\"",
        over: each_certificate(issued),
    ),
    rule!(
        "acm_host_uncovered", Dns, Critical, BLOCKING, STAGING_TOO,
        title: "A certificate covers every host name",
        why: "Browsers warn everybody away from a name that no certificate has; a wildcard covers one label only.",
        remedy: "Request a certificate with all host names in it.",
        cli: "aws acm request-certificate --domain-name <host> --subject-alternative-names <other-hosts> --validation-method DNS",
        terraform: "aws_acm_certificate.subject_alternative_names",
        cdk: "Certificate subjectAlternativeNames",
        source: "AWS Certificate Manager User Guide, \"AWS Certificate Manager public certificate characteristics and limitations\"",
        over: each_host(covered),
    ),
    rule!(
        "elbv2_certificate_detached", Dns, Critical, BLOCKING, STAGING_TOO,
        title: "The certificate of each host name is attached to this listener",
        why: "A certificate that is issued but not attached serves nobody: the listener shows its default one, and browsers refuse it.",
        remedy: "Add the certificate to the listener at 443.",
        cli: "aws elbv2 add-listener-certificates --listener-arn <listener> --certificates CertificateArn=<certificate>",
        terraform: "aws_lb_listener_certificate",
        cdk: "ApplicationListener addCertificates",
        source: "User Guide for Application Load Balancers, \"SSL certificates for your Application Load Balancer\"",
        over: each_host(on_listener),
    ),
    rule!(
        "acm_renewal_stuck", Dns, High, BLOCKING, PRODUCTION,
        title: "Each certificate in use renews itself",
        why: "Without its CNAME record ACM cannot renew it; one that was imported, or is validated by e-mail, waits for a person.",
        remedy: "Keep the CNAME record of each name in the zone; replace imported certificates by requested ones.",
        cli: "aws acm describe-certificate --certificate-arn <certificate> --query Certificate.DomainValidationOptions",
        terraform: "aws_route53_record for each aws_acm_certificate.domain_validation_options",
        cdk: "Certificate validation: CertificateValidation.fromDns(zone)",
        source: "AWS Certificate Manager User Guide, \"Renewal for domains validated by DNS\"",
        over: each_certificate(renews),
    ),
    rule!(
        "acm_certificate_ending", Dns, High, BLOCKING, STAGING_TOO,
        title: "Each certificate in use is valid for 30 days more",
        why: "ACM renews 45 to 60 days before the end: what has less left was not renewed, and nobody noticed.",
        remedy: "Find out why it was not renewed, or import its successor.",
        cli: "aws acm describe-certificate --certificate-arn <certificate> --query Certificate.RenewalSummary",
        terraform: "aws_acm_certificate",
        cdk: "Certificate metricDaysToExpiry",
        source: "AWS Certificate Manager User Guide, \"Managed certificate renewal in AWS Certificate Manager\"",
        over: each_certificate(lasts),
    ),
    rule!(
        "route53_zone_missing", Dns, Critical, BLOCKING, EVERYWHERE,
        title: "The zone of each host name exists",
        why: "Nothing can be said of names in a zone that is not there, and no cutover can be made in it.",
        remedy: "Name the right zone in the readiness file, or make it.",
        cli: "aws route53 get-hosted-zone --id <zone>",
        terraform: "aws_route53_zone",
        cdk: "PublicHostedZone",
        source: "Amazon Route 53 Developer Guide, \"Working with public hosted zones\"",
        over: each_zone(|scene, id| {
            let there = scene.facts.zones.find(id)?.is_some();
            Ok(Verdict::when(there, || "there is no such zone".to_owned(), "the zone"))
        }),
    ),
    rule!(
        "route53_record_astray", Dns, Critical, BLOCKING, STAGING_TOO,
        title: "Each host name points where the plan says",
        why: "Otherwise the release is made in one place while customers are in another.",
        remedy: "Point the record at the load balancer or the distribution; use an alias.",
        cli: "aws route53 change-resource-record-sets --hosted-zone-id <zone> --change-batch <file with the alias>",
        terraform: "aws_route53_record.alias",
        cdk: "ARecord target: RecordTarget.fromAlias",
        source: "Amazon Route 53 Developer Guide, \"Choosing between alias and non-alias records\"",
        over: each_host(record::arrives),
    ),
    rule!(
        "route53_ttl_long", Dns, Medium, BLOCKING, STAGING_TOO,
        title: "Ahead of a cutover the record's TTL is low",
        why: "Until the old TTL has passed everywhere, customers stay where they were: so long takes the cutover, and so long the way back.",
        remedy: "Lower the TTL to 60 seconds, and wait for the old one to pass before the cutover.",
        cli: "aws route53 change-resource-record-sets --hosted-zone-id <zone> --change-batch <file with the TTL>",
        terraform: "aws_route53_record.ttl",
        cdk: "CnameRecord ttl",
        source: "Amazon Route 53 Developer Guide, \"Best practices for Amazon Route 53 DNS\"",
        over: each_host(record::is_brief),
    ),
    rule!(
        "route53_delegation_wrong", Dns, Critical, BLOCKING, STAGING_TOO,
        title: "The world is sent to the zone's own name servers",
        why: "What is changed in a zone that nobody is sent to changes nothing; certificates in it are neither validated nor renewed.",
        remedy: "Give the registrar, or the parent zone, the four name servers of this zone.",
        cli: "aws route53domains update-domain-nameservers --domain-name <domain> --nameservers Name=<server>",
        terraform: "aws_route53domains_registered_domain.name_server; aws_route53_record of type NS in the parent",
        cdk: "ZoneDelegationRecord",
        source: "Amazon Route 53 Developer Guide, \"Getting the name servers for a public hosted zone\"",
        over: each_zone(record::delegated),
    ),
    rule!(
        "route53_record_uncertified", Dns, Medium, BLOCKING, PRODUCTION,
        title: "Certificate, record and listener agree",
        why: "A name that leads to the listener without being in one of its certificates shows everybody a warning.",
        remedy: "Take the record away, or add a certificate with the name to the listener and the name to the plan.",
        cli: "aws elbv2 add-listener-certificates --listener-arn <listener> --certificates CertificateArn=<certificate>",
        terraform: "aws_lb_listener_certificate; aws_route53_record",
        cdk: "ApplicationListener addCertificates; ARecord",
        source: "User Guide for Application Load Balancers, \"SSL certificates for your Application Load Balancer\"",
        over: super::each_balancer(record::certified),
    ),
];

/// Looks at each host name.
const fn each_host(judge: fn(&Scene<'_>, &str) -> Ruling) -> Over {
    Over::Each {
        which: |scene| Ok(scene.hosts()),
        judge,
    }
}

/// Looks at each zone that host names are in.
const fn each_zone(judge: fn(&Scene<'_>, &str) -> Ruling) -> Over {
    Over::Each {
        which: |scene| {
            let zones: BTreeSet<_> = scene.intent.hosts.iter().map(|host| host.zone.clone()).collect();
            Ok(zones.into_iter().collect())
        },
        judge,
    }
}

/// Looks at each certificate that a listener of a load balancer or a distribution shows.
const fn each_certificate(judge: fn(&Scene<'_>, &str) -> Ruling) -> Over {
    Over::Each { which: in_use, judge }
}

fn in_use(scene: &Scene<'_>) -> Result<Vec<String>, Unseen> {
    let mut all = BTreeSet::new();
    for arn in scene.all_balancers()? {
        all.extend(shown(scene, &arn)?.unwrap_or_default());
    }
    for id in &scene.intent.data.distributions {
        let distribution = scene.facts.distributions.find(id)?;
        all.extend(distribution.and_then(|one| one.certificate.clone()));
    }
    Ok(all.into_iter().collect())
}

/// The certificates that a load balancer shows at 443; `None` when it has no HTTPS listener there, which is another check's failure.
fn shown(scene: &Scene<'_>, balancer: &str) -> Result<Option<Vec<String>>, Unseen> {
    let Some(listener) = scene.listener(balancer, 443)?.filter(|one| is_secure(one)) else {
        return Ok(None);
    };
    let certificates = listener.certificates.get();
    let certificates = certificates.map_err(|unseen| about(unseen, &listener.arn))?;
    Ok(Some(certificates.clone()))
}

fn issued(scene: &Scene<'_>, arn: &str) -> Ruling {
    let status = &scene.facts.certificates.get(arn)?.status;
    Ok(Verdict::when(status == "ISSUED", || status.clone(), "ISSUED"))
}

/// A host name of the plan.
fn host<'a>(scene: &Scene<'a>, name: &str) -> Result<&'a HostIntent, Unseen> {
    let found = scene.intent.hosts.iter().find(|host| host.name == name);
    found.ok_or_else(|| Unseen::not_asked(name))
}

/// Whether any certificate that is known of has a name.
fn any_covers(scene: &Scene<'_>, name: &str) -> Result<bool, Unseen> {
    let (mut unseen, mut found) = (None, false);
    for (arn, certificate) in scene.facts.certificates.iter() {
        match certificate {
            Known::Seen(certificate) => found |= has_name(&certificate.names, name),
            Known::Missing => {}
            Known::Unknown(why) => unseen = Some(about(why.clone(), arn)),
        }
    }
    match unseen {
        Some(unseen) if !found => Err(unseen),
        Some(_) | None => Ok(found),
    }
}

/// Load balancers with the certificates that they show at 443.
type Serving<'a> = Vec<(&'a Balancer, Vec<String>)>;

/// The load balancers of the services that serve a host name over HTTPS; `None` when none of them is meant to.
fn serving<'a>(scene: &Scene<'a>, host: &HostIntent) -> Result<Option<Serving<'a>>, Unseen> {
    let served = scene.served_by_balancers()?;
    if !served.iter().any(|served| served.name == host.name) {
        return Ok(None);
    }
    let mut all = Vec::new();
    for (arn, balancer) in scene.balancers()? {
        let is_its = host
            .target
            .as_deref()
            .is_none_or(|target| same_name(target, &balancer.dns_name));
        if let Some(shown) = shown(scene, &arn)?.filter(|_| is_its) {
            all.push((balancer, shown));
        }
    }
    Ok(Some(all))
}

const NO_LISTENER: &str = "there is no HTTPS listener at 443";

fn covered(scene: &Scene<'_>, name: &str) -> Ruling {
    // Read even when some certificate is enough: which ones are shown is what the plan is about.
    in_use(scene)?;
    let covered = any_covers(scene, name)?;
    // Certificates are known by who shows them.
    if !covered && serving(scene, host(scene, name)?)?.is_some_and(|all| all.is_empty()) {
        return Ok(Verdict::not_applicable(NO_LISTENER));
    }
    Ok(Verdict::when(
        covered,
        || "no certificate has the name".to_owned(),
        format!("a certificate for {name}"),
    ))
}

fn on_listener(scene: &Scene<'_>, name: &str) -> Ruling {
    let Some(serving) = serving(scene, host(scene, name)?)? else {
        return Ok(Verdict::not_applicable(
            "no load balancer of the services serves it",
        ));
    };
    let mut wrong = Vec::new();
    for (balancer, shown) in &serving {
        let mut has = false;
        for certificate in shown {
            has |= has_name(&scene.facts.certificates.get(certificate)?.names, name);
        }
        if !has {
            wrong.push(format!("no certificate at 443 of {} has the name", balancer.name));
        }
    }
    Ok(if serving.is_empty() {
        Verdict::not_applicable(NO_LISTENER)
    } else if !wrong.is_empty() && !any_covers(scene, name)? {
        Verdict::not_applicable("no certificate has the name")
    } else {
        Verdict::unless(&wrong, format!("a certificate for {name} at 443"))
    })
}

/// Whether a certificate still waits: nothing can be said yet of its renewal and its end.
fn waits(certificate: &Certificate) -> Option<Verdict> {
    let waits = certificate.status != "ISSUED";
    waits.then(|| Verdict::not_applicable("it is not issued"))
}

fn renews(scene: &Scene<'_>, arn: &str) -> Ruling {
    let certificate = scene.facts.certificates.get(arn)?;
    let mut wrong = Vec::new();
    if !certificate.issued_by_acm {
        wrong.push("it was imported".to_owned());
    }
    if let Some(status @ ("PENDING_VALIDATION" | "FAILED")) = certificate.renewal.as_deref() {
        wrong.push(format!("its renewal is {status}"));
    }
    for validation in certificate
        .validations
        .iter()
        .filter(|_| certificate.issued_by_acm)
    {
        wrong.extend(validates(scene, validation)?);
    }
    let wanted = "one of ACM, with the CNAME record of each name still in the zone";
    Ok(waits(certificate).unwrap_or_else(|| Verdict::unless(&wrong, wanted)))
}

/// What keeps a name from being validated again.
fn validates(scene: &Scene<'_>, validation: &Validation) -> Result<Option<String>, Unseen> {
    let (name, method) = (&validation.name, &validation.method);
    match method.as_str() {
        // The distribution itself answers for it (AWS Certificate Manager User Guide, "Renewal for domains validated by HTTP").
        "HTTP" => return Ok(None),
        "DNS" => {}
        _ => return Ok(Some(format!("{name} is validated by {method}"))),
    }
    let (record, value) = validation
        .record
        .as_ref()
        .ok_or_else(|| Unseen::not_asked(name))?;
    let kept = record::in_public_zone(scene, record)?
        .into_iter()
        .any(|found| found.kind == "CNAME" && found.values.iter().any(|kept| same_name(kept, value)));
    Ok((!kept).then(|| format!("{record} is not in the zone")))
}

fn lasts(scene: &Scene<'_>, arn: &str) -> Ruling {
    let certificate = scene.facts.certificates.get(arn)?;
    if let Some(waits) = waits(certificate) {
        return Ok(waits);
    }
    let end = certificate.not_after.ok_or_else(|| Unseen::not_asked(arn))?;
    let days = scene.intent.limits.certificate_days;
    let left = end.as_millis().saturating_sub(scene.facts.at.as_millis());
    let enough = left >= u64::from(days).saturating_mul(DAY_MILLIS);
    Ok(Verdict::when(
        enough,
        || format!("it ends on {}", day(end)),
        format!("{days} days left or more"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::catalogue;
    use crate::readiness::example::{self, BALANCER, CERTIFICATE};
    use crate::readiness::known::Table;
    use crate::readiness::report::{Status, judge};

    /// A listener of HTTP shows no certificate, and what nobody shows is not read: that is a failure of the listener, and of nothing
    /// else.
    #[test]
    fn a_listener_that_speaks_http_is_one_failure() {
        let (mut facts, intent) = example::shop();
        let balancer = facts.balancers.seen_mut(BALANCER).expect("the shop has one");
        let Known::Seen(listeners) = &mut balancer.listeners else {
            panic!("the shop has them")
        };
        for listener in listeners.iter_mut().filter(|listener| listener.port == 443) {
            listener.protocol = "HTTP".to_owned();
            listener.certificates = Known::Seen(Vec::new());
        }
        let mut read = Table::default();
        for (arn, known) in facts.certificates.iter().filter(|(arn, _)| *arn != CERTIFICATE) {
            read.put(arn, known.clone());
        }
        facts.certificates = read;
        let scene = Scene {
            facts: &facts,
            intent: &intent,
        };
        let report = judge(&catalogue::all(), &scene, &[], facts.at);
        let is_wrong = |status: &Status| matches!(status, Status::Fail { .. } | Status::Unknown { .. });
        let wrong: BTreeSet<&str> = report
            .findings
            .iter()
            .filter(|finding| is_wrong(&finding.status))
            .map(|finding| finding.check.as_str())
            .collect();
        assert_eq!(wrong, ["elbv2_https_listener_missing"].into());
    }
}
