//! Elastic Load Balancing on the wire.

use core::time::Duration;

use bytes::Bytes;
use http::Response;

use super::{form, text};
use crate::clock::SimCloud;
use crate::endpoint::Endpoint;
use crate::world::World;

fn endpoint() -> Endpoint {
    let world = World::builder(7)
        .environment("prod", |e| {
            e.account("444455556666")
                .image("app/api", "1")
                .service("api", |s| {
                    s.container("api", "app/api", "1").desired(1).load_balanced(8080)
                })
                .target_group("green", 8080)
                .balancer("main", |b| {
                    b.forward("/api/", &[("api", 100), ("green", 0)]).machines(1, 1)
                })
        })
        .build()
        .expect("a world");
    Endpoint::new(SimCloud::new(world))
}

fn call(endpoint: &Endpoint, action: &str, rest: &str) -> Response<Bytes> {
    let body = format!("Action={action}&Version=2015-12-01&{rest}");
    endpoint.answer(&form("elasticloadbalancing", &body))
}

/// The result of an action that succeeds, without its frame.
fn result(endpoint: &Endpoint, action: &str, rest: &str) -> String {
    let answer = call(endpoint, action, rest);
    let body = text(&answer);
    assert_eq!(answer.status(), 200, "{body}");
    let (_, inner) = body.split_once(&format!("<{action}Result>")).expect("a result");
    let (inner, _) = inner.split_once(&format!("</{action}Result>")).expect("a result");
    inner.to_owned()
}

/// The code and message of one that is refused.
fn refused(endpoint: &Endpoint, action: &str, rest: &str) -> (String, String) {
    let body = text(&call(endpoint, action, rest));
    let between = |tag: &str| {
        let (_, rest) = body.split_once(&format!("<{tag}>")).expect("a refusal");
        let (inner, _) = rest.split_once(&format!("</{tag}>")).expect("a refusal");
        inner.replace("&apos;", "'")
    };
    (between("Code"), between("Message"))
}

/// What is between two marks.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split_once(after).expect("it ends").0
}

const GROUP: &str = "arn:aws:elasticloadbalancing:eu-central-1:444455556666:targetgroup/prod";

#[test]
fn rules_have_their_weights_and_take_others() {
    let endpoint = endpoint();
    let balancers = result(&endpoint, "DescribeLoadBalancers", "");
    let balancer = between(&balancers, "<LoadBalancerArn>", "</LoadBalancerArn>").to_owned();
    assert!(balancers.contains("<DNSName>main-"), "{balancers}");
    assert!(
        balancers.contains("<State><Code>active</Code></State><Type>application</Type>"),
        "{balancers}"
    );
    let listeners = result(
        &endpoint,
        "DescribeListeners",
        &format!("LoadBalancerArn={balancer}"),
    );
    let listener = between(&listeners, "<ListenerArn>", "</ListenerArn>").to_owned();
    let rules = result(&endpoint, "DescribeRules", &format!("ListenerArn={listener}"));
    let rule = between(&rules, "<RuleArn>", "</RuleArn>").to_owned();
    let first = |weights: (u32, u32), groups: (&str, &str), sticky: &str| {
        format!(
            "<Rules><member><RuleArn>{rule}</RuleArn><Priority>10</Priority><Conditions><member><Field>path-pattern</Field>\
             <Values><member>/api/*</member></Values><PathPatternConfig><Values><member>/api/*</member></Values>\
             </PathPatternConfig></member></Conditions><Actions><member><Type>forward</Type><ForwardConfig><TargetGroups>\
             <member><TargetGroupArn>{}</TargetGroupArn><Weight>{}</Weight></member>\
             <member><TargetGroupArn>{}</TargetGroupArn><Weight>{}</Weight></member></TargetGroups>\
             <TargetGroupStickinessConfig>{sticky}</TargetGroupStickinessConfig></ForwardConfig></member></Actions>\
             <IsDefault>false</IsDefault></member>",
            groups.0, weights.0, groups.1, weights.1
        )
    };
    let groups = result(
        &endpoint,
        "DescribeTargetGroups",
        "Names.member.1=prod-api&Names.member.2=prod-green",
    );
    let arns: Vec<String> = groups
        .split("<TargetGroupArn>")
        .skip(1)
        .map(|part| part.split_once('<').expect("it ends").0.to_owned())
        .collect();
    let [blue, green] = arns.as_slice() else {
        panic!("{arns:?}")
    };
    assert!(blue.starts_with(GROUP) && green.starts_with(GROUP));
    let off = "<Enabled>false</Enabled>";
    assert!(rules.starts_with(&first((100, 0), (blue, green), off)), "{rules}");
    let tuples = "Actions.member.1.ForwardConfig.TargetGroups.member";
    let body = format!(
        "RuleArn={rule}&Actions.member.1.Type=forward&{tuples}.1.TargetGroupArn={blue}&{tuples}.1.Weight=90&\
         {tuples}.2.TargetGroupArn={green}&{tuples}.2.Weight=10"
    );
    let modified = result(&endpoint, "ModifyRule", &body);
    assert_eq!(modified, first((90, 10), (blue, green), off) + "</Rules>");
    let seen = endpoint
        .cloud()
        .with(|w| w.weights("prod", &rule))
        .expect("the rule is there");
    assert_eq!(seen, [(blue.clone(), 90), (green.clone(), 10)]);
    let heavy = body.replace("Weight=90", "Weight=1000");
    let (code, message) = refused(&endpoint, "ModifyRule", &heavy);
    assert_eq!(
        (code.as_str(), message.contains("'1000'")),
        ("ValidationError", true),
        "{message}"
    );
    assert_eq!(
        refused(
            &endpoint,
            "ModifyRule",
            "RuleArn=none&Actions.member.1.Type=forward"
        )
        .0,
        "RuleNotFound"
    );
    let calls = endpoint.calls();
    assert_eq!(calls.iter().filter(|c| c.changed).count(), 1, "{calls:?}");
}

