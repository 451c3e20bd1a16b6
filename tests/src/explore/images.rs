//! The world of a promotion: a tag that may move, a source service, a target registry.

use rollout_core::error::{Applied, ErrorKind};
use rollout_core::id::ImageDigest;
use rollout_core::image::{Ensured, ManifestTree};
use rollout_core::machine::Machine as _;
use rollout_core::machine::promotion::{Effect, Event, Outcome, Promotion};
use rollout_core::service::{
    DeploymentObservation, DeploymentRole, Images, RolloutState, RunningTask, ServiceObservation,
    ServiceStatus,
};
use rollout_core::time::Timestamp;
use serde::Serialize;

use super::failure;
use super::single::{Call, Reply, World};

/// An image's digest.
#[must_use]
pub fn digest(of: &str) -> ImageDigest {
    ImageDigest::of(of.as_bytes())
}

/// A container's images.
///
/// # Panics
/// Never: the name is valid.
#[must_use]
pub fn images(version: &str) -> Images {
    Images::from([("app".parse().expect("valid"), digest(version))])
}

/// What the target registry holds of the new image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Held {
    /// Nothing.
    Nothing,
    /// The manifest, and not every layer.
    Part,
    /// All of it.
    Whole,
}

/// The world.
#[derive(Clone, Debug, Serialize)]
pub struct ImageWorld {
    /// What the tag names; `None`: it is gone.
    pub tag: Option<&'static str>,
    /// What the source service runs.
    pub source: &'static str,
    /// The target registry.
    pub held: Held,
    /// A copy whose answer was lost and that may still arrive.
    pub landing: bool,
    /// Faults left.
    pub faults: u8,
    /// Times that someone else may act.
    pub others: u8,
    /// Whether the reference is a tag.
    pub by_tag: bool,
    /// What the tag was last seen to name since the word to copy came.
    confirmed: Option<Option<ImageDigest>>,
    proceeded: bool,
    copied: bool,
}

impl ImageWorld {
    /// The new image in staging, nothing in the target.
    #[must_use]
    pub const fn new(by_tag: bool, faults: u8, others: u8) -> Self {
        Self {
            tag: Some("new"),
            source: "new",
            held: Held::Nothing,
            landing: false,
            faults,
            others,
            by_tag,
            confirmed: None,
            proceeded: false,
            copied: false,
        }
    }

    fn spend(&self) -> Option<Self> {
        let faults = self.faults.checked_sub(1)?;
        Some(Self {
            faults,
            ..self.clone()
        })
    }

    /// The same with so many faults left.
    #[must_use]
    pub fn with_faults(&self, faults: u8) -> Self {
        Self {
            faults,
            ..self.clone()
        }
    }

    /// After a copy has landed whose answer was lost, if one may.
    #[must_use]
    pub fn landed(&self) -> Option<Self> {
        self.landing.then(|| Self {
            landing: false,
            held: Held::Whole,
            ..self.clone()
        })
    }

    fn other(&self) -> Option<Self> {
        let others = self.others.checked_sub(1)?;
        Some(Self {
            others,
            ..self.clone()
        })
    }
}

/// What a source service shows that has run a version for an hour, or for no time.
///
/// # Panics
/// Never: the names are valid.
#[must_use]
pub fn shows(version: &str, at: Timestamp, old: bool) -> ServiceObservation {
    let id: rollout_core::id::DeploymentId = "ecs-svc/source".parse().expect("valid");
    let revision: rollout_core::id::TaskDefinitionArn = "source:1".parse().expect("valid");
    let started = if old {
        Timestamp::from_millis(at.as_millis().saturating_sub(3_600_000))
    } else {
        at
    };
    ServiceObservation {
        at,
        status: ServiceStatus::Active,
        desired: 1,
        running: 1,
        pending: 0,
        deployments: vec![DeploymentObservation {
            id: id.clone(),
            task_definition: revision.clone(),
            role: DeploymentRole::Primary,
            rollout: RolloutState::Completed,
            reason: None,
            desired: 1,
            running: 1,
            pending: 0,
            failed: 0,
            created_at: started,
            record: None,
        }],
        tasks: vec![RunningTask {
            task: "task/source".parse().expect("valid"),
            task_definition: revision,
            images: images(version),
            started_by: Some(id),
            started_at: Some(started),
        }],
        stopped: vec![],
        events: vec![],
    }
}

impl ImageWorld {
    fn copy(&self, out: &mut Vec<Reply<Self, Event>>) {
        let holds = |held| Self { held, ..self.clone() };
        let lost = || Event::CallFailed(failure(ErrorKind::TimedOut, Applied::Maybe));
        out.push(Reply::fair(
            "copied",
            holds(Held::Whole),
            Event::Copied(Ensured::Created),
        ));
        let Some(less) = self.spend() else { return };
        let faulty = |held| Self { held, ..less.clone() };
        out.push(Reply::fault(
            "copy: done, answer lost",
            faulty(Held::Whole),
            lost(),
        ));
        out.push(Reply::fault("copy: not done, answer lost", less.clone(), lost()));
        if self.held == Held::Nothing {
            out.push(Reply::fault(
                "copy: done in part, answer lost",
                faulty(Held::Part),
                lost(),
            ));
            out.push(Reply::fault(
                "copy: lies that it is done",
                faulty(Held::Part),
                Event::Copied(Ensured::Created),
            ));
        }
        let landing = Self {
            landing: true,
            ..less
        };
        out.push(Reply::fault("copy: answer lost, lands later", landing, lost()));
    }
}

