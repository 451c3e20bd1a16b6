//! Reads a TOML table key by key. Every key that is asked for is known; what is left over is an error with a suggestion.

use core::cell::RefCell;
use core::fmt::Display;
use core::ops::Range;
use core::str::FromStr;
use core::time::Duration;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Place, Source, nearest, quoted, suggest};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

/// Collects what is wrong.
pub(crate) struct Sink {
    /// The configuration and its overlays, each with the offset at which its spans begin.
    files: Vec<(usize, Arc<Source>)>,
    found: RefCell<Vec<Diagnostic>>,
}

impl Sink {
    /// For a configuration and the overlays in the order in which they are laid over it.
    pub(crate) fn new(files: impl IntoIterator<Item = Arc<Source>>) -> Self {
        let begin = |next: &mut usize, source: Arc<Source>| {
            let begin = *next;
            // One more than the text has, so that the end of a file is its own.
            *next += source.text.len() + 1;
            Some((begin, source))
        };
        Self {
            files: files.into_iter().scan(0, begin).collect(),
            found: RefCell::new(Vec::new()),
        }
    }

    /// The files, each with the offset at which its spans begin.
    pub(crate) fn files(&self) -> &[(usize, Arc<Source>)] {
        &self.files
    }

    /// The file that an offset is in, and the offset at which that file begins.
    fn file(&self, offset: usize) -> (usize, &Arc<Source>) {
        let file = self.files.iter().rfind(|(begin, _)| *begin <= offset);
        let (begin, source) = file.unwrap_or(&self.files[0]);
        (*begin, source)
    }

    /// The place of an offset, with the path of its file.
    pub(crate) fn place(&self, offset: usize) -> (&Path, Place) {
        let (begin, source) = self.file(offset);
        (&source.path, source.place(offset - begin))
    }

    pub(crate) fn push(&self, diagnostic: Diagnostic) {
        self.found.borrow_mut().push(diagnostic);
    }

    /// A new diagnostic of the file that the span is in, to be pushed. The empty span `0..0` is the configuration as a whole.
    pub(crate) fn at(&self, span: &Range<usize>, what: impl Into<String>) -> Diagnostic {
        let (begin, source) = self.file(span.start);
        let own = span.start - begin..span.end.saturating_sub(begin);
        let mut diagnostic = Diagnostic::new(source, own, what);
        if *span == (0..0) {
            diagnostic.span = None;
        }
        diagnostic
    }

    /// What was found: the configuration's own faults in the order of the file, those of its overlays, then those of the
    /// files that they name.
    pub(crate) fn into_found(self) -> Vec<Diagnostic> {
        let mut found = self.found.into_inner();
        let key = |d: &Diagnostic| {
            let file = self.files.iter().position(|(_, s)| Arc::ptr_eq(s, &d.source));
            (file.unwrap_or(self.files.len()), d.span.as_ref().map(|s| s.start))
        };
        found.sort_by_key(key);
        found
    }
}

