//! The plan of a rollout: plain, immutable, checked whole before anything begins (invariant I-1).

use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::dns::{RecordData, RecordKey};
use crate::id::{
    ContainerName, EnvironmentName, ProbeName, RepositoryName, RunId, ServiceName, TaskName, ZoneId,
};
use crate::machine::{cutover, deployment, gate, promotion, task, unwind};
use crate::probe::Subject;
use crate::service::Identity;
use crate::time::millis;

pub mod assumed;
pub mod document;
pub mod fleet;
pub mod rollback;
pub(crate) mod secret;
pub mod step;
pub mod window;
pub mod worst;

use rollback::{Proof, RollbackPolicy};
use step::{Planned, Steps};

/// Everything that a rollout will do, as its author writes it. Check it with [`RolloutPlan::check`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// The run.
    pub run: RunId,
    /// The release, for people.
    pub release: String,
    /// Where it was proven.
    pub from: EnvironmentName,
    /// Where it goes.
    pub to: EnvironmentName,
    /// Who the caller must be there.
    pub expects: ExpectedIdentity,
    /// The services, in the order in which people think of them.
    pub services: Vec<ServicePlan>,
    /// One-off tasks, each group in order.
    pub tasks: Vec<TaskPlan>,
    /// Gates of the whole release: after all services, before any record moves.
    pub gates: Vec<GatePlan>,
    /// Records, in order.
    pub cutovers: Vec<CutoverPlan>,
    /// What holds for the whole run.
    pub policy: RolloutPolicy,
}

/// Who the caller must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedIdentity {
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
    /// The caller's ARN, or its beginning followed by `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
}

impl ExpectedIdentity {
    /// What does not fit, in words; `None` when the caller is the expected one.
    #[must_use]
    pub fn mismatch(&self, seen: &Identity) -> Option<String> {
        let caller_fits = self
            .caller
            .as_deref()
            .is_none_or(|wanted| match wanted.strip_suffix('*') {
                Some(prefix) => seen.caller.starts_with(prefix),
                None => seen.caller == wanted,
            });
        if self.account != seen.account {
            Some(format!(
                "the caller is in account {}, the environment in {}",
                seen.account, self.account
            ))
        } else if self.region != seen.region {
            Some(format!(
                "the caller works in region {}, the environment is in {}",
                seen.region, self.region
            ))
        } else if !caller_fits {
            let wanted = self.caller.as_deref().unwrap_or_default();
            Some(format!(
                "the caller is {}, the environment expects {wanted}",
                seen.caller
            ))
        } else {
            None
        }
    }
}

/// One service of the release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePlan {
    /// Its name in the target environment.
    pub name: ServiceName,
    /// The services that must be done, gates included, before it begins.
    pub after: Vec<ServiceName>,
    /// The images that it brings: what is promoted, by container.
    pub images: BTreeMap<ContainerName, promotion::Spec>,
    /// What `register-task-definition --cli-input-json` takes.
    pub template: serde_json::Value,
    /// How patient its deployment is.
    pub deployment: deployment::Policy,
    /// Its gates, in order.
    pub gates: Vec<GatePlan>,
}

/// A gate without the change that it will judge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatePlan {
    /// Its name, unique within its service or within the release.
    pub name: ProbeName,
    /// See [`gate::Spec`].
    pub condition: gate::Condition,
    /// See [`gate::Spec`].
    pub probes: Vec<gate::ProbeSpec>,
    /// See [`gate::Spec`].
    #[serde(with = "millis")]
    pub warm_up: Duration,
    /// See [`gate::Spec`].
    #[serde(with = "millis")]
    pub bake: Duration,
    /// See [`gate::Spec`].
    #[serde(with = "millis")]
    pub give_up: Duration,
    /// See [`gate::Spec`].
    #[serde(with = "millis")]
    pub answer: Duration,
}

impl GatePlan {
    /// The gate for one change.
    #[must_use]
    pub fn judge(&self, subject: Subject) -> gate::Spec {
        gate::Spec {
            condition: self.condition.clone(),
            probes: self.probes.clone(),
            subject,
            warm_up: self.warm_up,
            bake: self.bake,
            give_up: self.give_up,
            answer: self.answer,
        }
    }
}

/// When a one-off task runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// After the images are there, before the first service.
    BeforeServices,
    /// After the last service and its gates, before the release's gates.
    AfterServices,
}

/// A one-off task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskPlan {
    /// Its name.
    pub name: TaskName,
    /// What `register-task-definition --cli-input-json` takes.
    pub template: serde_json::Value,
    /// Its images, by container: repositories (of the target) that the release promotes.
    pub images: BTreeMap<ContainerName, RepositoryName>,
    /// What `run-task --cli-input-json` takes besides.
    pub run: serde_json::Value,
    /// When it runs.
    pub when: When,
    /// Whether the last known good release can live with what it does. When it cannot, nothing goes back past it (I-20).
    pub reversible: bool,
    /// How patient it is.
    pub policy: task::Policy,
}

