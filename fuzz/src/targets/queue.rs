//! A message of the queue that EventBridge feeds with the events of ECS.

use rollout_core::hint::Hint;
use serde_json::Value;

use super::event::{About, read};

/// No panic; what a message is about does not depend on how its JSON is laid out, and a hint names that and nothing else.
pub fn run(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else {
        return;
    };
    let Ok(about) = read(text) else {
        return;
    };
    let event: Value = serde_json::from_str(text).expect("it was read as JSON");
    assert_eq!(read(&event.to_string()).as_ref(), Ok(&about));
    assert_ne!(about.cluster(), Some(""), "a cluster has a name");
    let fits = match (&about, about.hint()) {
        (About::Service { service, matters, .. }, Some(Hint::Service(named))) => {
            *matters && *service == named
        }
        (About::Task { task, matters, .. }, Some(Hint::Task(named))) => *matters && *task == named,
        (About::Service { matters, .. } | About::Task { matters, .. }, None) => !matters,
        (About::Other(_), hint) => hint.is_none(),
        (About::Service { .. } | About::Task { .. }, Some(_)) => false,
    };
    assert!(fits, "{about:?} hints at {:?}", about.hint());
}
