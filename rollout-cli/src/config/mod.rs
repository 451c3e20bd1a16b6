//! `rollout.toml` and the plain ECS JSON beside it, read into typed values.
//!
//! Everything is checked before any cloud is asked: a configuration that exists is one that can be planned.

mod check;
pub(crate) mod diagnostic;
mod dns;
mod ecs;
mod environment;
pub(crate) mod fleet;
mod gate;
mod image;
mod overlay;
mod reader;
pub(crate) mod readiness;
mod rollback;
mod service;
mod task;
#[cfg(test)]
mod tests;
pub(crate) mod window;

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rollout_core::id::{EnvironmentName, GroupName};
use rollout_core::plan::rollback::{Proof, RollbackPolicy};
use rollout_core::plan::window::Window;
use toml::de::DeTable;

pub(crate) use dns::Dns;
#[cfg(feature = "aws")]
pub(crate) use dns::Verify;
pub(crate) use environment::Environment;
pub(crate) use gate::Gate;
pub(crate) use image::{Image, Images, Version};
pub(crate) use reader::At;
pub(crate) use service::{FASTEST, Service};
pub(crate) use task::{Task, When};

use diagnostic::{Diagnostic, Invalid, Source};
use reader::{Reader, Sink};

/// The whole configuration.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The file.
    pub(crate) file: PathBuf,
    /// What was laid over it, in this order.
    pub(crate) overlays: Vec<PathBuf>,
    /// What is released unless `--release` says otherwise.
    pub(crate) release: Option<String>,
    /// The environments by name.
    pub(crate) environments: BTreeMap<EnvironmentName, Environment>,
    /// From where to where.
    pub(crate) promotion: Promotion,
    /// What may go back, to what, and how.
    pub(crate) rollback: RollbackPolicy,
    /// The readiness file: a release asks first whether the target is ready.
    pub(crate) readiness: Option<PathBuf>,
    /// How sure that must be.
    pub(crate) ready: Proof,
    /// The services, in the order of the file.
    pub(crate) services: Vec<Service>,
    /// Gates of the release as a whole, after all services.
    pub(crate) gates: Vec<Gate>,
    /// One-off tasks.
    pub(crate) tasks: Vec<Task>,
    /// Records, in the order in which they are moved.
    pub(crate) dns: Vec<Dns>,
}

/// From where to where, and what counts as proven.
#[derive(Clone, Debug)]
pub(crate) struct Promotion {
    /// The environment that the release was proven in.
    pub(crate) from: EnvironmentName,
    /// The environment that is changed.
    pub(crate) to: EnvironmentName,
    /// What is released there together: one runner at a time changes it.
    pub(crate) group: GroupName,
    /// For how long the release must have run in `from`.
    pub(crate) soak: Duration,
    /// Services that may be between the old and the new release at once.
    pub(crate) services_at_once: u32,
    /// When a release may begin.
    pub(crate) window: Option<Window>,
}

impl Config {
    /// Reads the file, the overlays in their order, and every file that they name.
    ///
    /// # Errors
    /// [`Invalid`] with everything that is wrong, not only the first fault.
    pub(crate) fn load(file: &Path, overlays: &[PathBuf]) -> Result<Self, Invalid> {
        let (mut sources, mut faults) = (Vec::new(), Vec::new());
        for path in core::iter::once(file).chain(overlays.iter().map(PathBuf::as_path)) {
            match std::fs::read_to_string(path) {
                Ok(text) => sources.push(Source::new(path, text)),
                Err(error) => {
                    let first = sources.is_empty() && faults.is_empty();
                    faults.push(unreadable(path, &error).help(match first {
                        true => "name the file with `--config FILE`, or start in the directory that holds rollout.toml",
                        false => "it was named with `--overlay` or ROLLOUT_OVERLAY",
                    }));
                }
            }
        }
        if faults.is_empty() {
            Self::parse(sources)
        } else {
            Err(Invalid(faults))
        }
    }

    /// Reads the configuration's text, the first one, with the overlays after it.
    pub(crate) fn parse(sources: Vec<Arc<Source>>) -> Result<Self, Invalid> {
        let sink = Sink::new(sources);
        // Each text is behind blanks as long as the texts before it, so that an offset names its file, too.
        let texts: Vec<String> = sink
            .files()
            .iter()
            .map(|(begin, source)| overlay::shifted(&source.text, *begin))
            .collect();
        let (mut tables, mut faults) = (Vec::new(), Vec::new());
        for text in &texts {
            let (table, errors) = DeTable::parse_recoverable(text);
            tables.push(table.into_inner());
            faults.extend(errors.iter().map(|error| syntax(&sink, error)));
        }
        if !faults.is_empty() {
            // What was recovered lacks what could not be read; complaining about that too would mislead.
            return Err(Invalid(faults));
        }
        let mut tables = tables.into_iter();
        let mut table = tables.next().unwrap_or_default();
        tables.for_each(|overlay| overlay::lay(&mut table, overlay, &sink));
        let reader = Reader::new(&sink, "the top level of the file", 0..0, &table);
        let config = read(&reader, sink.files());
        reader.finish();
        if let Some(config) = &config {
            check::check(config, &sink);
        }
        let found = sink.into_found();
        match config {
            Some(config) if found.is_empty() => Ok(config.value),
            _ => Err(Invalid(found)),
        }
    }

    /// The environment that is changed.
    pub(crate) fn target(&self) -> &Environment {
        &self.environments[&self.promotion.to]
    }

    /// The environment that the release comes from.
    pub(crate) fn source(&self) -> &Environment {
        &self.environments[&self.promotion.from]
    }
}

