//! The project's running case: a shop with a backend, a frontend and a worker, in staging and in production.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use rollout_core::dns::RecordType;
use rollout_core::id::ServiceName;
use rollout_core::plan::ExpectedIdentity;
use rollout_core::plan::window::Window;
use rollout_core::readiness::fact::identity::Ask;
use rollout_core::readiness::intent::{
    CostIntent, DataIntent, DeployerIntent, HostIntent, Intent, Limits, Preflight, ProcedureIntent,
    ServiceIntent, Tier, WatchIntent,
};
use rollout_core::readiness::price::Prices;

use crate::builder::{BuildError, EnvironmentBuilder, ServiceBuilder};
use crate::world::{Location, Unknown, World};

/// The storefront: which tags run where. [`storefront()`] is the ordinary one.
///
/// | what | names |
/// |---|---|
/// | environments | `staging` (account 111111111111), `production` (222222222222), region `eu-central-1` |
/// | services | `backend` (2 or 3 tasks, port 8787), `frontend` (2, port 80), `worker` (1 or 2, no port) |
/// | containers | named like their service |
/// | repositories | `storefront/backend`, `storefront/frontend`, `storefront/worker`, `storefront/migrate` |
/// | alarms | `storefront-backend-5xx` (more than 1 % errors), `storefront-unhealthy-hosts` |
/// | load balancers | `storefront` in each environment; `storefront-legacy` and `storefront-www-legacy` in production, each two virtual machines |
/// | zone | `Z0STOREFRONT`, `example.com` |
/// | records | `shop.example.com` A, alias to `storefront-legacy`; `www.example.com` CNAME to `storefront-www-legacy`, TTL 300; `staging.example.com` A, alias to staging's `storefront` |
/// | hosts | `backend.<environment>.internal` and so on lead to a service's tasks directly |
/// | clients | 600 requests a minute by `shop.example.com`, 60 by `www.example.com` |
#[derive(Clone, Debug)]
pub struct Storefront {
    seed: u64,
    staging: String,
    production: String,
    desired: [u32; 3],
}

impl Storefront {
    /// Staging runs `2.4.0`, production `2.3.0`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            staging: "2.4.0".to_owned(),
            production: "2.3.0".to_owned(),
            desired: [3, 2, 2],
        }
    }

    /// The tag that staging runs.
    #[must_use]
    pub fn staging(mut self, tag: &str) -> Self {
        tag.clone_into(&mut self.staging);
        self
    }

    /// The tag that production runs.
    #[must_use]
    pub fn production(mut self, tag: &str) -> Self {
        tag.clone_into(&mut self.production);
        self
    }

    /// How many tasks of backend, frontend and worker production runs; 3, 2 and 2 unless told otherwise.
    #[must_use]
    pub const fn desired(mut self, tasks: [u32; 3]) -> Self {
        self.desired = tasks;
        self
    }

    /// Builds the world.
    ///
    /// # Errors
    /// [`BuildError`] when a tag is not well formed.
    pub fn build(self) -> Result<World, BuildError> {
        let (old, new) = (self.production.as_str(), self.staging.as_str());
        let (legacy, www_legacy) = ("storefront-legacy", "storefront-www-legacy");
        let world = World::builder(self.seed)
            .environment("staging", |e| {
                let e = images(e.account("111111111111"), &[old, new]);
                services(e, "staging", new, [2, 2, 1]).balancer("storefront", routes)
            })
            .environment("production", |e| {
                let e = images(e.account("222222222222"), &[old]);
                services(e, "production", old, self.desired)
                    .balancer("storefront", routes)
                    .balancer(legacy, |b| b.machines(2, 0))
                    .balancer(www_legacy, |b| b.machines(2, 0))
            })
            .zone("Z0STOREFRONT", "example.com", |z| {
                let www = crate::builder::name_of_balancer(www_legacy, "production", "eu-central-1");
                z.alias("shop.example.com", "production", legacy)
                    .alias("staging.example.com", "staging", "storefront")
                    .values("www.example.com", RecordType::Cname, 300, &[&www])
                    .clients("shop.example.com", RecordType::A, 600)
                    .clients("www.example.com", RecordType::Cname, 60)
            });
        world.build()
    }
}

