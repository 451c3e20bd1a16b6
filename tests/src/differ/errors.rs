//! What the SDK says of a call that was refused.

use aws_sdk_ecs::error::ProvideErrorMetadata;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

/// `ok`, or the code of the refusal with its HTTP status.
pub fn answer<T, E: ProvideErrorMetadata>(result: &Result<T, SdkError<E, HttpResponse>>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => code(error),
    }
}

/// The code of a refusal with its HTTP status.
pub fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> String {
    let status = error.raw_response().map_or(0, |raw| raw.status().as_u16());
    match error {
        SdkError::ServiceError(refused) => {
            let code = refused.err().code().unwrap_or("no code");
            format!("{code} ({status})")
        }
        SdkError::ResponseError(_) => format!("an answer that cannot be read ({status})"),
        _ => "no answer".to_owned(),
    }
}
