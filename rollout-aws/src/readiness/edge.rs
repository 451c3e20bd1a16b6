//! Target groups, the load balancers before them, certificates.

use core::future::Future;
use std::collections::BTreeSet;

use aws_sdk_acm::types as acm;
use aws_sdk_elasticloadbalancingv2::types as elb;
use futures_util::future::join;
use rollout_core::readiness::fact::edge::{
    Action, Balancer, BalancerAttributes, Certificate, Listener, Rule, Target, TargetCheck, TargetGroup,
    Validation,
};
use rollout_core::readiness::known::{Known, Table};

use super::call::Call;
use super::map::{arn, count, name, port, text, time};
use super::round::{Asked, Refused, Round, batched, each, known, names, pages, table};

/// Resources of one call by ARN, at most (Elastic Load Balancing API, "DescribeTargetGroups", "DescribeLoadBalancers").
const ARNS: usize = 20;

/// Target groups by ARN, with their attributes and targets.
pub(super) async fn target_groups(round: &Round<'_>, arns: BTreeSet<String>) -> Table<TargetGroup> {
    let mut groups = batched(arns, ARNS, |arns| async move {
        let subject = arns.join(", ");
        let request = round
            .aws
            .elb
            .describe_target_groups()
            .set_target_group_arns(Some(arns));
        let answer = round
            .ask(Call::DescribeTargetGroups, &subject, request.send())
            .await?;
        let all = answer.target_groups().iter();
        Ok(all
            .map(|group| (text(group.target_group_arn()), target_group(group)))
            .collect())
    })
    .await;
    fill(
        &mut groups,
        |arn| async move { join(drain(round, &arn), targets(round, &arn)).await },
        |group, (drain, targets)| {
            group.deregistration_seconds = known(drain);
            group.targets = known(targets);
        },
    )
    .await;
    groups
}

/// Asks more of everything in a table that was seen.
async fn fill<T, A, F: Future<Output = A>>(
    table: &mut Table<T>,
    look: impl Fn(String) -> F,
    put: impl Fn(&mut T, A),
) {
    let there: Vec<String> = super::round::seen(table)
        .map(|(name, _)| name.to_owned())
        .collect();
    let more = each(there.iter().cloned().map(&look)).await;
    for (name, more) in there.iter().zip(more) {
        if let Some(value) = table.seen_mut(name) {
            put(value, more);
        }
    }
}

fn target_group(group: &elb::TargetGroup) -> TargetGroup {
    let word = |protocol: Option<&elb::ProtocolEnum>| text(protocol.map(elb::ProtocolEnum::as_str));
    TargetGroup {
        name: text(group.target_group_name()),
        port: port(group.port().unwrap_or(0)),
        protocol: word(group.protocol()),
        health: TargetCheck {
            protocol: word(group.health_check_protocol()),
            port: text(group.health_check_port()),
            path: group.health_check_path().map(ToOwned::to_owned),
            interval_seconds: group.health_check_interval_seconds().map_or(0, count),
            timeout_seconds: group.health_check_timeout_seconds().map_or(0, count),
            healthy: group.healthy_threshold_count().map_or(0, count),
            unhealthy: group.unhealthy_threshold_count().map_or(0, count),
        },
        deregistration_seconds: Known::default(),
        // Each once: an emulator names it for every rule that leads here.
        balancers: names(group.load_balancer_arns()).into_iter().collect(),
        targets: Known::default(),
    }
}

async fn drain(round: &Round<'_>, arn: &str) -> Asked<u32> {
    let request = round
        .aws
        .elb
        .describe_target_group_attributes()
        .target_group_arn(arn);
    let answer = round
        .ask(Call::DescribeTargetGroupAttributes, arn, request.send())
        .await?;
    let mut all = answer.attributes().iter();
    let seconds = all
        .find(|one| one.key() == Some("deregistration_delay.timeout_seconds"))
        .and_then(|one| one.value()?.parse().ok());
    seconds.ok_or_else(|| Refused::unclear(arn, "its attributes say no deregistration delay"))
}

