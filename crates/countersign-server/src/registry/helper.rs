//! `/registry/{registry}/credential/…`: what credential helpers ask, whatever the registry's kind. They sign a person in,
//! and get for the key that they keep a token for the one thing that their tool is about to do.
//!
//! JSON, in the field's words: a sign-in is told as a device's is (RFC 8628 3.2).

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpResponse, web};
use countersign_core::registry::{Checksum, Form, Source};
use countersign_core::{Reason, Scope};
use countersign_store::Session;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::credential::{Shown, shown};
use super::gate::{Asked, Refused};
use super::step_up::{self, Deed};
use super::tool::{self, Asker, Found, Purpose};
use super::weigh::{Contents, Leave, Release, Weighed, Wish, Wrong, weigh_held, weigh_key};
use super::{ROOT, Registry, bound, guess, key, named, refusal};
use crate::api_key::{self, Held};
use crate::audit::By;
use crate::error::{Failure, HelperError, OAuthError};
use crate::token::unavailable;
use crate::web::{Call, Context};
use crate::{device, session};

/// How long a name or a version may be, in bytes.
const LONGEST_NAME: usize = 256;

/// POST `…/sign-in`: lets a helper wait for somebody, for a key.
pub(crate) async fn sign_in(call: Call) -> HttpResponse {
    answer(&call, async |registry, context| {
        let scopes = registry.profile.actions().values();
        let waiting = wait(registry, scopes, Purpose::Key, context).await?;
        Ok(HttpResponse::Ok().json(waiting))
    })
    .await
}

/// GET `…/done`: what came of it.
pub(crate) async fn done(call: Call) -> HttpResponse {
    answer(&call, async |registry, context| {
        let query = context.request.uri().query();
        match tool::look(registry, Asker::Helper, query, context).await? {
            Found::NotYet => Ok(HttpResponse::Accepted()
                .insert_header((RETRY_AFTER, device::INTERVAL))
                .json(json!({}))),
            Found::Over => Err(HelperError::refused("sign-in-ended", OVER).into()),
            Found::SignedIn(session, Purpose::Key) => key_of(registry, *session, context).await,
            Found::SignedIn(session, Purpose::StepUp(deed)) => {
                let made = token_of(registry, &session, deed, context).await;
                if made.is_err() {
                    // Nothing stands on it.
                    let by = By::Account(session.account.clone());
                    let ending = session::Ending::new(by, "device-got-no-token");
                    session::end_one(&session.id, ending, context).await.ok();
                }
                made
            }
        }
    })
    .await
}

/// POST `…/token`: a token for one thing, by the key in `Authorization`.
pub(crate) async fn token(call: Call, body: web::Bytes) -> HttpResponse {
    answer(&call, async |registry, context| {
        let held = key_shown(registry, context).await?;
        let wanted = Wanted::read(&body, registry)?;
        let deed = wanted.deed(&held, registry)?;
        let release = release_of(&deed);
        let wish = wish_of(registry, (&deed, &release), context)?;
        let scope = wish.scope;
        let weighed = weigh_key(held, wish, context).await;
        match weighed.map_err(|error| unavailable(&error, context))? {
            Weighed::Let(leave) => token_for(registry, deed, (&leave, None), context),
            Weighed::NotEnough { reasons, .. } if step_up::may_all_help(&reasons) => {
                let purpose = Purpose::StepUp(deed.clone());
                let waiting = wait(registry, [scope], purpose, context).await?;
                let error = not_enough(reasons, StatusCode::UNAUTHORIZED, context);
                Err(error.with(waiting).into())
            }
            weighed => Err(refused(weighed, context).into()),
        }
    })
    .await
}

/// POST `…/sign-out`: whoever has a key may end it.
pub(crate) async fn sign_out(call: Call) -> HttpResponse {
    answer(&call, async |registry, context| {
        let held = key_shown(registry, context).await?;
        key::end(&held, context).await?;
        Ok(HttpResponse::NoContent().finish())
    })
    .await
}

