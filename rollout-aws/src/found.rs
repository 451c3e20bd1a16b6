//! What a look for a part of the way back says: there, gone, or not to be known.

#[cfg(any(feature = "secretsmanager", feature = "ssm"))]
use rollout_core::error::{Error, ErrorKind};
use rollout_core::service::Found;

pub(crate) fn gone(why: impl Into<String>) -> Found {
    Found::Gone { why: why.into() }
}

pub(crate) fn unknown(why: impl Into<String>) -> Found {
    Found::Unknown { why: why.into() }
}

/// What a refused look says: that it is not there, that nobody may know, or nothing at all.
///
/// # Errors
/// The refusal, where it may be found out later.
#[cfg(any(feature = "secretsmanager", feature = "ssm"))]
pub(crate) fn unseen(error: Error) -> Result<Found, Error> {
    match error.kind {
        ErrorKind::NotFound => Ok(gone("it does not exist")),
        ErrorKind::PermissionDenied | ErrorKind::Unsupported | ErrorKind::InvalidRequest => {
            Ok(unknown(error.to_string()))
        }
        _ => Err(error),
    }
}
