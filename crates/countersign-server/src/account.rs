//! `/account`: what is kept of a person, and which identities lead to their account.
//!
//! Another identity is linked by who signs in with it in the browser that has the session, at once, and shows what
//! linking needs, as the session itself must. An address that two have in common says nothing: nothing is ever merged.

mod erase;
mod known;
mod lock;

use actix_web::{HttpResponse, web};
use countersign_core::sign_in::{Destination, Linking};
use countersign_core::{AccountId, AttemptId, Evidence, Identity, Permit, ProviderId, SessionId};
use countersign_providers::{AccountChoice, Provider};
use countersign_store::{StoreError, link_identity, unlink_identity};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

pub(crate) use erase::{ask as ask_to_erase, erase};
pub(crate) use known::{Known, KnownSession, KnownWhole, MustShowMfa};
pub(crate) use lock::{end_sessions, known, lock, unlock};

use crate::audit::{Event, Happening, Subject};
use crate::error::{Failure, Problem, page_of_store};
use crate::form::{self, Form};
use crate::once::{Kind, is_first};
use crate::own::{self, LINK, OwnPage, Visitor, visitor};
use crate::pages::{self, AccountPage, IdentityRow, LeavePage, LinkWay};
use crate::session::{self, Ending};
use crate::sign_in::depart;
use crate::web::{Call, Context, Parameters, see_other};

/// What a button of the page does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Button {
    /// Links an identity at this provider.
    Add(ProviderId),
    /// The way there that follows.
    Leave(ProviderId),
    /// Lets this one lead here no more.
    Remove(Identity),
    /// Forgets the person.
    Erase,
}

/// GET: the page.
pub(crate) async fn show(call: Call) -> HttpResponse {
    call.answer(async |context| {
        let visitor = visitor(&OwnPage::Account, context).await?;
        let may_change = visitor.may(LINK);
        let mut rows = Vec::new();
        for identity in visitor.account.identities() {
            let button = Button::Remove(identity.clone());
            let form = may_change.then(|| seal(&button, &visitor, context));
            let is_here = *identity == visitor.session.evidence.identity;
            rows.push(IdentityRow::new(
                identity,
                is_here,
                form.transpose()?,
                context,
            ));
        }
        let mut ways = Vec::new();
        for provider in context.broker.providers.values().filter(|_| may_change) {
            let form = seal(&Button::Add(provider.name().clone()), &visitor, context)?;
            ways.push(LinkWay::new(provider, form));
        }
        Ok(pages::ok(&AccountPage::new(&visitor, rows, ways, context)))
    })
    .await
}

/// GET: all that is kept of the person, for them to take away.
pub(crate) async fn export(call: Call) -> HttpResponse {
    call.answer(async |context| {
        let visitor = visitor(&OwnPage::Account, context).await?;
        let all =
            countersign_store::export(context.broker.store.as_ref(), visitor.account, context.now);
        let all = all.await.map_err(|error| page_of_store(&error, context))?;
        Ok(HttpResponse::Ok()
            .insert_header((
                "content-disposition",
                "attachment; filename=\"countersign-account.json\"",
            ))
            .json(all))
    })
    .await
}

/// POST: a button was pressed.
pub(crate) async fn press(call: Call, form: web::Bytes) -> HttpResponse {
    call.answer(async |context| {
        let visitor = visitor(&OwnPage::Account, context).await?;
        let button = opened(&Parameters::read(&form), &visitor, context)?;
        visitor.must_be_let(LINK, &OwnPage::Account, context)?;
        match button {
            Button::Add(provider) => offer(&provider, &visitor, context),
            Button::Remove(identity) => remove(&identity, &visitor, context).await,
            Button::Erase => erase::pressed(&visitor, context).await,
            Button::Leave(_) => Err(Failure::Page(Problem::FormExpired)),
        }
    })
    .await
}

/// A form is held to `form-action` on every redirect that follows it: the way to the provider is a link.
fn offer(
    provider: &ProviderId,
    visitor: &Visitor,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let sealed = seal(&Button::Leave(provider.clone()), visitor, context)?;
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair(form::FIELD, &sealed)
        .finish();
    let page = LeavePage::to_link(provider, format!("/account/at?{query}"), context);
    Ok(pages::ok(&page))
}

/// GET: on to the provider.
pub(crate) async fn leave(call: Call) -> HttpResponse {
    call.answer(async |context| {
        let visitor = visitor(&OwnPage::Account, context).await?;
        let Button::Leave(provider) = opened(&context.query(), &visitor, context)? else {
            return Err(Failure::Page(Problem::FormExpired));
        };
        let linking = Linking {
            account: visitor.account.id.clone(),
            session: visitor.session.id.clone(),
        };
        let first = depart::First {
            request: own::request(Destination::Link(linking), None, Some(LINK), context),
            tenant: None,
            login_hint: None,
            account_choice: AccountChoice::Offered,
        };
        depart::first(first, &provider, context).await
    })
    .await
}

