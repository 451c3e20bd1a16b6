//! What the world knows of a resource, as a fact: one place for each kind, where it meets what stands beside it in the
//! surroundings.
//!
//! The world wins for what it models, and the surroundings fill the rest. Three things are sketched in most worlds, and count as
//! not told where they are: a task definition with nothing but images, a load balancer without an HTTPS listener (requests of
//! every port meet its first one), and settings that are as a builder leaves them, such as a repository without a lifecycle
//! policy.

mod edge;
mod image;
mod task;
mod waf;
mod watch;

pub(crate) use edge::{balancer, certificate, target_group, zone};
pub(crate) use image::{image, repository, secret};
pub(crate) use task::{is_sketch, service, task_definition};
pub(crate) use waf::web_acl;
pub(crate) use watch::{alarm, metric_of};

use rollout_core::readiness::known::{Known, Table};

/// What the surroundings say of a resource that they know.
pub(crate) fn beside<'a, T>(table: &'a Table<T>, name: &str) -> Option<&'a T> {
    table.find(name).ok().flatten()
}

/// What the surroundings say of a resource, whatever that is; `None` when they do not speak of it.
pub(crate) fn told<T: Clone>(table: &Table<T>, name: &str) -> Option<Known<T>> {
    if !table.has(name) {
        return None;
    }
    Some(match table.find(name) {
        Ok(Some(value)) => Known::Seen(value.clone()),
        Ok(None) => Known::Missing,
        Err(unseen) => Known::Unknown(unseen),
    })
}

/// Whole seconds of milliseconds.
fn seconds(millis: u64) -> u32 {
    u32::try_from(millis / 1_000).unwrap_or(u32::MAX)
}
