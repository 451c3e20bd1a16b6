//! Which operation a request is for, in which account and region, and with what input.

use core::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};

use super::document::Document;
use super::protocol::{Protocol, cbor, json, query, rest_xml};
use super::refusal::Refusal;
use super::service::{Operation, SERVICES, Service};
use super::web::local;

/// A request that is understood. `Debug` does not show its input, which may hold a secret.
pub(crate) struct Routed {
    pub(crate) protocol: Protocol,
    pub(crate) service: &'static Service,
    pub(crate) operation: &'static Operation,
    pub(crate) scope: Scope,
    pub(crate) input: Document,
    /// The address of this machine at which the endpoint was reached, if it was.
    pub(crate) local: Option<String>,
}

impl fmt::Debug for Routed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routed")
            .field("service", &self.service.signing_name)
            .field("operation", &self.operation.name)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// A request that is not.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) protocol: Protocol,
    pub(crate) service: Option<&'static Service>,
    /// The operation's name, as far as the request tells it.
    pub(crate) operation: String,
    pub(crate) scope: Option<Scope>,
    pub(crate) refusal: Refusal,
    /// Whether it is something that AWS may know and the simulation does not.
    pub(crate) not_modelled: bool,
}

/// The credential scope of a Signature Version 4: who signed, for which region and service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) key_id: String,
    pub(crate) region: String,
    pub(crate) service: String,
}

impl Scope {
    /// `Credential=<key id>/<date>/<region>/<service>/aws4_request` of the header `Authorization` (AWS IAM user guide,
    /// "Elements of an AWS API request signature"). Signatures are not checked: the simulation knows no secrets.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
        let rest = text.strip_prefix("AWS4-HMAC-SHA256")?;
        let credential = rest
            .split(',')
            .find_map(|part| part.trim().strip_prefix("Credential="))?;
        let mut parts = credential.rsplitn(5, '/');
        let (terminator, service, region) = (parts.next()?, parts.next()?, parts.next()?);
        let (_date, key_id) = (parts.next()?, parts.next()?);
        (terminator == "aws4_request").then(|| Self {
            key_id: key_id.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
        })
    }

    /// The account that an access key id names by itself: one of 12 digits does.
    pub(crate) fn account(&self) -> Option<&str> {
        let digits = self.key_id.len() == 12 && self.key_id.bytes().all(|b| b.is_ascii_digit());
        digits.then_some(self.key_id.as_str())
    }
}

/// What the request's form tells, before it is known whether it is modelled.
struct Named {
    protocol: Protocol,
    service: Option<&'static Service>,
    operation: String,
    found: Option<&'static Operation>,
    /// Labels of the path.
    labels: Vec<(String, String)>,
    fields: Vec<(String, String)>,
}

fn header<'a>(request: &'a Request<Bytes>, name: &str) -> &'a str {
    request
        .headers()
        .get(name)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default()
}

fn by_json(request: &Request<Bytes>, target: &str) -> Named {
    let version = if header(request, "content-type").contains("json-1.0") {
        json::Version::V1_0
    } else {
        json::Version::V1_1
    };
    let (prefix, operation) = target.rsplit_once('.').unwrap_or(("", target));
    let service = SERVICES.iter().find(|s| s.target == Some(prefix)).copied();
    Named::rpc(Protocol::Json(version), service, operation)
}

fn by_cbor(path: &str) -> Option<Named> {
    let (service, operation) = path.strip_prefix("/service/")?.split_once("/operation/")?;
    // A service is named by its shape, with or without the namespace (Smithy RPC v2 CBOR protocol, "Requests").
    let service = service.rsplit('.').next().unwrap_or(service);
    let service = SERVICES.iter().find(|s| s.target == Some(service)).copied();
    Some(Named::rpc(
        Protocol::Cbor,
        service,
        operation.trim_end_matches('/'),
    ))
}

