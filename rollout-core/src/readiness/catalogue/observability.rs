//! What watches the environment: alarms, a dashboard, logs.

use std::collections::{BTreeMap, BTreeSet};

use super::{each_balanced, each_service};
use crate::readiness::check::{Over, Rule, Ruling, Scene, Verdict};
use crate::readiness::fact::watch::{Alarm, Metric};
use crate::readiness::known::Unseen;
use crate::readiness::scene::about;

pub(super) const RULES: &[Rule] = &[
    rule!(
        "cloudwatch_unhealthy_hosts_alarm_missing", Observability, High, BLOCKING, PRODUCTION,
        title: "An alarm watches the unhealthy targets of the service",
        why: "A target that fails its checks is taken out without a word; when the last one goes customers are the first to tell.",
        remedy: "Add an alarm of UnHealthyHostCount above 0 for the target group.",
        cli: "aws cloudwatch put-metric-alarm --alarm-name <alarm> --namespace AWS/ApplicationELB --metric-name UnHealthyHostCount --cli-input-json <file>",
        terraform: "aws_cloudwatch_metric_alarm",
        cdk: "ApplicationTargetGroup metrics.unhealthyHostCount().createAlarm",
        source: "User Guide for Application Load Balancers, \"CloudWatch metrics for your Application Load Balancer\"",
        over: each_balanced(|scene, name| alarmed(scene, name, &UNHEALTHY)),
    ),
    rule!(
        "cloudwatch_errors_alarm_missing", Observability, High, BLOCKING, PRODUCTION,
        title: "An alarm watches the 5xx answers of the service",
        why: "Errors that tasks answer look healthy to ECS and to the load balancer's checks.",
        remedy: "Add an alarm of HTTPCode_Target_5XX_Count for the target group.",
        cli: "aws cloudwatch put-metric-alarm --alarm-name <alarm> --namespace AWS/ApplicationELB --metric-name HTTPCode_Target_5XX_Count --cli-input-json <file>",
        terraform: "aws_cloudwatch_metric_alarm",
        cdk: "ApplicationTargetGroup metrics.httpCodeTarget(HttpCodeTarget.TARGET_5XX_COUNT).createAlarm",
        source: "User Guide for Application Load Balancers, \"CloudWatch metrics for your Application Load Balancer\"",
        over: each_balanced(|scene, name| alarmed(scene, name, &ERRORS)),
    ),
    rule!(
        "cloudwatch_latency_alarm_missing", Observability, Medium, BLOCKING, PRODUCTION,
        title: "An alarm watches how long the service takes to answer",
        why: "A service that is slow loses customers before it loses a health check.",
        remedy: "Add an alarm of a high percentile of TargetResponseTime for the target group.",
        cli: "aws cloudwatch put-metric-alarm --alarm-name <alarm> --namespace AWS/ApplicationELB --metric-name TargetResponseTime --extended-statistic p99 --cli-input-json <file>",
        terraform: "aws_cloudwatch_metric_alarm",
        cdk: "ApplicationTargetGroup metrics.targetResponseTime().createAlarm",
        source: "User Guide for Application Load Balancers, \"CloudWatch metrics for your Application Load Balancer\"",
        over: each_balanced(|scene, name| alarmed(scene, name, &LATENCY)),
    ),
    rule!(
        "cloudwatch_running_tasks_alarm_missing", Observability, High, BLOCKING, PRODUCTION,
        title: "An alarm watches whether fewer tasks run than are wanted",
        why: "A service that cannot start its tasks runs on with what is left, until that is gone.",
        remedy: "Turn Container Insights on, and add an alarm of RunningTaskCount below the desired count.",
        cli: "aws cloudwatch put-metric-alarm --alarm-name <alarm> --namespace ECS/ContainerInsights --metric-name RunningTaskCount --cli-input-json <file>",
        terraform: "aws_cloudwatch_metric_alarm",
        cdk: "Metric createAlarm",
        source: "Amazon CloudWatch User Guide, \"Amazon ECS Container Insights metrics\"",
        over: each_service(|scene, name| alarmed(scene, name, &RUNNING)),
    ),
    rule!(
        "cloudwatch_cpu_alarm_missing", Observability, Medium, BLOCKING, PRODUCTION,
        title: "An alarm watches the CPU of the service",
        why: "Tasks out of CPU answer late and miss their health checks; autoscaling's own alarms tell nobody.",
        remedy: "Add an alarm of CPUUtilization for the service.",
        cli: "aws cloudwatch put-metric-alarm --alarm-name <alarm> --namespace AWS/ECS --metric-name CPUUtilization --cli-input-json <file>",
        terraform: "aws_cloudwatch_metric_alarm",
        cdk: "FargateService metricCpuUtilization().createAlarm",
        source: "Amazon ECS Developer Guide, \"Amazon ECS CloudWatch metrics\"",
        over: each_service(|scene, name| alarmed(scene, name, &CPU)),
    ),
    rule!(
        "cloudwatch_memory_alarm_missing", Observability, Medium, BLOCKING, PRODUCTION,
        title: "An alarm watches the memory of the service",
        why: "A task out of memory is killed in the middle of its requests.",
        remedy: "Add an alarm of MemoryUtilization for the service.",
        cli: "aws cloudwatch put-metric-alarm --alarm-name <alarm> --namespace AWS/ECS --metric-name MemoryUtilization --cli-input-json <file>",
        terraform: "aws_cloudwatch_metric_alarm",
        cdk: "FargateService metricMemoryUtilization().createAlarm",
        source: "Amazon ECS Developer Guide, \"Amazon ECS CloudWatch metrics\"",
        over: each_service(|scene, name| alarmed(scene, name, &MEMORY)),
    ),
    rule!(
        "cloudwatch_alarm_actions_off", Observability, High, BLOCKING, PRODUCTION,
        title: "The actions of alarms are on",
        why: "Somebody turned them off for a maintenance and forgot: the alarm goes off, and nothing comes of it.",
        remedy: "Turn the alarm's actions on.",
        cli: "aws cloudwatch enable-alarm-actions --alarm-names <alarm>",
        terraform: "aws_cloudwatch_metric_alarm.actions_enabled",
        cdk: "Alarm actionsEnabled",
        source: "Amazon CloudWatch User Guide, \"Alarm actions\"",
        over: Over::Each { which: watches, judge: enabled },
    ),
    rule!(
        "cloudwatch_alarm_unheard", Observability, High, BLOCKING, PRODUCTION,
        title: "Alarms reach someone",
        why: "An alarm that nobody hears is a line in a list: its topic has no subscription, or none that was confirmed.",
        remedy: "Name a topic as the alarm's action, and confirm its subscription.",
        cli: "aws sns list-subscriptions-by-topic --topic-arn <topic>",
        terraform: "aws_sns_topic_subscription, aws_cloudwatch_metric_alarm.alarm_actions",
        cdk: "Alarm addAlarmAction(new SnsAction(topic))",
        source: "Amazon CloudWatch User Guide, \"Notifying users on alarm changes\"",
        over: Over::Each { which: watches, judge: heard },
    ),
    rule!(
        "cloudwatch_dashboard_missing", Observability, Medium, ADVISORY, PRODUCTION,
        title: "There is a dashboard",
        why: "In an incident nobody should have to look for the graphs.",
        remedy: "Create a dashboard for the environment, and name it in the readiness file.",
        cli: "aws cloudwatch put-dashboard --dashboard-name <dashboard> --dashboard-body file://<file>",
        terraform: "aws_cloudwatch_dashboard",
        cdk: "Dashboard",
        source: "Amazon CloudWatch User Guide, \"Using Amazon CloudWatch dashboards\"",
        over: Over::Environment(dashboard),
    ),
    rule!(
        "cloudwatch_dashboard_incomplete", Observability, Low, ADVISORY, PRODUCTION,
        title: "The dashboard shows answers, target health, CPU, memory and latency",
        why: "What is not on it is looked at last, whatever the cause.",
        remedy: "Add a widget for each metric that is missing.",
        cli: "aws cloudwatch put-dashboard --dashboard-name <dashboard> --dashboard-body file://<file>",
        terraform: "aws_cloudwatch_dashboard.dashboard_body",
        cdk: "Dashboard addWidgets",
        source: "Amazon CloudWatch User Guide, \"Using Amazon CloudWatch dashboards\"",
        over: each_service(shown),
    ),
    rule!(
        "logs_group_missing", Observability, High, BLOCKING, STAGING_TOO,
        title: "Every log group that a task writes to is there",
        why: "A task whose log group is not there does not start, unless it may create it: then it is kept for ever.",
        remedy: "Create the log group, with a retention.",
        cli: "aws logs create-log-group --log-group-name <group>",
        terraform: "aws_cloudwatch_log_group",
        cdk: "LogGroup",
        source: "Amazon ECS Developer Guide, \"Send Amazon ECS logs to CloudWatch\"",
        over: Over::Each {
            which: log_groups,
            judge: |scene, name| {
                let group = scene.facts.log_groups.find(name)?;
                Ok(Verdict::when(group.is_some(), || "there is no such log group".to_owned(), "a log group"))
            },
        },
    ),
    rule!(
        "logs_group_retention_unfit", Observability, Medium, ADVISORY, STAGING_TOO,
        title: "Log groups keep entries long enough, and not for ever",
        why: "Logs without a retention are paid for, and may be asked for, for ever; too short a one has lost the cause already.",
        remedy: "Set a retention on the log group.",
        cli: "aws logs put-retention-policy --log-group-name <group> --retention-in-days 30",
        terraform: "aws_cloudwatch_log_group.retention_in_days",
        cdk: "LogGroup retention",
        source: "Amazon CloudWatch Logs User Guide, \"Working with log groups and log streams\"",
        over: Over::Each { which: log_groups, judge: retention },
    ),
    rule!(
        "cloudwatch_slot_empty", Observability, Medium, ADVISORY, PRODUCTION,
        title: "Every slot for an alarm of the application is filled",
        why: "Only the application knows that checkouts fail while every page answers 200.",
        remedy: "Name the alarm in the slot of the readiness file.",
        cli: "",
        terraform: "aws_cloudwatch_metric_alarm",
        cdk: "Metric createAlarm",
        source: "AWS Well-Architected Framework, \"OPS04-BP02 Implement application telemetry\"",
        over: Over::Each {
            which: slots,
            judge: |scene, slot| {
                let alarm = slot_alarm(scene, slot)?;
                Ok(Verdict::when(!alarm.is_empty(), || "empty".to_owned(), "an alarm's name"))
            },
        },
    ),
    rule!(
        "cloudwatch_slot_alarm_missing", Observability, Medium, BLOCKING, PRODUCTION,
        title: "The alarm in every slot of the application exists",
        why: "A slot that names an alarm that is not there looks filled, and watches nothing.",
        remedy: "Create the alarm, or name the one that is meant.",
        cli: "aws cloudwatch describe-alarms --alarm-names <alarm>",
        terraform: "aws_cloudwatch_metric_alarm",
        cdk: "Metric createAlarm",
        source: "AWS Well-Architected Framework, \"OPS04-BP02 Implement application telemetry\"",
        over: Over::Each {
            which: slots,
            judge: |scene, slot| {
                let name = slot_alarm(scene, slot)?;
                if name.is_empty() {
                    return Ok(Verdict::not_applicable("the slot is empty"));
                }
                let exists = alarms(scene)?.contains_key(name);
                Ok(Verdict::when(exists, || format!("there is no alarm {name}"), "an alarm"))
            },
        },
    ),
];

