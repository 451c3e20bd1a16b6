//! AWS on the wire, in every protocol that its services speak: answers by operation. What no answer was given for is denied.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use aws_types::region::Region;
use rollout_core::readiness::example::REGION;
use serde_json::{Value, json};

/// How a service writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Json,
    Cbor,
    /// XML of the query protocol and of the REST services.
    Xml,
    /// XML of EC2.
    Ec2,
}

/// What was sent.
pub(super) struct Sent {
    pub(super) operation: String,
    /// The host, path and query.
    pub(super) uri: String,
    pub(super) body: String,
}

/// An answer.
#[derive(Clone)]
pub(super) enum Said {
    /// JSON, or the same as CBOR.
    Json(Value),
    /// XML: what stands within the result, without the elements around it.
    Xml(String),
    /// An error with this code.
    Error(u16, &'static str),
}

type Answer = Arc<dyn Fn(&Sent) -> Said + Send + Sync>;

#[derive(Clone, Default)]
pub(super) struct Fake {
    answers: BTreeMap<&'static str, Answer>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl core::fmt::Debug for Fake {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Fake").finish_non_exhaustive()
    }
}

impl Fake {
    /// An AWS that only says who is calling.
    pub(super) fn new() -> Self {
        Self::default().xml(
            "GetCallerIdentity",
            "<Account>222222222222</Account><Arn>arn:aws:sts::222222222222:assumed-role/storefront-deploy/run</Arn>",
        )
    }

    /// Answers an operation by what was asked.
    pub(super) fn on(
        mut self,
        operation: &'static str,
        answer: impl Fn(&Sent) -> Said + Send + Sync + 'static,
    ) -> Self {
        self.answers.insert(operation, Arc::new(answer));
        self
    }

    pub(super) fn json(self, operation: &'static str, body: Value) -> Self {
        self.on(operation, move |_| Said::Json(body.clone()))
    }

    pub(super) fn xml(self, operation: &'static str, body: &str) -> Self {
        let body = body.to_owned();
        self.on(operation, move |_| Said::Xml(body.clone()))
    }

    pub(super) fn error(self, operation: &'static str, status: u16, code: &'static str) -> Self {
        self.on(operation, move |_| Said::Error(status, code))
    }

    pub(super) fn config(&self) -> SdkConfig {
        let connector = SharedHttpConnector::new(self.clone());
        let credentials = Credentials::new("ASIAEXAMPLE", "secret", None, None, "test");
        SdkConfig::builder()
            .region(Region::from_static(REGION))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build()
    }

    /// How many requests came.
    pub(super) fn count(&self) -> usize {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What was sent for an operation.
    pub(super) fn sent<T>(&self, operation: &str, look: impl Fn(&Sent) -> T) -> Vec<T> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.iter()
            .filter(|one| one.operation == operation)
            .map(look)
            .collect()
    }
}

impl HttpConnector for Fake {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (operation, protocol) = named(&request);
        let sent = Sent {
            operation,
            uri: request.uri().to_owned(),
            body: String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned(),
        };
        let said = match self.answers.get(sent.operation.as_str()) {
            Some(answer) => answer(&sent),
            None => Said::Error(403, "AccessDenied"),
        };
        let (status, body) = written(protocol, &sent.operation, &said);
        let mut response = HttpResponse::new(status.try_into().expect("a status"), SdkBody::from(body));
        if protocol == Protocol::Cbor {
            response.headers_mut().insert("smithy-protocol", "rpc-v2-cbor");
            response.headers_mut().insert("content-type", "application/cbor");
        }
        self.sent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sent);
        HttpConnectorFuture::ready(Ok(response))
    }
}

