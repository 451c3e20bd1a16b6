//! Random walks: whatever is configured and whatever is done to a service, its physics keep their own laws.

use std::collections::BTreeSet;

use core::time::Duration;

use proptest::prelude::*;
use rollout_core::service::{DeploymentRole, RecordStatus, RolloutState};

use crate::alarm::AlarmState;
use crate::behaviour::Start;
use crate::ecs::Environment;
use crate::ecs::plan::ALL;
use crate::ecs::record::Record;
use crate::ecs::service::{Service, Status};
use crate::ecs::stop::Why;
use crate::ecs::task::{Owner, Task};
use crate::testkit::REPOSITORY;
use crate::{Behaviour, Breaker, Hook, HookAction, LifecycleStage, Strategy as Shift, Threshold, World};

/// How the world is.
#[derive(Clone, Debug)]
struct Setting {
    seed: u64,
    strategy: Shift,
    desired: u32,
    percent: (u32, u32),
    breaker: Breaker,
    bake_minutes: u32,
    hook: Option<(usize, HookAction)>,
    alarms: Option<bool>,
    balanced: bool,
    /// How the second and the third tag start.
    starts: [Start; 2],
}

/// What is done to it.
#[derive(Clone, Debug)]
enum Act {
    Deploy(u8),
    Stop,
    Continue(HookAction),
    Scale(u32),
    Kill(u8),
    Alarm(bool),
    Capacity(Option<u32>),
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        4 => Just(Start::Ok),
        2 => (100_u64..30_000).prop_map(|millis| Start::CrashAfter { millis, exit_code: 1 }),
        1 => Just(Start::Unhealthy),
        1 => (1_000_u64..200_000).prop_map(|millis| Start::UnhealthyAfter { millis }),
        1 => (1_000_u64..60_000).prop_map(|millis| Start::SlowStart { millis }),
        1 => Just(Start::CannotPull { message: "gone".to_owned() }),
    ]
}

fn strategy() -> impl Strategy<Value = Shift> {
    prop_oneof![
        2 => Just(Shift::Rolling),
        2 => Just(Shift::BlueGreen),
        1 => (30_u16..=1_000, 0_u32..4).prop_map(|(step, bake_minutes)| Shift::Linear { step, bake_minutes }),
        1 => (1_u16..=1_000, 0_u32..4).prop_map(|(share, bake_minutes)| Shift::Canary { share, bake_minutes }),
    ]
}

fn breaker() -> impl Strategy<Value = Breaker> {
    let threshold = prop_oneof![
        Just(Threshold::BoundedPercent(50)),
        (1_u32..100).prop_map(Threshold::UnboundedPercent),
        (1_u32..6).prop_map(Threshold::Count),
    ];
    (any::<bool>(), any::<bool>(), any::<bool>(), threshold).prop_map(
        |(enabled, rollback, reset_on_healthy_task, threshold)| Breaker {
            enabled,
            rollback,
            reset_on_healthy_task,
            threshold,
        },
    )
}

fn action() -> impl Strategy<Value = HookAction> {
    prop_oneof![Just(HookAction::Continue), Just(HookAction::Rollback)]
}

fn setting() -> impl Strategy<Value = Setting> {
    let percent = prop_oneof![
        Just((100, 200)),
        Just((50, 150)),
        Just((0, 100)),
        Just((50, 100)),
        Just((100, 150))
    ];
    (
        (any::<u64>(), strategy(), 1_u32..6, percent, breaker()),
        (
            0_u32..4,
            proptest::option::of((0_usize..6, action())),
            proptest::option::of(any::<bool>()),
        ),
        (any::<bool>(), [start(), start()]),
    )
        .prop_map(
            |(
                (seed, strategy, desired, percent, breaker),
                (bake_minutes, hook, alarms),
                (balanced, starts),
            )| {
                Setting {
                    seed,
                    strategy,
                    desired,
                    percent,
                    breaker,
                    bake_minutes,
                    hook,
                    alarms,
                    balanced,
                    starts,
                }
            },
        )
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1_u8..=3).prop_map(Act::Deploy),
        2 => Just(Act::Stop),
        2 => action().prop_map(Act::Continue),
        1 => (0_u32..7).prop_map(Act::Scale),
        2 => any::<u8>().prop_map(Act::Kill),
        2 => any::<bool>().prop_map(Act::Alarm),
        1 => proptest::option::of(0_u32..12).prop_map(Act::Capacity),
    ]
}

/// The stages at which a pause can be set.
const PAUSES: [LifecycleStage; 6] = [
    LifecycleStage::ReconcileService,
    LifecycleStage::PreScaleUp,
    LifecycleStage::PostScaleUp,
    LifecycleStage::PostTestTrafficShift,
    LifecycleStage::PreProductionTrafficShift,
    LifecycleStage::PostProductionTrafficShift,
];

