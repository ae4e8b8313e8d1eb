//! What the decision says is done: the one place where a sign-in ends.

use actix_web::HttpResponse;
use aws_lc_rs::digest;
use countersign_core::sign_in::{Attempt, Next, Request};
use countersign_core::{AccountId, AttemptId, Evidence, Permit, ProviderId, SessionId};
use countersign_store::{Account, Code, Opening, Session, Store, StoreError};

use super::{attempt_cookie, depart};
use crate::edge::RandomText;
use crate::error::{Failure, SignInFailure, Why};
use crate::web::{Context, client_redirect, see_other};

/// Weighs the evidence and does what follows: a code, one more visit to the provider, or a page.
pub(crate) async fn finish(
    attempt: Attempt,
    evidence: Evidence,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let ending = Ending::of(&attempt);
    let remedy = depart::upstream(&attempt.provider, context)?.remedy();
    let policy = &context.broker.policy;
    match attempt.advance(policy, evidence.clone(), remedy, context.now) {
        Next::Issue(permit) => ending.issue(&permit, evidence, context).await,
        Next::StepUp(stepping_up) => depart::again(*stepping_up, &ending.id, context).await,
        Next::Refuse(refusal) => Err(ending.fail(Why::Refused(refusal))),
    }
}

/// What is left of an attempt when it ends.
struct Ending {
    id: AttemptId,
    request: Request,
    provider: ProviderId,
    expires_at: jiff::Timestamp,
}

impl Ending {
    fn of(attempt: &Attempt) -> Self {
        Self {
            id: attempt.id.clone(),
            request: attempt.request.clone(),
            provider: attempt.provider.clone(),
            expires_at: attempt.expires_at,
        }
    }

    fn fail(&self, why: Why) -> Failure {
        SignInFailure::failure(self.request.clone(), self.provider.clone(), why)
    }

    /// Opens the session, spends the attempt, and sends the person back with a code: in one operation.
    async fn issue(
        self,
        permit: &Permit,
        evidence: Evidence,
        context: &Context<'_>,
    ) -> Result<HttpResponse, Failure> {
        let broker = context.broker;
        let account = account(permit, &evidence, context).await;
        let account = account.map_err(|error| self.fail(Why::Store(error)))?;
        let secret = broker.entropy.secret();
        let opening = self.opening(account, &secret, evidence, context);
        match broker.store.open_session(opening, context.now).await {
            Ok(()) => {}
            Err(StoreError::AttemptSpent) => return Err(self.fail(Why::AttemptSpent)),
            Err(error) => return Err(self.fail(Why::Store(error))),
        }
        tracing::info!(
            code = "permitted",
            request = %context.request_id,
            client = %self.request.client,
            provider = %self.provider,
            acr = %permit.acr(),
            unmet = permit.unmet().len(),
            "sign-in finished",
        );
        let code = format!("{}.{secret}", self.id);
        let mut parameters = vec![("code", code.as_str())];
        parameters.extend(self.request.state.as_deref().map(|state| ("state", state)));
        let issuer = broker.settings.issuer();
        let location = client_redirect(&self.request.redirect_uri, &parameters, issuer);
        depart::with_cookies(see_other(&location), attempt_cookie::remove(&self.id))
    }

    fn opening(
        &self,
        account: AccountId,
        secret: &str,
        evidence: Evidence,
        context: &Context<'_>,
    ) -> Opening {
        let lifetimes = context.broker.settings.lifetimes;
        let mut code_digest = [0; 32];
        code_digest.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
        let request = &self.request;
        Opening {
            attempt: self.id.clone(),
            attempt_remembered_until: self.expires_at,
            session: Session {
                id: SessionId::of(&self.id),
                account,
                evidence,
                opened_at: context.now,
                expires_at: context.now + lifetimes.session,
            },
            code_digest,
            code: Code {
                client: request.client.clone(),
                redirect_uri: request.redirect_uri.clone(),
                code_challenge: request.code_challenge.clone(),
                nonce: request.nonce.clone(),
                scopes: request.scopes.iter().cloned().collect(),
                acr_values: request.demands.acr_values.clone(),
                expires_at: context.now + lifetimes.code,
            },
        }
    }
}

/// The account of this identity, made if this is its first login that was let in.
async fn account(
    permit: &Permit,
    evidence: &Evidence,
    context: &Context<'_>,
) -> Result<AccountId, StoreError> {
    let store = context.broker.store.as_ref();
    let known = store.account_of(&evidence.identity).await?;
    let Some((account, version)) = known else {
        return make_account(permit, evidence, context).await;
    };
    let seen = Account {
        profile: evidence.profile.clone(),
        first_mfa_at: account
            .first_mfa_at
            .or(permit.shows_mfa().then_some(context.now)),
        ..account.clone()
    };
    if seen != account {
        match store.replace_account(seen, version).await {
            // Another login of the same person was faster; what it wrote is as new as ours.
            Ok(_) | Err(StoreError::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(account.id)
}

async fn make_account(
    permit: &Permit,
    evidence: &Evidence,
    context: &Context<'_>,
) -> Result<AccountId, StoreError> {
    let store: &dyn Store = context.broker.store.as_ref();
    let fresh = AccountId::new(format!("acct_{}", context.broker.entropy.hex::<16>()))
        .map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let id = store.claim_identity(&evidence.identity, fresh).await?;
    let account = Account {
        id,
        identity: evidence.identity.clone(),
        profile: evidence.profile.clone(),
        created_at: context.now,
        first_mfa_at: permit.shows_mfa().then_some(context.now),
    };
    let (kept, _) = store.put_account_if_absent(account).await?;
    Ok(kept.id)
}
