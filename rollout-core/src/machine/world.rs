//! A small world for the tests of the composed machines: it answers every effect, truthfully or badly, as dice say.
//! It is no simulation (that is `rollout-sim`); it is there so that random scripts get far.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::dns::{
    AuthoritativeAnswer, Change, ChangeBatch, OldTraffic, Propagation, Record, RecordData, RecordKey,
    RecordType, Snapshot, TargetCheck,
};
use crate::error::{Applied, Error, ErrorKind, ErrorRecord};
use crate::evidence::{Cause, Evidence};
use crate::id::{DeploymentId, ImageDigest, ServiceName, TaskDefinitionArn, ZoneId};
use crate::image::{Ensured, ManifestTree};
use crate::machine::{cutover, deployment, gate, promotion, task};
use crate::plan::rollback::{Proof, RollbackPolicy};
use crate::plan::{
    CutoverPlan, Draft, ExpectedIdentity, GatePlan, RolloutPlan, RolloutPolicy, ServicePlan, TaskPlan, When,
};
use crate::probe::{HttpProbe, ProbeTarget, Sample, Verdict};
use crate::service::{
    Captured, ContainerExit, DeploymentObservation, DeploymentRole, DeploymentStarted, Found, Identity,
    Images, Part, PartKind, RestorePoint, RolloutState, RunningTask, ServiceObservation, ServiceStatus,
    StoppedTask, TaskObservation, Usability,
};
use crate::time::Timestamp;

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn digest(of: &str) -> ImageDigest {
    ImageDigest::of(of.as_bytes())
}

/// How an answer goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Luck {
    /// It does not.
    Good,
    /// The call fails and may be repeated.
    Later,
    /// The call fails for good.
    Never,
    /// The call takes effect and its answer is lost.
    LostAfter,
    /// The call takes no effect and its answer is lost.
    LostBefore,
    /// The call is fine; what it finds is bad.
    Bad,
    /// Someone else acts first.
    Foreign,
}

impl Luck {
    /// Mostly good.
    pub(crate) fn of(die: u8) -> Self {
        match die {
            0..=228 => Self::Good,
            229..=235 => Self::Later,
            236..=238 => Self::Never,
            239..=242 => Self::LostAfter,
            243..=246 => Self::LostBefore,
            247..=252 => Self::Bad,
            253..=255 => Self::Foreign,
        }
    }
}

#[derive(Clone, Debug)]
struct Service {
    deployment: DeploymentId,
    task_definition: TaskDefinitionArn,
    images: Images,
    failing: bool,
}

/// The world.
#[derive(Clone, Debug)]
pub(crate) struct World {
    services: BTreeMap<ServiceName, Service>,
    revisions: BTreeMap<TaskDefinitionArn, Images>,
    records: BTreeMap<RecordKey, Record>,
    deployments: u32,
    changes: u32,
}

fn failed(kind: ErrorKind, applied: Applied) -> ErrorRecord {
    Error::new(kind, "test:Call", "the world says no")
        .applied(applied)
        .record()
}

pub(crate) fn images(version: &str) -> Images {
    Images::from([("app".parse().expect("valid"), digest(version))])
}

pub(crate) fn record_key() -> RecordKey {
    RecordKey {
        name: "shop.example.com".parse().expect("valid"),
        record_type: RecordType::Cname,
        set_identifier: None,
    }
}

impl World {
    /// Every service of the plan runs `old`, completed.
    pub(crate) fn new(plan: &RolloutPlan) -> Self {
        let mut world = Self {
            services: BTreeMap::new(),
            revisions: BTreeMap::new(),
            records: BTreeMap::new(),
            deployments: 0,
            changes: 0,
        };
        for service in &plan.services {
            let task_definition: TaskDefinitionArn = format!("{}:1", service.name).parse().expect("valid");
            world.revisions.insert(task_definition.clone(), images("old"));
            world.go(&service.name, &task_definition);
        }
        let old = RecordData::Values {
            ttl: 300,
            values: vec!["old.example.com".to_owned()],
        };
        world.records.insert(
            record_key(),
            Record {
                key: record_key(),
                weight: None,
                data: old,
            },
        );
        world
    }

