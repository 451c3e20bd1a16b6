//! What each event leads to. Pairs that the table ignores or refuses never come here; they change nothing.

use super::judge::{self, Bound, Judgement, Known};
use super::standing::{self, Question, Standing};
use super::{Aim, Deployment, Doubt, Effect, Foreign, Glimpse, Outcome, State, Target, Turn, Work};
use crate::error::{Applied, ErrorKind, ErrorRecord, Retry};
use crate::evidence::{Cause, Reason};
use crate::id::{DeploymentId, TaskDefinitionArn};
use crate::service::{DeploymentStarted, Images, ServiceChange, ServiceObservation, Stage};
use crate::time::{Timestamp, Wait, human};

/// The next state and what must be done.
pub(super) type Next = (State, Vec<Effect>);

/// What a deadline that has passed means.
enum Due {
    /// It has not.
    NotYet,
    /// The step's time is up.
    GiveUp,
    /// The call under way has no answer.
    Unanswered,
    /// The next call goes out.
    Go,
}

fn due(work: &Work, turn: Turn, now: Timestamp) -> Due {
    match turn {
        Turn::Call { .. } | Turn::Pause { .. } if now >= work.give_up_at => Due::GiveUp,
        Turn::Call { until } if now >= until => Due::Unanswered,
        Turn::Pause { until, .. } if now >= until => Due::Go,
        Turn::Call { .. } | Turn::Pause { .. } => Due::NotYet,
    }
}

impl Deployment {
    pub(super) fn start(&self, now: Timestamp) -> Next {
        let back = matches!(self.spec.target, Target::Restore { .. });
        let work = Work {
            begun_at: now,
            give_up_at: now.after(self.policy.give_up),
            asked_at: None,
            errors: 0,
            touched: back,
            abandoned: false,
            glimpse: None,
        };
        match &self.spec.target {
            Target::Release { .. } => self.ensure(now, work),
            Target::Restore { point, .. } => {
                let aim = Aim {
                    task_definition: point.task_definition.clone(),
                    assumes: None,
                };
                self.look(now, work, aim, Doubt::FirstLook)
            }
        }
    }

    // Effects: each with the state that waits for its answer.

    fn call(&self, now: Timestamp) -> Turn {
        Turn::Call {
            until: now.after(self.policy.answer),
        }
    }

    fn pause(&self, now: Timestamp) -> Turn {
        Turn::Pause {
            until: now.after(self.policy.poll_every),
            why: Wait::Poll,
        }
    }

    fn retry(&self, now: Timestamp, error: &ErrorRecord) -> Turn {
        Turn::Pause {
            until: now.after(error.retry_after.unwrap_or(self.policy.poll_every)),
            why: Wait::Retry,
        }
    }

    fn observe(&self) -> Vec<Effect> {
        vec![Effect::Observe {
            service: self.spec.service.clone(),
        }]
    }

    /// A repeat needs no look first: the port itself looks for a revision with this content before it makes one.
    fn ensure(&self, now: Timestamp, work: Work) -> Next {
        let effects = match &self.spec.target {
            Target::Release { revision, .. } => vec![Effect::EnsureRevision(revision.clone())],
            Target::Restore { .. } => Vec::new(),
        };
        let turn = self.call(now);
        (State::Ensuring { work, turn }, effects)
    }

    fn write(&self, now: Timestamp, mut work: Work, aim: Aim) -> Next {
        if work.asked_at.is_none() {
            work.asked_at = Some(now);
            work.give_up_at = now.after(self.policy.give_up);
        }
        let assumes = aim.assumes.clone();
        let effect = match &self.spec.target {
            Target::Release { .. } => Effect::UpdateService(ServiceChange {
                service: self.spec.service.clone(),
                task_definition: aim.task_definition.clone(),
                assumes,
            }),
            Target::Restore { point, .. } => Effect::Restore {
                point: point.clone(),
                assumes,
            },
        };
        let turn = self.call(now);
        (State::Updating { work, aim, turn }, vec![effect])
    }

    fn look(&self, now: Timestamp, work: Work, aim: Aim, doubt: Doubt) -> Next {
        let turn = self.call(now);
        (
            State::Reconciling {
                work,
                aim,
                doubt,
                turn,
            },
            self.observe(),
        )
    }

