//! The people of the plain provider.

use serde_json::{Value, json};

/// One account.
#[derive(Clone, Debug)]
pub struct Account {
    /// The `account` parameter that picks it.
    pub id: String,
    /// What the page says.
    pub label: String,
    pub sub: String,
    pub name: String,
    pub email: Option<String>,
    /// `email_verified` as it is sent; `None` leaves it out.
    pub email_verified: Option<Value>,
    /// `groups` as it is sent; `None` leaves it out.
    pub groups: Option<Value>,
    pub answer: Answer,
    pub second_factor: SecondFactor,
    /// What the token says of a login with a password alone.
    pub single: Evidence,
    /// What the token says of a login with a second factor.
    pub mfa: Evidence,
    /// Another account that answers in its stead when a second factor is demanded.
    pub switches_to: Option<String>,
}

/// What the person does at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    SignsIn,
    /// `access_denied`.
    Refuses,
    /// `temporarily_unavailable`, with a description that has markup in it.
    Fails,
}

/// Whether the account has a second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondFactor {
    /// Used at every login.
    Always,
    /// There, but used only when demanded.
    WhenDemanded,
    /// Not there; set up on the way when demanded.
    EnrolsWhenDemanded,
    Lacking,
    /// Demands have no effect: the token says what it says without.
    IgnoresDemands,
}

/// `amr` (of any JSON shape) and `acr`; `None` leaves the claim out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    pub amr: Option<Value>,
    /// `None` means no `acr`; the provider's own values stand in [`super::Behaviour`].
    pub acr: Option<String>,
}

impl Evidence {
    fn new(amr: Value, acr: &str) -> Self {
        Self {
            amr: Some(amr),
            acr: Some(acr.to_owned()),
        }
    }
}

pub(super) fn usual() -> Vec<Account> {
    let mut accounts = by_factor();
    accounts.extend(by_evidence());
    accounts.extend(by_answer());
    accounts
}

fn by_factor() -> Vec<Account> {
    vec![
        account("ann-mfa", "Ann", "multi-factor", SecondFactor::Always),
        account(
            "bob-password",
            "Bob",
            "password only",
            SecondFactor::Lacking,
        ),
        account(
            "wes-when-asked",
            "Wes",
            "second factor when demanded",
            SecondFactor::WhenDemanded,
        ),
        account(
            "eve-enrols",
            "Eve",
            "enrols when asked",
            SecondFactor::EnrolsWhenDemanded,
        ),
        account(
            "olaf-ignores",
            "Olaf",
            "ignores demands for a second factor",
            SecondFactor::IgnoresDemands,
        ),
    ]
}

fn by_evidence() -> Vec<Account> {
    vec![
        Account {
            mfa: Evidence::new(json!(["hwk", "pop", "user", "mfa"]), "phr"),
            ..account("pia-passkey", "Pia", "passkey", SecondFactor::Always)
        },
        Account {
            mfa: Evidence {
                amr: Some(json!("mfa")),
                acr: None,
            },
            ..account(
                "stan-string",
                "Stan",
                "amr is a string, no acr",
                SecondFactor::Always,
            )
        },
        Account {
            single: Evidence::default(),
            mfa: Evidence::default(),
            ..account(
                "nell-no-evidence",
                "Nell",
                "neither amr nor acr",
                SecondFactor::Lacking,
            )
        },
        Account {
            email_verified: Some(json!(false)),
            ..account(
                "una-unverified",
                "Una",
                "multi-factor, e-mail not verified",
                SecondFactor::Always,
            )
        },
        Account {
            email: None,
            email_verified: None,
            ..account(
                "ned-no-email",
                "Ned",
                "multi-factor, no e-mail",
                SecondFactor::Always,
            )
        },
    ]
}

fn by_answer() -> Vec<Account> {
    vec![
        Account {
            switches_to: Some("ann-mfa".to_owned()),
            ..account(
                "mallory-switches",
                "Mallory",
                "signs in as someone else on step-up",
                SecondFactor::Lacking,
            )
        },
        Account {
            answer: Answer::Refuses,
            ..account(
                "cleo-declines",
                "Cleo",
                "declines consent",
                SecondFactor::Always,
            )
        },
        Account {
            answer: Answer::Refuses,
            ..account("dana-cancels", "Dana", "cancels", SecondFactor::Always)
        },
        Account {
            answer: Answer::Fails,
            ..account(
                "fritz-fails",
                "Fritz",
                "the provider fails, with markup in its words",
                SecondFactor::Always,
            )
        },
    ]
}

fn account(id: &str, name: &str, what: &str, second_factor: SecondFactor) -> Account {
    Account {
        id: id.to_owned(),
        label: format!("{name} — {what}"),
        sub: format!("sub-{id}"),
        name: name.to_owned(),
        email: Some(format!("{}@example.org", name.to_lowercase())),
        email_verified: Some(json!(true)),
        groups: None,
        answer: Answer::SignsIn,
        second_factor,
        single: Evidence::new(json!(["pwd"]), "urn:dev-idp:single"),
        mfa: Evidence::new(json!(["pwd", "otp", "mfa"]), "urn:dev-idp:mfa"),
        switches_to: None,
    }
}
