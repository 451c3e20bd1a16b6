//! The plan of a fleet: which members are released together, in which order, how much of the fleet may be at stake.
//!
//! A member is whatever is released as one and has a run of its own: a cell, a region, a tenant, a service. Members of one wave
//! are released side by side, waves one after the other. The plan is checked whole before anything begins (invariant I-1).

use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use super::{GatePlan, PlanErrors};
use crate::id::{MemberName, RunId, WaveName};
use crate::probe::Subject;
use crate::time::{Timestamp, millis};

#[cfg(test)]
mod tests;

/// Everything that a fleet's release will do, as its author writes it. Check it with [`FleetPlan::check`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// The run of the fleet. Its members' runs have names of their own.
    pub run: RunId,
    /// The release, for people.
    pub release: String,
    /// The waves, in order.
    pub waves: Vec<WavePlan>,
    /// What holds for the whole fleet.
    pub policy: FleetPolicy,
}

/// Members that are released together. The next wave begins when all of them are released and baked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WavePlan {
    /// Its name.
    pub name: WaveName,
    /// Its members, in the order in which they begin.
    pub members: Vec<MemberName>,
    /// Members that may be in the air at once.
    pub at_once: u32,
    /// How long a member must have been released before it counts as baked; the wave is baked this long after its last one.
    #[serde(with = "millis")]
    pub bake: Duration,
    /// What must pass, besides, when every member of the wave is released. The wave is then baked as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GatePlan>,
}

/// What holds for the whole fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetPolicy {
    /// How much of the fleet may be at stake.
    #[serde(default)]
    pub bounds: FleetBounds,
    /// What becomes of members that are under way when another one fails.
    #[serde(default)]
    pub under_way: UnderWay,
    /// What goes back when a wave fails.
    #[serde(default)]
    pub back: WayBack,
    /// Members that may be on their way back at once.
    pub back_at_once: u32,
    /// The longest time that a member's run may take, from its beginning to its end, its own way back included. Past it the
    /// member is told to stop, and has failed.
    #[serde(with = "millis")]
    pub run_within: Duration,
    /// The longest time from the word to stop to the end of the member's run. Past it the member is stuck.
    #[serde(with = "millis")]
    pub stop_within: Duration,
    /// The longest time in which a member is taken back. Past it the member is stuck.
    #[serde(with = "millis")]
    pub back_within: Duration,
    /// Between two tries of a call about a member; doubled for each failure in a row.
    #[serde(with = "millis")]
    pub retry_every: Duration,
    /// Failures in a row of one call about a member that end it. At least 1.
    pub max_errors: u32,
}

/// The blast radius of a fleet (invariant I-11). Checked on each member that is about to begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetBounds {
    /// Members that may be in the air at once, whatever their wave says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_the_air: Option<Share>,
    /// Members that may be in the air, or changed and not yet baked. A wave without a gate that is larger than this rolls: its next
    /// member begins when an earlier one has baked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unbaked: Option<Share>,
}

/// So much of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    /// So many members.
    Members(u32),
    /// So many of a hundred members, rounded down.
    Percent(u8),
}

impl Share {
    /// How many members that is in a fleet of so many.
    #[must_use]
    pub fn of(self, fleet: u32) -> u32 {
        match self {
            Self::Members(count) => count,
            Self::Percent(percent) => {
                let share = u64::from(fleet).saturating_mul(u64::from(percent)) / 100;
                u32::try_from(share).unwrap_or(u32::MAX)
            }
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Members(1) => f.write_str("1 member"),
            Self::Members(count) => write!(f, "{count} members"),
            Self::Percent(percent) => write!(f, "{percent} %"),
        }
    }
}

/// What becomes of members that are under way when another one fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, strum::EnumIter)]
#[serde(rename_all = "snake_case")]
pub enum UnderWay {
    /// They stop at a safe place, which takes back what they changed.
    #[default]
    Stop,
    /// They come to their own end.
    Finish,
}

/// What goes back when a wave fails. A member that failed has gone back by itself in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, strum::EnumIter)]
#[serde(rename_all = "snake_case")]
pub enum WayBack {
    /// Every member that was changed so far: the fleet succeeds or goes back together.
    #[default]
    Fleet,
    /// Every member of the wave that failed.
    Wave,
    /// Only the members that failed, which went back by themselves.
    Member,
}

/// A plan that was checked. Cheap to clone: what cannot be changed is shared.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Draft")]
pub struct FleetPlan(Arc<Checked>);

