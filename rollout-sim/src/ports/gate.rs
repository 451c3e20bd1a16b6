//! `HealthGate`: samples.

use async_trait::async_trait;
use rollout_core::context::OpContext;
use rollout_core::error::{Error, ErrorKind};
use rollout_core::evidence::Evidence;
use rollout_core::port::HealthGate;
use rollout_core::probe::{ProbeTarget, Sample, SampleRequest, Verdict};

use super::Port;
use crate::alarm::AlarmState;
use crate::faults::Operation;
use crate::world::World;

impl World {
    fn sample_targets(&self, e: u16, arn: &str, at_least: u32) -> Result<Sample, Error> {
        const SOURCE: &str = "elasticloadbalancing:DescribeTargetHealth";
        let now = self.kernel.now;
        let env = &self.environments[e as usize];
        let Some(group) = env.group_index(arn) else {
            let text = format!("TargetGroupNotFound: target group {arn} was not found");
            return Err(Error::new(ErrorKind::NotFound, SOURCE, text));
        };
        let states = env.target_states(now, group);
        let healthy = env.healthy(now, group);
        let counts: Vec<String> = states.iter().map(|(s, n)| format!("{n} {}", s.name())).collect();
        let detail = if counts.is_empty() {
            "no target".to_owned()
        } else {
            counts.join(", ")
        };
        Ok(Sample {
            at: now,
            verdict: if healthy >= at_least {
                Verdict::Pass
            } else {
                Verdict::Fail
            },
            images: None,
            evidence: vec![Evidence::new(now, SOURCE, arn, detail)],
        })
    }

    fn sample_alarms(&self, e: u16, names: &[String]) -> Sample {
        const SOURCE: &str = "cloudwatch:DescribeAlarms";
        let now = self.kernel.now;
        let env = &self.environments[e as usize];
        let mut verdict = if names.is_empty() {
            Verdict::Unknown
        } else {
            Verdict::Pass
        };
        let mut evidence = Vec::new();
        for name in names {
            let Some(alarm) = env.alarms.iter().find(|a| &a.name == name) else {
                evidence.push(Evidence::new(
                    now,
                    SOURCE,
                    name.as_str(),
                    "there is no such alarm",
                ));
                verdict = worse(verdict, Verdict::Unknown);
                continue;
            };
            let this = match alarm.state {
                AlarmState::Ok => Verdict::Pass,
                AlarmState::Alarm => Verdict::Fail,
                AlarmState::InsufficientData => Verdict::Unknown,
            };
            // What is fine explains nothing beside what is not.
            if this == Verdict::Pass && names.len() > 1 {
                continue;
            }
            verdict = worse(verdict, this);
            let detail = format!("{} since {}: {}", alarm.state.name(), alarm.since, alarm.reason);
            evidence.push(Evidence::new(now, SOURCE, name.as_str(), detail));
        }
        if evidence.is_empty() {
            let detail = format!("all {} alarms are OK", names.len());
            evidence.push(Evidence::new(now, SOURCE, names.join(", "), detail));
        }
        Sample {
            at: now,
            verdict,
            images: None,
            evidence,
        }
    }
}

/// A failure counts more than missing data, missing data more than a pass.
fn worse(one: Verdict, other: Verdict) -> Verdict {
    match (one, other) {
        (Verdict::Fail, _) | (_, Verdict::Fail) => Verdict::Fail,
        (Verdict::Unknown, _) | (_, Verdict::Unknown) => Verdict::Unknown,
        (Verdict::Pass, Verdict::Pass) => Verdict::Pass,
    }
}

#[async_trait]
impl HealthGate for Port {
    async fn sample(&self, ctx: &OpContext, request: &SampleRequest) -> Result<Sample, Error> {
        self.call(ctx, Operation::Sample, request.probe.as_str(), |world| {
            let now = world.kernel.now;
            match &request.target {
                ProbeTarget::TargetHealth {
                    target_group,
                    at_least,
                } => world.sample_targets(self.target, target_group, *at_least),
                ProbeTarget::Http(probe) => Ok(world.http(probe)),
                ProbeTarget::Alarms { names } => Ok(world.sample_alarms(self.target, names)),
                // Facts are another port's: `rollout_core::readiness::gate` asks it.
                ProbeTarget::Readiness => Err(Error::new(
                    ErrorKind::Unsupported,
                    Operation::Sample.name(),
                    "the gates of the simulation do not judge readiness: put a `ReadinessGate` before them",
                )),
                ProbeTarget::Custom { name, .. } => Ok(Sample {
                    at: now,
                    verdict: Verdict::Unknown,
                    images: None,
                    evidence: vec![Evidence::new(
                        now,
                        "simulation",
                        name.as_str(),
                        "custom probes are the team's own",
                    )],
                }),
                // The enum may grow.
                _ => Err(Error::new(
                    ErrorKind::Unsupported,
                    Operation::Sample.name(),
                    "the simulation does not know this kind of probe",
                )),
            }
        })
    }
}
