//! A whole release on AWS: one service from staging to production, with every adapter of `rollout-aws`, the driver on Tokio's
//! clock and a journal on disk. Nothing here is special to an emulator: `AWS_ENDPOINT_URL` leads the SDK to one.
//!
//! ```sh
//! eval "$(cargo xtask emulator start)"       # and two environments on it; cargo xtask emulator test makes some and runs this
//! cargo run --package rollout-examples --features aws --example aws_release -- \
//!     staging=111111111111/shop-staging production=222222222222/shop-production \
//!     service=backend container=app repository=shop/backend tag=2.0.0 template=ecs/backend.json soak=3600
//! ```
//!
//! Credentials are the profiles `staging` and `production`, as for every AWS tool. The guard compares their accounts with
//! those given here before anything is changed. The template is what `register-task-definition --cli-input-json` takes;
//! `soak` is for how many seconds staging must have run the image.

use core::time::Duration;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use aws_config::{BehaviorVersion, SdkConfig};
use futures_util::stream;
use rollout_aws::clock::TokioClock;
use rollout_aws::cloudwatch::AlarmGate;
use rollout_aws::ecr::{EcrPromotion, Registry};
use rollout_aws::ecs::{EcsEnvironment, EcsRollback};
use rollout_aws::elbv2::{LoadBalancers, TargetHealthGate};
use rollout_aws::gates::Gates;
use rollout_aws::probe::{AddressPolicy, HttpGate};
use rollout_aws::route53::Route53Cutover;
use rollout_aws::sts::{Expected, IdentityGuard};
use rollout_core::driver::{Driver, PortPerformer};
use rollout_core::journal::FileJournal;
use rollout_core::machine::rollout::{Outcome, Rollout};
use rollout_core::machine::{cutover, deployment, promotion};
use rollout_core::plan::rollback::{Proof, RollbackPolicy};
use rollout_core::plan::{Bounds, Draft, ExpectedIdentity, RolloutPlan, RolloutPolicy, ServicePlan};
use rollout_core::port::{Clock as _, Ports};
use rollout_examples::tell::Tell;

type Failure = Box<dyn Error>;

/// The longest wait for one answer of AWS.
const ANSWER: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_secs(1);

/// One environment and how to reach it.
pub(crate) struct Side {
    /// Credentials, region and endpoint.
    pub(crate) config: SdkConfig,
    /// The account that these credentials must be of.
    pub(crate) account: String,
    /// The ECS cluster.
    pub(crate) cluster: String,
}

