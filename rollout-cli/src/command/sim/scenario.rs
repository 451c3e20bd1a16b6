//! The scenario file of `rollout sim serve`: a world, what goes wrong in it, and what goes wrong on the wire.

mod fault;
mod incident;
mod protection;

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use rollout_core::dns::RecordType;
use rollout_core::time::Timestamp;
use rollout_sim::endpoint::WireFault;
use rollout_sim::{
    Behaviour, Breaker, EnvironmentBuilder, Launch, ServiceBuilder, Span, Start, Threshold, World,
    ZoneBuilder,
};
use serde::{Deserialize, Deserializer};

use self::fault::Fault;
use self::incident::Planned;
use self::protection::{Secret, WebAcl};

/// A scenario, as TOML or as JSON.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Scenario {
    /// The seed; `--sim-seed` unless it is given.
    seed: Option<u64>,
    /// When the world begins, such as `2026-01-05T09:00:00Z`.
    start: Option<String>,
    environments: Vec<Environment>,
    zones: Vec<Zone>,
    incidents: Vec<Planned>,
    faults: Vec<Fault>,
}

/// A time as people write it: `90s`, `5m`, `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Time(Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let span = humantime::parse_duration(&text);
        let wrong = |error| {
            serde::de::Error::custom(format_args!("`{text}` is no duration such as 90s or 5m: {error}"))
        };
        Ok(Self(span.map_err(wrong)?))
    }
}

