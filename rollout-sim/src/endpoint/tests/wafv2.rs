//! WAFv2 on the wire.

use core::time::Duration;

use serde_json::{Value, json};

use super::{endpoint, json_call};
use crate::clock::SimCloud;
use crate::endpoint::Endpoint;
use crate::{BuildError, World};

fn call_in(endpoint: &Endpoint, region: &str, operation: &str, body: &Value) -> (u16, Value) {
    let of = ("444455556666", region, "wafv2");
    json_call(endpoint, of, &format!("AWSWAF_20190729.{operation}"), body)
}

fn call(endpoint: &Endpoint, operation: &str, body: &Value) -> (u16, Value) {
    call_in(endpoint, "eu-central-1", operation, body)
}

fn good(endpoint: &Endpoint, operation: &str, body: &Value) -> Value {
    let (status, answer) = call(endpoint, operation, body);
    assert_eq!(status, 200, "{operation}: {answer}");
    answer
}

fn refused(endpoint: &Endpoint, operation: &str, body: &Value) -> String {
    let (status, answer) = call(endpoint, operation, body);
    assert_eq!(status, 400, "{operation}: {answer}");
    assert_eq!(endpoint.calls().last().map(|c| c.changed), Some(false));
    answer["__type"].as_str().unwrap_or_default().to_owned()
}

/// A body with further members.
fn with(mut body: Value, more: &Value) -> Value {
    for (name, member) in more.as_object().expect("an object") {
        body[name] = member.clone();
    }
    body
}

fn content(action: &str) -> Value {
    json!({
        "Name": "edge", "Scope": "REGIONAL", "Description": "the edge", "DefaultAction": { action: {} },
        "VisibilityConfig": { "SampledRequestsEnabled": true, "CloudWatchMetricsEnabled": false, "MetricName": "edge" },
        "Rules": [{
            "Name": "de", "Priority": 0, "Action": { "Count": {} },
            "Statement": { "GeoMatchStatement": { "CountryCodes": ["DE"] } },
            "VisibilityConfig": { "SampledRequestsEnabled": true, "CloudWatchMetricsEnabled": false, "MetricName": "de" },
        }],
    })
}

fn later(endpoint: &Endpoint) {
    endpoint.cloud().with(|w| w.pass(Duration::from_secs(90)));
}

/// The ARN of the load balancer, and what a client gets from it.
fn balancer(endpoint: &Endpoint) -> String {
    endpoint
        .cloud()
        .with(|w| w.env("production").expect("it exists").balancers[0].arn.clone())
}

fn visit(endpoint: &Endpoint) -> (u16, String) {
    endpoint.cloud().with(|w| {
        let host = w.env("production").expect("it exists").balancers[0]
            .dns_name
            .clone();
        let visit = w.visit(&format!("http://{host}/")).expect("an answer");
        (visit.status, String::from_utf8_lossy(&visit.body).into_owned())
    })
}

#[test]
fn a_web_acl_is_made_read_and_listed() {
    let endpoint = endpoint();
    let made = good(&endpoint, "CreateWebACL", &content("Allow"));
    let summary = made["Summary"].clone();
    let (id, arn) = (summary["Id"].clone(), summary["ARN"].clone());
    let name = |text: &Value| text.as_str().unwrap_or_default().to_owned();
    assert_eq!(
        name(&arn),
        format!(
            "arn:aws:wafv2:eu-central-1:444455556666:regional/webacl/edge/{}",
            name(&id)
        )
    );
    let token = name(&summary["LockToken"]);
    let groups: Vec<usize> = token.split('-').map(str::len).collect();
    assert_eq!(groups, [8, 4, 4, 4, 12], "{token}");
    let named = json!({ "Name": "edge", "Id": id, "Scope": "REGIONAL" });
    let got = good(&endpoint, "GetWebACL", &named);
    let given = content("Allow");
    let wanted = json!({
        "Name": "edge", "Id": id, "ARN": arn, "Description": "the edge", "DefaultAction": given["DefaultAction"],
        "Rules": given["Rules"], "VisibilityConfig": given["VisibilityConfig"], "Capacity": 1,
        "ManagedByFirewallManager": false, "RetrofittedByFirewallManager": false,
        "LabelNamespace": "awswaf:444455556666:webacl:edge:",
    });
    assert_eq!(got, json!({ "WebACL": wanted, "LockToken": token }));
    assert_eq!(good(&endpoint, "GetWebACL", &json!({ "ARN": arn })), got);
    for n in 0..4 {
        good(
            &endpoint,
            "CreateWebACL",
            &with(content("Allow"), &json!({ "Name": format!("n{n}") })),
        );
    }
    let (mut seen, mut body) = (Vec::new(), json!({ "Scope": "REGIONAL", "Limit": 2 }));
    loop {
        let page = good(&endpoint, "ListWebACLs", &body);
        seen.extend(
            page["WebACLs"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|a| name(&a["Name"])),
        );
        if page["NextMarker"].is_null() {
            break;
        }
        body["NextMarker"] = page["NextMarker"].clone();
    }
    assert_eq!(seen, ["edge", "n0", "n1", "n2", "n3"]);
    let first = &good(
        &endpoint,
        "ListWebACLs",
        &json!({ "Scope": "REGIONAL", "Limit": 1 }),
    )["WebACLs"][0];
    assert_eq!(*first, summary);
    // Another region has its own.
    let (_, other) = call_in(
        &endpoint,
        "eu-west-1",
        "ListWebACLs",
        &json!({ "Scope": "REGIONAL" }),
    );
    assert_eq!(other["WebACLs"], json!([]));
    let (status, other) = call_in(&endpoint, "eu-west-1", "GetWebACL", &json!({ "ARN": arn }));
    assert_eq!(
        (status, &other["__type"]),
        (400, &json!("WAFNonexistentItemException"))
    );
}

