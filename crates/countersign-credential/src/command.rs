//! The commands of the program, for people and for their tools.

use std::io::{Write, stdin, stdout};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::person::{Browser, Person};
use crate::store::Store;
use crate::{Error, Tool, cargo, docker as of_docker, failed, go, tell};

/// Signs you in to registries behind Countersign, and hands your tools what they need
///
/// You sign in with your browser, at your own provider: the program shows a page's address and a code to compare, and waits
/// until you have. An API key is kept where nobody but you can read it; cargo gets a token for the one crate that it is about to
/// publish. Nothing secret is ever on a command line or in a message.
#[derive(Debug, Parser)]
#[command(name = "countersign-credential", version, verbatim_doc_comment, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// How cargo calls it
    #[arg(long, hide = true)]
    cargo_plugin: bool,
}

const EXAMPLES: &str = "\
Examples:
  countersign-credential login https://login.example.org/registry/crates

  # ~/.cargo/config.toml
  [registries.example]
  index = \"sparse+https://crates.example.org/index/\"
  credential-provider = [\"countersign-credential\"]

  GOAUTH='countersign-credential go' go get example.org/private

  # ~/.docker/config.json: docker-credential-countersign must be in PATH
  {\"credHelpers\": {\"images.example.org\": \"countersign\"}}

Files:
  $XDG_CONFIG_HOME/countersign/credentials.json, else ~/.config/countersign/credentials.json
      API keys. It is refused where anybody else could read it.

Environment:
  BROWSER                  what opens the page, before the desktop's own: commands by colons, `%s` is the page
  DISPLAY, WAYLAND_DISPLAY whether there is a screen: without one, and without BROWSER, nothing is opened
  HTTPS_PROXY, NO_PROXY    how Countersign is reached

Exit codes: 0 done; 1 not done, and stderr says why; 2 the command line is wrong; 130 stopped.

More: https://github.com/countersign/countersign/blob/main/docs/credential-helpers.md";

#[derive(Debug, Subcommand)]
enum Command {
    /// Sign in to a registry, with your browser
    Login {
        /// Its address at Countersign: https://login.example.org/registry/NAME
        #[arg(value_name = "REGISTRY")]
        registry: String,
        /// Show the address of the page, and open nothing
        #[arg(long)]
        no_browser: bool,
    },
    /// End the key that is kept for a registry, and forget it
    Logout {
        /// Its address at Countersign
        #[arg(value_name = "REGISTRY")]
        registry: String,
    },
    /// List the registries that you are signed in to
    List,
    /// For cargo: `credential-provider = ["countersign-credential"]`
    ///
    /// cargo runs it and asks by standard input. Which registry it is follows from the index's site, among those that somebody is
    /// signed in to; elsewhere cargo's configuration names it, and may say that no browser is opened:
    /// `["countersign-credential", "cargo", "https://login.example.org/registry/NAME", "--no-browser"]`
    Cargo {
        /// How cargo calls it
        #[arg(long, hide = true)]
        cargo_plugin: bool,
    },
    /// For Go: GOAUTH='countersign-credential go'
    ///
    /// Go runs it: without a URL it prints what is kept for all registries that are reached by https; with one, of a request that was
    /// refused, it has you sign in anew.
    Go {
        /// Show the address of the page, and open nothing
        #[arg(long)]
        no_browser: bool,
        /// What Go could not get
        #[arg(value_name = "URL")]
        url: Option<String>,
    },
}

/// Runs the program.
pub fn run(arguments: Arguments) -> ExitCode {
    ended(block_on(done(arguments)))
}

/// `login`, for another program's command line.
pub fn login(registry: &str, no_browser: bool) -> ExitCode {
    ended(block_on(sign_in(registry, browser(no_browser))))
}

/// `logout`, for another program's command line.
pub fn logout(registry: &str) -> ExitCode {
    ended(block_on(sign_out(registry)))
}

/// Docker's credential helper: this action, by stdin and stdout.
pub fn docker(action: Option<&str>) -> ExitCode {
    match block_on(of_docker::serve(action, stdin(), stdout())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(stdout(), "{error}").ok();
            ExitCode::FAILURE
        }
    }
}

fn ended(done: Result<(), Error>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn block_on(future: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime?.block_on(future)
}

async fn done(arguments: Arguments) -> Result<(), Error> {
    match arguments.command {
        Some(Command::Login {
            registry,
            no_browser,
        }) => sign_in(&registry, browser(no_browser)).await,
        Some(Command::Logout { registry }) => sign_out(&registry).await,
        Some(Command::List) => list(),
        Some(Command::Go { url: None, .. }) => go::all(stdout()),
        Some(Command::Go {
            url: Some(url),
            no_browser,
        }) => go::anew(&url, stdin().lock(), browser(no_browser), stdout()).await,
        Some(Command::Cargo { .. }) => cargo::serve(stdin().lock(), stdout()).await,
        None if arguments.cargo_plugin => cargo::serve(stdin().lock(), stdout()).await,
        None => {
            let help = <Arguments as clap::CommandFactory>::command().render_help();
            tell(&help.to_string());
            Err(Error::Input("expected a command".to_owned()))
        }
    }
}

fn browser(no_browser: bool) -> Browser {
    if no_browser {
        Browser::Leave
    } else {
        Browser::Open
    }
}

async fn sign_in(registry: &str, browser: Browser) -> Result<(), Error> {
    let person = Person::new(registry.parse()?, Tool::Nobody, browser)?;
    let login = person.sign_in().await?;
    let (name, end) = (&login.name, &login.expires_at);
    Ok(writeln!(
        stdout(),
        "Signed in to {}: your API key `{name}` ends at {end}.",
        login.registry
    )?)
}

async fn sign_out(registry: &str) -> Result<(), Error> {
    let person = Person::new(registry.parse()?, Tool::Nobody, Browser::Leave)?;
    person.sign_out().await?;
    Ok(writeln!(stdout(), "Signed out: the key has ended.")?)
}

fn list() -> Result<(), Error> {
    let kept = Store::of_person()?.read()?;
    for (address, login) in kept.logins() {
        let end = &login.expires_at;
        writeln!(stdout(), "{}  {address}  until {end}", login.registry)?;
    }
    Ok(())
}
