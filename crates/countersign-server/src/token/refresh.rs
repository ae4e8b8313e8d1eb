//! `/token`, grant `refresh_token` (RFC 6749 6, RFC 9700 4.14): each refresh token is good once, and
//! leads to the next.
//!
//! A refresh token is sealed for its client and says which grant it is of and which number it has; the
//! store knows which number is good. So nobody can name a token that was never issued, and one that was
//! and comes again is known for what it is.

use std::collections::BTreeSet;

use actix_web::HttpResponse;
use countersign_core::{ClientId, GrantId, Occasion, Permit, Scope, SessionId, Stated};
use countersign_store::{Code, Grace, Grant, LiveGrant, Rotated, Session};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::audience;
use super::dpop::{self, Proof, ShownKey};
use super::mint::{self, Minting};
use super::unavailable;
use super::weigh::{Wish, weigh};
use crate::audit::{Event, Happening, Subject};
use crate::edge::RandomText;
use crate::error::{Failure, OAuthError};
use crate::recheck::{self, Standing};
use crate::seal::{Place, Purpose};
use crate::settings::GrantType;
use crate::web::{Context, Parameters};

/// For so long after a token was spent the same one comes from the same moment.
const BUSY: SignedDuration = SignedDuration::from_secs(5);
/// For so long an answer may have been lost on the way.
const LOST: SignedDuration = SignedDuration::from_secs(60);
/// What tells our refresh tokens from other secrets, for scanners of source code.
const PREFIX: &str = "csrt_";

/// What a refresh token says, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RefreshToken {
    pub(super) session: SessionId,
    pub(super) grant: GrantId,
    /// Which of the grant's tokens it is: 0 is the first.
    pub(super) number: u32,
}

impl RefreshToken {
    /// The token as this client sent it; `None` if it is no refresh token of ours, or another client's.
    pub(super) fn open(text: &str, client: &ClientId, context: &Context<'_>) -> Option<Self> {
        let sealed = text.strip_prefix(PREFIX)?;
        context.broker.sealer.open(sealed, place(client))
    }

    fn seal(&self, client: &ClientId, context: &Context<'_>) -> Result<String, Failure> {
        let broker = context.broker;
        let sealed = broker
            .sealer
            .seal(self, place(client), broker.entropy.as_ref());
        match sealed {
            Some(sealed) => Ok(format!("{PREFIX}{sealed}")),
            None => Err(OAuthError::unavailable()),
        }
    }
}

fn place(client: &ClientId) -> Place<'_> {
    Place {
        name: "refresh_token",
        party: client.as_str(),
        purpose: Purpose::RefreshToken,
    }
}

/// The first refresh token of a grant.
pub(super) struct FirstToken {
    pub(super) grant: GrantId,
    text: String,
}

