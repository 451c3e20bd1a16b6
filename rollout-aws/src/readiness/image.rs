//! Repositories and images of ECR, in the registry of the account and region.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecr::types::{self as ecr, ImageIdentifier, RegistryScanningConfiguration, ScanFrequency};
use futures_util::future::join;
use rollout_core::error::{Error, ErrorKind};
use rollout_core::readiness::fact::image::{Expiry, Image, LifecycleRule, ListedImage, Repository};
use rollout_core::readiness::known::Table;
use rollout_core::readiness::risk::matches;
use serde::Deserialize;

use super::call::Call;
use super::map::{count, text, time};
use super::round::{Asked, Refused, Round, batched, known, pages, table};

/// Repositories of one call, at most (Amazon ECR API, "DescribeRepositories").
const REPOSITORIES: usize = 100;

/// An image of a registry of ECR, of `111122223333.dkr.ecr.eu-central-1.amazonaws.com/shop/api@sha256:…` or with a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The account that keeps it.
    pub(super) account: String,
    /// The region that it is in.
    pub(super) region: String,
    /// The repository.
    pub(super) repository: String,
    /// Its digest, if it is named by that.
    pub(super) digest: Option<String>,
}

impl Place {
    /// Reads a reference; `None` when it is in another kind of registry.
    pub(super) fn read(image: &str) -> Option<Self> {
        let (host, rest) = image.split_once('/')?;
        let (account, rest_of_host) = host.split_once(".dkr.ecr.")?;
        let (region, domain) = rest_of_host.split_once('.')?;
        if !domain.starts_with("amazonaws.com") {
            return None;
        }
        let (name, digest) = match rest.split_once('@') {
            Some((name, digest)) => (name, Some(digest.to_owned())),
            None => (rest, None),
        };
        let repository = name.split(':').next().unwrap_or(name);
        Some(Self {
            account: account.to_owned(),
            region: region.to_owned(),
            repository: repository.to_owned(),
            digest,
        })
    }
}

/// Repositories by name.
pub(super) async fn repositories(round: &Round<'_>, names: BTreeSet<String>) -> Table<Repository> {
    if names.is_empty() {
        return Table::default();
    }
    let scanning = scanning(round);
    let described = batched(names.clone(), REPOSITORIES, |names| async move {
        let subject = names.join(", ");
        let request = round
            .aws
            .ecr
            .describe_repositories()
            .set_repository_names(Some(names));
        let answer = round
            .ask(Call::DescribeRepositories, &subject, request.send())
            .await?;
        let all = answer.repositories.unwrap_or_default().into_iter();
        Ok(all.map(|one| (text(one.repository_name()), one)).collect())
    });
    let (described, scanning) = join(described, scanning).await;
    table(names, |name| {
        let (described, scanning) = (&described, &scanning);
        async move {
            let described = match described.find(&name) {
                Ok(Some(described)) => described,
                Ok(None) => return Err(Refused::Missing),
                Err(unseen) => return Err(Refused::Unseen(unseen)),
            };
            let (lifecycle, images) = join(lifecycle(round, &name), listed(round, &name)).await;
            let own = described
                .image_scanning_configuration()
                .is_some_and(|config| config.scan_on_push());
            let registry = scanning.as_ref().map(|config| scans(config, &name));
            Ok(Repository {
                immutable_tags: described.image_tag_mutability() == Some(&ecr::ImageTagMutability::Immutable),
                scan_on_push: if own {
                    known(Ok(true))
                } else {
                    known(registry.map_err(Clone::clone))
                },
                lifecycle: known(lifecycle),
                images: known(images),
            })
        }
    })
    .await
}

/// How the registry scans.
async fn scanning(round: &Round<'_>) -> Asked<Option<RegistryScanningConfiguration>> {
    let request = round.aws.ecr.get_registry_scanning_configuration();
    let answer = round
        .ask(Call::GetRegistryScanning, "the registry", request.send())
        .await?;
    Ok(answer.scanning_configuration)
}

/// Whether a registry scans what is pushed to a repository (Amazon ECR User Guide, "Filters to choose which repositories are
/// scanned").
fn scans(config: &Option<RegistryScanningConfiguration>, repository: &str) -> bool {
    let rules = config.iter().flat_map(|config| config.rules());
    let pushed = rules.filter(|rule| {
        matches!(
            rule.scan_frequency(),
            ScanFrequency::ScanOnPush | ScanFrequency::ContinuousScan
        )
    });
    pushed
        .flat_map(|rule| rule.repository_filters())
        .any(|filter| fits(filter.filter(), repository))
}

