//! `[[services.gates]]` and `[[gates]]`: what must hold, on which probes.

use core::time::Duration;
use std::collections::BTreeSet;

use rollout_core::id::ProbeName;
use rollout_core::machine::gate::{Condition, ProbeSpec};
use rollout_core::probe::{HttpProbe, ProbeTarget};
use rollout_core::time::human;

use super::diagnostic::suggest;
use super::environment::filled;
use super::reader::{At, Reader, Value};

/// A gate. What it judges is known only when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gate {
    pub(crate) name: String,
    pub(crate) condition: Condition,
    pub(crate) probes: Vec<ProbeSpec>,
    pub(crate) warm_up: Duration,
    pub(crate) bake: Duration,
    pub(crate) give_up: Duration,
    pub(crate) answer: Duration,
}

pub(super) fn read_all(reader: &Reader<'_>, key: &'static str, header: &str) -> Vec<Gate> {
    let mut seen = BTreeSet::new();
    let tables = reader.tables(key, header);
    let probes = format!("{}.probes]]", header.trim_end_matches("]]"));
    let read = tables.iter().map(|table| (table, read(table, &probes, None)));
    let mut gates = Vec::new();
    for (table, gate) in read {
        let Some(gate) = gate else { continue };
        if !seen.insert(gate.name.clone()) {
            let what = format!("there are two gates named `{}`", gate.name);
            reader
                .sink
                .push(reader.sink.at(&table.span, what).help("give each its own name"));
        }
        gates.push(gate);
    }
    gates
}

/// One gate. `header` is that of its probes; it must have a name, unless there is a `usual` one.
pub(super) fn read(reader: &Reader<'_>, header: &str, usual: Option<&str>) -> Option<Gate> {
    let given = match usual {
        Some(_) => reader.value("name"),
        None => reader.required("name", "\"ready\""),
    };
    let name = match given {
        Some(value) => value.parse::<ProbeName>().map(|name| name.value.to_string()),
        None => usual.map(str::to_owned),
    };
    let probes = probes(reader, header);
    let names: Vec<&str> = probes.iter().map(|p| p.name.as_str()).collect();
    let condition = reader
        .value("condition")
        .and_then(|v| condition(&v, &names, true));
    let warm_up = reader.duration("warm_up", Duration::ZERO);
    let bake = reader.duration("bake", Duration::from_secs(60));
    let give_up = reader.value("give_up");
    let least = warm_up.saturating_add(bake);
    let patience = give_up.as_ref().and_then(Value::duration);
    if let (Some(value), Some(patience)) = (&give_up, patience)
        && patience <= least
    {
        let what = format!(
            "`give_up` is {}, but warm-up and bake take {}",
            human(patience),
            human(least)
        );
        value.wrong(what, "no gate could pass: give it more time than both together");
    }
    let answer = reader.duration("answer", Duration::from_secs(30));
    let dry_run = reader.flag("dry_run", false);
    reader.finish();
    let mut probes = probes;
    for probe in &mut probes {
        probe.dry_run |= dry_run;
    }
    // A gate in dry run passes by its bake alone; its probes are sampled and told.
    let all = || {
        Condition::All(
            probes
                .iter()
                .filter(|p| dry_run || !p.dry_run)
                .map(|p| Condition::Probe(p.name.clone()))
                .collect(),
        )
    };
    Some(Gate {
        name: name?,
        condition: condition.unwrap_or_else(all),
        probes,
        warm_up,
        bake,
        give_up: patience.unwrap_or_else(|| least.saturating_add(Duration::from_secs(300))),
        answer,
    })
}

fn probes(reader: &Reader<'_>, header: &str) -> Vec<ProbeSpec> {
    let mut probes: Vec<ProbeSpec> = Vec::new();
    let tables = reader.tables("probes", header);
    if tables.is_empty() && reader.value("probes").is_none() {
        let fault = reader.sink.at(
            &reader.span,
            "the gate has no probe, so nothing could ever pass it",
        );
        reader.sink.push(fault.help(format!("add a `{header}`")));
    }
    for table in &tables {
        let Some(probe) = probe(table) else { continue };
        if probes.iter().any(|p| p.name == probe.name) {
            let what = format!("there are two probes named `{}`", probe.name);
            reader
                .sink
                .push(reader.sink.at(&table.span, what).help("give each its own name"));
        }
        probes.push(probe);
    }
    probes
}

