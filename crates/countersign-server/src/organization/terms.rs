//! What an admin's form says of a connection: as it was typed, so that a form with a mistake comes back as it was, and
//! as it would be in force.

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::{Guests, Level, Mapping, RegistryRole, Source, TenantId};
use countersign_store::organization::Terms;

use crate::web::Parameters;

/// How many empty rows a form has for groups.
const EMPTY_ROWS: usize = 3;
/// The most rows, which is the most groups of a connection.
pub(crate) const MOST_ROWS: usize = 100;

/// The fields of the form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Typed {
    pub(crate) guests: bool,
    pub(crate) mfa: String,
    pub(crate) phishing_resistant: String,
    /// What each group, or app role, is at the registry. An empty row says nothing.
    pub(crate) roles: Vec<(String, RegistryRole)>,
}

impl Typed {
    /// What is said of this source now.
    pub(crate) fn of(before: Option<&Mapping>) -> Self {
        let named = |wanted: Level| {
            let contexts = before.into_iter().flat_map(|one| &one.contexts);
            let contexts = contexts.filter(|(_, level)| **level == wanted);
            let contexts: Vec<&str> = contexts.map(|(context, _)| context.as_str()).collect();
            contexts.join(", ")
        };
        let roles = before.into_iter().flat_map(|one| &one.roles);
        let rows = roles.flat_map(|(group, roles)| {
            let row = |role: &RegistryRole| (group.clone(), role.clone());
            roles.iter().map(row).collect::<Vec<_>>()
        });
        let typed = Self {
            guests: before.is_some_and(|one| one.guests == Guests::Admitted),
            mfa: named(Level::Mfa),
            phishing_resistant: named(Level::PhishingResistant),
            roles: rows.collect(),
        };
        typed.with_more_rows()
    }

    /// What was sent.
    pub(crate) fn read(parameters: &Parameters) -> Self {
        let text = |name: &str| parameters.one(name).unwrap_or_default().trim().to_owned();
        let rows = text("rows").parse().unwrap_or(0).min(MOST_ROWS);
        let row = |n: usize| (text(&format!("group-{n}")), text(&format!("role-{n}")));
        Self {
            guests: parameters.one("guests").is_some(),
            mfa: text("mfa"),
            phishing_resistant: text("phishing_resistant"),
            roles: (0..rows).map(row).collect(),
        }
    }

    /// The same with room for more groups.
    pub(crate) fn with_more_rows(mut self) -> Self {
        let rows = (self.roles.len() + EMPTY_ROWS).min(MOST_ROWS);
        self.roles
            .resize(rows.max(self.roles.len()), <_>::default());
        self
    }

    /// What it comes to for this source; else what to type instead.
    pub(crate) fn terms(&self, source: &Source) -> Result<Terms, String> {
        let guests = if self.guests {
            Guests::Admitted
        } else {
            Guests::Refused
        };
        Ok(Terms {
            guests,
            contexts: self.contexts()?,
            roles: self.roles(source)?,
            reason: None,
        })
    }

    fn contexts(&self) -> Result<BTreeMap<String, Level>, String> {
        let mut contexts = BTreeMap::new();
        for (named, level) in [
            (&self.mfa, Level::Mfa),
            (&self.phishing_resistant, Level::PhishingResistant),
        ] {
            for context in named.split([',', ' ']).filter(|one| !one.is_empty()) {
                if contexts
                    .insert(context.to_ascii_lowercase(), level)
                    .is_some()
                {
                    return Err(
                        "An authentication context attests one level: name each once.".into(),
                    );
                }
            }
        }
        Ok(contexts)
    }

    fn roles(&self, source: &Source) -> Result<BTreeMap<String, BTreeSet<RegistryRole>>, String> {
        let mut roles: BTreeMap<String, BTreeSet<RegistryRole>> = BTreeMap::new();
        for (group, role) in &self.roles {
            match (group.as_str(), role.as_str()) {
                ("", "") => {}
                ("", role) => {
                    return Err(format!("Say which group is “{role}”, or empty that row."));
                }
                (group, "") => {
                    return Err(format!("Say what “{group}” is here, or empty that row."));
                }
                (group, role) => {
                    let group = spelled(group, source)?;
                    roles.entry(group).or_default().insert(role.to_owned());
                }
            }
        }
        Ok(roles)
    }
}

/// A group as tokens of its source spell it. Entra names groups by object id; the value of an app role has no spaces.
/// <https://learn.microsoft.com/entra/identity-platform/howto-add-app-roles-in-apps>
fn spelled(group: &str, source: &Source) -> Result<String, String> {
    let Source::Tenant(_) = source else {
        return Ok(group.to_owned());
    };
    if group.contains(char::is_whitespace) {
        return Err(format!(
            "“{group}” looks like a group’s name, which Entra does not tell us. Give its object id (Entra admin center, \
             Groups), or the value of an app role."
        ));
    }
    let lower = group.to_ascii_lowercase();
    // An object id is a GUID, as a tenant's id is.
    let is_id = TenantId::new(lower.as_str()).is_ok();
    Ok(if is_id { lower } else { group.to_owned() })
}

