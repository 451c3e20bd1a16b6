//! A whole release: one runner whose every call can go wrong, and two runners at the same service.

use std::collections::{BTreeMap, BTreeSet};

use rollout_core::machine::gate::{Condition, ProbeSpec};
use rollout_core::machine::promotion::{self, Reference};
use rollout_core::machine::rollout::Rollout;
use rollout_core::machine::{cutover, deployment};
use rollout_core::plan::rollback::{Proof, RollbackPolicy};
use rollout_core::plan::{
    Bounds, CutoverPlan, Draft, ExpectedIdentity, GatePlan, RolloutPlan, RolloutPolicy, ServicePlan,
};
use rollout_core::probe::ProbeTarget;
use rollout_tests::explore::ecs::{Deployer, EcsWorld, STALE, US, version_of};
use rollout_tests::explore::images::digest;
use rollout_tests::explore::release::{ReleaseWorld, identity};
use rollout_tests::explore::zone::{self, ZoneWorld};
use rollout_tests::explore::{Runners, secs};

use crate::{close, search};

/// The other runner brings another release.
const OTHER: Deployer = Deployer {
    number: 1,
    revision: 3,
};

pub(crate) fn patience(give_up: u64) -> deployment::Policy {
    deployment::Policy {
        poll_every: secs(10),
        pace: None,
        give_up: secs(give_up),
        stopped_tasks: 1,
        max_errors: 1,
        answer: secs(10),
        stale_reads: STALE,
    }
}

pub(crate) fn policy() -> RolloutPolicy {
    RolloutPolicy {
        retry_every: secs(10),
        max_errors: 1,
        check: secs(30),
        confirm: secs(10),
        bounds: Bounds { services_at_once: 1 },
        promotion: promotion::Policy {
            retry_every: secs(10),
            max_errors: 1,
            answer: secs(10),
            proceed: secs(30),
        },
        unwind_deployment: patience(20),
        rollback: RollbackPolicy::before_there_was_one(),
        readiness: Proof::Unasked,
        unwind_cutover: cutover::Policy {
            poll_first: STALE,
            poll_max: STALE,
            in_sync: secs(10),
            verify: secs(10),
            watch: secs(10),
            watch_failures: 1,
            max_errors: 2,
            answer: STALE,
        },
    }
}

fn gate() -> GatePlan {
    GatePlan {
        name: "ready".parse().expect("valid"),
        condition: Condition::Probe("ready".parse().expect("valid")),
        probes: vec![ProbeSpec {
            name: "ready".parse().expect("valid"),
            target: ProbeTarget::Custom {
                name: "ready".to_owned(),
                parameters: serde_json::Value::Null,
            },
            every: secs(10),
            successes: 1,
            failures: 1,
            errors: 1,
            max_age: secs(20),
            dry_run: false,
        }],
        warm_up: secs(0),
        bake: secs(0),
        give_up: secs(30),
        answer: secs(10),
    }
}

/// A release without a record.
fn release(who: Deployer, gates: Vec<GatePlan>) -> Rollout {
    planned(who, gates, vec![])
}

fn record() -> CutoverPlan {
    CutoverPlan {
        zone: "Z1".parse().expect("valid"),
        key: zone::key(),
        to: zone::new(),
        lowered_ttl: 10,
        allow_unhealthy_target: false,
        drain: None,
        policy: policy().unwind_cutover,
    }
}

