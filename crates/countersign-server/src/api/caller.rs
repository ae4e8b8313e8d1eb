//! Who calls the API, and what they may: by an access token of ours that is for the API and has the scope.
//!
//! A service has it by `client_credentials` and as its own (`own_scopes` of the policy); a person by a sign-in that
//! the policy found good enough for it. The pages ask for the same of the session ([`crate::organization`],
//! [`crate::operator`]).

use countersign_core::{
    ClientId, Decision, Demands, Evidence, Facts, Login, OrganizationId, Remedy, decide,
};
use countersign_store::{Account, Actor, Admin, Organization, Session, StoreError, admins};
use countersign_verifier::{AccessToken, Error};

use crate::error::{ApiError, Failure};
use crate::token::{is_live, is_of_a_service, presented, session_of};
use crate::web::Context;
use crate::{organization, own};

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A service of the registry's, as itself: what it may, it may for every organisation.
    Service(ClientId),
    /// Somebody who signed in.
    Person(Person),
    /// An operator who signed in, and does what is theirs to do: for every organisation, as a service.
    Operator(Person),
}

/// Somebody who signed in, and all that the policy decides by what they may do with an organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    /// The names under which they administer organisations.
    names: Vec<Admin>,
    facts: Box<Facts>,
    owner: Box<Account>,
    session: Box<Session>,
}

impl Person {
    /// Who signed in to this client, with this session.
    pub(crate) async fn of(
        client: ClientId,
        session: &Session,
        account: &Account,
        context: &Context<'_>,
    ) -> Result<Self, StoreError> {
        let mappings = organization::mappings_behind(&session.evidence, context).await?;
        let facts = Facts {
            client,
            scopes: own::scopes(own::SCOPES, context),
            organization: None,
            manages: None,
            login: Login::of(&session.evidence, &mappings),
            mappings,
            waivers: Vec::new(),
            demands: Demands::default(),
            identity_changed: false,
            withdrawn: false,
            account: context.broker.calendar.facts(account),
            remedy: Remedy::Nothing,
            session_expires_at: Some(session.expires_at),
            stated: None,
            key_made_at: None,
        };
        Ok(Self {
            names: admins(account).collect(),
            facts: Box::new(facts),
            owner: Box::new(account.clone()),
            session: Box::new(session.clone()),
        })
    }

    /// Their account, as it was when they came.
    pub(crate) fn owner(&self) -> &Account {
        &self.owner
    }

    /// What they showed at their sign-in.
    pub(crate) fn evidence(&self) -> &Evidence {
        &self.session.evidence
    }

    pub(crate) fn names(&self) -> &[Admin] {
        &self.names
    }

    /// What the policy says of them, where they are about to manage this organisation, or none.
    pub(crate) fn weigh(
        &self,
        organization: Option<&OrganizationId>,
        context: &Context<'_>,
    ) -> (Decision, Facts) {
        let facts = Facts {
            manages: organization.cloned(),
            ..Facts::clone(&self.facts)
        };
        (decide(context.policy(), &facts, context.now), facts)
    }

    /// As what they call with a token that has these scopes: as an operator, where it has one of theirs. `None` where
    /// it has nothing else, and the policy takes them for an operator no more.
    fn with(self, held: &[&str], context: &Context<'_>) -> Option<Caller> {
        let is_theirs = |scope: &&&str| [own::LOOK, own::OPERATE].contains(*scope);
        let mut theirs = held.iter().filter(is_theirs);
        let is_operator = theirs.any(|scope| self.may(scope, None, context));
        if is_operator {
            return Some(Caller::Operator(self));
        }
        let has_other = held.iter().any(|scope| !is_theirs(&scope));
        (has_other || held.is_empty()).then_some(Caller::Person(self))
    }

    /// Whether the policy lets them do now what a scope is for.
    fn may(
        &self,
        scope: &str,
        organization: Option<&OrganizationId>,
        context: &Context<'_>,
    ) -> bool {
        match self.weigh(organization, context).0 {
            Decision::Permit(permit) => permit.scopes().contains(scope),
            Decision::StepUp(_) | Decision::Refuse(_) => false,
        }
    }
}

impl Caller {
    pub(crate) fn actor(&self) -> Actor {
        match self {
            Self::Service(client) => Actor::Client(client.clone()),
            Self::Person(person) | Self::Operator(person) => {
                Actor::Account(person.owner.id.clone())
            }
        }
    }

    /// Whether this organisation is theirs to see.
    pub(crate) fn may_see(&self, organization: &Organization) -> bool {
        match self {
            Self::Service(_) | Self::Operator(_) => true,
            Self::Person(person) => {
                let mut names = person.names.iter();
                names.any(|name| organization.admins.contains(name))
            }
        }
    }

    /// Whether they may do with it what this scope is for: a person as the policy weighs their session now, by what the
    /// organisation itself demands besides.
    pub(crate) fn may(
        &self,
        scope: &str,
        organization: &Organization,
        context: &Context<'_>,
    ) -> bool {
        match self {
            Self::Service(_) => true,
            Self::Person(person) => {
                self.may_see(organization) && person.may(scope, Some(&organization.id), context)
            }
            Self::Operator(person) => person.may(own::OPERATE, None, context),
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
        Caller::Person(_) | Caller::Operator(_) => {
            Err(ApiError::Forbidden("this is for services, not for persons").into())
        }
    }
}

/// A service that calls, or an operator, and nobody else.
pub(super) async fn staff(
    scopes: &[&'static str],
    context: &Context<'_>,
) -> Result<Caller, Failure> {
    match caller(scopes, context).await? {
        Caller::Person(_) => {
            let message = "this is for services and operators, not for other persons";
            Err(ApiError::Forbidden(message).into())
        }
        staff @ (Caller::Service(_) | Caller::Operator(_)) => Ok(staff),
    }
}

async fn read(scopes: &[&'static str], context: &Context<'_>) -> Result<Caller, Error> {
    let token = presented(None, context).await?;
    if token.claims().aud != context.broker.settings.api() {
        return Err(Error::WrongAudience);
    }
    let has_scope = |scope: &&str| token.claims().scope.contains(scope);
    let held: Vec<&str> = scopes.iter().copied().filter(has_scope).collect();
    let caller = if is_of_a_service(token.claims()) {
        of_service(&token, context).await?
    } else {
        let person = of_person(&token, context).await?;
        person.with(&held, context).ok_or(Error::Expired)?
    };
    if held.is_empty() {
        token.require_scope(scopes.first().copied().unwrap_or_default())?;
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

async fn of_person(token: &AccessToken, context: &Context<'_>) -> Result<Person, Error> {
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
    let client = ClientId::new(&token.claims().client_id).map_err(|_| Error::Expired)?;
    let person = Person::of(client, &session, &account, context).await;
    person.map_err(unavailable)
}
