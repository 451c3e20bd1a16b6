//! What a specification must be, and what its condition names.

use super::*;

#[test]
fn a_spec_that_cannot_work_is_refused_and_would_never_pass() {
    let refused = |change: &dyn Fn(&mut Spec), expected: SpecError| {
        let mut changed = spec(
            Condition::All(vec![leaf("a"), leaf("b")]),
            vec![probe("a"), probe("b")],
        );
        change(&mut changed);
        assert_eq!(changed.validate(), Err(expected));
    };
    refused(
        &|s| s.probes[1].name = name("a"),
        SpecError::DuplicateProbe(name("a")),
    );
    refused(
        &|s| s.condition = Condition::All(vec![leaf("a"), leaf("b"), leaf("c")]),
        SpecError::UnknownProbe(name("c")),
    );
    refused(&|s| s.condition = leaf("a"), SpecError::UnusedProbe(name("b")));
    refused(
        &|s| s.condition = Condition::All(vec![leaf("a"), leaf("b"), Condition::Any(Vec::new())]),
        SpecError::EmptyCondition,
    );
    for count in [0, 3] {
        refused(
            &|s| {
                s.condition = Condition::AtLeast {
                    count,
                    of: vec![leaf("a"), leaf("b")],
                }
            },
            SpecError::Count { count, parts: 2 },
        );
    }
    refused(
        &|s| s.probes[0].every = Duration::ZERO,
        SpecError::ZeroEvery(name("a")),
    );
    refused(
        &|s| s.probes[0].successes = 0,
        SpecError::ZeroSuccesses(name("a")),
    );
    refused(
        &|s| s.probes[0].max_age = secs(9),
        SpecError::MaxAge {
            probe: name("a"),
            every: "10s".to_owned(),
            max_age: "9s".to_owned(),
        },
    );
    refused(&|s| s.answer = Duration::ZERO, SpecError::ZeroAnswer);
    // Warm-up 5 s, one more sample 10 s, bake 20 s.
    refused(
        &|s| s.give_up = secs(34),
        SpecError::GiveUp {
            give_up: "34s".to_owned(),
            needs: "35s".to_owned(),
        },
    );
    // The machine does not rely on it: nothing is not everything.
    for condition in [
        Condition::All(Vec::new()),
        Condition::AtLeast {
            count: 0,
            of: vec![leaf("a")],
        },
        leaf("c"),
    ] {
        let mut odd = one();
        odd.condition = condition;
        odd.probes[0].successes = 0;
        odd.probes[0].failures = 1_000;
        assert!(!passed(&drive(&odd, &constant(Verdict::Unknown))));
        assert!(!passed(&drive(&odd, &constant(Verdict::Fail))));
    }
}

#[test]
fn a_condition_lists_its_probes_in_order() {
    let condition = Condition::All(vec![
        leaf("a"),
        Condition::Any(vec![
            leaf("b"),
            Condition::AtLeast {
                count: 1,
                of: vec![leaf("c")],
            },
        ]),
        leaf("d"),
    ]);
    let names: Vec<&str> = condition.probes().map(ProbeName::as_str).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
}
