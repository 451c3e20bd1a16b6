//! Reading, changing, propagation.

use rollout_core::error::{Applied, Retry};
use rollout_core::id::Generation;

use super::*;

fn marker(generation: u64) -> Marker {
    Marker {
        generation: Generation(generation),
        run: "r-0".parse().expect("a valid id"),
    }
}

const MARKER_41: &str = "\"generation=41 run=r-0\"";

/// Reads what is listed and makes the batch that replaces it by `new`.
async fn batch(fake: &Fake, new: Record) -> ChangeBatch {
    let seen = cutover(fake)
        .snapshot(&context(), &zone(), &new.key)
        .await
        .expect("readable");
    ChangeBatch::compare_and_set(&seen, new, &marker(42)).expect("a valid batch")
}

/// A zone where `api.example.com` is a CNAME with a marker, followed by `then`.
fn api(then: impl IntoIterator<Item = Said>) -> Fake {
    Fake::new(api_listed().into_iter().chain(then))
}

fn api_listed() -> [Said; 2] {
    [
        page(
            &[&listed("api.example.com.", "CNAME", 300, &["old.example.com"])],
            None,
        ),
        page(
            &[&listed("_rollout.api.example.com.", "TXT", 60, &[MARKER_41])],
            None,
        ),
    ]
}

fn api_new() -> Record {
    values(
        key("api.example.com", RecordType::Cname),
        60,
        &["new.example.com"],
    )
}

#[tokio::test]
async fn a_batch_goes_out_as_exact_deletes_and_creates() {
    let fake = api([changed()]);
    let batch = batch(&fake, api_new()).await;
    let id = cutover(&fake).apply(&context(), &batch).await.expect("accepted");
    assert_eq!(id.as_str(), "C123");
    let sent = fake.sent();
    assert_eq!(sent.len(), 3);
    assert_eq!(
        sent[0].path,
        "/2013-04-01/hostedzone/Z1/rrset?name=api.example.com&type=CNAME&maxitems=100"
    );
    assert!(
        sent[1].path.contains("name=_rollout.api.example.com&type=TXT"),
        "{}",
        sent[1].path
    );
    assert_eq!(
        (sent[2].method.as_str(), sent[2].path.as_str()),
        ("POST", "/2013-04-01/hostedzone/Z1/rrset")
    );
    let change = |action: &str, name: &str, kind: &str, ttl: u32, value: &str| {
        format!(
            "<Change><Action>{action}</Action><ResourceRecordSet><Name>{name}</Name><Type>{kind}</Type><TTL>{ttl}</TTL>\
             <ResourceRecords><ResourceRecord><Value>{value}</Value></ResourceRecord></ResourceRecords>\
             </ResourceRecordSet></Change>"
        )
    };
    let marker = "_rollout.api.example.com";
    let expected = [
        change("DELETE", "api.example.com", "CNAME", 300, "old.example.com"),
        change("CREATE", "api.example.com", "CNAME", 60, "new.example.com"),
        change("DELETE", marker, "TXT", 60, MARKER_41),
        change("CREATE", marker, "TXT", 60, "\"generation=42 run=r-0\""),
    ]
    .concat();
    let body = sent[2].text().replace("&quot;", "\"");
    assert!(
        body.contains(&format!("<Changes>{expected}</Changes>")),
        "{body}\n{expected}"
    );
    assert!(
        body.contains("<Comment>rollout r-1 dns/api 42</Comment>"),
        "{body}"
    );
    assert!(!body.contains("UPSERT"));
}

