use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::error::{Applied, Error, ErrorKind, Retry};
use crate::evidence::{Cause, StuckReason};
use crate::machine::gate::{Condition, ProbeSpec};
use crate::machine::testkit::{Visited, Walk, never_visited};
use crate::plan::GatePlan;
use crate::plan::fleet::{Draft, FleetBounds, FleetPolicy, Share, UnderWay, WavePlan, WayBack};
use crate::probe::{ProbeTarget, Sample, Verdict};

mod back;
mod lost;
mod properties;
mod size;
mod table;

const BEGAN: Timestamp = Timestamp::from_millis(1_000_000_000);
const RUN: u64 = 600;
const STOP: u64 = 300;
const BACK: u64 = 200;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn at(seconds: u64) -> Timestamp {
    BEGAN.after(secs(seconds))
}

fn name(member: &str) -> MemberName {
    member.parse().expect("valid")
}

/// Waves of members, so many at once; a minute of bake time after each.
fn draft(waves: &[(&str, &[&str], u32)]) -> Draft {
    let wave = |(name, members, at_once): &(&str, &[&str], u32)| WavePlan {
        name: name.parse().expect("valid"),
        members: members
            .iter()
            .map(|member| member.parse().expect("valid"))
            .collect(),
        at_once: *at_once,
        bake: secs(60),
        gate: None,
    };
    Draft {
        run: "f-1".parse().expect("valid"),
        release: "2.4.0".to_owned(),
        waves: waves.iter().map(wave).collect(),
        policy: FleetPolicy {
            bounds: FleetBounds::default(),
            under_way: UnderWay::Stop,
            back: WayBack::Fleet,
            back_at_once: 2,
            run_within: secs(RUN),
            stop_within: secs(STOP),
            back_within: secs(BACK),
            retry_every: secs(10),
            max_errors: 3,
        },
    }
}

/// A wave of one and a wave of three, two of them at once.
fn two_waves() -> Draft {
    draft(&[("canary", &["a"], 1), ("rest", &["b", "c", "d"], 2)])
}

