//! `/account/claim`: a person brings a ticket, and makes what it vouches for theirs.
//!
//! To bring a ticket spends it. What it says waits, sealed, in the browser that brought it, while the person signs in and
//! perhaps sets up a second factor; the address that it came in is of no use to anybody. What they confirm is sealed for
//! their session, needs what linking an identity needs, and is done for one account.

use actix_web::cookie::Cookie;
use actix_web::cookie::time::Duration;
use actix_web::{HttpResponse, web};
use countersign_core::AccountId;
use countersign_core::sign_in::ATTEMPT_LIFETIME;
use countersign_store::organization::Joining;
use countersign_store::{
    Actor, Admin, Claimed, Contradiction, StoreError, Vouched, claim_registry_account,
    may_retire_registry_account, retire_registry_account,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{NotClaimed, Team, Ticket, keys_of, refused, verified};
use crate::audit::{By, Event, Happening, Subject};
use crate::error::{Failure, Problem, page_of_store};
use crate::form::{self, Form};
use crate::once::{Kind, has_come, is_first};
use crate::organization::manage;
use crate::own::{self, LINK, OwnPage, Visitor, visitor};
use crate::pages::{self, ClaimPage};
use crate::seal::{Place, Purpose};
use crate::web::{Call, Context, Parameters, cookie, see_other, with_cookies};

const PAGE: OwnPage = OwnPage::Claim;
/// The prefix binds the cookie to this very host, to `/` and to a secure origin
/// (draft-ietf-httpbis-rfc6265bis 4.1.3.2).
const NAME: &str = "__Host-countersign-ticket";
const PLACE: Place<'_> = Place {
    name: NAME,
    party: "browser",
    purpose: Purpose::Ticket,
};

/// A ticket that a browser has brought.
#[derive(Debug, Serialize, Deserialize)]
struct Brought {
    ticket: Ticket,
    /// For so long something can be made of it: people enrol in MFA inside it.
    until: Timestamp,
}

/// GET: a ticket is brought, or one waits that was.
pub(crate) async fn show(call: Call) -> HttpResponse {
    call.answer(async |context| {
        let parameters = context.query();
        if parameters.is_repeated() {
            return Err(Failure::Page(Problem::BadRequest(
                "a parameter stands twice",
            )));
        }
        match parameters.one("ticket") {
            Some(ticket) => bring(ticket, context).await,
            None => ask(context).await,
        }
    })
    .await
}

/// Spends a ticket. Who comes with it after that, and is not the browser that brought it, comes too late.
async fn bring(text: &str, context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let ticket = verified(text, context).await?;
    if !own::scopes([LINK], context).contains(LINK) {
        let why = "no tier of the policy lists `identities:write`";
        return Err(refused(Some(&ticket.client), why, context));
    }
    let on = see_other(&context.broker.settings.endpoint(&PAGE.path()));
    if waiting(context).is_some_and(|brought| brought.ticket == ticket) {
        return Ok(on);
    }
    let names = [ticket.client.as_str(), &ticket.id];
    let first = is_first(Kind::Ticket, &names, ticket.expires_at, context).await;
    if !first.map_err(|error| page_of_store(&error, context))? {
        return Err(brought_again(&ticket, context).await);
    }
    let brought = Brought {
        ticket,
        until: context.now + ATTEMPT_LIFETIME,
    };
    with_cookies(on, [put(&brought, context)?])
}

/// Somebody else has the ticket, too. That is written down once for each: anybody who has one could go on for minutes.
async fn brought_again(ticket: &Ticket, context: &Context<'_>) -> Failure {
    let names = [ticket.client.as_str(), &ticket.id];
    let first = is_first(Kind::TicketAgain, &names, ticket.expires_at, context).await;
    match first {
        Ok(true) => not_claimed(NotClaimed::TicketUsed, By::Nobody, ticket, context),
        Ok(false) => Failure::Page(Problem::NotClaimed(NotClaimed::TicketUsed)),
        Err(error) => page_of_store(&error, context),
    }
}

