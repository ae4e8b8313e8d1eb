//! No text makes the policy loader panic, and what it takes it takes again.
#![no_main]

use countersign_core::Policy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(policy) = Policy::parse("policy.toml", text) {
        assert_eq!(Policy::parse("policy.toml", text).expect("it was taken before"), policy);
    }
});
