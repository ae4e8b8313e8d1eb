//! `countersign policy exceptions`: what is waived, for whom, until when, and how much it is used.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::process::ExitCode;

use clap::Args;
use countersign_core::{AccountId, ExceptionName, Occasion, Record, Standing, Subject};
use countersign_server::{Clock, SystemClock};
use jiff::Timestamp;
use serde::Serialize;

use super::log::OptionalLog;
use super::source::Source;
use crate::commands::exceptions::{Known, Origin, asked_for, of_file};
use crate::commands::{store, tell};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    log: OptionalLog,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  countersign policy exceptions policy.toml
  countersign policy exceptions --against /var/lib/countersign

The soonest to end comes first. Those that organizations asked for and were granted are listed too, unless a
policy file alone is named. With recorded decisions it also tells how often each was used, and which are
used in them that are not there any more.";

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let Some(chosen) = arguments.source.read() else {
        return ExitCode::FAILURE;
    };
    let mut known = of_file(&chosen.policy.policy);
    match arguments.asked_for() {
        Ok(asked_for) => known.extend(asked_for),
        Err(error) => {
            let what = "what organizations asked for can't be read";
            tell(format_args!(
                "{what}: {error:#}; name a policy file alone to list what is in it"
            ));
            return ExitCode::FAILURE;
        }
    }
    match arguments.list(&known, SystemClock.now()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

impl Arguments {
    /// What the installation's organisations asked for and were granted. A policy file alone is of none, and one that was
    /// never started has no store.
    fn asked_for(&self) -> anyhow::Result<Vec<Known>> {
        let Some(installation) = self.source.installation() else {
            return Ok(Vec::new());
        };
        let Some(store) = store::to_look_if_there(&installation)? else {
            return Ok(Vec::new());
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        Ok(runtime.block_on(asked_for(store.as_ref()))?)
    }

    fn list(&self, known: &[Known], now: Timestamp) -> Result<(), ExitCode> {
        let Some(log) = self.log.named() else {
            return self.print(&Listing::of(known, None, now));
        };
        let (uses, told) = log.sum("read", Uses::add, Uses::merge)?;
        self.print(&Listing::of(known, Some(&uses), now))?;
        log.judge(&told)
    }

    fn print(&self, listing: &Listing<'_>) -> Result<(), ExitCode> {
        if self.json {
            super::print(format_args!("{:#}\n", serde_json::json!(listing)))
        } else {
            super::print(listing)
        }
    }
}

/// How much each exception was used.
#[derive(Debug, Default)]
struct Uses(BTreeMap<ExceptionName, Use>);

/// How much one exception was used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Use {
    sign_ins: u64,
    tokens: u64,
    #[serde(serialize_with = "count")]
    accounts: BTreeSet<AccountId>,
    last: Option<Timestamp>,
}

impl Uses {
    fn add(&mut self, record: &Record) {
        let Some(name) = &record.verdict.waiver else {
            return;
        };
        let used = self.0.entry(name.clone()).or_default();
        match record.occasion {
            Occasion::SignIn | Occasion::SingleSignOn => used.sign_ins += 1,
            Occasion::Token
            | Occasion::Refresh
            | Occasion::Exchange
            | Occasion::Gate
            | Occasion::ApiKey => {
                used.tokens += 1;
            }
        }
        used.accounts.insert(record.facts.account.id.clone());
        used.last = used.last.max(Some(record.time));
    }

    fn merge(&mut self, more: Self) {
        for (name, one) in more.0 {
            let used = self.0.entry(name).or_default();
            used.sign_ins += one.sign_ins;
            used.tokens += one.tokens;
            used.accounts.extend(one.accounts);
            used.last = used.last.max(one.last);
        }
    }
}

fn count<S: serde::Serializer>(all: &BTreeSet<AccountId>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(all.len() as u64)
}

/// All exceptions, the soonest to end first.
#[derive(Debug, Serialize)]
struct Listing<'a> {
    exceptions: Vec<Listed<'a>>,
    /// Used in the log, and not there any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    elsewhere: Vec<Elsewhere<'a>>,
}

#[derive(Debug, Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    known: &'a Known,
    standing: Standing,
    days_left: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<Use>,
}

