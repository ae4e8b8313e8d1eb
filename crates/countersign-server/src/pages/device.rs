//! The pages about devices: where their code is typed, what a yes is for, and what came of it.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use countersign_core::{ProviderId, Scope, UserCode};
use countersign_store::{DeviceRequest, ToolRequest};

use super::registry::{in_words, name_of};
use super::sessions::{Moment, client_name};
use super::{Choice, host, respond};
use crate::Registry;
use crate::registry::LEAVE;
use crate::web::Context;

/// Where a person types a code.
#[derive(Template)]
#[template(path = "device_code.html")]
pub(crate) struct DeviceCodePage {
    host: String,
    /// Why the last one was none.
    error: Option<&'static str>,
}

impl DeviceCodePage {
    pub(crate) fn empty(context: &Context<'_>) -> Self {
        Self {
            host: host(context.broker),
            error: None,
        }
    }

    /// What was typed can be no code.
    pub(crate) fn not_a_code(context: &Context<'_>) -> HttpResponse {
        let error = "A code has eight letters, such as WDJB-MJHT; it has no vowels and no digits.";
        Self::after(StatusCode::BAD_REQUEST, error, context)
    }

    /// No device waits with this code.
    pub(crate) fn unknown(context: &Context<'_>) -> HttpResponse {
        let error = "No device waits with this code. Look at it again; if it is right, its time is over, or it has \
                     been used: ask your device for a new one.";
        Self::after(StatusCode::NOT_FOUND, error, context)
    }

    fn after(status: StatusCode, error: &'static str, context: &Context<'_>) -> HttpResponse {
        let page = Self {
            error: Some(error),
            ..Self::empty(context)
        };
        respond(status, &page)
    }
}

/// Which device it is, whom it is for, and the ways on.
#[derive(Template)]
#[template(path = "device.html")]
pub(crate) struct DevicePage {
    host: String,
    title: String,
    client: String,
    tool: Option<ToolAsks>,
    user_code: String,
    program: Option<String>,
    address: Option<String>,
    is_from_here: bool,
    asked_at: Moment,
    scopes: String,
    organization: Option<String>,
    choices: Vec<Choice>,
    no: String,
}

impl DevicePage {
    /// `way_to` leads to a provider; `no` is the sealed form that says no.
    pub(crate) fn new(
        (user_code, request): (&UserCode, &DeviceRequest),
        way_to: impl Fn(&ProviderId) -> String,
        no: String,
        context: &Context<'_>,
    ) -> Self {
        let broker = context.broker;
        let here = broker.limits.address(context.request);
        let here = here.map(|address| address.to_string());
        let code = &request.code;
        let scopes: Vec<&str> = code.scopes.iter().map(Scope::as_str).collect();
        let client = client_name(&code.client, context);
        let tool = ToolAsks::of(request, context);
        let of_device = || format!("Sign in a device to {client}");
        Self {
            host: host(broker),
            title: tool.as_ref().map_or_else(of_device, ToolAsks::title),
            client,
            tool,
            user_code: user_code.to_string(),
            program: request.program.clone(),
            is_from_here: here.is_some() && here == request.address,
            address: request.address.clone(),
            asked_at: Moment(request.asked_at),
            scopes: scopes.join(", "),
            organization: code.organization.as_ref().map(ToString::to_string),
            choices: Choice::all(&code.client, way_to, context),
            no,
        }
    }
}

/// What a registry's tool asks for.
struct ToolAsks {
    /// `npm`, where it is one that people know.
    name: &'static str,
    /// As tools name the registry.
    registry: String,
    gets: Gets,
}

enum Gets {
    /// A key, for these actions, for so long.
    Key { actions: String, lifetime: String },
    /// Leave for this, for so long.
    Leave { deed: String, lifetime: String },
}

impl ToolAsks {
    /// Nothing where it is another device.
    fn of(request: &DeviceRequest, context: &Context<'_>) -> Option<Self> {
        let tool = request.tool.as_ref()?;
        let registry = context.broker.settings.registries.get(&tool.registry)?;
        Some(Self {
            name: known_name(request.program.as_deref()),
            registry: name_of(registry),
            gets: Gets::of(tool, request, registry),
        })
    }

    fn title(&self) -> String {
        let (name, registry) = (self.name, &self.registry);
        match self.gets {
            Gets::Key { .. } => format!("Sign in {name} to {registry}"),
            Gets::Leave { .. } => format!("Let {name} go on at {registry}"),
        }
    }
}

impl Gets {
    fn of(tool: &ToolRequest, request: &DeviceRequest, registry: &Registry) -> Self {
        if let Some(deed) = &tool.deed {
            return Self::Leave {
                deed: deed.clone(),
                lifetime: in_words(LEAVE),
            };
        }
        let actions = registry.profile.actions().iter();
        let asked = actions.filter(|(_, scope)| request.code.scopes.contains(*scope));
        let names: Vec<&str> = asked.map(|(name, _)| name.as_str()).collect();
        Self::Key {
            actions: names.join(", "),
            lifetime: in_words(registry.profile.sign_in.key_lifetime),
        }
    }
}

/// The tools that people know by name. What else a tool calls itself stands where it says that it does: never in a heading, since anybody
/// can have written it there.
const TOOLS: [&str; 7] = [
    "npm",
    "pnpm",
    "yarn",
    "cargo",
    "go",
    "docker",
    "countersign-credential",
];

/// `npm` of `npm/11.19.1`.
fn known_name(program: Option<&str>) -> &'static str {
    let name = program.and_then(|program| program.split('/').next());
    let known = TOOLS.into_iter().find(|tool| Some(*tool) == name);
    known.unwrap_or("a tool")
}

/// What came of it.
#[derive(Template)]
#[template(path = "device_done.html")]
pub(crate) struct DeviceDonePage {
    host: String,
    title: String,
    message: String,
    /// Where a tool gets a key: how long it is good.
    key: Option<String>,
}

impl DeviceDonePage {
    /// Somebody signed in.
    pub(crate) fn signed_in(request: &DeviceRequest, context: &Context<'_>) -> Self {
        let host = host(context.broker);
        let Some(tool) = ToolAsks::of(request, context) else {
            let client = client_name(&request.code.client, context);
            return Self {
                host,
                title: "Your device is signed in".to_owned(),
                message: format!(
                    "It goes on by itself in a few seconds, and can use {client} in your name. You can close this window."
                ),
                key: None,
            };
        };
        let (name, registry) = (tool.name, tool.registry);
        let (message, key) = match tool.gets {
            Gets::Key { lifetime, .. } => (
                "It gets its API key in a few seconds, and goes on by itself.".to_owned(),
                Some(lifetime),
            ),
            Gets::Leave { deed, .. } => {
                let words = format!(
                    "If you signed in as the owner of its API key, it goes on by itself in a few seconds: {deed}. You can close this window."
                );
                (words, None)
            }
        };
        Self {
            host,
            title: format!("Signed in for {name} at {registry}"),
            message,
            key,
        }
    }

    /// Somebody said no.
    pub(crate) fn denied(request: &DeviceRequest, context: &Context<'_>) -> Self {
        let what = match request.tool {
            Some(_) => "tool",
            None => "device",
        };
        Self {
            host: host(context.broker),
            title: format!("The {what} is not signed in"),
            message: format!(
                "You said no, and the {what} has been told. If somebody else gave you its code, do not follow what \
                 they say: they tried to get into your account."
            ),
            key: None,
        }
    }
}
