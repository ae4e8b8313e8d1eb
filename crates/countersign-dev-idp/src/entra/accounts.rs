//! The people of Entra and of the consumer tenant.

use serde_json::{Value, json};

use super::realm::{CONTOSO, FABRIKAM, MICROSOFT_ACCOUNTS};

/// One account.
#[derive(Clone, Debug)]
pub struct Account {
    /// The `account` parameter that picks it.
    pub id: String,
    /// What the page says.
    pub label: String,
    /// The GUID of the home tenant; [`MICROSOFT_ACCOUNTS`] for a personal account.
    pub home: String,
    /// The object id in the home tenant.
    pub oid: String,
    pub name: Option<String>,
    pub preferred_username: Option<String>,
    pub email: Option<String>,
    /// `xms_edov` as it is sent when the optional claim is on; `None` leaves it out.
    pub email_domain_owner_verified: Option<Value>,
    pub second_factor: SecondFactor,
    pub answer: Answer,
    /// Another account that answers in its stead when a second factor is demanded.
    pub switches_to: Option<String>,
    pub guest_in: Vec<Guest>,
    /// Directory roles in the home tenant, by template id, besides the one that everybody has.
    pub directory_roles: Vec<String>,
    /// Object ids of groups in the home tenant.
    pub groups: Vec<String>,
    /// App roles (`roles`) in the home tenant.
    pub app_roles: Vec<String>,
    /// `amr` of a v1.0 token, without and with the second factor.
    pub v1_amr: [Vec<String>; 2],
}

/// A guest object in another tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    pub tenant: String,
    /// The object id there.
    pub oid: String,
    /// `idp`: the home tenant's `https://sts.windows.net/{tid}/`, or `live.com`.
    pub idp: String,
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
    /// Not there: a demand ends on Microsoft's page, from where the person can only cancel.
    Lacking,
    /// Demands have no effect: the answer comes without.
    IgnoresDemands,
}

/// What happens when the account is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    SignsIn,
    /// `access_denied` with `error_subcode=cancel`.
    Cancels,
    /// `access_denied`, AADSTS65004.
    DeclinesConsent,
    /// AADSTS53003 on Microsoft's page: no redirect.
    BlockedByPolicy,
    /// AADSTS500121 on Microsoft's page: no redirect.
    FailsSecondFactor,
    /// `invalid_client`, AADSTS65005: the tenant is unmanaged.
    TenantUnmanaged,
    /// `server_error`, with a description that has markup in it.
    ServerFails,
}

/// The template id of the directory role *Global Administrator*.
pub const GLOBAL_ADMINISTRATOR: &str = "62e90394-69f5-4237-9190-012177145e10";
/// The one that every member of a tenant has.
const EVERY_MEMBER: &str = "b79fbf4d-3ef9-4689-8143-76b194e85509";
/// The one that every guest has.
const EVERY_GUEST: &str = "10dae51f-b6af-4016-8d66-8c2a99b929b3";

impl Account {
    /// `wids` in the home tenant, or elsewhere.
    pub(super) fn wids(&self, is_guest: bool) -> Vec<&str> {
        if is_guest {
            return vec![EVERY_GUEST];
        }
        let own = self.directory_roles.iter().map(String::as_str);
        std::iter::once(EVERY_MEMBER).chain(own).collect()
    }
}

pub(super) fn usual() -> Vec<Account> {
    let mut accounts = work();
    accounts.extend(odd_work());
    accounts.extend(guests());
    accounts.extend(personal());
    accounts
}

fn work() -> Vec<Account> {
    use SecondFactor::{Always, EnrolsWhenDemanded, IgnoresDemands, Lacking, WhenDemanded};
    vec![
        member(1, "ann-mfa", "Ann", "multi-factor", Always),
        member(2, "bob-password", "Bob", "password only", Lacking),
        Account {
            answer: Answer::DeclinesConsent,
            ..member(3, "cleo-declines", "Cleo", "declines consent", Always)
        },
        Account {
            answer: Answer::Cancels,
            ..member(4, "dana-cancels", "Dana", "cancels", Always)
        },
        member(
            5,
            "eve-enrols",
            "Eve",
            "enrols when asked",
            EnrolsWhenDemanded,
        ),
        Account {
            switches_to: Some("ann-mfa".to_owned()),
            ..member(
                6,
                "mallory-switches",
                "Mallory",
                "signs in as someone else on step-up",
                Lacking,
            )
        },
        member(
            7,
            "olaf-ignores",
            "Olaf",
            "ignores demands for a second factor",
            IgnoresDemands,
        ),
        member(
            8,
            "wes-when-asked",
            "Wes",
            "second factor when demanded",
            WhenDemanded,
        ),
    ]
}

