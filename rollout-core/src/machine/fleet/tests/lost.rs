//! Calls that fail, and answers that nobody will ever hear: a runner that is gone, most of all.

use super::*;

fn later() -> ErrorRecord {
    error(Retry::Later, Applied::No)
}

fn unheard() -> ErrorRecord {
    error(Retry::Later, Applied::Maybe)
}

#[test]
fn a_member_whose_beginning_has_no_answer_is_resumed_and_not_begun_twice() {
    let (mut rig, _) = Rig::begun(two_waves());
    rig.now = at(50);
    let effects = rig.failed("a", Call::Run, unheard());
    let resume = Effect::Resume {
        member: name("a"),
        attempt: 2,
        until: at(RUN),
        stop: false,
    };
    assert_eq!(
        effects,
        [resume],
        "at once, and its time counts from its beginning"
    );
    rig.released("a");
    assert_eq!(rig.state(), StateKind::Baking);
}

#[test]
fn a_beginning_that_was_refused_for_good_but_may_have_happened_is_resumed_too() {
    let (mut rig, _) = Rig::begun(two_waves());
    let effects = rig.failed("a", Call::Run, error(Retry::Never, Applied::Maybe));
    assert!(matches!(&effects[..], [Effect::Resume { .. }]), "{effects:?}");
}

