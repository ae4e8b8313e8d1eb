//! `/operator`: where an operator sees what waits for an answer, all organisations, all accounts and the audit log, and
//! does what is theirs to do. Who is one the policy says (`[operators]`), and what their sign-in must show.
//!
//! What is done here is done by the same functions as by API, and held to the same checks.

mod accounts;
mod audit_log;
mod organizations;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::Caller;
use crate::error::{ApiError, Failure, Problem, page_of_store};
use crate::form::{self, Form};
use crate::organization::{Listed, page_of};
use crate::own::{Desk, LOOK, OPERATE, OwnPage, Visitor, visitor};
use crate::pages::{self, OperatorGatePage, OperatorPage};
use crate::web::{Call, Context, Parameters};

pub(crate) use accounts::{list as accounts, press as press_account, show as account};
pub(crate) use audit_log::show as audit_log;
pub(crate) use organizations::{
    list as organizations, press as press_organization, show as organization,
};

/// How many rows a page has.
pub(crate) const ROWS: usize = 50;

/// An operator, at a page of theirs.
struct Operator {
    page: OwnPage,
    visitor: Visitor,
}

/// Answers an operator; tells anybody else what is missing, and leads nobody in a circle.
async fn at_desk(
    desk: Desk,
    context: &Context<'_>,
    answer: impl AsyncFnOnce(&Operator) -> Result<HttpResponse, Failure>,
) -> Result<HttpResponse, Failure> {
    let page = OwnPage::Operator(desk);
    let visitor = visitor(&page, context).await?;
    if !visitor.may(LOOK) {
        let gate = OperatorGatePage::new(&visitor, &page, context);
        return Ok(pages::respond(StatusCode::FORBIDDEN, &gate));
    }
    answer(&Operator { page, visitor }).await
}

impl Operator {
    /// Goes on as an operator only where the policy lets them change anything, and writes that down.
    fn must_operate(&self, context: &Context<'_>) -> Result<Caller, Failure> {
        self.visitor.must_be_let(OPERATE, &self.page, context)?;
        Ok(Caller::Operator(self.visitor.person.clone()))
    }

    /// A button that does this, for whoever may press it.
    fn button(
        &self,
        what: &impl Serialize,
        context: &Context<'_>,
    ) -> Result<Option<String>, Failure> {
        let may_press = self.visitor.may(OPERATE);
        may_press.then(|| self.seal(what, context)).transpose()
    }

    fn seal(&self, what: &impl Serialize, context: &Context<'_>) -> Result<String, Failure> {
        let holder = self.visitor.session.id.as_str();
        form::seal(Form::Operator, &(self.page.path(), what), holder, context)
    }

    /// What the button does that was pressed, on this page and no other.
    fn pressed<T: DeserializeOwned>(
        &self,
        parameters: &Parameters,
        context: &Context<'_>,
    ) -> Result<T, Failure> {
        let holder = self.visitor.session.id.as_str();
        let (path, what): (String, T) = form::open(Form::Operator, parameters, holder, context)?;
        if path == self.page.path() {
            Ok(what)
        } else {
            Err(Failure::Page(Problem::FormExpired))
        }
    }

    /// Where to sign in before anything can be changed, if that is needed.
    fn raise(&self, context: &Context<'_>) -> Option<String> {
        self.visitor.way_to_may(OPERATE, &self.page, context)
    }
}

/// Why something was not done, for the operator: in the words of the API.
fn told(error: ApiError, context: &Context<'_>) -> Failure {
    match error {
        error @ (ApiError::Body(_) | ApiError::AccountLocked) => {
            Failure::Page(Problem::NotDone(error.message()))
        }
        error => error.for_person(context),
    }
}

/// GET: what waits for an answer.
pub(crate) async fn home(call: Call) -> HttpResponse {
    call.answer(async |context| {
        at_desk(Desk::Home, context, async |operator| {
            let query = context.query();
            let begins_with = query.one("begins_with").map_or("", str::trim);
            let asking = page_of(Listed::Asking, begins_with, ROWS, context).await;
            let asking = asking.map_err(|error| page_of_store(&error, context))?;
            let page = OperatorPage::new(&operator.visitor, begins_with, asking, context);
            Ok(pages::ok(&page))
        })
        .await
    })
    .await
}
