//! A key of a state: the same for two states that can do the same from now on.
//!
//! Everything that `serde` shows of a value goes into the key, but for two things. A moment counts by its distance from now,
//! and what lies further back than the horizon is one and the same past; so a state met a minute later is the same state.
//! And fields that only explain, such as texts and evidence, are left out: no machine decides by them.

use core::fmt;

use rollout_core::time::Timestamp;
use serde::ser::{self, Serialize};

/// Fields of the machines that only explain or only repeat what the model never changes.
pub const EXPLAINING: &[&str] = &[
    "text",
    "evidence",
    "detail",
    "context",
    "glimpse",
    "proof",
    "policy",
    "plan",
    "seen",
    "steps",
    "captured_at",
    "last",
];

/// What makes the key of a state.
#[derive(Clone, Copy, Debug)]
pub struct Lens {
    /// Now.
    pub now: Timestamp,
    /// What is further back, in milliseconds, is one and the same past.
    pub horizon: u64,
    /// Fields that are left out.
    pub without: [&'static [&'static str]; 2],
}

impl Lens {
    /// The key.
    ///
    /// # Panics
    /// When the value cannot be serialised, which plain data always can.
    #[must_use]
    pub fn key<T: Serialize>(&self, value: &T) -> u128 {
        let mut canon = Canon {
            lens: *self,
            a: 0x9E37_79B9_7F4A_7C15,
            b: 0xD1B5_4A32_D192_ED03,
            moment: false,
        };
        value.serialize(&mut canon).expect("plain data");
        (u128::from(canon.a) << 64) | u128::from(canon.b)
    }
}

/// The serialiser: two independent 64-bit hashes of the stream.
struct Canon {
    lens: Lens,
    a: u64,
    b: u64,
    /// Whether the next number is a moment.
    moment: bool,
}

fn fold(x: u64, by: u64) -> u64 {
    let wide = u128::from(x) * u128::from(by);
    (wide >> 64) as u64 ^ wide as u64
}

impl Canon {
    fn word(&mut self, word: u64) {
        self.a = fold(self.a ^ word, 0xA076_1D64_78BD_642F).wrapping_add(0x2545_F491_4F6C_DD1D);
        self.b =
            fold(self.b ^ word.rotate_left(29), 0xE703_7ED1_A0B4_28DB).wrapping_add(0x8EBC_6AF0_9C88_C6E3);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    /// A moment as its distance from now; the beginning and the end of time stand for themselves.
    fn moment(&mut self, at: u64) {
        let now = self.lens.now.as_millis();
        let distance = match at {
            0 => u64::MAX,
            u64::MAX => u64::MAX - 1,
            at if at >= now => (at - now) << 1,
            at => ((now - at).min(self.lens.horizon) << 1) | 1,
        };
        self.word(distance);
    }
}

/// Plain data never fails.
#[derive(Debug)]
pub struct Unfit(String);

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unfit {}

impl ser::Error for Unfit {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self(text.to_string())
    }
}

macro_rules! words {
    ($($name:ident: $type:ty),+ $(,)?) => {$(
        fn $name(self, v: $type) -> Result<(), Unfit> {
            self.word(v as u64);
            Ok(())
        }
    )+};
}

impl ser::Serializer for &mut Canon {
    type Ok = ();
    type Error = Unfit;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    words!(
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_char: char,
    );

    fn serialize_u64(self, v: u64) -> Result<(), Unfit> {
        if core::mem::take(&mut self.moment) {
            self.moment(v);
        } else {
            self.word(v);
        }
        Ok(())
    }

    fn serialize_u128(self, v: u128) -> Result<(), Unfit> {
        self.word(v as u64);
        self.word((v >> 64) as u64);
        Ok(())
    }

    fn serialize_f32(self, v: f32) -> Result<(), Unfit> {
        self.word(u64::from(v.to_bits()));
        Ok(())
    }

    fn serialize_f64(self, v: f64) -> Result<(), Unfit> {
        self.word(v.to_bits());
        Ok(())
    }

    fn serialize_str(self, v: &str) -> Result<(), Unfit> {
        self.bytes(v.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<(), Unfit> {
        self.bytes(v);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Unfit> {
        self.word(0);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unfit> {
        self.word(1);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unfit> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unfit> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<(), Unfit> {
        self.word(u64::from(index));
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unfit> {
        self.moment = name == "Timestamp";
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unfit> {
        self.word(u64::from(index));
        value.serialize(self)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self, Unfit> {
        self.word(len.unwrap_or(0) as u64);
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Unfit> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Unfit> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Unfit> {
        self.word(u64::from(index));
        Ok(self)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self, Unfit> {
        self.word(len.unwrap_or(0) as u64);
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Self, Unfit> {
        self.word(len as u64);
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        len: usize,
    ) -> Result<Self, Unfit> {
        self.word(u64::from(index) << 8 | len as u64);
        Ok(self)
    }
}

macro_rules! elements {
    ($($trait:ident: $method:ident),+ $(,)?) => {$(
        impl ser::$trait for &mut Canon {
            type Ok = ();
            type Error = Unfit;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
                value.serialize(&mut **self)
            }
            fn end(self) -> Result<(), Unfit> {
                Ok(())
            }
        }
    )+};
}

elements!(
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field,
);

impl ser::SerializeMap for &mut Canon {
    type Ok = ();
    type Error = Unfit;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unfit> {
        key.serialize(&mut **self)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        value.serialize(&mut **self)
    }
    fn end(self) -> Result<(), Unfit> {
        Ok(())
    }
}

macro_rules! fields {
    ($($trait:ident),+ $(,)?) => {$(
        impl ser::$trait for &mut Canon {
            type Ok = ();
            type Error = Unfit;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Unfit> {
                if self.lens.without.iter().any(|names| names.contains(&key)) {
                    return Ok(());
                }
                self.bytes(key.as_bytes());
                value.serialize(&mut **self)
            }
            fn end(self) -> Result<(), Unfit> {
                Ok(())
            }
        }
    )+};
}

fields!(SerializeStruct, SerializeStructVariant);

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    #[derive(Serialize)]
    struct Sample {
        at: Timestamp,
        wanted: u32,
        text: &'static str,
    }

    fn key(now: u64, at: u64, wanted: u32, text: &'static str) -> u128 {
        let lens = Lens {
            now: Timestamp::from_millis(now),
            horizon: 1_000,
            without: [&["text"], &[]],
        };
        let at = Timestamp::from_millis(at);
        lens.key(&Sample { at, wanted, text })
    }

    #[test]
    fn only_what_can_make_a_difference_makes_a_key() {
        let base = key(10_000, 10_500, 1, "a");
        assert_eq!(
            base,
            key(20_000, 20_500, 1, "b"),
            "the same distance, another text"
        );
        assert_ne!(base, key(10_000, 10_501, 1, "a"));
        assert_ne!(base, key(10_000, 9_500, 1, "a"), "ahead and behind");
        assert_ne!(base, key(10_000, 10_500, 2, "a"));
        assert_eq!(
            key(10_000, 100, 1, ""),
            key(10_000, 9_000, 1, ""),
            "past the horizon"
        );
        assert_ne!(
            key(10_000, 0, 1, ""),
            key(10_000, 100, 1, ""),
            "the epoch stands for itself"
        );
    }
}
