//! Databases, caches, buckets, and what all of it may cost.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_budgets::types as budgets;
use aws_sdk_elasticache::types as elasticache;
use aws_sdk_rds::types as rds;
use aws_sdk_s3::types::BucketVersioningStatus;
use futures_util::future::{join, join3};
use rollout_core::readiness::fact::data::{Bucket, Budget, Cache, CorsRule, Database, Notification};
use rollout_core::readiness::known::{Known, Table};
use rollout_core::time::Timestamp;

use super::call::Call;
use super::map::{count, port, text, whole};
use super::round::{Asked, Refused, Round, each, known, pages, table};
use super::watch::peak;

/// Databases by identifier.
pub(super) async fn databases(round: &Round<'_>, now: Timestamp, names: BTreeSet<String>) -> Table<Database> {
    table(names, |name| async move {
        let request = round
            .aws
            .rds
            .describe_db_instances()
            .db_instance_identifier(&name);
        let answer = round.ask(Call::DescribeDatabases, &name, request.send()).await?;
        let found = answer.db_instances().first().ok_or(Refused::Missing)?;
        let (peak, most) = join(peak(round, now, &name), connections(round, &name, found)).await;
        Ok(Database {
            peak_connections: known(peak.map(count)),
            max_connections: known(most),
            ..database(found)
        })
    })
    .await
}

fn database(database: &rds::DbInstance) -> Database {
    let groups = database.vpc_security_groups().iter();
    let own = database.db_instance_port().filter(|port| *port > 0);
    Database {
        engine: text(database.engine()),
        class: text(database.db_instance_class()),
        storage_gib: database.allocated_storage().map_or(0, count),
        multi_az: database.multi_az().unwrap_or(false),
        backup_days: database.backup_retention_period().map_or(0, count),
        encrypted: database.storage_encrypted().unwrap_or(false),
        deletion_protection: database.deletion_protection().unwrap_or(false),
        public: database.publicly_accessible().unwrap_or(false),
        port: database.endpoint().and_then(|end| end.port()).or(own).map(port),
        security_groups: groups
            .filter_map(|group| group.vpc_security_group_id().map(ToOwned::to_owned))
            .collect(),
        peak_connections: Known::default(),
        max_connections: Known::default(),
    }
}

/// What the parameter group says of `max_connections`, where that is a number. The defaults are formulas over the memory that
/// the engine finds (Amazon RDS User Guide, "Maximum number of database connections"), which no call tells.
async fn connections(round: &Round<'_>, name: &str, database: &rds::DbInstance) -> Asked<u32> {
    let group = database
        .db_parameter_groups()
        .first()
        .and_then(|group| group.db_parameter_group_name());
    let group = group.ok_or_else(|| Refused::unclear(name, "it has no parameter group"))?;
    let found = pages(Call::DescribeDatabaseParameters, name, |token| {
        let request = round.aws.rds.describe_db_parameters();
        let request = request.db_parameter_group_name(group).set_marker(token);
        let asked = round.ask(Call::DescribeDatabaseParameters, name, request.send());
        async move {
            asked
                .await
                .map(|answer| (answer.parameters.unwrap_or_default(), answer.marker))
        }
    });
    // A group that is not there is no missing number.
    let found = found.await.map_err(|refused| match refused {
        Refused::Missing => Refused::unclear(name, format!("its parameter group {group} does not exist")),
        unseen => unseen,
    })?;
    let value = found
        .iter()
        .find(|one| one.parameter_name() == Some("max_connections"))
        .and_then(|one| one.parameter_value());
    value.and_then(|value| value.parse().ok()).ok_or_else(|| {
        let said = value.unwrap_or("nothing");
        let text = format!("its parameter group {group} says {said} of max_connections, which is no number");
        Refused::unclear(name, text)
    })
}

/// Caches by the identifier of their replication group.
pub(super) async fn caches(round: &Round<'_>, names: BTreeSet<String>) -> Table<Cache> {
    table(names, |name| async move {
        let request = round
            .aws
            .elasticache
            .describe_replication_groups()
            .replication_group_id(&name);
        let answer = round
            .ask(Call::DescribeReplicationGroups, &name, request.send())
            .await?;
        let found = answer.replication_groups().first().ok_or(Refused::Missing)?;
        let groups = match found.member_clusters().first() {
            Some(member) => cache_groups(round, member).await,
            None => Err(Refused::unclear(&name, "it has no nodes")),
        };
        Ok(Cache {
            security_groups: known(groups),
            ..cache(found)
        })
    })
    .await
}

