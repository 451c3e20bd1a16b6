//! How often an account may call: the documented token buckets as data, and the arithmetic of one bucket.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A bucket's size and how fast it fills: one for each account, region and group of calls.
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

    /// Whether a call of this operation takes from it.
    #[must_use]
    pub fn holds(&self, service: &str, operation: &str) -> bool {
        let fits = |known: &String| match known.strip_suffix('*') {
            Some(begin) => operation.starts_with(begin),
            None => known == operation,
        };
        self.service == service && (self.operations.is_empty() || self.operations.iter().any(fits))
    }

    /// So many hundredths of it, and one call at least: for a program that is not alone in its account.
    #[must_use]
    pub fn part(mut self, percent: u32) -> Self {
        let part = |of: u32| {
            let part = u64::from(of).saturating_mul(u64::from(percent)) / 100;
            u32::try_from(part).unwrap_or(u32::MAX).max(of.min(1))
        };
        self.burst = part(self.burst);
        self.per_second = part(self.per_second);
        self
    }
}

/// The operation by which Route 53's changed records are counted, which no call is named.
pub const CHANGED_RECORDS: &str = "(records)";

/// Those of AWS, as documented: Amazon ECS API, "Request throttling for the Amazon ECS API"; Elastic Load Balancing, "Request
/// throttling for the Elastic Load Balancing API"; Amazon Route 53, "Throttling for Amazon Route 53 API requests"; Amazon EC2,
/// "Request throttling for the Amazon EC2 API" (one bucket for each operation); Amazon RDS, "Request throttling for the Amazon RDS
/// API" (taken for the whole account's); Amazon SNS API, "ListSubscriptionsByTopic"; the quotas tables of AWS Certificate Manager,
/// CloudWatch, CloudWatch Logs, Amazon ECR, AWS STS, AWS Secrets Manager and AWS WAF; Security Automations for AWS WAF, "Quotas".
/// Where only a rate is documented, the burst is one second's.
///
/// Nothing is documented for IAM, Budgets, CloudFront, ElastiCache, the settings of S3's buckets, the descriptions of Systems
/// Manager's parameters, and what is read of ECR's repositories: no bucket holds those.
///
/// An account may have been given other ones (Service Quotas): change the entry, or leave it out.
#[must_use]
pub fn documented() -> Vec<Limit> {
    let ecs = |operations: &[&str], burst, rate| Limit::new("ecs", operations, burst, rate);
    let elb = |operations: &[&str], burst, rate| Limit::new("elasticloadbalancing", operations, burst, rate);
    let ec2 = |operation: &str| Limit::new("ec2", &[operation], 100, 20);
    vec![
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
        Limit::new("acm", &["DescribeCertificate"], 10, 10),
        ec2("DescribeNatGateways"),
        ec2("DescribeRouteTables"),
        ec2("DescribeSecurityGroups"),
        ec2("DescribeSubnets"),
        ec2("DescribeVpcEndpoints"),
        ec2("DescribeVpcs"),
        Limit::new("logs", &["DescribeLogGroups"], 10, 10),
        Limit::new("monitoring", &["DescribeAlarms"], 9, 9),
        Limit::new("monitoring", &["GetDashboard"], 10, 10),
        Limit::new("monitoring", &["GetMetricStatistics"], 400, 400),
        Limit::new("rds", &[], 300, 12),
        Limit::new("sns", &["ListSubscriptionsByTopic"], 30, 30),
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
        Limit::new("wafv2", &["GetLoggingConfiguration"], 5, 5),
        Limit::new("wafv2", &["GetWebACLForResource"], 1, 1),
        Limit::new("wafv2", &["UpdateWebACL"], 1, 1),
    ]
}

/// One bucket's tokens, counted in thousandths: a rate of one a second is then one a millisecond, and nothing is ever rounded.
///
/// Time that goes back adds nothing and takes nothing away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    burst: u32,
    per_second: u32,
    thousandths: i64,
    filled_at: Timestamp,
}

/// A token, in thousandths.
const TOKEN: i64 = 1_000;

fn tokens(count: u32) -> i64 {
    i64::from(count).saturating_mul(TOKEN)
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn full(burst: u32, per_second: u32, now: Timestamp) -> Self {
        Self {
            burst,
            per_second,
            thousandths: tokens(burst),
            filled_at: now,
        }
    }

    /// How much it holds, in thousandths of a token; below zero when more was charged than there was.
    #[must_use]
    pub const fn thousandths(&self) -> i64 {
        self.thousandths
    }

    /// Lets flow in what has come since.
    pub fn fill(&mut self, now: Timestamp) {
        let passed = now.as_millis().saturating_sub(self.filled_at.as_millis());
        let more = i64::try_from(passed)
            .unwrap_or(i64::MAX)
            .saturating_mul(i64::from(self.per_second));
        self.thousandths = self.thousandths.saturating_add(more).min(tokens(self.burst));
        self.filled_at = self.filled_at.max(now);
    }

    /// Whether it holds as many tokens as were there when it was filled last.
    #[must_use]
    pub fn has(&self, cost: u32) -> bool {
        self.thousandths >= tokens(cost)
    }

    /// When it will hold so many; never, for more than it can hold.
    #[must_use]
    pub fn ready_at(&self, cost: u32) -> Timestamp {
        let missing = tokens(cost).saturating_sub(self.thousandths);
        if missing <= 0 {
            return self.filled_at;
        }
        let never = cost > self.burst;
        let rate = u64::from(self.per_second);
        match u64::try_from(missing) {
            Ok(missing) if rate > 0 && !never => {
                Timestamp::from_millis(self.filled_at.as_millis().saturating_add(missing.div_ceil(rate)))
            }
            _ => Timestamp::MAX,
        }
    }

    /// Takes so many tokens, whether they are there or not: what is called without asking has to be paid all the same.
    pub fn charge(&mut self, cost: u32) {
        self.thousandths = self.thousandths.saturating_sub(tokens(cost));
    }

    /// Empties it, and lets it stay empty for so many milliseconds: the other side says that it is.
    pub fn dry_for(&mut self, millis: u32) {
        let owed = i64::from(millis).saturating_mul(i64::from(self.per_second));
        self.thousandths = self.thousandths.min(owed.saturating_neg());
    }
}
