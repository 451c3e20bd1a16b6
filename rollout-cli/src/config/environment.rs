//! `[environments.NAME]`.

use std::path::PathBuf;

use ipnet::IpNet;
use rollout_core::id::EnvironmentName;

use super::reader::{Reader, Value};

/// One environment.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(feature = "aws"),
    expect(
        dead_code,
        reason = "a simulated cloud needs no registry, profile or addresses"
    )
)]
pub(crate) struct Environment {
    pub(crate) name: EnvironmentName,
    /// The file and the line, counted from 1, in which it is declared.
    pub(crate) declared: (PathBuf, usize),
    /// The account that a call must reach; twelve digits.
    pub(crate) account: String,
    pub(crate) region: String,
    /// The ECS cluster, by name or ARN.
    pub(crate) cluster: String,
    /// The registry's host.
    pub(crate) registry: String,
    /// A pattern with `*` that the caller's ARN must match.
    pub(crate) caller: Option<String>,
    /// The profile of the AWS configuration files to use.
    pub(crate) profile: Option<String>,
    /// Address ranges that probes may connect to although they are loopback, link-local or private.
    pub(crate) allow_addresses: Vec<IpNet>,
    /// The URL of the queue that EventBridge tells of ECS' events.
    pub(crate) events: Option<String>,
}

impl Environment {
    /// The cluster's name alone.
    pub(crate) fn cluster_name(&self) -> &str {
        self.cluster.rsplit('/').next().unwrap_or(&self.cluster)
    }
}

pub(super) fn read(reader: &Reader<'_>, name: EnvironmentName) -> Option<Environment> {
    let account = reader
        .required("account", "\"111122223333\"")
        .and_then(|v| account(&v));
    let region = reader
        .required("region", "\"eu-central-1\"")
        .and_then(|v| region(&v));
    let cluster = reader
        .required("cluster", &format!("\"{name}\""))
        .and_then(|v| filled(&v, "the name or ARN of an ECS cluster"));
    let registry = reader
        .value("registry")
        .and_then(|v| v.parse::<rollout_core::id::DomainName>())
        .map(|host| host.value.to_string());
    let caller = reader.value("caller").and_then(|v| caller(&v));
    let profile = reader
        .value("profile")
        .and_then(|v| filled(&v, "a profile of the AWS configuration files"));
    let allow_addresses = reader.value("allow_addresses").map(|v| addresses(&v));
    let events = reader.value("events").and_then(|v| queue(&v));
    reader.finish();
    let (account, region) = (account?, region?);
    let (file, place) = reader.sink.place(reader.span.start);
    Some(Environment {
        declared: (file.to_path_buf(), place.line),
        registry: registry.unwrap_or_else(|| format!("{account}.dkr.ecr.{region}.amazonaws.com")),
        name,
        account,
        region,
        cluster: cluster?,
        caller,
        profile,
        allow_addresses: allow_addresses.unwrap_or_default(),
        events,
    })
}

fn account(value: &Value<'_>) -> Option<String> {
    if !value.is_text() {
        // An account such as 012345678901 loses its zero as a number.
        value.wrong(
            "`account` must be text in quotation marks",
            "write `account = \"111122223333\"`, twelve digits",
        );
        return None;
    }
    let text = value.text()?.value;
    let right = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    if !right {
        value.wrong(
            format!("`account`: `{text}` is not an account id"),
            "write its twelve digits, such as \"111122223333\"",
        );
    }
    right.then_some(text)
}

fn region(value: &Value<'_>) -> Option<String> {
    let text = value.text()?.value;
    let parts: Vec<&str> = text.split('-').collect();
    let word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    let right = match parts.as_slice() {
        [middle @ .., last] => {
            middle.len() >= 2
                && middle.iter().all(word)
                && last.bytes().all(|b| b.is_ascii_digit())
                && !last.is_empty()
        }
        [] => false,
    };
    if !right {
        value.wrong(
            format!("`region`: `{text}` is not a region"),
            "write its code, such as \"eu-central-1\"",
        );
    }
    right.then_some(text)
}

/// A queue's URL ends with the account and the queue's name (Amazon SQS API, "GetQueueUrl"); the host may be an emulator's.
fn queue(value: &Value<'_>) -> Option<String> {
    let text = value.text()?.value;
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let parts: Vec<&str> = rest.unwrap_or_default().split('/').collect();
    let right = match parts.as_slice() {
        [host, account, name] => {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            !host.is_empty()
                && account.len() == 12
                && account.bytes().all(|b| b.is_ascii_digit())
                && (1..=80).contains(&name.len())
                && name.chars().all(fits)
        }
        _ => false,
    };
    if !right {
        value.wrong(
            format!("`events`: `{text}` is not the URL of a standard queue"),
            "write it as `aws sqs get-queue-url` prints it, such as \
             \"https://sqs.eu-central-1.amazonaws.com/111122223333/shop-production\"",
        );
    }
    right.then_some(text)
}

fn caller(value: &Value<'_>) -> Option<String> {
    let text = value.text()?.value;
    let right = text.starts_with("arn:") && text.split(':').count() >= 6;
    if !right {
        value.wrong(
            format!("`caller`: `{text}` is not the pattern of an ARN"),
            "write one such as \"arn:aws:sts::111122223333:assumed-role/deployer/*\"",
        );
    }
    right.then_some(text)
}

/// A text that is not empty.
pub(super) fn filled(value: &Value<'_>, what: &str) -> Option<String> {
    let text = value.text()?.value;
    if text.trim().is_empty() {
        value.wrong(format!("`{}` is empty", value.key), format!("write {what}"));
        return None;
    }
    Some(text)
}

fn addresses(value: &Value<'_>) -> Vec<IpNet> {
    let mut all = Vec::new();
    for item in value.array() {
        let Some(text) = item.text() else { continue };
        match text.value.parse() {
            Ok(range) => all.push(range),
            Err(_) => item.wrong(
                format!("`{}`: `{}` is not an address range", item.key, text.value),
                match text.value.parse::<std::net::IpAddr>() {
                    Ok(address) if address.is_ipv4() => {
                        format!("for this one address write \"{address}/32\"")
                    }
                    Ok(address) => format!("for this one address write \"{address}/128\""),
                    Err(_) => "write it as CIDR, such as \"127.0.0.0/8\" or \"fd00::/8\"".to_owned(),
                },
            ),
        }
    }
    all
}
