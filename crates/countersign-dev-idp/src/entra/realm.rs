//! Tenants, and the part of the path that says which of them may sign in.

use std::collections::BTreeMap;

/// The tenant of all personal accounts.
pub const MICROSOFT_ACCOUNTS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
/// `contoso.onmicrosoft.com`: `c1` demands a second factor, `c2` is protected by nothing, `c3` blocks.
pub const CONTOSO: &str = "11111111-1111-4111-8111-111111111111";
/// `fabrikam.onmicrosoft.com`: its `c1` is protected by nothing, `c5` demands a second factor.
pub const FABRIKAM: &str = "22222222-2222-4222-8222-222222222222";

/// A tenant of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// A GUID in lower case.
    pub id: String,
    pub domain: String,
    /// `tenant_region_scope` of discovery.
    pub region: String,
    /// Policies by authentication context. A context that is missing is protected by nothing.
    pub contexts: BTreeMap<String, ContextPolicy>,
}

/// What a tenant's conditional access does where an authentication context is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextPolicy {
    /// No policy: the context is issued all the same.
    Unprotected,
    Mfa,
    /// AADSTS53003 on Microsoft's own page.
    Block,
}

pub(super) fn usual() -> Vec<Tenant> {
    use ContextPolicy::{Block, Mfa, Unprotected};
    vec![
        tenant(
            CONTOSO,
            "contoso.onmicrosoft.com",
            &[("c1", Mfa), ("c2", Unprotected), ("c3", Block)],
        ),
        tenant(
            FABRIKAM,
            "fabrikam.onmicrosoft.com",
            &[("c1", Unprotected), ("c5", Mfa)],
        ),
    ]
}

fn tenant(id: &str, domain: &str, contexts: &[(&str, ContextPolicy)]) -> Tenant {
    Tenant {
        id: id.to_owned(),
        domain: domain.to_owned(),
        region: "EU".to_owned(),
        contexts: contexts
            .iter()
            .map(|(name, policy)| ((*name).to_owned(), *policy))
            .collect(),
    }
}

/// Whom an authority serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Realm {
    Common,
    Organizations,
    Consumers,
    Tenant(Tenant),
}

impl Realm {
    /// The realm that a path names, by alias, GUID or domain.
    pub(super) fn of(name: &str, tenants: &[Tenant]) -> Option<Self> {
        match name {
            "common" => Some(Realm::Common),
            "organizations" => Some(Realm::Organizations),
            "consumers" | MICROSOFT_ACCOUNTS => Some(Realm::Consumers),
            _ => tenants
                .iter()
                .find(|tenant| tenant.id == name || tenant.domain == name)
                .cloned()
                .map(Realm::Tenant),
        }
    }

    /// How the endpoints of this realm are written: a domain gives way to its GUID.
    pub(super) fn path(&self) -> &str {
        match self {
            Realm::Common => "common",
            Realm::Organizations => "organizations",
            Realm::Consumers => "consumers",
            Realm::Tenant(tenant) => &tenant.id,
        }
    }

    /// The issuer of its discovery document; for several tenants the literal template.
    pub(super) fn issuer(&self, base_url: &str) -> String {
        match self {
            Realm::Common | Realm::Organizations => template_issuer(base_url),
            Realm::Consumers => issuer(base_url, MICROSOFT_ACCOUNTS),
            Realm::Tenant(tenant) => issuer(base_url, &tenant.id),
        }
    }
}

/// The issuer of a tenant's v2.0 tokens.
pub(super) fn issuer(base_url: &str, tenant: &str) -> String {
    format!("{base_url}/{tenant}/v2.0")
}

/// The literal `{tenantid}` that Microsoft publishes.
pub(super) fn template_issuer(base_url: &str) -> String {
    issuer(base_url, "{tenantid}")
}