/// A kind of thing to watch.
struct Watch {
    /// For people.
    what: &'static str,
    /// Whose metric it is.
    of: Of,
    /// Names of metrics that tell it, any of them.
    names: &'static [&'static str],
}

/// Whose metric it is.
#[derive(Clone, Copy)]
enum Of {
    /// A service's, in a namespace.
    Service(&'static str),
    /// A target group's.
    TargetGroup,
}

const UNHEALTHY: Watch = Watch {
    what: "unhealthy hosts",
    of: Of::TargetGroup,
    names: &["UnHealthyHostCount", "HealthyHostCount"],
};
const ERRORS: Watch = Watch {
    what: "5xx",
    of: Of::TargetGroup,
    names: &["HTTPCode_Target_5XX_Count"],
};
const LATENCY: Watch = Watch {
    what: "latency",
    of: Of::TargetGroup,
    names: &["TargetResponseTime"],
};
const RUNNING: Watch = Watch {
    what: "running tasks",
    of: Of::Service("ECS/ContainerInsights"),
    names: &["RunningTaskCount"],
};
const CPU: Watch = Watch {
    what: "CPU",
    of: Of::Service("AWS/ECS"),
    names: &["CPUUtilization"],
};
const MEMORY: Watch = Watch {
    what: "memory",
    of: Of::Service("AWS/ECS"),
    names: &["MemoryUtilization"],
};
/// What else a dashboard shows.
const FINE: Watch = Watch {
    what: "2xx",
    of: Of::TargetGroup,
    names: &["HTTPCode_Target_2XX_Count"],
};
const REFUSED: Watch = Watch {
    what: "4xx",
    of: Of::TargetGroup,
    names: &["HTTPCode_Target_4XX_Count"],
};
/// What alarms watch, of each service and of each that takes requests.
const ALARMED: [&Watch; 6] = [&UNHEALTHY, &ERRORS, &LATENCY, &RUNNING, &CPU, &MEMORY];
/// What a dashboard shows.
const SHOWN: [&Watch; 7] = [&FINE, &REFUSED, &ERRORS, &UNHEALTHY, &CPU, &MEMORY, &LATENCY];

/// What the metrics of a service, or of its target groups, have for dimensions, as far as they tell it from others.
fn dimensions(
    scene: &Scene<'_>,
    service: &str,
    of: Of,
) -> Result<Vec<BTreeMap<&'static str, String>>, Unseen> {
    Ok(match of {
        Of::Service(_) => {
            let cluster = ("ClusterName", scene.intent.cluster.clone());
            vec![[cluster, ("ServiceName", service.to_owned())].into()]
        }
        // The dimension is the end of the ARN (User Guide for Application Load Balancers, "CloudWatch metrics for your Application Load
        // Balancer").
        Of::TargetGroup => {
            let groups = scene.service(service)?.attachments.iter();
            let ends = groups.filter_map(|attachment| attachment.target_group.rsplit(':').next());
            ends.map(|end| [("TargetGroup", end.to_owned())].into()).collect()
        }
    })
}

