//! A service, and the scheduler that keeps its tasks.

use std::collections::VecDeque;

use rollout_core::id::ServiceName;
use rollout_core::service::{DeploymentRole, Images, RecordStatus, RolloutState};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::breaker::Breaker;
use super::deployment::{Deployment, Target};
use super::plan::Plan;
use super::record::{Record, ServiceRevision, words};
use super::stop::Why;
use super::task::Owner;
use super::traffic::Traffic;
use super::{Environment, Launch};
use crate::behaviour::Behaviour;
use crate::kernel::{Kernel, plus};
use crate::rng::{Span, Stream};

/// How many events of a service are kept, and how many of them a look of the ports shows: `DescribeServices` gives 100, a
/// reader needs the last few.
const EVENTS_KEPT: usize = 100;
pub(crate) const EVENTS_SHOWN: usize = 25;

/// A service's own state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    Active,
    Draining,
    Inactive,
}

/// What a script makes of a service's tasks, in place of what their images say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Script {
    pub(crate) behaviour: Behaviour,
    /// The revision whose tasks stay as they are.
    pub(crate) spared: Option<u32>,
}

/// A service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Service {
    pub(crate) name: ServiceName,
    /// The index of its cluster.
    pub(crate) cluster: u16,
    pub(crate) created_at: Timestamp,
    /// What the call said that created it.
    pub(crate) created_with: Option<Value>,
    pub(crate) status: Status,
    pub(crate) desired: u32,
    pub(crate) minimum_healthy_percent: u32,
    pub(crate) maximum_percent: u32,
    pub(crate) breaker: Breaker,
    pub(crate) plan: Plan,
    /// Grace period for health checks, in milliseconds.
    pub(crate) grace: u64,
    pub(crate) group: Option<u16>,
    /// The second target group of a service whose traffic ECS moves.
    pub(crate) alternate: Option<u16>,
    /// The ARNs of the rules (or listeners) whose weights ECS sets for production and for test traffic.
    pub(crate) production_rules: Vec<String>,
    pub(crate) test_rules: Vec<String>,
    pub(crate) traffic: Traffic,
    /// What it was given besides, in the words of `CreateService`: told again, not acted upon.
    pub(crate) settings: Value,
    /// Whether its answers tell which version gave them.
    pub(crate) tells_version: bool,
    /// The PRIMARY one first.
    pub(crate) deployments: Vec<Deployment>,
    /// Deployments that have gone, newest last.
    pub(crate) history: VecDeque<Deployment>,
    /// The record of each deployment, oldest first.
    pub(crate) records: Vec<Record>,
    pub(crate) service_revisions: Vec<ServiceRevision>,
    /// The last deployment that completed and was not rolled back to since: where a rollback goes.
    pub(crate) completed: Option<Target>,
    /// The deployment whose failure started the rollback that is under way.
    pub(crate) rolling_back: Option<u32>,
    /// The deployment whose alarms are looked at.
    pub(crate) watching: Option<u32>,
    pub(crate) next_deployment: u32,
    /// Tasks that have not stopped, oldest first.
    pub(crate) tasks: Vec<u64>,
    /// Tasks that have, oldest first.
    pub(crate) stopped: VecDeque<u64>,
    /// With the number of each.
    pub(crate) events: VecDeque<Event>,
    pub(crate) next_event: u32,
    /// When the scheduler looks next.
    pub(crate) due: Option<Timestamp>,
    /// The scheduler starts nothing before this moment.
    pub(crate) launch_after: Timestamp,
    pub(crate) failures_in_a_row: u32,
    pub(crate) no_room_until: Option<Timestamp>,
    pub(crate) steady: bool,
    /// The scheduler does nothing any more (a script).
    pub(crate) stalled: bool,
    pub(crate) script: Option<Script>,
}

/// What the scheduler says of a service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    /// Its number among the service's events.
    pub(crate) number: u32,
    pub(crate) at: Timestamp,
    pub(crate) text: String,
}

