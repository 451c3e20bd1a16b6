use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::cutover::Goal;
use super::undoing::named;
use super::*;
use crate::dns::{ChangeBatch, Marker, Record, RecordData};
use crate::evidence::{Cause, Reason};
use crate::id::Generation;
use crate::image::ImageRef;
use crate::machine::Effect as _;
use crate::machine::testkit::{Walk, never_visited};
use crate::machine::world::{
    Luck, World, cutover_policy, deployment_policy, digest, images, plan, record_key, secs,
};
use crate::service::{Captured, RevisionSpec, ServiceChange};

mod admission;

const BEGAN: Timestamp = Timestamp::from_millis(1_000_000_000);

fn name(service: &str) -> ServiceName {
    service.parse().expect("valid")
}

fn data(target: &str) -> RecordData {
    RecordData::Values {
        ttl: 300,
        values: vec![target.to_owned()],
    }
}

/// A release that has got as far as it can: the backend, then the record, then the frontend, then the worker are changed.
struct Run {
    walk: Walk<Unwind>,
    fresh: Unwind,
    world: World,
    flight: Vec<Effect>,
    said: Vec<Effect>,
    now: Timestamp,
    foreign: bool,
}

fn changed(world: &mut World) -> Vec<Item> {
    ["backend", "dns", "frontend", "worker"]
        .into_iter()
        .map(|what| Item {
            step: format!("unwind/{what}").parse().expect("valid"),
            undo: if what == "dns" {
                moved(world)
            } else {
                deployed(world, what)
            },
        })
        .collect()
}

fn deployed(world: &mut World, service: &str) -> Undo {
    let Captured::Point(point) = world.capture(&name(service), BEGAN) else {
        panic!("it runs")
    };
    let image = ImageRef {
        repository: "shop/app".parse().expect("valid"),
        digest: digest("new"),
    };
    let revision = RevisionSpec {
        template: serde_json::json!({ "family": service }),
        images: BTreeMap::from([("app".parse().expect("valid"), image)]),
    };
    let ensure = deployment::Effect::EnsureRevision(revision);
    let deployment::Event::RevisionReady { task_definition, .. } =
        world.deployment(&ensure, Luck::Good, BEGAN)
    else {
        panic!("it can be registered")
    };
    let update = deployment::Effect::UpdateService(ServiceChange {
        service: name(service),
        task_definition: task_definition.clone(),
        assumes: Some(point.deployment.clone()),
    });
    let deployment::Event::Updated(started) = world.deployment(&update, Luck::Good, BEGAN) else {
        panic!("it can be updated")
    };
    assert_eq!(world.runs(&name(service)), Some(&images("new")));
    Undo::Service {
        service: name(service),
        point: Some(point),
        ours: Some(started.deployment),
        our_revision: Some(task_definition),
    }
}

fn moved(world: &mut World) -> Undo {
    let zone: ZoneId = "Z1".parse().expect("valid");
    let original = world.snapshot(&zone, &record_key(), BEGAN);
    let ours = data("new.example.com");
    let new = Record {
        key: record_key(),
        weight: None,
        data: ours.clone(),
    };
    let marker = Marker {
        generation: Generation(1),
        run: "r-1".parse().expect("valid"),
    };
    let batch = ChangeBatch::compare_and_set(&original, new, &marker).expect("it fits");
    world.cutover(&cutover::Effect::Apply { batch }, Luck::Good, BEGAN);
    assert_eq!(world.record(), Some(&ours));
    Undo::Record {
        zone,
        key: record_key(),
        original: Box::new(original),
        ours: vec![Written {
            generation: Generation(1),
            data: ours,
        }],
        allow_unhealthy_target: false,
    }
}

impl Run {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(vary: impl FnOnce(&mut Spec)) -> Self {
        let mut world = World::new(&plan(true));
        let mut spec = Spec {
            run: "r-1".parse().expect("valid"),
            changed: changed(&mut world),
            blocked_by: None,
        };
        vary(&mut spec);
        let policy = Policy {
            fast: true,
            deployment: deployment_policy(),
            cutover: cutover_policy(),
        };
        let fresh = Unwind::new(spec, policy);
        Self {
            walk: Walk::new(fresh.clone()),
            fresh,
            world,
            flight: Vec::new(),
            said: Vec::new(),
            now: BEGAN,
            foreign: false,
        }
    }

