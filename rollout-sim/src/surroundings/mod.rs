//! What stands around the tasks, records and images that the simulation moves: networks, roles, databases, budgets and so on.
//!
//! They are plain facts, kept in the world and changed only by a test's hand: nothing moves them. Where the world knows a
//! resource itself, it is told as it is there; see [`World::surroundings_mut`].

mod well_built;

use std::collections::BTreeSet;

use rollout_core::readiness::fact::Snapshot;
use serde::{Deserialize, Serialize};

use crate::world::{Unknown, World};

pub use well_built::well_built;

/// What stands around an environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Surroundings {
    /// `None` when nobody has said anything of them.
    pub(crate) told: Option<Box<Snapshot>>,
    /// Calls that may not be made while facts are gathered, such as `ec2:DescribeSubnets`.
    pub(crate) denied: BTreeSet<String>,
}

impl Surroundings {
    pub(crate) fn of(snapshot: Snapshot) -> Self {
        Self {
            told: Some(Box::new(snapshot)),
            denied: BTreeSet::new(),
        }
    }
}

impl World {
    /// What stands around an environment; `None` when nobody has said anything of it.
    ///
    /// # Errors
    /// [`Unknown`] when the environment does not exist.
    pub fn surroundings(&self, environment: &str) -> Result<Option<&Snapshot>, Unknown> {
        Ok(self.env(environment)?.surroundings.told.as_deref())
    }

    /// What stands around an environment, to change it: one fault at a time, for instance. It is what
    /// [`SimCloud::facts`](crate::SimCloud::facts) answers for everything that the world has no notion of, such as subnets, roles
    /// and databases. What the world knows itself is told as it is there, whatever stands here: services with their counts,
    /// target groups and their targets, images, secrets, records, the states of alarms. Of those, this only adds what the world
    /// was not told: the subnets of a service, say, or whether a load balancer may be deleted.
    ///
    /// ```
    /// use rollout_sim::{storefront, storefront_intent, surroundings};
    ///
    /// let mut world = storefront(1);
    /// let intent = storefront_intent(&world, "production")?;
    /// *world.surroundings_mut("production")? = surroundings::well_built(&world, "production", &intent)?;
    ///
    /// // Somebody opens the database to the world.
    /// let facts = world.surroundings_mut("production")?;
    /// facts.databases.seen_mut("storefront").expect("the storefront has one").public = true;
    /// # Ok::<(), rollout_sim::Unknown>(())
    /// ```
    ///
    /// # Errors
    /// [`Unknown`] when the environment does not exist.
    pub fn surroundings_mut(&mut self, environment: &str) -> Result<&mut Snapshot, Unknown> {
        Ok(self
            .env_mut(environment)?
            .surroundings
            .told
            .get_or_insert_default())
    }

    /// Lets whoever gathers facts of an environment not make a call any more, such as `ec2:DescribeSubnets`: what it would have
    /// told is unknown.
    ///
    /// # Errors
    /// [`Unknown`] when the environment does not exist.
    pub fn deny(&mut self, environment: &str, call: &str) -> Result<(), Unknown> {
        self.env_mut(environment)?
            .surroundings
            .denied
            .insert(call.to_owned());
        Ok(())
    }

    /// Takes a [denial](Self::deny) back.
    ///
    /// # Errors
    /// [`Unknown`] when the environment does not exist.
    pub fn permit(&mut self, environment: &str, call: &str) -> Result<(), Unknown> {
        self.env_mut(environment)?.surroundings.denied.remove(call);
        Ok(())
    }
}