fn by_query(request: &Request<Bytes>, scope: Option<&Scope>) -> Option<Named> {
    let form = header(request, "content-type").starts_with("application/x-www-form-urlencoded");
    let fields = if form {
        query::fields(request.body())
    } else {
        query::fields(request.uri().query().unwrap_or_default().as_bytes())
    };
    let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    let action = field("Action")?;
    let version = field("Version").unwrap_or_default();
    let speaks = |s: &&&Service| {
        s.query
            .is_some_and(|known| version.is_empty() || known == version)
    };
    let service = match scope {
        Some(scope) => SERVICES.iter().find(|s| s.signing_name == scope.service),
        None => SERVICES
            .iter()
            .filter(speaks)
            .find(|s| s.operation(&action).is_some()),
    };
    let mut named = Named::rpc(Protocol::Query, service.copied(), &action);
    named.fields = fields;
    Some(named)
}

fn by_rest(request: &Request<Bytes>, scope: Option<&Scope>) -> Named {
    let (method, path) = (request.method(), request.uri().path());
    let service = scope.and_then(|scope| SERVICES.iter().find(|s| s.signing_name == scope.service));
    let service = service.copied();
    let found = service.into_iter().flat_map(|s| s.operations()).find_map(|o| {
        let (wanted, pattern) = o.route?;
        let labels = (method.as_str() == wanted).then(|| labels(pattern, path))??;
        Some((o, labels))
    });
    let operation = found
        .as_ref()
        .map_or_else(|| format!("{method} {path}"), |(o, _)| o.name.to_owned());
    let (found, labels) = found.map_or((None, Vec::new()), |(o, labels)| (Some(o), labels));
    Named {
        protocol: Protocol::RestXml,
        service,
        operation,
        found,
        labels,
        fields: query::fields(request.uri().query().unwrap_or_default().as_bytes()),
    }
}

/// The labels of a path that fits a pattern such as `/2013-04-01/change/{Id}`. A slash at the end does not matter.
fn labels(pattern: &str, path: &str) -> Option<Vec<(String, String)>> {
    let (mut wanted, mut given) = (
        pattern.trim_end_matches('/').split('/'),
        path.trim_end_matches('/').split('/'),
    );
    let mut labels = Vec::new();
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(labels),
            (Some(wanted), Some(given)) => {
                if let Some(name) = wanted.strip_prefix('{').and_then(|w| w.strip_suffix('}')) {
                    labels.push((name.to_owned(), decode(given)));
                } else if wanted != given {
                    return None;
                }
            }
            (Some(_), None) | (None, Some(_)) => return None,
        }
    }
}

/// A part of a path without its percent signs. A plus sign is one, unlike in a form.
fn decode(part: &str) -> String {
    let escaped = part.replace('+', "%2B");
    form_urlencoded::parse(escaped.as_bytes())
        .next()
        .map(|(name, _)| name.into_owned())
        .unwrap_or_default()
}

impl Named {
    fn rpc(protocol: Protocol, service: Option<&'static Service>, operation: &str) -> Self {
        Self {
            protocol,
            service,
            operation: operation.to_owned(),
            found: service.and_then(|s| s.operation(operation)),
            labels: Vec::new(),
            fields: Vec::new(),
        }
    }

    fn lost(self, scope: Option<Scope>, refusal: Refusal, not_modelled: bool) -> Box<Lost> {
        Box::new(Lost {
            protocol: self.protocol,
            service: self.service,
            operation: self.operation,
            scope,
            refusal,
            not_modelled,
        })
    }

    fn input(&self, request: &Request<Bytes>) -> Result<Document, Refusal> {
        let mut input = match self.protocol {
            Protocol::Json(_) => json::read(request.body())?,
            Protocol::Query => query::read(&self.fields)?,
            Protocol::Cbor => cbor::read(request.body())?,
            Protocol::RestXml => rest_xml::read(request.body())?,
        };
        if self.protocol == Protocol::RestXml {
            for (name, value) in self.labels.iter().chain(&self.fields) {
                input.put(name, value.as_str());
            }
        }
        Ok(input)
    }
}

