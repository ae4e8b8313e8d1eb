//! A verified token, and what a service may ask of it.

use std::time::Duration;

use crate::claims::{Claims, Confirmation};
use crate::dpop::DpopProof;
use crate::error::Error;
use crate::verify::DEFAULT_LEEWAY;

/// An access token that has been verified. Only [`verify`](crate::verify()) makes one.
///
/// It stands for one request: verify the token anew for the next one and do not keep this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    claims: Claims,
    verified_at: i64,
}

impl AccessToken {
    pub(crate) fn new(claims: Claims, verified_at: i64) -> Self {
        Self {
            claims,
            verified_at,
        }
    }

    /// What the token says.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Takes the claims out.
    pub fn into_claims(self) -> Claims {
        self.claims
    }

    /// Requires that it is bound to no key: who has it may use it.
    ///
    /// RFC 9449, section 7.2: a token bound to a key must not be accepted as a bearer token.
    /// <https://www.rfc-editor.org/rfc/rfc9449#section-7.2>
    pub fn require_unbound(&self) -> Result<&Self, Error> {
        match self.claims.cnf {
            Some(_) => Err(Error::SenderConstrained),
            None => Ok(self),
        }
    }

    /// Requires that it is bound to the key of this proof (RFC 9449, section 7.1).
    pub fn require_bound_to(&self, proof: &DpopProof) -> Result<&Self, Error> {
        match &self.claims.cnf {
            Some(bound) if *bound == Confirmation::of_key(proof.thumbprint()) => Ok(self),
            Some(_) => Err(Error::BadProof(
                "its key is not the one that the token is bound to",
            )),
            None => Err(Error::BadProof("the token is bound to no key")),
        }
    }

    /// Requires a scope. This is the check that every service makes: the broker's policy has
    /// decided, for this login, which scopes it is good for.
    pub fn require_scope(&self, scope: &str) -> Result<&Self, Error> {
        if self.claims.scope.contains(scope) {
            Ok(self)
        } else {
            Err(Error::InsufficientScope {
                scope: scope.to_owned(),
            })
        }
    }

    /// Requires one of these `acr` values, for a service that is stricter than the policy.
    ///
    /// List every value that will do: they are names, not a ladder, and no value implies another.
    /// An empty list accepts none. A workload's token has no `acr` and never passes.
    pub fn require_acr(&self, accepted: &[&str]) -> Result<&Self, Error> {
        if self.has_acr_of(accepted) {
            Ok(self)
        } else {
            Err(insufficient(accepted, None))
        }
    }

    /// Requires that the provider authenticated the person at most `max_age` ago.
    ///
    /// A token without `auth_time` never passes. Microsoft accounts and GitHub never give one.
    pub fn require_max_age(&self, max_age: Duration) -> Result<&Self, Error> {
        if self.is_as_recent_as(max_age) {
            Ok(self)
        } else {
            Err(insufficient(&[], Some(max_age)))
        }
    }

    /// Requires both, and where either is missing asks for both, so that one new login will do.
    pub fn require_login(&self, accepted: &[&str], max_age: Duration) -> Result<&Self, Error> {
        if self.has_acr_of(accepted) && self.is_as_recent_as(max_age) {
            Ok(self)
        } else {
            Err(insufficient(accepted, Some(max_age)))
        }
    }

    fn has_acr_of(&self, accepted: &[&str]) -> bool {
        self.claims
            .acr
            .as_deref()
            .is_some_and(|acr| accepted.contains(&acr))
    }

    /// An `auth_time` in the future is no proof of anything, but clocks differ a little.
    fn is_as_recent_as(&self, max_age: Duration) -> bool {
        let max_age = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
        let ages = -i64::from(DEFAULT_LEEWAY)..=max_age;
        self.claims
            .auth_time
            .is_some_and(|then| ages.contains(&self.verified_at.saturating_sub(then)))
    }
}

