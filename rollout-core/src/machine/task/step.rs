//! One function for each state.

use super::shared::{
    LOOK, ending, failed, look, may_still_run, ran_by_exit, ran_by_status, stop, unknown_task,
};
use super::{Event, LEAST_PAUSE, Launch, Next, OneOff, Outcome, STOP_WAIT, State, Stop, TOKEN_LIFE, Watch};
use crate::error::{Applied, ErrorKind, ErrorRecord};
use crate::evidence::{Cause, Evidence, Reason};
use crate::id::TaskArn;
use crate::machine::call::{Call, Due, cause_of, evidence_of, is_final, no_answer};
use crate::service::{StoppedTask, TaskObservation};
use crate::time::{Timestamp, human};

impl OneOff {
    pub(super) fn step_idle(&self, now: Timestamp, event: Event) -> Next {
        match event {
            Event::Start => {
                let launch = Launch {
                    since: now,
                    give_up: now.after(self.policy.give_up),
                    errors: 0,
                    error: None,
                    maybe: false,
                    ending: None,
                };
                let call = self.made(now);
                (State::Starting { launch, call }, self.start())
            }
            Event::Abort => failed(self.aborted("before it began"), Applied::No),
            Event::Started(_)
            | Event::Found(_)
            | Event::Observed(_)
            | Event::StopSent
            | Event::CallFailed(_)
            | Event::Hinted
            | Event::Elapsed => (State::Idle, Vec::new()),
        }
    }

    pub(super) fn step_starting(&self, now: Timestamp, event: Event, launch: Launch, call: Call) -> Next {
        match event {
            Event::Started(task) => self.task_known(now, launch, task),
            Event::CallFailed(error) if call.is_under_way() => self.start_failed(now, launch, error),
            Event::Elapsed => {
                let launch = self.end_when_late(now, launch);
                self.starting_on(now, launch, call)
            }
            Event::Abort => {
                let launch = ending(launch, self.aborted("while it was started"));
                self.starting_on(now, launch, call)
            }
            Event::Start
            | Event::Found(_)
            | Event::Observed(_)
            | Event::StopSent
            | Event::CallFailed(_)
            | Event::Hinted => (State::Starting { launch, call }, Vec::new()),
        }
    }

    /// Goes on from a start under way, or one that waits to be said again.
    fn starting_on(&self, now: Timestamp, launch: Launch, call: Call) -> Next {
        match call.due(now) {
            Due::Unanswered => {
                let error = no_answer("start task", self.policy.answer);
                self.start_failed(now, launch, error)
            }
            // Nothing is under way: there is no more to wait for.
            Due::NotYet | Due::Repeat if !call.is_under_way() && launch.ending.is_some() => {
                self.end_launch(now, launch)
            }
            Due::NotYet => (State::Starting { launch, call }, Vec::new()),
            Due::Repeat if launch.maybe && now.since(launch.since) >= TOKEN_LIFE => {
                let text = format!(
                    "whether {} ran is unknown, and its token is too old to start it again",
                    self.spec.name
                );
                let reason = Reason::new(Cause::TaskUnknown, text).with(self.evidence(now, &launch));
                failed(reason, Applied::Maybe)
            }
            Due::Repeat => {
                let call = call.repeated(now, self.policy.answer);
                (State::Starting { launch, call }, self.start())
            }
        }
    }

    /// Ends before a task is known, once nothing is under way; a start that may have taken effect is looked for first.
    fn end_launch(&self, now: Timestamp, launch: Launch) -> Next {
        if launch.maybe {
            return self.look_for(now, launch);
        }
        let reason = launch
            .ending
            .clone()
            .unwrap_or_else(|| self.aborted("while it was started"));
        failed(reason.with(self.evidence(now, &launch)), Applied::No)
    }

