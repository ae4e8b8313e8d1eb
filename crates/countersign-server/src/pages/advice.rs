//! What a person can do about what is missing, provider by provider; and what its operator can.
//!
//! It never asks for a phone number.

use countersign_core::Reason;
use countersign_providers::oidc::EmailTrust;
use countersign_providers::{Provider, ProviderError};
use url::Url;

use super::client_name;
use crate::error::{SignInFailure, Why};
use crate::web::Context;

/// What to do about what is missing.
#[derive(Debug)]
pub(super) struct Advice {
    pub(super) text: String,
    pub(super) link: Option<Link>,
    /// What comes after it.
    pub(super) then: &'static str,
    /// Whether signing in another way is the best that is left to do.
    pub(super) others: bool,
}

/// A page of the provider's.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) text: String,
    pub(super) href: String,
}

const COME_BACK: &str = "Then come back to this page and try again.";

impl Advice {
    /// What to do after this sign-in, if anything but trying again.
    pub(super) fn after(
        failure: &SignInFailure,
        provider: &Provider,
        context: &Context<'_>,
    ) -> Option<Self> {
        match failure.why.reason() {
            None if matches!(failure.why, Why::StepUpDeclined) => Some(Self::of_mfa(provider)),
            Some(reason) if is_mended_by_enrolling(reason) => Some(Self::of_mfa(provider)),
            Some(Reason::EmailNotVerified) => Some(Self::of_email(failure, provider, context)),
            Some(Reason::ProviderNotAdmitted) => {
                Some(Self::new("Sign in with another provider.").best_is_others())
            }
            Some(Reason::OrganizationNotShown) => Some(Self::of_organization(provider)),
            Some(_) | None => None,
        }
    }

    /// Where multi-factor authentication is set up.
    pub(super) fn of_mfa(provider: &Provider) -> Self {
        let text = match provider {
            Provider::Microsoft(one) if one.is_personal() => {
                "Turn on two-step verification in your Microsoft account: an authenticator app, a passkey or a security key. No phone number is needed."
            }
            Provider::Microsoft(_) => {
                "Set up multi-factor authentication for your work or school account. If your organization does not offer it, ask its administrator."
            }
            Provider::GitHub(_) => {
                "Turn on two-factor authentication in your GitHub settings. If it is on already, approve this application again, so that it may read that setting."
            }
            Provider::Oidc(_) => {
                "Set up multi-factor authentication with your provider. If you can't, ask whoever runs it."
            }
        };
        let text_of_link = format!("Open the security settings of {}", provider.title());
        Self {
            link: provider
                .enrolment_url()
                .map(|url| Link::to(url, text_of_link)),
            ..Self::new(text)
        }
    }

    /// How an address comes to count as verified, and what is missing of that here.
    fn of_email(failure: &SignInFailure, provider: &Provider, context: &Context<'_>) -> Self {
        let title = provider.title();
        let advice = match provider {
            Provider::Microsoft(one) if one.is_personal() => Self::new(
                "Microsoft showed no e-mail address of your account. Add one to your Microsoft account, and let this application see it.",
            ),
            Provider::Microsoft(_) => Self::new(format!(
                "{title} did not confirm that your organization owns the domain of your address. Ask its administrator, or sign in another way."
            ))
            .best_is_others(),
            Provider::GitHub(one) => Self {
                link: Some(Link::to(
                    one.email_settings_url(),
                    format!("Open the e-mail settings of {title}"),
                )),
                ..Self::new(format!(
                    "{title} showed no verified primary address. Verify it in its settings. If it is verified already, approve this application again, so that it may read it."
                ))
            },
            Provider::Oidc(one) => match one.email_trust() {
                EmailTrust::Trusted => Self::new(format!(
                    "{title} did not say that it has verified your address. Verify it there."
                )),
                EmailTrust::Ignored => Self::new(format!(
                    "What {title} says of e-mail addresses does not count here. Sign in another way."
                ))
                .best_is_others(),
            },
        };
        advice.or_at_the_registry(failure, context)
    }

