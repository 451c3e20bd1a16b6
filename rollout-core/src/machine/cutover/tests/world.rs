//! A small zone with authoritative servers, caches, lost answers, late writes and a foreign writer, on virtual time.
//! Chance is a list of dice; when it is used up, everything goes well.

use std::collections::BTreeMap;

use super::*;
use crate::dns::Change;

/// The answers to events with their times; a batch lands on the way.
enum Happening {
    Land {
        batch: ChangeBatch,
        id: ChangeId,
        roll: u8,
    },
    Answer(Event),
    Foreign(RecordData),
    Abort,
}

/// What the record said from one moment on.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) from: Timestamp,
    pub(super) in_sync: Timestamp,
    pub(super) record: Option<Record>,
    pub(super) marker: Option<Record>,
    pub(super) foreign: bool,
}

/// What varies.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) dice: Vec<u8>,
    pub(super) before: Option<RecordData>,
    pub(super) marked: Option<u64>,
    /// Seconds after the start.
    pub(super) abort: Option<u64>,
    pub(super) foreign: Option<(u64, bool)>,
    pub(super) new_fails: Option<u64>,
    pub(super) old_fails: Option<u64>,
    pub(super) old_empties: Option<u64>,
    /// Seconds.
    pub(super) watch: u64,
}

pub(super) struct World {
    script: Script,
    rolled: usize,
    start: Timestamp,
    pub(super) versions: Vec<Version>,
    changes: BTreeMap<ChangeId, Timestamp>,
    queue: BTreeMap<(Timestamp, u64), Happening>,
    order: u64,
    to: RecordData,
}

impl World {
    pub(super) fn new(script: Script, spec: &Spec, start: Timestamp) -> Self {
        let to = match &spec.goal {
            Goal::Move { to, .. } => to.clone(),
            Goal::Restore { ours, .. } => ours[0].data.clone(),
        };
        let first = Version {
            from: Timestamp::EPOCH,
            in_sync: Timestamp::EPOCH,
            record: script.before.clone().map(record),
            marker: script.marked.map(marker),
            foreign: false,
        };
        let mut world = Self {
            rolled: 0,
            start,
            versions: vec![first],
            changes: BTreeMap::new(),
            queue: BTreeMap::new(),
            order: 0,
            to,
            script,
        };
        let at = |seconds: u64| start.after(Duration::from_secs(seconds));
        if let Some(abort) = world.script.abort {
            world.plan(at(abort), Happening::Abort);
        }
        if let Some((when, back)) = world.script.foreign {
            // Someone else writes another address, or restores what was there.
            let data = match (&world.script.before, back) {
                (Some(before), true) => before.clone(),
                (Some(_), false) | (None, _) => values(120, "10.9.9.9"),
            };
            world.plan(at(when), Happening::Foreign(data));
        }
        world
    }

    fn plan(&mut self, at: Timestamp, what: Happening) {
        self.order += 1;
        self.queue.insert((at, self.order), what);
    }

    fn roll(&mut self) -> u8 {
        let die = self.script.dice.get(self.rolled).copied().unwrap_or(0);
        self.rolled += 1;
        die
    }

    pub(super) fn now_says(&self) -> &Version {
        self.versions.last().expect("a version")
    }

    fn past(&self, now: Timestamp, limit: Option<u64>) -> bool {
        limit.is_some_and(|seconds| now >= self.start.after(Duration::from_secs(seconds)))
    }

