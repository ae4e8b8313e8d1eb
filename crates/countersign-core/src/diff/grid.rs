//! Made-up cases that between them have everything that either of two policies asks about.
//!
//! Provider × what its logins can show × age of the evidence × account before, at and after its day ×
//! scope × organisation × verified e-mail × client. The size does not follow the number of
//! organisations: those that do not differ are not tried, and of those that the files treat alike
//! one stands for all.

mod logins;
mod times;

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::conditions::Limits;
use super::{Comparison, Pair};
use crate::{
    AccountFacts, AccountId, Claim, ClientId, Demands, Exception, Facts, Login, OrganizationId,
    ProviderId, Remedy, Scope, Subject, TenantId, TierName,
};
use times::Moment;

/// How many kinds of organisations, and how many exceptions, are tried.
const MOST: usize = 100;

/// Cases for two policies.
#[derive(Debug)]
pub struct Grid<'a> {
    pair: &'a Pair,
    today: Date,
    scopes: Vec<BTreeSet<Scope>>,
    moments: Vec<Moment>,
    /// The first and the last day that either calendar has something to say of.
    days: (Date, Date),
    /// What was not tried.
    left_out: Vec<String>,
    /// The organisations that stand for others, with how many.
    alike: BTreeMap<OrganizationId, usize>,
}

/// Who asks, apart from the login: the organisation with a tenant of its own, and the account.
#[derive(Debug, Clone)]
struct Asker {
    organization: Option<OrganizationId>,
    tenant: Option<TenantId>,
    moment: Moment,
}

impl<'a> Grid<'a> {
    /// The cases for these two. `today` is a day on which to try what does not depend on the day.
    pub fn new(pair: &'a Pair, today: Date) -> Self {
        let tried = times::all(pair, today);
        let mut grid = Self {
            pair,
            today,
            scopes: scopes(pair),
            days: times::span(&tried, today),
            moments: times::of_each_kind(pair, tried),
            left_out: logins::not_tried(pair),
            alike: BTreeMap::new(),
        };
        grid.alike = grid.organizations();
        grid
    }

    /// Lets both policies decide all of them.
    pub fn compare(&self) -> Comparison {
        let mut comparison = Comparison {
            days: Some(self.days),
            ..Comparison::default()
        };
        let askers = self.askers();
        for client in self.clients() {
            for asker in &askers {
                self.compare_for(&mut comparison, &client, asker);
            }
        }
        comparison
    }

    /// What could not be tried, in words.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// The organisations that stand for others that the files treat alike, with how many.
    pub fn alike(&self) -> &BTreeMap<OrganizationId, usize> {
        &self.alike
    }

    fn compare_for(&self, comparison: &mut Comparison, client: &ClientId, asker: &Asker) {
        let now = asker.moment.now;
        for provider in self.providers() {
            for login in logins::of(self.pair, &provider, asker.tenant.as_ref()) {
                for facts in self.aged(&facts(client, asker, login), now) {
                    self.compare_each(comparison, facts, now);
                }
            }
        }
    }

    /// Signing in alone, and the scopes of each tier alone: a reminder that comes with one is not the
    /// other's.
    fn compare_each(&self, comparison: &mut Comparison, mut facts: Facts, now: Timestamp) {
        comparison.add(self.pair, &facts, now);
        let openid = std::mem::take(&mut facts.scopes);
        for scopes in &self.scopes {
            facts.scopes = scopes | &openid;
            comparison.add_some(self.pair, &facts, now, |asked| asked.is_some());
        }
    }

    /// The same login at every age and with every address that makes a difference.
    fn aged(&self, facts: &Facts, now: Timestamp) -> Vec<Facts> {
        let limits = Limits::of(self.pair, facts);
        let emails: &[bool] = if limits.email {
            &[true, false]
        } else {
            &[true]
        };
        let keys: &[bool] = if limits.at_use {
            &[false, true]
        } else {
            &[false]
        };
        let mut all = Vec::new();
        for age in ages(&limits.evidence) {
            for authenticated in authenticated(&limits.authentication, now) {
                for (email, key) in emails
                    .iter()
                    .flat_map(|one| keys.iter().map(move |key| (one, key)))
                {
                    let mut facts = facts.clone();
                    facts.login.verified_at = before(now, age);
                    facts.login.claims.auth_time.clone_from(&authenticated);
                    facts.login.email_verified = *email;
                    facts.key_made_at = key.then_some(facts.login.verified_at);
                    all.push(facts);
                }
            }
        }
        all
    }

