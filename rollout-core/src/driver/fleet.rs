//! A fleet's effects: the runs of its members, side by side.
//!
//! The fleet has a [`Driver`](super::Driver) and a journal of its own. What a member's run is, and where it keeps its journal, is
//! the team's: a small port, [`MemberRuns`]. Nothing is spawned: the drive of the fleet polls the drives of its members. A team that wants
//! threads spawns in its port.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::boxed::Box;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_core::Stream;

use super::Perform;
use crate::context::OpContext;
use crate::error::{Error, ErrorKind};
use crate::id::{Generation, MemberName, RunId, StepId, WaveName};
use crate::machine::fleet::{BackEnd, Effect, End, Event, Fleet};
use crate::machine::{Effect as _, Lifecycle, gate};
use crate::pace::Priority;
use crate::port::{Clock, HealthGate};
use crate::probe::SampleRequest;
use crate::time::Timestamp;

#[cfg(test)]
mod tests;

/// The runs of a fleet's members: one run and one journal for each.
///
/// # Contract
/// - `begin`, `resume` and `take_back` return when the member's run, or its way back, has come to its end, and not before; many of
///   them are under way at once. Dropping the returned future is a crash of the member's runner: `resume` goes on from its journal.
/// - An error means that no end is known. `Applied::No` promises that no run of the member has begun; whoever cannot tell says `Maybe`.
/// - The deadline of the context is the moment past which the fleet does not wait any more; it tells the member to stop before that.
#[async_trait]
pub trait MemberRuns: Send + Sync {
    /// Begins the member's run and drives it to its end.
    ///
    /// # Errors
    /// `Conflict`, `Applied::Maybe`, when the run exists already: it is resumed then. Otherwise as the [contract](MemberRuns#contract) says.
    async fn begin(&self, ctx: &OpContext, member: &MemberName) -> Result<End, Error>;

    /// Goes on with the member's run to its end, or says how it has ended. One that was never begun is begun now; with `stop` it goes to
    /// a safe place, which takes back what it changed, and one that was never begun is [`Aborted`](End::Aborted), untouched.
    ///
    /// # Errors
    /// As the [contract](MemberRuns#contract) says.
    async fn resume(&self, ctx: &OpContext, member: &MemberName, stop: bool) -> Result<End, Error>;

    /// Tells the member's run to stop at a safe place. The answer to `begin` or `resume` says how it ended. To stop what has ended, or is
    /// not under way here, is harmless.
    ///
    /// # Errors
    /// As the [contract](MemberRuns#contract) says.
    async fn stop(&self, ctx: &OpContext, member: &MemberName) -> Result<(), Error>;

    /// Takes the member back to what ran before its run, or goes on with that, or says how that has ended.
    ///
    /// # Errors
    /// As the [contract](MemberRuns#contract) says.
    async fn take_back(&self, ctx: &OpContext, member: &MemberName) -> Result<BackEnd, Error>;
}

