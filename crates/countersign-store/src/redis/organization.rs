//! Organisations, and what leads to them.

use countersign_core::OrganizationId;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::link::Link;
use super::names::{Initial, Names};
use super::record;
use super::reply::{corrupt, unexpected};
use super::script::{Call, Script};
use crate::organization::Signpost;
use crate::{Organization, StoreError, Version};

/// How many indexes are looked through at once.
const INITIALS_AT_ONCE: usize = 32;
/// How many organisations are read at once.
const READ_AT_ONCE: usize = 200;

/// The organisation of that id.
pub(super) async fn by_id(
    link: &Link,
    names: &Names,
    id: &OrganizationId,
) -> Result<Option<(Organization, Version)>, StoreError> {
    let found = record::find(link, &names.organization(id)).await?;
    found.map(|found| own(names, id, found)).transpose()
}

/// Writes a first record, unless there is one, and answers with the one in force.
pub(super) async fn put_if_absent(
    link: &Link,
    names: &Names,
    organization: &Organization,
) -> Result<(Organization, Version), StoreError> {
    let id = &organization.id;
    let keys = keys(names, id).into();
    let put = record::put(
        link,
        keys,
        (organization, organization.first_version()),
        id.as_str(),
    )
    .await?;
    own(names, id, put)
}

/// Replaces a record that still has `version`.
pub(super) async fn replace(
    link: &Link,
    names: &Names,
    organization: &Organization,
    version: Version,
) -> Result<Version, StoreError> {
    let key = names.organization(&organization.id);
    record::replace(link, key, organization, version).await
}

/// Removes a record that still has `version`.
pub(super) async fn remove(
    link: &Link,
    names: &Names,
    id: &OrganizationId,
    version: Version,
) -> Result<(), StoreError> {
    record::remove(link, keys(names, id), id.as_str(), version).await
}

/// Organisations in the order of their ids, after `after`.
pub(super) async fn list(
    link: &Link,
    names: &Names,
    after: Option<&OrganizationId>,
    limit: usize,
) -> Result<Vec<Organization>, StoreError> {
    let initials =
        Initial::all().filter(|one| after.is_none_or(|after| *one >= Initial::of(after)));
    let mut first = stream::iter(initials)
        .map(async |initial| {
            let ids = ids_of(link, names, initial, after, limit).await?;
            Ok::<_, StoreError>((initial, ids))
        })
        .buffered(INITIALS_AT_ONCE);
    let mut organizations = Vec::new();
    while organizations.len() < limit
        && let Some((initial, mut ids)) = first.try_next().await?
    {
        // As many as were asked for, and some are gone since: more of this initial may follow, before any of the next.
        loop {
            for some in ids.chunks(READ_AT_ONCE) {
                let wanted = &some[..some.len().min(limit - organizations.len())];
                organizations.extend(read(link, names, wanted).await?);
            }
            let last = ids.last().filter(|_| ids.len() == limit).cloned();
            let Some(last) = last.filter(|_| organizations.len() < limit) else {
                break;
            };
            ids = ids_of(link, names, initial, Some(&last), limit).await?;
        }
    }
    Ok(organizations)
}

/// Lets a signpost lead to an organisation.
pub(super) async fn set_signpost(
    link: &Link,
    names: &Names,
    post: &Signpost,
    id: &OrganizationId,
) -> Result<(), StoreError> {
    point(link, names, Script::SetSignpost, (post, id)).await
}

/// Lets it lead there no more.
pub(super) async fn remove_signpost(
    link: &Link,
    names: &Names,
    post: &Signpost,
    id: &OrganizationId,
) -> Result<(), StoreError> {
    point(link, names, Script::Remove, (post, id)).await
}

/// Where a signpost leads, in order.
pub(super) async fn at_signpost(
    link: &Link,
    names: &Names,
    post: &Signpost,
) -> Result<Vec<OrganizationId>, StoreError> {
    let key = names.signpost(post);
    let found = record::names_in(link, &key, None, usize::MAX).await?;
    found.iter().map(|id| parse_id(&key, id)).collect()
}

async fn point(
    link: &Link,
    names: &Names,
    script: Script,
    (post, id): (&Signpost, &OrganizationId),
) -> Result<(), StoreError> {
    let call = Call {
        script,
        keys: vec![names.signpost(post)],
        arguments: vec![id.as_str().into()],
    };
    match link.write(call).await?.word() {
        "done" => Ok(()),
        _ => Err(unexpected()),
    }
}

/// The record, and the index that it stands in: both in one slot.
fn keys(names: &Names, id: &OrganizationId) -> [String; 2] {
    let index = names.organizations(Initial::of(id));
    [names.organization(id), index]
}

async fn ids_of(
    link: &Link,
    names: &Names,
    initial: Initial,
    after: Option<&OrganizationId>,
    limit: usize,
) -> Result<Vec<OrganizationId>, StoreError> {
    let key = names.organizations(initial);
    let after = after.map(OrganizationId::as_str);
    let found = record::names_in(link, &key, after, limit).await?;
    found.iter().map(|id| parse_id(&key, id)).collect()
}

/// The organisations of these ids, which have one initial. One that was removed since is left out.
async fn read(
    link: &Link,
    names: &Names,
    ids: &[OrganizationId],
) -> Result<Vec<Organization>, StoreError> {
    let keys: Vec<String> = ids.iter().map(|id| names.organization(id)).collect();
    let found = record::read(link, &keys).await?;
    let there = ids.iter().zip(found);
    there
        .filter_map(|(id, found)| Some(own(names, id, found?).map(|(found, _)| found)))
        .collect()
}

fn own(
    names: &Names,
    id: &OrganizationId,
    found: (Organization, Version),
) -> Result<(Organization, Version), StoreError> {
    if found.0.id == *id {
        Ok(found)
    } else {
        let key = names.organization(id);
        Err(corrupt(&key, "it is the record of another organization"))
    }
}

fn parse_id(key: &str, bytes: &[u8]) -> Result<OrganizationId, StoreError> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    OrganizationId::new(text).map_err(|error| corrupt(key, &error.to_string()))
}
