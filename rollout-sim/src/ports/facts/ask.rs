//! One gathering of facts: calls are counted, and what may not be asked is unknown.

use rollout_core::readiness::fact::Snapshot;
use rollout_core::readiness::intent::Intent;
use rollout_core::readiness::known::{Known, Table, Unseen, Why};

use crate::ecs::Environment;
use crate::facts::told;
use crate::world::World;

/// A gathering under way.
pub(super) struct Asking<'a> {
    pub(super) world: &'a World,
    pub(super) env: &'a Environment,
    pub(super) intent: &'a Intent,
    pub(super) facts: Snapshot,
}

impl<'a> Asking<'a> {
    pub(super) fn new(world: &'a World, env: &'a Environment, intent: &'a Intent) -> Self {
        Self {
            world,
            env,
            intent,
            facts: Snapshot {
                at: world.now(),
                ..Snapshot::default()
            },
        }
    }

    /// What stands around the environment, if anybody has said it.
    pub(super) fn around(&self) -> Option<&'a Snapshot> {
        self.env.surroundings.told.as_deref()
    }

    /// Makes a call.
    pub(super) fn call(&mut self, call: &str, subject: &str) -> Result<(), Unseen> {
        let count = self.facts.calls.entry(call.to_owned()).or_insert(0);
        *count = count.saturating_add(1);
        allowed(self.env, call, subject)
    }

    /// What one call tells.
    pub(super) fn told<T>(
        &mut self,
        call: &str,
        subject: &str,
        answer: impl FnOnce() -> Known<T>,
    ) -> Known<T> {
        match self.call(call, subject) {
            Ok(()) => answer(),
            Err(unseen) => Known::Unknown(unseen),
        }
    }

    /// Part of a resource that another call tells: nothing is known of it when that may not be made.
    pub(super) fn part<T>(&mut self, call: &str, subject: &str, part: &mut Known<T>) {
        if let Err(unseen) = self.call(call, subject) {
            *part = Known::Unknown(unseen);
        }
    }

    /// What the surroundings say of a resource that the world has no notion of. There is no such thing where they do not speak of
    /// it, and nothing is known where there are none.
    pub(super) fn beside<T: Clone + 'a>(
        &self,
        name: &str,
        table: impl FnOnce(&'a Snapshot) -> &'a Table<T>,
    ) -> Known<T> {
        match self.around() {
            Some(around) => told(table(around), name).unwrap_or(Known::Missing),
            None => Known::Unknown(unsurrounded(name)),
        }
    }

    /// The same of a resource that a table of its own is not kept for.
    pub(super) fn as_around<T: Clone + 'a>(
        &self,
        name: &str,
        pick: impl FnOnce(&'a Snapshot) -> &'a Known<T>,
    ) -> Known<T> {
        match self.around() {
            Some(around) => pick(around).clone(),
            None => Known::Unknown(unsurrounded(name)),
        }
    }
}

/// Whether a call may be made.
pub(super) fn allowed(env: &Environment, call: &str, subject: &str) -> Result<(), Unseen> {
    if env.surroundings.denied.contains(call) {
        return Err(Unseen::new(
            Why::Denied,
            subject,
            format!("{call}: not authorised"),
        ));
    }
    Ok(())
}

fn unsurrounded(name: &str) -> Unseen {
    Unseen::new(Why::NotAsked, name, "the simulated cloud was not told of it")
}
