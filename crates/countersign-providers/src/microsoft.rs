//! Entra ID and Microsoft personal accounts: one platform, two audiences.
//!
//! Multi-tenant verification by Microsoft's own rules: the issuer is built from the token's
//! checked `tid`, and only keys whose own `issuer` covers that tenant may sign.
//! <https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-the-issuer>

pub(crate) mod evidence;
pub(crate) mod tenancy;

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_core::sign_in::{Flow, Visit};
use countersign_core::{Ask, Evidence, ProviderId, Strength, TenantId};
use jiff::{SignedDuration, Timestamp};
use oauth2::{PkceCodeChallenge, PkceCodeVerifier};
use serde_json::json;
use url::Url;

pub use tenancy::Audience;

use crate::cache::Cached;
use crate::examine::{Described, Step};
use crate::http::{Http, Reach};
use crate::id_token::{Binding, Nonce};
use crate::key_set::KeySet;
use crate::metadata::Metadata;
use crate::oidc::SigningAlgorithm;
use crate::recheck::{self, Kept, OFFLINE_ACCESS, Refresh};
use crate::token_endpoint::{ClientAuthentication, Exchange, Renewal, Tokens};
use crate::{
    AccountChoice, Answer, AskedAgain, Credentials, Departure, Fetched, IssParameter,
    ProviderError, ProviderToken, Recheck,
};
use tenancy::Of;

/// What an installation says of a Microsoft provider.
#[derive(Debug, Clone)]
pub struct MicrosoftSettings {
    /// Its name in the configuration.
    pub name: ProviderId,
    /// What people call it.
    pub title: String,
    /// The cloud: `https://login.microsoftonline.com`, `.us`, `login.partner.microsoftonline.cn`.
    pub authority: Url,
    /// Whose accounts may sign in.
    pub audience: Audience,
    /// What we are to it.
    pub credentials: Credentials,
    /// How it answers; nothing set: hybrid where the proof is `acr`, code where it is `acrs`.
    pub flow: Option<Flow>,
    /// Where people switch on multi-factor authentication there.
    pub enrolment_url: Url,
    /// How long after a login, or after the last time, it is asked again at a refresh; never, if nothing is said.
    pub recheck: Option<SignedDuration>,
}

/// Entra ID, or Microsoft personal accounts.
#[derive(Debug)]
pub struct Microsoft {
    settings: MicrosoftSettings,
    http: Http,
    reach: Reach,
    metadata: Cached<Metadata>,
    keys: Cached<KeySet>,
}

/// The `acr` that means "no more than a password, or nothing was demanded".
const POLICY_DEFAULT: &str = "urn:microsoft:policies:default";