fn named(request: &HttpRequest) -> (String, Protocol) {
    if let Some(target) = request.headers().get("x-amz-target") {
        return (
            target.rsplit('.').next().unwrap_or_default().to_owned(),
            Protocol::Json,
        );
    }
    let uri = request.uri();
    if let Some((_, operation)) = uri.split_once("/operation/") {
        return (operation.to_owned(), Protocol::Cbor);
    }
    let body = core::str::from_utf8(request.body().bytes().unwrap_or_default()).unwrap_or_default();
    let action = body.split('&').find_map(|pair| pair.strip_prefix("Action="));
    if let Some(action) = action {
        let protocol = if uri.contains("ec2.") {
            Protocol::Ec2
        } else {
            Protocol::Xml
        };
        return (action.to_owned(), protocol);
    }
    let rest = [
        ("/rrset", "ListResourceRecordSets"),
        ("/hostedzone/", "GetHostedZone"),
        ("/distribution/", "GetDistribution"),
        ("versioning", "GetBucketVersioning"),
        ("publicAccessBlock", "GetPublicAccessBlock"),
        ("cors", "GetBucketCors"),
    ];
    let found = rest.iter().find(|(part, _)| uri.contains(part));
    (found.expect("a known operation").1.to_owned(), Protocol::Xml)
}

fn written(protocol: Protocol, operation: &str, said: &Said) -> (u16, Vec<u8>) {
    let body = match (said, protocol) {
        (Said::Json(body), Protocol::Cbor) => cbor(body),
        (Said::Json(body), _) => body.to_string().into_bytes(),
        (Said::Xml(body), Protocol::Ec2) => {
            format!("<{operation}Response>{body}</{operation}Response>").into_bytes()
        }
        (Said::Xml(body), _) if body.starts_with("<?xml") => body.clone().into_bytes(),
        (Said::Xml(body), _) => format!(
            "<{operation}Response><{operation}Result>{body}</{operation}Result></{operation}Response>"
        )
        .into_bytes(),
        (Said::Error(status, code), protocol) => return (*status, refused(protocol, operation, code)),
    };
    (200, body)
}

fn refused(protocol: Protocol, operation: &str, code: &str) -> Vec<u8> {
    let error = format!("<Code>{code}</Code><Message>what AWS says</Message>");
    match protocol {
        Protocol::Json => json!({"__type": code, "message": "what AWS says"})
            .to_string()
            .into_bytes(),
        Protocol::Cbor => cbor(&json!({"__type": code, "message": "what AWS says"})),
        Protocol::Ec2 => format!("<Response><Errors><Error>{error}</Error></Errors></Response>").into_bytes(),
        // S3 has nothing around it.
        Protocol::Xml if operation.contains("Bucket") || operation == "GetPublicAccessBlock" => {
            format!("<Error>{error}</Error>").into_bytes()
        }
        Protocol::Xml => format!("<ErrorResponse><Error>{error}</Error></ErrorResponse>").into_bytes(),
    }
}

/// JSON as CBOR (RFC 8949), as far as it is needed here.
fn cbor(value: &Value) -> Vec<u8> {
    fn head(kind: u8, length: usize) -> Vec<u8> {
        let length = u32::try_from(length).expect("short").to_be_bytes();
        [vec![(kind << 5) | 26], length.to_vec()].concat()
    }
    let text = |text: &str| [head(3, text.len()), text.as_bytes().to_vec()].concat();
    match value {
        Value::Null => vec![0xf6],
        Value::Bool(false) => vec![0xf4],
        Value::Bool(true) => vec![0xf5],
        Value::Number(number) => match number.as_u64() {
            Some(whole) => head(0, usize::try_from(whole).expect("small")),
            None => [
                vec![0xfb],
                number.as_f64().expect("a number").to_be_bytes().to_vec(),
            ]
            .concat(),
        },
        Value::String(string) => text(string),
        Value::Array(all) => {
            let items = all.iter().flat_map(cbor);
            head(4, all.len()).into_iter().chain(items).collect()
        }
        Value::Object(all) => {
            let items = all
                .iter()
                .flat_map(|(key, value)| [text(key), cbor(value)].concat());
            head(5, all.len()).into_iter().chain(items).collect()
        }
    }
}