/// The tasks of a service, counted.
#[derive(Default)]
struct Count {
    live: u32,
    healthy: u32,
    primary: Vec<u64>,
    primary_healthy: u32,
    /// Old tasks that may be stopped, those that serve nobody first.
    old: Vec<(bool, u64)>,
    /// Whether an old task still runs or drains.
    old_serving: bool,
}

impl Service {
    /// A service with the defaults of `CreateService`, before its first deployment.
    pub(crate) fn new(now: Timestamp, cluster: u16, name: ServiceName, desired: u32) -> Self {
        Self {
            name,
            cluster,
            created_at: now,
            created_with: None,
            status: Status::Active,
            desired,
            minimum_healthy_percent: 100,
            maximum_percent: 200,
            breaker: Breaker {
                enabled: false,
                rollback: false,
                ..Breaker::default()
            },
            plan: Plan::default(),
            grace: 0,
            group: None,
            alternate: None,
            production_rules: Vec::new(),
            test_rules: Vec::new(),
            traffic: Traffic::default(),
            settings: json!({}),
            tells_version: false,
            deployments: Vec::new(),
            history: VecDeque::new(),
            records: Vec::new(),
            service_revisions: Vec::new(),
            completed: None,
            rolling_back: None,
            watching: None,
            next_deployment: 1,
            tasks: Vec::new(),
            stopped: VecDeque::new(),
            events: VecDeque::new(),
            next_event: 0,
            due: None,
            launch_after: Timestamp::EPOCH,
            failures_in_a_row: 0,
            no_room_until: None,
            steady: false,
            stalled: false,
            script: None,
        }
    }

    pub(crate) fn say(&mut self, now: Timestamp, what: &str) {
        let text = format!("(service {}) {what}", self.name);
        self.note(now, text);
    }

    pub(crate) fn note(&mut self, now: Timestamp, text: String) {
        if self.events.len() == EVENTS_KEPT {
            self.events.pop_front();
        }
        self.next_event += 1;
        self.events.push_back(Event {
            number: self.next_event,
            at: now,
            text,
        });
    }

    pub(crate) fn primary(&self) -> Option<&Deployment> {
        self.deployments.first()
    }

    /// The fewest healthy and the most live tasks that the scheduler allows: rounded up and down (Amazon ECS API,
    /// "DeploymentConfiguration").
    fn bounds(&self) -> (u32, u32) {
        let percent = |p: u32| u64::from(self.desired) * u64::from(p);
        let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        (
            narrow(percent(self.minimum_healthy_percent).div_ceil(100)),
            narrow(percent(self.maximum_percent) / 100),
        )
    }
}

fn names(env: &Environment, tasks: &[u64]) -> String {
    let mut text = String::new();
    for id in tasks {
        let arn = env.tasks[id].arn.as_str();
        let short = arn.rsplit('/').next().unwrap_or(arn);
        text.push_str(if text.is_empty() { "(task " } else { " (task " });
        text.push_str(short);
        text.push(')');
    }
    text
}

impl Environment {
    /// The scheduler looks at a service: starts, stops, completes.
    pub(crate) fn reconcile(&mut self, k: &mut Kernel, s: u16) {
        let service = &mut self.services[s as usize];
        // A look that was brought forward leaves its old entry behind.
        if service.due.is_none_or(|due| due > k.now) {
            return;
        }
        service.due = None;
        if service.status == Status::Draining {
            self.end_drained(s);
            return;
        }
        if service.stalled || service.status == Status::Inactive {
            return;
        }
        if self.begin_or_go_back(k, s) {
            return;
        }
        let service = &self.services[s as usize];
        let Some((number, rollout)) = service.primary().map(|d| (d.number, d.rollout.clone())) else {
            return;
        };
        // A failed deployment that nothing replaces launches nothing: it stalls.
        if rollout == RolloutState::Failed {
            return;
        }
        if let Some((record, back)) = service.staged() {
            self.reconcile_staged(k, s, record, back);
            return;
        }
        let count = self.count(s, number);
        let started = self.start_tasks(k, s, number, &count);
        let stopped = self.stop_tasks(k, s, &count, started);
        if started == 0 && stopped == 0 {
            self.settle(k, s, &count);
        }
    }

