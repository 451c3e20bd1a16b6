//! Secrets and parameters that task definitions name. No value is read.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ssm::types::{ParameterMetadata, ParameterStringFilter, ParameterType};
use rollout_core::readiness::fact::image::{Secret, Store};
use rollout_core::readiness::known::Table;

use super::call::Call;
use super::map::{arn, text, time};
use super::round::{Asked, Refused, Round, batched, pages, table};
use crate::secretsmanager::Reference;
use crate::ssm;

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

async fn stored(round: &Round<'_>, region: &str, from: BTreeSet<String>) -> Table<Secret> {
    batched(from, ssm::TOGETHER, |from| async move {
        let elsewhere = |from: &&String| arn(from).is_some_and(|(_, of, ..)| of != region);
        if let Some(other) = from.iter().find(elsewhere) {
            return Err(Refused::unclear(
                other,
                "a parameter among them is in a region that is not asked",
            ));
        }
        // Several may name versions of one.
        let mut by_name: BTreeMap<String, Vec<&String>> = BTreeMap::new();
        for from in &from {
            let named = ssm::Reference::read(from).map_or_else(|| from.clone(), |reference| reference.name);
            by_name.entry(named).or_default().push(from);
        }
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
        let found = found.iter().flat_map(|one| {
            let named = one.name().and_then(|name| by_name.get(name));
            let named = named.into_iter().flatten();
            named.map(|from| ((*from).clone(), stored_secret(one)))
        });
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
