//! Facts of an environment that boto3 made, compared field by field with what boto3 was asked for, and with what it then broke.

mod compare;
mod shop;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use aws_config::{Region, SdkConfig};
use aws_sdk_ecs::config::SharedCredentialsProvider;
use aws_sdk_route53::types::RrType;
use ipnet::IpNet;
use rollout_aws::probe::{AddressPolicy, HttpGate};
use rollout_aws::readiness::AwsFacts;
use rollout_aws::resolve::{Resolve, SystemResolver};
use rollout_aws::route53::Delegation;
use rollout_core::context::OpContext;
use rollout_core::id::Generation;
use rollout_core::pace::Priority;
use rollout_core::port::FactSource as _;
use rollout_core::readiness::check::Scene;
use rollout_core::readiness::fact::release::Records;
use rollout_core::readiness::intent::Intent;
use rollout_core::readiness::known::{Known, Why};
use rollout_core::readiness::report::{Report, Status, judge};
use rollout_core::readiness::{catalogue, example};
use rollout_core::time::Timestamp;
use rollout_tests::emulator::account::Account;
use rollout_tests::emulator::{id, unique};
use serde_json::Value;

use self::compare::{compare, nameless, rest};
use self::shop::{Fault, Shop};

/// Checks that do not pass in an environment that is well built, for want of something that moto has not.
const UNMET: &[(&str, &str)] = &[
    ("budgets_notification_missing", NO_SUBSCRIBERS),
    ("ec2_cache_group_wide", NO_GROUPS),
    ("ecr_lifecycle_deletes_needed", NO_WAY_BACK),
    ("ecr_lifecycle_keeps_few", NO_WAY_BACK),
    ("iam_deployer_permission_missing", NO_SIMULATION),
    ("rollback_image_missing", NO_WAY_BACK),
    ("rollback_point_missing", NO_WAY_BACK),
    ("rollback_revision_inactive", NO_WAY_BACK),
    ("rollback_secret_missing", NO_WAY_BACK),
    ("s3_versioning_off", OTHER_ELEMENT),
    ("secretsmanager_secret_unreadable", NO_SIMULATION),
];
const NO_GROUPS: &str = "moto does not tell the security groups of a cache";
const NO_SIMULATION: &str = "moto has no SimulatePrincipalPolicy";
const NO_SUBSCRIBERS: &str = "moto has no DescribeSubscribersForNotification";
const NO_WAY_BACK: &str = "moto has no ListServiceDeployments: what a rollback would lead to is not known";
const OTHER_ELEMENT: &str =
    "moto answers GetBucketVersioning with `GetBucketVersioningResponse` for `VersioningConfiguration`";

/// Checks that no fault on moto is found by.
const UNTRIED: &[(&str, &str)] = &[
    ("cloudfront_invalidation_missing", OF_INTENT),
    ("cloudwatch_slot_empty", OF_INTENT),
    (
        "elasticache_group_missing",
        "moto lists a replication group that was deleted for ever",
    ),
    (
        "elbv2_zones_few",
        "an Application Load Balancer in one zone is refused, as by AWS",
    ),
    ("iam_deployer_root", "moto has no root user's key"),
    ("procedure_approval_missing", NO_RELEASE),
    ("procedure_digest_unproven", NO_RELEASE),
    ("procedure_owner_missing", OF_INTENT),
    ("procedure_release_frozen", OF_INTENT),
    ("procedure_smoke_test_missing", NO_RELEASE),
    ("procedure_soak_short", NO_RELEASE),
    ("procedure_window_closed", OF_INTENT),
    ("rds_restore_untested", WRITTEN_DOWN),
    ("rollback_drill_stale", WRITTEN_DOWN),
    ("rollback_migration_unmarked", NO_RELEASE),
    (
        "secretsmanager_secret_stale",
        "moto sets the date of a secret's change itself",
    ),
    ("sts_caller_account_wrong", ELSEWHERE),
    ("sts_caller_region_wrong", ELSEWHERE),
];
const ELSEWHERE: &str = "elsewhere nothing of the environment is there, and much else is found";
const NO_RELEASE: &str = "no release is about to be made";
const OF_INTENT: &str = "it is about what is meant, which no cloud holds";
const WRITTEN_DOWN: &str = "it is about what people wrote down, which no cloud holds";

