//! The ways of the registries' own tools: what they show at the gate, where it is shown to a proxy that asks, and what they
//! get for it at a token endpoint like Docker's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_core::registry::Profile;
use countersign_core::{ClientId, RegistryName};
use countersign_server::api_key::{KeyText, id_of};
use countersign_server::{
    DockerSettings, KeyHeader, Registry, Resource, SecretDigest, SigningAlgorithm,
};
use countersign_store::{ApiKey, change_api_key};
use countersign_tests::{BrokerSetup, Browser, Login, Page, TestBroker, payload, wire};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{Got, WANTED, Walk, redeem, text};

const PROXY_SECRET: &str = "secret-of-the-proxy";
/// Everything there is what everybody is after.
const PROFILE: &str = r#"
version = 1
title = "Tools"
[credential]
sources = [{ authorization = "Bearer" }, { session = true }]
[sign_in]
by = "npm-web"
key_lifetime = "2h"
[step_up]
by = "npm-otp"
[actions]
manage = "packages:manage"
[[rule]]
methods = ["POST"]
paths = ["/-/v1/login"]
ours = "npm-login"
[[rule]]
methods = ["GET"]
paths = ["/-/v1/done"]
ours = "npm-done"
[[rule]]
methods = ["PUT"]
paths = ["/{package}"]
gated = "manage"
[default]
read = { gated = "manage" }
write = { gated = "manage" }
[docker]
open = ["pull"]
[docker.gated]
push = "manage"
"#;
/// What is asked for at the token endpoint.
const PUSH: &str = "repository:hello:push";

/// A tool's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ToolWay {
    /// An API key at the gate.
    Key,
    /// An access token at the gate.
    AccessToken,
    /// A browser's session at the gate.
    Session,
    /// A tool for which somebody has signed in, and the key that it gets, at the gate.
    SignIn,
    /// A key that is not good enough, at the gate, with what its owner has signed in anew for.
    StepUp,
    /// A token that a helper has got for a key, at the gate.
    BoundToken,
    /// One for a key that is not good enough, and what its owner has signed in anew for.
    BoundStepUp,
    /// An API key in the place of a password, for a token.
    DockerKey,
    /// A one-time code in the place of a password, for a token.
    DockerCode,
    /// What was kept of such a sign-in, for a token.
    DockerIdentityToken,
}

impl ToolWay {
    /// Whether one who goes it can act for an organisation.
    pub(super) fn can_act_for_organization(self) -> bool {
        match self {
            Self::Key | Self::AccessToken | Self::BoundToken | Self::DockerKey => true,
            Self::Session
            | Self::SignIn
            | Self::StepUp
            | Self::BoundStepUp
            | Self::DockerCode
            | Self::DockerIdentityToken => false,
        }
    }

    /// Whether what is shown rests on a session that is open by then.
    pub(super) fn rests_on_session(self) -> bool {
        match self {
            Self::AccessToken
            | Self::Session
            | Self::SignIn
            | Self::StepUp
            | Self::BoundStepUp
            | Self::DockerCode
            | Self::DockerIdentityToken => true,
            Self::Key | Self::BoundToken | Self::DockerKey => false,
        }
    }

    /// Whether it rests on a key that is there by then.
    pub(super) fn rests_on_key(self) -> bool {
        match self {
            Self::Key | Self::StepUp | Self::BoundToken | Self::BoundStepUp | Self::DockerKey => {
                true
            }
            Self::AccessToken
            | Self::Session
            | Self::SignIn
            | Self::DockerCode
            | Self::DockerIdentityToken => false,
        }
    }
}

