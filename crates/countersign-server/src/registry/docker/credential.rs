//! What somebody shows at the token endpoint, and what the policy permits them by it, now.
//!
//! The user name beside it is no proof of anything. It must be that of the account where the registry has told us one,
//! or ours: a wrong one is a mistake that the person wants to know of.

use std::collections::BTreeSet;

use countersign_core::{AccountId, Occasion, Permit, Reason, Scope, Stated};
use countersign_store::{Account, RegistryAccountName, Session};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::super::by_session::{self, unmet};
use super::super::code::{self, ANY_USER};
use super::super::guess;
use super::access::{Access, intersection};
use super::request::{Keeping, Shown, Wanted};
use super::{Oci, identity_token, key};
use crate::api_key;
use crate::audit::{Event, Happening, Subject};
use crate::error::{DockerError, Failure, OAuthError};
use crate::recheck::{self, Standing};
use crate::token::Weighed;
use crate::web::Context;

/// Who asks, and what they may.
#[derive(Debug)]
pub(super) enum Asking {
    /// Nobody: what is open is theirs.
    Nobody,
    /// Somebody whom the policy lets in.
    Somebody(Box<Allowed>),
    /// Somebody whom it does not; says why.
    Refused(Failure),
}

/// What somebody gets.
#[derive(Debug)]
pub(super) struct Allowed {
    /// Who it is, where there is a permit.
    pub(super) account: Option<AccountId>,
    pub(super) given: Vec<Access>,
    /// Why nothing is given of what is not open, where that is so.
    pub(super) withheld: Option<Failure>,
    /// What no token of theirs outlives.
    pub(super) not_after: Option<Timestamp>,
    /// What is theirs to keep, where they asked for it.
    pub(super) identity_token: Option<String>,
}

/// Who asks.
pub(super) async fn asking(
    wanted: &Wanted,
    oci: Oci<'_>,
    context: &Context<'_>,
) -> Result<Asking, Failure> {
    if matches!(wanted.shown, Shown::Nothing) {
        return Ok(Asking::Nobody);
    }
    let found = find(wanted, oci, context).await;
    found.map_err(|failure| {
        if !DockerError::is_of_credential(&failure) {
            return failure;
        }
        match guess::count(oci.registry, context) {
            Ok(()) => failure,
            Err(too_many) => DockerError::too_many_like(failure, too_many),
        }
    })
}

async fn find(wanted: &Wanted, oci: Oci<'_>, context: &Context<'_>) -> Result<Asking, Failure> {
    match &wanted.shown {
        Shown::Nothing => Ok(Asking::Nobody),
        Shown::IdentityToken(token) => by_identity_token(token, wanted, oci, context).await,
        Shown::Password { user, password } if code::could_be(password.expose_secret()) => {
            by_code((user, password), wanted, oci, context).await
        }
        Shown::Password { user, password } => {
            let context = &context.at_a_gate();
            let found = api_key::find(password.expose_secret(), context).await;
            let found = found.map_err(|error| DockerError::of_store(&error, context))?;
            let held = found.ok_or_else(|| oci.refuse(NOT_GOOD, context))?;
            check_user(user, &held.account, oci, context)?;
            key::asking(&held, wanted, oci, context).await
        }
    }
}

/// By a one-time code, which is given for what can be kept, and for nothing less: most tools show a password again and again.
async fn by_code(
    (user, password): (&str, &SecretString),
    wanted: &Wanted,
    oci: Oci<'_>,
    context: &Context<'_>,
) -> Result<Asking, Failure> {
    if wanted.keeping == Keeping::Nothing {
        return Err(oci.refuse(NOT_KEPT, context));
    }
    let spent = code::spend(password.expose_secret(), oci.registry, context).await;
    let session = spent
        .map_err(DockerError::of)?
        .ok_or_else(|| oci.refuse(code::SPENT, context))?;
    let scopes = oci.rights.scopes();
    let weighed = match weighed(&session, (scopes, None, Occasion::Token), oci, context).await? {
        Ok(weighed) => weighed,
        Err(reason) => return Ok(Asking::Refused(oci.refuse(reason.sentence(), context))),
    };
    check_user(user, &weighed.account, oci, context)?;
    let (account, permit) = weighed.keep(context).await.map_err(DockerError::of)?;
    let allowed = of_session(&account, &permit, wanted, oci, context);
    if allowed.withheld.is_some() {
        return Ok(Asking::Somebody(Box::new(allowed)));
    }
    let given = identity_token::give(oci, (&session, &permit), context).await?;
    context.audit(
        Happening::new(Event::ToolSignedIn, &account.id)
            .about(Subject::Account, &account.id)
            .about(Subject::Session, &session.id)
            .about(Subject::Client, &oci.registry.client)
            .about(Subject::Grant, &given.grant),
    );
    Ok(Asking::Somebody(Box::new(Allowed {
        identity_token: Some(given.text),
        ..allowed
    })))
}

