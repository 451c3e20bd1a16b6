//! The record of a deployment that outlives it (Amazon ECS API, "ServiceDeployment"), and the configuration that it brought
//! ("ServiceRevision").

use rollout_core::id::ServiceDeploymentArn;
use rollout_core::service::{Images, RecordStatus};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Environment;
use super::plan::{ALL, Hook, LifecycleStage, Plan};
use super::service::Service;

/// For how long records are kept (Amazon ECS developer guide, "View service history using Amazon ECS service deployments").
const KEPT: u64 = 90 * 24 * 60 * 60 * 1_000;

/// AWS gives no page of these texts. Those marked "seen" stand in public reports of real deployments, the others are ours.
pub(crate) mod words {
    /// Seen.
    pub(crate) const BREAKER: &str =
        "Service deployment rolled back because the circuit breaker threshold was exceeded.";
    /// Ours.
    pub(crate) const BREAKER_ONLY: &str =
        "The circuit breaker threshold was exceeded. Rollback is not enabled.";
    /// Ours, but for its beginning.
    pub(crate) const ALARM: &str = "Service deployment rolled back because an alarm was detected.";
    /// Ours.
    pub(crate) const ALARM_ONLY: &str = "An alarm was detected. Rollback is not enabled.";
    /// Ours, but for its beginning.
    pub(crate) const USER: &str = "Service deployment rolled back because a user asked for it.";
    /// Seen.
    pub(crate) const NO_CANDIDATE: &str = "No rollback candidate was found to run the rollback.";
    /// Ours.
    pub(crate) const REPLACED: &str = "A new deployment was started.";
    /// Ours.
    pub(crate) const DELETED: &str = "The service is being deleted.";

    /// Seen, with these reasons.
    pub(crate) fn network(why: &str) -> String {
        format!("Service deployment rolled back because of invalid networking configuration. {why}")
    }

    /// Seen, with more words after it that depend on the hook.
    pub(crate) fn hook(stage: &str) -> String {
        format!("Service deployment rolled back because {stage} lifecycle hook(s) failed.")
    }
}

/// Whether something that can fail a deployment is watched (Amazon ECS API, "ServiceDeploymentRollbackMonitorsStatus").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Monitor {
    Disabled,
    Monitoring,
    MonitoringComplete,
    Triggered,
}

impl Monitor {
    fn finish(&mut self) {
        if *self == Self::Monitoring {
            *self = Self::MonitoringComplete;
        }
    }
}

/// How far a hook is (Amazon ECS API, "DeploymentLifecycleHookDetail": `status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum HookStatus {
    AwaitingAction,
    InProgress,
    Succeeded,
    Failed,
    TimedOut,
}

/// One run of a hook.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HookRun {
    pub(crate) id: String,
    pub(crate) hook: Hook,
    pub(crate) status: HookStatus,
    pub(crate) expires_at: Timestamp,
    /// When a function answers.
    pub(crate) answers_at: Option<Timestamp>,
}

impl HookRun {
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.status, HookStatus::AwaitingAction | HookStatus::InProgress)
    }

    /// When it is to be looked at next.
    pub(crate) fn due(&self) -> Timestamp {
        self.answers_at
            .map_or(self.expires_at, |at| at.min(self.expires_at))
    }
}

/// The tasks of one deployment's service revision, and its share of the traffic (Amazon ECS API, "ServiceRevisionSummary").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// The deployment that brought the revision.
    pub(crate) number: u32,
    pub(crate) requested: u32,
    pub(crate) running: u32,
    pub(crate) pending: u32,
    /// In thousandths; `None` where ECS moves no traffic.
    pub(crate) production: Option<u16>,
    pub(crate) test: Option<u16>,
}

/// The way back of a deployment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WayBack {
    pub(crate) reason: String,
    pub(crate) started_at: Timestamp,
    /// The deployment whose service revision runs again.
    pub(crate) to: u32,
}

/// The record of a deployment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The deployment's number.
    pub(crate) number: u32,
    pub(crate) arn: ServiceDeploymentArn,
    pub(crate) status: RecordStatus,
    pub(crate) reason: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) stopped_at: Option<Timestamp>,
    pub(crate) updated_at: Timestamp,
    pub(crate) plan: Plan,
    /// The deployments whose tasks ran when it began.
    pub(crate) sources: Vec<u32>,
    /// The one of them that keeps production traffic until it is shifted.
    pub(crate) blue: Option<u32>,
    pub(crate) stage: Option<LifecycleStage>,
    /// When its stage ends at the earliest.
    pub(crate) stage_until: Timestamp,
    /// The hooks of its stage.
    pub(crate) hooks: Vec<HookRun>,
    pub(crate) rollback: Option<WayBack>,
    pub(crate) breaker: Monitor,
    pub(crate) failures: u32,
    pub(crate) alarms: Monitor,
    pub(crate) triggered: Vec<String>,
    /// What its revisions looked like at its end, the target last.
    pub(crate) last: Vec<Summary>,
}

impl Record {
    /// The record of a deployment that has not begun.
    pub(crate) fn new(number: u32, arn: ServiceDeploymentArn, now: Timestamp, plan: Plan) -> Self {
        Self {
            number,
            arn,
            status: RecordStatus::Pending,
            reason: None,
            created_at: now,
            started_at: None,
            finished_at: None,
            stopped_at: None,
            updated_at: now,
            plan,
            sources: Vec::new(),
            blue: None,
            stage: None,
            stage_until: now,
            hooks: Vec::new(),
            rollback: None,
            breaker: Monitor::Disabled,
            failures: 0,
            alarms: Monitor::Disabled,
            triggered: Vec::new(),
            last: Vec::new(),
        }
    }

