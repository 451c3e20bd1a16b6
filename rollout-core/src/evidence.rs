//! Evidence and reasons: what was seen, where, when; and what follows from it.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// One thing that was seen. It never holds a secret's value: ports quote resource ids, states, reasons and log lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// When the other side was asked. The age of evidence counts from here, not from the answer.
    pub at: Timestamp,
    /// Where it was seen, such as `ecs:DescribeTasks`.
    pub source: String,
    /// What it is about, such as a task's ARN.
    pub subject: String,
    /// What was seen.
    pub detail: String,
}

impl Evidence {
    /// One piece of evidence.
    #[must_use]
    pub fn new(
        at: Timestamp,
        source: impl Into<String>,
        subject: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            at,
            source: source.into(),
            subject: subject.into(),
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} [{}, {}]",
            self.subject, self.detail, self.source, self.at
        )
    }
}

/// The kind of a failure, for programs. The text beside it is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// A person or program asked to stop.
    Aborted,
    /// The caller's account, region or identity is not the environment's.
    IdentityMismatch,
    /// The tag does not exist in the source repository.
    TagMissing,
    /// The tag names another digest than when it was resolved.
    TagMoved,
    /// The source environment does not run exactly this digest.
    NotInSource,
    /// The source environment has not run this digest for long enough.
    SoakTooShort,
    /// What was read back is not what was copied.
    DigestMismatch,
    /// The image could not be pulled.
    ImagePull,
    /// An essential container exited.
    ContainerExited,
    /// A container ran out of memory.
    OutOfMemory,
    /// Tasks failed their health checks.
    HealthCheckFailed,
    /// No capacity or no place for a task.
    Placement,
    /// Secrets, network or volumes of a task could not be set up.
    ResourceInitialization,
    /// A task stopped for another reason.
    TaskStopped,
    /// The platform gave the deployment up (ECS circuit breaker, alarms, a hook).
    PlatformFailed,
    /// The platform gave the deployment up and went back to another revision.
    PlatformRolledBack,
    /// The step's deadline passed.
    DeadlineExceeded,
    /// A one-off task failed.
    TaskFailed,
    /// Whether a one-off task ran cannot be found out.
    TaskUnknown,
    /// A gate failed on evidence.
    GateFailed,
    /// A gate had no evidence to pass on when its time was up.
    GateUnknown,
    /// The source of a gate's evidence kept failing.
    GateProviderErrors,
    /// An alarm was firing before anything had begun.
    AlarmBeforeStart,
    /// A blocking check of the environment's readiness fails, or cannot be judged where it must be.
    NotReady,
    /// The world is not what the plan that is run rests on.
    WorldMoved,
    /// The change window, the credentials or the lease end before the worst case would.
    NoTime,
    /// Another deployment replaced ours, or an assumed one.
    ForeignDeployment,
    /// The service is gone.
    ServiceGone,
    /// A record is not what it was when the change was made.
    DnsConflict,
    /// The target of a record cannot take traffic.
    TargetUnhealthy,
    /// A DNS change did not reach the authoritative servers in time.
    PropagationTimeout,
    /// Authoritative servers answer something else than the change says.
    WrongAnswer,
    /// There is nothing to go back to.
    NoLastKnownGood,
    /// What there is to go back to is older than the policy allows.
    LastKnownGoodTooOld,
    /// What there is to go back to cannot run any more, or that cannot be found out and the policy asks for it.
    LastKnownGoodUnusable,
    /// Somebody took the environment back, and it is held since.
    EnvironmentHeld,
    /// What was about to be done exceeds the plan's bounds.
    OutOfBounds,
    /// The caller may not do what the step needs.
    PermissionDenied,
    /// A call failed for good.
    CallFailed,
    /// A member of a fleet was not released, or had to be taken back with its fleet.
    MemberFailed,
}

/// Why something failed, with the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The kind.
    pub cause: Cause,
    /// One sentence fragment for people.
    pub text: String,
    /// What it rests on, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
}

impl Reason {
    /// A reason without evidence.
    #[must_use]
    pub fn new(cause: Cause, text: impl Into<String>) -> Self {
        Self {
            cause,
            text: text.into(),
            evidence: Vec::new(),
        }
    }

    /// The same with evidence.
    #[must_use]
    pub fn with(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(evidence);
        self
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Where a rollout stands that no rule can bring to an end by itself.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "PascalCase")]
#[non_exhaustive]
pub enum StuckReason {
    /// Something must be undone and nothing is known to go back to.
    NoLastKnownGood,
    /// The way back crosses a migration that the old release cannot live with.
    RollbackBlockedByMigration,
    /// The plan leaves the way back to a person.
    RollbackNotAutomatic,
    /// The image of the last known good release is gone.
    LkgImageMissing,
    /// The last known good release was asked for and did not come up.
    RollbackFailed,
    /// Records cannot be written.
    DnsUnwritable,
    /// The target that a record would have to go back to cannot take traffic.
    NoHealthyTarget,
    /// Someone else changed what we would have to restore.
    ForeignChange,
    /// Whether a call took effect cannot be found out any more.
    Ambiguous,
    /// The caller may not do what the way back needs.
    PermissionDenied,
    /// Some members of a fleet serve the release and others do not.
    PartlyReleased,
    /// The machine met a state that it does not understand, and stopped rather than guess.
    Halted,
}

impl fmt::Display for StuckReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str((*self).into())
    }
}

/// A rollout that needs a person: why, what it rests on, what to run next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stuck {
    /// The named state.
    pub reason: StuckReason,
    /// One sentence fragment for people.
    pub text: String,
    /// What it rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// Commands that lead out, most useful first. Never empty.
    pub next: Vec<String>,
}
