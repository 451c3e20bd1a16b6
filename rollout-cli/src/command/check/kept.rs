//! Facts in a file: gathered where somebody may read an environment, judged wherever one likes.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use rollout_core::id::EnvironmentName;
use rollout_core::readiness::fact::Snapshot;
use rollout_core::readiness::intent::Release;
use serde::{Deserialize, Serialize};

use crate::args::Check;
use crate::ready::Unnamed;
use crate::state::files;

/// What `--save-facts` writes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// Of which environment they are.
    pub(super) environment: EnvironmentName,
    /// Ahead of which release they were gathered, with its digests as they were then.
    pub(super) release: Option<Release>,
    pub(super) facts: Snapshot,
}

impl Kept {
    pub(super) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        files::replace(file, &text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Facts that answer what the command line asks.
    ///
    /// # Errors
    /// When the file is not such a file, or its facts are of another environment or release than the command line names.
    pub(super) fn read(file: &Path, args: &Check) -> anyhow::Result<Self> {
        let shown = file.display();
        let text = std::fs::read(file).with_context(|| format!("cannot read {shown}"))?;
        let none = || format!("{shown} holds no facts: `--save-facts` makes such a file");
        let mut kept: Self = serde_json::from_slice(&text).with_context(none)?;
        // Every gathering makes a call; what was put together by hand has none.
        ensure!(!kept.facts.calls.is_empty(), none());
        if let Some(other) = args.env.as_ref().filter(|name| **name != kept.environment) {
            bail!(Unnamed(format!(
                "{shown} holds facts of {}, not of {other}",
                kept.environment
            )));
        }
        let of = kept.release.as_ref().map(|release| release.name.as_str());
        if let Some(wanted) = args.release.release.as_deref().filter(|name| Some(*name) != of) {
            let of = of.map_or_else(|| "no release".to_owned(), |of| format!("release {of}"));
            bail!(Unnamed(format!(
                "the facts in {shown} were gathered ahead of {of}, not of {wanted}: gather them again"
            )));
        }
        if args.present {
            kept.release = None;
        }
        Ok(kept)
    }
}
