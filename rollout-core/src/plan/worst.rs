//! How long a rollout can take at worst: to fail at its very last step, and to go back from there.
//!
//! # The arithmetic
//! Every wait of the plan's policies, each to its end, along the longest way through the plan. An *answer* is the policy's
//! longest wait for one call.
//!
//! | part | at worst |
//! |---|---|
//! | preconditions | `check` |
//! | images, all at once | tag, copy and read back: 3 answers |
//! | tasks, one after the other | each `give_up`, and 2 answers: one before it and one at its end |
//! | services | each `give_up` and 2 answers, and for each of its gates `give_up` and 1 answer; then see below |
//! | gates of the release, one after the other | each `give_up` and 1 answer |
//! | records, one after the other | 3 changes (TTL down, target, TTL back), the waits for two TTLs, `watch`, drain |
//! | one change of a record | 5 answers, `in_sync`, `verify` |
//! | last look | `confirm` and 1 answer |
//! | stopping | the longest of: a task ([`STOP_WAIT`] and 2 answers), a deployment's answer, a record's change |
//! | way back, one after the other | each service `give_up` and 3 answers; each record 1 answer and 1 change |
//!
//! Services run `services_at_once` at a time, each as soon as those before it are done. With `W` the sum of all, `L` the longest
//! chain and `k` the number at once, no such order takes longer than `(W + (k − 1) L) / k` (Graham's bound for list
//! scheduling); with room for all it is `L`.
//!
//! # What it does not count
//! A call that fails again and again. Where the step has a deadline of its own, failing calls use up that; elsewhere (images,
//! and the calls around a record's change) each more failure adds up to one answer and a pause. Nor does it count a runner
//! that stands still.

use core::time::Duration;
use std::collections::BTreeMap;

use serde::Serialize;

use super::{CutoverPlan, GatePlan, RolloutPlan, ServicePlan, TaskPlan, step};
use crate::id::{ServiceName, StepId};
use crate::machine::cutover;
use crate::machine::task::STOP_WAIT;
use crate::time::millis;

/// The longest time that a rollout can take, part by part. See the [module](self) for the arithmetic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WorstCase {
    /// Reading every precondition.
    #[serde(with = "millis")]
    pub check: Duration,
    /// Copying the images.
    #[serde(with = "millis")]
    pub images: Duration,
    /// One-off tasks.
    #[serde(with = "millis")]
    pub tasks: Duration,
    /// Services with their gates.
    #[serde(with = "millis")]
    pub services: Duration,
    /// Gates of the release.
    #[serde(with = "millis")]
    pub gates: Duration,
    /// Records.
    #[serde(with = "millis")]
    pub records: Duration,
    /// The last look.
    #[serde(with = "millis")]
    pub confirm: Duration,
    /// Stopping what is under way, and going back.
    #[serde(with = "millis")]
    pub back: Duration,
}

