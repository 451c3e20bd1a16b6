//! A hosted zone with records, written and read through the API.

use aws_sdk_route53::types::{Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet, RrType};
use rollout_core::dns::{RecordKey, RecordType};
use rollout_core::id::ZoneId;

use super::account::Account;
use super::id;

/// A zone of one account.
#[derive(Clone, Debug)]
pub struct Zone {
    account: Account,
    /// Its id.
    pub id: ZoneId,
    /// Its name, without the trailing dot.
    pub name: String,
}

impl Zone {
    /// A new, empty zone.
    ///
    /// # Panics
    /// When the emulator does not make it.
    pub async fn create(account: &Account, tag: &str) -> Self {
        let name = format!("{tag}.example.com");
        let made = account
            .route53
            .create_hosted_zone()
            .name(&name)
            .caller_reference(tag)
            .send()
            .await
            .expect("CreateHostedZone");
        let zone = made.hosted_zone.expect("a zone");
        Self {
            account: account.clone(),
            id: id(zone.id.trim_start_matches("/hostedzone/")),
            name,
        }
    }

    /// The key of a CNAME of this zone.
    #[must_use]
    pub fn cname(&self, label: &str) -> RecordKey {
        RecordKey {
            name: id(&format!("{label}.{}", self.name)),
            record_type: RecordType::Cname,
            set_identifier: None,
        }
    }

    /// Makes a record say this, whatever it said before: as somebody with a console would.
    ///
    /// # Panics
    /// When the emulator does not take it.
    pub async fn upsert(&self, key: &RecordKey, ttl: i64, value: &str) {
        let kind = RrType::from(key.record_type.to_string().as_str());
        let set = ResourceRecordSet::builder()
            .name(key.name.as_str())
            .r#type(kind)
            .ttl(ttl)
            .resource_records(ResourceRecord::builder().value(value).build().expect("a value"))
            .build()
            .expect("a record");
        let change = Change::builder()
            .action(ChangeAction::Upsert)
            .resource_record_set(set)
            .build()
            .expect("a change");
        let batch = ChangeBatch::builder().changes(change).build().expect("a batch");
        self.account
            .route53
            .change_resource_record_sets()
            .hosted_zone_id(self.id.as_str())
            .change_batch(batch)
            .send()
            .await
            .expect("ChangeResourceRecordSets");
    }

    /// TTL and values of a record; `None` when there is none.
    ///
    /// # Panics
    /// When the zone cannot be listed.
    pub async fn read(&self, name: &str, kind: &str) -> Option<(i64, Vec<String>)> {
        let listed = self
            .account
            .route53
            .list_resource_record_sets()
            .hosted_zone_id(self.id.as_str())
            .send()
            .await
            .expect("ListResourceRecordSets");
        listed
            .resource_record_sets
            .into_iter()
            .find(|set| set.name.trim_end_matches('.') == name && set.r#type.as_str() == kind)
            .map(|set| {
                let values = set.resource_records.unwrap_or_default();
                (
                    set.ttl.unwrap_or_default(),
                    values.into_iter().map(|record| record.value).collect(),
                )
            })
    }

    /// The marker beside a record, as text.
    pub async fn marker(&self, key: &RecordKey) -> Option<String> {
        let (_, values) = self.read(&format!("_rollout.{}", key.name), "TXT").await?;
        values.into_iter().next()
    }
}
