//! What has ended before its time, as far as the broker's feed was heard.
//!
//! Pure: `now` is an argument, in Unix seconds. Times are compared by distance, so that a clock that is set back does
//! not make an old word count as fresh.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::claims::Claims;
use crate::error::Error;
use crate::json::{object, present};

/// How many ends are known at most: some 20 MB.
const MOST: usize = 200_000;
/// No end is known for longer, in seconds, whatever the feed says: no token lives for more than an hour.
const LONGEST: i64 = 2 * 60 * 60;
/// Seconds between two searches for what may be forgotten.
const SWEEP_EVERY: u64 = 60;
/// Characters of a cursor. The broker's have 40.
const LONGEST_CURSOR: usize = 256;

/// What to do while the feed of ends cannot be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Silence {
    /// Go on as without the feed: a token is good until it expires, which is ten minutes unless the operator says
    /// otherwise. The registry works on while the broker is down. This is the default.
    #[default]
    Accept,
    /// Refuse every token once nothing has been heard for so long, with [`Error::FeedSilent`] (503). Whoever
    /// keeps this service from the broker gains nothing by it; and while the broker is down, so is the service.
    RefuseAfter(Duration),
}

/// What is known of the feed at a moment: for a health page or for monitoring.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FeedStatus {
    /// When all of the feed was known the last time, in Unix seconds.
    pub heard_at: Option<i64>,
    /// How many ends are known.
    pub ends: usize,
    /// Why it was not heard the last time it was asked, if it was not.
    pub last_error: Option<Error>,
}

/// The ends that were heard of.
#[derive(Debug)]
pub(crate) struct Ended {
    silence: Silence,
    begun_at: i64,
    heard_at: Option<i64>,
    last_error: Option<Error>,
    known: BTreeMap<Name, Reach>,
    swept_at: i64,
    /// Until when it matters that some were left out, since there were too many.
    left_out_until: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Session,
    Grant,
    Token,
    Organization,
}

/// What has ended: its kind, and the digest of what tokens have of it.
type Name = (Kind, [u8; 32]);

/// Which tokens an end concerns, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reach {
    /// Those that were issued before: all of them, unless the feed says otherwise.
    issued_before: i64,
    /// Until when it is to be known.
    until: i64,
}

impl Reach {
    /// What one of both concerns: an end is never taken back.
    fn or(self, other: Self) -> Self {
        Self {
            issued_before: self.issued_before.max(other.issued_before),
            until: self.until.max(other.until),
        }
    }
}

/// One answer of the feed.
#[derive(Debug)]
pub(crate) struct Page {
    ends: Vec<(Name, Reach)>,
    pub(crate) cursor: String,
    pub(crate) complete: bool,
}

impl Page {
    /// Reads an answer; kinds that are not known are of a newer broker, and left out.
    pub(crate) fn read(json: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Raw {
            ends: Vec<RawEnd>,
            cursor: String,
            complete: bool,
        }
        #[derive(Deserialize)]
        struct RawEnd {
            kind: String,
            sha256: String,
            until: i64,
            #[serde(default, deserialize_with = "present")]
            issued_before: Option<i64>,
        }
        let bad = || Error::Unavailable("the feed of ends is not as agreed".to_owned());
        let raw: Raw = object(json).map_err(|_| bad())?;
        if raw.cursor.len() > LONGEST_CURSOR {
            return Err(bad());
        }
        let mut ends = Vec::new();
        for end in raw.ends {
            let Some(kind) = Kind::named(&end.kind) else {
                continue;
            };
            let name = URL_SAFE_NO_PAD.decode(&end.sha256).map_err(|_| bad())?;
            let name = name.try_into().map_err(|_| bad())?;
            let reach = Reach {
                issued_before: end.issued_before.unwrap_or(i64::MAX),
                until: end.until,
            };
            ends.push(((kind, name), reach));
        }
        Ok(Self {
            ends,
            cursor: raw.cursor,
            complete: raw.complete,
        })
    }

    /// Whether it tells of anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        match name {
            "session" => Some(Self::Session),
            "grant" => Some(Self::Grant),
            "token" => Some(Self::Token),
            "organization" => Some(Self::Organization),
            _ => None,
        }
    }
}

impl Ended {
    /// Nothing was heard yet.
    pub(crate) fn new(silence: Silence, now: i64) -> Self {
        Self {
            silence,
            begun_at: now,
            heard_at: None,
            last_error: None,
            known: BTreeMap::new(),
            swept_at: now,
            left_out_until: i64::MIN,
        }
    }

