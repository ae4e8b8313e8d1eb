//! Our own pages, for which a person signs in as for any client: the client `countersign`, which the policy names
//! where it wants these pages, and which nobody else can be.
//!
//! The pages have no rights of their own: what a person may do there the policy says of their session, each time.

use std::collections::BTreeSet;

use actix_web::HttpResponse;
use countersign_core::sign_in::{Destination, Request};
use countersign_core::{
    AccountId, ClientId, Decision, Demands, Occasion, OrganizationId, ProviderId, Scope, Verdict,
};
use countersign_providers::AccountChoice;
use countersign_store::{Account, Session, StoreError};
use jiff::Timestamp;
use url::form_urlencoded;

use crate::api::{Caller, Person};
use crate::error::{Failure, Problem, page_of_store};
use crate::session;
use crate::sign_in::{Checked, Interaction, begin};
use crate::web::{Call, Context, Decided, see_other};

/// A page of ours that a person can be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OwnPage {
    /// The organisations that the person administers.
    Organizations,
    /// One of them.
    Organization(OrganizationId),
    /// The person's own account.
    Account,
    /// The person's API keys.
    ApiKeys,
    /// What a registry vouches for by a ticket.
    Claim,
    /// One of operators'.
    Operator(Desk),
}

/// A page of operators'.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Desk {
    /// What waits for them.
    Home,
    /// All organisations.
    Organizations,
    /// One of them.
    Organization(OrganizationId),
    /// All accounts.
    Accounts,
    /// One of them.
    Account(AccountId),
    /// The audit log.
    AuditLog,
}

impl Desk {
    fn path(&self) -> String {
        match self {
            Self::Home => "/operator".to_owned(),
            Self::Organizations => "/operator/organizations".to_owned(),
            Self::Organization(id) => format!("/operator/organizations/{id}"),
            Self::Accounts => "/operator/accounts".to_owned(),
            Self::Account(id) => format!("/operator/accounts/{id}"),
            Self::AuditLog => "/operator/audit-log".to_owned(),
        }
    }

    fn at(path: &str) -> Option<Self> {
        let named = [
            Self::Home,
            Self::Organizations,
            Self::Accounts,
            Self::AuditLog,
        ];
        if let Some(found) = named.into_iter().find(|one| one.path() == path) {
            return Some(found);
        }
        if let Some(id) = path.strip_prefix("/operator/organizations/") {
            return OrganizationId::new(id).ok().map(Self::Organization);
        }
        let id = path.strip_prefix("/operator/accounts/")?;
        AccountId::new(id).ok().map(Self::Account)
    }
}

impl OwnPage {
    /// Its path.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Organizations => "/organizations".to_owned(),
            Self::Organization(id) => format!("/organizations/{id}"),
            Self::Account => "/account".to_owned(),
            Self::ApiKeys => "/account/keys".to_owned(),
            Self::Claim => "/account/claim".to_owned(),
            Self::Operator(desk) => desk.path(),
        }
    }

    /// The page at a path, if there is one: nobody is sent elsewhere.
    fn at(path: &str) -> Option<Self> {
        match path {
            "/organizations" => return Some(Self::Organizations),
            "/account" => return Some(Self::Account),
            "/account/keys" => return Some(Self::ApiKeys),
            "/account/claim" => return Some(Self::Claim),
            _ => {}
        }
        if let Some(desk) = Desk::at(path) {
            return Some(Self::Operator(desk));
        }
        let id = path.strip_prefix("/organizations/")?;
        OrganizationId::new(id).ok().map(Self::Organization)
    }

    /// The organisation that it is of.
    fn organization(&self) -> Option<&OrganizationId> {
        match self {
            Self::Organization(id) => Some(id),
            Self::Organizations
            | Self::Account
            | Self::ApiKeys
            | Self::Claim
            | Self::Operator(_) => None,
        }
    }

    /// What whoever comes there comes to do, so that they sign in once.
    fn purpose(&self) -> Option<&'static str> {
        match self {
            Self::Organizations | Self::Organization(_) | Self::Account => None,
            Self::ApiKeys => Some(MAKE_KEYS),
            Self::Claim => Some(LINK),
            Self::Operator(_) => Some(LOOK),
        }
    }

    /// The address at which a person signs in for it, and for what they want to do there.
    pub(crate) fn sign_in(&self, scope: Option<&str>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("to", &self.path());
        query.extend_pairs(scope.map(|scope| ("scope", scope)));
        format!("/sign-in?{}", query.finish())
    }
}

