//! Deployments of a service: how one begins, completes, fails, and what the circuit breaker does then.

use rollout_core::id::{DeploymentId, ServiceDeploymentArn};
use rollout_core::service::{DeploymentRole, DeploymentStarted, Images, RecordStatus, RolloutState};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::Environment;
use super::plan::ALL;
use super::record::{Monitor, Record, ServiceRevision, WayBack, words};
use super::service::{Service, Status};
use super::task::Owner;
use crate::kernel::Kernel;

/// How many records of gone deployments a look at a service still finds.
const HISTORY_KEPT: usize = 4;

/// Where a rollback goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) deployment: Deployment,
}

/// One deployment, as `DescribeServices` lists it. Its [`Record`] has the same number and outlives it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Deployment {
    pub(crate) number: u32,
    pub(crate) id: DeploymentId,
    pub(crate) record: ServiceDeploymentArn,
    pub(crate) revision: u32,
    pub(crate) images: Images,
    /// The target group that its tasks are in.
    pub(crate) group: Option<u16>,
    pub(crate) role: DeploymentRole,
    pub(crate) rollout: RolloutState,
    pub(crate) reason: String,
    /// What the breaker counts.
    pub(crate) failed: u32,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl Deployment {
    pub(crate) fn started(&self) -> DeploymentStarted {
        DeploymentStarted {
            deployment: self.id.clone(),
            service_deployment: Some(self.record.clone()),
            created_at: self.created_at,
        }
    }
}

/// Why the platform gives a deployment up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GivenUp {
    /// The circuit breaker has tripped.
    Breaker,
    /// These alarms fire.
    Alarms(Vec<String>),
    /// A hook failed, timed out, or was told to go back, at this stage.
    Hook(&'static str),
    /// The load balancer cannot move the traffic, for this reason.
    Network(String),
    /// Somebody asked for it.
    User,
}

impl GivenUp {
    /// `statusReason` of the record, and the reason of its rollback.
    fn text(&self) -> String {
        match self {
            Self::Breaker => words::BREAKER.to_owned(),
            Self::Alarms(_) => words::ALARM.to_owned(),
            Self::Hook(stage) => words::hook(stage),
            Self::Network(why) => words::network(why),
            Self::User => words::USER.to_owned(),
        }
    }

    /// `rolloutStateReason` of the deployment. AWS publishes the one of the breaker (Amazon ECS developer guide, "Amazon ECS
    /// service deployment state change events"); the others are ours.
    fn rollout_reason(&self) -> String {
        match self {
            Self::Breaker => "ECS deployment circuit breaker: tasks failed to start.".to_owned(),
            Self::Alarms(_) => "ECS deployment alarms: alarm detected.".to_owned(),
            Self::Hook(_) | Self::Network(_) | Self::User => self.text(),
        }
    }

    /// The event. Those of the breaker and of alarms are seen in public reports, and so is `deployment failed: ` before a
    /// record's reason.
    fn event(&self) -> String {
        match self {
            Self::Breaker => "deployment failed: tasks failed to start.".to_owned(),
            Self::Alarms(_) => "deployment failed: alarm detected.".to_owned(),
            Self::Hook(_) | Self::Network(_) | Self::User => format!("deployment failed: {}", self.text()),
        }
    }

    /// `rolloutStateReason` of the deployment that runs again.
    fn back_reason(&self, id: &DeploymentId) -> String {
        match self {
            Self::Breaker => format!("ECS deployment circuit breaker: rolling back to deploymentId {id}."),
            Self::Alarms(_) | Self::Hook(_) | Self::Network(_) | Self::User => {
                format!("ECS deployment: rolling back to deploymentId {id}.")
            }
        }
    }
}

impl Service {
    pub(crate) fn deployment(&self, number: u32) -> Option<&Deployment> {
        let mut all = self.deployments.iter().chain(&self.history);
        all.find(|d| d.number == number)
    }

    pub(crate) fn deployment_id(&self, number: u32) -> Option<DeploymentId> {
        self.deployment(number).map(|d| d.id.clone())
    }

