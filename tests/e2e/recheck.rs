//! Providers that are asked again before a refresh: who switched the second factor off loses the session.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use countersign_core::{ClientId, SessionId};
use countersign_dev_idp::github::TwoFactor;
use countersign_dev_idp::{
    Behaviour, DevIdp, Document, Edit, Endpoint, Signing, WireFault, entra, oidc,
};
use countersign_server::{Client, ClientAuthentication, Clock, GrantType, SecretDigest};
use countersign_store::{Around, Store, StoreError};
use countersign_tests::{BrokerSetup, Browser, Login, TestBroker, Tokens, World, payload};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use url::Url;

use crate::sessions::Listener;

const SECRET: &str = "secret-of-the-other";
const MINUTE: i64 = 60;
/// Longer than the interval, shorter than an idle session lives.
const LATER: i64 = 61 * MINUTE;

/// One provider of each kind that can be asked again.
const KINDS: [&str; 3] = ["oidc", "contoso", "github"];

/// The usual world, in which providers are asked again after an hour, and two clients refresh.
async fn world() -> World {
    world_with(Some(SignedDuration::from_hours(1)), None).await
}

async fn world_that_tells(listener: &Listener) -> World {
    world_with(Some(SignedDuration::from_hours(1)), Some(listener)).await
}

async fn world_with(recheck: Option<SignedDuration>, listener: Option<&Listener>) -> World {
    let world = World::with(|setup| {
        setup.recheck = recheck;
        setup.gallery().grants.insert(GrantType::RefreshToken);
        setup.gallery().backchannel_logout_uri = listener.map(|listener| listener.url.clone());
        let secret = ClientAuthentication::Secret(SecretDigest::of(SECRET));
        let uris = vec![BrokerSetup::REDIRECT_URI.into()];
        let mut other = Client::new("Another", uris, secret, BrokerSetup::AUDIENCE);
        other.grants.insert(GrantType::RefreshToken);
        setup
            .policy
            .push_str("\n[client.other]\ntier = \"browse\"\n");
        let id = ClientId::new("other").expect("a client id");
        setup.clients.insert(id, other);
    })
    .await;
    world.share_clock();
    world
}

fn ann(kind: &'static str) -> Login {
    Login::new(kind, "ann-mfa").with("scope", "openid packages:manage")
}

async fn signed_in(world: &World, browser: &mut Browser, login: &Login) -> Tokens {
    let code = world.sign_in(browser, login).await.code();
    let tokens = world.redeem(&code).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    tokens
}

async fn refreshed(world: &World, tokens: &Tokens) -> Tokens {
    refreshed_at(&world.broker, tokens, ("gallery", BrokerSetup::SECRET)).await
}

async fn refreshed_at(
    broker: &TestBroker,
    tokens: &Tokens,
    (client, secret): (&str, &str),
) -> Tokens {
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens.text("refresh_token")),
        ("redirect_uri", ""),
        ("code_verifier", ""),
        ("client_id", client),
        ("client_secret", secret),
    ];
    broker.redeem_with(&form).await
}

fn stand_in<'a>(world: &'a World, kind: &str) -> &'a DevIdp {
    match kind {
        "github" => &world.github,
        "oidc" => &world.oidc,
        _ => &world.entra,
    }
}

/// What the provider is asked again at.
fn endpoint(kind: &str) -> Endpoint {
    match kind {
        "github" => Endpoint::User,
        _ => Endpoint::Token,
    }
}

/// How often the provider has been asked since it was last looked.
fn times_asked(world: &World, kind: &str) -> usize {
    let control = stand_in(world, kind).control();
    let asked = if kind == "github" {
        control.endpoint_hits(Endpoint::User)
    } else {
        let is_refresh =
            |one: &&countersign_dev_idp::Received| one.param("grant_type") == Some("refresh_token");
        control.token_requests().iter().filter(is_refresh).count()
    };
    control.clear_log();
    asked
}

