//! After a rollback by hand nothing new goes to the environment until a person says so.
//!
//! Somebody took the environment back because a release was wrong in a way that no gate had seen. The next pipeline run would
//! bring the same release again; so it is refused, by the name of who held it, when and why, until a person lifts the hold.

use anyhow::Context as _;
use rollout_core::id::{EnvironmentName, RunId};
use rollout_core::plan::rollback::RollbackPolicy;
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::runner::someone;
use crate::view::report::Report;
use crate::wall::now;

/// That an environment was taken back, and whether it is held since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TakenBack {
    /// The environment.
    pub(crate) environment: EnvironmentName,
    /// The run that was taken back.
    pub(crate) run: RunId,
    /// When.
    pub(crate) at: Timestamp,
    /// Who did it: a person and a machine, as far as they can be told.
    pub(crate) by: String,
    /// Why, in that person's words or the run's.
    pub(crate) why: String,
    /// Whether a person asked for it.
    pub(crate) by_hand: bool,
    /// Whether the environment is held since.
    pub(crate) held: bool,
    /// Who lifted the hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lifted: Option<Lifted>,
}

/// A hold that was lifted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lifted {
    /// Who.
    pub(crate) by: String,
    /// When.
    pub(crate) at: Timestamp,
}

impl TakenBack {
    /// Reads what was stored; `None` where something was released over it since. `place` is how errors name it.
    ///
    /// # Errors
    /// When it cannot be read: it may be a hold, which nobody passes unseen.
    pub(crate) fn of(text: &[u8], place: &str) -> anyhow::Result<Option<Self>> {
        serde_json::from_slice(text).with_context(|| {
            format!(
                "{place} is damaged, and may hold the environment; look at it, and remove it if nothing is held"
            )
        })
    }

    /// A way back that begins or has ended now.
    pub(crate) fn now(
        environment: &EnvironmentName,
        run: &RunId,
        why: String,
        by_hand: bool,
        policy: &RollbackPolicy,
    ) -> Self {
        Self {
            environment: environment.clone(),
            run: run.clone(),
            at: now(),
            by: someone(),
            why,
            by_hand,
            held: policy.hold.holds(by_hand),
            lifted: None,
        }
    }

    /// Whether nothing new may go there.
    pub(crate) const fn is_held(&self) -> bool {
        self.held && self.lifted.is_none()
    }

    /// What happened, for people.
    pub(crate) fn told(&self) -> String {
        let how = if self.by_hand {
            format!("{} took run {} back by hand", self.by, self.run)
        } else {
            format!("run {} went back by itself ({})", self.run, self.by)
        };
        format!("{how} at {}: {}", self.at, self.why)
    }

    /// The commands that lead on.
    pub(crate) fn next(&self) -> Vec<String> {
        vec![
            format!(
                "rollout hold lift --env {}    lets releases in again, once what was wrong is mended",
                self.environment
            ),
            "rollout hold show    shows what is held".to_owned(),
        ]
    }

    /// Tells it at the end of what made it.
    pub(crate) fn tell(&self, report: &mut Report) {
        report.facts.push(format!(
            "{} is held: nothing new is released to it",
            self.environment
        ));
        report.next.extend(self.next());
    }

    /// The end of a command that would bring something new to a held environment.
    pub(crate) fn refusal(&self) -> Report {
        let why = format!("{} is held: {}", self.environment, self.told());
        let details = serde_json::json!({ "refused": { "held": self } });
        Report::refused(why, self.next(), details)
    }

    /// What a release must know that goes over it: what it would go back to has been gone back to before.
    pub(crate) fn note(&self) -> String {
        format!(
            "note: {} runs what a rollback brought back: {}. If this release fails, it goes back to that; a rollback is never \
             rolled back",
            self.environment,
            self.told()
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use rollout_core::plan::rollback::Hold;

    use super::*;
    use crate::exit::Exit;

    pub(crate) fn taken(environment: &str) -> TakenBack {
        TakenBack {
            environment: environment.parse().expect("a name"),
            run: "r-1".parse().expect("an id"),
            at: Timestamp::from_millis(1_763_683_200_000),
            by: "ann on laptop".to_owned(),
            why: "checkout is broken".to_owned(),
            by_hand: true,
            held: true,
            lifted: None,
        }
    }

    #[test]
    fn it_is_held_until_it_is_lifted_and_names_who_when_why_and_the_remedy() {
        let mut one = taken("production");
        assert!(one.is_held());
        let report = one.refusal();
        assert_eq!(report.exit, Exit::Refused);
        let why = report.why.clone().expect("a reason");
        for says in [
            "production",
            "ann on laptop",
            "r-1",
            "2025-11-21",
            "checkout is broken",
        ] {
            assert!(why.contains(says), "{says}: {why}");
        }
        assert!(
            report.next[0].starts_with("rollout hold lift --env production"),
            "{report:?}"
        );
        one.lifted = Some(Lifted {
            by: "bob".to_owned(),
            at: one.at,
        });
        assert!(!one.is_held());
        assert!(one.note().contains("ann on laptop"), "{}", one.note());
    }

    #[test]
    fn the_policy_says_what_holds() {
        let policy = |hold| RollbackPolicy {
            hold,
            ..RollbackPolicy::default()
        };
        let held = |hold, by_hand| {
            let (environment, run) = (
                "production".parse().expect("a name"),
                "r-1".parse().expect("an id"),
            );
            TakenBack::now(&environment, &run, "no".to_owned(), by_hand, &policy(hold)).is_held()
        };
        assert!(held(Hold::ByHand, true) && !held(Hold::ByHand, false));
        assert!(held(Hold::Always, true) && held(Hold::Always, false));
        assert!(!held(Hold::Never, true) && !held(Hold::Never, false));
    }
}
