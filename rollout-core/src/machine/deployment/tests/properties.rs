//! Random scripts: any order of events, any delay, plausible data. Every walk is checked for replay, storage, deadlines and
//! the invariants; what a success or a write must rest on is said here again, in other words than the machine's.

use proptest::prelude::*;

use super::fixture::*;
use crate::error::{Applied, ErrorKind};
use crate::machine::deployment::{Deployment, Effect, Event, Outcome, StateKind, Target};
use crate::machine::testkit::Walk;
use crate::machine::{Effect as _, Machine as _, Transitions as _};
use crate::service::{
    DeploymentObservation, DeploymentRole, RecordStatus, RolloutState, ServiceObservation, ServiceStatus,
};
use crate::time::Timestamp;

/// One turn of a script.
#[derive(Clone, Debug)]
enum Turn {
    /// The wished answer to what was asked last.
    Good,
    /// A look that shows this.
    Look(Box<ServiceObservation>),
    /// The call fails.
    Fail(ErrorKind, Applied, bool),
    /// The deadline comes.
    Deadline,
    /// The deadline is given too early.
    Early,
    /// Anything, fitting or not.
    Stray(u8),
    /// Stop.
    Abort,
}

fn listings() -> impl Strategy<Value = Vec<DeploymentObservation>> {
    let one = (
        prop_oneof![
            4 => Just((NEW, NEW_REVISION, 10_u64)),
            3 => Just((OLD, OLD_REVISION, 1)),
            1 => Just((OTHER, OTHER_REVISION, 50)),
            1 => Just(("ecs-svc/third", "backend:5", 0)),
            1 => Just(("ecs-svc/back", OLD_REVISION, 60)),
            1 => Just(("ecs-svc/run-1", NEW_REVISION, 0)),
        ],
        prop_oneof![
            4 => Just(RolloutState::Completed),
            2 => Just(RolloutState::InProgress),
            1 => Just(RolloutState::Failed),
            1 => Just(RolloutState::Other("ODD".to_owned())),
        ],
        prop::option::weighted(0.3, statuses()),
        prop_oneof![4 => Just(3_u32), 1 => 0..5_u32],
        prop_oneof![8 => Just(None), 1 => Just(Some("rolling back to deploymentId ecs-svc/old".to_owned()))],
    )
        .prop_map(|((name, of, created), rollout, status, running, reason)| {
            let mut one = listed(name, of, DeploymentRole::Primary, rollout, running, at(created));
            one.reason = reason;
            one.record = status.map(record);
            one
        });
    prop::collection::vec(one, 0..4).prop_map(|mut all| {
        let mut names = std::collections::BTreeSet::new();
        all.retain(|one| names.insert(one.id.clone()));
        for (n, one) in all.iter_mut().enumerate().skip(1) {
            one.role = if n == 1 {
                DeploymentRole::Active
            } else {
                DeploymentRole::Inactive
            };
            // Mostly drained.
            if one.running == 3 {
                one.running = 0;
            }
        }
        all
    })
}

fn statuses() -> impl Strategy<Value = RecordStatus> {
    prop_oneof![
        4 => Just(RecordStatus::Successful),
        2 => Just(RecordStatus::InProgress),
        1 => Just(RecordStatus::Stopped),
        1 => Just(RecordStatus::RollbackInProgress),
        1 => Just(RecordStatus::RollbackFailed),
        1 => Just(RecordStatus::Other("ODD".to_owned())),
    ]
}

fn observations() -> impl Strategy<Value = ServiceObservation> {
    let status = prop_oneof![
        20 => Just(ServiceStatus::Active),
        1 => Just(ServiceStatus::Missing),
        1 => Just(ServiceStatus::Draining),
        1 => Just(ServiceStatus::Other("BUSY".to_owned())),
    ];
    let count = || prop_oneof![9 => Just(3_u32), 1 => 0..5_u32];
    let task = prop_oneof![12 => Just(0_u8), 1 => 1..4_u8];
    (
        status,
        count(),
        count(),
        prop_oneof![9 => Just(0_u32), 1 => 1..3_u32],
        listings(),
        prop::collection::vec(task, 3),
        prop_oneof![6 => Just(0_u32), 1 => 1..4_u32],
        prop_oneof![9 => Just(3_usize), 1 => 0..3_usize],
    )
        .prop_map(
            |(status, desired, all_running, pending, deployments, tasks, stopped, number)| {
                let of = deployments.first().map_or_else(
                    || OLD_REVISION.to_owned(),
                    |primary| primary.task_definition.to_string(),
                );
                let tasks = tasks.iter().enumerate().take(number).map(|(n, odd)| {
                    let mut task = running(u32::try_from(n).unwrap(), &of);
                    match odd {
                        1 => task.task_definition = revision(OTHER_REVISION),
                        2 => task.images = images(OTHER_REVISION),
                        3 => task.images.clear(),
                        _ => {}
                    }
                    task
                });
                ServiceObservation {
                    at: Timestamp::EPOCH,
                    status,
                    desired,
                    running: all_running,
                    pending,
                    tasks: tasks.collect(),
                    deployments,
                    stopped: (0..stopped).map(|n| crashed(n, at(50))).collect(),
                    events: vec![event(at(20), "has started 1 tasks")],
                }
            },
        )
}

