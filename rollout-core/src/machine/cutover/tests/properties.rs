//! The invariants, over random scripts.

use proptest::prelude::*;

use super::world::{Script, World, drive};
use super::*;
use crate::dns::Change;

type Steps = [(Timestamp, Event, Vec<Effect>)];

fn data() -> impl Strategy<Value = RecordData> {
    prop_oneof![
        3 => Just(values(300, "10.0.0.1")),
        1 => Just(values(40, "10.0.0.1")),
        2 => Just(alias("old.elb.example.com")),
        1 => Just(values(300, "10.0.0.2")),
        1 => Just(values(60, "10.0.0.2")),
    ]
}

fn goals() -> impl Strategy<Value = Goal> {
    let to = prop_oneof![
        Just(values(300, "10.0.0.2")),
        Just(values(30, "10.0.0.2")),
        Just(alias("new.elb.example.com"))
    ];
    prop_oneof![
        4 => to.clone().prop_map(|to| Goal::Move { to, lowered_ttl: 60 }),
        1 => to.prop_map(|ours| Goal::Restore {
            original: Box::new(snap(1, Some(values(300, "10.0.0.1")), None)),
            ours: vec![Written {
                generation: Generation(1),
                data: ours,
            }],
        }),
    ]
}

fn at() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![12 => Just(None), 3 => (0..1500_u64).prop_map(Some), 1 => Just(Some(0))]
}

/// Mostly good luck, so that walks get far.
fn dice() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![12 => 0..200_u8, 1 => any::<u8>()], 0..120)
}

fn specs() -> impl Strategy<Value = Spec> {
    (goals(), prop::bool::weighted(0.1), prop::bool::weighted(0.8)).prop_map(|(goal, allow, drained)| {
        let mut spec = spec(goal);
        spec.allow_unhealthy_target = allow;
        if !drained {
            spec.drain = None;
        }
        spec
    })
}

fn scripts() -> impl Strategy<Value = Script> {
    let before = prop_oneof![9 => data().prop_map(Some), 1 => Just(None)];
    let marked = prop_oneof![Just(None), Just(Some(7))];
    let foreign = prop_oneof![6 => Just(None), 1 => (0..1200_u64, any::<bool>()).prop_map(Some)];
    let watch = prop_oneof![Just(0), Just(60)];
    let abort = prop_oneof![3 => at(), 1 => (0..12_u64).prop_map(Some)];
    (dice(), before, marked, abort, foreign, at(), at(), at(), watch).prop_map(
        |(dice, before, marked, abort, foreign, new_fails, old_fails, old_empties, watch)| Script {
            dice,
            before,
            marked,
            abort,
            foreign,
            new_fails,
            old_fails,
            old_empties: old_empties.or(Some(0)),
            watch,
        },
    )
}

