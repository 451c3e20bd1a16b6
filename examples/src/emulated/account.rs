//! One AWS account at the emulator.

use anyhow::{Context as _, Result};
use aws_config::{BehaviorVersion, Region};
use aws_sdk_ecs::config::Credentials;

use super::REGION;

/// Clients that are signed in to one account. MiniStack takes an access key of twelve digits for the account's number.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its number.
    pub number: String,
    sts: aws_sdk_sts::Client,
    pub(super) ecs: aws_sdk_ecs::Client,
    pub(super) ecr: aws_sdk_ecr::Client,
    pub(super) elb: aws_sdk_elasticloadbalancingv2::Client,
    pub(super) route53: aws_sdk_route53::Client,
    pub(super) cloudwatch: aws_sdk_cloudwatch::Client,
    pub(super) logs: aws_sdk_cloudwatchlogs::Client,
}

impl Account {
    /// Signs in, at the endpoints of the environment variables.
    pub async fn open(number: &str) -> Self {
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(number, "emulator", None, None, "emulator"))
            .load()
            .await;
        Self {
            number: number.to_owned(),
            sts: aws_sdk_sts::Client::new(&config),
            ecs: aws_sdk_ecs::Client::new(&config),
            ecr: aws_sdk_ecr::Client::new(&config),
            elb: aws_sdk_elasticloadbalancingv2::Client::new(&config),
            route53: aws_sdk_route53::Client::new(&config),
            cloudwatch: aws_sdk_cloudwatch::Client::new(&config),
            logs: aws_sdk_cloudwatchlogs::Client::new(&config),
        }
    }

    /// The account's number and the caller's ARN, as STS has them.
    ///
    /// # Errors
    /// When STS does not answer.
    pub async fn identity(&self) -> Result<(String, String)> {
        let answer = self.sts.get_caller_identity().send().await;
        let answer = answer.context("the emulator does not answer (GetCallerIdentity)")?;
        let account = answer.account.context("no account")?;
        Ok((account, answer.arn.context("no ARN")?))
    }

    /// The registry's host, as image references have it.
    #[must_use]
    pub fn registry(&self) -> String {
        format!("{}.dkr.ecr.{REGION}.amazonaws.com", self.number)
    }
}
