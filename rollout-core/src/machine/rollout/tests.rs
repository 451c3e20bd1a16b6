use proptest::prelude::*;

use super::*;
use crate::machine::Effect as _;
use crate::machine::testkit::{Walk, never_visited};
use crate::machine::world::{Luck, World, images, plan, record_key, sample, secs};
use crate::plan::Draft;
use crate::probe::Verdict;
use crate::service::Found;

mod before;
mod ends;
mod hints;
mod look;
mod policy;
mod ready;
mod terms;
mod told;

/// A run against the small world.
struct Run {
    walk: Walk<Rollout>,
    world: World,
    flight: Vec<Effect>,
    /// Every effect with the state's kind right after it was asked for.
    said: Vec<(StateKind, Effect)>,
    /// Whether every gate had passed when a record was first swapped.
    swapped_before_gates: bool,
    now: Timestamp,
    foreign: bool,
    updated: std::collections::BTreeSet<ServiceName>,
}

impl Run {
    fn new(plan: RolloutPlan) -> Self {
        Self {
            world: World::new(&plan),
            walk: Walk::light(Rollout::new(plan)),
            flight: Vec::new(),
            said: Vec::new(),
            swapped_before_gates: false,
            now: Timestamp::from_millis(1_000_000_000),
            foreign: false,
            updated: std::collections::BTreeSet::new(),
        }
    }

    fn give(&mut self, event: Event) {
        let effects = self.walk.give(self.now, event).unwrap_or_default();
        let kind = self.walk.machine.state_kind();
        for effect in effects {
            let swaps = matches!(&effect.action, Action::Cutover(cutover::Effect::Apply { .. }));
            if swaps && kind == StateKind::Changing {
                let work = self.walk.machine.work().expect("it has begun");
                self.swapped_before_gates |= work.gates.len() < 4;
            }
            self.said.push((kind, effect.clone()));
            if let Action::Deployment(deployment::Effect::UpdateService(change)) = &effect.action {
                self.updated.insert(change.service.clone());
                let work = self.walk.machine.work().expect("it has begun");
                let done = |s: &&ServiceName| {
                    work.gates.contains(&crate::plan::step::gate(
                        Some(s),
                        &"health".parse().expect("valid"),
                    ))
                };
                let changing = self.updated.iter().filter(|service| !done(service)).count();
                let most = self.walk.machine.plan().policy.bounds.services_at_once;
                assert!(
                    changing <= most as usize,
                    "I-11: {changing} services change at once"
                );
            }
            self.flight.push(effect);
        }
    }

    fn answer(&mut self, effect: Effect, luck: Luck) -> Event {
        let (step, now) = (effect.step, self.now);
        self.foreign |= luck == Luck::Foreign;
        let bad = !matches!(luck, Luck::Good | Luck::Bad | Luck::Foreign);
        let error = || {
            let kind = crate::error::ErrorKind::Unavailable;
            crate::error::Error::new(kind, "test:Look", "the world says no").record()
        };
        match effect.action {
            Action::CheckIdentity
            | Action::Capture { .. }
            | Action::CheckUsable { .. }
            | Action::SampleAlarm(_)
            | Action::ReadRecord { .. }
            | Action::Confirm { .. }
                if bad =>
            {
                Event::CallFailed { step, error: error() }
            }
            Action::CheckIdentity => {
                let mut seen = World::identity();
                if luck == Luck::Bad {
                    seen.account.push('9');
                }
                Event::IdentitySeen(seen)
            }
            Action::Capture { service } => {
                let captured = if luck == Luck::Bad {
                    Captured::Nothing {
                        why: "never".into(),
                        deployment: None,
                    }
                } else {
                    self.world.capture(&service, now)
                };
                Event::Captured { service, captured }
            }
            Action::CheckUsable { point } => {
                let mut seen = World::usable(&point, now);
                if luck == Luck::Bad {
                    for part in &mut seen.parts {
                        part.found = Found::Gone { why: "lost".into() };
                    }
                }
                let service = point.service;
                Event::UsabilitySeen {
                    service,
                    seen: Box::new(seen),
                }
            }
            Action::SampleAlarm(_) => {
                let verdict = if luck == Luck::Bad {
                    Verdict::Fail
                } else {
                    Verdict::Pass
                };
                Event::AlarmSampled {
                    step,
                    sample: sample(verdict, now),
                }
            }
            Action::ReadRecord { zone, key } => Event::RecordRead {
                step,
                snapshot: Box::new(self.world.snapshot(&zone, &key, now)),
            },
            Action::Confirm { service } => {
                let seen = Box::new(self.world.observe(&service, now));
                Event::Confirmed { service, seen }
            }
            Action::Promotion(effect) => Event::Promotion {
                step,
                event: self.world.promotion(&effect, luck, now),
            },
            Action::Task(effect) => Event::Task {
                step,
                event: self.world.task(&effect, luck, now),
            },
            Action::Deployment(effect) => Event::Deployment {
                step,
                event: self.world.deployment(&effect, luck, now),
            },
            Action::Gate(effect) => Event::Gate {
                step,
                event: self.world.gate(&effect, luck, now),
            },
            Action::Cutover(effect) => Event::Cutover {
                step,
                event: self.world.cutover(&effect, luck, now),
            },
            Action::Unwind(effect) => Event::Unwind(match effect.action {
                unwind::Action::Deployment(inner) => unwind::Event::Deployment {
                    step,
                    event: self.world.deployment(&inner, luck, now),
                },
                unwind::Action::Cutover(inner) => unwind::Event::Cutover {
                    step,
                    event: self.world.cutover(&inner, luck, now),
                },
            }),
        }
    }

