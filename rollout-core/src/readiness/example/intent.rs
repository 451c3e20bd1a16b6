//! What the shop is meant to be, and the release that is about to be made.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use super::edge::{ASSETS, DISTRIBUTION_NAME, HOSTS};
use super::service::{SERVICES, base, digest, task_definition};
use super::{ACCOUNT, DEPLOYER, DISTRIBUTION, REGION, ZONE, parsed, texts};
use crate::plan::ExpectedIdentity;
use crate::plan::window::Window;
use crate::readiness::fact::identity::Ask;
use crate::readiness::intent::{
    CostIntent, DataIntent, DeployerIntent, HostIntent, Intent, Limits, Preflight, ProcedureIntent, Release,
    ServiceIntent, Tier, WatchIntent,
};
use crate::readiness::price::Prices;

/// The origin of the shop's pages.
pub(super) const ORIGIN: &str = "https://shop.example.com";

/// The release that is about to be made.
pub(super) const RELEASE: &str = "2.4.0";

pub(super) fn intent() -> Intent {
    Intent {
        environment: parsed("production"),
        tier: Tier::Production,
        expects: ExpectedIdentity {
            account: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            caller: Some(format!("arn:aws:sts::{ACCOUNT}:assumed-role/storefront-deploy/*")),
        },
        cluster: "storefront".to_owned(),
        services: services(),
        hosts: hosts(),
        data: data(),
        deployer: DeployerIntent {
            role: Some(DEPLOYER.to_owned()),
            repository: Some("example/storefront".to_owned()),
            environment: Some("production".to_owned()),
            asks: asks(),
        },
        watch: WatchIntent {
            dashboard: Some("storefront".to_owned()),
            slots: [(
                "checkout-errors".to_owned(),
                "storefront-checkout-errors".to_owned(),
            )]
            .into(),
        },
        cost: CostIntent {
            budget: Some("storefront-production".to_owned()),
            monthly_cents: Some(60_000),
            prices: Prices::known().with(own_prices()),
        },
        procedure: procedure(),
        release: Some(release()),
        limits: Limits::default(),
        questions: Vec::new(),
    }
}

fn services() -> Vec<ServiceIntent> {
    let service = |(name, port, ..): (&str, Option<u16>, u32, &str)| ServiceIntent {
        name: parsed(name),
        proven_as: None,
        port,
        live: Some("/health/live".to_owned()),
        ready: Some("/health/ready".to_owned()),
        base_url: Some(base(name)),
        paths: match name {
            "backend" => texts(&["/api/*", "/health/*"]),
            "frontend" => texts(&["/*"]),
            _ => Vec::new(),
        },
        patience: Duration::from_secs(1_800),
        architecture: None,
    };
    SERVICES.into_iter().map(service).collect()
}

fn hosts() -> Vec<HostIntent> {
    let host = |name: &str, target: Option<&str>, cutover_ahead| HostIntent {
        name: name.to_owned(),
        zone: ZONE.to_owned(),
        target: target.map(ToOwned::to_owned),
        cutover_ahead,
        lowers_ttl: false,
        kept_seconds: cutover_ahead.then_some(3_600),
    };
    let [shop, www] = HOSTS;
    vec![
        host(shop, None, false),
        host(www, None, true),
        host(ASSETS, Some(DISTRIBUTION_NAME), false),
    ]
}

fn data() -> DataIntent {
    DataIntent {
        databases: texts(&["storefront"]),
        caches: texts(&["storefront"]),
        buckets: [("storefront-assets".to_owned(), "uploads/".to_owned())].into(),
        distributions: texts(&[DISTRIBUTION]),
        origins: BTreeSet::from([ORIGIN.to_owned()]),
        preflights: preflights(),
        replaces_files: true,
        invalidates: texts(&[DISTRIBUTION]),
        origin_path: Some("/current".to_owned()),
    }
}

/// What browsers ask before they upload a file, and how they load a font.
pub(super) fn preflights() -> Vec<Preflight> {
    let preflight = |method: &str, url: &str| Preflight {
        url: url.to_owned(),
        origin: ORIGIN.to_owned(),
        method: method.to_owned(),
    };
    let bucket = "https://storefront-assets.s3.eu-central-1.amazonaws.com/uploads/probe";
    let font = format!("https://{ASSETS}/fonts/shop.woff2");
    vec![preflight("PUT", bucket), preflight("GET", &font)]
}

/// What the release and its way back must be allowed to do.
pub(super) fn asks() -> Vec<Ask> {
    let ask = |action: &str, resource: &str| Ask {
        principal: DEPLOYER.to_owned(),
        action: action.to_owned(),
        resource: resource.to_owned(),
    };
    vec![
        ask("ecs:RegisterTaskDefinition", "*"),
        ask(
            "ecs:UpdateService",
            "arn:aws:ecs:eu-central-1:222222222222:service/storefront/*",
        ),
        ask(
            "iam:PassRole",
            "arn:aws:iam::222222222222:role/storefront-execution",
        ),
    ]
}

fn procedure() -> ProcedureIntent {
    ProcedureIntent {
        window: Some(Window {
            open: vec![parsed("Mon-Fri 09:00-16:00")],
            ..Window::default()
        }),
        owners: [("service", "Ada"), ("database", "Grace"), ("network", "Edsger")]
            .map(|(area, owner)| (area.to_owned(), owner.to_owned()))
            .into(),
        areas: texts(&["service", "database", "network"]),
        approvals: 2,
        soak: Duration::from_secs(24 * 60 * 60),
        smoke_tests: true,
    }
}

fn release() -> Release {
    let mut images = BTreeMap::new();
    let mut task_definitions = BTreeMap::new();
    for (name, port, ..) in SERVICES {
        let image = format!("storefront/{name}@{}", digest(name, 1));
        let mut definition = task_definition(name, port);
        for container in &mut definition.containers {
            container.image = format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{image}");
        }
        images.insert(parsed(name), [(name.to_owned(), image)].into());
        // The worker's is a template that nobody has filled in yet: it is judged by what it runs.
        if port.is_some() {
            task_definitions.insert(parsed(name), definition);
        }
    }
    Release {
        name: RELEASE.to_owned(),
        copies: BTreeMap::new(),
        images,
        task_definitions,
        migrations: [("migrate".to_owned(), Some(true))].into(),
    }
}

/// What the team has agreed on with its account manager, for what the table has no price for in this region.
fn own_prices() -> Prices {
    let own = [
        ("postgres_db.t4g.medium_hour", 74_000),
        ("postgres_gib_month", 137_000),
        ("cache.t4g.small_hour", 37_000),
    ];
    Prices {
        dated: "2026-10-01".to_owned(),
        source: "the contract of the shop".to_owned(),
        regions: [(
            REGION.to_owned(),
            own.map(|(name, price)| (name.to_owned(), price)).into(),
        )]
        .into(),
        ..Prices::default()
    }
}
