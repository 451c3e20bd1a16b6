//! What a seed means: which plan, what goes wrong in the world, which calls go wrong, when someone aborts.

use core::time::Duration;

use rollout_core::dns::{Change, Record, RecordData};
use rollout_core::error::ErrorKind;
use rollout_core::machine::rollout::{Outcome, Superseding};
use rollout_core::plan::Draft;
use rollout_core::probe::ProbeTarget;
use rollout_sim::{Behaviour, Disturbance, Fault, Incident, Job, Operation, Start, Storefront, When, World};

use crate::clock::Skew;
use crate::run::storefront;
use crate::truth::{self, Expected, SERVICES};

/// splitmix64: plain arithmetic, the same everywhere.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.draw() % n
    }

    /// Once in `n` times.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        let index = self.below(all.len() as u64);
        all[usize::try_from(index).expect("small")].clone()
    }

    fn secs(&mut self, below: u64) -> Duration {
        Duration::from_secs(self.below(below))
    }
}

/// What a seed means.
#[derive(Clone, Debug)]
pub struct Script {
    /// The world, with its incidents and faults planned.
    pub world: World,
    /// Production as it was before anything happened.
    pub before: Expected,
    /// The plan.
    pub draft: Draft,
    /// The incidents, for people and for what may be expected.
    pub incidents: Vec<(When, Incident)>,
    /// The calls that go wrong.
    pub faults: Vec<Fault>,
    /// The wait at which someone aborts.
    pub abort: Option<u64>,
    /// The migration's exit code.
    pub migration: i32,
    /// The runner may fall asleep.
    pub sleeps: Option<Skew>,
}

impl Script {
    /// Draws it.
    ///
    /// # Panics
    /// Never: every name in it is one of the storefront's.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let dice = &mut Dice::new(seed);
        let desired = desired(&mut Dice::new(seed ^ DESIRED));
        let world = Storefront::new(seed).desired(desired).build();
        let mut world = world.expect("its names are constants");
        let mut draft = storefront(&world);
        let mut before = truth::before(&world);
        vary(dice, &mut draft);
        ask_for_no_more_than(desired, &mut draft);
        let count = dice.of(&[0, 0, 1, 1, 1, 2, 3]);
        let incidents: Vec<_> = (0..count).map(|_| incident(dice, &mut world)).collect();
        for (when, incident) in &incidents {
            let planned = world.schedule("production", when.clone(), incident.clone());
            planned.expect("everything in it is there");
        }
        let migration = if dice.once_in(20) {
            let image = truth::digest(&world, "staging", "backend", "2.4.0");
            let job = Job {
                exit_code: 1,
                ..Job::default()
            };
            let behaviour = Behaviour {
                job,
                ..Behaviour::default()
            };
            world.behave("staging", &image, behaviour).expect("it is there");
            1
        } else {
            0
        };
        let count = dice.of(&[0, 0, 1, 2, 4]);
        let faults: Vec<_> = (0..count).map(|_| fault(dice)).collect();
        for fault in &faults {
            world.disturb(fault.clone());
        }
        let swarm = swarm(&mut Dice::new(seed ^ SWARM));
        for fault in &swarm {
            world.disturb(fault.clone());
        }
        let faults = faults.into_iter().chain(swarm).collect();
        let abort = dice.once_in(4).then(|| {
            let below = dice.of(&[16, 300]);
            dice.below(below)
        });
        if dice.once_in(3) {
            // What is planned for the beginning has happened then.
            world.pass(dice.secs(60));
            before.records = truth::records(&world);
        }
        Self {
            world,
            before,
            draft,
            incidents,
            faults,
            abort,
            migration,
            sleeps: sleeps(&mut Dice::new(seed ^ ASLEEP)),
        }
    }

    /// Whether nothing goes wrong and nobody aborts.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.incidents.is_empty() && self.faults.is_empty() && self.abort.is_none() && self.migration == 0
    }

    /// The services that someone else may have changed or brought down for reasons that are not the release's.
    #[must_use]
    pub fn meddled_with(&self) -> Vec<&str> {
        let services = self.incidents.iter().filter_map(|(_, incident)| match incident {
            Incident::ForeignDeployer { service, .. }
            | Incident::PlatformRollsBackTo { service, .. }
            | Incident::ServiceDeleted { service }
            | Incident::Scaled { service, .. }
            | Incident::Everything { service, .. } => Some(service.as_str()),
            _ => None,
        });
        services.collect()
    }

    /// Those, and the services whose new tasks may all fail after they had been taken for good.
    #[must_use]
    pub fn may_lose_tasks(&self) -> Vec<&str> {
        let late = self.incidents.iter().filter_map(|(_, incident)| match incident {
            Incident::FailingHealthCheckAfter { service, after }
            | Incident::OutOfMemory { service, after }
            | Incident::CrashLoop { service, after, .. }
                if !after.is_zero() =>
            {
                Some(service.as_str())
            }
            _ => None,
        });
        late.chain(self.meddled_with()).collect()
    }

    /// Those that others meddle with, and the services whose last known good release may fail: an incident spares the
    /// revision that was completed last when it strikes, and that may be the new one.
    #[must_use]
    pub fn may_fail_going_back(&self) -> Vec<&str> {
        let late = self
            .incidents
            .iter()
            .filter_map(|(when, incident)| match incident {
                Incident::BadImage { service }
                | Incident::SlowStart { service, .. }
                | Incident::FailingHealthCheckAfter { service, .. }
                | Incident::OutOfMemory { service, .. }
                | Incident::CrashLoop { service, .. }
                    if *when != When::deployment_of(service, Duration::ZERO) =>
                {
                    Some(service.as_str())
                }
                _ => None,
            });
        late.chain(self.meddled_with()).collect()
    }

    /// What production must look like after this outcome, and the services of which it may be asked.
    #[must_use]
    pub fn expects(&self, outcome: &Outcome, world: &World) -> (Expected, Vec<&'static str>) {
        let (mut expected, excused) = match outcome {
            Outcome::Released { .. } => (truth::after(&self.world, &self.draft), self.meddled_with()),
            _ => (self.before.clone(), self.may_fail_going_back()),
        };
        if self.has_foreign_record() {
            expected.records = truth::records(world);
        }
        let ours = SERVICES.into_iter().filter(|name| !excused.contains(name));
        (expected, ours.collect())
    }

    /// Why nobody has superseded us; `None` when somebody may have.
    #[must_use]
    pub fn unfounded(&self, by: &Superseding) -> Option<String> {
        let (what, founded) = match by {
            Superseding::Record(why) => (why.text.clone(), self.has_foreign_record()),
            Superseding::Deployment(by) => {
                let theirs = |incident: &Incident| match incident {
                    // A platform that goes back while we have not written yet looks like another deployer.
                    Incident::ForeignDeployer { service, .. }
                    | Incident::PlatformRollsBackTo { service, .. } => *service == by.service.as_str(),
                    _ => false,
                };
                let meant = self.incidents.iter().any(|(_, incident)| theirs(incident));
                (format!("{by:?}"), meant)
            }
        };
        (!founded).then(|| format!("superseded by nobody: {what}"))
    }

    /// Whether someone else may have changed a record.
    #[must_use]
    pub fn has_foreign_record(&self) -> bool {
        let foreign = |incident: &Incident| matches!(incident, Incident::ForeignDnsChange { .. });
        self.incidents.iter().any(|(_, incident)| foreign(incident))
    }
}