#[derive(Debug, Serialize)]
struct Elsewhere<'a> {
    name: &'a ExceptionName,
    used: &'a Use,
}

impl<'a> Listing<'a> {
    fn of(known: &'a [Known], uses: Option<&'a Uses>, now: Timestamp) -> Self {
        let listed = known.iter().map(|known| Listed {
            known,
            standing: known.exception.standing(now),
            days_left: known.exception.days_left(now),
            used: uses.map(|uses| uses.0.get(&known.name).cloned().unwrap_or_default()),
        });
        let mut exceptions: Vec<Listed<'a>> = listed.collect();
        // What has ended stands last: there is nothing to do about it but to remove it.
        exceptions.sort_by_key(|one| (one.standing == Standing::Ended, one.known.exception.until));
        let is_gone = |name: &ExceptionName| known.iter().all(|one| one.name != *name);
        let used = uses.into_iter().flat_map(|uses| &uses.0);
        let elsewhere = used
            .filter(|(name, _)| is_gone(name))
            .map(|(name, used)| Elsewhere { name, used })
            .collect();
        Self {
            exceptions,
            elsewhere,
        }
    }
}

impl Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.exceptions.is_empty() {
            writeln!(f, "no exceptions")?;
        }
        for (index, one) in self.exceptions.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{one}")?;
        }
        for one in &self.elsewhere {
            writeln!(
                f,
                "\n{}: not there any more\n  used: {}",
                one.name, one.used
            )?;
        }
        Ok(())
    }
}

impl Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Known {
            name,
            exception: one,
            origin,
        } = self.known;
        let waives: Vec<&str> = one.waives.iter().map(String::as_str).collect();
        writeln!(f, "{name}: {}", self.how_long())?;
        match &one.subject {
            Subject::Organization(id) => writeln!(f, "  for: organization {id}")?,
            Subject::Account(id) => writeln!(f, "  for: account {id}")?,
        }
        writeln!(f, "  waives: {}", waives.join(", "))?;
        writeln!(f, "  reason: {}", one.reason)?;
        writeln!(f, "  approved by: {}", one.approved_by)?;
        let origin = match origin {
            Origin::PolicyFile => "the policy file",
            Origin::AskedFor => "asked for by the organization",
        };
        writeln!(f, "  from: {origin}")?;
        match &self.used {
            Some(used) => writeln!(f, "  used: {used}"),
            None => Ok(()),
        }
    }
}

impl Listed<'_> {
    fn how_long(&self) -> String {
        let until = self.known.exception.until;
        let left = match self.days_left {
            1 => "1 day left".to_owned(),
            days => format!("{days} days left"),
        };
        match self.standing {
            Standing::InForce => format!("in force until {until} ({left})"),
            Standing::Ending => format!("ending on {until} ({left})"),
            Standing::Ended => format!("ended on {until}"),
        }
    }
}

impl Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(last) = self.last else {
            return f.write_str("never");
        };
        let counted = |count: u64, one: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {one}s"),
        };
        write!(
            f,
            "{} and {} by {}, last at {last}",
            counted(self.sign_ins, "sign-in"),
            counted(self.tokens, "token"),
            counted(self.accounts.len() as u64, "account"),
        )
    }
}

#[cfg(test)]
mod tests {
    use countersign_core::Policy;

    use super::*;

    const POLICY: &str = r#"version = 1
[proof.github]
two_factor_authentication = true
[tier.publish]
scopes = ["packages:publish"]
needs = "mfa"
accepts = ["enrolment"]
[client.gallery]
tier = "publish"
[exception.bank]
organization = "contoso-bank"
reason = "card-controlled rooms, no phones"
approved_by = "security@registry.example"
until = 2027-09-30
waives = ["publish"]
[exception.broken-key]
account = "acct_1"
reason = "a broken security key"
approved_by = "security@registry.example"
until = 2027-09-10
waives = ["publish"]
[exception.past]
account = "acct_2"
reason = "moving house"
approved_by = "security@registry.example"
until = 2027-08-31
waives = ["publish"]
"#;

    /// Those of the file, of which one was asked for.
    fn known() -> Vec<Known> {
        let policy = Policy::parse("policy.toml", POLICY);
        let mut known = of_file(&policy.unwrap_or_else(|problems| panic!("{problems}")));
        let bank = known.iter_mut().find(|one| one.name.as_str() == "bank");
        bank.unwrap().origin = Origin::AskedFor;
        known
    }