#[tokio::test]
async fn alias_weight_and_wildcard_come_back_exactly_in_the_delete() {
    let weighted_alias = set(
        "<Name>\\052.example.com.</Name><Type>A</Type><SetIdentifier>blue</SetIdentifier><Weight>200</Weight>\
         <AliasTarget><HostedZoneId>ZELB</HostedZoneId><DNSName>dualstack.lb-1.elb.amazonaws.com.</DNSName>\
         <EvaluateTargetHealth>true</EvaluateTargetHealth></AliasTarget>",
    );
    let found = [page(&[&weighted_alias], None)].into_iter();
    let fake = Fake::new(found.chain(nothing()).chain([changed()]));
    let mut new = alias(
        key("*.example.com", RecordType::A),
        "lb-2.elb.amazonaws.com",
        "ZELB",
    );
    new.key.set_identifier = Some("blue".to_owned());
    new.weight = Some(200);
    let batch = batch(&fake, new).await;
    let Some(Change::Delete(old)) = batch.changes().first() else {
        panic!("{batch:?}")
    };
    assert_eq!(old.weight, Some(200));
    assert_eq!(old.key.name.as_str(), "*.example.com");
    cutover(&fake).apply(&context(), &batch).await.expect("accepted");
    let body = fake.sent()[3].text();
    let delete = "<Change><Action>DELETE</Action><ResourceRecordSet><Name>*.example.com</Name><Type>A</Type>\
        <SetIdentifier>blue</SetIdentifier><Weight>200</Weight>\
        <AliasTarget><HostedZoneId>ZELB</HostedZoneId><DNSName>dualstack.lb-1.elb.amazonaws.com.</DNSName>\
        <EvaluateTargetHealth>true</EvaluateTargetHealth></AliasTarget></ResourceRecordSet></Change>";
    assert!(body.contains(delete), "{body}");
    assert!(
        body.contains("<Name>_rollout._any.example.com</Name><Type>TXT</Type>"),
        "{body}"
    );
}

#[tokio::test]
async fn a_snapshot_reads_the_record_that_was_asked_for_and_no_other() {
    // The list begins where it was asked to and goes on with whatever comes next in the zone.
    let other = page(&[&listed("b.example.com.", "A", 60, &["192.0.2.9"])], None);
    let fake = Fake::new([other].into_iter().chain(nothing()));
    let seen = cutover(&fake)
        .snapshot(&context(), &zone(), &key("a.example.com", RecordType::A))
        .await
        .expect("readable");
    assert_eq!((seen.record, seen.marker), (None, None));
    assert_eq!(seen.at, Timestamp::from_millis(7));

    // Case and trailing dot do not count; the type does.
    let fake = Fake::new([
        page(
            &[
                &listed("a.example.com.", "A", 60, &["192.0.2.1", "192.0.2.2"]),
                &listed("a.example.com.", "AAAA", 60, &["2001:db8::1"]),
            ],
            None,
        ),
        page(
            &[&listed(
                "_rollout.a.example.com.",
                "TXT",
                60,
                &["\"not a marker\""],
            )],
            None,
        ),
    ]);
    let wanted = key("A.Example.COM", RecordType::A);
    let seen = cutover(&fake)
        .snapshot(&context(), &zone(), &wanted)
        .await
        .expect("readable");
    assert_eq!(seen.record, Some(values(wanted, 60, &["192.0.2.1", "192.0.2.2"])));
    assert_eq!(seen.generation(), Generation(0));
    assert!(seen.marker.is_some(), "whoever wrote it");
}

fn weighted(id: &str, weight: u32) -> String {
    set(&format!(
        "<Name>a.example.com.</Name><Type>A</Type><SetIdentifier>{id}</SetIdentifier><Weight>{weight}</Weight><TTL>60</TTL>\
         <ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord></ResourceRecords>"
    ))
}

/// None of them says that the record is not there: somebody's change would be told where there is none.
#[tokio::test]
async fn a_record_without_name_type_or_value_is_no_answer() {
    let values = "<TTL>60</TTL><ResourceRecords><ResourceRecord><Value>10.0.0.1</Value></ResourceRecord></ResourceRecords>";
    for damaged in [
        format!("<Type>A</Type>{values}"),
        format!("<Name>a.example.com.</Name>{values}"),
        "<Name>a.example.com.</Name><Type>A</Type><TTL>60</TTL>".to_owned(),
    ] {
        let fake = Fake::new([page(&[&set(&damaged)], None)]);
        let wanted = key("a.example.com", RecordType::A);
        let read = cutover(&fake).snapshot(&context(), &zone(), &wanted).await;
        let error = read.expect_err(&damaged);
        assert_eq!((error.kind, error.retry), (ErrorKind::Unexpected, Retry::Later));
    }
}