/// moto serves no DNS: the record in the zone above stands for what its name servers would say.
#[derive(Debug)]
struct Above {
    route53: aws_sdk_route53::Client,
    zone: String,
}

#[async_trait]
impl Delegation for Above {
    async fn name_servers(&self, zone: &str) -> Result<Option<Vec<String>>, String> {
        let request = self
            .route53
            .list_resource_record_sets()
            .hosted_zone_id(&self.zone);
        let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
        let mut all = answer.resource_record_sets.into_iter();
        let found = all.find(|one| one.r#type == RrType::Ns && one.name.trim_end_matches('.') == zone);
        Ok(found.map(|record| {
            let values = record.resource_records.into_iter().flatten();
            let mut servers: Vec<String> = values.map(|one| one.value).collect();
            servers.sort();
            servers
        }))
    }
}

/// Every name is served by this machine.
struct Here;

#[async_trait]
impl Resolve for Here {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if host.ends_with(".example.com") {
            return Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))]);
        }
        SystemResolver.resolve(host, port).await
    }
}

/// Who looks: with the shop's credentials, in its region. What moto cannot answer is asked once: without a way to sleep there is no
/// retry.
fn source(shop: &Shop, emulator: &SdkConfig) -> AwsFacts {
    let mut config = emulator
        .to_builder()
        .region(Region::new(example::REGION))
        .credentials_provider(SharedCredentialsProvider::new(shop.credentials.clone()));
    config.set_sleep_impl(None);
    let loopback: IpNet = id("127.0.0.0/8");
    let above = Above {
        route53: aws_sdk_route53::Client::new(emulator),
        zone: shop.parent(),
    };
    AwsFacts::from_config(&config.build())
        .with_http(HttpGate::new(AddressPolicy::new([loopback])).with_resolver(Arc::new(Here)))
        .with_delegation(Arc::new(above))
}

/// What was seen at a time: the facts, without what changes by itself and what other tests have made, and what is said of them.
struct Seen {
    facts: Value,
    report: Report,
}

impl Seen {
    /// Checks that fail, and where; with them those that cannot be judged, unless it is for something that is not there.
    fn failures(&self) -> BTreeSet<(&str, &str)> {
        let all = self.report.findings.iter();
        let failed = all.filter(|finding| match &finding.status {
            Status::Fail { .. } => true,
            Status::Unknown { unseen } => !matches!(unseen.why, Why::Missing | Why::NotAsked),
            Status::Accepted { .. } | Status::NotApplicable { .. } | Status::Pass => false,
        });
        failed
            .map(|finding| (finding.check.as_str(), finding.resource.as_str()))
            .collect()
    }

    /// Checks that fail or cannot be judged, and why.
    fn unmet(&self) -> BTreeMap<&str, String> {
        let all = self.report.findings.iter();
        all.filter_map(|finding| {
            let why = match &finding.status {
                Status::Fail { fault, .. } => format!("fails at {}: {}", finding.resource, fault.seen),
                Status::Unknown { unseen } => format!("is unknown: {unseen}"),
                Status::Accepted { .. } | Status::NotApplicable { .. } | Status::Pass => return None,
            };
            Some((finding.check.as_str(), why))
        })
        .collect()
    }

    /// Checks that find nothing to judge.
    fn idle(&self) -> BTreeSet<&str> {
        let (idle, judged): (Vec<_>, Vec<_>) = self
            .report
            .findings
            .iter()
            .partition(|finding| matches!(finding.status, Status::NotApplicable { .. }));
        let judged: BTreeSet<&str> = judged.into_iter().map(|finding| finding.check.as_str()).collect();
        let idle = idle.into_iter().map(|finding| finding.check.as_str());
        idle.filter(|check| !judged.contains(check)).collect()
    }
}

/// What people wrote down is in no cloud: here it is today's.
fn records(now: Timestamp) -> Records {
    let (facts, _) = example::shop();
    let mut records = facts.records;
    for record in [&mut records.restore_test, &mut records.rollback_drill] {
        if let Known::Seen(record) = record {
            record.at = now;
        }
    }
    records
}

