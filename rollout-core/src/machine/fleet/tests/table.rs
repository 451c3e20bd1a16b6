//! Every pair of the table is met, and what belongs to nobody is refused.

use super::*;

/// A machine in every state, with a member under way where one can be.
fn in_every_state() -> Vec<Rig> {
    let idle = Rig::new(two_waves());
    let (releasing, _) = Rig::begun(two_waves());
    let mut gated = two_waves();
    gated.waves[0].gate = Some(gate());
    let (mut baking, _) = Rig::begun(gated.clone());
    baking.released("a");
    let (mut stopping, _) = Rig::begun(gated.clone());
    stopping.give(Event::Abort);
    let (mut unwinding, _) = Rig::begun(gated);
    unwinding.released("a");
    unwinding.give(Event::Abort);
    let (mut ended, _) = Rig::begun(two_waves());
    ended.ended("a", refused());
    vec![idle, releasing, baking, stopping, unwinding, ended]
}

fn every_event(rig: &Rig) -> Vec<Event> {
    let member = || name("a");
    let failed = |call| Event::CallFailed {
        member: member(),
        call,
        error: error(Retry::Later, Applied::Maybe),
    };
    vec![
        Event::Start,
        Event::Ended {
            member: member(),
            end: End::Released,
        },
        Event::StopSent { member: member() },
        Event::TakenBack {
            member: member(),
            end: BackEnd::AtLastKnownGood,
        },
        failed(Call::Run),
        failed(Call::Stop),
        failed(Call::TakeBack),
        sampled(rig, "canary", Verdict::Pass),
        Event::Elapsed,
        Event::Abort,
    ]
}

#[test]
fn every_pair_is_met_and_does_what_the_table_says() {
    let mut visited = Visited::<Fleet>::new();
    for which in 0..6 {
        for event in 0..10 {
            let mut rig = in_every_state().remove(which);
            let event = every_event(&rig).remove(event);
            // The walk holds it against the table.
            let _ = rig.walk.give(rig.now, event);
            visited.extend(rig.walk.visited);
        }
    }
    assert_eq!(never_visited::<Fleet>(&visited), []);
}

#[test]
fn what_is_about_nobody_is_refused() {
    let (mut rig, _) = Rig::begun(two_waves());
    let ended = |member: &str| Event::Ended {
        member: name(member),
        end: End::Released,
    };
    let why = |rig: &mut Rig, event| rig.walk.give(rig.now, event).expect_err("refused").why;
    assert_eq!(why(&mut rig, ended("z")), "the fleet has no member z");
    assert_eq!(why(&mut rig, ended("b")), "member b was not begun");
    let back = Event::CallFailed {
        member: name("a"),
        call: Call::TakeBack,
        error: error(Retry::Later, Applied::No),
    };
    assert_eq!(why(&mut rig, back), "member a is not being taken back");
    let mut gated = two_waves();
    gated.waves[0].gate = Some(gate());
    let (mut rig, _) = Rig::begun(gated);
    rig.released("a");
    let other = sampled(&rig, "rest", Verdict::Pass);
    assert_eq!(why(&mut rig, other), "there is no wave rest with a gate");
    let early = sampled(&rig, "canary", Verdict::Pass);
    assert!(why(&mut rig, early).contains("no sample was asked for yet"));
}

#[test]
fn a_late_answer_is_dropped_and_counts_for_nobody() {
    let (mut rig, _) = Rig::begun(draft(&[("all", &["a", "b", "c", "d"], 2)]));
    assert_eq!(begins(&rig.released("a")), ["c"]);
    assert_eq!(rig.ended("a", rolled_back()), [], "it has ended before");
    assert_eq!(rig.failed("a", Call::Run, error(Retry::Never, Applied::No)), []);
    assert_eq!(rig.state(), StateKind::Releasing);
    assert_eq!(rig.walk.machine.counts().released, 1);
}

#[test]
fn every_effect_but_a_sample_changes_something() {
    use crate::machine::Effect as _;
    let (member, until) = (name("a"), at(1));
    let all = [
        Effect::Begin {
            member: member.clone(),
            attempt: 3,
            until,
        },
        Effect::Resume {
            member: member.clone(),
            attempt: 3,
            until,
            stop: false,
        },
        Effect::TakeBack {
            member: member.clone(),
            attempt: 3,
            until,
        },
    ];
    assert!(all.iter().all(|effect| effect.mutates() && effect.attempt() == 3));
    let stop = Effect::Stop { member, until };
    assert_eq!((stop.mutates(), stop.attempt()), (true, 1));
}

#[test]
fn everybody_can_see_where_each_member_is() {
    let (mut rig, _) = Rig::begun(two_waves());
    assert_eq!(rig.walk.machine.wave().map(WaveName::as_str), Some("canary"));
    rig.released("a");
    rig.elapse();
    rig.now = at(65);
    rig.released("b");
    rig.ended("d", rolled_back());
    let standings = |rig: &Rig| -> Vec<(String, Standing)> {
        let all = rig.walk.machine.standings();
        all.into_iter()
            .map(|(member, standing)| (member.to_string(), standing))
            .collect()
    };
    let of = |all: &[(String, Standing)], member: &str| {
        all.iter()
            .find(|(name, _)| name == member)
            .map(|(_, standing)| standing.clone())
    };
    let all = standings(&rig);
    assert_eq!(of(&all, "a"), Some(Standing::Released { baked: true }));
    assert_eq!(of(&all, "b"), Some(Standing::Released { baked: false }));
    let under_way = Standing::UnderWay {
        since: at(60),
        stopping: true,
    };
    assert_eq!(of(&all, "c"), Some(under_way));
    assert_eq!(of(&all, "d"), Some(Standing::Ended(rolled_back())));
    rig.ended("c", aborted(rollout::LeftAt::Untouched));
    assert_eq!(
        of(&standings(&rig), "b"),
        Some(Standing::GoingBack { since: at(65) })
    );
    rig.back("b", BackEnd::AtLastKnownGood);
    assert_eq!(of(&standings(&rig), "b"), Some(Standing::TakenBack));
    rig.back("a", BackEnd::AtLastKnownGood);
    assert!(matches!(
        of(&standings(&rig), "a"),
        Some(Standing::Ended(End::RolledBack { .. }))
    ));
}
