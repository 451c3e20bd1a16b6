//! XML out.

use aws_smithy_types::base64;
use aws_smithy_types::date_time::Format;
use quick_xml::escape::escape;

use super::Naming;
use crate::endpoint::document::Document;
use crate::endpoint::input::date;
use crate::endpoint::refusal::Refusal;

/// Writes elements. Names are the caller's own and well formed; texts are escaped.
pub(super) struct Writer {
    text: String,
    open: Vec<String>,
}

impl Writer {
    pub(super) const fn new() -> Self {
        Self {
            text: String::new(),
            open: Vec::new(),
        }
    }

    pub(super) fn with_declaration() -> Self {
        let mut writer = Self::new();
        writer.text.push_str("<?xml version=\"1.0\"?>\n");
        writer
    }

    pub(super) fn open(&mut self, name: &str) {
        self.text.push('<');
        self.text.push_str(name);
        self.text.push('>');
        self.open.push(name.to_owned());
    }

    pub(super) fn open_in(&mut self, name: &str, namespace: &str) {
        self.text
            .push_str(&format!("<{name} xmlns=\"{}\">", escape(namespace)));
        self.open.push(name.to_owned());
    }

    pub(super) fn close(&mut self) {
        if let Some(name) = self.open.pop() {
            self.text.push_str("</");
            self.text.push_str(&name);
            self.text.push('>');
        }
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.open(name);
        self.text.push_str(&escape(text));
        self.close();
    }

    /// The members of a map, each as an element.
    pub(super) fn members(&mut self, document: &Document) {
        let Document::Map(members) = document else { return };
        for (name, value) in members {
            self.element(name, value);
        }
    }

    fn element(&mut self, name: &str, value: &Document) {
        match value {
            Document::Null => {}
            Document::Bool(v) => self.text(name, if *v { "true" } else { "false" }),
            Document::Int(v) => self.text(name, &v.to_string()),
            Document::Float(v) => self.text(name, &format!("{v:?}")),
            Document::Text(v) => self.text(name, v),
            Document::Blob(v) => self.text(name, &base64::encode(v)),
            Document::Time(v) => self.text(name, &date(*v, Format::DateTime)),
            Document::List(list) => {
                self.open(name);
                for item in &list.items {
                    self.element(list.item, item);
                }
                self.close();
            }
            Document::Map(_) => {
                self.open(name);
                self.members(value);
                self.close();
            }
        }
    }

    /// Closes what is open.
    pub(super) fn finish(mut self) -> Vec<u8> {
        while !self.open.is_empty() {
            self.close();
        }
        self.text.into_bytes()
    }
}

/// `ErrorResponse`, the same for the query protocol and for Route 53.
pub(super) fn refusal(naming: Naming<'_>, refusal: &Refusal) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.open_in("ErrorResponse", naming.namespace);
    writer.open("Error");
    writer.text("Type", refusal.side());
    writer.text("Code", &refusal.code);
    writer.text("Message", &refusal.message);
    writer.members(&refusal.members);
    writer.close();
    writer.text("RequestId", naming.request_id);
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_whose_fault_it_is() {
        let naming = Naming {
            operation: "X",
            namespace: "http://x/",
            request_id: "r-1",
        };
        for (status, side) in [(400, "Sender"), (503, "Receiver")] {
            let refused = Refusal::new(status, "Throttling", "Rate exceeded");
            let text = String::from_utf8(refusal(naming, &refused)).expect("text");
            let wanted = format!(
                "<ErrorResponse xmlns=\"http://x/\"><Error><Type>{side}</Type><Code>Throttling</Code>\
                 <Message>Rate exceeded</Message></Error><RequestId>r-1</RequestId></ErrorResponse>"
            );
            assert_eq!(text, wanted);
        }
    }
}
