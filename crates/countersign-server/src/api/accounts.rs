//! `/api/v1/accounts`: operators, and services of theirs, see accounts, lock them, end their sessions and have them
//! forgotten; `…/verified-email`: the registry vouches for an address, or takes that back.
//!
//! What it vouched for counts as verified whatever the provider says, so only clients that the
//! configuration trusts with it (`vouches = true`) may.

use actix_web::{HttpResponse, web};
use countersign_core::{AccountId, ClientId};
use countersign_store::{Account, EmailAddress, RegistryAccountName, VouchedEmail, change_account};
use serde::Deserialize;
use serde_json::json;

use super::caller::staff;
use super::{Body, limit, read_object};
use crate::account::{self, Known, KnownWhole};
use crate::audit::{Event, Happening, Subject};
use crate::error::{ApiError, Failure};
use crate::own::{LOOK, OPERATE};
use crate::token::authenticate;
use crate::web::{Call, Context, Parameters};

/// What it takes to see accounts.
const READ: &[&str] = &[LOOK];
/// What it takes to change one.
const WRITE: &[&str] = &[OPERATE];
/// What it takes to have somebody forgotten.
const ERASE: &[&str] = &["accounts:erase", OPERATE];

/// GET: a page of the list, in the order of the ids; or the one that the registry calls so.
pub(super) async fn list(call: Call) -> HttpResponse {
    call.answer(async |context| {
        staff(READ, context).await?;
        let parameters = context.query();
        let store = context.broker.store.as_ref();
        if let Some(name) = parameters.one("registry_account") {
            let name = RegistryAccountName::new(name);
            let name = name.map_err(|_| ApiError::Body("`registry_account` is no name"))?;
            let found = of_registry_account(&name, context).await?;
            return Ok(listing(found.into_iter().collect(), None));
        }
        let limit = limit(&parameters)?;
        let after = parameters.one("after").map(AccountId::new).transpose();
        let after = after.map_err(|_| ApiError::Body("`after` is no account's id"))?;
        let found = store.list_accounts(after.as_ref(), limit).await;
        let found = found.map_err(ApiError::Store)?;
        let next = found.last().filter(|_| found.len() == limit);
        let next = next.map(|one| one.id.clone());
        Ok(listing(found, next.as_ref()))
    })
    .await
}

/// The account of whom the registry calls so, once they have shown who they are.
async fn of_registry_account(
    name: &RegistryAccountName,
    context: &Context<'_>,
) -> Result<Option<Account>, ApiError> {
    let store = context.broker.store.as_ref();
    let registry = store
        .registry_account(name)
        .await
        .map_err(ApiError::Store)?;
    let Some(id) = registry.and_then(|(registry, _)| registry.account) else {
        return Ok(None);
    };
    let found = store.account(&id).await.map_err(ApiError::Store)?;
    Ok(found.map(|(account, _)| account))
}

fn listing(accounts: Vec<Account>, next: Option<&AccountId>) -> HttpResponse {
    let of_somebody = accounts.into_iter().filter(|account| !account.erasing);
    let accounts: Vec<Known> = of_somebody.map(Known::from).collect();
    HttpResponse::Ok().json(json!({"accounts": accounts, "next": next}))
}

/// GET: all that is known of one.
pub(super) async fn show(call: Call, account: web::Path<String>) -> HttpResponse {
    call.answer(async |context| {
        staff(READ, context).await?;
        let (account, _) = account::known(&parse(&account)?, context).await?;
        let known = KnownWhole::of(account, context).await?;
        Ok(HttpResponse::Ok().json(known))
    })
    .await
}

/// Why an account is locked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    reason: String,
}

/// PUT: nobody gets anything by it.
pub(super) async fn lock(call: Call, account: web::Path<String>, body: Body) -> HttpResponse {
    call.answer(async |context| {
        let actor = staff(WRITE, context).await?.actor();
        let Reason { reason } = read_object(body)?;
        account::lock(&parse(&account)?, &reason, &actor, context).await?;
        Ok(HttpResponse::NoContent().finish())
    })
    .await
}

/// DELETE: its owner gets in again.
pub(super) async fn unlock(call: Call, account: web::Path<String>) -> HttpResponse {
    call.answer(async |context| {
        let actor = staff(WRITE, context).await?.actor();
        account::unlock(&parse(&account)?, &actor, context).await?;
        Ok(HttpResponse::NoContent().finish())
    })
    .await
}

/// DELETE: all its sessions end.
pub(super) async fn end_sessions(call: Call, account: web::Path<String>) -> HttpResponse {
    call.answer(async |context| {
        let actor = staff(WRITE, context).await?.actor();
        account::end_sessions(&parse(&account)?, &actor, context).await?;
        Ok(HttpResponse::NoContent().finish())
    })
    .await
}

