//! `countersign keys`: which keys there are; replacing, withdrawing and sealing them. No key is ever told.

mod listing;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use countersign::config::Installation;
use countersign_server::{
    By, Clock, Event, Happening, KeyState, KeyTold, Rotated, Subject, SystemClock, SystemEntropy,
    Vault,
};

use self::listing::Listing;
use super::trail::Trail;
use super::{load, say, store, tell};

/// What is written after `countersign keys list`.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
}

/// What is written after `countersign keys rotate`.
#[derive(Debug, Args)]
pub(crate) struct RotateArguments {
    /// What the keys are for, as `countersign keys list` names it; without any: all that are ever replaced
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// What is written after `countersign keys retire`.
#[derive(Debug, Args)]
pub(crate) struct RetireArguments {
    /// Which key: the id that `countersign keys list` tells, the `kid` of tokens
    // A digest in base64url: one in 64 begins with a hyphen.
    #[arg(value_name = "ID", allow_hyphen_values = true)]
    id: String,
    /// Do it
    #[arg(long)]
    yes: bool,
}

/// What is written after `countersign keys reseal`.
#[derive(Debug, Args)]
pub(crate) struct ResealArguments {
    /// Write them unsealed: the configuration has no `keys.master_secret` any more
    #[arg(long)]
    plain: bool,
}

pub(crate) fn list(list: &ListArguments, configuration: &Path) -> ExitCode {
    with_keys(configuration, async |vault, _, _| {
        let listing = Listing(vault.list(SystemClock.now()).await?);
        if list.json {
            say(format_args!("{}", serde_json::to_string_pretty(&listing)?))?;
        } else {
            say(format_args!("{listing}"))?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

pub(crate) fn rotate(rotate: &RotateArguments, configuration: &Path) -> ExitCode {
    with_keys(configuration, async |vault, _, trail| {
        let names = if rotate.names.is_empty() {
            vault.replaceable().await?
        } else {
            rotate.names.clone()
        };
        trail.check().await?;
        for name in names {
            let now = SystemClock.now();
            match vault.rotate(&name, &SystemEntropy, now).await? {
                Rotated::From(from, id) => {
                    let happening = Happening::new(Event::KeyRotated, By::Operator)
                        .about(Subject::KeyName, &name)
                        .about(Subject::Key, &id);
                    trail.note(happening).await?;
                    say(format_args!("{name}: {id} is used from {from:.0}"))?;
                }
                Rotated::Already(from, id) => {
                    say(format_args!(
                        "{name}: {id} is used from {from:.0}, as was said before"
                    ))?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

pub(crate) fn retire(retire: &RetireArguments, configuration: &Path) -> ExitCode {
    with_keys(configuration, async |vault, _, trail| {
        let now = SystemClock.now();
        let key = vault.to_be_retired(&retire.id, now).await?;
        if !retire.yes {
            tell(format_args!(
                "{} is the {} key of `{}`. {}\nNothing was done; add `--yes` to do it.",
                key.id,
                key.state,
                key.name,
                consequence(&key)
            ));
            return Ok(ExitCode::FAILURE);
        }
        trail.check().await?;
        let retired = vault.retire(&retire.id, &SystemEntropy, now).await?;
        let name = &retired.name;
        let happening = Happening::new(Event::KeyRetired, By::Operator)
            .about(Subject::KeyName, name)
            .about(Subject::Key, &key.id);
        trail.note(happening).await?;
        match retired.current {
            Some(current) => say(format_args!(
                "{name}: {} is withdrawn; {current} is used",
                key.id
            ))?,
            None => say(format_args!("{name}: {} is withdrawn", key.id))?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

pub(crate) fn reseal(reseal: &ResealArguments, configuration: &Path) -> ExitCode {
    with_keys(configuration, async |vault, seals, trail| {
        match (seals, reseal.plain) {
            (Seals::Nothing, false) => {
                tell(format_args!(
                    "`keys.master_secret` is not set in `{}`; to keep the keys unsealed from now on, add `--plain`",
                    configuration.display()
                ));
                return Ok(ExitCode::FAILURE);
            }
            (Seals::Keys, true) => {
                tell(format_args!(
                    "`keys.master_secret` is set in `{}`, and a server seals the keys at its start; name it \
                     in `keys.previous_master_secret` instead",
                    configuration.display()
                ));
                return Ok(ExitCode::FAILURE);
            }
            (Seals::Nothing, true) | (Seals::Keys, false) => {}
        }
        trail.check().await?;
        let (changed, all) = vault.reseal(&SystemEntropy).await;
        let how = if reseal.plain { "unsealed" } else { "sealed" };
        let noted = if changed > 0 {
            let happening = Happening::new(Event::KeysResealed, By::Operator)
                .about(Subject::Count, changed)
                .because(how);
            trail.note(happening).await
        } else {
            Ok(())
        };
        all?;
        noted?;
        say(format_args!(
            "{changed} names were {how} anew, all others are as they must be"
        ))?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Whether the configuration seals keys.
#[derive(Debug, Clone, Copy)]
enum Seals {
    Keys,
    Nothing,
}

/// Opens the keys of this installation, and does something with them.
fn with_keys(
    configuration: &Path,
    work: impl AsyncFnOnce(Vault, Seals, Trail) -> Result<ExitCode>,
) -> ExitCode {
    let Some(installation) = load(configuration) else {
        return ExitCode::FAILURE;
    };
    match open(installation, work) {
        Ok(code) => code,
        Err(error) => {
            tell(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn open(
    installation: Installation,
    work: impl AsyncFnOnce(Vault, Seals, Trail) -> Result<ExitCode>,
) -> Result<ExitCode> {
    let store = store::to_change(&installation)?;
    let seals = match installation.keys.secrets.current {
        Some(_) => Seals::Keys,
        None => Seals::Nothing,
    };
    let trail = Trail::of(&installation, Arc::clone(&store));
    let vault = Vault::new(store, installation.keys.secrets);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(work(vault, seals, trail))
}

/// What it means for people and services.
fn consequence(key: &KeyTold) -> &'static str {
    let signs = key.name.starts_with("sign-");
    match (key.state, signs) {
        (KeyState::Standby | KeyState::Next, _) => "Nothing rests on it yet: nobody will notice.",
        (KeyState::Gone, _) => "Nothing rests on it any more: nobody will notice.",
        (KeyState::Current | KeyState::Retiring, true) => {
            "Every token that it has signed will be refused: by this installation within ten seconds, by services \
             once they fetch the key set anew. Where a service can't reach /jwks.json it may take that key for good \
             for a day: revoke sessions, or restart such services. Clients get new tokens when they refresh."
        }
        (KeyState::Current | KeyState::Retiring, false) => {
            "Whatever it has sealed will be refused within ten seconds: people who are signing in begin anew, \
             and whose session or refresh token it has sealed sign in again."
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Retire {
        #[command(flatten)]
        arguments: RetireArguments,
    }

    #[test]
    fn an_id_that_begins_with_a_hyphen_is_no_option() {
        for id in [
            "-hYbDqbuPYwaQBQytZ3w26VkQLLYAeTdwxvFGIsMqC0",
            "--YbDqbuPYwaQBQytZ3w26VkQLLYAeTdwxvFGIsMqC0",
            "bHYbDqbuPYwaQBQytZ3w26VkQLLYAeTdwxvFGIsMqC0",
        ] {
            let read = Retire::try_parse_from(["retire", id, "--yes"])
                .unwrap()
                .arguments;
            assert_eq!((read.id.as_str(), read.yes), (id, true));
        }
        assert!(Retire::try_parse_from(["retire", "--help"]).is_err());
        assert!(Retire::try_parse_from(["retire", "--yes"]).is_err());
    }
}
