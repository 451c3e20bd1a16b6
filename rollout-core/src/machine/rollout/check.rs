//! Before anything is changed: everything that the release rests on is read (invariant I-1).

use std::collections::{BTreeMap, BTreeSet};

use super::back::ended;
use super::stage;
use super::terms::{self, Terms};
use super::work::{Child, Work};
use super::{Action, Effect, End, Event, State, step_images};
use crate::evidence::{Cause, Evidence, Reason};
use crate::id::{ImageDigest, ProbeName, RepositoryName, ServiceName, StepId};
use crate::machine::promotion::{Event as ImageEvent, Promotion};
use crate::plan::assumed::{Assumed, AssumedRecord};
use crate::plan::rollback::Proof;
use crate::plan::{GatePlan, RolloutPlan, step};
use crate::probe::{ProbeTarget, Sample, SampleRequest, Subject, Verdict};
use crate::readiness::gate::{CHECK, UNJUDGED};
use crate::service::{Captured, Usability};
use crate::time::Timestamp;

pub(super) fn begin(plan: &RolloutPlan, now: Timestamp) -> (State, Vec<Effect>) {
    let mut work = Box::new(Work {
        give_up: Some(now.after(plan.policy.check)),
        ..Work::default()
    });
    let mut effects = vec![work.look(step::identity(), Action::CheckIdentity, now)];
    for service in &plan.services {
        let action = Action::Capture {
            service: service.name.clone(),
        };
        effects.push(work.look(step::capture(&service.name), action, now));
    }
    for (step, request) in alarms(plan, now) {
        effects.push(work.look(step, Action::SampleAlarm(request), now));
    }
    if plan.policy.readiness != Proof::Unasked {
        let action = Action::SampleAlarm(readiness(now));
        effects.push(work.look(step::readiness(), action, now));
    }
    for cutover in &plan.cutovers {
        let action = Action::ReadRecord {
            zone: cutover.zone.clone(),
            key: cutover.key.clone(),
        };
        effects.push(work.look(step::record(&cutover.key), action, now));
    }
    for (step, spec) in step_images(plan) {
        let machine = Promotion::new(spec.clone(), plan.policy.promotion.clone());
        effects.extend(work.begin(step, Child::Image(Box::new(machine)), now));
    }
    (State::Checking(work), effects)
}

/// The question whether the environment is ready, before anything is changed.
fn readiness(now: Timestamp) -> SampleRequest {
    SampleRequest {
        probe: ProbeName::readiness(),
        target: ProbeTarget::Readiness,
        subject: Subject {
            service: None,
            images: BTreeMap::new(),
            changed_at: now,
        },
    }
}

/// Every alarm that a gate will look at.
fn alarms(plan: &RolloutPlan, now: Timestamp) -> Vec<(StepId, SampleRequest)> {
    let of_services = plan
        .services
        .iter()
        .flat_map(|s| s.gates.iter().map(|gate| (Some(&s.name), gate)));
    let of_release = plan.gates.iter().map(|gate| (None, gate));
    of_services
        .chain(of_release)
        .flat_map(|(service, gate)| alarms_of(service, gate, now))
        .collect()
}

fn alarms_of(service: Option<&ServiceName>, gate: &GatePlan, now: Timestamp) -> Vec<(StepId, SampleRequest)> {
    let of = step::gate(service, &gate.name);
    let is_alarm = |target: &ProbeTarget| matches!(target, ProbeTarget::Alarms { .. });
    gate.probes
        .iter()
        .filter(|probe| is_alarm(&probe.target) && !probe.dry_run)
        .map(|probe| {
            let subject = Subject {
                service: service.cloned(),
                images: BTreeMap::new(),
                changed_at: now,
            };
            let request = SampleRequest {
                probe: probe.name.clone(),
                target: probe.target.clone(),
                subject,
            };
            (step::alarm(&of, &probe.name), request)
        })
        .collect()
}

