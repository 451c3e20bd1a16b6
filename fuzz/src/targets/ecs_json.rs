//! The ECS JSON files that `rollout.toml` names: read from a folder, as the command line reads them.

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::config::Config;
use crate::config::diagnostic::Source;
use crate::view::paint::Paint;

const TOML: &str = include_str!("ecs_json.toml");

fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("rollout-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the file");
        folder
    })
}

/// No panic, as a task definition or as what a one-off task is run with.
pub fn run(bytes: &[u8]) {
    let folder = folder();
    std::fs::write(folder.join("fuzzed.json"), bytes).expect("a file can be written");
    if let Err(invalid) = Config::parse(vec![Source::new(folder.join("rollout.toml"), TOML)]) {
        assert!(!invalid.render(Paint::plain()).is_empty());
    }
}
