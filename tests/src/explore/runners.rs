//! Several runners, each with its own machine, in one world.
//!
//! Where one machine alone is searched ([`Single`](super::Single)), time may pass while a call is under way at no cost. Here that is
//! a fault, as are a runner that sleeps and one that dies: each spends of the same few faults. Time passes for all at once, and
//! only when nobody who is awake has something to do. What a machine asks that has one true answer which nothing here can
//! change is answered at once.

use std::borrow::Cow;
use std::sync::Arc;

use core::time::Duration;

use rollout_core::error::{Applied, ErrorKind, ErrorRecord};
use rollout_core::machine::{Effect as _, Machine};
use rollout_core::time::Timestamp;
use serde::Serialize;

use super::canon::{EXPLAINING, Lens};
use super::failure;
use super::search::{Model, Move};
use super::single::{BEGIN, Call, Reply, Subject, short};

/// A call under way.
#[derive(Clone, Debug, Serialize)]
pub struct Asked<E> {
    call: Call<E>,
    /// Whether its answer takes time.
    slow: bool,
}

/// How a runner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum How {
    Awake,
    /// It does nothing, for so many steps of time at most.
    Asleep(u8),
    /// Its process is gone; another will go on with its journal after so many steps of time at most.
    Dead(u8),
}

/// A runner.
#[derive(Clone, Debug)]
pub struct Runner<M, E> {
    /// Its machine.
    pub machine: Arc<M>,
    calls: Vec<Asked<E>>,
    aborted: bool,
    how: How,
    /// The key of machine and calls at this moment.
    print: u128,
}

/// All of them.
#[derive(Clone, Debug)]
pub struct Crew<M: Machine, W> {
    /// By number.
    pub runners: Vec<Runner<M, M::Effect>>,
    /// Their world.
    pub world: W,
    /// By everyone's clock.
    pub now: Timestamp,
}

/// A world that several machines act in.
pub trait Shared<M: Subject>: Clone + core::fmt::Debug + Serialize + Send + Sync {
    /// The answer to what has only one that nothing here can change.
    fn certain(&self, now: Timestamp, by: u8, effect: &M::Effect) -> Option<M::Event>;

    /// Every way in which a call may be answered now.
    fn answers(&self, now: Timestamp, by: u8, call: &Call<M::Effect>, out: &mut Vec<Reply<Self, M::Event>>);

    /// A change whose port looks first and then writes: what it comes to once it has looked and found what it assumes. Another's
    /// change may come in between, for the platform compares nothing itself.
    fn looked(&self, effect: &M::Effect) -> Option<M::Effect>;

    /// The event of a call that failed.
    fn failed(&self, effect: &M::Effect, error: ErrorRecord) -> M::Event;

    /// Whatever else may happen now: worlds, no events.
    fn happenings(&self, now: Timestamp, out: &mut Vec<Reply<Self, M::Event>>);

    /// Time has passed: what is too old to matter is forgotten.
    fn pass(&mut self, now: Timestamp);

    /// The world after a fault, if there is one left.
    fn spend(&self) -> Option<Self>;

    /// Checks what a machine does on an event, and remembers what later checks need.
    ///
    /// # Errors
    /// The rule that is broken.
    fn judge(&mut self, act: &Act<'_, M>) -> Result<(), String>;

    /// The name of the end that an outcome is.
    fn end(outcome: &M::Outcome) -> &'static str;
}

/// What a machine has done.
#[derive(Debug)]
pub struct Act<'a, M: Machine> {
    /// When.
    pub now: Timestamp,
    /// Whose machine.
    pub by: u8,
    /// What it heard.
    pub event: &'a M::Event,
    /// What it asks for.
    pub effects: &'a [M::Effect],
    /// Before.
    pub before: &'a M,
    /// After.
    pub after: &'a M,
}

