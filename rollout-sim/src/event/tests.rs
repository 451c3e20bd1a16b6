//! What a queue is told, and how it gives it out.

use core::time::Duration;

use rollout_core::time::Timestamp;
use serde_json::Value;

use super::Delivery;
use super::queue::Received;
use crate::testkit::{Bench, world_with};
use crate::{Start, World};

const QUEUE: &str = "rollout-events";

/// A service of three tasks whose tag 2 starts in this way, and a queue that hears of it.
fn bench(seed: u64, start: Start) -> Bench {
    let mut world = world_with(seed, start, |s| s.load_balanced(8080));
    let url = world.feed("prod", QUEUE).expect("a queue");
    assert_eq!(
        url,
        format!("https://sqs.eu-central-1.amazonaws.com/111111111111/{QUEUE}")
    );
    Bench::new(world)
}

/// Deploys tag 2.
fn deploy(bench: &Bench) {
    bench.update("2").expect("updated");
}

/// Everything that is in the queue after a while, read one by one as a reader does.
fn read(bench: &Bench, minutes: u64) -> Vec<(Timestamp, Value)> {
    let mut all = Vec::new();
    bench.cloud.with(|world| {
        let until = world.now().after(Duration::from_secs(60 * minutes));
        while world.now() < until {
            world.pass(Duration::from_secs(1));
            let now = world.now();
            let queue = &mut world.events.queues[0];
            for message in queue.receive(now, 10, 30) {
                all.push((now, serde_json::from_str(&message.body).expect("JSON")));
                assert!(queue.remove(&message.receipt));
            }
        }
    });
    all
}

fn names<'a>(all: &'a [(Timestamp, Value)], kind: &str) -> Vec<&'a str> {
    let of = all.iter().filter(|(_, event)| event["detail-type"] == kind);
    of.map(|(_, event)| event["detail"]["eventName"].as_str().unwrap_or_default())
        .collect()
}

#[test]
fn a_deployment_is_told_from_its_start_to_its_end() {
    let bench = bench(1, Start::Ok);
    assert_eq!(read(&bench, 1), [], "nothing happens, nothing is told");
    deploy(&bench);
    let all = read(&bench, 20);
    assert_eq!(
        names(&all, "ECS Deployment State Change"),
        ["SERVICE_DEPLOYMENT_IN_PROGRESS", "SERVICE_DEPLOYMENT_COMPLETED"]
    );
    assert!(names(&all, "ECS Service Action").contains(&"SERVICE_STEADY_STATE"));
    let of_tasks: Vec<&Value> = all
        .iter()
        .map(|(_, event)| event)
        .filter(|event| event["detail-type"] == "ECS Task State Change")
        .collect();
    let stopped = of_tasks
        .iter()
        .filter(|e| e["detail"]["lastStatus"] == "STOPPED")
        .count();
    assert_eq!(stopped, 3, "the old ones");
    let first = of_tasks[0];
    assert_eq!(first["source"], "aws.ecs");
    assert_eq!(first["detail"]["group"], "service:api");
    assert_eq!(
        first["detail"]["clusterArn"],
        "arn:aws:ecs:eu-central-1:111111111111:cluster/prod"
    );
    assert_eq!(first["resources"][0], first["detail"]["taskArn"]);
    assert_eq!(first["detail"]["version"], 1);
    let completed = all
        .iter()
        .find(|(_, event)| event["detail"]["eventName"] == "SERVICE_DEPLOYMENT_COMPLETED");
    let (_, completed) = completed.expect("told");
    assert_eq!(
        completed["resources"][0],
        "arn:aws:ecs:eu-central-1:111111111111:service/prod/api"
    );
    let time = completed["time"].as_str().expect("a time");
    assert!(
        time.ends_with('Z') && time.len() == "2020-05-23T12:31:14Z".len(),
        "{time}"
    );
}

#[test]
fn a_failed_deployment_is_told_with_its_reason_and_so_is_the_way_back() {
    let crash = Start::CrashAfter {
        millis: 2_000,
        exit_code: 3,
    };
    let bench = bench(2, crash);
    deploy(&bench);
    let all = read(&bench, 20);
    let told = names(&all, "ECS Deployment State Change");
    assert_eq!(
        told[..2],
        ["SERVICE_DEPLOYMENT_IN_PROGRESS", "SERVICE_DEPLOYMENT_FAILED"]
    );
    let failed = all
        .iter()
        .find(|(_, event)| event["detail"]["eventName"] == "SERVICE_DEPLOYMENT_FAILED");
    let (_, failed) = failed.expect("told");
    assert_eq!(failed["detail"]["eventType"], "ERROR");
    assert_eq!(
        failed["detail"]["reason"],
        "ECS deployment circuit breaker: tasks failed to start."
    );
    let crash = all
        .iter()
        .find(|(_, event)| event["detail"]["stopCode"] == "EssentialContainerExited");
    let (_, crash) = crash.expect("told");
    assert_eq!(crash["detail"]["desiredStatus"], "STOPPED");
}

