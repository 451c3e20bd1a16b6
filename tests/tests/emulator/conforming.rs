//! The conformance suite on the adapters over an emulator: each check in a cluster and a zone of its own, made and looked at
//! through the AWS API alone.

use core::time::Duration;
use std::collections::BTreeSet;

use async_trait::async_trait;
use rollout_core::conformance::dns_cutover::{self, DnsCutoverFixture, ZoneAtHand};
use rollout_core::conformance::environment::{self, EnvironmentFixture, Job, Release, Settled, Truth};
use rollout_core::conformance::rollback::{self, RollbackFixture};
use rollout_core::conformance::{Fixture, Report, Stop, Trouble};
use rollout_core::dns::{Record, RecordData, RecordKey};
use rollout_core::id::{ChangeId, ImageDigest, RunId, ServiceName, TaskArn, TaskDefinitionArn, ZoneId};
use rollout_core::image::ImageRef;
use rollout_core::port::{Clock as _, DnsCutover, Environment, Rollback};
use rollout_core::service::{Identity, RevisionSpec, TaskSpec};
use rollout_core::time::Timestamp;
use rollout_tests::emulator::account::Account;
use rollout_tests::emulator::release::{self, Wired};
use rollout_tests::emulator::site::{CONTAINER, Site};
use rollout_tests::emulator::zone::Zone;
use rollout_tests::emulator::{REGION, id, unique, wait};
use serde_json::json;

use crate::fixture::{App, World};

/// One account's things: what the five ports need, as far as an emulator has it.
struct Emulated {
    run: RunId,
    site: Site,
    wired: Wired,
    zone: Option<Zone>,
    app: Option<App>,
}

impl Emulated {
    /// A zone with one record.
    async fn records() -> Result<Self, Stop> {
        let tag = unique("c");
        let account = Account::open("222222222222").await;
        let zone = Zone::create(&account, &tag).await;
        zone.upsert(&zone.cname("www"), 300, "old.example.net").await;
        let site = Site {
            account: account.clone(),
            cluster: tag.clone(),
        };
        let identity = account.identity().await;
        let wired = release::wire(&site, &site, &identity, core::slice::from_ref(&zone.id));
        Ok(Self {
            run: id(&tag),
            site,
            wired,
            zone: Some(zone),
            app: None,
        })
    }

    /// A service that runs.
    async fn services() -> Result<Self, Stop> {
        let world = World::create().await;
        let app = world.app("api").await;
        world.production.log_group("job").await;
        let number = &world.production.account.number;
        let wired = release::wire(&world.staging, &world.production, number, &[]);
        Ok(Self {
            run: id(&world.tag),
            site: world.production.clone(),
            wired,
            zone: None,
            app: Some(app),
        })
    }

    fn app(&self) -> Result<&App, Stop> {
        self.app
            .as_ref()
            .ok_or_else(|| Stop::fixture("this world has no service"))
    }

    fn at_hand(&self) -> Result<&Zone, Stop> {
        self.zone
            .as_ref()
            .ok_or_else(|| Stop::fixture("this world has no zone"))
    }

    async fn image(&self, tag: &str) -> Result<ImageRef, Stop> {
        let repository = self.app()?.repository.clone();
        let digest = self
            .site
            .push(repository.as_str(), tag, &format!("{repository} {tag}"))
            .await;
        Ok(ImageRef { repository, digest })
    }

    async fn revision(&self, name: &str, tag: &str, env: &[(&str, &str)]) -> Result<RevisionSpec, Stop> {
        Ok(RevisionSpec {
            template: self.site.template(name, env),
            images: [(id(CONTAINER), self.image(tag).await?)].into(),
        })
    }
}

#[async_trait(?Send)]
impl Fixture for Emulated {
    fn run(&self) -> RunId {
        self.run.clone()
    }

    fn now(&self) -> Timestamp {
        wait::now()
    }

    async fn pass(&self, span: Duration) -> Result<(), Stop> {
        let clock = rollout_aws::clock::TokioClock::new();
        clock.sleep_until(clock.now().after(span)).await;
        Ok(())
    }

