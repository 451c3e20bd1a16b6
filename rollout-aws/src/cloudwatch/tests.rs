use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_cloudwatch::error::ErrorMetadata;
use aws_sdk_cloudwatch::operation::describe_alarms::{DescribeAlarmsError, DescribeAlarmsOutput};
use aws_sdk_cloudwatch::operation::get_metric_statistics::GetMetricStatisticsOutput;
use aws_sdk_cloudwatch::types::Datapoint;
use aws_smithy_mocks::{MockResponseInterceptor, Rule, RuleMode, create_mock_http_client, mock};
use aws_types::region::Region;
use rollout_core::id::{DomainName, Generation};
use rollout_core::pace::Priority;
use rollout_core::probe::Subject;

use super::*;

const NOW: u64 = 1_763_683_230_500; // 2025-11-21T00:00:30.5Z

fn now() -> Now {
    Arc::new(|| Timestamp::from_millis(NOW))
}

fn context() -> OpContext {
    OpContext {
        run: "r-1".parse().expect("a valid id"),
        step: "gate/alarms".parse().expect("a valid id"),
        attempt: 1,
        generation: Generation(1),
        deadline: Timestamp::MAX,
        priority: Priority::Look,
    }
}

fn metric(name: &str, state: StateValue) -> MetricAlarm {
    MetricAlarm::builder()
        .alarm_name(name)
        .state_value(state)
        .state_reason("Threshold Crossed")
        .state_updated_timestamp(DateTime::from_millis(1_763_683_200_000))
        .build()
}

fn composite(name: &str, state: StateValue) -> CompositeAlarm {
    CompositeAlarm::builder()
        .alarm_name(name)
        .state_value(state)
        .build()
}

fn page(
    metric: Vec<MetricAlarm>,
    composite: Vec<CompositeAlarm>,
    next: Option<&str>,
) -> DescribeAlarmsOutput {
    DescribeAlarmsOutput::builder()
        .set_metric_alarms(Some(metric))
        .set_composite_alarms(Some(composite))
        .set_next_token(next.map(str::to_owned))
        .build()
}

