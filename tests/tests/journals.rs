//! Journals that earlier versions wrote, kept for ever: each must replay to the outcome that it had.
//!
//! They are never edited. When a version changes what a machine does it writes new ones beside them, under its own number and that of the
//! journals' format:
//!
//! ```sh
//! ROLLOUT_WRITE_JOURNALS=1 cargo test --package rollout-tests --test journals
//! ```

use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rollout_core::Machine as _;
use rollout_core::journal::{Body, FORMAT, FileJournal, read_file, replay};
use rollout_core::machine::rollout::{Effect, Event, Outcome, Rollout};
use rollout_core::observer::Silent;
use rollout_core::plan::Draft;
use rollout_sim::{Incident, SimCloud, When, World};
use rollout_tests::run::{Abort, Entry, drive, fresh, storefront};

/// The version that writes new ones.
const VERSION: &str = env!("CARGO_PKG_VERSION");

const BACKEND: &str = "backend";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journals")
}

/// What a version keeps: its name, what goes wrong, when someone aborts.
struct Case {
    name: &'static str,
    incident: Option<Incident>,
    abort: Abort,
}

/// One of each end.
fn cases() -> Vec<Case> {
    let case = |name, incident| Case {
        name,
        incident,
        abort: Abort::never(),
    };
    let service = || BACKEND.to_owned();
    vec![
        case("released", None),
        case("rolled-back", Some(Incident::BadImage { service: service() })),
        case(
            "superseded",
            Some(Incident::ForeignDeployer {
                service: service(),
                image: None,
            }),
        ),
        case("stuck", Some(Incident::ServiceDeleted { service: service() })),
        Case {
            name: "aborted",
            incident: None,
            abort: Abort::at(40),
        },
    ]
}

/// One service with its migration, its gate and a record: every kind of step, in a file that a person can read.
fn small(world: &World) -> Draft {
    let mut draft = storefront(world);
    draft.services.truncate(1);
    draft.gates.clear();
    draft.cutovers.truncate(1);
    let gates = draft.services.iter_mut().flat_map(|service| &mut service.gates);
    for probe in gates.flat_map(|gate| &mut gate.probes) {
        probe.every = Duration::from_secs(20);
        probe.max_age = Duration::from_secs(60);
    }
    for service in &mut draft.services {
        service.deployment.poll_every = Duration::from_secs(15);
    }
    draft
}

/// Refused: staging has not run it for long enough.
fn refused(world: &World) -> Draft {
    let mut draft = small(world);
    for image in draft
        .services
        .iter_mut()
        .flat_map(|service| service.images.values_mut())
    {
        image.soak = Duration::from_secs(30 * 24 * 3_600);
    }
    draft
}

fn write() {
    let world = rollout_sim::storefront(1);
    let into = folder();
    fs::create_dir_all(&into).expect("the folder can be made");
    for case in cases() {
        let mut world = world.clone();
        if let Some(incident) = case.incident {
            // An image must be bad before its first task; others act a little later.
            let bad = matches!(incident, Incident::BadImage { .. });
            let after = if bad {
                Duration::ZERO
            } else {
                Duration::from_secs(9)
            };
            let when = When::deployment_of(BACKEND, after);
            world.schedule("production", when, incident).expect("it is there");
        }
        let draft = small(&world);
        write_one(&into, case.name, world, draft, case.abort);
    }
    let draft = refused(&world);
    write_one(&into, "refused", world, draft, Abort::never());
}

fn write_one(into: &Path, name: &str, world: World, draft: Draft, abort: Abort) {
    let path = into.join(format!("{VERSION}-format-{FORMAT}-{name}.jsonl"));
    // One that is there is replaced: until a version is released its journals may change.
    let _: Result<(), _> = fs::remove_file(&path);
    let journal = FileJournal::create(&path).expect("the file can be made");
    let outcome = drive(&SimCloud::new(world), &mut fresh(draft), &journal, abort, &Silent).expect("driven");
    let text = serde_json::to_string_pretty(&outcome).expect("plain data");
    fs::write(outcome_of(&path), text + "\n").expect("the file can be written");
}

fn outcome_of(journal: &Path) -> PathBuf {
    journal.with_extension("outcome.json")
}

fn kept() -> Vec<PathBuf> {
    static WRITTEN: OnceLock<()> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        if std::env::var_os("ROLLOUT_WRITE_JOURNALS").is_some() {
            write();
        }
    });
    let entries = fs::read_dir(folder()).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    let mut found: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
        .collect();
    found.sort();
    found
}

fn read(path: &Path) -> (Rollout, Vec<Entry>) {
    let records: Vec<Entry> = read_file::<Event, Effect>(path).unwrap_or_else(|error| panic!("{error}"));
    let Some(Body::Opened(header)) = records.first().map(|record| &record.body) else {
        panic!("{}: no header", path.display())
    };
    let fresh = serde_json::from_value(header.fresh.clone());
    (
        fresh.unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        records,
    )
}

#[test]
fn every_kept_journal_replays_to_its_outcome() {
    let mut ends = Vec::new();
    for path in kept() {
        let name = path.display();
        let text = fs::read_to_string(outcome_of(&path)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let recorded: Outcome = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (fresh, records) = read(&path);
        let replayed = replay(fresh, &records).unwrap_or_else(|diverged| panic!("{name}: {diverged}"));
        assert_eq!(replayed.machine.outcome(), Some(recorded.clone()), "{name}");
        assert!(replayed.closed && replayed.unsaid.is_empty(), "{name}");
        ends.push(core::mem::discriminant(&recorded));
    }
    ends.dedup();
    assert!(ends.len() >= 6, "an end is missing");
}

/// The test above rests on a replay that compares and does not just follow.
#[test]
fn a_journal_that_was_changed_does_not_replay() {
    for path in kept() {
        let (fresh, records) = read(&path);
        // A journal with another answer in it must not pass: the replay compares, it does not just follow.
        let swapped = records
            .iter()
            .position(|record| matches!(record.body, Body::Issued { .. }));
        let mut changed = records.clone();
        let at = swapped.expect("it did something");
        let Body::Issued { effect } = &mut changed[at].body else {
            unreachable!("it was just found")
        };
        effect.step = "another/step".parse().expect("a name");
        let diverged = replay(fresh.clone(), &changed).expect_err("the journal was changed");
        assert_eq!(diverged.record, records[at].seq, "{}", path.display());
        // Nor one of which a record is missing, whichever it is: the next one shows it.
        for missing in 0..records.len() - 1 {
            let (next, mut gap) = (records[missing + 1].seq, records.clone());
            gap.remove(missing);
            let diverged = replay(fresh.clone(), &gap).expect_err("a record is missing");
            assert_eq!(diverged.record, next, "{}", path.display());
        }
    }
}
