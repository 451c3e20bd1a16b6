//! The configuration and the readiness file become what an environment is meant to be.

use core::time::Duration;
use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow};
use rollout_core::context::OpContext;
use rollout_core::id::{EnvironmentName, ImageTag, ServiceName};
use rollout_core::plan::ExpectedIdentity;
use rollout_core::port::ImagePromotion;
use rollout_core::readiness::fact::identity::Ask;
use rollout_core::readiness::fact::task::TaskDefinition;
use rollout_core::readiness::intent::{HostIntent, Intent, ProcedureIntent, Release, ServiceIntent};

use crate::config::readiness::{Meant, Readiness};
use crate::config::{Config, Environment, Service, Version};
use crate::ready::Unnamed;

/// What an environment is meant to be. With a `release` it is what it is meant to be right before that one.
///
/// # Errors
/// When one of the files does not name the environment.
pub(crate) fn intent(
    config: &Config,
    readiness: &Readiness,
    name: &EnvironmentName,
    release: Option<Release>,
) -> anyhow::Result<Intent> {
    let environment = environment(config, name)?;
    let meant = readiness.environments.get(name).ok_or_else(|| {
        Unnamed(format!(
            "there is no [environments.{name}] in {}: add one, with its `tier`",
            readiness.file.display()
        ))
    })?;
    named(config, readiness)?;
    let mut deployer = meant.deployer.clone();
    if let Some(role) = &deployer.role {
        deployer.asks = asks(config, environment, role);
    }
    Ok(Intent {
        environment: name.clone(),
        tier: meant.tier,
        expects: ExpectedIdentity {
            account: environment.account.clone(),
            region: environment.region.clone(),
            caller: environment.caller.clone(),
        },
        cluster: environment.cluster.clone(),
        services: config
            .services
            .iter()
            .map(|one| service(config, one, meant, name))
            .collect(),
        hosts: hosts(config, meant, name),
        data: meant.data.clone(),
        deployer,
        watch: meant.watch.clone(),
        cost: meant.cost.clone(),
        procedure: ProcedureIntent {
            window: config
                .promotion
                .window
                .clone()
                .filter(|_| *name == config.promotion.to),
            owners: meant.owners.clone(),
            areas: meant.areas.clone(),
            approvals: meant.approvals,
            soak: config.promotion.soak,
            smoke_tests: meant.smoke_tests,
        },
        release,
        limits: meant.limits.clone(),
        questions: readiness
            .own
            .iter()
            .filter_map(|own| own.question().cloned())
            .collect(),
    })
}

/// Whether all that the readiness file names by the configuration's names is there: what has a wrong name would not be asked for.
fn named(config: &Config, readiness: &Readiness) -> Result<(), Unnamed> {
    let here = |Unnamed(why)| Unnamed(format!("{}: {why}", readiness.file.display()));
    for (name, meant) in &readiness.environments {
        environment(config, name).map_err(here)?;
        let services = config.services.iter();
        let known: Vec<&str> = services.map(|service| service.name_in(name).as_str()).collect();
        if let Some(other) = meant.services.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(here(missing(config, "service", other.as_str(), &known)));
        }
    }
    Ok(())
}

/// An environment of the configuration.
///
/// # Errors
/// When it has none of that name.
pub(crate) fn environment<'a>(
    config: &'a Config,
    name: &EnvironmentName,
) -> Result<&'a Environment, Unnamed> {
    config.environments.get(name).ok_or_else(|| {
        let known: Vec<&str> = config.environments.keys().map(EnvironmentName::as_str).collect();
        missing(config, "environment", name.as_str(), &known)
    })
}

/// That the configuration does not have something, and what it has.
fn missing(config: &Config, what: &str, name: &str, known: &[&str]) -> Unnamed {
    Unnamed(format!(
        "there is no {what} `{name}` in {}; it has {}",
        config.file.display(),
        known.join(", ")
    ))
}

fn service(
    config: &Config,
    service: &Service,
    meant: &Meant,
    environment: &EnvironmentName,
) -> ServiceIntent {
    let name = service.name_in(environment).clone();
    let definition = TaskDefinition::registered(&service.task_definition_in(environment).json);
    let own = meant.services.get(&name).cloned().unwrap_or_default();
    let port = definition
        .containers
        .iter()
        .find_map(|container| container.ports.first().copied());
    let gates = service.gates.iter().map(|gate| gate.give_up);
    let proven_as = service.name_in(&config.promotion.from).clone();
    ServiceIntent {
        proven_as: (proven_as != name).then_some(proven_as),
        name,
        port: own.port.or(port),
        live: own.live,
        ready: own.ready,
        base_url: own.base_url,
        paths: own.paths,
        patience: gates
            .chain([service.deployment.give_up])
            .max()
            .unwrap_or(Duration::ZERO),
        architecture: own.architecture,
    }
}

/// The host names of the readiness file, and those that the configuration moves.
fn hosts(config: &Config, meant: &Meant, environment: &EnvironmentName) -> Vec<HostIntent> {
    let mut all = meant.hosts.clone();
    if *environment != config.promotion.to {
        return all;
    }
    for dns in &config.dns {
        let name = dns.key.name.normalised().trim_end_matches('.').to_owned();
        match all.iter_mut().find(|host| host.name == name) {
            Some(host) => (host.cutover_ahead, host.lowers_ttl) = (true, true),
            None => all.push(HostIntent {
                name,
                zone: dns.zone.to_string(),
                target: None,
                cutover_ahead: true,
                lowers_ttl: true,
                kept_seconds: None,
            }),
        }
    }
    all
}

