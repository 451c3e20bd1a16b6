//! Answers of a service that was asked over HTTP.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Something that is known of a service only by asking it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Headers that a check asked for, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The beginning of the body.
    pub body: String,
}
