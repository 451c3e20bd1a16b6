//! Distributions.

use super::preflight;
use crate::readiness::check::{Over, Rule, Ruling, Scene, Verdict};
use crate::readiness::fact::edge::{Behaviour, Distribution, Origin};
use crate::readiness::risk::matches;
use crate::readiness::scene::has_name;

pub(super) const RULES: &[Rule] = &[
    rule!(
        "cloudfront_distribution_off", Cdn, Critical, BLOCKING, EVERYWHERE,
        title: "The distribution exists and serves",
        why: "One that is disabled answers nobody, though its records still lead there.",
        remedy: "Enable it, or name the right distribution in the readiness file.",
        cli: "aws cloudfront get-distribution --id <distribution>",
        terraform: "aws_cloudfront_distribution.enabled",
        cdk: "Distribution enabled",
        source: "Amazon CloudFront Developer Guide, \"Distribution settings\"",
        over: each_distribution(serves),
    ),
    rule!(
        "cloudfront_host_unknown", Cdn, Critical, BLOCKING, STAGING_TOO,
        title: "The distribution knows each host name that leads to it",
        why: "CloudFront refuses a name that is no alternate domain name of the distribution.",
        remedy: "Add the host name to the distribution's alternate domain names.",
        cli: "aws cloudfront associate-alias --target-distribution-id <distribution> --alias <host>",
        terraform: "aws_cloudfront_distribution.aliases",
        cdk: "Distribution domainNames",
        source: "Amazon CloudFront Developer Guide, \"Use custom URLs by adding alternate domain names (CNAMEs)\"",
        over: Over::Each {
            which: |scene| {
                let hosts = scene.intent.hosts.iter();
                let by_cdn = hosts.filter(|host| host.target.as_deref().is_some_and(is_of_cloudfront));
                Ok(by_cdn.map(|host| host.name.clone()).collect())
            },
            judge: known_host,
        },
    ),
    rule!(
        "cloudfront_origin_path_wrong", Cdn, High, BLOCKING, STAGING_TOO,
        title: "The distribution serves the release's prefix of the bucket",
        why: "With another origin path customers get the files of another release, or none.",
        remedy: "Set the origin path to the plan's prefix.",
        cli: "aws cloudfront update-distribution --id <distribution> --if-match <etag> --distribution-config <file>",
        terraform: "aws_cloudfront_distribution.origin.origin_path",
        cdk: "S3BucketOrigin originPath",
        source: "Amazon CloudFront Developer Guide, \"Origin settings\"",
        over: each_distribution(origin_path),
    ),
    rule!(
        "cloudfront_http_allowed", Cdn, Medium, BLOCKING, STAGING_TOO,
        title: "The distribution answers over HTTPS only",
        why: "A script that was changed on its way does with the customer's session what it likes.",
        remedy: "Set the viewer protocol policy of each behaviour to redirect-to-https.",
        cli: "aws cloudfront update-distribution --id <distribution> --if-match <etag> --distribution-config <file>",
        terraform: "aws_cloudfront_distribution.default_cache_behavior.viewer_protocol_policy",
        cdk: "Distribution defaultBehavior.viewerProtocolPolicy",
        source: "Amazon CloudFront Developer Guide, \"Require HTTPS for communication between viewers and CloudFront\"",
        over: each_distribution(|scene, id| {
            behaviours(scene, id, |_, rule| {
                let open = !matches!(rule.viewers.as_str(), "redirect-to-https" | "https-only");
                open.then(|| format!("{}: {}", rule.paths, rule.viewers))
            }, "redirect-to-https")
        }),
    ),
    rule!(
        "cloudfront_files_uncached", Cdn, Low, ADVISORY, PRODUCTION,
        title: "What comes from a bucket is cached",
        why: "Without a cache each request is paid for twice, and waits for the bucket's region.",
        remedy: "Give the behaviour the managed policy CachingOptimized.",
        cli: "aws cloudfront update-distribution --id <distribution> --if-match <etag> --distribution-config <file>",
        terraform: "aws_cloudfront_distribution.default_cache_behavior.cache_policy_id",
        cdk: "Distribution defaultBehavior.cachePolicy: CachePolicy.CACHING_OPTIMIZED",
        source: "Amazon CloudFront Developer Guide, \"Use managed cache policies\"",
        over: each_distribution(|scene, id| {
            behaviours(scene, id, |origin, rule| {
                let slow = origin.is_some_and(is_bucket) && !rule.caches;
                slow.then(|| format!("{} is not cached", rule.paths))
            }, "files are cached")
        }),
    ),
    rule!(
        "cloudfront_answers_cached", Cdn, High, ADVISORY, STAGING_TOO,
        title: "What a service answers is not cached",
        why: "One customer would see the cart of another; and after a release the old answers stay.",
        remedy: "Give the behaviour of the service's paths the managed policy CachingDisabled.",
        cli: "aws cloudfront update-distribution --id <distribution> --if-match <etag> --distribution-config <file>",
        terraform: "aws_cloudfront_distribution.ordered_cache_behavior.cache_policy_id",
        cdk: "Distribution additionalBehaviors.cachePolicy: CachePolicy.CACHING_DISABLED",
        source: "Amazon CloudFront Developer Guide, \"Use managed cache policies\"",
        over: each_distribution(|scene, id| {
            behaviours(scene, id, |origin, rule| {
                let kept = origin.is_some_and(|origin| !is_bucket(origin)) && rule.caches;
                // Files of a service, such as `*.css`, may well be cached.
                let narrow = rule.paths != "*" && matches("*.*", &rule.paths);
                (kept && !narrow).then(|| format!("{} is cached", rule.paths))
            }, "no cache before a service, but for files")
        }),
    ),
    rule!(
        "cloudfront_origin_unknown", Cdn, High, BLOCKING, STAGING_TOO,
        title: "Each cache rule leads to an origin of the distribution",
        why: "Paths whose origin is not there get an error.",
        remedy: "Name an origin that the distribution has.",
        cli: "aws cloudfront get-distribution-config --id <distribution>",
        terraform: "aws_cloudfront_distribution.ordered_cache_behavior.target_origin_id",
        cdk: "Distribution additionalBehaviors.origin",
        source: "Amazon CloudFront Developer Guide, \"Cache behavior settings\"",
        over: each_distribution(|scene, id| {
            behaviours(scene, id, |origin, rule| {
                origin.is_none().then(|| format!("{} leads to {}", rule.paths, rule.origin))
            }, "an origin of the distribution")
        }),
    ),
    rule!(
        "cloudfront_certificate_wrong", Cdn, Critical, BLOCKING, STAGING_TOO,
        title: "The distribution's certificate covers its host names",
        why: "With CloudFront's own certificate, or one for other names, browsers warn everybody away.",
        remedy: "Request a certificate with the names in us-east-1, and give it to the distribution.",
        cli: "aws acm request-certificate --region us-east-1 --domain-name <host> --validation-method DNS",
        terraform: "aws_cloudfront_distribution.viewer_certificate.acm_certificate_arn",
        cdk: "Distribution certificate",
        source: "Amazon CloudFront Developer Guide, \"Requirements for using SSL/TLS certificates with CloudFront\"",
        over: each_distribution(certificate),
    ),
    rule!(
        "cloudfront_tls_old", Cdn, Medium, BLOCKING, STAGING_TOO,
        title: "The distribution takes TLS 1.2 and newer only",
        why: "TLS 1.0 and 1.1 are broken and forbidden by most rule books.",
        remedy: "Set the security policy to TLSv1.2_2021 or newer.",
        cli: "aws cloudfront update-distribution --id <distribution> --if-match <etag> --distribution-config <file>",
        terraform: "aws_cloudfront_distribution.viewer_certificate.minimum_protocol_version",
        cdk: "Distribution minimumProtocolVersion",
        source: "Amazon CloudFront Developer Guide, \"Supported protocols and ciphers between viewers and CloudFront\"",
        over: each_distribution(tls),
    ),
    rule!(
        "cloudfront_web_acl_missing", Cdn, Medium, BLOCKING, PRODUCTION,
        title: "A web ACL is attached to the distribution",
        why: "Without one every request of every bot is paid for, and those that miss the cache reach the origin.",
        remedy: "Make a web ACL of the scope CLOUDFRONT in us-east-1, and give it to the distribution.",
        cli: "aws cloudfront update-distribution --id <distribution> --if-match <etag> --distribution-config <file with WebACLId>",
        terraform: "aws_cloudfront_distribution.web_acl_id",
        cdk: "Distribution webAclId",
        source: "Amazon CloudFront Developer Guide, \"Use AWS WAF protections\"",
        over: each_distribution(|scene, id| {
            let attached = scene.facts.distributions.get(id)?.web_acl.is_some();
            Ok(Verdict::when(attached, || "no web ACL".to_owned(), "a web ACL"))
        }),
    ),
    rule!(
        "cloudfront_invalidation_missing", Cdn, High, BLOCKING, STAGING_TOO,
        title: "A release that replaces files invalidates them",
        why: "Otherwise the old page is served beside the new scripts until its time is over: a day, unless the file says something else.",
        remedy: "Make the invalidation a step of the release, or put each file under a name that has its hash in it.",
        cli: "aws cloudfront create-invalidation --distribution-id <distribution> --paths '/*'",
        terraform: "",
        cdk: "BucketDeployment distribution, distributionPaths",
        source: "Amazon CloudFront Developer Guide, \"Invalidate files to remove content\"",
        over: each_distribution(invalidated),
    ),
    rule!(
        "cloudfront_cors_wrong", Cdn, Medium, BLOCKING, STAGING_TOO,
        title: "The distribution's answers let the environment's origins in, and no other",
        why: "A distribution that passes no Origin on, or caches the answer for another one, breaks fonts and scripts in every browser; `*` lets all pages read.",
        remedy: "Give the behaviour a response headers policy with the environment's origins.",
        cli: "aws cloudfront create-response-headers-policy --response-headers-policy-config <file>",
        terraform: "aws_cloudfront_response_headers_policy.cors_config",
        cdk: "ResponseHeadersPolicy corsBehavior",
        source: "Amazon CloudFront Developer Guide, \"Add or remove HTTP headers in CloudFront responses with a policy\"",
        over: Over::Each { which: |scene| preflight::which(scene, true), judge: preflight::judge },
    ),
];

