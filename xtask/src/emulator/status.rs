//! `cargo xtask emulator status`.

use std::process::ExitCode;

use anyhow::Result;

use super::instance::Instance;
use super::layout::Layout;

/// Prints a row for each process. Success means that something runs and all of it is healthy.
pub(crate) fn print(layout: &Layout, json: bool) -> Result<ExitCode> {
    let all = Instance::all(layout)?;
    if json {
        let values: Vec<_> = all.iter().map(Instance::to_json).collect();
        println!("{}", serde_json::to_string_pretty(&values)?);
    } else if all.is_empty() {
        println!("no emulator runs; start one with: cargo xtask emulator start");
    } else {
        print!("{}", table(&rows(&all)));
    }
    let good = !all.is_empty() && all.iter().all(Instance::is_healthy);
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn rows(all: &[Instance]) -> Vec<[String; 6]> {
    let head = ["NAME", "WHAT", "VERSION", "PORT", "PID", "HEALTH"].map(str::to_owned);
    let mut rows = vec![head];
    for instance in all {
        for part in &instance.parts {
            let health = match (part.is_alive(), part.is_healthy()) {
                (false, _) => "gone: start or stop it to clear",
                (true, false) => "does not answer",
                (true, true) => "healthy",
            };
            let version = match part.role.as_str() {
                role if role == instance.kind.name() => instance.kind.version(),
                "ministack" => super::ministack::VERSION,
                _ => "-",
            };
            rows.push([
                instance.name.clone(),
                part.role.clone(),
                version.to_owned(),
                part.port.to_string(),
                part.pid.to_string(),
                health.to_owned(),
            ]);
        }
    }
    rows
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
