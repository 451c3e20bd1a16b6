//! Whether the environment is ready is asked before the first change.

use super::*;
use crate::evidence::Cause;
use crate::plan::rollback::Proof;
use crate::probe::ProbeTarget;

fn under(readiness: Proof) -> Run {
    let mut draft = Draft::from(plan(true));
    draft.policy.readiness = readiness;
    let mut run = Run::new(RolloutPlan::check(draft).expect("valid"));
    run.give(Event::Start);
    run
}

fn asks(effect: &Effect) -> bool {
    matches!(&effect.action, Action::SampleAlarm(request) if request.target == ProbeTarget::Readiness)
}

/// Answers the question for readiness so, and everything else well.
fn answered(readiness: Proof, verdict: Verdict) -> Outcome {
    let mut run = under(readiness);
    let asked = run
        .flight
        .iter()
        .position(asks)
        .expect("it is asked with all other preconditions");
    let step = run.flight.remove(asked).step;
    let sample = sample(verdict, run.now);
    run.give(Event::AlarmSampled { step, sample });
    run.until(|run| run.walk.machine.outcome().is_some());
    run.walk.machine.outcome().expect("it has ended")
}

#[test]
fn what_is_not_ready_is_refused_before_the_first_change() {
    for (readiness, verdict) in [
        (Proof::Known, Verdict::Fail),
        (Proof::Proven, Verdict::Fail),
        (Proof::Proven, Verdict::Unknown),
    ] {
        let outcome = answered(readiness, verdict);
        assert!(
            matches!(&outcome, Outcome::Refused { why } if why.cause == Cause::NotReady),
            "{readiness:?} {verdict:?}: {outcome:?}"
        );
    }
}

#[test]
fn what_is_ready_is_released_and_what_is_not_known_where_that_is_enough() {
    for (readiness, verdict) in [
        (Proof::Known, Verdict::Pass),
        (Proof::Proven, Verdict::Pass),
        (Proof::Known, Verdict::Unknown),
    ] {
        let outcome = answered(readiness, verdict);
        assert!(
            matches!(outcome, Outcome::Released { .. }),
            "{readiness:?} {verdict:?}: {outcome:?}"
        );
    }
}

#[test]
fn nothing_is_asked_where_the_plan_does_not_say_so() {
    assert!(!under(Proof::Unasked).flight.iter().any(asks));
}

/// A plan that does not say it is written as before there was the question, so that old journals are what they were.
#[test]
fn a_plan_that_does_not_ask_is_written_as_before() {
    let text = serde_json::to_string(&plan(true)).expect("plain data");
    assert!(!text.contains("readiness"), "{text}");
}
