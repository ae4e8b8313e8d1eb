//! Evidence of a GitHub login: pure, from what the REST API answered.

use std::collections::BTreeMap;

use countersign_core::{
    Affiliation, Claim, Claims, Email, Evidence, GitHubMember, GitHubRole, Identity, Profile,
    ProviderId,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::strict_json::StrictObject;
use crate::{ProviderError, display_text};

/// One entry of `GET /user/emails`.
#[derive(Deserialize)]
struct Address {
    email: String,
    primary: bool,
    verified: bool,
}

/// What `GET /user` and `GET /user/emails` prove. `emails` is absent where they may not be read.
pub(crate) fn evidence(
    provider: &ProviderId,
    host: &str,
    user: &[u8],
    emails: Option<&[u8]>,
    now: Timestamp,
) -> Result<Evidence, ProviderError> {
    let StrictObject(user) = serde_json::from_slice(user)
        .map_err(|_| ProviderError::Answer("the account can't be read"))?;
    let id = user.get("id").and_then(Value::as_u64).filter(|id| *id > 0);
    let text = |name: &str| user.get(name).and_then(Value::as_str);
    let login = text("login").and_then(|login| display_text(login, 256));
    Ok(Evidence {
        provider: provider.clone(),
        identity: Identity::GitHub {
            host: host.to_owned(),
            id: id.ok_or(ProviderError::Answer("the account has no numeric id"))?,
        },
        claims: Claims {
            two_factor_authentication: flag(user.get("two_factor_authentication")),
            ..Claims::default()
        },
        profile: Profile {
            name: text("name")
                .and_then(|name| display_text(name, 256))
                .or_else(|| login.clone()),
            email: emails.map(primary_address).transpose()?.flatten(),
            login_hint: login,
        },
        membership: Claim::Absent,
        affiliation: Affiliation::default(),
        provider_session: None,
        verified_at: now,
    })
}

/// One page of `GET /user/memberships/orgs`.
pub(crate) struct Listed {
    /// How many there were, whatever can be made of them.
    pub(crate) count: usize,
    /// Those that are active, by the organisation's numeric id.
    pub(crate) active: BTreeMap<u64, GitHubMember>,
}

#[derive(Deserialize)]
struct Entry {
    state: String,
    role: String,
    organization: Organization,
}

#[derive(Deserialize)]
struct Organization {
    id: u64,
    login: String,
}

/// What a page of memberships says. Who is invited (`pending`) is no member yet.
pub(crate) fn memberships(page: &[u8]) -> Result<Listed, ProviderError> {
    let entries: Vec<Entry> = serde_json::from_slice(page)
        .map_err(|_| ProviderError::Answer("the memberships can't be read"))?;
    let count = entries.len();
    let active = entries
        .into_iter()
        .filter(|one| one.state == "active" && one.organization.id > 0);
    let member = |one: Entry| {
        let role = match one.role.as_str() {
            "admin" => GitHubRole::Admin,
            "member" => GitHubRole::Member,
            // Say `billing_manager`, who pays and belongs to nobody's maintainers.
            _ => return None,
        };
        let login = display_text(&one.organization.login, 64).unwrap_or_default();
        Some((one.organization.id, GitHubMember { login, role }))
    };
    Ok(Listed {
        count,
        active: active.filter_map(member).collect(),
    })
}

/// Absent is not false: with too little scope GitHub leaves the flag out and still answers 200.
fn flag(value: Option<&Value>) -> Claim<bool> {
    match value {
        None => Claim::Absent,
        Some(Value::Bool(enrolled)) => Claim::Value(*enrolled),
        Some(_) => Claim::Malformed,
    }
}

/// The primary address, if it is verified. The address in `/user` is what the person shows, not what they proved.
fn primary_address(emails: &[u8]) -> Result<Option<Email>, ProviderError> {
    let addresses: Vec<Address> = serde_json::from_slice(emails)
        .map_err(|_| ProviderError::Answer("the e-mail addresses can't be read"))?;
    let primary = addresses
        .into_iter()
        .find(|one| one.primary && one.verified);
    Ok(primary.and_then(|one| {
        let address = display_text(&one.email, 254)?;
        Some(Email {
            address,
            verified: true,
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_active_and_no_mere_payer() {
        let of = |id: u64, state: &str, role: &str| {
            format!(
                r#"{{"state":"{state}","role":"{role}","organization":{{"id":{id},"login":"org-{id}"}}}}"#
            )
        };
        let page = [
            of(1, "active", "admin"),
            of(2, "active", "member"),
            of(3, "active", "billing_manager"),
            of(4, "pending", "admin"),
            of(0, "active", "member"),
            of(5, "active", "what comes next"),
        ];
        let listed = memberships(format!("[{}]", page.join(",")).as_bytes()).unwrap();
        assert_eq!(listed.count, page.len());
        let roles = listed.active.iter().map(|(id, member)| (*id, member.role));
        let expected = [(1, GitHubRole::Admin), (2, GitHubRole::Member)];
        assert_eq!(roles.collect::<Vec<_>>(), expected);
    }
}
