//! `[[checks]]`: the team's own.

use std::borrow::Cow;

use rollout_core::readiness::catalogue;
use rollout_core::readiness::check::{About, Area, EVERYWHERE, Remedy, Severity};
use rollout_core::readiness::fact::Question;
use rollout_core::readiness::intent::Tier;
use rollout_core::readiness::own::{AnswerCheck, Compare, FactCheck};

use super::super::gate::url;
use super::super::reader::Reader;
use super::environment::TIERS;
use super::{Own, said, texts};

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
    let fact = reader.value("fact").map(|_| texts(reader, "fact"));
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
            about
                .zip(compare)
                .map(|(about, compare)| Own::Fact(FactCheck { about, path, compare }))
        }
        (None, Some(http)) => answer(&http, about).map(Own::Answer),
        (Some(_), Some(_)) | (None, None) => None,
    };
    reader.finish();
    check
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
    let id = said(
        reader,
        "id",
        "\"own_service_odd\"",
        "a name in small letters, with `_`",
    );
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
            .map(|v| Compare::OneOf(v.array().iter().map(super::Value::json).collect())),
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
    let status = reader.number("status", 200);
    let body_contains = reader
        .value("body_contains")
        .and_then(|v| v.text())
        .map(|text| text.value);
    reader.finish();
    Some(AnswerCheck {
        about: about?,
        question: Question::get(url?),
        status,
        body_contains,
    })
}