/// By what was kept: the policy is asked again, and then the provider, as at a refresh.
async fn by_identity_token(
    token: &SecretString,
    wanted: &Wanted,
    oci: Oci<'_>,
    context: &Context<'_>,
) -> Result<Asking, Failure> {
    let live = identity_token::open(token.expose_secret(), oci, context).await;
    let live = live.map_err(|error| DockerError::of_store(&error, context))?;
    let live = live.ok_or_else(|| oci.refuse(OVER, context))?;
    let of_grant = |scope: &Scope| live.grant.scopes.contains(scope);
    let scopes = if wanted.asked.is_empty() {
        // `docker login` once more, with what it has kept.
        oci.rights.scopes()
    } else {
        oci.rights.wanted_of(&wanted.asked)
    };
    let wish = (
        scopes.into_iter().filter(of_grant).collect(),
        Some(&live.grant.stated),
        Occasion::Refresh,
    );
    let weighed = match weighed(&live.session, wish, oci, context).await? {
        Ok(weighed) => weighed,
        Err(reason) => return Ok(Asking::Refused(oci.refuse(reason.sentence(), context))),
    };
    let standing = recheck::standing(&live.session, context).await;
    match standing.map_err(|error| DockerError::of_store(&error, context))? {
        Standing::Stands => {}
        Standing::Withdrawn => {
            weighed.withdraw(&live.session, context).await;
            let why = Reason::ProviderWithdrew.sentence();
            return Ok(Asking::Refused(oci.refuse(why, context)));
        }
        Standing::Ended => return Err(oci.refuse(OVER, context)),
        Standing::Unknown { retry_after } => return Err(DockerError::provider_silent(retry_after)),
    }
    let used = identity_token::use_it(&live, context).await;
    used.map_err(|error| DockerError::of_store(&error, context))?;
    let (account, permit) = weighed.keep(context).await.map_err(DockerError::of)?;
    let allowed = of_session(&account, &permit, wanted, oci, context);
    Ok(Asking::Somebody(Box::new(allowed)))
}

/// What a session gets by a permit: one for all that it asks for.
pub(super) fn of_session(
    account: &Account,
    permit: &Permit,
    wanted: &Wanted,
    oci: Oci<'_>,
    context: &Context<'_>,
) -> Allowed {
    let (rights, held) = (oci.rights, permit.scopes());
    let gets_nothing = wanted.asked.is_empty() && rights.scopes().is_disjoint(held);
    let is_withheld = gets_nothing || rights.is_withheld(&wanted.asked, held);
    Allowed {
        account: Some(account.id.clone()),
        given: intersection(&wanted.asked, rights, held),
        withheld: is_withheld.then(|| {
            // What was not theirs at `docker login` is not asked for again.
            let why = unmet(permit).map_or(NOT_FOR_THIS, Reason::sentence);
            oci.refuse(why, context)
        }),
        not_after: permit.not_after(),
        identity_token: None,
    }
}

/// What the policy permits a session now, or why not.
async fn weighed(
    session: &Session,
    wish: (BTreeSet<Scope>, Option<&Stated>, Occasion),
    oci: Oci<'_>,
    context: &Context<'_>,
) -> Result<Result<Weighed, Reason>, Failure> {
    let weighed = by_session::weighed(session, wish, oci.registry, context).await;
    weighed.map_err(|failure| match OAuthError::of_grant(&failure) {
        Some(_) => oci.refuse(OVER, context),
        None => DockerError::of(failure),
    })
}

/// Whether the user name is one that this account may be called by here.
fn check_user(
    user: &str,
    account: &Account,
    oci: Oci<'_>,
    context: &Context<'_>,
) -> Result<(), Failure> {
    let known = account.registry_account.as_ref();
    let known = known.map(RegistryAccountName::as_str);
    match known {
        Some(name) if !name.eq_ignore_ascii_case(user) && user != ANY_USER => {
            Err(oci.refuse(ANOTHER_USER, context))
        }
        Some(_) | None => Ok(()),
    }
}

const NOT_GOOD: &str = "The password is no API key and no one-time code of this registry's.";
const NOT_KEPT: &str = "A one-time code is for docker login, and this tool would show it again and again: use an API key.";
const NOT_FOR_THIS: &str = "What you signed in for does not allow this.";
const OVER: &str = "Your sign-in is over.";
const ANOTHER_USER: &str =
    "The password is not that user's: take the user name that the page shows, or countersign.";
