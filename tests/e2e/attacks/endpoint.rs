//! Every endpoint: the headers of every answer, requests that no client sends, names of us that others make up.

use std::collections::BTreeSet;

use countersign_server::KeyHeader;
use countersign_tests::{BrokerSetup, Browser, Login, Outcome, Page, World, wire};
use serde_json::Value;

use crate::registries::docker::with_images;

/// Every path that is served, with the methods that it is served by. What is answered whatever the method is in
/// [`super::registry`].
const ROUTES: [(&str, &[&str]); 73] = [
    ("/", &["GET", "HEAD"]),
    ("/assets/0.1.0/countersign.css", &["GET", "HEAD"]),
    ("/assets/0.1.0/icon.svg", &["GET", "HEAD"]),
    ("/.well-known/openid-configuration", &["GET", "HEAD"]),
    ("/.well-known/oauth-authorization-server", &["GET", "HEAD"]),
    ("/jwks.json", &["GET", "HEAD"]),
    ("/authorize", &["GET", "POST"]),
    ("/callback/oidc", &["GET", "POST"]),
    ("/callback/oidc/continue", &["GET"]),
    ("/callback/oidc/logout", &["GET", "POST"]),
    ("/callback/oidc/reminder", &["GET", "HEAD"]),
    ("/callback/oidc/reminder/continue", &["GET"]),
    ("/par", &["POST"]),
    ("/device_authorization", &["POST"]),
    ("/device", &["GET", "HEAD"]),
    ("/device/continue", &["GET"]),
    ("/device/deny", &["POST"]),
    ("/token", &["POST"]),
    ("/userinfo", &["GET", "POST"]),
    ("/introspect", &["POST"]),
    ("/revoke", &["POST"]),
    ("/revocations", &["POST"]),
    ("/logout", &["GET", "HEAD", "POST"]),
    ("/logout/confirm", &["POST"]),
    ("/sign-in", &["GET"]),
    ("/account", &["GET", "HEAD"]),
    ("/account/export", &["GET"]),
    ("/account/erase", &["GET"]),
    ("/account/press", &["POST"]),
    ("/account/at", &["GET"]),
    ("/account/keys", &["GET", "POST"]),
    ("/account/keys/revoke", &["GET"]),
    ("/api-keys/leaked", &["POST"]),
    ("/account/claim", &["GET", "POST"]),
    ("/organizations", &["GET", "HEAD"]),
    ("/organizations/contoso", &["GET", "HEAD"]),
    ("/organizations/contoso/disconnect", &["GET"]),
    ("/organizations/contoso/press", &["POST"]),
    ("/organizations/contoso/connect", &["GET", "POST"]),
    ("/organizations/contoso/connect/start", &["POST"]),
    ("/organizations/contoso/connect/at", &["GET"]),
    ("/operator", &["GET", "HEAD"]),
    ("/operator/organizations", &["GET", "HEAD"]),
    ("/operator/organizations/contoso", &["GET", "HEAD"]),
    ("/operator/organizations/contoso/press", &["POST"]),
    ("/operator/accounts", &["GET", "HEAD"]),
    ("/operator/accounts/acct_1", &["GET", "HEAD"]),
    ("/operator/accounts/acct_1/press", &["POST"]),
    ("/operator/audit-log", &["GET", "HEAD"]),
    ("/registry/images/token", &["GET", "POST"]),
    ("/registry/images/login", &["GET", "HEAD", "POST"]),
    ("/registry/images/login/sign-in", &["GET"]),
    ("/session", &["GET", "HEAD"]),
    ("/session/end", &["POST"]),
    ("/registry/images/credential/sign-in", &["POST"]),
    ("/registry/images/credential/done", &["GET"]),
    ("/registry/images/credential/token", &["POST"]),
    ("/registry/images/credential/sign-out", &["POST"]),
    ("/api/v1/accounts", &["GET"]),
    ("/api/v1/accounts/acct_1", &["GET", "DELETE"]),
    ("/api/v1/accounts/acct_1/lock", &["PUT", "DELETE"]),
    ("/api/v1/accounts/acct_1/sessions", &["DELETE"]),
    ("/api/v1/audit-log", &["GET"]),
    ("/api/v1/api-keys", &["GET", "POST"]),
    ("/api/v1/api-keys/imports", &["POST"]),
    ("/api/v1/api-keys/key_1", &["DELETE"]),
    ("/api/v1/accounts/acct_1/verified-email", &["PUT", "DELETE"]),
    ("/api/v1/openapi.json", &["GET", "HEAD"]),
    ("/api/v1/organizations", &["GET", "POST"]),
    ("/api/v1/organizations/contoso", &["GET", "PUT", "DELETE"]),
    (
        "/api/v1/organizations/contoso/connections/github:github.com:1",
        &["PUT", "DELETE"],
    ),
    (
        "/api/v1/organizations/contoso/connections/github:github.com:1/settlement",
        &["POST"],
    ),
    (
        "/api/v1/organizations/contoso/connections/github:github.com:1/agreement",
        &["POST"],
    ),
];

