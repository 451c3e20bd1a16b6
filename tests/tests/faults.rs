//! Faults forced at a step of a release of the storefront, through `rollout-aws` and the SDK on the simulated endpoint: what
//! is down stays down for hours, credentials end, a permission is missing where it is needed most, the clock jumps.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use rollout_core::context::OpContext;
use rollout_core::evidence::StuckReason;
use rollout_core::id::Generation;
use rollout_core::journal::MemoryJournal;
use rollout_core::machine::rollout::Outcome;
use rollout_core::observer::Silent;
use rollout_core::pace::Priority;
use rollout_core::plan::Draft;
use rollout_core::time::Timestamp;
use rollout_sim::endpoint::{Endpoint, InProcess, Upset, WireCall, WireFault};
use rollout_sim::{Disturbance, Fault, Incident, Operation, SimCloud, When, World};
use rollout_tests::clock::{RunnersClock, Skew};
use rollout_tests::run::{Abort, Entry, drive_by, fresh, storefront};
use rollout_tests::truth::{self, Claim, SERVICES};
use rollout_tests::wired::{self, on_virtual_time};

/// One release that came to its end.
struct Ended {
    before: World,
    draft: Draft,
    after: World,
    calls: Vec<WireCall>,
    /// What changed something.
    changes: Vec<String>,
    records: Vec<Entry>,
    outcome: Outcome,
    took: Duration,
}

/// A release with these faults.
fn release(before: World, faults: &[WireFault]) -> Ended {
    let draft = storefront(&before);
    release_of(before, draft, faults)
}

/// The same of a plan.
fn release_of(before: World, draft: Draft, faults: &[WireFault]) -> Ended {
    on_virtual_time(7, async {
        let began = before.now();
        let endpoint = Endpoint::new(SimCloud::new(before.clone()));
        for fault in faults {
            endpoint.disturb(fault.clone());
        }
        let wire = InProcess::new(endpoint);
        let (mut machine, journal) = (fresh(draft.clone()), MemoryJournal::new());
        let ended = wired::drive(&wire, &mut machine, &journal, Abort::never(), &Silent).await;
        let calls = wire.endpoint().calls();
        let changed = calls.iter().filter(|call| call.changed);
        Ended {
            outcome: ended.expect("the driver does not halt"),
            after: wire.endpoint().cloud().world(),
            changes: changed.map(|call| format!("{call:?}")).collect(),
            calls,
            took: wire.now().since(began),
            records: journal.records(),
            before,
            draft,
        }
    })
}

/// When a calm release first makes a call.
fn moment(of: &str) -> Timestamp {
    let calm = release(rollout_sim::storefront(7), &[]);
    assert!(
        matches!(calm.outcome, Outcome::Released { .. }),
        "{:#?}",
        calm.outcome
    );
    let first = calm.calls.iter().find(|call| call.operation == of);
    first.expect("a release makes it").at
}

fn plus(moment: Timestamp, minutes: u64) -> Timestamp {
    moment.after(Duration::from_secs(60 * minutes))
}

impl Ended {
    /// The outcome is true, and one of the two releases serves everywhere.
    fn is_true(&self) {
        let expected = match &self.outcome {
            Outcome::Released { .. } => truth::after(&self.before, &self.draft),
            _ => truth::before(&self.before),
        };
        let claim = Claim {
            outcome: &self.outcome,
            journal: &self.records,
            expected,
            services: &SERVICES,
            changes: self.changes.clone(),
        };
        let lies = claim.lies(&self.after, truth::nobody_else);
        assert!(lies.is_empty(), "{lies:#?}\n{:#?}", self.outcome);
        for name in SERVICES {
            let seen = truth::service(&self.after, name);
            assert!(
                seen.desired > 0 && seen.running >= seen.desired,
                "{name}: {seen:#?}"
            );
        }
    }

    fn stuck(&self) -> (StuckReason, &str) {
        match &self.outcome {
            Outcome::Stuck(stuck) => (stuck.reason, &stuck.text),
            other => panic!("not stuck: {other:#?}"),
        }
    }
}

/// F-1: an API group that is dry for minutes costs time, not the release.
#[test]
fn ecs_that_throttles_for_three_minutes_does_not_cost_the_release() {
    let from = moment("UpdateService");
    let dry = WireFault::every("ecs", Upset::Throttled).between(from, plus(from, 3));
    let world = rollout_sim::storefront(7);
    // As many failed calls in a row as the program allows; the storefront is less patient.
    let mut draft = storefront(&world);
    for service in &mut draft.services {
        service.deployment.max_errors = 20;
    }
    let ended = release_of(world, draft, &[dry]);
    ended.is_true();
    assert!(
        matches!(ended.outcome, Outcome::Released { .. }),
        "{:#?}",
        ended.outcome
    );
    let upset = ended.calls.iter().filter(|call| call.upset.is_some()).count();
    assert!(upset > 10, "{upset} calls were throttled");
}

