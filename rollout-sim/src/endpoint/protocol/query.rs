//! The query protocol (Smithy, "AWS query protocol"): a form in, of which `Action` names the operation, and XML out.

use std::collections::BTreeMap;

use super::Naming;
use super::xml::Writer;
use crate::endpoint::document::{Document, MEMBER};
use crate::endpoint::input::Unreadable;

/// The form's fields, of which `Action` and `Version` are not the operation's.
pub(crate) fn fields(body: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(body)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

/// How deep a form may nest; no AWS input comes near.
const DEEPEST: usize = 32;

#[derive(Default)]
struct Node {
    value: Option<String>,
    children: BTreeMap<String, Self>,
}

/// `Listeners.member.1.Port=80` to a tree.
pub(crate) fn read(fields: &[(String, String)]) -> Result<Document, Unreadable> {
    let mut root = Node::default();
    for (name, value) in fields {
        if name == "Action" || name == "Version" {
            continue;
        }
        if name.split('.').count() > DEEPEST {
            return Err(Unreadable(format!("`{name}` nests too deep")));
        }
        let place = name.split('.').fold(&mut root, |node, part| {
            node.children.entry(part.to_owned()).or_default()
        });
        place.value = Some(value.clone());
    }
    if root.children.is_empty() {
        return Ok(Document::map());
    }
    Ok(document(root))
}

fn document(mut node: Node) -> Document {
    if node.children.is_empty() {
        return node.value.map_or(Document::Null, Document::Text);
    }
    if node.children.len() == 1
        && let Some(members) = node.children.remove(MEMBER)
    {
        return match document(members) {
            list @ Document::List(_) => list,
            other => Document::list([other]),
        };
    }
    let numbers: Option<Vec<u32>> = node.children.keys().map(|key| key.parse().ok()).collect();
    if let Some(numbers) = numbers {
        // By number: as text, 10 comes before 2.
        let sorted: BTreeMap<u32, Node> = numbers.into_iter().zip(node.children.into_values()).collect();
        return Document::list(sorted.into_values().map(document));
    }
    let members = node.children.into_iter();
    Document::Map(members.map(|(name, child)| (name, document(child))).collect())
}

pub(crate) fn answer(naming: Naming<'_>, output: &Document) -> Vec<u8> {
    let operation = naming.operation;
    let mut writer = Writer::new();
    writer.open_in(&format!("{operation}Response"), naming.namespace);
    writer.open(&format!("{operation}Result"));
    writer.members(output);
    writer.close();
    writer.open("ResponseMetadata");
    writer.text("RequestId", naming.request_id);
    writer.close();
    writer.finish()
}

#[cfg(test)]
mod tests {
    use rollout_core::time::Timestamp;

    use super::*;
    use crate::endpoint::document::map;

    #[test]
    fn a_form_is_a_tree() {
        let body =
            b"Action=DescribeX&Version=2015-12-01&Names.member.1=a&Names.member.2=b%20c&Names.member.10=z\
            &Filter.Values.1=v&Attributes.member.1.Key=k&Attributes.member.1.Value=&Size=10&Empty=";
        let read = read(&fields(body)).expect("a form");
        let wanted = [
            ("Names", Document::list(["a", "b c", "z"])),
            ("Filter", map! { "Values": Document::list(["v"]) }),
            ("Attributes", Document::list([map! { "Key": "k", "Value": "" }])),
            ("Size", "10".into()),
            ("Empty", "".into()),
        ];
        for (name, value) in wanted {
            assert_eq!(read.member(name), Some(&value), "{name}");
        }
        assert_eq!(read.member("Action"), None);
    }

    #[test]
    fn an_answer_is_wrapped_and_escaped() {
        let naming = Naming {
            operation: "DescribeX",
            namespace: "http://x/",
            request_id: "r",
        };
        let output = map! {
            "Items": Document::list([map! { "Name": "a<b&c", "At": Timestamp::from_millis(1_500) }]),
            "None": None::<bool>, "Empty": Document::list(Vec::<Document>::new()), "Yes": true, "Rate": 0.5,
        };
        let text = String::from_utf8(answer(naming, &output)).expect("text");
        let wanted = "<DescribeXResponse xmlns=\"http://x/\"><DescribeXResult>\
            <Items><member><Name>a&lt;b&amp;c</Name><At>1970-01-01T00:00:01.5Z</At></member></Items>\
            <Empty></Empty><Yes>true</Yes><Rate>0.5</Rate></DescribeXResult>\
            <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></DescribeXResponse>";
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_form_without_end_is_refused() {
        let name = "a.".repeat(40);
        assert!(read(&[(name, String::new())]).is_err());
    }
}
