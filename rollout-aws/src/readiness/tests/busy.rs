//! How long an account's token buckets hold back the facts of an environment with many services.

use core::time::Duration;

use rollout_core::pace::{Limit, documented};
use rollout_core::port::Clock as _;
use rollout_core::readiness::intent::ServiceIntent;
use serde_json::{Value, json};

use super::fake::{Fake, Said, Sent};
use super::*;
use crate::observer::called;
use crate::testing::Virtual;

const SERVICES: usize = 20;
/// How many calls a second are let through where AWS documents nothing: ours, and fewer than are known to be taken.
const UNDOCUMENTED: u32 = 5;

const ACCOUNT: &str = "arn:aws:SERVICE:eu-central-1:222222222222";

fn arn(service: &str, rest: &str) -> String {
    format!("{}:{rest}", ACCOUNT.replace("SERVICE", service))
}

/// The parameters of a query that begin so, in order.
fn parameters(sent: &Sent, begin: &str) -> Vec<String> {
    let pairs = sent.body.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .filter(|(name, _)| name.starts_with(begin))
        .map(|(_, value)| value.replace("%3A", ":").replace("%2F", "/"))
        .collect()
}

fn definition(sent: &Sent) -> Said {
    let asked: Value = serde_json::from_str(&sent.body).expect("JSON");
    let whole = asked
        .get("taskDefinition")
        .and_then(Value::as_str)
        .expect("an ARN");
    let name = whole
        .rsplit('/')
        .next()
        .and_then(|last| last.split(':').next())
        .expect("a family");
    let role = |kind: &str| format!("arn:aws:iam::222222222222:role/{name}-{kind}");
    Said::Json(json!({"taskDefinition": {
        "taskDefinitionArn": whole, "status": "ACTIVE", "cpu": "512", "memory": "1024", "networkMode": "awsvpc",
        "executionRoleArn": role("execution"), "taskRoleArn": role("task"),
        "containerDefinitions": [{
            "name": name, "image": format!("222222222222.dkr.ecr.eu-central-1.amazonaws.com/{name}@{}", task::DIGEST),
            "secrets": [{"name": "DATABASE_URL", "valueFrom": arn("secretsmanager", &format!("secret:production/{name}-AbCdEf"))}],
            "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": format!("/ecs/{name}")}},
            "portMappings": [{"containerPort": 8787}],
        }],
    }}))
}

/// Twenty services, each with a task definition, a target group, two roles, a secret, a log group and a repository of its own: as
/// little as possible is shared.
fn shop() -> Fake {
    let shop = task::shop(edge::shop(network::shop(stores::shop(Fake::new()))));
    let group = |name: &str| {
        arn(
            "elasticloadbalancing",
            &format!("targetgroup/{name}/6d0ecf831eec9f09"),
        )
    };
    shop.on("DescribeServices", move |sent| {
        let asked: Value = serde_json::from_str(&sent.body).expect("JSON");
        let names = asked.get("services").and_then(Value::as_array).expect("names");
        let service = |name: &str| {
            let mut service = task::service(name);
            let all = service.as_object_mut().expect("an object");
            let attached = json!([{"targetGroupArn": group(name), "containerName": name, "containerPort": 8787}]);
            all.insert("loadBalancers".to_owned(), attached);
            service
        };
        let all: Vec<Value> = names.iter().filter_map(Value::as_str).map(service).collect();
        Said::Json(json!({"services": all, "failures": []}))
    })
    .on("DescribeTaskDefinition", definition)
    .on("DescribeTargetGroups", |sent| {
        let groups = parameters(sent, "TargetGroupArns.member.");
        let member = |arn: &String| {
            format!(
                "<member><TargetGroupArn>{arn}</TargetGroupArn><TargetGroupName>x</TargetGroupName><Protocol>HTTP</Protocol>\
                 <Port>8787</Port><LoadBalancerArns><member>{}</member></LoadBalancerArns></member>",
                example::BALANCER
            )
        };
        let members: String = groups.iter().map(member).collect();
        Said::Xml(format!("<TargetGroups>{members}</TargetGroups>"))
    })
}

fn limits() -> Vec<Limit> {
    let mut limits = documented();
    for (service, operation) in Call::ALL.iter().map(|call| called(call.operation())) {
        if !limits.iter().any(|limit| limit.holds(service, operation)) {
            limits.push(Limit::new(service, &[operation], UNDOCUMENTED, UNDOCUMENTED));
        }
    }
    limits
}

/// An environment with twenty services takes less than a minute of bucket time: every call waits for its bucket, and answers take no
/// time at all.
#[tokio::test(start_paused = true)]
async fn twenty_services_take_less_than_a_minute_of_bucket_time() {
    let mut intent = super::shop();
    let one = intent.services.first().expect("one").clone();
    let service = |index| ServiceIntent {
        name: format!("service-{index:02}").parse().expect("a name"),
        ..one.clone()
    };
    intent.services = (0..SERVICES).map(service).collect();
    let clock = Arc::new(Virtual::new());
    let observer = Arc::new(SharedObserver::with_limits(Arc::clone(&clock) as _, limits(), 7));
    let fake = shop();
    let source = AwsFacts::from_config(&fake.config())
        .with_now(Arc::new(|| example::NOW))
        .shared(&observer);
    let begun = clock.now();
    let facts = source.gather(&context(), &intent).await.expect("facts");
    let took = clock.now().since(begun);
    let spent = observer.spent();
    let waited = spent.iter().filter(|(_, spent)| spent.waited > Duration::ZERO);
    let waited: Vec<_> = waited
        .map(|(call, spent)| (call, spent.calls, spent.longest))
        .collect();
    let calls: u32 = facts.calls.values().sum();
    println!("{calls} calls in {took:?} of bucket time; {waited:#?}");
    // It is what it says it is: nothing was left out to be fast.
    assert_eq!(facts.services.names().count(), SERVICES);
    assert_eq!(facts.task_definitions.names().count(), SERVICES);
    assert_eq!(facts.target_groups.names().count(), SERVICES);
    assert_eq!(facts.secrets.names().count(), SERVICES);
    // Two of each service, and the deployer's.
    assert_eq!(facts.roles.names().count(), 2 * SERVICES + 1);
    assert_eq!(usize::try_from(calls).expect("small"), fake.count());
    assert!(took < Duration::from_secs(60), "{took:?}: {waited:#?}");
    // The buckets were there: without them it would have taken no time.
    assert!(!waited.is_empty());
}

/// What the source answers is paid for out of its own buckets, and by its own account's observer.
#[tokio::test(start_paused = true)]
async fn calls_of_the_source_are_charged_to_the_source() {
    let clock = Arc::new(Virtual::new());
    let observer = || Arc::new(SharedObserver::with_limits(Arc::clone(&clock) as _, limits(), 7));
    let (here, there) = (observer(), observer());
    let (target, proven) = (shop(), shop());
    let source = Source::from_config(&proven.config(), "staging").shared(&there);
    let facts = AwsFacts::from_config(&target.config())
        .with_now(Arc::new(|| example::NOW))
        .shared(&here)
        .with_source(source);
    let facts = facts.gather(&context(), &super::shop()).await.expect("facts");
    let sent = |observer: &SharedObserver| observer.sent().values().sum::<u64>();
    assert_eq!(usize::try_from(sent(&there)).expect("small"), proven.count());
    assert_eq!(usize::try_from(sent(&here)).expect("small"), target.count());
    assert!(proven.count() > 0);
    let calls: u32 = facts.calls.values().sum();
    assert_eq!(
        usize::try_from(calls).expect("small"),
        target.count() + proven.count()
    );
}
