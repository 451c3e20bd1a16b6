//! What ECS answers, through the AWS SDK into the adapter.
//!
//! A file is a script: `== DescribeServices 200` and the body under it, for each operation that is answered with anything but `{}`.

use std::sync::{Arc, Mutex};

use aws_sdk_ecs::config::Credentials;
use aws_sdk_ecs::config::Region;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use pollster::block_on;
use rollout_aws::ecs::{EcsEnvironment, EcsRollback};
use rollout_aws::sts::{Expected, IdentityGuard};
use rollout_core::context::OpContext;
use rollout_core::error::{Applied, Error, Retry};
use rollout_core::id::{Generation, TaskDefinitionArn};
use rollout_core::image::ImageRef;
use rollout_core::pace::Priority;
use rollout_core::port::{Environment as _, Rollback as _};
use rollout_core::service::{RevisionSpec, ServiceChange, TaskSpec};
use rollout_core::time::Timestamp;
use serde_json::{Value, json};

use super::SdkConfig;

const IDENTITY: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>222222222222</Account>\
                        <Arn>arn:aws:sts::222222222222:assumed-role/deployer/rollout</Arn></GetCallerIdentityResult>\
                        </GetCallerIdentityResponse>";

/// The longest row of calls that one answer may lead to, such as pages without end.
const CALLS: usize = 2_000;

/// Stands in for AWS.
#[derive(Clone, Debug)]
struct Answers {
    script: Arc<Vec<(String, u16, Vec<u8>)>>,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Answers {
    fn of(bytes: &[u8]) -> Self {
        let mut script: Vec<(String, u16, Vec<u8>)> = Vec::new();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let head = line
                .strip_prefix(b"== ")
                .and_then(|rest| core::str::from_utf8(rest).ok())
                .and_then(|rest| rest.trim_end().split_once(' '));
            // A status below 200 is none that ends a call.
            let status = head
                .and_then(|(_, status)| status.parse().ok())
                .filter(|s| (200..600).contains(s));
            match (head, status, script.last_mut()) {
                (Some((operation, _)), Some(status), _) => {
                    script.push((operation.to_owned(), status, Vec::new()));
                }
                (_, _, Some((_, _, body))) => body.extend_from_slice(line),
                _ => {}
            }
        }
        Self {
            script: Arc::new(script),
            calls: Arc::default(),
        }
    }

    fn find(&self, operation: &str) -> Option<&(String, u16, Vec<u8>)> {
        self.script.iter().find(|(of, ..)| of == operation)
    }

    fn called(&self, operation: &str) -> bool {
        self.calls
            .lock()
            .is_ok_and(|calls| calls.iter().any(|call| call == operation))
    }

    fn config(&self) -> SdkConfig {
        let connector = SharedHttpConnector::new(self.clone());
        let client = http_client_fn(move |_, _| connector.clone());
        let credentials = Credentials::new("id", "secret", None, None, "fuzz");
        let config = SdkConfig::builder()
            .region(Region::from_static("eu-central-1"))
            .http_client(client);
        config
            .credentials_provider(aws_sdk_ecs::config::SharedCredentialsProvider::new(credentials))
            .build()
    }
}

impl HttpConnector for Answers {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = request
            .headers()
            .get("x-amz-target")
            .and_then(|target| target.rsplit('.').next())
            .unwrap_or("GetCallerIdentity")
            .to_owned();
        let (status, body) = match self.find(&operation) {
            Some((_, status, body)) => (*status, body.clone()),
            None if operation == "GetCallerIdentity" => (200, IDENTITY.into()),
            None => (200, b"{}".to_vec()),
        };
        if let Ok(mut calls) = self.calls.lock() {
            calls.push(operation);
            assert!(
                calls.len() < CALLS,
                "calls without end: {:?}",
                &calls[CALLS - 5..]
            );
        }
        let status = status.try_into().expect("between 200 and 599");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
    }
}

/// An error says what was tried, can be shown and stored, and is never one that would be repeated for ever after a success.
fn is_sane(error: &Error) {
    assert!(
        !error.operation.is_empty() && !error.to_string().is_empty(),
        "{error:?}"
    );
    let record = error.record();
    let text = serde_json::to_string(&record).expect("plain data");
    assert_eq!(
        serde_json::from_str::<Value>(&text).ok(),
        serde_json::to_value(&record).ok()
    );
    assert!(
        error.applied != Applied::Yes || error.retry != Retry::Later,
        "{error:?}"
    );
}

