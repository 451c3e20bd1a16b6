//! Load balancers, listeners and rules: made, changed, deleted.

use rollout_core::id::{DomainName, ZoneId};
use serde::Deserialize;

use super::action::{ActionInput, ConditionInput, action, conditions, rule_out};
use super::read::{balancer_out, listener_out};
use super::{env_with, home, not_modelled, part};
use crate::builder::balancer::BALANCER_ZONE;
use crate::ecs::Environment;
use crate::elb::{LoadBalancer, NewListener, Refused};
use crate::endpoint::call::Call;
use crate::endpoint::document::{Document, map};
use crate::endpoint::refusal::Refusal;
use crate::endpoint::service::{Answer, Operation};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::write("CreateLoadBalancer", create_load_balancer),
    Operation::write("DeleteLoadBalancer", delete_load_balancer),
    Operation::write("CreateListener", create_listener),
    Operation::write("ModifyListener", modify_listener),
    Operation::write("DeleteListener", delete_listener),
    Operation::write("CreateRule", create_rule),
    Operation::write("ModifyRule", modify_rule),
    Operation::write("DeleteRule", delete_rule),
    Operation::write("SetRulePriorities", set_rule_priorities),
];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct BalancerInput {
    name: String,
    load_balancer_arn: String,
    scheme: Option<String>,
    r#type: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ListenerInput {
    load_balancer_arn: String,
    listener_arn: String,
    port: Option<u16>,
    protocol: Option<String>,
    certificates: Option<Vec<CertificateInput>>,
    default_actions: Option<Vec<ActionInput>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct CertificateInput {
    certificate_arn: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RuleInput {
    listener_arn: String,
    rule_arn: String,
    priority: u32,
    conditions: Option<Vec<ConditionInput>>,
    actions: Option<Vec<ActionInput>>,
    rule_priorities: Vec<PriorityInput>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct PriorityInput {
    rule_arn: String,
    priority: u32,
}

fn create_load_balancer(call: &mut Call<'_>) -> Answer {
    let input: BalancerInput = call.input()?;
    if let Some(other) = input.r#type.as_deref().filter(|t| *t != "application") {
        return Err(not_modelled(&format!("load balancers of type {other}")));
    }
    let (k, env) = home(call)?;
    let id = k.dice.hex(1);
    let digits = 1_000_000_000 + u64::from_str_radix(&id[..8], 16).unwrap_or(0) % 1_000_000_000;
    let internal = input.scheme.as_deref() == Some("internal");
    let prefix = if internal { "internal-" } else { "" };
    let dns = format!("{prefix}{}-{digits}.{}.elb.amazonaws.com", input.name, env.region);
    let name = DomainName::new(dns.to_ascii_lowercase());
    let name = name.map_err(|e| Refusal::client("ValidationError", e.to_string()))?;
    let zone = ZoneId::new(BALANCER_ZONE);
    let balancer = LoadBalancer {
        arn: format!(
            "arn:aws:elasticloadbalancing:{}:{}:loadbalancer/app/{}/{id}",
            env.region, env.account, input.name
        ),
        name: input.name,
        dns_name: name,
        zone: zone.map_err(|e| Refusal::client("ValidationError", e.to_string()))?,
        internal,
        created: k.now,
        listeners: Vec::new(),
    };
    let made = balancer_out(env, &balancer);
    env.create_balancer(balancer)?;
    call.changed();
    Ok(map! { "LoadBalancers": Document::list([made]) })
}

fn has_balancer(arn: &str) -> impl Fn(&Environment) -> bool {
    move |e| e.balancers.iter().any(|b| b.arn == arn)
}

fn delete_load_balancer(call: &mut Call<'_>) -> Answer {
    let input: BalancerInput = call.input()?;
    // One that is not there is no error.
    if let Ok(env) = env_with(call, Refused::NoBalancer, has_balancer(&input.load_balancer_arn)) {
        part(call, env).1.delete_balancer(&input.load_balancer_arn);
        call.world.web_acls.forget(&input.load_balancer_arn);
        call.changed();
    }
    Ok(Document::map())
}

fn listener_answer(env: &Environment, arn: &str) -> Answer {
    let balancer = env.balancer_of(arn).ok_or(Refused::NoListener)?;
    let listener = env.listener(arn).ok_or(Refused::NoListener)?;
    Ok(map! { "Listeners": Document::list([listener_out(env, &balancer.arn, listener)]) })
}

fn create_listener(call: &mut Call<'_>) -> Answer {
    let input: ListenerInput = call.input()?;
    let env = env_with(call, Refused::NoBalancer, has_balancer(&input.load_balancer_arn))?;
    let (k, env) = part(call, env);
    let invalid = |text: &str| Refusal::client("ValidationError", text);
    let new = NewListener {
        port: input
            .port
            .ok_or_else(|| invalid("A listener port must be specified"))?,
        protocol: input
            .protocol
            .ok_or_else(|| invalid("A listener protocol must be specified"))?,
        certificates: input
            .certificates
            .into_iter()
            .flatten()
            .map(|c| c.certificate_arn)
            .collect(),
        action: action(env, input.default_actions.unwrap_or_default())?,
    };
    let arn = env.create_listener(k, &input.load_balancer_arn, new)?;
    let answer = listener_answer(env, &arn);
    call.changed();
    answer
}

fn modify_listener(call: &mut Call<'_>) -> Answer {
    let input: ListenerInput = call.input()?;
    let arn = input.listener_arn.as_str();
    let env = env_with(call, Refused::NoListener, |e| e.listener(arn).is_some())?;
    let (_, env) = part(call, env);
    let action = match input.default_actions {
        Some(actions) => Some(action(env, actions)?),
        None => None,
    };
    let certificates = input
        .certificates
        .map(|all| all.into_iter().map(|c| c.certificate_arn).collect());
    env.modify_listener(arn, input.port, input.protocol, certificates, action)?;
    let answer = listener_answer(env, arn);
    call.changed();
    answer
}

fn delete_listener(call: &mut Call<'_>) -> Answer {
    let input: ListenerInput = call.input()?;
    let arn = input.listener_arn.as_str();
    let env = env_with(call, Refused::NoListener, |e| e.listener(arn).is_some())?;
    part(call, env).1.delete_listener(arn)?;
    call.changed();
    Ok(Document::map())
}

fn rule_answer<'a>(env: &Environment, arns: impl IntoIterator<Item = &'a str>) -> Answer {
    let rules = arns
        .into_iter()
        .filter_map(|arn| env.rule(arn))
        .map(|rule| rule_out(env, rule));
    Ok(map! { "Rules": Document::list(rules) })
}

fn create_rule(call: &mut Call<'_>) -> Answer {
    let input: RuleInput = call.input()?;
    let arn = input.listener_arn.as_str();
    let env = env_with(call, Refused::NoListener, |e| e.listener(arn).is_some())?;
    let (k, env) = part(call, env);
    let action = action(env, input.actions.unwrap_or_default())?;
    let conditions = conditions(input.conditions.unwrap_or_default())?;
    let made = env.create_rule(k, arn, input.priority, conditions, action)?;
    let answer = rule_answer(env, [made.as_str()]);
    call.changed();
    answer
}

/// A rule by its own ARN; a listener's names none here.
fn has_rule(arn: &str) -> impl Fn(&Environment) -> bool {
    move |e| e.rule(arn).is_some_and(|r| r.arn == arn)
}

fn modify_rule(call: &mut Call<'_>) -> Answer {
    let input: RuleInput = call.input()?;
    let arn = input.rule_arn.as_str();
    let env = env_with(call, Refused::NoRule, has_rule(arn))?;
    let (_, env) = part(call, env);
    let action = match input.actions {
        Some(actions) => Some(action(env, actions)?),
        None => None,
    };
    let conditions = input.conditions.map(conditions).transpose()?;
    if action.is_none() && conditions.is_none() {
        let text = "Either conditions or actions must be specified";
        return Err(Refusal::client("ValidationError", text));
    }
    env.modify_rule(arn, conditions, action)?;
    let answer = rule_answer(env, [arn]);
    call.changed();
    answer
}

fn delete_rule(call: &mut Call<'_>) -> Answer {
    let input: RuleInput = call.input()?;
    let arn = input.rule_arn.as_str();
    let env = env_with(call, Refused::NoRule, has_rule(arn))?;
    part(call, env).1.delete_rule(arn)?;
    call.changed();
    Ok(Document::map())
}

fn set_rule_priorities(call: &mut Call<'_>) -> Answer {
    let input: RuleInput = call.input()?;
    let first = input.rule_priorities.first().map(|p| p.rule_arn.clone());
    let first =
        first.ok_or_else(|| Refusal::client("ValidationError", "A rule priority must be specified"))?;
    let env = env_with(call, Refused::NoRule, has_rule(&first))?;
    let (_, env) = part(call, env);
    let wanted: Vec<(String, u32)> = input
        .rule_priorities
        .into_iter()
        .map(|p| (p.rule_arn, p.priority))
        .collect();
    env.set_priorities(&wanted)?;
    let answer = rule_answer(env, wanted.iter().map(|(arn, _)| arn.as_str()));
    call.changed();
    answer
}