/// Several machines in one world as a model.
#[derive(Clone, Debug)]
pub struct Runners<M, W> {
    /// The machines before their start, and the world.
    pub begin: Vec<(Vec<M>, W)>,
    /// The step of time.
    pub tick: Duration,
    /// Whether a single answer may take time, too; where each runner waits for one call, one that sleeps is no different.
    pub slow: bool,
    /// For how many steps of time a runner sleeps, or stays dead, at most.
    pub absent: u8,
    /// How many of them may be aborted, the first ones.
    pub aborts: usize,
    /// What lies further back is one past.
    pub horizon: Duration,
    /// Further fields of these machines and this world that only explain.
    pub explaining: &'static [&'static str],
}

impl<M: Subject> Runner<M, M::Effect> {
    fn begun(&self) -> bool {
        self.machine.deadline().is_some()
    }

    fn ended(&self) -> bool {
        self.machine.outcome().is_some()
    }
}

impl<M: Subject, W: Shared<M>> Runners<M, W> {
    fn lens(&self, now: Timestamp) -> Lens {
        Lens {
            now,
            horizon: u64::try_from(self.horizon.as_millis()).unwrap_or(u64::MAX),
            without: [EXPLAINING, self.explaining],
        }
    }

    /// To be said whenever a runner's machine or calls have changed, or time has.
    fn print(&self, now: Timestamp, runner: &mut Runner<M, M::Effect>) {
        runner.print = self.lens(now).key(&(&*runner.machine, &runner.calls));
    }

    /// Tells one machine, and answers at once what has only one answer.
    fn give(&self, crew: Crew<M, W>, by: usize, event: M::Event) -> Result<Crew<M, W>, String> {
        let mut crew = self.tell(crew, by, event)?;
        self.print(crew.now, &mut crew.runners[by]);
        Ok(crew)
    }

    fn tell(&self, mut crew: Crew<M, W>, by: usize, event: M::Event) -> Result<Crew<M, W>, String> {
        let number = u8::try_from(by).expect("few runners");
        let mut told = vec![event];
        while let Some(event) = told.pop() {
            let before = Arc::clone(&crew.runners[by].machine);
            let mut after = M::clone(&before);
            let effects = after
                .handle(crew.now, event.clone())
                .map_err(|rejected| format!("it refuses an answer to its own effect: {rejected}"))?;
            if after.outcome().is_none() && after.deadline().is_none() {
                return Err("L-1: it waits without a deadline".to_owned());
            }
            crew.world.judge(&Act {
                now: crew.now,
                by: number,
                event: &event,
                effects: &effects,
                before: &before,
                after: &after,
            })?;
            let runner = &mut crew.runners[by];
            runner.machine = Arc::new(after);
            if runner.ended() {
                runner.calls.clear();
                return Ok(crew);
            }
            for effect in effects {
                match crew.world.certain(crew.now, number, &effect) {
                    Some(answer) => told.push(answer),
                    None => crew.runners[by].calls.push(Asked {
                        call: Call {
                            effect,
                            asked: crew.now,
                        },
                        slow: false,
                    }),
                }
            }
        }
        Ok(crew)
    }

    fn printed(&self, mut crew: Crew<M, W>, by: usize) -> Crew<M, W> {
        self.print(crew.now, &mut crew.runners[by]);
        crew
    }

    fn calls(&self, crew: &Crew<M, W>, by: usize, out: &mut Vec<Move<Crew<M, W>>>) {
        let number = u8::try_from(by).expect("few runners");
        for (index, asked) in crew.runners[by].calls.iter().enumerate() {
            let mut rest = crew.clone();
            rest.runners[by].calls.remove(index);
            let mut replies = Vec::new();
            crew.world.answers(crew.now, number, &asked.call, &mut replies);
            for reply in replies {
                let next = Crew {
                    world: reply.world,
                    ..rest.clone()
                };
                let to = match reply.event {
                    Some(event) => self.give(next, by, event),
                    None => Ok(self.printed(next, by)),
                };
                out.push(Move {
                    label: reply.label,
                    fair: reply.fair,
                    to,
                });
            }
            let others = crew
                .runners
                .iter()
                .enumerate()
                .any(|(other, runner)| other != by && !runner.ended());
            if let Some(effect) = crew.world.looked(&asked.call.effect).filter(|_| others) {
                let mut next = crew.clone();
                next.runners[by].calls[index].call.effect = effect;
                out.push(Move {
                    label: "a port has looked, and not written yet",
                    fair: true,
                    to: Ok(self.printed(next, by)),
                });
            }
            if let Some(world) = crew.world.spend().filter(|_| self.slow && !asked.slow) {
                let mut next = Crew {
                    world,
                    ..crew.clone()
                };
                next.runners[by].calls[index].slow = true;
                out.push(Move {
                    label: "an answer takes time",
                    fair: false,
                    to: Ok(self.printed(next, by)),
                });
            }
        }
    }