#[test]
fn what_is_known_not_to_have_begun_is_begun_again() {
    let (mut rig, _) = Rig::begun(two_waves());
    assert_eq!(rig.failed("a", Call::Run, later()), []);
    assert_eq!(
        rig.walk.machine.deadline(),
        Some(Deadline::new(at(10), Wait::Retry))
    );
    let effects = rig.elapse();
    assert!(
        matches!(&effects[..], [Effect::Begin { attempt: 2, .. }]),
        "{effects:?}"
    );
    rig.failed("a", Call::Run, later());
    assert_eq!(
        rig.walk.machine.deadline(),
        Some(Deadline::new(at(30), Wait::Retry)),
        "pauses double"
    );
    assert_eq!(
        rig.failed("a", Call::Run, later()),
        [],
        "nobody waits for an answer"
    );
    rig.elapse();
    assert_eq!(rig.failed("a", Call::Run, later()), []);
    let outcome = rig.outcome();
    let Outcome::Refused { why, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    assert!(why.text.contains("it could not be begun: test:Call: no"), "{why}");
}

#[test]
fn a_beginning_that_is_refused_for_good_is_a_refusal() {
    let (mut rig, _) = Rig::begun(two_waves());
    rig.failed("a", Call::Run, error(Retry::Never, Applied::No));
    assert!(matches!(rig.outcome(), Outcome::Refused { .. }));
}

#[test]
fn a_run_that_cannot_be_gone_on_with_is_stuck() {
    let (mut rig, _) = Rig::begun(two_waves());
    rig.failed("a", Call::Run, unheard());
    assert_eq!(rig.failed("a", Call::Run, later()), []);
    assert!(matches!(&rig.elapse()[..], [Effect::Resume { attempt: 3, .. }]));
    rig.failed("a", Call::Run, later());
    let outcome = rig.outcome();
    let Outcome::Stuck { stuck, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(stuck.reason, StuckReason::Ambiguous, "{stuck:?}");
    assert!(!stuck.next.is_empty());
    let denied = Error::new(ErrorKind::PermissionDenied, "test:Call", "no").record();
    let (mut rig, _) = Rig::begun(two_waves());
    rig.failed("a", Call::Run, unheard());
    rig.failed("a", Call::Run, denied);
    let outcome = rig.outcome();
    assert!(
        matches!(&outcome, Outcome::Stuck { stuck, .. } if stuck.reason == StuckReason::PermissionDenied)
    );
}

/// A long run whose runner dies every quarter of an hour is not given up for that.
#[test]
fn failures_that_are_far_apart_are_not_in_a_row() {
    let mut draft = two_waves();
    draft.policy.run_within = secs(36_000);
    let (mut rig, _) = Rig::begun(draft);
    for crash in 1..=10 {
        rig.now = at(crash * 900);
        let effects = rig.failed("a", Call::Run, unheard());
        let effects = if effects.is_empty() { rig.elapse() } else { effects };
        assert!(
            matches!(&effects[..], [Effect::Resume { .. }]),
            "{crash}: {effects:?}"
        );
    }
}

#[test]
fn one_that_waits_to_begin_does_not_begin_after_a_failure() {
    for under_way in [UnderWay::Stop, UnderWay::Finish] {
        let mut draft = draft(&[("all", &["a", "b", "c"], 2)]);
        draft.policy.under_way = under_way;
        let (mut rig, _) = Rig::begun(draft);
        rig.failed("a", Call::Run, later());
        let effects = rig.ended("b", rolled_back());
        assert_eq!(effects, [], "{under_way:?}");
        let outcome = rig.outcome();
        assert!(matches!(
            end_of(&outcome, "a"),
            MemberEnd::Ended(End::Refused { .. })
        ));
        assert_eq!(end_of(&outcome, "c"), &MemberEnd::NotBegun);
    }
}

#[test]
fn one_that_fails_to_begin_after_another_has_failed_is_not_begun_again() {
    let mut draft = draft(&[("all", &["a", "b"], 2)]);
    draft.policy.under_way = UnderWay::Finish;
    let (mut rig, _) = Rig::begun(draft);
    rig.ended("b", rolled_back());
    assert_eq!(rig.failed("a", Call::Run, later()), []);
    let outcome = rig.outcome();
    assert!(matches!(
        end_of(&outcome, "a"),
        MemberEnd::Ended(End::Refused { .. })
    ));
}

/// One member's time is up in the moment in which another is due to be begun once more.
#[test]
fn nothing_begins_in_the_moment_in_which_another_fails() {
    let mut draft = draft(&[("all", &["a", "b"], 2)]);
    draft.policy.run_within = secs(10);
    let (mut rig, _) = Rig::begun(draft);
    rig.failed("b", Call::Run, later());
    assert_eq!(stopped(&rig.elapse()), ["a"]);
    assert_eq!(rig.now, at(10));
    rig.ended("a", aborted(rollout::LeftAt::LastKnownGood));
    let outcome = rig.outcome();
    assert!(matches!(
        end_of(&outcome, "b"),
        MemberEnd::Ended(End::Refused { .. })
    ));
}

#[test]
fn a_runner_that_died_while_it_stopped_goes_on_stopping() {
    let (mut rig, _) = Rig::begun(draft(&[("all", &["a", "b", "c"], 2)]));
    rig.ended("b", rolled_back());
    // The driver that goes on tells of every effect without an answer.
    let effects = rig.failed("a", Call::Run, unheard());
    assert!(
        matches!(&effects[..], [Effect::Resume { stop: true, .. }]),
        "{effects:?}"
    );
    assert_eq!(rig.failed("a", Call::Stop, unheard()), []);
    assert_eq!(stopped(&rig.elapse()), ["a"], "the word is said again");
    rig.give(Event::StopSent { member: name("a") });
    rig.ended("a", aborted(rollout::LeftAt::LastKnownGood));
    assert!(matches!(rig.outcome(), Outcome::RolledBack { .. }));
}

#[test]
fn a_word_to_stop_that_nobody_takes_is_said_a_few_times_and_the_member_is_then_named() {
    let (mut rig, _) = Rig::begun(draft(&[("all", &["a", "b"], 2)]));
    rig.ended("b", rolled_back());
    for _ in 0..2 {
        assert_eq!(rig.failed("a", Call::Stop, later()), []);
        assert_eq!(rig.failed("a", Call::Stop, later()), [], "which was counted");
        assert_eq!(stopped(&rig.elapse()), ["a"]);
    }
    rig.failed("a", Call::Stop, later());
    assert_eq!(
        rig.walk.machine.deadline(),
        Some(Deadline::new(at(STOP), Wait::GiveUp))
    );
    rig.elapse();
    let outcome = rig.outcome();
    assert!(matches!(end_of(&outcome, "a"), MemberEnd::Ended(End::Stuck(_))));
}

#[test]
fn one_that_waits_to_be_resumed_is_told_to_stop_there() {
    let (mut rig, _) = Rig::begun(draft(&[("all", &["a", "b"], 2)]));
    rig.failed("a", Call::Run, unheard());
    rig.failed("a", Call::Run, later());
    assert_eq!(stopped(&rig.ended("b", rolled_back())), ["a"]);
    let effects = rig.elapse();
    assert!(
        matches!(&effects[..], [Effect::Resume { stop: true, .. }]),
        "{effects:?}"
    );
}
