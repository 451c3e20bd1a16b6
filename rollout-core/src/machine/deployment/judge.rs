//! What a look at a service says about the deployment that we are bound to. Pure: no state, no clock.
//!
//! States decide, texts only explain. A platform's wording is read in one case: the platform keeps no record of the
//! deployment, and someone must tell "the platform went back" from "another deployer came" ([`tells_of_going_back`]).

use serde::{Deserialize, Serialize};

use super::success::{proof, unmet};
use super::wording::{described, progress};
use super::{Foreign, Policy};
use crate::evidence::{Cause, Evidence, Reason};
use crate::id::{DeploymentId, ServiceName, TaskDefinitionArn};
use crate::service::{
    DeploymentObservation, DeploymentRecord, Images, RecordStatus, RolloutState, ServiceObservation,
    ServiceStatus, Stage, StoppedTask,
};
use crate::time::Timestamp;

/// Where evidence of this module was seen: the port's method.
pub(super) const SOURCE: &str = "observe_service";
/// Stopped tasks, and service events, that a reason quotes: the newest ones.
const QUOTED: usize = 3;

/// The deployment that we answer for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bound {
    /// Its id.
    pub(super) deployment: DeploymentId,
    /// The revision that it brings.
    pub(super) task_definition: TaskDefinitionArn,
    /// The deployment that was PRIMARY when we wrote; `None` as well when nothing was written.
    pub(super) assumed: Option<DeploymentId>,
    /// When it was made, by the platform's clock.
    pub(super) created_at: Timestamp,
    /// When the write was asked for, or the first look when there was no write. An older look says nothing.
    pub(super) asked_at: Timestamp,
    /// When we were bound to it: evidence of a gate must be newer.
    pub(super) changed_at: Timestamp,
    /// Stopped tasks count from here.
    pub(super) since: Timestamp,
    /// The last look that showed it as PRIMARY; before the first, the binding. Reads may lag behind this.
    pub(super) visible_at: Timestamp,
}

/// What the judge knows besides what was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) service: &'a ServiceName,
    pub(super) images: &'a Images,
    pub(super) policy: &'a Policy,
    pub(super) bound: &'a Bound,
    /// The fewest tasks that the service must want for a success.
    pub(super) least: u32,
}

impl Known<'_> {
    /// Tasks of ours that stopped as failures.
    pub(super) fn failed(&self, seen: &ServiceObservation) -> u32 {
        u32::try_from(failures(self, seen).count()).unwrap_or(u32::MAX)
    }
}

/// What a look says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It may be a read from before the change.
    NotYetVisible { text: String },
    /// On its way.
    Progressing { stage: Option<Stage>, text: String },
    /// Every clause of invariant I-12 holds.
    Complete { evidence: Vec<Evidence> },
    /// Its tasks fail.
    Failing(Reason),
    /// The platform gave it up, or lost it.
    PlatformFailed(Reason),
    /// The platform gave it up and went back.
    PlatformRolledBack {
        to: Option<TaskDefinitionArn>,
        reason: Reason,
    },
    /// Someone else deployed.
    Superseded(Foreign),
    /// There is no service any more.
    Gone(Reason),
}

/// Judges one look.
pub(super) fn judge(known: &Known<'_>, seen: &ServiceObservation) -> Judgement {
    if seen.at < known.bound.asked_at {
        return Judgement::NotYetVisible {
            text: "the look is older than the change".to_owned(),
        };
    }
    let recent = seen.at < known.bound.visible_at.after(known.policy.stale_reads);
    if let Some(reason) = gone(known.service, seen) {
        // A stale read may miss a service that was just written to; one that is being deleted is a fact.
        return if recent && seen.status == ServiceStatus::Missing {
            Judgement::NotYetVisible { text: reason.text }
        } else {
            Judgement::Gone(reason)
        };
    }
    match seen.primary() {
        Some(primary) if primary.id == known.bound.deployment => primary_is_ours(known, seen, primary),
        Some(primary) => primary_is_other(known, seen, primary, recent),
        None => absent(known, seen, recent),
    }
}

