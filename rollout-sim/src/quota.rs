//! How often an account may call: token buckets, one for each account, region and group of calls.

pub use rollout_core::pace::Limit;
use rollout_core::pace::{Bucket, CHANGED_RECORDS, documented};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Calls that are limited, and how many there were. Off unless it is told otherwise.
///
/// ```
/// use rollout_sim::{Quotas, World};
///
/// let mut world = World::builder(7).environment("production", |e| e).build()?;
/// world.limit(Quotas::aws());
/// assert_eq!((world.quotas().spent(), world.quotas().refused()), (0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotas {
    limits: Vec<Limit>,
    buckets: Vec<Held>,
    spent: u64,
    refused: u64,
}

/// The bucket of one limit in one account and region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    account: String,
    region: String,
    limit: usize,
    bucket: Bucket,
}

impl Quotas {
    /// No limits.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// These limits. A call must find a token in every bucket that it belongs to.
    #[must_use]
    pub fn new(limits: Vec<Limit>) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Those of AWS, as documented: see [`rollout_core::pace::documented`].
    #[must_use]
    pub fn aws() -> Self {
        Self::new(documented())
    }

    /// How many calls found their tokens, of those that are limited.
    #[must_use]
    pub const fn spent(&self) -> u64 {
        self.spent
    }

    /// How many calls were refused.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Takes `cost` tokens from every bucket that a call belongs to, or none from any: whether it may be made.
    pub(crate) fn spend(
        &mut self,
        now: Timestamp,
        (account, region): (&str, &str),
        (service, operation): (&str, &str),
        cost: u32,
    ) -> bool {
        let counts = operation == CHANGED_RECORDS;
        let mut mine = Vec::new();
        for (index, limit) in self.limits.iter().enumerate() {
            // What counts records is no call of its own.
            if !limit.holds(service, operation) || (counts && limit.operations.is_empty()) {
                continue;
            }
            let found = self
                .buckets
                .iter()
                .position(|b| b.limit == index && b.account == account && b.region == region);
            let place = found.unwrap_or_else(|| {
                self.buckets.push(Held {
                    account: account.to_owned(),
                    region: region.to_owned(),
                    limit: index,
                    bucket: Bucket::full(limit.burst, limit.per_second, now),
                });
                self.buckets.len() - 1
            });
            self.buckets[place].bucket.fill(now);
            mine.push(place);
        }
        if mine.is_empty() {
            return true;
        }
        let enough = mine.iter().all(|place| self.buckets[*place].bucket.has(cost));
        if enough {
            for place in mine {
                self.buckets[place].bucket.charge(cost);
            }
            self.spent += 1;
        } else {
            self.refused += 1;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ME: (&str, &str) = ("111122223333", "eu-west-1");

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut quotas = Quotas::aws();
        let register = ("ecs", "RegisterTaskDefinition");
        let mut many = |now, n: u32| (0..n).filter(|_| quotas.spend(at(now), ME, register, 1)).count();
        assert_eq!(many(0, 50), 20);
        assert_eq!(many(999, 5), 0);
        assert_eq!(many(1_000, 5), 1);
        assert_eq!(many(60_000, 50), 20, "it never holds more than its burst");
        assert_eq!((quotas.spent(), quotas.refused()), (41, 69));
        // Another account, another region and another group have buckets of their own.
        assert!(quotas.spend(at(60_000), ("444455556666", "eu-west-1"), register, 1));
        assert!(quotas.spend(at(60_000), ("111122223333", "eu-north-1"), register, 1));
        assert!(quotas.spend(at(60_000), ME, ("ecs", "UpdateService"), 1));
        assert!(
            quotas.spend(at(60_000), ME, ("ecs", "ListClusters"), 1),
            "not limited"
        );
    }

    #[test]
    fn a_call_takes_from_all_its_buckets_or_from_none() {
        let mut quotas = Quotas::aws();
        let elb = |operation| ("elasticloadbalancing", operation);
        let done = (0..30)
            .filter(|_| quotas.spend(at(0), ME, elb("ModifyRule"), 1))
            .count();
        assert_eq!(done, 20, "its own bucket");
        // The refused ones have taken nothing from the account's bucket of 40.
        let done = (0..30)
            .filter(|_| quotas.spend(at(0), ME, elb("DescribeRules"), 1))
            .count();
        assert_eq!(done, 20);
    }

    #[test]
    fn without_limits_nothing_is_refused_or_counted() {
        let mut quotas = Quotas::off();
        assert!((0..1_000).all(|_| quotas.spend(at(0), ME, ("ecs", "UpdateService"), 1)));
        assert_eq!((quotas.spent(), quotas.refused()), (0, 0));
    }

    proptest! {
        #[test]
        fn a_bucket_is_never_faster_than_its_burst_and_rate(
            burst in 1_u32..20, rate in 1_u32..10, calls in prop::collection::vec((0_u64..700, 1_u32..4), 1..120),
        ) {
            let mut quotas = Quotas::new(vec![Limit::new("s", &["A*"], burst, rate)]);
            let (mut now, mut given) = (0, Vec::new());
            for (pause, cost) in calls {
                now += pause;
                let before = quotas.clone();
                if quotas.spend(at(now), ME, ("s", "Ab"), cost) {
                    given.push((now, cost));
                } else {
                    // A refusal is only for want of tokens, and costs none.
                    let held = quotas.buckets[0].bucket.thousandths();
                    prop_assert!(held < i64::from(cost) * 1_000);
                    prop_assert!(before.buckets.first().is_none_or(|b| b.bucket.thousandths() <= held));
                }
                // Over any span: no more than the burst and what has flowed in since.
                for (n, (from, _)) in given.iter().enumerate() {
                    let taken: u64 = given[n..].iter().map(|(_, cost)| u64::from(*cost) * 1_000).sum();
                    prop_assert!(taken <= u64::from(burst) * 1_000 + (now - from) * u64::from(rate));
                }
                prop_assert!(quotas.buckets[0].bucket.thousandths() <= i64::from(burst) * 1_000);
            }
        }
    }
}
