//! Route 53 on the wire.

use core::time::Duration;

use bytes::Bytes;
use http::Request;
use rollout_core::dns::RecordType;

use super::{signature, text};
use crate::clock::SimCloud;
use crate::endpoint::Endpoint;
use crate::world::World;

fn endpoint() -> Endpoint {
    let world = World::builder(7)
        .environment("prod", |e| {
            e.account("444455556666").balancer("main", |b| b.machines(1, 0))
        })
        .zone("Z0TEST", "example.com", |z| {
            z.alias("shop.example.com", "prod", "main")
                .values("www.example.com", RecordType::Cname, 300, &["old.example.net"])
                .weighted_values("api.example.com", RecordType::A, ("blue", 90), 60, &["10.0.0.1"])
                .weighted_values("api.example.com", RecordType::A, ("green", 10), 60, &["10.0.0.2"])
        })
        .build()
        .expect("a world");
    Endpoint::new(SimCloud::new(world))
}

/// Status and body.
fn call(endpoint: &Endpoint, method: &str, path: &str, body: &str) -> (u16, String) {
    let request = Request::builder()
        .method(method)
        .uri(format!("/2013-04-01/{path}"))
        .header("authorization", signature("444455556666", "us-east-1", "route53"))
        .body(Bytes::from(body.to_owned()))
        .expect("a request");
    let answer = endpoint.answer(&request);
    (answer.status().as_u16(), text(&answer))
}

fn cname(ttl: u32, value: &str) -> String {
    format!(
        "<ResourceRecordSet><Name>www.example.com</Name><Type>CNAME</Type><TTL>{ttl}</TTL><ResourceRecords><ResourceRecord>\
         <Value>{value}</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>"
    )
}

fn change(endpoint: &Endpoint, edits: &[(&str, String)]) -> (u16, String) {
    let edits: Vec<String> = edits
        .iter()
        .map(|(action, set)| format!("<Change><Action>{action}</Action>{set}</Change>"))
        .collect();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ChangeResourceRecordSetsRequest \
         xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch><Comment>run 1</Comment><Changes>{}</Changes>\
         </ChangeBatch></ChangeResourceRecordSetsRequest>",
        edits.concat()
    );
    call(endpoint, "POST", "hostedzone/Z0TEST/rrset/", &body)
}

const ROOT: &str = "xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"";

#[test]
fn a_batch_is_a_compare_and_set() {
    let endpoint = endpoint();
    let (old, new) = (cname(300, "old.example.net"), cname(60, "new.example.net"));
    let (status, body) = change(&endpoint, &[("DELETE", old.clone()), ("CREATE", new.clone())]);
    let id = body
        .split_once("<Id>")
        .and_then(|(_, rest)| rest.split_once("</Id>"))
        .expect("a change")
        .0;
    let wanted = format!(
        "<?xml version=\"1.0\"?>\n<ChangeResourceRecordSetsResponse {ROOT}><ChangeInfo><Id>{id}</Id><Status>PENDING</Status>\
         <SubmittedAt>2026-01-05T09:00:00Z</SubmittedAt></ChangeInfo></ChangeResourceRecordSetsResponse>"
    );
    assert_eq!((status, body.as_str()), (200, wanted.as_str()));
    // The next one comes too soon.
    let (status, body) = change(&endpoint, &[("DELETE", new.clone()), ("CREATE", old.clone())]);
    let busy = "<Code>PriorRequestNotComplete</Code><Message>The request was rejected because Route 53 was still processing a \
        prior request.</Message>";
    assert!(status == 400 && body.contains(busy), "{status} {body}");
    // And then one that does not know of the first.
    endpoint.cloud().with(|w| w.pass(Duration::from_secs(2)));
    let (status, body) = change(&endpoint, &[("DELETE", old), ("CREATE", new)]);
    let stale = "<Code>InvalidChangeBatch</Code><Message>[Tried to delete resource record set \
        [name=&apos;www.example.com.&apos;, type=&apos;CNAME&apos;] but the values provided do not match the current values";
    assert!(status == 400 && body.contains(stale), "{status} {body}");
    let pending = call(&endpoint, "GET", id.trim_start_matches('/'), "");
    assert!(pending.1.contains("<Status>PENDING</Status>"), "{}", pending.1);
    endpoint.cloud().with(|w| w.pass(Duration::from_secs(70)));
    let synced = call(&endpoint, "GET", id.trim_start_matches('/'), "");
    assert!(synced.1.contains("<Status>INSYNC</Status>"), "{}", synced.1);
    let calls = endpoint.calls();
    assert_eq!(calls.iter().filter(|c| c.changed).count(), 1, "{calls:?}");
    assert_eq!(call(&endpoint, "GET", "change/C0", "").0, 404);
}

