//! From a [`Document`] to what an operation takes, by `serde`.
//!
//! Forms and XML carry everything as text, so that a text is read as the number or truth that is asked for, a map as a list
//! of its values (`<Changes><Change/></Changes>`), and an empty text as an empty list or map (`<Changes/>`). JSON and CBOR
//! never need that.

use core::fmt;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use rollout_core::time::Timestamp;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

use super::document::Document;

/// Why an input cannot be read; one fragment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreadable(pub(crate) String);

impl serde::de::Error for Unreadable {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self(text.to_string())
    }
}

/// Reads an input.
pub(crate) fn read<T: DeserializeOwned>(document: &Document) -> Result<T, Unreadable> {
    T::deserialize(Reader(document))
}

#[derive(Clone, Copy)]
struct Reader<'a>(&'a Document);

impl<'de> IntoDeserializer<'de, Unreadable> for Reader<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

fn seconds(moment: Timestamp) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds of this age fit into 53 bits"
    )]
    let millis = moment.as_millis() as f64;
    millis / 1_000.0
}

/// Integers, which a form or XML gives as text.
macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
            match self.0 {
                Document::Text(text) => match text.parse::<i64>() {
                    Ok(number) => visitor.visit_i64(number),
                    Err(_) => Err(Unreadable::custom(format_args!("`{text}` is not a number"))),
                },
                _ => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Unreadable;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.0 {
            Document::Null => visitor.visit_unit(),
            Document::Bool(v) => visitor.visit_bool(*v),
            Document::Int(v) => visitor.visit_i64(*v),
            Document::Float(v) => visitor.visit_f64(*v),
            Document::Text(v) => visitor.visit_str(v),
            Document::Blob(v) => visitor.visit_bytes(v),
            Document::Time(v) => visitor.visit_f64(seconds(*v)),
            Document::List(list) => visitor.visit_seq(SeqDeserializer::new(list.items.iter().map(Reader))),
            Document::Map(members) => {
                // A member that is nothing is as good as absent.
                let members = members.iter().filter(|(_, value)| *value != Document::Null);
                let members = members.map(|(name, value)| (name.as_str(), Reader(value)));
                visitor.visit_map(MapDeserializer::new(members))
            }
        }
    }

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.0 {
            Document::Text(text) => match text.to_ascii_lowercase().as_str() {
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                _ => Err(Unreadable::custom(format_args!(
                    "`{text}` is neither true nor false"
                ))),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.0 {
            Document::Text(text) => match text.parse() {
                Ok(number) => visitor.visit_f64(number),
                Err(_) => Err(Unreadable::custom(format_args!("`{text}` is not a number"))),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.0 {
            Document::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.0 {
            Document::Map(members) => visitor.visit_seq(SeqDeserializer::new(
                members.iter().map(|(_, value)| Reader(value)),
            )),
            Document::Text(text) if text.trim().is_empty() => {
                visitor.visit_seq(SeqDeserializer::new(core::iter::empty::<Reader<'_>>()))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.0 {
            Document::Text(text) if text.trim().is_empty() => {
                let none = core::iter::empty::<(&str, Reader<'_>)>();
                visitor.visit_map(MapDeserializer::new(none))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        self.deserialize_map(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        match self.0 {
            Document::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            _ => Err(Unreadable::custom("a word is expected")),
        }
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// A moment in an input: seconds since the epoch as a number, or a date as ISO 8601 writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) Timestamp);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;

        impl Visitor<'_> for Words {
            type Value = Moment;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a timestamp")
            }

            fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<Moment, E> {
                let seconds = u64::try_from(seconds).unwrap_or(0);
                Ok(Moment(Timestamp::from_millis(seconds.saturating_mul(1_000))))
            }

            fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<Moment, E> {
                self.visit_date(DateTime::from_secs_f64(seconds))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Moment, E> {
                let date = DateTime::from_str(text, Format::DateTimeWithOffset);
                let date = date.or_else(|_| DateTime::from_str(text, Format::EpochSeconds));
                self.visit_date(date.map_err(|_| E::custom(format_args!("`{text}` is not a timestamp")))?)
            }
        }

        impl Words {
            fn visit_date<E: serde::de::Error>(self, date: DateTime) -> Result<Moment, E> {
                let millis = date.to_millis().map_err(E::custom)?;
                Ok(Moment(Timestamp::from_millis(u64::try_from(millis).unwrap_or(0))))
            }
        }

        deserializer.deserialize_any(Words)
    }
}

/// A moment as XML and HTTP write it.
pub(crate) fn date(moment: Timestamp, format: Format) -> String {
    let millis = i64::try_from(moment.as_millis()).unwrap_or(i64::MAX);
    // A moment past the year 9999 is printed as its number.
    DateTime::from_millis(millis)
        .fmt(format)
        .unwrap_or_else(|_| moment.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::document::map;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Wanted {
        count: u32,
        force: bool,
        #[serde(default)]
        names: Vec<String>,
        since: Option<Moment>,
        weight: Option<f64>,
        absent: Option<String>,
    }

    fn text(text: &str) -> Document {
        text.into()
    }

    #[test]
    fn texts_of_a_form_are_read_as_what_is_asked_for() {
        let names = Document::Map(vec![
            ("Name".to_owned(), text("a")),
            ("Name".to_owned(), text("b")),
        ]);
        let form = map! {
            "count": "3", "force": "TRUE", "names": names, "since": "1970-01-01T00:00:01.500Z", "weight": "0.5",
            "other": "not looked at",
        };
        let wanted = Wanted {
            count: 3,
            force: true,
            names: vec!["a".to_owned(), "b".to_owned()],
            since: Some(Moment(Timestamp::from_millis(1_500))),
            weight: Some(0.5),
            absent: None,
        };
        assert_eq!(read::<Wanted>(&form), Ok(wanted));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (form, said) in [
            (map! { "count": "x", "force": true }, "`x` is not a number"),
            (
                map! { "count": 3, "force": "yes" },
                "`yes` is neither true nor false",
            ),
            (map! { "count": -1_i64, "force": true }, "invalid value"),
            (map! { "count": 1, "force": true, "names": "a" }, "invalid type"),
            (map! { "force": true }, "missing field `count`"),
        ] {
            let refused = read::<Wanted>(&form).expect_err("it does not fit");
            assert!(refused.0.starts_with(said), "{refused}");
        }
    }

    #[test]
    fn a_moment_is_a_number_or_a_date() {
        for (given, millis) in [
            (Document::Int(2), 2_000),
            (Document::Float(2.25), 2_250),
            (Document::Time(Timestamp::from_millis(2_250)), 2_250),
            (text("1970-01-01T01:00:02+01:00"), 2_000),
            (text("2.5"), 2_500),
        ] {
            let read: Moment = read(&given).expect("a moment");
            assert_eq!(read.0.as_millis(), millis, "{given:?}");
        }
        assert!(read::<Moment>(&text("yesterday")).is_err());
    }
}
