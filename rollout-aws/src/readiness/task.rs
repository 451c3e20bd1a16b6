//! Services and the task definitions that they run.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecs::types as ecs;
use rollout_core::readiness::fact::task::{
    Attachment, Breaker, Container, DeploymentAlarms, HealthCheck, SecretRef, Service, TaskDefinition,
    Threshold, Variable,
};
use rollout_core::readiness::known::Table;

use super::call::Call;
use super::map::{count, port, text, time};
use super::round::{Asked, Refused, Round, batched, table};

/// Services by name, ten a call.
pub(super) async fn services(round: &Round<'_>, cluster: &str, names: BTreeSet<String>) -> Table<Service> {
    batched(names, crate::ecs::SERVICES_A_CALL, |names| async move {
        let subject = names.join(", ");
        let request = round
            .aws
            .ecs
            .describe_services()
            .cluster(cluster)
            .set_services(Some(names));
        let answer = round
            .ask(Call::DescribeServices, &subject, request.send())
            .await?;
        let unreadable = answer
            .failures()
            .iter()
            .find(|failure| failure.reason() != Some("MISSING"));
        if let Some(failure) = unreadable {
            let reason = failure.reason().unwrap_or("no reason given");
            let operation = Call::DescribeServices.operation();
            return Err(Refused::unclear(&subject, format!("{operation}: {reason}")));
        }
        let all = answer.services().iter();
        // ECS remembers a deleted service for a while (Amazon ECS API, "DeleteService").
        let alive = all.filter(|service| service.status() != Some("INACTIVE"));
        Ok(alive
            .map(|one| (text(one.service_name()), service(one)))
            .collect())
    })
    .await
}

/// Task definitions by ARN.
pub(super) async fn task_definitions(round: &Round<'_>, arns: BTreeSet<String>) -> Table<TaskDefinition> {
    table(arns, |arn| async move {
        Ok(task_definition(&describe(round, &round.aws.ecs, &arn).await?))
    })
    .await
}

/// One task definition of an account and region.
pub(super) async fn describe(
    round: &Round<'_>,
    client: &aws_sdk_ecs::Client,
    arn: &str,
) -> Asked<ecs::TaskDefinition> {
    let request = client.describe_task_definition().task_definition(arn);
    let asked = round
        .send(Call::DescribeTaskDefinition, arn, request.send())
        .await;
    match asked {
        Ok(answer) => answer
            .task_definition
            .ok_or_else(|| Refused::unclear(arn, "ecs:DescribeTaskDefinition: an answer without it")),
        // ECS has no code of its own for it: a name that it cannot describe is a `ClientException`.
        Err(error) if error.kind == rollout_core::error::ErrorKind::InvalidRequest => Err(Refused::Missing),
        Err(error) => Err(Refused::of(&error, arn)),
    }
}

