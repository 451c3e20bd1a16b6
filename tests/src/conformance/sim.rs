//! A small world on the simulated cloud. The ports under test are whatever stands on it: the simulation's own, or adapters
//! that reach it through its endpoint. The fixture itself uses the world's handle alone.

use core::cell::Cell;
use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use rollout_core::conformance::dns_cutover::{DnsCutoverFixture, ZoneAtHand};
use rollout_core::conformance::environment::{EnvironmentFixture, Job, Release, Settled, Truth};
use rollout_core::conformance::health_gate::{HealthGateFixture, Source, State};
use rollout_core::conformance::image_promotion::{ImagePromotionFixture, Pushed};
use rollout_core::conformance::rollback::RollbackFixture;
use rollout_core::conformance::{Fixture, Stop, Trouble};
use rollout_core::dns::{Change, Record, RecordData, RecordKey, RecordType};
use rollout_core::error::ErrorKind;
use rollout_core::id::{
    ChangeId, ImageDigest, RepositoryName, RunId, ServiceName, TaskArn, TaskDefinitionArn, ZoneId,
};
use rollout_core::image::ImageRef;
use rollout_core::port::{Clock, DnsCutover, Environment, HealthGate, ImagePromotion, Ports, Rollback};
use rollout_core::probe::{HttpProbe, ProbeTarget};
use rollout_core::service::{Identity, RevisionSpec, TaskSpec};
use rollout_core::time::Timestamp;
use rollout_sim::{
    AlarmState, Behaviour, Disturbance, Fault, Incident, Operation, SimCloud, Span, Start, Unknown, When,
    World,
};
use serde_json::{Value, json};

pub(super) const SOURCE: &str = "staging";
pub(super) const TARGET: &str = "production";
pub(super) const SOURCE_ACCOUNT: &str = "111111111111";
pub(super) const TARGET_ACCOUNT: &str = "222222222222";
pub(super) const REGION: &str = "eu-central-1";
const SERVICE: &str = "api";
const IMAGES: &str = "app/api";
const JOBS: &str = "app/job";
const EMPTY: &str = "new/api";
pub(super) const ZONE: &str = "Z0CONFORMANCE";
const LEGACY: &str = "legacy-1000000001.eu-central-1.elb.amazonaws.com";
const DEAD: &str = "dead-1000000003.eu-central-1.elb.amazonaws.com";
const REQUESTS: u64 = 60;
const ALARMS: [&str; 8] = ["a-0", "a-1", "a-2", "a-3", "a-4", "a-5", "a-6", "a-7"];

/// The world: an image in staging; in production a service, one-off tasks, load balancers, alarms and a zone.
///
/// # Panics
/// Never: everything in it is well formed.
#[must_use]
pub fn world(seed: u64) -> World {
    let crash = Start::CrashAfter {
        millis: 2_000,
        exit_code: 1,
    };
    let job = |takes, exit_code| Behaviour {
        job: rollout_sim::Job { takes, exit_code },
        ..Behaviour::default()
    };
    let built = World::builder(seed)
        .environment(SOURCE, |e| e.account(SOURCE_ACCOUNT).image(IMAGES, "9"))
        .environment(TARGET, |e| {
            let e = ALARMS
                .iter()
                .fold(e.account(TARGET_ACCOUNT), |e, alarm| e.alarm(alarm));
            e.repository(EMPTY)
                .image(IMAGES, "1")
                .image(IMAGES, "good")
                .image(IMAGES, "other")
                .image(IMAGES, "foreign")
                .image_that(
                    IMAGES,
                    "failing",
                    Behaviour::starting(crash).logging(["no database"]),
                )
                .image_that(JOBS, "succeeds", job(Span::secs(3, 8), 0))
                .image_that(JOBS, "fails", job(Span::secs(3, 8), 3))
                .image_that(JOBS, "lasts", job(Span::secs(86_400, 86_400), 0))
                .service(SERVICE, |s| {
                    s.container("api", IMAGES, "1").desired(2).load_balanced(8080)
                })
                .balancer("front", |b| b.route("/", SERVICE))
                .balancer("legacy", |b| b.dns_name(LEGACY).machines(2, 0))
                .balancer("dead", |b| b.dns_name(DEAD).machines(0, 2))
        })
        .zone(ZONE, "example.com", |z| {
            z.values("www.example.com", RecordType::Cname, 300, &[LEGACY])
                .alias("shop.example.com", TARGET, "front")
                .clients("www.example.com", RecordType::Cname, REQUESTS)
        })
        .build();
    built.expect("its names are constants")
}

