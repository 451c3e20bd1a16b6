//! The conformance suite of `rollout-core` on the ports, journals and clocks of this workspace; and the proof that each of
//! its checks can fail: a double that breaks the sentence which the check proves.

use core::cell::Cell;
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;
use pollster::block_on;
use rollout_core::conformance::clock::ClockFixture;
use rollout_core::conformance::{
    Check, Finding, Report, Stop, Verdict, clock, dns_cutover, environment, health_gate, image_promotion,
    journal, lease_store, rollback,
};
use rollout_core::port::Clock;
use rollout_core::time::Timestamp;
use rollout_sim::SimCloud;
use rollout_tests::conformance::broken::{How, broken};
use rollout_tests::conformance::journals::{CRAMPED, InFiles, InMemory};
use rollout_tests::conformance::leases::{Fault, LeasesInFolder, LeasesInMemory, ToyLeases};
use rollout_tests::conformance::toy::{Flaw, ToyJournals};
use rollout_tests::conformance::{SimFixture, world};

const SEED: u64 = 20_260_105;

/// Nothing failed, and exactly these checks were skipped.
fn conforms(report: &Report, checks: &[Check], skipped: &[&str]) {
    println!("{report}");
    assert!(report.is_conforming(), "{report}");
    assert_eq!(report.findings.len(), checks.len());
    let seen: Vec<&str> = report.skipped().map(|finding| finding.name.as_str()).collect();
    assert_eq!(seen, skipped, "{report}");
}

#[test]
fn the_simulated_environment_conforms() {
    let report = block_on(environment::check(async || Ok(SimFixture::direct(SEED))));
    conforms(&report, environment::CHECKS, &[]);
}

#[test]
fn the_simulated_promotion_conforms() {
    let report = block_on(image_promotion::check(async || Ok(SimFixture::direct(SEED))));
    conforms(&report, image_promotion::CHECKS, &[]);
}

#[test]
fn the_simulated_gate_conforms() {
    let report = block_on(health_gate::check(async || Ok(SimFixture::direct(SEED))));
    conforms(&report, health_gate::CHECKS, &[]);
}

#[test]
fn the_simulated_cutover_conforms() {
    let report = block_on(dns_cutover::check(async || Ok(SimFixture::direct(SEED))));
    conforms(&report, dns_cutover::CHECKS, &[]);
}

#[test]
fn the_simulated_rollback_conforms() {
    let report = block_on(rollback::check(async || Ok(SimFixture::direct(SEED))));
    conforms(&report, rollback::CHECKS, &[]);
}

/// The same world by other dice.
#[test]
fn the_simulated_ports_conform_whatever_the_seed() {
    for seed in 0..20 {
        let open = async || Ok(SimFixture::direct(seed));
        for report in [
            block_on(environment::check(open)),
            block_on(image_promotion::check(open)),
            block_on(health_gate::check(open)),
            block_on(dns_cutover::check(open)),
            block_on(rollback::check(open)),
        ] {
            assert!(report.is_conforming(), "seed {seed}: {report}");
        }
    }
}

#[test]
fn a_journal_in_memory_conforms_as_far_as_it_goes() {
    let report = block_on(journal::check(async || Ok(InMemory::default())));
    conforms(
        &report,
        journal::CHECKS,
        &[
            "a_record_that_was_cut_off_is_left_out",
            "a_damaged_record_is_an_error",
            "a_newer_format_is_refused_by_name",
            "a_journal_is_made_once",
            "a_second_writer_disturbs_nothing",
            "after_a_failed_append_nothing_more_is_taken",
            "a_full_store_loses_no_record_that_was_promised",
        ],
    );
}

