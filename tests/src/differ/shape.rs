//! Which members an answer has, from what the SDK read of it. So it is the same for every protocol, and only what a client
//! can see counts.

use core::fmt::Debug;
use std::collections::BTreeSet;

/// The paths of all members that are there: `deployments.rolloutState` as `deployments.rollout_state`. What is empty is not there.
///
/// The SDK's types have no other way to ask than their pretty `Debug` form: one member a line, nesting by brackets.
#[must_use]
pub fn paths(answer: &impl Debug) -> BTreeSet<String> {
    let text = format!("{answer:#?}");
    let mut open: Vec<Option<&str>> = Vec::new();
    let mut found = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        let (name, value) = named(line);
        if value.ends_with(['{', '(', '[']) {
            open.push(name);
        } else if value.starts_with(['}', ')', ']']) {
            open.pop();
        } else if !is_empty(value) {
            let path: Vec<&str> = open.iter().copied().flatten().chain(name).collect();
            // A moment is one thing, and request ids are no part of the answer.
            let parts = path.strip_suffix(&["seconds"]).unwrap_or(&path);
            if !parts.is_empty()
                && !parts
                    .iter()
                    .any(|part| part.starts_with('_') || *part == "subsecond_nanos")
            {
                found.insert(parts.join("."));
            }
        }
    }
    found
}

/// A member's name, and the rest of its line.
fn named(line: &str) -> (Option<&str>, &str) {
    let is_name = |name: &&str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    // A key of a map is in quotes.
    let key = line.strip_prefix('"').and_then(|rest| rest.split_once("\": "));
    match key.or_else(|| line.split_once(": ")) {
        Some((name, value)) if is_name(&name) => (Some(name), value),
        Some(_) | None => (None, line),
    }
}

fn is_empty(value: &str) -> bool {
    matches!(value.trim_end_matches(','), "None" | "[]" | "{}" | "\"\"" | "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    #[expect(dead_code, reason = "only its Debug form is read")]
    struct Inner {
        name: Option<&'static str>,
        count: i32,
        empty: Option<Vec<i32>>,
    }

    #[derive(Debug)]
    #[expect(dead_code, reason = "only its Debug form is read")]
    struct Answer {
        all: Option<Vec<Inner>>,
        tags: std::collections::BTreeMap<&'static str, Inner>,
        none: Option<Inner>,
        text: Option<&'static str>,
        nothing: &'static str,
        seconds: i32,
        _request_id: Option<&'static str>,
    }

    #[test]
    fn members_that_are_there_are_told_by_their_paths() {
        let inner = || Inner {
            name: None,
            count: 1,
            empty: Some(vec![]),
        };
        let named = Inner {
            name: Some("a: { b: ["),
            ..inner()
        };
        let answer = Answer {
            all: Some(vec![inner(), named]),
            tags: [("key-1", inner())].into(),
            none: None,
            text: Some("}"),
            nothing: "",
            seconds: 4,
            _request_id: Some("x"),
        };
        let paths: Vec<String> = paths(&answer).into_iter().collect();
        assert_eq!(paths, ["all.count", "all.name", "tags.key-1.count", "text"]);
    }

    #[test]
    fn a_moment_is_one_member() {
        let cluster = aws_sdk_ecs::types::Task::builder()
            .created_at(aws_sdk_ecs::primitives::DateTime::from_secs(7))
            .stop_code("UserInitiated".into())
            .build();
        let paths: Vec<String> = paths(&cluster).into_iter().collect();
        assert_eq!(
            paths,
            ["created_at", "enable_execute_command", "stop_code", "version"]
        );
    }
}