async fn look(source: &AwsFacts, intent: &Intent) -> Seen {
    let ctx = OpContext {
        run: id("facts"),
        step: id("check"),
        attempt: 1,
        generation: Generation(1),
        deadline: Timestamp::MAX,
        priority: Priority::Look,
    };
    let mut facts = source.gather(&ctx, intent).await.expect("facts");
    facts.records = records(facts.at);
    let scene = Scene {
        facts: &facts,
        intent,
    };
    let report = judge(&catalogue::all(), &scene, &[], facts.at);
    let mut facts = serde_json::to_value(facts).expect("JSON");
    let all = facts.as_object_mut().expect("an object");
    for passing in ["at", "calls", "ways_back", "records"] {
        all.remove(passing);
    }
    for shared in ["/alarms/seen", "/budgets/seen"] {
        let shared = facts.pointer_mut(shared).and_then(Value::as_object_mut);
        shared
            .expect("seen")
            .retain(|name, _| name.starts_with(&intent.cluster));
    }
    nameless(&mut facts);
    Seen { facts, report }
}

fn names<'a>(listed: &[(&'a str, &str)]) -> BTreeSet<&'a str> {
    listed.iter().map(|(check, _)| *check).collect()
}

/// Every check passes, or is unmet for a known reason, or is about a release; and every one is tried by a fault, or is not for a known
/// reason.
fn well_built(seen: &Seen, faults: &[Fault]) {
    let unmet = seen.unmet();
    let found: BTreeSet<&str> = unmet.keys().copied().collect();
    assert_eq!(found, names(UNMET), "{unmet:#?}");
    let of_release = UNTRIED.iter().filter(|(_, why)| *why == NO_RELEASE);
    let of_release: BTreeSet<&str> = of_release.map(|(check, _)| *check).collect();
    assert_eq!(seen.idle(), of_release, "checks that find nothing to judge");
    let found_by = faults.iter().flat_map(|fault| &fault.found_by);
    let tried: BTreeSet<&str> = found_by.map(String::as_str).collect();
    let all = seen.report.checks.iter().map(|about| about.id.as_ref());
    let untried: BTreeSet<&str> = all.filter(|check| !tried.contains(check)).collect();
    let known: BTreeSet<&str> = names(UNMET).union(&names(UNTRIED)).copied().collect();
    assert_eq!(untried, known, "checks without a fault");
}

/// Nothing, if the fault is seen, nothing else changes with it, and exactly its checks find it.
fn wrong(fault: &Fault, said: &Value, before: &Seen, after: &Seen) -> Vec<String> {
    let mut wrong = Vec::new();
    if compare(said, &before.facts).is_empty() {
        wrong.push("it was so before".to_owned());
    }
    wrong.extend(compare(said, &after.facts));
    let (was, is) = (
        rest(&before.facts, said, &after.facts),
        rest(&after.facts, said, &before.facts),
    );
    let changed = [compare(&was, &is), compare(&is, &was)].concat();
    wrong.extend(
        changed
            .into_iter()
            .map(|what| format!("something else changed: {what}")),
    );
    let (was, now) = (before.failures(), after.failures());
    let found: BTreeSet<&str> = now.difference(&was).map(|(check, _)| *check).collect();
    let wanted: BTreeSet<&str> = fault.found_by.iter().map(String::as_str).collect();
    if found != wanted {
        wrong.push(format!("found by {found:?} and not by {wanted:?}"));
    }
    wrong
}

/// What boto3 made is seen as it was asked for, and is well built; each fault that boto3 puts in is found by exactly its checks. Before
/// the next one it is put right: what is left of it would be seen as something else that changed.
pub(crate) async fn what_boto3_made() {
    let account = Account::open(shop::ACCOUNT).await;
    let mut shop = Shop::make(&unique("facts"));
    let (intent, faults) = (shop.intent(), shop.faults());
    let mut before = look(&source(&shop, account.config()), &intent).await;
    assert_eq!(compare(shop.facts(), &before.facts), Vec::<String>::new());
    well_built(&before, &faults);
    let mut all = BTreeMap::new();
    for fault in &faults {
        let said = shop.put(fault);
        let after = look(&source(&shop, account.config()), &intent).await;
        let wrong = wrong(fault, &said, &before, &after);
        if !wrong.is_empty() {
            all.insert(fault.name.as_str(), wrong);
        }
        if fault.stays {
            before = after;
        } else {
            shop.heal();
        }
    }
    assert!(all.is_empty(), "{all:#?}");
}
