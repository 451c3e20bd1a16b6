//! The way forward: which leg follows which, and the waits between them.

use core::time::Duration;

use super::state::{Leg, Pending, Phase, Running, Stage, State};
use super::{Effect, Event, Goal, Policy, Spec};
use crate::dns::{Marker, OldTraffic, RecordData, RecordType, Snapshot, TargetCheck};
use crate::evidence::{Cause, Evidence, Reason};
use crate::time::{Timestamp, Wait, human};

/// The next state and what must be done.
pub(super) type Next = (State, Vec<Effect>);

/// The old side is counted a minute at a time: with wider steps, minutes between two samples would go unseen.
const COUNTED: Duration = Duration::from_secs(60);

/// One event's worth of decisions.
pub(super) struct Flow<'a> {
    pub(super) spec: &'a Spec,
    pub(super) policy: &'a Policy,
    pub(super) now: Timestamp,
}

impl Flow<'_> {
    pub(super) fn start(&self, event: &Event) -> Next {
        let run = Box::new(Running::new(self.spec, self.now));
        match event {
            Event::Start => match self.impossible() {
                Some(why) => self.fail(run, why),
                None => self.ask(run),
            },
            Event::Abort => self.refused(&run, Reason::new(Cause::Aborted, "aborted before it began")),
            Event::SnapshotTaken(_)
            | Event::TargetChecked(_)
            | Event::Applied(_)
            | Event::PropagationSeen(_)
            | Event::Answered(_)
            | Event::OldTrafficSeen(_)
            | Event::CallFailed(_)
            | Event::Elapsed => (State::Idle, Vec::new()),
        }
    }

    /// What can be refused without a look.
    fn impossible(&self) -> Option<Reason> {
        let no = |text: String| Some(Reason::new(Cause::CallFailed, text));
        if let Err(error) = Marker::key(&self.spec.key) {
            return no(format!(
                "the marker of {} has no valid name: {error}",
                self.spec.key
            ));
        }
        match &self.spec.goal {
            Goal::Move { to, .. } => match (to, &self.spec.key.record_type) {
                (RecordData::Alias { .. }, kind @ (RecordType::Cname | RecordType::Txt)) => no(format!(
                    "an alias to a load balancer is an A or AAAA record, not {kind}; the type of a record cannot be \
                     changed in one compare-and-set"
                )),
                (RecordData::Values { values, .. }, _) if values.is_empty() => {
                    no(format!("the new {} has no value", self.spec.key))
                }
                (RecordData::Alias { .. }, RecordType::A | RecordType::Aaaa | RecordType::Other(_))
                | (RecordData::Values { .. }, _) => None,
            },
            Goal::Restore { original, .. } => match &original.record {
                Some(record) if !record.key.same_as(&self.spec.key) => no(format!(
                    "the snapshot is of {}, not of {}",
                    record.key, self.spec.key
                )),
                Some(_) | None => None,
            },
        }
    }

    /// Why a record that we have created stays.
    fn never_was(&self) -> Reason {
        let text = format!(
            "{} did not exist before; removing it would leave the name without a record",
            self.spec.key
        );
        Reason::new(Cause::NoLastKnownGood, text)
    }

    pub(super) fn event(&self, mut run: Box<Running>, event: Event) -> Next {
        match event {
            Event::Elapsed => match run.pending {
                Pending::Asked { since } if self.now >= since.after(self.policy.answer) => {
                    run.lost = true;
                    let error = self.unanswered(&run);
                    if run.abort {
                        return self.aborted(run);
                    }
                    self.failed(run, &error)
                }
                Pending::Resting { until, .. } if self.now >= until => self.resume(run),
                Pending::Asked { .. } | Pending::Resting { .. } => stay(run),
            },
            Event::Abort => self.abort(run),
            answer => match run.pending {
                Pending::Asked { since } if expects(&run.phase, &answer) => {
                    if run.abort {
                        self.last_answer(run, answer)
                    } else {
                        self.answered(run, since, answer)
                    }
                }
                // A late answer to a call that was given up.
                Pending::Asked { .. } | Pending::Resting { .. } => stay(run),
            },
        }
    }

    fn answered(&self, run: Box<Running>, since: Timestamp, answer: Event) -> Next {
        match answer {
            Event::SnapshotTaken(snapshot) if snapshot.at < since => {
                let error = self.stale("snapshot", snapshot.at, since);
                self.failed(run, &error)
            }
            Event::SnapshotTaken(snapshot) => match run.phase {
                Phase::Leg { leg, .. } => self.read(run, leg, *snapshot),
                Phase::Snapshotting
                | Phase::WaitingOldTtl
                | Phase::Watching { .. }
                | Phase::Expiring
                | Phase::Draining { .. } => self.opened(run, *snapshot),
            },
            Event::TargetChecked(check) if check.at < since => {
                let error = self.stale("target's check", check.at, since);
                self.failed(run, &error)
            }
            Event::TargetChecked(check) => match run.phase {
                Phase::Watching { until } => self.watched(run, until, check),
                Phase::Leg { leg, .. } => self.checked(run, leg, check),
                Phase::Snapshotting | Phase::WaitingOldTtl | Phase::Expiring | Phase::Draining { .. } => {
                    stay(run)
                }
            },
            Event::Applied(change) => self.applied(run, change),
            Event::PropagationSeen(propagation) => self.spread(run, since, propagation),
            Event::Answered(answers) => self.verify(run, since, &answers),
            Event::OldTrafficSeen(traffic) if traffic.at < since => {
                let error = self.stale("count of the old side's requests", traffic.at, since);
                self.failed(run, &error)
            }
            Event::OldTrafficSeen(traffic) => self.counted(run, &traffic),
            Event::CallFailed(error) => self.failed(run, &error),
            Event::Start | Event::Elapsed | Event::Abort => stay(run),
        }
    }

    /// Abort: at once when nothing is under way or nothing was written; else when the call under way is over. On the way
    /// back the table lets none in.
    fn abort(&self, mut run: Box<Running>) -> Next {
        if matches!(self.spec.goal, Goal::Restore { .. }) {
            return stay(run);
        }
        match run.pending {
            Pending::Asked { .. } if !run.mine.is_empty() => {
                run.abort = true;
                stay(run)
            }
            Pending::Asked { .. } | Pending::Resting { .. } => self.aborted(run),
        }
    }

    /// The answer that an abort has waited for.
    fn last_answer(&self, mut run: Box<Running>, answer: Event) -> Next {
        match (&run.phase, answer) {
            (
                Phase::Leg {
                    stage: Stage::Applying,
                    leg,
                },
                Event::Applied(_),
            ) => {
                let leg = *leg;
                self.learn(&mut run, leg);
            }
            (
                Phase::Leg {
                    stage: Stage::Applying,
                    ..
                },
                Event::CallFailed(error),
            ) => {
                self.forget_if_certain(&mut run, &error);
            }
            (
                Phase::Leg { .. }
                | Phase::Snapshotting
                | Phase::WaitingOldTtl
                | Phase::Watching { .. }
                | Phase::Expiring
                | Phase::Draining { .. },
                _,
            ) => {}
        }
        self.aborted(run)
    }

    fn aborted(&self, run: Box<Running>) -> Next {
        let state = State::Running(run);
        let text = format!("aborted while waiting for {}", state.waiting_for(self.spec));
        match state {
            State::Running(run) => self.fail(run, Reason::new(Cause::Aborted, text)),
            State::Idle | State::Ended(_) => (state, Vec::new()),
        }
    }

    /// A pause is over.
    fn resume(&self, mut run: Box<Running>) -> Next {
        match run.phase {
            Phase::WaitingOldTtl => {
                if let Goal::Move { lowered_ttl, .. } = &self.spec.goal {
                    run.served = Duration::from_secs(u64::from(*lowered_ttl));
                }
                self.begin(run, Leg::Swap)
            }
            Phase::Expiring => self.expired(run),
            Phase::Watching { .. } if self.spec.allow_unhealthy_target => self.expire(run),
            Phase::Watching { .. } | Phase::Snapshotting | Phase::Leg { .. } | Phase::Draining { .. } => {
                self.ask(run)
            }
        }
    }

    /// The first snapshot: what is there, and what that means.
    fn opened(&self, mut run: Box<Running>, snapshot: Snapshot) -> Next {
        run.errors = 0;
        run.generation = snapshot.generation();
        run.known = snapshot.clone();
        run.before = snapshot;
        let present = run.before.record.as_ref().map(|record| record.data.clone());
        if let Some(data) = &present {
            run.served = data.ttl();
        }
        match (&self.spec.goal, present) {
            (Goal::Move { .. }, None) => self.begin(run, Leg::Swap),
            (Goal::Move { to, .. }, Some(data)) if says(&data, to) => self.ask_servers(run, Leg::Swap),
            (Goal::Move { to, .. }, Some(data)) if data.same_target(to) => self.begin(run, Leg::RestoreTtl),
            (Goal::Move { lowered_ttl, .. }, Some(RecordData::Values { ttl, .. })) if ttl > *lowered_ttl => {
                self.begin(run, Leg::Lower)
            }
            (Goal::Move { .. }, Some(_)) => self.begin(run, Leg::Swap),
            (Goal::Restore { original, ours }, present) => {
                let is_back = match (&original.record, &run.before.record) {
                    (Some(original), Some(now)) => same_record(original, now),
                    (Some(_), None) | (None, Some(_) | None) => false,
                };
                let is_ours = |data: &RecordData| ours.iter().any(|ours| data.same_target(&ours.data));
                if original.record.is_none() {
                    self.stuck(run, self.never_was())
                } else if is_back && !self.in_flight(&run) {
                    self.ask_servers(run, Leg::Back)
                } else if is_back || present.as_ref().is_some_and(is_ours) {
                    // Also over the original, where a write may still land: the new marker makes it fail.
                    self.begin(run, Leg::Back)
                } else {
                    self.superseded(&run)
                }
            }
        }
    }

    /// The record says what it shall, on all servers: watch, if we have moved it.
    pub(super) fn watch(&self, mut run: Box<Running>) -> Next {
        if self.policy.watch.is_zero() {
            return self.expire(run);
        }
        let until = self.now.after(self.policy.watch);
        run.phase = Phase::Watching { until };
        self.rest_in_watch(run, until)
    }

    fn rest_in_watch(&self, run: Box<Running>, until: Timestamp) -> Next {
        let look = self.now.after(self.longest_pause());
        let at = if self.spec.allow_unhealthy_target {
            until
        } else {
            look.min(until)
        };
        self.rest(run, at, Wait::Watch)
    }

    fn watched(&self, mut run: Box<Running>, until: Timestamp, check: TargetCheck) -> Next {
        let reason = self.unfit(&check);
        run.proof.checked = check.evidence;
        run.errors = 0;
        let Some(reason) = reason else {
            run.bad = 0;
            return if self.now >= until {
                self.expire(run)
            } else {
                self.rest_in_watch(run, until)
            };
        };
        run.bad = run.bad.saturating_add(1);
        if run.bad >= self.policy.watch_failures.max(1) {
            return self.fail(run, reason);
        }
        // Past the end of the watch too: it ends on a good look or on enough bad ones.
        let look = self.now.after(self.longest_pause());
        self.rest(run, look, Wait::Watch)
    }

    /// Why a target cannot take traffic, if so. Nobody can tell is no.
    pub(super) fn unfit(&self, check: &TargetCheck) -> Option<Reason> {
        let text = match check.healthy {
            Some(true) => return None,
            Some(false) => "has no healthy target behind it",
            None => "may or may not have a healthy target behind it: nobody can tell",
        };
        let what = format!("what {} points at or would point at {text}", self.spec.key);
        Some(Reason::new(Cause::TargetUnhealthy, what).with(check.evidence.iter().cloned()))
    }

    /// Waits until caches have forgotten the old answer. A record that did not exist before has left none.
    fn expire(&self, mut run: Box<Running>) -> Next {
        let until = run.in_sync_at.unwrap_or(self.now).after(run.served);
        if self.now >= until {
            return self.expired(run);
        }
        run.phase = Phase::Expiring;
        self.rest(run, until, Wait::OldTtl)
    }

    fn expired(&self, mut run: Box<Running>) -> Next {
        match &self.spec.drain {
            Some(drain) if run.before.record.is_some() => {
                let give_up = self.now.after(drain.give_up);
                run.errors = 0;
                run.phase = Phase::Draining { low: None, give_up };
                self.ask(run)
            }
            Some(_) | None => self.settle(run),
        }
    }

    fn counted(&self, mut run: Box<Running>, traffic: &OldTraffic) -> Next {
        let (Some(drain), Phase::Draining { low, give_up }) = (&self.spec.drain, &mut run.phase) else {
            return stay(run);
        };
        let (pace, give_up) = (self.longest_pause().min(COUNTED), *give_up);
        // A sample that comes much later than planned leaves minutes that nobody saw.
        let gap = pace.saturating_add(self.policy.answer);
        *low = match traffic.requests_per_minute {
            Some(rate) if rate <= drain.level => match *low {
                Some((first, last)) if traffic.at.since(last) <= gap => Some((first, traffic.at)),
                Some(_) | None => Some((traffic.at, traffic.at)),
            },
            Some(_) | None => None,
        };
        let drained = matches!(*low, Some((first, last)) if last.since(first) >= drain.hold);
        run.errors = 0;
        run.proof.traffic = Some(self.traffic_evidence(&run, traffic));
        if drained {
            run.drained = true;
            self.settle(run)
        } else if self.now >= give_up {
            self.out_of_time(run)
        } else {
            self.rest(run, self.now.after(pace).min(give_up), Wait::Drain)
        }
    }

    fn traffic_evidence(&self, run: &Running, traffic: &OldTraffic) -> Evidence {
        let old = run
            .before
            .record
            .as_ref()
            .map_or_else(|| self.spec.key.to_string(), |record| record.data.to_string());
        let detail = match traffic.requests_per_minute {
            Some(rate) => format!("{rate} requests a minute reach the old side"),
            None => "no data on the requests that reach the old side".to_owned(),
        };
        Evidence::new(traffic.at, "the old side's request count", old, detail)
    }

    /// The end of the way forward, but for the TTL.
    pub(super) fn settle(&self, run: Box<Running>) -> Next {
        let restored = match (&run.known.record, self.wanted(&run, Leg::RestoreTtl)) {
            (Some(now), Some(wanted)) => same_record(now, &wanted),
            (None, _) | (Some(_), None) => true,
        };
        if restored {
            self.moved(run)
        } else {
            self.begin(run, Leg::RestoreTtl)
        }
    }

    /// The time for a change to spread, for servers to agree or for the old side to drain is up.
    pub(super) fn out_of_time(&self, mut run: Box<Running>) -> Next {
        match &run.phase {
            Phase::Leg {
                leg,
                stage: Stage::Spreading { change, .. },
            } => {
                let (leg, text) = (
                    *leg,
                    format!(
                        "the change {change} of {} was not INSYNC within {}",
                        self.spec.key,
                        human(self.policy.in_sync)
                    ),
                );
                let reason =
                    Reason::new(Cause::PropagationTimeout, text).with(run.proof.error.iter().cloned());
                match leg {
                    Leg::Lower | Leg::Swap => self.fail(run, reason),
                    Leg::RestoreTtl | Leg::Back => self.judge_by_servers(run, &reason),
                }
            }
            Phase::Leg {
                leg,
                stage: Stage::Verifying { .. } | Stage::Checking | Stage::Reading | Stage::Applying,
            } => {
                let leg = *leg;
                self.unverified(run, leg)
            }
            Phase::Draining { .. } => {
                self.note(
                    &mut run,
                    "the old side was not seen to be drained in time".to_owned(),
                );
                self.settle(run)
            }
            Phase::Snapshotting | Phase::WaitingOldTtl | Phase::Watching { .. } | Phase::Expiring => {
                stay(run)
            }
        }
    }
}

