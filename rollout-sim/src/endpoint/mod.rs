//! The simulated cloud behind the services' real wire protocols (feature `endpoint`).
//!
//! [`Endpoint::answer`] takes one HTTP request and answers it from the world: awsJson, the query protocol, restXml and Smithy
//! RPC v2 with CBOR. What is not modelled is refused by name, with the status 501.
//!
//! # Who calls
//! Account and region come from the signature's credential scope. An access key id of 12 digits is that account, as with
//! other emulators; any other is the account of the world's first environment of that region, or of its first one. The
//! signature itself is not checked: the simulation knows no secrets.
//!
//! # On virtual time
//! [`InProcess`] is the endpoint as the SDK's HTTP client, with latency and a clock. What goes wrong on the way is a
//! [`WireFault`]; [`Endpoint::calls`] has every call that was made.
//!
//! # On a socket
//! [`Server`] is the endpoint on a port of this machine, for any AWS client, with a world that is as fast as wanted.

mod call;
mod client;
mod damage;
mod document;
mod exchange;
mod input;
mod pace;
mod protocol;
mod refusal;
mod route;
mod serve;
mod service;
#[cfg(test)]
mod tests;
mod web;
mod wire;

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_smithy_types::date_time::Format;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use self::call::{Call, Place};
pub use self::client::InProcess;
pub use self::damage::Damage;
use self::document::Document;
use self::input::date;
use self::protocol::{Naming, Protocol, json};
use self::refusal::Refusal;
use self::route::{Lost, Routed, Scope, route};
pub use self::serve::{ServeOptions, Server};
use self::service::{SERVICES, Service, sqs};
use self::wire::{Arriving, Wire, failed, names, throttled};
pub use self::wire::{Upset, Which, WireCall, WireFault};
use crate::clock::SimCloud;
use crate::rng::Span;
use crate::world::World;

/// The region of services that have none, and of callers that name none.
const GLOBAL: &str = "us-east-1";

/// How long a request takes to arrive, and its answer to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// The way there.
    pub there: Span,
    /// The way back.
    pub back: Span,
}

impl Default for Latency {
    /// Between 20 and 120 ms together; ours.
    fn default() -> Self {
        Self {
            there: Span::millis(10, 60),
            back: Span::millis(10, 60),
        }
    }
}

impl Latency {
    /// No time at all.
    pub const NONE: Self = Self {
        there: Span::exactly(0),
        back: Span::exactly(0),
    };
}

/// An AWS endpoint on a simulated cloud. Clones share the cloud, the faults and the record of calls.
#[derive(Clone, Debug)]
pub struct Endpoint {
    cloud: SimCloud,
    wire: Arc<Mutex<Wire>>,
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
    answer: Result<(u16, Document), Refusal>,
    changed: bool,
    headers: Vec<(HeaderName, String)>,
}

impl Endpoint {
    /// An endpoint on a cloud. From now on the cloud's traffic is measured, as CloudWatch has metrics of it.
    #[must_use]
    pub fn new(cloud: SimCloud) -> Self {
        let seed = {
            let mut world = cloud.lock();
            world.measure();
            world.seed()
        };
        Self {
            cloud,
            wire: Arc::new(Mutex::new(Wire::new(seed))),
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

    /// Answers a request from the world as it is now. A refusal is an answer as well. Nothing goes wrong on the way:
    /// [`WireFault`]s are for callers at the end of a wire, such as [`InProcess`].
    #[must_use]
    pub fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        self.deliver(&route(request), None)
    }

    /// Lets calls go wrong.
    pub fn disturb(&self, fault: WireFault) {
        let world = self.cloud.lock();
        self.wire().disturb(fault, &world);
    }

    /// Lets no call go wrong any more.
    pub fn calm(&self) {
        self.wire().calm();
    }

    /// Every call that was made, each attempt one, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<WireCall> {
        self.wire().calls.clone()
    }

    /// Until when a call waits for messages; `None` for every other.
    fn waits_until(&self, routed: &Result<Routed, Box<Lost>>) -> Option<Timestamp> {
        let routed = routed.as_ref().ok()?;
        if routed.operation.name != sqs::RECEIVE || routed.service.signing_name != sqs::SERVICE.signing_name {
            return None;
        }
        let mut world = self.cloud.lock();
        let place = place(&world, routed.service, &routed.scope);
        sqs::waits_until(&mut world, &place, &routed.input)
    }

