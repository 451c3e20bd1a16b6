//! Bad files and exactly what is said of them: `bad/NAME.toml` and `bad/NAME.expected`.
//!
//! `overlays/NAME.toml` are overlays of the storefront, in the same way.
//!
//! After a change on purpose, `UPDATE_EXPECTED=1 cargo test -p rollout-cli` writes the new texts; read their diff.

use std::path::{Path, PathBuf};

use super::*;

mod corpus;

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests")
}

/// What is said of a file, with paths as a user in its directory would see them.
fn said_of(file: &Path) -> String {
    let text = std::fs::read_to_string(file).expect("it was listed");
    match Config::parse(vec![Source::new(file, text)]) {
        Ok(_) => "nothing\n".to_owned(),
        Err(invalid) => {
            let dir = format!("{}/", here().join("bad").display());
            invalid.to_string().replace(&dir, "")
        }
    }
}

/// What is said of an overlay of the storefront.
fn said_of_overlay(file: &Path) -> String {
    match Config::load(&storefront(), &[file.to_path_buf()]) {
        Ok(_) => "nothing\n".to_owned(),
        Err(invalid) => {
            let text = invalid.to_string();
            let text = text.replace(&format!("{}/", here().join("overlays").display()), "");
            text.replace(&storefront().display().to_string(), "rollout.toml")
        }
    }
}

fn storefront() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/storefront/rollout.toml")
}

