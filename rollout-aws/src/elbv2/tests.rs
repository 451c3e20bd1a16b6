use rollout_core::probe::Subject;

use super::*;
use crate::fake::{Fake, Said, context, say};

const GROUP: &str = "arn:aws:elasticloadbalancing:us-east-1:111122223333:targetgroup/blue/1";

fn answer(operation: &str, inner: &str) -> Said {
    say(
        200,
        format!(
            "<{operation}Response xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\"><{operation}Result>{inner}\
             </{operation}Result></{operation}Response>"
        ),
    )
}

fn failed(status: u16, code: &str) -> Said {
    say(
        status,
        format!(
            "<ErrorResponse xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\"><Error><Type>Sender</Type>\
             <Code>{code}</Code><Message>the message</Message></Error><RequestId>r</RequestId></ErrorResponse>"
        ),
    )
}

/// Targets in these states: `unhealthy` may carry a reason after a colon.
fn health(states: &[&str]) -> Said {
    let members: String = (1..)
        .zip(states)
        .map(|(number, state)| {
            let (state, reason) = state.split_once(':').unwrap_or((state, ""));
            let reason = if reason.is_empty() {
                String::new()
            } else {
                format!("<Reason>{reason}</Reason><Description>because</Description>")
            };
            format!(
                "<member><Target><Id>10.0.0.{number}</Id><Port>8787</Port></Target>\
                 <TargetHealth><State>{state}</State>{reason}</TargetHealth></member>"
            )
        })
        .collect();
    answer(
        "DescribeTargetHealth",
        &format!("<TargetHealthDescriptions>{members}</TargetHealthDescriptions>"),
    )
}

fn request(at_least: u32) -> SampleRequest {
    SampleRequest {
        probe: "targets".parse().expect("a valid name"),
        target: ProbeTarget::TargetHealth {
            target_group: GROUP.to_owned(),
            at_least,
        },
        subject: Subject {
            service: None,
            images: BTreeMap::new(),
            changed_at: Timestamp::EPOCH,
        },
    }
}

async fn sample(said: Said, at_least: u32) -> Result<Sample, Error> {
    TargetHealthGate::from_config(&Fake::new([said]).config())
        .with_now(Arc::new(|| Timestamp::from_millis(7)))
        .sample(&context(), &request(at_least))
        .await
}

#[tokio::test]
async fn states_become_verdicts() {
    use Verdict::{Fail, Pass, Unknown};
    for (states, at_least, verdict) in [
        (&["healthy", "healthy"][..], 2, Pass),
        (&["healthy", "healthy", "initial"], 2, Pass),
        (&["healthy", "draining", "unused", "unhealthy.draining"], 1, Pass),
        (&["healthy", "unhealthy"], 1, Fail),
        (&["healthy", "initial"], 2, Unknown),
        (&["initial", "initial"], 1, Unknown),
        (&["unavailable"], 1, Unknown),
        (&["healthy", "initial"], 3, Fail),
        (&["healthy", "draining"], 2, Fail),
        (&["unused"], 1, Fail),
        (&["some-new-state"], 1, Fail),
        (&[], 1, Fail),
    ] {
        let sample = sample(health(states), at_least).await.expect("a sample");
        assert_eq!(sample.verdict, verdict, "{states:?}, at least {at_least}");
        assert_eq!((sample.at, sample.images), (Timestamp::from_millis(7), None));
    }
}

#[tokio::test]
async fn the_evidence_names_each_target_and_reason() {
    let sample = sample(
        health(&["healthy", "unhealthy:Target.FailedHealthChecks", "initial"]),
        2,
    )
    .await
    .expect("a sample");
    let lines: Vec<String> = sample
        .evidence
        .iter()
        .map(|e| format!("{}: {}", e.subject, e.detail))
        .collect();
    assert_eq!(
        lines,
        [
            format!("{GROUP}: 1 healthy, 1 initial, 1 unhealthy; at least 2 healthy asked for"),
            "target 10.0.0.2:8787: unhealthy: Target.FailedHealthChecks (because)".to_owned(),
            "target 10.0.0.3:8787: initial".to_owned(),
        ]
    );
    let many = self::sample(health(&["unhealthy"; 50]), 1)
        .await
        .expect("a sample");
    assert_eq!(many.evidence.len(), 1 + QUOTED);
}

#[tokio::test]
async fn errors_have_their_meaning() {
    for (said, kind) in [
        (failed(400, "TargetGroupNotFound"), ErrorKind::NotFound),
        (failed(403, "AccessDenied"), ErrorKind::PermissionDenied),
        (failed(400, "Throttling"), ErrorKind::Throttled),
        (failed(400, "ValidationError"), ErrorKind::InvalidRequest),
        (failed(501, "InternalFailure"), ErrorKind::Unsupported),
        (failed(500, "InternalFailure"), ErrorKind::Unavailable),
    ] {
        let error = sample(said, 1).await.expect_err("an error");
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.context.contains(GROUP), "{error}");
    }
    let mut other = request(1);
    other.target = ProbeTarget::Alarms { names: Vec::new() };
    let error = TargetHealthGate::from_config(&Fake::new([]).config())
        .sample(&context(), &other)
        .await
        .expect_err("not target health");
    assert_eq!(error.kind, ErrorKind::Unsupported);
}

const WEB: &str = "arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/app/web/50dc6c495c0c9188";