    fn watch(&self, now: Timestamp, work: Work, bound: Bound) -> Next {
        let turn = self.call(now);
        (State::Watching { work, bound, turn }, self.observe())
    }

    // Events.

    pub(super) fn revision_ready(
        &self,
        state: State,
        now: Timestamp,
        task_definition: TaskDefinitionArn,
    ) -> Next {
        match (state, &self.spec.target) {
            (State::Ensuring { mut work, .. }, Target::Release { assumes, .. }) => {
                work.errors = 0;
                work.glimpse = None;
                let assumes = assumes.clone();
                self.write(
                    now,
                    work,
                    Aim {
                        task_definition,
                        assumes,
                    },
                )
            }
            (
                state @ (State::Idle
                | State::Ensuring { .. }
                | State::Updating { .. }
                | State::Reconciling { .. }
                | State::Watching { .. }
                | State::Ended { .. }),
                Target::Release { .. } | Target::Restore { .. },
            ) => (state, Vec::new()),
        }
    }

    pub(super) fn updated(&self, state: State, now: Timestamp, started: DeploymentStarted) -> Next {
        match state {
            State::Updating { work, aim, .. } | State::Reconciling { work, aim, .. } => {
                let since = if aim.assumes.as_ref() == Some(&started.deployment) {
                    // It was there before: what failed before we asked is not ours to answer for.
                    work.asked_at.unwrap_or(work.begun_at)
                } else {
                    started.created_at
                };
                let (work, bound) = bind(now, work, aim, started.deployment, started.created_at, since);
                self.watch(now, work, bound)
            }
            State::Idle | State::Ensuring { .. } | State::Watching { .. } | State::Ended { .. } => {
                (state, Vec::new())
            }
        }
    }

    pub(super) fn observed(&self, state: State, now: Timestamp, seen: &ServiceObservation) -> Next {
        match state {
            State::Reconciling { work, aim, doubt, .. } => self.reconcile(now, work, aim, doubt, seen),
            State::Watching { work, bound, .. } => self.judged(now, work, bound, seen),
            State::Idle | State::Ensuring { .. } | State::Updating { .. } | State::Ended { .. } => {
                (state, Vec::new())
            }
        }
    }

    fn reconcile(
        &self,
        now: Timestamp,
        mut work: Work,
        aim: Aim,
        doubt: Doubt,
        seen: &ServiceObservation,
    ) -> Next {
        let doubted_at = match &doubt {
            Doubt::FirstLook | Doubt::Conflict { .. } => work.begun_at,
            Doubt::Lost { at, .. } => *at,
        };
        let question = Question {
            service: &self.spec.service,
            target: &self.spec.target,
            revision: &aim.task_definition,
            asked_at: work.asked_at.filter(|_| work.touched),
            fresh_from: doubted_at.after(self.policy.stale_reads),
            slack: self.policy.stale_reads,
        };
        match standing::standing(&question, seen) {
            Standing::Gone(reason) => self.failed(&work, reason, None, Some(aim.task_definition)),
            Standing::Unclear(text) => {
                work.glimpse = Some(Glimpse::of(text, None, seen));
                self.look_again(now, work, aim, doubt)
            }
            Standing::Foreign(primary) => ended(Outcome::Superseded {
                by: judge::foreign(&self.spec.service, seen, &primary),
                touched: work.touched,
            }),
            Standing::Arrived(found) => {
                let since = self.found_since(&work, &aim, &found.id, found.created_at);
                let (work, bound) = bind(now, work, aim, found.id, found.created_at, since);
                self.judged(now, work, bound, seen)
            }
            Standing::Writable(primary) => self.writable(now, work, aim, doubt, primary, seen),
        }
    }

    /// From when stopped tasks of a deployment count that was found, not answered with.
    fn found_since(&self, work: &Work, aim: &Aim, found: &DeploymentId, created_at: Timestamp) -> Timestamp {
        match &self.spec.target {
            Target::Release { .. } if aim.assumes.as_ref() == Some(found) => {
                work.asked_at.unwrap_or(work.begun_at)
            }
            Target::Release { .. } => created_at,
            // It may be an old one that the platform went back to.
            Target::Restore { .. } => work.begun_at,
        }
    }

