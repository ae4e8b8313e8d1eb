//! What a registry's services, operators and organisations' admins do to an organisation: by the API and on the pages
//! alike, held to the same checks, and written down or not done.

use std::collections::BTreeSet;

use countersign_core::{ExceptionName, Level, OrganizationId, Policy, Source, TierName};
use countersign_store::organization::{
    self as domain, Answer, AskedException, Change, ClaimError, ExceptionError, JoinError, Joining,
    Settlement, TellError, Terms, Told, Unfit, Verdict,
};
use countersign_store::{Actor, Connection, Organization, Proof, Standing, Store, StoreError};

use jiff::civil::Date;
use serde::Deserialize;

use super::record::Record;
use super::shut_out;
use super::terms::may_be_given;
use crate::api::Caller;
use crate::audit::{Event, Happening, Subject};
use crate::edge::RandomText;
use crate::error::ApiError;
use crate::own::{ASK, CONNECT};
use crate::web::Context;

/// The organisation, if it is there and the caller's to manage. Who may not know of it is told that it is not there.
pub(crate) async fn managed(
    caller: &Caller,
    id: &OrganizationId,
    context: &Context<'_>,
) -> Result<Organization, ApiError> {
    let found = store(context).organization(id).await;
    let found = found.map_err(ApiError::Store)?;
    found
        .map(|(found, _)| found)
        .filter(|found| caller.may_see(found))
        .ok_or(ApiError::UnknownOrganization)
}

/// Keeps what is told of an organisation. What it is connected to stays.
pub(crate) async fn keep(
    id: &OrganizationId,
    told: &Told,
    actor: &Actor,
    context: &Context<'_>,
) -> Result<(Change, Organization), ApiError> {
    context.must_be_audited()?;
    let told = domain::tell(store(context), id, told, actor, context.now).await;
    let (change, kept) = told.map_err(|error| match error {
        TellError::Unfit(unfit) => ApiError::from(unfit),
        TellError::Store(error) => ApiError::Store(error),
    })?;
    if change != Change::Unchanged {
        log(Event::OrganizationTold, id, None, actor, context).await?;
    }
    Ok((change, kept))
}

/// Adds an admin to an organisation that this actor has told of, or tells of it. `false`, and nothing changes, where
/// another has.
pub(crate) async fn join(
    id: &OrganizationId,
    joining: Joining<'_>,
    actor: &Actor,
    context: &Context<'_>,
) -> Result<bool, ApiError> {
    context.must_be_audited()?;
    match domain::join(store(context), id, joining, actor, context.now).await {
        Ok(Change::Unchanged) => {}
        Ok(Change::Created | Change::Changed) => {
            log(Event::OrganizationTold, id, None, actor, context).await?;
        }
        Err(JoinError::ToldByAnother) => return Ok(false),
        Err(JoinError::Unfit(unfit)) => return Err(ApiError::from(unfit)),
        Err(JoinError::Store(error)) => return Err(ApiError::Store(error)),
    }
    Ok(true)
}

/// The registry has it no more. Whoever belonged to it belongs to it no more.
pub(crate) async fn forget(
    id: &OrganizationId,
    actor: &Actor,
    context: &Context<'_>,
) -> Result<(), ApiError> {
    context.must_be_audited()?;
    let was_there = domain::forget(store(context), id, context.now).await;
    if was_there.map_err(ApiError::Store)? {
        log(Event::OrganizationForgotten, id, None, actor, context).await?;
    }
    Ok(())
}

/// Whether the caller may do with an organisation what this scope is for, and whether it could be written down.
fn begin(
    scope: &str,
    caller: &Caller,
    known: &Organization,
    context: &Context<'_>,
) -> Result<(), ApiError> {
    if !caller.may(scope, known, context) {
        return Err(ApiError::SignInNotEnough);
    }
    context.must_be_audited()
}

