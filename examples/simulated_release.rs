//! A whole release on the simulated cloud, from staging to production; then one whose image cannot be pulled.
//!
//! It shows the three things that a program of yours needs: ports (here the simulated cloud's), a journal, and the driver.
//! The first release ends `Released`. The second ends `RolledBack`, says why in the platform's own words, and production
//! runs what it ran before.
//!
//! ```sh
//! cargo run --package rollout-examples --example simulated_release
//! ```

use core::time::Duration;
use std::error::Error;
use std::process::ExitCode;

use futures_util::stream;
use rollout_core::driver::{Driver, PortPerformer};
use rollout_core::journal::MemoryJournal;
use rollout_core::machine::rollout::{Outcome, Rollout};
use rollout_core::plan::RolloutPlan;
use rollout_core::time::human;
use rollout_examples::storefront;
use rollout_examples::tell::Tell;
use rollout_sim::{Incident, SimCloud, When, World};

/// What a call to AWS may take at most.
const CALL: Duration = Duration::from_secs(20);

fn main() -> Result<ExitCode, Box<dyn Error>> {
    println!("A good release:");
    let good = pollster::block_on(release(rollout_sim::storefront(1), "release-2.4.0"))?;

    println!("\nThe same release, and the backend's image cannot be pulled in production:");
    let mut world = rollout_sim::storefront(2);
    let bad_image = Incident::BadImage {
        service: "backend".to_owned(),
    };
    world.schedule("production", When::first_deployment(), bad_image)?;
    let bad = pollster::block_on(release(world, "release-2.4.0-again"))?;

    let as_expected = matches!(good, Outcome::Released { .. }) && matches!(bad, Outcome::RolledBack { .. });
    Ok(if as_expected {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Brings 2.4.0 from staging to production, and says what production runs then.
async fn release(world: World, run: &str) -> Result<Outcome, Box<dyn Error>> {
    let plan = RolloutPlan::check(storefront::draft(&world, run, "2.4.0")?)?;
    let began = world.now();
    let cloud = SimCloud::new(world);

    // On AWS the ports would come from `rollout-aws`, the clock from your runtime, the journal would be a file.
    let step = "release".parse()?;
    let (ports, clock) = (cloud.ports("staging", "production")?, cloud.clock());
    let performer = PortPerformer::new(ports, clock.clone(), plan.run.clone(), step, CALL);
    let journal = MemoryJournal::new();
    let driver = Driver {
        run: plan.run.clone(),
        performer: &performer,
        journal: &journal,
        clock: clock.as_ref(),
        observer: &Tell::new(began),
    };
    // Events from outside, such as an abort, would come in through the stream.
    let mut machine = Rollout::new(plan);
    let outcome = driver.run(&mut machine, stream::empty()).await?;

    tell(&outcome);
    let (took, records) = (human(clock.now().since(began)), journal.records().len());
    println!("  It took {took} of simulated time; the journal has {records} records.");
    for service in ["backend", "frontend", "worker"] {
        let seen = cloud.with(|world| world.service("production", service))?;
        let images = seen.tasks.iter().flat_map(|task| task.images.values());
        let mut images: Vec<&str> = images.map(|digest| digest.short()).collect();
        images.dedup();
        println!(
            "  production runs {} tasks of {service}: {}",
            seen.running,
            images.join(", ")
        );
    }
    Ok(outcome)
}

fn tell(outcome: &Outcome) {
    match outcome {
        Outcome::Released { .. } => println!("  => Released"),
        Outcome::RolledBack { why, .. } => {
            println!("  => RolledBack, because {why}");
            for seen in &why.evidence {
                println!("       {}: {}", seen.source, seen.detail);
            }
        }
        Outcome::Refused { why } => println!("  => Refused, nothing was touched, because {why}"),
        Outcome::Superseded { by } => println!("  => Superseded by {by:?}"),
        Outcome::Aborted { left_at } => println!("  => Aborted, left at {left_at:?}"),
        Outcome::Stuck(stuck) => println!(
            "  => Stuck ({}): {}; next: {:?}",
            stuck.reason, stuck.text, stuck.next
        ),
    }
}