    fn pace(&self) -> Duration {
        Duration::from_millis(400)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn writes(&self) -> Result<u64, Stop> {
        let calls = self.wired.target_calls.mutating();
        // A query is not known to change nothing; these do.
        let reads = |call: &&String| call.contains(":Describe") || call.as_str() == "query:GetCallerIdentity";
        Ok(calls.iter().filter(|call| !reads(call)).count() as u64)
    }

    async fn trouble(&self, _: Trouble) -> Result<(), Stop> {
        Err(Stop::skip(
            "nothing between the SDK and the emulator loses or refuses calls",
        ))
    }

    async fn calm(&self) -> Result<(), Stop> {
        Ok(())
    }
}

#[async_trait(?Send)]
impl DnsCutoverFixture for Emulated {
    fn dns(&self) -> &dyn DnsCutover {
        &*self.wired.ports.dns
    }

    async fn zone(&self) -> Result<ZoneAtHand, Stop> {
        let zone = self.at_hand()?;
        Ok(ZoneAtHand {
            zone: zone.id.clone(),
            record: Record {
                key: zone.cname("www"),
                weight: None,
                data: cname("old.example.net", 300),
            },
            other: cname("new.example.net", 60),
            absent: zone.cname("new"),
        })
    }

    async fn alias(&self) -> Result<Record, Stop> {
        Err(Stop::skip("the suite makes no alias records on emulators"))
    }

    async fn truth(&self, key: &RecordKey) -> Result<Option<Record>, Stop> {
        let kind = key.record_type.to_string();
        let read = self.at_hand()?.read(&key.name.normalised(), &kind).await;
        Ok(read.map(|(ttl, values)| Record {
            key: key.clone(),
            weight: None,
            data: RecordData::Values {
                ttl: u32::try_from(ttl).unwrap_or_default(),
                values,
            },
        }))
    }

    async fn change_behind(&self, record: &Record) -> Result<(), Stop> {
        let RecordData::Values { ttl, values } = &record.data else {
            return Err(Stop::fixture("an alias"));
        };
        let value = values.first().ok_or_else(|| Stop::fixture("no value"))?;
        self.at_hand()?.upsert(&record.key, i64::from(*ttl), value).await;
        Ok(())
    }

    async fn target(&self, _: bool) -> Result<RecordData, Stop> {
        Err(Stop::skip(
            "no task stands behind an emulator's load balancer here",
        ))
    }

    async fn foreign_target(&self) -> Result<RecordData, Stop> {
        Ok(cname("somewhere.example.net", 60))
    }

    async fn busy_target(&self) -> Result<(RecordData, u64), Stop> {
        Err(Stop::skip("emulators count no requests"))
    }

    fn absent_zone(&self) -> ZoneId {
        id("Z0NOSUCHZONE00")
    }

    fn absent_change(&self) -> ChangeId {
        id("C0NOSUCHCHANGE")
    }
}

fn cname(target: &str, ttl: u32) -> RecordData {
    RecordData::Values {
        ttl,
        values: vec![target.to_owned()],
    }
}

#[async_trait(?Send)]
impl EnvironmentFixture for Emulated {
    fn environment(&self) -> &dyn Environment {
        &*self.wired.ports.target
    }

    async fn identity(&self) -> Result<Identity, Stop> {
        Ok(Identity {
            account: self.site.account.number.clone(),
            region: REGION.to_owned(),
            caller: self.site.account.caller().await,
            expires_at: None,
        })
    }

    async fn settled(&self) -> Result<Settled, Stop> {
        let app = self.app()?;
        Ok(Settled {
            service: app.name.clone(),
            images: [(id(CONTAINER), app.old.clone())].into(),
            desired: 2,
        })
    }

    async fn truth(&self, service: &ServiceName) -> Result<Truth, Stop> {
        let seen = self.site.look(service.as_str()).await;
        let digests = self.site.running_digests(service.as_str()).await;
        Ok(Truth {
            primary: Some(id(&seen.primary)),
            task_definition: Some(id(&seen.task_definition)),
            deployments: self
                .site
                .deployments(service.as_str())
                .await
                .iter()
                .map(|d| id(d))
                .collect(),
            running: digests
                .iter()
                .map(|digest| [(id(CONTAINER), id::<ImageDigest>(digest))].into())
                .collect(),
        })
    }

