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
}

fn goes() -> impl Strategy<Value = Goes> {
    prop_oneof![
        12 => Just(Goes::Well),
        2 => any::<bool>().prop_map(Goes::Lost),
        2 => Just(Goes::Unknown),
        2 => Just(Goes::Fails),
        1 => Just(Goes::Denied),
        1 => Just(Goes::Silent),
    ]
}

/// A world in which tags move, tasks differ and copies break.
#[derive(Clone, Debug)]
struct World {
    by_tag: bool,
    /// What the tag names at each asking; afterwards the last.
    tags: Vec<Option<&'static str>>,
    /// What the tasks of the source run.
    tasks: Vec<&'static str>,
    /// For how long, in seconds.
    ran: u64,
    calls: Vec<Goes>,
    /// Whether the target corrupts what it stores, or stores it in part.
    spoils: Option<&'static str>,
    delay: u64,
}

fn version() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just("v2"), 1 => Just("v3"), 1 => Just("v1")]
}

fn world() -> impl Strategy<Value = World> {
    (
        any::<bool>(),
        prop::collection::vec(prop::option::weighted(0.95, version()), 1..4),
        prop::collection::vec(version(), 0..4),
        prop_oneof![3 => 600..900_u64, 1 => 0..900_u64],
        prop::collection::vec(goes(), 0..10),
        prop_oneof![6 => Just(None), 1 => Just(Some("bytes")), 1 => Just(Some("part"))],
        0..40_u64,
    )
        .prop_map(|(by_tag, tags, tasks, ran, calls, spoils, delay)| World {
            by_tag,
            tags,
            tasks,
            ran,
            calls,
            spoils,
            delay,
        })
}

/// What happened in the world, for the oracle.
#[derive(Debug, Default)]
struct History {
    /// How often the tag was asked for.
    asked: usize,
    sources: Vec<Vec<&'static str>>,
    stored: Option<ImageDigest>,
    copies: usize,
}

/// What the machine was told of the tag, and took.
fn told(walk: &Promoting) -> impl Iterator<Item = Option<ImageDigest>> {
    walk.steps.iter().filter_map(|(_, event, _)| match event {
        Event::TagResolved(named) => Some(named.clone()),
        Event::Start
        | Event::SourceObserved(_)
        | Event::Proceed
        | Event::Copied(_)
        | Event::ReadBack(_)
        | Event::CallFailed(_)
        | Event::Elapsed
        | Event::Abort => None,
    })
}

impl World {
    fn spec(&self) -> Spec {
        if self.by_tag { by_tag() } else { by_digest() }
    }

    fn source(&self, now: Timestamp) -> ServiceObservation {
        let mut seen = source();
        let since = Timestamp::from_millis(now.as_millis() - self.ran * 1_000);
        seen.at = now;
        seen.running = u32::try_from(self.tasks.len()).unwrap();
        seen.tasks = (0..)
            .zip(&self.tasks)
            .map(|(n, of)| running(n, of, Some(since)))
            .collect();
        seen
    }

    /// What an effect's call answers when it goes well; a copy then takes effect.
    fn answer(&self, now: Timestamp, effect: &Effect, history: &mut History) -> Event {
        match effect {
            Effect::ResolveTag { .. } => {
                let nth = history.asked.min(self.tags.len() - 1);
                let names = self.tags[nth].map(digest);
                history.asked += 1;
                Event::TagResolved(names)
            }
            Effect::ObserveSource { .. } => {
                history.sources.push(self.tasks.clone());
                Event::SourceObserved(Box::new(self.source(now)))
            }
            Effect::CopyImage { from, .. } => {
                history.stored = Some(from.digest.clone());
                Event::Copied(Ensured::Created)
            }
            Effect::ReadBack { image } => {
                if history.stored.as_ref() != Some(&image.digest) {
                    return Event::ReadBack(None);
                }
                let Event::ReadBack(Some(mut found)) = tree("v2", &[]) else {
                    unreachable!()
                };
                found.digest = if self.spoils == Some("bytes") {
                    digest("?")
                } else {
                    image.digest.clone()
                };
                if self.spoils == Some("part") {
                    found.missing.push(digest("layer"));
                }
                Event::ReadBack(Some(found))
            }
        }
    }

    fn run(&self) -> (Promoting, History) {
        let mut walk = Walk::new(Promotion::new(self.spec(), policy()));
        let mut history = History::default();
        let mut calls = self.calls.iter().copied();
        let mut due = vec![(at(0), Event::Start)];
        for _ in 0..500 {
            if walk.machine.outcome().is_some() {
                walk.check_replay(&Promotion::new(self.spec(), policy()));
                return (walk, history);
            }
            if walk.machine.is_ready() {
                due.push((at(0), Event::Proceed));
            }
            due.sort_by_key(|(when, _)| *when);
            let wake = walk.machine.deadline().map(|deadline| deadline.at);
            let (now, event) = match (due.first(), wake) {
                (Some((when, _)), Some(wake)) if wake < *when => (wake, Event::Elapsed),
                (None, Some(wake)) => (wake, Event::Elapsed),
                (Some(_), _) => due.remove(0),
                (None, None) => panic!("nothing will ever happen"),
            };
            let now = now.max(walk.steps.last().map_or_else(|| at(0), |step| step.0));
            for effect in walk.give(now, event).unwrap_or_default() {
                if let Effect::CopyImage { from, .. } = &effect {
                    history.copies += 1;
                    self.check_copy(&walk, &history, &from.digest);
                }
                let lost = |applied| error(ErrorKind::TimedOut, applied);
                let event = match calls.next().unwrap_or(Goes::Well) {
                    Goes::Well => Some(self.answer(now, &effect, &mut history)),
                    Goes::Lost(told) => {
                        self.answer(now, &effect, &mut history);
                        told.then(|| lost(Applied::Maybe))
                    }
                    Goes::Unknown => Some(lost(Applied::Maybe)),
                    Goes::Fails => Some(error(ErrorKind::Unavailable, Applied::No)),
                    Goes::Denied => Some(error(ErrorKind::PermissionDenied, Applied::No)),
                    Goes::Silent => None,
                };
                due.extend(event.map(|event| (now.after(secs(self.delay)), event)));
            }
        }
        panic!("it never ends: {:?}", walk.machine)
    }