/// What stands between the ports under test and the world.
pub trait Wire {
    /// How many calls that could change something have reached the world.
    fn writes(&self) -> u64;

    /// Calls meet this trouble from now on, or none.
    ///
    /// # Errors
    /// When they cannot.
    fn upset(&self, trouble: Option<Trouble>) -> Result<(), Stop>;

    /// Whether the world can be asked for this operation of AWS.
    ///
    /// # Errors
    /// A skip, when it cannot.
    fn models(&self, operation: &str) -> Result<(), Stop>;
}

/// The simulation's own ports: nothing stands between.
#[derive(Clone, Debug)]
pub struct Direct(pub SimCloud);

impl Wire for Direct {
    fn writes(&self) -> u64 {
        self.0.with(|world| world.calls().mutations().len() as u64)
    }

    fn upset(&self, trouble: Option<Trouble>) -> Result<(), Stop> {
        let what = match trouble {
            None => {
                self.0.with(World::calm);
                return Ok(());
            }
            Some(Trouble::LostAnswers) => Disturbance::LostAnswer,
            Some(Trouble::Throttled) => Disturbance::Refused(ErrorKind::Throttled),
            Some(Trouble::Denied) => Disturbance::Refused(ErrorKind::PermissionDenied),
            Some(other) => return Err(Stop::skip(format!("the simulation knows no {other:?}"))),
        };
        let writes_only = trouble == Some(Trouble::LostAnswers);
        for operation in Operation::ALL.into_iter().filter(|o| o.mutates() || !writes_only) {
            self.0.with(|world| world.disturb(Fault::every(operation, what)));
        }
        Ok(())
    }

    fn models(&self, _: &str) -> Result<(), Stop> {
        Ok(())
    }
}

/// The world of [`world`], with ports on it.
pub struct SimFixture {
    cloud: SimCloud,
    ports: Ports,
    clock: Arc<dyn Clock>,
    wire: Box<dyn Wire>,
    alarms: Cell<usize>,
}

impl SimFixture {
    /// The simulation's own ports.
    #[must_use]
    pub fn direct(seed: u64) -> Self {
        Self::wrapped(seed, |ports| ports)
    }

    /// The simulation's own ports with something around them.
    ///
    /// # Panics
    /// Never: the world has both environments.
    #[must_use]
    pub fn wrapped(seed: u64, wrap: impl FnOnce(Ports) -> Ports) -> Self {
        let cloud = SimCloud::new(world(seed));
        let ports = wrap(
            cloud
                .ports(SOURCE, TARGET)
                .expect("both environments are described"),
        );
        let (clock, wire) = (cloud.clock(), Box::new(Direct(cloud.clone())));
        Self::over(cloud, ports, clock, wire)
    }

    /// Any ports on a world of [`world`]. `clock` is the one that they and the world keep.
    #[must_use]
    pub fn over(cloud: SimCloud, ports: Ports, clock: Arc<dyn Clock>, wire: Box<dyn Wire>) -> Self {
        Self {
            cloud,
            ports,
            clock,
            wire,
            alarms: Cell::new(0),
        }
    }

    fn digest(&self, environment: &str, repository: &str, tag: &str) -> Result<ImageDigest, Stop> {
        known(self.cloud.with(|world| world.image(environment, repository, tag)))
    }

    fn image(&self, repository: &str, tag: &str) -> Result<ImageRef, Stop> {
        Ok(ImageRef {
            repository: repository.parse().map_err(Stop::fixture)?,
            digest: self.digest(TARGET, repository, tag)?,
        })
    }

    fn revision(&self, family: &str, repository: &str, tag: &str) -> Result<RevisionSpec, Stop> {
        let image = self.image(repository, tag)?;
        Ok(RevisionSpec {
            template: json!({
                "family": family,
                "containerDefinitions": [{ "name": family, "essential": true, "image": "" }],
            }),
            images: [(family.parse().map_err(Stop::fixture)?, image)].into(),
        })
    }

    /// Something happens to production.
    async fn happens(&self, incident: Incident) -> Result<(), Stop> {
        let soon = When::After(Duration::from_secs(1));
        known(self.cloud.with(|world| world.schedule(TARGET, soon, incident)))?;
        // A zone is busy with a change for less than a second.
        self.pass(Duration::from_secs(5)).await
    }

    /// The DNS name of the service's load balancer.
    fn front(&self) -> Result<String, Stop> {
        match known(self.cloud.with(|world| world.alias_to(TARGET, "front")))? {
            RecordData::Alias { target, .. } => Ok(target.normalised()),
            RecordData::Values { .. } => Err(Stop::fixture("not an alias")),
        }
    }

