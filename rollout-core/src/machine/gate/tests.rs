use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::error::{Error, ErrorKind};
use crate::id::{ContainerName, ImageDigest};
use crate::machine::testkit::{Visited, Walk, never_visited};
use crate::probe::Verdict;
use crate::service::Images;

const T0: Timestamp = Timestamp::from_millis(1_000_000);

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn at(n: u64) -> Timestamp {
    T0.after(secs(n))
}

fn name(text: &str) -> ProbeName {
    ProbeName::new(text).unwrap()
}

fn images(of: &str) -> Images {
    Images::from([(ContainerName::new("web").unwrap(), ImageDigest::of(of.as_bytes()))])
}

fn leaf(text: &str) -> Condition {
    Condition::Probe(name(text))
}

/// Sampled each 10 s, holds after two passes, fails with the second failure or error.
fn probe(text: &str) -> ProbeSpec {
    ProbeSpec {
        name: name(text),
        target: ProbeTarget::Custom {
            name: text.to_owned(),
            parameters: serde_json::Value::Null,
        },
        every: secs(10),
        successes: 2,
        failures: 1,
        errors: 1,
        max_age: secs(30),
        dry_run: false,
    }
}

/// Changed 10 s before the start; warm-up 5 s, bake 20 s, give up after 200 s, 4 s for an answer.
fn spec(condition: Condition, probes: Vec<ProbeSpec>) -> Spec {
    let spec = Spec {
        condition,
        probes,
        subject: Subject {
            service: None,
            images: images("new"),
            changed_at: T0,
        },
        warm_up: secs(5),
        bake: secs(20),
        give_up: secs(200),
        answer: secs(4),
    };
    assert_eq!(spec.validate(), Ok(()));
    spec
}

fn one() -> Spec {
    spec(leaf("a"), vec![probe("a")])
}

fn sample(of: &str, when: Timestamp, verdict: Verdict) -> Event {
    let said = format!("{verdict:?} at {when}");
    Event::Sampled {
        probe: name(of),
        sample: Sample {
            at: when,
            verdict,
            images: Some(images("new")),
            evidence: vec![Evidence::new(when, "test", of, said)],
        },
    }
}

fn failed(of: &str, kind: ErrorKind) -> Event {
    Event::SampleFailed {
        probe: name(of),
        error: Error::new(kind, "test:Sample", "broken").record(),
    }
}

fn take(spec: &Spec, of: &str) -> Effect {
    let probe = spec.probes.iter().find(|probe| probe.name == name(of)).unwrap();
    Effect::TakeSample(SampleRequest {
        probe: probe.name.clone(),
        target: probe.target.clone(),
        subject: spec.subject.clone(),
    })
}

/// What the other side answers to the n-th sample of a probe asked for at a moment, and how much later.
type Answers<'a> = &'a dyn Fn(&ProbeName, usize, Timestamp) -> Option<(Duration, Event)>;

/// Drives a gate as a driver would: every deadline and every answer in time, until it ends.
fn drive(spec: &Spec, answers: Answers<'_>) -> Walk<Gate> {
    let mut walk = Walk::new(Gate::new(spec.clone()));
    let mut asked: BTreeMap<ProbeName, usize> = BTreeMap::new();
    let mut due: Vec<(Timestamp, Event)> = vec![(T0.after(secs(10)), Event::Start)];
    for _ in 0..5_000 {
        if walk.machine.outcome().is_some() {
            walk.check_replay(&Gate::new(spec.clone()));
            return walk;
        }
        due.sort_by_key(|(when, _)| *when);
        let wake = walk.machine.deadline().map(|deadline| deadline.at);
        let (now, event) = match (due.first(), wake) {
            (Some((when, _)), Some(wake)) if wake < *when => (wake, Event::Elapsed),
            (None, Some(wake)) => (wake, Event::Elapsed),
            (Some(_), _) => due.remove(0),
            (None, None) => panic!("nothing will ever happen"),
        };
        for effect in walk.give(now, event).unwrap() {
            let Effect::TakeSample(request) = effect;
            let nth = asked.entry(request.probe.clone()).or_default();
            if let Some((delay, event)) = answers(&request.probe, *nth, now) {
                due.push((now.after(delay), event));
            }
            *nth += 1;
        }
    }
    panic!("it never ends: {:?}", walk.machine);
}

fn outcome(walk: &Walk<Gate>) -> Outcome {
    walk.machine.outcome().unwrap()
}

fn passed(walk: &Walk<Gate>) -> bool {
    matches!(outcome(walk), Outcome::Passed { .. })
}

fn why(walk: &Walk<Gate>) -> Reason {
    match outcome(walk) {
        Outcome::Failed(reason) => reason,
        Outcome::Passed { .. } => panic!("it passed"),
    }
}

/// Every sample of every probe at once, by verdict.
fn constant(verdict: Verdict) -> impl Fn(&ProbeName, usize, Timestamp) -> Option<(Duration, Event)> {
    move |of, _, now| Some((secs(1), sample(of.as_str(), now, verdict)))
}

