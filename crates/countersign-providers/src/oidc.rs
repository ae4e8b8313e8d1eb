//! Any OpenID Connect provider, by discovery.

pub(crate) mod evidence;
mod logout;

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_core::sign_in::Visit;
use countersign_core::{Ask, Evidence, ProviderId, Strength};
use jiff::{SignedDuration, Timestamp};
use oauth2::{PkceCodeChallenge, PkceCodeVerifier};
use serde_json::{Map, Value, json};
use url::Url;

pub use evidence::EmailTrust;
pub(crate) use evidence::{auth_time, session_name};

use crate::cache::Cached;
use crate::examine::{Described, Step};
use crate::http::{Http, Reach};
use crate::id_token::{Binding, Expected, IdToken, Nonce, Unverified};
use crate::key_set::KeySet;
use crate::metadata::Metadata;
use crate::recheck::{self, Kept, OFFLINE_ACCESS, Refresh};
use crate::strict_json::StrictObject;
use crate::token_endpoint::{Exchange, Renewal, Tokens};
use crate::{
    AccountChoice, Answer, AskedAgain, Credentials, Departure, Fetched, LoggedOut, ProviderError,
    ProviderToken, Recheck,
};

/// What an installation says of an OpenID Connect provider.
#[derive(Debug, Clone)]
pub struct OidcSettings {
    /// Its name in the configuration.
    pub name: ProviderId,
    /// What people call it.
    pub title: String,
    /// Its issuer, exactly as its tokens have it.
    pub issuer: Url,
    /// What we are to it.
    pub credentials: Credentials,
    /// The scopes to ask for besides `openid`.
    pub scopes: Vec<String>,
    /// The algorithm that it signs our ID tokens with.
    pub algorithm: SigningAlgorithm,
    /// Whether its `email_verified` counts.
    pub email_trust: EmailTrust,
    /// Where people switch on multi-factor authentication there.
    pub enrolment_url: Option<Url>,
    /// How long after a login, or after the last time, it is asked again at a refresh; never, if nothing is said.
    pub recheck: Option<SignedDuration>,
    /// Whose people it has.
    pub people: People,
    /// The claim of its ID tokens that lists the person's groups; none, if nothing is said.
    pub groups_claim: Option<String>,
}

/// Whose people an issuer has, as the operator knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum People {
    /// Anybody's: nobody speaks for all of them.
    Anybodys,
    /// One organisation's, all of them.
    OneOrganizations,
}

/// The algorithms that a provider may be configured with (`id_token_signed_response_alg`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5; OpenID Connect's default.
    Rs256,
    /// RSASSA-PSS.
    Ps256,
    /// ECDSA on P-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl SigningAlgorithm {
    /// Its name in JOSE headers and key sets (RFC 7518 3.1, RFC 8037 3.1).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// An OpenID Connect provider.
#[derive(Debug)]
pub struct Oidc {
    settings: OidcSettings,
    http: Http,
    reach: Reach,
    metadata: Cached<Metadata>,
    keys: Cached<KeySet>,
}

impl Oidc {
    /// Makes the provider; it is asked for its description when the first person goes there.
    pub fn new(settings: OidcSettings, http: Http) -> Self {
        let reach = Reach::of(&settings.issuer);
        Self {
            settings,
            http,
            reach,
            metadata: Cached::empty(),
            keys: Cached::empty(),
        }
    }

    pub(crate) fn name(&self) -> &ProviderId {
        &self.settings.name
    }

    /// Whether an issuer is this provider's.
    pub fn is_issued_by(&self, issuer: &str) -> bool {
        same_issuer(issuer, &self.settings.issuer)
    }

    pub(crate) fn title(&self) -> &str {
        &self.settings.title
    }

    pub(crate) fn enrolment_url(&self) -> Option<&Url> {
        self.settings.enrolment_url.as_ref()
    }

    /// Whose people it has.
    pub fn people(&self) -> People {
        self.settings.people
    }

    /// Whether its word on e-mail addresses counts.
    pub fn email_trust(&self) -> EmailTrust {
        self.settings.email_trust
    }

