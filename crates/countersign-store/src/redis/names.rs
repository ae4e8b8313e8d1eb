//! What the keys are called. What stands in braces decides on the slot, so each owner has one.
//!
//! Accounts are listed in the order of their ids. One index of them all would be one huge key, so there are several, each
//! for a range of ids and in one slot with the accounts of that range: an account and its place in the index are written in one step.

use std::fmt::Write;

use countersign_core::{AccountId, ApiKeyId, GrantId, Identity, OrganizationId, SessionId};

use super::settings::KeyPrefix;
use crate::organization::Signpost;
use crate::{Bucket, DeviceRequestId, KeyOwner, Once, ProviderSession, RegistryAccountName};

/// The names of our keys.
#[derive(Debug)]
pub(super) struct Names(String);

impl Names {
    pub(super) fn new(prefix: &KeyPrefix) -> Self {
        Self(prefix.as_str().to_owned())
    }

    /// A session, its attempt and its code.
    pub(super) fn session(&self, id: &SessionId) -> String {
        format!("{}session:{{{id}}}", self.0)
    }

    /// The sessions of an account, by their end.
    pub(super) fn sessions_of(&self, account: &AccountId) -> String {
        format!("{}sessions-of:{account}", self.0)
    }

    /// The sessions that rest on a provider's session, by their end. It is one key, as an identity's is.
    pub(super) fn sessions_resting_on(&self, provider_session: &ProviderSession) -> String {
        format!("{}sessions-resting-on:{provider_session}", self.0)
    }

    /// Whom the end of a session is to be told, by when that is due.
    pub(super) fn notices(&self) -> String {
        format!("{}{{notices}}:due", self.0)
    }

    /// How often that was tried.
    pub(super) fn notice_tries(&self) -> String {
        format!("{}{{notices}}:tries", self.0)
    }

    /// What has ended before its time, by when it did.
    pub(super) fn ended(&self) -> String {
        format!("{}ended", self.0)
    }

    /// A grant of a session.
    pub(super) fn grant(&self, session: &SessionId, id: &GrantId) -> String {
        format!("{}grant:{{{session}}}:{id}", self.0)
    }

    /// An access token of a session that was revoked.
    pub(super) fn revoked(&self, session: &SessionId, jti: &str) -> String {
        format!("{}revoked:{{{session}}}:{jti}", self.0)
    }

    /// What the provider of a session is asked again with.
    pub(super) fn kept_token(&self, session: &SessionId) -> String {
        format!("{}token:{{{session}}}", self.0)
    }

    /// What a device asks for.
    pub(super) fn device_request(&self, id: &DeviceRequestId) -> String {
        format!("{}device:{}", self.0, hex(&id.0))
    }

    /// What may come once.
    pub(super) fn once(&self, key: &Once) -> String {
        format!("{}once:{}", self.0, hex(&key.0))
    }

    /// What is counted.
    pub(super) fn bucket(&self, bucket: &Bucket) -> String {
        format!("{}bucket:{}", self.0, hex(&bucket.0))
    }

    /// Where an identity leads. It is one key, so whatever its braces say is as good as anything.
    pub(super) fn identity(&self, identity: &Identity) -> String {
        format!("{}identity:{identity}", self.0)
    }

    /// An account.
    pub(super) fn account(&self, id: &AccountId) -> String {
        format!("{}account:{{{:04}}}:{id}", self.0, Range::of(id).0)
    }

    /// The index of the accounts of a range.
    pub(super) fn accounts(&self, range: Range) -> String {
        format!("{}accounts:{{{:04}}}", self.0, range.0)
    }

    /// An organisation.
    pub(super) fn organization(&self, id: &OrganizationId) -> String {
        format!("{}organization:{{org-{}}}:{id}", self.0, Initial::of(id).0)
    }

    /// The index of the organisations with an initial.
    pub(super) fn organizations(&self, initial: Initial) -> String {
        format!("{}organizations:{{org-{}}}", self.0, initial.0)
    }

    /// How far audit logs were written.
    pub(super) fn audit_heads(&self) -> String {
        format!("{}audit-heads", self.0)
    }

    /// What leads to organisations. It is one key, as an identity's is.
    pub(super) fn signpost(&self, post: &Signpost) -> String {
        format!("{}signpost:{post}", self.0)
    }

    /// An API key.
    pub(super) fn api_key(&self, id: &ApiKeyId) -> String {
        format!("{}api-key:{{key-{:02x}}}:{id}", self.0, KeyRange::of(id).0)
    }

    /// The index of the API keys of a range.
    pub(super) fn api_keys(&self, range: KeyRange) -> String {
        format!("{}api-keys:{{key-{:02x}}}", self.0, range.0)
    }

    /// The API keys of an owner. It is one key, as an identity's is.
    pub(super) fn api_keys_of(&self, owner: &KeyOwner) -> String {
        format!("{}api-keys-of:{owner}", self.0)
    }

    /// A registry account.
    pub(super) fn registry_account(&self, name: &RegistryAccountName) -> String {
        format!("{}registry-account:{name}", self.0)
    }

