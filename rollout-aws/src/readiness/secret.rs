//! Secrets and parameters that task definitions name. No value is read.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ssm::types::{ParameterMetadata, ParameterStringFilter, ParameterType};
use rollout_core::readiness::fact::image::{Secret, Store};
use rollout_core::readiness::known::{Known, Table, Unseen};

use super::call::Call;
use super::map::{text, time};
use super::round::{Asked, Refused, Round, batched, known, pages, table};
use crate::secretsmanager::Reference;
use crate::ssm;

/// Secrets by what task definitions name them by.
pub(super) async fn secrets(
    round: &Round<'_>,
    (account, region): (&str, &str),
    from: BTreeSet<String>,
) -> Table<Secret> {
    let (managed, parameters): (BTreeSet<String>, BTreeSet<String>) =
        from.into_iter().partition(|from| Reference::read(from).is_some());
    let managed = table(managed, |from| async move { managed_secret(round, &from).await });
    let (mut all, stored) =
        futures_util::future::join(managed, stored(round, account, region, parameters)).await;
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

async fn stored(round: &Round<'_>, account: &str, region: &str, from: BTreeSet<String>) -> Table<Secret> {
    let mut all = Table::default();
    let mut asked = BTreeMap::new();
    for from in from {
        let reference = ssm::Reference::read(&from);
        let why = match &reference {
            Some(reference) => reference.unasked(account, Some(region)),
            None => Some("it names no secret and no parameter"),
        };
        match (why, reference) {
            (None, Some(reference)) => drop(asked.insert(from, reference)),
            (why, _) => all.put(
                &from,
                known(Err(Refused::unclear(&from, why.unwrap_or_default()))),
            ),
        }
    }
    let names = asked.values().flat_map(ssm::Reference::names).map(str::to_owned);
    let held = described(round, names.collect()).await;
    for (from, reference) in asked {
        let mut told = Known::Missing;
        for name in reference.names() {
            match held.find(name) {
                Ok(None) => {}
                Ok(Some(parameter)) => {
                    told = match reference.unseen_version(parameter.version()) {
                        None => Known::Seen(stored_secret(parameter)),
                        Some(why) => known(Err(Refused::unclear(&from, why))),
                    };
                    break;
                }
                Err(unseen) => {
                    told = Known::Unknown(Unseen {
                        subject: from.clone(),
                        ..unseen
                    });
                }
            }
        }
        all.put(&from, told);
    }
    all
}

async fn described(round: &Round<'_>, names: BTreeSet<String>) -> Table<ParameterMetadata> {
    batched(names, ssm::TOGETHER, |names| async move {
        let subject = names.join(", ");
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
        let found = found.into_iter();
        Ok(found
            .filter_map(|one| Some((one.name()?.to_owned(), one)))
            .collect())
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
