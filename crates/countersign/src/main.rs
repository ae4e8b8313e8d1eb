//! The `countersign` program: what is written on its command line.
//!
//! Exit codes: 0 done, 1 it could not be done (the reason is on stderr), 2 the command line is wrong.

mod commands;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// A federated-identity broker for package registries
///
/// It sends people to Microsoft, GitHub or any OpenID Connect provider, weighs what the login there
/// proved of a second factor, and hands signed tokens to the registry for those who may act.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment, after_help = EXAMPLES, after_long_help = HELP)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT; a second signal stops at once
    Serve(Configuration),
    /// Tell all that is wrong with configuration and policy, and what to register where
    Check(Configuration),
    /// Look at all that the server stands on, and say what to mend
    ///
    /// It reaches the providers, the store and the public address, and compares clocks. It changes
    /// nothing, beside a running server or without one. It ends with 1 where something failed.
    #[command(verbatim_doc_comment)]
    Doctor {
        #[command(flatten)]
        doctor: commands::DoctorArguments,
        #[command(flatten)]
        with: Configuration,
    },
    /// Try a policy before it bites, and explain it after it has
    #[command(subcommand)]
    Policy(commands::PolicyCommand),
    /// Import what the registry knows of its accounts, look one up, lock one, erase one
    #[command(subcommand)]
    Accounts(Accounts),
    /// The registry's organizations: whose people are theirs, and why
    ///
    /// It may run beside servers, and holds at once.
    Orgs {
        #[command(subcommand)]
        orgs: commands::OrgsCommand,
        #[command(flatten)]
        with: GlobalConfiguration,
    },
    /// API keys: who has which, when they end, and those that the registry made before
    ///
    /// It may run beside servers, and holds at once.
    ApiKeys {
        #[command(subcommand)]
        api_keys: commands::ApiKeysCommand,
        #[command(flatten)]
        with: GlobalConfiguration,
    },
    /// Verify the audit log, search it, export it
    #[command(subcommand)]
    Audit(commands::AuditCommand),
    /// What is kept of people, and for how long
    #[command(subcommand)]
    Privacy(commands::PrivacyCommand),
    /// Sign in to a registry, with your browser, for your own tools
    ///
    /// What `countersign-credential login` does, which maintainers have without the server: a key is
    /// kept in ~/.config/countersign, and cargo, go and docker get what they need by that program.
    #[command(verbatim_doc_comment)]
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
    /// Profiles of registries' own tools: list, show and check them, try a request
    #[command(subcommand)]
    Registry(commands::RegistryCommand),
    /// Look at the keys, replace or withdraw one, seal them under another secret
    ///
    /// It may run beside servers, which read the keys again within ten seconds.
    #[command(subcommand)]
    Keys(Keys),
    /// Write the key set that a registry verifies our tokens by
    ///
    /// For a registry that reads one from a file (`auth.token.jwks` of distribution 3). It holds the
    /// next key too: write it anew before the one after that is used.
    #[command(verbatim_doc_comment)]
    Jwks {
        #[command(flatten)]
        of: commands::RegistryArguments,
        #[command(flatten)]
        with: Configuration,
    },
    /// Write the certificates that a registry verifies our tokens by
    ///
    /// For a registry's `auth.token.rootcertbundle`, as PEM. Where its tokens carry the certificates
    /// of their keys (`key_header = "x5c"`) it is one root, once and for all; else those of the keys,
    /// the next one too.
    #[command(verbatim_doc_comment)]
    RootCertificate {
        #[command(flatten)]
        of: commands::RegistryArguments,
        #[command(flatten)]
        with: Configuration,
    },
}

#[derive(Debug, Subcommand)]
enum Accounts {
    /// Import dates, identities and verified addresses from a table, once or again
    ///
    /// A table with a mistake changes nothing: each is told as FILE:LINE. It may run beside a
    /// server, and carries on where it was when it is run again.
    #[command(verbatim_doc_comment)]
    Import {
        #[command(flatten)]
        import: commands::ImportArguments,
        #[command(flatten)]
        with: Configuration,
    },
    /// Lock an account: nobody gets anything by it, and its sessions end
    ///
    /// It may run beside servers, and holds at once. Access tokens that services verify by themselves are good until
    /// their end, some minutes later; those that they introspect are not.
    Lock {
        #[command(flatten)]
        lock: commands::LockArguments,
        #[command(flatten)]
        with: Configuration,
    },
    /// Unlock an account
    Unlock {
        #[command(flatten)]
        unlock: commands::UnlockArguments,
        #[command(flatten)]
        with: Configuration,
    },
    /// Forget a person: their account, what leads to it, what the registry said of it
    ///
    /// It may run beside servers, and holds at once: sessions end. Lines of the logs stay: they name
    /// the account's id, which leads to nobody then. Whoever signs in with the same identity begins anew.
    Erase {
        #[command(flatten)]
        erase: commands::EraseArguments,
        #[command(flatten)]
        with: Configuration,
    },
    /// Write all that is kept of a person to standard output, as JSON, for them
    Export {
        #[command(flatten)]
        export: commands::ExportArguments,
        #[command(flatten)]
        with: Configuration,
    },
    /// Tell what is known of one account
    Show {
        #[command(flatten)]
        show: commands::ShowArguments,
        #[command(flatten)]
        with: Configuration,
    },
}