    /// All or nothing; a DELETE must name the exact present values, a CREATE something that is not there.
    fn land(&mut self, now: Timestamp, batch: &ChangeBatch, roll: u8) -> Result<Timestamp, ()> {
        let present = self.now_says().clone();
        let mut zone: Vec<Record> = present.record.into_iter().chain(present.marker).collect();
        for change in batch.changes() {
            match change {
                Change::Delete(old) => {
                    let at = zone.iter().position(|record| record == old).ok_or(())?;
                    zone.remove(at);
                }
                Change::Create(new) => {
                    if zone.iter().any(|record| record.key.same_as(&new.key)) {
                        return Err(());
                    }
                    zone.push(new.clone());
                }
            }
        }
        let spread = if roll >= 252 {
            1_000_000
        } else {
            u64::from(roll % 90)
        };
        let in_sync = now
            .after(Duration::from_secs(spread))
            .max(self.now_says().in_sync);
        let take = |wanted: &RecordKey| zone.iter().find(|record| record.key.same_as(wanted)).cloned();
        self.versions.push(Version {
            from: now,
            in_sync,
            record: take(&key()),
            marker: take(&marker(0).key),
            foreign: false,
        });
        Ok(in_sync)
    }

    /// Which versions some server may give an answer from.
    pub(super) fn servable(&self, at: Timestamp) -> impl Iterator<Item = &Version> {
        let versions = &self.versions;
        versions.iter().enumerate().filter_map(move |(n, version)| {
            let replaced = versions.get(n + 1).is_some_and(|next| next.in_sync < at);
            (version.from <= at && !replaced).then_some(version)
        })
    }

    /// Runs an effect: what will happen, and when.
    fn perform(&mut self, now: Timestamp, effect: &Effect) {
        let (die, second, roll) = (self.roll(), self.roll(), self.roll());
        let delay = Duration::from_secs(u64::from(die % 3));
        let at = now.after(delay);
        let mutates = matches!(effect, Effect::Apply { .. });
        let fail = |kind, retry, applied| Happening::Answer(error(kind, retry, applied));
        let id = change(&format!("C{}", self.order));
        let land = |world: &mut Self, when: Timestamp| {
            if let Effect::Apply { batch } = effect {
                let (batch, id) = (batch.clone(), id.clone());
                world.plan(when, Happening::Land { batch, id, roll });
            }
        };
        match die {
            0..=199 | 241.. => {
                if let Effect::Apply { batch } = effect {
                    let answer = match self.land(now, batch, roll) {
                        Ok(in_sync) => {
                            self.changes.insert(id.clone(), in_sync);
                            Event::Applied(id)
                        }
                        Err(()) => error(ErrorKind::Conflict, Retry::Never, Applied::No),
                    };
                    self.plan(at, Happening::Answer(answer));
                } else {
                    let answer = self.look(now, effect, second);
                    self.plan(at, Happening::Answer(answer));
                }
            }
            200..=209 => self.plan(at, fail(ErrorKind::Throttled, Retry::Later, Applied::No)),
            210..=214 => self.plan(at, fail(ErrorKind::Unavailable, Retry::Exhausted, Applied::Maybe)),
            // It takes effect and the answer is lost.
            215..=219 => land(self, now),
            220..=224 => {
                land(self, now);
                self.plan(at, fail(ErrorKind::Unavailable, Retry::Later, Applied::Maybe));
            }
            // It takes effect later, when nobody waits for it any more.
            225..=231 => land(self, now.after(Duration::from_secs(12 + u64::from(second)))),
            // The answer is late.
            232..=236 => {
                let late = now.after(Duration::from_secs(10 + u64::from(second % 60)));
                if mutates {
                    land(self, now);
                } else {
                    let answer = self.look(now, effect, second);
                    self.plan(late, Happening::Answer(answer));
                }
            }
            237 => self.plan(at, fail(ErrorKind::PermissionDenied, Retry::Never, Applied::No)),
            238 => self.plan(at, fail(ErrorKind::NotFound, Retry::Never, Applied::No)),
            // Lost, and never done.
            239 | 240 => {}
        }
    }

