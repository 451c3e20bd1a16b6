//! `rollout list`: every run, newest last, each with how it stands.

use core::fmt::Write as _;

use rollout_core::Machine as _;
use rollout_core::machine::rollout::Rollout;
use serde_json::{Value, json};

use crate::args::Global;
use crate::exit::Exit;
use crate::outcome;
use crate::past::{self, Past};
use crate::state::{Kept, Part, State};

/// One run.
struct Line {
    run: String,
    release: String,
    target: String,
    began: String,
    state: String,
    /// What was done after its end.
    rollbacks: usize,
}

pub(crate) async fn execute(global: &Global) -> anyhow::Result<Exit> {
    let state = State::open(global).await?;
    let mut lines = Vec::new();
    for kept in state.all().await? {
        lines.push(line(&kept).await);
    }
    lines.sort_by(|a, b| (&a.began, &a.run).cmp(&(&b.began, &b.run)));
    if global.json {
        let text: String = lines.iter().fold(String::new(), |mut text, line| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", json_of(line));
            text
        });
        super::print(&text);
    } else if lines.is_empty() {
        let place = state.place();
        super::say(
            global,
            &format!("there is no run in {place} yet: `rollout run` begins one"),
        );
    } else {
        super::print(&table(&lines));
    }
    Ok(Exit::Done)
}

/// How a run stands. A journal that cannot be read is a line of its own kind: the others are shown all the same.
async fn line(kept: &Kept) -> Line {
    let read = past::read::<Rollout>(kept, Part::Release).await;
    // The release itself is not one.
    let rollbacks = kept.parts().await.map_or(0, |parts| parts.len() - 1);
    match read {
        Ok(past) => Line {
            run: kept.run.to_string(),
            release: past.replayed.machine.plan().release.clone(),
            target: past.replayed.machine.plan().to.to_string(),
            began: past.snapshot.began.to_string(),
            state: standing(kept, &past).await,
            rollbacks,
        },
        Err(error) => Line {
            run: kept.run.to_string(),
            release: String::new(),
            target: String::new(),
            began: String::new(),
            state: format!("unreadable: {error:#}"),
            rollbacks,
        },
    }
}

async fn standing(kept: &Kept, past: &Past<Rollout>) -> String {
    match past.replayed.machine.outcome() {
        Some(outcome) => {
            let target = &past.replayed.machine.plan().to;
            outcome::of_rollout(&outcome, &kept.run, target).name.to_owned()
        }
        None => match kept.driven(Part::Release).await {
            Ok(driven) if driven.is_driven() => "under way".to_owned(),
            Ok(_) | Err(_) => "interrupted".to_owned(),
        },
    }
}

fn table(lines: &[Line]) -> String {
    let wide = |of: fn(&Line) -> &str, title: &str| {
        let longest = lines.iter().map(|line| of(line).chars().count()).max();
        longest.unwrap_or(0).max(title.len())
    };
    let run = wide(|line| &line.run, "RUN");
    let release = wide(|line| &line.release, "RELEASE");
    let target = wide(|line| &line.target, "TARGET");
    let began = wide(|line| &line.began, "BEGAN");
    let mut text = format!(
        "{:run$}  {:release$}  {:target$}  {:began$}  STATE\n",
        "RUN", "RELEASE", "TARGET", "BEGAN"
    );
    for line in lines {
        let after = match line.rollbacks {
            0 => String::new(),
            1 => ", then rolled back by hand".to_owned(),
            n => format!(", then rolled back by hand {n} times"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:run$}  {:release$}  {:target$}  {:began$}  {}{after}",
            line.run, line.release, line.target, line.began, line.state
        );
    }
    text
}

fn json_of(line: &Line) -> Value {
    json!({
        "kind": "run",
        "run": line.run,
        "release": line.release,
        "target": line.target,
        "began": line.began,
        "state": line.state,
        "rollbacks": line.rollbacks,
    })
}
