//! The edges of each rule: the last moment that counts, and the first that does not.

use super::*;
use crate::machine::gate::tally::Tally;

fn taken(when: Timestamp, verdict: Verdict) -> Sample {
    match sample("a", when, verdict) {
        Event::Sampled { sample, .. } => sample,
        other @ (Event::Start | Event::SampleFailed { .. } | Event::Elapsed | Event::Abort) => {
            panic!("{other:?}")
        }
    }
}

/// What the samples of probe `a` add up to, each told at the moment given with it.
fn tally(spec: &Spec, samples: &[(Timestamp, Sample)]) -> Tally {
    let mut tally = Tally::new(at(0));
    for (told, sample) in samples {
        tally.count(&spec.probes[0], &spec.subject, *told, sample.clone());
    }
    tally
}

#[test]
fn data_from_the_moment_of_the_change_and_data_of_the_greatest_age_count() {
    let spec = one();
    let from_the_change = [(at(10), taken(T0, Verdict::Pass))];
    assert_eq!(tally(&spec, &from_the_change).passes, 1);
    let oldest = [(at(40), taken(at(10), Verdict::Pass))];
    assert_eq!(tally(&spec, &oldest).passes, 1);
    let older = [(at(41), taken(at(10), Verdict::Pass))];
    assert_eq!(tally(&spec, &older).passes, 0);
}

#[test]
fn a_run_breaks_when_nobody_has_looked_for_longer_than_the_schedule_allows() {
    let spec = one();
    let mut tally = tally(&spec, &[(at(10), taken(at(10), Verdict::Pass))]);
    // 30 s of age, 10 s between samples, 4 s for an answer.
    tally.expire(&spec.probes[0], spec.answer, at(54));
    assert_eq!(tally.passes, 1);
    tally.expire(
        &spec.probes[0],
        spec.answer,
        at(54).after(Duration::from_millis(1)),
    );
    assert_eq!(tally.passes, 0);
}

#[test]
fn a_failure_at_the_moment_of_a_pass_is_a_failure() {
    let both = [
        (at(10), taken(at(10), Verdict::Pass)),
        (at(11), taken(at(10), Verdict::Fail)),
    ];
    assert_eq!(tally(&one(), &both).failures, 1);
}

#[test]
fn all_evidence_is_what_speaks_against_it_and_the_last_that_counted_once() {
    let spec = one();
    let details = |samples: &[(Timestamp, Sample)]| -> Vec<String> {
        let evidence = tally(&spec, samples).all_evidence(&spec.probes[0]);
        evidence.into_iter().map(|evidence| evidence.detail).collect()
    };
    let fail = (at(10), taken(at(10), Verdict::Fail));
    assert_eq!(
        details(std::slice::from_ref(&fail)),
        [format!("Fail at {}", at(10))]
    );
    let then_pass = [fail, (at(20), taken(at(20), Verdict::Pass))];
    assert_eq!(
        details(&then_pass),
        [format!("Fail at {}", at(10)), format!("Pass at {}", at(20))]
    );
}

#[test]
fn a_sample_without_evidence_still_says_what_it_was() {
    let mut bare = taken(at(10), Verdict::Fail);
    bare.evidence.clear();
    let evidence = tally(&one(), &[(at(10), bare)]).all_evidence(&one().probes[0]);
    let said: Vec<_> = evidence.iter().map(|evidence| evidence.detail.as_str()).collect();
    assert_eq!(said, ["failed"]);
}

#[test]
fn how_often_it_failed_is_told() {
    use Verdict::Fail;
    let mut strict = one();
    strict.probes[0].failures = 0;
    let text = why(&drive(&strict, &verdicts(&[Fail]))).text;
    assert!(text.contains("probe a failed once, 0 allowed"), "{text}");
    let text = why(&drive(&one(), &verdicts(&[Fail, Fail]))).text;
    assert!(text.contains("probe a failed 2 times, 1 allowed"), "{text}");
}

#[test]
fn what_an_unknown_sample_says_is_told() {
    let text = why(&drive(&one(), &constant(Verdict::Unknown))).text;
    assert!(text.contains(": Unknown at "), "{text}");
}

/// Holds from 205 s on; 210 s is the end.
fn holds_too_late() -> Walk<Gate> {
    let mut walk = Walk::new(Gate::new(one()));
    walk.give(at(10), Event::Start).unwrap();
    for second in (15..=205).step_by(10) {
        let verdict = if second < 195 {
            Verdict::Unknown
        } else {
            Verdict::Pass
        };
        walk.give(at(second), Event::Elapsed).unwrap();
        walk.give(at(second), sample("a", at(second), verdict)).unwrap();
    }
    assert_eq!(walk.machine.state_kind(), StateKind::Baking);
    walk
}

