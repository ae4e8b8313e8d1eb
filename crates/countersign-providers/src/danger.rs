//! Evidence of claims that nobody signed: for fuzzing and for nothing else.
//!
//! Behind the feature `danger-unsigned`, which the program does not have.

use std::collections::BTreeSet;

use countersign_core::{Evidence, ProviderId, ProviderKind};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Map;
use url::Url;

use crate::id_token::Unverified;
use crate::microsoft::tenancy::TenantToken;
use crate::oidc::{EmailTrust, OidcSettings, People, SigningAlgorithm};
use crate::strict_json::StrictObject;
use crate::{Credentials, ProviderError, github, microsoft, oidc};

/// What a provider says of a login, as JSON.
#[derive(Debug, Clone, Copy)]
pub struct Unsigned<'a> {
    /// The claims of the ID token, or GitHub's `GET /user`.
    pub claims: &'a [u8],
    /// What comes beside it: the front channel's claims, UserInfo, or GitHub's `GET /user/emails`.
    pub beside: Option<&'a [u8]>,
}

/// What this would prove, had it been signed by the provider.
pub fn evidence(
    kind: ProviderKind,
    unsigned: Unsigned<'_>,
    keep: &BTreeSet<String>,
    now: Timestamp,
) -> Result<Evidence, ProviderError> {
    let name = ProviderId::new("fuzzed").map_err(|_| ProviderError::Answer("no name"))?;
    let Unsigned { claims, beside } = unsigned;
    match kind {
        ProviderKind::GitHub => {
            github::evidence::evidence(&name, "github.com", claims, beside, now)
        }
        ProviderKind::MicrosoftAccount | ProviderKind::Entra => {
            let front = beside.map(TenantToken::unsigned).transpose()?;
            let back = TenantToken::unsigned(claims)?;
            microsoft::evidence::evidence(&name, front.as_ref(), &back, keep, now)
        }
        ProviderKind::Oidc => {
            let settings = settings(name)?;
            let token = Unverified::unsigned(claims)?.believed()?;
            let person = beside.map(serde_json::from_slice).transpose();
            let person = person.map_err(|_| ProviderError::Answer("no UserInfo"))?;
            let StrictObject(person) = person.unwrap_or(StrictObject(Map::new()));
            let issuer = settings.issuer.as_str();
            Ok(oidc::evidence::evidence(
                &settings, issuer, &token, &person, keep, now,
            ))
        }
    }
}

fn settings(name: ProviderId) -> Result<OidcSettings, ProviderError> {
    let issuer = Url::parse("https://login.example/");
    Ok(OidcSettings {
        name,
        title: "Fuzzed".to_owned(),
        issuer: issuer.map_err(|_| ProviderError::Answer("no issuer"))?,
        credentials: Credentials {
            client_id: "fuzz".to_owned(),
            secret: SecretString::from("fuzz"),
        },
        scopes: Vec::new(),
        algorithm: SigningAlgorithm::Rs256,
        email_trust: EmailTrust::Trusted,
        enrolment_url: None,
        recheck: None,
        people: People::Anybodys,
        groups_claim: None,
    })
}
