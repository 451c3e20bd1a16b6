//! Security groups: who lets whom in.

use std::collections::BTreeSet;

use crate::readiness::check::{Ruling, Scene, Verdict};
use crate::readiness::fact::network::{Ingress, SecurityGroup, Source};
use crate::readiness::known::{Unseen, Why};
use crate::readiness::scene::about;

/// What a load balancer lets in from the internet.
const WEB: [u16; 2] = [80, 443];

/// Every security group that a service, a load balancer, a database or a cache is in.
pub(super) fn groups_in_use(scene: &Scene<'_>) -> Result<Vec<String>, Unseen> {
    let mut all = scene.task_groups()?;
    for arn in scene.all_balancers()? {
        all.extend(scene.balancer(&arn)?.security_groups.iter().cloned());
    }
    for name in &scene.intent.data.databases {
        if let Some(database) = scene.facts.databases.find(name)? {
            all.extend(database.security_groups.iter().cloned());
        }
    }
    for name in &scene.intent.data.caches {
        if let Some(cache) = scene.facts.caches.find(name)? {
            let groups = cache.security_groups.get();
            all.extend(groups.map_err(|unseen| about(unseen, name))?.iter().cloned());
        }
    }
    Ok(all.into_iter().collect())
}

pub(super) fn named_group(scene: &Scene<'_>, id: &str) -> Ruling {
    let group = scene.facts.security_groups.get(id)?;
    let seen = || format!("the default security group of {}", group.vpc);
    Ok(Verdict::when(
        group.name != "default",
        seen,
        "a security group of its own",
    ))
}

/// Whether a rule lets something in at a port over TCP.
fn covers(ingress: &Ingress, port: u16) -> bool {
    match ingress.protocol.as_str() {
        "-1" => true,
        "tcp" => ingress.from <= port && port <= ingress.to,
        _ => false,
    }
}

/// A rule in words.
fn said(group: &str, ingress: &Ingress) -> String {
    let from = match &ingress.source {
        Source::Cidr(text) | Source::Group(text) | Source::PrefixList(text) => text,
    };
    let (protocol, first, last) = (&ingress.protocol, ingress.from, ingress.to);
    match protocol.as_str() {
        "-1" => format!("{group} lets {from} in everywhere"),
        _ if first == last => format!("{group} lets {from} in at {protocol} {first}"),
        _ => format!("{group} lets {from} in at {protocol} {first} to {last}"),
    }
}

/// Every rule of some groups, with the group's id.
fn rules<'a>(scene: &Scene<'a>, groups: &'a [String]) -> Result<Vec<(&'a str, &'a Ingress)>, Unseen> {
    let mut all = Vec::new();
    for id in groups {
        let group: &SecurityGroup = scene.facts.security_groups.get(id)?;
        all.extend(group.ingress.iter().map(|ingress| (id.as_str(), ingress)));
    }
    Ok(all)
}

/// A failure that names the rules that are wrong.
fn without(rules: &[(&str, &Ingress)], is_wrong: impl Fn(&Ingress) -> bool, wanted: &str) -> Verdict {
    let wrong = rules.iter().filter(|(_, ingress)| is_wrong(ingress));
    let wrong: Vec<_> = wrong.map(|(group, ingress)| said(group, ingress)).collect();
    Verdict::unless(&wrong, wanted)
}

pub(super) fn balancer_wide(scene: &Scene<'_>, arn: &str) -> Ruling {
    let rules = rules(scene, &scene.balancer(arn)?.security_groups)?;
    let web = |ingress: &Ingress| {
        ingress.protocol == "tcp" && ingress.from == ingress.to && WEB.contains(&ingress.from)
    };
    let is_wrong = |ingress: &Ingress| ingress.source.is_anywhere() && !web(ingress);
    Ok(without(
        &rules,
        is_wrong,
        "nothing but 80 and 443 from the internet",
    ))
}

pub(super) fn balancer_closed(scene: &Scene<'_>, arn: &str) -> Ruling {
    let balancer = scene.balancer(arn)?;
    if !balancer.internet_facing {
        return Ok(Verdict::not_applicable("it is not for the internet"));
    }
    if balancer.security_groups.is_empty() {
        return Ok(Verdict::not_applicable(
            "it has no security group, which lets everything in",
        ));
    }
    let rules = rules(scene, &balancer.security_groups)?;
    // A prefix list is CloudFront's where a distribution stands before it.
    let open =
        |ingress: &Ingress| ingress.source.is_anywhere() || matches!(ingress.source, Source::PrefixList(_));
    let lets_in = |port| {
        rules
            .iter()
            .any(|(_, ingress)| open(ingress) && covers(ingress, port))
    };
    let closed = WEB.into_iter().filter(|port| !lets_in(*port));
    let wrong: Vec<_> = closed.map(|port| format!("nobody comes in at {port}")).collect();
    Ok(Verdict::unless(&wrong, "the internet let in at 80 and 443"))
}

