//! `[[checks]]`: the team's own.

use std::borrow::Cow;

use rollout_core::readiness::catalogue;
use rollout_core::readiness::check::{About, Area, EVERYWHERE, Remedy, Severity};
use rollout_core::readiness::fact::{Question, Snapshot};
use rollout_core::readiness::intent::Tier;
use rollout_core::readiness::own::{AnswerCheck, Compare, FactCheck};
use serde_json::json;

use super::super::diagnostic::{quoted, suggest};
use super::super::gate::url;
use super::super::reader::Reader;
use super::environment::TIERS;
use super::{Own, Value, said, texts};

pub(super) fn read_all(reader: &Reader<'_>) -> Vec<Own> {
    let mut names = Vec::new();
    let catalogue = catalogue::all();
    let mut all = Vec::new();
    for table in reader.tables("checks", "[[checks]]") {
        let Some(check) = read(&table) else { continue };
        let id = check.check().about().id.to_string();
        if names.contains(&id) || catalogue.iter().any(|check| check.about().id == id) {
            let fault = table
                .sink
                .at(&table.span, format!("there is another check `{id}`"));
            table
                .sink
                .push(fault.help("give each its own id, such as one that begins with `own_`"));
        }
        names.push(id);
        all.push(check);
    }
    all
}

fn read(reader: &Reader<'_>) -> Option<Own> {
    let about = about(reader);
    let fact = reader.value("fact").map(|value| path(reader, &value));
    let http = reader.value("http").and_then(|v| v.table("http"));
    if fact.is_some() == http.is_some() {
        let what = "a check compares either a `fact` or an answer over `http`";
        let fault = reader.sink.at(&reader.span, what);
        let help = "write `fact = [\"services\", \"*\", \"desired\"]` or `http = { url = \"https://…\", status = 200 }`";
        reader.sink.push(fault.help(help));
    }
    let check = match (fact, http) {
        (Some(path), None) => {
            let compare = compare(reader);
            let all = about.zip(path).zip(compare);
            all.map(|((about, path), compare)| Own::Fact(FactCheck { about, path, compare }))
        }
        (None, Some(http)) => answer(&http, about).map(Own::Answer),
        (Some(_), Some(_)) | (None, None) => None,
    };
    reader.finish();
    check
}

/// The way to a fact, which begins at something that is gathered: whatever it is, it would not be there otherwise.
fn path(reader: &Reader<'_>, value: &Value<'_>) -> Option<Vec<String>> {
    let facts = serde_json::to_value(Snapshot::default()).unwrap_or_default();
    let kinds: Vec<&str> = facts.as_object()?.keys().map(String::as_str).collect();
    if value.json() == json!([]) {
        value.wrong(
            "`fact` leads nowhere",
            format!("begin it with one of {}", quoted(kinds)),
        );
        return None;
    }
    let path = texts(reader, "fact");
    let first = path.first()?.as_str();
    if first == "*" || kinds.contains(&first) {
        return Some(path);
    }
    let what = format!("there are no facts `{first}`");
    value.wrong(what, suggest(first, kinds).unwrap_or_default());
    None
}

/// In the form of all ids: what it is about, which part of it, and what is wrong with that.
fn id(reader: &Reader<'_>) -> Option<String> {
    let value = reader.required("id", "\"own_worker_tasks_few\"")?;
    let id = value.text()?.value;
    let of =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if id.split('_').count() >= 3 && id.split('_').all(of) {
        return Some(id);
    }
    value.wrong(
        format!("`{id}` is no id of a check"),
        "write SERVICE_RESOURCE_CONDITION in small letters, such as `own_worker_tasks_few`",
    );
    None
}

fn about(reader: &Reader<'_>) -> Option<About> {
    let severities = [
        Severity::Low,
        Severity::Medium,
        Severity::High,
        Severity::Critical,
    ];
    let severities = severities.map(|severity| (severity.to_string(), severity));
    let words: Vec<(&str, Severity)> = severities
        .iter()
        .map(|(word, severity)| (word.as_str(), *severity))
        .collect();
    let id = id(reader);
    let title = said(
        reader,
        "title",
        "\"As many tasks in each zone\"",
        "what it makes sure of",
    );
    let why = said(
        reader,
        "why",
        "\"One zone must carry half of it\"",
        "what happens to those who do without",
    );
    let severity = reader.value("severity").and_then(|v| v.word(&words));
    let of = reader.value("tiers").map(|v| v.array()).unwrap_or_default();
    let of: Vec<Tier> = of.iter().filter_map(|v| v.word(&TIERS)).collect();
    let remedy = reader
        .value("remedy")
        .and_then(|v| v.text())
        .map(|text| text.value);
    let source = reader
        .value("source")
        .and_then(|v| v.text())
        .map(|text| text.value);
    let blocking = reader.flag("blocking", true);
    Some(About {
        id: Cow::Owned(id?),
        title: Cow::Owned(title?),
        why: Cow::Owned(why?),
        area: Area::Own,
        severity: severity.unwrap_or(Severity::Medium),
        blocking,
        tiers: if of.is_empty() {
            Cow::Borrowed(EVERYWHERE)
        } else {
            Cow::Owned(of)
        },
        remedy: Remedy {
            text: Cow::Owned(remedy.unwrap_or_else(|| "See the check in the readiness file.".to_owned())),
            ..Remedy::words("")
        },
        source: Cow::Owned(source.unwrap_or_else(|| "the readiness file".to_owned())),
    })
}

fn compare(reader: &Reader<'_>) -> Option<Compare> {
    let values = [
        reader.value("equals").map(|v| Compare::Equals(v.json())),
        reader
            .value("at_least")
            .and_then(|v| v.number())
            .map(Compare::AtLeast),
        reader
            .value("at_most")
            .and_then(|v| v.number())
            .map(Compare::AtMost),
        reader
            .value("one_of")
            .map(|v| Compare::OneOf(v.array().iter().map(Value::json).collect())),
        reader
            .value("contains")
            .and_then(|v| v.text())
            .map(|text| Compare::Contains(text.value)),
    ];
    let mut given = values.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(compare), None) => Some(compare),
        (Some(_) | None, _) => {
            let fault = reader
                .sink
                .at(&reader.span, "a fact is compared in exactly one way");
            let help = "write one of `equals`, `at_least`, `at_most`, `one_of` and `contains`";
            reader.sink.push(fault.help(help));
            None
        }
    }
}

fn answer(reader: &Reader<'_>, about: Option<About>) -> Option<AnswerCheck> {
    let url = reader
        .required("url", "\"https://shop.example.com/version\"")
        .and_then(|v| url(&v));
    let status = reader.value("status").map_or(Some(200), |v| status(&v));
    let body_contains = reader
        .value("body_contains")
        .and_then(|v| v.text())
        .map(|text| text.value);
    reader.finish();
    Some(AnswerCheck {
        about: about?,
        question: Question::get(url?),
        status: status?,
        body_contains,
    })
}

/// A status that HTTP has.
fn status(value: &Value<'_>) -> Option<u16> {
    let status = value.number()?;
    if (100..600).contains(&status) {
        return Some(status);
    }
    value.wrong(
        format!("HTTP has no status {status}"),
        "write one between 100 and 599",
    );
    None
}
