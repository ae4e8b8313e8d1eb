//! `/par` (RFC 9126): a client hands over its authorization request before anybody's browser is there.
//!
//! Nothing is stored: the `request_uri` is the request itself, sealed for its client. So no flood fills
//! anything, and any replica reads it. That a code is given for it only once is remembered when one is,
//! not when the browser first comes: a page that is loaded again must work (FAPI 2.0 5.3.2.2, note 3).

use actix_web::{HttpResponse, web};
use countersign_core::ClientId;
use countersign_core::sign_in::{ATTEMPT_LIFETIME, Pushed, Request};
use countersign_store::StoreError;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::form_urlencoded;

use super::request;
use crate::edge::RandomText;
use crate::error::{Failure, OAuthError, Problem, page_of_store};
use crate::once::{Kind, has_come, is_first};
use crate::seal::{Place, Purpose};
use crate::token;
use crate::web::{Call, Context, Parameters};

/// How long the browser has to come: a redirect takes seconds (FAPI 2.0: less than 600).
const LIFETIME: SignedDuration = SignedDuration::from_secs(90);
/// The longest sealed request, in bytes: a request target has 8 KiB.
const LONGEST: usize = 6 * 1024;
/// RFC 9126 2.2.
const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";
/// What says who the client is, and is no part of the request.
const CREDENTIALS: [&str; 3] = ["client_secret", "client_assertion", "client_assertion_type"];

/// What a `request_uri` holds.
#[derive(Serialize, Deserialize)]
struct Sealed {
    #[serde(flatten)]
    pushed: Pushed,
    /// Until when this very address is good.
    good_until: Timestamp,
    query: String,
}

/// POST `/par`.
pub(crate) async fn push(call: Call, form: web::Bytes) -> HttpResponse {
    call.answer(async |context| answer(&form, context).await)
        .await
}

async fn answer(form: &[u8], context: &Context<'_>) -> Result<HttpResponse, Failure> {
    let mut parameters = token::read(form)?;
    let client = token::authenticate(&parameters, context).await?;
    // RFC 9126 2.1 (3).
    if parameters.one("request_uri").is_some() {
        return Err(OAuthError::invalid_request("`request_uri` can't be pushed"));
    }
    parameters.put("client_id", client.as_str());
    bind(&mut parameters, &client, context).await?;
    let pushed = Pushed {
        id: context.broker.entropy.hex::<16>(),
        until: context.now + ATTEMPT_LIFETIME,
    };
    let parameters = parameters.known_as(pushed.clone());
    request::check(&parameters, context).map_err(for_the_client)?;
    let sealed = Sealed {
        pushed,
        good_until: context.now + LIFETIME,
        query: query(&parameters),
    };
    let uri = seal(&sealed, &client, context).ok_or_else(|| {
        OAuthError::invalid_request("the request is longer than any that is taken")
    })?;
    Ok(HttpResponse::Created().json(json!({
        "request_uri": uri,
        "expires_in": LIFETIME.as_secs(),
    })))
}

/// RFC 9449 10.1: a proof that comes with a push binds the code as `dpop_jkt` would.
async fn bind(
    parameters: &mut Parameters,
    client: &ClientId,
    context: &Context<'_>,
) -> Result<(), Failure> {
    if !context.request.headers().contains_key("dpop") {
        return Ok(());
    }
    let Some(proof) = token::proof_of(client, context)? else {
        return Ok(());
    };
    let named = parameters.one("dpop_jkt");
    if named.is_some_and(|named| named != proof.thumbprint()) {
        return Err(OAuthError::invalid_request(
            "`dpop_jkt` is not the key of the proof",
        ));
    }
    parameters.put("dpop_jkt", proof.thumbprint());
    // Remembered for clients that are known: what anybody may push keeps nothing.
    let clients = &context.broker.settings.clients;
    if clients
        .get(client)
        .is_some_and(|client| !client.authentication.is_public())
    {
        token::spend(Some(proof), context).await?;
    }
    Ok(())
}

