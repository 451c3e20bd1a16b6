//! ECR: an image is looked at, and given another tag, as a promotion does.

use aws_sdk_ecr::types::{ImageIdentifier, ImageTagMutability};

use super::{Facts, Stage, refused, told};
use crate::differ::stage::REPOSITORY;

fn tag(tag: &str) -> ImageIdentifier {
    ImageIdentifier::builder().image_tag(tag).build()
}

pub(super) async fn play(stage: &Stage, facts: &mut Facts) {
    let client = &stage.ecr;
    let sent = client.create_repository().repository_name("shapes").send().await;
    told(facts, "ECR CreateRepository", &sent);
    let sent = client.create_repository().repository_name("shapes").send().await;
    refused(facts, "ECR CreateRepository", "a name that is taken", &sent);
    let sent = client
        .describe_repositories()
        .repository_names(REPOSITORY)
        .send()
        .await;
    told(facts, "ECR DescribeRepositories", &sent);
    let sent = client
        .describe_repositories()
        .repository_names("nobody")
        .send()
        .await;
    refused(facts, "ECR DescribeRepositories", "an unknown repository", &sent);
    images(stage, facts).await;
    puts(stage, facts).await;
    let sent = client.list_images().repository_name(REPOSITORY).send().await;
    told(facts, "ECR ListImages", &sent);
    told(
        facts,
        "ECR GetAuthorizationToken",
        &client.get_authorization_token().send().await,
    );
}

async fn images(stage: &Stage, facts: &mut Facts) {
    let describe = |id| {
        stage
            .ecr
            .describe_images()
            .repository_name(REPOSITORY)
            .image_ids(id)
            .send()
    };
    told(facts, "ECR DescribeImages", &describe(tag("1.0.0")).await);
    refused(
        facts,
        "ECR DescribeImages",
        "an unknown tag",
        &describe(tag("gone")).await,
    );
    let get = |id| {
        stage
            .ecr
            .batch_get_image()
            .repository_name(REPOSITORY)
            .image_ids(id)
            .send()
    };
    told(facts, "ECR BatchGetImage", &get(tag("1.0.0")).await);
    let sent = get(tag("gone")).await;
    let failure = sent
        .ok()
        .and_then(|sent| Some(sent.failures().first()?.failure_code()?.as_str().to_owned()));
    facts.words(
        "ECR BatchGetImage",
        "an unknown tag",
        failure.unwrap_or_else(|| "no failure".to_owned()),
    );
    let sent = stage
        .ecr
        .batch_get_image()
        .repository_name("nobody")
        .image_ids(tag("1"))
        .send()
        .await;
    refused(facts, "ECR BatchGetImage", "an unknown repository", &sent);
}

async fn puts(stage: &Stage, facts: &mut Facts) {
    const PUT: &str = "ECR PutImage";
    let client = &stage.ecr;
    let got = client
        .batch_get_image()
        .repository_name(REPOSITORY)
        .image_ids(tag("1.0.0"))
        .send()
        .await;
    let image = got.ok().and_then(|got| got.images?.pop()).expect("it was pushed");
    let manifest = image.image_manifest().expect("a manifest");
    let put = |repository: &str, tag: &str| {
        let call = client.put_image().repository_name(repository).image_tag(tag);
        call.image_manifest(manifest)
            .set_image_manifest_media_type(image.image_manifest_media_type.clone())
            .send()
    };
    let sent = put(REPOSITORY, "again").await;
    told(facts, PUT, &sent);
    let digest =
        |image: Option<aws_sdk_ecr::types::Image>| image.and_then(|image| image.image_id?.image_digest);
    let same = sent.is_ok_and(|sent| digest(sent.image) == digest(Some(image.clone())));
    facts.words(
        PUT,
        "the digest of the same bytes",
        if same { "the same" } else { "another" },
    );
    refused(
        facts,
        PUT,
        "the same image under the same tag",
        &put(REPOSITORY, "again").await,
    );
    refused(facts, PUT, "an unknown repository", &put("nobody", "1").await);
    let sent = client
        .put_image_tag_mutability()
        .repository_name(REPOSITORY)
        .image_tag_mutability(ImageTagMutability::Immutable)
        .send()
        .await;
    told(facts, "ECR PutImageTagMutability", &sent);
    let got = client
        .batch_get_image()
        .repository_name(REPOSITORY)
        .image_ids(tag("1.1.0"))
        .send()
        .await;
    let other = got
        .ok()
        .and_then(|got| got.images?.pop()?.image_manifest)
        .expect("it was pushed");
    let call = client.put_image().repository_name(REPOSITORY).image_tag("again");
    let sent = call
        .image_manifest(other)
        .set_image_manifest_media_type(image.image_manifest_media_type.clone())
        .send()
        .await;
    refused(facts, PUT, "another image under a tag that does not move", &sent);
}
