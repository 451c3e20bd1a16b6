//! The tables, as Markdown.

use core::time::Duration;
use std::fmt::Write as _;

use rollout_tests::many::{Held, Report};

/// What is written stands between these two lines.
pub(crate) const BEGIN: &str = "<!-- many: begin, written by `cargo xtask many` -->";
pub(crate) const END: &str = "<!-- many: end -->";

/// The page with what stands between the two lines replaced.
pub(crate) fn put(page: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{text}\n{END}{after}"))
}

fn secs(span: Duration) -> String {
    let whole = span.as_secs();
    match whole {
        0..600 => format!("{whole} s"),
        600..7_200 => format!("{} min", whole / 60),
        _ => format!("{}.{} h", whole / 3_600, whole % 3_600 / 360),
    }
}

fn kib(bytes: u64) -> String {
    format!("{} KiB", bytes / 1_024)
}

#[expect(clippy::cast_precision_loss, reason = "counts of calls")]
fn each(all: usize, many: usize) -> String {
    format!("{:.1}", all as f64 / many as f64)
}

pub(crate) fn of(shared: &[Report], apart: &[Report], held: &[Held]) -> String {
    let mut text = String::new();
    let alone = shared.first().map(|one| one.took).unwrap_or_default();
    sweeps(&mut text, shared);
    whole(&mut text, shared, alone);
    machine(&mut text, shared);
    alone_in_a_process(&mut text, held);
    without(&mut text, shared, apart);
    text.push_str("\n![Time for all rollouts over how many there are, with and without a shared observer, and the floor](many.svg)");
    text
}

/// Writing to a string cannot fail, so its result says nothing.
fn sweeps(text: &mut String, shared: &[Report]) {
    text.push_str(
        "\nOne look at every service and alarm at the same time, in calls:\n\n\
         | rollouts | DescribeServices | DescribeAlarms | DescribeServiceDeployments | DescribeTasks | ListTasks | ListServiceDeployments | throttled |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for r in shared {
        let count = |name: &str| r.sweep.count(name);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            r.many,
            count("ecs:DescribeServices"),
            count("monitoring:DescribeAlarms"),
            count("ecs:DescribeServiceDeployments"),
            count("ecs:DescribeTasks"),
            count("ecs:ListTasks"),
            count("ecs:ListServiceDeployments"),
            r.sweep.throttled,
        );
    }
}

fn whole(text: &mut String, shared: &[Report], alone: Duration) {
    text.push_str(
        "\nWhole rollouts, all begun at once:\n\n\
         | rollouts | released | throttled | calls | a rollout | of them DescribeServices | time in the world | bucket floor | over the floor and one rollout alone |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for r in shared {
        let over = r.took.as_secs_f64() / (r.floor() + alone).as_secs_f64();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {over:.2} |",
            r.many,
            r.released,
            r.calls.throttled,
            r.calls.all,
            each(r.calls.all, r.many),
            r.calls.count("ecs:DescribeServices"),
            secs(r.took),
            secs(r.floor()),
        );
    }
}

fn machine(text: &mut String, shared: &[Report]) {
    text.push_str(
        "\nWhat that costs the machine, with the simulated cloud in the same process:\n\n\
         | rollouts | resident memory on top, a rollout | a driver's future | a stored machine at its start | journal records | CPU, a rollout | wall time |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for r in shared {
        let many = u64::try_from(r.many).unwrap_or(1);
        let bytes = |count: usize| kib(u64::try_from(count).unwrap_or(u64::MAX));
        let cpu = r.cpu / u32::try_from(r.many).unwrap_or(1);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} ms | {} s |",
            r.many,
            kib(r.resident / many),
            bytes(r.future),
            bytes(r.stored),
            r.records,
            cpu.as_millis(),
            r.wall.as_secs(),
        );
    }
}

fn alone_in_a_process(text: &mut String, held: &[Held]) {
    if held.is_empty() {
        return;
    }
    text.push_str(
        "\nThe same rollouts in a process without any cloud, resumed where each has most to remember, with the group journal:\n\n\
         | rollouts | after | resident memory on top | a rollout |\n\
         |---|---|---|---|\n",
    );
    for h in held {
        let (at, of) = h.at;
        #[expect(clippy::cast_precision_loss, reason = "bytes of a process")]
        let (all, many) = (h.resident as f64 / 1_024.0, h.many as f64);
        let _ = writeln!(
            text,
            "| {} | {at} of {of} records | {:.1} MiB | {:.1} KiB |",
            h.many,
            all / 1_024.0,
            all / many
        );
    }
}

fn without(text: &mut String, shared: &[Report], apart: &[Report]) {
    text.push_str(
        "\nThe same without an observer, each rollout for itself:\n\n\
         | rollouts | released | throttled | calls | against the shared ones | time in the world |\n\
         |---|---|---|---|---|---|\n",
    );
    for r in apart {
        let with = shared.iter().find(|with| with.many == r.many);
        let ratio = with.map_or_else(String::new, |with| each(r.calls.all, with.calls.all));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {ratio} | {} |",
            r.many,
            r.released,
            r.calls.throttled,
            r.calls.all,
            secs(r.took),
        );
    }
}
