//! `countersign api-keys list`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use countersign::config::Installation;
use countersign_core::{Policy, Scope};
use countersign_server::{Clock, SystemClock, api_key};
use countersign_store::{ApiKey, WithoutDigest};
use jiff::Timestamp;

use super::super::{say, store};
use super::select::Which;

/// What is written after `countersign api-keys list`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    which: Which,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(list: &Arguments, installation: &Installation) -> Result<ExitCode> {
    let store = store::to_look(installation)?;
    let keys = list.which.find(store.as_ref()).await?;
    let (policy, now) = (&installation.policy.policy, SystemClock.now());
    for key in &keys {
        if list.json {
            say(format_args!(
                "{}",
                serde_json::to_string(&WithoutDigest(key.clone()))?
            ))?;
        } else {
            say(format_args!("{}", line(key, policy, now)))?;
        }
    }
    if !list.json {
        say(format_args!("{} keys", keys.len()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is worth knowing of a key, on one line.
fn line(key: &ApiKey, policy: &Policy, now: Timestamp) -> String {
    let scopes: Vec<&str> = key.scopes.iter().map(Scope::as_str).collect();
    let under = match &key.under {
        Some(under) => match under.basis {
            Some(basis) => format!("{} ({basis})", under.level),
            None => under.level.to_string(),
        },
        None => "no login known".to_owned(),
    };
    format!(
        "{}  {}  {}  {}  {under}  {}",
        key.id,
        key.owner,
        key.client,
        scopes.join(","),
        standing(key, policy, now)
    )
}

fn standing(key: &ApiKey, policy: &Policy, now: Timestamp) -> String {
    let day = countersign_core::calendar::day_of;
    if let Some(at) = key.revoked_at {
        return format!("revoked on {}", day(at));
    }
    let ends = match api_key::ends_at(key, policy) {
        Some(end) if end <= now => format!("ended on {}", day(end)),
        Some(end) => format!("ends on {}", day(end)),
        None => "no good: the policy has no API keys".to_owned(),
    };
    match (api_key::notice(key, policy, now), key.first_notice_at) {
        (Some(notice), None) => format!("{ends}; to be told of {}", day(notice.end)),
        (Some(_), Some(told)) => format!("{ends}; told on {}", day(told)),
        (None, _) => ends,
    }
}