#[test]
fn a_stale_token_is_refused_and_changes_nothing() {
    let endpoint = endpoint();
    let summary = good(&endpoint, "CreateWebACL", &content("Allow"))["Summary"].clone();
    let token = |token: &Value| json!({ "Id": summary["Id"], "LockToken": token });
    let update = with(content("Block"), &token(&summary["LockToken"]));
    let next = good(&endpoint, "UpdateWebACL", &update)["NextLockToken"].clone();
    let named = with(
        json!({ "Name": "edge", "Scope": "REGIONAL" }),
        &token(&summary["LockToken"]),
    );
    let before = good(&endpoint, "GetWebACL", &named);
    assert_eq!(before["LockToken"], next);
    assert_eq!(before["WebACL"]["DefaultAction"], json!({ "Block": {} }));
    let (status, answer) = call(&endpoint, "UpdateWebACL", &update);
    let text = "AWS WAF couldn’t save your changes because someone changed the resource after you started to edit it. \
                Reapply your changes.";
    assert_eq!(
        (status, &answer["__type"], &answer["message"]),
        (400, &json!("WAFOptimisticLockException"), &json!(text))
    );
    assert_eq!(
        refused(&endpoint, "DeleteWebACL", &named),
        "WAFOptimisticLockException"
    );
    assert_eq!(good(&endpoint, "GetWebACL", &named), before);
    good(&endpoint, "DeleteWebACL", &with(named.clone(), &token(&next)));
    assert_eq!(
        refused(&endpoint, "DeleteWebACL", &with(named, &token(&next))),
        "WAFNonexistentItemException"
    );
}

