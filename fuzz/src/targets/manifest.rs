//! An image's manifest or index, as ECR answers it.

use super::manifest::{Refers, refers};

/// No panic; what it refers to are digests, the layers each once.
pub fn run(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(Refers::Layers(layers)) = refers("fuzz", text) {
        let mut once = layers.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), layers.len(), "a layer is fetched twice");
    }
}
