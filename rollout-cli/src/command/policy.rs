//! `rollout policy`: the least IAM policy for a command, from the list of calls that it makes.

use rollout_aws::readiness::ACTIONS;

use crate::args::PolicyCommand;
use crate::exit::Exit;

pub(crate) fn execute(command: PolicyCommand) -> anyhow::Result<Exit> {
    let policy = match command {
        PolicyCommand::Check => document("RolloutCheck", ACTIONS),
    };
    super::write(&policy)?;
    Ok(Exit::Done)
}

/// A policy document, as `aws iam create-policy --policy-document` takes it. Most of these reads know no resource that they could be
/// limited to (Service Authorization Reference), so all of them are for every one.
fn document(sid: &str, actions: &[&str]) -> String {
    let mut actions = actions.to_vec();
    actions.sort_unstable();
    let document = serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": "*" }],
    });
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_allows_reads_only_and_each_of_them_once() {
        let text = document("RolloutCheck", ACTIONS);
        let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let actions = document["Statement"][0]["Action"].as_array().expect("a list");
        let reads = [
            "Describe", "Get", "List", "View", "Simulate", "BatchGet", "Lookup",
        ];
        for action in actions {
            let (_, operation) = action
                .as_str()
                .and_then(|text| text.split_once(':'))
                .expect("service:Operation");
            assert!(reads.iter().any(|read| operation.starts_with(read)), "{action}");
            assert!(
                !["GetSecretValue", "GetParameter", "GetParameters", "GetObject"].contains(&operation),
                "{action}"
            );
        }
        let mut once: Vec<_> = actions.iter().map(ToString::to_string).collect();
        once.dedup();
        assert_eq!(once.len(), actions.len());
    }
}
