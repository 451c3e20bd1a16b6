//! The readiness file: what an environment is meant to be, which risks are accepted, the team's own checks, what people wrote down.

mod environment;
mod own;
mod record;
mod risk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rollout_core::id::EnvironmentName;
use rollout_core::plan::rollback::Proof;
use rollout_core::plan::window::Offset;
use rollout_core::readiness::check::Check;
use rollout_core::readiness::fact::Question;
use rollout_core::readiness::fact::release::Records;
use rollout_core::readiness::risk::AcceptedRisk;
use rollout_core::time::Timestamp;

use super::diagnostic::Invalid;
use super::reader::{At, Reader, Value};
use super::window;

pub(crate) use environment::Meant;

/// The readiness file.
#[derive(Debug)]
pub(crate) struct Readiness {
    /// The file.
    pub(crate) file: PathBuf,
    /// What each environment is meant to be.
    pub(crate) environments: BTreeMap<EnvironmentName, Meant>,
    /// Risks that somebody has accepted.
    pub(crate) accepted: Vec<AcceptedRisk>,
    /// The team's own checks.
    pub(crate) own: Vec<Own>,
    /// What people wrote down.
    pub(crate) records: Records,
}

/// A check of the team's own.
#[derive(Clone, Debug)]
pub(crate) enum Own {
    /// A fact.
    Fact(rollout_core::readiness::own::FactCheck),
    /// An answer.
    Answer(rollout_core::readiness::own::AnswerCheck),
}

impl Own {
    /// As a check.
    pub(crate) fn check(&self) -> Box<dyn Check> {
        match self {
            Self::Fact(check) => Box::new(check.clone()),
            Self::Answer(check) => Box::new(check.clone()),
        }
    }

    /// What it asks while facts are gathered.
    pub(crate) fn question(&self) -> Option<&Question> {
        match self {
            Self::Fact(_) => None,
            Self::Answer(check) => Some(&check.question),
        }
    }
}

impl Readiness {
    /// Reads the file.
    ///
    /// # Errors
    /// [`Invalid`] with everything that is wrong, not only the first fault.
    pub(crate) fn load(file: &Path) -> Result<Self, Invalid> {
        let help = "it is named by `readiness` in the configuration, or by `--readiness FILE`";
        super::one_file(file, help, |reader| Some(read(reader, file)))
    }
}

fn read(reader: &Reader<'_>, file: &Path) -> Readiness {
    let dir = file.parent().unwrap_or_else(|| Path::new(""));
    let mut environments = BTreeMap::new();
    let table = reader
        .required("environments", "{ … }` as a table `[environments.production]")
        .and_then(|v| v.table("[environments.…]"));
    for (key, value) in table.iter().flat_map(Reader::entries) {
        match EnvironmentName::new(&key.value) {
            Ok(name) => {
                if let Some(table) = value.table(&format!("[environments.{name}]")) {
                    environments.insert(name.clone(), environment::read(&table, &name, dir));
                }
            }
            Err(error) => reader.sink.push(reader.sink.at(&key.span, error.to_string())),
        }
    }
    let own = own::read_all(reader);
    let accepted = risk::read_all(reader, &own);
    let records = reader.value("records").and_then(|v| v.table("[records]"));
    Readiness {
        file: file.to_path_buf(),
        environments,
        accepted,
        own,
        records: records.map_or_else(record::none, |r| record::read(&r)),
    }
}

/// `readiness` of the configuration: the file, and how sure a release must be of what it asks for.
pub(super) fn asked(reader: &Reader<'_>, dir: &Path) -> (Option<PathBuf>, Proof) {
    const FILE: &str = "the path of the readiness file, from the configuration's directory";
    let proofs = [
        ("known", Proof::Known),
        ("proven", Proof::Proven),
        ("unasked", Proof::Unasked),
    ];
    let Some(value) = reader.value("readiness") else {
        return (None, Proof::Unasked);
    };
    if value.is_text() {
        return (filled(&value, FILE).map(|file| dir.join(file)), Proof::Proven);
    }
    let Some(table) = value.table("[readiness]") else {
        return (None, Proof::Unasked);
    };
    let file = table
        .required("file", "\"readiness.toml\"")
        .and_then(|v| filled(&v, FILE));
    let asked = table.value("release").and_then(|v| v.word(&proofs));
    table.finish();
    (file.map(|file| dir.join(file)), asked.unwrap_or(Proof::Proven))
}

/// A text that says something.
fn filled(value: &Value<'_>, what: &str) -> Option<String> {
    super::environment::filled(value, what)
}

/// A text that must be there and say something.
fn said(reader: &Reader<'_>, key: &'static str, example: &str, what: &str) -> Option<String> {
    reader.required(key, example).and_then(|v| filled(&v, what))
}

/// Texts.
fn texts(reader: &Reader<'_>, key: &'static str) -> Vec<String> {
    let values = reader.value(key).map(|v| v.list::<String>()).unwrap_or_default();
    values.into_iter().map(|text| text.value).collect()
}

/// Texts by names that the user chose.
fn named(reader: &Reader<'_>, key: &'static str, header: &str) -> Vec<(At<String>, String)> {
    let table = reader.value(key).and_then(|v| v.table(header));
    let entries = table.iter().flat_map(Reader::entries);
    entries
        .filter_map(|(name, value)| Some((name, value.text()?.value)))
        .collect()
}

/// A moment; a date alone is its first one, in UTC.
fn moment(value: &Value<'_>) -> Option<Timestamp> {
    let at = value.datetime()?;
    let moment = window::timestamp(&at.value, Offset::default());
    if moment.is_none() {
        value.wrong(
            format!("`{}`: {} is before 1970", value.key, at.value),
            "write a year of this century",
        );
    }
    moment
}