    /// The service stands where we expect it: write, unless an earlier write may still come to light.
    fn writable(
        &self,
        now: Timestamp,
        mut work: Work,
        aim: Aim,
        doubt: Doubt,
        primary: Option<DeploymentId>,
        seen: &ServiceObservation,
    ) -> Next {
        let unchanged = aim.assumes == primary;
        let next = Aim {
            task_definition: aim.task_definition.clone(),
            assumes: primary,
        };
        match doubt {
            Doubt::FirstLook => self.write(now, work, next),
            Doubt::Conflict { error } if work.errors >= self.policy.max_errors => {
                self.failed_call(&work, &error, None, Some(next.task_definition))
            }
            Doubt::Conflict { .. } => {
                let text = "the service is as assumed after all".to_owned();
                work.glimpse = Some(Glimpse::of(text, None, seen));
                let turn = Turn::Pause {
                    until: now.after(self.policy.poll_every),
                    why: Wait::Retry,
                };
                let aim = next;
                (State::Updating { work, aim, turn }, Vec::new())
            }
            Doubt::Lost { at, error } if unchanged && seen.at < at.after(self.policy.stale_reads) => {
                let text = "the change may still become visible".to_owned();
                work.glimpse = Some(Glimpse::of(text, None, seen));
                self.look_again(now, work, aim, Doubt::Lost { at, error })
            }
            Doubt::Lost { error, .. }
                if error.retry == Retry::Never || work.errors >= self.policy.max_errors =>
            {
                self.failed_call(&work, &error, None, Some(next.task_definition))
            }
            Doubt::Lost { .. } => self.write(now, work, next),
        }
    }

    fn look_again(&self, now: Timestamp, work: Work, aim: Aim, doubt: Doubt) -> Next {
        let turn = self.pause(now);
        (
            State::Reconciling {
                work,
                aim,
                doubt,
                turn,
            },
            Vec::new(),
        )
    }

    /// One look at the deployment that we are bound to.
    fn judged(&self, now: Timestamp, mut work: Work, mut bound: Bound, seen: &ServiceObservation) -> Next {
        work.errors = 0;
        let known = Known {
            service: &self.spec.service,
            images: self.images(),
            policy: &self.policy,
            bound: &bound,
            least: self.least(),
        };
        match judge::judge(&known, seen) {
            Judgement::NotYetVisible { text } => {
                work.glimpse = Some(Glimpse::of(text, None, seen));
                self.wait(now, work, bound)
            }
            Judgement::Progressing { stage, text } => {
                let mut last = Glimpse::of(text, stage, seen);
                last.evidence = judge::quotes(&known, seen);
                work.glimpse = Some(last);
                bound.visible_at = bound.visible_at.max(seen.at);
                self.wait(now, work, bound)
            }
            Judgement::Complete { evidence } => {
                if standing::may_be_stale(&self.spec.target, &bound, seen, self.policy.stale_reads) {
                    let text = "a late change, which would have to be undone".to_owned();
                    work.glimpse = Some(Glimpse::of(text, None, seen));
                    return self.wait(now, work, bound);
                }
                ended(Outcome::Deployed {
                    deployment: bound.deployment,
                    task_definition: bound.task_definition,
                    changed_at: bound.changed_at,
                    evidence,
                })
            }
            Judgement::Failing(reason) | Judgement::PlatformFailed(reason) | Judgement::Gone(reason) => {
                self.failed_bound(&work, reason, bound, seen)
            }
            Judgement::PlatformRolledBack { to, mut reason } => {
                if let Some(to) = to {
                    reason.text.push_str(&format!("; it went back to {to}"));
                }
                self.failed_bound(&work, reason, bound, seen)
            }
            Judgement::Superseded(by) => self.superseded(now, work, bound, by, seen),
        }
    }

    /// Another deployment took the place of ours. On the way back it may be our own late change: then it is undone.
    fn superseded(
        &self,
        now: Timestamp,
        work: Work,
        bound: Bound,
        by: Foreign,
        seen: &ServiceObservation,
    ) -> Next {
        let own = match &self.spec.target {
            Target::Release { .. } => false,
            Target::Restore {
                ours, our_revision, ..
            } => ours.as_ref() == Some(&by.deployment) || our_revision.as_ref() == Some(&by.task_definition),
        };
        if own {
            let aim = Aim {
                task_definition: bound.task_definition,
                assumes: seen.primary().map(|primary| primary.id.clone()),
            };
            return self.write(now, work, aim);
        }
        ended(Outcome::Superseded { by, touched: true })
    }

