//! `deploymentConfiguration` in the words of the API, and what it means to a service.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Refused, invalid};
use crate::ecs::breaker::{Breaker, Threshold};
use crate::ecs::plan::{Hook, HookAction, HookTarget, LifecycleStage, Plan, Strategy, Watched};
use crate::ecs::service::Service;

/// Amazon ECS API, "DeploymentConfiguration".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeploymentConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) strategy: Option<Word>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) maximum_percent: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) minimum_healthy_percent: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deployment_circuit_breaker: Option<CircuitBreaker>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) alarms: Option<Alarms>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bake_time_in_minutes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lifecycle_hooks: Option<Vec<LifecycleHook>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) linear_configuration: Option<Linear>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) canary_configuration: Option<Canary>,
}

/// A strategy's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Word {
    Rolling,
    BlueGreen,
    Linear,
    Canary,
}

/// Amazon ECS API, "DeploymentCircuitBreaker".
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CircuitBreaker {
    pub(crate) enable: bool,
    pub(crate) rollback: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reset_on_healthy_task: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) threshold_configuration: Option<ThresholdConfiguration>,
}

/// Amazon ECS API, "ThresholdConfiguration".
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ThresholdConfiguration {
    #[serde(rename = "type")]
    pub(crate) kind: ThresholdType,
    pub(crate) value: u32,
}

/// Amazon ECS API, "ThresholdConfiguration": `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum ThresholdType {
    Count,
    BoundedPercent,
    UnboundedPercent,
}

/// Amazon ECS API, "DeploymentAlarms".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Alarms {
    pub(crate) alarm_names: Vec<String>,
    pub(crate) rollback: bool,
    pub(crate) enable: bool,
}

/// Amazon ECS API, "LinearConfiguration".
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Linear {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) step_percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) step_bake_time_in_minutes: Option<u32>,
}

/// Amazon ECS API, "CanaryConfiguration".
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Canary {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) canary_percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) canary_bake_time_in_minutes: Option<u32>,
}

/// Amazon ECS API, "DeploymentLifecycleHook".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LifecycleHook {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target_type: Option<TargetType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hook_target_arn: Option<String>,
    #[serde(default)]
    pub(crate) lifecycle_stages: Vec<LifecycleStage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_configuration: Option<Timeout>,
    /// `roleArn` and `hookDetails`: told again.
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

/// Amazon ECS API, "DeploymentLifecycleHook": `targetType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum TargetType {
    AwsLambda,
    Pause,
}

/// Amazon ECS API, "DeploymentLifecycleHookTimeoutConfiguration".
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Timeout {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_in_minutes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<HookAction>,
}

const DAY: u32 = 1_440;

/// A percentage with one decimal, in thousandths.
fn thousandths(percent: f64, least: f64, what: &str) -> Result<u16, Refused> {
    if !(least..=100.0).contains(&percent) || ((percent * 10.0).round() - percent * 10.0).abs() > 1e-6 {
        return Err(invalid(format!(
            "{what} must be a multiple of 0.1 from {least:?} to 100.0."
        )));
    }
    Ok((percent * 10.0).round() as u16)
}

fn minutes(value: u32, least: u32, most: u32, what: &str) -> Result<u32, Refused> {
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(invalid(format!("{what} must be from {least} to {most}.")))
    }
}

impl CircuitBreaker {
    fn breaker(self) -> Breaker {
        let threshold = self
            .threshold_configuration
            .map_or(Threshold::BoundedPercent(50), |t| match t.kind {
                ThresholdType::Count => Threshold::Count(t.value),
                ThresholdType::BoundedPercent => Threshold::BoundedPercent(t.value),
                ThresholdType::UnboundedPercent => Threshold::UnboundedPercent(t.value),
            });
        Breaker {
            enabled: self.enable,
            rollback: self.rollback,
            reset_on_healthy_task: self.reset_on_healthy_task.unwrap_or(true),
            threshold,
        }
    }

