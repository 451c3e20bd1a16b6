//! What health checks make of a target, and when.

use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::kernel::plus;

/// How a target group checks its targets. Times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checks {
    pub(crate) interval: u64,
    /// Consecutive passes after which an unhealthy target is healthy again. A **new** target needs one (Amazon ECS developer
    /// guide, "Optimize load balancer health check parameters for Amazon ECS").
    pub(crate) healthy: u64,
    /// Consecutive failures after which a target is unhealthy.
    pub(crate) unhealthy: u64,
}

/// What a target group thinks of a target (Elastic Load Balancing API, "TargetHealth").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum TargetState {
    Initial,
    Healthy,
    Unhealthy,
    Draining,
    /// It gets neither checks nor requests.
    Unused,
}

impl TargetState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
            Self::Unused => "unused",
        }
    }
}

impl Checks {
    /// The first check at or after `moment`, of checks that began at `first`; never for a moment that never comes.
    pub(crate) fn check_at(&self, first: Timestamp, moment: Timestamp) -> Timestamp {
        if moment == Timestamp::MAX {
            return moment;
        }
        let late = moment.as_millis().saturating_sub(first.as_millis());
        plus(first, late.div_ceil(self.interval) * self.interval)
    }

    /// When a target in `state` goes to which other state, if nothing else happens: instead of every single check, only
    /// those that change something are ever planned. The target passes checks within `window` and fails them outside.
    pub(crate) fn next(
        &self,
        state: TargetState,
        first: Timestamp,
        now: Timestamp,
        window: (Timestamp, Timestamp),
    ) -> Option<(Timestamp, TargetState)> {
        let (ready, bad) = window;
        let run = |from: Timestamp, count: u64| plus(from, self.interval * count.saturating_sub(1));
        let passes = |count: u64, since: Timestamp| {
            let at = run(self.check_at(first, ready.max(since)), count);
            (at < bad && at < Timestamp::MAX).then_some(at)
        };
        match state {
            TargetState::Initial => {
                let fails = run(self.check_at(first, first), self.unhealthy);
                match passes(1, first) {
                    Some(at) if at <= fails => Some((at, TargetState::Healthy)),
                    Some(_) | None => Some((fails.max(now), TargetState::Unhealthy)),
                }
            }
            TargetState::Healthy if bad < Timestamp::MAX => {
                let at = run(self.check_at(first, bad.max(now)), self.unhealthy);
                Some((at, TargetState::Unhealthy))
            }
            TargetState::Unhealthy => passes(self.healthy, now).map(|at| (at, TargetState::Healthy)),
            TargetState::Healthy | TargetState::Draining | TargetState::Unused => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKS: Checks = Checks {
        interval: 10,
        healthy: 5,
        unhealthy: 2,
    };
    const NEVER: Timestamp = Timestamp::MAX;

    fn t(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// The same by doing every check: the judge of the closed form above.
    fn by_hand(
        checks: Checks,
        state: TargetState,
        now: u64,
        ready: u64,
        bad: u64,
    ) -> Option<(u64, TargetState)> {
        let (mut passes, mut fails) = (0, 0);
        let mut at = if state == TargetState::Initial {
            3
        } else {
            3 + (now - 3).div_ceil(checks.interval) * checks.interval
        };
        while at < 10_000 {
            if ready <= at && at < bad {
                (passes, fails) = (passes + 1, 0);
            } else {
                (passes, fails) = (0, fails + 1);
            }
            match state {
                TargetState::Initial if passes == 1 => return Some((at, TargetState::Healthy)),
                TargetState::Initial | TargetState::Healthy if fails == checks.unhealthy => {
                    return Some((at, TargetState::Unhealthy));
                }
                TargetState::Unhealthy if passes == checks.healthy => {
                    return Some((at, TargetState::Healthy));
                }
                _ => {}
            }
            at += checks.interval;
        }
        None
    }

    #[test]
    fn a_new_target_is_healthy_after_one_passed_check() {
        assert_eq!(
            CHECKS.next(TargetState::Initial, t(3), t(0), (t(0), NEVER)),
            Some((t(3), TargetState::Healthy))
        );
        assert_eq!(
            CHECKS.next(TargetState::Initial, t(3), t(0), (t(4), NEVER)),
            Some((t(13), TargetState::Healthy))
        );
    }

    #[test]
    fn an_unhealthy_target_needs_five_passes_to_recover() {
        let next = CHECKS.next(TargetState::Unhealthy, t(3), t(13), (t(20), NEVER));
        assert_eq!(next, Some((t(23 + 40), TargetState::Healthy)));
    }

    proptest::proptest! {
        #[test]
        fn the_closed_form_is_the_sum_of_all_checks(
            state in 0_u8..3, now in 3_u64..200, ready in 0_u64..300, length in 0_u64..300,
            interval in 1_u64..30, healthy in 1_u64..6, unhealthy in 1_u64..6,
        ) {
            let checks = Checks { interval, healthy, unhealthy };
            let state = [TargetState::Initial, TargetState::Healthy, TargetState::Unhealthy][usize::from(state)];
            // A target is only healthy while it is, or just was, within its window.
            let (now, ready) = match state {
                TargetState::Initial => (3, ready),
                TargetState::Healthy => (now, ready.min(now)),
                TargetState::Unhealthy | TargetState::Draining | TargetState::Unused => (now, ready),
            };
            let bad = ready + length;
            let next = checks.next(state, t(3), t(now), (t(ready), t(bad)));
            let expected = by_hand(checks, state, now, ready, bad);
            proptest::prop_assert_eq!(next.map(|(at, to)| (at.as_millis(), to)), expected);
        }
    }
}