/// What a tool goes on with; what it asks a replica for is all that changes on the way.
pub(super) enum Shown {
    /// Nothing: what it asked for was not given.
    Nothing,
    /// Header lines at the gate.
    AtGate(Vec<(&'static str, String)>),
    /// The query of the address at which it asks whether somebody has signed in.
    Waiting(String),
    /// The password of a user.
    Password(String),
    IdentityToken(String),
}

/// Puts the registry in, in front of which all of this is; its tools are taken as users of `gallery`.
pub(super) fn stand_before(setup: &mut BrokerSetup) {
    let (profile, _) = Profile::load("tools.toml", PROFILE).unwrap_or_else(|all| panic!("{all}"));
    let name = RegistryName::new("tools").expect("a name");
    let registry = Registry {
        name: name.clone(),
        profile,
        client: ClientId::new("gallery").expect("a client id"),
        public_url: url::Url::parse("https://tools.example").expect("a site"),
        proxy_secret: Some(SecretDigest::of(PROXY_SECRET)),
        upstream: None,
        upstream_authorization: None,
        docker: Some(DockerSettings {
            service: "tools".into(),
            key_header: KeyHeader::X5c,
            algorithm: SigningAlgorithm::Es256,
        }),
    };
    setup.registries.insert(name, registry);
    let algorithm = SigningAlgorithm::Es256;
    let api = api(&setup.issuer());
    setup.resources.insert(api.clone(), Resource { algorithm });
    setup.gallery().other_resources.insert(api);
}

fn api(issuer: &str) -> String {
    format!("{issuer}/api/v1")
}

pub(super) async fn begin(way: ToolWay, walk: &Walk<'_>) -> Shown {
    match way {
        ToolWay::Key => match key(walk).await {
            Some(key) => Shown::AtGate(vec![bearer(&key)]),
            None => Shown::Nothing,
        },
        ToolWay::AccessToken => {
            let token = access_token(walk, &walk.login).await;
            Shown::AtGate(vec![bearer(&token)])
        }
        ToolWay::Session => {
            let mut browser = Browser::new();
            walk.code(&mut browser).await;
            Shown::AtGate(vec![("cookie", cookies(&browser))])
        }
        ToolWay::SignIn => sign_in(walk).await,
        ToolWay::StepUp => step_up(walk).await.unwrap_or(Shown::Nothing),
        ToolWay::BoundToken => bound(walk).await.unwrap_or(Shown::Nothing),
        ToolWay::BoundStepUp => bound_step_up(walk).await.unwrap_or(Shown::Nothing),
        ToolWay::DockerKey => key(walk).await.map_or(Shown::Nothing, Shown::Password),
        ToolWay::DockerCode => code(walk).await.map_or(Shown::Nothing, Shown::Password),
        ToolWay::DockerIdentityToken => match code(walk).await {
            Some(code) => identity_token(&code, walk).await,
            None => Shown::Nothing,
        },
    }
}

/// What somebody ends with at this replica, where they end with anything.
pub(super) async fn end(shown: Shown, at: &TestBroker) -> Option<Got> {
    match shown {
        Shown::Nothing => None,
        Shown::AtGate(lines) => identity(&at_gate(at, &lines).await),
        Shown::Waiting(query) => {
            let key = done(&query, at).await?;
            identity(&at_gate(at, &[bearer(&key)]).await)
        }
        Shown::Password(password) => pushing(&by_password(at, &password).await),
        Shown::IdentityToken(kept) => {
            let form = form_urlencoded::Serializer::new(String::new())
                .append_pair("grant_type", "refresh_token")
                .append_pair("refresh_token", &kept)
                .append_pair("scope", PUSH)
                .finish();
            let path = "/registry/tools/token";
            pushing(&json_of(
                &wire::send("POST", &at.address, path, &[], &form).await,
            ))
        }
    }
}

fn bearer(token: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {token}"))
}

/// As a browser sends them.
fn cookies(browser: &Browser) -> String {
    let jar = browser.cookies.values().flatten();
    let pairs: Vec<String> = jar.map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("; ")
}

async fn access_token(walk: &Walk<'_>, login: &Login) -> String {
    let url = walk.world.authorize_url(login);
    let code = walk.code_at(&mut Browser::new(), &url).await;
    let code = code.unwrap_or_else(|| panic!("{login:?}: no code"));
    text(
        &redeem(&walk.world.broker, "gallery", &code).await,
        "access_token",
    )
}

/// A key of this person's, if the policy lets them have one.
async fn key(walk: &Walk<'_>) -> Option<String> {
    let issuer = &walk.world.broker.issuer;
    let login = walk
        .login
        .clone()
        .with("scope", "openid api-keys:write")
        .with("resource", &api(issuer));
    let authorization = format!("Bearer {}", access_token(walk, &login).await);
    let headers = [
        ("content-type", "application/json"),
        ("authorization", authorization.as_str()),
    ];
    let asked = json!({
        "name": "a tool", "client": "gallery", "scopes": [WANTED], "days": 30,
        "organization": walk.organization,
    });
    let made = wire::send(
        "POST",
        issuer,
        "/api/v1/api-keys",
        &headers,
        &asked.to_string(),
    )
    .await;
    match made.status {
        201 => Some(text(&json_of(&made), "key")),
        403 => None,
        other => panic!("{other}: {}", made.body),
    }
}

/// A tool that waits, and somebody who has signed in for it; where they were refused, it asks all the same.
async fn sign_in(walk: &Walk<'_>) -> Shown {
    let path = "/registry/tools/-/v1/login";
    let begun = wire::send("POST", &walk.world.broker.issuer, path, &[], "{}").await;
    Shown::Waiting(allowed(&json_of(&begun), "loginUrl", walk).await)
}

/// Of a key of whose login nothing is known, as of one that was imported.
async fn step_up(walk: &Walk<'_>) -> Option<Shown> {
    let (broker, text) = (&walk.world.broker, imported_key(walk).await?);
    let refused = at_gate(broker, &[bearer(&text)]).await;
    assert_eq!(refused.status, 401, "{}", refused.body);
    let query = allowed(&json_of(&refused), "authUrl", walk).await;
    let proof = done(&query, broker).await.expect("a proof");
    Some(Shown::AtGate(vec![bearer(&text), ("npm-otp", proof)]))
}

async fn imported_key(walk: &Walk<'_>) -> Option<String> {
    let (broker, text) = (&walk.world.broker, key(walk).await?);
    let id = id_of(&KeyText::parse(&text).expect("a key").digest());
    let imported = |key: &ApiKey| {
        Some(ApiKey {
            under: None,
            ..key.clone()
        })
    };
    let changed = change_api_key(broker.store().as_ref(), &id, imported).await;
    changed.expect("a change");
    Some(text)
}

/// A token for this key, as a helper gets it.
async fn bound(walk: &Walk<'_>) -> Option<Shown> {
    let told = helper(walk, &key(walk).await?).await;
    // Whoever may not do it gets none.
    let token = told["token"].as_str()?;
    Some(Shown::AtGate(vec![bearer(token)]))
}

/// A token for a key of whose login nothing is known, and for which its owner has signed in anew.
async fn bound_step_up(walk: &Walk<'_>) -> Option<Shown> {
    let waiting = helper(walk, &imported_key(walk).await?).await;
    walk.allow(&walk.world.broker, &waiting).await;
    let (_, query) = waiting["done"].as_str()?.split_once('?')?;
    let target = format!("/registry/tools/credential/done?{query}");
    let done = wire::get(&walk.world.broker.address, &target, &[]).await;
    let token = text(&json_of(&done), "token");
    Some(Shown::AtGate(vec![bearer(&token)]))
}

/// What a helper is answered that wants a token for this key.
async fn helper(walk: &Walk<'_>, key: &str) -> Value {
    let path = "/registry/tools/credential/token";
    let wanted = json!({"operation": "manage", "package": "hello"}).to_string();
    let (name, bearer) = bearer(key);
    let shown = [(name, bearer.as_str())];
    json_of(&wire::send("POST", &walk.world.broker.issuer, path, &shown, &wanted).await)
}

/// Signs in for a tool that waits; the query of the address at which it asks whether somebody has.
async fn allowed(begun: &Value, page: &str, walk: &Walk<'_>) -> String {
    let device = json!({"verification_uri_complete": begun[page]});
    walk.allow(&walk.world.broker, &device).await;
    let done = text(begun, "doneUrl");
    let (_, query) = done.split_once('?').expect("a query");
    query.to_owned()
}

/// What a tool gets for which somebody has signed in.
async fn done(query: &str, at: &TestBroker) -> Option<String> {
    let target = format!("/registry/tools/-/v1/done?{query}");
    let done = json_of(&wire::get(&at.address, &target, &[]).await);
    done["token"].as_str().map(str::to_owned)
}

/// A one-time code, if the policy lets this person do anything at the registry.
async fn code(walk: &Walk<'_>) -> Option<String> {
    let (world, mut browser) = (walk.world, Browser::new());
    let page = world.broker.endpoint("/registry/tools/login");
    let way = format!(
        "/registry/tools/login/sign-in?provider={}",
        walk.login.provider
    );
    let way = world.broker.endpoint(&way);
    let shown = world.go(&mut browser, way, &walk.login).await;
    let fields = [("form".to_owned(), shown.field("form")?)];
    let pressed = browser.post(&page, &fields).await;
    let (_, code) = pressed.body.split_once("id=\"code\">").expect("a code");
    Some(code.split('<').next()?.to_owned())
}

async fn identity_token(code: &str, walk: &Walk<'_>) -> Shown {
    let given = by_password(&walk.world.broker, code).await;
    Shown::IdentityToken(text(&given, "refresh_token"))
}

async fn by_password(at: &TestBroker, password: &str) -> Value {
    let target = format!("/registry/tools/token?offline_token=true&scope={PUSH}");
    let authorization = format!(
        "Basic {}",
        STANDARD.encode(format!("countersign:{password}"))
    );
    json_of(&wire::get(&at.address, &target, &[("authorization", &authorization)]).await)
}

/// What a proxy is answered that asks about a request with these header lines.
async fn at_gate(at: &TestBroker, shown: &[(&'static str, String)]) -> Page {
    let mut headers = vec![
        ("x-countersign-proxy-secret", PROXY_SECRET),
        ("x-forwarded-method", "PUT"),
        ("x-forwarded-uri", "/hello"),
    ];
    let shown: Vec<_> = shown
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    headers.extend(&shown);
    let page = wire::get(&at.address, "/forward-auth/tools", &headers).await;
    // The door says the same: whoever is let through there learns that the registry is elsewhere.
    let door = wire::send("PUT", &at.address, "/registry/tools/hello", &shown, "").await;
    assert_eq!(door.status == 404, page.status == 200, "{}", door.body);
    page
}

/// What the registry behind is told of who asks, where they are let through.
fn identity(page: &Page) -> Option<Got> {
    if page.status != 200 {
        return None;
    }
    let assertion = page.header("x-countersign-assertion");
    Some(Got::of(&payload(assertion.expect("an assertion"))))
}

/// Who may push, by a token of the registry's.
fn pushing(answer: &Value) -> Option<Got> {
    let claims = payload(answer["token"].as_str()?);
    let may_push = claims["access"][0]["actions"] == json!(["push"]);
    Some(Got {
        subject: text(&claims, "sub"),
        scopes: may_push.then(|| WANTED.to_owned()).into_iter().collect(),
    })
}

fn json_of(page: &Page) -> Value {
    serde_json::from_str(&page.body).unwrap_or_else(|_| panic!("no JSON: {}", page.body))
}
