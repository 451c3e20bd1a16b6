//! Describes a world before it begins.

use rollout_core::id::{EnvironmentName, InvalidId};
use rollout_core::time::Timestamp;

use crate::event::Events;
use crate::faults::Calls;
use crate::kernel::Kernel;
use crate::parameter::{Parameters, Refused};
use crate::secret::Secrets;
use crate::waf::WebAcls;
use crate::world::World;

pub(crate) mod balancer;
mod environment;
mod secret;
mod service;
mod waf;
mod zone;

pub use balancer::BalancerBuilder;
pub use environment::EnvironmentBuilder;
pub use service::ServiceBuilder;
pub use waf::WebAclBuilder;
pub use zone::ZoneBuilder;

/// 2026-01-05T09:00:00Z, a Monday morning: when a world begins unless it is told otherwise.
pub const BEGINNING: Timestamp = Timestamp::from_millis(1_767_603_600_000);

/// Why a world cannot be built. `Display` is one fragment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A name is not well formed.
    #[error(transparent)]
    Name(#[from] InvalidId),
    /// Something is named that was not described.
    #[error("{what} {name} was not described")]
    Missing {
        /// Its kind.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Something is described twice.
    #[error("{what} {name} is described twice")]
    Twice {
        /// Its kind.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A name or an ARN that no secret can have.
    #[error("{0} is neither the name nor the ARN of a secret")]
    Secret(String),
    /// A parameter is wrong.
    #[error("the parameter {name}: {why}")]
    Parameter {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// A web ACL is wrong.
    #[error("the web ACL {name}: {why}")]
    WebAcl {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// A task definition is wrong.
    #[error("the task definition of {service}: {why}")]
    TaskDefinition {
        /// The service.
        service: String,
        /// Why.
        why: String,
    },
}

impl BuildError {
    pub(crate) fn missing(what: &'static str, name: impl Into<String>) -> Self {
        Self::Missing {
            what,
            name: name.into(),
        }
    }
}

/// Describes a world. See the [crate's documentation](crate) for an example.
#[derive(Clone, Debug)]
pub struct WorldBuilder {
    seed: u64,
    now: Timestamp,
    environments: Vec<EnvironmentBuilder>,
    zones: Vec<ZoneBuilder>,
}

impl WorldBuilder {
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            seed,
            now: BEGINNING,
            environments: Vec::new(),
            zones: Vec::new(),
        }
    }

    /// When the world begins; [`BEGINNING`] unless told otherwise.
    #[must_use]
    pub const fn starting_at(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    /// Adds an environment.
    #[must_use]
    pub fn environment(
        mut self,
        name: &str,
        describe: impl FnOnce(EnvironmentBuilder) -> EnvironmentBuilder,
    ) -> Self {
        self.environments.push(describe(EnvironmentBuilder::new(name)));
        self
    }

    /// Adds a hosted zone.
    #[must_use]
    pub fn zone(mut self, id: &str, name: &str, describe: impl FnOnce(ZoneBuilder) -> ZoneBuilder) -> Self {
        self.zones.push(describe(ZoneBuilder::new(id, name)));
        self
    }

    /// Builds the world: settled services run and are healthy.
    ///
    /// # Errors
    /// [`BuildError`] when a name is not well formed, or something is missing or described twice.
    pub fn build(self) -> Result<World, BuildError> {
        let mut world = World {
            seed: self.seed,
            kernel: Kernel::new(self.seed, self.now),
            environments: Vec::new(),
            zones: Vec::new(),
            certificates: Vec::new(),
            events: Events::default(),
            secrets: Secrets::default(),
            parameters: Parameters::default(),
            web_acls: WebAcls::default(),
            checks: Vec::new(),
            planned: Vec::new(),
            faults: Vec::new(),
            quotas: crate::quota::Quotas::off(),
            calls: Calls::default(),
            took_effect: false,
        };
        let mut references = Vec::new();
        for (mut environment, index) in self.environments.into_iter().zip(0_u16..) {
            let secrets = core::mem::take(&mut environment.secrets);
            let parameters = core::mem::take(&mut environment.parameters);
            let named = core::mem::take(&mut environment.references);
            references.extend(named.into_iter().map(|named| (index, named)));
            let acls = core::mem::take(&mut environment.acls);
            let name = EnvironmentName::new(environment.name.as_str())?;
            if world.environments.iter().any(|e| e.name == name) {
                return Err(BuildError::Twice {
                    what: "environment",
                    name: name.into(),
                });
            }
            let built = environment.build(&mut world.kernel, index, name)?;
            for acl in acls {
                acl.build(&mut world.web_acls, self.now, &built)?;
            }
            for secret in secrets {
                secret.build(&mut world.secrets, self.now, &built)?;
            }
            for parameter in parameters {
                let name = parameter.name.clone();
                world
                    .parameters
                    .put(self.now, built.home(), parameter)
                    .map_err(|refused| match refused {
                        Refused::Exists => BuildError::Twice {
                            what: "parameter",
                            name: name.clone(),
                        },
                        wrong => BuildError::Parameter {
                            name: name.clone(),
                            why: wrong.to_string(),
                        },
                    })?;
            }
            world.environments.push(built);
        }
        world.assume_secrets(&references);
        for zone in self.zones {
            let built = zone.build(&mut world)?;
            world.zones.push(built);
        }
        Ok(world)
    }
}

/// The DNS name of a load balancer that is described somewhere else.
pub(crate) fn name_of_balancer(name: &str, environment: &str, region: &str) -> String {
    balancer::balancer_name(name, environment, region)
}
