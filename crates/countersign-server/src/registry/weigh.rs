//! Whose credential it is, and whether the policy lets them do this now. Every path that lets a tool's request through
//! passes here.

use std::sync::Arc;

use countersign_core::registry::Checksum;
use countersign_core::{
    ApiKeyId, ClientId, Decision, Occasion, Permit, Reason, Refusal, Scope, StepUp, Verdict, decide,
};
use countersign_store::{Account, ApiKey, Session, StoreError};
use countersign_verifier::Claims;

use super::credential::Shown;
use super::gate::Asked;
use super::known::{self, By, Known};
use super::step_up;
use super::{Registry, bound};
use crate::api_key::{self, Held, Use};
use crate::web::{Context, Decided};
use crate::{session, token};

/// What a tool wants to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) registry: &'a Registry,
    pub(super) asked: Asked<'a>,
    pub(super) action: &'a str,
    /// What the policy is asked for.
    pub(super) scope: &'a Scope,
    pub(super) release: &'a Release,
}

/// What it is done to, as far as the request tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Release {
    pub(super) package: Option<String>,
    pub(super) version: Option<String>,
    pub(super) contents: Contents,
}

/// Whether what is uploaded passes before our eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contents {
    /// It does not go on unless it is what it must be.
    Seen,
    Unseen,
}

impl Release {
    /// Nothing is known of it.
    pub(super) const UNKNOWN: Self = Self {
        package: None,
        version: None,
        contents: Contents::Unseen,
    };
}

