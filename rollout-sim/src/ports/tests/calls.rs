use super::{open, service};
use core::time::Duration;

use pollster::block_on;
use rollout_core::dns::{ChangeBatch, Marker, Propagation, RecordKey, RecordType};
use rollout_core::error::{Applied, ErrorKind, Retry};
use rollout_core::evidence::Cause;
use rollout_core::id::{Generation, ZoneId};
use rollout_core::image::{Ensured, ImageRef};
use rollout_core::port::Ports;
use rollout_core::probe::{HttpProbe, ProbeTarget, Sample, SampleRequest, Subject, Verdict};
use rollout_core::service::{RevisionSpec, TaskObservation, TaskSpec};
use rollout_core::time::Timestamp;

use crate::behaviour::{Behaviour, Job, Start};
use crate::faults::{Disturbance, Fault, Operation};
use crate::incident::{Incident, When};
use crate::storefront::{Storefront, storefront};
use crate::testkit::{Bench, ctx, world};
use crate::{AlarmState, SimCloud, Span};

fn sample(ports: &Ports, target: ProbeTarget) -> Sample {
    let request = SampleRequest {
        probe: "probe".parse().expect("a name"),
        target,
        subject: Subject {
            service: None,
            images: [].into(),
            changed_at: Timestamp::EPOCH,
        },
    };
    block_on(ports.gates.sample(&ctx("gate", 1), &request)).expect("the source answers")
}

fn get(ports: &Ports, url: &str) -> Sample {
    let probe = HttpProbe {
        url: url.to_owned(),
        status: Vec::new(),
        body_contains: Some("ok".to_owned()),
        latency: Duration::from_millis(500),
        timeout: Duration::from_secs(2),
        redirects: 0,
    };
    sample(ports, ProbeTarget::Http(probe))
}

#[test]
fn the_storefront_is_as_described() {
    let (cloud, ports) = open(storefront(1));
    let day = Duration::from_secs(24 * 60 * 60);
    for (port, account, tag, tasks) in [
        (&ports.source, "111111111111", "2.4.0", [2, 2, 1]),
        (&ports.target, "222222222222", "2.3.0", [3, 2, 2]),
    ] {
        let who = block_on(port.identity(&ctx("identity", 1))).expect("it answers");
        assert_eq!(
            (who.account.as_str(), who.region.as_str()),
            (account, "eu-central-1")
        );
        for (name, count) in ["backend", "frontend", "worker"].into_iter().zip(tasks) {
            let seen =
                block_on(port.observe_service(&ctx("observe", 1), &service(name))).expect("it answers");
            assert_eq!(
                (seen.desired, seen.running, seen.pending),
                (count, count, 0),
                "{name}"
            );
            let repository = format!("storefront/{name}");
            let digest = cloud
                .with(|w| w.image("staging", &repository, tag))
                .expect("pushed");
            for task in &seen.tasks {
                assert_eq!(task.images.values().collect::<Vec<_>>(), [&digest]);
                assert!(seen.at.since(task.started_at.expect("it runs")) > day);
            }
        }
    }
    for url in [
        "https://staging.example.com/health/ready",
        "https://shop.example.com/health/live",
        "http://backend.production.internal:8787/health/ready",
        "http://www.example.com/",
    ] {
        let sample = get(&ports, url);
        assert_eq!(sample.verdict, Verdict::Pass, "{url}: {:?}", sample.evidence);
    }
    assert_eq!(get(&ports, "http://nowhere.example.com/").verdict, Verdict::Fail);
}

#[test]
fn promotion_copies_exact_bytes_once() {
    let (cloud, ports) = open(storefront(2));
    let repository = "storefront/backend".parse().expect("a name");
    let tag = "2.4.0".parse().expect("a tag");
    let digest = block_on(ports.images.resolve(&ctx("resolve", 1), &repository, &tag)).expect("it answers");
    let digest = digest.expect("it was pushed");
    let image = ImageRef {
        repository: repository.clone(),
        digest,
    };
    let read = || block_on(ports.images.read(&ctx("read", 1), &image)).expect("it answers");
    assert_eq!(read(), None);
    let copy = || block_on(ports.images.copy(&ctx("copy", 1), &image, &repository)).expect("it is there");
    assert_eq!((copy(), copy()), (Ensured::Created, Ensured::AlreadyThere));
    let tree = read().expect("copied");
    assert_eq!(
        (tree.digest, tree.children.len(), tree.missing.len()),
        (image.digest.clone(), 2, 0)
    );
    assert_eq!(
        cloud.with(|w| w.calls().effects().count()),
        1,
        "the second copy changed nothing"
    );
    let absent = "storefront/nothing".parse().expect("a name");
    let error = block_on(ports.images.resolve(&ctx("resolve", 1), &absent, &tag)).expect_err("no repository");
    assert_eq!(error.kind, ErrorKind::NotFound);
    // A tag that moves names another digest.
    cloud.with(|w| {
        let incident = Incident::TagMoves {
            repository: repository.clone(),
            tag: tag.clone(),
            content: "something else".into(),
        };
        w.schedule("staging", When::After(Duration::from_secs(1)), incident)
            .expect("it exists");
        w.pass(Duration::from_secs(2));
    });
    let moved = block_on(ports.images.resolve(&ctx("resolve", 2), &repository, &tag)).expect("it answers");
    assert_ne!(moved, Some(image.digest));
}

