//! The records, as values. How they are laid out on disk is each backend's own affair.

use std::collections::BTreeSet;
use std::fmt;

use countersign_core::{
    AccountId, Acr, AttemptId, ClientId, Evidence, GrantId, Identity, OrganizationId, Profile,
    ProviderId, RegistryName, Scope, SessionId, Stated, TracePlace,
};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{EmailAddress, RegistryAccountName, StoreError};

/// A person's account: made at the first login that was let in, or by an import that knew the identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Stable; the `sub` of every token.
    pub id: AccountId,
    /// The provider identity that leads here.
    pub identity: Identity,
    /// Others that do, which the owner has linked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub linked: Vec<LinkedIdentity>,
    /// Name and e-mail address, as of the last login.
    pub profile: Profile,
    /// When this record was made.
    pub created_at: Timestamp,
    /// When it was first seen with multi-factor authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_mfa_at: Option<Timestamp>,
    /// When the registry says that it was made there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered_at: Option<Timestamp>,
    /// The registry's own name of it; the key of its [`crate::RegistryAccount`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_account: Option<RegistryAccountName>,
    /// The address that the registry vouched for. It counts as verified, whatever the provider says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouched_email: Option<VouchedEmail>,
    /// The day that this person was told as theirs. It never moves later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_due: Option<Date>,
    /// The day, in UTC, on which it was last shown the reminder of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reminded_on: Option<Date>,
    /// The day, in UTC, on which its owner last signed in, to [`Account::SEEN_TO`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_on: Option<Date>,
    /// Whether it is being erased: it is nobody's, and goes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub erasing: bool,
    /// Since when nobody gets anything by it, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<Lock>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(value: &bool) -> bool {
    !value
}

/// An identity that its owner has linked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkedIdentity {
    /// The identity.
    pub identity: Identity,
    /// Since when.
    pub at: Timestamp,
}

/// Why an account is locked: an operator's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Since when.
    pub at: Timestamp,
    /// Why, for other operators. The person is not told.
    pub reason: String,
}

impl Account {
    /// An account as it begins: nothing is known of it but who it is.
    pub fn new(id: AccountId, identity: Identity, profile: Profile, created_at: Timestamp) -> Self {
        Self {
            id,
            identity,
            linked: Vec::new(),
            profile: profile.name_and_email(),
            created_at,
            first_mfa_at: None,
            registered_at: None,
            registry_account: None,
            vouched_email: None,
            told_due: None,
            reminded_on: None,
            seen_on: None,
            erasing: false,
            locked: None,
        }
    }

    /// How many days may pass until it is written down again that somebody signed in: most sign-ins need no write.
    pub const SEEN_TO: i64 = 7;

    /// The day on which its owner is known to have signed in, where they do so today.
    pub fn seen(&self, today: Date) -> Date {
        let known = self.seen_on.filter(|seen| {
            let days = today.since(*seen).map(|span| i64::from(span.get_days()));
            days.is_ok_and(|days| (0..Self::SEEN_TO).contains(&days))
        });
        known.unwrap_or(today)
    }

    /// The last day on which its owner may have signed in; `None` where they never have.
    pub fn last_seen(&self) -> Option<Date> {
        let days = jiff::Span::new().days(Self::SEEN_TO - 1);
        self.seen_on.map(|seen| seen.saturating_add(days))
    }

    /// All identities that lead here, the first one first.
    pub fn identities(&self) -> impl Iterator<Item = &Identity> {
        let linked = self.linked.iter().map(|one| &one.identity);
        std::iter::once(&self.identity).chain(linked)
    }

    /// What is left of it while it is erased: what it is found by, and nothing of the person.
    pub(crate) fn emptied(self) -> Self {
        Self {
            linked: self.linked,
            registry_account: self.registry_account,
            erasing: true,
            ..Self::new(self.id, self.identity, Profile::default(), self.created_at)
        }
    }

    /// Whether this identity leads here: what leads to an account that does not list it leads nowhere. One that is being
    /// erased lists none.
    pub fn lists(&self, identity: &Identity) -> bool {
        !self.erasing && self.identities().any(|one| one == identity)
    }

