//! What a person may run when the machine can go neither forward nor back: the AWS CLI, with the exact batch.

use serde_json::{Value, json};

use super::Spec;
use super::flow::{Flow, same_record};
use super::state::{Leg, Running};
use crate::dns::{Record, RecordData};

impl Flow<'_> {
    /// First how to look, then the exact change, if there is one to make.
    pub(super) fn next_commands(&self, run: &Running) -> Vec<String> {
        let zone = &self.spec.zone;
        let mut commands = vec![look(self.spec)];
        let now = run.known.record.as_ref();
        let changes = match (now, self.wanted(run, Leg::Back)) {
            (Some(now), Some(home)) if same_record(now, &home) => Vec::new(),
            (now, Some(home)) => now
                .map(|now| change("DELETE", now))
                .into_iter()
                .chain([change("CREATE", &home)])
                .collect(),
            // It did not exist before: a person may remove it, with its marker.
            (Some(now), None) => [Some(now), run.known.marker.as_ref()]
                .into_iter()
                .flatten()
                .map(|record| change("DELETE", record))
                .collect(),
            (None, None) => Vec::new(),
        };
        if !changes.is_empty() {
            let mut batch = json!({ "Changes": changes });
            // The same text whichever order the JSON map keeps: that is a feature of its crate, switched on by others.
            batch.sort_all_objects();
            let batch = batch.to_string();
            commands.push(format!(
                "aws route53 change-resource-record-sets --hosted-zone-id {zone} --change-batch {}",
                quoted(&batch)
            ));
        }
        commands
    }
}

/// How to see what the record says.
pub(crate) fn look(spec: &Spec) -> String {
    format!(
        "aws route53 list-resource-record-sets --hosted-zone-id {} --start-record-name {} --start-record-type {} \
         --max-items 1",
        spec.zone,
        quoted(spec.key.name.as_str()),
        quoted(&spec.key.record_type.to_string()),
    )
}

fn change(action: &str, record: &Record) -> Value {
    let mut set = json!({
        "Name": record.key.name.as_str(),
        "Type": record.key.record_type.to_string(),
    });
    let mut put = |name: &str, value: Value| {
        if let Some(fields) = set.as_object_mut() {
            fields.insert(name.to_owned(), value);
        }
    };
    if let Some(id) = &record.key.set_identifier {
        put("SetIdentifier", json!(id));
    }
    if let Some(weight) = record.weight {
        put("Weight", json!(weight));
    }
    match &record.data {
        RecordData::Alias {
            target,
            zone,
            evaluate_target_health,
        } => put(
            "AliasTarget",
            json!({
                "HostedZoneId": zone.as_str(),
                "DNSName": target.as_str(),
                "EvaluateTargetHealth": evaluate_target_health,
            }),
        ),
        RecordData::Values { ttl, values } => {
            let values: Vec<Value> = values.iter().map(|value| json!({ "Value": value })).collect();
            put("TTL", json!(ttl));
            put("ResourceRecords", json!(values));
        }
    }
    json!({ "Action": action, "ResourceRecordSet": set })
}

/// For a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
