//! The one file that turns an SDK error into a port's [`Error`], by error code and never by message.
//!
//! Three questions are answered apart from each other: what went wrong (`kind`), may a repeat help (`retry`), may the
//! call have taken effect (`applied`). The last one decides whether the machine observes before it repeats:
//!
//! - The request never left (construction, credentials, connection refused): `No`.
//! - It may have left and no usable answer came (dispatch failure, timeout, unreadable answer), or the answer is a server
//!   fault (5xx): `Maybe` for a mutating call. The AWS documentation promises nothing about a request that ended in 5xx.
//! - The service said no, by a client error code: `No`. This holds because mutating calls without a token of their own are
//!   sent **once** ([`config::once`](crate::config)): with the SDK's retries, the refusal of the second try would say
//!   nothing about the first.

use core::fmt::{Display, Write as _};
use core::time::Duration;
use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{DispatchFailure, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use rollout_core::error::{Applied, Error, ErrorKind, Retry};

/// Maps the error of one call.
///
/// `operation` is the IAM action (`ecs:UpdateService`), `subject` what it was about, `mutating` whether a call that was
/// carried out has changed anything.
pub(crate) fn from_sdk<E>(
    operation: &'static str,
    subject: impl Display,
    mutating: bool,
    error: SdkError<E, HttpResponse>,
) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let unknown = if mutating { Applied::Maybe } else { Applied::No };
    match error {
        SdkError::ServiceError(answer) => {
            service_error(operation, &subject, unknown, answer.err(), answer.raw())
        }
        SdkError::ConstructionFailure(_) => local(operation, &subject, ErrorKind::InvalidRequest, error),
        SdkError::DispatchFailure(ref failure) => {
            dispatch_failure(operation, &subject, unknown, failure, &error).caused_by(error)
        }
        SdkError::TimeoutError(_) => Error::new(
            ErrorKind::TimedOut,
            operation,
            format!("{subject}: no answer in time"),
        )
        .retry(Retry::Exhausted)
        .applied(unknown)
        .caused_by(error),
        SdkError::ResponseError(ref answer) => {
            let status = answer.raw().status().as_u16();
            Error::new(
                ErrorKind::Unavailable,
                operation,
                format!("{subject}: the answer (HTTP {status}) cannot be read"),
            )
            .applied(unknown)
            .caused_by(error)
        }
        // The enum is open; whatever is new in it, nothing is known about the effect.
        error => Error::new(ErrorKind::Unexpected, operation, format!("{subject}: failed"))
            .applied(unknown)
            .caused_by(error),
    }
}

/// An error that arose before anything was sent.
fn local(
    operation: &str,
    subject: &impl Display,
    kind: ErrorKind,
    cause: impl StdError + Send + Sync + 'static,
) -> Error {
    Error::new(
        kind,
        operation,
        format!("{subject}: the request could not be made"),
    )
    .caused_by(cause)
}

fn dispatch_failure(
    operation: &str,
    subject: &impl Display,
    unknown: Applied,
    failure: &DispatchFailure,
    error: &(dyn StdError + 'static),
) -> Error {
    if let Some(credentials) = find::<CredentialsError>(error) {
        return credentials_error(operation, subject, credentials);
    }
    if failure.is_user() {
        return Error::new(
            ErrorKind::InvalidRequest,
            operation,
            format!("{subject}: the request could not be made"),
        );
    }
    let refused =
        find::<std::io::Error>(error).is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused);
    let (kind, context) = if failure.is_timeout() {
        (ErrorKind::TimedOut, "no answer in time")
    } else if refused {
        (ErrorKind::Unavailable, "the endpoint refused the connection")
    } else {
        (
            ErrorKind::Unavailable,
            "the endpoint could not be reached, or the connection broke",
        )
    };
    Error::new(kind, operation, format!("{subject}: {context}"))
        .retry(Retry::Exhausted)
        .applied(if refused { Applied::No } else { unknown })
}

