//! `/api/v1/api-keys`: people see, make and revoke their own; operators, and services with `api-keys:manage`, see and revoke
//! everybody's, and import those that were made before.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, web};
use countersign_core::api_keys::PackagePattern;
use countersign_core::{ApiKeyId, Basis, ClientId, OrganizationId, Scope};
use countersign_store::{ApiKey, KeyOwner, MadeBy, StoreError, all_keys_of};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::caller::{Caller, Person, caller, staff};
use super::{Body, limit, read_object};
use crate::api_key::import::{ImportedKey, Outcome, import};
use crate::api_key::{self, Making, NotMade, make, name_of, revoke};
use crate::audit::{By, Event, Happening, Subject};
use crate::error::{ApiError, Failure};
use crate::own::{LOOK, MAKE_KEYS, OPERATE};
use crate::web::{Call, Context};

/// What a service needs to see, revoke and import keys.
const MANAGE: &str = "api-keys:manage";
/// What it takes to see keys.
const READ: &[&str] = &[MAKE_KEYS, MANAGE, LOOK];
/// What it takes to revoke one.
const REVOKE: &[&str] = &[MAKE_KEYS, MANAGE, OPERATE];
/// What it takes to import some.
const IMPORT: &[&str] = &[MANAGE, OPERATE];
/// How many are imported by one request.
const MOST_IMPORTED: usize = 500;

/// A key, as it is told of: never what it is known by.
#[derive(Debug, Serialize)]
struct Told {
    id: ApiKeyId,
    owner: KeyOwner,
    name: String,
    client: ClientId,
    scopes: BTreeSet<Scope>,
    packages: BTreeSet<PackagePattern>,
    organization: Option<OrganizationId>,
    made_by: MadeBy,
    made_at: Timestamp,
    /// The level of the sign-in that it was made under.
    level: Option<String>,
    basis: Option<Basis>,
    ends_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    last_used_on: Option<Date>,
    /// The end that its owner is to be told of.
    sunset: Option<Timestamp>,
    first_notice_at: Option<Timestamp>,
}

impl Told {
    fn of(key: ApiKey, context: &Context<'_>) -> Self {
        let policy = context.policy();
        let sunset = api_key::notice(&key, policy, context.now);
        let under = key.under.as_ref();
        Self {
            ends_at: api_key::ends_at(&key, policy),
            sunset: sunset.map(|notice| notice.end),
            level: under.map(|under| under.level.as_str().to_owned()),
            basis: under.and_then(|under| under.basis),
            id: key.id,
            owner: key.owner,
            name: key.name,
            client: key.client,
            scopes: key.scopes,
            packages: key.packages,
            organization: key.organization,
            made_by: key.made_by,
            made_at: key.made_at,
            revoked_at: key.revoked_at,
            last_used_on: key.last_used_on,
            first_notice_at: key.first_notice_at,
        }
    }
}

/// GET: one's own; for services and operators a page of all, in the order of the ids.
pub(super) async fn list(call: Call) -> HttpResponse {
    call.answer(async |context| {
        let found = match caller(READ, context).await? {
            Caller::Person(person) => (of_person(&person, context).await?, None),
            Caller::Service(_) | Caller::Operator(_) => page(context).await?,
        };
        let (keys, next) = found;
        let keys: Vec<Told> = keys.into_iter().map(|key| Told::of(key, context)).collect();
        Ok(HttpResponse::Ok().json(json!({"api_keys": keys, "next": next})))
    })
    .await
}

async fn of_person(person: &Person, context: &Context<'_>) -> Result<Vec<ApiKey>, ApiError> {
    let store = context.broker.store.as_ref();
    let keys = all_keys_of(store, person.owner()).await;
    keys.map_err(ApiError::Store)
}

async fn page(context: &Context<'_>) -> Result<(Vec<ApiKey>, Option<ApiKeyId>), ApiError> {
    let parameters = context.query();
    let limit = limit(&parameters)?;
    let after = parameters.one("after").map(ApiKeyId::new).transpose();
    let after = after.map_err(|_| ApiError::Body("`after` is no API key's id"))?;
    let store = context.broker.store.as_ref();
    let found = store.list_api_keys(after.as_ref(), limit).await;
    let found = found.map_err(ApiError::Store)?;
    let next = found.last().filter(|_| found.len() == limit);
    let next = next.map(|key| key.id.clone());
    Ok((found, next))
}

