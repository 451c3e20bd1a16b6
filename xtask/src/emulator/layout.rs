//! Where things live: sources in `tests/emulator`, everything made in `<target>/emulator`.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::cargo;

/// The folders of the workspace that emulators use.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
    made: PathBuf,
}

impl Layout {
    /// Of the workspace that xtask runs in; honours `CARGO_TARGET_DIR`.
    pub(crate) fn find() -> Result<Self> {
        let root = cargo::root()?;
        ensure!(
            root.join("tests/emulator").is_dir(),
            "{} is missing: run `cargo xtask` in a full checkout of the workspace",
            root.join("tests/emulator").display()
        );
        let target = cargo::target(&root)?;
        Ok(Self {
            root,
            made: target.join("emulator"),
        })
    }

    /// The workspace.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A file or folder of `tests/emulator`.
    pub(crate) fn source(&self, name: &str) -> PathBuf {
        self.root.join("tests/emulator").join(name)
    }

    /// The pinned requirements of one environment.
    pub(crate) fn requirements(&self, name: &str) -> PathBuf {
        self.source("requirements").join(format!("{name}.txt"))
    }

    /// The folder of one Python environment.
    pub(crate) fn environment(&self, name: &str) -> PathBuf {
        self.made.join(name)
    }

    /// The folder that holds one folder for each instance.
    pub(crate) fn instances(&self) -> PathBuf {
        self.made.join("run")
    }

    /// The folder of one instance.
    pub(crate) fn instance(&self, name: &str) -> PathBuf {
        self.instances().join(name)
    }

    /// The lock file of one instance, or of one environment, whose name has a dot that no instance's has.
    pub(crate) fn lock(&self, what: &str) -> PathBuf {
        self.made.join("locks").join(what)
    }

    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            made: root.join("target/emulator"),
        }
    }
}
