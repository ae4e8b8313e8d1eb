//! `cargo dev`: broker, stand-ins, a sample registry and one of npm's kind on loopback, until Ctrl-C.
//!
//! Prints the address to open and what to type for npm, and nothing else unless asked.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use playground::{Playground, PlaygroundOptions, Ports};
use tracing_subscriber::EnvFilter;

/// Starts Countersign, stand-ins for its providers, and registries to sign in and `npm publish` to.
///
/// Everything runs on loopback addresses of this machine: the broker on 127.0.0.1, with the door that
/// npm comes to, the stand-ins for Microsoft, GitHub and OpenID Connect on 127.0.0.2, the registries on
/// 127.0.0.3. No account and no network is needed. Who must show what stands in playground/policy.toml.
#[derive(Debug, Parser)]
#[command(name = "cargo dev", bin_name = "cargo dev --", version)]
struct Arguments {
    /// Keep accounts and keys in this directory; by default they are gone after a stop
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Listen on these six ports: PORT (broker) to PORT+5 (npm); by default 8470 to 8475, or others
    /// where these are taken
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=65530))]
    port_base: Option<u16>,

    /// Use this policy in place of playground/policy.toml
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Show the log (RUST_LOG says which parts, for example RUST_LOG=debug)
    #[arg(long, short)]
    verbose: bool,
}

/// How long to wait for everything to stop; a browser may hold a connection open.
const PATIENCE: Duration = Duration::from_millis(800);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo dev: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    show_log(arguments.verbose);
    let playground = Playground::start(options(arguments)?).await?;
    announce(&playground)?;
    tokio::signal::ctrl_c().await?;
    // What has not stopped by then stops with the process; the store survives that by design.
    let _ = tokio::time::timeout(PATIENCE, playground.stop()).await;
    Ok(())
}

fn options(arguments: Arguments) -> anyhow::Result<PlaygroundOptions> {
    let mut options = PlaygroundOptions {
        data: arguments.data,
        ..PlaygroundOptions::default()
    };
    if let Some(base) = arguments.port_base {
        options.ports = Ports::Exactly(base);
    }
    if let Some(file) = arguments.policy {
        options.policy_file = file.display().to_string();
        options.policy = std::fs::read_to_string(&file)
            .with_context(|| format!("can't read {}", options.policy_file))?;
    }
    Ok(options)
}

fn show_log(verbose: bool) {
    let filter = match (EnvFilter::try_from_default_env(), verbose) {
        (Ok(filter), _) => filter,
        (Err(_), true) => EnvFilter::new("info"),
        (Err(_), false) => return,
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}

fn announce(playground: &Playground) -> std::io::Result<()> {
    let (url, npm) = (playground.url(), playground.npm_url());
    let mut out = std::io::stdout();
    write!(
        out,
        "Countersign playground: open {url}/ (Ctrl-C stops)\n\
         Or publish to it, where a package.json is:\n\
         \x20   npm login --registry={npm}\n\
         \x20   npm publish --registry={npm}\n\
         \x20   npm install --registry={npm} NAME\n"
    )?;
    out.flush()
}
