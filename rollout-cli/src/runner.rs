//! Who drives a run, for people: in a journal, and for whoever finds the run held.

use rollout_core::journal::Resumption;

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

/// Who goes on with a run.
pub(crate) fn resumption() -> Resumption {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Resumption {
        by: Some(described(&variable, &host())),
    }
}

/// `alice@laptop`, and the address of the CI job.
fn described(variable: &dyn Fn(&str) -> Option<String>, host: &str) -> String {
    let user = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(variable);
    let who = format!("{}@{host}", user.as_deref().unwrap_or("someone"));
    match job(variable) {
        Some(job) => format!("{who}, {job}"),
        None => who,
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
        assert_eq!(described(&laptop, "laptop"), "alice@laptop");
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
        let told = described(&github, "host");
        assert_eq!(
            told,
            "runner@host, https://github.example/shop/front/actions/runs/7"
        );
        // Half of an address is none.
        let half = |name: &str| (name == "GITHUB_REPOSITORY").then(|| "shop/front".to_owned());
        assert_eq!(described(&half, "host"), "someone@host");
    }
}
