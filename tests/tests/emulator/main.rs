//! Rollouts against an emulated AWS, through the real SDK. Run it with `cargo xtask emulator test --with ministack`.
//!
//! Every test makes a staging and a production account of its own through the AWS API, lets `rollout` work, and then looks
//! at what is there through the AWS API again. What an emulator cannot do is skipped by name, with the reason.

#[path = "../../../examples/aws_release.rs"]
#[expect(dead_code, reason = "its own `main` is not called here")]
mod aws_release;
mod conforming;
mod dns;
mod example;
mod failing;
mod fixture;
mod foreign;
mod gathering;
mod going_back;
mod refused;
mod releasing;

use core::future::Future;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use rollout_tests::emulator::Emulator;

/// What a test needs from its emulator.
#[derive(Clone, Copy)]
enum Needs {
    /// Route 53 alone.
    Records,
    /// A Route 53 that refuses a batch that does not fit the records.
    CompareAndSet,
    /// Tasks that follow their service.
    Deployments,
    /// The services around ECS, and boto3 beside the emulator.
    Surroundings,
}

impl Needs {
    /// Why this emulator cannot run it.
    fn missing(self, emulator: Emulator) -> Option<&'static str> {
        match (self, emulator) {
            (Self::Records, _)
            | (Self::CompareAndSet, Emulator::Ministack)
            | (Self::Deployments, Emulator::Ministack | Emulator::Localstack)
            | (Self::Surroundings, Emulator::Moto) => None,
            (Self::Surroundings, Emulator::Ministack | Emulator::Localstack) => {
                Some("only moto, which LocalStack is made of here, comes with boto3 beside it")
            }
            (Self::CompareAndSet, Emulator::Localstack | Emulator::Moto) => Some(
                "moto's Route 53, which is LocalStack's too, compares a batch with past changes, not with the records",
            ),
            (Self::Deployments, Emulator::Moto) => Some("moto starts no task for a service"),
        }
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let emulator = match Emulator::from_env() {
        Ok(emulator) => emulator,
        Err(_) if arguments.list => Emulator::Ministack,
        Err(why) => {
            eprintln!("error: {why}");
            return ExitCode::from(2);
        }
    };
    // Most of a test is waiting, for an emulator that is one process; more at once would only make each of them slower.
    arguments.test_threads.get_or_insert(4);
    let trials = vec![
        trial(
            emulator,
            Needs::Deployments,
            "a_whole_release",
            releasing::a_whole_release,
        ),
        trial(
            emulator,
            Needs::Deployments,
            "a_crashing_image_is_stopped_at_once",
            failing::a_crash_is_seen_before_the_breaker,
        ),
        trial(
            emulator,
            Needs::Deployments,
            "a_crashing_image_trips_the_breaker",
            failing::the_breaker_goes_back_first,
        ),
        trial(
            emulator,
            Needs::Deployments,
            "an_image_that_cannot_be_pulled",
            failing::an_image_that_cannot_be_pulled,
        ),
        trial(
            emulator,
            Needs::Deployments,
            "a_failing_migration_changes_no_service",
            failing::a_failing_migration,
        ),
        trial(
            emulator,
            Needs::Deployments,
            "a_gate_that_fails_goes_back",
            failing::a_gate_that_fails,
        ),
        trial(
            emulator,
            Needs::Deployments,
            "a_foreign_deployer_in_the_middle",
            foreign::in_the_middle,
        ),
        trial(
            emulator,
            Needs::Deployments,
            "a_manual_rollback",
            going_back::a_manual_rollback,
        ),
        trial(
            emulator,
            Needs::Deployments,
            "the_wrong_account_is_refused",
            refused::the_wrong_account,
        ),
        trial(
            emulator,
            Needs::Deployments,
            "an_alarm_before_the_start_is_refused",
            refused::an_alarm_before_the_start,
        ),
        trial(
            emulator,
            Needs::Deployments,
            "too_short_in_staging_is_refused",
            refused::too_short_in_staging,
        ),
        trial(
            emulator,
            Needs::Deployments,
            "the_example_releases",
            example::the_example_releases,
        ),
        trial(
            emulator,
            Needs::CompareAndSet,
            "a_stale_batch_is_a_conflict",
            dns::a_stale_batch,
        ),
        trial(
            emulator,
            Needs::CompareAndSet,
            "a_record_that_came_first_is_a_conflict",
            dns::a_record_that_came_first,
        ),
        trial(
            emulator,
            Needs::Surroundings,
            "the_facts_of_what_boto3_made",
            gathering::what_boto3_made,
        ),
        trial(
            emulator,
            Needs::Records,
            "a_record_moves_and_comes_back",
            dns::a_record_moves_and_comes_back,
        ),
        trial(
            emulator,
            Needs::CompareAndSet,
            "the_suite_on_records",
            conforming::records,
        ),
        trial(
            emulator,
            Needs::Deployments,
            "the_suite_on_services",
            conforming::services,
        ),
        trial(
            emulator,
            Needs::Deployments,
            "the_suite_on_going_back",
            conforming::going_back,
        ),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial<F>(emulator: Emulator, needs: Needs, name: &str, test: fn() -> F) -> Trial
where
    F: Future<Output = ()> + 'static,
{
    Trial::ignorable_test(name, move || {
        if let Some(reason) = needs.missing(emulator) {
            return Ok(Completion::ignored_with(reason));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime
            .map_err(|error| Failed::from(error.to_string()))?
            .block_on(test());
        Ok(Completion::Completed)
    })
}