fn turns() -> impl Strategy<Value = Vec<(u64, Turn)>> {
    let turn = prop_oneof![
        6 => Just(Turn::Good),
        6 => observations().prop_map(|seen| Turn::Look(Box::new(seen))),
        2 => (
            prop_oneof![
                3 => Just(ErrorKind::Unavailable),
                1 => Just(ErrorKind::Conflict),
                1 => Just(ErrorKind::Throttled),
            ],
            prop_oneof![Just(Applied::No), Just(Applied::Maybe), Just(Applied::Yes)],
            prop::bool::weighted(0.1),
        ).prop_map(|(kind, applied, never)| Turn::Fail(kind, applied, never)),
        1 => Just(Turn::Fail(ErrorKind::Conflict, Applied::No, true)),
        5 => Just(Turn::Deadline),
        1 => Just(Turn::Early),
        1 => (0..9_u8).prop_map(Turn::Stray),
        1 => Just(Turn::Abort),
    ];
    prop::collection::vec((0..20_000_u64, turn), 1..40)
}

fn machines() -> impl Strategy<Value = Deployment> {
    prop_oneof![
        2 => Just(release()),
        1 => Just(Deployment::new(release_spec(None), policy())),
        2 => Just(restore()),
        2 => Just(fast_restore()),
        1 => Just({
            let mut spec = restore_spec();
            spec.target = Target::Restore { point: point(), ours: None, our_revision: None, fast: false };
            Deployment::new(spec, policy())
        }),
    ]
}

/// What was last looked at, and what a blind repeat would be.
#[derive(Default)]
struct Told {
    last: Option<ServiceObservation>,
    /// A write was lost at this moment and nothing has been seen since that settles it.
    lost_at: Option<Timestamp>,
    writes: usize,
}

fn is_write(effect: &Effect) -> bool {
    match effect {
        Effect::UpdateService(_) | Effect::Restore { .. } | Effect::TurnBack { .. } => true,
        Effect::EnsureRevision(_) | Effect::Observe { .. } => false,
    }
}

/// Invariant I-12, in other words than the judge's.
fn assert_success(outcome: &Outcome, spec: &super::super::Spec, seen: &ServiceObservation) {
    let Outcome::Deployed {
        deployment,
        task_definition,
        ..
    } = outcome
    else {
        return;
    };
    let images = match &spec.target {
        Target::Release { .. } => images(NEW_REVISION),
        Target::Restore { .. } => images(OLD_REVISION),
    };
    let primary = seen.primary().expect("a PRIMARY deployment");
    assert_eq!(seen.status, ServiceStatus::Active);
    assert_eq!(
        (&primary.id, &primary.task_definition),
        (deployment, task_definition)
    );
    match (&primary.rollout, &primary.record) {
        (RolloutState::Completed, None) => {}
        (RolloutState::Completed | RolloutState::Other(_), Some(record)) => {
            assert_eq!(record.status, RecordStatus::Successful);
        }
        other
        @ (RolloutState::InProgress | RolloutState::Failed | RolloutState::Other(_), Some(_) | None) => {
            panic!("not done: {other:?}")
        }
    }
    let counts = [seen.desired, seen.running, primary.desired, primary.running];
    assert!(
        counts.iter().all(|count| *count == seen.desired && *count > 0),
        "{counts:?}"
    );
    assert_eq!((seen.pending, primary.pending), (0, 0));
    let others: u32 = seen.deployments.iter().map(|d| d.running).sum();
    assert_eq!(others, primary.running, "tasks of other deployments");
    assert_eq!(seen.tasks.len(), seen.desired as usize);
    for task in &seen.tasks {
        assert_eq!(&task.task_definition, task_definition);
        assert_eq!(task.images, images);
    }
}