    fn wait(&self, now: Timestamp, work: Work, bound: Bound) -> Next {
        let turn = self.pause(now);
        (State::Watching { work, bound, turn }, Vec::new())
    }

    pub(super) fn call_failed(&self, state: State, now: Timestamp, error: ErrorRecord) -> Next {
        match state {
            State::Ensuring {
                work,
                turn: Turn::Call { .. },
            } => self.ensure_failed(now, work, &error),
            State::Updating {
                work,
                aim,
                turn: Turn::Call { .. },
            } => self.write_failed(now, work, aim, error),
            State::Reconciling {
                work,
                aim,
                doubt,
                turn: Turn::Call { .. },
            } => self.look_failed(now, work, aim, doubt, &error),
            State::Watching {
                work,
                bound,
                turn: Turn::Call { .. },
            } => self.watch_failed(now, work, bound, &error),
            // No call is under way: a late answer to one that was given up.
            State::Ensuring {
                turn: Turn::Pause { .. },
                ..
            }
            | State::Updating {
                turn: Turn::Pause { .. },
                ..
            }
            | State::Reconciling {
                turn: Turn::Pause { .. },
                ..
            }
            | State::Watching {
                turn: Turn::Pause { .. },
                ..
            }
            | State::Idle
            | State::Ended { .. } => (state, Vec::new()),
        }
    }

    /// Counts a failed call: `true` when it is the last one allowed.
    fn too_many(&self, work: &mut Work, error: &ErrorRecord) -> bool {
        work.errors = work.errors.saturating_add(1);
        error.retry == Retry::Never || work.errors >= self.policy.max_errors
    }

    fn ensure_failed(&self, now: Timestamp, mut work: Work, error: &ErrorRecord) -> Next {
        if self.too_many(&mut work, error) {
            return self.failed_call(&work, error, None, None);
        }
        work.glimpse = Some(Glimpse::of_error(error));
        let turn = self.retry(now, error);
        (State::Ensuring { work, turn }, Vec::new())
    }

    fn write_failed(&self, now: Timestamp, mut work: Work, aim: Aim, error: ErrorRecord) -> Next {
        // After a call that was given up nobody knows which of the two this answers.
        let applied = match error.applied {
            Applied::No if !work.abandoned => Applied::No,
            Applied::No | Applied::Maybe => Applied::Maybe,
            Applied::Yes => Applied::Yes,
        };
        match (applied, error.kind == ErrorKind::Conflict) {
            (Applied::No, true) => {
                work.errors = work.errors.saturating_add(1);
                work.glimpse = None;
                self.look(now, work, aim, Doubt::Conflict { error })
            }
            (Applied::No, false) => {
                if self.too_many(&mut work, &error) {
                    return self.failed_call(&work, &error, None, Some(aim.task_definition));
                }
                work.glimpse = Some(Glimpse::of_error(&error));
                let turn = self.retry(now, &error);
                (State::Updating { work, aim, turn }, Vec::new())
            }
            (Applied::Maybe | Applied::Yes, _) => {
                work.touched = true;
                work.errors = work.errors.saturating_add(1);
                work.glimpse = None;
                self.look(now, work, aim, Doubt::Lost { at: now, error })
            }
        }
    }

    fn look_failed(
        &self,
        now: Timestamp,
        mut work: Work,
        aim: Aim,
        doubt: Doubt,
        error: &ErrorRecord,
    ) -> Next {
        if self.too_many(&mut work, error) {
            return self.failed_call(&work, error, None, Some(aim.task_definition));
        }
        work.glimpse = Some(Glimpse::of_error(error));
        let turn = self.retry(now, error);
        (
            State::Reconciling {
                work,
                aim,
                doubt,
                turn,
            },
            Vec::new(),
        )
    }