/// The storefront with `2.4.0` in staging, for two days, and `2.3.0` in production. See [`Storefront`] for its names.
///
/// # Panics
/// Never: everything in it is well formed.
#[must_use]
pub fn storefront(seed: u64) -> World {
    Storefront::new(seed).build().expect("its names are constants")
}

fn images(mut e: EnvironmentBuilder, tags: &[&str]) -> EnvironmentBuilder {
    for tag in tags {
        for name in ["backend", "frontend", "worker", "migrate"] {
            e = e.image(&format!("storefront/{name}"), tag);
        }
    }
    e
}

fn routes(b: crate::builder::BalancerBuilder) -> crate::builder::BalancerBuilder {
    b.route("/health/", "backend")
        .route("/api/", "backend")
        .route("/", "frontend")
}

fn services(e: EnvironmentBuilder, env: &str, tag: &str, desired: [u32; 3]) -> EnvironmentBuilder {
    let [backend, frontend, worker] = desired;
    let own = |s: ServiceBuilder, name: &str, tasks: u32| {
        let family = format!("storefront-{name}");
        s.family(&family)
            .container(name, &format!("storefront/{name}"), tag)
            .desired(tasks)
            .host(&format!("{name}.{env}.internal"))
    };
    e.service("backend", |s| {
        own(s, "backend", backend)
            .load_balanced(8787)
            .check_path("/health/ready")
            .grace(Duration::from_secs(60))
    })
    .service("frontend", |s| {
        own(s, "frontend", frontend)
            .load_balanced(80)
            .check_path("/health/ready")
    })
    .service("worker", |s| own(s, "worker", worker))
    .alarm_on_errors("storefront-backend-5xx", "backend", 100)
    .alarm_on_unhealthy_targets("storefront-unhealthy-hosts", "backend", 0)
}

/// What an environment of the storefront is meant to be, for readiness checks. No release is about to be made.
///
/// | what | names |
/// |---|---|
/// | database, cache | `storefront` |
/// | bucket, distribution | `storefront-assets` with `uploads/`; `E2STOREFRONT0` |
/// | hosts | those of its zone, and `assets.example.com` in production |
/// | dashboard, budget | `storefront`, `storefront-<environment>` |
///
/// # Errors
/// [`Unknown`] when the environment does not exist.
pub fn storefront_intent(world: &World, environment: &str) -> Result<Intent, Unknown> {
    let places = world.places().into_iter();
    let place = places
        .into_iter()
        .find(|place| place.name.as_str() == environment);
    let place = place.ok_or_else(|| Unknown::Environment(environment.to_owned()))?;
    let production = environment == "production";
    Ok(Intent {
        environment: place.name.clone(),
        tier: if production {
            Tier::Production
        } else {
            Tier::Staging
        },
        expects: ExpectedIdentity {
            account: place.account.clone(),
            region: place.region.clone(),
            caller: None,
        },
        cluster: place.cluster.clone(),
        services: ["backend", "frontend", "worker"]
            .into_iter()
            .map(|name| meant(name, environment))
            .collect::<Result<_, _>>()?,
        hosts: hosts(production, &place.region),
        data: data(&place),
        deployer: deployer(&place),
        watch: WatchIntent {
            dashboard: Some("storefront".to_owned()),
            slots: [(
                "checkout-errors".to_owned(),
                "storefront-checkout-errors".to_owned(),
            )]
            .into(),
        },
        cost: CostIntent {
            budget: Some(format!("storefront-{environment}")),
            monthly_cents: Some(80_000),
            prices: Prices::known().with(prices(&place.region)),
        },
        procedure: procedure(),
        release: None,
        limits: Limits::default(),
        questions: Vec::new(),
    })
}

