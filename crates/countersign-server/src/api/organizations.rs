//! `/api/v1/organizations`: what a registry tells of its organisations, and what is connected to them.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::{HttpRequest, HttpResponse, web};
use countersign_core::{OrganizationId, Source};
use countersign_store::organization::{
    self, Change, ClaimError, Settlement, TellError, Terms, Told, Unfit,
};
use countersign_store::{
    Actor, Admin, Connection, Organization, Proof, Signpost, Standing, organizations_by,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::caller::{Caller, caller, service};
use super::read_object;
use crate::Broker;
use crate::audit::{Event, Happening, Subject};
use crate::error::{ApiError, Failure};
use crate::web::{Context, Parameters};

/// What a registry's service needs to tell of organisations.
const TELL: &[&str] = &["organizations:write"];
/// What it needs to read them.
const READ: &[&str] = &["organizations:read", "organizations:write", "tenants:write"];
/// What anybody needs to connect one.
const CONNECT: &[&str] = &["tenants:write"];

/// How many are listed unless more are asked for, and the most that can be.
const PAGE: usize = 100;
const LONGEST_PAGE: usize = 1000;
/// The most that are told of in one request.
const MOST_AT_ONCE: usize = 1000;
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldOf {
    id: OrganizationId,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    admins: BTreeSet<Admin>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Many {
    organizations: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settled {
    settlement: Verdict,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Share,
    Transfer,
    Refuse,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Agreed {
    with: OrganizationId,
}

type Id = web::Path<String>;
type IdAndSource = web::Path<(String, String)>;
type Body = Result<web::Bytes, actix_web::Error>;

/// GET: a page of the list; a person's are those that they administer.
pub(super) async fn list(request: HttpRequest, broker: web::Data<Broker>) -> HttpResponse {
    let context = Context::new(&request, &broker);
    let answer = async {
        let parameters = Parameters::read(request.query_string().as_bytes());
        match caller(READ, &context).await? {
            Caller::Service(_) => page_of_all(&parameters, &context).await,
            Caller::Person(_, names) => page_of_theirs(&names, &context).await,
        }
    };
    context.answer(answer.await)
}

async fn page_of_all(
    parameters: &Parameters,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let limit = match parameters.one("limit").map(str::parse::<usize>) {
        None => PAGE,
        Some(Ok(limit)) if (1..=LONGEST_PAGE).contains(&limit) => limit,
        Some(_) => return Err(ApiError::Body("`limit` is a number from 1 to 1000").into()),
    };
    let after = parameters.one("after").map(OrganizationId::new).transpose();
    let after = after.map_err(|_| ApiError::Body("`after` is no organization's name"))?;
    let begins_with = parameters.one("begins_with").unwrap_or_default();
    let found = beginning_with(begins_with, after.as_ref(), limit, context).await?;
    let next = found.last().filter(|_| found.len() == limit);
    let organizations: Vec<Value> = found.iter().map(|one| shown(one, context)).collect();
    Ok(HttpResponse::Ok().json(json!({
        "organizations": organizations,
        "next": next.map(|one| &one.id),
    })))
}

/// Organisations whose names begin so, in order. All of them stand together in the list.
pub(crate) async fn beginning_with(
    begins_with: &str,
    after: Option<&OrganizationId>,
    limit: usize,
    context: &Context<'_>,
) -> Result<Vec<Organization>, Failure> {
    let store = &context.broker.store;
    let first = OrganizationId::new(begins_with).ok();
    let mut found = Vec::new();
    if let (None, Some(first)) = (after, &first) {
        // What a list begins after is not in it.
        let exact = store.organization(first).await.map_err(ApiError::Store)?;
        found.extend(exact.map(|(exact, _)| exact));
    }
    let after = after.max(first.as_ref());
    let rest = store
        .list_organizations(after, limit - found.len().min(limit))
        .await;
    found.extend(rest.map_err(ApiError::Store)?);
    found.retain(|one| one.id.as_str().starts_with(begins_with));
    found.truncate(limit);
    Ok(found)
}

async fn page_of_theirs(names: &[Admin], context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let theirs = administered_by(names, context).await?;
    let organizations: Vec<Value> = theirs.iter().map(|one| shown(one, context)).collect();
    Ok(HttpResponse::Ok().json(json!({"organizations": organizations, "next": null})))
}

/// The organisations that somebody with these names administers, in order.
pub(crate) async fn administered_by(
    names: &[Admin],
    context: &Context<'_>,
) -> Result<Vec<Organization>, Failure> {
    let mut theirs = BTreeMap::new();
    for name in names {
        let post = Signpost::Admin(name.clone());
        let found = organizations_by(context.broker.store.as_ref(), &post).await;
        let found = found.map_err(ApiError::Store)?;
        theirs.extend(found.into_iter().map(|one| (one.id.clone(), one)));
    }
    Ok(theirs.into_values().collect())
}

/// GET: one.
pub(super) async fn show(request: HttpRequest, id: Id, broker: web::Data<Broker>) -> HttpResponse {
    let context = Context::new(&request, &broker);
    let answer = async {
        let caller = caller(READ, &context).await?;
        let found = managed(&caller, &parse(&id)?, &context).await?;
        Ok(HttpResponse::Ok().json(shown(&found, &context)))
    };
    context.answer(answer.await)
}

/// PUT: a registry tells of one.
pub(super) async fn tell(
    request: HttpRequest,
    id: Id,
    body: Body,
    broker: web::Data<Broker>,
) -> HttpResponse {
    let context = Context::new(&request, &broker);
    let answer = async {
        let client = service(TELL, &context).await?;
        let told: Told = read_object(&body.map_err(|error| ApiError::of_body(&error))?)?;
        let (change, kept) = keep(&parse(&id)?, &told, &client.into(), &context).await?;
        let mut answer = match change {
            Change::Created => HttpResponse::Created(),
            Change::Changed | Change::Unchanged => HttpResponse::Ok(),
        };
        Ok(answer.json(shown(&kept, &context)))
    };
    context.answer(answer.await)
}

/// POST: a registry tells of many. Each is done or refused for itself, so that a wrong one holds up no other.
pub(super) async fn tell_many(
    request: HttpRequest,
    body: Body,
    broker: web::Data<Broker>,
) -> HttpResponse {
    let context = Context::new(&request, &broker);
    let answer = async {
        let client = service(TELL, &context).await?;
        let many: Many = read_object(&body.map_err(|error| ApiError::of_body(&error))?)?;
        if many.organizations.len() > MOST_AT_ONCE {
            return Err(ApiError::Body("at most 1000 organizations at once").into());
        }
        let actor = Actor::from(client);
        let mut results = Vec::new();
        for one in many.organizations {
            results.push(tell_one(one, &actor, &context).await?);
        }
        Ok(HttpResponse::Ok().json(json!({ "results": results })))
    };
    context.answer(answer.await)
}

async fn tell_one(one: Value, actor: &Actor, context: &Context<'_>) -> Result<Value, Failure> {
    let named = one.get("id").cloned().unwrap_or(Value::Null);
    let refused = |error: &ApiError| json!({"id": named, "result": "refused", "code": error.code(), "message": error.message()});
    let Ok(ToldOf { id, title, admins }) = serde_json::from_value(one) else {
        return Ok(refused(&ApiError::Body(OF_TOLD)));
    };
    match keep(&id, &Told { title, admins }, actor, context).await {
        Ok((change, _)) => Ok(json!({"id": id, "result": change})),
        Err(Failure::Api(error @ ApiError::Body(_))) => Ok(refused(&error)),
        Err(failure) => Err(failure),
    }
}

const OF_TOLD: &str = "expected `id`, and if you like `title` (text) and `admins` (a list of `account:ID` and `registry-account:NAME`)";

/// Keeps what is told of an organisation. What it is connected to stays.
pub(crate) async fn keep(
    id: &OrganizationId,
    told: &Told,
    actor: &Actor,
    context: &Context<'_>,
) -> Result<(Change, Organization), Failure> {
    context.must_be_audited()?;
    let store = context.broker.store.as_ref();
    let told = organization::tell(store, id, told, actor, context.now).await;
    let (change, kept) = told.map_err(|error| match error {
        TellError::Unfit(unfit) => ApiError::from(unfit),
        TellError::Store(error) => ApiError::Store(error),
    })?;
    if change != Change::Unchanged {
        log(Event::OrganizationTold, id, None, actor, context).await?;
    }
    Ok((change, kept))
}

/// DELETE: the registry has it no more. Whoever belonged to it belongs to it no more.
pub(super) async fn forget(
    request: HttpRequest,
    id: Id,
    broker: web::Data<Broker>,
) -> HttpResponse {
    let context = Context::new(&request, &broker);
    let answer = async {
        let client = service(TELL, &context).await?;
        let id = parse(&id)?;
        context.must_be_audited()?;
        let store = context.broker.store.as_ref();
        organization::forget(store, &id)
            .await
            .map_err(ApiError::Store)?;
        log(
            Event::OrganizationForgotten,
            &id,
            None,
            &client.into(),
            &context,
        )
        .await?;
        Ok(HttpResponse::NoContent().finish())
    };
    context.answer(answer.await)
}

/// PUT: connects one by the word of a service, or changes what a connection says.
pub(super) async fn connect(
    request: HttpRequest,
    path: IdAndSource,
    body: Body,
    broker: web::Data<Broker>,
) -> HttpResponse {
    let context = Context::new(&request, &broker);
    let answer = async {
        let caller = caller(CONNECT, &context).await?;
        let (id, source) = parse_both(&path)?;
        let terms: Terms = read_object(&body.map_err(|error| ApiError::of_body(&error))?)?;
        let known = managed(&caller, &id, &context).await?;
        let proof = match (&caller, known.connection(&source)) {
            (_, Some(before)) => before.proof.clone(),
            (Caller::Service(_), None) => Proof::Operator {
                reason: terms.reason().map_err(ApiError::from)?.to_owned(),
            },
            (Caller::Person(..), None) => {
                return Err(ApiError::Forbidden(
                    "a person connects a tenant in the browser, by signing in to it",
                )
                .into());
            }
        };
        let wanted = wanted(&id, source, terms, (proof, caller.actor()), &context)?;
        let made = claim(&id, &wanted, &context).await?;
        Ok(HttpResponse::Ok().json(json!(made)))
    };
    context.answer(answer.await)
}

/// A connection with these terms, if they can be met at all.
pub(crate) fn wanted(
    id: &OrganizationId,
    source: Source,
    terms: Terms,
    (proof, made_by): (Proof, Actor),
    context: &Context<'_>,
) -> Result<Connection, Failure> {
    terms.check(&source).map_err(ApiError::from)?;
    Ok(Connection {
        mapping: terms.mapping(id.clone(), source),
        standing: Standing::InForce,
        proof,
        made_by,
        made_at: context.now,
    })
}

impl From<Unfit> for ApiError {
    fn from(unfit: Unfit) -> Self {
        Self::Body(unfit.message())
    }
}

/// Connects, and writes it down.
pub(crate) async fn claim(
    id: &OrganizationId,
    wanted: &Connection,
    context: &Context<'_>,
) -> Result<Connection, Failure> {
    context.must_be_audited()?;
    let store = context.broker.store.as_ref();
    let made = organization::claim(store, id, wanted)
        .await
        .map_err(refused)?;
    let code = match made.standing {
        Standing::InForce => Event::OrganizationConnected,
        Standing::Disputed => Event::ConnectionDisputed,
        Standing::AwaitingApproval => Event::ConnectionAwaitsApproval,
    };
    log(
        code,
        id,
        Some(&made.mapping.source),
        &wanted.made_by,
        context,
    )
    .await?;
    Ok(made)
}

/// DELETE: ends a connection.
pub(super) async fn disconnect(
    request: HttpRequest,
    path: IdAndSource,
    broker: web::Data<Broker>,
) -> HttpResponse {
    let context = Context::new(&request, &broker);
    let answer = async {
        let caller = caller(CONNECT, &context).await?;
        let (id, source) = parse_both(&path)?;
        managed(&caller, &id, &context).await?;
        context.must_be_audited()?;
        let store = context.broker.store.as_ref();
        let ended = organization::disconnect(store, &id, &source).await;
        ended.map_err(refused)?;
        log(
            Event::OrganizationDisconnected,
            &id,
            Some(&source),
            &caller.actor(),
            &context,
        )
        .await?;
        Ok(HttpResponse::NoContent().finish())
    };
    context.answer(answer.await)
}

/// POST: a service settles a dispute, or approves what awaits it.
pub(super) async fn settle(
    request: HttpRequest,
    path: IdAndSource,
    body: Body,
    broker: web::Data<Broker>,
) -> HttpResponse {
    let context = Context::new(&request, &broker);
    let answer = async {
        let client = service(CONNECT, &context).await?;
        let (id, source) = parse_both(&path)?;
        let told: Settled = read_object(&body.map_err(|error| ApiError::of_body(&error))?)?;
        let settlement = match told.settlement {
            Verdict::Share => Settlement::Share,
            Verdict::Transfer => Settlement::Transfer,
            Verdict::Refuse => Settlement::Refuse,
        };
        context.must_be_audited()?;
        let store = context.broker.store.as_ref();
        let settled = organization::settle(store, &id, &source, settlement).await;
        settled.map_err(refused)?;
        log(
            Event::ConnectionSettled,
            &id,
            Some(&source),
            &client.into(),
            &context,
        )
        .await?;
        Ok(HttpResponse::NoContent().finish())
    };
    context.answer(answer.await)
}

/// POST: an admin of the organisation that has a source lets another have it too.
pub(super) async fn agree(
    request: HttpRequest,
    path: IdAndSource,
    body: Body,
    broker: web::Data<Broker>,
) -> HttpResponse {
    let context = Context::new(&request, &broker);
    let answer = async {
        let caller = caller(CONNECT, &context).await?;
        let (holder, source) = parse_both(&path)?;
        let Agreed { with } = read_object(&body.map_err(|error| ApiError::of_body(&error))?)?;
        managed(&caller, &holder, &context).await?;
        context.must_be_audited()?;
        let store = context.broker.store.as_ref();
        let agreed = organization::agree(store, &holder, &with, &source).await;
        if !agreed.map_err(refused)? {
            return Err(ApiError::NotConnected.into());
        }
        log(
            Event::ConnectionShared,
            &with,
            Some(&source),
            &caller.actor(),
            &context,
        )
        .await?;
        Ok(HttpResponse::NoContent().finish())
    };
    context.answer(answer.await)
}

/// The organisation, if it is there and the caller's to manage. Who may not know of it is told that it is not there.
pub(crate) async fn managed(
    caller: &Caller,
    id: &OrganizationId,
    context: &Context<'_>,
) -> Result<Organization, Failure> {
    let found = context.broker.store.organization(id).await;
    let found = found.map_err(ApiError::Store)?;
    found
        .map(|(found, _)| found)
        .filter(|found| caller.may_manage(found))
        .ok_or_else(|| ApiError::UnknownOrganization.into())
}

pub(crate) fn refused(error: ClaimError) -> Failure {
    match error {
        ClaimError::UnknownOrganization(_) => ApiError::UnknownOrganization,
        ClaimError::NotConnected(..) => ApiError::NotConnected,
        ClaimError::PersonalAccounts => ApiError::Body(
            "this is the tenant of all personal accounts, which is no organization's",
        ),
        ClaimError::TooMany => ApiError::Body("an organization has at most 50 connections"),
        ClaimError::Store(error) => ApiError::Store(error),
    }
    .into()
}

/// What is in force of an organisation, and why.
fn shown(organization: &Organization, context: &Context<'_>) -> Value {
    let mut told = json!(organization);
    let policy = context.policy();
    let in_file = policy.organization(&organization.id);
    let tenants = in_file.map(|rule| &rule.tenants);
    told["policy"] = json!({
        "tenants": tenants.cloned().unwrap_or_default(),
        "stricter": in_file.map(|rule| rule.stricter.keys().collect::<Vec<_>>()).unwrap_or_default(),
    });
    told
}

fn parse(id: &str) -> Result<OrganizationId, ApiError> {
    OrganizationId::new(id).map_err(|_| ApiError::UnknownOrganization)
}

fn parse_both((id, source): &(String, String)) -> Result<(OrganizationId, Source), ApiError> {
    let expected = "a connection is to `tenant:ID`, `github:HOST:NUMBER` or `issuer:URL`";
    let source = source.parse().map_err(|_| ApiError::Body(expected))?;
    Ok((parse(id)?, source))
}

/// Says what was done to an organisation, in the log and in the audit log.
pub(crate) async fn log(
    event: Event,
    organization: &OrganizationId,
    source: Option<&Source>,
    actor: &Actor,
    context: &Context<'_>,
) -> Result<(), Failure> {
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
    Ok(context.audit_through(happening).await?)
}
