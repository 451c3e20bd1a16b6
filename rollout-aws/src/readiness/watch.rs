//! Alarms and whom they tell, dashboards, log groups.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudwatch::types::{self as cloudwatch, AlarmType, Dimension, Statistic};
use aws_smithy_types::DateTime;
use rollout_core::readiness::fact::watch::{Alarm, Dashboard, LogGroup, Metric, Topic};
use rollout_core::readiness::known::{Known, Table};
use rollout_core::time::Timestamp;
use serde_json::Value;

use super::call::Call;
use super::map::{arn, count, text, whole};
use super::round::{Asked, Refused, Round, known, pages, table};

/// All alarms of account and region, by name.
pub(super) async fn alarms(round: &Round<'_>) -> Known<BTreeMap<String, Alarm>> {
    let all = "all alarms";
    let found = pages(Call::DescribeAlarms, all, |token| {
        let request = round
            .aws
            .cloudwatch
            .describe_alarms()
            .max_records(100)
            .set_next_token(token);
        // Composite ones are not answered with unless they are asked for (Amazon CloudWatch API, "DescribeAlarms").
        let request = request
            .alarm_types(AlarmType::MetricAlarm)
            .alarm_types(AlarmType::CompositeAlarm);
        let asked = round.ask(Call::DescribeAlarms, all, request.send());
        async move {
            asked.await.map(|answer| {
                let metric = answer.metric_alarms().iter().map(metric_alarm);
                let composite = answer.composite_alarms().iter().map(composite_alarm);
                (
                    metric.chain(composite).collect(),
                    answer.next_token().map(ToOwned::to_owned),
                )
            })
        }
    })
    .await;
    known(found.map(|all| all.into_iter().collect()))
}

fn metric_alarm(alarm: &cloudwatch::MetricAlarm) -> (String, Alarm) {
    let of = |stat: &cloudwatch::Metric| metric(stat.namespace(), stat.metric_name(), stat.dimensions());
    let computed = alarm.metrics().iter();
    let fact = Alarm {
        state: text(alarm.state_value().map(|state| state.as_str())),
        actions_enabled: alarm.actions_enabled().unwrap_or(true),
        actions: alarm.alarm_actions().to_vec(),
        metric: alarm
            .metric_name()
            .map(|name| metric(alarm.namespace(), Some(name), alarm.dimensions())),
        expression: computed
            .filter_map(|query| query.metric_stat()?.metric().map(of))
            .collect(),
    };
    (text(alarm.alarm_name()), fact)
}

fn composite_alarm(alarm: &cloudwatch::CompositeAlarm) -> (String, Alarm) {
    let fact = Alarm {
        state: text(alarm.state_value().map(|state| state.as_str())),
        actions_enabled: alarm.actions_enabled().unwrap_or(true),
        actions: alarm.alarm_actions().to_vec(),
        metric: None,
        expression: Vec::new(),
    };
    (text(alarm.alarm_name()), fact)
}

fn metric(namespace: Option<&str>, name: Option<&str>, dimensions: &[Dimension]) -> Metric {
    let pair = |one: &Dimension| (text(one.name()), text(one.value()));
    Metric {
        namespace: text(namespace),
        name: text(name),
        dimensions: dimensions.iter().map(pair).collect(),
    }
}

/// The topics that alarms tell.
pub(super) fn told(alarms: &Known<BTreeMap<String, Alarm>>) -> BTreeSet<String> {
    let all = alarms.get().into_iter().flat_map(BTreeMap::values);
    all.flat_map(|alarm| alarm.actions.iter())
        .filter(|action| arn(action).is_some_and(|(service, ..)| service == "sns"))
        .cloned()
        .collect()
}

/// Topics by ARN.
pub(super) async fn topics(round: &Round<'_>, arns: BTreeSet<String>) -> Table<Topic> {
    table(arns, |topic| async move {
        let found = pages(Call::ListSubscriptions, &topic, |token| {
            let request = round.aws.sns.list_subscriptions_by_topic();
            let request = request.topic_arn(&topic).set_next_token(token);
            let asked = round.ask(Call::ListSubscriptions, &topic, request.send());
            async move {
                asked
                    .await
                    .map(|answer| (answer.subscriptions.unwrap_or_default(), answer.next_token))
            }
        })
        .await?;
        let mut fact = Topic {
            confirmed: 0,
            pending: 0,
        };
        for subscription in &found {
            // In the place of its ARN, one that nobody confirmed has a word (Amazon SNS Developer Guide, "Subscribing to an
            // Amazon SNS topic"), and so has one that was taken back.
            match subscription.subscription_arn() {
                Some("PendingConfirmation") => fact.pending = fact.pending.saturating_add(1),
                Some(arn) if arn.starts_with("arn:") => fact.confirmed = fact.confirmed.saturating_add(1),
                Some(_) | None => {}
            }
        }
        Ok(fact)
    })
    .await
}

/// Dashboards by name.
pub(super) async fn dashboards(round: &Round<'_>, names: BTreeSet<String>) -> Table<Dashboard> {
    table(names, |name| async move {
        let request = round.aws.cloudwatch.get_dashboard().dashboard_name(&name);
        let answer = round.ask(Call::GetDashboard, &name, request.send()).await?;
        let body: Value =
            serde_json::from_str(answer.dashboard_body().unwrap_or_default()).map_err(|error| {
                Refused::unclear(
                    &name,
                    format!("cloudwatch:GetDashboard: the body cannot be read: {error}"),
                )
            })?;
        Ok(Dashboard {
            metrics: shown(&body),
        })
    })
    .await
}

