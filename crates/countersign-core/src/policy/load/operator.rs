//! `[operators]`: who runs the installation in the browser.

use std::collections::BTreeSet;

use super::{Reader, not_empty};
use crate::document::{Table, Value};
use crate::policy::{Policy, Tier};
use crate::{AccountId, Level, Scope};

/// The accounts that are operators'.
pub(super) fn operators(table: &mut Table<'_>) -> Option<BTreeSet<AccountId>> {
    table.required("accounts", |value| {
        not_empty(value, value.set(|item| item.parsed(AccountId::new))?)
    })
}

impl Reader<'_, '_> {
    /// What opens what is everybody's is nothing for a password alone.
    pub(super) fn check_operators(&self) {
        for (name, tier) in &self.tiers {
            let needs_nothing = tier.requirement.level == Level::None;
            if let (Some(key), Some(scope)) = (self.tier_keys.get(name), of_operators(tier))
                && needs_nothing
            {
                key.report(format_args!(
                    "lists `{scope}`, which opens all accounts and organizations, and needs no second factor: move it to a tier that does"
                ));
            }
        }
    }

    /// A scope that no person and no service can have, or people who can have nothing.
    pub(super) fn warn_of_idle_operators(&self, policy: &Policy, operators: Option<&Value<'_>>) {
        let mut listing = policy
            .tiers
            .iter()
            .filter_map(|(name, tier)| Some((name, of_operators(tier)?)))
            .peekable();
        if let Some(operators) = operators
            && listing.peek().is_none()
        {
            operators.warn(format_args!(
                "no tier lists `{}` or `{}`: operators can do nothing",
                Scope::OPERATOR_READ,
                Scope::OPERATOR_WRITE
            ));
        }
        for (name, scope) in listing {
            let mut clients = policy.clients.values();
            let has_nobody = policy.operators.is_empty()
                && clients.all(|client| !client.own_scopes.contains(scope));
            if let (Some(key), true) = (self.tier_keys.get(name), has_nobody) {
                key.warn(format_args!(
                    "lists `{scope}`, which nobody can have: `[operators]` names no account, and no client has it as its own"
                ));
            }
        }
    }
}

/// The first scope of a tier that is for operators.
fn of_operators(tier: &Tier) -> Option<&Scope> {
    tier.scopes.iter().find(|scope| scope.is_for_operators())
}