fn switch_off(world: &World, kind: &str) {
    let control = stand_in(world, kind).control();
    control.set(|behaviour| match kind {
        "github" => {
            let ann = behaviour.github.account_mut("ann-mfa");
            ann.expect("Ann").two_factor = TwoFactor::Off;
        }
        "oidc" => {
            let ann = behaviour.oidc.account_mut("ann-mfa");
            ann.expect("Ann").second_factor = oidc::SecondFactor::Lacking;
        }
        _ => {
            let ann = behaviour.entra.account_mut("ann-mfa");
            ann.expect("Ann").second_factor = entra::SecondFactor::Lacking;
        }
    });
}

/// Ann's account is gone at the provider, or what was given out for it is good no more.
fn revoke(world: &World, kind: &str) {
    let control = stand_in(world, kind).control();
    control.set(|behaviour| {
        behaviour.github.accounts.retain(|one| one.id != "ann-mfa");
        behaviour.oidc.accounts.retain(|one| one.id != "ann-mfa");
        behaviour.entra.accounts.retain(|one| one.id != "ann-mfa");
    });
}

/// Somebody else answers in Ann's stead.
fn replace(world: &World, kind: &str) {
    let control = stand_in(world, kind).control();
    control.set(|behaviour| match kind {
        "github" => behaviour.github.account_mut("ann-mfa").expect("Ann").number = 99,
        "oidc" => behaviour
            .back
            .claims
            .push(Edit::set("sub", "sub-bob-password")),
        _ => {
            let oid = "99999999-9999-4999-8999-999999999999";
            behaviour.back.claims.push(Edit::set("oid", oid));
        }
    });
}

async fn is_active(world: &World, token: &str) -> bool {
    let form = [
        ("token", token),
        ("client_id", "gallery"),
        ("client_secret", BrokerSetup::SECRET),
    ];
    let form = form.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let url = Url::parse(&format!("{}/introspect", world.broker.issuer)).expect("an address");
    let page = Browser::new().post(&url, &form).await;
    let told: Value = serde_json::from_str(&page.body).expect("JSON");
    told["active"] == true
}

#[track_caller]
fn assert_withdrawn(tokens: &Tokens, why: &str) {
    let found = (tokens.status, &tokens.body["error"]);
    assert_eq!(
        found,
        (400, &json!("invalid_grant")),
        "{why}: {}",
        tokens.body
    );
    assert_eq!(
        tokens.body["error_description"], "provider-withdrew",
        "{why}"
    );
    assert_eq!(tokens.body.get("access_token"), None, "{why}");
}

#[track_caller]
fn assert_unanswered(tokens: &Tokens, why: &str) {
    let found = (tokens.status, &tokens.body["error"]);
    assert_eq!(
        found,
        (503, &json!("temporarily_unavailable")),
        "{why}: {}",
        tokens.body
    );
    assert_eq!(tokens.body.get("access_token"), None, "{why}");
}

#[actix_web::test]
async fn a_provider_that_still_says_so_changes_nothing() {
    for kind in KINDS {
        let world = world().await;
        let first = signed_in(&world, &mut Browser::new(), &ann(kind)).await;
        let mut last = first.access();
        let mut tokens = first;
        for time in 1..=4 {
            world.broker.clock.advance(LATER);
            times_asked(&world, kind);
            tokens = refreshed(&world, &tokens).await;
            assert_eq!(tokens.status, 200, "{kind} {time}: {}", tokens.body);
            assert_eq!(times_asked(&world, kind), 1, "{kind} {time}");
            let access = tokens.access();
            for claim in [
                "acr",
                "amr",
                "auth_time",
                "sid",
                "sub",
                "scope",
                "countersign",
            ] {
                assert_eq!(access[claim], last[claim], "{kind} {time}: {claim}");
            }
            last = access;
        }
    }
}