    /// How long to wait before there can be a message; `None` when there is one, or it is too late for one.
    fn waits_for(&self, routed: &Result<Routed, Box<Lost>>, until: Timestamp) -> Option<Duration> {
        /// Somebody else's call may lead to one at any time.
        const LONGEST: Duration = Duration::from_millis(100);
        let routed = routed.as_ref().ok()?;
        let mut world = self.cloud.lock();
        let now = world.now();
        let place = place(&world, routed.service, &routed.scope);
        world.tell_all();
        let next = sqs::next_at(&mut world, &place, &routed.input);
        if now >= until || next.is_some_and(|at| at <= now) {
            return None;
        }
        let next = [next, world.next_at()]
            .into_iter()
            .flatten()
            .chain([until])
            .min()?;
        Some(next.since(now).clamp(Duration::from_millis(1), LONGEST))
    }

    /// The world is locked before the wire, never after it.
    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ways there and back.
    fn draw(&self, latency: Latency) -> (Duration, Duration) {
        let mut wire = self.wire();
        (wire.draw(latency.there), wire.draw(latency.back))
    }

    /// A request has arrived: what goes wrong with it?
    fn meet(&self, routed: &Result<Routed, Box<Lost>>) -> Option<Upset> {
        let world = self.cloud.lock();
        let (service, operation, mutates) = names(routed);
        let (account, _) = caller(&world, scope(routed));
        let call = Arriving {
            at: world.now(),
            service: &service,
            operation: &operation,
            account: &account,
            mutates,
        };
        self.wire().upset(&call)
    }

    /// Answers a request that has arrived, and keeps a record of it.
    fn deliver(&self, routed: &Result<Routed, Box<Lost>>, upset: Option<Upset>) -> Response<Bytes> {
        let mut world = self.cloud.lock();
        let now = world.now();
        let mut said = match (routed, &upset) {
            (Err(lost), _) => Said::no(lost.protocol, lost.refusal.clone()),
            (Ok(routed), Some(Upset::Throttled)) => Said::no(routed.protocol, throttled(routed.service)),
            (Ok(routed), Some(Upset::FailsBefore(status))) => Said::no(routed.protocol, failed(*status)),
            (
                Ok(routed),
                Some(Upset::Refused {
                    status,
                    code,
                    message,
                }),
            ) => Said::no(routed.protocol, Refusal::new(*status, code, message.as_str())),
            (Ok(routed), Some(Upset::Stale(span))) => {
                let then = Timestamp::from_millis(
                    now.as_millis()
                        .saturating_sub(Timestamp::EPOCH.after(*span).as_millis()),
                );
                match self.wire().past(then) {
                    Some(mut past) => run(&mut past, routed),
                    None => run(&mut world, routed),
                }
            }
            (Ok(routed), _) => run(&mut world, routed),
        };
        let damage = match upset {
            Some(Upset::Damaged(damage)) => Some(damage),
            _ => None,
        };
        if let (Some(damage), Ok((_, document))) = (damage, &mut said.answer) {
            damage.strike(document, |places| self.wire().below(places));
        }
        let number = self.record(&world, routed, upset, Some(&said));
        if said.changed {
            self.wire().remember(&world);
        }
        let seed = world.seed();
        drop(world);
        let answer = respond(routed, said, &request_id(seed, number), now);
        match damage {
            Some(damage) => damage.cut(answer),
            None => answer,
        }
    }

    /// An answer that says no, to a request whose record is kept already.
    fn refuse(&self, routed: &Result<Routed, Box<Lost>>, refusal: &Refusal) -> Response<Bytes> {
        let (seed, now) = {
            let world = self.cloud.lock();
            (world.seed(), world.now())
        };
        let protocol = routed.as_ref().map_or_else(|lost| lost.protocol, |r| r.protocol);
        let number = self.wire().calls.len() as u64;
        respond(
            routed,
            Said::no(protocol, refusal.clone()),
            &request_id(seed, number),
            now,
        )
    }

    /// Keeps a record of a request that the service never saw.
    fn note_lost(&self, routed: &Result<Routed, Box<Lost>>, upset: Upset) {
        let world = self.cloud.lock();
        self.record(&world, routed, Some(upset), None);
    }

