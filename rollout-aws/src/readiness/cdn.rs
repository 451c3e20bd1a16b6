//! Distributions of CloudFront.

use std::collections::BTreeSet;

use aws_sdk_cloudfront::types as cloudfront;
use rollout_core::readiness::fact::edge::{Behaviour, Distribution, Origin};
use rollout_core::readiness::known::Table;

use super::call::Call;
use super::map::text;
use super::round::{Refused, Round, table};

/// The managed policy that caches nothing (Amazon CloudFront Developer Guide, "Use managed cache policies").
const CACHING_DISABLED: &str = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad";

/// Distributions by id.
pub(super) async fn distributions(round: &Round<'_>, ids: BTreeSet<String>) -> Table<Distribution> {
    table(ids, |id| async move {
        let answer = round
            .ask(
                Call::GetDistribution,
                &id,
                round.aws.cloudfront.get_distribution().id(&id).send(),
            )
            .await?;
        let found = answer
            .distribution()
            .and_then(|found| Some(distribution(found.status(), found.distribution_config()?)));
        found.ok_or_else(|| Refused::unclear(&id, "cloudfront:GetDistribution: an answer without it"))
    })
    .await
}

fn distribution(status: &str, config: &cloudfront::DistributionConfig) -> Distribution {
    let viewer = config.viewer_certificate();
    let origin = |origin: &cloudfront::Origin| Origin {
        id: origin.id().to_owned(),
        domain: origin.domain_name().to_owned(),
        path: text(origin.origin_path()),
    };
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let certificate = viewer.and_then(|viewer| {
        viewer
            .acm_certificate_arn()
            .or_else(|| viewer.iam_certificate_id())
    });
    let behaviours = config.cache_behaviors().map_or(&[][..], |all| all.items());
    Distribution {
        enabled: config.enabled(),
        status: status.to_owned(),
        aliases: config
            .aliases()
            .map_or_else(Vec::new, |aliases| aliases.items().to_vec()),
        certificate: certificate.and_then(some),
        minimum_tls: viewer
            .and_then(|viewer| viewer.minimum_protocol_version())
            .map(|version| version.as_str().to_owned()),
        web_acl: config.web_acl_id().and_then(some),
        origins: config
            .origins()
            .map_or_else(Vec::new, |all| all.items().iter().map(origin).collect()),
        behaviours: behaviours
            .iter()
            .map(behaviour)
            .chain(config.default_cache_behavior().map(default))
            .collect(),
    }
}

fn behaviour(behaviour: &cloudfront::CacheBehavior) -> Behaviour {
    #[expect(deprecated, reason = "distributions without a cache policy have it")]
    let longest = behaviour.max_ttl();
    Behaviour {
        paths: behaviour.path_pattern().to_owned(),
        origin: behaviour.target_origin_id().to_owned(),
        viewers: behaviour.viewer_protocol_policy().as_str().to_owned(),
        caches: caches(behaviour.cache_policy_id(), longest),
    }
}

fn default(behaviour: &cloudfront::DefaultCacheBehavior) -> Behaviour {
    #[expect(deprecated, reason = "distributions without a cache policy have it")]
    let longest = behaviour.max_ttl();
    Behaviour {
        paths: "*".to_owned(),
        origin: behaviour.target_origin_id().to_owned(),
        viewers: behaviour.viewer_protocol_policy().as_str().to_owned(),
        caches: caches(behaviour.cache_policy_id(), longest),
    }
}

/// Whether anything is cached: the longest time counts only where there is no policy.
fn caches(policy: Option<&str>, longest: Option<i64>) -> bool {
    match policy.filter(|policy| !policy.is_empty()) {
        Some(policy) => policy != CACHING_DISABLED,
        None => longest != Some(0),
    }
}
