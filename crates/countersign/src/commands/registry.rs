//! `countersign registry …`: what stands between a registry's tools and the registry, tried before it does.

use std::fmt::{self, Display};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use countersign::config::{self, BUILT_IN, built_in};
use countersign::{Machine, Surroundings};
use countersign_core::document::Problem;
use countersign_core::explain::Needs;
use countersign_core::registry::{Access, Form, Profile, Sorted, Source};
use countersign_core::{Policy, RegistryName, Scope};

use super::{say, tell};

/// What can be done with a registry's profile.
#[derive(Debug, Subcommand)]
pub(crate) enum RegistryCommand {
    /// List the profiles that come with the program
    List,
    /// Write the text of a profile that comes with the program, to read it or to begin one's own
    Show {
        /// Its name, as `countersign registry list` has it
        #[arg(value_name = "PROFILE")]
        profile: String,
    },
    /// Tell all that is wrong with a profile, and what is in it
    #[command(after_help = CHECK)]
    Check {
        /// A profile's name or a file
        #[arg(value_name = "PROFILE")]
        profile: String,
    },
    /// Tell what would become of a request, and which part of the profile says so
    #[command(after_help = TRY)]
    Try(TryArguments),
}

#[derive(Debug, Args)]
pub(crate) struct TryArguments {
    /// A profile's name or a file; with `--config` the name of a registry of that installation
    #[arg(value_name = "REGISTRY")]
    registry: String,
    /// The method, in capital letters
    #[arg(value_name = "METHOD")]
    method: String,
    /// The path as the tool sends it, with its query and its escapes
    #[arg(value_name = "PATH")]
    path: String,
    /// An installation: its overrides count, and its policy says what is needed
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

const CHECK: &str = "\
Examples:
  countersign registry check npm
  countersign registry check registries/own.toml

Exit codes: 0 it is right; 1 it is not, and stderr says where; 2 the command line is wrong.";

const TRY: &str = "\
Examples:
  countersign registry try npm PUT /@alice%2fhello
  countersign registry try registries/own.toml GET /-/whoami
  countersign registry try npm PUT /left-pad --config countersign.toml

Exit codes: 0 it is said; 1 the profile can't be read; 2 the command line is wrong.";

pub(crate) fn run(command: &RegistryCommand) -> ExitCode {
    let done = match command {
        RegistryCommand::List => list(),
        RegistryCommand::Show { profile } => show(profile),
        RegistryCommand::Check { profile } => check(profile),
        RegistryCommand::Try(arguments) => try_out(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            tell(format_args!("{why}"));
            ExitCode::FAILURE
        }
    }
}

type Done = Result<(), String>;

fn written(result: anyhow::Result<()>) -> Done {
    result.map_err(|error| format!("can't write to stdout: {error}"))
}

fn list() -> Done {
    for (name, text) in BUILT_IN {
        let (profile, _) = parsed(&format!("{name}.toml"), text)?;
        written(say(format_args!("{name:<20} {}", profile.title)))?;
    }
    Ok(())
}

fn show(name: &str) -> Done {
    let text = built_in(name).ok_or_else(|| unknown(name))?;
    written(say(format_args!("{}", text.trim_end())))
}

fn unknown(name: &str) -> String {
    let known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    format!(
        "there is no profile `{name}`; there are: {}",
        known.join(", ")
    )
}

fn check(name: &str) -> Done {
    let (profile, warnings) = read(name)?;
    for warning in warnings {
        tell(format_args!("warning: {warning}"));
    }
    let summary = Summary(&profile).to_string();
    written(say(format_args!("{}", summary.trim_end())))
}

fn try_out(arguments: &TryArguments) -> Done {
    let (profile, policy) = match &arguments.config {
        None => (read(&arguments.registry)?.0, None),
        Some(path) => {
            let (profile, policy) = installed(path, &arguments.registry)?;
            (profile, Some(policy))
        }
    };
    let told = match profile.sort(&arguments.method, &arguments.path) {
        Ok(sorted) => Told {
            profile: &profile,
            policy: policy.as_ref(),
            sorted,
        }
        .to_string(),
        Err(ambiguous) => {
            format!("refused: {ambiguous}\nby: nothing that can be read in two ways is let through")
        }
    };
    written(say(format_args!("{}", told.trim_end())))
}

fn installed(path: &Path, name: &str) -> Result<(Profile, Policy), String> {
    let installation = config::load(path, &Machine).map_err(|error| error.to_string())?;
    let mut registries = installation.settings.registries;
    let named = RegistryName::new(name).ok();
    let registry = named.and_then(|name| registries.remove(&name));
    let registry = registry.ok_or_else(|| {
        let known: Vec<&str> = registries.keys().map(RegistryName::as_str).collect();
        format!(
            "there is no `[registry.{name}]`; there are: {}",
            known.join(", ")
        )
    })?;
    Ok((registry.profile, installation.policy.policy))
}

/// A profile of ours by its name, or a file.
fn read(name: &str) -> Result<(Profile, Vec<Problem>), String> {
    if let Some(text) = built_in(name) {
        return parsed(&format!("{name}.toml"), text);
    }
    match Machine.file(Path::new(name)) {
        Ok(contents) => parsed(name, &contents.text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("{}, and there is no such file", unknown(name)))
        }
        Err(error) => Err(format!("can't read `{name}`: {error}")),
    }
}

