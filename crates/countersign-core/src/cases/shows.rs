//! What a case says that the login shows: `password`, `mfa by tenant`, or claims as they are sent.

use jiff::Timestamp;
use serde_json::Value;

use super::words::{self, shorten};
use crate::document::did_you_mean;
use crate::showing::{self, with_claim};
use crate::{Basis, Claim, Claims, Level, Login, Policy};

/// The claims of a login at the provider and in the tenant that `login` names.
pub(super) fn read(
    text: Option<&str>,
    policy: &Policy,
    login: &Login,
    now: Timestamp,
) -> Result<Claims, String> {
    match text {
        None | Some("nothing") => Ok(Claims::default()),
        Some("password") => Ok(showing::password(policy, login)),
        Some(text) => match proof(text) {
            Some((level, basis)) => proving(policy, login, level, basis),
            None if text.contains('=') => verbatim(text, policy, login, now),
            None => Err(format!(
                "expected `nothing`, `password`, `mfa`, `phishing-resistant`, `mfa by enrolment`, `mfa by tenant`, \
                 `phishing-resistant by tenant`, or claims as in `acr=gold amr=pwd,otp`, found `{}`",
                shorten(text)
            )),
        },
    }
}

/// What a readable word stands for.
pub(super) fn proof(text: &str) -> Option<(Level, Basis)> {
    let (level, basis) = match text.split_once(" by ") {
        Some((level, basis)) => (level.trim(), basis.trim()),
        None => (text, "session"),
    };
    let level = match level {
        "mfa" => Level::Mfa,
        "phishing-resistant" => Level::PhishingResistant,
        _ => return None,
    };
    let bases = [Basis::Session, Basis::Enrolment, Basis::Tenant];
    let basis = bases.into_iter().find(|one| one.as_str() == basis)?;
    Some((level, basis))
}

fn proving(policy: &Policy, login: &Login, level: Level, basis: Basis) -> Result<Claims, String> {
    let provable = |level, basis| showing::proving(policy, login, level, basis);
    if let Some(claims) = provable(level, basis) {
        return Ok(claims);
    }
    let all = [Level::Mfa, Level::PhishingResistant]
        .into_iter()
        .flat_map(|level| [Basis::Session, Basis::Enrolment, Basis::Tenant].map(|it| (level, it)));
    let others: Vec<String> = all
        .filter(|(level, basis)| provable(*level, *basis).is_some())
        .map(|(level, basis)| format!("`{}`", in_words(level, basis)))
        .collect();
    let (wanted, provider) = (in_words(level, basis), &login.provider);
    let others = if others.is_empty() {
        "nothing at all".to_owned()
    } else {
        others.join(", ")
    };
    Err(format!(
        "by this policy a login at `{provider}` can't show `{wanted}`; it can show {others}"
    ))
}

/// The words for a proof: `mfa`, `mfa by tenant`.
pub(crate) fn in_words(level: Level, basis: Basis) -> String {
    match basis {
        Basis::Session => level.to_string(),
        Basis::Enrolment | Basis::Tenant => format!("{level} by {basis}"),
    }
}

/// Claims as they are sent.
fn verbatim(text: &str, policy: &Policy, login: &Login, now: Timestamp) -> Result<Claims, String> {
    let mut claims = Claims::default();
    let mut seen = Vec::new();
    let mut parts = parts(text).into_iter().peekable();
    while let Some(part) = parts.next() {
        let (name, value) = part
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| {
                format!(
                    "expected a claim as in `acr=gold`, found `{}`",
                    shorten(&part)
                )
            })?;
        if seen.contains(&name.to_owned()) {
            return Err(format!("the claim `{}` is there twice", shorten(name)));
        }
        seen.push(name.to_owned());
        if name == "auth_time" {
            let ago = parts.next_if(|next| next == "ago").map_or("", |_| " ago");
            claims.auth_time = Claim::Value(auth_time(&format!("{value}{ago}"), now)?);
        } else {
            let value = typed(name, value)?;
            check_read(name, policy, login)?;
            claims = with_claim(&claims, name, &value)
                .ok_or_else(|| format!("`{}` is no value of `{name}`", shorten(&part)))?;
        }
    }
    Ok(claims)
}

/// When the provider authenticated the person: as an age or as a time.
pub(super) fn auth_time(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let age = words::age(text);
    match (age, words::time(text)) {
        (Ok(age), _) => Ok(now.saturating_sub(age).unwrap_or(now)),
        (Err(_), Ok(time)) => Ok(time),
        (Err(message), Err(_)) => Err(message),
    }
}