#[derive(PartialEq, Eq)]
struct Checked {
    draft: Draft,
    /// Where each wave begins, as members are counted.
    starts: Vec<u32>,
    names: BTreeMap<MemberName, u32>,
}

/// How long a fleet can take at worst, if no call fails again and again beyond its member's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WorstCase {
    /// Until the last wave has baked.
    #[serde(with = "millis")]
    pub forward: Duration,
    /// To stop what is under way then, and to take everything back.
    #[serde(with = "millis")]
    pub back: Duration,
}

/// More members than this in one fleet are several fleets.
const MOST: usize = 1_000_000;

impl FleetPlan {
    /// Checks a draft whole.
    ///
    /// # Errors
    /// [`PlanErrors`] lists everything that is wrong, each with its place.
    pub fn check(draft: Draft) -> Result<Self, PlanErrors> {
        let mut errors = Vec::new();
        let (starts, names) = check_waves(&draft, &mut errors);
        check_bounds(&draft, names.len(), &mut errors);
        check_policy(&draft.policy, &mut errors);
        if errors.is_empty() {
            Ok(Self(Arc::new(Checked { draft, starts, names })))
        } else {
            Err(PlanErrors(errors))
        }
    }

    /// How many members there are.
    #[must_use]
    pub fn size(&self) -> u32 {
        u32::try_from(self.0.names.len()).unwrap_or(u32::MAX)
    }

    /// The members in the order of the plan, each with its wave.
    pub fn members(&self) -> impl Iterator<Item = (&WavePlan, &MemberName)> {
        self.waves
            .iter()
            .flat_map(|wave| wave.members.iter().map(move |member| (wave, member)))
    }

    /// How long it can take at worst: members that all take as long as they may, as many side by side as the plan allows.
    #[must_use]
    pub fn worst(&self) -> WorstCase {
        let policy = &self.policy;
        let times =
            |rounds: usize, each: Duration| each.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX));
        let sum =
            |all: &mut dyn Iterator<Item = Duration>| all.fold(Duration::ZERO, Duration::saturating_add);
        let wave = |(number, wave): (usize, &WavePlan)| {
            let (size, unbaked) = (wave.members.len(), self.unbaked() as usize);
            let side_by_side = (self.at_once(number) as usize).min(unbaked);
            let each = if unbaked < size {
                policy.run_within.saturating_add(wave.bake)
            } else {
                policy.run_within
            };
            let gate = wave
                .gate
                .as_ref()
                .map_or(Duration::ZERO, |gate| gate.give_up.saturating_add(gate.answer));
            times(size.div_ceil(side_by_side.max(1)), each).saturating_add(wave.bake.max(gate))
        };
        let back = |wave: &WavePlan| {
            let side_by_side = policy.back_at_once.max(1) as usize;
            times(wave.members.len().div_ceil(side_by_side), policy.back_within)
        };
        let going_back = match policy.back {
            WayBack::Fleet => sum(&mut self.waves.iter().map(back)),
            WayBack::Wave => self.waves.iter().map(back).max().unwrap_or_default(),
            WayBack::Member => Duration::ZERO,
        };
        WorstCase {
            forward: sum(&mut self.waves.iter().enumerate().map(wave)),
            back: policy.stop_within.saturating_add(going_back),
        }
    }

    /// The number of a member.
    pub(crate) fn number(&self, member: &MemberName) -> Option<u32> {
        self.0.names.get(member).copied()
    }

    /// The number of the wave that a member is of.
    pub(crate) fn wave_of(&self, member: u32) -> usize {
        self.0
            .starts
            .partition_point(|start| *start <= member)
            .saturating_sub(1)
    }

    /// A member by its number.
    pub(crate) fn member(&self, number: u32) -> Option<&MemberName> {
        let wave = self.wave_of(number);
        let within = number.checked_sub(self.start(wave))?;
        self.waves.get(wave)?.members.get(within as usize)
    }

    /// The number of a wave's first member; of a wave after the last, the size of the fleet.
    pub(crate) fn start(&self, wave: usize) -> u32 {
        self.0.starts.get(wave).copied().unwrap_or_else(|| self.size())
    }

    /// How many members of a wave may be in the air at once.
    pub(crate) fn at_once(&self, wave: usize) -> u32 {
        let of_fleet = self.policy.bounds.in_the_air.map(|share| share.of(self.size()));
        let of_wave = self.waves.get(wave).map_or(u32::MAX, |wave| wave.at_once);
        of_wave.min(of_fleet.unwrap_or(u32::MAX))
    }

    /// How many members may be in the air, or changed and not yet baked.
    pub(crate) fn unbaked(&self) -> u32 {
        let share = self.policy.bounds.unbaked;
        share.map_or(u32::MAX, |share| share.of(self.size()))
    }
}