/// Somebody came back with another identity, and the policy lets them: it leads to the account from now on.
pub(crate) async fn link(
    (attempt, until): (&AttemptId, Timestamp),
    linking: &Linking,
    (permit, evidence): (&Permit, &Evidence),
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let store_failed = |error: StoreError| page_of_store(&error, context);
    // The browser that began it, still signed in as who began it, and still well enough.
    let visitor = visitor(&OwnPage::Account, context).await?;
    if visitor.session.id != linking.session || visitor.account.id != linking.account {
        return Err(Failure::Page(Problem::SignedOut));
    }
    visitor.must_be_let(LINK, &OwnPage::Account, context)?;
    must_be_audited(context)?;
    let first = is_first(Kind::Link, &[attempt.as_str()], until, context).await;
    if !first.map_err(store_failed)? {
        return Err(Failure::Page(Problem::AttemptMissing));
    }
    // What is let go of is not shown: who takes over a weak identity gets no such scope by it.
    if !permit.scopes().contains(LINK) {
        return Err(not_linked(
            Problem::IdentityNotShown,
            linking,
            evidence,
            context,
        ));
    }
    let store = context.broker.store.as_ref();
    let id = &visitor.account.id;
    let linked = link_identity(store, &evidence.identity, id, context.now).await;
    if !linked.map_err(store_failed)? {
        return Err(not_linked(
            Problem::IdentityTaken,
            linking,
            evidence,
            context,
        ));
    }
    tracing::info!(code = "identity-linked", request = %context.request_id, account = %id, provider = %evidence.provider, "an identity was linked");
    let identity = (&evidence.identity, Some(&evidence.provider));
    note(Event::IdentityLinked, id, identity, context).await?;
    Ok(own::arrive(&OwnPage::Account.path(), context))
}

/// Lets an identity lead here no more, and ends what rests on it.
async fn remove(
    identity: &Identity,
    visitor: &Visitor,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let store_failed = |error: StoreError| page_of_store(&error, context);
    let account = &visitor.account;
    if account.lists(identity) && account.without_identity(identity).is_none() {
        return Err(Failure::Page(Problem::LastIdentity));
    }
    must_be_audited(context)?;
    // Of the person nothing stays that this identity has said.
    let here = &visitor.session.evidence;
    let profile = (here.identity != *identity).then(|| here.profile.clone());
    let store = context.broker.store.as_ref();
    let removed = unlink_identity(store, identity, &account.id, profile.unwrap_or_default()).await;
    if !removed.map_err(store_failed)? {
        return Err(Failure::Page(Problem::LastIdentity)); // another was removed at the same time
    }
    // From here on nobody gets anything by it. What was got is told to who verifies by himself; where somebody was cut off
    // before that, the button is pressed again.
    let ended = session::visit_all(&account.id, context, async |session| {
        if session.evidence.identity != *identity {
            return Ok(());
        }
        let ending = Ending::new(&account.id, "identity-removed");
        session::end_one(&session.id, ending, context).await
    });
    ended.await.map_err(store_failed)?;
    tracing::info!(code = "identity-removed", request = %context.request_id, account = %account.id, "an identity was removed");
    let provider = provider_of(identity, context).map(Provider::name);
    let (event, id) = (Event::IdentityRemoved, &account.id);
    note(event, id, (identity, provider), context).await?;
    Ok(see_other(
        &context.broker.settings.endpoint(&OwnPage::Account.path()),
    ))
}

/// Nothing is changed that could not be written down.
fn must_be_audited(context: &Context<'_>) -> Result<(), Failure> {
    let able = context.must_be_audited();
    able.map_err(|error| error.for_person(context))
}

async fn note(
    event: Event,
    account: &AccountId,
    identity: (&Identity, Option<&ProviderId>),
    context: &Context<'_>,
) -> Result<(), Failure> {
    let written = context.audit_through(happening(event, account, identity, context));
    written.await.map_err(|error| error.for_person(context))
}

/// Writes down that an identity was shown and not linked, and why.
fn not_linked(
    why: Problem,
    linking: &Linking,
    evidence: &Evidence,
    context: &Context<'_>,
) -> Failure {
    let identity = (&evidence.identity, Some(&evidence.provider));
    let event = Event::IdentityNotLinked;
    context.audit(happening(event, &linking.account, identity, context).because(why.code()));
    Failure::Page(why)
}

fn happening(
    event: Event,
    account: &AccountId,
    (identity, provider): (&Identity, Option<&ProviderId>),
    context: &Context<'_>,
) -> Happening {
    let identity = context.broker.limits.stand_in(identity);
    Happening::new(event, account)
        .about(Subject::Account, account)
        .about(Subject::Identity, identity)
        .about_any(Subject::Provider, provider)
}

fn seal(button: &Button, visitor: &Visitor, context: &Context<'_>) -> Result<String, Failure> {
    form::seal(Form::Account, button, holder(&visitor.session.id), context)
}

fn opened(
    parameters: &Parameters,
    visitor: &Visitor,
    context: &Context<'_>,
) -> Result<Button, Failure> {
    form::open(
        Form::Account,
        parameters,
        holder(&visitor.session.id),
        context,
    )
}

fn holder(session: &SessionId) -> &str {
    session.as_str()
}

/// What people call the provider that has an identity, if one that is configured has.
pub(crate) fn provider_of<'a>(identity: &Identity, context: &Context<'a>) -> Option<&'a Provider> {
    let mut providers = context.broker.providers.values();
    providers.find(|provider| provider.may_vouch_for(identity))
}
