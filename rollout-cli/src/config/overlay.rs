//! Overlays: files laid over the configuration, for what differs in one place only, such as an emulator.
//!
//! An overlay changes what is there. Tables merge key by key; the lists of named tables merge by name; every other value is
//! replaced. Its spans lie behind those of the texts before it, so that one offset says in which file something stands.

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::diagnostic::suggest;
use super::reader::Sink;

/// Names a list of tables whose entries are told apart by their keys.
struct List {
    key: &'static str,
    /// As the user writes it.
    header: &'static str,
    /// What one entry is called.
    what: &'static str,
    /// The keys that an overlay must give.
    by: &'static [&'static str],
    /// A key that tells entries apart which share those.
    also: Option<&'static str>,
    /// Lists inside an entry.
    inner: &'static [Self],
}

const fn named(key: &'static str, header: &'static str, what: &'static str, inner: &'static [List]) -> List {
    List {
        key,
        header,
        what,
        by: &["name"],
        also: None,
        inner,
    }
}

const SERVICE_PROBES: [List; 1] = [named("probes", "[[services.gates.probes]]", "probe", &[])];
const SERVICE_GATES: [List; 1] = [named("gates", "[[services.gates]]", "gate", &SERVICE_PROBES)];
const PROBES: [List; 1] = [named("probes", "[[gates.probes]]", "probe", &[])];
const TOP: [List; 4] = [
    named("services", "[[services]]", "service", &SERVICE_GATES),
    named("tasks", "[[tasks]]", "task", &[]),
    named("gates", "[[gates]]", "gate", &PROBES),
    List {
        key: "dns",
        header: "[[dns]]",
        what: "record",
        by: &["name", "type"],
        also: Some("set_identifier"),
        inner: &[],
    },
];

/// The text of an overlay as it is parsed: behind blanks, so that its spans begin where the texts before it end.
pub(super) fn shifted(text: &str, before: usize) -> String {
    const MARK: char = '\u{feff}';
    // A byte order mark is allowed at the beginning of a file only.
    let (mark, text) = match text.strip_prefix(MARK) {
        Some(rest) => (MARK.len_utf8(), rest),
        None => (0, text),
    };
    format!("{}{text}", " ".repeat(before + mark))
}

/// Lays an overlay over the configuration.
pub(super) fn lay<'a>(base: &mut DeTable<'a>, overlay: DeTable<'a>, sink: &Sink) {
    merge(base, overlay, &TOP, sink);
}

fn merge<'a>(base: &mut DeTable<'a>, overlay: DeTable<'a>, lists: &[List], sink: &Sink) {
    for (key, value) in overlay {
        let list = lists.iter().find(|list| list.key == key.get_ref().as_ref());
        let span = value.span();
        let old = base.get_mut(&key).map(Spanned::get_mut);
        match (old, value.into_inner(), list) {
            (Some(DeValue::Table(old)), DeValue::Table(new), _) => merge(old, new, &[], sink),
            (Some(DeValue::Array(old)), DeValue::Array(new), Some(list)) => merge_list(old, new, list, sink),
            (_, new, _) => {
                // With its key, so that what is said of either is said of the overlay.
                base.remove(&key);
                base.insert(key, Spanned::new(span, new));
            }
        }
    }
}

fn merge_list<'a>(base: &mut DeArray<'a>, overlay: DeArray<'a>, list: &List, sink: &Sink) {
    for item in overlay {
        let span = item.span();
        let DeValue::Table(new) = item.into_inner() else {
            let what = format!("each of `{}` must be a table", list.key);
            sink.push(
                sink.at(&span, what)
                    .help(format!("write it as `{}`", list.header)),
            );
            continue;
        };
        if let Some(entry) = find(base, &new, &span, list, sink) {
            merge(entry, new, list.inner, sink);
        }
    }
}

/// The entry of the configuration that one of the overlay means; if there is not exactly one, that is told.
fn find<'b, 'a>(
    base: &'b mut DeArray<'a>,
    new: &DeTable<'a>,
    span: &core::ops::Range<usize>,
    list: &List,
    sink: &Sink,
) -> Option<&'b mut DeTable<'a>> {
    for key in list.by {
        if text(new, key).is_none() {
            let what = format!("`{key}` is missing in {} of an overlay", list.header);
            let help = format!("it says which {} is meant: add `{key} = \"…\"`", list.what);
            sink.push(sink.at(span, what).help(help));
            return None;
        }
    }
    let keys = || list.by.iter().chain(&list.also);
    let meant = |entry: &DeTable<'_>| keys().all(|key| text(new, key).is_none() || same(entry, new, key));
    let tables = base.iter().filter_map(|item| item.get_ref().as_table());
    let count = tables.clone().filter(|entry| meant(entry)).count();
    let name = keys()
        .filter_map(|key| text(new, key))
        .collect::<Vec<_>>()
        .join(" ");
    let at = new.iter().find(|(key, _)| key.get_ref() == "name");
    let at = at.map_or_else(|| span.clone(), |(_, value)| value.span());
    match count {
        1 => {}
        0 => {
            let known: Vec<String> = tables
                .map(|entry| {
                    keys()
                        .filter_map(|key| text(entry, key))
                        .collect::<Vec<_>>()
                        .join(" ")
                })
                .collect();
            let what = format!("there is no {} `{name}` for the overlay to change", list.what);
            let help = suggest(&name, known.iter().map(String::as_str));
            sink.push(sink.at(&at, what).help_maybe(help));
            return None;
        }
        more => {
            let what = format!("`{name}` means {more} entries of {}", list.header);
            let help = list
                .also
                .map(|key| format!("add the `{key}` of the one that is meant"));
            sink.push(sink.at(&at, what).help_maybe(help));
            return None;
        }
    }
    base.iter_mut().find_map(|item| match item.get_mut() {
        DeValue::Table(entry) if meant(entry) => Some(entry),
        _ => None,
    })
}

fn text<'t>(table: &'t DeTable<'_>, key: &str) -> Option<&'t str> {
    table
        .iter()
        .find(|(name, _)| name.get_ref() == key)
        .and_then(|(_, value)| value.get_ref().as_str())
}

fn same(one: &DeTable<'_>, other: &DeTable<'_>, key: &str) -> bool {
    text(one, key) == text(other, key)
}
