//! Fleets of real rollouts: many drives on one simulated cloud, which fail, are killed, and go on.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rollout_core::driver::StopSwitch;
use rollout_core::error::ErrorKind;
use rollout_core::id::MemberName;
use rollout_core::journal::{Body, MemoryJournal, replay};
use rollout_core::machine::fleet::{Effect, End, Fleet, LeftAt, MemberEnd, Outcome};
use rollout_core::observer::{Notice, Observer, Silent};
use rollout_core::plan::fleet::{
    Draft, FleetBounds, FleetPlan, FleetPolicy, Share, UnderWay, WavePlan, WayBack,
};
use rollout_core::time::Timestamp;
use rollout_sim::{Disturbance, Fault, Incident, Operation, SimCloud, Turns, When, World};
use rollout_tests::fleet::{BEFORE, Cells, RELEASE, cell, digest, drive, runs, world};
use rollout_tests::script::Dice;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A canary of one, then a few, then the rest.
fn draft(cells: usize) -> Draft {
    let waves = [
        ("canary", 0..1, 1),
        ("few", 1..cells.min(4), 2),
        ("rest", cells.min(4)..cells, 3),
    ];
    let wave = |(name, members, at_once): (&str, core::ops::Range<usize>, u32)| WavePlan {
        name: name.parse().expect("a name"),
        members: members.map(cell).collect(),
        at_once,
        bake: secs(120),
        gate: None,
    };
    Draft {
        run: "f-1".parse().expect("a name"),
        release: RELEASE.to_owned(),
        waves: waves
            .into_iter()
            .filter(|(_, members, _)| !members.is_empty())
            .map(wave)
            .collect(),
        policy: FleetPolicy {
            bounds: FleetBounds {
                in_the_air: None,
                unbaked: Some(Share::Members(4)),
            },
            under_way: UnderWay::Stop,
            back: WayBack::Fleet,
            back_at_once: 3,
            run_within: secs(2 * 3_600),
            stop_within: secs(3_600),
            back_within: secs(3_600),
            retry_every: secs(10),
            max_errors: 5,
        },
    }
}

/// A fleet in a world, with what is left of it when its process is killed.
struct Rig {
    cloud: SimCloud,
    turns: Turns,
    cells: Arc<Cells>,
    fresh: Fleet,
    journal: MemoryJournal<rollout_core::machine::fleet::Event, Effect>,
    abort: StopSwitch,
}

impl Rig {
    fn new(world: World, draft: Draft) -> Self {
        let cloud = SimCloud::new(world);
        let turns = Turns::new(&cloud);
        Self {
            cells: Arc::new(Cells::new(&cloud, &turns)),
            fresh: Fleet::new(FleetPlan::check(draft).expect("a valid plan")),
            journal: MemoryJournal::new(),
            abort: StopSwitch::default(),
            cloud,
            turns,
        }
    }

    fn now(&self) -> Timestamp {
        self.cloud.with(|world| world.now())
    }

    /// Runs to the end.
    fn run(&self, observer: &dyn Observer<Fleet>) -> Outcome {
        let all = drive(
            self.fresh.clone(),
            Arc::clone(&self.cells),
            &self.journal,
            &self.abort,
            observer,
        );
        let outcome = self
            .turns
            .block_on(all)
            .expect("somebody can go on")
            .expect("it does not halt");
        self.check(&outcome);
        outcome
    }

    /// Runs until a moment at which its process is killed; the outcome, if it was done before.
    fn run_until(&mut self, end: Timestamp) -> Option<Outcome> {
        let all = drive(
            self.fresh.clone(),
            Arc::clone(&self.cells),
            &self.journal,
            &self.abort,
            &Silent,
        );
        let outcome = self.turns.block_on_until(all, end);
        self.cells = Arc::new(self.cells.again());
        outcome.map(|outcome| outcome.expect("it does not halt"))
    }