/// The verdicts of probe `a`, then passes; other probes pass.
fn verdicts(list: &[Verdict]) -> impl Fn(&ProbeName, usize, Timestamp) -> Option<(Duration, Event)> {
    move |of, nth, now| {
        let verdict = if of == &name("a") {
            list.get(nth).copied()
        } else {
            None
        };
        Some((
            Duration::ZERO,
            sample(of.as_str(), now, verdict.unwrap_or(Verdict::Pass)),
        ))
    }
}

fn ended_at(walk: &Walk<Gate>) -> Timestamp {
    walk.steps.last().unwrap().0
}

#[test]
fn samples_after_the_warm_up_bakes_and_passes_with_exact_effects() {
    let spec = one();
    let mut walk = Walk::new(Gate::new(spec.clone()));
    assert_eq!(walk.machine.deadline(), None);
    assert_eq!(walk.give(at(10), Event::Start).unwrap(), []);
    assert_eq!(walk.machine.deadline(), Some(Deadline::new(at(15), Wait::WarmUp)));
    assert_eq!(walk.give(at(12), Event::Elapsed).unwrap(), []);
    assert_eq!(walk.give(at(15), Event::Elapsed).unwrap(), [take(&spec, "a")]);
    assert_eq!(walk.machine.deadline(), Some(Deadline::new(at(19), Wait::Answer)));
    assert_eq!(walk.give(at(16), sample("a", at(15), Verdict::Pass)).unwrap(), []);
    assert_eq!(walk.machine.deadline(), Some(Deadline::new(at(25), Wait::Poll)));
    assert_eq!(
        walk.give(at(20), Event::Elapsed).unwrap(),
        [],
        "it is not due yet"
    );
    assert_eq!(walk.give(at(25), Event::Elapsed).unwrap(), [take(&spec, "a")]);
    assert_eq!(walk.give(at(26), sample("a", at(25), Verdict::Pass)).unwrap(), []);
    assert_eq!(walk.machine.state_kind(), StateKind::Baking);
    for second in [35, 45] {
        assert_eq!(walk.give(at(second), Event::Elapsed).unwrap(), [take(&spec, "a")]);
        walk.give(at(second), sample("a", at(second), Verdict::Pass))
            .unwrap();
    }
    assert_eq!(walk.machine.deadline(), Some(Deadline::new(at(46), Wait::Bake)));
    assert_eq!(walk.give(at(46), Event::Elapsed).unwrap(), []);
    assert_eq!(
        outcome(&walk),
        Outcome::Passed {
            evidence: vec![Evidence::new(at(45), "test", "a", format!("Pass at {}", at(45)))],
            would_have_failed: Vec::new()
        }
    );
    walk.check_replay(&Gate::new(spec));
}

#[test]
fn several_probes_are_asked_at_once_and_only_when_due() {
    let spec = spec(
        Condition::All(vec![leaf("a"), leaf("b")]),
        vec![probe("a"), probe("b")],
    );
    let mut walk = Walk::new(Gate::new(spec.clone()));
    walk.give(at(10), Event::Start).unwrap();
    assert_eq!(
        walk.give(at(15), Event::Elapsed).unwrap(),
        [take(&spec, "a"), take(&spec, "b")]
    );
    assert_eq!(walk.give(at(16), sample("b", at(15), Verdict::Pass)).unwrap(), []);
    // `a` is still under way: only its time to answer runs.
    assert_eq!(walk.machine.deadline(), Some(Deadline::new(at(19), Wait::Answer)));
    walk.give(at(19), Event::Elapsed).unwrap();
    assert_eq!(walk.machine.deadline(), Some(Deadline::new(at(25), Wait::Poll)));
}

#[test]
fn unknown_breaks_the_run_and_is_no_failure() {
    use Verdict::{Pass, Unknown};
    // Passes at 15 and 25 would do; the unknown between them moves the second to 45.
    let walk = drive(&one(), &verdicts(&[Pass, Unknown, Pass, Pass]));
    assert!(passed(&walk));
    assert_eq!(ended_at(&walk), at(45 + 20));
    let walk = drive(&one(), &constant(Unknown));
    let reason = why(&walk);
    assert_eq!(reason.cause, Cause::GateUnknown);
    assert_eq!(ended_at(&walk), at(10 + 200));
    assert!(!reason.evidence.is_empty());
}

#[test]
fn failures_add_up_and_are_never_forgiven() {
    use Verdict::{Fail, Pass};
    assert!(passed(&drive(&one(), &verdicts(&[Fail]))));
    let walk = drive(&one(), &verdicts(&[Fail, Pass, Pass, Fail]));
    let reason = why(&walk);
    assert_eq!(reason.cause, Cause::GateFailed);
    assert_eq!(ended_at(&walk), at(45), "at once, not at the deadline");
    let seen: Vec<&str> = reason.evidence.iter().map(|e| e.detail.as_str()).collect();
    assert_eq!(
        seen,
        [format!("Fail at {}", at(15)), format!("Fail at {}", at(45))]
    );
}