    fn noon() -> Timestamp {
        "2027-09-09T12:00:00Z".parse().unwrap()
    }

    fn line(occasion: &str, account: &str, time: &str, waiver: &str) -> Record {
        let line = format!(
            r#"{{"v":1,"time":"{time}","request_id":"r","occasion":"{occasion}","policy":"sha256:00",
            "verdict":{{"outcome":"permit","rule":"exception.{waiver}","waiver":"{waiver}"}},"facts":{{
            "client":"gallery","scopes":["openid"],"login":{{"provider":"github","verified_at":"{time}"}},
            "account":{{"id":"{account}","made_at":"{time}","spread":0}},"remedy":"nothing"}}}}"#
        );
        serde_json::from_str(&line).unwrap()
    }

    fn uses() -> Uses {
        let mut first = Uses::default();
        first.add(&line("sign-in", "acct_7", "2027-09-01T08:00:00Z", "bank"));
        first.add(&line("token", "acct_7", "2027-09-01T08:00:01Z", "bank"));
        let mut second = Uses::default();
        second.add(&line("sign-in", "acct_8", "2027-09-02T08:00:00Z", "bank"));
        second.add(&line("sign-in", "acct_9", "2027-07-01T08:00:00Z", "gone"));
        first.merge(second);
        first
    }

    #[test]
    fn the_soonest_to_end_comes_first_and_what_has_ended_last() {
        assert_eq!(
            Listing::of(&known(), None, noon()).to_string(),
            "broken-key: ending on 2027-09-10 (2 days left)\n\
             \x20 for: account acct_1\n\
             \x20 waives: publish\n\
             \x20 reason: a broken security key\n\
             \x20 approved by: security@registry.example\n\
             \x20 from: the policy file\n\
             \n\
             bank: in force until 2027-09-30 (22 days left)\n\
             \x20 for: organization contoso-bank\n\
             \x20 waives: publish\n\
             \x20 reason: card-controlled rooms, no phones\n\
             \x20 approved by: security@registry.example\n\
             \x20 from: asked for by the organization\n\
             \n\
             past: ended on 2027-08-31\n\
             \x20 for: account acct_2\n\
             \x20 waives: publish\n\
             \x20 reason: moving house\n\
             \x20 approved by: security@registry.example\n\
             \x20 from: the policy file\n"
        );
    }

    #[test]
    fn recorded_decisions_tell_how_much_each_was_used() {
        let uses = uses();
        let known = known();
        let listing = Listing::of(&known, Some(&uses), noon()).to_string();
        let used: Vec<&str> = listing
            .lines()
            .filter(|line| line.contains("used"))
            .collect();
        assert_eq!(
            used,
            [
                "  used: never",
                "  used: 2 sign-ins and 1 token by 2 accounts, last at 2027-09-02T08:00:00Z",
                "  used: never",
                "  used: 1 sign-in and 0 tokens by 1 account, last at 2027-07-01T08:00:00Z",
            ]
        );
        assert!(
            listing.contains("\ngone: not there any more\n"),
            "{listing}"
        );
    }

    #[test]
    fn programs_get_the_same() {
        let (known, uses) = (known(), uses());
        let json = serde_json::json!(Listing::of(&known, Some(&uses), noon()));
        assert_eq!(
            json["exceptions"][1],
            serde_json::json!({
                "name": "bank",
                "organization": "contoso-bank",
                "reason": "card-controlled rooms, no phones",
                "approved_by": "security@registry.example",
                "until": "2027-09-30",
                "waives": ["publish"],
                "origin": "asked-for",
                "standing": "in-force",
                "days_left": 22,
                "used": {"sign_ins": 2, "tokens": 1, "accounts": 2, "last": "2027-09-02T08:00:00Z"},
            })
        );
        assert_eq!(json["elsewhere"][0]["name"], "gone");
    }

    #[test]
    fn where_there_is_none_that_is_said() {
        let listing = Listing::of(&[], None, noon());
        assert_eq!(listing.to_string(), "no exceptions\n");
        assert_eq!(
            serde_json::json!(listing),
            serde_json::json!({"exceptions": []})
        );
    }
}
