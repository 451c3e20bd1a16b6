//! From a machine to what there is to see of it.

use std::collections::{BTreeMap, BTreeSet};

use rollout_core::error::ErrorRecord;
use rollout_core::hint::Hint;
use rollout_core::id::StepId;
use rollout_core::machine::rollout::{self, Rollout, StepState, StepView};
use rollout_core::machine::unwind::{self, Unwind};
use rollout_core::machine::{Lifecycle, Machine, Transitions, deployment, gate, promotion, task};
use rollout_core::plan::{RolloutPlan, When, step};
use rollout_core::probe::Verdict;
use rollout_core::service::{StoppedTask, TaskObservation};
use rollout_core::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::view::model::{Row, Snapshot, State};

/// A machine that people can follow, and that is stored and driven as every one of them is.
pub(crate) trait Follow:
    Machine<
        Event: Serialize + DeserializeOwned + Clone + Send + Sync,
        Effect: rollout_core::Effect
                    + Serialize
                    + DeserializeOwned
                    + Clone
                    + PartialEq
                    + core::fmt::Debug
                    + Send
                    + Sync,
    > + Lifecycle
    + Transitions
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// What the whole is about.
    fn title(&self) -> String;
    /// What it is doing.
    fn phase(&self) -> String;
    /// The steps that are known beforehand, in order, with why each has not begun.
    fn planned(&self) -> Vec<Row>;
    /// The steps that have begun.
    fn begun(&self) -> Vec<StepView>;
    /// Something worth saying of a step, which a later fact replaces.
    fn fact(event: &Self::Event) -> Option<(StepId, String)>;
    /// A sample of a gate.
    fn sample(event: &Self::Event) -> Option<(StepId, String, Verdict)>;
    /// The probes of a gate.
    fn probes(&self, step: &StepId) -> usize;
    /// A hint as its event; `None` where it takes none.
    fn hinted(hint: Hint) -> Option<Self::Event>;
}

/// Remembers what a machine does not: when it all began, what is worth saying, what was under way and is gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Follower {
    began: Option<Timestamp>,
    facts: BTreeMap<String, String>,
    /// The last verdict of each probe of each gate.
    verdicts: BTreeMap<String, BTreeMap<String, Verdict>>,
    /// Gates whose condition holds and must go on holding.
    baking: BTreeSet<String>,
    /// The steps of the way back, as they were seen last.
    back: Vec<Row>,
}

impl Follower {
    /// Takes note of an event.
    pub(crate) fn heard<M: Follow>(&mut self, event: &M::Event) {
        if let Some((step, fact)) = M::fact(event) {
            self.facts.insert(step.to_string(), fact);
        }
        if let Some((step, probe, verdict)) = M::sample(event) {
            let probes = self.verdicts.entry(step.to_string()).or_default();
            probes.insert(probe, verdict);
            if verdict != Verdict::Pass {
                self.baking.remove(step.as_str());
            }
        }
    }

    /// What there is to see now.
    pub(crate) fn look<M: Follow>(&mut self, machine: &M, run: &str, now: Timestamp) -> Snapshot {
        let began = *self.began.get_or_insert(now);
        let begun = machine.begun();
        let (back, forth): (Vec<_>, Vec<_>) = begun
            .into_iter()
            .partition(|view| view.step.as_str().starts_with("unwind/"));
        let (groups, single): (Vec<_>, Vec<_>) =
            forth.into_iter().partition(|view| group_of(&view.step).is_some());
        let mut rows = machine.planned();
        for view in single {
            let row = match self.verdicts.get(view.step.as_str()) {
                Some(_) => self.gate(&view, machine.probes(&view.step)),
                None => self.row(&view),
            };
            match rows.iter_mut().find(|planned| planned.step == row.step) {
                Some(planned) => *planned = row,
                None => rows.push(row),
            }
        }
        for group in ["check", "confirm"] {
            let members: Vec<&StepView> = groups
                .iter()
                .filter(|v| group_of(&v.step) == Some(group))
                .collect();
            if let Some(planned) = rows.iter_mut().find(|row| row.step == group)
                && !members.is_empty()
            {
                *planned = grouped(group, &members, &self.facts);
            }
        }
        self.note_back(&back, now, machine.outcome().is_some());
        rows.extend(self.back.iter().cloned());
        let working = rows.iter().filter(|row| row.state == State::Working).count();
        if working == 1
            && let Some(row) = rows.iter_mut().find(|row| row.state == State::Working)
        {
            row.wait = machine.deadline();
        }
        Snapshot {
            title: machine.title(),
            run: run.to_owned(),
            phase: machine.phase(),
            began,
            rows,
        }
    }