/// The value of a claim: by its type where that is fixed, else JSON, else text.
fn typed(name: &str, text: &str) -> Result<Value, String> {
    let json = || serde_json::from_str::<Value>(text).ok();
    let quoted = text.starts_with('"').then(json).flatten();
    match name {
        "acr" => Ok(quoted.unwrap_or_else(|| Value::from(text))),
        "amr" | "acrs" if !text.starts_with('[') => {
            let values = text.split(',').filter(|part| !part.is_empty());
            Ok(values.map(Value::from).collect())
        }
        "two_factor_authentication" => match text {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            other => Err(format!(
                "`two_factor_authentication`: expected `true` or `false`, found `{}`",
                shorten(other)
            )),
        },
        _ => Ok(json().unwrap_or_else(|| Value::from(text))),
    }
}

/// A claim that the policy never reads would say nothing, and is likely misspelt.
fn check_read(name: &str, policy: &Policy, login: &Login) -> Result<(), String> {
    let always = [
        "acr",
        "amr",
        "acrs",
        "two_factor_authentication",
        "auth_time",
    ];
    if always.contains(&name) {
        return Ok(());
    }
    let read = policy.claims_read(&login.provider);
    if read.contains(name) {
        return Ok(());
    }
    let known = always.into_iter().chain(read.iter().map(String::as_str));
    let hint = did_you_mean(name, known);
    Err(format!(
        "the policy does not read the claim `{}` of `{}`{hint}",
        shorten(name),
        login.provider
    ))
}

/// Cuts at white space and backticks, but not within quotes or brackets.
fn parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut depth, mut in_quotes) = (0_usize, false);
    for character in text.chars() {
        match character {
            '"' => in_quotes = !in_quotes,
            '[' | '{' if !in_quotes => depth += 1,
            ']' | '}' if !in_quotes => depth = depth.saturating_sub(1),
            _ => {}
        }
        let is_between = character.is_whitespace() || character == '`';
        if is_between && depth == 0 && !in_quotes {
            parts.push(String::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(character);
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProviderId;

    const POLICY: &str = r#"version = 1
[proof.okta]
acr = ["gold"]
amr = ["mfa"]
when = 'claims.level == "high"'
level = "mfa"
[proof.github]
two_factor_authentication = true
[tier.browse]
scopes = ["packages:read"]
needs = "none"
[client.gallery]
tier = "browse"
"#;

    fn claims(provider: &str, text: &str) -> Result<String, String> {
        let policy = Policy::parse("policy.toml", POLICY).unwrap();
        let now = "2027-05-07T12:00:00Z".parse().unwrap();
        let login = Login {
            claims: Claims::default(),
            ..Login::new(ProviderId::new(provider).unwrap(), now)
        };
        read(Some(text), &policy, &login, now).map(|claims| showing::in_words(&claims))
    }

    #[test]
    fn a_readable_word_stands_for_claims_that_the_policy_counts() {
        assert_eq!(claims("okta", "mfa").unwrap(), "acr=gold");
        assert_eq!(claims("okta", "password").unwrap(), "amr=pwd");
        assert_eq!(claims("okta", "nothing").unwrap(), "nothing");
        let by_enrolment = claims("github", "mfa by enrolment").unwrap();
        assert_eq!(by_enrolment, "two_factor_authentication=true");
    }

    #[test]
    fn a_word_that_the_provider_can_not_show_is_a_mistake_that_says_what_it_can() {
        assert_eq!(
            claims("github", "mfa").unwrap_err(),
            "by this policy a login at `github` can't show `mfa`; it can show `mfa by enrolment`"
        );
        assert_eq!(
            claims("okta", "phishing-resistant by tenant").unwrap_err(),
            "by this policy a login at `okta` can't show `phishing-resistant by tenant`; it can show `mfa`"
        );
    }

    #[test]
    fn claims_are_read_as_they_are_sent() {
        for text in [
            "acr=gold amr=pwd,otp acrs=c1",
            "two_factor_authentication=false",
            "amr=pwd auth_time=2027-05-07T11:55:00Z",
            "level=high",
        ] {
            assert_eq!(claims("okta", text).unwrap(), text);
        }
        assert_eq!(
            claims("okta", "`acr=gold` auth_time=5m ago").unwrap(),
            "acr=gold auth_time=2027-05-07T11:55:00Z"
        );
        let nested = r#"level={"name": "high"}"#;
        assert_eq!(claims("okta", nested).unwrap(), r#"level={"name":"high"}"#);
    }

    #[test]
    fn a_claim_that_is_not_read_or_wrong_is_a_mistake() {
        for (text, expected) in [
            (
                "levle=high",
                "does not read the claim `levle` of `okta`; did you mean `level`?",
            ),
            ("acr=gold acr=silver", "`acr` is there twice"),
            (
                "two_factor_authentication=yes",
                "expected `true` or `false`, found `yes`",
            ),
            (
                "acr=gold otp",
                "expected a claim as in `acr=gold`, found `otp`",
            ),
            ("amr=[1]", "is no value of `amr`"),
            ("auth_time=5m", "expected an age"),
            ("a second factor", "expected `nothing`, `password`"),
        ] {
            let message = claims("okta", text).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
