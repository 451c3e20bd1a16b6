//! The storefront's staging and production on a local AWS emulator, made through the AWS SDK, for a release with
//! `rollout --cloud aws` and the same `rollout.toml` that the simulated cloud takes.
//!
//! ```sh
//! eval "$(cargo xtask emulator start)"
//! cargo build --workspace --all-features --bin rollout --example storefront_world
//! eval "$(target/debug/examples/storefront_world)"
//! target/debug/rollout run --cloud aws --config examples/storefront/rollout.toml --overlay target/storefront/overlay.toml
//! target/debug/examples/storefront_world --show
//! cargo xtask emulator stop
//! ```
//!
//! It prints the one variable that the SDK needs to find the profiles of the two accounts. `--show` tells what runs now, without
//! `rollout`. `--stage 2.5.0` deploys to staging a release whose worker does not start in production: run that, and see it go
//! back. Nothing is made anywhere but on loopback.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use rollout_examples::emulated::{self, ACCOUNTS, NEW, OLD, World};

const USAGE: &str =
    "usage: storefront_world [--accounts STAGING,PRODUCTION] [OVERLAY | --stage RELEASE | --show]";

/// What the command line asks for.
enum Ask {
    Create { overlay: PathBuf },
    Stage { release: String },
    Show,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let (ask, accounts) = ask(std::env::args().skip(1))?;
    let accounts = accounts.each_ref().map(String::as_str);
    let world = World::open(emulated::endpoint(std::env::vars())?, accounts).await?;
    match ask {
        Ask::Create { overlay } => {
            world.create().await?.write(&overlay)?;
            let profiles = std::path::absolute(&overlay)?.with_file_name("aws.config");
            eprintln!(
                "staging runs {NEW}, production {OLD}; the overlay is {}",
                overlay.display()
            );
            println!("export AWS_CONFIG_FILE='{}'", profiles.display());
        }
        Ask::Stage { release } => {
            world.stage(&release).await?;
            eprintln!("staging runs {release}");
        }
        Ask::Show => print!("{}", world.show().await?),
    }
    Ok(())
}

fn ask(mut arguments: impl Iterator<Item = String>) -> Result<(Ask, [String; 2])> {
    let mut accounts = ACCOUNTS.map(str::to_owned);
    let mut ask = None;
    while let Some(argument) = arguments.next() {
        let next = match argument.as_str() {
            "--accounts" => {
                let both = arguments.next().context(USAGE)?;
                let (staging, production) = both.split_once(',').context(USAGE)?;
                accounts = [staging, production].map(str::to_owned);
                continue;
            }
            "--stage" => Ask::Stage {
                release: arguments.next().context(USAGE)?,
            },
            "--show" => Ask::Show,
            "--help" | "-h" => bail!(USAGE),
            option if option.starts_with('-') => bail!("there is no {option}\n{USAGE}"),
            overlay => Ask::Create {
                overlay: overlay.into(),
            },
        };
        if ask.replace(next).is_some() {
            bail!("`{argument}` is one too many\n{USAGE}");
        }
    }
    let ask = ask.unwrap_or_else(|| Ask::Create {
        overlay: "target/storefront/overlay.toml".into(),
    });
    Ok((ask, accounts))
}