/// A full disk is a process that may write no file beyond a few megabytes: the test runs itself in one.
#[test]
#[cfg(unix)]
fn a_journal_in_a_file_conforms_also_on_a_full_disk() {
    if std::env::var_os(CRAMPED).is_some() {
        let folder = tempfile::tempdir().expect("a folder");
        let nth = Cell::new(0);
        let open = async || {
            let own = folder.path().join(nth.replace(nth.get() + 1).to_string());
            std::fs::create_dir(&own).map_err(Stop::fixture)?;
            Ok(InFiles(own))
        };
        conforms(&block_on(journal::check(open)), journal::CHECKS, &[]);
        return;
    }
    let me = std::env::current_exe().expect("a path");
    let ran = Command::new("sh")
        // A write beyond the limit then fails with EFBIG, as one on a full disk fails with ENOSPC.
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 8192; exec \"$0\" --exact \"$1\" --nocapture",
        ])
        .arg(me)
        .arg("a_journal_in_a_file_conforms_also_on_a_full_disk")
        .env(CRAMPED, "1")
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    assert!(said.contains("Journal: 11 passed, 0 failed, 0 skipped"), "{said}");
}

struct Clocks {
    clock: Box<dyn Clock>,
    cloud: SimCloud,
}

impl Clocks {
    fn around(wrap: impl FnOnce(Arc<dyn Clock>) -> Box<dyn Clock>) -> Self {
        let cloud = SimCloud::new(world(SEED));
        Self {
            clock: wrap(cloud.clock()),
            cloud,
        }
    }
}

impl ClockFixture for Clocks {
    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    fn truth(&self) -> Timestamp {
        self.cloud.with(|world| world.now())
    }

    fn tolerance(&self) -> Duration {
        Duration::ZERO
    }
}

struct Plain(Arc<dyn Clock>);

#[async_trait]
impl Clock for Plain {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn sleep_until(&self, moment: Timestamp) {
        self.0.sleep_until(moment).await;
    }
}

#[test]
fn the_simulated_clock_conforms() {
    let report = block_on(clock::check(async || {
        Ok(Clocks::around(|inner| Box::new(Plain(inner))))
    }));
    conforms(&report, clock::CHECKS, &[]);
}

// What follows proves that the checks can fail.

/// Every check must fail for at least one double, and each double must fail every check that is named beside it.
fn bites<H: core::fmt::Debug + Copy>(
    checks: &[Check],
    doubles: &[(H, &[&str])],
    run: impl Fn(H, &str) -> Report,
) {
    let mut caught = BTreeSet::new();
    for (how, names) in doubles {
        for name in *names {
            let report = run(*how, name);
            let [Finding { verdict, .. }] = report.findings.as_slice() else {
                panic!("there is no check {name}");
            };
            assert!(
                matches!(verdict, Verdict::Failed { wanted, .. } if !wanted.starts_with("a fixture that")),
                "{how:?} was not caught by {name}: {report}"
            );
            caught.insert(*name);
        }
    }
    let all: BTreeSet<&str> = checks.iter().map(|check| check.name).collect();
    let never: Vec<&&str> = all.difference(&caught).collect();
    assert!(
        never.is_empty(),
        "nothing shows that these checks can fail: {never:?}"
    );
}

fn around(how: How) -> Result<SimFixture, Stop> {
    Ok(SimFixture::wrapped(SEED, |ports| broken(&ports, how)))
}