pub(super) fn step(
    plan: &RolloutPlan,
    terms: Option<&Terms>,
    mut work: Box<Work>,
    now: Timestamp,
    event: Event,
) -> (State, Vec<Effect>) {
    let mut effects = Vec::new();
    let read = match event {
        Event::IdentitySeen(seen) => {
            work.looked(&step::identity(), now);
            match plan.expects.mismatch(&seen) {
                Some(why) => Err(Reason::new(Cause::IdentityMismatch, why)),
                None => {
                    work.seen.identity = Some(seen);
                    Ok(())
                }
            }
        }
        Event::Captured { service, captured } => {
            captured_of(plan, &mut work, service, captured, now).map(|more| effects.extend(more))
        }
        Event::UsabilitySeen { service, seen } => usability_of(plan, &mut work, &service, &seen, now),
        Event::AlarmSampled { step, sample } if step == step::readiness() => {
            readiness_of(plan, &mut work, &step, sample, now)
        }
        Event::AlarmSampled { step, sample } => {
            let known = work.looked(&step, now);
            match sample.verdict {
                Verdict::Fail if known => Err(Reason::new(
                    Cause::AlarmBeforeStart,
                    format!("{step}: an alarm is firing before anything has begun"),
                )
                .with(sample.evidence)),
                Verdict::Fail | Verdict::Pass | Verdict::Unknown => Ok(()),
            }
        }
        Event::RecordRead { step, snapshot } => {
            work.looked(&step, now);
            work.seen.records.insert(step, AssumedRecord::from(&*snapshot));
            Ok(())
        }
        Event::CallFailed { step, error } => work.look_failed(plan, &step, &error, now, false),
        event @ Event::Promotion { .. } => {
            effects.extend(work.give(event, now));
            Ok(())
        }
        Event::Elapsed if work.is_late(now) => Err(late(&work)),
        Event::Elapsed => {
            effects.extend(work.due_looks(now));
            effects.extend(work.elapsed(now));
            Ok(())
        }
        Event::Abort => return ended(work, End::Aborted),
        // The table lets nothing else in.
        Event::Start
        | Event::Confirmed { .. }
        | Event::Task { .. }
        | Event::Deployment { .. }
        | Event::Gate { .. }
        | Event::Cutover { .. }
        | Event::Unwind(_)
        | Event::Hinted(_) => Ok(()),
    };
    let bad = read.err().map(End::Failed).or_else(|| work.settle(plan, now));
    match bad {
        Some(end) => ended(work, end),
        None if all_read(&work) => match may_begin(plan, terms, &work, now) {
            Ok(()) => {
                work.seen = Assumed::default();
                stage::promote(plan, work, now)
            }
            Err(reason) => ended(work, End::Failed(reason)),
        },
        None => (State::Checking(work), effects),
    }
}

fn captured_of(
    plan: &RolloutPlan,
    work: &mut Work,
    service: ServiceName,
    captured: Captured,
    now: Timestamp,
) -> Result<Option<Effect>, Reason> {
    let asked = work.looked(&step::capture(&service), now);
    let policy = &plan.policy.rollback;
    let mut more = None;
    match &captured {
        Captured::Busy { deployment, text } => {
            let seen = Evidence::new(now, "check", service.as_str(), format!("{deployment}: {text}"));
            let why = format!("{service} is being deployed by someone else; wait until it has ended");
            return Err(Reason::new(Cause::ForeignDeployment, why).with([seen]));
        }
        // Without a PRIMARY deployment an update could assume nothing (invariant I-5), and there is nothing to update.
        Captured::Nothing {
            why,
            deployment: None,
        } => {
            let why = format!("{service} cannot be deployed: {why}; create it first");
            return Err(Reason::new(Cause::ServiceGone, why));
        }
        Captured::Nothing { .. } => {}
        Captured::Point(point) => {
            work.evidence.extend(policy.age(point, now)?);
            // A late answer to a question that was answered asks nothing again.
            if asked && policy.usable != Proof::Unasked {
                let action = Action::CheckUsable { point: point.clone() };
                more = Some(work.look(step::usable(&service), action, now));
            }
        }
    }
    work.captured.insert(service, captured);
    Ok(more)
}

