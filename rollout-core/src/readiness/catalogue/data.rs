//! Databases, caches, buckets.

use std::collections::BTreeSet;

use super::preflight;
use super::rollback::recent;
use crate::readiness::check::{Over, Rule, Ruling, Scene, Verdict};
use crate::readiness::fact::data::{Bucket, Cache, Database};
use crate::readiness::fact::identity::Statement;
use crate::readiness::known::Known;
use crate::readiness::risk::matches;
use crate::readiness::scene::about;

pub(super) const RULES: &[Rule] = &[
    rule!(
        "rds_instance_missing", Data, Critical, BLOCKING, EVERYWHERE,
        title: "The database exists",
        why: "Nothing can be said of a database that is not there, and the release will not find it either.",
        remedy: "Name the right instance in the readiness file, or restore it.",
        cli: "aws rds describe-db-instances --db-instance-identifier <database>",
        terraform: "aws_db_instance",
        cdk: "DatabaseInstance",
        source: "Amazon RDS User Guide, \"Amazon RDS DB instances\"",
        over: each_database(|scene, name| exists(scene.facts.databases.find(name)?.is_some())),
    ),
    rule!(
        "rds_instance_single_zone", Data, High, BLOCKING, PRODUCTION,
        title: "The database has a standby in another zone",
        why: "Without one the failure of a zone, or of a host, is an outage until a backup is restored.",
        remedy: "Turn Multi-AZ on; it is done while the database serves.",
        cli: "aws rds modify-db-instance --db-instance-identifier <database> --multi-az --apply-immediately",
        terraform: "aws_db_instance.multi_az",
        cdk: "DatabaseInstance multiAz",
        source: "Amazon RDS User Guide, \"Configuring and managing a Multi-AZ deployment for Amazon RDS\"",
        over: each_database(|scene, name| {
            database(scene, name, |one| (one.multi_az, "one zone".to_owned()), "Multi-AZ")
        }),
    ),
    rule!(
        "rds_backups_short", Data, High, BLOCKING, PRODUCTION,
        title: "The database's backups are kept for a week or more",
        why: "A mistake is often found days later: without a backup from before it there is no way back.",
        remedy: "Set the backup retention to 7 days or more.",
        cli: "aws rds modify-db-instance --db-instance-identifier <database> --backup-retention-period 7 --apply-immediately",
        terraform: "aws_db_instance.backup_retention_period",
        cdk: "DatabaseInstance backupRetention",
        source: "Amazon RDS User Guide, \"Backup retention period\"",
        over: each_database(backups),
    ),
    rule!(
        "rds_storage_unencrypted", Data, High, BLOCKING, STAGING_TOO,
        title: "The database's storage is encrypted",
        why: "A snapshot that is shared by mistake can be read by whoever gets it.",
        remedy: "Copy a snapshot with a key, and restore the database from the copy: it cannot be turned on in place.",
        cli: "aws rds copy-db-snapshot --source-db-snapshot-identifier <snapshot> --target-db-snapshot-identifier <copy> --kms-key-id <key>",
        terraform: "aws_db_instance.storage_encrypted",
        cdk: "DatabaseInstance storageEncrypted",
        source: "Amazon RDS User Guide, \"Encrypting Amazon RDS resources\"",
        over: each_database(|scene, name| {
            database(scene, name, |one| (one.encrypted, "storage is not encrypted".to_owned()), "encrypted storage")
        }),
    ),
    rule!(
        "rds_deletion_protection_off", Data, High, BLOCKING, PRODUCTION,
        title: "The database cannot be deleted by mistake",
        why: "A template that renames it, or one wrong command, otherwise deletes it.",
        remedy: "Turn deletion protection on.",
        cli: "aws rds modify-db-instance --db-instance-identifier <database> --deletion-protection --apply-immediately",
        terraform: "aws_db_instance.deletion_protection",
        cdk: "DatabaseInstance deletionProtection",
        source: "Amazon RDS User Guide, \"Deleting a DB instance\"",
        over: each_database(|scene, name| {
            database(scene, name, |one| (one.deletion_protection, "deletion protection is off".to_owned()), "deletion protection")
        }),
    ),
    rule!(
        "rds_instance_public", Data, Critical, BLOCKING, EVERYWHERE,
        title: "The database has no public address",
        why: "With one, a security group is all that stands between the internet and the data.",
        remedy: "Turn public access off.",
        cli: "aws rds modify-db-instance --db-instance-identifier <database> --no-publicly-accessible --apply-immediately",
        terraform: "aws_db_instance.publicly_accessible",
        cdk: "DatabaseInstance publiclyAccessible: false",
        source: "Amazon RDS User Guide, \"Working with a DB instance in a VPC\"",
        over: each_database(|scene, name| {
            database(scene, name, |one| (!one.public, "a public address".to_owned()), "private addresses only")
        }),
    ),
    rule!(
        "rds_restore_untested", Data, High, ADVISORY, PRODUCTION,
        title: "A backup was restored lately",
        why: "A backup that was never restored is a hope.",
        remedy: "Restore a backup beside the database, query it, and write it down in the readiness file.",
        cli: "aws rds restore-db-instance-to-point-in-time --source-db-instance-identifier <database> --target-db-instance-identifier <copy> --use-latest-restorable-time",
        terraform: "",
        cdk: "",
        source: "AWS Well-Architected Framework, Reliability Pillar, \"REL09-BP04 Perform periodic recovery of the data to verify backup integrity and processes\"",
        over: Over::Environment(|scene| {
            let ruling = recent(scene, &scene.facts.records.restore_test, "restore of a backup")?;
            let none = scene.intent.data.databases.is_empty();
            Ok(if none { Verdict::not_applicable("no database is named") } else { ruling })
        }),
    ),
    rule!(
        "rds_connections_short", Data, Medium, ADVISORY, PRODUCTION,
        title: "The database has head-room for connections",
        why: "A release runs old and new tasks at once: for that time there are up to twice as many connections.",
        remedy: "Make the pools smaller, put RDS Proxy before the database, or take a larger class.",
        cli: "aws cloudwatch get-metric-statistics --namespace AWS/RDS --metric-name DatabaseConnections --dimensions Name=DBInstanceIdentifier,Value=<database> --statistics Maximum --period 86400 --start-time <time> --end-time <time>",
        terraform: "aws_db_parameter_group, parameter max_connections; aws_db_proxy",
        cdk: "DatabaseProxy",
        source: "Amazon RDS User Guide, \"Quotas and constraints for Amazon RDS\"",
        over: each_database(connections),
    ),
    rule!(
        "elasticache_group_missing", Data, Critical, BLOCKING, EVERYWHERE,
        title: "The cache exists",
        why: "Nothing can be said of a cache that is not there, and the release will not find it either.",
        remedy: "Name the right replication group in the readiness file, or make it.",
        cli: "aws elasticache describe-replication-groups --replication-group-id <cache>",
        terraform: "aws_elasticache_replication_group",
        cdk: "CfnReplicationGroup",
        source: "Amazon ElastiCache User Guide, \"High availability using replication groups\"",
        over: each_cache(|scene, name| exists(scene.facts.caches.find(name)?.is_some())),
    ),
    rule!(
        "elasticache_group_single_zone", Data, Medium, BLOCKING, PRODUCTION,
        title: "The cache's nodes are in several zones",
        why: "With the only node goes every session, and all requests fall on the database at once.",
        remedy: "Add a replica, and turn Multi-AZ on.",
        cli: "aws elasticache modify-replication-group --replication-group-id <cache> --multi-az-enabled --apply-immediately",
        terraform: "aws_elasticache_replication_group.multi_az_enabled",
        cdk: "CfnReplicationGroup multiAzEnabled",
        source: "Amazon ElastiCache User Guide, \"Minimizing downtime in ElastiCache by using Multi-AZ with Valkey and Redis OSS\"",
        over: each_cache(|scene, name| {
            let is_good = |one: &Cache| match one.nodes {
                0 | 1 => (false, "a single node".to_owned()),
                _ => (one.multi_az, "one zone".to_owned()),
            };
            cache(scene, name, is_good, "nodes in several zones")
        }),
    ),
    rule!(
        "elasticache_failover_off", Data, Medium, BLOCKING, PRODUCTION,
        title: "A replica of the cache takes over by itself",
        why: "Otherwise a person must promote one while writes fail.",
        remedy: "Turn automatic failover on.",
        cli: "aws elasticache modify-replication-group --replication-group-id <cache> --automatic-failover-enabled --apply-immediately",
        terraform: "aws_elasticache_replication_group.automatic_failover_enabled",
        cdk: "CfnReplicationGroup automaticFailoverEnabled",
        source: "Amazon ElastiCache User Guide, \"Minimizing downtime in ElastiCache by using Multi-AZ with Valkey and Redis OSS\"",
        over: each_cache(|scene, name| {
            cache(scene, name, |one| (one.failover, "automatic failover is off".to_owned()), "automatic failover")
        }),
    ),
    rule!(
        "s3_bucket_missing", Data, Critical, BLOCKING, EVERYWHERE,
        title: "Each bucket exists",
        why: "Nothing can be said of a bucket that is not there; somebody else may take its name.",
        remedy: "Name the right bucket in the readiness file, or make it.",
        cli: "aws s3api head-bucket --bucket <bucket>",
        terraform: "aws_s3_bucket",
        cdk: "Bucket",
        source: "Amazon S3 User Guide, \"Creating a general purpose bucket\"",
        over: each_bucket(|scene, name| exists(scene.facts.buckets.find(name)?.is_some())),
    ),
    rule!(
        "s3_versioning_off", Data, Medium, BLOCKING, PRODUCTION,
        title: "Each bucket keeps versions",
        why: "What a release overwrites or deletes by mistake is otherwise gone.",
        remedy: "Turn versioning on, with a lifecycle rule that ends old versions.",
        cli: "aws s3api put-bucket-versioning --bucket <bucket> --versioning-configuration Status=Enabled",
        terraform: "aws_s3_bucket_versioning",
        cdk: "Bucket versioned",
        source: "Amazon S3 User Guide, \"Retaining multiple versions of objects with S3 Versioning\"",
        over: each_bucket(|scene, name| bucket(scene, name, |one| &one.versioning, "versioning")),
    ),
    rule!(
        "s3_public_access_open", Data, High, BLOCKING, STAGING_TOO,
        title: "Public access to each bucket is blocked",
        why: "One wrong policy or ACL otherwise shows every upload to everybody.",
        remedy: "Turn all four settings of Block Public Access on; let a distribution read by origin access control.",
        cli: "aws s3api put-public-access-block --bucket <bucket> --public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true",
        terraform: "aws_s3_bucket_public_access_block",
        cdk: "Bucket blockPublicAccess: BlockPublicAccess.BLOCK_ALL",
        source: "Amazon S3 User Guide, \"Blocking public access to your Amazon S3 storage\"",
        over: each_bucket(|scene, name| bucket(scene, name, |one| &one.public_access_blocked, "block of public access")),
    ),
    rule!(
        "s3_task_access_wide", Data, High, BLOCKING, STAGING_TOO,
        title: "Tasks reach only their prefix of the buckets",
        why: "Whoever takes over a task otherwise reads and overwrites everything, other environments' objects too.",
        remedy: "Name bucket and prefix in the task role's statements, such as arn:aws:s3:::bucket/uploads/*.",
        cli: "aws iam put-role-policy --role-name <role> --policy-name <name> --policy-document <file>",
        terraform: "aws_iam_role_policy.policy",
        cdk: "Bucket grantReadWrite(taskRole, 'uploads/*')",
        source: "Amazon S3 User Guide, \"Policy resources for Amazon S3\"",
        over: super::each_service(access),
    ),
    rule!(
        "s3_cors_wide", Data, Medium, BLOCKING, STAGING_TOO,
        title: "Each bucket's CORS rules name only the environment's origins",
        why: "With any other origin pages of strangers send requests in the name of whoever looks at them.",
        remedy: "Write the environment's origins out, without a wildcard.",
        cli: "aws s3api put-bucket-cors --bucket <bucket> --cors-configuration <file>",
        terraform: "aws_s3_bucket_cors_configuration.cors_rule.allowed_origins",
        cdk: "Bucket cors.allowedOrigins",
        source: "Amazon S3 User Guide, \"Elements of a CORS configuration\"",
        over: each_bucket(cors),
    ),
    rule!(
        "s3_preflight_wrong", Data, High, BLOCKING, STAGING_TOO,
        title: "A live preflight lets the environment's origins in, and no other",
        why: "What is configured is not what is answered: a proxy, a cache or the service itself may say something else, and uploads fail in every browser.",
        remedy: "Compare the answer with the CORS rules of the bucket or the service behind the URL.",
        cli: "aws s3api get-bucket-cors --bucket <bucket>",
        terraform: "aws_s3_bucket_cors_configuration",
        cdk: "Bucket cors",
        source: "Amazon S3 User Guide, \"Troubleshooting CORS\"",
        over: Over::Each { which: |scene| preflight::which(scene, false), judge: preflight::judge },
    ),
];