fn migration(cloud: &SimCloud, environment: &str, tag: &str) -> TaskSpec {
    let digest = cloud
        .with(|w| w.image(environment, "storefront/migrate", tag))
        .expect("pushed");
    let repository = "storefront/migrate".parse().expect("a name");
    TaskSpec {
        name: "migrate".parse().expect("a name"),
        revision: RevisionSpec {
            template: serde_json::json!({
                "family": "storefront-migrate",
                "containerDefinitions": [{ "name": "migrate", "essential": true, "image": "" }],
            }),
            images: [(
                "migrate".parse().expect("a name"),
                ImageRef { repository, digest },
            )]
            .into(),
        },
        run: serde_json::json!({ "launchType": "FARGATE" }),
    }
}

#[test]
fn a_task_starts_once_for_each_token() {
    let (cloud, ports) = open(storefront(3));
    let mut spec = migration(&cloud, "production", "2.3.0");
    let start =
        |spec: &TaskSpec, attempt| block_on(ports.target.start_task(&ctx("task/migrate", attempt), spec));
    let first = start(&spec, 1).expect("it starts");
    assert_eq!(start(&spec, 1).expect("the same token"), first);
    assert_ne!(start(&spec, 2).expect("another token"), first);
    spec.run = serde_json::json!({ "launchType": "EC2" });
    assert_eq!(
        start(&spec, 1).expect_err("other parameters").kind,
        ErrorKind::Conflict
    );
    let look = || block_on(ports.target.observe_task(&ctx("task/migrate", 1), &first)).expect("it answers");
    assert!(matches!(look(), TaskObservation::Running { status, .. } if status == "PROVISIONING"));
    cloud.with(|w| w.pass(Duration::from_secs(60)));
    let TaskObservation::Stopped(stopped) = look() else {
        panic!("it has ended")
    };
    assert_eq!((stopped.cause, stopped.containers[0].exit_code), (None, Some(0)));
    let find = || block_on(ports.target.find_task(&ctx("task/migrate", 1), &spec)).expect("it answers");
    assert_eq!(find(), Some(first.clone()));
    cloud.with(|w| w.pass(Duration::from_secs(3_700)));
    assert!(matches!(look(), TaskObservation::Missing { .. }));
    assert_eq!(find(), None, "nobody can tell any more");
}

#[test]
fn a_migration_that_fails_says_how() {
    let (cloud, ports) = open(storefront(4));
    let digest = cloud
        .with(|w| w.image("production", "storefront/migrate", "2.3.0"))
        .expect("pushed");
    let job = Job {
        takes: Span::secs(5, 5),
        exit_code: 2,
    };
    let behaviour = Behaviour {
        job,
        ..Behaviour::default()
    }
    .logging(["relation exists"]);
    cloud
        .with(|w| w.behave("production", &digest, behaviour))
        .expect("it exists");
    let spec = migration(&cloud, "production", "2.3.0");
    let task = block_on(ports.target.start_task(&ctx("task/migrate", 1), &spec)).expect("it starts");
    cloud.with(|w| w.pass(Duration::from_secs(90)));
    let seen = block_on(ports.target.observe_task(&ctx("task/migrate", 1), &task)).expect("it answers");
    let TaskObservation::Stopped(stopped) = seen else {
        panic!("it has ended")
    };
    assert_eq!(
        (stopped.cause, stopped.containers[0].exit_code),
        (Some(Cause::ContainerExited), Some(2))
    );
    assert_eq!(stopped.log_tail, ["relation exists"]);
    block_on(ports.target.stop_task(&ctx("task/migrate", 1), &task)).expect("one that has ended is no error");
}