    /// The same with one more identity. One that leads here already changes nothing.
    #[must_use]
    pub fn with_identity(&self, identity: &Identity, at: Timestamp) -> Self {
        let mut changed = self.clone();
        if !self.lists(identity) {
            let identity = identity.clone();
            changed.linked.push(LinkedIdentity { identity, at });
        }
        changed
    }

    /// The same without an identity; `None` where it is the last, or none of them.
    pub fn without_identity(&self, identity: &Identity) -> Option<Self> {
        let mut changed = self.clone();
        if *identity == self.identity {
            if changed.linked.is_empty() {
                return None;
            }
            changed.identity = changed.linked.remove(0).identity;
            return Some(changed);
        }
        changed.linked.retain(|one| one.identity != *identity);
        (changed.linked.len() < self.linked.len()).then_some(changed)
    }

    /// When the account was made, for the calendar: at the registry, or at first sight if that was earlier.
    pub fn made_at(&self) -> Timestamp {
        self.registered_at.map_or(self.created_at, |registered| {
            registered.min(self.created_at)
        })
    }
}

/// An e-mail address that the registry vouched for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VouchedEmail {
    /// The address.
    pub address: EmailAddress,
    /// When it vouched for this address first.
    pub at: Timestamp,
}

/// How often a record was written: what compare-and-set compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(pub u64);

/// A session: who signed in and what that proved. The policy weighs it anew for every token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its name, the `sid` of its tokens; see [`SessionId::of`].
    pub id: SessionId,
    /// Whose it is.
    pub account: AccountId,
    /// What the login proved, as it was.
    pub evidence: Evidence,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it ends, whatever happens.
    pub expires_at: Timestamp,
    /// The sessions that this browser had before for the same account: each sign-in at the provider
    /// begins a new one. They end together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<SessionId>,
}

/// A live session, and where it has led.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LiveSession {
    /// The session.
    pub session: Session,
    /// The clients that it was handed to.
    pub clients: BTreeSet<ClientId>,
    /// When it ends unless it is used before.
    pub ends_at: Timestamp,
}

/// A session at a provider, by the provider's own name of it (`sid`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSession {
    /// The provider.
    pub provider: ProviderId,
    /// Its name of the session.
    pub sid: String,
}

impl ProviderSession {
    /// The provider's session behind this evidence, if it named one.
    pub fn behind(evidence: &Evidence) -> Option<Self> {
        let sid = evidence.provider_session.clone()?;
        Some(Self {
            provider: evidence.provider.clone(),
            sid,
        })
    }
}

impl fmt::Display for ProviderSession {
    /// One unambiguous line, the key under which sessions are found: the name of a provider has no space.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.provider, self.sid)
    }
}

/// What the provider of a session is asked again with, and when it was asked: a part of the session, which ends with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptToken {
    /// The session.
    pub session: SessionId,
    /// The provider's token, sealed by the caller for this session.
    pub sealed: SealedText,
    /// When the provider last vouched for the login: at the login itself, or when it was asked again.
    pub asked_at: Timestamp,
    /// Until when somebody has it alone, to ask the provider with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asking_until: Option<Timestamp>,
}

/// What was sealed before it came here. It is not shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealedText(pub String);

impl fmt::Debug for SealedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A client that is to be told that a session has ended (OpenID Connect Back-Channel Logout).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutNotice {
    /// The session.
    pub session: SessionId,
    /// The client.
    pub client: ClientId,
    /// Whose session it was.
    pub account: AccountId,
    /// How often it was tried, this time included.
    pub tries: u32,
}

/// What a one-time code stands for, until its client takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// The client it was issued to, and to no other (RFC 6749 4.1.3).
    pub client: ClientId,
    /// The redirect URI of the request, which the token request must repeat. None where a device asks for
    /// its tokens itself (RFC 8628): it is never handed to a browser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_uri: Option<String>,
    /// The S256 challenge of the request (RFC 7636), if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_challenge: Option<String>,
    /// The client's `nonce`, to be repeated in the ID token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// The scopes asked for; `decide` says at the token endpoint which are granted.
    pub scopes: Vec<Scope>,
    /// The organisation that the person is to act for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<OrganizationId>,
    /// The `acr_values` asked for, ours only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acr_values: Vec<Acr>,
    /// The audience that was asked for (RFC 8707), if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The thumbprint of the key that must be shown for it (RFC 9449 10), if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpop_jkt: Option<String>,
    /// Where the trace of its sign-in began, if traces are collected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TracePlace>,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// A code as the store knows it: its session, and the SHA-256 of its secret. The code itself is never kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeDigest {
    /// The session that it hands over.
    pub session: SessionId,
    /// SHA-256 of the code's secret part.
    pub digest: [u8; 32],
}