    fn start_failed(&self, now: Timestamp, launch: Launch, error: ErrorRecord) -> Next {
        let last = is_final(&error, launch.errors, self.policy.max_errors);
        let repeat = self.repeat_at(now, launch.errors, &error);
        let launch = Launch {
            errors: launch.errors.saturating_add(1),
            maybe: launch.maybe || error.applied != Applied::No,
            error: Some(error.clone()),
            ..launch
        };
        match error.applied {
            Applied::Maybe | Applied::Yes => self.look_for(now, launch),
            Applied::No if launch.ending.is_some() => self.end_launch(now, launch),
            // An earlier start may have taken effect after all.
            Applied::No if last => failed(
                Reason::new(
                    cause_of(&error),
                    format!("{} was not started: {error}", self.spec.name),
                )
                .with(self.evidence(now, &launch)),
                if launch.maybe { Applied::Maybe } else { Applied::No },
            ),
            Applied::No => {
                let call = Call::later(repeat, launch.errors);
                (State::Starting { launch, call }, Vec::new())
            }
        }
    }

    fn look_for(&self, now: Timestamp, launch: Launch) -> Next {
        let call = self.made(now);
        (State::Finding { launch, call }, self.find())
    }

    pub(super) fn step_finding(&self, now: Timestamp, event: Event, launch: Launch, call: Call) -> Next {
        match event {
            Event::Started(task) | Event::Found(Some(task)) => self.task_known(now, launch, task),
            Event::Found(None) => self.not_found(now, launch),
            Event::CallFailed(error) if call.is_under_way() => self.find_failed(now, launch, call, error),
            Event::Elapsed => {
                let launch = self.end_when_late(now, launch);
                match call.due(now) {
                    Due::NotYet => (State::Finding { launch, call }, Vec::new()),
                    Due::Unanswered => {
                        let error = no_answer("find task", self.policy.answer);
                        self.find_failed(now, launch, call, error)
                    }
                    Due::Repeat => {
                        let call = call.repeated(now, self.policy.answer);
                        (State::Finding { launch, call }, self.find())
                    }
                }
            }
            Event::Abort => {
                let launch = ending(launch, self.aborted("while it was looked for"));
                (State::Finding { launch, call }, Vec::new())
            }
            Event::Start | Event::Observed(_) | Event::StopSent | Event::CallFailed(_) | Event::Hinted => {
                (State::Finding { launch, call }, Vec::new())
            }
        }
    }

    /// The start that may have taken effect has, as far as can be seen, not: it is said again with the same token.
    fn not_found(&self, now: Timestamp, launch: Launch) -> Next {
        if let Some(reason) = launch.ending.clone() {
            return failed(reason.with(self.evidence(now, &launch)), Applied::Maybe);
        }
        let error = launch.error.as_ref();
        let last = error
            .is_some_and(|error| is_final(error, launch.errors.saturating_sub(1), self.policy.max_errors));
        if last {
            let text = format!(
                "whether {} was started is unknown, and it cannot be found",
                self.spec.name
            );
            let reason = Reason::new(Cause::TaskUnknown, text).with(self.evidence(now, &launch));
            return failed(reason, Applied::Maybe);
        }
        let repeat = error.map_or(now, |error| {
            self.repeat_at(now, launch.errors.saturating_sub(1), error)
        });
        let call = Call::later(repeat, launch.errors);
        (State::Starting { launch, call }, Vec::new())
    }

    fn find_failed(&self, now: Timestamp, launch: Launch, call: Call, error: ErrorRecord) -> Next {
        if is_final(&error, call.errors, self.policy.max_errors) {
            let text = format!("whether {} was started is unknown: {error}", self.spec.name);
            let reason = launch
                .ending
                .clone()
                .unwrap_or_else(|| Reason::new(Cause::TaskUnknown, text));
            let found = evidence_of(&error, now, self.spec.name.as_str());
            return failed(
                reason.with(self.evidence(now, &launch)).with([found]),
                Applied::Maybe,
            );
        }
        let repeat = self.repeat_at(now, call.errors, &error);
        let call = call.failed(error, repeat);
        (State::Finding { launch, call }, Vec::new())
    }

    /// From here on nothing is started any more.
    fn task_known(&self, now: Timestamp, launch: Launch, task: TaskArn) -> Next {
        let watch = Watch {
            task,
            give_up: launch.give_up,
            ran: Applied::Maybe,
            looked_at: now,
            hinted: false,
        };
        match launch.ending {
            Some(why) => self.begin_stop(now, watch, why),
            None => {
                let effects = look(&watch.task);
                let call = self.made(now);
                (State::Watching { watch, call }, effects)
            }
        }
    }