    /// What the outcome says of each member is what its service runs, and nothing was begun twice.
    fn check(&self, outcome: &Outcome) {
        let world = self.cloud.world();
        let (old, new) = (digest(&world, BEFORE), digest(&world, RELEASE));
        for (member, end) in outcome.members() {
            assert!(self.cells.begun(member) <= 1, "{member} was begun twice");
            let expected = match end {
                MemberEnd::Ended(End::Released) => &new,
                MemberEnd::NotBegun
                | MemberEnd::Ended(End::RolledBack { .. } | End::Refused { .. } | End::Aborted { .. }) => {
                    &old
                }
                // A person's, or somebody else's.
                MemberEnd::Ended(End::Stuck(_) | End::Superseded { .. }) => continue,
            };
            assert_eq!(runs(&world, member).as_ref(), Some(expected), "{member}: {end:?}");
        }
        let begun = self.said(|effect| match effect {
            Effect::Begin {
                member, attempt: 1, ..
            } => Some(member.clone()),
            _ => None,
        });
        let mut once = begun.clone();
        once.sort();
        once.dedup();
        assert_eq!(
            begun.len(),
            once.len(),
            "a member was said to begin twice: {begun:?}"
        );
        let records = self.journal.records();
        let replayed = replay(self.fresh.clone(), &records).expect("it replays");
        assert!(replayed.closed && replayed.unsaid.is_empty());
    }

    fn said<T>(&self, of: impl Fn(&Effect) -> Option<T>) -> Vec<T> {
        let records = self.journal.records();
        let issued = records.iter().filter_map(|record| match &record.body {
            Body::Issued { effect } => of(effect),
            Body::Opened(_) | Body::Happened { .. } | Body::Resumed(_) | Body::Closed => None,
        });
        issued.collect()
    }

    fn taken_back(&self) -> Vec<MemberName> {
        self.said(|effect| match effect {
            Effect::TakeBack {
                member, attempt: 1, ..
            } => Some(member.clone()),
            _ => None,
        })
    }
}

/// Holds the bounds against the machine at every step, and against the drives themselves at the end.
#[derive(Default)]
struct Bounds(Mutex<u32>);

impl Observer<Fleet> for Bounds {
    fn notice(&self, _: Timestamp, machine: &Fleet, notice: &Notice<'_, Fleet>) {
        if !matches!(notice, Notice::Handled) {
            return;
        }
        let counts = machine.counts();
        if machine.halted().is_none() {
            let unbaked = counts.in_the_air + counts.released - counts.baked;
            assert!(unbaked <= 4, "{counts:?}");
        }
        let mut most = self.0.lock().expect("not poisoned");
        *most = (*most).max(counts.in_the_air);
    }
}

fn breaks(world: &mut World, member: usize, incident: Incident) {
    let planned = world.schedule(cell(member).as_str(), When::first_deployment(), incident);
    planned.expect("it is there");
}

fn bad_image() -> Incident {
    Incident::BadImage {
        service: "web".to_owned(),
    }
}

#[test]
fn a_fleet_is_released_wave_by_wave() {
    let rig = Rig::new(world(1, 12), draft(12));
    let (began, watch) = (rig.now(), Bounds::default());
    let outcome = rig.run(&watch);
    assert!(matches!(outcome, Outcome::Released { .. }), "{outcome:?}");
    assert_eq!(*watch.0.lock().expect("not poisoned"), 3, "side by side");
    assert_eq!(rig.cells.most_at_once(), 3);
    let took = rig.now().since(began);
    let worst = rig.fresh.plan().worst();
    assert!(took < worst.forward, "{took:?}");
    assert!(took >= secs(3 * 120), "{took:?} is less than the bake times");
}

#[test]
fn one_bad_cell_takes_the_whole_fleet_back_newest_first() {
    let mut world = world(2, 10);
    breaks(&mut world, 7, bad_image());
    let rig = Rig::new(world, draft(10));
    let outcome = rig.run(&Bounds::default());
    let Outcome::RolledBack { why, members } = &outcome else {
        panic!("{outcome:?}")
    };
    assert!(
        why.text.starts_with("member cell-7 of wave rest: rolled back: "),
        "{why}"
    );
    assert!(!why.evidence.is_empty(), "a failure says what it rests on");
    let back = rig.taken_back();
    let waves: Vec<usize> = back
        .iter()
        .map(|member| {
            rig.fresh
                .plan()
                .waves
                .iter()
                .position(|wave| wave.members.contains(member))
        })
        .map(|wave| wave.expect("a member"))
        .collect();
    assert!(waves.is_sorted_by(|newer, older| newer >= older), "{back:?}");
    assert!(waves.contains(&0) && waves.contains(&2), "{back:?}");
    assert!(members.values().any(|end| *end == MemberEnd::NotBegun));
}

