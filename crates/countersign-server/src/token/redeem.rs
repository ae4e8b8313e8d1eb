//! `/token`, grants `authorization_code` (RFC 6749 4.1.3, RFC 7636 4.6) and `device_code` (RFC 8628 3.4): a code, by
//! whichever way it came to the client, becomes tokens.
//!
//! The policy is asked anew: the code is a promise of a session, not of a scope.

use actix_web::HttpResponse;
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::{ClientId, Occasion};
use countersign_store::{Code, CodeDigest, Ended, Session, TakenCode};
use subtle::ConstantTimeEq;

use super::audience;
use super::dpop::{self, Proof};
use super::mint::{self, Minting};
use super::refresh::{self, FirstToken};
use super::unavailable;
use super::weigh::{Wish, weigh};
use crate::device;
use crate::error::{Failure, OAuthError};
use crate::session;
use crate::settings::GrantType;
use crate::sign_in::code::parse;
use crate::web::{Context, Parameters};

/// Tokens for a code.
pub(super) async fn redeem(
    parameters: &Parameters,
    client: &ClientId,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    check_may(client, GrantType::AuthorizationCode, context)?;
    let proof = dpop::proof_of(client, context)?;
    let code = parameters.one("code").and_then(parse).ok_or_else(unknown)?;
    let fits = |code: &Code| check(code, (client, proof.as_ref()), parameters);
    let taken = take(&code, client, fits, context).await?;
    tokens(taken, (client, proof), parameters, context).await
}

/// Tokens for a device code, once somebody has signed in (RFC 8628 3.5).
pub(super) async fn redeem_of_device(
    parameters: &Parameters,
    client: &ClientId,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let proof = dpop::proof_of(client, context)?;
    let taken = take_of_device(parameters, client, context).await?;
    let session = taken.1.id.clone();
    let answer = tokens(taken, (client, proof), parameters, context).await;
    if answer.is_err() {
        // No browser has this session, and its one code is spent.
        let ending = session::Ending::new(client, "device-got-no-token");
        session::end_one(&session, ending, context).await.ok();
    }
    answer
}

/// What a device code stands for, once somebody has signed in; it is spent by this.
pub(crate) async fn take_of_device(
    parameters: &Parameters,
    client: &ClientId,
    context: &Context<'_>,
) -> Result<(Code, Session), Failure> {
    check_may(client, GrantType::DeviceCode, context)?;
    let code = device::poll(parameters, client, context).await?;
    let fits = |code: &Code| check_of_device(code, client);
    take(&code, client, fits, context).await
}

/// Tokens for what a code stood for, as far as the policy permits.
async fn tokens(
    (code, session): (Code, Session),
    (client, proof): (&ClientId, Option<Proof>),
    parameters: &Parameters,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let shown = dpop::spend(proof, context).await?;
    let audience = audience::of(client, code.resource.as_deref(), parameters, context)?;
    let wish = Wish {
        client,
        scopes: code.scopes.iter().cloned().collect(),
        organization: code.organization.as_ref(),
        acr_values: &code.acr_values,
        occasion: Occasion::Token,
        stated: None,
    };
    let weighed = weigh(wish, &session, context).await?;
    let (account, permit) = weighed.keep(context).await?;
    let first = refresh::open(&code, (&session, &permit, shown.as_ref()), context).await?;
    let minting = Minting {
        permit: &permit,
        session: &session,
        account: &account,
        audience,
        bound_to: shown.as_ref(),
        exchanged: None,
        nonce: code.nonce.as_deref(),
        grant: first.as_ref().map(|first| &first.grant),
    };
    let refresh_token = first.as_ref().map(FirstToken::text);
    mint::answer(&minting, refresh_token, context)
}

fn check_may(client: &ClientId, grant: GrantType, context: &Context<'_>) -> Result<(), Failure> {
    let client = context.broker.settings.clients.get(client);
    match client {
        Some(client) if client.may(grant) => Ok(()),
        Some(_) | None => Err(OAuthError::unauthorized_client()),
    }
}

fn unknown() -> Failure {
    OAuthError::invalid_grant("the code is unknown, expired or was used before")
}

/// Takes the code for this client. A code that was taken by mistake is spent all the same, and
/// the session it stood for is ended.
pub(crate) async fn take(
    digest: &CodeDigest,
    client: &ClientId,
    fits: impl FnOnce(&Code) -> Result<(), Failure>,
    context: &Context<'_>,
) -> Result<(Code, Session), Failure> {
    let store = &context.broker.store;
    let taken = store.take_code(digest, context.now).await;
    match taken.map_err(|error| unavailable(&error, context))? {
        TakenCode::Fresh { code, session } => {
            context.continue_trace(code.trace.as_ref());
            match fits(&code) {
                Ok(()) => Ok((*code, *session)),
                Err(failure) => {
                    let ending = session::Ending::new(client, "code-does-not-fit");
                    let ended = session::end_one(&session.id, ending, context).await;
                    ended.map_err(|error| unavailable(&error, context))?;
                    Err(failure)
                }
            }
        }
        TakenCode::Replayed(ended) => {
            if ended == Ended::Now {
                let ending = session::Ending::new(client, "code-replayed");
                context.audit(ending.of(&digest.session, None));
            }
            tracing::warn!(code = "code-replayed", request = %context.request_id, %client, "a code came twice; its session has been ended");
            Err(unknown())
        }
        TakenCode::Unknown => Err(unknown()),
    }
}

/// The code is this client's, and no browser was sent away with it.
fn check_of_device(code: &Code, client: &ClientId) -> Result<(), Failure> {
    match code.redirect_uri {
        None if code.client == *client => Ok(()),
        None | Some(_) => Err(OAuthError::invalid_grant(
            "the code was issued to another client",
        )),
    }
}

/// RFC 6749 4.1.3: the code is this client's, for this redirect URI; RFC 7636 4.6: and the verifier fits.
fn check(
    code: &Code,
    (client, proof): (&ClientId, Option<&Proof>),
    parameters: &Parameters,
) -> Result<(), Failure> {
    if code.client != *client {
        return Err(OAuthError::invalid_grant(
            "the code was issued to another client",
        ));
    }
    if code.redirect_uri.is_none() || parameters.one("redirect_uri") != code.redirect_uri.as_deref()
    {
        return Err(OAuthError::invalid_grant(
            "`redirect_uri` is not that of the request",
        ));
    }
    // RFC 9449 10: a code that was asked for with a key is for who holds it.
    if code.dpop_jkt.is_some() && code.dpop_jkt.as_deref() != proof.map(Proof::thumbprint) {
        return Err(OAuthError::invalid_grant(
            "the code is bound to a key that the request does not show",
        ));
    }
    match (&code.code_challenge, parameters.one("code_verifier")) {
        (None, None) => Ok(()),
        (Some(challenge), Some(verifier)) if proves(verifier, challenge) => Ok(()),
        // RFC 9700 4.8.2: a verifier without a challenge is a downgrade.
        (_, _) => Err(OAuthError::invalid_grant(
            "`code_verifier` does not fit the request",
        )),
    }
}

fn proves(verifier: &str, challenge: &str) -> bool {
    // RFC 7636 4.1: 43 to 128 unreserved characters.
    let is_unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(is_unreserved) {
        return false;
    }
    let computed = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    computed.as_bytes().ct_eq(challenge.as_bytes()).into()
}