    fn clients(&self) -> Vec<ClientId> {
        let both = self.pair.both();
        let all: BTreeSet<&ClientId> = both.iter().flat_map(|one| one.clients()).collect();
        all.into_iter().cloned().collect()
    }

    fn providers(&self) -> BTreeSet<ProviderId> {
        let both = self.pair.both();
        both.iter()
            .flat_map(|one| one.providers())
            .cloned()
            .collect()
    }

    fn askers(&self) -> Vec<Asker> {
        let nobodys = self.moments.iter().map(|moment| Asker {
            organization: None,
            tenant: None,
            moment: moment.clone(),
        });
        let in_tenants = logins::tenants(self.pair).into_iter().map(|tenant| Asker {
            organization: None,
            tenant: Some(tenant),
            moment: self.held(),
        });
        let organizations = self.alike.keys().flat_map(|id| self.asking_for(id));
        let excepted = self
            .exceptions()
            .into_iter()
            .flat_map(|one| self.excepted(one));
        let operators = self.operators().into_iter().map(|id| Asker {
            organization: None,
            tenant: None,
            moment: self.held().of(id),
        });
        nobodys
            .chain(in_tenants)
            .chain(organizations)
            .chain(excepted)
            .chain(operators)
            .collect()
    }

    /// A moment at which an account must already, if there is one.
    fn held(&self) -> Moment {
        let is_held = |moment: &&Moment| moment.is_held(self.pair);
        let held = self.moments.iter().find(is_held).or(self.moments.first());
        held.cloned().unwrap_or_else(|| times::ordinary(self.today))
    }

    /// Who asks for an organisation: from a tenant that both map to it, and that one of them does.
    fn asking_for(&self, id: &OrganizationId) -> Vec<Asker> {
        let [old, new] = self.tenants_of(id);
        let one_of_each = [&old & &new, &old - &new, &new - &old];
        one_of_each
            .into_iter()
            .filter_map(|mut tenants| tenants.pop_first())
            .map(|tenant| Asker {
                organization: Some(id.clone()),
                tenant: Some(tenant),
                moment: self.held(),
            })
            .collect()
    }

    fn tenants_of(&self, id: &OrganizationId) -> [BTreeSet<TenantId>; 2] {
        let of = |one: &crate::Policy| one.organization(id).map(|rule| rule.tenants.clone());
        self.pair.both().map(|one| of(one).unwrap_or_default())
    }

    /// The organisations whose rules differ: one of those that the files treat alike, with how many.
    fn organizations(&mut self) -> BTreeMap<OrganizationId, usize> {
        let [old, new] = self.pair.both();
        let names = old.organizations().chain(new.organizations());
        let differing = names.filter(|id| old.organization(id) != new.organization(id));
        let mut kinds: BTreeMap<String, BTreeSet<&OrganizationId>> = BTreeMap::new();
        for id in differing {
            kinds.entry(self.kind_of(id)).or_default().insert(id);
        }
        let count = kinds.len();
        if count > MOST {
            let more = count - MOST;
            let note = format!("{more} of {count} kinds of organizations that differ");
            self.left_out.push(note);
        }
        let tried = kinds.into_values().take(MOST);
        tried
            .filter_map(|ids| Some(((*ids.first()?).clone(), ids.len())))
            .collect()
    }

    /// What both files say of it, but for its name and those of its tenants.
    fn kind_of(&self, id: &OrganizationId) -> String {
        let [old, new] = self.tenants_of(id);
        let tenants = (
            !old.is_disjoint(&new),
            !old.is_subset(&new),
            !new.is_subset(&old),
        );
        let stricter = self
            .pair
            .both()
            .map(|one| one.organization(id).map(|rule| &rule.stricter));
        let subject = Subject::Organization(id.clone());
        let exceptions = self.pair.both().map(|one| {
            let all = one.exceptions().iter();
            all.filter(|(_, exception)| exception.subject == subject)
                .collect::<Vec<_>>()
        });
        format!("{tenants:?} {stricter:?} {exceptions:?}")
    }