/// A record to cut over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutoverPlan {
    /// The zone.
    pub zone: ZoneId,
    /// The record.
    pub key: RecordKey,
    /// What it shall say.
    pub to: RecordData,
    /// The TTL while the change is under way, in seconds.
    pub lowered_ttl: u32,
    /// The plan says by name that the target may have no healthy target behind it.
    pub allow_unhealthy_target: bool,
    /// When the old side counts as drained.
    pub drain: Option<cutover::Drain>,
    /// How patient it is.
    pub policy: cutover::Policy,
}

/// What holds for the whole run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutPolicy {
    /// Between two tries of a look that failed, or that did not show success yet.
    #[serde(with = "millis")]
    pub retry_every: Duration,
    /// Consecutive failed calls of one look that end it.
    pub max_errors: u32,
    /// The longest time for all preconditions to be read.
    #[serde(with = "millis")]
    pub check: Duration,
    /// The longest time for the last look at all services.
    #[serde(with = "millis")]
    pub confirm: Duration,
    /// How much may change at once (invariant I-11).
    pub bounds: Bounds,
    /// How patient images are.
    pub promotion: promotion::Policy,
    /// How patient the way back is, for services.
    pub unwind_deployment: deployment::Policy,
    /// How patient the way back is, for records.
    pub unwind_cutover: cutover::Policy,
    /// What may go back, to what, and how. A plan that names no policy means what held before there was one.
    #[serde(default = "RollbackPolicy::before_there_was_one")]
    pub rollback: RollbackPolicy,
    /// How sure it must be that the environment is ready for the release ([`readiness`](crate::readiness)): with
    /// [`Proof::Known`] a blocking check that fails refuses it, with [`Proof::Proven`] one that cannot be judged does, too.
    #[serde(
        default = "Proof::before_it_was_asked",
        skip_serializing_if = "Proof::is_unasked"
    )]
    pub readiness: Proof,
}

impl RolloutPolicy {
    /// How the way back is gone.
    #[must_use]
    pub fn unwind(&self) -> unwind::Policy {
        unwind::Policy {
            fast: self.rollback.fast,
            deployment: self.unwind_deployment.clone(),
            cutover: self.unwind_cutover.clone(),
        }
    }
}

/// The blast radius: how much of the environment may be changing at the same time. Bounds are checked on what is about to
/// be done, not on what is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Services that may be between the old and the new release at once, gates included. At least 1.
    pub services_at_once: u32,
}

/// A plan that was checked. Cheap to clone: what cannot be changed is shared.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Draft")]
pub struct RolloutPlan(Arc<Checked>);

#[derive(PartialEq, Eq)]
struct Checked {
    draft: Draft,
    steps: Steps,
}

/// Everything that is wrong with a draft.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plan is not valid: {}", .0.join("; "))]
pub struct PlanErrors(pub Vec<String>);

impl RolloutPlan {
    /// Checks a draft whole. A plan that exists holds nothing that looks like a secret, and neither does the journal of its run
    /// (invariant I-28).
    ///
    /// # Errors
    /// [`PlanErrors`] lists everything that is wrong, each with its place.
    pub fn check(draft: Draft) -> Result<Self, PlanErrors> {
        let mut errors = Vec::new();
        check_secrets(&draft, &mut errors);
        Self::shaped(draft, errors)
    }

    /// Everything but what journals of older versions may hold.
    fn shaped(draft: Draft, mut errors: Vec<String>) -> Result<Self, PlanErrors> {
        check_services(&draft, &mut errors);
        check_gates(&draft, &mut errors);
        check_tasks(&draft, &mut errors);
        check_cutovers(&draft, &mut errors);
        if draft.policy.bounds.services_at_once == 0 {
            errors.push("no service may change at once: `services_at_once` must be at least 1".to_owned());
        }
        if draft.policy.rollback.max_age.is_some_and(|age| age.is_zero()) {
            errors.push(
                "a last known good release of any age would be too old: `max_age` must be longer than zero"
                    .to_owned(),
            );
        }
        if errors.is_empty() {
            let steps = Steps::of(&draft);
            Ok(Self(Arc::new(Checked { draft, steps })))
        } else {
            Err(PlanErrors(errors))
        }
    }

    /// The service of this name.
    #[must_use]
    pub fn service(&self, name: &ServiceName) -> Option<&ServicePlan> {
        self.services.iter().find(|service| &service.name == name)
    }

    pub(crate) fn steps(&self) -> &Steps {
        &self.0.steps
    }

    /// The services with their steps, in the plan's order.
    pub(crate) fn planned(&self) -> impl Iterator<Item = Planned<'_>> {
        self.0.steps.with(&self.services)
    }
}

impl fmt::Debug for RolloutPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RolloutPlan").field(&self.0.draft).finish()
    }
}

impl Serialize for RolloutPlan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.draft.serialize(serializer)
    }
}

impl core::ops::Deref for RolloutPlan {
    type Target = Draft;
    fn deref(&self) -> &Draft {
        &self.0.draft
    }
}

impl TryFrom<Draft> for RolloutPlan {
    type Error = PlanErrors;
    fn try_from(draft: Draft) -> Result<Self, PlanErrors> {
        Self::shaped(draft, Vec::new())
    }
}