/// I-3, I-5, I-10: every write is a compare-and-set over exactly the last snapshot, under a growing generation, and leaves
/// no name without a record. I-7, I-10: what it newly points at was found healthy after the last wait.
fn writes_are_guarded(spec: &Spec, steps: &Steps) {
    let mut snapshot: Option<Snapshot> = None;
    let mut fit: Option<RecordData> = None;
    let mut asked: Option<(Timestamp, RecordData)> = None;
    let mut last = Generation(0);
    for (now, event, effects) in steps {
        match event {
            Event::SnapshotTaken(seen) => snapshot = Some((**seen).clone()),
            Event::TargetChecked(check) => {
                // An answer that nobody waits for says nothing.
                if let Some((since, data)) = asked.take() {
                    fit = (check.healthy == Some(true) && check.at >= since).then_some(data);
                }
            }
            // Too early, or a pause begins: what follows that begins with the next.
            Event::Elapsed if effects.is_empty() => {}
            // Time has passed, or a call has failed and is waited for: what was checked before is old.
            Event::Elapsed | Event::CallFailed(_) | Event::Start => fit = None,
            Event::Applied(_)
            | Event::PropagationSeen(_)
            | Event::Answered(_)
            | Event::OldTrafficSeen(_)
            | Event::Abort => {}
        }
        for effect in effects {
            match effect {
                Effect::CheckTarget { data } => asked = Some((*now, data.clone())),
                Effect::Apply { batch } => {
                    batch.check().expect("I-10");
                    let seen = snapshot
                        .take()
                        .expect("I-5: a write follows a snapshot of its own");
                    let deleted = |change: &Change| match change {
                        Change::Delete(record) => Some(record.clone()),
                        Change::Create(_) => None,
                    };
                    let deletes: Vec<Record> = batch.changes().iter().filter_map(deleted).collect();
                    let expected: Vec<Record> = seen.record.iter().chain(&seen.marker).cloned().collect();
                    assert_eq!(deletes, expected, "I-3: it deletes exactly what was seen");
                    let generation = super::super::leg::generation_of(batch).expect("I-3: a marker");
                    assert!(
                        generation > last && generation > seen.generation(),
                        "I-3: {generation}"
                    );
                    last = generation;
                    let new = &batch.creates().expect("I-10: a record").data;
                    let turns = seen.record.as_ref().is_none_or(|r| !r.data.same_target(new));
                    assert!(
                        !turns
                            || spec.allow_unhealthy_target
                            || fit.as_ref().is_some_and(|fit| fit.same_target(new)),
                        "I-7: {new} was not found healthy right before"
                    );
                }
                Effect::TakeSnapshot { .. }
                | Effect::SeePropagation { .. }
                | Effect::AskAuthoritative { .. }
                | Effect::SeeOldTraffic { .. } => {}
            }
        }
    }
}

/// I-24: drained only on an unbroken run of low samples over the hold time.
fn drained_was_seen(spec: &Spec, steps: &Steps) {
    let drain = spec.drain.as_ref().expect("drained without being asked to look");
    let (mut first, mut last, mut held) = (None, Timestamp::EPOCH, false);
    for (_, event, _) in steps {
        match event {
            // A late answer, older than what has been counted since.
            Event::OldTrafficSeen(old) if old.at < last => {}
            Event::OldTrafficSeen(OldTraffic {
                at,
                requests_per_minute: Some(rate),
            }) if *rate <= drain.level => {
                last = *at;
                let since = *first.get_or_insert(*at);
                held = held || at.since(since) >= drain.hold;
            }
            Event::OldTrafficSeen(_) | Event::CallFailed(_) => first = None,
            Event::Start
            | Event::SnapshotTaken(_)
            | Event::TargetChecked(_)
            | Event::Applied(_)
            | Event::PropagationSeen(_)
            | Event::Answered(_)
            | Event::Elapsed
            | Event::Abort => {}
        }
    }
    assert!(held, "I-24: drained was claimed and not seen");
}

/// The longest-lived entry that a resolver may hold at `now`, of those that `of` picks: it may have asked at any second,
/// any server, and keeps the answer for its TTL. Brute force.
fn held_until(world: &World, now: Timestamp, of: impl Fn(&RecordData) -> bool) -> Timestamp {
    let mut until = Timestamp::EPOCH;
    // Nothing here has a TTL over 300 s: who asked earlier has forgotten. Up to now, not at it: what lands in this
    // very moment comes after the effect that is judged.
    let mut second = secs(now.as_millis() / 1000 - 301);
    while second < now {
        for version in world.servable(second) {
            if let Some(record) = version.record.as_ref().filter(|record| of(&record.data)) {
                until = until.max(second.after(record.data.ttl()));
            }
        }
        second = second.after(Duration::from_secs(1));
    }
    until
}

