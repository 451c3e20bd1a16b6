//! Smithy RPC v2 with CBOR (Smithy, "Smithy RPC v2 CBOR protocol"): `POST /service/<service>/operation/<operation>`.

use core::convert::Infallible;

use minicbor::data::{IanaTag, Type};
use minicbor::decode::Error;
use minicbor::{Decoder, Encoder};
use rollout_core::time::Timestamp;

use crate::endpoint::document::Document;
use crate::endpoint::input::Unreadable;
use crate::endpoint::refusal::Refusal;

/// How deep a body may nest; no AWS input comes near.
const DEEPEST: usize = 32;

pub(crate) fn read(body: &[u8]) -> Result<Document, Unreadable> {
    if body.is_empty() {
        return Ok(Document::map());
    }
    let mut decoder = Decoder::new(body);
    match value(&mut decoder, 0).map_err(|e| Unreadable(e.to_string()))? {
        map @ Document::Map(_) if decoder.position() == body.len() => Ok(map),
        _ => Err(Unreadable("the body is no CBOR map".to_owned())),
    }
}

fn value(d: &mut Decoder<'_>, depth: usize) -> Result<Document, Error> {
    if depth == DEEPEST {
        return Err(Error::message("the body nests too deep"));
    }
    Ok(match d.datatype()? {
        Type::Bool => Document::Bool(d.bool()?),
        Type::Null => {
            d.null()?;
            Document::Null
        }
        Type::Undefined => {
            d.undefined()?;
            Document::Null
        }
        Type::F16 => Document::Float(d.f16()?.into()),
        Type::F32 => Document::Float(d.f32()?.into()),
        Type::F64 => Document::Float(d.f64()?),
        Type::String => Document::Text(d.str()?.to_owned()),
        Type::StringIndef => Document::Text(d.str_iter()?.collect::<Result<String, _>>()?),
        Type::Bytes => Document::Blob(d.bytes()?.to_vec()),
        Type::BytesIndef => {
            let parts = d.bytes_iter()?.collect::<Result<Vec<_>, _>>()?;
            Document::Blob(parts.concat())
        }
        Type::Tag => tagged(d, depth)?,
        Type::Array | Type::ArrayIndef => {
            let (mut left, mut items) = (d.array()?, Vec::new());
            while more(d, &mut left)? {
                items.push(value(d, depth + 1)?);
            }
            Document::list(items)
        }
        Type::Map | Type::MapIndef => {
            let (mut left, mut members) = (d.map()?, Vec::new());
            while more(d, &mut left)? {
                members.push((d.str()?.to_owned(), value(d, depth + 1)?));
            }
            Document::Map(members)
        }
        _ => Document::Int(d.i64()?),
    })
}

/// Whether a list or map goes on; one without a length ends with a break.
fn more(d: &mut Decoder<'_>, left: &mut Option<u64>) -> Result<bool, Error> {
    match left {
        Some(0) => Ok(false),
        Some(n) => {
            *n -= 1;
            Ok(true)
        }
        None if d.datatype()? == Type::Break => {
            d.set_position(d.position() + 1);
            Ok(false)
        }
        None => Ok(true),
    }
}

fn tagged(d: &mut Decoder<'_>, depth: usize) -> Result<Document, Error> {
    let tag = d.tag()?;
    let value = value(d, depth + 1)?;
    if tag != IanaTag::Timestamp.tag() {
        return Ok(value);
    }
    let millis = match value {
        Document::Int(seconds) => seconds.saturating_mul(1_000),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float becomes an integer by saturating"
        )]
        Document::Float(seconds) => (seconds * 1_000.0).round() as i64,
        _ => return Err(Error::message("a timestamp is a number")),
    };
    Ok(Document::Time(Timestamp::from_millis(
        u64::try_from(millis).unwrap_or(0),
    )))
}

pub(crate) fn write(output: &Document) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    match put(&mut encoder, output) {
        Ok(()) => encoder.into_writer(),
        // A vector takes everything, and no length is left open.
        Err(error) => unreachable!("CBOR into memory: {error}"),
    }
}

pub(crate) fn refusal(refusal: &Refusal) -> Vec<u8> {
    write(&super::typed(refusal))
}

fn put(e: &mut Encoder<Vec<u8>>, document: &Document) -> Result<(), minicbor::encode::Error<Infallible>> {
    match document {
        Document::Null => e.null()?,
        Document::Bool(v) => e.bool(*v)?,
        Document::Int(v) => e.i64(*v)?,
        Document::Float(v) => e.f64(*v)?,
        Document::Text(v) => e.str(v)?,
        Document::Blob(v) => e.bytes(v)?,
        Document::Time(v) => {
            #[expect(
                clippy::cast_precision_loss,
                reason = "milliseconds of this age fit into 53 bits"
            )]
            let seconds = v.as_millis() as f64 / 1_000.0;
            e.tag(IanaTag::Timestamp)?.f64(seconds)?
        }
        Document::List(list) => {
            e.array(list.items.len() as u64)?;
            for item in &list.items {
                put(e, item)?;
            }
            e
        }
        Document::Map(members) => {
            e.map(members.len() as u64)?;
            for (name, value) in members {
                put(e.str(name)?, value)?;
            }
            e
        }
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::document::map;

    #[test]
    fn what_is_written_is_read_back() {
        let written = map! {
            "Text": "a", "Yes": true, "Many": -7_i64, "Rate": 0.5, "At": Timestamp::from_millis(1_767_225_600_123),
            "Blob": Document::Blob(vec![1, 2]), "Items": Document::list([map! { "Name": "b" }]),
        };
        assert_eq!(read(&write(&written)), Ok(written));
        assert_eq!(read(b""), Ok(Document::map()));
    }

    /// By hand from RFC 8949: lengths left open, half floats, text in pieces, a date in whole seconds.
    #[test]
    fn all_forms_of_the_same_are_read() {
        let mut body = vec![0xbf];
        body.extend(b"\x61a\x9f\x01\x20\xff"); // "a": [_ 1, -1]
        body.extend(b"\x61b\xf9\x3e\x00"); // "b": 1.5 as a half float
        body.extend(b"\x61c\x7f\x61x\x61y\xff"); // "c": (_ "x", "y")
        body.extend(b"\x61d\xc1\x02"); // "d": 1(2)
        body.extend(b"\x61e\xf6\xff"); // "e": null
        let read = read(&body).expect("a map");
        for (name, wanted) in [
            ("a", Document::list([1_i64, -1])),
            ("b", Document::Float(1.5)),
            ("c", "xy".into()),
            ("d", Document::Time(Timestamp::from_millis(2_000))),
            ("e", Document::Null),
        ] {
            assert_eq!(read.member(name), Some(&wanted), "{name}");
        }
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let deep = [0x81_u8; 40];
        for body in [&b"\xa1\x61a"[..], b"\x80", b"\xa0\xa0", b"\xff", &deep] {
            assert!(read(body).is_err(), "{body:?}");
        }
    }
}