/// `*` stands for any characters; a filter without one fits whatever holds it.
fn fits(filter: &str, name: &str) -> bool {
    if !filter.contains('*') {
        return name.contains(filter);
    }
    matches(filter, name)
}

async fn lifecycle(round: &Round<'_>, repository: &str) -> Asked<Vec<LifecycleRule>> {
    let request = round.aws.ecr.get_lifecycle_policy().repository_name(repository);
    let answer = round
        .ask(Call::GetLifecyclePolicy, repository, request.send())
        .await?;
    let policy = answer.lifecycle_policy_text().unwrap_or_default();
    rules(policy).map_err(|error| {
        Refused::unclear(
            repository,
            format!("ecr:GetLifecyclePolicy: the policy cannot be read: {error}"),
        )
    })
}

#[derive(Deserialize)]
struct Policy {
    rules: Vec<PolicyRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PolicyRule {
    rule_priority: u32,
    selection: Selection,
    action: Option<PolicyAction>,
}

#[derive(Deserialize)]
struct PolicyAction {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selection {
    tag_status: String,
    #[serde(default)]
    tag_prefix_list: Vec<String>,
    #[serde(default)]
    tag_pattern_list: Vec<String>,
    count_type: String,
    count_unit: Option<String>,
    count_number: Option<u32>,
}

/// The rules of a policy in their order (Amazon ECR User Guide, "Lifecycle policy properties").
fn rules(policy: &str) -> serde_json::Result<Vec<LifecycleRule>> {
    let policy: Policy = serde_json::from_str(policy)?;
    let mut rules: Vec<LifecycleRule> = policy.rules.into_iter().map(rule).collect();
    rules.sort_by_key(|rule| rule.priority);
    Ok(rules)
}

fn rule(rule: PolicyRule) -> LifecycleRule {
    let chosen = rule.selection;
    let expires = rule.action.as_ref().is_none_or(|action| action.kind == "expire");
    let deletes = match (
        chosen.count_type.as_str(),
        chosen.count_unit.as_deref(),
        chosen.count_number,
    ) {
        _ if !expires => Expiry::Other(rule.action.map_or_else(String::new, |action| action.kind)),
        ("imageCountMoreThan", _, Some(number)) => Expiry::MoreThan(number),
        ("sinceImagePushed", None | Some("days"), Some(days)) => Expiry::OlderThanDays(days),
        _ => Expiry::Other(chosen.count_type),
    };
    let mut tags = chosen.tag_prefix_list;
    tags.extend(chosen.tag_pattern_list);
    LifecycleRule {
        priority: rule.rule_priority,
        tag_status: chosen.tag_status,
        tags,
        deletes,
    }
}

/// The images of a repository, newest first.
async fn listed(round: &Round<'_>, repository: &str) -> Asked<Vec<ListedImage>> {
    let found = pages(Call::DescribeImages, repository, |token| {
        let request = round.aws.ecr.describe_images().repository_name(repository);
        let request = request.max_results(1_000).set_next_token(token);
        let asked = round.ask(Call::DescribeImages, repository, request.send());
        async move {
            asked
                .await
                .map(|answer| (answer.image_details.unwrap_or_default(), answer.next_token))
        }
    })
    .await?;
    let image = |one: &ecr::ImageDetail| ListedImage {
        digest: text(one.image_digest()),
        tags: one.image_tags().to_vec(),
        pushed_at: one.image_pushed_at().map(time).unwrap_or_default(),
    };
    let mut images: Vec<ListedImage> = found.iter().map(image).collect();
    images.sort_by(|a, b| {
        b.pushed_at
            .cmp(&a.pushed_at)
            .then_with(|| a.digest.cmp(&b.digest))
    });
    Ok(images)
}

/// Images by `repository@digest`.
pub(super) async fn images(round: &Round<'_>, wanted: BTreeSet<String>) -> Table<Image> {
    table(wanted, |image| async move {
        let Some((repository, digest)) = image.split_once('@') else {
            return Err(Refused::unclear(&image, "it is not named by its digest"));
        };
        let manifest = manifest(round, repository, digest).await?;
        let (architectures, findings) = join(
            architectures(round, repository, &manifest),
            findings(round, repository, digest),
        )
        .await;
        Ok(Image {
            architectures: known(architectures),
            findings: known(findings),
        })
    })
    .await
}

/// What a manifest or an index says that is of use here (OCI image specification, "image-index", "image-manifest").
#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    manifests: Vec<Entry>,
    config: Option<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    digest: String,
    platform: Option<Platform>,
}

/// Of an entry of an index, and of the configuration of an image.
#[derive(Deserialize)]
struct Platform {
    architecture: String,
}

async fn manifest(round: &Round<'_>, repository: &str, digest: &str) -> Asked<Manifest> {
    let subject = format!("{repository}@{digest}");
    let request = round.aws.ecr.batch_get_image().repository_name(repository);
    let request = request
        .image_ids(ImageIdentifier::builder().image_digest(digest).build())
        .set_accepted_media_types(Some(
            crate::ecr::ACCEPTED.iter().map(|&kind| kind.to_owned()).collect(),
        ));
    let answer = round.ask(Call::BatchGetImage, &subject, request.send()).await?;
    let Some(found) = answer.images().first() else {
        let failure = answer.failures().first();
        if failure.and_then(|failure| failure.failure_code()) == Some(&ecr::ImageFailureCode::ImageNotFound) {
            return Err(Refused::Missing);
        }
        let reason = failure
            .and_then(|failure| failure.failure_reason())
            .unwrap_or("no reason given");
        return Err(Refused::unclear(&subject, format!("ecr:BatchGetImage: {reason}")));
    };
    serde_json::from_str(found.image_manifest().unwrap_or_default()).map_err(|error| {
        Refused::unclear(
            &subject,
            format!("ecr:BatchGetImage: the manifest cannot be read: {error}"),
        )
    })
}

async fn architectures(round: &Round<'_>, repository: &str, manifest: &Manifest) -> Asked<Vec<String>> {
    if let Some(config) = &manifest.config {
        let config = configuration(round, repository, &config.digest).await?;
        return Ok(vec![word(&config.architecture)]);
    }
    // An attestation stands in the index as an image of no platform.
    let platforms = manifest
        .manifests
        .iter()
        .filter_map(|entry| entry.platform.as_ref());
    let words: BTreeSet<String> = platforms
        .filter(|platform| platform.architecture != "unknown")
        .map(|platform| word(&platform.architecture))
        .collect();
    Ok(words.into_iter().collect())
}

/// As a task definition writes it.
fn word(architecture: &str) -> String {
    match architecture {
        "amd64" => "X86_64".to_owned(),
        "arm64" => "ARM64".to_owned(),
        other => other.to_owned(),
    }
}

/// The configuration of an image, which is a layer to ECR.
async fn configuration(round: &Round<'_>, repository: &str, digest: &str) -> Asked<Platform> {
    let subject = format!("{repository}@{digest}");
    let request = round.aws.ecr.get_download_url_for_layer();
    let request = request.repository_name(repository).layer_digest(digest);
    let answer = round
        .ask(Call::GetDownloadUrlForLayer, &subject, request.send())
        .await?;
    let url = answer.download_url().unwrap_or_default();
    let unclear = |what: String| Refused::unclear(&subject, format!("ecr:GetDownloadUrlForLayer: {what}"));
    let bytes = blob(round, url).await.map_err(|error| unclear(error.context))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| unclear(format!("the configuration cannot be read: {error}")))
}