async fn targets(round: &Round<'_>, arn: &str) -> Asked<Vec<Target>> {
    let request = round.aws.elb.describe_target_health().target_group_arn(arn);
    let answer = round.ask(Call::DescribeTargetHealth, arn, request.send()).await?;
    let target = |one: &elb::TargetHealthDescription| Target {
        id: text(one.target().and_then(|target| target.id())),
        state: text(
            one.target_health()
                .and_then(|health| health.state())
                .map(|state| state.as_str()),
        ),
    };
    Ok(answer.target_health_descriptions().iter().map(target).collect())
}

/// Load balancers by ARN, with their attributes and listeners; their web ACLs are asked for elsewhere.
pub(super) async fn balancers(round: &Round<'_>, arns: BTreeSet<String>) -> Table<Balancer> {
    let mut balancers = batched(arns, ARNS, |arns| async move {
        let subject = arns.join(", ");
        let request = round
            .aws
            .elb
            .describe_load_balancers()
            .set_load_balancer_arns(Some(arns));
        let answer = round
            .ask(Call::DescribeBalancers, &subject, request.send())
            .await?;
        let all = answer.load_balancers().iter();
        Ok(all
            .map(|one| (text(one.load_balancer_arn()), balancer(one)))
            .collect())
    })
    .await;
    fill(
        &mut balancers,
        |arn| async move { join(attributes(round, &arn), listeners(round, &arn)).await },
        |balancer, (attributes, listeners)| {
            balancer.attributes = known(attributes);
            balancer.listeners = known(listeners);
        },
    )
    .await;
    balancers
}

fn balancer(balancer: &elb::LoadBalancer) -> Balancer {
    let zones = balancer.availability_zones().iter();
    // Only an Application Load Balancer can have a web ACL (AWS WAF Developer Guide, "Resources that you can protect with AWS
    // WAF").
    let application = balancer.r#type() == Some(&elb::LoadBalancerTypeEnum::Application);
    Balancer {
        name: text(balancer.load_balancer_name()),
        dns_name: text(balancer.dns_name()),
        internet_facing: balancer.scheme() == Some(&elb::LoadBalancerSchemeEnum::InternetFacing),
        zones: zones
            .filter_map(|zone| zone.zone_name().map(ToOwned::to_owned))
            .collect(),
        security_groups: balancer.security_groups().to_vec(),
        attributes: Known::default(),
        listeners: Known::default(),
        web_acl: if application {
            Known::default()
        } else {
            Known::Missing
        },
    }
}

async fn attributes(round: &Round<'_>, arn: &str) -> Asked<BalancerAttributes> {
    let request = round
        .aws
        .elb
        .describe_load_balancer_attributes()
        .load_balancer_arn(arn);
    let answer = round
        .ask(Call::DescribeBalancerAttributes, arn, request.send())
        .await?;
    let value = |key: &str| {
        let mut all = answer.attributes().iter();
        all.find(|one| one.key() == Some(key)).and_then(|one| one.value())
    };
    let bucket = value("access_logs.s3.bucket").filter(|bucket| !bucket.is_empty());
    Ok(BalancerAttributes {
        access_logs: bucket
            .filter(|_| value("access_logs.s3.enabled") == Some("true"))
            .map(ToOwned::to_owned),
        deletion_protection: value("deletion_protection.enabled") == Some("true"),
    })
}

async fn listeners(round: &Round<'_>, balancer: &str) -> Asked<Vec<Listener>> {
    let found = pages(Call::DescribeListeners, balancer, |token| {
        let request = round
            .aws
            .elb
            .describe_listeners()
            .load_balancer_arn(balancer)
            .set_marker(token);
        let asked = round.ask(Call::DescribeListeners, balancer, request.send());
        async move {
            asked
                .await
                .map(|answer| (answer.listeners.unwrap_or_default(), answer.next_marker))
        }
    })
    .await?;
    Ok(each(found.iter().map(|one| listener(round, one))).await)
}