/// Runs the effects of a [`Fleet`] on the runs of its members.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// # use async_trait::async_trait;
/// # use rollout_core::time::Timestamp;
/// # struct NoTime;
/// # #[async_trait]
/// # impl rollout_core::port::Clock for NoTime {
/// #     fn now(&self) -> Timestamp { Timestamp::from_millis(1_763_683_200_000) }
/// #     async fn sleep_until(&self, _: Timestamp) {}
/// # }
/// use rollout_core::context::OpContext;
/// use rollout_core::driver::{Driver, FleetPerformer, MemberRuns};
/// use rollout_core::error::Error;
/// use rollout_core::id::MemberName;
/// use rollout_core::journal::MemoryJournal;
/// use rollout_core::machine::fleet::{BackEnd, End, Fleet, Outcome};
/// use rollout_core::observer::Silent;
/// use rollout_core::plan::fleet::{Draft, FleetBounds, FleetPlan, FleetPolicy, Share, UnderWay, WavePlan, WayBack};
///
/// /// Your own: a real one drives a `Rollout` with a journal of its own for each member.
/// struct Cells;
///
/// #[async_trait]
/// impl MemberRuns for Cells {
///     async fn begin(&self, ctx: &OpContext, member: &MemberName) -> Result<End, Error> {
///         println!("{member}, by {}", ctx.deadline);
///         Ok(End::Released)
///     }
///     async fn resume(&self, ctx: &OpContext, member: &MemberName, _stop: bool) -> Result<End, Error> {
///         self.begin(ctx, member).await
///     }
///     async fn stop(&self, _: &OpContext, _: &MemberName) -> Result<(), Error> {
///         Ok(())
///     }
///     async fn take_back(&self, _: &OpContext, _: &MemberName) -> Result<BackEnd, Error> {
///         Ok(BackEnd::AtLastKnownGood)
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cells = |names: &[&str]| names.iter().map(|name| name.parse()).collect::<Result<Vec<_>, _>>();
/// let wave = |name: &str, members, at_once| -> Result<_, Box<dyn std::error::Error>> {
///     Ok(WavePlan { name: name.parse()?, members, at_once, bake: Duration::ZERO, gate: None })
/// };
/// let plan = FleetPlan::check(Draft {
///     run: "f-1".parse()?,
///     release: "2.4.0".to_owned(),
///     waves: vec![wave("canary", cells(&["cell-1"])?, 1)?, wave("all", cells(&["cell-2", "cell-3"])?, 2)?],
///     policy: FleetPolicy {
///         bounds: FleetBounds { in_the_air: None, unbaked: Some(Share::Members(2)) },
///         under_way: UnderWay::Stop,
///         back: WayBack::Fleet,
///         back_at_once: 10,
///         run_within: Duration::from_secs(3600),
///         stop_within: Duration::from_secs(1800),
///         back_within: Duration::from_secs(1800),
///         retry_every: Duration::from_secs(10),
///         max_errors: 5,
///     },
/// })?;
/// let mut fleet = Fleet::new(plan);
/// let clock = Arc::new(NoTime);
/// let performer = FleetPerformer::new("f-1".parse()?, Arc::new(Cells), clock.clone(), Duration::from_secs(30));
/// let journal = MemoryJournal::new();
/// let driver = Driver {
///     run: "f-1".parse()?,
///     performer: &performer,
///     journal: &journal,
///     clock: clock.as_ref(),
///     observer: &Silent,
/// };
/// let outcome = pollster::block_on(driver.run(&mut fleet, futures_util::stream::pending()))?;
/// assert!(matches!(outcome, Outcome::Released { members } if members.len() == 3));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FleetPerformer {
    run: RunId,
    members: Arc<dyn MemberRuns>,
    gates: Option<Arc<dyn HealthGate>>,
    clock: Arc<dyn Clock>,
    generation: Generation,
    call: Duration,
}

impl core::fmt::Debug for FleetPerformer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("FleetPerformer")
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

impl FleetPerformer {
    /// A performer for one run of a fleet. `call` is the longest that one sample of a wave's gate may take.
    #[must_use]
    pub fn new(run: RunId, members: Arc<dyn MemberRuns>, clock: Arc<dyn Clock>, call: Duration) -> Self {
        Self {
            run,
            members,
            gates: None,
            clock,
            generation: Generation(1),
            call,
        }
    }

    /// The same with what takes the samples of the waves' gates. Without it every sample fails, and with it its gate.
    #[must_use]
    pub fn gates(mut self, gates: Arc<dyn HealthGate>) -> Self {
        self.gates = Some(gates);
        self
    }

    /// The same under a lease's generation: every call carries it. Without this it is 1.
    #[must_use]
    pub fn under(mut self, generation: Generation) -> Self {
        self.generation = generation;
        self
    }

