//! The registries' own tools, at the door: `npm publish`, `cargo publish`, `twine upload` and the like, which know no
//! OpenID Connect and send what they have always sent.
//!
//! What a request is a case of, the registry's [`Profile`] says ([`countersign_core::registry`]); whether its sender may,
//! `decide` says, at every single one.

use countersign_core::ClientId;
use countersign_core::registry::Profile;
use secrecy::SecretString;
use url::Url;

use crate::SecretDigest;

/// A registry that we stand in front of.
#[derive(Debug, Clone)]
pub struct Registry {
    /// How it is stood in front of.
    pub profile: Profile,
    /// As whose users the policy takes those of its tools: what the policy says of this client holds for them, and access
    /// tokens for its resources are good here.
    pub client: ClientId,
    /// Where tools reach the registry: a site.
    pub public_url: Url,
    /// What a proxy shows that asks on our public listener; none: nobody asks there.
    pub proxy_secret: Option<SecretDigest>,
    /// Where requests go that are let through, where we pass them on ourselves.
    pub upstream: Option<Upstream>,
}

/// A registry as we reach it.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// A site.
    pub url: Url,
    /// The `Authorization` by which it knows us; none: it trusts who reaches it.
    pub authorization: Option<SecretString>,
}
