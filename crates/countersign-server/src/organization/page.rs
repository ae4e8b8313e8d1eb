//! `/organizations`: where an admin sees what their organisations are connected to, and changes it.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use countersign_core::calendar::day_of;
use countersign_core::{Exception, ExceptionName, OrganizationId, Source, Subject, TierName};
use countersign_store::Organization;
use serde::{Deserialize, Serialize};

use super::connect::{About, speaking};
use super::list::{Listed, page_of};
use super::manage::{self, Wish, managed};
use super::record::Record;
use super::shut_out;
use crate::error::{Failure, Problem, page_of_store};
use crate::form::{self, Form};
use crate::own::{ASK, CONNECT, OwnPage, Visitor, visitor};
use crate::pages::{
    self, ClaimRow, ConnectWay, DisconnectPage, ExceptionRow, ExceptionsPart, OrganizationPage,
    OrganizationsPage, RecordPart,
};
use crate::web::{Call, Context, Parameters, see_other};

/// What a button of the page does to a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Button {
    /// Ends it.
    Disconnect(Source),
    /// Lets another organisation have it too.
    Share(Source, OrganizationId),
    /// Looks whether the issuer's host proves it.
    Check(Source),
    /// Asks operators for an exception.
    Ask,
    /// Takes back what was asked for.
    TakeBack(ExceptionName),
}

impl Button {
    /// What it needs.
    fn scope(&self) -> &'static str {
        match self {
            Self::Disconnect(_) | Self::Share(..) | Self::Check(_) => CONNECT,
            Self::Ask | Self::TakeBack(_) => ASK,
        }
    }
}

/// GET: those that the person administers, a page at a time.
pub(crate) async fn list(call: Call) -> HttpResponse {
    call.answer(async |context| {
        let visitor = visitor(&OwnPage::Organizations, context).await?;
        let query = context.query();
        let begins_with = query.one("begins_with").map_or("", str::trim);
        let listed = Listed::AdministeredBy(visitor.person.names());
        let theirs = page_of(listed, begins_with, OrganizationsPage::ROWS, context).await;
        let theirs = theirs.map_err(|error| page_of_store(&error, context))?;
        Ok(pages::ok(&OrganizationsPage::new(
            &visitor,
            begins_with,
            theirs,
            context,
        )))
    })
    .await
}

/// GET: one.
pub(crate) async fn show(call: Call, id: web::Path<String>) -> HttpResponse {
    call.answer(async |context| {
        let visit = visited(&id, context).await?;
        let claims = claims(&visit, context).await?;
        let ways = ways(&visit, context)?;
        let exceptions = exceptions(&visit, context)?;
        // What may be done is asked for when it is: until then the page only shows.
        let raise = visit.visitor.way_to_may(CONNECT, &visit.page, context);
        Ok(pages::ok(&OrganizationPage::new(
            (&visit.known, records(&visit, context)?),
            claims,
            (ways, raise),
            exceptions,
            context,
        )))
    })
    .await
}

/// GET: what ending a connection would do, with the button that does it.
pub(crate) async fn ask(call: Call, id: web::Path<String>) -> HttpResponse {
    call.answer(async |context| {
        let visit = visited(&id, context).await?;
        visit.must_be_let(CONNECT, context)?;
        let known = &visit.known;
        let source = context
            .query()
            .one("source")
            .and_then(|text| text.parse().ok());
        let source: Source = source.ok_or(Failure::Page(Problem::NotFound))?;
        let connection = known
            .connection(&source)
            .ok_or(Failure::Page(Problem::NotFound))?;
        let effects = shut_out::by_disconnecting(known, &source, context).await;
        let effects = effects.map_err(|error| page_of_store(&error, context))?;
        let is_last = shut_out::is_last_shut_out(known, &source, &effects, context).await;
        let is_last = is_last.map_err(|error| page_of_store(&error, context))?;
        let sealed = visit.seal(&Button::Disconnect(source.clone()), context)?;
        let page = DisconnectPage::new(known, connection, (effects, is_last), sealed, context);
        Ok(pages::ok(&page))
    })
    .await
}

/// POST: a button was pressed.
pub(crate) async fn press(call: Call, id: web::Path<String>, form: web::Bytes) -> HttpResponse {
    call.answer(async |context| {
        let visit = visited(&id, context).await?;
        let parameters = Parameters::read(&form);
        let button: Button = form::open(Form::Connections, &parameters, visit.holder(), context)?;
        visit.must_be_let(button.scope(), context)?;
        let (known, caller) = (&visit.known, visit.visitor.caller());
        let done = match button {
            Button::Disconnect(source) => {
                manage::disconnect(known, &source, &caller, context).await
            }
            Button::Share(source, with) => {
                manage::share(known, &with, &source, &caller, context).await
            }
            Button::Check(source) => {
                let made = manage::prove(known, &source, &caller, context).await;
                made.map(drop)
            }
            Button::Ask => {
                let wish = wish(&parameters, context)?;
                let asked = manage::ask_exception(known, wish, &caller, context).await;
                asked.map(drop)
            }
            Button::TakeBack(name) => {
                manage::take_back_exception(known, &name, &caller, context).await
            }
        };
        done.map_err(|error| error.for_person(context))?;
        Ok(see_other(
            &context.broker.settings.endpoint(&visit.page.path()),
        ))
    })
    .await
}

