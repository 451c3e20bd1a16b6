//! Random fleets in a random world: whatever happens, the bounds are kept, nothing begins after a failure, and every member that was
//! changed is back or named.

use proptest::prelude::*;

use super::*;

/// What a member really is, whatever anybody has heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Truth {
    Untouched,
    Running,
    Released(Timestamp),
    Back,
    /// Somebody else's, or a person's.
    Lost,
}

struct World {
    draft: Draft,
    dice: std::vec::IntoIter<u8>,
    truth: BTreeMap<MemberName, Truth>,
    /// Members whose call about their run may still have an answer.
    air: BTreeSet<MemberName>,
    failed: bool,
    newest_back: usize,
    told_to_stop: BTreeSet<MemberName>,
}

impl World {
    fn new(draft: Draft, dice: Vec<u8>) -> Self {
        let members = draft.waves.iter().flat_map(|wave| wave.members.iter().cloned());
        Self {
            truth: members.map(|member| (member, Truth::Untouched)).collect(),
            dice: dice.into_iter(),
            air: BTreeSet::new(),
            failed: false,
            newest_back: usize::MAX,
            told_to_stop: BTreeSet::new(),
            draft,
        }
    }

    /// When the dice run out everything goes well.
    fn roll(&mut self) -> u8 {
        self.dice.next().unwrap_or(u8::MAX)
    }

    fn wave_of(&self, member: &MemberName) -> usize {
        let has = |wave: &WavePlan| wave.members.contains(member);
        self.draft.waves.iter().position(has).expect("a member")
    }

    fn baked(&self, member: &MemberName, now: Timestamp) -> bool {
        let bake = self.draft.waves[self.wave_of(member)].bake;
        matches!(self.truth[member], Truth::Released(at) if at.after(bake) <= now)
    }

    /// The rules, on each effect.
    fn check(&mut self, now: Timestamp, effect: &Effect) {
        let bounds = self.draft.policy.bounds;
        let size = u32::try_from(self.truth.len()).expect("few");
        match effect {
            Effect::Begin { member, attempt, .. } => {
                assert!(!self.failed, "{member} begins after a failure");
                assert_eq!(self.truth[member], Truth::Untouched, "{member} is begun twice");
                assert!(
                    *attempt > 1 || !self.air.contains(member),
                    "{member} is said to begin twice"
                );
                let wave = self.wave_of(member);
                for older in self.draft.waves[..wave].iter().flat_map(|wave| &wave.members) {
                    assert!(self.baked(older, now), "{member} begins before {older} has baked");
                }
                self.air.insert(member.clone());
                let air = u32::try_from(self.air.len()).expect("few");
                assert!(air <= self.draft.waves[wave].at_once, "{air} are in the air");
                assert!(
                    bounds.in_the_air.is_none_or(|most| air <= most.of(size)),
                    "{air} are in the air"
                );
                let unbaked = self.truth.keys().filter(|member| {
                    let changed = matches!(self.truth[*member], Truth::Released(_));
                    self.air.contains(*member) || (changed && !self.baked(member, now))
                });
                let unbaked = u32::try_from(unbaked.count()).expect("few");
                assert!(
                    bounds.unbaked.is_none_or(|most| unbaked <= most.of(size)),
                    "{unbaked} at stake"
                );
            }
            Effect::Resume { member, stop, .. } => {
                assert!(self.air.contains(member), "{member} is resumed and was not begun");
                assert_eq!(*stop, self.told_to_stop.contains(member));
            }
            Effect::Stop { member, .. } => {
                assert!(
                    self.air.contains(member),
                    "{member} is stopped and is not under way"
                );
                self.failed = true;
                self.told_to_stop.insert(member.clone());
            }
            Effect::TakeBack { member, .. } => {
                // A gate has failed, or a member's time was up.
                self.failed = true;
                assert!(
                    matches!(self.truth[member], Truth::Released(_) | Truth::Back),
                    "{member} goes back and was not released"
                );
                let wave = self.wave_of(member);
                assert!(
                    wave <= self.newest_back,
                    "an older wave has gone back before {member}"
                );
                self.newest_back = wave;
                assert_ne!(self.draft.policy.back, WayBack::Member);
            }
            Effect::TakeSample { .. } => {}
        }
    }

