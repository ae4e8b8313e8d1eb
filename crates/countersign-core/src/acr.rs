//! The `acr` values that Countersign's tokens carry, and which of them satisfies which.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One of our `acr` values (OpenID Connect Core 2; OpenID EAP ACR Values 1.0 for `phr` and `phrh`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Acr {
    /// No second factor proven, or only waived.
    #[serde(rename = "urn:countersign:single")]
    Single,
    /// The account has MFA switched on; this login may not have used it.
    #[serde(rename = "urn:countersign:mfa-enrolled")]
    MfaEnrolled,
    /// The tenant's admin attests that the login used MFA.
    #[serde(rename = "urn:countersign:mfa-attested")]
    MfaAttested,
    /// The provider says that this login used MFA.
    #[serde(rename = "urn:countersign:mfa")]
    Mfa,
    /// Phishing-resistant, by the provider's word on this login.
    #[serde(rename = "phr")]
    Phr,
    /// Phishing-resistant and hardware-protected.
    #[serde(rename = "phrh")]
    Phrh,
}

impl Acr {
    /// All values, weakest first, for metadata and documentation.
    pub const ALL: [Self; 6] = [
        Self::Single,
        Self::MfaEnrolled,
        Self::MfaAttested,
        Self::Mfa,
        Self::Phr,
        Self::Phrh,
    ];

    /// The value on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Single => "urn:countersign:single",
            Self::MfaEnrolled => "urn:countersign:mfa-enrolled",
            Self::MfaAttested => "urn:countersign:mfa-attested",
            Self::Mfa => "urn:countersign:mfa",
            Self::Phr => "phr",
            Self::Phrh => "phrh",
        }
    }

    /// Reads one value of `acr_values`; `None` for a value that is not ours, which is ignored.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|acr| acr.as_str() == text)
    }

    /// Whether a login of this `acr` is good enough where `wanted` was asked for.
    ///
    /// A table, not an order: a tenant's word is no proof of what the session used, and the
    /// session's proof is not the tenant's word.
    pub fn satisfies(self, wanted: Self) -> bool {
        use Acr::{Mfa, MfaAttested, MfaEnrolled, Phr, Phrh, Single};
        let met: &[Self] = match self {
            Single => &[Single],
            MfaEnrolled => &[Single, MfaEnrolled],
            MfaAttested => &[Single, MfaAttested],
            Mfa => &[Single, MfaEnrolled, Mfa],
            Phr => &[Single, MfaEnrolled, Mfa, Phr],
            Phrh => &[Single, MfaEnrolled, Mfa, Phr, Phrh],
        };
        met.contains(&wanted)
    }
}

impl fmt::Display for Acr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_satisfies_itself_and_single() {
        for acr in Acr::ALL {
            assert!(acr.satisfies(acr));
            assert!(acr.satisfies(Acr::Single));
            assert_eq!(Acr::parse(acr.as_str()), Some(acr));
        }
    }

    #[test]
    fn enrolment_and_a_tenants_word_never_stand_for_the_session() {
        assert!(!Acr::MfaEnrolled.satisfies(Acr::Mfa));
        assert!(!Acr::MfaAttested.satisfies(Acr::Mfa));
        assert!(!Acr::Mfa.satisfies(Acr::MfaAttested));
        assert!(!Acr::Mfa.satisfies(Acr::Phr));
        assert!(!Acr::Phr.satisfies(Acr::Phrh));
    }

    #[test]
    fn a_value_that_is_not_ours_is_not_read() {
        for other in ["", "mfa", "URN:COUNTERSIGN:MFA", "urn:countersign:mfa "] {
            assert_eq!(Acr::parse(other), None);
        }
    }
}