/// All that ends an attempt, written at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The attempt to spend.
    pub attempt: AttemptId,
    /// Until when the spent attempt is remembered: no earlier than its cookie's end.
    pub attempt_remembered_until: Timestamp,
    /// The session to open; its id is [`SessionId::of`] the attempt.
    pub session: Session,
    /// When the session ends unless it is used before: see [`Grace::idle`].
    pub idle_until: Timestamp,
    /// SHA-256 of the code's secret part.
    pub code_digest: [u8; 32],
    /// What the code stands for.
    pub code: Code,
}

/// What a device asks for, until somebody has said yes or no elsewhere (RFC 8628).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRequest {
    /// SHA-256 of the secret in its device code.
    pub code_digest: [u8; 32],
    /// What it will get: it takes this code itself.
    pub code: Code,
    /// The address that it asked from, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What it calls itself, if it does: nobody has checked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// What it is, where it is a registry's tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<ToolRequest>,
    /// When it asked.
    pub asked_at: Timestamp,
    /// Until when it may be answered.
    pub expires_at: Timestamp,
    /// When the session ends at the latest that somebody opens for it; nothing: as any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_ends_at: Option<Timestamp>,
}

/// What a registry's tool waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolRequest {
    /// Which registry's.
    pub registry: RegistryName,
    /// The one thing that it wants leave for, in words for a person; nothing: it gets an API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deed: Option<String>,
}

/// A device's request as the store knows it: by a digest of its user code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceRequestId(pub [u8; 32]);

/// What was said to a device's request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceAnswer {
    /// Somebody signed in for it: its code is one of this session.
    Session(SessionId),
    /// Somebody said no.
    Denied,
}

/// One more code of a session that is there already: it hands the session to one more client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FurtherCode {
    /// SHA-256 of the code's secret part, and the session.
    pub digest: CodeDigest,
    /// What it stands for.
    pub code: Code,
    /// When the session ends unless it is used again: see [`Grace::idle`].
    pub idle_until: Timestamp,
}

/// What became of something that was to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was good until now. Of several who end it at once, more than one may be told so.
    Now,
    /// It was over already, or never was.
    Before,
}

impl Ended {
    /// What has ended, if it was good.
    pub fn if_it_was(was_good: bool) -> Self {
        if was_good { Self::Now } else { Self::Before }
    }

    /// The same, by what was found of it. What can't be read is ended as well.
    pub(crate) fn unless_over<T>(found: &Result<Option<T>, StoreError>) -> Self {
        Self::if_it_was(!matches!(found, Ok(None)))
    }
}

/// What became of a code that was to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakenCode {
    /// It was good, and is now spent.
    Fresh {
        /// What it stands for.
        code: Box<Code>,
        /// The session it hands over.
        session: Box<Session>,
    },
    /// It had been taken before; the session has been ended, by this or before.
    Replayed(Ended),
    /// It never was, or has expired, or its session has ended.
    Unknown,
}

/// What a client may go on refreshing, as long as its session lasts: the authorization grant (RFC 6749 1.3).
///
/// What it states of the login is kept from its beginning: no refresh may change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its name.
    pub id: GrantId,
    /// The session that it is of.
    pub session: SessionId,
    /// The client it was issued to, and to no other.
    pub client: ClientId,
    /// The scopes that were granted at first: the most that a refresh can grant.
    pub scopes: Vec<Scope>,
    /// The organisation that the person acts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<OrganizationId>,
    /// The `acr_values` that were asked for, ours only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acr_values: Vec<Acr>,
    /// The audience that was asked for (RFC 8707): all its access tokens are for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The thumbprint of the key that its first tokens were bound to (RFC 9449), if they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpop_jkt: Option<String>,
    /// What its tokens state of the login.
    pub stated: Stated,
    /// The end of its session, whatever happens.
    pub expires_at: Timestamp,
}