    fn give(&mut self, event: Event) {
        let effects = self.walk.give(self.now, event).unwrap_or_default();
        self.said.extend(effects.iter().cloned());
        self.flight.extend(effects);
    }

    fn answer(&mut self, effect: Effect, luck: Luck) -> Event {
        self.foreign |= luck == Luck::Foreign;
        let step = effect.step;
        match effect.action {
            Action::Deployment(effect) => Event::Deployment {
                step,
                event: self.world.deployment(&effect, luck, self.now),
            },
            Action::Cutover(effect) => Event::Cutover {
                step,
                event: self.world.cutover(&effect, luck, self.now),
            },
        }
    }

    /// Runs to the end; `luck` says how each effect fares.
    fn run(&mut self, mut luck: impl FnMut(&Effect) -> Luck) -> Outcome {
        self.give(Event::Start);
        for _ in 0..2_000 {
            if let Some(outcome) = self.walk.machine.outcome() {
                self.walk.check_replay(&self.fresh);
                return outcome;
            }
            if self.flight.is_empty() {
                let deadline = self.walk.machine.deadline().expect("it has not ended");
                self.now = self.now.max(deadline.at);
                self.give(Event::Elapsed);
            } else {
                let effect = self.flight.remove(0);
                self.now = self.now.after(secs(1));
                let luck = luck(&effect);
                let event = self.answer(effect, luck);
                self.give(event);
            }
        }
        panic!("no end: {:?}", self.walk.machine)
    }

    /// The steps in the order in which their work began.
    fn order(&self) -> Vec<&str> {
        let mut order: Vec<&str> = self.said.iter().map(|effect| effect.step.as_str()).collect();
        order.dedup();
        order
    }

    fn is_back(&self, service: &str) -> bool {
        self.world.runs(&name(service)) == Some(&images("old"))
    }

    fn record_is_back(&self) -> bool {
        self.world.record() == Some(&data("old.example.com"))
    }
}

const SERVICES: [&str; 3] = ["backend", "frontend", "worker"];

fn stuck(outcome: Outcome) -> Stuck {
    match outcome {
        Outcome::Stuck(stuck) => *stuck,
        Outcome::AtLastKnownGood { .. } | Outcome::Superseded(_) => panic!("not stuck: {outcome:?}"),
    }
}

#[test]
fn traffic_goes_back_first_and_then_the_services_in_reverse_order_of_completion() {
    let mut run = Run::new();
    let outcome = run.run(|_| Luck::Good);
    let Outcome::AtLastKnownGood { evidence } = outcome else {
        panic!("{outcome:?}")
    };
    // Each step is there once: an item begins when the one before it has ended.
    assert_eq!(
        run.order(),
        ["unwind/dns", "unwind/worker", "unwind/frontend", "unwind/backend"]
    );
    assert!(SERVICES.iter().all(|service| run.is_back(service)) && run.record_is_back());
    for service in SERVICES {
        assert!(
            evidence.iter().any(|seen| seen.subject == service),
            "{service} is not verified on evidence: {evidence:?}"
        );
    }
}

#[test]
fn nothing_to_undo_is_at_the_last_known_good_at_once() {
    let mut run = Run::with(|spec| spec.changed.clear());
    let outcome = run.run(|_| Luck::Good);
    assert!(matches!(outcome, Outcome::AtLastKnownGood { .. }));
    assert!(run.said.is_empty());
}

