//! Where the service stands, seen from before we are bound to a deployment: may we write, need we write, must we yield?

use super::Target;
use super::judge::{self, Bound};
use crate::evidence::Reason;
use crate::id::{DeploymentId, ServiceName, TaskDefinitionArn};
use crate::service::{DeploymentObservation, RestorePoint, ServiceObservation, ServiceStatus};
use crate::time::Timestamp;

/// Where the service stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is no service any more.
    Gone(Reason),
    /// Nothing can be told from this look.
    Unclear(String),
    /// It goes to our target by this deployment, or did and was replaced since.
    Arrived(Box<DeploymentObservation>),
    /// It stands where we expect it: this is the PRIMARY deployment to assume.
    Writable(Option<DeploymentId>),
    /// Someone else deployed: never write.
    Foreign(Box<DeploymentObservation>),
}

/// What is asked, beside the target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) service: &'a ServiceName,
    pub(super) target: &'a Target,
    /// The revision that the target brings.
    pub(super) revision: &'a TaskDefinitionArn,
    /// When we first wrote, if that may have taken effect. What was made before, less `slack` between two clocks, is
    /// not ours.
    pub(super) asked_at: Option<Timestamp>,
    /// Before this moment a look may be a stale read.
    pub(super) fresh_from: Timestamp,
    pub(super) slack: core::time::Duration,
}

/// Answers it.
pub(super) fn standing(question: &Question<'_>, seen: &ServiceObservation) -> Standing {
    if let Some(reason) = judge::gone(question.service, seen) {
        return if seen.status == ServiceStatus::Missing && seen.at < question.fresh_from {
            Standing::Unclear(reason.text)
        } else {
            Standing::Gone(reason)
        };
    }
    if let Some(primary) = seen.primary()
        && primary.task_definition == *question.revision
    {
        return Standing::Arrived(Box::new(primary.clone()));
    }
    match question.target {
        Target::Release { assumes, .. } => before_release(question, seen, assumes.as_ref()),
        Target::Restore {
            point,
            ours,
            our_revision,
            fast: _,
        } => before_restore(seen, point, ours.as_ref(), our_revision.as_ref()),
    }
}

fn before_release(
    question: &Question<'_>,
    seen: &ServiceObservation,
    assumes: Option<&DeploymentId>,
) -> Standing {
    let Some(primary) = seen.primary() else {
        return match assumes {
            None => Standing::Writable(None),
            Some(_) => Standing::Unclear("the service shows no PRIMARY deployment".to_owned()),
        };
    };
    if assumes == Some(&primary.id) {
        return Standing::Writable(Some(primary.id.clone()));
    }
    // Our deployment may have come and been replaced already: then it is judged, not overlooked. One that an earlier
    // run left behind under the same revision is older than our write.
    let replaced = question.asked_at.and_then(|asked_at| {
        seen.deployments.iter().find(|deployment| {
            deployment.task_definition == *question.revision
                && deployment.created_at.after(question.slack) >= asked_at
        })
    });
    match replaced {
        Some(ours) => Standing::Arrived(Box::new(ours.clone())),
        None => Standing::Foreign(Box::new(primary.clone())),
    }
}

fn before_restore(
    seen: &ServiceObservation,
    point: &RestorePoint,
    ours: Option<&DeploymentId>,
    our_revision: Option<&TaskDefinitionArn>,
) -> Standing {
    let Some(primary) = seen.primary() else {
        return Standing::Unclear("the service shows no PRIMARY deployment".to_owned());
    };
    let is_ours = |deployment: &DeploymentObservation| {
        ours == Some(&deployment.id) || our_revision == Some(&deployment.task_definition)
    };
    let listed = ours
        .and_then(|id| seen.deployment(id))
        .or_else(|| seen.deployments.iter().find(|deployment| is_ours(deployment)));
    if is_ours(primary)
        || primary.id == point.deployment
        || (ours.is_some() || listed.is_some()) && judge::is_platforms_own(ours, listed, primary, seen)
    {
        return Standing::Writable(Some(primary.id.clone()));
    }
    Standing::Foreign(Box::new(primary.clone()))
}

