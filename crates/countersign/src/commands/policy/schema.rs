//! `countersign policy schema`: the shape of the policy file, for editors.

use std::process::ExitCode;

use countersign::schema;

pub(super) fn run() -> ExitCode {
    match super::print(schema::policy_text()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}
