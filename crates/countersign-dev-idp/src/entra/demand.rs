//! What a request demands of a sign-in, and what the sign-in then shows.

use std::collections::BTreeSet;

use super::realm::{ContextPolicy, MICROSOFT_ACCOUNTS, Tenant};
use super::{ACR_DEFAULT, ACR_MFA, Behaviour, ContextIssue, Honour};
use crate::oauth::{self, Params};

/// The demand of one request on one tenant.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    acr_values: Vec<String>,
    contexts: Vec<(String, ContextPolicy)>,
}

impl Demand {
    /// `tid` is where the account signs in; the consumer tenant knows no authentication contexts.
    pub(super) fn of(params: &Params, behaviour: &Behaviour, tid: &str) -> Self {
        let acr_values = match behaviour.acr_values {
            Honour::Honoured => oauth::words(params, "acr_values"),
            Honour::Ignored => Vec::new(),
        };
        let contexts = oauth::requested_claim(params, "acrs").map(|request| request.values);
        let tenant = behaviour.tenants.iter().find(|tenant| tenant.id == tid);
        Self {
            acr_values,
            contexts: contexts
                .filter(|_| tid != MICROSOFT_ACCOUNTS)
                .into_iter()
                .flatten()
                .map(|context| (context.clone(), policy(tenant, &context)))
                .collect(),
        }
    }

    /// Whether nothing but a second factor will do.
    pub(super) fn is_second_factor(&self) -> bool {
        let by_acr =
            !self.acr_values.is_empty() && self.acr_values.iter().all(|value| value == ACR_MFA);
        by_acr
            || self
                .contexts
                .iter()
                .any(|(_, policy)| *policy == ContextPolicy::Mfa)
    }

    /// Whether the tenant's policy forbids the sign-in.
    pub(super) fn is_blocked(&self) -> bool {
        self.contexts
            .iter()
            .any(|(_, policy)| *policy == ContextPolicy::Block)
    }

    /// `acr`, where `acr_values` asked for it.
    pub(super) fn acr(&self, used: Used) -> Option<&'static str> {
        if self.acr_values.is_empty() {
            return None;
        }
        let asked = self.acr_values.iter().any(|value| value == ACR_MFA);
        Some(match used {
            Used::SecondFactor if asked => ACR_MFA,
            Used::SecondFactor | Used::PasswordAlone => ACR_DEFAULT,
        })
    }

    /// `acrs`: the contexts that are satisfied, of those asked for or of all.
    pub(super) fn acrs(&self, used: Used, behaviour: &Behaviour, tid: &str) -> Vec<String> {
        let satisfied = |policy: ContextPolicy| match policy {
            ContextPolicy::Unprotected => true,
            ContextPolicy::Mfa => used == Used::SecondFactor,
            ContextPolicy::Block => false,
        };
        let asked = self.contexts.iter().map(|(name, policy)| (name, *policy));
        let tenant = behaviour.tenants.iter().find(|tenant| tenant.id == tid);
        let others = tenant
            .filter(|_| behaviour.contexts == ContextIssue::Opportunistic)
            .into_iter()
            .flat_map(|tenant| tenant.contexts.iter().map(|(name, policy)| (name, *policy)));
        let names: BTreeSet<String> = asked
            .chain(others)
            .filter(|(_, policy)| satisfied(*policy))
            .map(|(name, _)| name.clone())
            .collect();
        names.into_iter().collect()
    }
}

/// With what somebody signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Used {
    PasswordAlone,
    SecondFactor,
}

fn policy(tenant: Option<&Tenant>, context: &str) -> ContextPolicy {
    tenant
        .and_then(|tenant| tenant.contexts.get(context).copied())
        .unwrap_or(ContextPolicy::Unprotected)
}
