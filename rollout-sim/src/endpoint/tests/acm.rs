//! ACM on the wire.

use core::time::Duration;

use rollout_core::dns::{Change, Record, RecordData, RecordKey, RecordType};
use serde_json::{Value, json};

use super::json_call;
use crate::clock::SimCloud;
use crate::endpoint::Endpoint;
use crate::world::World;

fn call(endpoint: &Endpoint, operation: &str, body: &Value) -> (u16, Value) {
    let of = ("444455556666", "eu-central-1", "acm");
    json_call(endpoint, of, &format!("CertificateManager.{operation}"), body)
}

#[test]
fn a_certificate_is_issued_once_the_zone_has_its_record() {
    let world = World::builder(7)
        .environment("prod", |e| e.account("444455556666"))
        .zone("Z1", "example.com", |z| z)
        .build()
        .expect("a world");
    let endpoint = Endpoint::new(SimCloud::new(world));
    let wanted = json!({
        "DomainName": "example.com", "SubjectAlternativeNames": ["*.example.com"], "ValidationMethod": "DNS",
        "IdempotencyToken": "t1",
    });
    let (_, made) = call(&endpoint, "RequestCertificate", &wanted);
    assert_eq!(
        call(&endpoint, "RequestCertificate", &wanted).1,
        made,
        "the same token, the same certificate"
    );
    let see = || call(&endpoint, "DescribeCertificate", &made).1["Certificate"].clone();
    let seen = see();
    assert_eq!(seen["Status"], json!("PENDING_VALIDATION"));
    let options = seen["DomainValidationOptions"].as_array().expect("a list");
    assert_eq!(
        options[0]["ResourceRecord"], options[1]["ResourceRecord"],
        "one record proves both names"
    );
    endpoint.cloud().with(|w| w.pass(Duration::from_secs(3_600)));
    assert_eq!(see()["Status"], json!("PENDING_VALIDATION"), "nothing proves it");
    let record = |name: &str| {
        options[0]["ResourceRecord"][name]
            .as_str()
            .expect("text")
            .to_owned()
    };
    let create = Change::Create(Record {
        key: RecordKey {
            name: record("Name").parse().expect("a name"),
            record_type: RecordType::Cname,
            set_identifier: None,
        },
        weight: None,
        data: RecordData::Values {
            ttl: 300,
            values: vec![record("Value")],
        },
    });
    endpoint
        .cloud()
        .with(|w| w.zones[0].apply(&mut w.kernel, &[create]))
        .expect("it is new");
    endpoint.cloud().with(|w| w.pass(Duration::from_secs(180)));
    let seen = see();
    assert_eq!(seen["Status"], json!("ISSUED"));
    assert_eq!(
        seen["DomainValidationOptions"][1]["ValidationStatus"],
        json!("SUCCESS")
    );
    let (_, list) = call(
        &endpoint,
        "ListCertificates",
        &json!({ "CertificateStatuses": ["ISSUED"] }),
    );
    assert_eq!(
        list["CertificateSummaryList"][0]["CertificateArn"],
        made["CertificateArn"]
    );
    assert_eq!(call(&endpoint, "DeleteCertificate", &made).0, 200);
    let (status, gone) = call(&endpoint, "DescribeCertificate", &made);
    assert_eq!(
        (status, &gone["__type"]),
        (400, &json!("ResourceNotFoundException"))
    );
    // One that nobody proves is given up after 72 hours.
    let (_, other) = call(
        &endpoint,
        "RequestCertificate",
        &json!({ "DomainName": "x.org", "ValidationMethod": "DNS" }),
    );
    endpoint.cloud().with(|w| w.pass(Duration::from_secs(73 * 3_600)));
    let (_, seen) = call(&endpoint, "DescribeCertificate", &other);
    assert_eq!(seen["Certificate"]["Status"], json!("VALIDATION_TIMED_OUT"));
}