/// Invariant I-6's core: what is written assumes the PRIMARY deployment that was seen last, and that one is not foreign.
fn assert_may_write(effect: &Effect, spec: &super::super::Spec, told: &Told) {
    let assumes = match (effect, &spec.target) {
        (Effect::UpdateService(change), Target::Release { assumes, .. }) => {
            assert_eq!(&change.assumes, assumes);
            &change.assumes
        }
        (Effect::Restore { assumes, .. }, Target::Restore { .. }) => assumes,
        (Effect::TurnBack { assumes, .. }, Target::Restore { fast: true, .. }) => &Some(assumes.clone()),
        other @ (
            Effect::EnsureRevision(_)
            | Effect::UpdateService(_)
            | Effect::Restore { .. }
            | Effect::TurnBack { .. }
            | Effect::Observe { .. },
            Target::Release { .. } | Target::Restore { .. },
        ) => panic!("not an effect of this direction: {other:?}"),
    };
    let Some(seen) = &told.last else {
        assert!(
            matches!(spec.target, Target::Release { .. }),
            "a restore looks first"
        );
        return;
    };
    let primary = seen.primary();
    assert_eq!(
        primary.map(|p| &p.id),
        assumes.as_ref(),
        "writes over something else"
    );
    if let (
        Some(primary),
        Target::Restore {
            ours, our_revision, ..
        },
    ) = (primary, &spec.target)
    {
        let mine = |d: &DeploymentObservation| {
            ours.as_ref() == Some(&d.id) || our_revision.as_ref() == Some(&d.task_definition)
        };
        let failed = seen.deployments.iter().filter(|d| mine(d)).any(|d| {
            d.rollout == RolloutState::Failed
                || d.record.as_ref().is_some_and(|r| {
                    matches!(
                        r.status,
                        RecordStatus::RollbackInProgress | RecordStatus::RollbackFailed
                    )
                })
        });
        let words = ours.is_some() && primary.reason.is_some();
        // Whoever made it wanted what is wanted now, and the platform does nothing more for it.
        let spent = primary.task_definition == revision(OLD_REVISION) && primary.is_given_up();
        assert!(
            mine(primary) || primary.id == id(OLD) || failed || words || spent,
            "fights another deployer: {primary:?}"
        );
    }
}

/// A write that was lost is said again only after a look that could have shown it.
fn assert_not_blind(told: &Told) {
    if let Some(lost_at) = told.lost_at {
        let seen = told.last.as_ref().expect("looks before it repeats");
        let changed = seen.primary().is_some_and(|p| p.id != id(OLD));
        assert!(
            changed || seen.at >= lost_at.after(policy().stale_reads),
            "a blind repeat: lost at {lost_at}, seen at {}",
            seen.at
        );
    }
}

fn good(walk: &Walk<Deployment>, now: Timestamp) -> Event {
    let back = matches!(walk.machine.spec().target, Target::Restore { .. });
    let asked = walk.steps.iter().rev().find_map(|(_, _, effects)| effects.last());
    match (asked, back) {
        (None, _) => Event::Start,
        (Some(Effect::EnsureRevision(_)), _) => ready(),
        (Some(Effect::UpdateService(_)), _) => updated(NEW, at(10)),
        (Some(Effect::Restore { .. }), _) => updated("ecs-svc/back", at(60)),
        (Some(Effect::TurnBack { .. }), _) => Event::TurningBack,
        (Some(Effect::Observe { .. }), false) => observed(&after(now)),
        (Some(Effect::Observe { .. }), true) => {
            let written = walk.steps.iter().any(|(_, _, e)| e.iter().any(is_write));
            observed(&if written {
                steady(now, "ecs-svc/back", OLD_REVISION, at(60))
            } else {
                halfway(now)
            })
        }
    }
}

/// The event that a turn stands for.
fn event_of(walk: &Walk<Deployment>, now: Timestamp, turn: &Turn) -> Event {
    match turn {
        Turn::Good => good(walk, now),
        Turn::Look(seen) => Event::Observed(Box::new(ServiceObservation {
            at: now,
            ..(**seen).clone()
        })),
        Turn::Fail(kind, applied, never) => {
            let mut error = later(*applied);
            error.kind = *kind;
            if *never {
                error.retry = crate::error::Retry::Never;
            }
            Event::CallFailed(error)
        }
        Turn::Deadline | Turn::Early => Event::Elapsed,
        Turn::Stray(which) => match which {
            0 => Event::Start,
            1 => ready(),
            2 => updated(NEW, at(10)),
            3 => observed(&before(now)),
            4 => observed(&replaced(now)),
            6 => Event::TurningBack,
            7 => Event::Hinted,
            5 => Event::CallFailed(failed(ErrorKind::PermissionDenied, Applied::No)),
            _ => observed(&after(now)),
        },
        Turn::Abort => Event::Abort,
    }
}