    /// An answer came.
    pub(crate) fn note(&mut self, page: &Page, now: i64) {
        if self.swept_at.abs_diff(now) >= SWEEP_EVERY || self.known.len() >= MOST {
            self.known.retain(|_, reach| reach.until > now);
            self.swept_at = now;
        }
        let longest = now.saturating_add(LONGEST);
        for (name, told) in &page.ends {
            let until = told.until.min(longest);
            let reach = Reach { until, ..*told };
            if until <= now {
                continue;
            }
            if self.known.len() >= MOST && !self.known.contains_key(name) {
                self.left_out_until = self.left_out_until.max(until);
                continue;
            }
            let known = self.known.entry(*name).or_insert(reach);
            *known = known.or(reach);
        }
        self.last_error = None;
        if page.complete {
            self.heard_at = Some(now);
        }
    }

    /// No answer came.
    pub(crate) fn note_failure(&mut self, error: Error) {
        self.last_error = Some(error);
    }

    /// Refuses a token that was ended, or that may have been where that must not be.
    pub(crate) fn check(&self, claims: &Claims, now: i64) -> Result<(), Error> {
        let mut names = names(claims);
        match self.silence {
            _ if names.any(|(kind, name)| self.has_ended(kind, name, claims.iat, now)) => {
                Err(Error::Revoked)
            }
            Silence::RefuseAfter(patience) if self.is_silent_for(patience, now) => {
                Err(Error::FeedSilent)
            }
            Silence::Accept | Silence::RefuseAfter(_) => Ok(()),
        }
    }

    /// Whether its clock is set back or not makes no difference to what has ended.
    fn has_ended(&self, kind: Kind, name: &str, issued_at: i64, now: i64) -> bool {
        if self.known.is_empty() {
            return false;
        }
        let mut key = (kind, [0; 32]);
        key.1
            .copy_from_slice(digest(&SHA256, name.as_bytes()).as_ref());
        self.known
            .get(&key)
            .is_some_and(|reach| now < reach.until && issued_at < reach.issued_before)
    }

    /// What was left out is as unheard as if nobody had told it.
    fn is_silent_for(&self, patience: Duration, now: i64) -> bool {
        let last = self.heard_at.unwrap_or(self.begun_at);
        last.abs_diff(now) >= patience.as_secs() || now < self.left_out_until
    }

    /// What is known at this moment.
    pub(crate) fn status(&self) -> FeedStatus {
        FeedStatus {
            heard_at: self.heard_at,
            ends: self.known.len(),
            last_error: self.last_error.clone(),
        }
    }
}

