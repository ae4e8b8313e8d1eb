//! No text is taken for an access token without a key, and none makes the verifier panic.
#![no_main]

use countersign_verifier::{Expectations, KeySet, verify};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let keys = KeySet::from_jwks(br#"{"keys":[]}"#).expect("an empty key set");
    let expected = Expectations::new("https://login.example", "https://registry.example");
    assert!(verify(text, &keys, &expected, 1_800_000_000).is_err());
});