    /// The exceptions that only one of the files has.
    fn exceptions(&self) -> Vec<&'a Exception> {
        let both = self.pair.both();
        let all = both.into_iter().flat_map(|one| one.exceptions().iter());
        let differing = all.filter(|(_, one)| self.pair.excepted.contains(&one.subject));
        differing.map(|(_, one)| one).take(MOST).collect()
    }

    /// The accounts that are operators' in one of the files only.
    fn operators(&self) -> Vec<&'a AccountId> {
        let [old, new] = self.pair.both();
        let differing = old.operators.symmetric_difference(&new.operators);
        differing.take(MOST).collect()
    }

    /// Whom an exception is for, on its last day and on the day after.
    fn excepted(&self, exception: &Exception) -> Vec<Asker> {
        let moments = times::around(exception, &self.held(), self.today);
        match &exception.subject {
            Subject::Account(id) => {
                let of_account = |moment: Moment| Asker {
                    organization: None,
                    tenant: None,
                    moment: moment.of(id),
                };
                moments.into_iter().map(of_account).collect()
            }
            Subject::Organization(id) => {
                let askers = self.asking_for(id).into_iter();
                let at_each = |asker: Asker| {
                    let at = |moment: &Moment| Asker {
                        moment: moment.clone(),
                        ..asker.clone()
                    };
                    moments.iter().map(at).collect::<Vec<_>>()
                };
                askers.flat_map(at_each).collect()
            }
        }
    }
}

fn facts(client: &ClientId, asker: &Asker, login: Login) -> Facts {
    Facts {
        client: client.clone(),
        // With it a sign-in is not in vain where no scope is granted.
        scopes: Scope::new("openid").into_iter().collect(),
        organization: asker.organization.clone(),
        manages: None,
        mappings: Vec::new(),
        waivers: Vec::new(),
        demands: Demands::default(),
        login,
        identity_changed: false,
        withdrawn: false,
        account: asker.moment.account.clone(),
        // What a login is worth in itself: whether a provider could be asked for more is not the
        // policy's affair.
        remedy: Remedy::Nothing,
        session_expires_at: None,
        stated: None,
        key_made_at: None,
    }
}

/// The scopes that either has, together where they are of the same tier in both.
fn scopes(pair: &Pair) -> Vec<BTreeSet<Scope>> {
    let both = pair.both();
    let mut by_tiers: BTreeMap<[Option<&TierName>; 2], BTreeSet<Scope>> = BTreeMap::new();
    for scope in both.iter().flat_map(|one| one.scopes()) {
        let tiers = both.map(|one| one.tier_of(scope));
        by_tiers.entry(tiers).or_default().insert(scope.clone());
    }
    by_tiers.into_values().collect()
}

/// One age of each side of every limit.
fn ages(limits: &BTreeSet<SignedDuration>) -> Vec<SignedDuration> {
    let beyond = limits
        .iter()
        .map(|limit| limit.saturating_add(SignedDuration::from_secs(1)));
    std::iter::once(SignedDuration::ZERO)
        .chain(beyond)
        .collect()
}

/// No `auth_time`, and one on each side of every limit; none where nobody asks for it.
fn authenticated(limits: &BTreeSet<SignedDuration>, now: Timestamp) -> Vec<Claim<Timestamp>> {
    let mut all = vec![Claim::Absent];
    if !limits.is_empty() {
        all.extend(
            ages(limits)
                .into_iter()
                .map(|age| Claim::Value(before(now, age))),
        );
    }
    all
}

fn before(now: Timestamp, age: SignedDuration) -> Timestamp {
    now.checked_sub(age).unwrap_or(Timestamp::MIN)
}

/// An account of which nothing more is known.
fn account(made_at: Timestamp, spread: u64) -> AccountFacts {
    AccountFacts {
        id: AccountId::of_nobody(),
        made_at,
        spread,
        told_due: None,
        first_mfa_at: None,
        email_vouched: false,
        locked: false,
    }
}
