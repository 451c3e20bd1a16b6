//! A plan as a file: written once and whole, read with care.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context as _, bail};
use rollout_core::plan::document::Document;

use crate::config::{Config, Environment};
use crate::state::files;

/// What writes plans, as they say it.
pub(crate) const MADE_WITH: &str = concat!("rollout ", env!("CARGO_PKG_VERSION"));

/// The longest file that is read as a plan. A plan of a thousand services has some megabytes.
const LONGEST: u64 = 256 << 20;

/// A plan's file that cannot be used: no cloud was asked.
#[derive(Debug)]
pub(crate) struct Unusable(String);

impl core::fmt::Display for Unusable {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unusable {}

/// What became of a plan that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It was written.
    New,
    /// The same plan was there, made before; it stays.
    Already,
}

/// The names that lead to the environments and are no part of a plan.
pub(crate) fn places(config: &Config) -> BTreeMap<String, String> {
    let of = |environment: &Environment| {
        let named = |what: &str, value: &str| (format!("{} {what}", environment.name), value.to_owned());
        [
            named("account", &environment.account),
            named("region", &environment.region),
            named("cluster", &environment.cluster),
            named("registry", &environment.registry),
        ]
    };
    [config.source(), config.target()]
        .into_iter()
        .flat_map(of)
        .collect()
}

/// Reads a plan and holds it against the configuration that leads to the clouds.
///
/// # Errors
/// [`Unusable`] when it is no plan, was changed, is newer than this program, or was made for other environments.
pub(crate) fn read(file: &Path, config: &Config) -> anyhow::Result<Document> {
    let no = |why: String| Unusable(format!("the plan {}: {why}", file.display()));
    let length = fs::metadata(file).map_err(|error| no(error.to_string()))?.len();
    if length > LONGEST {
        return Err(no(format!("it has {length} bytes, which no plan has")).into());
    }
    let text = fs::read_to_string(file).map_err(|error| no(error.to_string()))?;
    let document = Document::open(&text).map_err(|error| no(error.to_string()))?;
    let now = places(config);
    if document.places == now {
        return Ok(document);
    }
    let differ = |(place, was): (&String, &String)| match now.get(place) {
        Some(is) if is == was => None,
        Some(is) => Some(format!("{place} was {was} and is {is}")),
        None => Some(format!("{place} was {was} and is not named any more")),
    };
    let mut differ: Vec<String> = document.places.iter().filter_map(differ).collect();
    let more = now
        .iter()
        .filter(|(place, _)| !document.places.contains_key(*place));
    differ.extend(more.map(|(place, is)| format!("{place} is {is}, which the plan does not name")));
    let why = format!(
        "it was made with another configuration than {}: {}; make a new plan, or run it with its own configuration",
        config.file.display(),
        differ.join("; ")
    );
    Err(no(why).into())
}

/// Writes a plan, whole or not at all, and never over another one.
///
/// # Errors
/// When the file is there and is not the same plan, or cannot be written; or the plan holds a secret.
pub(crate) fn write(file: &Path, document: &Document) -> anyhow::Result<Written> {
    let text = document.seal().context("the plan cannot be written")?;
    if same(file, document)? {
        return Ok(Written::Already);
    }
    let wanted = || format!("cannot write the plan {}", file.display());
    let draft = files::draft(file, text.as_bytes()).with_context(wanted)?;
    let written = publish(&draft, file);
    // Gone already where it was renamed.
    let _ = fs::remove_file(&draft);
    match written {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => bail!(
            "{} was made by someone else at the same time; nothing was written",
            file.display()
        ),
        written => written.with_context(wanted).map(|()| Written::New),
    }
}

/// Whether the file holds the same plan: made at another time, or by another caller, but of the same and resting on the same.
fn same(file: &Path, document: &Document) -> anyhow::Result<bool> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    let Ok(there) = Document::open(&text) else {
        bail!(
            "{} is there and holds no plan that can be run; name another file, or remove it",
            file.display()
        );
    };
    let mut as_ours = there.clone();
    as_ours.made_at = document.made_at;
    as_ours.made_by.clone_from(&document.made_by);
    as_ours.made_with.clone_from(&document.made_with);
    as_ours.assumes.at = document.assumes.at;
    as_ours.assumes.identity.clone_from(&document.assumes.identity);
    if as_ours == *document {
        return Ok(true);
    }
    bail!(
        "{} holds another plan, made at {} by {}; name another file, or remove it",
        file.display(),
        there.made_at,
        there.made_by
    )
}

/// Gives a whole file its name, unless that is taken.
fn publish(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // A file system without hard links.
        Err(_) if !to.exists() => fs::rename(from, to),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use rollout_core::plan::assumed::Assumed;
    use rollout_core::time::Timestamp;

    use super::*;

    fn document() -> Document {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/storefront/rollout.toml");
        let config = Config::load(&file, &[]).expect("the storefront is right");
        let run = "plan".parse().expect("a name");
        Document {
            made_at: Timestamp::from_millis(1),
            made_by: "arn:one".to_owned(),
            made_with: "rollout 0.0.1".to_owned(),
            places: places(&config),
            plan: crate::draft::plan(&config, "2.4.0", &run).expect("a plan"),
            assumes: Assumed::default(),
        }
    }

    #[test]
    fn the_same_plan_made_again_leaves_the_first_one_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("plan.json");
        let first = document();
        assert_eq!(write(&file, &first).expect("it is new"), Written::New);
        let mut again = first.clone();
        again.made_at = Timestamp::from_millis(2);
        again.assumes.at = Timestamp::from_millis(2);
        again.made_by = "arn:another".to_owned();
        again.made_with = MADE_WITH.to_owned();
        assert_eq!(write(&file, &again).expect("it is the same"), Written::Already);
        let text = fs::read_to_string(&file).expect("it is there");
        assert_eq!(Document::open(&text), Ok(first));

        let mut other = again;
        other.places.clear();
        let error = write(&file, &other).expect_err("it is another").to_string();
        assert!(error.contains("holds another plan, made at 1970"), "{error}");
        assert_eq!(fs::read_to_string(&file).expect("it is there"), text);
    }

    #[test]
    fn a_file_that_someone_else_has_made_meanwhile_is_not_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
        fs::write(&ours, "ours").expect("writable");
        fs::write(&theirs, "theirs").expect("writable");
        let error = publish(&ours, &theirs).expect_err("the name is taken");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&theirs).expect("it is there"), "theirs");
    }
}