#[test]
fn records_are_listed_in_pages_that_begin_where_asked() {
    let endpoint = endpoint();
    let (status, body) = call(
        &endpoint,
        "GET",
        "hostedzone/Z0TEST/rrset?name=api.example.com&type=A&identifier=green&maxitems=1",
        "",
    );
    let wanted = format!(
        "<?xml version=\"1.0\"?>\n<ListResourceRecordSetsResponse {ROOT}><ResourceRecordSets><ResourceRecordSet>\
         <Name>api.example.com.</Name><Type>A</Type><SetIdentifier>green</SetIdentifier><Weight>10</Weight><TTL>60</TTL>\
         <ResourceRecords><ResourceRecord><Value>10.0.0.2</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>\
         </ResourceRecordSets><IsTruncated>true</IsTruncated><NextRecordName>shop.example.com.</NextRecordName>\
         <NextRecordType>A</NextRecordType><MaxItems>1</MaxItems></ListResourceRecordSetsResponse>"
    );
    assert_eq!((status, body), (200, wanted));
    let (_, body) = call(
        &endpoint,
        "GET",
        "hostedzone/Z0TEST/rrset?name=shop.example.com&maxitems=1",
        "",
    );
    let alias = "<AliasTarget><HostedZoneId>Z215JYRZR1TBD5</HostedZoneId><DNSName>main-";
    assert!(
        body.contains(alias) && body.contains("<EvaluateTargetHealth>true</EvaluateTargetHealth>"),
        "{body}"
    );
    assert_eq!(
        call(&endpoint, "GET", "hostedzone/Z0TEST/rrset?type=A", "").0,
        400
    );
    let (status, body) = call(&endpoint, "GET", "hostedzone/ZNONE/rrset", "");
    assert!(
        status == 404 && body.contains("<Message>No hosted zone found with ID: ZNONE</Message>"),
        "{body}"
    );
}

#[test]
fn a_server_is_asked_what_it_answers() {
    let endpoint = endpoint();
    let ask = |name: &str, kind: &str| {
        let path = format!("testdnsanswer?hostedzoneid=Z0TEST&recordname={name}&recordtype={kind}");
        call(&endpoint, "GET", &path, "").1
    };
    let www = ask("www.example.com", "CNAME");
    assert!(
        www.contains("<RecordData><RecordDataEntry>old.example.net</RecordDataEntry></RecordData>"),
        "{www}"
    );
    let addresses = endpoint.cloud().with(|w| {
        let name = crate::builder::name_of_balancer("main", "prod", "eu-central-1");
        w.addresses(&name)
    });
    let shop = ask("shop.example.com", "A");
    for address in &addresses {
        assert!(
            shop.contains(&format!("<RecordDataEntry>{address}</RecordDataEntry>")),
            "{shop}"
        );
    }
    assert_eq!(addresses.len(), 3);
    let none = ask("none.example.com", "A");
    assert!(
        none.contains("<RecordData></RecordData><ResponseCode>NXDOMAIN</ResponseCode>"),
        "{none}"
    );
    let green = (0..400)
        .filter(|_| ask("api.example.com", "A").contains("10.0.0.2"))
        .count();
    assert!((15..70).contains(&green), "{green} of 400 by a weight of a tenth");
}