/// A read changes nothing, whatever comes back.
fn read<T>(what: &str, answer: &Result<T, Error>) {
    if let Err(error) = answer {
        is_sane(error);
        assert_eq!(error.applied, Applied::No, "{what}: {error:?}");
    }
}

/// A change that was sent, and was answered with success or with nothing that can be read, may have been made.
fn change<T>(aws: &Answers, operation: &str, answer: &Result<T, Error>) {
    let Err(error) = answer else {
        return;
    };
    is_sane(error);
    let said = aws
        .find(operation)
        .map(|(_, status, body)| (*status, body.as_slice()));
    let (status, body) = said.unwrap_or((200, b"{}"));
    // A list of failures is a clear answer, with HTTP 200 as ever.
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let refused = body["failures"].as_array().is_some_and(|all| !all.is_empty());
    if aws.called(operation) && status == 200 && !refused {
        assert_ne!(error.applied, Applied::No, "{operation}: {error:?}");
    }
}

/// No panic, no calls without end, and every error says the right thing about what may have happened.
pub fn run(bytes: &[u8]) {
    let aws = Answers::of(bytes);
    let expected = Expected {
        account: "222222222222".to_owned(),
        region: "eu-central-1".to_owned(),
        caller: None,
    };
    let config = aws.config();
    let guard = Arc::new(IdentityGuard::from_config(&config, expected));
    let now = Arc::new(|| Timestamp::from_millis(1_767_603_600_000));
    let ecs = EcsEnvironment::from_config(&config, "production", guard).clock(now);
    let ctx = OpContext {
        run: "r-1".parse().expect("a name"),
        step: "fuzz".parse().expect("a name"),
        attempt: 1,
        generation: Generation(1),
        deadline: Timestamp::MAX,
        priority: Priority::Look,
    };
    let service = "backend".parse().expect("a name");
    let image = ImageRef {
        repository: "storefront/backend".parse().expect("a name"),
        digest: format!("sha256:{}", "0".repeat(64)).parse().expect("a digest"),
    };
    let spec = RevisionSpec {
        template: json!({
            "family": "storefront-backend",
            "containerDefinitions": [{ "name": "backend", "essential": true, "image": "" }],
        }),
        images: [("backend".parse().expect("a name"), image)].into(),
    };
    let task_definition =
        TaskDefinitionArn::new("arn:aws:ecs:eu-central-1:222222222222:task-definition/storefront-backend:1")
            .expect("an ARN");
    let task = "arn:aws:ecs:eu-central-1:222222222222:task/production/0123456789abcdef0123456789abcdef"
        .parse()
        .expect("an ARN");
    let one_off = TaskSpec {
        name: "migrate".parse().expect("a name"),
        revision: spec.clone(),
        run: json!({ "launchType": "FARGATE" }),
    };

    let seen = block_on(ecs.observe_service(&ctx, &service));
    read("observe_service", &seen);
    read("observe_task", &block_on(ecs.observe_task(&ctx, &task)));
    read("find_task", &block_on(ecs.find_task(&ctx, &one_off)));
    change(
        &aws,
        "RegisterTaskDefinition",
        &block_on(ecs.ensure_revision(&ctx, &spec)),
    );
    let wanted = ServiceChange {
        service: service.clone(),
        task_definition,
        assumes: seen
            .ok()
            .and_then(|seen| seen.primary().map(|primary| primary.id.clone())),
    };
    change(
        &aws,
        "UpdateService",
        &block_on(ecs.update_service(&ctx, &wanted)),
    );
    let started = block_on(ecs.start_task(&ctx, &one_off));
    // What a failed registration leaves behind starts nothing.
    if aws.called("RunTask") {
        change(&aws, "RunTask", &started);
    } else {
        assert!(started.is_err(), "{started:?} was never started");
        started.err().iter().for_each(is_sane);
    }
    change(&aws, "StopTask", &block_on(ecs.stop_task(&ctx, &task)));
    let rollback = EcsRollback::new(Arc::new(ecs));
    read("capture", &block_on(rollback.capture(&ctx, &service)));
}