fn vary(dice: &mut Dice, draft: &mut Draft) {
    for task in &mut draft.tasks {
        task.reversible = !dice.once_in(8);
    }
    if dice.once_in(3) {
        draft.services[2].after.clear();
    }
    draft.policy.bounds.services_at_once = dice.of(&[1, 2, 3]);
    if dice.once_in(2) {
        draft.cutovers.pop();
    }
    if dice.once_in(3) {
        for service in &mut draft.services {
            service.deployment.stopped_tasks = 50;
        }
    }
}

fn when(dice: &mut Dice, service: &str) -> When {
    match dice.below(4) {
        0 => {
            let below = dice.of(&[30, 1_500]);
            When::After(dice.secs(below))
        }
        1 => When::deployment_of(service, Duration::ZERO),
        2 => When::deployment_of(service, dice.secs(200)),
        _ => When::Deployment {
            service: None,
            plus: dice.secs(100),
        },
    }
}

fn incident(dice: &mut Dice, world: &mut World) -> (When, Incident) {
    let service = dice.of(&SERVICES).to_owned();
    let moment = when(dice, &service);
    let old = truth::digest(world, "production", &service, "2.3.0");
    let repository = format!("storefront/{service}").parse().expect("a name");
    let third = |world: &mut World| {
        let name = format!("storefront/{service}");
        let pushed = world.push_image("production", &name, "2.3.1", "a hotfix");
        (name.parse().expect("a name"), pushed.expect("it is there"))
    };
    let incident = match dice.below(19) {
        0 => Incident::BadImage { service },
        1 => Incident::CrashLoop {
            service,
            after: dice.secs(20),
            exit_code: 1,
            log: vec!["no".into()],
        },
        2 => Incident::OutOfMemory {
            service,
            after: dice.secs(90),
        },
        3 => Incident::SlowStart {
            service,
            ready_after: dice.secs(300),
        },
        4 | 5 => Incident::FailingHealthCheckAfter {
            service,
            after: dice.secs(200),
        },
        6 => Incident::Everything {
            service,
            start: Start::Unhealthy,
        },
        7 => Incident::ForeignDeployer {
            image: Some(third(world)),
            service,
        },
        8 => Incident::ForeignDeployer { service, image: None },
        9 => Incident::AlarmFires {
            alarm: "storefront-backend-5xx".into(),
            fires: true,
        },
        10 => Incident::CapacityShort {
            lasts: dice.secs(1_500),
        },
        11 => Incident::ServiceDeleted { service },
        12 => Incident::Scaled {
            service,
            desired: dice.of(&[0, 1, 5]),
        },
        13 => Incident::PlatformRollsBackTo {
            image: third(world),
            service,
        },
        14 => Incident::NoRollback { service },
        15 => Incident::NoRollbackTarget { service },
        16 => Incident::Stall { service },
        17 => Incident::ImageExpires {
            repository,
            image: old,
        },
        _ => foreign_record(dice, world),
    };
    (moment, incident)
}

