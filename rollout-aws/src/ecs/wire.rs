//! JSON as it is: the body of an awsJson1.1 request is exactly what `--cli-input-json` takes (ADR 0006).

use core::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use serde_json::Value;

/// Replaces the request's body before it is signed, and keeps the answer's.
#[derive(Clone, Default)]
pub(crate) struct AsIs {
    request: Option<Vec<u8>>,
    answer: Arc<Mutex<Vec<u8>>>,
}

impl AsIs {
    /// Sends `body` in place of what the SDK has serialised.
    pub(crate) fn sending(body: &Value) -> Self {
        Self {
            request: Some(body.to_string().into_bytes()),
            answer: Arc::default(),
        }
    }

    /// Only keeps the answer.
    pub(crate) fn reading() -> Self {
        Self::default()
    }

    /// The answer's JSON; `Null` when there was none or it is no JSON (then the SDK has already said so).
    pub(crate) fn answer(&self) -> Value {
        serde_json::from_slice(&self.answer.lock().unwrap_or_else(PoisonError::into_inner))
            .unwrap_or_default()
    }
}

impl fmt::Debug for AsIs {
    /// Without the bodies: a task definition may hold what people should not have put into it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsIs").finish_non_exhaustive()
    }
}

impl Intercept for AsIs {
    fn name(&self) -> &'static str {
        "rollout-json-as-is"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(body) = &self.request {
            let request = context.request_mut();
            request
                .headers_mut()
                .insert("content-length", body.len().to_string());
            *request.body_mut() = SdkBody::from(body.clone());
        }
        Ok(())
    }

    // Not before: until then the body is a stream that nobody has read (it is bytes only where a test says so).
    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(bytes) = context.response().body().bytes() {
            *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = bytes.to_vec();
        }
        Ok(())
    }
}
