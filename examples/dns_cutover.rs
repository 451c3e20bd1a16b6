//! Only a DNS cutover, as an xtask of yours would do it: no services, no images, one record to a new load balancer.
//!
//! It shows a machine driven alone, with the same driver and ports as a whole release: snapshot, lower the TTL ahead, wait
//! the old TTL out, check the new target, swap by compare-and-set, wait for INSYNC, ask the authoritative servers, watch,
//! wait for the old side to drain, restore the TTL. The observer prints each change and why the machine waits.
//!
//! ```sh
//! cargo run --package rollout-examples --example dns_cutover
//! ```

use core::time::Duration;
use std::error::Error;
use std::sync::Mutex;

use futures_util::stream;
use rollout_core::dns::{RecordData, RecordType};
use rollout_core::driver::{Driver, PortPerformer};
use rollout_core::journal::MemoryJournal;
use rollout_core::machine::cutover::{Cutover, Drain, Effect, Goal, Outcome, Policy, Spec};
use rollout_core::observer::{Notice, Observer};
use rollout_core::time::{Timestamp, human};
use rollout_examples::storefront::{WWW, ZONE, key};
use rollout_sim::SimCloud;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn main() -> Result<(), Box<dyn Error>> {
    let world = rollout_sim::storefront(4);
    let RecordData::Alias { target, .. } = world.alias_to("production", "storefront")? else {
        return Err("a load balancer is pointed at by an alias".into());
    };
    let (zone, key) = (ZONE.parse()?, key(WWW, RecordType::Cname)?);
    let now = world.record(&zone, &key)?.ok_or("the record is there")?;
    println!("{WWW} says {}", now.data);
    let spec = Spec {
        run: "cutover-1".parse()?,
        zone,
        key,
        goal: Goal::Move {
            to: RecordData::Values {
                ttl: 300,
                values: vec![target.to_string()],
            },
            lowered_ttl: 30,
        },
        allow_unhealthy_target: false,
        // The old side goes on serving the 600 requests a minute of `shop.example.com`: it is drained of ours, some 60.
        drain: Some(Drain {
            level: 620,
            hold: secs(60),
            give_up: secs(3_600),
        }),
    };
    let policy = Policy {
        poll_first: secs(2),
        poll_max: secs(20),
        in_sync: secs(300),
        verify: secs(120),
        watch: secs(120),
        watch_failures: 3,
        max_errors: 5,
        answer: secs(20),
    };

    let cloud = SimCloud::new(world);
    let (ports, clock) = (cloud.ports("staging", "production")?, cloud.clock());
    let (run, step) = (spec.run.clone(), "dns/www".parse()?);
    let performer = PortPerformer::new(ports, clock.clone(), run.clone(), step, secs(20));
    let journal = MemoryJournal::new();
    let driver = Driver {
        run,
        performer: &performer,
        journal: &journal,
        clock: clock.as_ref(),
        observer: &Waits::since(clock.now()),
    };
    let mut machine = Cutover::new(spec, policy);
    let outcome = pollster::block_on(driver.run(&mut machine, stream::empty()))?;

    match outcome {
        Outcome::Moved { now, drained, .. } => {
            println!(
                "moved: {WWW} says {}; the old side is drained: {drained}",
                now.data
            );
            Ok(())
        }
        Outcome::Refused(why) => Err(format!("refused, nothing was touched: {why}").into()),
        Outcome::Reverted(why) => Err(format!("moved back: {why}").into()),
        Outcome::Superseded(why) => Err(format!("someone else has acted: {why}").into()),
        Outcome::Stuck(stuck) => Err(format!("stuck: {}; next: {:?}", stuck.text, stuck.next).into()),
    }
}

/// Prints every change of the record, and what the machine waits for when that is something new.
struct Waits {
    since: Timestamp,
    last: Mutex<String>,
}

impl Waits {
    const fn since(since: Timestamp) -> Self {
        Self {
            since,
            last: Mutex::new(String::new()),
        }
    }
}

impl Observer<Cutover> for Waits {
    fn notice(&self, at: Timestamp, machine: &Cutover, notice: &Notice<'_, Cutover>) {
        let text = match notice {
            Notice::Issued(Effect::Apply { batch }) => match batch.creates() {
                Some(record) => format!("writes: {}", record.data),
                None => return,
            },
            Notice::Waiting(_) => format!("waits for {}", machine.waiting_for()),
            Notice::Issued(_)
            | Notice::Happened(_)
            | Notice::Handled
            | Notice::Refused(_)
            | Notice::Ended(_) => return,
        };
        let mut last = self
            .last
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if *last != text {
            println!("{:>8}  {text}", human(at.since(self.since)));
            *last = text;
        }
    }
}
