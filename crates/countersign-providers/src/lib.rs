//! Upstream providers: Entra, Microsoft accounts, GitHub, OpenID Connect.
//!
//! Each kind is two halves: `fetch` talks to the provider, `evidence` is pure and turns what
//! was verified into [`Evidence`]. Nothing here says whether a login is good enough.

mod cache;
#[cfg(feature = "danger-unsigned")]
pub mod danger;
mod dns;
mod error;
pub mod examine;
pub mod github;
pub mod http;
mod id_token;
mod key_set;
mod metadata;
pub mod microsoft;
pub mod oidc;
mod published_keys;
mod recheck;
pub mod relay;
mod strict_json;
mod token_endpoint;

use std::collections::BTreeSet;

use countersign_core::sign_in::{Flow, Visit};
use countersign_core::{Ask, Evidence, Identity, ProviderId, Remedy, TenantId};
use jiff::{SignedDuration, Timestamp};
use url::Url;

pub use dns::{DnsError, NameServers};
pub use error::ProviderError;
pub use github::GitHub;
pub use http::{Http, PrivateHosts};
pub use id_token::TokenFault;
pub use microsoft::Microsoft;
pub use oidc::Oidc;
pub use published_keys::{NoKeys, PublishedKeys, SignedJwt};
pub use recheck::{AskedAgain, Fetched, ProviderToken};
pub use token_endpoint::Credentials;

/// One configured provider.
#[derive(Debug)]
pub enum Provider {
    /// Entra ID, or Microsoft personal accounts.
    Microsoft(Microsoft),
    /// GitHub.com, GitHub Enterprise Server or GHE.com.
    GitHub(GitHub),
    /// Any OpenID Connect provider, by discovery.
    Oidc(Oidc),
}

/// Where a person is sent, and with what.
#[derive(Debug)]
pub struct Departure<'a> {
    /// What the login should prove.
    pub ask: &'a Ask,
    /// What binds the answer to the browser.
    pub visit: &'a Visit,
    /// Our callback for this provider.
    pub redirect_uri: &'a Url,
    /// Whom to suggest.
    pub login_hint: Option<&'a str>,
    /// Whether the person is to choose among accounts; never on a step-up.
    pub account_choice: AccountChoice,
    /// Whether GitHub is to say whose member the person is, even where it is not asked at every login.
    pub memberships: Memberships,
    /// Whether the provider is to be asked again later.
    pub recheck: Recheck,
}

/// Whether what a provider can be asked again with is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recheck {
    /// Where its configuration says `recheck`.
    AsConfigured,
    /// No session follows.
    Never,
}

/// Whether the organisations that a person is in are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memberships {
    /// As the provider's `scopes` have it.
    AsConfigured,
    /// They are what the sign-in is for.
    Asked,
}

/// Whether the provider should let the person choose among accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountChoice {
    /// As the provider sees fit.
    ProviderDecides,
    /// `prompt=select_account`.
    Offered,
}

/// What came back on the callback. Hostile until [`Provider::fetch`] has verified it.
#[derive(Debug, Default)]
pub struct Answer {
    /// The authorization code.
    pub code: Option<String>,
    /// The front-channel ID token (hybrid flow).
    pub id_token: Option<String>,
    /// The OAuth error.
    pub error: Option<String>,
    /// Microsoft's refinement of it.
    pub error_subcode: Option<String>,
    /// The issuer that answered (RFC 9207).
    pub iss: Option<String>,
}

/// What a provider says has ended at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoggedOut {
    /// A session, by the provider's name of it, and whose it was if the provider says so.
    Session {
        /// `sid`.
        sid: String,
        /// Whose.
        subject: Option<Identity>,
    },
    /// Every session of a person.
    Person(Identity),
}

/// Whether a provider loads an address of ours in a frame when somebody signs out there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrontChannel {
    /// Entra does.
    Served,
    /// Others don't, or tell it better.
    NotServed,
}

impl Provider {
    /// Whether it tells of sign-outs by OpenID Connect Front-Channel Logout.
    pub fn front_channel_logout(&self) -> FrontChannel {
        match self {
            Self::Microsoft(_) => FrontChannel::Served,
            Self::GitHub(_) | Self::Oidc(_) => FrontChannel::NotServed,
        }
    }

    /// Verifies a logout token (OpenID Connect Back-Channel Logout 2.6).
    pub async fn logged_out(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<LoggedOut, ProviderError> {
        match self {
            Self::Oidc(one) => one.logged_out(token, now).await,
            Self::Microsoft(_) | Self::GitHub(_) => Err(ProviderError::Answer(
                "this kind of provider sends no logout tokens",
            )),
        }
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &ProviderId {
        match self {
            Self::Microsoft(one) => one.name(),
            Self::GitHub(one) => one.name(),
            Self::Oidc(one) => one.name(),
        }
    }

    /// What people call it.
    pub fn title(&self) -> &str {
        match self {
            Self::Microsoft(one) => one.title(),
            Self::GitHub(one) => one.title(),
            Self::Oidc(one) => one.title(),
        }
    }

    /// Where a person switches on multi-factor authentication there.
    pub fn enrolment_url(&self) -> Option<&Url> {
        match self {
            Self::Microsoft(one) => Some(one.enrolment_url()),
            Self::GitHub(one) => Some(one.enrolment_url()),
            Self::Oidc(one) => one.enrolment_url(),
        }
    }

    /// Whether it can be asked for more evidence than a first login showed.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Microsoft(_) | Self::Oidc(_) => Remedy::StepUp,
            // GitHub has neither `acr_values` nor `max_age` nor `prompt=login`.
            Self::GitHub(_) => Remedy::Nothing,
        }
    }