fn insufficient(accepted: &[&str], max_age: Option<Duration>) -> Error {
    Error::InsufficientAuthentication {
        acr_values: accepted.iter().map(|&acr| acr.to_owned()).collect(),
        max_age: max_age.map(|age| age.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{NOW, good};

    const MFA: &str = "urn:countersign:mfa";

    fn token(change: impl FnOnce(&mut Claims)) -> AccessToken {
        let mut claims = serde_json::from_value(good()).unwrap();
        change(&mut claims);
        AccessToken::new(claims, NOW)
    }

    fn asks_for(acr_values: &[&str], max_age: Option<u64>) -> Error {
        let acr_values = acr_values.iter().map(|&acr| acr.to_owned()).collect();
        Error::InsufficientAuthentication {
            acr_values,
            max_age,
        }
    }

    #[test]
    fn a_scope_is_there_or_it_is_named_in_the_refusal() {
        let token = token(|_| ());
        assert!(token.require_scope("packages:publish").is_ok());
        for scope in [
            "packages:administer",
            "packages",
            "packages:publish:x",
            "openid packages:publish",
            "",
        ] {
            let error = Error::InsufficientScope {
                scope: scope.to_owned(),
            };
            assert_eq!(token.require_scope(scope), Err(error));
        }
    }

    #[test]
    fn an_acr_is_on_the_list_or_the_whole_list_is_asked_for() {
        let with = |acr: Option<&str>| token(|claims| claims.acr = acr.map(str::to_owned));
        assert!(with(Some(MFA)).require_acr(&["phr", MFA]).is_ok());
        // Names, not a ladder: a stronger value that is not listed does not pass.
        for acr in [
            Some("phrh"),
            Some("urn:countersign:single"),
            Some("urn:countersign"),
            None,
        ] {
            assert_eq!(
                with(acr).require_acr(&["phr", MFA]),
                Err(asks_for(&["phr", MFA], None))
            );
        }
        assert_eq!(with(Some(MFA)).require_acr(&[]), Err(asks_for(&[], None)));
    }

    #[test]
    fn a_login_is_recent_only_by_the_provider_s_own_time() {
        let at = |auth_time: Option<i64>| token(|claims| claims.auth_time = auth_time);
        let five_minutes = Duration::from_mins(5);
        for auth_time in [NOW - 300, NOW, NOW + 30] {
            assert!(
                at(Some(auth_time)).require_max_age(five_minutes).is_ok(),
                "{auth_time}"
            );
        }
        for auth_time in [
            Some(NOW - 301),
            Some(NOW + 31),
            Some(i64::MIN),
            Some(i64::MAX),
            None,
        ] {
            let refusal = at(auth_time).require_max_age(five_minutes).unwrap_err();
            assert_eq!(refusal, asks_for(&[], Some(300)), "{auth_time:?}");
        }
    }

    #[test]
    fn both_are_asked_for_when_either_is_missing() {
        let ten_minutes = Duration::from_mins(10);
        let both = asks_for(&[MFA], Some(600));
        assert!(token(|_| ()).require_login(&[MFA], ten_minutes).is_ok());
        assert_eq!(
            token(|c| c.acr = None).require_login(&[MFA], ten_minutes),
            Err(both.clone())
        );
        assert_eq!(
            token(|c| c.auth_time = None).require_login(&[MFA], ten_minutes),
            Err(both)
        );
    }

    #[test]
    fn what_is_missing_becomes_the_header_that_asks_for_it() {
        let error = token(|_| ())
            .require_acr(&["urn:countersign:mfa-attested", "phr"])
            .unwrap_err();
        assert_eq!(error.status(), 401);
        let header = error.challenge().unwrap().to_string();
        assert!(header.starts_with(r#"Bearer error="insufficient_user_authentication""#));
        assert!(
            header.ends_with(r#"acr_values="urn:countersign:mfa-attested phr""#),
            "{header}"
        );
    }

    #[test]
    fn the_claims_can_be_had_by_reference_and_by_value() {
        let token = token(|_| ());
        assert_eq!(token.claims().sub, "acct_01J");
        assert_eq!(json!(token.into_claims()), good());
    }
}
