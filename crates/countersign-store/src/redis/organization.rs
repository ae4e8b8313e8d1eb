//! Organisations, and what leads to them.

use countersign_core::OrganizationId;

use super::link::Link;
use super::names::{Initial, Names};
use super::record;
use super::reply::{corrupt, unexpected};
use super::script::{Call, Script};
use crate::organization::Signpost;
use crate::{Organization, StoreError, Version};

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
    record::remove(link, keys(names, id).to_vec(), id.as_str(), version).await
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
    let indexes = initials.map(|initial| names.organizations(initial));
    in_indexes(link, names, indexes, after, limit).await
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

/// Where a signpost leads, in order, after `after`.
pub(super) async fn at_signpost(
    link: &Link,
    names: &Names,
    post: &Signpost,
    after: Option<&OrganizationId>,
    limit: usize,
) -> Result<Vec<Organization>, StoreError> {
    let index = std::iter::once(names.signpost(post));
    in_indexes(link, names, index, after, limit).await
}

/// The organisations that stand in these indexes.
async fn in_indexes(
    link: &Link,
    names: &Names,
    indexes: impl Iterator<Item = String>,
    after: Option<&OrganizationId>,
    limit: usize,
) -> Result<Vec<Organization>, StoreError> {
    record::list(
        link,
        indexes,
        (after.map(OrganizationId::as_str), limit),
        |index, id| Ok(names.organization(&parse_id(index, id)?)),
        |found: &Organization| names.organization(&found.id),
    )
    .await
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
