//! Secrets by themselves, and tasks that want them.

use core::time::Duration;

use proptest::prelude::*;
use rollout_core::evidence::Cause;
use serde_json::{Value, json};

use super::*;
use crate::behaviour::Start;
use crate::parameter::{Kind, Written};
use crate::testkit::{Bench, world};
use crate::{BuildError, World};

const ME: Place<'static> = ("111111111111", "eu-central-1");
const CANARY: &str = "hunter2-canary";

fn kernel() -> Kernel {
    Kernel::new(7, Timestamp::from_millis(1_767_603_600_000))
}

fn text(text: &str) -> Held {
    Held::Text(text.to_owned())
}

fn new(name: &str, token: Option<&str>, value: Option<&str>) -> New {
    New {
        name: name.to_owned(),
        description: None,
        key: None,
        tags: Vec::new(),
        token: token.map(str::to_owned),
        value: value.map(text),
    }
}

fn token(n: u8) -> String {
    format!("{n:032}")
}

/// One secret with one version.
fn one() -> (Secrets, Kernel) {
    let (mut secrets, mut k) = (Secrets::default(), kernel());
    let made = secrets.create(&mut k, ME, new("shop/db", Some(&token(1)), Some("one")));
    assert_eq!(made.map(|(_, is_new)| is_new), Ok(true));
    (secrets, k)
}

fn put(
    secrets: &mut Secrets,
    k: &mut Kernel,
    n: u8,
    value: &str,
    stages: &[&str],
) -> Result<Vec<String>, Refused> {
    let stages = stages.iter().map(|s| (*s).to_owned()).collect();
    let put = secrets.put(k, (ME, "shop/db"), Some(token(n)), text(value), stages);
    put.map(|(_, version, _)| version.stages.clone())
}

#[test]
fn a_secret_is_found_by_name_and_by_whole_and_partial_arn() {
    let (secrets, k) = one();
    let held = secrets.find(k.now, ME, "shop/db").expect("by name").clone();
    assert!(
        held.arn
            .starts_with("arn:aws:secretsmanager:eu-central-1:111111111111:secret:shop/db-")
    );
    let letters = held.arn.rsplit('-').next().expect("the last part");
    assert!(
        letters.len() == 6 && letters.bytes().all(|b| b.is_ascii_alphanumeric()),
        "{letters}"
    );
    let partial = "arn:aws:secretsmanager:eu-central-1:111111111111:secret:shop/db";
    for id in [held.arn.as_str(), partial] {
        assert_eq!(secrets.find(k.now, ME, id), Ok(&held), "{id}");
    }
    let half = &held.arn[..held.arn.len() - 1];
    for id in ["shop", "shop/db-", half, ""] {
        assert_eq!(secrets.find(k.now, ME, id), Err(Refused::NoSecret), "{id}");
    }
    // Another account and another region have their own.
    for place in [("222222222222", ME.1), (ME.0, "eu-west-1")] {
        assert_eq!(secrets.find(k.now, place, &held.arn), Err(Refused::NoSecret));
    }
}

#[test]
fn a_name_ending_like_an_arn_is_found_before_a_partial_arn() {
    let (mut secrets, mut k) = one();
    let first = secrets.find(k.now, ME, "shop/db").expect("made").arn.clone();
    // Its name is the first one's with its letters: its partial ARN is the first one's whole ARN.
    let name = first.rsplit(':').next().expect("a name").to_owned();
    secrets
        .create(&mut k, ME, new(&name, None, Some("two")))
        .expect("another name");
    assert_eq!(
        secrets.find(k.now, ME, &first).map(|s| s.name.as_str()),
        Ok("shop/db")
    );
}

#[test]
fn creating_again_needs_the_same_token_and_value() {
    let (mut secrets, mut k) = one();
    let before = secrets.clone();
    let again = secrets.create(&mut k, ME, new("shop/db", Some(&token(1)), Some("one")));
    assert_eq!(again.map(|(_, is_new)| is_new), Ok(false));
    for (token, value) in [
        (token(1), Some("other")),
        (token(2), Some("one")),
        (token(1), None),
    ] {
        let refused = secrets.create(&mut k, ME, new("shop/db", Some(&token), value));
        assert_eq!(refused.map(|_| ()), Err(Refused::Exists("shop/db".to_owned())));
    }
    assert_eq!(secrets, before);
}

