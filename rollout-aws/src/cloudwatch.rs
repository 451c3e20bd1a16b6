//! What CloudWatch knows: the state of alarms, and the requests of a load balancer.
//!
//! # How alarm states become a verdict
//! | alarms | verdict |
//! | --- | --- |
//! | any in `ALARM` | `Fail` |
//! | any in `INSUFFICIENT_DATA`, in a state that is not known, that CloudWatch could not evaluate, or that does not exist | `Unknown` |
//! | all `OK` | `Pass` |
//!
//! The sample speaks of the moment of asking. `StateUpdatedTimestamp` would be wrong for it: it is when the state last
//! changed, so an alarm that has been `OK` for a week would be a week old although it is evaluated all the time. What it
//! cannot tell is whether the periods that the alarm has evaluated so far lie after the change; a gate on alarms
//! therefore wants a warm-up or bake time of at least the alarms' own periods.
//!
//! # IAM actions
//! [`ACTIONS`].

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{
    AlarmType, CompositeAlarm, Dimension, EvaluationState, MetricAlarm, StateValue, Statistic,
};
use aws_smithy_types::DateTime;
use aws_types::SdkConfig;
use rollout_core::context::OpContext;
use rollout_core::dns::{OldTraffic, RecordData};
use rollout_core::error::{Error, ErrorKind};
use rollout_core::evidence::Evidence;
use rollout_core::port::HealthGate;
use rollout_core::probe::{ProbeTarget, Sample, SampleRequest, Verdict};
use rollout_core::time::Timestamp;

use crate::config;
use crate::edge::{LoadBalancer, LoadBalancerNames, RequestCount, pointed_at};
use crate::error::from_sdk;
use crate::observer::{Meter, SharedObserver, Toll};
use crate::page::Pages;
use crate::time::{self, Now};

pub(crate) const ALARMS: &str = "cloudwatch:DescribeAlarms";
const STATISTICS: &str = "cloudwatch:GetMetricStatistics";

/// The IAM actions that these adapters need.
pub const ACTIONS: &[&str] = &[ALARMS, STATISTICS];

/// Alarms a call (Amazon CloudWatch API, "DescribeAlarms").
pub(crate) const BATCH: usize = 100;

const MINUTE: u64 = 60_000;

/// How long after its end a minute is read, in milliseconds. The nodes of a load balancer report apart from each other, so
/// that a minute's sum still grows after its end; one that is read too early would say that the old side is drained.
const SETTLE: u64 = 2 * MINUTE;

/// Takes samples of [`ProbeTarget::Alarms`]: metric and composite alarms, a hundred a call.
#[derive(Clone)]
pub struct AlarmGate {
    client: Client,
    toll: Toll,
    now: Now,
}

impl fmt::Debug for AlarmGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlarmGate").finish_non_exhaustive()
    }
}

impl AlarmGate {
    /// With a client of this configuration.
    #[must_use]
    pub fn from_config(config: &SdkConfig) -> Self {
        Self::with_client(Client::new(&config::prepare(config)))
    }

    /// With a ready client.
    #[must_use]
    pub fn with_client(client: Client) -> Self {
        Self {
            client,
            toll: Toll::default(),
            now: time::system(),
        }
    }

    /// Shares calls with all adapters of this account and region that are given the same observer.
    #[must_use]
    pub fn shared(mut self, observer: &Arc<SharedObserver>) -> Self {
        let metered = self.client.config().to_builder();
        self.client = Client::from_conf(metered.interceptor(Meter::new(observer, "monitoring")).build());
        self.toll = Toll::of(observer);
        self
    }

    /// With another clock.
    #[must_use]
    pub fn with_now(mut self, now: Now) -> Self {
        self.now = now;
        self
    }
}

/// The alarms of these names that exist; at most [`BATCH`]. They come in one page; each further one is another call.
async fn describe(
    client: Client,
    toll: Toll,
    ctx: OpContext,
    names: Vec<String>,
) -> Result<BTreeMap<String, Arc<Alarm>>, Error> {
    let mut found = BTreeMap::new();
    let mut pages = Pages::new(ALARMS, BATCH);
    let mut token = None;
    loop {
        let answer = client
            .describe_alarms()
            .set_alarm_names(Some(names.clone()))
            // Without this only metric alarms are listed.
            .alarm_types(AlarmType::MetricAlarm)
            .alarm_types(AlarmType::CompositeAlarm)
            // Without this a page has 50.
            .max_records(100)
            .set_next_token(token)
            .send()
            .await
            .map_err(|error| from_sdk(ALARMS, format!("alarms {}", names.join(", ")), false, error))?;
        let metric = answer.metric_alarms.unwrap_or_default().into_iter();
        let composite = answer.composite_alarms.unwrap_or_default().into_iter();
        let alarms = metric.map(Alarm::from).chain(composite.map(Alarm::from));
        found.extend(alarms.map(|alarm| (alarm.name.clone(), Arc::new(alarm))));
        token = pages.next(answer.next_token)?;
        if token.is_none() {
            return Ok(found);
        }
        toll.pay(&ctx, ALARMS).await?;
    }
}

