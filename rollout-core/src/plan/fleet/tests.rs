use core::time::Duration;

use super::*;
use crate::machine::gate::{Condition, ProbeSpec};
use crate::probe::ProbeTarget;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn draft() -> Draft {
    let wave = |name: &str, members: &[&str], at_once| WavePlan {
        name: name.parse().expect("valid"),
        members: members
            .iter()
            .map(|member| member.parse().expect("valid"))
            .collect(),
        at_once,
        bake: secs(60),
        gate: None,
    };
    Draft {
        run: "f-1".parse().expect("valid"),
        release: "2.4.0".to_owned(),
        waves: vec![wave("canary", &["a"], 1), wave("rest", &["b", "c", "d"], 2)],
        policy: FleetPolicy {
            bounds: FleetBounds::default(),
            under_way: UnderWay::Stop,
            back: WayBack::Fleet,
            back_at_once: 2,
            run_within: secs(600),
            stop_within: secs(300),
            back_within: secs(200),
            retry_every: secs(10),
            max_errors: 3,
        },
    }
}

fn gate() -> GatePlan {
    GatePlan {
        name: "steady".parse().expect("valid"),
        condition: Condition::Probe("alarms".parse().expect("valid")),
        probes: vec![ProbeSpec {
            name: "alarms".parse().expect("valid"),
            target: ProbeTarget::Alarms { names: vec![] },
            every: secs(10),
            successes: 2,
            failures: 0,
            errors: 2,
            max_age: secs(60),
            dry_run: false,
        }],
        warm_up: secs(5),
        bake: secs(20),
        give_up: secs(120),
        answer: secs(10),
    }
}

/// What is wrong with a draft that was good before.
fn wrong(spoil: impl FnOnce(&mut Draft)) -> Vec<String> {
    let mut spoiled = draft();
    FleetPlan::check(spoiled.clone()).expect("it is good");
    spoil(&mut spoiled);
    FleetPlan::check(spoiled).expect_err("it is not").0
}

