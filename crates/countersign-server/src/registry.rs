//! The registries' own tools, at the door: `npm publish`, `cargo publish`, `twine upload` and the like, which know no
//! OpenID Connect and send what they have always sent.
//!
//! What a request is a case of, the registry's [`Profile`] says ([`countersign_core::registry`]); whether its sender may,
//! `decide` says, at every single one.

mod bound;
mod by_session;
mod code;
mod credential;
pub(crate) mod docker;
mod door;
mod forward_auth;
mod gate;
mod gem;
mod guess;
pub(crate) mod helper;
mod identity;
mod key;
mod known;
mod login;
mod notice;
mod npm;
mod ours;
mod phrase;
mod proxy;
mod refusal;
mod step_up;
mod swift;
mod tool;
mod typed;
mod upload;
mod weigh;

use std::collections::BTreeSet;

use actix_web::guard::GuardContext;
use actix_web::web;
use countersign_core::registry::{Profile, SignInStyle};
use countersign_core::{ClientId, RegistryName, Scope};
use secrecy::SecretString;
use url::Url;

use crate::error::{Failure, Problem};
use crate::web::Context;
use crate::{Broker, SecretDigest, api_key};

pub(crate) use door::{Doors, at_a_listener, below_a_path};
pub(crate) use forward_auth::{for_a_proxy, for_anybody_there, is_check};
pub(crate) use login::{make_code, show, sign_in};

pub(crate) use known::{Known, KnownBy};
pub(crate) use proxy::OfRegistry;
pub(crate) use step_up::LIFETIME as LEAVE;

pub use docker::DockerSettings;

/// What every path of a registry's begins with that is on the public listener.
const ROOT: &str = "/registry/";
/// What each kind of secret of a tool's begins with.
pub(crate) const SECRETS: [&str; 4] = [
    api_key::PREFIX,
    bound::PREFIX,
    code::PREFIX,
    docker::IDENTITY_TOKEN,
];
/// Where people make keys for their tools.
const KEYS_PAGE: &str = "/account/keys";

/// A registry that we stand in front of.
#[derive(Debug, Clone)]
pub struct Registry {
    /// What it is called in the configuration and in addresses.
    pub name: RegistryName,
    /// How it is stood in front of.
    pub profile: Profile,
    /// As whose users the policy takes those of its tools: what the policy says of this client holds for them, and access
    /// tokens for its resources are good here.
    pub client: ClientId,
    /// Where tools reach the registry: a site.
    pub public_url: Url,
    /// What a proxy shows that asks on our public listener; none: nobody asks there.
    pub proxy_secret: Option<SecretDigest>,
    /// The site to which requests go that are let through, where we pass them on ourselves.
    pub upstream: Option<Url>,
    /// The `Authorization` by which the registry knows us, or the proxy that asks us; none: it trusts who reaches it.
    pub upstream_authorization: Option<SecretString>,
    /// What it verifies our tokens by, where it has tokens of its own.
    pub docker: Option<DockerSettings>,
}

impl Registry {
    /// All that its tools need the policy's leave for, of what the policy knows.
    fn scopes(&self, context: &Context<'_>) -> BTreeSet<Scope> {
        let all = self.profile.actions().values();
        let known = all.filter(|scope| context.policy().tier_of(scope).is_some());
        known.cloned().collect()
    }

    /// The page where people get codes for its tools.
    fn login_page(&self, context: &Context<'_>) -> String {
        context.broker.settings.endpoint(&self.login_path())
    }

    fn login_path(&self) -> String {
        format!("/registry/{}/login", self.name)
    }
}

/// Whether the path names a registry whose tools take one-time codes.
pub(crate) fn has_codes(context: &GuardContext<'_>) -> bool {
    is_at(context, |registry| {
        registry.profile.sign_in.by == SignInStyle::OneTimeCode || registry.docker.is_some()
    })
}

/// Whether the path names a registry of which this holds: below others, what stands there are packages of theirs.
fn is_at(context: &GuardContext<'_>, holds: impl Fn(&Registry) -> bool) -> bool {
    let broker = context.app_data::<web::Data<Broker>>();
    let path = context.head().uri.path();
    let name = path
        .strip_prefix(ROOT)
        .and_then(|rest| rest.split('/').next());
    let registry = broker
        .zip(name)
        .and_then(|(broker, name)| broker.settings.registries.get(name));
    registry.is_some_and(holds)
}

/// The registry that the path names below `root`.
fn named<'a>(root: &str, context: &'a Context<'_>) -> Result<&'a Registry, Failure> {
    let name = after(root, context).split(['/', '?']).next();
    let registry = context
        .broker
        .settings
        .registries
        .get(name.unwrap_or_default());
    registry.ok_or(Failure::Page(Problem::NotFound))
}

/// What follows the registry's name below `root`, as it came on the wire.
fn below<'a>(root: &str, context: &'a Context<'_>) -> Option<&'a str> {
    let after = after(root, context);
    let rest = &after[after.find(['/', '?'])?..];
    rest.starts_with('/').then_some(rest)
}

/// What follows `root`, as it came on the wire.
fn after<'a>(root: &str, context: &'a Context<'_>) -> &'a str {
    let whole = context.request.uri().path_and_query();
    let whole = whole.map_or("", |whole| whole.as_str());
    whole.strip_prefix(root).unwrap_or_default()
}
