//! Asking the provider of a session again, before its tokens are refreshed: whether it still says what it said.
//!
//! Only of providers whose configuration says `recheck`. What they are asked with is kept in the store, sealed for the
//! session. Of many who refresh at once, on whichever replica, one asks; the others wait for what it hears. A provider
//! that says no ends the session. One that does not answer keeps it from being refreshed, and that is all.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use countersign_core::sign_in::Attempt;
use countersign_core::{Login, SessionId, confirms};
use countersign_providers::{Again, Provider, ProviderError, ProviderToken};
use countersign_store::{Ended, KeptToken, SealedText, Session, StoreError, Version, mappings_of};
use jiff::{SignedDuration, Timestamp};
use tracing::Instrument;

use crate::seal::{Place, Purpose};
use crate::web::Context;
use crate::{Broker, PolicyInForce, session};

/// For so long whoever asks has the token alone: longer than a provider can take for all that it is asked, four times
/// eight seconds. Who dies meanwhile keeps the others waiting no longer than this.
const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// How long others wait for what is heard, and how often they look.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);
/// How long it is tried to take the token, and to put it back, while the store does not answer: with what the provider can
/// take, less than the lease.
const TAKING: Duration = Duration::from_secs(2);
const PUTTING_BACK: Duration = Duration::from_secs(20);
/// In how many seconds to try again, where the provider does not say.
const RETRY_AFTER: u32 = 5;

/// How a session stands with its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It need not be asked yet, or confirms the login.
    Stands,
    /// It no longer confirms the login; the session has been ended.
    Withdrawn,
    /// Somebody else has ended the session meanwhile.
    Ended,
    /// It does not say.
    Unknown {
        /// In how many seconds to ask again.
        retry_after: u32,
    },
}

/// Keeps what the provider is asked again with, for the session that this attempt is to open.
///
/// In the second leg it takes the place of what the first one brought, even where that is nothing.
pub(crate) async fn keep(
    attempt: &Attempt,
    token: Option<ProviderToken>,
    verified_at: Timestamp,
    context: &Context<'_>,
) -> Result<(), StoreError> {
    let broker = context.broker;
    let provider = broker.providers.get(&attempt.provider);
    let is_asked_again = provider.is_some_and(|provider| provider.recheck().is_some());
    // Where nobody is signed in no session follows that it could be kept for.
    if !is_asked_again || !attempt.request.destination.is_sign_in() {
        return Ok(());
    }
    let session = SessionId::of(&attempt.id);
    if token.is_none() {
        tracing::warn!(code = "provider-token-missing", request = %context.request_id, provider = %attempt.provider, "the provider gave nothing to ask it again with: the session will end when that is due");
    }
    let sealed = token.and_then(|token| seal(&token, &session, broker));
    let kept = KeptToken {
        session,
        sealed: sealed.unwrap_or_else(|| SealedText(String::new())),
        asked_at: verified_at,
        asking_until: None,
    };
    let until = attempt.expires_at;
    broker.store.keep_token(kept, until, context.now).await
}

/// How the session stands with its provider, which is asked if that is due.
pub(crate) async fn standing(
    session: &Session,
    context: &Context<'_>,
) -> Result<Standing, StoreError> {
    let broker = context.broker;
    let provider = broker.providers.get(&session.evidence.provider);
    let Some(every) = provider.and_then(Provider::recheck) else {
        return Ok(Standing::Stands);
    };
    let waiting = async {
        loop {
            let now = broker.clock.now();
            let kept = broker.store.kept_token(&session.id, now).await?;
            match turn(kept, session.evidence.verified_at, every, now) {
                Turn::Nothing => return Ok(Standing::Stands),
                Turn::Wait => tokio::time::sleep(PAUSE).await,
                Turn::Unanswerable => return end_unless_ended(session, context).await,
                Turn::Ask(kept, version) => {
                    if let Some(heard) = ask(kept, version, session, context).await? {
                        return Ok(heard);
                    }
                }
            }
        }
    };
    let heard = tokio::time::timeout(PATIENCE, waiting).await;
    heard.unwrap_or(Ok(Standing::Unknown {
        retry_after: RETRY_AFTER,
    }))
}

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// The provider has vouched for it not long ago.
    Nothing,
    /// Somebody is asking.
    Wait,
    /// Nothing is kept to ask with.
    Unanswerable,
    /// It is to be asked.
    Ask(KeptToken, Version),
}

