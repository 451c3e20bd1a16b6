//! A database, a cache, a bucket, a budget, and what people wrote down.

use std::collections::BTreeMap;

use super::network::{CACHE, DATABASE};
use super::{days_ago, intent, texts};
use crate::readiness::fact::Snapshot;
use crate::readiness::fact::answer::Answer;
use crate::readiness::fact::data::{Bucket, Budget, Cache, CorsRule, Database, Notification, Record};
use crate::readiness::fact::release::Records;
use crate::readiness::known::Known;

pub(super) fn put(facts: &mut Snapshot) {
    let database = Database {
        engine: "postgres".to_owned(),
        class: "db.t4g.medium".to_owned(),
        storage_gib: 100,
        multi_az: true,
        backup_days: 14,
        encrypted: true,
        deletion_protection: true,
        public: false,
        port: Some(5432),
        security_groups: texts(&[DATABASE]),
        peak_connections: Known::Seen(120),
        max_connections: Known::Seen(405),
    };
    facts.databases.seen("storefront", database);
    let cache = Cache {
        node_type: "cache.t4g.small".to_owned(),
        nodes: 2,
        multi_az: true,
        failover: true,
        port: Some(6379),
        security_groups: Known::Seen(texts(&[CACHE])),
    };
    facts.caches.seen("storefront", cache);
    let cors = CorsRule {
        origins: texts(&[intent::ORIGIN]),
        methods: texts(&["PUT"]),
    };
    let bucket = Bucket {
        versioning: Known::Seen(true),
        public_access_blocked: Known::Seen(true),
        cors: Known::Seen(vec![cors]),
    };
    facts.buckets.seen("storefront-assets", bucket);
    for preflight in intent::preflights() {
        let headers = [
            ("access-control-allow-origin", preflight.origin.as_str()),
            ("access-control-allow-methods", preflight.method.as_str()),
        ];
        let answer = Answer {
            status: 200,
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            body: String::new(),
        };
        facts.answers.seen(preflight.question().key(), answer);
        let refusal = Answer {
            status: if preflight.method == "GET" { 200 } else { 403 },
            headers: BTreeMap::new(),
            body: String::new(),
        };
        facts.answers.seen(preflight.strangers_question().key(), refusal);
    }
    let notification = |kind: &str, threshold_percent| Notification {
        kind: kind.to_owned(),
        threshold_percent,
        subscribers: 1,
    };
    let budget = Budget {
        limit_cents: 60_000,
        unit: "USD".to_owned(),
        period: "MONTHLY".to_owned(),
        notifications: Known::Seen(vec![notification("ACTUAL", 80), notification("FORECASTED", 100)]),
    };
    facts.budgets = Known::Seen([("storefront-production".to_owned(), budget)].into());
    let record = |days, by: &str, text: &str| Record {
        at: days_ago(days),
        about: None,
        passed: true,
        by: by.to_owned(),
        text: text.to_owned(),
    };
    let of_release = |record: Record| Record {
        about: Some(intent::RELEASE.to_owned()),
        ..record
    };
    facts.records = Records {
        rollback_drill: Known::Seen(record(30, "Ada", "run 01JD7 went back and forth")),
        restore_test: Known::Seen(record(45, "Grace", "snapshot of the night restored and queried")),
        approvals: ["Ada", "Grace"]
            .map(|who| of_release(record(0, who, "agreed")))
            .into(),
        smoke_test: Known::Seen(of_release(record(1, "the pipeline", "41 of 41 passed"))),
    };
}
