//! One sign-in in words, turned into the facts that a decision rests on.

use std::collections::BTreeSet;
use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::words::{self, shorten};
use super::{Column, Words, account, expected, shows};
use crate::document::{did_you_mean, duration};
use crate::{
    AccountFacts, Acr, Claim, ClientId, Demands, Facts, Level, Login, Membership, OrganizationId,
    Policy, ProviderId, Remedy, Scope, TenantId,
};

/// A sign-in that was described in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// What the decision rests on.
    pub facts: Facts,
    /// When it plays.
    pub now: Timestamp,
}

/// What is wrong with a description, and in which column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The column.
    pub column: Column,
    /// What was expected, and what was found.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// How long before the case a `prompt=login` was sent out: the person had to go and come back.
const ON_THE_WAY: SignedDuration = SignedDuration::from_mins(1);

impl SignIn {
    /// Reads a description; the policy gives its words their meaning. All mistakes are told at once.
    pub fn described(policy: &Policy, words: &Words<'_>) -> Result<Self, Vec<Mistake>> {
        let mut reader = Reader {
            policy,
            words,
            mistakes: Vec::new(),
        };
        match reader.sign_in() {
            Some(sign_in) if reader.mistakes.is_empty() => Ok(sign_in),
            Some(_) | None => Err(reader.mistakes),
        }
    }
}

struct Reader<'a> {
    policy: &'a Policy,
    words: &'a Words<'a>,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn sign_in(&mut self) -> Option<SignIn> {
        let policy = self.policy;
        let now = self.read(Column::On, |text| words::time(text.unwrap_or_default()));
        let client = self.read(Column::Client, |text| client(text, policy));
        let scopes = self.read(Column::AsksFor, |text| scopes(text, policy));
        let organization = self.read(Column::Organization, |text| organization(text, policy));
        let remedy_word = self.read(Column::Visit, visit);
        // What follows is told in times before or after this one.
        let now = now?;
        let account = self.account(now);
        let login = self.login(organization.as_ref().and_then(Option::as_ref), now);
        let demands = self.read(Column::Demands, |text| demands(text, now));
        let (login, visit) = (login?, remedy_word?);
        Some(SignIn {
            facts: Facts {
                client: client?,
                scopes: scopes?,
                organization: organization?,
                manages: None,
                mappings: Vec::new(),
                waivers: Vec::new(),
                demands: demands?,
                identity_changed: false,
                withdrawn: false,
                account: account?,
                remedy: remedy(visit, policy, &login.provider),
                session_expires_at: None,
                stated: None,
                key_made_at: None,
                login,
            },
            now,
        })
    }

    fn read<T>(
        &mut self,
        column: Column,
        parse: impl FnOnce(Option<&str>) -> Result<T, String>,
    ) -> Option<T> {
        match parse(self.words.of(column)) {
            Ok(value) => Some(value),
            Err(message) => {
                self.mistakes.push(Mistake { column, message });
                None
            }
        }
    }

    fn account(&mut self, now: Timestamp) -> Option<AccountFacts> {
        let calendar = self.policy.calendar();
        let account = self.read(Column::Account, |text| account::read(text, calendar, now))?;
        let vouched = self.words.of(Column::Email) == Some("vouched");
        Some(AccountFacts {
            email_vouched: vouched,
            locked: false,
            ..account
        })
    }

    fn login(&mut self, organization: Option<&OrganizationId>, now: Timestamp) -> Option<Login> {
        let policy = self.policy;
        let provider = self.read(Column::Provider, |text| provider(text, policy));
        let email_verified = self.read(Column::Email, email);
        let verified = self.read(Column::Verified, |text| words::age(text.unwrap_or("now")));
        let auth_time = self.read(Column::Authenticated, |text| {
            text.map(|text| shows::auth_time(text, now)).transpose()
        });
        let provider = provider?;
        let tenant = self.tenant(&provider, organization);
        let (tenant, membership) = tenant?;
        let mut login = Login {
            tenant,
            membership,
            email_verified: email_verified?,
            ..Login::new(provider, now.saturating_sub(verified?).unwrap_or(now))
        };
        login.claims = self.read(Column::Shows, |text| shows::read(text, policy, &login, now))?;
        if let Some(auth_time) = auth_time? {
            login.claims.auth_time = Claim::Value(auth_time);
        }
        Some(login)
    }

    /// Where nothing is said: the organisation's own, or one whose word the case relies on.
    fn tenant(
        &mut self,
        provider: &ProviderId,
        organization: Option<&OrganizationId>,
    ) -> Option<(Option<TenantId>, Claim<Membership>)> {
        let policy = self.policy;
        let of_organization = organization.and_then(|one| {
            let rule = policy.organization(one)?;
            rule.tenants.first().cloned()
        });
        let level = self
            .words
            .of(Column::Shows)
            .and_then(shows::proof)
            .filter(|(_, basis)| *basis == crate::Basis::Tenant)
            .map(|(level, _)| level);
        let attesting = level.and_then(|level| attesting(policy, provider, level));
        let default = of_organization.or(attesting);
        self.read(Column::Tenant, |text| tenant(text, default, policy))
    }
}