fn balancers(members: &[(&str, &str, &str)], next: Option<&str>) -> Said {
    let members: String = members
        .iter()
        .map(|(arn, name, kind)| {
            format!(
                "<member><LoadBalancerArn>{arn}</LoadBalancerArn><DNSName>{name}</DNSName><Type>{kind}</Type></member>"
            )
        })
        .collect();
    let next = next.map_or(String::new(), |next| format!("<NextMarker>{next}</NextMarker>"));
    answer(
        "DescribeLoadBalancers",
        &format!("<LoadBalancers>{members}</LoadBalancers>{next}"),
    )
}

fn web() -> Said {
    balancers(&[(WEB, "Web-1.us-east-1.elb.amazonaws.com", "application")], None)
}

/// A listener that redirects, and one that forwards by weight.
fn listeners() -> Said {
    answer(
        "DescribeListeners",
        "<Listeners>\
         <member><ListenerArn>arn:l80</ListenerArn><DefaultActions><member><Type>redirect</Type></member></DefaultActions></member>\
         <member><ListenerArn>arn:l443</ListenerArn><DefaultActions><member><Type>forward</Type><ForwardConfig><TargetGroups>\
         <member><TargetGroupArn>arn:blue</TargetGroupArn><Weight>100</Weight></member>\
         <member><TargetGroupArn>arn:green</TargetGroupArn><Weight>0</Weight></member>\
         </TargetGroups></ForwardConfig></member></DefaultActions></member>\
         </Listeners>",
    )
}

fn rules(group: Option<&str>) -> Said {
    let rules = group.map_or(String::new(), |group| {
        format!(
            "<member><Actions><member><Type>forward</Type><TargetGroupArn>{group}</TargetGroupArn></member></Actions></member>"
        )
    });
    answer("DescribeRules", &format!("<Rules>{rules}</Rules>"))
}

fn alias(target: &str) -> RecordData {
    RecordData::Alias {
        target: target.parse().expect("a valid name"),
        zone: "ZELB".parse().expect("a valid id"),
        evaluate_target_health: true,
    }
}

const WEB_NAME: &str = "dualstack.web-1.us-east-1.elb.amazonaws.com.";

#[tokio::test]
async fn a_record_is_healthy_when_a_group_with_weight_has_a_healthy_target() {
    let script = |blue: &[&str], rule: &[&str]| {
        Fake::new([
            web(),
            listeners(),
            rules(None),
            rules(Some("arn:rule")),
            health(blue),
            health(rule),
        ])
    };
    for (blue, rule, healthy) in [
        (&["unhealthy"][..], &["healthy"][..], true),
        (&["healthy"], &["unhealthy"], true),
        (&["unhealthy"], &["initial"], false),
        (&[], &[], false),
    ] {
        let fake = script(blue, rule);
        let check = LoadBalancers::from_config(&fake.config())
            .check(&context(), &alias(WEB_NAME))
            .await
            .expect("a check");
        assert_eq!(check.healthy, Some(healthy), "{check:?}");
        let asked: String = fake.sent().iter().map(|sent| sent.text() + "\n").collect();
        assert!(
            asked.contains("arn%3Ablue") && asked.contains("arn%3Arule"),
            "{asked}"
        );
        assert!(
            !asked.contains("arn%3Agreen"),
            "a group of weight 0 gets no requests"
        );
    }
}

#[tokio::test]
async fn load_balancers_are_found_on_any_page_and_remembered() {
    let fake = Fake::new([
        balancers(
            &[("arn:other", "other.elb.amazonaws.com", "network")],
            Some("page-2"),
        ),
        web(),
    ]);
    let balancers = LoadBalancers::from_config(&fake.config());
    let name: DomainName = WEB_NAME.parse().expect("a valid name");
    for _ in 0..2 {
        let found = balancers
            .find(&context(), &name)
            .await
            .expect("found")
            .expect("there");
        assert_eq!(found.arn, WEB);
        assert!(found.application);
    }
    let other = "other.elb.amazonaws.com".parse().expect("a valid name");
    let found = balancers
        .find(&context(), &other)
        .await
        .expect("found")
        .expect("there");
    assert!(!found.application);
    let sent = fake.sent();
    assert_eq!(sent.len(), 2);
    assert_eq!((sent[0].method.as_str(), sent[0].path.as_str()), ("POST", "/"));
    assert!(sent[1].text().contains("Marker=page-2"), "{:?}", sent[1]);
}

#[tokio::test]
async fn nobody_can_tell_of_addresses_and_of_names_elsewhere() {
    let addresses = RecordData::Values {
        ttl: 60,
        values: vec!["192.0.2.1".to_owned()],
    };
    let fake = Fake::new([]);
    let check = LoadBalancers::from_config(&fake.config())
        .check(&context(), &addresses)
        .await
        .expect("a check");
    assert_eq!(check.healthy, None);
    let fake = Fake::new([web()]);
    let check = LoadBalancers::from_config(&fake.config())
        .check(&context(), &alias("cdn.example.com"))
        .await
        .expect("a check");
    assert_eq!(check.healthy, None);
    assert!(check.evidence[0].detail.contains("no load balancer"), "{check:?}");
    // An endpoint that lacks the service.
    let fake = Fake::new([failed(501, "InternalFailure")]);
    let check = LoadBalancers::from_config(&fake.config())
        .check(&context(), &alias(WEB_NAME))
        .await
        .expect("a check");
    assert_eq!(check.healthy, None);
    // One that fails.
    let fake = Fake::new([failed(403, "AccessDenied")]);
    let error = LoadBalancers::from_config(&fake.config())
        .check(&context(), &alias(WEB_NAME))
        .await
        .expect_err("an error");
    assert_eq!(error.kind, ErrorKind::PermissionDenied);
}
