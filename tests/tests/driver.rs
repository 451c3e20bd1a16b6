//! The driver's own order of calls, with mocks of the ports: what is written before what is called, and what is never called.

use core::time::Duration;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::stream;
use mockall::mock;
use pollster::block_on;
use rollout_core::context::OpContext;
use rollout_core::dns::{
    AuthoritativeAnswer, ChangeBatch, OldTraffic, Propagation, Record, RecordData, RecordKey, Snapshot,
    TargetCheck,
};
use rollout_core::driver::{DriveError, Driver, Perform, PortPerformer};
use rollout_core::error::{Error, ErrorKind};
use rollout_core::evidence::Cause;
use rollout_core::id::{
    ChangeId, DeploymentId, ImageDigest, ImageTag, RepositoryName, ServiceDeploymentArn, ServiceName,
    TaskArn, TaskDefinitionArn, ZoneId,
};
use rollout_core::image::{Ensured, ImageRef, ManifestTree};
use rollout_core::journal::{Durability, Entry, EntryBody, Journal, JournalError};
use rollout_core::machine::Transitions;
use rollout_core::machine::deployment::{self, Deployment, Policy, Spec, Target};
use rollout_core::machine::rollout::{Outcome, Rollout};
use rollout_core::observer::Silent;
use rollout_core::port::{Clock, DnsCutover, Environment, HealthGate, ImagePromotion, Ports, Rollback};
use rollout_core::probe::{Sample, SampleRequest, Verdict};
use rollout_core::service::{
    Captured, DeploymentObservation, DeploymentRole, DeploymentStarted, Identity, Images, RestorePoint,
    RevisionSpec, RolloutState, RunningTask, ServiceChange, ServiceObservation, ServiceStatus,
    TaskObservation, TaskSpec, Usability,
};
use rollout_core::time::Timestamp;
use rollout_tests::run::{fresh, storefront};

mock! {
    Target {}
    #[async_trait]
    impl Environment for Target {
        async fn identity(&self, ctx: &OpContext) -> Result<Identity, Error>;
        async fn observe_service(&self, ctx: &OpContext, service: &ServiceName) -> Result<ServiceObservation, Error>;
        async fn observe_running(&self, ctx: &OpContext, service: &ServiceName) -> Result<ServiceObservation, Error>;
        async fn ensure_revision(&self, ctx: &OpContext, spec: &RevisionSpec) -> Result<(TaskDefinitionArn, Ensured), Error>;
        async fn update_service(&self, ctx: &OpContext, change: &ServiceChange) -> Result<DeploymentStarted, Error>;
        async fn start_task(&self, ctx: &OpContext, spec: &TaskSpec) -> Result<TaskArn, Error>;
        async fn observe_task(&self, ctx: &OpContext, task: &TaskArn) -> Result<TaskObservation, Error>;
        async fn find_task(&self, ctx: &OpContext, spec: &TaskSpec) -> Result<Option<TaskArn>, Error>;
        async fn stop_task(&self, ctx: &OpContext, task: &TaskArn) -> Result<(), Error>;
    }
}
mock! {
    Images {}
    #[async_trait]
    impl ImagePromotion for Images {
        async fn resolve(&self, ctx: &OpContext, repository: &RepositoryName, tag: &ImageTag) -> Result<Option<ImageDigest>, Error>;
        async fn copy(&self, ctx: &OpContext, from: &ImageRef, to: &RepositoryName) -> Result<Ensured, Error>;
        async fn read(&self, ctx: &OpContext, image: &ImageRef) -> Result<Option<ManifestTree>, Error>;
    }
}
mock! {
    Gates {}
    #[async_trait]
    impl HealthGate for Gates {
        async fn sample(&self, ctx: &OpContext, request: &SampleRequest) -> Result<Sample, Error>;
    }
}
mock! {
    Dns {}
    #[async_trait]
    impl DnsCutover for Dns {
        async fn snapshot(&self, ctx: &OpContext, zone: &ZoneId, key: &RecordKey) -> Result<Snapshot, Error>;
        async fn check_target(&self, ctx: &OpContext, data: &RecordData) -> Result<TargetCheck, Error>;
        async fn apply(&self, ctx: &OpContext, batch: &ChangeBatch) -> Result<ChangeId, Error>;
        async fn propagation(&self, ctx: &OpContext, change: &ChangeId) -> Result<Propagation, Error>;
        async fn ask_authoritative(&self, ctx: &OpContext, zone: &ZoneId, expected: &Record) -> Result<Vec<AuthoritativeAnswer>, Error>;
        async fn old_traffic(&self, ctx: &OpContext, data: &RecordData) -> Result<OldTraffic, Error>;
    }
}
mock! {
    Restore {
        fn captured(&self, service: &ServiceName) -> Result<Captured, Error>;
        fn restored(&self, point: &RestorePoint) -> Result<DeploymentStarted, Error>;
        fn rests_on(&self, point: &RestorePoint) -> Result<Usability, Error>;
        fn turned(&self, point: &RestorePoint) -> Result<(), Error>;
    }
}

