use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::machine::world::plan;
use crate::plan::Draft;

fn document() -> Document {
    Document {
        made_at: Timestamp::from_millis(1_795_392_000_000),
        made_by: "arn:aws:sts::111122223333:assumed-role/reader/ci-17".to_owned(),
        made_with: "rollout 0.1.0".to_owned(),
        places: BTreeMap::from([("production cluster".to_owned(), "shop".to_owned())]),
        plan: plan(true),
        assumes: Assumed::default(),
    }
}

/// The sealed document as a value, changed by hand, as text.
fn edited(edit: impl FnOnce(&mut Map<String, Value>)) -> String {
    let text = document().seal().expect("it can be sealed");
    let mut all: Map<String, Value> = serde_json::from_str(&text).expect("JSON");
    edit(&mut all);
    Value::Object(all).to_string()
}

#[test]
fn what_is_sealed_is_read_back_and_the_same_seals_the_same() {
    let document = document();
    let text = document.seal().expect("it can be sealed");
    assert_eq!(Document::open(&text), Ok(document.clone()));
    assert_eq!(document.seal().as_deref(), Ok(text.as_str()));
    let hash = document.hash().expect("it can be sealed");
    assert!(text.contains(&hash) && hash.len() == 64, "{hash}");
}

#[test]
fn the_hash_is_of_the_canonical_form() {
    let all: Map<String, Value> =
        serde_json::from_str(r#"{"b":[1,{"z":"ä\"","a":null}],"a":true}"#).expect("JSON");
    let mut text = String::new();
    canonical_object(&all, &mut text);
    assert_eq!(text, r#"{"a":true,"b":[1,{"a":null,"z":"ä\""}]}"#);
    // `printf '%s' … | sha256sum` says the same.
    assert_eq!(
        hash(&all),
        "739c540594c766607c278b4c22551904dacd90ea5ff1c7def1bdc7dc2c7670f5"
    );
}

#[test]
fn order_and_blanks_do_not_count() {
    let text = edited(|_| ());
    assert!(!text.contains('\n'));
    assert_eq!(Document::open(&text), Ok(document()));
}

#[test]
fn any_change_is_found() {
    for text in [
        edited(|all| {
            all.insert("made_by".to_owned(), json!("someone else"));
        }),
        edited(|all| {
            all.insert("note".to_owned(), json!("a member that nobody reads"));
        }),
        edited(|all| {
            all.remove("places");
        }),
        edited(|all| all["plan"]["policy"]["bounds"]["services_at_once"] = json!(99)),
        edited(|all| {
            all.insert(HASH_KEY.to_owned(), json!("0".repeat(64)));
        }),
    ] {
        let error = Document::open(&text).expect_err("it was changed");
        assert!(matches!(error, Unreadable::Changed { .. }), "{error}");
        assert!(error.to_string().contains("make a new plan"), "{error}");
    }
}

#[test]
fn a_newer_format_is_refused_by_name_before_its_hash() {
    let text = edited(|all| {
        all.insert(FORMAT_KEY.to_owned(), json!(2));
        all.insert("made_with".to_owned(), json!("rollout 9.0.0"));
    });
    let error = Document::open(&text).expect_err("it is newer").to_string();
    assert!(
        error.contains("format 2") && error.contains("rollout 9.0.0"),
        "{error}"
    );
}

#[test]
fn what_is_no_plan_is_told_so() {
    for text in [
        "",
        "[]",
        "{}",
        "null",
        r#"{"rollout_plan":1}"#,
        r#"{"rollout_plan":"1","sha256":""}"#,
    ] {
        let error = Document::open(text).expect_err(text);
        assert!(matches!(error, Unreadable::NotAPlan(_)), "{text}: {error}");
    }
    let no_plan = json!({ FORMAT_KEY: 1, "plan": 7 });
    let mut all = no_plan.as_object().expect("an object").clone();
    let right = hash(&all);
    all.insert(HASH_KEY.to_owned(), json!(right));
    let error =
        Document::open(&Value::Object(all).to_string()).expect_err("its hash is right, and it is no plan");
    assert!(matches!(error, Unreadable::NotAPlan(_)), "{error}");
}

#[test]
fn a_secret_is_not_sealed_and_not_repeated() {
    let mut document = document();
    let mut draft = Draft::from(document.plan);
    draft.services[0].template = json!({
        "containerDefinitions": [{ "name": "app", "environment": [{ "name": "DB_PASSWORD", "value": "hunter2" }] }]
    });
    let refused = RolloutPlan::check(draft.clone()).expect_err("it would stand in the journal");
    assert_eq!(refused.0.len(), 1, "{refused}");
    assert!(
        refused.0[0]
            .starts_with("backend: task definition.containerDefinitions[app].environment[DB_PASSWORD]"),
        "{refused}"
    );
    assert!(!refused.to_string().contains("hunter2"));
    // An older version's journal may hold it, and still replays.
    let stored = serde_json::to_value(draft).expect("plain data");
    document.plan = serde_json::from_value(stored).expect("it was a plan once");
    let error = document.seal().expect_err("it holds a secret").to_string();
    assert!(
        error.starts_with(
            "plan.services[backend].template.containerDefinitions[app].environment[DB_PASSWORD] looks like a"
        ),
        "{error}"
    );
    assert!(!error.contains("hunter2"));
}

#[test]
fn a_number_that_its_text_does_not_hold_is_not_sealed_as_another() {
    let mut document = document();
    let mut draft = Draft::from(document.plan);
    // Written with 17 digits, and read one off: `serde_json` reads numbers fast rather than exactly.
    let odd = -5.847_973_664_883_988e-238;
    draft.services[0].template = json!({ "odd": odd });
    let read: f64 = serde_json::from_str(&Value::from(odd).to_string()).expect("a number");
    assert_ne!(
        read.to_bits(),
        f64::to_bits(odd),
        "if it is read exactly, another number is needed here"
    );
    document.plan = RolloutPlan::check(draft).expect("valid");
    let error = document.seal().expect_err("nobody could run it");
    assert!(matches!(error, Unsealed::Unfaithful(_)), "{error}");
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Numbers that every reader of JSON reads alike; for others see the test above.
        any::<i32>().prop_map(|n| Value::from(f64::from(n) / 8.0)),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((".{0,4}", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    /// The canonical form is JSON, says the same, and is its own canonical form.
    #[test]
    fn the_canonical_form_says_the_same(value in value()) {
        let mut text = String::new();
        canonical(&value, &mut text);
        let read: Value = serde_json::from_str(&text).expect("JSON");
        let mut again = String::new();
        canonical(&read, &mut again);
        let third: Value = serde_json::from_str(&again).expect("JSON");
        prop_assert_eq!(&third, &read);
        prop_assert_eq!(sorted(&value).to_string().len(), text.len());
    }

    /// No edit of one character of a sealed document is read as a plan with another content.
    #[test]
    fn no_other_character_passes(at in any::<prop::sample::Index>(), other in "[ -~]") {
        let text = document().seal().expect("it can be sealed");
        let at = at.index(text.len());
        let mut changed = text;
        if changed.is_char_boundary(at) && changed.is_char_boundary(at + 1) {
            changed.replace_range(at..=at, &other);
        }
        if let Ok(read) = Document::open(&changed) {
            prop_assert_eq!(read, document());
        }
    }
}