#[actix_web::test]
async fn it_is_asked_no_more_often_than_the_interval_says() {
    for kind in KINDS {
        let world = world().await;
        let mut tokens = signed_in(&world, &mut Browser::new(), &ann(kind)).await;
        times_asked(&world, kind);
        for (minutes, asked) in [(30, 0), (29, 0), (2, 1), (58, 0), (3, 1)] {
            world.broker.clock.advance(minutes * MINUTE);
            tokens = refreshed(&world, &tokens).await;
            assert_eq!(tokens.status, 200, "{kind}: {}", tokens.body);
            assert_eq!(times_asked(&world, kind), asked, "{kind} after {minutes}");
        }
    }
}

#[actix_web::test]
async fn who_switched_the_second_factor_off_loses_the_session_at_every_client() {
    for kind in KINDS {
        let mut listener = Listener::start(vec![200]);
        let world = world_that_tells(&listener).await;
        let mut browser = Browser::new();
        let first = signed_in(&world, &mut browser, &ann(kind)).await;
        let at_other = ann(kind)
            .with("client_id", "other")
            .with("scope", "openid packages:read")
            .with("prompt", "none");
        let page = browser.get(&world.authorize_url(&at_other)).await;
        let code = page.sent_with("code").expect("a code by single sign-on");
        let other = world
            .redeem_with(&[
                ("code", &code),
                ("client_id", "other"),
                ("client_secret", SECRET),
            ])
            .await;
        assert_eq!(other.status, 200, "{}", other.body);
        assert!(is_active(&world, first.text("access_token")).await);
        world.broker.clock.advance(LATER);
        switch_off(&world, kind);
        // The other one asks for nothing that a second factor is needed for.
        let refused = refreshed_at(&world.broker, &other, ("other", SECRET)).await;
        assert_withdrawn(&refused, kind);
        let gone = refreshed(&world, &first).await;
        assert_eq!(gone.body["error"], "invalid_grant", "{kind}: {}", gone.body);
        assert!(
            !is_active(&world, first.text("refresh_token")).await,
            "{kind}"
        );
        let told = payload(&listener.heard().await);
        assert_eq!(told["sid"], first.access()["sid"], "{kind}");
        assert_eq!(
            times_asked(&world, kind),
            1 + usize::from(kind == "github"),
            "{kind}"
        );
    }
}

#[actix_web::test]
async fn whose_access_was_revoked_or_who_is_somebody_else_loses_it_too() {
    for kind in KINDS {
        for (what, turn) in [
            ("revoked", revoke as fn(&World, &str)),
            ("another person", replace),
        ] {
            let world = world().await;
            let first = signed_in(&world, &mut Browser::new(), &ann(kind)).await;
            world.broker.clock.advance(LATER);
            turn(&world, kind);
            let why = format!("{kind}: {what}");
            assert_withdrawn(&refreshed(&world, &first).await, &why);
            let again = refreshed(&world, &first).await;
            assert_eq!(again.body["error"], "invalid_grant", "{why}");
            assert_ne!(
                again.body["error_description"], "provider-withdrew",
                "{why}"
            );
        }
    }
}

#[actix_web::test]
async fn while_it_does_not_answer_nothing_is_refreshed_and_nothing_is_lost() {
    for kind in KINDS {
        for fault in [
            WireFault::status(503),
            WireFault::status(429),
            WireFault::status(500),
        ] {
            let world = world().await;
            let first = signed_in(&world, &mut Browser::new(), &ann(kind)).await;
            world.broker.clock.advance(LATER);
            let control = stand_in(&world, kind).control();
            let why = format!("{kind}: {fault:?}");
            control.set(|behaviour| drop(behaviour.wire.insert(endpoint(kind), fault.clone())));
            for _ in 0..2 {
                assert_unanswered(&refreshed(&world, &first).await, &why);
            }
            control.set(|behaviour| behaviour.wire.clear());
            let again = refreshed(&world, &first).await;
            assert_eq!(again.status, 200, "{why}: {}", again.body);
        }
    }
}