    fn look(&self, now: Timestamp, effect: &Effect, die: u8) -> Event {
        match effect {
            Effect::TakeSnapshot { zone, .. } => {
                // Now and then the read is behind.
                let behind = usize::from(die >= 244);
                let at = self.versions.len().saturating_sub(1 + behind);
                let version = &self.versions[at];
                Event::SnapshotTaken(Box::new(Snapshot {
                    at: now,
                    zone: zone.clone(),
                    record: version.record.clone(),
                    marker: version.marker.clone(),
                }))
            }
            Effect::CheckTarget { data } => {
                let limit = if data.same_target(&self.to) {
                    self.script.new_fails
                } else {
                    self.script.old_fails
                };
                let healthy = match die {
                    246.. => None,
                    0..=245 => Some(!self.past(now, limit)),
                };
                Event::TargetChecked(TargetCheck {
                    at: now,
                    healthy,
                    evidence: Vec::new(),
                })
            }
            Effect::SeePropagation { change } => {
                let in_sync = self.changes.get(change).copied().unwrap_or(Timestamp::MAX);
                Event::PropagationSeen(if now >= in_sync {
                    Propagation::InSync
                } else {
                    Propagation::Pending
                })
            }
            Effect::AskAuthoritative { expected, .. } => {
                let servable: Vec<_> = self.servable(now).collect();
                let answers = (0..4_u8).map(|n| {
                    let version = servable[usize::from(die.wrapping_add(n)) % servable.len()];
                    AuthoritativeAnswer {
                        server: format!("ns-{n}"),
                        at: now,
                        matches: (die < 200 || n % 2 == 0).then(|| version.record.as_ref() == Some(expected)),
                        detail: format!("{:?}", version.record),
                    }
                });
                Event::Answered(answers.collect())
            }
            Effect::SeeOldTraffic { .. } => Event::OldTrafficSeen(OldTraffic {
                at: now,
                requests_per_minute: match die {
                    235.. => None,
                    225..=234 => Some(50),
                    0..=224 if self.past(now, self.script.old_empties) => Some(u64::from(die % 6)),
                    0..=224 => Some(500),
                },
            }),
            Effect::Apply { .. } => unreachable!("a write is not a look"),
        }
    }

    /// What happens at a moment: an event for the machine, if any.
    fn happen(&mut self, now: Timestamp, what: Happening) -> Option<Event> {
        match what {
            Happening::Land { batch, id, roll } => {
                if let Ok(in_sync) = self.land(now, &batch, roll) {
                    self.changes.insert(id, in_sync);
                }
                None
            }
            Happening::Answer(event) => Some(event),
            Happening::Abort => Some(Event::Abort),
            Happening::Foreign(data) => {
                let in_sync = self.now_says().in_sync.max(now);
                self.versions.push(Version {
                    from: now,
                    in_sync,
                    record: Some(record(data)),
                    marker: None,
                    foreign: true,
                });
                None
            }
        }
    }
}

/// Drives a machine to its end, and lets everything that is still under way land.
pub(super) fn drive(spec: &Spec, policy: &Policy, script: Script) -> (Walk<Cutover>, World) {
    let start = secs(10_000);
    let mut world = World::new(script, spec, start);
    let mut walk = Walk::new(Cutover::new(spec.clone(), policy.clone()));
    let mut now = start;
    let mut effects = walk.give(now, Event::Start).expect("a start");
    for _ in 0..5_000 {
        for effect in core::mem::take(&mut effects) {
            world.perform(now, &effect);
        }
        let next = world.queue.keys().next().copied();
        let deadline = walk.machine.deadline().map(|deadline| deadline.at);
        match (next, deadline) {
            (Some(key), _) if deadline.is_none_or(|at| key.0 <= at) => {
                now = now.max(key.0);
                let what = world.queue.remove(&key).expect("it is the next");
                if let Some(event) = world.happen(now, what) {
                    effects = walk.give(now, event).expect("never refused");
                }
            }
            (_, Some(at)) => {
                now = now.max(at);
                effects = walk.give(now, Event::Elapsed).expect("never refused");
            }
            (_, None) => return (walk, world),
        }
    }
    panic!("it never ends: {:?}", walk.machine);
}
