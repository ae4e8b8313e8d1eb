//! What one completed login proved, verified, with where it came from.
//!
//! Made by a provider (`countersign-providers`) and by nothing else. It never
//! says whether the login is good enough: that is [`crate::assess`] and [`crate::decide`].

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{Hash, Hasher};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Mapping, ProviderId, Source, TenantId};

/// What one completed login proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The configured provider that vouches.
    pub provider: ProviderId,
    /// Who signed in.
    pub identity: Identity,
    /// The claims that proof rules read, as the provider sent them.
    pub claims: Claims,
    /// Name and e-mail address: all that is kept of a person.
    pub profile: Profile,
    /// Whether the person is a guest in that tenant (Entra's `acct` and `idp`).
    #[serde(default, skip_serializing_if = "Claim::is_absent")]
    pub membership: Claim<Membership>,
    /// What the provider says of the person's place among its people.
    #[serde(default, skip_serializing_if = "Affiliation::is_nothing")]
    pub affiliation: Affiliation,
    /// The provider's own name of its session (`sid`), by which it tells us of its end
    /// (OpenID Connect Back-Channel Logout 2.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_session: Option<String>,
    /// When Countersign itself verified this evidence. Never emitted as `auth_time`.
    pub verified_at: Timestamp,
}

impl Evidence {
    /// The Entra tenant that the login belongs to.
    pub fn tenant(&self) -> Option<&TenantId> {
        match &self.identity {
            Identity::Microsoft { tid, .. } => Some(tid),
            Identity::GitHub { .. } | Identity::Oidc { .. } => None,
        }
    }

    /// Whom the login comes from besides a tenant.
    pub(crate) fn belongs(&self) -> BTreeSet<Source> {
        match &self.identity {
            Identity::Microsoft { .. } => BTreeSet::new(),
            Identity::Oidc { issuer, .. } => BTreeSet::from([Source::Issuer(issuer.clone())]),
            Identity::GitHub { host, .. } => {
                let organization = |id: &u64| Source::GitHubOrganization {
                    host: host.clone(),
                    id: *id,
                };
                let organizations = self.affiliation.github_organizations.value();
                let ids = organizations.into_iter().flat_map(BTreeMap::keys);
                ids.map(organization).collect()
            }
        }
    }
}

/// What a provider says of a person's place among its people, as far as it was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affiliation {
    /// Groups and app roles of the Entra tenant (`groups`, `roles`).
    #[serde(default, skip_serializing_if = "Claim::is_absent")]
    pub groups: Claim<BTreeSet<String>>,
    /// Directory roles of the Entra tenant, by template id (`wids`), from the token endpoint's ID token alone.
    #[serde(default, skip_serializing_if = "Claim::is_absent")]
    pub directory_roles: Claim<BTreeSet<String>>,
    /// The organisations of GitHub's whose active member the person is, by numeric id. One that is not here may
    /// have been hidden from us: it is no proof that the person is not.
    #[serde(default, skip_serializing_if = "Claim::is_absent")]
    pub github_organizations: Claim<BTreeMap<u64, GitHubMember>>,
}

impl Affiliation {
    /// What of it mappings speak of: nothing else is kept.
    pub fn keep(&mut self, mappings: &[Mapping]) {
        self.directory_roles = Claim::Absent;
        if let Claim::Value(groups) = &mut self.groups {
            groups.retain(|group| mappings.iter().any(|one| one.roles.contains_key(group)));
        }
        if let Claim::Value(organizations) = &mut self.github_organizations {
            let is_mapped = |number: u64| {
                let mut sources = mappings.iter().map(|one| &one.source);
                sources.any(|source| matches!(source, Source::GitHubOrganization { id, .. } if *id == number))
            };
            organizations.retain(|id, _| is_mapped(*id));
        }
    }

