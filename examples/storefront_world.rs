//! The storefront's staging and production on a local AWS emulator, made through the AWS SDK, for a release with
//! `rollout --cloud aws` and the same `rollout.toml` that the simulated cloud takes.
//!
//! ```sh
//! eval "$(cargo xtask emulator start)"
//! cargo build --workspace --all-features --bin rollout --example storefront_world
//! eval "$(target/debug/examples/storefront_world)"
//! target/debug/rollout run --cloud aws --config examples/storefront/rollout.toml --overlay target/storefront/overlay.toml
//! ```
//!
//! It prints the one variable that the SDK needs to find the profiles of the two accounts. `storefront_world --stage 2.5.0`
//! deploys to staging a release whose worker does not start in production. It makes nothing anywhere but on loopback.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use rollout_examples::emulated::{self, NEW, OLD, World};

const USAGE: &str = "usage: storefront_world [OVERLAY]\n       storefront_world --stage RELEASE";

/// What the command line asks for.
enum Ask {
    Create { overlay: PathBuf },
    Stage { release: String },
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
    let ask = ask()?;
    let world = World::open(emulated::endpoint(std::env::vars())?).await?;
    match ask {
        Ask::Create { overlay } => {
            world.create().await?.write(&overlay)?;
            let folder = std::path::absolute(&overlay)?;
            let profiles = folder.with_file_name("aws.config");
            eprintln!("staging runs {NEW}, production {OLD}");
            eprintln!("the overlay is {}", overlay.display());
            println!("export AWS_CONFIG_FILE='{}'", profiles.display());
        }
        Ask::Stage { release } => {
            world.stage(&release).await?;
            eprintln!("staging runs {release}");
        }
    }
    Ok(())
}

fn ask() -> Result<Ask> {
    let mut arguments = std::env::args().skip(1);
    let ask = match arguments.next().as_deref() {
        None => Ask::Create {
            overlay: "target/storefront/overlay.toml".into(),
        },
        Some("--stage") => Ask::Stage {
            release: arguments.next().context(USAGE)?,
        },
        Some("--help" | "-h") => bail!(USAGE),
        Some(option) if option.starts_with('-') => bail!("there is no {option}\n{USAGE}"),
        Some(overlay) => Ask::Create {
            overlay: overlay.into(),
        },
    };
    match arguments.next() {
        Some(more) => bail!("`{more}` is one too many\n{USAGE}"),
        None => Ok(ask),
    }
}
