//! What Elastic Load Balancing knows: the health of targets, and which load balancer a DNS name belongs to.
//!
//! # How target states become a verdict
//! | targets of the group | verdict |
//! | --- | --- |
//! | any `unhealthy` | `Fail` |
//! | `healthy` at least as many as asked for | `Pass` |
//! | enough only when `initial` and `unavailable` ones are counted too | `Unknown` |
//! | otherwise, also none at all | `Fail` |
//!
//! `initial` means that the first checks are still under way: a slow start is not a failure, the gate's own deadline ends
//! it. `unavailable` means that the group's health checks are off: no data. `draining`, `unhealthy.draining` and `unused`
//! targets get no new requests, and count for nothing. A target group does not know versions, so a sample names no images.
//!
//! # IAM actions
//! [`ACTIONS`]; the gate itself needs only `elasticloadbalancing:DescribeTargetHealth`. None of them can be limited to a
//! resource.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{
    Action, LoadBalancerTypeEnum, TargetHealthDescription, TargetHealthStateEnum,
};
use aws_types::SdkConfig;
use rollout_core::context::OpContext;
use rollout_core::dns::{RecordData, TargetCheck};
use rollout_core::error::{Error, ErrorKind};
use rollout_core::evidence::Evidence;
use rollout_core::id::DomainName;
use rollout_core::port::HealthGate;
use rollout_core::probe::{ProbeTarget, Sample, SampleRequest, Verdict};
use rollout_core::time::Timestamp;

use crate::config;
use crate::edge::{LoadBalancer, LoadBalancerNames, TargetHealth, load_balancer_name, pointed_at};
use crate::error::from_sdk;
use crate::observer::{Meter, SharedObserver, Toll};
use crate::page::Pages;
use crate::time::{self, Now};

const HEALTH: &str = "elasticloadbalancing:DescribeTargetHealth";
const BALANCERS: &str = "elasticloadbalancing:DescribeLoadBalancers";
const LISTENERS: &str = "elasticloadbalancing:DescribeListeners";
const RULES: &str = "elasticloadbalancing:DescribeRules";

/// The IAM actions that these adapters need.
pub const ACTIONS: &[&str] = &[HEALTH, BALANCERS, LISTENERS, RULES];

/// The most pages of one list, of 400 or fewer each.
const PAGES: usize = 100;

/// How many targets that are not healthy are quoted one by one.
const QUOTED: usize = 10;

/// Takes samples of [`ProbeTarget::TargetHealth`].
#[derive(Clone)]
pub struct TargetHealthGate {
    client: Client,
    toll: Toll,
    now: Now,
}

impl fmt::Debug for TargetHealthGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TargetHealthGate").finish_non_exhaustive()
    }
}

impl TargetHealthGate {
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
        self.client = Client::from_conf(
            metered
                .interceptor(Meter::new(observer, "elasticloadbalancing"))
                .build(),
        );
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

#[async_trait]
impl HealthGate for TargetHealthGate {
    async fn sample(&self, ctx: &OpContext, request: &SampleRequest) -> Result<Sample, Error> {
        let ProbeTarget::TargetHealth {
            target_group,
            at_least,
        } = &request.target
        else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                HEALTH,
                format!("probe {} is not about target health", request.probe),
            ));
        };
        let at = (self.now)();
        let targets = targets(&self.client, &self.toll, ctx, target_group).await?;
        let count = Count::of(&targets);
        let verdict = count.verdict(usize::try_from(*at_least).unwrap_or(usize::MAX));
        let mut evidence = vec![Evidence::new(
            at,
            HEALTH,
            target_group,
            format!("{count}; at least {at_least} healthy asked for"),
        )];
        evidence.extend(not_healthy(at, &targets));
        Ok(Sample {
            at,
            verdict,
            images: None,
            evidence,
        })
    }
}

async fn targets(
    client: &Client,
    toll: &Toll,
    ctx: &OpContext,
    group: &str,
) -> Result<Vec<TargetHealthDescription>, Error> {
    toll.pay(ctx, HEALTH).await?;
    let answer = client
        .describe_target_health()
        .target_group_arn(group)
        .send()
        .await
        .map_err(|error| from_sdk(HEALTH, group, false, error))?;
    Ok(answer.target_health_descriptions.unwrap_or_default())
}

fn state(target: &TargetHealthDescription) -> Option<&TargetHealthStateEnum> {
    target.target_health.as_ref().and_then(|health| health.state())
}

/// How many targets are in which state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Count {
    healthy: usize,
    unhealthy: usize,
    /// May still become healthy, or is without data.
    open: usize,
    states: BTreeMap<String, usize>,
}

