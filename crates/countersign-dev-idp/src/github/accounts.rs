//! The people of the GitHub stand-in.

/// One account.
#[derive(Clone, Debug)]
pub struct Account {
    /// The `account` parameter that picks it; it stays when the login changes.
    pub id: String,
    /// What the page says.
    pub label: String,
    pub login: String,
    /// The number that stays through renames.
    pub number: u64,
    pub name: Option<String>,
    pub two_factor: TwoFactor,
    pub emails: Vec<Email>,
    pub answer: Answer,
    /// The scopes the person leaves ticked; `None` grants all that is asked for.
    pub grants_only: Option<Vec<String>>,
    /// The organisations that it is in, or invited to.
    pub memberships: Vec<OrgMembership>,
}

/// `two_factor_authentication` as `GET /user` has it for those who may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TwoFactor {
    On,
    Off,
    /// The member is missing though the scope is there.
    Absent,
}

/// One address of `GET /user/emails`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    pub address: String,
    pub rank: EmailRank,
    pub verified: bool,
}

/// GitHub's `primary`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailRank {
    Primary,
    Secondary,
}

/// What happens when the account is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    SignsIn,
    /// `access_denied` on the callback.
    Refuses,
    /// `unverified_user_email` at the token endpoint.
    EmailUnverified,
    /// `application_suspended` on the callback.
    ApplicationSuspended,
}

pub(super) fn usual() -> Vec<Account> {
    let mut accounts = vec![
        account(1001, "ann-mfa", "ann", "two-factor on", TwoFactor::On),
        account(
            1002,
            "bob-password",
            "bob",
            "two-factor off",
            TwoFactor::Off,
        ),
        account(
            1003,
            "abe-absent",
            "abe",
            "two-factor not shown",
            TwoFactor::Absent,
        ),
    ];
    accounts.extend([
        Account {
            grants_only: Some(vec!["user:email".to_owned()]),
            ..account(
                1004,
                "nils-narrow",
                "nils",
                "unticks read:user",
                TwoFactor::On,
            )
        },
        Account {
            grants_only: Some(vec!["read:user".to_owned()]),
            ..account(
                1005,
                "nora-narrow",
                "nora",
                "unticks user:email",
                TwoFactor::On,
            )
        },
        Account {
            emails: vec![email("una@example.org", EmailRank::Primary, false)],
            ..account(
                1006,
                "una-unverified",
                "una",
                "two-factor on, e-mail not verified",
                TwoFactor::On,
            )
        },
        Account {
            answer: Answer::EmailUnverified,
            ..account(
                1007,
                "uli-no-token",
                "uli",
                "gets no token: unverified_user_email",
                TwoFactor::On,
            )
        },
        Account {
            answer: Answer::Refuses,
            ..account(
                1008,
                "cleo-declines",
                "cleo",
                "declines consent",
                TwoFactor::On,
            )
        },
        Account {
            answer: Answer::Refuses,
            ..account(1009, "dana-cancels", "dana", "cancels", TwoFactor::On)
        },
        Account {
            answer: Answer::ApplicationSuspended,
            ..account(
                1010,
                "sue-suspended",
                "sue",
                "application suspended",
                TwoFactor::On,
            )
        },
        account(
            1011,
            "zoe-managed",
            "zoe_corp",
            "enterprise-managed, two-factor off",
            TwoFactor::Off,
        ),
        account(
            1012,
            "vera-password",
            "vera",
            "two-factor off",
            TwoFactor::Off,
        ),
    ]);
    accounts.extend(in_organizations());
    accounts
}

fn in_organizations() -> Vec<Account> {
    vec![
        Account {
            memberships: vec![OrgMembership::active(2001, "acme", OrgRole::Admin)],
            ..account(
                1013,
                "olga-owner",
                "olga",
                "two-factor on, owns acme",
                TwoFactor::On,
            )
        },
        Account {
            memberships: vec![OrgMembership::active(2001, "acme", OrgRole::Member)],
            ..account(
                1014,
                "mei-member",
                "mei",
                "two-factor on, member of acme",
                TwoFactor::On,
            )
        },
    ]
}

/// What an account is in an organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrgMembership {
    /// The organisation's numeric id.
    pub number: u64,
    pub login: String,
    pub state: OrgState,
    pub role: OrgRole,
    /// Whether the organisation lets this application see it.
    pub is_visible: bool,
}

impl OrgMembership {
    /// An active one that can be seen.
    pub fn active(number: u64, login: &str, role: OrgRole) -> Self {
        Self {
            number,
            login: login.to_owned(),
            state: OrgState::Active,
            role,
            is_visible: true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrgState {
    Active,
    /// Invited, and nothing else yet.
    Pending,
}

impl OrgState {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrgRole {
    /// An owner.
    Admin,
    Member,
    BillingManager,
}

impl OrgRole {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
            Self::BillingManager => "billing_manager",
        }
    }
}

fn account(number: u64, id: &str, login: &str, what: &str, two_factor: TwoFactor) -> Account {
    Account {
        id: id.to_owned(),
        label: format!("{login} — {what}"),
        login: login.to_owned(),
        number,
        name: Some(login.to_owned()),
        two_factor,
        emails: vec![
            email(
                &format!("{login}@users.example.org"),
                EmailRank::Secondary,
                true,
            ),
            email(&format!("{login}@example.org"), EmailRank::Primary, true),
        ],
        answer: Answer::SignsIn,
        grants_only: None,
        memberships: Vec::new(),
    }
}

fn email(address: &str, rank: EmailRank, verified: bool) -> Email {
    Email {
        address: address.to_owned(),
        rank,
        verified,
    }
}