#[test]
fn one_that_cannot_go_back_does_not_stop_the_others() {
    for broken in ["backend", "frontend", "worker", "dns"] {
        let mut run = Run::new();
        let step = format!("unwind/{broken}");
        let outcome = run.run(|effect| {
            if effect.step.as_str() == step {
                Luck::Never
            } else {
                Luck::Good
            }
        });
        let stuck = stuck(outcome);
        assert!(
            !stuck.next.is_empty() && !stuck.text.is_empty(),
            "{broken}: {stuck:?}"
        );
        if broken != "dns" {
            assert_eq!(stuck.reason, StuckReason::PermissionDenied, "{broken}: {stuck:?}");
        }
        for service in SERVICES {
            assert_eq!(
                run.is_back(service),
                service != broken,
                "{service} when {broken} is broken"
            );
        }
        assert_eq!(
            run.record_is_back(),
            broken != "dns",
            "the record when {broken} is broken"
        );
    }
}

#[test]
fn every_problem_is_told() {
    let mut run = Run::new();
    let stuck = stuck(run.run(|effect| {
        let good = effect.step.as_str() == "unwind/worker";
        if good { Luck::Good } else { Luck::Never }
    }));
    assert!(run.is_back("worker"));
    for service in ["backend", "frontend"] {
        assert!(
            stuck.text.contains(&format!("service {service}")),
            "{service} is not told: {}",
            stuck.text
        );
    }
    assert_eq!(stuck.text.matches("; also: ").count(), 2, "{}", stuck.text);
}

#[test]
fn without_a_restore_point_it_is_stuck_and_the_others_go_back() {
    let mut run = Run::with(|spec| {
        for item in &mut spec.changed {
            if let Undo::Service { service, point, .. } = &mut item.undo
                && service.as_str() == "frontend"
            {
                *point = None;
            }
        }
    });
    let stuck = stuck(run.run(|_| Luck::Good));
    assert_eq!(stuck.reason, StuckReason::NoLastKnownGood);
    assert!(stuck.text.contains("frontend"), "{}", stuck.text);
    assert!(!stuck.next.is_empty());
    assert!(run.is_back("backend") && run.is_back("worker") && run.record_is_back());
    assert!(
        run.said
            .iter()
            .all(|effect| effect.step.as_str() != "unwind/frontend")
    );
}

#[test]
fn another_deployer_is_yielded_to_and_the_others_go_back() {
    let mut run = Run::new();
    let outcome = run.run(|effect| {
        let theirs = effect.step.as_str() == "unwind/frontend";
        if theirs { Luck::Foreign } else { Luck::Good }
    });
    let Outcome::Superseded(by) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(by.service, name("frontend"));
    assert_eq!(run.world.runs(&name("frontend")), Some(&images("theirs")));
    assert!(run.is_back("backend") && run.is_back("worker") && run.record_is_back());
}

#[test]
fn a_record_that_another_has_changed_is_left_to_them_and_told() {
    let mut run = Run::new();
    let stuck = stuck(run.run(|effect| {
        let theirs = effect.step.as_str() == "unwind/dns";
        if theirs { Luck::Foreign } else { Luck::Good }
    }));
    assert_eq!(stuck.reason, StuckReason::ForeignChange, "{stuck:?}");
    assert_eq!(
        run.world.record().map(RecordData::ttl),
        Some(secs(77)),
        "theirs was overwritten"
    );
    // Going back again would only yield again.
    let looks = |next: &String| next.starts_with("aws route53 list-resource-record-sets ");
    assert!(stuck.next.iter().any(looks), "{:?}", stuck.next);
    assert!(
        !stuck.next.iter().any(|next| next.contains("rollback")),
        "{:?}",
        stuck.next
    );
    assert!(SERVICES.iter().all(|service| run.is_back(service)));
}

#[test]
fn a_record_does_not_go_back_to_a_target_that_cannot_take_traffic() {
    let mut run = Run::new();
    let stuck = stuck(run.run(|effect| match effect.action {
        Action::Cutover(cutover::Effect::CheckTarget { .. }) => Luck::Bad,
        Action::Cutover(_) | Action::Deployment(_) => Luck::Good,
    }));
    assert_eq!(stuck.reason, StuckReason::NoHealthyTarget, "{stuck:?}");
    assert_eq!(run.world.record(), Some(&data("new.example.com")), "I-10");
    assert!(SERVICES.iter().all(|service| run.is_back(service)));
}

