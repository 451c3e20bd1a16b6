//! Whether the source environment has proven a digest.

use super::{Proven, Spec};
use crate::evidence::{Cause, Evidence, Reason};
use crate::id::ImageDigest;
use crate::service::{DeploymentObservation, RolloutState, RunningTask, ServiceObservation, ServiceStatus};
use crate::time::{Timestamp, human};

/// Where this evidence comes from.
const SOURCE: &str = "source environment";

/// How many tasks are quoted.
const QUOTED: usize = 10;

/// Proof, or why not. `now` bounds what the observation claims of its own moment.
pub(super) fn prove(
    spec: &Spec,
    digest: ImageDigest,
    seen: &ServiceObservation,
    now: Timestamp,
) -> Result<Proven, Reason> {
    let at = seen.at.min(now);
    let primary = settled(spec, seen, at)?;
    runs_only(spec, &digest, seen, at)?;
    let since = seen
        .tasks
        .iter()
        .filter_map(|task| task.started_at)
        .min()
        .unwrap_or(primary.created_at);
    let evidence = Evidence::new(
        at,
        SOURCE,
        spec.service.as_str(),
        format!(
            "{} running tasks, container {} of each at {digest} since {since}; deployment {} completed",
            seen.tasks.len(),
            spec.container,
            primary.id
        ),
    );
    let ran = at.since(since);
    if ran < spec.soak {
        return Err(Reason::new(
            Cause::SoakTooShort,
            format!(
                "{} has run {} for {}, {} is wanted; try again at {}",
                spec.service,
                digest.short(),
                human(ran),
                human(spec.soak),
                since.after(spec.soak)
            ),
        )
        .with([evidence]));
    }
    Ok(Proven {
        digest,
        evidence: vec![evidence],
    })
}

/// The service is there and its last deployment is over.
fn settled<'a>(
    spec: &Spec,
    seen: &'a ServiceObservation,
    at: Timestamp,
) -> Result<&'a DeploymentObservation, Reason> {
    match &seen.status {
        ServiceStatus::Active => {}
        ServiceStatus::Draining => return Err(unproven(spec, at, "is being deleted")),
        ServiceStatus::Missing => return Err(unproven(spec, at, "does not exist")),
        ServiceStatus::Other(word) => return Err(unproven(spec, at, &format!("is {word}"))),
    }
    let Some(primary) = seen.primary() else {
        return Err(unproven(spec, at, "has no deployment"));
    };
    let state = match &primary.rollout {
        RolloutState::Completed => return Ok(primary),
        RolloutState::InProgress => "in progress",
        RolloutState::Failed => "failed",
        RolloutState::Other(word) => word,
    };
    let reason = primary.reason.as_deref().unwrap_or("no reason given");
    let what = format!("has a deployment {} that is {state} ({reason})", primary.id);
    Err(unproven(spec, at, &what))
}

/// Every running task was seen, and runs exactly the digest.
fn runs_only(
    spec: &Spec,
    digest: &ImageDigest,
    seen: &ServiceObservation,
    at: Timestamp,
) -> Result<(), Reason> {
    if seen.tasks.is_empty() {
        return Err(unproven(spec, at, "has no running task"));
    }
    if u32::try_from(seen.tasks.len()).is_ok_and(|listed| listed < seen.running) {
        let what = format!(
            "runs {} tasks, of which {} were seen",
            seen.running,
            seen.tasks.len()
        );
        return Err(unproven(spec, at, &what));
    }
    let others: Vec<&RunningTask> = seen
        .tasks
        .iter()
        .filter(|task| task.images.get(&spec.container) != Some(digest))
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    let what = format!(
        "does not run {} in container {} of {} of {} tasks",
        digest.short(),
        spec.container,
        others.len(),
        seen.tasks.len()
    );
    let quoted = others.into_iter().take(QUOTED).map(|task| {
        let runs = task
            .images
            .get(&spec.container)
            .map_or("an unknown digest", ImageDigest::as_str);
        let detail = format!("container {} runs {runs}", spec.container);
        Evidence::new(at, SOURCE, task.task.as_str(), detail)
    });
    Err(unproven(spec, at, &what).with(quoted))
}

fn unproven(spec: &Spec, at: Timestamp, what: &str) -> Reason {
    Reason::new(
        Cause::NotInSource,
        format!("{} of the source environment {what}", spec.service),
    )
    .with([Evidence::new(at, SOURCE, spec.service.as_str(), what)])
}
