//! An organisation's admin shows that they speak for a tenant, or own an organisation at GitHub, and connects it.
//!
//! Three steps, each of which the next can't do without. A button of the organisation's page sends the admin to the
//! provider ([`start`]). Who comes back shows by their token that they speak for a tenant ([`proven`]); that says nothing
//! of who the admin is, and nobody is signed in by it. What was shown is sealed for the admin's own session, and
//! the page that it leads to says what will change before anything does ([`preview`], [`confirm`]).

use std::collections::{BTreeMap, BTreeSet};

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use countersign_core::sign_in::{Connecting, Destination};
use countersign_core::{
    AttemptId, Claim, Evidence, GitHubRole, Identity, Mapping, Membership, OrganizationId, Permit,
    ProviderId, SessionId, Source, TenantId,
};
use countersign_providers::oidc::People;
use countersign_providers::{AccountChoice, Provider};
use countersign_store::{Organization, Proof};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::page::{Visit, visited};
use super::terms::Typed;
use super::{manage, shut_out};
use crate::edge::RandomText;
use crate::error::{ApiError, Failure, Problem, page_of_store};
use crate::form::{self, Form};
use crate::once::{Kind, is_first};
use crate::own::{self, CONNECT};
use crate::pages::{self, ConnectPage, Filled, Offered};
use crate::session;
use crate::sign_in::depart;
use crate::web::{Call, Context, Parameters, see_other};

/// For so long what was shown can be made use of.
const PROOF_LIFETIME: SignedDuration = SignedDuration::from_mins(15);
/// The most organisations of GitHub's that are offered, the newest of them: a proof travels in an address.
pub(super) const MOST_OFFERED: usize = 40;

/// What the button that begins it is about.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) organization: OrganizationId,
    pub(super) provider: ProviderId,
}

/// What somebody has shown that they speak for, sealed for the session that began it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Shown {
    organization: OrganizationId,
    proof: Proof,
    /// What it can be connected to, with names for people.
    sources: BTreeMap<Source, String>,
    until: Timestamp,
}

impl Shown {
    /// The one source, where there is one.
    fn only(&self) -> Option<&Source> {
        let mut sources = self.sources.keys();
        sources.next().filter(|_| sources.next().is_none())
    }
}

/// Why somebody did not show that they speak for a tenant, or own an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotProven {
    /// The provider's tokens say nothing of directory roles.
    RolesUnreadable,
    /// They do, and none of them is one that speaks for a tenant.
    NoAdmin,
    /// The person is a guest there.
    Guest,
    /// Another tenant than the one that was to be shown.
    OtherTenant,
    /// GitHub did not let us see whose member the person is.
    MembershipsUnreadable,
    /// The person owns no organisation there that we can see.
    NoOwner,
    /// The provider is of a kind that speaks for nobody.
    WrongProvider,
    /// The sign-in did not show what connecting needs, or only because nobody has to yet.
    NotLet,
}

impl NotProven {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::RolesUnreadable => "tenant-roles-unreadable",
            Self::NoAdmin => "tenant-role-missing",
            Self::Guest => "tenant-guest",
            Self::OtherTenant => "tenant-other",
            Self::MembershipsUnreadable => "github-memberships-unreadable",
            Self::NoOwner => "github-not-owner",
            Self::WrongProvider => "provider-speaks-for-nobody",
            Self::NotLet => "connection-needs-more",
        }
    }

    /// All, for documentation and its test.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 8] = [
        Self::RolesUnreadable,
        Self::NoAdmin,
        Self::Guest,
        Self::OtherTenant,
        Self::MembershipsUnreadable,
        Self::NoOwner,
        Self::WrongProvider,
        Self::NotLet,
    ];
}

/// POST: the button was pressed.
pub(crate) async fn start(call: Call, id: web::Path<String>, form: web::Bytes) -> HttpResponse {
    call.answer(async |context| {
        let visit = visited(&id, context).await?;
        let parameters = Parameters::read(&form);
        let about: About = opened(Form::Connect, &parameters, &visit, context)?;
        visit.must_be_let(CONNECT, context)?;
        let tenant = match parameters.one("tenant").map(str::trim) {
            None | Some("") => None,
            Some(text) => {
                let tenant = TenantId::new(text.to_ascii_lowercase());
                let tenant = tenant.map_err(|_| {
                    Failure::Page(Problem::BadRequest(
                        "a tenant’s id is a GUID, such as 6e93a626-8aca-4dc1-9191-ce291b4b75a1",
                    ))
                })?;
                Some(tenant)
            }
        };
        let way = Way {
            about,
            tenant,
            session: visit.visitor.session.id,
        };
        // A form is held to `form-action` on every redirect that follows it: the way to the provider is a link.
        let sealed = form::seal(Form::ConnectAt, &way, way.session.as_str(), context)?;
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair(form::FIELD, &sealed)
            .finish();
        let path = format!(
            "/organizations/{}/connect/at?{query}",
            way.about.organization
        );
        Ok(pages::ok(&pages::LeavePage::new(
            &way.about.provider,
            path,
            context,
        )))
    })
    .await
}

