//! What no table can check alone: names across tables, order, doubles.

use std::collections::{BTreeMap, BTreeSet};

use rollout_core::id::ServiceName;
use rollout_core::probe::ProbeTarget;

use super::reader::Sink;
use super::{At, Loaded, Service};
use crate::config::diagnostic::suggest;

pub(super) fn check(loaded: &Loaded, sink: &Sink) {
    promotion(loaded, sink);
    verification(loaded, sink);
    doubles(loaded, sink);
    readiness(loaded, sink);
    if loaded.complete {
        order(loaded, sink);
        versions(loaded, sink);
    }
}

fn promotion(loaded: &Loaded, sink: &Sink) {
    let names: Vec<&str> = loaded.names.iter().map(|name| name.as_str()).collect();
    for end in [&loaded.from, &loaded.to] {
        if !loaded.names.contains(&end.value) {
            let fault = sink.at(&end.span, format!("there is no environment `{}`", end.value));
            sink.push(fault.help_maybe(suggest(end.value.as_str(), names.iter().copied())));
        }
    }
    if loaded.from.value == loaded.to.value {
        let fault = sink.at(
            &loaded.to.span,
            format!("`from` and `to` are both `{}`", loaded.to.value),
        );
        sink.push(fault.help("a release goes from the environment that has proven it to another one"));
    }
}

/// A gate that asks for readiness needs the file that says what that is.
fn readiness(loaded: &Loaded, sink: &Sink) {
    let config = &loaded.value;
    let of_services = config.services.iter().flat_map(|service| &service.gates);
    let mut probes = of_services.chain(&config.gates).flat_map(|gate| &gate.probes);
    let asks = probes.any(|probe| probe.target == ProbeTarget::Readiness);
    if asks && config.readiness.is_none() {
        let fault = sink.at(
            &(0..0),
            "a gate asks for the environment's readiness, but no readiness file is named",
        );
        sink.push(fault.help("add `readiness = \"readiness.toml\"` at the top level of the file"));
    }
}

fn verification(loaded: &Loaded, sink: &Sink) {
    let mut records = loaded.value.dns.iter();
    let Some(first) = records.next() else { return };
    for dns in records.filter(|dns| dns.verify != first.verify) {
        let fault = sink.at(
            &dns.span,
            format!(
                "the record {} is verified in another way than {}",
                dns.key, first.key
            ),
        );
        sink.push(fault.help("give all records the same `verify`"));
    }
}

fn doubles(loaded: &Loaded, sink: &Sink) {
    let mut names = BTreeSet::new();
    for service in &loaded.value.services {
        if !names.insert(service.name.as_str()) {
            let fault = sink.at(
                &service.span,
                format!("there are two services named `{}`", service.name),
            );
            sink.push(fault.help("give each its own name; one ECS service is deployed once per release"));
        }
    }
    let mut names = BTreeSet::new();
    for task in &loaded.value.tasks {
        if !names.insert(task.name.as_str()) {
            let fault = sink.at(&task.span, format!("there are two tasks named `{}`", task.name));
            sink.push(fault.help("give each its own name"));
        }
    }
    let mut records = BTreeMap::new();
    for dns in &loaded.value.dns {
        let key = (
            dns.zone.clone(),
            dns.key.name.normalised(),
            dns.key.record_type.clone(),
            dns.key.set_identifier.clone(),
        );
        if records.insert(key, ()).is_some() {
            let fault = sink.at(&dns.span, format!("the record {} is moved twice", dns.key));
            sink.push(fault.help("one release moves a record once"));
        }
    }
}

fn order(loaded: &Loaded, sink: &Sink) {
    let services = &loaded.value.services;
    let names: Vec<&str> = services.iter().map(|s| s.name.as_str()).collect();
    for service in services {
        for before in &service.after {
            if before.value == service.name {
                let fault = sink.at(&before.span, format!("`{}` comes after itself", service.name));
                sink.push(fault.help("remove it from `after`"));
            } else if !names.contains(&before.value.as_str()) {
                let fault = sink.at(&before.span, format!("there is no service `{}`", before.value));
                sink.push(fault.help_maybe(suggest(before.value.as_str(), names.iter().copied())));
            }
        }
    }
    if let Some((at, path)) = cycle(services) {
        let fault = sink.at(&at.span, "the order of the services goes in a circle");
        sink.push(fault.help(format!("{path}: remove one `after`")));
    }
}

/// A circle in the order, told at the `after` that closes it.
fn cycle(services: &[Service]) -> Option<(&At<ServiceName>, String)> {
    let by_name: BTreeMap<&ServiceName, &Service> = services.iter().map(|s| (&s.name, s)).collect();
    let mut done = BTreeSet::new();
    services
        .iter()
        .find_map(|s| descend(s, &by_name, &mut Vec::new(), &mut done))
}

fn descend<'a>(
    service: &'a Service,
    by_name: &BTreeMap<&ServiceName, &'a Service>,
    path: &mut Vec<&'a str>,
    done: &mut BTreeSet<&'a str>,
) -> Option<(&'a At<ServiceName>, String)> {
    path.push(service.name.as_str());
    // A service after itself has its own message.
    for before in service.after.iter().filter(|b| b.value != service.name) {
        let name = before.value.as_str();
        if let Some(start) = path.iter().position(|p| *p == name) {
            let circle: Vec<&str> = path[start..].iter().copied().chain([name]).collect();
            return Some((before, circle.join(" after ")));
        }
        if !done.contains(name)
            && let Some(next) = by_name.get(&before.value)
            && let Some(found) = descend(next, by_name, path, done)
        {
            return Some(found);
        }
    }
    path.pop();
    done.insert(service.name.as_str());
    None
}

/// One repository has one version in a release: a task must run what the services run.
fn versions(loaded: &Loaded, sink: &Sink) {
    let config = &loaded.value;
    let mut seen = BTreeMap::new();
    let services = config.services.iter().map(|s| &s.images);
    let tasks = config.tasks.iter().map(|t| &t.images);
    for image in services.chain(tasks).flat_map(BTreeMap::values) {
        let first = seen.entry(image.value.from.clone()).or_insert(image);
        if first.value != image.value {
            let what = format!("`{}` is named with two versions or targets", image.value.from);
            let (path, place) = sink.place(first.span.start);
            let (own, _) = sink.place(image.span.start);
            let of = if path == own {
                String::new()
            } else {
                format!(" of {}", path.display())
            };
            let fault = sink.at(&image.span, what);
            sink.push(fault.help(format!(
                "line {}{of} says otherwise: a release has one version of an image",
                place.line
            )));
        }
    }
    let proven: BTreeSet<_> = config
        .services
        .iter()
        .flat_map(|s| s.images.values())
        .map(|i| &i.value.from)
        .collect();
    for task in &config.tasks {
        for (container, image) in task
            .images
            .iter()
            .filter(|(_, i)| !proven.contains(&i.value.from))
        {
            let what = format!(
                "`{}` is run by no service, so {} cannot have proven it",
                image.value.from, config.promotion.from
            );
            let fault = sink.at(&image.span, what);
            sink.push(fault.help(format!(
                "give `{container}` of task `{}` an image that a service runs too",
                task.name
            )));
        }
    }
}
