//! Readiness, wherever a command asks for it: by `rollout check`, before a release, and as a gate in the middle of one.

use anyhow::bail;
use rollout_core::readiness::catalogue;
use rollout_core::readiness::check::Check;
use rollout_core::readiness::gate::Judge;
use rollout_core::readiness::intent::Intent;

use crate::config::Config;
use crate::config::readiness::{Own, Readiness};

/// What the command line or a file names is not there, or no file is named: no cloud was asked.
#[derive(Debug)]
pub(crate) struct Unnamed(pub(crate) String);

impl core::fmt::Display for Unnamed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unnamed {}

/// The readiness file of the configuration.
///
/// # Errors
/// When there is none, or something is wrong in it.
pub(crate) fn load(config: &Config) -> anyhow::Result<Readiness> {
    let Some(file) = config.readiness.as_deref() else {
        let why = format!(
            "no readiness file is named: pass `--readiness FILE`, or set `readiness = \"readiness.toml\"` in {}",
            config.file.display()
        );
        bail!(Unnamed(why));
    };
    Ok(Readiness::load(file)?)
}

/// The catalogue's checks and the team's own.
pub(crate) fn checks(readiness: &Readiness) -> Vec<Box<dyn Check>> {
    let own = readiness.own.iter().map(Own::check);
    catalogue::all().into_iter().chain(own).collect()
}

/// Everything that a report of an environment is made with, but the facts.
pub(crate) fn judge(readiness: &Readiness, intent: Intent) -> Judge {
    Judge {
        intent,
        checks: checks(readiness),
        accepted: readiness.accepted.clone(),
        records: readiness.records.clone(),
    }
}
