//! The command line.

use core::time::Duration;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use rollout_core::id::EnvironmentName;

use crate::view::check::Form;

/// Where the configuration is unless told otherwise.
const CONFIG: &str = "rollout.toml";
/// Where the waves of a fleet are unless told otherwise.
const FLEET: &str = "fleet.toml";
/// Where runs keep their journals unless told otherwise.
pub(crate) const STATE_DIR: &str = ".rollout";

/// Take a release from staging to production, and trust what it says happened.
#[derive(Clone, Debug, Parser)]
#[command(name = "rollout", version, after_help = AFTER_HELP, after_long_help = concat_help(), max_term_width = 110, propagate_version = false)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// The configuration.
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        default_value = CONFIG,
        env = "ROLLOUT_CONFIG"
    )]
    pub(crate) config: PathBuf,
    /// A file laid over the configuration; may be given more than once. Several in the variable are separated as in PATH.
    #[arg(
        long = "overlay",
        global = true,
        value_name = "FILE",
        env = "ROLLOUT_OVERLAY",
        value_delimiter = if cfg!(windows) { ';' } else { ':' }
    )]
    pub(crate) overlays: Vec<PathBuf>,
    /// Which cloud to talk to.
    #[arg(long, global = true, value_enum, default_value_t = Cloud::DEFAULT, env = "ROLLOUT_CLOUD")]
    pub(crate) cloud: Cloud,
    /// Another endpoint for every AWS service, such as an emulator's. `AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_<SERVICE>`
    /// work too.
    #[arg(long, global = true, value_name = "URL", help_heading = "AWS")]
    pub(crate) endpoint_url: Option<String>,
    /// Where runs keep their journals, leases and holds: a directory, or s3://BUCKET/PREFIX for runners on several machines.
    #[arg(
        long,
        global = true,
        value_name = "PLACE",
        default_value = STATE_DIR,
        env = "ROLLOUT_STATE_DIR"
    )]
    pub(crate) state_dir: PathBuf,
    /// Print JSON, one object a line; the last one is the outcome.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print no colour. `NO_COLOR` works too.
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    #[command(flatten)]
    pub(crate) sim: Sim,
}

impl Global {
    /// A command that we propose, with what this one was given: whoever copies the line means the same cloud and files.
    pub(crate) fn again(&self, command: &str) -> String {
        if !command.starts_with("rollout ") {
            return command.to_owned();
        }
        // Four spaces are before what the command does.
        let (line, about) = command.split_at(command.find("    ").unwrap_or(command.len()));
        let mut given = String::new();
        let mut add = |option: &str, value: &dyn core::fmt::Display| {
            // Writing to a string cannot fail.
            let _ = core::fmt::Write::write_fmt(&mut given, format_args!(" {option} {value}"));
        };
        if self.cloud != Cloud::DEFAULT {
            add("--cloud", &self.cloud);
        }
        if self.config != Path::new(CONFIG) {
            add("--config", &shell(&self.config));
        }
        for overlay in &self.overlays {
            add("--overlay", &shell(overlay));
        }
        if let Some(url) = &self.endpoint_url {
            add("--endpoint-url", url);
        }
        if self.state_dir != Path::new(STATE_DIR) {
            add("--state-dir", &shell(&self.state_dir));
        }
        format!("{line}{given}{about}")
    }
}

/// A path as a shell takes it: quoted only where it must be.
fn shell(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text
        .chars()
        .all(|c| c.is_alphanumeric() || "/._-+:@%,=".contains(c))
    {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// What the simulated cloud is told.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Simulated cloud")]
pub(crate) struct Sim {
    /// Something that goes wrong in this run; may be given more than once. `SERVICE:INCIDENT` aims at one service.
    #[arg(long = "sim-incident", global = true, value_name = "INCIDENT")]
    pub(crate) incidents: Vec<String>,
    /// The seed of a new simulated cloud. The same seed gives the same run.
    #[arg(long = "sim-seed", global = true, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Simulated seconds in one real second; 0 does not wait at all. On a terminal 30, elsewhere 0.
    #[arg(long = "sim-speed", global = true, value_name = "N")]
    pub(crate) speed: Option<u32>,
    /// Forget the simulated cloud that is kept in the state directory, and begin with a new one.
    #[arg(long = "sim-reset", global = true)]
    pub(crate) reset: bool,
}

/// A cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cloud {
    /// A simulated one: no account, no network, virtual time. It is kept in the state directory between commands.
    Sim,
    /// Amazon Web Services.
    Aws,
}

impl core::fmt::Display for Cloud {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Sim => "sim",
            Self::Aws => "aws",
        })
    }
}

