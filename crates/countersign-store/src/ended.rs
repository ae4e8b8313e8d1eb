//! What has ended before its time, told in an order that can be followed: the feed of ends.
//!
//! Access tokens are verified without asking anybody. Whoever wants to know sooner than a token expires that its
//! session, its grant or itself was ended follows this feed; an end leaves it once no token that it concerns can be
//! good any more.

use std::fmt;
use std::str::FromStr;

use countersign_core::OrganizationId;
use jiff::{SignedDuration, Timestamp};

/// How long an end is told: as long as a policy lets a token live at most (an hour), and five minutes for the
/// clocks of all who verify. No policy in force says it: tokens of an earlier one may have lived longer.
pub(crate) const TOLD_FOR: SignedDuration = SignedDuration::from_mins(65);

/// For how long after an organisation's connection was about to end tokens may still be issued by it, in seconds: a
/// store may take three for each of two writes, and the clocks of servers differ.
const ISSUED_MEANWHILE: i64 = 10;

/// What has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndKind {
    /// A session, by its `sid`.
    Session,
    /// A grant.
    Grant,
    /// An access token alone, by its `jti`.
    Token,
    /// A connection of an organisation: what was issued for it before a second.
    Organization,
}

impl EndKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Session, Self::Grant, Self::Token, Self::Organization];

    /// Its name, which does not change.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Grant => "grant",
            Self::Token => "token",
            Self::Organization => "organization",
        }
    }

    /// What has this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// One end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// What has ended.
    pub kind: EndKind,
    /// Its name, unique for each end: [`End::concerns`] says what tokens have of it.
    pub id: String,
    /// When.
    pub at: Timestamp,
}

impl End {
    /// From when on no token that it concerns is good.
    pub fn told_until(&self) -> Timestamp {
        self.at.saturating_add(TOLD_FOR).unwrap_or(Timestamp::MAX)
    }

    /// What the tokens that it concerns name, and before which second they were issued where that matters.
    pub fn concerns(&self) -> (&str, Option<i64>) {
        match self.kind {
            EndKind::Session | EndKind::Grant | EndKind::Token => (&self.id, None),
            EndKind::Organization => match self.id.split_once('.') {
                Some((before, name)) => (name, before.parse().ok()),
                None => (&self.id, None),
            },
        }
    }

    /// What was told before this is told no more.
    pub(crate) fn forgotten_before(now: Timestamp) -> Timestamp {
        now.saturating_sub(TOLD_FOR).unwrap_or(Timestamp::MIN)
    }
}

/// The name of the end of an organisation's connection. A connection can be made again and end again: so each end names the
/// second too before which tokens were issued that it concerns, and telling the same one twice is telling it once.
pub(crate) fn end_of_connection(organization: &OrganizationId, now: Timestamp) -> String {
    // Times in tokens are whole seconds: those of the last one are among them.
    let before = now.as_second().saturating_add(ISSUED_MEANWHILE + 1);
    format!("{before}.{organization}")
}

/// How far somebody has followed the feed: behind the end with this number, which has this mark.
///
/// A store that has lost its last ends with the power, or is another one, has no such end, or another. Whoever comes
/// with such a place is told everything from the beginning, so that nobody misses an end for a number that was given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedPlace {
    pub(crate) number: i64,
    pub(crate) mark: u64,
}

impl FeedPlace {
    /// Behind this end.
    pub(crate) fn behind(number: i64, end: (EndKind, &str)) -> Self {
        let bytes = end.0.as_str().bytes().chain([b' ']).chain(end.1.bytes());
        // FNV-1a: it tells random names apart, and guards against nobody; who makes a place up misleads himself.
        let mark = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |mark, byte| {
            (mark ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self { number, mark }
    }
}

impl fmt::Display for FeedPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:016x}", self.number, self.mark)
    }
}

/// A text that is no place in a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a place in a feed")]
pub struct NotAPlace;

impl FromStr for FeedPlace {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        let (number, mark) = text.split_once('.').ok_or(NotAPlace)?;
        let place = Self {
            number: number.parse().map_err(|_| NotAPlace)?,
            mark: u64::from_str_radix(mark, 16).map_err(|_| NotAPlace)?,
        };
        // Only as it is written by us: no sign, no leading zero, no capital.
        (place.to_string() == text)
            .then_some(place)
            .ok_or(NotAPlace)
    }
}

/// A piece of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// Those that followed, in their order.
    pub ends: Vec<End>,
    /// How far that goes; none where nothing has been told.
    pub place: Option<FeedPlace>,
    /// Whether nothing followed these when they were read.
    pub is_all: bool,
}

impl Ends {
    /// Nothing was ever told.
    pub(crate) fn none() -> Self {
        Self {
            ends: Vec::new(),
            place: None,
            is_all: true,
        }
    }
}

/// Which ends with their numbers, from the place on that somebody has come to, are the next piece; `None` where that
/// place is not among them, so that they must be read from the beginning.
pub(crate) fn piece(
    mut found: Vec<(i64, End)>,
    after: Option<FeedPlace>,
    limit: usize,
) -> Option<Ends> {
    if let Some(after) = after {
        let (number, first) = found.first()?;
        if FeedPlace::behind(*number, (first.kind, &first.id)) != after {
            return None;
        }
        found.remove(0);
    }
    let is_all = found.len() <= limit;
    found.truncate(limit);
    let last = found.last();
    let place = last.map(|(number, end)| FeedPlace::behind(*number, (end.kind, &end.id)));
    Some(Ends {
        place: place.or(after),
        ends: found.into_iter().map(|(_, end)| end).collect(),
        is_all,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_only_as_it_was_written() {
        let place = FeedPlace::behind(7, (EndKind::Session, "sess_1"));
        assert_eq!(place.to_string().parse(), Ok(place));
        let mark = format!("{:016x}", place.mark);
        for bad in [
            String::new(),
            ".".into(),
            "7".into(),
            format!("07.{mark}"),
            format!("+7.{mark}"),
            format!("7.{}", mark.to_uppercase() + "A"),
            format!("7.{mark}0"),
            format!("7.{mark} "),
            format!("99999999999999999999.{mark}"),
        ] {
            assert_eq!(bad.parse::<FeedPlace>(), Err(NotAPlace), "{bad}");
        }
    }

    #[test]
    fn the_end_of_a_connection_concerns_what_was_issued_before_a_second() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let named = OrganizationId::new("a.b.7").unwrap();
        let end = |second| End {
            kind: EndKind::Organization,
            id: end_of_connection(&named, at(second)),
            at: at(second),
        };
        assert_eq!(end(100).concerns(), ("a.b.7", Some(111)));
        assert_ne!(end(100).id, end(101).id, "it can end twice");
        let session = End {
            kind: EndKind::Session,
            id: "7.a".to_owned(),
            at: at(100),
        };
        assert_eq!(session.concerns(), ("7.a", None));
    }

    #[test]
    fn places_behind_other_ends_are_others() {
        let place = |kind, id| FeedPlace::behind(1, (kind, id));
        assert_ne!(place(EndKind::Session, "a"), place(EndKind::Session, "b"));
        assert_ne!(place(EndKind::Session, "a"), place(EndKind::Grant, "a"));
    }
}