#[test]
fn a_bad_plan_is_refused_by_name() {
    type Spoil = fn(&mut Draft);
    let cases: [(Spoil, &str); 17] = [
        (|d| d.waves.clear(), "a fleet needs at least one wave"),
        (|d| d.waves[1].members.clear(), "wave rest: it has no member"),
        (
            |d| d.waves[1].at_once = 0,
            "wave rest: no member may be in the air: `at_once` must be at least 1",
        ),
        (
            |d| d.waves[1].name = d.waves[0].name.clone(),
            "two waves are named canary",
        ),
        (
            |d| d.waves[1].members[2] = "a".parse().expect("valid"),
            "wave rest: member a is in the fleet twice: it is released once",
        ),
        (
            |d| d.waves[1].members[2] = "b".parse().expect("valid"),
            "wave rest: member b is in the fleet twice: it is released once",
        ),
        (
            |d| {
                d.waves[0].gate = Some(GatePlan {
                    answer: Duration::ZERO,
                    ..gate()
                });
            },
            "wave canary: gate steady: a sample has no time to be answered; `answer` must be longer than zero",
        ),
        (
            |d| d.policy.bounds.unbaked = Some(Share::Percent(20)),
            "`bounds.unbaked`: 20 % of a fleet of 4 is less than one member, so that nothing could ever begin",
        ),
        (
            |d| d.policy.bounds.in_the_air = Some(Share::Members(0)),
            "`bounds.in_the_air`: 0 members of a fleet of 4 is less than one member, so that nothing could ever begin",
        ),
        (
            |d| d.policy.bounds.in_the_air = Some(Share::Percent(101)),
            "`bounds.in_the_air` is 101 % of the fleet: a share is at most 100 %",
        ),
        (
            |d| {
                d.policy.bounds.unbaked = Some(Share::Percent(50));
                d.waves[1].gate = Some(gate());
            },
            "wave rest: its 3 members are baked together, by its gate, and `bounds.unbaked` allows 2 at once: split the wave, or raise the bound",
        ),
        (|d| d.policy.back_at_once = 0, "`back_at_once` must be at least 1"),
        (|d| d.policy.max_errors = 0, "`max_errors` must be at least 1"),
        (
            |d| d.policy.run_within = Duration::ZERO,
            "`run_within` must be longer than zero",
        ),
        (
            |d| d.policy.stop_within = Duration::ZERO,
            "`stop_within` must be longer than zero",
        ),
        (
            |d| d.policy.back_within = Duration::ZERO,
            "`back_within` must be longer than zero",
        ),
        (
            |d| d.policy.retry_every = Duration::ZERO,
            "`retry_every` must be longer than zero",
        ),
    ];
    for (spoil, expected) in cases {
        assert_eq!(wrong(spoil), [expected]);
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let found = wrong(|d| {
        d.waves[0].members.clear();
        d.waves[1].at_once = 0;
        d.policy.back_at_once = 0;
    });
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn a_share_is_rounded_down() {
    assert_eq!(Share::Percent(1).of(10_000), 100);
    assert_eq!(Share::Percent(33).of(10), 3);
    assert_eq!(Share::Percent(100).of(u32::MAX), u32::MAX);
    assert_eq!(Share::Members(7).of(3), 7);
}

#[test]
fn members_are_known_by_number_and_name() {
    let plan = FleetPlan::check(draft()).expect("valid");
    let all = ["a", "b", "c", "d"];
    assert_eq!(plan.size(), 4);
    for (number, member) in (0..).zip(all) {
        let member: MemberName = member.parse().expect("valid");
        assert_eq!(plan.number(&member), Some(number));
        assert_eq!(plan.member(number), Some(&member));
        assert_eq!(plan.wave_of(number), usize::from(number > 0));
    }
    assert_eq!((plan.start(0), plan.start(1), plan.start(2)), (0, 1, 4));
    assert_eq!(plan.member(4), None);
}

#[test]
fn a_plan_survives_storage_and_is_checked_again() {
    let mut draft = draft();
    draft.waves[0].gate = Some(gate());
    draft.policy.bounds.unbaked = Some(Share::Percent(75));
    let plan = FleetPlan::check(draft).expect("valid");
    let text = serde_json::to_string(&plan).expect("plain data");
    assert_eq!(serde_json::from_str::<FleetPlan>(&text).expect("the same"), plan);
    let bad = text.replace("\"at_once\":2,\"bake\"", "\"at_once\":0,\"bake\"");
    assert_ne!(bad, text);
    let error = serde_json::from_str::<FleetPlan>(&bad).expect_err("refused");
    assert!(error.to_string().contains("wave rest"), "{error}");
}

#[test]
fn the_worst_case_adds_up() {
    let mut draft = draft();
    let worst = FleetPlan::check(draft.clone()).expect("valid").worst();
    // One round and a minute; two rounds and a minute.
    assert_eq!(worst.forward, secs(600 + 60 + 1_200 + 60));
    // The canary one, the others in two rounds.
    assert_eq!(worst.back, secs(300 + 200 + 400));
    draft.policy.bounds.unbaked = Some(Share::Members(1));
    draft.policy.back = WayBack::Wave;
    let worst = FleetPlan::check(draft.clone()).expect("valid").worst();
    assert_eq!(worst.forward, secs(600 + 60 + 3 * (600 + 60) + 60));
    assert_eq!(worst.back, secs(300 + 400));
    draft.waves[0].gate = Some(gate());
    draft.policy.back = WayBack::Member;
    let worst = FleetPlan::check(draft).expect("valid").worst();
    assert_eq!(
        worst.forward,
        secs(600 + 130 + 3 * (600 + 60) + 60),
        "the gate takes longer than the bake"
    );
    assert_eq!(worst.back, secs(300));
}

#[test]
fn a_member_name_is_no_path() {
    for bad in ["", ".", "..", ".hidden", "a/b", "a b", "é"] {
        assert!(bad.parse::<MemberName>().is_err(), "{bad}");
    }
    for good in ["cell-1", "eu-central-1.a", "A_b"] {
        assert!(good.parse::<MemberName>().is_ok(), "{good}");
    }
}