/// What counts of an alarm.
pub(crate) struct Alarm {
    name: String,
    state: Option<StateValue>,
    reason: Option<String>,
    since: Option<DateTime>,
    /// CloudWatch says that it could not evaluate it; its state is then old.
    not_evaluated: Option<EvaluationState>,
}

impl From<MetricAlarm> for Alarm {
    fn from(alarm: MetricAlarm) -> Self {
        Self {
            name: alarm.alarm_name.unwrap_or_default(),
            state: alarm.state_value,
            reason: alarm.state_reason,
            since: alarm
                .state_transitioned_timestamp
                .or(alarm.state_updated_timestamp),
            // Partial data (an alarm on a query over many metrics) is data.
            not_evaluated: alarm
                .evaluation_state
                .filter(|state| *state != EvaluationState::PartialData),
        }
    }
}

impl From<CompositeAlarm> for Alarm {
    fn from(alarm: CompositeAlarm) -> Self {
        Self {
            name: alarm.alarm_name.unwrap_or_default(),
            state: alarm.state_value,
            reason: alarm.state_reason,
            since: alarm
                .state_transitioned_timestamp
                .or(alarm.state_updated_timestamp),
            not_evaluated: None,
        }
    }
}

impl Alarm {
    fn verdict(&self) -> Verdict {
        match &self.state {
            Some(StateValue::Alarm) => Verdict::Fail,
            Some(StateValue::Ok) if self.not_evaluated.is_none() => Verdict::Pass,
            Some(_) | None => Verdict::Unknown,
        }
    }

    fn detail(&self) -> String {
        let mut detail = self
            .state
            .as_ref()
            .map_or("without a state", StateValue::as_str)
            .to_owned();
        if let Some(since) = self.since.and_then(|since| since.to_millis().ok()) {
            let since = Timestamp::from_millis(u64::try_from(since).unwrap_or_default());
            detail.push_str(&format!(" since {since}"));
        }
        if let Some(evaluation) = &self.not_evaluated {
            detail.push_str(&format!(", {}", evaluation.as_str()));
        }
        if let Some(reason) = &self.reason {
            detail.push_str(&format!(": {reason}"));
        }
        detail
    }
}

#[async_trait]
impl HealthGate for AlarmGate {
    async fn sample(&self, ctx: &OpContext, request: &SampleRequest) -> Result<Sample, Error> {
        let refused = |kind, what: &str| {
            Err(Error::new(
                kind,
                ALARMS,
                format!("probe {} {what}", request.probe),
            ))
        };
        let ProbeTarget::Alarms { names } = &request.target else {
            return refused(ErrorKind::Unsupported, "is not about alarms");
        };
        let wanted: Vec<String> = names
            .iter()
            .cloned()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        if wanted.is_empty() {
            // No alarm at all would pass for ever.
            return refused(ErrorKind::InvalidRequest, "names no alarm");
        }
        let at = (self.now)();
        let (client, toll, of) = (self.client.clone(), self.toll.clone(), ctx.clone());
        let call = move |names| describe(client.clone(), toll.clone(), of.clone(), names);
        let read = self
            .toll
            .read(ctx, |observer| &observer.alarms, "", &wanted, (BATCH, call));
        let read = read.await?;
        let at = read.sent_at.unwrap_or(at);
        let (verdict, evidence) = judge(at, &wanted, &read.found);
        Ok(Sample {
            at,
            verdict,
            images: None,
            evidence,
        })
    }
}

/// The worst of all, and what stands out; when nothing does, one line says so.
fn judge(at: Timestamp, wanted: &[String], found: &BTreeMap<String, Arc<Alarm>>) -> (Verdict, Vec<Evidence>) {
    let mut worst = Verdict::Pass;
    let mut evidence = Vec::new();
    for name in wanted {
        let (verdict, detail) = match found.get(name) {
            Some(alarm) => (alarm.verdict(), alarm.detail()),
            None => (Verdict::Unknown, "no such alarm".to_owned()),
        };
        match verdict {
            Verdict::Pass => continue,
            Verdict::Fail => worst = Verdict::Fail,
            Verdict::Unknown if worst == Verdict::Pass => worst = Verdict::Unknown,
            Verdict::Unknown => {}
        }
        evidence.push(Evidence::new(at, ALARMS, format!("alarm {name}"), detail));
    }
    if evidence.is_empty() {
        let subject = format!("alarms {}", wanted.join(", "));
        evidence.push(Evidence::new(at, ALARMS, subject, "OK"));
    }
    (worst, evidence)
}

