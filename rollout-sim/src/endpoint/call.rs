//! One call of one operation: the world, the caller, the input, and lists in pages.

use http::HeaderName;
use rollout_core::time::Timestamp;
use serde::de::DeserializeOwned;

use super::document::Document;
use super::input::read;
use super::refusal::Refusal;
use crate::ecs::Environment;
use crate::world::World;

/// Who calls, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The caller's account, 12 digits.
    pub(crate) account: String,
    /// The region that the request is signed for.
    pub(crate) region: String,
    /// The world's environments of this account and region; of the account alone where the service knows no region.
    pub(crate) environments: Vec<u16>,
}

/// One call.
pub(crate) struct Call<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) place: &'a Place,
    pub(crate) input: &'a Document,
    /// The address of this machine at which the endpoint was reached, if it was.
    pub(crate) local: Option<&'a str>,
    /// Further headers of the answer.
    pub(crate) headers: Vec<(HeaderName, String)>,
}

impl Call<'_> {
    /// The input, as the operation's type.
    pub(crate) fn input<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        Ok(read(self.input)?)
    }

    /// Now.
    pub(crate) const fn now(&self) -> Timestamp {
        self.world.now()
    }

    /// Says that the call has changed something. A call that found everything as asked has not.
    pub(crate) const fn changed(&mut self) {
        self.world.took_effect = true;
    }

    /// The caller's environments, in the world's order.
    pub(crate) fn environments(&self) -> impl Iterator<Item = &Environment> {
        let all = &self.world.environments;
        self.place
            .environments
            .iter()
            .filter_map(|e| all.get(usize::from(*e)))
    }

    /// An ARN of this account and region.
    pub(crate) fn arn(&self, service: &str, resource: &str) -> String {
        format!(
            "arn:aws:{service}:{}:{}:{resource}",
            self.place.region, self.place.account
        )
    }
}

/// A page of `all`, and the token of the next one. `None` when `token` is none that this gave.
///
/// A token says where the last page ended and how long the list was, and nothing of what was asked: as with AWS, a list that
/// changes between two pages may show an item twice or not at all.
pub(crate) fn page<'a, T>(
    all: &'a [T],
    token: Option<&str>,
    most: usize,
) -> Option<(&'a [T], Option<String>)> {
    let from = match token {
        None => 0,
        Some(token) => open(token)?,
    };
    let rest = all.get(from..).unwrap_or_default();
    let here = &rest[..most.min(rest.len())];
    let next = (here.len() < rest.len()).then(|| seal(from + here.len()));
    Some((here, next))
}

const SEAL: u64 = 0x9e37_79b9_7f4a_7c15;

/// Opaque, and the same for the same place: 32 hex digits of which half check the other half.
fn seal(from: usize) -> String {
    let from = from as u64;
    format!(
        "{:016x}{:016x}",
        from ^ SEAL,
        from.wrapping_mul(SEAL).rotate_left(17)
    )
}

fn open(token: &str) -> Option<usize> {
    let from = u64::from_str_radix(token.get(..16)?, 16).ok()? ^ SEAL;
    let from = usize::try_from(from).ok()?;
    (seal(from) == token).then_some(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_give_everything_once_and_end() {
        let all: Vec<u32> = (0..23).collect();
        let (mut seen, mut token, mut pages) = (Vec::new(), None, 0);
        loop {
            let (items, next) = page(&all, token.as_deref(), 10).expect("its own token");
            seen.extend_from_slice(items);
            pages += 1;
            token = next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!((seen, pages), (all, 3));
        let (items, next) = page(&[1, 2], None, 2).expect("no token");
        assert_eq!((items, next), (&[1, 2][..], None));
    }

    #[test]
    fn a_token_of_another_is_refused() {
        for token in [
            "",
            "1",
            "x".repeat(32).as_str(),
            "00000000000000000000000000000000",
        ] {
            assert_eq!(page(&[1], Some(token), 1), None, "{token}");
        }
    }
}