    /// Whether nothing will come of it any more.
    pub(crate) fn is_over(&self) -> bool {
        match self.status {
            RecordStatus::Pending
            | RecordStatus::InProgress
            | RecordStatus::StopRequested
            | RecordStatus::RollbackRequested
            | RecordStatus::RollbackInProgress => false,
            RecordStatus::Stopped
            | RecordStatus::Successful
            | RecordStatus::RollbackSuccessful
            | RecordStatus::RollbackFailed
            | RecordStatus::Other(_) => true,
        }
    }

    /// Whether it is still on its way forward.
    pub(crate) fn is_forward(&self) -> bool {
        matches!(self.status, RecordStatus::Pending | RecordStatus::InProgress)
    }

    /// Ends it; what has ended stays as it ended.
    pub(crate) fn end(
        &mut self,
        now: Timestamp,
        status: RecordStatus,
        reason: Option<&str>,
        last: Vec<Summary>,
    ) {
        if self.is_over() {
            return;
        }
        self.stopped_at = (status == RecordStatus::Stopped).then_some(now);
        self.finished_at = Some(now);
        self.updated_at = now;
        self.status = status;
        if reason.is_some() {
            self.reason = reason.map(str::to_owned);
        }
        self.breaker.finish();
        self.alarms.finish();
        self.hooks.clear();
        self.last = last;
    }
}

/// What a deployment brought (Amazon ECS API, "ServiceRevision").
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ServiceRevision {
    /// The deployment's number.
    pub(crate) number: u32,
    pub(crate) arn: String,
    pub(crate) created_at: Timestamp,
    /// The index of its task definition.
    pub(crate) revision: u32,
    pub(crate) images: Images,
    /// The target group that its tasks are in.
    pub(crate) group: Option<u16>,
    /// The rest of the service's configuration at that time, as the service was given it.
    pub(crate) settings: Value,
}

impl Service {
    pub(crate) fn record(&self, number: u32) -> Option<&Record> {
        self.records.iter().rev().find(|r| r.number == number)
    }

    /// The record of the deployment that is under way.
    pub(crate) fn open_record(&self) -> Option<&Record> {
        self.records.iter().rev().find(|r| !r.is_over())
    }

    pub(crate) fn record_mut(&mut self, number: u32) -> Option<&mut Record> {
        self.records.iter_mut().rev().find(|r| r.number == number)
    }

    pub(crate) fn service_revision(&self, number: u32) -> Option<&ServiceRevision> {
        self.service_revisions.iter().rev().find(|r| r.number == number)
    }

    /// Records are kept for ninety days; a service revision as long as a record or a deployment names it.
    pub(crate) fn forget_old_records(&mut self, now: Timestamp) {
        let old = |at: Timestamp| now.as_millis().saturating_sub(at.as_millis()) > KEPT;
        if !self
            .records
            .first()
            .is_some_and(|r| old(r.created_at) && r.is_over())
        {
            return;
        }
        self.records.retain(|r| !(old(r.created_at) && r.is_over()));
        let mut named: Vec<u32> = self
            .deployments
            .iter()
            .chain(&self.history)
            .map(|d| d.number)
            .collect();
        named.extend(self.completed.iter().map(|t| t.deployment.number));
        for record in &self.records {
            named.push(record.number);
            named.extend(&record.sources);
            named.extend(record.rollback.as_ref().map(|r| r.to));
        }
        self.service_revisions.retain(|r| named.contains(&r.number));
    }
}

impl Environment {
    /// A deployment's tasks and traffic as they are now.
    pub(crate) fn summary(&self, s: u16, number: u32) -> Summary {
        let service = &self.services[s as usize];
        let (running, pending) = self.running_and_pending(service, number);
        let primary = service.primary().is_some_and(|d| d.number == number);
        let carries = service.traffic.production_of(number).is_some_and(|w| w > 0);
        let share = |of: Option<u16>| (!service.traffic.is_empty()).then(|| of.unwrap_or(0).min(ALL));
        Summary {
            number,
            requested: if primary || carries {
                service.desired
            } else {
                running + pending
            },
            running,
            pending,
            production: share(service.traffic.production_of(number)),
            test: share(service.traffic.test_of(number)),
        }
    }

    /// The sources of a record and, last, its target: as they are, or as they were at its end.
    pub(crate) fn summaries(&self, s: u16, record: &Record) -> Vec<Summary> {
        if record.is_over() {
            return record.last.clone();
        }
        let all = record.sources.iter().copied().chain([record.number]);
        all.map(|number| self.summary(s, number)).collect()
    }

    /// Ends the record of a deployment.
    pub(crate) fn end_record(
        &mut self,
        now: Timestamp,
        s: u16,
        number: u32,
        status: RecordStatus,
        reason: Option<&str>,
    ) {
        let Some(record) = self.services[s as usize].record(number) else {
            return;
        };
        let last = self.summaries(s, record);
        if let Some(record) = self.services[s as usize].record_mut(number) {
            record.end(now, status, reason, last);
        }
    }
}
