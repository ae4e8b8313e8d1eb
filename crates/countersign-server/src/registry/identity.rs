//! Who asks, for the registry behind: plain headers, and a short signed assertion that says the same.
//!
//! Every one of these names is always set, to nothing where there is nobody to name, so that none that a client has sent
//! gets through under it.

use std::sync::{Arc, Mutex, PoisonError};

use actix_web::http::header::{HeaderName, HeaderValue};
use countersign_core::{AccountId, Permit, RegistryName};
use countersign_store::RegistryAccountName;
use countersign_verifier::CountersignClaim;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use serde::Serialize;

use super::Registry;
use super::gate::{Asked, Judged};
use super::weigh::Leave;
use crate::SigningAlgorithm;
use crate::edge::RandomText;
use crate::token;
use crate::web::Context;

/// What begins the name of every header of ours. None that a client sends is passed on.
pub(super) const PREFIX: &str = "x-countersign-";

const ACCOUNT: HeaderName = HeaderName::from_static("x-countersign-account");
const USER: HeaderName = HeaderName::from_static("x-countersign-user");
const ACTION: HeaderName = HeaderName::from_static("x-countersign-action");
const ACR: HeaderName = HeaderName::from_static("x-countersign-acr");
const ORGANIZATIONS: HeaderName = HeaderName::from_static("x-countersign-organizations");
const ASSERTION: HeaderName = HeaderName::from_static("x-countersign-assertion");

/// How long an assertion is good: the request that it comes with is on its way.
const LIFETIME: SignedDuration = SignedDuration::from_mins(1);
/// Not the type of an access token: it is none.
const TYPE: &str = "countersign-assertion+jwt";

/// What a registry is told of who asks: headers, by their names.
pub(super) type Headers = Arc<[(HeaderName, HeaderValue)]>;

/// What a registry was told of somebody last: who reads the same again is vouched for by the same assertion, since to sign
/// costs more than all else at a gate. It is kept as long as what is known of them, for a second at most.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<Option<Telling>>);

/// One thing that a registry is told: all that stands in its headers.
#[derive(Debug)]
struct Telling {
    registry: RegistryName,
    permit: Permit,
    method: String,
    target: String,
    action: String,
    package: Option<String>,
    headers: Headers,
}

impl Telling {
    fn is_of(&self, registry: &Registry, permit: &Permit, request: &Request<'_>) -> bool {
        self.target == request.target
            && self.method == request.method
            && self.action == request.action
            && self.package.as_deref() == request.package
            && self.registry == registry.name
            && self.permit == *permit
    }
}

impl Told {
    /// The same again where it was told last, and else what this makes.
    fn again_or(
        &self,
        registry: &Registry,
        permit: &Permit,
        request: &Request<'_>,
        make: impl FnOnce() -> Option<Headers>,
    ) -> Option<Headers> {
        let last = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(telling) = &*last()
            && telling.is_of(registry, permit, request)
        {
            return Some(Arc::clone(&telling.headers));
        }
        let headers = make()?;
        *last() = Some(Telling {
            registry: registry.name.clone(),
            permit: permit.clone(),
            method: request.method.to_owned(),
            target: request.target.to_owned(),
            action: request.action.to_owned(),
            package: request.package.map(str::to_owned),
            headers: Arc::clone(&headers),
        });
        Some(headers)
    }
}

/// An assertion.
#[derive(Serialize)]
struct Assertion<'a> {
    iss: &'a str,
    sub: &'a AccountId,
    aud: &'a str,
    scope: String,
    acr: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    amr: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry_account: Option<&'a str>,
    countersign: CountersignClaim,
    request: &'a Request<'a>,
    iat: i64,
    exp: i64,
    jti: String,
}

/// The one request that it is about.
#[derive(Serialize)]
struct Request<'a> {
    method: &'a str,
    target: &'a str,
    action: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<&'a str>,
}