/// What changes an organisation's connections.
pub(crate) const CONNECT: &str = Scope::TENANTS_WRITE;
/// What changes which identities lead to an account.
pub(crate) const LINK: &str = Scope::IDENTITIES_WRITE;
/// What asks for exceptions.
pub(crate) const ASK: &str = Scope::EXCEPTIONS_REQUEST;
/// What makes and revokes API keys of one's own.
pub(crate) const MAKE_KEYS: &str = Scope::API_KEYS_WRITE;
/// What shows operators all there is.
pub(crate) const LOOK: &str = Scope::OPERATOR_READ;
/// What operators change it by.
pub(crate) const OPERATE: &str = Scope::OPERATOR_WRITE;
/// What a person can be let do on our pages.
pub(crate) const SCOPES: [&str; 6] = [CONNECT, LINK, ASK, MAKE_KEYS, LOOK, OPERATE];

/// The client that our pages are.
pub(crate) fn client() -> ClientId {
    ClientId::own()
}

/// Whoever looks at a page of ours.
pub(crate) struct Visitor {
    pub(crate) session: Session,
    pub(crate) account: Account,
    pub(crate) person: Person,
    scopes: BTreeSet<Scope>,
    /// After this the policy lets them do less, or nothing.
    pub(crate) until: Option<Timestamp>,
    decided: Decided,
}

impl Visitor {
    /// Who they are to what is behind the pages, which is what is behind the API.
    pub(crate) fn caller(&self) -> Caller {
        Caller::Person(self.person.clone())
    }

    /// Whether the policy lets them do this now.
    pub(crate) fn may(&self, scope: &str) -> bool {
        self.scopes.contains(scope)
    }

    /// Where they sign in for it, if the policy has it and does not let them do it now.
    pub(crate) fn way_to_may(
        &self,
        scope: &str,
        page: &OwnPage,
        context: &Context<'_>,
    ) -> Option<String> {
        let is_offered = scopes([scope], context).contains(scope);
        (is_offered && !self.may(scope)).then(|| page.sign_in(Some(scope)))
    }

    /// Goes on only where it does, and writes the decision down, since something follows from it.
    pub(crate) fn must_be_let(
        &self,
        scope: &str,
        page: &OwnPage,
        context: &Context<'_>,
    ) -> Result<(), Failure> {
        if self.may(scope) {
            context.log_decision(self.decided.clone());
            Ok(())
        } else {
            Err(Failure::Elsewhere(page.sign_in(Some(scope))))
        }
    }
}

/// Who looks at this page; who is not signed in, or not well enough for any page of ours, is sent to sign in.
pub(crate) async fn visitor(page: &OwnPage, context: &Context<'_>) -> Result<Visitor, Failure> {
    let found = find(page, context).await;
    match found.map_err(|error| page_of_store(&error, context))? {
        Some(visitor) => Ok(visitor),
        None => Err(Failure::Elsewhere(page.sign_in(page.purpose()))),
    }
}

