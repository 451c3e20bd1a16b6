//! The steps of a plan, by name.

use super::{Draft, ServicePlan};
use crate::dns::RecordKey;
use crate::id::{ContainerName, ProbeName, ServiceName, StepId, TaskName};

/// The steps that a rollout looks for at every event, named once: to name one costs more than the look.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    /// In the order of the plan's services.
    services: Vec<ServiceSteps>,
    /// In the order of the plan's tasks.
    pub(crate) tasks: Vec<StepId>,
    /// In the order of the release's gates.
    pub(crate) gates: Vec<StepId>,
    /// In the order of the plan's records.
    pub(crate) cutovers: Vec<StepId>,
}

#[derive(Debug, PartialEq, Eq)]
struct ServiceSteps {
    own: StepId,
    gates: Vec<StepId>,
}

/// A service of a plan with its steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned<'a> {
    /// The service.
    pub(crate) plan: &'a ServicePlan,
    /// Its deployment.
    pub(crate) step: &'a StepId,
    /// Its gates, in the plan's order.
    pub(crate) gates: &'a [StepId],
}

impl Steps {
    pub(super) fn of(draft: &Draft) -> Self {
        let steps_of = |plan: &ServicePlan| ServiceSteps {
            own: service(&plan.name),
            gates: plan
                .gates
                .iter()
                .map(|of| gate(Some(&plan.name), &of.name))
                .collect(),
        };
        Self {
            services: draft.services.iter().map(steps_of).collect(),
            tasks: draft.tasks.iter().map(|plan| task(&plan.name)).collect(),
            gates: draft.gates.iter().map(|plan| gate(None, &plan.name)).collect(),
            cutovers: draft.cutovers.iter().map(|plan| cutover(&plan.key)).collect(),
        }
    }

    pub(super) fn with<'a>(&'a self, services: &'a [ServicePlan]) -> impl Iterator<Item = Planned<'a>> {
        services.iter().zip(&self.services).map(|(plan, steps)| Planned {
            plan,
            step: &steps.own,
            gates: &steps.gates,
        })
    }
}

fn named(text: &str) -> StepId {
    StepId::from_text(text)
}

/// The caller's identity.
#[must_use]
pub fn identity() -> StepId {
    named("check/identity")
}

/// The capture of a service's restore point.
#[must_use]
pub fn capture(service: &ServiceName) -> StepId {
    named(&format!("check/restore-point/{service}"))
}

/// Whether a service's restore point can still be gone back to.
#[must_use]
pub fn usable(service: &ServiceName) -> StepId {
    named(&format!("check/usable/{service}"))
}

/// An alarm probe before the start.
#[must_use]
pub fn alarm(gate: &StepId, probe: &ProbeName) -> StepId {
    named(&format!("check/{gate}/{probe}"))
}

/// The environment's readiness before the start.
#[must_use]
pub fn readiness() -> StepId {
    named("check/readiness")
}

/// A record before the start.
#[must_use]
pub fn record(key: &RecordKey) -> StepId {
    named(&format!("check/{}", cutover(key)))
}

/// The promotion of an image.
#[must_use]
pub fn image(service: &ServiceName, container: &ContainerName) -> StepId {
    named(&format!("image/{service}/{container}"))
}

/// A one-off task.
#[must_use]
pub fn task(task: &TaskName) -> StepId {
    named(&format!("task/{task}"))
}

/// A service's deployment.
#[must_use]
pub fn service(service: &ServiceName) -> StepId {
    named(&format!("service/{service}"))
}

/// A gate of a service, or of the release.
#[must_use]
pub fn gate(service: Option<&ServiceName>, gate: &ProbeName) -> StepId {
    match service {
        Some(service) => named(&format!("gate/{service}/{gate}")),
        None => named(&format!("gate/{gate}")),
    }
}

/// A record's cutover.
#[must_use]
pub fn cutover(key: &RecordKey) -> StepId {
    match &key.set_identifier {
        Some(id) => named(&format!("dns/{}/{}/{id}", key.name.normalised(), key.record_type)),
        None => named(&format!("dns/{}/{}", key.name.normalised(), key.record_type)),
    }
}

/// The last look at a service.
#[must_use]
pub fn confirm(service: &ServiceName) -> StepId {
    named(&format!("confirm/{service}"))
}

/// The undoing of a step.
#[must_use]
pub fn unwind(of: &StepId) -> StepId {
    named(&format!("unwind/{of}"))
}