/// F-25: Route 53 is down for seven hours from the moment at which the first record would move.
#[test]
fn route_53_that_is_down_for_hours_is_not_waited_for() {
    let from = moment("ChangeResourceRecordSets");
    let down = WireFault::every("route53", Upset::FailsBefore(503)).between(from, plus(from, 7 * 60));
    let ended = release(rollout_sim::storefront(7), &[down]);
    ended.is_true();
    assert!(
        !matches!(ended.outcome, Outcome::Released { .. }),
        "{:#?}",
        ended.outcome
    );
    assert!(ended.took < Duration::from_secs(3 * 3_600), "{:?}", ended.took);
    // Whether the first write had landed cannot be seen, so the records are named as what a person must look at.
    let (reason, text) = ended.stuck();
    assert_eq!(reason, StuckReason::DnsUnwritable, "{text}");
    assert!(
        text.contains("503") || text.contains("temporary failure"),
        "{text}"
    );
    // The services went back all the same.
    let old = truth::before(&ended.before);
    for name in SERVICES {
        assert_eq!(truth::flaw(&ended.after, name, &old.images[name]), None);
    }
}

/// F-20: the session ends in the middle, and nothing can be done any more.
#[test]
fn credentials_that_end_are_named() {
    let from = moment("UpdateService");
    let expired = Upset::Refused {
        status: 403,
        code: "ExpiredTokenException".to_owned(),
        message: "The security token included in the request is expired".to_owned(),
    };
    let faults: Vec<WireFault> = [
        "ecs",
        "ecr",
        "elasticloadbalancing",
        "monitoring",
        "route53",
        "sts",
    ]
    .into_iter()
    .map(|service| WireFault::every(service, expired.clone()).between(plus(from, 1), Timestamp::MAX))
    .collect();
    let ended = release(rollout_sim::storefront(7), &faults);
    ended.is_true();
    let (_, text) = ended.stuck();
    assert!(text.contains("expired"), "{text}");
}

/// F-20: the caller may deploy, and may not any more when it has to go back.
#[test]
fn a_permission_that_is_missing_on_the_way_back_is_named() {
    let mut world = rollout_sim::storefront(7);
    let service = "frontend".to_owned();
    let when = When::deployment_of(&service, Duration::ZERO);
    world
        .schedule("production", when, Incident::BadImage { service })
        .expect("it is there");
    let denied = Upset::Refused {
        status: 400,
        code: "AccessDeniedException".to_owned(),
        message: "User is not authorized to perform: ecs:UpdateService".to_owned(),
    };
    // The first two are the ways ahead of backend and frontend.
    let mut fault = WireFault::nth("ecs", "UpdateService", 3, denied);
    fault.which = rollout_sim::endpoint::Which::Calls {
        from: 3,
        to: u64::MAX,
    };
    let ended = release(world, &[fault]);
    let (reason, text) = ended.stuck();
    assert_eq!(reason, StuckReason::PermissionDenied, "{text}");
    assert!(text.contains("UpdateService"), "{text}");
    ended.is_true();
}

/// F-7: a change that stays PENDING is not waited for without end.
#[test]
fn a_change_that_is_never_in_sync_is_taken_back() {
    let from = moment("ChangeResourceRecordSets");
    // The answers are from before the change was known to be in sync.
    let pending = WireFault::every("route53", Upset::Stale(Duration::from_secs(12 * 3_600)))
        .of("GetChange")
        .between(from, Timestamp::MAX);
    let ended = release(rollout_sim::storefront(7), &[pending]);
    ended.is_true();
    assert!(
        !matches!(ended.outcome, Outcome::Released { .. }),
        "{:#?}",
        ended.outcome
    );
}

