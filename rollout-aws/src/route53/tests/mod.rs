//! The adapter against a scripted Route 53 (what goes over the wire is what is compared) and name servers on loopback.

mod names;
mod records;

use std::sync::Arc;

use rollout_core::dns::RecordType;
use rollout_core::time::Timestamp;

use super::*;
use crate::fake::{Fake, Said, context, say};

const XMLNS: &str = "xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"";

fn zone() -> ZoneId {
    "Z1".parse().expect("a valid id")
}

fn cutover(fake: &Fake) -> Route53Cutover {
    Route53Cutover::from_config(&fake.config(), [zone()]).with_now(Arc::new(|| Timestamp::from_millis(7)))
}

fn key(name: &str, record_type: RecordType) -> RecordKey {
    RecordKey {
        name: name.parse().expect("a valid name"),
        record_type,
        set_identifier: None,
    }
}

fn values(key: RecordKey, ttl: u32, values: &[&str]) -> Record {
    Record {
        key,
        weight: None,
        data: RecordData::Values {
            ttl,
            values: values.iter().map(|&v| v.to_owned()).collect(),
        },
    }
}

fn alias(key: RecordKey, target: &str, home: &str) -> Record {
    Record {
        key,
        weight: None,
        data: RecordData::Alias {
            target: target.parse().expect("a valid name"),
            zone: home.parse().expect("a valid id"),
            evaluate_target_health: true,
        },
    }
}

/// A listing with these records as XML; `next` is the XML that says where the next page begins.
fn page(records: &[&str], next: Option<&str>) -> Said {
    say(
        200,
        format!(
            "<?xml version=\"1.0\"?><ListResourceRecordSetsResponse {XMLNS}><ResourceRecordSets>{}</ResourceRecordSets>\
             <IsTruncated>{}</IsTruncated>{}<MaxItems>100</MaxItems></ListResourceRecordSetsResponse>",
            records.concat(),
            next.is_some(),
            next.unwrap_or_default(),
        ),
    )
}

/// There is nothing: that is asked for twice.
fn nothing() -> [Said; 2] {
    [page(&[], None), page(&[], None)]
}

fn set(inner: &str) -> String {
    format!("<ResourceRecordSet>{inner}</ResourceRecordSet>")
}

fn listed(name: &str, kind: &str, ttl: u32, values: &[&str]) -> String {
    let values: String = values
        .iter()
        .map(|v| format!("<ResourceRecord><Value>{v}</Value></ResourceRecord>"))
        .collect();
    set(&format!(
        "<Name>{name}</Name><Type>{kind}</Type><TTL>{ttl}</TTL><ResourceRecords>{values}</ResourceRecords>"
    ))
}

fn failed(status: u16, code: &str, message: &str) -> Said {
    say(
        status,
        format!(
            "<?xml version=\"1.0\"?><ErrorResponse {XMLNS}><Error><Type>Sender</Type><Code>{code}</Code>\
             <Message>{message}</Message></Error><RequestId>req-1</RequestId></ErrorResponse>"
        ),
    )
}

fn invalid_batch(message: &str) -> Said {
    say(
        400,
        format!(
            "<?xml version=\"1.0\"?><InvalidChangeBatch {XMLNS}><Messages><Message>{message}</Message></Messages>\
             <RequestId>req-1</RequestId></InvalidChangeBatch>"
        ),
    )
}

fn accepted(status: &str) -> String {
    format!(
        "<ChangeInfo><Id>/change/C123</Id><Status>{status}</Status>\
         <SubmittedAt>2026-01-01T00:00:00Z</SubmittedAt></ChangeInfo>"
    )
}

fn changed() -> Said {
    say(
        200,
        format!(
            "<?xml version=\"1.0\"?><ChangeResourceRecordSetsResponse {XMLNS}>{}</ChangeResourceRecordSetsResponse>",
            accepted("PENDING")
        ),
    )
}
