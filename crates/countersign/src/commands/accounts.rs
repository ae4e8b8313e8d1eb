//! `countersign accounts`: what is known of accounts before their owners come, and of one account; locking one, erasing one.

mod duplicates;
mod erase;
mod found;
mod identity;
mod import;
mod lock;
mod problem;
mod rows;
mod show;

pub(crate) use erase::{EraseArguments, ExportArguments, erase, export};
pub(crate) use import::{ImportArguments, run as import};
pub(crate) use lock::{LockArguments, UnlockArguments, lock, unlock};
pub(crate) use show::{ShowArguments, run as show};