fn cutover_spec(run: &Run) -> cutover::Spec {
    let mut records = run.fresh.spec.changed.iter().filter_map(|item| match &item.undo {
        Undo::Record {
            zone,
            key,
            original,
            ours,
            ..
        } => Some((zone, key, original, ours)),
        Undo::Service { .. } => None,
    });
    let (zone, key, original, ours) = records.next().expect("a record was moved");
    cutover::Spec {
        run: run.fresh.spec.run.clone(),
        zone: zone.clone(),
        key: key.clone(),
        goal: Goal::Restore {
            original: original.clone(),
            ours: ours.clone(),
        },
        allow_unhealthy_target: false,
        drain: None,
    }
}

/// Whatever a record's way back comes to, only `Moved` is none of the problems.
#[test]
fn a_record_that_did_not_go_back_is_a_problem() {
    let run = Run::new();
    let spec = cutover_spec(&run);
    let why = || Reason::new(Cause::CallFailed, "no");
    for outcome in [
        cutover::Outcome::Refused(why()),
        cutover::Outcome::Reverted(why()),
        cutover::Outcome::Superseded(why()),
    ] {
        let mut found = Found::default();
        run.fresh.record_ended(&mut found, &spec, outcome.clone());
        let verdict = run.fresh.verdict(found);
        assert!(matches!(verdict, Outcome::Stuck(_)), "{outcome:?}: {verdict:?}");
    }
}

#[test]
fn nothing_goes_back_past_an_irreversible_migration() {
    let mut run = Run::with(|spec| spec.blocked_by = Some("migrate".parse().expect("valid")));
    let stuck = stuck(run.run(|_| Luck::Good));
    assert_eq!(stuck.reason, StuckReason::RollbackBlockedByMigration);
    assert!(stuck.text.contains("migrate") && !stuck.next.is_empty());
    assert!(run.said.is_empty(), "I-20: {:?}", run.said);
}

#[test]
fn an_abort_changes_nothing() {
    let mut calm = Run::new();
    calm.run(|_| Luck::Good);
    let mut run = Run::new();
    run.give(Event::Start);
    while run.walk.machine.outcome().is_none() {
        let before = run.walk.machine.clone();
        run.give(Event::Abort);
        assert_eq!(run.walk.machine, before);
        if run.flight.is_empty() {
            run.now = run
                .now
                .max(run.walk.machine.deadline().expect("it has not ended").at);
            run.give(Event::Elapsed);
        } else {
            let effect = run.flight.remove(0);
            run.now = run.now.after(secs(1));
            let event = run.answer(effect, Luck::Good);
            run.give(event);
        }
    }
    assert_eq!(run.said, calm.said);
}

#[test]
fn a_failed_way_back_has_a_name() {
    for (cause, reason) in [
        (Cause::ServiceGone, StuckReason::ForeignChange),
        (Cause::PermissionDenied, StuckReason::PermissionDenied),
        (Cause::ImagePull, StuckReason::LkgImageMissing),
        (Cause::DeadlineExceeded, StuckReason::RollbackFailed),
        (Cause::ContainerExited, StuckReason::RollbackFailed),
        (Cause::PlatformRolledBack, StuckReason::RollbackFailed),
    ] {
        assert_eq!(named(cause), reason, "{cause:?}");
    }
}

#[test]
fn every_state_meets_every_event() {
    let mut visited = BTreeSet::new();
    let mut run = Run::new();
    for begun in [false, true, true] {
        if begun && run.walk.machine.outcome().is_none() && run.said.is_empty() {
            run.give(Event::Start);
        } else if begun {
            while run.walk.machine.outcome().is_none() {
                if run.flight.is_empty() {
                    run.now = run
                        .now
                        .max(run.walk.machine.deadline().expect("it has not ended").at);
                    run.give(Event::Elapsed);
                } else {
                    let effect = run.flight.remove(0);
                    let event = run.answer(effect, Luck::Good);
                    run.give(event);
                }
            }
        }
        let step: StepId = "unwind/worker".parse().expect("valid");
        let error = || {
            let kind = crate::error::ErrorKind::Unavailable;
            crate::error::Error::new(kind, "test:Call", "no").record()
        };
        for event in [
            Event::Start,
            Event::Deployment {
                step: step.clone(),
                event: deployment::Event::CallFailed(error()),
            },
            Event::Cutover {
                step,
                event: cutover::Event::CallFailed(error()),
            },
            Event::Hinted(Hint::Service("web".parse().expect("valid"))),
            Event::Elapsed,
            Event::Abort,
        ] {
            let mut copy = run.walk.clone();
            let _ = copy.give(run.now, event);
            visited.extend(copy.visited);
        }
    }
    let missing = never_visited::<Unwind>(&visited);
    assert!(missing.is_empty(), "never visited: {missing:?}");
}

