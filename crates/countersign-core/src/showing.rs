//! What a login must carry to show something to a policy: the way back from a rule to claims.
//!
//! For tables of cases, which say `mfa` and not `acr=…`, and for explanations, which say what would
//! have been enough. Whatever comes from here has been weighed by [`crate::assess`], so it is never a guess.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{Basis, Claim, Claims, Level, Login, Policy, ProofRule, Reason, When};

/// The claims that prove this level, and no higher one, on this basis, for this login's provider and
/// tenant; nothing where the policy has no such proof. Of the login's claims those that are no proof
/// on that basis stay.
pub(crate) fn proving(
    policy: &Policy,
    login: &Login,
    level: Level,
    basis: Basis,
) -> Option<Claims> {
    let rule = policy.proof(&login.provider);
    let candidates = match basis {
        Basis::Session => by_session(policy, rule, login),
        Basis::Tenant => by_tenant(rule, login),
        Basis::Enrolment => vec![Claims {
            two_factor_authentication: Claim::Value(true),
            ..login.claims.clone()
        }],
    };
    candidates
        .into_iter()
        .find(|claims| shown(policy, login, claims, basis) == Some(level))
}

/// The claims of a login by password alone: the provider denies a second factor as far as the policy
/// reads what it says, and otherwise says nothing of one.
pub(crate) fn password(policy: &Policy, login: &Login) -> Claims {
    let amr = Claims {
        amr: texts(["pwd".to_owned()]),
        ..login.claims.clone()
    };
    // Microsoft's word for it, and that of OpenID Connect Core 2 for a login below every level.
    let acr = ["urn:microsoft:policies:default", "0"].map(|acr| Claims {
        acr: Claim::Value(acr.to_owned()),
        ..amr.clone()
    });
    let flag = Claims {
        two_factor_authentication: Claim::Value(false),
        ..login.claims.clone()
    };
    [flag, amr.clone()]
        .into_iter()
        .chain(acr)
        .find(|claims| denies(policy, login, claims))
        .unwrap_or(amr)
}

/// Claims as tables of cases write them: `acr=gold amr=pwd,otp`; `nothing` where there are none.
pub(crate) fn in_words(claims: &Claims) -> String {
    let other = claims.other.iter();
    let unreadable = claims.unreadable.iter();
    let written: Vec<String> = [
        member("acr", &claims.acr, String::clone),
        member("amr", &claims.amr, |amr| amr.join(",")),
        member("acrs", &claims.acrs, |acrs| acrs.join(",")),
        member(
            "two_factor_authentication",
            &claims.two_factor_authentication,
            bool::to_string,
        ),
        member("auth_time", &claims.auth_time, ToString::to_string),
    ]
    .into_iter()
    .flatten()
    .chain(other.map(|(name, value)| match value {
        Value::String(text) => format!("{name}={text}"),
        value => format!("{name}={value}"),
    }))
    .chain(unreadable.map(|name| format!("{name} (not kept)")))
    .collect();
    if written.is_empty() {
        "nothing".to_owned()
    } else {
        written.join(" ")
    }
}

fn member<T>(name: &str, claim: &Claim<T>, write: impl FnOnce(&T) -> String) -> Option<String> {
    match claim {
        Claim::Absent => None,
        Claim::Malformed => Some(format!("{name} (malformed)")),
        Claim::Contradictory => Some(format!("{name} (contradictory)")),
        Claim::Value(value) => Some(format!("{name}={}", write(value))),
    }
}