/// Connects an organisation to a source on these terms, or changes the terms.
pub(crate) async fn connect(
    known: &Organization,
    (source, terms): (Source, Terms),
    proof: Proof,
    caller: &Caller,
    context: &Context<'_>,
) -> Result<Connection, ApiError> {
    terms.check(&source)?;
    begin(CONNECT, caller, known, context)?;
    let id = &known.id;
    let before = known.connection(&source).map(|one| &one.mapping);
    let allowed = &context.policy().mapping().roles;
    if matches!(caller, Caller::Person(_)) && !may_be_given(&terms, before, allowed) {
        return Err(ApiError::Body(
            "the registry lets admins give other roles: pick one of the list",
        ));
    }
    let wanted = Connection {
        mapping: terms.mapping(id.clone(), source),
        standing: match proof {
            // That proves one of its people, not that one speaks for all of them.
            Proof::Member { .. } => Standing::AwaitingApproval,
            Proof::DirectoryRole(_)
            | Proof::GitHubOwner
            | Proof::DnsRecord
            | Proof::Operator { .. } => Standing::InForce,
        },
        proof,
        made_by: caller.actor(),
        made_at: context.now,
    };
    let made = domain::claim(store(context), context.policy(), id, &wanted, context.now).await?;
    let event = Event::of_claim(made.standing);
    let source = Some(&made.mapping.source);
    log(event, id, source, &wanted.made_by, context).await?;
    Ok(made)
}

/// Looks whether the issuer's host says so, which proves what awaits approval.
pub(crate) async fn prove(
    known: &Organization,
    source: &Source,
    caller: &Caller,
    context: &Context<'_>,
) -> Result<Connection, ApiError> {
    begin(CONNECT, caller, known, context)?;
    let connection = known.connection(source).ok_or(ApiError::NotConnected)?;
    let record = Record::of(known, connection, context).ok_or(ApiError::NotConnected)?;
    let may = context.broker.limits.may_look_up(&known.id, context.now);
    may.map_err(ApiError::TooMany)?;
    let texts = context.broker.name_servers.texts(&record.host).await;
    let texts = texts.map_err(|error| {
        tracing::warn!(request = %context.request_id, host = record.host, cause = %error, "no answer about a TXT record");
        ApiError::Body("the name servers did not answer about the host: press it again in a minute")
    })?;
    if !record.is_in(&texts) {
        return Err(ApiError::Body(
            "the host has no such TXT record yet: publish exactly what the page shows, at the host itself, and press it again when your name servers have it",
        ));
    }
    let (store, policy) = (store(context), context.policy());
    let token = &record.token;
    let made = domain::prove(store, policy, &known.id, source, token, context.now).await?;
    let (event, actor) = (Event::of_claim(made.standing), caller.actor());
    log(event, &known.id, Some(source), &actor, context).await?;
    Ok(made)
}

/// Ends a connection. An admin can't shut out the last of them; a service, which can let them in again, can.
pub(crate) async fn disconnect(
    known: &Organization,
    source: &Source,
    caller: &Caller,
    context: &Context<'_>,
) -> Result<(), ApiError> {
    begin(CONNECT, caller, known, context)?;
    if matches!(caller, Caller::Person(_)) {
        let effects = shut_out::by_disconnecting(known, source, context).await;
        let effects = effects.map_err(ApiError::Store)?;
        let is_last = shut_out::is_last_shut_out(known, source, &effects, context).await;
        if is_last.map_err(ApiError::Store)? {
            return Err(ApiError::LastAdmin);
        }
    }
    domain::disconnect(store(context), &known.id, source, context.now).await?;
    let (event, actor) = (Event::OrganizationDisconnected, caller.actor());
    log(event, &known.id, Some(source), &actor, context).await
}

