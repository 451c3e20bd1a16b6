//! One [`HealthGate`] made of several: each kind of probe has its own provider.
//!
//! ```
//! use std::sync::Arc;
//! use rollout_aws::gates::Gates;
//! # fn with(mine: Arc<dyn rollout_core::port::HealthGate>) -> Gates {
//! Gates::builder().with_custom("queue-depth", mine).build()
//! # }
//! ```

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use rollout_core::context::OpContext;
use rollout_core::error::{Error, ErrorKind};
use rollout_core::port::HealthGate;
use rollout_core::probe::{ProbeTarget, Sample, SampleRequest};

/// Sends each request to the provider of its kind. A kind without one is [`ErrorKind::Unsupported`].
#[derive(Clone, Default)]
pub struct Gates {
    target_health: Option<Arc<dyn HealthGate>>,
    http: Option<Arc<dyn HealthGate>>,
    alarms: Option<Arc<dyn HealthGate>>,
    custom: BTreeMap<String, Arc<dyn HealthGate>>,
}

impl Gates {
    /// Starts with no provider at all.
    pub fn builder() -> GatesBuilder {
        GatesBuilder(Self::default())
    }

    fn provider(&self, request: &SampleRequest) -> Result<&Arc<dyn HealthGate>, Error> {
        let missing = |what: String, remedy: String| {
            Error::new(
                ErrorKind::Unsupported,
                "gate:Sample",
                format!(
                    "probe {}: nothing here answers for {what}; {remedy}",
                    request.probe
                ),
            )
        };
        let built_in = |kind: &str, feature: &str, name: &str| {
            missing(
                kind.to_owned(),
                format!("build rollout-aws with feature `{feature}` and give it a `{name}`"),
            )
        };
        match &request.target {
            ProbeTarget::TargetHealth { .. } => self
                .target_health
                .as_ref()
                .ok_or_else(|| built_in("target health", "elbv2", "TargetHealthGate")),
            ProbeTarget::Http(_) => self
                .http
                .as_ref()
                .ok_or_else(|| built_in("HTTP", "probe", "HttpGate")),
            ProbeTarget::Alarms { .. } => self
                .alarms
                .as_ref()
                .ok_or_else(|| built_in("alarms", "cloudwatch", "AlarmGate")),
            ProbeTarget::Readiness => Err(missing(
                "readiness".to_owned(),
                "put `rollout_core::readiness::gate::ReadinessGate` before these gates".to_owned(),
            )),
            ProbeTarget::Custom { name, .. } => self.custom.get(name).ok_or_else(|| {
                let known: Vec<&str> = self.custom.keys().map(String::as_str).collect();
                let remedy = if known.is_empty() {
                    "no custom gate was given".to_owned()
                } else {
                    format!("the custom gates given are {}", known.join(", "))
                };
                missing(format!("custom gate `{name}`"), remedy)
            }),
            // `ProbeTarget` is open: a kind of a newer core is refused, not guessed at.
            _ => Err(missing(
                "this kind of probe".to_owned(),
                "use a rollout-aws as new as rollout-core".to_owned(),
            )),
        }
    }
}

impl fmt::Debug for Gates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gates")
            .field("target_health", &self.target_health.is_some())
            .field("http", &self.http.is_some())
            .field("alarms", &self.alarms.is_some())
            .field("custom", &self.custom.keys())
            .finish()
    }
}

#[async_trait]
impl HealthGate for Gates {
    async fn sample(&self, ctx: &OpContext, request: &SampleRequest) -> Result<Sample, Error> {
        self.provider(request)?.sample(ctx, request).await
    }
}

/// Puts [`Gates`] together.
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct GatesBuilder(Gates);

impl GatesBuilder {
    /// Who answers for [`ProbeTarget::TargetHealth`].
    pub fn with_target_health(mut self, gate: Arc<dyn HealthGate>) -> Self {
        self.0.target_health = Some(gate);
        self
    }