/// The configuration of an image is a few kilobytes; what is larger is none.
const CONFIGURATION: usize = 4 * 1024 * 1024;

/// What a pre-signed address points at. The address is in no error: it holds a signature.
async fn blob(round: &Round<'_>, url: &str) -> Result<Vec<u8>, Error> {
    let refuse = |what: &str| {
        Error::new(
            ErrorKind::Unavailable,
            Call::GetDownloadUrlForLayer.operation(),
            what,
        )
    };
    let layers = round
        .aws
        .layers
        .as_ref()
        .ok_or_else(|| refuse("no HTTP client could be made"))?;
    let mut pieces = layers.open(url).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await? {
        bytes.extend(piece);
        if bytes.len() > CONFIGURATION {
            return Err(refuse("it is too large for a configuration"));
        }
    }
    Ok(bytes)
}

async fn findings(round: &Round<'_>, repository: &str, digest: &str) -> Asked<BTreeMap<String, u32>> {
    let subject = format!("{repository}@{digest}");
    let request = round
        .aws
        .ecr
        .describe_image_scan_findings()
        .repository_name(repository);
    let request = request.image_id(ImageIdentifier::builder().image_digest(digest).build());
    let answer = round
        .ask(Call::DescribeImageScanFindings, &subject, request.send())
        .await?;
    let status = answer.image_scan_status();
    let done = [ecr::ScanStatus::Complete, ecr::ScanStatus::Active];
    if let Some(word) = status.and_then(|status| status.status())
        && !done.contains(word)
    {
        let why = status
            .and_then(|status| status.description())
            .unwrap_or("no reason given");
        let text = format!(
            "ecr:DescribeImageScanFindings: the scan is {}: {why}",
            word.as_str()
        );
        return Err(Refused::unclear(&subject, text));
    }
    let Some(findings) = answer.image_scan_findings() else {
        return Err(Refused::unclear(
            &subject,
            "ecr:DescribeImageScanFindings: an answer without findings",
        ));
    };
    let counts = findings.finding_severity_counts().into_iter().flatten();
    Ok(counts
        .map(|(severity, number)| (severity.as_str().to_owned(), count(*number)))
        .collect())
}

