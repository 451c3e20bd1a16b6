//! A machine driven by hand, inside a loop of one's own, with its state stored between two steps.
//!
//! This is the surface for a team that has a workflow engine already: no driver, no journal, no async. A machine is plain
//! data. Here every step is a "job" of its own: it loads the machine from JSON, gives it one event, stores it, and hands
//! the effects to whoever runs them. Between two jobs nothing is kept but two texts, as if each ran on another computer.
//!
//! The machine deploys the storefront's backend. The same loop drives every other machine; only the two functions at the
//! end, which talk to the platform, differ.
//!
//! ```sh
//! cargo run --package rollout-examples --example machine_by_hand
//! ```

use core::time::Duration;
use std::collections::BTreeMap;
use std::error::Error;

use pollster::block_on;
use rollout_core::Machine as _;
use rollout_core::context::OpContext;
use rollout_core::id::Generation;
use rollout_core::image::ImageRef;
use rollout_core::machine::Transitions as _;
use rollout_core::machine::deployment::{Deployment, Effect, Event, Outcome, Policy, Spec, Target};
use rollout_core::pace::Priority;
use rollout_core::port::Ports;
use rollout_core::service::{Images, RevisionSpec};
use rollout_core::time::{Timestamp, human};
use rollout_sim::SimCloud;

fn main() -> Result<(), Box<dyn Error>> {
    let cloud = SimCloud::new(rollout_sim::storefront(3));
    let (ports, began) = (cloud.ports("staging", "production")?, cloud.clock().now());
    let machine = Deployment::new(spec(&cloud, &ports)?, policy());

    // All that is kept between two jobs: the machine, and what it has asked for.
    let mut stored = serde_json::to_string(&machine)?;
    let mut todo = String::from("[]");

    let mut event = Event::Start;
    let outcome = loop {
        let now = cloud.clock().now();
        let happened = Deployment::event_kind(&event);
        let outcome = job(&mut stored, &mut todo, now, event)?;
        let machine: Deployment = serde_json::from_str(&stored)?;
        let (elapsed, state, bytes) = (human(now.since(began)), machine.state_kind(), stored.len());
        println!(
            "{elapsed:>4}  {:<13} -> {:<9} stored: {bytes} bytes",
            format!("{happened:?}"),
            format!("{state:?}")
        );
        if let Some(outcome) = outcome {
            break outcome;
        }
        event = next(&mut todo, &machine, &cloud, &ports)?;
    };

    let seen = cloud.with(|world| world.service("production", "backend"))?;
    match outcome {
        Outcome::Deployed { task_definition, .. } => {
            println!("deployed: {} tasks run {task_definition}", seen.running);
            Ok(())
        }
        Outcome::Failed { reason, .. } => Err(format!("failed: {reason}").into()),
        Outcome::Superseded { by, .. } => Err(format!("superseded by {}", by.deployment).into()),
    }
}

/// One job: load, handle, store. A refused event leaves the machine as it was, so a job that is run twice does no harm.
fn job(
    stored: &mut String,
    todo: &mut String,
    now: Timestamp,
    event: Event,
) -> Result<Option<Outcome>, Box<dyn Error>> {
    let mut machine: Deployment = serde_json::from_str(stored)?;
    let mut effects: Vec<Effect> = serde_json::from_str(todo)?;
    effects.extend(machine.handle(now, event)?);
    *stored = serde_json::to_string(&machine)?;
    *todo = serde_json::to_string(&effects)?;
    Ok(machine.outcome())
}

/// What happens next: the answer to an effect, or, with nothing to do, the machine's deadline.
fn next(
    todo: &mut String,
    machine: &Deployment,
    cloud: &SimCloud,
    ports: &Ports,
) -> Result<Event, Box<dyn Error>> {
    let mut effects: Vec<Effect> = serde_json::from_str(todo)?;
    if effects.is_empty() {
        let deadline = machine
            .deadline()
            .ok_or("a machine that has not ended waits for something")?;
        // Yours would be a timer of the workflow engine.
        block_on(cloud.clock().sleep_until(deadline.at));
        return Ok(Event::Elapsed);
    }
    let effect = effects.remove(0);
    *todo = serde_json::to_string(&effects)?;
    Ok(block_on(perform(ports, &context(cloud)?, effect)))
}

/// Runs one effect. A failure is an event, too: the machine decides what it means.
async fn perform(ports: &Ports, ctx: &OpContext, effect: Effect) -> Event {
    let answer = match effect {
        Effect::EnsureRevision(spec) => {
            let ensured = ports.target.ensure_revision(ctx, &spec).await;
            ensured.map(|(task_definition, ensured)| Event::RevisionReady {
                task_definition,
                ensured,
            })
        }
        Effect::UpdateService(change) => ports
            .target
            .update_service(ctx, &change)
            .await
            .map(Event::Updated),
        Effect::Restore { point, assumes } => {
            let restored = ports.rollback.restore(ctx, &point, assumes.as_ref()).await;
            restored.map(Event::Updated)
        }
        Effect::TurnBack {
            point,
            assumes,
            record,
        } => {
            let asked = ports.rollback.turn_back(ctx, &point, &assumes, &record).await;
            asked.map(|()| Event::TurningBack)
        }
        Effect::Observe { service } => {
            let seen = ports.target.observe_service(ctx, &service).await;
            seen.map(|seen| Event::Observed(Box::new(seen)))
        }
    };
    answer.unwrap_or_else(|error| Event::CallFailed(error.record()))
}

fn context(cloud: &SimCloud) -> Result<OpContext, Box<dyn Error>> {
    Ok(OpContext {
        run: "by-hand".parse()?,
        step: "service/backend".parse()?,
        attempt: 1,
        generation: Generation(1),
        deadline: cloud.clock().now().after(Duration::from_secs(20)),
        priority: Priority::Look,
    })
}

/// Staging's image to production's backend. The image is copied here; the machine `promotion` would do it with all checks.
fn spec(cloud: &SimCloud, ports: &Ports) -> Result<Spec, Box<dyn Error>> {
    let digest = cloud.with(|world| world.image("staging", "storefront/backend", "2.4.0"))?;
    let image = ImageRef {
        repository: "storefront/backend".parse()?,
        digest: digest.clone(),
    };
    block_on(ports.images.copy(&context(cloud)?, &image, &image.repository))?;
    let seen = cloud.with(|world| world.service("production", "backend"))?;
    let revision = RevisionSpec {
        template: serde_json::json!({
            "family": "storefront-backend",
            "containerDefinitions": [{ "name": "backend", "essential": true, "image": "" }],
        }),
        images: BTreeMap::from([("backend".parse()?, image)]),
    };
    Ok(Spec {
        service: "backend".parse()?,
        target: Target::Release {
            revision,
            // Written only if this is still the PRIMARY deployment.
            assumes: seen.primary().map(|primary| primary.id.clone()),
        },
        images: Images::from([("backend".parse()?, digest)]),
    })
}

const fn policy() -> Policy {
    Policy {
        poll_every: Duration::from_secs(5),
        pace: None,
        give_up: Duration::from_secs(900),
        stopped_tasks: 2,
        max_errors: 5,
        answer: Duration::from_secs(20),
        stale_reads: Duration::from_secs(30),
    }
}