#[test]
fn the_checks_of_an_environment_bite() {
    let doubles: &[(How, &[&str])] = &[
        (How::WrongCaller, &["the_caller_is_named"]),
        (
            How::MissingIsAnError,
            &[
                "a_missing_service_is_an_observation",
                "a_missing_task_is_an_observation",
            ],
        ),
        (How::HidesATask, &["an_observation_is_true"]),
        (How::HidesARunningTask, &["an_observation_is_true"]),
        (How::Frozen, &["an_observation_is_of_now"]),
        (
            How::FutureDates,
            &["an_observation_is_not_dated_later_than_the_question"],
        ),
        (How::WritesWhenLooking, &["observing_changes_nothing"]),
        (
            How::Repeats,
            &[
                "a_revision_is_there_once",
                "an_update_said_twice_is_one_deployment",
                "a_task_starts_once_for_each_token",
                "a_task_is_found_by_its_token",
            ],
        ),
        (
            How::OneForAll,
            &[
                "another_content_is_another_revision",
                "another_attempt_is_another_task",
            ],
        ),
        (How::Forgives, &["a_revision_that_is_wrong_is_refused"]),
        (
            How::DoesNothing,
            &["an_update_goes_to_the_revision", "a_failing_deployment_says_why"],
        ),
        (How::IgnoresAssumptions, &["an_update_yields_to_another_deployer"]),
        (
            How::WrongKind,
            &[
                "an_update_of_nothing_is_refused",
                "an_update_to_nothing_is_refused",
            ],
        ),
        (
            How::SaysMaybe,
            &[
                "an_update_to_nothing_is_refused",
                "an_update_yields_to_another_deployer",
            ],
        ),
        (
            How::HidesCauses,
            &["a_failing_deployment_says_why", "a_task_that_fails_says_how"],
        ),
        (
            How::SaysNo,
            &[
                "a_lost_answer_to_an_update_is_not_a_no",
                "a_lost_answer_to_a_start_is_found_again",
            ],
        ),
        (How::SaysNever, &["a_throttled_call_may_be_said_again"]),
        (How::SaysLater, &["a_forbidden_call_changes_nothing"]),
        (
            How::FindsNothing,
            &[
                "a_task_is_found_by_its_token",
                "a_lost_answer_to_a_start_is_found_again",
            ],
        ),
        (How::BlamesAll, &["a_task_that_succeeds_has_no_cause"]),
        (How::StopsOnce, &["a_task_can_be_stopped_twice"]),
    ];
    bites(environment::CHECKS, doubles, |how, name| {
        block_on(environment::check_some(
            |check| check.name == name,
            async || around(how),
        ))
    });
}

#[test]
fn the_checks_of_a_promotion_bite() {
    let doubles: &[(How, &[&str])] = &[
        (
            How::WrongDigest,
            &["a_tag_is_resolved", "a_tag_that_moved_is_resolved_anew"],
        ),
        (How::Frozen, &["a_tag_that_moved_is_resolved_anew"]),
        (
            How::MissingIsAnError,
            &["a_missing_tag_is_none", "a_missing_image_is_none"],
        ),
        (How::WritesWhenLooking, &["looking_changes_nothing"]),
        (
            How::DoesNothing,
            &[
                "a_copy_is_exact",
                "a_copy_brings_nothing_else",
                "a_copy_said_twice_is_one",
            ],
        ),
        (How::CopiesMore, &["a_copy_brings_nothing_else"]),
        (How::SaysCreated, &["a_copy_said_twice_is_one"]),
        (How::HidesMissing, &["what_is_missing_is_named"]),
        (How::TrustsTheManifest, &["a_copy_mends_what_is_missing"]),
        (
            How::Optimist,
            &[
                "a_copy_of_nothing_is_refused",
                "a_copy_of_half_an_image_is_refused",
            ],
        ),
        (How::SaysNo, &["a_lost_answer_to_a_copy_is_not_a_no"]),
        (How::SaysLater, &["a_forbidden_copy_changes_nothing"]),
    ];
    bites(image_promotion::CHECKS, doubles, |how, name| {
        block_on(image_promotion::check_some(
            |check| check.name == name,
            async || around(how),
        ))
    });
}

#[test]
fn the_checks_of_a_gate_bite() {
    let doubles: &[(How, &[&str])] = &[
        (
            How::AlwaysPasses,
            &[
                "an_alarm_that_fires_fails",
                "an_alarm_without_data_is_unknown",
                "an_alarm_that_is_not_there_is_unknown",
                "no_alarms_are_no_pass",
                "one_that_fires_outweighs_the_rest",
                "one_without_data_is_no_pass",
                "unhealthy_targets_fail",
                "too_few_targets_do_not_pass",
                "a_bad_answer_fails",
                "another_status_than_expected_fails",
                "another_body_than_expected_fails",
            ],
        ),
        (
            How::AlwaysFails,
            &[
                "alarms_that_are_ok_pass",
                "healthy_targets_pass",
                "a_good_answer_passes",
            ],
        ),
        (How::Frozen, &["an_alarm_that_turns_is_seen"]),
        (How::NamesTheWanted, &["an_answer_without_its_version_names_none"]),
        (How::FutureDates, &["evidence_is_dated_when_it_was_asked_for"]),
        (How::WritesWhenLooking, &["sampling_changes_nothing"]),
        (How::Optimist, &["a_source_that_fails_is_no_pass"]),
    ];
    bites(health_gate::CHECKS, doubles, |how, name| {
        block_on(health_gate::check_some(
            |check| check.name == name,
            async || around(how),
        ))
    });
}

