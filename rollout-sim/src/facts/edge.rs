//! Target groups, load balancers, certificates and zones.

use rollout_core::dns::{RecordData, RecordType};
use rollout_core::id::DomainName;
use rollout_core::readiness::fact::edge::{
    Action, Balancer, Certificate, Listener, Rule, Target, TargetCheck, TargetGroup, Validation, Zone,
    ZoneRecord,
};
use rollout_core::readiness::known::Known;
use rollout_core::time::Timestamp;

use super::seconds;
use crate::certificate::Certificate as HeldCertificate;
use crate::dns::set::RecordSet;
use crate::dns::{SERVERS, Zone as HeldZone};
use crate::ecs::Environment;
use crate::elb::{self, Condition, LoadBalancer, Priority};
use crate::waf::WebAcls;

/// A target group: everything of it is the world's.
pub(crate) fn target_group(env: &Environment, now: Timestamp, group: u16) -> TargetGroup {
    let held = &env.groups[usize::from(group)];
    let probe = &held.probe;
    let narrow = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    let before = |balancer: &&LoadBalancer| balancer.groups().any(|(g, _)| g == group);
    let targets = env.targets(now, group).into_iter().map(|target| Target {
        id: target.id,
        state: target.state.name().to_owned(),
    });
    TargetGroup {
        name: held.name.clone(),
        port: held.port,
        protocol: probe.protocol.clone(),
        health: TargetCheck {
            protocol: probe.protocol.clone(),
            port: probe.port.clone(),
            path: (probe.protocol != "TCP").then(|| probe.path.clone()),
            interval_seconds: seconds(held.checks.interval),
            timeout_seconds: seconds(probe.timeout),
            healthy: narrow(held.checks.healthy),
            unhealthy: narrow(held.checks.unhealthy),
        },
        deregistration_seconds: Known::Seen(seconds(held.deregistration_delay)),
        balancers: env
            .balancers
            .iter()
            .filter(before)
            .map(|b| b.arn.clone())
            .collect(),
        targets: Known::Seen(targets.collect()),
    }
}

/// A load balancer. Its zones, security groups and attributes are the surroundings', and so is its web ACL until the world has
/// been told of one.
pub(crate) fn balancer(
    env: &Environment,
    acls: &WebAcls,
    held: &LoadBalancer,
    around: Option<&Balancer>,
) -> Balancer {
    let own = acls.said_of(&held.arn);
    Balancer {
        name: held.name.clone(),
        dns_name: held.dns_name.normalised(),
        internet_facing: !held.internal,
        zones: around.map(|a| a.zones.clone()).unwrap_or_default(),
        security_groups: around.map(|a| a.security_groups.clone()).unwrap_or_default(),
        attributes: around.map(|a| a.attributes.clone()).unwrap_or_default(),
        listeners: listeners(env, held, around),
        web_acl: match own {
            Some(Some(name)) => Known::Seen(name.to_owned()),
            Some(None) => Known::Missing,
            None => around.map_or(Known::Missing, |a| a.web_acl.clone()),
        },
    }
}

/// Listeners. A load balancer without one for HTTPS is a sketch: its first one takes the requests of every port. So where the
/// surroundings tell of listeners they are told, and each that does not send elsewhere does what the first one does.
fn listeners(env: &Environment, held: &LoadBalancer, around: Option<&Balancer>) -> Known<Vec<Listener>> {
    let beside = match around.map(|a| &a.listeners) {
        None => &[][..],
        Some(Known::Seen(listeners)) => listeners,
        Some(unseen) => return unseen.clone(),
    };
    let is_sketch = held.listeners.iter().all(|l| l.protocol != "HTTPS") && !beside.is_empty();
    let Some((first, others)) = held.listeners.split_first().filter(|_| is_sketch) else {
        let told = held.listeners.iter().map(|one| {
            let like = beside.iter().find(|like| like.port == one.port);
            listener(env, one, like)
        });
        return Known::Seen(told.collect());
    };
    let standing = listener(env, first, None);
    let told = beside.iter().map(|like| match like.default_action {
        Action::Redirect { .. } => like.clone(),
        Action::Forward(_) | Action::Fixed(_) | Action::Other(_) => Listener {
            default_action: standing.default_action.clone(),
            rules: standing.rules.clone(),
            ..like.clone()
        },
    });
    let others = others
        .iter()
        .filter(|one| beside.iter().all(|like| like.port != one.port));
    Known::Seen(told.chain(others.map(|one| listener(env, one, None))).collect())
}

fn listener(env: &Environment, held: &elb::Listener, around: Option<&Listener>) -> Listener {
    let last = held.rules.last();
    let default = last.map_or_else(
        || Action::Other("none".to_owned()),
        |rule| action(env, &rule.action),
    );
    Listener {
        arn: held.arn.clone(),
        port: held.port,
        protocol: held.protocol.clone(),
        tls_policy: around.and_then(|a| a.tls_policy.clone()),
        certificates: Known::Seen(held.certificates.clone()),
        default_action: default,
        rules: Known::Seen(held.rules.iter().filter_map(|held| rule(env, held)).collect()),
    }
}

