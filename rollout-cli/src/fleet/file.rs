//! What a fleet's file is made into: a plan.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rollout_core::id::{GroupName, MemberName, RunId, WaveName};
use rollout_core::plan::fleet::{Draft, FleetPlan, WavePlan};
use rollout_core::probe::ProbeTarget;

use crate::args::Cloud;
use crate::config::fleet::{Fleet, Member, WaveGate};
use crate::config::{Config, Promotion};
use crate::{draft, intent, ready};

/// A file that no fleet can be made of: what is wrong, and where.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", file.display())]
pub(crate) struct Unusable {
    file: PathBuf,
    why: String,
}

/// A file that was read, and whose members can all be planned.
#[derive(Clone, Debug)]
pub(crate) struct FleetFile {
    file: PathBuf,
    written: Fleet,
    /// The waves with their gates.
    waves: Vec<WavePlan>,
}

impl FleetFile {
    /// Reads the file, and every file that it names: nothing begins that could not be planned.
    ///
    /// # Errors
    /// What is wrong with it, or with a member's configuration.
    pub(crate) fn load(file: &Path, cloud: Cloud) -> anyhow::Result<Self> {
        let written = Fleet::load(file)?;
        let mut members = BTreeMap::new();
        for (name, member) in &written.members {
            members.insert(name, member.load()?);
        }
        for (wave, gate) in &written.gates {
            askable(file, wave, gate, members.get(&gate.member))?;
        }
        // Each simulated cloud has a state of its own, and so a lease of its own.
        if cloud == Cloud::Aws {
            apart(file, &members)?;
        }
        let mut waves = written.waves.clone();
        for wave in &mut waves {
            let gate = written.gates.get(&wave.name);
            wave.gate = gate.map(|gate| draft::gate_plan(&gate.gate)).transpose()?;
        }
        Ok(Self {
            file: file.to_path_buf(),
            written,
            waves,
        })
    }

    /// What is released together; with it goes the lease.
    pub(crate) const fn name(&self) -> &GroupName {
        &self.written.name
    }

    /// A member's files.
    pub(crate) fn member(&self, name: &MemberName) -> Option<&Member> {
        self.written.members.get(name)
    }

    /// Whose cloud is asked what a wave's gate wants to know.
    pub(crate) fn asked(&self, wave: &WaveName) -> Option<&MemberName> {
        self.written.gates.get(wave).map(|gate| &gate.member)
    }

    /// The release: the one that was asked for, or the file's.
    ///
    /// # Errors
    /// When neither names one.
    pub(crate) fn release(&self, asked: Option<&str>) -> anyhow::Result<String> {
        let release = asked.map(str::to_owned).or_else(|| self.written.release.clone());
        let why =
            "no release is named: give `--release TAG`, or write `release = \"TAG\"` at the top".to_owned();
        Ok(release.ok_or_else(|| self.unusable(why))?)
    }

    /// The checked plan of a run.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn plan(&self, run: &RunId, release: &str) -> anyhow::Result<FleetPlan> {
        for member in self.written.members.keys() {
            let name = member_run(run, member);
            RunId::new(name).map_err(|error| {
                self.unusable(format!(
                    "the run of {member} is named after the fleet's and its own: {error}"
                ))
            })?;
        }
        let draft = Draft {
            run: run.clone(),
            release: release.to_owned(),
            waves: self.waves.clone(),
            policy: self.written.policy.clone(),
        };
        Ok(FleetPlan::check(draft).map_err(|errors| self.unusable(errors.to_string()))?)
    }

    fn unusable(&self, why: String) -> Unusable {
        Unusable {
            file: self.file.clone(),
            why,
        }
    }
}

/// Whether a gate can be asked at all: it is found out before the first wave, and not after it.
fn askable(file: &Path, wave: &WaveName, gate: &WaveGate, config: Option<&Config>) -> anyhow::Result<()> {
    let no = |why: String| {
        let file = file.to_path_buf();
        Unusable { file, why }
    };
    let Some(config) = config else { return Ok(()) };
    for probe in &gate.gate.probes {
        match &probe.target {
            ProbeTarget::Readiness if config.readiness.is_none() => {
                let why = format!(
                    "the gate of wave {wave} asks for the readiness of {}, and {} names no readiness file",
                    gate.member,
                    config.file.display()
                );
                return Err(no(why).into());
            }
            ProbeTarget::Readiness => {
                let readiness = ready::load(config)?;
                intent::intent(config, &readiness, &config.promotion.to, None)?;
            }
            ProbeTarget::Custom { name, .. } => {
                let why = format!(
                    "the gate of wave {wave} has the custom probe {name}, which this program does not know: the library takes yours"
                );
                return Err(no(why).into());
            }
            // What the configuration's own reader makes: the clouds have them.
            _ => {}
        }
    }
    Ok(())
}

/// Two members that one lease is for would wait for each other, and the second would leave.
fn apart(file: &Path, members: &BTreeMap<&MemberName, Config>) -> Result<(), Unusable> {
    let mut leases = BTreeMap::new();
    for (name, config) in members {
        let Promotion { to, group, .. } = &config.promotion;
        if let Some(other) = leases.insert((to, group), name) {
            let why = format!(
                "the members {other} and {name} both change {to}, group {group}, which one runner does at a time: give each a \
                 `group` of its own in [promotion], in its overlay"
            );
            let file = file.to_path_buf();
            return Err(Unusable { file, why });
        }
    }
    Ok(())
}

/// The name of a member's run.
pub(crate) fn member_run(run: &RunId, member: &MemberName) -> String {
    format!("{run}.{member}")
}
