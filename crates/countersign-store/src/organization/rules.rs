//! What can be said of an organisation and of its connections: the same for who says it by API, in a file or on a
//! command line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use countersign_core::{Guests, Level, Mapping, OrganizationId, RegistryRole, Source};
use serde::Deserialize;
use thiserror::Error;

use super::Admin;
use crate::registry::is_unprintable;

/// The most admins of one organisation.
pub const MOST_ADMINS: usize = 200;
/// The longest title, in characters.
const LONGEST_TITLE: usize = 256;
/// The most contexts, and roles, that a connection names.
const MOST_NAMED: usize = 100;
/// The most roles that they come to at the registry: all of one person's are in each of their tokens.
const MOST_ROLES: usize = 20;
/// The longest of their names, and the longest reason, in characters.
const LONGEST_NAME: usize = 128;
const LONGEST_REASON: usize = 500;

/// What is told of an organisation: all of it each time, so that saying it twice changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// What people call it. Space around it does not count, and nothing but space is no title.
    #[serde(default)]
    pub title: Option<String>,
    /// Who administers it.
    #[serde(default)]
    pub admins: BTreeSet<Admin>,
}

impl Told {
    /// The title as it is kept, if it can be one.
    pub(super) fn title(&self) -> Result<Option<&str>, Unfit> {
        let title = self.title.as_deref().map(str::trim);
        let title = title.filter(|title| !title.is_empty());
        let is_unfit =
            |title: &str| title.chars().count() > LONGEST_TITLE || title.contains(is_unprintable);
        if title.is_some_and(is_unfit) {
            return Err(Unfit::Title);
        }
        Ok(title)
    }

    /// Whether it can be told at all.
    pub fn check(&self) -> Result<(), Unfit> {
        self.title()?;
        if self.admins.len() > MOST_ADMINS {
            return Err(Unfit::Admins);
        }
        Ok(())
    }
}

/// What a connection says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Whether guests of the tenant count.
    #[serde(default)]
    pub guests: Guests,
    /// The authentication contexts that the tenant's admin attests.
    #[serde(default)]
    pub contexts: BTreeMap<String, Level>,
    /// What groups and app roles of the tenant are at the registry.
    #[serde(default)]
    pub roles: BTreeMap<String, BTreeSet<RegistryRole>>,
    /// Why it may be said, where nobody has proven it.
    #[serde(default)]
    pub reason: Option<String>,
}

impl Terms {
    /// Whether a source can be connected on these terms at all.
    pub fn check(&self, source: &Source) -> Result<(), Unfit> {
        let (has_tenants, has_groups) = match source {
            Source::Tenant(_) => (true, true),
            Source::Issuer(_) => (false, true),
            Source::GitHubOrganization { .. } => (false, false),
        };
        if !has_tenants && (self.guests == Guests::Admitted || !self.contexts.is_empty()) {
            return Err(Unfit::OfTenants);
        }
        if !has_groups && !self.roles.is_empty() {
            return Err(Unfit::NoGroups);
        }
        if self.contexts.len() > MOST_NAMED || self.roles.len() > MOST_NAMED {
            return Err(Unfit::TooManyNamed);
        }
        if !self.contexts.keys().all(|name| is_context(name)) {
            return Err(Unfit::Context);
        }
        if self.contexts.values().any(|level| *level < Level::Mfa) {
            return Err(Unfit::ContextLevel);
        }
        let roles: BTreeSet<&RegistryRole> = self.roles.values().flatten().collect();
        if roles.len() > MOST_ROLES {
            return Err(Unfit::TooManyRoles);
        }
        let groups = self.roles.keys();
        if !groups.chain(roles).all(|name| is_name(name)) {
            return Err(Unfit::Role);
        }
        Ok(())
    }