    /// What each service runs.
    pub(crate) fn runs(&self, service: &ServiceName) -> Option<&Images> {
        self.services.get(service).map(|service| &service.images)
    }

    /// Where the record points.
    pub(crate) fn record(&self) -> Option<&RecordData> {
        self.records.get(&record_key()).map(|record| &record.data)
    }

    fn go(&mut self, service: &ServiceName, task_definition: &TaskDefinitionArn) -> DeploymentId {
        if let Some(present) = self.services.get(service)
            && present.task_definition == *task_definition
        {
            return present.deployment.clone();
        }
        self.deployments += 1;
        let deployment: DeploymentId = format!("ecs-svc/{}", self.deployments).parse().expect("valid");
        let images = self.revisions.get(task_definition).cloned().unwrap_or_default();
        let new = Service {
            deployment: deployment.clone(),
            task_definition: task_definition.clone(),
            images,
            failing: false,
        };
        self.services.insert(service.clone(), new);
        deployment
    }

    fn foreign(&mut self, service: &ServiceName) {
        let theirs: TaskDefinitionArn = format!("{service}:99").parse().expect("valid");
        self.revisions.insert(theirs.clone(), images("theirs"));
        self.go(service, &theirs);
    }

    pub(crate) fn identity() -> Identity {
        Identity {
            account: "1".into(),
            region: "r".into(),
            caller: "me".into(),
            expires_at: None,
        }
    }

    pub(crate) fn capture(&self, service: &ServiceName, now: Timestamp) -> Captured {
        match self.services.get(service) {
            None => Captured::Nothing {
                why: "missing".into(),
                deployment: None,
            },
            Some(present) => Captured::Point(RestorePoint {
                service: service.clone(),
                captured_at: now,
                task_definition: present.task_definition.clone(),
                images: present.images.clone(),
                deployment: present.deployment.clone(),
                desired: 1,
                since: None,
            }),
        }
    }

    /// Everything that a restore point rests on is there.
    pub(crate) fn usable(point: &RestorePoint, now: Timestamp) -> Usability {
        let part = |kind, name: String| Part {
            kind,
            name,
            found: Found::Usable,
        };
        let images = point.images.keys().map(|container| {
            let kind = PartKind::Image {
                container: container.clone(),
            };
            part(kind, format!("image of container {container}"))
        });
        let revision = part(PartKind::Revision, format!("revision {}", point.task_definition));
        Usability {
            at: now,
            parts: core::iter::once(revision).chain(images).collect(),
        }
    }

    pub(crate) fn observe(&self, service: &ServiceName, now: Timestamp) -> ServiceObservation {
        let Some(present) = self.services.get(service) else {
            return ServiceObservation {
                at: now,
                status: ServiceStatus::Missing,
                desired: 0,
                running: 0,
                pending: 0,
                deployments: vec![],
                tasks: vec![],
                stopped: vec![],
                events: vec![],
            };
        };
        let running = u32::from(!present.failing);
        let task = RunningTask {
            task: format!("task/{}", present.deployment).parse().expect("valid"),
            task_definition: present.task_definition.clone(),
            images: present.images.clone(),
            started_by: Some(present.deployment.clone()),
            started_at: Some(Timestamp::EPOCH),
        };
        let stopped = StoppedTask {
            task: format!("task/x{}", present.deployment).parse().expect("valid"),
            task_definition: present.task_definition.clone(),
            started_by: Some(present.deployment.clone()),
            stopped_at: now,
            cause: Some(Cause::ContainerExited),
            code: None,
            reason: "Essential container in task exited".into(),
            containers: vec![],
            log_tail: vec!["boom".into()],
        };
        ServiceObservation {
            at: now,
            status: ServiceStatus::Active,
            desired: 1,
            running,
            pending: 1 - running,
            deployments: vec![DeploymentObservation {
                id: present.deployment.clone(),
                task_definition: present.task_definition.clone(),
                role: DeploymentRole::Primary,
                rollout: if present.failing {
                    RolloutState::InProgress
                } else {
                    RolloutState::Completed
                },
                reason: None,
                desired: 1,
                running,
                pending: 1 - running,
                failed: 1 - running,
                created_at: Timestamp::EPOCH,
                record: None,
            }],
            tasks: if present.failing { vec![] } else { vec![task] },
            stopped: if present.failing { vec![stopped; 3] } else { vec![] },
            events: vec![],
        }
    }