fn gate() -> GatePlan {
    GatePlan {
        name: "steady".parse().expect("valid"),
        condition: Condition::Probe("alarms".parse().expect("valid")),
        probes: vec![ProbeSpec {
            name: "alarms".parse().expect("valid"),
            target: ProbeTarget::Alarms {
                names: vec!["cell-5xx".to_owned()],
            },
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

struct Rig {
    walk: Walk<Fleet>,
    fresh: Fleet,
    now: Timestamp,
}

impl Rig {
    fn new(draft: Draft) -> Self {
        let fresh = Fleet::new(FleetPlan::check(draft).expect("a valid plan"));
        Self {
            walk: Walk::new(fresh.clone()),
            fresh,
            now: BEGAN,
        }
    }

    /// One that has begun.
    fn begun(draft: Draft) -> (Self, Vec<Effect>) {
        let mut rig = Self::new(draft);
        let effects = rig.give(Event::Start);
        (rig, effects)
    }

    fn give(&mut self, event: Event) -> Vec<Effect> {
        self.walk.give(self.now, event).expect("it is taken")
    }

    fn ended(&mut self, member: &str, end: End) -> Vec<Effect> {
        self.give(Event::Ended {
            member: name(member),
            end,
        })
    }

    fn released(&mut self, member: &str) -> Vec<Effect> {
        self.ended(member, End::Released)
    }

    fn back(&mut self, member: &str, end: BackEnd) -> Vec<Effect> {
        self.give(Event::TakenBack {
            member: name(member),
            end,
        })
    }

    fn failed(&mut self, member: &str, call: Call, error: ErrorRecord) -> Vec<Effect> {
        self.give(Event::CallFailed {
            member: name(member),
            call,
            error,
        })
    }

    /// Time passes until the machine wants to be called.
    fn elapse(&mut self) -> Vec<Effect> {
        self.now = self.walk.machine.deadline().expect("it waits for something").at;
        self.give(Event::Elapsed)
    }

    fn state(&self) -> StateKind {
        self.walk.machine.state_kind()
    }

    fn outcome(&self) -> Outcome {
        self.walk.check_replay(&self.fresh);
        self.walk.machine.outcome().expect("it has ended")
    }
}

/// What is begun, in order.
fn begins(effects: &[Effect]) -> Vec<&str> {
    let begin = |effect: &'_ Effect| matches!(effect, Effect::Begin { .. });
    assert!(effects.iter().all(begin), "{effects:?}");
    effects.iter().map(member_of).collect()
}

fn member_of(effect: &Effect) -> &str {
    match effect {
        Effect::Begin { member, .. }
        | Effect::Resume { member, .. }
        | Effect::Stop { member, .. }
        | Effect::TakeBack { member, .. } => member.as_str(),
        Effect::TakeSample { wave, .. } => wave.as_str(),
    }
}

fn taken_back(effects: &[Effect]) -> Vec<&str> {
    let back = |effect: &'_ Effect| matches!(effect, Effect::TakeBack { .. });
    assert!(effects.iter().all(back), "{effects:?}");
    effects.iter().map(member_of).collect()
}

fn stopped(effects: &[Effect]) -> Vec<&str> {
    let stop = |effect: &'_ Effect| matches!(effect, Effect::Stop { .. });
    assert!(effects.iter().all(stop), "{effects:?}");
    effects.iter().map(member_of).collect()
}

fn rolled_back() -> End {
    End::RolledBack {
        why: Box::new(Reason::new(Cause::OutOfMemory, "service web: out of memory")),
    }
}

fn refused() -> End {
    End::Refused {
        why: Box::new(Reason::new(Cause::IdentityMismatch, "another account")),
    }
}

const fn aborted(left_at: rollout::LeftAt) -> End {
    End::Aborted { left_at }
}

fn stuck(text: &str) -> Box<Stuck> {
    Box::new(Stuck {
        reason: StuckReason::RollbackFailed,
        text: text.to_owned(),
        evidence: Vec::new(),
        next: vec!["rollout status r-1".to_owned()],
    })
}

fn someone() -> Box<Superseding> {
    Box::new(Superseding::Record(Reason::new(
        Cause::DnsConflict,
        "it says something else",
    )))
}

fn error(retry: Retry, applied: Applied) -> ErrorRecord {
    Error::new(ErrorKind::Unavailable, "test:Call", "no")
        .retry(retry)
        .applied(applied)
        .record()
}

fn end_of<'a>(outcome: &'a Outcome, member: &str) -> &'a MemberEnd {
    &outcome.members()[&name(member)]
}

fn sampled(rig: &Rig, wave: &str, verdict: Verdict) -> Event {
    let sample = Sample {
        at: rig.now,
        verdict,
        images: None,
        evidence: Vec::new(),
    };
    Event::Gate {
        wave: wave.parse().expect("valid"),
        event: gate::Event::Sampled {
            probe: "alarms".parse().expect("valid"),
            sample,
        },
    }
}

#[test]
fn waves_go_out_in_order_each_baked_before_the_next() {
    let (mut rig, effects) = Rig::begun(two_waves());
    let until = at(RUN);
    let first = Effect::Begin {
        member: name("a"),
        attempt: 1,
        until,
    };
    assert_eq!(effects, [first]);
    rig.now = at(100);
    assert_eq!(rig.released("a"), []);
    assert_eq!(rig.state(), StateKind::Baking);
    let bake = Deadline::new(at(160), Wait::Bake);
    assert_eq!(rig.walk.machine.deadline(), Some(bake));
    rig.now = at(159);
    assert_eq!(rig.give(Event::Elapsed), [], "a moment too early");
    assert_eq!(begins(&rig.elapse()), ["b", "c"]);
    assert_eq!(begins(&rig.released("c")), ["d"], "as soon as there is room");
    assert!(rig.released("b").is_empty());
    assert!(rig.released("d").is_empty());
    rig.elapse();
    let outcome = rig.outcome();
    let Outcome::Released { members } = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(members.len(), 4);
    assert!(
        members
            .values()
            .all(|end| *end == MemberEnd::Ended(End::Released))
    );
}

#[test]
fn a_wave_that_is_larger_than_the_bound_rolls() {
    let mut draft = draft(&[("all", &["a", "b", "c", "d", "e"], 3)]);
    draft.policy.bounds.unbaked = Some(Share::Members(2));
    let (mut rig, effects) = Rig::begun(draft);
    assert_eq!(begins(&effects), ["a", "b"]);
    rig.now = at(10);
    assert_eq!(
        begins(&rig.released("a")),
        [""; 0],
        "one in the air, one not baked"
    );
    rig.now = at(20);
    assert_eq!(begins(&rig.released("b")), [""; 0]);
    assert_eq!(
        rig.walk.machine.deadline(),
        Some(Deadline::new(at(70), Wait::Bake))
    );
    assert_eq!(begins(&rig.elapse()), ["c"]);
    assert_eq!(begins(&rig.elapse()), ["d"]);
    assert_eq!(rig.now, at(80));
    rig.now = at(90);
    rig.released("d");
    rig.released("c");
    assert_eq!(
        rig.walk.machine.deadline(),
        Some(Deadline::new(at(150), Wait::Bake))
    );
    assert_eq!(begins(&rig.elapse()), ["e"], "two have baked, one member is left");
    rig.released("e");
    assert_eq!(rig.state(), StateKind::Baking);
    rig.elapse();
    assert!(matches!(rig.outcome(), Outcome::Released { .. }));
}

#[test]
fn no_more_are_in_the_air_than_the_fleet_allows_whatever_the_wave_says() {
    let mut draft = draft(&[("all", &["a", "b", "c", "d"], 4)]);
    draft.policy.bounds.in_the_air = Some(Share::Percent(50));
    let (mut rig, effects) = Rig::begun(draft);
    assert_eq!(begins(&effects), ["a", "b"]);
    assert_eq!(begins(&rig.released("a")), ["c"]);
    let counts = rig.walk.machine.counts();
    assert_eq!(
        (counts.in_the_air, counts.released, counts.begun, counts.of),
        (2, 1, 3, 4)
    );
}

#[test]
fn without_bake_time_the_next_wave_begins_at_once() {
    let mut draft = two_waves();
    draft.waves[0].bake = Duration::ZERO;
    let (mut rig, _) = Rig::begun(draft);
    assert_eq!(begins(&rig.released("a")), ["b", "c"]);
}

#[test]
fn a_gate_must_pass_before_the_next_wave_begins() {
    let mut draft = two_waves();
    draft.waves[0].gate = Some(gate());
    let (mut rig, _) = Rig::begun(draft);
    assert_eq!(rig.released("a"), []);
    let effects = rig.elapse();
    assert!(matches!(&effects[..], [Effect::TakeSample { wave, request }]
            if wave.as_str() == "canary" && request.subject.changed_at == BEGAN));
    assert_eq!(rig.now, at(5), "after the warm-up");
    let mut begun = Vec::new();
    for _ in 0..20 {
        let event = sampled(&rig, "canary", Verdict::Pass);
        begun.extend(rig.give(event));
        if rig.state() != StateKind::Baking {
            break;
        }
        begun.extend(rig.elapse());
        begun.retain(|effect| !matches!(effect, Effect::TakeSample { .. }));
    }
    assert_eq!(begins(&begun), ["b", "c"]);
    assert_eq!(
        rig.now,
        at(60),
        "the gate has passed before, and the bake time counts besides"
    );
    // A late sample of the first wave is nobody's any more.
    let late = sampled(&rig, "canary", Verdict::Fail);
    assert_eq!(rig.give(late), []);
}

#[test]
fn a_gate_that_takes_longer_than_the_bake_holds_the_next_wave_back() {
    let mut draft = two_waves();
    draft.waves[0].gate = Some(gate());
    draft.waves[0].bake = Duration::ZERO;
    let (mut rig, _) = Rig::begun(draft);
    assert_eq!(rig.released("a"), [], "no bake time, but a gate");
    rig.elapse();
    let event = sampled(&rig, "canary", Verdict::Pass);
    assert_eq!(rig.give(event), [], "one pass of two");
    assert_eq!(rig.state(), StateKind::Baking);
    assert_eq!(
        rig.walk.machine.counts().baked,
        0,
        "it is baked as one, by its gate"
    );
}

#[test]
fn a_gate_that_fails_takes_the_fleet_back() {
    let mut draft = two_waves();
    draft.waves[0].gate = Some(gate());
    let (mut rig, _) = Rig::begun(draft);
    rig.released("a");
    rig.elapse();
    let event = sampled(&rig, "canary", Verdict::Fail);
    let effects = rig.give(event);
    assert_eq!(taken_back(&effects), ["a"]);
    assert_eq!(
        rig.walk.machine.halted().map(|why| why.cause),
        Some(Cause::GateFailed)
    );
    rig.back("a", BackEnd::AtLastKnownGood);
    let outcome = rig.outcome();
    let Outcome::RolledBack { why, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    assert!(why.text.starts_with("the gate of wave canary: "), "{why}");
    assert_eq!(end_of(&outcome, "b"), &MemberEnd::NotBegun);
}

#[test]
fn one_that_fails_stops_the_others_and_all_that_was_changed_goes_back() {
    let (mut rig, _) = Rig::begun(two_waves());
    rig.released("a");
    rig.elapse();
    rig.released("b");
    rig.now = at(70);
    let effects = rig.ended("c", rolled_back());
    let stop = Effect::Stop {
        member: name("d"),
        until: at(70 + STOP),
    };
    assert_eq!(effects, [stop], "nothing is begun, what is under way stops");
    assert_eq!(rig.state(), StateKind::Stopping);
    assert_eq!(rig.give(Event::StopSent { member: name("d") }), []);
    let effects = rig.ended("d", aborted(rollout::LeftAt::LastKnownGood));
    assert_eq!(taken_back(&effects), ["b"], "the newest wave alone, first");
    let effects = rig.back("b", BackEnd::AtLastKnownGood);
    assert_eq!(taken_back(&effects), ["a"]);
    rig.back("a", BackEnd::AtLastKnownGood);
    let outcome = rig.outcome();
    let Outcome::RolledBack { why, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        why.text,
        "member c of wave rest: rolled back: service web: out of memory"
    );
    assert_eq!(end_of(&outcome, "c"), &MemberEnd::Ended(rolled_back()));
    for member in ["a", "b"] {
        let end = end_of(&outcome, member);
        assert!(matches!(end, MemberEnd::Ended(End::RolledBack { .. })), "{end:?}");
    }
}

#[test]
fn what_is_under_way_finishes_where_the_plan_says_so() {
    let mut draft = two_waves();
    draft.policy.under_way = UnderWay::Finish;
    let (mut rig, _) = Rig::begun(draft);
    rig.released("a");
    rig.elapse();
    assert_eq!(rig.ended("b", refused()), [], "c goes on, d never begins");
    assert_eq!(rig.state(), StateKind::Stopping);
    assert_eq!(
        taken_back(&rig.released("c")),
        ["c"],
        "released, and goes back with the others"
    );
    rig.back("c", BackEnd::AtLastKnownGood);
    rig.back("a", BackEnd::AtLastKnownGood);
    assert_eq!(end_of(&rig.outcome(), "d"), &MemberEnd::NotBegun);
}

#[test]
fn an_abort_stops_what_finishes_too() {
    let mut draft = two_waves();
    draft.policy.under_way = UnderWay::Finish;
    let (mut rig, _) = Rig::begun(draft);
    rig.released("a");
    rig.elapse();
    rig.ended("b", refused());
    assert_eq!(stopped(&rig.give(Event::Abort)), ["c"]);
    assert_eq!(rig.give(Event::Abort), [], "once is enough");
}

#[test]
fn an_abort_stops_what_would_finish_after_a_failure() {
    let mut draft = two_waves();
    draft.policy.under_way = UnderWay::Finish;
    let (mut rig, _) = Rig::begun(draft);
    assert_eq!(stopped(&rig.give(Event::Abort)), ["a"]);
}

#[test]
fn an_abort_before_any_change_leaves_everything_untouched() {
    let (mut rig, _) = Rig::begun(two_waves());
    assert_eq!(stopped(&rig.give(Event::Abort)), ["a"]);
    rig.ended("a", aborted(rollout::LeftAt::Untouched));
    let outcome = rig.outcome();
    let Outcome::Aborted { left_at, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(*left_at, LeftAt::Untouched);
}

#[test]
fn an_abort_while_a_wave_bakes_takes_it_back() {
    let (mut rig, _) = Rig::begun(two_waves());
    rig.released("a");
    assert_eq!(taken_back(&rig.give(Event::Abort)), ["a"]);
    rig.back("a", BackEnd::AtLastKnownGood);
    let outcome = rig.outcome();
    let Outcome::Aborted { left_at, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(*left_at, LeftAt::LastKnownGood);
    let back = aborted(rollout::LeftAt::LastKnownGood);
    assert_eq!(end_of(&outcome, "a"), &MemberEnd::Ended(back));
}

#[test]
fn a_fleet_that_is_refused_in_its_first_member_is_refused() {
    let (mut rig, _) = Rig::begun(two_waves());
    assert_eq!(rig.ended("a", refused()), []);
    let outcome = rig.outcome();
    let Outcome::Refused { why, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(why.text, "member a of wave canary: refused: another account");
}

#[test]
fn a_member_that_takes_too_long_is_stopped_and_has_failed() {
    let (mut rig, _) = Rig::begun(draft(&[("all", &["a", "b", "c"], 2)]));
    rig.now = at(100);
    assert_eq!(begins(&rig.released("b")), ["c"]);
    assert_eq!(rig.elapse(), [], "b has baked");
    let effects = rig.elapse();
    assert_eq!(rig.now, at(RUN));
    assert_eq!(stopped(&effects), ["a", "c"]);
    assert_eq!(
        rig.walk.machine.halted().map(|why| why.cause),
        Some(Cause::DeadlineExceeded)
    );
    rig.ended("c", aborted(rollout::LeftAt::LastKnownGood));
    let effects = rig.elapse();
    assert_eq!(rig.now, at(RUN + STOP));
    assert_eq!(taken_back(&effects), ["b"], "nobody waits for a for ever");
    rig.back("b", BackEnd::AtLastKnownGood);
    let outcome = rig.outcome();
    let Outcome::Stuck { stuck, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(stuck.reason, StuckReason::Ambiguous);
    assert!(
        stuck.text.starts_with("member a: ") && stuck.text.contains("5m"),
        "{}",
        stuck.text
    );
    // It comes to its end after all: too late for the fleet, and harmless.
    assert_eq!(rig.released("a"), []);
}
