//! One drive of one machine: the driver, the view, and the ways to stop it from outside.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_core::Stream;
use rollout_core::driver::{DriveError, Driver, LeaseError, Perform, Tenure};
use rollout_core::hint::{Hint, Hints, hints};
use rollout_core::journal::{Journal, JournalError};
use rollout_core::observer::{Notice, Observer};
use rollout_core::port::Clock;
use rollout_core::time::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::args::Global;
use crate::cloud::Feed;
use crate::follow::{Follow, Follower};
use crate::past::Past;
use crate::runner;
use crate::state::Kept;
use crate::tenure::Fenced;
use crate::view::lines::{Form, Lines};
use crate::view::live::{Live, Size};
use crate::view::model::Snapshot;
use crate::view::paint::{self, Paint};
use crate::view::report::Report;
use crate::wall::Wall;

/// Between two frames.
const FRAME: Duration = Duration::from_millis(100);

/// What is driven.
pub(crate) enum Work<'a, M: Follow> {
    /// A machine that has not begun.
    New(&'a mut M),
    /// What another process, or this one before a crash, has left.
    Left(Box<Past<M>>, After),
}

/// What to do with what was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Go on.
    GoOn,
    /// Stop it at a safe place, which takes back what it changed.
    Stop,
}

/// How a drive ended.
pub(crate) enum Ending<O> {
    /// With an outcome.
    Outcome(O),
    /// The user left at once.
    Left,
    /// Another runner is in our place, or may be.
    Fenced(Box<Report>),
}

/// What a drive needs besides its machine.
pub(crate) struct Session<'a, M: Follow> {
    pub(crate) global: &'a Global,
    pub(crate) kept: &'a Kept,
    pub(crate) journal: &'a dyn Journal<M::Event, M::Effect>,
    pub(crate) performer: &'a dyn Perform<M>,
    pub(crate) clock: &'a Arc<dyn Clock>,
    /// Held for as long as it drives.
    pub(crate) tenure: &'a Tenure,
    pub(crate) wall: &'a Wall,
    /// What tells of changes, if anything does.
    pub(crate) feed: Option<&'a Feed>,
}

impl<M: Follow> Session<'_, M> {
    /// Drives a machine to its end, or until the user leaves.
    ///
    /// # Errors
    /// When the journal cannot be written, or the machine halts.
    pub(crate) async fn drive(&self, work: Work<'_, M>) -> anyhow::Result<Ending<M::Outcome>> {
        let follower = match &work {
            Work::New(_) => Follower::default(),
            Work::Left(past, _) => past.follower.clone(),
        };
        let screen = Screen::new(self.global, self.kept.run.to_string(), follower);
        let driver = Driver {
            run: self.kept.run.clone(),
            performer: self.performer,
            journal: self.journal,
            clock: self.clock.as_ref(),
            observer: &screen,
        };
        let (hinter, inbox) = hints();
        let (abort, signals) = signals::<M>(inbox);
        let ending = {
            let mut run = core::pin::pin!(self.tenure.while_held(async {
                match work {
                    Work::New(machine) => driver.run(machine, signals).await,
                    Work::Left(mut past, after) => {
                        if after == After::Stop {
                            // The receiver is in this very future.
                            let _ = abort.send(M::abort());
                        }
                        let by = runner::resumption();
                        driver.resume(&mut past.replayed, &by, signals).await
                    }
                }
            }));
            let mut stops = Stops::new()?;
            let mut elsewhere = core::pin::pin!(self.kept.asked_to_stop(self.wall));
            let mut listening = core::pin::pin!(async {
                if let Some(feed) = self.feed {
                    let told = |text: &str| screen.say(self.clock.now(), text);
                    feed.listen(self.clock.as_ref(), &hinter, told).await;
                }
            });
            let (mut asked, mut heard, mut deaf) = (false, false, false);
            loop {
                tokio::select! {
                    outcome = &mut run => break Some(outcome),
                    () = stops.asked() => {
                        if asked {
                            break None;
                        }
                        asked = true;
                        screen.say(self.clock.now(), STOPPING);
                        // The receiver lives as long as the run does.
                        let _ = abort.send(M::abort());
                    }
                    by = &mut elsewhere, if !heard => {
                        heard = true;
                        let text = format!("{by} asks to stop: going to a safe place");
                        screen.say(self.clock.now(), &text);
                        let _ = abort.send(M::abort());
                    }
                    () = &mut listening, if !deaf => deaf = true,
                    () = tokio::time::sleep(FRAME) => screen.redraw(self.clock.now()),
                }
            }
        };
        screen.redraw(self.clock.now());
        match ending {
            None => Ok(Ending::Left),
            Some(ended) => self.ended(ended),
        }
    }

    /// What the end of a drive under a lease comes to.
    fn ended(
        &self,
        ended: Result<Result<M::Outcome, DriveError>, LeaseError>,
    ) -> anyhow::Result<Ending<M::Outcome>> {
        let fenced = |fenced: Fenced| {
            let report = fenced.report(&self.kept.run).here(self.global);
            Ok(Ending::Fenced(Box::new(report)))
        };
        match ended {
            Ok(Ok(outcome)) => Ok(Ending::Outcome(outcome)),
            Err(error) => Fenced::lost(&error).map_or_else(|| Err(error.into()), fenced),
            Ok(Err(DriveError::Journal(error @ JournalError::Fenced { .. }))) => {
                fenced(Fenced::written_over(&error, self.tenure))
            }
            Ok(Err(error)) => Err(error.into()),
        }
    }
}