/// An end tells the truth.
fn assert_end(walk: &Walk<Deployment>, told: &Told) {
    match walk.machine.outcome() {
        Some(outcome @ Outcome::Deployed { .. }) => {
            assert_success(&outcome, walk.machine.spec(), told.last.as_ref().unwrap());
        }
        Some(Outcome::Failed { touched, reason, .. }) => {
            assert!(!reason.text.is_empty());
            assert!(
                touched || told.lost_at.is_none(),
                "a write was lost, and it says untouched"
            );
        }
        Some(Outcome::Superseded { touched, .. }) => {
            assert!(
                touched || told.lost_at.is_none(),
                "a write was lost, and it says untouched"
            );
        }
        None => {}
    }
}

/// Whether a write may have taken effect without an answer.
fn unsure(event: &Event) -> bool {
    match event {
        Event::CallFailed(error) => error.applied != Applied::No,
        Event::Elapsed => true,
        Event::Start
        | Event::RevisionReady { .. }
        | Event::Updated(_)
        | Event::TurningBack
        | Event::Observed(_)
        | Event::Hinted
        | Event::Abort => false,
    }
}

fn run(machine: &Deployment, script: &[(u64, Turn)]) -> Walk<Deployment> {
    let mut walk = Walk::new(machine.clone());
    let mut told = Told::default();
    let mut now = at(0);
    walk.give(now, Event::Start).unwrap();
    for (delay, turn) in script {
        now = Timestamp::from_millis(now.as_millis() + delay);
        if let (Turn::Deadline, Some(deadline)) = (turn, walk.machine.deadline()) {
            now = now.max(deadline.at);
        }
        let event = event_of(&walk, now, turn);
        let before = walk.machine.state_kind();
        let over = walk.machine.outcome().is_some();
        let effects = walk.give(now, event.clone());
        let accepted = effects.is_ok();
        // A look that the machine drops tells it nothing.
        let heeded = matches!(before, StateKind::Reconciling | StateKind::Watching);
        if let (Event::Observed(seen), true, true) = (&event, accepted, heeded) {
            told.last = Some((**seen).clone());
        }
        let effects = effects.unwrap_or_default();
        assert!(!over || effects.is_empty(), "an effect after the end");
        for effect in effects.iter().filter(|effect| is_write(effect)) {
            assert!(effect.mutates());
            assert_may_write(effect, machine.spec(), &told);
            assert_not_blind(&told);
            told.writes += 1;
            told.lost_at = None;
        }
        if unsure(&event)
            && before == StateKind::Updating
            && walk.machine.state_kind() == StateKind::Reconciling
        {
            told.lost_at = Some(now);
        }
        assert_end(&walk, &told);
    }
    walk
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_script_keeps_the_rules(machine in machines(), script in turns()) {
        let walk = run(&machine, &script);
        walk.check_replay(&machine);
    }

    /// Whatever happened before: deadlines alone bring it to an end, and a bounded number of them (L-1).
    #[test]
    fn silence_ends(machine in machines(), script in turns()) {
        let mut walk = run(&machine, &script);
        for _ in 0..200 {
            let Some(deadline) = walk.machine.deadline() else { break };
            walk.give(deadline.at, Event::Elapsed).unwrap();
        }
        prop_assert!(walk.machine.outcome().is_some());
    }
}

#[test]
fn random_scripts_reach_every_end() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    // A fixed seed: what the properties above rest on does not depend on luck.
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut ends = std::collections::BTreeMap::new();
    for _ in 0..2_000 {
        let machine = machines().new_tree(&mut runner).unwrap().current();
        let script = turns().new_tree(&mut runner).unwrap().current();
        let walk = run(&machine, &script);
        let back = matches!(machine.spec().target, Target::Restore { .. });
        let end = match walk.machine.outcome() {
            None => "none".to_owned(),
            Some(Outcome::Deployed { .. }) => "deployed".to_owned(),
            Some(Outcome::Superseded { touched, .. }) => format!("superseded {touched}"),
            Some(Outcome::Failed { reason, .. }) => format!("failed {:?}", reason.cause),
        };
        *ends
            .entry(format!("{} {end}", if back { "back" } else { "forward" }))
            .or_insert(0) += 1;
    }
    for needed in [
        "forward deployed",
        "forward superseded true",
        "forward superseded false",
        "forward failed Aborted",
        "forward failed CallFailed",
        "forward failed ContainerExited",
        "forward failed PlatformFailed",
        "forward failed PlatformRolledBack",
        "forward failed ServiceGone",
        "back deployed",
        "back superseded true",
        "back failed ServiceGone",
    ] {
        assert!(ends.contains_key(needed), "{needed} never came: {ends:?}");
    }
}
