//! Counts the calls of adapters that are asked for facts and make their calls themselves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

use crate::observer::tried;

/// How often each operation was called.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(Arc<Mutex<BTreeMap<String, u32>>>);

impl Tally {
    /// For one client. `service` is what actions begin with.
    pub(super) fn of(&self, service: &'static str) -> Counter {
        Counter {
            tally: self.clone(),
            service,
        }
    }

    /// Counts one call.
    pub(super) fn count(&self, operation: String) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = calls.entry(operation).or_default();
        *count = count.saturating_add(1);
    }

    /// What was called so far.
    pub(super) fn calls(&self) -> BTreeMap<String, u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Counts the calls of one client; the SDK's second tries are the same call.
#[derive(Clone, Debug)]
pub(super) struct Counter {
    tally: Tally,
    service: &'static str,
}

impl Intercept for Counter {
    fn name(&self) -> &'static str {
        "rollout-tally"
    }

    fn read_before_attempt(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some((call, false)) = tried(cfg) {
            self.tally.count(format!("{}:{call}", self.service));
        }
        Ok(())
    }
}
