//! What each part of the file is worth beside the others: rules that nobody can meet are
//! mistakes, rules that some can't meet or that accept too much are warned of.

use std::collections::BTreeMap;

use super::{Reader, Whose, quoted};
use crate::document::Value;
use crate::policy::{
    MappingRule, Methods, Policy, ProofRule, ProviderKind, Requirement, Tier, TierName,
};
use crate::{Basis, ClientId, Level, OrganizationId, ProviderId};

/// Values of `amr` that name one method (RFC 8176 2): alone they may be a login's only factor.
const ONE_METHOD: [&str; 14] = [
    "otp", "sms", "tel", "hwk", "swk", "sc", "pop", "face", "fpt", "iris", "retina", "vbm", "fido",
    "webauthn",
];

/// What can vouch, as far as it is known: the kind is, where the file is read for an installation.
type Voucher<'a> = (Option<ProviderKind>, &'a ProofRule);

/// What a requirement can be met by.
struct Means<'a> {
    vouchers: Vec<Voucher<'a>>,
    methods: &'a Methods,
    /// The most that a context attests because a tenant's own admin says so.
    attests: Level,
}

impl Reader<'_, '_> {
    /// A requirement that no proof can meet turns everybody away.
    pub(super) fn check_requirements(
        &self,
        proofs: Option<&BTreeMap<ProviderId, ProofRule>>,
        methods: Option<&Methods>,
        mapping: Option<&MappingRule>,
    ) {
        let (Some(proofs), Some(methods), Some(mapping)) = (proofs, methods, mapping) else {
            return;
        };
        let means = self.means(proofs, methods, mapping);
        for (requirement, needs) in self.requirements.iter().chain(&self.stricter_requirements) {
            if let Some(all) = hindrances(requirement, &means) {
                needs.report(format_args!("no proof in this file can meet it ({all})"));
            }
        }
    }

    /// Warns of what is allowed and likely wrong.
    pub(super) fn lint(&self, policy: &Policy) {
        for (requirement, needs) in &self.requirements {
            self.warn_of_who_can_not(requirement, needs, policy);
        }
        for (name, tier) in &policy.tiers {
            self.warn_of_idle_tier(name, tier, policy);
        }
        self.warn_of_who_is_asked_for_too_much(policy);
        for (amr, value) in &self.amr {
            if ONE_METHOD.contains(amr) {
                value.warn(format_args!(
                    "`{amr}` names one method, which may have been the only factor of the login; \
                     `mfa` says that there were two"
                ));
            }
        }
        if let Some(never) = &self.never {
            self.warn_of_unseen_methods(never, policy);
        }
    }

    fn means<'p>(
        &self,
        proofs: &'p BTreeMap<ProviderId, ProofRule>,
        methods: &'p Methods,
        mapping: &MappingRule,
    ) -> Means<'p> {
        let with_proof = proofs.iter().map(|(name, rule)| (self.kind(name), rule));
        // What a tenant's admin attests counts at a provider without a proof of its own too.
        let kinds: Vec<Option<ProviderKind>> = match self.installation.providers {
            Some(providers) => providers.values().map(|kind| Some(*kind)).collect(),
            None => vec![None],
        };
        let without = kinds.into_iter().map(|kind| (kind, Policy::no_proof()));
        Means {
            vouchers: with_proof.chain(without).collect(),
            methods,
            attests: mapping.attests,
        }
    }

    /// What a client is stricter in can be met, and what an organisation is stricter in too, and maybe not both.
    fn warn_of_who_is_asked_for_too_much(&self, policy: &Policy) {
        let means = self.means(&policy.proofs, &policy.methods, &policy.mapping);
        for ((whose, tier), place) in &self.stricter_places {
            let Whose::Client(client) = whose else {
                continue;
            };
            let theirs = self
                .stricter_places
                .iter()
                .filter_map(|((whose, of), place)| {
                    let Whose::Organization(name) = whose else {
                        return None;
                    };
                    (of == tier).then_some((name, place))
                });
            for (organization, other) in theirs {
                if let Some(all) = both_at_once(policy, (client, organization), tier, &means) {
                    place.warn(format_args!(
                        "with `organization.{organization}.stricter.{tier}`, at {}, nobody can meet it who acts for \
                         `{organization}` ({all})",
                        other.place()
                    ));
                }
            }
        }
    }

    fn kind(&self, provider: &ProviderId) -> Option<ProviderKind> {
        self.installation.providers?.get(provider).copied()
    }

    /// Who signs in at these providers can never act in the tier.
    fn warn_of_who_can_not(&self, requirement: &Requirement, needs: &Value<'_>, policy: &Policy) {
        let Some(configured) = self.installation.providers else {
            return;
        };
        let can_not = |(name, kind): &(&ProviderId, &ProviderKind)| {
            let means = Means {
                vouchers: vec![(Some(**kind), policy.proof(name))],
                methods: &policy.methods,
                attests: policy.mapping.attests,
            };
            let hinders = |basis: &Basis| hindrance(requirement, *basis, &means).is_some();
            requirement.level > Level::None && requirement.accepts.iter().all(hinders)
        };
        let all: Vec<_> = configured.iter().filter(can_not).collect();
        if !all.is_empty() && all.len() < configured.len() {
            let names = all.into_iter().map(|(name, _)| name.clone()).collect();
            let why = match requirement.max_age {
                Some(_) => "; `max_age` needs an `auth_time`, which not every provider gives",
                None => "",
            };
            needs.warn(format_args!(
                "nobody who signs in at {} can meet it{why}",
                quoted(&names)
            ));
        }
    }

    /// A tier that nothing leads to may be a name that was mistyped elsewhere.
    fn warn_of_idle_tier(&self, name: &TierName, tier: &Tier, policy: &Policy) {
        let signs_in = policy.clients.values().any(|client| client.tier == *name);
        if let Some(key) = self.tier_keys.get(name)
            && tier.scopes.is_empty()
            && !signs_in
        {
            key.warn("has no scopes, and no client signs in with it: nobody will ask for it");
        }
    }

    /// What never counts must be seen to be turned away.
    fn warn_of_unseen_methods(&self, never: &Value<'_>, policy: &Policy) {
        let Some(configured) = self.installation.providers else {
            return;
        };
        let sends_amr = |(_, kind): &(&ProviderId, &ProviderKind)| **kind == ProviderKind::Oidc;
        let unseen: Vec<_> = configured.iter().filter(|one| !sends_amr(one)).collect();
        if !unseen.is_empty() && !policy.methods.never.is_empty() {
            let names = unseen.into_iter().map(|(name, _)| name.clone()).collect();
            never.warn(format_args!(
                "can't be seen of logins at {}, which send no `amr`",
                quoted(&names)
            ));
        }
    }
}

