//! A token for one deed: what a credential helper hands to a tool in the place of an API key.
//!
//! It is what a step-up's proof is ([`step_up::Proof`]), shown without the key: the key and, where there was one, the sign-in
//! behind it are looked up again, and weighed by the policy of the day. It is good for its one action, package, version and
//! archive, for minutes, and for nothing once the key is not. One that names no package, where the tool's request names none
//! either, is good for one request alone.

use countersign_core::{AccountId, SessionId};
use countersign_store::StoreError;

use super::Registry;
use super::step_up::{Deed, Proof};
use super::weigh::{Contents, Wish};
use crate::once::{self, Kind};
use crate::seal::{self, Place};
use crate::web::Context;

/// What tells it from other secrets, for us and for scanners of source code.
pub(super) const PREFIX: &str = "csbt_";

/// A token for this deed of this account's, which has signed in anew for it by this session, where it has.
pub(super) fn make(
    registry: &Registry,
    deed: Deed,
    (account, session): (&AccountId, Option<&SessionId>),
    context: &Context<'_>,
) -> Option<String> {
    let proof = Proof::new(Some(deed), (account, session), context)?;
    let sealed = proof.seal(place(registry), context)?;
    Some(format!("{PREFIX}{sealed}"))
}

/// Whether a text can be nothing else.
pub(super) fn is_one(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// What a token of this registry's is for; `None` where it is none, or is over.
pub(super) fn open(
    registry: &Registry,
    text: &str,
    context: &Context<'_>,
) -> Option<(Proof, Deed)> {
    let sealed = text.strip_prefix(PREFIX)?;
    let mut proof = Proof::open(sealed, place(registry), context)?;
    let deed = proof.deed.take()?;
    Some((proof, deed))
}

/// Whether this is the deed; what is wrong, in a sentence, where it is not.
pub(super) fn check(deed: &Deed, wish: Wish<'_>) -> Result<(), &'static str> {
    let release = wish.release;
    if deed.action != wish.action {
        return Err("This token is for something else.");
    }
    if deed.package != release.package {
        return Err(match release.package {
            Some(_) => "This token is for another package.",
            None => UNSEEN,
        });
    }
    if deed.version.is_some() && deed.version != release.version {
        return Err("This token is for another version.");
    }
    match (deed.checksum, release.contents) {
        (None, _) | (Some(_), Contents::Seen) => Ok(()),
        (Some(_), Contents::Unseen) => Err(UNSEEN),
    }
}

/// Whether nobody has taken it yet; an error, where somebody has. To look takes nothing of it.
pub(super) async fn is_left(
    text: &str,
    deed: &Deed,
    wish: Wish<'_>,
    context: &Context<'_>,
) -> Result<Result<(), &'static str>, StoreError> {
    if deed.package.is_some() {
        return Ok(Ok(()));
    }
    let has_come = once::has_come(Kind::BoundToken, &named(text, wish), context).await?;
    Ok((!has_come).then_some(()).ok_or(USED))
}

/// Takes a token which a request is about to be let through by; an error, where that must not be. One that names its package
/// is looked at and not taken: one command makes several requests (`cargo owner --add ann --remove bob`).
pub(super) async fn take(
    text: &str,
    (proof, deed): (&Proof, &Deed),
    wish: Wish<'_>,
    context: &Context<'_>,
) -> Result<Result<(), &'static str>, StoreError> {
    if deed.package.is_some() {
        return Ok(Ok(()));
    }
    let named = named(text, wish);
    let is_first = once::is_first(Kind::BoundToken, &named, proof.until, context).await?;
    Ok(is_first.then_some(()).ok_or(USED))
}

/// What tells one from all others.
fn named<'a>(text: &'a str, wish: Wish<'a>) -> [&'a str; 2] {
    [wish.registry.name.as_str(), text]
}

const USED: &str = "This token was used before, and is for one request.";
const UNSEEN: &str =
    "This token is for one package, and which one this is can't be seen here: use an API key.";

/// What nobody can make of a proof that is shown beside a key.
fn place(registry: &Registry) -> Place<'_> {
    Place {
        name: "bound-token",
        party: registry.name.as_str(),
        purpose: seal::Purpose::StepUp,
    }
}