#[test]
fn what_breaks_the_condition_starts_the_bake_anew() {
    use Verdict::{Fail, Pass};
    // Holds at 25, fails at 35, holds at 55: the bake ends at 75.
    let walk = drive(&one(), &verdicts(&[Pass, Pass, Fail]));
    assert!(passed(&walk));
    assert_eq!(ended_at(&walk), at(75));
}

#[test]
fn an_error_counts_apart_and_breaks_the_run() {
    let broken = |nth: usize| {
        move |of: &ProbeName, n: usize, now: Timestamp| {
            let event = if n < nth {
                failed("a", ErrorKind::Unavailable)
            } else {
                sample(of.as_str(), now, Verdict::Pass)
            };
            Some((Duration::ZERO, event))
        }
    };
    assert!(passed(&drive(&one(), &broken(1))));
    let reason = why(&drive(&one(), &broken(2)));
    assert_eq!(reason.cause, Cause::GateProviderErrors);
    assert_eq!(reason.evidence.len(), 2);
    // An error between two passes: they are not consecutive.
    let walk = drive(&one(), &|of, n, now| {
        let event = if n == 1 {
            failed("a", ErrorKind::Throttled)
        } else {
            sample(of.as_str(), now, Verdict::Pass)
        };
        Some((Duration::ZERO, event))
    });
    assert_eq!(ended_at(&walk), at(45 + 20));
    // One that a repeat cannot mend.
    let walk = drive(&one(), &|_, _, _| {
        Some((Duration::ZERO, failed("a", ErrorKind::PermissionDenied)))
    });
    assert_eq!(why(&walk).cause, Cause::GateProviderErrors);
    assert_eq!(ended_at(&walk), at(15));
}

#[test]
fn a_probe_that_never_answers_is_an_error_of_its_source_and_counted_once() {
    let walk = drive(&one(), &|_, _, _| None);
    let reason = why(&walk);
    assert_eq!(reason.cause, Cause::GateProviderErrors);
    assert_eq!(ended_at(&walk), at(25 + 4));
    assert!(reason.text.contains("no answer within 4s"), "{}", reason.text);
    // The late error of a call that was given up is not a second one.
    let mut walk = Walk::new(Gate::new(one()));
    walk.give(at(10), Event::Start).unwrap();
    walk.give(at(15), Event::Elapsed).unwrap();
    walk.give(at(19), Event::Elapsed).unwrap();
    walk.give(at(20), failed("a", ErrorKind::TimedOut)).unwrap();
    assert_eq!(walk.machine.outcome(), None);
    // A late sample still tells what it tells.
    walk.give(at(21), sample("a", at(15), Verdict::Fail)).unwrap();
    walk.give(at(22), sample("a", at(16), Verdict::Fail)).unwrap();
    assert_eq!(why(&walk).cause, Cause::GateFailed);
}

#[test]
fn a_late_pass_does_not_hide_the_error_of_the_next_call() {
    let mut walk = Walk::new(Gate::new(one()));
    walk.give(at(10), Event::Start).unwrap();
    walk.give(at(15), Event::Elapsed).unwrap();
    walk.give(at(19), Event::Elapsed).unwrap();
    walk.give(at(25), Event::Elapsed).unwrap();
    // The first call's answer comes at last, then the second call's: they cannot be told apart.
    walk.give(at(26), sample("a", at(15), Verdict::Pass)).unwrap();
    walk.give(at(27), failed("a", ErrorKind::Unavailable)).unwrap();
    walk.give(at(35), Event::Elapsed).unwrap();
    walk.give(at(35), sample("a", at(35), Verdict::Pass)).unwrap();
    assert_eq!(
        walk.machine.state_kind(),
        StateKind::Sampling,
        "two passes with an error between them"
    );
    walk.give(at(45), Event::Elapsed).unwrap();
    walk.give(at(45), sample("a", at(45), Verdict::Pass)).unwrap();
    assert_eq!(walk.machine.state_kind(), StateKind::Baking);
}

#[test]
fn a_retry_waits_as_long_as_it_is_told() {
    let mut walk = Walk::new(Gate::new(one()));
    walk.give(at(10), Event::Start).unwrap();
    walk.give(at(15), Event::Elapsed).unwrap();
    let mut error = Error::new(ErrorKind::Throttled, "test:Sample", "slow down");
    error.retry_after = Some(secs(60));
    walk.give(
        at(16),
        Event::SampleFailed {
            probe: name("a"),
            error: error.record(),
        },
    )
    .unwrap();
    assert_eq!(walk.machine.deadline(), Some(Deadline::new(at(76), Wait::Poll)));
}

/// The gate gets passes only, each spoilt in one way. It must end without a pass and say that it does not know.
fn never_counts(spec: &Spec, spoil: impl Fn(&mut Sample)) -> Reason {
    let walk = drive(spec, &|of, _, now| {
        let mut event = sample(of.as_str(), now, Verdict::Pass);
        if let Event::Sampled { sample, .. } = &mut event {
            spoil(sample);
        }
        Some((secs(1), event))
    });
    let reason = why(&walk);
    assert_eq!(reason.cause, Cause::GateUnknown, "{reason}");
    reason
}

