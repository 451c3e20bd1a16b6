//! Where a bucket is, and how it is opened with the SDK's configuration.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_types::SdkConfig;
use object_store::aws::{AmazonS3Builder, AwsCredential};
use object_store::path::Path;
use object_store::{ClientOptions, CredentialProvider, Error as StoreError, ObjectStore, RetryConfig};
use rollout_core::error::{Error, ErrorKind};

use crate::time::{self, Now};

/// Tries of one call after the first.
const RETRIES: usize = 3;
/// After which no further try is begun.
const RETRY_FOR: Duration = Duration::from_secs(10);
/// The longest wait for one try.
const ATTEMPT: Duration = Duration::from_secs(15);
/// The longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// Credentials are asked for anew so long before they end.
const EARLY: Duration = Duration::from_secs(120);
/// Credentials that name no end are asked for anew after this.
const KEEP: Duration = Duration::from_secs(15 * 60);

/// A place in a bucket: `s3://bucket/prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    bucket: String,
    prefix: Path,
}

/// Why a text is no [`Location`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidLocation {
    given: String,
    why: &'static str,
}

impl fmt::Display for InvalidLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { given, why } = self;
        write!(
            f,
            "`{given}` is not a place in a bucket such as `s3://bucket/prefix`: {why}"
        )
    }
}

impl core::error::Error for InvalidLocation {}

impl Location {
    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Where journals are, each in a folder that is named after its run.
    #[must_use]
    pub fn journals(&self) -> Path {
        self.folder("journals")
    }

    /// Where leases are.
    #[must_use]
    pub fn leases(&self) -> Path {
        self.folder("leases")
    }

    /// A folder of another name beside those.
    #[must_use]
    pub fn folder(&self, name: &str) -> Path {
        self.prefix.clone().join(name)
    }
}

/// Amazon S3 user guide, "General purpose buckets naming rules".
fn is_bucket(name: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    (3..=63).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
        && edge(name.as_bytes().first())
        && edge(name.as_bytes().last())
}

impl FromStr for Location {
    type Err = InvalidLocation;

    fn from_str(text: &str) -> Result<Self, InvalidLocation> {
        let invalid = |why| InvalidLocation {
            given: text.to_owned(),
            why,
        };
        let rest = text
            .strip_prefix("s3://")
            .ok_or_else(|| invalid("it does not begin with `s3://`"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if !is_bucket(bucket) {
            return Err(invalid(
                "a bucket has 3 to 63 of a-z, 0-9, `-` and `.`, and neither `-` nor `.` at an end",
            ));
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let bad = || invalid("its prefix is empty between two `/`, or holds what no object's name should");
        if prefix.starts_with('/') || prefix.contains("//") {
            return Err(bad());
        }
        let prefix = Path::parse(prefix).map_err(|_| bad())?;
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix,
        })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if self.prefix.as_ref().is_empty() {
            Ok(())
        } else {
            write!(f, "/{}", self.prefix)
        }
    }
}

/// The bucket of a location, with the SDK's region, endpoint and credentials.
///
/// An endpoint of one's own is spoken to by path (`endpoint/bucket/key`), which every S3-compatible store understands.
///
/// # Errors
/// [`ErrorKind::InvalidRequest`] when the configuration has no region or no credentials, or does not make a client.
pub fn open(location: &Location, config: &SdkConfig) -> Result<Arc<dyn ObjectStore>, Error> {
    let invalid = |why: &str| Error::new(ErrorKind::InvalidRequest, "s3:Open", format!("{location}: {why}"));
    let region = config
        .region()
        .ok_or_else(|| invalid("the configuration names no region: set AWS_REGION, or one in its profile"))?;
    let credentials = config
        .credentials_provider()
        .ok_or_else(|| invalid("the configuration has no credentials"))?;
    let options = ClientOptions::new()
        .with_timeout(ATTEMPT)
        .with_connect_timeout(CONNECT)
        .with_allow_http(
            config
                .endpoint_url()
                .is_some_and(|url| url.starts_with("http://")),
        );
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(location.bucket())
        .with_region(region.as_ref())
        .with_credentials(Arc::new(SdkCredentials::new(credentials)))
        .with_client_options(options)
        .with_retry(RetryConfig {
            max_retries: RETRIES,
            retry_timeout: RETRY_FOR,
            ..RetryConfig::default()
        });
    if let Some(endpoint) = config.endpoint_url() {
        builder = builder.with_endpoint(endpoint);
    }
    let store = builder
        .build()
        .map_err(|error| invalid("the bucket cannot be opened").caused_by(error))?;
    Ok(Arc::new(store))
}

/// The SDK's credentials, so that profiles, single sign-on and roles work for a bucket as they do for everything else.
struct SdkCredentials {
    provider: SharedCredentialsProvider,
    now: Now,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    credential: Arc<AwsCredential>,
    until: rollout_core::time::Timestamp,
}

impl SdkCredentials {
    fn new(provider: SharedCredentialsProvider) -> Self {
        Self {
            provider,
            now: time::system(),
            kept: Mutex::new(None),
        }
    }

