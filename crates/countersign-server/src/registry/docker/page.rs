//! `/registry/{name}/login`: where a person who is signed in gets a one-time code, for `docker login` to ask a password of.
//!
//! The code is shown at the press of a button and not before, so that no page which a browser looks at ahead of time
//! has one. Whom the policy does not let do anything at this registry is told why, and signs in again if they like.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, web};
use countersign_core::sign_in::{Destination, Request};
use countersign_core::{Demands, Occasion, ProviderId, Reason, Scope};
use countersign_providers::AccountChoice;
use countersign_store::{Account, Session};

use super::credential::{ANY_USER, unmet, weighed};
use super::{Oci, code, find};
use crate::audit::{Event, Happening, Subject};
use crate::error::{DockerError, Failure, Problem, page_of_store};
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
        let oci = find(context)?;
        let parameters = context.query();
        let provider = parameters.one("provider").map(ProviderId::new).transpose();
        let provider = provider.map_err(|_| Failure::Page(Problem::UnknownProvider))?;
        let checked = Checked {
            request: request(oci),
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
    let oci = find(context)?;
    let (session, _) = visitor(oci, context).await?;
    let page = match let_in(&session, oci, context).await? {
        Ok(weighed) => {
            let form = form::seal(Form::ToolCode, &oci.name, session.id.as_str(), context)?;
            let held = weighed.permit.scopes();
            RegistryLoginPage::of(&session, oci.registry, context)
                .with(&oci.actions(held), (oci.page(), form))
        }
        Err(reason) => RegistryLoginPage::of(&session, oci.registry, context)
            .refused(reason, format!("{}/sign-in", oci.page())),
    };
    Ok(pages::ok(&page))
}

async fn press(form: &[u8], context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let oci = find(context)?;
    let (session, account) = visitor(oci, context).await?;
    let parameters = Parameters::read(form);
    let holder = session.id.as_str();
    let named: String = form::open(Form::ToolCode, &parameters, holder, context)?;
    if named != oci.name.as_str() {
        return Err(Failure::Page(Problem::FormExpired));
    }
    let Ok(weighed) = let_in(&session, oci, context).await? else {
        return Err(Failure::Elsewhere(oci.page()));
    };
    weighed
        .keep(context)
        .await
        .map_err(|_| Failure::Page(Problem::Unavailable))?;
    let code = code::make(oci, &session, context).await?;
    context.audit(
        Happening::new(Event::ToolCodeMade, &account.id)
            .about(Subject::Account, &account.id)
            .about(Subject::Session, &session.id)
            .about(Subject::Client, &oci.registry.client),
    );
    let user = account
        .registry_account
        .as_ref()
        .map_or(ANY_USER, |name| name.as_str());
    Ok(pages::ok(&RegistryCodePage::new(
        (user, code),
        oci.registry,
        context,
    )))
}

/// Who looks at the page; nobody: they sign in.
async fn visitor(oci: Oci<'_>, context: &Context<'_>) -> Result<(Session, Account), Failure> {
    let found = session::of_browser(context).await;
    let found = found.map_err(|error| page_of_store(&error, context))?;
    found.ok_or_else(|| Failure::Elsewhere(format!("{}/sign-in", oci.page())))
}

/// What the policy permits them at this registry, if anything that not everybody may.
async fn let_in(
    session: &Session,
    oci: Oci<'_>,
    context: &Context<'_>,
) -> Result<Result<Weighed, Reason>, Failure> {
    let wish = (oci.rights.scopes(), None, Occasion::SingleSignOn);
    let weighed = weighed(session, wish, oci, context).await;
    let weighed = weighed.map_err(DockerError::for_person)?;
    Ok(weighed.and_then(|weighed| {
        let is_let = !oci.rights.scopes().is_disjoint(weighed.permit.scopes());
        if is_let {
            Ok(weighed)
        } else {
            Err(unmet(&weighed.permit).unwrap_or(Reason::NotInPolicy))
        }
    }))
}

impl Oci<'_> {
    /// What somebody with these scopes may do that not everybody may.
    fn actions(&self, held: &BTreeSet<Scope>) -> Vec<&str> {
        let gated = self.registry.profile.actions().iter();
        let held = gated.filter(|(_, scope)| held.contains(*scope));
        held.map(|(action, _)| action.as_str()).collect()
    }
}

/// What somebody signs in for who comes here.
fn request(oci: Oci<'_>) -> Request {
    Request {
        client: oci.registry.client.clone(),
        destination: Destination::Page(oci.page()),
        scopes: oci.rights.scopes(),
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
