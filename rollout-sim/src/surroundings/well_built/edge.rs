//! The way in: listeners for HTTPS with certificates, a web ACL, zones, distributions.

use rollout_core::readiness::fact::edge::{
    Action, Balancer, BalancerAttributes, Behaviour, Certificate, Distribution, Listener, Origin, Validation,
    WafRule, WafStatement, WebAcl, Zone, ZoneRecord,
};
use rollout_core::readiness::intent::HostIntent;
use rollout_core::readiness::known::Known;

use super::{Site, facts, texts};
use crate::waf::{Place, Scope};

/// How the name of a distribution ends.
const CLOUDFRONT: &str = ".cloudfront.net";
/// Takes TLS 1.2 and newer (User Guide for Application Load Balancers, "Security policies for your Application Load Balancer").
const POLICY: &str = "ELBSecurityPolicy-TLS13-1-2-2021-06";

impl Site<'_> {
    pub(super) fn edge(&mut self) {
        for index in self.balancers() {
            self.balancer(index);
        }
        for id in self.intent.data.distributions.clone() {
            self.distribution(id);
        }
        let mut zones: Vec<&str> = self.intent.hosts.iter().map(|host| host.zone.as_str()).collect();
        zones.sort_unstable();
        zones.dedup();
        for id in zones {
            self.zone(id);
        }
    }

    /// The host names that distributions serve, or that load balancers do.
    fn hosts(&self, by_distribution: bool) -> Vec<String> {
        let is_it = |host: &&HostIntent| is_distribution(host) == by_distribution;
        self.intent
            .hosts
            .iter()
            .filter(is_it)
            .map(|host| host.name.clone())
            .collect()
    }

    fn balancer(&mut self, index: usize) {
        let held = &self.env.balancers[index];
        let own = facts::balancer(self.env, &self.world.web_acls, held, None);
        let mut listeners = own.listeners.get().cloned().unwrap_or_default();
        let certificate = format!(
            "arn:aws:acm:{}:{}:certificate/{}",
            self.env.region,
            self.env.account,
            self.uuid(&own.name)
        );
        if listeners.iter().all(|listener| listener.protocol != "HTTPS") {
            listeners = secured(&held.arn, certificate);
        }
        let names = self.hosts(false);
        for listener in listeners
            .iter_mut()
            .filter(|listener| listener.protocol == "HTTPS")
        {
            listener.tls_policy = Some(POLICY.to_owned());
            for arn in listener.certificates.get().cloned().unwrap_or_default() {
                let certificate = self.certificate(&names);
                self.facts.certificates.seen(arn, certificate);
            }
        }
        let acl = match own.web_acl {
            Known::Seen(name) => name,
            Known::Missing | Known::Unknown(_) => self.prefix().to_owned(),
        };
        self.web_acl(&acl);
        let around = Balancer {
            zones: self.zones(),
            security_groups: vec![self.security_group("balancers")],
            attributes: Known::Seen(BalancerAttributes {
                access_logs: Some(format!("{}-logs", self.prefix())),
                deletion_protection: true,
            }),
            listeners: Known::Seen(listeners),
            web_acl: Known::Seen(acl),
            ..own
        };
        self.facts.balancers.seen(held.arn.as_str(), around);
    }

    fn certificate(&self, names: &[String]) -> Certificate {
        let validation = |name: &String| Validation {
            name: name.clone(),
            method: "DNS".to_owned(),
            succeeded: true,
            record: Some(validation_record(name)),
        };
        Certificate {
            status: "ISSUED".to_owned(),
            names: names.to_vec(),
            not_after: Some(self.in_days(u64::from(self.intent.limits.certificate_days).saturating_add(170))),
            issued_by_acm: true,
            validations: names.iter().map(validation).collect(),
            renewal: None,
        }
    }

    /// A web ACL: the rules are the world's where it has it.
    fn web_acl(&mut self, name: &str) {
        let place = Place {
            account: &self.env.account,
            region: &self.env.region,
            scope: Scope::Regional,
        };
        let held = self.world.web_acls.of(place).find(|acl| acl.name == name);
        let rules = held.map_or_else(
            || rules(self.intent.limits.rate),
            |held| facts::web_acl(held, None).rules,
        );
        let acl = WebAcl {
            rules,
            logging: Known::Seen(true),
        };
        self.facts.web_acls.seen(name, acl);
    }

    fn zone(&mut self, id: &str) {
        let held = self.world.zones.iter().find(|zone| zone.id.as_str() == id);
        let ours = || self.intent.hosts.iter().filter(|host| host.zone == id);
        let name = match held {
            Some(held) => held.name.normalised(),
            None => ours().next().map_or_else(String::new, |host| apex(&host.name)),
        };
        let servers = texts(&[
            "ns-1.awsdns-01.com",
            "ns-2.awsdns-02.net",
            "ns-3.awsdns-03.org",
            "ns-4.awsdns-04.co.uk",
        ]);
        let known: Vec<String> = held
            .into_iter()
            .flat_map(|h| h.sets())
            .map(|s| s.key().name.normalised())
            .collect();
        let balancer = self
            .balancers()
            .first()
            .map(|index| self.env.balancers[*index].dns_name.normalised());
        let mut records = Vec::new();
        for host in ours() {
            let target = host.target.clone().or_else(|| balancer.clone());
            if let Some(target) = target.filter(|_| !known.contains(&host.name)) {
                records.push(ZoneRecord {
                    name: host.name.clone(),
                    kind: "A".to_owned(),
                    ttl: None,
                    alias: Some(target),
                    values: Vec::new(),
                    weight: None,
                });
            }
            let (name, value) = validation_record(&host.name);
            records.push(ZoneRecord {
                name,
                kind: "CNAME".to_owned(),
                ttl: Some(self.intent.limits.ttl_seconds.min(300)),
                alias: None,
                values: vec![value],
                weight: None,
            });
        }
        let zone = Zone {
            name,
            private: false,
            name_servers: servers.clone(),
            delegated_to: Known::Seen(servers),
            records: Known::Seen(records),
        };
        self.facts.zones.seen(id, zone);
    }

    fn distribution(&mut self, id: String) {
        let aliases = self.hosts(true);
        let account = &self.env.account;
        // CloudFront takes certificates of this region only (Amazon CloudFront Developer Guide, "Requirements for using SSL/TLS
        // certificates with CloudFront").
        let arn = format!("arn:aws:acm:us-east-1:{account}:certificate/{}", self.uuid(&id));
        let certificate = self.certificate(&aliases);
        let acl = format!(
            "arn:aws:wafv2:us-east-1:{account}:global/webacl/{id}/{}",
            self.uuid("acl")
        );
        let bucket = self.intent.data.buckets.keys().next();
        let bucket = bucket.map_or_else(|| format!("{}-assets", self.prefix()), Clone::clone);
        let distribution = Distribution {
            enabled: true,
            status: "Deployed".to_owned(),
            aliases,
            certificate: Some(arn.clone()),
            minimum_tls: Some("TLSv1.2_2021".to_owned()),
            web_acl: Some(acl),
            origins: vec![Origin {
                id: "assets".to_owned(),
                domain: format!("{bucket}.s3.{}.amazonaws.com", self.env.region),
                path: self.intent.data.origin_path.clone().unwrap_or_default(),
            }],
            behaviours: vec![Behaviour {
                paths: "*".to_owned(),
                origin: "assets".to_owned(),
                viewers: "redirect-to-https".to_owned(),
                caches: true,
            }],
        };
        self.facts.certificates.seen(arn, certificate);
        self.facts.distributions.seen(id, distribution);
    }
}

