//! What the emulator suite builds its world from: accounts, environments, zones and a web server, made and looked at through
//! the AWS API alone. Nothing here asks `rollout` what it believes; [`release`] alone hands work to it.

pub mod account;
pub mod release;
pub mod site;
pub mod wait;
pub mod web;
pub mod zone;

use core::fmt::Debug;
use core::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

/// The region of everything.
pub const REGION: &str = "us-east-1";

/// Which emulator answers; set by `cargo xtask emulator test`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emulator {
    /// ECS rolling deployments with simulated containers.
    Ministack,
    /// LocalStack, with MiniStack beside it for ECS, ECR, load balancers and logs.
    Localstack,
    /// Broad and shallow: no task is ever started for a service.
    Moto,
}

impl Emulator {
    /// The emulator of `ROLLOUT_EMULATOR`, or why there is none.
    ///
    /// # Errors
    /// When the variable, or the endpoint beside it, is missing or not known: the suite must never reach AWS.
    pub fn from_env() -> Result<Self, String> {
        if std::env::var_os("AWS_ENDPOINT_URL").is_none() {
            return Err("AWS_ENDPOINT_URL is not set: run `cargo xtask emulator test`".to_owned());
        }
        match std::env::var("ROLLOUT_EMULATOR").as_deref() {
            Ok("ministack") => Ok(Self::Ministack),
            Ok("localstack") => Ok(Self::Localstack),
            Ok("moto") => Ok(Self::Moto),
            other => Err(format!(
                "ROLLOUT_EMULATOR is {other:?}: run `cargo xtask emulator test`"
            )),
        }
    }

    /// The name in `ROLLOUT_EMULATOR`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ministack => "ministack",
            Self::Localstack => "localstack",
            Self::Moto => "moto",
        }
    }
}

/// A short name that nothing else on the emulator has: tests run side by side, and one after the other on the same server.
#[must_use]
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nth = NEXT.fetch_add(1, Ordering::Relaxed);
    let second = wait::now().as_millis() / 1000 % 0x00ff_ffff;
    format!("{prefix}-{second:06x}{:x}{nth:x}", std::process::id())
}

/// An id that is known to be well formed.
///
/// # Panics
/// When it is not.
#[must_use]
pub fn id<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error:?}"))
}