    /// Why it may be said.
    pub fn reason(&self) -> Result<&str, Unfit> {
        let reason = self.reason.as_deref().map(str::trim).unwrap_or_default();
        if (1..=LONGEST_REASON).contains(&reason.chars().count()) {
            Ok(reason)
        } else {
            Err(Unfit::Reason)
        }
    }

    /// What they say of an organisation and a source.
    #[must_use]
    pub fn mapping(self, organization: OrganizationId, source: Source) -> Mapping {
        Mapping {
            organization,
            source,
            guests: self.guests,
            contexts: self.contexts,
            roles: self.roles,
        }
    }
}

/// Entra's are `c1` to `c99`.
fn is_context(name: &str) -> bool {
    let number = name.strip_prefix('c').and_then(|n| n.parse::<u8>().ok());
    number.is_some_and(|n| (1..=99).contains(&n) && name == format!("c{n}"))
}

fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.chars().count()) && !name.contains(is_unprintable)
}

/// What can't be said of an organisation or of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unfit {
    /// The title.
    Title,
    /// There are too many admins.
    Admins,
    /// These terms are for tenants only.
    OfTenants,
    /// GitHub's organisations have no groups here.
    NoGroups,
    /// There are too many contexts or roles.
    TooManyNamed,
    /// There are too many roles at the registry.
    TooManyRoles,
    /// A context's name.
    Context,
    /// The level of a context.
    ContextLevel,
    /// The name of a group or of a role.
    Role,
    /// The reason is missing, or too long.
    Reason,
}

