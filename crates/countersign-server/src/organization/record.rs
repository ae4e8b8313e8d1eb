//! The TXT record of an issuer's host that proves that an organisation may be connected to it.
//!
//! Of the host itself, where nothing but the issuer is: an issuer below a path, or at a port of its own, shares its host with
//! others. It names us, the organisation and the claim, so that what was published for anything else proves nothing. Only
//! issuers of the configuration are ever looked up: no host comes from a form.

use countersign_core::Source;
use countersign_providers::Provider;
use countersign_store::{Connection, Organization, Proof, Standing};
use url::{Host, Url};

use super::connect::has_people_of_one;
use crate::web::Context;

/// What is to be published, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) host: String,
    pub(crate) text: String,
    /// Which claim it proves.
    pub(super) token: String,
}

impl Record {
    /// The one that proves this claim; none where none can.
    pub(super) fn of(
        known: &Organization,
        connection: &Connection,
        context: &Context<'_>,
    ) -> Option<Self> {
        let (Source::Issuer(issuer), Proof::Member { token }, Standing::AwaitingApproval) = (
            &connection.mapping.source,
            &connection.proof,
            connection.standing,
        ) else {
            return None;
        };
        let is_theirs = |provider: &Provider| match provider {
            Provider::Oidc(one) => one.is_issued_by(issuer) && has_people_of_one(provider),
            Provider::Microsoft(_) | Provider::GitHub(_) => false,
        };
        let mut providers = context.broker.providers.values();
        let host = host_of(issuer).filter(|_| providers.any(is_theirs))?;
        let us = context.broker.settings.issuer();
        Some(Self {
            text: format!("countersign={us},organization={},token={token}", known.id),
            host,
            token: token.clone(),
        })
    }

    /// Whether it is among the texts of its host.
    pub(super) fn is_in(&self, texts: &[String]) -> bool {
        texts.contains(&self.text)
    }
}

/// The host that an issuer has for itself, if it is a name.
fn host_of(issuer: &str) -> Option<String> {
    let url = Url::parse(issuer).ok()?;
    let is_bare = url.scheme() == "https"
        && url.port().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    match url.host() {
        Some(Host::Domain(name)) if is_bare && name.contains('.') => Some(name.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_speaks_for_an_issuer_that_has_it_alone() {
        for (issuer, host) in [
            ("https://login.acme.example", Some("login.acme.example")),
            ("https://login.acme.example/", Some("login.acme.example")),
            ("https://login.acme.example:443", Some("login.acme.example")),
            ("https://login.acme.example:8443", None),
            ("https://login.example/realms/acme", None),
            ("https://login.acme.example/?tenant=acme", None),
            ("https://login.acme.example/#acme", None),
            ("https://acme@login.example", None),
            ("http://login.acme.example", None),
            ("https://192.0.2.7", None),
            ("https://[2001:db8::7]", None),
            ("https://localhost", None),
            ("login.acme.example", None),
        ] {
            assert_eq!(host_of(issuer).as_deref(), host, "{issuer}");
        }
    }
}