#[test]
fn the_checks_of_a_cutover_bite() {
    let doubles: &[(How, &[&str])] = &[
        (How::Frozen, &["a_snapshot_is_true"]),
        (How::FlattensAliases, &["a_snapshot_tells_an_alias"]),
        (How::InventsARecord, &["a_snapshot_of_nothing_is_empty"]),
        (How::MindsTheCase, &["a_name_is_the_same_in_any_case"]),
        (How::WritesWhenLooking, &["looking_changes_nothing"]),
        (
            How::Optimist,
            &[
                "a_zone_that_is_not_there_is_an_error",
                "a_change_that_is_not_there_is_an_error",
            ],
        ),
        (
            How::DoesNothing,
            &["a_batch_sets_record_and_marker", "a_batch_creates_a_record"],
        ),
        (
            How::Clobbers,
            &[
                "a_stale_batch_is_refused_whole",
                "a_stale_marker_is_a_conflict",
                "a_record_that_came_first_is_a_conflict",
                "a_batch_said_twice_changes_nothing_more",
            ],
        ),
        (How::SaysNo, &["a_lost_answer_to_a_batch_is_not_a_no"]),
        (
            How::SaysLater,
            &[
                "a_forbidden_batch_changes_nothing",
                "a_stale_batch_is_refused_whole",
            ],
        ),
        (How::NeverInSync, &["a_change_gets_in_sync"]),
        (How::OneServerLags, &["authoritative_servers_agree_once_in_sync"]),
        (
            How::AlwaysPasses,
            &[
                "a_wrong_answer_is_told",
                "an_unhealthy_target_is_told",
                "a_foreign_target_is_not_called_healthy",
            ],
        ),
        (How::AlwaysFails, &["a_healthy_target_is_told"]),
        (
            How::CountsNothingAsZero,
            &["requests_are_counted", "no_data_is_not_zero"],
        ),
    ];
    bites(dns_cutover::CHECKS, doubles, |how, name| {
        block_on(dns_cutover::check_some(
            |check| check.name == name,
            async || around(how),
        ))
    });
}

#[test]
fn the_checks_of_a_rollback_bite() {
    let doubles: &[(How, &[&str])] = &[
        (How::WrongPoint, &["a_capture_is_true"]),
        (
            How::WritesWhenLooking,
            &[
                "a_capture_changes_nothing",
                "a_look_at_what_it_rests_on_changes_nothing",
            ],
        ),
        (How::IgnoresTheBusy, &["a_deployment_under_way_is_busy"]),
        (How::MissingIsAnError, &["a_missing_service_has_nothing"]),
        (
            How::Optimist,
            &["a_lost_image_is_told", "a_revision_that_is_not_there_is_told"],
        ),
        (How::Pessimist, &["what_runs_can_be_gone_back_to"]),
        (How::NeverTurns, &["a_deployment_under_way_is_turned_back"]),
        (How::DoesNothing, &["a_restore_goes_back"]),
        (
            How::Repeats,
            &[
                "a_restore_said_twice_is_one_deployment",
                "a_restore_of_what_runs_begins_nothing",
            ],
        ),
        (
            How::IgnoresAssumptions,
            &[
                "a_restore_yields_to_another_deployer",
                "turning_back_yields_to_another_deployer",
                "what_is_done_is_not_turned_back",
            ],
        ),
        (How::WrongKind, &["a_restore_of_nothing_is_refused"]),
    ];
    bites(rollback::CHECKS, doubles, |how, name| {
        block_on(rollback::check_some(
            |check| check.name == name,
            async || around(how),
        ))
    });
}