#[test]
fn names_tokens_and_values_have_bounds() {
    let (mut secrets, mut k) = one();
    let before = secrets.clone();
    let long = "x".repeat(513);
    for name in ["", "a b", "a:b", "ä", long.as_str()] {
        let refused = secrets.create(&mut k, ME, new(name, None, None));
        assert_eq!(refused.map(|_| ()), Err(Refused::Name), "{name}");
    }
    let big = "x".repeat(65_537);
    for (token, value, code) in [
        ("x".repeat(31), "v", "InvalidParameterException"),
        ("x".repeat(65), "v", "InvalidParameterException"),
        (token(3), big.as_str(), "InvalidParameterException"),
        (token(3), "", "InvalidRequestException"),
    ] {
        let made = secrets.create(&mut k, ME, new("n", Some(&token), Some(value)));
        assert_eq!(made.map(|_| ()).map_err(|r| r.code()), Err(code));
        let made = secrets.put(&mut k, (ME, "shop/db"), Some(token), text(value), Vec::new());
        assert_eq!(made.map(|_| ()).map_err(|r| r.code()), Err(code));
    }
    assert_eq!(secrets, before);
}

#[test]
fn labels_move_with_new_versions() {
    let (mut secrets, mut k) = one();
    let read = |secrets: &mut Secrets, stage: Option<&str>, id: Option<&str>| {
        let read = secrets.value(kernel().now, (ME, "shop/db"), stage, id);
        read.map(|(_, version)| version.value.clone())
    };
    assert_eq!(
        put(&mut secrets, &mut k, 2, "two", &[]),
        Ok(vec![CURRENT.to_owned()])
    );
    assert_eq!(read(&mut secrets, None, None), Ok(text("two")));
    assert_eq!(read(&mut secrets, Some(PREVIOUS), None), Ok(text("one")));
    // A version that waits does not move what is current.
    assert_eq!(
        put(&mut secrets, &mut k, 3, "three", &["AWSPENDING"]),
        Ok(vec!["AWSPENDING".to_owned()])
    );
    assert_eq!(read(&mut secrets, None, None), Ok(text("two")));
    assert_eq!(read(&mut secrets, Some("AWSPENDING"), None), Ok(text("three")));
    assert_eq!(
        put(&mut secrets, &mut k, 4, "four", &[CURRENT, "mine"]).map(|s| s.len()),
        Ok(2)
    );
    assert_eq!(read(&mut secrets, Some(PREVIOUS), None), Ok(text("two")));
    // The first one has no label left and is still there by its id.
    assert_eq!(read(&mut secrets, None, Some(&token(1))), Ok(text("one")));
    assert_eq!(
        read(&mut secrets, Some(CURRENT), Some(&token(1))),
        Err(Refused::OtherStage)
    );
    assert_eq!(
        read(&mut secrets, Some("other"), None),
        Err(Refused::NoStage("other".to_owned()))
    );
    assert_eq!(
        read(&mut secrets, None, Some(&token(9))),
        Err(Refused::NoVersion(token(9)))
    );
    // Again by the same token: nothing changes, or it is refused.
    let before = secrets.clone();
    let stages = vec![CURRENT.to_owned(), "mine".to_owned()];
    assert_eq!(put(&mut secrets, &mut k, 4, "four", &[CURRENT]), Ok(stages));
    let refused = put(&mut secrets, &mut k, 4, "five", &[]).expect_err("another value");
    assert_eq!(refused.code(), "ResourceExistsException");
    assert_eq!(secrets, before);
}

#[test]
fn a_first_version_is_current_whatever_it_is_labelled() {
    let (mut secrets, mut k) = (Secrets::default(), kernel());
    secrets
        .create(&mut k, ME, new("shop/db", None, None))
        .expect("a new name");
    let read = secrets.value(k.now, (ME, "shop/db"), None, None).map(|_| ());
    assert_eq!(read, Err(Refused::NoStage(CURRENT.to_owned())));
    let stages = put(&mut secrets, &mut k, 1, "one", &["AWSPENDING"]);
    assert_eq!(stages, Ok(vec![CURRENT.to_owned(), "AWSPENDING".to_owned()]));
}

