//! `/organizations`: where an admin sees what their organisations are connected to, and changes it.

use actix_web::{HttpRequest, HttpResponse, web};
use countersign_core::{OrganizationId, Source};
use countersign_store::{Organization, Standing, organization as domain};
use serde::{Deserialize, Serialize};

use super::connect::{About, as_page, speaking};
use super::shut_out;
use crate::Broker;
use crate::api::{administered_by, log, managed, refused};
use crate::audit::Event;
use crate::error::{ApiError, Failure, Problem, page_of_store};
use crate::form::{self, Form};
use crate::own::{CONNECT, OwnPage, Visitor, visitor};
use crate::pages::{
    self, ClaimRow, ConnectWay, DisconnectPage, OrganizationPage, OrganizationsPage,
};
use crate::web::{Context, Parameters, see_other};

/// What a button of the page does to a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Button {
    /// Ends it.
    Disconnect(Source),
    /// Lets another organisation have it too.
    Share(Source, OrganizationId),
}

/// GET: those that the person administers.
pub(crate) async fn list(request: HttpRequest, broker: web::Data<Broker>) -> HttpResponse {
    let context = Context::new(&request, &broker);
    let answer = async {
        let visitor = visitor(&OwnPage::Organizations, &context).await?;
        let theirs = administered_by(&crate::api::names_of(&visitor.account), &context).await;
        let theirs = theirs.map_err(as_page)?;
        Ok(pages::ok(&OrganizationsPage::new(
            &visitor, theirs, &context,
        )))
    };
    context.answer(answer.await)
}

/// GET: one.
pub(crate) async fn show(
    request: HttpRequest,
    id: web::Path<String>,
    broker: web::Data<Broker>,
) -> HttpResponse {
    let context = Context::new(&request, &broker);
    let answer = async {
        let page = page_of(&id)?;
        let visitor = visitor(&page, &context).await?;
        let OwnPage::Organization(id) = &page else {
            return Err(Failure::Page(Problem::NotFound));
        };
        let known = known(id, &visitor, &context).await?;
        let claims = claims(&known, &visitor, &context).await?;
        let ways = ways(&known, &visitor, &context)?;
        // What may be done is asked for when it is: until then the page only shows.
        let raise = (!visitor.may(CONNECT)).then(|| page.sign_in(Some(CONNECT)));
        Ok(pages::ok(&OrganizationPage::new(
            &known, claims, ways, raise, &context,
        )))
    };
    context.answer(answer.await)
}

/// GET: what ending a connection would do, with the button that does it.
pub(crate) async fn ask(
    request: HttpRequest,
    id: web::Path<String>,
    broker: web::Data<Broker>,
) -> HttpResponse {
    let context = Context::new(&request, &broker);
    let answer = async {
        let page = page_of(&id)?;
        let visitor = visitor(&page, &context).await?;
        let visitor = visitor.must_be_let(CONNECT, &page, &context)?;
        let known = named(&page, &visitor, &context).await?;
        let source = context
            .query()
            .one("source")
            .and_then(|text| text.parse().ok());
        let source: Source = source.ok_or(Failure::Page(Problem::NotFound))?;
        let connection = known
            .connection(&source)
            .ok_or(Failure::Page(Problem::NotFound))?;
        let effects = shut_out::by_disconnecting(&known, &source, &context).await?;
        // Ending what is not in force shuts nobody out.
        let is_last = connection.standing == Standing::InForce
            && shut_out::is_last_shut_out(&known, &effects, &context).await?;
        let sealed = seal(&Button::Disconnect(source.clone()), &visitor, &context)?;
        let page = DisconnectPage::new(&known, connection, (effects, is_last), sealed, &context);
        Ok(pages::ok(&page))
    };
    context.answer(answer.await)
}

/// POST: a button was pressed.
pub(crate) async fn press(
    request: HttpRequest,
    id: web::Path<String>,
    form: web::Bytes,
    broker: web::Data<Broker>,
) -> HttpResponse {
    let context = Context::new(&request, &broker);
    let answer = async {
        let page = page_of(&id)?;
        let visitor = visitor(&page, &context).await?;
        let holder = visitor.session.id.as_str();
        let button: Button = form::open(
            Form::Connections,
            &Parameters::read(&form),
            holder,
            &context,
        )?;
        let visitor = visitor.must_be_let(CONNECT, &page, &context)?;
        let known = named(&page, &visitor, &context).await?;
        match button {
            Button::Disconnect(source) => disconnect(&known, &source, &visitor, &context).await?,
            Button::Share(source, with) => {
                share(&known, &source, &with, &visitor, &context).await?;
            }
        }
        Ok(see_other(&context.broker.settings.endpoint(&page.path())))
    };
    context.answer(answer.await)
}

