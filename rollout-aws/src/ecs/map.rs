//! From the SDK's types to the core's. A word that we do not know is carried, never dropped.

use aws_sdk_ecs::types::{
    Container, Deployment, DeploymentRolloutState, DeploymentStrategy, ServiceDeployment,
    ServiceDeploymentStatus,
};
use aws_smithy_types::DateTime;
use rollout_core::error::{Error, ErrorKind};
use rollout_core::id::{ContainerName, DeploymentId, InvalidId, ServiceDeploymentArn, TaskDefinitionArn};
use rollout_core::service::{
    ContainerExit, DeploymentObservation, DeploymentRecord, DeploymentRole, Images, RecordStatus,
    RolloutState, Stage, Strategy,
};
use rollout_core::time::Timestamp;

use super::revision::Revision;
use super::{DESCRIBE_RECORDS, DESCRIBE_SERVICES, template};

/// Milliseconds; a time before 1970 is the epoch.
pub(super) fn time(time: &DateTime) -> Timestamp {
    Timestamp::from_millis(
        time.to_millis()
            .ok()
            .and_then(|t| u64::try_from(t).ok())
            .unwrap_or(0),
    )
}

pub(super) fn opt_time(moment: Option<&DateTime>) -> Option<Timestamp> {
    moment.map(time)
}

/// Counts are never negative; if one is, it is none.
pub(super) fn count(count: i32) -> u32 {
    u32::try_from(count).unwrap_or(0)
}

/// An answer that lacks what it must have, or has it malformed.
pub(super) fn malformed(operation: &str, what: &str) -> Error {
    Error::new(
        ErrorKind::Unexpected,
        operation,
        format!("the answer has no usable {what}"),
    )
}

/// An id out of an answer.
pub(super) fn id<T>(
    operation: &str,
    what: &str,
    text: Option<&str>,
    parse: impl FnOnce(String) -> Result<T, InvalidId>,
) -> Result<T, Error> {
    parse(text.unwrap_or_default().to_owned()).map_err(|error| malformed(operation, what).caused_by(error))
}

pub(super) fn deployment(deployment: &Deployment) -> Result<DeploymentObservation, Error> {
    Ok(DeploymentObservation {
        id: id(
            DESCRIBE_SERVICES,
            "deployment id",
            deployment.id(),
            DeploymentId::new,
        )?,
        task_definition: id(
            DESCRIBE_SERVICES,
            "task definition",
            deployment.task_definition(),
            TaskDefinitionArn::new,
        )?,
        role: role(deployment.status().unwrap_or_default()),
        rollout: rollout(deployment.rollout_state()),
        reason: deployment.rollout_state_reason().map(str::to_owned),
        desired: count(deployment.desired_count()),
        running: count(deployment.running_count()),
        pending: count(deployment.pending_count()),
        failed: count(deployment.failed_tasks()),
        created_at: opt_time(deployment.created_at()).unwrap_or_default(),
        record: None,
    })
}

fn role(status: &str) -> DeploymentRole {
    match status {
        "PRIMARY" => DeploymentRole::Primary,
        "ACTIVE" => DeploymentRole::Active,
        "INACTIVE" => DeploymentRole::Inactive,
        other => DeploymentRole::Other(other.to_owned()),
    }
}

fn rollout(state: Option<&DeploymentRolloutState>) -> RolloutState {
    match state.map(DeploymentRolloutState::as_str) {
        Some("IN_PROGRESS") => RolloutState::InProgress,
        Some("COMPLETED") => RolloutState::Completed,
        Some("FAILED") => RolloutState::Failed,
        other => RolloutState::Other(other.unwrap_or_default().to_owned()),
    }
}

/// `rolled_back_to` is filled in by who can look the service revision up.
pub(super) fn record(record: &ServiceDeployment) -> Result<DeploymentRecord, Error> {
    Ok(DeploymentRecord {
        arn: id(
            DESCRIBE_RECORDS,
            "service deployment ARN",
            record.service_deployment_arn(),
            ServiceDeploymentArn::new,
        )?,
        status: record_status(record.status()),
        reason: record.status_reason().map(str::to_owned),
        strategy: strategy(
            record
                .deployment_configuration()
                .and_then(|configuration| configuration.strategy()),
        ),
        stage: record.lifecycle_stage().map(|word| stage(word.as_str())),
        rolled_back_to: None,
        took: opt_time(record.finished_at())
            .zip(opt_time(record.started_at()))
            .map(|(finished, started)| finished.since(started)),
    })
}

