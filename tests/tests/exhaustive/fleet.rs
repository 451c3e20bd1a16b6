//! One fleet: a canary, then a wave of two.

use rollout_core::machine::fleet::Fleet;
use rollout_core::plan::fleet::{
    Draft, FleetBounds, FleetPlan, FleetPolicy, Share, UnderWay, WavePlan, WayBack,
};
use rollout_tests::explore::fleet::FleetWorld;
use rollout_tests::explore::{Single, secs};

use crate::{close, faults};

fn machine(vary: impl FnOnce(&mut FleetPolicy)) -> Fleet {
    let wave = |name: &str, members: &[&str]| WavePlan {
        name: name.parse().expect("valid"),
        members: members.iter().map(|name| name.parse().expect("valid")).collect(),
        at_once: 2,
        bake: secs(1),
        gate: None,
    };
    let mut policy = FleetPolicy {
        bounds: FleetBounds::default(),
        under_way: UnderWay::Stop,
        back: WayBack::Fleet,
        back_at_once: 1,
        run_within: secs(3),
        stop_within: secs(2),
        back_within: secs(2),
        retry_every: secs(1),
        max_errors: 2,
    };
    vary(&mut policy);
    let draft = Draft {
        run: "f-1".parse().expect("valid"),
        release: "2.4.0".to_owned(),
        waves: vec![wave("canary", &["a"]), wave("rest", &["b", "c"])],
        policy,
    };
    Fleet::new(FleetPlan::check(draft).expect("valid"))
}

fn search(name: &str, ends: &[&str], proof: u8, vary: impl FnOnce(&mut FleetPolicy)) {
    let machine = machine(vary);
    let world = FleetWorld::new(&machine, faults(1, proof));
    let model = Single {
        begin: vec![(machine, world)],
        tick: secs(1),
        pause: None,
        aborts: true,
        hint: None,
        calls: 5,
        horizon: secs(6),
        // Attempts and failures only grow, and the faults bound them; the number of a saying decides nothing.
        explaining: &["attempt"],
    };
    let report = close(name, &model, ends);
    assert!(report.acyclic, "a fleet always ends");
}

/// All go back together: the bounds, the order, nothing after a failure, every changed member back or named.
#[test]
#[cfg_attr(debug_assertions, ignore = "half a minute where the code is not optimised")]
fn fleet_together() {
    let ends = [
        "aborted",
        "refused",
        "released",
        "rolled back",
        "stuck",
        "superseded",
    ];
    search("fleet, together", &ends, 1, |_| {});
}

/// The second wave rolls, one member at a time, and what is under way finishes.
#[test]
#[cfg_attr(debug_assertions, ignore = "half a minute where the code is not optimised")]
fn fleet_rolling() {
    let ends = [
        "aborted",
        "refused",
        "released",
        "rolled back",
        "stuck",
        "superseded",
    ];
    search("fleet, rolling", &ends, 2, |policy| {
        policy.bounds.unbaked = Some(Share::Members(1));
        policy.under_way = UnderWay::Finish;
        policy.back_at_once = 2;
    });
}

/// Each member is on its own.
#[test]
#[cfg_attr(debug_assertions, ignore = "half a minute where the code is not optimised")]
fn fleet_each() {
    let ends = [
        "aborted",
        "between",
        "refused",
        "released",
        "rolled back",
        "stuck",
        "superseded",
    ];
    search("fleet, each on its own", &ends, 2, |policy| {
        policy.back = WayBack::Member
    });
}
