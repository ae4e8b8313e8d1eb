//! `/device_authorization` (RFC 8628 3.1): a device asks for its two codes.

use actix_web::{HttpResponse, web};
use countersign_core::{ClientId, UserCode};
use countersign_store::{DeviceRequest, StoreError, ToolRequest};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::code::{DeviceCode, id_of};
use super::{LIFETIME, address};
use crate::error::{Failure, OAuthError};
use crate::limits::PassedFor;
use crate::sign_in::{check_of_device, code::stands_for};
use crate::token;
use crate::web::{Call, Context, Parameters};

/// How many seconds a device waits between two questions (RFC 8628 3.2).
pub(crate) const INTERVAL: u32 = 5;
/// How often another user code is made where one is in use: with as many devices as are let in, one in a million is.
const TRIES: usize = 4;
/// How much of a program's name for itself is shown, in bytes.
const LONGEST_PROGRAM: usize = 60;

/// POST `/device_authorization`.
pub(crate) async fn authorize(call: Call, form: web::Bytes) -> HttpResponse {
    call.answer(async |context| answer(&form, context).await)
        .await
}

async fn answer(form: &[u8], context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let parameters = token::read(form)?;
    let client = token::authenticate(&parameters, context).await?;
    let passed_for = passed_for(&client, context);
    let waits = (&client, passed_for);
    let device = Device {
        program: program(context),
        tool: None,
        session: None,
    };
    let begun = begin(&parameters, waits, device, context).await?;
    let settings = &context.broker.settings;
    Ok(HttpResponse::Ok().json(json!({
        "device_code": begun.device_code,
        "user_code": begun.user_code,
        "verification_uri": settings.endpoint("/device"),
        "verification_uri_complete": settings.endpoint(&address(&begun.user_code)),
        "expires_in": begun.until.duration_since(context.now).as_secs(),
        "interval": INTERVAL,
    })))
}

/// What waits for somebody.
pub(crate) struct Device {
    /// What it calls itself, as the page says it.
    pub(crate) program: Option<String>,
    /// What it is, where it is a registry's tool.
    pub(crate) tool: Option<ToolRequest>,
    /// For how long beyond the time to answer it their session is of use, where that is known; nothing: as any other's.
    pub(crate) session: Option<SignedDuration>,
}

/// A device that waits for somebody.
pub(crate) struct Begun {
    /// What it shows to a person.
    pub(crate) user_code: UserCode,
    /// What it asks with whether somebody has answered, sealed for its client.
    pub(crate) device_code: String,
    /// Until when somebody can.
    pub(crate) until: Timestamp,
}

/// Lets a device of this client wait; who could pass for it, it is counted by.
pub(crate) async fn begin(
    parameters: &Parameters,
    (client, passed_for): (&ClientId, PassedFor),
    device: Device,
    context: &Context<'_>,
) -> Result<Begun, Failure> {
    let until = context.now + LIFETIME;
    let waits = (client, passed_for);
    let code = open(parameters, waits, until, device, context).await?;
    tracing::info!(
        code = "device-code-issued",
        request = %context.request_id,
        %client,
        "a device waits for somebody to sign in",
    );
    Ok(Begun {
        device_code: code.seal(client, context)?,
        user_code: code.user_code,
        until,
    })
}

/// Keeps what the device asks for, under a user code that no other has.
async fn open(
    parameters: &Parameters,
    (client, passed_for): (&ClientId, PassedFor),
    until: Timestamp,
    device: Device,
    context: &Context<'_>,
) -> Result<DeviceCode, Failure> {
    let broker = context.broker;
    let mut device_code = DeviceCode::new(until, context)?;
    let wanted = check_of_device(parameters, client.clone(), &device_code.user_code, context)?;
    let limits = &broker.limits;
    let admitted = limits.may_wait(client, passed_for, context.request, context.now);
    admitted.map_err(OAuthError::too_many)?;
    let request = DeviceRequest {
        code_digest: device_code.digest(),
        code: stands_for(&wanted, context),
        address: broker
            .limits
            .address(context.request)
            .map(|address| address.to_string()),
        program: device.program,
        tool: device.tool,
        asked_at: context.now,
        expires_at: until,
        session_ends_at: device.session.map(|beyond| until + beyond),
    };
    for _ in 0..TRIES {
        let id = id_of(&device_code.user_code);
        let opened = broker
            .store
            .open_device_request(&id, request.clone(), context.now);
        match opened.await {
            Ok(()) => return Ok(device_code),
            Err(StoreError::Conflict) => device_code.renumber(context)?,
            Err(error) => return Err(token::unavailable(&error, context)),
        }
    }
    Err(OAuthError::unavailable())
}

fn passed_for(client: &ClientId, context: &Context<'_>) -> PassedFor {
    let client = context.broker.settings.clients.get(client);
    client.map_or(PassedFor::Anybody, |client| {
        PassedFor::of(&client.authentication)
    })
}

/// What the device calls itself.
pub(crate) fn program(context: &Context<'_>) -> Option<String> {
    let header = context.request.headers().get("user-agent")?.to_str().ok()?;
    let shown = header.chars().take(LONGEST_PROGRAM).collect::<String>();
    Some(shown.trim().to_owned()).filter(|shown| !shown.is_empty())
}