#[test]
fn a_load_balancer_is_protected_after_a_while() {
    let endpoint = endpoint();
    let resource = balancer(&endpoint);
    assert_eq!(visit(&endpoint).0, 200);
    let summary = good(&endpoint, "CreateWebACL", &content("Block"))["Summary"].clone();
    let both = json!({ "WebACLArn": summary["ARN"], "ResourceArn": resource });
    assert_eq!(
        refused(&endpoint, "AssociateWebACL", &both),
        "WAFUnavailableEntityException"
    );
    let of = json!({ "ResourceArn": resource });
    assert_eq!(good(&endpoint, "GetWebACLForResource", &of), json!({}));
    later(&endpoint);
    good(&endpoint, "AssociateWebACL", &both);
    assert_eq!(endpoint.calls().last().map(|c| c.changed), Some(true));
    good(&endpoint, "AssociateWebACL", &both);
    assert_eq!(
        endpoint.calls().last().map(|c| c.changed),
        Some(false),
        "it is so already"
    );
    assert_eq!(
        good(&endpoint, "GetWebACLForResource", &of)["WebACL"]["ARN"],
        summary["ARN"]
    );
    let arn = json!({ "WebACLArn": summary["ARN"] });
    assert_eq!(
        good(&endpoint, "ListResourcesForWebACL", &arn)["ResourceArns"],
        json!([resource])
    );
    let gateways = with(arn.clone(), &json!({ "ResourceType": "API_GATEWAY" }));
    assert_eq!(
        good(&endpoint, "ListResourcesForWebACL", &gateways)["ResourceArns"],
        json!([])
    );
    assert_eq!(visit(&endpoint).0, 200, "not in force yet");
    later(&endpoint);
    assert_eq!(visit(&endpoint), (403, "403 Forbidden".to_owned()));
    let delete = json!({ "Name": "edge", "Id": summary["Id"], "Scope": "REGIONAL", "LockToken": summary["LockToken"] });
    assert_eq!(
        refused(&endpoint, "DeleteWebACL", &delete),
        "WAFAssociatedItemException"
    );
    good(&endpoint, "DisassociateWebACL", &of);
    assert_eq!(good(&endpoint, "GetWebACLForResource", &of), json!({}));
    assert_eq!(visit(&endpoint).0, 403, "still in force");
    later(&endpoint);
    assert_eq!(visit(&endpoint).0, 200);
    good(&endpoint, "DisassociateWebACL", &of);
    assert_eq!(
        endpoint.calls().last().map(|c| c.changed),
        Some(false),
        "it is so already"
    );
    // With a load balancer that is deleted goes what protected it.
    good(&endpoint, "AssociateWebACL", &both);
    let gone = format!("Action=DeleteLoadBalancer&Version=2015-12-01&LoadBalancerArn={resource}");
    assert_eq!(
        endpoint
            .answer(&super::form("elasticloadbalancing", &gone))
            .status(),
        200
    );
    assert_eq!(
        good(&endpoint, "ListResourcesForWebACL", &arn)["ResourceArns"],
        json!([])
    );
    assert_eq!(
        refused(&endpoint, "GetWebACLForResource", &of),
        "WAFNonexistentItemException"
    );
    let kept = endpoint
        .cloud()
        .with(|w| w.web_acls.of_resource(&resource).is_some());
    assert!(!kept, "nor is it kept");
    good(&endpoint, "DeleteWebACL", &delete);
}