/// All that a token can end with.
fn names(claims: &Claims) -> impl Iterator<Item = (Kind, &str)> {
    let own = claims.countersign.as_ref();
    let grant = own.and_then(|own| own.grant.as_deref());
    let organizations = own.into_iter().flat_map(|own| &own.organizations);
    let session = claims.sid.as_deref();
    std::iter::once((Kind::Token, claims.jti.as_str()))
        .chain(session.map(|name| (Kind::Session, name)))
        .chain(grant.map(|name| (Kind::Grant, name)))
        .chain(organizations.map(|name| (Kind::Organization, name.as_str())))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{NOW, good};

    fn page(ends: &[(&str, &str, i64)]) -> Page {
        let end = |(kind, id, until): &(&str, &str, i64)| {
            let sha256 = URL_SAFE_NO_PAD.encode(digest(&SHA256, id.as_bytes()));
            json!({"kind": kind, "sha256": sha256, "until": until})
        };
        let ends: Vec<Value> = ends.iter().map(end).collect();
        let page = json!({"ends": ends, "cursor": "7.00", "complete": true});
        Page::read(page.to_string().as_bytes()).unwrap()
    }

    fn claims(change: impl FnOnce(&mut Claims)) -> Claims {
        let mut claims: Claims = serde_json::from_value(good()).unwrap();
        claims.sid = Some("sess_1".into());
        claims.jti = "jti_1".into();
        if let Some(own) = &mut claims.countersign {
            own.grant = Some("grant_1".into());
        }
        change(&mut claims);
        claims
    }

    fn heard(silence: Silence, ends: &[(&str, &str, i64)]) -> Ended {
        let mut ended = Ended::new(silence, NOW);
        ended.note(&page(ends), NOW);
        ended
    }

    const LATER: i64 = NOW + 3900;

    #[test]
    fn a_token_ends_with_its_session_its_grant_or_itself_and_with_nothing_else() {
        let check = |ends: &[(&str, &str, i64)]| {
            heard(Silence::Accept, ends).check(&claims(|_| ()), NOW + 1)
        };
        for (kind, id) in [
            ("session", "sess_1"),
            ("grant", "grant_1"),
            ("token", "jti_1"),
        ] {
            assert_eq!(check(&[(kind, id, LATER)]), Err(Error::Revoked), "{kind}");
        }
        for (kind, id) in [
            ("session", "sess_2"),
            ("session", "jti_1"),
            ("token", "sess_1"),
            ("grant", "jti_1"),
            ("planet", "sess_1"),
        ] {
            assert_eq!(check(&[(kind, id, LATER)]), Ok(()), "{kind} {id}");
        }
    }

    #[test]
    fn a_token_without_session_and_grant_ends_by_itself_alone() {
        let service = claims(|claims| {
            claims.sid = None;
            claims.countersign = None;
        });
        let ended = heard(
            Silence::Accept,
            &[("session", "", LATER), ("grant", "", LATER)],
        );
        assert_eq!(ended.check(&service, NOW), Ok(()));
        let ended = heard(Silence::Accept, &[("token", "jti_1", LATER)]);
        assert_eq!(ended.check(&service, NOW), Err(Error::Revoked));
    }

    /// What the feed tells of an organisation's connection.
    fn connection_ended(name: &str, issued_before: i64) -> Page {
        let sha256 = URL_SAFE_NO_PAD.encode(digest(&SHA256, name.as_bytes()));
        let end = json!({"kind": "organization", "sha256": sha256, "until": LATER, "issued_before": issued_before});
        let page = json!({"ends": [end], "cursor": "7.00", "complete": true});
        Page::read(page.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_token_for_an_organization_ends_if_it_was_issued_before_a_connection_ended() {
        let of = |organizations: &[&str], iat| {
            claims(|claims| {
                claims.iat = iat;
                let own = claims.countersign.as_mut().unwrap();
                own.organizations = organizations.iter().map(|&one| one.to_owned()).collect();
            })
        };
        let mut ended = Ended::new(Silence::Accept, NOW);
        ended.note(&connection_ended("contoso", NOW), NOW);
        let check = |ended: &Ended, names: &[&str], iat| ended.check(&of(names, iat), NOW + 1);
        for before in [NOW - 600, NOW - 1] {
            let verdict = check(&ended, &["acme", "contoso"], before);
            assert_eq!(verdict, Err(Error::Revoked));
            assert_eq!(check(&ended, &["acme"], before), Ok(()), "another");
            assert_eq!(check(&ended, &[], before), Ok(()), "of none");
        }
        assert_eq!(check(&ended, &["contoso"], NOW), Ok(()), "issued since");
        // A connection that ends again ends more; one that is told late takes nothing back.
        ended.note(&connection_ended("contoso", NOW + 5), NOW);
        ended.note(&connection_ended("contoso", NOW - 5), NOW);
        assert_eq!(check(&ended, &["contoso"], NOW + 4), Err(Error::Revoked));
        assert_eq!(check(&ended, &["contoso"], NOW + 5), Ok(()));
        let late = ended.check(&of(&["contoso"], NOW), LATER);
        assert_eq!(late, Ok(()), "nothing of before is good any more");
    }

    #[test]
    fn a_kind_of_a_newer_broker_takes_nothing_from_the_others() {
        let sha256 = URL_SAFE_NO_PAD.encode([7; 32]);
        let of_jti = URL_SAFE_NO_PAD.encode(digest(&SHA256, b"jti_1"));
        let page = json!({"cursor": "7.00", "complete": true, "ends": [
            {"kind": "planet", "sha256": sha256, "until": LATER, "mass": {"kg": 1}},
            {"kind": "token", "sha256": of_jti, "until": LATER},
        ]});
        let strict = Silence::RefuseAfter(Duration::from_mins(1));
        let mut ended = Ended::new(strict, NOW - 60);
        let page = Page::read(page.to_string().as_bytes()).unwrap();
        ended.note(&page, NOW);
        assert_eq!(ended.check(&claims(|_| ()), NOW), Err(Error::Revoked));
        let other = claims(|claims| claims.jti = "jti_2".into());
        assert_eq!(ended.check(&other, NOW), Ok(()), "the feed was heard");
    }

    #[test]
    fn an_end_is_known_until_no_token_can_be_good_and_no_longer() {
        let mut ended = heard(
            Silence::Accept,
            &[
                ("token", "jti_1", NOW + 100),
                ("token", "other", i64::MAX),
                ("token", "past", NOW),
            ],
        );
        assert_eq!(ended.status().ends, 2);
        assert_eq!(ended.check(&claims(|_| ()), NOW + 99), Err(Error::Revoked));
        assert_eq!(ended.check(&claims(|_| ()), NOW + 100), Ok(()));
        ended.note(&page(&[]), NOW + 100);
        assert_eq!(ended.status().ends, 1);
        ended.note(&page(&[]), NOW + LONGEST);
        assert_eq!(ended.status().ends, 0, "told for ever");
    }

    #[test]
    fn an_end_that_is_told_again_is_never_known_for_less_time() {
        let mut ended = heard(Silence::Accept, &[("token", "jti_1", NOW + 100)]);
        ended.note(&page(&[("token", "jti_1", NOW + 10)]), NOW);
        assert_eq!(ended.check(&claims(|_| ()), NOW + 99), Err(Error::Revoked));
    }

    #[test]
    fn silence_is_borne_or_not_as_was_said() {
        let strict = Silence::RefuseAfter(Duration::from_mins(1));
        let check = |silence, after| heard(silence, &[]).check(&claims(|_| ()), NOW + after);
        assert_eq!(check(Silence::default(), 86_400), Ok(()));
        assert_eq!(check(strict, 59), Ok(()));
        assert_eq!(check(strict, 60), Err(Error::FeedSilent));
        assert_eq!(
            check(strict, -60),
            Err(Error::FeedSilent),
            "a clock set back"
        );
        let never = Ended::new(strict, NOW);
        assert_eq!(never.check(&claims(|_| ()), NOW + 59), Ok(()));
        assert_eq!(
            never.check(&claims(|_| ()), NOW + 60),
            Err(Error::FeedSilent)
        );
    }

    #[test]
    fn half_of_the_feed_and_a_failure_end_no_silence() {
        let strict = Silence::RefuseAfter(Duration::from_mins(1));
        let mut ended = heard(strict, &[]);
        let mut half = page(&[("token", "jti_1", LATER)]);
        half.complete = false;
        ended.note(&half, NOW + 59);
        let other = claims(|claims| claims.jti = "jti_2".into());
        assert_eq!(ended.check(&other, NOW + 60), Err(Error::FeedSilent));
        // What is known to have ended is told as that.
        assert_eq!(ended.check(&claims(|_| ()), NOW + 60), Err(Error::Revoked));
        ended.note_failure(Error::Unavailable("refused".into()));
        assert_eq!(ended.check(&other, NOW + 60), Err(Error::FeedSilent));
        assert!(ended.status().last_error.is_some());
        ended.note(&page(&[]), NOW + 60);
        assert_eq!(ended.check(&other, NOW + 60), Ok(()));
        assert_eq!(ended.status().last_error, None);
    }

    #[test]
    fn what_there_is_no_room_for_counts_as_unheard() {
        let mut ended = Ended::new(Silence::RefuseAfter(Duration::from_mins(1)), NOW);
        let mut many = page(&[]);
        let reach = Reach {
            issued_before: i64::MAX,
            until: NOW + 100,
        };
        let name = |n: usize| {
            let mut name = [0; 32];
            name[..8].copy_from_slice(&n.to_be_bytes());
            name
        };
        many.ends = (0..=MOST)
            .map(|n| ((Kind::Token, name(n)), reach))
            .collect();
        ended.note(&many, NOW);
        assert_eq!(ended.status().ends, MOST);
        assert_eq!(ended.check(&claims(|_| ()), NOW), Err(Error::FeedSilent));
        ended.note(&page(&[]), NOW + 100);
        assert_eq!(ended.check(&claims(|_| ()), NOW + 100), Ok(()));
        assert_eq!(ended.status().ends, 0);
    }

    #[test]
    fn an_answer_that_is_not_as_agreed_is_none() {
        let good = json!({"ends": [], "cursor": "", "complete": true}).to_string();
        assert!(Page::read(good.as_bytes()).is_ok());
        let (long, name) = (
            "7".repeat(LONGEST_CURSOR + 1),
            URL_SAFE_NO_PAD.encode([7; 32]),
        );
        for bad in [
            json!([]),
            json!({}),
            json!({"ends": [], "cursor": ""}),
            json!({"ends": {}, "cursor": "", "complete": true}),
            json!({"ends": [], "cursor": long, "complete": true}),
            json!({"ends": [{"kind": "token", "sha256": "AA", "until": 1}], "cursor": "", "complete": true}),
            json!({"ends": [{"kind": "token", "sha256": "=!", "until": 1}], "cursor": "", "complete": true}),
            json!({"ends": [{"kind": "token", "sha256": "AA", "until": "1"}], "cursor": "", "complete": true}),
            json!({"ends": [{"kind": "organization", "sha256": name, "until": 1, "issued_before": null}], "cursor": "", "complete": true}),
            json!({"ends": [{"kind": "organization", "sha256": name, "until": 1, "issued_before": "1"}], "cursor": "", "complete": true}),
        ] {
            assert!(Page::read(bad.to_string().as_bytes()).is_err(), "{bad}");
        }
    }
}