fn assert_explained(folder: &str, least: usize, said_of: fn(&Path) -> String) {
    let mut files: Vec<PathBuf> = std::fs::read_dir(here().join(folder))
        .expect("the directory is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= least, "{files:?}");
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
fn every_bad_file_is_explained() {
    assert_explained("bad", 20, said_of);
}

#[test]
fn every_bad_overlay_is_explained() {
    assert_explained("overlays", 4, said_of_overlay);
}

/// The storefront with these texts laid over it.
fn laid(overlays: &[&str]) -> Config {
    let text = std::fs::read_to_string(storefront()).expect("it is there");
    let over = overlays
        .iter()
        .enumerate()
        .map(|(n, text)| Source::new(format!("{n}.toml"), *text));
    let sources = core::iter::once(Source::new(storefront(), text)).chain(over);
    Config::parse(sources.collect()).unwrap_or_else(|invalid| panic!("{invalid}"))
}

#[test]
fn an_environment_knows_where_it_is_declared() {
    let config = laid(&["environments.production.cluster = \"another\"\n"]);
    for (environment, table) in [
        (config.source(), "[environments.staging]"),
        (config.target(), "[environments.production]"),
    ] {
        let (file, line) = &environment.declared;
        let text = std::fs::read_to_string(file).expect("it is there");
        let found = text.lines().nth(line - 1);
        assert_eq!(
            found.map(str::trim_end),
            Some(table),
            "an overlay changes it only"
        );
    }
}

#[test]
fn an_overlay_changes_what_it_names_and_nothing_else() {
    let base = laid(&[]);
    let config = laid(&[r#"
        promotion.soak = "0s"
        environments.production = { account = "999999999999", allow_addresses = ["127.0.0.0/8"] }
        [[services]]
        name = "backend"
        deployment.poll = "1s"
        [[services.gates]]
        name = "healthy"
        bake = "2s"
        [[services.gates.probes]]
        name = "errors"
        alarms = ["one"]
        [[services.gates.probes]]
        name = "ready"
        http.url = "http://127.0.0.1:1/"
        [[dns]]
        name = "api.storefront.example.com"
        type = "CNAME"
        ttl = 30
        "#]);
    assert_eq!(config.promotion.soak, Duration::ZERO);
    assert_eq!(config.promotion.services_at_once, base.promotion.services_at_once);
    assert_eq!(config.target().account, "999999999999");
    assert_eq!(config.target().caller, base.target().caller);
    assert_eq!(config.target().allow_addresses.len(), 1);
    assert_eq!(config.source().account, base.source().account);
    let (now, before) = (&config.services[0], &base.services[0]);
    assert_eq!(now.deployment.poll_every, Duration::from_secs(1));
    assert_eq!(now.deployment.give_up, before.deployment.give_up);
    let (gate, old) = (&now.gates[0], &before.gates[0]);
    assert_eq!(gate.bake, Duration::from_secs(2));
    assert_eq!((gate.warm_up, gate.probes.len()), (old.warm_up, old.probes.len()));
    for (probe, old) in gate.probes.iter().zip(&old.probes) {
        use rollout_core::probe::ProbeTarget;
        match (probe.name.as_str(), &probe.target, &old.target) {
            ("errors", ProbeTarget::Alarms { names }, _) => {
                assert_eq!(names, &["one"], "a plain list is replaced")
            }
            ("ready", ProbeTarget::Http(now), ProbeTarget::Http(old)) => {
                assert_eq!(now.url, "http://127.0.0.1:1/");
                assert_eq!(
                    (&now.body_contains, now.latency),
                    (&old.body_contains, old.latency)
                );
            }
            _ => assert_eq!(probe, old),
        }
    }
    assert_eq!(config.services[1].gates, base.services[1].gates);
    assert_eq!(config.dns.len(), 1);
    assert_eq!(config.dns[0].zone, base.dns[0].zone);
    assert_eq!(
        config.dns[0].data.to_string().replace("30", "300"),
        base.dns[0].data.to_string()
    );
    assert_eq!(config.overlays, [Path::new("0.toml")]);
}

#[test]
fn the_last_overlay_has_the_last_word() {
    let config = laid(&[
        "release = \"1\"\n[promotion]\nsoak = \"1s\"",
        "\u{feff}release = \"2\"\n",
    ]);
    assert_eq!(config.release.as_deref(), Some("2"));
    assert_eq!(config.promotion.soak, Duration::from_secs(1));
}

#[test]
fn each_fault_is_told_in_its_own_file() {
    let sources = ["a = 1\nb = \"", "c = 1\nd = \"", "e ="]
        .iter()
        .enumerate()
        .map(|(n, text)| Source::new(format!("{n}.toml"), *text));
    let invalid = Config::parse(sources.collect()).expect_err("none of them is TOML");
    let places: Vec<String> = invalid
        .0
        .iter()
        .map(|fault| {
            let place = fault.place().expect("a place");
            format!("{}:{}:{}", fault.source.path.display(), place.line, place.column)
        })
        .collect();
    for (n, place) in ["0.toml:2:", "1.toml:2:", "2.toml:1:"].iter().enumerate() {
        assert!(places[n].starts_with(place), "{places:?}");
    }
}

#[test]
fn an_overlay_that_is_not_there_says_who_named_it() {
    let missing = PathBuf::from("no/such/overlay.toml");
    let invalid = Config::load(&storefront(), &[missing]).expect_err("it is not there");
    let text = invalid.to_string();
    assert!(
        text.contains("no/such/overlay.toml") && text.contains("--overlay"),
        "{text}"
    );
}

#[test]
fn the_storefront_is_right() {
    let config = Config::load(&storefront(), &[]).unwrap_or_else(|invalid| panic!("{invalid}"));
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
    let invalid = Config::load(Path::new("no/such/rollout.toml"), &[]).expect_err("it is not there");
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
    Config::parse(vec![Source::new(as_if, full)]).unwrap_or_else(|invalid| panic!("{invalid}"));
}

#[test]
fn a_window_is_read_in_its_own_offset() {
    let config = laid(&[r#"
        [promotion.window]
        open = ["Mon-Thu 09:00-16:00", "Fri 09:00-12:00"]
        offset = "+01:00"
        freeze = [{ from = 2026-12-18T18:00:00, until = 2027-01-04, why = "the sale" }]
    "#]);
    let window = config.promotion.window.expect("it was written");
    let hours: Vec<String> = window.open.iter().map(ToString::to_string).collect();
    assert_eq!(hours, ["Mon-Thu 09:00-16:00", "Fri 09:00-12:00"]);
    assert_eq!(window.offset.minutes(), 60);
    let [freeze] = window.freezes.as_slice() else {
        panic!("one freeze: {window:?}")
    };
    assert_eq!(freeze.from.to_string(), "2026-12-18T17:00:00.000Z");
    assert_eq!(freeze.until.to_string(), "2027-01-03T23:00:00.000Z");
    assert_eq!(freeze.why.as_deref(), Some("the sale"));
    assert!(laid(&[]).promotion.window.is_none());
}
