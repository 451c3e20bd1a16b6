//! `docs/differential.md` against the endpoint alone. Against the emulators it is held by `cargo xtask emulator differ`.

use rollout_tests::differ::compare::misstated;
use rollout_tests::differ::list::{Right, entries};
use rollout_tests::differ::play;
use rollout_tests::differ::stage::Stage;
use rollout_tests::emulator::Emulator;

const LIST: &str = include_str!("../../docs/differential.md");

const EMULATORS: [Emulator; 3] = [Emulator::Ministack, Emulator::Moto, Emulator::Localstack];

#[tokio::test(start_paused = true)]
async fn the_endpoint_does_what_the_list_says() {
    for emulator in EMULATORS {
        let list = entries(LIST, emulator.name()).expect("it can be read");
        assert!(!list.is_empty(), "{}", emulator.name());
        let seen = play(&Stage::simulated(), emulator).await;
        assert_eq!(misstated(&seen, &list), [""; 0], "{}", emulator.name());
    }
}

/// Every difference has AWS's word with the page it is on, or says that there is none; and the endpoint is wrong in none.
#[test]
fn every_difference_has_the_documentations_word() {
    for emulator in EMULATORS {
        for entry in entries(LIST, emulator.name()).expect("it can be read") {
            let page = entry
                .aws
                .split_once('(')
                .is_some_and(|(said, page)| said.len() > 20 && page.contains(')'));
            assert!(page, "line {}: {:?}", entry.line, entry.aws);
            assert_ne!(
                entry.right,
                Right::Emulator,
                "line {}: mend the endpoint",
                entry.line
            );
            assert_ne!(
                entry.right,
                Right::Neither,
                "line {}: mend the endpoint",
                entry.line
            );
        }
    }
}
