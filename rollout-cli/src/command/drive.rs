//! What every command does that changes an environment: under the lease, on an open cloud, with a journal.

use core::time::Duration;

use rollout_core::driver::{PortPerformer, Tenure};
use rollout_core::id::StepId;
use rollout_core::lease::Scope;
use rollout_core::time::Timestamp;

use crate::args::Global;
use crate::cloud::{Cloud, Keeping};
use crate::config::Config;
use crate::exit::Exit;
use crate::follow::Follow;
use crate::session::{Ending, Session, Work};
use crate::state::{Kept, Open, State};
use crate::tenure::{Asked, ON_ITS_WAY, scope, under};
use crate::view::report::Report;
use crate::wall::Wall;

/// The longest that one call may take; the machines' own answer times are shorter where it matters.
pub(super) const CALL: Duration = Duration::from_secs(900);

/// Where a command works.
pub(super) struct Site<'a> {
    pub(super) global: &'a Global,
    pub(super) config: &'a Config,
    pub(super) state: &'a State,
    wall: &'a Wall,
    tenure: &'a Tenure,
}

/// Does the work under a lease, or ends by saying who holds it.
pub(super) async fn leased(
    global: &Global,
    (state, scope): (&State, Scope),
    asked: Asked<'_>,
    work: impl AsyncFnOnce(&Wall, &Tenure) -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    let wall = Wall::start()?;
    let done = under(global, scope, state, &wall, asked, async |tenure| {
        work(&wall, tenure).await
    });
    // A future of its own: what is done under a lease is deep, and the compiler follows futures only so far.
    Ok(match Box::pin(done).await? {
        Ok(exit) => exit,
        Err(refusal) => super::refused(global, refusal, asked.run),
    })
}

/// The same under the lease of the target environment.
pub(super) async fn under_lease(
    (global, config, state): (&Global, &Config, &State),
    asked: Asked<'_>,
    work: impl AsyncFnOnce(&Site<'_>) -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    leased(global, (state, scope(config)), asked, async |wall, tenure| {
        let site = Site {
            global,
            config,
            state,
            wall,
            tenure,
        };
        work(&site).await
    })
    .await
}

impl Site<'_> {
    /// Opens the cloud; what happened up to `since` is written down somewhere.
    pub(super) async fn open(&self, release: &str, since: Timestamp) -> anyhow::Result<Cloud> {
        Cloud::open(self.global, self.config, &self.state.here(), release, since).await
    }

    /// Drives a machine to an end, and keeps what must outlive the process. `told` makes the report of an outcome.
    pub(super) async fn drive<M>(
        &self,
        cloud: &Cloud,
        kept: &Kept,
        (step, journal): (&str, &Open<M::Event, M::Effect>),
        work: Work<'_, M>,
        told: impl AsyncFnOnce(M::Outcome) -> anyhow::Result<Report>,
    ) -> anyhow::Result<Exit>
    where
        M: Follow,
        PortPerformer: rollout_core::driver::Perform<M>,
    {
        let here = self.state.here();
        // A process that is killed leaves the world behind that its journal speaks of.
        cloud.keep(&here)?;
        let (run, clock) = (kept.run.clone(), cloud.clock());
        let performer = PortPerformer::new(cloud.ports(), clock, run, StepId::new(step)?, CALL)
            .under(self.tenure.generation());
        let keeping = Keeping::new(performer, cloud, &here);
        let feed = cloud.feed(self.config);
        let session = Session {
            global: self.global,
            kept,
            journal: &**journal,
            performer: &self.tenure.fence(&keeping, ON_ITS_WAY),
            clock: &cloud.clock(),
            tenure: self.tenure,
            wall: self.wall,
            feed: feed.as_ref(),
        };
        let ending = session.drive(work).await;
        cloud.keep(&here)?;
        let report = match ending? {
            Ending::Outcome(outcome) => told(outcome).await?.here(self.global).after(cloud.calls()),
            Ending::Fenced(report) => report.after(cloud.calls()),
            Ending::Left => return Ok(super::left(self.global, &kept.run)),
        };
        Ok(super::report(
            self.global,
            &report,
            kept.run.as_str(),
            cloud.clock().now(),
        ))
    }
}
