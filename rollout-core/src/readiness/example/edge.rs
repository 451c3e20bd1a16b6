//! The way in: a load balancer with two listeners, a certificate, a zone, a web ACL, a distribution.

use super::network::BALANCERS;
use super::service::{SERVICES, target_group};
use super::{BALANCER, CERTIFICATE, DISTRIBUTION, WEB_ACL, ZONE, in_days, texts};
use crate::readiness::fact::Snapshot;
use crate::readiness::fact::edge::{
    Action, Balancer, BalancerAttributes, Behaviour, Certificate, Distribution, Listener, Origin, Rule,
    Target, TargetCheck, TargetGroup, Validation, WafRule, WafStatement, WebAcl, Zone, ZoneRecord,
};
use crate::readiness::known::Known;

/// The host names that the load balancer serves.
pub(super) const HOSTS: [&str; 2] = ["shop.example.com", "www.example.com"];
/// The host name that the distribution serves.
pub(super) const ASSETS: &str = "assets.example.com";
/// The name that DNS has for the load balancer.
pub(super) const BALANCER_NAME: &str = "storefront-1234567890.eu-central-1.elb.amazonaws.com";
/// The name that DNS has for the distribution.
pub(super) const DISTRIBUTION_NAME: &str = "d111111abcdef8.cloudfront.net";
const CDN_CERTIFICATE: &str =
    "arn:aws:acm:us-east-1:222222222222:certificate/0c1d2e3f-2f7a-4c9b-8f0e-6a3f5d1c2b4a";

pub(super) fn put(facts: &mut Snapshot) {
    for (name, port, desired, _) in SERVICES {
        if let Some(port) = port {
            facts
                .target_groups
                .seen(target_group(name), group(name, port, desired));
        }
    }
    facts.balancers.seen(BALANCER, balancer());
    facts.certificates.seen(CERTIFICATE, certificate(&HOSTS));
    facts.certificates.seen(CDN_CERTIFICATE, certificate(&[ASSETS]));
    facts.zones.seen(ZONE, zone());
    facts.web_acls.seen(WEB_ACL, web_acl());
    facts.distributions.seen(DISTRIBUTION, distribution());
}

fn group(name: &str, port: u16, tasks: u32) -> TargetGroup {
    let target = |index: u32| Target {
        id: format!("10.0.{index}.10"),
        state: "healthy".to_owned(),
    };
    TargetGroup {
        name: format!("storefront-{name}"),
        port,
        protocol: "HTTP".to_owned(),
        health: TargetCheck {
            protocol: "HTTP".to_owned(),
            port: "traffic-port".to_owned(),
            path: Some("/health/ready".to_owned()),
            interval_seconds: 10,
            timeout_seconds: 5,
            healthy: 2,
            unhealthy: 3,
        },
        deregistration_seconds: Known::Seen(30),
        balancers: texts(&[BALANCER]),
        targets: Known::Seen((0..tasks).map(target).collect()),
    }
}

fn balancer() -> Balancer {
    let to = |name: &str| Action::Forward(vec![(target_group(name), 1)]);
    let rule = |priority, paths: &[&str], action| Rule {
        priority,
        paths: texts(paths),
        hosts: Vec::new(),
        more_conditions: false,
        action,
    };
    let listener = |port: u16, protocol: &str, default_action| Listener {
        arn: format!("{}/{port}", BALANCER.replace(":loadbalancer/", ":listener/")),
        port,
        protocol: protocol.to_owned(),
        tls_policy: None,
        certificates: Known::Seen(Vec::new()),
        default_action,
        rules: Known::Seen(Vec::new()),
    };
    let redirect = Action::Redirect {
        status: 301,
        protocol: "HTTPS".to_owned(),
        port: "443".to_owned(),
    };
    let secure = Listener {
        tls_policy: Some("ELBSecurityPolicy-TLS13-1-2-2021-06".to_owned()),
        certificates: Known::Seen(texts(&[CERTIFICATE])),
        rules: Known::Seen(vec![
            rule(10, &["/api/*", "/health/*"], to("backend")),
            rule(20, &["/*"], to("frontend")),
        ]),
        ..listener(443, "HTTPS", to("frontend"))
    };
    Balancer {
        name: "storefront".to_owned(),
        dns_name: BALANCER_NAME.to_owned(),
        internet_facing: true,
        zones: texts(&["eu-central-1a", "eu-central-1b"]),
        security_groups: texts(&[BALANCERS]),
        attributes: Known::Seen(BalancerAttributes {
            access_logs: Some("storefront-logs".to_owned()),
            deletion_protection: true,
        }),
        listeners: Known::Seen(vec![listener(80, "HTTP", redirect), secure]),
        web_acl: Known::Seen(WEB_ACL.to_owned()),
    }
}