/// One table.
pub(crate) struct Reader<'a> {
    pub(crate) sink: &'a Sink,
    /// As the user writes it: `[[services]]`.
    pub(crate) name: String,
    /// Its header, or the inline table.
    pub(crate) span: Range<usize>,
    table: &'a DeTable<'a>,
    known: RefCell<Vec<&'static str>>,
    /// Required keys that are not there, with their faults: a mistyped key is told once, not twice.
    missing: RefCell<Vec<(&'static str, Diagnostic)>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(sink: &'a Sink, name: &str, span: Range<usize>, table: &'a DeTable<'a>) -> Self {
        Self {
            sink,
            name: name.to_owned(),
            span,
            table,
            known: RefCell::default(),
            missing: RefCell::default(),
        }
    }

    /// The value of a key, if it is there.
    pub(crate) fn value(&self, key: &'static str) -> Option<Value<'a>> {
        self.known.borrow_mut().push(key);
        let (_, value) = self.table.iter().find(|(name, _)| name.get_ref() == key)?;
        Some(Value {
            sink: self.sink,
            key: key.to_owned(),
            item: false,
            value,
        })
    }

    /// The value of a key that must be there. `example` is what a right line looks like.
    pub(crate) fn required(&self, key: &'static str, example: &str) -> Option<Value<'a>> {
        let value = self.value(key);
        if value.is_none() {
            let fault = self
                .sink
                .at(&self.span, format!("`{key}` is missing {}", self.within()));
            let fault = fault.help(format!("add `{key} = {example}`"));
            self.missing.borrow_mut().push((key, fault));
        }
        value
    }

    /// Every key with its value, for tables whose keys are the user's own names.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (At<String>, Value<'a>)> {
        self.table.iter().map(|(key, value)| {
            let name = key.get_ref().to_string();
            let at = At {
                value: name.clone(),
                span: key.span(),
            };
            (
                at,
                Value {
                    sink: self.sink,
                    key: name,
                    item: false,
                    value,
                },
            )
        })
    }

    /// A duration, or the default.
    pub(crate) fn duration(&self, key: &'static str, default: Duration) -> Duration {
        self.value(key).and_then(|v| v.duration()).unwrap_or(default)
    }

    /// A whole number, or the default.
    pub(crate) fn number<T: TryFrom<u64>>(&self, key: &'static str, default: T) -> T {
        self.value(key).and_then(|v| v.number()).unwrap_or(default)
    }

    /// `true` or `false`, or the default.
    pub(crate) fn flag(&self, key: &'static str, default: bool) -> bool {
        self.value(key).and_then(|v| v.flag()).unwrap_or(default)
    }

    /// An array of tables, such as `[[services]]`.
    pub(crate) fn tables(&self, key: &'static str, name: &str) -> Vec<Self> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        if matches!(value.value.get_ref(), DeValue::Table(_)) {
            let what = format!("`{key}` is a list of tables");
            let diagnostic = self.sink.at(&value.span(), what);
            self.sink.push(
                diagnostic
                    .label("this is one table")
                    .help(format!("write `{name}` with two brackets")),
            );
            return Vec::new();
        }
        value.array().iter().filter_map(|v| v.table(name)).collect()
    }

    /// Reports every key that nobody asked for, and every one that is missing.
    pub(crate) fn finish(&self) {
        let known = self.known.borrow();
        let mut missing = self.missing.borrow_mut();
        for key in self.table.keys() {
            let word = key.get_ref().as_ref();
            if known.contains(&word) {
                continue;
            }
            let near = nearest(word, missing.iter().map(|(key, _)| *key))
                .or_else(|| nearest(word, known.iter().copied()));
            missing.retain(|(key, _)| Some(*key) != near);
            let help = near.map_or_else(
                || suggest(word, known.iter().copied()),
                |near| Some(format!("did you mean `{near}`?")),
            );
            let fault = self.sink.at(&key.span(), format!("unknown key `{word}`"));
            self.sink.push(
                fault
                    .label(format!("not a key of {}", self.name))
                    .help_maybe(help),
            );
        }
        missing.drain(..).for_each(|(_, fault)| self.sink.push(fault));
    }

    fn within(&self) -> String {
        if self.span.is_empty() {
            format!("at {}", self.name)
        } else {
            format!("in {}", self.name)
        }
    }
}

