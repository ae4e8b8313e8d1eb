//! `/api/v1/organizations`: what a registry tells of its organisations, and what is connected to them.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, web};
use countersign_core::{ExceptionName, OrganizationId, Scope, Source};
use countersign_store::organization::{Answer, Change, Settlement, Terms, Told, Verdict};
use countersign_store::{Actor, Admin, Organization, Proof};
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Value, json};

use super::caller::{Caller, caller, service, staff};
use super::{Body, limit, read_object};
use crate::error::{ApiError, Failure};
use crate::organization::manage::{self, Wish, keep, managed};
use crate::organization::{Listed, Piece, piece_of};
use crate::own::{LOOK, OPERATE};
use crate::web::{Call, Context, Parameters};

/// What a registry's service needs to tell of organisations.
const TELL: &[&str] = &["organizations:write"];
/// What it needs to read them.
const READ: &[&str] = &[
    "organizations:read",
    "organizations:write",
    Scope::TENANTS_WRITE,
    Scope::EXCEPTIONS_REQUEST,
    "exceptions:grant",
    LOOK,
];
/// What anybody needs to connect one.
const CONNECT: &[&str] = &[Scope::TENANTS_WRITE, OPERATE];

/// What anybody needs to ask for an exception.
const REQUEST: &[&str] = &[Scope::EXCEPTIONS_REQUEST];
/// What an operator needs to answer, or a service of theirs.
const GRANT: &[&str] = &["exceptions:grant", OPERATE];

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
    settlement: SettledAs,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SettledAs {
    Share,
    Transfer,
    Refuse,
    Approve,
}

