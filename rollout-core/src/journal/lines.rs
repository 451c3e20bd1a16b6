//! The lines of a journal and the chain that holds them together.
//!
//! Since format 2 every line ends with `"chain"`: the SHA-256 of the line before's (32 zero bytes before the first) and of the line's own bytes
//! without that member. So a line that was changed, dropped or moved is found, and named, by
//! whoever reads the file, with nothing but the file. The chain protects against accidents and careless editors; whoever can
//! write the whole file can write another chain. What was cut off at the end cannot be seen, but for a missing `closed`.

use std::io::BufRead;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Body, Entry, FORMAT, JournalError, Record};

/// The first format whose lines are chained.
const CHAINED: u32 = 2;

/// Between a record and its hash.
const JOINT: &[u8] = br#","chain":""#;

/// After the hash.
const END: &[u8] = br#""}"#;

/// Two hexadecimal digits a byte.
const DIGITS: usize = 64;

/// The hash of a journal up to a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain([u8; 32]);

impl Chain {
    /// Before the first line.
    #[must_use]
    pub const fn new() -> Self {
        Self([0; 32])
    }

    fn after(self, record: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(record);
        Self(hash.finalize().into())
    }

    /// In hexadecimal.
    fn digits(self) -> [u8; DIGITS] {
        let mut digits = [0; DIGITS];
        for (two, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            if let [high, low] = two {
                (*high, *low) = (digit(byte >> 4), digit(byte & 15));
            }
        }
        digits
    }
}

const fn digit(of: u8) -> u8 {
    if of < 10 {
        b'0'.wrapping_add(of)
    } else {
        b'a'.wrapping_add(of).wrapping_sub(10)
    }
}

/// Writes lines, each chained to the one before.
#[derive(Clone, Debug)]
pub struct LineWriter {
    /// `None`: a journal of a format from before the chain goes on without one.
    chain: Option<Chain>,
}

impl LineWriter {
    /// For a new journal of a format: [`FORMAT`], but for whoever writes an old one again.
    #[must_use]
    pub fn new(format: u32) -> Self {
        Self {
            chain: (format >= CHAINED).then(Chain::new),
        }
    }

    /// For a journal that goes on after what was read of it.
    #[must_use]
    pub const fn after<E, F>(read: &Lines<E, F>) -> Self {
        Self { chain: read.chain }
    }

    /// The line of one record, with its line feed. Appended in this order or not at all.
    ///
    /// # Errors
    /// When the record cannot be written as JSON.
    pub fn line<E: Serialize, F: Serialize>(
        &mut self,
        entry: &Entry<'_, E, F>,
    ) -> Result<Vec<u8>, serde_json::Error> {
        let mut line = serde_json::to_vec(entry)?;
        if let Some(chain) = &mut self.chain {
            *chain = chain.after(&line);
            line.pop();
            line.extend_from_slice(JOINT);
            line.extend_from_slice(&chain.digits());
            line.extend_from_slice(END);
        }
        line.push(b'\n');
        Ok(line)
    }
}

/// What a journal holds.
#[derive(Clone, Debug)]
pub struct Lines<E, F> {
    /// Its records.
    pub records: Vec<Record<E, F>>,
    /// How many bytes they take.
    pub bytes: u64,
    /// What is behind the last whole line.
    pub torn: Option<Torn>,
    chain: Option<Chain>,
}

/// A line without an end: its writer died in the middle of it, or is still writing. It was never acknowledged, and nothing was done on
/// the strength of it, so it may be cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Torn {
    /// The number of the record that it would have been.
    pub record: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// Reads lines one by one, and holds them against their chain.
struct LineReader<'a> {
    place: &'a str,
    /// `None` before the first line has told, and for a format without a chain.
    chain: Option<Chain>,
    number: u64,
}