#[test]
fn evidence_from_before_the_change_does_not_count() {
    let mut spec = one();
    spec.probes[0].max_age = secs(10_000);
    let before = Timestamp::from_millis(T0.as_millis() - 1);
    let reason = never_counts(&spec, |sample| sample.at = before);
    assert!(reason.text.contains("before the change"), "{reason}");
}

#[test]
fn evidence_that_is_too_old_or_yet_to_come_does_not_count() {
    let reason = never_counts(&one(), |sample| {
        sample.at = Timestamp::from_millis(sample.at.as_millis() - 29_001);
    });
    assert!(reason.text.contains("30s at most counts"), "{reason}");
    never_counts(&one(), |sample| {
        sample.at = sample.at.after(Duration::from_millis(1_001))
    });
}

#[test]
fn evidence_of_another_version_does_not_count() {
    let reason = never_counts(&one(), |sample| sample.images = Some(images("old")));
    assert!(reason.text.contains("another version"), "{reason}");
    never_counts(&one(), |sample| sample.images = Some(Images::new()));
    // A source that cannot tell versions apart, and a version with a sidecar more, count.
    for images in [None, {
        let mut more = images("new");
        more.insert(ContainerName::new("sidecar").unwrap(), ImageDigest::of(b"x"));
        Some(more)
    }] {
        let walk = drive(&one(), &|of, _, now| {
            let mut event = sample(of.as_str(), now, Verdict::Pass);
            if let Event::Sampled { sample, .. } = &mut event {
                sample.images.clone_from(&images);
            }
            Some((Duration::ZERO, event))
        });
        assert!(passed(&walk));
    }
}

#[test]
fn one_data_point_read_twice_is_one_pass_and_one_failure() {
    let mut patient = one();
    patient.probes[0].max_age = secs(10_000);
    let frozen = |verdict| {
        move |of: &ProbeName, _: usize, _: Timestamp| {
            Some((Duration::ZERO, sample(of.as_str(), at(15), verdict)))
        }
    };
    let reason = why(&drive(&patient, &frozen(Verdict::Pass)));
    assert_eq!(reason.cause, Cause::GateUnknown);
    assert!(reason.text.contains("1 of 2 consecutive passes"), "{reason}");
    let walk = drive(&patient, &frozen(Verdict::Fail));
    assert_eq!(why(&walk).cause, Cause::GateFailed);
    assert_eq!(ended_at(&walk), at(210), "one failure is allowed and it was one");
}

#[test]
fn a_runner_that_slept_through_the_bake_does_not_pass_on_old_evidence() {
    let mut walk = Walk::new(Gate::new(one()));
    walk.give(at(10), Event::Start).unwrap();
    for second in [15, 25] {
        walk.give(at(second), Event::Elapsed).unwrap();
        walk.give(at(second), sample("a", at(second), Verdict::Pass))
            .unwrap();
    }
    assert_eq!(walk.machine.state_kind(), StateKind::Baking);
    // 31 s old: within the schedule's slack, and too old to pass on.
    let mut slow = walk.clone();
    slow.give(at(56), Event::Elapsed).unwrap();
    assert_eq!(slow.machine.state_kind(), StateKind::Baking);
    assert_eq!(slow.machine.deadline(), Some(Deadline::new(at(60), Wait::Answer)));
    slow.give(at(57), sample("a", at(56), Verdict::Pass)).unwrap();
    assert!(passed(&slow));
    // 45 s old: a gap. The run and the bake begin anew.
    walk.give(at(70), Event::Elapsed).unwrap();
    assert_eq!(walk.machine.state_kind(), StateKind::Sampling);
    walk.give(at(70), sample("a", at(70), Verdict::Pass)).unwrap();
    assert_eq!(walk.machine.state_kind(), StateKind::Sampling);
}

#[test]
fn all_fails_with_its_first_failed_probe_any_with_its_last() {
    use Verdict::{Fail, Pass};
    let (a_fails, all_fail) = (
        |of: &ProbeName, _: usize, now: Timestamp| {
            let verdict = if of == &name("a") { Fail } else { Pass };
            Some((Duration::ZERO, sample(of.as_str(), now, verdict)))
        },
        constant(Fail),
    );
    let both = || vec![leaf("a"), leaf("b")];
    let probes = || vec![probe("a"), probe("b")];
    let all = drive(&spec(Condition::All(both()), probes()), &a_fails);
    assert_eq!(why(&all).cause, Cause::GateFailed);
    assert_eq!(ended_at(&all), at(25));
    assert!(passed(&drive(&spec(Condition::Any(both()), probes()), &a_fails)));
    let any = drive(&spec(Condition::Any(both()), probes()), &all_fail);
    assert_eq!(why(&any).cause, Cause::GateFailed);
    let of_two = |count| Condition::AtLeast { count, of: both() };
    assert!(passed(&drive(&spec(of_two(1), probes()), &a_fails)));
    assert!(!passed(&drive(&spec(of_two(2), probes()), &a_fails)));
}