    /// How a run ends.
    fn end(&mut self, now: Timestamp, member: &MemberName) -> End {
        let stop = self.told_to_stop.contains(member);
        let (truth, end) = match self.roll() {
            0..16 => (Truth::Back, rolled_back()),
            16..24 => (Truth::Untouched, refused()),
            24..32 => (Truth::Lost, End::Superseded { by: someone() }),
            32..40 => (Truth::Lost, End::Stuck(stuck("nothing helps"))),
            _ if stop => (Truth::Back, aborted(rollout::LeftAt::LastKnownGood)),
            _ => (Truth::Released(now), End::Released),
        };
        self.truth.insert(member.clone(), truth);
        end
    }

    /// What is heard of an effect; nothing, if nobody ever will.
    fn answer(&mut self, now: Timestamp, effect: &Effect) -> Option<Event> {
        use crate::machine::Lifecycle as _;
        let lost = |retry, applied| Some(Fleet::failed(effect, error(retry, applied)));
        let luck = self.roll();
        match effect {
            Effect::Begin { member, .. } => match luck {
                0..12 => lost(Retry::Later, Applied::No),
                12..16 => lost(Retry::Never, Applied::No),
                16..24 => lost(Retry::Later, Applied::Maybe),
                24..32 => {
                    self.truth.insert(member.clone(), Truth::Running);
                    lost(Retry::Later, Applied::Maybe)
                }
                32..36 => {
                    self.truth.insert(member.clone(), Truth::Running);
                    None
                }
                _ => Some(Event::Ended {
                    end: self.end(now, member),
                    member: member.clone(),
                }),
            },
            Effect::Resume { member, stop, .. } => match (luck, self.truth[member]) {
                (0..24, _) => lost(Retry::Later, Applied::Maybe),
                (24..28, _) => lost(Retry::Never, Applied::Maybe),
                (_, Truth::Untouched) if *stop => Some(Event::Ended {
                    member: member.clone(),
                    end: aborted(rollout::LeftAt::Untouched),
                }),
                _ => Some(Event::Ended {
                    end: self.end(now, member),
                    member: member.clone(),
                }),
            },
            Effect::Stop { member, .. } => match luck {
                0..24 => lost(Retry::Later, Applied::Maybe),
                24..28 => lost(Retry::Never, Applied::No),
                28..32 => None,
                _ => Some(Event::StopSent {
                    member: member.clone(),
                }),
            },
            Effect::TakeBack { member, .. } => {
                let (truth, end) = match luck {
                    0..12 => return lost(Retry::Later, Applied::Maybe),
                    12..16 => return lost(Retry::Never, Applied::No),
                    16..20 => return None,
                    20..28 => (Truth::Lost, BackEnd::Stuck(stuck("no image"))),
                    28..32 => (Truth::Lost, BackEnd::Superseded { by: someone() }),
                    _ => (Truth::Back, BackEnd::AtLastKnownGood),
                };
                self.truth.insert(member.clone(), truth);
                Some(Event::TakenBack {
                    member: member.clone(),
                    end,
                })
            }
            Effect::TakeSample { wave, request } => {
                let verdict = match luck {
                    0..8 => Verdict::Fail,
                    8..24 => Verdict::Unknown,
                    24..28 => return None,
                    _ => Verdict::Pass,
                };
                let sample = Sample {
                    at: now,
                    verdict,
                    images: None,
                    evidence: Vec::new(),
                };
                let event = gate::Event::Sampled {
                    probe: request.probe.clone(),
                    sample,
                };
                Some(Event::Gate {
                    wave: wave.clone(),
                    event,
                })
            }
        }
    }

    fn heard(&mut self, event: &Event) {
        match event {
            Event::Ended { member, end } => {
                self.air.remove(member);
                self.failed |= *end != End::Released;
            }
            Event::Abort => self.failed = true,
            Event::Start
            | Event::TakenBack { .. }
            | Event::StopSent { .. }
            | Event::CallFailed { .. }
            | Event::Gate { .. }
            | Event::Elapsed => {}
        }
    }

