//! AWS for tests, on the wire: a function of operation and JSON body stands in for the endpoint, and every call is kept.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use aws_types::region::Region;
use http_body_util::Full;
use rollout_core::context::OpContext;
use rollout_core::id::Generation;
use rollout_core::pace::Priority;
use rollout_core::port::Clock;
use rollout_core::time::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

#[cfg(feature = "sts")]
use crate::sts::{Expected, IdentityGuard};

pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const REGION: &str = "eu-central-1";

/// What comes back.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Json(u16, Value),
    /// The connection breaks, after the request was sent.
    Broken,
    /// There is nobody.
    Refused,
}

pub(crate) fn ok(body: Value) -> Answer {
    Answer::Json(200, body)
}

pub(crate) fn error(status: u16, code: &str) -> Answer {
    Answer::Json(status, json!({ "__type": code, "message": "what AWS says" }))
}

type Handler = Arc<dyn Fn(&str, &Value) -> Answer + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Aws {
    handler: Handler,
    seen: Arc<Mutex<Vec<(String, Value)>>>,
}

impl core::fmt::Debug for Aws {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Aws").finish_non_exhaustive()
    }
}

impl Aws {
    pub(crate) fn new(handler: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static) -> Self {
        Self {
            handler: Arc::new(handler),
            seen: Arc::default(),
        }
    }

    /// A configuration that sends everything here and never retries: it has no sleep.
    pub(crate) fn config(&self) -> SdkConfig {
        let connector = SharedHttpConnector::new(self.clone());
        SdkConfig::builder()
            .region(Region::from_static(REGION))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "id", "secret", None, None, "test",
            )))
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build()
    }

    #[cfg(feature = "sts")]
    pub(crate) fn guard(&self) -> Arc<IdentityGuard> {
        Arc::new(IdentityGuard::from_config(
            &self.config(),
            Expected {
                account: ACCOUNT.to_owned(),
                region: REGION.to_owned(),
                caller: None,
            },
        ))
    }

    /// The operations called, in order.
    pub(crate) fn operations(&self) -> Vec<String> {
        self.seen
            .lock()
            .expect("no panic")
            .iter()
            .map(|(operation, _)| operation.clone())
            .collect()
    }

    /// The bodies of the calls of one operation.
    pub(crate) fn bodies(&self, operation: &str) -> Vec<Value> {
        let seen = self.seen.lock().expect("no panic");
        seen.iter()
            .filter(|(name, _)| name == operation)
            .map(|(_, body)| body.clone())
            .collect()
    }
}

impl HttpConnector for Aws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let bytes = request.body().bytes().unwrap_or_default();
        if let Some(length) = request.headers().get("content-length") {
            assert_eq!(
                length,
                bytes.len().to_string(),
                "the content length of a replaced body"
            );
        }
        let Some(target) = request.headers().get("x-amz-target") else {
            // The only service here that does not speak awsJson.
            self.seen
                .lock()
                .expect("no panic")
                .push(("GetCallerIdentity".to_owned(), Value::Null));
            let body = format!(
                "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>{ACCOUNT}</Account>\
                 <Arn>arn:aws:sts::{ACCOUNT}:assumed-role/deploy/ci</Arn></GetCallerIdentityResult>\
                 </GetCallerIdentityResponse>"
            );
            return respond(200, body);
        };
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body: Value = serde_json::from_slice(bytes).expect("JSON");
        let answer = (self.handler)(&operation, &body);
        self.seen.lock().expect("no panic").push((operation, body));
        match answer {
            Answer::Json(status, body) => respond(status, body.to_string()),
            Answer::Broken => HttpConnectorFuture::ready(Err(ConnectorError::io("reset by peer".into()))),
            Answer::Refused => {
                let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
                HttpConnectorFuture::ready(Err(ConnectorError::io(refused.into())))
            }
        }
    }
}

fn respond(status: u16, body: String) -> HttpConnectorFuture {
    // A stream and not bytes, as from a real connection: an interceptor that looks too early sees nothing.
    let body = SdkBody::from_body_1_x(Full::from(body));
    let mut response = HttpResponse::new(status.try_into().expect("a status"), body);
    response.headers_mut().insert("x-amzn-requestid", "request-1");
    HttpConnectorFuture::ready(Ok(response))
}

pub(crate) fn context() -> OpContext {
    OpContext {
        run: "run-1".parse().expect("an id"),
        step: "backend".parse().expect("an id"),
        attempt: 1,
        generation: Generation(1),
        deadline: Timestamp::MAX,
        priority: Priority::Look,
    }
}

/// Tokio's time, which is paused.
pub(crate) struct Virtual(Instant);

impl Virtual {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

#[async_trait]
impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_000_000).after(self.0.elapsed())
    }

    async fn sleep_until(&self, moment: Timestamp) {
        tokio::time::sleep(moment.since(self.now())).await;
    }
}