    fn bytes_in(&self, environment: &str, image: &ImageRef) -> Result<Option<Vec<u8>>, Stop> {
        known(self.cloud.with(|world| {
            let held = world.manifest(environment, &image.repository, &image.digest)?;
            Ok(held.map(<[u8]>::to_vec))
        }))
    }

    fn children(&self, environment: &str, image: &ImageRef) -> Result<Vec<ImageDigest>, Stop> {
        let bytes = self
            .bytes_in(environment, image)?
            .ok_or_else(|| Stop::fixture("no such image"))?;
        let index: Value = serde_json::from_slice(&bytes).map_err(Stop::fixture)?;
        let manifests = index["manifests"].as_array().map_or(&[][..], Vec::as_slice);
        let digests = manifests.iter().filter_map(|child| child["digest"].as_str());
        digests
            .map(|digest| digest.parse().map_err(Stop::fixture))
            .collect()
    }

    fn expire_child(&self, environment: &str, image: &ImageRef) -> Result<ImageDigest, Stop> {
        let child = self.children(environment, image)?.pop();
        let child = child.ok_or_else(|| Stop::fixture("the image has no children"))?;
        let repository = image.repository.as_str();
        known(
            self.cloud
                .with(|world| world.expire_image(environment, repository, &child)),
        )?;
        Ok(child)
    }
}

fn known<T>(answer: Result<T, Unknown>) -> Result<T, Stop> {
    answer.map_err(Stop::fixture)
}

#[async_trait(?Send)]
impl Fixture for SimFixture {
    fn run(&self) -> RunId {
        "conformance".parse().expect("a run id")
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn pass(&self, span: Duration) -> Result<(), Stop> {
        self.clock.sleep_until(self.clock.now().after(span)).await;
        let now = self.clock.now();
        self.cloud.with(|world| world.advance(now));
        Ok(())
    }

    fn pace(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(3_600)
    }

    async fn writes(&self) -> Result<u64, Stop> {
        Ok(self.wire.writes())
    }

    async fn trouble(&self, trouble: Trouble) -> Result<(), Stop> {
        self.wire.upset(Some(trouble))
    }

    async fn calm(&self) -> Result<(), Stop> {
        self.wire.upset(None)
    }
}

#[async_trait(?Send)]
impl EnvironmentFixture for SimFixture {
    fn environment(&self) -> &dyn Environment {
        &*self.ports.target
    }

    async fn identity(&self) -> Result<Identity, Stop> {
        Ok(Identity {
            account: TARGET_ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            caller: "arn:aws:sts::222222222222:assumed-role/deployer/rollout".to_owned(),
            expires_at: None,
        })
    }

    async fn settled(&self) -> Result<Settled, Stop> {
        let container = "api".parse().map_err(Stop::fixture)?;
        Ok(Settled {
            service: SERVICE.parse().map_err(Stop::fixture)?,
            images: [(container, self.digest(TARGET, IMAGES, "1")?)].into(),
            desired: 2,
        })
    }

    async fn truth(&self, service: &ServiceName) -> Result<Truth, Stop> {
        let seen = known(self.cloud.with(|world| world.service(TARGET, service.as_str())))?;
        Ok(Truth {
            primary: seen.primary().map(|d| d.id.clone()),
            task_definition: seen.primary().map(|d| d.task_definition.clone()),
            deployments: seen.deployments.iter().map(|d| d.id.clone()).collect(),
            running: seen.tasks.into_iter().map(|task| task.images).collect(),
        })
    }

    async fn release(&self, release: Release) -> Result<RevisionSpec, Stop> {
        let tag = match release {
            Release::Good => "good",
            Release::Other => "other",
            Release::Failing => "failing",
        };
        self.revision(SERVICE, IMAGES, tag)
    }

    async fn deploy_foreign(&self, service: &ServiceName) -> Result<(), Stop> {
        let image = self.image(IMAGES, "foreign")?;
        self.happens(Incident::ForeignDeployer {
            service: service.to_string(),
            image: Some((image.repository, image.digest)),
        })
        .await
    }

    async fn task(&self, job: Job) -> Result<TaskSpec, Stop> {
        let tag = match job {
            Job::Succeeds => "succeeds",
            Job::Fails => "fails",
            Job::Lasts => "lasts",
        };
        Ok(TaskSpec {
            name: "job".parse().map_err(Stop::fixture)?,
            revision: self.revision("job", JOBS, tag)?,
            run: json!({ "launchType": "FARGATE" }),
        })
    }

