//! What can be said of a sign-in or a key, each in a column of its own.

use std::collections::BTreeMap;

/// What can be said of a sign-in: a column of a table, an option of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// What the case is called.
    Case,
    /// When it plays, in UTC: a day, at noon, or a time.
    On,
    /// What is known of the account.
    Account,
    /// Who vouches.
    Provider,
    /// What the login shows.
    Shows,
    /// How long ago the provider authenticated the person.
    Authenticated,
    /// How long ago Countersign verified the login.
    Verified,
    /// Who says what of the e-mail address.
    Email,
    /// The Entra tenant of the login.
    Tenant,
    /// The organisation that the person is to act for.
    Organization,
    /// Who asks.
    Client,
    /// For which scopes.
    AsksFor,
    /// What the request demands beyond the policy.
    Demands,
    /// Whether the person can still be sent back to the provider.
    Visit,
    /// What the policy is to make of it.
    Expected,
}

impl Column {
    /// All columns, by the names in a header.
    pub const NAMES: [(&'static str, Self); 15] = [
        ("case", Self::Case),
        ("on", Self::On),
        ("account", Self::Account),
        ("provider", Self::Provider),
        ("shows", Self::Shows),
        ("authenticated", Self::Authenticated),
        ("verified", Self::Verified),
        ("email", Self::Email),
        ("tenant", Self::Tenant),
        ("organization", Self::Organization),
        ("client", Self::Client),
        ("asks for", Self::AsksFor),
        ("demands", Self::Demands),
        ("visit", Self::Visit),
        ("expected", Self::Expected),
    ];
}

/// What can be said of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KeyColumn {
    Case,
    Made,
    Under,
    Noticed,
    Ends,
}

impl KeyColumn {
    pub(super) const NAMES: [(&'static str, Self); 5] = [
        ("case", Self::Case),
        ("key made", Self::Made),
        ("under", Self::Under),
        ("noticed", Self::Noticed),
        ("ends", Self::Ends),
    ];
}

/// What is said of one sign-in, by column.
#[derive(Debug, Clone, Default)]
pub struct Words<'a>(BTreeMap<Column, &'a str>);

impl<'a> Words<'a> {
    /// Empty words say nothing.
    pub fn new(words: impl IntoIterator<Item = (Column, &'a str)>) -> Self {
        let trimmed = words
            .into_iter()
            .map(|(column, text)| (column, text.trim()));
        Self(trimmed.filter(|(_, text)| !text.is_empty()).collect())
    }

    pub(super) fn of(&self, column: Column) -> Option<&'a str> {
        self.0.get(&column).copied()
    }
}
