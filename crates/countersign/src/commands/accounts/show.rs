//! `countersign accounts show`: what is known of one account, without the person's name and without whole
//! addresses, but for the name that the registry gives the account.

use std::fmt::{self, Display};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Args;
use countersign::config::Installation;
use countersign_core::calendar::Due;
use countersign_core::{AccountId, Level, OrganizationId, Policy};
use countersign_server::{CalendarKey, Clock, SystemClock, Vault};
use countersign_store::{
    Account, EmailAddress, RegistryAccount, RegistryAccountName, find_account,
};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use super::super::{load, say, store, tell};

/// What is written after `countersign accounts show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// Our id of it (`acct_…`, the `sub` of its tokens), or the registry's own name of it
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(show: &ShowArguments, configuration: &Path) -> ExitCode {
    let Some(installation) = load(configuration) else {
        return ExitCode::FAILURE;
    };
    match shown(show, installation) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn shown(show: &ShowArguments, installation: Installation) -> Result<()> {
    let store = store::to_look(&installation)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let (account, registry) = runtime
        .block_on(find_account(store.as_ref(), &show.account))?
        .ok_or_else(|| anyhow!("there is no account `{}`", show.account))?;
    let vault = Vault::new(store, installation.keys.secrets);
    let key = runtime.block_on(CalendarKey::find(&vault, SystemClock.now()))?;
    let day = day(account.as_ref(), key.as_ref(), &installation.policy.policy);
    let known = Known {
        must_show_mfa: day,
        ..Known::of(account, registry)
    };
    if show.json {
        say(format_args!("{}", serde_json::to_string_pretty(&known)?))
    } else {
        say(format_args!("{known}"))
    }
}

/// From when the policy in the file asks this account for a second factor.
fn day(account: Option<&Account>, key: Option<&CalendarKey>, policy: &Policy) -> Option<String> {
    let Some(calendar) = policy.calendar() else {
        return Some("now: the policy has no calendar".to_owned());
    };
    let facts = key?.facts(account?);
    Some(match calendar.due(&facts, Level::None) {
        Due::Always => "now: it has shown one, and `calendar.ratchet` holds it to that".to_owned(),
        Due::On(day) => format!("from {day}"),
        Due::NotSet => "no day yet: `calendar.existing_accounts` is not set".to_owned(),
    })
}

/// What is known of an account.
#[derive(Debug, Default, Serialize)]
struct Known {
    /// Our id. None until the registry account's owner has shown who they are.
    account: Option<AccountId>,
    registry_account: Option<RegistryAccountName>,
    /// What the registry account became, where a team shared it.
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<OrganizationId>,
    /// As it is printed, the key under which the account is found.
    identity: Option<String>,
    /// Others that lead to it, which its owner has linked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    linked: Vec<String>,
    /// What the calendar goes by.
    made_at: Option<Timestamp>,
    /// When the registry says that it was made there.
    registered_at: Option<Timestamp>,
    /// When our record of it was made.
    created_at: Option<Timestamp>,
    first_mfa_at: Option<Timestamp>,
    told_due: Option<Date>,
    /// From when it needs a second factor, by the policy in the file. None where its day hangs on an id of ours
    /// that it does not have yet.
    must_show_mfa: Option<String>,
    provider_email: Option<ProviderEmail>,
    vouched_email: Option<Vouched>,
    imported_email: Option<String>,
    locked: Option<Locked>,
}

#[derive(Debug, Serialize)]
struct Locked {
    at: Timestamp,
    reason: String,
}

#[derive(Debug, Serialize)]
struct ProviderEmail {
    address: String,
    verified: bool,
}

#[derive(Debug, Serialize)]
struct Vouched {
    address: String,
    at: Timestamp,
}

impl Known {
    fn of(account: Option<Account>, registry: Option<RegistryAccount>) -> Self {
        let registry = registry.map(|it| Self {
            made_at: Some(it.registered_at),
            registered_at: Some(it.registered_at),
            imported_email: it.verified_email.as_ref().map(EmailAddress::masked),
            registry_account: Some(it.name),
            organization: it.organization,
            ..Self::default()
        });
        let registry = registry.unwrap_or_default();
        let Some(account) = account else {
            return registry;
        };
        Self {
            identity: Some(account.identity.to_string()),
            linked: account
                .linked
                .iter()
                .map(|one| one.identity.to_string())
                .collect(),
            made_at: Some(account.made_at()),
            registered_at: account.registered_at,
            created_at: Some(account.created_at),
            first_mfa_at: account.first_mfa_at,
            told_due: account.told_due,
            locked: account.locked.map(|lock| Locked {
                at: lock.at,
                reason: lock.reason,
            }),
            provider_email: account.profile.email.map(|email| ProviderEmail {
                address: masked(email.address),
                verified: email.verified,
            }),
            vouched_email: account.vouched_email.map(|email| Vouched {
                address: email.address.masked(),
                at: email.at,
            }),
            account: Some(account.id),
            ..registry
        }
    }
}

fn masked(address: String) -> String {
    EmailAddress::new(address).map_or_else(|_| "…".to_owned(), |address| address.masked())
}

impl Display for Known {
    /// A line for each, whether it is known or not: that something is not known is what an operator
    /// may be looking for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_provider = self.provider_email.as_ref().map(|email| {
            let verified = if email.verified {
                "verified"
            } else {
                "not verified"
            };
            format!("{} ({verified})", email.address)
        });
        // A provider may send any text as `sub`, and it must not steer a terminal.
        let identity = self.identity.as_ref().map(|text| text.escape_debug());
        let linked: Vec<String> = self
            .linked
            .iter()
            .map(|text| text.escape_debug().to_string())
            .collect();
        let linked = (!linked.is_empty()).then(|| linked.join("; "));
        let vouched = self.vouched_email.as_ref();
        let vouched =
            vouched.map(|email| format!("{} (verified, since {})", email.address, email.at));
        let locked = self.locked.as_ref().map(|lock| {
            // An operator's words, which must not steer another's terminal.
            format!("since {}: {}", lock.at, lock.reason.escape_debug())
        });
        let nobody = match &self.organization {
            Some(id) => format!("none: it was a team's, and became the organization {id}"),
            None => "none: its owner has not been seen".to_owned(),
        };
        let by_registry = vouched.or_else(|| self.imported_email.clone());
        let lines = [
            said("account", self.account.as_ref(), &nobody),
            said(
                "registry account",
                self.registry_account.as_ref(),
                "not known",
            ),
            said("identity", identity, "not known"),
            said("linked identities", linked, "none"),
            said("made, for the calendar", self.made_at, "not known"),
            said("made at the registry", self.registered_at, "not known"),
            said("first known here", self.created_at, "not yet"),
            said("first seen with MFA", self.first_mfa_at, "not yet"),
            said("day that was told", self.told_due, "none yet"),
            said(
                "must show a second factor",
                self.must_show_mfa.as_ref(),
                "not known yet",
            ),
            said("e-mail by the provider", by_provider, "not known"),
            said("e-mail by the registry", by_registry, "none"),
            said("locked", locked, "no"),
        ];
        f.write_str(&lines.join("\n"))
    }
}

fn said(what: &str, value: Option<impl Display>, otherwise: &str) -> String {
    match value {
        Some(value) => format!("{what}: {value}"),
        None => format!("{what}: {otherwise}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_teams_account_that_is_nobodys_it_is_said_what_it_became() {
        let registry = |organization: Option<&str>| RegistryAccount {
            name: RegistryAccountName::new("team").unwrap(),
            registered_at: Timestamp::UNIX_EPOCH,
            verified_email: None,
            account: None,
            organization: organization.map(|id| OrganizationId::new(id).unwrap()),
        };
        let shown = |it| Known::of(None, Some(it)).to_string();
        let first = |text: String| text.lines().next().map(str::to_owned).unwrap();
        assert_eq!(
            first(shown(registry(Some("contoso")))),
            "account: none: it was a team's, and became the organization contoso"
        );
        assert_eq!(
            first(shown(registry(None))),
            "account: none: its owner has not been seen"
        );
    }
}