/// The metrics of a dashboard's widgets (Amazon CloudWatch API, "Dashboard body structure and syntax"): a list of namespace,
/// name, and names and values of dimensions, with `.` for what stands in the same place of the line before, and `...` for all
/// that the line before has up to what follows.
fn shown(body: &Value) -> Vec<Metric> {
    let widgets = body
        .get("widgets")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let mut all = Vec::new();
    for widget in widgets {
        let mut before: Vec<String> = Vec::new();
        let lines = widget.pointer("/properties/metrics").and_then(Value::as_array);
        for line in lines.into_iter().flatten().filter_map(Value::as_array) {
            let words: Vec<&str> = line.iter().filter_map(Value::as_str).collect();
            let words = spelt_out(&words, &before);
            // An expression has no words.
            let [namespace, name, dimensions @ ..] = words.as_slice() else {
                continue;
            };
            let pairs = dimensions.chunks_exact(2).filter_map(|pair| match pair {
                [name, value] => Some((name.clone(), value.clone())),
                _ => None,
            });
            all.push(Metric {
                namespace: namespace.clone(),
                name: name.clone(),
                dimensions: pairs.collect(),
            });
            before = words;
        }
    }
    all
}

fn spelt_out(words: &[&str], before: &[String]) -> Vec<String> {
    let (words, skipped) = match words {
        ["...", rest @ ..] => (rest, before.len().saturating_sub(rest.len())),
        all => (all, 0),
    };
    let kept = before.iter().take(skipped).cloned();
    let said = words.iter().enumerate().map(|(index, word)| {
        let place = index.saturating_add(skipped);
        let same = || before.get(place).cloned().unwrap_or_default();
        if *word == "." { same() } else { (*word).to_owned() }
    });
    kept.chain(said).collect()
}

/// Log groups by name.
pub(super) async fn log_groups(round: &Round<'_>, names: BTreeSet<String>) -> Table<LogGroup> {
    table(names, |name| async move {
        let found = pages(Call::DescribeLogGroups, &name, |token| {
            let request = round.aws.logs.describe_log_groups();
            let request = request.log_group_name_prefix(&name).set_next_token(token);
            let asked = round.ask(Call::DescribeLogGroups, &name, request.send());
            async move {
                asked
                    .await
                    .map(|answer| (answer.log_groups.unwrap_or_default(), answer.next_token))
            }
        })
        .await?;
        let group = found.iter().find(|group| group.log_group_name() == Some(&name));
        let group = group.ok_or(Refused::Missing)?;
        Ok(LogGroup {
            retention_days: group.retention_in_days().map(count),
        })
    })
    .await
}

const DAY: u64 = 24 * 60 * 60 * 1_000;
/// How far back a peak is looked for.
const DAYS: u64 = 14;

/// The most that a metric of a database was in the last 14 days.
pub(super) async fn peak(round: &Round<'_>, now: Timestamp, database: &str) -> Asked<u64> {
    let moment = |millis: u64| DateTime::from_millis(i64::try_from(millis).unwrap_or(i64::MAX));
    let dimension = Dimension::builder().name("DBInstanceIdentifier").value(database);
    let request = round.aws.cloudwatch.get_metric_statistics();
    let request = request
        .namespace("AWS/RDS")
        .metric_name("DatabaseConnections")
        .dimensions(dimension.build())
        .start_time(moment(now.as_millis().saturating_sub(DAY.saturating_mul(DAYS))))
        .end_time(moment(now.as_millis()))
        .period(3_600)
        .statistics(Statistic::Maximum);
    let answer = round
        .ask(Call::GetMetricStatistics, database, request.send())
        .await?;
    let peak = answer
        .datapoints()
        .iter()
        .filter_map(|point| point.maximum())
        .map(whole)
        .max();
    peak.ok_or_else(|| {
        Refused::unclear(
            database,
            "cloudwatch:GetMetricStatistics: DatabaseConnections has no data",
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metrics_of_a_dashboard_are_spelt_out() {
        let body = json!({"widgets": [
            {"type": "text", "properties": {"markdown": "hello"}},
            {"type": "metric", "properties": {"metrics": [
                ["AWS/ECS", "CPUUtilization", "ClusterName", "shop", "ServiceName", "api", {"stat": "Average"}],
                [".", "MemoryUtilization", ".", ".", ".", "."],
                ["...", "worker"],
                [{"expression": "m1+m2"}],
                ["Shop", "Errors"],
            ]}},
        ]});
        let said: Vec<String> = shown(&body)
            .iter()
            .map(|metric| {
                let values: Vec<&str> = metric.dimensions.values().map(String::as_str).collect();
                format!("{} {} {}", metric.namespace, metric.name, values.join(","))
            })
            .collect();
        let wanted = [
            "AWS/ECS CPUUtilization shop,api",
            "AWS/ECS MemoryUtilization shop,api",
            "AWS/ECS MemoryUtilization shop,worker",
            "Shop Errors ",
        ];
        assert_eq!(said, wanted);
    }
}
