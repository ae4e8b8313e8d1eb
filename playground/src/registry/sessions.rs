//! Browser sessions, in memory: sign-ins under way, and who is signed in.

use std::collections::BTreeMap;
use std::fmt;

use countersign_verifier::Claims;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::Deserialize;

use super::id_token::IdToken;

/// How long a session lives.
const LIFETIME: SignedDuration = SignedDuration::from_hours(12);
/// The most sessions there are; the oldest goes first.
const LIMIT: usize = 10_000;
/// The most sign-ins under way in one browser, one per tab; the oldest goes first.
const ATTEMPTS: usize = 8;

/// A sign-in under way, found again by its `state`.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) state: String,
    pub(super) nonce: String,
    pub(super) pkce_verifier: String,
    /// A path of ours.
    pub(super) return_to: String,
    /// Who must come back, where somebody is signed in already.
    pub(super) same_person: Option<String>,
    /// What must be granted, or the person would be sent in circles.
    pub(super) needs: Option<String>,
}

/// Who is signed in.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) id_token: IdToken,
    /// The claims of the access token, verified.
    pub(super) claims: Claims,
    pub(super) access_token: SecretString,
    /// What was asked for and left out of the token.
    pub(super) unmet: Vec<Unmet>,
}

impl Person {
    /// Why a scope was left out, if it was.
    pub(super) fn unmet(&self, scope: &str) -> Option<&Unmet> {
        self.unmet.iter().find(|unmet| unmet.scope == scope)
    }
}

/// A scope that was left out of a token: a member of the broker's own, `unmet_scopes`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Unmet {
    pub(super) scope: String,
    /// The broker's reason codes, most telling first.
    pub(super) reasons: Vec<String>,
    /// What would meet it (RFC 9470), where a second factor is missing.
    pub(super) acr_values: Option<String>,
}

impl fmt::Display for Unmet {
    /// `packages:publish (mfa-absent)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.scope, self.reasons.join(" "))
    }
}

#[derive(Debug)]
struct Session {
    began_at: Timestamp,
    attempts: Vec<Attempt>,
    person: Option<Person>,
}

/// All sessions, by the random id in the cookie.
#[derive(Debug, Default)]
pub(super) struct Sessions(BTreeMap<String, Session>);

impl Sessions {
    /// Keeps an attempt in the session `id`, or in a new one called `fresh`. Returns the session's id.
    pub(super) fn begin(
        &mut self,
        id: Option<&str>,
        fresh: String,
        attempt: Attempt,
        now: Timestamp,
    ) -> String {
        let id = match id {
            Some(id) if self.live(id, now).is_some() => id.to_owned(),
            Some(_) | None => {
                self.insert(fresh.clone(), None, Vec::new(), now);
                fresh
            }
        };
        if let Some(session) = self.live(&id, now) {
            session.attempts.push(attempt);
            let surplus = session.attempts.len().saturating_sub(ATTEMPTS);
            session.attempts.drain(..surplus);
        }
        id
    }

    /// Takes the attempt with this `state`: once.
    pub(super) fn take_attempt(
        &mut self,
        id: &str,
        state: &str,
        now: Timestamp,
    ) -> Option<Attempt> {
        let attempts = &mut self.live(id, now)?.attempts;
        let place = attempts.iter().position(|attempt| attempt.state == state)?;
        Some(attempts.remove(place))
    }

    /// Signs a person in. The session gets a new id: the old one may be known to who planted it.
    pub(super) fn sign_in(&mut self, id: &str, fresh: String, person: Person, now: Timestamp) {
        let others = self.0.remove(id).map(|session| session.attempts);
        self.insert(fresh, Some(person), others.unwrap_or_default(), now);
    }

    /// Who is signed in.
    pub(super) fn person(&mut self, id: &str, now: Timestamp) -> Option<Person> {
        self.live(id, now)?.person.clone()
    }

    /// Ends a session.
    pub(super) fn end(&mut self, id: &str) {
        self.0.remove(id);
    }

    fn live(&mut self, id: &str, now: Timestamp) -> Option<&mut Session> {
        self.0
            .get_mut(id)
            .filter(|session| now < session.began_at + LIFETIME)
    }

    fn insert(
        &mut self,
        id: String,
        person: Option<Person>,
        attempts: Vec<Attempt>,
        now: Timestamp,
    ) {
        if self.0.len() >= LIMIT {
            let oldest = self.0.iter().min_by_key(|(_, session)| session.began_at);
            if let Some(id) = oldest.map(|(id, _)| id.clone()) {
                self.0.remove(&id);
            }
        }
        self.0.insert(
            id,
            Session {
                began_at: now,
                attempts,
                person,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(state: &str) -> Attempt {
        Attempt {
            state: state.to_owned(),
            nonce: "nonce".to_owned(),
            pkce_verifier: "verifier".to_owned(),
            return_to: "/".to_owned(),
            same_person: None,
            needs: None,
        }
    }

    fn noon() -> Timestamp {
        "2027-05-08T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn an_attempt_is_taken_once_and_only_in_the_browser_that_began_it() {
        let mut sessions = Sessions::default();
        let ann = sessions.begin(None, "ann".to_owned(), attempt("s1"), noon());
        let eve = sessions.begin(None, "eve".to_owned(), attempt("s2"), noon());
        assert!(sessions.take_attempt(&eve, "s1", noon()).is_none());
        assert!(sessions.take_attempt(&ann, "s1", noon()).is_some());
        assert!(sessions.take_attempt(&ann, "s1", noon()).is_none());
    }

    #[test]
    fn two_tabs_do_not_disturb_each_other() {
        let mut sessions = Sessions::default();
        let id = sessions.begin(None, "ann".to_owned(), attempt("one"), noon());
        assert_eq!(
            sessions.begin(Some(&id), "other".to_owned(), attempt("two"), noon()),
            id
        );
        assert!(sessions.take_attempt(&id, "two", noon()).is_some());
        assert!(sessions.take_attempt(&id, "one", noon()).is_some());
    }

    #[test]
    fn a_planted_session_id_is_not_taken_up() {
        let mut sessions = Sessions::default();
        let id = sessions.begin(Some("planted"), "fresh".to_owned(), attempt("s"), noon());
        assert_eq!(id, "fresh");
    }

    #[test]
    fn a_session_ends_after_twelve_hours() {
        let mut sessions = Sessions::default();
        let id = sessions.begin(None, "ann".to_owned(), attempt("s"), noon());
        let late = noon() + LIFETIME;
        assert!(sessions.take_attempt(&id, "s", late).is_none());
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let mut sessions = Sessions::default();
        for number in 0..=LIMIT {
            let now = noon() + SignedDuration::from_millis(i64::try_from(number).unwrap());
            sessions.begin(None, format!("id{number}"), attempt("s"), now);
        }
        assert_eq!(sessions.0.len(), LIMIT);
        assert!(sessions.take_attempt("id0", "s", noon()).is_none());
        assert!(sessions.take_attempt("id1", "s", noon()).is_some());
    }
}