    fn watch_failed(&self, now: Timestamp, mut work: Work, bound: Bound, error: &ErrorRecord) -> Next {
        if self.too_many(&mut work, error) {
            return self.failed_call(&work, error, Some(bound.deployment), Some(bound.task_definition));
        }
        let turn = self.retry(now, error);
        (State::Watching { work, bound, turn }, Vec::new())
    }

    pub(super) fn elapsed(&self, state: State, now: Timestamp) -> Next {
        let (work, turn) = match &state {
            State::Idle | State::Ended { .. } => return (state, Vec::new()),
            State::Ensuring { work, turn }
            | State::Updating { work, turn, .. }
            | State::Reconciling { work, turn, .. }
            | State::Watching { work, turn, .. } => (work, *turn),
        };
        match due(work, turn, now) {
            Due::NotYet => (state, Vec::new()),
            Due::GiveUp => self.gave_up(state),
            Due::Unanswered => self.unanswered(state, now),
            Due::Go => self.go(state, now),
        }
    }

    fn go(&self, state: State, now: Timestamp) -> Next {
        match state {
            State::Ensuring { work, .. } => self.ensure(now, work),
            State::Updating { work, aim, .. } => self.write(now, work, aim),
            State::Reconciling { work, aim, doubt, .. } => self.look(now, work, aim, doubt),
            State::Watching { work, bound, .. } => self.watch(now, work, bound),
            State::Idle | State::Ended { .. } => (state, Vec::new()),
        }
    }

    fn unanswered(&self, mut state: State, now: Timestamp) -> Next {
        let operation = match &mut state {
            State::Idle | State::Ended { .. } => return (state, Vec::new()),
            State::Ensuring { work, .. } => {
                work.abandoned = true;
                "ensure_revision"
            }
            State::Updating { work, .. } => {
                work.abandoned = true;
                match &self.spec.target {
                    Target::Release { .. } => "update_service",
                    Target::Restore { .. } => "restore",
                }
            }
            State::Reconciling { work, .. } | State::Watching { work, .. } => {
                work.abandoned = true;
                judge::SOURCE
            }
        };
        let error = ErrorRecord {
            kind: ErrorKind::TimedOut,
            retry: Retry::Later,
            applied: Applied::Maybe,
            operation: operation.to_owned(),
            context: format!("no answer within {}", human(self.policy.answer)),
            retry_after: None,
            cause: None,
        };
        self.call_failed(state, now, error)
    }

    fn gave_up(&self, state: State) -> Next {
        let touched = state.touched();
        let (mut work, bound, revision) = match state {
            State::Idle | State::Ended { .. } => return (state, Vec::new()),
            State::Ensuring { work, .. } => (work, None, None),
            State::Updating { work, aim, .. } | State::Reconciling { work, aim, .. } => {
                (work, None, Some(aim.task_definition))
            }
            State::Watching { work, bound, .. } => {
                (work, Some(bound.deployment), Some(bound.task_definition))
            }
        };
        work.touched = touched;
        let mut text = format!(
            "service {} was not there within {}",
            self.spec.service,
            human(self.policy.give_up)
        );
        let mut evidence = Vec::new();
        if let Some(glimpse) = &work.glimpse {
            text.push_str(&format!("; last seen: {}", glimpse.text));
            evidence.clone_from(&glimpse.evidence);
            if let Some(event) = &glimpse.event {
                text.push_str(&format!("; last event: {event}"));
            }
        }
        let reason = Reason::new(Cause::DeadlineExceeded, text).with(evidence);
        self.failed(&work, reason, bound, revision)
    }

    pub(super) fn abort(&self, state: State) -> Next {
        match &self.spec.target {
            // Going back is the safe way already.
            Target::Restore { .. } => return (state, Vec::new()),
            Target::Release { .. } => {}
        }
        let touched = state.touched();
        let (deployment, revision, stage) = match state {
            State::Ended { .. } => return (state, Vec::new()),
            State::Idle | State::Ensuring { .. } => (None, None, None),
            State::Updating { aim, .. } | State::Reconciling { aim, .. } => {
                (None, Some(aim.task_definition), None)
            }
            State::Watching { work, bound, .. } => (
                Some(bound.deployment),
                Some(bound.task_definition),
                work.glimpse.and_then(|glimpse| glimpse.stage),
            ),
        };
        ended(Outcome::Failed {
            reason: Reason::new(
                Cause::Aborted,
                format!("the deployment of service {} was aborted", self.spec.service),
            ),
            touched,
            deployment,
            task_definition: revision,
            stage,
        })
    }

