//! The clients: whether people can be sent back to them.

use std::time::Duration;

use countersign_providers::http::is_loopback;
use countersign_server::{Client, ClientAuthentication};
use futures_util::future::join_all;
use url::{Host, Url};

use super::Patient;
use super::finding::Finding;

/// How long a name may take to be found.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn check(patient: &Patient) -> Vec<Finding> {
    let settings = &patient.installation.settings;
    let is_public = !is_loopback(&settings.issuer);
    let all = settings.clients.iter().map(async |(id, client)| {
        let mut findings = Vec::new();
        for text in &client.redirect_uris {
            let found = look(text).await;
            let of = format!("client {id}: {text}");
            findings.push(judge(&of, client, found, is_public));
        }
        findings
    });
    join_all(all).await.into_iter().flatten().collect()
}

/// Where a redirect URI leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leads {
    ToThisMachine,
    ToANumber,
    ToAName,
    Nowhere,
    /// An app's own scheme.
    ToAnApp,
}

async fn look(text: &str) -> Leads {
    let Ok(url) = Url::parse(text) else {
        return Leads::Nowhere;
    };
    match url.host() {
        _ if is_loopback(&url) => Leads::ToThisMachine,
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => Leads::ToANumber,
        Some(Host::Domain(name)) => {
            let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((name, 443)));
            let found = found.await.ok().and_then(Result::ok);
            match found.and_then(|mut found| found.next()) {
                Some(_) => Leads::ToAName,
                None => Leads::Nowhere,
            }
        }
        None => Leads::ToAnApp,
    }
}

fn judge(of: &str, client: &Client, leads: Leads, issuer_is_public: bool) -> Finding {
    let is_app = matches!(client.authentication, ClientAuthentication::Public);
    match (leads, issuer_is_public) {
        (Leads::ToAName, _) => Finding::fine(of, "its name is known"),
        (Leads::ToAnApp, _) => Finding::fine(of, "leads to an app"),
        (Leads::ToThisMachine, false) => {
            Finding::fine(of, "leads to this machine, as the issuer does")
        }
        // RFC 8252 7.3: an app on the person's own machine.
        (Leads::ToThisMachine, true) if is_app => {
            Finding::fine(of, "leads to the person's own machine")
        }
        (Leads::ToThisMachine, true) => Finding::warning(
            of,
            "leads to the person's own machine, and the client has a secret",
            "remove it where it was for development; an app that people install can keep no secret: `public = true`",
        ),
        (Leads::ToANumber, _) => Finding::warning(
            of,
            "leads to an address by number",
            "give it a name: who gets the number next gets the codes",
        ),
        (Leads::Nowhere, _) => Finding::warning(
            of,
            "its name is not known to this machine's name server",
            "see that it is written right; where only people can look it up, this is fine",
        ),
    }
}
