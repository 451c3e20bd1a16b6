//! What EventBridge tells of ECS, and the queues that it tells it to.
//!
//! A rule of an environment (`World::feed`) sends its events to a queue of SQS: `ECS Deployment State Change`, `ECS Task State
//! Change` and `ECS Service Action`, in the shapes of the Amazon ECS developer guide. Delivery is at least once, in no promised
//! order, after a while; [`Delivery`] says how badly.
//!
//! Nothing here changes the world that it tells of: it is found out by comparing, after everything that happens, and only where
//! there is a queue. Its dice are its own, so that a world with a queue runs as the same world without one.

mod body;
mod queue;
mod watch;

use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) use self::queue::Queue;
#[cfg(feature = "endpoint")]
pub(crate) use self::queue::{BATCH, Received};
use self::watch::Known;
use crate::kernel::{Happening, plus};
use crate::rng::{Dice, Span, Stream};
use crate::world::{Unknown, World};

/// How events get to a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// How long it takes.
    pub delay: Span,
    /// How many of a thousand come twice, the second time after a delay of its own.
    pub twice: u32,
    /// How many of a thousand are late, by this much besides.
    pub late: u32,
    /// How late.
    pub lateness: Span,
    /// How many of a thousand never come.
    pub lost: u32,
}

impl Default for Delivery {
    /// Between 50 and 400 ms, each once; ours: AWS promises "near real time" and at least once.
    fn default() -> Self {
        Self {
            delay: Span::millis(50, 400),
            twice: 0,
            late: 0,
            lateness: Span::exactly(0),
            lost: 0,
        }
    }
}

impl Delivery {
    /// Much comes twice, late, in another order, or not at all.
    pub const POOR: Self = Self {
        delay: Span::millis(50, 3_000),
        twice: 200,
        late: 100,
        lateness: Span::secs(10, 120),
        lost: 100,
    };

    /// Nothing comes.
    pub const SILENT: Self = Self {
        delay: Span::exactly(0),
        twice: 0,
        late: 0,
        lateness: Span::exactly(0),
        lost: 1_000,
    };
}

/// A rule: the events of an environment go to a queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Rule {
    env: u16,
    queue: usize,
    delivery: Delivery,
}

/// All queues, the rules that feed them, and what they were told last.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Events {
    pub(crate) queues: Vec<Queue>,
    rules: Vec<Rule>,
    known: Vec<(u16, Known)>,
    dice: Dice,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            queues: Vec::new(),
            rules: Vec::new(),
            known: Vec::new(),
            // "sqs", so that it is no seed of a world.
            dice: Dice::new(0x0073_7173),
        }
    }
}

impl Events {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed ^ 0x0073_7173_0000_0000),
            ..Self::default()
        }
    }

    fn rule_of(&mut self, env: u16, queue: &str) -> Option<&mut Rule> {
        let queues = &self.queues;
        self.rules
            .iter_mut()
            .find(|rule| rule.env == env && queues.get(rule.queue).is_some_and(|q| q.name == queue))
    }

    /// Sends one event to every queue that wants it.
    fn send(&mut self, now: Timestamp, env: u16, body: &str) {
        for rule in self.rules.iter().filter(|rule| rule.env == env) {
            let Some(queue) = self.queues.get_mut(rule.queue) else {
                continue;
            };
            let dice = &mut self.dice;
            let mut of_thousand = |share: u32| dice.below(Stream::Scheduler, 1_000) < u64::from(share);
            if of_thousand(rule.delivery.lost) {
                continue;
            }
            let (late, twice) = (of_thousand(rule.delivery.late), of_thousand(rule.delivery.twice));
            let mut delay = dice.draw(Stream::Scheduler, rule.delivery.delay);
            if late {
                delay += dice.draw(Stream::Scheduler, rule.delivery.lateness);
            }
            let id = dice.uuid();
            queue.put(plus(now, delay), &id, body);
            if twice {
                let again = delay + dice.draw(Stream::Scheduler, rule.delivery.delay);
                queue.put(plus(now, again), &id, body);
            }
        }
    }
}

/// What may have changed.
#[derive(Clone, Copy, Debug)]
enum Scope {
    Task(u16, u64),
    Service(u16, u16),
    Environment(u16),
    Nothing,
}

impl Scope {
    fn of(what: Happening) -> Option<Self> {
        Some(match what {
            Happening::Phase { env, task, .. }
            | Happening::Exit { env, task, .. }
            | Happening::Health { env, task, .. } => Self::Task(env, task),
            Happening::Reconcile { env, service } | Happening::Watch { env, service } => {
                Self::Service(env, service)
            }
            Happening::Incident { .. } => return None,
            Happening::Alarm { .. }
            | Happening::Lifecycle { .. }
            | Happening::Metrics { .. }
            | Happening::Certificate { .. }
            | Happening::HealthCheck { .. } => Self::Nothing,
        })
    }
}