/// Those that take a form.
const TAKING_FORMS: [&str; 26] = [
    "/registry/images/token",
    "/registry/images/login",
    "/operator/organizations/contoso/press",
    "/operator/accounts/acct_1/press",
    "/account/press",
    "/account/claim",
    "/account/keys",
    "/api-keys/leaked",
    "/registry/images/credential/token",
    "/organizations/contoso/press",
    "/organizations/contoso/connect",
    "/organizations/contoso/connect/start",
    "/par",
    "/device_authorization",
    "/device/deny",
    "/token",
    "/userinfo",
    "/introspect",
    "/revoke",
    "/revocations",
    "/authorize",
    "/callback/oidc",
    "/logout",
    "/logout/confirm",
    "/session/end",
    "/callback/oidc/logout",
];

pub(super) const METHODS: [&str; 9] = [
    "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "PROPFIND",
];

const HEADERS: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("strict-transport-security", "max-age=31536000"),
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
];

/// What may be kept by others: nothing about a person is in it.
const CACHEABLE: [&str; 5] = [
    "/assets/0.1.0/countersign.css",
    "/assets/0.1.0/icon.svg",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
    "/jwks.json",
];

/// The usual world, with a registry that has tokens of its own.
async fn world() -> World {
    World::with(|setup| with_images(setup, "images.example", KeyHeader::X5c)).await
}

#[track_caller]
pub(super) fn assert_guarded(page: &Page, why: &str) {
    for (name, value) in HEADERS {
        assert_eq!(page.header(name), Some(value), "{why}: {name}");
    }
    let kept = page.header("cache-control").unwrap_or_default();
    let may_keep = page.status == 200 && CACHEABLE.iter().any(|path| why.contains(path));
    assert!(may_keep || kept == "no-store", "{why}: `{kept}`");
    assert!(
        !page.headers.contains_key("server") && !page.headers.contains_key("x-powered-by"),
        "{why}"
    );
}

#[actix_web::test]
async fn every_answer_of_every_method_at_every_path_is_guarded() {
    let world = world().await;
    let issuer = &world.broker.issuer;
    let unknown = ("/nothing", &[][..]);
    for (path, served) in ROUTES.into_iter().chain([unknown]) {
        for method in METHODS {
            let page = wire::send(method, issuer, path, &[], "").await;
            let why = format!("{method} {path}: {}", page.status);
            assert_guarded(&page, &why);
            assert!(page.status < 500, "{why}");
            if !served.contains(&method) {
                // Below a registry's name all else is a tool's, and this one's registry asks us about none of it.
                let is_tools = path.starts_with("/registry/");
                let refused: &[u16] = if is_tools { &[403] } else { &[404, 405] };
                assert!(refused.contains(&page.status), "{why}");
                assert_eq!(page.location, None, "{why}");
            }
        }
    }
}

#[actix_web::test]
async fn every_endpoint_that_the_metadata_names_is_among_those_attacked() {
    let world = World::new().await;
    let issuer = &world.broker.issuer;
    let page = wire::get(issuer, "/.well-known/openid-configuration", &[]).await;
    let metadata: Value = serde_json::from_str(&page.body).expect("JSON");
    let members = metadata.as_object().expect("an object");
    let named: BTreeSet<&str> = members
        .iter()
        .filter(|(name, _)| name.ends_with("_endpoint") || name.ends_with("_uri"))
        .map(|(_, address)| address.as_str().expect("an address"))
        .map(|address| {
            address
                .strip_prefix(issuer.as_str())
                .expect("an address of ours")
        })
        .collect();
    let attacked = [
        "/authorize",
        "/par",
        "/device_authorization",
        "/token",
        "/userinfo",
        "/introspect",
        "/revoke",
        "/revocations",
        "/logout",
        "/jwks.json",
    ];
    let attacked: BTreeSet<&str> = attacked.into();
    assert_eq!(named, attacked, "a new endpoint needs its attacks here");
    let grants = &members["grant_types_supported"];
    assert_eq!(
        *grants,
        serde_json::json!([
            "authorization_code",
            "refresh_token",
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:token-exchange",
            "urn:ietf:params:oauth:grant-type:device_code"
        ]),
        "a new grant needs its attacks in `code`, `tokens` or `clients`, and its `Way` in `ways`"
    );
}