impl World<Promotion> for ImageWorld {
    fn answers(&self, now: Timestamp, call: &Call<Effect>, out: &mut Vec<Reply<Self, Event>>) {
        match &call.effect {
            Effect::ResolveTag { .. } => {
                let event = Event::TagResolved(self.tag.map(digest));
                out.push(Reply::fair("tag resolved", self.clone(), event));
            }
            Effect::ObserveSource { .. } => {
                let seen = |version, old| Event::SourceObserved(Box::new(shows(version, now, old)));
                out.push(Reply::fair("source seen", self.clone(), seen(self.source, true)));
                if let Some(less) = self.spend() {
                    out.push(Reply::fault(
                        "source seen: too young",
                        less,
                        seen(self.source, false),
                    ));
                }
            }
            Effect::CopyImage { .. } => self.copy(out),
            Effect::ReadBack { image } => {
                let tree = |missing: Vec<ImageDigest>| {
                    Event::ReadBack(Some(ManifestTree {
                        digest: image.digest.clone(),
                        media_type: "m".to_owned(),
                        children: vec![],
                        missing,
                    }))
                };
                let found = match self.held {
                    Held::Nothing => Event::ReadBack(None),
                    Held::Part => tree(vec![digest("layer")]),
                    Held::Whole => tree(vec![]),
                };
                out.push(Reply::fair("read back", self.clone(), found));
                if let Some(less) = self.spend() {
                    out.push(Reply::fault(
                        "read back: not listed yet",
                        less,
                        Event::ReadBack(None),
                    ));
                }
            }
        }
        if let Some(less) = self.spend() {
            out.extend(Reply::none(less, Event::CallFailed));
        }
    }

    fn happenings(&self, _: Timestamp, machine: &Promotion, out: &mut Vec<Reply<Self, Event>>) {
        if machine.is_ready() {
            out.push(Reply::fair("proceed", self.clone(), Event::Proceed));
        }
        if let Some(landed) = self.landed() {
            out.push(Reply::silent("a lost copy lands", landed));
        }
        if let Some(less) = self.other() {
            if self.tag == Some("new") {
                out.push(Reply::silent(
                    "the tag moves",
                    Self {
                        tag: Some("moved"),
                        ..less.clone()
                    },
                ));
                out.push(Reply::silent(
                    "the tag is deleted",
                    Self {
                        tag: None,
                        ..less.clone()
                    },
                ));
            }
            if self.source == "new" {
                out.push(Reply::silent(
                    "staging deploys something else",
                    Self {
                        source: "other",
                        ..less
                    },
                ));
            }
        }
    }

    fn pass(&mut self, _: Timestamp) {}

    fn judge(
        &mut self,
        _: Timestamp,
        before: &Promotion,
        event: &Event,
        effects: &[Effect],
        after: &Promotion,
    ) -> Result<(), String> {
        match event {
            Event::Proceed if before.is_ready() => {
                self.proceeded = true;
                self.confirmed = None;
            }
            Event::TagResolved(found) => self.confirmed = Some(found.clone()),
            _ => {}
        }
        for effect in effects {
            if let Effect::CopyImage { from, .. } = effect {
                if !self.proceeded {
                    return Err("I-1: it copies before it was let".to_owned());
                }
                if from.digest != digest("new") {
                    return Err(format!("I-26: it copies {}", from.digest));
                }
                let same = self.confirmed == Some(Some(from.digest.clone()));
                if self.by_tag && !same && !self.copied {
                    return Err("I-26: it copies without having seen the tag once more".to_owned());
                }
                self.copied = true;
            }
        }
        match after.outcome() {
            Some(Outcome::Promoted { image, .. }) if image.digest != digest("new") => {
                Err("I-26: another image is promoted".to_owned())
            }
            Some(Outcome::Promoted { .. }) if self.held != Held::Whole => {
                Err("I-26: promoted, and the target does not hold it whole".to_owned())
            }
            Some(Outcome::Refused(reason)) if self.copied => {
                Err(format!("I-1: refused after a copy was begun: {}", reason.text))
            }
            Some(Outcome::Failed(reason)) if !self.copied => {
                Err(format!("failed before anything was copied: {}", reason.text))
            }
            Some(Outcome::Promoted { .. } | Outcome::Refused(_) | Outcome::Failed(_)) | None => Ok(()),
        }
    }

    fn end(outcome: &Outcome) -> &'static str {
        match outcome {
            Outcome::Promoted { .. } => "promoted",
            Outcome::Refused(_) => "refused",
            Outcome::Failed(_) => "failed",
        }
    }
}