async fn listener(round: &Round<'_>, listener: &elb::Listener) -> Listener {
    let arn = listener.listener_arn().unwrap_or_default();
    let secure = matches!(
        listener.protocol(),
        Some(elb::ProtocolEnum::Https | elb::ProtocolEnum::Tls)
    );
    let (certificates, rules) = join(
        async {
            if secure {
                certificates_of(round, arn).await
            } else {
                Ok(Vec::new())
            }
        },
        rules(round, arn),
    )
    .await;
    Listener {
        arn: arn.to_owned(),
        port: port(listener.port().unwrap_or(0)),
        protocol: text(listener.protocol().map(elb::ProtocolEnum::as_str)),
        tls_policy: listener.ssl_policy().map(ToOwned::to_owned),
        certificates: known(certificates),
        default_action: action(listener.default_actions()),
        rules: known(rules),
    }
}

/// The certificates of a listener, the default one first.
async fn certificates_of(round: &Round<'_>, listener: &str) -> Asked<Vec<String>> {
    let mut found = pages(Call::DescribeListenerCertificates, listener, |token| {
        let request = round.aws.elb.describe_listener_certificates();
        let request = request.listener_arn(listener).set_marker(token);
        let asked = round.ask(Call::DescribeListenerCertificates, listener, request.send());
        async move {
            asked
                .await
                .map(|answer| (answer.certificates.unwrap_or_default(), answer.next_marker))
        }
    })
    .await?;
    found.sort_by_key(|certificate| !certificate.is_default().unwrap_or(false));
    let mut arns: Vec<String> = Vec::new();
    for certificate in found {
        if let Some(arn) = certificate.certificate_arn
            && !arns.contains(&arn)
        {
            arns.push(arn);
        }
    }
    Ok(arns)
}

async fn rules(round: &Round<'_>, listener: &str) -> Asked<Vec<Rule>> {
    let found = pages(Call::DescribeRules, listener, |token| {
        let request = round
            .aws
            .elb
            .describe_rules()
            .listener_arn(listener)
            .set_marker(token);
        let asked = round.ask(Call::DescribeRules, listener, request.send());
        async move {
            asked
                .await
                .map(|answer| (answer.rules.unwrap_or_default(), answer.next_marker))
        }
    })
    .await?;
    // The default one has a word for its priority.
    let mut rules: Vec<Rule> = found.iter().filter_map(rule).collect();
    rules.sort_by_key(|rule| rule.priority);
    Ok(rules)
}

fn rule(rule: &elb::Rule) -> Option<Rule> {
    let priority = rule.priority()?.parse().ok()?;
    let of = |field: &'static str| {
        let fits = move |one: &&elb::RuleCondition| one.field() == Some(field);
        rule.conditions().iter().filter(fits)
    };
    // The values stand in the kind's own form, or in the old one that all kinds share.
    let or = |new: &[String], old: &[String]| {
        if new.is_empty() {
            old.to_vec()
        } else {
            new.to_vec()
        }
    };
    let paths = of("path-pattern").flat_map(|one| {
        or(
            one.path_pattern_config().map_or(&[], |config| config.values()),
            one.values(),
        )
    });
    let hosts = of("host-header").flat_map(|one| {
        or(
            one.host_header_config().map_or(&[], |config| config.values()),
            one.values(),
        )
    });
    let plain = |one: &elb::RuleCondition| matches!(one.field(), Some("path-pattern" | "host-header"));
    // Several conditions of one kind must all hold, and patterns given as regular expressions stand nowhere else.
    let several = of("path-pattern").count() > 1 || of("host-header").count() > 1;
    let empty = rule
        .conditions()
        .iter()
        .any(|one| plain(one) && one.values().is_empty() && no_patterns(one));
    Some(Rule {
        priority,
        paths: paths.collect(),
        hosts: hosts.collect(),
        more_conditions: several || empty || !rule.conditions().iter().all(plain),
        action: action(rule.actions()),
    })
}