    async fn started(&self, spec: &TaskSpec) -> Result<usize, Stop> {
        let family = spec.revision.template["family"].as_str().unwrap_or_default();
        known(self.cloud.with(|world| world.one_off_tasks(TARGET, family)))
    }

    fn absent_service(&self) -> ServiceName {
        "nobody".parse().expect("a name")
    }

    fn absent_task(&self) -> TaskArn {
        let arn = "arn:aws:ecs:eu-central-1:222222222222:task/production/0123456789abcdef0123456789abcdef";
        arn.parse().expect("an ARN")
    }

    fn absent_revision(&self) -> TaskDefinitionArn {
        let arn = "arn:aws:ecs:eu-central-1:222222222222:task-definition/api:999";
        arn.parse().expect("an ARN")
    }
}

#[async_trait(?Send)]
impl RollbackFixture for SimFixture {
    fn rollback(&self) -> &dyn Rollback {
        &*self.ports.rollback
    }

    async fn lose_image(&self, _: &ServiceName) -> Result<(), Stop> {
        self.wire.models("BatchGetImage")?;
        let image = self.digest(TARGET, IMAGES, "1")?;
        known(
            self.cloud
                .with(|world| world.expire_image(TARGET, IMAGES, &image)),
        )
    }
}

#[async_trait(?Send)]
impl ImagePromotionFixture for SimFixture {
    fn images(&self) -> &dyn ImagePromotion {
        &*self.ports.images
    }

    async fn pushed(&self) -> Result<Pushed, Stop> {
        self.wire.models("PutImage")?;
        // Its digest, also after the tag has moved: what it is made of is its name and tag.
        let content = format!("{IMAGES} 9");
        let known_tag = "kept";
        let digest = known(
            self.cloud
                .with(|world| world.push_image(SOURCE, IMAGES, known_tag, &content)),
        )?;
        let image = ImageRef {
            repository: IMAGES.parse().map_err(Stop::fixture)?,
            digest,
        };
        Ok(Pushed {
            // What a check has damaged is not mended by looking: children are read from the index itself.
            children: self.children(SOURCE, &image)?,
            image,
            tag: "9".parse().map_err(Stop::fixture)?,
            to: EMPTY.parse().map_err(Stop::fixture)?,
        })
    }

    async fn move_tag(&self) -> Result<ImageDigest, Stop> {
        known(
            self.cloud
                .with(|world| world.push_image(SOURCE, IMAGES, "9", "something else")),
        )
    }

    async fn bytes(&self, image: &ImageRef) -> Result<Option<Vec<u8>>, Stop> {
        self.bytes_in(TARGET, image)
    }

    async fn source_bytes(&self, image: &ImageRef) -> Result<Option<Vec<u8>>, Stop> {
        self.bytes_in(SOURCE, image)
    }

    async fn held(&self, repository: &RepositoryName) -> Result<BTreeSet<ImageDigest>, Stop> {
        known(self.cloud.with(|world| {
            let held = world.manifests(TARGET, repository)?;
            Ok(held.into_iter().cloned().collect())
        }))
    }

    async fn damage(&self, image: &ImageRef) -> Result<ImageDigest, Stop> {
        self.expire_child(TARGET, image)
    }

    async fn damage_source(&self, image: &ImageRef) -> Result<ImageDigest, Stop> {
        self.expire_child(SOURCE, image)
    }
}

#[async_trait(?Send)]
impl HealthGateFixture for SimFixture {
    fn gate(&self) -> &dyn HealthGate {
        &*self.ports.gates
    }

    async fn target(&self, source: Source, state: State) -> Result<ProbeTarget, Stop> {
        match (source, state) {
            (Source::Alarms, state) => {
                self.wire.models("DescribeAlarms")?;
                let next = self.alarms.replace(self.alarms.get() + 1);
                let name = ALARMS
                    .get(next)
                    .ok_or_else(|| Stop::fixture("no alarm is left"))?;
                let target = ProbeTarget::Alarms {
                    names: vec![(*name).to_owned()],
                };
                self.turn(&target, state).await?;
                Ok(target)
            }
            (Source::Targets, State::Healthy) => {
                let group = known(self.cloud.with(|world| world.target_group(TARGET, SERVICE)))?;
                let target_group = group.ok_or_else(|| Stop::fixture("the service has no target group"))?;
                Ok(ProbeTarget::TargetHealth {
                    target_group,
                    at_least: 2,
                })
            }
            (Source::Targets, State::Failing) => {
                let groups = known(self.cloud.with(|world| {
                    let rule = world.rule(TARGET, "dead", 80, "/")?;
                    world.weights(TARGET, &rule)
                }))?;
                let (target_group, _) = groups
                    .into_iter()
                    .next()
                    .ok_or_else(|| Stop::fixture("no group"))?;
                Ok(ProbeTarget::TargetHealth {
                    target_group,
                    at_least: 1,
                })
            }
            (Source::Http, State::Healthy) => Ok(http(&self.front()?)),
            (Source::Http, State::Failing) => Ok(http("nowhere.example.com")),
            (Source::Targets | Source::Http, State::NoData) => {
                Err(Stop::skip("such a source always says something"))
            }
        }
    }

