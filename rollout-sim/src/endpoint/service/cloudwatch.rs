//! CloudWatch: metrics and alarms.

use rollout_core::time::Timestamp;
use serde::Deserialize;

use super::{Answer, Operation, Service};
use crate::alarm::{Alarm, AlarmState, Rule};
use crate::ecs::Environment;
use crate::endpoint::call::{Call, page};
use crate::endpoint::document::{Document, map};
use crate::endpoint::input::Moment;
use crate::endpoint::refusal::Refusal;
use crate::metric::{Compare, Metric, NoData, Point, Watch};

pub(crate) static SERVICE: Service = Service {
    signing_name: "monitoring",
    target: Some("GraniteServiceVersion20100801"),
    query: Some("2010-08-01"),
    namespace: "http://monitoring.amazonaws.com/doc/2010-08-01/",
    global: false,
    throttled: "Throttling",
    operations: &[&[
        Operation::read("DescribeAlarms", describe_alarms),
        Operation::write("PutMetricAlarm", put_metric_alarm),
        Operation::write("SetAlarmState", set_alarm_state),
        Operation::write("DeleteAlarms", delete_alarms),
        Operation::read("GetMetricStatistics", get_metric_statistics),
        Operation::read("GetMetricData", get_metric_data),
        Operation::read("ListMetrics", list_metrics),
        Operation::write("PutMetricData", put_metric_data),
    ]],
};

