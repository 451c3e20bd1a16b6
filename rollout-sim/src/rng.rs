//! Chance: one seed, one stream of numbers per kind, so that drawing more of one kind does not shift another.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

/// A time that is drawn: uniform between two bounds, both included, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The shortest, in milliseconds.
    pub min: u64,
    /// The longest, in milliseconds.
    pub max: u64,
}

impl Span {
    /// Between two numbers of milliseconds.
    #[must_use]
    pub const fn millis(min: u64, max: u64) -> Self {
        Self { min, max }
    }

    /// Between two numbers of seconds.
    #[must_use]
    pub const fn secs(min: u64, max: u64) -> Self {
        Self::millis(min * 1_000, max * 1_000)
    }

    /// Always the same number of milliseconds.
    #[must_use]
    pub const fn exactly(millis: u64) -> Self {
        Self::millis(millis, millis)
    }
}

/// The world's dice.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Dice {
    tasks: ChaCha8Rng,
    scheduler: ChaCha8Rng,
    ids: ChaCha8Rng,
    health: ChaCha8Rng,
    dns: ChaCha8Rng,
}

/// What a number is drawn for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    Tasks,
    Scheduler,
    Ids,
    Health,
    Dns,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let stream = |n| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(n);
            rng
        };
        Self {
            tasks: stream(1),
            scheduler: stream(2),
            ids: stream(3),
            health: stream(4),
            dns: stream(5),
        }
    }

    fn next(&mut self, stream: Stream) -> u64 {
        match stream {
            Stream::Tasks => &mut self.tasks,
            Stream::Scheduler => &mut self.scheduler,
            Stream::Ids => &mut self.ids,
            Stream::Health => &mut self.health,
            Stream::Dns => &mut self.dns,
        }
        .next_u64()
    }

    /// A number under `bound`; zero when `bound` is zero. By multiplication, so that no library release can change it.
    pub(crate) fn below(&mut self, stream: Stream, bound: u64) -> u64 {
        let wide = u128::from(self.next(stream)) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// A number of milliseconds. A span that can only be one number costs no draw.
    pub(crate) fn draw(&mut self, stream: Stream, span: Span) -> u64 {
        if span.max <= span.min {
            return span.min;
        }
        span.min + self.below(stream, (span.max - span.min).saturating_add(1))
    }

    /// Lower-case hex digits, 16 for each word.
    pub(crate) fn hex(&mut self, words: usize) -> String {
        (0..words)
            .map(|_| format!("{:016x}", self.next(Stream::Ids)))
            .collect()
    }

    /// Five groups of hex digits, in the form of a random UUID.
    pub(crate) fn uuid(&mut self) -> String {
        let hex = self.hex(2);
        format!(
            "{}-{}-4{}-8{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[13..16],
            &hex[17..20],
            &hex[20..]
        )
    }

    /// 19 digits, as in the ids of ECS deployments.
    pub(crate) fn digits(&mut self) -> u64 {
        const FIRST: u64 = 1_000_000_000_000_000_000;
        FIRST + self.below(Stream::Ids, 8 * FIRST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_uniform_and_holds_both_ends() {
        let mut dice = Dice::new(1);
        let mut seen = [0_u32; 4];
        for _ in 0..4_000 {
            let drawn = dice.draw(Stream::Tasks, Span::millis(10, 13));
            seen[usize::try_from(drawn - 10).expect("small")] += 1;
        }
        assert!(seen.iter().all(|n| (800..1_200).contains(n)), "{seen:?}");
    }

    #[test]
    fn streams_do_not_shift_each_other() {
        let (mut one, mut other) = (Dice::new(7), Dice::new(7));
        let _ = other.hex(5);
        assert_eq!(
            one.below(Stream::Tasks, 1 << 40),
            other.below(Stream::Tasks, 1 << 40)
        );
        assert_ne!(one.below(Stream::Ids, 1 << 40), other.below(Stream::Ids, 1 << 40));
    }

    #[test]
    fn dice_are_stored_where_they_are() {
        let mut dice = Dice::new(9);
        let _ = dice.hex(3);
        let text = serde_json::to_string(&dice).expect("plain data");
        let mut again: Dice = serde_json::from_str(&text).expect("plain data");
        assert_eq!(dice.hex(4), again.hex(4));
    }
}