impl Watch {
    fn is_named(&self, metric: &Metric) -> bool {
        let namespace = match self.of {
            Of::Service(namespace) => metric.namespace == namespace,
            Of::TargetGroup => matches!(metric.namespace.as_str(), "AWS/ApplicationELB" | "AWS/NetworkELB"),
        };
        namespace && self.names.contains(&metric.name.as_str())
    }
}

fn alarms<'a>(scene: &Scene<'a>) -> Result<&'a BTreeMap<String, Alarm>, Unseen> {
    scene.facts.alarms.get().map_err(|unseen| about(unseen, "alarms"))
}

/// Whether an alarm only serves autoscaling, and tells nobody.
fn is_scaling(alarm: &Alarm) -> bool {
    !alarm.actions.is_empty()
        && alarm
            .actions
            .iter()
            .all(|action| action.contains(":autoscaling:"))
}

/// The alarms that watch a thing of a service.
fn watching<'a>(
    scene: &Scene<'a>,
    service: &str,
    watch: &Watch,
) -> Result<Vec<(&'a str, &'a Alarm)>, Unseen> {
    let wanted = dimensions(scene, service, watch.of)?;
    let is_of = |metric: &Metric| {
        let fits = |wanted: &BTreeMap<&str, String>| {
            wanted
                .iter()
                .all(|(name, value)| metric.dimensions.get(*name) == Some(value))
        };
        watch.is_named(metric) && wanted.iter().any(fits)
    };
    let all = alarms(scene)?.iter();
    let watching = all
        .filter(|(_, alarm)| !is_scaling(alarm) && alarm.metric.iter().chain(&alarm.expression).any(is_of));
    Ok(watching.map(|(name, alarm)| (name.as_str(), alarm)).collect())
}

