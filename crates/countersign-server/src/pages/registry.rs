//! The pages of a registry's own tools: what one may do there, and the code that a tool asks for.

use askama::Template;
use countersign_core::Reason;
use countersign_core::registry::StepUpStyle;
use countersign_store::Session;
use jiff::SignedDuration;
use jiff::fmt::friendly::{Designator, Spacing, SpanPrinter};

use super::host;
use super::sessions::person;
use crate::Registry;
use crate::web::Context;

/// What a person may do at a registry by its own tools, and the button that shows a code.
#[derive(Template)]
#[template(path = "registry_login.html")]
pub(crate) struct RegistryLoginPage {
    host: String,
    registry: String,
    person: String,
    tool: Tool,
    /// How long what a tool gets is good.
    lifetime: String,
    actions: String,
    /// Where the button leads, and its sealed form.
    form: Option<(String, String)>,
    /// Why not everything is theirs, and where to sign in again.
    refused: Option<(&'static str, String)>,
}

impl RegistryLoginPage {
    /// The page, of which nothing more is known than who looks at it.
    pub(crate) fn of(session: &Session, registry: &Registry, context: &Context<'_>) -> Self {
        Self {
            host: host(context.broker),
            registry: name_of(registry),
            person: person(session),
            tool: Tool::of(registry),
            lifetime: Tool::of(registry).lifetime(registry),
            actions: String::new(),
            form: None,
            refused: None,
        }
    }

    /// They may do this.
    pub(crate) fn letting(self, actions: &[&str], form: (String, String)) -> Self {
        Self {
            actions: actions.join(", "),
            form: Some(form),
            ..self
        }
    }

    /// They may not do everything, for this reason; here they sign in again.
    pub(crate) fn refused(self, reason: Option<Reason>, again: String) -> Self {
        Self {
            refused: reason.map(|reason| (reason.sentence(), again)),
            ..self
        }
    }
}

/// The code.
#[derive(Template)]
#[template(path = "registry_code.html")]
pub(crate) struct RegistryCodePage {
    host: String,
    registry: String,
    tool: Tool,
    lifetime: String,
    user: String,
    /// The registry's address, without a slash at the end.
    url: String,
    code: String,
}

/// What people type a code into.
enum Tool {
    Docker,
    Gem,
}

impl RegistryCodePage {
    pub(crate) fn new(
        (user, code): (&str, String),
        registry: &Registry,
        context: &Context<'_>,
    ) -> Self {
        Self {
            host: host(context.broker),
            registry: name_of(registry),
            tool: Tool::of(registry),
            lifetime: Tool::of(registry).lifetime(registry),
            user: user.to_owned(),
            url: registry
                .public_url
                .as_str()
                .trim_end_matches('/')
                .to_owned(),
            code,
        }
    }
}

impl Tool {
    fn of(registry: &Registry) -> Self {
        match registry.profile.step_up {
            Some(StepUpStyle::GemOtp) => Self::Gem,
            Some(StepUpStyle::NpmOtp) | None => Self::Docker,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Gem => "gem",
        }
    }

    /// How long what it gets for a code is good.
    fn lifetime(&self, registry: &Registry) -> String {
        let profile = &registry.profile;
        in_words(match self {
            Self::Docker => match &profile.docker {
                Some(docker) => docker.offline_lifetime,
                None => profile.sign_in.key_lifetime,
            },
            Self::Gem => profile.sign_in.key_lifetime,
        })
    }
}

/// `2 hours`.
pub(super) fn in_words(time: SignedDuration) -> String {
    let printer = SpanPrinter::new()
        .designator(Designator::Verbose)
        .spacing(Spacing::BetweenUnitsAndDesignators);
    printer.duration_to_string(&time)
}

/// As tools name it: its host, and its port where it has one of its own.
pub(super) fn name_of(registry: &Registry) -> String {
    let url = &registry.public_url;
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}