impl Cloud {
    const DEFAULT: Self = if cfg!(feature = "aws") {
        Self::Aws
    } else {
        Self::Sim
    };
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what a run would change, reading only.
    Plan(Plan),
    /// Take the release to the target environment.
    Run(Run),
    /// Show how far a run is, or how it ended.
    Status(Which),
    /// Go on with a run whose process is gone.
    Resume(Resume),
    /// Say whether an environment is ready for a release, reading only.
    Check(Check),
    /// Print the least IAM policy for a command.
    #[cfg(feature = "aws")]
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// List the runs.
    List,
    /// Go back to what ran before a run.
    Rollback(Rollback),
    /// Release many members as one, in waves.
    #[command(subcommand)]
    Fleet(FleetCommand),
    /// Show what is held since a rollback, or let releases in again.
    #[command(subcommand)]
    Hold(HoldCommand),
    /// Ask a run that is under way elsewhere to stop at a safe place.
    Abort(Which),
    /// Look at the journals of a run.
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Print the state machines as Mermaid diagrams.
    Graph(Graph),
    /// Use the simulated cloud by itself.
    #[cfg(feature = "serve")]
    #[command(subcommand)]
    Sim(SimCommand),
    /// Print a completion script for a shell.
    Completions(Completions),
    /// List the exit codes.
    ExitCodes,
}

/// Which release.
#[derive(Clone, Debug, Args)]
pub(crate) struct Release {
    /// The release: the tag of its images. Defaults to `release` in the configuration.
    #[arg(long, value_name = "TAG")]
    pub(crate) release: Option<String>,
}

/// `rollout plan`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) release: Release,
    /// Write the plan to a file, with what it rests on and a hash over all of it, for `rollout run --plan FILE`.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// `rollout policy`.
#[cfg(feature = "aws")]
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// What `rollout check` reads: every action of it, and nothing that changes anything.
    Check,
}

/// `rollout check`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Check {
    /// The environment. Defaults to the one that releases go to.
    #[arg(long, value_name = "NAME")]
    pub(crate) env: Option<EnvironmentName>,
    #[command(flatten)]
    pub(crate) release: Release,
    /// Judge the environment as it is, without a release that is about to be made.
    #[arg(long, conflicts_with = "release")]
    pub(crate) present: bool,
    /// What the environment is meant to be. Defaults to `readiness` in the configuration.
    #[arg(long, value_name = "FILE")]
    pub(crate) readiness: Option<PathBuf>,
    /// How the report is written. Defaults to text, or to JSON with `--json`.
    #[arg(long, value_enum, value_name = "FORM")]
    pub(crate) format: Option<Form>,
    /// Write the report to a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Tell the whole story of one check: why, what was seen, what to do.
    #[arg(long, value_name = "ID")]
    pub(crate) explain: Option<String>,
    /// Show what has changed since an earlier report, written with `--format json`.
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// Keep the facts in a file, too.
    #[arg(long, value_name = "FILE")]
    pub(crate) save_facts: Option<PathBuf>,
    /// Judge facts that were kept with `--save-facts`, as of then; neither cloud nor state is asked.
    #[arg(long, value_name = "FILE", conflicts_with = "save_facts")]
    pub(crate) facts: Option<PathBuf>,
    /// Print every check, and ask nothing.
    #[arg(long, conflicts_with_all = ["explain", "baseline", "facts", "save_facts"])]
    pub(crate) list: bool,
}

/// `rollout run`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) release: Release,
    /// Run exactly what this file says, made by `rollout plan --out FILE`; refused when the world has moved since.
    #[arg(long, value_name = "FILE", conflicts_with = "release")]
    pub(crate) plan: Option<PathBuf>,
    /// The name of the run. Defaults to the time and the release.
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

