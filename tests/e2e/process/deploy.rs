//! What `deploy/` gives to operators, held against the program: proxies in front of it, what is measured.

mod monitoring;
mod proxies;

use std::path::PathBuf;

/// A file of `deploy/`.
fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}