/// Approves what awaits it.
pub(crate) async fn approve(
    id: &OrganizationId,
    source: &Source,
    actor: &Actor,
    context: &Context<'_>,
) -> Result<(), ApiError> {
    context.must_be_audited()?;
    let made = domain::approve(store(context), context.policy(), id, source, context.now).await?;
    let event = match made.standing {
        Standing::InForce => Event::ConnectionSettled,
        standing @ (Standing::Disputed | Standing::AwaitingApproval | Standing::Refused) => {
            Event::of_claim(standing)
        }
    };
    log(event, id, Some(source), actor, context).await
}

/// Settles a dispute, or refuses what awaits approval.
pub(crate) async fn settle(
    id: &OrganizationId,
    source: &Source,
    settlement: Settlement,
    actor: &Actor,
    context: &Context<'_>,
) -> Result<(), ApiError> {
    context.must_be_audited()?;
    let (store, policy) = (store(context), context.policy());
    domain::settle(store, policy, id, source, settlement, context.now).await?;
    let event = Event::ConnectionSettled;
    log(event, id, Some(source), actor, context).await
}

/// Lets another organisation have a source too that this one has.
pub(crate) async fn share(
    holder: &Organization,
    with: &OrganizationId,
    source: &Source,
    caller: &Caller,
    context: &Context<'_>,
) -> Result<(), ApiError> {
    begin(CONNECT, caller, holder, context)?;
    let (store, policy) = (store(context), context.policy());
    if !domain::agree(store, policy, &holder.id, with, source, context.now).await? {
        return Err(ApiError::NotConnected);
    }
    let (event, actor) = (Event::ConnectionShared, caller.actor());
    log(event, with, Some(source), &actor, context).await
}

/// Asks operators for an exception.
pub(crate) async fn ask_exception(
    known: &Organization,
    wish: Wish,
    caller: &Caller,
    context: &Context<'_>,
) -> Result<AskedException, ApiError> {
    begin(ASK, caller, known, context)?;
    let policy = context.policy();
    if !wish.waives.iter().all(|tier| needs_something(policy, tier)) {
        return Err(ApiError::Body(
            "`waives` names tiers of the policy that need a second factor",
        ));
    }
    let name = format!("asked-{}", context.broker.entropy.hex::<8>());
    let asked = AskedException {
        name: ExceptionName::new(name).map_err(|_| ApiError::NotFound)?,
        waives: wish.waives,
        reason: wish.reason.trim().to_owned(),
        until: wish.until,
        asked_by: caller.actor(),
        asked_at: context.now,
        answer: None,
    };
    domain::ask(store(context), &known.id, &asked).await?;
    let about = (&known.id, &asked.name);
    log_exception(Event::ExceptionAsked, about, &caller.actor(), context).await?;
    Ok(asked)
}

/// Takes back what was asked for and is not answered.
pub(crate) async fn take_back_exception(
    known: &Organization,
    name: &ExceptionName,
    caller: &Caller,
    context: &Context<'_>,
) -> Result<(), ApiError> {
    begin(ASK, caller, known, context)?;
    domain::take_back(store(context), &known.id, name, context.now).await?;
    let (event, about) = (Event::ExceptionTakenBack, (&known.id, name));
    log_exception(event, about, &caller.actor(), context).await
}

/// An operator's word on what was asked for, by a service of theirs.
pub(crate) async fn answer_exception(
    (id, name): (&OrganizationId, &ExceptionName),
    answer: &Answer,
    context: &Context<'_>,
) -> Result<(), ApiError> {
    context.must_be_audited()?;
    domain::answer(store(context), id, name, answer).await?;
    let event = match answer.verdict {
        Verdict::Granted { .. } => Event::ExceptionGranted,
        Verdict::Refused => Event::ExceptionRefused,
    };
    log_exception(event, (id, name), &answer.by, context).await
}

/// The tiers of which something can be let go.
pub(crate) fn tiers_to_waive(policy: &Policy) -> impl Iterator<Item = &TierName> {
    let tiers = policy.tiers().map(|(name, _)| name);
    tiers.filter(|name| needs_something(policy, name))
}