#[test]
fn target_health_has_reasons() {
    let endpoint = endpoint();
    let groups = result(&endpoint, "DescribeTargetGroups", "Names.member.1=prod-main");
    let group = between(&groups, "<TargetGroupArn>", "</TargetGroupArn>").to_owned();
    let health = result(
        &endpoint,
        "DescribeTargetHealth",
        &format!("TargetGroupArn={group}"),
    );
    let ids: Vec<&str> = health
        .split("<Id>")
        .skip(1)
        .map(|p| p.split_once('<').expect("it ends").0)
        .collect();
    let target = |id: &str, health: &str| {
        format!(
            "<member><Target><Id>{id}</Id><Port>80</Port></Target><HealthCheckPort>80</HealthCheckPort>\
             <TargetHealth>{health}</TargetHealth></member>"
        )
    };
    let wanted = format!(
        "<TargetHealthDescriptions>{}{}</TargetHealthDescriptions>",
        target(ids[0], "<State>healthy</State>"),
        target(
            ids[1],
            "<State>unhealthy</State><Reason>Target.FailedHealthChecks</Reason><Description>Health checks failed</Description>"
        )
    );
    assert_eq!(health, wanted);
    let unknown = format!("TargetGroupArn={group}&Targets.member.1.Id=i-0&Targets.member.1.Port=80");
    let health = result(&endpoint, "DescribeTargetHealth", &unknown);
    assert!(
        health.contains("<State>unused</State><Reason>Target.NotRegistered</Reason>"),
        "{health}"
    );
    assert_eq!(
        refused(&endpoint, "DescribeTargetHealth", "TargetGroupArn=none"),
        (
            "TargetGroupNotFound".to_owned(),
            "One or more target groups not found".to_owned()
        )
    );
}

