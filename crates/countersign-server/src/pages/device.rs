//! The pages about devices: where their code is typed, what a yes is for, and what came of it.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use countersign_core::{ClientId, ProviderId, Scope, UserCode};
use countersign_store::DeviceRequest;

use super::sessions::{Moment, client_name};
use super::{Choice, host, respond};
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
    client: String,
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
        Self {
            host: host(broker),
            client: client_name(&code.client, context),
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

/// What came of it.
#[derive(Template)]
#[template(path = "device_done.html")]
pub(crate) struct DeviceDonePage {
    host: String,
    title: &'static str,
    message: String,
}

impl DeviceDonePage {
    /// Somebody signed in.
    pub(crate) fn signed_in(client: &ClientId, context: &Context<'_>) -> Self {
        let client = client_name(client, context);
        Self {
            host: host(context.broker),
            title: "Your device is signed in",
            message: format!(
                "It goes on by itself in a few seconds, and can use {client} in your name. You can close this window."
            ),
        }
    }

    /// Somebody said no.
    pub(crate) fn denied(context: &Context<'_>) -> Self {
        Self {
            host: host(context.broker),
            title: "The device is not signed in",
            message: "You said no, and the device has been told. If somebody else gave you its code, do not follow what \
                      they say: they tried to get into your account."
                .to_owned(),
        }
    }
}