fn needs_something(policy: &Policy, tier: &TierName) -> bool {
    let requirement = policy.requirement(tier);
    requirement.is_some_and(|requirement| requirement.level > Level::None)
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    pub(crate) waives: BTreeSet<TierName>,
    pub(crate) reason: String,
    pub(crate) until: Date,
}

/// What others claim that this organisation has.
pub(crate) async fn claims_on(
    known: &Organization,
    context: &Context<'_>,
) -> Result<Vec<(Source, Organization)>, StoreError> {
    let mut claims = Vec::new();
    for source in shut_out::connected(known, context) {
        let mut others = domain::others(store(context), &known.id, &source).await?;
        others.retain(|other| {
            let connection = other.connection(&source);
            connection.is_some_and(|one| one.standing == Standing::Disputed)
        });
        claims.extend(others.into_iter().map(|one| (source.clone(), one)));
    }
    Ok(claims)
}

/// Says what became of an exception, in the log and in the audit log.
async fn log_exception(
    event: Event,
    (organization, name): (&OrganizationId, &ExceptionName),
    actor: &Actor,
    context: &Context<'_>,
) -> Result<(), ApiError> {
    tracing::info!(
        code = event.code(),
        request = %context.request_id,
        %organization,
        exception = %name,
        %actor,
        "an exception",
    );
    let happening = Happening::new(event, actor)
        .about(Subject::Organization, organization)
        .about(Subject::Exception, name);
    context.audit_through(happening).await
}

/// Says what was done to an organisation, in the log and in the audit log.
async fn log(
    event: Event,
    organization: &OrganizationId,
    source: Option<&Source>,
    actor: &Actor,
    context: &Context<'_>,
) -> Result<(), ApiError> {
    tracing::info!(
        code = event.code(),
        request = %context.request_id,
        %organization,
        source = source.map(tracing::field::display),
        %actor,
        "an organization has changed",
    );
    let happening = Happening::new(event, actor)
        .about(Subject::Organization, organization)
        .about_any(Subject::Source, source);
    context.audit_through(happening).await
}

fn store<'a>(context: &Context<'a>) -> &'a dyn Store {
    context.broker.store.as_ref()
}

impl From<Unfit> for ApiError {
    fn from(unfit: Unfit) -> Self {
        Self::Body(unfit.message())
    }
}

impl From<ExceptionError> for ApiError {
    fn from(error: ExceptionError) -> Self {
        match error {
            ExceptionError::UnknownOrganization(_) => Self::UnknownOrganization,
            ExceptionError::Unknown(..) => Self::UnknownException,
            ExceptionError::TooMany => Self::Body(
                "an organization has at most 20 exceptions that wait or hold: take one back",
            ),
            ExceptionError::Reason => Self::Body("a reason has 1 to 500 printable characters"),
            ExceptionError::Tiers => Self::Body("say which tiers it is for"),
            ExceptionError::Until => {
                Self::Body("the last day is today or later, and at most two years away")
            }
            ExceptionError::Store(error) => Self::Store(error),
        }
    }
}

impl From<ClaimError> for ApiError {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::UnknownOrganization(_) => Self::UnknownOrganization,
            ClaimError::NotConnected(..) => Self::NotConnected,
            ClaimError::PersonalAccounts => Self::Body(
                "this is the tenant of all personal accounts, which is no organization's",
            ),
            ClaimError::TooMany => Self::Body("an organization has at most 50 connections"),
            ClaimError::NotApproved(..) => {
                Self::Body("it awaits approval: settle it as `approve` or `refuse`")
            }
            ClaimError::InPolicyFile(_) => Self::Body(
                "the policy file gives it to another organization, which would keep it: take it out of its `tenants` there first",
            ),
            ClaimError::Store(error) => Self::Store(error),
        }
    }
}
