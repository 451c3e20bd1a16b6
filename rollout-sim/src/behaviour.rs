//! What an image does once a task runs it.

use rollout_core::id::ContainerName;
use serde::{Deserialize, Serialize};

use crate::rng::Span;

/// What an image does. Attached to its digest, so that it follows the image from registry to registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behaviour {
    /// How it starts and goes on, as a service.
    pub start: Start,
    /// How it ends, as a one-off task.
    pub job: Job,
    /// What it writes before it fails, oldest first.
    pub log: Vec<String>,
    /// Requests that it answers with an error, of 10,000.
    pub errors_per_10_000: u32,
    /// How long an answer takes.
    pub latency: Span,
    /// The body of its answers.
    pub body: String,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            start: Start::Ok,
            job: Job::default(),
            log: Vec::new(),
            errors_per_10_000: 0,
            latency: Span::millis(5, 40),
            body: "ok".to_owned(),
        }
    }
}

impl Behaviour {
    /// An image that starts in this way.
    #[must_use]
    pub fn starting(start: Start) -> Self {
        Self {
            start,
            ..Self::default()
        }
    }

    /// The same with log lines.
    #[must_use]
    pub fn logging<T: Into<String>>(mut self, lines: impl IntoIterator<Item = T>) -> Self {
        self.log.extend(lines.into_iter().map(Into::into));
        self
    }
}

/// How an image starts. Times count from the moment at which its container runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// Ready after the environment's ordinary start-up time, and for good.
    #[default]
    Ok,
    /// It cannot be pulled, for this reason (what follows `CannotPullContainerError: `).
    CannotPull {
        /// The reason.
        message: String,
    },
    /// Its secrets, network or volumes cannot be set up, for this reason (what follows `ResourceInitializationError: `).
    CannotInitialize {
        /// The reason.
        message: String,
    },
    /// Its process ends.
    CrashAfter {
        /// After so many milliseconds.
        millis: u64,
        /// With this exit code.
        exit_code: i32,
    },
    /// Its container is killed for its memory use, with exit code 137.
    OutOfMemoryAfter {
        /// After so many milliseconds.
        millis: u64,
    },
    /// It never passes a health check.
    Unhealthy,
    /// It passes health checks at first and then no more.
    UnhealthyAfter {
        /// After so many milliseconds.
        millis: u64,
    },
    /// It passes health checks only after so long.
    SlowStart {
        /// After so many milliseconds.
        millis: u64,
    },
}

/// How an image ends as a one-off task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// How long it runs.
    pub takes: Span,
    /// Its exit code.
    pub exit_code: i32,
}

impl Default for Job {
    fn default() -> Self {
        Self {
            takes: Span::secs(3, 12),
            exit_code: 0,
        }
    }
}

/// The course of one task, fixed when it is launched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Course {
    /// The container that decides the task's fate.
    pub(crate) container: ContainerName,
    pub(crate) start: Start,
    pub(crate) job: Job,
    pub(crate) log: Vec<String>,
    pub(crate) errors_per_10_000: u32,
    pub(crate) latency: Span,
    pub(crate) body: String,
}

impl Course {
    pub(crate) fn of(container: ContainerName, behaviour: &Behaviour) -> Self {
        Self {
            container,
            start: behaviour.start.clone(),
            job: behaviour.job.clone(),
            log: behaviour.log.clone(),
            errors_per_10_000: behaviour.errors_per_10_000,
            latency: behaviour.latency,
            body: behaviour.body.clone(),
        }
    }
}
