//! `[[accepted]]` and `[profile]`: risks that somebody has accepted.

use rollout_core::readiness::catalogue;
use rollout_core::readiness::check::Check;
use rollout_core::readiness::profile::{Profile, Signed};
use rollout_core::readiness::risk::AcceptedRisk;

use super::super::diagnostic::suggest;
use super::super::reader::Reader;
use super::environment::person;
use super::{Own, moment, said};

/// Every accepted risk: first those that are written out, then those of the profile.
pub(super) fn read_all(reader: &Reader<'_>, own: &[Own]) -> Vec<AcceptedRisk> {
    let catalogue = catalogue::all();
    let own: Vec<Box<dyn Check>> = own.iter().map(Own::check).collect();
    let all = catalogue.iter().chain(&own);
    let known: Vec<&str> = all.map(|check| check.about().id.as_ref()).collect();
    let tables = reader.tables("accepted", "[[accepted]]");
    let mut all: Vec<AcceptedRisk> = tables.iter().filter_map(|table| read(table, &known)).collect();
    if let Some(table) = reader.value("profile").and_then(|v| v.table("[profile]")) {
        all.extend(profile(&table));
    }
    all
}

fn read(reader: &Reader<'_>, known: &[&str]) -> Option<AcceptedRisk> {
    let check = reader
        .required("check", "\"ecs_service_single_task\"")
        .and_then(|v| {
            let text = v.text()?.value;
            if known.contains(&text.as_str()) {
                return Some(text);
            }
            let fault = v.sink.at(&v.span(), format!("there is no check `{text}`"));
            v.sink
                .push(fault.help_maybe(suggest(&text, known.iter().copied())));
            None
        });
    let scope = said(
        reader,
        "scope",
        "\"*\"",
        "the resources that it is about, with `*` for any text",
    );
    let seen = said(
        reader,
        "seen",
        "\"1 task\"",
        "what is accepted, as `rollout check` shows it",
    );
    let reason = said(
        reader,
        "reason",
        "\"there are no customers yet\"",
        "why it is accepted",
    );
    let consequence = reader
        .value("consequence")
        .and_then(|v| v.text())
        .map(|text| text.value);
    let (owner, approver) = (person(reader, "owner"), person(reader, "approver"));
    let until = reader.required("until", "2027-03-31").and_then(|v| moment(&v));
    reader.finish();
    Some(AcceptedRisk {
        check: check?,
        scope: scope?,
        seen: seen?,
        reason: reason?,
        consequence,
        owner: owner?,
        approver: approver?,
        until: until?,
    })
}

fn profile(reader: &Reader<'_>) -> Vec<AcceptedRisk> {
    let profiles = [("starter", Profile::Starter), ("production", Profile::Production)];
    let profile = reader
        .required("name", "\"starter\"")
        .and_then(|v| v.word(&profiles));
    let signed = if profile == Some(Profile::Starter) {
        let (owner, approver) = (person(reader, "owner"), person(reader, "approver"));
        let until = reader.required("until", "2027-03-31").and_then(|v| moment(&v));
        owner
            .zip(approver)
            .zip(until)
            .map(|((owner, approver), until)| Signed {
                owner,
                approver,
                until,
            })
    } else {
        // What accepts nothing needs nobody to sign it; whoever signs it anyway is not wrong.
        for key in ["owner", "approver", "until"] {
            reader.value(key);
        }
        None
    };
    reader.finish();
    match (profile, signed) {
        (Some(profile), Some(signed)) => profile.accepts(&signed),
        (Some(_) | None, Some(_) | None) => Vec::new(),
    }
}
