//! The SDK in process: an HTTP client that answers from the simulated cloud on virtual time, with a clock to match.

use core::fmt;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use aws_types::region::Region;
use bytes::Bytes;
use rollout_core::port::Clock;
use rollout_core::time::Timestamp;

use super::exchange::{Broken, Exchange};
use super::pace::Pace;
use super::{Endpoint, Latency};
use crate::world::Unknown;

/// A simulated cloud as the SDK's HTTP client, and the clock that belongs to it.
///
/// Made and used on a Tokio runtime whose time is paused (`#[tokio::test(start_paused = true)]`, or `tokio::time::pause` on
/// a runtime of one thread): time-outs, retries and back-off of the SDK then work as they are, and a rollout of ten minutes takes
/// milliseconds. On a runtime whose time runs, the world's time runs with it.
///
/// ```
/// use rollout_sim::endpoint::{Endpoint, InProcess};
/// use rollout_sim::{SimCloud, World};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
/// # runtime.block_on(async {
/// let world = World::builder(7).environment("production", |e| e.region("eu-central-1")).build()?;
/// let wire = InProcess::new(Endpoint::new(SimCloud::new(world)));
/// // For any client of the SDK:
/// let config = wire.config("production")?;
/// assert_eq!(config.region().map(AsRef::as_ref), Some("eu-central-1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct InProcess {
    exchange: Exchange,
}

impl InProcess {
    /// Answers calls from this endpoint. The world's present is now; call it on the runtime that will be used.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self::paced(endpoint, 1)
    }

    /// The same for people who watch: so many seconds of the world in one of the runtime's, whose time runs.
    #[must_use]
    pub fn paced(endpoint: Endpoint, speed: u32) -> Self {
        let pace = Pace::new(endpoint.cloud().clone(), speed);
        Self {
            exchange: Exchange::new(endpoint, pace, Latency::default()),
        }
    }

    /// Another latency.
    #[must_use]
    pub const fn latency(mut self, latency: Latency) -> Self {
        self.exchange.latency = latency;
        self
    }

    /// The endpoint behind it.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.exchange.endpoint
    }

    /// Now, on the clock of the world and of the runtime.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.exchange.pace.now()
    }

    /// Lets the world get to the present: between two calls it stands where the last one left it.
    pub fn catch_up(&self) {
        self.exchange.pace.catch_up();
    }

    /// The clock for a driver.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.exchange.pace.clone())
    }

    /// The HTTP client.
    #[must_use]
    pub fn http_client(&self) -> SharedHttpClient {
        SharedHttpClient::new(self.clone())
    }

    /// One connector of that client, for plain requests such as a probe's. Hosts that lead into the cloud, through its zones or
    /// by a load balancer's own name, are answered by whoever serves them.
    #[must_use]
    pub fn connector(&self) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            exchange: self.exchange.clone(),
            read_timeout: None,
        })
    }

    /// A configuration for clients of the SDK: this HTTP client, this clock, and account and region of an environment.
    ///
    /// # Errors
    /// [`Unknown::Environment`] when it does not exist.
    pub fn config(&self, environment: &str) -> Result<SdkConfig, Unknown> {
        let (account, region) = {
            let world = self.exchange.pace.cloud().lock();
            let env = world.env(environment)?;
            (env.account.clone(), env.region.clone())
        };
        // The key id is the account: that is how the endpoint tells who calls.
        let credentials = Credentials::new(account, "simulated", None, None, "rollout-sim");
        Ok(SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(self.clone())
            .time_source(self.exchange.pace.clone())
            .sleep_impl(self.exchange.pace.clone())
            .build())
    }
}

impl HttpClient for InProcess {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            exchange: self.exchange.clone(),
            read_timeout: settings.read_timeout(),
        })
    }
}

#[derive(Clone)]
struct Connector {
    exchange: Exchange,
    read_timeout: Option<Duration>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("read_timeout", &self.read_timeout)
            .finish_non_exhaustive()
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let this = self.clone();
        HttpConnectorFuture::new(async move { this.send(request).await })
    }
}

impl Connector {
    async fn send(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let user = |text: &str| ConnectorError::user(text.into());
        let request = request
            .try_into_http1x()
            .map_err(|e| ConnectorError::user(e.into()))?;
        let (parts, body) = request.into_parts();
        let body = body.bytes().map(Bytes::copy_from_slice);
        let body = body.ok_or_else(|| user("a body that streams cannot be sent to the simulated cloud"))?;
        let exchange = self.exchange.send(http::Request::from_parts(parts, body));
        let answer = match self.read_timeout {
            Some(span) => tokio::time::timeout(span, exchange)
                .await
                .map_err(|late| ConnectorError::timeout(late.into()))?,
            None => exchange.await,
        };
        let answer = answer.map_err(|broken| {
            let (kind, text) = match broken {
                Broken::Refused => (io::ErrorKind::ConnectionRefused, "connection refused"),
                Broken::Reset => (io::ErrorKind::ConnectionReset, "connection reset by peer"),
            };
            ConnectorError::io(io::Error::new(kind, text).into())
        })?;
        HttpResponse::try_from(answer.map(SdkBody::from)).map_err(|e| ConnectorError::other(e.into(), None))
    }
}
