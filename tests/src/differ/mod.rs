//! The differential test: one script through the real SDK on the simulated cloud's endpoint and on an emulator that others
//! wrote, and what each of them did, compared.
//!
//! A difference is right only if it is in `docs/differential.md` with what AWS documents. One that is not there fails, and
//! so does one that is there and does not occur.

pub mod compare;
pub mod errors;
pub mod fact;
pub mod list;
pub mod look;
pub mod rest;
pub mod service;
pub mod shape;
pub mod shapes;
pub mod stage;
pub mod subnets;
pub mod text;
pub mod timeline;
pub mod watch;

use self::fact::Facts;
use self::shapes::Part;
use self::stage::Stage;
use crate::emulator::Emulator;

/// Plays what an emulator can play, on it or on the endpoint: deployments where it has them, and the shapes of the services
/// that are its own.
///
/// # Panics
/// When the stage refuses what it is set with.
pub async fn play(stage: &Stage, emulator: Emulator) -> Facts {
    let mut facts = match emulator {
        Emulator::Ministack => timeline::play(stage).await,
        Emulator::Localstack | Emulator::Moto => Facts::default(),
    };
    shapes::play(stage, &mut facts, Part::Global).await;
    let more: &[Part] = match emulator {
        Emulator::Ministack => &[Part::Containers, Part::Services],
        Emulator::Moto => &[Part::Containers],
        // Its own runtime has none of them: MiniStack stands beside it.
        Emulator::Localstack => &[],
    };
    for part in more {
        shapes::play(stage, &mut facts, *part).await;
    }
    facts
}
