//! Route 53: a zone, batches that fit and batches that do not.

use aws_sdk_route53::types::{
    Change, ChangeAction, ChangeBatch, ChangeStatus, ResourceRecord, ResourceRecordSet, RrType,
};

use tokio::time::Instant;

use super::{Facts, Stage, refused, told};

const CHANGE: &str = "Route 53 ChangeResourceRecordSets";

fn record(name: &str, value: &str) -> ResourceRecordSet {
    ResourceRecordSet::builder()
        .name(format!("{name}.shapes.example.com"))
        .r#type(RrType::Txt)
        .ttl(60)
        .resource_records(
            ResourceRecord::builder()
                .value(format!("\"{value}\""))
                .build()
                .expect("a value"),
        )
        .build()
        .expect("a record")
}

fn batch(changes: &[(ChangeAction, ResourceRecordSet)]) -> ChangeBatch {
    let changes = changes.iter().map(|(action, set)| {
        let change = Change::builder()
            .action(action.clone())
            .resource_record_set(set.clone());
        change.build().expect("a change")
    });
    ChangeBatch::builder()
        .set_changes(Some(changes.collect()))
        .build()
        .expect("a batch")
}

/// Waits until a change is everywhere.
async fn in_sync(stage: &Stage, id: &str) {
    let begun = Instant::now();
    while begun.elapsed() < stage.patience {
        let sent = stage.route53.get_change().id(id).send().await;
        let told = sent.ok().and_then(|sent| sent.change_info);
        if told.is_some_and(|change| change.status == ChangeStatus::Insync) {
            return;
        }
        tokio::time::sleep(stage.every).await;
    }
}

pub(super) async fn play(stage: &Stage, facts: &mut Facts) {
    let (client, zone) = (&stage.route53, stage.zone.as_str());
    let change = |id: &str, changes: &[(ChangeAction, ResourceRecordSet)]| {
        let call = client.change_resource_record_sets().hosted_zone_id(id);
        call.change_batch(batch(changes)).send()
    };
    let (create, delete) = (ChangeAction::Create, ChangeAction::Delete);
    told(
        facts,
        "Route 53 GetHostedZone",
        &client.get_hosted_zone().id(zone).send().await,
    );
    let sent = client
        .list_hosted_zones_by_name()
        .dns_name("shapes.example.com")
        .send()
        .await;
    told(facts, "Route 53 ListHostedZonesByName", &sent);

    let first = change(zone, &[(create.clone(), record("a", "one"))]).await;
    told(facts, CHANGE, &first);
    let id = first
        .ok()
        .and_then(|sent| Some(sent.change_info?.id))
        .unwrap_or_default();
    told(
        facts,
        "Route 53 GetChange",
        &client.get_change().id(&id).send().await,
    );
    let list = || client.list_resource_record_sets().hosted_zone_id(zone).send();
    told(facts, "Route 53 ListResourceRecordSets", &list().await);
    // So that what follows is refused for what it asks, not for a change that is under way.
    in_sync(stage, &id).await;

    let sent = change(zone, &[(create.clone(), record("a", "two"))]).await;
    refused(facts, CHANGE, "CREATE of a record that is there", &sent);
    let sent = change(zone, &[(delete.clone(), record("a", "two"))]).await;
    refused(facts, CHANGE, "DELETE with other values", &sent);
    let sent = change(zone, &[(delete.clone(), record("b", "one"))]).await;
    refused(facts, CHANGE, "DELETE of no record", &sent);
    let both = [
        (create.clone(), record("c", "one")),
        (delete.clone(), record("a", "two")),
    ];
    refused(
        facts,
        CHANGE,
        "a good CREATE beside a bad DELETE",
        &change(zone, &both).await,
    );
    let outside = record("a.elsewhere", "one");
    let outside = ResourceRecordSet::builder()
        .name("a.elsewhere.org")
        .r#type(outside.r#type)
        .ttl(60)
        .set_resource_records(outside.resource_records);
    let outside = outside.build().expect("a record");
    refused(
        facts,
        CHANGE,
        "a name outside of the zone",
        &change(zone, &[(create.clone(), outside)]).await,
    );
    let sent = change("ZNONE00000000", &[(create, record("a", "one"))]).await;
    refused(facts, CHANGE, "an unknown zone", &sent);
    let sent = client.get_change().id("CNONE00000000").send().await;
    refused(facts, "Route 53 GetChange", "an unknown change", &sent);
    let sent = client.get_hosted_zone().id("ZNONE00000000").send().await;
    refused(facts, "Route 53 GetHostedZone", "an unknown zone", &sent);
    // What the refused batches left behind.
    let sets = list()
        .await
        .map(|sent| sent.resource_record_sets)
        .unwrap_or_default();
    let mut names: Vec<String> = sets
        .iter()
        .filter(|set| set.r#type == RrType::Txt)
        .map(|set| format!("{} {}", set.name, set.resource_records()[0].value))
        .collect();
    names.sort();
    facts.words(CHANGE, "what is there in the end", names.join(", "));
}