#[test]
fn what_is_wrong_is_refused_by_name() {
    let endpoint = endpoint();
    let resource = balancer(&endpoint);
    let arn = good(&endpoint, "CreateWebACL", &content("Allow"))["Summary"]["ARN"].clone();
    let none =
        "arn:aws:wafv2:eu-central-1:444455556666:regional/webacl/x/00000000-0000-4000-8000-000000000000";
    let other = "arn:aws:elasticloadbalancing:eu-central-1:444455556666:loadbalancer/app/x/1";
    let network = "arn:aws:elasticloadbalancing:eu-central-1:444455556666:loadbalancer/net/x/1";
    let id = "00000000-0000-4000-8000-000000000000";
    let named = json!({ "Name": "edge", "Id": id, "Scope": "REGIONAL", "LockToken": id });
    let (missing, invalid) = ("WAFNonexistentItemException", "WAFInvalidParameterException");
    for (operation, body, code) in [
        ("CreateWebACL", content("Allow"), "WAFDuplicateItemException"),
        (
            "CreateWebACL",
            with(content("Allow"), &json!({ "Name": "a b" })),
            invalid,
        ),
        (
            "CreateWebACL",
            with(content("Allow"), &json!({ "DefaultAction": {} })),
            invalid,
        ),
        (
            "CreateWebACL",
            with(content("Allow"), &json!({ "Scope": "CLOUDFRONT" })),
            invalid,
        ),
        (
            "CreateWebACL",
            with(content("Allow"), &json!({ "Scope": "x" })),
            invalid,
        ),
        ("GetWebACL", named.clone(), missing),
        ("GetWebACL", json!({ "ARN": none }), missing),
        ("GetWebACL", json!({ "ARN": "x" }), invalid),
        ("GetWebACL", json!({ "Name": "edge", "Id": id }), invalid),
        (
            "ListWebACLs",
            json!({ "Scope": "REGIONAL", "Limit": 101 }),
            invalid,
        ),
        ("ListWebACLs", json!({ "Scope": "REGIONAL", "Limit": 0 }), invalid),
        (
            "ListWebACLs",
            json!({ "Scope": "REGIONAL", "NextMarker": "x" }),
            invalid,
        ),
        ("UpdateWebACL", with(content("Allow"), &named), missing),
        (
            "UpdateWebACL",
            with(content("Allow"), &json!({ "Id": id, "Rules": [{}] })),
            invalid,
        ),
        ("DeleteWebACL", named, missing),
        (
            "AssociateWebACL",
            json!({ "WebACLArn": none, "ResourceArn": resource }),
            missing,
        ),
        (
            "AssociateWebACL",
            json!({ "WebACLArn": "x", "ResourceArn": resource }),
            invalid,
        ),
        (
            "AssociateWebACL",
            json!({ "WebACLArn": arn, "ResourceArn": other }),
            missing,
        ),
        (
            "AssociateWebACL",
            json!({ "WebACLArn": arn, "ResourceArn": network }),
            invalid,
        ),
        (
            "AssociateWebACL",
            json!({ "WebACLArn": arn, "ResourceArn": "x" }),
            invalid,
        ),
        ("DisassociateWebACL", json!({ "ResourceArn": other }), missing),
        ("DisassociateWebACL", json!({ "ResourceArn": "x" }), invalid),
        ("GetWebACLForResource", json!({ "ResourceArn": other }), missing),
        ("ListResourcesForWebACL", json!({ "WebACLArn": none }), missing),
        (
            "ListResourcesForWebACL",
            json!({ "WebACLArn": arn, "ResourceType": "x" }),
            invalid,
        ),
    ] {
        assert_eq!(refused(&endpoint, operation, &body), code, "{operation} {body}");
    }
    let (_, answer) = call(&endpoint, "ListWebACLs", &json!({ "Scope": "CLOUDFRONT" }));
    let text = "Error reason: The scope is not valid., field: SCOPE_VALUE, parameter: CLOUDFRONT";
    let wanted = json!({
        "__type": invalid, "message": text, "Reason": "The scope is not valid.", "Field": "SCOPE_VALUE",
        "Parameter": "CLOUDFRONT",
    });
    assert_eq!(answer, wanted);
    let gateway = json!({ "ResourceArn": "arn:aws:apigateway:eu-central-1::/restapis/x/stages/y" });
    assert_eq!(call(&endpoint, "GetWebACLForResource", &gateway).0, 501);
    // What protects CloudFront is made in us-east-1, and is not for load balancers.
    let global = with(content("Allow"), &json!({ "Scope": "CLOUDFRONT" }));
    let (status, made) = call_in(&endpoint, "us-east-1", "CreateWebACL", &global);
    assert_eq!(status, 200, "{made}");
    let arn = made["Summary"]["ARN"].as_str().expect("an ARN");
    assert!(
        arn.starts_with("arn:aws:wafv2:us-east-1:444455556666:global/webacl/edge/"),
        "{arn}"
    );
    let (_, list) = call_in(
        &endpoint,
        "us-east-1",
        "ListWebACLs",
        &json!({ "Scope": "REGIONAL" }),
    );
    assert_eq!(list["WebACLs"], json!([]));
}

#[test]
fn a_described_web_acl_is_in_force_from_the_beginning() {
    let built = |balancer: &str, name: &str| {
        let world = World::builder(7).environment("production", |e| {
            e.account("444455556666")
                .image("shop/api", "1.0.0")
                .service("api", |s| {
                    s.container("api", "shop/api", "1.0.0").load_balanced(8080)
                })
                .balancer("edge", |b| b.route("/", "api"))
                .web_acl(name, |a| a.blocking().protecting(balancer))
        });
        world.build()
    };
    let endpoint = Endpoint::new(SimCloud::new(built("edge", "shut").expect("a world")));
    assert_eq!(visit(&endpoint).0, 403);
    let list = good(&endpoint, "ListWebACLs", &json!({ "Scope": "REGIONAL" }));
    let arn = list["WebACLs"][0]["ARN"].clone();
    let of = json!({ "ResourceArn": balancer(&endpoint) });
    assert_eq!(good(&endpoint, "GetWebACLForResource", &of)["WebACL"]["ARN"], arn);
    // The same in every world of this description, so that a configuration can name it.
    let other =
        World::builder(8).environment("production", |e| e.account("444455556666").web_acl("shut", |a| a));
    let other = Endpoint::new(SimCloud::new(other.build().expect("a world")));
    assert_eq!(
        good(&other, "ListWebACLs", &json!({ "Scope": "REGIONAL" }))["WebACLs"][0]["ARN"],
        arn
    );
    assert!(matches!(built("other", "shut"), Err(BuildError::Missing { .. })));
    assert!(matches!(built("edge", "a b"), Err(BuildError::WebAcl { .. })));
}
