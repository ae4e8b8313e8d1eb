//! Whether a provider that is asked again still confirms what it said at the login.
//!
//! The answer can only take away. It is held against the login's own evidence and then forgotten: no clock of the
//! login moves, and nothing of it gets into a token.

use std::fmt;

use crate::{Attestation, Claim, Evidence, Login, Mapping, Membership, Policy, Reason};

/// Why a provider's new answer does not confirm the login any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawal {
    /// It is about somebody else.
    AnotherPerson,
    /// A proof of a second factor is missing that was there at the login.
    LessProven(Reason),
    /// A member of the tenant is its guest now, or is not shown to be its member.
    NoMember,
}

impl fmt::Display for Withdrawal {
    /// For the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnotherPerson => f.write_str("the answer is about somebody else"),
            Self::LessProven(reason) => write!(f, "it proves less than at the login: {reason}"),
            Self::NoMember => f.write_str("the person is no member of the tenant any more"),
        }
    }
}

/// Whether `fresh` still confirms all that `before` proved, by this policy and the mappings of whom the login comes from.
///
/// All of it, and not only what one client wants at the moment: others hold the same session, and none
/// of them asks the provider again so soon. More than before is no harm, and no gain.
pub fn confirms(
    policy: &Policy,
    mappings: &[Mapping],
    before: &Evidence,
    fresh: &Evidence,
) -> Result<(), Withdrawal> {
    if before.provider != fresh.provider || before.identity != fresh.identity {
        return Err(Withdrawal::AnotherPerson);
    }
    if counts_as_member(&before.membership) && !counts_as_member(&fresh.membership) {
        return Err(Withdrawal::NoMember);
    }
    let proven = policy.assess(&Login::of(before, mappings));
    let now_proven = policy.assess(&Login::of(fresh, mappings));
    let is_kept = |one: &&Attestation| {
        let same_word = |other: &&Attestation| other.basis == one.basis;
        let mut others = now_proven.attestations().iter().filter(same_word);
        others.any(|other| other.level >= one.level)
    };
    if proven.attestations().iter().all(|one| is_kept(&one)) {
        return Ok(());
    }
    let reason = match now_proven.attestations().first() {
        None => now_proven.shortfall(),
        Some(_) => Reason::PhishingResistantAbsent,
    };
    Err(Withdrawal::LessProven(reason))
}

/// As where the person acts for an organisation: only a guest's token says anything.
fn counts_as_member(membership: &Claim<Membership>) -> bool {
    match membership {
        Claim::Absent | Claim::Value(Membership::Member) => true,
        Claim::Value(Membership::Guest) | Claim::Malformed | Claim::Contradictory => false,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{Affiliation, Claims, Identity, Profile, ProviderId};

    const POLICY: &str = r#"
version = 1
[proof.corp]
acr = ["mfa", "phr"]
amr = ["mfa"]
[proof.git]
two_factor_authentication = true
[methods]
phishing_resistant = { acr = ["phr"] }
[tier.browse]
needs = "none"
scopes = []
[client.gallery]
tier = "browse"
"#;

    fn policy() -> Policy {
        Policy::parse("policy.toml", POLICY).unwrap_or_else(|all| panic!("{all}"))
    }

    fn evidence(provider: &str, claims: Claims) -> Evidence {
        Evidence {
            provider: ProviderId::new(provider).unwrap(),
            identity: Identity::GitHub {
                host: "git.example".into(),
                id: 7,
            },
            claims,
            profile: Profile::default(),
            membership: Claim::Absent,
            affiliation: Affiliation::default(),
            provider_session: None,
            verified_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn acr(value: &str) -> Claims {
        Claims {
            acr: Claim::Value(value.into()),
            ..Claims::default()
        }
    }

    fn flag(claim: Claim<bool>) -> Claims {
        Claims {
            two_factor_authentication: claim,
            ..Claims::default()
        }
    }

    #[track_caller]
    fn check(provider: &str, before: &Claims, fresh: &Claims, expected: Result<(), Reason>) {
        let (before, fresh) = (
            evidence(provider, before.clone()),
            evidence(provider, fresh.clone()),
        );
        let found = confirms(&policy(), &[], &before, &fresh);
        assert_eq!(found, expected.map_err(Withdrawal::LessProven), "{fresh:?}");
    }

    #[test]
    fn what_was_proven_must_be_proven_still() {
        let on = flag(Claim::Value(true));
        check("git", &on, &on, Ok(()));
        let off = flag(Claim::Value(false));
        check("git", &on, &off, Err(Reason::MfaAbsent));
        check("git", &on, &Claims::default(), Err(Reason::MfaUnknown));
        let malformed = flag(Claim::Malformed);
        check("git", &on, &malformed, Err(Reason::EvidenceMalformed));
        check("corp", &acr("mfa"), &acr("mfa"), Ok(()));
        check("corp", &acr("mfa"), &acr("pwd"), Err(Reason::MfaAbsent));
        check(
            "corp",
            &acr("mfa"),
            &Claims::default(),
            Err(Reason::MfaUnknown),
        );
    }

    #[test]
    fn a_weaker_proof_is_none_and_a_stronger_one_does_no_harm() {
        check(
            "corp",
            &acr("phr"),
            &acr("mfa"),
            Err(Reason::PhishingResistantAbsent),
        );
        check("corp", &acr("mfa"), &acr("phr"), Ok(()));
    }

    #[test]
    fn who_had_no_second_factor_can_lose_none() {
        check(
            "git",
            &flag(Claim::Value(false)),
            &Claims::default(),
            Ok(()),
        );
        check("corp", &acr("pwd"), &acr("pwd"), Ok(()));
    }

    #[test]
    fn another_person_confirms_nothing_whatever_they_show() {
        let before = evidence("git", flag(Claim::Value(true)));
        let mut fresh = before.clone();
        fresh.identity = Identity::GitHub {
            host: "git.example".into(),
            id: 8,
        };
        let found = confirms(&policy(), &[], &before, &fresh);
        assert_eq!(found, Err(Withdrawal::AnotherPerson));
    }

    #[test]
    fn a_member_who_is_a_guest_now_is_not_who_signed_in() {
        let before = evidence("corp", acr("mfa"));
        for (was, is, expected) in [
            (
                Claim::Absent,
                Claim::Value(Membership::Guest),
                Err(Withdrawal::NoMember),
            ),
            (
                Claim::Value(Membership::Member),
                Claim::Malformed,
                Err(Withdrawal::NoMember),
            ),
            (
                Claim::Value(Membership::Guest),
                Claim::Value(Membership::Guest),
                Ok(()),
            ),
            (Claim::Value(Membership::Guest), Claim::Absent, Ok(())),
        ] {
            let with = |membership| Evidence {
                membership,
                ..before.clone()
            };
            assert_eq!(confirms(&policy(), &[], &with(was), &with(is)), expected);
        }
    }
}