/// Where the admin goes, and what for.
#[derive(Debug, Serialize, Deserialize)]
struct Way {
    about: About,
    tenant: Option<TenantId>,
    session: SessionId,
}

/// GET: on to the provider.
pub(crate) async fn leave(call: Call, id: web::Path<String>) -> HttpResponse {
    call.answer(async |context| {
        let visit = visited(&id, context).await?;
        let way: Way = opened(Form::ConnectAt, &context.query(), &visit, context)?;
        let connecting = Connecting {
            organization: way.about.organization,
            session: way.session,
            tenant: way.tenant.clone(),
        };
        let destination = Destination::Connection(connecting);
        let first = depart::First {
            request: own::request(destination, Some(&visit.known.id), Some(CONNECT), context),
            tenant: way.tenant,
            login_hint: None,
            // Whoever speaks for a tenant may do so with another account than they publish with.
            account_choice: AccountChoice::Offered,
        };
        depart::first(first, &way.about.provider, context).await
    })
    .await
}

/// Somebody came back, and the policy lets them: what they speak for, for the session that began it.
pub(crate) async fn proven(
    attempt: (&AttemptId, Timestamp),
    connecting: &Connecting,
    (permit, evidence): (&Permit, &Evidence),
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let of_browser = session::of_browser(context).await;
    let of_browser = of_browser.map_err(|error| page_of_store(&error, context))?;
    // The browser that began it, still signed in as who began it.
    if of_browser.is_none_or(|(session, _)| session.id != connecting.session) {
        return Err(Failure::Page(Problem::SignedOut));
    }
    let (id, until) = attempt;
    let first = is_first(Kind::Connection, &[id.as_str()], until, context).await;
    if !first.map_err(|error| page_of_store(&error, context))? {
        return Err(Failure::Page(Problem::AttemptMissing));
    }
    let shown = shown(connecting, permit, evidence, context);
    let shown = shown.map_err(|why| {
        tracing::info!(code = why.code(), request = %context.request_id, organization = %connecting.organization, "not shown to speak for a tenant");
        Failure::Page(Problem::NotProven(why))
    })?;
    let holder = connecting.session.as_str();
    let sealed = form::seal(Form::Connection, &shown, holder, context)?;
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair(form::FIELD, &sealed)
        .finish();
    let path = format!("/organizations/{}/connect?{query}", connecting.organization);
    Ok(see_other(&context.broker.settings.endpoint(&path)))
}

fn shown(
    connecting: &Connecting,
    permit: &Permit,
    evidence: &Evidence,
    context: &Context<'_>,
) -> Result<Shown, NotProven> {
    // What is let go of is not shown: an account that need not have MFA yet gets no such scope.
    if !permit.scopes().contains(CONNECT) {
        return Err(NotProven::NotLet);
    }
    let (proof, sources) = match &evidence.identity {
        Identity::Microsoft { tid, .. } => of_tenant(tid, connecting, evidence, context)?,
        Identity::GitHub { host, .. } => of_github(host, evidence)?,
        Identity::Oidc { issuer, .. } => of_issuer(issuer, evidence, context)?,
    };
    Ok(Shown {
        organization: connecting.organization.clone(),
        proof,
        sources,
        until: context.now + PROOF_LIFETIME,
    })
}

type Spoken = (Proof, BTreeMap<Source, String>);

