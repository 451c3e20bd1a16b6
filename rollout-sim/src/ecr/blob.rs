//! Bytes of layers: shared between copies of a world, stored as hex.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Bytes that never change.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Blob(Arc<Vec<u8>>);

impl Blob {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn size(&self) -> u64 {
        self.0.len() as u64
    }
}

impl core::fmt::Debug for Blob {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(bytes))
    }
}

impl From<Blob> for String {
    fn from(blob: Blob) -> Self {
        use core::fmt::Write as _;
        blob.0.iter().fold(Self::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl TryFrom<String> for Blob {
    type Error = core::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let pairs =
            (0..text.len() / 2).map(|n| u8::from_str_radix(text.get(2 * n..2 * n + 2).unwrap_or("?"), 16));
        pairs.collect::<Result<Vec<u8>, _>>().map(Self::from)
    }
}
