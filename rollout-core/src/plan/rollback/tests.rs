use core::time::Duration;

use super::*;
use crate::evidence::{Stuck, StuckReason};
use crate::id::ContainerName;
use crate::machine::rollout::{LeftAt, Outcome};

const DAY: u64 = 24 * 60 * 60;

fn at(days: u64) -> Timestamp {
    Timestamp::EPOCH.after(Duration::from_secs(days * DAY))
}

fn point() -> RestorePoint {
    RestorePoint {
        service: "backend".parse().unwrap(),
        captured_at: at(100),
        task_definition: "backend:7".parse().unwrap(),
        images: crate::machine::world::images("old"),
        deployment: "ecs-svc/old".parse().unwrap(),
        desired: 3,
        since: Some(at(90)),
    }
}

fn part(kind: PartKind, found: Found) -> Part {
    let name = match &kind {
        PartKind::Revision => "revision backend:7",
        PartKind::Image { .. } => "image shop/backend",
        PartKind::Secret => "secret db",
    };
    Part {
        kind,
        name: name.to_owned(),
        found,
    }
}

fn app() -> PartKind {
    let container: ContainerName = "app".parse().unwrap();
    PartKind::Image { container }
}

fn seen(parts: impl Into<Vec<Part>>) -> Usability {
    Usability {
        at: at(100),
        parts: parts.into(),
    }
}

fn policy(usable: Proof) -> RollbackPolicy {
    RollbackPolicy {
        usable,
        ..RollbackPolicy::default()
    }
}

#[test]
fn what_is_there_is_usable() {
    let all = seen([
        part(PartKind::Revision, Found::Usable),
        part(app(), Found::Usable),
        part(PartKind::Secret, Found::Usable),
    ]);
    for usable in [Proof::Known, Proof::Proven] {
        assert_eq!(policy(usable).judge(&point(), &all), Ok(Vec::new()));
    }
}

#[test]
fn what_is_gone_refuses_and_says_all_of_it_with_the_remedy() {
    let gone = |kind| {
        part(
            kind,
            Found::Gone {
                why: "deleted".to_owned(),
            },
        )
    };
    for usable in [Proof::Known, Proof::Proven] {
        let all = seen([
            gone(PartKind::Revision),
            part(app(), Found::Usable),
            gone(PartKind::Secret),
        ]);
        let reason = policy(usable).judge(&point(), &all).expect_err("gone");
        assert_eq!(reason.cause, Cause::LastKnownGoodUnusable);
        for says in ["backend", "revision backend:7: deleted", "[rollback]"] {
            assert!(reason.text.contains(says), "{reason}");
        }
        assert_eq!(reason.evidence.len(), 2);
    }
}

#[test]
fn what_cannot_be_found_out_is_told_or_refuses_and_never_passes() {
    let unknown = |kind| {
        part(
            kind,
            Found::Unknown {
                why: "denied".to_owned(),
            },
        )
    };
    let all = seen([
        part(PartKind::Revision, Found::Usable),
        part(app(), Found::Usable),
        unknown(PartKind::Secret),
    ]);
    let told = policy(Proof::Known).judge(&point(), &all).expect("accepted");
    assert_eq!(told.len(), 1);
    assert!(told[0].detail.contains("secret db: denied"), "{told:?}");
    assert_eq!(told[0].source, SOURCE);
    let reason = policy(Proof::Proven).judge(&point(), &all).expect_err("refused");
    assert_eq!(reason.cause, Cause::LastKnownGoodUnusable);
    assert!(reason.text.contains("secret db: denied"), "{reason}");
    assert!(reason.text.contains("usable = \"known\""), "{reason}");
}

#[test]
fn what_nobody_looked_at_is_unknown() {
    let cases = [
        (seen([]), 2),
        (seen([part(PartKind::Revision, Found::Usable)]), 1),
        (seen([part(app(), Found::Usable)]), 1),
    ];
    for (seen, open) in cases {
        let told = policy(Proof::Known).judge(&point(), &seen).expect("accepted");
        assert_eq!(told.len(), open, "{told:?}");
        assert!(
            told.iter().all(|piece| piece.detail.contains("nobody looked")),
            "{told:?}"
        );
        assert!(policy(Proof::Proven).judge(&point(), &seen).is_err());
    }
}

#[test]
fn the_age_counts_from_the_deployment_and_not_from_the_capture() {
    let days = |days: u64| RollbackPolicy {
        max_age: Some(Duration::from_secs(days * DAY)),
        ..RollbackPolicy::default()
    };
    assert_eq!(days(10).age(&point(), at(100)), Ok(None), "just young enough");
    let reason = days(9).age(&point(), at(100)).expect_err("too old");
    assert_eq!(reason.cause, Cause::LastKnownGoodTooOld);
    for says in ["backend", "10days", "9days", "max_age"] {
        assert!(reason.text.contains(says), "{reason}");
    }
    assert_eq!(
        RollbackPolicy::default().age(&point(), at(10_000)),
        Ok(None),
        "no limit"
    );
}