#[derive(Debug, Subcommand)]
enum Keys {
    /// Tell which keys there are, and where each is in its life; never a key itself
    List {
        #[command(flatten)]
        list: commands::ListArguments,
        #[command(flatten)]
        with: Configuration,
    },
    /// Call the next key of each name, or of those that are named
    ///
    /// The last one stays until nothing needs it: nobody notices.
    #[command(verbatim_doc_comment)]
    Rotate {
        #[command(flatten)]
        rotate: commands::RotateArguments,
        #[command(flatten)]
        with: Configuration,
    },
    /// Withdraw a key at once, because somebody else may have it
    ///
    /// What it has signed or sealed is good no more: it says what that means, and does it with `--yes`.
    #[command(verbatim_doc_comment)]
    Retire {
        #[command(flatten)]
        retire: commands::RetireArguments,
        #[command(flatten)]
        with: Configuration,
    },
    /// Seal all keys under `keys.master_secret`, after it has been changed
    Reseal {
        #[command(flatten)]
        reseal: commands::ResealArguments,
        #[command(flatten)]
        with: Configuration,
    },
}

#[derive(Debug, Args)]
struct Configuration {
    /// What this installation is
    ///
    /// The policy and the secrets are named in it.
    #[arg(
        long,
        value_name = "FILE",
        env = "COUNTERSIGN_CONFIG",
        default_value = "/etc/countersign/countersign.toml"
    )]
    config: PathBuf,
}

/// The same, wherever it stands on the line.
#[derive(Debug, Args)]
struct GlobalConfiguration {
    /// What this installation is
    ///
    /// The policy and the secrets are named in it.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "COUNTERSIGN_CONFIG",
        default_value = "/etc/countersign/countersign.toml"
    )]
    config: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  countersign check --config countersign.toml
  countersign serve --config countersign.toml
  countersign doctor --config countersign.toml
  countersign accounts import accounts.csv --config countersign.toml
  countersign orgs apply organizations.toml --config countersign.toml
  COUNTERSIGN_CONFIG=/srv/countersign.toml countersign serve";

const HELP: &str = "\
Examples:
  countersign check --config countersign.toml
  countersign serve --config countersign.toml
  countersign doctor --config countersign.toml
  countersign accounts import accounts.csv --config countersign.toml
  countersign orgs apply organizations.toml --config countersign.toml
  COUNTERSIGN_CONFIG=/srv/countersign.toml countersign serve

Secrets come from files or environment variables that the configuration names, never from the
command line, where every user of the machine could read them.

`check` writes a summary to stdout, and what is wrong to stderr: one problem to a line, as
FILE:LINE:COLUMN. `serve` listens for plain http, so a proxy that ends TLS stands in front; it
logs to stderr.

Exit codes: 0 done; 1 it could not be done, and stderr says why; 2 the command line is wrong.";

fn main() -> ExitCode {
    match CommandLine::parse().command {
        Command::Serve(with) => commands::serve(&with.config),
        Command::Check(with) => commands::check(&with.config),
        Command::Doctor { doctor, with } => commands::doctor(&doctor, &with.config),
        Command::Policy(command) => commands::policy(&command),
        Command::Orgs { orgs, with } => commands::orgs(&orgs, &with.config),
        Command::ApiKeys { api_keys, with } => commands::api_keys(&api_keys, &with.config),
        Command::Audit(command) => commands::audit(&command),
        Command::Privacy(command) => commands::privacy(&command),
        Command::Login {
            registry,
            no_browser,
        } => countersign_credential::login(&registry, no_browser),
        Command::Logout { registry } => countersign_credential::logout(&registry),
        Command::Registry(command) => commands::registry(&command),
        Command::Jwks { of, with } => commands::jwks(&of, &with.config),
        Command::RootCertificate { of, with } => commands::root_certificate(&of, &with.config),
        Command::Keys(Keys::List { list, with }) => commands::list_keys(&list, &with.config),
        Command::Keys(Keys::Rotate { rotate, with }) => {
            commands::rotate_keys(&rotate, &with.config)
        }
        Command::Keys(Keys::Retire { retire, with }) => commands::retire_key(&retire, &with.config),
        Command::Keys(Keys::Reseal { reseal, with }) => {
            commands::reseal_keys(&reseal, &with.config)
        }
        Command::Accounts(Accounts::Import { import, with }) => {
            commands::import(&import, &with.config)
        }
        Command::Accounts(Accounts::Lock { lock, with }) => {
            commands::lock_account(&lock, &with.config)
        }
        Command::Accounts(Accounts::Unlock { unlock, with }) => {
            commands::unlock_account(&unlock, &with.config)
        }
        Command::Accounts(Accounts::Erase { erase, with }) => {
            commands::erase_account(&erase, &with.config)
        }
        Command::Accounts(Accounts::Export { export, with }) => {
            commands::export_account(&export, &with.config)
        }
        Command::Accounts(Accounts::Show { show, with }) => commands::show(&show, &with.config),
    }
}