/// Whatever happens to the clock of the runner once, at any one of its waits or looks: the release ends truthfully, and not
/// later than so many hours after that. How the releases end, and how often.
fn at_each(
    world: &World,
    skew: impl Fn(u64) -> Skew,
    stride: usize,
    hours: u64,
) -> BTreeMap<&'static str, u64> {
    let mut ends = BTreeMap::new();
    for at in (0..).step_by(stride) {
        let (world, skew) = (world.clone(), skew(at));
        let draft = storefront(&world);
        let cloud = SimCloud::new(world.clone());
        let clock = Arc::new(RunnersClock::new(cloud.clock(), skew));
        let (mut machine, journal) = (fresh(draft.clone()), MemoryJournal::new());
        let ended = drive_by(
            &cloud,
            Arc::clone(&clock) as _,
            &mut machine,
            &journal,
            Abort::never(),
            &Silent,
        );
        let after = cloud.world();
        let ended = Ended {
            outcome: ended.unwrap_or_else(|error| panic!("{skew:?}: {error:?}")),
            calls: Vec::new(),
            changes: after.calls().effects().map(|m| format!("{m:?}")).collect(),
            took: after.now().since(world.now()),
            after,
            records: journal.records(),
            before: world,
            draft,
        };
        ended.is_true();
        let most = Duration::from_secs(hours * 3_600);
        assert!(ended.took < most, "{skew:?}: it took {:?}", ended.took);
        assert!(
            truth::migrations(&ended.after) <= 1,
            "I-19, {skew:?}: {} migrations",
            truth::migrations(&ended.after)
        );
        if !clock.has_struck() {
            break;
        }
        *ends.entry(truth::end(&ended.outcome)).or_default() += 1;
    }
    ends
}

/// F-12: the runner's clock is set forward or back by an hour at any one of its waits, and the release ends truthfully.
#[test]
fn a_clock_that_is_set_leads_to_no_lie() {
    let mut ends = BTreeMap::new();
    for by in [3_600, -3_600] {
        let world = rollout_sim::storefront(7);
        ends.append(&mut at_each(&world, |at| Skew::Set { at, by }, 1, 3));
    }
    assert!(ends.len() >= 2, "the jumps change nothing: {ends:?}");
}

/// F-12: the runner's machine sleeps between any two of its steps, for minutes, for hours, or until its tokens are forgotten.
#[test]
fn a_runner_that_slept_tells_the_truth_when_it_wakes() {
    let world = rollout_sim::storefront(7);
    let stride = if cfg!(debug_assertions) { 11 } else { 1 };
    for (minutes, hours) in [(3, 2), (3 * 60, 6), (26 * 60, 30)] {
        let lasts = Duration::from_secs(60 * minutes);
        let ends = at_each(&world, |at| Skew::Sleeps { at, lasts }, stride, hours);
        println!("asleep for {minutes} minutes: {ends:?}");
        assert!(ends.contains_key("released"), "{ends:?}");
        // What was due has been missed, unless it slept for a short time only.
        assert_eq!(ends.len() > 1, minutes > 3, "{ends:?}");
    }
}

/// F-12 and I-19: the answer to the start of the migration is lost, and the runner sleeps until its token is forgotten.
#[test]
fn a_runner_that_slept_for_a_day_starts_no_migration_again() {
    let mut world = rollout_sim::storefront(7);
    world.disturb(Fault {
        environment: None,
        operation: Operation::StartTask,
        from: 1,
        to: 1,
        what: Disturbance::LostAnswer,
    });
    let lasts = Duration::from_secs(26 * 3_600);
    let stride = if cfg!(debug_assertions) { 11 } else { 1 };
    let ends = at_each(&world, |at| Skew::Sleeps { at, lasts }, stride, 30);
    println!("its start unanswered, asleep for a day: {ends:?}");
}

/// F-17: the figures of a minute still grow for a minute and a half after its end. Whoever asks for them is told nothing before they
/// have grown, so that an old side that is still asked is not taken for drained (I-24).
#[test]
fn figures_that_still_grow_are_not_believed() {
    let mut world = rollout_sim::storefront(7);
    world
        .report_late("production", 60, Duration::from_secs(90))
        .expect("it is there");
    let shop = truth::records(&world)
        .into_iter()
        .find(|record| record.key.name.as_str().starts_with("shop."))
        .expect("a record of the storefront");
    on_virtual_time(7, async {
        let wire = InProcess::new(Endpoint::new(SimCloud::new(world)));
        let ports = wired::ports(&wire);
        let ctx = OpContext {
            run: "r-1".parse().expect("a name"),
            step: "drain".parse().expect("a name"),
            attempt: 1,
            generation: Generation(1),
            deadline: Timestamp::MAX,
            priority: Priority::Look,
        };
        let mut told = 0;
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_secs(10)).await;
            let asked = ports.dns.old_traffic(&ctx, &shop.data).await.expect("it answers");
            if let Some(requests) = asked.requests_per_minute {
                assert_eq!(requests, 600, "of the minute until {}", asked.at);
                told += 1;
            }
        }
        assert!(told > 30, "hardly ever told: {told}");
    });
}