const STOPPING: &str = "stopping at a safe place; Ctrl-C again leaves at once";

/// Ctrl-C, and what a CI system sends when a job is cancelled.
struct Stops {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Stops {
    fn new() -> anyhow::Result<Self> {
        #[cfg(unix)]
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt())?,
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn asked(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}

/// Events from outside, as the driver takes them.
struct Signals<E> {
    asked: UnboundedReceiver<E>,
    hints: Hints,
    /// `None` from a machine that takes none.
    hinted: fn(Hint) -> Option<E>,
}

fn signals<M: Follow>(hints: Hints) -> (UnboundedSender<M::Event>, Signals<M::Event>) {
    let (sender, asked) = unbounded_channel();
    let hinted = M::hinted;
    (sender, Signals { asked, hints, hinted })
}

impl<E> Stream for Signals<E> {
    type Item = E;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<E>> {
        match self.asked.poll_recv(cx) {
            Poll::Pending => {}
            ready @ Poll::Ready(_) => return ready,
        }
        while let Poll::Ready(Some(hint)) = Pin::new(&mut self.hints).poll_next(cx) {
            if let Some(event) = (self.hinted)(hint) {
                return Poll::Ready(Some(event));
            }
        }
        // No hints come any more, or for now; who may ask us to stop is still there.
        Poll::Pending
    }
}

/// What is drawn, and where.
struct Screen {
    run: String,
    inner: Mutex<Inner>,
}

struct Inner {
    follower: Follower,
    snapshot: Snapshot,
    sink: Sink,
}

enum Sink {
    Live(Live<std::io::Stdout>),
    Lines(Lines<std::io::Stdout>),
}

impl Screen {
    fn new(global: &Global, run: String, follower: Follower) -> Self {
        let sink = if global.json {
            Sink::Lines(Lines::new(std::io::stdout(), Form::Json))
        } else if std::io::stdout().is_terminal() && !paint::dumb() {
            Sink::Live(Live::new(std::io::stdout(), Paint::for_stdout(global.no_color)))
        } else {
            Sink::Lines(Lines::new(std::io::stdout(), Form::Text))
        };
        let inner = Inner {
            follower,
            snapshot: Snapshot::default(),
            sink,
        };
        Self {
            run,
            inner: Mutex::new(inner),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws the next frame where there are frames. A view that cannot be written is no reason to stop a release.
    fn redraw(&self, now: Timestamp) {
        let mut inner = self.lock();
        let Inner { sink, snapshot, .. } = &mut *inner;
        if let Sink::Live(live) = sink {
            let _ = live.draw(snapshot, now, Size::of_terminal());
        }
    }

    fn say(&self, now: Timestamp, line: &str) {
        let _ = match &mut self.lock().sink {
            Sink::Live(live) => live.say(line),
            Sink::Lines(lines) => lines.say(line, now),
        };
    }
}

impl<M: Follow> Observer<M> for Screen {
    fn notice(&self, at: Timestamp, machine: &M, notice: &Notice<'_, M>) {
        let mut inner = self.lock();
        let Inner {
            follower,
            snapshot,
            sink,
        } = &mut *inner;
        match notice {
            Notice::Happened(event) => follower.heard::<M>(event),
            Notice::Handled | Notice::Ended(_) => {
                *snapshot = follower.look(machine, &self.run, at);
                if let Sink::Lines(lines) = sink {
                    let _ = lines.update(snapshot, at);
                }
            }
            Notice::Issued(_) | Notice::Waiting(_) | Notice::Refused(_) => {}
        }
    }
}