impl Count {
    fn of(targets: &[TargetHealthDescription]) -> Self {
        let mut count = Self::default();
        for target in targets {
            match state(target) {
                Some(TargetHealthStateEnum::Healthy) => count.healthy += 1,
                Some(TargetHealthStateEnum::Unhealthy) => count.unhealthy += 1,
                Some(TargetHealthStateEnum::Initial | TargetHealthStateEnum::Unavailable) | None => {
                    count.open += 1;
                }
                // Draining, unused; a state that is new tells nothing good.
                Some(_) => {}
            }
            let name = state(target).map_or("without a state", |s| s.as_str());
            *count.states.entry(name.to_owned()).or_default() += 1;
        }
        count
    }

    const fn verdict(&self, at_least: usize) -> Verdict {
        if self.unhealthy > 0 {
            Verdict::Fail
        } else if self.healthy >= at_least {
            Verdict::Pass
        } else if self.healthy + self.open >= at_least {
            Verdict::Unknown
        } else {
            Verdict::Fail
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.states.is_empty() {
            return f.write_str("no targets");
        }
        let states: Vec<String> = self
            .states
            .iter()
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        f.write_str(&states.join(", "))
    }
}

/// The first targets that are not healthy, each with its reason.
fn not_healthy(at: Timestamp, targets: &[TargetHealthDescription]) -> Vec<Evidence> {
    targets
        .iter()
        .filter(|target| state(target) != Some(&TargetHealthStateEnum::Healthy))
        .take(QUOTED)
        .map(|target| {
            let subject = match &target.target {
                Some(it) => match it.port() {
                    Some(port) => format!("target {}:{port}", it.id().unwrap_or("?")),
                    None => format!("target {}", it.id().unwrap_or("?")),
                },
                None => "a target".to_owned(),
            };
            let mut detail = state(target).map_or("without a state", |s| s.as_str()).to_owned();
            if let Some(health) = &target.target_health {
                if let Some(reason) = health.reason() {
                    detail.push_str(": ");
                    detail.push_str(reason.as_str());
                }
                if let Some(description) = health.description() {
                    detail.push_str(&format!(" ({description})"));
                }
            }
            Evidence::new(at, HEALTH, subject, detail)
        })
        .collect()
}

/// The load balancers of one account and region: finds them by DNS name, and says whether a record that points at one
/// has a healthy target behind it.
///
/// "Behind it" are the target groups that any of its listeners and rules forward to with a weight above 0. A load balancer
/// that several services share is healthy here when one of them is: the record's data does not say which rule its
/// requests will meet. The gates on each service's own target group say that.
#[derive(Clone)]
pub struct LoadBalancers {
    client: Client,
    toll: Toll,
    now: Now,
    /// By DNS name. A load balancer's ARN and DNS name do not change while it lives.
    known: Arc<Mutex<BTreeMap<String, LoadBalancer>>>,
}

impl fmt::Debug for LoadBalancers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadBalancers")
            .field("known", &self.known)
            .finish_non_exhaustive()
    }
}