fn meant(name: &str, environment: &str) -> Result<ServiceIntent, Unknown> {
    let (port, paths): (_, &[&str]) = match name {
        "backend" => (Some(8787), &["/api/*", "/health/*"]),
        "frontend" => (Some(80), &["/*"]),
        _ => (None, &[]),
    };
    Ok(ServiceIntent {
        proven_as: None,
        name: ServiceName::new(name)?,
        port,
        live: Some("/health/live".to_owned()),
        ready: Some("/health/ready".to_owned()),
        base_url: Some(format!("http://{name}.{environment}.internal")),
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        patience: Duration::from_secs(1_800),
        architecture: None,
    })
}

/// In production a cutover is ahead: the shop is still served by the machines of before.
fn hosts(production: bool, region: &str) -> Vec<HostIntent> {
    let host = |name: &str, target: Option<String>, cutover_ahead| HostIntent {
        name: name.to_owned(),
        zone: "Z0STOREFRONT".to_owned(),
        target,
        cutover_ahead,
        lowers_ttl: false,
        kept_seconds: cutover_ahead.then_some(3_600),
    };
    if !production {
        return vec![host("staging.example.com", None, false)];
    }
    let legacy = crate::builder::name_of_balancer("storefront-legacy", "production", region);
    let distribution = "d111111abcdef8.cloudfront.net".to_owned();
    vec![
        host("shop.example.com", Some(legacy), true),
        host("assets.example.com", Some(distribution), false),
    ]
}

fn data(place: &Location) -> DataIntent {
    let origin = "https://shop.example.com".to_owned();
    let bucket = "storefront-assets".to_owned();
    DataIntent {
        databases: vec!["storefront".to_owned()],
        caches: vec!["storefront".to_owned()],
        buckets: BTreeMap::from([(bucket.clone(), "uploads/".to_owned())]),
        distributions: vec!["E2STOREFRONT0".to_owned()],
        origins: BTreeSet::from([origin.clone()]),
        preflights: vec![Preflight {
            url: format!("https://{bucket}.s3.{}.amazonaws.com/uploads/probe", place.region),
            origin,
            method: "PUT".to_owned(),
        }],
        replaces_files: true,
        invalidates: vec!["E2STOREFRONT0".to_owned()],
        origin_path: Some("/current".to_owned()),
    }
}

fn deployer(place: &Location) -> DeployerIntent {
    let (account, region, cluster) = (&place.account, &place.region, &place.cluster);
    let role = format!("arn:aws:iam::{account}:role/deployer");
    let ask = |action: &str, resource: String| Ask {
        principal: role.clone(),
        action: action.to_owned(),
        resource,
    };
    let asks = vec![
        ask("ecs:RegisterTaskDefinition", "*".to_owned()),
        ask(
            "ecs:UpdateService",
            format!("arn:aws:ecs:{region}:{account}:service/{cluster}/*"),
        ),
        ask(
            "iam:PassRole",
            format!("arn:aws:iam::{account}:role/{cluster}-execution"),
        ),
    ];
    DeployerIntent {
        role: Some(role),
        repository: Some("example/storefront".to_owned()),
        environment: Some(place.name.to_string()),
        asks,
    }
}

fn procedure() -> ProcedureIntent {
    let areas = [("service", "Ada"), ("database", "Grace"), ("network", "Edsger")];
    ProcedureIntent {
        window: Some(Window::default()),
        owners: areas
            .map(|(area, owner)| (area.to_owned(), owner.to_owned()))
            .into(),
        areas: areas.map(|(area, _)| area.to_owned()).into(),
        approvals: 2,
        soak: Duration::from_secs(24 * 60 * 60),
        smoke_tests: true,
    }
}

/// What the table of known prices lacks in some regions: figures of ours.
fn prices(region: &str) -> Prices {
    let own = [
        ("postgres_db.t4g.medium_hour", 74_000),
        ("postgres_gib_month", 137_000),
        ("cache.t4g.small_hour", 37_000),
    ];
    Prices {
        dated: "2026-01-01".to_owned(),
        source: "the contract of the storefront".to_owned(),
        regions: [(
            region.to_owned(),
            own.map(|(name, price)| (name.to_owned(), price)).into(),
        )]
        .into(),
        ..Prices::default()
    }
}
