//! The real `rollout-aws` through the real SDK over the simulated cloud's endpoint, in process and on virtual time.
//!
//! `cargo test -p rollout-tests --features endpoint --test endpoint`

use core::time::Duration;
use std::sync::Arc;

use rollout_aws::ecs::{EcsEnvironment, EcsRollback};
use rollout_aws::secretsmanager::Secrets;
use rollout_aws::ssm::Parameters;
use rollout_aws::sts::{Expected, IdentityGuard};
use rollout_core::context::OpContext;
use rollout_core::error::{Applied, Error, ErrorKind};
use rollout_core::evidence::Cause;
use rollout_core::id::{ContainerName, Generation, ServiceName, TaskDefinitionArn};
use rollout_core::image::{Ensured, ImageRef};
use rollout_core::pace::Priority;
use rollout_core::port::{Clock, Environment, Rollback};
use rollout_core::service::{
    Captured, DeploymentRole, DeploymentStarted, Found, PartKind, RecordStatus, RevisionSpec, RolloutState,
    ServiceChange, ServiceObservation, TaskObservation, TaskSpec,
};
use rollout_sim::endpoint::{Damage, Endpoint, InProcess, Upset, WireFault};
use rollout_sim::{Behaviour, SimCloud, Start, World};
use serde_json::json;

const ACCOUNT: &str = "444455556666";
const REGION: &str = "eu-central-1";
const SECRET: &str = "arn:aws:secretsmanager:eu-central-1:444455556666:secret:shop/db-AbCdEf";
const KEY: &str = "/shop/key";

/// Production with a service of three tasks and an image for each thing that can happen to it.
struct Site {
    wire: InProcess,
    environment: Arc<EcsEnvironment>,
    rollback: EcsRollback,
    clock: Arc<dyn Clock>,
}

impl Site {
    fn new() -> Self {
        let crash = Behaviour::starting(Start::CrashAfter {
            millis: 2_000,
            exit_code: 3,
        });
        let world = World::builder(11)
            .environment("production", |e| {
                e.account(ACCOUNT)
                    .region(REGION)
                    .secret(SECRET, "x")
                    .parameter(KEY, "x")
                    .image("shop/api", "1.0.0")
                    .image("shop/api", "1.1.0")
                    .image_that("shop/api", "crashes", crash.logging(["no database"]))
                    .service("api", |s| {
                        s.container("api", "shop/api", "1.0.0")
                            .desired(3)
                            .load_balanced(8080)
                    })
            })
            .build()
            .expect("a world");
        let wire = InProcess::new(Endpoint::new(SimCloud::new(world)));
        let config = wire.config("production").expect("it was described");
        let expected = Expected {
            account: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            caller: None,
        };
        let guard = Arc::new(IdentityGuard::from_config(&config, expected));
        let now = wire.clone();
        let environment = EcsEnvironment::from_config(&config, "production", guard);
        let environment = Arc::new(environment.clock(Arc::new(move || now.now())));
        Self {
            rollback: EcsRollback::new(Arc::clone(&environment))
                .secrets(Secrets::from_config(&config))
                .parameters(Parameters::from_config(&config, ACCOUNT)),
            clock: wire.clock(),
            environment,
            wire,
        }
    }

    fn context(&self, step: &str) -> OpContext {
        OpContext {
            run: "r-1".parse().expect("a name"),
            step: step.parse().expect("a name"),
            attempt: 1,
            generation: Generation(1),
            deadline: self.clock.now().after(Duration::from_secs(60)),
            priority: Priority::Look,
        }
    }

    /// The service's template with an image.
    fn spec(&self, tag: &str) -> RevisionSpec {
        let digest = self
            .wire
            .endpoint()
            .cloud()
            .with(|w| w.image("production", "shop/api", tag));
        let image = ImageRef {
            repository: "shop/api".parse().expect("a name"),
            digest: digest.expect("it was described"),
        };
        let container: ContainerName = "api".parse().expect("a name");
        RevisionSpec {
            template: json!({
                "family": "api", "networkMode": "awsvpc", "cpu": "256", "memory": "512",
                "containerDefinitions": [{ "name": "api", "image": "none", "essential": true }],
            }),
            images: [(container, image)].into(),
        }
    }

    async fn register(&self, tag: &str) -> (TaskDefinitionArn, Ensured) {
        let context = self.context("revision");
        let registered = self.environment.ensure_revision(&context, &self.spec(tag)).await;
        registered.expect("it is registered")
    }

