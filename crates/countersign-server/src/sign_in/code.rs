//! Codes: how one is made for a session and goes to its client, and how one that comes back is read.

use actix_web::HttpResponse;
use aws_lc_rs::digest;
use countersign_core::sign_in::{Destination, Request};
use countersign_core::{AttemptId, SessionId, UserCode};
use countersign_store::{Code, CodeDigest};
use jiff::{SignedDuration, Timestamp};

use crate::edge::RandomText;
use crate::error::{Failure, Problem};
use crate::web::{Context, client_redirect, see_other};
use crate::{device, own};

/// A code that is about to be kept, and then sent to the client or left for its device.
pub(super) struct NewCode {
    session: SessionId,
    digest: [u8; 32],
    code: Code,
    way: Way,
    /// When its session is of use to nobody any more, where that is known.
    ends_at: Option<Timestamp>,
}

/// How it gets to who is to have it.
enum Way {
    /// By the browser (RFC 6749 4.1.2).
    Redirect { uri: String, secret: String },
    /// It has it already, and needs to know the session.
    Device(UserCode),
    /// Nobody has it: the person goes on to a page of ours, with the session.
    Page(String),
}

impl NewCode {
    /// A code for whoever asks. A device may have given up meanwhile: the person is told then.
    pub(super) async fn of(
        session: &SessionId,
        request: &Request,
        context: &Context<'_>,
    ) -> Result<Self, Failure> {
        match &request.destination {
            Destination::RedirectUri(uri) => {
                let secret = context.broker.entropy.secret();
                Ok(Self {
                    session: session.clone(),
                    digest: digest_of(&secret),
                    code: stands_for(request, context),
                    way: Way::Redirect {
                        uri: uri.clone(),
                        secret,
                    },
                    ends_at: None,
                })
            }
            Destination::Page(path) => Ok(Self {
                session: session.clone(),
                digest: digest_of(&context.broker.entropy.secret()),
                code: stands_for(request, context),
                way: Way::Page(path.clone()),
                ends_at: None,
            }),
            // What it shows leads to no session, and so to no code.
            Destination::Connection(_) | Destination::Link(_) => {
                Err(Failure::Page(Problem::NotFound))
            }
            Destination::Device(user_code) => {
                let waiting = device::waiting(user_code, context).await?;
                Ok(Self {
                    session: session.clone(),
                    digest: waiting.code_digest,
                    // The trace is that of the sign-in, not of the device's first question.
                    code: Code {
                        trace: context.trace(),
                        ..waiting.code
                    },
                    way: Way::Device(user_code.clone()),
                    ends_at: waiting.session_ends_at,
                })
            }
        }
    }

    /// What is kept of it.
    pub(super) fn digest(&self) -> CodeDigest {
        CodeDigest {
            session: self.session.clone(),
            digest: self.digest,
        }
    }

    /// What it stands for.
    pub(super) fn code(&self) -> &Code {
        &self.code
    }

    /// When its session ends, which others of the policy's do then.
    pub(super) fn session_ends_at(&self, by_policy: Timestamp) -> Timestamp {
        self.ends_at.map_or(by_policy, |end| end.min(by_policy))
    }

    /// Whether the browser that signed in has the session, too. A device has one of its own.
    pub(super) fn is_for_browser(&self) -> bool {
        match self.way {
            Way::Redirect { .. } | Way::Page(_) => true,
            Way::Device(_) => false,
        }
    }

    /// Sends it to the client, or tells its device where it is.
    pub(super) async fn hand_over(
        self,
        request: &Request,
        context: &Context<'_>,
    ) -> Result<HttpResponse, Failure> {
        match self.way {
            Way::Redirect { uri, secret } => {
                let code = format!("{}.{secret}", self.session.code_prefix());
                let mut parameters = vec![("code", code.as_str())];
                parameters.extend(request.state.as_deref().map(|state| ("state", state)));
                let issuer = context.broker.settings.issuer();
                Ok(see_other(&client_redirect(&uri, &parameters, issuer)))
            }
            Way::Page(path) => Ok(own::arrive(&path, context)),
            Way::Device(user_code) => {
                let device = (&user_code, &self.code.client);
                device::signed_in(device, self.session, context).await
            }
        }
    }
}

/// What a code stands for.
pub(crate) fn stands_for(request: &Request, context: &Context<'_>) -> Code {
    Code {
        client: request.client.clone(),
        redirect_uri: request.redirect_uri().map(str::to_owned),
        code_challenge: request.code_challenge.clone(),
        nonce: request.nonce.clone(),
        scopes: request.scopes.iter().cloned().collect(),
        organization: request.organization.clone(),
        acr_values: request.demands.acr_values.clone(),
        resource: request.resource.clone(),
        dpop_jkt: request.dpop_jkt.clone(),
        trace: context.trace(),
        expires_at: context.now + lifetime(request, context),
    }
}

fn lifetime(request: &Request, context: &Context<'_>) -> SignedDuration {
    if let Destination::Device(_) = request.destination {
        return device::LIFETIME;
    }
    let by_policy = context.policy().lifetimes().code;
    let clients = &context.broker.settings.clients;
    let client = clients.get(&request.client);
    client.map_or(by_policy, |client| client.code_lifetime(by_policy))
}

/// A code as it came back: the name of its session and a secret, of which only the digest is known.
pub(crate) fn parse(code: &str) -> Option<CodeDigest> {
    let (attempt, secret) = code.split_once('.')?;
    Some(CodeDigest {
        session: SessionId::of(&AttemptId::new(attempt).ok()?),
        digest: digest_of(secret),
    })
}

/// What is kept of a code's secret part: its SHA-256.
pub(crate) fn digest_of(secret: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    bytes
}
