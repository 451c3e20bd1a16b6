//! The answer of an authoritative DNS server, and a value as Route 53 writes it.

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;

use super::text::{plain_name, unescape};
use super::wire::{Question, Value, read};

/// No panic, whatever a server sends or a zone lists.
pub fn run(bytes: &[u8]) {
    if let Ok(message) = Message::from_vec(bytes) {
        for kind in ["A", "AAAA", "CNAME", "TXT", "MX"] {
            let question = Question::new("www.example.com", kind).expect("a name and a type");
            let reply = read(&question, &message);
            for value in &reply.values {
                let _ = (value.to_string(), value.is_exact());
            }
        }
    }
    if let Ok(text) = core::str::from_utf8(bytes) {
        let plain = plain_name(text);
        assert!(plain.len() <= text.len() * 3, "a name grows");
        assert!(unescape(text).len() <= text.len());
        for kind in [RecordType::A, RecordType::CNAME, RecordType::TXT, RecordType::MX] {
            let value = Value::written(kind, text);
            assert_eq!(value, Value::written(kind, text));
            let _ = value.to_string();
        }
        let _ = Question::new(text, "A").map(|question| question.name());
    }
}
