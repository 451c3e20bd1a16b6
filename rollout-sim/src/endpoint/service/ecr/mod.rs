//! ECR: repositories, layers, images, scans, lifecycle policies.

mod image;
mod layer;
mod upkeep;

use aws_smithy_types::base64;
use rollout_core::id::{ImageDigest, RepositoryName};
use serde::Deserialize;

use super::{Answer, Operation, Service};
use crate::ecr::{Refused, Repository};
use crate::ecs::Environment;
use crate::endpoint::call::{Call, page};
use crate::endpoint::document::{Document, map};
use crate::endpoint::refusal::Refusal;

pub(crate) static SERVICE: Service = Service {
    signing_name: "ecr",
    target: Some("AmazonEC2ContainerRegistry_V20150921"),
    query: None,
    namespace: "",
    global: false,
    throttled: "ThrottlingException",
    operations: &[
        OPERATIONS,
        layer::OPERATIONS,
        image::OPERATIONS,
        upkeep::OPERATIONS,
    ],
};

const OPERATIONS: &[Operation] = &[
    Operation::read("DescribeRepositories", describe_repositories),
    Operation::write("CreateRepository", create_repository),
    Operation::write("PutImageTagMutability", put_image_tag_mutability),
    Operation::read("GetAuthorizationToken", get_authorization_token),
];