    /// The target group of a deployment's tasks.
    pub(crate) fn group_of_deployment(&self, number: u32) -> Option<u16> {
        match self.deployment(number) {
            Some(deployment) => deployment.group,
            None => self.service_revision(number)?.group,
        }
    }

    /// Puts a deployment in front; what was in front becomes ACTIVE.
    fn put_first(&mut self, deployment: Deployment) {
        for other in &mut self.deployments {
            other.role = DeploymentRole::Active;
        }
        self.deployments.insert(0, deployment);
        self.steady = false;
        self.failures_in_a_row = 0;
        self.launch_after = Timestamp::EPOCH;
    }
}

impl Environment {
    /// The target group that the tasks of the next deployment go to, and who keeps production traffic meanwhile: what
    /// completed last if all of its tasks are there, else what carries most.
    fn place(&self, s: u16) -> (Option<u16>, Option<u32>) {
        let service = &self.services[s as usize];
        let listed = |number: &u32| service.deployments.iter().any(|d| d.number == *number);
        let whole = |number: &u32| {
            let tasks = service.tasks.iter().map(|id| &self.tasks[id]);
            let of = tasks.filter(|t| t.is_healthy() && t.is_of(s, *number)).count();
            of as u32 >= service.desired
        };
        let completed = service.completed.as_ref().map(|t| t.deployment.number);
        let completed = completed.filter(listed);
        let carrier = service.traffic.carrier().filter(listed);
        let blue = completed.filter(whole).or(carrier).or(completed);
        let present = blue
            .and_then(|number| service.group_of_deployment(number))
            .or(service.group);
        let group = match service.alternate {
            Some(_) if !service.plan.is_staged() || blue.is_none() => present,
            Some(alternate) if present == Some(alternate) => service.group,
            Some(alternate) => Some(alternate),
            None => present,
        };
        (group, blue)
    }

    /// The PRIMARY deployment has arrived. Older ones leave the list.
    pub(crate) fn complete(&mut self, k: &mut Kernel, s: u16) {
        let service = &mut self.services[s as usize];
        let Some(primary) = service.deployments.first_mut() else {
            return;
        };
        primary.rollout = RolloutState::Completed;
        primary.reason = format!("ECS deployment {} completed.", primary.id);
        primary.updated_at = k.now;
        let number = primary.number;
        let text = format!("(deployment {}) deployment completed.", primary.id);
        service.completed = Some(Target {
            deployment: primary.clone(),
        });
        service.say(k.now, &text);
        let failed = service.rolling_back.take();
        // The summaries of a record are those of the moment before the old tasks are forgotten.
        if let Some(failed) = failed {
            self.end_record(k.now, s, failed, RecordStatus::RollbackSuccessful, None);
        }
        self.end_record(k.now, s, number, RecordStatus::Successful, None);
        if !self.services[s as usize].traffic.is_empty() {
            let _: Result<_, _> = self.shift_production(s, None, number, ALL);
            let _: Result<_, _> = self.shift_test(s, number);
        }
        let service = &mut self.services[s as usize];
        for mut old in service.deployments.split_off(1) {
            old.role = DeploymentRole::Inactive;
            service.history.push_back(old);
        }
        while service.history.len() > HISTORY_KEPT {
            service.history.pop_front();
        }
    }

    /// Ends the record of the deployment that is being rolled back: the rollback does not arrive.
    fn rollback_lost(&mut self, k: &Kernel, s: u16, reason: &str) {
        if let Some(number) = self.services[s as usize].rolling_back.take() {
            self.end_record(k.now, s, number, RecordStatus::RollbackFailed, Some(reason));
        }
    }

    /// Makes a deployment with this revision the PRIMARY one.
    pub(crate) fn deploy(&mut self, k: &mut Kernel, s: u16, revision: u32) -> DeploymentStarted {
        let images = self.resolve_images(revision);
        self.rollback_lost(k, s, words::REPLACED);
        if let Some(old) = self.services[s as usize].primary().map(|d| d.number) {
            self.end_record(k.now, s, old, RecordStatus::Stopped, Some(words::REPLACED));
        }
        let deployment = self.new_deployment(k, s, revision, images);
        let started = deployment.started();
        let number = deployment.number;
        let service = &mut self.services[s as usize];
        service.put_first(deployment);
        self.begin_traffic(s, number);
        self.begin_watch(k, s, number);
        self.schedule(k, s, 0);
        started
    }

