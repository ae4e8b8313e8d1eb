//! `countersign audit verify`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};
use countersign::config::StoreSettings;
use countersign_server::{AuditFile, Begin, Verified, Verifier, replicas_at};
use countersign_store::{AuditHead, ReplicaId};

use super::super::{load, say, store, tell};
use super::lines::{self, Going};
use super::{With, must_be_on};

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// The files, in the order of their lines; without any: those of the configuration
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Hold them against the heads in this file, as `export` writes it, and not against the store
    #[arg(long, value_name = "FILE", requires = "files")]
    heads: Option<PathBuf>,
    /// How it is told
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    with: With,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people: what is wrong goes to stderr
    Text,
    /// For programs
    Json,
}

/// What the lines are held against.
struct Known {
    heads: Vec<AuditHead>,
    /// The chains that must be there, where they are told yet.
    own: Vec<ReplicaId>,
    files: Vec<AuditFile>,
    begin: Begin,
}

pub(super) fn run(arguments: &VerifyArguments) -> Result<ExitCode> {
    let known = match &arguments.heads {
        Some(heads) => of_file(heads, &arguments.files)?,
        None => match of_installation(arguments)? {
            Some(known) => known,
            None => return Ok(ExitCode::FAILURE),
        },
    };
    let mut verifier = Verifier::new(known.begin, &known.heads, &known.own);
    lines::walk(&known.files, |place, line| {
        verifier.line(place, line);
        Ok(Going::On)
    })?;
    let verified = verifier.end();
    report(&verified, arguments.format)?;
    Ok(if verified.findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Nobody else is asked: all that must be there are the chains of the heads.
fn of_file(heads: &Path, files: &[PathBuf]) -> Result<Known> {
    let name = heads.display();
    let text = fs::read(heads).with_context(|| format!("can't read `{name}`"))?;
    let heads: Vec<AuditHead> = serde_json::from_slice(&text)
        .map_err(|error| anyhow!("`{name}` is no list of heads as `export` writes it: {error}"))?;
    Ok(Known {
        begin: Begin::AfterAHead,
        own: chains_of(&heads),
        files: files
            .iter()
            .map(|path| lines::open(path))
            .collect::<Result<_>>()?,
        heads,
    })
}

fn of_installation(arguments: &VerifyArguments) -> Result<Option<Known>> {
    let Some(installation) = load(&arguments.with.config) else {
        return Ok(None);
    };
    // The heads first: a server that writes on has no fewer lines later.
    let heads = super::heads(&*store::to_look(&installation)?)?;
    let mut own = replicas_at(&installation.data_dir)?;
    if !arguments.files.is_empty() {
        return Ok(Some(Known {
            begin: Begin::Anywhere,
            heads,
            own,
            files: arguments
                .files
                .iter()
                .map(|path| lines::open(path))
                .collect::<Result<_>>()?,
        }));
    }
    must_be_on(&installation.audit_log)?;
    match installation.store {
        // Nobody else writes there, so a chain whose name is lost is missing none the less.
        StoreSettings::DataDirectory => own.extend(chains_of(&heads)),
        StoreSettings::Redis(_) => {}
    }
    Ok(Some(Known {
        begin: Begin::WithTheFirst,
        heads,
        own,
        files: lines::of(&installation.audit_log)?,
    }))
}

fn chains_of(heads: &[AuditHead]) -> Vec<ReplicaId> {
    let chains: BTreeSet<&ReplicaId> = heads.iter().map(|head| &head.replica).collect();
    chains.into_iter().cloned().collect()
}

fn report(verified: &Verified, format: Format) -> Result<()> {
    if format == Format::Json {
        return say(format_args!("{}", serde_json::to_string_pretty(verified)?));
    }
    for finding in &verified.findings {
        tell(format_args!("{finding}"));
    }
    let Verified {
        lines,
        chains,
        heads,
        elsewhere,
        findings,
    } = verified;
    for chain in chains {
        say(format_args!(
            "{}: up to line {} of {:.0}, {}",
            chain.replica, chain.n, chain.time, chain.hash
        ))?;
    }
    for head in elsewhere {
        say(format_args!(
            "{}: no line is here, expected {} of {:.0} at the machine that has this chain: run this there too, or with \
             copies of its files",
            head.replica, head.n, head.time
        ))?;
    }
    say(format_args!(
        "{lines} lines, {} chains, {heads} heads compared, {} findings",
        chains.len(),
        findings.len()
    ))
}
