//! Many rollouts at once share one observer: few calls, none too many (goals P7, P8, P9).
//!
//! `cargo xtask many` does the same with up to 10,000 and writes the table of docs/benchmarks.md.

use rollout_tests::many::{Report, run};

fn check(many: usize) -> Report {
    let report = run(many, true);
    println!(
        "{many}: {:?} for a floor of {:?}\n{}",
        report.took,
        report.floor(),
        report.operations()
    );
    assert_eq!(report.released, many, "{:?}", report.other);
    assert_eq!((report.calls.throttled, report.sweep.throttled), (0, 0), "P8");
    let sweep = &report.sweep;
    assert_eq!(
        sweep.count("ecs:DescribeServices"),
        many.div_ceil(10),
        "P7: {sweep:?}"
    );
    assert_eq!(
        sweep.count("monitoring:DescribeAlarms"),
        many.div_ceil(100),
        "P7: {sweep:?}"
    );
    assert!(
        sweep.count("ecs:DescribeServiceDeployments") <= many.div_ceil(20) + 1,
        "{sweep:?}"
    );
    assert_eq!(sweep.count("elasticloadbalancing:DescribeTargetHealth"), 0, "P7");
    assert_eq!(report.calls.count("ecs:RegisterTaskDefinition"), many);
    assert_eq!(report.calls.count("ecs:UpdateService"), many);
    report
}

#[test]
fn one_rollout_makes_no_more_calls_than_it_needs() {
    check(1);
}

#[test]
fn ten_rollouts_share_their_looks() {
    check(10);
}

#[test]
fn a_hundred_rollouts_are_throttled_only_when_each_looks_for_itself() {
    let shared = check(100);
    let alone = run(100, false);
    assert!(
        alone.calls.throttled > 0,
        "the buckets are real: {:?}",
        alone.calls
    );
    assert!(
        2 * alone.calls.all > 3 * shared.calls.all,
        "{} calls against {}",
        alone.calls.all,
        shared.calls.all
    );
    let one = check(1);
    // P9, with the time that one rollout takes by itself.
    assert!(
        shared.took <= (shared.floor() + one.took).mul_f64(1.1),
        "{:?} for {:?} and {:?}",
        shared.took,
        shared.floor(),
        one.took
    );
}