#[test]
fn an_event_of_a_step_that_never_was_is_refused_and_a_late_one_is_dropped() {
    let mut run = Run::new();
    run.give(Event::Start);
    let failed = |step: &str| {
        let kind = crate::error::ErrorKind::Unavailable;
        Event::Deployment {
            step: step.parse().expect("valid"),
            event: deployment::Event::CallFailed(crate::error::Error::new(kind, "test:Call", "no").record()),
        }
    };
    let before = run.walk.machine.clone();
    assert!(run.walk.give(BEGAN, failed("unwind/nowhere")).is_err());
    assert_eq!(run.walk.give(BEGAN, failed("unwind/backend")), Ok(Vec::new()));
    assert_eq!(run.walk.machine.state_kind(), before.state_kind());
}

#[test]
fn a_late_answer_of_one_service_is_not_taken_for_another_ones() {
    let mut run = Run::new();
    run.give(Event::Start);
    let of_worker = loop {
        if run.flight.is_empty() {
            run.now = run
                .now
                .max(run.walk.machine.deadline().expect("it has not ended").at);
            run.give(Event::Elapsed);
            continue;
        }
        let effect = run.flight.remove(0);
        let event = run.answer(effect, Luck::Good);
        run.give(event.clone());
        let at_hand = run.walk.machine.waiting_for().map(|(step, _)| step.as_str());
        if at_hand == Some("unwind/frontend") {
            break event;
        }
    };
    // The last answer about the worker comes once more.
    assert!(matches!(&of_worker, Event::Deployment { step, .. } if step.as_str() == "unwind/worker"));
    let before = run.walk.machine.clone();
    assert_eq!(run.walk.give(run.now, of_worker), Ok(Vec::new()));
    assert_eq!(run.walk.machine, before);
}

/// xorshift64*: plain arithmetic, the same everywhere.
fn dice(state: &mut u64) -> u8 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 56) as u8
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// I-13: at the last known good, verified; superseded by someone; or stuck with a way out. I-14: never forward.
    #[test]
    fn every_random_way_back_ends_rightly(seed: u64) {
        let mut state = seed | 1;
        let mut run = Run::new();
        let outcome = run.run(|_| Luck::of(dice(&mut state)));
        let forward = |effect: &&Effect| matches!(
            effect.action,
            Action::Deployment(deployment::Effect::EnsureRevision(_) | deployment::Effect::UpdateService(_))
        );
        prop_assert_eq!(run.said.iter().find(forward), None, "I-14");
        let last_record = run.said.iter().rposition(|e| e.step.as_str() == "unwind/dns" && e.mutates());
        let first_service = run.said.iter().position(|e| e.step.as_str() != "unwind/dns" && e.mutates());
        if let (Some(record), Some(service)) = (last_record, first_service) {
            prop_assert!(record < service, "traffic goes back first");
        }
        match outcome {
            Outcome::AtLastKnownGood { .. } if !run.foreign => {
                prop_assert!(SERVICES.iter().all(|service| run.is_back(service)), "I-13");
                prop_assert!(run.record_is_back(), "I-13");
            }
            Outcome::AtLastKnownGood { evidence } => prop_assert!(!evidence.is_empty()),
            Outcome::Superseded(_) => prop_assert!(run.foreign),
            Outcome::Stuck(stuck) => prop_assert!(!stuck.next.is_empty() && !stuck.text.is_empty()),
        }
    }
}