impl World {
    /// Makes a queue, if there is none of this name, and a rule that sends every event of the environment's ECS to it. The answer is
    /// its URL.
    ///
    /// # Errors
    /// [`Unknown`] when the environment does not exist; [`Unknown::Refused`] for a name that no queue can have.
    pub fn feed(&mut self, environment: &str, queue: &str) -> Result<String, Unknown> {
        let now = self.now();
        let env = self.env(environment)?;
        let (index, account, region) = (env.index, env.account.clone(), env.region.clone());
        if !queue::is_name(queue) {
            let text = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length";
            return Err(Unknown::Refused(text.to_owned()));
        }
        if self.events.rules.is_empty() {
            self.events.dice = Events::new(self.seed).dice;
        }
        let place = (account.as_str(), region.as_str());
        let known = self.events.queues.iter().position(|q| q.is_at(place, queue));
        let at = known.unwrap_or_else(|| {
            self.events.queues.push(Queue::new(place, queue, now));
            self.events.queues.len() - 1
        });
        let url = self.events.queues[at].url();
        if self.events.rule_of(index, queue).is_none() {
            self.events.rules.push(Rule {
                env: index,
                queue: at,
                delivery: Delivery::default(),
            });
            if !self.events.known.iter().any(|(env, _)| *env == index) {
                let known = Known::of(&self.environments[usize::from(index)]);
                self.events.known.push((index, known));
            }
        }
        Ok(url)
    }

    /// Says how an environment's events get to a queue from now on.
    ///
    /// # Errors
    /// [`Unknown`] when there is no such environment, or no rule of it with such a queue.
    pub fn deliver(&mut self, environment: &str, queue: &str, delivery: Delivery) -> Result<(), Unknown> {
        let env = self.env(environment)?.index;
        let missing = || Unknown::Refused(format!("no rule of {environment} has the queue {queue}"));
        self.events.rule_of(env, queue).ok_or_else(missing)?.delivery = delivery;
        Ok(())
    }

    /// Deletes a queue with all that is in it. Its rules go on, to nobody.
    ///
    /// # Errors
    /// [`Unknown`] when there is no such environment or queue.
    pub fn delete_queue(&mut self, environment: &str, queue: &str) -> Result<(), Unknown> {
        let env = self.env(environment)?;
        let place = (env.account.clone(), env.region.clone());
        let at = (place.0.as_str(), place.1.as_str());
        let found = self.events.queues.iter_mut().find(|q| q.is_at(at, queue));
        let missing = || Unknown::Refused(format!("there is no queue {queue}"));
        found.ok_or_else(missing)?.delete();
        Ok(())
    }

    /// How many messages are in a queue, those that are on their way or in somebody's hands included.
    ///
    /// # Errors
    /// [`Unknown`] when there is no such environment or queue.
    pub fn queued(&self, environment: &str, queue: &str) -> Result<usize, Unknown> {
        let env = self.env(environment)?;
        let place = (env.account.as_str(), env.region.as_str());
        let found = self.events.queues.iter().find(|q| q.is_at(place, queue));
        let missing = || Unknown::Refused(format!("there is no queue {queue}"));
        Ok(found.ok_or_else(missing)?.len())
    }

    /// Something has happened: what is there to tell?
    pub(crate) fn tell_of(&mut self, what: Happening) {
        if self.events.rules.is_empty() {
            return;
        }
        match Scope::of(what) {
            Some(scope) => self.tell(scope),
            None => self.tell_all(),
        }
    }

    /// Somebody has acted: what is there to tell?
    pub(crate) fn tell_all(&mut self) {
        for index in 0..self.events.known.len() {
            self.tell(Scope::Environment(self.events.known[index].0));
        }
    }

    fn tell(&mut self, scope: Scope) {
        let env = match scope {
            Scope::Task(env, _) | Scope::Service(env, _) | Scope::Environment(env) => env,
            Scope::Nothing => return,
        };
        let now = self.now();
        let environment = &self.environments[usize::from(env)];
        let Some((_, known)) = self.events.known.iter_mut().find(|(known, _)| *known == env) else {
            return;
        };
        let mut told = Vec::new();
        match scope {
            Scope::Task(_, task) => known.task(environment, task, &mut told),
            Scope::Service(_, service) => known.service(environment, service, &mut told),
            Scope::Environment(_) => known.all(environment, &mut told),
            Scope::Nothing => {}
        }
        for change in told {
            let id = self.events.dice.uuid();
            let body = body::of(&self.environments[usize::from(env)], now, &id, &change);
            if let Some(body) = body {
                self.events.send(now, env, &body);
            }
        }
    }
}

#[cfg(test)]
mod tests;
