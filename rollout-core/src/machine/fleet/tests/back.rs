//! What goes back, in which order, and what that comes to.

use super::*;

/// Both waves are out, and the last one of the second fails.
fn fails_late(vary: impl FnOnce(&mut Draft)) -> (Rig, Vec<Effect>) {
    let mut draft = draft(&[("one", &["a", "b"], 2), ("two", &["c", "d", "e", "f"], 4)]);
    vary(&mut draft);
    let (mut rig, _) = Rig::begun(draft);
    rig.released("b");
    rig.released("a");
    rig.elapse();
    for member in ["d", "c", "e"] {
        rig.released(member);
    }
    let effects = rig.ended("f", rolled_back());
    (rig, effects)
}

#[test]
fn newest_first_and_no_more_at_once_than_the_plan_allows() {
    let (mut rig, effects) = fails_late(|_| {});
    assert_eq!(
        taken_back(&effects),
        ["e", "c"],
        "in a wave the last one that was released first"
    );
    assert_eq!(taken_back(&rig.back("c", BackEnd::AtLastKnownGood)), ["d"]);
    assert_eq!(
        rig.back("e", BackEnd::AtLastKnownGood),
        [],
        "the older wave waits for the newer one"
    );
    assert_eq!(taken_back(&rig.back("d", BackEnd::AtLastKnownGood)), ["a", "b"]);
    rig.back("b", BackEnd::AtLastKnownGood);
    assert_eq!(rig.state(), StateKind::Unwinding);
    rig.back("a", BackEnd::AtLastKnownGood);
    assert!(matches!(rig.outcome(), Outcome::RolledBack { .. }));
}