/// Answers for the registry that the path names; whatever goes wrong in JSON.
async fn answer(
    call: &Call,
    handle: impl AsyncFnOnce(&Registry, &Context<'_>) -> Result<HttpResponse, Failure>,
) -> HttpResponse {
    call.answer(async |context| {
        let registry = named(ROOT, context).map_err(|_| HelperError::unknown())?;
        handle(registry, context).await.map_err(HelperError::of)
    })
    .await
}

/// Lets a helper wait, and says where a person signs in for it and where it asks.
async fn wait<'a>(
    registry: &Registry,
    scopes: impl IntoIterator<Item = &'a Scope>,
    purpose: Purpose,
    context: &Context<'_>,
) -> Result<Map<String, Value>, Failure> {
    let waiting = tool::begin(registry, scopes, (Asker::Helper, purpose), context).await?;
    let page = context.broker.settings.endpoint("/device");
    let told = [
        ("verification_uri", json!(page)),
        ("verification_uri_complete", json!(waiting.page)),
        ("user_code", json!(waiting.user_code)),
        (
            "expires_in",
            json!(waiting.until.duration_since(context.now).as_secs()),
        ),
        ("interval", json!(device::INTERVAL)),
        ("done", json!(waiting.done)),
        ("registry", json!(registry.public_url)),
    ];
    Ok(told
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect())
}

async fn key_of(
    registry: &Registry,
    session: Session,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    match key::of_sign_in(registry, &session, context).await? {
        Ok(made) => Ok(HttpResponse::Ok().json(json!({
            "key": made.text.reveal(),
            "name": made.key.name,
            "expires_at": made.ends_at,
        }))),
        Err(why) => Err(HelperError::refused("sign-in-not-enough", why).into()),
    }
}

/// A token by what somebody has shown for this very deed.
async fn token_of(
    registry: &Registry,
    session: &Session,
    deed: Deed,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let held = api_key::by_id(&deed.key, context).await;
    let held = held.map_err(|error| unavailable(&error, context))?;
    let held = held.filter(|held| key::is_good(registry, held, context));
    let Some(held) = held else {
        return Err(key_not_good(KEY_UNKNOWN).into());
    };
    if held.account.id != session.account {
        return Err(HelperError::refused("other-account", OTHER_ACCOUNT).into());
    }
    let release = release_of(&deed);
    let wish = wish_of(registry, (&deed, &release), context)?;
    let weighed = weigh_held(held, Some(session), wish, context).await;
    match weighed.map_err(|error| unavailable(&error, context))? {
        Weighed::Let(leave) => token_for(registry, deed, (&leave, Some(session)), context),
        weighed => Err(refused(weighed, context).into()),
    }
}

fn token_for(
    registry: &Registry,
    deed: Deed,
    (leave, session): (&Leave, Option<&Session>),
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let bound = [
        ("package", deed.package.is_some()),
        ("version", deed.version.is_some()),
        ("checksum", deed.checksum.is_some()),
    ];
    let bound = bound
        .into_iter()
        .filter(|(_, is)| *is)
        .map(|(name, _)| name);
    let bound: Vec<&str> = std::iter::once("operation").chain(bound).collect();
    let owner = (&leave.account.id, session.map(|session| &session.id));
    let token = bound::make(registry, deed, owner, context);
    let token = token.ok_or_else(OAuthError::unavailable)?;
    Ok(HttpResponse::Ok().json(json!({
        "token": token,
        "expires_in": step_up::LIFETIME.as_secs(),
        "bound": bound,
    })))
}

const OVER: &str = "Nobody has signed in for this, and nobody can any more: run the command again";
const OTHER_ACCOUNT: &str =
    "Somebody else signed in than the owner of this API key: run the command again";
const OBJECT: &str = "expected an object with `operation`, and `package`, `version` and `checksum` (SHA-256) where they are known";
const NAMES: &str =
    "expected a `package` and a `version` of 1 to 256 characters of ASCII, without spaces";
const NO_ARCHIVE: &str = "a `checksum` is for an operation that uploads an archive";
const NO_PACKAGE: &str = "this `operation` is of one `package`, which is to be named";
const NO_KEY: &str = "This asks for an API key, as `Authorization: Bearer`.";
const KEY_UNKNOWN: &str = "This API key is not known here, or has ended.";