/// What a key is to be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    name: String,
    client: ClientId,
    scopes: BTreeSet<Scope>,
    #[serde(default)]
    packages: BTreeSet<PackagePattern>,
    organization: Option<OrganizationId>,
    days: Option<u16>,
}

/// POST: a person makes a key. It is told this once.
pub(super) async fn make_one(call: Call, body: Body) -> HttpResponse {
    call.answer(async |context| {
        let Caller::Person(person) = caller(&[MAKE_KEYS], context).await? else {
            let message = "a key is made by the person whose it is";
            return Err(ApiError::Forbidden(message).into());
        };
        let asked: Asked = read_object(body)?;
        context.must_be_audited()?;
        let name = name_of(&asked.name);
        let lifetime = asked.days.map(|days| i64::from(days) * 24);
        let making = Making {
            account: person.owner(),
            evidence: person.evidence(),
            name: name.ok_or(ApiError::Body("`name` is one line of 1 to 80 characters"))?,
            client: asked.client,
            scopes: asked.scopes,
            packages: asked.packages,
            organization: asked.organization,
            lifetime: lifetime.map(SignedDuration::from_hours),
            made_by: MadeBy::Api,
        };
        let made = make(making, context).await.map_err(ApiError::Store)?;
        let made = made.map_err(|why| not_made(&why))?;
        let text = made.text.reveal().to_owned();
        let told = Told::of(made.key, context);
        Ok(HttpResponse::Created().json(json!({"key": text, "api_key": told})))
    })
    .await
}

fn not_made(why: &NotMade) -> ApiError {
    match why {
        NotMade::Login(_) => ApiError::SignInNotEnough,
        NotMade::Off | NotMade::Client | NotMade::Scopes | NotMade::Packages | NotMade::TooMany => {
            ApiError::Body(why.sentence())
        }
    }
}

/// DELETE: a key is good for nothing any more.
pub(super) async fn revoke_one(call: Call, id: web::Path<String>) -> HttpResponse {
    call.answer(async |context| {
        let caller = caller(REVOKE, context).await?;
        let id = ApiKeyId::new(id.into_inner()).map_err(|_| ApiError::UnknownApiKey)?;
        let because = match &caller {
            Caller::Person(person) => {
                must_be_theirs(&id, person, context).await?;
                "by-owner"
            }
            Caller::Service(_) | Caller::Operator(_) => {
                let found = context.broker.store.api_key(&id).await;
                found
                    .map_err(ApiError::Store)?
                    .ok_or(ApiError::UnknownApiKey)?;
                "by-registry"
            }
        };
        context.must_be_audited()?;
        let revoked = revoke(&id, &caller.actor(), because, context).await;
        revoked.map_err(ApiError::Store)?;
        Ok(HttpResponse::NoContent().finish())
    })
    .await
}

async fn must_be_theirs(
    id: &ApiKeyId,
    person: &Person,
    context: &Context<'_>,
) -> Result<(), Failure> {
    let theirs = of_person(person, context).await?;
    if theirs.iter().any(|key| key.id == *id) {
        Ok(())
    } else {
        Err(ApiError::UnknownApiKey.into())
    }
}

/// Keys that were made before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Imports {
    api_keys: Vec<ImportedKey>,
}

/// POST: keys of the registry's own, by their digests. One that is known already stays as it is.
pub(super) async fn import_many(call: Call, body: Body) -> HttpResponse {
    call.answer(async |context| {
        let actor = staff(IMPORT, context).await?.actor();
        let Imports { api_keys } = read_object(body)?;
        if api_keys.len() > MOST_IMPORTED {
            return Err(ApiError::Body("at most 500 keys at once").into());
        }
        context.must_be_audited()?;
        let imported = import_all(api_keys, context)
            .await
            .map_err(ApiError::Store)?;
        let happening = Happening::new(Event::ApiKeysImported, By::from(&actor))
            .about(Subject::Count, imported);
        context.audit_through(happening).await?;
        Ok(HttpResponse::Ok().json(json!({"imported": imported})))
    })
    .await
}

async fn import_all(keys: Vec<ImportedKey>, context: &Context<'_>) -> Result<usize, StoreError> {
    let mut imported = 0;
    for key in keys {
        let outcome = import(context.broker.store.as_ref(), key, context.now).await?;
        imported += usize::from(outcome == Outcome::Imported);
    }
    Ok(imported)
}
