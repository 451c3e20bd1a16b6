//! What live answers say of requests from pages of other origins.

use crate::readiness::check::{Ruling, Scene, Verdict};
use crate::readiness::fact::answer::Answer;
use crate::readiness::intent::{Preflight, STRANGER};
use crate::readiness::known::Unseen;
use crate::readiness::scene::has_name;

/// What a preflight is called in a report.
fn name(preflight: &Preflight) -> String {
    format!("{} {} from {}", preflight.method, preflight.url, preflight.origin)
}

/// The host name in a URL.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', ':', '?']).next().unwrap_or_default()
}

/// The names of the preflights that distributions answer, or of those that anything else does.
pub(super) fn which(scene: &Scene<'_>, by_distribution: bool) -> Result<Vec<String>, Unseen> {
    let mut aliases = Vec::new();
    for id in &scene.intent.data.distributions {
        if let Some(distribution) = scene.facts.distributions.find(id)? {
            aliases.extend(distribution.aliases.iter().cloned());
        }
    }
    let is_its = |preflight: &&Preflight| {
        let host = host(&preflight.url);
        let of_distribution = host.ends_with(".cloudfront.net") || has_name(&aliases, host);
        of_distribution == by_distribution
    };
    Ok(scene
        .intent
        .data
        .preflights
        .iter()
        .filter(is_its)
        .map(name)
        .collect())
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).map(|value| value.trim())
}

/// Whether an answer allows a method. Those that a form could send need not be named (Fetch standard, "CORS-safelisted method").
fn allows(answer: &Answer, method: &str) -> bool {
    let named = header(answer, "access-control-allow-methods").unwrap_or_default();
    let mut named = named.split(',').map(str::trim);
    matches!(method, "GET" | "HEAD" | "POST") || named.any(|one| one == method || one == "*")
}

pub(super) fn judge(scene: &Scene<'_>, wanted: &str) -> Ruling {
    let preflights = &scene.intent.data.preflights;
    let preflight = preflights.iter().find(|preflight| name(preflight) == wanted);
    let preflight = preflight.ok_or_else(|| Unseen::not_asked(wanted))?;
    let own = scene.facts.answers.get(&preflight.question().key())?;
    let strangers = scene.facts.answers.get(&preflight.strangers_question().key())?;
    let origin = |answer| header(answer, "access-control-allow-origin");
    let mut wrong = Vec::new();
    match origin(own) {
        Some(allowed) if allowed == preflight.origin || allowed == "*" => {}
        Some(allowed) => wrong.push(format!("only {allowed} is let in")),
        None => wrong.push("the origin is not let in".to_owned()),
    }
    if wrong.is_empty() && !allows(own, &preflight.method) {
        wrong.push(format!("{} is not allowed", preflight.method));
    }
    // A preflight must also end well (Fetch standard, "CORS-preflight fetch").
    if preflight.question().method == "OPTIONS" && !(200..300).contains(&own.status) {
        wrong.push(format!("the preflight is answered with {}", own.status));
    }
    if matches!(origin(strangers), Some(allowed) if allowed == "*" || allowed == STRANGER) {
        wrong.push("every origin is let in".to_owned());
    }
    Ok(Verdict::unless(
        &wrong,
        format!("{} let in, and no other origin", preflight.origin),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_stands_between_scheme_and_path() {
        assert_eq!(host("https://assets.example.com/app.js"), "assets.example.com");
        assert_eq!(host("https://assets.example.com:8443?x"), "assets.example.com");
        assert_eq!(host("assets.example.com"), "assets.example.com");
    }

    #[test]
    fn a_method_is_allowed_by_name_by_star_or_because_forms_can_send_it() {
        let answer = |methods: &str| Answer {
            status: 200,
            headers: [("access-control-allow-methods".to_owned(), methods.to_owned())].into(),
            body: String::new(),
        };
        assert!(allows(&answer("GET, PUT"), "PUT") && allows(&answer("*"), "PUT"));
        assert!(!allows(&answer("GET, PUT"), "DELETE") && !allows(&answer("put"), "PUT"));
        assert!(allows(&answer(""), "POST"));
    }
}