/// A member of the tenant who has one of the roles that speak for it.
fn of_tenant(
    tid: &TenantId,
    connecting: &Connecting,
    evidence: &Evidence,
    context: &Context<'_>,
) -> Result<Spoken, NotProven> {
    if tid.is_consumers() {
        return Err(NotProven::WrongProvider);
    }
    if connecting.tenant.as_ref().is_some_and(|asked| asked != tid) {
        return Err(NotProven::OtherTenant);
    }
    match &evidence.membership {
        Claim::Absent | Claim::Value(Membership::Member) => {}
        Claim::Value(Membership::Guest) | Claim::Malformed | Claim::Contradictory => {
            return Err(NotProven::Guest);
        }
    }
    let roles = match &evidence.affiliation.directory_roles {
        Claim::Value(roles) => roles,
        Claim::Absent | Claim::Malformed | Claim::Contradictory => {
            return Err(NotProven::RolesUnreadable);
        }
    };
    let speaking = &context.policy().mapping().entra_roles;
    let role = roles.iter().find(|role| speaking.contains(*role));
    let role = role.ok_or(NotProven::NoAdmin)?;
    let source = Source::Tenant(tid.clone());
    let sources = BTreeMap::from([(source, format!("Microsoft Entra tenant {tid}"))]);
    Ok((Proof::DirectoryRole(role.clone()), sources))
}

/// One of the people of an issuer that has one organisation's alone: which shows nobody who speaks for them, so that an
/// operator approves it, or a record of the issuer's host proves it.
fn of_issuer(
    issuer: &str,
    evidence: &Evidence,
    context: &Context<'_>,
) -> Result<Spoken, NotProven> {
    let provider = context.broker.providers.get(&evidence.provider);
    if !provider.is_some_and(has_people_of_one) {
        return Err(NotProven::WrongProvider);
    }
    let source = Source::Issuer(issuer.to_owned());
    let sources = BTreeMap::from([(source, issuer.to_owned())]);
    let token = context.broker.entropy.hex::<16>();
    Ok((Proof::Member { token }, sources))
}

/// An owner of organisations at GitHub.
fn of_github(host: &str, evidence: &Evidence) -> Result<Spoken, NotProven> {
    let Claim::Value(organizations) = &evidence.affiliation.github_organizations else {
        return Err(NotProven::MembershipsUnreadable);
    };
    let owned = organizations
        .iter()
        .rev()
        .filter(|(_, member)| member.role == GitHubRole::Admin)
        .take(MOST_OFFERED);
    let sources: BTreeMap<Source, String> = owned
        .map(|(id, member)| {
            let source = Source::GitHubOrganization {
                host: host.to_owned(),
                id: *id,
            };
            (source, format!("{} at {host}", member.login))
        })
        .collect();
    if sources.is_empty() {
        return Err(NotProven::NoOwner);
    }
    Ok((Proof::GitHubOwner, sources))
}

/// GET: what would change.
pub(crate) async fn preview(call: Call, id: web::Path<String>) -> HttpResponse {
    call.answer(async |context| {
        let visit = visited(&id, context).await?;
        let parameters = context.query();
        let shown = still_shown(&parameters, &visit, context)?;
        let typed = Typed::of(before(&visit.known, shown.only()));
        let page = page_of(&visit, &shown, &parameters, Filled::new(typed), context).await?;
        Ok(pages::ok(&page))
    })
    .await
}

/// POST: the admin has seen what would change, and wants it; or wants more rows to say it in.
pub(crate) async fn confirm(call: Call, id: web::Path<String>, form: web::Bytes) -> HttpResponse {
    call.answer(async |context| {
        let visit = visited(&id, context).await?;
        let parameters = Parameters::read(&form);
        let shown = still_shown(&parameters, &visit, context)?;
        let typed = Typed::read(&parameters);
        if parameters.one("more").is_some() {
            let filled = Filled::new(typed.with_more_rows());
            let page = page_of(&visit, &shown, &parameters, filled, context).await?;
            return Ok(pages::ok(&page));
        }
        visit.must_be_let(CONNECT, context)?;
        let source = chosen(&shown, &parameters)?;
        match connect(&visit, &shown, source, &typed, context).await? {
            Ok(()) => Ok(see_other(
                &context.broker.settings.endpoint(&visit.page.path()),
            )),
            Err(problem) => {
                let problem = Some(problem);
                let filled = Filled { typed, problem };
                let page = page_of(&visit, &shown, &parameters, filled, context).await?;
                Ok(pages::respond(StatusCode::BAD_REQUEST, &page))
            }
        }
    })
    .await
}

