//! The HTTP probe: one request to a fixed, checked address.
//!
//! For every request, and for every redirect that is followed, the host is looked up **once**, every address found is
//! checked by an [`AddressPolicy`], and the connection goes to exactly these addresses: a name that answers differently
//! the second time is never asked a second time (invariant I-29). Proxies of the environment are not used, since behind a
//! proxy the address could not be known.
//!
//! | what happens | sample |
//! | --- | --- |
//! | status, body and latency as expected | `Pass` |
//! | another status, body or latency; connection refused or reset; TLS error; no whole answer in time | `Fail` |
//! | a redirect to another host, or from `https` to `http`, or more of them than the probe follows | `Fail` |
//! | the name cannot be looked up | error, `Unavailable` or `TimedOut`: it says nothing of the service |
//! | an address that the policy refuses | error, `PermissionDenied`, naming the address and the remedy |
//!
//! It needs no IAM action.

mod address;
mod fetch;
#[cfg(feature = "readiness")]
mod question;
#[cfg(test)]
mod tests;

use core::fmt;
use core::time::Duration;
use std::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use rollout_core::context::OpContext;
use rollout_core::error::{Error, ErrorKind, Report};
use rollout_core::evidence::Evidence;
use rollout_core::port::HealthGate;
use rollout_core::probe::{HttpProbe, ProbeTarget, Sample, SampleRequest, Verdict};
use tokio::time::{Instant, timeout_at};
use url::{Host, Url};

pub use self::address::{AddressClass, AddressPolicy, AddressRefused};
pub use self::fetch::{Fetch, Fetched, HttpFetch, NoAnswer};
use crate::resolve::{Resolve, SystemResolver};
use crate::time::{self, Now};

/// The IAM actions that this adapter needs: none.
pub const ACTIONS: &[&str] = &[];

/// How much of a body is read. A body text to look for must be within it.
pub const BODY_LIMIT: usize = 64 * 1024;

/// How much of a body is quoted in the evidence of a failure, in characters.
const QUOTE_LIMIT: usize = 200;

const OPERATION: &str = "http:GET";

/// Takes samples of [`ProbeTarget::Http`].
#[derive(Clone)]
pub struct HttpGate {
    policy: AddressPolicy,
    resolver: Arc<dyn Resolve>,
    fetch: Arc<dyn Fetch>,
    now: Now,
}

impl fmt::Debug for HttpGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpGate")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl HttpGate {
    /// A gate that looks names up with the operating system's resolver and dates samples by its clock.
    #[must_use]
    pub fn new(policy: AddressPolicy) -> Self {
        Self {
            policy,
            resolver: Arc::new(SystemResolver),
            fetch: Arc::new(HttpFetch),
            now: time::system(),
        }
    }

    /// The same with another clock.
    #[must_use]
    pub fn with_now(mut self, now: Now) -> Self {
        self.now = now;
        self
    }

    /// The same with another resolver.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.resolver = resolver;
        self
    }

    /// The same with another way to send requests.
    #[must_use]
    pub fn with_fetch(mut self, fetch: Arc<dyn Fetch>) -> Self {
        self.fetch = fetch;
        self
    }

    /// Asks, and follows redirects as far as the probe allows.
    async fn ask(&self, probe: &HttpProbe) -> Result<Asked, Error> {
        let deadline = Instant::now() + probe.timeout;
        let mut url = parse(&probe.url)?;
        let mut took = Duration::ZERO;
        let mut left = probe.redirects;
        loop {
            let addresses = self.addresses(&url, deadline).await?;
            let started = Instant::now();
            let exchanged = timeout_at(deadline, self.fetch.get(url.as_str(), &addresses)).await;
            took += started.elapsed();
            let answer = match exchanged {
                Ok(Ok(answer)) => answer,
                Ok(Err(NoAnswer::OfService(error))) => return Ok(Asked::none(&url, took, &*error)),
                Ok(Err(NoAnswer::OfAsker(error))) => return Err(error),
                Err(_) => {
                    let why = format!("no whole answer within {} ms", probe.timeout.as_millis());
                    return Ok(Asked::Nothing {
                        url: shown(&url),
                        took,
                        why,
                    });
                }
            };
            let followed = match &answer.location {
                Some(location) if !probe.status.contains(&answer.status) => location,
                Some(_) | None => return Ok(Asked::Answer { url, took, answer }),
            };
            match redirect(&url, followed) {
                Ok(next) if left > 0 => {
                    left -= 1;
                    url = next;
                }
                Ok(next) => {
                    let why = format!(
                        "status {}: a redirect to {} that the probe does not follow ({} allowed)",
                        answer.status,
                        shown(&next),
                        probe.redirects
                    );
                    return Ok(Asked::Nothing {
                        url: shown(&url),
                        took,
                        why,
                    });
                }
                Err(refused) => {
                    let why = format!("status {}: {refused}", answer.status);
                    return Ok(Asked::Nothing {
                        url: shown(&url),
                        took,
                        why,
                    });
                }
            }
        }
    }

    /// The addresses of the URL's host, all of them allowed.
    async fn addresses(&self, url: &Url, deadline: Instant) -> Result<Vec<SocketAddr>, Error> {
        const LOOK_UP: &str = "dns:Resolve";
        let port = url.port_or_known_default().unwrap_or(80);
        let found = match url.host() {
            Some(Host::Ipv4(v4)) => vec![SocketAddr::from((v4, port))],
            Some(Host::Ipv6(v6)) => vec![SocketAddr::from((v6, port))],
            Some(Host::Domain(name)) => match timeout_at(deadline, self.resolver.resolve(name, port)).await {
                Ok(Ok(found)) if !found.is_empty() => found,
                Ok(Ok(_)) => {
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        LOOK_UP,
                        format!("{name} has no address"),
                    ));
                }
                Ok(Err(error)) => {
                    return Err(
                        Error::new(ErrorKind::Unavailable, LOOK_UP, format!("{name} has no answer"))
                            .caused_by(error),
                    );
                }
                Err(_) => {
                    return Err(Error::new(
                        ErrorKind::TimedOut,
                        LOOK_UP,
                        format!("{name} has no answer in time"),
                    ));
                }
            },
            None => return Err(invalid(format!("{} has no host", shown(url)))),
        };
        for address in &found {
            self.policy.check(address.ip()).map_err(|refused| {
                Error::new(
                    ErrorKind::PermissionDenied,
                    OPERATION,
                    format!("{} is not probed: {refused}", shown(url)),
                )
            })?;
        }
        Ok(found)
    }
}