/// I-25: at the swap no cache holds an answer with more than the lowered TTL; when the old side's requests are first
/// counted no cache holds the old answer.
fn caches_are_waited_for(spec: &Spec, steps: &Steps, world: &World) {
    let Goal::Move { to, lowered_ttl } = &spec.goal else {
        return;
    };
    let lowered = Duration::from_secs(u64::from(*lowered_ttl)).max(crate::dns::ALIAS_TTL);
    let foreign = world.versions.iter().find(|version| version.foreign);
    let before = |now: Timestamp| foreign.is_none_or(|version| version.from > now);
    let Some(original) = world.versions[0].record.as_ref().map(|r| r.data.clone()) else {
        return;
    };
    let (mut swapped, mut counted) = (false, false);
    for (now, _, effects) in steps.iter().filter(|step| before(step.0)) {
        for effect in effects {
            match effect {
                Effect::Apply { batch } => {
                    let new = &batch.creates().expect("a record").data;
                    if !swapped && new.same_target(to) && !original.same_target(to) {
                        swapped = true;
                        let held = held_until(world, *now, |data| data.ttl() > lowered);
                        assert!(
                            held <= *now,
                            "I-25: swapped at {now}, the old TTL is held until {held}"
                        );
                    }
                }
                Effect::SeeOldTraffic { .. } if !counted => {
                    counted = true;
                    let held = held_until(world, *now, |data| !data.same_target(to));
                    assert!(
                        held <= *now,
                        "I-25: counted at {now}, the old answer is held until {held}"
                    );
                }
                Effect::TakeSnapshot { .. }
                | Effect::CheckTarget { .. }
                | Effect::SeePropagation { .. }
                | Effect::AskAuthoritative { .. }
                | Effect::SeeOldTraffic { .. } => {}
            }
        }
    }
}

/// Whatever it says happened is what happened, also after everything that was still under way has landed.
fn the_outcome_is_true(spec: &Spec, walk: &Walk<Cutover>, world: &World) {
    let now = world.now_says();
    let foreign = world.versions.iter().any(|version| version.foreign);
    let overwritten = world
        .versions
        .windows(2)
        .any(|pair| pair[0].foreign && !pair[1].foreign);
    let is_move = matches!(spec.goal, Goal::Move { .. });
    let opened_after_foreign = {
        let first = world.versions.iter().position(|version| version.foreign);
        first == Some(1)
    };
    assert!(
        !overwritten || opened_after_foreign,
        "I-5: it wrote over a foreign change: {:?}",
        world.versions
    );
    let outcome = walk.machine.outcome().expect("it has ended");
    match &outcome {
        Outcome::Moved {
            now: says, drained, ..
        } => {
            let wanted = match &spec.goal {
                Goal::Move { to, .. } => to,
                Goal::Restore { original, .. } => &original.record.as_ref().expect("a record").data,
            };
            assert!(says.data.same_target(wanted));
            if !foreign {
                let present = now.record.as_ref().expect("a record");
                assert!(present.data.same_target(wanted), "{:?}", world.versions);
            }
            if *drained {
                assert!(is_move);
                drained_was_seen(spec, &walk.steps);
            }
        }
        Outcome::Refused(_) => {
            assert!(!walk.machine.touched());
            assert_eq!(
                world.versions.iter().filter(|v| !v.foreign).count(),
                1,
                "it was written"
            );
        }
        Outcome::Reverted(_) => {
            assert!(is_move && walk.machine.touched());
            if !foreign {
                assert_eq!(now.record, world.versions[0].record, "{:?}", world.versions);
            }
        }
        Outcome::Superseded(reason) => assert!(!reason.evidence.is_empty()),
        Outcome::Stuck(stuck) => {
            assert!(!stuck.next.is_empty() && !stuck.text.is_empty());
            assert!(is_move == walk.machine.touched() || !is_move);
        }
    }
}

/// The walk and the zone's history, for a failed check.
fn told(walk: &Walk<Cutover>, world: &World) -> String {
    let mut text = String::new();
    for (now, event, effects) in &walk.steps {
        text += &format!("{} {event:?} -> {effects:?}\n", now.as_millis() / 1000);
    }
    for version in &world.versions {
        text += &format!("{version:?}\n");
    }
    text
}