    pub(crate) async fn departure(
        &self,
        departure: &Departure<'_>,
        now: Timestamp,
    ) -> Result<Url, ProviderError> {
        let metadata = self.metadata(now).await?;
        let mut url = metadata.authorization_endpoint.clone();
        let verifier = PkceCodeVerifier::new(departure.visit.pkce_verifier.clone());
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
        let others = self.settings.scopes.iter().map(String::as_str);
        let mut scopes: Vec<&str> = ["openid"].into_iter().chain(others).collect();
        let is_asked_again =
            self.settings.recheck.is_some() && departure.recheck == Recheck::AsConfigured;
        if is_asked_again && !scopes.contains(&OFFLINE_ACCESS) {
            scopes.push(OFFLINE_ACCESS);
        }
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.credentials.client_id)
            .append_pair("redirect_uri", departure.redirect_uri.as_str())
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", &departure.visit.state)
            .append_pair("nonce", &departure.visit.nonce)
            .append_pair("code_challenge", challenge.as_str())
            .append_pair("code_challenge_method", "S256")
            .extend_pairs(demands(departure.ask, metadata.claims_parameter_supported));
        if let Some(prompt) = prompt(departure) {
            url.query_pairs_mut().append_pair("prompt", prompt);
        }
        if let Some(hint) = departure.login_hint {
            url.query_pairs_mut().append_pair("login_hint", hint);
        }
        Ok(url)
    }

    pub(crate) fn recheck(&self) -> Option<SignedDuration> {
        self.settings.recheck
    }

    pub(crate) async fn fetch(
        &self,
        answer: &Answer,
        visit: &Visit,
        redirect_uri: &Url,
        keep: &BTreeSet<String>,
        now: Timestamp,
    ) -> Result<Fetched, ProviderError> {
        let metadata = self.metadata(now).await?;
        answer.check_issuer(&metadata.issuer, metadata.iss_parameter())?;
        let exchange = Exchange {
            token_url: &metadata.token_endpoint,
            credentials: &self.settings.credentials,
            authentication: metadata.client_authentication(),
            code: answer.code()?,
            pkce_verifier: &visit.pkce_verifier,
            redirect_uri,
        };
        let tokens = exchange.send(&self.http, self.reach).await?;
        let nonce = Nonce::OfRequest(&visit.nonce);
        let token = self.verify(&metadata, &tokens, nonce, now).await?;
        let person = self.user_info(&metadata, &tokens, &token).await?;
        let kept = Refresh::of_login(&tokens, &visit.nonce);
        Ok(Fetched {
            evidence: evidence::evidence(
                &self.settings,
                &metadata.issuer,
                &token,
                &person,
                keep,
                now,
            ),
            token: kept.filter(|_| self.settings.recheck.is_some()),
        })
    }

    /// Redeems the refresh token of a login; the new ID token says how it stands now (Core 12.2).
    pub(crate) async fn ask_again(
        &self,
        token: &ProviderToken,
        before: &Evidence,
        keep: &BTreeSet<String>,
        now: Timestamp,
    ) -> AskedAgain {
        let Kept::Refresh(kept) = &token.0 else {
            return recheck::of_another_kind();
        };
        let (metadata, tokens) = match self.renewed(kept, now).await {
            Ok(renewed) => renewed,
            Err(error) => return AskedAgain::with(Err(error)),
        };
        let verified = self.verify(&metadata, &tokens, Nonce::OfLogin(&kept.nonce), now);
        let found = verified.await.and_then(|token| {
            // UserInfo is not asked: it says nothing of how the person signed in.
            let (settings, nothing) = (&self.settings, Map::new());
            let fresh = evidence::evidence(settings, &metadata.issuer, &token, &nothing, keep, now);
            recheck::check_auth_time(before, &fresh)?;
            Ok(fresh)
        });
        let next = kept.next(&tokens);
        AskedAgain { next, found }
    }

    async fn renewed(
        &self,
        kept: &Refresh,
        now: Timestamp,
    ) -> Result<(Arc<Metadata>, Tokens), ProviderError> {
        let metadata = self.metadata(now).await?;
        let renewal = Renewal {
            token_url: &metadata.token_endpoint,
            credentials: &self.settings.credentials,
            authentication: metadata.client_authentication(),
            refresh_token: &kept.token,
            parameters: Vec::new(),
        };
        let tokens = renewal.send(&self.http, self.reach).await?;
        Ok((metadata, tokens))
    }

    async fn verify(
        &self,
        metadata: &Metadata,
        tokens: &Tokens,
        nonce: Nonce<'_>,
        now: Timestamp,
    ) -> Result<IdToken, ProviderError> {
        let raw = tokens.id_token.as_deref();
        let raw = raw.ok_or(ProviderError::Answer("the token endpoint sent no ID token"))?;
        let expected = Expected {
            issuer: &metadata.issuer,
            client_id: &self.settings.credentials.client_id,
            nonce,
            algorithm: self.settings.algorithm,
            may_sign: &|_| true,
            binding: Binding::AccessToken(tokens.access_token.secret()),
            now,
        };
        let fetch = async || self.http.json(&metadata.jwks_uri, self.reach).await;
        let check = |keys: &KeySet| Ok(Unverified::parse(raw)?.verify(&expected, keys)?);
        self.keys.verify(now, fetch, check).await
    }

    /// Verifies a logout token: the signature as of an ID token, but of its own type, and its claims.
    pub(crate) async fn logged_out(
        &self,
        raw: &str,
        now: Timestamp,
    ) -> Result<LoggedOut, ProviderError> {
        let metadata = self.metadata(now).await?;
        let fetch = async || self.http.json(&metadata.jwks_uri, self.reach).await;
        let check = |keys: &KeySet| {
            // Back-Channel Logout 2.4: `logout+jwt` is recommended, and not all send it.
            let types = ["logout+jwt", "JWT"];
            let token = Unverified::parse(raw)?;
            Ok(token.signed_by(&[self.settings.algorithm], keys, &types)?)
        };
        let claims = self.keys.verify(now, fetch, check).await?;
        let parties = (
            metadata.issuer.as_str(),
            self.settings.credentials.client_id.as_str(),
        );
        Ok(logout::read(&claims, parties, now)?)
    }

    /// Name and e-mail address, from UserInfo where the ID token has none.
    ///
    /// OpenID Connect Core 5.3.2: its `sub` must be that of the ID token, or it must not be used.
    async fn user_info(
        &self,
        metadata: &Metadata,
        tokens: &Tokens,
        token: &IdToken,
    ) -> Result<Map<String, Value>, ProviderError> {
        let (Some(url), None) = (&metadata.userinfo_endpoint, token.raw("email")) else {
            return Ok(Map::new());
        };
        let request = http::Request::get(url.as_str())
            .header("accept", "application/json")
            .header(
                "authorization",
                format!("Bearer {}", tokens.access_token.secret()),
            )
            .body(Vec::new())
            .map_err(|_| ProviderError::Answer("the UserInfo endpoint is not an address"))?;
        let answer = self.http.send(request, self.reach).await?;
        if !answer.status().is_success() {
            return Err(crate::http::by_status(answer.status().as_u16()));
        }
        let StrictObject(person) = serde_json::from_slice(answer.body())
            .map_err(|_| ProviderError::Answer("the UserInfo answer can't be read"))?;
        if person.get("sub").and_then(Value::as_str) == Some(token.subject()) {
            Ok(person)
        } else {
            Err(ProviderError::Answer(
                "UserInfo is about another person than the ID token",
            ))
        }
    }

    async fn metadata(&self, now: Timestamp) -> Result<Arc<Metadata>, ProviderError> {
        self.metadata
            .current(now, async || {
                let metadata: Metadata = self.http.json(&self.discovery_url()?, self.reach).await?;
                // The one address that a browser is sent to: no `javascript:`, no plain http.
                self.reach.check(&metadata.authorization_endpoint)?;
                // Discovery 4.3: the issuer is the one that the document was asked of, to the letter.
                if same_issuer(&metadata.issuer, &self.settings.issuer) {
                    Ok(metadata)
                } else {
                    Err(ProviderError::Answer(
                        "its description names another issuer",
                    ))
                }
            })
            .await
    }

    pub(crate) async fn examine(&self, now: &dyn Fn() -> Timestamp) -> Vec<Step> {
        let Ok(url) = self.discovery_url() else {
            return Vec::new();
        };
        let described = Described {
            http: &self.http,
            reach: self.reach,
            url,
            is_issuer: &|found| same_issuer(found, &self.settings.issuer),
            algorithm: self.settings.algorithm,
        };
        described.examine(now).await
    }

    /// Discovery 4: the path is appended to the issuer's, whatever that ends with.
    fn discovery_url(&self) -> Result<Url, ProviderError> {
        let base = self.settings.issuer.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}/.well-known/openid-configuration"))
            .map_err(|_| ProviderError::Answer("its issuer is not an address"))
    }
}