/// Why nobody meets what a client and an organisation ask for together; nothing where somebody can.
fn both_at_once(
    policy: &Policy,
    (client, organization): (&str, &str),
    tier: &TierName,
    means: &Means<'_>,
) -> Option<String> {
    let client = ClientId::new(client).ok()?;
    let organization = OrganizationId::new(organization).ok()?;
    let both = policy.required(&client, Some(&organization), tier)?;
    if both.level > Level::None && both.accepts.is_empty() {
        return Some("they accept no basis in common".to_owned());
    }
    hindrances(&both, means)
}

/// Why no proof shows what is required on any accepted basis; nothing where one does, or none is needed.
fn hindrances(requirement: &Requirement, means: &Means<'_>) -> Option<String> {
    let of_basis = |basis: &Basis| {
        let hindrance = hindrance(requirement, *basis, means)?;
        Some(format!("`{basis}`: {hindrance}"))
    };
    let all: Option<Vec<String>> = requirement.accepts.iter().map(of_basis).collect();
    all.filter(|all| !all.is_empty()).map(|all| all.join("; "))
}

/// Why no proof shows what is required on this basis; nothing where one does.
fn hindrance(requirement: &Requirement, basis: Basis, means: &Means<'_>) -> Option<&'static str> {
    let resistant = requirement.level == Level::PhishingResistant;
    let shown = |shows: &dyn Fn(&Voucher<'_>) -> bool| means.vouchers.iter().any(shows);
    let in_time = |kind: Option<ProviderKind>| requirement.max_age.is_none() || tells_time(kind);
    match basis {
        Basis::Session if resistant => {
            (!shown(&|(kind, rule)| shows_resistant(rule, means.methods) && in_time(*kind))).then_some(
                "no proof's `acr` or `amr` can come with an `acr` of `methods.phishing_resistant`",
            )
        }
        Basis::Session if !shown(&|(_, rule)| shows_session(rule)) => {
            Some("no proof has `acr` or `amr`")
        }
        Basis::Session => (!shown(&|(kind, rule)| shows_session(rule) && in_time(*kind)))
            .then_some("comes without the `auth_time` that `max_age` needs"),
        Basis::Enrolment if resistant => Some("says nothing of phishing"),
        // GitHub, whose flag it is, never says when it authenticated the person.
        Basis::Enrolment if requirement.max_age.is_some() => {
            Some("comes without the `auth_time` that `max_age` needs")
        }
        Basis::Enrolment => (!shown(&|(_, rule)| rule.two_factor_authentication))
            .then_some("no proof has `two_factor_authentication = true`"),
        Basis::Tenant if means.attests >= requirement.level => (!shown(
            &|(kind, rule)| attests(rule, requirement.level) || has_tenants(*kind),
        ))
        .then_some("no provider has tenants whose admins attest it"),
        Basis::Tenant => (!shown(&|(_, rule)| attests(rule, requirement.level))).then_some(
            "no proof has a `tenant` whose `acrs` attest it, and `mapping.attests` lets no admin of a tenant",
        ),
    }
}

/// Whether organisations can be connected to tenants of a provider of this kind.
fn has_tenants(kind: Option<ProviderKind>) -> bool {
    match kind {
        None | Some(ProviderKind::Entra) => true,
        Some(ProviderKind::MicrosoftAccount | ProviderKind::GitHub | ProviderKind::Oidc) => false,
    }
}

/// Whether providers of this kind say when they authenticated the person.
fn tells_time(kind: Option<ProviderKind>) -> bool {
    match kind {
        None | Some(ProviderKind::Entra | ProviderKind::Oidc) => true,
        Some(ProviderKind::MicrosoftAccount | ProviderKind::GitHub) => false,
    }
}

fn shows_session(rule: &ProofRule) -> bool {
    !rule.acr.is_empty() || !rule.amr.is_empty() || rule.when.is_some()
}

/// Whether one login can both prove MFA by this rule and show that it resists phishing.
fn shows_resistant(rule: &ProofRule, methods: &Methods) -> bool {
    let by_acr = |resistant: &std::collections::BTreeSet<String>| {
        let beside = !rule.amr.is_empty() || rule.when.is_some();
        !rule.acr.is_disjoint(resistant) || (beside && !resistant.is_empty())
    };
    let by_expression = rule.when.as_ref().map(|when| when.level);
    by_acr(&methods.phishing_resistant_acr)
        || by_acr(&rule.resistant_acr)
        || (shows_session(rule) && !rule.resistant_amr.is_empty())
        || by_expression == Some(Level::PhishingResistant)
}

fn attests(rule: &ProofRule, level: Level) -> bool {
    let mut contexts = rule.tenants.values().flat_map(BTreeMap::values);
    contexts.any(|attested| *attested >= level)
}
