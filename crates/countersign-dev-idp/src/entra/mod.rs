//! Entra and Microsoft accounts, at one authority.
//!
//! The v2.0 endpoints at `/{common|organizations|consumers|GUID|domain}/…`. Which evidence a token
//! carries is a matter of [`Behaviour`]: Microsoft documents `acrs`, and `acr` only arrives in practice.

mod accounts;
mod authorize;
mod claims;
mod demand;
mod discovery;
mod error;
mod realm;
mod session;
mod token;

use std::collections::BTreeSet;

use actix_web::web::{self, ServiceConfig};

pub use accounts::{Account, Answer, GLOBAL_ADMINISTRATOR, Guest, SecondFactor};
pub use error::TokenError;
pub use realm::{CONTOSO, ContextPolicy, FABRIKAM, MICROSOFT_ACCOUNTS, Tenant};

use crate::faults::Endpoint;
use crate::oauth::Handed;
use crate::server::{Kind, Site};
use claims::SignIn;

/// The `acr` value of a login with a second factor.
pub const ACR_MFA: &str = "urn:microsoft:policies:mfa";
/// The `acr` value of a login without one.
pub const ACR_DEFAULT: &str = "urn:microsoft:policies:default";

/// What can be turned.
#[derive(Clone, Debug)]
pub struct Behaviour {
    pub accounts: Vec<Account>,
    pub tenants: Vec<Tenant>,
    /// Which ID tokens carry `acr` when `acr_values` was sent.
    pub acr_legs: AcrLegs,
    pub acr_values: Honour,
    pub max_age: Honour,
    /// Seconds since the browser's session began, when nothing asks for a new sign-in.
    pub session_age: i64,
    pub contexts: ContextIssue,
    pub acrs_shape: AcrsShape,
    pub token_version: TokenVersion,
    /// Optional claims of the app registration.
    pub optional_claims: BTreeSet<OptionalClaim>,
    /// `groupMembershipClaims` of the app registration.
    pub group_membership_claims: GroupMembershipClaims,
    /// The registration's switch "ID tokens (used for implicit and hybrid flows)".
    pub front_channel_id_tokens: FrontChannelIdTokens,
    /// How the key set of one tenant names its issuer.
    pub tenant_key_issuer: TenantKeyIssuer,
    /// The token endpoint's answer, whatever the request.
    pub token_error: Option<TokenError>,
    /// The token endpoint's answer to a refresh token.
    pub refresh_error: Option<TokenError>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            accounts: accounts::usual(),
            tenants: realm::usual(),
            acr_legs: AcrLegs::FrontOnly,
            acr_values: Honour::Honoured,
            max_age: Honour::Honoured,
            session_age: 20,
            contexts: ContextIssue::OnlyRequested,
            acrs_shape: AcrsShape::Array,
            token_version: TokenVersion::V2,
            optional_claims: BTreeSet::new(),
            group_membership_claims: GroupMembershipClaims::None,
            front_channel_id_tokens: FrontChannelIdTokens::Enabled,
            tenant_key_issuer: TenantKeyIssuer::Templated,
            token_error: None,
            refresh_error: None,
        }
    }
}

impl Behaviour {
    /// The account with this id, to be changed.
    pub fn account_mut(&mut self, id: &str) -> Option<&mut Account> {
        self.accounts.iter_mut().find(|account| account.id == id)
    }

    /// The tenant with this GUID, to be changed.
    pub fn tenant_mut(&mut self, id: &str) -> Option<&mut Tenant> {
        self.tenants.iter_mut().find(|tenant| tenant.id == id)
    }
}

/// Which ID tokens carry `acr`: the one from the authorization endpoint, the one from the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcrLegs {
    FrontOnly,
    BackOnly,
    Both,
    Neither,
}

/// Whether a request parameter has any effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Honour {
    Honoured,
    Ignored,
}

/// Which authentication contexts stand in `acrs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextIssue {
    OnlyRequested,
    /// All that are satisfied, asked for or not.
    Opportunistic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcrsShape {
    Array,
    /// The first context as a bare string.
    String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenVersion {
    V2,
    /// `ver: "1.0"` with `amr`, issued by `https://sts.windows.net/{tid}/`.
    V1,
}

/// Claims that an app registration may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OptionalClaim {
    Acct,
    AuthTime,
    LoginHint,
    Sid,
    Upn,
    VerifiedPrimaryEmail,
    XmsEdov,
}

/// Which of the person's memberships stand in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupMembershipClaims {
    None,
    /// `wids`: directory roles, by template id.
    DirectoryRole,
    /// `wids` and `groups`.
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrontChannelIdTokens {
    Enabled,
    /// `response_type` with `id_token` ends in AADSTS700054.
    Disabled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantKeyIssuer {
    /// `{base}/{tenantid}/v2.0`, as in the common set.
    Templated,
    /// The tenant's own issuer.
    Concrete,
}

/// The running provider.
pub(crate) struct Entra {
    site: Site,
    codes: Handed<SignIn>,
    tokens: Handed<SignIn>,
    refresh_tokens: Handed<SignIn>,
}

impl Kind for Entra {
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
        let authorize = "/{realm}/oauth2/v2.0/authorize";
        config
            .route(
                "/{realm}/v2.0/.well-known/openid-configuration",
                web::get().to(discovery::document),
            )
            .route(
                "/{realm}/discovery/v2.0/keys",
                web::get().to(discovery::keys),
            )
            .route(authorize, web::get().to(authorize::authorize))
            .route(authorize, web::post().to(authorize::authorize))
            .route("/{realm}/oauth2/v2.0/token", web::post().to(token::token))
            .route(
                "/{realm}/oauth2/v2.0/logout",
                web::get().to(session::logout),
            )
            .route("/oidc/userinfo", web::get().to(session::userinfo))
            .route("/oidc/userinfo", web::post().to(session::userinfo));
    }

    fn warm_up() {
        discovery::make_keys();
    }

    fn endpoint(path: &str) -> Option<Endpoint> {
        let (_, rest) = path.strip_prefix('/')?.split_once('/')?;
        match rest {
            "v2.0/.well-known/openid-configuration" => Some(Endpoint::Discovery),
            "discovery/v2.0/keys" => Some(Endpoint::Jwks),
            "oauth2/v2.0/authorize" => Some(Endpoint::Authorize),
            "oauth2/v2.0/token" => Some(Endpoint::Token),
            "userinfo" => Some(Endpoint::UserInfo),
            _ => None,
        }
    }
}