async fn disconnect(
    known: &Organization,
    source: &Source,
    visitor: &Visitor,
    context: &Context<'_>,
) -> Result<(), Failure> {
    let effects = shut_out::by_disconnecting(known, source, context).await?;
    let is_in_force = known.in_force().any(|one| one.source == *source);
    if is_in_force && shut_out::is_last_shut_out(known, &effects, context).await? {
        return Err(Failure::Page(Problem::LastAdmin));
    }
    context.must_be_audited().map_err(ApiError::for_person)?;
    let store = context.broker.store.as_ref();
    let ended = domain::disconnect(store, &known.id, source).await;
    ended.map_err(|error| as_page(refused(error)))?;
    log(
        Event::OrganizationDisconnected,
        &known.id,
        Some(source),
        &visitor.caller().actor(),
        context,
    )
    .await
    .map_err(as_page)
}

async fn share(
    known: &Organization,
    source: &Source,
    with: &OrganizationId,
    visitor: &Visitor,
    context: &Context<'_>,
) -> Result<(), Failure> {
    context.must_be_audited().map_err(ApiError::for_person)?;
    let store = context.broker.store.as_ref();
    let agreed = domain::agree(store, &known.id, with, source).await;
    if !agreed.map_err(|error| as_page(refused(error)))? {
        return Err(Failure::Page(Problem::FormExpired));
    }
    log(
        Event::ConnectionShared,
        with,
        Some(source),
        &visitor.caller().actor(),
        context,
    )
    .await
    .map_err(as_page)
}

/// What others claim that this organisation has.
async fn claims(
    known: &Organization,
    visitor: &Visitor,
    context: &Context<'_>,
) -> Result<Vec<ClaimRow>, Failure> {
    let store = context.broker.store.as_ref();
    let mut rows = Vec::new();
    for mapping in known.in_force() {
        let others = domain::others(store, &known.id, &mapping.source).await;
        for other in others.map_err(|error| page_of_store(&error, context))? {
            let standing = other.connection(&mapping.source).map(|one| one.standing);
            if standing == Some(Standing::Disputed) {
                let button = Button::Share(mapping.source.clone(), other.id.clone());
                let sealed = seal(&button, visitor, context)?;
                rows.push(ClaimRow::new(&other, &mapping.source, sealed));
            }
        }
    }
    Ok(rows)
}

/// The ways to connect something more.
fn ways(
    known: &Organization,
    visitor: &Visitor,
    context: &Context<'_>,
) -> Result<Vec<ConnectWay>, Failure> {
    if !visitor.may(CONNECT) {
        return Ok(Vec::new());
    }
    speaking(context)
        .map(|provider| {
            let about = About {
                organization: known.id.clone(),
                provider: provider.name().clone(),
            };
            let sealed = form::seal(Form::Connect, &about, visitor.session.id.as_str(), context)?;
            Ok(ConnectWay::new(provider, &visitor.session.evidence, sealed))
        })
        .collect()
}

fn seal(button: &Button, visitor: &Visitor, context: &Context<'_>) -> Result<String, Failure> {
    form::seal(
        Form::Connections,
        button,
        visitor.session.id.as_str(),
        context,
    )
}

/// The page of the organisation that a path names.
pub(super) fn page_of(id: &str) -> Result<OwnPage, Failure> {
    let id = OrganizationId::new(id).map_err(|_| Failure::Page(Problem::NotFound))?;
    Ok(OwnPage::Organization(id))
}

async fn named(
    page: &OwnPage,
    visitor: &Visitor,
    context: &Context<'_>,
) -> Result<Organization, Failure> {
    match page {
        OwnPage::Organization(id) => known(id, visitor, context).await,
        OwnPage::Organizations | OwnPage::Account => Err(Failure::Page(Problem::NotFound)),
    }
}

/// The organisation, if the person administers it.
pub(super) async fn known(
    id: &OrganizationId,
    visitor: &Visitor,
    context: &Context<'_>,
) -> Result<Organization, Failure> {
    managed(&visitor.caller(), id, context)
        .await
        .map_err(as_page)
}