    async fn release(&self, release: Release) -> Result<RevisionSpec, Stop> {
        match release {
            Release::Good => self.revision("api", "good", &[]).await,
            Release::Other => self.revision("api", "other", &[]).await,
            Release::Failing => {
                let crashes = [("SIM_EXIT_SECONDS", "0.3"), ("SIM_EXIT_CODE", "3")];
                self.revision("api", "failing", &crashes).await
            }
        }
    }

    async fn deploy_foreign(&self, service: &ServiceName) -> Result<(), Stop> {
        let image = self.image("foreign").await?;
        let image = self.site.image(image.repository.as_str(), &image.digest);
        let revision = self
            .site
            .register("api", &image, &[("BY", "somebody else")])
            .await;
        self.site.deploy(service.as_str(), &revision).await;
        Ok(())
    }

    async fn task(&self, job: Job) -> Result<TaskSpec, Stop> {
        let ends: &[(&str, &str)] = match job {
            Job::Succeeds => &[("SIM_EXIT_SECONDS", "0.5"), ("SIM_EXIT_CODE", "0")],
            Job::Fails => &[("SIM_EXIT_SECONDS", "0.5"), ("SIM_EXIT_CODE", "3")],
            Job::Lasts => &[],
        };
        Ok(TaskSpec {
            name: id("job"),
            revision: self.revision("job", "job", ends).await?,
            run: json!({
                "launchType": "FARGATE",
                "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["subnet-0123456789abcdef0"] } },
            }),
        })
    }

    async fn started(&self, _: &TaskSpec) -> Result<usize, Stop> {
        Ok(self.site.started("job").await)
    }

    fn absent_service(&self) -> ServiceName {
        id("nobody")
    }

    fn absent_task(&self) -> TaskArn {
        let (account, cluster) = (&self.site.account.number, &self.site.cluster);
        id(&format!(
            "arn:aws:ecs:{REGION}:{account}:task/{cluster}/0123456789abcdef0123456789abcdef"
        ))
    }

    fn absent_revision(&self) -> TaskDefinitionArn {
        let (account, family) = (&self.site.account.number, self.site.family("nothing"));
        id(&format!(
            "arn:aws:ecs:{REGION}:{account}:task-definition/{family}:999"
        ))
    }
}

#[async_trait(?Send)]
impl RollbackFixture for Emulated {
    fn rollback(&self) -> &dyn Rollback {
        &*self.wired.ports.rollback
    }

    async fn lose_image(&self, _: &ServiceName) -> Result<(), Stop> {
        let app = self.app()?;
        self.site.delete_image(app.repository.as_str(), &app.old).await;
        Ok(())
    }
}

/// What fails on an emulator, with the reason; everything else must pass or be skipped by the fixture.
type Differences<'a> = &'a [(&'a str, &'a str)];

fn conforms(report: &Report, differences: Differences<'_>) {
    let failed: BTreeSet<&str> = report.failed().map(|finding| finding.name.as_str()).collect();
    let known: BTreeSet<&str> = differences.iter().map(|(name, _)| *name).collect();
    // One that passes all at once is no longer known, and fails as well.
    assert_eq!(failed, known, "{report}");
}

pub(crate) async fn records() {
    conforms(&dns_cutover::check(Emulated::records).await, &[]);
}

pub(crate) async fn services() {
    // Both are MiniStack's ECS; AWS's word on them is in docs/differential.md.
    let differences = [
        (
            "an_update_to_nothing_is_refused",
            "UpdateService takes a revision that does not exist",
        ),
        (
            "a_task_starts_once_for_each_token",
            "RunTask does not heed its clientToken",
        ),
    ];
    conforms(&environment::check(Emulated::services).await, &differences);
}

pub(crate) async fn going_back() {
    conforms(&rollback::check(Emulated::services).await, &[]);
}
