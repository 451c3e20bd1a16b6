//! The exit codes: one for each end, so that a pipeline need not read the text.

use core::fmt::Write as _;
use std::process::ExitCode;

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The command did what it was asked; a run was released.
    Done,
    /// Something that is no outcome: a file that cannot be written, an answer that makes no sense.
    Failed,
    /// The command line or the configuration is wrong.
    Usage,
    /// Nothing was touched.
    Refused,
    /// The target environment is back at what it ran before.
    RolledBack,
    /// Someone else has deployed; we yielded.
    Superseded,
    /// Stopped by request, at a named place.
    Aborted,
    /// It needs a person.
    Stuck,
    /// A blocking check of the environment's readiness fails.
    NotReady,
    /// No blocking check fails, but one or more could not be judged.
    Unknown,
    /// Left at once, on the second Ctrl-C.
    Left,
}

pub(crate) const ALL: [Exit; 11] = [
    Exit::Done,
    Exit::Failed,
    Exit::Usage,
    Exit::Refused,
    Exit::RolledBack,
    Exit::Superseded,
    Exit::Aborted,
    Exit::Stuck,
    Exit::NotReady,
    Exit::Unknown,
    Exit::Left,
];

impl Exit {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 10,
            Self::RolledBack => 11,
            Self::Superseded => 12,
            Self::Aborted => 13,
            Self::Stuck => 14,
            Self::NotReady => 15,
            Self::Unknown => 16,
            Self::Left => 130,
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::Done => {
                "Released: every running task has the released digests and every gate passed. Other commands: done."
            }
            Self::Failed => {
                "Not an outcome: a file or an answer that we cannot work with. `rollout status` says where the run stands."
            }
            Self::Usage => "The command line or the configuration is wrong. No cloud was asked.",
            Self::Refused => "Refused: a precondition does not hold. Nothing was changed.",
            Self::RolledBack => "RolledBack: it failed, and what ran before runs again, verified.",
            Self::Superseded => "Superseded: someone else deployed in the middle; we yielded to them.",
            Self::Aborted => "Aborted: stopped by request; the outcome says where.",
            Self::NotReady => "Not ready (`rollout check`): a blocking check fails.",
            Self::Unknown => {
                "Not known to be ready (`rollout check`): no blocking check fails, but one cannot be judged."
            }
            Self::Left => {
                "Left at once, on the second Ctrl-C: the run is where it was. `rollout status` says where."
            }
            Self::Stuck => {
                "Stuck: it can go neither forward nor back without a person; the outcome lists the next commands."
            }
        }
    }

    /// The list for people.
    pub(crate) fn list() -> String {
        ALL.iter().fold(String::new(), |mut text, exit| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:>3}  {}", exit.number(), exit.meaning());
            text
        })
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_own_code() {
        let numbers: std::collections::BTreeSet<u8> = ALL.iter().map(|exit| exit.number()).collect();
        assert_eq!(numbers.len(), ALL.len());
        assert_eq!(Exit::list().lines().count(), ALL.len());
    }
}