    /// Where traffic is when a deployment begins: with who keeps it, or with the first deployment there is.
    fn begin_traffic(&mut self, s: u16, number: u32) {
        let service = &self.services[s as usize];
        let Some(record) = service.record(number) else {
            return;
        };
        // A deployment in stages that finds traffic somewhere reconciles first.
        if record.plan.is_staged() == service.traffic.is_empty() {
            let holder = record.blue.unwrap_or(number);
            // A rule that is gone shows when the deployment begins to move.
            let _: Result<_, _> = self.shift_production(s, None, holder, ALL);
            let _: Result<_, _> = self.shift_test(s, holder);
        }
    }

    /// A deployment with its record and service revision. It is not in the service's list yet.
    pub(crate) fn new_deployment(
        &mut self,
        k: &mut Kernel,
        s: u16,
        revision: u32,
        images: Images,
    ) -> Deployment {
        let (group, blue) = self.place(s);
        let service = &mut self.services[s as usize];
        let number = service.next_deployment;
        service.next_deployment += 1;
        let id = DeploymentId::new(format!("ecs-svc/{}", k.dice.digits())).expect("printable");
        k.mark_text(id.as_str());
        let cluster = &self.clusters[service.cluster as usize].name;
        let path = format!("{}:{}", self.region, self.account);
        let arn = format!(
            "arn:aws:ecs:{path}:service-deployment/{cluster}/{}/{}",
            service.name,
            k.dice.hex(1)
        );
        let digits = id.as_str().trim_start_matches("ecs-svc/");
        let revision_arn = format!(
            "arn:aws:ecs:{path}:service-revision/{cluster}/{}/{digits}",
            service.name
        );
        let arn = ServiceDeploymentArn::new(arn).expect("printable");
        let running = |number: &u32| {
            let mut tasks = service.tasks.iter().map(|id| &self.tasks[id]);
            tasks.any(|t| t.is_placed() && t.is_of(s, *number))
        };
        let sources = service
            .deployments
            .iter()
            .map(|d| d.number)
            .filter(running)
            .collect();
        service.forget_old_records(k.now);
        let mut record = Record::new(number, arn.clone(), k.now, service.plan.clone());
        (record.sources, record.blue) = (sources, blue);
        if service.breaker.enabled {
            record.breaker = Monitor::Monitoring;
        }
        service.records.push(record);
        service.service_revisions.push(ServiceRevision {
            number,
            arn: revision_arn,
            created_at: k.now,
            revision,
            images: images.clone(),
            group,
            settings: service.settings.clone(),
        });
        Deployment {
            number,
            reason: format!("ECS deployment {id} in progress."),
            id,
            record: arn,
            revision,
            images,
            group,
            role: DeploymentRole::Primary,
            rollout: RolloutState::InProgress,
            failed: 0,
            created_at: k.now,
            updated_at: k.now,
        }
    }

    /// The platform gives the PRIMARY deployment up, and goes back if that is switched on and there is somewhere to go.
    pub(crate) fn give_up(&mut self, k: &mut Kernel, s: u16, why: &GivenUp) {
        let service = &mut self.services[s as usize];
        let plan = service
            .primary()
            .and_then(|d| service.record(d.number))
            .map(|r| r.plan.clone());
        let back = match why {
            GivenUp::Breaker => service.breaker.rollback,
            GivenUp::Alarms(_) => plan.is_some_and(|p| p.alarms.rollback),
            // These go back in any case (Amazon ECS developer guide, "Stopping Amazon ECS service deployments").
            GivenUp::Hook(_) | GivenUp::Network(_) | GivenUp::User => true,
        };
        let target = if back { service.completed.take() } else { None };
        self.fail_deployment(k, s, why, back, target);
    }

