//! npm `oidc-provider`: a certified provider whose people prove what the test says, and whose
//! answers can be spoiled one part at a time.

use countersign_core::ProviderId;
use countersign_providers::oidc::{EmailTrust, OidcSettings, People, SigningAlgorithm};
use countersign_providers::{Credentials, Http, Oidc, Provider};
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

use super::Peer;
use crate::{Browser, Page};

const HOST: &str = "127.0.0.2";
/// Long enough for a key of HS256, which one of the faults signs with.
const SECRET: &str = "a-secret-of-thirty-two-characters";

/// What it does where an essential `acr` is not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmet {
    /// An error, as OpenID Connect Core 5.5.1.1 has it.
    Refused,
    /// It answers as if nobody had asked, as many do.
    Ignored,
}

/// The algorithms that it can sign ID tokens with, and the name of the broker's provider for each.
pub const ALGORITHMS: [(&str, &str, SigningAlgorithm); 4] = [
    ("certified", "RS256", SigningAlgorithm::Rs256),
    ("certified-ps256", "PS256", SigningAlgorithm::Ps256),
    ("certified-es256", "ES256", SigningAlgorithm::Es256),
    ("certified-eddsa", "EdDSA", SigningAlgorithm::EdDsa),
];

/// The provider in a process of its own.
#[derive(Debug)]
pub struct OidcProvider {
    peer: Peer,
    issuer: Url,
}

impl OidcProvider {
    /// Starts it with the broker of this issuer as its client, once for each algorithm.
    pub fn start(unmet: Unmet, broker: &str) -> Self {
        let clients = ALGORITHMS.map(|(name, algorithm, _)| {
            json!({
                "client_id": name,
                "client_secret": SECRET,
                "redirect_uris": [format!("{broker}/callback/{name}")],
                "id_token_signed_response_alg": algorithm,
            })
        });
        let unmet = match unmet {
            Unmet::Refused => "refused",
            Unmet::Ignored => "ignored",
        };
        let argument = json!({ "host": HOST, "unmet": unmet, "clients": clients });
        let mut peer = Peer::node("upstream.mjs", &argument);
        let issuer = peer.hear()["issuer"].as_str().map(Url::parse);
        let issuer = issuer.expect("an issuer").expect("an address");
        Self { peer, issuer }
    }

    /// The broker's side: a provider for each algorithm.
    pub fn providers(&self, http: &Http) -> Vec<Provider> {
        ALGORITHMS
            .map(|(name, _, algorithm)| {
                let settings = OidcSettings {
                    name: ProviderId::new(name).expect("a name"),
                    title: "Certified ID".into(),
                    issuer: self.issuer.clone(),
                    credentials: Credentials {
                        client_id: name.into(),
                        secret: SecretString::from(SECRET),
                    },
                    scopes: vec!["profile".into(), "email".into()],
                    algorithm,
                    email_trust: EmailTrust::Trusted,
                    enrolment_url: None,
                    recheck: None,
                    people: People::Anybodys,
                    groups_claim: None,
                };
                Provider::Oidc(Oidc::new(settings, http.clone()))
            })
            .into()
    }

    /// Spoils its answers from now on; `upstream.mjs` says how. `{}` is no fault.
    pub fn spoil(&mut self, fault: &Value) {
        self.peer.ask(fault);
    }

    /// What a person does there: where it asks who is there, they answer `login`, once. Gives the
    /// answer that sends them back, or the page where they are asked again.
    pub async fn visit(&self, browser: &mut Browser, to: &Url, login: &Value) -> Page {
        let page = self.arrive(browser, to).await;
        if page.location.is_some() {
            return page;
        }
        let mut answer = page.url;
        answer
            .query_pairs_mut()
            .append_pair("login", &login.to_string());
        let page = self.arrive(browser, &answer).await;
        match page.form() {
            // Another person than its session's: it signs that one out first.
            Some((to, fields)) => {
                let page = browser.post(&to, &fields).await;
                let next = page.location.expect("a way on");
                self.arrive(browser, &next).await
            }
            None => page,
        }
    }

    /// Follows it to where it asks, or sends the person back.
    pub async fn arrive(&self, browser: &mut Browser, to: &Url) -> Page {
        let within = |url: &Url| url.origin() == self.issuer.origin();
        browser.follow(to, within).await
    }
}