/// The security groups of the load balancers that a service is behind; `None` when it is behind none.
fn balancer_groups(scene: &Scene<'_>, service: &str) -> Result<Option<BTreeSet<String>>, Unseen> {
    let mut groups = None;
    for (_, group) in scene.target_groups(service)? {
        for arn in &group.balancers {
            let of_it = scene.balancer(arn)?.security_groups.iter().cloned();
            groups.get_or_insert_with(BTreeSet::new).extend(of_it);
        }
    }
    Ok(groups)
}

const UNGROUPED: &str =
    "its load balancer has no security group: requests come from the addresses of clients";

pub(super) fn task_wide(scene: &Scene<'_>, name: &str) -> Ruling {
    let rules = rules(scene, &scene.service(name)?.security_groups)?;
    let groups = balancer_groups(scene, name)?;
    if groups.as_ref().is_some_and(BTreeSet::is_empty) {
        return Ok(Verdict::not_applicable(UNGROUPED));
    }
    let port = scene.meant(name)?.port;
    let is_wrong = |ingress: &Ingress| match (&ingress.source, &groups, port) {
        (Source::Cidr(_) | Source::PrefixList(_), ..) => true,
        (Source::Group(from), Some(groups), Some(port)) => covers(ingress, port) && !groups.contains(from),
        // Nobody is kept from it by a load balancer: other groups of the environment may come.
        (Source::Group(_), None, _) | (Source::Group(_), _, None) => false,
    };
    Ok(without(
        &rules,
        is_wrong,
        "only the load balancer's security group let in",
    ))
}

pub(super) fn task_closed(scene: &Scene<'_>, name: &str) -> Ruling {
    let rules = rules(scene, &scene.service(name)?.security_groups)?;
    let (Some(port), Some(groups)) = (scene.meant(name)?.port, balancer_groups(scene, name)?) else {
        return Ok(Verdict::not_applicable("it is behind no load balancer"));
    };
    if groups.is_empty() {
        return Ok(Verdict::not_applicable(UNGROUPED));
    }
    let lets_in = |ingress: &Ingress| match &ingress.source {
        Source::Group(from) => covers(ingress, port) && groups.contains(from),
        // Its addresses may be among them; that they are too many is another check's failure.
        Source::Cidr(_) | Source::PrefixList(_) => covers(ingress, port),
    };
    let open = rules.iter().any(|(_, ingress)| lets_in(ingress));
    let seen = || format!("the load balancer is not let in at {port}");
    Ok(Verdict::when(
        open,
        seen,
        format!("the load balancer's security group let in at {port}"),
    ))
}

/// Whether only tasks come in, be it at another port. What is in a VPC is in a group: where none is told, nothing is known.
fn only_tasks(scene: &Scene<'_>, name: &str, groups: &[String]) -> Ruling {
    if groups.is_empty() {
        return Err(Unseen::new(Why::Failed, name, "no security group of it is told"));
    }
    let tasks = scene.task_groups()?;
    let rules = rules(scene, groups)?;
    let is_wrong = |ingress: &Ingress| match &ingress.source {
        Source::Group(from) => !tasks.contains(from),
        Source::Cidr(_) | Source::PrefixList(_) => true,
    };
    Ok(without(
        &rules,
        is_wrong,
        "only the security groups of the tasks let in",
    ))
}

pub(super) fn database_wide(scene: &Scene<'_>, name: &str) -> Ruling {
    only_tasks(scene, name, &scene.facts.databases.get(name)?.security_groups)
}

pub(super) fn cache_wide(scene: &Scene<'_>, name: &str) -> Ruling {
    let groups = scene.facts.caches.get(name)?.security_groups.get();
    only_tasks(scene, name, groups.map_err(|unseen| about(unseen, name))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::example;
    use crate::readiness::known::Known;

    #[test]
    fn without_a_security_group_nothing_is_known_of_who_comes_in() {
        let (mut facts, intent) = example::shop();
        let database = facts.databases.seen_mut("storefront").expect("the shop has one");
        database.security_groups.clear();
        let cache = facts.caches.seen_mut("storefront").expect("the shop has one");
        cache.security_groups = Known::Seen(Vec::new());
        let scene = Scene {
            facts: &facts,
            intent: &intent,
        };
        for ruling in [
            database_wide(&scene, "storefront"),
            cache_wide(&scene, "storefront"),
        ] {
            assert!(ruling.is_err_and(|unseen| unseen.why == Why::Failed));
        }
    }
}
