//! An API key at the token endpoint: the password of who has nobody to sign in.
//!
//! It may be for some repositories only, so each is weighed by itself. Nothing is given for it that could be kept: whoever
//! has it has a key that can be ended, and ends when it says.

use std::collections::BTreeSet;

use countersign_core::api_keys::PackagePattern;
use countersign_core::{Decision, Permit, Reason, Refusal, Scope, StepUp};

use super::super::by_session::unmet;
use super::super::refusal;
use super::Oci;
use super::credential::{Allowed, Asking, of_session};
use super::request::Wanted;
use super::scope::Resource;
use crate::api_key::{Held, NoUse, Use};
use crate::error::{DockerError, Failure};
use crate::web::Context;

/// What somebody gets by this key.
pub(super) async fn asking(
    held: &Held,
    wanted: &Wanted,
    oci: Oci<'_>,
    context: &Context<'_>,
) -> Result<Asking, Failure> {
    if wanted.asked.is_empty() {
        return login(held, wanted, oci, context).await;
    }
    let mut allowed = Allowed {
        account: None,
        given: Vec::new(),
        withheld: None,
        not_after: None,
        identity_token: None,
    };
    for (resource, actions) in wanted.asked.iter() {
        add(&mut allowed, (resource, actions), held, oci, context).await?;
    }
    Ok(Asking::Somebody(Box::new(allowed)))
}

/// `docker login`, which names nothing that it is for: whether the key is good for anything here.
async fn login(
    held: &Held,
    wanted: &Wanted,
    oci: Oci<'_>,
    context: &Context<'_>,
) -> Result<Asking, Failure> {
    let one = held.key.packages.first().map(PackagePattern::as_str);
    let permit = weigh(held, oci.rights.scopes(), one, oci, context).await?;
    Ok(match permit {
        Err(why) => Asking::Refused(why),
        Ok(permit) => {
            let allowed = of_session(&held.account, &permit, wanted, oci, context);
            Asking::Somebody(Box::new(allowed))
        }
    })
}

/// Adds what is given of one resource, or why more is not.
async fn add(
    allowed: &mut Allowed,
    (resource, actions): (&Resource, &BTreeSet<String>),
    held: &Held,
    oci: Oci<'_>,
    context: &Context<'_>,
) -> Result<(), Failure> {
    let mut scopes = BTreeSet::new();
    let needed = oci.rights.wanted(resource, actions);
    if !needed.is_empty() {
        let why = match weigh(held, needed, resource.package(), oci, context).await? {
            Err(why) => why,
            Ok(permit) => {
                allowed.account = Some(held.account.id.clone());
                let ends = allowed.not_after.into_iter().chain(permit.not_after());
                allowed.not_after = ends.min();
                scopes.clone_from(permit.scopes());
                match unmet(&permit) {
                    Some(reason) => not_enough(&[reason], context),
                    None => of_no_use(NoUse::Scope),
                }
            }
        };
        if oci.rights.withholds(resource, actions, &scopes) {
            allowed.withheld.get_or_insert(why);
        }
    }
    let given = oci.rights.given(resource, actions, &scopes);
    allowed.given.extend(given);
    Ok(())
}

/// What the policy permits by a key now, of what it is for.
async fn weigh(
    held: &Held,
    scopes: BTreeSet<Scope>,
    package: Option<&str>,
    oci: Oci<'_>,
    context: &Context<'_>,
) -> Result<Result<Permit, Failure>, Failure> {
    let is_its = |scope: &Scope| held.key.scopes.contains(scope);
    let wanted = Use {
        client: &oci.registry.client,
        scopes: scopes.into_iter().filter(is_its).collect(),
        package,
    };
    let weighed = held.weigh(wanted, context).await;
    let weighed = weighed.map_err(|error| DockerError::of_store(&error, context))?;
    Ok(match weighed.map(|weighed| weighed.decision) {
        Err(why) => Err(of_no_use(why)),
        Ok(Decision::Permit(permit)) => Ok(permit),
        Ok(
            Decision::StepUp(StepUp { reasons, .. }) | Decision::Refuse(Refusal { reasons, .. }),
        ) => Err(not_enough(&reasons, context)),
    })
}

fn of_no_use(why: NoUse) -> Failure {
    DockerError::unauthorized(why.sentence().to_owned())
}

fn not_enough(reasons: &[Reason], context: &Context<'_>) -> Failure {
    DockerError::unauthorized(refusal::of_key(reasons, context))
}
