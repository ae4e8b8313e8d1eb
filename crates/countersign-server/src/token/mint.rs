//! The tokens themselves. Minting takes a [`Permit`], and only `decide` makes one.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::{Belonging, Email, GrantId, Permit, Scope, Source, Unmet};
use countersign_store::{Account, RegistryAccountName, Session};
use countersign_verifier::{Claims, Confirmation, CountersignClaim};
use serde::Serialize;
use serde_json::{Value, json};

use super::dpop::ShownKey;
use super::exchange;
use crate::SigningAlgorithm;
use crate::edge::RandomText;
use crate::error::{Failure, OAuthError};
use crate::keys::NotSigned;
use crate::settings::Client;
use crate::web::Context;

/// What the tokens are made from.
pub(super) struct Minting<'a> {
    pub(super) permit: &'a Permit,
    pub(super) session: &'a Session,
    pub(super) account: &'a Account,
    /// Whom the access token is for.
    pub(super) audience: &'a str,
    /// The key that the access token is bound to.
    pub(super) bound_to: Option<&'a ShownKey>,
    /// The access token that it is given for, where it is.
    pub(super) exchanged: Option<&'a Claims>,
    pub(super) nonce: Option<&'a str>,
    /// What they belong to, if it can be refreshed.
    pub(super) grant: Option<&'a GrantId>,
}

/// An ID token (OpenID Connect Core 2).
#[derive(Serialize)]
struct IdTokenClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    azp: &'a str,
    exp: i64,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    acr: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    amr: &'a [String],
    sid: &'a str,
    at_hash: String,
    #[serde(flatten)]
    person: Person<'a>,
}

/// What the scopes `profile` and `email` show of a person (Core 5.4).
#[derive(Debug, Default, Serialize)]
pub(super) struct Person<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry_account: Option<&'a str>,
}

impl<'a> Person<'a> {
    /// What `has_scope` lets be seen of whoever has this session: what the identity that signed in says, never another one that
    /// leads to the same account; and what the registry has said of the account: whether it vouches for the address, and its own
    /// name of it.
    pub(super) fn of(
        (session, account): (&'a Session, &'a Account),
        has_scope: impl Fn(&str) -> bool,
    ) -> Self {
        let profile = &session.evidence.profile;
        let email = profile.email.as_ref().filter(|_| has_scope("email"));
        let vouched = account.vouched_email.as_ref();
        let is_verified = |email: &Email| {
            email.verified || vouched.is_some_and(|one| one.address.as_str() == email.address)
        };
        Self {
            name: profile.name.as_deref().filter(|_| has_scope("profile")),
            email: email.map(|email| email.address.as_str()),
            email_verified: email.map(is_verified),
            registry_account: account
                .registry_account
                .as_ref()
                .map(RegistryAccountName::as_str)
                .filter(|_| has_scope("profile")),
        }
    }
}

/// Mints the tokens and answers with them (RFC 6749 5.1).
pub(super) fn answer(
    minting: &Minting<'_>,
    refresh_token: Option<&str>,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let Some(client) = context.broker.settings.clients.get(minting.permit.client()) else {
        return Err(OAuthError::invalid_client());
    };
    let times = Times::of(minting, context)?;
    let minted = mint(minting, &times, context)?;
    let access_token = minted.token;
    let mut body = json!({
        "access_token": access_token,
        "token_type": minted.token_type,
        "expires_in": minted.lifetime,
        "scope": minted.scope,
    });
    if let Some(refresh_token) = refresh_token {
        body["refresh_token"] = refresh_token.into();
    }
    if !minting.permit.unmet().is_empty() {
        body["unmet_scopes"] = minting.permit.unmet().iter().map(unmet_scope).collect();
    }
    if minting.permit.scopes().contains("openid") {
        body["id_token"] = id_token(minting, client, &times, &access_token, context)?.into();
    }
    context.broker.metrics.token_issued(minting.permit.client());
    Ok(HttpResponse::Ok()
        .insert_header(("pragma", "no-cache"))
        .json(body))
}