/// A grant that can be refreshed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveGrant {
    /// What was granted.
    pub grant: Grant,
    /// Its live session.
    pub session: Session,
    /// The number of its good refresh token: 0 is the first.
    pub good: u32,
    /// The one that was presented last.
    pub presented: Option<u32>,
}

impl LiveGrant {
    /// Whether the token of this number is spent beyond doubt: another has been presented since.
    pub fn is_spent(&self, number: u32) -> bool {
        number < self.good && self.presented != Some(number)
    }
}

/// How forgiving a rotation is to a client that presents a refresh token twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace {
    /// For so long after a rotation the same token comes from the same moment: of many at once one
    /// has won, and the others are told to wait.
    pub busy: SignedDuration,
    /// For so long after it was first presented a token may be presented again, since the answer
    /// may have been lost. The one that it had led to is then no longer good.
    pub lost: SignedDuration,
    /// For how long the session lives on unless it is used again.
    pub idle: SignedDuration,
}

/// What became of a refresh token that was presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotated {
    /// It is spent; the good one is now this.
    Next(u32),
    /// Another request has just spent it: see [`Grace::busy`]. Nothing has changed.
    TooSoon,
    /// It was spent before, and somebody else may have it: the grant has been ended (RFC 9700 4.14.2).
    Reused,
    /// It has a number that was never given out, as far as the store knows, which may have lost its last writes: whoever has
    /// an earlier one may be a thief. The grant has been ended.
    NeverIssued,
    /// There is no such grant, or it or its session has ended.
    Unknown,
}

/// How often something may happen: so many times at once, and as many again in this time, evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    times: u32,
    per: SignedDuration,
}

impl Rate {
    /// So many times, at least one, in this time.
    pub const fn new(times: u32, per: SignedDuration) -> Self {
        Self { times, per }
    }

    /// Counts one more, at a time in microseconds since 1970, and answers when all that was spent is paid
    /// back: the one number that is to be kept. `Err` with the time when there is room again, if there is none.
    ///
    /// This is the generic cell rate algorithm (ITU-T I.371, annex A).
    pub fn spend(self, paid_at: i64, now: i64) -> Result<i64, i64> {
        let (span, each) = self.span_and_each();
        // What lies so far ahead was counted by a clock that has been set back since. Less than that may be
        // the difference between two replicas' clocks.
        let is_nonsense = paid_at > now.saturating_add(span.saturating_mul(2));
        let paid_at = if is_nonsense { now } else { paid_at.max(now) };
        let next = paid_at.saturating_add(each);
        if next > now.saturating_add(span) {
            Err(next.saturating_sub(span))
        } else {
            Ok(next)
        }
    }

    /// What is to be kept so that there is no room until then.
    pub fn full_until(self, then: i64) -> i64 {
        let (span, each) = self.span_and_each();
        then.saturating_add(span - each)
    }

    fn span_and_each(self) -> (i64, i64) {
        let span = i64::try_from(self.per.as_micros())
            .unwrap_or(i64::MAX)
            .max(1);
        let each = span / i64::from(self.times.max(1));
        (span, each.max(1))
    }
}

/// What is counted together: a digest, so that the store knows nobody's address or name by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(pub [u8; 16]);

/// Whether there was room for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// It is counted.
    Within,
    /// There was none, and nothing was counted.
    Over {
        /// When there is room again.
        until: Timestamp,
    },
}

/// An access token, as far as it can be ended before its time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IssuedToken {
    /// The `jti`.
    pub jti: String,
    /// The `sid`.
    pub session: SessionId,
    /// The grant that it belongs to, if that can be refreshed.
    pub grant: Option<GrantId>,
    /// The `exp`.
    pub expires_at: Timestamp,
}

/// What may come only once, by the SHA-256 of what names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Once(pub [u8; 32]);

/// Whether something came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It has not, and is remembered now.
    First,
    /// It has.
    Before,
}

/// A signing or sealing key under a name that says what it is for (`id-token-rs256`, …).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// The name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The key.
    pub material: KeyMaterial,
}

/// The bytes of a private or symmetric key, which never print.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyMaterial(pub Vec<u8>);

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
