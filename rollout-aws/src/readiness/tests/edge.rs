use rollout_core::readiness::fact::edge::{Action, BalancerAttributes, WafStatement};
use serde_json::{Value, json};

use super::fake::Fake;
use super::*;

pub(super) const GROUP: &str =
    "arn:aws:elasticloadbalancing:eu-central-1:222222222222:targetgroup/storefront-backend/6d0ecf831eec9f09";
const LISTENER: &str = "arn:aws:elasticloadbalancing:eu-central-1:222222222222:listener/app/storefront/50dc6c495c0c9188/f2f7dc8efc522ab2";

fn rules() -> String {
    format!(
        "<Rules>
          <member><Priority>default</Priority><Actions><member><Type>forward</Type><TargetGroupArn>{GROUP}</TargetGroupArn></member></Actions></member>
          <member><Priority>20</Priority><Conditions><member><Field>http-header</Field></member></Conditions>
            <Actions><member><Type>fixed-response</Type><FixedResponseConfig><StatusCode>503</StatusCode></FixedResponseConfig></member></Actions></member>
          <member><Priority>10</Priority><Conditions>
              <member><Field>path-pattern</Field><Values><member>/api/*</member></Values>
                <PathPatternConfig><Values><member>/api/*</member></Values></PathPatternConfig></member>
              <member><Field>host-header</Field><Values><member>shop.example.com</member></Values></member></Conditions>
            <Actions><member><Type>forward</Type><Order>2</Order><ForwardConfig><TargetGroups>
              <member><TargetGroupArn>{GROUP}</TargetGroupArn><Weight>3</Weight></member></TargetGroups></ForwardConfig></member>
              <member><Type>authenticate-oidc</Type><Order>1</Order></member></Actions></member>
        </Rules>"
    )
}

fn acl() -> Value {
    let managed = |name: &str, more: Value| {
        let mut group = json!({"VendorName": "AWS", "Name": name});
        if let (Some(all), Value::Object(more)) = (group.as_object_mut(), more) {
            all.extend(more);
        }
        json!({"ManagedRuleGroupStatement": group})
    };
    let starts = json!({"ByteMatchStatement": {"SearchString": "L2FwaS8=", "FieldToMatch": {"UriPath": {}},
        "TextTransformations": [{"Priority": 0, "Type": "NONE"}], "PositionalConstraint": "STARTS_WITH"}});
    let rate = |scope: Value, window: Option<u32>| {
        let mut rate = json!({"Limit": 2000, "AggregateKeyType": "IP"});
        if let Some(all) = rate.as_object_mut() {
            if !scope.is_null() {
                all.insert("ScopeDownStatement".to_owned(), scope);
            }
            if let Some(window) = window {
                all.insert("EvaluationWindowSec".to_owned(), json!(window));
            }
        }
        json!({"RateBasedStatement": rate})
    };
    let rule = |name: &str, statement: Value, how: Value| {
        let mut rule = json!({"Name": name, "Priority": 1, "Statement": statement,
            "VisibilityConfig": {"SampledRequestsEnabled": true, "CloudWatchMetricsEnabled": true, "MetricName": "m"}});
        if let (Some(all), Value::Object(how)) = (rule.as_object_mut(), how) {
            all.extend(how);
        }
        rule
    };
    let none = json!({"OverrideAction": {"None": {}}});
    json!({"WebACL": {"Name": "storefront", "Id": "1", "ARN": "arn:aws:wafv2:eu-central-1:222222222222:regional/webacl/storefront/1",
    "DefaultAction": {"Allow": {}}, "VisibilityConfig": {"SampledRequestsEnabled": true, "CloudWatchMetricsEnabled": true, "MetricName": "m"},
    "Rules": [
        rule("common", managed("Common", json!({"RuleActionOverrides": [{"Name": "SizeRestrictions_BODY", "ActionToUse": {"Count": {}}}]})), none.clone()),
        rule("sqli", managed("SQLi", json!({})), json!({"OverrideAction": {"Count": {}}})),
        rule("narrow", managed("Narrow", json!({"ScopeDownStatement": starts})), none),
        rule("rate", rate(Value::Null, None), json!({"Action": {"Block": {}}})),
        rule("api", rate(starts, Some(60)), json!({"Action": {"Count": {}}})),
        rule("geo", rate(json!({"GeoMatchStatement": {"CountryCodes": ["DE"]}}), None), json!({"Action": {"Block": {}}})),
    ]}})
}

pub(super) fn shop(fake: Fake) -> Fake {
    fake.xml(
        "DescribeTargetGroups",
        &format!(
            "<TargetGroups><member><TargetGroupArn>{GROUP}</TargetGroupArn><TargetGroupName>storefront-backend</TargetGroupName>
              <Protocol>HTTP</Protocol><Port>8787</Port><HealthCheckProtocol>HTTP</HealthCheckProtocol><HealthCheckPort>traffic-port</HealthCheckPort>
              <HealthCheckPath>/health/ready</HealthCheckPath><HealthCheckIntervalSeconds>10</HealthCheckIntervalSeconds>
              <HealthCheckTimeoutSeconds>5</HealthCheckTimeoutSeconds><HealthyThresholdCount>2</HealthyThresholdCount>
              <UnhealthyThresholdCount>3</UnhealthyThresholdCount>
              <LoadBalancerArns><member>{}</member></LoadBalancerArns></member></TargetGroups>",
            example::BALANCER
        ),
    )
    .xml(
        "DescribeTargetGroupAttributes",
        "<Attributes><member><Key>deregistration_delay.timeout_seconds</Key><Value>30</Value></member></Attributes>",
    )
    .xml(
        "DescribeTargetHealth",
        "<TargetHealthDescriptions><member><Target><Id>10.0.0.4</Id></Target><TargetHealth><State>draining</State></TargetHealth></member></TargetHealthDescriptions>",
    )
    .xml(
        "DescribeLoadBalancers",
        &format!(
            "<LoadBalancers><member><LoadBalancerArn>{}</LoadBalancerArn><LoadBalancerName>storefront</LoadBalancerName>
              <DNSName>storefront-1.elb.amazonaws.com</DNSName><Scheme>internet-facing</Scheme><Type>application</Type>
              <AvailabilityZones><member><ZoneName>eu-central-1a</ZoneName></member></AvailabilityZones>
              <SecurityGroups><member>sg-1</member></SecurityGroups></member></LoadBalancers>",
            example::BALANCER
        ),
    )
    .xml(
        "DescribeLoadBalancerAttributes",
        "<Attributes><member><Key>access_logs.s3.enabled</Key><Value>true</Value></member>
          <member><Key>access_logs.s3.bucket</Key><Value>logs</Value></member>
          <member><Key>deletion_protection.enabled</Key><Value>false</Value></member></Attributes>",
    )
    .xml(
        "DescribeListeners",
        &format!(
            "<Listeners>
              <member><ListenerArn>{LISTENER}</ListenerArn><Port>443</Port><Protocol>HTTPS</Protocol>
                <SslPolicy>ELBSecurityPolicy-TLS13-1-2-2021-06</SslPolicy>
                <DefaultActions><member><Type>forward</Type><TargetGroupArn>{GROUP}</TargetGroupArn></member></DefaultActions></member>
              <member><ListenerArn>{LISTENER}0</ListenerArn><Port>80</Port><Protocol>HTTP</Protocol>
                <DefaultActions><member><Type>redirect</Type><RedirectConfig><StatusCode>HTTP_301</StatusCode><Protocol>HTTPS</Protocol>
                  <Port>443</Port></RedirectConfig></member></DefaultActions></member></Listeners>"
        ),
    )
    .xml(
        "DescribeListenerCertificates",
        &format!(
            "<Certificates><member><CertificateArn>arn:aws:acm:eu-central-1:222222222222:certificate/other</CertificateArn><IsDefault>false</IsDefault></member>
              <member><CertificateArn>{}</CertificateArn><IsDefault>true</IsDefault></member></Certificates>",
            example::CERTIFICATE
        ),
    )
    .xml("DescribeRules", &rules())
    .json("GetWebACLForResource", acl())
    .json("GetLoggingConfiguration", json!({"LoggingConfiguration": {"ResourceArn": "x", "LogDestinationConfigs": []}}))
    .json("DescribeCertificate", json!({"Certificate": {
        "CertificateArn": example::CERTIFICATE, "DomainName": "shop.example.com", "SubjectAlternativeNames": ["shop.example.com", "www.example.com"],
        "Status": "ISSUED", "Type": "AMAZON_ISSUED", "NotAfter": 1_800_000_000, "RenewalSummary": {
            "RenewalStatus": "PENDING_VALIDATION", "DomainValidationOptions": [], "UpdatedAt": 1},
        "DomainValidationOptions": [{"DomainName": "shop.example.com", "ValidationMethod": "DNS", "ValidationStatus": "SUCCESS",
            "ResourceRecord": {"Name": "_a.shop.example.com.", "Type": "CNAME", "Value": "_b.acm-validations.aws."}}]}}))
}

async fn facts() -> Snapshot {
    gathered(&task::shop(shop(Fake::new())), &super::shop()).await
}

#[tokio::test]
async fn a_target_group_is_seen_with_its_targets() {
    let facts = facts().await;
    let group = facts.target_groups.get(GROUP).expect("seen");
    assert_eq!((group.port, group.protocol.as_str()), (8787, "HTTP"));
    assert_eq!(group.health.path.as_deref(), Some("/health/ready"));
    let numbers = (
        group.health.interval_seconds,
        group.health.timeout_seconds,
        group.health.healthy,
        group.health.unhealthy,
    );
    assert_eq!(numbers, (10, 5, 2, 3));
    assert_eq!(group.deregistration_seconds, Known::Seen(30));
    assert_eq!(group.balancers, [example::BALANCER]);
    let target = group.targets.get().expect("seen").first().expect("one");
    assert_eq!(
        (target.id.as_str(), target.state.as_str()),
        ("10.0.0.4", "draining")
    );
}

#[tokio::test]
async fn a_load_balancer_is_seen_with_its_listeners() {
    let facts = facts().await;
    let balancer = facts.balancers.get(example::BALANCER).expect("seen");
    assert!(balancer.internet_facing);
    assert_eq!(balancer.zones, ["eu-central-1a"]);
    let attributes = BalancerAttributes {
        access_logs: Some("logs".to_owned()),
        deletion_protection: false,
    };
    assert_eq!(balancer.attributes, Known::Seen(attributes));
    let [secure, plain] = balancer.listeners.get().expect("seen").as_slice() else {
        panic!("two listeners");
    };
    assert_eq!(
        secure.tls_policy.as_deref(),
        Some("ELBSecurityPolicy-TLS13-1-2-2021-06")
    );
    let certificates = secure.certificates.get().expect("seen");
    assert_eq!(
        certificates.first().map(String::as_str),
        Some(example::CERTIFICATE)
    );
    assert_eq!(certificates.len(), 2);
    assert_eq!(
        secure.default_action,
        Action::Forward(vec![(GROUP.to_owned(), 1)])
    );
    let redirect = Action::Redirect {
        status: 301,
        protocol: "HTTPS".to_owned(),
        port: "443".to_owned(),
    };
    assert_eq!((plain.port, &plain.default_action), (80, &redirect));
    assert_eq!(plain.certificates, Known::Seen(Vec::new()));
    let [api, maintenance] = secure.rules.get().expect("seen").as_slice() else {
        panic!("two rules without the default one");
    };
    assert_eq!(
        (api.priority, api.paths.as_slice(), api.hosts.as_slice()),
        (
            10,
            &["/api/*".to_owned()][..],
            &["shop.example.com".to_owned()][..]
        )
    );
    assert!(!api.more_conditions);
    // What authenticates first is not what is done in the end.
    assert_eq!(api.action, Action::Forward(vec![(GROUP.to_owned(), 3)]));
    assert!(maintenance.more_conditions);
    assert_eq!(maintenance.action, Action::Fixed(503));
}

#[tokio::test]
async fn a_certificate_is_seen_and_asked_for_in_its_region() {
    let fake = task::shop(stores::shop(shop(Fake::new())));
    let facts = gathered(&fake, &super::shop()).await;
    let certificate = facts.certificates.get(example::CERTIFICATE).expect("seen");
    assert_eq!(certificate.status, "ISSUED");
    assert_eq!(certificate.names, ["shop.example.com", "www.example.com"]);
    assert!(certificate.issued_by_acm);
    assert_eq!(
        certificate.not_after,
        Some(Timestamp::from_millis(1_800_000_000_000))
    );
    assert_eq!(certificate.renewal.as_deref(), Some("PENDING_VALIDATION"));
    let validation = certificate.validations.first().expect("one");
    assert!(validation.succeeded);
    let record = (
        "_a.shop.example.com".to_owned(),
        "_b.acm-validations.aws".to_owned(),
    );
    assert_eq!(validation.record, Some(record));
    let hosts = fake.sent("DescribeCertificate", |sent| sent.uri.contains("us-east-1"));
    // Two of the listener, and the distribution's.
    assert_eq!(hosts.iter().filter(|there| **there).count(), 1);
    assert_eq!(hosts.len(), 3);
}

#[tokio::test]
async fn a_web_acl_says_what_it_blocks() {
    let facts = facts().await;
    let balancer = facts.balancers.get(example::BALANCER).expect("seen");
    assert_eq!(balancer.web_acl, Known::Seen("storefront".to_owned()));
    let acl = facts.web_acls.get("storefront").expect("seen");
    assert_eq!(acl.logging, Known::Seen(true));
    let blocks: Vec<_> = acl
        .rules
        .iter()
        .map(|rule| (rule.name.as_str(), rule.blocks))
        .collect();
    let wanted = [
        ("common", true),
        ("sqli", false),
        ("narrow", true),
        ("rate", true),
        ("api", false),
        ("geo", true),
    ];
    assert_eq!(blocks, wanted);
    let statements: Vec<_> = acl.rules.iter().map(|rule| rule.statement.clone()).collect();
    let managed = |group: &str, counted: &[&str]| WafStatement::Managed {
        vendor: "AWS".to_owned(),
        group: group.to_owned(),
        counted: counted.iter().map(|name| (*name).to_owned()).collect(),
    };
    let rate = |window_seconds, path: Option<&str>| WafStatement::Rate {
        limit: 2_000,
        window_seconds,
        key: "IP".to_owned(),
        path: path.map(ToOwned::to_owned),
    };
    // A group that looks at some requests only, and a rate that counts some only, stand for nothing.
    let wanted = [
        managed("Common", &["SizeRestrictions_BODY"]),
        managed("SQLi", &[]),
        WafStatement::Other,
        rate(300, None),
        rate(60, Some("/api/")),
        WafStatement::Other,
    ];
    assert_eq!(statements, wanted);
}

#[tokio::test]
async fn what_is_not_there_is_missing_and_what_may_not_be_read_is_unknown() {
    let fake = task::shop(shop(Fake::new()))
        .json("GetWebACLForResource", json!({}))
        .error("DescribeRules", 403, "AccessDenied")
        .error("DescribeCertificate", 400, "ResourceNotFoundException");
    let facts = gathered(&fake, &super::shop()).await;
    let balancer = facts.balancers.get(example::BALANCER).expect("seen");
    assert_eq!(balancer.web_acl, Known::Missing);
    assert!(facts.web_acls.is_empty());
    let rules = why(&balancer
        .listeners
        .get()
        .expect("seen")
        .first()
        .expect("one")
        .rules);
    assert_eq!(rules.expect("unknown").0, Why::Denied);
    assert_eq!(facts.certificates.find(example::CERTIFICATE), Ok(None));
    let gone = task::shop(shop(Fake::new())).error("DescribeTargetGroups", 400, "TargetGroupNotFound");
    let facts = gathered(&gone, &super::shop()).await;
    assert_eq!(facts.target_groups.find(GROUP), Ok(None));
    let fake =
        task::shop(shop(Fake::new())).error("GetLoggingConfiguration", 400, "WAFNonexistentItemException");
    let facts = gathered(&fake, &super::shop()).await;
    assert_eq!(
        facts.web_acls.get("storefront").expect("seen").logging,
        Known::Seen(false)
    );
}