/// Why the service cannot be deployed to any more. A status word unknown to us is no reason; it is no success either.
pub(super) fn gone(service: &ServiceName, seen: &ServiceObservation) -> Option<Reason> {
    let what = match &seen.status {
        ServiceStatus::Active => return None,
        ServiceStatus::Draining => "is being deleted",
        ServiceStatus::Missing => "does not exist",
        ServiceStatus::Other(word) if word.eq_ignore_ascii_case("inactive") => "is inactive",
        ServiceStatus::Other(_) => return None,
    };
    let text = format!("service {service} {what}");
    Some(Reason::new(Cause::ServiceGone, text.clone()).with([Evidence::new(
        seen.at,
        SOURCE,
        service.as_str(),
        text,
    )]))
}

fn primary_is_ours(known: &Known<'_>, seen: &ServiceObservation, ours: &DeploymentObservation) -> Judgement {
    if let Some(judgement) = platform_verdict(known, seen, ours) {
        return judgement;
    }
    if let Some(reason) = failing(known, seen) {
        return Judgement::Failing(reason);
    }
    match unmet(known, seen, ours) {
        None => Judgement::Complete {
            evidence: proof(known, seen, ours),
        },
        Some(why) => Judgement::Progressing {
            stage: ours.record.as_ref().and_then(|record| record.stage.clone()),
            text: format!("{}: {why}", progress(seen, ours)),
        },
    }
}

/// What the platform itself says of our deployment while it is still PRIMARY.
fn platform_verdict(
    known: &Known<'_>,
    seen: &ServiceObservation,
    ours: &DeploymentObservation,
) -> Option<Judgement> {
    let failed = ours.rollout == RolloutState::Failed;
    match ours.record.as_ref() {
        Some(record) if went_back(record) => Some(Judgement::PlatformRolledBack {
            to: record.rolled_back_to.clone(),
            reason: platform_reason(known, seen, Cause::PlatformRolledBack, Some(ours), None),
        }),
        Some(record) if failed || stopped(record) => Some(Judgement::PlatformFailed(platform_reason(
            known,
            seen,
            Cause::PlatformFailed,
            Some(ours),
            None,
        ))),
        None if failed && ours.reason.as_deref().is_some_and(tells_of_going_back) => {
            Some(Judgement::PlatformRolledBack {
                to: None,
                reason: platform_reason(known, seen, Cause::PlatformRolledBack, Some(ours), None),
            })
        }
        None if failed => Some(Judgement::PlatformFailed(platform_reason(
            known,
            seen,
            Cause::PlatformFailed,
            Some(ours),
            None,
        ))),
        Some(_) | None => None,
    }
}

fn primary_is_other(
    known: &Known<'_>,
    seen: &ServiceObservation,
    primary: &DeploymentObservation,
    recent: bool,
) -> Judgement {
    let bound = known.bound;
    let ours = seen.deployment(&bound.deployment);
    let record = ours.and_then(|ours| ours.record.as_ref());
    let by_platform = is_platforms_own(Some(&bound.deployment), ours, primary, seen);
    let assumed = bound.assumed.as_ref() == Some(&primary.id);
    let failed = ours.is_some_and(|ours| ours.rollout == RolloutState::Failed);

    if let Some(record) = record.filter(|record| went_back(record)) {
        let to = record
            .rolled_back_to
            .clone()
            .or_else(|| by_platform.then(|| primary.task_definition.clone()));
        return rolled_back(known, seen, to, primary);
    }
    if by_platform || (failed && assumed) {
        return rolled_back(known, seen, Some(primary.task_definition.clone()), primary);
    }
    // Stopped and not turned back, as the record has it: what is in front and younger was not put there by the platform.
    let replaced =
        record.is_some_and(stopped) && ours.is_some_and(|ours| ours.created_at < primary.created_at);
    if failed && !replaced {
        return Judgement::PlatformFailed(platform_reason(
            known,
            seen,
            Cause::PlatformFailed,
            ours,
            Some(primary),
        ));
    }
    // A read from before the change shows the assumed deployment, or one older still. Another deployer's is newer.
    if recent && (assumed || primary.created_at < bound.created_at) {
        return Judgement::NotYetVisible {
            text: format!("still shows {} as PRIMARY", primary.id),
        };
    }
    match (assumed, ours) {
        // Nobody but the platform makes an old deployment PRIMARY again.
        (true, Some(_)) => rolled_back(known, seen, Some(primary.task_definition.clone()), primary),
        (true, None) => Judgement::PlatformFailed(platform_reason(
            known,
            seen,
            Cause::PlatformFailed,
            None,
            Some(primary),
        )),
        (false, _) => Judgement::Superseded(foreign(known.service, seen, primary)),
    }
}

