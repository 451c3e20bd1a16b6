//! Who may call next. Pure: time is an argument, and what there is of chance comes from a seed.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::limit::{Bucket, Limit};
use crate::time::Timestamp;

/// How urgent a call is. The smaller one goes first wherever both wait for the same bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Of a way back: what serves now may be broken.
    Back,
    /// Changes something on the way forward.
    Forward,
    /// Only looks.
    #[default]
    Look,
}

/// The number of an ask; a later one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// A kind of call, by the buckets that it takes from. All operations with the same buckets are one kind.
#[derive(Clone, Debug, Default)]
struct Kind {
    buckets: Vec<usize>,
    waiting: BTreeMap<Priority, VecDeque<Ticket>>,
}

impl Kind {
    fn head(&self) -> Option<(Priority, Ticket)> {
        self.waiting
            .iter()
            .find_map(|(priority, queue)| Some((*priority, *queue.front()?)))
    }

    fn remove(&mut self, priority: Priority, ticket: Ticket) {
        if let Some(queue) = self.waiting.get_mut(&priority) {
            queue.retain(|other| *other != ticket);
        }
    }
}

/// Token buckets, and who waits for them.
///
/// - A call goes when every bucket that it takes from holds a token for it, and never before.
/// - Among those that wait for the same bucket the more urgent one goes first ([`Priority`]), and among equals the one that
///   asked first: nobody is overtaken for ever by an equal.
/// - One that waits for one bucket does not keep others from another bucket that it would also take from.
///
/// A bucket is used a little less deep than documented, by what flows in within a quarter of a second: calls that were sent
/// evenly may arrive closer together.
#[derive(Clone, Debug)]
pub struct Pacer {
    limits: Vec<Limit>,
    buckets: Vec<Bucket>,
    kinds: Vec<Kind>,
    known: BTreeMap<(String, String), usize>,
    asked: BTreeMap<Ticket, (usize, Priority)>,
    next: u64,
    chance: u64,
}

/// The shortest and the longest time that a bucket stays empty after the other side has said that it is, in milliseconds.
const DRY: (u32, u32) = (500, 1_500);

impl Pacer {
    /// Full buckets of these limits. From the seed comes how long a bucket stays dry after a throttled call.
    #[must_use]
    pub fn new(limits: Vec<Limit>, seed: u64, now: Timestamp) -> Self {
        let buckets = limits
            .iter()
            .map(|limit| {
                let slack = limit.per_second.div_ceil(4);
                let deep = limit.burst.saturating_sub(slack).max(limit.burst.min(1));
                Bucket::full(deep, limit.per_second, now)
            })
            .collect();
        Self {
            limits,
            buckets,
            kinds: Vec::new(),
            known: BTreeMap::new(),
            asked: BTreeMap::new(),
            next: 0,
            chance: seed,
        }
    }

    fn kind(&mut self, service: &str, operation: &str) -> usize {
        let name = (service.to_owned(), operation.to_owned());
        if let Some(known) = self.known.get(&name) {
            return *known;
        }
        let held = self.limits.iter().enumerate();
        let buckets: Vec<usize> = held
            .filter(|(_, limit)| limit.holds(service, operation))
            .map(|(place, _)| place)
            .collect();
        let found = self.kinds.iter().position(|kind| kind.buckets == buckets);
        let place = found.unwrap_or(self.kinds.len());
        if found.is_none() {
            self.kinds.push(Kind {
                buckets,
                waiting: BTreeMap::new(),
            });
        }
        self.known.insert(name, place);
        place
    }

    /// Asks to make a call. Whoever asks waits until [`Pacer::grant`] names the ticket, or gives up ([`Pacer::cancel`]).
    pub fn ask(&mut self, service: &str, operation: &str, priority: Priority) -> Ticket {
        let place = self.kind(service, operation);
        let ticket = Ticket(self.next);
        self.next = self.next.saturating_add(1);
        if let Some(kind) = self.kinds.get_mut(place) {
            kind.waiting.entry(priority).or_default().push_back(ticket);
        }
        self.asked.insert(ticket, (place, priority));
        ticket
    }