#[actix_web::test]
async fn a_rate_limit_is_no_no_and_says_when_to_come_back() {
    let world = world().await;
    let first = signed_in(&world, &mut Browser::new(), &ann("github")).await;
    world.broker.clock.advance(LATER);
    let limit = countersign_dev_idp::github::RateLimit::Secondary { retry_after: 77 };
    let control = world.github.control();
    control.set(|behaviour| behaviour.github.rate_limit = Some(limit));
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", first.text("refresh_token")),
        ("client_id", "gallery"),
        ("client_secret", BrokerSetup::SECRET),
    ];
    let form = form.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let url = Url::parse(&format!("{}/token", world.broker.issuer)).expect("an address");
    let page = Browser::new().post(&url, &form).await;
    assert_eq!((page.status, page.header("retry-after")), (503, Some("77")));
    control.set(|behaviour| behaviour.github.rate_limit = None);
    assert_eq!(refreshed(&world, &first).await.status, 200);
}

#[actix_web::test]
async fn of_fifty_at_once_one_asks_and_the_session_goes_on() {
    for kind in ["oidc", "github"] {
        let world = world().await;
        let replica = world.replica();
        let first = signed_in(&world, &mut Browser::new(), &ann(kind)).await;
        world.broker.clock.advance(LATER);
        times_asked(&world, kind);
        let slow = WireFault::slow(std::time::Duration::from_millis(300));
        let control = stand_in(&world, kind).control();
        control.set(|behaviour| drop(behaviour.wire.insert(endpoint(kind), slow)));
        let token = first.text("refresh_token").to_owned();
        let mut all = JoinSet::new();
        for n in 0..50 {
            let broker = if n % 2 == 0 { &world.broker } else { &replica };
            let url = Url::parse(&format!("{}/token", broker.address)).expect("an address");
            let form = [
                ("grant_type", "refresh_token"),
                ("refresh_token", &token),
                ("client_id", "gallery"),
                ("client_secret", BrokerSetup::SECRET),
            ];
            let form = form.map(|(name, value)| (name.to_owned(), value.to_owned()));
            all.spawn_local(async move { Browser::new().post(&url, &form).await });
        }
        let answers = all.join_all().await;
        let good: Vec<_> = answers.iter().filter(|page| page.status == 200).collect();
        let statuses: Vec<u16> = answers.iter().map(|page| page.status).collect();
        assert_eq!(good.len(), 1, "{kind}: {statuses:?}");
        assert!(
            statuses.iter().all(|status| [200, 429].contains(status)),
            "{kind}: {statuses:?}"
        );
        assert_eq!(times_asked(&world, kind), 1, "{kind}");
        // The provider's token was replaced once, and the new one is good.
        let second = Tokens {
            status: 200,
            body: serde_json::from_str(&good[0].body).expect("JSON"),
        };
        world.broker.clock.advance(LATER);
        let third = refreshed_at(&replica, &second, ("gallery", BrokerSetup::SECRET)).await;
        assert_eq!(third.status, 200, "{kind}: {}", third.body);
    }
}

#[actix_web::test]
async fn a_client_that_hangs_up_loses_nothing_of_the_provider_s() {
    let world = world().await;
    let first = signed_in(&world, &mut Browser::new(), &ann("oidc")).await;
    world.broker.clock.advance(LATER);
    let slow = WireFault::slow(std::time::Duration::from_millis(500));
    let control = world.oidc.control();
    control.set(|behaviour| drop(behaviour.wire.insert(Endpoint::Jwks, slow.clone())));
    control.set(|behaviour| drop(behaviour.wire.insert(Endpoint::Token, slow)));
    let hurried = std::time::Duration::from_millis(200);
    let cut = tokio::time::timeout(hurried, refreshed(&world, &first)).await;
    assert!(cut.is_err(), "it was answered before the client hung up");
    // The one that hung up has asked; what it heard was kept, and this one waits for it. Its answer was lost.
    world.broker.clock.advance(10);
    let again = refreshed(&world, &first).await;
    assert_eq!(again.status, 200, "{}", again.body);
    assert_eq!(times_asked(&world, "oidc"), 1);
    world.broker.clock.advance(LATER);
    assert_eq!(refreshed(&world, &again).await.status, 200);
}

