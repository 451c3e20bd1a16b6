//! How a service deploys: strategy, bake times, lifecycle hooks, alarms.

use rollout_core::service::{Stage, Strategy as Observed};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// All of the traffic, in thousandths.
pub(crate) const ALL: u16 = 1_000;

const MINUTE: u64 = 60_000;

/// How a service replaces its tasks (Amazon ECS API, "DeploymentConfiguration": `strategy`). Shares of traffic are in
/// thousandths, as fine as AWS takes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// Old tasks are replaced step by step.
    #[default]
    Rolling,
    /// A full second set, then all traffic at once.
    BlueGreen,
    /// A full second set, then traffic in equal steps (Amazon ECS API, "LinearConfiguration").
    Linear {
        /// The share that each step moves: 30 to 1000.
        step: u16,
        /// Minutes between two steps.
        bake_minutes: u32,
    },
    /// A full second set, then a share of the traffic, then the rest (Amazon ECS API, "CanaryConfiguration").
    Canary {
        /// The first share: 1 to 1000.
        share: u16,
        /// Minutes until the rest follows.
        bake_minutes: u32,
    },
}

impl Strategy {
    pub(crate) const fn observed(self) -> Observed {
        match self {
            Self::Rolling => Observed::Rolling,
            Self::BlueGreen => Observed::BlueGreen,
            Self::Linear { .. } => Observed::Linear,
            Self::Canary { .. } => Observed::Canary,
        }
    }

    /// AWS's word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rolling => "ROLLING",
            Self::BlueGreen => "BLUE_GREEN",
            Self::Linear { .. } => "LINEAR",
            Self::Canary { .. } => "CANARY",
        }
    }

    /// The share of the new revision after the next shift, and for how long it stays there (milliseconds).
    pub(crate) fn next_share(self, share: u16) -> (u16, u64) {
        let (next, bake) = match self {
            Self::Rolling | Self::BlueGreen => (ALL, 0),
            Self::Linear { step, bake_minutes } => (share.saturating_add(step.max(1)), bake_minutes),
            Self::Canary {
                share: first,
                bake_minutes,
            } if share < first => (first, bake_minutes),
            Self::Canary { .. } => (ALL, 0),
        };
        // "This bake time is not applied after reaching 100 percent traffic" (Amazon ECS API, "LinearConfiguration").
        if next >= ALL {
            (ALL, 0)
        } else {
            (next, u64::from(bake) * MINUTE)
        }
    }
}

/// The stages of a service deployment (Amazon ECS developer guide, "Lifecycle hooks for Amazon ECS service deployments").
/// A rolling deployment has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LifecycleStage {
    /// Only when more than one revision is there at the start: what does not carry production traffic goes.
    ReconcileService,
    /// Before the new tasks start.
    PreScaleUp,
    /// The new tasks start.
    ScaleUp,
    /// After they have started.
    PostScaleUp,
    /// Test traffic moves.
    TestTrafficShift,
    /// After it has moved.
    PostTestTrafficShift,
    /// Before each shift of production traffic.
    PreProductionTrafficShift,
    /// Production traffic moves, by one step.
    ProductionTrafficShift,
    /// After all of it has moved.
    PostProductionTrafficShift,
    /// Both sets run.
    BakeTime,
    /// The old tasks stop.
    CleanUp,
}

impl LifecycleStage {
    /// AWS's word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReconcileService => "RECONCILE_SERVICE",
            Self::PreScaleUp => "PRE_SCALE_UP",
            Self::ScaleUp => "SCALE_UP",
            Self::PostScaleUp => "POST_SCALE_UP",
            Self::TestTrafficShift => "TEST_TRAFFIC_SHIFT",
            Self::PostTestTrafficShift => "POST_TEST_TRAFFIC_SHIFT",
            Self::PreProductionTrafficShift => "PRE_PRODUCTION_TRAFFIC_SHIFT",
            Self::ProductionTrafficShift => "PRODUCTION_TRAFFIC_SHIFT",
            Self::PostProductionTrafficShift => "POST_PRODUCTION_TRAFFIC_SHIFT",
            Self::BakeTime => "BAKE_TIME",
            Self::CleanUp => "CLEAN_UP",
        }
    }

    pub(crate) const fn observed(self) -> Stage {
        match self {
            Self::ReconcileService => Stage::ReconcileService,
            Self::PreScaleUp => Stage::PreScaleUp,
            Self::ScaleUp => Stage::ScaleUp,
            Self::PostScaleUp => Stage::PostScaleUp,
            Self::TestTrafficShift => Stage::TestTrafficShift,
            Self::PostTestTrafficShift => Stage::PostTestTrafficShift,
            Self::PreProductionTrafficShift => Stage::PreProductionTrafficShift,
            Self::ProductionTrafficShift => Stage::ProductionTrafficShift,
            Self::PostProductionTrafficShift => Stage::PostProductionTrafficShift,
            Self::BakeTime => Stage::BakeTime,
            Self::CleanUp => Stage::CleanUp,
        }
    }

    /// Whether a hook can be set there at all, and a pause hook in particular (same page, "Supported stages by hook type").
    pub(crate) const fn takes(self, hook: &HookTarget) -> bool {
        match self {
            Self::ScaleUp | Self::BakeTime | Self::CleanUp => false,
            Self::TestTrafficShift | Self::ProductionTrafficShift => {
                matches!(hook, HookTarget::Lambda { .. })
            }
            Self::ReconcileService
            | Self::PreScaleUp
            | Self::PostScaleUp
            | Self::PostTestTrafficShift
            | Self::PreProductionTrafficShift
            | Self::PostProductionTrafficShift => true,
        }
    }
}

