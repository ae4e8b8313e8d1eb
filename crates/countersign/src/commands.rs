//! What the program does: one module for each command.

mod check;
mod log;
mod serve;

use std::path::Path;

use countersign::Machine;
use countersign::config::{self, Installation};

pub(crate) use check::run as check;
pub(crate) use serve::run as serve;

/// Reads the configuration; what is wrong with it is told on stderr, one problem to a line.
fn load(path: &Path) -> Option<Installation> {
    config::load(path, &Machine)
        .map_err(|error| eprintln!("{error}"))
        .ok()
}