/// How long a command waits that changes an environment while another one does.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Wait {
    /// How long to wait while another runner holds the environment's lease; 0s leaves at once and says who it is.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = humantime::parse_duration)]
    pub(crate) wait: Duration,
}

/// `rollout resume`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    pub(crate) which: Which,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

/// `rollout rollback`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Rollback {
    #[command(flatten)]
    pub(crate) which: Which,
    #[command(flatten)]
    pub(crate) wait: Wait,
    /// Why, for whoever meets the hold: until `rollout hold lift`, nothing new is released to the environment.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// No person asks, so that the environment is held only as after any release that went back.
    #[arg(long, hide = true)]
    pub(crate) automatic: bool,
}

/// `rollout fleet`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum FleetCommand {
    /// Take the release to the members of a fleet, wave by wave.
    Run(FleetRun),
    /// Show how far a fleet is, or how it ended, member by member.
    Status(Which),
    /// Go on with a fleet whose process is gone.
    Resume(FleetResume),
    /// Ask a fleet that is under way elsewhere to stop at a safe place.
    Abort(Which),
}

/// `rollout fleet run`.
#[derive(Clone, Debug, Args)]
pub(crate) struct FleetRun {
    #[command(flatten)]
    pub(crate) release: Release,
    /// The waves, and the files of each member.
    #[arg(long = "fleet", value_name = "FILE", default_value = FLEET)]
    pub(crate) file: PathBuf,
    /// The name of the run. Defaults to the time and the release.
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

/// `rollout fleet resume`.
#[derive(Clone, Debug, Args)]
pub(crate) struct FleetResume {
    #[command(flatten)]
    pub(crate) which: Which,
    /// The waves, and the files of each member.
    #[arg(long = "fleet", value_name = "FILE", default_value = FLEET)]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

/// `rollout hold`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum HoldCommand {
    /// Show which environments are held, by whom, since when and why.
    Show(HoldShow),
    /// Let releases into an environment again.
    Lift(HoldLift),
}

/// `rollout hold show`.
#[derive(Clone, Debug, Args)]
pub(crate) struct HoldShow {
    /// The environment; all of them when left out.
    #[arg(long, value_name = "NAME")]
    pub(crate) env: Option<EnvironmentName>,
}

/// `rollout hold lift`.
#[derive(Clone, Debug, Args)]
pub(crate) struct HoldLift {
    /// The environment.
    #[arg(long, value_name = "NAME")]
    pub(crate) env: EnvironmentName,
}

/// A run that was begun before.
#[derive(Clone, Debug, Args)]
pub(crate) struct Which {
    /// The run; the last one when left out.
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,
}

/// `rollout graph`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Graph {
    /// The machine; all of them when left out.
    #[arg(value_name = "MACHINE")]
    pub(crate) machine: Option<String>,
    /// Print every (state, event) pair instead, with the reasons for those that are ignored or refused.
    #[arg(long)]
    pub(crate) table: bool,
}

/// `rollout completions`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// `rollout journal`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Say whether the journals are whole: every record there, unchanged and in order, and what a replay of them comes to.
    Verify(Which),
    /// Print what was intended and what happened, record by record.
    Show(Which),
}

/// `rollout sim`.
#[cfg(feature = "serve")]
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum SimCommand {
    /// Serve the simulated cloud as an AWS endpoint on 127.0.0.1, for the AWS CLI, SDKs and other tools.
    Serve(Serve),
    /// List the operations of AWS that it models.
    Operations,
}

/// `rollout sim serve`.
#[cfg(feature = "serve")]
#[derive(Clone, Debug, Args)]
pub(crate) struct Serve {
    /// The port; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 4588)]
    pub(crate) port: u16,
    /// Simulated seconds in one real second.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) speed: u32,
    /// The world and what goes wrong in it, as TOML or JSON. Left out, a shop with three services in staging and production.
    #[arg(long, value_name = "FILE")]
    pub(crate) scenario: Option<PathBuf>,
    /// Where requests go that are not modelled, such as http://127.0.0.1:4566; left out, they are refused by name.
    #[arg(long, value_name = "URL")]
    pub(crate) upstream: Option<http::Uri>,
}

