//! Where a listener's rules send a path.

use crate::readiness::check::{Ruling, Scene, Verdict};
use crate::readiness::fact::edge::{Action, Listener, Rule as ListenerRule};
use crate::readiness::intent::ServiceIntent;
use crate::readiness::known::Unseen;
use crate::readiness::risk::matches;
use crate::readiness::scene::about;

/// What stands for a part of a path that nobody has thought of.
const SAMPLE: &str = "a-sample";

/// Paths that a pattern is about: with nothing in place of each `*`, and with something.
fn samples(pattern: &str) -> Vec<String> {
    let with = |text: &str| {
        let path = pattern.replace('*', text).replace('?', "x");
        if path.starts_with('/') {
            path
        } else {
            format!("/{path}")
        }
    };
    let mut all = vec![with("")];
    if pattern.contains('*') {
        all.push(with(SAMPLE));
    }
    all
}

/// What a listener does with a request, and which rule says so; `None` is its default action. A rule with other conditions as
/// well, such as a header for testers, takes only some of the requests: it is passed over here.
fn decide<'a>(
    rules: &[&'a ListenerRule],
    default: &'a Action,
    host: &str,
    path: &str,
) -> (Option<u32>, &'a Action) {
    let any = |patterns: &[String], fits: &dyn Fn(&str) -> bool| {
        patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern))
    };
    let takes = |rule: &&&ListenerRule| {
        // Host names are compared without regard to case, paths are not (User Guide for Application Load Balancers, "Condition types
        // for listener rules").
        !rule.more_conditions
            && any(&rule.paths, &|pattern| matches(pattern, path))
            && any(&rule.hosts, &|pattern| {
                matches(&pattern.to_lowercase(), &host.to_lowercase())
            })
    };
    match rules.iter().find(takes) {
        Some(rule) => (Some(rule.priority), &rule.action),
        None => (None, default),
    }
}

/// Where a request goes that should have come to one of these target groups; `None` when it comes there.
fn astray(action: &Action, own: &[&str]) -> Option<String> {
    match action {
        Action::Forward(groups) => {
            let goes = |(_, weight): &&(String, u32)| *weight > 0;
            let elsewhere: Vec<_> = groups
                .iter()
                .filter(goes)
                .map(|(arn, _)| arn.as_str())
                .filter(|arn| !own.contains(arn))
                .map(group_name)
                .collect();
            if !elsewhere.is_empty() {
                Some(format!("goes to {}", elsewhere.join(", ")))
            } else if groups.iter().any(|group| goes(&group)) {
                None
            } else {
                Some("goes nowhere: every weight is 0".to_owned())
            }
        }
        Action::Redirect { status, .. } => Some(format!("is redirected with {status}")),
        Action::Fixed(status) => Some(format!("is answered with {status}")),
        Action::Other(kind) => Some(format!("meets {kind}")),
    }
}

/// The name in a target group's ARN.
fn group_name(arn: &str) -> &str {
    arn.rsplit(":targetgroup/")
        .next()
        .and_then(|end| end.split('/').next())
        .unwrap_or(arn)
}

/// What is wrong with the ways from a listener to a service.
fn ways(
    scene: &Scene<'_>,
    service: &ServiceIntent,
    listener: &Listener,
    dns_name: &str,
) -> Result<Vec<String>, Unseen> {
    let groups = scene.target_groups(service.name.as_str())?;
    let own: Vec<&str> = groups.iter().map(|(arn, _)| *arn).collect();
    let mut rules: Vec<_> = listener
        .rules
        .get()
        .map_err(|unseen| about(unseen, &listener.arn))?
        .iter()
        .collect();
    rules.sort_by_key(|rule| rule.priority);
    if service.paths.is_empty() {
        let mut actions = rules
            .iter()
            .map(|rule| &rule.action)
            .chain([&listener.default_action]);
        let wrong = actions.all(|action| astray(action, &own).is_some());
        return Ok(wrong
            .then(|| "nothing at 443 forwards to it".to_owned())
            .into_iter()
            .collect());
    }
    let mut hosts: Vec<_> = scene
        .served_by_balancers()?
        .into_iter()
        .map(|host| host.name.as_str())
        .collect();
    if hosts.is_empty() {
        hosts.push(dns_name);
    }
    let mut wrong = Vec::new();
    for pattern in &service.paths {
        for path in samples(pattern) {
            for host in &hosts {
                let (rule, action) = decide(&rules, &listener.default_action, host, &path);
                let Some(what) = astray(action, &own) else {
                    continue;
                };
                let by = rule.map_or_else(
                    || "the default action".to_owned(),
                    |number| format!("rule {number}"),
                );
                wrong.push(format!("https://{host}{path} {what} by {by}"));
            }
        }
    }
    Ok(wrong)
}

