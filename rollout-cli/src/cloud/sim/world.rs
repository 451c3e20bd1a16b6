//! A world in which a configuration makes sense: staging runs the release, production the one before it.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use rollout_core::dns::{RecordData, RecordType};
use rollout_core::id::EnvironmentName;
use rollout_core::probe::ProbeTarget;
use rollout_sim::{Behaviour, EnvironmentBuilder, ServiceBuilder, World, WorldBuilder};
use serde_json::{Value, json};

use crate::config::{Config, Dns, Environment, Service, Version};

/// The tag of what the target environment runs at first.
pub(super) const PREVIOUS: &str = "previous";

/// The load balancer that alias records lead to at first.
const OLD: &str = "previous";

/// The load balancer that other records lead to at first, by its own name.
const OLD_NAME: &str = "previous-1234567890.elb.amazonaws.com";

/// For how long a target drains: longer than a container of the example takes to stop, as it must be.
const DRAIN: Duration = Duration::from_secs(30);

/// What a world is made from, to tell whether a kept one still fits.
pub(super) fn fingerprint(config: &Config, seed: u64) -> String {
    let services: Vec<Value> = config
        .services
        .iter()
        .map(|service| {
            let images: Vec<&str> = service
                .images
                .values()
                .map(|image| image.value.from.as_str())
                .collect();
            let gates: Vec<_> = service
                .gates
                .iter()
                .flat_map(|gate| &gate.probes)
                .map(|probe| &probe.target)
                .collect();
            json!([service.name, images, gates])
        })
        .collect();
    let records: Vec<Value> = config
        .dns
        .iter()
        .map(|dns| json!([dns.zone, dns.key, dns.data]))
        .collect();
    let secrets: BTreeSet<&str> = config
        .environments
        .keys()
        .flat_map(|environment| templates(config, environment))
        .flat_map(secrets)
        .collect();
    let environments: Vec<Value> = config
        .environments
        .values()
        .map(|e| json!([e.name, e.account, e.region, e.cluster]))
        .collect();
    json!([seed, environments, services, records, secrets]).to_string()
}

/// All task definitions, of services and of one-off tasks.
fn templates<'a>(config: &'a Config, environment: &'a EnvironmentName) -> impl Iterator<Item = &'a Value> {
    let services = config.services.iter().map(|s| s.task_definition_in(environment));
    let tasks = config.tasks.iter().map(|t| t.task_definition_in(environment));
    services.chain(tasks).map(|file| &file.json)
}

/// Where the secrets of a task definition come from.
fn secrets(template: &Value) -> impl Iterator<Item = &str> {
    let containers = template["containerDefinitions"].as_array().into_iter().flatten();
    containers
        .filter_map(|container| container["secrets"].as_array())
        .flatten()
        .filter_map(|secret| secret["valueFrom"].as_str())
}

/// Builds the world.
///
/// # Errors
/// When the configuration asks for what a simulated cloud cannot have.
pub(super) fn build(config: &Config, release: &str, seed: u64) -> anyhow::Result<World> {
    if let Some((container, _)) = digests(config).next() {
        bail!(
            "`{container}` is released by digest, but a simulated cloud makes its own images: release it by tag"
        );
    }
    let (source, target) = (config.source(), config.target());
    let mut world = World::builder(seed)
        .environment(source.name.as_str(), |e| environment(config, e, source, release))
        .environment(target.name.as_str(), |e| {
            balancers(config, environment(config, e, target, release))
        });
    world = zones(config, world);
    let mut world = world.build()?;
    // EventBridge's rule and its queue are part of the environment, as the cluster is.
    if let Some(name) = target.events.as_deref().and_then(|url| url.rsplit('/').next()) {
        world.feed(target.name.as_str(), name)?;
    }
    Ok(world)
}

fn digests(config: &Config) -> impl Iterator<Item = (&rollout_core::id::ContainerName, &Version)> {
    let images = config.services.iter().flat_map(|service| &service.images);
    images
        .map(|(container, image)| (container, &image.value.version))
        .filter(|(_, version)| matches!(version, Version::Digest(_)))
}