/// Whether a service has a thing to watch at all: targets it has only behind a target group.
fn concerns(scene: &Scene<'_>, service: &str, watch: &Watch) -> Result<bool, Unseen> {
    Ok(match watch.of {
        Of::Service(_) => true,
        Of::TargetGroup => !scene.service(service)?.attachments.is_empty(),
    })
}

fn alarmed(scene: &Scene<'_>, service: &str, watch: &Watch) -> Ruling {
    if !concerns(scene, service, watch)? {
        return Ok(Verdict::not_applicable("it is behind no target group"));
    }
    let watching = watching(scene, service, watch)?;
    let wanted = format!("an alarm of {}", watch.names.join(" or "));
    Ok(Verdict::when(
        !watching.is_empty(),
        || "no such alarm".to_owned(),
        wanted,
    ))
}

/// Everything that alarms have to watch, by name: the slots of the application, and `service: thing`.
fn watches(scene: &Scene<'_>) -> Result<Vec<String>, Unseen> {
    let mut all = Vec::new();
    for service in scene.services() {
        for watch in ALARMED {
            if concerns(scene, &service, watch)? {
                all.push(format!("{service}: {}", watch.what));
            }
        }
    }
    all.extend(slots(scene)?);
    Ok(all)
}

/// The alarms of one of [`watches`].
fn of_watch<'a>(scene: &Scene<'a>, name: &str) -> Result<Vec<(&'a str, &'a Alarm)>, Unseen> {
    if let Some((service, what)) = name.split_once(": ")
        && let Some(watch) = ALARMED.iter().find(|watch| watch.what == what)
    {
        return watching(scene, service, watch);
    }
    let alarm = slot_alarm(scene, name)?;
    let found = alarms(scene)?.get_key_value(alarm);
    Ok(found
        .map(|(name, alarm)| (name.as_str(), alarm))
        .into_iter()
        .collect())
}