impl SettledAs {
    /// What it does to a dispute; `None` approves what is none.
    fn as_told(&self) -> Option<Settlement> {
        match self {
            Self::Share => Some(Settlement::Share),
            Self::Transfer => Some(Settlement::Transfer),
            Self::Refuse => Some(Settlement::Refuse),
            Self::Approve => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case", deny_unknown_fields)]
enum Said {
    Granted { until: Date, reason: String },
    Refused { reason: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Agreed {
    with: OrganizationId,
}

type Id = web::Path<String>;
type IdAndSource = web::Path<(String, String)>;
type IdAndException = web::Path<(String, String)>;

/// GET: a page of the list; a person's are those that they administer.
pub(super) async fn list(call: Call) -> HttpResponse {
    call.answer(async |context| {
        let parameters = context.query();
        let caller = caller(READ, context).await?;
        let listed = match &caller {
            Caller::Person(person) => Listed::AdministeredBy(person.names()),
            Caller::Service(_) | Caller::Operator(_) => match parameters.one("asking") {
                Some("true") => Listed::Asking,
                Some(_) | None => Listed::All,
            },
        };
        let piece = piece(&parameters)?;
        let found = piece_of(listed, &piece, context).await;
        let found = found.map_err(ApiError::Store)?;
        let next = found.last().filter(|_| found.len() == piece.limit);
        let told: Vec<Value> = found.iter().map(|one| shown(one, context)).collect();
        let next = next.map(|one| &one.id);
        Ok(HttpResponse::Ok().json(json!({"organizations": told, "next": next})))
    })
    .await
}

/// Which piece of the list is asked for.
fn piece(parameters: &Parameters) -> Result<Piece, ApiError> {
    let limit = limit(parameters)?;
    let after = parameters.one("after").map(OrganizationId::new).transpose();
    let after = after.map_err(|_| ApiError::Body("`after` is no organization's name"))?;
    let begins_with = parameters
        .one("begins_with")
        .filter(|text| !text.is_empty());
    let begins_with = begins_with.map(OrganizationId::new).transpose();
    Ok(Piece {
        begins_with: begins_with.map_err(|_| ApiError::Body("no organization's name begins so"))?,
        after,
        limit,
    })
}

/// GET: one.
pub(super) async fn show(call: Call, id: Id) -> HttpResponse {
    call.answer(async |context| {
        let caller = caller(READ, context).await?;
        let found = managed(&caller, &parse(&id)?, context).await?;
        Ok(HttpResponse::Ok().json(shown(&found, context)))
    })
    .await
}

/// PUT: a registry tells of one.
pub(super) async fn tell(call: Call, id: Id, body: Body) -> HttpResponse {
    call.answer(async |context| {
        let client = service(TELL, context).await?;
        let told: Told = read_object(body)?;
        let (change, kept) = keep(&parse(&id)?, &told, &client.into(), context).await?;
        let mut answer = match change {
            Change::Created => HttpResponse::Created(),
            Change::Changed | Change::Unchanged => HttpResponse::Ok(),
        };
        Ok(answer.json(shown(&kept, context)))
    })
    .await
}

/// POST: a registry tells of many. Each is done or refused for itself, so that a wrong one holds up no other.
pub(super) async fn tell_many(call: Call, body: Body) -> HttpResponse {
    call.answer(async |context| {
        let client = service(TELL, context).await?;
        let many: Many = read_object(body)?;
        if many.organizations.len() > MOST_AT_ONCE {
            return Err(ApiError::Body("at most 1000 organizations at once").into());
        }
        let actor = Actor::from(client);
        let mut results = Vec::new();
        for one in many.organizations {
            results.push(tell_one(one, &actor, context).await?);
        }
        Ok(HttpResponse::Ok().json(json!({ "results": results })))
    })
    .await
}

async fn tell_one(one: Value, actor: &Actor, context: &Context<'_>) -> Result<Value, Failure> {
    let named = one.get("id").cloned().unwrap_or(Value::Null);
    let refused = |error: &ApiError| json!({"id": named, "result": "refused", "code": error.code(), "message": error.message()});
    let Ok(ToldOf { id, title, admins }) = serde_json::from_value(one) else {
        return Ok(refused(&ApiError::Body(OF_TOLD)));
    };
    match keep(&id, &Told { title, admins }, actor, context).await {
        Ok((change, _)) => Ok(json!({"id": id, "result": change})),
        Err(error @ ApiError::Body(_)) => Ok(refused(&error)),
        Err(error) => Err(error.into()),
    }
}

const OF_TOLD: &str = "expected `id`, and if you like `title` (text) and `admins` (a list of `account:ID` and `registry-account:NAME`)";

/// DELETE: the registry has it no more. Whoever belonged to it belongs to it no more.
pub(super) async fn forget(call: Call, id: Id) -> HttpResponse {
    call.answer(async |context| {
        let client = service(TELL, context).await?;
        manage::forget(&parse(&id)?, &client.into(), context).await?;
        Ok(HttpResponse::NoContent().finish())
    })
    .await
}

/// PUT: connects one by the word of a service or an operator, or changes what a connection says. A person does that in the browser, by
/// signing in to what is connected.
pub(super) async fn connect(call: Call, path: IdAndSource, body: Body) -> HttpResponse {
    call.answer(async |context| {
        let caller = staff(CONNECT, context).await?;
        let (id, source) = parse_both(&path)?;
        let terms: Terms = read_object(body)?;
        let known = managed(&caller, &id, context).await?;
        let proof = match known.connection(&source).map(|before| &before.proof) {
            Some(Proof::Member { .. }) | None => Proof::Operator {
                reason: terms.reason().map_err(ApiError::from)?.to_owned(),
            },
            Some(before) => before.clone(),
        };
        let wanted = (source, terms);
        let made = manage::connect(&known, wanted, proof, &caller, context).await?;
        Ok(HttpResponse::Ok().json(json!(made)))
    })
    .await
}

/// DELETE: ends a connection.
pub(super) async fn disconnect(call: Call, path: IdAndSource) -> HttpResponse {
    call.answer(async |context| {
        let caller = caller(CONNECT, context).await?;
        let (id, source) = parse_both(&path)?;
        let known = managed(&caller, &id, context).await?;
        manage::disconnect(&known, &source, &caller, context).await?;
        Ok(HttpResponse::NoContent().finish())
    })
    .await
}

/// POST: a service or an operator settles a dispute, or approves what awaits it.
pub(super) async fn settle(call: Call, path: IdAndSource, body: Body) -> HttpResponse {
    call.answer(async |context| {
        let actor = staff(CONNECT, context).await?.actor();
        let (id, source) = parse_both(&path)?;
        let told: Settled = read_object(body)?;
        let settlement = told.settlement.as_told();
        match settlement {
            Some(settlement) => manage::settle(&id, &source, settlement, &actor, context).await?,
            None => manage::approve(&id, &source, &actor, context).await?,
        }
        Ok(HttpResponse::NoContent().finish())
    })
    .await
}

/// POST: an admin of the organisation that has a source lets another have it too.
pub(super) async fn agree(call: Call, path: IdAndSource, body: Body) -> HttpResponse {
    call.answer(async |context| {
        let caller = caller(CONNECT, context).await?;
        let (holder, source) = parse_both(&path)?;
        let Agreed { with } = read_object(body)?;
        let holder = managed(&caller, &holder, context).await?;
        manage::share(&holder, &with, &source, &caller, context).await?;
        Ok(HttpResponse::NoContent().finish())
    })
    .await
}

/// POST: an organisation asks for an exception.
pub(super) async fn ask_exception(call: Call, id: Id, body: Body) -> HttpResponse {
    call.answer(async |context| {
        let caller = caller(REQUEST, context).await?;
        let id = parse(&id)?;
        let wish: Wish = read_object(body)?;
        let known = managed(&caller, &id, context).await?;
        let asked = manage::ask_exception(&known, wish, &caller, context).await?;
        Ok(HttpResponse::Created().json(asked))
    })
    .await
}

/// PUT: an operator answers, or a service of theirs.
pub(super) async fn answer_exception(call: Call, path: IdAndException, body: Body) -> HttpResponse {
    call.answer(async |context| {
        let by = staff(GRANT, context).await?.actor();
        let (id, name) = parse_exception(&path)?;
        let said: Said = read_object(body)?;
        let (verdict, reason) = match said {
            Said::Granted { until, reason } => (Verdict::Granted { until }, reason),
            Said::Refused { reason } => (Verdict::Refused, reason),
        };
        let answer = Answer {
            verdict,
            reason: reason.trim().to_owned(),
            by,
            at: context.now,
        };
        manage::answer_exception((&id, &name), &answer, context).await?;
        Ok(HttpResponse::NoContent().finish())
    })
    .await
}

/// DELETE: an organisation takes back what is not answered.
pub(super) async fn take_back_exception(call: Call, path: IdAndException) -> HttpResponse {
    call.answer(async |context| {
        let caller = caller(REQUEST, context).await?;
        let (id, name) = parse_exception(&path)?;
        let known = managed(&caller, &id, context).await?;
        manage::take_back_exception(&known, &name, &caller, context).await?;
        Ok(HttpResponse::NoContent().finish())
    })
    .await
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

fn parse_exception(
    (id, name): &(String, String),
) -> Result<(OrganizationId, ExceptionName), ApiError> {
    let name = ExceptionName::new(name.as_str()).map_err(|_| ApiError::UnknownException)?;
    Ok((parse(id)?, name))
}

fn parse_both((id, source): &(String, String)) -> Result<(OrganizationId, Source), ApiError> {
    let expected = "a connection is to `tenant:ID`, `github:HOST:NUMBER` or `issuer:URL`";
    let source = source.parse().map_err(|_| ApiError::Body(expected))?;
    Ok((parse(id)?, source))
}
