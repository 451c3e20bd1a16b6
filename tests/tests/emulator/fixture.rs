//! Two environments: staging runs release 2.0.0, production 1.0.0.

use rollout_core::evidence::Reason;
use rollout_core::id::{ImageDigest, RepositoryName, ServiceName};
use rollout_core::machine::rollout::{Outcome, Rollout};
use rollout_core::plan::{Draft, RolloutPlan, ServicePlan};
use rollout_tests::emulator::account::Account;
use rollout_tests::emulator::release::{self, Wired};
use rollout_tests::emulator::site::{Balancer, Site};
use rollout_tests::emulator::{id, unique};

/// Emulators take twelve digits of an access key for the account.
const STAGING: &str = "111111111111";
const PRODUCTION: &str = "222222222222";

/// Both environments, without services.
pub(crate) struct World {
    /// Part of every name.
    pub(crate) tag: String,
    pub(crate) staging: Site,
    pub(crate) production: Site,
}

/// One service in both environments.
pub(crate) struct App {
    pub(crate) name: ServiceName,
    /// Where production keeps what is released.
    pub(crate) repository: RepositoryName,
    /// Release 2.0.0.
    pub(crate) new: ImageDigest,
    /// Release 1.0.0.
    pub(crate) old: ImageDigest,
    /// The revision of 1.0.0 in production.
    pub(crate) old_revision: String,
    pub(crate) balancer: Balancer,
}

impl World {
    pub(crate) async fn create() -> Self {
        let tag = unique("t");
        Self {
            staging: Site::create(Account::open(STAGING).await, &format!("{tag}-staging")).await,
            production: Site::create(Account::open(PRODUCTION).await, &format!("{tag}-production")).await,
            tag,
        }
    }

    /// A service that runs in both environments, behind a load balancer in production.
    pub(crate) async fn app(&self, service: &str) -> App {
        let repository: RepositoryName = id(&format!("{}/{service}", self.tag));
        self.app_released_to(service, repository).await
    }

    /// The same, with another repository in production for what is released.
    pub(crate) async fn app_released_to(&self, service: &str, repository: RepositoryName) -> App {
        let (staging, production) = (&self.staging, &self.production);
        let own = format!("{}/{service}", self.tag);
        let new = staging.push(&own, "2.0.0", &format!("{own} 2.0.0")).await;
        let old = production.push(&own, "1.0.0", &format!("{own} 1.0.0")).await;
        if repository.as_str() != own {
            production
                .push(repository.as_str(), "0.9.0", &format!("{repository} 0.9.0"))
                .await;
        }
        for site in [staging, production] {
            site.log_group(service).await;
        }
        let proven = staging.register(service, &staging.image(&own, &new), &[]).await;
        let old_revision = production
            .register(service, &production.image(&own, &old), &[])
            .await;
        // 32 characters at most.
        let balancer = production.balancer(&format!("{}-{service}", self.tag)).await;
        staging.service(service, &proven, 1, None).await;
        let name = production
            .service(service, &old_revision, 2, Some(&balancer))
            .await;
        App {
            name,
            repository,
            new,
            old,
            old_revision,
            balancer,
        }
    }

    pub(crate) fn draft(&self) -> Draft {
        release::draft(&format!("r-{}", self.tag), &self.production.account)
    }

    /// The service's part of a release. `environment` says what its containers do.
    pub(crate) fn plan_for(&self, app: &App, environment: &[(&str, &str)]) -> ServicePlan {
        let from: RepositoryName = id(&format!("{}/{}", self.tag, app.name));
        let template = self.production.template(app.name.as_str(), environment);
        release::service(&app.name, &from, &app.repository, template)
    }

    pub(crate) fn wire(&self, draft: &Draft) -> Wired {
        let zones: Vec<_> = draft
            .cutovers
            .iter()
            .map(|cutover| cutover.zone.clone())
            .collect();
        release::wire(
            &self.staging,
            &self.production,
            &self.production.account.number,
            &zones,
        )
    }

    /// Runs a release to its end.
    pub(crate) async fn run(&self, draft: Draft) -> (Outcome, Rollout, Wired) {
        let wired = self.wire(&draft);
        let (outcome, machine) = run_on(&wired, draft).await;
        (outcome, machine, wired)
    }

    /// Production's service runs this revision with this digest, on every task, and nothing else.
    pub(crate) async fn assert_serves(&self, app: &App, revision: &str, digest: &ImageDigest) {
        let seen = self.production.settled(app.name.as_str()).await;
        assert_eq!(seen.task_definition, revision, "{seen:?}");
        assert_eq!(seen.desired, 2, "{seen:?}");
        assert_eq!(seen.digests, [digest.to_string()].into(), "{seen:?}");
    }

    /// Production serves release 1.0.0 as before.
    pub(crate) async fn assert_serves_old(&self, app: &App) {
        self.assert_serves(app, &app.old_revision, &app.old).await;
    }
}

/// Runs a release on ready ports.
pub(crate) async fn run_on(wired: &Wired, draft: Draft) -> (Outcome, Rollout) {
    let plan = RolloutPlan::check(draft).expect("a valid plan");
    let run = plan.run.clone();
    let mut machine = Rollout::new(plan);
    let outcome = release::drive(&run, &wired.ports, &mut machine).await;
    (outcome, machine)
}

/// All that is said of a failure, in lines.
pub(crate) fn said(why: &Reason) -> String {
    let mut lines = vec![format!("{:?}: {}", why.cause, why.text)];
    lines.extend(why.evidence.iter().map(ToString::to_string));
    lines.join("\n")
}