const NO_ALARM: &str = "no alarm watches it";

/// One alarm whose actions are on is enough: another of the same metric may only serve deployments.
fn enabled(scene: &Scene<'_>, name: &str) -> Ruling {
    let alarms = of_watch(scene, name)?;
    if alarms.is_empty() {
        return Ok(Verdict::not_applicable(NO_ALARM));
    }
    let on = alarms.iter().any(|(_, alarm)| alarm.actions_enabled);
    let seen = || {
        let names: Vec<_> = alarms.iter().map(|(name, _)| *name).collect();
        format!("the actions of {} are off", names.join(", "))
    };
    Ok(Verdict::when(on, seen, "actions that are on"))
}

/// Whether an action tells people: a topic that somebody has confirmed to hear, an incident, or a function.
fn reaches(scene: &Scene<'_>, action: &str) -> Result<bool, Unseen> {
    if action.contains(":sns:") {
        let topic = scene.facts.topics.find(action)?;
        return Ok(topic.is_some_and(|topic| topic.confirmed > 0));
    }
    Ok(action.contains(":ssm-incidents:") || action.contains(":lambda:"))
}

fn heard(scene: &Scene<'_>, name: &str) -> Ruling {
    let mut alarms = of_watch(scene, name)?;
    alarms.retain(|(_, alarm)| alarm.actions_enabled);
    if alarms.is_empty() {
        return Ok(Verdict::not_applicable(
            "no alarm with actions that are on watches it",
        ));
    }
    let mut unseen = None;
    for action in alarms.iter().flat_map(|(_, alarm)| &alarm.actions) {
        match reaches(scene, action) {
            Ok(true) => return Ok(Verdict::Pass),
            Ok(false) => {}
            Err(one) => unseen = Some(one),
        }
    }
    if let Some(unseen) = unseen {
        return Err(unseen);
    }
    let names: Vec<_> = alarms.iter().map(|(name, _)| *name).collect();
    let seen = format!("{} reaches nobody", names.join(", "));
    Ok(Verdict::fail(seen, "a topic with a confirmed subscription"))
}

