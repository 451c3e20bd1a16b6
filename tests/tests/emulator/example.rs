//! The example, as it stands in `examples/`, on environments that it did not make.

use rollout_core::machine::rollout::Outcome;
use rollout_tests::emulator::site::{CONTAINER, Site};

use crate::aws_release::{Release, Side, run};
use crate::fixture::World;

pub(crate) async fn the_example_releases() {
    let world = World::create().await;
    let backend = world.app("backend").await;
    let folder = tempfile::tempdir().expect("a folder");
    let side = |site: &Site| Side {
        config: site.account.recorded().0,
        account: site.account.number.clone(),
        cluster: site.cluster.clone(),
    };
    let journal = folder.path().join("journal.jsonl");
    let release = Release {
        service: backend.name.to_string(),
        container: CONTAINER.to_owned(),
        repository: backend.repository.to_string(),
        tag: "2.0.0".to_owned(),
        template: world.production.template("backend", &[]),
        soak: core::time::Duration::ZERO,
        journal: journal.clone(),
    };

    let outcome = run(&side(&world.staging), &side(&world.production), release)
        .await
        .expect("an outcome");

    let Outcome::Released { services, .. } = outcome else {
        panic!("{outcome:#?}")
    };
    let serving = &services[&backend.name];
    world
        .assert_serves(&backend, serving.task_definition.as_str(), &backend.new)
        .await;
    let records = std::fs::read_to_string(journal).expect("a journal");
    assert!(records.lines().count() > 10, "{records}");
}