pub(super) fn arrives(scene: &Scene<'_>, name: &str) -> Ruling {
    let service = scene.meant(name)?;
    let (mut wrong, mut any) = (Vec::new(), false);
    for (_, group) in scene.target_groups(name)? {
        for arn in &group.balancers {
            if let Some(listener) = scene.listener(arn, 443)? {
                any = true;
                wrong.extend(ways(scene, service, listener, &scene.balancer(arn)?.dns_name)?);
            }
        }
    }
    Ok(if any {
        Verdict::unless(&wrong, format!("a target group of {name}"))
    } else {
        Verdict::not_applicable("it is behind no listener at 443")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(priority: u32, paths: &[&str], to: &str) -> ListenerRule {
        ListenerRule {
            priority,
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            hosts: Vec::new(),
            more_conditions: false,
            action: Action::Forward(vec![(to.to_owned(), 1)]),
        }
    }

    fn decided(rules: &[ListenerRule], host: &str, path: &str) -> Option<u32> {
        let rules: Vec<_> = rules.iter().collect();
        decide(&rules, &Action::Fixed(404), host, path).0
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rules = [rule(1, &["/api/*"], "api"), rule(2, &["/*"], "pages")];
        assert_eq!(decided(&rules, "shop.example.com", "/api/carts"), Some(1));
        assert_eq!(decided(&rules, "shop.example.com", "/api"), Some(2));
        assert_eq!(
            decided(&rules, "shop.example.com", "/API/carts"),
            Some(2),
            "paths have a case"
        );
        assert_eq!(decided(&rules[..1], "shop.example.com", "/carts"), None);
    }

    #[test]
    fn a_rule_is_for_its_hosts_and_its_whole_condition() {
        let mut rules = [rule(1, &[], "shop"), rule(2, &["/*"], "rest")];
        rules[0].hosts = vec!["*.Example.com".to_owned()];
        assert_eq!(
            decided(&rules, "SHOP.example.com", "/"),
            Some(1),
            "host names have none"
        );
        assert_eq!(decided(&rules, "example.com", "/"), Some(2));
        rules[0].more_conditions = true;
        assert_eq!(decided(&rules, "shop.example.com", "/"), Some(2));
    }

    #[test]
    fn weights_say_who_gets_requests() {
        let to = |groups: &[(&str, u32)]| {
            Action::Forward(
                groups
                    .iter()
                    .map(|(arn, weight)| ((*arn).to_owned(), *weight))
                    .collect(),
            )
        };
        let arn = "arn:aws:elasticloadbalancing:eu-central-1:2:targetgroup/green/1";
        assert_eq!(astray(&to(&[("blue", 100), (arn, 0)]), &["blue"]), None);
        assert_eq!(
            astray(&to(&[("blue", 99), (arn, 1)]), &["blue"]),
            Some("goes to green".to_owned())
        );
        assert!(astray(&to(&[("blue", 0)]), &["blue"]).is_some());
        assert!(astray(&to(&[]), &["blue"]).is_some());
        assert!(astray(&Action::Fixed(503), &["blue"]).is_some());
    }

    #[test]
    fn samples_of_a_pattern_fit_it() {
        assert_eq!(samples("/api/*"), ["/api/", "/api/a-sample"]);
        assert_eq!(samples("/v?/ready"), ["/vx/ready"]);
        for pattern in ["/*", "*", "/a*b", "/health/*"] {
            for path in samples(pattern) {
                assert!(matches(pattern, &path), "{path} of {pattern}");
            }
        }
    }
}