const fn each_database(judge: fn(&Scene<'_>, &str) -> Ruling) -> Over {
    Over::Each {
        which: |scene| Ok(scene.intent.data.databases.clone()),
        judge,
    }
}

const fn each_cache(judge: fn(&Scene<'_>, &str) -> Ruling) -> Over {
    Over::Each {
        which: |scene| Ok(scene.intent.data.caches.clone()),
        judge,
    }
}

const fn each_bucket(judge: fn(&Scene<'_>, &str) -> Ruling) -> Over {
    Over::Each {
        which: |scene| Ok(scene.intent.data.buckets.keys().cloned().collect()),
        judge,
    }
}

fn exists(there: bool) -> Ruling {
    Ok(Verdict::when(
        there,
        || "there is no such thing".to_owned(),
        "it, as the plan names it",
    ))
}

fn database(
    scene: &Scene<'_>,
    name: &str,
    is_good: impl Fn(&Database) -> (bool, String),
    wanted: &str,
) -> Ruling {
    let (good, seen) = is_good(scene.facts.databases.get(name)?);
    Ok(Verdict::when(good, || seen, wanted))
}

fn cache(scene: &Scene<'_>, name: &str, is_good: impl Fn(&Cache) -> (bool, String), wanted: &str) -> Ruling {
    let (good, seen) = is_good(scene.facts.caches.get(name)?);
    Ok(Verdict::when(good, || seen, wanted))
}

fn bucket(scene: &Scene<'_>, name: &str, setting: impl Fn(&Bucket) -> &Known<bool>, wanted: &str) -> Ruling {
    let known = setting(scene.facts.buckets.get(name)?).find();
    let on = known
        .map_err(|unseen| about(unseen, name))?
        .copied()
        .unwrap_or(false);
    Ok(Verdict::when(on, || format!("no {wanted}"), wanted))
}

fn backups(scene: &Scene<'_>, name: &str) -> Ruling {
    let least = scene.intent.limits.backup_days;
    let kept = |one: &Database| match one.backup_days {
        0 => (least == 0, "no backups".to_owned()),
        days => (days >= least, format!("{days} days")),
    };
    database(scene, name, kept, &format!("{least} days or more"))
}

fn connections(scene: &Scene<'_>, name: &str) -> Ruling {
    let (database, percent) = (
        scene.facts.databases.get(name)?,
        scene.intent.limits.connections_percent,
    );
    let read = |known: &Known<u32>| known.get().copied().map_err(|unseen| about(unseen, name));
    let (peak, most) = (
        read(&database.peak_connections)?,
        read(&database.max_connections)?,
    );
    let fits = u64::from(peak).saturating_mul(100) <= u64::from(most).saturating_mul(u64::from(percent));
    // The peak itself differs from day to day, and accepted risks name what is seen.
    let seen = || format!("the peak takes more than {percent}% of {most} connections");
    Ok(Verdict::when(fits, seen, format!("{percent}% or less")))
}

/// Actions on a bucket itself. What they show is names, not objects.
const OF_BUCKET: [&str; 4] = [
    "s3:ListBucket",
    "s3:GetBucketLocation",
    "s3:ListBucketMultipartUploads",
    "s3:ListBucketVersions",
];

/// Whether an action is one of S3, or a pattern that has some. A right to everything is no matter of S3: that of the task's role to
/// secrets says so.
fn is_of_s3(action: &str) -> bool {
    let service = action.split(':').next().unwrap_or_default();
    action != "*" && matches(&service.to_lowercase(), "s3")
}

/// Whether a resource of a statement can be one of S3.
fn may_be_s3(resource: &str) -> bool {
    resource
        .split(':')
        .nth(2)
        .is_none_or(|service| matches(service, "s3"))
}

/// Whether a resource lies within a prefix of a bucket; wildcards after the prefix do no harm.
fn within(resource: &str, bucket: &str, prefix: &str) -> bool {
    let object = resource.split_once(":s3:::").map(|(_, object)| object);
    let key = object
        .and_then(|object| object.strip_prefix(bucket))
        .and_then(|rest| rest.strip_prefix('/'));
    key.is_some_and(|key| key.starts_with(prefix))
}

/// The resources of a statement that reach beyond the plan's buckets and prefixes.
fn beyond<'a>(scene: &Scene<'_>, statement: &'a Statement) -> Vec<&'a str> {
    let mut actions = statement.actions.iter().filter(|action| is_of_s3(action));
    if !statement.allows || actions.clone().next().is_none() {
        return Vec::new();
    }
    let buckets = &scene.intent.data.buckets;
    let only_names = actions.all(|action| OF_BUCKET.iter().any(|one| one.eq_ignore_ascii_case(action)));
    let planned = |resource: &str| {
        buckets.iter().any(|(bucket, prefix)| {
            let itself = only_names && resource.ends_with(&format!(":s3:::{bucket}"));
            itself || within(resource, bucket, prefix)
        })
    };
    let resources = statement.resources.iter().map(String::as_str);
    resources
        .filter(|resource| may_be_s3(resource) && !planned(resource))
        .collect()
}

fn access(scene: &Scene<'_>, name: &str) -> Ruling {
    let Some(arn) = &scene.task_definition(name)?.task_role else {
        return Ok(Verdict::not_applicable("its tasks have no role"));
    };
    let statements = scene.facts.roles.get(arn)?.statements.get();
    let statements = statements.map_err(|unseen| about(unseen, arn))?;
    if scene.intent.data.buckets.is_empty() {
        return Ok(Verdict::not_applicable("no bucket is named"));
    }
    let wide: BTreeSet<_> = statements
        .iter()
        .flat_map(|statement| beyond(scene, statement))
        .collect();
    let wrong: Vec<_> = wide
        .into_iter()
        .map(|resource| format!("S3 at {resource}"))
        .collect();
    let planned = scene.intent.data.buckets.iter();
    let planned: Vec<_> = planned
        .map(|(bucket, prefix)| format!("{bucket}/{prefix}"))
        .collect();
    Ok(Verdict::unless(&wrong, format!("only {}", planned.join(", "))))
}

fn cors(scene: &Scene<'_>, name: &str) -> Ruling {
    let rules = scene.facts.buckets.get(name)?.cors.find();
    let rules = rules.map_err(|unseen| about(unseen, name))?;
    let named = rules.into_iter().flatten().flat_map(|rule| &rule.origins);
    let wrong: BTreeSet<_> = named
        .filter(|origin| !scene.intent.data.origins.contains(*origin))
        .collect();
    let wrong: Vec<_> = wrong.into_iter().cloned().collect();
    let wanted: Vec<_> = scene.intent.data.origins.iter().map(String::as_str).collect();
    Ok(Verdict::unless(&wrong, format!("only {}", wanted.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_within_a_prefix_or_beyond_it() {
        for resource in ["arn:aws:s3:::shop/uploads/*", "arn:aws-cn:s3:::shop/uploads/a/?"] {
            assert!(within(resource, "shop", "uploads/"), "{resource}");
        }
        for resource in [
            "*",
            "arn:aws:s3:::*",
            "arn:aws:s3:::shop",
            "arn:aws:s3:::shop/*",
            "arn:aws:s3:::shop/up*",
            "arn:aws:s3:::shop-backup/uploads/*",
            "arn:aws:s3:::*/uploads/*",
        ] {
            assert!(!within(resource, "shop", "uploads/"), "{resource}");
        }
        assert!(
            within("arn:aws:s3:::shop/*", "shop", ""),
            "the whole bucket is meant"
        );
    }

    #[test]
    fn wildcards_of_actions_and_resources_may_be_of_s3() {
        for action in ["s3:GetObject", "S3:*", "*:*", "s*:Get*"] {
            assert!(is_of_s3(action), "{action}");
        }
        assert!(!is_of_s3("*") && !is_of_s3("s3-object-lambda:GetObject") && !is_of_s3("sqs:SendMessage"));
        assert!(may_be_s3("*") && may_be_s3("arn:aws:*:::x") && may_be_s3("arn:aws:s3:::x"));
        assert!(!may_be_s3("arn:aws:sqs:eu-central-1:222222222222:queue"));
    }

    #[test]
    fn a_bucket_itself_may_be_listed_but_not_more() {
        let (facts, intent) = crate::readiness::example::shop();
        let scene = Scene {
            facts: &facts,
            intent: &intent,
        };
        let of = |actions: &[&str], resource: &str| Statement {
            allows: true,
            actions: actions.iter().map(|action| (*action).to_owned()).collect(),
            resources: vec![resource.to_owned()],
        };
        let itself = "arn:aws:s3:::storefront-assets";
        assert!(beyond(&scene, &of(&["s3:ListBucket"], itself)).is_empty());
        assert_eq!(
            beyond(&scene, &of(&["s3:ListBucket", "s3:PutBucketPolicy"], itself)),
            [itself]
        );
        assert_eq!(beyond(&scene, &of(&["s3:Get*"], "*")), ["*"]);
        assert!(beyond(&scene, &of(&["sqs:*"], "*")).is_empty());
        let denied = Statement {
            allows: false,
            ..of(&["s3:*"], "*")
        };
        assert!(beyond(&scene, &denied).is_empty());
    }
}