/// Whether an admin may say this of groups: roles that the policy lets them give, and what has been said before.
pub(super) fn may_be_given(
    terms: &Terms,
    before: Option<&Mapping>,
    allowed: &BTreeSet<RegistryRole>,
) -> bool {
    let had = |group: &str, role: &str| {
        let roles = before.and_then(|before| before.roles.get(group));
        roles.is_some_and(|roles| roles.contains(role))
    };
    let mut said = terms
        .roles
        .iter()
        .flat_map(|(group, roles)| roles.iter().map(move |role| (group, role)));
    said.all(|(group, role)| allowed.contains(role) || had(group, role))
}

#[cfg(test)]
mod tests {
    use countersign_core::OrganizationId;

    use super::*;

    const GROUP: &str = "11111111-1111-4111-8111-11111111111a";

    fn tenant() -> Source {
        let text = "tenant:6e93a626-8aca-4dc1-9191-ce291b4b75a1";
        text.parse().unwrap()
    }

    fn rows(rows: &[(&str, &str)]) -> Typed {
        let row = |(group, role): &(&str, &str)| ((*group).to_owned(), (*role).to_owned());
        Typed {
            roles: rows.iter().map(row).collect(),
            ..Typed::default()
        }
    }

    fn said(typed: &Typed) -> Result<String, String> {
        let roles = typed.terms(&tenant())?.roles;
        let told = roles.iter().map(|(group, roles)| {
            let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
            format!("{group} is {}", roles.join(" and "))
        });
        Ok(told.collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn rows_are_groups_and_what_they_are_at_the_registry() {
        let typed = rows(&[
            ("", ""),
            (&GROUP.to_uppercase(), "publisher"),
            ("Release.Managers", "owner"),
            (GROUP, "owner"),
            ("", ""),
        ]);
        let expected = format!("{GROUP} is owner and publisher; Release.Managers is owner");
        assert_eq!(said(&typed), Ok(expected));
        assert_eq!(said(&rows(&[])), Ok(String::new()));
    }

    #[test]
    fn half_a_row_and_a_groups_name_are_mistakes_that_say_what_to_type() {
        for (row, told) in [
            (("", "owner"), "Say which group is “owner”"),
            ((GROUP, ""), "Say what “11111111-"),
            (("Release Managers", "owner"), "Give its object id"),
        ] {
            let refused = said(&rows(&[row])).unwrap_err();
            assert!(refused.contains(told), "{row:?}: {refused}");
        }
        let twice = Typed {
            mfa: "c1, c2".to_owned(),
            phishing_resistant: "C2".to_owned(),
            ..Typed::default()
        };
        assert!(twice.terms(&tenant()).is_err());
        // What an issuer calls its groups is its own affair.
        let issuer: Source = "issuer:https://login.acme.example".parse().unwrap();
        let typed = rows(&[("Release Managers", "owner")]);
        let roles = typed.terms(&issuer).unwrap().roles;
        assert!(roles.contains_key("Release Managers"));
    }

    #[test]
    fn a_form_comes_back_as_it_was_sent_and_has_room() {
        let sent = "rows=2&group-0=g&role-0=owner&role-1=reader&mfa=c1&guests=yes&group-2=never";
        let typed = Typed::read(&Parameters::read(sent.as_bytes()));
        let expected = Typed {
            guests: true,
            mfa: "c1".to_owned(),
            ..rows(&[("g", "owner"), ("", "reader")])
        };
        assert_eq!(typed, expected);
        assert_eq!(typed.with_more_rows().roles.len(), 2 + EMPTY_ROWS);
        let many = Typed::read(&Parameters::read(b"rows=4000000000"));
        assert_eq!(many.roles.len(), MOST_ROWS);
        assert_eq!(many.with_more_rows().roles.len(), MOST_ROWS);
        for wrong in ["rows=-1", "rows=x", ""] {
            let typed = Typed::read(&Parameters::read(wrong.as_bytes()));
            assert_eq!(typed, Typed::default(), "{wrong}");
        }
    }

    #[test]
    fn what_is_in_force_stands_in_the_form() {
        let terms = rows(&[("a", "owner"), ("a", "reader"), ("b", "owner")]);
        let terms = terms.terms(&tenant()).unwrap();
        let mapping = terms
            .clone()
            .mapping(OrganizationId::new("o").unwrap(), tenant());
        let typed = Typed::of(Some(&mapping));
        assert_eq!(typed.terms(&tenant()).unwrap(), terms);
        assert_eq!(typed.roles.len(), 3 + EMPTY_ROWS);
    }

    #[test]
    fn an_admin_gives_roles_of_the_policy_and_keeps_what_there_was() {
        let terms = |group: &str, role: &str| rows(&[(group, role)]).terms(&tenant()).unwrap();
        let before = terms("g", "owner").mapping(OrganizationId::new("o").unwrap(), tenant());
        let allowed = ["publisher".to_owned()].into();
        let may = |group: &str, role: &str, before: Option<&Mapping>| {
            may_be_given(&terms(group, role), before, &allowed)
        };
        assert!(may("h", "publisher", None));
        assert!(!may("g", "owner", None));
        assert!(may("g", "owner", Some(&before)));
        assert!(!may("h", "owner", Some(&before)));
    }
}