#[test]
fn a_failed_probe_is_not_sampled_any_more() {
    let spec = spec(
        Condition::Any(vec![leaf("a"), leaf("b")]),
        vec![probe("a"), probe("b")],
    );
    let walk = drive(&spec, &|of, _, now| {
        let verdict = if of == &name("a") {
            Verdict::Fail
        } else {
            Verdict::Unknown
        };
        Some((Duration::ZERO, sample(of.as_str(), now, verdict)))
    });
    let of_a = walk
        .steps
        .iter()
        .flat_map(|(_, _, effects)| effects)
        .filter(|effect| **effect == take(&spec, "a"));
    assert_eq!(of_a.count(), 2);
    assert_eq!(why(&walk).cause, Cause::GateFailed);
}

#[test]
fn a_dry_run_probe_neither_fails_nor_holds_back_and_is_reported() {
    let dry = |text| ProbeSpec {
        dry_run: true,
        ..probe(text)
    };
    let a_alone = |of: &ProbeName, _: usize, now: Timestamp| {
        let verdict = if of == &name("a") {
            Verdict::Pass
        } else {
            Verdict::Fail
        };
        Some((Duration::ZERO, sample(of.as_str(), now, verdict)))
    };
    for condition in [
        Condition::All(vec![leaf("a"), leaf("b")]),
        Condition::Any(vec![leaf("a"), leaf("b")]),
        Condition::AtLeast {
            count: 2,
            of: vec![leaf("a"), leaf("b")],
        },
        leaf("a"),
    ] {
        let walk = drive(&spec(condition, vec![probe("a"), dry("b")]), &a_alone);
        let Outcome::Passed {
            would_have_failed, ..
        } = outcome(&walk)
        else {
            panic!("{:?}", outcome(&walk))
        };
        assert_eq!(would_have_failed, [name("b")]);
        assert_eq!(ended_at(&walk), at(45));
    }
    // A dry-run probe that passes does not stand in for one that does not.
    let any = spec(
        Condition::Any(vec![leaf("a"), leaf("b")]),
        vec![dry("a"), probe("b")],
    );
    assert_eq!(why(&drive(&any, &a_alone)).cause, Cause::GateFailed);
    // Alone it holds nothing back: warm-up 5 s and bake 20 s.
    let walk = drive(&spec(leaf("b"), vec![dry("b")]), &a_alone);
    assert!(passed(&walk));
    assert_eq!(ended_at(&walk), at(35));
}

#[test]
fn giving_up_names_what_was_seen() {
    // Never two in a row, and never too many failures.
    let mut flapping = one();
    flapping.probes[0].failures = 1_000;
    let cause = |list: &dyn Fn(usize) -> Option<Verdict>| {
        let walk = drive(&flapping, &|of, n, now| {
            let event = list(n).map_or_else(
                || failed("a", ErrorKind::Unavailable),
                |verdict| sample(of.as_str(), now, verdict),
            );
            Some((Duration::ZERO, event))
        });
        assert_eq!(ended_at(&walk), at(210));
        why(&walk).cause
    };
    use Verdict::{Fail, Pass, Unknown};
    assert_eq!(
        cause(&|n| Some(if n % 2 == 0 { Pass } else { Fail })),
        Cause::GateFailed
    );
    assert_eq!(
        cause(&|n| Some(if n % 2 == 0 { Pass } else { Unknown })),
        Cause::GateUnknown
    );
    assert_eq!(
        cause(&|n| (n % 2 == 0).then_some(Pass)),
        Cause::GateProviderErrors
    );
}

#[test]
fn abort_ends_it_in_every_state() {
    let mut walk = Walk::new(Gate::new(one()));
    walk.give(at(0), Event::Abort).unwrap();
    assert_eq!(why(&walk).cause, Cause::Aborted);
    assert!(walk.give(at(0), Event::Start).is_err());
}

