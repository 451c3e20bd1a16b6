//! Secrets Manager: secrets and their versions.
//!
//! Lists are up to date at once, where AWS's may be five minutes late. Rotation, replicas, policies and tags by themselves are
//! not modelled; nothing is encrypted.

use aws_smithy_types::base64;
use serde::{Deserialize, Deserializer};

use super::{Answer, Operation, Service};
use crate::endpoint::call::{Call, page};
use crate::endpoint::document::{Document, map};
use crate::endpoint::refusal::Refusal;
use crate::kernel::Kernel;
use crate::secret::{Held, New, Place, Refused, Secret, Secrets, Version};

pub(crate) static SERVICE: Service = Service {
    signing_name: "secretsmanager",
    target: Some("secretsmanager"),
    query: None,
    namespace: "",
    global: false,
    throttled: "ThrottlingException",
    operations: &[&[
        Operation::write("CreateSecret", create_secret),
        Operation::read("DescribeSecret", describe_secret),
        Operation::read("GetSecretValue", get_secret_value),
        Operation::write("PutSecretValue", put_secret_value),
        Operation::read("ListSecrets", list_secrets),
        Operation::write("DeleteSecret", delete_secret),
        Operation::write("RestoreSecret", restore_secret),
    ]],
};

/// The most items of a page (AWS Secrets Manager API, "ListSecrets").
const PAGE: usize = 100;

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self::client(refused.code(), refused.to_string())
    }
}

/// A text that no refusal quotes.
fn sealed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let wrong = |_| serde::de::Error::custom("SecretString and SecretBinary are texts");
    Option::deserialize(deserializer).map_err(wrong)
}

// No `Debug`: it holds a value.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    name: String,
    secret_id: String,
    client_request_token: Option<String>,
    description: Option<String>,
    kms_key_id: Option<String>,
    #[serde(deserialize_with = "sealed")]
    secret_string: Option<String>,
    #[serde(deserialize_with = "sealed")]
    secret_binary: Option<String>,
    tags: Vec<Tag>,
    add_replica_regions: Vec<serde::de::IgnoredAny>,
    #[serde(rename = "Type")]
    kind: Option<String>,
    version_id: Option<String>,
    version_stage: Option<String>,
    version_stages: Vec<String>,
    recovery_window_in_days: Option<u64>,
    force_delete_without_recovery: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Tag {
    key: String,
    value: String,
}

impl Input {
    /// The value that was given, if any.
    fn value(&self) -> Result<Option<Held>, Refusal> {
        match (&self.secret_string, &self.secret_binary) {
            (Some(_), Some(_)) => {
                let text = "You can't specify both a binary secret value and a string secret value in the same secret.";
                Err(Refused::Invalid(text).into())
            }
            (Some(text), None) => Ok(Some(Held::Text(text.clone()))),
            (None, Some(binary)) => match base64::decode(binary) {
                Ok(bytes) => Ok(Some(Held::Binary(bytes))),
                Err(_) => Err(Refusal::client(
                    "SerializationException",
                    "SecretBinary is not base64",
                )),
            },
            (None, None) => Ok(None),
        }
    }
}

fn not_modelled(what: &str) -> Refusal {
    let text = format!("the simulated cloud does not model {what}");
    Refusal::new(501, "UnknownOperationException", text)
}

/// What of the world a call needs, apart from each other.
fn parts<'a>(call: &'a mut Call<'_>) -> (&'a mut Secrets, &'a mut Kernel, Place<'a>) {
    let world = &mut *call.world;
    let place = (call.place.account.as_str(), call.place.region.as_str());
    (&mut world.secrets, &mut world.kernel, place)
}

fn named(secret: &Secret) -> Document {
    map! { "ARN": &secret.arn, "Name": &secret.name }
}

fn stages(version: &Version) -> Document {
    Document::list(version.stages.iter())
}

fn create_secret(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    if !input.add_replica_regions.is_empty() || input.kind.is_some() {
        return Err(not_modelled("replicas of secrets and secrets of partners"));
    }
    let new = New {
        value: input.value()?,
        name: input.name,
        description: input.description,
        key: input.kms_key_id,
        tags: input.tags.into_iter().map(|tag| (tag.key, tag.value)).collect(),
        token: input.client_request_token,
    };
    let (secrets, k, place) = parts(call);
    let (secret, is_new) = secrets.create(k, place, new)?;
    let mut answer = named(secret);
    answer.put("VersionId", secret.versions.first().map(|v| &v.id));
    if is_new {
        call.changed();
    }
    Ok(answer)
}

/// What is told of a secret without its value. `deleted` is when it is gone, or when that was asked for: the two pages that tell
/// it differ (AWS Secrets Manager API, "DescribeSecret" and "SecretListEntry").
fn details(secret: &Secret, versions: &str, deleted: Option<rollout_core::time::Timestamp>) -> Document {
    let mut answer = named(secret);
    answer.put("Description", secret.description.as_ref());
    answer.put("KmsKeyId", secret.key.as_ref());
    answer.put("LastChangedDate", secret.changed);
    answer.put("LastAccessedDate", secret.accessed);
    answer.put("DeletedDate", deleted);
    let tags = secret.tags.iter();
    let tags = tags.map(|(key, value)| map! { "Key": key, "Value": value });
    let tags: Vec<Document> = tags.collect();
    answer.put("Tags", (!tags.is_empty()).then_some(tags));
    let mut labelled = Document::map();
    for version in secret.versions.iter().filter(|v| !v.stages.is_empty()) {
        labelled.put(&version.id, stages(version));
    }
    answer.put(versions, (labelled != Document::map()).then_some(labelled));
    answer.put("CreatedDate", secret.created);
    answer
}

