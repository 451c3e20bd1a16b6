//! `DnsCutover`: records of a zone, the health of what they point at, the requests that still reach it.

use async_trait::async_trait;
use rollout_core::context::OpContext;
use rollout_core::dns::{
    AuthoritativeAnswer, ChangeBatch, Marker, OldTraffic, Propagation, Record, RecordData, RecordKey,
    Snapshot, TargetCheck,
};
use rollout_core::error::{Error, ErrorKind, Retry};
use rollout_core::evidence::Evidence;
use rollout_core::id::{ChangeId, ZoneId};
use rollout_core::port::DnsCutover;

use super::Port;
use crate::dns::{Refused, SERVERS, Zone, names};
use crate::elb::TargetState;
use crate::faults::Operation;
use crate::world::World;

fn zone<'a>(world: &'a mut World, operation: Operation, id: &ZoneId) -> Result<&'a mut Zone, Error> {
    let found = world.zones.iter_mut().find(|z| &z.id == id);
    found.ok_or_else(|| {
        let text = format!("NoSuchHostedZone: no hosted zone found with ID {id}");
        Error::new(ErrorKind::NotFound, operation.name(), text)
    })
}

fn invalid(operation: Operation, text: impl ToString) -> Error {
    Error::new(ErrorKind::InvalidRequest, operation.name(), text.to_string())
}

/// What stands behind a record: of each target group of the load balancer its targets by state.
fn check(world: &World, data: &RecordData) -> TargetCheck {
    let now = world.kernel.now;
    let source = Operation::CheckTarget.name();
    let mut check = TargetCheck {
        at: now,
        healthy: None,
        evidence: Vec::new(),
    };
    for name in names(data) {
        let Some((env, balancer)) = world.balancer(&name) else {
            let detail = "no load balancer of ours has this name";
            check.evidence.push(Evidence::new(now, source, name, detail));
            continue;
        };
        for group in balancer.serving_groups() {
            let states = env.target_states(now, group);
            let healthy = states.iter().any(|(s, _)| *s == TargetState::Healthy);
            check.healthy = Some(check.healthy.unwrap_or(false) || healthy);
            let counts: Vec<String> = states.iter().map(|(s, n)| format!("{n} {}", s.name())).collect();
            let detail = if counts.is_empty() {
                "no target".to_owned()
            } else {
                counts.join(", ")
            };
            let arn = &env.groups[group as usize].arn;
            check
                .evidence
                .push(Evidence::new(now, source, arn.as_str(), detail));
        }
    }
    check
}

/// Whether a server's answer is what a record should say. A client sees an alias as its target's addresses, so its
/// `EvaluateTargetHealth` does not count.
fn matches(held: Option<&Record>, expected: &Record) -> bool {
    match (held.map(|r| &r.data), &expected.data) {
        (Some(a @ RecordData::Values { .. }), b @ RecordData::Values { .. }) => {
            a.same_target(b) && a.ttl() == b.ttl()
        }
        (Some(a), b) => a.same_target(b),
        (None, _) => false,
    }
}

#[async_trait]
impl DnsCutover for Port {
    async fn snapshot(&self, ctx: &OpContext, id: &ZoneId, key: &RecordKey) -> Result<Snapshot, Error> {
        let operation = Operation::Snapshot;
        self.call(ctx, operation, &key.to_string(), |world| {
            let at = world.kernel.now;
            let zone = zone(world, operation, id)?;
            let marker = Marker::key(key).map_err(|e| invalid(operation, e))?;
            Ok(Snapshot {
                at,
                zone: id.clone(),
                record: zone.record(key).cloned(),
                marker: zone.record(&marker).cloned(),
            })
        })
    }

    async fn check_target(&self, ctx: &OpContext, data: &RecordData) -> Result<TargetCheck, Error> {
        self.call(ctx, Operation::CheckTarget, &data.to_string(), |world| {
            Ok(check(world, data))
        })
    }

    async fn apply(&self, ctx: &OpContext, batch: &ChangeBatch) -> Result<ChangeId, Error> {
        let operation = Operation::Apply;
        let subject = batch.creates().map_or_else(String::new, |r| r.key.to_string());
        self.call(ctx, operation, &subject, |world| {
            let id = batch.zone();
            zone(world, operation, id)?;
            let mut zones = world.zones.iter_mut();
            let zone = zones.find(|z| &z.id == id).ok_or_else(|| invalid(operation, id))?;
            let change = zone.apply(&mut world.kernel, batch.changes()).map_err(|why| match &why {
                Refused::Busy => Error::new(
                    ErrorKind::Throttled,
                    operation.name(),
                    "PriorRequestNotComplete: the request was rejected because Route 53 was still processing a prior request",
                )
                .retry(Retry::Later),
                Refused::Batch(_) if why.is_stale() => {
                    let text = format!("InvalidChangeBatch: {}", why.message());
                    Error::new(ErrorKind::Conflict, operation.name(), text)
                }
                Refused::Batch(_) => invalid(operation, format!("InvalidChangeBatch: {}", why.message())),
            })?;
            world.took_effect = true;
            Ok(change)
        })
    }

    async fn propagation(&self, ctx: &OpContext, change: &ChangeId) -> Result<Propagation, Error> {
        let operation = Operation::Propagation;
        self.call(ctx, operation, change.as_str(), |world| {
            let now = world.kernel.now;
            let found = world.zones.iter().find_map(|z| z.propagation(now, change));
            found.ok_or_else(|| {
                let text = format!("NoSuchChange: could not find resource with ID {change}");
                Error::new(ErrorKind::NotFound, operation.name(), text)
            })
        })
    }

    async fn ask_authoritative(
        &self,
        ctx: &OpContext,
        id: &ZoneId,
        expected: &Record,
    ) -> Result<Vec<AuthoritativeAnswer>, Error> {
        let operation = Operation::AskAuthoritative;
        self.call(ctx, operation, &expected.key.to_string(), |world| {
            let now = world.kernel.now;
            let zone = zone(world, operation, id)?;
            let answers = (0..SERVERS).map(|server| {
                let held = zone.answer(now, server, &expected.key);
                AuthoritativeAnswer {
                    server: format!("ns-{}.{}", server + 1, zone.name.normalised()),
                    at: now,
                    matches: Some(matches(held, expected)),
                    detail: held.map_or_else(|| "NXDOMAIN".to_owned(), |r| r.data.to_string()),
                }
            });
            Ok(answers.collect())
        })
    }

    async fn old_traffic(&self, ctx: &OpContext, data: &RecordData) -> Result<OldTraffic, Error> {
        self.call(ctx, Operation::OldTraffic, &data.to_string(), |world| {
            let now = world.kernel.now;
            world.settle_health();
            let counts: Vec<u64> = world
                .zones
                .iter_mut()
                .filter_map(|z| z.requests(now, data))
                .collect();
            Ok(OldTraffic {
                at: now,
                requests_per_minute: (!counts.is_empty()).then(|| counts.iter().sum()),
            })
        })
    }
}