/// Nothing changes.
pub(super) fn stay(run: Box<Running>) -> Next {
    (State::Running(run), Vec::new())
}

/// Whether `answer` answers the call that the phase makes.
fn expects(phase: &Phase, answer: &Event) -> bool {
    match answer {
        Event::SnapshotTaken(_) => matches!(
            phase,
            Phase::Snapshotting
                | Phase::Leg {
                    stage: Stage::Reading,
                    ..
                }
        ),
        Event::TargetChecked(_) => matches!(
            phase,
            Phase::Watching { .. }
                | Phase::Leg {
                    stage: Stage::Checking,
                    ..
                }
        ),
        Event::Applied(_) => matches!(
            phase,
            Phase::Leg {
                stage: Stage::Applying,
                ..
            }
        ),
        Event::PropagationSeen(_) => matches!(
            phase,
            Phase::Leg {
                stage: Stage::Spreading { .. },
                ..
            }
        ),
        Event::Answered(_) => matches!(
            phase,
            Phase::Leg {
                stage: Stage::Verifying { .. },
                ..
            }
        ),
        Event::OldTrafficSeen(_) => matches!(phase, Phase::Draining { .. }),
        Event::CallFailed(_) => true,
        Event::Start | Event::Elapsed | Event::Abort => false,
    }
}

/// Whether a record's data is exactly what is wanted. The order of values, case and trailing dots do not count.
pub(super) fn says(now: &RecordData, wanted: &RecordData) -> bool {
    let follows = |data: &RecordData| match data {
        RecordData::Alias {
            evaluate_target_health,
            ..
        } => Some(*evaluate_target_health),
        RecordData::Values { .. } => None,
    };
    now.same_target(wanted) && now.ttl() == wanted.ttl() && follows(now) == follows(wanted)
}

/// The same for whole records.
pub(super) fn same_record(a: &crate::dns::Record, b: &crate::dns::Record) -> bool {
    a.key.same_as(&b.key) && a.weight == b.weight && says(&a.data, &b.data)
}