    /// Runs on, everything going well, until something is so.
    fn until(&mut self, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..2_000 {
            if is_so(self) {
                return;
            }
            if self.flight.is_empty() {
                let deadline = self.walk.machine.deadline().expect("it has not ended");
                self.now = self.now.max(deadline.at);
                self.give(Event::Elapsed);
            } else {
                let effect = self.flight.remove(0);
                self.now = self.now.after(secs(1));
                let event = self.answer(effect, Luck::Good);
                self.give(event);
            }
        }
        panic!("it never is so: {:?}", self.walk.machine)
    }

    /// Runs to the end. Each step takes a die for which effect is answered and one for how.
    fn run(&mut self, mut dice: impl FnMut() -> u8, abort_at: Option<usize>) -> Outcome {
        self.give(Event::Start);
        for round in 0..5_000 {
            if let Some(outcome) = self.walk.machine.outcome() {
                return outcome;
            }
            if abort_at == Some(round) {
                self.give(Event::Abort);
                continue;
            }
            if self.flight.is_empty() {
                let deadline = self
                    .walk
                    .machine
                    .deadline()
                    .expect("a machine under way has a deadline");
                self.now = self.now.max(deadline.at);
                self.give(Event::Elapsed);
                continue;
            }
            let index = usize::from(dice()) % self.flight.len();
            let effect = self.flight.remove(index);
            self.now = self.now.after(secs(u64::from(dice() % 3)));
            let event = self.answer(effect, Luck::of(dice()));
            self.give(event);
        }
        panic!("no end: {:?}", self.walk.machine)
    }

    fn check(&self, fresh: &RolloutPlan, outcome: &Outcome) {
        self.walk.check_replay(&Rollout::new(fresh.clone()));
        assert!(
            !self.swapped_before_gates,
            "I-7: a record moved before every gate had passed"
        );
        let mutated = self.said.iter().any(|(_, effect)| effect.mutates());
        let backwards = |kind: StateKind| {
            matches!(
                kind,
                StateKind::Stopping | StateKind::Unwinding | StateKind::Ended
            )
        };
        for (kind, effect) in &self.said {
            assert!(
                !(effect.mutates() && *kind == StateKind::Checking),
                "I-1: {effect:?} while checking"
            );
            let forward = matches!(
                &effect.action,
                Action::Promotion(promotion::Effect::CopyImage { .. })
                    | Action::Task(task::Effect::StartTask { .. })
                    | Action::Deployment(deployment::Effect::UpdateService(_))
            );
            assert!(!(forward && backwards(*kind)), "I-14: {effect:?} in {kind:?}");
        }
        if matches!(
            outcome,
            Outcome::Refused { .. }
                | Outcome::Aborted {
                    left_at: LeftAt::Untouched
                }
        ) {
            assert!(!mutated, "I-1: refused, and something was changed");
        }
        if self.foreign {
            return;
        }
        let all_run = |version: &str| {
            fresh
                .services
                .iter()
                .all(|s| self.world.runs(&s.name) == Some(&images(version)))
        };
        match outcome {
            Outcome::Released { .. } => assert!(all_run("new"), "I-12: released, and not all run it"),
            Outcome::RolledBack { .. } | Outcome::Aborted { .. } | Outcome::Refused { .. } => {
                assert!(
                    all_run("old"),
                    "I-13: {outcome:?}, and not all run the last known good"
                );
                let record = World::new(fresh).record().cloned();
                assert_eq!(
                    self.world.record(),
                    record.as_ref(),
                    "I-13: the record is not what it was"
                );
            }
            Outcome::Superseded { .. } | Outcome::Stuck(_) => {}
        }
    }
}

