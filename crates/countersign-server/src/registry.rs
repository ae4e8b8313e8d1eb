//! The registries' own tools, at the door: `npm publish`, `cargo publish`, `twine upload` and the like, which know no
//! OpenID Connect and send what they have always sent.
//!
//! What a request is a case of, the registry's [`Profile`] says ([`countersign_core::registry`]); whether its sender may,
//! `decide` says, at every single one.

mod credential;
pub(crate) mod docker;
mod door;
mod forward_auth;
mod gate;
mod identity;
mod notice;
mod npm;
mod ours;
mod proxy;
mod refusal;
mod step_up;
mod tool;
mod weigh;

use countersign_core::ClientId;
use countersign_core::registry::Profile;
use secrecy::SecretString;
use url::Url;

use crate::SecretDigest;
use crate::error::{Failure, Problem};
use crate::web::Context;

pub(crate) use door::{Doors, at_a_listener, below_a_path};
pub(crate) use forward_auth::{for_a_proxy, for_anybody_there};

pub(crate) use proxy::OfRegistry;

pub use docker::DockerSettings;

/// Where people make keys for their tools.
const KEYS_PAGE: &str = "/account/keys";

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
    /// What it verifies our tokens by, where it has tokens of its own.
    pub docker: Option<DockerSettings>,
}

/// A registry as we reach it.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// A site.
    pub url: Url,
    /// The `Authorization` by which it knows us; none: it trusts who reaches it.
    pub authorization: Option<SecretString>,
}

/// The registry that the path names.
fn named<'a>(context: &'a Context<'_>) -> Result<&'a Registry, Failure> {
    let name = context
        .request
        .match_info()
        .get("registry")
        .unwrap_or_default();
    let registry = context.broker.settings.registries.get(name);
    registry.ok_or(Failure::Page(Problem::NotFound))
}
