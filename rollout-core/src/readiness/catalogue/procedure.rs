//! What people do.

use std::collections::BTreeMap;

use super::rollback::day;
use crate::plan::window::WindowState;
use crate::readiness::check::{Over, Rule, Ruling, Scene, Verdict};
use crate::readiness::intent::Release;
use crate::readiness::known::Unseen;

pub(super) const RULES: &[Rule] = &[
    rule!(
        "procedure_release_frozen", Procedure, High, BLOCKING, PRODUCTION,
        title: "No freeze is on",
        why: "Somebody has said that nothing may change now, and had a reason.",
        remedy: "Wait until the freeze is over, or let whoever declared it take it out of the configuration's window.",
        cli: "",
        terraform: "",
        cdk: "",
        source: "AWS Systems Manager User Guide, \"AWS Systems Manager Change Calendar\"",
        over: Over::Environment(frozen),
    ),
    rule!(
        "procedure_window_closed", Procedure, High, BLOCKING, PRODUCTION,
        title: "The release window is open",
        why: "Outside it nobody is there who could mend what breaks.",
        remedy: "Wait until the window opens.",
        cli: "",
        terraform: "",
        cdk: "",
        source: "AWS Well-Architected Framework, \"OPS06-BP03 Employ safe deployment strategies\"",
        over: Over::Environment(window),
    ),
    rule!(
        "procedure_owner_missing", Procedure, Medium, ADVISORY, PRODUCTION,
        title: "Somebody answers for each area",
        why: "In the night nobody should have to find out whom to call.",
        remedy: "Name an owner for each area in the readiness file.",
        cli: "",
        terraform: "",
        cdk: "",
        source: "AWS Well-Architected Framework, \"OPS02-BP01 Resources have identified owners\"",
        over: Over::Each { which: areas, judge: owned },
    ),
    rule!(
        "procedure_approval_missing", Procedure, High, BLOCKING, PRODUCTION,
        title: "Enough people have agreed to this release",
        why: "A second pair of eyes sees what the first does not.",
        remedy: "Let them approve, and write it down in the readiness file.",
        cli: "",
        terraform: "",
        cdk: "",
        source: "AWS Well-Architected Framework, \"OPS06-BP03 Employ safe deployment strategies\"",
        over: Over::Environment(approved),
    ),
    rule!(
        "procedure_digest_unproven", Procedure, Critical, BLOCKING, PRODUCTION,
        title: "The source environment runs exactly these digests",
        why: "What was tested there and what is released here must be the same bytes.",
        remedy: "Release to the source environment first, or release what it runs.",
        cli: "aws ecs describe-tasks --cluster <cluster> --tasks <task> --query 'tasks[].containers[].imageDigest'",
        terraform: "",
        cdk: "",
        source: "AWS Well-Architected Framework, \"OPS05-BP08 Use multiple environments\"",
        over: Over::Each { which: released, judge: proven },
    ),
    rule!(
        "procedure_soak_short", Procedure, High, BLOCKING, PRODUCTION,
        title: "The release has run in the source environment for long enough",
        why: "Leaks, nightly jobs and slow faults show only with time.",
        remedy: "Wait until the soak time is over.",
        cli: "",
        terraform: "",
        cdk: "",
        source: "AWS Well-Architected Framework, \"OPS05-BP08 Use multiple environments\"",
        over: Over::Each { which: released, judge: soaked },
    ),
    rule!(
        "procedure_smoke_test_missing", Procedure, High, BLOCKING, PRODUCTION,
        title: "The smoke tests of this release passed in the source environment",
        why: "They are the cheapest place to find what is broken.",
        remedy: "Run them against the source environment, and write the result down in the readiness file.",
        cli: "",
        terraform: "",
        cdk: "",
        source: "AWS Well-Architected Framework, \"OPS06-BP04 Automate testing and rollback\"",
        over: Over::Environment(smoke),
    ),
];

fn always() -> Verdict {
    Verdict::not_applicable("a release may begin at any time")
}

fn frozen(scene: &Scene<'_>) -> Ruling {
    let Some(window) = &scene.intent.procedure.window else {
        return Ok(always());
    };
    Ok(match window.at(scene.facts.at) {
        WindowState::Shut { why: Some(why), .. } => Verdict::fail(why, "no freeze"),
        WindowState::Shut { why: None, .. } | WindowState::Open { .. } => Verdict::Pass,
    })
}

fn window(scene: &Scene<'_>) -> Ruling {
    let Some(window) = &scene.intent.procedure.window else {
        return Ok(always());
    };
    let hours: Vec<String> = window.open.iter().map(ToString::to_string).collect();
    let wanted = format!("{}, {} from UTC", hours.join(", "), window.offset);
    Ok(match window.at(scene.facts.at) {
        // When it was looked at would change what is seen every minute.
        WindowState::Shut { why: None, .. } => Verdict::fail("it is closed", wanted),
        WindowState::Shut { why: Some(_), .. } => Verdict::not_applicable("a freeze is on"),
        WindowState::Open { .. } => Verdict::Pass,
    })
}

