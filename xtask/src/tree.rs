//! `cargo xtask tree`: what each of our crates may depend on. A feature that brings more than it says is found here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::cargo::{cargo, output, root};
use crate::steps::Steps;

/// A runtime, a network, a cloud, or a source of chance: nothing of it may be in a pure crate.
const IMPURE: [&str; 8] = [
    "aws-",
    "fastrand",
    "getrandom",
    "hyper",
    "mio",
    "rand",
    "reqwest",
    "tokio",
];
/// `rollout-sim` draws its chance from a seed that the caller gives, by these crates, which ask no system for it.
const SEEDED: [&str; 3] = ["rand", "rand_chacha", "rand_core"];

/// The AWS services that each feature of `rollout-aws` brings. Both adapters of ECR and ECS ask STS who is calling.
const SERVICES: [(&str, &[&str]); 14] = [
    ("clock", &[]),
    ("cloudwatch", &["cloudwatch"]),
    ("ecr", &["ecr", "sts"]),
    ("ecs", &["ecs", "sts"]),
    ("elbv2", &["elasticloadbalancingv2"]),
    ("logs", &["cloudwatchlogs"]),
    ("object-store", &[]),
    ("probe", &[]),
    (
        "readiness",
        &[
            "acm",
            "budgets",
            "cloudfront",
            "cloudwatch",
            "cloudwatchlogs",
            "ec2",
            "ecr",
            "ecs",
            "elasticache",
            "elasticloadbalancingv2",
            "iam",
            "rds",
            "route53",
            "s3",
            "secretsmanager",
            "sns",
            "ssm",
            "sts",
            "wafv2",
        ],
    ),
    ("route53", &["route53"]),
    ("secretsmanager", &["secretsmanager"]),
    ("sqs", &["sqs"]),
    ("ssm", &["ssm"]),
    ("sts", &["sts"]),
];
/// Features that are sets of the others.
const SETS: [&str; 2] = ["default", "full"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    features: BTreeMap<String, Vec<String>>,
}

pub(crate) fn run() -> Result<ExitCode> {
    let root = root()?;
    let mut steps = Steps::default();
    steps.run("rollout-core, all features: pure", || {
        nothing_of(&tree(&root, "rollout-core", &["--all-features"])?, |name| {
            is_impure(name)
        })
    });
    steps.run(
        "rollout-sim, no features: pure but for a seeded generator",
        || {
            nothing_of(&tree(&root, "rollout-sim", &["--no-default-features"])?, |name| {
                is_impure(name) && !SEEDED.contains(&name)
            })
        },
    );
    steps.run(
        "rollout-sim, endpoint: what the SDK is made of, but no AWS service",
        || {
            nothing_of(
                &tree(&root, "rollout-sim", &["--features", "endpoint"])?,
                |name| name.starts_with("aws-sdk-") || name == "aws-config",
            )
        },
    );
    steps.run("rollout-cli, no features: no AWS", || {
        nothing_of(&tree(&root, "rollout-cli", &["--no-default-features"])?, |name| {
            name.starts_with("aws-") || name == "rollout-aws"
        })
    });
    steps.run(
        "rollout-aws: every feature is listed in xtask/src/tree.rs",
        || all_features_are_listed(&root),
    );
    steps.run("rollout-aws, no features: no AWS service", || {
        exactly(&services(&root, &["--no-default-features"])?, &[])
    });
    for (feature, wanted) in SERVICES {
        steps.run(&format!("rollout-aws, {feature} alone: {}", list(wanted)), || {
            exactly(
                &services(&root, &["--no-default-features", "--features", feature])?,
                wanted,
            )
        });
    }
    Ok(steps.finish())
}

fn list(services: &[&str]) -> String {
    if services.is_empty() {
        return "no AWS service".to_owned();
    }
    services.join(", ")
}

fn is_impure(name: &str) -> bool {
    IMPURE.iter().any(|impure| name.starts_with(impure))
}

/// The crates that a package needs at run time, build scripts and macros included: they are what a user builds.
fn tree(root: &Path, package: &str, features: &[&str]) -> Result<BTreeSet<String>> {
    let text = output(
        cargo(root)
            .args(["tree", "--locked", "--color", "never", "--package", package])
            .args(features)
            .args(["--edges", "normal", "--target", "all"])
            .args(["--prefix", "none", "--format", "{p}"]),
    )?;
    let names: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    ensure!(
        names.contains(package),
        "cargo tree did not print {package}:\n{text}"
    );
    Ok(names)
}

fn services(root: &Path, features: &[&str]) -> Result<BTreeSet<String>> {
    let names = tree(root, "rollout-aws", features)?;
    Ok(names
        .iter()
        .filter_map(|name| name.strip_prefix("aws-sdk-").map(str::to_owned))
        .collect())
}

fn nothing_of(tree: &BTreeSet<String>, unwanted: impl Fn(&str) -> bool) -> Result<()> {
    let found: Vec<&str> = tree
        .iter()
        .map(String::as_str)
        .filter(|&name| unwanted(name))
        .collect();
    ensure!(found.is_empty(), "in the tree: {}", found.join(", "));
    Ok(())
}

fn exactly(found: &BTreeSet<String>, wanted: &[&str]) -> Result<()> {
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    ensure!(found == wanted, "found {}, wanted {}", list(&found), list(wanted));
    Ok(())
}

fn all_features_are_listed(root: &Path) -> Result<()> {
    let text = output(cargo(root).args(["metadata", "--locked", "--no-deps", "--format-version", "1"]))?;
    let metadata: Metadata = serde_json::from_str(&text).context("cargo metadata is not as expected")?;
    let package = metadata
        .packages
        .into_iter()
        .find(|package| package.name == "rollout-aws")
        .context("there is no rollout-aws")?;
    let known: BTreeSet<&str> = SERVICES.iter().map(|(name, _)| *name).chain(SETS).collect();
    let there: BTreeSet<&str> = package.features.keys().map(String::as_str).collect();
    let differ: Vec<&str> = known.symmetric_difference(&there).copied().collect();
    ensure!(differ.is_empty(), "differ: {}", differ.join(", "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn what_is_impure_is_found_by_its_beginning() {
        for name in [
            "tokio",
            "tokio-util",
            "aws-smithy-types",
            "hyper-rustls",
            "rand_core",
            "getrandom",
        ] {
            assert!(is_impure(name), "{name}");
        }
        for name in ["serde", "futures-util", "sha2", "humantime"] {
            assert!(!is_impure(name), "{name}");
        }
        assert!(nothing_of(&names(&["serde", "tokio"]), is_impure).is_err());
        assert!(nothing_of(&names(&["serde"]), is_impure).is_ok());
    }

    #[test]
    fn one_service_too_many_or_too_few_is_wrong() {
        assert!(exactly(&names(&["route53"]), &["route53"]).is_ok());
        assert!(exactly(&names(&["route53", "sts"]), &["route53"]).is_err());
        assert!(exactly(&names(&[]), &["route53"]).is_err());
    }
}