    pub(super) fn step_watching(&self, now: Timestamp, event: Event, watch: Watch, call: Call) -> Next {
        match event {
            Event::Observed(TaskObservation::Running { status, .. }) => {
                let pause = if watch.hinted {
                    self.policy.poll_every.min(LEAST_PAUSE)
                } else {
                    self.policy.poll_every
                };
                let call = Call::later(now.after(pause), 0);
                let watch = Watch {
                    ran: ran_by_status(&status, watch.ran),
                    looked_at: now,
                    hinted: false,
                    ..watch
                };
                (State::Watching { watch, call }, Vec::new())
            }
            Event::Hinted => self.watching_hinted(now, watch, call),
            Event::Observed(TaskObservation::Stopped(stopped)) => self.judge(watch, &stopped),
            Event::Observed(TaskObservation::Missing { .. }) => {
                self.look_failed(now, watch, call, unknown_task())
            }
            Event::CallFailed(error) if call.is_under_way() => self.look_failed(now, watch, call, error),
            Event::Elapsed if now >= watch.give_up => {
                let why = self.late();
                self.begin_stop(now, watch, why)
            }
            Event::Elapsed => match call.due(now) {
                Due::NotYet => (State::Watching { watch, call }, Vec::new()),
                Due::Unanswered => {
                    let error = no_answer(LOOK, self.policy.answer);
                    self.look_failed(now, watch, call, error)
                }
                Due::Repeat => {
                    let effects = look(&watch.task);
                    let call = call.repeated(now, self.policy.answer);
                    (State::Watching { watch, call }, effects)
                }
            },
            Event::Abort => self.begin_stop(now, watch, self.aborted("while it ran")),
            Event::Start | Event::Started(_) | Event::Found(_) | Event::StopSent | Event::CallFailed(_) => {
                (State::Watching { watch, call }, Vec::new())
            }
        }
    }

    /// Something has changed: look at once, but not too close to the last look, and not before its time after a failed one.
    fn watching_hinted(&self, now: Timestamp, mut watch: Watch, mut call: Call) -> Next {
        let earliest = watch.looked_at.after(self.policy.poll_every.min(LEAST_PAUSE));
        let mut effects = Vec::new();
        if call.is_under_way() {
            watch.hinted = true;
        } else if call.errors == 0 && now < earliest {
            call = call.sooner(earliest);
        } else if call.errors == 0 {
            effects = look(&watch.task);
            call = call.repeated(now, self.policy.answer);
        }
        (State::Watching { watch, call }, effects)
    }

    /// A look that told nothing.
    fn look_failed(&self, now: Timestamp, watch: Watch, call: Call, error: ErrorRecord) -> Next {
        if is_final(&error, call.errors, self.policy.max_errors) {
            let unknown = error.kind == ErrorKind::NotFound;
            let cause = if unknown {
                Cause::TaskUnknown
            } else {
                cause_of(&error)
            };
            let text = format!(
                "how {} goes on cannot be seen ({error}); it was left alone and may still run",
                self.spec.name
            );
            let evidence = evidence_of(&error, now, watch.task.as_str());
            return failed(Reason::new(cause, text).with([evidence]), watch.ran);
        }
        let repeat = self.repeat_at(now, call.errors, &error);
        let call = call.failed(error, repeat);
        (State::Watching { watch, call }, Vec::new())
    }

    fn judge(&self, watch: Watch, stopped: &StoppedTask) -> Next {
        let evidence = stopped.evidence(LOOK);
        let mut essential = stopped
            .containers
            .iter()
            .filter(|container| container.essential)
            .peekable();
        let why = if essential.peek().is_none() {
            "no essential container is known".to_owned()
        } else {
            let bad: Vec<String> = essential
                .filter(|container| container.exit_code != Some(0))
                .map(|container| match container.exit_code {
                    Some(code) => format!("container {} exited with {code}", container.name),
                    None => format!("container {} has no exit code", container.name),
                })
                .collect();
            if bad.is_empty() {
                let task = watch.task;
                return (State::Ended(Outcome::Succeeded { task, evidence }), Vec::new());
            }
            bad.join(", ")
        };
        let text = format!("{} failed: {why} ({})", self.spec.name, stopped.reason);
        let reason = Reason::new(Cause::TaskFailed, text).with(evidence);
        failed(reason, ran_by_exit(stopped, watch.ran))
    }

