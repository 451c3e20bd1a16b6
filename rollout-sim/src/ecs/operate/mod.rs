//! The operations of the Amazon ECS API on an environment: what they take, what they refuse, what they answer.
//!
//! Inputs and answers have the names and shapes of the API's JSON, so that an endpoint decodes and encodes them as they are;
//! moments are seconds since the epoch, as `awsJson1.1` has them. Nothing here knows of HTTP, pages or signatures: a list is
//! whole and in a fixed order. What a service is given besides is kept and told again, and not acted upon.
//!
//! Texts of refusals are AWS's where a public report of them was found, else ours.

use rollout_core::time::Timestamp;
use serde::{Serialize, Serializer};

use super::Environment;
use super::revision::Revision;

pub(crate) mod cluster;
pub(crate) mod configuration;
pub(crate) mod definition;
pub(crate) mod rollout;
pub(crate) mod service;
pub(crate) mod task;
#[cfg(test)]
mod tests;

/// A call that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The name of the exception.
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// `resourceIds` of a `ConflictException`.
    pub(crate) resources: Vec<String>,
}

/// Something of a batch that could not be told or done (Amazon ECS API, "Failure").
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Failure {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) arn: Option<String>,
    pub(crate) reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
}

impl Failure {
    pub(crate) fn missing(arn: impl Into<String>) -> Self {
        Self {
            arn: Some(arn.into()),
            reason: "MISSING".to_owned(),
            detail: None,
        }
    }
}

pub(super) fn refused(code: &'static str, message: impl Into<String>) -> Refused {
    Refused {
        code,
        message: message.into(),
        resources: Vec::new(),
    }
}

pub(super) fn invalid(message: impl Into<String>) -> Refused {
    refused("InvalidParameterException", message)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde wants")]
pub(super) fn seconds<S: Serializer>(at: &Timestamp, out: S) -> Result<S::Ok, S::Error> {
    // Milliseconds up to the year 9999 are exact in a double.
    out.serialize_f64(at.as_millis() as f64 / 1_000.0)
}

#[expect(clippy::ref_option, reason = "the shape that serde wants")]
pub(super) fn maybe_seconds<S: Serializer>(at: &Option<Timestamp>, out: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => seconds(at, out),
        None => out.serialize_none(),
    }
}

/// The last part of a name or an ARN.
fn short(text: &str) -> &str {
    text.rsplit('/').next().unwrap_or(text)
}

impl Environment {
    pub(super) fn arn(&self, rest: &str) -> String {
        format!("arn:aws:ecs:{}:{}:{rest}", self.region, self.account)
    }

    pub(crate) fn cluster_arn(&self, cluster: u16) -> String {
        self.arn(&format!("cluster/{}", self.clusters[cluster as usize].name))
    }

    /// A cluster by name or ARN; `default` when none is named.
    pub(crate) fn find_cluster(&self, named: Option<&str>) -> Result<u16, Refused> {
        let name = short(named.unwrap_or("default"));
        let mut all = self.clusters.iter().zip(0_u16..);
        let found = all.find(|(c, _)| c.name == name).map(|(_, index)| index);
        found.ok_or_else(|| refused("ClusterNotFoundException", "Cluster not found."))
    }

    /// A service by name or ARN. The ARN's own cluster is not looked at: AWS wants the cluster named beside it.
    pub(crate) fn find_service(&self, cluster: Option<&str>, named: &str) -> Result<u16, Refused> {
        let cluster = self.find_cluster(cluster)?;
        let found = self.service_in(cluster, short(named));
        found.ok_or_else(|| refused("ServiceNotFoundException", "Service not found."))
    }

    /// A task definition by family (its newest ACTIVE revision), family and revision, or ARN.
    pub(crate) fn find_definition(&self, named: &str) -> Option<(u32, &Revision)> {
        let name = short(named);
        let fits = |revision: &Revision| match name.split_once(':') {
            Some((family, number)) => {
                revision.family == family && number.parse().is_ok_and(|n: u32| n == revision.number)
            }
            None => revision.family == name && revision.active,
        };
        let index = self.revisions.iter().rposition(fits)?;
        Some((u32::try_from(index).ok()?, &self.revisions[index]))
    }

    /// A task definition that something new can run. `ClientException` is for "an identifier that isn't valid" (Amazon ECS
    /// API, "RunTask", "CreateService").
    pub(super) fn usable_definition(&self, named: &str) -> Result<u32, Refused> {
        let Some((index, revision)) = self.find_definition(named) else {
            return Err(refused("ClientException", "TaskDefinition not found."));
        };
        if revision.active {
            Ok(index)
        } else {
            Err(refused("ClientException", "TaskDefinition is inactive"))
        }
    }
}
