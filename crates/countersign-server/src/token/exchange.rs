//! `/token`, grant token exchange (RFC 8693): a service that was given a token gets one for the service that
//! it calls itself, for the same person, with less or the same, for as long or less.
//!
//! The policy is asked again with the evidence of the session. What the new token states of the login is what
//! the first one stated, or there is none: an exchange never raises and never launders (RFC 9068 2.2.1).

use std::collections::BTreeSet;

use actix_web::HttpResponse;
use countersign_core::{Acr, ClientId, GrantId, Occasion, OrganizationId, Scope, Stated};
use countersign_store::Session;
use countersign_verifier::{Actor, Claims};
use serde_json::json;

use super::issued::{session_of, verified};
use super::mint::{self, Minting};
use super::weigh::{Wish, weigh};
use super::{audience, dpop, unavailable};
use crate::error::{Failure, OAuthError};
use crate::settings::GrantType;
use crate::web::{Context, Parameters};

/// The one kind of token that is taken and given (RFC 8693 3).
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A token for a token.
pub(super) async fn exchange(
    parameters: &Parameters,
    client: &ClientId,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let settings = context.broker.settings.clients.get(client);
    // Who is public is nobody: the settings are checked, and this is what they are checked for.
    let may = settings
        .is_some_and(|one| one.may(GrantType::TokenExchange) && !one.authentication.is_public());
    if !may {
        return Err(OAuthError::unauthorized_client());
    }
    check_shape(parameters)?;
    let proof = dpop::proof_of(client, context)?;
    let (subject, session) = subject(parameters, client, context).await?;
    // What was bound to a key stays bound to one.
    if subject.cnf.is_some() && proof.is_none() {
        return Err(OAuthError::invalid_request(
            "the token is bound to a key: show one of your own in the header `DPoP`",
        ));
    }
    // A token is good for an exchange as long as its own client would get another.
    let own = ClientId::new(&subject.client_id).ok();
    let is_admitted = |own| context.policy().admits(own, &session.evidence.provider);
    if !own.as_ref().is_some_and(is_admitted) {
        return Err(not_good());
    }
    let audience = target(parameters, client, context)?;
    let organization = organization(&subject);
    let acr = subject.acr.as_deref().and_then(Acr::parse);
    let stated = stated(&subject).ok_or_else(not_good)?;
    let wish = Wish {
        client,
        scopes: scopes(parameters, &subject)?,
        organization: organization.as_ref(),
        acr_values: acr.as_slice(),
        occasion: Occasion::Exchange,
        stated: Some(&stated),
    };
    let weighed = weigh(wish, &session, context).await.map_err(unacceptable)?;
    // The rest of what it states the policy has held to; the time is the provider's, and the session's.
    if subject.auth_time != weighed.permit.auth_time().map(jiff::Timestamp::as_second) {
        return Err(not_good());
    }
    let shown = dpop::spend(proof, context).await?;
    let (account, permit) = weighed.keep(context).await?;
    let grant = grant(&subject);
    let minting = Minting {
        permit: &permit,
        session: &session,
        account: &account,
        audience,
        bound_to: shown.as_ref(),
        nonce: None,
        grant: grant.as_ref(),
        exchanged: Some(&subject),
    };
    let minted = mint::access_token_of(&minting, context)?;
    Ok(HttpResponse::Ok()
        .insert_header(("pragma", "no-cache"))
        .json(json!({
            "access_token": minted.token,
            "issued_token_type": ACCESS_TOKEN,
            "token_type": minted.token_type,
            "expires_in": minted.lifetime,
            "scope": minted.scope,
        })))
}

/// Who acts: the client that asks, and whoever did before it (RFC 8693 4.1).
pub(super) fn actor(subject: &Claims, client: &ClientId) -> Actor {
    Actor {
        sub: client.to_string(),
        act: subject.act.clone().map(Box::new),
    }
}