/// What a hook does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookTarget {
    /// It waits for `ContinueServiceDeployment`.
    Pause,
    /// A function is called. In this world it takes some seconds and succeeds, unless an environment was told otherwise
    /// ([`EnvironmentBuilder::failing_function`](crate::EnvironmentBuilder::failing_function)).
    Lambda {
        /// The function's ARN.
        arn: String,
    },
}

/// What happens to a deployment that waits for a hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HookAction {
    /// It goes back.
    #[default]
    Rollback,
    /// It goes on.
    Continue,
}

impl HookAction {
    /// AWS's word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rollback => "ROLLBACK",
            Self::Continue => "CONTINUE",
        }
    }
}

/// A lifecycle hook (Amazon ECS API, "DeploymentLifecycleHook").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// The stages at which it runs.
    pub stages: Vec<LifecycleStage>,
    /// What it does.
    pub target: HookTarget,
    /// For how long it is waited for: 1 to 20160 minutes.
    pub timeout_minutes: u32,
    /// What happens then.
    pub on_timeout: HookAction,
    /// `roleArn` and `hookDetails`: told again, not acted upon.
    #[serde(default)]
    pub(crate) told: Map<String, Value>,
}

impl Hook {
    /// A pause at these stages with the defaults of AWS: 24 hours, then back (Amazon ECS API,
    /// "DeploymentLifecycleHookTimeoutConfiguration").
    #[must_use]
    pub fn pause(stages: impl Into<Vec<LifecycleStage>>) -> Self {
        Self {
            stages: stages.into(),
            target: HookTarget::Pause,
            timeout_minutes: 1_440,
            on_timeout: HookAction::Rollback,
            told: Map::new(),
        }
    }

    /// A function that is called at these stages.
    #[must_use]
    pub fn lambda(arn: &str, stages: impl Into<Vec<LifecycleStage>>) -> Self {
        Self {
            target: HookTarget::Lambda { arn: arn.to_owned() },
            ..Self::pause(stages)
        }
    }

    /// Waits for so long, and then does this.
    #[must_use]
    pub const fn timeout(mut self, minutes: u32, then: HookAction) -> Self {
        self.timeout_minutes = minutes;
        self.on_timeout = then;
        self
    }

    pub(crate) fn patience(&self) -> u64 {
        u64::from(self.timeout_minutes) * MINUTE
    }
}

/// Alarms that fail a deployment (Amazon ECS API, "DeploymentAlarms").
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watched {
    pub(crate) names: Vec<String>,
    pub(crate) enabled: bool,
    pub(crate) rollback: bool,
}

/// How a deployment goes. It is taken when the deployment begins: a later change of the service does not touch it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) strategy: Strategy,
    /// Minutes for which both sets run after all traffic has moved.
    pub(crate) bake_minutes: u32,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) alarms: Watched,
}

impl Plan {
    pub(crate) fn is_staged(&self) -> bool {
        self.strategy != Strategy::Rolling
    }

    pub(crate) fn bake(&self) -> u64 {
        u64::from(self.bake_minutes) * MINUTE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_go_up_to_all_and_the_last_one_does_not_bake() {
        let walk = |strategy: Strategy| {
            let (mut share, mut seen) = (0, Vec::new());
            while share < ALL {
                let (next, bake) = strategy.next_share(share);
                assert!(next > share, "{strategy:?} at {share}");
                seen.push((next, bake / MINUTE));
                share = next;
            }
            seen
        };
        assert_eq!(walk(Strategy::BlueGreen), [(1_000, 0)]);
        let linear = Strategy::Linear {
            step: 300,
            bake_minutes: 6,
        };
        assert_eq!(walk(linear), [(300, 6), (600, 6), (900, 6), (1_000, 0)]);
        let canary = Strategy::Canary {
            share: 50,
            bake_minutes: 10,
        };
        assert_eq!(walk(canary), [(50, 10), (1_000, 0)]);
        let whole = Strategy::Canary {
            share: 1_000,
            bake_minutes: 10,
        };
        assert_eq!(walk(whole), [(1_000, 0)]);
    }

    #[test]
    fn a_pause_hook_is_not_taken_where_a_rollback_would_wait_for_it() {
        let stages = [
            LifecycleStage::TestTrafficShift,
            LifecycleStage::ProductionTrafficShift,
        ];
        let lambda = HookTarget::Lambda {
            arn: "arn:aws:lambda:x".to_owned(),
        };
        assert!(
            stages
                .iter()
                .all(|s| !s.takes(&HookTarget::Pause) && s.takes(&lambda))
        );
        assert!(!LifecycleStage::ScaleUp.takes(&lambda));
    }
}
