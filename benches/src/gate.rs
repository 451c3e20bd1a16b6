//! A gate of three probes, two minutes of bake; and one that goes on for as long as one likes.

use core::time::Duration;

use rollout_core::evidence::Evidence;
use rollout_core::machine::gate::{Condition, Effect, Event, Gate, ProbeSpec, Spec};
use rollout_core::probe::{ProbeTarget, Sample, Subject, Verdict};

use crate::{BEGIN, Script, id, secs};

/// Three probes that all pass, every ten seconds for two minutes.
#[must_use]
pub fn gate() -> Script<Gate> {
    play(&["targets", "ready", "errors"], secs(120))
}

/// One probe that passes so many times.
#[must_use]
pub fn long_gate(samples: u32) -> Script<Gate> {
    play(&["ready"], 10 * secs(1) * samples)
}

fn play(probes: &[&str], bake: Duration) -> Script<Gate> {
    let spec = Spec {
        condition: Condition::All(probes.iter().map(|name| Condition::Probe(id(name))).collect()),
        probes: probes.iter().map(|name| probe(name)).collect(),
        subject: Subject {
            service: Some(id("backend")),
            images: Default::default(),
            changed_at: BEGIN,
        },
        warm_up: secs(15),
        bake,
        give_up: bake + secs(600),
        answer: secs(10),
    };
    Script::record(Gate::new(spec), Event::Start, |_, now, effect| match effect {
        Some(Effect::TakeSample(request)) => Event::Sampled {
            probe: request.probe.clone(),
            sample: Sample {
                at: now,
                verdict: Verdict::Pass,
                images: None,
                evidence: vec![Evidence::new(now, "http", request.probe.as_str(), "200 in 12 ms")],
            },
        },
        None => Event::Elapsed,
    })
}

fn probe(name: &str) -> ProbeSpec {
    ProbeSpec {
        name: id(name),
        target: ProbeTarget::Custom {
            name: name.to_owned(),
            parameters: serde_json::Value::Null,
        },
        every: secs(10),
        successes: 3,
        failures: 1,
        errors: 2,
        max_age: secs(30),
        dry_run: false,
    }
}
