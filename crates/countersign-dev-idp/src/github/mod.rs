//! GitHub as an Enterprise Server lays it out: OAuth at `/login/oauth/…`, REST at `/api/v3/…`.
//!
//! There is no ID token here and nothing that says when or how somebody signed in: the only
//! evidence is `two_factor_authentication` of `GET /user`, a fact about the account.

mod accounts;
mod authorize;
mod rest;
mod token;

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{self, Data, ServiceConfig};
use serde_json::json;

pub use accounts::{
    Account, Answer, Email, EmailRank, OrgMembership, OrgRole, OrgState, TwoFactor,
};

use crate::control::IssParameter;
use crate::faults::{Document, Endpoint};
use crate::oauth::Handed;
use crate::page;
use crate::server::{Kind, Site};

/// What can be turned.
#[derive(Clone, Debug)]
pub struct Behaviour {
    pub accounts: Vec<Account>,
    /// RFC 9207's `iss`, which is `{base}/login/oauth`.
    pub iss_parameter: IssParameter,
    pub iss_on_errors: IssOnErrors,
    /// The least scope that shows the private profile, and with it the two-factor flag.
    pub private_profile_scope: PrivateProfileScope,
    /// How REST answers when the limit is used up; `None` while it isn't.
    pub rate_limit: Option<RateLimit>,
    /// Seconds that an access token lives, where tokens end: with a refresh token beside it.
    pub token_lifetime: Option<i64>,
    /// OAuth errors of the token endpoint, whatever the request: sent with HTTP 200.
    pub token_error: Option<TokenError>,
    /// `X-GitHub-Api-Version` values that are served; others get 410.
    pub api_versions: Vec<String>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            accounts: accounts::usual(),
            iss_parameter: IssParameter::Right,
            iss_on_errors: IssOnErrors::Sent,
            private_profile_scope: PrivateProfileScope::ReadUser,
            rate_limit: None,
            token_lifetime: None,
            token_error: None,
            api_versions: vec!["2022-11-28".to_owned(), "2026-03-10".to_owned()],
        }
    }
}

impl Behaviour {
    /// The account with this id, to be changed (renamed, its flag turned) between logins.
    pub fn account_mut(&mut self, id: &str) -> Option<&mut Account> {
        self.accounts.iter_mut().find(|account| account.id == id)
    }
}

/// Whether `iss` stands on error callbacks too: RFC 9207 wants it, of GitHub it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssOnErrors {
    Sent,
    Withheld,
}

/// The documentation names `user`; observed answers show that `read:user` suffices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivateProfileScope {
    ReadUser,
    User,
}

/// <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLimit {
    /// 403 with `x-ratelimit-remaining: 0` and a reset so many seconds away.
    Primary { reset_in: i64 },
    /// 429 with `retry-after`.
    Secondary { retry_after: u32 },
}

/// `error` and `error_description` of a token answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenError {
    pub error: String,
    pub description: String,
}

/// A grant, as a code or token stands for it.
#[derive(Clone, Debug)]
struct Grant {
    client_id: String,
    redirect_uri: Option<String>,
    challenge: Option<String>,
    account: String,
    scopes: BTreeSet<String>,
}

/// The running provider.
pub(crate) struct GitHub {
    site: Site,
    codes: Handed<Grant>,
    tokens: Handed<Grant>,
    refresh_tokens: Handed<Grant>,
    /// Scopes granted before, by client and account.
    granted: Mutex<HashMap<(String, String), BTreeSet<String>>>,
}

impl Kind for GitHub {
    fn new(site: Site) -> Self {
        Self {
            site,
            codes: Handed::new(),
            tokens: Handed::new(),
            refresh_tokens: Handed::new(),
            granted: Mutex::default(),
        }
    }

    fn site(&self) -> &Site {
        &self.site
    }

    fn routes(config: &mut ServiceConfig) {
        config
            .route(METADATA, web::get().to(metadata))
            .route(
                "/login/oauth/authorize",
                web::get().to(authorize::authorize),
            )
            .route(
                "/login/oauth/access_token",
                web::post().to(token::access_token),
            )
            .route("/settings/security", web::get().to(settings))
            .route("/api/v3/user", web::get().to(rest::user))
            .route("/api/v3/user/emails", web::get().to(rest::emails))
            .route(
                "/api/v3/user/memberships/orgs",
                web::get().to(rest::memberships),
            )
            .route(
                "/api/v3/applications/{client_id}/token",
                web::delete().to(rest::revoke),
            );
    }

    fn warm_up() {}

    fn endpoint(path: &str) -> Option<Endpoint> {
        match path {
            METADATA => Some(Endpoint::Discovery),
            "/login/oauth/authorize" => Some(Endpoint::Authorize),
            "/login/oauth/access_token" => Some(Endpoint::Token),
            "/api/v3/user" => Some(Endpoint::User),
            "/api/v3/user/emails" => Some(Endpoint::Emails),
            "/api/v3/user/memberships/orgs" => Some(Endpoint::Memberships),
            _ => None,
        }
    }
}

/// Where GitHub lets people switch on two-factor authentication; here there is nothing to switch.
async fn settings() -> HttpResponse {
    let text = "On GitHub you would switch on two-factor authentication here. In this stand-in, sign in again with an account that has it.";
    page::message(
        StatusCode::OK,
        "GitHub",
        "Password and authentication",
        text,
    )
}

/// RFC 8414 3.1: the well-known part stands between host and path of the issuer.
const METADATA: &str = "/.well-known/oauth-authorization-server/login/oauth";

impl GitHub {
    fn issuer(&self) -> String {
        format!("{}/login/oauth", self.site.base_url)
    }
}

async fn metadata(github: Data<GitHub>) -> HttpResponse {
    let base = &github.site.base_url;
    let iss = &github.site.behaviour().github.iss_parameter;
    let document = json!({
        "issuer": github.issuer(),
        "authorization_endpoint": format!("{base}/login/oauth/authorize"),
        "token_endpoint": format!("{base}/login/oauth/access_token"),
        "device_authorization_endpoint": format!("{base}/login/device/code"),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["offline_access"],
        "authorization_response_iss_parameter_supported": *iss != IssParameter::Absent,
    });
    github.site.json(Document::Discovery, document)
}
