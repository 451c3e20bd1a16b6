//! What is known of the release itself, and of the way back from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::data::Record;
use crate::readiness::known::Known;
use crate::service::{RestorePoint, Usability};
use crate::time::Timestamp;

/// What one service would go back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayBack {
    /// The restore point; `None` when there is nothing to go back to.
    pub point: Option<RestorePoint>,
    /// Whether everything that it rests on is still there.
    pub usability: Usability,
}

/// Where the release was proven, one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proven {
    /// The images that run there, `repository@digest` by container.
    pub images: BTreeMap<String, String>,
    /// Since when exactly they run there.
    pub since: Option<Timestamp>,
}

/// What people have written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    /// The last time that the way back was tried.
    pub rollback_drill: Known<Record>,
    /// The last time that the database was restored from a backup.
    pub restore_test: Known<Record>,
    /// Who agreed to this release.
    pub approvals: Vec<Record>,
    /// The last smoke test of this release where it was proven.
    pub smoke_test: Known<Record>,
}
