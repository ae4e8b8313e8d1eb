//! A tool that waits until somebody has signed in for it in a browser: as a device does (RFC 8628), with addresses in the place
//! of codes.
//!
//! The address that is shown to a person holds the device's user code, and the one that the tool asks at a secret: whoever sees
//! the first can't take what the second brings.

use countersign_core::{Scope, UserCode};
use countersign_store::{Session, ToolRequest};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::Registry;
use super::step_up::{self, Deed};
use crate::device::{self, Device};
use crate::error::Failure;
use crate::limits::PassedFor;
use crate::seal::{self, Place};
use crate::token;
use crate::web::{Context, Parameters};

/// What a tool waits for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// A key of its own.
    Key,
    /// Leave for one thing.
    StepUp(Deed),
}

/// Who asks whether somebody has signed in, and where.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asker {
    /// npm, at the registry's own address.
    Npm,
    /// A credential helper, here.
    Helper,
}

impl Asker {
    fn done(self, registry: &Registry, context: &Context<'_>) -> String {
        match self {
            Self::Npm => {
                let site = registry.public_url.as_str().trim_end_matches('/');
                format!("{site}/-/v1/done")
            }
            Self::Helper => {
                let path = format!("/registry/{}/credential/done", registry.name);
                context.broker.settings.endpoint(&path)
            }
        }
    }

    /// What it asks with, nobody else can ask with.
    fn place(self, registry: &Registry) -> Place<'_> {
        let name = match self {
            Self::Npm => "tool",
            Self::Helper => "credential-helper",
        };
        Place {
            name,
            party: registry.name.as_str(),
            purpose: seal::Purpose::ToolSignIn,
        }
    }
}

/// A tool that waits.
pub(super) struct Waiting {
    /// Where a person signs in for it.
    pub(super) page: String,
    /// What they compare there.
    pub(super) user_code: UserCode,
    /// Until when.
    pub(super) until: Timestamp,
    /// Where it asks whether they have.
    pub(super) done: String,
}

/// What the address that it asks at holds.
#[derive(Serialize, Deserialize)]
struct Asking {
    device_code: String,
    purpose: Purpose,
}

/// The parameter of the address that says which tool asks.
const PARAMETER: &str = "s";
/// How many characters a person is shown of what a tool wants to do: the longest name that npm takes has 214.
const LONGEST_SHOWN: usize = 300;

/// Lets a tool wait for somebody who is let do all of this.
pub(super) async fn begin<'a>(
    registry: &Registry,
    scopes: impl IntoIterator<Item = &'a Scope>,
    (asker, purpose): (Asker, Purpose),
    context: &Context<'_>,
) -> Result<Waiting, Failure> {
    let known = |scope: &&Scope| context.policy().tier_of(scope).is_some();
    let scopes: Vec<&str> = scopes
        .into_iter()
        .filter(known)
        .map(Scope::as_str)
        .collect();
    let mut parameters = Parameters::default();
    parameters.put("scope", &scopes.join(" "));
    let device = device(registry, &purpose, context);
    // Whoever runs a tool: it shows nothing of the client's.
    let waits = (&registry.client, PassedFor::Anybody);
    let begun = device::begin(&parameters, waits, device, context).await?;
    let asking = Asking {
        device_code: begun.device_code,
        purpose,
    };
    let broker = context.broker;
    let sealed = broker
        .sealer
        .seal(&asking, asker.place(registry), broker.entropy.as_ref());
    let sealed = sealed.ok_or_else(crate::error::OAuthError::unavailable)?;
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair(PARAMETER, &sealed)
        .finish();
    Ok(Waiting {
        page: broker.settings.endpoint(&device::address(&begun.user_code)),
        user_code: begun.user_code,
        until: begun.until,
        done: format!("{}?{query}", asker.done(registry, context)),
    })
}

/// What a person is shown: the tool, as it calls itself, and what it wants to do.
fn device(registry: &Registry, purpose: &Purpose, context: &Context<'_>) -> Device {
    // `npm/11.1.0 node/v22.0.0 linux x64 workspaces/false`: the rest is nobody's concern.
    let first = |name: String| name.split(' ').next().map(str::to_owned);
    let deed = match purpose {
        Purpose::Key => None,
        Purpose::StepUp(deed) => Some(shown(&deed.in_words())),
    };
    Device {
        program: device::program(context).and_then(first),
        tool: Some(ToolRequest {
            registry: registry.name.clone(),
            deed,
        }),
        // What a tool gets by it is a key, which ends it, or leave for minutes.
        session: Some(step_up::LIFETIME),
    }
}

/// What is shown of a text that came with a request: ASCII that can be seen, so that nothing in it turns its reading about,
/// and no more than a person reads.
fn shown(text: &str) -> String {
    let plain = text.chars().map(|one| match one {
        ' '..='~' => one,
        _ => '?',
    });
    let mut plain: String = plain.collect();
    if plain.len() > LONGEST_SHOWN {
        plain.truncate(LONGEST_SHOWN);
        plain.push_str("...");
    }
    plain
}

/// What came of a tool's waiting.
pub(super) enum Found {
    /// Nobody has answered yet.
    NotYet,
    /// Somebody signed in.
    SignedIn(Box<Session>, Purpose),
    /// Nobody did, or said no, or it was taken before.
    Over,
}

/// Looks whether somebody has signed in; whoever asks first after that takes it.
pub(super) async fn look(
    registry: &Registry,
    asker: Asker,
    query: Option<&str>,
    context: &Context<'_>,
) -> Result<Found, Failure> {
    let parameters = Parameters::read(query.unwrap_or_default().as_bytes());
    let sealed = parameters.one(PARAMETER).unwrap_or_default();
    let asking: Option<Asking> = context.broker.sealer.open(sealed, asker.place(registry));
    let Some(asking) = asking else {
        return Ok(Found::Over);
    };
    let mut parameters = Parameters::default();
    parameters.put("device_code", &asking.device_code);
    match token::take_of_device(&parameters, &registry.client, context).await {
        Ok((_, session)) => Ok(Found::SignedIn(Box::new(session), asking.purpose)),
        Err(Failure::Json(error)) => match error.error {
            "authorization_pending" | "slow_down" => Ok(Found::NotYet),
            "expired_token" | "access_denied" | "invalid_grant" => Ok(Found::Over),
            _ => Err(Failure::Json(error)),
        },
        Err(other) => Err(other),
    }
}
