//! What is known of somebody who asks for something: all that the policy decides by, put together once for their requests
//! within a second.

use std::borrow::Borrow;
use std::sync::{Arc, OnceLock};

use countersign_core::{
    ApiKeyId, ClientId, Demands, Facts, Login, OrganizationId, Remedy, Scope, SessionId, Stated,
};
use countersign_store::{Account, KeyDigest, Session, StoreError};
use countersign_verifier::Claims;
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::identity::Told;
use super::weigh::Wish;
use crate::api_key::{self, Held};
use crate::web::Context;
use crate::{organization, session, token};

/// Who asks for what: as what they show names them, for whose users it is taken, and the scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct KnownBy {
    named: Named,
    client: ClientId,
    scope: Scope,
}

/// Who asks, as what they show names them; never what they show.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Named {
    Session(SessionId),
    Key(ApiKeyId),
    /// An access token, by its `jti`.
    Token(String),
}

/// All that the policy decides by, and whom it is about.
///
/// As a value of JSON it is the facts alone, as in a line of the decision log.
#[derive(Debug)]
pub(crate) struct Known {
    pub(super) account: Arc<Account>,
    /// The key that they show, where it is one.
    pub(super) key: Option<Held>,
    /// The address that the provider or the registry verified, where one did.
    pub(super) email: Option<String>,
    pub(super) facts: Facts,
    /// What the registry behind was told of them last.
    pub(super) told: Told,
    /// The facts as they are written down, once they have been.
    written: OnceLock<Box<RawValue>>,
}

impl Borrow<Facts> for Known {
    fn borrow(&self) -> &Facts {
        &self.facts
    }
}

impl Serialize for Known {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(written) = self.written.get() {
            return written.serialize(serializer);
        }
        match to_raw_value(&self.facts) {
            Ok(written) => self.written.get_or_init(|| written).serialize(serializer),
            Err(_) => self.facts.serialize(serializer),
        }
    }
}

/// What is known of whom a browser's cookie leads to, where that is anybody.
pub(super) async fn by_session(
    wish: Wish<'_>,
    context: &Context<'_>,
) -> Result<Option<Arc<Known>>, StoreError> {
    let Some(session) = session::named_by_browser(context) else {
        return Ok(None);
    };
    let client = &wish.registry.client;
    let found = found(
        Named::Session(session),
        client,
        wish.scope,
        context,
        async |at_store| {
            let Some((session, account)) = session::of_browser(at_store).await? else {
                return Ok(None);
            };
            let by = By {
                client: client.clone(),
                session,
                account,
                organization: None,
                stated: None,
            };
            by.known(wish.scope, at_store).await.map(Some)
        },
    )
    .await?;
    Ok(found.filter(|known| known.is_live(context)))
}

/// What is known of whose key this is, whatever it is good for; nothing where it is nobody's.
pub(super) async fn by_key(
    digest: &KeyDigest,
    wish: Wish<'_>,
    context: &Context<'_>,
) -> Result<Option<Arc<Known>>, StoreError> {
    let (named, client) = (Named::Key(api_key::id_of(digest)), &wish.registry.client);
    let found = found(named, client, wish.scope, context, async |at_store| {
        let Some(held) = api_key::of_digest(digest, at_store).await? else {
            return Ok(None);
        };
        let scopes = [wish.scope.clone()].into();
        let facts = held.facts_for(client, scopes, at_store).await?;
        Ok(Some(
            Known::new(Arc::clone(&held.account), facts).of_key(held),
        ))
    })
    .await?;
    // It was found by its name, which is no secret.
    let is_it = |known: &Arc<Known>| {
        known
            .key
            .as_ref()
            .is_some_and(|held| held.key.digest == *digest)
    };
    Ok(found.filter(is_it))
}

