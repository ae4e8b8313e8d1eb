//! A made-up registry: who has an account there, which organisations it has, and who administers them.
//!
//! All of it follows from a number, so nothing is remembered.

use std::io::Write;

use countersign_core::{Identity, Source, TenantId};
use countersign_dev_idp::{DevIdp, oidc};
use serde_json::json;

/// How many of them sign in here.
pub(crate) const PEOPLE: u32 = 16;
/// How many organisations each of those administers. All others administer one or none,
pub(crate) const ADMINISTERED: u32 = 20;
/// but for one more who signs in, and works for the registry.
pub(crate) const STAFF: u32 = PEOPLE;
/// What that one administers besides their admins.
const OF_STAFF: u32 = 500;
/// Of so many organisations one is connected to a tenant.
const CONNECTED: u32 = 5;
/// Spreads whatever it multiplies over a number of organisations that is a power of ten.
const SPREAD: u64 = 7_919;

/// A registry of so many accounts.
#[derive(Debug, Clone)]
pub(crate) struct MadeUp {
    pub(crate) accounts: u32,
    issuer: String,
    usual: oidc::Account,
}

impl MadeUp {
    /// Accounts whose owners sign in at this provider.
    pub(crate) fn of(accounts: u32, provider: &DevIdp) -> Self {
        let behaviour = provider.control().behaviour();
        let ann = behaviour
            .oidc
            .accounts
            .iter()
            .find(|one| one.id == "ann-mfa");
        Self {
            accounts,
            issuer: provider.base_url().to_owned(),
            usual: ann.expect("an account with a second factor").clone(),
        }
    }

    pub(crate) fn organizations(&self) -> u32 {
        self.accounts / 10
    }

    /// Those who sign in, as the provider knows them.
    pub(crate) fn people(&self) -> impl Iterator<Item = oidc::Account> {
        (0..=STAFF).map(|person| {
            let account = self.account_of(person);
            let mut one = self.usual.clone();
            one.id = self.login_of(person);
            one.sub = subject(account);
            one.email = Some(address(account));
            one
        })
    }

    /// What picks a person at the provider.
    pub(crate) fn login_of(&self, person: u32) -> String {
        format!("person-{person}-of-{}", self.accounts)
    }

    pub(crate) fn identity(&self, account: u32) -> Identity {
        Identity::Oidc {
            issuer: self.issuer.clone(),
            subject: subject(account),
        }
    }

    /// The nth of those that a person administers, by its name.
    pub(crate) fn organization_of(&self, person: u32, n: u32) -> String {
        let turn = person * ADMINISTERED + n;
        let mut all = 0..self.organizations();
        let found = all.find(|one| self.turn(*one) == turn);
        organization(found.expect("everybody's turn comes"))
    }

    /// The nth of those that are connected, by its source.
    pub(crate) fn source(&self, n: u32) -> Source {
        let connected = n % (self.organizations() / CONNECTED);
        Source::Tenant(tenant(connected * CONNECTED))
    }

    /// The table for `countersign accounts import`.
    pub(crate) fn write_accounts(&self, mut file: impl Write) -> anyhow::Result<()> {
        writeln!(file, "account,created,provider,subject,verified_email")?;
        for account in 0..self.accounts {
            let (name, subject, address) = (name(account), subject(account), address(account));
            writeln!(file, "{name},2019-03-04,oidc,{subject},{address}")?;
        }
        Ok(file.flush()?)
    }

    /// The file for `countersign orgs apply`.
    pub(crate) fn write_organizations(&self, mut file: impl Write) -> anyhow::Result<()> {
        for one in 0..self.organizations() {
            let admins = self.admins(one);
            let admins = admins.map(|account| format!("registry-account:{}", name(account)));
            let mut line = json!({
                "id": organization(one),
                "title": format!("Organization N° {one}"),
                "admins": admins.collect::<Vec<_>>(),
            });
            if one.is_multiple_of(CONNECTED) {
                let source = Source::Tenant(tenant(one)).to_string();
                line["connections"] = json!([{"source": source, "reason": "contract 4711"}]);
            }
            writeln!(file, "{line}")?;
        }
        Ok(file.flush()?)
    }

    /// A tenant that no organisation has.
    pub(crate) fn source_of_nobody(&self, n: u32) -> Source {
        Source::Tenant(tenant(self.organizations() + n))
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    fn account_of(&self, person: u32) -> u32 {
        person * (self.accounts / (STAFF + 1))
    }

    fn admins(&self, organization: u32) -> impl Iterator<Item = u32> {
        let turn = self.turn(organization);
        let own = match turn / ADMINISTERED {
            person if person < PEOPLE => self.account_of(person),
            _ => organization * 10 + 7,
        };
        let staff = (turn < OF_STAFF).then(|| self.account_of(STAFF));
        staff.into_iter().chain([own])
    }

    /// Its place in an order in which neighbours by name are far from each other.
    fn turn(&self, organization: u32) -> u32 {
        let turn = u64::from(organization) * SPREAD % u64::from(self.organizations());
        u32::try_from(turn).expect("less than there are")
    }
}

/// As random numbers would be, and each once.
pub(crate) fn scattered(n: u32) -> u32 {
    n.wrapping_mul(0x9e37_79b1)
}

pub(crate) fn organization(n: u32) -> String {
    format!("team-{n:06}")
}

fn name(account: u32) -> String {
    format!("user-{account}")
}

fn subject(account: u32) -> String {
    format!("{:08x}-{account}", scattered(account))
}

fn address(account: u32) -> String {
    format!("user-{account}@registry.example")
}

fn tenant(organization: u32) -> TenantId {
    let id = format!(
        "{:08x}-0000-4000-8000-{organization:012x}",
        scattered(organization)
    );
    TenantId::new(&id).expect("a tenant")
}
