//! The playground's calendar, which counts from today and so can't stand in a file; and who was at
//! the registry before it.

use countersign_core::Identity;
use countersign_core::calendar::midnight;
use countersign_providers::github::Site;
use countersign_store::{RegistryAccountName, RegistryRow};
use jiff::ToSpan;
use jiff::civil::{Date, date};
use url::Url;

/// The stand-in's GitHub account that is older than the requirement.
const VERA: u64 = 1012;

/// The policy with a calendar, unless it has one: who comes from today on must from the beginning,
/// who was there before has some weeks.
pub(crate) fn with_calendar(policy: &str, today: Date) -> String {
    if policy.lines().any(|line| line.trim() == "[calendar]") {
        return policy.to_owned();
    }
    let (first, last) = (
        today.saturating_add(14.days()),
        today.saturating_add(60.days()),
    );
    format!(
        "{policy}
# Added at the start: days that stood here would be past one day.
[calendar]
new_accounts_from = {today}
existing_accounts = {{ from = {first}, until = {last} }}
before_due = \"remind\"
ratchet = true
"
    )
}

/// Accounts that the registry made long before today, as it would import them. The second is the operator's of the
/// policy: an id that stands in a file must be known before anybody has signed in.
pub(crate) fn long_standing(github: &Site, oidc: &Url) -> anyhow::Result<Vec<RegistryRow>> {
    let vera = RegistryRow {
        name: RegistryAccountName::new("vera")?,
        registered_at: midnight(date(2019, 5, 4)),
        identity: Some(Identity::GitHub {
            host: github.host().to_owned(),
            id: VERA,
        }),
        verified_email: None,
    };
    let pia = RegistryRow {
        name: RegistryAccountName::new("pia")?,
        registered_at: midnight(date(2018, 3, 2)),
        identity: Some(Identity::Oidc {
            issuer: oidc.to_string(),
            subject: "sub-pia-passkey".to_owned(),
        }),
        verified_email: None,
    };
    Ok(vec![vera, pia])
}

#[cfg(test)]
mod tests {
    use countersign_core::Policy;
    use countersign_core::calendar::{BeforeDue, Period};

    use super::*;
    use crate::POLICY;

    #[test]
    fn the_calendar_counts_from_today() {
        let text = with_calendar(POLICY, date(2027, 3, 8));
        let policy = Policy::parse("playground/policy.toml", &text).unwrap();
        let calendar = policy.calendar().unwrap();
        assert_eq!(calendar.new_accounts_from, date(2027, 3, 8));
        let weeks = Period {
            from: date(2027, 3, 22),
            until: date(2027, 5, 7),
        };
        assert_eq!(calendar.existing_accounts, Some(weeks));
        assert_eq!(calendar.before_due, BeforeDue::Remind);
    }

    #[test]
    fn a_calendar_that_stands_in_the_file_is_left_alone() {
        let own = format!("{POLICY}\n[calendar]\nnew_accounts_from = 2027-03-08\n");
        assert_eq!(with_calendar(&own, date(2027, 3, 8)), own);
    }
}
