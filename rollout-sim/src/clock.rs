//! The handle that ports, clocks and tests share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rollout_core::port::{Clock, FactSource, Ports};
use rollout_core::time::Timestamp;

use crate::ports::{Facts, Port};
use crate::world::{Unknown, World};

/// A handle on a world: cheap to clone, all clones see the same world.
#[derive(Clone, Debug)]
pub struct SimCloud {
    world: Arc<Mutex<World>>,
}

impl SimCloud {
    /// Takes a world.
    #[must_use]
    pub fn new(world: World) -> Self {
        Self {
            world: Arc::new(Mutex::new(world)),
        }
    }

    /// Looks at the world, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.lock())
    }

    /// A copy of the world as it is now.
    #[must_use]
    pub fn world(&self) -> World {
        self.lock().clone()
    }

    /// The ports of a run that brings a release from `source` to `target`.
    ///
    /// # Errors
    /// [`Unknown::Environment`] when one does not exist.
    pub fn ports(&self, source: &str, target: &str) -> Result<Ports, Unknown> {
        let (source, target) = {
            let world = self.lock();
            (world.env(source)?.index, world.env(target)?.index)
        };
        let port = Arc::new(Port::new(self.clone(), source, target));
        Ok(Ports {
            source: Arc::new(Port::new(self.clone(), source, source)),
            target: port.clone(),
            images: port.clone(),
            gates: port.clone(),
            dns: port.clone(),
            rollback: port,
        })
    }

    /// What readiness checks judge of an environment. Where the release was proven is asked of `source`, if there is one. See
    /// [`World::surroundings_mut`] for what the world has no notion of, and [`World::deny`] for what may not be asked.
    ///
    /// # Errors
    /// [`Unknown::Environment`] when one does not exist.
    pub fn facts(&self, source: Option<&str>, target: &str) -> Result<Arc<dyn FactSource>, Unknown> {
        let world = self.lock();
        let index = |name: &str| Ok::<_, Unknown>(world.env(name)?.index);
        let (source, target) = (source.map(index).transpose()?, index(target)?);
        Ok(Arc::new(Facts::new(self.clone(), source, target)))
    }

    /// The world's clock: to sleep until a moment is to let the world get there, and returns at once.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SimClock { cloud: self.clone() })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        // A panic elsewhere does not make the world less true.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clock of [`SimCloud::clock`].
#[derive(Clone, Debug)]
struct SimClock {
    cloud: SimCloud,
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.cloud.lock().now()
    }

    async fn sleep_until(&self, moment: Timestamp) {
        self.cloud.lock().advance(moment);
    }
}