    fn count(&self, s: u16, primary: u32) -> Count {
        let mut count = Count::default();
        for id in &self.services[s as usize].tasks {
            let task = &self.tasks[id];
            let ours = matches!(task.owner, Owner::Service { deployment, .. } if deployment == primary);
            let healthy = task.is_healthy();
            if task.is_placed() {
                count.live += 1;
                count.healthy += u32::from(healthy);
                if ours {
                    count.primary.push(*id);
                    count.primary_healthy += u32::from(healthy);
                } else {
                    count.old.push((healthy, *id));
                }
            }
            count.old_serving |= !ours && task.phase <= super::task::Phase::Deactivating;
        }
        count.old.sort_unstable();
        count
    }

    fn start_tasks(&mut self, k: &mut Kernel, s: u16, number: u32, count: &Count) -> u32 {
        let service = &self.services[s as usize];
        let (_, most) = service.bounds();
        let missing = service.desired.saturating_sub(count.primary.len() as u32);
        let wanted = missing.min(most.saturating_sub(count.live));
        if wanted == 0 {
            return 0;
        }
        self.start_for(k, s, number, wanted)
    }

    /// Starts so many tasks of a deployment, as far as there is room and the scheduler is not to wait.
    pub(super) fn start_for(&mut self, k: &mut Kernel, s: u16, number: u32, wanted: u32) -> u32 {
        let service = &self.services[s as usize];
        if service.launch_after > k.now {
            let wait = service.launch_after.as_millis() - k.now.as_millis();
            self.schedule(k, s, wait);
            return 0;
        }
        let start = wanted.min(self.room());
        if start < wanted {
            self.no_room(k, s);
        }
        let Some((revision, images, group)) = self.services[s as usize]
            .deployment(number)
            .map(|d| (d.revision, d.images.clone(), d.group))
        else {
            return 0;
        };
        let owner = Owner::Service {
            service: s,
            deployment: number,
        };
        let started: Vec<u64> = (0..start)
            .map(|_| self.launch(k, owner, revision, Images::clone(&images), group))
            .collect();
        if !started.is_empty() {
            let text = format!("has started {start} tasks: {}.", names(self, &started));
            let service = &mut self.services[s as usize];
            service.tasks.extend(started);
            service.steady = false;
            service.say(k.now, &text);
        }
        start
    }

    fn no_room(&mut self, k: &mut Kernel, s: u16) {
        const AGAIN: Span = Span::secs(10, 20);
        // The same is not said again and again (Amazon ECS developer guide, "Service event messages").
        const QUIET: u64 = 60_000;
        let name = self.services[s as usize].name.clone();
        let text = match self.launch {
            Launch::Ec2 => format!(
                "(service {name}) was unable to place a task because no container instance met all of its requirements. \
                 Reason: No Container Instances were found in your cluster. For more information, see the Troubleshooting \
                 section of the Amazon ECS Developer Guide."
            ),
            Launch::Fargate => format!(
                "(service {name}) was unable to place a task. Reason: Capacity is unavailable at this time. Please try \
                 again later or in a different availability zone. For more information, see the Troubleshooting section \
                 of the Amazon ECS Developer Guide."
            ),
        };
        let wait = k.draw(Stream::Scheduler, AGAIN);
        let service = &mut self.services[s as usize];
        if service.no_room_until.is_none_or(|until| until <= k.now) {
            service.no_room_until = Some(plus(k.now, QUIET));
            service.note(k.now, text);
        }
        self.schedule(k, s, wait);
    }

    /// Old tasks go when the new ones can do without them, or when only their going makes room for new ones.
    fn stop_tasks(&mut self, k: &mut Kernel, s: u16, count: &Count, started: u32) -> u32 {
        let service = &self.services[s as usize];
        let (fewest, most) = service.bounds();
        let desired = service.desired;
        let mut healthy = count.healthy;
        let mut old = count.old.len() as u32;
        let live = count.live + started;
        let mut going = Vec::new();
        for (serves, id) in &count.old {
            let surplus = count.primary_healthy + old > desired;
            let in_the_way =
                live - (going.len() as u32) >= most && (count.primary.len() as u32 + started) < desired;
            if *serves && !((surplus || in_the_way) && healthy > fewest) {
                continue;
            }
            healthy -= u32::from(*serves);
            old -= 1;
            going.push(*id);
        }
        let extra = (count.primary.len() as u32).saturating_sub(desired) as usize;
        going.extend(count.primary.iter().rev().take(extra));
        self.send_off(k, s, &going)
    }

