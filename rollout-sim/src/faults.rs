//! Calls to the ports: counted, and disturbed by schedule.

use std::collections::BTreeMap;

use rollout_core::context::OpContext;
use rollout_core::error::ErrorKind;
use rollout_core::id::{EnvironmentName, Generation};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What a port can be asked for: one for each method of each port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Operation {
    /// [`Environment::identity`](rollout_core::port::Environment::identity).
    Identity,
    /// [`Environment::observe_service`](rollout_core::port::Environment::observe_service).
    ObserveService,
    /// [`Environment::ensure_revision`](rollout_core::port::Environment::ensure_revision).
    EnsureRevision,
    /// [`Environment::update_service`](rollout_core::port::Environment::update_service).
    UpdateService,
    /// [`Environment::start_task`](rollout_core::port::Environment::start_task).
    StartTask,
    /// [`Environment::observe_task`](rollout_core::port::Environment::observe_task).
    ObserveTask,
    /// [`Environment::find_task`](rollout_core::port::Environment::find_task).
    FindTask,
    /// [`Environment::stop_task`](rollout_core::port::Environment::stop_task).
    StopTask,
    /// [`ImagePromotion::resolve`](rollout_core::port::ImagePromotion::resolve).
    Resolve,
    /// [`ImagePromotion::copy`](rollout_core::port::ImagePromotion::copy).
    Copy,
    /// [`ImagePromotion::read`](rollout_core::port::ImagePromotion::read).
    Read,
    /// [`HealthGate::sample`](rollout_core::port::HealthGate::sample).
    Sample,
    /// [`DnsCutover::snapshot`](rollout_core::port::DnsCutover::snapshot).
    Snapshot,
    /// [`DnsCutover::check_target`](rollout_core::port::DnsCutover::check_target).
    CheckTarget,
    /// [`DnsCutover::apply`](rollout_core::port::DnsCutover::apply).
    Apply,
    /// [`DnsCutover::propagation`](rollout_core::port::DnsCutover::propagation).
    Propagation,
    /// [`DnsCutover::ask_authoritative`](rollout_core::port::DnsCutover::ask_authoritative).
    AskAuthoritative,
    /// [`DnsCutover::old_traffic`](rollout_core::port::DnsCutover::old_traffic).
    OldTraffic,
    /// [`Rollback::capture`](rollout_core::port::Rollback::capture).
    Capture,
    /// [`Rollback::restore`](rollout_core::port::Rollback::restore).
    Restore,
    /// [`Rollback::usable`](rollout_core::port::Rollback::usable).
    Usable,
    /// [`Rollback::turn_back`](rollout_core::port::Rollback::turn_back).
    TurnBack,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::Identity,
        Self::ObserveService,
        Self::EnsureRevision,
        Self::UpdateService,
        Self::StartTask,
        Self::ObserveTask,
        Self::FindTask,
        Self::StopTask,
        Self::Resolve,
        Self::Copy,
        Self::Read,
        Self::Sample,
        Self::Snapshot,
        Self::CheckTarget,
        Self::Apply,
        Self::Propagation,
        Self::AskAuthoritative,
        Self::OldTraffic,
        Self::Capture,
        Self::Restore,
        Self::Usable,
        Self::TurnBack,
    ];

    /// The AWS call that does most of it, as errors name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "sts:GetCallerIdentity",
            Self::ObserveService | Self::Capture => "ecs:DescribeServices",
            Self::EnsureRevision => "ecs:RegisterTaskDefinition",
            Self::UpdateService | Self::Restore => "ecs:UpdateService",
            Self::StartTask => "ecs:RunTask",
            Self::ObserveTask => "ecs:DescribeTasks",
            Self::FindTask => "ecs:ListTasks",
            Self::StopTask => "ecs:StopTask",
            Self::Resolve => "ecr:DescribeImages",
            Self::Copy => "ecr:PutImage",
            Self::Read => "ecr:BatchGetImage",
            Self::Sample => "gate:Sample",
            Self::Snapshot => "route53:ListResourceRecordSets",
            Self::CheckTarget => "elasticloadbalancing:DescribeTargetHealth",
            Self::Apply => "route53:ChangeResourceRecordSets",
            Self::Propagation => "route53:GetChange",
            Self::AskAuthoritative => "dns:Query",
            Self::OldTraffic => "cloudwatch:GetMetricData",
            Self::Usable => "ecs:DescribeTaskDefinition",
            Self::TurnBack => "ecs:StopServiceDeployment",
        }
    }

    /// Whether it may change anything.
    #[must_use]
    pub const fn mutates(self) -> bool {
        matches!(
            self,
            Self::EnsureRevision
                | Self::UpdateService
                | Self::StartTask
                | Self::StopTask
                | Self::Copy
                | Self::Apply
                | Self::Restore
                | Self::TurnBack
        )
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Disturbance {
    /// The call is refused before it takes effect, with an error of this kind.
    Refused(ErrorKind),
    /// The call takes effect and its answer is lost: [`Applied::Maybe`](rollout_core::error::Applied::Maybe) where it mutates.
    LostAnswer,
}

/// Calls that go wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// In this environment; `None` is in each.
    pub environment: Option<EnvironmentName>,
    /// Calls of this operation.
    pub operation: Operation,
    /// From this call on, counted from 1 for each environment.
    pub from: u64,
    /// Up to this call.
    pub to: u64,
    /// What goes wrong.
    pub what: Disturbance,
}

