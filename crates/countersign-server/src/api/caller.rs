//! Who calls the API, and what they may: by an access token of ours that is for the API and has the scope.
//!
//! A service has it by `client_credentials` and as its own (`own_scopes` of the policy); a person by a sign-in that
//! the policy found good enough for it. The pages ask for the same of the session ([`crate::organization`]).

use countersign_core::{AccountId, ClientId};
use countersign_store::{Account, Actor, Admin, Organization, StoreError};
use countersign_verifier::{AccessToken, Error};

use crate::error::{ApiError, Failure};
use crate::token::{is_live, is_of_a_service, presented, session_of};
use crate::web::Context;

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A service of the registry's, as itself: what it may, it may for every organisation.
    Service(ClientId),
    /// A person, with all the names that they are known by.
    Person(AccountId, Vec<Admin>),
}

impl Caller {
    pub(crate) fn actor(&self) -> Actor {
        match self {
            Self::Service(client) => Actor::Client(client.clone()),
            Self::Person(account, _) => Actor::Account(account.clone()),
        }
    }

    /// Whether this organisation is theirs to see and to change, as far as their scope goes.
    pub(crate) fn may_manage(&self, organization: &Organization) -> bool {
        match self {
            Self::Service(_) => true,
            Self::Person(_, names) => names.iter().any(|name| organization.admins.contains(name)),
        }
    }
}

/// The caller of this request, if its token has one of these scopes.
pub(super) async fn caller(
    scopes: &[&'static str],
    context: &Context<'_>,
) -> Result<Caller, Failure> {
    let read = read(scopes, context).await;
    read.map_err(|error| match error {
        Error::Unavailable(cause) => ApiError::Store(StoreError::Unavailable(cause)).into(),
        error => ApiError::Token(error).into(),
    })
}

/// A service that calls, and no person.
pub(super) async fn service(
    scopes: &[&'static str],
    context: &Context<'_>,
) -> Result<ClientId, Failure> {
    match caller(scopes, context).await? {
        Caller::Service(client) => Ok(client),
        Caller::Person(..) => {
            Err(ApiError::Forbidden("this is for services, not for persons").into())
        }
    }
}

async fn read(scopes: &[&'static str], context: &Context<'_>) -> Result<Caller, Error> {
    let token = presented(None, context).await?;
    if token.claims().aud != context.broker.settings.api() {
        return Err(Error::WrongAudience);
    }
    let caller = if is_of_a_service(token.claims()) {
        of_service(&token, context).await?
    } else {
        of_person(&token, context).await?
    };
    let has_scope = |scope: &&&str| token.claims().scope.contains(scope);
    if scopes.iter().find(has_scope).is_none() {
        let first = scopes.first().copied().unwrap_or_default();
        token.require_scope(first)?;
    }
    Ok(caller)
}

async fn of_service(token: &AccessToken, context: &Context<'_>) -> Result<Caller, Error> {
    let client = ClientId::new(&token.claims().client_id).map_err(|_| Error::Expired)?;
    match is_live(token.claims(), context).await {
        Ok(true) => Ok(Caller::Service(client)),
        Ok(false) => Err(Error::Expired),
        Err(error) => Err(Error::Unavailable(error.to_string())),
    }
}

async fn of_person(token: &AccessToken, context: &Context<'_>) -> Result<Caller, Error> {
    let unavailable = |error: StoreError| Error::Unavailable(error.to_string());
    let session = session_of(token.claims(), context)
        .await
        .map_err(unavailable)?;
    let session = session.ok_or(Error::Expired)?;
    let found = context.broker.store.account(&session.account).await;
    let (account, _) = found
        .map_err(unavailable)?
        .filter(|(account, _)| account.locked.is_none())
        .ok_or(Error::Expired)?;
    Ok(Caller::Person(account.id.clone(), names_of(&account)))
}

/// The names under which an account administers organisations.
pub(crate) fn names_of(account: &Account) -> Vec<Admin> {
    let registry = account.registry_account.clone().map(Admin::RegistryAccount);
    let here = Admin::Account(account.id.clone());
    std::iter::once(here).chain(registry).collect()
}
