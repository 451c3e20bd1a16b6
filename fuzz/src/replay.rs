//! The corpus in the ordinary test run: every file as it is, and a bounded number of changes to it, always the same.

use std::path::Path;

/// Runs a target on every file of `fuzz/corpus/<name>` and on `changes` changed copies of each.
pub fn replay(name: &str, changes: u64, run: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(name);
    let files = std::fs::read_dir(&folder).expect("the corpus is kept in the repository");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for (nth, file) in (1_u64..).zip(&files) {
        let seed = std::fs::read(file).expect("a file that can be read");
        run(&seed);
        let mut dice = nth.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for _ in 0..changes {
            run(&changed(&seed, &mut dice));
        }
    }
}

/// Marsaglia's xorshift.
fn next(dice: &mut u64, below: usize) -> usize {
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    usize::try_from(*dice % (below.max(1) as u64)).unwrap_or_default()
}

fn changed(seed: &[u8], dice: &mut u64) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=next(dice, 3) {
        let at = next(dice, bytes.len());
        match next(dice, 5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), next(dice, 256) as u8),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 if !bytes.is_empty() => bytes[at] ^= 1 << next(dice, 8),
            _ => {
                let to = (at + next(dice, 64)).min(bytes.len());
                let piece = bytes[at.min(to)..to].to_vec();
                let place = next(dice, bytes.len() + 1);
                bytes.splice(place..place, piece);
            }
        }
    }
    bytes
}
