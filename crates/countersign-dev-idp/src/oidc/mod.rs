//! A plain OpenID Provider: discovery, code flow, UserInfo, chosen `amr`, `acr` and `auth_time`.
//!
//! Issuer is the base URL. It signs with RS256 or ES256 ([`Behaviour::algorithm`]) and publishes both keys.

mod accounts;
mod authorize;
mod claims;
mod token;

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};
use serde_json::{Value, json};

pub use accounts::{Account, Answer, Evidence, SecondFactor};

use crate::Algorithm;
use crate::control::{IssParameter, KeyPhase};
use crate::faults::{Document, Endpoint};
use crate::keys::{SigningKey, Slot, key};
use crate::oauth::Handed;
use crate::server::{Kind, Site};
use claims::SignIn;

/// What can be turned.
#[derive(Clone, Debug)]
pub struct Behaviour {
    pub accounts: Vec<Account>,
    pub algorithm: Algorithm,
    /// The `acr` values that mean a second factor, strongest last.
    pub mfa_acr: Vec<String>,
    /// The `acr` value of a login with a password alone.
    pub single_acr: String,
    /// A demand for `acr` that the account can't meet.
    pub unmet: Unmet,
    pub acr_requests: Honour,
    pub max_age: Honour,
    pub prompt_login: PromptLogin,
    /// RFC 9207's `iss` on the callback.
    pub iss_parameter: IssParameter,
    /// Seconds since the browser's session began, when nothing asks for a new sign-in.
    pub session_age: i64,
    /// Seconds that an ID token lives.
    pub id_token_lifetime: i64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            accounts: accounts::usual(),
            algorithm: Algorithm::Rs256,
            mfa_acr: vec!["urn:dev-idp:mfa".to_owned(), "phr".to_owned()],
            single_acr: "urn:dev-idp:single".to_owned(),
            unmet: Unmet::AnswersWithout,
            acr_requests: Honour::Honoured,
            max_age: Honour::Honoured,
            prompt_login: PromptLogin::SignsInAgain,
            iss_parameter: IssParameter::Right,
            session_age: 20,
            id_token_lifetime: 600,
        }
    }
}

impl Behaviour {
    /// The account with this id, to be changed.
    pub fn account_mut(&mut self, id: &str) -> Option<&mut Account> {
        self.accounts.iter_mut().find(|account| account.id == id)
    }
}

/// What an account without a second factor gets when one is demanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// A token that says what was done, as OIDC Core 5.5.1.1 has it for voluntary claims.
    AnswersWithout,
    /// The error `unmet_authentication_requirements`, as Okta sends it.
    Refuses,
}

/// Whether a request parameter has any effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Honour {
    Honoured,
    Ignored,
}

/// What `prompt=login` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptLogin {
    /// A new `auth_time`.
    SignsInAgain,
    /// A new `auth_time`, and a second factor is demanded.
    SignsInAgainWithSecondFactor,
    Ignored,
}

/// The running provider.
pub(crate) struct Oidc {
    site: Site,
    codes: Handed<SignIn>,
    tokens: Handed<SignIn>,
    refresh_tokens: Handed<SignIn>,
}

impl Kind for Oidc {
    fn new(site: Site) -> Self {
        Self {
            site,
            codes: Handed::new(),
            tokens: Handed::new(),
            refresh_tokens: Handed::new(),
        }
    }

    fn site(&self) -> &Site {
        &self.site
    }

    fn routes(config: &mut ServiceConfig) {
        config
            .route(
                "/.well-known/openid-configuration",
                web::get().to(discovery),
            )
            .route("/jwks.json", web::get().to(jwks))
            .route("/authorize", web::get().to(authorize::authorize))
            .route("/authorize", web::post().to(authorize::authorize))
            .route("/token", web::post().to(token::token))
            .route("/userinfo", web::get().to(token::userinfo))
            .route("/userinfo", web::post().to(token::userinfo));
    }

    fn warm_up() {
        key(Slot::OidcRsa);
        key(Slot::OidcEc);
    }

    fn endpoint(path: &str) -> Option<Endpoint> {
        match path {
            "/.well-known/openid-configuration" => Some(Endpoint::Discovery),
            "/jwks.json" => Some(Endpoint::Jwks),
            "/authorize" => Some(Endpoint::Authorize),
            "/token" => Some(Endpoint::Token),
            "/userinfo" => Some(Endpoint::UserInfo),
            _ => None,
        }
    }
}

async fn discovery(oidc: Data<Oidc>) -> HttpResponse {
    let base = &oidc.site.base_url;
    let behaviour = oidc.site.behaviour();
    let acr_values: Vec<&String> = [&behaviour.oidc.single_acr]
        .into_iter()
        .chain(&behaviour.oidc.mfa_acr)
        .collect();
    let document = json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"),
        "userinfo_endpoint": format!("{base}/userinfo"),
        "jwks_uri": format!("{base}/jwks.json"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "at_hash",
            "name", "preferred_username", "email", "email_verified"],
        "claims_parameter_supported": true,
        "acr_values_supported": acr_values,
        "prompt_values_supported": ["none", "login", "select_account"],
        "authorization_response_iss_parameter_supported": behaviour.oidc.iss_parameter != IssParameter::Absent,
    });
    oidc.site.json(Document::Discovery, document)
}

async fn jwks(oidc: Data<Oidc>) -> HttpResponse {
    oidc.site.json(
        Document::Jwks,
        json!({ "keys": published(oidc.site.behaviour().keys) }),
    )
}

fn published(phase: KeyPhase) -> Vec<Value> {
    let mut keys = vec![key(Slot::OidcEc).jwk.clone()];
    if phase.old_is_published() {
        keys.push(rs256_jwk(Slot::OidcRsa));
    }
    if phase.next_is_published() {
        keys.push(rs256_jwk(Slot::OidcRsaNext));
    }
    keys
}

fn rs256_jwk(slot: Slot) -> Value {
    let mut jwk = key(slot).jwk.clone();
    jwk["alg"] = json!("RS256");
    jwk
}

/// A logout token (Back-Channel Logout 2.4) of these claims, signed as ID tokens are, with the faults of the
/// token endpoint's.
pub(crate) fn logout_token(
    claims: serde_json::Map<String, Value>,
    behaviour: &crate::Behaviour,
) -> String {
    let signer = crate::jwt::Signer {
        key: signing_key(behaviour),
        client_secret: "",
        base_url: "",
    };
    crate::jwt::write(claims, &signer, &behaviour.back)
}

/// The key that signs now.
fn signing_key(behaviour: &crate::Behaviour) -> &'static SigningKey {
    match behaviour.oidc.algorithm {
        Algorithm::Es256 => key(Slot::OidcEc),
        Algorithm::Rs256 | Algorithm::Ps256 if behaviour.keys.next_signs() => {
            key(Slot::OidcRsaNext)
        }
        Algorithm::Rs256 | Algorithm::Ps256 => key(Slot::OidcRsa),
    }
}
