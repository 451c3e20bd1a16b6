use core::time::Duration;

use proptest::prelude::*;
use rollout_core::dns::RecordType;
use rollout_core::time::Timestamp;

use super::judge::judge;
use super::*;
use crate::alarm::AlarmState::{Alarm, InsufficientData, Ok as Fine};
use crate::{Behaviour, World};

/// The tables of the CloudWatch user guide, "Configuring how CloudWatch alarms treat missing data".
#[test]
fn missing_data_is_treated_as_documented() {
    let keep = None;
    let three_of_three = [
        ("0 - X - X", [Some(Fine), Some(Fine), Some(Fine), Some(Fine)]),
        (
            "- - - - -",
            [Some(InsufficientData), keep, Some(Alarm), Some(Fine)],
        ),
        ("0 - - - -", [Some(Fine), Some(Fine), Some(Fine), Some(Fine)]),
        ("0 X X - X", [Some(Alarm), Some(Alarm), Some(Alarm), Some(Alarm)]),
        ("- - X - -", [Some(Alarm), keep, Some(Alarm), Some(Fine)]),
    ];
    let two_of_three = [
        ("0 - X - X", [Some(Alarm), Some(Alarm), Some(Alarm), Some(Alarm)]),
        ("0 0 X 0 X", [Some(Alarm), Some(Alarm), Some(Alarm), Some(Alarm)]),
        ("0 - X - -", [Some(Fine), Some(Fine), Some(Alarm), Some(Fine)]),
        ("- - - - 0", [Some(Fine), Some(Fine), Some(Alarm), Some(Fine)]),
        ("- - - X -", [Some(Alarm), keep, Some(Alarm), Some(Fine)]),
    ];
    for (datapoints, rows) in [(3, three_of_three), (2, two_of_three)] {
        for (points, expected) in rows {
            let seen: Vec<Option<bool>> = points
                .split(' ')
                .map(|p| match p {
                    "X" => Some(true),
                    "0" => Some(false),
                    _ => None,
                })
                .collect();
            let treatments = [
                NoData::Unknown,
                NoData::Ignore,
                NoData::Breaching,
                NoData::NotBreaching,
            ];
            let found = treatments.map(|missing| judge(3, datapoints, missing, &seen));
            assert_eq!(found, expected, "{datapoints} of 3: {points}");
        }
    }
}

proptest! {
    #[test]
    fn an_alarm_fires_by_its_data_and_its_treatment(
        seen in prop::collection::vec(prop::option::of(any::<bool>()), 2..9), datapoints in 1_u32..6,
    ) {
        let periods = seen.len() as u32 - 1;
        let datapoints = datapoints.min(periods);
        let look = |missing| judge(periods, datapoints, missing, &seen);
        let real: Vec<bool> = seen.iter().rev().flatten().take(periods as usize).copied().collect();
        if real.is_empty() {
            prop_assert_eq!(look(NoData::Unknown), Some(InsufficientData));
            prop_assert_eq!(look(NoData::Ignore), None);
        } else {
            // Data is never "insufficient" while there is any, and "not breaching" is the mildest reading of it.
            prop_assert_ne!(look(NoData::Unknown), Some(InsufficientData));
        }
        if look(NoData::NotBreaching) == Some(Alarm) {
            for missing in [NoData::Unknown, NoData::Ignore, NoData::Breaching] {
                prop_assert_eq!(look(missing), Some(Alarm));
            }
        }
        if real.len() as u32 == periods {
            let breaching = real.iter().filter(|b| **b).count() as u32;
            let expected = if breaching >= datapoints { Alarm } else { Fine };
            for missing in [NoData::Unknown, NoData::Ignore, NoData::Breaching, NoData::NotBreaching] {
                prop_assert_eq!(look(missing), Some(expected));
            }
        }
    }

    #[test]
    fn periods_add_up(values in prop::collection::vec((0_u64..7_200, 0_u32..100), 1..60)) {
        let metric = Metric::new("N", "m", vec![]);
        let mut metrics = Metrics::default();
        for (second, value) in &values {
            metrics.add(&metric, Timestamp::from_millis(second * 1_000), Point::of(f64::from(*value)));
        }
        let all = (Timestamp::EPOCH, Timestamp::from_millis(7_200_000));
        let sum: u32 = values.iter().map(|(_, v)| v).sum();
        for period in [60_000, 300_000, 3_600_000] {
            let points = metrics.points(&metric, period, all);
            let total: f64 = points.iter().map(|(_, p)| p.sum).sum();
            let count: f64 = points.iter().map(|(_, p)| p.count).sum();
            prop_assert!((total - f64::from(sum)).abs() < 1e-6 && (count - values.len() as f64).abs() < 1e-6);
            prop_assert!(points.is_sorted_by(|a, b| a.0 < b.0));
            prop_assert!(points.iter().all(|(at, p)| at.as_millis() % period == 0 && p.min <= p.max));
        }
    }
}

