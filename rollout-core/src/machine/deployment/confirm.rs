//! Whether a service that was deployed still is what was deployed: the last look of a rollout.

use super::Foreign;
use super::Policy;
use super::judge::{Bound, Judgement, Known, judge};
use crate::evidence::{Evidence, Reason};
use crate::id::{DeploymentId, ServiceName, TaskDefinitionArn};
use crate::service::{Images, ServiceObservation};
use crate::time::Timestamp;

/// What must still hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) service: &'a ServiceName,
    pub(crate) deployment: &'a DeploymentId,
    pub(crate) task_definition: &'a TaskDefinitionArn,
    pub(crate) images: &'a Images,
    pub(crate) changed_at: Timestamp,
    pub(crate) policy: &'a Policy,
}

/// What a look says of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Confirmation {
    /// Every clause of success holds.
    Serving(Vec<Evidence>),
    /// Not every clause holds at this moment, such as while a task is being replaced.
    NotYet,
    /// Someone else deployed.
    Superseded(Foreign),
    /// It does not hold any more.
    Lost(Reason),
}

/// Judges one look by the same rule as a deployment's (invariant I-12).
pub(crate) fn confirm(claim: &Claim<'_>, seen: &ServiceObservation) -> Confirmation {
    let bound = Bound {
        deployment: claim.deployment.clone(),
        task_definition: claim.task_definition.clone(),
        assumed: None,
        created_at: Timestamp::EPOCH,
        asked_at: claim.changed_at,
        changed_at: claim.changed_at,
        // Tasks that stopped before were judged by the deployment; one that stops now is replaced, and seen as a count.
        since: seen.at,
        visible_at: claim.changed_at,
    };
    let known = Known {
        service: claim.service,
        images: claim.images,
        policy: claim.policy,
        bound: &bound,
        least: 1,
    };
    match judge(&known, seen) {
        Judgement::Complete { evidence } => Confirmation::Serving(evidence),
        Judgement::NotYetVisible { .. } | Judgement::Progressing { .. } => Confirmation::NotYet,
        Judgement::Superseded(by) => Confirmation::Superseded(by),
        Judgement::Failing(reason)
        | Judgement::PlatformFailed(reason)
        | Judgement::PlatformRolledBack { reason, .. }
        | Judgement::Gone(reason) => Confirmation::Lost(reason),
    }
}