#[test]
fn a_spec_that_cannot_work_is_refused_and_would_never_pass() {
    let refused = |change: &dyn Fn(&mut Spec), expected: SpecError| {
        let mut changed = spec(
            Condition::All(vec![leaf("a"), leaf("b")]),
            vec![probe("a"), probe("b")],
        );
        change(&mut changed);
        assert_eq!(changed.validate(), Err(expected));
    };
    refused(
        &|s| s.probes[1].name = name("a"),
        SpecError::DuplicateProbe(name("a")),
    );
    refused(
        &|s| s.condition = Condition::All(vec![leaf("a"), leaf("b"), leaf("c")]),
        SpecError::UnknownProbe(name("c")),
    );
    refused(&|s| s.condition = leaf("a"), SpecError::UnusedProbe(name("b")));
    refused(
        &|s| s.condition = Condition::All(vec![leaf("a"), leaf("b"), Condition::Any(Vec::new())]),
        SpecError::EmptyCondition,
    );
    for count in [0, 3] {
        refused(
            &|s| {
                s.condition = Condition::AtLeast {
                    count,
                    of: vec![leaf("a"), leaf("b")],
                }
            },
            SpecError::Count { count, parts: 2 },
        );
    }
    refused(
        &|s| s.probes[0].every = Duration::ZERO,
        SpecError::ZeroEvery(name("a")),
    );
    refused(
        &|s| s.probes[0].successes = 0,
        SpecError::ZeroSuccesses(name("a")),
    );
    refused(
        &|s| s.probes[0].max_age = secs(9),
        SpecError::MaxAge {
            probe: name("a"),
            every: "10s".to_owned(),
            max_age: "9s".to_owned(),
        },
    );
    refused(&|s| s.answer = Duration::ZERO, SpecError::ZeroAnswer);
    // Warm-up 5 s, one more sample 10 s, bake 20 s.
    refused(
        &|s| s.give_up = secs(34),
        SpecError::GiveUp {
            give_up: "34s".to_owned(),
            needs: "35s".to_owned(),
        },
    );
    // The machine does not rely on it: nothing is not everything.
    for condition in [
        Condition::All(Vec::new()),
        Condition::AtLeast {
            count: 0,
            of: vec![leaf("a")],
        },
        leaf("c"),
    ] {
        let mut odd = one();
        odd.condition = condition;
        odd.probes[0].successes = 0;
        odd.probes[0].failures = 1_000;
        assert!(!passed(&drive(&odd, &constant(Verdict::Unknown))));
        assert!(!passed(&drive(&odd, &constant(Verdict::Fail))));
    }
}

#[test]
fn a_condition_lists_its_probes_in_order() {
    let condition = Condition::All(vec![
        leaf("a"),
        Condition::Any(vec![
            leaf("b"),
            Condition::AtLeast {
                count: 1,
                of: vec![leaf("c")],
            },
        ]),
        leaf("d"),
    ]);
    let names: Vec<&str> = condition.probes().map(ProbeName::as_str).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
}

#[test]
fn every_pair_is_visited() {
    let mut visited: Visited<Gate> = BTreeSet::new();
    let mut fresh = Walk::new(Gate::new(one()));
    let mut stages = vec![fresh.clone()];
    for (second, event) in [
        (10, Event::Start),
        (15, Event::Elapsed),
        (15, sample("a", at(15), Verdict::Pass)),
        (25, Event::Elapsed),
        (25, sample("a", at(25), Verdict::Pass)),
        (30, Event::Abort),
    ] {
        fresh.give(at(second), event).unwrap();
        stages.push(fresh.clone());
    }
    for stage in stages {
        for event in [
            Event::Start,
            sample("a", at(25), Verdict::Fail),
            failed("a", ErrorKind::Unavailable),
            sample("nobody", at(25), Verdict::Pass),
            Event::Elapsed,
            Event::Abort,
        ] {
            let mut walk = stage.clone();
            let unknown = matches!(&event, Event::Sampled { probe, .. } if probe == &name("nobody"));
            let result = walk.give(at(30), event);
            let ended = stage.machine.state_kind() == StateKind::Ended;
            assert!(
                !unknown || ended || result.is_err(),
                "an unknown probe is refused"
            );
            visited.extend(walk.visited);
        }
    }
    assert_eq!(never_visited::<Gate>(&visited), []);
}

// ---- properties ----

/// What a source answers in a random script.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Say {
    Pass,
    Fail,
    Unknown,
    /// A pass of the old version.
    OldImages,
    /// A pass of so many seconds ago.
    Stale(u64),
    Error,
    Denied,
    Silence,
}

fn say() -> impl Strategy<Value = Say> {
    prop_oneof![
        20 => Just(Say::Pass),
        3 => Just(Say::Fail),
        2 => Just(Say::Unknown),
        1 => Just(Say::OldImages),
        4 => (0..60_u64).prop_map(Say::Stale),
        2 => Just(Say::Error),
        1 => Just(Say::Silence),
    ]
}

#[derive(Clone, Debug)]
struct Script {
    spec: Spec,
    /// What each probe's source says, in turn; afterwards it passes.
    says: BTreeMap<ProbeName, Vec<(Say, u64)>>,
}

fn any_condition() -> impl Strategy<Value = Condition> {
    let all = || vec![leaf("a"), leaf("b"), leaf("c")];
    prop_oneof![
        Just(Condition::All(all())),
        Just(Condition::Any(all())),
        (1..=3_u32).prop_map(move |count| Condition::AtLeast { count, of: all() }),
        Just(Condition::All(vec![
            leaf("a"),
            Condition::Any(vec![leaf("b"), leaf("c")])
        ])),
        Just(Condition::Any(vec![
            leaf("a"),
            Condition::All(vec![leaf("b"), leaf("c")])
        ])),
    ]
}