fn service(service: &ecs::Service) -> Service {
    let vpc = service
        .network_configuration()
        .and_then(|network| network.awsvpc_configuration());
    let config = service.deployment_configuration();
    let primary = service
        .deployments()
        .iter()
        .find(|one| one.status() == Some("PRIMARY"));
    let controller = service
        .deployment_controller()
        .map_or("ECS", |one| one.r#type().as_str());
    // In a rolling update only the load balancers of the service itself are known to it.
    let attachment = |balancer: &ecs::LoadBalancer| {
        Some(Attachment {
            target_group: balancer.target_group_arn()?.to_owned(),
            container: text(balancer.container_name()),
            port: port(balancer.container_port().unwrap_or(0)),
        })
    };
    Service {
        arn: text(service.service_arn()),
        status: text(service.status()),
        desired: count(service.desired_count()),
        running: count(service.running_count()),
        task_definition: text(service.task_definition()),
        rollout_state: primary
            .and_then(|one| one.rollout_state())
            .map(|state| state.as_str().to_owned()),
        controller: controller.to_owned(),
        platform_version: service.platform_version().map(ToOwned::to_owned),
        subnets: vpc.map_or_else(Vec::new, |vpc| vpc.subnets().to_vec()),
        security_groups: vpc.map_or_else(Vec::new, |vpc| vpc.security_groups().to_vec()),
        public_ip: vpc.and_then(|vpc| vpc.assign_public_ip()) == Some(&ecs::AssignPublicIp::Enabled),
        attachments: service.load_balancers().iter().filter_map(attachment).collect(),
        breaker: config
            .and_then(|config| config.deployment_circuit_breaker())
            .map(breaker)
            .unwrap_or_default(),
        alarms: config
            .and_then(|config| config.alarms())
            .map(alarms)
            .unwrap_or_default(),
        // The defaults of a service that ECS deploys (Amazon ECS API, "DeploymentConfiguration").
        minimum_healthy_percent: config
            .and_then(|config| config.minimum_healthy_percent())
            .map_or(100, count),
        maximum_percent: config
            .and_then(|config| config.maximum_percent())
            .map_or(200, count),
        grace_seconds: service.health_check_grace_period_seconds().map(count),
        bake_minutes: config.and_then(|config| config.bake_time_in_minutes()).map(count),
    }
}

fn breaker(breaker: &ecs::DeploymentCircuitBreaker) -> Breaker {
    Breaker {
        enabled: breaker.enable(),
        rollback: breaker.rollback(),
        threshold: breaker.threshold_configuration().map(|threshold| Threshold {
            kind: threshold.r#type().as_str().to_owned(),
            value: count(threshold.value()),
        }),
    }
}

fn alarms(alarms: &ecs::DeploymentAlarms) -> DeploymentAlarms {
    DeploymentAlarms {
        enabled: alarms.enable(),
        rollback: alarms.rollback(),
        names: alarms.alarm_names().to_vec(),
    }
}

fn task_definition(definition: &ecs::TaskDefinition) -> TaskDefinition {
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
    TaskDefinition {
        active: definition.status() == Some(&ecs::TaskDefinitionStatus::Active),
        cpu: number(definition.cpu()),
        memory_mib: number(definition.memory()),
        network_mode: definition.network_mode().map(|mode| mode.as_str().to_owned()),
        architecture: definition
            .runtime_platform()
            .and_then(|platform| platform.cpu_architecture())
            .map(|architecture| architecture.as_str().to_owned()),
        execution_role: definition.execution_role_arn().map(ToOwned::to_owned),
        task_role: definition.task_role_arn().map(ToOwned::to_owned),
        containers: definition.container_definitions().iter().map(container).collect(),
        registered_at: definition.registered_at().map(time),
    }
}

fn container(container: &ecs::ContainerDefinition) -> Container {
    let linux = container
        .linux_parameters()
        .and_then(|linux| linux.capabilities());
    let log = container.log_configuration();
    let group = log.filter(|log| log.log_driver() == &ecs::LogDriver::Awslogs);
    let variable = |pair: &ecs::KeyValuePair| {
        Variable::of(pair.name().unwrap_or_default(), pair.value().unwrap_or_default())
    };
    let secret = |secret: &ecs::Secret| SecretRef {
        name: secret.name().to_owned(),
        from: secret.value_from().to_owned(),
    };
    Container {
        name: text(container.name()),
        image: text(container.image()),
        // Essential unless it says otherwise (Amazon ECS API, "ContainerDefinition").
        essential: container.essential().unwrap_or(true),
        variables: container.environment().iter().map(variable).collect(),
        secrets: container.secrets().iter().map(secret).collect(),
        health_check: container.health_check().and_then(health_check),
        user: container.user().map(ToOwned::to_owned),
        read_only_root: container.readonly_root_filesystem().unwrap_or(false),
        privileged: container.privileged().unwrap_or(false),
        dropped: linux.map_or_else(Vec::new, |linux| linux.drop().to_vec()),
        added: linux.map_or_else(Vec::new, |linux| linux.add().to_vec()),
        log_driver: log.map(|log| log.log_driver().as_str().to_owned()),
        log_group: group
            .and_then(|log| log.options())
            .and_then(|options| options.get("awslogs-group"))
            .cloned(),
        ports: container
            .port_mappings()
            .iter()
            .filter_map(|mapping| mapping.container_port().map(port))
            .collect(),
        stop_seconds: container.stop_timeout().map(count),
    }
}

/// With the defaults of what is not said (Amazon ECS API, "HealthCheck"). One that says `NONE` is none.
fn health_check(check: &ecs::HealthCheck) -> Option<HealthCheck> {
    let says = check.command().first().is_some_and(|first| first != "NONE");
    says.then(|| HealthCheck {
        command: check.command().to_vec(),
        interval_seconds: check.interval().map_or(30, count),
        retries: check.retries().map_or(3, count),
        start_seconds: check.start_period().map_or(0, count),
    })
}

/// The images of a task definition by container.
pub(super) fn images(definition: &ecs::TaskDefinition) -> BTreeMap<String, String> {
    let all = definition.container_definitions().iter();
    all.map(|container| (text(container.name()), text(container.image())))
        .collect()
}
