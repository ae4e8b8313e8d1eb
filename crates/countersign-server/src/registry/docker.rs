//! OCI registries, to which `docker`, `skopeo` and their like show a token of ours: the token endpoint that a registry sends
//! them to (distribution's `docs/content/spec/auth/token.md` and `oauth.md`).
//!
//! A token names what may be done with which repository for minutes, and the registry asks nobody about it. What anybody
//! may do is given to anybody; the rest by a permit of `decide`, made anew for each token.

mod access;
mod credential;
mod identity_token;
mod key;
mod request;
mod scope;
mod token;

use actix_web::guard::GuardContext;

use crate::error::{DockerError, Failure, Problem};
use crate::keys::KeyHeader;
use crate::web::Context;
use crate::{Registry, SigningAlgorithm};
use access::Rights;

pub(super) use identity_token::PREFIX as IDENTITY_TOKEN;
pub(crate) use token::{token, token_by_form};

/// What a registry verifies our tokens by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerSettings {
    /// What it calls itself (`auth.token.service` of its configuration): the audience of its tokens.
    pub service: String,
    /// By what it finds the key.
    pub key_header: KeyHeader,
    /// What signs its tokens.
    pub algorithm: SigningAlgorithm,
}

/// A registry that takes tokens of ours.
#[derive(Debug, Clone, Copy)]
struct Oci<'a> {
    registry: &'a Registry,
    settings: &'a DockerSettings,
    rights: Rights<'a>,
}

/// The registry that the path names, where it has tokens of its own.
fn find<'a>(context: &Context<'a>) -> Result<Oci<'a>, Failure> {
    Oci::of(context).ok_or(Failure::Page(Problem::NotFound))
}

/// Whether the path names one.
pub(crate) fn is_at(context: &GuardContext<'_>) -> bool {
    super::is_at(context, |registry| registry.docker.is_some())
}

impl<'a> Oci<'a> {
    /// The one that the path of a request names.
    fn of(context: &Context<'a>) -> Option<Self> {
        let named = context.request.match_info().get("registry")?;
        let registry = context.broker.settings.registries.get(named)?;
        Some(Self {
            registry,
            settings: registry.docker.as_ref()?,
            rights: Rights::of(&registry.profile)?,
        })
    }

    /// A refusal of what was shown, with the way to something better.
    fn refuse(&self, why: &str, context: &Context<'_>) -> Failure {
        let page = self.registry.login_page(context);
        DockerError::unauthorized(format!("{why} Sign in: {page}"))
    }
}
