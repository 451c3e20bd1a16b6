//! What every machine of this crate shares: how it begins, how it is told that time has passed, and that a call has failed.

use super::Machine;
use super::cutover::{self, Cutover};
use super::deployment::{self, Deployment};
use super::fleet::{self, Fleet};
use super::gate::{self, Gate};
use super::lease::{self, Lease};
use super::promotion::{self, Promotion};
use super::rollout::{self, Rollout};
use super::task::{self, OneOff};
use super::unwind::{self, Unwind};
use crate::error::ErrorRecord;

/// The events that every machine here knows.
pub trait Lifecycle: Machine {
    /// Begin.
    fn start() -> Self::Event;
    /// The deadline has passed.
    fn elapsed() -> Self::Event;
    /// Stop, at a safe place.
    fn abort() -> Self::Event;
    /// The call that an effect asked for has failed, or nobody will ever hear its answer.
    fn failed(effect: &Self::Effect, error: ErrorRecord) -> Self::Event;
}

/// Implements [`Lifecycle`] for a machine whose event has the variants `Start`, `Elapsed` and `Abort`.
macro_rules! lifecycle {
    ($($machine:ty, $module:ident: $failed:expr;)+) => {$(
        impl Lifecycle for $machine {
            fn start() -> Self::Event {
                $module::Event::Start
            }
            fn elapsed() -> Self::Event {
                $module::Event::Elapsed
            }
            fn abort() -> Self::Event {
                $module::Event::Abort
            }
            fn failed(effect: &Self::Effect, error: ErrorRecord) -> Self::Event {
                $failed(effect, error)
            }
        }
    )+};
}

lifecycle! {
    Promotion, promotion: |_: &promotion::Effect, error| promotion::Event::CallFailed(error);
    OneOff, task: |_: &task::Effect, error| task::Event::CallFailed(error);
    Deployment, deployment: |_: &deployment::Effect, error| deployment::Event::CallFailed(error);
    Gate, gate: gate_failed;
    Cutover, cutover: |_: &cutover::Effect, error| cutover::Event::CallFailed(error);
    Unwind, unwind: unwind_failed;
    Rollout, rollout: rollout_failed;
    Lease, lease: lease_failed;
    Fleet, fleet: fleet_failed;
}

fn gate_failed(effect: &gate::Effect, error: ErrorRecord) -> gate::Event {
    let gate::Effect::TakeSample(request) = effect;
    gate::Event::SampleFailed {
        probe: request.probe.clone(),
        error,
    }
}

fn lease_failed(effect: &lease::Effect, error: ErrorRecord) -> lease::Event {
    let (lease::Effect::Look { call } | lease::Effect::Write { call, .. }) = effect;
    lease::Event::CallFailed { call: *call, error }
}

fn fleet_failed(effect: &fleet::Effect, error: ErrorRecord) -> fleet::Event {
    use fleet::{Call, Effect, Event};
    let (member, call) = match effect {
        Effect::Begin { member, .. } | Effect::Resume { member, .. } => (member, Call::Run),
        Effect::Stop { member, .. } => (member, Call::Stop),
        Effect::TakeBack { member, .. } => (member, Call::TakeBack),
        Effect::TakeSample { wave, request } => {
            let probe = request.probe.clone();
            return Event::Gate {
                wave: wave.clone(),
                event: gate::Event::SampleFailed { probe, error },
            };
        }
    };
    Event::CallFailed {
        member: member.clone(),
        call,
        error,
    }
}

fn unwind_failed(effect: &unwind::Effect, error: ErrorRecord) -> unwind::Event {
    let step = effect.step.clone();
    match &effect.action {
        unwind::Action::Deployment(inner) => unwind::Event::Deployment {
            step,
            event: Deployment::failed(inner, error),
        },
        unwind::Action::Cutover(inner) => unwind::Event::Cutover {
            step,
            event: Cutover::failed(inner, error),
        },
    }
}

fn rollout_failed(effect: &rollout::Effect, error: ErrorRecord) -> rollout::Event {
    use rollout::{Action, Event};
    let step = effect.step.clone();
    match &effect.action {
        Action::CheckIdentity
        | Action::Capture { .. }
        | Action::CheckUsable { .. }
        | Action::SampleAlarm(_)
        | Action::ReadRecord { .. }
        | Action::Confirm { .. } => Event::CallFailed { step, error },
        Action::Promotion(inner) => Event::Promotion {
            step,
            event: Promotion::failed(inner, error),
        },
        Action::Task(inner) => Event::Task {
            step,
            event: OneOff::failed(inner, error),
        },
        Action::Deployment(inner) => Event::Deployment {
            step,
            event: Deployment::failed(inner, error),
        },
        Action::Gate(inner) => Event::Gate {
            step,
            event: Gate::failed(inner, error),
        },
        Action::Cutover(inner) => Event::Cutover {
            step,
            event: Cutover::failed(inner, error),
        },
        Action::Unwind(inner) => Event::Unwind(Unwind::failed(inner, error)),
    }
}
