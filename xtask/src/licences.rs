//! `cargo xtask licences`: the policy of deny.toml, checked without installing anything and without a network.
//!
//! What is checked: licences, banned crates, duplicates, sources. cargo-deny reads the same file; where it is installed it
//! runs as well, and brings what this cannot do: licence files that contradict a manifest, and advisories.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::cargo::{cargo, output, root, run as run_command};
use crate::emulator::Skipped;
use crate::spdx::Licence;
use crate::steps::Steps;

/// The part of deny.toml that is checked here.
#[derive(Debug, Deserialize)]
struct Policy {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Named>,
    skip: Vec<Named>,
}

/// A crate, as `name` or as `name@1.2`, which is every version that begins so.
#[derive(Debug, Deserialize)]
struct Named {
    #[serde(rename = "crate")]
    spec: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct LockFile {
    package: Vec<Locked>,
}

#[derive(Debug, Deserialize)]
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
}

/// A crate of the tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    licence: String,
}

pub(crate) fn run() -> Result<ExitCode> {
    let root = root()?;
    let policy: Policy = read_toml(&root.join("deny.toml"))?;
    let lock: LockFile = read_toml(&root.join("Cargo.lock"))?;
    let tree = tree(&root)?;
    let mut steps = Steps::default();
    steps.run("licences", || verdict(&check_licences(&policy.licenses, &tree)?));
    steps.run("banned crates and duplicates", || {
        verdict(&check_bans(&policy.bans, &tree))
    });
    steps.run("sources", || verdict(&check_sources(&policy.sources, &lock)));
    steps.run("cargo-deny", || {
        need_cargo_deny()?;
        run_command(cargo(&root).args(["deny", "--offline", "check", "bans", "licenses", "sources"]))
    });
    steps.run("advisories", || {
        need_cargo_deny()?;
        // Only its own fetch tells whether the database can be had here.
        output(cargo(&root).args(["deny", "fetch", "db"])).map_err(|error| {
            let error = error.to_string();
            let last = error.lines().last().unwrap_or_default();
            Skipped(format!("the advisory database cannot be fetched: {last}"))
        })?;
        run_command(cargo(&root).args(["deny", "check", "--disable-fetch", "advisories"]))
    });
    Ok(steps.finish())
}

fn need_cargo_deny() -> Result<()> {
    let found = env::var_os("PATH").is_some_and(|path| {
        env::split_paths(&path).any(|folder| {
            folder
                .join(format!("cargo-deny{}", env::consts::EXE_SUFFIX))
                .is_file()
        })
    });
    if found {
        return Ok(());
    }
    Err(Skipped("cargo-deny is not installed (`cargo install cargo-deny --locked`)".to_owned()).into())
}

fn read_toml<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is not as expected", path.display()))
}

/// Every crate that any feature of any member brings on any platform, development and build included.
fn tree(root: &Path) -> Result<BTreeSet<Package>> {
    let text = output(
        cargo(root)
            .args([
                "tree",
                "--locked",
                "--color",
                "never",
                "--workspace",
                "--all-features",
            ])
            .args(["--target", "all", "--edges", "normal,build,dev"])
            .args(["--prefix", "none", "--format", "{p}|{l}"]),
    )?;
    let tree: BTreeSet<Package> = text.lines().filter_map(parse_package).collect();
    ensure!(!tree.is_empty(), "cargo tree printed no crate:\n{text}");
    Ok(tree)
}

/// A line such as `serde v1.0.229 (proc-macro)|MIT OR Apache-2.0`; blank lines stand between the members.
fn parse_package(line: &str) -> Option<Package> {
    let (package, licence) = line.split_once('|')?;
    let mut words = package.split_whitespace();
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    // A subtree that was printed before ends in ` (*)`.
    let licence = licence.strip_suffix(" (*)").unwrap_or(licence);
    Some(Package {
        name: name.to_owned(),
        version: version.to_owned(),
        licence: licence.to_owned(),
    })
}

fn check_licences(policy: &Licenses, tree: &BTreeSet<Package>) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let mut parsed = Vec::new();
    for package in tree {
        let licence = Licence::parse(&package.licence)
            .with_context(|| format!("the licence of {} {}", package.name, package.version))?;
        if !licence.is_met(&|name| policy.allow.iter().any(|allowed| allowed == name)) {
            wrong.push(format!(
                "{} {}: `{}` is not allowed",
                package.name, package.version, package.licence
            ));
        }
        parsed.push(licence);
    }
    for candidate in &policy.allow {
        let without = |name: &str| name != candidate && policy.allow.iter().any(|allowed| allowed == name);
        if parsed.iter().all(|licence| licence.is_met(&without)) {
            wrong.push(format!("`{candidate}` is allowed and nothing needs it"));
        }
    }
    Ok(wrong)
}