/// By hand: a borrow within an `Option` is more than the macro takes.
#[async_trait]
impl Rollback for MockRestore {
    async fn capture(&self, _: &OpContext, service: &ServiceName) -> Result<Captured, Error> {
        self.captured(service)
    }
    async fn usable(&self, _: &OpContext, point: &RestorePoint) -> Result<Usability, Error> {
        self.rests_on(point)
    }
    async fn turn_back(
        &self,
        _: &OpContext,
        point: &RestorePoint,
        _: &DeploymentId,
        _: &ServiceDeploymentArn,
    ) -> Result<(), Error> {
        self.turned(point)
    }
    async fn restore(
        &self,
        _: &OpContext,
        point: &RestorePoint,
        _: Option<&DeploymentId>,
    ) -> Result<DeploymentStarted, Error> {
        self.restored(point)
    }
}

/// What was done, in order: by the journal and by the ports.
type Log = Arc<Mutex<Vec<String>>>;

fn say(log: &Log, text: impl Into<String>) {
    log.lock().expect("not poisoned").push(text.into());
}

fn said(log: &Log) -> Vec<String> {
    log.lock().expect("not poisoned").clone()
}

/// The place of the first entry with this beginning.
#[track_caller]
fn place(log: &[String], beginning: &str) -> usize {
    let found = log.iter().position(|entry| entry.starts_with(beginning));
    found.unwrap_or_else(|| panic!("no `{beginning}` in {log:#?}"))
}

/// Logs what is appended, and fails from the first entry with this beginning on.
struct Told {
    log: Log,
    fails_at: Option<&'static str>,
}

#[async_trait]
impl<E, F> Journal<E, F> for Told
where
    E: core::fmt::Debug + Send + Sync,
    F: rollout_core::Effect + core::fmt::Debug + Send + Sync,
{
    async fn append(&self, entry: Entry<'_, E, F>, durability: Durability) -> Result<(), JournalError>
    where
        E: 'async_trait,
        F: 'async_trait,
    {
        let text = match entry.body {
            EntryBody::Opened(_) => "opened".to_owned(),
            EntryBody::Issued { effect } => format!("issued {effect:?}"),
            EntryBody::Happened { event, .. } => format!("happened {event:?}"),
            EntryBody::Resumed(_) => "resumed".to_owned(),
            EntryBody::Closed => "closed".to_owned(),
        };
        if let EntryBody::Issued { effect } = entry.body {
            let wanted = if effect.mutates() {
                Durability::Durable
            } else {
                Durability::Lazy
            };
            assert_eq!(durability, wanted, "{text}");
        }
        if self.fails_at.is_some_and(|beginning| text.starts_with(beginning)) {
            return Err(JournalError::Failed {
                place: "test".to_owned(),
            });
        }
        say(&self.log, text);
        Ok(())
    }
}

/// Moves when it is asked to sleep.
struct Steps(Mutex<Timestamp>);

#[async_trait]
impl Clock for Steps {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("not poisoned")
    }
    async fn sleep_until(&self, moment: Timestamp) {
        let mut now = self.0.lock().expect("not poisoned");
        *now = moment.max(*now);
    }
}

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const NEW: &str = "arn:aws:ecs:eu-central-1:2:task-definition/api:2";

