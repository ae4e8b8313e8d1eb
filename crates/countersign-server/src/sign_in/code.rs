//! Codes: how one is made for a session and goes to its client, and how one that comes back is read.

use actix_web::HttpResponse;
use aws_lc_rs::digest;
use countersign_core::sign_in::Request;
use countersign_core::{AttemptId, SessionId};
use countersign_store::{Code, CodeDigest};
use jiff::SignedDuration;

use crate::edge::RandomText;
use crate::web::{Context, client_redirect, see_other};

/// A code that is about to be kept and sent.
pub(super) struct NewCode {
    session: SessionId,
    secret: String,
}

impl NewCode {
    pub(super) fn of(session: &SessionId, context: &Context<'_>) -> Self {
        Self {
            session: session.clone(),
            secret: context.broker.entropy.secret(),
        }
    }

    /// What is kept of it.
    pub(super) fn digest(&self) -> CodeDigest {
        CodeDigest {
            session: self.session.clone(),
            digest: sha256(&self.secret),
        }
    }

    /// Sends it to the client (RFC 6749 4.1.2).
    pub(super) fn answer(&self, request: &Request, context: &Context<'_>) -> HttpResponse {
        let code = format!("{}.{}", self.session.code_prefix(), self.secret);
        let mut parameters = vec![("code", code.as_str())];
        parameters.extend(request.state.as_deref().map(|state| ("state", state)));
        let issuer = context.broker.settings.issuer();
        see_other(&client_redirect(&request.redirect_uri, &parameters, issuer))
    }
}

/// What a code stands for.
pub(super) fn stands_for(request: &Request, context: &Context<'_>) -> Code {
    Code {
        client: request.client.clone(),
        redirect_uri: request.redirect_uri.clone(),
        code_challenge: request.code_challenge.clone(),
        nonce: request.nonce.clone(),
        scopes: request.scopes.iter().cloned().collect(),
        organization: request.organization.clone(),
        acr_values: request.demands.acr_values.clone(),
        resource: request.resource.clone(),
        dpop_jkt: request.dpop_jkt.clone(),
        expires_at: context.now + lifetime(request, context),
    }
}

fn lifetime(request: &Request, context: &Context<'_>) -> SignedDuration {
    let by_policy = context.policy().lifetimes().code;
    let clients = &context.broker.settings.clients;
    let client = clients.get(&request.client);
    client.map_or(by_policy, |client| client.code_lifetime(by_policy))
}

/// A code as it came back: the name of its session and a secret, of which only the digest is known.
pub(crate) fn parse(code: &str) -> Option<CodeDigest> {
    let (attempt, secret) = code.split_once('.')?;
    Some(CodeDigest {
        session: SessionId::of(&AttemptId::new(attempt).ok()?),
        digest: sha256(secret),
    })
}

fn sha256(secret: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    bytes
}