fn good() -> u8 {
    0
}

#[test]
fn a_good_release_is_released_and_every_service_serves_it() {
    let plan = plan(true);
    let mut run = Run::new(plan.clone());
    let outcome = run.run(good, None);
    let Outcome::Released {
        services, records, ..
    } = &outcome
    else {
        panic!("{outcome:?}")
    };
    assert_eq!(services.len(), 3);
    assert_eq!(records.first().map(|record| &record.key), Some(&record_key()));
    run.check(&plan, &outcome);
    assert!(
        run.walk
            .machine
            .progress()
            .iter()
            .all(|view| view.state == StepState::Done)
    );
}

#[test]
fn no_more_services_change_at_once_than_the_plan_allows() {
    let mut draft = Draft::from(plan(true));
    draft.policy.bounds.services_at_once = 1;
    let plan = RolloutPlan::check(draft).expect("a valid plan");
    let mut run = Run::new(plan.clone());
    let outcome = run.run(good, None);
    assert!(matches!(outcome, Outcome::Released { .. }), "{outcome:?}");
    run.check(&plan, &outcome);
}

#[test]
fn an_abort_is_honoured_at_every_point() {
    let plan = plan(true);
    for at in (0..400).step_by(3) {
        let mut run = Run::new(plan.clone());
        let outcome = run.run(good, Some(at));
        match &outcome {
            Outcome::Aborted { .. } => {}
            // The abort came after the end.
            Outcome::Released { .. } => assert!(at > 50, "released although aborted at {at}"),
            Outcome::RolledBack { .. }
            | Outcome::Refused { .. }
            | Outcome::Superseded { .. }
            | Outcome::Stuck(_) => {
                panic!("aborted at {at}: {outcome:?}")
            }
        }
        run.check(&plan, &outcome);
    }
}

#[test]
fn nothing_goes_back_past_an_irreversible_migration() {
    let plan = plan(false);
    let mut blocked = 0;
    for at in (0..400).step_by(3) {
        let mut run = Run::new(plan.clone());
        let outcome = run.run(good, Some(at));
        let started = run.said.iter().any(|(_, effect)| {
            effect.step.as_str() == "task/migrate"
                && matches!(&effect.action, Action::Task(task::Effect::StartTask { .. }))
        });
        let went_back = run
            .said
            .iter()
            .any(|(_, effect)| matches!(effect.action, Action::Unwind(_)));
        assert!(
            !(started && went_back),
            "I-20: went back past the migration, aborted at {at}"
        );
        if let Outcome::Stuck(stuck) = &outcome {
            assert_eq!(
                stuck.reason,
                crate::evidence::StuckReason::RollbackBlockedByMigration
            );
            assert!(!stuck.next.is_empty());
            blocked += 1;
        }
    }
    assert!(blocked > 0, "the walk never got past the migration");
}

#[test]
fn nothing_goes_back_past_a_migration_that_may_have_run() {
    let mut run = Run::new(plan(false));
    run.give(Event::Start);
    while run.walk.machine.outcome().is_none() {
        if run.flight.is_empty() {
            run.now = run.now.max(run.walk.machine.deadline().expect("under way").at);
            run.give(Event::Elapsed);
            continue;
        }
        let effect = run.flight.remove(0);
        // Whether it was started is never found out.
        let lost = effect.step.as_str() == "task/migrate";
        let event = run.answer(effect, if lost { Luck::LostAfter } else { Luck::Good });
        run.give(event);
    }
    let outcome = run.walk.machine.outcome();
    let Some(Outcome::Stuck(stuck)) = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        stuck.reason,
        crate::evidence::StuckReason::RollbackBlockedByMigration
    );
}