#[test]
fn what_is_deleted_can_be_restored_until_its_window_ends() {
    let (mut secrets, mut k) = one();
    for days in [0, 6, 31] {
        let refused = secrets.delete(k.now, ME, "shop/db", Some(days)).map(|_| ());
        assert_eq!(refused.map_err(|r| r.code()), Err("InvalidParameterException"));
    }
    secrets
        .delete(k.now, ME, "shop/db", Some(7))
        .expect("it is there");
    let read = secrets.value(k.now, (ME, "shop/db"), None, None).map(|_| ());
    assert_eq!(read, Err(Refused::Marked));
    assert_eq!(put(&mut secrets, &mut k, 2, "two", &[]), Err(Refused::Marked));
    assert_eq!(
        secrets.delete(k.now, ME, "shop/db", None).map(|_| ()),
        Err(Refused::Marked)
    );
    let made = secrets
        .create(&mut k, ME, new("shop/db", Some(&token(1)), Some("one")))
        .map(|_| ());
    assert_eq!(made, Err(Refused::NameMarked));
    assert!(secrets.find(k.now, ME, "shop/db").is_ok(), "it can be described");
    assert_eq!(
        secrets.restore(k.now, ME, "shop/db").map(|(_, was)| was),
        Ok(true)
    );
    assert_eq!(
        secrets.restore(k.now, ME, "shop/db").map(|(_, was)| was),
        Ok(false)
    );
    assert!(secrets.value(k.now, (ME, "shop/db"), None, None).is_ok());
    // At the end of the window it is gone, and its name is free.
    secrets.delete(k.now, ME, "shop/db", None).expect("it is there");
    k.now = plus(k.now, 30 * DAY - 1);
    assert!(secrets.find(k.now, ME, "shop/db").is_ok());
    k.now = plus(k.now, 1);
    assert_eq!(
        secrets.restore(k.now, ME, "shop/db").map(|_| ()),
        Err(Refused::NoSecret)
    );
    let made = secrets.create(&mut k, ME, new("shop/db", None, Some("one")));
    assert_eq!(made.map(|(_, is_new)| is_new), Ok(true));
    assert_eq!(secrets.held.len(), 1, "what is gone is not kept");
    assert_eq!(secrets.of(k.now, ME).count(), 1);
}

#[test]
fn a_forced_deletion_takes_a_moment_and_cannot_be_undone() {
    let (mut secrets, mut k) = one();
    secrets.delete(k.now, ME, "shop/db", None).expect("it is there");
    secrets.purge(&mut k, ME, "shop/db").expect("marked ones, too");
    let ends = secrets.held[0].deletion.expect("deleted").ends;
    assert_eq!(
        secrets.restore(k.now, ME, "shop/db").map(|_| ()),
        Err(Refused::NoSecret)
    );
    let made = secrets.create(&mut k, ME, new("shop/db", None, None)).map(|_| ());
    assert_eq!(made, Err(Refused::NameMarked));
    k.now = plus(k.now, 1);
    secrets.purge(&mut k, ME, "shop/db").expect("again");
    assert_eq!(
        secrets.held[0].deletion.map(|d| d.ends),
        Some(ends),
        "again changes nothing"
    );
    k.now = ends;
    assert_eq!(secrets.find(k.now, ME, "shop/db"), Err(Refused::NoSecret));
}

#[test]
fn a_reference_names_what_it_wants() {
    let read = |text| Reference::read(text).map(|r| (r.arn, r.name, r.key, r.stage, r.version));
    let arn = "arn:aws:secretsmanager:eu-central-1:111111111111:secret:a/b-AbCdEf";
    assert_eq!(read(arn), Some((arn, "a/b-AbCdEf", None, None, None)));
    let given = format!("{arn}:user::");
    assert_eq!(read(&given), Some((arn, "a/b-AbCdEf", Some("user"), None, None)));
    let given = format!("{arn}::AWSPREVIOUS:v1");
    assert_eq!(
        read(&given),
        Some((arn, "a/b-AbCdEf", None, Some(PREVIOUS), Some("v1")))
    );
    for other in [
        "arn:aws:ssm:eu-central-1:111111111111:parameter/x",
        "x",
        "",
        "arn:aws:secretsmanager:eu-central-1:111111111111:secret:",
        "arn:aws:secretsmanager:eu-central-1:111111111111",
    ] {
        assert_eq!(read(other), None, "{other}");
    }
}

/// A service, a secret, and a release whose container wants `value_from`: what became of its tasks.
fn release(value_from: &str, change: impl FnOnce(&mut World)) -> Result<(), String> {
    let bench = Bench::new(world(25, Start::Ok));
    bench.cloud.with(|w| {
        let value = text(&json!({ "user": CANARY }).to_string());
        let now = w.now();
        w.secrets
            .describe(now, ME, ("shop/db", Some("AbCdEf")), value)
            .expect("a name");
        w.parameters
            .put(now, ME, Written::secure("/shop/key", CANARY))
            .expect("a name");
        change(w);
    });
    let mut spec = bench.spec("2");
    let secrets = json!([{ "name": "DB", "valueFrom": value_from }]);
    spec.template["containerDefinitions"][0]["secrets"] = secrets;
    let assumes = bench.see().primary().map(|d| d.id.clone());
    let started = bench
        .update_to(bench.ensure(&spec), assumes)
        .expect("nobody else deploys");
    let seen = bench.until("the release goes on", |s| {
        let d = s.deployment(&started.deployment);
        d.is_some_and(|d| d.running == 3) || s.stopped.iter().any(|t| t.cause.is_some())
    });
    let shown = format!("{seen:?} {:?}", bench.cloud.with(|w| w.clone()));
    assert!(!shown.contains(CANARY), "a value shows");
    match seen.stopped.iter().find(|t| t.cause.is_some()) {
        None => Ok(()),
        Some(task) => {
            assert_eq!(task.cause, Some(Cause::ResourceInitialization));
            assert_eq!(task.code.as_deref(), Some("TaskFailedToStart"));
            Err(task.reason.clone())
        }
    }
}