fn shop(errors: u32) -> World {
    let behaviour = Behaviour {
        errors_per_10_000: errors,
        ..Behaviour::default()
    };
    let mut world = World::builder(3)
        .environment("prod", |e| {
            e.image_that("app/api", "1", behaviour)
                .service("api", |s| {
                    s.container("api", "app/api", "1").desired(2).load_balanced(8080)
                })
                .target_group("green", 8080)
                .balancer("main", |b| b.forward("/", &[("api", 1), ("green", 0)]))
        })
        .zone("Z1", "example.com", |z| {
            z.alias("shop.example.com", "prod", "main")
                .clients("shop.example.com", RecordType::A, 600)
        })
        .build()
        .expect("well described");
    let world_ = &mut world;
    world_.environments[0].measure(&mut world_.kernel);
    world
}

/// The statistic of a metric over the last whole minutes, with its target group or without.
fn last(world: &World, name: &str, group: bool, statistic: &str, minutes: u64) -> Vec<f64> {
    let env = &world.environments[0];
    let metric = env.metrics.known().find(|m| {
        m.name == name
            && (m.dimensions.len() == 2) == group
            && m.dimensions.iter().any(|(_, v)| v.starts_with("app/main/"))
    });
    let Some(metric) = metric else { return Vec::new() };
    let now = world.now().as_millis() / MINUTE * MINUTE;
    let range = (
        Timestamp::from_millis(now - minutes * MINUTE),
        Timestamp::from_millis(now),
    );
    let points = env.metrics.points(metric, MINUTE, range);
    points
        .iter()
        .filter_map(|(_, p)| p.statistic(statistic))
        .collect()
}

#[test]
fn metrics_follow_dns_health_and_errors() {
    let mut world = shop(100);
    world.pass(Duration::from_secs(300));
    assert_eq!(last(&world, "RequestCount", false, "Sum", 5), [600.0; 5]);
    assert_eq!(last(&world, "RequestCount", true, "Sum", 5), [600.0; 5]);
    assert_eq!(
        last(&world, "HTTPCode_Target_5XX_Count", true, "Sum", 5),
        [6.0; 5]
    );
    assert_eq!(
        last(&world, "HTTPCode_Target_2XX_Count", true, "Sum", 5),
        [594.0; 5]
    );
    assert_eq!(last(&world, "HealthyHostCount", true, "Average", 5), [2.0; 5]);
    assert_eq!(last(&world, "UnHealthyHostCount", true, "Maximum", 5), [0.0; 5]);
    assert_eq!(last(&world, "HealthyHostCount", true, "SampleCount", 1), [6.0]);
    assert_eq!(last(&world, "TargetResponseTime", true, "Average", 1), [0.0225]);
    assert!(last(&shop(0), "HTTPCode_Target_5XX_Count", true, "Sum", 5).is_empty());
}

#[test]
fn requests_that_nothing_answers_are_the_load_balancers_errors() {
    let mut world = shop(0);
    let rule = world.rule("prod", "main", 80, "/").expect("described");
    let green = world.environments[0]
        .groups
        .iter()
        .find(|g| g.name == "prod-green")
        .map(|g| g.arn.clone());
    world
        .set_weights("prod", &rule, &[(&green.expect("described"), 1)])
        .expect("both exist");
    world.pass(Duration::from_secs(120));
    assert_eq!(
        last(&world, "HTTPCode_ELB_5XX_Count", false, "Sum", 2),
        [600.0; 2]
    );
    assert!(last(&world, "RequestCount", true, "Sum", 2).is_empty());
}

#[test]
fn a_weight_moves_its_share_of_a_minute() {
    let mut world = shop(0);
    let rule = world.rule("prod", "main", 80, "/").expect("described");
    let arn = |world: &World, name: &str| {
        let found = world.environments[0]
            .groups
            .iter()
            .find(|g| g.name == name)
            .map(|g| g.arn.clone());
        found.expect("described")
    };
    let (blue, green) = (arn(&world, "prod-api"), arn(&world, "prod-green"));
    world.pass(Duration::from_secs(85));
    world
        .set_weights("prod", &rule, &[(&blue, 1), (&green, 1)])
        .expect("both exist");
    world.pass(Duration::from_secs(35));
    // Two looks of six before the change, four after it.
    let here = last(&world, "RequestCount", true, "Sum", 1);
    assert_eq!(here, [(600.0_f64 * (2.0 + 4.0 * 0.5) / 6.0).round()]);
    assert_eq!(last(&world, "HTTPCode_ELB_5XX_Count", false, "Sum", 1), [200.0]);
}

#[test]
fn counts_that_are_reported_late_restate_their_minute() {
    let mut world = shop(100);
    world
        .report_late("prod", 60, Duration::from_secs(90))
        .expect("described");
    world.pass(Duration::from_secs(300));
    let counts = |world: &World| last(world, "RequestCount", false, "Sum", 3);
    // The last minute has just ended, the one before it a minute ago.
    assert_eq!(counts(&world), [600.0, 240.0, 240.0]);
    assert_eq!(last(&world, "HTTPCode_Target_5XX_Count", true, "Sum", 1), [3.0]);
    world.pass(Duration::from_secs(40));
    assert_eq!(counts(&world), [600.0, 600.0, 240.0]);
    world.pass(Duration::from_secs(20));
    assert_eq!(counts(&world), [600.0, 240.0, 240.0]);
    assert_eq!(last(&world, "HealthyHostCount", true, "Average", 1), [2.0]);
}
