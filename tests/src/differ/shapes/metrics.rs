//! CloudWatch: an alarm and a metric.

use aws_sdk_cloudwatch::types::{
    ComparisonOperator, Dimension, Metric, MetricDataQuery, MetricDatum, MetricStat, StandardUnit,
    StateValue, Statistic,
};

use super::{Facts, Stage, refused, told};

pub(super) async fn play(stage: &Stage, facts: &mut Facts) {
    let client = &stage.cloudwatch;
    let sent = client
        .put_metric_alarm()
        .alarm_name("shapes")
        .namespace("Shapes")
        .metric_name("Errors")
        .statistic(Statistic::Sum)
        .period(60)
        .evaluation_periods(1)
        .threshold(5.0)
        .comparison_operator(ComparisonOperator::GreaterThanThreshold)
        .treat_missing_data("notBreaching")
        .send()
        .await;
    told(facts, "CloudWatch PutMetricAlarm", &sent);
    let set = |name: &str| {
        let call = client.set_alarm_state().alarm_name(name);
        call.state_value(StateValue::Alarm).state_reason("by hand").send()
    };
    told(facts, "CloudWatch SetAlarmState", &set("shapes").await);
    refused(
        facts,
        "CloudWatch SetAlarmState",
        "an unknown alarm",
        &set("nobody").await,
    );
    let sent = client.describe_alarms().alarm_names("shapes").send().await;
    told(facts, "CloudWatch DescribeAlarms", &sent);
    let sent = client.describe_alarms().alarm_names("nobody").send().await;
    let found = sent.as_ref().map_or(0, |sent| sent.metric_alarms().len());
    facts.words(
        "CloudWatch DescribeAlarms",
        "alarms of an unknown name",
        found.to_string(),
    );
    let service = Dimension::builder().name("Service").value("api").build();
    let datum = MetricDatum::builder()
        .metric_name("Errors")
        .dimensions(service.clone())
        .value(3.0)
        .unit(StandardUnit::Count)
        .build();
    let sent = client
        .put_metric_data()
        .namespace("Shapes")
        .metric_data(datum)
        .send()
        .await;
    told(facts, "CloudWatch PutMetricData", &sent);
    let metric = Metric::builder()
        .namespace("Shapes")
        .metric_name("Errors")
        .dimensions(service)
        .build();
    let stat = MetricStat::builder()
        .metric(metric)
        .period(60)
        .stat("Sum")
        .build();
    let query = MetricDataQuery::builder().id("errors").metric_stat(stat).build();
    let now = stage.now();
    let sent = client
        .get_metric_data()
        .metric_data_queries(query)
        .start_time(aws_sdk_cloudwatch::primitives::DateTime::from_secs(now - 600))
        .end_time(aws_sdk_cloudwatch::primitives::DateTime::from_secs(now + 60))
        .send()
        .await;
    told(facts, "CloudWatch GetMetricData", &sent);
    let sent = client.delete_alarms().alarm_names("nobody").send().await;
    refused(facts, "CloudWatch DeleteAlarms", "an unknown alarm", &sent);
}