    // Ends.

    fn failed(
        &self,
        work: &Work,
        reason: Reason,
        deployment: Option<DeploymentId>,
        task_definition: Option<TaskDefinitionArn>,
    ) -> Next {
        ended(Outcome::Failed {
            reason,
            touched: work.touched,
            deployment,
            task_definition,
            stage: work.glimpse.as_ref().and_then(|glimpse| glimpse.stage.clone()),
        })
    }

    fn failed_bound(&self, work: &Work, reason: Reason, bound: Bound, seen: &ServiceObservation) -> Next {
        let stage = seen
            .deployment(&bound.deployment)
            .and_then(|ours| ours.record.as_ref())
            .and_then(|record| record.stage.clone())
            .or_else(|| work.glimpse.as_ref().and_then(|glimpse| glimpse.stage.clone()));
        ended(Outcome::Failed {
            reason,
            touched: work.touched,
            deployment: Some(bound.deployment),
            task_definition: Some(bound.task_definition),
            stage,
        })
    }

    fn failed_call(
        &self,
        work: &Work,
        error: &ErrorRecord,
        deployment: Option<DeploymentId>,
        task_definition: Option<TaskDefinitionArn>,
    ) -> Next {
        let cause = match error.kind {
            ErrorKind::PermissionDenied => Cause::PermissionDenied,
            ErrorKind::NotFound
            | ErrorKind::AlreadyExists
            | ErrorKind::Conflict
            | ErrorKind::InvalidRequest
            | ErrorKind::Throttled
            | ErrorKind::Unavailable
            | ErrorKind::TimedOut
            | ErrorKind::Unsupported
            | ErrorKind::Unexpected => Cause::CallFailed,
        };
        let mut text = format!("service {}: {error}", self.spec.service);
        if work.errors > 1 {
            text.push_str(&format!(" ({} failed calls in a row)", work.errors));
        }
        let mut evidence = Vec::new();
        if let Some(glimpse) = work.glimpse.as_ref().filter(|_| deployment.is_some()) {
            text.push_str(&format!("; last seen: {}", glimpse.text));
            evidence.clone_from(&glimpse.evidence);
        }
        let reason = Reason::new(cause, text).with(evidence);
        self.failed(work, reason, deployment, task_definition)
    }

    /// The digests to judge by: on the way back those that were captured.
    fn images(&self) -> &Images {
        match &self.spec.target {
            Target::Release { .. } => &self.spec.images,
            Target::Restore { point, .. } => &point.images,
        }
    }

    /// The fewest tasks that the service must want.
    fn least(&self) -> u32 {
        match &self.spec.target {
            Target::Release { .. } => 1,
            Target::Restore { point, .. } => point.desired.min(1),
        }
    }
}

fn ended(outcome: Outcome) -> Next {
    (State::Ended { outcome }, Vec::new())
}

/// Ties us to one deployment. From here on we answer for it, so the service counts as touched.
fn bind(
    now: Timestamp,
    mut work: Work,
    aim: Aim,
    deployment: DeploymentId,
    created_at: Timestamp,
    since: Timestamp,
) -> (Work, Bound) {
    work.errors = 0;
    work.touched = true;
    work.glimpse = None;
    let bound = Bound {
        deployment,
        task_definition: aim.task_definition,
        assumed: aim.assumes,
        created_at,
        asked_at: work.asked_at.unwrap_or(work.begun_at),
        changed_at: now,
        since,
        visible_at: now,
        written: work.asked_at.is_some(),
    };
    (work, bound)
}

impl Glimpse {
    fn of(text: String, stage: Option<Stage>, seen: &ServiceObservation) -> Self {
        let last = seen.events.last();
        Self {
            text,
            stage,
            event: last.map(|event| event.detail.clone()),
            evidence: last.cloned().into_iter().collect(),
        }
    }

    fn of_error(error: &ErrorRecord) -> Self {
        Self {
            text: error.to_string(),
            stage: None,
            event: None,
            evidence: Vec::new(),
        }
    }
}