    /// The PRIMARY deployment fails; `target` becomes PRIMARY instead, if there is one.
    pub(crate) fn fail_deployment(
        &mut self,
        k: &mut Kernel,
        s: u16,
        why: &GivenUp,
        back: bool,
        target: Option<Target>,
    ) {
        let service = &mut self.services[s as usize];
        let Some(failed) = service.deployments.first_mut() else {
            return;
        };
        failed.rollout = RolloutState::Failed;
        failed.reason = why.rollout_reason();
        failed.updated_at = k.now;
        let number = failed.number;
        let text = format!("(deployment {}) {}", failed.id, why.event());
        service.say(k.now, &text);
        if let Some(record) = service.record_mut(number) {
            match why {
                GivenUp::Breaker => record.breaker = Monitor::Triggered,
                GivenUp::Alarms(names) => {
                    record.alarms = Monitor::Triggered;
                    record.triggered.clone_from(names);
                }
                GivenUp::Hook(_) | GivenUp::Network(_) | GivenUp::User => {}
            }
        }
        let Some(target) = target else {
            let (status, reason) = match (back, why) {
                (true, _) => (RecordStatus::RollbackFailed, words::NO_CANDIDATE),
                (false, GivenUp::Alarms(_)) => (RecordStatus::Stopped, words::ALARM_ONLY),
                (false, _) => (RecordStatus::Stopped, words::BREAKER_ONLY),
            };
            self.end_record(k.now, s, number, status, Some(reason));
            // It was itself the way back of another one, which has come to nothing.
            self.rollback_lost(k, s, words::NO_CANDIDATE);
            return;
        };
        if let Some(record) = service.record_mut(number) {
            let reason = why.text();
            record.status = RecordStatus::RollbackInProgress;
            record.reason = Some(reason.clone());
            record.updated_at = k.now;
            record.stage = None;
            record.hooks.clear();
            record.rollback = Some(WayBack {
                reason,
                started_at: k.now,
                to: target.deployment.number,
            });
        }
        self.rollback_lost(k, s, words::NO_CANDIDATE);
        self.services[s as usize].rolling_back = Some(number);
        self.go_back(k, s, target, why);
    }

    /// The deployment that completed last becomes PRIMARY again, under its own id.
    fn go_back(&mut self, k: &mut Kernel, s: u16, target: Target, why: &GivenUp) {
        let service = &mut self.services[s as usize];
        let mut deployment = target.deployment;
        service.deployments.retain(|d| d.number != deployment.number);
        service.history.retain(|d| d.number != deployment.number);
        deployment.role = DeploymentRole::Primary;
        deployment.rollout = RolloutState::InProgress;
        deployment.failed = 0;
        deployment.updated_at = k.now;
        deployment.reason = why.back_reason(&deployment.id);
        let text = format!("rolling back to (deployment {}).", deployment.id);
        service.put_first(deployment);
        service.say(k.now, &text);
        self.schedule(k, s, 0);
    }

    /// Gives a service a completed deployment with running, healthy tasks, as if it had been deployed at `since`.
    pub(crate) fn populate(&mut self, k: &mut Kernel, s: u16, revision: u32, since: Timestamp) {
        let images = self.resolve_images(revision);
        let mut deployment = self.new_deployment(k, s, revision, images.clone());
        deployment.created_at = since;
        deployment.updated_at = since;
        let (number, group) = (deployment.number, deployment.group);
        let service = &mut self.services[s as usize];
        service.status = Status::Active;
        service.created_at = since;
        service.deployments.insert(0, deployment);
        self.begin_traffic(s, number);
        let owner = Owner::Service {
            service: s,
            deployment: number,
        };
        for _ in 0..self.services[s as usize].desired {
            let id = self.launch(k, owner, revision, images.clone(), group);
            self.settle_task(k, id, since);
            self.services[s as usize].tasks.push(id);
        }
        self.complete(k, s);
        let service = &mut self.services[s as usize];
        if let Some(record) = service.record_mut(number) {
            record.created_at = since;
            record.started_at = Some(since);
            record.updated_at = since;
            record.finished_at = Some(since);
        }
        if let Some(revision) = service.service_revisions.last_mut() {
            revision.created_at = since;
        }
        service.steady = true;
        service.say(k.now, "has reached a steady state.");
    }
}
