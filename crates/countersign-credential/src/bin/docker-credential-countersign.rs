//! `docker-credential-countersign get|store|erase|list`, as Docker calls it.

use std::process::ExitCode;

fn main() -> ExitCode {
    countersign_credential::docker(std::env::args().nth(1).as_deref())
}