#[async_trait]
impl HealthGate for HttpGate {
    async fn sample(&self, _ctx: &OpContext, request: &SampleRequest) -> Result<Sample, Error> {
        let ProbeTarget::Http(probe) = &request.target else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                OPERATION,
                format!("probe {} is not an HTTP probe", request.probe),
            ));
        };
        let at = (self.now)();
        let (subject, verdict, detail) = match self.ask(probe).await? {
            Asked::Nothing { url, took, why } => (
                url,
                Verdict::Fail,
                format!("{why}, after {} ms", took.as_millis()),
            ),
            Asked::Answer { url, took, answer } => {
                let (verdict, detail) = judge(probe, took, &answer);
                (shown(&url), verdict, detail)
            }
        };
        Ok(Sample {
            at,
            verdict,
            images: None,
            evidence: vec![Evidence::new(at, OPERATION, subject, detail)],
        })
    }
}

/// What asking came to.
enum Asked {
    /// A whole answer.
    Answer {
        url: Url,
        took: Duration,
        answer: Fetched,
    },
    /// None that counts.
    Nothing {
        url: String,
        took: Duration,
        why: String,
    },
}

impl Asked {
    fn none(url: &Url, took: Duration, error: &(dyn StdError + 'static)) -> Self {
        Self::Nothing {
            url: shown(url),
            took,
            why: Report(error).to_string(),
        }
    }
}

/// Compares an answer with what the probe expects. The detail names everything that differs.
fn judge(probe: &HttpProbe, took: Duration, answer: &Fetched) -> (Verdict, String) {
    let mut wrong: Vec<String> = Vec::new();
    let mut quote = false;
    let expected_status = if probe.status.is_empty() {
        (200..300).contains(&answer.status)
    } else {
        probe.status.contains(&answer.status)
    };
    if !expected_status {
        wrong.push(format!("expected {}", expected(&probe.status)));
        quote = true;
    }
    if let Some(text) = &probe.body_contains
        && !contains(&answer.body, text.as_bytes())
    {
        let within = if answer.cut {
            format!(" in its first {BODY_LIMIT} bytes")
        } else {
            String::new()
        };
        wrong.push(format!("the body does not contain {text:?}{within}"));
        quote = true;
    }
    if took > probe.latency {
        wrong.push(format!("slower than {} ms", probe.latency.as_millis()));
    }
    let mut detail = format!("status {} after {} ms", answer.status, took.as_millis());
    if wrong.is_empty() {
        return (Verdict::Pass, detail);
    }
    detail.push_str(": ");
    detail.push_str(&wrong.join("; "));
    if quote && !answer.body.is_empty() {
        detail.push_str(&format!("; the body starts {:?}", quoted(&answer.body)));
    }
    (Verdict::Fail, detail)
}

fn expected(status: &[u16]) -> String {
    if status.is_empty() {
        return "200 to 299".to_owned();
    }
    let codes: Vec<String> = status.iter().map(u16::to_string).collect();
    codes.join(" or ")
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|window| window == text)
}

/// The beginning of a body, printable and on one line.
fn quoted(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(QUOTE_LIMIT)
        .collect()
}

fn invalid(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidRequest, OPERATION, context)
}

/// The text is not quoted in the error: it may hold a secret.
fn parse(text: &str) -> Result<Url, Error> {
    let url = Url::parse(text).map_err(|error| invalid("the probe's URL does not parse").caused_by(error))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(invalid(format!(
            "the probe's URL has scheme `{other}`; `http` or `https` would be right"
        ))),
    }
}

/// Where a redirect leads, if it may be followed: the same host, and never from `https` to `http`.
fn redirect(from: &Url, location: &str) -> Result<Url, String> {
    let next = from
        .join(location)
        .map_err(|error| format!("a redirect whose target does not parse ({error})"))?;
    let name = |url: &Url| {
        url.host_str()
            .map(|host| host.strip_suffix('.').unwrap_or(host).to_owned())
    };
    if !matches!(next.scheme(), "http" | "https") {
        return Err(format!(
            "a redirect to scheme `{}`, which is not followed",
            next.scheme()
        ));
    }
    if name(from) != name(&next) {
        return Err(format!(
            "a redirect to another host, {}, which is not followed",
            shown(&next)
        ));
    }
    if from.scheme() == "https" && next.scheme() == "http" {
        return Err(format!(
            "a redirect from https to {}, which is not followed",
            shown(&next)
        ));
    }
    Ok(next)
}

/// A URL as it may be printed: without user, password and fragment, the query hidden.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Each fails only for a URL that cannot have a user at all.
    let _no_user = url.set_username("");
    let _no_password = url.set_password(None);
    url.set_fragment(None);
    if url.query().is_some() {
        url.set_query(None);
        return format!("{url}?…");
    }
    url.to_string()
}
