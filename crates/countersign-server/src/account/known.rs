//! What an operator is told of an account: by API and on the page alike. Nothing of it is a secret, and of the person it
//! holds what is kept: the name, the address, the ids.

use std::collections::BTreeSet;

use countersign_core::calendar::Due;
use countersign_core::{
    AccountId, ClientId, Identity, Level, OrganizationId, ProviderId, SessionId,
};
use countersign_store::{Account, Export, LiveSession, Lock, RegistryAccountName, export};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use crate::error::ApiError;
use crate::web::Context;

/// An account, as far as its own record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Known {
    pub(crate) id: AccountId,
    pub(crate) name: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) registry_account: Option<RegistryAccountName>,
    pub(crate) identities: Vec<Identity>,
    pub(crate) created_at: Timestamp,
    /// When the registry says that it was made there.
    pub(crate) registered_at: Option<Timestamp>,
    pub(crate) first_mfa_at: Option<Timestamp>,
    /// The last day on which its owner is known to have signed in, to a week.
    pub(crate) seen_on: Option<Date>,
    pub(crate) locked: Option<Lock>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct KnownWhole {
    #[serde(flatten)]
    pub(crate) account: Known,
    /// From when the policy asks it for a second factor.
    pub(crate) must_show_mfa: MustShowMfa,
    /// The organisations that it administers.
    pub(crate) administers: Vec<OrganizationId>,
    pub(crate) sessions: Vec<KnownSession>,
}

/// From when an account must show a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MustShowMfa {
    Now,
    From(Date),
    /// The calendar has no day for it yet.
    NotSet,
}

/// One of its live sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct KnownSession {
    pub(crate) id: SessionId,
    pub(crate) provider: ProviderId,
    pub(crate) opened_at: Timestamp,
    pub(crate) ends_at: Timestamp,
    pub(crate) clients: BTreeSet<ClientId>,
}

impl From<Account> for Known {
    fn from(account: Account) -> Self {
        Self {
            identities: account.identities().cloned().collect(),
            id: account.id,
            name: account.profile.name,
            email: account.profile.email.map(|email| email.address),
            registry_account: account.registry_account,
            created_at: account.created_at,
            registered_at: account.registered_at,
            first_mfa_at: account.first_mfa_at,
            seen_on: account.seen_on,
            locked: account.locked,
        }
    }
}

impl From<LiveSession> for KnownSession {
    fn from(live: LiveSession) -> Self {
        Self {
            id: live.session.id,
            provider: live.session.evidence.provider,
            opened_at: live.session.opened_at,
            ends_at: live.ends_at,
            clients: live.clients,
        }
    }
}

impl KnownWhole {
    /// All that is known of an account.
    pub(crate) async fn of(account: Account, context: &Context<'_>) -> Result<Self, ApiError> {
        let must_show_mfa = must_show_mfa(&account, context);
        let all = export(context.broker.store.as_ref(), account, context.now).await;
        let Export {
            account,
            administers,
            sessions,
            ..
        } = all.map_err(ApiError::Store)?;
        Ok(Self {
            account: Known::from(account),
            must_show_mfa,
            administers,
            sessions: sessions.into_iter().map(KnownSession::from).collect(),
        })
    }
}

fn must_show_mfa(account: &Account, context: &Context<'_>) -> MustShowMfa {
    let Some(calendar) = context.policy().calendar() else {
        return MustShowMfa::Now;
    };
    let facts = context.broker.calendar.facts(account);
    match calendar.due(&facts, Level::None) {
        Due::Always => MustShowMfa::Now,
        Due::On(day) => MustShowMfa::From(day),
        Due::NotSet => MustShowMfa::NotSet,
    }
}