impl Fault {
    /// One call goes wrong: the `call`th, from 1.
    #[must_use]
    pub const fn nth(operation: Operation, call: u64, what: Disturbance) -> Self {
        Self {
            environment: None,
            operation,
            from: call,
            to: call,
            what,
        }
    }

    /// Every call goes wrong.
    #[must_use]
    pub const fn every(operation: Operation, what: Disturbance) -> Self {
        Self {
            environment: None,
            operation,
            from: 1,
            to: u64::MAX,
            what,
        }
    }

    /// The same, in one environment only.
    #[must_use]
    pub fn within(mut self, environment: EnvironmentName) -> Self {
        self.environment = Some(environment);
        self
    }
}

/// A mutating call that reached the other side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mutation {
    /// When.
    pub at: Timestamp,
    /// In which environment.
    pub environment: EnvironmentName,
    /// What was asked for.
    pub operation: Operation,
    /// What it was about.
    pub subject: String,
    /// The writer's generation.
    pub generation: Generation,
    /// Whether it changed anything: a refused call, or one that found everything as asked, did not.
    pub took_effect: bool,
}

/// All calls that were made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    counts: BTreeMap<EnvironmentName, BTreeMap<Operation, u64>>,
    mutations: Vec<Mutation>,
}

impl Calls {
    /// How often each operation was asked for, in all environments.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Operation, u64> {
        let mut all = BTreeMap::new();
        for (operation, count) in self.counts.values().flatten() {
            *all.entry(*operation).or_insert(0) += count;
        }
        all
    }

    /// How often one operation was asked for, in all environments.
    #[must_use]
    pub fn count(&self, operation: Operation) -> u64 {
        self.counts.values().filter_map(|by| by.get(&operation)).sum()
    }

    /// How many calls there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().flat_map(BTreeMap::values).sum()
    }

    /// The mutating calls that reached the other side, in order.
    #[must_use]
    pub fn mutations(&self) -> &[Mutation] {
        &self.mutations
    }

    /// Those that changed something.
    pub fn effects(&self) -> impl Iterator<Item = &Mutation> {
        self.mutations.iter().filter(|m| m.took_effect)
    }

    pub(crate) fn next(&mut self, environment: &EnvironmentName, operation: Operation) -> u64 {
        if !self.counts.contains_key(environment) {
            self.counts.insert(environment.clone(), BTreeMap::new());
        }
        let count = self
            .counts
            .get_mut(environment)
            .map(|by| by.entry(operation).or_insert(0));
        count.map_or(0, |count| {
            *count += 1;
            *count
        })
    }

    pub(crate) fn mutated(
        &mut self,
        at: Timestamp,
        environment: &EnvironmentName,
        operation: Operation,
        subject: &str,
        ctx: &OpContext,
        took_effect: bool,
    ) {
        self.mutations.push(Mutation {
            at,
            environment: environment.clone(),
            operation,
            subject: subject.to_owned(),
            generation: ctx.generation,
            took_effect,
        });
    }
}

/// The first fault that fits a call.
pub(crate) fn disturbance(
    faults: &[Fault],
    environment: &EnvironmentName,
    operation: Operation,
    call: u64,
) -> Option<Disturbance> {
    let fits = |f: &&Fault| {
        f.operation == operation
            && (f.from..=f.to).contains(&call)
            && f.environment.as_ref().is_none_or(|e| e == environment)
    };
    faults.iter().find(fits).map(|f| f.what)
}
