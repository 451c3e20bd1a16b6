//! The one place of this crate that reads the system clock; every adapter takes another one.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rollout_core::time::Timestamp;

/// Says what time it is. Only observations' `at` depends on it.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The system's clock; before 1970 it is the epoch.
#[must_use]
pub fn system() -> Now {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    })
}
