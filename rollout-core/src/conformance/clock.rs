//! Checks of [`Clock`].

use core::future::Future as _;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use super::{Stop, hold};
use crate::port::Clock;
use crate::time::Timestamp;

/// A clock, and another that tells whether it is right.
pub trait ClockFixture {
    /// The port.
    fn clock(&self) -> &dyn Clock;

    /// Now, by another clock of the same time.
    fn truth(&self) -> Timestamp;

    /// How far the two may lie apart, and how late a sleep may end.
    fn tolerance(&self) -> Duration;
}

suite!(
    "Clock",
    ClockFixture {
        it_tells_the_time: "Now, by the wall clock.",
        it_never_goes_back: "Now: a later question has no earlier answer.",
        a_sleep_ends_at_its_moment: "Returns at `moment` or soon after.",
        a_sleep_until_the_past_is_none: "Returns at `moment` or soon after.",
        a_sleep_can_be_dropped: "It must be safe to drop before it returns.",
        two_sleeps_do_not_wait_for_each_other: "Returns at `moment` or soon after.",
    }
);

/// The span of the checks' sleeps: short, for on a clock that is not simulated they take it.
const NAP: Duration = Duration::from_millis(120);

fn distance(one: Timestamp, other: Timestamp) -> Duration {
    one.since(other).max(other.since(one))
}

async fn it_tells_the_time<F: ClockFixture>(fixture: &F) -> Result<(), Stop> {
    let clock = fixture.clock();
    for _ in 0..3 {
        let (seen, wanted) = (clock.now(), fixture.truth());
        let fits = distance(seen, wanted) <= fixture.tolerance();
        hold(
            fits,
            &format!("{wanted}, give or take {:?}", fixture.tolerance()),
            &seen.to_string(),
        )?;
        clock.sleep_until(seen.after(NAP)).await;
    }
    Ok(())
}

async fn it_never_goes_back<F: ClockFixture>(fixture: &F) -> Result<(), Stop> {
    let clock = fixture.clock();
    let mut last = clock.now();
    for round in 0..2_000_u32 {
        if round % 1_000 == 999 {
            clock.sleep_until(last.after(NAP)).await;
        }
        let now = clock.now();
        hold(now >= last, &format!("not before {last}"), &now.to_string())?;
        last = now;
    }
    Ok(())
}

async fn a_sleep_ends_at_its_moment<F: ClockFixture>(fixture: &F) -> Result<(), Stop> {
    let clock = fixture.clock();
    for _ in 0..2 {
        let moment = clock.now().after(NAP);
        clock.sleep_until(moment).await;
        for now in [clock.now(), fixture.truth().after(fixture.tolerance())] {
            hold(now >= moment, &format!("not before {moment}"), &now.to_string())?;
        }
        let late = clock.now().since(moment);
        hold(
            late <= fixture.tolerance(),
            &format!("at most {:?} late", fixture.tolerance()),
            &late,
        )?;
    }
    Ok(())
}

async fn a_sleep_until_the_past_is_none<F: ClockFixture>(fixture: &F) -> Result<(), Stop> {
    let clock = fixture.clock();
    let begun = clock.now();
    for moment in [Timestamp::EPOCH, begun] {
        clock.sleep_until(moment).await;
    }
    let took = clock.now().since(begun);
    hold(
        took <= fixture.tolerance(),
        &format!("at most {:?}", fixture.tolerance()),
        &took,
    )
}

async fn a_sleep_can_be_dropped<F: ClockFixture>(fixture: &F) -> Result<(), Stop> {
    let clock = fixture.clock();
    let far = clock.now().after(Duration::from_secs(3_600));
    {
        let mut sleep = pin!(clock.sleep_until(far));
        let polled = sleep.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        // Where to sleep is to let the time come, it has come.
        if polled == Poll::Ready(()) {
            hold(
                clock.now() >= far,
                "the moment that was slept until",
                &clock.now(),
            )?;
        }
    }
    let moment = clock.now().after(NAP);
    clock.sleep_until(moment).await;
    let (now, late) = (clock.now(), clock.now().since(moment));
    hold(
        now >= moment && late <= fixture.tolerance(),
        &format!(
            "{moment}, at most {:?} late, after a sleep that was dropped",
            fixture.tolerance()
        ),
        &now.to_string(),
    )
}

async fn two_sleeps_do_not_wait_for_each_other<F: ClockFixture>(fixture: &F) -> Result<(), Stop> {
    let clock = fixture.clock();
    let (short, long) = (clock.now().after(NAP), clock.now().after(NAP.saturating_mul(3)));
    let ends = async |moment: Timestamp| {
        clock.sleep_until(moment).await;
        clock.now()
    };
    let (first, second) = futures_util::future::join(ends(short), ends(long)).await;
    let fits = first >= short && first.since(short) <= fixture.tolerance() && second >= long;
    hold(
        fits,
        &format!("the short sleep ends by {short}, the long one by {long}"),
        &(first.to_string(), second.to_string()),
    )
}