const fn each_distribution(judge: fn(&Scene<'_>, &str) -> Ruling) -> Over {
    Over::Each {
        which: |scene| Ok(scene.intent.data.distributions.clone()),
        judge,
    }
}

fn is_of_cloudfront(name: &str) -> bool {
    name.trim_end_matches('.').ends_with(".cloudfront.net")
}

/// Whether an origin is a bucket, by the forms of its name (Amazon S3 User Guide, "Virtual hosting of general purpose buckets").
fn is_bucket(origin: &Origin) -> bool {
    let mut labels = origin.domain.split('.').skip(1);
    origin.domain.contains(".amazonaws.com") && labels.any(|label| label == "s3" || label.starts_with("s3-"))
}

fn serves(scene: &Scene<'_>, id: &str) -> Ruling {
    let wanted = "a distribution that is enabled";
    Ok(match scene.facts.distributions.find(id)? {
        None => Verdict::fail("there is no such distribution", wanted),
        Some(found) => Verdict::when(found.enabled, || "it is disabled".to_owned(), wanted),
    })
}

fn known_host(scene: &Scene<'_>, name: &str) -> Ruling {
    let (mut known, mut any) = (false, false);
    for id in &scene.intent.data.distributions {
        if let Some(distribution) = scene.facts.distributions.find(id)? {
            any = true;
            known |= has_name(&distribution.aliases, name);
        }
    }
    Ok(if any {
        let seen = || "no distribution of the plan has it as an alternate domain name".to_owned();
        Verdict::when(known, seen, format!("{name} as an alternate domain name"))
    } else {
        Verdict::not_applicable("there is no distribution of the plan")
    })
}

fn origin_path(scene: &Scene<'_>, id: &str) -> Ruling {
    let distribution = scene.facts.distributions.get(id)?;
    let Some(wanted) = &scene.intent.data.origin_path else {
        return Ok(Verdict::not_applicable("no prefix is planned"));
    };
    let others = distribution
        .origins
        .iter()
        .filter(|origin| is_bucket(origin) && origin.path != *wanted);
    let wrong: Vec<_> = others
        .map(|origin| match origin.path.as_str() {
            "" => format!("{} without a path", origin.id),
            path => format!("{} with {path}", origin.id),
        })
        .collect();
    Ok(Verdict::unless(&wrong, wanted))
}

/// A failure that names the behaviours that are wrong. Each is seen with its origin, if that is there.
fn behaviours(
    scene: &Scene<'_>,
    id: &str,
    wrong: impl Fn(Option<&Origin>, &Behaviour) -> Option<String>,
    wanted: &str,
) -> Ruling {
    let distribution = scene.facts.distributions.get(id)?;
    let origin = |rule: &Behaviour| {
        distribution
            .origins
            .iter()
            .find(|origin| origin.id == rule.origin)
    };
    let all = distribution.behaviours.iter();
    let all: Vec<_> = all.filter_map(|rule| wrong(origin(rule), rule)).collect();
    Ok(Verdict::unless(&all, wanted))
}

/// Why nothing is said of the TLS of a distribution that only has CloudFront's own name.
const OWN_NAME: &str = "it has no host name but CloudFront's own";

fn certificate(scene: &Scene<'_>, id: &str) -> Ruling {
    let Distribution {
        aliases, certificate, ..
    } = scene.facts.distributions.get(id)?;
    if aliases.is_empty() {
        return Ok(Verdict::not_applicable(OWN_NAME));
    }
    let wanted = format!("a certificate for {}", aliases.join(", "));
    let Some(arn) = certificate else {
        return Ok(Verdict::fail("CloudFront's own certificate", wanted));
    };
    let names = &scene.facts.certificates.get(arn)?.names;
    let others = aliases.iter().filter(|alias| !has_name(names, alias));
    let wrong: Vec<_> = others.map(|alias| format!("it does not cover {alias}")).collect();
    Ok(Verdict::unless(&wrong, wanted))
}

fn tls(scene: &Scene<'_>, id: &str) -> Ruling {
    let distribution = scene.facts.distributions.get(id)?;
    // With its own certificate CloudFront takes old versions whatever is set (Amazon CloudFront API, "ViewerCertificate").
    if distribution.aliases.is_empty() || distribution.certificate.is_none() {
        return Ok(Verdict::not_applicable("it shows CloudFront's own certificate"));
    }
    let least = distribution
        .minimum_tls
        .as_deref()
        .unwrap_or("no security policy");
    let modern = least.starts_with("TLSv1.2_") || least.starts_with("TLSv1.3_");
    Ok(Verdict::when(
        modern,
        || least.to_owned(),
        "TLSv1.2_2021 or newer",
    ))
}

fn invalidated(scene: &Scene<'_>, id: &str) -> Ruling {
    // What is not there keeps no files: that it is missing is another check's failure.
    scene.facts.distributions.get(id)?;
    let data = &scene.intent.data;
    Ok(if data.replaces_files {
        let part = data.invalidates.iter().any(|one| one == id);
        Verdict::when(
            part,
            || "no invalidation".to_owned(),
            "an invalidation as a part of the release",
        )
    } else {
        Verdict::not_applicable("releases replace no file")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_bucket_by_its_name() {
        let is = |domain: &str| {
            is_bucket(&Origin {
                id: "it".to_owned(),
                domain: domain.to_owned(),
                path: String::new(),
            })
        };
        assert!(is("shop.s3.eu-central-1.amazonaws.com") && is("shop.s3.amazonaws.com"));
        assert!(
            is("shop.s3-website.eu-central-1.amazonaws.com") && is("shop.s3-website-us-east-1.amazonaws.com")
        );
        assert!(!is("shop-1.eu-central-1.elb.amazonaws.com") && !is("s3.example.com"));
    }
}