/// `verified_at` is the login's.
fn turn(
    kept: Option<(KeptToken, Version)>,
    verified_at: Timestamp,
    every: SignedDuration,
    now: Timestamp,
) -> Turn {
    let asked_at = kept.as_ref().map(|(kept, _)| kept.asked_at);
    let last = asked_at.unwrap_or(verified_at);
    if now.duration_since(last) <= every {
        return Turn::Nothing;
    }
    match kept {
        None => Turn::Unanswerable,
        Some((kept, _)) if kept.asking_until.is_some_and(|until| now < until) => Turn::Wait,
        Some((kept, version)) => Turn::Ask(kept, version),
    }
}

/// Nothing is kept: of a session that has ended meanwhile, or of one that began without.
async fn end_unless_ended(
    session: &Session,
    context: &Context<'_>,
) -> Result<Standing, StoreError> {
    let broker = context.broker;
    let live = broker
        .store
        .session(&session.id, broker.clock.now())
        .await?;
    if live.is_none() {
        return Ok(Standing::Ended);
    }
    let about = About::of(session, context);
    about.withdraw(broker, &NOTHING_KEPT).await
}

const NOTHING_KEPT: &str = "nothing is kept to ask it with";

/// Writes the token in the place of the one with this version; `None` where another was faster, or the session has ended.
///
/// While the store does not answer it is tried again. What was written and not acknowledged is found and written once more.
async fn write(
    token: &KeptToken,
    mut version: Version,
    patience: Duration,
    broker: &Broker,
) -> Result<Option<Version>, StoreError> {
    let store = &broker.store;
    let mut failed = StoreError::Unavailable("it took too long".to_owned());
    let writing = async {
        let mut may_be_mine = false;
        loop {
            match store.replace_kept_token(token.clone(), version).await {
                Ok(version) => return Ok(Some(version)),
                Err(StoreError::Conflict) if may_be_mine => {}
                Err(StoreError::Conflict) => return Ok(None),
                Err(error) => {
                    failed = error;
                    may_be_mine = true;
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
            match store.kept_token(&token.session, broker.clock.now()).await {
                Ok(Some((found, mine))) if found == *token => version = mine,
                Ok(_) => return Ok(None),
                Err(error) => {
                    failed = error;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    };
    let written = tokio::time::timeout(patience, writing).await;
    written.unwrap_or(Err(failed))
}

/// Asks, in a task of its own: whoever has taken the token must put it back, and one that the provider has replaced must be
/// kept, even if the client hangs up. `None` where another has taken it.
async fn ask(
    kept: KeptToken,
    version: Version,
    session: &Session,
    context: &Context<'_>,
) -> Result<Option<Standing>, StoreError> {
    let about = About::of(session, context);
    let broker = context.request.app_data::<web::Data<Broker>>().cloned();
    let Some(broker) = broker else {
        return Err(StoreError::Unavailable("no broker".to_owned()));
    };
    let asking = async move { about.ask(kept, version, &broker).await };
    let asking = actix_web::rt::spawn(asking.in_current_span());
    let gone = |_| Err(StoreError::Unavailable("the task has ended".to_owned()));
    asking.await.unwrap_or_else(gone)
}

/// What is asked about, and for whom.
struct About {
    session: Session,
    in_force: Arc<PolicyInForce>,
    request_id: String,
}

impl About {
    fn of(session: &Session, context: &Context<'_>) -> Self {
        Self {
            session: session.clone(),
            in_force: Arc::clone(&context.in_force),
            request_id: context.request_id.clone(),
        }
    }

    async fn ask(
        &self,
        kept: KeptToken,
        version: Version,
        broker: &Broker,
    ) -> Result<Option<Standing>, StoreError> {
        let evidence = &self.session.evidence;
        let policy = &self.in_force.policy;
        let provider = broker.providers.get(&evidence.provider);
        let token = open(&kept.sealed, &self.session.id, broker);
        let (Some(provider), Some(token)) = (provider, token) else {
            return self.withdraw(broker, &NOTHING_KEPT).await.map(Some);
        };
        // All that is needed is read before the token is taken: from then on nothing but the provider is waited for.
        let sources = Login::from(evidence);
        let mappings = mappings_of(broker.store.as_ref(), sources.sources()).await?;
        let mine = KeptToken {
            asking_until: Some(broker.clock.now() + LEASE),
            ..kept.clone()
        };
        let Some(mine) = write(&mine, version, TAKING, broker).await? else {
            return Ok(None);
        };
        let assurance = policy.assess(&Login::of(evidence, &mappings));
        let proofs = assurance.attestations().iter().map(|one| &one.proof);
        let again = Again {
            evidence,
            context: proofs
                .into_iter()
                .find_map(|proof| proof.strip_prefix("acrs:")),
            keep: &policy.claims_read(&evidence.provider),
        };
        let asked = provider.ask_again(&token, again, broker.clock.now()).await;
        let next = asked
            .next
            .and_then(|next| seal(&next, &self.session.id, broker));
        let kept = KeptToken {
            sealed: next.unwrap_or(kept.sealed),
            asking_until: None,
            ..kept
        };
        let heard = match asked.found {
            Ok(fresh) => match confirms(policy, &mappings, evidence, &fresh) {
                Ok(()) => self.confirm(kept, mine, broker).await,
                Err(withdrawal) => self.withdraw(broker, &withdrawal).await,
            },
            Err(error) if error.is_no() => self.withdraw(broker, &error).await,
            Err(error) => self.give_up(kept, mine, &error, broker).await,
        };
        heard.map(Some)
    }

    async fn confirm(
        &self,
        kept: KeptToken,
        mine: Version,
        broker: &Broker,
    ) -> Result<Standing, StoreError> {
        let kept = KeptToken {
            asked_at: broker.clock.now(),
            ..kept
        };
        tracing::info!(code = "provider-confirmed", request = %self.request_id, provider = %self.session.evidence.provider, session = %self.session.id, "the provider was asked again and confirms the login");
        broker
            .metrics
            .provider_asked_again(&self.session.evidence.provider, "confirmed");
        self.put_back(kept, mine, Standing::Stands, broker).await
    }

    /// Ends the session, and those that the same browser had before it.
    async fn withdraw(
        &self,
        broker: &Broker,
        cause: &(dyn std::fmt::Display + Sync),
    ) -> Result<Standing, StoreError> {
        let Session {
            id,
            evidence,
            earlier,
            ..
        } = &self.session;
        tracing::warn!(code = "provider-withdrew", request = %self.request_id, provider = %evidence.provider, session = %id, %cause, "the provider was asked again and no longer confirms the login; its session is ended");
        broker
            .metrics
            .provider_asked_again(&evidence.provider, "withdrawn");
        let now = broker.clock.now();
        for id in earlier.iter().chain([id]) {
            if session::end_for(id, broker, (&self.request_id, now)).await? == Ended::Before {
                continue;
            }
            let ending = session::Ending::new(&evidence.provider, "provider-withdrew");
            let ended = ending.of(id, Some(&self.session.account));
            // From where, the client that refreshes would say, and not the person.
            broker
                .audit_log
                .write(ended.in_request(&self.request_id, None), now);
        }
        Ok(Standing::Withdrawn)
    }

    /// It did not say: the next who refreshes asks again.
    async fn give_up(
        &self,
        kept: KeptToken,
        mine: Version,
        error: &ProviderError,
        broker: &Broker,
    ) -> Result<Standing, StoreError> {
        tracing::warn!(code = error.code(), request = %self.request_id, provider = %self.session.evidence.provider, session = %self.session.id, cause = %error, "the provider was asked again and did not say; nothing is refreshed meanwhile");
        broker
            .metrics
            .provider_asked_again(&self.session.evidence.provider, "unanswered");
        let unknown = Standing::Unknown {
            retry_after: retry_after(error),
        };
        self.put_back(kept, mine, unknown, broker).await
    }

    /// Puts the token back for others. Where the session has ended meanwhile, or another has taken it over, what was
    /// heard counts for nothing.
    async fn put_back(
        &self,
        kept: KeptToken,
        mine: Version,
        heard: Standing,
        broker: &Broker,
    ) -> Result<Standing, StoreError> {
        let put_back = write(&kept, mine, PUTTING_BACK, broker).await?;
        Ok(put_back.map_or(
            Standing::Unknown {
                retry_after: RETRY_AFTER,
            },
            |_| heard,
        ))
    }
}

fn retry_after(error: &ProviderError) -> u32 {
    const LONGEST: u64 = 3600;
    match error {
        ProviderError::RateLimited {
            retry_after: Some(wait),
        } => u32::try_from(wait.as_secs().clamp(1, LONGEST)).unwrap_or(RETRY_AFTER),
        _ => RETRY_AFTER,
    }
}

fn seal(token: &ProviderToken, session: &SessionId, broker: &Broker) -> Option<SealedText> {
    let entropy = broker.entropy.as_ref();
    let sealed = broker.sealer.seal(token, place(session), entropy);
    sealed.map(SealedText)
}

fn open(sealed: &SealedText, session: &SessionId, broker: &Broker) -> Option<ProviderToken> {
    broker.sealer.open(&sealed.0, place(session))
}

fn place(session: &SessionId) -> Place<'_> {
    Place {
        name: "provider_token",
        party: session.as_str(),
        purpose: Purpose::ProviderToken,
    }
}

#[cfg(test)]
mod tests {
    use countersign_core::AttemptId;

    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + 60 * minute).unwrap()
    }

    fn kept(asked_at: i64, asking_until: Option<i64>) -> KeptToken {
        KeptToken {
            session: SessionId::of(&AttemptId::new("0123456789abcdef0123456789abcdef").unwrap()),
            sealed: SealedText("sealed".into()),
            asked_at: at(asked_at),
            asking_until: asking_until.map(at),
        }
    }

    fn turn_at(kept: Option<KeptToken>, minute: i64) -> Turn {
        let kept = kept.map(|kept| (kept, Version(7)));
        turn(kept, at(0), SignedDuration::from_mins(60), at(minute))
    }

    #[test]
    fn a_provider_is_asked_when_it_was_last_asked_longer_ago_than_the_interval() {
        assert_eq!(turn_at(Some(kept(0, None)), 60), Turn::Nothing);
        let due = Turn::Ask(kept(0, None), Version(7));
        assert_eq!(turn_at(Some(kept(0, None)), 61), due);
        assert_eq!(turn_at(Some(kept(61, None)), 121), Turn::Nothing);
        let again = Turn::Ask(kept(61, None), Version(7));
        assert_eq!(turn_at(Some(kept(61, None)), 122), again);
        // A clock that was set back asks later, and never without end.
        assert_eq!(turn_at(Some(kept(61, None)), 0), Turn::Nothing);
    }

    #[test]
    fn others_wait_while_one_asks_and_no_longer_than_it_may() {
        assert_eq!(turn_at(Some(kept(0, Some(62))), 61), Turn::Wait);
        let left_over = kept(0, Some(62));
        let mine = Turn::Ask(left_over.clone(), Version(7));
        assert_eq!(turn_at(Some(left_over), 62), mine);
        assert_eq!(turn_at(Some(kept(0, Some(62))), 60), Turn::Nothing);
    }

    #[test]
    fn with_nothing_kept_a_session_is_good_until_it_is_due() {
        assert_eq!(turn_at(None, 60), Turn::Nothing);
        assert_eq!(turn_at(None, 61), Turn::Unanswerable);
    }

    #[test]
    fn who_is_limited_is_told_how_long_within_reason() {
        let wait = |seconds| ProviderError::RateLimited {
            retry_after: Some(Duration::from_secs(seconds)),
        };
        let told: Vec<u32> = [0, 77, 1_000_000]
            .map(|seconds| retry_after(&wait(seconds)))
            .into();
        assert_eq!(told, [1, 77, 3600]);
        assert_eq!(retry_after(&ProviderError::Timeout), RETRY_AFTER);
    }
}
