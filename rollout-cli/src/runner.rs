//! Who drives a run, for people: in a journal, and for whoever finds the run held.

use core::hash::{BuildHasher as _, Hasher as _};
use core::sync::atomic::{AtomicU64, Ordering};
use std::hash::RandomState;

use rollout_core::journal::Resumption;
use rollout_core::lease::Owner;

/// Where CI systems say which job this is: the variable, or the parts that make its address.
const JOBS: [&[&str]; 6] = [
    // GitHub Actions: "Variables", default environment variables.
    &[
        "GITHUB_SERVER_URL",
        "/",
        "GITHUB_REPOSITORY",
        "/actions/runs/",
        "GITHUB_RUN_ID",
    ],
    // GitLab CI: "Predefined CI/CD variables reference".
    &["CI_JOB_URL"],
    // Buildkite: "Environment variables".
    &["BUILDKITE_BUILD_URL"],
    // CircleCI: "Project values and variables".
    &["CIRCLE_BUILD_URL"],
    // Jenkins: "Using environment variables".
    &["BUILD_URL"],
    // Azure Pipelines: "Use predefined variables".
    &[
        "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI",
        "SYSTEM_TEAMPROJECT",
        "/_build/results?buildId=",
        "BUILD_BUILDID",
    ],
];

/// Who this is, as far as the machine tells.
pub(crate) fn owner() -> Owner {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    described(&variable, host())
}

/// The same, for people: a person, where, and the job.
pub(crate) fn someone() -> String {
    owner().to_string()
}

/// Who goes on with a run.
pub(crate) fn resumption() -> Resumption {
    Resumption { by: Some(someone()) }
}

/// A text that no other process has, and this one only once.
pub(crate) fn session() -> String {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    // Two containers may have the same name, process number and moment.
    let chance = chance();
    let number = DRAWN.fetch_add(1, Ordering::Relaxed);
    format!("{}/{}/{chance:016x}/{number}", host(), std::process::id())
}

/// A number that is another one for every process: the keys of a new hasher are random.
pub(crate) fn chance() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn described(variable: &dyn Fn(&str) -> Option<String>, host: String) -> Owner {
    let user = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(variable);
    Owner {
        who: user.unwrap_or_else(|| "someone".to_owned()),
        host,
        url: job(variable),
    }
}

fn job(variable: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let is_name = |part: &str| part.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    JOBS.into_iter().find_map(|parts| {
        parts
            .iter()
            .map(|part| {
                if is_name(part) {
                    variable(part)
                } else {
                    Some((*part).to_owned())
                }
            })
            .collect()
    })
}

/// The machine's name, as far as it can be known without asking the network.
fn host() -> String {
    let file = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let variables = || {
        ["HOSTNAME", "COMPUTERNAME"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok())
    };
    let name = file.or_else(variables).map(|name| name.trim().to_owned());
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown host".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runner_is_a_person_on_a_host_and_a_job_where_there_is_one() {
        let laptop = |name: &str| (name == "USER").then(|| "alice".to_owned());
        let told = |variable: &dyn Fn(&str) -> Option<String>, host: &str| {
            described(variable, host.to_owned()).to_string()
        };
        assert_eq!(told(&laptop, "laptop"), "alice@laptop");
        let github = |name: &str| {
            let value = match name {
                "USER" => "runner",
                "GITHUB_SERVER_URL" => "https://github.example",
                "GITHUB_REPOSITORY" => "shop/front",
                "GITHUB_RUN_ID" => "7",
                _ => return None,
            };
            Some(value.to_owned())
        };
        assert_eq!(
            told(&github, "host"),
            "runner@host (https://github.example/shop/front/actions/runs/7)"
        );
        // Half of an address is none.
        let half = |name: &str| (name == "GITHUB_REPOSITORY").then(|| "shop/front".to_owned());
        assert_eq!(told(&half, "host"), "someone@host");
    }

    #[test]
    fn a_session_is_drawn_once() {
        assert_ne!(session(), session());
    }
}
