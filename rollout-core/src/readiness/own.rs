//! The team's own checks, as data: a fact, or an answer, compared with what it should be.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::check::{About, Check, Ruling, Scene, Verdict};
use super::fact::Question;
use super::known::{Unseen, Why};

/// What something is compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compare {
    /// It is this.
    Equals(Value),
    /// It is a number, and this or more.
    AtLeast(i64),
    /// It is a number, and this or less.
    AtMost(i64),
    /// It is one of these.
    OneOf(Vec<Value>),
    /// It is a list that has this, or a text in which this stands.
    Contains(String),
}

impl Compare {
    fn wanted(&self) -> String {
        match self {
            Self::Equals(value) => shown(value),
            Self::AtLeast(least) => format!("{least} or more"),
            Self::AtMost(most) => format!("{most} or less"),
            Self::OneOf(values) => {
                let all: Vec<String> = values.iter().map(shown).collect();
                format!("one of {}", all.join(", "))
            }
            Self::Contains(text) => format!("something with {text}"),
        }
    }

    /// Whether a value is as it should be; `None` when it is nothing that could be compared so.
    fn holds(&self, value: &Value) -> Option<bool> {
        match self {
            Self::Equals(wanted) => Some(value == wanted),
            Self::AtLeast(least) => value.as_i64().map(|number| number >= *least),
            Self::AtMost(most) => value.as_i64().map(|number| number <= *most),
            Self::OneOf(values) => Some(values.contains(value)),
            Self::Contains(wanted) => match value {
                Value::String(text) => Some(text.contains(wanted)),
                Value::Array(items) => Some(items.iter().any(|item| item.as_str() == Some(wanted))),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
            },
        }
    }
}

/// A value as people write it.
fn shown(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// A fact compared with a value.
#[derive(Clone, Debug, PartialEq)]
pub struct FactCheck {
    /// What it is.
    pub about: About,
    /// The way to the fact from the [`Snapshot`](super::fact::Snapshot), as it is serialized, such as `services`, `*`, `desired`;
    /// `*` is each member of a table or a list. What is seen is stepped into without a word of its own.
    pub path: Vec<String>,
    /// What it must be.
    pub compare: Compare,
}

impl Check for FactCheck {
    fn about(&self) -> &About {
        &self.about
    }

    fn judge(&self, scene: &Scene<'_>) -> Vec<(String, Ruling)> {
        let environment = scene.intent.environment.to_string();
        let whole = match serde_json::to_value(scene.facts) {
            Ok(whole) => whole,
            Err(error) => {
                let unseen = Unseen::new(Why::Failed, "the facts", error.to_string());
                return vec![(environment, Err(unseen))];
            }
        };
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let mut found = Vec::new();
        walk(&whole, &path, "", &mut found);
        let label = |label: String| {
            if label.is_empty() {
                environment.clone()
            } else {
                label
            }
        };
        found
            .into_iter()
            .map(|(at, value)| (label(at), value.and_then(|value| self.ruling(value))))
            .collect()
    }
}

impl FactCheck {
    fn ruling(&self, value: &Value) -> Ruling {
        match self.compare.holds(value) {
            Some(holds) => Ok(Verdict::when(holds, || shown(value), self.compare.wanted())),
            None => Err(Unseen::new(
                Why::Failed,
                self.path.join("."),
                format!("{} cannot be compared so", shown(value)),
            )),
        }
    }
}

/// Every value that a path leads to, under the names of the members that it went through by `*`.
fn walk<'a>(
    value: &'a Value,
    path: &[&str],
    label: &str,
    found: &mut Vec<(String, Result<&'a Value, Unseen>)>,
) {
    let unseen = |why, text: String| Unseen::new(why, label, text);
    match value {
        Value::String(word) if word == "missing" && !path.is_empty() => {
            found.push((
                label.to_owned(),
                Err(unseen(Why::Missing, "there is no such thing".to_owned())),
            ));
            return;
        }
        Value::Object(members) if members.len() == 1 => {
            if let Some(seen) = members.get("seen") {
                return walk(seen, path, label, found);
            }
            if let Some(unknown) = members.get("unknown") {
                let why = serde_json::from_value(unknown.clone());
                let why = why.unwrap_or_else(|_| unseen(Why::NotAsked, "it is not known".to_owned()));
                found.push((label.to_owned(), Err(why)));
                return;
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => {}
    }
    let Some((first, rest)) = path.split_first() else {
        found.push((label.to_owned(), Ok(value)));
        return;
    };
    let under = |name: &str| {
        if label.is_empty() {
            name.to_owned()
        } else {
            format!("{label} {name}")
        }
    };
    match (value, *first) {
        (Value::Object(members), "*") => members
            .iter()
            .for_each(|(name, member)| walk(member, rest, &under(name), found)),
        (Value::Array(items), "*") => {
            let numbered = items.iter().enumerate();
            numbered.for_each(|(number, item)| walk(item, rest, &under(&number.to_string()), found));
        }
        (Value::Object(members), name) => match members.get(name) {
            Some(member) => walk(member, rest, label, found),
            None => {
                let there: Vec<&str> = members.keys().map(String::as_str).take(12).collect();
                let text = format!("there is no fact `{name}` here, but {}", there.join(", "));
                found.push((label.to_owned(), Err(unseen(Why::NotAsked, text))));
            }
        },
        (_, name) => {
            let text = format!("there is no fact `{name}` here, but {}", shown(value));
            found.push((label.to_owned(), Err(unseen(Why::NotAsked, text))));
        }
    }
}

/// An answer over HTTP compared with what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerCheck {
    /// What it is.
    pub about: About,
    /// What is asked. It must stand in [`Intent::questions`](super::intent::Intent::questions), or nobody asks it.
    pub question: Question,
    /// The status code that the answer must have.
    pub status: u16,
    /// What must stand in its body.
    pub body_contains: Option<String>,
}

impl Check for AnswerCheck {
    fn about(&self) -> &About {
        &self.about
    }

    fn judge(&self, scene: &Scene<'_>) -> Vec<(String, Ruling)> {
        vec![(self.question.url.clone(), self.ruling(scene))]
    }
}

impl AnswerCheck {
    fn ruling(&self, scene: &Scene<'_>) -> Ruling {
        let answer = scene.facts.answers.get(&self.question.key())?;
        let wanted = match &self.body_contains {
            Some(text) => format!("{} with `{text}`", self.status),
            None => self.status.to_string(),
        };
        if answer.status != self.status {
            return Ok(Verdict::fail(answer.status.to_string(), wanted));
        }
        let holds = self
            .body_contains
            .as_ref()
            .is_none_or(|text| answer.body.contains(text));
        Ok(Verdict::when(
            holds,
            || format!("{} without it", answer.status),
            wanted,
        ))
    }
}