    fn begin_stop(&self, now: Timestamp, watch: Watch, why: Reason) -> Next {
        let effects = stop(&watch.task);
        let stop = Stop {
            task: watch.task,
            ran: watch.ran,
            why,
            until: now.after(STOP_WAIT),
            telling: true,
            told: false,
        };
        let call = self.made(now);
        (State::Stopping { stop, call }, effects)
    }

    pub(super) fn step_stopping(&self, now: Timestamp, event: Event, mut stop: Stop, call: Call) -> Next {
        match event {
            Event::StopSent => {
                stop.told = true;
                self.look_at_stop(now, stop)
            }
            Event::Observed(TaskObservation::Running { status, .. }) => {
                stop.ran = ran_by_status(&status, stop.ran);
                stop.telling = !stop.told;
                let call = Call::later(now.after(self.policy.poll_every), 0);
                (State::Stopping { stop, call }, Vec::new())
            }
            Event::Observed(TaskObservation::Stopped(stopped)) => {
                let ran = ran_by_exit(&stopped, stop.ran);
                failed(stop.why.with(stopped.evidence(LOOK)), ran)
            }
            Event::Observed(TaskObservation::Missing { at }) => {
                let gone = Evidence::new(at, LOOK, stop.task.as_str(), "the task is not known any more");
                failed(stop.why.with([gone]), stop.ran)
            }
            Event::CallFailed(error) if call.is_under_way() => self.stop_failed(now, stop, call, error),
            Event::Elapsed if now >= stop.until => {
                let text = format!("not seen to stop within {}", human(STOP_WAIT));
                let still = Evidence::new(now, LOOK, stop.task.as_str(), text);
                failed(may_still_run(stop.why).with([still]), stop.ran)
            }
            Event::Elapsed => self.stopping_on(now, stop, call),
            Event::Start
            | Event::Started(_)
            | Event::Found(_)
            | Event::CallFailed(_)
            | Event::Hinted
            | Event::Abort => (State::Stopping { stop, call }, Vec::new()),
        }
    }

    fn stopping_on(&self, now: Timestamp, stopping: Stop, call: Call) -> Next {
        match call.due(now) {
            Due::NotYet => (State::Stopping { stop: stopping, call }, Vec::new()),
            Due::Unanswered => {
                let operation = if stopping.telling { "stop task" } else { LOOK };
                let error = no_answer(operation, self.policy.answer);
                self.stop_failed(now, stopping, call, error)
            }
            Due::Repeat => {
                let effects = if stopping.telling {
                    stop(&stopping.task)
                } else {
                    look(&stopping.task)
                };
                let call = call.repeated(now, self.policy.answer);
                (State::Stopping { stop: stopping, call }, effects)
            }
        }
    }

    fn look_at_stop(&self, now: Timestamp, stop: Stop) -> Next {
        let effects = look(&stop.task);
        let stop = Stop {
            telling: false,
            ..stop
        };
        let call = self.made(now);
        (State::Stopping { stop, call }, effects)
    }

    fn stop_failed(&self, now: Timestamp, stop: Stop, call: Call, error: ErrorRecord) -> Next {
        let repeat = self.repeat_at(now, call.errors, &error);
        let evidence = evidence_of(&error, now, stop.task.as_str());
        if is_final(&error, call.errors, self.policy.max_errors) {
            return failed(may_still_run(stop.why).with([evidence]), stop.ran);
        }
        let unknown = stop.telling && error.applied != Applied::No;
        let call = call.failed(error, repeat);
        if !unknown {
            return (State::Stopping { stop, call }, Vec::new());
        }
        // Whether the stop was taken is unknown: look before it is said again.
        let effects = look(&stop.task);
        let stop = Stop {
            telling: false,
            ..stop
        };
        let call = call.repeated(now, self.policy.answer);
        (State::Stopping { stop, call }, effects)
    }
}
