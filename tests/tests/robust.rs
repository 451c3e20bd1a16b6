//! Invariant I-23: no data makes the core panic. Whatever stands in a journal, a plan or an identifier gives a value or an
//! error. The journals of this version are the seeds: their bytes are flipped, cut, repeated and swapped.

use std::path::PathBuf;

use proptest::prelude::*;
use rollout_core::RolloutPlan;
use rollout_core::journal::{Body, read_file, replay};
use rollout_core::machine::rollout::{Effect, Event, Rollout};

fn journals() -> Vec<Vec<u8>> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/journals");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
        .expect("the folder of the kept journals")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no journal in {}", dir.display());
    files
        .iter()
        .map(|path| std::fs::read(path).expect("a readable file"))
        .collect()
}

/// Reads the bytes as a journal and replays what could be read. What comes of it does not matter here; that it comes, does.
fn swallow(bytes: &[u8]) -> bool {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("journal.jsonl");
    std::fs::write(&path, bytes).expect("written");
    let Ok(records) = read_file::<Event, Effect>(&path) else {
        return false;
    };
    let Some(Body::Opened(header)) = records.first().map(|record| &record.body) else {
        return false;
    };
    let Ok(fresh) = serde_json::from_value::<Rollout>(header.fresh.clone()) else {
        return false;
    };
    replay(fresh, &records).is_ok()
}

#[test]
fn the_seeds_themselves_replay() {
    for bytes in journals() {
        assert!(swallow(&bytes));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_damage_to_a_journal_is_a_panic(
        which: prop::sample::Index,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..4),
    ) {
        let mut bytes = which.get(&journals()).clone();
        for (at, value, kind) in damage {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = value,
                1 => bytes.truncate(at.max(1)),
                2 => { bytes.remove(at); }
                _ => {
                    let copy = bytes[at..].to_vec();
                    bytes.extend(copy);
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        swallow(&bytes);
    }

    #[test]
    fn records_in_any_order_are_a_value_or_an_error(
        which: prop::sample::Index,
        swaps in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..4),
    ) {
        let bytes = which.get(&journals()).clone();
        let text = String::from_utf8(bytes).expect("journals are text");
        let mut lines: Vec<&str> = text.lines().collect();
        for (one, other) in swaps {
            let (one, other) = (one.index(lines.len()), other.index(lines.len()));
            lines.swap(one, other);
        }
        swallow(format!("{}\n", lines.join("\n")).as_bytes());
    }

    #[test]
    fn any_bytes_are_no_journal_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(!swallow(&bytes));
    }

    #[test]
    fn any_text_is_a_plan_or_an_error(text in "\\PC{0,200}") {
        let _ = serde_json::from_str::<RolloutPlan>(&text);
        let _ = text.parse::<rollout_core::id::DomainName>();
        let _ = text.parse::<rollout_core::id::ImageDigest>();
        let _ = text.parse::<rollout_core::id::StepId>();
    }
}
