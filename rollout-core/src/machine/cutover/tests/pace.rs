//! How soon a change that has spread is noticed, with how many looks, and how long a whole cutover takes (goals P11 and P12).

use super::*;

/// What was found of one cutover.
#[derive(Debug, Default)]
struct Took {
    /// For each change: from INSYNC until that was seen.
    late: Vec<Duration>,
    /// Looks at each change.
    looks: Vec<u32>,
    /// In all.
    whole: Duration,
}

/// A record of TTL 300 s becomes an alias where every change takes so long to be INSYNC and every call is answered at once.
fn cutover(spread: Duration) -> Took {
    let to = alias("new.elb.amazonaws.com");
    let goal = Goal::Move {
        to: to.clone(),
        lowered_ttl: 60,
    };
    let spec = Spec {
        drain: None,
        ..spec(goal)
    };
    let policy = Policy {
        poll_first: Policy::POLL_FIRST,
        poll_max: Policy::POLL_MAX,
        in_sync: Duration::from_secs(600),
        ..policy()
    };
    let begun = secs(1000);
    let mut walk = Walk::new(Cutover::new(spec, policy));
    let (mut now, mut took) = (begun, Took::default());
    let (mut record, mut marker) = (values(300, "10.0.0.1"), None);
    let mut spreads_at = now;
    let mut todo = walk.give(now, Event::Start).expect("it begins");
    loop {
        let event = match todo.pop() {
            None if walk.machine.outcome().is_some() => break,
            None => {
                now = walk.machine.deadline().expect("it waits for something").at;
                Event::Elapsed
            }
            Some(Effect::TakeSnapshot { .. }) => Event::SnapshotTaken(Box::new(Snapshot {
                at: now,
                zone: "Z1".parse().expect("a valid id"),
                record: Some(super::record(record.clone())),
                marker: marker.clone(),
            })),
            Some(Effect::CheckTarget { .. }) => Event::TargetChecked(TargetCheck {
                at: now,
                healthy: Some(true),
                evidence: Vec::new(),
            }),
            Some(Effect::Apply { batch }) => {
                let made = batch.changes().iter().filter_map(|change| match change {
                    Change::Create(made) => Some(made.clone()),
                    Change::Delete(_) => None,
                });
                for made in made {
                    if made.key.same_as(&key()) {
                        record = made.data;
                    } else {
                        marker = Some(made);
                    }
                }
                spreads_at = now.after(spread);
                took.looks.push(0);
                Event::Applied(change(&format!("C{}", took.looks.len())))
            }
            Some(Effect::SeePropagation { .. }) => {
                *took.looks.last_mut().expect("something was changed") += 1;
                if now < spreads_at {
                    PENDING
                } else {
                    took.late.push(now.since(spreads_at));
                    IN_SYNC
                }
            }
            Some(Effect::AskAuthoritative { .. }) => Event::Answered(vec![AuthoritativeAnswer {
                server: "ns-1".to_owned(),
                at: now,
                matches: Some(true),
                detail: String::new(),
            }]),
            Some(other) => panic!("{other:?}"),
        };
        todo.extend(walk.give(now, event).expect("accepted"));
    }
    assert!(matches!(walk.machine.outcome(), Some(Outcome::Moved { .. })));
    assert_eq!(record, to);
    took.whole = now.since(begun);
    took
}

/// P11: three seconds or less, with 25 looks or fewer. P12: what DNS itself takes, and no more than five seconds.
#[test]
fn a_change_is_noticed_in_time_and_a_cutover_takes_hardly_longer_than_dns() {
    let (mut late, mut looks, mut over) = (Duration::ZERO, 0, Duration::ZERO);
    for millis in (0..=60_000).step_by(100) {
        let spread = Duration::from_millis(millis);
        let took = cutover(spread);
        assert_eq!(took.late.len(), 2, "lowered and swapped");
        // The old TTL once it is lowered everywhere, and the lowered one once the record is swapped everywhere.
        let floor = 2 * spread + Duration::from_secs(300 + 60);
        late = took.late.into_iter().fold(late, Duration::max);
        looks = took.looks.into_iter().fold(looks, u32::max);
        over = over.max(took.whole.checked_sub(floor).expect("DNS is waited for"));
    }
    println!("noticed after {late:?} and {looks} looks, {over:?} over what DNS takes, at worst");
    assert!(late <= Duration::from_secs(3) && looks <= 25 && over <= Duration::from_secs(5));
}

/// One that takes far longer than it should is asked for less and less often.
#[test]
fn a_change_that_hangs_is_not_asked_for_without_end() {
    let took = cutover(Duration::from_secs(590));
    assert!(took.looks.iter().all(|looks| *looks <= 45), "{took:?}");
}