fn build(setting: &Setting) -> World {
    let Setting {
        starts: [second, third],
        ..
    } = setting.clone();
    World::builder(setting.seed)
        .environment("prod", |e| {
            e.image(REPOSITORY, "1")
                .image_that(REPOSITORY, "2", Behaviour::starting(second))
                .image_that(REPOSITORY, "3", Behaviour::starting(third))
                .alarm("a")
                .service("api", |s| {
                    let mut s = s
                        .container("api", REPOSITORY, "1")
                        .desired(setting.desired)
                        .percent(setting.percent.0, setting.percent.1)
                        .breaker(setting.breaker)
                        .strategy(setting.strategy)
                        .bake_minutes(setting.bake_minutes);
                    if setting.balanced {
                        s = s.load_balanced(8080);
                    }
                    if let Some((at, then)) = setting.hook {
                        s = s.hook(Hook::pause([PAUSES[at]]).timeout(7, then));
                    }
                    if let Some(rollback) = setting.alarms {
                        s = s.deployment_alarms(&["a"], rollback);
                    }
                    s
                })
        })
        .build()
        .expect("well described")
}

fn perform(w: &mut World, act: &Act) {
    let tag = match act {
        Act::Deploy(tag) => tag.to_string(),
        _ => String::new(),
    };
    let digest = w.image("prod", REPOSITORY, &tag);
    let (env, k) = (&mut w.environments[0], &mut w.kernel);
    let open = env.services[0]
        .records
        .iter()
        .rev()
        .find(|r| !r.is_over())
        .cloned();
    match act {
        Act::Deploy(_) => {
            let image = (REPOSITORY.parse().expect("a name"), digest.expect("pushed"));
            if let Some(revision) = env.revision_with(k.now, 0, &image) {
                env.deploy(k, 0, revision);
            }
        }
        Act::Stop => {
            if let Some(record) = open {
                let asked = env.stop_service_deployment(k, record.arn.as_str(), None);
                assert_eq!(asked, Ok(()), "{:?}", record.status);
            }
        }
        Act::Continue(action) => {
            let hook = open
                .as_ref()
                .and_then(|r| r.hooks.iter().find(|h| h.is_open()).map(|h| h.id.clone()));
            if let (Some(record), Some(hook)) = (open, hook) {
                let answered = env.continue_service_deployment(k, record.arn.as_str(), &hook, *action);
                assert_eq!(answered, Ok(()), "{:?}", record.status);
            }
        }
        Act::Scale(desired) => {
            env.services[0].desired = *desired;
            env.schedule(k, 0, 0);
        }
        Act::Kill(which) => {
            let tasks = &env.services[0].tasks;
            if !tasks.is_empty() {
                let id = tasks[usize::from(*which) % tasks.len()];
                env.stop_task(k, id, Why::ByUser { reason: None });
            }
        }
        Act::Alarm(fires) => {
            let state = if *fires { AlarmState::Alarm } else { AlarmState::Ok };
            env.alarms[0].set(k.now, state, "by hand");
        }
        Act::Capacity(room) => env.capacity = *room,
    }
}

/// What the laws look at, from one moment to the next.
#[derive(Default)]
struct Watcher {
    /// The highest ceiling since the last moment at which nothing was above it: a lower wanted count takes time.
    ceiling: u32,
    /// The tasks that were healthy.
    healthy: BTreeSet<u64>,
    production: Vec<(u32, u16)>,
}

fn of(task: &Task, number: u32) -> bool {
    matches!(task.owner, Owner::Service { deployment, .. } if deployment == number)
}

impl Watcher {
    fn check(&mut self, w: &World) {
        let env = &w.environments[0];
        let service = &env.services[0];
        let seen = env.observe(w.now(), &service.name);
        let primaries = seen
            .deployments
            .iter()
            .filter(|d| d.role == DeploymentRole::Primary)
            .count();
        assert_eq!(primaries, 1);
        for list in [&service.traffic.production, &service.traffic.test] {
            let sum: u16 = list.iter().map(|(_, share)| share).sum();
            assert!(list.is_empty() || sum == ALL, "{list:?}");
        }
        // One record is open at most: that of the PRIMARY deployment, or that of the one whose way back it is.
        let open: Vec<_> = service.records.iter().filter(|r| !r.is_over()).collect();
        let front = service.primary().map(|d| d.number);
        assert!(open.len() <= 1, "{open:?}");
        assert!(
            open.iter()
                .all(|r| Some(r.number) == service.rolling_back.or(front)),
            "{open:?}"
        );
        self.ceiling(service, seen.running + seen.pending);
        self.floor(service, env);
        self.shift(service, env);
    }

    /// No more tasks than the maximum percent of a rolling deployment, nor than two full sets of one in stages.
    fn ceiling(&mut self, service: &Service, live: u32) {
        let staged = service.staged().is_some();
        let most = service.desired * service.maximum_percent / 100;
        let now = if staged {
            2 * service.desired
        } else {
            most.max(service.desired)
        };
        self.ceiling = if live <= now { now } else { self.ceiling.max(now) };
        assert!(live <= self.ceiling, "{live} tasks, at most {}", self.ceiling);
    }

