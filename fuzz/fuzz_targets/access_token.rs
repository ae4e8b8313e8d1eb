//! The verifier of access tokens. What it holds is in `cases`.
#![no_main]

#[path = "../cases.rs"]
mod cases;

libfuzzer_sys::fuzz_target!(|text: &str| cases::run("access_token", text));