/// The most alarms of a page, and how many there are when nothing is asked for (Amazon CloudWatch API, "DescribeAlarms").
const MOST: usize = 100;
const PAGE: usize = 50;
/// The most queries of a call (Amazon CloudWatch API, "GetMetricData").
const QUERIES: usize = 500;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct AlarmInput {
    alarm_names: Vec<String>,
    alarm_name_prefix: Option<String>,
    alarm_types: Vec<String>,
    state_value: Option<String>,
    state_reason: String,
    max_records: Option<usize>,
    next_token: Option<String>,
    alarm_name: String,
    namespace: String,
    metric_name: String,
    dimensions: Vec<DimensionInput>,
    statistic: Option<String>,
    period: Option<u64>,
    evaluation_periods: u32,
    datapoints_to_alarm: Option<u32>,
    threshold: f64,
    comparison_operator: String,
    treat_missing_data: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct DimensionInput {
    name: String,
    value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct MetricInput {
    namespace: String,
    metric_name: String,
    dimensions: Vec<DimensionInput>,
    start_time: Option<Moment>,
    end_time: Option<Moment>,
    period: u64,
    statistics: Vec<String>,
    metric_data_queries: Vec<QueryInput>,
    scan_by: Option<String>,
    metric_data: Vec<DatumInput>,
    next_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct QueryInput {
    id: String,
    metric_stat: Option<StatInput>,
    label: Option<String>,
    return_data: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct StatInput {
    metric: NameInput,
    period: u64,
    stat: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NameInput {
    namespace: String,
    metric_name: String,
    dimensions: Vec<DimensionInput>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct DatumInput {
    metric_name: String,
    dimensions: Vec<DimensionInput>,
    timestamp: Option<Moment>,
    value: Option<f64>,
    values: Vec<f64>,
    counts: Vec<f64>,
}

fn invalid(text: impl Into<String>) -> Refusal {
    Refusal::client("InvalidParameterValue", text).shape("InvalidParameterValueException")
}

fn not_modelled(what: &str) -> Refusal {
    let text = format!("the simulated cloud does not model {what}");
    Refusal::new(501, "UnknownOperationException", text)
}

fn metric(namespace: &str, name: &str, dimensions: Vec<DimensionInput>) -> Metric {
    Metric::new(
        namespace,
        name,
        dimensions.into_iter().map(|d| (d.name, d.value)).collect(),
    )
}

fn dimensions_out(metric: &Metric) -> Document {
    Document::list(
        metric
            .dimensions
            .iter()
            .map(|(name, value)| map! { "Name": name, "Value": value }),
    )
}

fn alarm_out(call: &Call<'_>, env: &Environment, alarm: &Alarm) -> Document {
    let mut out = map! {
        "AlarmName": &alarm.name,
        "AlarmArn": call.arn("cloudwatch", &format!("alarm:{}", alarm.name)),
        "ActionsEnabled": true,
        "OKActions": Document::list(Vec::<Document>::new()),
        "AlarmActions": Document::list(Vec::<Document>::new()),
        "InsufficientDataActions": Document::list(Vec::<Document>::new()),
        "StateValue": alarm.state.name(),
        "StateReason": &alarm.reason,
        "StateUpdatedTimestamp": alarm.since,
        "StateTransitionedTimestamp": alarm.since,
        "AlarmConfigurationUpdatedTimestamp": alarm.configured,
    };
    match (&alarm.watch, alarm.rule) {
        (Some(watch), Rule::Metric) => {
            out.put("MetricName", &watch.metric.name);
            out.put("Namespace", &watch.metric.namespace);
            out.put("Statistic", &watch.statistic);
            out.put("Dimensions", dimensions_out(&watch.metric));
            out.put("Period", watch.period / 1_000);
            out.put("EvaluationPeriods", watch.periods);
            // "Used only if you are setting an "M out of N" alarm" (Amazon CloudWatch API, "PutMetricAlarm").
            let some = (watch.datapoints != watch.periods).then_some(watch.datapoints);
            out.put("DatapointsToAlarm", some);
            out.put("Threshold", watch.threshold);
            out.put("ComparisonOperator", watch.compare.name());
            out.put("TreatMissingData", watch.missing.name());
        }
        (_, rule) => {
            // Alarms of the world's description: what they look at has no metric's name.
            let (name, threshold) = match rule {
                Rule::UnhealthyTargets { over, .. } => ("UnHealthyHostCount", over),
                Rule::Errors { over, .. } => ("ErrorsOf10000Answers", over),
                Rule::Script | Rule::Metric => ("Script", 0),
            };
            out.put("MetricName", name);
            out.put("Namespace", format!("RolloutSim/{}", env.name));
            out.put("Statistic", "Maximum");
            out.put("Dimensions", Document::list(Vec::<Document>::new()));
            out.put("Period", alarm.period / 1_000);
            out.put("EvaluationPeriods", alarm.periods);
            out.put("Threshold", f64::from(threshold));
            out.put("ComparisonOperator", Compare::Above.name());
        }
    }
    out
}

fn describe_alarms(call: &mut Call<'_>) -> Answer {
    let input: AlarmInput = call.input()?;
    let wanted = |alarm: &Alarm| {
        !alarm.name.is_empty()
            && (input.alarm_names.is_empty() || input.alarm_names.contains(&alarm.name))
            && input
                .alarm_name_prefix
                .as_ref()
                .is_none_or(|p| alarm.name.starts_with(p.as_str()))
            && input.state_value.as_ref().is_none_or(|s| alarm.state.name() == s)
            && (input.alarm_types.is_empty() || input.alarm_types.iter().any(|t| t == "MetricAlarm"))
    };
    let all = call
        .environments()
        .flat_map(|e| e.alarms.iter().map(move |a| (e, a)));
    let mut all: Vec<(&Environment, &Alarm)> = all.filter(|(_, a)| wanted(a)).collect();
    all.sort_by(|a, b| a.1.name.cmp(&b.1.name));
    let all: Vec<Document> = all.into_iter().map(|(e, a)| alarm_out(call, e, a)).collect();
    let most = input.max_records.unwrap_or(PAGE).clamp(1, MOST);
    let token = input.next_token.as_deref().filter(|t| !t.is_empty());
    let (here, next) =
        page(&all, token, most).ok_or_else(|| Refusal::client("InvalidNextToken", "Invalid NextToken"))?;
    Ok(map! {
        "MetricAlarms": Document::list(here.iter().cloned()),
        "CompositeAlarms": Document::list(Vec::<Document>::new()),
        "NextToken": next,
    })
}

fn watch(input: AlarmInput) -> Result<Watch, Refusal> {
    let checked = |text: &str| Refusal::client("ValidationError", text);
    let statistic = input
        .statistic
        .ok_or_else(|| not_modelled("alarms on percentiles, expressions or queries"))?;
    if Point::of(0.0).statistic(&statistic).is_none() {
        return Err(checked(
            "Statistic must be one of SampleCount, Average, Sum, Minimum, Maximum",
        ));
    }
    let period = input.period.unwrap_or(60);
    if period == 0 || !period.is_multiple_of(60) {
        return Err(not_modelled("periods that are no multiple of 60 seconds"));
    }
    let periods = input.evaluation_periods;
    let datapoints = input.datapoints_to_alarm.unwrap_or(periods);
    if periods == 0 || datapoints == 0 || datapoints > periods {
        return Err(checked(
            "DatapointsToAlarm must be between 1 and EvaluationPeriods",
        ));
    }
    let compare = Compare::named(&input.comparison_operator);
    let missing = NoData::named(input.treat_missing_data.as_deref().unwrap_or("missing"));
    Ok(Watch {
        metric: metric(&input.namespace, &input.metric_name, input.dimensions),
        statistic,
        period: period * 1_000,
        periods,
        datapoints,
        threshold: input.threshold,
        compare: compare.ok_or_else(|| not_modelled("comparisons with a band"))?,
        missing: missing
            .ok_or_else(|| checked("TreatMissingData is missing, ignore, breaching or notBreaching"))?,
    })
}

/// The caller's environment that has an alarm.
fn with_alarm(call: &Call<'_>, name: &str) -> Option<u16> {
    let mut all = call.environments();
    all.find(|e| !name.is_empty() && e.alarms.iter().any(|a| a.name == name))
        .map(|e| e.index)
}

fn put_metric_alarm(call: &mut Call<'_>) -> Answer {
    let input: AlarmInput = call.input()?;
    let name = input.alarm_name.clone();
    if name.is_empty() {
        return Err(Refusal::client(
            "ValidationError",
            "AlarmName must have at least one character",
        ));
    }
    let watch = watch(input)?;
    let env = with_alarm(call, &name).or_else(|| call.place.environments.first().copied());
    let env =
        env.ok_or_else(|| not_modelled("accounts and regions that no environment of the world is in"))?;
    let world = &mut *call.world;
    world.environments[usize::from(env)].put_alarm(&mut world.kernel, &name, watch);
    call.changed();
    Ok(Document::map())
}

fn set_alarm_state(call: &mut Call<'_>) -> Answer {
    let input: AlarmInput = call.input()?;
    let state = match input.state_value.as_deref() {
        Some("OK") => AlarmState::Ok,
        Some("ALARM") => AlarmState::Alarm,
        Some("INSUFFICIENT_DATA") => AlarmState::InsufficientData,
        _ => {
            return Err(Refusal::client(
                "ValidationError",
                "StateValue is OK, ALARM or INSUFFICIENT_DATA",
            ));
        }
    };
    let missing = || {
        Refusal::new(
            404,
            "ResourceNotFound",
            format!("Alarm {} does not exist", input.alarm_name),
        )
    };
    let env = with_alarm(call, &input.alarm_name).ok_or_else(missing)?;
    let now = call.now();
    let alarms = &mut call.world.environments[usize::from(env)].alarms;
    if let Some(alarm) = alarms.iter_mut().find(|a| a.name == input.alarm_name) {
        alarm.set(now, state, &input.state_reason);
    }
    call.changed();
    Ok(Document::map())
}

/// A deleted alarm keeps its place and loses its name, as others are named by their places.
fn delete_alarms(call: &mut Call<'_>) -> Answer {
    let input: AlarmInput = call.input()?;
    for name in &input.alarm_names {
        let Some(env) = with_alarm(call, name) else {
            continue;
        };
        let alarms = &mut call.world.environments[usize::from(env)].alarms;
        if let Some(alarm) = alarms.iter_mut().find(|a| a.name == *name) {
            alarm.name.clear();
            alarm.rule = Rule::Script;
            alarm.watch = None;
        }
        call.changed();
    }
    Ok(Document::map())
}

/// The points of a metric in any of the caller's environments.
fn points(
    call: &Call<'_>,
    metric: &Metric,
    period: u64,
    range: (Timestamp, Timestamp),
) -> Vec<(Timestamp, Point)> {
    let mut all = call
        .environments()
        .map(|e| e.metrics.points(metric, period, range));
    all.find(|points| !points.is_empty()).unwrap_or_default()
}

fn range(input: &MetricInput) -> Result<(Timestamp, Timestamp), Refusal> {
    match (input.start_time, input.end_time) {
        (Some(from), Some(to)) if from.0 < to.0 => Ok((from.0, to.0)),
        (Some(_), Some(_)) => Err(invalid(
            "The parameter StartTime must be less than the parameter EndTime.",
        )),
        _ => Err(
            Refusal::client("MissingParameter", "StartTime and EndTime are required")
                .shape("MissingRequiredParameterException"),
        ),
    }
}

fn millis(period: u64) -> Result<u64, Refusal> {
    if period == 0 || !period.is_multiple_of(60) {
        return Err(invalid(
            "The parameter Period must be a multiple of 60 (periods below a minute are not modelled).",
        ));
    }
    Ok(period * 1_000)
}

fn get_metric_statistics(call: &mut Call<'_>) -> Answer {
    let input: MetricInput = call.input()?;
    let (range, period) = (range(&input)?, millis(input.period)?);
    if input.statistics.is_empty() {
        return Err(not_modelled("percentiles"));
    }
    let metric = metric(&input.namespace, &input.metric_name, input.dimensions);
    let mut found = Vec::new();
    for (at, point) in points(call, &metric, period, range) {
        let mut out = map! { "Timestamp": at };
        for name in &input.statistics {
            out.put(name, point.statistic(name));
        }
        out.put("Unit", unit(&metric));
        found.push(out);
    }
    Ok(map! { "Label": &metric.name, "Datapoints": Document::list(found) })
}

fn unit(metric: &Metric) -> &'static str {
    match metric.name.as_str() {
        "TargetResponseTime" => "Seconds",
        name if metric.namespace == "AWS/ApplicationELB" && name.ends_with("Count") => "Count",
        _ => "None",
    }
}

fn get_metric_data(call: &mut Call<'_>) -> Answer {
    let input: MetricInput = call.input()?;
    let range = range(&input)?;
    if input.metric_data_queries.is_empty() || input.metric_data_queries.len() > QUERIES {
        let text = format!("A call has 1 to {QUERIES} MetricDataQueries");
        return Err(Refusal::client("ValidationError", text));
    }
    let mut results = Vec::new();
    for query in input.metric_data_queries {
        let stat = query
            .metric_stat
            .ok_or_else(|| not_modelled("metric expressions"))?;
        if query.return_data == Some(false) {
            continue;
        }
        let period = millis(stat.period)?;
        let metric = metric(
            &stat.metric.namespace,
            &stat.metric.metric_name,
            stat.metric.dimensions,
        );
        if Point::of(0.0).statistic(&stat.stat).is_none() {
            return Err(not_modelled(&format!("the statistic {}", stat.stat)));
        }
        let found = points(call, &metric, period, range).into_iter();
        let mut found: Vec<(Timestamp, f64)> = found
            .filter_map(|(at, p)| Some((at, p.statistic(&stat.stat)?)))
            .collect();
        if input.scan_by.as_deref() != Some("TimestampAscending") {
            found.reverse();
        }
        results.push(map! {
            "Id": query.id,
            "Label": query.label.unwrap_or(metric.name),
            "Timestamps": Document::list(found.iter().map(|(at, _)| *at)),
            "Values": Document::list(found.iter().map(|(_, value)| *value)),
            "StatusCode": "Complete",
        });
    }
    Ok(map! { "MetricDataResults": results, "Messages": Document::list(Vec::<Document>::new()) })
}

fn list_metrics(call: &mut Call<'_>) -> Answer {
    let input: MetricInput = call.input()?;
    let wanted = |m: &&Metric| {
        (input.namespace.is_empty() || m.namespace == input.namespace)
            && (input.metric_name.is_empty() || m.name == input.metric_name)
            && input.dimensions.iter().all(|d| {
                m.dimensions
                    .iter()
                    .any(|(n, v)| *n == d.name && (d.value.is_empty() || *v == d.value))
            })
    };
    let mut all: Vec<&Metric> = call
        .environments()
        .flat_map(|e| e.metrics.known())
        .filter(wanted)
        .collect();
    all.sort();
    all.dedup();
    let all: Vec<Document> = all
        .into_iter()
        .map(|m| map! { "Namespace": &m.namespace, "MetricName": &m.name, "Dimensions": dimensions_out(m) })
        .collect();
    let token = input.next_token.as_deref().filter(|t| !t.is_empty());
    let (here, next) = page(&all, token, QUERIES).ok_or_else(|| invalid("Invalid NextToken"))?;
    Ok(map! { "Metrics": Document::list(here.iter().cloned()), "NextToken": next })
}

fn put_metric_data(call: &mut Call<'_>) -> Answer {
    let input: MetricInput = call.input()?;
    if input.namespace.starts_with("AWS/") {
        return Err(invalid("The value AWS/ for parameter Namespace is invalid."));
    }
    let env = call.place.environments.first().copied();
    let env =
        env.ok_or_else(|| not_modelled("accounts and regions that no environment of the world is in"))?;
    let now = call.now();
    for datum in input.metric_data {
        let metric = metric(&input.namespace, &datum.metric_name, datum.dimensions);
        let at = datum.timestamp.map_or(now, |m| m.0);
        let metrics = &mut call.world.environments[usize::from(env)].metrics;
        let counts = datum.counts.into_iter().chain(core::iter::repeat(1.0));
        for (value, count) in datum.value.into_iter().chain(datum.values).zip(counts) {
            let point = Point {
                sum: value * count,
                count,
                min: value,
                max: value,
            };
            metrics.add(&metric, at, point);
        }
    }
    call.changed();
    Ok(Document::map())
}