#[test]
fn the_wave_goes_back_alone_where_the_plan_says_so() {
    let (mut rig, effects) = fails_late(|draft| {
        draft.policy.back = WayBack::Wave;
        draft.policy.back_at_once = 9;
    });
    assert_eq!(taken_back(&effects), ["e", "c", "d"]);
    for member in ["c", "d", "e"] {
        rig.back(member, BackEnd::AtLastKnownGood);
    }
    let outcome = rig.outcome();
    let Outcome::Stuck { stuck, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(stuck.reason, StuckReason::PartlyReleased);
    assert!(
        stuck.text.starts_with("2 of 6 members serve 2.4.0"),
        "{}",
        stuck.text
    );
    assert_eq!(end_of(&outcome, "a"), &MemberEnd::Ended(End::Released));
}

#[test]
fn nobody_else_goes_back_where_each_is_on_its_own() {
    let (rig, effects) = fails_late(|draft| draft.policy.back = WayBack::Member);
    assert_eq!(effects, []);
    let outcome = rig.outcome();
    let Outcome::Stuck { stuck, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(stuck.reason, StuckReason::PartlyReleased);
    assert!(stuck.text.contains("5 of 6 members"), "{}", stuck.text);
    assert!(
        stuck.text.contains("member f of wave two: rolled back"),
        "{}",
        stuck.text
    );
    assert_eq!(end_of(&outcome, "f"), &MemberEnd::Ended(rolled_back()));
}

#[test]
fn each_on_its_own_and_nobody_released_is_back() {
    let mut draft = two_waves();
    draft.policy.back = WayBack::Member;
    let (mut rig, _) = Rig::begun(draft);
    rig.ended("a", rolled_back());
    assert!(matches!(rig.outcome(), Outcome::RolledBack { .. }));
}

#[test]
fn an_abort_leaves_the_fleet_between_where_each_is_on_its_own() {
    let mut draft = two_waves();
    draft.policy.back = WayBack::Member;
    let (mut rig, _) = Rig::begun(draft);
    rig.released("a");
    rig.give(Event::Abort);
    let outcome = rig.outcome();
    let Outcome::Aborted { left_at, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(*left_at, LeftAt::Between { released: 1, of: 4 });
}

#[test]
fn one_that_cannot_go_back_is_named_and_the_rest_goes_back() {
    let (mut rig, _) = fails_late(|draft| draft.policy.back_at_once = 9);
    rig.back("c", BackEnd::Stuck(stuck("the image is gone")));
    rig.back("d", BackEnd::AtLastKnownGood);
    let effects = rig.back("e", BackEnd::Superseded { by: someone() });
    assert_eq!(taken_back(&effects), ["a", "b"]);
    rig.back("a", BackEnd::AtLastKnownGood);
    rig.back("b", BackEnd::AtLastKnownGood);
    let outcome = rig.outcome();
    let Outcome::Stuck { stuck, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(stuck.reason, StuckReason::RollbackFailed);
    assert!(
        stuck
            .text
            .starts_with("member c: the image is gone; it began with this: "),
        "{}",
        stuck.text
    );
    assert!(matches!(end_of(&outcome, "c"), MemberEnd::Ended(End::Stuck(_))));
    assert!(matches!(
        end_of(&outcome, "e"),
        MemberEnd::Ended(End::Superseded { .. })
    ));
    assert!(matches!(
        end_of(&outcome, "b"),
        MemberEnd::Ended(End::RolledBack { .. })
    ));
}

#[test]
fn one_that_was_superseded_is_left_to_them_and_the_rest_goes_back() {
    let (mut rig, _) = Rig::begun(two_waves());
    rig.released("a");
    rig.elapse();
    rig.ended("b", End::Superseded { by: someone() });
    let effects = rig.ended("c", aborted(rollout::LeftAt::LastKnownGood));
    assert_eq!(taken_back(&effects), ["a"]);
    rig.back("a", BackEnd::AtLastKnownGood);
    let outcome = rig.outcome();
    assert!(
        matches!(&outcome, Outcome::Superseded { by, .. } if *by == someone()),
        "{outcome:?}"
    );
}

#[test]
fn one_that_is_stuck_on_its_way_forward_is_not_touched_again() {
    let (mut rig, _) = Rig::begun(two_waves());
    rig.released("a");
    rig.elapse();
    rig.ended("b", End::Stuck(stuck("nothing helps")));
    let effects = rig.ended("c", aborted(rollout::LeftAt::LastKnownGood));
    assert_eq!(taken_back(&effects), ["a"]);
    rig.back("a", BackEnd::AtLastKnownGood);
    assert!(matches!(rig.outcome(), Outcome::Stuck { .. }));
}

#[test]
fn many_that_are_stuck_are_counted_and_a_few_are_named() {
    let members: Vec<String> = (0..20).map(|n| format!("m-{n:02}")).collect();
    let names: Vec<&str> = members.iter().map(String::as_str).collect();
    let (mut rig, _) = Rig::begun(draft(&[("all", &names, 20)]));
    for member in &names {
        rig.ended(member, End::Stuck(stuck("nothing helps")));
    }
    let outcome = rig.outcome();
    let Outcome::Stuck { stuck, members } = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        stuck.text.matches("nothing helps").count(),
        9,
        "eight, and the reason: {}",
        stuck.text
    );
    assert!(stuck.text.contains("; and 12 more members;"), "{}", stuck.text);
    assert_eq!(stuck.next, ["rollout status r-1"], "each command once");
    assert_eq!(members.len(), 20);
}

#[test]
fn going_back_is_said_again_until_it_is_final() {
    let (mut rig, _) = fails_late(|draft| draft.policy.back_at_once = 9);
    let effects = rig.failed("c", Call::TakeBack, error(Retry::Later, Applied::Maybe));
    assert!(
        matches!(&effects[..], [Effect::TakeBack { attempt: 2, member, .. }] if *member == name("c")),
        "an answer that was lost is asked for at once: {effects:?}"
    );
    let no = || error(Retry::Later, Applied::No);
    assert_eq!(rig.failed("c", Call::TakeBack, no()), [], "then after a while");
    assert_eq!(rig.failed("c", Call::TakeBack, no()), [], "which was counted");
    assert!(matches!(&rig.elapse()[..], [Effect::TakeBack { attempt: 3, .. }]));
    assert_eq!(
        rig.failed("d", Call::TakeBack, error(Retry::Never, Applied::No)),
        []
    );
    let later = rig.now.after(secs(30));
    rig.now = later;
    // It was under way for long, so that this is not one more in a row.
    assert_eq!(rig.failed("c", Call::TakeBack, no()), []);
    rig.elapse();
    rig.back("c", BackEnd::AtLastKnownGood);
    let effects = rig.back("e", BackEnd::AtLastKnownGood);
    assert_eq!(taken_back(&effects), ["a", "b"]);
    let effects = rig.elapse();
    assert_eq!(effects, []);
    let outcome = rig.outcome();
    let Outcome::Stuck { stuck, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        stuck.text.matches("it is not back within 3m 20s").count(),
        2,
        "{}",
        stuck.text
    );
    assert!(
        stuck
            .text
            .contains("member d: it cannot be taken back: test:Call: no"),
        "{}",
        stuck.text
    );
}
