//! The record of an instance on disk, and what can be done with it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::Kind;
use super::layout::Layout;
use super::process::{Health, Running, pause};

const RECORD: &str = "instance.json";

/// One emulator and its helpers, under one name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The emulator first, then its helpers.
    pub(crate) parts: Vec<Running>,
    /// What a program needs in its environment to use it.
    pub(crate) env: BTreeMap<String, String>,
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.kind.version())?;
        if self.name != self.kind.name() {
            write!(f, " (`{}`)", self.name)?;
        }
        if let Some(main) = self.parts.first() {
            write!(f, " on 127.0.0.1:{}", main.port)?;
        }
        Ok(())
    }
}

impl Instance {
    /// The record of this name, if there is one.
    pub(crate) fn load(layout: &Layout, name: &str) -> Result<Option<Self>> {
        let path = layout.instance(name).join(RECORD);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        let instance = serde_json::from_str(&text).with_context(|| {
            format!(
                "{} is not a record of this version: end its processes, then remove it",
                path.display()
            )
        })?;
        Ok(Some(instance))
    }

    /// Every record, by name.
    pub(crate) fn all(layout: &Layout) -> Result<Vec<Self>> {
        let folder = layout.instances();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", folder.display())),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.with_context(|| format!("{} cannot be read", folder.display()))?;
            names.extend(entry.file_name().into_string());
        }
        names.sort();
        names
            .iter()
            .filter_map(|name| Self::load(layout, name).transpose())
            .collect()
    }

    /// Writes the record, and a pid file for each process, all at once or not at all.
    pub(crate) fn save(&self, layout: &Layout) -> Result<()> {
        let folder = layout.instance(&self.name);
        let write = || -> io::Result<()> {
            fs::create_dir_all(&folder)?;
            for part in &self.parts {
                fs::write(
                    folder.join(format!("{}.pid", part.role)),
                    format!("{}\n", part.pid),
                )?;
            }
            let draft = folder.join(".instance.json");
            fs::write(&draft, serde_json::to_string_pretty(self)?)?;
            fs::rename(draft, folder.join(RECORD))
        };
        write().with_context(|| format!("{} cannot be written", folder.display()))
    }

    /// Whether all of its processes live and answer.
    pub(crate) fn is_healthy(&self) -> bool {
        self.parts.iter().all(|part| part.health() == Health::Healthy)
    }

    /// Ends its processes, the emulator first, and removes its record. Its logs stay until it is started again.
    pub(crate) fn stop(&self, layout: &Layout) -> Result<String> {
        let _held = Lock::take(layout, &self.name)?;
        self.stop_held(layout)
    }

    /// As `stop`, for a caller that holds the lock of the instance.
    pub(crate) fn stop_held(&self, layout: &Layout) -> Result<String> {
        let mut ends = Vec::new();
        let mut failed = None;
        for part in &self.parts {
            match part.stop() {
                Ok(how) => ends.push(format!("{} (pid {}) {how}", part.role, part.pid)),
                // The others are still ended.
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error.context(format!("instance `{}` is not fully stopped", self.name)));
        }
        let folder = layout.instance(&self.name);
        for file in self
            .parts
            .iter()
            .map(|p| format!("{}.pid", p.role))
            .chain([RECORD.to_owned()])
        {
            match fs::remove_file(folder.join(&file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error)
                        .with_context(|| format!("{} cannot be removed", folder.join(&file).display()));
                }
                _ => {}
            }
        }
        Ok(ends.join(", "))
    }

    /// What `--json` prints.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "name": self.name,
            "emulator": self.kind.name(),
            "version": self.kind.version(),
            "pid": self.parts.first().map(|p| p.pid),
            "port": self.parts.first().map(|p| p.port),
            "healthy": self.is_healthy(),
            "helpers": self.parts.iter().skip(1)
                .map(|p| serde_json::json!({ "role": p.role, "pid": p.pid, "port": p.port }))
                .collect::<Vec<_>>(),
            "env": self.env,
        })
    }
}

/// A name is a folder: letters, digits, `-` and `_`.
pub(crate) fn parse_name(text: &str) -> Result<String, String> {
    let good = (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if good {
        Ok(text.to_owned())
    } else {
        Err("a name is 1 to 64 letters, digits, `-` or `_`".to_owned())
    }
}

/// A lock between several xtasks on one instance or environment; the system frees it when xtask ends.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held open, never read")] File);

impl Lock {
    /// Longer than the longest install.
    const PATIENCE: Duration = Duration::from_secs(20 * 60);

    /// Waits until no other xtask holds it.
    pub(crate) fn take(layout: &Layout, what: &str) -> Result<Self> {
        Self::take_within(&layout.lock(what), Self::PATIENCE)
    }

    fn take_within(path: &Path, limit: Duration) -> Result<Self> {
        let open = || -> io::Result<File> {
            fs::create_dir_all(path.parent().unwrap_or(path))?;
            File::options().create(true).append(true).open(path)
        };
        let file = open().with_context(|| format!("{} cannot be written", path.display()))?;
        let deadline = Instant::now() + limit;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("{} cannot be locked", path.display()));
                }
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    bail!(
                        "{} is held by another `cargo xtask`: wait for it or end it",
                        path.display()
                    )
                }
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        eprintln!("waits for another `cargo xtask` that holds {}", path.display());
                        told = true;
                    }
                    pause(Duration::from_millis(100));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_folder() {
        assert_eq!(parse_name("t1-a_B"), Ok("t1-a_B".to_owned()));
        for bad in ["", "..", "a/b", "a b", ".x", &"x".repeat(65)] {
            assert!(parse_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_record_comes_back_and_a_stop_removes_it() {
        let root = std::env::temp_dir().join(format!("xtask-instance-{}", std::process::id()));
        let layout = Layout::at(&root);
        let gone = Running {
            role: "moto".into(),
            pid: u32::MAX / 2,
            started: "1".into(),
            program: "python".into(),
            args: vec![],
            port: 1,
            health: "/".into(),
            group: true,
        };
        let env = BTreeMap::from([("AWS_REGION".to_owned(), "us-east-1".to_owned())]);
        let made = Instance {
            name: "t1".into(),
            kind: Kind::Moto,
            parts: vec![gone],
            env,
        };
        made.save(&layout).expect("saved");
        let all = Instance::all(&layout).expect("read");
        assert_eq!(all.len(), 1);
        assert_eq!((&all[0].parts, &all[0].env), (&made.parts, &made.env));
        assert!(!all[0].is_healthy());
        assert!(all[0].stop(&layout).expect("stopped").contains("was not running"));
        assert!(Instance::load(&layout, "t1").expect("read").is_none());
        fs::remove_dir_all(root).expect("removed");
    }

    #[test]
    fn a_lock_keeps_others_out_until_it_is_dropped() {
        let path = std::env::temp_dir().join(format!("xtask-lock-{}", std::process::id()));
        let held = Lock::take_within(&path, Duration::ZERO).expect("free");
        let error = Lock::take_within(&path, Duration::ZERO)
            .expect_err("held")
            .to_string();
        assert!(error.contains("another `cargo xtask`"), "{error}");
        drop(held);
        Lock::take_within(&path, Duration::ZERO).expect("free again");
        fs::remove_file(path).expect("removed");
    }
}
