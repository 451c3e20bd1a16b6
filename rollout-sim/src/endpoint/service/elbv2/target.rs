//! Target groups, their targets and the health of these.

use rollout_core::time::Timestamp;
use serde::Deserialize;

use super::read::vpc;
use super::{env_with, group_of, home, paged, part};
use crate::ecs::Environment;
use crate::elb::{Checks, Probe, Refused, TargetGroup, TargetHealth};
use crate::endpoint::call::Call;
use crate::endpoint::document::{Document, map};
use crate::endpoint::refusal::Refusal;
use crate::endpoint::service::{Answer, Operation};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::read("DescribeTargetGroups", describe_target_groups),
    Operation::read("DescribeTargetGroupAttributes", describe_target_group_attributes),
    Operation::read("DescribeTargetHealth", describe_target_health),
    Operation::write("CreateTargetGroup", create_target_group),
    Operation::write("ModifyTargetGroup", modify_target_group),
    Operation::write("ModifyTargetGroupAttributes", modify_target_group_attributes),
    Operation::write("DeleteTargetGroup", delete_target_group),
    Operation::write("RegisterTargets", register_targets),
    Operation::write("DeregisterTargets", deregister_targets),
];

const DELAY: &str = "deregistration_delay.timeout_seconds";

/// What a target group for HTTP has from the start (Elastic Load Balancing API, "TargetGroupAttribute").
const ATTRIBUTES: [(&str, &str); 8] = [
    ("stickiness.enabled", "false"),
    ("stickiness.type", "lb_cookie"),
    ("stickiness.lb_cookie.duration_seconds", "86400"),
    ("slow_start.duration_seconds", "0"),
    ("load_balancing.algorithm.type", "round_robin"),
    (
        "load_balancing.cross_zone.enabled",
        "use_load_balancer_configuration",
    ),
    (
        "target_group_health.dns_failover.minimum_healthy_targets.count",
        "1",
    ),
    (
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count",
        "1",
    ),
];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    load_balancer_arn: Option<String>,
    target_group_arns: Vec<String>,
    names: Vec<String>,
    target_group_arn: String,
    targets: Vec<TargetInput>,
    attributes: Vec<Attribute>,
    marker: Option<String>,
    page_size: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TargetInput {
    id: String,
    port: Option<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Attribute {
    key: String,
    value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct GroupInput {
    name: String,
    target_group_arn: String,
    protocol: Option<String>,
    port: Option<u16>,
    target_type: Option<String>,
    health_check_protocol: Option<String>,
    health_check_port: Option<String>,
    health_check_path: Option<String>,
    health_check_interval_seconds: Option<u64>,
    health_check_timeout_seconds: Option<u64>,
    healthy_threshold_count: Option<u64>,
    unhealthy_threshold_count: Option<u64>,
    matcher: Option<MatcherInput>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct MatcherInput {
    http_code: Option<String>,
}

impl GroupInput {
    /// What is asked for, on top of what is.
    fn checks(&self, mut checks: Checks, mut probe: Probe) -> (Checks, Probe) {
        let millis = |seconds: Option<u64>| seconds.map(|s| s.saturating_mul(1_000));
        checks.interval = millis(self.health_check_interval_seconds).unwrap_or(checks.interval);
        checks.healthy = self.healthy_threshold_count.unwrap_or(checks.healthy);
        checks.unhealthy = self.unhealthy_threshold_count.unwrap_or(checks.unhealthy);
        probe.timeout = millis(self.health_check_timeout_seconds).unwrap_or(probe.timeout);
        let take = |to: &mut String, from: &Option<String>| {
            if let Some(value) = from {
                to.clone_from(value);
            }
        };
        take(&mut probe.protocol, &self.health_check_protocol);
        take(&mut probe.port, &self.health_check_port);
        take(&mut probe.path, &self.health_check_path);
        take(
            &mut probe.matcher,
            &self.matcher.as_ref().and_then(|m| m.http_code.clone()),
        );
        (checks, probe)
    }
}

fn group_out(env: &Environment, group: &TargetGroup, place: u16) -> Document {
    let balancers = env
        .balancers
        .iter()
        .filter(|b| b.groups().any(|(g, _)| g == place));
    let checks = &group.checks;
    map! {
        "TargetGroupArn": &group.arn,
        "TargetGroupName": &group.name,
        "Protocol": "HTTP",
        "Port": group.port,
        "VpcId": vpc(env),
        "HealthCheckProtocol": &group.probe.protocol,
        "HealthCheckPort": &group.probe.port,
        "HealthCheckEnabled": true,
        "HealthCheckIntervalSeconds": checks.interval / 1_000,
        "HealthCheckTimeoutSeconds": group.probe.timeout / 1_000,
        "HealthyThresholdCount": checks.healthy,
        "UnhealthyThresholdCount": checks.unhealthy,
        "HealthCheckPath": &group.probe.path,
        "Matcher": map! { "HttpCode": &group.probe.matcher },
        "LoadBalancerArns": Document::list(balancers.map(|b| &b.arn)),
        "TargetType": &group.target_type,
        "ProtocolVersion": "HTTP1",
        "IpAddressType": "ipv4",
    }
}

fn describe_target_groups(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let mut all = Vec::new();
    for env in call.environments() {
        let groups = env.groups.iter().zip(0_u16..).filter(|(g, _)| !g.gone);
        all.extend(groups.map(|(group, place)| (env, group, place)));
    }
    let missing =
        |wanted: &String, is: &dyn Fn(&TargetGroup) -> &String| !all.iter().any(|(_, g, _)| is(g) == wanted);
    if input
        .target_group_arns
        .iter()
        .any(|arn| missing(arn, &|g| &g.arn))
        || input.names.iter().any(|name| missing(name, &|g| &g.name))
    {
        return Err(Refused::NoGroup.into());
    }
    let balancer = match &input.load_balancer_arn {
        Some(arn) => {
            let mut balancers = call.environments().flat_map(|e| &e.balancers);
            Some(balancers.find(|b| b.arn == *arn).ok_or(Refused::NoBalancer)?)
        }
        None => None,
    };
    let wanted = |group: &TargetGroup, place: u16| match balancer {
        Some(balancer) => balancer.groups().any(|(g, _)| g == place),
        None => {
            let nothing = input.target_group_arns.is_empty() && input.names.is_empty();
            nothing || input.target_group_arns.contains(&group.arn) || input.names.contains(&group.name)
        }
    };
    let found = all.iter().filter(|(_, g, place)| wanted(g, *place));
    let found: Vec<Document> = found.map(|(e, g, place)| group_out(e, g, *place)).collect();
    paged("TargetGroups", &found, input.marker.as_deref(), input.page_size)
}

fn attributes_out(group: &TargetGroup) -> Document {
    let delay = (group.deregistration_delay / 1_000).to_string();
    let others = ATTRIBUTES.iter().map(|(key, value)| {
        let set = group.attributes.get(*key);
        (*key, set.cloned().unwrap_or_else(|| (*value).to_owned()))
    });
    let all = core::iter::once((DELAY, delay)).chain(others);
    Document::list(all.map(|(key, value)| map! { "Key": key, "Value": value }))
}

fn describe_target_group_attributes(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let (env, group) = group_of(call, &input.target_group_arn)?;
    let group = &call.world.environments[usize::from(env)].groups[usize::from(group)];
    Ok(map! { "Attributes": attributes_out(group) })
}

fn health_out(group: &TargetGroup, health: &TargetHealth) -> Document {
    let port = match group.probe.port.as_str() {
        "traffic-port" => health.port.to_string(),
        port => port.to_owned(),
    };
    map! {
        "Target": map! { "Id": &health.id, "Port": health.port, "AvailabilityZone": health.zone.as_ref() },
        "HealthCheckPort": port,
        "TargetHealth": map! {
            "State": health.state.name(),
            "Reason": health.reason,
            "Description": health.description.as_ref(),
        },
    }
}

fn describe_target_health(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let (env, place) = group_of(call, &input.target_group_arn)?;
    let env = &call.world.environments[usize::from(env)];
    let group = &env.groups[usize::from(place)];
    let held = env.targets(call.now(), place);
    let found: Vec<TargetHealth> = if input.targets.is_empty() {
        held
    } else {
        let asked = input.targets.iter().map(|target| {
            let port = target.port.unwrap_or(group.port);
            let found = held.iter().find(|h| h.id == target.id && h.port == port);
            found
                .cloned()
                .unwrap_or_else(|| Environment::not_registered(group, &target.id, target.port))
        });
        asked.collect()
    };
    let found = found.iter().map(|health| health_out(group, health));
    Ok(map! { "TargetHealthDescriptions": Document::list(found) })
}

/// A protocol of targets that is modelled.
fn http(protocol: Option<&str>) -> Result<(), Refusal> {
    match protocol {
        None | Some("HTTP") => Ok(()),
        Some(other) => Err(super::not_modelled(&format!("target groups of protocol {other}"))),
    }
}

fn create_target_group(call: &mut Call<'_>) -> Answer {
    let input: GroupInput = call.input()?;
    http(input.protocol.as_deref())?;
    let target_type = input.target_type.clone().unwrap_or_else(|| "instance".to_owned());
    if !matches!(target_type.as_str(), "ip" | "instance") {
        return Err(super::not_modelled(&format!("targets of type {target_type}")));
    }
    let name = input.name.as_str();
    let fits = (1..=32).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if !fits {
        let text = format!(
            "Target group name '{name}' must have 1 to 32 letters, digits or hyphens, and no hyphen at its beginning or end"
        );
        return Err(Refusal::client("ValidationError", text));
    }
    let port = input
        .port
        .ok_or_else(|| Refusal::client("ValidationError", "A port must be specified"))?;
    let defaults = Checks {
        interval: 30_000,
        healthy: 5,
        unhealthy: 2,
    };
    let (checks, probe) = input.checks(defaults, Probe::default());
    let (k, env) = home(call)?;
    let arn = format!(
        "arn:aws:elasticloadbalancing:{}:{}:targetgroup/{name}/{}",
        env.region,
        env.account,
        k.dice.hex(1)
    );
    let mut group = TargetGroup::new(arn, name.to_owned(), port, checks);
    group.probe = probe;
    group.target_type = target_type;
    let place = env.create_group(group)?;
    let made = group_out(env, &env.groups[usize::from(place)], place);
    call.changed();
    Ok(map! { "TargetGroups": Document::list([made]) })
}

fn modify_target_group(call: &mut Call<'_>) -> Answer {
    let input: GroupInput = call.input()?;
    let (env, place) = group_of(call, &input.target_group_arn)?;
    let (k, env) = part(call, env);
    let held = &env.groups[usize::from(place)];
    let (checks, probe) = input.checks(held.checks, held.probe.clone());
    env.modify_group(k, place, checks, probe)?;
    let made = group_out(env, &env.groups[usize::from(place)], place);
    call.changed();
    Ok(map! { "TargetGroups": Document::list([made]) })
}

fn modify_target_group_attributes(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let (env, place) = group_of(call, &input.target_group_arn)?;
    let invalid = |text: String| Refusal::client("ValidationError", text);
    let mut delay = None;
    for Attribute { key, value } in &input.attributes {
        if key == DELAY {
            let seconds = value.parse::<u64>().ok().filter(|s| *s <= 3_600);
            let text = format!("'{DELAY}' must be between '0' and '3600' inclusive");
            delay = Some(seconds.ok_or_else(|| invalid(text))?);
        } else if !ATTRIBUTES.iter().any(|(known, _)| known == key) {
            return Err(invalid(format!(
                "Target group attribute key '{key}' is not recognized"
            )));
        }
    }
    let (_, env) = part(call, env);
    let group = &mut env.groups[usize::from(place)];
    if let Some(seconds) = delay {
        group.deregistration_delay = seconds * 1_000;
    }
    let others = input.attributes.into_iter().filter(|a| a.key != DELAY);
    group.attributes.extend(others.map(|a| (a.key, a.value)));
    let answer = map! { "Attributes": attributes_out(group) };
    call.changed();
    Ok(answer)
}

fn delete_target_group(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let holds = |e: &Environment| e.group_index(&input.target_group_arn).is_some();
    // One that is not there is no error.
    if let Ok(env) = env_with(call, Refused::NoGroup, holds) {
        part(call, env).1.delete_group(&input.target_group_arn)?;
        call.changed();
    }
    Ok(Document::map())
}

fn targets(input: &Input) -> Vec<(String, Option<u16>)> {
    input.targets.iter().map(|t| (t.id.clone(), t.port)).collect()
}

fn register_targets(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let (env, place) = group_of(call, &input.target_group_arn)?;
    let (k, env) = part(call, env);
    env.register(k, place, &targets(&input))?;
    call.changed();
    Ok(Document::map())
}

fn deregister_targets(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let (env, place) = group_of(call, &input.target_group_arn)?;
    let (k, env) = part(call, env);
    let before: Vec<Option<Timestamp>> = env.groups[usize::from(place)]
        .machines
        .iter()
        .map(|m| m.leaves_at)
        .collect();
    env.deregister(k, place, &targets(&input))?;
    let after: Vec<Option<Timestamp>> = env.groups[usize::from(place)]
        .machines
        .iter()
        .map(|m| m.leaves_at)
        .collect();
    if before != after {
        call.changed();
    }
    Ok(Document::map())
}
