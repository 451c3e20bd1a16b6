//! Databases, caches, buckets.

use super::{Fault, fault};
use crate::readiness::example::NOW;
use crate::readiness::fact::Snapshot;
use crate::readiness::fact::answer::Answer;
use crate::readiness::fact::data::{Bucket, Cache, CorsRule, Database, Record};
use crate::readiness::fact::identity::Statement;
use crate::readiness::intent::Intent;
use crate::readiness::known::Known;
use crate::time::Timestamp;

const BUCKET: &str = "storefront-assets";

/// Changes the database, if it is still there.
fn database(facts: &mut Snapshot, change: impl Fn(&mut Database)) {
    facts
        .databases
        .seen_mut("storefront")
        .into_iter()
        .for_each(change);
}

/// Changes the cache, if it is still there.
fn cache(facts: &mut Snapshot, change: impl Fn(&mut Cache)) {
    facts.caches.seen_mut("storefront").into_iter().for_each(change);
}

/// Changes the bucket, if it is still there.
fn bucket(facts: &mut Snapshot, change: impl Fn(&mut Bucket)) {
    facts.buckets.seen_mut(BUCKET).into_iter().for_each(change);
}

/// Changes the live answer to a preflight.
pub(super) fn answer(facts: &mut Snapshot, intent: &Intent, method: &str, change: fn(&mut Answer)) {
    for preflight in intent.data.preflights.iter().filter(|one| one.method == method) {
        let answer = facts
            .answers
            .seen_mut(&preflight.question().key())
            .expect("the shop was asked");
        change(answer);
    }
}

/// Lets a stranger in.
pub(super) fn open(facts: &mut Snapshot, intent: &Intent, method: &str, allowed: &str) {
    for preflight in intent.data.preflights.iter().filter(|one| one.method == method) {
        let key = preflight.strangers_question().key();
        let answer = facts.answers.seen_mut(&key).expect("the shop was asked");
        answer
            .headers
            .insert("access-control-allow-origin".to_owned(), allowed.to_owned());
    }
}

/// Gives the backend's tasks one more right.
fn allow(facts: &mut Snapshot, actions: &[&str], resource: &str) {
    let arn = "arn:aws:iam::222222222222:role/storefront-backend";
    let role = facts.roles.seen_mut(arn).expect("the shop has it");
    if let Known::Seen(statements) = &mut role.statements {
        statements.push(Statement {
            allows: true,
            actions: actions.iter().map(|action| (*action).to_owned()).collect(),
            resources: vec![resource.to_owned()],
        });
    }
}

/// Changes the record of the last restore.
fn restore(facts: &mut Snapshot, change: impl FnOnce(&mut Record)) {
    if let Known::Seen(record) = &mut facts.records.restore_test {
        change(record);
    }
}

pub(super) fn faults() -> Vec<Fault> {
    let mut all = databases();
    all.extend(caches());
    all.extend(buckets());
    all.extend(origins());
    all
}

fn databases() -> Vec<Fault> {
    vec![
        fault("rds_instance_single_zone", "no standby", |facts, _| {
            database(facts, |database| database.multi_az = false);
        }),
        fault("rds_backups_short", "a day", |facts, _| {
            database(facts, |database| database.backup_days = 1)
        }),
        fault("rds_backups_short", "none", |facts, _| {
            database(facts, |database| database.backup_days = 0)
        }),
        fault("rds_storage_unencrypted", "it is off", |facts, _| {
            database(facts, |database| database.encrypted = false);
        }),
        fault("rds_deletion_protection_off", "it is off", |facts, _| {
            database(facts, |database| database.deletion_protection = false);
        }),
        fault("rds_instance_public", "a public address", |facts, _| {
            database(facts, |database| database.public = true);
        }),
        fault("rds_connections_short", "the peak takes all", |facts, _| {
            database(facts, |database| {
                database.peak_connections = database.max_connections.clone()
            });
        }),
        fault("rds_connections_short", "a small class", |facts, _| {
            database(facts, |database| database.max_connections = Known::Seen(149));
        }),
        fault("rds_restore_untested", "half a year ago", |facts, _| {
            let half_a_year = 183 * 24 * 60 * 60 * 1_000;
            restore(facts, |record| {
                record.at = Timestamp::from_millis(NOW.as_millis() - half_a_year)
            });
        }),
        fault("rds_restore_untested", "it failed", |facts, _| {
            restore(facts, |record| record.passed = false)
        }),
        fault("rds_restore_untested", "never", |facts, _| {
            facts.records.restore_test = Known::Missing
        }),
        fault("rds_instance_missing", "it is not there", |facts, _| {
            facts.databases.put("storefront", Known::Missing);
        }),
    ]
}

