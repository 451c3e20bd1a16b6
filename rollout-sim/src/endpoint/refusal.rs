//! An answer that says no.

use super::document::Document;
use super::input::Unreadable;

/// What a service says no with. The protocol decides how it looks on the wire.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The code, as the API reference of the operation or the page "Common Errors" lists it.
    pub(crate) code: String,
    /// The name of the error's type, where JSON and CBOR tell that instead of the code.
    pub(crate) shape: Option<&'static str>,
    /// The sentence.
    pub(crate) message: String,
    /// Further members of the error.
    pub(crate) members: Document,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            shape: None,
            message: message.into(),
            members: Document::map(),
        }
    }

    /// The caller's fault, with the status that most of them have.
    pub(crate) fn client(code: &str, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    /// The name of the error's type, where it differs from the code.
    #[must_use]
    pub(crate) const fn shape(mut self, shape: &'static str) -> Self {
        self.shape = Some(shape);
        self
    }

    /// Adds a member.
    #[must_use]
    pub(crate) fn member(mut self, name: &str, value: impl Into<Document>) -> Self {
        self.members.put(name, value);
        self
    }

    /// Whose fault it is, as XML says it.
    pub(crate) const fn side(&self) -> &'static str {
        if self.status < 500 { "Sender" } else { "Receiver" }
    }
}

impl From<Unreadable> for Refusal {
    /// AWS says this of a body that does not fit the operation's input. It publishes no list of sentences; these are ours.
    fn from(error: Unreadable) -> Self {
        Self::client("SerializationException", error.0)
    }
}
