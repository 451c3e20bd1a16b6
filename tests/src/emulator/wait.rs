//! Waiting for what can be seen: until it is so, or until it has taken too long.

use core::future::Future;
use core::time::Duration;

use rollout_aws::clock::TokioClock;
use rollout_core::port::Clock as _;
use rollout_core::time::Timestamp;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(150);

/// Now, by the clock that the driver uses.
#[must_use]
pub fn now() -> Timestamp {
    TokioClock::new().now()
}

/// Looks until there is an answer.
///
/// # Panics
/// When there is none within `longest`.
pub async fn until<T, F>(what: &str, longest: Duration, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let clock = TokioClock::new();
    let deadline = clock.now().after(longest);
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if clock.now() >= deadline => {
                panic!("{what}: not within {longest:?}; last seen: {seen}")
            }
            Err(_) => clock.sleep_until(clock.now().after(EVERY)).await,
        }
    }
}