/// Whether a forward change of ours may still be on its way, or hidden by a stale read: it was not seen to have come, and the
/// time in which it may come to light is not over. Then the way back is not claimed yet, whatever is PRIMARY.
pub(super) fn may_be_stale(
    target: &Target,
    bound: &Bound,
    seen: &ServiceObservation,
    slack: core::time::Duration,
) -> bool {
    match target {
        Target::Release { .. } => false,
        Target::Restore {
            ours, our_revision, ..
        } => {
            let listed = seen.deployments.iter().any(|deployment| {
                ours.as_ref() == Some(&deployment.id)
                    || our_revision.as_ref() == Some(&deployment.task_definition)
            });
            !listed && seen.at < bound.asked_at.after(slack)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::fixture::*;
    use super::*;
    use crate::service::{DeploymentRole, RolloutState};

    /// What a restore that knows this much of the forward change makes of a look.
    fn restoring(ours: Option<&str>, our_revision: Option<&str>, seen: &ServiceObservation) -> Standing {
        let (service, old) = (service(), revision(OLD_REVISION));
        let target = Target::Restore {
            point: point(),
            ours: ours.map(id),
            our_revision: our_revision.map(revision),
            fast: false,
        };
        let question = Question {
            service: &service,
            target: &target,
            revision: &old,
            asked_at: None,
            fresh_from: at(30),
            slack: core::time::Duration::from_secs(30),
        };
        standing(&question, seen)
    }

    /// The platform has put a third revision in the place of ours, which it does not list any more, and says so.
    fn put_back_by_the_platform(of: &str) -> ServiceObservation {
        let mut seen = steady(at(60), OTHER, OTHER_REVISION, at(50));
        seen.deployments[0].reason = Some(format!("ECS deployment circuit breaker: rolling back {of}"));
        seen
    }

    #[test]
    fn a_restore_knows_the_forward_change_by_its_deployment_or_by_its_revision() {
        let ours = after(at(60));
        let known = Standing::Writable(Some(id(NEW)));
        assert_eq!(restoring(Some(NEW), None, &ours), known);
        assert_eq!(restoring(None, Some(NEW_REVISION), &ours), known);
        assert_eq!(restoring(Some(NEW), Some(NEW_REVISION), &ours), known);
        // Another's deployment of another revision is neither.
        let theirs = steady(at(60), OTHER, OTHER_REVISION, at(50));
        for (ours, our_revision) in [
            (Some(NEW), None),
            (None, Some(NEW_REVISION)),
            (Some(NEW), Some(NEW_REVISION)),
            (None, None),
        ] {
            let standing = restoring(ours, our_revision, &theirs);
            assert!(matches!(standing, Standing::Foreign(_)), "{standing:?}");
        }
    }

    #[test]
    fn the_platforms_own_way_back_is_nobody_elses() {
        // Ours is known and not listed any more.
        let seen = put_back_by_the_platform(NEW);
        let writable = Standing::Writable(Some(id(OTHER)));
        assert_eq!(restoring(Some(NEW), None, &seen), writable);
        // Ours is not known, and listed under its revision.
        let mut seen = put_back_by_the_platform(NEW);
        let mut failed = listed(
            NEW,
            NEW_REVISION,
            DeploymentRole::Active,
            RolloutState::Failed,
            0,
            at(10),
        );
        failed.reason = Some(format!("ECS deployment circuit breaker: rolling back {NEW}"));
        seen.deployments.push(failed);
        assert_eq!(restoring(None, Some(NEW_REVISION), &seen), writable);
        // Nothing is known of ours: what the platform did to whom cannot be told.
        let seen = put_back_by_the_platform(NEW);
        assert!(matches!(restoring(None, None, &seen), Standing::Foreign(_)));
    }

    #[test]
    fn a_forward_change_that_was_not_seen_may_still_come() {
        let bound = |asked| Bound {
            deployment: id(OLD),
            task_definition: revision(OLD_REVISION),
            assumed: None,
            created_at: at(0),
            asked_at: asked,
            changed_at: asked,
            since: asked,
            visible_at: asked,
        };
        let stale = |ours: Option<&str>, our_revision: Option<&str>, seen: &ServiceObservation| {
            let target = Target::Restore {
                point: point(),
                ours: ours.map(id),
                our_revision: our_revision.map(revision),
                fast: false,
            };
            may_be_stale(&target, &bound(at(40)), seen, core::time::Duration::from_secs(30))
        };
        assert!(stale(Some(NEW), None, &before(at(60))));
        assert!(!stale(Some(NEW), None, &before(at(70))), "its time is over");
        // Listed, by the one or the other, it has come.
        let mut seen = before(at(60));
        seen.deployments
            .extend(after(at(60)).deployments.into_iter().map(|mut d| {
                d.role = DeploymentRole::Active;
                d
            }));
        assert!(!stale(Some(NEW), None, &seen));
        assert!(!stale(None, Some(NEW_REVISION), &seen));
        assert!(stale(Some(OTHER), Some(OTHER_REVISION), &seen));
    }
}