/// One value.
pub(crate) struct Value<'a> {
    pub(crate) sink: &'a Sink,
    pub(crate) key: String,
    /// Whether it stands in the list under that key.
    item: bool,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Value<'a> {
    pub(crate) fn span(&self) -> Range<usize> {
        self.value.span()
    }

    /// Reports a fault of this value.
    pub(crate) fn wrong(&self, what: impl Into<String>, help: impl Into<String>) {
        self.sink.push(self.sink.at(&self.span(), what).help(help));
    }

    fn wrong_type(&self, wanted: &str, help: &str) {
        let found = article(self.value.get_ref().type_str());
        if self.item {
            let what = format!("each of `{}` must be {wanted}, not {found}", self.key);
            self.sink.push(self.sink.at(&self.span(), what));
        } else {
            let what = format!("`{}` must be {wanted}, not {found}", self.key);
            self.wrong(what, help);
        }
    }

    pub(crate) fn is_text(&self) -> bool {
        self.value.get_ref().is_str()
    }

    /// A text in quotation marks.
    pub(crate) fn text(&self) -> Option<At<String>> {
        match self.value.get_ref() {
            DeValue::String(text) => Some(self.here(text.to_string())),
            _ => {
                self.wrong_type(
                    "text in quotation marks",
                    &format!("write `{} = \"…\"`", self.key),
                );
                None
            }
        }
    }

    /// Something that was made of this value.
    pub(crate) fn here<T>(&self, value: T) -> At<T> {
        let span = self.span();
        At { value, span }
    }

    /// A text that is parsed; the type's own error says what would be right.
    pub(crate) fn parse<T>(&self) -> Option<At<T>>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.text()?;
        match text.value.parse() {
            Ok(value) => Some(self.here(value)),
            Err(error) => {
                let what = format!("`{}`: {error}", self.key);
                self.sink.push(self.sink.at(&text.span, what));
                None
            }
        }
    }

    /// A duration with a unit.
    pub(crate) fn duration(&self) -> Option<Duration> {
        const HELP: &str = "write a number with a unit, such as \"30s\", \"15m\" or \"1h 30m\"";
        if let DeValue::Integer(number) = self.value.get_ref() {
            let what = format!("`{}` has no unit", self.key);
            self.wrong(
                what,
                format!("write \"{number}s\" for seconds or \"{number}m\" for minutes"),
            );
            return None;
        }
        let DeValue::String(text) = self.value.get_ref() else {
            self.wrong_type("a duration", HELP);
            return None;
        };
        match humantime::parse_duration(text) {
            Ok(span) => Some(span),
            Err(error) => {
                let why = match &error {
                    humantime::DurationError::UnknownUnit { unit, .. } => format!("`{unit}` is not a unit"),
                    humantime::DurationError::InvalidCharacter(_)
                    | humantime::DurationError::NumberExpected(_)
                    | humantime::DurationError::NumberOverflow
                    | humantime::DurationError::Empty => error.to_string(),
                };
                self.wrong(
                    format!("`{}`: `{text}` is not a duration ({why})", self.key),
                    HELP,
                );
                None
            }
        }
    }

    /// A whole number that is not negative.
    pub(crate) fn number<T: TryFrom<u64>>(&self) -> Option<T> {
        let DeValue::Integer(digits) = self.value.get_ref() else {
            self.wrong_type("a whole number", &format!("write `{} = 3`", self.key));
            return None;
        };
        let number = u64::from_str_radix(digits.as_str(), digits.radix()).ok();
        let fits = number.and_then(|n| T::try_from(n).ok());
        if fits.is_none() {
            self.wrong(
                format!("`{}`: {digits} is out of range", self.key),
                "write a whole number that is not negative",
            );
        }
        fits
    }

    pub(crate) fn flag(&self) -> Option<bool> {
        let flag = self.value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong_type("true or false", "write it without quotation marks");
        }
        flag
    }

    /// A date, or a date with a time, without quotation marks.
    pub(crate) fn datetime(&self) -> Option<At<toml::value::Datetime>> {
        const HELP: &str = "write a date without quotation marks, such as 2026-12-18 or 2026-12-18T18:00:00";
        match self.value.get_ref() {
            DeValue::Datetime(moment) if moment.date.is_some() => Some(self.here(*moment)),
            _ => {
                self.wrong_type("a date", HELP);
                None
            }
        }
    }

    /// The values of an array; empty, with an error, when it is none.
    pub(crate) fn array(&self) -> Vec<Self> {
        let DeValue::Array(items) = self.value.get_ref() else {
            self.wrong_type("a list", &format!("write `{} = [ … ]`", self.key));
            return Vec::new();
        };
        let item = |value: &'a Spanned<DeValue<'a>>| Self {
            sink: self.sink,
            key: self.key.clone(),
            item: true,
            value,
        };
        items.iter().map(item).collect()
    }

    /// The values of an array, each parsed.
    pub(crate) fn list<T>(&self) -> Vec<At<T>>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.array().iter().filter_map(Self::parse).collect()
    }

    /// A table, by the name that the user knows it by.
    pub(crate) fn table(&self, name: &str) -> Option<Reader<'a>> {
        match self.value.get_ref() {
            DeValue::Table(table) => Some(Reader::new(self.sink, name, self.span(), table)),
            _ => {
                let inline = format!("write `{} = {{ … }}`", self.key);
                let help = if name.starts_with('[') {
                    format!("{inline} or `{name}`")
                } else {
                    inline
                };
                self.wrong_type("a table", &help);
                None
            }
        }
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text.value);
        if found.is_none() {
            let all = words.iter().map(|(word, _)| *word);
            let what = format!("`{}` cannot be `{}`", self.key, text.value);
            self.wrong(what, format!("it is one of {}", quoted(all)));
        }
        found.map(|(_, value)| *value)
    }

    /// Any value as JSON, for what we only pass on.
    pub(crate) fn json(&self) -> serde_json::Value {
        to_json(self.value.get_ref())
    }
}

fn to_json(value: &DeValue<'_>) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        DeValue::String(text) => Json::from(text.as_ref()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Json::Null, Json::from)
        }
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Json::Null, Json::from),
        DeValue::Boolean(flag) => Json::from(*flag),
        DeValue::Datetime(moment) => Json::from(moment.to_string()),
        DeValue::Array(items) => items.iter().map(|item| to_json(item.get_ref())).collect(),
        DeValue::Table(table) => table
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), to_json(value.get_ref())))
            .collect(),
    }
}

fn article(kind: &str) -> String {
    match kind {
        "integer" | "array" => format!("an {kind}"),
        "boolean" => "true or false".to_owned(),
        _ => format!("a {kind}"),
    }
}
