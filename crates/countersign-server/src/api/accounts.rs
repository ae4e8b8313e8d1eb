//! `/api/v1/accounts/{account}`: a service of the registry's has a person forgotten; `…/verified-email`: the registry vouches for
//! an address, or takes that back.
//!
//! What it vouched for counts as verified whatever the provider says, so only clients that the
//! configuration trusts with it (`vouches = true`) may.

use actix_web::{HttpResponse, web};
use countersign_core::{AccountId, ClientId};
use countersign_store::{Account, EmailAddress, VouchedEmail, change_account};
use serde::Deserialize;

use super::caller::service;
use super::{Body, read_object};
use crate::account;
use crate::audit::{Event, Happening, Subject};
use crate::error::{ApiError, Failure};
use crate::token::authenticate;
use crate::web::{Call, Context, Parameters};

/// What it takes to have somebody forgotten.
const ERASE: &[&str] = &["accounts:erase"];

/// DELETE: the person is forgotten.
pub(super) async fn erase(call: Call, account: web::Path<String>) -> HttpResponse {
    call.answer(async |context| {
        let client = service(ERASE, context).await?;
        context.must_be_audited()?;
        let id = AccountId::new(account.as_str()).map_err(|_| ApiError::UnknownAccount)?;
        account::erase(&id, &client, context).await?;
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