/// A tenant whose admin attests this level by the policy.
fn attesting(policy: &Policy, provider: &ProviderId, level: Level) -> Option<TenantId> {
    let mut tenants = policy.proof(provider).tenants.iter();
    let found = tenants.find(|(_, contexts)| contexts.values().any(|one| *one == level));
    found.map(|(tenant, _)| tenant.clone())
}

fn client(text: Option<&str>, policy: &Policy) -> Result<ClientId, String> {
    only_or_named("client", text, policy.clients(), ClientId::as_str)
}

fn provider(text: Option<&str>, policy: &Policy) -> Result<ProviderId, String> {
    only_or_named("provider", text, policy.providers(), ProviderId::as_str)
}

/// The one of this name; where nothing is said, the only one there is.
fn only_or_named<'a, T: Clone + 'a>(
    kind: &str,
    text: Option<&str>,
    all: impl Iterator<Item = &'a T>,
    name: impl Fn(&T) -> &str,
) -> Result<T, String> {
    let all: Vec<&T> = all.collect();
    let known = || {
        let names: Vec<String> = all.iter().map(|one| format!("`{}`", name(one))).collect();
        names.join(", ")
    };
    match (text, &all[..]) {
        (None, [only]) => Ok((*only).clone()),
        (None, _) => Err(format!("expected a {kind} (the policy names {})", known())),
        (Some(text), _) => {
            let found = all.iter().find(|one| name(one) == text);
            found.map(|one| (*one).clone()).ok_or_else(|| {
                let hint = did_you_mean(text, all.iter().map(|one| name(one)));
                let text = shorten(text);
                format!(
                    "the policy names no {kind} `{text}`{hint} (it names {})",
                    known()
                )
            })
        }
    }
}

fn scopes(text: Option<&str>, policy: &Policy) -> Result<BTreeSet<Scope>, String> {
    let openid = Scope::new("openid").map_err(|error| error.to_string());
    let named = words::list(text.unwrap_or_default())
        .filter(|scope| *scope != "openid")
        .map(|scope| expected::known_scope(scope, policy));
    std::iter::once(openid).chain(named).collect()
}

fn organization(text: Option<&str>, policy: &Policy) -> Result<Option<OrganizationId>, String> {
    let Some(text) = text else {
        return Ok(None);
    };
    let id = OrganizationId::new(text).map_err(|error| error.to_string())?;
    if policy.organization(&id).is_none() {
        let names = policy.organizations().map(OrganizationId::as_str);
        let hint = did_you_mean(text, names);
        return Err(format!("the policy has no `organization.{id}`{hint}"));
    }
    Ok(Some(id))
}