    async fn update(&self, task_definition: TaskDefinitionArn) -> Result<DeploymentStarted, Error> {
        let change = ServiceChange {
            service: api(),
            task_definition,
            assumes: None,
        };
        self.environment
            .update_service(&self.context("update"), &change)
            .await
    }

    async fn look(&self) -> ServiceObservation {
        let seen = self
            .environment
            .observe_service(&self.context("observe"), &api())
            .await;
        seen.expect("an observation")
    }

    /// Looks every ten seconds until `done` says so.
    async fn until(&self, done: impl Fn(&ServiceObservation) -> bool) -> ServiceObservation {
        let give_up = self.clock.now().after(Duration::from_secs(1_800));
        loop {
            let seen = self.look().await;
            if done(&seen) {
                return seen;
            }
            assert!(self.clock.now() < give_up, "not within half an hour: {seen:#?}");
            let next = self.clock.now().after(Duration::from_secs(10));
            self.clock.sleep_until(next).await;
        }
    }

    fn count(&self, operation: &str) -> usize {
        let calls = self.wire.endpoint().calls();
        calls.iter().filter(|call| call.operation == operation).count()
    }
}

fn api() -> ServiceName {
    "api".parse().expect("a name")
}

fn is_done(seen: &ServiceObservation, ours: &DeploymentStarted) -> bool {
    let primary = seen.primary().filter(|d| d.id == ours.deployment);
    primary.is_some_and(|d| d.rollout == RolloutState::Completed)
}