const ARN: &str = "arn:aws:secretsmanager:eu-central-1:111111111111:secret:shop/db-AbCdEf";

#[test]
fn a_task_starts_with_the_secrets_that_are_there() {
    let partial = ARN.trim_end_matches("-AbCdEf");
    for value_from in [
        ARN.to_owned(),
        partial.to_owned(),
        format!("{ARN}:user::"),
        format!("{ARN}:user:AWSCURRENT:"),
        "/shop/key".to_owned(),
        "/shop/key:1".to_owned(),
        "arn:aws:ssm:eu-central-1:111111111111:parameter/shop/key".to_owned(),
        // What is in no account of the world is taken to be there.
        "arn:aws:ssm:eu-central-1:999999999999:parameter/x".to_owned(),
        "arn:aws:secretsmanager:eu-central-1:999999999999:secret:other-AbCdEf".to_owned(),
    ] {
        assert_eq!(release(&value_from, |_| ()), Ok(()), "{value_from}");
    }
}

#[test]
fn a_task_without_its_secret_does_not_start_and_says_why() {
    let begin = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: \
                 unable to retrieve secret from asm: service call has been retried 1 time(s):";
    let failed =
        |arn: &str, why: &str| format!("{begin} failed to fetch secret {arn} from secrets manager: {why}");
    let other = "arn:aws:secretsmanager:eu-central-1:111111111111:secret:shop/cache-AbCdEf";
    let missing = "ResourceNotFoundException: Secrets Manager can't find the specified secret.";
    assert_eq!(release(other, |_| ()), Err(failed(other, missing)));
    let marked = "InvalidRequestException: You can't perform this operation on the secret because it was marked for deletion.";
    let deleted = release(ARN, |w| w.delete_secret("prod", "shop/db").expect("it is there"));
    assert_eq!(deleted, Err(failed(ARN, marked)));
    let stage = "ResourceNotFoundException: Secrets Manager can't find the specified secret value for staging label: \
                 AWSPREVIOUS";
    assert_eq!(
        release(&format!("{ARN}::AWSPREVIOUS:"), |_| ()),
        Err(failed(ARN, stage))
    );
    assert_eq!(
        release(&format!("{ARN}:password::"), |_| ()),
        Err(format!(
            "{begin} retrieved secret from Secrets Manager did not contain json key password"
        ))
    );
}

#[test]
fn a_task_without_its_parameter_does_not_start_and_says_why() {
    let failed = |name: &str| {
        let begin = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: \
                     unable to retrieve secrets from ssm: service call has been retried 1 time(s):";
        Err(format!("{begin} invalid ssm parameters: {name}"))
    };
    assert_eq!(release("/shop/other", |_| ()), failed("/shop/other"));
    assert_eq!(release("/shop/key:2", |_| ()), failed("/shop/key:2"));
    let arn = "arn:aws:ssm:eu-central-1:111111111111:parameter/shop/key";
    let deleted = release(arn, |w| {
        w.delete_parameter("prod", "/shop/key").expect("it is there")
    });
    assert_eq!(deleted, failed("/shop/key"));
}

