//! What watches.

use std::collections::BTreeMap;

use super::{Fault, fault};
use crate::readiness::example::TOPIC;
use crate::readiness::fact::Snapshot;
use crate::readiness::fact::watch::{Alarm, Metric};
use crate::readiness::known::Known;

fn alarms(facts: &mut Snapshot) -> &mut BTreeMap<String, Alarm> {
    match &mut facts.alarms {
        Known::Seen(alarms) => alarms,
        Known::Missing | Known::Unknown(_) => panic!("the shop has them"),
    }
}

fn metrics(facts: &mut Snapshot) -> &mut Vec<Metric> {
    &mut facts
        .dashboards
        .seen_mut("storefront")
        .expect("the shop has one")
        .metrics
}

pub(super) fn faults() -> Vec<Fault> {
    [missing(), unheard(), others()].into_iter().flatten().collect()
}

fn missing() -> Vec<Fault> {
    vec![
        fault("cloudwatch_unhealthy_hosts_alarm_missing", "none", |facts, _| {
            alarms(facts).remove("storefront-backend-unhealthy");
        }),
        fault("cloudwatch_errors_alarm_missing", "none", |facts, _| {
            alarms(facts).remove("storefront-backend-5xx");
        }),
        fault(
            "cloudwatch_errors_alarm_missing",
            "of another target group",
            |facts, _| {
                if let Some(alarm) = alarms(facts).get_mut("storefront-backend-5xx")
                    && let Some(metric) = &mut alarm.metric
                {
                    metric
                        .dimensions
                        .insert("TargetGroup".to_owned(), "targetgroup/legacy/00".to_owned());
                }
            },
        ),
        fault("cloudwatch_latency_alarm_missing", "none", |facts, _| {
            alarms(facts).remove("storefront-frontend-latency");
        }),
        fault("cloudwatch_running_tasks_alarm_missing", "none", |facts, _| {
            alarms(facts).remove("storefront-worker-running-low");
            let others = vec!["storefront-worker-cpu".to_owned()];
            let worker = facts.services.seen_mut("worker").expect("the shop has it");
            worker.alarms.names = others;
        }),
        fault(
            "cloudwatch_cpu_alarm_missing",
            "only autoscaling's",
            |facts, _| {
                if let Some(alarm) = alarms(facts).get_mut("storefront-backend-cpu") {
                    alarm.actions =
                        vec!["arn:aws:autoscaling:eu-central-1:222222222222:scalingPolicy:00".to_owned()];
                }
            },
        ),
        fault(
            "cloudwatch_memory_alarm_missing",
            "of another cluster",
            |facts, _| {
                if let Some(alarm) = alarms(facts).get_mut("storefront-worker-memory")
                    && let Some(metric) = &mut alarm.metric
                {
                    metric
                        .dimensions
                        .insert("ClusterName".to_owned(), "legacy".to_owned());
                }
            },
        ),
    ]
}

fn unheard() -> Vec<Fault> {
    vec![
        fault(
            "cloudwatch_alarm_actions_off",
            "off since a maintenance",
            |facts, _| {
                if let Some(alarm) = alarms(facts).get_mut("storefront-backend-5xx") {
                    alarm.actions_enabled = false;
                }
            },
        ),
        fault("cloudwatch_alarm_unheard", "no action", |facts, _| {
            if let Some(alarm) = alarms(facts).get_mut("storefront-backend-latency") {
                alarm.actions.clear();
            }
        }),
        fault("cloudwatch_alarm_unheard", "nobody has confirmed", |facts, _| {
            let topic = facts.topics.seen_mut(TOPIC).expect("the shop has one");
            (topic.confirmed, topic.pending) = (0, 2);
        }),
        fault("cloudwatch_alarm_unheard", "no such topic", |facts, _| {
            facts.topics.put(TOPIC, Known::Missing);
        }),
    ]
}

fn others() -> Vec<Fault> {
    vec![
        fault("cloudwatch_dashboard_missing", "no such dashboard", |facts, _| {
            facts.dashboards.put("storefront", Known::Missing);
        }),
        fault("cloudwatch_dashboard_missing", "none is named", |_, intent| {
            intent.watch.dashboard = None;
        }),
        fault("cloudwatch_dashboard_incomplete", "no 4xx", |facts, _| {
            metrics(facts).retain(|metric| metric.name != "HTTPCode_Target_4XX_Count");
        }),
        fault(
            "cloudwatch_dashboard_incomplete",
            "one service's memory",
            |facts, _| {
                metrics(facts).retain(|metric| {
                    let of_worker = metric
                        .dimensions
                        .get("ServiceName")
                        .is_some_and(|name| name == "worker");
                    !(of_worker && metric.name == "MemoryUtilization")
                });
            },
        ),
        fault("logs_group_missing", "no such group", |facts, _| {
            facts.log_groups.put("/ecs/storefront-backend", Known::Missing);
        }),
        fault("logs_group_retention_unfit", "for ever", |facts, _| {
            let group = facts.log_groups.seen_mut("/ecs/storefront-frontend");
            group.expect("the shop has it").retention_days = None;
        }),
        fault("logs_group_retention_unfit", "three days", |facts, _| {
            let group = facts.log_groups.seen_mut("/ecs/storefront-frontend");
            group.expect("the shop has it").retention_days = Some(3);
        }),
        fault("cloudwatch_slot_empty", "nothing in it", |_, intent| {
            intent.watch.slots.insert("payments".to_owned(), String::new());
        }),
        fault("cloudwatch_slot_alarm_missing", "no such alarm", |_, intent| {
            intent
                .watch
                .slots
                .insert("payments".to_owned(), "storefront-payments".to_owned());
        }),
    ]
}
