//! What the client `gallery` asks of the broker, and the way of a person between the two and a provider.

use serde_json::json;
use url::Url;

use crate::{BrokerSetup, Browser, Login, Outcome, Page, TestBroker, Tokens};

/// The PKCE verifier of the client, and its S256 challenge.
const VERIFIER: &str = "dBjftJeZ4CVP-mBJL1Ia4lOTjFWOEjhYDk3jJMOYtTk";
const CHALLENGE: &str = "NKCjUJzLZHmn1-iUAFlcmQlzdeGSY_VATTrrKnzG7hI";

impl TestBroker {
    /// The address of a request of the client `gallery`.
    pub fn authorize_url(&self, login: &Login) -> Url {
        let mut parameters = owned(&[
            ("response_type", "code"),
            ("client_id", "gallery"),
            ("redirect_uri", BrokerSetup::REDIRECT_URI),
            ("scope", "openid profile email packages:manage"),
            ("state", "state-of-the-client"),
            ("nonce", "nonce-of-the-client"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("provider", login.provider),
        ]);
        for (name, value) in &login.parameters {
            parameters.retain(|(known, _)| known != name);
            parameters.push((name.clone(), value.clone()));
        }
        parameters.retain(|(_, value)| !value.is_empty());
        let mut url = self.endpoint("/authorize");
        url.query_pairs_mut().extend_pairs(parameters);
        url
    }

    /// Follows a page of the broker's or a provider's to where it leads. `visit` does what the
    /// person does at a provider, up to the answer that sends them back.
    pub async fn go_on(
        &self,
        browser: &mut Browser,
        mut page: Page,
        mut visit: impl AsyncFnMut(&mut Browser, Url) -> Page,
    ) -> Outcome {
        for _ in 0..12 {
            page = match page.location.clone() {
                Some(to) if to.as_str().starts_with(BrokerSetup::REDIRECT_URI) => {
                    return back_at_the_client(page);
                }
                Some(to) if self.is_own(&to) => browser.get(&to).await,
                Some(to) => visit(browser, to).await,
                None => match page.form() {
                    Some((to, fields)) if self.is_own(&to) => browser.post(&to, &fields).await,
                    _ => return self.outcome(page),
                },
            };
        }
        panic!("the sign-in does not end; last at {}", page.url);
    }

    fn outcome(&self, page: Page) -> Outcome {
        match page.primary_link() {
            _ if !self.is_own(&page.url) => Outcome::AtProvider(page),
            _ if page.reason_code() == Some("reminded") => Outcome::Reminder(page),
            Some(link) if page.status == 200 && !self.is_own(&link) => Outcome::StepUp(page),
            _ => Outcome::Refused(page),
        }
    }

    fn is_own(&self, url: &Url) -> bool {
        url.as_str().starts_with(&self.issuer)
    }

    /// Redeems the code that the client got.
    pub async fn redeem(&self, page: &Page) -> Tokens {
        let code = page.sent_with("code").expect("a code");
        self.redeem_with(&[("code", &code)]).await
    }

    /// Calls the token endpoint as the client `gallery`, with these parameters over the usual ones.
    pub async fn redeem_with(&self, changed: &[(&str, &str)]) -> Tokens {
        let mut form = owned(&[
            ("grant_type", "authorization_code"),
            ("redirect_uri", BrokerSetup::REDIRECT_URI),
            ("code_verifier", VERIFIER),
            ("client_id", "gallery"),
            ("client_secret", BrokerSetup::SECRET),
        ]);
        for (name, value) in changed {
            form.retain(|(known, _)| known != name);
            form.push(((*name).to_owned(), (*value).to_owned()));
        }
        form.retain(|(_, value)| !value.is_empty());
        let page = Browser::new().post(&self.endpoint("/token"), &form).await;
        let body = serde_json::from_str(&page.body).unwrap_or(json!(page.body));
        Tokens {
            status: page.status,
            body,
        }
    }

    /// The address of an endpoint.
    pub fn endpoint(&self, path: &str) -> Url {
        Url::parse(&format!("{}{path}", self.address)).expect("an address")
    }
}

fn back_at_the_client(page: Page) -> Outcome {
    match page.sent_with("error") {
        Some(_) => Outcome::ClientError(page),
        None => Outcome::Code(page),
    }
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