    /// The keys of the installation.
    pub(super) fn keys(&self) -> String {
        format!("{}keys", self.0)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A range of API keys: those whose ids begin with the same two digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyRange(u8);

impl KeyRange {
    pub(super) fn of(id: &ApiKeyId) -> Self {
        let digits = id.as_str().get(4..6).unwrap_or_default();
        // An id is hexadecimal.
        Self(u8::from_str_radix(digits, 16).unwrap_or(0))
    }

    /// All of them, in the order of the ids in them.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self)
    }
}

/// What the name of an organisation begins with: those that begin alike are in one slot, and in one index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Initial(char);

impl Initial {
    pub(super) fn of(id: &OrganizationId) -> Self {
        // No id is empty.
        Self(id.as_str().chars().next().unwrap_or('-'))
    }

    /// All of them, in the order of the names that begin so.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        ('!'..='~')
            .filter(|one| one.is_ascii_alphanumeric() || "-_.".contains(*one))
            .map(Self)
    }
}

/// A range of account ids: those that go on in the same way after `acct_`.
///
/// Ids that we make go on in hexadecimal, and so are in one of 256. What lies between those are ranges too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range(u16);

impl Range {
    /// How a character sorts among the digits: 16 of those, and the 17 gaps before, between and after them.
    const CLASSES: u16 = 33;

    /// The range of an id.
    pub(super) fn of(id: &AccountId) -> Self {
        let tail = id.as_str().strip_prefix("acct_").unwrap_or_default();
        let mut classes = tail.bytes().map(class);
        let first = classes.next().unwrap_or(0);
        Self::from_classes(first, classes.next().unwrap_or(0))
    }

    /// All ranges, in the order of the ids in them.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..Self::CLASSES).flat_map(|first| {
            let seconds = if is_digit(first) { Self::CLASSES } else { 1 };
            (0..seconds).map(move |second| Self::from_classes(first, second))
        })
    }

    fn from_classes(first: u16, second: u16) -> Self {
        let second = if is_digit(first) { second } else { 0 };
        Self(first * Self::CLASSES + second)
    }
}

/// 2 n + 1 for the nth hexadecimal digit, and the even number in between for what sorts there.
fn class(byte: u8) -> u16 {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let place = |place| u16::try_from(place).unwrap_or(u16::MAX);
    match DIGITS.binary_search(&byte) {
        Ok(digit) => 2 * place(digit) + 1,
        Err(gap) => 2 * place(gap),
    }
}

fn is_digit(class: u16) -> bool {
    class % 2 == 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use countersign_core::AttemptId;

    use super::super::slot::slot;
    use super::*;

    #[test]
    fn ranges_are_in_the_order_of_the_ids_in_them() {
        let tails = [
            "0", "00", "0Z", "0a", "0ag", "0g", "0z", "1", "9f", "A0", "Z", "a", "a0", "aG", "af",
            "b", "f9", "ff", "fz", "g", "g0", "zz",
        ];
        let mut ids: Vec<AccountId> = tails
            .into_iter()
            .map(|tail| AccountId::new(format!("acct_{tail}")).unwrap())
            .collect();
        ids.sort();
        let ranges: Vec<Range> = ids.iter().map(Range::of).collect();
        assert!(ranges.is_sorted(), "{ranges:?}");
        let all: Vec<Range> = Range::all().collect();
        assert!(all.is_sorted());
        assert!(ranges.iter().all(|range| all.contains(range)));
    }

    #[test]
    fn the_ids_that_we_make_are_spread_over_256_ranges() {
        let id = |n: u32| AccountId::new(format!("acct_{n:02x}77")).unwrap();
        let ranges: BTreeSet<Range> = (0..256).map(|n| Range::of(&id(n))).collect();
        assert_eq!(ranges.len(), 256);
    }

    #[test]
    fn every_organization_has_an_initial_and_they_are_in_order() {
        let all: Vec<Initial> = Initial::all().collect();
        assert!(all.is_sorted());
        let allowed = (0_u8..128).map(char::from);
        let allowed = allowed.filter_map(|one| OrganizationId::new(format!("{one}0")).ok());
        let initials: Vec<Initial> = allowed.map(|id| Initial::of(&id)).collect();
        assert_eq!(initials, all);
    }

    #[test]
    fn what_one_operation_touches_is_in_one_slot() {
        let names = Names::new(&KeyPrefix::default());
        let attempt = AttemptId::new("0123456789abcdef0123456789abcdef").unwrap();
        let session = SessionId::of(&attempt);
        let grant = GrantId::new("grant_7").unwrap();
        let expected = slot(&names.session(&session));
        assert_eq!(slot(&names.grant(&session, &grant)), expected);
        assert_eq!(slot(&names.revoked(&session, "tok_{x}")), expected);
        assert_eq!(slot(&names.kept_token(&session)), expected);
        assert_eq!(slot(&names.notices()), slot(&names.notice_tries()));
        let organization = OrganizationId::new("contoso").unwrap();
        let index = names.organizations(Initial::of(&organization));
        assert_eq!(slot(&names.organization(&organization)), slot(&index));
        let key = ApiKeyId::new("key_7f23456789abcdef0123456789abcdef").unwrap();
        assert_eq!(KeyRange::of(&key), KeyRange(0x7f));
        let index = names.api_keys(KeyRange::of(&key));
        assert_eq!(slot(&names.api_key(&key)), slot(&index));
        let account = AccountId::new("acct_7f").unwrap();
        let index = names.accounts(Range::of(&account));
        assert_eq!(slot(&names.account(&account)), slot(&index));
    }
}