fn credentials_error(operation: &str, subject: &impl Display, error: &CredentialsError) -> Error {
    let (kind, what) = match error {
        CredentialsError::CredentialsNotLoaded(_) => {
            (ErrorKind::PermissionDenied, "no credentials were found")
        }
        CredentialsError::InvalidConfiguration(_) => (
            ErrorKind::PermissionDenied,
            "the credentials' configuration is wrong",
        ),
        CredentialsError::ProviderTimedOut(_) => {
            (ErrorKind::TimedOut, "the credentials' source did not answer")
        }
        _ => (ErrorKind::Unavailable, "the credentials could not be fetched"),
    };
    Error::new(kind, operation, format!("{subject}: {what}; nothing was sent"))
}

fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn service_error(
    operation: &str,
    subject: &impl Display,
    unknown: Applied,
    error: &(impl ProvideErrorMetadata + StdError),
    answer: &HttpResponse,
) -> Error {
    let status = answer.status().as_u16();
    let meta = error.meta();
    let code = meta.code().unwrap_or("");
    let row = classify(code, status);
    let mut context = format!("{subject}: ");
    // Writing to a string cannot fail.
    let _ = match (meta.code(), meta.message()) {
        (Some(code), Some(message)) => write!(context, "{code}: {}", message.trim()),
        (Some(code), None) => write!(context, "{code}"),
        (None, Some(message)) => write!(context, "HTTP {status}: {}", message.trim()),
        (None, None) if answer.status().is_success() => {
            write!(context, "HTTP {status} with an answer that cannot be read")
        }
        (None, None) => write!(context, "HTTP {status} without an error code"),
    };
    if let Some(id) = request_id(meta.extra("aws_request_id"), answer) {
        let _ = write!(context, " (request id {id})");
    }
    let mut mapped = Error::new(row.kind, operation, context)
        .retry(row.retry)
        .applied(if row.server_fault { unknown } else { Applied::No });
    mapped.retry_after = retry_after(answer);
    mapped
}

fn request_id<'a>(known: Option<&'a str>, answer: &'a HttpResponse) -> Option<&'a str> {
    known.or_else(|| {
        ["x-amzn-requestid", "x-amz-request-id"]
            .into_iter()
            .find_map(|name| answer.headers().get(name))
    })
}

/// `x-amz-retry-after` is in milliseconds (as the SDK reads it), `retry-after` in seconds (RFC 9110).
fn retry_after(answer: &HttpResponse) -> Option<Duration> {
    let number = |name| {
        answer
            .headers()
            .get(name)
            .and_then(|text| text.parse::<u64>().ok())
    };
    number("x-amz-retry-after")
        .map(Duration::from_millis)
        .or_else(|| number("retry-after").map(Duration::from_secs))
}

pub(crate) struct Row {
    pub(crate) kind: ErrorKind,
    retry: Retry,
    server_fault: bool,
}