impl Unfit {
    /// What is expected instead.
    pub fn message(self) -> &'static str {
        match self {
            Self::Title => "`title` is one line of at most 256 characters",
            Self::Admins => "an organization has at most 200 admins",
            Self::OfTenants => "`guests` and `contexts` are of Entra tenants",
            Self::NoGroups => {
                "`roles` are of Entra tenants and of issuers: of a GitHub organization no groups are known"
            }
            Self::TooManyNamed => "at most 100 contexts, and at most 100 groups and app roles",
            Self::TooManyRoles => "groups and app roles come to at most 20 roles at the registry",
            Self::Context => "an authentication context is `c1` to `c99`",
            Self::ContextLevel => "a context attests `mfa` or `phishing-resistant`",
            Self::Role => "groups and roles have names of 1 to 128 characters",
            Self::Reason => {
                "`reason` is missing: why may this organization be connected so? (at most 500 characters)"
            }
        }
    }

    /// The key that it is about.
    pub fn key(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Admins => "admins",
            Self::OfTenants => "guests",
            Self::TooManyNamed | Self::Context | Self::ContextLevel => "contexts",
            Self::NoGroups | Self::TooManyRoles | Self::Role => "roles",
            Self::Reason => "reason",
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

#[cfg(test)]
mod tests {
    use countersign_core::TenantId;

    use super::*;

    fn titled(title: &str) -> Result<Option<String>, Unfit> {
        let told = Told {
            title: Some(title.to_owned()),
            ..Told::default()
        };
        told.title().map(|title| title.map(str::to_owned))
    }

    fn tenant() -> Source {
        let id = TenantId::new("6e93a626-8aca-4dc1-9191-ce291b4b75a1").unwrap();
        Source::Tenant(id)
    }

    #[test]
    fn a_title_is_one_line_that_is_not_too_long() {
        assert_eq!(
            titled(" Contoso \u{1f98a} "),
            Ok(Some("Contoso \u{1f98a}".to_owned()))
        );
        assert_eq!(titled("  "), Ok(None));
        assert!(titled(&"ä".repeat(256)).is_ok());
        for title in [
            "a\nb",
            "a\u{1b}[31m",
            "a\u{202e}b",
            "a\u{200b}b",
            &"a".repeat(257),
        ] {
            assert_eq!(titled(title), Err(Unfit::Title), "{title:?}");
        }
    }

    #[test]
    fn an_organization_has_no_more_admins_than_can_be_shown() {
        let admins = |count| Told {
            admins: (0..count)
                .map(|n| format!("account:acct_{n}").parse().unwrap())
                .collect(),
            ..Told::default()
        };
        assert_eq!(admins(MOST_ADMINS).check(), Ok(()));
        assert_eq!(admins(MOST_ADMINS + 1).check(), Err(Unfit::Admins));
    }

    #[test]
    fn what_terms_name_is_what_entra_names_so() {
        let of = |context: &str, level| Terms {
            contexts: [(context.to_owned(), level)].into(),
            ..Terms::default()
        };
        assert_eq!(of("c1", Level::Mfa).check(&tenant()), Ok(()));
        for context in ["c0", "c100", "c01", "C1", "1", "", "c1 "] {
            let terms = of(context, Level::Mfa);
            assert_eq!(terms.check(&tenant()), Err(Unfit::Context), "`{context}`");
        }
        let weak = of("c1", Level::None);
        assert_eq!(weak.check(&tenant()), Err(Unfit::ContextLevel));
        let role = |group: &str, role: &str| Terms {
            roles: [(group.to_owned(), [role.to_owned()].into())].into(),
            ..Terms::default()
        };
        assert_eq!(role("a group", "owner").check(&tenant()), Ok(()));
        for (group, name) in [("", "owner"), ("g", ""), ("g\n", "owner"), ("g", "\u{7}")] {
            let terms = role(group, name);
            assert_eq!(
                terms.check(&tenant()),
                Err(Unfit::Role),
                "{group:?} {name:?}"
            );
        }
        let many = Terms {
            roles: (0..=MOST_NAMED)
                .map(|n| (n.to_string(), BTreeSet::new()))
                .collect(),
            ..Terms::default()
        };
        assert_eq!(many.check(&tenant()), Err(Unfit::TooManyNamed));
        let roles = |count: usize| (0..count).map(|n| n.to_string()).collect();
        let to_roles = |count: usize| Terms {
            roles: [("a group".to_owned(), roles(count))].into(),
            ..Terms::default()
        };
        assert_eq!(to_roles(MOST_ROLES).check(&tenant()), Ok(()));
        let more = to_roles(MOST_ROLES + 1);
        assert_eq!(more.check(&tenant()), Err(Unfit::TooManyRoles));
    }

    #[test]
    fn only_a_tenant_has_guests_and_contexts_and_github_has_no_groups() {
        let github: Source = "github:github.com:7".parse().unwrap();
        assert_eq!(Terms::default().check(&github), Ok(()));
        let guests = Terms {
            guests: Guests::Admitted,
            ..Terms::default()
        };
        let issuer: Source = "issuer:https://login.acme.example".parse().unwrap();
        for other in [&github, &issuer] {
            assert_eq!(guests.check(other), Err(Unfit::OfTenants), "{other}");
        }
        assert_eq!(guests.check(&tenant()), Ok(()));
        let contexts = Terms {
            contexts: [("c1".to_owned(), Level::Mfa)].into(),
            ..Terms::default()
        };
        assert_eq!(contexts.check(&issuer), Err(Unfit::OfTenants));
        let roles = Terms {
            roles: [("staff".to_owned(), ["reader".to_owned()].into())].into(),
            ..Terms::default()
        };
        assert_eq!(roles.check(&github), Err(Unfit::NoGroups));
        for has_groups in [&issuer, &tenant()] {
            assert_eq!(roles.check(has_groups), Ok(()), "{has_groups}");
        }
    }

    #[test]
    fn a_reason_says_something_and_not_a_novel() {
        let of = |text: &str| Terms {
            reason: Some(text.to_owned()),
            ..Terms::default()
        };
        assert_eq!(of(" told by phone ").reason(), Ok("told by phone"));
        assert_eq!(Terms::default().reason(), Err(Unfit::Reason));
        for text in ["", " \n", &"x".repeat(501)] {
            assert_eq!(of(text).reason(), Err(Unfit::Reason));
        }
    }
}