fn cache(group: &elasticache::ReplicationGroup) -> Cache {
    let first = group
        .node_groups()
        .first()
        .and_then(|nodes| nodes.primary_endpoint());
    let endpoint = group.configuration_endpoint().or(first);
    Cache {
        node_type: text(group.cache_node_type()),
        nodes: count(group.member_clusters().len()),
        multi_az: group.multi_az() == Some(&elasticache::MultiAzStatus::Enabled),
        failover: group.automatic_failover() == Some(&elasticache::AutomaticFailoverStatus::Enabled),
        port: endpoint.and_then(|end| end.port()).map(port),
        security_groups: Known::default(),
    }
}

/// The security groups of a node: all nodes of a group have the same.
async fn cache_groups(round: &Round<'_>, node: &str) -> Asked<Vec<String>> {
    let request = round
        .aws
        .elasticache
        .describe_cache_clusters()
        .cache_cluster_id(node);
    let answer = round
        .ask(Call::DescribeCacheClusters, node, request.send())
        .await?;
    let groups = answer
        .cache_clusters()
        .iter()
        .flat_map(|one| one.security_groups());
    Ok(groups
        .filter_map(|group| group.security_group_id().map(ToOwned::to_owned))
        .collect())
}

/// Buckets by name.
pub(super) async fn buckets(round: &Round<'_>, names: BTreeSet<String>) -> Table<Bucket> {
    table(names, |name| async move {
        let (versioning, public, cors) = join3(
            versioning(round, &name),
            blocked(round, &name),
            cors(round, &name),
        )
        .await;
        // Of the three, only this one is there of every bucket.
        if versioning == Err(Refused::Missing) {
            return Err(Refused::Missing);
        }
        Ok(Bucket {
            versioning: known(versioning),
            public_access_blocked: known(public),
            cors: known(cors),
        })
    })
    .await
}

async fn versioning(round: &Round<'_>, bucket: &str) -> Asked<bool> {
    let request = round.aws.s3.get_bucket_versioning().bucket(bucket);
    let answer = round
        .ask(Call::GetBucketVersioning, bucket, request.send())
        .await?;
    Ok(answer.status() == Some(&BucketVersioningStatus::Enabled))
}

/// The bucket's own settings. The account's, which may block as well, are an API of its own and are not asked for.
async fn blocked(round: &Round<'_>, bucket: &str) -> Asked<bool> {
    let request = round.aws.s3.get_public_access_block().bucket(bucket);
    let answer = match round
        .ask(Call::GetPublicAccessBlock, bucket, request.send())
        .await
    {
        Ok(answer) => answer,
        // One that nobody has set is answered with an error (Amazon S3 API, "GetPublicAccessBlock").
        Err(Refused::Missing) => return Ok(false),
        Err(refused) => return Err(refused),
    };
    let all = answer.public_access_block_configuration().map(|config| {
        [
            config.block_public_acls(),
            config.ignore_public_acls(),
            config.block_public_policy(),
            config.restrict_public_buckets(),
        ]
    });
    Ok(all.is_some_and(|all| all.iter().all(|one| *one == Some(true))))
}

async fn cors(round: &Round<'_>, bucket: &str) -> Asked<Vec<CorsRule>> {
    let request = round.aws.s3.get_bucket_cors().bucket(bucket);
    let answer = round.ask(Call::GetBucketCors, bucket, request.send()).await?;
    let rule = |rule: &aws_sdk_s3::types::CorsRule| CorsRule {
        origins: rule.allowed_origins().to_vec(),
        methods: rule.allowed_methods().to_vec(),
    };
    Ok(answer.cors_rules().iter().map(rule).collect())
}

/// All budgets of an account by name; the notifications of one of them, if one is meant, or of all.
pub(super) async fn budgets(
    round: &Round<'_>,
    account: &str,
    meant: Option<&str>,
) -> Known<BTreeMap<String, Budget>> {
    let subject = format!("the budgets of {account}");
    let found = pages(Call::DescribeBudgets, &subject, |token| {
        let request = round
            .aws
            .budgets
            .describe_budgets()
            .account_id(account)
            .set_next_token(token);
        let asked = round.ask(Call::DescribeBudgets, &subject, request.send());
        async move {
            asked
                .await
                .map(|answer| (answer.budgets.unwrap_or_default(), answer.next_token))
        }
    })
    .await;
    let found = match found {
        Ok(found) => found,
        // Of an account without any, there is nothing to be found.
        Err(Refused::Missing) => return Known::Seen(BTreeMap::new()),
        Err(refused) => return known(Err(refused)),
    };
    let facts = each(found.iter().map(|one| async move {
        let name = one.budget_name();
        let fact = budget(one);
        if meant.is_none_or(|meant| meant == name) {
            let notifications = known(notifications(round, account, name, fact.limit_cents).await);
            return (
                name.to_owned(),
                Budget {
                    notifications,
                    ..fact
                },
            );
        }
        (name.to_owned(), fact)
    }))
    .await;
    Known::Seen(facts.into_iter().collect())
}