/// What would change, to whoever is signed in well enough; to others, where to sign in.
async fn ask(context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let brought = waiting(context).ok_or(Failure::Page(Problem::NotClaimed(
        NotClaimed::TicketMissing,
    )))?;
    must_still_be_believed(&brought.ticket, context)?;
    let visitor = visitor(&PAGE, context).await?;
    let form = if visitor.may(LINK) {
        let holder = visitor.session.id.as_str();
        Some(form::seal(Form::Claim, &brought, holder, context)?)
    } else {
        None
    };
    let Ticket {
        client,
        account,
        team,
        ..
    } = &brought.ticket;
    let team = team.as_ref();
    let team = team.map(|team| team.title.clone().unwrap_or(team.organization.to_string()));
    let page = ClaimPage::new((client, account), team, &visitor, form, context);
    Ok(pages::ok(&page))
}

/// POST: the person has seen what would change, and wants it.
pub(crate) async fn confirm(call: Call, form: web::Bytes) -> HttpResponse {
    call.answer(async |context| {
        let visitor = visitor(&PAGE, context).await?;
        let holder = visitor.session.id.as_str();
        let brought: Brought = form::open(Form::Claim, &Parameters::read(&form), holder, context)?;
        if brought.until <= context.now {
            return Err(Failure::Page(Problem::NotClaimed(
                NotClaimed::TicketMissing,
            )));
        }
        must_still_be_believed(&brought.ticket, context)?;
        visitor.must_be_let(LINK, &PAGE, context)?;
        let able = context.must_be_audited();
        able.map_err(|error| error.for_person(context))?;
        let to = make_theirs(&brought, &visitor, context).await?;
        with_cookies(own::arrive(&to.path(), context), [emptied()])
    })
    .await
}

/// Makes what the ticket vouches for theirs, and answers where they see it. Pressed again, it goes on where it ended.
async fn make_theirs(
    Brought { ticket, until }: &Brought,
    visitor: &Visitor,
    context: &Context<'_>,
) -> Result<OwnPage, Failure> {
    let account = &visitor.account.id;
    let theirs = is_theirs(ticket, account, *until, context).await;
    if !theirs.map_err(|error| page_of_store(&error, context))? {
        return Err(not_claimed(
            NotClaimed::TicketUsed,
            account,
            ticket,
            context,
        ));
    }
    match &ticket.team {
        None => {
            let store = context.broker.store.as_ref();
            let claimed = claim_registry_account(store, vouched(ticket), account, context.now);
            must_be_done(claimed.await, account, ticket, context)?;
            note(Event::RegistryAccountClaimed, account, ticket, context).await?;
            Ok(OwnPage::Account)
        }
        Some(team) => {
            join(team, account, ticket, context).await?;
            note(Event::RegistryAccountRetired, account, ticket, context).await?;
            Ok(OwnPage::Organization(team.organization.clone()))
        }
    }
}

/// Of all accounts that a browser may be signed in to, one makes use of a ticket.
async fn is_theirs(
    ticket: &Ticket,
    account: &AccountId,
    until: Timestamp,
    context: &Context<'_>,
) -> Result<bool, StoreError> {
    let used = [ticket.client.as_str(), &ticket.id];
    let used_by = [used[0], used[1], account.as_str()];
    if is_first(Kind::TicketUse, &used, until, context).await? {
        is_first(Kind::TicketUse, &used_by, until, context).await?;
        return Ok(true);
    }
    has_come(Kind::TicketUse, &used_by, context).await
}

/// What a team shared becomes an organisation, of which the person is an admin as themselves.
async fn join(
    team: &Team,
    account: &AccountId,
    ticket: &Ticket,
    context: &Context<'_>,
) -> Result<(), Failure> {
    let store = context.broker.store.as_ref();
    let id = &team.organization;
    let hindered = may_retire_registry_account(store, &ticket.account, id).await;
    let hindered = hindered.map(|what| what.map_or(Claimed::Done, Claimed::Contradicts));
    must_be_done(hindered, account, ticket, context)?;
    let admin = Admin::Account(account.clone());
    let joining = Joining {
        admin: &admin,
        title: team.title.as_deref(),
    };
    let actor = Actor::Client(ticket.client.clone());
    let joined = manage::join(id, joining, &actor, context).await;
    if !joined.map_err(|error| error.for_person(context))? {
        let why = NotClaimed::OrganizationTaken;
        return Err(not_claimed(why, account, ticket, context));
    }
    // Last, so that a shared account is never gone before its team has an admin.
    let retired = retire_registry_account(store, vouched(ticket), id, context.now).await;
    must_be_done(retired, account, ticket, context)
}