fn digest() -> ImageDigest {
    ImageDigest::of(b"new")
}

/// The service as it is once our deployment has completed.
fn completed(at: Timestamp) -> ServiceObservation {
    let task_definition: TaskDefinitionArn = NEW.parse().expect("a name");
    let ours = DeploymentObservation {
        id: "ecs-svc/2".parse().expect("a name"),
        task_definition: task_definition.clone(),
        role: DeploymentRole::Primary,
        rollout: RolloutState::Completed,
        reason: None,
        desired: 1,
        running: 1,
        pending: 0,
        failed: 0,
        created_at: NOW,
        record: None,
    };
    let task = RunningTask {
        task: "arn:aws:ecs:eu-central-1:2:task/one".parse().expect("a name"),
        task_definition,
        images: Images::from([("api".parse().expect("a name"), digest())]),
        started_by: Some(ours.id.clone()),
        started_at: Some(NOW),
    };
    ServiceObservation {
        at,
        status: ServiceStatus::Active,
        desired: 1,
        running: 1,
        pending: 0,
        deployments: vec![ours],
        tasks: vec![task],
        stopped: Vec::new(),
        events: Vec::new(),
    }
}

/// Ports that log their calls: those of the target are these, every other call is a failure of the test.
fn ports(target: MockTarget) -> Ports {
    Ports {
        target: Arc::new(target),
        source: Arc::new(MockTarget::new()),
        images: Arc::new(MockImages::new()),
        gates: Arc::new(MockGates::new()),
        dns: Arc::new(MockDns::new()),
        rollback: Arc::new(MockRestore::new()),
    }
}

fn deployment() -> Deployment {
    let image = ImageRef {
        repository: "shop/api".parse().expect("a name"),
        digest: digest(),
    };
    let container = || "api".parse().expect("a name");
    let spec = Spec {
        service: "api".parse().expect("a name"),
        target: Target::Release {
            revision: RevisionSpec {
                template: serde_json::json!({ "family": "api" }),
                images: [(container(), image)].into(),
            },
            assumes: Some("ecs-svc/1".parse().expect("a name")),
        },
        images: Images::from([(container(), digest())]),
    };
    let policy = Policy {
        poll_every: Duration::from_secs(5),
        pace: None,
        give_up: Duration::from_secs(600),
        stopped_tasks: 2,
        max_errors: 3,
        answer: Duration::from_secs(20),
        stale_reads: Duration::from_secs(30),
    };
    Deployment::new(spec, policy)
}

/// A target on which everything goes well, as often as these say.
fn good_target(log: &Log, updates: usize) -> MockTarget {
    let mut target = MockTarget::new();
    let told = log.clone();
    target.expect_ensure_revision().times(1).returning(move |_, _| {
        say(&told, "called ensure_revision");
        Ok((NEW.parse().expect("a name"), Ensured::Created))
    });
    let told = log.clone();
    target
        .expect_update_service()
        .times(updates)
        .returning(move |_, change| {
            say(&told, "called update_service");
            assert_eq!(
                change.assumes.as_ref().map(DeploymentId::as_str),
                Some("ecs-svc/1")
            );
            Ok(DeploymentStarted {
                deployment: "ecs-svc/2".parse().expect("a name"),
                service_deployment: None,
                created_at: NOW,
            })
        });
    let told = log.clone();
    target
        .expect_observe_service()
        .times(0..)
        .returning(move |ctx, _| {
            say(&told, "called observe_service");
            // A deadline is the moment of the call and what it may take.
            Ok(completed(Timestamp::from_millis(
                ctx.deadline.as_millis() - 20_000,
            )))
        });
    target
}

