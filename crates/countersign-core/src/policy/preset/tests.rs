use std::path::Path;

use super::*;
use crate::{Assurance, Login, Methods, ProviderId, TenantId, assess};

const DOCUMENTED: &str = include_str!("../../../../../docs/presets.md");

/// What a recorded login amounts to, by the preset and what the operator wrote besides.
fn weigh(preset: &Preset, recorded: &Recorded, methods: &Methods) -> Assurance {
    let mut rule = preset.rule();
    rule.acr.extend(recorded.with.0.clone());
    rule.amr.extend(recorded.with.1.clone());
    let tenant = recorded.claims.get("tid").and_then(Json::as_str);
    let login = Login {
        tenant: tenant.map(|tenant| TenantId::new(tenant).unwrap()),
        claims: recorded.evidence(),
        ..Login::new(ProviderId::new(preset.name).unwrap(), Timestamp::UNIX_EPOCH)
    };
    let contexts = login
        .tenant
        .as_ref()
        .map(|tenant| rule.tenants.get(tenant).cloned().unwrap_or_default());
    assess(&rule, methods, contexts.as_ref(), &login)
}

fn holds(recorded: &Recorded, claim: &str, value: &str) -> bool {
    recorded
        .claims
        .get(claim)
        .and_then(texts)
        .is_some_and(|sent| sent.iter().any(|one| one == value))
}

#[test]
fn every_preset_can_be_read() {
    for (name, text) in FILES {
        if let Err(problems) = parse(name, text) {
            panic!("{problems}");
        }
    }
    let names: Vec<&str> = Preset::names().collect();
    assert_eq!(names, FILES.map(|(name, _)| name));
    assert!(names.is_sorted());
    assert_eq!(Preset::named("okta").unwrap().title, "Okta");
    assert_eq!(Preset::named("oktа"), None);
}

#[test]
fn every_file_in_the_folder_is_a_preset() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/presets");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let mut expected: Vec<String> = Preset::names().map(|name| format!("{name}.toml")).collect();
    expected.sort();
    assert_eq!(files, expected);
}

#[test]
fn every_recorded_login_shows_what_its_preset_says() {
    for preset in Preset::all() {
        for recorded in &preset.recorded {
            let assurance = weigh(preset, recorded, &Methods::default());
            let case = format!("{}: {}", preset.name, recorded.name);
            assert_eq!(assurance.level(), recorded.shows, "{case}");
            let bases: Vec<Basis> = assurance
                .attestations()
                .iter()
                .map(|one| one.basis)
                .collect();
            let proven = recorded.shows >= Level::Mfa;
            let expected = if proven { vec![recorded.basis] } else { vec![] };
            assert_eq!(bases, expected, "{case}");
        }
    }
}

#[test]
fn every_value_that_counts_was_seen_to_and_every_value_that_never_does_was_not() {
    for preset in Preset::all() {
        let seen = |claim: &str, value: &str, shows: &dyn Fn(Level) -> bool| {
            let found = preset
                .recorded
                .iter()
                .any(|one| holds(one, claim, value) && shows(one.shows));
            assert!(
                found,
                "{}: `{claim}` `{value}` is not recorded",
                preset.name
            );
        };
        let proven = |level| level >= Level::Mfa;
        let resistant = |level| level == Level::PhishingResistant;
        let not = |level| level < Level::Mfa;
        preset.acr.iter().for_each(|one| seen("acr", one, &proven));
        preset.amr.iter().for_each(|one| seen("amr", one, &proven));
        preset
            .resistant_acr
            .iter()
            .for_each(|one| seen("acr", one, &resistant));
        preset
            .resistant_amr
            .iter()
            .for_each(|one| seen("amr", one, &resistant));
        preset
            .never_acr
            .keys()
            .for_each(|one| seen("acr", one, &not));
        preset
            .never_amr
            .keys()
            .for_each(|one| seen("amr", one, &not));
    }
}