#[actix_web::test]
async fn requests_that_are_too_large_or_not_text_are_refused_without_harm() {
    let world = world().await;
    let issuer = &world.broker.issuer;
    let long = format!("/authorize?state={}", "a".repeat(9_000));
    let page = wire::get(issuer, &long, &[]).await;
    assert_eq!(page.status, 414);
    assert_guarded(&page, "a long target");
    for path in TAKING_FORMS {
        let page = wire::send("POST", issuer, path, &[], &"a=b&".repeat(20_000)).await;
        assert_eq!(page.status, 413, "80 KB at {path}: {}", page.body);
        assert_guarded(&page, path);
    }
    let headers = "x".repeat(200_000);
    let page = wire::get(issuer, "/", &[("x-long", &headers)]).await;
    assert!(
        matches!(page.status, 0 | 400 | 413 | 431),
        "200 KB of headers: {}",
        page.status
    );
    for target in [
        "/authorize?client_id=%ff%fe",
        "/authorize?%",
        "/authorize?%zz=%",
        "/authorize?&&&=&=&",
        "/authorize?client_id=%00",
        "/callback/%ff",
        "/callback/%zz",
        "/callback/%00",
        "/callback/oidc%0d%0aset-cookie:%20a=b",
        "/callback/..%2f..%2fetc%2fpasswd",
        "/callback/oidc/continue?state=%ff",
        "/callback//",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..;/token",
        "//evil.example/",
        "/\u{1F512}",
    ] {
        let page = wire::get(issuer, target, &[]).await;
        assert!(
            (400..500).contains(&page.status),
            "{target}: {}",
            page.status
        );
        assert_eq!(page.location, None, "{target}");
        assert_eq!(page.set_cookies.len(), 0, "{target}");
    }
    for body in [
        "%ff%fe=%",
        "\u{1F512}=\0",
        "{\"grant_type\":\"authorization_code\"}",
        "a",
        "==&&==",
    ] {
        for path in TAKING_FORMS {
            let page = wire::send("POST", issuer, path, &[], body).await;
            let to = page
                .location
                .as_ref()
                .map_or(String::new(), ToString::to_string);
            assert!(
                (303..500).contains(&page.status),
                "{path} {body}: {}",
                page.status
            );
            assert!(
                to.is_empty() || to.starts_with(issuer.as_str()),
                "{path} {body}: {to}"
            );
            assert_guarded(&page, path);
        }
    }
    let login = Login::new("oidc", "ann-mfa");
    assert_eq!(
        world.sign_in(&mut Browser::new(), &login).await.summary(),
        "code",
        "still serving"
    );
}