/// A store that fails once: at the `nth` call of an operation, before it is done or after it.
#[derive(Debug)]
struct FailsOnce {
    store: Arc<dyn Store>,
    operation: &'static str,
    calls_before: AtomicUsize,
    fails: Fails,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fails {
    Undone,
    Done,
}

impl Around for FailsOnce {
    fn within(&self) -> &dyn Store {
        self.store.as_ref()
    }

    async fn around<T: Send>(
        &self,
        operation: &'static str,
        done: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let failed = || Err(StoreError::Unavailable("for a moment".into()));
        let is_it =
            operation == self.operation && self.calls_before.fetch_sub(1, Ordering::Relaxed) == 0;
        match self.fails {
            Fails::Undone if is_it => failed(),
            Fails::Done if is_it => done.await.and_then(|_| failed()),
            Fails::Undone | Fails::Done => done.await,
        }
    }
}

/// The stand-in replaces its refresh tokens: whoever loses one is out at the next turn.
#[actix_web::test]
async fn a_store_that_fails_for_a_moment_loses_nothing_of_the_provider_s() {
    for (operation, calls_before, fails) in [
        ("replace_kept_token", 0, Fails::Undone),
        ("replace_kept_token", 0, Fails::Done),
        ("replace_kept_token", 1, Fails::Undone),
        ("replace_kept_token", 1, Fails::Done),
        ("organizations_at", 1, Fails::Undone),
    ] {
        let case = format!("{operation} after {calls_before}, {fails:?}");
        let world = world().await;
        let first = signed_in(&world, &mut Browser::new(), &ann("oidc")).await;
        let replica = world.replica_at(|store| {
            Arc::new(FailsOnce {
                store,
                operation,
                calls_before: AtomicUsize::new(calls_before),
                fails,
            })
        });
        world.broker.clock.advance(LATER);
        let gallery = ("gallery", BrokerSetup::SECRET);
        let mut next = refreshed_at(&replica, &first, gallery).await;
        if operation == "organizations_at" {
            assert_eq!(next.status, 503, "{case}: {}", next.body);
            // Nobody has the token, so nobody is waited for.
            next = refreshed_at(&replica, &first, gallery).await;
        }
        assert_eq!(next.status, 200, "{case}: {}", next.body);
        assert_eq!(times_asked(&world, "oidc"), 1, "{case}");
        world.broker.clock.advance(LATER);
        let last = refreshed(&world, &next).await;
        assert_eq!(last.status, 200, "{case}: {}", last.body);
        assert_eq!(times_asked(&world, "oidc"), 1, "{case}");
    }
}

#[actix_web::test]
async fn an_answer_that_cannot_be_verified_is_no_no() {
    let now = |world: &World| world.broker.clock.now().as_second();
    let claim = |name: &'static str, value: Value| {
        move |_: i64, behaviour: &mut Behaviour| {
            behaviour.back.claims.push(Edit::set(name, value.clone()));
        }
    };
    let aged = |name: &'static str, age: i64| {
        move |now: i64, behaviour: &mut Behaviour| {
            behaviour.back.claims.push(Edit::set(name, now - age));
        }
    };
    let faults: [(&str, Turn); 7] = [
        ("nonce", Box::new(claim("nonce", json!("another")))),
        ("iss", Box::new(claim("iss", json!("https://else.example")))),
        ("aud", Box::new(claim("aud", json!("another")))),
        ("iat", Box::new(aged("iat", 11 * MINUTE))),
        ("auth_time", Box::new(aged("auth_time", 3 * LATER))),
        (
            "signature",
            Box::new(|_, behaviour| behaviour.back.signing = Signing::ForeignKey),
        ),
        (
            "id_token",
            Box::new(|_, behaviour| {
                let edits = vec![Edit::remove("id_token")];
                behaviour.edits.insert(Document::TokenResponse, edits);
            }),
        ),
    ];
    for (what, turn) in faults {
        let world = world().await;
        let first = signed_in(&world, &mut Browser::new(), &ann("oidc")).await;
        world.broker.clock.advance(LATER);
        let control = world.oidc.control();
        let at = now(&world);
        control.set(|behaviour| turn(at, behaviour));
        assert_unanswered(&refreshed(&world, &first).await, what);
        control.set(|behaviour| {
            behaviour.back = countersign_dev_idp::TokenFaults::default();
            behaviour.edits.clear();
        });
        let again = refreshed(&world, &first).await;
        assert_eq!(again.status, 200, "{what}: {}", again.body);
    }
}

