//! What must hold for a rollout to begin, besides what it reads of its services: that the world is what its plan rests on, and
//! that there is time for the worst case (invariant I-21).

use serde::{Deserialize, Serialize};

use super::work::{Child, Work};
use crate::evidence::{Cause, Evidence, Reason};
use crate::plan::RolloutPlan;
use crate::plan::assumed::{Assumed, AssumedService, moved};
use crate::plan::window::{Window, WindowState};
use crate::plan::worst::WorstCase;
use crate::service::Identity;
use crate::time::{Timestamp, human};

/// What must hold for it to begin. Once it has begun none of it is asked for any more: work in progress may always finish or
/// go back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The world that the plan rests on. What differs is refused with [`Cause::WorldMoved`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumes: Option<Assumed>,
    /// When changes may be made. It must be open, and stay open for the worst case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// What else lets it act, and until when, such as a lease that is not renewed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<Ends>,
}

/// Something that lets it act, up to a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends {
    /// What, with its article: `the lease`.
    pub what: String,
    /// It lasts until right before this moment.
    pub at: Timestamp,
}

impl Terms {
    /// Whether there is time: the window is open, and window, credentials and everything else last from `now` for the worst
    /// case. The credentials are those of `identity`.
    ///
    /// # Errors
    /// A reason with [`Cause::NoTime`] that names everything that ends too early.
    pub fn time(&self, now: Timestamp, worst: &WorstCase, identity: Option<&Identity>) -> Result<(), Reason> {
        let until = now.after(worst.total());
        let mut short: Vec<String> = Vec::new();
        match self.window.as_ref().map(|window| window.at(now)) {
            Some(WindowState::Shut { why, opens }) => {
                let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
                let opens = opens.map_or_else(
                    || "it does not open again".to_owned(),
                    |opens| format!("it opens at {opens}"),
                );
                short.push(format!("the change window is shut{why}: {opens}"));
            }
            Some(WindowState::Open { until: shuts }) if shuts < until => {
                short.push(format!("the change window shuts at {shuts}"));
            }
            Some(WindowState::Open { .. }) | None => {}
        }
        let credentials = identity.and_then(|identity| identity.expires_at);
        let credentials = credentials.map(|at| ("the credentials, which nothing renews,", at));
        let ends = self.ends.iter().map(|ends| (ends.what.as_str(), ends.at));
        let early = credentials.into_iter().chain(ends).filter(|(_, at)| *at < until);
        short.extend(early.map(|(what, at)| format!("{what} end at {at}")));
        if short.is_empty() {
            return Ok(());
        }
        let why = format!(
            "there is not enough time: {}; at worst the release and its way back take {}, until {until}",
            short.join("; "),
            human(worst.total())
        );
        let seen = short
            .iter()
            .map(|what| Evidence::new(now, "check", "time", what.as_str()));
        Err(Reason::new(Cause::NoTime, why).with(seen))
    }
}

/// Whether it may begin, when everything has been read.
pub(super) fn hold(
    plan: &RolloutPlan,
    terms: Option<&Terms>,
    work: &Work,
    now: Timestamp,
) -> Result<(), Reason> {
    let seen = seen(work);
    if let Some(assumed) = terms.and_then(|terms| terms.assumes.as_ref()) {
        let moved = moved(assumed, &seen);
        if !moved.is_empty() {
            let things = match moved.len() {
                1 => "1 thing has moved".to_owned(),
                n => format!("{n} things have moved"),
            };
            let why = format!(
                "the world is not what the plan rests on: {things} since {}; make a new plan",
                assumed.at
            );
            let seen = moved.iter().map(|moved| {
                let since = moved
                    .since
                    .map(|since| format!(" since {since}"))
                    .unwrap_or_default();
                let detail = format!("was {}, is {}{since}", moved.was, moved.is);
                Evidence::new(now, "plan", moved.what.as_str(), detail)
            });
            return Err(Reason::new(Cause::WorldMoved, why).with(seen));
        }
    }
    let worst = WorstCase::of(plan, &seen.ttls());
    let nothing = Terms::default();
    terms
        .unwrap_or(&nothing)
        .time(now, &worst, seen.identity.as_ref())
}

fn seen(work: &Work) -> Assumed {
    let services = work.captured.iter();
    let images = work.children.iter().filter_map(|(step, child)| match child {
        Child::Image(machine) => Some((step.clone(), machine.resolved()?.clone())),
        Child::Task(..) | Child::Service(..) | Child::Gate(_) | Child::Record(..) => None,
    });
    Assumed {
        services: services
            .map(|(name, captured)| (name.clone(), AssumedService::from(captured)))
            .collect(),
        images: images.collect(),
        ..work.seen.clone()
    }
}
