//! Each area on the wire: what is seen, what is denied, what is not there, and how many calls it takes.

mod busy;
mod edge;
mod fake;
mod network;
mod stores;
mod task;

use rollout_core::context::OpContext;
use rollout_core::id::Generation;
use rollout_core::pace::Priority;
use rollout_core::port::FactSource as _;
use rollout_core::readiness::example;
use rollout_core::readiness::fact::Snapshot;
use rollout_core::readiness::intent::Intent;
use rollout_core::readiness::known::{Known, Unseen, Why};
use rollout_core::time::Timestamp;

use self::fake::Fake;
use super::call::{ACTIONS, Call};
use super::*;

fn context() -> OpContext {
    OpContext {
        run: "run-1".parse().expect("an id"),
        step: "check".parse().expect("an id"),
        attempt: 1,
        generation: Generation(1),
        deadline: Timestamp::MAX,
        priority: Priority::Look,
    }
}

/// Everything of the example's shop, without its release: what runs is what counts.
fn shop() -> Intent {
    let (_, mut intent) = example::shop();
    intent.release = None;
    intent
}

async fn gathered(fake: &Fake, intent: &Intent) -> Snapshot {
    let source = AwsFacts::from_config(&fake.config()).with_now(Arc::new(|| example::NOW));
    source.gather(&context(), intent).await.expect("facts")
}

fn why<T: fmt::Debug>(known: &Known<T>) -> Option<(Why, String)> {
    match known {
        Known::Unknown(Unseen { why, text, .. }) => Some((*why, text.clone())),
        Known::Seen(_) | Known::Missing => None,
    }
}

#[tokio::test]
async fn what_may_not_be_read_is_unknown_and_names_the_call() {
    let facts = gathered(&Fake::new(), &shop()).await;
    let denied = |known: Option<(Why, String)>, call: &str| {
        let (why, text) = known.expect("unknown");
        assert_eq!(why, Why::Denied, "{text}");
        assert!(text.starts_with(&format!("{call}: AccessDenied")), "{text}");
    };
    let unseen = |unseen: Unseen| Some((unseen.why, unseen.text));
    denied(
        facts.services.find("backend").err().and_then(unseen),
        "ecs:DescribeServices",
    );
    denied(
        facts.zones.find(example::ZONE).err().and_then(unseen),
        "route53:GetHostedZone",
    );
    denied(
        facts.databases.find("storefront").err().and_then(unseen),
        "rds:DescribeDBInstances",
    );
    denied(
        facts.caches.find("storefront").err().and_then(unseen),
        "elasticache:DescribeReplicationGroups",
    );
    let bucket = facts.buckets.get("storefront-assets").expect("its name is known");
    denied(why(&bucket.versioning), "s3:GetBucketVersioning");
    denied(why(&bucket.public_access_blocked), "s3:GetPublicAccessBlock");
    denied(why(&bucket.cors), "s3:GetBucketCors");
    denied(
        facts
            .distributions
            .find(example::DISTRIBUTION)
            .err()
            .and_then(unseen),
        "cloudfront:GetDistribution",
    );
    denied(why(&facts.alarms), "cloudwatch:DescribeAlarms");
    denied(
        facts.dashboards.find("storefront").err().and_then(unseen),
        "cloudwatch:GetDashboard",
    );
    denied(why(&facts.budgets), "budgets:DescribeBudgets");
    denied(
        facts.roles.find(example::DEPLOYER).err().and_then(unseen),
        "iam:GetRole",
    );
    let ask = shop().deployer.asks.first().expect("one").key();
    denied(
        facts.allowed.find(&ask).err().and_then(unseen),
        "iam:SimulatePrincipalPolicy",
    );
    // What nobody was told to ask is not known either, and says so.
    let answer = facts.answers.iter().next().expect("a question").1;
    assert_eq!(why(answer).expect("unknown").0, Why::NotAsked);
    assert_eq!(
        facts.proven.find("backend").expect_err("unknown").why,
        Why::NotAsked
    );
    let way_back = facts.ways_back.find("backend").expect_err("unknown");
    assert_eq!(way_back.why, Why::Denied, "{way_back}");
}

#[tokio::test]
async fn the_caller_is_told_with_the_kind_of_its_key() {
    let facts = gathered(&Fake::new(), &shop()).await;
    let caller = facts.caller.get().expect("seen");
    assert_eq!(caller.identity.account, example::ACCOUNT);
    assert_eq!(caller.identity.region, example::REGION);
    assert_eq!(caller.long_lived_key, Known::Seen(false));
    assert_eq!(facts.at, example::NOW);
}

#[tokio::test]
async fn without_credentials_there_are_no_facts() {
    let fake = Fake::new().error("GetCallerIdentity", 403, "ExpiredToken");
    let source = AwsFacts::from_config(&fake.config());
    let error = source.gather(&context(), &shop()).await.expect_err("nothing");
    assert_eq!(error.kind, rollout_core::error::ErrorKind::PermissionDenied);
    assert!(error.context.contains("ExpiredToken"), "{error}");
}

#[tokio::test]
async fn every_call_that_is_made_is_in_the_policy() {
    let fake = task::shop(edge::shop(network::shop(stores::shop(Fake::new()))));
    let facts = gathered(&fake, &shop()).await;
    let operations: Vec<&str> = Call::ALL.iter().map(|call| call.operation()).collect();
    for (call, count) in &facts.calls {
        assert!(*count > 0);
        assert!(
            operations.contains(&call.as_str()) || ACTIONS.contains(&call.as_str()),
            "{call}"
        );
    }
    // Nothing went over the wire that was not counted.
    let counted: u32 = facts.calls.values().sum();
    assert_eq!(
        usize::try_from(counted).expect("small"),
        fake.count(),
        "{:#?}",
        facts.calls
    );
    // Every call that a round can make, but those that only a release or a layer asks for, was made.
    let rest: Vec<&str> = operations
        .into_iter()
        .filter(|operation| !facts.calls.contains_key(*operation))
        .collect();
    assert_eq!(rest, ["ssm:DescribeParameters"]);
}