/// What the release and its way back call that changes something, with what they call it on.
fn asks(config: &Config, environment: &Environment, role: &str) -> Vec<Ask> {
    let mut all = vec![("ecs:RegisterTaskDefinition", "*".to_owned())];
    all.extend(calls_of_services(config, environment));
    all.extend(calls_of_tasks(config, environment));
    let services = config.services.iter();
    let of_services = services.map(|service| service.task_definition_in(&environment.name));
    let tasks = config.tasks.iter();
    let templates = of_services.chain(tasks.map(|task| task.task_definition_in(&environment.name)));
    all.extend(templates.flat_map(|template| {
        let definition = TaskDefinition::registered(&template.json);
        let roles = [definition.execution_role, definition.task_role];
        roles.into_iter().flatten().map(|passed| ("iam:PassRole", passed))
    }));
    all.extend(config.dns.iter().map(|dns| {
        let zone = format!("arn:aws:route53:::hostedzone/{}", dns.zone);
        ("route53:ChangeResourceRecordSets", zone)
    }));
    let ask = |(action, resource): (&str, String)| Ask {
        principal: role.to_owned(),
        action: action.to_owned(),
        resource,
    };
    let mut all: Vec<Ask> = all.into_iter().map(ask).collect();
    all.sort();
    all.dedup();
    all
}

/// A service is deployed, and its images are pushed.
fn calls_of_services(config: &Config, environment: &Environment) -> Vec<(&'static str, String)> {
    const PUSHES: [&str; 4] = [
        "ecr:PutImage",
        "ecr:InitiateLayerUpload",
        "ecr:UploadLayerPart",
        "ecr:CompleteLayerUpload",
    ];
    let (account, region) = (&environment.account, &environment.region);
    let cluster = environment.cluster_name();
    let mut all = Vec::new();
    for service in &config.services {
        let name = service.name_in(&environment.name);
        let of =
            |kind: &str, rest: &str| format!("arn:aws:ecs:{region}:{account}:{kind}/{cluster}/{name}{rest}");
        all.push(("ecs:UpdateService", of("service", "")));
        all.push(("ecs:StopServiceDeployment", of("service-deployment", "/*")));
        for image in service.images.values() {
            let repository = format!("arn:aws:ecr:{region}:{account}:repository/{}", image.value.to);
            all.extend(PUSHES.map(|action| (action, repository.clone())));
        }
    }
    all
}

/// A task is run, and stopped when it takes too long.
fn calls_of_tasks(config: &Config, environment: &Environment) -> Vec<(&'static str, String)> {
    let (account, region) = (&environment.account, &environment.region);
    let cluster = environment.cluster_name();
    let mut all = Vec::new();
    for task in &config.tasks {
        let definition = task.task_definition_in(&environment.name);
        let family = definition.json.get("family").and_then(serde_json::Value::as_str);
        let definition = format!("task-definition/{}:*", family.unwrap_or("*"));
        all.push((
            "ecs:RunTask",
            format!("arn:aws:ecs:{region}:{account}:{definition}"),
        ));
        all.push((
            "ecs:StopTask",
            format!("arn:aws:ecs:{region}:{account}:task/{cluster}/*"),
        ));
    }
    all
}

/// A release, with its digests as the source's registry has them now.
///
/// # Errors
/// When a tag is not there, or cannot be asked for.
pub(crate) async fn release(
    config: &Config,
    release: &str,
    images: &dyn ImagePromotion,
    ctx: &OpContext,
) -> anyhow::Result<Release> {
    let to = &config.promotion.to;
    let registry = &config.target().registry;
    let mut all = Release {
        name: release.to_owned(),
        copies: BTreeMap::new(),
        images: BTreeMap::new(),
        task_definitions: BTreeMap::new(),
        migrations: config
            .tasks
            .iter()
            .map(|task| (task.name.to_string(), Some(task.reversible)))
            .collect(),
    };
    for service in &config.services {
        let name: &ServiceName = service.name_in(to);
        let (mut of_service, mut named) = (BTreeMap::new(), BTreeMap::new());
        for (container, image) in &service.images {
            let image = &image.value;
            let digest = match &image.version {
                Version::Digest(digest) => digest.clone(),
                Version::Pattern(_) => {
                    let tag = ImageTag::new(image.version.tag(release).unwrap_or_default())?;
                    let found = images.resolve(ctx, &image.from, &tag).await;
                    let found = found.with_context(|| format!("cannot look for {}:{tag}", image.from))?;
                    found.ok_or_else(|| {
                        anyhow!("there is no {}:{tag} in {}: name another release, or leave it out with `--present`", image.from, config.promotion.from)
                    })?
                }
            };
            named.insert(container.to_string(), format!("{registry}/{}@{digest}", image.to));
            let there = format!("{}@{digest}", image.to);
            all.copies
                .insert(there.clone(), format!("{}@{digest}", image.from));
            of_service.insert(container.to_string(), there);
        }
        let mut definition = TaskDefinition::registered(&service.task_definition_in(to).json);
        for container in &mut definition.containers {
            if let Some(image) = named.remove(&container.name) {
                container.image = image;
            }
        }
        all.images.insert(name.clone(), of_service);
        all.task_definitions.insert(name.clone(), definition);
    }
    Ok(all)
}