fn environment(
    config: &Config,
    e: EnvironmentBuilder,
    of: &Environment,
    release: &str,
) -> EnvironmentBuilder {
    let is_source = of.name == config.promotion.from;
    let e = e.account(&of.account).region(&of.region);
    let mut e = e.cluster(of.cluster_name());
    if let Some(caller) = &of.caller {
        e = e.caller(&caller.replace('*', "rollout"));
    }
    let mut pushed = BTreeSet::new();
    for service in &config.services {
        for image in service.images.values().map(|image| &image.value) {
            let repository = if is_source { &image.from } else { &image.to };
            let tag = image.version.tag(release).unwrap_or_default();
            if pushed.insert(repository.clone()) {
                e = push(e, repository.as_str(), PREVIOUS, &body(config, service));
                if is_source {
                    e = push(e, repository.as_str(), &tag, &body(config, service));
                }
            }
        }
    }
    for template in templates(config, &of.name) {
        e = e.secrets_of(template);
    }
    for service in &config.services {
        let name = service.name_in(&of.name).as_str();
        e = e.service(name, |s| describe(config, s, service, of, release));
    }
    if is_source { e } else { alarms(config, e) }
}

/// An image that behaves, and whose answers hold what the probes look for.
fn push(e: EnvironmentBuilder, repository: &str, tag: &str, body: &str) -> EnvironmentBuilder {
    let behaviour = Behaviour {
        body: body.to_owned(),
        ..Behaviour::default()
    };
    e.image_that(repository, tag, behaviour)
}

fn describe(
    config: &Config,
    s: ServiceBuilder,
    service: &Service,
    of: &Environment,
    release: &str,
) -> ServiceBuilder {
    let is_source = of.name == config.promotion.from;
    let template = service.task_definition_in(&of.name).json.clone();
    let mut s = s.settled_for(
        config
            .promotion
            .soak
            .saturating_add(Duration::from_secs(24 * 3600)),
    );
    for (container, image) in &service.images {
        let (repository, tag) = if is_source {
            (
                &image.value.from,
                image.value.version.tag(release).unwrap_or_default(),
            )
        } else {
            (&image.value.to, PREVIOUS.to_owned())
        };
        s = s.container(container.as_str(), repository.as_str(), &tag);
    }
    if let Some(port) = port(&template) {
        s = s
            .load_balanced(port)
            .grace(Duration::from_secs(60))
            .deregistration_delay(DRAIN);
    }
    s = s.task_definition(template).desired(2);
    if is_source {
        return s;
    }
    for probe in service.gates.iter().flat_map(|gate| &gate.probes) {
        match &probe.target {
            ProbeTarget::TargetHealth {
                target_group,
                at_least,
            } => {
                s = s.target_group(target_group).desired((*at_least).max(2));
            }
            ProbeTarget::Http(http) => s = s.host(host(&http.url)),
            _ => {}
        }
    }
    match checked(service) {
        Some(path) => s.check_path(path),
        None => s,
    }
}

/// What the target group asks for: what the first HTTP probe of the service does.
fn checked(service: &Service) -> Option<&str> {
    let mut probes = service.gates.iter().flat_map(|gate| &gate.probes);
    let url = probes.find_map(|probe| match &probe.target {
        ProbeTarget::Http(http) => Some(http.url.as_str()),
        _ => None,
    })?;
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("/", |at| &rest[at..]);
    path.split(['?', '#']).next()
}

/// The first port that a task definition opens.
fn port(template: &Value) -> Option<u16> {
    let containers = template["containerDefinitions"].as_array()?;
    let ports = containers
        .iter()
        .filter_map(|container| container["portMappings"].as_array())
        .flatten();
    ports
        .filter_map(|mapping| mapping["containerPort"].as_u64())
        .find_map(|port| u16::try_from(port).ok())
}

fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    authority.split(':').next().unwrap_or(authority)
}

/// What answers must hold: the texts of all probes that ask the service, of the release's gates, too.
fn body(config: &Config, service: &Service) -> String {
    let own = service.gates.iter().flat_map(|gate| &gate.probes);
    let all = own.chain(config.gates.iter().flat_map(|gate| &gate.probes));
    let texts: BTreeSet<&str> = all
        .filter_map(|probe| match &probe.target {
            ProbeTarget::Http(http) => http.body_contains.as_deref(),
            _ => None,
        })
        .collect();
    if texts.is_empty() {
        "ok".to_owned()
    } else {
        texts.into_iter().collect::<Vec<_>>().join(" ")
    }
}

