//! Whether the parameters that a task definition names are still there. No value is read.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::ParameterStringFilter;
use aws_types::SdkConfig;
use rollout_core::context::OpContext;
use rollout_core::error::{Error, ErrorKind};
use rollout_core::service::Found;

use crate::config;
use crate::error::from_sdk;
use crate::found::{gone, unknown, unseen};
use crate::observer::{Meter, SharedObserver, Toll};
use crate::page::Pages;

const DESCRIBE: &str = "ssm:DescribeParameters";

/// The IAM actions of this adapter.
pub const ACTIONS: &[&str] = &[DESCRIBE];

/// Parameters of one call: a filter takes so many values (AWS Systems Manager API, "ParameterStringFilter").
pub(crate) const TOGETHER: usize = 50;
const PAGE: i32 = 50;
/// Pages of so many. A page may be empty and still not the last (AWS Systems Manager API, "DescribeParameters").
const PAGES: usize = 100;

/// The parameters of Systems Manager's Parameter Store of one account and region.
///
/// It sees that a parameter exists. Whether the task's own role may read it, it cannot see: that is decided by policies of others.
///
/// # IAM actions
/// `ssm:DescribeParameters`, which knows no resources: the statement has to say `"Resource": "*"`. Without it a parameter is
/// unknown, and the rollback policy says what that means.
#[derive(Clone)]
pub struct Parameters {
    client: Client,
    account: String,
    region: Option<String>,
    toll: Toll,
}

impl Parameters {
    /// The parameters of `config`'s account and region. The account, 12 digits, is what tells a parameter of another account
    /// from one that is gone.
    #[must_use]
    pub fn from_config(config: &SdkConfig, account: impl Into<String>) -> Self {
        Self::with_client(Client::new(&config::prepare(config)), account)
    }

    /// The same with a ready client.
    #[must_use]
    pub fn with_client(client: Client, account: impl Into<String>) -> Self {
        let region = client.config().region().map(|region| region.as_ref().to_owned());
        Self {
            client,
            account: account.into(),
            region,
            toll: Toll::default(),
        }
    }

    /// Shares calls with all adapters of this account and region that are given the same observer.
    #[must_use]
    pub fn shared(mut self, observer: &Arc<SharedObserver>) -> Self {
        let metered = self.client.config().to_builder();
        self.client = Client::from_conf(metered.interceptor(Meter::new(observer, "ssm")).build());
        self.toll = Toll::of(observer);
        self
    }

