//! `countersign-credential`: what stands on its command line.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    countersign_credential::run(countersign_credential::Arguments::parse())
}