fn by_session(policy: &Policy, rule: &ProofRule, login: &Login) -> Vec<Claims> {
    let resistant_acr = &rule.resistant_acr | &policy.methods.phishing_resistant_acr;
    let acrs = options(&(&rule.acr | &resistant_acr));
    let proofs = options(&rule.amr);
    let resistant = options(&rule.resistant_amr);
    let mut candidates = Vec::new();
    for acr in &acrs {
        for proof in &proofs {
            for resistant in &resistant {
                let amr: BTreeSet<String> = proof.iter().chain(resistant).cloned().collect();
                candidates.push(Claims {
                    acr: acr.clone().map_or(Claim::Absent, Claim::Value),
                    amr: if amr.is_empty() {
                        Claim::Absent
                    } else {
                        texts(amr)
                    },
                    ..login.claims.clone()
                });
            }
        }
    }
    candidates.extend(rule.when.iter().flat_map(|when| by_expression(when, login)));
    // Who compares them with what a provider sends looks for the shortest.
    candidates.sort_by_key(weight);
    candidates
}

/// None of them, or one of them.
fn options(values: &BTreeSet<String>) -> Vec<Option<String>> {
    let values = values.iter().cloned().map(Some);
    [None].into_iter().chain(values).collect()
}

/// How many values, and how many of them in `amr`: where one says it, `acr` says it best.
fn weight(claims: &Claims) -> (usize, usize) {
    let amr = claims.amr.value().map_or(0, Vec::len);
    let all = usize::from(!claims.acr.is_absent()) + amr + claims.other.len();
    (all, amr)
}

fn by_tenant(rule: &ProofRule, login: &Login) -> Vec<Claims> {
    let named = login
        .tenant
        .as_ref()
        .and_then(|tenant| rule.tenants.get(tenant));
    named
        .into_iter()
        .flat_map(BTreeMap::keys)
        .map(|context| Claims {
            acrs: texts([context.clone()]),
            ..login.claims.clone()
        })
        .collect()
}

/// The most claims of an expression that values are tried for, and the most combinations of them:
/// some milliseconds' work, and more than any expression needs that people have written.
const MOST_CLAIMS: usize = 4;
const MOST_COMBINATIONS: usize = 2_000;

/// Claims made of what the expression itself compares with. What they come to is weighed later.
fn by_expression(when: &When, login: &Login) -> Vec<Claims> {
    let names = when.expression.claims();
    if names.len() > MOST_CLAIMS {
        return Vec::new();
    }
    let values = values(when.expression.literals());
    let nothing = Claims {
        auth_time: login.claims.auth_time.clone(),
        ..Claims::default()
    };
    let mut combinations = vec![nothing];
    for name in names {
        let with = |claims: &Claims| -> Vec<Claims> {
            let with = values
                .iter()
                .filter_map(|value| with_claim(claims, name, value));
            std::iter::once(claims.clone()).chain(with).collect()
        };
        combinations = combinations.iter().flat_map(with).collect();
        combinations.truncate(MOST_COMBINATIONS);
    }
    combinations
}

/// What a claim may be compared with: each text, each alone in a list, all of them in a list, true.
fn values(literals: &BTreeSet<String>) -> Vec<Value> {
    let texts = literals.iter().map(|text| Value::from(text.clone()));
    let lists = literals.iter().map(|text| Value::from(vec![text.clone()]));
    let all: Vec<String> = literals.iter().cloned().collect();
    texts
        .chain(lists)
        .chain([Value::from(all), Value::from(true)])
        .collect()
}

/// The claims with one more; nothing where that claim is never of this type.
pub(crate) fn with_claim(claims: &Claims, name: &str, value: &Value) -> Option<Claims> {
    let mut claims = claims.clone();
    let list = || -> Option<Vec<String>> {
        let texts = value.as_array()?.iter().map(Value::as_str);
        texts.map(|text| text.map(str::to_owned)).collect()
    };
    match name {
        "acr" => claims.acr = Claim::Value(value.as_str()?.to_owned()),
        "amr" => claims.amr = Claim::Value(list()?),
        "acrs" => claims.acrs = Claim::Value(list()?),
        "two_factor_authentication" => {
            claims.two_factor_authentication = Claim::Value(value.as_bool()?);
        }
        "auth_time" => return None,
        other => {
            claims.unreadable.remove(other);
            claims.other.insert(other.to_owned(), value.clone());
        }
    }
    Some(claims)
}