fn caches() -> Vec<Fault> {
    vec![
        fault("elasticache_group_single_zone", "one zone", |facts, _| {
            cache(facts, |cache| cache.multi_az = false)
        }),
        fault("elasticache_group_single_zone", "one node", |facts, _| {
            cache(facts, |cache| cache.nodes = 1)
        }),
        fault("elasticache_failover_off", "it is off", |facts, _| {
            cache(facts, |cache| cache.failover = false)
        }),
        fault("elasticache_group_missing", "it is not there", |facts, _| {
            facts.caches.put("storefront", Known::Missing);
        }),
    ]
}

fn buckets() -> Vec<Fault> {
    vec![
        fault("s3_versioning_off", "it is off", |facts, _| {
            bucket(facts, |bucket| bucket.versioning = Known::Seen(false));
        }),
        fault("s3_public_access_open", "not all four are on", |facts, _| {
            bucket(facts, |bucket| bucket.public_access_blocked = Known::Seen(false));
        }),
        fault("s3_public_access_open", "none was ever set", |facts, _| {
            bucket(facts, |bucket| bucket.public_access_blocked = Known::Missing);
        }),
        fault("s3_task_access_wide", "the whole bucket", |facts, _| {
            allow(facts, &["s3:GetObject"], "arn:aws:s3:::storefront-assets/*");
        }),
        fault("s3_task_access_wide", "every bucket", |facts, _| {
            allow(facts, &["s3:*"], "*")
        }),
        fault("s3_task_access_wide", "another bucket", |facts, _| {
            allow(
                facts,
                &["s3:PutObject"],
                "arn:aws:s3:::storefront-staging/uploads/*",
            );
        }),
        fault("s3_bucket_missing", "it is not there", |facts, _| {
            facts.buckets.put(BUCKET, Known::Missing)
        }),
    ]
}

fn origins() -> Vec<Fault> {
    vec![
        fault("s3_cors_wide", "every origin", |facts, _| {
            bucket(facts, |bucket| {
                let everybody = CorsRule {
                    origins: vec!["*".to_owned()],
                    methods: vec!["GET".to_owned()],
                };
                if let Known::Seen(rules) = &mut bucket.cors {
                    rules.push(everybody);
                }
            });
        }),
        fault("s3_cors_wide", "an origin of developers", |facts, _| {
            bucket(facts, |bucket| {
                if let Known::Seen(rules) = &mut bucket.cors {
                    rules
                        .iter_mut()
                        .for_each(|rule| rule.origins.push("http://localhost:3000".to_owned()));
                }
            });
        }),
        fault("s3_preflight_wrong", "every origin is let in", |facts, intent| {
            open(facts, intent, "PUT", "*")
        }),
        fault("s3_preflight_wrong", "whoever asks is let in", |facts, intent| {
            open(facts, intent, "PUT", "https://stranger.invalid");
        }),
        fault("s3_preflight_wrong", "the shop is not let in", |facts, intent| {
            answer(facts, intent, "PUT", |answer| {
                answer.status = 403;
                answer.headers.clear();
            });
        }),
        fault(
            "s3_preflight_wrong",
            "only another origin is let in",
            |facts, intent| {
                answer(facts, intent, "PUT", |answer| {
                    let other = "https://old.example.com".to_owned();
                    answer
                        .headers
                        .insert("access-control-allow-origin".to_owned(), other);
                });
            },
        ),
        fault(
            "s3_preflight_wrong",
            "uploads are not allowed",
            |facts, intent| {
                answer(facts, intent, "PUT", |answer| {
                    let reads = "GET, HEAD".to_owned();
                    answer
                        .headers
                        .insert("access-control-allow-methods".to_owned(), reads);
                });
            },
        ),
    ]
}
