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
    let environment = config.environments.get(name).ok_or_else(|| {
        let known: Vec<&str> = config.environments.keys().map(EnvironmentName::as_str).collect();
        Unnamed(format!(
            "there is no environment `{name}` in {}; it has {}",
            config.file.display(),
            known.join(", ")
        ))
    })?;
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
    let unknown = |what: &str, name: &str, known: Vec<&str>| {
        let (file, of) = (readiness.file.display(), config.file.display());
        let known = known.join(", ");
        Err(Unnamed(format!(
            "{file}: there is no {what} `{name}` in {of}; it has {known}"
        )))
    };
    for (environment, meant) in &readiness.environments {
        if !config.environments.contains_key(environment) {
            let known = config.environments.keys().map(EnvironmentName::as_str);
            return unknown("environment", environment.as_str(), known.collect());
        }
        let services = config.services.iter();
        let known: Vec<&str> = services
            .map(|service| service.name_in(environment).as_str())
            .collect();
        if let Some(other) = meant.services.keys().find(|name| !known.contains(&name.as_str())) {
            return unknown("service", other.as_str(), known);
        }
    }
    Ok(())
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
    let (account, region) = (&environment.account, &environment.region);
    let cluster = environment.cluster.rsplit('/').next().unwrap_or_default();
    let ask = |action: &str, resource: String| Ask {
        principal: role.to_owned(),
        action: action.to_owned(),
        resource,
    };
    let mut all = vec![ask("ecs:RegisterTaskDefinition", "*".to_owned())];
    for service in &config.services {
        let name = service.name_in(&environment.name);
        let service = format!("arn:aws:ecs:{region}:{account}:service/{cluster}/{name}");
        all.push(ask("ecs:UpdateService", service));
        let deployments = format!("arn:aws:ecs:{region}:{account}:service-deployment/{cluster}/{name}/*");
        all.push(ask("ecs:StopServiceDeployment", deployments));
    }
    for task in &config.tasks {
        let definition = task.task_definition_in(&environment.name);
        let family = definition
            .json
            .get("family")
            .and_then(serde_json::Value::as_str)
            .unwrap_or("*");
        all.push(ask(
            "ecs:RunTask",
            format!("arn:aws:ecs:{region}:{account}:task-definition/{family}:*"),
        ));
        all.push(ask(
            "ecs:StopTask",
            format!("arn:aws:ecs:{region}:{account}:task/{cluster}/*"),
        ));
    }
    let templates = config
        .services
        .iter()
        .map(|service| service.task_definition_in(&environment.name));
    let templates = templates.chain(
        config
            .tasks
            .iter()
            .map(|task| task.task_definition_in(&environment.name)),
    );
    for template in templates {
        let definition = TaskDefinition::registered(&template.json);
        let roles = [definition.execution_role, definition.task_role];
        all.extend(
            roles
                .into_iter()
                .flatten()
                .map(|passed| ask("iam:PassRole", passed)),
        );
    }
    for service in &config.services {
        for image in service.images.values() {
            let repository = format!("arn:aws:ecr:{region}:{account}:repository/{}", image.value.to);
            let pushes = [
                "ecr:PutImage",
                "ecr:InitiateLayerUpload",
                "ecr:UploadLayerPart",
                "ecr:CompleteLayerUpload",
            ];
            all.extend(pushes.map(|action| ask(action, repository.clone())));
        }
    }
    for dns in &config.dns {
        all.push(ask(
            "route53:ChangeResourceRecordSets",
            format!("arn:aws:route53:::hostedzone/{}", dns.zone),
        ));
    }
    all.sort();
    all.dedup();
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
