//! `countersign accounts`: what is known of accounts before their owners come, and of one account.

mod duplicates;
mod identity;
mod import;
mod input;
mod problem;
mod progress;
mod rows;
mod show;

pub(crate) use import::{ImportArguments, run as import};
pub(crate) use show::{ShowArguments, run as show};