#[test]
fn another_account_is_refused_before_anything_else() {
    let plan = plan(true);
    let mut run = Run::new(plan.clone());
    run.give(Event::Start);
    run.give(Event::IdentitySeen(Identity {
        account: "2".into(),
        ..World::identity()
    }));
    let outcome = run.walk.machine.outcome().expect("refused");
    let Outcome::Refused { why } = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(why.cause, crate::evidence::Cause::IdentityMismatch);
    run.check(&plan, &outcome);
}

/// Both services take the same repository and tag, each runs in the source what it resolved, and the tag moved in between.
#[test]
fn two_images_in_one_release_are_refused() {
    let mut draft = Draft::from(plan(true));
    let shared = draft.services[0].images.clone();
    for (container, spec) in &mut draft.services[1].images {
        spec.from = shared[container].from.clone();
        spec.to = shared[container].to.clone();
    }
    let plan = RolloutPlan::check(draft).expect("valid");
    let mut run = Run::new(plan.clone());
    run.give(Event::Start);
    while run.walk.machine.state_kind() == StateKind::Checking {
        let effect = run.flight.remove(0);
        let moved = effect.step.as_str() == "image/frontend/app";
        let step = effect.step.clone();
        let resolves = matches!(
            &effect.action,
            Action::Promotion(promotion::Effect::ResolveTag { .. })
        );
        let observes = matches!(
            &effect.action,
            Action::Promotion(promotion::Effect::ObserveSource { .. })
        );
        let event = if moved && resolves {
            Event::Promotion {
                step,
                event: promotion::Event::TagResolved(Some(crate::machine::world::digest("other"))),
            }
        } else {
            let luck = if moved && observes { Luck::Bad } else { Luck::Good };
            run.answer(effect, luck)
        };
        run.give(event);
    }
    let outcome = run
        .walk
        .machine
        .outcome()
        .expect("two images went on into one release");
    assert!(
        matches!(&outcome, Outcome::Refused { why } if why.cause == crate::evidence::Cause::TagMoved),
        "{outcome:?}"
    );
    run.check(&plan, &outcome);
}

#[test]
fn an_alarm_that_fires_before_the_start_refuses() {
    let plan = plan(true);
    let mut run = Run::new(plan);
    run.give(Event::Start);
    let alarm = run
        .flight
        .iter()
        .find(|e| matches!(e.action, Action::SampleAlarm(_)))
        .cloned()
        .expect("there is one");
    let event = run.answer(alarm, Luck::Bad);
    run.give(event);
    let outcome = run.walk.machine.outcome();
    assert!(
        matches!(&outcome, Some(Outcome::Refused { why }) if why.cause == crate::evidence::Cause::AlarmBeforeStart),
        "{outcome:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_random_run_ends_rightly(seed: u64, reversible: bool, abort in proptest::option::of(0usize..300)) {
        let plan = plan(reversible);
        let mut run = Run::new(plan.clone());
        let mut state = seed | 1;
        let outcome = run.run(|| dice(&mut state), abort);
        run.check(&plan, &outcome);
    }
}

/// Two services are under way. One's time is up at the very moment at which the other would say its call again.
#[test]
fn what_is_asked_for_in_the_breath_of_a_failure_is_not_begun() {
    let mut draft = Draft::from(plan(true));
    for service in &mut draft.services {
        if service.name.as_str() == "worker" {
            service.deployment.give_up = secs(20);
        }
    }
    let mut run = Run::new(RolloutPlan::check(draft).expect("valid"));
    run.give(Event::Start);
    let is_begun = |run: &Run, step: &str| run.flight.iter().any(|effect| effect.step.as_str() == step);
    while !(is_begun(&run, "service/frontend") && is_begun(&run, "service/worker")) {
        if run.flight.is_empty() {
            run.now = run.now.max(run.walk.machine.deadline().expect("under way").at);
            run.give(Event::Elapsed);
        } else {
            let effect = run.flight.remove(0);
            let event = run.answer(effect, Luck::Good);
            run.give(event);
        }
    }
    let of_frontend = run
        .flight
        .iter()
        .position(|effect| effect.step.as_str() == "service/frontend");
    let effect = run.flight.remove(of_frontend.expect("it was just there"));
    let event = run.answer(effect, Luck::Later);
    run.give(event);

    let before = run.said.len();
    run.now = run.now.after(secs(21));
    run.give(Event::Elapsed);
    assert!(
        run.walk.machine.state_kind() >= StateKind::Stopping,
        "the worker's time is up"
    );
    let forward: Vec<_> = run
        .said
        .iter()
        .skip(before)
        .filter(|(_, effect)| effect.mutates() && !matches!(effect.action, Action::Unwind(_)))
        .collect();
    assert!(forward.is_empty(), "I-14: {forward:?}");
}