fn areas(scene: &Scene<'_>) -> Result<Vec<String>, Unseen> {
    Ok(scene.intent.procedure.areas.clone())
}

fn owned(scene: &Scene<'_>, area: &str) -> Ruling {
    let owner = scene.intent.procedure.owners.get(area);
    let named = owner.is_some_and(|owner| !owner.trim().is_empty());
    Ok(Verdict::when(named, || "nobody".to_owned(), "an owner"))
}

/// The release that is about to be made; without one there is nothing to judge.
fn release<'a>(scene: &Scene<'a>) -> Option<&'a Release> {
    scene.intent.release.as_ref()
}

fn no_release() -> Verdict {
    Verdict::not_applicable("no release is about to be made")
}

fn approved(scene: &Scene<'_>) -> Ruling {
    let Some(release) = release(scene) else {
        return Ok(no_release());
    };
    let wanted = scene.intent.procedure.approvals;
    let of_this = scene.facts.records.approvals.iter();
    let of_this =
        of_this.filter(|record| record.passed && record.about.as_deref() == Some(release.name.as_str()));
    // One that is dated ahead says what somebody means to do.
    let of_this = of_this.filter(|record| !record.is_ahead(scene.facts.at));
    let people: BTreeMap<String, &str> = of_this
        .map(|record| (record.by.trim().to_lowercase(), record.by.trim()))
        .collect();
    let enough = u32::try_from(people.len()).unwrap_or(u32::MAX) >= wanted;
    let seen = || match people.len() {
        0 => "nobody".to_owned(),
        _ => people.values().copied().collect::<Vec<_>>().join(", "),
    };
    Ok(Verdict::when(
        enough,
        seen,
        format!("{wanted} people who agree to {}", release.name),
    ))
}

fn released(scene: &Scene<'_>) -> Result<Vec<String>, Unseen> {
    let services = release(scene).map(|release| release.images.keys().map(ToString::to_string).collect());
    Ok(services.unwrap_or_default())
}

fn digest(image: &str) -> &str {
    image.rsplit_once('@').map_or(image, |(_, digest)| digest)
}

/// What a service of the release runs where it was proven, that is not what is released: by container.
fn differing(scene: &Scene<'_>, service: &str) -> Result<Vec<String>, Unseen> {
    let running = &scene.facts.proven.get(service)?.images;
    let images = release(scene).and_then(|release| {
        let named = release.images.iter().find(|(name, _)| name.as_str() == service);
        named.map(|(_, images)| images)
    });
    let images = images.ok_or_else(|| Unseen::not_asked(service))?;
    let differs = |(container, wanted): (&String, &String)| match running.get(container) {
        Some(seen) if digest(seen) == digest(wanted) => None,
        Some(seen) => Some(format!("{container} runs {}", digest(seen))),
        None => Some(format!("{container} does not run")),
    };
    Ok(images.iter().filter_map(differs).collect())
}

fn proven(scene: &Scene<'_>, service: &str) -> Ruling {
    let differing = differing(scene, service)?;
    Ok(Verdict::unless(&differing, "the digests of the release"))
}

fn soaked(scene: &Scene<'_>, service: &str) -> Ruling {
    if !differing(scene, service)?.is_empty() {
        return Ok(Verdict::not_applicable("something else runs there"));
    }
    let soak = scene.intent.procedure.soak;
    let wanted = format!("{} or longer", humantime::format_duration(soak));
    let Some(since) = scene.facts.proven.get(service)?.since else {
        return Ok(Verdict::fail("since when it runs there is not told", wanted));
    };
    let long_enough = scene.facts.at.since(since) >= soak;
    Ok(Verdict::when(long_enough, || format!("since {since}"), wanted))
}

fn smoke(scene: &Scene<'_>) -> Ruling {
    if !scene.intent.procedure.smoke_tests {
        return Ok(Verdict::not_applicable("no smoke tests are asked for"));
    }
    let Some(release) = release(scene) else {
        return Ok(no_release());
    };
    let wanted = format!("smoke tests of {} that passed", release.name);
    Ok(match scene.facts.records.smoke_test.find()? {
        None => Verdict::fail("none is written down", wanted),
        Some(test) if test.about.as_deref() != Some(release.name.as_str()) => {
            let about = test.about.as_deref().unwrap_or("something else");
            Verdict::fail(format!("the last one was of {about}"), wanted)
        }
        Some(test) if test.is_ahead(scene.facts.at) => {
            Verdict::fail(format!("they are dated {}", day(test.at)), wanted)
        }
        Some(test) if !test.passed => Verdict::fail(format!("they failed on {}", day(test.at)), wanted),
        Some(_) => Verdict::Pass,
    })
}