fn budget(budget: &budgets::Budget) -> Budget {
    // A budget may be planned month by month; what it has now stands in its limit then, too.
    let limit = budget.budget_limit();
    Budget {
        limit_cents: limit.and_then(|limit| cents(limit.amount())).unwrap_or(0),
        unit: text(limit.map(|limit| limit.unit())),
        period: budget.time_unit().as_str().to_owned(),
        notifications: Known::default(),
    }
}

/// Hundredths of a decimal number, such as `600.0`; what is beyond them is cut off.
fn cents(amount: &str) -> Option<u64> {
    let (whole, part) = amount
        .trim()
        .split_once('.')
        .unwrap_or_else(|| (amount.trim(), ""));
    let digits: String = part.chars().chain("00".chars()).take(2).collect();
    whole
        .parse::<u64>()
        .ok()?
        .checked_mul(100)?
        .checked_add(digits.parse().ok()?)
}

async fn notifications(
    round: &Round<'_>,
    account: &str,
    budget: &str,
    limit_cents: u64,
) -> Asked<Vec<Notification>> {
    let found = pages(Call::DescribeBudgetNotifications, budget, |token| {
        let request = round.aws.budgets.describe_notifications_for_budget();
        let request = request
            .account_id(account)
            .budget_name(budget)
            .set_next_token(token);
        let asked = round.ask(Call::DescribeBudgetNotifications, budget, request.send());
        async move {
            asked
                .await
                .map(|answer| (answer.notifications.unwrap_or_default(), answer.next_token))
        }
    })
    .await;
    let found = match found {
        Err(Refused::Missing) => return Ok(Vec::new()),
        found => found?,
    };
    let mut all = Vec::new();
    for one in &found {
        let told = pages(Call::DescribeBudgetSubscribers, budget, |token| {
            let request = round.aws.budgets.describe_subscribers_for_notification();
            let request = request
                .account_id(account)
                .budget_name(budget)
                .notification(one.clone())
                .set_next_token(token);
            let asked = round.ask(Call::DescribeBudgetSubscribers, budget, request.send());
            async move {
                asked
                    .await
                    .map(|answer| (answer.subscribers.unwrap_or_default(), answer.next_token))
            }
        })
        .await;
        let told = match told {
            Err(Refused::Missing) => Vec::new(),
            told => told?,
        };
        all.push(Notification {
            kind: one.notification_type().as_str().to_owned(),
            threshold_percent: percent(one, limit_cents),
            subscribers: count(told.len()),
        });
    }
    Ok(all)
}

/// In percent of the limit; a threshold may also be an amount of the budget's unit.
fn percent(notification: &budgets::Notification, limit_cents: u64) -> u32 {
    let absolute = notification.threshold_type() == Some(&budgets::ThresholdType::AbsoluteValue);
    let threshold = notification.threshold();
    if !absolute {
        return count(whole(threshold));
    }
    let hundredths = whole(threshold * 100.0).saturating_mul(100);
    count(hundredths.checked_div(limit_cents).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_read_to_the_cent() {
        for (amount, wanted) in [
            ("600", Some(60_000)),
            ("600.0", Some(60_000)),
            ("600.055", Some(60_005)),
            ("0.5", Some(50)),
            ("", None),
            ("-1", None),
            ("a", None),
        ] {
            assert_eq!(cents(amount), wanted, "{amount}");
        }
    }

    #[test]
    fn a_threshold_is_a_share_of_the_limit() {
        let notification = |kind, threshold| {
            budgets::Notification::builder()
                .notification_type(budgets::NotificationType::Actual)
                .comparison_operator(budgets::ComparisonOperator::GreaterThan)
                .threshold(threshold)
                .threshold_type(kind)
                .build()
                .expect("a notification")
        };
        assert_eq!(
            percent(&notification(budgets::ThresholdType::Percentage, 80.0), 60_000),
            80
        );
        assert_eq!(
            percent(
                &notification(budgets::ThresholdType::AbsoluteValue, 480.0),
                60_000
            ),
            80
        );
        assert_eq!(
            percent(&notification(budgets::ThresholdType::AbsoluteValue, 480.0), 0),
            0
        );
    }
}
