//! Deployments per second on the simulated cloud: the machine, the ports and the physics of three tasks that are replaced,
//! from the first call to the verdict, on virtual time.

use core::time::Duration;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pollster::block_on;
use rollout_core::Machine as _;
use rollout_core::context::OpContext;
use rollout_core::error::Error;
use rollout_core::id::{Generation, ServiceName};
use rollout_core::image::ImageRef;
use rollout_core::machine::deployment::{Deployment, Effect, Event, Outcome, Policy, Spec, Target};
use rollout_core::port::Ports;
use rollout_core::service::{Images, RevisionSpec};
use rollout_core::time::Timestamp;
use rollout_sim::{SimCloud, World};

const REPOSITORY: &str = "shop/api";

/// Three tasks run tag 1; tag 2 is a good image.
fn world() -> World {
    World::builder(1)
        .environment("production", |e| {
            e.image(REPOSITORY, "1")
                .image(REPOSITORY, "2")
                .service("api", |s| s.container("api", REPOSITORY, "1").desired(3))
        })
        .build()
        .expect("its names are constants")
}

fn machine(world: &World) -> Deployment {
    let container = "api".parse().expect("a name");
    let digest = world.image("production", REPOSITORY, "2").expect("it is there");
    let before = world.service("production", "api").expect("it is there");
    let image = ImageRef {
        repository: REPOSITORY.parse().expect("a name"),
        digest: digest.clone(),
    };
    let revision = RevisionSpec {
        template: serde_json::json!({
            "family": "api",
            "containerDefinitions": [{ "name": "api", "essential": true, "image": "" }],
        }),
        images: [("api".parse().expect("a name"), image)].into(),
    };
    let spec = Spec {
        service: "api".parse().expect("a name"),
        target: Target::Release {
            revision,
            assumes: before.primary().map(|deployment| deployment.id.clone()),
        },
        images: Images::from([(container, digest)]),
    };
    let policy = Policy {
        poll_every: Duration::from_secs(5),
        give_up: Duration::from_secs(900),
        stopped_tasks: 2,
        max_errors: 3,
        answer: Duration::from_secs(20),
        stale_reads: Duration::from_secs(30),
    };
    Deployment::new(spec, policy)
}

async fn perform(ports: &Ports, ctx: &OpContext, effect: Effect) -> Event {
    let answer: Result<Event, Error> = match effect {
        Effect::EnsureRevision(spec) => {
            let made = ports.target.ensure_revision(ctx, &spec).await;
            made.map(|(task_definition, ensured)| Event::RevisionReady {
                task_definition,
                ensured,
            })
        }
        Effect::UpdateService(change) => ports
            .target
            .update_service(ctx, &change)
            .await
            .map(Event::Updated),
        Effect::Restore { point, assumes } => ports
            .rollback
            .restore(ctx, &point, assumes.as_ref())
            .await
            .map(Event::Updated),
        Effect::Observe { service } => observe(ports, ctx, &service).await,
    };
    answer.unwrap_or_else(|error| Event::CallFailed(error.record()))
}

async fn observe(ports: &Ports, ctx: &OpContext, service: &ServiceName) -> Result<Event, Error> {
    let seen = ports.target.observe_service(ctx, service).await?;
    Ok(Event::Observed(Box::new(seen)))
}

/// Drives the machine to its end and returns it with the time that has passed in the world.
fn deploy(mut machine: Deployment, world: World) -> (Outcome, Duration) {
    let cloud = SimCloud::new(world);
    let ports = cloud.ports("production", "production").expect("it is there");
    let ctx = OpContext {
        run: "bench".parse().expect("a name"),
        step: "service/api".parse().expect("a name"),
        attempt: 1,
        generation: Generation(1),
        deadline: Timestamp::MAX,
    };
    let now = || cloud.with(|world| world.now());
    let begun = now();
    let mut event = Event::Start;
    loop {
        let effects = machine.handle(now(), event).expect("its own event");
        if let Some(outcome) = machine.outcome() {
            return (outcome, now().since(begun));
        }
        // This machine has one call under way at a time.
        event = match effects.into_iter().next() {
            Some(effect) => block_on(perform(&ports, &ctx, effect)),
            None => {
                let deadline = machine.deadline().expect("it has not ended").at;
                cloud.with(|world| world.advance(deadline));
                Event::Elapsed
            }
        };
    }
}

fn deployments(c: &mut Criterion) {
    let world = world();
    let machine = machine(&world);
    let (outcome, passed) = deploy(machine.clone(), world.clone());
    assert!(matches!(outcome, Outcome::Deployed { .. }), "{outcome:?}");
    println!("one deployment takes {passed:?} in the world");
    let mut group = c.benchmark_group("simulate");
    group.throughput(Throughput::Elements(1));
    group.bench_function("one service of three tasks", |bencher| {
        bencher.iter_batched(
            || (machine.clone(), world.clone()),
            |(machine, world)| black_box(deploy(machine, world)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, deployments);
criterion_main!(benches);
