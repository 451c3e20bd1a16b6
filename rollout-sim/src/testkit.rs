//! What the tests of this crate share: a small world, and words to deploy into it.

use core::time::Duration;

use rollout_core::context::OpContext;
use rollout_core::error::Error;
use rollout_core::id::{DeploymentId, Generation, TaskDefinitionArn};
use rollout_core::image::ImageRef;
use rollout_core::pace::Priority;
use rollout_core::port::Ports;
use rollout_core::service::{
    DeploymentObservation, DeploymentStarted, RevisionSpec, ServiceChange, ServiceObservation,
};
use rollout_core::time::Timestamp;

use crate::{Behaviour, ServiceBuilder, SimCloud, Start, World};

pub(crate) const REPOSITORY: &str = "app/api";

pub(crate) fn ctx(step: &str, attempt: u32) -> OpContext {
    OpContext {
        run: "r-1".parse().expect("a run id"),
        step: step.parse().expect("a step id"),
        attempt,
        generation: Generation(1),
        deadline: Timestamp::MAX,
        priority: Priority::Look,
    }
}

/// Three tasks behind a target group run tag 1; tag 2 starts in this way.
pub(crate) fn world(seed: u64, start: Start) -> World {
    world_with(seed, start, |s| s.load_balanced(8080))
}

pub(crate) fn world_with(
    seed: u64,
    start: Start,
    describe: impl FnOnce(ServiceBuilder) -> ServiceBuilder,
) -> World {
    let behaviour = Behaviour::starting(start).logging(["starting", "no database"]);
    World::builder(seed)
        .environment("prod", |e| {
            e.image(REPOSITORY, "1")
                .image_that(REPOSITORY, "2", behaviour)
                .image(REPOSITORY, "3")
                .service("api", |s| {
                    describe(s.container("api", REPOSITORY, "1").desired(3))
                })
        })
        .build()
        .expect("well described")
}

pub(crate) struct Bench {
    pub(crate) cloud: SimCloud,
    pub(crate) ports: Ports,
}

impl Bench {
    pub(crate) fn new(world: World) -> Self {
        let cloud = SimCloud::new(world);
        let ports = cloud.ports("prod", "prod").expect("the environment exists");
        Self { cloud, ports }
    }

    pub(crate) fn spec(&self, tag: &str) -> RevisionSpec {
        let digest = self
            .cloud
            .with(|w| w.image("prod", REPOSITORY, tag))
            .expect("pushed");
        let image = ImageRef {
            repository: REPOSITORY.parse().expect("a name"),
            digest,
        };
        RevisionSpec {
            template: serde_json::json!({
                "family": "api",
                "containerDefinitions": [{ "name": "api", "essential": true, "image": "" }],
            }),
            images: [("api".parse().expect("a name"), image)].into(),
        }
    }

    pub(crate) fn ensure(&self, spec: &RevisionSpec) -> TaskDefinitionArn {
        let ctx = ctx("api/revision", 1);
        let ensured = pollster::block_on(self.ports.target.ensure_revision(&ctx, spec));
        ensured.expect("a good task definition").0
    }

    /// Deploys a tag, assuming nothing has changed since it was looked at.
    pub(crate) fn update(&self, tag: &str) -> Result<DeploymentStarted, Error> {
        let assumes = self.see().primary().map(|d| d.id.clone());
        self.update_to(self.ensure(&self.spec(tag)), assumes)
    }

    pub(crate) fn update_to(
        &self,
        task_definition: TaskDefinitionArn,
        assumes: Option<DeploymentId>,
    ) -> Result<DeploymentStarted, Error> {
        let change = ServiceChange {
            service: "api".parse().expect("a name"),
            task_definition,
            assumes,
        };
        pollster::block_on(self.ports.target.update_service(&ctx("api/update", 1), &change))
    }

    pub(crate) fn see(&self) -> ServiceObservation {
        self.cloud
            .with(|w| w.service("prod", "api"))
            .expect("the environment exists")
    }

    /// Lets the world go on until the service looks like this; panics after an hour.
    pub(crate) fn until(&self, what: &str, done: impl Fn(&ServiceObservation) -> bool) -> ServiceObservation {
        let seen = self.cloud.with(|w| {
            let end = w.now().after(Duration::from_secs(3_600));
            w.advance_until(end, |w| done(&w.service("prod", "api").expect("it exists")))
        });
        let now = self.see();
        assert!(seen, "never {what}: {now:#?}");
        now
    }

    pub(crate) fn deployment(&self, started: &DeploymentStarted) -> DeploymentObservation {
        let seen = self.see();
        let found = seen.deployment(&started.deployment).cloned();
        found.unwrap_or_else(|| panic!("{} is not shown: {seen:#?}", started.deployment))
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.see().events.into_iter().map(|e| e.detail).collect()
    }
}
