//! `/token`, grant `authorization_code` (RFC 6749 4.1.3, RFC 7636 4.6).
//!
//! The policy is asked anew: the code is a promise of a session, not of a scope.

use actix_web::{HttpRequest, HttpResponse, web};
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::{
    AttemptId, ClientId, Decision, Demands, Facts, Login, Occasion, Permit, Refusal, Remedy,
    StepUp, Verdict, decide,
};
use countersign_store::{Account, Code, CodeDigest, Session, TakenCode};
use subtle::ConstantTimeEq;

use super::client::authenticate;
use super::mint::{self, Grant};
use crate::Broker;
use crate::error::{Failure, OAuthError};
use crate::sign_in::account::facts;
use crate::web::{Context, Parameters};

/// POST `/token`.
pub(crate) async fn redeem(
    request: HttpRequest,
    form: web::Bytes,
    broker: web::Data<Broker>,
) -> HttpResponse {
    let context = Context::new(&request, &broker);
    context.answer(answer(&form, &context).await)
}

async fn answer(form: &[u8], context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let parameters = Parameters::read(form);
    if parameters.is_repeated() {
        return Err(OAuthError::invalid_request("a parameter stands twice"));
    }
    let client = authenticate(&parameters, context)?;
    match parameters.one("grant_type") {
        Some("authorization_code") => {}
        Some(_) => return Err(OAuthError::unsupported_grant_type()),
        None => return Err(OAuthError::invalid_request("`grant_type` is missing")),
    }
    let (code, session) = take(&parameters, &client, context).await?;
    let account = account(&session, context).await?;
    let permit = permit(&code, &session, &account, context)?;
    let grant = Grant {
        permit: &permit,
        session: &session,
        account: &account,
        nonce: code.nonce.as_deref(),
    };
    let answer = mint::answer(&grant, context)?;
    context.broker.metrics.token_issued(&client);
    Ok(answer)
}

/// Whose session it is.
async fn account(session: &Session, context: &Context<'_>) -> Result<Account, Failure> {
    let found = context.broker.store.account(&session.account).await;
    match found.map_err(|error| unavailable(&error, context))? {
        Some((account, _)) => Ok(account),
        None => Err(OAuthError::invalid_grant("the account is gone")),
    }
}

/// Takes the code for this client. A code that was taken by mistake is spent all the same, and
/// the session it stood for is ended.
async fn take(
    parameters: &Parameters,
    client: &ClientId,
    context: &Context<'_>,
) -> Result<(Code, Session), Failure> {
    let unknown = || OAuthError::invalid_grant("the code is unknown, expired or was used before");
    let digest = parameters
        .one("code")
        .and_then(digest_of)
        .ok_or_else(unknown)?;
    let store = &context.broker.store;
    let taken = store.take_code(&digest, context.now).await;
    match taken.map_err(|error| unavailable(&error, context))? {
        TakenCode::Fresh { code, session } => match check(&code, client, parameters) {
            Ok(()) => Ok((*code, *session)),
            Err(failure) => {
                let ended = store.end_session(&session.id).await;
                ended.map_err(|error| unavailable(&error, context))?;
                Err(failure)
            }
        },
        TakenCode::Replayed => {
            tracing::warn!(code = "code-replayed", request = %context.request_id, %client, "a code came twice; its session has been ended");
            Err(unknown())
        }
        TakenCode::Unknown => Err(unknown()),
    }
}

fn unavailable(error: &countersign_store::StoreError, context: &Context<'_>) -> Failure {
    tracing::error!(code = "store-unavailable", request = %context.request_id, cause = %error, "the store does not answer");
    OAuthError::unavailable()
}

/// RFC 6749 4.1.3: the code is this client's, for this redirect URI; RFC 7636 4.6: and the verifier fits.
fn check(code: &Code, client: &ClientId, parameters: &Parameters) -> Result<(), Failure> {
    if code.client != *client {
        return Err(OAuthError::invalid_grant(
            "the code was issued to another client",
        ));
    }
    if parameters.one("redirect_uri") != Some(code.redirect_uri.as_str()) {
        return Err(OAuthError::invalid_grant(
            "`redirect_uri` is not that of the request",
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

/// A code is its owner's name and a secret; of the secret only the digest is known.
fn digest_of(code: &str) -> Option<CodeDigest> {
    let (owner, secret) = code.split_once('.')?;
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    Some(CodeDigest {
        owner: AttemptId::new(owner).ok()?,
        digest: bytes,
    })
}

/// The decision of this moment. `max_age` and `prompt=login` were met when the code was issued.
fn permit(
    code: &Code,
    session: &Session,
    account: &Account,
    context: &Context<'_>,
) -> Result<Permit, Failure> {
    let facts = Facts {
        client: code.client.clone(),
        scopes: code.scopes.iter().cloned().collect(),
        organization: code.organization.clone(),
        demands: Demands {
            acr_values: code.acr_values.clone(),
            ..Demands::default()
        },
        login: Login::from(&session.evidence),
        identity_changed: false,
        account: facts(account, context),
        remedy: Remedy::Nothing,
        session_expires_at: Some(session.expires_at),
    };
    let decision = decide(context.policy(), &facts, context.now);
    context.log_decision(Occasion::Token, Verdict::from(&decision), facts);
    match decision {
        Decision::Permit(permit) => Ok(permit),
        Decision::Refuse(Refusal { reasons, .. }) | Decision::StepUp(StepUp { reasons, .. }) => {
            let reason = reasons
                .first()
                .map_or("mfa-unknown", |reason| reason.code());
            Err(OAuthError::invalid_grant(reason))
        }
    }
}
