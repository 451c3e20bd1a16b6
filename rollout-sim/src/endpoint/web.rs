//! Everything that is not an AWS API: what clients outside ask of the hosts in the simulated cloud.
//!
//! A request that is not signed and whose host leads into the cloud, through its zones or by a load balancer's own name, is
//! answered by whoever serves that host now. So an HTTP probe needs no other way in than the SDK's client.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION};
use http::{HeaderValue, Method, Request, Response, StatusCode};

use crate::ecr::at_bucket;
use crate::http::Visit;

/// The address that a request asks for, if it is a plain one: a GET without a signature.
pub(crate) fn url(request: &Request<Bytes>) -> Option<String> {
    if request.method() != Method::GET || request.headers().contains_key(AUTHORIZATION) {
        return None;
    }
    let uri = request.uri();
    if uri.authority().is_some() {
        return Some(uri.to_string());
    }
    if local(request).is_some()
        && let Some(url) = at_bucket(&uri.to_string())
    {
        return Some(url);
    }
    // As it comes over a socket: the host is a header, and nothing tells whether it was TLS.
    let host = request.headers().get(HOST)?.to_str().ok()?;
    Some(format!("http://{host}{uri}"))
}

/// The address of this machine that a request over a socket asks for; `None` for another host.
pub(crate) fn local(request: &Request<Bytes>) -> Option<String> {
    if request.uri().authority().is_some() {
        return None;
    }
    let authority = request.headers().get(HOST)?.to_str().ok()?;
    is_here(host(authority)).then(|| authority.to_owned())
}

/// The host of an authority.
fn host(authority: &str) -> &str {
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// Whether a plain request may be meant for an AWS API after all: by its host, this machine's or AWS's.
pub(crate) fn may_be_api(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = self::host(host.split(['/', '?', '#']).next().unwrap_or(host));
    host.ends_with(".amazonaws.com") || is_here(host)
}

/// The answer as it goes over the wire.
pub(crate) fn response(visit: Visit) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(visit.body));
    *response.status_mut() = StatusCode::from_u16(visit.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    if let Some(location) = visit.location.and_then(|l| HeaderValue::try_from(l).ok()) {
        headers.insert(LOCATION, location);
    }
    response
}
