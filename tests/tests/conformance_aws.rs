//! The conformance suite on the adapters of `rollout-aws`, through the real SDK, over the simulated cloud's endpoint, on
//! virtual time: each for itself, and sharing an observer. What the endpoint does not model yet is skipped by name.

use core::future::Future;

use rollout_core::conformance::clock::{self, ClockFixture};
use rollout_core::conformance::{
    Report, Stop, dns_cutover, environment, health_gate, image_promotion, rollback,
};
use rollout_core::port::Clock;
use rollout_core::time::Timestamp;
use rollout_sim::SimCloud;
use rollout_sim::endpoint::{Endpoint, InProcess};
use rollout_tests::conformance::aws::{over_the_endpoint, with_an_observer};
use rollout_tests::conformance::world;

const SEED: u64 = 20_260_105;

fn run(report: impl Future<Output = Report>) -> Report {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    let report = runtime.expect("a runtime").block_on(report);
    println!("{report}");
    assert_eq!(report.failed().count(), 0, "{report}");
    report
}

/// Nothing failed, and nothing was skipped for another reason than that the endpoint lacks an operation.
fn conforms(report: &Report) {
    assert!(report.is_conforming(), "{report}");
    for finding in report.skipped() {
        let why = format!("{:?}", finding.verdict);
        assert!(why.contains("the endpoint does not model"), "{report}");
    }
}

#[test]
fn ecs_conforms() {
    let report = run(environment::check(async || over_the_endpoint(SEED)));
    assert_eq!(report.passed().count(), environment::CHECKS.len(), "{report}");
    let report = run(environment::check(async || with_an_observer(SEED)));
    assert_eq!(report.passed().count(), environment::CHECKS.len(), "{report}");
}

#[test]
fn going_back_conforms() {
    conforms(&run(rollback::check(async || over_the_endpoint(SEED))));
    conforms(&run(rollback::check(async || with_an_observer(SEED))));
}

#[test]
fn route_53_conforms() {
    conforms(&run(dns_cutover::check(async || over_the_endpoint(SEED))));
    conforms(&run(dns_cutover::check(async || with_an_observer(SEED))));
}

#[test]
fn gates_conform() {
    conforms(&run(health_gate::check(async || over_the_endpoint(SEED))));
    conforms(&run(health_gate::check(async || with_an_observer(SEED))));
}

#[test]
fn ecr_conforms() {
    conforms(&run(image_promotion::check(async || over_the_endpoint(SEED))));
    conforms(&run(image_promotion::check(async || with_an_observer(SEED))));
}

struct InProcessClock {
    wire: InProcess,
    clock: std::sync::Arc<dyn Clock>,
}

impl ClockFixture for InProcessClock {
    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    fn truth(&self) -> Timestamp {
        self.wire.now()
    }

    fn tolerance(&self) -> core::time::Duration {
        // Tokio's timer has ticks of a millisecond.
        core::time::Duration::from_millis(2)
    }
}

#[test]
fn the_clock_of_the_endpoint_conforms() {
    let open = async || {
        let wire = InProcess::new(Endpoint::new(SimCloud::new(world(SEED))));
        let clock = wire.clock();
        Ok::<_, Stop>(InProcessClock { wire, clock })
    };
    let report = run(clock::check(open));
    assert_eq!(report.passed().count(), clock::CHECKS.len(), "{report}");
}

struct WallClock(rollout_aws::clock::TokioClock);

impl ClockFixture for WallClock {
    fn clock(&self) -> &dyn Clock {
        &self.0
    }

    fn truth(&self) -> Timestamp {
        rollout_aws::time::system()()
    }

    fn tolerance(&self) -> core::time::Duration {
        // A busy machine wakes a sleeper late.
        core::time::Duration::from_secs(5)
    }
}

/// The one test here that takes its time: what is tested is the wall clock.
#[test]
fn the_wall_clock_conforms() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let open = async || Ok::<_, Stop>(WallClock(rollout_aws::clock::TokioClock::new()));
    let report = runtime.expect("a runtime").block_on(clock::check(open));
    assert_eq!(report.passed().count(), clock::CHECKS.len(), "{report}");
}
