//! Actions and conditions between the wire's form and the simulation's.

use serde::Deserialize;

use super::not_modelled;
use crate::ecs::Environment;
use crate::elb::{Action, Condition, Priority, Redirect, Refused, Rule};
use crate::endpoint::document::{Document, map};
use crate::endpoint::refusal::Refusal;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ActionInput {
    r#type: String,
    target_group_arn: Option<String>,
    order: Option<u32>,
    forward_config: Option<ForwardInput>,
    fixed_response_config: Option<FixedInput>,
    redirect_config: Option<RedirectInput>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ForwardInput {
    target_groups: Vec<TupleInput>,
    target_group_stickiness_config: Option<StickinessInput>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TupleInput {
    target_group_arn: String,
    weight: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct StickinessInput {
    enabled: bool,
    duration_seconds: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct FixedInput {
    status_code: u16,
    content_type: Option<String>,
    message_body: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RedirectInput {
    protocol: Option<String>,
    host: Option<String>,
    port: Option<String>,
    path: Option<String>,
    query: Option<String>,
    status_code: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ConditionInput {
    field: String,
    values: Vec<String>,
    host_header_config: Option<ValuesInput>,
    path_pattern_config: Option<ValuesInput>,
    http_header_config: Option<HeaderInput>,
    http_request_method_config: Option<ValuesInput>,
    query_string_config: Option<QueryInput>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ValuesInput {
    values: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HeaderInput {
    http_header_name: String,
    values: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct QueryInput {
    values: Vec<PairInput>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct PairInput {
    key: Option<String>,
    value: String,
}

/// The one action of a list: others than the last would authenticate, which is not modelled.
pub(super) fn action(env: &Environment, given: Vec<ActionInput>) -> Result<Action, Refusal> {
    let invalid = |text: &str| Refusal::client("ValidationError", text);
    let mut given = given.into_iter();
    let only = given
        .next()
        .ok_or_else(|| invalid("A rule must have one action"))?;
    if given.next().is_some() {
        return Err(not_modelled("rules with more than one action"));
    }
    let _ = only.order;
    match only.r#type.as_str() {
        "forward" => forward(env, only),
        "fixed-response" => {
            let fixed = only.fixed_response_config;
            let fixed = fixed.ok_or_else(|| invalid("You must specify a fixed response config"))?;
            if !matches!(fixed.status_code / 100, 2 | 4 | 5) {
                return Err(invalid("A fixed response has a status code 2XX, 4XX or 5XX"));
            }
            Ok(Action::Fixed {
                status: fixed.status_code,
                content_type: fixed.content_type,
                body: fixed.message_body,
            })
        }
        "redirect" => {
            let to = only.redirect_config;
            let to = to.ok_or_else(|| invalid("You must specify a redirect config"))?;
            let same = |value: Option<String>, name: &str| value.unwrap_or_else(|| name.to_owned());
            Ok(Action::Redirect(Redirect {
                protocol: same(to.protocol, "#{protocol}"),
                host: same(to.host, "#{host}"),
                port: same(to.port, "#{port}"),
                path: same(to.path, "/#{path}"),
                query: same(to.query, "#{query}"),
                status: to.status_code,
            }))
        }
        other => Err(not_modelled(&format!("actions of type {other}"))),
    }
}

fn forward(env: &Environment, given: ActionInput) -> Result<Action, Refusal> {
    let place = |arn: &str| env.group_index(arn).ok_or(Refused::NoGroup);
    let config = given.forward_config.unwrap_or_default();
    let mut groups = Vec::new();
    for tuple in &config.target_groups {
        groups.push((place(&tuple.target_group_arn)?, tuple.weight.unwrap_or(1)));
    }
    if let Some(arn) = &given.target_group_arn {
        let only = place(arn)?;
        match groups.as_slice() {
            [] => groups.push((only, 1)),
            [(group, _)] if *group == only => {}
            _ => {
                let text = "TargetGroupArn and ForwardConfig must name the same target group";
                return Err(Refusal::client("ValidationError", text));
            }
        }
    }
    let sticky = config.target_group_stickiness_config.filter(|s| s.enabled);
    Ok(Action::Forward {
        groups,
        sticky: sticky.map(|s| s.duration_seconds.unwrap_or(3_600)),
    })
}

/// Conditions.
pub(super) fn conditions(given: Vec<ConditionInput>) -> Result<Vec<Condition>, Refusal> {
    given.into_iter().map(condition).collect()
}

fn condition(given: ConditionInput) -> Result<Condition, Refusal> {
    let plain = given.values;
    let values = |config: Option<ValuesInput>| match config {
        Some(config) if plain.is_empty() => config.values,
        Some(_) | None => plain.clone(),
    };
    let condition = match given.field.as_str() {
        "path-pattern" => Condition::Path(values(given.path_pattern_config)),
        "host-header" => Condition::Host(values(given.host_header_config)),
        "http-request-method" => Condition::Method(values(given.http_request_method_config)),
        "http-header" => {
            let header = given.http_header_config.unwrap_or_default();
            Condition::Header {
                name: header.http_header_name,
                values: header.values,
            }
        }
        "query-string" => {
            let pairs = given.query_string_config.unwrap_or_default().values;
            Condition::Query(pairs.into_iter().map(|p| (p.key, p.value)).collect())
        }
        other => return Err(not_modelled(&format!("rule conditions on {other}"))),
    };
    let empty = match &condition {
        Condition::Path(v)
        | Condition::Host(v)
        | Condition::Method(v)
        | Condition::Header { values: v, .. } => v.is_empty(),
        Condition::Query(v) => v.is_empty(),
    };
    if empty {
        return Err(Refusal::client(
            "ValidationError",
            "A condition value must be specified",
        ));
    }
    Ok(condition)
}

fn action_out(env: &Environment, action: &Action) -> Document {
    match action {
        Action::Forward { groups, sticky } => {
            let arn = |group: u16| env.groups[usize::from(group)].arn.clone();
            let tuples = groups.iter().map(|(group, weight)| {
                map! { "TargetGroupArn": arn(*group), "Weight": *weight }
            });
            let only = match groups.as_slice() {
                [(group, _)] => Some(arn(*group)),
                _ => None,
            };
            map! {
                "Type": "forward",
                "TargetGroupArn": only,
                "ForwardConfig": map! {
                    "TargetGroups": Document::list(tuples),
                    "TargetGroupStickinessConfig": map! {
                        "Enabled": sticky.is_some(),
                        "DurationSeconds": *sticky,
                    },
                },
            }
        }
        Action::Fixed {
            status,
            content_type,
            body,
        } => map! {
            "Type": "fixed-response",
            "FixedResponseConfig": map! {
                "MessageBody": body.as_ref(),
                "StatusCode": status.to_string(),
                "ContentType": content_type.as_ref(),
            },
        },
        Action::Redirect(to) => map! {
            "Type": "redirect",
            "RedirectConfig": map! {
                "Protocol": &to.protocol, "Port": &to.port, "Host": &to.host, "Path": &to.path,
                "Query": &to.query, "StatusCode": &to.status,
            },
        },
    }
}

/// The list of a rule's actions.
pub(super) fn actions_out(env: &Environment, action: &Action) -> Document {
    Document::list([action_out(env, action)])
}

fn condition_out(condition: &Condition) -> Document {
    let values = |v: &[String]| Document::list(v.iter());
    match condition {
        Condition::Path(v) => map! {
            "Field": "path-pattern", "Values": values(v), "PathPatternConfig": map! { "Values": values(v) },
        },
        Condition::Host(v) => map! {
            "Field": "host-header", "Values": values(v), "HostHeaderConfig": map! { "Values": values(v) },
        },
        Condition::Method(v) => map! {
            "Field": "http-request-method", "HttpRequestMethodConfig": map! { "Values": values(v) },
        },
        Condition::Header { name, values: v } => map! {
            "Field": "http-header",
            "HttpHeaderConfig": map! { "HttpHeaderName": name, "Values": values(v) },
        },
        Condition::Query(pairs) => map! {
            "Field": "query-string",
            "QueryStringConfig": map! {
                "Values": Document::list(pairs.iter().map(|(k, v)| map! { "Key": k.as_ref(), "Value": v })),
            },
        },
    }
}

/// A rule.
pub(super) fn rule_out(env: &Environment, rule: &Rule) -> Document {
    map! {
        "RuleArn": &rule.arn,
        "Priority": rule.priority.to_string(),
        "Conditions": Document::list(rule.conditions.iter().map(condition_out)),
        "Actions": actions_out(env, &rule.action),
        "IsDefault": rule.priority == Priority::Default,
    }
}