#[test]
fn gates_see_what_there_is() {
    let (cloud, ports) = open(storefront(5));
    let group = cloud
        .with(|w| w.target_group("production", "backend"))
        .expect("it exists")
        .expect("it has one");
    let health = |at_least| {
        let target_group = group.clone();
        sample(
            &ports,
            ProbeTarget::TargetHealth {
                target_group,
                at_least,
            },
        )
    };
    assert_eq!(
        (health(3).verdict, health(4).verdict),
        (Verdict::Pass, Verdict::Fail)
    );
    let alarms = |names: &[&str]| {
        let names = names.iter().map(|n| (*n).to_owned()).collect();
        sample(&ports, ProbeTarget::Alarms { names }).verdict
    };
    assert_eq!(alarms(&["storefront-backend-5xx"]), Verdict::Pass);
    assert_eq!(
        alarms(&["storefront-backend-5xx", "no-such-alarm"]),
        Verdict::Unknown
    );
    assert_eq!(alarms(&[]), Verdict::Unknown);
    cloud
        .with(|w| {
            w.set_alarm(
                "production",
                "storefront-backend-5xx",
                AlarmState::InsufficientData,
            )
        })
        .expect("it exists");
    assert_eq!(alarms(&["storefront-backend-5xx"]), Verdict::Unknown);
    let custom = ProbeTarget::Custom {
        name: "ours".to_owned(),
        parameters: serde_json::Value::Null,
    };
    assert_eq!(sample(&ports, custom).verdict, Verdict::Unknown);
    cloud.with(|w| {
        let all = Incident::Everything {
            service: "backend".into(),
            start: Start::Unhealthy,
        };
        w.schedule("production", When::After(Duration::ZERO), all)
            .expect("it exists");
        w.pass(Duration::from_secs(25));
    });
    assert_eq!(health(1).verdict, Verdict::Fail);
    let probe = get(&ports, "http://backend.production.internal/health/ready");
    assert_eq!(probe.verdict, Verdict::Fail, "{:?}", probe.evidence);
    // New tasks are unhealthy until their grace period ends, so the alarm sees two bad minutes in a row before long.
    let fires = cloud.with(|w| {
        let end = w.now().after(Duration::from_secs(1_800));
        w.advance_until(end, |w| {
            w.alarm("production", "storefront-unhealthy-hosts") == Ok(AlarmState::Alarm)
        })
    });
    assert!(fires);
    assert_eq!(alarms(&["storefront-unhealthy-hosts"]), Verdict::Fail);
}

#[test]
fn an_alarm_follows_the_errors_of_a_release() {
    let (cloud, ports) = open(storefront(6));
    let backend = cloud
        .with(|w| w.image("production", "storefront/backend", "2.3.0"))
        .expect("pushed");
    cloud.with(|w| {
        let bad = Behaviour {
            errors_per_10_000: 400,
            ..Behaviour::default()
        };
        w.behave("production", &backend, bad).expect("it exists");
        let restart = Incident::ForeignDeployer {
            service: "backend".into(),
            image: None,
        };
        w.schedule("production", When::After(Duration::ZERO), restart)
            .expect("it exists");
        w.pass(Duration::from_secs(600));
    });
    assert_eq!(
        cloud.with(|w| w.alarm("production", "storefront-backend-5xx")),
        Ok(AlarmState::Alarm)
    );
    let verdicts: Vec<_> = (0..400)
        .map(|_| get(&ports, "http://backend.production.internal/api/").verdict)
        .collect();
    let failed = verdicts.iter().filter(|v| **v == Verdict::Fail).count();
    assert!((4..40).contains(&failed), "{failed} of 400");
}

#[test]
fn a_record_moves_by_compare_and_set() {
    let (cloud, ports) = open(storefront(7));
    let zone: ZoneId = "Z0STOREFRONT".parse().expect("an id");
    let key = RecordKey {
        name: "shop.example.com".parse().expect("a name"),
        record_type: RecordType::A,
        set_identifier: None,
    };
    let snapshot = || block_on(ports.dns.snapshot(&ctx("dns", 1), &zone, &key)).expect("it answers");
    let seen = snapshot();
    let old = seen.record.clone().expect("it points at the old side");
    let staging = RecordKey {
        name: "staging.example.com".parse().expect("a name"),
        ..key.clone()
    };
    let mut new = cloud
        .with(|w| w.record(&zone, &staging).map(Option::<&_>::cloned))
        .expect("the zone exists")
        .expect("it exists");
    new.key = key.clone();
    let check = block_on(ports.dns.check_target(&ctx("dns", 1), &new.data)).expect("it answers");
    assert_eq!(check.healthy, Some(true), "{:?}", check.evidence);
    let traffic = || {
        let seen = block_on(ports.dns.old_traffic(&ctx("dns", 1), &old.data)).expect("it answers");
        seen.requests_per_minute
    };
    assert_eq!(traffic(), Some(600));
    let marker = Marker {
        generation: Generation(1),
        run: "r-1".parse().expect("an id"),
    };
    let batch = ChangeBatch::compare_and_set(&seen, new.clone(), &marker).expect("well formed");
    let apply = || block_on(ports.dns.apply(&ctx("dns", 1), &batch));
    let change = apply().expect("current values");
    let busy = apply().expect_err("another is being taken in");
    assert_eq!(
        (busy.kind, busy.retry, busy.applied),
        (ErrorKind::Throttled, Retry::Later, Applied::No)
    );
    cloud.with(|w| w.pass(Duration::from_secs(1)));
    assert_eq!(
        apply().expect_err("the values are stale now").kind,
        ErrorKind::Conflict
    );
    assert_eq!(snapshot().generation(), Generation(1));
    let propagation = || block_on(ports.dns.propagation(&ctx("dns", 1), &change)).expect("it is known");
    assert_eq!(propagation(), Propagation::Pending);
    cloud.with(|w| w.pass(Duration::from_secs(60)));
    assert_eq!(propagation(), Propagation::InSync);
    let answers = block_on(ports.dns.ask_authoritative(&ctx("dns", 1), &zone, &new)).expect("it answers");
    assert!(
        answers.len() == 4 && answers.iter().all(|a| a.matches == Some(true)),
        "{answers:?}"
    );
    cloud.with(|w| w.pass(Duration::from_secs(130)));
    let left = traffic().expect("it was sent there");
    assert!(
        (1..120).contains(&left),
        "only those who stretch the TTL are left: {left}"
    );
    cloud.with(|w| w.pass(Duration::from_secs(900)));
    assert_eq!(traffic(), Some(0));
}