    fn record(
        &self,
        world: &World,
        routed: &Result<Routed, Box<Lost>>,
        upset: Option<Upset>,
        said: Option<&Said>,
    ) -> u64 {
        let (service, operation, _) = names(routed);
        let (account, region) = caller(world, scope(routed));
        let mut wire = self.wire();
        wire.calls.push(WireCall {
            at: world.now(),
            service,
            operation,
            account,
            region,
            status: said.map(Said::status),
            code: said.and_then(|s| s.answer.as_ref().err().map(|no| no.code.clone())),
            changed: said.is_some_and(|s| s.changed),
            upset,
        });
        wire.calls.len() as u64
    }
}

impl Said {
    fn no(protocol: Protocol, refusal: Refusal) -> Self {
        Self {
            protocol,
            answer: Err(refusal),
            changed: false,
            headers: Vec::new(),
        }
    }

    fn status(&self) -> u16 {
        match &self.answer {
            Ok((status, _)) => *status,
            Err(no) => no.status,
        }
    }
}

/// Calls the operation.
fn run(world: &mut World, routed: &Routed) -> Said {
    let place = place(world, routed.service, &routed.scope);
    world.took_effect = false;
    // A service without regions counts its calls by account alone.
    let region = if routed.service.global {
        ""
    } else {
        place.region.as_str()
    };
    let call = (routed.service.signing_name, routed.operation.name);
    let now = world.now();
    if !world.quotas.spend(now, (&place.account, region), call, 1) {
        return Said::no(routed.protocol, throttled(routed.service));
    }
    let mut call = Call {
        world,
        place: &place,
        input: &routed.input,
        local: routed.local.as_deref(),
        headers: Vec::new(),
    };
    let answer = (routed.operation.run)(&mut call);
    let headers = call.headers;
    if world.took_effect {
        world.tell_all();
    }
    Said {
        protocol: routed.protocol,
        answer: answer.map(|output| (routed.operation.status, output)),
        changed: world.took_effect,
        headers,
    }
}

/// The namespace of errors of a service that is not known.
const NO_NAMESPACE: &str = "http://webservices.amazon.com/AWSFault/2005-15-09";

fn respond(routed: &Result<Routed, Box<Lost>>, said: Said, id: &str, now: Timestamp) -> Response<Bytes> {
    let (operation, service) = match routed {
        Ok(routed) => (routed.operation.name, Some(routed.service)),
        Err(lost) => (lost.operation.as_str(), lost.service),
    };
    let naming = Naming {
        operation,
        namespace: service.map_or(NO_NAMESPACE, |s| s.namespace),
        request_id: id,
    };
    let status = said.status();
    let body = match &said.answer {
        Ok((_, output)) => said.protocol.answer(naming, output),
        Err(no) => said.protocol.refusal(naming, no),
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    set(CONTENT_TYPE, said.protocol.media_type());
    set(DATE, &date(now, Format::HttpDate));
    set(HeaderName::from_static("x-amzn-requestid"), id);
    let cbor = said.protocol == Protocol::Cbor;
    if cbor {
        set(HeaderName::from_static("smithy-protocol"), "rpc-v2-cbor");
    }
    // What the SDKs read where a service once spoke the query protocol (Smithy, "awsQueryCompatible trait").
    if let Err(no) = &said.answer
        && (cbor || said.protocol == Protocol::Json(json::Version::V1_0))
    {
        let text = format!("{};{}", no.code, no.side());
        set(HeaderName::from_static("x-amzn-query-error"), &text);
    }
    for (name, text) in said.headers {
        set(name, &text);
    }
    response
}

fn scope(routed: &Result<Routed, Box<Lost>>) -> Option<&Scope> {
    match routed {
        Ok(routed) => Some(&routed.scope),
        Err(lost) => lost.scope.as_ref(),
    }
}

/// Account and region of a caller.
fn caller(world: &World, scope: Option<&Scope>) -> (String, String) {
    let region = scope.map_or(GLOBAL, |s| s.region.as_str());
    let all = &world.environments;
    let named = scope.and_then(Scope::account).map(str::to_owned);
    let account = named.or_else(|| {
        let here = all.iter().find(|e| e.region == region);
        here.or_else(|| all.first()).map(|e| e.account.clone())
    });
    let account = account.unwrap_or_else(|| "000000000000".to_owned());
    (account, region.to_owned())
}

/// The world's environments that a caller sees.
fn place(world: &World, service: &Service, scope: &Scope) -> Place {
    let (account, region) = caller(world, Some(scope));
    let all = world.environments.iter();
    let environments = all
        .filter(|e| e.account == account && (service.global || e.region == region))
        .map(|e| e.index)
        .collect();
    Place {
        account,
        region,
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
