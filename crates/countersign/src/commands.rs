//! What the program does: one module for each command.

mod accounts;
mod api_keys;
mod audit;
mod check;
mod doctor;
mod exceptions;
mod input;
mod keys;
mod log;
mod orgs;
mod policy;
mod privacy;
mod progress;
mod registry;
mod registry_keys;
mod serve;
mod store;
mod trail;

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use countersign::Machine;
use countersign::config::{self, Installation};

pub(crate) use accounts::{
    EraseArguments, ExportArguments, ImportArguments, LockArguments, ShowArguments,
    UnlockArguments, erase as erase_account, export as export_account, import,
    lock as lock_account, show, unlock as unlock_account,
};
pub(crate) use api_keys::{ApiKeysCommand, run as api_keys};
pub(crate) use audit::{AuditCommand, run as audit};
pub(crate) use check::run as check;
pub(crate) use doctor::{DoctorArguments, run as doctor};
pub(crate) use keys::{
    ListArguments, ResealArguments, RetireArguments, RotateArguments, list as list_keys,
    reseal as reseal_keys, retire as retire_key, rotate as rotate_keys,
};
pub(crate) use orgs::{OrgsCommand, run as orgs};
pub(crate) use policy::{PolicyCommand, run as policy};
pub(crate) use privacy::{PrivacyCommand, run as privacy};
pub(crate) use registry::{RegistryCommand, run as registry};
pub(crate) use registry_keys::{RegistryArguments, jwks, root_certificate};
pub(crate) use serve::run as serve;

/// Reads the configuration; what is wrong with it is told on stderr, one problem to a line.
fn load(path: &Path) -> Option<Installation> {
    config::load(path, &Machine)
        .map_err(|error| tell(format_args!("{error}")))
        .ok()
}

/// A line to stderr. Nobody reads it if stderr is closed, which is no reason to stop.
fn tell(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// A line to stdout. A pipe may be closed early (`… | head -1`): what was to be said is said.
fn say(line: fmt::Arguments<'_>) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}