/// Does what was typed; or answers what to type instead.
async fn connect(
    visit: &Visit,
    shown: &Shown,
    source: Source,
    typed: &Typed,
    context: &Context<'_>,
) -> Result<Result<(), String>, Failure> {
    let known = &visit.known;
    let mut terms = match typed.terms(&source) {
        Ok(terms) => terms,
        Err(problem) => return Ok(Err(problem)),
    };
    if context.policy().mapping().roles.is_empty() {
        // The form says nothing of them: what was there stays.
        let before = before(known, Some(&source));
        terms.roles = before.map(|one| one.roles.clone()).unwrap_or_default();
    }
    let (wanted, caller) = ((source, terms), visit.visitor.caller());
    let made = manage::connect(known, wanted, shown.proof.clone(), &caller, context).await;
    match made {
        Ok(_) => Ok(Ok(())),
        Err(ApiError::Body(problem)) => Ok(Err(problem.to_owned())),
        Err(error) => Err(error.for_person(context)),
    }
}

fn before<'a>(known: &'a Organization, source: Option<&Source>) -> Option<&'a Mapping> {
    let connection = source.and_then(|source| known.connection(source));
    connection.map(|one| &one.mapping)
}

/// What would change, with the form as it was filled in.
async fn page_of(
    visit: &Visit,
    shown: &Shown,
    parameters: &Parameters,
    filled: Filled,
    context: &Context<'_>,
) -> Result<ConnectPage, Failure> {
    let known = &visit.known;
    let sources: BTreeSet<Source> = shown.sources.keys().cloned().collect();
    let effects = shut_out::by_connecting(known, &sources, context).await;
    let effects = effects.map_err(|error| page_of_store(&error, context))?;
    let sealed = parameters.one(form::FIELD).unwrap_or_default().to_owned();
    let until = shown.until.min(visit.visitor.until.unwrap_or(shown.until));
    let offered = Offered {
        sources: shown.sources.clone(),
        before: before(known, shown.only()),
        until,
        form: sealed,
        proof: &shown.proof,
    };
    Ok(ConnectPage::new(known, offered, filled, effects, context))
}

/// The source that the admin picked, of those that they have shown to speak for.
fn chosen(shown: &Shown, parameters: &Parameters) -> Result<Source, Failure> {
    let named = parameters.one("source").unwrap_or_default();
    let mut sources = shown.sources.keys();
    sources
        .find(|source| source.to_string() == named)
        .cloned()
        .ok_or(Failure::Page(Problem::BadRequest(
            "pick what the organization is to be connected to",
        )))
}

fn still_shown(
    parameters: &Parameters,
    visit: &Visit,
    context: &Context<'_>,
) -> Result<Shown, Failure> {
    let shown: Shown = opened(Form::Connection, parameters, visit, context)?;
    if context.now < shown.until {
        Ok(shown)
    } else {
        Err(Failure::Page(Problem::FormExpired))
    }
}

/// What a form says that is about one organisation.
trait IsAbout {
    fn organization(&self) -> &OrganizationId;
}

impl IsAbout for About {
    fn organization(&self) -> &OrganizationId {
        &self.organization
    }
}

impl IsAbout for Way {
    fn organization(&self) -> &OrganizationId {
        &self.about.organization
    }
}

impl IsAbout for Shown {
    fn organization(&self) -> &OrganizationId {
        &self.organization
    }
}

/// What this visitor's form says, if it is about the organisation of the page that it comes to.
fn opened<T: IsAbout + serde::de::DeserializeOwned>(
    which: Form,
    parameters: &Parameters,
    visit: &Visit,
    context: &Context<'_>,
) -> Result<T, Failure> {
    let said: T = form::open(which, parameters, visit.holder(), context)?;
    if *said.organization() == visit.known.id {
        Ok(said)
    } else {
        Err(Failure::Page(Problem::FormExpired))
    }
}

/// The providers with which somebody can show that they speak for others.
pub(super) fn speaking<'a>(context: &Context<'a>) -> impl Iterator<Item = &'a Provider> + use<'a> {
    context
        .broker
        .providers
        .values()
        .filter(|provider| match provider {
            Provider::Microsoft(one) => !one.is_personal(),
            Provider::GitHub(_) => true,
            Provider::Oidc(_) => has_people_of_one(provider),
        })
}

/// Whether all people of a provider are one organisation's, as the operator says.
pub(super) fn has_people_of_one(provider: &Provider) -> bool {
    match provider {
        Provider::Oidc(one) => one.people() == People::OneOrganizations,
        Provider::Microsoft(_) | Provider::GitHub(_) => false,
    }
}
