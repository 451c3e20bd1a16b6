//! What was seen, without what differs from run to run.

use std::collections::BTreeSet;

/// One thing that was seen at one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The step of the script.
    pub step: String,
    /// What of it.
    pub aspect: String,
    /// What it was.
    pub value: Value,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Words that are compared as a whole.
    Words(String),
    /// Names of which each is there or is not. Only those that one side lacks make the difference.
    Names(BTreeSet<String>),
}

/// All that was seen, in the order of the script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(Vec<Fact>);

impl Facts {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Fact] {
        &self.0
    }

    /// Adds words.
    ///
    /// # Panics
    /// When this aspect of this step was seen before.
    pub fn words(&mut self, step: &str, aspect: &str, words: impl Into<String>) {
        self.add(step, aspect, Value::Words(words.into()));
    }

    /// Adds names.
    ///
    /// # Panics
    /// When this aspect of this step was seen before.
    pub fn names(&mut self, step: &str, aspect: &str, names: BTreeSet<String>) {
        self.add(step, aspect, Value::Names(names));
    }

    fn add(&mut self, step: &str, aspect: &str, value: Value) {
        assert!(self.get(step, aspect).is_none(), "{step}: {aspect} twice");
        self.0.push(Fact {
            step: step.to_owned(),
            aspect: aspect.to_owned(),
            value,
        });
    }

    /// What was seen there.
    #[must_use]
    pub fn get(&self, step: &str, aspect: &str) -> Option<&Value> {
        let found = self.0.iter().find(|f| f.step == step && f.aspect == aspect);
        found.map(|fact| &fact.value)
    }
}

/// Things in order, each once in a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course(Vec<String>);

impl Course {
    /// What is seen now.
    pub fn saw(&mut self, what: impl Into<String>) {
        let what = what.into();
        if self.0.last() != Some(&what) {
            self.0.push(what);
        }
    }

    /// Whether it was seen at any time.
    #[must_use]
    pub fn has(&self, what: &str) -> bool {
        self.0.iter().any(|seen| seen == what)
    }

    /// How many there were.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there was none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The last one.
    #[must_use]
    pub fn last(&self) -> Option<&str> {
        self.0.last().map(String::as_str)
    }
}

impl core::fmt::Display for Course {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        f.write_str(&self.0.join(" > "))
    }
}