    async fn turn(&self, target: &ProbeTarget, state: State) -> Result<(), Stop> {
        let ProbeTarget::Alarms { names } = target else {
            return Err(Stop::skip("only alarms are turned here"));
        };
        let state = match state {
            State::Healthy => AlarmState::Ok,
            State::Failing => AlarmState::Alarm,
            State::NoData => AlarmState::InsufficientData,
        };
        for name in names {
            known(self.cloud.with(|world| world.set_alarm(TARGET, name, state)))?;
        }
        Ok(())
    }
}

fn http(host: &str) -> ProbeTarget {
    ProbeTarget::Http(HttpProbe {
        url: format!("http://{host}/"),
        status: Vec::new(),
        body_contains: None,
        latency: Duration::from_secs(5),
        timeout: Duration::from_secs(10),
        redirects: 0,
    })
}

fn cname(target: &str, ttl: u32) -> RecordData {
    RecordData::Values {
        ttl,
        values: vec![target.to_owned()],
    }
}

fn key(name: &str, record_type: RecordType) -> Result<RecordKey, Stop> {
    Ok(RecordKey {
        name: name.parse().map_err(Stop::fixture)?,
        record_type,
        set_identifier: None,
    })
}

#[async_trait(?Send)]
impl DnsCutoverFixture for SimFixture {
    fn dns(&self) -> &dyn DnsCutover {
        &*self.ports.dns
    }

    async fn zone(&self) -> Result<ZoneAtHand, Stop> {
        Ok(ZoneAtHand {
            zone: ZONE.parse().map_err(Stop::fixture)?,
            record: Record {
                key: key("www.example.com", RecordType::Cname)?,
                weight: None,
                data: cname(LEGACY, 300),
            },
            other: cname(&self.front()?, 60),
            absent: key("new.example.com", RecordType::Cname)?,
        })
    }

    async fn alias(&self) -> Result<Record, Stop> {
        Ok(Record {
            key: key("shop.example.com", RecordType::A)?,
            weight: None,
            data: known(self.cloud.with(|world| world.alias_to(TARGET, "front")))?,
        })
    }

    async fn truth(&self, key: &RecordKey) -> Result<Option<Record>, Stop> {
        let zone: ZoneId = ZONE.parse().map_err(Stop::fixture)?;
        known(self.cloud.with(|world| Ok(world.record(&zone, key)?.cloned())))
    }

    async fn change_behind(&self, record: &Record) -> Result<(), Stop> {
        let held = DnsCutoverFixture::truth(self, &record.key).await?;
        let mut changes: Vec<Change> = held.into_iter().map(Change::Delete).collect();
        changes.push(Change::Create(record.clone()));
        let zone = ZONE.parse().map_err(Stop::fixture)?;
        self.happens(Incident::ForeignDnsChange { zone, changes }).await?;
        let now = DnsCutoverFixture::truth(self, &record.key).await?;
        if now.as_ref().map(|r| &r.data) == Some(&record.data) {
            Ok(())
        } else {
            Err(Stop::fixture("the zone did not take the change"))
        }
    }

    async fn target(&self, healthy: bool) -> Result<RecordData, Stop> {
        if healthy {
            known(self.cloud.with(|world| world.alias_to(TARGET, "front")))
        } else {
            Ok(cname(DEAD, 60))
        }
    }

    async fn foreign_target(&self) -> Result<RecordData, Stop> {
        Ok(cname("somewhere.example.net", 60))
    }

    async fn busy_target(&self) -> Result<(RecordData, u64), Stop> {
        self.wire.models("GetMetricStatistics")?;
        self.pass(Duration::from_secs(300)).await?;
        Ok((cname(LEGACY, 300), REQUESTS))
    }

    fn absent_zone(&self) -> ZoneId {
        "Z0NOSUCHZONE".parse().expect("a zone's id")
    }

    fn absent_change(&self) -> ChangeId {
        "C0NOSUCHCHANGE".parse().expect("a change's id")
    }
}
