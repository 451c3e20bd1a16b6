//! The ports of `rollout-core` on AWS. Every feature is one AWS service; none is on by default.
//!
//! | feature | AWS service | gives | port | IAM actions |
//! |---|---|---|---|---|
//! | `sts` | STS | `sts::IdentityGuard` | guards every adapter that changes something | `sts::ACTIONS` |
//! | `ecr` (brings `sts`) | ECR | `ecr::EcrPromotion` | `ImagePromotion` | `ecr::ACTIONS` |
//! | `ecs` (brings `sts`) | ECS | `ecs::EcsEnvironment`, `ecs::EcsRollback` | `Environment`, `Rollback` | `ecs::ACTIONS` |
//! | `logs` | CloudWatch Logs | log tail of failed and one-off tasks | part of `Environment` | `logs::ACTIONS` |
//! | `secretsmanager` | Secrets Manager | whether a secret is there | part of `Rollback` | `secretsmanager::ACTIONS` |
//! | `ssm` | Systems Manager's Parameter Store | whether a parameter is there | part of `Rollback` | `ssm::ACTIONS` |
//! | `sqs` | SQS | `sqs::EventQueue`: hints from the events of ECS | none: signals of a drive | `sqs::ACTIONS` |
//! | `elbv2` | ELBv2 | target health | `HealthGate` | see its module |
//! | `cloudwatch` | CloudWatch | alarms | `HealthGate` | see its module |
//! | `route53` | Route 53 | records as compare-and-set | `DnsCutover` | see its module |
//! | `probe` | none | HTTP probe | `HealthGate` | none |
//! | `object-store` | S3, or another store with conditional writes | `objects::ObjectJournal`, `objects::ObjectLeaseStore` | `Journal`, `LeaseStore` | `objects::ACTIONS` |
//! | `readiness` (brings the others it reads with) | all that an environment is made of | `readiness::AwsFacts` | `FactSource` | `readiness::ACTIONS` |
//! | `clock` | none | wall clock on Tokio's timer | `Clock` | none |
//! | `full` | all of them | | | |
//!
//! Each adapter's documentation lists the IAM actions that it needs; its `ACTIONS` constant lists them for programs.
//!
//! An adapter is made `from_config(&SdkConfig, …)` or `with_client(client, …)`. No other signature shows an SDK type.
//! `from_config` sets the one retry layer: reads are retried by the SDK, mutating calls are sent once.
//! A client handed to `with_client` keeps its own settings for reads.
//!
//! Adapters of many rollouts in one account and region share an [`observer`]: its buckets keep their calls within the account's
//! quotas, and its reads answer many with one call.

#[cfg(any(
    feature = "cloudwatch",
    feature = "ecr",
    feature = "ecs",
    feature = "elbv2",
    feature = "logs",
    feature = "route53",
    feature = "secretsmanager",
    feature = "sqs",
    feature = "ssm",
    feature = "sts"
))]
pub(crate) mod config;
#[cfg(any(
    feature = "cloudwatch",
    feature = "ecr",
    feature = "ecs",
    feature = "elbv2",
    feature = "logs",
    feature = "route53",
    feature = "secretsmanager",
    feature = "sqs",
    feature = "ssm",
    feature = "sts"
))]
pub(crate) mod error;

#[cfg(feature = "clock")]
pub mod clock;
#[cfg(feature = "cloudwatch")]
pub mod cloudwatch;
#[cfg(any(feature = "ecr", feature = "probe"))]
pub mod connector;
#[cfg(all(
    test,
    any(feature = "ecr", feature = "ecs", feature = "route53", feature = "sqs")
))]
#[path = "../../fuzz/src/replay.rs"]
#[expect(unreachable_pub, reason = "shared by the tests of several crates")]
mod corpus;
#[cfg(feature = "ecr")]
pub mod ecr;
#[cfg(feature = "ecs")]
pub mod ecs;
pub mod edge;
#[cfg(feature = "elbv2")]
pub mod elbv2;
#[cfg(all(test, any(feature = "elbv2", feature = "route53")))]
mod fake;
#[cfg(any(feature = "ecs", feature = "secretsmanager", feature = "ssm"))]
pub(crate) mod found;
pub mod gates;
pub mod guard;
#[cfg(feature = "logs")]
pub mod logs;
#[cfg(feature = "object-store")]
pub mod objects;
#[cfg(any(
    feature = "cloudwatch",
    feature = "ecr",
    feature = "ecs",
    feature = "elbv2",
    feature = "logs",
    feature = "route53",
    feature = "secretsmanager",
    feature = "ssm",
    feature = "sts"
))]
pub mod observer;
#[cfg(any(feature = "cloudwatch", feature = "ecs", feature = "elbv2", feature = "ssm"))]
pub(crate) mod page;
#[cfg(feature = "probe")]
pub mod probe;
#[cfg(feature = "readiness")]
pub mod readiness;
#[cfg(any(feature = "probe", feature = "route53"))]
pub mod resolve;
#[cfg(feature = "route53")]
pub mod route53;
#[cfg(feature = "secretsmanager")]
pub mod secretsmanager;
#[cfg(feature = "sqs")]
pub mod sqs;
#[cfg(feature = "ssm")]
pub mod ssm;
#[cfg(feature = "sts")]
pub mod sts;
#[cfg(all(
    test,
    any(
        feature = "ecr",
        feature = "ecs",
        feature = "secretsmanager",
        feature = "ssm",
        all(feature = "sqs", feature = "sts")
    )
))]
#[cfg_attr(not(feature = "ecs"), expect(dead_code, reason = "the other tests need less"))]
mod testing;
pub mod time;
