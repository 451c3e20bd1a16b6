//! `[records]`: what people wrote down.

use rollout_core::readiness::fact::data::Record;
use rollout_core::readiness::fact::release::Records;
use rollout_core::readiness::known::Known;

use super::super::reader::Reader;
use super::{moment, said};

/// Nothing is written down: that is known.
pub(super) fn none() -> Records {
    Records {
        rollback_drill: Known::Missing,
        restore_test: Known::Missing,
        approvals: Vec::new(),
        smoke_test: Known::Missing,
    }
}

pub(super) fn read(reader: &Reader<'_>) -> Records {
    let one = |key: &'static str, header: &str| {
        let table = reader.value(key).and_then(|v| v.table(header));
        table
            .and_then(|r| record(&r, false))
            .map_or(Known::Missing, Known::Seen)
    };
    let records = Records {
        rollback_drill: one("rollback_drill", "[records.rollback_drill]"),
        restore_test: one("restore_test", "[records.restore_test]"),
        approvals: reader
            .tables("approvals", "[[records.approvals]]")
            .iter()
            .filter_map(|r| record(r, true))
            .collect(),
        smoke_test: one("smoke_test", "[records.smoke_test]"),
    };
    reader.finish();
    records
}

/// A record; one that is of a release must name it.
fn record(reader: &Reader<'_>, of_release: bool) -> Option<Record> {
    let at = reader.required("at", "2026-11-20").and_then(|v| moment(&v));
    let who = said(reader, "by", "\"Ada Lovelace\"", "who");
    let release = if of_release {
        Some(said(
            reader,
            "release",
            "\"2.4.0\"",
            "the release that it is about",
        )?)
    } else {
        reader
            .value("release")
            .and_then(|v| v.text())
            .map(|text| text.value)
    };
    let note = reader.value("note").and_then(|v| v.text()).map(|text| text.value);
    let passed = reader.flag("passed", true);
    reader.finish();
    Some(Record {
        at: at?,
        about: release,
        passed,
        by: who?,
        text: note.unwrap_or_default(),
    })
}