#[test]
fn a_bake_that_cannot_end_in_time_is_given_up() {
    let mut walk = holds_too_late();
    walk.give(at(210), Event::Elapsed).unwrap();
    assert_eq!(why(&walk).cause, Cause::GateUnknown);
}

#[test]
fn a_runner_that_slept_past_the_end_does_not_pass_on_a_bake_that_was_too_late() {
    let mut walk = holds_too_late();
    walk.give(at(226), Event::Elapsed).unwrap();
    assert!(!passed(&walk));
}

/// `validate` refuses it; the machine ends all the same.
#[test]
fn a_gate_whose_time_is_up_before_it_has_warmed_up_ends() {
    let mut spec = one();
    spec.give_up = secs(2);
    let mut walk = Walk::new(Gate::new(spec));
    walk.give(at(10), Event::Start).unwrap();
    assert_eq!(walk.machine.deadline(), Some(Deadline::new(at(12), Wait::GiveUp)));
    walk.give(at(12), Event::Elapsed).unwrap();
    assert_eq!(why(&walk).cause, Cause::GateUnknown);
}

fn dry(text: &str) -> ProbeSpec {
    ProbeSpec {
        dry_run: true,
        ..probe(text)
    }
}

/// `a` and `b` fail for good; every other probe passes.
fn two_fail(of: &ProbeName, _: usize, now: Timestamp) -> Option<(Duration, Event)> {
    let verdict = if ["a", "b"].contains(&of.as_str()) {
        Verdict::Fail
    } else {
        Verdict::Pass
    };
    Some((Duration::ZERO, sample(of.as_str(), now, verdict)))
}

#[test]
fn only_live_probes_of_the_condition_are_blamed() {
    // `b` has failed too when `a` does.
    let both = Condition::All(vec![leaf("a"), leaf("b")]);
    let text = why(&drive(&spec(both, vec![dry("b"), probe("a")]), &two_fail)).text;
    assert!(text.contains("probe a") && !text.contains("probe b"), "{text}");
    // One that the condition does not name; `validate` refuses it, and it is not blamed either.
    let mut odd = one();
    odd.probes.insert(0, probe("b"));
    let text = why(&drive(&odd, &two_fail)).text;
    assert!(text.contains("probe a") && !text.contains("probe b"), "{text}");
}

#[test]
fn a_pass_names_the_dry_run_probes_that_would_have_failed_it_and_no_others() {
    let spec = spec(
        Condition::Any(vec![leaf("a"), leaf("b"), leaf("c"), leaf("d")]),
        vec![probe("a"), dry("b"), probe("c"), dry("d")],
    );
    let Outcome::Passed {
        would_have_failed, ..
    } = outcome(&drive(&spec, &two_fail))
    else {
        panic!("`c` passes")
    };
    assert_eq!(would_have_failed, [name("b")]);
}

#[test]
fn a_spec_may_be_as_tight_as_its_own_rule() {
    // Warm-up 5 s, one more sample 10 s, bake 20 s; and data as old as the schedule is wide.
    let mut tight = one();
    tight.give_up = secs(35);
    tight.probes[0].max_age = secs(10);
    assert_eq!(tight.validate(), Ok(()));
    tight.give_up = secs(34);
    assert!(tight.validate().is_err());

    // Both needed: the slower one, 60 s, counts. In a dry run it holds nothing back.
    let slow = |dry_run| ProbeSpec {
        every: secs(60),
        max_age: secs(60),
        dry_run,
        ..probe("b")
    };
    let mut both = spec(
        Condition::All(vec![leaf("a"), leaf("b")]),
        vec![probe("a"), slow(false)],
    );
    both.give_up = secs(85);
    assert_eq!(both.validate(), Ok(()));
    both.give_up = secs(84);
    assert!(both.validate().is_err());
    both.probes[1] = slow(true);
    both.give_up = secs(35);
    assert_eq!(both.validate(), Ok(()));
}

#[test]
fn some_of_nothing_is_an_empty_condition() {
    let mut empty = one();
    empty.condition = Condition::Any(vec![
        leaf("a"),
        Condition::AtLeast {
            count: 1,
            of: Vec::new(),
        },
    ]);
    assert_eq!(empty.validate(), Err(SpecError::EmptyCondition));
}