#[test]
fn an_age_that_nobody_knows_is_told_or_refuses() {
    let mut point = point();
    point.since = None;
    let of = |usable| RollbackPolicy {
        max_age: Some(Duration::from_secs(DAY)),
        ..policy(usable)
    };
    let told = of(Proof::Known).age(&point, at(100)).expect("accepted");
    assert!(told.is_some_and(|piece| piece.detail.contains("how old")));
    assert!(of(Proof::Proven).age(&point, at(100)).is_err());
    assert_eq!(
        policy(Proof::Proven).age(&point, at(100)),
        Ok(None),
        "nobody asks"
    );
}

#[test]
fn a_migration_is_a_barrier_for_everyone_and_the_policy_one_for_machines() {
    let task: TaskName = "migrate".parse().unwrap();
    for automatic in [true, false] {
        let policy = RollbackPolicy {
            automatic,
            ..RollbackPolicy::default()
        };
        for by_hand in [true, false] {
            assert_eq!(
                policy.barrier(by_hand, Some(&task)),
                Some(Barrier::Irreversible(task.clone()))
            );
        }
        assert_eq!(policy.barrier(true, None), None);
        assert_eq!(
            policy.barrier(false, None),
            (!automatic).then_some(Barrier::NotAutomatic)
        );
    }
}

#[test]
fn a_hold_follows_the_kind_of_way_back() {
    let table = [
        (Hold::ByHand, true, false),
        (Hold::Always, true, true),
        (Hold::Never, false, false),
    ];
    for (hold, by_hand, by_itself) in table {
        assert_eq!(
            (hold.holds(true), hold.holds(false)),
            (by_hand, by_itself),
            "{hold:?}"
        );
    }
}

#[test]
fn a_rollback_is_not_rolled_back() {
    let why = || Reason::new(Cause::GateFailed, "the gate failed");
    let stuck = || Stuck {
        reason: StuckReason::RollbackFailed,
        text: "no".to_owned(),
        evidence: Vec::new(),
        next: vec!["rollout status".to_owned()],
    };
    let back = unwind::Outcome::AtLastKnownGood { evidence: Vec::new() };
    let not_back = unwind::Outcome::Stuck(Box::new(stuck()));
    let rolled_back = Outcome::RolledBack {
        why: why(),
        evidence: Vec::new(),
    };
    let aborted = |left_at| Outcome::Aborted { left_at };
    let released = Outcome::Released {
        services: Default::default(),
        records: Vec::new(),
        evidence: Vec::new(),
    };
    assert!(already_back(Some(&rolled_back), &[]).is_some());
    assert!(already_back(Some(&aborted(LeftAt::LastKnownGood)), &[]).is_some());
    assert!(already_back(Some(&released), &[not_back.clone(), back.clone()]).is_some());
    assert!(already_back(None, &[back]).is_some());
    for run in [
        released,
        aborted(LeftAt::Untouched),
        Outcome::Stuck(Box::new(stuck())),
        Outcome::Refused { why: why() },
    ] {
        assert_eq!(
            already_back(Some(&run), std::slice::from_ref(&not_back)),
            None,
            "{run:?}"
        );
    }
    assert_eq!(already_back(None, &[]), None);
}

#[test]
fn a_plan_without_a_policy_means_what_held_before_there_was_one() {
    let plan = crate::machine::world::plan(true);
    let mut json = serde_json::to_value(&plan.policy).unwrap();
    assert!(json.as_object_mut().unwrap().remove("rollback").is_some());
    let read: crate::plan::RolloutPolicy = serde_json::from_value(json).unwrap();
    assert_eq!(read.rollback, RollbackPolicy::before_there_was_one());
    assert_eq!(read.rollback.usable, Proof::Unasked);
    assert!(
        !read.rollback.fast,
        "an old journal's effects are derived again as they were"
    );
}

#[test]
fn a_policy_is_read_as_it_was_written() {
    for policy in [
        RollbackPolicy::default(),
        RollbackPolicy {
            automatic: false,
            max_age: Some(Duration::from_secs(DAY)),
            usable: Proof::Proven,
            fast: false,
            hold: Hold::Always,
        },
    ] {
        let text = serde_json::to_string(&policy).unwrap();
        assert_eq!(
            serde_json::from_str::<RollbackPolicy>(&text).unwrap(),
            policy,
            "{text}"
        );
    }
}

#[test]
fn an_age_of_zero_is_no_plan() {
    let mut draft = crate::plan::Draft::from(crate::machine::world::plan(true));
    draft.policy.rollback.max_age = Some(Duration::ZERO);
    let error = crate::plan::RolloutPlan::check(draft).expect_err("nothing is that young");
    assert!(error.to_string().contains("max_age"), "{error}");
}
