//! `rollout graph`: the machines as diagrams, from the tables that run.

use core::fmt::Write as _;

use anyhow::bail;
use rollout_core::machine::{
    Table, cutover::Cutover, deployment::Deployment, fleet::Fleet, gate::Gate, lease::Lease,
    promotion::Promotion, rollout::Rollout, table, task::OneOff, unwind::Unwind,
};
use serde_json::json;

use crate::args::{Global, Graph};
use crate::config::diagnostic::suggest;
use crate::exit::Exit;

pub(crate) fn execute(global: &Global, args: &Graph) -> anyhow::Result<Exit> {
    let all = tables();
    let wanted: Vec<&Table> = match &args.machine {
        None => all.iter().collect(),
        Some(name) => all.iter().filter(|table| table.machine == name).collect(),
    };
    if let (Some(name), true) = (&args.machine, wanted.is_empty()) {
        let help = suggest(name, all.iter().map(|table| table.machine)).unwrap_or_default();
        bail!("there is no machine `{name}`; {help}");
    }
    for table in wanted {
        let text = match (global.json, args.table) {
            (true, _) => json_of(table),
            (false, true) => rows_of(table),
            (false, false) => format!("{}\n", table.mermaid()),
        };
        super::print(&text);
    }
    Ok(Exit::Done)
}

fn tables() -> [Table; 9] {
    [
        table::<Fleet>(),
        table::<Rollout>(),
        table::<Promotion>(),
        table::<OneOff>(),
        table::<Deployment>(),
        table::<Gate>(),
        table::<Cutover>(),
        table::<Unwind>(),
        table::<Lease>(),
    ]
}

/// One JSON object a line, a line for each pair.
fn json_of(table: &Table) -> String {
    table.rows.iter().fold(String::new(), |mut text, row| {
        let line = json!({
            "machine": table.machine,
            "state": row.state,
            "event": row.event,
            "moves_to": row.moves,
            "refused": row.refused,
            "why": row.why,
        });
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(text, "{line}");
        text
    })
}

fn rows_of(table: &Table) -> String {
    let wide =
        |column: fn(&rollout_core::machine::Row) -> usize| table.rows.iter().map(column).max().unwrap_or(0);
    let (states, events) = (wide(|row| row.state.len()), wide(|row| row.event.len()));
    let mut text = format!("{}\n", table.machine);
    for row in &table.rows {
        let what = match &row.moves {
            Some(next) => format!("-> {}", next.join(" | ")),
            None if row.refused => format!("refused: {}", row.why),
            None => format!("ignored: {}", row.why),
        };
        let _ = writeln!(text, "  {:states$}  {:events$}  {what}", row.state, row.event);
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_has_a_diagram_and_every_pair_a_row() {
        for table in tables() {
            assert!(table.mermaid().contains("stateDiagram-v2"), "{}", table.machine);
            assert_eq!(rows_of(&table).lines().count(), table.rows.len() + 2);
            for line in json_of(&table).lines() {
                let _: serde_json::Value = serde_json::from_str(line).expect(line);
            }
        }
    }
}
