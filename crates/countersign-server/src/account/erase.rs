//! `/account/erase`: a person has themselves forgotten. A service of the registry's does it by API ([`crate::api`]),
//! an operator so too, at their page ([`crate::operator`]) or by `countersign accounts erase`.

use actix_web::HttpResponse;
use countersign_core::AccountId;
use countersign_store::{EraseError, Organization, StoreError, admins, erase_account};

use super::{Button, seal};
use crate::audit::{By, Event, Happening, Subject};
use crate::error::{ApiError, Failure, page_of_store};
use crate::organization::{Listed, Piece, piece_of};
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

/// How many organisations are looked at together.
const AT_ONCE: usize = 200;

/// The titles of the organisations that nobody else administers, as far as is known here: some more than a page names, where
/// there are.
async fn administered(visitor: &Visitor, context: &Context<'_>) -> Result<Vec<String>, StoreError> {
    let names: Vec<_> = admins(&visitor.account).collect();
    let is_theirs = |one: &Organization| one.admins.iter().all(|admin| names.contains(admin));
    let title = |one: Organization| one.title.unwrap_or_else(|| one.id.to_string());
    let (mut alone, mut after) = (Vec::new(), None);
    loop {
        let piece = Piece {
            begins_with: None,
            after,
            limit: AT_ONCE,
        };
        let some = piece_of(Listed::AdministeredBy(&names), &piece, context).await?;
        let is_last = some.len() < AT_ONCE;
        after = some.last().map(|last| last.id.clone());
        alone.extend(some.into_iter().filter(is_theirs).map(title));
        if is_last || alone.len() > ErasePage::NAMED {
            return Ok(alone);
        }
    }
}

/// The button was pressed.
pub(super) async fn pressed(
    visitor: &Visitor,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
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
    context.must_be_audited()?;
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
