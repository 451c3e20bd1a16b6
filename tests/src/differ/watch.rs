//! A service watched from before a call until nothing moves any more.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::fact::{Course, Facts};
use super::look::{Deployment, Look};
use super::service::Service;
use super::stage::{CLUSTER, Stage};

/// What was there before, and what is seen since.
#[derive(Debug)]
pub struct Watch<'a> {
    stage: &'a Stage,
    service: &'a Service,
    /// Before the call.
    pub before: Look,
    records: Vec<(String, String)>,
    /// New deployments in the order in which they appear.
    new: Vec<String>,
    /// By id: what it runs, and its course.
    courses: BTreeMap<String, (String, Course)>,
    counted: BTreeSet<String>,
    desired: Course,
    phases: BTreeSet<String>,
    ends: BTreeSet<String>,
    started_by: BTreeSet<String>,
    reasons: BTreeSet<String>,
    targets: BTreeSet<String>,
    failed: i32,
    fewest: i32,
}

/// The service's deployments in `ListServiceDeployments`, newest first: ARN and status. None where they cannot be listed.
pub async fn records(stage: &Stage, service: &Service) -> Vec<(String, String)> {
    let listed = stage
        .ecs
        .list_service_deployments()
        .cluster(CLUSTER)
        .service(&service.name)
        .send()
        .await;
    let all = listed.ok().and_then(|listed| listed.service_deployments);
    let told = all.unwrap_or_default().into_iter().map(|record| {
        let status = record.status.map(|status| status.as_str().to_owned());
        (
            record.service_deployment_arn.unwrap_or_default(),
            status.unwrap_or_default(),
        )
    });
    told.collect()
}

impl<'a> Watch<'a> {
    /// Looks before the call.
    pub async fn begin(stage: &'a Stage, service: &'a Service) -> Self {
        Self {
            before: Look::at(stage, service).await,
            records: records(stage, service).await,
            stage,
            service,
            new: Vec::new(),
            courses: BTreeMap::new(),
            counted: BTreeSet::new(),
            desired: Course::default(),
            phases: BTreeSet::new(),
            ends: BTreeSet::new(),
            started_by: BTreeSet::new(),
            reasons: BTreeSet::new(),
            targets: BTreeSet::new(),
            failed: 0,
            fewest: i32::MAX,
        }
    }

    /// Watches until the step is over, and says what was seen.
    pub async fn end(mut self, facts: &mut Facts, step: &str) {
        let (settles, last) = self.settle().await;
        facts.words(step, "settles", if settles { "yes" } else { "no" });
        self.tell(facts, step, &last).await;
    }

    /// Watches until the step is over: whether it came to that, and the last look.
    pub async fn settle(&mut self) -> (bool, Look) {
        let begun = Instant::now();
        let mut last = Look::default();
        let mut changed = begun;
        loop {
            let look = Look::at(self.stage, self.service).await;
            self.take(&look);
            if look != last {
                last = look;
                changed = Instant::now();
            }
            if last.is_settled() && changed.elapsed() >= self.stage.calm {
                return (true, last);
            }
            if begun.elapsed() >= self.stage.patience {
                return (false, last);
            }
            // Little is to be seen while nothing moves.
            let rests = if last.is_settled() { 4 } else { 1 };
            tokio::time::sleep(self.stage.every * rests).await;
        }
    }

    fn take(&mut self, look: &Look) {
        for deployment in &look.deployments {
            let known = self.before.deployments.iter().any(|d| d.id == deployment.id);
            if !known && !self.new.contains(&deployment.id) {
                self.new.push(deployment.id.clone());
            }
            self.course(deployment);
            if !known {
                self.failed = self.failed.max(deployment.failed);
            }
            if !self.before.deployments.contains(deployment) && !deployment.reason.is_empty() {
                self.reasons
                    .insert(format!("{}: {}", deployment.rollout, deployment.reason));
            }
        }
        for (id, (_, course)) in &mut self.courses {
            if !look.deployments.iter().any(|d| d.id == *id) {
                course.saw("gone");
            }
        }
        let counted = match look.running.cmp(&look.desired) {
            core::cmp::Ordering::Less => "fewer",
            core::cmp::Ordering::Equal => "as many",
            core::cmp::Ordering::Greater => "more",
        };
        self.counted.insert(counted.to_owned());
        self.desired.saw(look.desired.to_string());
        self.fewest = self.fewest.min(look.running);
        self.targets.extend(look.targets.iter().cloned());
        for task in &look.tasks {
            let before = self.before.tasks.iter().find(|t| t.arn == task.arn);
            if before.is_none() {
                self.phases.insert(task.last.clone());
                self.started_by.insert(task.started_by.clone());
            }
            if let (Some(end), true) = (&task.end, before.is_none_or(|t| t.end.is_none())) {
                self.ends.insert(end.clone());
            }
        }
    }

    fn course(&mut self, deployment: &Deployment) {
        let first = || (deployment.tag.clone(), Course::default());
        let (_, course) = self.courses.entry(deployment.id.clone()).or_insert_with(first);
        course.saw(format!("{} {}", deployment.role, deployment.rollout));
    }

    /// The course of a deployment, with what it runs.
    fn told(&self, id: &str) -> String {
        let told = self
            .courses
            .get(id)
            .map(|(tag, course)| format!("{tag}: {course}"));
        told.unwrap_or_else(|| "not seen".to_owned())
    }

    async fn tell(self, facts: &mut Facts, step: &str, last: &Look) {
        let old = self.before.primary().map(|primary| primary.id.clone());
        if let Some(old) = old {
            facts.words(step, "earlier deployment", self.told(&old));
        }
        let aspects = ["new deployment", "second new deployment", "third new deployment"];
        for (aspect, id) in aspects.iter().zip(&self.new) {
            facts.words(step, aspect, self.told(id));
        }
        facts.words(step, "new deployments", self.new.len().to_string());
        let over = |d: &&Deployment| {
            !(d.rollout == "FAILED" && self.before.deployments.iter().any(|b| b.id == d.id))
        };
        let left = last
            .deployments
            .iter()
            // What an earlier step left behind is said there.
            .filter(over)
            .map(|d| format!("{} {} {}", d.role, d.tag, d.rollout))
            .collect();
        facts.names(step, "deployments at the end", left);
        facts.words(step, "desiredCount", self.desired.to_string());
        facts.names(step, "runningCount against it", self.counted);
        facts.words(step, "fewest running", self.fewest.to_string());
        facts.words(step, "running at the end", last.running_tags());
        facts.words(step, "failedTasks", self.failed.to_string());
        facts.names(step, "rolloutStateReason", self.reasons);
        facts.names(step, "phases of new tasks", self.phases);
        facts.names(step, "startedBy of new tasks", self.started_by);
        facts.names(step, "stopped tasks", self.ends);
        facts.names(step, "target states", self.targets);
        let known: BTreeSet<&String> = self.before.events.iter().map(|(id, _)| id).collect();
        let new = last.events.iter().filter(|(id, _)| !known.contains(id));
        facts.names(step, "events", new.map(|(_, text)| text.clone()).collect());
        let after = records(self.stage, self.service).await;
        let new = after
            .iter()
            .filter(|(arn, _)| self.records.iter().all(|(old, _)| old != arn));
        let mut course = Course::default();
        for (_, status) in new.collect::<Vec<_>>().into_iter().rev() {
            course.saw(status.clone());
        }
        facts.words(step, "service deployments", course.to_string());
    }
}
