//! The world of a gate: probes that say anything at any time, and a second, simpler account of what they said.

use std::collections::BTreeMap;

use rollout_core::error::{Applied, Error, ErrorKind, Retry};
use rollout_core::id::ProbeName;
use rollout_core::machine::Machine as _;
use rollout_core::machine::gate::{Effect, Event, Gate, Outcome, ProbeSpec};
use rollout_core::probe::{Sample, Verdict};
use rollout_core::time::Timestamp;
use serde::Serialize;

use super::images::images;
use super::single::{BEGIN, Call, Reply, World};
use super::{failure, secs};

/// What was heard of one probe.
#[derive(Clone, Debug, Default, Serialize)]
struct Heard {
    /// Passes in a row on new, young data of this change.
    passes: u32,
    /// The moment of the newest data that counted.
    newest: Option<Timestamp>,
    fails: u32,
    last_fail: Option<Timestamp>,
    /// Whether it can never hold any more.
    over: bool,
}

/// The world.
#[derive(Clone, Debug, Serialize)]
pub struct GateWorld {
    heard: BTreeMap<ProbeName, Heard>,
    /// Since when every probe has held without a break.
    holds_since: Option<Timestamp>,
    /// Samples that are no fresh pass.
    faults: u8,
}

impl GateWorld {
    /// Nothing was heard.
    #[must_use]
    pub const fn new(faults: u8) -> Self {
        Self {
            heard: BTreeMap::new(),
            holds_since: None,
            faults,
        }
    }

    fn spend(&self) -> Option<Self> {
        let faults = self.faults.checked_sub(1)?;
        Some(Self {
            faults,
            ..self.clone()
        })
    }

    fn hear(&mut self, now: Timestamp, machine: &Gate, event: &Event) {
        let subject = &machine.spec().subject;
        let of = |name: &ProbeName| {
            machine
                .spec()
                .probes
                .iter()
                .find(|probe| probe.name == *name)
                .cloned()
        };
        match event {
            Event::Sampled { probe, sample } => {
                let Some(spec) = of(probe) else { return };
                let heard = self.heard.entry(probe.clone()).or_default();
                let counts = sample.at >= subject.changed_at
                    && sample.at <= now
                    && now.since(sample.at) <= spec.max_age
                    && sample.images.as_ref().is_none_or(|seen| *seen == subject.images);
                match sample.verdict {
                    Verdict::Pass if counts => {
                        if heard.newest.is_none_or(|newest| sample.at > newest) {
                            heard.passes += 1;
                            heard.newest = Some(sample.at);
                        }
                    }
                    Verdict::Fail if counts => {
                        if heard.last_fail != Some(sample.at) || heard.newest != Some(sample.at) {
                            heard.passes = 0;
                            heard.fails += 1;
                            heard.last_fail = Some(sample.at);
                            heard.newest = heard.newest.max(Some(sample.at));
                            heard.over |= heard.fails > spec.failures;
                        }
                    }
                    Verdict::Pass | Verdict::Fail | Verdict::Unknown => heard.passes = 0,
                }
            }
            // It breaks a run of passes; whether it ends the probe depends on whether anybody still waited for it.
            Event::SampleFailed { probe, .. } => {
                let heard = self.heard.entry(probe.clone()).or_default();
                heard.passes = 0;
            }
            Event::Start | Event::Elapsed | Event::Abort => {}
        }
    }

    fn holds(&self, probes: &[ProbeSpec]) -> bool {
        probes.iter().all(|probe| {
            let heard = self.heard.get(&probe.name);
            heard.is_some_and(|heard| heard.passes >= probe.successes && !heard.over)
        })
    }
}

impl World<Gate> for GateWorld {
    fn answers(&self, now: Timestamp, call: &Call<Effect>, out: &mut Vec<Reply<Self, Event>>) {
        let Effect::TakeSample(request) = &call.effect;
        let probe = || request.probe.clone();
        let sampled = |verdict, at, version: Option<&str>| Event::Sampled {
            probe: probe(),
            sample: Sample {
                at,
                verdict,
                images: version.map(images),
                evidence: vec![],
            },
        };
        out.push(Reply::fair(
            "passes",
            self.clone(),
            sampled(Verdict::Pass, now, Some("new")),
        ));
        let Some(less) = self.spend() else { return };
        let mut fault = |label, event| out.push(Reply::fault(label, less.clone(), event));
        fault("fails", sampled(Verdict::Fail, now, None));
        fault("is unknown", sampled(Verdict::Unknown, now, None));
        fault(
            "passes, on the old version",
            sampled(Verdict::Pass, now, Some("old")),
        );
        fault(
            "passes, from before the change",
            sampled(Verdict::Pass, Timestamp::from_millis(BEGIN.as_millis() - 1), None),
        );
        let old = Timestamp::from_millis(now.as_millis() - 3_000);
        fault("passes, on old data", sampled(Verdict::Pass, old, None));
        fault(
            "passes, in the future",
            sampled(Verdict::Pass, now.after(secs(2)), None),
        );
        let failed = |retry| Event::SampleFailed {
            probe: probe(),
            error: Error::new(ErrorKind::Unavailable, "model", "no")
                .retry(retry)
                .record(),
        };
        fault("cannot be asked for now", failed(Retry::Later));
        fault("cannot be asked for good", failed(Retry::Never));
        let lost = Event::SampleFailed {
            probe: probe(),
            error: failure(ErrorKind::TimedOut, Applied::Maybe),
        };
        fault("its answer is lost", lost);
        out.push(Reply::silent("never answers", less));
    }

    fn happenings(&self, _: Timestamp, _: &Gate, _: &mut Vec<Reply<Self, Event>>) {}

    fn pass(&mut self, _: Timestamp) {}

    fn judge(
        &mut self,
        now: Timestamp,
        before: &Gate,
        event: &Event,
        effects: &[Effect],
        after: &Gate,
    ) -> Result<(), String> {
        let spec = before.spec();
        self.hear(now, before, event);
        if !self.holds(&spec.probes) {
            self.holds_since = None;
        } else if self.holds_since.is_none() {
            self.holds_since = Some(now);
        }
        for Effect::TakeSample(request) in effects {
            if request.subject != spec.subject {
                return Err("I-8: it asks about something else".to_owned());
            }
            if now < BEGIN.after(spec.warm_up) {
                return Err("it samples during the warm-up".to_owned());
            }
        }
        let Some(Outcome::Passed { .. }) = after.outcome() else {
            return Ok(());
        };
        if let Some(probe) = spec
            .probes
            .iter()
            .find(|probe| self.heard.get(&probe.name).is_none_or(|h| h.over))
        {
            return Err(format!("I-14: it passes although {} had failed", probe.name));
        }
        let Some(since) = self.holds_since else {
            return Err("I-8: it passes on less than it wants".to_owned());
        };
        if now.since(since) < spec.bake {
            return Err(format!("it passes {:?} after it began to hold", now.since(since)));
        }
        let stale = spec.probes.iter().find(|probe| {
            let newest = self.heard.get(&probe.name).and_then(|heard| heard.newest);
            newest.is_none_or(|newest| now.since(newest) > probe.max_age)
        });
        match stale {
            Some(probe) => Err(format!("I-8: it passes on old data of {}", probe.name)),
            None => Ok(()),
        }
    }

    fn end(outcome: &Outcome) -> &'static str {
        match outcome {
            Outcome::Passed { .. } => "passed",
            Outcome::Failed(_) => "failed",
        }
    }
}