#[test]
fn a_value_that_resists_phishing_is_no_proof_without_a_second_factor() {
    for preset in Preset::all() {
        for value in &preset.resistant_amr {
            let alone = format!(r#"{{"amr": ["{value}"]}}"#);
            let recorded = Recorded {
                claims: serde_json::from_str(&alone).unwrap(),
                with: Default::default(),
                ..preset.recorded[0].clone()
            };
            let assurance = weigh(preset, &recorded, &Methods::default());
            assert_eq!(assurance.level(), Level::None, "{}: {alone}", preset.name);
        }
    }
}

#[test]
fn a_method_that_never_counts_is_known_by_its_meaning_not_by_the_vendors_word() {
    let level = |preset: &str, amr: &str, never: &str| {
        let preset = Preset::named(preset).unwrap();
        let recorded = Recorded {
            claims: serde_json::from_str(&format!(r#"{{"amr": {amr}}}"#)).unwrap(),
            with: Default::default(),
            ..preset.recorded[0].clone()
        };
        let methods = Methods {
            never: BTreeSet::from([never.to_owned()]),
            ..Methods::default()
        };
        weigh(preset, &recorded, &methods).level()
    };
    let duo = r#"["pwd", "sms", "mfa", "mca"]"#;
    assert_eq!(level("authelia", duo, "sms"), Level::Mfa);
    assert_eq!(level("authelia", duo, "push"), Level::Unknown);
    let google_authenticator = r#"["pwd", "google_otp", "mfa"]"#;
    assert_eq!(level("okta", google_authenticator, "sms"), Level::Mfa);
    assert_eq!(level("okta", google_authenticator, "otp"), Level::Unknown);
}

#[test]
fn what_a_vendor_sends_is_known_wherever_its_words_are_its_own() {
    for preset in Preset::all().iter().filter(|one| !one.sends_amr.is_empty()) {
        let named = preset
            .amr
            .iter()
            .chain(&preset.resistant_amr)
            .chain(preset.never_amr.keys())
            .chain(preset.rename_amr.keys())
            .cloned();
        let sent = preset
            .recorded
            .iter()
            .filter_map(|one| one.claims.get("amr").and_then(texts))
            .flatten();
        let unknown: Vec<String> = named
            .chain(sent)
            .filter(|value| !preset.sends_amr.contains(value))
            .collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", preset.name);
    }
}

#[test]
fn each_kind_of_provider_proves_only_by_what_it_sends() {
    for preset in Preset::all() {
        let is_github = preset.kind == ProviderKind::GitHub;
        let is_oidc = preset.kind == ProviderKind::Oidc;
        assert_eq!(
            preset.two_factor_authentication, is_github,
            "{}",
            preset.name
        );
        assert!(is_oidc || preset.amr.is_empty(), "{}", preset.name);
        assert!(!is_github || preset.acr.is_empty(), "{}", preset.name);
    }
}

#[test]
fn every_preset_is_documented_as_it_is() {
    for preset in Preset::all() {
        let row = DOCUMENTED
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` |", preset.name)))
            .unwrap_or_else(|| panic!("`{}` is not documented", preset.name));
        let values = preset
            .acr
            .iter()
            .chain(&preset.amr)
            .chain(&preset.resistant_acr)
            .chain(&preset.resistant_amr)
            .chain(preset.never_acr.keys())
            .chain(preset.never_amr.keys());
        for value in values {
            assert!(
                row.contains(&format!("`{value}`")),
                "{}: `{value}`",
                preset.name
            );
        }
        let date = format!("| {} |", preset.verified_on);
        assert!(row.ends_with(&date), "{}: {date}", preset.name);
        assert!(row.contains(&preset.title), "{}", preset.name);
    }
    let rows = DOCUMENTED.lines().filter(|line| line.starts_with("| `"));
    assert_eq!(rows.count(), Preset::all().len());
}

#[test]
fn hints_ask_nobody_for_a_phone_number() {
    for preset in Preset::all() {
        let hint = preset.enrolment.hint.to_lowercase();
        for word in ["phone", "sms", "text message", "number"] {
            assert!(!hint.contains(word), "{}: {hint}", preset.name);
        }
        assert!(hint.ends_with('.'), "{}", preset.name);
    }
}

/// A preset that is right, but for what `change` replaces in it.
fn problems(change: (&str, &str)) -> Vec<String> {
    const RIGHT: &str = r#"title = "X"
kind = "oidc"
verified_on = 2026-11-22
sources = ["https://x.example/"]
[proof]
amr = ["mfa"]
[never.amr]
fed = "why"
[rename.amr]
code = "otp"
[phishing_resistant]
amr = ["hwk"]
why = "because"
[email_verified]
counts = true
why = "because"
[clock]
auth_time = true
reauthenticates = true
[enrolment]
hint = "There."
[[recorded]]
name = "x"
source = "https://x.example/"
claims = '{"amr": "mfa"}'
shows = "mfa"
"#;
    assert!(parse("x", RIGHT).is_ok());
    assert!(RIGHT.contains(change.0));
    let problems = parse("x", &RIGHT.replace(change.0, change.1)).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_preset_that_contradicts_itself_is_none() {
    let cases = [
        (
            ("fed = \"why\"", "mfa = \"why\""),
            "x.toml:8:1: `never.amr.mfa`: counts as proof, so it can't be one that never does",
        ),
        (
            ("code = \"otp\"", "code = \"mfa\""),
            "x.toml:10:8: `rename.amr.code`: renames from or to a value that counts as proof, or to itself",
        ),
        (
            ("code = \"otp\"", "code = \"hwk\""),
            "x.toml:10:8: `rename.amr.code`: renames from or to a value that counts as proof, or to itself",
        ),
        (
            ("amr = [\"hwk\"]\nwhy = \"because\"", "amr = [\"hwk\"]"),
            "x.toml:11:2: `phishing_resistant.why` is missing",
        ),
        (
            ("amr = [\"mfa\"]", ""),
            "x.toml:1:1: `requires` is missing, and nothing counts without it",
        ),
        (
            ("[\"https://x.example/\"]", "[\"x.example\"]"),
            "x.toml:4:12: `sources`: expected an address that begins with `https://`",
        ),
        (
            ("'{\"amr\": \"mfa\"}'", "'[]'"),
            "x.toml:25:10: `recorded.claims`: invalid type: sequence, expected a map at line 1 column 0",
        ),
        (
            ("shows = \"mfa\"", "shows = \"sms\""),
            "x.toml:26:9: `recorded.shows`: expected one of `unknown`, `none`, `mfa`, `phishing-resistant`, found `sms`",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(problems(change), [expected]);
    }
}

#[test]
fn recorded_claims_are_read_as_a_provider_sends_them() {
    let read = |json: &str| {
        let recorded = Recorded {
            claims: serde_json::from_str(json).unwrap(),
            ..Preset::all()[0].recorded[0].clone()
        };
        recorded.evidence()
    };
    let claims = read(r#"{"acr": "a", "amr": "mfa", "acrs": ["c1"], "auth_time": 1}"#);
    assert_eq!(claims.acr, Claim::Value("a".to_owned()));
    assert_eq!(claims.amr, Claim::Value(vec!["mfa".to_owned()]));
    assert_eq!(claims.acrs, Claim::Value(vec!["c1".to_owned()]));
    assert_eq!(
        claims.auth_time,
        Claim::Value(Timestamp::from_second(1).unwrap())
    );
    assert_eq!(claims.two_factor_authentication, Claim::Absent);
    let claims = read(
        r#"{"acr": 1, "amr": [1], "acrs": {}, "auth_time": "1", "two_factor_authentication": "true"}"#,
    );
    assert_eq!(claims.acr, Claim::Malformed);
    assert_eq!(claims.amr, Claim::Malformed);
    assert_eq!(claims.acrs, Claim::Malformed);
    assert_eq!(claims.auth_time, Claim::Malformed);
    assert_eq!(claims.two_factor_authentication, Claim::Malformed);
}
