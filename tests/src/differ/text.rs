//! Texts without what differs from run to run.

/// A text with ids, ARNs and numbers replaced by what they are.
#[must_use]
pub fn plain(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(word).collect();
    let mut text = words.join(" ");
    // A list of tasks is as long as it happens to be.
    for tasks in ["(task ID), (task ID)", "(task ID) (task ID)"] {
        while text.contains(tasks) {
            text = text.replace(tasks, "(task ID)");
        }
    }
    text
}

/// The kind of a service event: its text without the service and the deployment that it names.
#[must_use]
pub fn event(text: &str, service: &str) -> String {
    let text = plain(text);
    let text = text
        .strip_prefix(&format!("(service {service}) "))
        .unwrap_or(&text);
    let text = text.strip_prefix("(deployment ID) ").unwrap_or(text);
    text.trim_end_matches(['.', ':']).to_owned()
}

fn word(word: &str) -> String {
    let marks = ['(', ')', '[', ']', ',', '.', ':', ';', '\''];
    let start = word.len() - word.trim_start_matches(marks).len();
    let inner = word.trim_matches(marks);
    let (before, rest) = word.split_at(start);
    let after = rest.strip_prefix(inner).unwrap_or_default();
    let kind = if inner.starts_with("arn:") {
        "ARN"
    } else if inner.starts_with("ecs-svc/") || is_id(inner) {
        "ID"
    } else if !inner.is_empty() && inner.bytes().all(|b| b.is_ascii_digit()) {
        "N"
    } else {
        inner
    };
    format!("{before}{kind}{after}")
}

/// A UUID, with its hyphens or without.
fn is_id(word: &str) -> bool {
    let hex = word.bytes().filter(u8::is_ascii_hexdigit).count();
    hex >= 32 && word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_by_their_kind() {
        let id = "0123456789abcdef0123456789abcdef";
        for (text, kind) in [
            (
                format!("(service api) has started 3 tasks: (task {id}) (task {id}) (task {id})."),
                "has started N tasks: (task ID)",
            ),
            (
                "(service api) (deployment ecs-svc/1234567890123456789) deployment failed: tasks failed to start."
                    .to_owned(),
                "deployment failed: tasks failed to start",
            ),
            (
                "(service api) registered 2 targets in (target-group arn:aws:elasticloadbalancing:r:1:targetgroup/a/b)"
                    .to_owned(),
                "registered N targets in (target-group ARN)",
            ),
            ("(service other) has reached a steady state.".to_owned(), "(service other) has reached a steady state"),
        ] {
            assert_eq!(event(&text, "api"), kind);
        }
    }

    #[test]
    fn what_tells_stays() {
        let text = "CannotPullContainerError: manifest for x/shop/api:gone not found";
        assert_eq!(plain(text), text);
        assert_eq!(
            plain("rolling back to deploymentId ecs-svc/0123456789."),
            "rolling back to deploymentId ID."
        );
        assert_eq!(plain("after 3 failures"), "after N failures");
        assert_eq!(plain("01234567-89ab-cdef-0123-456789abcdef"), "ID");
    }
}
