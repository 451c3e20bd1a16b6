//! What no run may do to the service or say of it.

use rollout_core::id::{DeploymentId, TaskDefinitionArn};
use rollout_core::machine::deployment::{Effect, Outcome, Target};

use super::{By, Dep, Deployer, EcsWorld, Far, deployment, number_of, revision};

impl EcsWorld {
    /// Whether someone but this runner has acted.
    #[must_use]
    pub const fn foreign_to(&self, who: Deployer) -> bool {
        self.foreign || self.written & !who.bit() != 0
    }

    /// Whether this runner has changed the service, or still may.
    #[must_use]
    pub fn touched_by(&self, who: Deployer) -> bool {
        self.written & who.bit() != 0 || self.late.as_ref().is_some_and(|late| late.by == who)
    }

    /// Whether a write may rest on this assumption: never on a deployment of someone else (I-5, I-6), unless that is what
    /// the runner captured before its first change, or runs its own revision: a write of its own may have been lost.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn allow<'a>(
        &self,
        who: Deployer,
        captured: Option<&DeploymentId>,
        effects: impl IntoIterator<Item = &'a Effect>,
    ) -> Result<(), String> {
        for effect in effects {
            let assumes = match effect {
                Effect::UpdateService(change) => &change.assumes,
                Effect::Restore { assumes, .. } => assumes,
                Effect::TurnBack { assumes, .. } => &Some(assumes.clone()),
                Effect::EnsureRevision(_) | Effect::Observe { .. } => continue,
            };
            let Some(assumed) = assumes else {
                return Err("I-5: a write that assumes nothing".to_owned());
            };
            let was = self.was.iter().flat_map(|(was, _)| &was.deployments);
            let mut known = self.service.deployments.iter().chain(was);
            let foreign = |dep: &Dep| match dep.by {
                By::Other => true,
                By::Us(number) => number != who.number && dep.revision != who.revision,
                By::Before | By::Platform => false,
            };
            if captured != Some(assumed) && known.any(|dep| foreign(dep) && deployment(dep.id) == *assumed) {
                return Err(format!("I-6: a write over someone else's deployment {assumed}"));
            }
        }
        Ok(())
    }

    /// Whether the service runs a revision, all of it, and nothing of this runner can come any more.
    #[must_use]
    pub fn is_back(&self, who: Deployer, to: u8) -> bool {
        let primary = self.primary();
        primary.is_some_and(|primary| primary.revision == to && primary.far == Far::Done)
            && self
                .late
                .as_ref()
                .is_none_or(|late| late.by != who || late.revision == to)
    }

    /// What is said of the service going back: it runs what it ran before, or someone has come since.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn bears_back(&self, who: Deployer, to: &TaskDefinitionArn) -> Result<(), String> {
        let to = number_of(to);
        let was = self.was.as_ref().and_then(|(was, _)| was.deployments.first());
        let stale = was.is_some_and(|was| was.revision == to && was.far == Far::Done);
        if self.is_back(who, to) || (self.foreign_to(who) && stale) {
            Ok(())
        } else {
            Err("I-13: it is said to be back, and is not, or may not stay so".to_owned())
        }
    }

    /// What is said of the release: it was PRIMARY and done, and still is, but for what a stale read hides.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn bears_release(
        &self,
        who: Deployer,
        of: &DeploymentId,
        task_definition: &TaskDefinitionArn,
    ) -> Result<(), String> {
        let mut proven = self.proven.iter();
        let proven = proven.any(|(id, number)| deployment(*id) == *of && *number == who.revision);
        if *task_definition != revision(who.revision) || !proven {
            return Err(format!("I-12: {of} is claimed and never was PRIMARY and done"));
        }
        let now = self
            .primary()
            .is_some_and(|primary| deployment(primary.id) == *of);
        let was = self.was.as_ref().and_then(|(was, _)| was.deployments.first());
        if now || was.is_some_and(|was| deployment(was.id) == *of) {
            Ok(())
        } else {
            Err(format!("I-12: {of} is claimed and is not PRIMARY"))
        }
    }

    /// What an outcome claims, against the world.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn hold(&self, who: Deployer, target: &Target, outcome: &Outcome) -> Result<(), String> {
        match (target, outcome) {
            (
                Target::Release { .. },
                Outcome::Deployed {
                    deployment,
                    task_definition,
                    ..
                },
            ) => self.bears_release(who, deployment, task_definition),
            (Target::Restore { point, .. }, Outcome::Deployed { .. }) => {
                self.bears_back(who, &point.task_definition)
            }
            (_, Outcome::Superseded { .. }) if !self.foreign_to(who) && !self.platform => {
                Err("I-6: superseded by nobody".to_owned())
            }
            (_, Outcome::Failed { touched: false, .. }) if self.touched_by(who) => {
                Err("I-13: it is said not to be touched, and is".to_owned())
            }
            (
                Target::Release { .. } | Target::Restore { .. },
                Outcome::Failed { .. } | Outcome::Superseded { .. },
            ) => Ok(()),
        }
    }
}