#[test]
fn the_checks_of_a_journal_bite() {
    let doubles: &[(Flaw, &[&str])] = &[
        (Flaw::SwapsRecords, &["what_was_appended_is_read_back"]),
        (Flaw::TrimsText, &["any_text_survives"]),
        (Flaw::WritesLate, &["a_durable_record_is_there_at_once"]),
        (Flaw::OneForAll, &["two_journals_do_not_mix"]),
        (Flaw::KeepsTheTorn, &["a_record_that_was_cut_off_is_left_out"]),
        (Flaw::SkipsDamage, &["a_damaged_record_is_an_error"]),
        (Flaw::TakesAnyFormat, &["a_newer_format_is_refused_by_name"]),
        (
            Flaw::BeginsAnew,
            &["a_journal_is_made_once", "a_second_writer_disturbs_nothing"],
        ),
        (Flaw::GoesOn, &["after_a_failed_append_nothing_more_is_taken"]),
        (
            Flaw::Promises,
            &["a_full_store_loses_no_record_that_was_promised"],
        ),
    ];
    bites(journal::CHECKS, doubles, |flaw, name| {
        block_on(journal::check_some(
            |check| check.name == name,
            async || Ok(ToyJournals::new(Some(flaw))),
        ))
    });
    // The toy is not what fails: without its flaws it conforms.
    let report = block_on(journal::check(async || Ok(ToyJournals::new(None))));
    conforms(&report, journal::CHECKS, &[]);
}

/// What needs a network between the port and what it keeps.
const REMOTE: [&str; 2] = [
    "a_lost_answer_is_not_a_no",
    "a_call_that_is_refused_changed_nothing",
];

#[test]
fn leases_in_memory_conform() {
    let report = block_on(lease_store::check(async || Ok(LeasesInMemory::default())));
    conforms(&report, lease_store::CHECKS, &REMOTE);
}

#[test]
fn leases_in_a_folder_conform() {
    let folder = tempfile::tempdir().expect("a folder");
    let nth = Cell::new(0);
    let open = async || {
        let own = folder.path().join(nth.replace(nth.get() + 1).to_string());
        Ok(LeasesInFolder(own))
    };
    conforms(&block_on(lease_store::check(open)), lease_store::CHECKS, &REMOTE);
}

#[test]
fn the_checks_of_a_lease_store_bite() {
    let doubles: &[(Fault, &[&str])] = &[
        (Fault::NeverEmpty, &["there_is_nothing_at_first"]),
        (Fault::ReadsLate, &["what_was_put_is_read_back"]),
        (Fault::OnlyText, &["any_bytes_survive"]),
        (Fault::OwnForEach, &["another_process_sees_it"]),
        (Fault::BeginsAnew, &["a_first_value_is_put_once"]),
        (Fault::IgnoresVersions, &["a_put_needs_the_present_version"]),
        (
            Fault::ReplacesNothing,
            &["a_value_that_is_not_there_is_not_replaced"],
        ),
        (Fault::OneVersion, &["every_value_has_another_version"]),
        (Fault::JoinsNames, &["two_scopes_do_not_mix"]),
        (Fault::ComparesEarly, &["of_two_that_race_one_wins"]),
        (Fault::SaysNo, &["a_lost_answer_is_not_a_no"]),
        (Fault::WritesAnyway, &["a_call_that_is_refused_changed_nothing"]),
    ];
    bites(lease_store::CHECKS, doubles, |fault, name| {
        block_on(lease_store::check_some(
            |check| check.name == name,
            async || Ok(ToyLeases::new(Some(fault))),
        ))
    });
    let report = block_on(lease_store::check(async || Ok(ToyLeases::new(None))));
    conforms(&report, lease_store::CHECKS, &[]);
}

/// How a clock is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Fast,
    GoesBack,
    EndsEarly,
    SleepsForThePast,
    RemembersTheDropped,
    OneSleepAtATime,
}

struct WrongClock {
    inner: Arc<dyn Clock>,
    wrong: Wrong,
    asked: AtomicU32,
    asleep: AtomicBool,
}