/// What is known of whom an access token speaks for, which was verified and is for this.
pub(super) async fn by_token(
    claims: &Claims,
    wish: Wish<'_>,
    context: &Context<'_>,
) -> Result<Option<Arc<Known>>, StoreError> {
    let Ok(client) = ClientId::new(&claims.client_id) else {
        return Ok(None);
    };
    let named = Named::Token(claims.jti.clone());
    let found = found(named, &client, wish.scope, context, async |at_store| {
        let Some(session) = token::session_of(claims, at_store).await? else {
            return Ok(None);
        };
        let Ok((account, _)) = session::owner(&session, at_store).await? else {
            return Ok(None);
        };
        let by = By {
            client: client.clone(),
            session,
            account,
            organization: token::organization_of(claims),
            stated: token::stated_by(claims),
        };
        by.known(wish.scope, at_store).await.map(Some)
    })
    .await?;
    // Whoever verified it allows for clocks that differ; its end is by ours.
    let is_over = context.now.as_second() >= claims.exp;
    Ok(found.filter(|known| !is_over && known.is_live(context)))
}

/// What was put together a moment ago, and else what this puts together of what the store itself says: what that said a moment
/// ago would be a moment older once it has been kept again.
async fn found(
    named: Named,
    client: &ClientId,
    scope: &Scope,
    context: &Context<'_>,
    find: impl AsyncFnOnce(&Context<'_>) -> Result<Option<Known>, StoreError>,
) -> Result<Option<Arc<Known>>, StoreError> {
    let by = KnownBy {
        named,
        client: client.clone(),
        scope: scope.clone(),
    };
    let asked = async {
        let at_store = context.at_the_store();
        // What is rare is long, and has a place of its own: all else would be moved about with it.
        Box::pin(find(&at_store))
            .await
            .map(|found| found.map(Arc::new))
    };
    context.reads.known(&by, asked).await
}

/// Somebody who signed in, however they show it.
struct By {
    client: ClientId,
    session: Session,
    account: Account,
    organization: Option<OrganizationId>,
    stated: Option<Stated>,
}

impl By {
    /// All that the policy decides by whether they may have this scope.
    async fn known(self, scope: &Scope, context: &Context<'_>) -> Result<Known, StoreError> {
        let evidence = &self.session.evidence;
        let mappings = organization::mappings_behind(evidence, context).await?;
        let waivers = organization::waivers_of(self.organization.as_ref(), context).await?;
        let facts = Facts {
            client: self.client,
            scopes: [scope.clone()].into(),
            organization: self.organization,
            manages: None,
            login: Login::of(evidence, &mappings),
            mappings,
            waivers,
            demands: Demands::default(),
            identity_changed: false,
            withdrawn: false,
            account: context.broker.calendar.facts(&self.account),
            remedy: Remedy::Nothing,
            session_expires_at: Some(self.session.expires_at),
            stated: self.stated,
            key_made_at: None,
        };
        let email = verified_email(&self.session, &self.account);
        Ok(Known {
            email,
            ..Known::new(Arc::new(self.account), facts)
        })
    }
}

impl Known {
    fn new(account: Arc<Account>, facts: Facts) -> Self {
        Self {
            account,
            key: None,
            email: None,
            facts,
            told: Told::default(),
            written: OnceLock::new(),
        }
    }

    fn of_key(self, held: Held) -> Self {
        Self {
            key: Some(held),
            ..self
        }
    }

    /// Whether the session is not over that it rests on.
    fn is_live(&self, context: &Context<'_>) -> bool {
        let end = self.facts.session_expires_at;
        end.is_none_or(|end| context.now < end)
    }
}

/// The address of the identity that signed in, where its provider or the registry verified it.
fn verified_email(session: &Session, account: &Account) -> Option<String> {
    let email = session.evidence.profile.email.as_ref()?;
    let vouched = account.vouched_email.as_ref();
    let is_verified =
        email.verified || vouched.is_some_and(|one| one.address.as_str() == email.address);
    is_verified.then(|| email.address.clone())
}