fn any_probe(text: &'static str) -> impl Strategy<Value = ProbeSpec> {
    (
        5..15_u64,
        1..4_u32,
        0..3_u32,
        0..3_u32,
        15..40_u64,
        prop::bool::weighted(0.2),
    )
        .prop_map(
            move |(every, successes, failures, errors, max_age, dry_run)| ProbeSpec {
                every: secs(every),
                successes,
                failures,
                errors,
                max_age: secs(max_age),
                dry_run,
                ..probe(text)
            },
        )
}

fn script() -> impl Strategy<Value = Script> {
    let says = || prop::collection::vec((say(), 0..6_000_u64), 0..12);
    (
        any_condition(),
        (any_probe("a"), any_probe("b"), any_probe("c")),
        0..40_u64,
        (says(), says(), says()),
    )
        .prop_map(|(condition, (a, b, c), bake, (x, y, z))| Script {
            spec: Spec {
                bake: secs(bake),
                ..spec(condition, vec![a, b, c])
            },
            says: BTreeMap::from([(name("a"), x), (name("b"), y), (name("c"), z)]),
        })
}

fn event_of(of: &ProbeName, say: Say, now: Timestamp) -> Option<Event> {
    let text = of.as_str();
    Some(match say {
        Say::Pass => sample(text, now, Verdict::Pass),
        Say::Fail => sample(text, now, Verdict::Fail),
        Say::Unknown => sample(text, now, Verdict::Unknown),
        Say::OldImages => {
            let mut event = sample(text, now, Verdict::Pass);
            if let Event::Sampled { sample, .. } = &mut event {
                sample.images = Some(images("old"));
            }
            event
        }
        Say::Stale(by) => {
            let then = Timestamp::from_millis(now.as_millis() - by * 1_000);
            sample(text, then, Verdict::Pass)
        }
        Say::Error => failed(text, ErrorKind::Unavailable),
        Say::Denied => failed(text, ErrorKind::PermissionDenied),
        Say::Silence => return None,
    })
}

impl Script {
    /// Runs it. The passes of `stripped` become unknown.
    fn run(&self, stripped: Option<&ProbeName>) -> Walk<Gate> {
        drive(&self.spec, &|of, nth, now| {
            let (mut say, delay) = self.says[of].get(nth).copied().unwrap_or((Say::Pass, 300));
            if stripped == Some(of) && matches!(say, Say::Pass | Say::Stale(_)) {
                say = Say::Unknown;
            }
            event_of(of, say, now).map(|event| (Duration::from_millis(delay), event))
        })
    }

    /// Whether the condition is true when exactly these live probes hold; written apart from the machine's own rule.
    fn is_true(&self, condition: &Condition, holds: &dyn Fn(&ProbeSpec) -> bool) -> Option<bool> {
        let list = |parts: &[Condition]| -> Vec<bool> {
            parts
                .iter()
                .filter_map(|part| self.is_true(part, holds))
                .collect()
        };
        let truths = match condition {
            Condition::Probe(of) => {
                let spec = self.spec.probes.iter().find(|p| &p.name == of).unwrap();
                return (!spec.dry_run).then(|| holds(spec));
            }
            Condition::All(parts) | Condition::Any(parts) | Condition::AtLeast { of: parts, .. } => {
                list(parts)
            }
        };
        if truths.is_empty() {
            return None;
        }
        let yes = truths.iter().filter(|truth| **truth).count();
        Some(match condition {
            Condition::All(_) | Condition::Probe(_) => yes == truths.len(),
            Condition::Any(_) => yes > 0,
            Condition::AtLeast { count, .. } => yes >= (*count as usize).min(truths.len()),
        })
    }

    /// Whether a probe's own log, read backwards, ends with enough different passes that may count, and whether it
    /// has failed too often for ever.
    fn supported(&self, log: &[(Timestamp, Event, Vec<Effect>)], spec: &ProbeSpec) -> bool {
        let subject = &self.spec.subject;
        let counts = |now: Timestamp, sample: &Sample| {
            sample.at >= subject.changed_at
                && sample.at <= now
                && now.since(sample.at) <= spec.max_age
                && sample.images.as_ref().is_none_or(|seen| seen == &subject.images)
        };
        let mut failures = BTreeSet::new();
        let mut run = Some(BTreeSet::new());
        let mut passes = BTreeSet::new();
        for (now, event, _) in log.iter().rev() {
            match event {
                Event::Sampled { probe, sample } if probe == &spec.name => {
                    let good = counts(*now, sample);
                    if good && sample.verdict == Verdict::Fail {
                        failures.insert(sample.at);
                    }
                    if good && sample.verdict == Verdict::Pass {
                        if let Some(run) = &mut run {
                            run.insert(sample.at);
                        }
                    } else if let Some(ended) = run.take() {
                        passes = ended;
                    }
                }
                Event::SampleFailed { probe, .. } if probe == &spec.name => {
                    if let Some(ended) = run.take() {
                        passes = ended;
                    }
                }
                Event::Sampled { .. }
                | Event::SampleFailed { .. }
                | Event::Start
                | Event::Elapsed
                | Event::Abort => {}
            }
        }
        let passes = run.unwrap_or(passes);
        passes.len() >= spec.successes as usize && failures.len() <= spec.failures as usize
    }

