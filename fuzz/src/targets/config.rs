//! `rollout.toml`: the reader of the command line, with the storefront's files beside it.

use std::path::Path;

use crate::config::Config;
use crate::config::diagnostic::Source;
use crate::view::paint::Paint;

/// The folder in which relative paths of the text are looked for.
const BESIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/storefront");

/// No panic; what is wrong is said, and can be shown.
pub fn run(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else {
        return;
    };
    let file = Path::new(BESIDE).join("rollout.toml");
    // A second text is an overlay.
    let sources = text
        .split("\u{0}")
        .take(2)
        .map(|text| Source::new(&file, text))
        .collect();
    if let Err(invalid) = Config::parse(sources) {
        assert!(!invalid.0.is_empty(), "refused without a reason");
        let shown = invalid.render(Paint::plain());
        assert!(!shown.is_empty());
        for diagnostic in &invalid.0 {
            let _ = diagnostic.json();
        }
    }
}