#[tokio::test]
async fn pages_are_followed_within_the_name_and_not_beyond() {
    let next = "<NextRecordName>a.example.com.</NextRecordName><NextRecordType>A</NextRecordType>\
                <NextRecordIdentifier>green</NextRecordIdentifier>";
    let pages = [
        page(&[&weighted("blue", 1)], Some(next)),
        page(&[&weighted("green", 2)], None),
    ];
    let fake = Fake::new(pages.into_iter().chain(nothing()));
    let mut wanted = key("a.example.com", RecordType::A);
    wanted.set_identifier = Some("green".to_owned());
    let seen = cutover(&fake)
        .snapshot(&context(), &zone(), &wanted)
        .await
        .expect("readable");
    assert_eq!(seen.record.expect("found").weight, Some(2));
    assert!(
        fake.sent()[1]
            .path
            .contains("name=a.example.com.&type=A&identifier=green"),
        "{:?}",
        fake.sent()
    );

    let elsewhere = "<NextRecordName>b.example.com.</NextRecordName><NextRecordType>A</NextRecordType>";
    let fake = Fake::new(
        [page(&[&weighted("blue", 1)], Some(elsewhere))]
            .into_iter()
            .chain(nothing()),
    );
    let seen = cutover(&fake)
        .snapshot(&context(), &zone(), &wanted)
        .await
        .expect("readable");
    assert_eq!(seen.record, None);
    assert_eq!(fake.sent().len(), 3);
}

/// A damaged answer is not taken for a record that somebody has deleted.
#[tokio::test]
async fn a_list_that_is_missing_is_not_an_empty_one() {
    let fake = Fake::new([page(&[], None)].into_iter().chain(api_listed()));
    let wanted = key("api.example.com", RecordType::Cname);
    let seen = cutover(&fake).snapshot(&context(), &zone(), &wanted).await;
    let seen = seen.expect("readable");
    assert!(seen.record.is_some() && seen.marker.is_some());
    let fake = Fake::new([page(&[&weighted("blue", 1)], Some(""))]);
    let mut wanted = key("a.example.com", RecordType::A);
    wanted.set_identifier = Some("green".to_owned());
    let cut = cutover(&fake).snapshot(&context(), &zone(), &wanted).await;
    let error = cut.expect_err("it goes on somewhere");
    assert_eq!((error.kind, error.retry), (ErrorKind::Unexpected, Retry::Later));
}

