//! `/operator/accounts`: all of them; and one, with what an operator does to it.

use actix_web::{HttpResponse, web};
use countersign_core::AccountId;
use countersign_store::{StoreError, find_account};
use serde::{Deserialize, Serialize};

use super::{Operator, ROWS, at_desk, told};
use crate::account::{self, Known, KnownWhole};
use crate::error::{Failure, Problem, page_of_store};
use crate::own::{Desk, OwnPage};
use crate::pages::{self, AccountButtons, ConfirmPage, OperatorAccountPage, OperatorAccountsPage};
use crate::web::{Call, Context, Parameters, see_other};

/// What a button does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Button {
    /// Asks whether this is really meant, and says what it does.
    Ask(Act),
    /// Does it.
    Do(Act),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Act {
    /// Locks it, for the reason that the form gives.
    Lock,
    /// Unlocks it.
    Unlock,
    /// Ends its sessions.
    End,
    /// Forgets whose it is.
    Erase,
}

/// GET: a page of all, or the one that is looked for.
pub(crate) async fn list(call: Call) -> HttpResponse {
    call.answer(async |context| {
        at_desk(Desk::Accounts, context, async |_| {
            let store_failed = |error: StoreError| page_of_store(&error, context);
            let query = context.query();
            let sought = query.one("account").map_or("", str::trim);
            let store = context.broker.store.as_ref();
            if !sought.is_empty() {
                let found = find_account(store, sought).await.map_err(store_failed)?;
                let account = found.and_then(|(account, _)| account);
                return Ok(match account.filter(|account| !account.erasing) {
                    Some(account) => {
                        let page = OwnPage::Operator(Desk::Account(account.id));
                        see_other(&context.broker.settings.endpoint(&page.path()))
                    }
                    None => pages::ok(&OperatorAccountsPage::none(sought, context)),
                });
            }
            let after = query.one("after").and_then(|id| AccountId::new(id).ok());
            let found = store.list_accounts(after.as_ref(), ROWS + 1).await;
            let mut found = found.map_err(store_failed)?;
            let has_more = found.len() > ROWS;
            found.truncate(ROWS);
            let last = found.last().filter(|_| has_more).map(|one| one.id.clone());
            let of_somebody = found.into_iter().filter(|account| !account.erasing);
            let known = of_somebody.map(Known::from).collect();
            let page = OperatorAccountsPage::new(known, last.as_ref(), context);
            Ok(pages::ok(&page))
        })
        .await
    })
    .await
}

/// GET: one.
pub(crate) async fn show(call: Call, id: web::Path<String>) -> HttpResponse {
    call.answer(async |context| {
        let id = parse(&id)?;
        at_desk(Desk::Account(id.clone()), context, async |operator| {
            let known = known(&id, context).await?;
            let buttons = AccountButtons {
                lock: operator.button(&Button::Do(Act::Lock), context)?,
                unlock: operator.button(&Button::Do(Act::Unlock), context)?,
                end: operator.button(&Button::Ask(Act::End), context)?,
                erase: operator.button(&Button::Ask(Act::Erase), context)?,
            };
            let is_own = operator.visitor.account.id == id;
            let raise = operator.raise(context);
            let page = OperatorAccountPage::new(known, (buttons, raise), is_own, context);
            Ok(pages::ok(&page))
        })
        .await
    })
    .await
}

/// POST: a button was pressed.
pub(crate) async fn press(call: Call, id: web::Path<String>, form: web::Bytes) -> HttpResponse {
    call.answer(async |context| {
        let id = parse(&id)?;
        at_desk(Desk::Account(id.clone()), context, async |operator| {
            let parameters = Parameters::read(&form);
            let button: Button = operator.pressed(&parameters, context)?;
            let actor = operator.must_operate(context)?.actor();
            let act = match button {
                Button::Ask(act) => return confirm(act, &id, operator, context).await,
                Button::Do(act) => act,
            };
            let reason = parameters.one("reason").unwrap_or_default();
            let done = match act {
                Act::Lock => account::lock(&id, reason, &actor, context).await,
                Act::Unlock => account::unlock(&id, &actor, context).await,
                Act::End => account::end_sessions(&id, &actor, context).await,
                Act::Erase => account::erase(&id, &actor, context).await,
            };
            done.map_err(|error| told(error, context))?;
            let page = match act {
                // There is no page of it any more.
                Act::Erase => OwnPage::Operator(Desk::Accounts),
                Act::Lock | Act::Unlock | Act::End => operator.page.clone(),
            };
            Ok(see_other(&context.broker.settings.endpoint(&page.path())))
        })
        .await
    })
    .await
}

/// What it would do, with the button that does it.
async fn confirm(
    act: Act,
    id: &AccountId,
    operator: &Operator,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let known = known(id, context).await?;
    let form = operator.seal(&Button::Do(act), context)?;
    let page = match act {
        Act::Erase => ConfirmPage::of_erasing(&known, form, context),
        Act::End => ConfirmPage::of_ending(&known, form, context),
        Act::Lock | Act::Unlock => return Err(Failure::Page(Problem::FormExpired)),
    };
    Ok(pages::ok(&page))
}

fn parse(id: &str) -> Result<AccountId, Failure> {
    AccountId::new(id).map_err(|_| Failure::Page(Problem::NotFound))
}

async fn known(id: &AccountId, context: &Context<'_>) -> Result<KnownWhole, Failure> {
    let known = async {
        let (account, _) = account::known(id, context).await?;
        KnownWhole::of(account, context).await
    };
    known.await.map_err(|error| error.for_person(context))
}
