//! Every example that needs nothing but the simulated cloud runs, ends well, and prints what its header promises.

use std::process::Command;

/// Builds and runs an example and answers with what it printed. Where this was built with all features, so is the example: `cargo test`
/// of the whole workspace has built it already.
fn printed(example: &str) -> String {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut command = if cfg!(feature = "endpoint") {
        let all = [
            "build",
            "--quiet",
            "--locked",
            "--workspace",
            "--all-features",
            "--example",
            example,
        ];
        let built = cargo.args(all).status().expect("cargo can be run");
        assert!(built.success(), "{example} is not built");
        let here = std::env::current_exe().expect("a test is a file");
        let folder = here.ancestors().nth(2).expect("in `deps` of what is built");
        Command::new(folder.join("examples").join(example))
    } else {
        let one = [
            "run",
            "--quiet",
            "--locked",
            "--package",
            "rollout-examples",
            "--example",
            example,
        ];
        cargo.args(one);
        cargo
    };
    let output = command.output().expect("it can be run");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{example}: {}\n{out}\n{err}",
        output.status
    );
    out.into_owned()
}

#[track_caller]
fn assert_tells(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else {
            panic!("`{part}` is missing, or comes too early, in:\n{text}")
        };
        rest = after;
    }
}

/// One after the other, in one test: cargo would let them wait for each other anyway.
#[test]
fn every_example_does_what_its_header_says() {
    let release = printed("simulated_release");
    assert_tells(
        &release,
        &[
            "A good release:",
            "begins  check/identity",
            "done    service/backend",
            "done    gate/shop",
            "done    dns/shop.example.com/A",
            "=> Released",
            "production runs 3 tasks of backend: ",
            "The same release, and the backend's image cannot be pulled",
            "FAILED  service/backend: 2 tasks of backend stopped: CannotPullContainerError",
            "begins  unwind/service/backend",
            "=> RolledBack, because service/backend: 2 tasks of backend stopped: CannotPullContainerError",
            "production runs 3 tasks of backend: ",
        ],
    );
    let runs: Vec<&str> = release
        .lines()
        .filter(|line| line.contains("tasks of backend: "))
        .collect();
    assert_eq!(runs.len(), 2, "{release}");
    assert_ne!(runs[0], runs[1], "the second release must not serve");

    let by_hand = printed("machine_by_hand");
    assert_tells(
        &by_hand,
        &[
            "Start",
            "Ensuring",
            "Updating",
            "Watching",
            "Ended",
            "deployed: 3 tasks run arn:aws:ecs:",
        ],
    );

    let gate = printed("custom_gate");
    assert_tells(
        &gate,
        &[
            "orders come in:",
            "passed",
            "orders: 120 orders per minute",
            "orders stop after 45 s:",
            "passed",
            "the page is too slow:",
            "failed: ",
            "0 orders per minute, at least 20 are wanted",
        ],
    );

    let cutover = printed("dns_cutover");
    assert_tells(
        &cutover,
        &[
            "www.example.com says storefront-www-legacy",
            "(TTL 30 s)",
            "waits for the old TTL",
            "writes: storefront-",
            "moved: www.example.com says storefront-",
            "(TTL 300 s); the old side is drained: true",
        ],
    );
    assert!(
        !cutover.contains("moved: www.example.com says storefront-www-legacy"),
        "{cutover}"
    );
}
