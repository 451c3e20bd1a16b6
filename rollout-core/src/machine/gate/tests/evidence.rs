//! Which evidence counts, and what a condition makes of it.

use super::*;

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

/// Otherwise a driver would be told the same moment for ever.
#[test]
fn a_bake_that_is_over_waits_for_fresh_evidence_and_not_for_a_moment() {
    let mut spec = one();
    spec.probes[0].max_age = secs(10);
    let mut walk = Walk::new(Gate::new(spec));
    walk.give(at(10), Event::Start).unwrap();
    for second in [15, 25, 35] {
        walk.give(at(second), Event::Elapsed).unwrap();
        walk.give(at(second + 1), sample("a", at(second), Verdict::Pass))
            .unwrap();
    }
    walk.give(at(45), Event::Elapsed).unwrap();
    assert_eq!(walk.machine.deadline(), Some(Deadline::new(at(46), Wait::Bake)));
    assert_eq!(walk.give(at(46), Event::Elapsed).unwrap(), []);
    assert_eq!(
        walk.machine.state_kind(),
        StateKind::Baking,
        "its evidence is 11 s old"
    );
    assert_eq!(walk.machine.deadline(), Some(Deadline::new(at(49), Wait::Answer)));
    walk.give(at(47), sample("a", at(45), Verdict::Pass)).unwrap();
    assert!(passed(&walk));
}