fn texts(values: impl IntoIterator<Item = String>) -> Claim<Vec<String>> {
    Claim::Value(values.into_iter().collect())
}

/// The level that these claims show on this basis.
fn shown(policy: &Policy, login: &Login, claims: &Claims, basis: Basis) -> Option<Level> {
    let login = Login {
        claims: claims.clone(),
        ..login.clone()
    };
    let assurance = policy.assess(&login);
    let attestations = assurance.attestations().iter();
    let on_basis = attestations.filter(|one| one.basis == basis);
    on_basis.map(|one| one.level).max()
}

fn denies(policy: &Policy, login: &Login, claims: &Claims) -> bool {
    let login = Login {
        claims: claims.clone(),
        ..login.clone()
    };
    let assurance = policy.assess(&login);
    assurance.attestations().is_empty() && assurance.shortfall() == Reason::MfaAbsent
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{ProviderId, TenantId};

    const POLICY: &str = r#"version = 1
[proof.okta]
preset = "okta"
[proof.gold]
when = 'claims.level == "gold" && "staff" in claims.groups'
level = "mfa"
[proof.github]
two_factor_authentication = true
[proof.entra]
acr = ["urn:microsoft:policies:mfa"]
tenant."6e93a626-8aca-4dc1-9191-ce291b4b75a1".acrs = { c1 = "mfa", c2 = "phishing-resistant" }
[tier.browse]
scopes = ["packages:read"]
needs = "none"
[client.gallery]
tier = "browse"
"#;

    fn policy() -> Policy {
        Policy::parse("policy.toml", POLICY).unwrap_or_else(|all| panic!("{all}"))
    }

    fn login(provider: &str) -> Login {
        Login {
            tenant: (provider == "entra")
                .then(|| TenantId::new("6e93a626-8aca-4dc1-9191-ce291b4b75a1").unwrap()),
            claims: Claims::default(),
            ..Login::new(ProviderId::new(provider).unwrap(), Timestamp::UNIX_EPOCH)
        }
    }

    fn check(provider: &str, level: Level, basis: Basis, expected: Option<&str>) {
        let claims = proving(&policy(), &login(provider), level, basis);
        let words = claims.as_ref().map(in_words);
        assert_eq!(words.as_deref(), expected, "{provider} {level} {basis}");
    }

    #[test]
    fn a_rule_is_turned_back_into_the_claims_that_it_accepts() {
        let (mfa, resistant) = (Level::Mfa, Level::PhishingResistant);
        check(
            "okta",
            mfa,
            Basis::Session,
            Some("acr=urn:okta:loa:2fa:any"),
        );
        check("okta", resistant, Basis::Session, Some("acr=phr amr=mfa"));
        check("okta", mfa, Basis::Enrolment, None);
        check("entra", mfa, Basis::Tenant, Some("acrs=c1"));
        check("entra", resistant, Basis::Tenant, Some("acrs=c2"));
        check("entra", resistant, Basis::Session, None);
        check(
            "github",
            mfa,
            Basis::Enrolment,
            Some("two_factor_authentication=true"),
        );
        check("github", mfa, Basis::Session, None);
        check("nobody", mfa, Basis::Session, None);
    }

    #[test]
    fn an_expression_is_tried_on_what_it_compares_with() {
        check(
            "gold",
            Level::Mfa,
            Basis::Session,
            Some(r#"groups=["staff"] level=gold"#),
        );
    }

    #[test]
    fn a_password_alone_is_denied_as_far_as_the_policy_reads_what_is_said() {
        let check = |provider, expected| {
            let words = in_words(&password(&policy(), &login(provider)));
            assert_eq!(words, expected);
        };
        check("okta", "amr=pwd");
        check("entra", "acr=urn:microsoft:policies:default amr=pwd");
        check("github", "two_factor_authentication=false");
        check("nobody", "amr=pwd");
    }
}