fn is_distribution(host: &HostIntent) -> bool {
    host.target
        .as_ref()
        .is_some_and(|target| target.trim_end_matches('.').ends_with(CLOUDFRONT))
}

/// Two listeners: one that sends to HTTPS, and the one for that. What it does with requests is the world's.
fn secured(balancer: &str, certificate: String) -> Vec<Listener> {
    let listener = |port: u16, protocol: &str, default_action| Listener {
        arn: format!("{}/{port}", balancer.replace(":loadbalancer/", ":listener/")),
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
        certificates: Known::Seen(vec![certificate]),
        ..listener(443, "HTTPS", Action::Fixed(503))
    };
    vec![listener(80, "HTTP", redirect), secure]
}

fn validation_record(host: &str) -> (String, String) {
    let target = "_fedcba9876543210.acm-validations.aws";
    (format!("_0123456789abcdef.{host}"), target.to_owned())
}

/// The last two labels of a name.
fn apex(name: &str) -> String {
    let mut labels: Vec<&str> = name.rsplit('.').take(2).collect();
    labels.reverse();
    labels.join(".")
}

/// What a web ACL should have: the rule groups that checks ask for, and bounds for each address.
fn rules(limit: u64) -> Vec<WafRule> {
    let rule = |name: &str, statement| WafRule {
        name: name.to_owned(),
        blocks: true,
        statement,
    };
    let managed = |group: &str| {
        let statement = WafStatement::Managed {
            vendor: "AWS".to_owned(),
            group: group.to_owned(),
            counted: Vec::new(),
        };
        rule(group, statement)
    };
    let rate = |name: &str, path: Option<&str>| {
        let statement = WafStatement::Rate {
            limit,
            window_seconds: 300,
            key: "IP".to_owned(),
            path: path.map(ToOwned::to_owned),
        };
        rule(name, statement)
    };
    vec![
        managed("AWSManagedRulesCommonRuleSet"),
        managed("AWSManagedRulesKnownBadInputsRuleSet"),
        managed("AWSManagedRulesSQLiRuleSet"),
        rate("everything", None),
        rate("api", Some("/api/")),
    ]
}