const AFTER_HELP: &str = "\
Examples:
  rollout plan --release 2.4.0                     what would change, in which order; nothing is touched
  rollout run --release 2.4.0                      do it, with a live view
  rollout plan --out plan.json                     keep the plan with what it rests on, to be agreed to
  rollout run --plan plan.json                     do just that, unless the world has moved since
  rollout run --cloud sim                          a run on a simulated cloud, in seconds
  rollout run --cloud sim --sim-incident bad-image what a bad image looks like
  rollout check                                    whether production is ready for it, with every reason
  rollout run --json | tee run.jsonl               for programs: one object a line, the outcome last
  rollout status                                   how far the last run is
  rollout resume                                   go on with the last run, whose process is gone
  rollout rollback --reason 'checkout is broken'   back to what ran before the last run; the environment is held since
  rollout hold lift --env production               let releases in again
  rollout fleet run --fleet fleet.toml             many members as one, in waves

Exit codes: 0 released, 10 refused, 11 rolled back, 12 superseded, 13 aborted, 14 stuck, 15 not ready and
16 not known to be ready (check), 2 usage or configuration, 130 left by a second Ctrl-C, 1 anything else.
`rollout exit-codes` explains them.";

const ENVIRONMENT: &str = "
Environment:
  AWS_ENDPOINT_URL, AWS_PROFILE, …  as every AWS tool reads them
  NO_COLOR                          no colour
  ROLLOUT_CONFIG, ROLLOUT_OVERLAY, ROLLOUT_CLOUD, ROLLOUT_STATE_DIR  defaults for the options of that name";

fn concat_help() -> String {
    format!("{AFTER_HELP}\n{ENVIRONMENT}")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_stand_on_both_sides_of_the_command() {
        for line in [
            "rollout --cloud sim --json run --release 2.4.0",
            "rollout run --release 2.4.0 --json --cloud sim",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).expect(line);
            assert!(cli.global.json, "{line}");
            assert_eq!(cli.global.cloud, Cloud::Sim);
            let Command::Run(run) = cli.command else {
                panic!("{line}")
            };
            assert_eq!(run.release.release.as_deref(), Some("2.4.0"));
        }
    }

    #[test]
    fn a_mistyped_command_gets_a_suggestion() {
        let error = Cli::try_parse_from(["rollout", "rolback"]).expect_err("there is no such command");
        assert!(error.to_string().contains("'rollback'"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn incidents_add_up() {
        let cli = Cli::try_parse_from(
            "rollout run --sim-incident bad-image --sim-incident worker:crash-loop".split(' '),
        )
        .expect("valid");
        assert_eq!(cli.global.sim.incidents, ["bad-image", "worker:crash-loop"]);
    }

    #[test]
    fn a_proposed_command_means_the_same_cloud_and_files() {
        let other = if Cloud::DEFAULT == Cloud::Sim {
            "aws"
        } else {
            "sim"
        };
        let line = [
            "rollout",
            "run",
            "--cloud",
            other,
            "--overlay",
            "it's here.toml",
            "--state-dir",
            "/var/r",
        ];
        let cli = Cli::try_parse_from(line).expect("valid");
        assert_eq!(
            cli.global.again("rollout rollback r-1    takes it back"),
            format!(
                "rollout rollback r-1 --cloud {other} --overlay 'it'\\''s here.toml' --state-dir /var/r    takes it back"
            )
        );
        let plain = Cli::try_parse_from(["rollout", "run"]).expect("valid");
        assert_eq!(plain.global.again("rollout status r-1"), "rollout status r-1");
        assert_eq!(
            cli.global.again("aws ecs list-tasks"),
            "aws ecs list-tasks",
            "not ours to change"
        );
    }

    #[test]
    fn the_help_names_every_exit_code() {
        let help = Cli::command().render_long_help().to_string();
        for code in crate::exit::ALL {
            assert!(help.contains(&format!("{} ", code.number())), "{code:?}: {help}");
        }
    }
}