fn dashboard(scene: &Scene<'_>) -> Ruling {
    let Some(name) = &scene.intent.watch.dashboard else {
        return Ok(Verdict::fail("none is named", "a dashboard"));
    };
    let found = scene.facts.dashboards.find(name)?;
    let seen = || format!("there is no dashboard {name}");
    Ok(Verdict::when(found.is_some(), seen, "a dashboard"))
}

fn shown(scene: &Scene<'_>, service: &str) -> Ruling {
    let name = scene.intent.watch.dashboard.as_ref();
    let found = name.map(|name| scene.facts.dashboards.find(name)).transpose()?;
    let Some(dashboard) = found.flatten() else {
        return Ok(Verdict::not_applicable("there is no dashboard"));
    };
    let mut missing = Vec::new();
    for watch in SHOWN {
        if !concerns(scene, service, watch)? {
            continue;
        }
        let wanted = dimensions(scene, service, watch.of)?;
        // A widget need not write every dimension out: it is enough that it does not show another service.
        let shows = |metric: &Metric| {
            let fits = |wanted: &BTreeMap<&str, String>| {
                wanted
                    .iter()
                    .all(|(name, value)| metric.dimensions.get(*name).is_none_or(|other| other == value))
            };
            watch.is_named(metric) && wanted.iter().any(fits)
        };
        if !dashboard.metrics.iter().any(shows) {
            missing.push(format!("no {}", watch.what));
        }
    }
    let wanted: Vec<_> = SHOWN.iter().map(|watch| watch.what).collect();
    Ok(Verdict::unless(&missing, wanted.join(", ")))
}

/// The log groups that containers write to by `awslogs`.
fn log_groups(scene: &Scene<'_>) -> Result<Vec<String>, Unseen> {
    let mut all = BTreeSet::new();
    for service in scene.services() {
        let containers = &scene.task_definition(&service)?.containers;
        all.extend(
            containers
                .iter()
                .filter_map(|container| container.log_group.clone()),
        );
    }
    Ok(all.into_iter().collect())
}

fn retention(scene: &Scene<'_>, name: &str) -> Ruling {
    let Some(group) = scene.facts.log_groups.find(name)? else {
        return Ok(Verdict::not_applicable("there is no such log group"));
    };
    let least = scene.intent.limits.log_days;
    let seen = || match group.retention_days {
        Some(days) => format!("kept for {days} days"),
        None => "kept for ever".to_owned(),
    };
    let fits = group.retention_days.is_some_and(|days| days >= least);
    Ok(Verdict::when(
        fits,
        seen,
        format!("a retention of {least} days or more"),
    ))
}

fn slots(scene: &Scene<'_>) -> Result<Vec<String>, Unseen> {
    Ok(scene.intent.watch.slots.keys().cloned().collect())
}

fn slot_alarm<'a>(scene: &Scene<'a>, slot: &str) -> Result<&'a str, Unseen> {
    let alarm = scene.intent.watch.slots.get(slot);
    alarm.map(String::as_str).ok_or_else(|| Unseen::not_asked(slot))
}
