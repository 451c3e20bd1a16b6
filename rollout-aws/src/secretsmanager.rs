//! Whether the secrets that a task definition names are still there. No value is read.

use core::fmt;
use std::sync::Arc;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::Region;
use aws_types::SdkConfig;
use rollout_core::context::OpContext;
use rollout_core::error::Error;
use rollout_core::service::Found;

use crate::config;
use crate::error::from_sdk;
use crate::found::{gone, unknown, unseen};
use crate::observer::{Meter, SharedObserver, Toll};

const DESCRIBE: &str = "secretsmanager:DescribeSecret";

/// The IAM actions of this adapter.
pub const ACTIONS: &[&str] = &[DESCRIBE];

/// The version that is meant unless a reference says otherwise (AWS Secrets Manager user guide, "What's in a Secrets Manager
/// secret?").
const CURRENT: &str = "AWSCURRENT";

/// Secrets, seen with one account's credentials.
///
/// It sees that a secret exists, is not marked for deletion, and has the version that is asked for. Whether the task's own role
/// may read it, it cannot see: that is decided by policies of others.
///
/// # IAM actions
/// `secretsmanager:DescribeSecret`. Without it a secret is unknown, and the rollback policy says what that means.
#[derive(Clone)]
pub struct Secrets {
    client: Client,
    toll: Toll,
}

impl Secrets {
    /// With `config`'s credentials.
    #[must_use]
    pub fn from_config(config: &SdkConfig) -> Self {
        Self::with_client(Client::new(&config::prepare(config)))
    }

    /// The same with a ready client.
    #[must_use]
    pub fn with_client(client: Client) -> Self {
        Self {
            client,
            toll: Toll::default(),
        }
    }

    /// Shares calls with all adapters of this account and region that are given the same observer.
    #[must_use]
    pub fn shared(mut self, observer: &Arc<SharedObserver>) -> Self {
        let metered = self.client.config().to_builder();
        self.client = Client::from_conf(
            metered
                .interceptor(Meter::new(observer, "secretsmanager"))
                .build(),
        );
        self.toll = Toll::of(observer);
        self
    }