    /// What happens to a runner itself.
    fn fate(&self, crew: &Crew<M, W>, by: usize, out: &mut Vec<Move<Crew<M, W>>>) {
        let runner = &crew.runners[by];
        let mut push = |label, fair, to| out.push(Move { label, fair, to });
        match runner.how {
            How::Asleep(_) => {
                let mut next = crew.clone();
                next.runners[by].how = How::Awake;
                push("a runner wakes up", true, Ok(next));
                return;
            }
            How::Dead(_) => {
                push("another process goes on", true, self.resume(crew, by));
                return;
            }
            How::Awake => {}
        }
        if by < self.aborts && !runner.aborted {
            let mut next = crew.clone();
            next.runners[by].aborted = true;
            push("abort", false, self.give(next, by, M::abort()));
        }
        if runner
            .machine
            .deadline()
            .is_some_and(|deadline| crew.now >= deadline.at)
        {
            push("elapsed", true, self.give(crew.clone(), by, M::elapsed()));
        }
        let Some(world) = crew.world.spend() else { return };
        let with = |how| {
            let mut next = Crew {
                world: world.clone(),
                ..crew.clone()
            };
            next.runners[by].how = how;
            next
        };
        push("a runner sleeps", false, Ok(with(How::Asleep(self.absent))));
        push("a runner dies", false, Ok(with(How::Dead(self.absent))));
        for (label, world) in self.landings(&with(How::Dead(self.absent)), by) {
            let next = Crew {
                world,
                ..with(How::Dead(self.absent))
            };
            push(label, false, Ok(next));
        }
    }

    /// The worlds in which a change that a dead runner had asked for was made all the same.
    fn landings(&self, crew: &Crew<M, W>, by: usize) -> Vec<(&'static str, W)> {
        let number = u8::try_from(by).expect("few runners");
        let mut worlds = Vec::new();
        let changes = crew.runners[by]
            .calls
            .iter()
            .filter(|asked| asked.call.effect.mutates());
        for asked in changes {
            let mut replies = Vec::new();
            crew.world.answers(crew.now, number, &asked.call, &mut replies);
            let done = replies.into_iter().find(|reply| reply.fair);
            worlds.extend(done.map(|reply| ("a runner dies, its change is made", reply.world)));
        }
        worlds
    }

    /// Another process goes on with the journal: the same machine; a change without an answer is a lost answer, a question is
    /// asked again.
    fn resume(&self, crew: &Crew<M, W>, by: usize) -> Result<Crew<M, W>, String> {
        let mut next = crew.clone();
        next.runners[by].how = How::Awake;
        let (changes, mut questions): (Vec<_>, Vec<_>) = core::mem::take(&mut next.runners[by].calls)
            .into_iter()
            .partition(|asked| asked.call.effect.mutates());
        for asked in &mut questions {
            asked.call.asked = crew.now;
            asked.slow = false;
        }
        next.runners[by].calls = questions;
        for asked in changes {
            let lost = failure(ErrorKind::TimedOut, Applied::Maybe);
            let event = next.world.failed(&asked.call.effect, lost);
            next = self.tell(next, by, event)?;
        }
        Ok(self.printed(next, by))
    }

