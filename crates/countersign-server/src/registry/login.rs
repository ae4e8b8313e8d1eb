//! `/registry/{name}/login`: where a person who is signed in gets a one-time code, for `docker login` and `gem signin`, which
//! ask for a password, and for `gem`, which asks for a code before it does what needs a fresh sign-in.
//!
//! The code is shown at the press of a button and not before, so that no page which a browser looks at ahead of time
//! has one. Whom the policy does not let do anything at this registry is told why, and signs in again if they like.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, web};
use countersign_core::sign_in::{Destination, Request};
use countersign_core::{Demands, Occasion, ProviderId, Reason, Scope};
use countersign_providers::AccountChoice;
use countersign_store::{Account, Session};

use super::by_session::{unmet, weighed};
use super::code::{self, ANY_USER};
use super::{ROOT, Registry, named};
use crate::audit::{Event, Happening, Subject};
use crate::error::{Failure, OAuthError, Problem, page_of_store};
use crate::form::{self, Form};
use crate::pages::{self, RegistryCodePage, RegistryLoginPage};
use crate::session;
use crate::sign_in::{Checked, Interaction, begin};
use crate::token::Weighed;
use crate::web::{Call, Context, Parameters};

/// GET: the page.
pub(crate) async fn show(call: Call) -> HttpResponse {
    call.answer(page).await
}

/// POST: its button was pressed.
pub(crate) async fn make_code(call: Call, form: web::Bytes) -> HttpResponse {
    call.answer(async |context| press(&form, context).await)
        .await
}

/// GET `/registry/{name}/login/sign-in`: the way to the provider.
pub(crate) async fn sign_in(call: Call) -> HttpResponse {
    call.answer(async |context| {
        let registry = named(ROOT, context)?;
        let parameters = context.query();
        let provider = parameters.one("provider").map(ProviderId::new).transpose();
        let provider = provider.map_err(|_| Failure::Page(Problem::UnknownProvider))?;
        let checked = Checked {
            request: request(registry, context),
            provider,
            tenant: None,
            login_hint: None,
            account_choice: AccountChoice::ProviderDecides,
            interaction: Interaction::AsNeeded,
        };
        begin(checked, context).await
    })
    .await
}

async fn page(context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let registry = named(ROOT, context)?;
    let (session, _) = visitor(registry, context).await?;
    let page = match let_in(&session, registry, context).await? {
        Ok(weighed) => {
            let form = form::seal(Form::ToolCode, &registry.name, session.id.as_str(), context)?;
            let permit = weighed.permit;
            let held = actions(registry, permit.scopes());
            RegistryLoginPage::of(&session, registry, context)
                .letting(&held, (registry.login_path(), form))
                .refused(unmet(&permit), way_in(registry))
        }
        Err(reason) => RegistryLoginPage::of(&session, registry, context)
            .refused(Some(reason), way_in(registry)),
    };
    Ok(pages::ok(&page))
}

async fn press(form: &[u8], context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let registry = named(ROOT, context)?;
    let (session, account) = visitor(registry, context).await?;
    let parameters = Parameters::read(form);
    let holder = session.id.as_str();
    let named_there: String = form::open(Form::ToolCode, &parameters, holder, context)?;
    if named_there != registry.name.as_str() {
        return Err(Failure::Page(Problem::FormExpired));
    }
    let Ok(weighed) = let_in(&session, registry, context).await? else {
        return Err(Failure::Elsewhere(registry.login_path()));
    };
    weighed
        .keep(context)
        .await
        .map_err(|_| Failure::Page(Problem::Unavailable))?;
    let code = code::make(registry, &session, context).await?;
    context.audit(
        Happening::new(Event::ToolCodeMade, &account.id)
            .about(Subject::Account, &account.id)
            .about(Subject::Session, &session.id)
            .about(Subject::Client, &registry.client),
    );
    let user = account
        .registry_account
        .as_ref()
        .map_or(ANY_USER, |name| name.as_str());
    Ok(pages::ok(&RegistryCodePage::new(
        (user, code),
        registry,
        context,
    )))
}

/// Who looks at the page; nobody: they sign in.
async fn visitor(
    registry: &Registry,
    context: &Context<'_>,
) -> Result<(Session, Account), Failure> {
    let found = session::of_browser(context).await;
    let found = found.map_err(|error| page_of_store(&error, context))?;
    found.ok_or_else(|| Failure::Elsewhere(way_in(registry)))
}

/// What the policy permits them at this registry, if anything that not everybody may.
async fn let_in(
    session: &Session,
    registry: &Registry,
    context: &Context<'_>,
) -> Result<Result<Weighed, Reason>, Failure> {
    let wish = (registry.scopes(context), None, Occasion::SingleSignOn);
    let weighed = weighed(session, wish, registry, context).await;
    let weighed = weighed.map_err(|failure| match OAuthError::of_grant(&failure) {
        Some(_) => Failure::Page(Problem::SignedOut),
        None => Failure::Page(Problem::Unavailable),
    })?;
    Ok(weighed.and_then(|weighed| {
        let is_let = !actions(registry, weighed.permit.scopes()).is_empty();
        if is_let {
            Ok(weighed)
        } else {
            Err(unmet(&weighed.permit).unwrap_or(Reason::NotInPolicy))
        }
    }))
}

/// The way to the provider, and back to the page.
fn way_in(registry: &Registry) -> String {
    format!("{}/sign-in", registry.login_path())
}

/// What somebody with these scopes may do that not everybody may.
fn actions<'r>(registry: &'r Registry, held: &BTreeSet<Scope>) -> Vec<&'r str> {
    let gated = registry.profile.actions().iter();
    let held = gated.filter(|(_, scope)| held.contains(*scope));
    held.map(|(action, _)| action.as_str()).collect()
}

/// What somebody signs in for who comes here.
fn request(registry: &Registry, context: &Context<'_>) -> Request {
    Request {
        client: registry.client.clone(),
        destination: Destination::Page(registry.login_path()),
        scopes: registry.scopes(context),
        organization: None,
        manages: None,
        state: None,
        nonce: None,
        code_challenge: None,
        subject: None,
        resource: None,
        dpop_jkt: None,
        pushed: None,
        demands: Demands::default(),
    }
}