    /// I-1: nothing is copied before the parent's word and before the source has proven exactly this digest.
    fn check_copy(&self, walk: &Promoting, history: &History, of: &ImageDigest) {
        assert!(
            walk.steps.iter().any(|(_, event, _)| *event == Event::Proceed),
            "copied before proceed"
        );
        let proven = history
            .sources
            .last()
            .expect("copied before the source was looked at");
        assert!(
            !proven.is_empty() && proven.iter().all(|version| &digest(version) == of),
            "not proven"
        );
        assert!(self.ran + 40 * 10 >= 600, "not long enough");
        assert!(
            told(walk).all(|named| named.as_ref() == Some(of)),
            "the tag moved"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// I-26: what is promoted is what every task of the source ran, what the tag always named and what the target
    /// holds; I-1 at every copy; every world comes to an end.
    #[test]
    fn promotion_keeps_the_digest(world in world()) {
        let (walk, history) = world.run();
        match walk.machine.outcome().unwrap() {
            Outcome::Promoted { image, evidence } => {
                prop_assert!(world.tasks.iter().all(|version| digest(version) == image.digest));
                prop_assert!(!world.tasks.is_empty() && world.spoils.is_none());
                prop_assert!(told(&walk).all(|named| named.as_ref() == Some(&image.digest)));
                prop_assert_eq!(told(&walk).count(), if world.by_tag { 2 } else { 0 });
                prop_assert_eq!(history.stored, Some(image.digest));
                prop_assert!(!evidence.is_empty());
            }
            Outcome::Refused(_) => prop_assert_eq!(history.copies, 0, "refused, and something was copied"),
            Outcome::Failed(_) => prop_assert!(history.copies > 0, "failed, and nothing was tried"),
        }
        // Three failures at most, each call answered or given up within its time: it cannot take longer.
        prop_assert!(walk.steps.last().unwrap().0 <= at(40 * 40));
    }

    /// I-26: whatever else happens, a tag that has moved when it is asked again ends without a copy.
    #[test]
    fn a_tag_that_moved_is_never_promoted(world in world(), to in prop::option::of(Just("v3"))) {
        let mut world = World { by_tag: true, tags: vec![Some("v2"), to], ..world };
        // The first two askings are answered, so that the second is the one after `Proceed`.
        world.calls.clear();
        let (walk, history) = world.run();
        prop_assert!(!promoted(&walk));
        prop_assert_eq!(history.copies, 0);
    }

    /// Any event in any order at any time: every rule of the walk, and nothing is copied before `Proceed` and proof.
    #[test]
    fn survives_any_order(
        tagged in any::<bool>(),
        events in prop::collection::vec((0..40_u64, 0..16_usize), 0..60),
    ) {
        let spec = if tagged { by_tag() } else { by_digest() };
        let mut walk = Walk::new(Promotion::new(spec.clone(), policy()));
        let mut now = at(0);
        let (mut proven, mut told) = (false, false);
        for (step, which) in std::iter::once((0, 0)).chain(events) {
            now = Timestamp::from_millis((now.as_millis() + step * 1_000).saturating_sub(5_000));
            let mut more = every_event();
            more.extend([
                Event::TagResolved(None),
                resolved("v3"),
                observed(|seen| seen.tasks.clear()),
                Event::ReadBack(None),
                tree("v3", &[]),
                error(ErrorKind::TimedOut, Applied::Maybe),
                Event::CallFailed(
                    Error::new(ErrorKind::Unavailable, "test:Call", "odd").retry(Retry::Exhausted).record(),
                ),
            ]);
            let event = more[which].clone();
            if event == Event::Abort && step % 4 != 0 {
                continue;
            }
            if event == Event::Elapsed {
                now = now.max(walk.machine.deadline().map_or(now, |deadline| deadline.at));
            }
            let was_ready = walk.machine.is_ready();
            let given = event.clone();
            if let Ok(effects) = walk.give(now, event) {
                proven |= walk.machine.is_ready();
                told |= was_ready && given == Event::Proceed;
                prop_assert!(proven && told || !effects.contains(&copy()));
            }
            if let Some(Outcome::Promoted { image, .. }) = walk.machine.outcome() {
                prop_assert_eq!(image.digest, digest("v2"));
                prop_assert!(proven && told);
            }
        }
        walk.check_replay(&Promotion::new(spec, policy()));
    }
}
