//! Ten thousand members: what a fleet costs, in bytes and in work for an event.

use super::*;

/// A canary of one, then waves of ever more, a hundredth of the fleet at stake.
fn ten_thousand() -> Draft {
    let mut left = (0..10_000).map(|n| format!("cell-{n:05}"));
    let mut wave = |name: &str, size: usize, at_once| WavePlan {
        name: name.parse().expect("valid"),
        members: left.by_ref().take(size).map(|member| name_of(&member)).collect(),
        at_once,
        bake: secs(60),
        gate: None,
    };
    let waves = vec![
        wave("canary", 1, 1),
        wave("few", 99, 10),
        wave("most", 9_900, 500),
    ];
    Draft { waves, ..two_waves() }
}

fn name_of(member: &str) -> MemberName {
    name(member)
}

/// P16: a fleet costs a small part of what one of its members may.
#[test]
fn a_member_costs_a_few_bytes() {
    let mut draft = ten_thousand();
    draft.policy.bounds.unbaked = Some(Share::Percent(10));
    let mut fleet = Fleet::new(FleetPlan::check(draft).expect("valid"));
    let idle = serde_json::to_string(&fleet.state).expect("plain data").len();
    assert!(idle < 16, "{idle}");
    let mut now = BEGAN;
    let mut todo: std::collections::VecDeque<Effect> =
        fleet.handle(now, Event::Start).expect("it begins").into();
    let (mut events, mut begun, mut most_effects, mut most_in_the_air, mut largest) = (1_u32, 0, 0, 0, 0);
    loop {
        let effects = match todo.pop_front() {
            Some(Effect::Begin { member, .. }) => {
                begun += 1;
                let end = End::Released;
                fleet.handle(now, Event::Ended { member, end })
            }
            Some(other) => panic!("{other:?}"),
            None if fleet.outcome().is_some() => break,
            None => {
                now = fleet.deadline().expect("it waits").at;
                fleet.handle(now, Event::Elapsed)
            }
        }
        .expect("it is taken");
        events += 1;
        most_effects = most_effects.max(effects.len());
        let counts = fleet.counts();
        most_in_the_air = most_in_the_air.max(counts.in_the_air);
        assert!(counts.in_the_air <= 500 && counts.released - counts.baked + counts.in_the_air <= 1_000);
        if events % 1_000 == 0 {
            largest = largest.max(serde_json::to_string(&fleet.state).expect("plain data").len());
        }
        todo.extend(effects);
    }
    assert_eq!(begun, 10_000);
    assert_eq!(most_in_the_air, 500);
    assert!(most_effects <= 500, "{most_effects}");
    assert!(events < 10_100, "an event a member, and one a bake: {events}");
    // Stored: a number for each member that is out, and what is known of those under way.
    assert!(largest < 10_000 * 24, "{largest} bytes");
    assert!(size_of::<End>() <= 16, "{}", size_of::<End>());
}
