//! The way in: target groups, load balancers, certificates, zones, web ACLs, distributions.

use std::collections::BTreeSet;

use rollout_core::readiness::fact::edge::Balancer;
use rollout_core::readiness::known::Known;

use super::ask::Asking;
use crate::facts;
use crate::waf::{Place, Scope};

impl Asking<'_> {
    pub(super) fn edge(&mut self) {
        let services = self
            .facts
            .services
            .iter()
            .filter_map(|(_, service)| service.get().ok());
        let attachments = services.flat_map(|service| &service.attachments);
        let groups: BTreeSet<String> = attachments
            .map(|attachment| attachment.target_group.clone())
            .collect();
        let mut balancers = BTreeSet::new();
        for arn in groups {
            self.target_group(&arn);
            if let Ok(group) = self.facts.target_groups.get(&arn) {
                balancers.extend(group.balancers.iter().cloned());
            }
        }
        let (mut certificates, mut acls) = (BTreeSet::new(), BTreeSet::new());
        for arn in balancers {
            if let Known::Seen(balancer) = self.balancer(&arn) {
                let listeners = balancer.listeners.get().map_or(&[][..], Vec::as_slice);
                let named = listeners
                    .iter()
                    .filter_map(|listener| listener.certificates.get().ok());
                certificates.extend(named.flatten().cloned());
                acls.extend(balancer.web_acl.get().cloned());
            }
        }
        for name in acls {
            self.web_acl(&name);
        }
        for id in self.intent.data.distributions.clone() {
            let beside = self.beside(&id, |around| &around.distributions);
            let distribution = self.told("cloudfront:GetDistribution", &id, || beside);
            if let Known::Seen(distribution) = &distribution {
                certificates.extend(distribution.certificate.iter().cloned());
            }
            self.facts.distributions.put(id, distribution);
        }
        for arn in certificates {
            self.certificate(&arn);
        }
        let zones: BTreeSet<&str> = self.intent.hosts.iter().map(|host| host.zone.as_str()).collect();
        for id in zones {
            self.zone(id);
        }
    }

    fn target_group(&mut self, arn: &str) {
        let (env, now) = (self.env, self.world.now());
        let mut group = self.told("elasticloadbalancing:DescribeTargetGroups", arn, || {
            let held = env.group_index(arn);
            held.map_or(Known::Missing, |held| {
                Known::Seen(facts::target_group(env, now, held))
            })
        });
        if let Known::Seen(group) = &mut group {
            let attributes = "elasticloadbalancing:DescribeTargetGroupAttributes";
            self.part(attributes, arn, &mut group.deregistration_seconds);
            self.part(
                "elasticloadbalancing:DescribeTargetHealth",
                arn,
                &mut group.targets,
            );
        }
        self.facts.target_groups.put(arn, group);
    }

    fn balancer(&mut self, arn: &str) -> Known<Balancer> {
        let (env, acls) = (self.env, &self.world.web_acls);
        let around = self
            .around()
            .and_then(|around| facts::beside(&around.balancers, arn));
        let mut balancer = self.told("elasticloadbalancing:DescribeLoadBalancers", arn, || {
            let held = env.balancers.iter().find(|held| held.arn == arn);
            held.map_or(Known::Missing, |held| {
                Known::Seen(facts::balancer(env, acls, held, around))
            })
        });
        if let Known::Seen(balancer) = &mut balancer {
            let attributes = "elasticloadbalancing:DescribeLoadBalancerAttributes";
            self.part(attributes, arn, &mut balancer.attributes);
            self.part(
                "elasticloadbalancing:DescribeListeners",
                arn,
                &mut balancer.listeners,
            );
            self.part("wafv2:GetWebACLForResource", arn, &mut balancer.web_acl);
            if let Known::Seen(listeners) = &mut balancer.listeners {
                for listener in listeners {
                    let of = listener.arn.clone();
                    if listener.protocol == "HTTPS" {
                        let call = "elasticloadbalancing:DescribeListenerCertificates";
                        self.part(call, &of, &mut listener.certificates);
                    }
                    self.part("elasticloadbalancing:DescribeRules", &of, &mut listener.rules);
                }
            }
        }
        self.facts.balancers.put(arn, balancer.clone());
        balancer
    }

    fn web_acl(&mut self, name: &str) {
        let place = Place {
            account: &self.env.account,
            region: &self.env.region,
            scope: Scope::Regional,
        };
        let world = self.world;
        let around = self
            .around()
            .and_then(|around| facts::beside(&around.web_acls, name));
        let beside = self.beside(name, |around| &around.web_acls);
        let mut acl = self.told("wafv2:GetWebACL", name, || {
            let held = world.web_acls.of(place).find(|acl| acl.name == name);
            held.map_or(beside, |held| Known::Seen(facts::web_acl(held, around)))
        });
        if let Known::Seen(acl) = &mut acl {
            self.part("wafv2:GetLoggingConfiguration", name, &mut acl.logging);
        }
        self.facts.web_acls.put(name, acl);
    }

    fn certificate(&mut self, arn: &str) {
        let world = self.world;
        let beside = self.beside(arn, |around| &around.certificates);
        let certificate = self.told("acm:DescribeCertificate", arn, || {
            let held = world.certificates.iter().find(|held| held.arn == arn);
            held.map_or(beside, |held| Known::Seen(facts::certificate(held)))
        });
        self.facts.certificates.put(arn, certificate);
    }

    fn zone(&mut self, id: &str) {
        let world = self.world;
        let around = self.around().and_then(|around| facts::beside(&around.zones, id));
        let beside = self.beside(id, |around| &around.zones);
        let mut zone = self.told("route53:GetHostedZone", id, || {
            let held = world.zones.iter().find(|held| held.id.as_str() == id);
            held.map_or(beside, |held| Known::Seen(facts::zone(held, around)))
        });
        if let Known::Seen(zone) = &mut zone {
            self.part("route53:ListResourceRecordSets", id, &mut zone.records);
            self.part("dns:Query", id, &mut zone.delegated_to);
        }
        self.facts.zones.put(id, zone);
    }
}