fn vouched(ticket: &Ticket) -> Vouched<'_> {
    Vouched {
        name: &ticket.account,
        registered_at: ticket.created,
    }
}

fn must_be_done(
    claimed: Result<Claimed, StoreError>,
    account: &AccountId,
    ticket: &Ticket,
    context: &Context<'_>,
) -> Result<(), Failure> {
    let why = match claimed.map_err(|error| page_of_store(&error, context))? {
        Claimed::Done => return Ok(()),
        // A ticket takes the day that was told before; it never contradicts one.
        Claimed::Contradicts(Contradiction::OtherIdentity | Contradiction::RegisteredOn(_)) => {
            NotClaimed::Taken
        }
        Claimed::Contradicts(Contradiction::OtherRegistryAccount(_)) => NotClaimed::HasAnother,
        Claimed::Contradicts(Contradiction::Retired(_)) => NotClaimed::Retired,
    };
    Err(not_claimed(why, account, ticket, context))
}

/// Its client is still one whose word counts.
fn must_still_be_believed(ticket: &Ticket, context: &Context<'_>) -> Result<(), Failure> {
    match keys_of(&ticket.client, context) {
        Ok(_) => Ok(()),
        Err(why) => Err(refused(Some(&ticket.client), why, context)),
    }
}

async fn note(
    event: Event,
    account: &AccountId,
    ticket: &Ticket,
    context: &Context<'_>,
) -> Result<(), Failure> {
    tracing::info!(code = event.code(), request = %context.request_id, %account, client = %ticket.client, "a registry's account has been claimed");
    let happening = happening(event, account, ticket, context).about(Subject::Account, account);
    let written = context.audit_through(happening).await;
    written.map_err(|error| error.for_person(context))
}

/// Writes down that a ticket was good, and came to nothing, and why.
fn not_claimed(
    why: NotClaimed,
    by: impl Into<By>,
    ticket: &Ticket,
    context: &Context<'_>,
) -> Failure {
    let event = Event::RegistryAccountNotClaimed;
    context.audit(happening(event, by, ticket, context).because(why.code()));
    Failure::Page(Problem::NotClaimed(why))
}

fn happening(event: Event, by: impl Into<By>, ticket: &Ticket, context: &Context<'_>) -> Happening {
    let name = format!("registry-account:{}", ticket.account);
    let organization = ticket.team.as_ref().map(|team| &team.organization);
    Happening::new(event, by)
        .about(Subject::Client, &ticket.client)
        .about(
            Subject::RegistryAccount,
            context.broker.limits.stand_in(name),
        )
        .about_any(Subject::Organization, organization)
}

/// The ticket that this browser has brought.
fn waiting(context: &Context<'_>) -> Option<Brought> {
    let sealed = context.only_cookie(NAME)?;
    let brought: Brought = context.broker.sealer.open(sealed, PLACE)?;
    // The browser is told to forget the cookie by then; a browser need not do as it is told.
    (context.now < brought.until).then_some(brought)
}

fn put(brought: &Brought, context: &Context<'_>) -> Result<Cookie<'static>, Failure> {
    let broker = context.broker;
    let sealed = broker.sealer.seal(brought, PLACE, broker.entropy.as_ref());
    let sealed = sealed.ok_or(Failure::Page(Problem::Unavailable))?;
    let lifetime = Duration::seconds(ATTEMPT_LIFETIME.as_secs());
    Ok(cookie(NAME.to_owned(), sealed, Some(lifetime)))
}

fn emptied() -> Cookie<'static> {
    cookie(NAME.to_owned(), String::new(), Some(Duration::ZERO))
}