    fn context(&self, step: &str, attempt: u32, deadline: Timestamp) -> Result<OpContext, Error> {
        // A member's and a wave's name are made of fewer characters, and shorter.
        let step = StepId::new(step)
            .map_err(|error| Error::new(ErrorKind::InvalidRequest, "fleet", error.to_string()))?;
        Ok(OpContext {
            run: self.run.clone(),
            step,
            attempt,
            generation: self.generation,
            deadline,
            // What a member does about it says its own run, call by call.
            priority: Priority::Look,
        })
    }

    async fn sample(&self, wave: &WaveName, request: &SampleRequest) -> Result<gate::Event, Error> {
        let Some(gates) = &self.gates else {
            let text = format!("wave {wave} has a gate, and nobody takes its samples");
            return Err(Error::new(ErrorKind::Unsupported, "fleet:TakeSample", text));
        };
        let ctx = self.context(&format!("wave/{wave}"), 1, self.clock.now().after(self.call))?;
        let sample = gates.sample(&ctx, request).await?;
        let probe = request.probe.clone();
        Ok(gate::Event::Sampled { probe, sample })
    }

    async fn answer(&self, effect: &Effect) -> Result<Event, Error> {
        let attempt = effect.attempt();
        let about = |member: &MemberName, until| self.context(&format!("member/{member}"), attempt, until);
        Ok(match effect {
            Effect::Begin { member, until, .. } => Event::Ended {
                end: self.members.begin(&about(member, *until)?, member).await?,
                member: member.clone(),
            },
            Effect::Resume {
                member, until, stop, ..
            } => Event::Ended {
                end: self
                    .members
                    .resume(&about(member, *until)?, member, *stop)
                    .await?,
                member: member.clone(),
            },
            Effect::Stop { member, until } => {
                self.members.stop(&about(member, *until)?, member).await?;
                Event::StopSent {
                    member: member.clone(),
                }
            }
            Effect::TakeBack { member, until, .. } => Event::TakenBack {
                end: self.members.take_back(&about(member, *until)?, member).await?,
                member: member.clone(),
            },
            Effect::TakeSample { wave, request } => Event::Gate {
                wave: wave.clone(),
                event: self.sample(wave, request).await?,
            },
        })
    }
}

#[async_trait]
impl Perform<Fleet> for FleetPerformer {
    async fn perform(&self, effect: &Effect) -> Event {
        match self.answer(effect).await {
            Ok(event) => event,
            Err(error) => Fleet::failed(effect, error.record()),
        }
    }
}

/// Tells one drive to stop: [`MemberRuns::stop`] throws it, the drive listens to its [`signals`](Self::signals). Clones are the same
/// switch, and it can be thrown before anybody listens.
#[derive(Clone, Debug, Default)]
pub struct StopSwitch(Arc<Mutex<Thrown>>);

#[derive(Debug, Default)]
struct Thrown {
    thrown: bool,
    listener: Option<Waker>,
}

impl StopSwitch {
    /// Throws it.
    pub fn stop(&self) {
        let mut thrown = self.lock();
        thrown.thrown = true;
        if let Some(listener) = thrown.listener.take() {
            listener.wake();
        }
    }

    /// What the drive of a machine takes as its signals: one abort, when the switch is thrown.
    pub fn signals<M: Lifecycle + 'static>(&self) -> impl Stream<Item = M::Event> + Send + 'static {
        Signals::<M> {
            switch: Some(self.clone()),
            of: core::marker::PhantomData,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Thrown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Signals<M> {
    /// Gone when it has been heard.
    switch: Option<StopSwitch>,
    of: core::marker::PhantomData<fn() -> M>,
}

impl<M: Lifecycle> Stream for Signals<M> {
    type Item = M::Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<M::Event>> {
        let Some(switch) = &self.switch else {
            return Poll::Ready(None);
        };
        let mut thrown = switch.lock();
        if !thrown.thrown {
            thrown.listener = Some(cx.waker().clone());
            return Poll::Pending;
        }
        drop(thrown);
        self.switch = None;
        Poll::Ready(Some(M::abort()))
    }
}