#[tokio::test]
async fn records_with_and_without_set_identifier_do_not_mix() {
    let fake = Fake::new([page(&[&weighted("blue", 1), &weighted("green", 2)], None)]);
    let error = cutover(&fake)
        .snapshot(&context(), &zone(), &key("a.example.com", RecordType::A))
        .await
        .expect_err("which one?");
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert!(error.context.contains("name one of: blue, green"), "{error}");

    let fake = Fake::new([page(&[&listed("a.example.com.", "A", 60, &["192.0.2.1"])], None)]);
    let mut wanted = key("a.example.com", RecordType::A);
    wanted.set_identifier = Some("blue".to_owned());
    let error = cutover(&fake)
        .snapshot(&context(), &zone(), &wanted)
        .await
        .expect_err("a simple record");
    assert!(error.context.contains("leave the set identifier out"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_carried_exactly_is_refused_by_name() {
    for (xml, says) in [
        ("<Region>eu-central-1</Region>", "latency routing"),
        (
            "<GeoLocation><CountryCode>DE</CountryCode></GeoLocation>",
            "geolocation routing",
        ),
        (
            "<GeoProximityLocation><AWSRegion>eu-central-1</AWSRegion></GeoProximityLocation>",
            "geoproximity routing",
        ),
        ("<Failover>PRIMARY</Failover>", "failover routing"),
        (
            "<MultiValueAnswer>true</MultiValueAnswer>",
            "multivalue answer routing",
        ),
        (
            "<CidrRoutingConfig><CollectionId>c</CollectionId><LocationName>l</LocationName></CidrRoutingConfig>",
            "IP-based routing",
        ),
        ("<HealthCheckId>h-1</HealthCheckId>", "a health check"),
        (
            "<TrafficPolicyInstanceId>t-1</TrafficPolicyInstanceId>",
            "a traffic policy",
        ),
    ] {
        let record = set(&format!(
            "<Name>a.example.com.</Name><Type>A</Type><SetIdentifier>x</SetIdentifier>{xml}<TTL>60</TTL>\
             <ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord></ResourceRecords>"
        ));
        let mut wanted = key("a.example.com", RecordType::A);
        wanted.set_identifier = Some("x".to_owned());
        let error = cutover(&Fake::new([page(&[&record], None)]))
            .snapshot(&context(), &zone(), &wanted)
            .await
            .expect_err(says);
        assert_eq!((error.kind, error.retry), (ErrorKind::Unsupported, Retry::Never));
        assert!(error.context.contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_stale_batch_is_a_conflict_with_the_messages_of_route_53() {
    // Someone has changed the record since.
    let changed_by_other = page(
        &[&listed("api.example.com.", "CNAME", 300, &["theirs.example.com"])],
        None,
    );
    let says = "Tried to delete resource record set but the values provided do not match the current values";
    // Route 53 has two forms of this error.
    for refusal in [invalid_batch(says), failed(400, "InvalidChangeBatch", says)] {
        let fake = api([refusal, changed_by_other.clone()]);
        let batch = batch(&fake, api_new()).await;
        let error = cutover(&fake).apply(&context(), &batch).await.expect_err("stale");
        assert_eq!(
            (error.kind, error.retry, error.applied),
            (ErrorKind::Conflict, Retry::Never, Applied::No)
        );
        assert!(error.context.contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_marker_that_has_moved_is_a_conflict_too() {
    let [record, _] = api_listed();
    let moved = page(
        &[&listed(
            "_rollout.api.example.com.",
            "TXT",
            60,
            &["\"generation=43 run=r-9\""],
        )],
        None,
    );
    let fake = api([invalid_batch("no"), record, moved]);
    let batch = batch(&fake, api_new()).await;
    let error = cutover(&fake)
        .apply(&context(), &batch)
        .await
        .expect_err("fenced");
    assert_eq!(error.kind, ErrorKind::Conflict);
}

#[tokio::test]
async fn a_batch_that_is_wrong_in_itself_is_not_called_a_conflict() {
    let [record, marker] = api_listed();
    let fake = api([invalid_batch("Invalid Resource Record"), record, marker]);
    let batch = batch(&fake, api_new()).await;
    let error = cutover(&fake)
        .apply(&context(), &batch)
        .await
        .expect_err("invalid");
    assert_eq!(
        (error.kind, error.retry, error.applied),
        (ErrorKind::InvalidRequest, Retry::Never, Applied::No)
    );
    assert!(error.context.contains("Invalid Resource Record"), "{error}");
}

#[tokio::test]
async fn a_refused_batch_that_cannot_be_looked_into_is_a_conflict() {
    let fake = api([invalid_batch("no"), failed(403, "AccessDenied", "no")]);
    let batch = batch(&fake, api_new()).await;
    let error = cutover(&fake).apply(&context(), &batch).await.expect_err("no");
    assert_eq!(error.kind, ErrorKind::Conflict);
}

#[tokio::test]
async fn every_error_code_has_its_meaning_and_a_change_is_sent_once() {
    use Applied::{Maybe, No};
    use ErrorKind::{InvalidRequest, NotFound, PermissionDenied, Throttled, Unavailable};
    for (status, code, kind, retry, applied) in [
        (400, "PriorRequestNotComplete", Throttled, Retry::Later, No),
        (400, "Throttling", Throttled, Retry::Later, No),
        (404, "NoSuchHostedZone", NotFound, Retry::Never, No),
        (400, "NoSuchHealthCheck", NotFound, Retry::Never, No),
        (403, "AccessDenied", PermissionDenied, Retry::Never, No),
        (400, "InvalidInput", InvalidRequest, Retry::Never, No),
        (503, "ServiceUnavailable", Unavailable, Retry::Exhausted, Maybe),
    ] {
        let fake = api([failed(status, code, "the message")]);
        let batch = batch(&fake, api_new()).await;
        let error = cutover(&fake).apply(&context(), &batch).await.expect_err(code);
        assert_eq!(
            (error.kind, error.retry, error.applied),
            (kind, retry, applied),
            "{code}"
        );
        assert!(error.context.contains(code), "{error}");
        assert_eq!(fake.sent().len(), 3, "{code}");
    }
    // No answer at all.
    let fake = api([]);
    let batch = batch(&fake, api_new()).await;
    let error = cutover(&fake).apply(&context(), &batch).await.expect_err("lost");
    assert_eq!(error.applied, Maybe);
    assert_eq!(fake.sent().len(), 3);
}

struct Refuses;

#[async_trait]
impl Guard for Refuses {
    async fn check(&self, _ctx: &OpContext) -> Result<(), Error> {
        Err(Error::new(
            ErrorKind::PermissionDenied,
            "sts:GetCallerIdentity",
            "the wrong account",
        ))
    }
}

#[tokio::test]
async fn nothing_is_sent_past_a_guard_or_to_another_zone() {
    let fake = api([changed()]);
    let batch = batch(&fake, api_new()).await;
    let sent = fake.sent().len();
    let error = cutover(&fake)
        .with_guard(Arc::new(Refuses))
        .apply(&context(), &batch)
        .await
        .expect_err("guarded");
    assert_eq!(error.operation, "sts:GetCallerIdentity");
    let other = Route53Cutover::from_config(&fake.config(), ["Z2".parse().expect("a valid id")]);
    let error = other.apply(&context(), &batch).await.expect_err("another zone");
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert!(error.context.contains("Z2"), "{error}");
    let asked = other
        .snapshot(&context(), &zone(), &key("api.example.com", RecordType::A))
        .await;
    assert_eq!(asked.expect_err("another zone").kind, ErrorKind::InvalidRequest);
    assert_eq!(fake.sent().len(), sent);
}

#[tokio::test]
async fn propagation_is_in_sync_only_when_route_53_says_so() {
    let answer = |status: &str| {
        say(
            200,
            format!(
                "<?xml version=\"1.0\"?><GetChangeResponse {XMLNS}>{}</GetChangeResponse>",
                accepted(status)
            ),
        )
    };
    let fake = Fake::new([
        answer("PENDING"),
        answer("INSYNC"),
        answer("SOMETHING_NEW"),
        failed(404, "NoSuchChange", "no"),
    ]);
    let cutover = cutover(&fake);
    let change: ChangeId = "C123".parse().expect("a valid id");
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(cutover.propagation(&context(), &change).await.expect("an answer"));
    }
    assert_eq!(
        seen,
        [Propagation::Pending, Propagation::InSync, Propagation::Pending]
    );
    assert_eq!(fake.sent()[0].path, "/2013-04-01/change/C123");
    let error = cutover.propagation(&context(), &change).await.expect_err("gone");
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn without_providers_nobody_can_tell() {
    let fake = Fake::new([]);
    let data = api_new().data;
    let check = cutover(&fake)
        .check_target(&context(), &data)
        .await
        .expect("an answer");
    assert_eq!(check.healthy, None);
    let traffic = cutover(&fake)
        .old_traffic(&context(), &data)
        .await
        .expect("an answer");
    assert_eq!(traffic.requests_per_minute, None);
}