    /// How it will be told to answer this.
    pub fn flow(&self, ask: &Ask) -> Flow {
        match self {
            Self::Microsoft(one) => one.flow(ask),
            Self::GitHub(_) | Self::Oidc(_) => Flow::Code,
        }
    }

    /// The tenant that every login there belongs to, where the configuration says so.
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Microsoft(one) => one.only_tenant(),
            Self::GitHub(_) | Self::Oidc(_) => None,
        }
    }

    /// Whether an identity can be one of this provider's.
    pub fn may_vouch_for(&self, identity: &Identity) -> bool {
        match (self, identity) {
            (Self::Microsoft(one), Identity::Microsoft { tid, .. }) => one.admits(tid),
            (Self::GitHub(one), Identity::GitHub { host, .. }) => one.host() == host,
            (Self::Oidc(one), Identity::Oidc { issuer, .. }) => one.is_issued_by(issuer),
            (Self::Microsoft(_) | Self::GitHub(_) | Self::Oidc(_), _) => false,
        }
    }

    /// Whether a person can be sent to one of many tenants there.
    pub fn takes_tenants(&self) -> bool {
        match self {
            Self::Microsoft(one) => one.takes_tenants(),
            Self::GitHub(_) | Self::Oidc(_) => false,
        }
    }

    /// The address that a person is sent to.
    pub async fn departure(
        &self,
        departure: &Departure<'_>,
        now: Timestamp,
    ) -> Result<Url, ProviderError> {
        match self {
            Self::Microsoft(one) => one.departure(departure),
            Self::GitHub(one) => Ok(one.departure(departure)),
            Self::Oidc(one) => one.departure(departure, now).await,
        }
    }

    /// Turns an answer into verified evidence, or says why not.
    ///
    /// The caller has compared `state` already: it is the attempt's, not the provider's. Of the claims
    /// in its signed ID token those of `keep` are kept as they are (GitHub has no ID token).
    pub async fn fetch(
        &self,
        answer: &Answer,
        visit: &Visit,
        redirect_uri: &Url,
        keep: &BTreeSet<String>,
        now: Timestamp,
    ) -> Result<Fetched, ProviderError> {
        match self {
            Self::Microsoft(one) => one.fetch(answer, visit, redirect_uri, keep, now).await,
            Self::GitHub(one) => one.fetch(answer, visit, redirect_uri, now).await,
            Self::Oidc(one) => one.fetch(answer, visit, redirect_uri, keep, now).await,
        }
    }
}

/// About which login a provider is asked again.
#[derive(Debug, Clone, Copy)]
pub struct Again<'a> {
    /// What the login proved.
    pub evidence: &'a Evidence,
    /// The authentication context that it rests on (Entra), if it does on one.
    pub context: Option<&'a str>,
    /// As for [`Provider::fetch`].
    pub keep: &'a BTreeSet<String>,
}

impl Provider {
    /// How long after a login, or after the last time, it is to be asked again; never, if nothing is said.
    pub fn recheck(&self) -> Option<SignedDuration> {
        match self {
            Self::Microsoft(one) => one.recheck(),
            Self::GitHub(one) => one.recheck(),
            Self::Oidc(one) => one.recheck(),
        }
    }

    /// Asks how a login stands now, without the person.
    pub async fn ask_again(
        &self,
        token: &ProviderToken,
        again: Again<'_>,
        now: Timestamp,
    ) -> AskedAgain {
        let Again {
            evidence,
            context,
            keep,
        } = again;
        match self {
            Self::Microsoft(one) => {
                let about = (evidence, context);
                one.ask_again(token, about, keep, now).await
            }
            Self::GitHub(one) => one.ask_again(token, now).await,
            Self::Oidc(one) => one.ask_again(token, evidence, keep, now).await,
        }
    }
}

impl Answer {
    /// The code, or the error that came instead.
    pub(crate) fn code(&self) -> Result<&str, ProviderError> {
        if let Some(error) = &self.error {
            return Err(ProviderError::from_oauth(
                error,
                self.error_subcode.as_deref(),
            ));
        }
        self.code
            .as_deref()
            .filter(|code| !code.is_empty())
            .ok_or(ProviderError::Answer("neither a code nor an error"))
    }

    /// RFC 9207 2.4: `iss`, where it is sent, is the issuer we sent the person to; where the
    /// provider says that it sends it, it must be there. The defence against mix-up.
    pub(crate) fn check_issuer(
        &self,
        expected: &str,
        promise: IssParameter,
    ) -> Result<(), ProviderError> {
        match (self.iss.as_deref(), promise) {
            (Some(iss), _) if iss == expected => Ok(()),
            (Some(_), _) => Err(ProviderError::Answer("`iss` names another issuer")),
            (None, IssParameter::Promised) => Err(ProviderError::Answer("`iss` is missing")),
            (None, IssParameter::NotPromised) => Ok(()),
        }
    }
}

/// Whether a provider says that it sends `iss` on the callback (RFC 9207 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IssParameter {
    Promised,
    NotPromised,
}

/// What is kept of a display name: untrusted text, without control characters, at most 256 characters.
pub(crate) fn display_text(text: &str, limit: usize) -> Option<String> {
    let clean: String = text
        .chars()
        .filter(|c| !c.is_control())
        .take(limit)
        .collect();
    let clean = clean.trim();
    (!clean.is_empty()).then(|| clean.to_owned())
}