/// An access token, and what is told with it.
pub(super) struct Minted {
    pub(super) token: String,
    pub(super) token_type: &'static str,
    pub(super) lifetime: i64,
    pub(super) scope: String,
}

/// An access token and nothing else.
pub(super) fn access_token_of(
    minting: &Minting<'_>,
    context: &Context<'_>,
) -> Result<Minted, Failure> {
    let minted = mint(minting, &Times::of(minting, context)?, context)?;
    context.broker.metrics.token_issued(minting.permit.client());
    Ok(minted)
}

fn mint(minting: &Minting<'_>, times: &Times, context: &Context<'_>) -> Result<Minted, Failure> {
    let cnf = minting.bound_to.map(ShownKey::confirmation);
    Ok(Minted {
        token_type: token_type(cnf.as_ref()),
        token: access_token(minting, cnf, times, context).map_err(not_signed)?,
        lifetime: times.exp - times.iat,
        scope: scope(minting.permit),
    })
}

/// RFC 9449 5: how a token is presented.
pub(super) fn token_type(bound: Option<&Confirmation>) -> &'static str {
    match bound {
        Some(_) => "DPoP",
        None => "Bearer",
    }
}

struct Times {
    iat: i64,
    exp: i64,
}

impl Times {
    /// No token outlives its permit, nor the token that it is given for.
    fn of(minting: &Minting<'_>, context: &Context<'_>) -> Result<Self, Failure> {
        let by_lifetime = context.now + context.policy().lifetimes().token;
        let exp = minting
            .permit
            .not_after()
            .map_or(by_lifetime, |end| end.min(by_lifetime));
        let iat = context.now.as_second();
        let exchanged = minting.exchanged.map_or(i64::MAX, |token| token.exp);
        let exp = exp.as_second().min(exchanged);
        if exp <= iat {
            return Err(OAuthError::invalid_grant("evidence-too-old"));
        }
        Ok(Self { iat, exp })
    }
}

/// RFC 9068.
fn access_token(
    minting: &Minting<'_>,
    cnf: Option<Confirmation>,
    times: &Times,
    context: &Context<'_>,
) -> Result<String, NotSigned> {
    let permit = minting.permit;
    let broker = context.broker;
    let claims = Claims {
        iss: broker.settings.issuer().to_owned(),
        sub: minting.session.account.to_string(),
        aud: minting.audience.to_owned(),
        client_id: permit.client().to_string(),
        scope: scope(permit).parse().map_err(|_| NotSigned)?,
        acr: Some(permit.acr().as_str().to_owned()),
        amr: permit.amr().to_vec(),
        auth_time: permit.auth_time().map(jiff::Timestamp::as_second),
        sid: Some(minting.session.id.to_string()),
        cnf,
        act: minting
            .exchanged
            .map(|subject| exchange::actor(subject, permit.client())),
        jti: broker.entropy.hex::<16>(),
        iat: times.iat,
        exp: times.exp,
        countersign: Some(countersign_claim(permit, minting.exchanged, minting.grant)),
    };
    sign(&claims, context)
}

/// What is told of the login besides what OpenID Connect has names for. Of one that is `exchanged` no more is told than was.
pub(crate) fn countersign_claim(
    permit: &Permit,
    exchanged: Option<&Claims>,
    grant: Option<&GrantId>,
) -> CountersignClaim {
    let with_roles = |one: &Belonging| (!one.roles.is_empty()).then(|| one.roles.clone());
    CountersignClaim {
        provider: permit.provider().to_string(),
        tenant: permit.tenant().map(ToString::to_string),
        level: permit.level().as_str().to_owned(),
        basis: permit.basis().map(|basis| basis.as_str().to_owned()),
        proof: permit.proof().map(str::to_owned),
        organizations: named(permit, exchanged, |_| Some(())).into_keys().collect(),
        through: named(permit, exchanged, |one| through(one, permit)),
        roles: named(permit, exchanged, with_roles),
        mfa_due: permit.mfa_due().map(|day| day.to_string()),
        waiver: permit.waiver().map(ToString::to_string),
        grant: grant.map(ToString::to_string),
    }
}

