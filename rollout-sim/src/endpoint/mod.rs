//! The simulated cloud behind the services' real wire protocols (feature `endpoint`).
//!
//! [`Endpoint::answer`] takes one HTTP request and answers it from the world: awsJson, the query protocol, restXml and Smithy
//! RPC v2 with CBOR. What is not modelled is refused by name, with the status 501.
//!
//! # Who calls
//! Account and region come from the signature's credential scope. An access key id of 12 digits is that account, as with
//! other emulators; any other is the account of the world's first environment of that region, or of its first one. The
//! signature itself is not checked: the simulation knows no secrets.

#![expect(
    dead_code,
    reason = "the frame comes first; the services that need all of it follow"
)]

mod call;
mod document;
mod input;
mod protocol;
mod refusal;
mod route;
mod service;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_smithy_types::date_time::Format;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use rollout_core::time::Timestamp;

use self::call::{Call, Place};
use self::input::date;
use self::protocol::{Naming, Protocol};
use self::refusal::Refusal;
use self::route::{Lost, Routed, Scope, route};
use self::service::{SERVICES, Service};
use crate::clock::SimCloud;
use crate::world::World;

/// The region of services that have none, and of callers that name none.
const GLOBAL: &str = "us-east-1";

/// An AWS endpoint on a simulated cloud. Clones share the cloud and the count of requests.
#[derive(Clone, Debug)]
pub struct Endpoint {
    cloud: SimCloud,
    requests: Arc<AtomicU64>,
}

/// An operation that the endpoint knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Supported {
    /// The service's name in signatures, such as `ecs`.
    pub service: &'static str,
    /// The operation's name, such as `DescribeServices`.
    pub operation: &'static str,
    /// Whether it may change anything.
    pub mutates: bool,
}

/// Every operation that the endpoint knows, by service and name.
#[must_use]
pub fn supported() -> Vec<Supported> {
    let mut all: Vec<_> = SERVICES
        .iter()
        .flat_map(|service| {
            service.operations().map(|operation| Supported {
                service: service.signing_name,
                operation: operation.name,
                mutates: operation.mutates,
            })
        })
        .collect();
    all.sort_unstable();
    all
}

/// An answer before it is bytes.
struct Said {
    protocol: Protocol,
    status: u16,
    body: Vec<u8>,
    headers: Vec<(HeaderName, String)>,
}

impl Endpoint {
    /// An endpoint on a cloud.
    #[must_use]
    pub fn new(cloud: SimCloud) -> Self {
        Self {
            cloud,
            requests: Arc::default(),
        }
    }

    /// The cloud behind it.
    #[must_use]
    pub const fn cloud(&self) -> &SimCloud {
        &self.cloud
    }

    /// Whether a request is for an operation that is modelled; whether it will succeed is another question.
    #[must_use]
    pub fn models(request: &Request<Bytes>) -> bool {
        route(request).map_or_else(|lost| !lost.not_modelled, |_| true)
    }

    /// Answers a request from the world as it is now. A refusal is an answer as well.
    #[must_use]
    pub fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let mut world = self.cloud.lock();
        let id = request_id(world.seed(), number);
        let now = world.now();
        let said = match route(request) {
            Ok(routed) => run(&mut world, &routed, &id),
            Err(lost) => refuse(&lost, &id),
        };
        drop(world);
        respond(said, &id, now)
    }
}

/// The namespace of errors of a service that is not known.
const NO_NAMESPACE: &str = "http://webservices.amazon.com/AWSFault/2005-15-09";

fn refuse(lost: &Lost, id: &str) -> Said {
    let naming = Naming {
        operation: &lost.operation,
        namespace: lost.service.map_or(NO_NAMESPACE, |s| s.namespace),
        request_id: id,
    };
    said(lost.protocol, naming, Err(&lost.refusal), Vec::new())
}

fn run(world: &mut World, routed: &Routed, id: &str) -> Said {
    let naming = Naming {
        operation: routed.operation.name,
        namespace: routed.service.namespace,
        request_id: id,
    };
    let place = place(world, routed.service, &routed.scope);
    world.took_effect = false;
    let mut call = Call {
        world,
        place: &place,
        input: &routed.input,
        headers: Vec::new(),
    };
    let answer = (routed.operation.run)(&mut call);
    let headers = call.headers;
    let answer = answer.map(|output| (routed.operation.status, output));
    said(routed.protocol, naming, answer.as_ref(), headers)
}

fn said(
    protocol: Protocol,
    naming: Naming<'_>,
    answer: Result<&(u16, document::Document), &Refusal>,
    mut headers: Vec<(HeaderName, String)>,
) -> Said {
    let (status, body) = match answer {
        Ok((status, output)) => (*status, protocol.answer(naming, output)),
        Err(refusal) => {
            // What the SDKs read where a service once spoke the query protocol (Smithy, "awsQueryCompatible trait").
            if protocol == Protocol::Cbor || matches!(protocol, Protocol::Json(protocol::json::Version::V1_0))
            {
                let text = format!("{};{}", refusal.code, refusal.side());
                headers.push((HeaderName::from_static("x-amzn-query-error"), text));
            }
            (refusal.status, protocol.refusal(naming, refusal))
        }
    };
    Said {
        protocol,
        status,
        body,
        headers,
    }
}

fn respond(said: Said, id: &str, now: Timestamp) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(said.body));
    *response.status_mut() = StatusCode::from_u16(said.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    set(CONTENT_TYPE, said.protocol.media_type());
    set(DATE, &date(now, Format::HttpDate));
    set(HeaderName::from_static("x-amzn-requestid"), id);
    if said.protocol == Protocol::Cbor {
        set(HeaderName::from_static("smithy-protocol"), "rpc-v2-cbor");
    }
    for (name, text) in said.headers {
        set(name, &text);
    }
    response
}

/// The world's environments that a caller sees.
fn place(world: &World, service: &Service, scope: &Scope) -> Place {
    let region = if scope.region.is_empty() {
        GLOBAL
    } else {
        scope.region.as_str()
    };
    let all = &world.environments;
    let account = scope.account().map(str::to_owned).or_else(|| {
        let here = all.iter().find(|e| e.region == region);
        here.or_else(|| all.first()).map(|e| e.account.clone())
    });
    let account = account.unwrap_or_else(|| "000000000000".to_owned());
    let environments = all
        .iter()
        .filter(|e| e.account == account && (service.global || e.region == region))
        .map(|e| e.index)
        .collect();
    Place {
        account,
        region: region.to_owned(),
        environments,
    }
}

/// A UUID that follows from the seed and the request's number.
fn request_id(seed: u64, number: u64) -> String {
    // SplitMix64: neighbours look nothing like each other.
    let mix = |mut x: u64| {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let high = mix(seed.wrapping_add(number.wrapping_mul(2).wrapping_add(1).wrapping_mul(STEP)));
    let low = mix(seed.wrapping_add(number.wrapping_mul(2).wrapping_add(2).wrapping_mul(STEP)));
    // Version 4, variant 1 (RFC 9562).
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | (low >> 48) & 0x3fff,
        low & 0xffff_ffff_ffff
    )
}