    /// Looks for what `valueFrom` of a container's secret names, in the region that its ARN says: there ECS reads it.
    ///
    /// # Errors
    /// What Secrets Manager says of the call itself, such as that it is throttled; a denied call is [`Found::Unknown`].
    pub async fn look(&self, ctx: &OpContext, value_from: &str) -> Result<Found, Error> {
        let Some(reference) = Reference::read(value_from) else {
            return Ok(unknown("it is no secret of Secrets Manager"));
        };
        self.toll.pay(ctx, DESCRIBE).await?;
        let request = self.client.describe_secret().secret_id(&reference.arn);
        let there = Region::new(reference.region.clone());
        let there = aws_sdk_secretsmanager::Config::builder().region(there);
        let answer = request.customize().config_override(there).send().await;
        let answer = match answer.map_err(|error| from_sdk(DESCRIBE, &reference.arn, false, error)) {
            Ok(answer) => answer,
            Err(error) => return unseen(error),
        };
        if let Some(date) = answer.deleted_date() {
            return Ok(gone(format!("it is marked for deletion ({date})")));
        }
        // Which versions there are is told only of secrets that have some (AWS Secrets Manager API, "DescribeSecret").
        let versions = answer.version_ids_to_stages();
        let mut all = versions.into_iter().flatten();
        let there = all.any(|(id, stages)| {
            let labelled = |label: &str| stages.iter().any(|stage| stage == label);
            match (&reference.version, &reference.stage) {
                (Some(version), Some(stage)) => id == version && labelled(stage),
                (Some(version), None) => id == version,
                (None, Some(stage)) => labelled(stage),
                (None, None) => labelled(CURRENT),
            }
        });
        Ok(if there {
            Found::Usable
        } else {
            gone("it has no such version")
        })
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

/// `valueFrom` (Amazon ECS developer guide, "Pass Secrets Manager secrets through Amazon ECS environment variables"): the ARN,
/// then key, label and version, each of which may be left empty.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) arn: String,
    pub(crate) region: String,
    stage: Option<String>,
    version: Option<String>,
}

impl Reference {
    pub(crate) fn read(value_from: &str) -> Option<Self> {
        let parts: Vec<&str> = value_from.split(':').collect();
        let [
            "arn",
            _partition,
            "secretsmanager",
            region,
            _account,
            "secret",
            name,
            rest @ ..,
        ] = parts.as_slice()
        else {
            return None;
        };
        if name.is_empty() {
            return None;
        }
        let given = |place: usize| {
            let part = rest.get(place).filter(|part| !part.is_empty());
            part.map(|part| (*part).to_owned())
        };
        Some(Self {
            arn: parts.iter().take(7).copied().collect::<Vec<_>>().join(":"),
            region: (*region).to_owned(),
            // The first is the key within the value, which only reading the value could check.
            stage: given(1),
            version: given(2),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use rollout_core::error::ErrorKind;

    use super::*;
    use crate::testing::{Answer, Aws, error, ok};

    const ARN: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:shop/db-AbCdEf";

    async fn looked(
        value_from: &str,
        answer: impl Fn() -> Answer + Send + Sync + 'static,
    ) -> Result<Found, Error> {
        let aws = Aws::new(move |operation, body: &Value| {
            assert_eq!(operation, "DescribeSecret", "no value is read");
            assert_eq!(body["SecretId"], ARN);
            answer()
        });
        Secrets::from_config(&aws.config())
            .look(&crate::testing::context(), value_from)
            .await
    }

    fn described() -> Answer {
        ok(json!({ "ARN": ARN, "VersionIdsToStages": { "v1": ["AWSPREVIOUS"], "v2": ["AWSCURRENT"] } }))
    }

    #[tokio::test]
    async fn a_secret_with_the_version_that_is_meant_is_there() {
        for (rest, there) in [
            ("", true),
            (":password::", true),
            ("::AWSPREVIOUS:", true),
            (":::v1", true),
            ("::AWSCURRENT:v2", true),
            ("::AWSCURRENT:v1", false),
            ("::AWSPENDING:", false),
            (":::v9", false),
        ] {
            let found = looked(&format!("{ARN}{rest}"), described)
                .await
                .expect("an answer");
            assert_eq!(found == Found::Usable, there, "{rest}: {found:?}");
            assert!(!matches!(found, Found::Unknown { .. }), "{rest}");
        }
        let bare = || ok(json!({ "ARN": ARN }));
        assert!(
            matches!(looked(ARN, bare).await, Ok(Found::Gone { .. })),
            "a secret without a value"
        );
    }

    #[tokio::test]
    async fn what_is_deleted_or_never_was_is_gone() {
        let marked = || {
            ok(json!({ "ARN": ARN, "DeletedDate": 1_763_683_200,
            "VersionIdsToStages": { "v2": ["AWSCURRENT"] } }))
        };
        let found = looked(ARN, marked).await.expect("an answer");
        assert!(
            matches!(&found, Found::Gone { why } if why.contains("deletion")),
            "{found:?}"
        );
        let missing = looked(ARN, || error(400, "ResourceNotFoundException")).await;
        assert!(matches!(missing, Ok(Found::Gone { .. })), "{missing:?}");
    }

    #[tokio::test]
    async fn what_may_not_be_known_is_unknown_and_what_fails_is_an_error() {
        let denied = looked(ARN, || error(400, "AccessDeniedException"))
            .await
            .expect("an answer");
        assert!(
            matches!(&denied, Found::Unknown { why } if why.contains("AccessDenied")),
            "{denied:?}"
        );
        let throttled = looked(ARN, || error(400, "ThrottlingException"))
            .await
            .expect_err("later");
        assert_eq!(throttled.kind, ErrorKind::Throttled);
    }

    #[tokio::test]
    async fn what_is_not_asked_is_unknown() {
        for value_from in [
            "arn:aws:ssm:eu-central-1:123456789012:parameter/db",
            "db-password",
            "arn:aws:secretsmanager:eu-central-1:123456789012:secret:",
        ] {
            let found = looked(value_from, || panic!("asked")).await.expect("an answer");
            assert!(matches!(found, Found::Unknown { .. }), "{value_from}: {found:?}");
        }
    }
}