    /// What of it may speak for a tenant, by one of these directory roles, or for organisations of GitHub's: at most
    /// so many.
    pub fn keep_what_speaks(&mut self, roles: &BTreeSet<String>, most: usize) {
        self.groups = Claim::Absent;
        if let Claim::Value(held) = &mut self.directory_roles {
            held.retain(|role| roles.contains(role));
        }
        if let Claim::Value(organizations) = &mut self.github_organizations {
            organizations.retain(|_, member| member.role == GitHubRole::Admin);
            while organizations.len() > most {
                organizations.pop_first();
            }
        }
    }

    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// A member of an organisation of GitHub's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitHubMember {
    /// The organisation's name there, for people: it can be given up and taken by another.
    pub login: String,
    /// The role.
    pub role: GitHubRole,
}

/// A member's role in an organisation of GitHub's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GitHubRole {
    /// A member who is no owner.
    Member,
    /// An owner.
    Admin,
}

/// Who signed in: never an e-mail address, which its owner and its tenant's admin can change.
///
/// One person at one provider is one identity, however the provider's issuer is spelled: see [`Identity::Oidc`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// OpenID Connect: `iss` and `sub` (Core 2).
    Oidc {
        /// The `iss` of the ID token, to the letter. Whether it ends with a slash makes no other identity: the description of
        /// either is at the same address (Discovery 4), so they are one provider's, and who imports may not know which it uses.
        issuer: String,
        /// The `sub` of the ID token.
        subject: String,
    },
    /// Entra and Microsoft accounts: the same `oid` in another tenant is another person.
    Microsoft {
        /// The tenant.
        tid: TenantId,
        /// The object id in that tenant, lower case.
        oid: String,
    },
    /// GitHub: a login name can be renamed and taken by another, the numeric id can't.
    GitHub {
        /// `github.com`, a GitHub Enterprise Server host or a GHE.com subdomain.
        host: String,
        /// The numeric account id.
        id: u64,
    },
}

impl Identity {
    /// What makes it this one and no other.
    fn key(&self) -> (&'static str, &str, Cow<'_, str>) {
        match self {
            Self::Oidc { issuer, subject } => {
                let issuer = issuer.strip_suffix('/').unwrap_or(issuer);
                ("oidc", issuer, subject.into())
            }
            Self::Microsoft { tid, oid } => ("microsoft", tid.as_str(), oid.into()),
            Self::GitHub { host, id } => ("github", host, id.to_string().into()),
        }
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Identity {}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl fmt::Display for Identity {
    /// One unambiguous line, the key under which an account is found.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The subject comes last: an issuer is a URL and holds no space, a subject may.
        let (kind, place, name) = self.key();
        write!(f, "{kind} {place} {name}")
    }
}

/// The claims that proof rules read. Each keeps apart what was not sent from what could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// `acr`: OpenID Connect Core 2.
    #[serde(default, skip_serializing_if = "Claim::is_absent")]
    pub acr: Claim<String>,
    /// `amr`: RFC 8176; an array, or (some providers) one string.
    #[serde(default, skip_serializing_if = "Claim::is_absent")]
    pub amr: Claim<Vec<String>>,
    /// `acrs`: Entra's authentication contexts.
    #[serde(default, skip_serializing_if = "Claim::is_absent")]
    pub acrs: Claim<Vec<String>>,
    /// GitHub's `two_factor_authentication`: enrolment, not what this login used.
    #[serde(default, skip_serializing_if = "Claim::is_absent")]
    pub two_factor_authentication: Claim<bool>,
    /// `auth_time`: when the provider last authenticated the person. Never invented.
    #[serde(default, skip_serializing_if = "Claim::is_absent")]
    pub auth_time: Claim<Timestamp>,
    /// The claims that expressions of the policy name, as the provider sent them: at most 16 KiB in
    /// all, and never personal ones ([`crate::expression`]).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other: BTreeMap<String, Value>,
    /// The names of those that were sent and could not be kept. They are not absent: an expression that names
    /// one proves nothing.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unreadable: BTreeSet<String>,
}

/// A claim as it arrived. Only [`Claim::Value`] can ever prove anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claim<T> {
    /// The provider did not send it.
    #[default]
    Absent,
    /// The provider sent something of another type.
    Malformed,
    /// Two tokens of one login say different things.
    Contradictory,
    /// What the provider said.
    Value(T),
}

