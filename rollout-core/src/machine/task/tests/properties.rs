//! What holds in any random world.

use proptest::prelude::*;

use super::*;

/// How one call of a random world goes.
#[derive(Clone, Copy, Debug)]
enum Goes {
    Well,
    /// It takes effect, and the answer is lost; `true` means that an error says so.
    Lost(bool),
    /// It has no effect, and says that it may have.
    Unknown,
    Fails,
    Denied,
    /// Nothing ever comes back, and it had no effect.
    Silent,
    /// The platform does not see its own newest writes.
    Stale,
}

fn goes() -> impl Strategy<Value = Goes> {
    prop_oneof![
        8 => Just(Goes::Well),
        3 => any::<bool>().prop_map(Goes::Lost),
        2 => Just(Goes::Unknown),
        2 => Just(Goes::Fails),
        1 => Just(Goes::Denied),
        2 => Just(Goes::Silent),
        2 => Just(Goes::Stale),
    ]
}

/// A platform that remembers tokens for a day and stopped tasks for an hour.
#[derive(Clone, Debug)]
struct World {
    calls: Vec<Goes>,
    /// How long the task runs, in seconds, and its exit code.
    takes: u64,
    code: i32,
    delay: u64,
    give_up: u64,
    /// The runner is away for so many seconds before the n-th event.
    away: Option<(usize, u64)>,
    /// Somebody aborts before the n-th event.
    abort: Option<usize>,
}

fn world() -> impl Strategy<Value = World> {
    (
        prop::collection::vec(goes(), 0..12),
        prop_oneof![Just(10_u64), Just(300), Just(100_000)],
        prop_oneof![3 => Just(0), 1 => Just(1)],
        0..40_u64,
        prop_oneof![3 => Just(600_u64), 1 => Just(20), 1 => Just(200_000)],
        prop::option::weighted(0.3, (1..8_usize, prop_oneof![Just(4_000_u64), Just(90_000)])),
        prop::option::weighted(0.3, 1..8_usize),
    )
        .prop_map(|(calls, takes, code, delay, give_up, away, abort)| World {
            calls,
            takes,
            code,
            delay,
            give_up,
            away,
            abort,
        })
}

/// What the platform holds.
#[derive(Debug, Default)]
struct Platform {
    /// When each task was started. The token names the last one while it is remembered.
    started: Vec<Timestamp>,
    stopped: Option<Timestamp>,
}

impl World {
    fn policy(&self) -> Policy {
        // A day is looked at less often than ten minutes are.
        let poll_every = secs(if self.give_up > 1_000 { 900 } else { 5 });
        Policy {
            poll_every,
            give_up: secs(self.give_up),
            ..policy()
        }
    }

    /// Takes effect and answers.
    fn answer(&self, now: Timestamp, effect: &Effect, stale: bool, platform: &mut Platform) -> Event {
        let end = |platform: &Platform| {
            let natural = platform
                .started
                .last()
                .map(|started| started.after(secs(self.takes)));
            natural.min(platform.stopped.or(natural))
        };
        match effect {
            Effect::StartTask { .. } => {
                let remembered = platform
                    .started
                    .last()
                    .is_some_and(|started| now.since(*started) < secs(24 * 3600));
                if !remembered {
                    platform.started.push(now);
                }
                Event::Started(arn())
            }
            Effect::FindTask { .. } => {
                let known = end(platform).is_some_and(|end| now.since(end) < secs(3600));
                Event::Found((known && !stale).then(arn))
            }
            Effect::ObserveTask { .. } => match end(platform) {
                Some(end) if !stale && now.since(end) < secs(3600) => {
                    if now < end {
                        running("RUNNING")
                    } else if platform.stopped == Some(end) {
                        exited(137)
                    } else {
                        exited(self.code)
                    }
                }
                Some(_) | None => missing(),
            },
            Effect::StopTask { .. } => {
                platform.stopped = platform.stopped.or(Some(now));
                Event::StopSent
            }
        }
    }