impl fmt::Debug for FleetPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FleetPlan").field(&self.0.draft).finish()
    }
}

impl Serialize for FleetPlan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.draft.serialize(serializer)
    }
}

impl core::ops::Deref for FleetPlan {
    type Target = Draft;
    fn deref(&self) -> &Draft {
        &self.0.draft
    }
}

impl TryFrom<Draft> for FleetPlan {
    type Error = PlanErrors;
    fn try_from(draft: Draft) -> Result<Self, PlanErrors> {
        Self::check(draft)
    }
}

/// What is wrong with the waves; where each begins, and the number of each member.
fn check_waves(draft: &Draft, errors: &mut Vec<String>) -> (Vec<u32>, BTreeMap<MemberName, u32>) {
    let mut starts = Vec::with_capacity(draft.waves.len());
    let mut names = BTreeMap::new();
    let mut waves = BTreeSet::new();
    if draft.waves.is_empty() {
        errors.push("a fleet needs at least one wave".to_owned());
    }
    for wave in &draft.waves {
        let name = &wave.name;
        if !waves.insert(name) {
            errors.push(format!("two waves are named {name}"));
        }
        if wave.members.is_empty() {
            errors.push(format!("wave {name}: it has no member"));
        }
        if wave.at_once == 0 {
            errors.push(format!(
                "wave {name}: no member may be in the air: `at_once` must be at least 1"
            ));
        }
        if let Some(gate) = &wave.gate {
            let subject = Subject {
                service: None,
                images: BTreeMap::new(),
                changed_at: Timestamp::EPOCH,
            };
            if let Err(error) = gate.judge(subject).validate() {
                errors.push(format!("wave {name}: gate {}: {error}", gate.name));
            }
        }
        let next = |names: &BTreeMap<_, _>| u32::try_from(names.len()).unwrap_or(u32::MAX);
        starts.push(next(&names));
        for member in &wave.members {
            let number = next(&names);
            if names.insert(member.clone(), number).is_some() {
                errors.push(format!(
                    "wave {name}: member {member} is in the fleet twice: it is released once"
                ));
            }
        }
    }
    if names.len() > MOST {
        errors.push(format!("a fleet has at most {MOST} members, not {}", names.len()));
    }
    (starts, names)
}

fn check_bounds(draft: &Draft, size: usize, errors: &mut Vec<String>) {
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    let FleetBounds { in_the_air, unbaked } = draft.policy.bounds;
    for (key, share) in [("in_the_air", in_the_air), ("unbaked", unbaked)] {
        match share {
            Some(Share::Percent(percent)) if percent > 100 => errors.push(format!(
                "`bounds.{key}` is {percent} % of the fleet: a share is at most 100 %"
            )),
            Some(share) if share.of(size) == 0 && size > 0 => errors.push(format!(
                "`bounds.{key}`: {share} of a fleet of {size} is less than one member, so that nothing could ever begin"
            )),
            Some(_) | None => {}
        }
    }
    let Some(most) = unbaked.map(|share| share.of(size)).filter(|most| *most > 0) else {
        return;
    };
    // It is baked as one, so all of it is unbaked at the same time.
    for wave in draft
        .waves
        .iter()
        .filter(|wave| wave.gate.is_some() && wave.members.len() > most as usize)
    {
        errors.push(format!(
            "wave {}: its {} members are baked together, by its gate, and `bounds.unbaked` allows {most} at once: split the wave, or raise the bound",
            wave.name,
            wave.members.len()
        ));
    }
}

fn check_policy(policy: &FleetPolicy, errors: &mut Vec<String>) {
    for (key, count) in [
        ("back_at_once", policy.back_at_once),
        ("max_errors", policy.max_errors),
    ] {
        if count == 0 {
            errors.push(format!("`{key}` must be at least 1"));
        }
    }
    let times = [
        ("run_within", policy.run_within),
        ("stop_within", policy.stop_within),
        ("back_within", policy.back_within),
        ("retry_every", policy.retry_every),
    ];
    for (key, _) in times.iter().filter(|(_, time)| time.is_zero()) {
        errors.push(format!("`{key}` must be longer than zero"));
    }
}
