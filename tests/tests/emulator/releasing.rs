//! A release that goes well.

use rollout_core::dns::RecordData;
use rollout_core::machine::rollout::Outcome;
use rollout_core::plan::{CutoverPlan, TaskPlan, When};
use rollout_core::probe::ProbeTarget;
use rollout_tests::emulator::id;
use rollout_tests::emulator::release::{cutover_policy, gate, http, task_policy};
use rollout_tests::emulator::site::CONTAINER;
use rollout_tests::emulator::web::Web;
use rollout_tests::emulator::zone::Zone;
use serde_json::json;

use crate::fixture::World;

/// Two services in order, a migration before them, gates of every kind, then the record.
pub(crate) async fn a_whole_release() {
    let world = World::create().await;
    let production = &world.production;
    let backend = world.app("backend").await;
    let frontend = world.app("frontend").await;
    production.log_group("migrate").await;
    let alarm = format!("{}-backend-5xx", world.tag);
    production.alarm(&alarm).await;
    let zone = Zone::create(&production.account, &world.tag).await;
    let key = zone.cname("shop");
    zone.upsert(&key, 2, "old.example.net").await;
    let web = Web::saying("storefront 2.0.0 is ready").await;

    let mut draft = world.draft();
    let mut plan = world.plan_for(&backend, &[]);
    let target_health = ProbeTarget::TargetHealth {
        target_group: backend.balancer.target_group.clone(),
        at_least: 2,
    };
    let alarms = ProbeTarget::Alarms {
        names: vec![alarm.clone()],
    };
    plan.gates = vec![gate(
        "healthy",
        vec![("targets", target_health), ("alarms", alarms)],
    )];
    draft.services.push(plan);
    let mut plan = world.plan_for(&frontend, &[]);
    plan.after = vec![backend.name.clone()];
    draft.services.push(plan);
    draft.tasks.push(TaskPlan {
        name: id("migrate"),
        template: production.template("migrate", &[("SIM_EXIT_SECONDS", "0.3"), ("SIM_EXIT_CODE", "0")]),
        images: [(id(CONTAINER), backend.repository.clone())].into(),
        run: json!({
            "launchType": "FARGATE",
            "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["subnet-0123456789abcdef0"] } },
        }),
        when: When::BeforeServices,
        reversible: true,
        policy: task_policy(),
    });
    draft.gates = vec![gate(
        "answers",
        vec![("ready", http(web.url("/health/ready"), "2.0.0"))],
    )];
    draft.cutovers.push(CutoverPlan {
        zone: zone.id.clone(),
        key: key.clone(),
        to: RecordData::Values {
            ttl: 2,
            values: vec![frontend.balancer.dns.clone()],
        },
        lowered_ttl: 1,
        allow_unhealthy_target: false,
        drain: None,
        policy: cutover_policy(),
    });
    let run = draft.run.clone();

    let (outcome, _, wired) = world.run(draft).await;

    let Outcome::Released {
        services, records, ..
    } = outcome
    else {
        panic!("{outcome:#?}")
    };
    for app in [&backend, &frontend] {
        let serving = &services[&app.name];
        let revision = serving.task_definition.as_str();
        world.assert_serves(app, revision, &app.new).await;
        let images = production.images_of(revision).await;
        let pinned = production.image(app.repository.as_str(), &app.new);
        assert_eq!(images, [(CONTAINER.to_owned(), pinned)].into());
        assert!(
            production
                .images(app.repository.as_str())
                .await
                .contains(app.new.as_str())
        );
        // Staging is only read.
        assert_eq!(world.staging.revisions(app.name.as_str()).await.len(), 1);
    }
    assert_eq!(production.exits("migrate").await, [Some(0)]);
    assert_eq!(wired.target_calls.count("ecs:RunTask"), 1);
    assert_eq!(wired.target_calls.count("ecs:UpdateService"), 2);
    assert_eq!(wired.source_calls.mutating(), [""; 0]);
    assert_eq!(records.len(), 1);
    let now = zone.read(key.name.as_str(), "CNAME").await;
    assert_eq!(now, Some((2, vec![frontend.balancer.dns])));
    let marker = zone.marker(&key).await.expect("a marker");
    assert!(marker.ends_with(&format!(" run={run}\"")), "{marker}");
}
