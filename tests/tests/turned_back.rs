//! The short cut back on the simulated cloud: for each way in which a service deploys, what it saves against the plain way, and
//! that it ends at the very deployment that ran before.
//!
//! The figures that it prints are those of `docs/rollback.md`.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use pollster::block_on;
use rollout_core::context::OpContext;
use rollout_core::driver::{Driver, PortPerformer};
use rollout_core::id::Generation;
use rollout_core::image::ImageRef;
use rollout_core::journal::MemoryJournal;
use rollout_core::machine::deployment;
use rollout_core::machine::unwind::{Effect, Event, Item, Outcome, Policy, Spec, Undo, Unwind};
use rollout_core::observer::Silent;
use rollout_core::pace::Priority;
use rollout_core::port::{Clock, Ports};
use rollout_core::service::{
    Captured, DeploymentStarted, RecordStatus, RestorePoint, RevisionSpec, ServiceChange, Strategy as Shown,
};
use rollout_sim::{Incident, Operation, SimCloud, Strategy, When, World};

const REPOSITORY: &str = "shop/api";

/// Three tasks of tag 1 behind a load balancer; tag 2 is pushed.
fn world(strategy: Strategy) -> World {
    World::builder(7)
        .environment("prod", |e| {
            e.image(REPOSITORY, "1")
                .image(REPOSITORY, "2")
                .service("api", |s| {
                    s.container("api", REPOSITORY, "1")
                        .desired(3)
                        .load_balanced(8080)
                        .strategy(strategy)
                        .bake_minutes(10)
                })
                .balancer("edge", |b| b.route("/", "api").listener(9_001).route("/", "api"))
        })
        .build()
        .expect("well described")
}

fn ctx() -> OpContext {
    OpContext {
        run: "r-1".parse().expect("an id"),
        step: "forward".parse().expect("an id"),
        attempt: 1,
        generation: Generation(1),
        deadline: rollout_core::time::Timestamp::MAX,
        priority: Priority::Look,
    }
}

/// A service in the middle of a deployment, and how to go back.
struct Midway {
    cloud: SimCloud,
    ports: Ports,
    point: RestorePoint,
    ours: DeploymentStarted,
}

impl Midway {
    /// Tag 2 has been under way for so long.
    fn after(strategy: Strategy, so_long: Duration) -> Self {
        let cloud = SimCloud::new(world(strategy));
        let ports = cloud.ports("prod", "prod").expect("it is there");
        let name = "api".parse().expect("a name");
        let captured = block_on(ports.rollback.capture(&ctx(), &name)).expect("an answer");
        let Captured::Point(point) = captured else {
            panic!("{captured:?}")
        };
        let digest = cloud.with(|w| w.image("prod", REPOSITORY, "2")).expect("pushed");
        let image = ImageRef {
            repository: REPOSITORY.parse().expect("a name"),
            digest,
        };
        let spec = RevisionSpec {
            template: serde_json::json!({
                "family": "api",
                "containerDefinitions": [{ "name": "api", "image": "", "essential": true }],
            }),
            images: BTreeMap::from([("api".parse().expect("a name"), image)]),
        };
        let (task_definition, _) = block_on(ports.target.ensure_revision(&ctx(), &spec)).expect("made");
        let change = ServiceChange {
            service: name,
            task_definition,
            assumes: Some(point.deployment.clone()),
        };
        let ours = block_on(ports.target.update_service(&ctx(), &change)).expect("nobody else deploys");
        cloud.with(|w| w.pass(so_long));
        Self {
            cloud,
            ports,
            point,
            ours,
        }
    }

    /// Goes back, and how long that took.
    fn back(&self, fast: bool) -> (Outcome, Duration) {
        let clock = self.cloud.clock();
        let run = "r-1".parse().expect("an id");
        let spec = Spec {
            run,
            changed: vec![Item {
                step: "unwind/service/api".parse().expect("an id"),
                undo: Undo::Service {
                    service: self.point.service.clone(),
                    point: Some(self.point.clone()),
                    ours: Some(self.ours.deployment.clone()),
                    our_revision: None,
                },
            }],
            blocked_by: None,
        };
        let policy = Policy {
            fast,
            deployment: deployment::Policy {
                poll_every: Duration::from_secs(5),
                pace: None,
                give_up: Duration::from_secs(7_200),
                stopped_tasks: 5,
                max_errors: 5,
                answer: Duration::from_secs(20),
                stale_reads: Duration::from_secs(30),
            },
            cutover: rollout_examples::storefront::draft(&rollout_sim::storefront(7), "r-1", "2.4.0")
                .expect("a storefront")
                .policy
                .unwind_cutover,
        };
        let mut machine = Unwind::new(spec, policy);
        let journal: MemoryJournal<Event, Effect> = MemoryJournal::new();
        let step = "rollback".parse().expect("an id");
        let performer = PortPerformer::new(
            self.ports.clone(),
            Arc::clone(&clock) as Arc<dyn Clock>,
            "r-1".parse().expect("an id"),
            step,
            Duration::from_secs(20),
        );
        let began = clock.now();
        let driver = Driver {
            run: "r-1".parse().expect("an id"),
            performer: &performer,
            journal: &journal,
            clock: clock.as_ref(),
            observer: &Silent,
        };
        let outcome = block_on(driver.run(&mut machine, futures_util::stream::empty())).expect("driven");
        (outcome, clock.now().since(began))
    }