/// `of contoso`, `personal`, `none`, a tenant id; with `, guest` who is a guest there.
fn tenant(
    text: Option<&str>,
    default: Option<TenantId>,
    policy: &Policy,
) -> Result<(Option<TenantId>, Claim<Membership>), String> {
    let Some(text) = text else {
        return Ok((default, Claim::Absent));
    };
    let (name, membership) = match text
        .split_once(',')
        .map(|(name, it)| (name.trim(), it.trim()))
    {
        None => (text, Claim::Absent),
        Some((name, "guest")) => (name, Claim::Value(Membership::Guest)),
        Some((name, "member")) => (name, Claim::Value(Membership::Member)),
        Some((_, other)) => {
            return Err(format!(
                "expected `guest` or `member`, found `{}`",
                shorten(other)
            ));
        }
    };
    Ok((tenant_named(name, policy)?, membership))
}

fn tenant_named(name: &str, policy: &Policy) -> Result<Option<TenantId>, String> {
    if let Some(of) = name.strip_prefix("of ") {
        let organization = organization(Some(of.trim()), policy)?;
        let rule = organization.and_then(|id| policy.organization(&id));
        let tenant = rule.and_then(|rule| rule.tenants.first().cloned());
        return match tenant {
            Some(tenant) => Ok(Some(tenant)),
            None => Err(format!("`organization.{}` has no `tenants`", of.trim())),
        };
    }
    let id = match name {
        "none" => return Ok(None),
        "personal" => TenantId::CONSUMERS,
        id => id,
    };
    TenantId::new(id).map(Some).map_err(|_| {
        format!(
            "expected `of ORGANIZATION`, `personal`, `none` or a tenant id (a GUID in lower case), found `{}`",
            shorten(name)
        )
    })
}

/// Whether the provider vouches for the address; the registry's word is the account's.
fn email(text: Option<&str>) -> Result<bool, String> {
    match text {
        Some("verified") => Ok(true),
        None | Some("unverified" | "vouched") => Ok(false),
        Some(other) => Err(format!(
            "expected `verified` (by the provider), `vouched` (by the registry) or `unverified`, found `{}`",
            shorten(other)
        )),
    }
}

/// `acr_values=phr max_age=5m prompt=login`.
fn demands(text: Option<&str>, now: Timestamp) -> Result<Demands, String> {
    let mut demands = Demands::default();
    let parts = text.unwrap_or_default();
    for part in parts.split([' ', '`']).filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("acr_values", values)) => {
                demands.acr_values = values.split(',').map(acr).collect::<Result<_, _>>()?;
            }
            Some(("max_age", age)) => {
                let age = duration(age).ok_or_else(|| {
                    format!(
                        "`max_age`: expected a length of time such as `5m`, found `{}`",
                        shorten(age)
                    )
                })?;
                demands.max_age = Some(age);
            }
            Some(("prompt", "login")) => {
                demands.authenticated_since = now.checked_sub(ON_THE_WAY).ok();
            }
            Some(_) | None => {
                return Err(format!(
                    "expected `acr_values=…`, `max_age=5m` or `prompt=login`, found `{}`",
                    shorten(part)
                ));
            }
        }
    }
    Ok(demands)
}

fn acr(text: &str) -> Result<Acr, String> {
    Acr::parse(text).ok_or_else(|| {
        let hint = did_you_mean(text, Acr::ALL.map(Acr::as_str));
        let known = Acr::ALL.map(Acr::as_str).join("`, `");
        format!(
            "`acr_values`: expected one of `{known}`, found `{}`{hint}",
            shorten(text)
        )
    })
}

/// Which visit to the provider it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visit {
    First,
    Second,
}

fn visit(text: Option<&str>) -> Result<Visit, String> {
    match text {
        None | Some("first") => Ok(Visit::First),
        Some("second") => Ok(Visit::Second),
        Some(other) => Err(format!(
            "expected `first` (the person can be sent back to the provider) or `second` (they were), found `{}`",
            shorten(other)
        )),
    }
}

/// GitHub, whose proof alone is that flag, can't be asked for more.
fn remedy(visit: Visit, policy: &Policy, provider: &ProviderId) -> Remedy {
    match visit {
        Visit::First if policy.proof(provider).two_factor_authentication => Remedy::Nothing,
        Visit::First => Remedy::StepUp,
        Visit::Second => Remedy::Nothing,
    }
}
