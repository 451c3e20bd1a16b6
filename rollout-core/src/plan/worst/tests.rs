use proptest::prelude::*;

use super::*;
use crate::machine::world::{plan, record_key};
use crate::plan::Draft;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn worst(draft: &Draft) -> WorstCase {
    let plan = RolloutPlan::check(draft.clone()).expect("valid");
    let ttls = BTreeMap::from([(step::record(&record_key()), secs(300))]);
    WorstCase::of(&plan, &ttls)
}

fn draft() -> Draft {
    Draft::from(plan(true))
}

/// Three services in a row or abreast, each of a time of its own, without gates.
fn services(times: [u64; 3], after: [&[usize]; 3], at_once: u32) -> Duration {
    let mut draft = draft();
    let names: Vec<ServiceName> = draft
        .services
        .iter()
        .map(|service| service.name.clone())
        .collect();
    for ((service, time), after) in draft.services.iter_mut().zip(times).zip(after) {
        service.gates.clear();
        service.deployment.answer = Duration::ZERO;
        service.deployment.give_up = secs(time);
        service.after = after.iter().map(|index| names[*index].clone()).collect();
    }
    draft.policy.bounds.services_at_once = at_once;
    worst(&draft).services
}

#[test]
fn services_take_their_longest_chain_or_what_their_number_at_once_allows() {
    let times = [600, 300, 100];
    assert_eq!(services(times, [&[], &[0], &[0]], 3), secs(900));
    assert_eq!(services(times, [&[], &[], &[]], 3), secs(600));
    // In the order of the file or against it.
    assert_eq!(services(times, [&[1], &[2], &[]], 9), secs(1000));
    let ms = Duration::from_millis(1);
    assert_eq!(
        services(times, [&[], &[0], &[0]], 1),
        secs(1000) + ms,
        "one after the other"
    );
    // (1000 + 600) / 2
    assert_eq!(services(times, [&[], &[], &[]], 2), secs(800) + ms);
}

#[test]
fn every_part_counts_what_its_policy_says() {
    let draft = draft();
    let worst = worst(&draft);
    let policy = &draft.policy;
    assert_eq!(worst.check, policy.check);
    assert_eq!(worst.images, policy.promotion.answer * 3);
    assert_eq!(worst.tasks, secs(2 * (300 + 2 * 60)));
    assert_eq!(worst.gates, draft.gates[0].give_up + draft.gates[0].answer);
    let cutover = &draft.cutovers[0];
    let of = &cutover.policy;
    let change = of.answer * 5 + of.in_sync + of.verify;
    let drain = cutover.drain.as_ref().expect("it drains").give_up + of.answer;
    let watch = of.watch + (of.poll_max + of.answer) * of.watch_failures + of.answer;
    // The TTL of 300 s twice: before the swap, and of the old answer after it.
    assert_eq!(worst.records, of.answer + change * 3 + secs(600) + watch + drain);
    let service = &draft.services[0].deployment;
    assert_eq!(worst.confirm, policy.confirm + service.answer);
    let back = &policy.unwind_deployment;
    let record =
        policy.unwind_cutover.answer * 6 + policy.unwind_cutover.in_sync + policy.unwind_cutover.verify;
    let stop = (STOP_WAIT + secs(120)).max(change).max(service.answer);
    assert_eq!(worst.back, stop + (back.give_up + back.answer * 3) * 3 + record);
    assert_eq!(worst.forward() + worst.back, worst.total());
    let longer = [
        worst.check,
        worst.images,
        worst.tasks,
        worst.services,
        worst.gates,
        worst.records,
        worst.confirm,
    ];
    assert_eq!(worst.forward(), longer.into_iter().sum());
}

#[test]
fn a_record_that_does_not_exist_has_no_old_ttl() {
    let plan = plan(true);
    let none = WorstCase::of(&plan, &BTreeMap::new());
    let lowered = secs(u64::from(plan.cutovers[0].lowered_ttl));
    let known = WorstCase::of(
        &plan,
        &BTreeMap::from([(step::record(&record_key()), secs(86_400))]),
    );
    assert_eq!(known.records - none.records, secs(2 * 86_400) - lowered);
}

#[test]
fn what_never_ends_is_the_end_of_time_and_no_overflow() {
    let mut draft = draft();
    draft.policy.bounds.services_at_once = 3;
    for service in &mut draft.services {
        service.deployment.give_up = Duration::MAX;
    }
    assert_eq!(worst(&draft).total(), Duration::MAX);
}

/// Every deadline of the plan, one after the other.
fn deadlines(draft: &mut Draft) -> Vec<&mut Duration> {
    let mut all = Vec::new();
    for service in &mut draft.services {
        all.push(&mut service.deployment.give_up);
        all.push(&mut service.deployment.answer);
        for gate in &mut service.gates {
            all.push(&mut gate.give_up);
            all.push(&mut gate.answer);
        }
    }
    for task in &mut draft.tasks {
        all.push(&mut task.policy.give_up);
        all.push(&mut task.policy.answer);
    }
    for gate in &mut draft.gates {
        all.push(&mut gate.give_up);
    }
    for cutover in &mut draft.cutovers {
        let policy = &mut cutover.policy;
        all.extend([&mut policy.in_sync, &mut policy.verify, &mut policy.watch]);
        all.extend([&mut policy.answer, &mut policy.poll_max]);
        all.extend(cutover.drain.as_mut().map(|drain| &mut drain.give_up));
    }
    let policy = &mut draft.policy;
    all.extend([
        &mut policy.check,
        &mut policy.confirm,
        &mut policy.promotion.answer,
    ]);
    all.extend([
        &mut policy.unwind_deployment.give_up,
        &mut policy.unwind_deployment.answer,
    ]);
    let back = &mut policy.unwind_cutover;
    all.extend([&mut back.in_sync, &mut back.verify, &mut back.answer]);
    all
}

proptest! {
    /// A longer deadline never makes the worst case shorter, and its part shows it where it is on the longest way.
    #[test]
    fn it_grows_with_every_deadline(
        factors in prop::collection::vec(1..50_u32, 64),
        at in any::<prop::sample::Index>(),
        more in 1..100_000_u64,
        at_once in 1..5_u32,
    ) {
        let mut draft = draft();
        draft.policy.bounds.services_at_once = at_once;
        for (deadline, factor) in deadlines(&mut draft).into_iter().zip(factors) {
            *deadline *= factor;
        }
        let before = worst(&draft);
        let mut longer = draft.clone();
        let count = deadlines(&mut longer).len();
        if let Some(deadline) = deadlines(&mut longer).into_iter().nth(at.index(count)) {
            *deadline += Duration::from_millis(more);
        }
        let after = worst(&longer);
        prop_assert!(after.total() >= before.total());
        prop_assert!(after.services >= before.services && after.records >= before.records && after.back >= before.back);
    }

    /// More room never makes it longer, a longer TTL never shorter.
    #[test]
    fn room_shortens_it_and_ttls_lengthen_it(at_once in 1..5_u32, ttl in 0..200_000_u64, more in 0..200_000_u64) {
        let mut draft = draft();
        draft.policy.bounds.services_at_once = at_once;
        let narrow = worst(&draft).services;
        draft.policy.bounds.services_at_once = at_once + 1;
        prop_assert!(worst(&draft).services <= narrow);
        let plan = plan(true);
        let of = |ttl| WorstCase::of(&plan, &BTreeMap::from([(step::record(&record_key()), secs(ttl))])).total();
        prop_assert!(of(ttl + more) >= of(ttl));
    }
}