/// The most items of a page, and how many there are when nothing is asked for (Amazon ECR API, `maxResults`).
const MOST: usize = 1_000;
const PAGE: usize = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Input {
    registry_id: Option<String>,
    repository_name: String,
    repository_names: Vec<String>,
    image_ids: Option<Vec<IdInput>>,
    image_id: IdInput,
    layer_digests: Vec<String>,
    layer_digest: String,
    upload_id: String,
    part_first_byte: u64,
    part_last_byte: u64,
    layer_part_blob: String,
    image_manifest: String,
    image_manifest_media_type: Option<String>,
    image_tag: Option<String>,
    image_digest: Option<String>,
    image_tag_mutability: Option<String>,
    image_scanning_configuration: ScanningInput,
    lifecycle_policy_text: String,
    accepted_media_types: Vec<String>,
    filter: FilterInput,
    next_token: Option<String>,
    max_results: Option<usize>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct IdInput {
    image_digest: Option<String>,
    image_tag: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ScanningInput {
    scan_on_push: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FilterInput {
    tag_status: Option<String>,
}

/// A repository that a call is about.
struct Named {
    env: u16,
    registry: String,
    name: RepositoryName,
}

impl Named {
    fn held<'a>(&self, call: &'a Call<'_>) -> &'a Repository {
        let env = &call.world.environments[usize::from(self.env)];
        // It was found when it was named, and nothing is ever removed.
        env.registry
            .repository(self.name.as_str())
            .expect("a repository stays")
            .1
    }

    fn env<'a>(&self, call: &'a mut Call<'_>) -> &'a mut Environment {
        &mut call.world.environments[usize::from(self.env)]
    }

    /// Its members in an answer.
    fn out(&self) -> Document {
        map! { "registryId": &self.registry, "repositoryName": &self.name }
    }

    fn missing_image(&self, id: &IdInput) -> Refusal {
        let part = |text: &Option<String>| text.clone().unwrap_or_else(|| "null".to_owned());
        Refusal::client(
            "ImageNotFoundException",
            format!(
                "The image with imageId {{imageDigest:'{}', imageTag:'{}'}} does not exist within the repository with name '{}' in \
                 the registry with id '{}'",
                part(&id.image_digest),
                part(&id.image_tag),
                self.name,
                self.registry
            ),
        )
    }

    /// The words about a refusal are those that Amazon ECR's answers have in public; where none was found they are ours.
    fn refused(&self, refused: &Refused, upload: &str, tag: Option<&str>, digest: &str) -> Refusal {
        let here = format!(
            "in the repository with name '{}' in the registry with id '{}'",
            self.name, self.registry
        );
        let list = |all: &[ImageDigest]| all.iter().map(ImageDigest::as_str).collect::<Vec<_>>().join(", ");
        let (code, text) = match refused {
            Refused::NoRepository => (
                "RepositoryNotFoundException",
                format!(
                    "The repository with name '{}' does not exist in the registry with id '{}'",
                    self.name, self.registry
                ),
            ),
            Refused::NoUpload => (
                "UploadNotFoundException",
                format!(
                    "Upload with id '{upload}' could not be found for the repository with name '{}' in the registry with id '{}'",
                    self.name, self.registry
                ),
            ),
            Refused::InvalidPart(_) => (
                "InvalidLayerPartException",
                format!("Invalid layer part upload for upload with id '{upload}' {here}"),
            ),
            Refused::EmptyUpload => (
                "EmptyUploadException",
                format!("Upload with id '{upload}' {here} has no parts"),
            ),
            Refused::PartTooSmall => (
                "LayerPartTooSmallException",
                "Layer parts must be at least 5 MiB in size".to_owned(),
            ),
            Refused::InvalidLayer => (
                "InvalidLayerException",
                format!("The layer digest {digest} does not match the bytes of upload '{upload}' {here}"),
            ),
            Refused::LayerExists => (
                "LayerAlreadyExistsException",
                format!("Layer with digest '{digest}' already exists {here}"),
            ),
            Refused::NoLayers(all) => (
                "LayersNotFoundException",
                format!("Layers with digests '[{}]' do not exist {here}", list(all)),
            ),
            Refused::Inaccessible => (
                "LayerInaccessibleException",
                format!("The layer with digest '{digest}' {here} is not associated with an image"),
            ),
            Refused::NoImages(all) => (
                "ReferencedImagesNotFoundException",
                format!(
                    "Images with digests '[{}]' required for pushing image into repository with name '{}' in the registry with id \
                     '{}' do not exist",
                    list(all),
                    self.name,
                    self.registry
                ),
            ),
            Refused::NotJson => (
                "InvalidParameterException",
                "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'"
                    .to_owned(),
            ),
            Refused::OtherDigest => (
                "ImageDigestDoesNotMatchException",
                format!("The image digest {digest} does not match the digest calculated for the image"),
            ),
            Refused::ImageExists => (
                "ImageAlreadyExistsException",
                format!(
                    "Image with digest '{digest}' and tag '{}' already exists in the repository with name '{}' in registry with \
                     id '{}'",
                    tag.unwrap_or("null"),
                    self.name,
                    self.registry
                ),
            ),
            Refused::TagExists => (
                "ImageTagAlreadyExistsException",
                format!(
                    "The image tag '{}' already exists in the '{}' repository and cannot be overwritten because the tag is \
                     immutable.",
                    tag.unwrap_or_default(),
                    self.name
                ),
            ),
        };
        let refusal = Refusal::client(code, text);
        match refused {
            Refused::InvalidPart(last) => refusal
                .member("registryId", &self.registry)
                .member("repositoryName", &self.name)
                .member("uploadId", upload)
                .member(
                    "lastValidByteReceived",
                    last.map_or(-1, |last| i64::try_from(last).unwrap_or(i64::MAX)),
                ),
            _ => refusal,
        }
    }
}

fn invalid(what: &str, why: &str) -> Refusal {
    let text = format!("Invalid parameter at '{what}' failed to satisfy constraint: '{why}'");
    Refusal::client("InvalidParameterException", text)
}

/// The environments of a registry: the caller's, or those of another account in the same region.
fn environments<'a>(call: &'a Call<'_>, registry: &'a str) -> impl Iterator<Item = &'a Environment> {
    let region = &call.place.region;
    let all = call.world.environments.iter();
    all.filter(move |e| e.account == registry && e.region == *region)
}

fn named(call: &Call<'_>, input: &Input) -> Result<Named, Refusal> {
    let registry = input
        .registry_id
        .clone()
        .unwrap_or_else(|| call.place.account.clone());
    let name = RepositoryName::new(input.repository_name.as_str());
    let name = name.map_err(|e| invalid("repositoryName", &e.to_string()))?;
    let found = environments(call, &registry)
        .find(|e| e.registry.knows(&name))
        .map(|e| e.index);
    let named = Named {
        env: found.unwrap_or_default(),
        registry,
        name,
    };
    match found {
        Some(_) => Ok(named),
        None => Err(named.refused(&Refused::NoRepository, "", None, "")),
    }
}

fn digest(text: &str, what: &str) -> Result<ImageDigest, Refusal> {
    ImageDigest::new(text).map_err(|e| invalid(what, &e.to_string()))
}

fn uri(env: &Environment, name: &RepositoryName) -> String {
    format!("{}.dkr.ecr.{}.amazonaws.com/{name}", env.account, env.region)
}

fn repository_out(env: &Environment, name: &RepositoryName, held: &Repository) -> Document {
    map! {
        "repositoryArn": format!("arn:aws:ecr:{}:{}:repository/{name}", env.region, env.account),
        "registryId": &env.account,
        "repositoryName": name,
        "repositoryUri": uri(env, name),
        "createdAt": held.created,
        "imageTagMutability": if held.immutable { "IMMUTABLE" } else { "MUTABLE" },
        "imageScanningConfiguration": map! { "scanOnPush": held.scan_on_push },
        "encryptionConfiguration": map! { "encryptionType": "AES256" },
    }
}

/// A page as a member, with the token of the next one.
fn paged(name: &str, all: &[Document], input: &Input) -> Answer {
    let most = input.max_results.map_or(PAGE, |n| n.clamp(1, MOST));
    let token = input.next_token.as_deref().filter(|t| !t.is_empty());
    let (here, next) = page(all, token, most).ok_or_else(|| invalid("nextToken", "Invalid token"))?;
    let mut answer = Document::map();
    answer.put(name, Document::list(here.iter().cloned()));
    answer.put("nextToken", next);
    Ok(answer)
}

fn describe_repositories(call: &mut Call<'_>) -> Answer {
    let mut input: Input = call.input()?;
    let registry = input
        .registry_id
        .clone()
        .unwrap_or_else(|| call.place.account.clone());
    for name in core::mem::take(&mut input.repository_names) {
        input.repository_name.clone_from(&name);
        named(call, &input)?;
        input.repository_names.push(name);
    }
    let all =
        environments(call, &registry).flat_map(|e| e.registry.repositories().map(move |(n, r)| (e, n, r)));
    let wanted = |name: &RepositoryName| {
        input.repository_names.is_empty() || input.repository_names.iter().any(|n| n == name.as_str())
    };
    let all = all
        .filter(|(_, name, _)| wanted(name))
        .map(|(e, n, r)| repository_out(e, n, r));
    paged("repositories", &all.collect::<Vec<_>>(), &input)
}

fn create_repository(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let name = RepositoryName::new(input.repository_name.as_str());
    let name = name.map_err(|e| invalid("repositoryName", &e.to_string()))?;
    if call.environments().any(|e| e.registry.knows(&name)) {
        let text = format!(
            "The repository with name '{name}' already exists in the registry with id '{}'",
            call.place.account
        );
        return Err(Refusal::client("RepositoryAlreadyExistsException", text));
    }
    let immutable = mutability(input.image_tag_mutability.as_deref())?;
    let now = call.now();
    let first = call.place.environments.first().copied().ok_or_else(|| {
        let text =
            "the simulated cloud does not model accounts and regions that no environment of the world is in";
        Refusal::new(501, "UnknownOperationException", text)
    })?;
    let env = &mut call.world.environments[usize::from(first)];
    let held = env.registry.create(now, &name);
    held.immutable = immutable;
    held.scan_on_push = input.image_scanning_configuration.scan_on_push;
    call.changed();
    let env = &call.world.environments[usize::from(first)];
    let made = env
        .registry
        .repository(name.as_str())
        .map(|(n, r)| repository_out(env, n, r));
    Ok(map! { "repository": made })
}

fn mutability(given: Option<&str>) -> Result<bool, Refusal> {
    match given {
        None | Some("MUTABLE") => Ok(false),
        Some("IMMUTABLE") => Ok(true),
        Some(_) => Err(Refusal::new(
            501,
            "UnknownOperationException",
            "the simulated cloud does not model tags of which only some are immutable",
        )),
    }
}

fn put_image_tag_mutability(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let named = named(call, &input)?;
    let immutable = mutability(input.image_tag_mutability.as_deref())?;
    if let Ok(held) = named.env(call).registry.repository_mut(&named.name) {
        held.immutable = immutable;
    }
    call.changed();
    let mut out = named.out();
    out.put(
        "imageTagMutability",
        if immutable { "IMMUTABLE" } else { "MUTABLE" },
    );
    Ok(out)
}

/// The image that an id names, or why it names none (Amazon ECR API, "ImageFailure").
fn find(held: &Repository, id: &IdInput) -> Result<ImageDigest, (&'static str, &'static str)> {
    let missing = ("ImageNotFound", "Requested image not found");
    let by_tag = match &id.image_tag {
        Some(tag) => Some(held.tagged(tag).cloned().ok_or(missing)?),
        None => None,
    };
    let by_digest = match &id.image_digest {
        Some(text) => {
            let digest = ImageDigest::new(text.as_str())
                .map_err(|_| ("InvalidImageDigest", "Invalid image digest"))?;
            Some(held.image(&digest).map(|_| digest).ok_or(missing)?)
        }
        None => None,
    };
    match (by_digest, by_tag) {
        (Some(digest), Some(tagged)) if digest != tagged => Err((
            "ImageTagDoesNotMatchDigest",
            "Image tag does not match image digest",
        )),
        (Some(digest), _) | (None, Some(digest)) => Ok(digest),
        (None, None) => Err(("MissingDigestAndTag", "Missing image digest and tag")),
    }
}

fn id_out(digest: Option<&ImageDigest>, tag: Option<&str>) -> Document {
    map! { "imageDigest": digest.map(ImageDigest::as_str), "imageTag": tag }
}

/// A token that opens nothing: the registry's own HTTP API is not modelled.
fn get_authorization_token(call: &mut Call<'_>) -> Answer {
    let (account, region) = (&call.place.account, &call.place.region);
    let expires = crate::kernel::plus(call.now(), 12 * 60 * 60 * 1_000);
    let token = base64::encode(format!("AWS:rollout-sim-{account}").as_bytes());
    Ok(map! {
        "authorizationData": Document::list([map! {
            "authorizationToken": token,
            "expiresAt": expires,
            "proxyEndpoint": format!("https://{account}.dkr.ecr.{region}.amazonaws.com"),
        }]),
    })
}