fn absent(known: &Known<'_>, seen: &ServiceObservation, recent: bool) -> Judgement {
    if recent {
        return Judgement::NotYetVisible {
            text: "shows no PRIMARY deployment yet".to_owned(),
        };
    }
    let ours = seen.deployment(&known.bound.deployment);
    Judgement::PlatformFailed(platform_reason(known, seen, Cause::PlatformFailed, ours, None))
}

fn rolled_back(
    known: &Known<'_>,
    seen: &ServiceObservation,
    to: Option<TaskDefinitionArn>,
    primary: &DeploymentObservation,
) -> Judgement {
    let ours = seen.deployment(&known.bound.deployment);
    Judgement::PlatformRolledBack {
        to,
        reason: platform_reason(known, seen, Cause::PlatformRolledBack, ours, Some(primary)),
    }
}

/// Whether the platform itself put `primary` in the place of our deployment: by its record; where it keeps none, by
/// `FAILED` and age, or by its own words that name our deployment. In doubt it is not: then we yield.
pub(super) fn is_platforms_own(
    id: Option<&DeploymentId>,
    ours: Option<&DeploymentObservation>,
    primary: &DeploymentObservation,
    seen: &ServiceObservation,
) -> bool {
    match ours {
        Some(ours) => match &ours.record {
            // It was asked to and has not begun: whatever is PRIMARY now, the platform has not put it there.
            Some(record) if record.status == RecordStatus::RollbackRequested => false,
            Some(record) if went_back(record) => record
                .rolled_back_to
                .as_ref()
                .is_none_or(|to| to == &primary.task_definition),
            Some(_) => ours.rollout == RolloutState::Failed && primary.created_at < ours.created_at,
            None => {
                ours.rollout == RolloutState::Failed
                    && (primary.created_at < ours.created_at
                        || told(Some(&ours.id), Some(ours), primary, seen))
            }
        },
        None => told(id, None, primary, seen),
    }
}

fn told(
    id: Option<&DeploymentId>,
    ours: Option<&DeploymentObservation>,
    primary: &DeploymentObservation,
    seen: &ServiceObservation,
) -> bool {
    let reasons = [Some(primary), ours];
    let by_reason = reasons
        .into_iter()
        .flatten()
        .filter_map(|deployment| deployment.reason.as_deref())
        .any(tells_of_going_back);
    let by_event = id.is_some_and(|id| {
        seen.events
            .iter()
            .filter(|event| event.detail.contains(id.as_str()))
            .any(|event| {
                tells_of_going_back(&event.detail)
                    || event.detail.to_ascii_lowercase().contains("deployment failed")
            })
    });
    by_reason || by_event
}

/// Whether a platform's words speak of going back (Amazon ECS developer guide, "How the Amazon ECS deployment circuit
/// breaker detects failures": `rolling back to deploymentId …`).
fn tells_of_going_back(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["rolling back", "rolled back", "rollback"]
        .iter()
        .any(|words| text.contains(words))
}

fn went_back(record: &DeploymentRecord) -> bool {
    match &record.status {
        RecordStatus::RollbackRequested
        | RecordStatus::RollbackInProgress
        | RecordStatus::RollbackSuccessful
        | RecordStatus::RollbackFailed => true,
        RecordStatus::Pending
        | RecordStatus::InProgress
        | RecordStatus::StopRequested
        | RecordStatus::Stopped
        | RecordStatus::Successful
        | RecordStatus::Other(_) => false,
    }
}

fn stopped(record: &DeploymentRecord) -> bool {
    matches!(record.status, RecordStatus::StopRequested | RecordStatus::Stopped)
}

/// Tasks of ours that stopped as failures, oldest first.
fn failures<'a>(
    known: &Known<'_>,
    seen: &'a ServiceObservation,
) -> impl Iterator<Item = (&'a StoppedTask, Cause)> {
    let bound = known.bound.clone();
    seen.stopped
        .iter()
        .filter(move |task| {
            let ours = task.started_by.as_ref() == Some(&bound.deployment)
                || task.task_definition == bound.task_definition;
            ours && task.stopped_at >= bound.since
        })
        .filter_map(|task| task.cause.map(|cause| (task, cause)))
}

