//! Everything that is not an AWS API: what clients outside ask of the hosts in the simulated cloud.
//!
//! A request that is not signed and whose host leads into the cloud, through its zones or by a load balancer's own name, is
//! answered by whoever serves that host now. So an HTTP probe needs no other way in than the SDK's client.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION};
use http::{HeaderValue, Method, Request, Response, StatusCode};

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
    // As it comes over a socket: the host is a header, and nothing tells whether it was TLS.
    let host = request.headers().get(HOST)?.to_str().ok()?;
    Some(format!("http://{host}{uri}"))
}

/// Whether a plain request may be meant for an AWS API after all: by its host, this machine's or AWS's.
pub(crate) fn may_be_api(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split(['/', '?', '#']).next().unwrap_or(host);
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    host == "localhost"
        || host.ends_with(".amazonaws.com")
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
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
