//! `[environments.NAME]` of the readiness file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rollout_core::id::{EnvironmentName, ServiceName};
use rollout_core::readiness::intent::{
    CostIntent, DataIntent, DeployerIntent, HostIntent, Limits, Preflight, Tier, WatchIntent,
};
use rollout_core::readiness::price::Prices;

use super::super::gate::url;
use super::super::reader::{Reader, Value};
use super::{filled, named, said, texts};

/// The words for tiers.
pub(super) const TIERS: [(&str, Tier); 3] = [
    ("development", Tier::Development),
    ("staging", Tier::Staging),
    ("production", Tier::Production),
];

/// What an environment is meant to be, as the file says it.
#[derive(Clone, Debug)]
pub(crate) struct Meant {
    pub(crate) tier: Tier,
    /// By the name that ECS has for the service.
    pub(crate) services: BTreeMap<ServiceName, MeantService>,
    pub(crate) hosts: Vec<HostIntent>,
    pub(crate) data: DataIntent,
    pub(crate) deployer: DeployerIntent,
    pub(crate) watch: WatchIntent,
    pub(crate) cost: CostIntent,
    pub(crate) owners: BTreeMap<String, String>,
    pub(crate) areas: Vec<String>,
    pub(crate) approvals: u32,
    pub(crate) smoke_tests: bool,
    pub(crate) limits: Limits,
}

/// What a service is meant to be. What the file does not say is as the task definition has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct MeantService {
    pub(crate) port: Option<u16>,
    pub(crate) live: Option<String>,
    pub(crate) ready: Option<String>,
    pub(crate) base_url: Option<String>,
    pub(crate) paths: Vec<String>,
    pub(crate) architecture: Option<String>,
}

pub(super) fn read(reader: &Reader<'_>, name: &EnvironmentName, dir: &Path) -> Meant {
    let tier = reader
        .required("tier", "\"production\"")
        .and_then(|v| v.word(&TIERS));
    let procedure = reader.value("procedure");
    let procedure = procedure.and_then(|v| v.table(&format!("[environments.{name}.procedure]")));
    let meant = Meant {
        tier: tier.unwrap_or(Tier::Production),
        services: services(reader, name),
        hosts: reader
            .tables("hosts", &format!("[[environments.{name}.hosts]]"))
            .iter()
            .filter_map(host)
            .collect(),
        data: data(reader, name),
        deployer: reader
            .value("deployer")
            .and_then(|v| v.table(&format!("[environments.{name}.deployer]")))
            .map(|r| deployer(&r))
            .unwrap_or_default(),
        watch: WatchIntent {
            dashboard: optional(reader, "dashboard", "the dashboard's name"),
            slots: named(reader, "alarms", &format!("[environments.{name}.alarms]"))
                .into_iter()
                .map(|(slot, alarm)| (slot.value, alarm))
                .collect(),
        },
        cost: cost(reader, name, dir),
        owners: procedure.iter().flat_map(owners).collect(),
        areas: procedure.as_ref().map(|r| texts(r, "areas")).unwrap_or_default(),
        approvals: procedure.as_ref().map_or(0, |r| r.number("approvals", 0)),
        smoke_tests: procedure.as_ref().is_some_and(|r| r.flag("smoke_tests", false)),
        limits: reader
            .value("limits")
            .and_then(|v| v.table(&format!("[environments.{name}.limits]")))
            .map(|r| limits(&r))
            .unwrap_or_default(),
    };
    procedure.iter().for_each(Reader::finish);
    reader.finish();
    meant
}

fn optional(reader: &Reader<'_>, key: &'static str, what: &str) -> Option<String> {
    reader.value(key).and_then(|v| filled(&v, what))
}

fn owners(reader: &Reader<'_>) -> Vec<(String, String)> {
    let owners = named(reader, "owners", "{ area = \"who\" }");
    owners
        .into_iter()
        .map(|(area, owner)| (area.value, owner))
        .collect()
}

fn services(reader: &Reader<'_>, name: &EnvironmentName) -> BTreeMap<ServiceName, MeantService> {
    let header = format!("[[environments.{name}.services]]");
    let mut all = BTreeMap::new();
    for table in reader.tables("services", &header) {
        let service = table
            .required("name", "\"backend\"")
            .and_then(|v| v.parse::<ServiceName>());
        let meant = MeantService {
            port: table.value("port").and_then(|v| v.number()),
            live: table.value("live").and_then(|v| path(&v)),
            ready: table.value("ready").and_then(|v| path(&v)),
            base_url: table.value("base_url").and_then(|v| url(&v)),
            paths: texts(&table, "paths"),
            architecture: table
                .value("architecture")
                .and_then(|v| v.word(&[("X86_64", "X86_64"), ("ARM64", "ARM64")]))
                .map(ToOwned::to_owned),
        };
        table.finish();
        let Some(service) = service else { continue };
        if all.insert(service.value.clone(), meant).is_some() {
            let what = format!("there are two services named `{}`", service.value);
            reader.sink.push(
                reader
                    .sink
                    .at(&service.span, what)
                    .help("write one table for each"),
            );
        }
    }
    all
}

fn path(value: &Value<'_>) -> Option<String> {
    let text = value.text()?.value;
    if text.starts_with('/') {
        return Some(text);
    }
    value.wrong(
        format!("`{}`: `{text}` is not a path", value.key),
        "begin it with `/`, such as \"/health/ready\"",
    );
    None
}