    pub(crate) fn promotion(
        &self,
        effect: &promotion::Effect,
        luck: Luck,
        now: Timestamp,
    ) -> promotion::Event {
        use promotion::{Effect, Event};
        match (luck, effect) {
            (Luck::Later, _) => Event::CallFailed(failed(ErrorKind::Unavailable, Applied::No)),
            (Luck::Never, _) => Event::CallFailed(failed(ErrorKind::PermissionDenied, Applied::No)),
            (Luck::LostAfter | Luck::LostBefore, _) => {
                Event::CallFailed(failed(ErrorKind::TimedOut, Applied::Maybe))
            }
            (Luck::Bad, Effect::ResolveTag { .. }) => Event::TagResolved(None),
            (Luck::Foreign, Effect::ResolveTag { .. }) => Event::TagResolved(Some(digest("moved"))),
            (Luck::Good, Effect::ResolveTag { .. }) => Event::TagResolved(Some(digest("new"))),
            (luck, Effect::ObserveSource { service }) => {
                let mut seen = Self {
                    services: BTreeMap::new(),
                    ..self.clone()
                };
                let new: TaskDefinitionArn = "source:1".parse().expect("valid");
                let version = if luck == Luck::Good { "new" } else { "other" };
                seen.revisions.insert(new.clone(), images(version));
                seen.go(service, &new);
                Event::SourceObserved(Box::new(seen.observe(service, now)))
            }
            (_, Effect::CopyImage { .. }) => Event::Copied(Ensured::Created),
            (luck, Effect::ReadBack { image }) => Event::ReadBack(Some(ManifestTree {
                digest: if luck == Luck::Good {
                    image.digest.clone()
                } else {
                    digest("broken")
                },
                media_type: "m".into(),
                children: vec![],
                missing: vec![],
            })),
        }
    }

    pub(crate) fn task(&self, effect: &task::Effect, luck: Luck, now: Timestamp) -> task::Event {
        use task::{Effect, Event};
        let arn = "task/one-off".parse().expect("valid");
        match (luck, effect) {
            (Luck::Later, _) => Event::CallFailed(failed(ErrorKind::Unavailable, Applied::No)),
            (Luck::Never, _) => Event::CallFailed(failed(ErrorKind::PermissionDenied, Applied::No)),
            (Luck::LostAfter | Luck::LostBefore, _) => {
                Event::CallFailed(failed(ErrorKind::TimedOut, Applied::Maybe))
            }
            (_, Effect::StartTask { .. }) => Event::Started(arn),
            (luck, Effect::FindTask { .. }) => Event::Found((luck == Luck::Good).then_some(arn)),
            (luck, Effect::ObserveTask { task }) => Event::Observed(TaskObservation::Stopped(StoppedTask {
                task: task.clone(),
                task_definition: "migrate:1".parse().expect("valid"),
                started_by: None,
                stopped_at: now,
                cause: None,
                code: None,
                reason: "Essential container in task exited".into(),
                containers: vec![ContainerExit {
                    name: "app".parse().expect("valid"),
                    essential: true,
                    exit_code: Some(i32::from(luck != Luck::Good)),
                    reason: None,
                }],
                log_tail: vec![],
            })),
            (_, Effect::StopTask { .. }) => Event::StopSent,
        }
    }