    fn row(&self, view: &StepView) -> Row {
        let fact = self.facts.get(view.step.as_str());
        let (state, note) = match &view.state {
            StepState::Active { waiting_for } => (State::Working, waiting(&view.step, waiting_for, fact)),
            StepState::Done => (State::Done, fact.cloned().unwrap_or_default()),
            StepState::Failed { why } => {
                // The row names its step already.
                let bare = why.strip_prefix(&format!("{}: ", view.step));
                (State::Failed, bare.unwrap_or(why).to_owned())
            }
        };
        Row {
            step: view.step.to_string(),
            state,
            note,
            // The epoch is a moment that nobody knows.
            began: Some(view.since).filter(|since| *since != Timestamp::EPOCH),
            ended: view.until,
            wait: None,
        }
    }

    /// A gate that has samples: what they say, whatever it waits for at the moment.
    fn gate(&mut self, view: &StepView, probes: usize) -> Row {
        let step = view.step.as_str();
        if matches!(&view.state, StepState::Active { waiting_for } if waiting_for.contains("bake")) {
            self.baking.insert(step.to_owned());
        }
        let mut row = self.row(view);
        if row.state != State::Failed {
            let none = BTreeMap::new();
            row.note = summary(self.verdicts.get(step).unwrap_or(&none), probes);
        }
        if row.state == State::Working && self.baking.contains(step) {
            row.note.push_str("; must go on for the bake time");
        }
        row
    }

    /// A machine on its way back shows the item at hand only: one that is gone is done.
    fn note_back(&mut self, views: &[StepView], now: Timestamp, over: bool) {
        for row in &mut self.back {
            let at_hand = views.iter().any(|view| view.step.as_str() == row.step);
            if row.state == State::Working && (over || !at_hand) {
                row.state = State::Done;
                row.note.clear();
                row.ended = Some(now);
            }
        }
        for view in views {
            let new = self.row(view);
            match self.back.iter_mut().find(|row| row.step == new.step) {
                Some(row) => *row = new,
                None => self.back.push(new),
            }
        }
    }
}

/// What a step waits for, in words. That it asks, and will ask again, is no news: what it knows is.
fn waiting(step: &StepId, text: &str, fact: Option<&String>) -> String {
    const NO_NEWS: [&str; 3] = ["an answer", "next look", "the next look"];
    let bare = text.strip_prefix("waits for ");
    if NO_NEWS.contains(&bare.unwrap_or(text)) {
        return fact.cloned().unwrap_or_default();
    }
    let is_name = |word| text.starts_with(word);
    match (bare, fact) {
        (Some("retry"), Some(fact)) => format!("waiting for retry ({fact})"),
        (Some(bare), _) => format!("waiting for {bare}"),
        (None, _)
            if step.as_str().contains("dns/")
                || ["a ", "the ", "all ", "deployment "].into_iter().any(is_name) =>
        {
            format!("waiting for {text}")
        }
        (None, _) => text.to_owned(),
    }
}

/// A call that failed and is made again.
fn last_try(error: &ErrorRecord) -> String {
    format!("last try: {error}")
}

/// `3 of 4 pass; not yet: errors`.
fn summary(probes: &BTreeMap<String, Verdict>, all: usize) -> String {
    let named = |verdict: Verdict| -> Vec<&str> {
        probes
            .iter()
            .filter(|(_, v)| **v == verdict)
            .map(|(name, _)| name.as_str())
            .collect()
    };
    let mut text = format!("{} of {} pass", named(Verdict::Pass).len(), all.max(probes.len()));
    for (verdict, word) in [(Verdict::Fail, "failing"), (Verdict::Unknown, "unknown")] {
        let names = named(verdict);
        if !names.is_empty() {
            text.push_str(&format!("; {word}: {}", names.join(", ")));
        }
    }
    text
}

