//! The project's running case: a shop with a backend, a frontend and a worker, in staging and in production.

use core::time::Duration;

use rollout_core::dns::RecordType;

use crate::builder::{BuildError, EnvironmentBuilder, ServiceBuilder};
use crate::world::World;

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
            .grace(Duration::from_secs(60))
    })
    .service("frontend", |s| own(s, "frontend", frontend).load_balanced(80))
    .service("worker", |s| own(s, "worker", worker))
    .alarm_on_errors("storefront-backend-5xx", "backend", 100)
    .alarm_on_unhealthy_targets("storefront-unhealthy-hosts", "backend", 0)
}
