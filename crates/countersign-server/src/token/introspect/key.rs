//! What a registry's service is told of an API key that it was shown.
//!
//! With `scope`, and `package` where it is known which, it asks whether the key is good for just that: the policy decides, the
//! decision is written down, and the key was used. Without, it is told all that the key is good for, and holds it to its packages itself.

use std::collections::BTreeSet;

use countersign_core::{Basis, ClientId, Decision, Permit, Scope};
use countersign_store::StoreError;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::unavailable;
use crate::api_key::{self, Held, Use, notice_in_words};
use crate::error::{Failure, OAuthError};
use crate::own::OwnPage;
use crate::web::{Context, Parameters};

/// What is told of the text, if it is an API key of a client that has the caller's audience.
pub(super) async fn told(
    parameters: &Parameters,
    caller: &ClientId,
    context: &Context<'_>,
) -> Result<Option<Value>, Failure> {
    let store_failed = |error: StoreError| unavailable(&error, context);
    let text = parameters.one("token").unwrap_or_default();
    let found = api_key::find(text, context).await.map_err(store_failed)?;
    let Some(held) = found.filter(|held| shares_audience(&held.key.client, caller, context)) else {
        return Ok(None);
    };
    let Some(scopes) = parameters.one("scope") else {
        let permitted = held.permits(context).await.map_err(store_failed)?;
        return Ok(permitted.map(|permit| in_claims(&held, &permit, context)));
    };
    let wanted = Use {
        client: &held.key.client,
        scopes: read(scopes)?,
        package: parameters.one("package"),
    };
    let weighed = held.weigh(wanted, context).await.map_err(store_failed)?;
    Ok(Some(match weighed {
        Ok(weighed) => of_decision(&held, &weighed.decision, context),
        Err(why) => json!({"active": false, "reason": why.code(), "message": why.sentence()}),
    }))
}

fn read(scopes: &str) -> Result<BTreeSet<Scope>, Failure> {
    let scopes = scopes.split(' ').filter(|one| !one.is_empty());
    let scopes: Result<_, _> = scopes.map(Scope::new).collect();
    scopes.map_err(|_| OAuthError::invalid_scope("a scope has a character that none may have"))
}

fn shares_audience(client: &ClientId, caller: &ClientId, context: &Context<'_>) -> bool {
    let clients = &context.broker.settings.clients;
    let audience = |client| clients.get(client).map(|client| &client.resource);
    client == caller || audience(client).is_some_and(|one| audience(caller) == Some(one))
}

/// Active only where the policy grants all that was asked for.
fn of_decision(held: &Held, decision: &Decision, context: &Context<'_>) -> Value {
    match decision {
        Decision::Permit(permit) if permit.unmet().is_empty() => in_claims(held, permit, context),
        Decision::Permit(_) | Decision::StepUp(_) | Decision::Refuse(_) => {
            let reason = decision.reasons().first();
            json!({
                "active": false,
                "reason": reason.map(|reason| reason.code()),
                "message": reason.map(|reason| reason.sentence()),
            })
        }
    }
}

fn in_claims(held: &Held, permit: &Permit, context: &Context<'_>) -> Value {
    let (key, settings) = (&held.key, &context.broker.settings);
    let scopes: Vec<&str> = permit.scopes().iter().map(Scope::as_str).collect();
    let ends_at = api_key::ends_at(key, context.policy());
    let notice = api_key::notice(key, context.policy(), context.now);
    let page = settings.endpoint(&OwnPage::ApiKeys.path());
    let notice = notice.map(|notice| {
        let text = notice_in_words(key, &notice, &page);
        json!({"text": text, "ends_at": notice.end.as_second()})
    });
    json!({
        "active": true,
        "iss": settings.issuer(),
        "client_id": key.client,
        "sub": held.account.id,
        "scope": scopes.join(" "),
        "iat": key.made_at.as_second(),
        "exp": ends_at.map(Timestamp::as_second),
        "token_type": "api_key",
        "acr": permit.acr().as_str(),
        "api_key": {
            "id": key.id,
            "packages": key.packages,
            "organization": key.organization,
            "level": permit.level().as_str(),
            "basis": permit.basis().map(Basis::as_str),
            "notice": notice,
        },
    })
}