fn record_status(status: Option<&ServiceDeploymentStatus>) -> RecordStatus {
    match status.map(ServiceDeploymentStatus::as_str) {
        Some("PENDING") => RecordStatus::Pending,
        Some("IN_PROGRESS") => RecordStatus::InProgress,
        Some("STOP_REQUESTED") => RecordStatus::StopRequested,
        Some("STOPPED") => RecordStatus::Stopped,
        Some("SUCCESSFUL") => RecordStatus::Successful,
        Some("ROLLBACK_REQUESTED") => RecordStatus::RollbackRequested,
        Some("ROLLBACK_IN_PROGRESS") => RecordStatus::RollbackInProgress,
        Some("ROLLBACK_SUCCESSFUL") => RecordStatus::RollbackSuccessful,
        Some("ROLLBACK_FAILED") => RecordStatus::RollbackFailed,
        other => RecordStatus::Other(other.unwrap_or_default().to_owned()),
    }
}

/// No word at all is the default, rolling.
fn strategy(strategy: Option<&DeploymentStrategy>) -> Strategy {
    match strategy.map(DeploymentStrategy::as_str) {
        None | Some("ROLLING") => Strategy::Rolling,
        Some("BLUE_GREEN") => Strategy::BlueGreen,
        Some("LINEAR") => Strategy::Linear,
        Some("CANARY") => Strategy::Canary,
        Some(other) => Strategy::Other(other.to_owned()),
    }
}

/// By word, because the SDK's enum lacks `PRE_PRODUCTION_TRAFFIC_SHIFT`.
fn stage(word: &str) -> Stage {
    match word {
        "RECONCILE_SERVICE" => Stage::ReconcileService,
        "PRE_SCALE_UP" => Stage::PreScaleUp,
        "SCALE_UP" => Stage::ScaleUp,
        "POST_SCALE_UP" => Stage::PostScaleUp,
        "TEST_TRAFFIC_SHIFT" => Stage::TestTrafficShift,
        "POST_TEST_TRAFFIC_SHIFT" => Stage::PostTestTrafficShift,
        "PRE_PRODUCTION_TRAFFIC_SHIFT" => Stage::PreProductionTrafficShift,
        "PRODUCTION_TRAFFIC_SHIFT" => Stage::ProductionTrafficShift,
        "POST_PRODUCTION_TRAFFIC_SHIFT" => Stage::PostProductionTrafficShift,
        "BAKE_TIME" => Stage::BakeTime,
        "CLEAN_UP" => Stage::CleanUp,
        other => Stage::Other(other.to_owned()),
    }
}

/// The digest of each container's image.
///
/// A pin (`repository@sha256:…`) in the task or its revision comes before what ECS reports as `imageDigest`: the runtime
/// cannot run anything else under a pin, while for an index the reported digest may be that of one platform's manifest.
pub(super) fn images(containers: &[Container], revision: Option<&Revision>) -> Images {
    containers
        .iter()
        .filter_map(|container| {
            let name = ContainerName::new(container.name()?).ok()?;
            let digest = container
                .image()
                .and_then(template::pinned)
                .or_else(|| revision.and_then(|revision| revision.container(&name)?.pin.clone()))
                .or_else(|| {
                    container
                        .image_digest()
                        .and_then(|digest| rollout_core::id::ImageDigest::new(digest).ok())
                })?;
            Some((name, digest))
        })
        .collect()
}

/// How each container ended. One that the revision does not tell about counts as essential.
pub(super) fn exits(containers: &[Container], revision: Option<&Revision>) -> Vec<ContainerExit> {
    containers
        .iter()
        .filter_map(|container| {
            let name = ContainerName::new(container.name()?).ok()?;
            Some(ContainerExit {
                essential: revision
                    .and_then(|revision| revision.container(&name))
                    .is_none_or(|known| known.essential),
                exit_code: container.exit_code(),
                reason: container.reason().map(str::to_owned),
                name,
            })
        })
        .collect()
}
