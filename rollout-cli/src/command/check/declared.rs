//! Where an environment is declared, for whoever wants a file to hang a finding on.

use std::path::{Component, Path};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rollout_core::id::EnvironmentName;

use crate::config::Config;
use crate::view::check::Declared;

/// What a path segment of a URI cannot hold as it is (RFC 3986, "Path").
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Where the configuration declares an environment, as its repository sees it.
pub(super) fn of(config: &Config, environment: &EnvironmentName) -> Declared {
    let declared = config.environments.get(environment);
    let declared = declared.map(|environment| &environment.declared);
    let (file, line) = declared.map_or((&config.file, 1), |(file, line)| (file, *line));
    Declared {
        uri: relative(file),
        line,
    }
}

/// A path as its repository's root sees it; outside of any, as the current directory does, or else the name alone.
fn relative(file: &Path) -> String {
    let whole = file.canonicalize();
    let root = whole
        .iter()
        .flat_map(|whole| whole.ancestors().skip(1))
        .find(|above| above.join(".git").exists());
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    let roots = root.into_iter().chain(here.as_deref().ok());
    let inside = roots
        .filter_map(|root| whole.as_deref().ok()?.strip_prefix(root).ok())
        .next();
    let name = || file.file_name().map_or(file, Path::new);
    segments(inside.unwrap_or_else(name))
}

fn segments(path: &Path) -> String {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_string_lossy()),
        _ => None,
    });
    let encoded = names.map(|name| utf8_percent_encode(&name, ENCODED).to_string());
    encoded.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_as_the_repository_sees_it() {
        let top = tempfile::tempdir().expect("a folder");
        let place = top.path().join("deploy to/eu");
        std::fs::create_dir_all(&place).expect("a folder");
        let file = place.join("rollout.toml");
        std::fs::write(&file, "").expect("a file");
        assert_eq!(relative(&file), "rollout.toml", "in no repository, and elsewhere");
        // A work tree's `.git` is a file.
        std::fs::write(top.path().join(".git"), "gitdir: elsewhere").expect("a file");
        assert_eq!(relative(&file), "deploy%20to/eu/rollout.toml");
        assert_eq!(relative(&place.join("missing.toml")), "missing.toml");
    }
}
