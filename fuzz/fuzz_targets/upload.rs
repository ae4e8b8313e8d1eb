//! The head of an upload of cargo's. What it holds is in `cases`.
#![no_main]

#[path = "../cases.rs"]
mod cases;

libfuzzer_sys::fuzz_target!(|text: &str| cases::run("upload", text));