fn certificate(names: &[&str]) -> Certificate {
    let validation = |name: &&str| Validation {
        name: (*name).to_owned(),
        method: "DNS".to_owned(),
        succeeded: true,
        record: Some(validation_record(name)),
    };
    Certificate {
        status: "ISSUED".to_owned(),
        names: texts(names),
        not_after: Some(in_days(200)),
        issued_by_acm: true,
        validations: names.iter().map(validation).collect(),
        renewal: None,
    }
}

fn validation_record(host: &str) -> (String, String) {
    (
        format!("_0123456789abcdef.{host}"),
        "_fedcba9876543210.acm-validations.aws".to_owned(),
    )
}

fn zone() -> Zone {
    let servers = texts(&[
        "ns-1.awsdns-01.com",
        "ns-2.awsdns-02.net",
        "ns-3.awsdns-03.org",
        "ns-4.awsdns-04.co.uk",
    ]);
    let alias = |name: &str, to: &str| ZoneRecord {
        name: name.to_owned(),
        kind: "A".to_owned(),
        ttl: None,
        alias: Some(to.to_owned()),
        values: Vec::new(),
        weight: None,
    };
    let mut records = vec![
        alias("shop.example.com", BALANCER_NAME),
        alias(ASSETS, DISTRIBUTION_NAME),
    ];
    records.push(ZoneRecord {
        kind: "CNAME".to_owned(),
        ttl: Some(60),
        alias: None,
        values: texts(&[BALANCER_NAME]),
        ..alias("www.example.com", "")
    });
    for host in HOSTS.iter().chain([&ASSETS]) {
        let (name, value) = validation_record(host);
        records.push(ZoneRecord {
            kind: "CNAME".to_owned(),
            ttl: Some(300),
            alias: None,
            values: vec![value],
            ..alias(&name, "")
        });
    }
    Zone {
        name: "example.com".to_owned(),
        private: false,
        name_servers: servers.clone(),
        delegated_to: Known::Seen(servers),
        records: Known::Seen(records),
    }
}

fn web_acl() -> WebAcl {
    let rule = |name: &str, statement| WafRule {
        name: name.to_owned(),
        blocks: true,
        statement,
    };
    let managed = |group: &str| {
        rule(
            group,
            WafStatement::Managed {
                vendor: "AWS".to_owned(),
                group: group.to_owned(),
                counted: Vec::new(),
            },
        )
    };
    let rate = |name: &str, path: Option<&str>| {
        rule(
            name,
            WafStatement::Rate {
                limit: 2_000,
                window_seconds: 300,
                key: "IP".to_owned(),
                path: path.map(ToOwned::to_owned),
            },
        )
    };
    WebAcl {
        rules: vec![
            managed("AWSManagedRulesCommonRuleSet"),
            managed("AWSManagedRulesKnownBadInputsRuleSet"),
            managed("AWSManagedRulesSQLiRuleSet"),
            rate("everything", None),
            rate("api", Some("/api/")),
        ],
        logging: Known::Seen(true),
    }
}

fn distribution() -> Distribution {
    Distribution {
        enabled: true,
        status: "Deployed".to_owned(),
        aliases: texts(&[ASSETS]),
        certificate: Some(CDN_CERTIFICATE.to_owned()),
        minimum_tls: Some("TLSv1.2_2021".to_owned()),
        web_acl: Some("arn:aws:wafv2:us-east-1:222222222222:global/webacl/assets/5f1e".to_owned()),
        origins: vec![Origin {
            id: "assets".to_owned(),
            domain: "storefront-assets.s3.eu-central-1.amazonaws.com".to_owned(),
            path: "/current".to_owned(),
        }],
        behaviours: vec![Behaviour {
            paths: "*".to_owned(),
            origin: "assets".to_owned(),
            viewers: "redirect-to-https".to_owned(),
            caches: true,
        }],
    }
}