/// The parameters that a `request_uri` of ours stands for; those of the browser where there is none.
pub(crate) async fn unpushed(
    parameters: Parameters,
    context: &Context<'_>,
) -> Result<Parameters, Failure> {
    let Some(sealed) = parameters
        .one("request_uri")
        .and_then(|uri| uri.strip_prefix(PREFIX))
    else {
        return Ok(parameters);
    };
    let not_good = || Failure::Page(Problem::RequestUri);
    let client = parameters.one("client_id");
    let client = client.and_then(|id| ClientId::new(id).ok());
    let sealed: Sealed = client
        .and_then(|client| context.broker.sealer.open(sealed, place(&client)))
        .ok_or_else(not_good)?;
    let is_over = sealed.good_until.min(sealed.pushed.until) <= context.now;
    let is_spent = has_come(Kind::PushedRequest, &[&sealed.pushed.id], context).await;
    let is_spent = is_spent.map_err(|error| page_of_store(&error, context))?;
    if is_over || is_spent {
        return Err(not_good());
    }
    let mut pushed = Parameters::read(sealed.query.as_bytes());
    // Of what the browser brings itself (RFC 9126 4) only who is chosen on our own page counts.
    if let (None, Some(provider)) = (pushed.one("provider"), parameters.one("provider")) {
        pushed.put("provider", provider);
    }
    Ok(pushed.known_as(sealed.pushed))
}

/// The query that asks for a pushed request again, as long as a person may begin with it.
pub(crate) fn carried(
    client: &ClientId,
    pushed: &Pushed,
    query: &str,
    context: &Context<'_>,
) -> String {
    let sealed = Sealed {
        pushed: pushed.clone(),
        good_until: pushed.until,
        query: query.to_owned(),
    };
    // What was short enough once is so again; if not, the address leads to a page that says so.
    let uri = seal(&sealed, client, context).unwrap_or_default();
    form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", client.as_str())
        .append_pair("request_uri", &uri)
        .finish()
}

/// Whether a code may be given for this request: once, where it was pushed.
pub(crate) async fn spend(request: &Request, context: &Context<'_>) -> Result<bool, StoreError> {
    let Some(pushed) = &request.pushed else {
        return Ok(true);
    };
    // Who began at the last moment is on their way for as long again.
    let until = pushed.until + ATTEMPT_LIFETIME;
    is_first(Kind::PushedRequest, &[&pushed.id], until, context).await
}

fn query(parameters: &Parameters) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let request = parameters.iter();
    query.extend_pairs(request.filter(|(name, _)| !CREDENTIALS.contains(name)));
    query.finish()
}

fn seal(sealed: &Sealed, client: &ClientId, context: &Context<'_>) -> Option<String> {
    let broker = context.broker;
    let sealed = broker
        .sealer
        .seal(sealed, place(client), broker.entropy.as_ref())?;
    (sealed.len() <= LONGEST).then(|| format!("{PREFIX}{sealed}"))
}

fn place(client: &ClientId) -> Place<'_> {
    Place {
        name: "request_uri",
        party: client.as_str(),
        purpose: Purpose::PushedRequest,
    }
}

/// RFC 9126 2.3: what `/authorize` would tell the person or the browser is told the client.
fn for_the_client(failure: Failure) -> Failure {
    match failure {
        Failure::Client(error) => OAuthError::bad(error.error, error.description),
        Failure::Page(Problem::RedirectUri) => {
            OAuthError::invalid_request("`redirect_uri` is not one that is registered")
        }
        Failure::Page(_) => OAuthError::invalid_request("the request can't be read"),
        Failure::SignIn(_)
        | Failure::Json(_)
        | Failure::Api(_)
        | Failure::Docker(_)
        | Failure::Helper(_)
        | Failure::Elsewhere(_) => failure,
    }
}
