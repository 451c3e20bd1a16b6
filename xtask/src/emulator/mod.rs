//! `cargo xtask emulator`: MiniStack, LocalStack and moto from PyPI, on loopback, without a container daemon.
//!
//! An instance is one emulator and its helpers, under one name, with one folder: `<target>/emulator/run/<name>/`.

mod clients;
mod compare;
mod differ;
mod http;
mod instance;
mod launch;
mod layout;
mod listen;
mod localstack;
mod ministack;
mod moto;
mod process;
mod status;
mod suite;
mod venv;

use std::fmt;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use self::instance::Instance;
use self::layout::Layout;

/// What `cargo xtask emulator` can do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Installs (once) and starts an emulator, and prints the environment that points the AWS SDKs at it.
    Start(StartArgs),
    /// Stops instances: all of them, or those chosen by --with or --name.
    Stop(StopArgs),
    /// Says what runs, and how it is. Exit code 0 if something runs and all of it is healthy, else 1.
    Status(StatusArgs),
    /// Runs the emulator test-suite; starts an instance of its own, and stops it, if the default one does not run.
    Test(TestArgs),
    /// Runs the AWS CLI, boto3 and ecs-deploy, from PyPI, against `rollout sim serve`.
    Clients,
    /// Runs a crashing release by ecs-deploy, from PyPI, and by rollout, on a MiniStack of its own; prints both as Markdown.
    Compare,
    /// Plays one script on the simulated cloud's endpoint and on emulators, and holds what differs against docs/differential.md.
    Differ(DifferArgs),
}

/// The emulators, by the names that the command line and `ROLLOUT_EMULATOR` use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// ECS rolling deployments end to end, with simulated containers.
    Ministack,
    /// The community runtime of LocalStack, with MiniStack beside it for ECS, ECR and load balancers.
    Localstack,
    /// Broad and shallow; it has no ECS deployments.
    Moto,
}

impl Kind {
    /// The name on the command line, in folders and in `ROLLOUT_EMULATOR`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ministack => "ministack",
            Self::Localstack => "localstack",
            Self::Moto => "moto",
        }
    }

    /// The version that the requirements file pins.
    pub(crate) const fn version(self) -> &'static str {
        match self {
            Self::Ministack => ministack::VERSION,
            Self::Localstack => localstack::VERSION,
            Self::Moto => moto::VERSION,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A port of the command line: a number, or one that is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// The caller says which.
    Fixed(u16),
    /// `auto` or 0: the system says which.
    Auto,
}

impl std::str::FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" | "0" => Ok(Self::Auto),
            _ => text
                .parse()
                .map(Self::Fixed)
                .map_err(|_| format!("`{text}` is not a port: a number from 1 to 65535, or `auto`")),
        }
    }
}

#[derive(Args)]
pub(crate) struct StartArgs {
    /// The emulator.
    #[arg(long, value_enum, default_value = "ministack")]
    with: Kind,
    /// A name for the instance, so that several run at once; by default the emulator's own.
    #[arg(long, value_parser = instance::parse_name)]
    name: Option<String>,
    /// Its port, or `auto` for a free one. Default: ministack 4566, localstack 4567, moto 5000.
    #[arg(long)]
    port: Option<Port>,
    /// Prints one JSON object instead of `export` lines.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct StopArgs {
    /// Only instances of this emulator.
    #[arg(long, value_enum)]
    with: Option<Kind>,
    /// Only the instance of this name.
    #[arg(long, value_parser = instance::parse_name)]
    name: Option<String>,
}

#[derive(Args)]
pub(crate) struct StatusArgs {
    /// Prints a JSON array.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct TestArgs {
    /// The emulator.
    #[arg(long, value_enum, default_value = "ministack")]
    with: Kind,
    /// Arguments for the test program, after `--`.
    #[arg(last = true)]
    rest: Vec<String>,
}

#[derive(Args)]
pub(crate) struct DifferArgs {
    /// The emulators, one after the other; by default all.
    #[arg(long, value_enum, default_values = ["ministack", "moto", "localstack"])]
    with: Vec<Kind>,
}

