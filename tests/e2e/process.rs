//! The program itself: its command line, its files, its start and its end.

mod accounts;
mod api_keys;
mod audit;
mod command_line;
mod decisions;
mod deploy;
mod doctor;
mod keys;
mod limits;
mod log;
mod orgs;
mod policy;
mod private;
mod redis_tls;
mod registry_keys;
mod reload;
pub(crate) mod revocations;
mod rotation;
mod serve;
mod simulate;
mod traces;

use countersign_dev_idp::DevIdp;
use countersign_tests::{BrokerSetup, Browser, Installation, Page, Tokens};
use serde_json::{Value, json};
use url::Url;

pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mBJL1Ia4lOTjFWOEjhYDk3jJMOYtTk";
const CHALLENGE: &str = "NKCjUJzLZHmn1-iUAFlcmQlzdeGSY_VATTrrKnzG7hI";

/// Stand-ins, and the files of a program that knows them.
pub(crate) struct Site {
    oidc: DevIdp,
    microsoft: DevIdp,
    github: DevIdp,
    pub(crate) installation: Installation,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let oidc = DevIdp::oidc("127.0.0.2:0").await.expect("a stand-in");
        let microsoft = DevIdp::entra("127.0.0.2:0").await.expect("a stand-in");
        let github = DevIdp::github("127.0.0.2:0").await.expect("a stand-in");
        let installation = Installation::with(&oidc, &microsoft, &github);
        Self {
            oidc,
            microsoft,
            github,
            installation,
        }
    }

    pub(crate) fn authorize_url(&self, provider: &str) -> Url {
        let mut url =
            Url::parse(&format!("{}/authorize", self.installation.issuer)).expect("an address");
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", "gallery"),
            ("redirect_uri", BrokerSetup::REDIRECT_URI),
            ("scope", "openid profile email packages:manage"),
            ("state", "state-of-the-client"),
            ("nonce", "nonce-of-the-client"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("provider", provider),
        ]);
        url
    }

    /// Signs in, up to the client or a page; every page on the way is handed to `seen`.
    pub(crate) async fn sign_in(
        &self,
        provider: &str,
        account: &str,
        seen: impl FnMut(&Browser, &Page),
    ) -> Page {
        let mut browser = Browser::new();
        let page = browser.get(&self.authorize_url(provider)).await;
        self.go_on((&mut browser, page), account, seen).await
    }

    /// Goes on from a page, up to the client or another page.
    async fn go_on(
        &self,
        (browser, mut page): (&mut Browser, Page),
        account: &str,
        mut seen: impl FnMut(&Browser, &Page),
    ) -> Page {
        for _ in 0..12 {
            seen(browser, &page);
            page = match page.location.clone() {
                Some(to) if to.as_str().starts_with(BrokerSetup::REDIRECT_URI) => return page,
                Some(mut to) if to.host_str() == Some("127.0.0.2") => {
                    to.query_pairs_mut().append_pair("account", account);
                    browser.get(&to).await
                }
                Some(to) => browser.get(&to).await,
                None => match page.form() {
                    Some((to, fields)) => browser.post(&to, &fields).await,
                    None => return page,
                },
            };
        }
        panic!("the sign-in does not end; last at {}", page.url);
    }

    /// A code of somebody who signs in with a second factor.
    pub(crate) async fn code(&self) -> String {
        let page = self.sign_in("oidc", "ann-mfa", |_, _| {}).await;
        page.sent_with("code")
            .unwrap_or_else(|| panic!("{}", page.body))
    }

    async fn redeem(&self, code: &str) -> Tokens {
        self.ask_for_tokens(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", BrokerSetup::REDIRECT_URI),
            ("code_verifier", VERIFIER),
        ])
        .await
    }

    async fn refresh(&self, refresh_token: &str) -> Tokens {
        self.ask_for_tokens(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
        ])
        .await
    }

    async fn ask_for_tokens(&self, parameters: &[(&str, &str)]) -> Tokens {
        let client = [
            ("client_id", "gallery"),
            ("client_secret", BrokerSetup::SECRET),
        ];
        let form: Vec<(String, String)> = parameters
            .iter()
            .chain(&client)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let url = Url::parse(&format!("{}/token", self.installation.issuer)).expect("an address");
        let page = Browser::new().post(&url, &form).await;
        Tokens {
            status: page.status,
            body: serde_json::from_str(&page.body).unwrap_or(json!(page.body)),
        }
    }

    /// A JSON document of the program's.
    async fn document(&self, path: &str) -> Value {
        let page = countersign_tests::wire::get(&self.installation.issuer, path, &[]).await;
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        serde_json::from_str(&page.body).expect("JSON")
    }
}