/// What is told of each of its organisations, by name. A token that is exchanged for another names no more than before.
fn named<T>(
    permit: &Permit,
    exchanged: Option<&Claims>,
    tell: impl Fn(&Belonging) -> Option<T>,
) -> BTreeMap<String, T> {
    let bound = exchanged.map(|subject| subject.countersign.as_ref());
    let is_within = |name: &String| match bound {
        None => true,
        Some(before) => before.is_some_and(|one| one.organizations.contains(name)),
    };
    let told = permit.belongings().iter();
    told.map(|one| (one.organization.to_string(), one))
        .filter(|(name, _)| is_within(name))
        .filter_map(|(name, one)| Some((name, tell(one)?)))
        .collect()
}

/// Through whom a person belongs to an organisation, where `tenant` does not say so already.
fn through(belonging: &Belonging, permit: &Permit) -> Option<String> {
    match &belonging.through {
        Source::Tenant(tenant) if Some(tenant) == permit.tenant() => None,
        source => Some(source.to_string()),
    }
}

/// Signs an access token, with what its resource verifies.
pub(super) fn sign(claims: &Claims, context: &Context<'_>) -> Result<String, NotSigned> {
    let broker = context.broker;
    let resource = broker.settings.resources.get(&claims.aud);
    let algorithm = resource.ok_or(NotSigned)?.algorithm;
    broker.keys.sign(algorithm, "at+jwt", claims)
}

fn id_token(
    minting: &Minting<'_>,
    client: &Client,
    times: &Times,
    access_token: &str,
    context: &Context<'_>,
) -> Result<String, Failure> {
    let permit = minting.permit;
    let broker = context.broker;
    let has_scope = |scope: &str| permit.scopes().contains(scope);
    let claims = IdTokenClaims {
        iss: broker.settings.issuer(),
        sub: minting.session.account.as_str(),
        aud: permit.client().as_str(),
        azp: permit.client().as_str(),
        exp: times.exp,
        iat: times.iat,
        auth_time: permit.auth_time().map(jiff::Timestamp::as_second),
        nonce: minting.nonce,
        acr: permit.acr().as_str(),
        amr: permit.amr(),
        sid: minting.session.id.as_str(),
        at_hash: at_hash(access_token, client.id_token_algorithm),
        person: Person::of((minting.session, minting.account), has_scope),
    };
    broker
        .keys
        .sign(client.id_token_algorithm, "JWT", &claims)
        .map_err(not_signed)
}

/// A scope that was left out, why, and what would meet it: for the frontend, which can send the
/// person for more (RFC 9470).
fn unmet_scope(unmet: &Unmet) -> Value {
    let wanted = &unmet.wanted;
    let acr_values: Vec<&str> = wanted.acr_values.iter().map(|acr| acr.as_str()).collect();
    let mut told = json!({
        "scope": unmet.scope,
        "tier": unmet.tier,
        "reasons": unmet.reasons,
    });
    if !acr_values.is_empty() {
        told["acr_values"] = acr_values.join(" ").into();
    }
    if let Some(max_age) = wanted.max_age {
        told["max_age"] = max_age.as_secs().into();
    }
    if wanted.reauthenticate {
        told["prompt"] = "login".into();
    }
    if wanted.verified_email {
        told["verified_email"] = true.into();
    }
    told
}

pub(super) fn not_signed(_: NotSigned) -> Failure {
    tracing::error!(code = "not-signed", "a token could not be signed");
    OAuthError::unavailable()
}

pub(crate) fn scope(permit: &Permit) -> String {
    permit
        .scopes()
        .iter()
        .map(Scope::as_str)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Core 3.1.3.6: the left half of the hash that the ID token's algorithm uses; Ed25519 uses SHA-512.
fn at_hash(access_token: &str, algorithm: SigningAlgorithm) -> String {
    let algorithm = match algorithm {
        SigningAlgorithm::Rs256 | SigningAlgorithm::Es256 => &digest::SHA256,
        SigningAlgorithm::EdDsa => &digest::SHA512,
    };
    let hash = digest::digest(algorithm, access_token.as_bytes());
    let (left, _) = hash.as_ref().split_at(hash.as_ref().len() / 2);
    URL_SAFE_NO_PAD.encode(left)
}
