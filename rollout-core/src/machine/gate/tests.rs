use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::error::{Error, ErrorKind};
use crate::id::{ContainerName, ImageDigest};
use crate::machine::testkit::{Visited, Walk, never_visited};
use crate::probe::Verdict;
use crate::service::Images;

mod edges;
mod evidence;
mod properties;
mod spec;

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

#[test]
fn abort_ends_it_in_every_state() {
    let mut walk = Walk::new(Gate::new(one()));
    walk.give(at(0), Event::Abort).unwrap();
    assert_eq!(why(&walk).cause, Cause::Aborted);
    assert!(walk.give(at(0), Event::Start).is_err());
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