/// The crate's `mock_client!` wants the SDK crate's `test-util` feature; without it the client is put together here.
fn client(rules: &[&Rule]) -> Client {
    let mut answers = MockResponseInterceptor::new().rule_mode(RuleMode::Sequential);
    for rule in rules {
        answers = answers.with_rule(rule);
    }
    let credentials = Credentials::new("id", "secret", None, None, "test");
    let config = SdkConfig::builder()
        .region(Region::from_static("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(create_mock_http_client())
        .build();
    let config = aws_sdk_cloudwatch::config::Builder::from(&config::prepare(&config))
        .interceptor(answers)
        .build();
    Client::from_conf(config)
}

async fn sample(client: Client, names: &[&str]) -> Result<Sample, Error> {
    let request = SampleRequest {
        probe: "alarms".parse().expect("a valid name"),
        target: ProbeTarget::Alarms {
            names: names.iter().map(|&n| n.to_owned()).collect(),
        },
        subject: Subject {
            service: None,
            images: BTreeMap::new(),
            changed_at: Timestamp::EPOCH,
        },
    };
    AlarmGate::with_client(client)
        .with_now(now())
        .sample(&context(), &request)
        .await
}

fn lines(sample: &Sample) -> Vec<String> {
    sample
        .evidence
        .iter()
        .map(|e| format!("{}: {}", e.subject, e.detail))
        .collect()
}

#[tokio::test]
async fn all_ok_passes_as_of_now() {
    let rule = mock!(Client::describe_alarms)
        .match_requests(|request| {
            // Sorted, each once, and composite alarms too.
            request.alarm_names() == ["errors", "latency"]
                && request.alarm_types() == [AlarmType::MetricAlarm, AlarmType::CompositeAlarm]
        })
        .then_output(|| {
            page(
                vec![metric("errors", StateValue::Ok)],
                vec![composite("latency", StateValue::Ok)],
                None,
            )
        });
    let sample = sample(client(&[&rule]), &["latency", "errors", "latency"])
        .await
        .expect("a sample");
    assert_eq!(sample.verdict, Verdict::Pass);
    assert_eq!(
        sample.at,
        Timestamp::from_millis(NOW),
        "not when the state last changed"
    );
    assert_eq!(lines(&sample), ["alarms errors, latency: OK"]);
}

#[tokio::test]
async fn one_alarm_fails_whatever_the_others_say() {
    let rule = mock!(Client::describe_alarms).then_output(|| {
        page(
            vec![
                metric("errors", StateValue::Alarm),
                metric("load", StateValue::InsufficientData),
            ],
            vec![composite("latency", StateValue::Ok)],
            None,
        )
    });
    let sample = sample(client(&[&rule]), &["errors", "gone", "latency", "load"])
        .await
        .expect("a sample");
    assert_eq!(sample.verdict, Verdict::Fail);
    assert_eq!(
        lines(&sample),
        [
            "alarm errors: ALARM since 2025-11-21T00:00:00.000Z: Threshold Crossed",
            "alarm gone: no such alarm",
            "alarm load: INSUFFICIENT_DATA since 2025-11-21T00:00:00.000Z: Threshold Crossed",
        ]
    );
}

#[tokio::test]
async fn what_tells_nothing_is_unknown() {
    let without_state = MetricAlarm::builder().alarm_name("a").build();
    let mut not_evaluated = metric("a", StateValue::Ok);
    not_evaluated.evaluation_state = Some(EvaluationState::EvaluationFailure);
    for alarm in [
        Some(metric("a", StateValue::InsufficientData)),
        Some(metric("a", StateValue::from("SOMETHING_NEW"))),
        Some(without_state),
        Some(not_evaluated),
        None,
    ] {
        let expected = alarm.clone();
        let rule = mock!(Client::describe_alarms)
            .then_output(move || page(alarm.clone().into_iter().collect(), Vec::new(), None));
        let sample = sample(client(&[&rule]), &["a"]).await.expect("a sample");
        assert_eq!(sample.verdict, Verdict::Unknown, "{expected:?}");
        assert_eq!(sample.evidence[0].subject, "alarm a");
    }
    let mut partial = metric("a", StateValue::Ok);
    partial.evaluation_state = Some(EvaluationState::PartialData);
    let rule =
        mock!(Client::describe_alarms).then_output(move || page(vec![partial.clone()], Vec::new(), None));
    assert_eq!(
        sample(client(&[&rule]), &["a"]).await.expect("a sample").verdict,
        Verdict::Pass
    );
}

#[tokio::test]
async fn a_hundred_alarms_a_call_and_every_page_of_them() {
    let name = |number: usize| format!("alarm-{number:03}");
    let first = mock!(Client::describe_alarms)
        .match_requests(|r| r.alarm_names().len() == 100 && r.next_token().is_none())
        .then_output(move || {
            let alarms = (0..60).map(|n| metric(&name(n), StateValue::Ok)).collect();
            page(alarms, Vec::new(), Some("more"))
        });
    let second = mock!(Client::describe_alarms)
        .match_requests(|r| r.alarm_names().len() == 100 && r.next_token() == Some("more"))
        .then_output(move || {
            let alarms = (60..100).map(|n| metric(&name(n), StateValue::Ok)).collect();
            page(alarms, Vec::new(), None)
        });
    let third = mock!(Client::describe_alarms)
        .match_requests(|r| r.alarm_names() == ["alarm-100"])
        .then_output(move || page(vec![metric(&name(100), StateValue::Alarm)], Vec::new(), None));
    let names: Vec<String> = (0..=100).map(name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let sample = sample(client(&[&first, &second, &third]), &names)
        .await
        .expect("a sample");
    assert_eq!(sample.verdict, Verdict::Fail);
    assert_eq!(sample.evidence.len(), 1);
    let calls = [first.num_calls(), second.num_calls(), third.num_calls()];
    assert_eq!(calls, [1, 1, 1]);
}

#[tokio::test]
async fn errors_and_requests_that_ask_nothing() {
    let error = sample(client(&[]), &[]).await.expect_err("no alarm");
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    for (code, kind) in [
        ("AccessDenied", ErrorKind::PermissionDenied),
        ("Throttling", ErrorKind::Throttled),
        ("ValidationError", ErrorKind::InvalidRequest),
    ] {
        let rule = mock!(Client::describe_alarms)
            .then_error(move || DescribeAlarmsError::generic(ErrorMetadata::builder().code(code).build()));
        let error = sample(client(&[&rule]), &["a"]).await.expect_err(code);
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.context.contains("alarms a"), "{error}");
    }
}

/// Knows one application and one network load balancer.
struct Names;

#[async_trait]
impl LoadBalancerNames for Names {
    async fn find(&self, _ctx: &OpContext, name: &DomainName) -> Result<Option<LoadBalancer>, Error> {
        let known = |kind: &str, application| {
            Some(LoadBalancer {
                arn: format!(
                    "arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/{kind}/web/50dc6c495c0c9188"
                ),
                application,
            })
        };
        Ok(match name.as_str() {
            "app.elb.amazonaws.com" => known("app", true),
            "net.elb.amazonaws.com" => known("net", false),
            _ => None,
        })
    }
}

fn cname(targets: &[&str]) -> RecordData {
    RecordData::Values {
        ttl: 60,
        values: targets.iter().map(|&t| t.to_owned()).collect(),
    }
}

async fn requests(client: Client, data: &RecordData) -> OldTraffic {
    LoadBalancerRequests::with_client(client, Arc::new(Names))
        .with_now(now())
        .last_minute(&context(), data)
        .await
        .expect("an answer")
}

fn statistics(sums: &'static [f64]) -> Rule {
    mock!(Client::get_metric_statistics)
        .match_requests(|r| {
            let dimension = r.dimensions().first().and_then(|d| d.value());
            // The minute that ended at 23:58: at 00:00:30 the two after it may still grow.
            r.namespace() == Some("AWS/ApplicationELB")
                && r.metric_name() == Some("RequestCount")
                && dimension == Some("app/web/50dc6c495c0c9188")
                && r.start_time() == Some(&DateTime::from_secs(1_763_683_200 - 180))
                && r.end_time() == Some(&DateTime::from_secs(1_763_683_200 - 120))
                && r.period() == Some(60)
        })
        .then_output(move || {
            let points = sums.iter().map(|&sum| Datapoint::builder().sum(sum).build());
            GetMetricStatisticsOutput::builder()
                .set_datapoints(Some(points.collect()))
                .build()
        })
}

#[tokio::test]
async fn requests_of_the_last_settled_minute_are_counted() {
    let data = cname(&["app.elb.amazonaws.com"]);
    for (sums, count) in [
        (&[12.0][..], Some(12)),
        (&[0.2], Some(1)),
        (&[0.0], Some(0)),
        (&[], None),
    ] {
        let traffic = requests(client(&[&statistics(sums)]), &data).await;
        assert_eq!(traffic.requests_per_minute, count);
        assert_eq!(traffic.at, Timestamp::from_millis((1_763_683_200 - 120) * 1000));
    }
}

#[tokio::test]
async fn what_cannot_be_counted_is_not_zero() {
    for data in [
        cname(&["net.elb.amazonaws.com"]),
        cname(&["elsewhere.example.com"]),
        cname(&["192.0.2.1"]),
    ] {
        let traffic = requests(client(&[]), &data).await;
        assert_eq!(traffic.requests_per_minute, None, "{data:?}");
    }
    let rule = statistics(&[5.0]);
    let data = cname(&["app.elb.amazonaws.com", "net.elb.amazonaws.com"]);
    let traffic = requests(client(&[&rule]), &data).await;
    assert_eq!(traffic.requests_per_minute, None, "one of two is not the sum");
}