#[test]
fn each_cell_on_its_own_where_the_plan_says_so() {
    let mut world = world(3, 8);
    breaks(&mut world, 2, bad_image());
    let mut draft = draft(8);
    draft.policy.back = WayBack::Member;
    draft.policy.under_way = UnderWay::Finish;
    let rig = Rig::new(world, draft);
    let outcome = rig.run(&Bounds::default());
    let Outcome::Stuck { stuck, members } = &outcome else {
        panic!("{outcome:?}")
    };
    assert!(
        stuck.text.contains("3 of 8 members serve 2.4.0"),
        "{}",
        stuck.text
    );
    assert!(matches!(
        members[&cell(2)],
        MemberEnd::Ended(End::RolledBack { .. })
    ));
    assert_eq!(members[&cell(5)], MemberEnd::NotBegun);
    assert!(rig.taken_back().is_empty());
}

#[test]
fn somebody_who_deploys_to_one_cell_is_yielded_to_and_the_others_go_back() {
    let mut world = world(4, 6);
    let foreign = Incident::ForeignDeployer {
        service: "web".to_owned(),
        image: None,
    };
    let when = When::deployment_of("web", secs(20));
    world
        .schedule(cell(2).as_str(), when, foreign)
        .expect("it is there");
    let rig = Rig::new(world, draft(6));
    let outcome = rig.run(&Bounds::default());
    let Outcome::Superseded { members, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    assert!(matches!(
        members[&cell(2)],
        MemberEnd::Ended(End::Superseded { .. })
    ));
    assert_eq!(
        rig.taken_back().last(),
        Some(&cell(0)),
        "the canary goes back last"
    );
}

#[test]
fn a_cell_that_cannot_go_back_is_named_and_the_others_go_back() {
    let mut world = world(5, 8);
    breaks(&mut world, 6, bad_image());
    let refused = Disturbance::Refused(ErrorKind::PermissionDenied);
    for operation in [Operation::Restore, Operation::TurnBack] {
        let fault = Fault::every(operation, refused).within(cell(1).as_str().parse().expect("a name"));
        world.disturb(fault);
    }
    let rig = Rig::new(world, draft(8));
    let outcome = rig.run(&Bounds::default());
    let Outcome::Stuck { stuck, members } = &outcome else {
        panic!("{outcome:?}")
    };
    assert!(stuck.text.starts_with("member cell-1: "), "{}", stuck.text);
    assert!(!stuck.next.is_empty());
    let stuck = |end: &&MemberEnd| matches!(end, MemberEnd::Ended(End::Stuck(_)));
    assert_eq!(members.values().filter(stuck).count(), 1);
}

#[test]
fn an_abort_in_the_middle_takes_everything_back() {
    let mut rig = Rig::new(world(6, 8), draft(8));
    let middle = rig.now().after(secs(400));
    assert!(rig.run_until(middle).is_none());
    rig.abort.stop();
    let outcome = rig.run(&Bounds::default());
    let Outcome::Aborted { left_at, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(*left_at, LeftAt::LastKnownGood);
}

/// Killed every so many seconds, at ever other moments, and gone on with elsewhere.
#[test]
fn a_fleet_can_be_killed_at_any_moment_and_goes_on() {
    let whole = {
        let rig = Rig::new(world(7, 6), draft(6));
        let began = rig.now();
        rig.run(&Silent);
        rig.now().since(began)
    };
    for broken in [None, Some(4)] {
        let mut at = secs(3);
        while at < whole {
            let mut world = world(7, 6);
            if let Some(member) = broken {
                breaks(&mut world, member, bad_image());
            }
            let mut rig = Rig::new(world, draft(6));
            let begin = rig.now();
            // Twice: the second one in what the first has left.
            let mut ended = rig.run_until(begin.after(at));
            if ended.is_none() {
                ended = rig.run_until(begin.after(at + secs(35)));
            }
            let outcome = ended.unwrap_or_else(|| rig.run(&Bounds::default()));
            rig.check(&outcome);
            match broken {
                None => assert!(matches!(outcome, Outcome::Released { .. }), "{at:?}: {outcome:?}"),
                Some(_) => assert!(
                    matches!(outcome, Outcome::RolledBack { .. }),
                    "{at:?}: {outcome:?}"
                ),
            }
            at += secs(23);
        }
    }
}

fn incident(dice: &mut Dice) -> Incident {
    let service = "web".to_owned();
    match dice.below(5) {
        0 => bad_image(),
        1 => Incident::CrashLoop {
            service,
            after: secs(dice.below(60)),
            exit_code: 1,
            log: vec!["panic: no database".to_owned()],
        },
        2 => Incident::OutOfMemory {
            service,
            after: secs(dice.below(60)),
        },
        3 => Incident::ForeignDeployer { service, image: None },
        _ => Incident::DeploymentStopped { service },
    }
}

/// Seeds: everything above at once, at random.
#[test]
fn every_random_fleet_ends_rightly() {
    let mut ends: BTreeMap<&str, u32> = BTreeMap::new();
    let seeds = if cfg!(debug_assertions) { 60 } else { 1_000 };
    for seed in 0..seeds {
        let dice = &mut Dice::new(seed);
        let size = usize::try_from(3 + dice.below(8)).expect("few");
        let mut world = world(seed, size);
        for _ in 0..dice.below(4) {
            let at = When::deployment_of("web", secs(dice.below(20)));
            let member = cell(usize::try_from(dice.below(size as u64)).expect("few"));
            world
                .schedule(member.as_str(), at, incident(dice))
                .expect("it is there");
        }
        for _ in 0..dice.below(6) {
            let operation = Operation::ALL[usize::try_from(dice.below(22)).expect("few")];
            let what = if dice.once_in(2) {
                Disturbance::LostAnswer
            } else {
                Disturbance::Refused(ErrorKind::Throttled)
            };
            let member = cell(usize::try_from(dice.below(size as u64)).expect("few"));
            let fault = Fault::nth(operation, 1 + dice.below(4), what);
            world.disturb(fault.within(member.as_str().parse().expect("a name")));
        }
        let mut draft = draft(size);
        draft.policy.back =
            [WayBack::Fleet, WayBack::Wave, WayBack::Member][usize::try_from(dice.below(3)).expect("few")];
        if dice.once_in(3) {
            draft.policy.under_way = UnderWay::Finish;
        }
        let mut rig = Rig::new(world, draft);
        let began = rig.now();
        let mut outcome = None;
        for _ in 0..dice.below(4) {
            let until = rig.now().after(secs(1 + dice.below(300)));
            outcome = rig.run_until(until);
            if outcome.is_some() {
                break;
            }
            if dice.once_in(6) {
                rig.abort.stop();
            }
        }
        let outcome = outcome.unwrap_or_else(|| rig.run(&Bounds::default()));
        rig.check(&outcome);
        let worst = rig.fresh.plan().worst();
        assert!(
            rig.now().since(began) <= worst.forward + worst.back,
            "seed {seed}"
        );
        let name = match outcome {
            Outcome::Released { .. } => "released",
            Outcome::RolledBack { .. } => "rolled back",
            Outcome::Refused { .. } => "refused",
            Outcome::Superseded { .. } => "superseded",
            Outcome::Aborted { .. } => "aborted",
            Outcome::Stuck { .. } => "stuck",
        };
        *ends.entry(name).or_default() += 1;
    }
    println!("{seeds} seeds: {ends:?}");
    for end in ["released", "rolled back", "superseded", "aborted", "stuck"] {
        assert!(ends.contains_key(end), "{end} is never reached: {ends:?}");
    }
}
