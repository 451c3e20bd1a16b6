//! What is seen, in words.

use super::judge::SOURCE;
use crate::evidence::Evidence;
use crate::service::{DeploymentObservation, RolloutState, ServiceObservation, Stage};

/// A deployment as evidence.
pub(super) fn described(seen: &ServiceObservation, deployment: &DeploymentObservation) -> Evidence {
    let mut detail = format!(
        "{:?} {}, rollout {}, {}/{} running",
        deployment.role,
        deployment.task_definition,
        rollout_name(&deployment.rollout),
        deployment.running,
        deployment.desired,
    );
    if let Some(record) = &deployment.record {
        detail.push_str(&format!(", record {}", record.status.word()));
    }
    if let Some(reason) = &deployment.reason {
        detail.push_str(&format!(": {reason}"));
    }
    Evidence::new(seen.at, SOURCE, deployment.id.as_str(), detail)
}

/// How far it is, in one fragment: `2/3 running, 1 pending, stage SCALE_UP`.
pub(super) fn progress(seen: &ServiceObservation, ours: &DeploymentObservation) -> String {
    let mut text = format!("{}/{} running", ours.running, ours.desired);
    for (count, word) in [(ours.pending, "pending"), (ours.failed, "failed")] {
        if count > 0 {
            text.push_str(&format!(", {count} {word}"));
        }
    }
    let old = seen.running.saturating_sub(ours.running);
    if old > 0 {
        text.push_str(&format!(", {old} old"));
    }
    if let Some(stage) = ours.record.as_ref().and_then(|record| record.stage.as_ref()) {
        text.push_str(&format!(", stage {}", stage_name(stage)));
    }
    text
}

/// The platform's word for a stage.
fn stage_name(stage: &Stage) -> &str {
    match stage {
        Stage::ReconcileService => "RECONCILE_SERVICE",
        Stage::PreScaleUp => "PRE_SCALE_UP",
        Stage::ScaleUp => "SCALE_UP",
        Stage::PostScaleUp => "POST_SCALE_UP",
        Stage::TestTrafficShift => "TEST_TRAFFIC_SHIFT",
        Stage::PostTestTrafficShift => "POST_TEST_TRAFFIC_SHIFT",
        Stage::PreProductionTrafficShift => "PRE_PRODUCTION_TRAFFIC_SHIFT",
        Stage::ProductionTrafficShift => "PRODUCTION_TRAFFIC_SHIFT",
        Stage::PostProductionTrafficShift => "POST_PRODUCTION_TRAFFIC_SHIFT",
        Stage::BakeTime => "BAKE_TIME",
        Stage::CleanUp => "CLEAN_UP",
        Stage::Other(word) => word,
    }
}

fn rollout_name(state: &RolloutState) -> &str {
    match state {
        RolloutState::InProgress => "IN_PROGRESS",
        RolloutState::Completed => "COMPLETED",
        RolloutState::Failed => "FAILED",
        RolloutState::Other(word) => word,
    }
}