fn usability_of(
    plan: &RolloutPlan,
    work: &mut Work,
    service: &ServiceName,
    seen: &Usability,
    now: Timestamp,
) -> Result<(), Reason> {
    let asked = work.looked(&step::usable(service), now);
    if let Some(Captured::Point(point)) = work.captured.get(service).filter(|_| asked) {
        let told = plan.policy.rollback.judge(point, seen)?;
        work.evidence.extend(told);
    }
    Ok(())
}

/// What cannot be judged is told, and refuses where the plan wants it proven: asking again right away would not change it.
fn readiness_of(
    plan: &RolloutPlan,
    work: &mut Work,
    step: &StepId,
    sample: Sample,
    now: Timestamp,
) -> Result<(), Reason> {
    if !work.looked(step, now) {
        return Ok(());
    }
    let refused = |why: &str| Err(Reason::new(Cause::NotReady, format!("{} {why}", plan.to)));
    let refusal: Result<(), Reason> = match (sample.verdict, plan.policy.readiness) {
        (Verdict::Fail, _) => refused("is not ready for a release: blocking checks fail"),
        (Verdict::Unknown, Proof::Proven) => {
            refused("is not known to be ready: blocking checks cannot be judged")
        }
        (Verdict::Unknown, Proof::Known | Proof::Unasked) => {
            work.evidence.extend(sample.evidence.into_iter().map(|mut piece| {
                if let Some(check) = piece.source.strip_prefix(CHECK) {
                    piece.source = format!("{UNJUDGED}{check}");
                }
                piece
            }));
            return Ok(());
        }
        (Verdict::Pass, _) => return Ok(()),
    };
    refusal.map_err(|reason| reason.with(sample.evidence))
}

fn late(work: &Work) -> Reason {
    let left: Vec<&str> = work
        .looks
        .keys()
        .chain(work.children.keys())
        .map(StepId::as_str)
        .collect();
    Reason::new(
        Cause::DeadlineExceeded,
        format!(
            "not every precondition could be read in time: {}",
            left.join(", ")
        ),
    )
}

/// Whether every precondition has been read and every image waits for the word to copy.
fn all_read(work: &Work) -> bool {
    let ready = |child: &Child| matches!(child, Child::Image(machine) if machine.is_ready());
    work.looks.is_empty() && work.children.values().all(ready)
}

/// Whether what was read lets it begin. Between this and the first change nothing is waited for.
fn may_begin(plan: &RolloutPlan, terms: Option<&Terms>, work: &Work, now: Timestamp) -> Result<(), Reason> {
    one_digest_per_image(plan, work)?;
    terms::hold(plan, terms, work, now)
}

/// Services that share a repository and a tag must have got the same image: a tag that moved in between is found here.
fn one_digest_per_image(plan: &RolloutPlan, work: &Work) -> Result<(), Reason> {
    let mut seen: BTreeMap<&RepositoryName, BTreeSet<&ImageDigest>> = BTreeMap::new();
    for (step, spec) in step_images(plan) {
        if let Some(Child::Image(machine)) = work.children.get(&step)
            && let Some(digest) = machine.resolved()
        {
            seen.entry(&spec.to).or_default().insert(digest);
        }
    }
    match seen.iter().find(|(_, digests)| digests.len() > 1) {
        None => Ok(()),
        Some((repository, digests)) => {
            let digests: Vec<&str> = digests.iter().map(|digest| digest.as_str()).collect();
            let why = format!(
                "{repository}: two images in one release: {}",
                digests.join(" and ")
            );
            Err(Reason::new(Cause::TagMoved, why))
        }
    }
}

/// The event that lets an image be copied.
pub(super) const PROCEED: ImageEvent = ImageEvent::Proceed;