fn parsed(file: &str, text: &str) -> Result<(Profile, Vec<Problem>), String> {
    Profile::load(file, text).map_err(|problems| problems.to_string())
}

/// What a profile says, in short.
struct Summary<'a>(&'a Profile);

impl Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let profile = self.0;
        writeln!(f, "ok: {}", profile.title)?;
        for (action, scope) in profile.actions() {
            writeln!(f, "{action} needs: scope `{scope}`")?;
        }
        for source in &profile.sources {
            writeln!(f, "credential: {}", Place(source))?;
        }
        let answers: Vec<&str> = profile.answers().iter().map(|one| one.as_str()).collect();
        if !answers.is_empty() {
            writeln!(f, "answered here: {}", answers.join(", "))?;
        }
        Ok(())
    }
}

/// Where a credential is looked for.
struct Place<'a>(&'a Source);

impl Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Source::Authorization { scheme, form, user } => {
                f.write_str("Authorization:")?;
                if let Some(scheme) = scheme {
                    write!(f, " {scheme}")?;
                }
                let user = user.as_deref().unwrap_or("USER");
                match form {
                    Form::Plain => f.write_str(" KEY"),
                    Form::Pair => write!(f, " {user}:KEY"),
                    Form::Base64Pair => write!(f, " base64({user}:KEY)"),
                }
            }
            Source::Header(name) => write!(f, "{name}: KEY"),
            Source::Query(name) => write!(f, "?{name}=KEY"),
            Source::Session => f.write_str("the cookie of a browser that is signed in"),
        }
    }
}

/// What becomes of a request, and why.
struct Told<'a> {
    profile: &'a Profile,
    policy: Option<&'a Policy>,
    sorted: Sorted<'a>,
}

impl Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sorted.access {
            Access::Open => writeln!(f, "open: anybody may, without a credential")?,
            Access::Gated(action) => writeln!(f, "gated: {action}")?,
            Access::Ours(answer) => writeln!(f, "answered here: {}", answer.as_str())?,
            Access::Refused(words) => writeln!(f, "refused: {words}")?,
        }
        writeln!(f, "by: {}", self.sorted.by)?;
        for (name, value) in &self.sorted.names {
            writeln!(f, "{name}: {value}")?;
        }
        if let Some(form) = self.sorted.body {
            writeln!(
                f,
                "package: in the body, as {} sends it: seen where Countersign passes requests on itself",
                form.as_str()
            )?;
        }
        let Access::Gated(action) = self.sorted.access else {
            return Ok(());
        };
        if let Some(scope) = self.profile.scope(action) {
            self.needs(scope, f)?;
        }
        for source in &self.profile.sources {
            writeln!(f, "credential: {}", Place(source))?;
        }
        let style = &self.profile.refusal;
        writeln!(f, "without one: {}", style.without_credential)?;
        writeln!(f, "with one that is not good enough: {}", style.status)
    }
}

impl Told<'_> {
    fn needs(&self, scope: &Scope, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "needs: scope `{scope}`")?;
        let Some(policy) = self.policy else {
            return writeln!(f);
        };
        match policy
            .tier_of(scope)
            .map(|tier| (tier, policy.requirement(tier)))
        {
            Some((tier, Some(requirement))) => {
                writeln!(f, ", tier `{tier}`: {}", Needs(requirement))
            }
            Some((_, None)) | None => writeln!(f, ", which no tier of the policy has: nobody may"),
        }
    }
}