#[async_trait]
impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        let now = self.inner.now();
        match self.wrong {
            Wrong::Fast => now.after(Duration::from_secs(3_600)),
            Wrong::GoesBack if self.asked.fetch_add(1, Ordering::Relaxed) % 50 == 49 => {
                Timestamp::from_millis(now.as_millis() - 1)
            }
            _ => now,
        }
    }

    async fn sleep_until(&self, moment: Timestamp) {
        let past = moment <= self.inner.now();
        match self.wrong {
            Wrong::EndsEarly => {}
            Wrong::SleepsForThePast if past => {
                self.inner
                    .sleep_until(self.inner.now().after(Duration::from_secs(60)))
                    .await;
            }
            Wrong::RemembersTheDropped | Wrong::OneSleepAtATime => {
                if self.asleep.swap(true, Ordering::Relaxed) {
                    return;
                }
                let mut yielded = false;
                poll_fn(|context| {
                    if core::mem::replace(&mut yielded, true) {
                        return Poll::Ready(());
                    }
                    context.waker().wake_by_ref();
                    Poll::Pending
                })
                .await;
                self.inner.sleep_until(moment).await;
                self.asleep.store(false, Ordering::Relaxed);
            }
            _ => self.inner.sleep_until(moment).await,
        }
    }
}

#[test]
fn the_checks_of_a_clock_bite() {
    let doubles: &[(Wrong, &[&str])] = &[
        (Wrong::Fast, &["it_tells_the_time"]),
        (Wrong::GoesBack, &["it_never_goes_back"]),
        (Wrong::EndsEarly, &["a_sleep_ends_at_its_moment"]),
        (Wrong::SleepsForThePast, &["a_sleep_until_the_past_is_none"]),
        (Wrong::RemembersTheDropped, &["a_sleep_can_be_dropped"]),
        (Wrong::OneSleepAtATime, &["two_sleeps_do_not_wait_for_each_other"]),
    ];
    bites(clock::CHECKS, doubles, |wrong, name| {
        let wrap = |inner| {
            Box::new(WrongClock {
                inner,
                wrong,
                asked: AtomicU32::new(0),
                asleep: AtomicBool::new(false),
            }) as _
        };
        block_on(clock::check_some(
            |check| check.name == name,
            async || Ok(Clocks::around(wrap)),
        ))
    });
}

/// A suite that was skipped whole proves nothing, and a fixture that fails is not a skip.
#[test]
fn a_report_tells_a_skip_from_a_failure() {
    let skipped = block_on(clock::check(async || {
        Err::<Clocks, _>(Stop::skip("no clock here"))
    }));
    assert!(!skipped.is_conforming());
    assert_eq!(skipped.skipped().count(), clock::CHECKS.len());
    let failed = block_on(clock::check_some(
        |check| check.name == "it_never_goes_back",
        async || Err::<Clocks, _>(Stop::fixture("the clock fell off the wall")),
    ));
    assert_eq!(
        failed.to_string(),
        "Clock: 0 passed, 1 failed, 0 skipped\n  FAILED   it_never_goes_back\n           contract: Now: a later \
         question has no earlier answer.\n           wanted:   a fixture that makes what the check needs\n           \
         seen:     the clock fell off the wall"
    );
    let stored = serde_json::to_string(&failed).expect("it can be stored");
    let read: Report = serde_json::from_str(&stored).expect("and read");
    assert_eq!(read, failed);
}

#[test]
fn the_guide_counts_the_checks() {
    let guide = include_str!("../../docs/conformance.md");
    for (port, module, checks) in [
        ("Environment", "environment", environment::CHECKS),
        ("ImagePromotion", "image_promotion", image_promotion::CHECKS),
        ("HealthGate", "health_gate", health_gate::CHECKS),
        ("DnsCutover", "dns_cutover", dns_cutover::CHECKS),
        ("Rollback", "rollback", rollback::CHECKS),
        ("Journal", "journal", journal::CHECKS),
        ("LeaseStore", "lease_store", lease_store::CHECKS),
        ("Clock", "clock", clock::CHECKS),
    ] {
        let row = format!("| `{port}` | {} | `{module}` |", checks.len());
        assert!(guide.contains(&row), "docs/conformance.md has no line {row}");
    }
}
