//! `--sim-incident`: what goes wrong, by name.

use core::time::Duration;

use anyhow::{anyhow, bail};
use rollout_core::id::{ImageTag, ServiceName};
use rollout_sim::{Incident, Start, When, World};

use super::world::{PREVIOUS, alarm_names};
use crate::config::diagnostic::{quoted, suggest};
use crate::config::{Config, Service};

/// What can go wrong, and in a few words how.
pub(crate) const NAMES: [(&str, &str); 14] = [
    ("bad-image", "the image of new tasks cannot be pulled"),
    ("crash-loop", "new tasks exit with 1 after some seconds"),
    ("out-of-memory", "new tasks are killed for their memory use"),
    (
        "slow-start",
        "new tasks pass their health checks only after minutes",
    ),
    (
        "failing-health-check",
        "new tasks pass their health checks for a minute, then no more",
    ),
    (
        "everything-broken",
        "new and old tasks alike cannot be pulled: only what still runs can be gone back to",
    ),
    (
        "foreign-deployer",
        "someone else deploys the service in the middle",
    ),
    ("service-deleted", "someone deletes the service in the middle"),
    ("stall", "the scheduler does nothing for the service any more"),
    (
        "platform-rollback",
        "the platform goes back by itself, to neither the new revision nor the one before",
    ),
    ("alarm", "an alarm fires while the service is judged"),
    ("alarm-before-start", "an alarm fires before anything has begun"),
    (
        "capacity-short",
        "there is no room for another task for ten minutes",
    ),
    (
        "tag-moves",
        "the release's tag moves to another image right before the start",
    ),
];

/// Plans an incident: `bad-image`, or `worker:bad-image` to aim at one service.
///
/// # Errors
/// When there is no such incident, service or alarm.
pub(super) fn plan(world: &mut World, config: &Config, text: &str) -> anyhow::Result<()> {
    let (service, name) = match text.split_once(':') {
        Some((service, name)) => (find(config, service)?, name),
        None => (
            config
                .services
                .first()
                .ok_or_else(|| anyhow!("there is no service"))?,
            text,
        ),
    };
    if !NAMES.iter().any(|(known, _)| *known == name) {
        let help = suggest(name, NAMES.iter().map(|(known, _)| *known)).unwrap_or_default();
        bail!("there is no incident `{name}`; {help}");
    }
    let target = &config.promotion.to;
    let (environment, when, incident) = incident(world, config, service, name)?;
    let environment = if environment {
        target
    } else {
        &config.promotion.from
    };
    world.schedule(environment.as_str(), when, incident)?;
    Ok(())
}

fn find<'a>(config: &'a Config, name: &str) -> anyhow::Result<&'a Service> {
    let target = &config.promotion.to;
    let found = config
        .services
        .iter()
        .find(|s| s.name.as_str() == name || s.name_in(target).as_str() == name);
    found.ok_or_else(|| {
        let names = quoted(config.services.iter().map(|service| service.name.as_str()));
        anyhow!("there is no service `{name}`; there is: {names}")
    })
}

/// Whether it happens in the target environment, when, and what.
fn incident(
    world: &World,
    config: &Config,
    of: &Service,
    name: &str,
) -> anyhow::Result<(bool, When, Incident)> {
    let target = &config.promotion.to;
    let named: &ServiceName = of.name_in(target);
    let service = named.to_string();
    let at_once = When::deployment_of(&service, Duration::ZERO);
    let later = |seconds| When::deployment_of(&service, Duration::from_secs(seconds));
    let seconds = Duration::from_secs;
    let in_target = |when: When, incident: Incident| Ok((true, when, incident));
    match name {
        "bad-image" => in_target(
            at_once,
            Incident::BadImage {
                service: service.clone(),
            },
        ),
        "crash-loop" => in_target(
            at_once,
            Incident::CrashLoop {
                service: service.clone(),
                after: seconds(6),
                exit_code: 1,
                log: log(&service),
            },
        ),
        "out-of-memory" => in_target(
            at_once,
            Incident::OutOfMemory {
                service: service.clone(),
                after: seconds(20),
            },
        ),
        "slow-start" => in_target(
            at_once,
            Incident::SlowStart {
                service: service.clone(),
                ready_after: seconds(240),
            },
        ),
        "failing-health-check" => in_target(
            at_once,
            Incident::FailingHealthCheckAfter {
                service: service.clone(),
                after: seconds(60),
            },
        ),
        "everything-broken" => {
            let message = "the registry does not answer".to_owned();
            in_target(
                at_once,
                Incident::Everything {
                    service: service.clone(),
                    start: Start::CannotPull { message },
                },
            )
        }
        "foreign-deployer" => in_target(
            later(20),
            Incident::ForeignDeployer {
                service: service.clone(),
                image: None,
            },
        ),
        "service-deleted" => in_target(
            later(20),
            Incident::ServiceDeleted {
                service: service.clone(),
            },
        ),
        "stall" => in_target(
            at_once,
            Incident::Stall {
                service: service.clone(),
            },
        ),
        "platform-rollback" => in_target(later(20), platform_rollback(world, config, of, service.clone())?),
        "alarm" => in_target(
            later(75),
            Incident::AlarmFires {
                alarm: alarm(config, of)?,
                fires: true,
            },
        ),
        "alarm-before-start" => in_target(
            When::After(Duration::ZERO),
            Incident::AlarmFires {
                alarm: alarm(config, of)?,
                fires: true,
            },
        ),
        "capacity-short" => in_target(at_once, Incident::CapacityShort { lasts: seconds(600) }),
        _ => Ok((false, When::After(Duration::ZERO), tag_moves(config, of)?)),
    }
}

fn log(service: &str) -> Vec<String> {
    vec![
        format!("{service} starting"),
        "connecting to the database".to_owned(),
        "panic: configuration key PAYMENT_TIMEOUT is not set".to_owned(),
    ]
}

fn platform_rollback(
    world: &World,
    config: &Config,
    of: &Service,
    service: String,
) -> anyhow::Result<Incident> {
    let image = of
        .images
        .values()
        .next()
        .ok_or_else(|| anyhow!("{service} has no image"))?;
    let repository = image.value.to.clone();
    let digest = world.image(config.promotion.to.as_str(), repository.as_str(), PREVIOUS)?;
    Ok(Incident::PlatformRollsBackTo {
        service,
        image: (repository, digest),
    })
}

fn tag_moves(config: &Config, of: &Service) -> anyhow::Result<Incident> {
    let image = of
        .images
        .values()
        .next()
        .ok_or_else(|| anyhow!("{} has no image", of.name))?;
    let tag = image
        .value
        .version
        .tag(config.release.as_deref().unwrap_or_default())
        .unwrap_or_default();
    Ok(Incident::TagMoves {
        repository: image.value.from.clone(),
        tag: ImageTag::new(tag)?,
        content: "another image".to_owned(),
    })
}

/// The service's first alarm, else any.
fn alarm(config: &Config, of: &Service) -> anyhow::Result<String> {
    let alarms = alarm_names(config);
    let own = alarms
        .iter()
        .find(|(_, service)| service.is_some_and(|service| service.name == of.name));
    let any = own.or_else(|| alarms.iter().next());
    any.map(|(name, _)| (*name).to_owned())
        .ok_or_else(|| anyhow!("no gate looks at an alarm"))
}
