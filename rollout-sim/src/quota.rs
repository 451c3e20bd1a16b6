//! How often an account may call: token buckets, one for each account, region and group of calls.

use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A bucket's size and how fast it fills.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The service's name in signatures, such as `ecs`.
    pub service: String,
    /// The operations that share it; none is every operation of the service. A name that ends in `*` stands for all that begin
    /// so.
    pub operations: Vec<String>,
    /// How many calls at once.
    pub burst: u32,
    /// How many calls a second for ever.
    pub per_second: u32,
}

impl Limit {
    /// A bucket of some operations, or of all.
    #[must_use]
    pub fn new(service: &str, operations: &[&str], burst: u32, per_second: u32) -> Self {
        Self {
            service: service.to_owned(),
            operations: operations.iter().map(|o| (*o).to_owned()).collect(),
            burst,
            per_second,
        }
    }

    fn holds(&self, service: &str, operation: &str) -> bool {
        let fits = |known: &String| match known.strip_suffix('*') {
            Some(begin) => operation.starts_with(begin),
            None => known == operation,
        };
        self.service == service && (self.operations.is_empty() || self.operations.iter().any(fits))
    }
}

/// Calls that are limited, and how many there were. Off unless it is told otherwise.
///
/// ```
/// use rollout_sim::{Quotas, World};
///
/// let mut world = World::builder(7).environment("production", |e| e).build()?;
/// world.limit(Quotas::aws());
/// assert_eq!((world.quotas().spent(), world.quotas().refused()), (0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotas {
    limits: Vec<Limit>,
    buckets: Vec<Bucket>,
    spent: u64,
    refused: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bucket {
    account: String,
    region: String,
    limit: usize,
    /// In thousandths of a token: a rate of one a second is then one a millisecond, and nothing is ever rounded.
    thousandths: u64,
    filled_at: Timestamp,
}

/// The operation by which Route 53's changed records are counted, which no call is named.
pub(crate) const CHANGED_RECORDS: &str = "(records)";

impl Quotas {
    /// No limits.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// These limits. A call must find a token in every bucket that it belongs to.
    #[must_use]
    pub fn new(limits: Vec<Limit>) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Those of AWS, as documented: Amazon ECS API, "Request throttling for the Amazon ECS API"; Elastic Load Balancing, "Request
    /// throttling for the Elastic Load Balancing API"; Amazon Route 53, "Throttling for Amazon Route 53 API requests"; the
    /// quotas tables of CloudWatch, Amazon ECR, AWS STS and AWS Secrets Manager; Security Automations for AWS WAF, "Quotas". Where
    /// only a rate is documented, the burst is one second's.
    #[must_use]
    pub fn aws() -> Self {
        let ecs = |operations: &[&str], burst, rate| Limit::new("ecs", operations, burst, rate);
        let elb =
            |operations: &[&str], burst, rate| Limit::new("elasticloadbalancing", operations, burst, rate);
        Self::new(vec![
            ecs(&["RegisterTaskDefinition", "DeregisterTaskDefinition"], 20, 1),
            ecs(&["CreateService", "UpdateService", "DeleteService"], 50, 5),
            ecs(&["DescribeServices", "ListServices"], 100, 20),
            ecs(&["DescribeTasks", "ListTasks"], 100, 20),
            ecs(&["DescribeServiceDeployments", "ListServiceDeployments"], 50, 20),
            ecs(&["DescribeServiceRevisions"], 50, 20),
            ecs(&["DescribeTaskDefinition", "ListTaskDefinitions"], 50, 20),
            ecs(&["RunTask", "StopTask", "ExecuteCommand"], 100, 40),
            ecs(&["UpdateTaskProtection", "GetTaskProtection"], 200, 80),
            elb(&[], 40, 10),
            elb(&["Describe*"], 40, 10),
            elb(&["Modify*", "Set*"], 20, 3),
            elb(&["RegisterTargets", "DeregisterTargets"], 20, 4),
            Limit::new("route53", &[], 50, 10),
            Limit::new("route53", &[CHANGED_RECORDS], 1_500, 100),
            Limit::new("monitoring", &["DescribeAlarms"], 9, 9),
            Limit::new("monitoring", &["GetMetricData"], 500, 500),
            Limit::new("ecr", &["BatchGetImage"], 2_000, 2_000),
            Limit::new("ecr", &["GetDownloadUrlForLayer"], 3_000, 3_000),
            Limit::new("ecr", &["PutImage"], 10, 10),
            Limit::new("ecr", &["GetAuthorizationToken"], 500, 500),
            Limit::new("sts", &[], 600, 600),
            Limit::new(
                "secretsmanager",
                &["DescribeSecret", "GetSecretValue"],
                10_000,
                10_000,
            ),
            Limit::new("secretsmanager", &["PutSecretValue"], 50, 50),
            Limit::new("wafv2", &["CreateWebACL"], 1, 1),
            Limit::new("wafv2", &["UpdateWebACL"], 1, 1),
        ])
    }

    /// How many calls found their tokens, of those that are limited.
    #[must_use]
    pub const fn spent(&self) -> u64 {
        self.spent
    }

