//! Names of secrets, ids of versions, and the letters at the end of an ARN.

use super::{Refused, SUFFIX};
use crate::rng::{Dice, Stream};

const LONGEST_NAME: usize = 512;
/// A token's bounds in characters; it becomes a version's id (AWS Secrets Manager API, "ClientRequestToken").
const TOKEN: core::ops::RangeInclusive<usize> = 32..=64;

/// Name and random letters, of the last part of an ARN that has them.
pub(crate) fn whole_name(named: &str) -> Option<(&str, &str)> {
    let (name, suffix) = named.rsplit_once('-')?;
    let whole = suffix.len() == SUFFIX && suffix.bytes().all(|b| b.is_ascii_alphanumeric());
    (whole && !name.is_empty()).then_some((name, suffix))
}

/// Whether a secret may have a name.
pub(super) fn check_name(name: &str) -> Result<(), Refused> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-/_+=.@!".contains(&b);
    let fits = (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(allowed);
    if fits { Ok(()) } else { Err(Refused::Name) }
}

/// Whether a token may become a version's id.
pub(super) fn check_token(token: Option<&str>) -> Result<(), Refused> {
    match token {
        Some(token) if !TOKEN.contains(&token.len()) => Err(Refused::Invalid(
            "ClientRequestToken must be 32-64 characters long.",
        )),
        Some(_) | None => Ok(()),
    }
}

const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

fn letters(mut next: impl FnMut() -> u64) -> String {
    (0..SUFFIX)
        .map(|_| char::from(LETTERS[(next() % 62) as usize]))
        .collect()
}

/// Random letters for a new ARN.
pub(super) fn suffix(dice: &mut Dice) -> String {
    letters(|| dice.below(Stream::Ids, 62))
}

/// Letters that follow from a text.
pub(super) fn fixed_suffix(of: &str) -> String {
    let mut hash = hash(of, 0);
    letters(|| {
        let letter = hash % 62;
        hash /= 62;
        letter
    })
}

/// FNV-1a.
pub(super) fn hash(text: &str, salt: u64) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325 ^ salt, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    })
}