/// The machine lacks something, so nothing was done; `main` turns it into exit code 3.
#[derive(Debug)]
pub(crate) struct Skipped(pub(crate) String);

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skipped {}

/// Runs one subcommand.
pub(crate) fn run(command: Command) -> Result<ExitCode> {
    let layout = Layout::find()?;
    match command {
        Command::Start(args) => start(&layout, &args),
        Command::Stop(args) => stop(&layout, &args),
        Command::Status(args) => status::print(&layout, args.json),
        Command::Clients => clients::run(&layout),
        Command::Compare => compare::run(&layout),
        Command::Differ(args) => differ::run(&layout, &args.with),
        Command::Test(args) => suite::run(&layout, args.with, &args.rest),
    }
}

/// Runs the suite against one emulator, as `cargo xtask emulator test --with` does.
pub(crate) fn test(kind: Kind) -> Result<ExitCode> {
    suite::run(&Layout::find()?, kind, &[])
}

/// Runs AWS's own clients against the simulated AWS, as `cargo xtask emulator clients` does.
pub(crate) fn clients() -> Result<ExitCode> {
    clients::run(&Layout::find()?)
}

/// Compares the simulated AWS with one emulator, as `cargo xtask emulator differ --with` does.
pub(crate) fn differ(kind: Kind) -> Result<ExitCode> {
    differ::run(&Layout::find()?, &[kind])
}

fn start(layout: &Layout, args: &StartArgs) -> Result<ExitCode> {
    let name = args.name.as_deref().unwrap_or_else(|| args.with.name());
    let started = launch::start(layout, args.with, name, args.port, launch::Session::Detached)?;
    let instance = &started.instance;
    if args.json {
        println!("{}", serde_json::to_string(&instance.to_json())?);
    } else {
        let how = if started.was_running {
            "already runs"
        } else {
            "runs"
        };
        println!("# {instance} {how}; stop it with: cargo xtask emulator stop --name {name}");
        for (key, value) in &instance.env {
            println!("export {key}={value}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn stop(layout: &Layout, args: &StopArgs) -> Result<ExitCode> {
    let chosen: Vec<Instance> = Instance::all(layout)?
        .into_iter()
        .filter(|i| args.with.is_none_or(|kind| i.kind == kind))
        .filter(|i| args.name.as_deref().is_none_or(|name| i.name == name))
        .collect();
    if chosen.is_empty() {
        println!("nothing to stop");
    }
    let mut failed = None;
    for instance in chosen {
        match instance.stop(layout) {
            Ok(how) => println!("{}: {how}", instance.name),
            Err(error) => {
                eprintln!("error: {error:#}");
                failed = Some(ExitCode::FAILURE);
            }
        }
    }
    Ok(failed.unwrap_or(ExitCode::SUCCESS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_number_or_auto() {
        assert_eq!("4566".parse(), Ok(Port::Fixed(4566)));
        assert_eq!("0".parse(), Ok(Port::Auto));
        assert_eq!("auto".parse(), Ok(Port::Auto));
        assert!("66000".parse::<Port>().is_err_and(|e| e.contains("66000")));
    }

    #[test]
    fn versions_are_those_of_the_requirements() {
        let layout = Layout::find().expect("the workspace");
        for (kind, package) in [
            (Kind::Ministack, "ministack"),
            (Kind::Localstack, "localstack-core"),
            (Kind::Moto, "moto"),
        ] {
            let file = layout.requirements(kind.name());
            let text = std::fs::read_to_string(&file).expect("a requirements file");
            let pin = format!("\n{package}=={} ", kind.version());
            assert!(text.contains(&pin), "{} does not pin {pin}", file.display());
        }
    }

    #[test]
    fn every_requirement_has_a_hash() {
        let layout = Layout::find().expect("the workspace");
        for name in ["ministack", "localstack", "localstack-build", "moto", "compare"] {
            let text = std::fs::read_to_string(layout.requirements(name)).expect("a requirements file");
            let lines: Vec<&str> = text.lines().collect();
            for pair in lines.windows(2).filter(|pair| pair[0].contains("==")) {
                assert!(
                    pair[1].trim_start().starts_with("--hash=sha256:"),
                    "{name}: no hash after {}",
                    pair[0]
                );
            }
        }
    }
}