type Turn = Box<dyn Fn(i64, &mut Behaviour)>;

#[actix_web::test]
async fn errors_of_entra_are_a_no_or_none() {
    for (error, code, is_no) in [
        ("invalid_grant", 50173, true),
        ("invalid_grant", 70008, true),
        ("interaction_required", 50076, true),
        ("interaction_required", 50079, true),
        ("interaction_required", 53003, true),
        ("invalid_client", 7_000_222, false),
        ("unauthorized_client", 700_016, false),
        ("temporarily_unavailable", 90033, false),
        ("something_else", 1, false),
    ] {
        let world = world().await;
        let first = signed_in(&world, &mut Browser::new(), &ann("contoso")).await;
        world.broker.clock.advance(LATER);
        let answer = entra::TokenError {
            error: error.to_owned(),
            code,
            text: "No.".to_owned(),
            suberror: None,
            claims: None,
        };
        let control = world.entra.control();
        control.set(|behaviour| behaviour.entra.refresh_error = Some(answer));
        let refused = refreshed(&world, &first).await;
        if is_no {
            assert_withdrawn(&refused, error);
        } else {
            assert_unanswered(&refused, error);
            control.set(|behaviour| behaviour.entra.refresh_error = None);
            assert_eq!(refreshed(&world, &first).await.status, 200, "{error}");
        }
    }
}

#[actix_web::test]
async fn entra_is_asked_about_the_context_and_for_offline_access() {
    let world = world().await;
    let first = signed_in(&world, &mut Browser::new(), &ann("contoso")).await;
    let control = world.entra.control();
    let asked = control.last_authorize_request().expect("a departure");
    assert_eq!(
        asked.param("scope"),
        Some("openid profile email offline_access")
    );
    world.broker.clock.advance(LATER);
    assert_eq!(refreshed(&world, &first).await.status, 200);
    let requests = control.token_requests();
    let asked = requests.last().expect("a request");
    assert_eq!(asked.path, format!("/{}/oauth2/v2.0/token", entra::CONTOSO));
    let claims = asked.param("claims").expect("claims");
    let claims: Value = serde_json::from_str(claims).expect("JSON");
    assert_eq!(
        claims,
        json!({"id_token": {"acrs": {"essential": true, "value": "c1"}}})
    );
}

#[actix_web::test]
async fn a_token_of_github_s_that_ends_is_renewed() {
    let world = world().await;
    let control = world.github.control();
    control.set(|behaviour| behaviour.github.token_lifetime = Some(90 * MINUTE));
    let mut tokens = signed_in(&world, &mut Browser::new(), &ann("github")).await;
    for _ in 0..4 {
        world.broker.clock.advance(LATER);
        tokens = refreshed(&world, &tokens).await;
        assert_eq!(tokens.status, 200, "{}", tokens.body);
    }
}