/// The key in `Authorization`, where it is one of this registry's and lives.
async fn key_shown(registry: &Registry, context: &Context<'_>) -> Result<Held, Failure> {
    let bearer = Source::Authorization {
        scheme: Some("Bearer".to_owned()),
        form: Form::Plain,
        user: None,
    };
    let found = match shown(&[bearer], context.request.headers(), None) {
        Shown::Secret(text) => key::find(registry, &text, context).await?,
        Shown::Unreadable => Err(Wrong::Nobodys(KEY_UNKNOWN)),
        Shown::Nothing | Shown::Session => return Err(key_not_good(NO_KEY).into()),
    };
    if let Err(Wrong::Nobodys(_)) = found {
        guess::count(registry, context).map_err(OAuthError::too_many)?;
    }
    found.map_err(|wrong| key_not_good(wrong.sentence()).into())
}

/// What a tool is about to do.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    operation: String,
    package: Option<String>,
    version: Option<String>,
    checksum: Option<Checksum>,
}

impl Wanted {
    fn read(body: &[u8], registry: &Registry) -> Result<Self, Failure> {
        let wanted: Self =
            serde_json::from_slice(body).map_err(|_| HelperError::invalid(OBJECT))?;
        let is_plain = |text: &String| {
            (1..=LONGEST_NAME).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if ![&wanted.package, &wanted.version]
            .into_iter()
            .flatten()
            .all(is_plain)
        {
            return Err(HelperError::invalid(NAMES).into());
        }
        if wanted.checksum.is_some() && !registry.profile.is_named_in_body(&wanted.operation) {
            return Err(HelperError::invalid(NO_ARCHIVE).into());
        }
        Ok(wanted)
    }

    /// What the token is for. Where a proxy asks about requests, nobody sees what stands in a body: so nothing of that is
    /// promised, and a key that is for some packages gets no token.
    fn deed(self, held: &Held, registry: &Registry) -> Result<Deed, Failure> {
        if registry.profile.scope(&self.operation).is_none() {
            let known: Vec<&str> = registry
                .profile
                .actions()
                .keys()
                .map(String::as_str)
                .collect();
            let words = format!(
                "`operation` is one of this registry's: {}",
                known.join(", ")
            );
            return Err(HelperError::invalid(words).into());
        }
        let is_in_body = registry.profile.is_named_in_body(&self.operation);
        let is_unseen = registry.upstream.is_none() && is_in_body;
        let is_named = is_in_body || registry.profile.names_packages(&self.operation);
        if is_named && self.package.is_none() {
            return Err(HelperError::invalid(NO_PACKAGE).into());
        }
        let (package, version, checksum) = if is_unseen {
            (None, None, None)
        } else {
            (self.package, self.version, self.checksum)
        };
        Ok(Deed {
            key: held.key.id.clone(),
            action: self.operation,
            package,
            request: None,
            version,
            checksum,
        })
    }
}

fn release_of(deed: &Deed) -> Release {
    Release {
        package: deed.package.clone(),
        version: deed.version.clone(),
        contents: Contents::Unseen,
    }
}

/// The wish that the gate will have to weigh.
fn wish_of<'a>(
    registry: &'a Registry,
    (deed, release): (&'a Deed, &'a Release),
    context: &'a Context<'_>,
) -> Result<Wish<'a>, Failure> {
    let scope = registry.profile.scope(&deed.action);
    Ok(Wish {
        registry,
        asked: Asked {
            method: context.request.method().as_str(),
            target: context.request.uri().path(),
            headers: context.request.headers(),
        },
        action: &deed.action,
        scope: scope.ok_or_else(HelperError::unknown)?,
        release,
    })
}

fn key_not_good(why: &str) -> HelperError {
    HelperError::new(StatusCode::UNAUTHORIZED, "api-key-not-good", why)
}

fn not_enough(reasons: Vec<Reason>, status: StatusCode, context: &Context<'_>) -> HelperError {
    let code = reasons
        .first()
        .map_or("mfa-unknown", |reason| reason.code());
    let words = refusal::words(
        &Refused::NotEnough {
            reasons,
            deed: None,
        },
        context,
    );
    HelperError::new(status, code, words)
}

/// Why there is no token.
fn refused(weighed: Weighed, context: &Context<'_>) -> HelperError {
    match weighed {
        Weighed::NotEnough { reasons, .. } => not_enough(reasons, StatusCode::FORBIDDEN, context),
        Weighed::BadCredential(why) | Weighed::BadToken(why) => key_not_good(why.sentence()),
        Weighed::NoCredential | Weighed::Let(_) => key_not_good(KEY_UNKNOWN),
    }
}
