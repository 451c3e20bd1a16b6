//! How clients are made: the SDK's own retry is the only retry layer below the machines, and it is set here.
//!
//! - **Reads** are tried up to [`ATTEMPTS`] times by the SDK (standard mode: exponential back-off with jitter, and a token
//!   bucket that stops retrying when most calls fail).
//! - **Mutating calls** that carry no token of their own are sent once: see [`once`]. A lost answer to them is
//!   [`Applied::Maybe`](rollout_core::error::Applied::Maybe), and only the machine repeats, after it has looked.

use core::time::Duration;

use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::identity::{
    IdentityFuture, ResolveCachedIdentity, ResolveIdentity as _, SharedIdentityResolver,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::app_name::AppName;

/// Tries of one read, the first included.
pub(crate) const ATTEMPTS: u32 = 4;
/// The longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// The longest wait for one try.
const ATTEMPT: Duration = Duration::from_secs(15);
/// The longest wait for all tries of one call together.
const OPERATION: Duration = Duration::from_secs(60);

/// The caller's configuration with our retry layer and application name, and our timeouts where it has none.
///
/// A configuration without a sleep implementation (one made by hand; `aws_config::load_defaults` sets it) can neither
/// retry nor time out: both are then off, and credentials are resolved anew for every call, where the SDK's client would
/// panic.
pub(crate) fn prepare(config: &SdkConfig) -> SdkConfig {
    prepare_with(config, ATTEMPT, OPERATION)
}

/// The same for calls that carry a layer's part of 20 MiB.
#[cfg(feature = "ecr")]
pub(crate) fn prepare_transfer(config: &SdkConfig) -> SdkConfig {
    prepare_with(config, Duration::from_secs(180), Duration::from_secs(600))
}

fn prepare_with(config: &SdkConfig, attempt: Duration, operation: Duration) -> SdkConfig {
    let mut prepared = config.to_builder();
    if config.sleep_impl().is_some() {
        let ours = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(attempt)
            .operation_timeout(operation)
            .build();
        let mut timeouts = config
            .timeout_config()
            .cloned()
            .unwrap_or_else(|| TimeoutConfig::builder().build());
        timeouts.take_defaults_from(&ours);
        prepared = prepared
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts);
    } else {
        prepared = prepared
            .retry_config(once())
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if config.identity_cache().is_none() {
            prepared = prepared.identity_cache(Uncached);
        }
    }
    if config.behavior_version().is_none() {
        prepared = prepared.behavior_version(BehaviorVersion::v2026_01_12());
    }
    if config.app_name().is_none()
        && let Ok(name) = AppName::new(concat!("rollout-", env!("CARGO_PKG_VERSION")))
    {
        prepared = prepared.app_name(name);
    }
    prepared.build()
}

/// The SDK's own cache of credentials needs to sleep.
#[derive(Debug)]
struct Uncached;

impl ResolveCachedIdentity for Uncached {
    fn resolve_cached_identity<'a>(
        &'a self,
        resolver: SharedIdentityResolver,
        components: &'a RuntimeComponents,
        bag: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        IdentityFuture::new(async move { resolver.resolve_identity(components, bag).await })
    }
}

/// One try. For `customize().config_override(Builder::new().retry_config(once()))` on a mutating call: a second try by
/// the SDK after a lost answer would be a blind repeat, and its refusal would say nothing about the first.
pub(crate) fn once() -> RetryConfig {
    RetryConfig::disabled()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_without_sleep_does_not_panic_a_client() {
        let prepared = prepare(&SdkConfig::builder().build());
        assert!(!prepared.retry_config().is_some_and(RetryConfig::has_retry));
        assert!(prepared.app_name().is_some());
        #[cfg(feature = "sts")]
        let _client = aws_sdk_sts::Client::new(&prepared);
    }
}