/// The table. A code that is not in it is judged by its ending, then by the HTTP status.
pub(crate) fn classify(code: &str, status: u16) -> Row {
    let client = |kind, retry| Row {
        kind,
        retry,
        server_fault: false,
    };
    // "Not implemented", whatever the code beside it: emulators answer so for what they lack.
    if status == 501 {
        return client(ErrorKind::Unsupported, Retry::Never);
    }
    match code {
        "ThrottlingException" | "Throttling" | "ThrottledException" | "TooManyRequestsException"
        | "RequestLimitExceeded" | "RequestThrottled" | "RequestThrottledException" | "BandwidthLimitExceeded"
        | "SlowDown" | "PriorRequestNotComplete" | "EC2ThrottledException" => {
            client(ErrorKind::Throttled, Retry::Exhausted)
        }
        "AccessDenied" | "AccessDeniedException" | "AuthFailure" | "UnauthorizedOperation" | "NotAuthorized"
        | "NotAuthorizedException" | "OptInRequired" | "UnrecognizedClientException" | "InvalidClientTokenId"
        | "InvalidSignatureException" | "SignatureDoesNotMatch" | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException" | "IncompleteSignature" | "IncompleteSignatureException"
        | "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "BlockedException" | "KmsException" => {
            client(ErrorKind::PermissionDenied, Retry::Never)
        }
        // "No such ..." of Route 53, S3 and older services; the `*NotFoundException` of the others is caught below.
        "AWS.SimpleQueueService.NonExistentQueue" | "QueueDoesNotExist" | "NoSuchHostedZone" | "NoSuchChange" | "NoSuchHealthCheck" | "NoSuchDelegationSet" | "ResourceNotFound"
        | "LoadBalancerNotFound" | "TargetGroupNotFound" | "ListenerNotFound" | "RuleNotFound"
        | "NoSuchEntity" | "WAFNonexistentItemException" => {
            client(ErrorKind::NotFound, Retry::Never)
        }
        // ECS says so about a service that is draining or inactive.
        "ServiceNotActiveException" => client(ErrorKind::NotFound, Retry::Never),
        "ConflictException" | "ResourceInUseException" | "ResourceInUse" | "UpdateInProgressException"
        | "OperationAbortedException" | "ConcurrentModification" | "ConcurrentModificationException"
        // Route 53: a DELETE that names other values than the current ones, or a CREATE over a record that exists.
        | "InvalidChangeBatch" => client(ErrorKind::Conflict, Retry::Never),
        "ResourceAlreadyExistsException" | "RepositoryAlreadyExistsException" | "ImageAlreadyExistsException"
        | "ImageTagAlreadyExistsException" | "LayerAlreadyExistsException" => {
            client(ErrorKind::AlreadyExists, Retry::Never)
        }
        "UnsupportedFeatureException" | "UnsupportedOperation" | "InvalidAction" | "UnknownOperationException"
        | "NotImplemented" | "NotImplementedException" => client(ErrorKind::Unsupported, Retry::Never),
        "ClientException" | "InvalidParameterException" | "InvalidParameterValue" | "InvalidParameter"
        | "InvalidParameterCombination" | "MissingParameter" | "InvalidInput" | "InvalidInputException"
        | "ValidationError" | "ValidationException" | "SerializationException" | "LimitExceededException"
        | "PlatformTaskDefinitionIncompatibilityException" | "PlatformUnknownException" => {
            client(ErrorKind::InvalidRequest, Retry::Never)
        }
        "RequestTimeout" | "RequestTimeoutException" => Row {
            kind: ErrorKind::TimedOut,
            retry: Retry::Exhausted,
            server_fault: true,
        },
        "ServerException" | "InternalFailure" | "InternalError" | "InternalServerError"
        | "InternalServerException" | "InternalServiceError" | "InternalServiceException"
        | "ServiceUnavailable" | "ServiceUnavailableException" => Row {
            kind: ErrorKind::Unavailable,
            retry: Retry::Exhausted,
            server_fault: true,
        },
        code if code.ends_with("NotFoundException") || code.ends_with("NotFound") => {
            client(ErrorKind::NotFound, Retry::Never)
        }
        code if code.starts_with("AccessDenied") => client(ErrorKind::PermissionDenied, Retry::Never),
        _ => by_status(status),
    }
}

/// What the HTTP status alone says.
fn by_status(status: u16) -> Row {
    let (kind, retry, server_fault) = match status {
        401 | 403 => (ErrorKind::PermissionDenied, Retry::Never, false),
        404 => (ErrorKind::NotFound, Retry::Never, false),
        409 => (ErrorKind::Conflict, Retry::Never, false),
        429 => (ErrorKind::Throttled, Retry::Exhausted, false),
        500..=599 => (ErrorKind::Unavailable, Retry::Exhausted, true),
        400..=499 => (ErrorKind::InvalidRequest, Retry::Never, false),
        _ => (ErrorKind::Unexpected, Retry::Never, true),
    };
    Row {
        kind,
        retry,
        server_fault,
    }
}
