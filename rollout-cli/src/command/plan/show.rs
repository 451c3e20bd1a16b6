//! A plan for people and for programs.

use core::fmt::Write as _;
use core::time::Duration;

use rollout_core::id::ImageDigest;
use rollout_core::plan::worst::WorstCase;
use rollout_core::plan::{ServicePlan, TaskPlan, When, step};
use rollout_core::service::Captured;
use rollout_core::time::human;
use serde_json::{Value, json};

use super::Found;
use crate::exit::Exit;
use crate::planfile::Written;
use crate::view::paint::{Colour, Paint};

pub(super) fn text(found: &Found, paint: Paint) -> String {
    let plan = &found.plan;
    let mut out = String::new();
    let title = format!("{}: {} → {}", plan.release, plan.from, plan.to);
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(out, "{}", paint.strong(&title));
    if let Some(who) = &found.identity {
        let _ = writeln!(
            out,
            "  as {} in account {}, {}",
            who.caller, who.account, who.region
        );
    }
    for overlay in &found.overlays {
        let _ = writeln!(out, "  with overlay {}", overlay.display());
    }
    let tasks = |when: When| plan.tasks.iter().filter(move |task| task.when == when);
    tasks(When::BeforeServices).for_each(|task| task_text(task, paint, &mut out));
    plan.services
        .iter()
        .for_each(|service| service_text(found, service, paint, &mut out));
    tasks(When::AfterServices).for_each(|task| task_text(task, paint, &mut out));
    for gate in &plan.gates {
        let _ = writeln!(out, "\n{} {}", paint.strong("gate"), gate.name);
        let _ = writeln!(out, "  {}", gate_text(gate));
    }
    records_text(found, paint, &mut out);
    let worst = found.worst();
    let _ = writeln!(
        out,
        "\nat worst it takes {}: {} forward, {} back",
        coarse(worst.total()),
        coarse(worst.forward()),
        coarse(worst.back)
    );
    refusals_text(found, paint, &mut out);
    out
}

fn task_text(task: &TaskPlan, paint: Paint, out: &mut String) {
    let _ = writeln!(out, "\n{} {}", paint.strong("task"), task.name);
    let images: Vec<String> = task
        .images
        .iter()
        .map(|(container, from)| format!("{container} from {from}"))
        .collect();
    let back = if task.reversible {
        "services may go back over it"
    } else {
        "nothing goes back over it once it ran"
    };
    let _ = writeln!(out, "  runs once, {}; {back}", images.join(", "));
}

fn service_text(found: &Found, service: &ServicePlan, paint: Paint, out: &mut String) {
    let after: Vec<&str> = service.after.iter().map(|name| name.as_str()).collect();
    let after = if after.is_empty() {
        String::new()
    } else {
        format!("  after {}", after.join(", "))
    };
    let _ = writeln!(out, "\n{} {}{after}", paint.strong("service"), service.name);
    for container in service.images.keys() {
        let (old, new) = digests(found, service, container);
        let change = match (old, new) {
            (Some(old), Some(new)) if old == new => format!("{} already", new.short()),
            (Some(old), Some(new)) => {
                format!("{} → {}", old.short(), paint.colour(Colour::Green, new.short()))
            }
            (None, Some(new)) => format!("→ {}", paint.colour(Colour::Green, new.short())),
            (_, None) => "not resolved".to_owned(),
        };
        let _ = writeln!(out, "  {container}: {change}");
    }
    let back = match found.captured.get(service.name.as_str()) {
        Some(Captured::Point(point)) => format!(
            "goes back to {}, {} tasks",
            name_of(point.task_definition.as_str()),
            point.desired
        ),
        Some(Captured::Nothing { why, .. }) => {
            paint.colour(Colour::Yellow, &format!("cannot go back: {why}"))
        }
        Some(Captured::Busy { text, .. }) => {
            paint.colour(Colour::Yellow, &format!("is being deployed: {text}"))
        }
        None => "what it runs is not known".to_owned(),
    };
    let _ = writeln!(out, "  {back}");
    for gate in &service.gates {
        let _ = writeln!(out, "  gate {}: {}", gate.name, gate_text(gate));
    }
}

fn gate_text(gate: &rollout_core::plan::GatePlan) -> String {
    let probes: Vec<&str> = gate.probes.iter().map(|probe| probe.name.as_str()).collect();
    format!(
        "{} for {}, within {}",
        probes.join(", "),
        human(gate.bake),
        human(gate.give_up)
    )
}

fn records_text(found: &Found, paint: Paint, out: &mut String) {
    for cutover in &found.plan.cutovers {
        let _ = writeln!(out, "\n{} {}", paint.strong("dns"), cutover.key);
        let old = found.record(&cutover.key).map(|snapshot| {
            snapshot
                .record
                .as_ref()
                .map_or_else(|| "no record".to_owned(), |record| record.data.to_string())
        });
        let old = old.unwrap_or_else(|| "not read".to_owned());
        let _ = writeln!(
            out,
            "  {old} → {}",
            paint.colour(Colour::Green, &cutover.to.to_string())
        );
    }
}

