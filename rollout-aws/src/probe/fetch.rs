//! The request itself, apart from what is decided about it: a test bed answers it without a network.

use core::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolving};
use rollout_core::error::{Error, ErrorKind, Retry};
use url::Url;

use super::{BODY_LIMIT, OPERATION, invalid};

/// Sends one GET request, following nothing.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// Asks `url`, connecting to `addresses` only: they were looked up and checked for exactly this request, so no name is
    /// looked up again.
    ///
    /// # Errors
    /// [`NoAnswer`], which says whether it tells anything of the service.
    async fn get(&self, url: &str, addresses: &[SocketAddr]) -> Result<Fetched, NoAnswer>;
}

/// One HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its status.
    pub status: u16,
    /// Where it redirects to, if its status is a redirect's.
    pub location: Option<String>,
    /// The body, up to [`BODY_LIMIT`].
    pub body: Vec<u8>,
    /// The body goes on past [`BODY_LIMIT`].
    pub cut: bool,
}

impl Fetched {
    /// An answer without a body yet; `location` counts only with the status of a redirect.
    #[must_use]
    pub fn new(status: u16, location: Option<String>) -> Self {
        Self {
            status,
            location: location.filter(|_| matches!(status, 301 | 302 | 303 | 307 | 308)),
            body: Vec::new(),
            cut: false,
        }
    }

    /// Takes a piece of the body as far as there is room; `false` when there was too little, and no more is wanted.
    pub fn takes(&mut self, piece: &[u8]) -> bool {
        let room = BODY_LIMIT - self.body.len();
        self.body.extend(piece.iter().take(room));
        self.cut = piece.len() > room;
        !self.cut
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// The service's fault as far as one can see: refused, reset, TLS. A failed sample.
    OfService(Box<dyn StdError + Send + Sync>),
    /// The asker's own: no sample.
    OfAsker(Error),
}

/// Requests over the network, with the TLS that the SDK also uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpFetch;

#[async_trait]
impl Fetch for HttpFetch {
    async fn get(&self, url: &str, addresses: &[SocketAddr]) -> Result<Fetched, NoAnswer> {
        let url =
            Url::parse(url).map_err(|e| NoAnswer::OfAsker(invalid("the URL does not parse").caused_by(e)))?;
        let client = client(addresses.to_vec()).map_err(NoAnswer::OfAsker)?;
        // An error of the client quotes its URL, which may hold a secret.
        exchange(&client, url)
            .await
            .map_err(|error| NoAnswer::OfService(Box::new(error.without_url())))
    }
}

async fn exchange(client: &reqwest::Client, url: Url) -> Result<Fetched, reqwest::Error> {
    let mut response = client.get(url).send().await?;
    let status = response.status().as_u16();
    let location = response
        .headers()
        .get(reqwest::header::LOCATION)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let mut fetched = Fetched::new(status, location);
    while let Some(chunk) = response.chunk().await? {
        if !fetched.takes(&chunk) {
            break;
        }
    }
    Ok(fetched)
}

/// A client that can connect to these addresses only, whatever name it is told.
pub(super) fn client(addresses: Vec<SocketAddr>) -> Result<reqwest::Client, Error> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .pool_max_idle_per_host(0)
        .user_agent(concat!("rollout/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(Pinned(addresses)))
        .build()
        .map_err(|error| {
            Error::new(
                ErrorKind::Unexpected,
                OPERATION,
                "the HTTP client cannot be set up",
            )
            .retry(Retry::Never)
            .caused_by(error)
        })
}

/// The addresses that were checked, as the client's whole name service.
struct Pinned(Vec<SocketAddr>);

impl reqwest::dns::Resolve for Pinned {
    fn resolve(&self, _name: Name) -> Resolving {
        let addresses: Addrs = Box::new(self.0.clone().into_iter());
        Box::pin(core::future::ready(Ok(addresses)))
    }
}
