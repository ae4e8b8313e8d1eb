//! Why a login was not enough. The codes are shown to people, logged, counted and documented:
//! they do not change.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a login was not enough for what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The provider says that no second factor was used or is switched on.
    MfaAbsent,
    /// The provider says nothing about a second factor.
    MfaUnknown,
    /// The provider sent its evidence in a form that can't be read.
    EvidenceMalformed,
    /// Two tokens of one login contradict each other.
    EvidenceContradictory,
    /// The tenant attests an authentication context that the policy does not name for it.
    TenantContextUnnamed,
    /// The second factor is one that the policy never counts.
    MethodNeverCounts,
    /// There is MFA, but not phishing-resistant.
    PhishingResistantAbsent,
    /// The level is reached, but on a basis that the action does not accept.
    BasisNotAccepted,
    /// The provider does not say when it last authenticated the person.
    AuthTimeAbsent,
    /// The provider authenticated the person too long ago.
    AuthTooOld,
    /// Countersign verified the evidence too long ago.
    EvidenceTooOld,
    /// The person was to authenticate again, and the provider does not show that they did.
    ReauthenticationNotShown,
    /// None of the `acr_values` asked for is met.
    AcrNotMet,
    /// The action needs a verified e-mail address, and nobody vouched for the account's.
    EmailNotVerified,
    /// The login does not come from a tenant of the organisation that was asked for.
    OrganizationNotShown,
    /// The provider said too long ago that the person belongs to the organisation.
    MembershipStale,
    /// The client does not admit logins at this provider.
    ProviderNotAdmitted,
    /// An operator has locked the account.
    AccountLocked,
    /// It is for operators, and the policy does not name the account as one of theirs.
    NotAnOperator,
    /// The step-up was answered by another person than the one who began.
    IdentityChanged,
    /// Earlier tokens stated something else of this very login: what counts as what has changed since.
    WeighedOtherwise,
    /// The provider was asked again, and no longer confirms the login.
    ProviderWithdrew,
    /// A client or a tier that this policy does not have (it changed since the request).
    NotInPolicy,
}

impl Reason {
    /// All reasons, for documentation and its test.
    pub const ALL: [Self; 23] = [
        Self::MfaAbsent,
        Self::MfaUnknown,
        Self::EvidenceMalformed,
        Self::EvidenceContradictory,
        Self::TenantContextUnnamed,
        Self::MethodNeverCounts,
        Self::PhishingResistantAbsent,
        Self::BasisNotAccepted,
        Self::AuthTimeAbsent,
        Self::AuthTooOld,
        Self::EvidenceTooOld,
        Self::ReauthenticationNotShown,
        Self::AcrNotMet,
        Self::EmailNotVerified,
        Self::OrganizationNotShown,
        Self::MembershipStale,
        Self::ProviderNotAdmitted,
        Self::AccountLocked,
        Self::NotAnOperator,
        Self::IdentityChanged,
        Self::WeighedOtherwise,
        Self::ProviderWithdrew,
        Self::NotInPolicy,
    ];

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::MfaAbsent => "mfa-absent",
            Self::MfaUnknown => "mfa-unknown",
            Self::EvidenceMalformed => "evidence-malformed",
            Self::EvidenceContradictory => "evidence-contradictory",
            Self::TenantContextUnnamed => "tenant-context-unnamed",
            Self::MethodNeverCounts => "method-never-counts",
            Self::PhishingResistantAbsent => "phishing-resistant-absent",
            Self::BasisNotAccepted => "basis-not-accepted",
            Self::AuthTimeAbsent => "auth-time-absent",
            Self::AuthTooOld => "auth-too-old",
            Self::EvidenceTooOld => "evidence-too-old",
            Self::ReauthenticationNotShown => "reauthentication-not-shown",
            Self::AcrNotMet => "acr-not-met",
            Self::EmailNotVerified => "email-not-verified",
            Self::OrganizationNotShown => "organization-not-shown",
            Self::MembershipStale => "membership-stale",
            Self::ProviderNotAdmitted => "provider-not-admitted",
            Self::AccountLocked => "account-locked",
            Self::NotAnOperator => "not-an-operator",
            Self::IdentityChanged => "identity-changed",
            Self::WeighedOtherwise => "weighed-otherwise",
            Self::ProviderWithdrew => "provider-withdrew",
            Self::NotInPolicy => "not-in-policy",
        }
    }

    /// One sentence in plain words, for the person who signed in.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::MfaAbsent => "This sign-in did not use multi-factor authentication.",
            Self::MfaUnknown => {
                "Your provider did not say whether this sign-in used multi-factor authentication."
            }
            Self::EvidenceMalformed => {
                "Your provider described this sign-in in a form that can't be read."
            }
            Self::EvidenceContradictory => {
                "Your provider's answers about this sign-in contradict each other."
            }
            Self::TenantContextUnnamed => {
                "Your organization vouches for this sign-in in a way that has not been agreed with this registry."
            }
            Self::MethodNeverCounts => {
                "The second factor that you used is not accepted by this registry."
            }
            Self::PhishingResistantAbsent => {
                "This needs a phishing-resistant sign-in, such as a passkey or a security key."
            }
            Self::BasisNotAccepted => {
                "Your account has multi-factor authentication, but your provider can't show that this sign-in used it."
            }
            Self::AuthTimeAbsent => "Your provider did not say when you last signed in to it.",
            Self::AuthTooOld => "You signed in to your provider too long ago for this.",
            Self::EvidenceTooOld => "Your sign-in here was verified too long ago for this.",
            Self::ReauthenticationNotShown => {
                "You were asked to sign in again, and your provider did not show that you did."
            }
            Self::AcrNotMet => {
                "The registry asked for a stronger sign-in than your provider could show."
            }
            Self::EmailNotVerified => {
                "This needs a verified e-mail address, and your provider did not confirm yours."
            }
            Self::OrganizationNotShown => {
                "You did not sign in through the organization that you want to act for."
            }
            Self::MembershipStale => {
                "You signed in too long ago to act for this organization. Sign in again."
            }
            Self::ProviderNotAdmitted => "This registry does not take sign-ins with this provider.",
            Self::AccountLocked => {
                "The registry has locked your account. Ask its operators what to do."
            }
            Self::NotAnOperator => {
                "This is for the registry's operators, and your account is not one of theirs."
            }
            Self::IdentityChanged => {
                "The second sign-in was made with another account than the first."
            }
            Self::WeighedOtherwise => {
                "The registry's rules on what a sign-in shows have changed since you signed in."
            }
            Self::ProviderWithdrew => "Your provider no longer confirms your sign-in.",
            Self::NotInPolicy => "The registry's rules changed while you were signing in.",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_logged_under_the_code_that_people_see() {
        for reason in Reason::ALL {
            assert_eq!(
                serde_json::to_value(reason).unwrap(),
                serde_json::json!(reason.code())
            );
        }
    }
}