#[test]
fn a_world_with_a_queue_runs_as_one_without() {
    let with = bench(3, Start::Ok);
    let mut plain = with.cloud.world();
    plain.events = super::Events::default();
    let without = Bench::new(plain);
    for bench in [&with, &without] {
        deploy(bench);
        bench.cloud.with(|world| world.pass(Duration::from_secs(900)));
    }
    let (with, without) = (with.cloud.world(), without.cloud.world());
    assert_eq!(with.trace(), without.trace());
    assert!(with.queued("prod", QUEUE).expect("there") > 10);
    let text = serde_json::to_string(&with).expect("stored");
    let back: World = serde_json::from_str(&text).expect("read");
    assert_eq!(back.queued("prod", QUEUE), with.queued("prod", QUEUE));
}

#[test]
fn poor_delivery_loses_doubles_delays_and_disorders() {
    let all = |delivery: Delivery| {
        let bench = bench(4, Start::Ok);
        bench
            .cloud
            .with(|world| world.deliver("prod", QUEUE, delivery))
            .expect("a rule");
        deploy(&bench);
        let all = read(&bench, 30);
        let ids: Vec<String> = all.iter().map(|(_, e)| e["id"].to_string()).collect();
        let mut once = ids.clone();
        once.sort();
        once.dedup();
        let times: Vec<String> = all.iter().map(|(_, e)| e["time"].to_string()).collect();
        (ids.len(), once.len(), times.is_sorted())
    };
    let (good, once, _) = all(Delivery::default());
    assert_eq!(good, once, "each once");
    let (came, kinds, in_order) = all(Delivery::POOR);
    assert!(kinds < good, "some are lost");
    assert!(came > kinds, "some come twice");
    assert!(!in_order, "some come late");
    assert_eq!(all(Delivery::SILENT).0, 0);
}

#[test]
fn a_message_in_somebodys_hands_is_kept_from_others_until_it_is_deleted_or_time_is_up() {
    let bench = bench(5, Start::Ok);
    deploy(&bench);
    let mut world = bench.cloud.world();
    world.pass(Duration::from_secs(20));
    let now = world.now();
    let queue = &mut world.events.queues[0];
    let first = queue.receive(now, 2, 30);
    assert_eq!(first.len(), 2);
    let ids = |all: &[Received]| all.iter().map(|m| m.id.clone()).collect::<Vec<_>>();
    let others = queue.receive(now, 10, 60);
    assert!(
        ids(&others).iter().all(|id| !ids(&first).contains(id)),
        "in somebody's hands"
    );
    let late = now.after(Duration::from_secs(30));
    let mut again = queue.receive(late, 10, 30);
    again.retain(|message| ids(&first).contains(&message.id));
    again.sort_by_key(|message| message.id != first[0].id);
    assert_eq!(ids(&again), ids(&first));
    assert_eq!((again[0].received, again[0].first_received_at), (2, now));
    let before = queue.len();
    assert!(queue.remove(&first[0].receipt), "an older receipt is taken");
    assert_eq!(queue.len(), before, "and deletes nothing");
    assert!(queue.remove(&again[0].receipt));
    assert_eq!(queue.len(), before - 1);
    assert!(!queue.remove("AQEBnonsense"));
    // Given back to whoever asks next.
    assert_eq!(queue.keep(late, &again[1].receipt, 0), Some(true));
    assert_eq!(
        queue.keep(late, &again[1].receipt, 0),
        Some(false),
        "in nobody's hands"
    );
    assert_eq!(ids(&queue.receive(late, 10, 30)), [again[1].id.clone()]);
    // Older than it is kept.
    let days = late.after(Duration::from_secs(345_601));
    assert_eq!(queue.receive(days, 10, 30), []);
}

#[test]
fn a_queue_is_made_once_and_may_be_deleted() {
    let bench = bench(6, Start::Ok);
    bench.cloud.with(|world| {
        world.feed("prod", QUEUE).expect("the same one");
        assert_eq!(world.events.queues.len(), 1);
        assert!(world.feed("prod", "no such name!").is_err());
        assert!(world.feed("nowhere", QUEUE).is_err());
        assert!(world.deliver("prod", "another", Delivery::POOR).is_err());
        world.delete_queue("prod", QUEUE).expect("there");
        assert!(world.delete_queue("prod", QUEUE).is_err());
        assert!(world.queued("prod", QUEUE).is_err());
    });
    deploy(&bench);
    bench.cloud.with(|world| world.pass(Duration::from_secs(60)));
}
