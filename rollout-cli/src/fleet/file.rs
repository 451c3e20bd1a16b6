//! `fleet.toml`: the waves, and for each member the files that its own release is made of.

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rollout_core::id::{GroupName, MemberName, RunId, WaveName};
use rollout_core::plan::fleet::{
    Draft, FleetBounds, FleetPlan, FleetPolicy, Share, UnderWay, WavePlan, WayBack,
};
use serde::{Deserialize, Deserializer};

use crate::config::Config;

/// A file that no fleet can be made of: what is wrong, and where.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", file.display())]
pub(crate) struct Unusable {
    file: PathBuf,
    why: String,
}

/// The file, as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default = "fleet")]
    name: GroupName,
    release: Option<String>,
    #[serde(default)]
    policy: Policy,
    members: BTreeMap<MemberName, Member>,
    waves: Vec<Wave>,
}

fn fleet() -> GroupName {
    // One word, so that it is always a name; an empty one is refused where it is used.
    "fleet".parse().unwrap_or_else(|_| unreachable!("a word"))
}

/// What one member's release is made of. Paths are those of the fleet's file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    #[serde(default = "rollout_toml")]
    pub(crate) config: PathBuf,
    #[serde(default)]
    pub(crate) overlays: Vec<PathBuf>,
}

fn rollout_toml() -> PathBuf {
    PathBuf::from("rollout.toml")
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wave {
    name: WaveName,
    members: Vec<MemberName>,
    #[serde(default = "one")]
    at_once: u32,
    #[serde(default, deserialize_with = "duration")]
    bake: Duration,
}

const fn one() -> u32 {
    1
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Policy {
    unbaked: Option<Amount>,
    in_the_air: Option<Amount>,
    under_way: UnderWay,
    back: WayBack,
    back_at_once: u32,
    #[serde(deserialize_with = "duration")]
    run_within: Duration,
    #[serde(deserialize_with = "duration")]
    stop_within: Duration,
    #[serde(deserialize_with = "duration")]
    back_within: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        let hour = Duration::from_secs(3_600);
        Self {
            unbaked: None,
            in_the_air: None,
            under_way: UnderWay::default(),
            back: WayBack::default(),
            back_at_once: 5,
            run_within: hour.saturating_mul(4),
            stop_within: hour.saturating_mul(2),
            back_within: hour.saturating_mul(2),
        }
    }
}

/// `5`, or `"10%"`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged, expecting = "a number of members, or a share such as \"10%\"")]
enum Amount {
    Members(u32),
    #[serde(deserialize_with = "percent")]
    Percent(u8),
}

impl From<Amount> for Share {
    fn from(amount: Amount) -> Self {
        match amount {
            Amount::Members(count) => Self::Members(count),
            Amount::Percent(percent) => Self::Percent(percent),
        }
    }
}

fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    let text = String::deserialize(deserializer)?;
    let number = text
        .strip_suffix('%')
        .and_then(|number| number.trim().parse().ok());
    number.ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no share such as \"10%\"")))
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|error| {
        serde::de::Error::custom(format!("`{text}` is no duration such as \"10m\": {error}"))
    })
}

/// A file that was read, and whose members can all be planned.
#[derive(Clone, Debug)]
pub(crate) struct FleetFile {
    file: PathBuf,
    /// What is released together; with it goes the lease.
    pub(crate) name: GroupName,
    release: Option<String>,
    policy: FleetPolicy,
    waves: Vec<WavePlan>,
    /// The members with their files.
    pub(crate) members: BTreeMap<MemberName, Member>,
}

