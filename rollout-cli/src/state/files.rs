//! Files that are whole or not there.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Writes what is to become a file beside it, and has it on the disk when it returns.
///
/// # Errors
/// As the file system's; nothing is left then.
pub(crate) fn draft(file: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let draft = file.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let write = || {
        // What a process of this number left there is nobody's.
        let mut open = File::create(&draft)?;
        open.write_all(bytes)?;
        open.sync_all()
    };
    match write() {
        Ok(()) => Ok(draft),
        Err(error) => {
            let _ = fs::remove_file(&draft);
            Err(error)
        }
    }
}

/// Puts a file in the place of the one that is there: whatever dies in between, the old one is there or the new one.
///
/// # Errors
/// As the file system's; the old one is there then, or the new one.
pub(crate) fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = draft(file, bytes)?;
    if let Err(error) = fs::rename(&draft, file) {
        let _ = fs::remove_file(&draft);
        return Err(error);
    }
    // The name must survive, too. Elsewhere a directory cannot be opened as a file.
    #[cfg(unix)]
    if let Some(parent) = file.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("a.json");
        for text in ["one", "two, and longer"] {
            replace(&file, text.as_bytes()).expect("writable");
            assert_eq!(fs::read_to_string(&file).expect("it is there"), text);
        }
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1);
    }

    #[test]
    fn what_cannot_be_replaced_stays_and_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let taken = dir.path().join("folder");
        fs::create_dir_all(taken.join("full")).expect("writable");
        replace(&taken, b"x").expect_err("a folder is in its place");
        assert!(taken.join("full").exists());
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1);
        replace(&dir.path().join("none/a.json"), b"x").expect_err("no folder");
    }
}
