//! Policy files of any size.

use std::fmt::Write;

const HEAD: &str = r#"version = 1
[proof.microsoft]
acr = ["urn:microsoft:policies:mfa"]
[proof.okta]
acr = ["urn:okta:loa:2fa:any", "phr"]
[proof.github]
two_factor_authentication = true
[methods]
never = ["sms", "tel"]
phishing_resistant = { acr = ["phr", "phrh"] }
[tier.browse]
scopes = ["packages:read", "profile"]
needs = "none"
[tier.manage]
scopes = ["packages:manage", "tokens:write", "collaborators:write"]
needs = "mfa"
accepts = ["session", "enrolment"]
[tier.publish]
scopes = ["packages:publish", "packages:unpublish"]
needs = "mfa"
accepts = ["session", "enrolment"]
max_evidence_age = "12h"
[client.gallery]
tier = "manage"
[client.lobby]
tier = "browse"
"#;

const CALENDAR: &str = r#"[calendar]
new_accounts_from = 2027-03-08
existing_accounts = { from = 2027-03-08, until = 2027-05-08 }
before_due = "remind"
"#;

/// A policy with rules for so many organisations, and a calendar.
pub(crate) fn policy(organizations: usize) -> String {
    with_organizations(format!("{HEAD}{CALENDAR}"), organizations)
}

/// The same, for everybody at once.
pub(crate) fn stricter_policy(organizations: usize) -> String {
    with_organizations(HEAD.to_owned(), organizations)
}

fn with_organizations(mut text: String, count: usize) -> String {
    for number in 0..count {
        write!(
            text,
            "[organization.organization-{number}]\n\
             tenants = [\"6e93a626-8aca-4dc1-9191-{number:012x}\"]\n\
             stricter.publish = {{ needs = \"phishing-resistant\", max_evidence_age = \"{}m\" }}\n",
            number % 60 + 1
        )
        .expect("a text grows");
    }
    text
}
