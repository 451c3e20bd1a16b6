//! `cargo xtask emulator status`.

use std::process::ExitCode;

use anyhow::Result;

use super::instance::Instance;
use super::layout::Layout;
use super::process::{Health, Running};

/// Prints a row for each process. Success means that something runs and all of it is healthy.
pub(crate) fn print(layout: &Layout, json: bool) -> Result<ExitCode> {
    let all = Instance::all(layout)?;
    let good = if json {
        let values: Vec<_> = all.iter().map(Instance::to_json).collect();
        println!("{}", serde_json::to_string_pretty(&values)?);
        values.iter().all(|value| value["healthy"] == true)
    } else if all.is_empty() {
        println!("no emulator runs; start one with: cargo xtask emulator start");
        false
    } else {
        let mut rows = vec![["NAME", "WHAT", "VERSION", "PORT", "PID", "HEALTH"].map(str::to_owned)];
        let mut good = true;
        for (instance, part) in all.iter().flat_map(|i| i.parts.iter().map(move |part| (i, part))) {
            let health = part.health();
            good &= health == Health::Healthy;
            rows.push(row(instance, part, health));
        }
        print!("{}", table(&rows));
        good
    };
    Ok(if good && !all.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn row(instance: &Instance, part: &Running, health: Health) -> [String; 6] {
    let version = match part.role.as_str() {
        role if role == instance.kind.name() => instance.kind.version(),
        "ministack" => super::ministack::VERSION,
        _ => "-",
    };
    let health = match health {
        Health::Gone => "gone; start or stop the instance to clear it",
        Health::Silent => "does not answer; its log is beside its record",
        Health::Healthy => "healthy",
    };
    let (port, pid) = (part.port.to_string(), part.pid.to_string());
    [&instance.name, &part.role, version, &port, &pid, health].map(str::to_owned)
}

fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len());
        }
    }
    let mut text = String::new();
    for row in rows {
        let line: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text += line.join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["A", "LONG"], ["longer", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "A       LONG\nlonger  x\n");
    }
}