fn describe_secret(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let (secrets, k, place) = parts(call);
    let secret = secrets.find(k.now, place, &input.secret_id)?;
    Ok(details(
        secret,
        "VersionIdsToStages",
        secret.deletion.map(|d| d.ends),
    ))
}

fn get_secret_value(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let (secrets, k, place) = parts(call);
    let (stage, version) = (input.version_stage.as_deref(), input.version_id.as_deref());
    let (secret, version) = secrets.value(k.now, (place, &input.secret_id), stage, version)?;
    let mut answer = named(secret);
    answer.put("VersionId", &version.id);
    match &version.value {
        Held::Text(text) => answer.put("SecretString", text),
        Held::Binary(bytes) => answer.put("SecretBinary", Document::Blob(bytes.clone())),
    }
    answer.put("VersionStages", stages(version));
    answer.put("CreatedDate", version.created);
    Ok(answer)
}

fn put_secret_value(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let value = input.value()?;
    let value = value.ok_or(Refused::Request(
        "You must provide either SecretString or SecretBinary.",
    ))?;
    let (secrets, k, place) = parts(call);
    let (secret, version, is_new) = secrets.put(
        k,
        (place, &input.secret_id),
        input.client_request_token,
        value,
        input.version_stages,
    )?;
    let mut answer = named(secret);
    answer.put("VersionId", &version.id);
    answer.put("VersionStages", stages(version));
    if is_new {
        call.changed();
    }
    Ok(answer)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct List {
    include_planned_deletion: bool,
    max_results: Option<usize>,
    next_token: Option<String>,
    filters: Vec<Filter>,
    sort_order: Option<String>,
    sort_by: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Filter {
    key: String,
    values: Vec<String>,
}

impl Filter {
    /// Whether a secret begins so, in what the key names (AWS Secrets Manager API, "Filter"). A `!` asks for the others.
    fn fits(&self, secret: &Secret) -> Result<bool, Refusal> {
        let begins = |text: &str, wanted: &str| match self.key.as_str() {
            "description" => text.to_lowercase().starts_with(&wanted.to_lowercase()),
            _ => text.starts_with(wanted),
        };
        let texts: Vec<&str> = match self.key.as_str() {
            "name" => vec![&secret.name],
            "description" => secret.description.as_deref().into_iter().collect(),
            "tag-key" => secret.tags.iter().map(|(key, _)| key.as_str()).collect(),
            "tag-value" => secret.tags.iter().map(|(_, value)| value.as_str()).collect(),
            // Nothing is replicated or belongs to another service.
            "primary-region" | "owning-service" => Vec::new(),
            "all" => return Err(not_modelled("the filter `all` of ListSecrets")),
            _ => return Err(Refused::Invalid("Invalid filter key").into()),
        };
        Ok(self.values.iter().any(|wanted| match wanted.strip_prefix('!') {
            Some(other) => !texts.iter().any(|text| begins(text, other)),
            None => texts.iter().any(|text| begins(text, wanted)),
        }))
    }
}

fn list_secrets(call: &mut Call<'_>) -> Answer {
    let input: List = call.input()?;
    let most = input.max_results.unwrap_or(PAGE);
    if !(1..=PAGE).contains(&most) {
        return Err(Refused::Invalid("MaxResults must be between 1 and 100.").into());
    }
    let (secrets, k, place) = parts(call);
    let mut found: Vec<&Secret> = Vec::new();
    for secret in secrets.of(k.now, place) {
        let mut fits = input.include_planned_deletion || secret.deletion.is_none();
        for filter in &input.filters {
            fits = fits && filter.fits(secret)?;
        }
        if fits {
            found.push(secret);
        }
    }
    match input.sort_by.as_deref() {
        None | Some("created-date") => found.sort_by_key(|s| s.created),
        Some("last-changed-date") => found.sort_by_key(|s| s.changed),
        Some("last-accessed-date") => found.sort_by_key(|s| s.accessed),
        Some("name") => found.sort_by(|a, b| a.name.cmp(&b.name)),
        Some(_) => return Err(Refused::Invalid("Invalid value of SortBy").into()),
    }
    if input.sort_order.as_deref() == Some("desc") {
        found.reverse();
    }
    let (here, next) = page(&found, input.next_token.as_deref(), most)
        .ok_or_else(|| Refusal::client("InvalidNextTokenException", "The NextToken value is invalid."))?;
    let entries = here.iter().map(|secret| {
        let asked = secret.deletion.map(|d| d.asked);
        details(secret, "SecretVersionsToStages", asked)
    });
    Ok(map! { "SecretList": Document::list(entries), "NextToken": next })
}

fn delete_secret(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let days = input.recovery_window_in_days;
    if input.force_delete_without_recovery && days.is_some() {
        let text = "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.";
        return Err(Refused::Invalid(text).into());
    }
    let (secrets, k, place) = parts(call);
    let now = k.now;
    let (mut answer, ends) = if input.force_delete_without_recovery {
        match secrets.purge(k, place, &input.secret_id) {
            Ok(secret) => (named(secret), Some(now)),
            // One that is not there is no error (AWS Secrets Manager API, "DeleteSecret").
            Err(Refused::NoSecret) => {
                let answer = map! { "Name": &input.secret_id, "DeletionDate": now };
                return Ok(answer);
            }
            Err(refused) => return Err(refused.into()),
        }
    } else {
        let secret = secrets.delete(now, place, &input.secret_id, days)?;
        (named(secret), secret.deletion.map(|d| d.ends))
    };
    answer.put("DeletionDate", ends);
    call.changed();
    Ok(answer)
}

fn restore_secret(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let (secrets, k, place) = parts(call);
    let (secret, was_marked) = secrets.restore(k.now, place, &input.secret_id)?;
    let answer = named(secret);
    if was_marked {
        call.changed();
    }
    Ok(answer)
}