    pub(crate) fn deployment(
        &mut self,
        effect: &deployment::Effect,
        luck: Luck,
        now: Timestamp,
    ) -> deployment::Event {
        use deployment::{Effect, Event};
        let service = match effect {
            Effect::EnsureRevision(_) => None,
            Effect::UpdateService(change) => Some(change.service.clone()),
            Effect::Restore { point, .. } | Effect::TurnBack { point, .. } => Some(point.service.clone()),
            Effect::Observe { service } => Some(service.clone()),
        };
        if let (Luck::Foreign, Some(service)) = (luck, &service) {
            self.foreign(service);
        }
        if let (Luck::Bad, Some(service)) = (luck, &service)
            && let Some(present) = self.services.get_mut(service)
        {
            present.failing = true;
        }
        match luck {
            Luck::Later => return Event::CallFailed(failed(ErrorKind::Throttled, Applied::No)),
            Luck::Never => return Event::CallFailed(failed(ErrorKind::PermissionDenied, Applied::No)),
            Luck::LostBefore => return Event::CallFailed(failed(ErrorKind::TimedOut, Applied::Maybe)),
            Luck::Good | Luck::LostAfter | Luck::Bad | Luck::Foreign => {}
        }
        let answer = match effect {
            Effect::EnsureRevision(spec) => {
                let family = spec
                    .template
                    .get("family")
                    .and_then(|f| f.as_str())
                    .unwrap_or("family")
                    .to_owned();
                let task_definition: TaskDefinitionArn = format!("{family}:2").parse().expect("valid");
                let images = spec
                    .images
                    .iter()
                    .map(|(c, image)| (c.clone(), image.digest.clone()))
                    .collect();
                self.revisions.insert(task_definition.clone(), images);
                Event::RevisionReady {
                    task_definition,
                    ensured: Ensured::Created,
                }
            }
            Effect::UpdateService(change) => self.write(
                &change.service,
                &change.task_definition,
                change.assumes.as_ref(),
                now,
            ),
            Effect::Restore { point, assumes } => {
                self.write(&point.service, &point.task_definition, assumes.as_ref(), now)
            }
            // This world keeps no records, so that nobody asks for it.
            Effect::TurnBack { .. } => Event::CallFailed(failed(ErrorKind::Unsupported, Applied::No)),
            Effect::Observe { service } => Event::Observed(Box::new(self.observe(service, now))),
        };
        if luck == Luck::LostAfter {
            return Event::CallFailed(failed(ErrorKind::TimedOut, Applied::Maybe));
        }
        answer
    }

    fn write(
        &mut self,
        service: &ServiceName,
        task_definition: &TaskDefinitionArn,
        assumes: Option<&DeploymentId>,
        now: Timestamp,
    ) -> deployment::Event {
        let primary = self.services.get(service).map(|present| &present.deployment);
        if assumes.is_some() && assumes != primary {
            return deployment::Event::CallFailed(failed(ErrorKind::Conflict, Applied::No));
        }
        let deployment = self.go(service, task_definition);
        deployment::Event::Updated(DeploymentStarted {
            deployment,
            service_deployment: None,
            created_at: now,
        })
    }

    pub(crate) fn gate(&self, effect: &gate::Effect, luck: Luck, now: Timestamp) -> gate::Event {
        let gate::Effect::TakeSample(request) = effect;
        let probe = request.probe.clone();
        match luck {
            Luck::Later | Luck::LostAfter | Luck::LostBefore => gate::Event::SampleFailed {
                probe,
                error: failed(ErrorKind::Unavailable, Applied::No),
            },
            Luck::Never => gate::Event::SampleFailed {
                probe,
                error: failed(ErrorKind::PermissionDenied, Applied::No),
            },
            Luck::Good => gate::Event::Sampled {
                probe,
                sample: sample(Verdict::Pass, now),
            },
            Luck::Bad => gate::Event::Sampled {
                probe,
                sample: sample(Verdict::Fail, now),
            },
            Luck::Foreign => gate::Event::Sampled {
                probe,
                sample: sample(Verdict::Unknown, now),
            },
        }
    }

    pub(crate) fn snapshot(&self, zone: &ZoneId, key: &RecordKey, now: Timestamp) -> Snapshot {
        let marker = crate::dns::Marker::key(key).expect("valid");
        Snapshot {
            at: now,
            zone: zone.clone(),
            record: self.records.get(key).cloned(),
            marker: self.records.get(&marker).cloned(),
        }
    }

