//! What a plan rests on: the world as it was when the plan was made, and what has moved since.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dns::{Marker, Record, Snapshot};
use crate::id::{DeploymentId, Generation, ImageDigest, RunId, ServiceName, StepId, TaskDefinitionArn};
use crate::service::{Captured, Identity};
use crate::time::Timestamp;

/// The world as a plan, or the start of a rollout, saw it.
///
/// A rollout that is told what its plan [assumes](crate::machine::rollout::Terms::assumes) reads the world anew, as it always
/// does before its first change, and refuses when this differs from what it reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assumed {
    /// When it was read. Not compared.
    pub at: Timestamp,
    /// Who asked. Account and region must still be these. The caller need not be: a plan is often made by one that may only
    /// read, and run by one that may write; who may run it is what [`ExpectedIdentity`](super::ExpectedIdentity) says.
    pub identity: Option<Identity>,
    /// What each service runs.
    pub services: BTreeMap<ServiceName, AssumedService>,
    /// What each record says, by the [step](super::step::record) that reads it.
    pub records: BTreeMap<StepId, AssumedRecord>,
    /// The image that each tag named, by the [step](super::step::image) that promotes it.
    pub images: BTreeMap<StepId, ImageDigest>,
}

impl Assumed {
    pub(crate) fn is_empty(&self) -> bool {
        self.identity.is_none()
            && self.services.is_empty()
            && self.records.is_empty()
            && self.images.is_empty()
    }

    /// The TTL of each record, by the step that reads it; see [`WorstCase::of`](super::worst::WorstCase::of).
    #[must_use]
    pub fn ttls(&self) -> BTreeMap<StepId, Duration> {
        let ttl =
            |(step, of): (&StepId, &AssumedRecord)| Some((step.clone(), of.record.as_ref()?.data.ttl()));
        self.records.iter().filter_map(ttl).collect()
    }
}

/// What a service runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssumedService {
    /// The PRIMARY deployment.
    pub deployment: Option<DeploymentId>,
    /// Since when there is that deployment, where the platform tells. Not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// What there would be to go back to; `None` when there is nothing.
    pub point: Option<AssumedPoint>,
}

/// What a service would go back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssumedPoint {
    /// Its revision.
    pub task_definition: TaskDefinitionArn,
    /// Tasks wanted.
    pub desired: u32,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssumedRecord {
    /// The record; `None` when there is none.
    pub record: Option<Record>,
    /// The generation of its last writer.
    pub generation: Generation,
    /// The run of its last writer, where it was one of ours. Not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_by: Option<RunId>,
}

impl From<&Captured> for AssumedService {
    fn from(captured: &Captured) -> Self {
        match captured {
            Captured::Point(point) => Self {
                deployment: Some(point.deployment.clone()),
                since: point.since,
                point: Some(AssumedPoint {
                    task_definition: point.task_definition.clone(),
                    desired: point.desired,
                }),
            },
            Captured::Busy { deployment, .. } => Self {
                deployment: Some(deployment.clone()),
                since: None,
                point: None,
            },
            Captured::Nothing { deployment, .. } => Self {
                deployment: deployment.clone(),
                since: None,
                point: None,
            },
        }
    }
}

impl From<&Snapshot> for AssumedRecord {
    fn from(snapshot: &Snapshot) -> Self {
        let marker = snapshot
            .marker
            .as_ref()
            .and_then(|marker| Marker::parse(&marker.data));
        Self {
            record: snapshot.record.clone(),
            generation: snapshot.generation(),
            written_by: marker.map(|marker| marker.run),
        }
    }
}

/// One thing that is not what a plan assumes. `Display` is one fragment for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// What: `service backend, PRIMARY deployment`.
    pub what: String,
    /// What it was when the plan was made.
    pub was: String,
    /// What it is.
    pub is: String,
    /// Since when, where the platform tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was {} and is {}", self.what, self.was, self.is)?;
        match self.since {
            Some(since) => write!(f, " since {since}"),
            None => Ok(()),
        }
    }
}

