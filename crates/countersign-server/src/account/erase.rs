//! `/account/erase`: a person has themselves forgotten. A service of the registry's does it by API ([`crate::api`]),
//! an operator by `countersign accounts erase`.

use actix_web::HttpResponse;
use countersign_core::AccountId;
use countersign_store::{
    EraseError, Signpost, StoreError, admins, erase_account, organizations_by,
};

use super::{Button, must_be_audited, seal};
use crate::audit::{By, Event, Happening, Subject};
use crate::error::{ApiError, Failure, page_of_store};
use crate::own::{LINK, OwnPage, Visitor, visitor};
use crate::pages::{self, ErasePage, SignedOutPage};
use crate::session;
use crate::web::{Call, Context, with_cookies};

/// GET: what it means, and the button that does it.
pub(crate) async fn ask(call: Call) -> HttpResponse {
    call.answer(async |context| {
        let visitor = visitor(&OwnPage::Account, context).await?;
        visitor.must_be_let(LINK, &OwnPage::Account, context)?;
        let administers = administered(&visitor, context).await;
        let administers = administers.map_err(|error| page_of_store(&error, context))?;
        let form = seal(&Button::Erase, &visitor, context)?;
        let page = ErasePage::new(&visitor.account, administers, form, context);
        Ok(pages::ok(&page))
    })
    .await
}

/// The titles of the organisations that nobody else administers, as far as is known here.
async fn administered(visitor: &Visitor, context: &Context<'_>) -> Result<Vec<String>, StoreError> {
    let names: Vec<_> = admins(&visitor.account).collect();
    let mut alone = Vec::new();
    for name in &names {
        let post = Signpost::Admin(name.clone());
        for organization in organizations_by(context.broker.store.as_ref(), &post).await? {
            let has_others = organization.admins.iter().any(|one| !names.contains(one));
            let title = organization.title.clone();
            let title = title.unwrap_or_else(|| organization.id.to_string());
            if !has_others && !alone.contains(&title) {
                alone.push(title);
            }
        }
    }
    Ok(alone)
}

/// The button was pressed.
pub(super) async fn pressed(
    visitor: &Visitor,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    must_be_audited(context)?;
    let id = &visitor.account.id;
    let erased = erase(id, id, context).await;
    erased.map_err(|error| error.for_person(context))?;
    with_cookies(
        pages::ok(&SignedOutPage::erased(context)),
        [session::forget()],
    )
}

/// Forgets an account, for whoever may have it forgotten.
pub(crate) async fn erase(
    id: &AccountId,
    by: impl Into<By>,
    context: &Context<'_>,
) -> Result<(), ApiError> {
    let erased = erase_account(context.broker.store.as_ref(), id, context.now).await;
    // Whoever was handed its sessions is to hear of their end.
    context.broker.ended.notify_one();
    let ended = erased.map_err(|error| match error {
        EraseError::Locked => ApiError::AccountLocked,
        EraseError::Store(error) => ApiError::Store(error),
    })?;
    let ended = ended.ok_or(ApiError::UnknownAccount)?;
    tracing::info!(code = "account-erased", request = %context.request_id, account = %id, "an account was erased");
    let happening = Happening::new(Event::AccountErased, by)
        .about(Subject::Account, id)
        .about(Subject::Count, ended);
    context.audit_through(happening).await
}