/// Steps that are many and short share one line.
fn group_of(step: &StepId) -> Option<&'static str> {
    ["check", "confirm"]
        .into_iter()
        .find(|group| step.as_str().split('/').next() == Some(*group))
}

fn grouped(group: &str, members: &[&StepView], facts: &BTreeMap<String, String>) -> Row {
    let failed = members.iter().find_map(|view| match &view.state {
        StepState::Failed { why } => Some(why.clone()),
        StepState::Active { .. } | StepState::Done => None,
    });
    let active: Vec<&str> = members
        .iter()
        .filter(|view| matches!(view.state, StepState::Active { .. }))
        .filter_map(|view| view.step.as_str().split_once('/').map(|(_, name)| name))
        .collect();
    let (state, note) = match (failed, active.as_slice()) {
        (Some(why), _) => (State::Failed, why),
        (None, []) => (State::Done, format!("{} looks", members.len())),
        (None, [first, rest @ ..]) => {
            let more = if rest.is_empty() {
                String::new()
            } else {
                format!(" and {} more", rest.len())
            };
            // What a step that is not done has told is a call that failed.
            let trouble = active
                .iter()
                .find_map(|name| facts.get(&format!("{group}/{name}")))
                .map(|fact| format!(" ({fact})"))
                .unwrap_or_default();
            (State::Working, format!("{first}{more}{trouble}"))
        }
    };
    Row {
        step: group.to_owned(),
        state,
        note,
        began: members.iter().map(|view| view.since).min(),
        ended: members
            .iter()
            .map(|view| view.until)
            .max()
            .flatten()
            .filter(|_| state.is_over()),
        wait: None,
    }
}

impl Follow for Rollout {
    fn hinted(hint: Hint) -> Option<rollout::Event> {
        Some(rollout::Event::Hinted(hint))
    }

    fn title(&self) -> String {
        let plan = self.plan();
        format!("{}: {} → {}", plan.release, plan.from, plan.to)
    }

    fn phase(&self) -> String {
        match self.state_kind() {
            rollout::StateKind::Idle => "begins",
            rollout::StateKind::Checking => "reading everything it rests on; nothing is changed yet",
            rollout::StateKind::Promoting => "copying images",
            rollout::StateKind::Changing => "changing",
            rollout::StateKind::Confirming => "looking at everything once more",
            rollout::StateKind::Stopping => "stopping what is under way",
            rollout::StateKind::Unwinding => "going back",
            rollout::StateKind::Ended => "ended",
        }
        .to_owned()
    }

    fn planned(&self) -> Vec<Row> {
        planned(self.plan())
    }

    fn begun(&self) -> Vec<StepView> {
        self.progress()
    }

    fn fact(event: &rollout::Event) -> Option<(StepId, String)> {
        match event {
            rollout::Event::Promotion {
                step,
                event: promotion::Event::ReadBack(Some(tree)),
            } => Some((step.clone(), format!("sha256:{}", tree.digest.short()))),
            rollout::Event::CallFailed { step, error }
            | rollout::Event::Promotion {
                step,
                event: promotion::Event::CallFailed(error),
            } => Some((step.clone(), last_try(error))),
            rollout::Event::Deployment {
                step,
                event: deployment::Event::RevisionReady { task_definition, .. },
            } => {
                let arn = task_definition.as_str();
                Some((
                    step.clone(),
                    arn.rsplit_once('/').map_or(arn, |(_, name)| name).to_owned(),
                ))
            }
            rollout::Event::Task {
                step,
                event: task::Event::Observed(TaskObservation::Running { status, .. }),
            } => Some((step.clone(), status.to_lowercase())),
            rollout::Event::Task {
                step,
                event: task::Event::Observed(TaskObservation::Stopped(task)),
            } => Some((step.clone(), exits(task))),
            _ => None,
        }
    }

