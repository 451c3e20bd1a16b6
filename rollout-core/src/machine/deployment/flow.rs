//! What each event leads to. Pairs that the table ignores or refuses never come here; they change nothing.

use super::ends::ended;
use super::judge::{self, Bound, Judgement, Known};
use super::pace;
use super::standing::{self, Question, Standing};
use super::state::{Aim, Doubt, Glimpse, State, Turn, Work};
use super::{Deployment, Effect, Foreign, Outcome, Target};
use crate::error::{ErrorRecord, Retry};
use crate::id::{DeploymentId, ServiceDeploymentArn, TaskDefinitionArn};
use crate::machine::call::back_off;
use crate::service::{
    DeploymentObservation, DeploymentStarted, Images, RecordStatus, RolloutState, ServiceChange,
    ServiceObservation,
};
use crate::time::{Timestamp, Wait};

/// The next state and what must be done.
pub(super) type Next = (State, Vec<Effect>);

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
            turned: false,
            hinted: false,
            paced: None,
            glimpse: None,
        };
        match &self.spec.target {
            Target::Release { .. } => self.ensure(now, work),
            Target::Restore { point, .. } => {
                let aim = Aim {
                    task_definition: point.task_definition.clone(),
                    assumes: None,
                    turns: None,
                };
                self.look(now, work, aim, Doubt::FirstLook)
            }
        }
    }

    // Effects: each with the state that waits for its answer.

    pub(super) fn call(&self, now: Timestamp) -> Turn {
        Turn::Call {
            until: now.after(self.policy.answer),
        }
    }

    /// The pause before the next look. A hint that came during the last one makes it the shortest.
    fn pause(&self, now: Timestamp, work: &mut Work) -> Turn {
        let usual = self.policy.pause(work.paced.as_ref(), now);
        let pause = if core::mem::take(&mut work.hinted) {
            usual.min(self.policy.gap())
        } else {
            usual
        };
        Turn::Pause {
            until: now.after(pause),
            why: Wait::Poll,
            since: now,
        }
    }

    pub(super) fn retry(&self, now: Timestamp, work: &Work, error: &ErrorRecord) -> Turn {
        let pause = back_off(self.policy.poll_every, work.errors, error, self.policy.give_up);
        Turn::Pause {
            until: now.after(pause),
            why: Wait::Retry,
            since: now,
        }
    }

    fn observe(&self) -> Vec<Effect> {
        vec![Effect::Observe {
            service: self.spec.service.clone(),
        }]
    }

    /// A repeat needs no look first: the port itself looks for a revision with this content before it makes one.
    pub(super) fn ensure(&self, now: Timestamp, work: Work) -> Next {
        let effects = match &self.spec.target {
            Target::Release { revision, .. } => vec![Effect::EnsureRevision(revision.clone())],
            Target::Restore { .. } => Vec::new(),
        };
        let turn = self.call(now);
        (State::Ensuring { work, turn }, effects)
    }

    pub(super) fn write(&self, now: Timestamp, mut work: Work, aim: Aim) -> Next {
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
            Target::Restore { point, .. } => match (&aim.turns, assumes) {
                (Some(record), Some(assumes)) => {
                    work.turned = true;
                    Effect::TurnBack {
                        point: point.clone(),
                        assumes,
                        record: record.clone(),
                    }
                }
                (_, assumes) => Effect::Restore {
                    point: point.clone(),
                    assumes,
                },
            },
        };
        let turn = self.call(now);
        (State::Updating { work, aim, turn }, vec![effect])
    }

    pub(super) fn look(&self, now: Timestamp, mut work: Work, aim: Aim, doubt: Doubt) -> Next {
        work.hinted = false;
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

    pub(super) fn watch(&self, now: Timestamp, mut work: Work, bound: Bound) -> Next {
        work.hinted = false;
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
                        turns: None,
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
            Doubt::Lost { at, .. } | Doubt::TurningBack { at } => *at,
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
            Standing::Arrived(found) if self.may_be_from_before(&work, &found.id, seen) => {
                let text =
                    "shows what ran before, and may be older than the change that is undone".to_owned();
                work.glimpse = Some(Glimpse::of(text, None, seen));
                self.look_again(now, work, aim, doubt)
            }
            Standing::Arrived(found) if given_up_before(&aim, &doubt, &found) => {
                let primary = Some(found.id);
                self.writable(now, work, aim, doubt, primary, seen)
            }
            Standing::Arrived(found) => {
                let since = self.found_since(&work, &aim, &found.id, found.created_at);
                let (work, bound) = bind(now, work, aim, found.id, found.created_at, since);
                self.judged(now, work, bound, seen)
            }
            Standing::Writable(primary) => self.writable(now, work, aim, doubt, primary, seen),
        }
    }

    /// The platform was asked to turn our deployment back: where the service stands, a look must tell.
    pub(super) fn turning_back(&self, state: State, now: Timestamp) -> Next {
        match state {
            State::Updating {
                mut work,
                aim,
                turn: Turn::Call { .. },
            } if aim.turns.is_some() => {
                work.errors = 0;
                work.touched = true;
                work.glimpse = None;
                self.look(now, work, aim, Doubt::TurningBack { at: now })
            }
            // A late answer: the plain way back was taken since.
            State::Idle
            | State::Ensuring { .. }
            | State::Updating { .. }
            | State::Reconciling { .. }
            | State::Watching { .. }
            | State::Ended { .. } => (state, Vec::new()),
        }
    }

    /// The record of our deployment, if the platform can turn it back: it is PRIMARY and still under way.
    fn short_cut(&self, work: &Work, seen: &ServiceObservation) -> Option<ServiceDeploymentArn> {
        let Target::Restore {
            ours,
            our_revision,
            fast: true,
            ..
        } = &self.spec.target
        else {
            return None;
        };
        let primary = seen.primary()?;
        let is_ours =
            ours.as_ref() == Some(&primary.id) || our_revision.as_ref() == Some(&primary.task_definition);
        let record = primary.record.as_ref()?;
        let under_way = primary.rollout == RolloutState::InProgress
            && matches!(record.status, RecordStatus::Pending | RecordStatus::InProgress);
        (is_ours && under_way && !work.turned).then(|| record.arn.clone())
    }

    /// On the way back: whether a look after a write without an answer may be a stale one, from before the forward change
    /// that the write is to undo.
    fn may_be_from_before(&self, work: &Work, found: &DeploymentId, seen: &ServiceObservation) -> bool {
        match &self.spec.target {
            Target::Release { .. } => false,
            Target::Restore { point, ours, .. } => {
                // What lists our deployment is no look from before it.
                let listed = |id: &DeploymentId| seen.deployment(id).is_some();
                *found == point.deployment
                    && !(work.turned && ours.as_ref().is_some_and(listed))
                    && work
                        .asked_at
                        .is_some_and(|asked| seen.at < asked.after(self.policy.stale_reads))
            }
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
            turns: self.short_cut(&work, seen),
        };
        match doubt {
            Doubt::TurningBack { at } if turns(seen, at.after(self.policy.stale_reads)) => {
                let text = "the platform to turn the deployment back".to_owned();
                work.glimpse = Some(Glimpse::of(text, None, seen));
                self.look_again(now, work, aim, Doubt::TurningBack { at })
            }
            Doubt::TurningBack { .. } => self.write(now, work, next),
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
                    since: now,
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

    fn look_again(&self, now: Timestamp, mut work: Work, aim: Aim, doubt: Doubt) -> Next {
        let turn = self.pause(now, &mut work);
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
        if let Some(pace) = &self.policy.pace {
            work.paced = Some(pace::seen(pace, work.paced.take(), now, &known, seen));
        }
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
                turns: None,
            };
            return self.write(now, work, aim);
        }
        ended(Outcome::Superseded { by, touched: true })
    }

    fn wait(&self, now: Timestamp, mut work: Work, bound: Bound) -> Next {
        let turn = self.pause(now, &mut work);
        (State::Watching { work, bound, turn }, Vec::new())
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

/// Whether the service goes to the right revision by a deployment that the platform gave up before we asked for anything:
/// one that is there at the first look, or that our write assumes.
fn given_up_before(aim: &Aim, doubt: &Doubt, found: &DeploymentObservation) -> bool {
    let earlier = *doubt == Doubt::FirstLook || aim.assumes.as_ref() == Some(&found.id);
    found.is_given_up() && earlier
}

/// Whether the deployment in front may still be turned back by the platform, which was asked to: it says so, or the look may
/// be older than the asking.
fn turns(seen: &ServiceObservation, fresh_from: Timestamp) -> bool {
    let record = seen.primary().and_then(|primary| primary.record.as_ref());
    match record.map(|record| &record.status) {
        Some(RecordStatus::RollbackRequested | RecordStatus::RollbackInProgress) => true,
        Some(RecordStatus::RollbackSuccessful | RecordStatus::RollbackFailed) => false,
        Some(
            RecordStatus::Pending
            | RecordStatus::InProgress
            | RecordStatus::StopRequested
            | RecordStatus::Stopped
            | RecordStatus::Successful
            | RecordStatus::Other(_),
        )
        | None => seen.at < fresh_from,
    }
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
    work.paced = None;
    let bound = Bound {
        deployment,
        task_definition: aim.task_definition,
        assumed: aim.assumes,
        created_at,
        asked_at: work.asked_at.unwrap_or(work.begun_at),
        changed_at: now,
        since,
        visible_at: now,
    };
    (work, bound)
}