impl<T> Claim<T> {
    /// What the provider said, if it can be read.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Malformed | Self::Contradictory => None,
        }
    }

    /// Whether the provider did not send it.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl<T: PartialEq> Claim<T> {
    /// Joins what two tokens of *one* login say (hybrid flow): absence in one is no contradiction.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Absent, only) | (only, Self::Absent) => only,
            (Self::Malformed, _) | (_, Self::Malformed) => Self::Malformed,
            (one, two) if one == two => one,
            (_, _) => Self::Contradictory,
        }
    }
}

/// Whether a person is a member of the tenant or its guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Membership {
    /// A member of the tenant.
    Member,
    /// A guest (B2B) in the tenant.
    Guest,
}

/// All that is kept of a person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The display name, untrusted text of at most 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    /// What to send as `login_hint` when the person is sent back to this provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_hint: Option<String>,
}

impl Profile {
    /// What stays once nobody is sent back to the provider any more: name and e-mail address.
    #[must_use]
    pub fn name_and_email(self) -> Self {
        Self {
            login_hint: None,
            ..self
        }
    }
}

/// An e-mail address. Never a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email {
    /// Untrusted text of at most 254 characters.
    pub address: String,
    /// Whether the provider is one whose word on this address counts, and it gave it.
    pub verified: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Claim<String> {
        Claim::Value(value.into())
    }

    #[test]
    fn a_claim_in_one_token_only_is_taken_from_there() {
        assert_eq!(text("mfa").join(Claim::Absent), text("mfa"));
        assert_eq!(Claim::Absent.join(text("mfa")), text("mfa"));
        assert_eq!(Claim::<String>::Absent.join(Claim::Absent), Claim::Absent);
    }

    #[test]
    fn two_tokens_that_disagree_contradict_each_other() {
        assert_eq!(text("mfa").join(text("default")), Claim::Contradictory);
        assert_eq!(text("mfa").join(text("mfa")), text("mfa"));
    }

    #[test]
    fn a_malformed_claim_is_not_mended_by_its_twin() {
        assert_eq!(text("mfa").join(Claim::Malformed), Claim::Malformed);
        assert_eq!(Claim::Malformed.join(text("mfa")), Claim::Malformed);
    }

    #[test]
    fn the_same_object_id_in_another_tenant_is_another_person() {
        let at = |tid: &str| Identity::Microsoft {
            tid: TenantId::new(tid).unwrap(),
            oid: "690222be-ff1a-4d56-abd1-7e4f7d38e474".into(),
        };
        assert_ne!(
            at("6e93a626-8aca-4dc1-9191-ce291b4b75a1").to_string(),
            at(TenantId::CONSUMERS).to_string()
        );
    }

    #[test]
    fn a_slash_at_the_end_of_an_issuer_makes_nobody_else() {
        let at = |issuer: &str, subject: &str| Identity::Oidc {
            issuer: issuer.into(),
            subject: subject.into(),
        };
        let bare = at("https://id.example", "1");
        for same in ["https://id.example", "https://id.example/"] {
            assert_eq!(at(same, "1"), bare);
            assert_eq!(at(same, "1").to_string(), "oidc https://id.example 1");
        }
        for other in [
            "https://id.example//",
            "https://id.example/a",
            "http://id.example",
        ] {
            assert_ne!(at(other, "1"), bare, "{other}");
            assert_ne!(at(other, "1").to_string(), bare.to_string());
        }
        assert_ne!(at("https://id.example", "1/"), bare);
        assert_ne!(at("https://id.example", "/1"), bare);
    }

    /// Mappings are of the issuer that tokens name, to the letter.
    #[test]
    fn who_signs_in_belongs_to_the_issuer_as_it_is_spelled() {
        let spelled = Source::Issuer("https://id.example/".to_owned());
        let evidence = Evidence {
            provider: ProviderId::new("oidc").unwrap(),
            identity: Identity::Oidc {
                issuer: "https://id.example/".into(),
                subject: "1".into(),
            },
            claims: Claims::default(),
            profile: Profile::default(),
            membership: Claim::Absent,
            affiliation: Affiliation::default(),
            provider_session: None,
            verified_at: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(evidence.belongs(), BTreeSet::from([spelled]));
    }
}
