//! What goes wrong on the wire, on virtual time.

use core::time::Duration;

use rollout_core::port::Clock as _;
use rollout_core::time::Timestamp;

use super::{endpoint, form, text};
use crate::endpoint::exchange::{Broken, Exchange};
use crate::endpoint::pace::Pace;
use crate::endpoint::{Endpoint, Latency, Upset, Which, WireFault};
use crate::rng::Span;

const WHO: &str = "Action=GetCallerIdentity&Version=2011-06-15";

fn exchange(endpoint: &Endpoint) -> Exchange {
    let pace = Pace::new(endpoint.cloud().clone(), 1);
    let latency = Latency {
        there: Span::exactly(30),
        back: Span::exactly(12),
    };
    Exchange::new(endpoint.clone(), pace, latency)
}

fn fault(what: Upset) -> WireFault {
    WireFault::nth("sts", "GetCallerIdentity", 1, what)
}

#[tokio::test(start_paused = true)]
async fn a_call_takes_its_way_there_and_back() {
    let endpoint = endpoint();
    let exchange = exchange(&endpoint);
    let before = exchange.pace.now();
    let answer = exchange.send(form("sts", WHO)).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(exchange.pace.now().since(before), Duration::from_millis(42));
    // It is answered when it arrives, and the world stands there.
    let calls = endpoint.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].at, before.after(Duration::from_millis(30)));
    assert_eq!(endpoint.cloud().with(|w| w.now()), calls[0].at);
    let call = (calls[0].operation.as_str(), calls[0].status, calls[0].changed);
    assert_eq!(call, ("GetCallerIdentity", Some(200), false));
}

#[tokio::test(start_paused = true)]
async fn the_clock_takes_the_world_along() {
    let endpoint = endpoint();
    let exchange = exchange(&endpoint);
    let until = exchange.pace.now().after(Duration::from_secs(600));
    exchange.pace.sleep_until(until).await;
    assert_eq!(exchange.pace.now(), until);
    assert_eq!(endpoint.cloud().with(|w| w.now()), until);
}

#[tokio::test(start_paused = true)]
async fn each_upset_is_what_it_says() {
    for (what, wanted) in [
        (
            Upset::Throttled,
            Ok((400, "<Code>Throttling</Code><Message>Rate exceeded<")),
        ),
        (Upset::FailsBefore(500), Ok((500, "<Code>InternalFailure</Code>"))),
        (
            Upset::FailsAfter(503),
            Ok((503, "<Code>ServiceUnavailable</Code>")),
        ),
        (
            Upset::Refused {
                status: 403,
                code: "ExpiredToken".to_owned(),
                message: "The security token included in the request is expired".to_owned(),
            },
            Ok((403, "<Code>ExpiredToken</Code>")),
        ),
        (Upset::Unreachable, Err(Broken::Refused)),
        (Upset::ResetBefore, Err(Broken::Reset)),
        (Upset::LostAnswer, Err(Broken::Reset)),
    ] {
        let endpoint = endpoint();
        let exchange = exchange(&endpoint);
        endpoint.disturb(fault(what.clone()));
        let answer = exchange.send(form("sts", WHO)).await;
        match (answer, wanted) {
            (Ok(answer), Ok((status, part))) => {
                assert_eq!(answer.status(), status, "{what:?}");
                assert!(text(&answer).contains(part), "{what:?}: {}", text(&answer));
            }
            (Err(found), Err(wanted)) => assert_eq!(found, wanted, "{what:?}"),
            (found, wanted) => panic!("{what:?}: {found:?}, not {wanted:?}"),
        }
        // The next call is well.
        let answer = exchange.send(form("sts", WHO)).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let calls = endpoint.calls();
        assert_eq!(
            (calls.len(), &calls[0].upset, &calls[1].upset),
            (2, &Some(what), &None)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_lands_late_lands_without_its_caller() {
    let endpoint = endpoint();
    let exchange = exchange(&endpoint);
    let late = Duration::from_secs(90);
    endpoint.disturb(fault(Upset::LandsLate(late)));
    let before = exchange.pace.now();
    let impatient = tokio::time::timeout(Duration::from_secs(5), exchange.send(form("sts", WHO)));
    assert!(impatient.await.is_err());
    assert_eq!(endpoint.calls(), []);
    tokio::time::sleep(late).await;
    let landed = endpoint.calls().first().map(|call| call.at);
    assert_eq!(landed, Some(before.after(late + Duration::from_millis(30))));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_late_was_made_in_time() {
    let endpoint = endpoint();
    let exchange = exchange(&endpoint);
    endpoint.disturb(fault(Upset::AnswersLate(Duration::from_secs(20))));
    let before = exchange.pace.now();
    let _ = exchange.send(form("sts", WHO)).await.expect("an answer");
    assert_eq!(exchange.pace.now().since(before), Duration::from_millis(20_042));
    assert_eq!(endpoint.calls()[0].at, before.after(Duration::from_millis(30)));
}

#[tokio::test(start_paused = true)]
async fn faults_are_counted_drawn_and_bound() {
    let throttled = |endpoint: Endpoint, calls: usize| async move {
        let exchange = exchange(&endpoint);
        for _ in 0..calls {
            let _ = exchange.send(form("sts", WHO)).await;
        }
        let hit = |c: &crate::endpoint::WireCall| c.status == Some(400);
        endpoint.calls().iter().map(hit).collect::<Vec<_>>()
    };
    // By count.
    let counted = endpoint();
    let mut two = fault(Upset::Throttled);
    two.which = Which::Calls { from: 2, to: 3 };
    counted.disturb(two);
    assert_eq!(throttled(counted, 5).await, [false, true, true, false, false]);
    // By the seed: the same each time.
    let drawn = || {
        let drawn = endpoint();
        drawn.disturb(WireFault::share(3_000, Upset::Throttled));
        throttled(drawn, 200)
    };
    let (first, again) = (drawn().await, drawn().await);
    assert_eq!(first, again);
    let hits = first.iter().filter(|hit| **hit).count();
    assert!((40..80).contains(&hits), "{hits}");
    // By service, account and time.
    for other in [
        WireFault::every("ecs", Upset::Throttled),
        WireFault::every("sts", Upset::Throttled).of("AssumeRole"),
        WireFault::every("sts", Upset::Throttled).by("111122223333"),
        WireFault::every("sts", Upset::Throttled).between(Timestamp::EPOCH, Timestamp::from_millis(1)),
    ] {
        let endpoint = endpoint();
        endpoint.disturb(other.clone());
        assert_eq!(throttled(endpoint, 1).await, [false], "{other:?}");
    }
    // No more.
    let calm = endpoint();
    calm.disturb(WireFault::every("sts", Upset::Throttled).by("444455556666"));
    assert_eq!(throttled(calm.clone(), 1).await, [true]);
    calm.calm();
    assert_eq!(throttled(calm, 1).await, [true, false]);
}
