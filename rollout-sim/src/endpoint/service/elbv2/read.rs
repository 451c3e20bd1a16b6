//! Load balancers, listeners and rules: what is there.

use serde::Deserialize;

use super::action::{actions_out, rule_out};
use super::paged;
use crate::ecs::Environment;
use crate::elb::{Listener, LoadBalancer, Refused};
use crate::endpoint::call::Call;
use crate::endpoint::document::{Document, map};
use crate::endpoint::refusal::Refusal;
use crate::endpoint::service::{Answer, Operation};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::read("DescribeLoadBalancers", describe_load_balancers),
    Operation::read(
        "DescribeLoadBalancerAttributes",
        describe_load_balancer_attributes,
    ),
    Operation::read("DescribeListeners", describe_listeners),
    Operation::read("DescribeRules", describe_rules),
];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    load_balancer_arns: Vec<String>,
    names: Vec<String>,
    load_balancer_arn: Option<String>,
    listener_arns: Vec<String>,
    listener_arn: Option<String>,
    rule_arns: Vec<String>,
    marker: Option<String>,
    page_size: Option<u32>,
}

/// The id of an environment's network: nothing but its name counts here.
pub(super) fn vpc(env: &Environment) -> String {
    format!("vpc-{:017x}", number(env))
}

fn number(env: &Environment) -> u64 {
    env.account
        .bytes()
        .chain(env.region.bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

/// A load balancer.
pub(super) fn balancer_out(env: &Environment, balancer: &LoadBalancer) -> Document {
    let zones = ["a", "b", "c"].into_iter().zip(0_u64..).map(|(letter, n)| {
        map! {
            "ZoneName": format!("{}{letter}", env.region),
            "SubnetId": format!("subnet-{:017x}", number(env).wrapping_add(n)),
        }
    });
    map! {
        "LoadBalancerArn": &balancer.arn,
        "DNSName": balancer.dns_name.as_str(),
        "CanonicalHostedZoneId": &balancer.zone,
        "CreatedTime": balancer.created,
        "LoadBalancerName": &balancer.name,
        "Scheme": if balancer.internal { "internal" } else { "internet-facing" },
        "VpcId": vpc(env),
        "State": map! { "Code": "active" },
        "Type": "application",
        "AvailabilityZones": Document::list(zones),
        "SecurityGroups": Document::list([format!("sg-{:017x}", number(env))]),
        "IpAddressType": "ipv4",
    }
}

fn describe_load_balancers(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let all: Vec<(&Environment, &LoadBalancer)> = call
        .environments()
        .flat_map(|e| e.balancers.iter().map(move |b| (e, b)))
        .collect();
    let named = |b: &LoadBalancer| {
        let nothing = input.load_balancer_arns.is_empty() && input.names.is_empty();
        nothing || input.load_balancer_arns.contains(&b.arn) || input.names.contains(&b.name)
    };
    if let Some(arn) = input
        .load_balancer_arns
        .iter()
        .find(|arn| !all.iter().any(|(_, b)| b.arn == **arn))
    {
        let text = format!("Load balancer '{arn}' not found");
        return Err(Refusal::client("LoadBalancerNotFound", text));
    }
    if let Some(name) = input
        .names
        .iter()
        .find(|name| !all.iter().any(|(_, b)| b.name == **name))
    {
        let text = format!("Load balancers '[{name}]' not found");
        return Err(Refusal::client("LoadBalancerNotFound", text));
    }
    let found = all
        .iter()
        .filter(|(_, b)| named(b))
        .map(|(e, b)| balancer_out(e, b));
    let found: Vec<Document> = found.collect();
    paged("LoadBalancers", &found, input.marker.as_deref(), input.page_size)
}

/// The attributes that a load balancer has from the start; setting them is not modelled.
fn describe_load_balancer_attributes(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let arn = input.load_balancer_arn.unwrap_or_default();
    if !call
        .environments()
        .any(|e| e.balancers.iter().any(|b| b.arn == arn))
    {
        return Err(Refused::NoBalancer.into());
    }
    let attributes = [
        ("access_logs.s3.enabled", "false"),
        ("access_logs.s3.bucket", ""),
        ("access_logs.s3.prefix", ""),
        ("deletion_protection.enabled", "false"),
        ("idle_timeout.timeout_seconds", "60"),
        ("routing.http2.enabled", "true"),
        ("routing.http.drop_invalid_header_fields.enabled", "false"),
    ];
    let attributes = attributes
        .into_iter()
        .map(|(key, value)| map! { "Key": key, "Value": value });
    Ok(map! { "Attributes": Document::list(attributes) })
}

/// A listener.
pub(super) fn listener_out(env: &Environment, balancer: &str, listener: &Listener) -> Document {
    let certificates = listener
        .certificates
        .iter()
        .map(|arn| map! { "CertificateArn": arn });
    let https = listener.protocol == "HTTPS";
    map! {
        "ListenerArn": &listener.arn,
        "LoadBalancerArn": balancer,
        "Port": listener.port,
        "Protocol": &listener.protocol,
        "Certificates": https.then(|| Document::list(certificates)),
        "SslPolicy": https.then_some("ELBSecurityPolicy-2016-08"),
        "DefaultActions": listener.rules.last().map(|rule| actions_out(env, &rule.action)),
    }
}

fn describe_listeners(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let mut all = Vec::new();
    for env in call.environments() {
        for balancer in &env.balancers {
            all.extend(balancer.listeners.iter().map(|l| (env, balancer.arn.as_str(), l)));
        }
    }
    let found: Vec<Document> = match &input.load_balancer_arn {
        Some(arn) => {
            if !call
                .environments()
                .any(|e| e.balancers.iter().any(|b| b.arn == *arn))
            {
                return Err(Refused::NoBalancer.into());
            }
            let mine = all.into_iter().filter(|(_, balancer, _)| balancer == arn);
            mine.map(|(e, b, l)| listener_out(e, b, l)).collect()
        }
        None if input.listener_arns.is_empty() => {
            let text = "You must specify either listener ARNs or a load balancer ARN";
            return Err(Refusal::client("ValidationError", text));
        }
        None => {
            let mut found = Vec::new();
            for arn in &input.listener_arns {
                let (e, b, l) = all
                    .iter()
                    .find(|(_, _, l)| l.arn == *arn)
                    .ok_or(Refused::NoListener)?;
                found.push(listener_out(e, b, l));
            }
            found
        }
    };
    paged("Listeners", &found, input.marker.as_deref(), input.page_size)
}

fn describe_rules(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let found: Vec<Document> = match &input.listener_arn {
        Some(arn) => {
            let held = call.environments().find_map(|e| Some((e, e.listener(arn)?)));
            let (env, listener) = held.ok_or(Refused::NoListener)?;
            listener.rules.iter().map(|rule| rule_out(env, rule)).collect()
        }
        None if input.rule_arns.is_empty() => {
            let text = "You must specify either listener rule ARNs or a listener ARN";
            return Err(Refusal::client("ValidationError", text));
        }
        None => {
            let mut found = Vec::new();
            for arn in &input.rule_arns {
                let held = call
                    .environments()
                    .find_map(|e| Some((e, e.rule(arn).filter(|r| r.arn == *arn)?)));
                let (env, rule) = held.ok_or(Refused::NoRule)?;
                found.push(rule_out(env, rule));
            }
            found
        }
    };
    paged("Rules", &found, input.marker.as_deref(), input.page_size)
}
