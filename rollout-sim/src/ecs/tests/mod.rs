mod alarms;
mod back;
mod failing;
mod laws;
mod rolling;
mod staged;

use rollout_core::service::{RolloutState, ServiceObservation, StoppedTask};

fn settled(seen: &ServiceObservation) -> bool {
    seen.primary()
        .is_some_and(|d| d.rollout == RolloutState::Completed)
}

fn failures(seen: &ServiceObservation) -> Vec<&StoppedTask> {
    seen.stopped.iter().filter(|t| t.cause.is_some()).collect()
}