impl WorstCase {
    /// Computes it. `ttls` are the TTLs of the records as they are now, by the [step](super::step::record) that reads them; a
    /// record without one has no old TTL to wait for, as one that does not exist.
    #[must_use]
    pub fn of(plan: &RolloutPlan, ttls: &BTreeMap<StepId, Duration>) -> Self {
        let policy = &plan.policy;
        let old_ttl =
            |cutover: &CutoverPlan| ttls.get(&step::record(&cutover.key)).copied().unwrap_or_default();
        Self {
            check: policy.check,
            images: policy.promotion.answer.saturating_mul(3),
            tasks: sum(plan.tasks.iter().map(task)),
            services: services(plan),
            gates: sum(plan.gates.iter().map(gate)),
            records: sum(plan
                .cutovers
                .iter()
                .map(|cutover| record(cutover, old_ttl(cutover)))),
            confirm: policy.confirm.saturating_add(look(plan)),
            back: stop(plan).saturating_add(back(plan)),
        }
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> Duration {
        sum([
            self.check,
            self.images,
            self.tasks,
            self.services,
            self.gates,
            self.records,
            self.confirm,
            self.back,
        ])
    }

    /// Up to the end of the last step forward.
    #[must_use]
    pub fn forward(&self) -> Duration {
        self.total().saturating_sub(self.back)
    }
}

fn sum(all: impl IntoIterator<Item = Duration>) -> Duration {
    all.into_iter().fold(Duration::ZERO, Duration::saturating_add)
}

fn task(task: &TaskPlan) -> Duration {
    let answers = task.policy.answer.saturating_mul(2);
    task.policy.give_up.saturating_add(answers)
}

fn gate(gate: &GatePlan) -> Duration {
    gate.give_up.saturating_add(gate.answer)
}

fn service(service: &ServicePlan) -> Duration {
    let answers = service.deployment.answer.saturating_mul(2);
    let gates = sum(service.gates.iter().map(gate));
    sum([service.deployment.give_up, answers, gates])
}

fn services(plan: &RolloutPlan) -> Duration {
    let chain = longest_chain(plan);
    let at_once = plan.policy.bounds.services_at_once.max(1);
    if usize::try_from(at_once).is_ok_and(|at_once| at_once >= plan.services.len()) {
        return chain;
    }
    let all = sum(plan.services.iter().map(service));
    let others = chain.saturating_mul(at_once.saturating_sub(1));
    let bound = all.saturating_add(others);
    // Rounded up to what is stored.
    bound
        .checked_div(at_once)
        .unwrap_or(bound)
        .saturating_add(Duration::from_millis(1))
}

/// The longest way through `after`.
fn longest_chain(plan: &RolloutPlan) -> Duration {
    let mut ends: BTreeMap<&ServiceName, Duration> = BTreeMap::new();
    // A checked plan has no circle: every round brings one service more to its end at least.
    for _ in &plan.services {
        let mut settled = true;
        for planned in &plan.services {
            let before = planned
                .after
                .iter()
                .filter_map(|name| ends.get(name).copied())
                .max();
            let end = before.unwrap_or_default().saturating_add(service(planned));
            settled &= ends.insert(&planned.name, end) == Some(end);
        }
        if settled {
            break;
        }
    }
    ends.values().max().copied().unwrap_or_default()
}

fn change(policy: &cutover::Policy) -> Duration {
    sum([policy.answer.saturating_mul(5), policy.in_sync, policy.verify])
}

fn record(cutover: &CutoverPlan, old_ttl: Duration) -> Duration {
    let policy = &cutover.policy;
    let lowered = Duration::from_secs(u64::from(cutover.lowered_ttl));
    // A look at a bad moment after the watch is over leads to more of them, until they are enough.
    let looks = policy.poll_max.saturating_add(policy.answer);
    let drain = cutover.drain.as_ref().map_or(Duration::ZERO, |drain| {
        drain.give_up.saturating_add(policy.answer)
    });
    sum([
        policy.answer,
        change(policy).saturating_mul(3),
        old_ttl,
        old_ttl.max(lowered),
        policy.watch,
        looks.saturating_mul(policy.watch_failures.max(1)),
        policy.answer,
        drain,
    ])
}

fn look(plan: &RolloutPlan) -> Duration {
    let answers = plan.services.iter().map(|service| service.deployment.answer);
    answers.max().unwrap_or_default()
}

fn stop(plan: &RolloutPlan) -> Duration {
    let tasks = plan
        .tasks
        .iter()
        .map(|task| STOP_WAIT.saturating_add(task.policy.answer.saturating_mul(2)));
    let records = plan.cutovers.iter().map(|cutover| change(&cutover.policy));
    tasks.chain(records).max().unwrap_or_default().max(look(plan))
}

fn back(plan: &RolloutPlan) -> Duration {
    let (service, record) = (&plan.policy.unwind_deployment, &plan.policy.unwind_cutover);
    let service = service.give_up.saturating_add(service.answer.saturating_mul(3));
    let record = record.answer.saturating_add(change(record));
    let times = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    service
        .saturating_mul(times(plan.services.len()))
        .saturating_add(record.saturating_mul(times(plan.cutovers.len())))
}

#[cfg(test)]
mod tests;