/// A configuration that was read, with the places that the checks across tables need.
struct Loaded {
    value: Config,
    from: At<EnvironmentName>,
    to: At<EnvironmentName>,
    /// Every environment that the file names, readable or not.
    names: Vec<EnvironmentName>,
    /// Whether every service could be read.
    complete: bool,
}

fn read(reader: &Reader<'_>, files: &[(usize, Arc<Source>)]) -> Option<Loaded> {
    let mut paths = files.iter().map(|(_, source)| source.path.clone());
    let file = paths.next().unwrap_or_default();
    let release = reader
        .value("release")
        .and_then(|v| v.parse::<rollout_core::id::ImageTag>());
    let (names, environments) = environments(reader);
    let promotion = reader
        .required("promotion", "{ from = \"staging\", to = \"production\" }")
        .and_then(|v| v.table("[promotion]"));
    let promotion = promotion.and_then(|r| promotion_table(&r));
    let rollback = reader.value("rollback").and_then(|v| v.table("[rollback]"));
    let rollback = rollback.map(|r| rollback::read(&r)).unwrap_or_default();
    let dir = file.parent().unwrap_or_else(|| Path::new(""));
    let (readiness, ready) = readiness::asked(reader, dir);
    let files = ecs::Files::new(dir);
    let (services, complete) = service::read_all(reader, &files, &names);
    let tasks = task::read_all(reader, &files, &names);
    let gates = gate::read_all(reader, "gates", "[[gates]]");
    let dns = dns::read_all(reader);
    let Direction {
        from,
        to,
        group,
        soak,
        services_at_once,
        window,
    } = promotion?;
    Some(Loaded {
        value: Config {
            overlays: paths.collect(),
            file,
            release: release.map(|tag| tag.value.to_string()),
            environments,
            promotion: Promotion {
                from: from.value.clone(),
                to: to.value.clone(),
                group,
                soak,
                services_at_once,
                window,
            },
            rollback,
            readiness,
            ready,
            services,
            gates,
            tasks,
            dns,
        },
        from,
        to,
        names,
        complete,
    })
}

fn environments(reader: &Reader<'_>) -> (Vec<EnvironmentName>, BTreeMap<EnvironmentName, Environment>) {
    let (mut names, mut all) = (Vec::new(), BTreeMap::new());
    let table = reader
        .required(
            "environments",
            "{ … }` as tables `[environments.staging]` and `[environments.production]",
        )
        .and_then(|v| v.table("[environments.…]"));
    for (key, value) in table.iter().flat_map(Reader::entries) {
        match EnvironmentName::new(&key.value) {
            Ok(name) => {
                let header = format!("[environments.{name}]");
                names.push(name.clone());
                if let Some(environment) = value
                    .table(&header)
                    .and_then(|r| environment::read(&r, name.clone()))
                {
                    all.insert(name, environment);
                }
            }
            Err(error) => reader.sink.push(reader.sink.at(&key.span, error.to_string())),
        }
    }
    (names, all)
}

/// `[promotion]`, with the places that later checks need.
struct Direction {
    from: At<EnvironmentName>,
    to: At<EnvironmentName>,
    group: GroupName,
    soak: Duration,
    services_at_once: u32,
    window: Option<Window>,
}

fn promotion_table(reader: &Reader<'_>) -> Option<Direction> {
    let from = reader.required("from", "\"staging\"").and_then(|v| v.parse());
    let to = reader.required("to", "\"production\"").and_then(|v| v.parse());
    let group = match reader.value("group") {
        Some(value) => value.parse::<GroupName>().map(|group| group.value),
        None => GroupName::new("default").ok(),
    };
    let soak = reader.duration("soak", Duration::from_secs(3600));
    let at_once = reader.value("services_at_once");
    let services_at_once = at_once.as_ref().and_then(reader::Value::number).unwrap_or(1);
    if let (Some(value), 0) = (&at_once, services_at_once) {
        value.wrong(
            "`services_at_once` is 0: no service could ever change",
            "write 1 or more",
        );
    }
    let window = reader
        .value("window")
        .and_then(|v| v.table("[promotion.window]"))
        .map(|r| window::read(&r));
    reader.finish();
    Some(Direction {
        from: from?,
        to: to?,
        group: group?,
        soak,
        services_at_once,
        window,
    })
}

fn syntax(sink: &Sink, error: &toml::de::Error) -> Diagnostic {
    let span = error.span().unwrap_or(0..0);
    sink.at(&span, format!("this is not TOML: {}", error.message()))
}

/// Reads a file that nothing is laid over.
fn one_file<T>(file: &Path, help: &str, read: impl FnOnce(&Reader<'_>) -> Option<T>) -> Result<T, Invalid> {
    match std::fs::read_to_string(file) {
        Ok(text) => one_text(&Source::new(file, text), read),
        Err(error) => Err(Invalid(vec![unreadable(file, &error).help(help)])),
    }
}

fn one_text<T>(source: &Arc<Source>, read: impl FnOnce(&Reader<'_>) -> Option<T>) -> Result<T, Invalid> {
    let sink = Sink::new([Arc::clone(source)]);
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    if !errors.is_empty() {
        return Err(Invalid(errors.iter().map(|error| syntax(&sink, error)).collect()));
    }
    let reader = Reader::new(&sink, "the top level of the file", 0..0, table.get_ref());
    let read = read(&reader);
    reader.finish();
    let found = sink.into_found();
    match read {
        Some(read) if found.is_empty() => Ok(read),
        _ => Err(Invalid(found)),
    }
}

fn unreadable(file: &Path, error: &std::io::Error) -> Diagnostic {
    let source = Source::new(file, "");
    let mut diagnostic = Diagnostic::new(&source, 0..0, format!("the file cannot be read: {error}"));
    diagnostic.span = None;
    diagnostic
}