    fn kept(&self) -> Option<Arc<AwsCredential>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.as_ref()?;
        ((self.now)() < kept.until).then(|| Arc::clone(&kept.credential))
    }

    fn keep(&self, credentials: &Credentials) -> Arc<AwsCredential> {
        let credential = Arc::new(AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(str::to_owned),
        });
        let now = (self.now)();
        let until = match credentials.expiry() {
            None => now.after(KEEP),
            Some(end) => {
                let since = end
                    .duration_since(std::time::SystemTime::UNIX_EPOCH)
                    .unwrap_or_default()
                    .saturating_sub(EARLY);
                rollout_core::time::Timestamp::EPOCH.after(since)
            }
        };
        let kept = Kept {
            credential: Arc::clone(&credential),
            until,
        };
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        credential
    }
}

impl fmt::Debug for SdkCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SdkCredentials")
    }
}

#[async_trait]
impl CredentialProvider for SdkCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        if let Some(kept) = self.kept() {
            return Ok(kept);
        }
        match self.provider.provide_credentials().await {
            Ok(credentials) => Ok(self.keep(&credentials)),
            Err(error) => Err(StoreError::Unauthenticated {
                path: "credentials".to_owned(),
                source: error.into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicU64, Ordering};
    use std::time::SystemTime;

    use aws_credential_types::provider::future::ProvideCredentials as Provided;
    use aws_types::region::Region;
    use rollout_core::time::Timestamp;

    use super::*;

    #[test]
    fn a_location_is_read_and_printed() {
        for (text, bucket, journals) in [
            ("s3://my-bucket", "my-bucket", "journals"),
            ("s3://my-bucket/", "my-bucket", "journals"),
            (
                "s3://my.bucket-1/team/rollouts/",
                "my.bucket-1",
                "team/rollouts/journals",
            ),
        ] {
            let location: Location = text.parse().expect("valid");
            assert_eq!(
                (location.bucket(), location.journals().as_ref()),
                (bucket, journals)
            );
            assert_eq!(location.to_string(), text.trim_end_matches('/'));
        }
    }

    #[test]
    fn what_is_no_location_is_named_with_what_would_be_right() {
        for text in [
            "",
            "bucket/prefix",
            "https://bucket",
            "s3://",
            "s3://ab",
            "s3://Bucket",
            "s3://-bucket",
            "s3://bucket./x",
            "s3://under_score",
            "s3://bucket//x",
            "s3://bucket/a/../b",
        ] {
            let error = text.parse::<Location>().expect_err(text).to_string();
            assert!(
                error.contains("`s3://bucket/prefix`") && error.contains(&format!("`{text}`")),
                "{error}"
            );
        }
    }

    #[derive(Debug)]
    struct Counted {
        asked: Arc<AtomicU64>,
        ends: Option<u64>,
    }

    impl aws_credential_types::provider::ProvideCredentials for Counted {
        fn provide_credentials<'a>(&'a self) -> Provided<'a>
        where
            Self: 'a,
        {
            let number = self.asked.fetch_add(1, Ordering::Relaxed);
            let ends = self
                .ends
                .map(|ends| SystemTime::UNIX_EPOCH + Duration::from_secs(ends));
            let token = Some("token".to_owned());
            Provided::ready(Ok(Credentials::new(
                format!("key {number}"),
                "secret",
                token,
                ends,
                "test",
            )))
        }
    }

    #[tokio::test]
    async fn credentials_are_asked_for_before_they_end_and_not_for_every_call() {
        for (ends, again) in [(Some(10_000), 10_000 - 120), (None, 1_000 + 900)] {
            let asked = Arc::<AtomicU64>::default();
            let provider = Counted {
                asked: Arc::clone(&asked),
                ends,
            };
            let now = Arc::new(AtomicU64::new(1_000));
            let mut credentials = SdkCredentials::new(SharedCredentialsProvider::new(provider));
            let clock = Arc::clone(&now);
            credentials.now =
                Arc::new(move || Timestamp::EPOCH.after(Duration::from_secs(clock.load(Ordering::Relaxed))));
            for moment in [1_000, 1_001, again - 1] {
                now.store(moment, Ordering::Relaxed);
                let got = credentials.get_credential().await.expect("provided");
                assert_eq!(
                    (got.key_id.as_str(), got.token.as_deref()),
                    ("key 0", Some("token"))
                );
            }
            now.store(again, Ordering::Relaxed);
            assert_eq!(
                credentials.get_credential().await.expect("provided").key_id,
                "key 1"
            );
            assert_eq!(asked.load(Ordering::Relaxed), 2);
            assert!(!format!("{credentials:?}").contains("secret"));
        }
    }

    #[test]
    fn a_configuration_that_lacks_something_is_refused_by_name() {
        let location: Location = "s3://bucket/x".parse().expect("valid");
        let error = open(&location, &SdkConfig::builder().build()).expect_err("no region");
        assert!(error.to_string().contains("AWS_REGION"), "{error}");
        let region = SdkConfig::builder().region(Region::new("eu-central-1"));
        let error = open(&location, &region.build()).expect_err("no credentials");
        assert!(error.to_string().contains("no credentials"), "{error}");
    }
}
