//! What a tool keeps of a sign-in in the place of a password (`identitytoken` of Docker's configuration).
//!
//! It is of a grant, as a refresh token is, and ends with its session. It can't be replaced at each use: Docker keeps the
//! one that `docker login` got. So it has an end of its own that no use moves, opens nowhere but at its registry, and the
//! policy is asked anew whenever it comes.

use countersign_core::{GrantId, Permit, SessionId, Stated};
use countersign_store::{Grant, LiveGrant, Session, StoreError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Oci;
use crate::edge::RandomText;
use crate::error::{DockerError, Failure};
use crate::seal::{Place, Purpose};
use crate::web::Context;

/// What tells it from other secrets, for scanners of source code.
pub(in crate::registry) const PREFIX: &str = "csdi_";

/// What it says, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct IdentityToken {
    session: SessionId,
    grant: GrantId,
    until: Timestamp,
}

/// One that is given.
pub(super) struct Given {
    pub(super) text: String,
    pub(super) grant: GrantId,
}

/// One for a session, of which a permit was made.
pub(super) async fn give(
    oci: Oci<'_>,
    (session, permit): (&Session, &Permit),
    context: &Context<'_>,
) -> Result<Given, Failure> {
    let broker = context.broker;
    let id = GrantId::new(format!("grant_{}", broker.entropy.hex::<16>()));
    let id = id.map_err(|_| DockerError::unavailable())?;
    let grant = Grant {
        id: id.clone(),
        session: session.id.clone(),
        client: oci.registry.client.clone(),
        scopes: permit.scopes().iter().cloned().collect(),
        organization: None,
        acr_values: Vec::new(),
        resource: Some(oci.settings.service.clone()),
        dpop_jkt: None,
        stated: Stated::by(permit),
        expires_at: session.expires_at,
    };
    let opened = broker.store.open_grant(grant).await;
    opened.map_err(|error| DockerError::of_store(&error, context))?;
    let token = IdentityToken {
        session: session.id.clone(),
        grant: id.clone(),
        until: context.now + oci.rights.docker().offline_lifetime,
    };
    let sealed = broker
        .sealer
        .seal(&token, place(oci), broker.entropy.as_ref());
    let sealed = sealed.ok_or_else(DockerError::unavailable)?;
    Ok(Given {
        text: format!("{PREFIX}{sealed}"),
        grant: id,
    })
}

/// The live grant behind one; `None` if it is none of ours, another registry's, or has ended.
pub(super) async fn open(
    text: &str,
    oci: Oci<'_>,
    context: &Context<'_>,
) -> Result<Option<LiveGrant>, StoreError> {
    let sealed = text.strip_prefix(PREFIX);
    let token = sealed.and_then(|sealed| context.broker.sealer.open(sealed, place(oci)));
    let token = token.filter(|token: &IdentityToken| context.now < token.until);
    let Some(token) = token else {
        return Ok(None);
    };
    let store = &context.broker.store;
    let found = store
        .grant(&token.session, &token.grant, context.now)
        .await?;
    let is_its = |found: &LiveGrant| {
        found.grant.client == oci.registry.client
            && found.grant.resource.as_ref() == Some(&oci.settings.service)
    };
    Ok(found.filter(is_its))
}

/// Keeps its session in use, as a refresh does.
pub(super) async fn use_it(live: &LiveGrant, context: &Context<'_>) -> Result<(), StoreError> {
    let idle_until = context.now + context.policy().lifetimes().session_idle;
    let store = &context.broker.store;
    let used = store.keep_in_use(&live.session.id, idle_until, context.now);
    used.await.map(|_| ())
}

fn place(oci: Oci<'_>) -> Place<'_> {
    Place {
        name: "identity_token",
        party: oci.registry.name.as_str(),
        purpose: Purpose::RefreshToken,
    }
}
