//! `rollout fleet`: many releases that are one, in waves.

mod abort;
mod resume;
mod run;
mod status;

use std::sync::Arc;

use rollout_core::driver::{FleetPerformer, Tenure};
use rollout_core::id::RunId;
use rollout_core::lease::Scope;
use rollout_core::machine::fleet::{Effect, Event, Fleet};
use rollout_core::port::Clock;
use rollout_core::time::Timestamp;

use super::drive::CALL;
use crate::args::{self, FleetCommand, Global};
use crate::exit::Exit;
use crate::fleet::clock::{FleetClock, InTime};
use crate::fleet::gates::Gates;
use crate::fleet::members::Processes;
use crate::fleet::{FleetFile, outcome};
use crate::session::{Ending, Session, Work};
use crate::state::{Kept, Open, State};
use crate::tenure::ON_ITS_WAY;
use crate::view::report::Report;
use crate::wall::Wall;

pub(super) async fn execute(global: &Global, command: &FleetCommand) -> anyhow::Result<Exit> {
    match command {
        FleetCommand::Run(args) => run::execute(global, args).await,
        FleetCommand::Status(which) => status::execute(global, which).await,
        FleetCommand::Resume(args) => resume::execute(global, args).await,
        FleetCommand::Abort(which) => abort::execute(global, which).await,
    }
}

/// Where fleets keep what must outlive the process: beside the runs of their members.
async fn state(global: &Global) -> anyhow::Result<State> {
    let state_dir = global.state_dir.join("fleets");
    let there = Global {
        state_dir,
        ..global.clone()
    };
    State::open(&there).await
}

/// One runner at a time for each fleet. Its members have leases of their own.
fn scope(file: &FleetFile) -> anyhow::Result<Scope> {
    Ok(Scope {
        environment: "fleet".parse()?,
        group: file.name().clone(),
    })
}

/// Where a command works.
struct Site<'a> {
    global: &'a Global,
    file: &'a FleetFile,
    wall: &'a Wall,
    tenure: &'a Tenure,
}

impl Site<'_> {
    /// Drives a fleet to an end. What happened up to `since` is written down somewhere.
    async fn drive(
        &self,
        kept: &Kept,
        journal: &Open<Event, Effect>,
        (release, since): (String, Timestamp),
        work: Work<'_, Fleet>,
    ) -> anyhow::Result<Exit> {
        let run = &kept.run;
        let simulated = self.global.cloud == args::Cloud::Sim;
        let time = Arc::new(FleetClock::new(self.wall, simulated, since));
        let members = Processes {
            global: self.global.clone(),
            file: self.file.clone(),
            run: run.clone(),
            release,
            wall: self.wall.clone(),
        };
        let clock: Arc<dyn Clock> = Arc::clone(&time) as _;
        let gates = Gates::new(&members, Arc::clone(&clock));
        let performer = FleetPerformer::new(run.clone(), Arc::new(members), Arc::clone(&clock), CALL)
            .gates(Arc::new(gates))
            .under(self.tenure.generation());
        let fence = self.tenure.fence(&performer, ON_ITS_WAY);
        let session = Session {
            global: self.global,
            kept,
            journal: &**journal,
            performer: &InTime {
                clock: &time,
                inner: &fence,
            },
            clock: &clock,
            tenure: self.tenure,
            wall: self.wall,
            // A fleet waits for its members, and polls nothing.
            feed: None,
        };
        let report = match session.drive(work).await? {
            Ending::Outcome(outcome) => outcome::of_fleet(self.global, &outcome, run),
            Ending::Fenced(report) => report.here(self.global),
            Ending::Left => left(run).here(self.global),
        };
        Ok(super::report(self.global, &report, run.as_str(), clock.now()))
    }
}

/// The user has left in the middle.
fn left(run: &RunId) -> Report {
    let summary = format!("fleet {run} is where it was, and so are its members");
    Report {
        facts: vec!["what was under way may still take effect".to_owned()],
        next: vec![
            format!("rollout fleet status {run}    shows what is known"),
            format!("rollout fleet resume {run}    goes on"),
        ],
        ..Report::of("Left", Exit::Left, summary)
    }
}