fn check_shape(parameters: &Parameters) -> Result<(), Failure> {
    if parameters.one("subject_token_type") != Some(ACCESS_TOKEN) {
        return Err(OAuthError::invalid_request(
            "`subject_token_type` must be `urn:ietf:params:oauth:token-type:access_token`",
        ));
    }
    if !matches!(
        parameters.one("requested_token_type"),
        None | Some(ACCESS_TOKEN)
    ) {
        return Err(OAuthError::invalid_request("only access tokens are given"));
    }
    let has_actor = ["actor_token", "actor_token_type"]
        .iter()
        .any(|name| parameters.one(name).is_some());
    if has_actor {
        return Err(OAuthError::invalid_request(
            "`actor_token` is not served: who acts is the client that asks",
        ));
    }
    Ok(())
}

/// The token that is given, if it is one of ours that is good, was this client's or came to it as a service;
/// and its session. RFC 8693 2.2.2: every other is `invalid_request`.
async fn subject(
    parameters: &Parameters,
    client: &ClientId,
    context: &Context<'_>,
) -> Result<(Claims, Session), Failure> {
    let text = parameters
        .one("subject_token")
        .ok_or_else(|| OAuthError::invalid_request("`subject_token` is missing"))?;
    let claims = verified(text, context)
        .await
        .map_err(|_| not_good())?
        .into_claims();
    if !super::introspect::may_use(&claims, client, context) {
        return Err(not_good());
    }
    let session = session_of(&claims, context).await;
    let session = session.map_err(|error| unavailable(&error, context))?;
    let session = session.filter(|session| session.account.as_str() == claims.sub);
    Ok((claims, session.ok_or_else(not_good)?))
}

/// RFC 8693 2.1: `resource` and `audience` both name a target; here they are one.
fn target<'a>(
    parameters: &Parameters,
    client: &ClientId,
    context: &Context<'a>,
) -> Result<&'a str, Failure> {
    match (parameters.one("resource"), parameters.one("audience")) {
        (Some(resource), Some(audience)) if resource != audience => Err(
            OAuthError::invalid_target("`resource` and `audience` name two; a token is for one"),
        ),
        (_, named) => audience::of(client, named, parameters, context),
    }
}

/// The scopes of the token, or those of them that are named; never another.
fn scopes(parameters: &Parameters, subject: &Claims) -> Result<BTreeSet<Scope>, Failure> {
    let all = || subject.scope.iter();
    let named = parameters.one("scope").map(|named| {
        let named = named.split_ascii_whitespace();
        named.collect::<BTreeSet<&str>>()
    });
    let wanted: BTreeSet<&str> = named.unwrap_or_else(|| all().collect());
    let held: BTreeSet<&str> = all().collect();
    if wanted.is_empty() || !wanted.is_subset(&held) {
        return Err(OAuthError::invalid_scope(
            "the token that is given has no such scope",
        ));
    }
    let scopes = wanted.into_iter().map(Scope::new);
    let scopes: Result<_, _> = scopes.collect();
    scopes.map_err(|_| OAuthError::invalid_scope("a scope can't be read"))
}

/// What the token states of the login, which the new one must state too.
pub(crate) fn stated(subject: &Claims) -> Option<Stated> {
    let known = subject.countersign.as_ref()?;
    Some(Stated {
        acr: Acr::parse(subject.acr.as_deref()?)?,
        amr: subject.amr.clone(),
        level: known.level.clone(),
        basis: known.basis.clone(),
    })
}

fn not_good() -> Failure {
    OAuthError::invalid_request("`subject_token` is no good access token of this client, or for it")
}

/// RFC 8693 2.2.2: what the policy no longer allows is an unacceptable token.
fn unacceptable(failure: Failure) -> Failure {
    match failure {
        Failure::Json(error) if error.error == "invalid_grant" => {
            OAuthError::invalid_request(error.description)
        }
        other => other,
    }
}

/// The one organisation that the token is for. Of several the new one names those of them that it may.
pub(crate) fn organization(subject: &Claims) -> Option<OrganizationId> {
    match subject.countersign.as_ref()?.organizations.as_slice() {
        [only] => OrganizationId::new(only.as_str()).ok(),
        _ => None,
    }
}

fn grant(subject: &Claims) -> Option<GrantId> {
    let named = subject.countersign.as_ref()?.grant.as_deref()?;
    GrantId::new(named).ok()
}