    fn supported_condition(&self, log: &[(Timestamp, Event, Vec<Effect>)]) -> bool {
        self.is_true(&self.spec.condition, &|probe| self.supported(log, probe))
            .unwrap_or(true)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// I-7, I-8: a pass rests on enough consecutive countable passes of every probe that it needs, through the whole
    /// bake, none of them failed; L-1: it always ends, no later than its deadline.
    #[test]
    fn a_pass_rests_on_evidence(script in script()) {
        let walk = script.run(None);
        let end = ended_at(&walk);
        prop_assert!(end <= at(10).after(script.spec.give_up));
        if passed(&walk) {
            let log = &walk.steps;
            prop_assert!(script.supported_condition(log), "passed without evidence");
            let begun = log.iter().rposition(|(now, _, _)| end.since(*now) >= script.spec.bake);
            for upto in begun.unwrap()..log.len() {
                // Events of the moment at which the bake began come one by one: judge after the last of them.
                let last_of_moment = log.get(upto + 1).is_none_or(|next| next.0 > log[upto].0);
                prop_assert!(!last_of_moment || script.supported_condition(&log[..=upto]), "the bake had a hole");
            }
            for probe in script.spec.probes.iter().filter(|probe| !probe.dry_run) {
                let alone = script.is_true(&script.spec.condition, &|p| p.name != probe.name);
                if alone == Some(false) {
                    let tally = Outcome::clone(&outcome(&walk));
                    let Outcome::Passed { evidence, .. } = tally else { unreachable!() };
                    let newest = evidence.iter().filter(|e| e.subject == probe.name.as_str()).map(|e| e.at).max();
                    prop_assert!(newest.is_some_and(|at| end.since(at) <= probe.max_age), "old evidence");
                }
            }
        }
    }

    /// I-7: take away the evidence of any one probe that the condition cannot do without, and the pass disappears.
    #[test]
    fn stripping_any_needed_evidence_removes_the_pass(script in script()) {
        for probe in &script.spec.probes {
            let without = script.is_true(&script.spec.condition, &|other| other.name != probe.name);
            if !probe.dry_run && without == Some(false) {
                prop_assert!(!passed(&script.run(Some(&probe.name))), "passed without {}", probe.name);
            }
        }
    }

    /// Dry-run probes change nothing but the report.
    #[test]
    fn dry_run_probes_change_nothing(script in script(), other in prop::collection::vec((say(), 0..6_000_u64), 0..12)) {
        let mut changed = script.clone();
        for probe in script.spec.probes.iter().filter(|probe| probe.dry_run) {
            changed.says.insert(probe.name.clone(), other.clone());
        }
        let (one, two) = (script.run(None), changed.run(None));
        prop_assert_eq!(passed(&one), passed(&two));
        prop_assert_eq!(ended_at(&one), ended_at(&two));
    }

    /// Any event in any order at any time, the clock going back too: every rule of the walk, and I-14.
    #[test]
    fn survives_any_order(
        script in script(),
        events in prop::collection::vec((0..20_000_u64, 0..12_u8, say(), 0..4_usize), 0..60),
    ) {
        let fresh = Gate::new(script.spec);
        let mut walk = Walk::new(fresh.clone());
        let mut now = at(10);
        walk.give(now, Event::Start).unwrap();
        for (step, what, say, who) in events {
            now = Timestamp::from_millis((now.as_millis() + step).saturating_sub(2_000));
            let of = name(["a", "b", "c", "nobody"][who]);
            let event = match what {
                0 => Some(Event::Start),
                1 => event_of(&of, Say::Denied, now),
                2 if step % 50 == 0 => Some(Event::Abort),
                2..=6 => {
                    now = now.max(walk.machine.deadline().map_or(now, |deadline| deadline.at));
                    Some(Event::Elapsed)
                }
                _ => event_of(&of, say, now),
            };
            if let Some(event) = event {
                let _ = walk.give(now, event);
            }
        }
        walk.check_replay(&fresh);
    }

    /// An `Elapsed` before the deadline changes nothing but the latest moment seen.
    #[test]
    fn an_early_elapsed_changes_nothing(script in script(), part in 0.0..1.0_f64) {
        let steps = script.run(None).steps;
        let mut gate = Gate::new(script.spec);
        for (now, event, _) in steps {
            gate.handle(now, event).unwrap();
            if let Some(deadline) = gate.deadline().filter(|deadline| deadline.at > now) {
                let between = now.after(deadline.at.since(now).mul_f64(part));
                let mut early = gate.clone();
                if between < deadline.at {
                    prop_assert_eq!(early.handle(between, Event::Elapsed).unwrap(), []);
                    prop_assert_eq!(early.state, gate.state.clone());
                }
            }
        }
    }
}
