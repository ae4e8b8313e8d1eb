//! What is known of somebody who signed in and asks for something: all that the policy decides by, put together once for
//! their requests within a second.

use std::sync::{Arc, OnceLock};

use countersign_core::{
    ClientId, Demands, Facts, Login, OrganizationId, Remedy, Scope, SessionId, Stated,
};
use countersign_store::{Account, Session, StoreError};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::weigh::Wish;
use crate::web::Context;
use crate::{organization, session};

/// Who asks for what, as a browser shows it: its session, for whose users it is taken, and the scope.
pub(crate) type KnownBy = (SessionId, ClientId, Scope);

/// All that the policy decides by, and whom it is about.
///
/// As a value of JSON it is the facts alone, as in a line of the decision log.
#[derive(Debug)]
pub(crate) struct Known {
    pub(super) account: Arc<Account>,
    /// The address that the provider or the registry verified, where one did.
    pub(super) email: Option<String>,
    pub(super) facts: Facts,
    /// The facts as they are written down, once they have been.
    written: OnceLock<Box<RawValue>>,
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
    let by = (session, wish.registry.client.clone(), wish.scope.clone());
    // What is rare is long, and has a place of its own: all else would be moved about with it.
    let asked = async { Box::pin(find(wish, context)).await };
    let found = context.reads.known(&by, asked).await?;
    let is_live = |known: &Arc<Known>| {
        let end = known.facts.session_expires_at;
        end.is_none_or(|end| context.now < end)
    };
    Ok(found.filter(is_live))
}

/// The same of the store itself: what it said a moment ago would be a moment older once it has been kept again.
async fn find(wish: Wish<'_>, context: &Context<'_>) -> Result<Option<Arc<Known>>, StoreError> {
    let context = &context.at_the_store();
    let Some((session, account)) = session::of_browser(context).await? else {
        return Ok(None);
    };
    let by = By {
        client: wish.registry.client.clone(),
        session,
        account,
        organization: None,
        stated: None,
    };
    by.known(wish.scope, context).await.map(Arc::new).map(Some)
}

/// Somebody who signed in, however they show it.
pub(super) struct By {
    pub(super) client: ClientId,
    pub(super) session: Session,
    pub(super) account: Account,
    pub(super) organization: Option<OrganizationId>,
    pub(super) stated: Option<Stated>,
}

impl By {
    /// All that the policy decides by whether they may have this scope.
    pub(super) async fn known(
        self,
        scope: &Scope,
        context: &Context<'_>,
    ) -> Result<Known, StoreError> {
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
        Ok(Known {
            email: verified_email(&self.session, &self.account),
            account: Arc::new(self.account),
            facts,
            written: OnceLock::new(),
        })
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