    /// Time passes when nobody who is awake has something to do.
    fn time(&self, crew: &Crew<M, W>) -> Option<Move<Crew<M, W>>> {
        let mut next = crew.clone();
        let mut someone = false;
        for runner in next
            .runners
            .iter_mut()
            .filter(|runner| runner.begun() && !runner.ended())
        {
            someone = true;
            match &mut runner.how {
                How::Awake => {
                    let prompt = runner.calls.iter().any(|asked| !asked.slow);
                    let due = runner
                        .machine
                        .deadline()
                        .is_some_and(|deadline| crew.now >= deadline.at);
                    if prompt || due {
                        return None;
                    }
                }
                How::Asleep(left) | How::Dead(left) => *left = left.checked_sub(1)?,
            }
        }
        if !someone {
            return None;
        }
        next.now = crew.now.after(self.tick);
        next.world.pass(next.now);
        for runner in &mut next.runners {
            self.print(next.now, runner);
        }
        Some(Move {
            label: "time passes",
            fair: true,
            to: Ok(next),
        })
    }
}

impl<M: Subject, W: Shared<M>> Model for Runners<M, W> {
    type State = Crew<M, W>;

    fn initial(&self) -> Vec<Crew<M, W>> {
        let runner = |machine: &M| Runner {
            machine: Arc::new(machine.clone()),
            calls: Vec::new(),
            aborted: false,
            how: How::Awake,
            print: 0,
        };
        let crew = |(machines, world): &(Vec<M>, W)| Crew {
            runners: machines.iter().map(runner).collect(),
            world: world.clone(),
            now: BEGIN,
        };
        self.begin.iter().map(crew).collect()
    }

    fn key(&self, crew: &Crew<M, W>) -> u128 {
        let runners: Vec<_> = crew
            .runners
            .iter()
            .map(|runner| (runner.print, runner.aborted, runner.how))
            .collect();
        self.lens(crew.now).key(&(runners, &crew.world))
    }

    fn moves(&self, crew: &Crew<M, W>, out: &mut Vec<Move<Crew<M, W>>>) {
        for (by, runner) in crew.runners.iter().enumerate() {
            if runner.ended() {
                continue;
            }
            if !runner.begun() {
                out.push(Move {
                    label: "start",
                    fair: true,
                    to: self.give(crew.clone(), by, M::start()),
                });
                continue;
            }
            if runner.how == How::Awake {
                self.calls(crew, by, out);
            }
            self.fate(crew, by, out);
        }
        let mut happenings = Vec::new();
        crew.world.happenings(crew.now, &mut happenings);
        out.extend(happenings.into_iter().map(|reply| Move {
            label: reply.label,
            fair: reply.fair,
            to: Ok(Crew {
                world: reply.world,
                ..crew.clone()
            }),
        }));
        out.extend(self.time(crew));
    }

    fn end(&self, crew: &Crew<M, W>) -> Option<Cow<'static, str>> {
        let ends: Option<Vec<&'static str>> = crew
            .runners
            .iter()
            .map(|runner| runner.machine.outcome().map(|outcome| W::end(&outcome)))
            .collect();
        match ends?.as_slice() {
            [one] => Some(Cow::Borrowed(one)),
            several => Some(Cow::Owned(several.join(" + "))),
        }
    }

    fn describe(&self, crew: &Crew<M, W>) -> String {
        let since = crew.now.since(BEGIN);
        let runner = |runner: &Runner<M, M::Effect>| {
            let calls: Vec<String> = runner
                .calls
                .iter()
                .map(|asked| short(&asked.call.effect))
                .collect();
            let waits = runner
                .machine
                .deadline()
                .map(|deadline| (deadline.at.since(BEGIN), deadline.why));
            let outcome = runner.machine.outcome().map(|outcome| short(&outcome));
            let state = runner.machine.state_kind();
            format!("{:?} {state:?} {waits:?} {outcome:?} {calls:?}", runner.how)
        };
        let runners: Vec<String> = crew.runners.iter().map(runner).collect();
        format!(
            "at {since:?}\n       {}\n       {:?}",
            runners.join("\n       "),
            crew.world
        )
    }
}