    pub(crate) fn cutover(&mut self, effect: &cutover::Effect, luck: Luck, now: Timestamp) -> cutover::Event {
        use cutover::{Effect, Event};
        if luck == Luck::Foreign
            && let Some(record) = self.records.get_mut(&record_key())
        {
            record.data = RecordData::Values {
                ttl: 77,
                values: vec!["theirs.example.com".into()],
            };
        }
        match (luck, effect) {
            (Luck::Later, _) => Event::CallFailed(failed(ErrorKind::Throttled, Applied::No)),
            (Luck::Never, _) => Event::CallFailed(failed(ErrorKind::PermissionDenied, Applied::No)),
            (Luck::LostBefore, _) => Event::CallFailed(failed(ErrorKind::TimedOut, Applied::Maybe)),
            (luck, Effect::Apply { batch }) => match (self.apply(batch), luck) {
                (_, Luck::LostAfter) => Event::CallFailed(failed(ErrorKind::TimedOut, Applied::Maybe)),
                (true, _) => Event::Applied(format!("C{}", self.changes).parse().expect("valid")),
                (false, _) => Event::CallFailed(failed(ErrorKind::Conflict, Applied::No)),
            },
            (Luck::LostAfter, _) => Event::CallFailed(failed(ErrorKind::TimedOut, Applied::Maybe)),
            (_, Effect::TakeSnapshot { zone, key }) => {
                Event::SnapshotTaken(Box::new(self.snapshot(zone, key, now)))
            }
            (luck, Effect::CheckTarget { .. }) => Event::TargetChecked(TargetCheck {
                at: now,
                healthy: Some(luck != Luck::Bad),
                evidence: vec![],
            }),
            (luck, Effect::SeePropagation { .. }) => Event::PropagationSeen(if luck == Luck::Bad {
                Propagation::Pending
            } else {
                Propagation::InSync
            }),
            (luck, Effect::AskAuthoritative { expected, .. }) => {
                let says = self
                    .records
                    .get(&expected.key)
                    .is_some_and(|record| record.data == expected.data);
                Event::Answered(vec![AuthoritativeAnswer {
                    server: "ns-1".into(),
                    at: now,
                    matches: Some(says && luck != Luck::Bad),
                    detail: String::new(),
                }])
            }
            (luck, Effect::SeeOldTraffic { .. }) => Event::OldTrafficSeen(OldTraffic {
                at: now,
                requests_per_minute: (luck != Luck::Bad).then_some(0),
            }),
        }
    }

    /// All or nothing; a DELETE must name the exact record, a CREATE a record that is not there.
    fn apply(&mut self, batch: &ChangeBatch) -> bool {
        let mut next = self.records.clone();
        for change in batch.changes() {
            let done = match change {
                Change::Delete(record) => next.remove(&record.key).is_some_and(|old| old == *record),
                Change::Create(record) => next.insert(record.key.clone(), record.clone()).is_none(),
            };
            if !done {
                return false;
            }
        }
        self.changes += 1;
        self.records = next;
        true
    }
}

pub(crate) fn sample(verdict: Verdict, at: Timestamp) -> Sample {
    Sample {
        at,
        verdict,
        images: None,
        evidence: vec![Evidence::new(at, "test", "probe", format!("{verdict:?}"))],
    }
}

pub(crate) fn deployment_policy() -> deployment::Policy {
    deployment::Policy {
        poll_every: secs(5),
        pace: None,
        give_up: secs(600),
        stopped_tasks: 2,
        max_errors: 3,
        answer: secs(60),
        stale_reads: secs(20),
    }
}

pub(crate) fn cutover_policy() -> cutover::Policy {
    cutover::Policy {
        poll_first: secs(1),
        poll_max: secs(8),
        in_sync: secs(300),
        verify: secs(60),
        watch: secs(20),
        watch_failures: 2,
        max_errors: 3,
        answer: secs(60),
    }
}