/// Counts the requests of the load balancer that a record points at (`AWS/ApplicationELB`, `RequestCount`, sum of a whole
/// minute), so that a cutover can see the old side drain (invariant I-24).
///
/// The minute is the last one that ended at least two minutes ago, and its end is the moment the answer speaks of: the
/// figures of a minute still grow after its end. No data is `None` and not zero. Mind that a load balancer without any
/// request at all reports nothing (Elastic Load Balancing user guide, "CloudWatch metrics for your Application Load
/// Balancer"): its drain is not seen, and the cutover's own deadline decides.
#[derive(Clone)]
pub struct LoadBalancerRequests {
    client: Client,
    names: Arc<dyn LoadBalancerNames>,
    toll: Toll,
    now: Now,
}

impl fmt::Debug for LoadBalancerRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadBalancerRequests").finish_non_exhaustive()
    }
}

impl LoadBalancerRequests {
    /// With a client of this configuration; `names` finds the load balancer of a DNS name (`elbv2::LoadBalancers`).
    #[must_use]
    pub fn from_config(config: &SdkConfig, names: Arc<dyn LoadBalancerNames>) -> Self {
        Self::with_client(Client::new(&config::prepare(config)), names)
    }

    /// With a ready client.
    #[must_use]
    pub fn with_client(client: Client, names: Arc<dyn LoadBalancerNames>) -> Self {
        Self {
            client,
            names,
            toll: Toll::default(),
            now: time::system(),
        }
    }

    /// Shares calls with all adapters of this account and region that are given the same observer.
    #[must_use]
    pub fn shared(mut self, observer: &Arc<SharedObserver>) -> Self {
        let metered = self.client.config().to_builder();
        self.client = Client::from_conf(metered.interceptor(Meter::new(observer, "monitoring")).build());
        self.toll = Toll::of(observer);
        self
    }

    /// With another clock.
    #[must_use]
    pub fn with_now(mut self, now: Now) -> Self {
        self.now = now;
        self
    }

    async fn count(
        &self,
        ctx: &OpContext,
        balancer: &LoadBalancer,
        end: Timestamp,
    ) -> Result<Option<u64>, Error> {
        let Some(dimension) = balancer.dimension().filter(|_| balancer.application) else {
            return Ok(None);
        };
        let end = i64::try_from(end.as_millis()).unwrap_or(i64::MAX);
        let start = end.saturating_sub(60_000);
        self.toll.pay(ctx, STATISTICS).await?;
        let answer = self
            .client
            .get_metric_statistics()
            .namespace("AWS/ApplicationELB")
            .metric_name("RequestCount")
            .dimensions(Dimension::builder().name("LoadBalancer").value(dimension).build())
            .start_time(DateTime::from_millis(start))
            .end_time(DateTime::from_millis(end))
            .period(60)
            .statistics(Statistic::Sum)
            .send()
            .await
            .map_err(|error| from_sdk(STATISTICS, dimension, false, error))?;
        let sums = answer.datapoints();
        let Some(sum) = sums.iter().find_map(|point| point.sum()) else {
            return Ok(None);
        };
        // A count comes as a float. Rounded up, so that a fraction is never nothing.
        Ok(Some(whole(sum.ceil())))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and a count is whole and not negative"
)]
const fn whole(count: f64) -> u64 {
    count as u64
}

#[async_trait]
impl RequestCount for LoadBalancerRequests {
    async fn last_minute(&self, ctx: &OpContext, data: &RecordData) -> Result<OldTraffic, Error> {
        let settled = (self.now)().as_millis().saturating_sub(SETTLE);
        let end = Timestamp::from_millis(settled - settled % MINUTE);
        let mut total = None;
        for name in pointed_at(data) {
            let count = match self.names.find(ctx, &name).await? {
                Some(balancer) => self.count(ctx, &balancer, end).await?,
                None => None,
            };
            // One that cannot be counted makes the sum unknown.
            let Some(count) = count else {
                return Ok(OldTraffic {
                    at: end,
                    requests_per_minute: None,
                });
            };
            total = Some(total.unwrap_or(0_u64).saturating_add(count));
        }
        Ok(OldTraffic {
            at: end,
            requests_per_minute: total,
        })
    }
}

#[cfg(test)]
mod tests;