#[test]
fn a_described_world_has_the_parameters_that_its_services_name() {
    let template = |named: &str| {
        json!({ "family": "api", "containerDefinitions": [{
            "name": "api", "essential": true, "image": "app/api:1", "secrets": [{ "name": "A", "valueFrom": named }],
        }] })
    };
    let built = |described: &[(&str, &str)]| {
        let built = World::builder(7).environment("prod", |e| {
            let e = e.secrets_of(&template("/shop/a")).secrets_of(&template("flag"));
            let all = described.iter();
            all.fold(e, |e, (name, value)| e.parameter(name, value))
        });
        built.build()
    };
    let held = |world: &World, name: &str| {
        let found = world.parameters.find(ME, name).expect("it is there");
        (found.kind, found.value(None).expect("a value").1.clone())
    };
    let given = built(&[("/shop/a", CANARY)]).expect("a world");
    assert_eq!(held(&given, "/shop/a"), (Kind::SecureString, text(CANARY)));
    assert_eq!(held(&given, "flag"), (Kind::SecureString, text("simulated")));
    assert!(!format!("{given:?}").contains(CANARY));
    let twice = built(&[("x", "1"), ("x", "1")]).expect_err("twice");
    assert!(matches!(twice, BuildError::Twice { .. }), "{twice}");
    let wrong = built(&[("a b", CANARY)]).expect_err("no name");
    assert!(matches!(wrong, BuildError::Parameter { .. }), "{wrong}");
    // What was described goes on in a stored world.
    let stored = serde_json::to_string(&given).expect("plain data");
    let again: World = serde_json::from_str(&stored).expect("plain data");
    assert_eq!(held(&again, "/shop/a"), held(&given, "/shop/a"));
    // One of before there were parameters goes on as it did: tasks got whatever they named.
    let mut before: Value = serde_json::from_str(&stored).expect("plain data");
    before.as_object_mut().expect("an object").remove("parameters");
    let before: World = serde_json::from_value(before).expect("it is read");
    let named = crate::parameter::Reference::read("/shop/a", ME).expect("it is one");
    assert!(before.parameters.is_granted(&named) && !given.parameters.is_granted(&named));
}

#[test]
fn a_described_world_has_what_its_services_name() {
    let image = "111111111111.dkr.ecr.eu-central-1.amazonaws.com/app/api:1";
    let template = json!({ "family": "api", "containerDefinitions": [{
        "name": "api", "essential": true, "image": image,
        "secrets": [{ "name": "A", "valueFrom": ARN }, { "name": "B", "valueFrom": format!("{ARN}:user::") }],
    }] });
    let built = |described: Option<(&str, &str)>| {
        let built = World::builder(7).environment("prod", |e| {
            let e = described
                .into_iter()
                .fold(e, |e, (name, value)| e.secret(name, value));
            e.image("app/api", "1").service("api", |s| {
                s.container("api", "app/api", "1")
                    .task_definition(template.clone())
            })
        });
        built.build()
    };
    let held = |world: &World| {
        let found = world
            .secrets
            .find(world.now(), ME, ARN)
            .map(|s| s.versions[0].value.clone());
        found.expect("it is there")
    };
    let plain = built(None).expect("a world");
    assert_eq!(held(&plain), text(r#"{"user":"simulated"}"#));
    let given = built(Some((ARN, CANARY))).expect("a world");
    assert_eq!(held(&given), text(CANARY));
    assert!(!format!("{given:?}").contains(CANARY));
    let job = World::builder(7)
        .environment("prod", |e| e.secrets_of(&template))
        .build();
    assert_eq!(held(&job.expect("a world")), text(r#"{"user":"simulated"}"#));
    let by_name = built(Some(("other", CANARY))).expect("a world");
    assert!(by_name.secrets.find(by_name.now(), ME, "other").is_ok());
    for wrong in ["a b", "", "arn:aws:secretsmanager:x", "arn:aws:s3:::x"] {
        let refused = built(Some((wrong, CANARY))).expect_err("no name");
        assert_eq!(refused, BuildError::Secret(wrong.to_owned()));
    }
    // What was described goes on in a stored world.
    let stored = serde_json::to_string(&given).expect("plain data");
    let mut again: World = serde_json::from_str(&stored).expect("plain data");
    assert_eq!(held(&again), text(CANARY));
    again.pass(Duration::from_secs(3_600));
    assert_eq!(again.service("prod", "api").expect("a service").running, 1);
}

proptest! {
    /// Whatever is put: no label is on two versions, and one version is current from the first on.
    #[test]
    fn a_label_is_on_one_version(steps in prop::collection::vec((1_u8..9, 0_usize..4, 0_u8..3), 1..40)) {
        let (mut secrets, mut k) = one();
        const LABELS: [&[&str]; 4] = [&[], &[CURRENT], &["AWSPENDING"], &[PREVIOUS, "mine"]];
        for (token, labels, value) in steps {
            let before = secrets.clone();
            let value = format!("v{value}");
            if put(&mut secrets, &mut k, token, &value, LABELS[labels]).is_err() {
                prop_assert_eq!(&secrets, &before);
            }
            let mut all: Vec<&String> = secrets.held[0].versions.iter().flat_map(|v| &v.stages).collect();
            let count = all.len();
            all.sort();
            all.dedup();
            prop_assert_eq!(all.len(), count);
            prop_assert!(all.iter().any(|s| *s == CURRENT));
        }
    }
}