impl FirstToken {
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// Opens a grant where the client may refresh what its code bought.
pub(super) async fn open(
    code: &Code,
    (session, permit, shown): (&Session, &Permit, Option<&ShownKey>),
    context: &Context<'_>,
) -> Result<Option<FirstToken>, Failure> {
    if !may_refresh(&code.client, context) {
        return Ok(None);
    }
    let id = GrantId::new(format!("grant_{}", context.broker.entropy.hex::<16>()));
    let id = id.map_err(|_| OAuthError::unavailable())?;
    let grant = Grant {
        id: id.clone(),
        session: session.id.clone(),
        client: code.client.clone(),
        scopes: permit.scopes().iter().cloned().collect(),
        organization: code.organization.clone(),
        acr_values: code.acr_values.clone(),
        resource: code.resource.clone(),
        dpop_jkt: shown.map(|key| key.thumbprint().to_owned()),
        stated: Stated::by(permit),
        expires_at: session.expires_at,
    };
    let opened = context.broker.store.open_grant(grant).await;
    opened.map_err(|error| unavailable(&error, context))?;
    let token = RefreshToken {
        session: session.id.clone(),
        grant: id.clone(),
        number: 0,
    };
    let text = token.seal(&code.client, context)?;
    Ok(Some(FirstToken { grant: id, text }))
}

/// Whether this client may refresh at all.
pub(super) fn may_refresh(client: &ClientId, context: &Context<'_>) -> bool {
    let clients = &context.broker.settings.clients;
    let found = clients.get(client);
    found.is_some_and(|client| client.may(GrantType::RefreshToken))
}

/// Tokens for a refresh token, and the next one.
pub(super) async fn refresh(
    parameters: &Parameters,
    client: &ClientId,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    if !may_refresh(client, context) {
        return Err(OAuthError::unauthorized_client());
    }
    let text = parameters
        .one("refresh_token")
        .ok_or_else(|| OAuthError::invalid_request("`refresh_token` is missing"))?;
    let token = RefreshToken::open(text, client, context).ok_or_else(not_good)?;
    let proof = dpop::proof_of(client, context)?;
    let live = find(&token, client, context).await?;
    check_key(&live.grant, proof.as_ref(), context)?;
    if live.is_spent(token.number) {
        // Before the policy is asked: whoever presents it is to be found out, and told nothing.
        rotate(token, client, context).await?;
        return Err(not_good());
    }
    let LiveGrant { grant, session, .. } = live;
    let audience = audience::of(client, grant.resource.as_deref(), parameters, context)?;
    let wish = Wish {
        client,
        scopes: wanted(parameters, &grant)?,
        organization: grant.organization.as_ref(),
        acr_values: &grant.acr_values,
        occasion: Occasion::Refresh,
        stated: Some(&grant.stated),
    };
    let weighed = weigh(wish, &session, context).await?;
    let standing = recheck::standing(&session, context).await;
    match standing.map_err(|error| unavailable(&error, context))? {
        Standing::Stands => {}
        Standing::Withdrawn => {
            return Err(weighed.withdraw(&session, context).await);
        }
        Standing::Ended => return Err(not_good()),
        Standing::Unknown { retry_after } => return Err(OAuthError::provider_silent(retry_after)),
    }
    let shown = dpop::spend(proof, context).await?;
    let next = rotate(token, client, context).await?;
    let (account, permit) = weighed.keep(context).await?;
    let minting = Minting {
        permit: &permit,
        session: &session,
        account: &account,
        audience,
        bound_to: shown.as_ref(),
        exchanged: None,
        nonce: None,
        grant: Some(&grant.id),
    };
    mint::answer(&minting, Some(&next), context)
}

/// RFC 9449 5: what began with a key goes on with one. A client that anybody could pass for must show the
/// same; another has said who it is, and may have changed its key.
fn check_key(grant: &Grant, proof: Option<&Proof>, context: &Context<'_>) -> Result<(), Failure> {
    let clients = &context.broker.settings.clients;
    let client = clients.get(&grant.client);
    let is_public = client.is_none_or(|client| client.authentication.is_public());
    match (grant.dpop_jkt.as_deref(), proof.map(Proof::thumbprint)) {
        (None, _) => Ok(()),
        (Some(bound), Some(shown)) if bound == shown || !is_public => Ok(()),
        (Some(_), _) => Err(OAuthError::invalid_grant(
            "the refresh token is bound to a key that the request does not show",
        )),
    }
}

/// The live grant behind a token, and its session.
async fn find(
    token: &RefreshToken,
    client: &ClientId,
    context: &Context<'_>,
) -> Result<LiveGrant, Failure> {
    let store = &context.broker.store;
    let found = store.grant(&token.session, &token.grant, context.now).await;
    let found = found.map_err(|error| unavailable(&error, context))?;
    found
        .filter(|found| found.grant.client == *client)
        .ok_or_else(not_good)
}

/// The scopes to ask the policy for: all of the grant, or those that the client names (RFC 6749 6).
fn wanted(parameters: &Parameters, grant: &Grant) -> Result<BTreeSet<Scope>, Failure> {
    let granted = || grant.scopes.iter().cloned();
    let Some(named) = parameters.one("scope") else {
        return Ok(granted().collect());
    };
    let named: BTreeSet<&str> = named.split(' ').filter(|one| !one.is_empty()).collect();
    let wanted: BTreeSet<Scope> = granted()
        .filter(|scope| named.contains(scope.as_str()))
        .collect();
    if wanted.is_empty() || wanted.len() < named.len() {
        return Err(OAuthError::invalid_scope(
            "a scope is not one of those that were granted",
        ));
    }
    Ok(wanted)
}

/// Spends the token; answers with the next one.
async fn rotate(
    token: RefreshToken,
    client: &ClientId,
    context: &Context<'_>,
) -> Result<String, Failure> {
    let grace = Grace {
        busy: BUSY,
        lost: LOST,
        idle: context.policy().lifetimes().session_idle,
    };
    let store = &context.broker.store;
    let rotated = store.rotate(
        &token.session,
        &token.grant,
        token.number,
        grace,
        context.now,
    );
    let rotated = rotated.await;
    match rotated.map_err(|error| unavailable(&error, context))? {
        Rotated::Next(number) => RefreshToken { number, ..token }.seal(client, context),
        Rotated::TooSoon => Err(OAuthError::too_soon()),
        Rotated::Reused => {
            context.audit(grant_ended(client, "refresh-token-reused", &token));
            context.broker.metrics.refresh_token_reused(client);
            tracing::warn!(code = "refresh-token-reused", request = %context.request_id, %client, session = %token.session, "a refresh token came twice; its grant has been ended");
            Err(not_good())
        }
        Rotated::NeverIssued => {
            context.audit(grant_ended(client, "refresh-token-never-issued", &token));
            tracing::warn!(code = "refresh-token-never-issued", request = %context.request_id, %client, session = %token.session, "a refresh token came that the store has not given out: it may have lost what was written last; its grant has been ended");
            Err(not_good())
        }
        Rotated::Unknown => Err(not_good()),
    }
}

/// What is written down when a client ends a grant.
pub(super) fn grant_ended(
    client: &ClientId,
    because: &'static str,
    token: &RefreshToken,
) -> Happening {
    Happening::new(Event::GrantEnded, client)
        .about(Subject::Grant, &token.grant)
        .about(Subject::Session, &token.session)
        .because(because)
}

fn not_good() -> Failure {
    OAuthError::invalid_grant("the refresh token is unknown, expired, revoked or was used before")
}