/// Everything that is not what was assumed, in a fixed order. What was not assumed is not compared, so that a rollout may
/// read more than its plan rests on; what was assumed and was not seen has moved.
#[must_use]
pub fn moved(assumed: &Assumed, seen: &Assumed) -> Vec<Moved> {
    let mut all = Vec::new();
    if let Some(was) = &assumed.identity {
        let is = seen.identity.as_ref();
        let mut compare = |what: &str, was: &str, is: Option<&str>| {
            note(
                &mut all,
                format!("the {what}"),
                was,
                is.unwrap_or("not known"),
                None,
            );
        };
        compare("account", &was.account, is.map(|is| is.account.as_str()));
        compare("region", &was.region, is.map(|is| is.region.as_str()));
    }
    for (name, was) in &assumed.services {
        match seen.services.get(name) {
            Some(is) => service_moved(&mut all, name, was, is),
            None => note(&mut all, format!("service {name}"), "read", "not read", None),
        }
    }
    for (step, was) in &assumed.images {
        let is = seen.images.get(step).map_or("not resolved", ImageDigest::as_str);
        note(&mut all, step.to_string(), was.as_str(), is, None);
    }
    for (step, was) in &assumed.records {
        match seen.records.get(step) {
            Some(is) => record_moved(&mut all, step, was, is),
            None => note(&mut all, format!("record {step}"), "read", "not read", None),
        }
    }
    all
}

fn note(all: &mut Vec<Moved>, what: String, was: &str, is: &str, since: Option<Timestamp>) {
    if was != is {
        all.push(Moved {
            what,
            was: was.to_owned(),
            is: is.to_owned(),
            since,
        });
    }
}

fn service_moved(all: &mut Vec<Moved>, name: &ServiceName, was: &AssumedService, is: &AssumedService) {
    let deployment = |of: &AssumedService| {
        of.deployment
            .as_ref()
            .map_or_else(|| "none".to_owned(), ToString::to_string)
    };
    let revision = |of: &AssumedService| {
        of.point.as_ref().map_or_else(
            || "nothing to go back to".to_owned(),
            |point| point.task_definition.to_string(),
        )
    };
    let since = is.since;
    note(
        all,
        format!("service {name}, PRIMARY deployment"),
        &deployment(was),
        &deployment(is),
        since,
    );
    note(
        all,
        format!("service {name}, revision"),
        &revision(was),
        &revision(is),
        since,
    );
    if let (Some(was), Some(is)) = (&was.point, &is.point) {
        let what = format!("service {name}, tasks wanted");
        note(all, what, &was.desired.to_string(), &is.desired.to_string(), None);
    }
}

fn record_moved(all: &mut Vec<Moved>, step: &StepId, was: &AssumedRecord, is: &AssumedRecord) {
    let key = was
        .record
        .as_ref()
        .or(is.record.as_ref())
        .map(|record| &record.key);
    let name = key.map_or_else(|| step.to_string(), ToString::to_string);
    let by = is
        .written_by
        .as_ref()
        .map(|run| format!(" (written by run {run})"))
        .unwrap_or_default();
    if was.record != is.record {
        let (was, is) = (says(was.record.as_ref()), says(is.record.as_ref()));
        // What differs beyond the words that people read is told as it is stored.
        let (was, is) = if was.text == is.text {
            (was.whole, is.whole)
        } else {
            (was.text, is.text)
        };
        note(all, format!("record {name}"), &was, &format!("{is}{by}"), None);
    }
    note(
        all,
        format!("record {name}, its last writer's generation"),
        &was.generation.to_string(),
        &format!(
            "{}{}",
            is.generation,
            if was.generation == is.generation { "" } else { &by }
        ),
        None,
    );
}

struct Says {
    text: String,
    whole: String,
}

fn says(record: Option<&Record>) -> Says {
    match record {
        None => Says {
            text: "no record".to_owned(),
            whole: "no record".to_owned(),
        },
        Some(record) => {
            let weight = record
                .weight
                .map(|weight| format!(", weight {weight}"))
                .unwrap_or_default();
            Says {
                text: format!("{}{weight}", record.data),
                whole: serde_json::to_string(record).unwrap_or_default(),
            }
        }
    }
}

#[cfg(test)]
mod tests;