impl FleetFile {
    /// Reads the file, and every file that it names: nothing begins that could not be planned.
    ///
    /// # Errors
    /// [`Unusable`], or what is wrong with a member's configuration.
    pub(crate) fn load(file: &Path) -> anyhow::Result<Self> {
        let unusable = |why: String| Unusable {
            file: file.to_path_buf(),
            why,
        };
        let text = std::fs::read_to_string(file).map_err(|error| unusable(error.to_string()))?;
        let written: Written =
            toml::from_str(&text).map_err(|error| unusable(format!("\n{}", error.to_string().trim_end())))?;
        let beside = file.parent().unwrap_or_else(|| Path::new(""));
        let mut members = written.members;
        for member in members.values_mut() {
            member.config = beside.join(&member.config);
            for overlay in &mut member.overlays {
                *overlay = beside.join(&overlay);
            }
        }
        let mut idle: Vec<&MemberName> = members.keys().collect();
        for member in written.waves.iter().flat_map(|wave| &wave.members) {
            if !members.contains_key(member) {
                return Err(unusable(format!("there is no [members.{member}], which a wave names")).into());
            }
            idle.retain(|name| *name != member);
        }
        if let Some(member) = idle.first() {
            return Err(unusable(format!(
                "no wave names the member {member}: it would never be released"
            ))
            .into());
        }
        for member in members.values() {
            Config::load(&member.config, &member.overlays)?;
        }
        let Policy {
            unbaked,
            in_the_air,
            under_way,
            back,
            back_at_once,
            run_within,
            stop_within,
            back_within,
        } = written.policy;
        let wave = |wave: Wave| WavePlan {
            name: wave.name,
            members: wave.members,
            at_once: wave.at_once,
            bake: wave.bake,
            gate: None,
        };
        Ok(Self {
            file: file.to_path_buf(),
            name: written.name,
            release: written.release,
            policy: FleetPolicy {
                bounds: FleetBounds {
                    in_the_air: in_the_air.map(Share::from),
                    unbaked: unbaked.map(Share::from),
                },
                under_way,
                back,
                back_at_once,
                run_within,
                stop_within,
                back_within,
                retry_every: Duration::from_secs(5),
                max_errors: 5,
            },
            waves: written.waves.into_iter().map(wave).collect(),
            members,
        })
    }

    /// The release: the one that was asked for, or the file's.
    ///
    /// # Errors
    /// When neither names one.
    pub(crate) fn release(&self, asked: Option<&str>) -> anyhow::Result<String> {
        let release = asked.map(str::to_owned).or_else(|| self.release.clone());
        let why =
            "no release is named: give `--release TAG`, or write `release = \"TAG\"` at the top".to_owned();
        Ok(release.ok_or_else(|| self.unusable(why))?)
    }

    /// The checked plan of a run.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn plan(&self, run: &RunId, release: &str) -> anyhow::Result<FleetPlan> {
        for member in self.members.keys() {
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
            policy: self.policy.clone(),
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

/// The name of a member's run.
pub(crate) fn member_run(run: &RunId, member: &MemberName) -> String {
    format!("{run}.{member}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Written, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_left_out_is_careful() {
        let written = read("waves = []\n[members]").expect("it is enough to be read");
        assert_eq!(written.name.as_str(), "fleet");
        let Policy { under_way, back, .. } = written.policy;
        assert_eq!((under_way, back), (UnderWay::Stop, WayBack::Fleet));
        let written = read("[members.a]\n[[waves]]\nname = \"one\"\nmembers = [\"a\"]").expect("well formed");
        assert_eq!(
            (written.waves[0].at_once, written.waves[0].bake),
            (1, Duration::ZERO)
        );
        assert_eq!(
            written.members.values().next().expect("one").config,
            Path::new("rollout.toml")
        );
    }

    #[test]
    fn a_bound_is_a_number_or_a_share() {
        let bound = |text: &str| read(&format!("waves = []\npolicy.unbaked = {text}\n[members]"));
        let share = |text: &str| Share::from(bound(text).expect(text).policy.unbaked.expect("given"));
        assert_eq!(share("7"), Share::Members(7));
        assert_eq!(share("\"10%\""), Share::Percent(10));
        for bad in ["\"ten\"", "-1", "1.5", "\"300%\""] {
            let error = bound(bad).expect_err(bad);
            assert!(
                error.contains("a number of members, or a share such as \"10%\""),
                "{error}"
            );
        }
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let error = read("waves = []\n[members.a]\nconfg = \"x\"").expect_err("no such key");
        assert!(error.contains("line 3") && error.contains("`confg`"), "{error}");
        let error = read("[members]\n[[waves]]\nname = \"a\"\nmembers = []\nbake = \"soon\"")
            .expect_err("no duration");
        assert!(
            error.contains("line 5") && error.contains("such as \"10m\""),
            "{error}"
        );
    }
}
