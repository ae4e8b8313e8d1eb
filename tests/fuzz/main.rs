//! Every fuzz target, for a fixed number of cases: the seeds as they are, and each spoiled in many ways.
//!
//! The same cases on every run. `COUNTERSIGN_FUZZ_CASES=100000 cargo test -p countersign-tests --test fuzz` tries more.

#[path = "../../fuzz/cases.rs"]
mod cases;
mod spoil;

use std::path::Path;
use std::time::Duration;

use cases::TARGETS;
use spoil::Spoiler;

/// How many spoiled seeds each target is given.
const CASES: usize = 3_000;
/// How long one case may take, in a build without optimisation on a busy machine: none may hang.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn no_seed_and_no_spoiled_seed_breaks_what_a_fuzz_target_holds() {
    for (target, _) in TARGETS {
        let seeds = seeds(target);
        let mut spoiler = Spoiler::new(seeds.clone());
        for seed in &seeds {
            cases::run(target, seed);
        }
        for _ in 0..cases() {
            try_one(target, &spoiler.next());
        }
    }
}

/// A case that fails or hangs is shown as it must be kept: as a seed.
fn try_one(target: &'static str, input: &str) {
    let (done, is_done) = std::sync::mpsc::channel();
    let text = input.to_owned();
    let thread = std::thread::spawn(move || {
        cases::run(target, &text);
        // Where nobody waits any more, the test has failed.
        let _ = done.send(());
    });
    let in_time = is_done.recv_timeout(PATIENCE);
    assert!(
        in_time.is_ok(),
        "`{target}` fails or hangs; put this into a file in fuzz/seeds/{target}, then mend it:\n{input}"
    );
    thread.join().expect("it is done");
}

fn cases() -> usize {
    let wanted = std::env::var("COUNTERSIGN_FUZZ_CASES").ok();
    wanted.map_or(CASES, |wanted| wanted.parse().expect("a number of cases"))
}

/// The files in the target's folder, in the order of their names.
fn seeds(target: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/seeds")
        .join(target);
    let files = std::fs::read_dir(&folder).expect("a folder of seeds for each target");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no seeds in {}", folder.display());
    files
        .iter()
        .map(|file| std::fs::read_to_string(file).expect("a seed is text"))
        .collect()
}