fn odd_work() -> Vec<Account> {
    use SecondFactor::{Always, Lacking};
    vec![
        Account {
            answer: Answer::BlockedByPolicy,
            ..member(
                9,
                "paul-blocked",
                "Paul",
                "blocked by the tenant's policy",
                Always,
            )
        },
        Account {
            answer: Answer::FailsSecondFactor,
            ..member(
                10,
                "fiona-fails",
                "Fiona",
                "fails the second factor",
                Always,
            )
        },
        Account {
            answer: Answer::TenantUnmanaged,
            ..member(11, "ulf-unmanaged", "Ulf", "tenant is unmanaged", Always)
        },
        Account {
            answer: Answer::ServerFails,
            ..member(
                12,
                "fritz-fails",
                "Fritz",
                "the server fails, with markup in its words",
                Always,
            )
        },
        Account {
            email: None,
            ..member(13, "ned-no-email", "Ned", "multi-factor, no e-mail", Always)
        },
        Account {
            home: FABRIKAM.to_owned(),
            email: Some("ann@contoso.example".to_owned()),
            email_domain_owner_verified: Some(json!(false)),
            ..member(
                14,
                "nora-noauth",
                "Nora",
                "another tenant, Ann's e-mail address",
                Always,
            )
        },
        Account {
            directory_roles: vec![GLOBAL_ADMINISTRATOR.to_owned()],
            ..member(
                19,
                "ada-admin",
                "Ada",
                "multi-factor, Global Administrator",
                Always,
            )
        },
        Account {
            home: FABRIKAM.to_owned(),
            directory_roles: vec![GLOBAL_ADMINISTRATOR.to_owned()],
            ..member(
                20,
                "fred-admin",
                "Fred",
                "another tenant, multi-factor, Global Administrator",
                Always,
            )
        },
        Account {
            home: FABRIKAM.to_owned(),
            ..member(
                15,
                "fay-fabrikam",
                "Fay",
                "another tenant, multi-factor",
                Always,
            )
        },
        Account {
            home: FABRIKAM.to_owned(),
            ..member(
                16,
                "finn-fabrikam",
                "Finn",
                "another tenant, password only",
                Lacking,
            )
        },
    ]
}

fn guests() -> Vec<Account> {
    vec![
        Account {
            home: FABRIKAM.to_owned(),
            guest_in: vec![Guest {
                tenant: CONTOSO.to_owned(),
                oid: oid(117),
                idp: format!("https://sts.windows.net/{FABRIKAM}/"),
            }],
            ..member(
                17,
                "gus-guest",
                "Gus",
                "guest in contoso, multi-factor",
                SecondFactor::Always,
            )
        },
        Account {
            guest_in: vec![Guest {
                tenant: CONTOSO.to_owned(),
                oid: oid(118),
                idp: "live.com".to_owned(),
            }],
            ..consumer(
                18,
                "gail-guest",
                "Gail",
                "guest in contoso, multi-factor",
                SecondFactor::Always,
            )
        },
    ]
}

fn personal() -> Vec<Account> {
    use SecondFactor::{Always, EnrolsWhenDemanded, IgnoresDemands, Lacking, WhenDemanded};
    vec![
        consumer(21, "mia-mfa", "Mia", "multi-factor", Always),
        consumer(22, "ben-password", "Ben", "password only", Lacking),
        Account {
            answer: Answer::DeclinesConsent,
            ..consumer(23, "carl-declines", "Carl", "declines consent", Always)
        },
        Account {
            answer: Answer::Cancels,
            ..consumer(24, "dora-cancels", "Dora", "cancels", Always)
        },
        consumer(
            25,
            "ella-enrols",
            "Ella",
            "enrols when asked",
            EnrolsWhenDemanded,
        ),
        Account {
            switches_to: Some("mia-mfa".to_owned()),
            ..consumer(
                26,
                "max-switches",
                "Max",
                "signs in as someone else on step-up",
                Lacking,
            )
        },
        consumer(
            27,
            "omar-ignores",
            "Omar",
            "ignores demands for a second factor",
            IgnoresDemands,
        ),
        consumer(
            28,
            "will-when-asked",
            "Will",
            "second factor when demanded",
            WhenDemanded,
        ),
    ]
}

fn member(number: u32, id: &str, name: &str, what: &str, second_factor: SecondFactor) -> Account {
    let address = format!("{}@contoso.example", name.to_lowercase());
    Account {
        id: id.to_owned(),
        label: format!("{name} — {what}"),
        home: CONTOSO.to_owned(),
        oid: oid(number),
        name: Some(name.to_owned()),
        preferred_username: Some(address.clone()),
        email: Some(address),
        email_domain_owner_verified: Some(json!(true)),
        second_factor,
        answer: Answer::SignsIn,
        switches_to: None,
        guest_in: Vec::new(),
        directory_roles: Vec::new(),
        groups: Vec::new(),
        app_roles: Vec::new(),
        v1_amr: [strings(&["pwd"]), strings(&["pwd", "mfa"])],
    }
}

/// A personal account's `oid` is its 64-bit number, dressed as a GUID.
fn consumer(number: u32, id: &str, name: &str, what: &str, second_factor: SecondFactor) -> Account {
    let address = format!("{}@outlook.example", name.to_lowercase());
    Account {
        label: format!("{name} — personal account, {what}"),
        home: MICROSOFT_ACCOUNTS.to_owned(),
        oid: format!("00000000-0000-0000-0ae4-5d63e22e{number:04x}"),
        preferred_username: Some(address.clone()),
        email: Some(address),
        ..member(number, id, name, what, second_factor)
    }
}

fn oid(number: u32) -> String {
    format!("690222be-ff1a-4d56-abd1-7e4f7d38{number:04x}")
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