fn host(reader: &Reader<'_>) -> Option<HostIntent> {
    let name = reader
        .required("name", "\"shop.example.com\"")
        .and_then(|v| v.parse::<rollout_core::id::DomainName>());
    let zone = reader
        .required("zone", "\"Z0123456789ABCDEFGHIJ\"")
        .and_then(|v| v.parse::<rollout_core::id::ZoneId>());
    let host = HostIntent {
        name: name?.value.to_string().trim_end_matches('.').to_owned(),
        zone: zone?.value.to_string(),
        target: optional(reader, "target", "the name that DNS has for what serves it"),
        cutover_ahead: false,
        lowers_ttl: false,
        kept_seconds: reader
            .value("kept")
            .and_then(|v| v.duration())
            .and_then(|kept| kept.as_secs().try_into().ok()),
    };
    reader.finish();
    Some(host)
}

fn data(reader: &Reader<'_>, name: &EnvironmentName) -> DataIntent {
    let origins = reader.value("origins").map(|v| v.array()).unwrap_or_default();
    let buckets = named(reader, "buckets", &format!("[environments.{name}.buckets]"));
    let preflights = reader.tables("preflights", &format!("[[environments.{name}.preflights]]"));
    DataIntent {
        databases: texts(reader, "databases"),
        caches: texts(reader, "caches"),
        buckets: buckets
            .into_iter()
            .map(|(bucket, prefix)| (bucket.value, prefix))
            .collect(),
        distributions: texts(reader, "distributions"),
        origins: origins.iter().filter_map(url).collect::<BTreeSet<_>>(),
        preflights: preflights.iter().filter_map(preflight).collect(),
        replaces_files: reader.flag("replaces_files", false),
        invalidates: texts(reader, "invalidates"),
        origin_path: reader.value("origin_path").and_then(|v| path(&v)),
    }
}

fn preflight(reader: &Reader<'_>) -> Option<Preflight> {
    let methods = ["GET", "PUT", "POST", "DELETE", "PATCH"].map(|method| (method, method));
    let address = reader
        .required("url", "\"https://assets.example.com/uploads/probe\"")
        .and_then(|v| url(&v));
    let origin = reader
        .required("origin", "\"https://shop.example.com\"")
        .and_then(|v| url(&v));
    let method = reader
        .required("method", "\"PUT\"")
        .and_then(|v| v.word(&methods));
    reader.finish();
    Some(Preflight {
        url: address?,
        origin: origin?,
        method: method?.to_owned(),
    })
}

fn deployer(reader: &Reader<'_>) -> DeployerIntent {
    let deployer = DeployerIntent {
        role: optional(reader, "role", "the ARN of the role that deploys"),
        repository: optional(
            reader,
            "repository",
            "a repository on GitHub, such as `example/storefront`",
        ),
        environment: optional(reader, "environment", "an environment of that repository"),
        asks: Vec::new(),
    };
    reader.finish();
    deployer
}

fn cost(reader: &Reader<'_>, name: &EnvironmentName, dir: &Path) -> CostIntent {
    let Some(table) = reader
        .value("cost")
        .and_then(|v| v.table(&format!("[environments.{name}.cost]")))
    else {
        return CostIntent::default();
    };
    let dollars = table.value("monthly").and_then(|v| v.number::<u64>());
    let prices = table.value("prices").and_then(|v| prices(&v, dir));
    let cost = CostIntent {
        budget: optional(&table, "budget", "the budget's name"),
        monthly_cents: dollars.map(|dollars| dollars.saturating_mul(100)),
        prices: prices.map_or_else(Prices::known, |over| Prices::known().with(over)),
    };
    table.finish();
    cost
}

/// A table of prices in a file beside this one.
fn prices(value: &Value<'_>, dir: &Path) -> Option<Prices> {
    let file = dir.join(filled(value, "a file with prices")?);
    let read = std::fs::read(&file).map_err(|error| error.to_string());
    let read = read.and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string()));
    match read {
        Ok(prices) => Some(prices),
        Err(error) => {
            value.wrong(
                format!("`prices`: {} cannot be read: {error}", file.display()),
                "it has `dated`, `source` and `regions`, as the table that comes with rollout has (docs/readiness.md)",
            );
            None
        }
    }
}

fn limits(reader: &Reader<'_>) -> Limits {
    let otherwise = Limits::default();
    let findings = reader
        .value("findings")
        .and_then(|v| v.table("[….limits.findings]"));
    let findings = findings.map(|table| {
        let entries = table.entries();
        entries
            .filter_map(|(severity, most)| Some((severity.value, most.number()?)))
            .collect()
    });
    let limits = Limits {
        tasks: reader.number("tasks", otherwise.tasks),
        zones: reader.number("zones", otherwise.zones),
        secret_days: reader.number("secret_days", otherwise.secret_days),
        secret_prefix: optional(reader, "secret_prefix", "the beginning of the names of secrets"),
        findings: findings.unwrap_or(otherwise.findings),
        images_kept: reader.number("images_kept", otherwise.images_kept),
        deregistration_seconds: reader.number("deregistration_seconds", otherwise.deregistration_seconds),
        certificate_days: reader.number("certificate_days", otherwise.certificate_days),
        ttl_seconds: reader.number("ttl_seconds", otherwise.ttl_seconds),
        rate: reader.number("rate", otherwise.rate),
        backup_days: reader.number("backup_days", otherwise.backup_days),
        drill_days: reader.number("drill_days", otherwise.drill_days),
        connections_percent: reader.number("connections_percent", otherwise.connections_percent),
        log_days: reader.number("log_days", otherwise.log_days),
        margin_seconds: reader.number("margin_seconds", otherwise.margin_seconds),
    };
    reader.finish();
    limits
}

/// What must be there for a person to be asked.
pub(super) fn person(reader: &Reader<'_>, key: &'static str) -> Option<String> {
    said(reader, key, "\"Ada Lovelace\"", "who")
}