fn probe(reader: &Reader<'_>) -> Option<ProbeSpec> {
    let name = reader
        .required("name", "\"health\"")
        .and_then(|v| v.parse::<ProbeName>());
    let target = target(reader);
    let alarms = matches!(target, Some(ProbeTarget::Alarms { .. }));
    let spec = ProbeSpec {
        name: name.as_ref()?.value.clone(),
        target: target?,
        every: reader.duration("every", Duration::from_secs(10)),
        successes: at_least_one(reader, "successes", 3),
        failures: reader.number("failures", 2),
        errors: reader.number("errors", 5),
        // An alarm speaks of its last period, which may be some minutes long.
        max_age: reader.duration("max_age", Duration::from_secs(if alarms { 300 } else { 60 })),
        dry_run: reader.flag("dry_run", false),
    };
    reader.finish();
    Some(spec)
}

fn at_least_one(reader: &Reader<'_>, key: &'static str, default: u32) -> u32 {
    let Some(value) = reader.value(key) else {
        return default;
    };
    let number = value.number().unwrap_or(default);
    if number == 0 {
        value.wrong(
            format!("`{key}` is 0: the probe would hold without a sample"),
            "write 1 or more",
        );
    }
    number
}

/// Reads the value of one kind of probe.
type ReadTarget = fn(&Value<'_>) -> Option<ProbeTarget>;

fn target(reader: &Reader<'_>) -> Option<ProbeTarget> {
    let kinds: [(&'static str, ReadTarget); 5] = [
        ("http", http),
        ("target_health", target_health),
        ("alarms", alarms),
        ("readiness", readiness),
        ("custom", custom),
    ];
    let given: Vec<_> = kinds
        .iter()
        .filter_map(|(key, read)| reader.value(key).map(|value| (value, read)))
        .collect();
    match given.as_slice() {
        [(value, read)] => read(value),
        [] => {
            let fault = reader.sink.at(&reader.span, "the probe looks at nothing");
            reader.sink.push(
                fault.help("add one of `http = { url = \"…\" }`, `target_health = { target_group = \"…\" }`, `alarms = [\"…\"]`, `readiness = true`, `custom = { name = \"…\" }`"),
            );
            None
        }
        [(first, _), (second, _), ..] => {
            let what = format!("the probe has both `{}` and `{}`", first.key, second.key);
            second.wrong(what, "make two probes of it: each looks at one thing");
            None
        }
    }
}

fn http(value: &Value<'_>) -> Option<ProbeTarget> {
    let reader = value.table("http")?;
    let url = reader
        .required("url", "\"https://shop.example.com/health/ready\"")
        .and_then(|v| url(&v));
    let status = reader.value("status").map(|v| statuses(&v)).unwrap_or_default();
    let body_contains = reader
        .value("body_contains")
        .and_then(|v| v.text())
        .map(|t| t.value);
    let timeout = reader.duration("timeout", Duration::from_secs(5));
    let latency = reader.duration("latency", timeout.min(Duration::from_secs(2)));
    if latency > timeout
        && let Some(value) = reader.value("latency")
    {
        let what = format!(
            "`latency` is {}, past the `timeout` of {}",
            human(latency),
            human(timeout)
        );
        value.wrong(
            what,
            "an answer that late is never seen: raise `timeout` or lower `latency`",
        );
    }
    let redirects = reader.number("redirects", 0);
    reader.finish();
    Some(ProbeTarget::Http(HttpProbe {
        url: url?,
        status,
        body_contains,
        latency,
        timeout,
        redirects,
    }))
}

fn statuses(value: &Value<'_>) -> Vec<u16> {
    let mut all = Vec::new();
    for item in value.array() {
        match item.number::<u16>() {
            Some(status @ 100..=599) => all.push(status),
            Some(other) => item.wrong(
                format!("`status`: {other} is not an HTTP status"),
                "write one of 100 to 599",
            ),
            None => {}
        }
    }
    all
}

pub(super) fn url(value: &Value<'_>) -> Option<String> {
    let text = value.text()?.value;
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
    if host.is_none_or(|host| !is_authority(host)) || text.contains(char::is_whitespace) {
        value.wrong(
            format!("`{}`: `{text}` is not a URL that a probe can ask", value.key),
            "write http or https, a host and a path, such as \"https://shop.example.com/health/ready\"",
        );
        return None;
    }
    Some(text)
}

/// A host with an optional port; no user name, because a secret in a URL ends up in logs.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let literal = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let right = match literal {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => rollout_core::id::DomainName::new(host).is_ok(),
    };
    right && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn target_health(value: &Value<'_>) -> Option<ProbeTarget> {
    let reader = value.table("target_health")?;
    let group = reader
        .required("target_group", "\"arn:aws:elasticloadbalancing:…:targetgroup/…\"")
        .and_then(|v| target_group(&v));
    let at_least = at_least_one(&reader, "at_least", 1);
    reader.finish();
    Some(ProbeTarget::TargetHealth {
        target_group: group?,
        at_least,
    })
}

fn target_group(value: &Value<'_>) -> Option<String> {
    let text = value.text()?.value;
    let right =
        text.starts_with("arn:") && text.contains(":elasticloadbalancing:") && text.contains(":targetgroup/");
    if !right {
        value.wrong(
            format!("`target_group`: `{text}` is not the ARN of a target group"),
            "write \"arn:aws:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/ID\"; a load balancer's or listener's ARN is another thing",
        );
    }
    right.then_some(text)
}

fn alarms(value: &Value<'_>) -> Option<ProbeTarget> {
    let items = value.array();
    let names: Vec<String> = items
        .iter()
        .filter_map(|v| filled(v, "the name of an alarm"))
        .collect();
    if items.is_empty() {
        value.wrong("`alarms` names no alarm", "write `alarms = [\"shop-5xx\"]`");
    }
    (!names.is_empty()).then_some(ProbeTarget::Alarms { names })
}

fn readiness(value: &Value<'_>) -> Option<ProbeTarget> {
    if value.flag()? {
        return Some(ProbeTarget::Readiness);
    }
    value.wrong(
        "`readiness` is false: the probe looks at nothing",
        "write `readiness = true`, or leave the probe out",
    );
    None
}

fn custom(value: &Value<'_>) -> Option<ProbeTarget> {
    let reader = value.table("custom")?;
    let name = reader
        .required("name", "\"queue-depth\"")
        .and_then(|v| filled(&v, "the name of your own probe"));
    let parameters = reader
        .value("parameters")
        .map_or(serde_json::Value::Null, |v| v.json());
    reader.finish();
    Some(ProbeTarget::Custom {
        name: name?,
        parameters,
    })
}

/// A probe's name, or a table with one of `all`, `any`, `at_least`. The outermost is a table.
fn condition(value: &Value<'_>, probes: &[&str], outermost: bool) -> Option<Condition> {
    if value.is_text() && !outermost {
        let name: At<ProbeName> = value.parse()?;
        if !probes.contains(&name.value.as_str()) {
            let what = format!("there is no probe `{}` in this gate", name.value);
            let fault = value.sink.at(&name.span, what);
            value
                .sink
                .push(fault.help_maybe(suggest(name.value.as_str(), probes.iter().copied())));
        }
        return Some(Condition::Probe(name.value));
    }
    let reader = value.table("condition")?;
    let all = reader.value("all").map(|v| Condition::All(members(&v, probes)));
    let any = reader.value("any").map(|v| Condition::Any(members(&v, probes)));
    let at_least = reader.value("at_least").and_then(|v| at_least(&v, probes));
    reader.finish();
    let mut given: Vec<Condition> = [all, any, at_least].into_iter().flatten().collect();
    if given.len() != 1 {
        value.wrong(
            "a condition has exactly one of `all`, `any`, `at_least`",
            "nest them: `{ all = [\"alarms\", { any = [\"blue\", \"green\"] }] }`",
        );
    }
    given.pop()
}

fn members(value: &Value<'_>, probes: &[&str]) -> Vec<Condition> {
    let members: Vec<_> = value.array();
    if members.is_empty() {
        value.wrong(
            format!("`{}` is empty", value.key),
            "name a probe: an empty list would hold always or never",
        );
    }
    members
        .iter()
        .filter_map(|v| condition(v, probes, false))
        .collect()
}

fn at_least(value: &Value<'_>, probes: &[&str]) -> Option<Condition> {
    let reader = value.table("at_least")?;
    let count = reader.required("count", "2").and_then(|v| v.number::<u32>());
    let of = reader
        .required("of", "[\"a\", \"b\", \"c\"]")
        .map(|v| members(&v, probes));
    reader.finish();
    let (count, of) = (count?, of?);
    if count == 0 || usize::try_from(count).is_ok_and(|count| count > of.len()) {
        let what = format!("`at_least` wants {count} of {}", of.len());
        value.wrong(what, "`count` is 1 or more, and not more than there are");
    }
    Some(Condition::AtLeast { count, of })
}
