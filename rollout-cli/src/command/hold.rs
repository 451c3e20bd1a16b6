//! `rollout hold`: what is held since a rollback, and letting releases in again.

use anyhow::bail;
use serde_json::json;

use crate::args::{Global, HoldCommand};
use crate::exit::Exit;
use crate::hold::{Lifted, TakenBack};
use crate::runner::someone;
use crate::state::State;
use crate::wall::now;

pub(crate) async fn execute(global: &Global, command: &HoldCommand) -> anyhow::Result<Exit> {
    let state = State::open(global).await?;
    match command {
        HoldCommand::Show(which) => {
            let mut all = state.all_taken_back().await?;
            if let Some(environment) = &which.env {
                all.retain(|taken| taken.environment == *environment);
            }
            if global.json {
                for taken in &all {
                    super::print(&format!("{}\n", line(taken)));
                }
            } else {
                super::print(&text(global, &all));
            }
        }
        HoldCommand::Lift(which) => {
            let environment = &which.env;
            let Some(mut taken) = state.held(environment).await? else {
                let held = state.all_taken_back().await?;
                let names: Vec<&str> = held
                    .iter()
                    .filter(|taken| taken.is_held())
                    .map(|taken| taken.environment.as_str())
                    .collect();
                let held = if names.is_empty() {
                    "nothing is".to_owned()
                } else {
                    format!("held: {}", names.join(", "))
                };
                bail!("{environment} is not held in {}; {held}", state.place());
            };
            taken.lifted = Some(Lifted {
                by: someone(),
                at: now(),
            });
            state.take_back(&taken).await?;
            let said = format!("{environment} is held no more ({})", taken.told());
            super::say(global, &said);
        }
    }
    Ok(Exit::Done)
}

fn line(taken: &TakenBack) -> serde_json::Value {
    json!({ "kind": "hold", "active": taken.is_held(), "taken_back": taken })
}

fn text(global: &Global, all: &[TakenBack]) -> String {
    if all.is_empty() {
        return "nothing is held\n".to_owned();
    }
    let mut text = String::new();
    for taken in all {
        let state = match &taken.lifted {
            _ if taken.is_held() => "held".to_owned(),
            Some(lifted) => format!("not held any more: {} lifted it at {}", lifted.by, lifted.at),
            None => "not held".to_owned(),
        };
        text.push_str(&format!("{}: {state}\n  {}\n", taken.environment, taken.told()));
        if taken.is_held() {
            let next = taken.next();
            if let Some(lift) = next.first() {
                text.push_str(&format!("  next     {}\n", global.again(lift)));
            }
        }
    }
    text
}