fn http_gate(name: &str) -> GatePlan {
    let live = HttpProbe {
        url: "https://shop.example.com/health/live".into(),
        status: vec![],
        body_contains: None,
        latency: secs(1),
        timeout: secs(5),
        redirects: 0,
    };
    let probe = |name: &str, target| gate::ProbeSpec {
        name: name.parse().expect("valid"),
        target,
        every: secs(5),
        successes: 2,
        failures: 1,
        errors: 3,
        max_age: secs(60),
        dry_run: false,
    };
    GatePlan {
        name: name.parse().expect("valid"),
        condition: gate::Condition::All(vec![
            gate::Condition::Probe("live".parse().expect("valid")),
            gate::Condition::Probe("alarms".parse().expect("valid")),
        ]),
        probes: vec![
            probe("live", ProbeTarget::Http(live)),
            probe(
                "alarms",
                ProbeTarget::Alarms {
                    names: vec!["5xx".into()],
                },
            ),
        ],
        warm_up: secs(2),
        bake: secs(10),
        give_up: secs(300),
        answer: secs(20),
    }
}

/// Three services, a migration and a report, a gate a service and one for the release, one record.
pub(crate) fn plan(reversible: bool) -> RolloutPlan {
    let image = |service: &str| promotion::Spec {
        from: format!("shop/{service}").parse().expect("valid"),
        reference: promotion::Reference::Tag("1.2.3".parse().expect("valid")),
        to: format!("shop/{service}").parse().expect("valid"),
        service: service.parse().expect("valid"),
        container: "app".parse().expect("valid"),
        soak: secs(0),
    };
    let service = |name: &str, after: &[&str]| ServicePlan {
        name: name.parse().expect("valid"),
        after: after.iter().map(|name| name.parse().expect("valid")).collect(),
        images: BTreeMap::from([("app".parse().expect("valid"), image(name))]),
        template: serde_json::json!({ "family": name }),
        deployment: deployment_policy(),
        gates: vec![http_gate("health")],
    };
    let task = |name: &str, when, reversible| TaskPlan {
        name: name.parse().expect("valid"),
        template: serde_json::json!({ "family": name }),
        images: BTreeMap::from([(
            "app".parse().expect("valid"),
            "shop/backend".parse().expect("valid"),
        )]),
        run: serde_json::json!({}),
        when,
        reversible,
        policy: task::Policy {
            poll_every: secs(5),
            give_up: secs(300),
            max_errors: 3,
            answer: secs(60),
        },
    };
    let policy = RolloutPolicy {
        retry_every: secs(5),
        max_errors: 3,
        check: secs(120),
        confirm: secs(120),
        bounds: crate::plan::Bounds { services_at_once: 2 },
        promotion: promotion::Policy {
            retry_every: secs(5),
            max_errors: 3,
            answer: secs(60),
            proceed: secs(120),
        },
        unwind_deployment: deployment_policy(),
        unwind_cutover: cutover_policy(),
        rollback: RollbackPolicy::default(),
        readiness: Proof::Unasked,
    };
    RolloutPlan::check(Draft {
        run: "r-1".parse().expect("valid"),
        release: "1.2.3".into(),
        from: "staging".parse().expect("valid"),
        to: "production".parse().expect("valid"),
        expects: ExpectedIdentity {
            account: "1".into(),
            region: "r".into(),
            caller: None,
        },
        services: vec![
            service("backend", &[]),
            service("frontend", &["backend"]),
            service("worker", &["backend"]),
        ],
        tasks: vec![
            task("migrate", When::BeforeServices, reversible),
            task("report", When::AfterServices, true),
        ],
        gates: vec![http_gate("release")],
        cutovers: vec![CutoverPlan {
            zone: "Z1".parse().expect("valid"),
            key: record_key(),
            to: RecordData::Values {
                ttl: 300,
                values: vec!["new.example.com".into()],
            },
            lowered_ttl: 30,
            allow_unhealthy_target: false,
            drain: Some(cutover::Drain {
                level: 5,
                hold: secs(10),
                give_up: secs(120),
            }),
            policy: cutover_policy(),
        }],
        policy,
    })
    .expect("a valid plan")
}