    fn sample(event: &rollout::Event) -> Option<(StepId, String, Verdict)> {
        match event {
            rollout::Event::Gate {
                step,
                event: gate::Event::Sampled { probe, sample },
            } => Some((step.clone(), probe.to_string(), sample.verdict)),
            _ => None,
        }
    }

    fn probes(&self, of: &StepId) -> usize {
        let services = &self.plan().services;
        let of_services = services
            .iter()
            .flat_map(|s| s.gates.iter().map(|gate| (Some(&s.name), gate)));
        let mut all = of_services.chain(self.plan().gates.iter().map(|gate| (None, gate)));
        all.find(|(service, gate)| step::gate(*service, &gate.name) == *of)
            .map_or(0, |(_, gate)| gate.probes.len())
    }
}

/// How the containers of a one-off task ended.
fn exits(task: &StoppedTask) -> String {
    let codes: Vec<String> = task
        .containers
        .iter()
        .filter_map(|container| {
            container
                .exit_code
                .map(|code| format!("{} exited with {code}", container.name))
        })
        .collect();
    if codes.is_empty() {
        task.reason.clone()
    } else {
        codes.join(", ")
    }
}

/// Every step of a plan, in the order in which people read it.
pub(crate) fn planned(plan: &RolloutPlan) -> Vec<Row> {
    let mut rows = vec![Row::pending("check", "")];
    for service in &plan.services {
        let images = service
            .images
            .keys()
            .map(|container| step::image(&service.name, container));
        rows.extend(images.map(|step| Row::pending(step.to_string(), "")));
    }
    let tasks = |when| {
        plan.tasks
            .iter()
            .filter(move |task| task.when == when)
            .map(|task| step::task(&task.name))
    };
    rows.extend(tasks(When::BeforeServices).map(|step| Row::pending(step.to_string(), "")));
    for service in &plan.services {
        let after: Vec<&str> = service.after.iter().map(|name| name.as_str()).collect();
        let note = if after.is_empty() {
            String::new()
        } else {
            format!("after {}", after.join(", "))
        };
        rows.push(Row::pending(step::service(&service.name).to_string(), note));
        let gates = service
            .gates
            .iter()
            .map(|gate| step::gate(Some(&service.name), &gate.name));
        rows.extend(gates.map(|step| Row::pending(step.to_string(), "")));
    }
    rows.extend(tasks(When::AfterServices).map(|step| Row::pending(step.to_string(), "")));
    let gates = plan.gates.iter().map(|gate| step::gate(None, &gate.name));
    rows.extend(gates.map(|step| Row::pending(step.to_string(), "")));
    let records = plan
        .cutovers
        .iter()
        .map(|cutover| (step::cutover(&cutover.key), cutover.to.to_string()));
    rows.extend(records.map(|(step, to)| Row::pending(step.to_string(), to)));
    rows.push(Row::pending("confirm", ""));
    rows
}

impl Follow for Unwind {
    fn hinted(hint: Hint) -> Option<unwind::Event> {
        Some(unwind::Event::Hinted(hint))
    }

    fn title(&self) -> String {
        "rollback".to_owned()
    }

    fn phase(&self) -> String {
        match self.state_kind() {
            unwind::StateKind::Idle => "begins",
            unwind::StateKind::Undoing => "going back",
            unwind::StateKind::Ended => "ended",
        }
        .to_owned()
    }

    fn planned(&self) -> Vec<Row> {
        Vec::new()
    }

    fn begun(&self) -> Vec<StepView> {
        let active = |(step, waiting_for): (&StepId, String)| StepView {
            step: step.clone(),
            since: self.since(),
            until: None,
            state: StepState::Active { waiting_for },
        };
        self.waiting_for().map(active).into_iter().collect()
    }

    fn fact(_: &unwind::Event) -> Option<(StepId, String)> {
        None
    }

    fn sample(_: &unwind::Event) -> Option<(StepId, String, Verdict)> {
        None
    }

    fn probes(&self, _: &StepId) -> usize {
        0
    }
}