/// What is released.
pub(crate) struct Release {
    pub(crate) service: String,
    pub(crate) container: String,
    pub(crate) repository: String,
    pub(crate) tag: String,
    pub(crate) template: serde_json::Value,
    /// For how long staging must have run it.
    pub(crate) soak: Duration,
    pub(crate) journal: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Failure> {
    let given: BTreeMap<String, String> = std::env::args()
        .skip(1)
        .filter_map(|argument| {
            let (key, value) = argument.split_once('=')?;
            Some((key.to_owned(), value.to_owned()))
        })
        .collect();
    let take = |key: &str| {
        let value = given.get(key).cloned();
        value.ok_or_else(|| format!("{key}=… is missing; the file's head shows all"))
    };
    let release = Release {
        service: take("service")?,
        container: take("container")?,
        repository: take("repository")?,
        tag: take("tag")?,
        template: serde_json::from_str(&std::fs::read_to_string(take("template")?)?)?,
        soak: Duration::from_secs(take("soak")?.parse()?),
        journal: format!("release-{}.jsonl", TokioClock::new().now().as_millis()).into(),
    };
    let (staging, production) = (
        side("staging", &take("staging")?).await?,
        side("production", &take("production")?).await?,
    );
    Ok(match run(&staging, &production, release).await? {
        Outcome::Released { .. } => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// `ACCOUNT/CLUSTER`, with the profile of that name.
async fn side(profile: &str, text: &str) -> Result<Side, Failure> {
    let (account, cluster) = text
        .split_once('/')
        .ok_or_else(|| format!("{profile}={text}: ACCOUNT/CLUSTER is wanted"))?;
    let loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).profile_name(profile);
    Ok(Side {
        config: loader.load().await,
        account: account.to_owned(),
        cluster: cluster.to_owned(),
    })
}

/// Plans, wires, drives, tells.
pub(crate) async fn run(staging: &Side, production: &Side, release: Release) -> Result<Outcome, Failure> {
    let clock = Arc::new(TokioClock::new());
    let journal = FileJournal::create(&release.journal)?;
    let plan = RolloutPlan::check(draft(production, release)?)?;
    let ports = ports(staging, production)?;
    let performer = PortPerformer::new(ports, clock.clone(), plan.run.clone(), "release".parse()?, ANSWER);
    let driver = Driver {
        run: plan.run.clone(),
        performer: &performer,
        journal: &journal,
        clock: clock.as_ref(),
        observer: &Tell::new(clock.now()),
    };
    let mut machine = Rollout::new(plan);
    // Events from outside, such as an abort on Ctrl-C, would come in through the stream.
    let outcome = driver.run(&mut machine, stream::empty()).await?;
    println!("{}", serde_json::to_string_pretty(&outcome)?);
    Ok(outcome)
}

/// Every adapter. One guard watches over everything that changes production.
fn ports(staging: &Side, production: &Side) -> Result<Ports, Failure> {
    let guard = guard(production)?;
    let target = Arc::new(EcsEnvironment::from_config(
        &production.config,
        &production.cluster,
        Arc::clone(&guard),
    ));
    let source = EcsEnvironment::from_config(&staging.config, &staging.cluster, self::guard(staging)?);
    let gates = Gates::builder()
        .with_target_health(Arc::new(TargetHealthGate::from_config(&production.config)))
        .with_http(Arc::new(HttpGate::new(AddressPolicy::default())))
        .with_alarms(Arc::new(AlarmGate::from_config(&production.config)))
        .build();
    // No zone: this release moves no record, and the adapter touches none but those named here.
    let dns = Route53Cutover::from_config(&production.config, [])
        .with_guard(Arc::clone(&guard) as Arc<_>)
        .with_target_health(Arc::new(LoadBalancers::from_config(&production.config)));
    let registry = Registry::from_config(&production.config);
    Ok(Ports {
        source: Arc::new(source),
        images: Arc::new(EcrPromotion::from_config(
            &staging.config,
            &production.config,
            guard,
        )?),
        gates: Arc::new(gates),
        dns: Arc::new(dns),
        rollback: Arc::new(EcsRollback::new(Arc::clone(&target)).images(registry)),
        target,
    })
}

fn guard(side: &Side) -> Result<Arc<IdentityGuard>, Failure> {
    let expected = Expected {
        account: side.account.clone(),
        region: region(side)?,
        caller: None,
    };
    Ok(Arc::new(IdentityGuard::from_config(&side.config, expected)))
}

fn region(side: &Side) -> Result<String, Failure> {
    Ok(side
        .config
        .region()
        .ok_or("no region: set AWS_REGION")?
        .as_ref()
        .to_owned())
}

/// The plan: one service, which staging runs already.
fn draft(production: &Side, release: Release) -> Result<Draft, Failure> {
    let deployment = deployment::Policy {
        poll_every: POLL,
        pace: None,
        give_up: Duration::from_secs(900),
        stopped_tasks: 1,
        max_errors: 10,
        answer: ANSWER,
        stale_reads: Duration::from_secs(5),
    };
    let image = promotion::Spec {
        from: release.repository.parse()?,
        reference: promotion::Reference::Tag(release.tag.parse()?),
        to: release.repository.parse()?,
        service: release.service.parse()?,
        container: release.container.parse()?,
        soak: release.soak,
    };
    Ok(Draft {
        run: format!("release-{}", TokioClock::new().now().as_millis()).parse()?,
        release: release.tag,
        from: "staging".parse()?,
        to: "production".parse()?,
        expects: ExpectedIdentity {
            account: production.account.clone(),
            region: region(production)?,
            caller: None,
        },
        services: vec![ServicePlan {
            name: release.service.parse()?,
            after: Vec::new(),
            images: [(release.container.parse()?, image)].into(),
            template: release.template,
            deployment: deployment.clone(),
            gates: Vec::new(),
        }],
        tasks: Vec::new(),
        gates: Vec::new(),
        cutovers: Vec::new(),
        policy: RolloutPolicy {
            retry_every: POLL,
            max_errors: 5,
            check: Duration::from_secs(120),
            confirm: Duration::from_secs(120),
            bounds: Bounds { services_at_once: 1 },
            promotion: promotion::Policy {
                retry_every: POLL,
                max_errors: 5,
                answer: Duration::from_secs(600),
                proceed: Duration::from_secs(300),
            },
            unwind_deployment: deployment,
            rollback: RollbackPolicy::default(),
            readiness: Proof::Unasked,
            unwind_cutover: cutover::Policy {
                poll_first: POLL,
                poll_max: Duration::from_secs(10),
                in_sync: Duration::from_secs(600),
                verify: Duration::from_secs(120),
                watch: Duration::from_secs(60),
                watch_failures: 2,
                max_errors: 5,
                answer: ANSWER,
            },
        },
    })
}