/// Reads a request.
pub(crate) fn route(request: &Request<Bytes>) -> Result<Routed, Box<Lost>> {
    let scope = Scope::of(request.headers());
    let target = header(request, "x-amz-target");
    let named = if !target.is_empty() {
        by_json(request, target)
    } else if let Some(named) = by_cbor(request.uri().path()) {
        named
    } else if let Some(named) = by_query(request, scope.as_ref()) {
        named
    } else {
        by_rest(request, scope.as_ref())
    };
    let (Some(service), Some(operation)) = (named.service, named.found) else {
        let refusal = not_modelled(&named, scope.as_ref());
        return Err(named.lost(scope, refusal, true));
    };
    if named.protocol != Protocol::RestXml
        && request.method() != Method::POST
        && request.method() != Method::GET
    {
        let refusal = Refusal::new(405, "MethodNotAllowed", "an operation is called by POST");
        return Err(named.lost(scope, refusal, false));
    }
    let Some(scope) = scope else {
        let refusal = unsigned(named.protocol);
        return Err(named.lost(None, refusal, false));
    };
    match named.input(request) {
        Ok(input) => Ok(Routed {
            protocol: named.protocol,
            service,
            operation,
            scope,
            input,
            local: local(request),
        }),
        Err(refusal) => Err(named.lost(Some(scope), refusal, false)),
    }
}

/// An operation that AWS may have and the simulation has not. The status is that of "not implemented", which no SDK repeats.
fn not_modelled(named: &Named, scope: Option<&Scope>) -> Refusal {
    let service = match (named.service, scope) {
        (Some(service), _) => service.signing_name,
        (None, Some(scope)) => scope.service.as_str(),
        (None, None) => "an unknown service",
    };
    let known = match named.service {
        Some(service) => {
            let names: Vec<_> = service.operations().map(|o| o.name).collect();
            format!(
                "of {service_name} it models {}",
                names.join(", "),
                service_name = service.signing_name
            )
        }
        None => {
            let names: Vec<_> = SERVICES.iter().map(|s| s.signing_name).collect();
            format!("it models operations of {}", names.join(", "))
        }
    };
    let code = match named.protocol {
        Protocol::Query => "InvalidAction",
        Protocol::Json(_) | Protocol::RestXml | Protocol::Cbor => "UnknownOperationException",
    };
    let message = format!(
        "the simulated cloud does not model the operation {} of {service}; {known}. `rollout sim serve --upstream URL` forwards \
         what is not modelled to another endpoint",
        named.operation
    );
    Refusal::new(501, code, message)
}

/// Texts and codes of AWS, "Common Errors".
fn unsigned(protocol: Protocol) -> Refusal {
    let text = "Request is missing Authentication Token";
    match protocol {
        Protocol::Query | Protocol::RestXml => Refusal::new(403, "MissingAuthenticationToken", text),
        Protocol::Json(_) | Protocol::Cbor => Refusal::client("MissingAuthenticationTokenException", text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_read_from_the_signature() {
        let mut headers = HeaderMap::new();
        let text = "AWS4-HMAC-SHA256 Credential=111122223333/20260101/eu-west-1/ecs/aws4_request, \
            SignedHeaders=host;x-amz-date, Signature=00";
        headers.insert("authorization", text.parse().expect("printable"));
        let scope = Scope::of(&headers).expect("a scope");
        assert_eq!(scope.account(), Some("111122223333"));
        assert_eq!(
            (scope.region.as_str(), scope.service.as_str()),
            ("eu-west-1", "ecs")
        );
        for other in [
            "Bearer x",
            "AWS4-HMAC-SHA256 Credential=a/b/c",
            "AWS4-HMAC-SHA256 Credential=a/b/c/d/nope",
        ] {
            headers.insert("authorization", other.parse().expect("printable"));
            assert_eq!(Scope::of(&headers), None, "{other}");
        }
        for key_id in ["AKIAIOSFODNN7EXAMPLE", "11112222333", "11112222333x"] {
            let scope = Scope {
                key_id: key_id.to_owned(),
                ..scope.clone()
            };
            assert_eq!(scope.account(), None, "{key_id}");
        }
    }

    #[test]
    fn a_path_gives_its_labels() {
        let fits = |path| labels("/2013-04-01/hostedzone/{Id}/rrset/", path);
        let wanted = vec![("Id".to_owned(), "Z1+ 2".to_owned())];
        assert_eq!(fits("/2013-04-01/hostedzone/Z1+%202/rrset"), Some(wanted.clone()));
        assert_eq!(fits("/2013-04-01/hostedzone/Z1+%202/rrset/"), Some(wanted));
        for other in [
            "/2013-04-01/hostedzone/Z1",
            "/2013-04-01/hostedzone/Z1/rrset/x",
            "/",
        ] {
            assert_eq!(fits(other), None, "{other}");
        }
    }
}
