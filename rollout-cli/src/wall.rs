//! Real time, beside a runtime whose time may be a simulation's.
//!
//! At full speed the simulated cloud runs on a runtime whose time is paused: it jumps to whatever comes next. What is shared with other
//! processes, leases and journals, lives in real time all the same.

use core::future::Future;
use core::time::Duration;
use std::io;
#[cfg(feature = "aws")]
use std::sync::mpsc;
use std::time::SystemTime;

use async_trait::async_trait;
use rollout_core::port::Clock;
use rollout_core::time::Timestamp;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;

/// The longest that a timer is trusted: it stands still while the machine sleeps, and does not follow a clock that is set.
const SLICE: Duration = Duration::from_secs(15);

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The wall clock as a port, whatever time the runtime has that polls it.
#[derive(Clone, Debug)]
pub(crate) struct Wall {
    /// A runtime of its own, on a thread of its own, for timers in real time.
    timers: Handle,
}

impl Wall {
    /// Starts it.
    ///
    /// # Errors
    /// When the system gives no thread or no timer.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let timers = runtime.handle().clone();
        std::thread::Builder::new()
            .name("wall-clock".to_owned())
            .spawn(move || runtime.block_on(core::future::pending::<()>()))?;
        Ok(Self { timers })
    }
}

#[async_trait]
impl Clock for Wall {
    fn now(&self) -> Timestamp {
        now()
    }

    async fn sleep_until(&self, moment: Timestamp) {
        let sleeping = Sleeping(self.timers.spawn(async move {
            loop {
                let left = moment.since(now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(SLICE)).await;
            }
        }));
        sleeping.await;
    }
}

/// A sleep that ends with whoever waits for it.
struct Sleeping(JoinHandle<()>);

impl Future for Sleeping {
    type Output = ();

    fn poll(mut self: core::pin::Pin<&mut Self>, cx: &mut core::task::Context<'_>) -> core::task::Poll<()> {
        core::pin::Pin::new(&mut self.0).poll(cx).map(|_| ())
    }
}

impl Drop for Sleeping {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Awaits something of the real world: a runtime whose time is paused does not jump ahead meanwhile.
#[cfg(feature = "aws")]
pub(crate) async fn real<F: Future>(work: F) -> F::Output {
    // Tokio's paused time stands still while a blocking task runs (`tokio::time::pause`, "Auto-advance").
    let (done, wait) = mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || {
        // Ends when the other side is dropped.
        let _ = wait.recv();
    });
    let output = work.await;
    drop(done);
    output
}

// Time is paused with the feature that needs it.
#[cfg(all(test, feature = "aws"))]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn real_time_passes_beside_a_time_that_is_paused() {
        let wall = Wall::start().expect("there are threads");
        let (begun, simulated) = (Instant::now(), tokio::time::Instant::now());
        real(wall.sleep_until(now().after(Duration::from_millis(30)))).await;
        assert!(begun.elapsed() >= Duration::from_millis(29));
        assert!(
            simulated.elapsed() < Duration::from_millis(1),
            "{:?}",
            simulated.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_simulation_does_not_wait_for_the_wall_clock() {
        let wall = Wall::start().expect("there are threads");
        let far = now().after(Duration::from_secs(3_600));
        let begun = Instant::now();
        tokio::select! {
            () = wall.sleep_until(far) => panic!("it was an hour"),
            () = tokio::time::sleep(Duration::from_secs(7_200)) => {}
        }
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
}