/// What comes of a credential.
#[derive(Debug)]
pub(super) enum Weighed {
    /// It is let do it.
    Let(Box<Leave>),
    /// It was shown none.
    NoCredential,
    /// It is none of ours, has ended, or is for something else: what is wrong with it, in a sentence.
    BadCredential(&'static str),
    /// It is a token for one deed, and not for this one: what is wrong, in a sentence.
    BadToken(&'static str),
    /// It is good, and not good enough.
    NotEnough {
        /// Most telling first.
        reasons: Vec<Reason>,
        /// The key that it is, where it is one.
        key: Option<ApiKeyId>,
    },
}

impl Weighed {
    pub(super) fn because(reason: Reason) -> Self {
        Self::NotEnough {
            reasons: vec![reason],
            key: None,
        }
    }
}

/// Somebody's leave to do it.
#[derive(Debug)]
pub(super) struct Leave {
    pub(super) account: Arc<Account>,
    pub(super) permit: Permit,
    /// What the decision log is told, where it has not been.
    pub(super) decided: Option<Decided<Arc<Known>>>,
    /// The key that it is had by, where it is one.
    pub(super) key: Option<ApiKey>,
    /// The address that the provider or the registry verified, where one did.
    pub(super) email: Option<String>,
    /// The one archive that it is for, where it is for one.
    pub(super) checksum: Option<Checksum>,
}

impl Leave {
    /// Writes the decision down, now that something follows from it.
    pub(super) fn log(self, context: &Context<'_>) {
        if let Some(decided) = self.decided {
            log(decided, context);
        }
    }
}

/// Weighs what a request shows.
pub(super) async fn weigh(
    shown: Shown,
    wish: Wish<'_>,
    context: &Context<'_>,
) -> Result<Weighed, StoreError> {
    match shown {
        Shown::Nothing => Ok(Weighed::NoCredential),
        Shown::Unreadable => Ok(Weighed::BadCredential(
            "No credential can be read from this request.",
        )),
        Shown::Session => Ok(match known::by_session(wish, context).await? {
            None => Weighed::NoCredential,
            Some(known) => outcome(&known, context),
        }),
        Shown::Secret(text) if bound::is_one(&text) => {
            Box::pin(weigh_bound(&text, wish, context)).await
        }
        Shown::Secret(secret) => match api_key::find(&secret, context).await? {
            Some(held) => weigh_key(held, wish, context).await,
            None => Box::pin(weigh_token(&secret, wish, context)).await,
        },
    }
}

/// Whether what a request shows is anybody's, whatever it is good for.
pub(super) async fn is_anybodys(
    shown: &Shown,
    registry: &Registry,
    context: &Context<'_>,
) -> Result<bool, StoreError> {
    Ok(match shown {
        Shown::Nothing | Shown::Unreadable => false,
        Shown::Session => session::of_browser(context).await?.is_some(),
        Shown::Secret(text) if bound::is_one(text) => {
            bound::open(registry, text, context).is_some()
        }
        Shown::Secret(text) => {
            api_key::find(text, context).await?.is_some()
                || token::verified(text, context).await.is_ok()
        }
    })
}

/// What the key's own login showed counts, or what its owner has shown since for this very thing.
pub(super) async fn weigh_key(
    held: Held,
    wish: Wish<'_>,
    context: &Context<'_>,
) -> Result<Weighed, StoreError> {
    let about = (&held, wish.action, wish.release.package.as_deref());
    let since = step_up::shown(wish.registry, wish.asked, about, context).await?;
    weigh_held(held, since.as_ref(), wish, context).await
}

/// A key that was shown once, for a token that says what for; and what its owner has shown then.
async fn weigh_bound(
    text: &str,
    wish: Wish<'_>,
    context: &Context<'_>,
) -> Result<Weighed, StoreError> {
    const OVER: &str = "This token is not known here, or its time is over.";
    let Some((proof, deed)) = bound::open(wish.registry, text, context) else {
        return Ok(Weighed::BadToken(OVER));
    };
    if let Err(why) = bound::check(&deed, wish) {
        return Ok(Weighed::BadToken(why));
    }
    let held = api_key::by_id(&deed.key, context).await?;
    let Some(held) = held.filter(|held| proof.is_of(held)) else {
        return Ok(Weighed::BadToken(OVER));
    };
    let since = proof.session(&held, context).await?;
    let weighed = weigh_held(held, since.as_ref(), wish, context).await?;
    Ok(match weighed {
        Weighed::Let(leave) => match bound::take(text, (&proof, &deed), wish, context).await? {
            Ok(()) => Weighed::Let(Box::new(Leave {
                checksum: deed.checksum,
                ..*leave
            })),
            Err(why) => Weighed::BadToken(why),
        },
        // Whoever shows it has not the key: nothing more can be shown for that.
        Weighed::NotEnough { reasons, .. } => Weighed::NotEnough { reasons, key: None },
        weighed @ (Weighed::NoCredential | Weighed::BadCredential(_) | Weighed::BadToken(_)) => {
            weighed
        }
    })
}

/// A key, by what its own login showed, or by what its owner has shown since for this very thing.
pub(super) async fn weigh_held(
    held: Held,
    since: Option<&Session>,
    wish: Wish<'_>,
    context: &Context<'_>,
) -> Result<Weighed, StoreError> {
    let wanted = Use {
        client: &wish.registry.client,
        scopes: [wish.scope.clone()].into(),
        package: wish.release.package.as_deref(),
    };
    let weighed = match since {
        Some(session) => held.weigh_by(wanted, session, context).await?,
        None => held.weigh(wanted, context).await?,
    };
    let decision = match weighed {
        Ok(weighed) => weighed.decision,
        Err(why) => return Ok(Weighed::BadCredential(why.sentence())),
    };
    Ok(match decision {
        Decision::Permit(permit) => Weighed::Let(Box::new(Leave {
            account: Arc::new(held.account),
            permit,
            decided: None,
            key: Some(held.key),
            email: None,
            checksum: None,
        })),
        Decision::StepUp(StepUp { reasons, .. }) | Decision::Refuse(Refusal { reasons, .. }) => {
            Weighed::NotEnough {
                reasons,
                key: Some(held.key.id),
            }
        }
    })
}

/// An access token of ours that is for this registry, and is anybody's who holds it.
async fn weigh_token(
    raw: &str,
    wish: Wish<'_>,
    context: &Context<'_>,
) -> Result<Weighed, StoreError> {
    const UNKNOWN: &str = "This credential is not known here, or has ended.";
    let verified = token::verified(raw, context).await;
    let token = match verified.as_ref().map(|token| token.require_unbound()) {
        Ok(Ok(token)) => token,
        Ok(Err(_)) => {
            return Ok(Weighed::BadCredential(
                "This token is bound to a key, and comes without a proof.",
            ));
        }
        Err(_) => return Ok(Weighed::BadCredential(UNKNOWN)),
    };
    let claims = token.claims();
    if !is_for(wish.registry, claims, context) {
        return Ok(Weighed::BadCredential("This token is for another service."));
    }
    if !claims.scope.contains(wish.scope.as_str()) {
        return Ok(Weighed::BadCredential("This token does not allow this."));
    }
    let Some(session) = token::session_of(claims, context).await? else {
        return Ok(Weighed::BadCredential(UNKNOWN));
    };
    let (Ok((account, _)), Some(by)) = (
        session::owner(&session, context).await?,
        ClientId::new(&claims.client_id).ok(),
    ) else {
        return Ok(Weighed::BadCredential(UNKNOWN));
    };
    let by = By {
        client: by,
        session,
        account,
        organization: token::organization_of(claims),
        stated: token::stated_by(claims),
    };
    let known = by.known(wish.scope, context).await?;
    Ok(outcome(&Arc::new(known), context))
}

/// Whether an access token is for this registry.
fn is_for(registry: &Registry, claims: &Claims, context: &Context<'_>) -> bool {
    let clients = &context.broker.settings.clients;
    let client = clients.get(&registry.client);
    client.is_some_and(|client| client.audiences().any(|audience| *audience == claims.aud))
}

/// What the policy says of these facts; it is asked at every single request.
fn outcome(known: &Arc<Known>, context: &Context<'_>) -> Weighed {
    let decision = decide(context.policy(), &known.facts, context.now);
    let decided = Decided {
        on: Occasion::Gate,
        at: context.now,
        verdict: Verdict::from(&decision),
        facts: Arc::clone(known),
    };
    match decision {
        Decision::Permit(permit) => Weighed::Let(Box::new(Leave {
            account: Arc::clone(&known.account),
            permit,
            decided: Some(decided),
            key: None,
            email: known.email.clone(),
            checksum: None,
        })),
        Decision::StepUp(StepUp { reasons, .. }) | Decision::Refuse(Refusal { reasons, .. }) => {
            log(decided, context);
            Weighed::NotEnough { reasons, key: None }
        }
    }
}

fn log(decided: Decided<Arc<Known>>, context: &Context<'_>) {
    context.log_decision(Decided {
        on: decided.on,
        at: decided.at,
        verdict: decided.verdict,
        facts: &*decided.facts,
    });
}