/// xorshift64*: plain arithmetic, the same everywhere.
fn dice(state: &mut u64) -> u8 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 56) as u8
}

/// One event of every kind, for a step that is under way where there is one.
fn any_event(run: &mut Run, kind: usize) -> Event {
    let steps = run.walk.machine.progress();
    let step = |prefix: &str| {
        let found = steps
            .iter()
            .rev()
            .find(|view| view.step.as_str().starts_with(prefix));
        found.map_or_else(|| "nowhere".parse().expect("valid"), |view| view.step.clone())
    };
    let now = run.now;
    let service: ServiceName = "backend".parse().expect("valid");
    let error = crate::error::Error::new(crate::error::ErrorKind::Unavailable, "test:Call", "no").record();
    match kind {
        0 => Event::Start,
        1 => Event::IdentitySeen(World::identity()),
        2 => Event::Captured {
            captured: run.world.capture(&service, now),
            service,
        },
        3 => Event::AlarmSampled {
            step: step("check/gate"),
            sample: sample(Verdict::Pass, now),
        },
        4 => {
            let zone = "Z1".parse().expect("valid");
            Event::RecordRead {
                step: step("check/dns"),
                snapshot: Box::new(run.world.snapshot(&zone, &record_key(), now)),
            }
        }
        5 => Event::Confirmed {
            seen: Box::new(run.world.observe(&service, now)),
            service,
        },
        6 => Event::CallFailed {
            step: step("check"),
            error,
        },
        7 => Event::Promotion {
            step: step("image"),
            event: promotion::Event::CallFailed(error),
        },
        8 => Event::Task {
            step: step("task"),
            event: task::Event::CallFailed(error),
        },
        9 => Event::Deployment {
            step: step("service"),
            event: deployment::Event::CallFailed(error),
        },
        10 => Event::Gate {
            step: step("gate"),
            event: gate::Event::SampleFailed {
                probe: "live".parse().expect("valid"),
                error,
            },
        },
        11 => Event::Cutover {
            step: step("dns"),
            event: cutover::Event::CallFailed(error),
        },
        12 => Event::Unwind(unwind::Event::Elapsed),
        13 => Event::Elapsed,
        14 => {
            let Captured::Point(point) = run.world.capture(&service, now) else {
                panic!("there is something to go back to")
            };
            Event::UsabilitySeen {
                seen: Box::new(World::usable(&point, now)),
                service,
            }
        }
        15 => Event::Hinted(Hint::Service(service)),
        _ => Event::Abort,
    }
}

#[test]
fn every_state_meets_every_event() {
    let mut visited = std::collections::BTreeSet::new();
    // At points of runs that end well, badly and by an abort, each kind of event is tried on a copy.
    let runs = (0..40u64).map(|seed| {
        (
            seed,
            (seed % 2 == 1).then_some(43 + 9 * usize::try_from(seed).expect("small")),
        )
    });
    for (seed, abort) in runs {
        let mut run = Run::new(plan(true));
        let mut state: u64 = seed;
        for round in 0..900 {
            let state_kind = run.walk.machine.state_kind();
            for kind in 0..17 {
                let event = any_event(&mut run, kind);
                if visited.contains(&(state_kind, Rollout::event_kind(&event))) {
                    continue;
                }
                let mut copy = Walk::new(run.walk.machine.clone());
                copy.steps.extend(run.walk.steps.first().cloned());
                let _ = copy.give(run.now, event);
                visited.extend(copy.visited);
            }
            if round == 0 {
                run.give(Event::Start);
            } else if abort == Some(round) {
                run.give(Event::Abort);
            } else if run.flight.is_empty() {
                let Some(deadline) = run.walk.machine.deadline() else {
                    break;
                };
                run.now = run.now.max(deadline.at);
                run.give(Event::Elapsed);
            } else {
                let effect = run.flight.remove(0);
                let luck = if seed == 0 || round < 60 {
                    Luck::Good
                } else {
                    Luck::of(dice(&mut state))
                };
                let event = run.answer(effect, luck);
                run.give(event);
            }
            run.walk.steps.truncate(1);
        }
    }
    let missing = never_visited::<Rollout>(&visited);
    assert!(missing.is_empty(), "never visited: {missing:?}");
}
