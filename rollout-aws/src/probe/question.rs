//! Questions over HTTP whose whole answer is of interest: what checks of readiness compare.

use core::time::Duration;

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use rollout_core::error::{Error, ErrorKind};
use rollout_core::readiness::fact::Question;
use rollout_core::readiness::fact::answer::Answer;
use tokio::time::{Instant, timeout_at};

use super::fetch::client;
use super::{Fetched, HttpGate, invalid, parse, shown};

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much of a body is kept, in characters.
const KEPT: usize = 1_024;
const OPERATION: &str = "http:Ask";

impl HttpGate {
    /// Asks once, following nothing, under the same rules as a probe: the addresses are looked up once and checked, and only they
    /// are connected to. Of the answer, the headers that say how browsers and caches are to treat it are kept, and the beginning of
    /// the body.
    ///
    /// # Errors
    /// There is no answer, or the address may not be asked.
    pub async fn answer(&self, question: &Question) -> Result<Answer, Error> {
        let deadline = Instant::now() + PATIENCE;
        let url = parse(&question.url)?;
        let name = shown(&url);
        let method = Method::from_bytes(question.method.as_bytes())
            .map_err(|error| invalid("the question's method is none").caused_by(error))?;
        let addresses = self.addresses(&url, deadline).await?;
        let request = client(addresses)?
            .request(method, url)
            .headers(headers(question)?);
        let late = || {
            Error::new(
                ErrorKind::TimedOut,
                OPERATION,
                format!("{name}: no whole answer in time"),
            )
        };
        timeout_at(deadline, exchange(request))
            .await
            .map_err(|_| late())?
            .map_err(|error| {
                // An error of the client quotes its URL, which may hold a secret.
                Error::new(ErrorKind::Unavailable, OPERATION, format!("{name}: no answer"))
                    .caused_by(error.without_url())
            })
    }
}

fn headers(question: &Question) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in &question.headers {
        let name: HeaderName = name
            .parse()
            .map_err(|error| invalid("a header of the question has no name").caused_by(error))?;
        let value: HeaderValue = value
            .parse()
            .map_err(|error| invalid("a header of the question cannot be sent").caused_by(error))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

async fn exchange(request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
    let mut response = request.send().await?;
    let status = response.status().as_u16();
    let headers = response.headers().iter().filter(|(name, _)| kept(name.as_str()));
    let headers = headers.map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    let headers = headers.collect();
    let mut body = Fetched::new(status, None);
    while let Some(piece) = response.chunk().await? {
        if !body.takes(&piece) {
            break;
        }
    }
    Ok(Answer {
        status,
        headers,
        body: String::from_utf8_lossy(&body.body).chars().take(KEPT).collect(),
    })
}

/// Cookies and the like are nobody's business.
fn kept(header: &str) -> bool {
    const KEPT: [&str; 6] = [
        "cache-control",
        "content-type",
        "location",
        "server",
        "strict-transport-security",
        "vary",
    ];
    header.starts_with("access-control-") || KEPT.contains(&header)
}
