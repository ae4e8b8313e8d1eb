//! Whose credential it is, and whether the policy lets them do this now. Every path that lets a tool's request through
//! passes here.

use std::sync::Arc;

use countersign_core::registry::Checksum;
use countersign_core::{
    ApiKeyId, Decision, Occasion, Permit, Reason, Refusal, Scope, StepUp, Verdict, decide,
};
use countersign_store::{Account, ApiKey, Session, StoreError};
use countersign_verifier::Claims;

use super::credential::Shown;
use super::gate::Asked;
use super::known::{self, Known};
use super::step_up;
use super::{Registry, bound};
use crate::api_key::{self, Held, KeyText, NoUse, Use};
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
    /// It is none of ours, has ended, or is for something else.
    BadCredential(Wrong),
    /// It is a token for one deed, and not for this one.
    BadToken(Wrong),
    /// It is good, and not good enough.
    NotEnough {
        /// Most telling first.
        reasons: Vec<Reason>,
        /// The key that it is, where it is one.
        key: Option<ApiKeyId>,
    },
}

/// What is wrong with a credential, in a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is nobody's, or not any more: it may have been made up.
    Nobodys(&'static str),
    /// It is somebody's, and for something else.
    Elsewhere(&'static str),
}

impl Wrong {
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::Nobodys(why) | Self::Elsewhere(why) => why,
        }
    }

    fn of_key(why: NoUse) -> Self {
        let sentence = why.sentence();
        match why {
            NoUse::Ended | NoUse::Orphaned => Self::Nobodys(sentence),
            NoUse::OtherClient | NoUse::Scope | NoUse::Package => Self::Elsewhere(sentence),
        }
    }
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
    /// What it rests on, where that is known to more than this request.
    pub(super) known: Option<Arc<Known>>,
    /// The verdict that the decision log is told of what is known, where it has not been.
    pub(super) unlogged: Option<Verdict>,
    /// The key that it is had by, where it is one.
    pub(super) key: Option<Arc<ApiKey>>,
    /// The address that the provider or the registry verified, where one did.
    pub(super) email: Option<String>,
    /// The one archive that it is for, where it is for one.
    pub(super) checksum: Option<Checksum>,
}

