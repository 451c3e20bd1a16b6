//! What keeps data, what it costs, and what people wrote down.

use rollout_core::readiness::known::Known;

use super::ask::Asking;

impl Asking<'_> {
    pub(super) fn data(&mut self) {
        let data = &self.intent.data;
        for name in &data.databases {
            let beside = self.beside(name, |around| &around.databases);
            let mut database = self.told("rds:DescribeDBInstances", name, || beside);
            if let Known::Seen(database) = &mut database {
                self.part(
                    "cloudwatch:GetMetricStatistics",
                    name,
                    &mut database.peak_connections,
                );
                self.part("rds:DescribeDBParameters", name, &mut database.max_connections);
            }
            self.facts.databases.put(name, database);
        }
        for name in &data.caches {
            let beside = self.beside(name, |around| &around.caches);
            let mut cache = self.told("elasticache:DescribeReplicationGroups", name, || beside);
            if let Known::Seen(cache) = &mut cache {
                let call = "elasticache:DescribeCacheClusters";
                self.part(call, name, &mut cache.security_groups);
            }
            self.facts.caches.put(name, cache);
        }
        for name in data.buckets.keys() {
            // No call tells that a bucket is there and nothing else: each of the three tells its part.
            let mut bucket = self.beside(name, |around| &around.buckets);
            if let Known::Seen(bucket) = &mut bucket {
                self.part("s3:GetBucketVersioning", name, &mut bucket.versioning);
                self.part("s3:GetPublicAccessBlock", name, &mut bucket.public_access_blocked);
                self.part("s3:GetBucketCors", name, &mut bucket.cors);
            }
            self.facts.buckets.put(name, bucket);
        }
        self.budgets();
        if let Some(around) = self.around() {
            self.facts.records = around.records.clone();
        }
    }

    fn budgets(&mut self) {
        let beside = self.as_around("", |around| &around.budgets);
        let mut budgets = self.told("budgets:DescribeBudgets", "", || beside);
        if let Known::Seen(budgets) = &mut budgets {
            for (name, budget) in budgets {
                let call = "budgets:DescribeNotificationsForBudget";
                self.part(call, name, &mut budget.notifications);
            }
        }
        self.facts.budgets = budgets;
    }
}
