//! What the SDK does between an adapter's call and the wire: second tries, and answers that say "too many".

use std::sync::Arc;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata};
use aws_smithy_runtime_api::client::retries::RequestAttempts;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use rollout_core::error::ErrorKind;

use super::SharedObserver;
use crate::error::classify;

/// Tells the observer what it did not let through itself. For one client.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    observer: Arc<SharedObserver>,
    /// As signatures name it.
    service: &'static str,
}

impl Meter {
    pub(crate) fn new(observer: &Arc<SharedObserver>, service: &'static str) -> Self {
        Self {
            observer: Arc::clone(observer),
            service,
        }
    }
}

/// The operation that is about to be sent, and whether it was sent before: the SDK's second tries are the same call.
pub(crate) fn tried(cfg: &ConfigBag) -> Option<(&str, bool)> {
    let again = cfg
        .load::<RequestAttempts>()
        .is_some_and(|made| made.attempts() > 1);
    cfg.load::<Metadata>().map(|call| (call.name(), again))
}

impl Intercept for Meter {
    fn name(&self) -> &'static str {
        "rollout-meter"
    }

    fn read_before_attempt(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some((call, again)) = tried(cfg) {
            self.observer.sends(self.service, call);
            if again {
                self.observer.pace.charge(self.service, call);
            }
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let too_many = context
            .response()
            .is_some_and(|answer| is_too_many(&code(answer).unwrap_or_default(), answer.status().as_u16()));
        if let Some(call) = cfg.load::<Metadata>().filter(|_| too_many) {
            self.observer.pace.throttled(self.service, call.name());
        }
        Ok(())
    }
}

/// Whether a code says that the account calls too often. A zone that is busy with one change does not say so.
fn is_too_many(code: &str, status: u16) -> bool {
    code != "PriorRequestNotComplete" && classify(code, status).kind == ErrorKind::Throttled
}

/// The error code of an answer, whichever protocol it speaks.
fn code(answer: &HttpResponse) -> Option<String> {
    if answer.status().is_success() {
        return None;
    }
    // Of services that once spoke another protocol (Smithy, "awsQueryCompatible trait"): the old code, and whose fault it is.
    let headers = ["x-amzn-query-error", "x-amzn-errortype"];
    if let Some(text) = headers.into_iter().find_map(|name| answer.headers().get(name)) {
        return text.split([';', ':']).next().map(str::to_owned);
    }
    let body = answer.body().bytes()?;
    if let Ok(json) = serde_json::from_slice::<serde_json::Value>(body) {
        let kind = json.get("__type").or_else(|| json.get("code"))?.as_str()?;
        return kind.rsplit('#').next().map(str::to_owned);
    }
    let text = core::str::from_utf8(body).ok()?;
    let (_, after) = text.split_once("<Code>")?;
    after.split_once("</Code>").map(|(code, _)| code.to_owned())
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::body::SdkBody;

    use super::*;

    fn answer(status: u16, body: &'static str) -> HttpResponse {
        HttpResponse::new(status.try_into().expect("a status"), SdkBody::from(body))
    }

    #[test]
    fn the_code_is_read_in_every_protocol() {
        let json = answer(
            400,
            r#"{"__type":"com.amazonaws.ecs#ThrottlingException","message":"Rate exceeded"}"#,
        );
        assert_eq!(code(&json).as_deref(), Some("ThrottlingException"));
        let xml = answer(
            400,
            "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>",
        );
        assert_eq!(code(&xml).as_deref(), Some("Throttling"));
        let mut cbor = answer(400, "\u{1}");
        cbor.headers_mut()
            .insert("x-amzn-query-error", "Throttling;Sender");
        assert_eq!(code(&cbor).as_deref(), Some("Throttling"));
        assert_eq!(code(&answer(200, r#"{"__type":"Throttling"}"#)), None);
        assert_eq!(code(&answer(500, "no")), None);
    }
}
