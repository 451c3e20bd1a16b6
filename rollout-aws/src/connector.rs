//! Plain HTTP through an HTTP connector of the SDK: the same proxy, TLS and pool as the SDK's own calls, or a test bed that
//! answers in process.
//!
//! An adapter that leaves AWS's APIs, the HTTP probe and the download of layers, takes one of these in place of its own
//! client. A connector decides by itself where it connects to: an [`AddressPolicy`](crate::probe::AddressPolicy) still sees the
//! addresses that were looked up, but only [`HttpFetch`](crate::probe::HttpFetch) is bound to them. So a probe of real hosts
//! stays with that one.

use aws_smithy_runtime_api::client::http::{HttpConnector as _, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;

/// Sends GET requests through a connector of the SDK. Redirects are not followed.
#[derive(Clone, Debug)]
pub struct ConnectorHttp {
    connector: SharedHttpConnector,
}

impl ConnectorHttp {
    /// Through this connector.
    #[must_use]
    pub const fn new(connector: SharedHttpConnector) -> Self {
        Self { connector }
    }

    async fn get(&self, url: &str) -> Result<HttpResponse, ConnectorError> {
        let request = HttpRequest::get(url).map_err(|error| ConnectorError::user(error.into()))?;
        self.connector.call(request).await
    }
}

#[cfg(feature = "probe")]
mod fetch {
    use core::error::Error as StdError;
    use std::net::SocketAddr;

    use async_trait::async_trait;
    use aws_smithy_types::byte_stream::ByteStream;

    use super::ConnectorHttp;
    use crate::probe::{Fetch, Fetched, NoAnswer};

    fn of_service(error: impl StdError + Send + Sync + 'static) -> NoAnswer {
        NoAnswer::OfService(Box::new(error))
    }

    #[async_trait]
    impl Fetch for ConnectorHttp {
        async fn get(&self, url: &str, _addresses: &[SocketAddr]) -> Result<Fetched, NoAnswer> {
            let response = Self::get(self, url).await.map_err(of_service)?;
            let status = response.status().as_u16();
            let location = response.headers().get("location").map(str::to_owned);
            let mut fetched = Fetched::new(status, location);
            let mut pieces = ByteStream::new(response.into_body());
            while let Some(piece) = pieces.try_next().await.map_err(of_service)? {
                if !fetched.takes(&piece) {
                    break;
                }
            }
            Ok(fetched)
        }
    }
}

#[cfg(feature = "ecr")]
mod layers {
    use async_trait::async_trait;
    use aws_smithy_types::byte_stream::ByteStream;
    use rollout_core::error::{Error, ErrorKind};

    use super::ConnectorHttp;
    use crate::ecr::layer::{OPERATION, refused};
    use crate::ecr::{LayerSource, LayerStream};

    #[async_trait]
    impl LayerSource for ConnectorHttp {
        async fn open(&self, url: &str) -> Result<Box<dyn LayerStream>, Error> {
            // The error of a connector may quote the address, which holds a signature: it is not kept as the cause.
            let response = self.get(url).await.map_err(|error| {
                let kind = if error.is_timeout() {
                    ErrorKind::TimedOut
                } else {
                    ErrorKind::Unavailable
                };
                Error::new(kind, OPERATION, "the connection broke")
            })?;
            match response.status().as_u16() {
                200 => Ok(Box::new(Pieces(ByteStream::new(response.into_body())))),
                status => Err(refused(status)),
            }
        }
    }

    struct Pieces(ByteStream);

    #[async_trait]
    impl LayerStream for Pieces {
        async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
            let piece = self.0.try_next().await.map_err(|error| {
                Error::new(ErrorKind::Unavailable, OPERATION, "the connection broke").caused_by(error)
            })?;
            Ok(piece.map(Vec::from))
        }
    }
}

#[cfg(all(test, feature = "probe"))]
mod tests {
    use aws_smithy_runtime_api::client::http::HttpConnectorFuture;
    use aws_smithy_types::body::SdkBody;

    use super::*;
    use crate::probe::{BODY_LIMIT, Fetch, NoAnswer};

    #[derive(Debug)]
    struct Says(u16, &'static [(&'static str, &'static str)], usize);

    impl aws_smithy_runtime_api::client::http::HttpConnector for Says {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            assert_eq!(
                (request.method(), request.uri()),
                ("GET", "http://shop.example/health")
            );
            let status = self.0.try_into().expect("a status");
            let mut response = HttpResponse::new(status, SdkBody::from(vec![b'x'; self.2]));
            for (name, value) in self.1 {
                response.headers_mut().insert(*name, *value);
            }
            HttpConnectorFuture::ready(Ok(response))
        }
    }

    #[derive(Debug)]
    struct Breaks;

    impl aws_smithy_runtime_api::client::http::HttpConnector for Breaks {
        fn call(&self, _request: HttpRequest) -> HttpConnectorFuture {
            HttpConnectorFuture::ready(Err(ConnectorError::io("connection reset by peer".into())))
        }
    }

    fn http(connector: impl aws_smithy_runtime_api::client::http::HttpConnector + 'static) -> ConnectorHttp {
        ConnectorHttp::new(SharedHttpConnector::new(connector))
    }

    #[tokio::test]
    async fn an_answer_is_handed_on_up_to_the_limit() {
        let whole = http(Says(503, &[("location", "/elsewhere")], BODY_LIMIT));
        let fetched = Fetch::get(&whole, "http://shop.example/health", &[])
            .await
            .expect("an answer");
        assert_eq!(
            (fetched.status, fetched.body.len(), fetched.cut),
            (503, BODY_LIMIT, false)
        );
        assert_eq!(fetched.location, None, "503 is no redirect");

        let more = http(Says(301, &[("location", "/elsewhere")], BODY_LIMIT + 1));
        let fetched = Fetch::get(&more, "http://shop.example/health", &[])
            .await
            .expect("an answer");
        assert_eq!((fetched.body.len(), fetched.cut), (BODY_LIMIT, true));
        assert_eq!(fetched.location.as_deref(), Some("/elsewhere"));
    }

    #[tokio::test]
    async fn a_broken_connection_is_the_services_fault() {
        let error = Fetch::get(&http(Breaks), "http://shop.example/health", &[])
            .await
            .expect_err("broken");
        assert!(matches!(error, NoAnswer::OfService(_)), "{error:?}");
    }
}