fn parse(id: &str) -> Result<AccountId, ApiError> {
    AccountId::new(id).map_err(|_| ApiError::UnknownAccount)
}

/// DELETE: the person is forgotten.
pub(super) async fn erase(call: Call, account: web::Path<String>) -> HttpResponse {
    call.answer(async |context| {
        let actor = staff(ERASE, context).await?.actor();
        account::erase(&parse(&account)?, &actor, context).await?;
        Ok(HttpResponse::NoContent().finish())
    })
    .await
}

/// What is told of an address.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Verified {
    email: String,
}

/// PUT: this address is verified.
pub(super) async fn vouch(call: Call, account: web::Path<String>, body: Body) -> HttpResponse {
    call.answer(async |context| {
        let client = voucher(context).await?;
        context.must_be_audited()?;
        let address = read(body)?;
        let account = change(&account, Some(&address), context).await?;
        told(Event::EmailVouched, &account, &client, context).await?;
        Ok(HttpResponse::NoContent().finish())
    })
    .await
}

/// DELETE: no address is. One that the provider verified counts again.
pub(super) async fn take_back(call: Call, account: web::Path<String>) -> HttpResponse {
    call.answer(async |context| {
        let client = voucher(context).await?;
        context.must_be_audited()?;
        let account = change(&account, None, context).await?;
        told(Event::EmailNotVouched, &account, &client, context).await?;
        Ok(HttpResponse::NoContent().finish())
    })
    .await
}

/// The client that calls: authenticated by its secret in the header, and trusted to vouch.
async fn voucher(context: &Context<'_>) -> Result<ClientId, Failure> {
    // A body is JSON here: credentials in a form are none.
    let client = authenticate(&Parameters::default(), context).await;
    let client = client.map_err(|failure| ApiError::of_authentication(&failure))?;
    let settings = context.broker.settings.clients.get(&client);
    if settings.is_some_and(|one| one.may_vouch) {
        Ok(client)
    } else {
        Err(ApiError::Forbidden("`vouches = true` of the client is missing").into())
    }
}

fn read(body: Body) -> Result<EmailAddress, Failure> {
    let Verified { email } = read_object(body)?;
    let address = EmailAddress::new(email);
    address.map_err(|_| ApiError::Body("`email` is no e-mail address").into())
}

/// Writes what is vouched for, however often others write to the account meanwhile.
async fn change(
    account: &str,
    address: Option<&EmailAddress>,
    context: &Context<'_>,
) -> Result<AccountId, Failure> {
    let store = context.broker.store.as_ref();
    let id = AccountId::new(account).map_err(|_| ApiError::UnknownAccount)?;
    let found = store.account(&id).await.map_err(ApiError::Store)?;
    let found = found.filter(|(account, _)| !account.erasing);
    let found = found.ok_or(ApiError::UnknownAccount)?;
    let vouched = |account: &Account| {
        let before = account.vouched_email.as_ref();
        if before.map(|email| &email.address) == address {
            return account.clone(); // What was vouched for before keeps its time.
        }
        Account {
            vouched_email: address.map(|address| VouchedEmail {
                address: address.clone(),
                at: context.now,
            }),
            ..account.clone()
        }
    };
    let changed = change_account(store, found, vouched).await;
    changed.map_err(ApiError::Store)?;
    Ok(id)
}

async fn told(
    event: Event,
    account: &AccountId,
    client: &ClientId,
    context: &Context<'_>,
) -> Result<(), Failure> {
    tracing::info!(code = event.code(), request = %context.request_id, %client, %account, "a registry's word on an address");
    let happening = Happening::new(event, client).about(Subject::Account, account);
    Ok(context.audit_through(happening).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_an_object_with_one_address_and_nothing_else() {
        let read = |body: &'static [u8]| read(Ok(web::Bytes::from_static(body)));
        let good = read(br#"{"email": "ann@registry.example"}"#).unwrap();
        assert_eq!(good.as_str(), "ann@registry.example");
        for bad in [
            "",
            "null",
            "\"ann@registry.example\"",
            "[\"ann@registry.example\"]",
            "{}",
            r#"{"email": null}"#,
            r#"{"email": ["ann@registry.example"]}"#,
            r#"{"email": "ann"}"#,
            r#"{"email": "ann@registry.example\r\nbcc: x@y"}"#,
            r#"{"email": "ann@registry.example", "verified": true}"#,
            r#"{"email": "ann@registry.example", "email": "bob@registry.example"}"#,
            r#"{"email": "ann@registry.example"} x"#,
            "{\"email\": \"\u{0}@x\"}",
        ] {
            assert!(read(bad.as_bytes()).is_err(), "`{bad}` was taken");
        }
        assert!(read(b"{\"email\": \"\xff@x\"}").is_err());
    }
}