/// What the registry behind is told of who asks; nothing but empty headers where anybody may. `None` where nothing can be
/// signed.
pub(super) fn headers(
    registry: &Registry,
    asked: Asked<'_>,
    judged: &Judged,
    context: &Context<'_>,
) -> Option<Headers> {
    let Judged::Let {
        leave,
        action,
        release,
    } = judged
    else {
        return Some(Who::default().told(NOTHING, registry));
    };
    let request = Request {
        method: asked.method,
        target: asked.target,
        action,
        package: release.package.as_deref(),
    };
    let make = || vouched(registry, leave, &request, context);
    // What changes something has an assertion of its own.
    let is_read = matches!(asked.method, "GET" | "HEAD");
    match leave.known.as_ref().filter(|_| is_read) {
        Some(known) => {
            let told = &known.told;
            told.again_or(registry, &leave.permit, &request, make)
        }
        None => make(),
    }
}

fn vouched(
    registry: &Registry,
    leave: &Leave,
    request: &Request<'_>,
    context: &Context<'_>,
) -> Option<Headers> {
    let assertion = assertion(registry, leave, request, context)?;
    let organizations = leave.permit.belongings().iter();
    let organizations: Vec<&str> = organizations.map(|one| one.organization.as_str()).collect();
    let who = Who {
        account: leave.account.id.as_str(),
        user: registry_account(leave).unwrap_or_default(),
        action: request.action,
        acr: leave.permit.acr().as_str(),
        organizations: &organizations.join(","),
        email: leave.email.as_deref().unwrap_or_default(),
    };
    Some(who.told(assertion, registry))
}

/// What stands where there is nothing to say.
const NOTHING: HeaderValue = HeaderValue::from_static("");

/// What headers say of who asks; nothing of nobody.
#[derive(Default)]
struct Who<'a> {
    account: &'a str,
    user: &'a str,
    action: &'a str,
    acr: &'a str,
    organizations: &'a str,
    email: &'a str,
}

impl Who<'_> {
    /// What can't stand in a header is told as nothing.
    fn told(&self, assertion: HeaderValue, registry: &Registry) -> Headers {
        let always = [
            (ACCOUNT, self.account),
            (USER, self.user),
            (ACTION, self.action),
            (ACR, self.acr),
            (ORGANIZATIONS, self.organizations),
        ];
        let identity = &registry.profile.identity;
        let own = [(&identity.user, self.user), (&identity.email, self.email)];
        let own = own
            .into_iter()
            .filter_map(|(name, value)| Some((HeaderName::try_from(name.as_ref()?).ok()?, value)));
        let plain = always.into_iter().chain(own);
        let plain =
            plain.map(|(name, value)| (name, HeaderValue::from_str(value).unwrap_or(NOTHING)));
        plain.chain([(ASSERTION, assertion)]).collect()
    }
}

fn registry_account(leave: &Leave) -> Option<&str> {
    let account = leave.account.registry_account.as_ref();
    account.map(RegistryAccountName::as_str)
}

/// Whether this kind of registry knows people by the header of this name.
pub(super) fn is_own_header(name: &str, registry: &Registry) -> bool {
    let identity = &registry.profile.identity;
    let mut named = identity.user.iter().chain(&identity.email);
    named.any(|one| one.eq_ignore_ascii_case(name))
}

/// The `Authorization` by which the registry behind knows us.
pub(super) fn upstream_authorization(registry: &Registry) -> Option<HeaderValue> {
    let secret = registry.upstream_authorization.as_ref()?;
    let mut value = HeaderValue::from_str(secret.expose_secret()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn assertion(
    registry: &Registry,
    leave: &Leave,
    request: &Request<'_>,
    context: &Context<'_>,
) -> Option<HeaderValue> {
    let (broker, permit) = (context.broker, &leave.permit);
    let until = context.now + LIFETIME;
    let exp = permit.not_after().map_or(until, |end| end.min(until));
    let assertion = Assertion {
        iss: broker.settings.issuer(),
        sub: &leave.account.id,
        aud: registry.public_url.as_str().trim_end_matches('/'),
        scope: token::scope_of(permit),
        acr: permit.acr().as_str(),
        amr: permit.amr(),
        auth_time: permit.auth_time().map(Timestamp::as_second),
        registry_account: registry_account(leave),
        countersign: token::countersign_claim(permit, None, None),
        request,
        iat: context.now.as_second(),
        exp: exp.as_second(),
        jti: broker.entropy.hex::<16>(),
    };
    let signed = broker.keys.sign(SigningAlgorithm::Es256, TYPE, &assertion);
    HeaderValue::try_from(signed.ok()?).ok()
}
