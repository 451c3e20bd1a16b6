//! `rollout completions`.

use clap::CommandFactory as _;

use crate::args::{Cli, Completions};
use crate::exit::Exit;

pub(crate) fn execute(args: &Completions) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "rollout", &mut script);
    super::print(&String::from_utf8_lossy(&script));
    Exit::Done
}
