//! An AWS service for tests: answers HTTP requests from a script, and keeps what was sent, as it goes over the wire.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use aws_types::region::Region;
use rollout_core::context::OpContext;
use rollout_core::id::Generation;
use rollout_core::pace::Priority;
use rollout_core::time::Timestamp;

/// What was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
}

impl Sent {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// An answer of the script.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    status: u16,
    body: Vec<u8>,
}

/// An answer with a text body.
pub(crate) fn say(status: u16, body: impl Into<String>) -> Said {
    Said {
        status,
        body: body.into().into_bytes(),
    }
}

/// The service. Past the end of its script the connection breaks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fake {
    script: Arc<Mutex<VecDeque<Said>>>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Fake {
    pub(crate) fn new(script: impl IntoIterator<Item = Said>) -> Self {
        Self {
            script: Arc::new(Mutex::new(script.into_iter().collect())),
            sent: Arc::default(),
        }
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn config(&self) -> SdkConfig {
        let connector = SharedHttpConnector::new(self.clone());
        let credentials = Credentials::new("id", "secret", None, None, "test");
        SdkConfig::builder()
            .region(Region::from_static("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build()
    }
}

impl HttpConnector for Fake {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let uri = request.uri();
        let path = uri
            .split_once("://")
            .and_then(|(_, rest)| rest.find('/').map(|at| rest[at..].to_owned()));
        let sent = Sent {
            method: request.method().to_owned(),
            path: path.unwrap_or_default(),
            body: request.body().bytes().unwrap_or_default().to_vec(),
        };
        self.sent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sent);
        let said = self
            .script
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        let Some(said) = said else {
            return HttpConnectorFuture::ready(Err(ConnectorError::io("the script has ended".into())));
        };
        let status = StatusCode::try_from(said.status).expect("a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(said.body))))
    }
}

pub(crate) fn context() -> OpContext {
    OpContext {
        run: "r-1".parse().expect("a valid id"),
        step: "dns/api".parse().expect("a valid id"),
        attempt: 1,
        generation: Generation(42),
        deadline: Timestamp::MAX,
        priority: Priority::Look,
    }
}