fn drive<M>(machine: &mut M, ports: Ports, journal: &Told) -> Result<M::Outcome, DriveError>
where
    M: Transitions + rollout_core::machine::Lifecycle + serde::Serialize + Send + Sync + 'static,
    M::Event: core::fmt::Debug + serde::Serialize + Send + Sync,
    M::Effect: rollout_core::Effect + core::fmt::Debug + Clone + serde::Serialize + Send + Sync,
    PortPerformer: Perform<M>,
{
    let clock = Arc::new(Steps(Mutex::new(NOW)));
    let run = || "r-1".parse().expect("a name");
    let step = "service/api".parse().expect("a name");
    let performer = PortPerformer::new(ports, clock.clone(), run(), step, Duration::from_secs(20));
    let driver = Driver {
        run: run(),
        performer: &performer,
        journal,
        clock: clock.as_ref(),
        observer: &Silent,
    };
    block_on(driver.run(machine, stream::empty()))
}

#[test]
fn an_intent_is_written_before_its_call_and_its_result_before_the_next_intent() {
    let log = Log::default();
    let journal = Told {
        log: log.clone(),
        fails_at: None,
    };
    let outcome = drive(&mut deployment(), ports(good_target(&log, 1)), &journal).expect("driven");
    assert!(
        matches!(outcome, deployment::Outcome::Deployed { .. }),
        "{outcome:?}"
    );
    let log = said(&log);
    let order = [
        "opened",
        "happened Start",
        "issued EnsureRevision",
        "called ensure_revision",
        "happened RevisionReady",
        "issued UpdateService",
        "called update_service",
        "happened Updated",
        "issued Observe",
        "called observe_service",
        "happened Observed",
        "closed",
    ];
    let places: Vec<usize> = order.iter().map(|beginning| place(&log, beginning)).collect();
    assert!(places.is_sorted(), "{log:#?}");
    assert_eq!(log.last().map(String::as_str), Some("closed"));
}