    /// Gives an ask up. One that was granted or given up already stays so.
    pub fn cancel(&mut self, ticket: Ticket) {
        if let Some((place, priority)) = self.asked.remove(&ticket)
            && let Some(kind) = self.kinds.get_mut(place)
        {
            kind.remove(priority, ticket);
        }
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.asked.len()
    }

    fn fill(&mut self, now: Timestamp) {
        for bucket in &mut self.buckets {
            bucket.fill(now);
        }
    }

    /// The asks that may go now, in order. Their tokens are taken.
    pub fn grant(&mut self, now: Timestamp) -> Vec<Ticket> {
        self.fill(now);
        let mut granted = Vec::new();
        while let Some((place, priority, ticket)) = self.ready() {
            for bucket in self.taken_from(place) {
                if let Some(bucket) = self.buckets.get_mut(bucket) {
                    bucket.charge(1);
                }
            }
            if let Some(kind) = self.kinds.get_mut(place)
                && let Some(queue) = kind.waiting.get_mut(&priority)
            {
                queue.pop_front();
            }
            self.asked.remove(&ticket);
            granted.push(ticket);
        }
        granted
    }

    fn taken_from(&self, kind: usize) -> Vec<usize> {
        self.kinds
            .get(kind)
            .map(|kind| kind.buckets.clone())
            .unwrap_or_default()
    }

    /// The first of those at the head of their queues whose buckets all hold a token. One before it that needs one of these
    /// buckets, too, has found it dry, so that nothing is taken from it.
    fn ready(&self) -> Option<(usize, Priority, Ticket)> {
        let heads = self.kinds.iter().enumerate();
        heads
            .filter(|(_, kind)| {
                let mut buckets = kind.buckets.iter();
                buckets.all(|bucket| self.buckets.get(*bucket).is_some_and(|bucket| bucket.has(1)))
            })
            .filter_map(|(place, kind)| {
                let (priority, ticket) = kind.head()?;
                Some((place, priority, ticket))
            })
            .min_by_key(|(_, priority, ticket)| (*priority, *ticket))
    }

    /// When [`Pacer::grant`] may name this ticket, if it is the next of its kind: the buckets hold enough then, unless a more
    /// urgent ask comes before it. `None` while others of its kind are before it, or when it does not wait.
    #[must_use]
    pub fn due(&self, ticket: Ticket) -> Option<Timestamp> {
        let (place, _) = self.asked.get(&ticket)?;
        let kind = self.kinds.get(*place)?;
        let (_, head) = kind.head()?;
        if head != ticket {
            return None;
        }
        let buckets = kind.buckets.iter();
        let moments = buckets.filter_map(|bucket| Some(self.buckets.get(*bucket)?.ready_at(1)));
        Some(moments.max().unwrap_or(Timestamp::EPOCH))
    }

    /// The next ask of each kind: whoever waits for one of these must come back when it is [`Pacer::due`].
    #[must_use]
    pub fn heads(&self) -> Vec<Ticket> {
        let heads = self.kinds.iter().filter_map(Kind::head);
        heads.map(|(_, ticket)| ticket).collect()
    }

    /// Pays for a call that nobody asked for, such as a second try of the SDK: what comes later waits for it.
    pub fn charge(&mut self, now: Timestamp, service: &str, operation: &str) {
        let place = self.kind(service, operation);
        self.fill(now);
        for bucket in self.taken_from(place) {
            if let Some(bucket) = self.buckets.get_mut(bucket) {
                bucket.charge(1);
            }
        }
    }

    /// The other side has refused a call of this operation because there were too many: someone else spends from the same
    /// buckets. They are empty then, and stay so for a moment, which differs from runner to runner.
    pub fn throttled(&mut self, now: Timestamp, service: &str, operation: &str) {
        let place = self.kind(service, operation);
        self.fill(now);
        let (least, most) = DRY;
        let span = u64::from(most.abs_diff(least)).saturating_add(1);
        let drawn = u32::try_from(self.draw().checked_rem(span).unwrap_or_default()).unwrap_or_default();
        for bucket in self.taken_from(place) {
            if let Some(bucket) = self.buckets.get_mut(bucket) {
                bucket.dry_for(least.saturating_add(drawn));
            }
        }
    }

    /// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
    fn draw(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.chance;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