    /// Who answers for [`ProbeTarget::Http`].
    pub fn with_http(mut self, gate: Arc<dyn HealthGate>) -> Self {
        self.0.http = Some(gate);
        self
    }

    /// Who answers for [`ProbeTarget::Alarms`].
    pub fn with_alarms(mut self, gate: Arc<dyn HealthGate>) -> Self {
        self.0.alarms = Some(gate);
        self
    }

    /// Who answers for [`ProbeTarget::Custom`] of this name.
    pub fn with_custom(mut self, name: impl Into<String>, gate: Arc<dyn HealthGate>) -> Self {
        self.0.custom.insert(name.into(), gate);
        self
    }

    /// All of them.
    #[must_use]
    pub fn build(self) -> Gates {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use rollout_core::id::Generation;
    use rollout_core::pace::Priority;
    use rollout_core::probe::{HttpProbe, Subject, Verdict};
    use rollout_core::time::Timestamp;

    use super::*;

    /// Says which provider it is by the time of its sample.
    struct Numbered(u64);

    #[async_trait]
    impl HealthGate for Numbered {
        async fn sample(&self, _ctx: &OpContext, _request: &SampleRequest) -> Result<Sample, Error> {
            Ok(Sample {
                at: Timestamp::from_millis(self.0),
                verdict: Verdict::Pass,
                images: None,
                evidence: Vec::new(),
            })
        }
    }

    fn targets() -> [ProbeTarget; 5] {
        let custom = |name: &str| ProbeTarget::Custom {
            name: name.to_owned(),
            parameters: serde_json::Value::Null,
        };
        [
            ProbeTarget::TargetHealth {
                target_group: "arn".to_owned(),
                at_least: 1,
            },
            ProbeTarget::Http(HttpProbe {
                url: "http://h/".to_owned(),
                status: Vec::new(),
                body_contains: None,
                latency: core::time::Duration::ZERO,
                timeout: core::time::Duration::ZERO,
                redirects: 0,
            }),
            ProbeTarget::Alarms { names: Vec::new() },
            custom("one"),
            custom("two"),
        ]
    }

    async fn sample(gates: &Gates, target: ProbeTarget) -> Result<Sample, Error> {
        let ctx = OpContext {
            run: "r-1".parse().expect("a valid id"),
            step: "gate/g".parse().expect("a valid id"),
            attempt: 1,
            generation: Generation(1),
            deadline: Timestamp::MAX,
            priority: Priority::Look,
        };
        let request = SampleRequest {
            probe: "p".parse().expect("a valid name"),
            target,
            subject: Subject {
                service: None,
                images: BTreeMap::new(),
                changed_at: Timestamp::EPOCH,
            },
        };
        gates.sample(&ctx, &request).await
    }

    #[tokio::test]
    async fn each_kind_goes_to_its_own_provider() {
        let gates = Gates::builder()
            .with_target_health(Arc::new(Numbered(0)))
            .with_http(Arc::new(Numbered(1)))
            .with_alarms(Arc::new(Numbered(2)))
            .with_custom("one", Arc::new(Numbered(3)))
            .with_custom("two", Arc::new(Numbered(4)))
            .build();
        for (number, target) in (0..).zip(targets()) {
            let sample = sample(&gates, target).await.expect("a provider");
            assert_eq!(sample.at, Timestamp::from_millis(number));
        }
    }

    #[tokio::test]
    async fn a_kind_without_a_provider_names_the_feature() {
        let says = ["`elbv2`", "`probe`", "`cloudwatch`", "`one`", "`two`"];
        for (target, says) in targets().into_iter().zip(says) {
            let error = sample(&Gates::default(), target).await.expect_err("no provider");
            assert_eq!(error.kind, ErrorKind::Unsupported);
            assert!(error.context.contains(says), "{error}");
        }
        let some = Gates::builder().with_custom("one", Arc::new(Numbered(0))).build();
        let [.., two] = targets();
        let error = sample(&some, two).await.expect_err("no provider");
        assert!(
            error.context.contains("the custom gates given are one"),
            "{error}"
        );
    }
}