fn refusals_text(found: &Found, paint: Paint, out: &mut String) {
    if found.refusals.is_empty() {
        let _ = match &found.kept {
            None => writeln!(out, "nothing was changed; `rollout run` does it"),
            Some(kept) => {
                let file = kept.file.display();
                let what = match kept.written {
                    Written::New => "the plan is in",
                    Written::Already => "the same plan is already in",
                };
                writeln!(
                    out,
                    "nothing was changed; {what} {file}, made at {}\n  sha256 {}\n  `rollout run --plan {file}` does just that, unless \
                     the world has moved by then",
                    kept.made_at, kept.sha256
                )
            }
        };
        return;
    }
    for why in &found.refusals {
        let _ = writeln!(
            out,
            "\n{} {}",
            paint.bold(Colour::Red, "✗ a run would refuse:"),
            why.text
        );
        for piece in &why.evidence {
            let _ = writeln!(
                out,
                "  {}: {} {}",
                piece.subject,
                piece.detail,
                paint.colour(Colour::Grey, &format!("[{}]", piece.source))
            );
        }
    }
}

pub(super) fn json(found: &Found, exit: Exit) -> Value {
    let plan = &found.plan;
    let services: Vec<Value> = plan
        .services
        .iter()
        .map(|service| {
            let images: serde_json::Map<String, Value> = service
                .images
                .keys()
                .map(|container| {
                    let (from, to) = digests(found, service, container);
                    (container.to_string(), json!({ "from": from, "to": to }))
                })
                .collect();
            json!({
                "service": service.name,
                "after": service.after,
                "images": images,
                "goes_back_to": found.captured.get(service.name.as_str()),
                "gates": service.gates.iter().map(|gate| gate.name.as_str()).collect::<Vec<_>>(),
            })
        })
        .collect();
    let records: Vec<Value> = plan
        .cutovers
        .iter()
        .map(|cutover| {
            let now = found
                .record(&cutover.key)
                .and_then(|snapshot| snapshot.record.clone());
            json!({ "record": cutover.key, "from": now, "to": cutover.to })
        })
        .collect();
    json!({
        "kind": "plan",
        "release": plan.release,
        "from": plan.from,
        "to": plan.to,
        "overlays": found.overlays,
        "identity": found.identity,
        "tasks": plan.tasks.iter().map(|task| json!({ "task": task.name, "when": task.when, "reversible": task.reversible })).collect::<Vec<_>>(),
        "services": services,
        "gates": plan.gates.iter().map(|gate| gate.name.as_str()).collect::<Vec<_>>(),
        "dns": records,
        "worst_case": worst(&found.worst()),
        "kept": found.kept.as_ref().map(|kept| json!({
            "file": kept.file.display().to_string(),
            "sha256": kept.sha256,
            "made_at": kept.made_at.to_string(),
            "written": kept.written == Written::New,
        })),
        "refusals": found.refusals,
        "exit_code": exit.number(),
    })
}

/// In seconds, part by part.
fn worst(worst: &WorstCase) -> Value {
    let parts = [
        ("total", worst.total()),
        ("forward", worst.forward()),
        ("check", worst.check),
        ("images", worst.images),
        ("tasks", worst.tasks),
        ("services", worst.services),
        ("gates", worst.gates),
        ("records", worst.records),
        ("confirm", worst.confirm),
        ("back", worst.back),
    ];
    let whole = |span: Duration| span.as_millis().div_ceil(1000);
    parts
        .into_iter()
        .map(|(part, span)| {
            (
                part.to_owned(),
                json!(u64::try_from(whole(span)).unwrap_or(u64::MAX)),
            )
        })
        .collect()
}

/// In whole minutes, rounded up: nobody plans a worst case by the second.
fn coarse(span: Duration) -> String {
    human(Duration::from_secs(
        span.as_secs().div_ceil(60).saturating_mul(60),
    ))
}

/// What a container runs and what it would run.
fn digests<'a>(
    found: &'a Found,
    service: &ServicePlan,
    container: &rollout_core::id::ContainerName,
) -> (Option<&'a ImageDigest>, Option<&'a ImageDigest>) {
    let old = match found.captured.get(service.name.as_str()) {
        Some(Captured::Point(point)) => point.images.get(container),
        Some(Captured::Busy { .. } | Captured::Nothing { .. }) | None => None,
    };
    (old, found.digests.get(&step::image(&service.name, container)))
}

/// `backend:41` of a revision's ARN.
fn name_of(arn: &str) -> &str {
    arn.rsplit_once('/').map_or(arn, |(_, name)| name)
}
