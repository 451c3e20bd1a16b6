//! A gate of one's own: business figures from the team's own system, beside target health and an HTTP probe.
//!
//! It shows the port [`HealthGate`]: `Orders` answers the probes that are the team's own ([`ProbeTarget::Custom`]) and hands
//! every other to the platform. The port takes a sample; the machine judges: how many, how old, how many failures are
//! forgiven. The gate wants target health, and one of the other two. Three runs: orders come in and the gate passes; orders
//! stop, and it passes because the page answers; orders stop and the page is too slow, and it fails and says why.
//!
//! ```sh
//! cargo run --package rollout-examples --example custom_gate
//! ```

use core::time::Duration;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream;
use rollout_core::context::OpContext;
use rollout_core::driver::{Driver, PortPerformer};
use rollout_core::error::{Error as PortError, ErrorKind};
use rollout_core::evidence::Evidence;
use rollout_core::id::InvalidId;
use rollout_core::journal::MemoryJournal;
use rollout_core::machine::gate::{Condition, Gate, Outcome, ProbeSpec, Spec};
use rollout_core::observer::Silent;
use rollout_core::port::{Clock, HealthGate};
use rollout_core::probe::{HttpProbe, ProbeTarget, Sample, SampleRequest, Subject, Verdict};
use rollout_core::time::{Timestamp, human};
use rollout_sim::{SimCloud, World};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The team's own source: orders per minute. Here they stop at a moment; yours would ask a database or an API.
struct Orders {
    /// Answers every probe that is not ours.
    platform: Arc<dyn HealthGate>,
    clock: Arc<dyn Clock>,
    stop_at: Option<Timestamp>,
}

impl Orders {
    fn per_minute(&self, now: Timestamp) -> u64 {
        if self.stop_at.is_some_and(|stop| stop <= now) {
            0
        } else {
            120
        }
    }
}

#[async_trait]
impl HealthGate for Orders {
    async fn sample(&self, ctx: &OpContext, request: &SampleRequest) -> Result<Sample, PortError> {
        let ProbeTarget::Custom { name, parameters } = &request.target else {
            return self.platform.sample(ctx, request).await;
        };
        let least = parameters.get("at_least").and_then(serde_json::Value::as_u64);
        let (true, Some(least)) = (name == "orders", least) else {
            let text = format!("probe {name} with {parameters} is unknown; `orders` wants `at_least`");
            return Err(PortError::new(ErrorKind::InvalidRequest, "orders:Sample", text));
        };
        // The moment of the question, not of the answer: the age of evidence counts from here.
        let at = self.clock.now();
        let seen = self.per_minute(at);
        let detail = format!("{seen} orders per minute, at least {least} are wanted");
        Ok(Sample {
            at,
            verdict: if seen >= least {
                Verdict::Pass
            } else {
                Verdict::Fail
            },
            images: None,
            evidence: vec![Evidence::new(at, "orders", "storefront", detail)],
        })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let late = Some(secs(45));
    for (what, orders_stop, latency) in [
        ("orders come in", None, secs(1)),
        ("orders stop after 45 s", late, secs(1)),
        (
            "orders stop after 45 s, and the page is too slow",
            late,
            Duration::from_millis(1),
        ),
    ] {
        println!("{what}:");
        match gate(orders_stop, latency)? {
            Outcome::Passed { evidence, .. } => {
                println!("  passed; seen last:");
                let mut told = BTreeMap::new();
                told.extend(evidence.iter().map(|seen| (seen.source.as_str(), &seen.detail)));
                for (source, detail) in told {
                    println!("    {source}: {detail}");
                }
            }
            Outcome::Failed(why) => println!("  failed: {why}"),
        }
    }
    Ok(())
}

fn gate(orders_stop: Option<Duration>, latency: Duration) -> Result<Outcome, Box<dyn Error>> {
    let world = rollout_sim::storefront(6);
    let spec = spec(&world, latency)?;
    let cloud = SimCloud::new(world);
    let (mut ports, clock) = (cloud.ports("staging", "production")?, cloud.clock());
    let began = clock.now();
    // The one line that brings the gate in; a whole release takes the same ports.
    ports.gates = Arc::new(Orders {
        platform: ports.gates.clone(),
        clock: clock.clone(),
        stop_at: orders_stop.map(|after| began.after(after)),
    });

    let (run, step) = ("gate-1".parse()?, "gate/shop".parse()?);
    let performer = PortPerformer::new(ports, clock.clone(), run, step, secs(20));
    let driver = Driver {
        run: "gate-1".parse()?,
        performer: &performer,
        journal: &MemoryJournal::new(),
        clock: clock.as_ref(),
        observer: &Silent,
    };
    let outcome = pollster::block_on(driver.run(&mut Gate::new(spec), stream::empty()))?;
    println!("  {} of simulated time", human(clock.now().since(began)));
    Ok(outcome)
}

/// Healthy targets, and either orders or a page that answers.
fn spec(world: &World, latency: Duration) -> Result<Spec, Box<dyn Error>> {
    let target_group = world
        .target_group("production", "frontend")?
        .ok_or("the frontend has a target group")?;
    let page = HttpProbe {
        url: "http://frontend.production.internal/".to_owned(),
        status: vec![200],
        body_contains: None,
        latency,
        timeout: secs(5),
        redirects: 0,
    };
    let orders = ProbeTarget::Custom {
        name: "orders".to_owned(),
        parameters: serde_json::json!({ "at_least": 20 }),
    };
    let named = |name: &str| name.parse().map(Condition::Probe);
    Ok(Spec {
        condition: Condition::All(vec![
            named("targets")?,
            Condition::Any(vec![named("orders")?, named("page")?]),
        ]),
        probes: vec![
            probe(
                "targets",
                ProbeTarget::TargetHealth {
                    target_group,
                    at_least: 2,
                },
            )?,
            probe("orders", orders)?,
            probe("page", ProbeTarget::Http(page))?,
        ],
        subject: Subject {
            service: None,
            images: BTreeMap::new(),
            changed_at: world.now(),
        },
        warm_up: secs(10),
        bake: secs(60),
        give_up: secs(600),
        answer: secs(20),
    })
}

fn probe(name: &str, target: ProbeTarget) -> Result<ProbeSpec, InvalidId> {
    Ok(ProbeSpec {
        name: name.parse()?,
        target,
        every: secs(10),
        successes: 3,
        failures: 2,
        errors: 3,
        max_age: secs(30),
        dry_run: false,
    })
}
