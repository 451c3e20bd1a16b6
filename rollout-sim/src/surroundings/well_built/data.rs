//! Databases, caches, buckets, a budget, and what people wrote down.

use std::collections::BTreeSet;

use rollout_core::readiness::fact::data::{Bucket, Budget, Cache, CorsRule, Database, Notification, Record};
use rollout_core::readiness::fact::release::Records;
use rollout_core::readiness::known::Known;

use super::Site;

impl Site<'_> {
    pub(super) fn data(&mut self) {
        let data = &self.intent.data;
        for name in &data.databases {
            let database = Database {
                engine: "postgres".to_owned(),
                class: "db.t4g.medium".to_owned(),
                storage_gib: 100,
                multi_az: true,
                backup_days: self.intent.limits.backup_days.max(14),
                encrypted: true,
                deletion_protection: true,
                public: false,
                port: Some(5_432),
                security_groups: vec![self.security_group("databases")],
                peak_connections: Known::Seen(120),
                max_connections: Known::Seen(405),
            };
            self.facts.databases.seen(name, database);
        }
        for name in &data.caches {
            let cache = Cache {
                node_type: "cache.t4g.small".to_owned(),
                nodes: 2,
                multi_az: true,
                failover: true,
                port: Some(6_379),
                security_groups: Known::Seen(vec![self.security_group("caches")]),
            };
            self.facts.caches.seen(name, cache);
        }
        for name in data.buckets.keys() {
            let bucket = Bucket {
                versioning: Known::Seen(true),
                public_access_blocked: Known::Seen(true),
                cors: self.cors(name),
            };
            self.facts.buckets.seen(name, bucket);
        }
        self.budget();
        self.records();
    }

    /// The CORS rules of a bucket: for the origins of the environment, and what browsers are meant to do with it.
    fn cors(&self, bucket: &str) -> Known<Vec<CorsRule>> {
        let data = &self.intent.data;
        if data.origins.is_empty() {
            return Known::Missing;
        }
        let here = data
            .preflights
            .iter()
            .filter(|preflight| preflight.url.contains(bucket));
        let mut methods: BTreeSet<String> = here.map(|preflight| preflight.method.clone()).collect();
        if methods.is_empty() {
            methods.insert("GET".to_owned());
        }
        Known::Seen(vec![CorsRule {
            origins: data.origins.iter().cloned().collect(),
            methods: methods.into_iter().collect(),
        }])
    }

    fn budget(&mut self) {
        let cost = &self.intent.cost;
        let notification = |kind: &str, threshold_percent| Notification {
            kind: kind.to_owned(),
            threshold_percent,
            subscribers: 1,
        };
        let budget = cost.budget.clone().map(|name| {
            let notifications = vec![notification("ACTUAL", 80), notification("FORECASTED", 100)];
            let budget = Budget {
                limit_cents: cost.monthly_cents.unwrap_or(100_000),
                unit: "USD".to_owned(),
                period: "MONTHLY".to_owned(),
                notifications: Known::Seen(notifications),
            };
            (name, budget)
        });
        self.facts.budgets = Known::Seen(budget.into_iter().collect());
    }

    fn records(&mut self) {
        let record = |days: u64, by: &str, text: &str| Record {
            at: self.days_ago(days),
            about: None,
            passed: true,
            by: by.to_owned(),
            text: text.to_owned(),
        };
        let release = self.intent.release.as_ref().map(|release| release.name.clone());
        let of_release = |days, by: &str, text: &str| Record {
            about: release.clone(),
            ..record(days, by, text)
        };
        let lately = u64::from(self.intent.limits.drill_days / 3);
        let people = (0..self.intent.procedure.approvals).map(|number| match number {
            0 => "Ada".to_owned(),
            1 => "Grace".to_owned(),
            _ => format!("approver {}", number.saturating_add(1)),
        });
        let approvals = people.map(|who| of_release(0, &who, "agreed"));
        self.facts.records = Records {
            rollback_drill: Known::Seen(record(lately, "Ada", "back and forth")),
            restore_test: Known::Seen(record(
                lately,
                "Grace",
                "the night's snapshot restored and queried",
            )),
            approvals: if release.is_some() {
                approvals.collect()
            } else {
                Vec::new()
            },
            smoke_test: match release {
                Some(_) => Known::Seen(of_release(0, "the pipeline", "41 of 41 passed")),
                None => Known::Missing,
            },
        };
    }
}
