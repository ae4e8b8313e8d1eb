//! Whose token this is: the tenant, its issuer, and the keys that may sign for it.

use countersign_core::TenantId;
use countersign_core::sign_in::Visit;
use jiff::Timestamp;

use crate::ProviderError;
use crate::id_token::{Binding, Expected, IdToken, Nonce, TokenFault, Unverified};
use crate::key_set::{Key, KeySet};
use crate::metadata::Metadata;
use crate::oidc::SigningAlgorithm;

/// The placeholder in the issuer of a multi-tenant description, to the letter.
const TENANT_PLACEHOLDER: &str = "{tenantid}";

/// Whose accounts may sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// One tenant.
    Tenant(TenantId),
    /// Any work or school tenant.
    Organizations,
    /// Any work or school tenant, and personal accounts.
    Common,
    /// Personal accounts only.
    Consumers,
}

impl Audience {
    /// The path segment of its endpoints.
    pub(super) fn segment(&self) -> &str {
        match self {
            Self::Tenant(tenant) => tenant.as_str(),
            Self::Organizations => "organizations",
            Self::Common => "common",
            Self::Consumers => "consumers",
        }
    }

    /// The path segment of the issuer in its description.
    pub(super) fn issuer_segment(&self) -> &str {
        match self {
            Self::Tenant(tenant) => tenant.as_str(),
            Self::Organizations | Self::Common => "%7Btenantid%7D",
            Self::Consumers => TenantId::CONSUMERS,
        }
    }

    /// The issuer of the tenant that this visit went to.
    pub(super) fn issuer_of(
        &self,
        metadata: &Metadata,
        visit: &Visit,
    ) -> Result<String, ProviderError> {
        let tenant = match (self, &visit.tenant) {
            (_, Some(tenant)) | (Self::Tenant(tenant), None) => tenant.as_str(),
            (Self::Consumers, None) => TenantId::CONSUMERS,
            (Self::Organizations | Self::Common, None) => {
                return Err(ProviderError::Answer("`iss` where no tenant is known"));
            }
        };
        Ok(metadata.issuer.replace(TENANT_PLACEHOLDER, tenant))
    }

    pub(super) fn admits(&self, tenant: &TenantId) -> bool {
        match self {
            Self::Tenant(only) => only == tenant,
            Self::Organizations => !tenant.is_consumers(),
            Self::Common => true,
            Self::Consumers => tenant.is_consumers(),
        }
    }
}

/// A verified token of a tenant that was checked to be the right one.
pub(crate) struct TenantToken {
    pub(super) token: IdToken,
    pub(super) tid: TenantId,
    /// Lower case.
    pub(super) oid: String,
}

#[cfg(feature = "danger-unsigned")]
impl TenantToken {
    /// A token of the tenant that these claims name, without any of the checks.
    pub(crate) fn unsigned(claims: &[u8]) -> Result<Self, TokenFault> {
        let unverified = Unverified::unsigned(claims)?;
        let tid = claimed_tenant(&unverified)?;
        let token = unverified.believed()?;
        let oid = object_id(&token)?;
        Ok(Self { token, tid, oid })
    }
}

/// Which login a token is of.
#[derive(Clone, Copy)]
pub(super) struct Of<'a> {
    pub(super) nonce: Nonce<'a>,
    /// The tenant that it must be from, where that is known.
    pub(super) tenant: Option<&'a TenantId>,
}

/// What a token is checked against.
pub(super) struct Check<'a> {
    pub(super) audience: &'a Audience,
    pub(super) metadata: &'a Metadata,
    pub(super) of: Of<'a>,
    pub(super) client_id: &'a str,
    pub(super) binding: Binding<'a>,
    pub(super) now: Timestamp,
}

impl Check<'_> {
    /// Verifies a token by the rules of the tenant that it says it is from, then holds it to that.
    pub(super) fn verify(&self, raw: &str, keys: &KeySet) -> Result<TenantToken, ProviderError> {
        let unverified = Unverified::parse(raw)?;
        let tid = claimed_tenant(&unverified)?;
        let issuer = self
            .metadata
            .issuer
            .replace(TENANT_PLACEHOLDER, tid.as_str());
        let expected = Expected {
            issuer: &issuer,
            client_id: self.client_id,
            nonce: self.of.nonce,
            // Microsoft signs ID tokens with nothing else.
            algorithm: SigningAlgorithm::Rs256,
            may_sign: &|key| self.may_sign(key, &tid, &issuer),
            binding: self.binding,
            now: self.now,
        };
        let token = unverified.verify(&expected, keys)?;
        // A v1.0 token has other claims under the same names.
        if token.text("ver").value().map(String::as_str) != Some("2.0") {
            return Err(TokenFault::Claim("ver").into());
        }
        let right_tenant = self.of.tenant.is_none_or(|wanted| *wanted == tid);
        if !(self.audience.admits(&tid) && right_tenant) {
            return Err(ProviderError::WrongTenant);
        }
        let oid = object_id(&token)?;
        Ok(TenantToken { token, tid, oid })
    }

    /// A key signs for the issuer that it carries, and no other: a templated one for any tenant,
    /// a concrete one for its own. A key without an issuer signs nothing.
    fn may_sign(&self, key: &Key, tid: &TenantId, issuer: &str) -> bool {
        let covers = key
            .issuer
            .as_ref()
            .is_some_and(|of_key| of_key.replace(TENANT_PLACEHOLDER, tid.as_str()) == issuer);
        let same_cloud = match (&key.cloud_instance_name, &self.metadata.cloud_instance_name) {
            (Some(of_key), Some(of_metadata)) => of_key == of_metadata,
            (None, _) | (_, None) => true,
        };
        covers && same_cloud
    }
}

/// The tenant that a token says it is from: a lower-case GUID, in exactly one spelling of the claim.
fn claimed_tenant(token: &Unverified<'_>) -> Result<TenantId, TokenFault> {
    let fault = TokenFault::Claim("tid");
    let spellings = token
        .names()
        .filter(|name| name.eq_ignore_ascii_case("tid"))
        .count();
    if spellings != 1 {
        return Err(fault);
    }
    TenantId::new(token.peek("tid").ok_or(fault)?).map_err(|_| fault)
}

/// The person's object id in the tenant: a GUID, of which the case does not count.
fn object_id(token: &IdToken) -> Result<String, TokenFault> {
    let oid = token
        .text("oid")
        .value()
        .map(|oid| oid.to_ascii_lowercase());
    oid.filter(|oid| TenantId::new(oid.as_str()).is_ok())
        .ok_or(TokenFault::Claim("oid"))
}