#[actix_web::test]
async fn what_a_request_says_of_our_name_changes_nothing() {
    let world = world().await;
    let issuer = &world.broker.issuer;
    let spoofed = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-host", "evil2.example"),
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-port", "666"),
        ("x-forwarded-prefix", "/evil"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x_forwarded_host", "evil.example"),
        ("x-original-url", "/evil"),
        ("x-rewrite-url", "/evil"),
        ("x-forwarded-uri", "/evil"),
        ("forwarded", "host=evil.example;proto=gopher"),
        ("x-http-method-override", "DELETE"),
    ];
    let metadata = "/.well-known/openid-configuration";
    let honest = wire::get(issuer, metadata, &[]).await;
    assert_eq!(
        wire::get(issuer, metadata, &spoofed).await.body,
        honest.body
    );
    let mut browser = Browser::new();
    let login = Login::new("oidc", "ann-mfa");
    let target = |url: &url::Url| url.as_str()[issuer.len()..].to_owned();
    let page = wire::get(issuer, &target(&world.authorize_url(&login)), &spoofed).await;
    let to = page.location.expect("a way to the provider");
    assert!(to.as_str().starts_with(world.oidc.base_url()), "{to}");
    assert_eq!(
        super::parameter(&to, "redirect_uri"),
        format!("{issuer}/callback/oidc")
    );
    let answer = super::callback(&world, &mut browser, &login).await;
    let (name, value) = browser.cookies["127.0.0.1"]
        .iter()
        .next()
        .expect("a cookie");
    let cookie = format!("{name}={value}");
    let mut headers = spoofed.to_vec();
    headers.push(("cookie", &cookie));
    let page = wire::get(issuer, &target(&answer), &headers).await;
    assert_eq!(page.sent_with("iss").as_deref(), Some(issuer.as_str()));
    assert!(
        page.location
            .expect("a redirect")
            .as_str()
            .starts_with(BrokerSetup::REDIRECT_URI)
    );
    let tokens = world.redeem_with(&[("code", "")]).await;
    assert_eq!(tokens.status, 400);
    for path in ["/", "/nothing", "/callback/oidc"] {
        let page = wire::get(issuer, path, &spoofed).await;
        assert!(!page.body.contains("evil"), "{path}: {}", page.body);
    }
}

#[actix_web::test]
async fn an_authorization_request_by_post_ends_as_one_by_get() {
    let world = World::new().await;
    for (login, expected) in [
        (Login::new("oidc", "ann-mfa"), "code"),
        (Login::new("oidc", "bob-password"), "step-up: mfa-absent"),
        (
            Login::new("oidc", "ann-mfa").with("client_id", "nobody"),
            "refused: unknown-client",
        ),
        (
            Login::new("oidc", "ann-mfa").with("redirect_uri", "https://evil.example/"),
            "refused: redirect-uri-not-registered",
        ),
        (
            Login::new("oidc", "ann-mfa").with("scope", "nothing"),
            "client: invalid_scope",
        ),
    ] {
        let get = world.authorize_url(&login);
        let form: Vec<(String, String)> = get.query_pairs().into_owned().collect();
        let mut to = get.clone();
        to.set_query(None);
        let mut browser = Browser::new();
        let page = browser.post(&to, &form).await;
        assert_eq!(page.set_cookies.len(), 0, "a cross-site POST sets nothing");
        assert_eq!(
            world.go_on(&mut browser, page, &login).await.summary(),
            expected,
            "{login:?}"
        );
    }
}

#[actix_web::test]
async fn pages_run_nothing_and_are_framed_by_nobody() {
    let world = World::new().await;
    let mut pages = Vec::new();
    let (mut browser, weak) = (Browser::new(), Login::new("oidc", "bob-password"));
    let Outcome::StepUp(page) = world.sign_in(&mut browser, &weak).await else {
        panic!("no step-up was offered");
    };
    let refused = world.step_up(&mut browser, &page, &weak).await;
    assert_eq!(refused.summary(), "refused: mfa-absent");
    let Outcome::Refused(refused) = refused else {
        panic!("no page");
    };
    pages.extend([page, refused]);
    let chooser = Login::new("", "");
    let unknown = chooser.clone().with("client_id", "nobody");
    for login in [chooser, unknown] {
        pages.push(Browser::new().get(&world.authorize_url(&login)).await);
    }
    for page in pages {
        assert_guarded(&page, page.url.as_str());
        for forbidden in [
            "<script",
            "<iframe",
            "<object",
            "<base",
            "<style",
            " style=\"",
            " onclick",
            " onload",
            "javascript:",
        ] {
            assert!(!page.body.contains(forbidden), "{forbidden}: {}", page.body);
        }
    }
}

#[actix_web::test]
async fn no_endpoint_for_people_lets_other_sites_read_its_answers() {
    let world = world().await;
    let origin = [("origin", "https://evil.example")];
    for (path, _) in ROUTES {
        let page = wire::get(&world.broker.issuer, path, &origin).await;
        let is_public = path.starts_with("/.well-known/") || path == "/jwks.json";
        let allowed = page
            .headers
            .get("access-control-allow-origin")
            .map(String::as_str);
        assert_eq!(allowed, is_public.then_some("*"), "{path}");
        assert!(
            !page
                .headers
                .contains_key("access-control-allow-credentials"),
            "{path}"
        );
    }
}
