//! Bad files and exactly what is said of them: `bad/NAME.toml` and `bad/NAME.expected`.
//!
//! After a change on purpose, `UPDATE_EXPECTED=1 cargo test -p rollout-cli` writes the new texts; read their diff.

use std::path::{Path, PathBuf};

use super::*;

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests")
}

/// What is said of a file, with paths as a user in its directory would see them.
fn said_of(file: &Path) -> String {
    let text = std::fs::read_to_string(file).expect("it was listed");
    match Config::parse(file, &text) {
        Ok(_) => "nothing\n".to_owned(),
        Err(invalid) => {
            let dir = format!("{}/", here().join("bad").display());
            invalid.to_string().replace(&dir, "")
        }
    }
}

#[test]
fn every_bad_file_is_explained() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(here().join("bad"))
        .expect("the directory is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 20, "{files:?}");
    let mut wrong = String::new();
    for file in files {
        let expected = file.with_extension("expected");
        let said = said_of(&file);
        assert_ne!(said, "nothing\n", "{} is not bad", file.display());
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(&expected, &said).expect("writable");
            continue;
        }
        let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
        if said != wanted {
            wrong.push_str(&format!(
                "{}:\n--- wanted\n{wanted}--- said\n{said}\n",
                file.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_storefront_is_right() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/storefront/rollout.toml");
    let config = Config::load(&file).unwrap_or_else(|invalid| panic!("{invalid}"));
    assert_eq!(config.release.as_deref(), Some("2.4.0"));
    assert_eq!(config.services.len(), 3);
    let backend = &config.services[0];
    assert_eq!(
        backend.name_in(&config.promotion.from).as_str(),
        "backend-staging"
    );
    assert_eq!(backend.name_in(&config.promotion.to).as_str(), "backend");
    assert_eq!(backend.gates[0].probes.len(), 4);
    assert_eq!(
        config.target().registry,
        "444455556666.dkr.ecr.eu-central-1.amazonaws.com"
    );
    assert_eq!(config.source().account, "111122223333");
}

#[test]
fn a_file_that_is_not_there_says_how_to_name_one() {
    let invalid = Config::load(Path::new("no/such/rollout.toml")).expect_err("it is not there");
    let text = invalid.to_string();
    assert!(
        text.contains("no/such/rollout.toml") && text.contains("--config"),
        "{text}"
    );
}

#[test]
fn the_example_of_the_documentation_is_right() {
    let doc = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let text = std::fs::read_to_string(doc).expect("the documentation is there");
    let full = text
        .split("<!-- full example -->")
        .nth(1)
        .and_then(|rest| rest.split("```toml\n").nth(1))
        .and_then(|rest| rest.split("```").next())
        .expect("the documentation has a full example");
    let as_if = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/storefront/full.toml");
    Config::parse(&as_if, full).unwrap_or_else(|invalid| panic!("{invalid}"));
}
