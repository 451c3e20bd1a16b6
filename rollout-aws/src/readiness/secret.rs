//! Secrets and parameters that task definitions name. No value is read.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ssm::types::{ParameterMetadata, ParameterStringFilter, ParameterType};
use rollout_core::readiness::fact::image::{Secret, Store};
use rollout_core::readiness::known::Table;

use super::call::Call;
use super::map::{arn, text, time};
use super::round::{Asked, Refused, Round, batched, pages, table};
use crate::secretsmanager::Reference;

/// Parameters of one call. A filter takes 50 values (AWS Systems Manager API, "ParameterStringFilter").
const PARAMETERS: usize = 50;

/// Secrets by what task definitions name them by.
pub(super) async fn secrets(round: &Round<'_>, region: &str, from: BTreeSet<String>) -> Table<Secret> {
    let (managed, parameters): (BTreeSet<String>, BTreeSet<String>) =
        from.into_iter().partition(|from| Reference::read(from).is_some());
    let managed = table(managed, |from| async move { managed_secret(round, &from).await });
    let (mut all, stored) = futures_util::future::join(managed, stored(round, region, parameters)).await;
    for (from, known) in stored.iter() {
        all.put(from, known.clone());
    }
    all
}

async fn managed_secret(round: &Round<'_>, from: &str) -> Asked<Secret> {
    let Some(reference) = Reference::read(from) else {
        return Err(Refused::unclear(from, "it names no secret"));
    };
    // ECS reads a secret where its ARN says, whatever the task's region.
    let region = aws_sdk_secretsmanager::config::Region::new(reference.region.clone());
    let request = round
        .aws
        .secrets
        .describe_secret()
        .secret_id(&reference.arn)
        .customize();
    let request = request.config_override(aws_sdk_secretsmanager::Config::builder().region(region));
    let answer = round.ask(Call::DescribeSecret, from, request.send()).await?;
    Ok(Secret {
        arn: answer.arn().unwrap_or(&reference.arn).to_owned(),
        name: text(answer.name()),
        store: Store::SecretsManager,
        changed_at: answer
            .last_changed_date()
            .or_else(|| answer.created_date())
            .map(time),
        deleted_at: answer.deleted_date().map(time),
        encrypted: true,
    })
}

/// The name of a parameter by its name or ARN: in the ARN, the slash before a path is the one behind `parameter`.
fn parameter(from: &str) -> String {
    match arn(from).and_then(|(_, _, _, resource)| resource.strip_prefix("parameter")) {
        Some(path) if path.matches('/').count() > 1 => path.to_owned(),
        Some(path) => path.trim_start_matches('/').to_owned(),
        None => from.to_owned(),
    }
}

async fn stored(round: &Round<'_>, region: &str, from: BTreeSet<String>) -> Table<Secret> {
    batched(from, PARAMETERS, |from| async move {
        let elsewhere = |from: &&String| arn(from).is_some_and(|(_, of, ..)| of != region);
        if let Some(other) = from.iter().find(elsewhere) {
            return Err(Refused::unclear(
                other,
                "a parameter among them is in a region that is not asked",
            ));
        }
        let by_name: BTreeMap<String, &String> = from.iter().map(|from| (parameter(from), from)).collect();
        let subject = from.join(", ");
        let names: Vec<String> = by_name.keys().cloned().collect();
        let filter = ParameterStringFilter::builder()
            .key("Name")
            .option("Equals")
            .set_values(Some(names));
        let filter = filter
            .build()
            .map_err(|error| Refused::unclear(&subject, error.to_string()))?;
        let found = pages(Call::DescribeParameters, &subject, |token| {
            let request = round.aws.ssm.describe_parameters();
            let request = request.parameter_filters(filter.clone()).set_next_token(token);
            let asked = round.ask(Call::DescribeParameters, &subject, request.send());
            async move {
                asked
                    .await
                    .map(|answer| (answer.parameters.unwrap_or_default(), answer.next_token))
            }
        })
        .await?;
        let found = found
            .iter()
            .filter_map(|one| Some(((*by_name.get(one.name()?)?).clone(), stored_secret(one))));
        Ok(found.collect())
    })
    .await
}

fn stored_secret(parameter: &ParameterMetadata) -> Secret {
    Secret {
        arn: text(parameter.arn()),
        name: text(parameter.name()),
        store: Store::ParameterStore,
        changed_at: parameter.last_modified_date().map(time),
        deleted_at: None,
        encrypted: parameter.r#type() == Some(&ParameterType::SecureString),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_found_by_its_arn_too() {
        for (from, name) in [
            (
                "arn:aws:ssm:eu-central-1:111122223333:parameter/shop/url",
                "/shop/url",
            ),
            ("arn:aws:ssm:eu-central-1:111122223333:parameter/url", "url"),
            ("/shop/url", "/shop/url"),
            ("url", "url"),
        ] {
            assert_eq!(parameter(from), name, "{from}");
        }
    }
}
