//! Organisations: what a decision must know of whom a login comes from, and the pages on which their admins connect
//! them.

mod connect;
mod list;
pub(crate) mod manage;
mod page;
mod record;
pub(crate) mod shut_out;
mod terms;

use countersign_core::sign_in::Destination;
use countersign_core::{
    Evidence, Login, Mapping, OrganizationId, Source, TenantId, Waiver, belongings,
};
use countersign_store::{Session, StoreError};

use connect::MOST_OFFERED;

use crate::web::Context;

pub(crate) use connect::{NotProven, confirm, leave, preview, proven, start};
pub(crate) use list::{Listed, Piece, page_of, piece_of};
pub(crate) use page::{ask, list, press, show};
pub(crate) use record::Record;
pub(crate) use shut_out::{Effect, Fate};
pub(crate) use terms::{MOST_ROWS, Typed};

/// The mappings in force of whom this evidence comes from.
pub(crate) async fn mappings_behind(
    evidence: &Evidence,
    context: &Context<'_>,
) -> Result<Vec<Mapping>, StoreError> {
    let login = Login::from(evidence);
    context.reads.mappings_of(login.sources()).await
}

/// What the organisation that is asked for was granted, as far as it holds now.
pub(crate) async fn waivers_of(
    asked: Option<&OrganizationId>,
    context: &Context<'_>,
) -> Result<Vec<Waiver>, StoreError> {
    let Some(id) = asked else {
        return Ok(Vec::new());
    };
    let found = context.reads.organization(id).await?;
    let waivers = found
        .iter()
        .flat_map(|(found, _)| found.waivers(context.now));
    Ok(waivers.collect())
}

/// The mappings in force of whom this evidence comes from; what of its groups, roles and memberships has no say in what
/// this sign-in leads to goes. It is kept nowhere, not even for the next request.
pub(crate) async fn trim(
    evidence: &mut Evidence,
    destination: &Destination,
    context: &Context<'_>,
) -> Result<Vec<Mapping>, StoreError> {
    let mappings = mappings_behind(evidence, context).await?;
    match destination {
        Destination::Connection(_) => {
            let roles = &context.policy().mapping().entra_roles;
            evidence.affiliation.keep_what_speaks(roles, MOST_OFFERED);
        }
        Destination::RedirectUri(_)
        | Destination::Device(_)
        | Destination::Page(_)
        | Destination::Link(_) => evidence.affiliation.keep(&mappings),
    }
    Ok(mappings)
}

/// Whether a session still shows each of these organisations, which its tokens were for.
pub(crate) async fn are_still_shown(
    organizations: &[String],
    session: &Session,
    context: &Context<'_>,
) -> Result<bool, StoreError> {
    if organizations.is_empty() {
        return Ok(true);
    }
    let mappings = mappings_behind(&session.evidence, context).await?;
    let login = Login::of(&session.evidence, &mappings);
    let shown = belongings(context.policy(), &login, &mappings);
    let is_shown = |name: &String| {
        let mut fresh = shown.iter().filter(|one| context.now < one.until);
        fresh.any(|one| one.organization.as_str() == name)
    };
    Ok(organizations.iter().all(is_shown))
}

/// Where the people of the organisation that is asked for sign in: what is mapped to it, and the one tenant where
/// there is only one, so that a person goes straight there.
pub(crate) async fn way_to(
    organization: Option<&OrganizationId>,
    context: &Context<'_>,
) -> Result<(Option<TenantId>, Vec<Mapping>), StoreError> {
    let Some(id) = organization else {
        return Ok((None, Vec::new()));
    };
    let found = context.broker.store.organization(id).await?;
    let mappings: Vec<Mapping> = found
        .iter()
        .flat_map(|(found, _)| found.in_force())
        .cloned()
        .collect();
    let in_file = context.policy().organization(id);
    let in_file = in_file.into_iter().flat_map(|rule| &rule.tenants).cloned();
    let mapped = mappings.iter().filter_map(|one| match &one.source {
        Source::Tenant(tenant) => Some(tenant.clone()),
        Source::GitHubOrganization { .. } | Source::Issuer(_) => None,
    });
    let mut tenants: Vec<TenantId> = in_file.chain(mapped).collect();
    tenants.sort();
    tenants.dedup();
    let only = match <[TenantId; 1]>::try_from(tenants) {
        Ok([only]) => Some(only),
        Err(_) => None,
    };
    Ok((only, mappings))
}