    fn of(breaker: Breaker) -> Self {
        let (kind, value) = match breaker.threshold {
            Threshold::Count(n) => (ThresholdType::Count, n),
            Threshold::BoundedPercent(p) => (ThresholdType::BoundedPercent, p),
            Threshold::UnboundedPercent(p) => (ThresholdType::UnboundedPercent, p),
        };
        Self {
            enable: breaker.enabled,
            rollback: breaker.rollback,
            reset_on_healthy_task: Some(breaker.reset_on_healthy_task),
            threshold_configuration: Some(ThresholdConfiguration { kind, value }),
        }
    }
}

impl LifecycleHook {
    fn hook(&self) -> Result<Hook, Refused> {
        let target = match (
            self.target_type.unwrap_or(TargetType::AwsLambda),
            &self.hook_target_arn,
        ) {
            (TargetType::Pause, None) => HookTarget::Pause,
            (TargetType::Pause, Some(_)) => {
                return Err(invalid("hookTargetArn is not applicable to PAUSE hooks."));
            }
            (TargetType::AwsLambda, Some(arn)) => HookTarget::Lambda { arn: arn.clone() },
            (TargetType::AwsLambda, None) => {
                return Err(invalid("hookTargetArn is required for AWS_LAMBDA hooks."));
            }
        };
        if self.lifecycle_stages.is_empty() {
            return Err(invalid("lifecycleStages must name a stage."));
        }
        if let Some(stage) = self.lifecycle_stages.iter().find(|stage| !stage.takes(&target)) {
            return Err(invalid(format!(
                "A hook of this type cannot be configured at {}.",
                stage.name()
            )));
        }
        let timeout = self.timeout_configuration;
        let wait = timeout.and_then(|t| t.timeout_in_minutes).unwrap_or(DAY);
        Ok(Hook {
            stages: self.lifecycle_stages.clone(),
            target,
            timeout_minutes: minutes(wait, 1, 20_160, "timeoutInMinutes")?,
            on_timeout: timeout.and_then(|t| t.action).unwrap_or_default(),
            told: self.rest.clone(),
        })
    }

    fn of(hook: &Hook) -> Self {
        let (target_type, hook_target_arn) = match &hook.target {
            HookTarget::Pause => (TargetType::Pause, None),
            HookTarget::Lambda { arn } => (TargetType::AwsLambda, Some(arn.clone())),
        };
        Self {
            target_type: Some(target_type),
            hook_target_arn,
            lifecycle_stages: hook.stages.clone(),
            timeout_configuration: Some(Timeout {
                timeout_in_minutes: Some(hook.timeout_minutes),
                action: Some(hook.on_timeout),
            }),
            rest: hook.told.clone(),
        }
    }
}

impl DeploymentConfiguration {
    /// The configuration of a service, or of one of its deployments.
    pub(crate) fn of(service: &Service, plan: &Plan) -> Self {
        let percent = |thousandths: u16| Some(f64::from(thousandths) / 10.0);
        let (strategy, linear, canary) = match plan.strategy {
            Strategy::Rolling => (Word::Rolling, None, None),
            Strategy::BlueGreen => (Word::BlueGreen, None, None),
            Strategy::Linear { step, bake_minutes } => {
                let linear = Linear {
                    step_percent: percent(step),
                    step_bake_time_in_minutes: Some(bake_minutes),
                };
                (Word::Linear, Some(linear), None)
            }
            Strategy::Canary { share, bake_minutes } => {
                let canary = Canary {
                    canary_percent: percent(share),
                    canary_bake_time_in_minutes: Some(bake_minutes),
                };
                (Word::Canary, None, Some(canary))
            }
        };
        let watched = &plan.alarms;
        Self {
            strategy: Some(strategy),
            maximum_percent: Some(service.maximum_percent),
            minimum_healthy_percent: Some(service.minimum_healthy_percent),
            deployment_circuit_breaker: Some(CircuitBreaker::of(service.breaker)),
            alarms: (!watched.names.is_empty()).then(|| Alarms {
                alarm_names: watched.names.clone(),
                rollback: watched.rollback,
                enable: watched.enabled,
            }),
            bake_time_in_minutes: Some(plan.bake_minutes),
            lifecycle_hooks: (!plan.hooks.is_empty())
                .then(|| plan.hooks.iter().map(LifecycleHook::of).collect()),
            linear_configuration: linear,
            canary_configuration: canary,
        }
    }