    /// How many calls were refused.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Takes `cost` tokens from every bucket that a call belongs to, or none from any: whether it may be made.
    pub(crate) fn spend(
        &mut self,
        now: Timestamp,
        (account, region): (&str, &str),
        (service, operation): (&str, &str),
        cost: u32,
    ) -> bool {
        let counts = operation == CHANGED_RECORDS;
        let mut mine = Vec::new();
        for (index, limit) in self.limits.iter().enumerate() {
            // What counts records is no call of its own.
            if !limit.holds(service, operation) || (counts && limit.operations.is_empty()) {
                continue;
            }
            let found = self
                .buckets
                .iter()
                .position(|b| b.limit == index && b.account == account && b.region == region);
            let place = found.unwrap_or_else(|| {
                self.buckets.push(Bucket {
                    account: account.to_owned(),
                    region: region.to_owned(),
                    limit: index,
                    thousandths: u64::from(limit.burst) * 1_000,
                    filled_at: now,
                });
                self.buckets.len() - 1
            });
            let bucket = &mut self.buckets[place];
            let passed = now.as_millis().saturating_sub(bucket.filled_at.as_millis());
            let more = passed.saturating_mul(u64::from(limit.per_second));
            bucket.thousandths = bucket
                .thousandths
                .saturating_add(more)
                .min(u64::from(limit.burst) * 1_000);
            bucket.filled_at = bucket.filled_at.max(now);
            mine.push(place);
        }
        if mine.is_empty() {
            return true;
        }
        let price = u64::from(cost) * 1_000;
        let enough = mine.iter().all(|place| self.buckets[*place].thousandths >= price);
        if enough {
            for place in mine {
                self.buckets[place].thousandths -= price;
            }
            self.spent += 1;
        } else {
            self.refused += 1;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ME: (&str, &str) = ("111122223333", "eu-west-1");

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut quotas = Quotas::aws();
        let register = ("ecs", "RegisterTaskDefinition");
        let mut many = |now, n: u32| (0..n).filter(|_| quotas.spend(at(now), ME, register, 1)).count();
        assert_eq!(many(0, 50), 20);
        assert_eq!(many(999, 5), 0);
        assert_eq!(many(1_000, 5), 1);
        assert_eq!(many(60_000, 50), 20, "it never holds more than its burst");
        assert_eq!((quotas.spent(), quotas.refused()), (41, 69));
        // Another account, another region and another group have buckets of their own.
        assert!(quotas.spend(at(60_000), ("444455556666", "eu-west-1"), register, 1));
        assert!(quotas.spend(at(60_000), ("111122223333", "eu-north-1"), register, 1));
        assert!(quotas.spend(at(60_000), ME, ("ecs", "UpdateService"), 1));
        assert!(
            quotas.spend(at(60_000), ME, ("ecs", "ListClusters"), 1),
            "not limited"
        );
    }

    #[test]
    fn a_call_takes_from_all_its_buckets_or_from_none() {
        let mut quotas = Quotas::aws();
        let elb = |operation| ("elasticloadbalancing", operation);
        let done = (0..30)
            .filter(|_| quotas.spend(at(0), ME, elb("ModifyRule"), 1))
            .count();
        assert_eq!(done, 20, "its own bucket");
        // The refused ones have taken nothing from the account's bucket of 40.
        let done = (0..30)
            .filter(|_| quotas.spend(at(0), ME, elb("DescribeRules"), 1))
            .count();
        assert_eq!(done, 20);
    }

    #[test]
    fn without_limits_nothing_is_refused_or_counted() {
        let mut quotas = Quotas::off();
        assert!((0..1_000).all(|_| quotas.spend(at(0), ME, ("ecs", "UpdateService"), 1)));
        assert_eq!((quotas.spent(), quotas.refused()), (0, 0));
    }

    proptest! {
        #[test]
        fn a_bucket_is_never_faster_than_its_burst_and_rate(
            burst in 1_u32..20, rate in 1_u32..10, calls in prop::collection::vec((0_u64..700, 1_u32..4), 1..120),
        ) {
            let mut quotas = Quotas::new(vec![Limit::new("s", &["A*"], burst, rate)]);
            let (mut now, mut given) = (0, Vec::new());
            for (pause, cost) in calls {
                now += pause;
                let before = quotas.clone();
                if quotas.spend(at(now), ME, ("s", "Ab"), cost) {
                    given.push((now, cost));
                } else {
                    // A refusal is only for want of tokens, and costs none.
                    let held = quotas.buckets[0].thousandths;
                    prop_assert!(held < u64::from(cost) * 1_000);
                    prop_assert!(before.buckets.first().is_none_or(|b| b.thousandths <= held));
                }
                // Over any span: no more than the burst and what has flowed in since.
                for (n, (from, _)) in given.iter().enumerate() {
                    let taken: u64 = given[n..].iter().map(|(_, cost)| u64::from(*cost) * 1_000).sum();
                    prop_assert!(taken <= u64::from(burst) * 1_000 + (now - from) * u64::from(rate));
                }
                prop_assert!(quotas.buckets[0].thousandths <= u64::from(burst) * 1_000);
            }
        }
    }
}