/// Issuers are compared as strings; a `Url` writes `https://host` as `https://host/`, so both are taken.
fn same_issuer(found: &str, configured: &Url) -> bool {
    let configured = configured.as_str();
    found == configured || Some(found) == configured.strip_suffix('/')
}

/// `prompt`, where one is needed.
fn prompt(departure: &Departure<'_>) -> Option<&'static str> {
    match (departure.ask.reauthenticate, departure.account_choice) {
        (true, _) => Some("login"),
        (false, AccountChoice::Offered) => Some("select_account"),
        (false, AccountChoice::ProviderDecides) => None,
    }
}

/// What the login should prove, as request parameters.
///
/// `acr_values` is a wish; `claims` with `essential` is a demand (Core 5.5.1.1). One of the two is
/// sent: what both together mean is not specified.
fn demands(ask: &Ask, claims_parameter_supported: bool) -> Vec<(&'static str, String)> {
    let mut parameters = Vec::new();
    if let Some(max_age) = ask.max_age {
        parameters.push(("max_age", max_age.as_secs().max(0).to_string()));
    }
    // Core 5.5.1: `null` asks for a claim without a demand. Some vendors send theirs only if asked.
    let asked = ask.claims.iter().map(|name| (name.clone(), Value::Null));
    let mut claims: Map<String, Value> = asked.collect();
    let essential = ask.strength == Strength::Required && claims_parameter_supported;
    if !ask.acr_values.is_empty() && essential {
        let acr = json!({"essential": true, "values": ask.acr_values});
        claims.insert("acr".to_owned(), acr);
    } else if !ask.acr_values.is_empty() {
        parameters.push(("acr_values", ask.acr_values.join(" ")));
    }
    if !claims.is_empty() {
        parameters.push(("claims", json!({ "id_token": claims }).to_string()));
    }
    parameters
}