#[test]
fn faults_come_before_the_effect_or_after_it() {
    let bench = Bench::new(world(1, Start::Ok));
    let first = bench.see().primary().expect("deployed").id.clone();
    bench.cloud.with(|w| {
        w.disturb(Fault::nth(
            Operation::UpdateService,
            1,
            Disturbance::Refused(ErrorKind::Throttled),
        ));
        w.disturb(Fault::nth(Operation::UpdateService, 2, Disturbance::LostAnswer));
    });
    let error = bench.update("2").expect_err("refused");
    assert_eq!(
        (error.kind, error.applied, error.retry),
        (ErrorKind::Throttled, Applied::No, Retry::Later)
    );
    assert_eq!(bench.see().primary().expect("deployed").id, first);
    let error = bench.update("2").expect_err("lost");
    assert_eq!((error.kind, error.applied), (ErrorKind::TimedOut, Applied::Maybe));
    let ours = bench.see().primary().expect("deployed").id.clone();
    assert_ne!(ours, first);
    assert_eq!(bench.update("2").expect("the same again").deployment, ours);
    bench.cloud.with(|w| {
        assert_eq!(w.calls().count(Operation::UpdateService), 3);
        let effects: Vec<_> = w.calls().effects().map(|m| m.operation).collect();
        assert_eq!(effects, [Operation::EnsureRevision, Operation::UpdateService]);
        assert_eq!(
            w.calls()
                .mutations()
                .iter()
                .filter(|m| m.operation == Operation::UpdateService)
                .count(),
            2
        );
    });
}

#[test]
fn reading_changes_nothing() {
    let (cloud, ports) = open(storefront(8));
    let before = cloud.world();
    block_on(async {
        for name in ["backend", "worker", "nothing"] {
            let seen = ports.target.observe_service(&ctx("o", 1), &service(name)).await;
            seen.expect("it answers");
            ports
                .rollback
                .capture(&ctx("c", 1), &service(name))
                .await
                .expect("it answers");
        }
    });
    assert_eq!(cloud.with(|w| w.calls().mutations().len()), 0);
    assert_eq!(
        cloud.with(|w| w.service("production", "backend")),
        before.service("production", "backend")
    );
}

#[test]
fn a_bad_release_in_staging_is_bad_in_production_too() {
    let world = Storefront::new(13)
        .staging("2.5.0")
        .production("2.4.1")
        .build()
        .expect("good tags");
    let (cloud, ports) = open(world);
    let digest = cloud
        .with(|w| w.image("staging", "storefront/backend", "2.5.0"))
        .expect("pushed");
    cloud
        .with(|w| w.behave("staging", &digest, Behaviour::starting(Start::Unhealthy)))
        .expect("it exists");
    let image = ImageRef {
        repository: "storefront/backend".parse().expect("a name"),
        digest: digest.clone(),
    };
    block_on(ports.images.copy(&ctx("copy", 1), &image, &image.repository)).expect("it is there");
    cloud.with(|w| {
        let image = Some((image.repository.clone(), digest));
        let deploy = Incident::ForeignDeployer {
            service: "backend".into(),
            image,
        };
        w.schedule("production", When::After(Duration::ZERO), deploy)
            .expect("it exists");
        w.pass(Duration::from_secs(400));
        let seen = w.service("production", "backend").expect("it exists");
        assert!(
            seen.stopped
                .iter()
                .any(|t| t.cause == Some(Cause::HealthCheckFailed)),
            "{seen:#?}"
        );
    });
}