    /// The scheduler takes no healthy task away that it is to keep: not below the minimum percent of a rolling deployment,
    /// none of the set that carries production traffic in stages.
    fn floor(&mut self, service: &Service, env: &Environment) {
        let carrier = service.traffic.carrier().filter(|_| service.staged().is_some());
        let counts = |t: &Task| carrier.is_none_or(|number| of(t, number));
        let stopped = self.healthy.iter().filter_map(|id| env.tasks.get(id));
        let taken = stopped
            .filter(|t| matches!(t.why, Some(Why::Scaling { .. })) && counts(t))
            .count();
        let live = service.tasks.iter().map(|id| (*id, &env.tasks[id]));
        let healthy: BTreeSet<u64> = live.filter(|(_, t)| t.is_healthy()).map(|(id, _)| id).collect();
        let left = healthy.iter().filter(|id| counts(&env.tasks[id])).count() as u32;
        let percent = if carrier.is_some() {
            100
        } else {
            service.minimum_healthy_percent
        };
        let fewest = (service.desired * percent).div_ceil(100);
        assert!(
            taken == 0 || left >= fewest,
            "{taken} taken, {left} left of at least {fewest}"
        );
        self.healthy = healthy;
    }

    /// Production traffic moves to a whole set only, or to the only one there is.
    fn shift(&mut self, service: &Service, env: &Environment) {
        for (number, share) in &service.traffic.production {
            let before = self
                .production
                .iter()
                .find(|(n, _)| n == number)
                .map_or(0, |(_, s)| *s);
            if *share > before && !self.production.is_empty() && service.staged().is_some() {
                let tasks = service.tasks.iter().map(|id| &env.tasks[id]);
                let whole = tasks.filter(|t| of(t, *number) && t.is_healthy()).count() as u32;
                let others = service.tasks.iter().any(|id| !of(&env.tasks[id], *number));
                assert!(
                    whole >= service.desired || !others,
                    "{share} to {whole} of {}",
                    service.desired
                );
            }
        }
        self.production.clone_from(&service.traffic.production);
    }
}

/// Why a deployment is not over although nothing happens to it any more.
fn waits_for(env: &Environment, service: &Service, record: &Record) -> Option<&'static str> {
    let front = service.primary()?;
    let failing = service.failures_in_a_row > 0 || front.failed > 0;
    if record.hooks.iter().any(|h| h.is_open()) {
        return Some("a hook");
    }
    if failing {
        return Some("its tasks fail");
    }
    if env.capacity.is_some_and(|room| room < 2 * service.desired + 6) {
        return Some("there is no room");
    }
    let most = service.desired * service.maximum_percent / 100;
    let fewest = (service.desired * service.minimum_healthy_percent).div_ceil(100);
    if most <= service.desired && fewest >= service.desired {
        return Some("nothing may be replaced");
    }
    None
}

/// Tasks of the deployment under way fail for good, so that it may flap for ever.
fn flaps(env: &Environment, service: &Service) -> bool {
    let ids = service.tasks.iter().chain(&service.stopped);
    let all = ids.filter_map(|id| env.tasks.get(id));
    let bad = |t: &&Task| !matches!(t.course.start, Start::Ok | Start::SlowStart { .. });
    all.filter(bad).count() > 0
}

fn run(setting: &Setting, acts: &[(u64, Act)]) -> u64 {
    let mut w = build(setting);
    let mut watcher = Watcher::default();
    let mut until = |w: &mut World, millis: u64| {
        let end = w.now().after(Duration::from_millis(millis));
        w.advance_until(end, |w| {
            watcher.check(w);
            false
        });
    };
    for (wait, act) in acts {
        until(&mut w, *wait);
        perform(&mut w, act);
    }
    // Nothing is done to it any more: it comes to an end, or has a reason to wait.
    w.environments[0].capacity = None;
    w.environments[0].alarms[0].set(w.kernel.now, AlarmState::Ok, "by hand");
    until(&mut w, 3 * 3_600_000);
    let env = &w.environments[0];
    let service = &env.services[0];
    for record in service.records.iter().filter(|r| !r.is_over()) {
        let why = waits_for(env, service, record).or_else(|| flaps(env, service).then_some("its tasks flap"));
        assert!(
            why.is_some(),
            "{record:#?}\n{:#?}",
            env.observe(w.now(), &service.name)
        );
    }
    let front = service.primary().expect("listed");
    if front.rollout == RolloutState::Completed {
        assert!(service.records.iter().all(Record::is_over));
        assert_eq!(service.status, Status::Active);
        if service.failures_in_a_row == 0 && !flaps(env, service) {
            let (running, _) = env.running_and_pending(service, front.number);
            assert_eq!(running, service.desired);
        }
    }
    for record in &service.records {
        assert_eq!(record.finished_at.is_some(), record.is_over());
        let back = matches!(
            record.status,
            RecordStatus::RollbackInProgress | RecordStatus::RollbackSuccessful
        );
        assert!(record.rollback.is_some() || !back, "{record:?}");
    }
    w.trace()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_walk_keeps_the_laws_and_the_same_seed_is_the_same_walk(
        setting in setting(),
        acts in proptest::collection::vec((0_u64..300_000, act()), 0..10),
    ) {
        let first = run(&setting, &acts);
        prop_assert_eq!(first, run(&setting, &acts));
    }
}
