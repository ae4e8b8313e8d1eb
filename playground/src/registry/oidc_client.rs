//! The frontend's side of OpenID Connect: discovery, the way to the broker, and the way back.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_verifier::{Claims, Verifier};
use jiff::Timestamp;
use jsonwebtoken::jwk::JwkSet;
use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;
use url::{Url, form_urlencoded};

use super::http;
use super::id_token::{self, Expected, IdToken};
use super::sessions::{Attempt, Person, Unmet};
use super::trouble::Trouble;
use super::{RegistrySettings, random_text};

/// The frontend as a client of the broker.
#[derive(Debug)]
pub(super) struct OidcClient {
    http: Client,
    settings: RegistrySettings,
    redirect_uri: String,
    description: OnceCell<Description>,
}

/// What a sign-in is to bring.
#[derive(Debug, Default)]
pub(super) struct Wish {
    /// Scopes besides those that signing in always asks for.
    pub(super) scope: Option<String>,
    pub(super) acr_values: Option<String>,
    pub(super) max_age: Option<String>,
    pub(super) provider: Option<String>,
    pub(super) tenant: Option<String>,
    pub(super) login_hint: Option<String>,
    /// A path of ours to go on at.
    pub(super) return_to: String,
    /// Who must come back, where somebody is signed in already.
    pub(super) same_person: Option<String>,
    /// The scope that must be granted.
    pub(super) needs: Option<String>,
}

/// The part of the broker's metadata that is used here (OpenID Connect Discovery 3).
#[derive(Debug, Deserialize)]
struct Description {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
}

#[derive(Deserialize)]
struct Tokens {
    access_token: String,
    token_type: String,
    id_token: String,
    #[serde(default)]
    unmet_scopes: Vec<Unmet>,
}

impl OidcClient {
    pub(super) fn new(http: Client, settings: RegistrySettings, redirect_uri: String) -> Self {
        Self {
            http,
            settings,
            redirect_uri,
            description: OnceCell::new(),
        }
    }

    pub(super) fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Where to send the person, and what to remember until they come back.
    pub(super) async fn departure(&self, wish: Wish) -> Result<(Url, Attempt), Trouble> {
        let attempt = Attempt {
            state: random_text(),
            nonce: random_text(),
            pkce_verifier: random_text(),
            return_to: wish.return_to.clone(),
            same_person: wish.same_person.clone(),
            needs: wish.needs.clone(),
        };
        let mut url = self.description().await?.authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("scope", &self.scope(wish.scope.as_deref()))
            .append_pair("state", &attempt.state)
            .append_pair("nonce", &attempt.nonce)
            .append_pair("code_challenge", &challenge_of(&attempt.pkce_verifier))
            .append_pair("code_challenge_method", "S256")
            .extend_pairs(hints(&wish));
        Ok((url, attempt))
    }

    /// Exchanges the code, and verifies both tokens before anything in them is believed.
    pub(super) async fn redeem(
        &self,
        code: &str,
        attempt: &Attempt,
        verifier: &Verifier,
        now: Timestamp,
    ) -> Result<Person, Trouble> {
        let tokens = self.exchange(code, attempt).await?;
        let keys: JwkSet = self.json(&self.description().await?.jwks_uri).await?;
        let expected = Expected {
            issuer: &self.settings.issuer,
            client_id: &self.settings.client_id,
            nonce: &attempt.nonce,
            access_token: &tokens.access_token,
            now,
        };
        let id_token = id_token::verify(&tokens.id_token, &keys, &expected)?;
        let token = verifier.verify(&tokens.access_token).await;
        let claims = token
            .map_err(|_| Trouble::Token("the access token"))?
            .into_claims();
        self.check_pair(&id_token, &claims)?;
        let access_token = SecretString::from(tokens.access_token);
        Ok(Person {
            id_token,
            claims,
            access_token,
            unmet: tokens.unmet_scopes,
        })
    }

    /// Both tokens are about one person and for this client.
    fn check_pair(&self, id_token: &IdToken, claims: &Claims) -> Result<(), Trouble> {
        if id_token.sub == claims.sub && claims.client_id == self.settings.client_id {
            Ok(())
        } else {
            Err(Trouble::Token("the two tokens do not belong together"))
        }
    }

    async fn exchange(&self, code: &str, attempt: &Attempt) -> Result<Tokens, Trouble> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", &attempt.pkce_verifier),
        ];
        // RFC 6749 2.3.1: id and secret are form-urlencoded before they become user and password.
        let id = form_encoded(&self.settings.client_id);
        let secret = form_encoded(self.settings.client_secret.expose_secret());
        let url = self.description().await?.token_endpoint.clone();
        let request = self.http.post(url).basic_auth(id, Some(secret)).form(&form);
        let answer = request
            .send()
            .await
            .map_err(|_| Trouble::Broker("it can't be reached"))?;
        if !answer.status().is_success() {
            return Err(Trouble::Broker("it does not take the code"));
        }
        let tokens: Option<Tokens> = http::json(answer).await;
        let tokens = tokens.ok_or(Trouble::Broker("its tokens can't be read"))?;
        if tokens.token_type.eq_ignore_ascii_case("bearer") {
            Ok(tokens)
        } else {
            Err(Trouble::Broker("its token is not a bearer token"))
        }
    }

    /// Asked for at the first sign-in, then kept.
    async fn description(&self) -> Result<&Description, Trouble> {
        let fetch = async || {
            let url = format!("{}/.well-known/openid-configuration", self.settings.issuer);
            let url = Url::parse(&url).map_err(|_| Trouble::Broker("its issuer is no address"))?;
            let description: Description = self.json(&url).await?;
            // Discovery 4.3: it must be about the issuer it was asked of, to the letter.
            if description.issuer == self.settings.issuer {
                Ok(description)
            } else {
                Err(Trouble::Broker("its description is another issuer's"))
            }
        };
        self.description.get_or_try_init(fetch).await
    }

    async fn json<T: DeserializeOwned>(&self, url: &Url) -> Result<T, Trouble> {
        let answer = self.http.get(url.clone()).send().await;
        let answer = answer.map_err(|_| Trouble::Broker("it can't be reached"))?;
        let document = http::json(answer).await;
        document.ok_or(Trouble::Broker("its answer can't be read"))
    }

    fn scope(&self, more: Option<&str>) -> String {
        let mut scopes: Vec<&str> = self.settings.scopes.iter().map(String::as_str).collect();
        for scope in more.unwrap_or_default().split_ascii_whitespace() {
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        scopes.join(" ")
    }
}

fn hints(wish: &Wish) -> impl Iterator<Item = (&'static str, &str)> {
    let hints = [
        ("acr_values", &wish.acr_values),
        ("max_age", &wish.max_age),
        ("provider", &wish.provider),
        ("tenant", &wish.tenant),
        ("login_hint", &wish.login_hint),
    ];
    hints
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
}

/// RFC 7636 4.2.
fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

fn form_encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
