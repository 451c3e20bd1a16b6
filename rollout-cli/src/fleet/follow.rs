//! What there is to see of a fleet: a row for each member.

use rollout_core::hint::Hint;
use rollout_core::id::StepId;
use rollout_core::machine::Transitions as _;
use rollout_core::machine::fleet::{End, Event, Fleet, Standing, StateKind};
use rollout_core::machine::rollout::{StepState, StepView};
use rollout_core::probe::Verdict;
use rollout_core::time::Timestamp;

use crate::follow::Follow;
use crate::view::model::Row;

fn step(wave: &str, member: &str) -> String {
    format!("{wave}/{member}")
}

impl Follow for Fleet {
    /// It waits for its members, and looks at no service itself.
    fn hinted(_: Hint) -> Option<Event> {
        None
    }

    fn title(&self) -> String {
        let plan = self.plan();
        format!(
            "{} → {} members in {} waves",
            plan.release,
            plan.size(),
            plan.waves.len()
        )
    }

    fn phase(&self) -> String {
        let wave = self.wave().map(ToString::to_string).unwrap_or_default();
        match self.state_kind() {
            StateKind::Idle => "begins".to_owned(),
            StateKind::Releasing => format!("releasing wave {wave}"),
            StateKind::Baking => format!("wave {wave} bakes"),
            StateKind::Stopping => "stopping".to_owned(),
            StateKind::Unwinding => "going back".to_owned(),
            StateKind::Ended => "ended".to_owned(),
        }
    }

    fn planned(&self) -> Vec<Row> {
        let row =
            |(wave, member): (
                &rollout_core::plan::fleet::WavePlan,
                &rollout_core::id::MemberName,
            )| { Row::pending(step(wave.name.as_str(), member.as_str()), "waits for its turn") };
        self.plan().members().map(row).collect()
    }

    fn begun(&self) -> Vec<StepView> {
        let waves = self.plan().members().map(|(wave, _)| &wave.name);
        let view = |(wave, (member, standing)): (&rollout_core::id::WaveName, _)| {
            let member: &rollout_core::id::MemberName = member;
            let (since, state) = state(standing)?;
            Some(StepView {
                step: StepId::new(step(wave.as_str(), member.as_str())).ok()?,
                since,
                until: None,
                state,
            })
        };
        waves.zip(self.standings()).filter_map(view).collect()
    }

    fn fact(_: &Event) -> Option<(StepId, String)> {
        None
    }

    fn sample(_: &Event) -> Option<(StepId, String, Verdict)> {
        None
    }

    fn probes(&self, _: &StepId) -> usize {
        0
    }
}

fn state(standing: Standing) -> Option<(Timestamp, StepState)> {
    let active = |since, waiting_for: &str| {
        let waiting_for = waiting_for.to_owned();
        Some((since, StepState::Active { waiting_for }))
    };
    // When is in the member's own journal.
    let failed = |why: String| Some((Timestamp::EPOCH, StepState::Failed { why }));
    match standing {
        Standing::NotBegun => None,
        Standing::UnderWay {
            since,
            stopping: false,
        } => active(since, "being released"),
        Standing::UnderWay {
            since,
            stopping: true,
        } => active(since, "stopping at a safe place"),
        Standing::GoingBack { since } => active(since, "going back to what ran before"),
        Standing::Released { .. } | Standing::Ended(End::Released) => {
            Some((Timestamp::EPOCH, StepState::Done))
        }
        Standing::TakenBack => failed("taken back with its fleet".to_owned()),
        Standing::Ended(end) => failed(end.to_string()),
    }
}