impl Leave {
    /// Writes the decision down, now that something follows from it.
    pub(super) fn log(self, context: &Context<'_>) {
        if let (Some(verdict), Some(known)) = (self.unlogged, &self.known) {
            log(verdict, known, context);
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
        Shown::Unreadable => Ok(Weighed::BadCredential(Wrong::Nobodys(
            "No credential can be read from this request.",
        ))),
        Shown::Session => Ok(match known::by_session(wish, context).await? {
            None => Weighed::NoCredential,
            Some(known) => outcome(known, context),
        }),
        Shown::Secret(text) if bound::is_one(&text) => {
            Box::pin(weigh_bound(&text, wish, context)).await
        }
        Shown::Secret(secret) => match key_of(&secret, wish, context).await? {
            Some((held, known)) => Box::pin(weigh_known_key(held, known, wish, context)).await,
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

/// The key that this text is, and what is known of whose it is; nothing where it is nobody's.
async fn key_of(
    secret: &str,
    wish: Wish<'_>,
    context: &Context<'_>,
) -> Result<Option<(Held, Arc<Known>)>, StoreError> {
    let Some(text) = KeyText::parse(secret) else {
        return Ok(None);
    };
    let found = known::by_key(&text.digest(), wish, context).await?;
    Ok(found.and_then(|known| Some((known.key.clone()?, known))))
}

/// The same as [`weigh_key`], by what is known already.
async fn weigh_known_key(
    held: Held,
    known: Arc<Known>,
    wish: Wish<'_>,
    context: &Context<'_>,
) -> Result<Weighed, StoreError> {
    let about = (&held, wish.action, wish.release.package.as_deref());
    let since = step_up::shown(wish.registry, wish.asked, about, context).await?;
    if since.is_some() {
        return weigh_held(held, since.as_ref(), wish, context).await;
    }
    let weighed = held.weigh_by_facts(use_of(wish), &*known, context).await?;
    Ok(outcome_of_key(weighed, held, Some(known)))
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
    const OVER: Wrong = Wrong::Nobodys("This token is not known here, or its time is over.");
    let Some((proof, deed)) = bound::open(wish.registry, text, context) else {
        return Ok(Weighed::BadToken(OVER));
    };
    if let Err(why) = bound::check(&deed, wish) {
        return Ok(Weighed::BadToken(Wrong::Elsewhere(why)));
    }
    // Asked before it is weighed, since that is written down; to take it says it once for all.
    if let Err(why) = bound::is_left(text, &deed, wish, context).await? {
        return Ok(Weighed::BadToken(Wrong::Elsewhere(why)));
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
            Err(why) => Weighed::BadToken(Wrong::Elsewhere(why)),
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
    let wanted = use_of(wish);
    let weighed = match since {
        Some(session) => held.weigh_by(wanted, session, context).await?,
        None => held.weigh(wanted, context).await?,
    };
    Ok(outcome_of_key(weighed, held, None))
}

fn use_of(wish: Wish<'_>) -> Use<'_> {
    Use {
        client: &wish.registry.client,
        scopes: [wish.scope.clone()].into(),
        package: wish.release.package.as_deref(),
    }
}

/// What comes of a key that was weighed.
fn outcome_of_key(
    weighed: Result<api_key::Weighed, NoUse>,
    held: Held,
    known: Option<Arc<Known>>,
) -> Weighed {
    let decision = match weighed {
        Ok(weighed) => weighed.decision,
        Err(why) => return Weighed::BadCredential(Wrong::of_key(why)),
    };
    match decision {
        Decision::Permit(permit) => Weighed::Let(Box::new(Leave {
            account: held.account,
            permit,
            known,
            unlogged: None,
            key: Some(held.key),
            email: None,
            checksum: None,
        })),
        Decision::StepUp(StepUp { reasons, .. }) | Decision::Refuse(Refusal { reasons, .. }) => {
            Weighed::NotEnough {
                reasons,
                key: Some(held.key.id.clone()),
            }
        }
    }
}

/// An access token of ours that is for this registry, and is anybody's who holds it.
async fn weigh_token(
    raw: &str,
    wish: Wish<'_>,
    context: &Context<'_>,
) -> Result<Weighed, StoreError> {
    const UNKNOWN: Wrong = Wrong::Nobodys("This credential is not known here, or has ended.");
    let elsewhere = |why| Ok(Weighed::BadCredential(Wrong::Elsewhere(why)));
    let verified = token::verified(raw, context).await;
    let token = match verified.as_ref().map(|token| token.require_unbound()) {
        Ok(Ok(token)) => token,
        Ok(Err(_)) => {
            return elsewhere("This token is bound to a key, and comes without a proof.");
        }
        Err(_) => return Ok(Weighed::BadCredential(UNKNOWN)),
    };
    let claims = token.claims();
    if !is_for(wish.registry, claims, context) {
        return elsewhere("This token is for another service.");
    }
    if !claims.scope.contains(wish.scope.as_str()) {
        return elsewhere("This token does not allow this.");
    }
    Ok(match known::by_token(claims, wish, context).await? {
        None => Weighed::BadCredential(UNKNOWN),
        Some(known) => outcome(known, context),
    })
}

/// Whether an access token is for this registry.
fn is_for(registry: &Registry, claims: &Claims, context: &Context<'_>) -> bool {
    let clients = &context.broker.settings.clients;
    let client = clients.get(&registry.client);
    client.is_some_and(|client| client.audiences().any(|audience| *audience == claims.aud))
}

/// What the policy says of these facts; it is asked at every single request.
fn outcome(known: Arc<Known>, context: &Context<'_>) -> Weighed {
    let decision = decide(context.policy(), &known.facts, context.now);
    let verdict = Verdict::from(&decision);
    match decision {
        Decision::Permit(permit) => Weighed::Let(Box::new(Leave {
            account: Arc::clone(&known.account),
            permit,
            key: None,
            email: known.email.clone(),
            known: Some(known),
            unlogged: Some(verdict),
            checksum: None,
        })),
        Decision::StepUp(StepUp { reasons, .. }) | Decision::Refuse(Refusal { reasons, .. }) => {
            log(verdict, &known, context);
            Weighed::NotEnough { reasons, key: None }
        }
    }
}

fn log(verdict: Verdict, known: &Known, context: &Context<'_>) {
    context.log_decision(Decided {
        on: Occasion::Gate,
        at: context.now,
        verdict,
        facts: known,
    });
}