fn rule(env: &Environment, held: &elb::Rule) -> Option<Rule> {
    let Priority::At(priority) = held.priority else {
        return None;
    };
    let mut told = Rule {
        priority,
        paths: Vec::new(),
        hosts: Vec::new(),
        more_conditions: false,
        action: action(env, &held.action),
    };
    for condition in &held.conditions {
        match condition {
            Condition::Path(patterns) => told.paths.extend(patterns.iter().cloned()),
            Condition::Host(patterns) => told.hosts.extend(patterns.iter().cloned()),
            Condition::Method(_) | Condition::Header { .. } | Condition::Query(_) => {
                told.more_conditions = true
            }
        }
    }
    Some(told)
}

fn action(env: &Environment, held: &elb::Action) -> Action {
    match held {
        elb::Action::Forward { groups, .. } => {
            let arn = |group: u16| env.groups[usize::from(group)].arn.clone();
            Action::Forward(
                groups
                    .iter()
                    .map(|(group, weight)| (arn(*group), *weight))
                    .collect(),
            )
        }
        elb::Action::Fixed { status, .. } => Action::Fixed(*status),
        elb::Action::Redirect(to) => Action::Redirect {
            status: if to.status == "HTTP_301" { 301 } else { 302 },
            protocol: to.protocol.clone(),
            port: to.port.clone(),
        },
    }
}

/// A certificate that was asked for in the world.
pub(crate) fn certificate(held: &HeldCertificate) -> Certificate {
    let validation = |proof: &crate::certificate::Proof| Validation {
        name: proof.domain.clone(),
        method: "DNS".to_owned(),
        succeeded: proof.proven,
        record: Some((bare(&proof.record), bare(&proof.value))),
    };
    Certificate {
        status: held.status().to_owned(),
        names: held.domains.iter().map(|proof| proof.domain.clone()).collect(),
        not_after: held.ends(),
        issued_by_acm: true,
        validations: held.domains.iter().map(validation).collect(),
        renewal: None,
    }
}

/// A zone with its records. Whom the world is sent to for it is the surroundings'; without any it is sent to the zone's own
/// servers. Records of the surroundings are added where the world has none of their name and type.
pub(crate) fn zone(held: &HeldZone, around: Option<&Zone>) -> Zone {
    let own = |server: usize| format!("ns-{}.{}", server + 1, held.name.normalised());
    let servers: Vec<String> = match around {
        Some(around) if !around.name_servers.is_empty() => around.name_servers.clone(),
        Some(_) | None => (0..SERVERS).map(own).collect(),
    };
    let mut records: Vec<ZoneRecord> = held.sets().iter().map(record).collect();
    let beside = match around.map(|a| &a.records) {
        Some(Known::Seen(beside)) => beside.as_slice(),
        Some(Known::Missing | Known::Unknown(_)) | None => &[],
    };
    let more: Vec<_> = beside
        .iter()
        .filter(|one| {
            !records
                .iter()
                .any(|r| (&r.name, &r.kind) == (&one.name, &one.kind))
        })
        .cloned()
        .collect();
    records.extend(more);
    Zone {
        name: held.name.normalised(),
        private: around.is_some_and(|a| a.private),
        delegated_to: around.map_or_else(|| Known::Seen(servers.clone()), |a| a.delegated_to.clone()),
        name_servers: servers,
        records: match around.map(|a| &a.records) {
            Some(Known::Unknown(unseen)) => Known::Unknown(unseen.clone()),
            Some(Known::Seen(_) | Known::Missing) | None => Known::Seen(records),
        },
    }
}

fn record(held: &RecordSet) -> ZoneRecord {
    let record = &held.record;
    let (ttl, alias, values) = match &record.data {
        RecordData::Alias { target, .. } => (None, Some(target.normalised()), Vec::new()),
        RecordData::Values { ttl, values } => {
            let names = record.key.record_type == RecordType::Cname;
            let told = |value: &String| if names { bare(value) } else { value.clone() };
            (Some(*ttl), None, values.iter().map(told).collect())
        }
    };
    ZoneRecord {
        name: record.key.name.normalised(),
        kind: record.key.record_type.to_string(),
        ttl,
        alias,
        values,
        weight: record
            .weight
            .map(|weight| u32::try_from(weight).unwrap_or(u32::MAX)),
    }
}

/// A name without the dot at its end, in lower case.
fn bare(name: &str) -> String {
    DomainName::new(name).map_or_else(
        |_| name.trim_end_matches('.').to_owned(),
        |name| name.normalised(),
    )
}
