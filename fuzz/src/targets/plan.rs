//! A plan document: decoding, checking, and the machine that it makes.

use rollout_core::Machine as _;
use rollout_core::RolloutPlan;
use rollout_core::machine::Lifecycle as _;
use rollout_core::machine::rollout::Rollout;
use rollout_core::plan::Draft;
use rollout_core::time::Timestamp;

/// No panic; a plan that passes its check makes a machine that begins, waits for something until it ends, and can be stored.
pub fn run(bytes: &[u8]) {
    let Ok(draft) = serde_json::from_slice::<Draft>(bytes) else {
        return;
    };
    let Ok(plan) = RolloutPlan::check(draft) else {
        return;
    };
    let mut machine = Rollout::new(plan);
    let mut now = Timestamp::from_millis(1_767_603_600_000);
    let mut event = Rollout::start();
    for _ in 0..64 {
        let _ = machine.handle(now, event);
        let stored = serde_json::to_string(&machine).expect("a machine is plain data");
        let read: Rollout = serde_json::from_str(&stored).expect("and can be read back");
        assert_eq!(read, machine, "a machine changes when it is stored");
        let Some(deadline) = machine.deadline() else {
            assert!(
                machine.outcome().is_some(),
                "it waits for nothing and has not ended"
            );
            return;
        };
        now = now.max(deadline.at);
        event = Rollout::elapsed();
    }
}