async fn find(page: &OwnPage, context: &Context<'_>) -> Result<Option<Visitor>, StoreError> {
    let Some((session, account)) = session::of_browser(context).await? else {
        return Ok(None);
    };
    let person = Person::of(client(), &session, &account, context).await?;
    let (decision, facts) = person.weigh(page.organization(), context);
    let decided = Decided {
        on: Occasion::SingleSignOn,
        at: context.now,
        verdict: Verdict::from(&decision),
        facts,
    };
    Ok(match decision {
        Decision::Permit(permit) => Some(Visitor {
            session,
            account,
            person,
            scopes: permit.scopes().clone(),
            until: permit.not_after(),
            decided,
        }),
        Decision::StepUp(_) | Decision::Refuse(_) => None,
    })
}

/// `openid`, and those of these that the policy has.
pub(crate) fn scopes<'a>(
    wanted: impl IntoIterator<Item = &'a str>,
    context: &Context<'_>,
) -> BTreeSet<Scope> {
    let known =
        |scope: &Scope| scope.as_str() == "openid" || context.policy().tier_of(scope).is_some();
    std::iter::once("openid")
        .chain(wanted)
        .filter_map(|scope| Scope::new(scope).ok())
        .filter(known)
        .collect()
}

/// GET `/sign-in`: a person signs in for a page of ours.
pub(crate) async fn sign_in(call: Call) -> HttpResponse {
    call.answer(go).await
}

async fn go(context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let parameters = context.query();
    if parameters.is_repeated() {
        return Err(Failure::Page(Problem::BadRequest(
            "a parameter stands twice",
        )));
    }
    if context.policy().client_tier(&client()).is_none() {
        return Err(Failure::Page(Problem::PagesOff));
    }
    let page = parameters.one("to").and_then(OwnPage::at);
    let page = page.ok_or(Failure::Page(Problem::NotFound))?;
    let scope = parameters
        .one("scope")
        .filter(|scope| SCOPES.contains(scope));
    let interaction = match parameters.one("prompt") {
        Some("select_account") => Interaction::Demanded,
        Some(_) | None => Interaction::AsNeeded,
    };
    let request = request(
        Destination::Page(page.path()),
        page.organization(),
        scope,
        context,
    );
    let provider = parameters.one("provider").map(ProviderId::new).transpose();
    let provider = provider.map_err(|_| Failure::Page(Problem::UnknownProvider))?;
    let checked = Checked {
        request,
        provider,
        tenant: None,
        login_hint: None,
        account_choice: match interaction {
            Interaction::Demanded => AccountChoice::Offered,
            Interaction::AsNeeded | Interaction::Forbidden => AccountChoice::ProviderDecides,
        },
        interaction,
    };
    begin(checked, context).await
}

/// What somebody signs in for who comes to a page of ours.
pub(crate) fn request(
    destination: Destination,
    manages: Option<&OrganizationId>,
    scope: Option<&str>,
    context: &Context<'_>,
) -> Request {
    Request {
        client: client(),
        destination,
        scopes: scopes(scope, context),
        organization: None,
        manages: manages.cloned(),
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

/// Sends a person to the page that they signed in for.
pub(crate) fn arrive(path: &str, context: &Context<'_>) -> HttpResponse {
    see_other(&context.broker.settings.endpoint(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_what_is_no_page_of_ours() {
        for path in [
            "/organizations",
            "/organizations/contoso",
            "/account",
            "/account/keys",
            "/account/claim",
            "/operator",
            "/operator/organizations",
            "/operator/organizations/contoso",
            "/operator/accounts",
            "/operator/accounts/acct_1",
            "/operator/audit-log",
        ] {
            assert_eq!(OwnPage::at(path).unwrap().path(), path);
        }
        for elsewhere in [
            "",
            "/",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/organizations/",
            "/organizations/..",
            "/organizations/a/b",
            "/organizations?x",
            "/account/claim?ticket=x",
            "/account/press",
            "/account/keys/revoke",
            "/operator/",
            "/operator/press",
            "/operator/accounts/1",
            "/operator/accounts/acct_1/erase",
            "/authorize",
            "organizations",
        ] {
            assert_eq!(OwnPage::at(elsewhere), None, "{elsewhere}");
        }
    }
}