    /// The scheduler stops these tasks of a service.
    pub(super) fn send_off(&mut self, k: &mut Kernel, s: u16, going: &[u64]) -> u32 {
        let Some(primary) = self.services[s as usize].primary().map(|d| d.id.to_string()) else {
            return 0;
        };
        if going.is_empty() {
            return 0;
        }
        let stopped = going.len() as u32;
        let text = format!("has stopped {stopped} running tasks: {}.", names(self, going));
        let service = &mut self.services[s as usize];
        service.steady = false;
        service.say(k.now, &text);
        let mut draining: Vec<(u16, u32)> = Vec::new();
        for id in going {
            let task = &self.tasks[id];
            if let (Some(group), Some(_)) = (task.group, task.target) {
                match draining.iter_mut().find(|(g, _)| *g == group) {
                    Some((_, n)) => *n += 1,
                    None => draining.push((group, 1)),
                }
            }
        }
        for (group, targets) in draining {
            let arn = &self.groups[group as usize].arn;
            let text = format!("deregistered {targets} targets in (target-group {arn})");
            let service = &mut self.services[s as usize];
            service.say(k.now, &text);
            service.say(
                k.now,
                &format!("has begun draining connections on {targets} tasks."),
            );
        }
        for id in going {
            let deployment = primary.clone();
            self.stop_task(k, *id, Why::Scaling { deployment });
        }
        stopped
    }

    /// Nothing is left to start or stop: has the PRIMARY deployment arrived?
    fn settle(&mut self, k: &mut Kernel, s: u16, count: &Count) {
        let service = &self.services[s as usize];
        if count.primary_healthy != service.desired || count.live != service.desired || count.old_serving {
            return;
        }
        let arriving = service
            .primary()
            .is_some_and(|d| d.rollout == RolloutState::InProgress);
        if arriving && !self.still_bakes(k, s) {
            self.complete(k, s);
        }
        let service = &mut self.services[s as usize];
        if !service.steady {
            service.steady = true;
            service.say(k.now, "has reached a steady state.");
        }
    }

    /// Begins to delete a service.
    pub(crate) fn delete_service(&mut self, k: &mut Kernel, s: u16) {
        let service = &mut self.services[s as usize];
        if service.status != Status::Active {
            return;
        }
        service.status = Status::Draining;
        service.desired = 0;
        for deployment in &mut service.deployments {
            deployment.role = DeploymentRole::Active;
        }
        let id = service.primary().map_or_else(String::new, |d| d.id.to_string());
        let open: Vec<u32> = service
            .records
            .iter()
            .filter(|r| !r.is_over())
            .map(|r| r.number)
            .collect();
        for number in open {
            self.end_record(k.now, s, number, RecordStatus::Stopped, Some(words::DELETED));
        }
        for task in self.services[s as usize].tasks.clone() {
            self.stop_task(
                k,
                task,
                Why::Scaling {
                    deployment: id.clone(),
                },
            );
        }
        // It is DRAINING only "if there are still running tasks that require cleanup" (Amazon ECS API, "DeleteService").
        self.end_drained(s);
        self.schedule(k, s, 0);
    }

    fn end_drained(&mut self, s: u16) {
        let service = &mut self.services[s as usize];
        if service.tasks.is_empty() {
            service.status = Status::Inactive;
            service.deployments.clear();
            service.completed = None;
            service.rolling_back = None;
            // "When you delete a service, Amazon ECS deletes the corresponding service deployment" (developer guide, "View
            // service history using Amazon ECS service deployments").
            service.records.clear();
            service.service_revisions.clear();
        }
    }
}
