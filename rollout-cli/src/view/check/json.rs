//! A report for programs, and as the baseline of a later one.
//!
//! One object. Its members are those of [`Report`] (`environment`, `at` in milliseconds since 1970, `checks`, `findings`, `idle`,
//! `calls`), and beside them
//!
//! - `format`: [`FORMAT`]; another number means that members have gone or mean something else. New members may come at any time;
//! - `gathered`: `at` as a date and a time, UTC;
//! - `result`: `ready`, `unknown` or `not_ready`; `exit_code`: how the program ends;
//! - `counts`: findings by status;
//! - `changes`: what has changed since the baseline, each with `was` and `is`; it is not there without a baseline;
//! - `cost`: `present`, `released` and `starter`, each either an estimate with its sum in `cents` or `{"unknown": …}`; `released` is
//!   not there without a release.

use anyhow::Context as _;
use rollout_core::readiness::known::Unseen;
use rollout_core::readiness::price::Estimate;
use rollout_core::readiness::report::{Change, Report, Result as Readiness};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Estimates, Shown};

/// The format of this form.
const FORMAT: u64 = 1;

#[derive(Serialize)]
struct Document<'a> {
    format: u64,
    gathered: String,
    result: Readiness,
    exit_code: u8,
    counts: std::collections::BTreeMap<&'static str, usize>,
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<Change>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<Value>,
}

pub(super) fn render(shown: &Shown<'_>) -> String {
    let report = shown.report;
    let document = Document {
        format: FORMAT,
        gathered: report.at.to_string(),
        result: report.result(),
        exit_code: shown.exit.number(),
        counts: report.counts(),
        report,
        changes: shown.earlier.map(|earlier| report.since(earlier)),
        cost: shown.estimate.map(cost),
    };
    pretty(&document)
}

/// JSON that people can read, with its last line break.
pub(super) fn pretty(value: &impl Serialize) -> String {
    // All keys are text and no number is infinite: nothing that JSON cannot say.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

fn cost(estimates: &Estimates) -> Value {
    let one = |estimate: &Result<Estimate, Unseen>| match estimate {
        Ok(estimate) => json!({
            "cents": estimate.cents(),
            "items": estimate.items,
            "unpriced": estimate.unpriced,
            "dated": estimate.dated,
            "source": estimate.source,
        }),
        Err(unseen) => json!({ "unknown": unseen }),
    };
    let mut all = json!({ "present": one(&estimates.present), "starter": one(&estimates.starter) });
    if let (Some(released), Some(all)) = (&estimates.released, all.as_object_mut()) {
        all.insert("released".to_owned(), one(released));
    }
    all
}

/// Reads a report back, to see what has changed since.
///
/// # Errors
/// What is wrong with the text.
pub(crate) fn baseline(text: &str) -> anyhow::Result<Report> {
    let value: Value = serde_json::from_str(text).context("it is not JSON")?;
    let format = value.get("format").and_then(Value::as_u64);
    anyhow::ensure!(
        format == Some(FORMAT),
        "it is not a readiness report of format {FORMAT}: `rollout check` writes one as JSON"
    );
    serde_json::from_value(value).context("it is not a readiness report")
}