/// The early end: enough tasks of ours have stopped as failures.
fn failing(known: &Known<'_>, seen: &ServiceObservation) -> Option<Reason> {
    if known.failed(seen) < known.policy.stopped_tasks.max(1) {
        return None;
    }
    let (cause, text) = stops(known, seen)?;
    Some(Reason::new(cause, text).with(quotes(known, seen)))
}

/// The most frequent cause (the newest on a tie) and one sentence about it.
fn stops(known: &Known<'_>, seen: &ServiceObservation) -> Option<(Cause, String)> {
    let all: Vec<_> = failures(known, seen).collect();
    let of = |cause: Cause| all.iter().filter(|(_, other)| *other == cause).count();
    // `max_by_key` takes the last of equals, and the newest come last.
    let (task, cause) = all.iter().max_by_key(|(_, cause)| of(*cause))?;
    let tasks = match all.len() {
        1 => "1 task".to_owned(),
        many => format!("{many} tasks"),
    };
    let share = if of(*cause) == all.len() {
        String::new()
    } else {
        format!(", {} of them for the same cause", of(*cause))
    };
    let exit = task
        .containers
        .iter()
        .filter(|container| container.essential)
        .find_map(|container| container.exit_code.filter(|code| *code != 0))
        .map(|code| format!(" (exit code {code})"))
        .unwrap_or_default();
    Some((
        *cause,
        format!(
            "{tasks} of {} stopped{share}: {}{exit}",
            known.service, task.reason
        ),
    ))
}

/// The newest failures and events, oldest first.
pub(super) fn quotes(known: &Known<'_>, seen: &ServiceObservation) -> Vec<Evidence> {
    let tasks: Vec<_> = failures(known, seen).map(|(task, _)| task).collect();
    let skipped = tasks.len().saturating_sub(QUOTED);
    let mut all: Vec<Evidence> = tasks
        .into_iter()
        .skip(skipped)
        .flat_map(|task| task.evidence(SOURCE))
        .collect();
    // The service's events go back to deployments before ours.
    let ours = seen
        .events
        .iter()
        .filter(|event| event.at >= known.bound.created_at);
    let skipped = ours.clone().count().saturating_sub(QUOTED);
    all.extend(ours.skip(skipped).cloned());
    all.sort_by_key(|evidence| evidence.at);
    all
}

fn platform_reason(
    known: &Known<'_>,
    seen: &ServiceObservation,
    cause: Cause,
    ours: Option<&DeploymentObservation>,
    primary: Option<&DeploymentObservation>,
) -> Reason {
    let bound = known.bound;
    let what = match (cause == Cause::PlatformRolledBack, ours) {
        (true, _) => format!("the platform rolled deployment {} back", bound.deployment),
        (false, Some(_)) => format!("the platform gave deployment {} up", bound.deployment),
        (false, None) => format!("our deployment {} is gone", bound.deployment),
    };
    let record = ours.and_then(|ours| ours.record.as_ref());
    let said = record
        .and_then(|record| record.reason.as_deref())
        .or_else(|| ours.and_then(|ours| ours.reason.as_deref()))
        .or_else(|| primary.and_then(|primary| primary.reason.as_deref()));
    let mut text = what;
    if let Some(said) = said {
        text.push_str(&format!(": {said}"));
    }
    if let Some((_, stops)) = stops(known, seen) {
        text.push_str(&format!("; {stops}"));
    }
    let mut evidence = quotes(known, seen);
    evidence.extend(ours.map(|ours| described(seen, ours)));
    evidence.extend(primary.map(|primary| described(seen, primary)));
    Reason::new(cause, text).with(evidence)
}

/// Someone else's deployment, with all that is listed as evidence.
pub(super) fn foreign(
    service: &ServiceName,
    seen: &ServiceObservation,
    primary: &DeploymentObservation,
) -> Foreign {
    Foreign {
        service: service.clone(),
        deployment: primary.id.clone(),
        task_definition: primary.task_definition.clone(),
        created_at: primary.created_at,
        evidence: seen
            .deployments
            .iter()
            .map(|deployment| described(seen, deployment))
            .collect(),
    }
}

#[cfg(test)]
mod tests;