/// Someone points a record somewhere else. Where it does not say any more what it said before the release, they are
/// refused.
fn foreign_record(dice: &mut Dice, world: &World) -> Incident {
    let of = |record: &Record| matches!(record.data, RecordData::Values { .. });
    let values: Vec<Record> = truth::records(world).into_iter().filter(of).collect();
    let held = dice.of(&values);
    let theirs = Record {
        data: RecordData::Values {
            ttl: 60,
            values: vec!["elsewhere.example.net".into()],
        },
        ..held.clone()
    };
    Incident::ForeignDnsChange {
        zone: rollout_examples::storefront::ZONE.parse().expect("a name"),
        changes: vec![Change::Delete(held), Change::Create(theirs)],
    }
}

/// Sets the dice of the numbers of tasks apart.
const DESIRED: u64 = 0x4445_5349_5245_0001;

/// How many tasks each service of production wants: a single one has no other beside it.
fn desired(dice: &mut Dice) -> [u32; 3] {
    [(); 3].map(|()| dice.of(&[1, 2, 3, 4]))
}

/// A gate that wants more healthy targets than a service has tasks can never pass.
fn ask_for_no_more_than(desired: [u32; 3], draft: &mut Draft) {
    for (service, tasks) in draft.services.iter_mut().zip(desired) {
        for probe in service.gates.iter_mut().flat_map(|gate| &mut gate.probes) {
            if let ProbeTarget::TargetHealth { at_least, .. } = &mut probe.target {
                *at_least = tasks.min(*at_least);
            }
        }
    }
}

/// Sets the dice of the runner's sleep apart.
const ASLEEP: u64 = 0x4153_4C45_4550_0001;

/// One seed in four is run by a machine that sleeps once, for minutes or for more than a day, between two steps of its own. A
/// whole run looks at its clock about a thousand times.
fn sleeps(dice: &mut Dice) -> Option<Skew> {
    let below = dice.of(&[200, 1_500]);
    let (at, longest) = (dice.below(below), dice.of(&[5, 60, 8 * 60, 30 * 60]));
    let lasts = Duration::from_secs(60 * (1 + dice.below(longest)));
    dice.once_in(4).then_some(Skew::Sleeps { at, lasts })
}

/// Sets the swarm's dice apart from the others, so that drawing more of the one does not change the other.
const SWARM: u64 = 0x5157_4152_4D00_0001;

/// The last call of an operation that the swarm may spoil. A whole run makes fewer.
const SWARMED_CALLS: u64 = 300;

/// Swarm faults: every other seed draws a few operations, and for each what goes wrong with its calls and how often.
fn swarm(dice: &mut Dice) -> Vec<Fault> {
    let mut faults = Vec::new();
    if dice.once_in(2) {
        return faults;
    }
    let share = dice.of(&[2, 4, 8]);
    for operation in Operation::ALL {
        if !dice.once_in(share) {
            continue;
        }
        let what = dice.of(&[
            Disturbance::LostAnswer,
            Disturbance::Refused(ErrorKind::Throttled),
            Disturbance::Refused(ErrorKind::Unavailable),
        ]);
        let one_in = dice.of(&[100, 30, 10]);
        let spoilt = (1..=SWARMED_CALLS).filter(|_| dice.once_in(one_in));
        faults.extend(spoilt.map(|call| Fault {
            environment: None,
            operation,
            from: call,
            to: call,
            what,
        }));
    }
    faults
}

fn fault(dice: &mut Dice) -> Fault {
    let from = 1 + dice.below(40);
    let length = dice.of(&[1, 1, 2, 4, 8, 1_000]);
    let kind = dice.of(&[
        ErrorKind::Throttled,
        ErrorKind::Throttled,
        ErrorKind::Unavailable,
        ErrorKind::PermissionDenied,
    ]);
    Fault {
        environment: None,
        operation: dice.of(&Operation::ALL),
        from,
        to: from + length - 1,
        what: dice.of(&[Disturbance::LostAnswer, Disturbance::Refused(kind)]),
    }
}
