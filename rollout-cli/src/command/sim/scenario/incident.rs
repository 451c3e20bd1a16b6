//! `[[incidents]]`: what goes wrong in the world, and when.

use core::time::Duration;

use anyhow::bail;
use rollout_core::id::{ImageDigest, ImageTag, RepositoryName};
use rollout_sim::{Incident, When, World};
use serde::Deserialize;

use super::{Time, moment};

/// An incident and its time: `at` a moment, `after` so long, or when a `deployment` begins (of a service, or `any`) and so long
/// `plus`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Planned {
    environment: String,
    at: Option<String>,
    after: Option<Time>,
    deployment: Option<String>,
    plus: Option<Time>,
    what: What,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "snake_case",
    deny_unknown_fields
)]
enum What {
    BadImage {
        service: String,
    },
    CrashLoop {
        service: String,
        after: Time,
        #[serde(default = "one")]
        exit_code: i32,
        #[serde(default)]
        log: Vec<String>,
    },
    OutOfMemory {
        service: String,
        after: Time,
    },
    SlowStart {
        service: String,
        after: Time,
    },
    FailingHealthCheck {
        service: String,
        /// For how long they pass at first.
        after: Time,
    },
    ForeignDeployer {
        service: String,
        /// Left out, the present revision again.
        image: Option<Image>,
    },
    Alarm {
        alarm: String,
        #[serde(default = "yes")]
        fires: bool,
    },
    CapacityShort {
        lasts: Time,
    },
    ServiceDeleted {
        service: String,
    },
    Scaled {
        service: String,
        desired: u32,
    },
    PlatformRollsBackTo {
        service: String,
        image: Image,
    },
    NoRollback {
        service: String,
    },
    NoRollbackTarget {
        service: String,
    },
    Stall {
        service: String,
    },
    TagMoves {
        repository: RepositoryName,
        tag: ImageTag,
        content: String,
    },
    ImageExpires {
        image: Image,
    },
}

/// An image by its tag.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    repository: RepositoryName,
    tag: ImageTag,
}

const fn one() -> i32 {
    1
}

const fn yes() -> bool {
    true
}

impl Image {
    fn find(&self, world: &World, environment: &str) -> anyhow::Result<(RepositoryName, ImageDigest)> {
        let digest = world.image(environment, self.repository.as_str(), self.tag.as_str())?;
        Ok((self.repository.clone(), digest))
    }
}

impl Planned {
    pub(super) fn plan(&self, world: &mut World) -> anyhow::Result<()> {
        let incident = self.what.incident(world, &self.environment)?;
        world.schedule(&self.environment, self.when()?, incident)?;
        Ok(())
    }

    fn when(&self) -> anyhow::Result<When> {
        Ok(match (&self.at, self.after, &self.deployment, self.plus) {
            (Some(at), None, None, None) => When::At(moment(at)?),
            (None, after, None, None) => When::After(after.map_or(Duration::ZERO, |a| a.0)),
            (None, None, Some(service), plus) => When::Deployment {
                service: (service != "any").then(|| service.clone()),
                plus: plus.map_or(Duration::ZERO, |p| p.0),
            },
            _ => {
                bail!("an incident has one of `at`, `after` and `deployment`, and `plus` with the last only")
            }
        })
    }
}

impl What {
    fn incident(&self, world: &World, environment: &str) -> anyhow::Result<Incident> {
        Ok(match self.clone() {
            Self::BadImage { service } => Incident::BadImage { service },
            Self::CrashLoop {
                service,
                after,
                exit_code,
                log,
            } => Incident::CrashLoop {
                service,
                after: after.0,
                exit_code,
                log,
            },
            Self::OutOfMemory { service, after } => Incident::OutOfMemory {
                service,
                after: after.0,
            },
            Self::SlowStart { service, after } => Incident::SlowStart {
                service,
                ready_after: after.0,
            },
            Self::FailingHealthCheck { service, after } => Incident::FailingHealthCheckAfter {
                service,
                after: after.0,
            },
            Self::ForeignDeployer { service, image } => {
                let image = image.map(|image| image.find(world, environment)).transpose()?;
                Incident::ForeignDeployer { service, image }
            }
            Self::Alarm { alarm, fires } => Incident::AlarmFires { alarm, fires },
            Self::CapacityShort { lasts } => Incident::CapacityShort { lasts: lasts.0 },
            Self::ServiceDeleted { service } => Incident::ServiceDeleted { service },
            Self::Scaled { service, desired } => Incident::Scaled { service, desired },
            Self::PlatformRollsBackTo { service, image } => Incident::PlatformRollsBackTo {
                service,
                image: image.find(world, environment)?,
            },
            Self::NoRollback { service } => Incident::NoRollback { service },
            Self::NoRollbackTarget { service } => Incident::NoRollbackTarget { service },
            Self::Stall { service } => Incident::Stall { service },
            Self::TagMoves {
                repository,
                tag,
                content,
            } => Incident::TagMoves {
                repository,
                tag,
                content,
            },
            Self::ImageExpires { image } => {
                let (repository, image) = image.find(world, environment)?;
                Incident::ImageExpires { repository, image }
            }
        })
    }
}