    fn run(&self) -> (Running, Platform) {
        let fresh = OneOff::new(spec(), self.policy());
        let mut walk = Walk::new(fresh.clone());
        let mut platform = Platform::default();
        let mut calls = self.calls.iter().copied();
        let mut due = vec![(at(0), Event::Start)];
        let (mut now, mut away) = (at(0), Duration::ZERO);
        for nth in 0..50_000 {
            if walk.machine.outcome().is_some() {
                walk.check_replay(&fresh);
                return (walk, platform);
            }
            if let Some((_, long)) = self.away.filter(|(when, _)| *when == nth) {
                away = secs(long);
            }
            if self.abort == Some(nth) {
                due.push((now, Event::Abort));
            }
            due.sort_by_key(|(when, _)| *when);
            let wake = walk.machine.deadline().map(|deadline| deadline.at);
            let (when, event) = match (due.first(), wake) {
                (Some((when, _)), Some(wake)) if wake < *when => (wake, Event::Elapsed),
                (None, Some(wake)) => (wake, Event::Elapsed),
                (Some(_), _) => due.remove(0),
                (None, None) => panic!("nothing will ever happen"),
            };
            now = now.max(when).after(core::mem::take(&mut away));
            for effect in walk.give(now, event).unwrap_or_default() {
                let lost = || error(ErrorKind::TimedOut, Applied::Maybe);
                let goes = calls.next().unwrap_or(Goes::Well);
                let event = match goes {
                    Goes::Well => Some(self.answer(now, &effect, false, &mut platform)),
                    Goes::Stale => Some(self.answer(now, &effect, true, &mut platform)),
                    Goes::Lost(told) => {
                        self.answer(now, &effect, false, &mut platform);
                        told.then(lost)
                    }
                    Goes::Unknown => Some(lost()),
                    Goes::Fails => Some(error(ErrorKind::Unavailable, Applied::No)),
                    Goes::Denied => Some(error(ErrorKind::PermissionDenied, Applied::No)),
                    Goes::Silent => None,
                };
                due.extend(event.map(|event| (now.after(secs(self.delay)), event)));
            }
        }
        panic!("it never ends: {:?}", walk.machine)
    }
}

/// I-19: one token in all, and no start after the task is known.
fn check_starts(walk: &Running) {
    let mut known = false;
    for (_, event, effects) in &walk.steps {
        known |= matches!(event, Event::Started(_) | Event::Found(Some(_)));
        for effect in effects {
            if let Effect::StartTask { attempt, .. } = effect {
                assert_eq!(*attempt, 1, "another token");
                assert!(!known, "started again");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// I-19: whatever gets lost, and however long the runner is away, the task runs once at most; `ran` never denies a
    /// run; a success is one; it always ends.
    #[test]
    fn it_runs_at_most_once_and_ran_is_true(world in world()) {
        let (walk, platform) = world.run();
        check_starts(&walk);
        prop_assert!(platform.started.len() <= 1, "ran {} times", platform.started.len());
        match walk.machine.outcome().unwrap() {
            Outcome::Succeeded { .. } => {
                prop_assert_eq!(platform.started.len(), 1);
                prop_assert_eq!((world.code, platform.stopped), (0, None));
            }
            Outcome::Failed { ran: Applied::No, .. } => prop_assert!(platform.started.is_empty(), "it had run"),
            Outcome::Failed { ran: Applied::Yes, .. } => prop_assert!(!platform.started.is_empty(), "it had not run"),
            Outcome::Failed { ran: Applied::Maybe, .. } => {}
        }
    }

    /// I-19 where it is hardest: the first answer is lost, and the runner comes back when the token is forgotten.
    #[test]
    fn a_day_away_starts_nothing_twice(world in world(), told in any::<bool>(), when in 1..4_usize) {
        let mut world = World { give_up: 200_000, away: Some((when, 90_000)), abort: None, ..world };
        world.calls.insert(0, Goes::Lost(told));
        let (walk, platform) = world.run();
        check_starts(&walk);
        prop_assert_eq!(platform.started.len(), 1);
    }

    /// Any event in any order at any time: every rule of the walk, one token, and no start once the task is known.
    #[test]
    fn survives_any_order(events in prop::collection::vec((0..40_u64, 0..16_usize), 0..60)) {
        let mut walk = idle();
        let mut now = at(0);
        let mut doubtful = false;
        for (step, which) in std::iter::once((0, 0)).chain(events) {
            now = Timestamp::from_millis((now.as_millis() + step * 1_000).saturating_sub(5_000));
            let mut more = every_event();
            more.extend([
                Event::Found(None),
                error(ErrorKind::TimedOut, Applied::Maybe),
                running("RUNNING"),
                running("PENDING"),
                missing(),
                exited(1),
                error(ErrorKind::PermissionDenied, Applied::No),
                error(ErrorKind::Unavailable, Applied::Yes),
            ]);
            let event = more[which].clone();
            if event == Event::Abort && step % 4 != 0 {
                continue;
            }
            if event == Event::Elapsed {
                now = now.max(walk.machine.deadline().map_or(now, |deadline| deadline.at));
            }
            let before = walk.machine.state_kind();
            if walk.give(now, event).is_ok() {
                let after = walk.machine.state_kind();
                doubtful |= before == StateKind::Starting && after == StateKind::Finding || walk.machine.task().is_some();
            }
            if let Some(Outcome::Failed { ran, .. }) = walk.machine.outcome() {
                prop_assert!(!doubtful || ran != Applied::No, "it may have run");
            }
        }
        check_starts(&walk);
        walk.check_replay(&OneOff::new(spec(), policy()));
    }
}
