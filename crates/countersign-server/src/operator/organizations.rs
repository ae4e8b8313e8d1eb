//! `/operator/organizations`: all of them; and one, with what an operator says to it.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, web};
use countersign_core::{ExceptionName, OrganizationId, Source};
use countersign_store::organization::{self as domain, Answer, Settlement, Verdict};
use countersign_store::{Connection, Organization, Standing};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{Operator, ROWS, at_desk, told};
use crate::api::Caller;
use crate::error::{Failure, Problem, page_of_store};
use crate::organization::manage::{self, managed};
use crate::organization::{Listed, page_of, shut_out};
use crate::own::Desk;
use crate::pages::{
    self, ConfirmPage, ConnectionPart, OperatorOrganizationPage, OperatorOrganizationsPage,
};
use crate::web::{Call, Context, Parameters, see_other};

/// What a button does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Button {
    /// Asks whether this is really meant, and says what it does.
    Ask(Act),
    /// Does it.
    Do(Act),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Act {
    /// Puts in force what awaits approval.
    Approve(Source),
    /// Settles a dispute, or refuses what awaits approval.
    Settle(Source, Settlement),
    /// Ends a connection.
    Disconnect(Source),
    /// Answers what was asked for, as the form says.
    Answer(ExceptionName),
}

/// GET: a page of all.
pub(crate) async fn list(call: Call) -> HttpResponse {
    call.answer(async |context| {
        at_desk(Desk::Organizations, context, async |_| {
            let query = context.query();
            let begins_with = query.one("begins_with").map_or("", str::trim);
            let found = page_of(Listed::All, begins_with, ROWS, context).await;
            let found = found.map_err(|error| page_of_store(&error, context))?;
            let page = OperatorOrganizationsPage::new(begins_with, found, context);
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
        at_desk(Desk::Organization(id.clone()), context, async |operator| {
            let known = known(&id, operator, context).await?;
            let effects = shut_out::by_connecting(&known, &BTreeSet::new(), context).await;
            let admins = effects.map_err(|error| page_of_store(&error, context))?;
            let mut connections = Vec::new();
            for one in &known.connections {
                let others = rivals(&known, one, context).await?;
                connections.push(part(one, others, operator, context)?);
            }
            let answers = known.exceptions.iter().map(|asked| {
                operator.button(&Button::Do(Act::Answer(asked.name.clone())), context)
            });
            let answers: Vec<Option<String>> = answers.collect::<Result<_, _>>()?;
            let page = OperatorOrganizationPage::new(
                &known,
                (admins, connections, answers),
                operator.raise(context),
                context,
            );
            Ok(pages::ok(&page))
        })
        .await
    })
    .await
}

/// Who else says that its people are theirs, where that is disputed.
async fn rivals(
    known: &Organization,
    connection: &Connection,
    context: &Context<'_>,
) -> Result<Vec<Organization>, Failure> {
    match connection.standing {
        Standing::InForce | Standing::AwaitingApproval | Standing::Refused => Ok(Vec::new()),
        Standing::Disputed => {
            let (store, source) = (&context.broker.store, &connection.mapping.source);
            let others = domain::others(store.as_ref(), &known.id, source).await;
            others.map_err(|error| page_of_store(&error, context))
        }
    }
}

/// All that can be said of a connection; the page shows what its standing leaves.
fn part(
    connection: &Connection,
    others: Vec<Organization>,
    operator: &Operator,
    context: &Context<'_>,
) -> Result<ConnectionPart, Failure> {
    let ask = |act| operator.button(&Button::Ask(act), context);
    let at_once = |act| operator.button(&Button::Do(act), context);
    let source = &connection.mapping.source;
    let settle = |settlement| Act::Settle(source.clone(), settlement);
    Ok(ConnectionPart {
        others,
        approve: ask(Act::Approve(source.clone()))?,
        share: ask(settle(Settlement::Share))?,
        transfer: ask(settle(Settlement::Transfer))?,
        refuse: at_once(settle(Settlement::Refuse))?,
        disconnect: ask(Act::Disconnect(source.clone()))?,
    })
}

/// POST: a button was pressed.
pub(crate) async fn press(call: Call, id: web::Path<String>, form: web::Bytes) -> HttpResponse {
    call.answer(async |context| {
        let id = parse(&id)?;
        at_desk(Desk::Organization(id.clone()), context, async |operator| {
            let parameters = Parameters::read(&form);
            let button: Button = operator.pressed(&parameters, context)?;
            let caller = operator.must_operate(context)?;
            let known = known(&id, operator, context).await?;
            match button {
                Button::Ask(act) => confirm(act, &known, operator, context).await,
                Button::Do(act) => {
                    carry_out(act, &known, &parameters, &caller, context).await?;
                    Ok(see_other(
                        &context.broker.settings.endpoint(&operator.page.path()),
                    ))
                }
            }
        })
        .await
    })
    .await
}

/// What it would do, with the button that does it.
async fn confirm(
    act: Act,
    known: &Organization,
    operator: &Operator,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let effects = match &act {
        Act::Disconnect(source) => shut_out::by_disconnecting(known, source, context).await,
        Act::Approve(_) | Act::Settle(..) | Act::Answer(_) => Ok(Vec::new()),
    };
    let effects = effects.map_err(|error| page_of_store(&error, context))?;
    let (verb, source, what) = match &act {
        Act::Approve(source) => (
            "Approve",
            source,
            "Whoever signs in through it acts for this organization from then on. Approve it only where you know that these are its people.",
        ),
        Act::Settle(source, Settlement::Share) => (
            "Share",
            source,
            "Its people are this organization’s, and the others’ too, from then on.",
        ),
        Act::Settle(source, Settlement::Transfer) => (
            "Transfer",
            source,
            "Its people are this organization’s alone. Every other organization that has it loses it, and what their people have got through it ends.",
        ),
        Act::Disconnect(source) => (
            "Disconnect",
            source,
            "Its people act for this organization no more, and what they have got through it ends.",
        ),
        Act::Settle(_, Settlement::Refuse) | Act::Answer(_) => {
            return Err(Failure::Page(Problem::FormExpired));
        }
    };
    let source = source.to_string();
    let form = operator.seal(&Button::Do(act), context)?;
    let page = ConfirmPage::of_connection((verb, what), known, &source, effects, form, context);
    Ok(pages::ok(&page))
}

async fn carry_out(
    act: Act,
    known: &Organization,
    parameters: &Parameters,
    caller: &Caller,
    context: &Context<'_>,
) -> Result<(), Failure> {
    let (id, actor) = (&known.id, caller.actor());
    let done = match act {
        Act::Approve(source) => manage::approve(id, &source, &actor, context).await,
        Act::Settle(source, settlement) => {
            manage::settle(id, &source, settlement, &actor, context).await
        }
        Act::Disconnect(source) => manage::disconnect(known, &source, caller, context).await,
        Act::Answer(name) => {
            let answer = answer(parameters, caller, context)?;
            manage::answer_exception((id, &name), &answer, context).await
        }
    };
    done.map_err(|error| told(error, context))
}

/// What the form says to an exception.
fn answer(
    parameters: &Parameters,
    caller: &Caller,
    context: &Context<'_>,
) -> Result<Answer, Failure> {
    let wrong = |what| Failure::Page(Problem::NotDone(what));
    let until = parameters.one("until").and_then(|day| day.parse().ok());
    let until: Option<Date> = until;
    let verdict = match parameters.one("verdict") {
        Some("granted") => Verdict::Granted {
            until: until.ok_or(wrong("give the last day as 2027-09-30"))?,
        },
        Some("refused") => Verdict::Refused,
        Some(_) | None => return Err(wrong("say whether it is granted or refused")),
    };
    let reason = parameters.one("reason").unwrap_or_default();
    let words = reason.split_whitespace();
    Ok(Answer {
        verdict,
        reason: words.collect::<Vec<_>>().join(" "),
        by: caller.actor(),
        at: context.now,
    })
}

fn parse(id: &str) -> Result<OrganizationId, Failure> {
    OrganizationId::new(id).map_err(|_| Failure::Page(Problem::NotFound))
}

async fn known(
    id: &OrganizationId,
    operator: &Operator,
    context: &Context<'_>,
) -> Result<Organization, Failure> {
    let caller = Caller::Operator(operator.visitor.person.clone());
    let known = managed(&caller, id, context).await;
    known.map_err(|error| error.for_person(context))
}