    /// Looks for what `valueFrom` of containers' secrets names, fifty names with one call, and answers by it. Parameters of another
    /// account or region and those that AWS names (`/aws/…`) are not asked for, and unknown; so is a version that is not the current
    /// one, as only reading values would tell whether it is still there.
    ///
    /// # Errors
    /// What Systems Manager says of the call itself, such as that it is throttled; a denied call is [`Found::Unknown`].
    pub async fn look<'a>(
        &self,
        ctx: &OpContext,
        value_from: impl IntoIterator<Item = &'a str>,
    ) -> Result<BTreeMap<&'a str, Found>, Error> {
        let mut all = BTreeMap::new();
        let mut asked = Vec::new();
        for from in value_from {
            let reference = Reference::read(from);
            match reference.map(|reference| {
                (
                    reference.unasked(&self.account, self.region.as_deref()),
                    reference,
                )
            }) {
                None => drop(all.insert(from, unknown("it is no parameter of Systems Manager"))),
                Some((Some(why), _)) => drop(all.insert(from, unknown(why))),
                Some((None, reference)) => asked.push((from, reference)),
            }
        }
        let names: BTreeSet<&str> = asked
            .iter()
            .flat_map(|(_, reference)| reference.names())
            .collect();
        let names: Vec<&str> = names.into_iter().collect();
        let mut held = BTreeMap::new();
        for names in names.chunks(TOGETHER) {
            let found = match self.find(ctx, names).await {
                Ok(found) => Ok(found),
                Err(error) => Err(refused(error)?),
            };
            held.extend(names.iter().map(|name| match &found {
                Ok(found) => (*name, Ok(found.get(*name).copied())),
                Err(refused) => (*name, Err(refused.clone())),
            }));
        }
        all.extend(
            asked
                .iter()
                .map(|(from, reference)| (*from, told(reference, &held))),
        );
        Ok(all)
    }

    /// The current version of each that there is.
    async fn find(&self, ctx: &OpContext, names: &[&str]) -> Result<BTreeMap<String, i64>, Error> {
        let subject = names.join(", ");
        let values = names.iter().map(|name| (*name).to_owned()).collect();
        let filter = ParameterStringFilter::builder().key("Name");
        let filter = filter.option("Equals").set_values(Some(values)).build();
        let filter =
            filter.map_err(|error| Error::new(ErrorKind::Unexpected, DESCRIBE, error.to_string()))?;
        let mut pages = Pages::new(DESCRIBE, PAGES);
        let mut found = BTreeMap::new();
        let mut token = None;
        loop {
            self.toll.pay(ctx, DESCRIBE).await?;
            let request = self.client.describe_parameters().max_results(PAGE);
            let request = request.parameter_filters(filter.clone()).set_next_token(token);
            let answer = request.send().await;
            let answer = answer.map_err(|error| from_sdk(DESCRIBE, &subject, false, error))?;
            let all = answer.parameters.unwrap_or_default().into_iter();
            found.extend(all.filter_map(|one| Some((one.name()?.to_owned(), one.version()))));
            token = pages.next(answer.next_token)?;
            if token.is_none() {
                return Ok(found);
            }
        }
    }
}

/// What was found of each name: its current version, that there is none, or why nobody knows.
type Held<'a> = BTreeMap<&'a str, Result<Option<i64>, Found>>;

fn told(reference: &Reference, held: &Held<'_>) -> Found {
    let mut found = gone("it does not exist");
    for name in reference.names() {
        match held.get(name) {
            Some(Ok(Some(current))) => {
                return reference.unseen_version(*current).map_or(Found::Usable, unknown);
            }
            Some(Ok(None)) | None => {}
            Some(Err(refused)) => found = refused.clone(),
        }
    }
    found
}