#[test]
fn a_journal_that_fails_stops_the_run_before_the_call() {
    for (fails_at, called) in [
        ("opened", 0),
        ("happened Start", 0),
        ("issued EnsureRevision", 0),
        ("happened RevisionReady", 1),
        ("issued UpdateService", 1),
    ] {
        let log = Log::default();
        let journal = Told {
            log: log.clone(),
            fails_at: Some(fails_at),
        };
        let mut target = MockTarget::new();
        // `update_service` has no expectation: a call of it fails the test.
        let told = log.clone();
        target
            .expect_ensure_revision()
            .times(called)
            .returning(move |_, _| {
                say(&told, "called ensure_revision");
                Ok((NEW.parse().expect("a name"), Ensured::Created))
            });
        let stopped = drive(&mut deployment(), ports(target), &journal);
        assert!(
            matches!(stopped, Err(DriveError::Journal(_))),
            "{fails_at}: {stopped:?}"
        );
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_not_acted_on() {
    let log = Log::default();
    let journal = Told {
        log: log.clone(),
        fails_at: Some("happened Updated"),
    };
    let mut machine = deployment();
    let stopped = drive(&mut machine, ports(good_target(&log, 1)), &journal);
    assert!(matches!(stopped, Err(DriveError::Journal(_))), "{stopped:?}");
    let log = said(&log);
    assert_eq!(
        log.last().map(String::as_str),
        Some("called update_service"),
        "{log:#?}"
    );
    // The machine has not heard of it either: it stands where the journal ends.
    assert_eq!(machine.state_kind(), deployment::StateKind::Updating);
}

/// Answers everything with what does not fit.
struct Confused;

#[async_trait]
impl Perform<Deployment> for Confused {
    async fn perform(&self, _: &deployment::Effect) -> deployment::Event {
        deployment::Event::Start
    }
}

#[test]
fn an_answer_that_the_machine_refuses_halts_the_run() {
    let log = Log::default();
    let journal = Told {
        log: log.clone(),
        fails_at: None,
    };
    let driver = Driver {
        run: "r-1".parse().expect("a name"),
        performer: &Confused,
        journal: &journal,
        clock: &Steps(Mutex::new(NOW)),
        observer: &Silent,
    };
    let halted = block_on(driver.run(&mut deployment(), stream::empty()));
    assert!(matches!(halted, Err(DriveError::Halted(_))), "{halted:?}");
    assert_eq!(
        said(&log).len(),
        4,
        "opened, start, one intent, its answer: {:#?}",
        said(&log)
    );
}

#[test]
fn a_signal_that_the_machine_refuses_is_dropped() {
    let log = Log::default();
    let journal = Told {
        log: log.clone(),
        fails_at: None,
    };
    let clock = Arc::new(Steps(Mutex::new(NOW)));
    let run = || "r-1".parse().expect("a name");
    let step = "service/api".parse().expect("a name");
    let ports = ports(good_target(&log, 1));
    let performer = PortPerformer::new(ports, clock.clone(), run(), step, Duration::from_secs(20));
    let driver = Driver {
        run: run(),
        performer: &performer,
        journal: &journal,
        clock: clock.as_ref(),
        observer: &Silent,
    };
    let twice = stream::iter([deployment::Event::Start, deployment::Event::Start]);
    let outcome = block_on(driver.run(&mut deployment(), twice)).expect("driven");
    assert!(
        matches!(outcome, deployment::Outcome::Deployed { .. }),
        "{outcome:?}"
    );
}

#[test]
fn an_identity_that_is_not_the_environments_leads_to_no_change_at_all() {
    let world = rollout_sim::storefront(8);
    let log = Log::default();
    let mut target = MockTarget::new();
    target.expect_identity().times(1).returning(|_| {
        Ok(Identity {
            account: "999999999999".into(),
            region: "eu-central-1".into(),
            caller: "arn:aws:sts::999999999999:assumed-role/someone/else".into(),
            expires_at: None,
        })
    });
    // Reads that begin beside it may happen. Nothing that changes anything has an expectation, so a call of it fails.
    let unavailable = |what: &str| Error::new(ErrorKind::Unavailable, what, "not now");
    let mut source = MockTarget::new();
    source
        .expect_observe_service()
        .returning(move |_, _| Err(unavailable("observe")));
    let mut images = MockImages::new();
    images
        .expect_resolve()
        .returning(move |_, _, _| Err(unavailable("resolve")));
    let mut gates = MockGates::new();
    gates.expect_sample().returning(|_, _| {
        Ok(Sample {
            at: NOW,
            verdict: Verdict::Pass,
            images: None,
            evidence: Vec::new(),
        })
    });
    let mut dns = MockDns::new();
    dns.expect_snapshot()
        .returning(move |_, _, _| Err(unavailable("snapshot")));
    let mut rollback = MockRestore::new();
    rollback
        .expect_captured()
        .returning(move |_| Err(unavailable("capture")));
    let ports = Ports {
        target: Arc::new(target),
        source: Arc::new(source),
        images: Arc::new(images),
        gates: Arc::new(gates),
        dns: Arc::new(dns),
        rollback: Arc::new(rollback),
    };
    let journal = Told {
        log: log.clone(),
        fails_at: None,
    };
    let mut machine: Rollout = fresh(storefront(&world));
    let outcome = drive(&mut machine, ports, &journal).expect("driven");
    let Outcome::Refused { why } = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(why.cause, Cause::IdentityMismatch);
    assert!(
        why.text.contains("999999999999") && why.text.contains("222222222222"),
        "{why}"
    );
    assert!(!machine.touched());
    let log = said(&log);
    let after = log.iter().skip(place(&log, "happened IdentitySeen") + 1);
    assert_eq!(
        after.collect::<Vec<_>>(),
        ["closed"],
        "something began after the refusal"
    );
}