impl LineReader<'_> {
    fn wrong(&self, why: impl Into<String>) -> JournalError {
        JournalError::Format {
            place: self.place.to_owned(),
            record: self.number,
            why: why.into(),
        }
    }

    /// One line, without its line feed.
    fn take<E, F>(&mut self, line: &mut Vec<u8>) -> Result<Record<E, F>, JournalError>
    where
        E: DeserializeOwned,
        F: DeserializeOwned,
    {
        if self.number == 0 {
            self.chain = (self.format(line)? >= CHAINED).then(Chain::new);
        }
        if let Some(chain) = self.chain {
            self.chain = Some(self.unchain(chain, line)?);
        }
        let record: Record<E, F> =
            serde_json::from_slice(line).map_err(|error| self.wrong(error.to_string()))?;
        if record.seq != self.number {
            return Err(self.out_of_order(record.seq));
        }
        if self.number == 0 && !matches!(record.body, Body::Opened(_)) {
            return Err(self.wrong("no header"));
        }
        self.number = self.number.saturating_add(1);
        Ok(record)
    }

    /// The version is read before the record is, so that a newer journal is refused by name and not for its new fields.
    fn format(&self, line: &[u8]) -> Result<u32, JournalError> {
        let header: serde_json::Value =
            serde_json::from_slice(line).map_err(|error| self.wrong(error.to_string()))?;
        let found = header
            .pointer("/body/opened/format")
            .and_then(serde_json::Value::as_u64)
            .ok_or_else(|| self.wrong("no header"))?;
        match u32::try_from(found).unwrap_or(u32::MAX) {
            found if found > FORMAT => Err(JournalError::Newer {
                place: self.place.to_owned(),
                found,
            }),
            found => Ok(found),
        }
    }

    /// Takes the hash off a line, after holding it against what it should be.
    fn unchain(&self, chain: Chain, line: &mut Vec<u8>) -> Result<Chain, JournalError> {
        let tail = JOINT.len().saturating_add(DIGITS).saturating_add(END.len());
        let cut = line.len().saturating_sub(tail);
        let said = line
            .get(cut..)
            .and_then(|tail| tail.strip_prefix(JOINT)?.strip_suffix(END));
        let Some(said) = said.and_then(|said| <[u8; DIGITS]>::try_from(said).ok()) else {
            return Err(self.wrong("it has no hash: it was changed"));
        };
        line.truncate(cut);
        line.push(b'}');
        let after = chain.after(line);
        if said == after.digits() {
            return Ok(after);
        }
        let number = |line: &[u8]| {
            let record: serde_json::Value = serde_json::from_slice(line).ok()?;
            record.get("seq")?.as_u64()
        };
        match number(line) {
            Some(found) if found != self.number => Err(self.out_of_order(found)),
            Some(_) | None => Err(self.wrong("its hash does not fit: it was changed")),
        }
    }

    fn out_of_order(&self, found: u64) -> JournalError {
        self.wrong(if found > self.number {
            format!("record {found} stands here: what is between was dropped")
        } else {
            format!("record {found} stands here: records were moved or repeated")
        })
    }
}

/// Reads the records of a journal from anywhere; `place` is how errors name it.
///
/// # Errors
/// [`JournalError`] when it cannot be read, is of a newer format, or holds a line that is no record, or not the one that was written.
pub fn read_lines<E, F>(reader: impl BufRead, place: &str) -> Result<Lines<E, F>, JournalError>
where
    E: DeserializeOwned,
    F: DeserializeOwned,
{
    match read_until_wrong(reader, place) {
        (lines, None) => Ok(lines),
        (_, Some(error)) => Err(error),
    }
}

/// Reads up to the first line that is wrong, and says what is: for people who look at a damaged journal. What is before it holds.
pub fn read_until_wrong<E, F>(mut reader: impl BufRead, place: &str) -> (Lines<E, F>, Option<JournalError>)
where
    E: DeserializeOwned,
    F: DeserializeOwned,
{
    let mut lines = LineReader {
        place,
        chain: None,
        number: 0,
    };
    let mut out = Lines {
        records: Vec::new(),
        bytes: 0,
        torn: None,
        chain: Some(Chain::new()),
    };
    let mut line = Vec::new();
    loop {
        line.clear();
        if let Err(source) = reader.read_until(b'\n', &mut line) {
            let error = JournalError::Store {
                action: "read",
                place: place.to_owned(),
                source,
            };
            return (out, Some(error));
        }
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if line.pop() != Some(b'\n') {
            if length > 0 {
                out.torn = Some(Torn {
                    record: lines.number,
                    bytes: length,
                });
            }
            return (out, None);
        }
        match lines.take(&mut line) {
            Ok(record) => out.records.push(record),
            Err(error) => return (out, Some(error)),
        }
        out.bytes = out.bytes.saturating_add(length);
        out.chain = lines.chain;
    }
}

#[cfg(test)]
mod tests;