impl LoadBalancers {
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
            known: Arc::default(),
        }
    }

    /// Shares calls with all adapters of this account and region that are given the same observer.
    #[must_use]
    pub fn shared(mut self, observer: &Arc<SharedObserver>) -> Self {
        let metered = self.client.config().to_builder();
        self.client = Client::from_conf(
            metered
                .interceptor(Meter::new(observer, "elasticloadbalancing"))
                .build(),
        );
        self.toll = Toll::of(observer);
        self
    }

    /// With another clock.
    #[must_use]
    pub fn with_now(mut self, now: Now) -> Self {
        self.now = now;
        self
    }

    fn known(&self, name: &str) -> Option<LoadBalancer> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(name).cloned()
    }

    /// Reads all of them: there is no look-up by DNS name.
    async fn refresh(&self, ctx: &OpContext) -> Result<(), Error> {
        let mut found = BTreeMap::new();
        let mut pages = Pages::new(BALANCERS, PAGES);
        let mut next = None;
        loop {
            self.toll.pay(ctx, BALANCERS).await?;
            let answer = self.client.describe_load_balancers().set_marker(next).send();
            let answer = answer
                .await
                .map_err(|error| from_sdk(BALANCERS, "the load balancers", false, error))?;
            for balancer in answer.load_balancers.unwrap_or_default() {
                let application = balancer.r#type() == Some(&LoadBalancerTypeEnum::Application);
                if let (Some(name), Some(arn)) = (balancer.dns_name, balancer.load_balancer_arn) {
                    found.insert(name.to_ascii_lowercase(), LoadBalancer { arn, application });
                }
            }
            next = pages.next(answer.next_marker)?;
            if next.is_none() {
                break;
            }
        }
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(())
    }

    /// The target groups that get requests.
    async fn groups(&self, ctx: &OpContext, balancer: &LoadBalancer) -> Result<BTreeSet<String>, Error> {
        let mut groups = BTreeSet::new();
        let mut pages = Pages::new(LISTENERS, PAGES);
        let mut next = None;
        loop {
            self.toll.pay(ctx, LISTENERS).await?;
            let request = self.client.describe_listeners().load_balancer_arn(&balancer.arn);
            let answer = request
                .set_marker(next)
                .send()
                .await
                .map_err(|error| from_sdk(LISTENERS, &balancer.arn, false, error))?;
            for listener in answer.listeners.unwrap_or_default() {
                groups.extend(listener.default_actions().iter().flat_map(forwarded));
                // Only application load balancers have rules.
                if let Some(arn) = listener.listener_arn().filter(|_| balancer.application) {
                    self.groups_of_rules(ctx, arn, &mut groups).await?;
                }
            }
            next = pages.next(answer.next_marker)?;
            if next.is_none() {
                return Ok(groups);
            }
        }
    }

    async fn groups_of_rules(
        &self,
        ctx: &OpContext,
        listener: &str,
        groups: &mut BTreeSet<String>,
    ) -> Result<(), Error> {
        let mut pages = Pages::new(RULES, PAGES);
        let mut next = None;
        loop {
            self.toll.pay(ctx, RULES).await?;
            let request = self.client.describe_rules().listener_arn(listener);
            let answer = request
                .set_marker(next)
                .send()
                .await
                .map_err(|error| from_sdk(RULES, listener, false, error))?;
            for rule in answer.rules.unwrap_or_default() {
                groups.extend(rule.actions().iter().flat_map(forwarded));
            }
            next = pages.next(answer.next_marker)?;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// Whether a load balancer has a healthy target, with what was seen.
    async fn healthy(
        &self,
        ctx: &OpContext,
        at: Timestamp,
        name: &DomainName,
    ) -> Result<(Option<bool>, Vec<Evidence>), Error> {
        let Some(balancer) = self.look_up(ctx, name).await? else {
            let detail = "no load balancer of this account and region has this name";
            return Ok((None, vec![Evidence::new(at, BALANCERS, name.as_str(), detail)]));
        };
        let groups = self.groups(ctx, &balancer).await?;
        if groups.is_empty() {
            let detail = "no listener forwards to a target group";
            return Ok((
                Some(false),
                vec![Evidence::new(at, LISTENERS, balancer.arn, detail)],
            ));
        }
        let mut evidence = Vec::new();
        let mut healthy = false;
        for group in groups {
            let targets = targets(&self.client, &self.toll, ctx, &group).await?;
            let count = Count::of(&targets);
            healthy |= count.healthy > 0;
            evidence.push(Evidence::new(at, HEALTH, group, count.to_string()));
            evidence.extend(not_healthy(at, &targets));
        }
        Ok((Some(healthy), evidence))
    }

    async fn look_up(&self, ctx: &OpContext, name: &DomainName) -> Result<Option<LoadBalancer>, Error> {
        let name = load_balancer_name(name);
        if let Some(known) = self.known(&name) {
            return Ok(Some(known));
        }
        self.refresh(ctx).await?;
        Ok(self.known(&name))
    }
}

/// The target groups that an action sends requests to.
fn forwarded(action: &Action) -> Vec<String> {
    match &action.forward_config {
        // An action without weights forwards to its one group.
        Some(forward) if forward.target_groups.as_ref().is_some_and(|g| !g.is_empty()) => forward
            .target_groups
            .iter()
            .flatten()
            .filter(|group| group.weight != Some(0))
            .filter_map(|group| group.target_group_arn.clone())
            .collect(),
        Some(_) | None => action.target_group_arn.iter().cloned().collect(),
    }
}

#[async_trait]
impl LoadBalancerNames for LoadBalancers {
    async fn find(&self, ctx: &OpContext, name: &DomainName) -> Result<Option<LoadBalancer>, Error> {
        self.look_up(ctx, name).await
    }
}

#[async_trait]
impl TargetHealth for LoadBalancers {
    async fn check(&self, ctx: &OpContext, data: &RecordData) -> Result<TargetCheck, Error> {
        let at = (self.now)();
        let names = pointed_at(data);
        let mut check = TargetCheck {
            at,
            healthy: None,
            evidence: Vec::new(),
        };
        let mut verdicts = Vec::new();
        for name in &names {
            match self.healthy(ctx, at, name).await {
                Ok((verdict, evidence)) => {
                    verdicts.push(verdict);
                    check.evidence.extend(evidence);
                }
                // An endpoint without ELBv2 (an emulator) knows nothing; it has not failed.
                Err(error) if error.kind == ErrorKind::Unsupported => {
                    verdicts.push(None);
                    check.evidence.push(Evidence::new(
                        at,
                        error.operation.clone(),
                        name.as_str(),
                        error.context,
                    ));
                }
                Err(error) => return Err(error),
            }
        }
        if verdicts.contains(&Some(true)) {
            check.healthy = Some(true);
        } else if !verdicts.is_empty() && verdicts.iter().all(|verdict| *verdict == Some(false)) {
            check.healthy = Some(false);
        }
        Ok(check)
    }
}

#[cfg(test)]
mod tests;