    fn calls(&self, of: Operation) -> usize {
        self.cloud
            .with(|w| w.calls().effects().filter(|call| call.operation == of).count())
    }
}

/// Everything that answers is of tag 1, and the service is at rest.
fn assert_at_rest(midway: &Midway) {
    let old = midway
        .cloud
        .with(|w| w.image("prod", REPOSITORY, "1"))
        .expect("pushed");
    let seen = midway
        .cloud
        .with(|w| w.service("prod", "api"))
        .expect("it is there");
    assert_eq!(seen.tasks.len(), 3, "{seen:#?}");
    assert!(
        seen.tasks
            .iter()
            .all(|task| task.images.values().all(|shown| *shown == old)),
        "{seen:#?}"
    );
    let primary = seen.primary().expect("a PRIMARY deployment");
    assert_eq!(primary.task_definition, midway.point.task_definition);
}

const CANARY: Strategy = Strategy::Canary {
    share: 100,
    bake_minutes: 10,
};
const LINEAR: Strategy = Strategy::Linear {
    step: 200,
    bake_minutes: 5,
};

#[test]
fn what_is_under_way_goes_back_as_it_stands_and_much_faster() {
    // After six minutes a share of the traffic is with the new tasks, and the strategy bakes.
    let midway = Duration::from_secs(360);
    for (strategy, shown, at_least) in [
        (CANARY, Shown::Canary, Duration::from_secs(900)),
        (LINEAR, Shown::Linear, Duration::from_secs(900)),
        (Strategy::BlueGreen, Shown::BlueGreen, Duration::from_secs(500)),
    ] {
        let (fast, plain) = (Midway::after(strategy, midway), Midway::after(strategy, midway));
        let before = fast
            .cloud
            .with(|w| w.service("prod", "api"))
            .expect("it is there");
        let record = before.primary().and_then(|d| d.record.clone()).expect("a record");
        assert_eq!(
            (record.status, record.strategy),
            (RecordStatus::InProgress, shown.clone())
        );

        let (outcome, quick) = fast.back(true);
        assert!(matches!(outcome, Outcome::AtLastKnownGood { .. }), "{outcome:#?}");
        assert_at_rest(&fast);
        assert_eq!(
            (fast.calls(Operation::TurnBack), fast.calls(Operation::Restore)),
            (1, 0)
        );
        // The tasks that ran before were never stopped: it is the same deployment.
        let after = fast
            .cloud
            .with(|w| w.service("prod", "api"))
            .expect("it is there");
        assert_eq!(after.primary().map(|d| &d.id), Some(&fast.point.deployment));

        let (outcome, slow) = plain.back(false);
        assert!(matches!(outcome, Outcome::AtLastKnownGood { .. }), "{outcome:#?}");
        assert_at_rest(&plain);
        assert_eq!(
            (plain.calls(Operation::TurnBack), plain.calls(Operation::Restore)),
            (0, 1)
        );
        println!(
            "{shown:?}: {} s turned back, {} s written over",
            quick.as_secs(),
            slow.as_secs()
        );
        assert!(slow > quick + at_least, "{shown:?}: {quick:?} against {slow:?}");
    }
}

#[test]
fn a_rolling_deployment_is_turned_back_too() {
    // Some of the old tasks have been replaced.
    let so_long = Duration::from_secs(20);
    let (fast, plain) = (
        Midway::after(Strategy::Rolling, so_long),
        Midway::after(Strategy::Rolling, so_long),
    );
    let (outcome, quick) = fast.back(true);
    assert!(matches!(outcome, Outcome::AtLastKnownGood { .. }), "{outcome:#?}");
    assert_at_rest(&fast);
    assert_eq!(
        (fast.calls(Operation::TurnBack), fast.calls(Operation::Restore)),
        (1, 0)
    );
    let (outcome, slow) = plain.back(false);
    assert!(matches!(outcome, Outcome::AtLastKnownGood { .. }), "{outcome:#?}");
    println!(
        "Rolling: {} s turned back, {} s written over",
        quick.as_secs(),
        slow.as_secs()
    );
    assert!(quick <= slow, "{quick:?} against {slow:?}");
}

#[test]
fn what_has_arrived_is_written_over() {
    let midway = Midway::after(CANARY, Duration::from_secs(2 * 3_600));
    let (outcome, _) = midway.back(true);
    assert!(matches!(outcome, Outcome::AtLastKnownGood { .. }), "{outcome:#?}");
    assert_at_rest(&midway);
    assert_eq!(
        (
            midway.calls(Operation::TurnBack),
            midway.calls(Operation::Restore)
        ),
        (0, 1)
    );
}

#[test]
fn another_deployer_is_yielded_to_although_the_short_cut_is_there() {
    let midway = Midway::after(CANARY, Duration::from_secs(360));
    midway.cloud.with(|w| {
        let service = "api".to_owned();
        let foreign = Incident::ForeignDeployer { service, image: None };
        w.schedule("prod", When::At(w.now()), foreign)
            .expect("it is there");
        w.pass(Duration::from_secs(1));
    });
    let (outcome, _) = midway.back(true);
    // Someone deploys our revision once more: theirs, and not ours to stop.
    assert!(matches!(outcome, Outcome::Superseded(_)), "{outcome:#?}");
    assert_eq!(midway.calls(Operation::TurnBack), 0, "{outcome:#?}");
}