fn holds(spec: &Spec, script: Script) -> Walk<Cutover> {
    let policy = Policy {
        watch: Duration::from_secs(script.watch),
        ..policy()
    };
    let (walk, world) = drive(spec, &policy, script);
    let checks = std::panic::AssertUnwindSafe(|| {
        walk.check_replay(&Cutover::new(spec.clone(), policy.clone()));
        writes_are_guarded(spec, &walk.steps);
        caches_are_waited_for(spec, &walk.steps, &world);
        the_outcome_is_true(spec, &walk, &world);
    });
    if let Err(failure) = std::panic::catch_unwind(checks) {
        eprintln!("{}", told(&walk, &world));
        std::panic::resume_unwind(failure);
    }
    walk
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_walk_keeps_the_invariants_and_ends_truthfully(spec in specs(), script in scripts()) {
        holds(&spec, script);
    }

    /// Any event at any time: nothing panics, refusals change nothing, no state waits without a deadline.
    #[test]
    fn any_order_of_events_is_survived(
        spec in specs(),
        script in prop::collection::vec((0..12_u8, 0..400_u64, any::<u8>()), 1..80),
    ) {
        let mut hand = Hand::new(spec);
        for (kind, pause, die) in script {
            hand.now += pause / 4;
            let at = hand.now.saturating_sub(u64::from(die % 4));
            let data = [values(300, "10.0.0.1"), values(60, "10.0.0.1"), values(60, "10.0.0.2"), alias("x.example.com")];
            let event = match kind {
                0 => Event::Start,
                1 | 2 => snapshot(
                    at,
                    data.get(usize::from(die % 5)).cloned(),
                    (die > 100).then(|| marker(u64::from(die % 5))),
                ),
                3 | 4 => check(at, [Some(true), Some(true), Some(false), None][usize::from(die % 4)]),
                5 => Event::Applied(change("C1")),
                6 => if die > 100 { IN_SYNC } else { PENDING },
                7 => answers(at, &[Some(die > 100), None]),
                8 => traffic(at, (die > 20).then_some(u64::from(die % 10))),
                9 => error(
                    [ErrorKind::Throttled, ErrorKind::Conflict, ErrorKind::PermissionDenied][usize::from(die % 3)],
                    [Retry::Never, Retry::Later, Retry::Exhausted][usize::from(die / 3 % 3)],
                    [Applied::No, Applied::Maybe, Applied::Yes][usize::from(die / 9 % 3)],
                ),
                10 => Event::Elapsed,
                _ => if die > 200 { Event::Abort } else { Event::Elapsed },
            };
            let _ = hand.walk.give(secs(hand.now), event);
        }
        hand.walk.check_replay(&Cutover::new(hand.walk.machine.spec().clone(), policy()));
        writes_are_guarded(hand.walk.machine.spec(), &hand.walk.steps);
    }
}

/// The random worlds are worth something only if they lead to every end, drained ones among them.
#[test]
fn random_worlds_lead_to_every_end() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut ends = std::collections::BTreeMap::<&str, u32>::new();
    for _ in 0..400 {
        let new = |runner: &mut _| (specs(), scripts()).new_tree(runner).map(|tree| tree.current());
        let (spec, script) = new(&mut runner).expect("a value");
        let walk = holds(&spec, script);
        let end = match walk.machine.outcome().expect("it has ended") {
            Outcome::Moved { drained: true, .. } => "drained",
            Outcome::Moved { .. } => "moved",
            Outcome::Refused(_) => "refused",
            Outcome::Reverted(_) => "reverted",
            Outcome::Superseded(_) => "superseded",
            Outcome::Stuck(_) => "stuck",
        };
        *ends.entry(end).or_default() += 1;
    }
    let enough = ends.len() == 6 && ends.values().all(|count| *count >= 3);
    assert!(enough, "{ends:?}");
}
