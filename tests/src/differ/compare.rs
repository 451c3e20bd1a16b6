//! Two sides against each other, and what differs against the list.

use std::collections::BTreeSet;

use super::fact::{Facts, Value};
use super::list::Entry;

/// What stands where a side has nothing.
pub const NOTHING: &str = "nothing";

/// Between names; some have commas.
const SEPARATOR: &str = " + ";

/// A thing that the two sides did differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The step of the script.
    pub step: String,
    /// What of it.
    pub aspect: String,
    /// What the endpoint did; of names, those that it alone has.
    pub endpoint: String,
    /// What the emulator did; of names, those that it alone has.
    pub emulator: String,
}

/// What the list says of the differences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Not in the list.
    pub unlisted: Vec<Difference>,
    /// In the list, and they do not occur: step, aspect and line.
    pub gone: Vec<(String, String, usize)>,
}

impl Verdict {
    /// Whether the list is right.
    #[must_use]
    pub const fn is_right(&self) -> bool {
        self.unlisted.is_empty() && self.gone.is_empty()
    }
}

fn without(all: &BTreeSet<String>, others: &BTreeSet<String>) -> String {
    let own: Vec<&str> = all.difference(others).map(String::as_str).collect();
    if own.is_empty() {
        NOTHING.to_owned()
    } else {
        own.join(SEPARATOR)
    }
}

/// What each side shows of a fact, where they differ.
fn shown(endpoint: Option<&Value>, emulator: Option<&Value>) -> Option<(String, String)> {
    let none = BTreeSet::new();
    match (endpoint, emulator) {
        (a, b) if a == b => None,
        (Some(Value::Names(a)), Some(Value::Names(b))) => Some((without(a, b), without(b, a))),
        (a, b) => {
            let words = |value: Option<&Value>| match value {
                None => NOTHING.to_owned(),
                Some(Value::Words(words)) => words.clone(),
                Some(Value::Names(names)) => without(names, &none),
            };
            Some((words(a), words(b)))
        }
    }
}

/// All that differs, in the order of the script.
#[must_use]
pub fn differences(endpoint: &Facts, emulator: &Facts) -> Vec<Difference> {
    let only_there = emulator
        .all()
        .iter()
        .filter(|f| endpoint.get(&f.step, &f.aspect).is_none());
    let mut all = Vec::new();
    for fact in endpoint.all().iter().chain(only_there) {
        let (step, aspect) = (&fact.step, &fact.aspect);
        if let Some((here, there)) = shown(endpoint.get(step, aspect), emulator.get(step, aspect)) {
            all.push(Difference {
                step: step.clone(),
                aspect: aspect.clone(),
                endpoint: here,
                emulator: there,
            });
        }
    }
    all
}

/// The differences against the list.
#[must_use]
pub fn judge(differences: &[Difference], list: &[Entry]) -> Verdict {
    let is = |entry: &Entry, step: &str, found: &Difference| {
        found.step == step
            && found.aspect == entry.aspect
            && found.endpoint == entry.endpoint
            && found.emulator == entry.emulator
    };
    let mut verdict = Verdict::default();
    for found in differences {
        let listed = list
            .iter()
            .any(|entry| entry.steps.iter().any(|step| is(entry, step, found)));
        if !listed {
            verdict.unlisted.push(found.clone());
        }
    }
    for entry in list {
        for step in &entry.steps {
            if !differences.iter().any(|found| is(entry, step, found)) {
                verdict
                    .gone
                    .push((step.clone(), entry.aspect.clone(), entry.line));
            }
        }
    }
    verdict
}

/// The list against the endpoint alone: what it says that the endpoint does, and the endpoint does not do.
///
/// Of names only those can be held against it that the list says are the endpoint's alone.
#[must_use]
pub fn misstated(endpoint: &Facts, list: &[Entry]) -> Vec<String> {
    let mut wrong = Vec::new();
    for entry in list {
        for step in &entry.steps {
            let said = match endpoint.get(step, &entry.aspect) {
                None => entry.endpoint == NOTHING,
                Some(Value::Words(words)) => *words == entry.endpoint,
                Some(Value::Names(names)) => {
                    let own = entry.endpoint.split(SEPARATOR).filter(|name| *name != NOTHING);
                    let other = entry.emulator.split(SEPARATOR).filter(|name| *name != NOTHING);
                    own.clone().all(|name| names.contains(name))
                        && other.clone().all(|name| !names.contains(name))
                }
            };
            if !said {
                wrong.push(format!(
                    "line {}: {step}: {}: the endpoint: {:?}",
                    entry.line,
                    entry.aspect,
                    endpoint.get(step, &entry.aspect)
                ));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&str]) -> BTreeSet<String> {
        all.iter().map(|&name| name.to_owned()).collect()
    }

    fn sides() -> (Facts, Facts) {
        let (mut here, mut there) = (Facts::default(), Facts::default());
        here.words("create", "answer", "ok");
        there.words("create", "answer", "ok");
        here.words("create", "events", "a > b");
        there.words("create", "events", "a");
        here.names("look", "fields", names(&["id", "name"]));
        there.names("look", "fields", names(&["id", "age"]));
        here.words("stop", "answer", "ok");
        (here, there)
    }

    fn entry(step: &str, aspect: &str, endpoint: &str, emulator: &str) -> Entry {
        Entry {
            steps: vec![step.to_owned()],
            aspect: aspect.to_owned(),
            endpoint: endpoint.to_owned(),
            emulator: emulator.to_owned(),
            line: 7,
            ..Entry::default()
        }
    }

    fn listed() -> Vec<Entry> {
        vec![
            entry("create", "events", "a > b", "a"),
            entry("look", "fields", "name", "age"),
            entry("stop", "answer", "ok", NOTHING),
        ]
    }

    #[test]
    fn what_is_listed_is_right() {
        let (here, there) = sides();
        let found = differences(&here, &there);
        assert_eq!(found.len(), 3, "{found:#?}");
        assert!(judge(&found, &listed()).is_right());
        assert_eq!(misstated(&here, &listed()), [""; 0]);
    }

    #[test]
    fn what_is_not_listed_is_wrong() {
        let (here, there) = sides();
        let found = differences(&here, &there);
        let verdict = judge(&found, &listed()[1..]);
        assert_eq!((verdict.unlisted.len(), verdict.gone.len()), (1, 0));
        assert_eq!(verdict.unlisted[0].aspect, "events");
    }

    #[test]
    fn what_is_listed_and_does_not_occur_is_wrong() {
        let (here, _) = sides();
        let verdict = judge(&differences(&here, &here), &listed());
        assert_eq!((verdict.unlisted.len(), verdict.gone.len()), (0, 3));
        assert!(!verdict.is_right());
    }

    #[test]
    fn a_difference_that_became_another_is_both() {
        let (here, mut there) = sides();
        there.words("stop", "answer", "InvalidAction");
        let verdict = judge(&differences(&here, &there), &listed());
        assert_eq!((verdict.unlisted.len(), verdict.gone.len()), (1, 1));
    }

    #[test]
    fn what_the_list_says_of_the_endpoint_is_held_against_it() {
        let (here, there) = sides();
        // All of it is wrong of the other side.
        assert_eq!(misstated(&there, &listed()).len(), 3);
        assert_eq!(
            misstated(&here, &[entry("look", "fields", "age", NOTHING)]).len(),
            1
        );
        assert_eq!(
            misstated(&here, &[entry("look", "fields", NOTHING, "name")]).len(),
            1
        );
    }
}