fn no_patterns(condition: &elb::RuleCondition) -> bool {
    let paths = condition
        .path_pattern_config()
        .is_none_or(|config| config.values().is_empty());
    let hosts = condition
        .host_header_config()
        .is_none_or(|config| config.values().is_empty());
    paths && hosts
}

/// What is done in the end: actions before the last one only authenticate.
fn action(actions: &[elb::Action]) -> Action {
    let Some(last) = actions.iter().max_by_key(|action| action.order().unwrap_or(0)) else {
        return Action::Other(String::new());
    };
    if let Some(redirect) = last.redirect_config() {
        let status = redirect.status_code().map_or("", |code| code.as_str());
        return Action::Redirect {
            // `HTTP_301` and `HTTP_302` (Elastic Load Balancing API, "RedirectActionConfig").
            status: status.trim_start_matches("HTTP_").parse().unwrap_or(0),
            protocol: redirect.protocol().unwrap_or("#{protocol}").to_owned(),
            port: redirect.port().unwrap_or("#{port}").to_owned(),
        };
    }
    if let Some(fixed) = last.fixed_response_config() {
        return Action::Fixed(
            fixed
                .status_code()
                .and_then(|code| code.parse().ok())
                .unwrap_or(0),
        );
    }
    if last.r#type() != Some(&elb::ActionTypeEnum::Forward) {
        return Action::Other(text(last.r#type().map(elb::ActionTypeEnum::as_str)));
    }
    let groups = last
        .forward_config()
        .map_or(&[][..], |forward| forward.target_groups());
    let mut all: Vec<(String, u32)> = groups
        .iter()
        .map(|group| (text(group.target_group_arn()), group.weight().map_or(1, count)))
        .collect();
    if all.is_empty() {
        all.extend(last.target_group_arn().map(|arn| (arn.to_owned(), 1)));
    }
    Action::Forward(all)
}

/// Certificates by ARN, each asked for in its own region: those of distributions are in `us-east-1`.
pub(super) async fn certificates(round: &Round<'_>, arns: BTreeSet<String>) -> Table<Certificate> {
    table(arns, |certificate_arn| async move {
        let Some(("acm", region, ..)) = arn(&certificate_arn) else {
            return Err(Refused::unclear(&certificate_arn, "it is no certificate of ACM"));
        };
        let region = aws_sdk_acm::config::Region::new(region.to_owned());
        let request = round
            .aws
            .acm
            .describe_certificate()
            .certificate_arn(&certificate_arn);
        let request = request
            .customize()
            .config_override(aws_sdk_acm::Config::builder().region(region));
        let answer = round
            .ask(Call::DescribeCertificate, &certificate_arn, request.send())
            .await?;
        match answer.certificate() {
            Some(found) => Ok(certificate(found)),
            None => Err(Refused::unclear(
                &certificate_arn,
                "acm:DescribeCertificate: an answer without it",
            )),
        }
    })
    .await
}

fn certificate(certificate: &acm::CertificateDetail) -> Certificate {
    let mut names: Vec<String> = certificate.domain_name().map(name).into_iter().collect();
    for more in certificate.subject_alternative_names() {
        let more = name(more);
        if !names.contains(&more) {
            names.push(more);
        }
    }
    let validation = |one: &acm::DomainValidation| Validation {
        name: name(one.domain_name()),
        method: text(one.validation_method().map(|method| method.as_str())),
        succeeded: one.validation_status() == Some(&acm::DomainStatus::Success),
        record: one
            .resource_record()
            .map(|record| (name(record.name()), name(record.value()))),
    };
    Certificate {
        status: text(certificate.status().map(|status| status.as_str())),
        names,
        not_after: certificate.not_after().map(time),
        issued_by_acm: certificate.r#type() == Some(&acm::CertificateType::AmazonIssued),
        validations: certificate
            .domain_validation_options()
            .iter()
            .map(validation)
            .collect(),
        renewal: certificate
            .renewal_summary()
            .map(|renewal| renewal.renewal_status().as_str().to_owned()),
    }
}