fn planned(who: Deployer, gates: Vec<GatePlan>, cutovers: Vec<CutoverPlan>) -> Rollout {
    let image = promotion::Spec {
        from: "shop/backend".parse().expect("valid"),
        reference: Reference::Digest(digest(version_of(who.revision))),
        to: "shop/backend".parse().expect("valid"),
        service: "backend".parse().expect("valid"),
        container: "app".parse().expect("valid"),
        soak: secs(0),
    };
    let service = ServicePlan {
        name: "shop".parse().expect("valid"),
        after: vec![],
        images: BTreeMap::from([("app".parse().expect("valid"), image)]),
        template: serde_json::Value::Null,
        deployment: patience(20),
        gates,
    };
    let draft = Draft {
        run: format!("r-{}", who.number + 1).parse().expect("valid"),
        release: version_of(who.revision).to_owned(),
        from: "staging".parse().expect("valid"),
        to: "production".parse().expect("valid"),
        expects: ExpectedIdentity {
            account: identity().account,
            region: identity().region,
            caller: None,
        },
        services: vec![service],
        tasks: vec![],
        gates: vec![],
        cutovers,
        policy: policy(),
    };
    Rollout::new(RolloutPlan::check(draft).expect("valid"))
}

fn model(begin: Vec<(Vec<Rollout>, ReleaseWorld)>) -> Runners<Rollout, ReleaseWorld> {
    Runners {
        begin,
        tick: secs(10),
        slow: false,
        absent: 2,
        aborts: 1,
        horizon: secs(200),
        explaining: &["at"],
    }
}

const ENDS: [&str; 7] = [
    "aborted, back",
    "aborted, untouched",
    "refused",
    "released",
    "rolled back",
    "stuck",
    "superseded",
];

/// I-1, I-5, I-6, I-7, I-12, I-13, I-14 and L-4: a fault of any call, of the runner or of its process, and another deployer or
/// a failure of the platform. From every end that is stuck the command that it names leads out.
#[test]
#[cfg_attr(debug_assertions, ignore = "a minute where the code is not optimised")]
fn rollout() {
    let world = |others, failures| ReleaseWorld::alone(US, EcsWorld::new(1, others, failures));
    let machine = || vec![release(US, vec![gate()])];
    let begin = vec![(machine(), world(0, 1)), (machine(), world(1, 0))];
    let model = Runners {
        slow: true,
        ..model(begin)
    };
    let report = close("rollout", &model, &ENDS);
    assert!(report.acyclic, "a release always ends");
}

/// I-7, and all of the above for a record that moves last and goes back first: a fault, or another hand at the record.
#[test]
#[cfg_attr(debug_assertions, ignore = "a minute where the code is not optimised")]
fn rollout_with_a_record() {
    let world = |faults, hands| {
        let service = EcsWorld::new(faults, 0, 0);
        ReleaseWorld::alone(US, service).with_record(ZoneWorld::new(0, hands))
    };
    let machine = || vec![planned(US, vec![gate()], vec![record()])];
    let model = model(vec![(machine(), world(1, 0)), (machine(), world(0, 1))]);
    let report = close("rollout with a record", &model, &ENDS);
    assert!(report.acyclic, "a release always ends");
}

/// P22, I-2, I-4, I-5, I-6, I-16: two runners without a lease, each with its own release for the same service. One of them
/// may be aborted; one fault, of what they share or of a runner, which may sleep, or die and be gone on with.
#[test]
#[cfg_attr(debug_assertions, ignore = "minutes where the code is not optimised")]
fn two_runners() {
    let world = ReleaseWorld::shared(&[US, OTHER], EcsWorld::new(1, 0, 0));
    let machines = vec![release(US, vec![]), release(OTHER, vec![])];
    let report = search("two runners", &model(vec![(machines, world)]));
    assert!(report.acyclic, "both always end");
    let each = |of: fn(&str) -> Option<&str>| -> BTreeSet<&str> {
        report.ends.keys().filter_map(|ends| of(ends)).collect()
    };
    let first = each(|ends| Some(ends.split_once(" + ")?.0));
    assert_eq!(first, BTreeSet::from(ENDS), "the first runner");
    let second = each(|ends| Some(ends.split_once(" + ")?.1));
    let unaborted = ENDS.into_iter().filter(|end| !end.starts_with("aborted"));
    assert_eq!(second, unaborted.collect(), "the second, which nobody aborts");
}