#[tokio::test(start_paused = true)]
async fn a_release_is_registered_deployed_and_seen_to_completed() {
    let site = Site::new();
    let begun = std::time::Instant::now();
    let (arn, ensured) = site.register("1.1.0").await;
    assert_eq!(ensured, Ensured::Created);
    // The content is found again and no revision is added.
    assert_eq!(site.register("1.1.0").await, (arn.clone(), Ensured::AlreadyThere));
    let ours = site.update(arn.clone()).await.expect("it is begun");
    let done = site.until(|seen| is_done(seen, &ours)).await;
    assert_eq!((done.running, done.desired, done.pending), (3, 3, 0));
    let wanted = site
        .spec("1.1.0")
        .images
        .into_iter()
        .map(|(name, image)| (name, image.digest))
        .collect();
    assert!(
        done.tasks
            .iter()
            .all(|task| task.images == wanted && task.task_definition == arn)
    );
    let record = done.primary().and_then(|d| d.record.clone()).expect("a record");
    assert_eq!(record.status, RecordStatus::Successful);
    assert_eq!(Some(record.arn), ours.service_deployment);
    // To say it again is to find it.
    assert_eq!(
        site.update(arn).await.expect("it is there").deployment,
        ours.deployment
    );
    assert_eq!(site.count("UpdateService"), 1);
    // Minutes of the world, moments of ours.
    assert!(site.clock.now().since(done.deployments[0].created_at) > Duration::from_secs(30));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_crash_trips_the_breaker_and_the_way_back_is_seen() {
    let site = Site::new();
    let before = site.look().await.primary().expect("it runs").clone();
    let (arn, _) = site.register("crashes").await;
    let ours = site.update(arn.clone()).await.expect("it is begun");
    let failed = site
        .until(|seen| {
            let ours = seen.deployments.iter().find(|d| d.id == ours.deployment);
            ours.is_some_and(|d| d.rollout == RolloutState::Failed)
        })
        .await;
    let dead = failed
        .stopped
        .iter()
        .find(|task| task.task_definition == arn)
        .expect("tasks crashed");
    assert_eq!(dead.cause, Some(Cause::ContainerExited));
    assert_eq!(dead.code.as_deref(), Some("EssentialContainerExited"));
    assert_eq!(dead.containers[0].exit_code, Some(3));
    let back = site
        .until(|seen| {
            seen.primary().is_some_and(|d| {
                d.task_definition == before.task_definition && d.rollout == RolloutState::Completed
            })
        })
        .await;
    assert_eq!(back.running, 3);
    let ours = back.deployments.iter().find(|d| d.id == ours.deployment);
    let record = ours.and_then(|d| d.record.clone());
    if let Some(record) = record {
        assert_eq!(record.status, RecordStatus::RollbackSuccessful);
        assert_eq!(record.rolled_back_to, Some(before.task_definition.clone()));
    }
    assert!(
        back.deployments
            .iter()
            .all(|d| d.role != DeploymentRole::Primary || d.task_definition == before.task_definition)
    );
}

#[tokio::test(start_paused = true)]
async fn what_ran_before_is_captured_and_restored() {
    let site = Site::new();
    let captured = site
        .rollback
        .capture(&site.context("capture"), &api())
        .await
        .expect("an answer");
    let Captured::Point(point) = captured else {
        panic!("nothing to go back to: {captured:?}");
    };
    let (arn, _) = site.register("1.1.0").await;
    let ours = site.update(arn).await.expect("it is begun");
    // In the middle of it there is nothing new to go back to.
    let busy = site
        .rollback
        .capture(&site.context("capture"), &api())
        .await
        .expect("an answer");
    assert!(!matches!(busy, Captured::Point(_)), "{busy:?}");
    site.until(|seen| is_done(seen, &ours)).await;
    let context = site.context("restore");
    // Someone who assumes another deployment changes nothing.
    let other = site
        .rollback
        .restore(&context, &point, Some(&point.deployment))
        .await;
    assert_eq!(
        other.map_err(|e| (e.kind, e.applied)),
        Err((ErrorKind::Conflict, Applied::No))
    );
    let back = site
        .rollback
        .restore(&context, &point, Some(&ours.deployment))
        .await
        .expect("it is begun");
    let done = site.until(|seen| is_done(seen, &back)).await;
    assert!(done.tasks.iter().all(|task| task.images == point.images));
}

#[tokio::test(start_paused = true)]
async fn a_one_off_task_runs_once() {
    let site = Site::new();
    let spec = TaskSpec {
        name: "migrate".parse().expect("a name"),
        revision: site.spec("1.1.0"),
        run: json!({ "launchType": "FARGATE" }),
    };
    let context = site.context("migrate");
    let task = site
        .environment
        .start_task(&context, &spec)
        .await
        .expect("it is started");
    let again = site
        .environment
        .start_task(&context, &spec)
        .await
        .expect("it is there");
    assert_eq!(again, task);
    assert_eq!(
        site.environment
            .find_task(&context, &spec)
            .await
            .expect("an answer"),
        Some(task.clone())
    );
    let stopped = loop {
        match site
            .environment
            .observe_task(&context, &task)
            .await
            .expect("an answer")
        {
            TaskObservation::Stopped(stopped) => break stopped,
            TaskObservation::Running { at, .. } => {
                site.clock.sleep_until(at.after(Duration::from_secs(5))).await
            }
            TaskObservation::Missing { at } => panic!("it is gone at {at}"),
        }
    };
    assert_eq!((stopped.cause, stopped.containers[0].exit_code), (None, Some(0)));
    // The token is used up for a day; another attempt is another task.
    let mut second = context.clone();
    second.attempt = 2;
    let other = site
        .environment
        .start_task(&second, &spec)
        .await
        .expect("it is started");
    assert_ne!(other, task);
    site.environment
        .stop_task(&second, &other)
        .await
        .expect("it stops");
}

/// Reads are repeated by the SDK; a write that may have taken effect is not, and says so.
#[tokio::test(start_paused = true)]
async fn what_breaks_on_the_wire_is_told_apart() {
    for (what, kind, applied) in [
        (Upset::LostAnswer, ErrorKind::Unavailable, Applied::Maybe),
        (Upset::ResetBefore, ErrorKind::Unavailable, Applied::Maybe),
        (Upset::Unreachable, ErrorKind::Unavailable, Applied::No),
        (Upset::FailsAfter(500), ErrorKind::Unavailable, Applied::Maybe),
        (Upset::FailsBefore(503), ErrorKind::Unavailable, Applied::Maybe),
        (Upset::Throttled, ErrorKind::Throttled, Applied::No),
        (
            Upset::Damaged(Damage::CutShort),
            ErrorKind::Unavailable,
            Applied::Maybe,
        ),
        (
            Upset::AnswersLate(Duration::from_secs(40)),
            ErrorKind::TimedOut,
            Applied::Maybe,
        ),
        (
            Upset::LandsLate(Duration::from_secs(40)),
            ErrorKind::TimedOut,
            Applied::Maybe,
        ),
    ] {
        let site = Site::new();
        let (arn, _) = site.register("1.1.0").await;
        let fault = WireFault::nth("ecs", "UpdateService", 1, what.clone());
        site.wire.endpoint().disturb(fault);
        let error = site.update(arn.clone()).await.expect_err("it went wrong");
        assert_eq!((error.kind, error.applied), (kind, applied), "{what:?}: {error}");
        assert_eq!(
            site.count("UpdateService"),
            usize::from(!matches!(what, Upset::LandsLate(_))),
            "{what:?}"
        );
        site.clock
            .sleep_until(site.clock.now().after(Duration::from_secs(60)))
            .await;
        let lands = matches!(
            what,
            Upset::LostAnswer
                | Upset::FailsAfter(_)
                | Upset::AnswersLate(_)
                | Upset::LandsLate(_)
                | Upset::Damaged(_)
        );
        let now = site.look().await.primary().map(|d| d.task_definition == arn);
        assert_eq!(now, Some(lands), "{what:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn reads_that_fail_are_read_again() {
    let site = Site::new();
    for what in [
        Upset::Throttled,
        Upset::FailsBefore(500),
        Upset::LostAnswer,
        Upset::ResetBefore,
    ] {
        let fault = WireFault::nth("ecs", "DescribeServices", 1, what);
        site.wire.endpoint().disturb(fault);
        assert_eq!(site.look().await.running, 3);
        site.wire.endpoint().calm();
    }
    assert_eq!(site.count("DescribeServices"), 8);
}

/// A stale read shows the deployment from before, and nobody takes that for someone else's.
#[tokio::test(start_paused = true)]
async fn a_stale_read_after_the_write_is_no_conflict() {
    let site = Site::new();
    let (arn, _) = site.register("1.1.0").await;
    // The first look is before the write, the second reads back.
    let stale = WireFault::nth(
        "ecs",
        "DescribeServices",
        2,
        Upset::Stale(Duration::from_secs(30)),
    );
    site.wire.endpoint().disturb(stale);
    let ours = site.update(arn).await.expect("a stale look is no conflict");
    let calls = site.wire.endpoint().calls();
    assert!(
        calls
            .iter()
            .any(|call| matches!(call.upset, Some(Upset::Stale(_)))),
        "it was read back"
    );
    assert!(
        site.look()
            .await
            .primary()
            .is_some_and(|d| d.id == ours.deployment)
    );
}

#[tokio::test(start_paused = true)]
async fn a_way_back_is_known_to_lack_its_secret_or_parameter_before_it_is_gone() {
    let site = Site::new();
    let cloud = site.wire.endpoint().cloud().clone();
    let mut spec = site.spec("1.1.0");
    let named = [SECRET, KEY, "arn:aws:ssm:us-east-1:444455556666:parameter/x"];
    let named = named.map(|from| json!({ "name": "A", "valueFrom": from }));
    spec.template["containerDefinitions"][0]["secrets"] = json!(named);
    let registered = site
        .environment
        .ensure_revision(&site.context("revision"), &spec)
        .await;
    let (arn, _) = registered.expect("it is registered");
    let ours = site.update(arn).await.expect("it is begun");
    site.until(|seen| is_done(seen, &ours)).await;
    let captured = site.rollback.capture(&site.context("capture"), &api()).await;
    let Ok(Captured::Point(point)) = captured else {
        panic!("{captured:#?}")
    };
    let look = async |step: &str| {
        let seen = site
            .rollback
            .usable(&site.context(step), &point)
            .await
            .expect("an answer");
        let parts = seen
            .parts
            .into_iter()
            .filter(|part| part.kind == PartKind::Secret);
        parts.map(|part| part.found).collect::<Vec<_>>()
    };
    let found = look("usable").await;
    assert!(
        matches!(found[..], [Found::Usable, Found::Usable, Found::Unknown { .. }]),
        "{found:#?}"
    );
    cloud.with(|world| world.delete_parameter("production", KEY).expect("it is there"));
    let found = look("parameter").await;
    assert!(
        matches!(
            found[..],
            [Found::Gone { .. }, Found::Usable, Found::Unknown { .. }]
        ),
        "{found:#?}"
    );
    cloud.with(|world| world.delete_secret("production", SECRET).expect("it is there"));
    let found = look("secret").await;
    assert!(
        matches!(
            found[..],
            [Found::Gone { .. }, Found::Gone { .. }, Found::Unknown { .. }]
        ),
        "{found:#?}"
    );
}