    /// On the way back: one wave at a time, and no more members at once than the plan allows.
    fn check_back(&self, fleet: &Fleet) {
        let going = |(member, standing)| match standing {
            Standing::GoingBack { .. } => Some(self.wave_of(member)),
            _ => None,
        };
        let waves: Vec<usize> = fleet.standings().into_iter().filter_map(going).collect();
        assert!(
            waves.len() <= self.draft.policy.back_at_once as usize,
            "{waves:?}"
        );
        assert!(waves.iter().all(|wave| *wave == waves[0]), "{waves:?}");
    }

    /// What must hold at the end.
    fn at_the_end(&self, outcome: &Outcome, took: Duration, worst: Duration) {
        assert!(took <= worst, "{took:?} is longer than {worst:?}");
        let plan = &self.draft;
        for (member, truth) in &self.truth {
            let end = &outcome.members()[member];
            let named = matches!(end, MemberEnd::Ended(End::Stuck(_) | End::Superseded { .. }));
            match truth {
                Truth::Untouched => assert!(
                    named
                        || matches!(
                            end,
                            MemberEnd::NotBegun | MemberEnd::Ended(End::Refused { .. } | End::Aborted { .. })
                        ),
                    "{member}: {end:?}"
                ),
                Truth::Running => assert!(named, "{member} runs and is not named: {end:?}"),
                Truth::Released(_) => {
                    let stays = match plan.policy.back {
                        WayBack::Fleet => matches!(outcome, Outcome::Released { .. }),
                        WayBack::Wave | WayBack::Member => true,
                    };
                    let said = *end == MemberEnd::Ended(End::Released);
                    assert!(
                        named || (stays && said),
                        "{member} serves the release: {outcome:?}"
                    );
                }
                Truth::Back => assert!(
                    named
                        || matches!(
                            end,
                            MemberEnd::Ended(End::RolledBack { .. } | End::Aborted { .. })
                        ),
                    "{member}: {end:?}"
                ),
                Truth::Lost => assert!(named, "{member}: {end:?}"),
            }
        }
        let all = |wanted: fn(&Truth) -> bool| self.truth.values().all(wanted);
        match outcome {
            Outcome::Released { .. } => assert!(all(|truth| matches!(truth, Truth::Released(_)))),
            Outcome::RolledBack { .. } => {
                assert!(all(|truth| matches!(truth, Truth::Untouched | Truth::Back)));
                assert!(self.truth.values().any(|truth| *truth == Truth::Back));
            }
            Outcome::Refused { .. } => assert!(all(|truth| *truth == Truth::Untouched)),
            Outcome::Superseded { .. } => {
                assert!(all(|truth| !matches!(truth, Truth::Released(_) | Truth::Running)));
            }
            Outcome::Aborted { left_at, .. } => match left_at {
                LeftAt::Untouched => assert!(all(|truth| *truth == Truth::Untouched)),
                LeftAt::LastKnownGood => {
                    assert!(all(|truth| matches!(truth, Truth::Untouched | Truth::Back)))
                }
                LeftAt::Between { .. } => assert_ne!(plan.policy.back, WayBack::Fleet),
            },
            Outcome::Stuck { stuck, .. } => assert!(!stuck.next.is_empty() && !stuck.text.is_empty()),
        }
    }
}

prop_compose! {
    fn drafts()(
        sizes in prop::collection::vec(1_usize..5, 1..4),
        at_once in 1_u32..5,
        in_the_air in prop::option::of(1_u32..4),
        unbaked in prop::option::of(4_u32..7),
        bake in 0_u64..3,
        gates in prop::collection::vec(any::<bool>(), 4),
        finish in any::<bool>(),
        back in 0_u8..3,
        back_at_once in 1_u32..4,
    ) -> Draft {
        let mut draft = two_waves();
        let wave = |(number, size): (usize, &usize)| WavePlan {
            name: format!("wave-{number}").parse().expect("valid"),
            members: (0..*size).map(|member| name(&format!("m-{number}-{member}"))).collect(),
            at_once,
            bake: secs(bake * 30),
            gate: gates[number].then(gate),
        };
        draft.waves = sizes.iter().enumerate().map(wave).collect();
        let size: usize = sizes.iter().sum();
        let within = |most: u32| Share::Members(most.min(u32::try_from(size).expect("few")));
        draft.policy = FleetPolicy {
            bounds: FleetBounds { in_the_air: in_the_air.map(Share::Members), unbaked: unbaked.map(within) },
            under_way: if finish { UnderWay::Finish } else { UnderWay::Stop },
            back: [WayBack::Fleet, WayBack::Wave, WayBack::Member][usize::from(back)],
            back_at_once,
            ..draft.policy
        };
        draft
    }
}