impl From<RolloutPlan> for Draft {
    fn from(plan: RolloutPlan) -> Self {
        Arc::try_unwrap(plan.0).map_or_else(|shared| shared.draft.clone(), |checked| checked.draft)
    }
}

fn check_secrets(draft: &Draft, errors: &mut Vec<String>) {
    let services = draft.services.iter();
    let services = services.map(|service| (format!("{}: task definition", service.name), &service.template));
    let tasks = draft.tasks.iter().flat_map(|task| {
        [("task definition", &task.template), ("run", &task.run)]
            .map(|(what, value)| (format!("{}: {what}", task.name), value))
    });
    for (place, value) in services.chain(tasks) {
        errors.extend(secret::within(&place, value).map(|place| {
            format!(
                "{place} looks like a secret and would stand in the journal for all to read; keep its value in Secrets Manager or the \
                 Parameter Store and name it under `secrets` of the container, or rename a variable that is none"
            )
        }));
    }
}

fn check_services(draft: &Draft, errors: &mut Vec<String>) {
    if draft.services.is_empty() {
        errors.push("a release needs at least one service".to_owned());
    }
    let names: BTreeSet<&ServiceName> = draft.services.iter().map(|service| &service.name).collect();
    if names.len() != draft.services.len() {
        errors.push("two services have the same name".to_owned());
    }
    for service in &draft.services {
        let name = &service.name;
        if service.images.is_empty() {
            errors.push(format!("service {name}: it brings no image"));
        }
        for before in service.after.iter().filter(|before| !names.contains(before)) {
            errors.push(format!(
                "service {name}: `after` names {before}, which is not part of the release"
            ));
        }
        if let Some(why) = service.deployment.unsound() {
            errors.push(format!("service {name}: {why}"));
        }
    }
    // What has all its predecessors done can begin; when nothing more can and something is left, it is a circle.
    let mut done: BTreeSet<&ServiceName> = BTreeSet::new();
    loop {
        let ready: Vec<&ServicePlan> = draft
            .services
            .iter()
            .filter(|s| !done.contains(&s.name))
            .filter(|s| {
                s.after
                    .iter()
                    .all(|before| done.contains(before) || !names.contains(before))
            })
            .collect();
        if ready.is_empty() {
            break;
        }
        done.extend(ready.into_iter().map(|s| &s.name));
    }
    let circle: Vec<&str> = names.difference(&done).map(|name| name.as_str()).collect();
    if !circle.is_empty() {
        errors.push(format!("`after` goes round in a circle: {}", circle.join(", ")));
    }
}

fn check_gates(draft: &Draft, errors: &mut Vec<String>) {
    let of_services = draft
        .services
        .iter()
        .map(|service| (format!("service {}: ", service.name), &service.gates));
    for (place, gates) in of_services.chain([(String::new(), &draft.gates)]) {
        let names: BTreeSet<&ProbeName> = gates.iter().map(|gate| &gate.name).collect();
        if names.len() != gates.len() {
            errors.push(format!("{place}two gates have the same name"));
        }
        for plan in gates {
            let subject = Subject {
                service: None,
                images: BTreeMap::new(),
                changed_at: crate::time::Timestamp::EPOCH,
            };
            if let Err(error) = plan.judge(subject).validate() {
                errors.push(format!("{place}gate {}: {error}", plan.name));
            }
        }
    }
}

fn check_tasks(draft: &Draft, errors: &mut Vec<String>) {
    let names: BTreeSet<&TaskName> = draft.tasks.iter().map(|task| &task.name).collect();
    if names.len() != draft.tasks.len() {
        errors.push("two tasks have the same name".to_owned());
    }
    let promoted: BTreeSet<&RepositoryName> = draft
        .services
        .iter()
        .flat_map(|service| service.images.values())
        .map(|image| &image.to)
        .collect();
    for task in &draft.tasks {
        for repository in task
            .images
            .values()
            .filter(|repository| !promoted.contains(repository))
        {
            errors.push(format!(
                "task {}: no service brings an image of {repository}",
                task.name
            ));
        }
        if task.policy.poll_every.is_zero() || task.policy.give_up.is_zero() {
            errors.push(format!(
                "task {}: poll interval and deadline must be longer than zero",
                task.name
            ));
        }
    }
}

fn check_cutovers(draft: &Draft, errors: &mut Vec<String>) {
    for (index, cutover) in draft.cutovers.iter().enumerate() {
        let key = &cutover.key;
        let twice = draft
            .cutovers
            .iter()
            .take(index)
            .any(|o| o.zone == cutover.zone && o.key.same_as(key));
        if twice {
            errors.push(format!("record {key}: listed twice"));
        }
        if matches!(&cutover.to, RecordData::Values { values, .. } if values.is_empty()) {
            errors.push(format!("record {key}: it has no value"));
        }
        if cutover.policy.poll_first.is_zero() || cutover.policy.in_sync.is_zero() {
            errors.push(format!(
                "record {key}: poll interval and propagation deadline must be longer than zero"
            ));
        }
        if let Err(error) = crate::dns::Marker::key(key) {
            errors.push(format!("record {key}: the marker beside it: {error}"));
        }
    }
}
