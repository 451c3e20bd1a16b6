//! One AWS account at the emulator: clients for the test itself, and a configuration for what is tested, whose calls are
//! recorded on the wire.

use std::sync::{Arc, Mutex, PoisonError};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ecs::config::Credentials;
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use super::REGION;

/// An account. Emulators take an access key of twelve digits for the account's number.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its number.
    pub number: String,
    config: SdkConfig,
    /// The test's own client.
    pub ecs: aws_sdk_ecs::Client,
    /// The test's own client.
    pub ecr: aws_sdk_ecr::Client,
    /// The test's own client.
    pub elb: aws_sdk_elasticloadbalancingv2::Client,
    /// The test's own client.
    pub route53: aws_sdk_route53::Client,
    /// The test's own client.
    pub cloudwatch: aws_sdk_cloudwatch::Client,
    /// The test's own client.
    pub logs: aws_sdk_cloudwatchlogs::Client,
}

impl Account {
    /// Signs in. The endpoints are those of the environment variables.
    pub async fn open(number: &str) -> Self {
        let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(
                aws_smithy_http_client::Builder::new()
                    .tls_provider(tls)
                    .build_https(),
            )
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(number, "test", None, None, "emulator"))
            .load()
            .await;
        Self {
            number: number.to_owned(),
            ecs: aws_sdk_ecs::Client::new(&config),
            ecr: aws_sdk_ecr::Client::new(&config),
            elb: aws_sdk_elasticloadbalancingv2::Client::new(&config),
            route53: aws_sdk_route53::Client::new(&config),
            cloudwatch: aws_sdk_cloudwatch::Client::new(&config),
            logs: aws_sdk_cloudwatchlogs::Client::new(&config),
            config,
        }
    }

    /// The number that the emulator itself gives the account; moto does not heed access keys.
    ///
    /// # Panics
    /// When STS does not answer.
    pub async fn identity(&self) -> String {
        let answer = aws_sdk_sts::Client::new(&self.config)
            .get_caller_identity()
            .send()
            .await;
        answer.expect("GetCallerIdentity").account.expect("an account")
    }

    /// The configuration of its clients.
    #[must_use]
    pub const fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// The registry's host, as image references have it.
    #[must_use]
    pub fn registry(&self) -> String {
        format!("{}.dkr.ecr.{REGION}.amazonaws.com", self.number)
    }

    /// A configuration for the adapters, and the calls that they then make.
    ///
    /// # Panics
    /// When it was opened without an HTTP client, which it never is.
    #[must_use]
    pub fn recorded(&self) -> (SdkConfig, Calls) {
        let calls = Calls::default();
        let client = self.config.http_client().expect("it was opened with one");
        let tap = Tap {
            client,
            calls: calls.clone(),
        };
        let config = self
            .config
            .to_builder()
            .http_client(SharedHttpClient::new(tap))
            .build();
        (config, calls)
    }
}

/// The operations that were called, in order, by their names on the wire: `ecs:UpdateService`; for Route 53 the method.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those that are not known to change nothing.
    #[must_use]
    pub fn mutating(&self) -> Vec<String> {
        const READING: [&str; 4] = ["Get", "List", "Describe", "BatchGet"];
        let reads = |call: &String| {
            let name = call.split_once(':').map_or(call.as_str(), |(_, name)| name);
            name == "GET"
                || name.starts_with("BatchCheck")
                || READING.iter().any(|word| name.starts_with(word))
        };
        self.all().into_iter().filter(|call| !reads(call)).collect()
    }

    /// How often an operation was called.
    #[must_use]
    pub fn count(&self, operation: &str) -> usize {
        self.all().iter().filter(|call| *call == operation).count()
    }
}

/// Between the SDK and its HTTP client.
#[derive(Debug)]
struct Tap<C> {
    client: C,
    calls: Calls,
}

impl HttpClient for Tap<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Tap {
            client: self.client.http_connector(settings, components),
            calls: self.calls.clone(),
        })
    }
}

impl HttpConnector for Tap<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let name = operation(&request);
        self.calls
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(name);
        self.client.call(request)
    }
}

/// JSON services name the operation in a header, Query services in the body, CBOR ones in the path.
fn operation(request: &HttpRequest) -> String {
    if let Some((service, name)) = request
        .headers()
        .get("x-amz-target")
        .and_then(|t| t.split_once('.'))
    {
        let service = match service {
            "AmazonEC2ContainerServiceV20141113" => "ecs",
            "AmazonEC2ContainerRegistry_V20150921" => "ecr",
            "Logs_20140328" => "logs",
            other => other,
        };
        return format!("{service}:{name}");
    }
    if let Some((_, name)) = request.uri().split_once("/operation/") {
        return format!("cloudwatch:{name}");
    }
    let body = request
        .body()
        .bytes()
        .map(String::from_utf8_lossy)
        .unwrap_or_default();
    match body.split('&').find_map(|pair| pair.strip_prefix("Action=")) {
        Some(name) => format!("query:{name}"),
        None => format!("route53:{}", request.method()),
    }
}