/// What images must be asked for: those of the account's registry in the region, by `repository@digest`, and repositories.
#[derive(Default)]
pub(super) struct Wanted {
    pub(super) repositories: BTreeSet<String>,
    pub(super) images: BTreeSet<String>,
}

impl Wanted {
    /// An image as a task definition has it.
    pub(super) fn add(&mut self, image: &str, account: &str, region: &str) {
        if let Some(place) = Place::read(image)
            && place.account == account
            && place.region == region
        {
            self.images.extend(
                place
                    .digest
                    .map(|digest| format!("{}@{digest}", place.repository)),
            );
            self.repositories.insert(place.repository);
        }
    }

    /// An image of the release.
    pub(super) fn released(&mut self, image: &str) {
        if let Some((repository, _)) = image.split_once('@') {
            self.repositories.insert(repository.to_owned());
            self.images.insert(image.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_of_ecr_is_read_and_no_other() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let place = Place::read(&format!(
            "111122223333.dkr.ecr.eu-central-1.amazonaws.com/shop/api@{digest}"
        ));
        let place = place.expect("ECR");
        assert_eq!(
            (place.account.as_str(), place.region.as_str()),
            ("111122223333", "eu-central-1")
        );
        assert_eq!(
            (place.repository.as_str(), place.digest),
            ("shop/api", Some(digest))
        );
        let tagged = Place::read("111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn/api:1").expect("ECR");
        assert_eq!((tagged.repository.as_str(), tagged.digest), ("api", None));
        for other in [
            "nginx",
            "public.ecr.aws/nginx/nginx:1",
            "docker.io/library/nginx@sha256:1",
        ] {
            assert_eq!(Place::read(other), None, "{other}");
        }
    }

    #[test]
    fn a_filter_fits_as_ecr_says() {
        for (filter, name, fit) in [
            ("*", "shop/api", true),
            ("shop/*", "shop/api", true),
            ("shop/*", "other/api", false),
            ("*/api", "shop/api", true),
            ("*/api", "shop/apis", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXcYb", false),
            ("shop", "the-shop/api", true),
            ("shop", "store", false),
        ] {
            assert_eq!(fits(filter, name), fit, "{filter} {name}");
        }
    }

    #[test]
    fn a_lifecycle_policy_is_read_in_its_order() {
        let policy = r#"{"rules":[
            {"rulePriority":2,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":50},"action":{"type":"expire"}},
            {"rulePriority":1,"selection":{"tagStatus":"tagged","tagPrefixList":["v"],"countType":"sinceImagePushed","countUnit":"days","countNumber":7},"action":{"type":"expire"}},
            {"rulePriority":3,"selection":{"tagStatus":"untagged","countType":"sinceImagePulled","countUnit":"days","countNumber":7},"action":{"type":"transition"}}]}"#;
        let rules = rules(policy).expect("a policy");
        let deletes: Vec<_> = rules.iter().map(|rule| rule.deletes.clone()).collect();
        let wanted = [
            Expiry::OlderThanDays(7),
            Expiry::MoreThan(50),
            Expiry::Other("transition".to_owned()),
        ];
        assert_eq!(deletes, wanted);
        assert_eq!(
            rules.first().map(|rule| rule.tags.clone()),
            Some(vec!["v".to_owned()])
        );
    }
}