/// Every alarm that a gate names. Incidents move them, nothing else does: what they measure is not in the configuration.
fn alarms(config: &Config, e: EnvironmentBuilder) -> EnvironmentBuilder {
    alarm_names(config).into_keys().fold(e, EnvironmentBuilder::alarm)
}

pub(super) fn alarm_names(config: &Config) -> BTreeMap<&str, Option<&Service>> {
    let mut all = BTreeMap::new();
    for service in &config.services {
        for probe in service.gates.iter().flat_map(|gate| &gate.probes) {
            if let ProbeTarget::Alarms { names } = &probe.target {
                all.extend(names.iter().map(|name| (name.as_str(), Some(service))));
            }
        }
    }
    for probe in config.gates.iter().flat_map(|gate| &gate.probes) {
        if let ProbeTarget::Alarms { names } = &probe.target {
            for name in names {
                all.entry(name.as_str()).or_insert(None);
            }
        }
    }
    all
}

/// The load balancers that records lead to: the old one in front of machines, a new one in front of the services.
fn balancers(config: &Config, mut e: EnvironmentBuilder) -> EnvironmentBuilder {
    let to = &config.promotion.to;
    let routed = config
        .services
        .iter()
        .find(|service| port(&service.task_definition_in(to).json).is_some());
    let Some(routed) = routed else { return e };
    e = e.balancer(OLD, |b| b.machines(2, 0));
    e = e.balancer(OLD_NAME, |b| b.dns_name(OLD_NAME).machines(2, 0));
    let names: BTreeSet<String> = config.dns.iter().flat_map(|dns| targets(&dns.data)).collect();
    for name in names {
        e = e.balancer(&name, |b| {
            b.dns_name(&name).route("/", routed.name_in(to).as_str())
        });
    }
    e
}

fn targets(data: &RecordData) -> Vec<String> {
    match data {
        RecordData::Alias { target, .. } => vec![target.normalised()],
        RecordData::Values { values, .. } => values
            .iter()
            .map(|value| value.trim_end_matches('.').to_owned())
            .collect(),
    }
}

/// One zone for each that is named, with the records as they were before.
fn zones(config: &Config, mut world: WorldBuilder) -> WorldBuilder {
    let mut by_zone: BTreeMap<&str, Vec<&Dns>> = BTreeMap::new();
    for dns in &config.dns {
        by_zone.entry(dns.zone.as_str()).or_default().push(dns);
    }
    for (id, records) in by_zone {
        let name = apex(&records);
        world = world.zone(id, &name, |mut z| {
            for dns in records {
                let record = dns.key.name.normalised();
                z = match &dns.data {
                    RecordData::Alias { .. } => z.alias(&record, config.promotion.to.as_str(), OLD),
                    RecordData::Values { ttl, .. } => {
                        z.values(&record, dns.key.record_type.clone(), *ttl, &[before(dns)])
                    }
                };
                z = z.clients(&record, dns.key.record_type.clone(), 120);
            }
            z
        });
    }
    world
}

/// What a record with values said before.
const fn before(dns: &Dns) -> &'static str {
    match &dns.key.record_type {
        RecordType::A => "192.0.2.10",
        RecordType::Aaaa => "2001:db8::10",
        RecordType::Txt => "\"previous\"",
        RecordType::Cname | RecordType::Other(_) => OLD_NAME,
    }
}

/// The longest ending that all names of a zone share, of two labels at least where they have them.
fn apex(records: &[&Dns]) -> String {
    let labels = |dns: &&Dns| -> Vec<String> {
        dns.key
            .name
            .normalised()
            .split('.')
            .rev()
            .map(str::to_owned)
            .collect()
    };
    let mut all = records.iter().map(labels);
    let mut shared = all.next().unwrap_or_default();
    // One record alone: its parent, so that the zone can hold more than the record.
    if records.len() == 1 && shared.len() > 2 {
        shared.pop();
    }
    for other in all {
        let same = shared.iter().zip(&other).take_while(|(a, b)| a == b).count();
        shared.truncate(same);
    }
    shared.reverse();
    shared.join(".")
}