#[test]
fn what_is_not_well_formed_or_not_modelled_is_refused() {
    let endpoint = endpoint();
    let set = |inner: &str| {
        format!("<ResourceRecordSet><Name>a.example.com</Name><Type>A</Type>{inner}</ResourceRecordSet>")
    };
    let value = "<TTL>60</TTL><ResourceRecords><ResourceRecord><Value>10.0.0.1</Value></ResourceRecord></ResourceRecords>";
    for (inner, status, part) in [
        (
            "",
            400,
            "<Code>InvalidInput</Code><Message>Invalid request: Expected exactly one of [AliasTarget, all of",
        ),
        (
            &format!("<Weight>1</Weight>{value}"),
            400,
            "Missing field &apos;SetIdentifier&apos; in Change with [Action=CREATE",
        ),
        (
            &format!("<SetIdentifier>x</SetIdentifier><Region>eu-west-1</Region>{value}"),
            501,
            "does not model",
        ),
        (
            &format!("{value}<HealthCheckId>none</HealthCheckId>"),
            404,
            "<Code>NoSuchHealthCheck</Code>",
        ),
    ] {
        let (found, body) = change(&endpoint, &[("CREATE", set(inner))]);
        assert!(found == status && body.contains(part), "{found} {body}");
    }
    assert!(endpoint.calls().iter().all(|c| !c.changed));
}

#[test]
fn a_health_check_is_made_looked_at_and_deleted() {
    let endpoint = endpoint();
    let body = "<CreateHealthCheckRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
        <CallerReference>one</CallerReference><HealthCheckConfig><Type>HTTP</Type><ResourcePath>/health</ResourcePath>\
        <FullyQualifiedDomainName>shop.example.com</FullyQualifiedDomainName><RequestInterval>10</RequestInterval>\
        <FailureThreshold>2</FailureThreshold></HealthCheckConfig></CreateHealthCheckRequest>";
    let (status, made) = call(&endpoint, "POST", "healthcheck", body);
    assert_eq!(status, 201, "{made}");
    let id = made
        .split_once("<Id>")
        .and_then(|(_, rest)| rest.split_once("</Id>"))
        .expect("an id")
        .0;
    endpoint
        .cloud()
        .with(|w| w.turn_machines("prod", "main", false))
        .expect("described");
    endpoint.cloud().with(|w| w.pass(Duration::from_secs(30)));
    let (_, seen) = call(&endpoint, "GET", &format!("healthcheck/{id}/status"), "");
    assert!(
        seen.contains("<Status>Failure: HTTP Status Code 502</Status>"),
        "{seen}"
    );
    assert_eq!(seen.matches("<HealthCheckObservation>").count(), 8);
    assert_eq!(call(&endpoint, "DELETE", &format!("healthcheck/{id}"), "").0, 200);
    assert_eq!(call(&endpoint, "GET", &format!("healthcheck/{id}"), "").0, 404);
}

#[test]
fn calls_beyond_the_quota_are_throttled_and_counted() {
    let endpoint = endpoint();
    endpoint.cloud().with(|w| w.limit(crate::Quotas::aws()));
    let list = || call(&endpoint, "GET", "hostedzone", "").0;
    let answered = (0..80).filter(|_| list() == 200).count();
    assert_eq!(answered, 50);
    let (status, body) = call(&endpoint, "GET", "hostedzone", "");
    assert!(
        status == 400 && body.contains("<Code>Throttling</Code><Message>Rate exceeded</Message>"),
        "{body}"
    );
    endpoint.cloud().with(|w| w.pass(Duration::from_secs(1)));
    assert_eq!((0..80).filter(|_| list() == 200).count(), 10);
    let (spent, refused) = endpoint
        .cloud()
        .with(|w| (w.quotas().spent(), w.quotas().refused()));
    assert_eq!((spent, refused), (60, 101));
}