    fn strategy(&self, present: Strategy) -> Result<Strategy, Refused> {
        let word = match (self.strategy, present) {
            (Some(word), _) => word,
            (None, Strategy::Rolling) => Word::Rolling,
            (None, Strategy::BlueGreen) => Word::BlueGreen,
            (None, Strategy::Linear { .. }) => Word::Linear,
            (None, Strategy::Canary { .. }) => Word::Canary,
        };
        Ok(match word {
            Word::Rolling => Strategy::Rolling,
            Word::BlueGreen => Strategy::BlueGreen,
            Word::Linear => match (self.linear_configuration, present) {
                (None, Strategy::Linear { .. }) => present,
                (given, _) => {
                    let given = given.unwrap_or_default();
                    let bake = given.step_bake_time_in_minutes.unwrap_or(6);
                    Strategy::Linear {
                        step: thousandths(given.step_percent.unwrap_or(10.0), 3.0, "stepPercent")?,
                        bake_minutes: minutes(bake, 0, DAY, "stepBakeTimeInMinutes")?,
                    }
                }
            },
            Word::Canary => match (self.canary_configuration, present) {
                (None, Strategy::Canary { .. }) => present,
                (given, _) => {
                    let given = given.unwrap_or_default();
                    let bake = given.canary_bake_time_in_minutes.unwrap_or(10);
                    Strategy::Canary {
                        share: thousandths(given.canary_percent.unwrap_or(5.0), 0.1, "canaryPercent")?,
                        bake_minutes: minutes(bake, 0, DAY, "canaryBakeTimeInMinutes")?,
                    }
                }
            },
        })
    }

    /// The plan that follows from the present one: what is not given stays.
    pub(super) fn plan(&self, present: &Plan) -> Result<Plan, Refused> {
        let hooks = match &self.lifecycle_hooks {
            Some(hooks) => hooks.iter().map(LifecycleHook::hook).collect::<Result<_, _>>()?,
            None => present.hooks.clone(),
        };
        let bake = self.bake_time_in_minutes.unwrap_or(present.bake_minutes);
        let alarms = self.alarms.as_ref().map_or_else(
            || present.alarms.clone(),
            |given| Watched {
                names: given.alarm_names.clone(),
                enabled: given.enable,
                rollback: given.rollback,
            },
        );
        Ok(Plan {
            strategy: self.strategy(present.strategy)?,
            bake_minutes: minutes(bake, 0, DAY, "bakeTimeInMinutes")?,
            hooks,
            alarms,
        })
    }

    /// Makes it the configuration of a service. Nothing changes when it is refused.
    pub(super) fn apply(&self, service: &mut Service) -> Result<(), Refused> {
        let plan = self.plan(&service.plan)?;
        let fewest = self
            .minimum_healthy_percent
            .unwrap_or(service.minimum_healthy_percent);
        let most = self.maximum_percent.unwrap_or(service.maximum_percent);
        if fewest == 100 && most == 100 {
            return Err(invalid(
                "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.",
            ));
        }
        (service.minimum_healthy_percent, service.maximum_percent) = (fewest, most);
        if let Some(breaker) = self.deployment_circuit_breaker {
            service.breaker = breaker.breaker();
        }
        service.plan = plan;
        Ok(())
    }
}
