//! restXml (Smithy, "AWS restXml protocol"), as Route 53 speaks it: method and path name the operation.

use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event};

use super::Naming;
use super::xml::Writer;
use crate::endpoint::document::Document;
use crate::endpoint::input::Unreadable;

/// How deep a body may nest; no AWS input comes near.
const DEEPEST: usize = 32;

/// An element that is open.
#[derive(Default)]
struct Element {
    name: String,
    members: Vec<(String, Document)>,
    text: String,
}

/// The members of the body's root element; attributes carry nothing but namespaces.
pub(crate) fn read(body: &[u8]) -> Result<Document, Unreadable> {
    let text = core::str::from_utf8(body).map_err(|e| Unreadable(e.to_string()))?;
    if text.trim().is_empty() {
        return Ok(Document::map());
    }
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let say = |open: &mut Vec<Element>, part: &str| {
        if let Some(element) = open.last_mut() {
            element.text.push_str(part);
        }
    };
    loop {
        let event = reader.read_event().map_err(|e| Unreadable(e.to_string()))?;
        let name = |start: &BytesStart<'_>| start.local_name().as_ref().to_owned();
        let closed = match event {
            Event::Start(start) => {
                if open.len() == DEEPEST {
                    return Err(Unreadable("the body nests too deep".to_owned()));
                }
                open.push(Element {
                    name: name(&start),
                    ..Element::default()
                });
                continue;
            }
            Event::Empty(start) => Some((name(&start), Document::Text(String::new()))),
            Event::End(_) => open.pop().map(|element| {
                let document = if element.members.is_empty() {
                    Document::Text(element.text)
                } else {
                    Document::Map(element.members)
                };
                (element.name, document)
            }),
            Event::Text(part) => {
                say(&mut open, &part);
                continue;
            }
            Event::CData(part) => {
                say(&mut open, &part);
                continue;
            }
            Event::GeneralRef(name) => {
                let whole = format!("&{};", &*name);
                say(
                    &mut open,
                    &unescape(&whole).map_err(|e| Unreadable(e.to_string()))?,
                );
                continue;
            }
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => continue,
            Event::DocType(_) => return Err(Unreadable("the body declares a document type".to_owned())),
            Event::Eof => return Err(Unreadable("the body ends within an element".to_owned())),
        };
        let Some((name, document)) = closed else { continue };
        match open.last_mut() {
            Some(parent) => parent.members.push((name, document)),
            None => {
                return Ok(match document {
                    map @ Document::Map(_) => map,
                    _ => Document::map(),
                });
            }
        }
    }
}

pub(crate) fn answer(naming: Naming<'_>, output: &Document) -> Vec<u8> {
    let mut writer = Writer::with_declaration();
    writer.open_in(&format!("{}Response", naming.operation), naming.namespace);
    writer.members(output);
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::document::map;

    #[test]
    fn a_body_is_a_tree() {
        let body = br#"<?xml version="1.0" encoding="UTF-8"?>
<ChangeResourceRecordSetsRequest xmlns="https://route53.amazonaws.com/doc/2013-04-01/">
  <ChangeBatch><Comment>a &amp; &#x62;<![CDATA[<c>]]></Comment>
    <Changes><Change><Action>CREATE</Action></Change><Change><Action>DELETE</Action></Change></Changes>
    <None/></ChangeBatch>
</ChangeResourceRecordSetsRequest>"#;
        let change = |action: &str| ("Change".to_owned(), map! { "Action": action });
        let wanted = map! { "ChangeBatch": map! {
            "Comment": "a & b<c>",
            "Changes": Document::Map(vec![change("CREATE"), change("DELETE")]),
            "None": "",
        } };
        assert_eq!(read(body), Ok(wanted));
        assert_eq!(read(b""), Ok(Document::map()));
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        for body in [
            "<a>",
            "<a></b>",
            "<a>&nope;</a>",
            "text",
            "<!DOCTYPE a><a/>",
            &"<a>".repeat(40),
        ] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn an_answer_is_named_after_its_operation() {
        let naming = Naming {
            operation: "GetChange",
            namespace: "https://x/",
            request_id: "r",
        };
        let sets = Document::items("ResourceRecord", [map! { "Value": "1.2.3.4" }]);
        let text = String::from_utf8(answer(naming, &map! { "ResourceRecords": sets })).expect("text");
        let wanted = "<?xml version=\"1.0\"?>\n<GetChangeResponse xmlns=\"https://x/\"><ResourceRecords>\
            <ResourceRecord><Value>1.2.3.4</Value></ResourceRecord></ResourceRecords></GetChangeResponse>";
        assert_eq!(text, wanted);
    }
}