/// What others claim that this organisation has.
async fn claims(visit: &Visit, context: &Context<'_>) -> Result<Vec<ClaimRow>, Failure> {
    let claims = manage::claims_on(&visit.known, context).await;
    let claims = claims.map_err(|error| page_of_store(&error, context))?;
    let row = |(source, other): (Source, Organization)| {
        let button = Button::Share(source.clone(), other.id.clone());
        let sealed = visit.seal(&button, context)?;
        Ok(ClaimRow::new(&other, &source, sealed))
    };
    claims.into_iter().map(row).collect()
}

/// The records that would prove what awaits approval, each with the button that looks for it.
fn records(visit: &Visit, context: &Context<'_>) -> Result<BTreeMap<Source, RecordPart>, Failure> {
    if !visit.visitor.may(CONNECT) {
        return Ok(BTreeMap::new());
    }
    let known = &visit.known;
    let records = known.connections.iter().filter_map(|connection| {
        let record = Record::of(known, connection, context)?;
        Some((connection.mapping.source.clone(), record))
    });
    records
        .map(|(source, record)| {
            let form = visit.seal(&Button::Check(source.clone()), context)?;
            Ok((source, RecordPart { record, form }))
        })
        .collect()
}

/// What was asked for and granted, with the forms of who may ask.
fn exceptions(visit: &Visit, context: &Context<'_>) -> Result<ExceptionsPart, Failure> {
    let Visit {
        page,
        visitor,
        known,
    } = visit;
    let may_ask = visitor.may(ASK);
    let sealed = |button: Button| may_ask.then(|| visit.seal(&button, context)).transpose();
    let of_file = context.policy().exceptions().iter();
    let is_theirs = |one: &Exception| one.subject == Subject::Organization(known.id.clone());
    let of_file = of_file.filter(|(_, one)| is_theirs(one));
    let mut rows: Vec<ExceptionRow> = of_file
        .map(|(_, one)| ExceptionRow::of_file(one, context))
        .collect();
    for asked in known.exceptions.iter().rev() {
        let form = if asked.is_waiting() {
            sealed(Button::TakeBack(asked.name.clone()))?
        } else {
            None
        };
        rows.push(ExceptionRow::asked(asked, form, context));
    }
    Ok(ExceptionsPart {
        rows,
        tiers: manage::tiers_to_waive(context.policy()).cloned().collect(),
        form: sealed(Button::Ask)?,
        raise: visitor.way_to_may(ASK, page, context),
        today: day_of(context.now).to_string(),
    })
}

/// What the form asks for.
fn wish(parameters: &Parameters, context: &Context<'_>) -> Result<Wish, Failure> {
    let tiers = manage::tiers_to_waive(context.policy());
    let is_ticked = |tier: &&TierName| parameters.one(&format!("tier-{tier}")).is_some();
    let until = parameters.one("until").and_then(|day| day.parse().ok());
    let reason = parameters.one("reason").unwrap_or_default();
    let words = reason.split_whitespace();
    Ok(Wish {
        waives: tiers.filter(is_ticked).cloned().collect(),
        // Whoever breaks lines in it means one reason.
        reason: words.collect::<Vec<_>>().join(" "),
        until: until.ok_or(Failure::Page(Problem::BadRequest(
            "give the last day as 2027-09-30",
        )))?,
    })
}

/// The ways to connect something more.
fn ways(visit: &Visit, context: &Context<'_>) -> Result<Vec<ConnectWay>, Failure> {
    if !visit.visitor.may(CONNECT) {
        return Ok(Vec::new());
    }
    speaking(context)
        .map(|provider| {
            let about = About {
                organization: visit.known.id.clone(),
                provider: provider.name().clone(),
            };
            let sealed = form::seal(Form::Connect, &about, visit.holder(), context)?;
            let evidence = &visit.visitor.session.evidence;
            Ok(ConnectWay::new(provider, evidence, sealed))
        })
        .collect()
}

/// Who looks at the page of an organisation that they administer.
pub(super) struct Visit {
    pub(super) page: OwnPage,
    pub(super) visitor: Visitor,
    pub(super) known: Organization,
}

impl Visit {
    /// Goes on only where the policy lets them do this, and writes that down.
    pub(super) fn must_be_let(&self, scope: &str, context: &Context<'_>) -> Result<(), Failure> {
        self.visitor.must_be_let(scope, &self.page, context)
    }

    /// Whom forms are sealed for.
    pub(super) fn holder(&self) -> &str {
        self.visitor.session.id.as_str()
    }

    fn seal(&self, button: &Button, context: &Context<'_>) -> Result<String, Failure> {
        form::seal(Form::Connections, button, self.holder(), context)
    }
}

/// The visit of the organisation that a path names.
pub(super) async fn visited(id: &str, context: &Context<'_>) -> Result<Visit, Failure> {
    let id = OrganizationId::new(id).map_err(|_| Failure::Page(Problem::NotFound))?;
    let page = OwnPage::Organization(id.clone());
    let visitor = visitor(&page, context).await?;
    let known = managed(&visitor.caller(), &id, context).await;
    Ok(Visit {
        page,
        visitor,
        known: known.map_err(|error| error.for_person(context))?,
    })
}