#[actix_web::test]
async fn what_waits_for_the_person_is_kept_as_well() {
    // By `form_post`, and after a second leg.
    let world = world().await;
    let entra = Login::new("entra", "wes-when-asked").with("scope", "openid packages:manage");
    let code = world
        .sign_in_with_step_up(&mut Browser::new(), &entra)
        .await
        .code();
    let tokens = world.redeem(&code).await;
    world.broker.clock.advance(LATER);
    let control = world.entra.control();
    control.set(|behaviour| behaviour.entra.acr_legs = entra::AcrLegs::Both);
    let second = refreshed(&world, &tokens).await;
    assert_eq!(second.status, 200, "{}", second.body);
    // Where the proof comes in the front channel alone, silence is no proof.
    world.broker.clock.advance(LATER);
    control.set(|behaviour| behaviour.entra.acr_legs = entra::AcrLegs::FrontOnly);
    assert_withdrawn(&refreshed(&world, &second).await, "front channel");
}

#[actix_web::test]
async fn a_session_with_nothing_to_ask_with_ends_when_it_is_due() {
    for kind in ["oidc", "contoso"] {
        let world = world().await;
        let control = stand_in(&world, kind).control();
        let without = vec![Edit::remove("refresh_token")];
        control.set(|behaviour| drop(behaviour.edits.insert(Document::TokenResponse, without)));
        let first = signed_in(&world, &mut Browser::new(), &ann(kind)).await;
        control.set(|behaviour| behaviour.edits.clear());
        let second = refreshed(&world, &first).await;
        assert_eq!(second.status, 200, "{kind}: {}", second.body);
        world.broker.clock.advance(LATER);
        assert_withdrawn(&refreshed(&world, &second).await, kind);
    }
}

#[actix_web::test]
async fn without_recheck_nothing_is_asked_for_and_nothing_is_kept() {
    for kind in KINDS {
        let world = world_with(None, None).await;
        let control = stand_in(&world, kind).control();
        let tokens = signed_in(&world, &mut Browser::new(), &ann(kind)).await;
        let asked = control.last_authorize_request().expect("a departure");
        let scope = asked.param("scope").expect("scopes");
        assert!(!scope.contains("offline_access"), "{kind}: {scope}");
        let store = world.broker.look();
        let sid = tokens.access()["sid"]
            .as_str()
            .expect("a session")
            .to_owned();
        let session = SessionId::new(sid).expect("a session");
        let kept = store.kept_token(&session, world.broker.clock.now()).await;
        assert_eq!(kept.expect("an answer"), None, "{kind}");
        switch_off(&world, kind);
        world.broker.clock.advance(LATER);
        times_asked(&world, kind);
        assert_eq!(refreshed(&world, &tokens).await.status, 200, "{kind}");
        assert_eq!(times_asked(&world, kind), 0, "{kind}");
    }
}

/// Not the tokens themselves, nor in base64 of any alignment.
#[actix_web::test]
async fn nothing_of_a_provider_s_token_can_be_read_where_it_is_kept() {
    for (kind, beginnings) in [
        ("oidc", ["rt_", "refresh_token"]),
        ("contoso", ["1.Axxxx", "xxxxxxxx"]),
        ("github", ["gho_", "access_token"]),
    ] {
        let world = world().await;
        let first = signed_in(&world, &mut Browser::new(), &ann(kind)).await;
        let sid = first.access()["sid"]
            .as_str()
            .expect("a session")
            .to_owned();
        let session = SessionId::new(sid).expect("a session");
        let store = world.broker.look();
        let kept = store.kept_token(&session, world.broker.clock.now()).await;
        let (kept, _) = kept.expect("an answer").expect("a token");
        assert!(!format!("{kept:?}").contains(&kept.sealed.0), "{kept:?}");
        world.broker.clock.advance(LATER);
        assert_eq!(refreshed(&world, &first).await.status, 200, "{kind}");
        let mut searched = 0;
        for file in fs::read_dir(world.broker.data()).expect("its files") {
            let bytes = fs::read(file.expect("a file").path()).expect("its bytes");
            searched += bytes.len();
            for text in beginnings {
                let found = bytes
                    .windows(text.len())
                    .any(|part| part == text.as_bytes());
                assert!(!found, "{kind}: `{text}` can be read");
            }
        }
        assert!(searched > 0);
    }
}
