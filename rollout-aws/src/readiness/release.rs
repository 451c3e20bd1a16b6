//! The way back of each service, where its release was proven, and what it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rollout_core::error::ErrorKind;
use rollout_core::id::ServiceName;
use rollout_core::port::Rollback as _;
use rollout_core::readiness::fact::Question;
use rollout_core::readiness::fact::answer::Answer;
use rollout_core::readiness::fact::image::name_of;
use rollout_core::readiness::fact::release::{Proven, WayBack};
use rollout_core::readiness::intent::Intent;
use rollout_core::readiness::known::{Known, Table, Unseen};
use rollout_core::service::{Captured, Found, Part, PartKind, Usability};

use super::image::Place;
use super::round::{Asked, Refused, Round, each, known};
use super::{AwsFacts, Source, task};
use crate::ecr::Registry;
use crate::ecs::{EcsEnvironment, EcsRollback};
use crate::secretsmanager::Secrets;
use crate::ssm::Parameters;
use crate::sts::{Expected, IdentityGuard};

/// What each service would go back to, as a rollback finds it out.
pub(super) async fn ways_back(facts: &AwsFacts, round: &Round<'_>, intent: &Intent) -> Table<WayBack> {
    let rollback = rollback(facts, round, intent);
    let services = intent.services.iter();
    let found = each(services.map(|service| way_back(facts, round, &rollback, &service.name))).await;
    by_service(intent, found)
}

/// What was found of each service, in the intent's order, by its name.
fn by_service<T>(intent: &Intent, found: Vec<Asked<T>>) -> Table<T> {
    let mut table = Table::default();
    for (service, found) in intent.services.iter().zip(found) {
        table.put(service.name.as_str(), known(found));
    }
    table
}

/// A client of its own, with its calls counted with the others: the round's own clients are paid for already, and an adapter pays
/// for itself.
macro_rules! counted {
    ($crate_name:ident as $service:literal, $config:expr, $round:expr) => {{
        let config = $crate_name::config::Builder::from($config);
        $crate_name::Client::from_conf(config.interceptor($round.calls.of($service)).build())
    }};
}

/// The adapter, with clients whose calls are counted with the others.
fn rollback(facts: &AwsFacts, round: &Round<'_>, intent: &Intent) -> EcsRollback {
    let expected = Expected {
        account: intent.expects.account.clone(),
        region: intent.expects.region.clone(),
        caller: None,
    };
    // It is only asked before something is changed, and nothing is.
    let guard = Arc::new(IdentityGuard::with_client(round.aws.sts.clone(), expected));
    let config = &facts.config;
    let ecs = counted!(aws_sdk_ecs as "ecs", config, round);
    let mut environment =
        EcsEnvironment::with_client(ecs, &intent.cluster, guard).clock(Arc::clone(&facts.now));
    let mut registry = Registry::with_client(counted!(aws_sdk_ecr as "ecr", config, round));
    let mut secrets =
        Secrets::with_client(counted!(aws_sdk_secretsmanager as "secretsmanager", config, round));
    let ssm = counted!(aws_sdk_ssm as "ssm", config, round);
    let mut parameters = Parameters::with_client(ssm, &intent.expects.account);
    if let Some(observer) = &facts.observer {
        environment = environment.shared(observer);
        registry = registry.shared(observer);
        secrets = secrets.shared(observer);
        parameters = parameters.shared(observer);
    }
    EcsRollback::new(Arc::new(environment))
        .images(registry)
        .secrets(secrets)
        .parameters(parameters)
}

async fn way_back(
    facts: &AwsFacts,
    round: &Round<'_>,
    rollback: &EcsRollback,
    service: &ServiceName,
) -> Asked<WayBack> {
    let subject = service.as_str();
    let captured = rollback.capture(round.ctx, service).await;
    match captured.map_err(|error| not_missing(&error, subject))? {
        Captured::Point(point) => {
            let usability = rollback.usable(round.ctx, &point).await;
            Ok(WayBack {
                point: Some(point),
                usability: usability.map_err(|error| not_missing(&error, subject))?,
            })
        }
        Captured::Nothing { why, .. } => Ok(WayBack {
            point: None,
            usability: Usability {
                at: (facts.now)(),
                parts: vec![Part {
                    kind: PartKind::Revision,
                    name: format!("last known good release of {service}"),
                    found: Found::Gone { why },
                }],
            },
        }),
        Captured::Busy { text, .. } => Err(Refused::unclear(subject, text)),
    }
}

/// What could not be asked is not gone.
fn not_missing(error: &rollout_core::error::Error, subject: &str) -> Refused {
    if error.kind == ErrorKind::NotFound {
        return Refused::unclear(subject, error.to_string());
    }
    Refused::of(error, subject)
}

/// What each service runs where the release was proven.
pub(super) async fn proven(source: &Source, round: &Round<'_>, intent: &Intent) -> Table<Proven> {
    let ecs = counted!(aws_sdk_ecs as "ecs", &source.config, round);
    let nobody = Expected {
        account: String::new(),
        region: String::new(),
        caller: None,
    };
    // As above: nothing is changed there.
    let guard = Arc::new(IdentityGuard::with_client(source.aws.sts.clone(), nobody));
    let mut environment = EcsEnvironment::with_client(ecs, &source.cluster, guard);
    if let Some(observer) = &source.observer {
        environment = environment.shared(observer);
    }
    let rollback = EcsRollback::new(Arc::new(environment));
    let services = intent.services.iter();
    let found = each(services.map(|service| {
        let there = service.proven_as.as_ref().unwrap_or(&service.name);
        runs(source, round, &rollback, there)
    }))
    .await;
    by_service(intent, found)
}

async fn runs(
    source: &Source,
    round: &Round<'_>,
    rollback: &EcsRollback,
    service: &ServiceName,
) -> Asked<Proven> {
    let subject = service.as_str();
    let captured = rollback.capture(round.ctx, service).await;
    let point = match captured.map_err(|error| not_missing(&error, subject))? {
        Captured::Point(point) => point,
        Captured::Nothing { why, .. } => {
            return Err(Refused::unclear(subject, format!("in {}: {why}", source.cluster)));
        }
        Captured::Busy { text, .. } => {
            return Err(Refused::unclear(
                subject,
                format!("in {}: {text}", source.cluster),
            ));
        }
    };
    // The running digests are known by container; their repositories stand in the task definition.
    let definition = task::describe(round, &source.aws.ecs, point.task_definition.as_str()).await?;
    let named = task::images(&definition);
    let mut images = BTreeMap::new();
    for (container, digest) in &point.images {
        let image = named.get(container.as_str()).map_or("", String::as_str);
        let repository = match Place::read(image) {
            Some(place) => place.repository,
            None => name_of(image).to_owned(),
        };
        images.insert(container.to_string(), format!("{repository}@{digest}"));
    }
    Ok(Proven {
        images,
        since: point.since,
    })
}

/// Asks what is to be asked over HTTP.
pub(super) async fn answers(facts: &AwsFacts, asked: Vec<Question>) -> Table<Answer> {
    let mut table = Table::default();
    let asked: BTreeSet<Question> = asked.into_iter().collect();
    let Some(gate) = &facts.http else {
        for question in asked {
            let key = question.key();
            table.put(&key, Known::Unknown(Unseen::not_asked(&key)));
        }
        return table;
    };
    let answers = each(asked.iter().map(|question| gate.answer(question))).await;
    for (question, answer) in asked.iter().zip(answers) {
        let key = question.key();
        let asked = answer.map_err(|error| not_missing(&error, &question.url));
        table.put(key, known(asked));
    }
    table
}
