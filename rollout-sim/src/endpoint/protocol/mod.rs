//! The wire protocols: bytes to a [`Document`], and a document or a refusal to bytes.

pub(crate) mod cbor;
pub(crate) mod json;
pub(crate) mod query;
pub(crate) mod rest_xml;
mod xml;

use super::document::Document;
use super::refusal::Refusal;

/// How a request is written, and so its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// awsJson1.0 and 1.1: they differ in the media type alone.
    Json(json::Version),
    /// The query protocol: forms in, XML out.
    Query,
    /// restXml.
    RestXml,
    /// Smithy RPC v2 with CBOR.
    Cbor,
}

/// What a protocol must know of an operation to write its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Naming<'a> {
    pub(crate) operation: &'a str,
    /// The XML namespace of the service.
    pub(crate) namespace: &'a str,
    pub(crate) request_id: &'a str,
}

impl Protocol {
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Json(version) => version.media_type(),
            Self::Query | Self::RestXml => "text/xml",
            Self::Cbor => "application/cbor",
        }
    }

    /// The body of an answer.
    pub(crate) fn answer(self, naming: Naming<'_>, output: &Document) -> Vec<u8> {
        match self {
            Self::Json(_) => json::write(output),
            Self::Query => query::answer(naming, output),
            Self::RestXml => rest_xml::answer(naming, output),
            Self::Cbor => cbor::write(output),
        }
    }

    /// The body of a refusal.
    pub(crate) fn refusal(self, naming: Naming<'_>, refusal: &Refusal) -> Vec<u8> {
        match self {
            Self::Json(_) => json::refusal(refusal),
            Self::Query | Self::RestXml => xml::refusal(naming, refusal),
            Self::Cbor => cbor::refusal(refusal),
        }
    }
}

/// `__type` and `message`, as JSON and CBOR have them.
fn typed(refusal: &Refusal) -> Document {
    let mut body = Document::map();
    body.put("__type", refusal.shape.unwrap_or(&refusal.code));
    body.put("message", refusal.message.as_str());
    if let Document::Map(members) = &refusal.members {
        for (name, value) in members {
            body.put(name, value.clone());
        }
    }
    body
}