#[test]
fn a_group_is_made_filled_drained_and_deleted() {
    let endpoint = endpoint();
    let made = result(
        &endpoint,
        "CreateTargetGroup",
        "Name=extra&Protocol=HTTP&Port=80&VpcId=vpc-1&TargetType=ip&Matcher.HttpCode=200-299",
    );
    let group = between(&made, "<TargetGroupArn>", "</TargetGroupArn>").to_owned();
    assert!(
        made.contains("<HealthCheckIntervalSeconds>30</HealthCheckIntervalSeconds>"),
        "{made}"
    );
    assert!(
        made.contains("<Matcher><HttpCode>200-299</HttpCode></Matcher>"),
        "{made}"
    );
    let twice = refused(
        &endpoint,
        "CreateTargetGroup",
        "Name=extra&Protocol=HTTP&Port=80&VpcId=vpc-1",
    );
    assert_eq!(twice.0, "DuplicateTargetGroupName");
    let targets = format!("TargetGroupArn={group}&Targets.member.1.Id=10.1.0.1&Targets.member.2.Id=10.1.0.2");
    assert_eq!(result(&endpoint, "RegisterTargets", &targets), "");
    let unused = result(
        &endpoint,
        "DescribeTargetHealth",
        &format!("TargetGroupArn={group}"),
    );
    assert_eq!(
        unused.matches("<Reason>Target.NotInUse</Reason>").count(),
        2,
        "{unused}"
    );
    let listeners = result(
        &endpoint,
        "DescribeListeners",
        &format!(
            "LoadBalancerArn={}",
            between(
                &result(&endpoint, "DescribeLoadBalancers", ""),
                "<LoadBalancerArn>",
                "</LoadBalancerArn>"
            )
        ),
    );
    let listener = between(&listeners, "<ListenerArn>", "</ListenerArn>");
    let rule = format!(
        "ListenerArn={listener}&Priority=5&Conditions.member.1.Field=host-header&Conditions.member.1.Values.member.1=x.org&\
         Actions.member.1.Type=forward&Actions.member.1.TargetGroupArn={group}"
    );
    let made = result(&endpoint, "CreateRule", &rule);
    let made = between(&made, "<RuleArn>", "</RuleArn>").to_owned();
    assert_eq!(
        refused(&endpoint, "CreateRule", &rule),
        (
            "PriorityInUse".to_owned(),
            "Priority '5' is currently in use".to_owned()
        )
    );
    endpoint.cloud().with(|w| w.pass(Duration::from_secs(60)));
    let health = result(
        &endpoint,
        "DescribeTargetHealth",
        &format!("TargetGroupArn={group}"),
    );
    assert_eq!(health.matches("<State>healthy</State>").count(), 2, "{health}");
    let delay = format!(
        "TargetGroupArn={group}&Attributes.member.1.Key=deregistration_delay.timeout_seconds&Attributes.member.1.Value=20"
    );
    assert!(result(&endpoint, "ModifyTargetGroupAttributes", &delay).contains("<Value>20</Value>"));
    let one = format!("TargetGroupArn={group}&Targets.member.1.Id=10.1.0.1");
    assert_eq!(result(&endpoint, "DeregisterTargets", &one), "");
    let health = result(
        &endpoint,
        "DescribeTargetHealth",
        &format!("TargetGroupArn={group}"),
    );
    assert!(
        health.contains("<Reason>Target.DeregistrationInProgress</Reason>"),
        "{health}"
    );
    endpoint.cloud().with(|w| w.pass(Duration::from_secs(20)));
    let health = result(
        &endpoint,
        "DescribeTargetHealth",
        &format!("TargetGroupArn={group}"),
    );
    assert!(!health.contains("10.1.0.1"), "{health}");
    assert_eq!(
        refused(&endpoint, "DeleteTargetGroup", &format!("TargetGroupArn={group}")).0,
        "ResourceInUse"
    );
    assert_eq!(result(&endpoint, "DeleteRule", &format!("RuleArn={made}")), "");
    assert_eq!(
        result(&endpoint, "DeleteTargetGroup", &format!("TargetGroupArn={group}")),
        ""
    );
}

#[test]
fn lists_come_in_pages() {
    let endpoint = endpoint();
    let mut names = Vec::new();
    let mut marker = String::new();
    loop {
        let page = result(
            &endpoint,
            "DescribeTargetGroups",
            &format!("PageSize=2&Marker={marker}"),
        );
        names.extend(
            page.split("<TargetGroupName>")
                .skip(1)
                .map(|p| p.split_once('<').expect("it ends").0.to_owned()),
        );
        match page.split_once("<NextMarker>") {
            Some((_, rest)) => marker = rest.split_once('<').expect("it ends").0.to_owned(),
            None => break,
        }
    }
    assert_eq!(names, ["prod-api", "prod-green", "prod-main"]);
    assert_eq!(
        refused(&endpoint, "DescribeTargetGroups", "Marker=nonsense").0,
        "ValidationError"
    );
}