impl Time {
    fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Environment {
    name: String,
    account: Option<String>,
    region: Option<String>,
    cluster: Option<String>,
    /// The ARN of whoever calls.
    caller: Option<String>,
    #[serde(default)]
    launch: LaunchType,
    /// How many tasks fit.
    capacity: Option<u32>,
    #[serde(default)]
    repositories: Vec<String>,
    #[serde(default)]
    images: Vec<Image>,
    #[serde(default)]
    services: Vec<Service>,
    #[serde(default)]
    balancers: Vec<Balancer>,
    #[serde(default)]
    alarms: Vec<Alarm>,
    #[serde(default)]
    secrets: Vec<Secret>,
    /// Parameters of Systems Manager's Parameter Store, `SecureString`s.
    #[serde(default)]
    parameters: Vec<Secret>,
    #[serde(default)]
    web_acls: Vec<WebAcl>,
    /// Queues that are told of what happens in its ECS.
    #[serde(default)]
    event_queues: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LaunchType {
    #[default]
    Fargate,
    Ec2,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    repository: String,
    tag: String,
    /// What its containers do. Left out, they behave well.
    #[serde(default)]
    does: Does,
    /// When: after how long they crash, or pass health checks.
    after: Option<Time>,
    /// With which code they exit.
    exit_code: Option<i32>,
    /// What they write before they fail.
    #[serde(default)]
    log: Vec<String>,
    /// How long a one-off task runs.
    job_takes: Option<Time>,
    /// With which code a one-off task exits.
    job_exit_code: Option<i32>,
    /// Requests that are answered with an error, of 10,000.
    errors_per_10_000: Option<u32>,
    /// The body of answers.
    body: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Does {
    #[default]
    Well,
    CannotBePulled,
    Crash,
    RunOutOfMemory,
    NeverGetHealthy,
    TurnUnhealthy,
    StartSlowly,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    name: String,
    family: Option<String>,
    containers: Vec<Container>,
    /// A task definition, as `register-task-definition --cli-input-json` takes it.
    task_definition: Option<serde_json::Value>,
    desired: Option<u32>,
    minimum_healthy_percent: Option<u32>,
    maximum_percent: Option<u32>,
    circuit_breaker: Option<CircuitBreaker>,
    /// Behind a target group with this port.
    port: Option<u16>,
    target_group: Option<String>,
    health_check: Option<HealthCheck>,
    grace: Option<Time>,
    deregistration_delay: Option<Time>,
    settled_for: Option<Time>,
    /// Created now, its first deployment on its way.
    #[serde(default)]
    just_created: bool,
    #[serde(default)]
    hosts: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Container {
    name: String,
    repository: String,
    tag: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CircuitBreaker {
    enable: bool,
    #[serde(default)]
    rollback: bool,
    /// After how many failed tasks it trips; half of the desired count, at least 3, unless told otherwise.
    count: Option<u32>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HealthCheck {
    interval: Time,
    healthy: u32,
    unhealthy: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Balancer {
    name: String,
    dns_name: Option<String>,
    /// From the beginning of a path to a service; the longest first.
    #[serde(default)]
    routes: BTreeMap<String, String>,
    /// Healthy targets that are no tasks.
    #[serde(default)]
    machines: u32,
    #[serde(default)]
    unhealthy_machines: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Alarm {
    name: String,
    /// The service that it watches. Left out, only incidents move it.
    service: Option<String>,
    /// Fires when more than so many of 10,000 answers are errors.
    errors_over: Option<u32>,
    /// Fires when more targets than this are unhealthy.
    unhealthy_over: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Zone {
    id: String,
    name: String,
    #[serde(default)]
    records: Vec<Record>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    name: String,
    #[serde(rename = "type")]
    record_type: String,
    #[serde(default = "minute")]
    ttl: u32,
    #[serde(default)]
    values: Vec<String>,
    /// In place of values: a load balancer.
    alias: Option<Alias>,
    /// Requests a minute by clients behind resolvers that cache.
    requests_per_minute: Option<u64>,
}

const fn minute() -> u32 {
    60
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Alias {
    environment: String,
    balancer: String,
}

impl Scenario {
    /// Reads a file: JSON if its name ends so, else TOML.
    ///
    /// # Errors
    /// When it cannot be read, or says something that is not known.
    pub(super) fn load(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let json = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
        Self::parse(&text, json).with_context(|| format!("{} is no scenario", path.display()))
    }

    fn parse(text: &str, json: bool) -> anyhow::Result<Self> {
        let scenario: Self = if json {
            serde_json::from_str(text)?
        } else {
            toml::from_str(text)?
        };
        if scenario.environments.is_empty() {
            bail!("it describes no environment");
        }
        Ok(scenario)
    }

    /// Builds the world, with what goes wrong in it.
    ///
    /// # Errors
    /// When something is named that was not described.
    pub(super) fn world(&self, seed: u64) -> anyhow::Result<World> {
        let mut builder = World::builder(self.seed.unwrap_or(seed));
        if let Some(start) = &self.start {
            builder = builder.starting_at(moment(start)?);
        }
        for environment in &self.environments {
            environment.check()?;
            builder = builder.environment(&environment.name, |e| environment.describe(e));
        }
        for zone in &self.zones {
            zone.check()?;
            builder = builder.zone(&zone.id, &zone.name, |z| zone.describe(z));
        }
        let mut world = builder.build()?;
        for environment in &self.environments {
            for queue in &environment.event_queues {
                world.feed(&environment.name, queue)?;
            }
        }
        for planned in &self.incidents {
            planned.plan(&mut world)?;
        }
        Ok(world)
    }

    /// What goes wrong on the wire.
    ///
    /// # Errors
    /// When a fault makes no sense.
    pub(super) fn faults(&self) -> anyhow::Result<Vec<WireFault>> {
        self.faults.iter().map(Fault::wire_fault).collect()
    }
}

/// A moment such as `2026-01-05T09:00:00Z`.
fn moment(text: &str) -> anyhow::Result<Timestamp> {
    let wrong = || format!("`{text}` is no moment such as 2026-01-05T09:00:00Z");
    let moment = humantime::parse_rfc3339(text).with_context(wrong)?;
    let since = moment.duration_since(std::time::UNIX_EPOCH).with_context(wrong)?;
    Ok(Timestamp::EPOCH.after(since))
}

impl Environment {
    fn check(&self) -> anyhow::Result<()> {
        let wrong =
            |what: &str, name: &str, why: &str| anyhow!("environment {}, {what} {name}: {why}", self.name);
        for image in &self.images {
            if image.after.is_none() && image.does.has_a_time() {
                let name = format!("{}:{}", image.repository, image.tag);
                return Err(wrong("image", &name, "what it does needs `after`"));
            }
        }
        for alarm in &self.alarms {
            match (&alarm.service, alarm.errors_over, alarm.unhealthy_over) {
                (None, None, None) | (Some(_), Some(_), None) | (Some(_), None, Some(_)) => {}
                _ => {
                    let why = "give `service` with either `errors_over` or `unhealthy_over`, or none of them";
                    return Err(wrong("alarm", &alarm.name, why));
                }
            }
        }
        Ok(())
    }

    fn describe(&self, mut e: EnvironmentBuilder) -> EnvironmentBuilder {
        let given = |text: &Option<String>| text.clone();
        if let Some(account) = given(&self.account) {
            e = e.account(&account);
        }
        if let Some(region) = given(&self.region) {
            e = e.region(&region);
        }
        if let Some(cluster) = given(&self.cluster) {
            e = e.cluster(&cluster);
        }
        if let Some(caller) = given(&self.caller) {
            e = e.caller(&caller);
        }
        e = e.launch(match self.launch {
            LaunchType::Fargate => Launch::Fargate,
            LaunchType::Ec2 => Launch::Ec2,
        });
        if let Some(capacity) = self.capacity {
            e = e.capacity(capacity);
        }
        for repository in &self.repositories {
            e = e.repository(repository);
        }
        for image in &self.images {
            e = e.image_that(&image.repository, &image.tag, image.behaviour());
        }
        for service in &self.services {
            e = e.service(&service.name, |s| service.describe(s));
        }
        for balancer in &self.balancers {
            e = balancer.describe(e);
        }
        for secret in &self.secrets {
            e = e.secret(&secret.name, &secret.value);
        }
        for parameter in &self.parameters {
            e = e.parameter(&parameter.name, &parameter.value);
        }
        for acl in &self.web_acls {
            e = e.web_acl(&acl.name, |a| acl.describe(a));
        }
        for alarm in &self.alarms {
            e = match (&alarm.service, alarm.errors_over, alarm.unhealthy_over) {
                (Some(service), Some(over), _) => e.alarm_on_errors(&alarm.name, service, over),
                (Some(service), None, Some(over)) => e.alarm_on_unhealthy_targets(&alarm.name, service, over),
                _ => e.alarm(&alarm.name),
            };
        }
        e
    }
}

impl Does {
    const fn has_a_time(self) -> bool {
        matches!(
            self,
            Self::Crash | Self::RunOutOfMemory | Self::TurnUnhealthy | Self::StartSlowly
        )
    }
}

impl Image {
    fn behaviour(&self) -> Behaviour {
        let millis = self.after.map_or(0, Time::millis);
        let start = match self.does {
            Does::Well => Start::Ok,
            Does::CannotBePulled => Start::CannotPull {
                message: format!("{}:{}: not found", self.repository, self.tag),
            },
            Does::Crash => Start::CrashAfter {
                millis,
                exit_code: self.exit_code.unwrap_or(1),
            },
            Does::RunOutOfMemory => Start::OutOfMemoryAfter { millis },
            Does::NeverGetHealthy => Start::Unhealthy,
            Does::TurnUnhealthy => Start::UnhealthyAfter { millis },
            Does::StartSlowly => Start::SlowStart { millis },
        };
        let mut behaviour = Behaviour::starting(start).logging(self.log.iter().cloned());
        if let Some(takes) = self.job_takes {
            behaviour.job.takes = Span::exactly(takes.millis());
        }
        if let Some(code) = self.job_exit_code {
            behaviour.job.exit_code = code;
        }
        if let Some(errors) = self.errors_per_10_000 {
            behaviour.errors_per_10_000 = errors;
        }
        if let Some(body) = &self.body {
            behaviour.body.clone_from(body);
        }
        behaviour
    }
}

impl Service {
    fn describe(&self, mut s: ServiceBuilder) -> ServiceBuilder {
        for container in &self.containers {
            s = s.container(&container.name, &container.repository, &container.tag);
        }
        if let Some(family) = &self.family {
            s = s.family(family);
        }
        if let Some(template) = &self.task_definition {
            s = s.task_definition(template.clone());
        }
        s = s.desired(self.desired.unwrap_or(1)).percent(
            self.minimum_healthy_percent.unwrap_or(100),
            self.maximum_percent.unwrap_or(200),
        );
        if let Some(breaker) = self.circuit_breaker {
            s = s.breaker(Breaker {
                enabled: breaker.enable,
                rollback: breaker.rollback,
                threshold: breaker
                    .count
                    .map_or_else(|| Breaker::default().threshold, Threshold::Count),
                ..Breaker::default()
            });
        }
        if let Some(port) = self.port {
            s = s.load_balanced(port);
        }
        if let Some(group) = &self.target_group {
            s = s.target_group(group);
        }
        if let Some(check) = self.health_check {
            s = s.checks(check.interval.0, check.healthy, check.unhealthy);
        }
        if let Some(grace) = self.grace {
            s = s.grace(grace.0);
        }
        if let Some(delay) = self.deregistration_delay {
            s = s.deregistration_delay(delay.0);
        }
        if let Some(span) = self.settled_for {
            s = s.settled_for(span.0);
        }
        if self.just_created {
            s = s.just_created();
        }
        self.hosts.iter().fold(s, |s, host| s.host(host))
    }
}

impl Balancer {
    fn describe(&self, e: EnvironmentBuilder) -> EnvironmentBuilder {
        e.balancer(&self.name, |mut b| {
            if let Some(name) = &self.dns_name {
                b = b.dns_name(name);
            }
            let mut routes: Vec<_> = self.routes.iter().collect();
            routes.sort_by_key(|(prefix, _)| core::cmp::Reverse(prefix.len()));
            for (prefix, service) in routes {
                b = b.route(prefix, service);
            }
            if self.machines + self.unhealthy_machines > 0 {
                b = b.machines(self.machines, self.unhealthy_machines);
            }
            b
        })
    }
}

impl Zone {
    fn check(&self) -> anyhow::Result<()> {
        for record in &self.records {
            if record.alias.is_some() != record.values.is_empty() {
                bail!(
                    "zone {}, record {}: give either `values` or `alias`",
                    self.name,
                    record.name
                );
            }
        }
        Ok(())
    }

    fn describe(&self, mut z: ZoneBuilder) -> ZoneBuilder {
        for record in &self.records {
            let record_type = record_type(&record.record_type);
            let values: Vec<&str> = record.values.iter().map(String::as_str).collect();
            z = match &record.alias {
                Some(alias) => z.alias(&record.name, &alias.environment, &alias.balancer),
                None => z.values(&record.name, record_type.clone(), record.ttl, &values),
            };
            if let Some(requests) = record.requests_per_minute {
                z = z.clients(&record.name, record_type, requests);
            }
        }
        z
    }
}

fn record_type(text: &str) -> RecordType {
    match text.to_ascii_uppercase().as_str() {
        "A" => RecordType::A,
        "AAAA" => RecordType::Aaaa,
        "CNAME" => RecordType::Cname,
        "TXT" => RecordType::Txt,
        other => RecordType::Other(other.to_owned()),
    }
}

#[cfg(test)]
mod tests;
