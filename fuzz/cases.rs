//! What each fuzz target holds of any input. Fails by panicking.
//!
//! libFuzzer (`fuzz_targets/`) makes up input for these for as long as it is let; `tests/fuzz` does for a
//! fixed number of cases, the same ones each time, on every run of the tests.

use std::collections::BTreeSet;

use countersign_core::expression::{self, Expression, User};
use countersign_core::registry::{BodyForm, Head, HeadError};
use countersign_core::{Evidence, Login, Policy, ProviderId, ProviderKind};
use countersign_providers::danger::{self, Unsigned};
use countersign_verifier::{Expectations, KeySet, verify};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// A target: its name, which is that of its folder of seeds, and what it holds.
type Target = (&'static str, fn(&str));

/// Every target.
pub(crate) const TARGETS: [Target; 5] = [
    ("policy", policy),
    ("expression", expression),
    ("evidence", evidence),
    ("access_token", access_token),
    ("upload", upload),
];

/// Gives a target one input.
pub(crate) fn run(target: &str, input: &str) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    let (_, holds) = found.expect("a target of this name");
    holds(input);
}

/// No text makes the policy loader panic, and what it takes it takes again.
fn policy(text: &str) {
    if let Ok(policy) = Policy::parse("policy.toml", text) {
        let again = Policy::parse("policy.toml", text).expect("it was taken before");
        assert_eq!(again, policy);
    }
}

/// No text makes the reader of expressions panic, and no claims its evaluation; an expression that passes its
/// trial is not true of nothing. The claims are JSON on the first line, if they are.
fn expression(text: &str) {
    let (first, rest) = text.split_once('\n').unwrap_or(("", text));
    let claims = serde_json::from_str::<Map<String, Value>>(first).unwrap_or_default();
    let read = match Expression::parse(rest) {
        Ok(read) => read,
        Err(error) => {
            assert!(rest.is_char_boundary(error.offset), "{error:?}");
            return;
        }
    };
    let user = User {
        provider: ProviderId::new("fuzzed").expect("a name"),
        tenant: None,
        guest: Some(false),
        email_verified: true,
    };
    let answer = read.evaluate(&claims, &user);
    assert_eq!(answer, read.evaluate(&claims, &user), "`{rest}`");
    if read.trial(&[claims], &[]).is_ok() {
        assert_ne!(read.evaluate(&Map::new(), &user), Ok(true), "`{rest}`");
    }
}

/// Whatever a provider says, its evidence can be written down and read again, holds no claim that was
/// not asked for, and shows expressions nothing but that. The first line is one token, the rest another.
fn evidence(text: &str) {
    let (claims, beside) = match text.split_once('\n') {
        Some((claims, beside)) => (claims, Some(beside.as_bytes())),
        None => (text, None),
    };
    let unsigned = Unsigned {
        claims: claims.as_bytes(),
        beside,
    };
    let keep = BTreeSet::from(["mfa", "groups", "email", "acr"].map(str::to_owned));
    let kinds = [
        ProviderKind::Oidc,
        ProviderKind::Entra,
        ProviderKind::MicrosoftAccount,
        ProviderKind::GitHub,
    ];
    for kind in kinds {
        if let Ok(evidence) = danger::evidence(kind, unsigned, &keep, Timestamp::UNIX_EPOCH) {
            check_evidence(&evidence);
        }
    }
}

fn check_evidence(evidence: &Evidence) {
    let written = serde_json::to_string(evidence).expect("evidence is JSON");
    let again: Evidence = serde_json::from_str(&written).expect("as it was written");
    assert_eq!(again, *evidence);
    let other = &evidence.claims.other;
    assert!(other.keys().all(|name| name == "mfa" || name == "groups"));
    let visible = expression::visible(&evidence.claims);
    assert!(other.keys().all(|name| visible.contains_key(name)));
    let login = Login::from(evidence);
    assert!(!login.email_verified || evidence.profile.email.is_some());
}

/// No text is taken for an access token without a key, and none makes the verifier panic.
fn access_token(text: &str) {
    let keys = KeySet::from_jwks(br#"{"keys":[]}"#).expect("an empty key set");
    let expected = Expectations::new("https://login.example", "https://registry.example");
    assert!(verify(text, &keys, &expected, 1_800_000_000).is_err());
}

/// The longest piece of an upload that is made up, and after which one more comes, in bytes.
const PIECE: usize = 7;

/// However an upload is cut, its head says the same, and names what a reader of JSON who takes the last of two members finds there, too.
/// The first line is the object, and what follows the archive; where the text begins with `raw:`, it is the upload as it comes.
fn upload(text: &str) {
    let bytes = match text.strip_prefix("raw:") {
        Some(raw) => raw.as_bytes().to_vec(),
        None => framed(text),
    };
    let whole = Head::read(BodyForm::Cargo, &bytes);
    let mut pieces = (0..=bytes.len()).step_by(PIECE).chain([bytes.len()]);
    let first = pieces.find_map(|end| Head::read(BodyForm::Cargo, &bytes[..end]).transpose());
    assert_eq!(
        first.transpose(),
        whole,
        "it depends on how the upload comes"
    );
    if let Ok(Some(head)) = whole {
        check_head(&head, &bytes);
    }
}

fn framed(text: &str) -> Vec<u8> {
    let (object, archive) = text.split_once('\n').unwrap_or((text, ""));
    let length = |text: &str| u32::try_from(text.len()).expect("short").to_le_bytes();
    let parts = [
        &length(object)[..],
        object.as_bytes(),
        &length(archive)[..],
        archive.as_bytes(),
    ];
    parts.concat()
}

fn check_head(head: &Head, bytes: &[u8]) {
    let object = &bytes[4..head.length - 4];
    let cut = Head::read(BodyForm::Cargo, &bytes[..head.length - 1]);
    assert_eq!(cut, Ok::<_, HeadError>(None));
    // A number that fits nowhere is passed over here, and no reader takes it for another package.
    let Ok(Value::Object(read)) = serde_json::from_slice::<Value>(object) else {
        return;
    };
    let named = (read["name"].as_str(), read["vers"].as_str());
    assert_eq!(named, (Some(&*head.package), Some(&*head.version)));
    let folded: BTreeSet<String> = read.keys().map(|name| name.to_lowercase()).collect();
    assert_eq!(folded.len(), read.len(), "two members that pass for one");
}