impl Microsoft {
    /// Makes the provider; it is asked for its keys when the first person comes back.
    pub fn new(settings: MicrosoftSettings, http: Http) -> Self {
        let reach = Reach::of(&settings.authority);
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

    pub(crate) fn title(&self) -> &str {
        &self.settings.title
    }

    pub(crate) fn enrolment_url(&self) -> &Url {
        &self.settings.enrolment_url
    }

    pub(crate) fn only_tenant(&self) -> Option<&TenantId> {
        match &self.settings.audience {
            Audience::Tenant(tenant) => Some(tenant),
            Audience::Organizations | Audience::Common | Audience::Consumers => None,
        }
    }

    pub(crate) fn admits(&self, tenant: &TenantId) -> bool {
        self.settings.audience.admits(tenant)
    }

    pub(crate) fn takes_tenants(&self) -> bool {
        match &self.settings.audience {
            Audience::Organizations | Audience::Common => true,
            Audience::Tenant(_) | Audience::Consumers => false,
        }
    }

    /// Whether these are personal accounts only.
    pub fn is_personal(&self) -> bool {
        self.settings.audience == Audience::Consumers
    }

    /// `acr` is known to arrive in the front channel only, so where it is the proof the answer is hybrid.
    pub(crate) fn flow(&self, ask: &Ask) -> Flow {
        let by_proof = match (self.is_personal(), ask.acr_values.is_empty()) {
            (true, _) | (false, false) => Flow::Hybrid,
            (false, true) => Flow::Code,
        };
        self.settings.flow.unwrap_or(by_proof)
    }

    pub(crate) fn departure(&self, departure: &Departure<'_>) -> Result<Url, ProviderError> {
        let visit = departure.visit;
        let mut url = self.endpoint(visit.tenant.as_ref(), "authorize")?;
        let verifier = PkceCodeVerifier::new(visit.pkce_verifier.clone());
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
        let (response_type, response_mode) = match visit.flow {
            Flow::Code => ("code", "query"),
            Flow::Hybrid => ("code id_token", "form_post"),
        };
        url.query_pairs_mut()
            .append_pair("response_type", response_type)
            .append_pair("response_mode", response_mode)
            .append_pair("client_id", &self.settings.credentials.client_id)
            .append_pair("redirect_uri", departure.redirect_uri.as_str())
            .append_pair("scope", &self.scope(departure.recheck))
            .append_pair("state", &visit.state)
            .append_pair("nonce", &visit.nonce)
            .append_pair("code_challenge", challenge.as_str())
            .append_pair("code_challenge_method", "S256")
            .extend_pairs(demands(departure.ask))
            .extend_pairs(person(departure));
        Ok(url)
    }

    pub(crate) fn recheck(&self) -> Option<SignedDuration> {
        self.settings.recheck
    }

    fn scope(&self, recheck: Recheck) -> String {
        let is_asked_again = self.settings.recheck.is_some() && recheck == Recheck::AsConfigured;
        let offline = is_asked_again.then_some(OFFLINE_ACCESS);
        let scopes = ["openid", "profile", "email"].into_iter().chain(offline);
        scopes.collect::<Vec<_>>().join(" ")
    }

    pub(crate) async fn fetch(
        &self,
        answer: &Answer,
        visit: &Visit,
        redirect_uri: &Url,
        keep: &BTreeSet<String>,
        now: Timestamp,
    ) -> Result<Fetched, ProviderError> {
        let code = answer.code()?;
        let metadata = self.metadata(now).await?;
        // Microsoft does not send `iss` on the callback; where it ever does, it has the tenant in it.
        if answer.iss.is_some() {
            let issuer = self.settings.audience.issuer_of(&metadata, visit)?;
            answer.check_issuer(&issuer, IssParameter::NotPromised)?;
        }
        let of = Of {
            nonce: Nonce::OfRequest(&visit.nonce),
            tenant: visit.tenant.as_ref(),
        };
        let front = match (visit.flow, &answer.id_token) {
            (Flow::Hybrid, Some(raw)) => Some(
                self.verify(raw, Binding::Code(code), &metadata, of, now)
                    .await?,
            ),
            (Flow::Hybrid, None) => {
                return Err(ProviderError::Answer(
                    "the ID token of the front channel is missing",
                ));
            }
            // A token that was not asked for is not read.
            (Flow::Code, _) => None,
        };
        let exchange = Exchange {
            token_url: &self.endpoint(visit.tenant.as_ref(), "token")?,
            credentials: &self.settings.credentials,
            authentication: ClientAuthentication::Post,
            code,
            pkce_verifier: &visit.pkce_verifier,
            redirect_uri,
        };
        let tokens = exchange.send(&self.http, self.reach).await?;
        let back = self.verify_back(&tokens, &metadata, of, now).await?;
        let kept = Refresh::of_login(&tokens, &visit.nonce);
        Ok(Fetched {
            evidence: evidence::evidence(&self.settings.name, front.as_ref(), &back, keep, now)?,
            token: kept.filter(|_| self.settings.recheck.is_some()),
        })
    }

    /// Redeems the refresh token of a login at the person's tenant; the new ID token says how it stands now.
    ///
    /// `context` is the authentication context that the login rests on: Entra asks its policies about it again.
    pub(crate) async fn ask_again(
        &self,
        token: &ProviderToken,
        (before, context): (&Evidence, Option<&str>),
        keep: &BTreeSet<String>,
        now: Timestamp,
    ) -> AskedAgain {
        let Kept::Refresh(kept) = &token.0 else {
            return recheck::of_another_kind();
        };
        let tenant = before.tenant();
        let tokens = match self.renewed(kept, tenant, context).await {
            Ok(tokens) => tokens,
            Err(error) => return AskedAgain::with(Err(error)),
        };
        let of = Of {
            nonce: Nonce::OfLogin(&kept.nonce),
            tenant,
        };
        let found = self.verified_again(&tokens, of, now).await;
        let found = found.and_then(|back| {
            let fresh = evidence::evidence(&self.settings.name, None, &back, keep, now)?;
            recheck::check_auth_time(before, &fresh)?;
            Ok(fresh)
        });
        let next = kept.next(&tokens);
        AskedAgain { next, found }
    }

    async fn renewed(
        &self,
        kept: &Refresh,
        tenant: Option<&TenantId>,
        context: Option<&str>,
    ) -> Result<Tokens, ProviderError> {
        let claims = context.map(|context| ("claims", essential(context)));
        let renewal = Renewal {
            token_url: &self.endpoint(tenant, "token")?,
            credentials: &self.settings.credentials,
            authentication: ClientAuthentication::Post,
            refresh_token: &kept.token,
            parameters: [("scope", self.scope(Recheck::AsConfigured))]
                .into_iter()
                .chain(claims)
                .collect(),
        };
        renewal.send(&self.http, self.reach).await
    }

    async fn verified_again(
        &self,
        tokens: &Tokens,
        of: Of<'_>,
        now: Timestamp,
    ) -> Result<tenancy::TenantToken, ProviderError> {
        let metadata = self.metadata(now).await?;
        self.verify_back(tokens, &metadata, of, now).await
    }

    /// Verifies the ID token of the token endpoint.
    async fn verify_back(
        &self,
        tokens: &Tokens,
        metadata: &Metadata,
        of: Of<'_>,
        now: Timestamp,
    ) -> Result<tenancy::TenantToken, ProviderError> {
        let raw = tokens.id_token.as_deref();
        let raw = raw.ok_or(ProviderError::Answer("the token endpoint sent no ID token"))?;
        let binding = Binding::AccessToken(tokens.access_token.secret());
        self.verify(raw, binding, metadata, of, now).await
    }

    async fn verify(
        &self,
        raw: &str,
        binding: Binding<'_>,
        metadata: &Metadata,
        of: Of<'_>,
        now: Timestamp,
    ) -> Result<tenancy::TenantToken, ProviderError> {
        let check = tenancy::Check {
            audience: &self.settings.audience,
            metadata,
            of,
            client_id: &self.settings.credentials.client_id,
            binding,
            now,
        };
        let fetch = async || self.http.json(&metadata.jwks_uri, self.reach).await;
        let check = |keys: &KeySet| check.verify(raw, keys);
        self.keys.verify(now, fetch, check).await
    }

    async fn metadata(&self, now: Timestamp) -> Result<Arc<Metadata>, ProviderError> {
        self.metadata
            .current(now, async || {
                let metadata: Metadata = self.http.json(&self.discovery_url()?, self.reach).await?;
                if self.is_issuer(&metadata.issuer) {
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
            is_issuer: &|found| self.is_issuer(found),
            // Microsoft signs ID tokens with nothing else.
            algorithm: SigningAlgorithm::Rs256,
        };
        described.examine(now).await
    }

    fn discovery_url(&self) -> Result<Url, ProviderError> {
        self.address(&format!(
            "{}/v2.0/.well-known/openid-configuration",
            self.settings.audience.segment()
        ))
    }

    /// A literal `{tenantid}` for common and organizations: compared as text.
    fn is_issuer(&self, found: &str) -> bool {
        let expected = self.address(&format!("{}/v2.0", self.settings.audience.issuer_segment()));
        expected.is_ok_and(|expected| percent_braces(found) == expected.as_str())
    }

    /// The tenant's own endpoint where the tenant is known (guests need it), else the audience's.
    fn endpoint(&self, tenant: Option<&TenantId>, name: &str) -> Result<Url, ProviderError> {
        let segment = tenant.map_or_else(
            || self.settings.audience.segment().to_owned(),
            TenantId::to_string,
        );
        self.address(&format!("{segment}/oauth2/v2.0/{name}"))
    }

    fn address(&self, path: &str) -> Result<Url, ProviderError> {
        let base = self.settings.authority.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}/{path}"))
            .map_err(|_| ProviderError::Misconfigured("its authority is not an address"))
    }
}

/// `Url` writes braces as `%7B` and `%7D`.
fn percent_braces(issuer: &str) -> String {
    issuer.replace('{', "%7B").replace('}', "%7D")
}

/// What the login should prove, as request parameters.
fn demands(ask: &Ask) -> Vec<(&'static str, String)> {
    let mut parameters = Vec::new();
    if !ask.acr_values.is_empty() {
        let mut values = ask.acr_values.clone();
        // With the default beside it, the person's own setting decides and `acr` says what was used.
        if ask.strength == Strength::Voluntary {
            values.push(POLICY_DEFAULT.to_owned());
        }
        parameters.push(("acr_values", values.join(" ")));
    }
    if let (Some(_), Some(context)) = (&ask.tenant, ask.contexts.first()) {
        parameters.push(("claims", essential(context)));
    }
    if let Some(max_age) = ask.max_age {
        parameters.push(("max_age", max_age.as_secs().max(0).to_string()));
    }
    parameters
}

/// The `claims` parameter that demands an authentication context.
fn essential(context: &str) -> String {
    json!({"id_token": {"acrs": {"essential": true, "value": context}}}).to_string()
}

/// Whom to sign in, as request parameters. `login_hint` and `select_account` exclude each other.
fn person(departure: &Departure<'_>) -> Vec<(&'static str, String)> {
    let mut parameters = Vec::new();
    if departure.ask.reauthenticate {
        parameters.push(("prompt", "login".to_owned()));
    }
    match (departure.login_hint, departure.account_choice) {
        (Some(hint), _) => parameters.push(("login_hint", hint.to_owned())),
        (None, AccountChoice::Offered) if !departure.ask.reauthenticate => {
            parameters.push(("prompt", "select_account".to_owned()));
        }
        (None, AccountChoice::Offered | AccountChoice::ProviderDecides) => {}
    }
    parameters
}
