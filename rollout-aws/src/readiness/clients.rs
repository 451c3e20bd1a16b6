//! The clients of everything that is asked.

use core::fmt;
use std::sync::Arc;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::SdkConfig;

use crate::config;
use crate::ecr::{HttpLayers, LayerSource};
use crate::observer::{Meter, SharedObserver, Toll};
use crate::route53::Delegation;

/// Everything that is asked.
pub(super) struct Clients {
    pub(super) region: Option<String>,
    pub(super) credentials: Option<SharedCredentialsProvider>,
    pub(super) delegation: Option<Arc<dyn Delegation>>,
    pub(super) layers: Option<Arc<dyn LayerSource>>,
    pub(super) acm: aws_sdk_acm::Client,
    pub(super) budgets: aws_sdk_budgets::Client,
    pub(super) cloudfront: aws_sdk_cloudfront::Client,
    pub(super) cloudwatch: aws_sdk_cloudwatch::Client,
    pub(super) ec2: aws_sdk_ec2::Client,
    pub(super) ecr: aws_sdk_ecr::Client,
    pub(super) ecs: aws_sdk_ecs::Client,
    pub(super) elasticache: aws_sdk_elasticache::Client,
    pub(super) elb: aws_sdk_elasticloadbalancingv2::Client,
    pub(super) iam: aws_sdk_iam::Client,
    pub(super) logs: aws_sdk_cloudwatchlogs::Client,
    pub(super) rds: aws_sdk_rds::Client,
    pub(super) route53: aws_sdk_route53::Client,
    pub(super) s3: aws_sdk_s3::Client,
    pub(super) secrets: aws_sdk_secretsmanager::Client,
    pub(super) sns: aws_sdk_sns::Client,
    pub(super) ssm: aws_sdk_ssm::Client,
    pub(super) sts: aws_sdk_sts::Client,
    pub(super) waf: aws_sdk_wafv2::Client,
}

impl Clients {
    pub(super) fn new(config: &SdkConfig) -> Self {
        Self {
            region: config.region().map(|region| region.as_ref().to_owned()),
            credentials: config.credentials_provider(),
            delegation: None,
            layers: HttpLayers::new()
                .ok()
                .map(|layers| Arc::new(layers) as Arc<dyn LayerSource>),
            acm: aws_sdk_acm::Client::new(config),
            budgets: aws_sdk_budgets::Client::new(config),
            cloudfront: aws_sdk_cloudfront::Client::new(config),
            cloudwatch: aws_sdk_cloudwatch::Client::new(config),
            ec2: aws_sdk_ec2::Client::new(config),
            ecr: aws_sdk_ecr::Client::new(config),
            ecs: aws_sdk_ecs::Client::new(config),
            elasticache: aws_sdk_elasticache::Client::new(config),
            elb: aws_sdk_elasticloadbalancingv2::Client::new(config),
            iam: aws_sdk_iam::Client::new(config),
            logs: aws_sdk_cloudwatchlogs::Client::new(config),
            rds: aws_sdk_rds::Client::new(config),
            route53: aws_sdk_route53::Client::new(config),
            s3: aws_sdk_s3::Client::new(config),
            secrets: aws_sdk_secretsmanager::Client::new(config),
            sns: aws_sdk_sns::Client::new(config),
            ssm: aws_sdk_ssm::Client::new(config),
            sts: aws_sdk_sts::Client::new(config),
            waf: aws_sdk_wafv2::Client::new(config),
        }
    }

    /// Pays for its calls where they are sent.
    pub(super) fn meter(&mut self, observer: &Arc<SharedObserver>) {
        macro_rules! meter {
            ($($client:ident: $crate_name:ident as $service:literal),* $(,)?) => {
                $(self.$client = $crate_name::Client::from_conf(
                    self.$client.config().to_builder().interceptor(Meter::new(observer, $service)).build(),
                );)*
            };
        }
        meter!(
            acm: aws_sdk_acm as "acm",
            budgets: aws_sdk_budgets as "budgets",
            cloudfront: aws_sdk_cloudfront as "cloudfront",
            cloudwatch: aws_sdk_cloudwatch as "monitoring",
            ec2: aws_sdk_ec2 as "ec2",
            ecr: aws_sdk_ecr as "ecr",
            ecs: aws_sdk_ecs as "ecs",
            elasticache: aws_sdk_elasticache as "elasticache",
            elb: aws_sdk_elasticloadbalancingv2 as "elasticloadbalancing",
            iam: aws_sdk_iam as "iam",
            logs: aws_sdk_cloudwatchlogs as "logs",
            rds: aws_sdk_rds as "rds",
            route53: aws_sdk_route53 as "route53",
            s3: aws_sdk_s3 as "s3",
            secrets: aws_sdk_secretsmanager as "secretsmanager",
            sns: aws_sdk_sns as "sns",
            ssm: aws_sdk_ssm as "ssm",
            sts: aws_sdk_sts as "sts",
            waf: aws_sdk_wafv2 as "wafv2",
        );
    }
}

/// The environment that the release was proven in.
pub struct Source {
    pub(super) cluster: String,
    pub(super) config: SdkConfig,
    pub(super) aws: Clients,
    pub(super) toll: Toll,
    pub(super) observer: Option<Arc<SharedObserver>>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

impl Source {
    /// A cluster, with the credentials for it.
    #[must_use]
    pub fn from_config(config: &SdkConfig, cluster: impl Into<String>) -> Self {
        let config = config::prepare(config);
        Self {
            cluster: cluster.into(),
            aws: Clients::new(&config),
            config,
            toll: Toll::default(),
            observer: None,
        }
    }

    /// Shares calls with all adapters of this account and region that are given the same observer.
    #[must_use]
    pub fn shared(mut self, observer: &Arc<SharedObserver>) -> Self {
        self.aws.meter(observer);
        self.toll = Toll::of(observer);
        self.observer = Some(Arc::clone(observer));
        self
    }
}