/// What a refused call says of the parameters that it asked for: nothing, and never that they are gone, which an empty answer says.
fn refused(error: Error) -> Result<Found, Error> {
    match error.kind {
        ErrorKind::NotFound | ErrorKind::Unexpected => Ok(unknown(error.to_string())),
        _ => unseen(error),
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parameters")
            .field("account", &self.account)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Place {
    region: String,
    account: String,
}

/// `valueFrom` (Amazon ECS developer guide, "Pass Systems Manager parameters through Amazon ECS environment variables"): the
/// name, or the ARN; behind it may stand a version or a label, as in every name that parameters are read by (AWS Systems Manager
/// user guide, "Working with parameter versions").
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    name: String,
    /// The other name that it may have: the ARN of `x` is that of `/x`.
    or: Option<String>,
    /// Where it is, if that is said.
    place: Option<Place>,
    version: Option<String>,
}

impl Reference {
    pub(crate) fn read(value_from: &str) -> Option<Self> {
        let (place, rest) = if value_from.starts_with("arn:") {
            let mut parts = value_from.splitn(6, ':').skip(2);
            let ("ssm", region, account) = (parts.next()?, parts.next()?, parts.next()?) else {
                return None;
            };
            let place = Place {
                region: region.to_owned(),
                account: account.to_owned(),
            };
            (Some(place), parts.next()?.strip_prefix("parameter/")?)
        } else {
            (None, value_from)
        };
        let (name, version) = match rest.split_once(':') {
            Some((name, version)) => (name, Some(version.to_owned())),
            None => (rest, None),
        };
        if name.is_empty() {
            return None;
        }
        let (name, or) = match &place {
            None => (name.to_owned(), None),
            // The slash before a path is the one behind `parameter`.
            Some(_) if name.contains('/') => (format!("/{name}"), None),
            Some(_) => (name.to_owned(), Some(format!("/{name}"))),
        };
        Some(Self {
            name,
            or,
            place,
            version,
        })
    }

    /// The names that it may have.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        core::iter::once(self.name.as_str()).chain(self.or.as_deref())
    }

    /// Why `DescribeParameters` of an account and region would not tell of it.
    pub(crate) fn unasked(&self, account: &str, region: Option<&str>) -> Option<&'static str> {
        let elsewhere =
            |place: &Place| region.is_some_and(|region| region != place.region) || place.account != account;
        if self.place.as_ref().is_some_and(elsewhere) {
            Some("it is in an account or region that is not asked")
        } else if self.name.starts_with("/aws/") {
            // AWS Systems Manager user guide, "Referencing AWS Secrets Manager secrets from Parameter Store parameters".
            Some("what AWS names is told with its value only")
        } else {
            None
        }
    }

    /// Why it is not known whether it is there in the version that is asked for, where its parameter is.
    pub(crate) fn unseen_version(&self, current: i64) -> Option<String> {
        let wanted = self.version.as_ref();
        let other = wanted.filter(|wanted| **wanted != current.to_string());
        other.map(|wanted| format!("whether it has `{wanted}` is told with its values only"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Answer, Aws, error, ok};

    const ACCOUNT: &str = "123456789012";

    async fn looked(
        value_from: &str,
        answer: impl Fn(&Value) -> Answer + Send + Sync + 'static,
    ) -> Result<Found, Error> {
        let aws = Aws::new(move |operation, body: &Value| {
            assert_eq!(operation, "DescribeParameters", "no value is read");
            answer(body)
        });
        let parameters = Parameters::from_config(&aws.config(), ACCOUNT);
        let mut found = parameters.look(&crate::testing::context(), [value_from]).await?;
        Ok(found.remove(value_from).expect("an answer to each"))
    }

    /// Parameter Store with `/shop/db`, `/one` and `flag`, each in its third version.
    fn store(body: &Value) -> Answer {
        let filter = &body["ParameterFilters"][0];
        assert_eq!(
            (&filter["Key"], &filter["Option"]),
            (&json!("Name"), &json!("Equals"))
        );
        let wanted = filter["Values"].as_array().expect("values");
        assert!(wanted.len() <= TOGETHER);
        let held = ["/shop/db", "/one", "flag"]
            .into_iter()
            .filter(|name| wanted.contains(&json!(name)));
        let found: Vec<Value> = held.map(|name| json!({ "Name": name, "Version": 3 })).collect();
        ok(json!({ "Parameters": found }))
    }

    #[test]
    fn a_parameter_is_named_by_its_name_or_its_arn() {
        let arn = |rest: &str| format!("arn:aws:ssm:eu-central-1:{ACCOUNT}:parameter/{rest}");
        for (from, names, version) in [
            (arn("shop/url"), vec!["/shop/url"], None),
            (arn("url"), vec!["url", "/url"], None),
            (arn("shop/url:7"), vec!["/shop/url"], Some("7")),
            ("/shop/url".to_owned(), vec!["/shop/url"], None),
            ("url:live".to_owned(), vec!["url"], Some("live")),
        ] {
            let read = Reference::read(&from).expect(&from);
            assert_eq!(read.names().collect::<Vec<_>>(), names, "{from}");
            assert_eq!(read.version.as_deref(), version, "{from}");
            assert_eq!(read.place.is_some(), from.starts_with("arn:"), "{from}");
        }
        for wrong in [
            "",
            ":7",
            "arn:aws:ssm",
            "arn:aws:ssm:eu-central-1:123456789012:parameter/",
            "arn:aws:ssm:eu-central-1:123456789012:document/x",
            "arn:aws:secretsmanager:eu-central-1:123456789012:secret:shop/db-AbCdEf",
        ] {
            assert_eq!(Reference::read(wrong), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn what_is_there_is_usable_and_what_is_not_is_gone() {
        for (value_from, there) in [
            ("arn:aws:ssm:eu-central-1:123456789012:parameter/shop/db", true),
            ("/shop/db", true),
            ("/shop/db:3", true),
            ("flag", true),
            ("arn:aws:ssm:eu-central-1:123456789012:parameter/flag", true),
            ("arn:aws:ssm:eu-central-1:123456789012:parameter/one", true),
            ("one", false),
            ("arn:aws:ssm:eu-central-1:123456789012:parameter/two", false),
            ("shop/db", false),
            ("/shop/other", false),
            ("/shop/other:3", false),
        ] {
            let found = looked(value_from, store).await.expect("an answer");
            let wanted = if there {
                Found::Usable
            } else {
                gone("it does not exist")
            };
            assert_eq!(found, wanted, "{value_from}");
        }
    }

    #[tokio::test]
    async fn many_are_asked_for_together() {
        let calls = Arc::new(core::sync::atomic::AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let aws = Aws::new(move |_, body: &Value| {
            counted.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
            store(body)
        });
        let parameters = Parameters::from_config(&aws.config(), ACCOUNT);
        let gone: Vec<String> = (0..60).map(|n| format!("/shop/gone-{n}")).collect();
        let mut named = vec!["flag", "flag:3", "/shop/db", "arn:aws:s3:::bucket"];
        named.extend(gone.iter().map(String::as_str));
        let found = parameters.look(&crate::testing::context(), named).await;
        let found = found.expect("answers");
        let usable: Vec<&str> = found
            .iter()
            .filter(|(_, f)| **f == Found::Usable)
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(usable, ["/shop/db", "flag", "flag:3"]);
        let gone = found
            .values()
            .filter(|found| matches!(found, Found::Gone { .. }))
            .count();
        assert_eq!((gone, found.len()), (60, 64));
        assert_eq!(calls.load(core::sync::atomic::Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn an_empty_page_is_not_the_last() {
        let pages = |body: &Value| match body["NextToken"].as_str() {
            None => ok(json!({ "Parameters": [], "NextToken": "more" })),
            Some(_) => store(body),
        };
        assert_eq!(looked("flag", pages).await.expect("an answer"), Found::Usable);
        let endless = |_: &Value| ok(json!({ "NextToken": "more" }));
        let endless = looked("flag", endless).await.expect("an answer");
        assert!(
            matches!(&endless, Found::Unknown { why } if why.contains("already")),
            "{endless:?}"
        );
    }

    #[tokio::test]
    async fn what_cannot_be_known_is_unknown_and_what_fails_is_an_error() {
        for value_from in [
            "arn:aws:ssm:us-east-1:123456789012:parameter/shop/db",
            "arn:aws:ssm:eu-central-1:999999999999:parameter/shop/db",
            "arn:aws:s3:::bucket",
            "/aws/reference/secretsmanager/db",
            "arn:aws:ssm:eu-central-1:123456789012:parameter/aws/reference/secretsmanager/db",
        ] {
            let found = looked(value_from, |_| panic!("asked")).await.expect("an answer");
            assert!(matches!(found, Found::Unknown { .. }), "{value_from}: {found:?}");
        }
        for older in ["/shop/db:2", "/shop/db:live"] {
            let found = looked(older, store).await.expect("an answer");
            assert!(matches!(found, Found::Unknown { .. }), "{older}: {found:?}");
        }
        let denied = looked("flag", |_| error(400, "AccessDeniedException")).await;
        assert!(
            matches!(&denied, Ok(Found::Unknown { why }) if why.contains("AccessDenied")),
            "{denied:?}"
        );
        let lost = looked("flag", |_| error(404, "NoSuchPage")).await;
        assert!(matches!(lost, Ok(Found::Unknown { .. })), "not gone: {lost:?}");
        let throttled = looked("flag", |_| error(400, "ThrottlingException")).await;
        assert_eq!(throttled.expect_err("later").kind, ErrorKind::Throttled);
    }
}