    /// A registry may say that it has verified an address itself.
    fn or_at_the_registry(mut self, failure: &SignInFailure, context: &Context<'_>) -> Self {
        let clients = &context.broker.settings.clients;
        let asks = clients.get(&failure.request.client);
        if asks.is_some_and(|client| client.may_vouch) {
            let client = client_name(&failure.request, context);
            let other = format!(" Or verify your address at {client}, whose word counts too.");
            self.text.push_str(&other);
        }
        self
    }

    fn of_organization(provider: &Provider) -> Self {
        let advice = Self {
            then: "",
            ..Self::new(
                "Try again with the account that your organization gave you. An account that is only a guest there does not count.",
            )
        };
        match provider {
            Provider::Microsoft(one) if !one.is_personal() => advice,
            Provider::Microsoft(_) | Provider::GitHub(_) | Provider::Oidc(_) => {
                advice.best_is_others()
            }
        }
    }

    fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            link: None,
            then: COME_BACK,
            others: false,
        }
    }

    fn best_is_others(self) -> Self {
        Self {
            then: "",
            others: true,
            ..self
        }
    }
}

impl Link {
    fn to(url: &Url, text: String) -> Self {
        let href = url.to_string();
        Self { text, href }
    }
}

/// Whether switching on multi-factor authentication helps.
pub(super) fn is_mended_by_enrolling(reason: Reason) -> bool {
    match reason {
        Reason::MfaAbsent
        | Reason::MfaUnknown
        | Reason::MethodNeverCounts
        | Reason::PhishingResistantAbsent
        | Reason::AcrNotMet => true,
        Reason::EvidenceMalformed
        | Reason::EvidenceContradictory
        | Reason::TenantContextUnnamed
        | Reason::BasisNotAccepted
        | Reason::AuthTimeAbsent
        | Reason::AuthTooOld
        | Reason::EvidenceTooOld
        | Reason::ReauthenticationNotShown
        | Reason::EmailNotVerified
        | Reason::OrganizationNotShown
        | Reason::MembershipStale
        | Reason::ProviderNotAdmitted
        | Reason::AccountLocked
        | Reason::NotAnOperator
        | Reason::IdentityChanged
        | Reason::WeighedOtherwise
        | Reason::ProviderWithdrew
        | Reason::NotInPolicy => false,
    }
}

/// What the operator may have to change, here or at the provider.
pub(super) fn for_operator(failure: &SignInFailure, provider: &Provider) -> Option<String> {
    match (&failure.why, failure.why.reason(), provider) {
        (Why::Provider(ProviderError::Misconfigured(what)), _, _) => {
            Some(format!("The registration at {}: {what}.", provider.title()))
        }
        (Why::Provider(ProviderError::Answer(_)), _, Provider::Microsoft(_))
        | (_, Some(Reason::MfaUnknown), Provider::Microsoft(_)) => Some(SILENT.into()),
        (_, Some(Reason::EmailNotVerified), provider) => of_email_for_operator(provider),
        (_, Some(Reason::OrganizationNotShown), _) => Some(ORGANIZATION.into()),
        (_, _, Provider::Microsoft(_) | Provider::GitHub(_) | Provider::Oidc(_)) => None,
    }
}

fn of_email_for_operator(provider: &Provider) -> Option<String> {
    match provider {
        Provider::Microsoft(one) if one.is_personal() => None,
        Provider::Microsoft(_) => Some(
            "In the app registration, under Token configuration, the ID token needs the optional claims “email” and “xms_edov”.".into(),
        ),
        Provider::GitHub(_) => {
            Some("The provider’s “scopes” must hold “user:email”.".into())
        }
        Provider::Oidc(one) => match one.email_trust() {
            EmailTrust::Trusted => None,
            EmailTrust::Ignored => Some(format!(
                "If {} verifies addresses, the provider’s “email_verified” is to be “trusted”.",
                provider.title()
            )),
        },
    }
}

/// Where no evidence came at all from Microsoft.
const SILENT: &str = "Microsoft sent no “acr”. In the app registration, under Authentication, “ID tokens (used for implicit and hybrid flows)” must be on, and this provider’s “flow” must be “hybrid”.";

/// Where a login is not of the organisation that was asked for.
const ORGANIZATION: &str = "The “tenants” of this organization in the policy say which logins are its own. The decision log has the tenant of this one, under the request below.";
