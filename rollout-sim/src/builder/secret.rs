//! Describes secrets.

use rollout_core::time::Timestamp;

use super::BuildError;
use crate::ecs::Environment;
use crate::secret::{Held, Reference, Refused, Secrets, whole_name};

/// A secret that was described.
#[derive(Clone, Debug)]
pub(super) struct SecretPlan {
    /// Its name, or its ARN.
    named: String,
    value: Held,
}

impl SecretPlan {
    pub(super) fn new(named: &str, value: &str) -> Self {
        Self {
            named: named.to_owned(),
            value: Held::Text(value.to_owned()),
        }
    }

    pub(super) fn build(
        self,
        secrets: &mut Secrets,
        now: Timestamp,
        env: &Environment,
    ) -> Result<(), BuildError> {
        let wrong = || BuildError::Secret(self.named.clone());
        let here = env.home();
        let (place, name) = if self.named.starts_with("arn:") {
            let arn = Reference::read(&self.named).filter(|r| r.arn == self.named);
            let arn = arn.ok_or_else(wrong)?;
            let (name, suffix) = whole_name(arn.name).ok_or_else(wrong)?;
            ((arn.account, arn.region), (name, Some(suffix)))
        } else {
            (here, (self.named.as_str(), None))
        };
        match secrets.describe(now, place, name, self.value.clone()) {
            Ok(()) => Ok(()),
            Err(Refused::Exists(name)) => Err(BuildError::Twice { what: "secret", name }),
            Err(_) => Err(wrong()),
        }
    }
}
