//! `[mapping]`: who may connect a tenant to an organisation, and what that does.

use jiff::SignedDuration;

use super::{NEEDS, not_empty};
use crate::document::{Table, Value};
use crate::policy::MappingRule;
use crate::{RegistryRole, TenantId};

/// What every user of a tenant has in `wids`, and so shows nothing.
/// <https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference>,
/// <https://learn.microsoft.com/entra/identity/role-based-access-control/permissions-reference>
const NO_ADMIN: [(&str, &str); 3] = [
    (
        "b79fbf4d-3ef9-4689-8143-76b194e85509",
        "every member of a tenant has it",
    ),
    (
        "10dae51f-b6af-4016-8d66-8c2a99b929b3",
        "every guest of a tenant has it",
    ),
    (
        "2af84b1e-32c8-42b7-82bc-daa82404023b",
        "every restricted guest of a tenant has it",
    ),
];

/// The longest name of a role, in characters: the same as by API.
const LONGEST_ROLE: usize = 128;

pub(super) fn mapping(table: &mut Table<'_>) -> Option<MappingRule> {
    let default = MappingRule::default();
    let entra_roles = table.optional_or("entra_roles", default.entra_roles, |value| {
        not_empty(value, value.set(admin_role)?)
    });
    let max_membership_age = table.optional_or(
        "max_membership_age",
        default.max_membership_age,
        membership_age,
    );
    let attests = table.optional_or("attests", default.attests, |value| value.one_of(&NEEDS));
    let roles = table.optional_or("roles", default.roles, |value| value.set(registry_role));
    Some(MappingRule {
        entra_roles: entra_roles?,
        max_membership_age: max_membership_age?,
        attests: attests?,
        roles: roles?,
    })
}

/// A directory role, by the id of its template, that speaks for a tenant.
fn admin_role(item: &Value<'_>) -> Option<String> {
    // It has the form of a tenant's id: a GUID in lower case.
    let text = item.string()?;
    if TenantId::new(text).is_err() {
        item.report("expected the template id of a directory role (a GUID in lower case)");
        return None;
    }
    if let Some((_, why)) = NO_ADMIN.iter().find(|(id, _)| *id == text) {
        item.report(format_args!("this role shows no admin: {why}"));
        return None;
    }
    Some(text.to_owned())
}

/// A role by the registry's own name, as it stands in tokens and on pages.
fn registry_role(item: &Value<'_>) -> Option<RegistryRole> {
    let text = item.string()?;
    let is_plain = text.chars().all(|c| c.is_ascii_graphic() || c == ' ') && text.trim() == text;
    if !is_plain || !(1..=LONGEST_ROLE).contains(&text.len()) {
        item.report("expected the name of a role: at most 128 printable ASCII characters");
        return None;
    }
    Some(text.to_owned())
}

/// A person who has left a tenant is believed to belong to it for so long.
fn membership_age(value: &Value<'_>) -> Option<SignedDuration> {
    let age = value.duration()?;
    if age > SignedDuration::from_hours(30 * 24) {
        value.report("expected at most `30d`: who has left would act for the organization so long");
        return None;
    }
    Some(age)
}
