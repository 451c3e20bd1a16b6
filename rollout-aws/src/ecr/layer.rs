//! Layers: from a pre-signed address of one registry, in bounded parts, into another.

use core::fmt;
use core::time::Duration;

use async_trait::async_trait;
use rollout_core::error::{Error, ErrorKind};

pub(crate) const OPERATION: &str = "download of a layer";

/// Fetches what a pre-signed address points at.
#[async_trait]
pub trait LayerSource: fmt::Debug + Send + Sync {
    /// Begins to read. The address holds a signature: it must not get into an error, a log or a trace.
    ///
    /// # Errors
    /// What the other side says, without the address.
    async fn open(&self, url: &str) -> Result<Box<dyn LayerStream>, Error>;
}

/// Bytes that come in pieces.
#[async_trait]
pub trait LayerStream: Send {
    /// The next piece; `None` at the end. A connection that breaks before the end is an error.
    ///
    /// # Errors
    /// What the other side says, without the address.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Error>;
}

/// Layers over HTTPS.
#[derive(Clone, Debug)]
pub struct HttpLayers {
    client: reqwest::Client,
}

impl HttpLayers {
    /// The longest wait for a connection, and for the next piece.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// A client with the same TLS as the SDK's. It follows no redirect: a pre-signed address is where the layer is.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the platform's TLS cannot be set up.
    pub fn new() -> Result<Self, Error> {
        let client = reqwest::Client::builder()
            .connect_timeout(Self::PATIENCE)
            .read_timeout(Self::PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Unavailable, OPERATION, "no HTTP client can be made").caused_by(error)
            })?;
        Ok(Self { client })
    }
}

#[async_trait]
impl LayerSource for HttpLayers {
    async fn open(&self, url: &str) -> Result<Box<dyn LayerStream>, Error> {
        let response = self.client.get(url).send().await.map_err(broken)?;
        let status = response.status().as_u16();
        if status == 200 {
            return Ok(Box::new(HttpStream(response)));
        }
        Err(refused(status))
    }
}

/// What a status other than 200 means.
pub(crate) fn refused(status: u16) -> Error {
    let kind = match status {
        403 => ErrorKind::PermissionDenied,
        404 => ErrorKind::NotFound,
        429 => ErrorKind::Throttled,
        500..=599 => ErrorKind::Unavailable,
        _ => ErrorKind::Unexpected,
    };
    Error::new(kind, OPERATION, format!("HTTP {status}"))
}

struct HttpStream(reqwest::Response);

#[async_trait]
impl LayerStream for HttpStream {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.chunk().await.map_err(broken)?.map(Vec::from))
    }
}

fn broken(error: reqwest::Error) -> Error {
    let kind = if error.is_timeout() {
        ErrorKind::TimedOut
    } else {
        ErrorKind::Unavailable
    };
    Error::new(kind, OPERATION, "the connection broke").caused_by(error.without_url())
}