fn check_bans(policy: &Bans, tree: &BTreeSet<Package>) -> Vec<String> {
    let mut wrong = Vec::new();
    for banned in &policy.deny {
        for package in tree.iter().filter(|package| banned.names(package)) {
            wrong.push(format!(
                "{} {} is banned: {}",
                package.name, package.version, banned.reason
            ));
        }
    }
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in tree.iter().filter(|p| !policy.skip.iter().any(|s| s.names(p))) {
        versions
            .entry(&package.name)
            .or_default()
            .insert(&package.version);
    }
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        let versions: Vec<&str> = versions.iter().copied().collect();
        wrong.push(format!("{name} is there more than once: {}", versions.join(", ")));
    }
    for stale in policy.skip.iter().filter(|s| !tree.iter().any(|p| s.names(p))) {
        wrong.push(format!(
            "deny.toml skips {}, which is not in the tree",
            stale.spec
        ));
    }
    wrong
}

impl Named {
    fn names(&self, package: &Package) -> bool {
        let (name, version) = match self.spec.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (self.spec.as_str(), None),
        };
        name == package.name
            && version.is_none_or(|begin| {
                package
                    .version
                    .strip_prefix(begin)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
    }
}

fn check_sources(policy: &Sources, lock: &LockFile) -> Vec<String> {
    lock.package
        .iter()
        .filter_map(|package| {
            let source = package.source.as_deref()?;
            let allowed = source
                .strip_prefix("registry+")
                .is_some_and(|registry| policy.allow_registry.iter().any(|a| a == registry));
            (!allowed).then(|| format!("{} {} comes from {source}", package.name, package.version))
        })
        .collect()
}

fn verdict(wrong: &[String]) -> Result<()> {
    ensure!(wrong.is_empty(), "{}", wrong.join("\n       "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, licence: &str) -> Package {
        Package {
            name: name.into(),
            version: version.into(),
            licence: licence.into(),
        }
    }

    fn named(spec: &str) -> Named {
        Named {
            spec: spec.into(),
            reason: "a test".into(),
        }
    }

    #[test]
    fn lines_of_cargo_tree_are_read() {
        let wanted = Some(package("serde_derive", "1.0.229", "MIT OR Apache-2.0"));
        assert_eq!(
            parse_package("serde_derive v1.0.229 (proc-macro)|MIT OR Apache-2.0"),
            wanted
        );
        assert_eq!(
            parse_package("serde_derive v1.0.229 (proc-macro)|MIT OR Apache-2.0 (*)"),
            wanted
        );
        assert_eq!(parse_package(""), None);
    }

    #[test]
    fn a_licence_must_be_allowed_and_needed() {
        let tree = BTreeSet::from([package("a", "1.0.0", "MIT OR ISC"), package("b", "1.0.0", "MIT")]);
        let check = |allow: &[&str]| {
            let allow = allow.iter().map(|&name| name.to_owned()).collect();
            check_licences(&Licenses { allow }, &tree).expect("valid expressions")
        };
        assert_eq!(check(&["MIT"]), Vec::<String>::new());
        assert_eq!(check(&["ISC"]), ["b 1.0.0: `MIT` is not allowed"]);
        assert_eq!(check(&["MIT", "ISC"]), ["`ISC` is allowed and nothing needs it"]);
        let none = BTreeSet::from([package("c", "1.0.0", "")]);
        assert!(check_licences(&Licenses { allow: Vec::new() }, &none).is_err());
    }

    #[test]
    fn bans_duplicates_and_stale_skips_are_found() {
        let tree = BTreeSet::from([
            package("digest", "0.10.7", "MIT"),
            package("digest", "0.11.3", "MIT"),
            package("openssl", "0.10.1", "MIT"),
        ]);
        let check = |deny: &[&str], skip: &[&str]| {
            let all = |specs: &[&str]| specs.iter().map(|spec| named(spec)).collect();
            check_bans(
                &Bans {
                    deny: all(deny),
                    skip: all(skip),
                },
                &tree,
            )
        };
        assert_eq!(check(&[], &["digest@0.10"]), Vec::<String>::new());
        assert_eq!(
            check(&[], &[]),
            ["digest is there more than once: 0.10.7, 0.11.3"]
        );
        assert_eq!(
            check(&[], &["digest@0.1"]),
            [
                "digest is there more than once: 0.10.7, 0.11.3",
                "deny.toml skips digest@0.1, which is not in the tree"
            ]
        );
        assert_eq!(
            check(&["openssl"], &["digest@0.10"]),
            ["openssl 0.10.1 is banned: a test"]
        );
    }

    #[test]
    fn only_the_registry_is_a_source() {
        let locked = |source: Option<&str>| Locked {
            name: "a".into(),
            version: "1.0.0".into(),
            source: source.map(Into::into),
        };
        let policy = Sources {
            allow_registry: vec!["https://example.com/index".into()],
        };
        let check = |source| {
            check_sources(
                &policy,
                &LockFile {
                    package: vec![locked(source)],
                },
            )
        };
        assert!(check(None).is_empty());
        assert!(check(Some("registry+https://example.com/index")).is_empty());
        assert_eq!(check(Some("registry+https://example.com/other")).len(), 1);
        assert_eq!(check(Some("git+https://example.com/index")).len(), 1);
    }
}