/// Runs a fleet to its end; the dice say which answer comes next, and how things go.
fn run(mut rig: Rig, draft: Draft, dice: Vec<u8>, abort: Option<u8>) -> Outcome {
    let worst = rig.walk.machine.plan().worst();
    let mut world = World::new(draft, dice);
    let mut flight: Vec<Effect> = Vec::new();
    let mut next = Some(Event::Start);
    for turn in 0_u32..5_000 {
        if let Some(outcome) = rig.walk.machine.outcome() {
            rig.walk.check_replay(&rig.fresh);
            world.at_the_end(&outcome, rig.now.since(BEGAN), worst.forward + worst.back);
            return outcome;
        }
        if abort.is_some_and(|abort| turn == u32::from(abort)) && turn > 0 {
            next = Some(Event::Abort);
        }
        let event = next.take().or_else(|| {
            let deadline = rig.walk.machine.deadline().expect("it waits for something").at;
            if flight.is_empty() {
                rig.now = rig.now.max(deadline);
            }
            if rig.now >= deadline {
                return Some(Event::Elapsed);
            }
            let effect = flight.remove(usize::from(world.roll()) % flight.len());
            // Answers take a while, and never past what the machine waits for.
            let took = secs(u64::from(world.roll()) % 40);
            rig.now = rig.now.after(took).min(deadline);
            world.answer(rig.now, &effect)
        });
        let Some(event) = event else { continue };
        world.heard(&event);
        for effect in rig.give(event) {
            world.check(rig.now, &effect);
            flight.push(effect);
        }
        world.check_back(&rig.walk.machine);
    }
    panic!("no end: {:?}", rig.walk.machine)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_random_fleet_ends_rightly(
        draft in drafts(),
        dice in prop::collection::vec(any::<u8>(), 0..200),
        abort in prop::option::weighted(0.2, 1_u8..60),
    ) {
        run(Rig::new(draft.clone()), draft, dice, abort);
    }

    /// When nothing goes wrong every fleet is released.
    #[test]
    fn a_fair_world_leads_to_a_release(draft in drafts()) {
        let outcome = run(Rig::new(draft.clone()), draft, Vec::new(), None);
        prop_assert!(matches!(outcome, Outcome::Released { .. }), "{:?}", outcome);
    }
}

#[test]
fn every_end_is_reached() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut reached = BTreeSet::new();
    let all = (
        drafts(),
        prop::collection::vec(any::<u8>(), 0..200),
        prop::option::weighted(0.2, 1_u8..60),
    );
    for _ in 0..1_500 {
        let (draft, dice, abort) = all.new_tree(&mut runner).expect("a case").current();
        let mut rig = Rig::new(draft.clone());
        rig.walk = Walk::light(rig.fresh.clone());
        let outcome = run(rig, draft, dice, abort);
        reached.insert(match outcome {
            Outcome::Released { .. } => "released".to_owned(),
            Outcome::RolledBack { .. } => "rolled back".to_owned(),
            Outcome::Refused { .. } => "refused".to_owned(),
            Outcome::Superseded { .. } => "superseded".to_owned(),
            Outcome::Aborted { left_at, .. } => {
                let left_at = format!("{left_at:?}");
                format!("aborted {}", left_at.split(' ').next().expect("a word"))
            }
            Outcome::Stuck { stuck, .. } if stuck.reason == StuckReason::PartlyReleased => {
                "between".to_owned()
            }
            Outcome::Stuck { .. } => "stuck".to_owned(),
        });
    }
    let reached: Vec<&str> = reached.iter().map(String::as_str).collect();
    assert_eq!(
        reached,
        [
            "aborted Between",
            "aborted LastKnownGood",
            "aborted Untouched",
            "between",
            "refused",
            "released",
            "rolled back",
            "stuck",
            "superseded",
        ]
    );
}
