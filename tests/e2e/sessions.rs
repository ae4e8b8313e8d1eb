//! Sessions in browsers: one sign-in for many clients, weighed anew for each; seen and ended by the person.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use countersign_core::{AccountId, AttemptId, ClientId, SessionId};
use countersign_dev_idp::entra::OptionalClaim;
use countersign_dev_idp::{Edit, Signing};
use countersign_server::{
    Client, ClientAuthentication, Clock, GrantType, SecretDigest, SigningAlgorithm,
};
use countersign_store::{Opening, Session, Store, conformance};
use countersign_tests::{BrokerSetup, Browser, Login, Page, Tokens, World, wire};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use url::Url;

const SECRET: &str = "secret-of-the-other";
const AFTER: &str = "http://127.0.0.3:9/signed-out";
const HOUR: i64 = 60 * 60;

/// The usual world with a second client, `other`, and a public one that listens on loopback, `tool`.
async fn world() -> World {
    World::with(|setup| {
        setup.gallery().post_logout_redirect_uris = vec![AFTER.into()];
        setup.gallery().grants.insert(GrantType::RefreshToken);
        for (id, authentication) in [
            (
                "other",
                ClientAuthentication::Secret(SecretDigest::of(SECRET)),
            ),
            ("tool", ClientAuthentication::Public),
        ] {
            let tier = format!("\n[client.{id}]\ntier = \"manage\"\n");
            setup.policy.push_str(&tier);
            let redirect_uris = vec![BrokerSetup::REDIRECT_URI.into()];
            let resource = BrokerSetup::AUDIENCE;
            let client = Client::new("Another", redirect_uris, authentication, resource);
            let id = ClientId::new(id).expect("a client id");
            setup.clients.insert(id, client);
        }
    })
    .await
}

fn ann() -> Login {
    Login::new("oidc", "ann-mfa")
}

/// A client's address for logout tokens: keeps what is posted, and answers with what it was given.
pub(crate) struct Listener {
    pub(crate) url: Url,
    posted: mpsc::UnboundedReceiver<String>,
}

impl Listener {
    pub(crate) fn start(mut answers: Vec<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.3:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (sender, posted) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let body = read_request(&mut stream);
                let status = if answers.len() > 1 {
                    answers.remove(0)
                } else {
                    answers[0]
                };
                let answer = format!(
                    "HTTP/1.1 {status} Told\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                );
                stream.write_all(answer.as_bytes()).expect("an answer");
                if sender.send(body).is_err() {
                    return;
                }
            }
        });
        let url = Url::parse(&format!("http://{address}/logout")).expect("an address");
        Self { url, posted }
    }

    /// The next logout token that arrives.
    pub(crate) async fn heard(&mut self) -> String {
        let wait = std::time::Duration::from_secs(30);
        let body = tokio::time::timeout(wait, self.posted.recv()).await;
        let body = body.expect("a logout token in time").expect("a listener");
        let mut fields = url::form_urlencoded::parse(body.as_bytes());
        let (name, token) = fields.next().expect("a field");
        assert_eq!((name.as_ref(), fields.next()), ("logout_token", None));
        token.into_owned()
    }
}

/// The body of a request that says how long it is.
fn read_request(stream: &mut TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    String::from_utf8(body).expect("a form")
}

/// The usual world in which both clients want to be told of the end of sessions.
async fn world_that_tells(gallery: &Listener, other: &Listener) -> World {
    World::with(|setup| {
        setup.gallery().backchannel_logout_uri = Some(gallery.url.clone());
        setup
            .policy
            .push_str("\n[client.other]\ntier = \"manage\"\n");
        let secret = ClientAuthentication::Secret(SecretDigest::of(SECRET));
        let redirect_uris = vec![BrokerSetup::REDIRECT_URI.into()];
        let mut client = Client::new("Another", redirect_uris, secret, BrokerSetup::AUDIENCE);
        client.id_token_algorithm = SigningAlgorithm::Es256;
        client.backchannel_logout_uri = Some(other.url.clone());
        let id = ClientId::new("other").expect("a client id");
        setup.clients.insert(id, client);
    })
    .await
}

/// A request of the second client's that names no provider.
fn at_other() -> Login {
    ann().with("client_id", "other").with("provider", "")
}

async fn asked(world: &World, browser: &mut Browser, login: &Login) -> Page {
    browser.get(&world.authorize_url(login)).await
}

/// In a word: what the client got at once, or that the person has to do something.
fn at_once(page: &Page) -> String {
    match (page.sent_with("code"), page.sent_with("error")) {
        (Some(_), None) => "code".into(),
        (None, Some(error)) => error,
        (_, _) => "sign-in".into(),
    }
}

async fn silently(world: &World, browser: &mut Browser, login: &Login) -> String {
    at_once(&asked(world, browser, &login.clone().with("prompt", "none")).await)
}

async fn signed_in(world: &World, browser: &mut Browser) -> Tokens {
    let code = world.sign_in(browser, &ann()).await.code();
    let tokens = world.redeem(&code).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    tokens
}

async fn redeemed_by_other(world: &World, page: &Page) -> Tokens {
    let code = page.sent_with("code").expect("a code");
    let changed = [
        ("code", code.as_str()),
        ("client_id", "other"),
        ("client_secret", SECRET),
    ];
    world.redeem_with(&changed).await
}

fn url(world: &World, path: &str) -> Url {
    Url::parse(&format!("{}{path}", world.broker.issuer)).expect("an address")
}

async fn at(world: &World, browser: &mut Browser, path: &str) -> Page {
    browser.get(&url(world, path)).await
}

fn logout_path(parameters: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::from("/logout?"));
    query.extend_pairs(parameters).finish()
}

/// Presses the button with this text.
async fn press(browser: &mut Browser, page: &Page, text: &str) -> Page {
    let before = page.body.split(text).next().expect("a text before it");
    assert!(
        before.len() < page.body.len(),
        "no `{text}` in {}",
        page.body
    );
    let form = before.rsplit("<form ").next().expect("a form");
    let part = |name: &str| {
        let rest = form.split(&format!("{name}=\"")).nth(1);
        rest.and_then(|rest| rest.split('"').next())
            .expect("an attribute")
    };
    let to = page.url.join(part("action")).expect("an address");
    let fields = [("form".to_owned(), part("value").to_owned())];
    browser.post(&to, &fields).await
}

#[actix_web::test]
async fn one_sign_in_serves_another_client_with_the_evidence_as_it_was() {
    let (world, mut browser) = (world().await, Browser::new());
    let first = signed_in(&world, &mut browser).await;
    let page = asked(&world, &mut browser, &at_other()).await;
    assert_eq!(at_once(&page), "code", "{}", page.body);
    let second = redeemed_by_other(&world, &page).await;
    assert_eq!(second.status, 200, "{}", second.body);
    let (first, second) = (first.id(), second.id());
    for claim in ["sub", "sid", "acr", "amr", "auth_time"] {
        assert_eq!(first[claim], second[claim], "{claim}");
    }
    assert_eq!(second["aud"], "other");
    assert_eq!(second["nonce"], "nonce-of-the-client");
}

#[actix_web::test]
async fn a_code_from_a_session_is_good_once_for_its_client() {
    let (world, mut browser) = (world().await, Browser::new());
    signed_in(&world, &mut browser).await;
    let stolen = asked(&world, &mut browser, &at_other()).await;
    assert_eq!(world.redeem(&stolen).await.body["error"], "invalid_grant");
    // A code in another client's hands ends the session that it stands for.
    assert_eq!(
        silently(&world, &mut browser, &ann()).await,
        "login_required"
    );

    let mut browser = Browser::new();
    signed_in(&world, &mut browser).await;
    let page = asked(&world, &mut browser, &at_other()).await;
    assert_eq!(redeemed_by_other(&world, &page).await.status, 200);
    assert_eq!(silently(&world, &mut browser, &ann()).await, "code");
    assert_eq!(redeemed_by_other(&world, &page).await.status, 400);
    assert_eq!(
        silently(&world, &mut browser, &ann()).await,
        "login_required"
    );
}

#[actix_web::test]
async fn the_policy_is_asked_anew_for_every_client_and_action() {
    let (world, mut browser) = (world().await, Browser::new());
    // GitHub's flag is good for `manage`, and not for `administer`.
    let octo = Login::new("github", "ann-mfa");
    world.sign_in(&mut browser, &octo).await.code();
    assert_eq!(silently(&world, &mut browser, &at_other()).await, "code");
    let more = at_other().with("scope", "openid tenants:write");
    let page = asked(&world, &mut browser, &more.clone().with("prompt", "none")).await;
    let some = redeemed_by_other(&world, &page).await;
    assert_eq!(
        some.body["unmet_scopes"][0]["scope"], "tenants:write",
        "{}",
        some.body
    );
    let page = asked(&world, &mut browser, &more).await;
    assert_eq!(
        page.status, 200,
        "who can show more elsewhere may choose: {:?}",
        page.location
    );
    assert!(
        page.body.contains("Choose who signs you in"),
        "{}",
        page.body
    );

    let stricter = world.broker.policy_text.replace(
        "\n[client.other]\ntier = \"manage\"\n",
        "\n[client.other]\ntier = \"administer\"\n",
    );
    world.broker.enforce(&stricter);
    let told = silently(&world, &mut browser, &at_other()).await;
    assert_eq!(
        told, "interaction_required",
        "the client's tier has been raised"
    );
    assert_eq!(
        silently(&world, &mut browser, &octo.with("provider", "")).await,
        "code"
    );
}

#[actix_web::test]
async fn what_a_session_lacks_is_asked_of_its_own_provider_and_a_new_session_begins() {
    let (world, mut browser) = (world().await, Browser::new());
    world.share_clock();
    let first = signed_in(&world, &mut browser).await;
    world.broker.clock.advance_by(SignedDuration::from_mins(30));
    let fresh = at_other().with("max_age", "60");
    assert_eq!(
        silently(&world, &mut browser, &fresh).await,
        "login_required"
    );
    let page = asked(&world, &mut browser, &fresh).await;
    let to = page.location.as_ref().expect("a way to the provider");
    assert!(to.as_str().starts_with(world.oidc.base_url()), "{to}");
    let hint = page.sent_with("login_hint").expect("a hint");
    assert!(hint.contains('@'), "{hint}");
    let code = world.go_on(&mut browser, page, &fresh).await.code();
    let raised = redeemed_by_other(&world, &code).await;
    assert_eq!(raised.status, 200, "{}", raised.body);
    let (before, after) = (first.id(), raised.id());
    assert_ne!(
        before["sid"], after["sid"],
        "a raised session has another name"
    );
    assert_eq!(before["sub"], after["sub"]);
    assert_eq!(silently(&world, &mut browser, &fresh).await, "code");
    // The one before is not forgotten: they end together.
    let hint = raised.body["id_token"].as_str().expect("an ID token");
    at(
        &world,
        &mut browser,
        &logout_path(&[("id_token_hint", hint)]),
    )
    .await;
    let sids = [before["sid"].as_str(), after["sid"].as_str()];
    for sid in sids.into_iter().flatten() {
        assert!(!lives(&world, sid).await, "{sid}");
    }
}

async fn lives(world: &World, sid: &str) -> bool {
    let id = countersign_core::SessionId::new(sid).expect("a session id");
    let session = world
        .broker
        .look()
        .session(&id, world.broker.clock.now())
        .await;
    session.expect("an answer").is_some()
}

#[actix_web::test]
async fn a_request_that_means_somebody_or_something_else_is_not_answered_from_the_session() {
    let (world, mut browser) = (world().await, Browser::new());
    signed_in(&world, &mut browser).await;
    for (name, value) in [
        ("provider", "github"),
        ("login_hint", "somebody@else.example"),
        ("tenant", countersign_dev_idp::entra::CONTOSO),
        ("max_age", "0"),
    ] {
        let login = at_other().with(name, value);
        assert_eq!(
            silently(&world, &mut browser, &login).await,
            "login_required",
            "{name}"
        );
        let page = asked(&world, &mut browser, &login).await;
        assert_eq!(at_once(&page), "sign-in", "{name}");
    }
    for prompt in ["login", "select_account"] {
        let page = asked(&world, &mut browser, &at_other().with("prompt", prompt)).await;
        assert_eq!(at_once(&page), "sign-in", "{prompt}");
    }
    let same = at_other()
        .with("provider", "oidc")
        .with("login_hint", "ANN-MFA@example.org");
    let told = silently(&world, &mut browser, &same).await;
    assert!(told == "code" || told == "login_required", "{told}");
    let both = at_other().with("prompt", "none login");
    assert_eq!(
        at_once(&asked(&world, &mut browser, &both).await),
        "invalid_request"
    );
}

#[actix_web::test]
async fn no_page_is_ever_shown_under_prompt_none() {
    let world = world().await;
    let page = asked(&world, &mut Browser::new(), &ann().with("prompt", "none")).await;
    assert_eq!(at_once(&page), "login_required");
    assert_eq!(
        page.sent_with("state").as_deref(),
        Some("state-of-the-client")
    );
    assert_eq!(page.sent_with("iss"), Some(world.broker.issuer.clone()));
}

#[actix_web::test]
async fn a_program_on_the_persons_machine_is_never_answered_in_silence() {
    let (world, mut browser) = (world().await, Browser::new());
    signed_in(&world, &mut browser).await;
    let tool = at_other().with("client_id", "tool");
    assert_eq!(
        silently(&world, &mut browser, &tool).await,
        "login_required"
    );
    assert_eq!(
        at_once(&asked(&world, &mut browser, &tool).await),
        "sign-in"
    );
}

#[actix_web::test]
async fn an_id_token_hint_names_the_one_who_may_answer() {
    let (world, mut browser) = (world().await, Browser::new());
    world.share_clock();
    let tokens = signed_in(&world, &mut browser).await;
    let hint = tokens.body["id_token"].as_str().expect("an ID token");
    let hinted = ann().with("provider", "").with("id_token_hint", hint);
    assert_eq!(silently(&world, &mut browser, &hinted).await, "code");
    world.broker.clock.advance_by(SignedDuration::from_hours(1));
    assert_eq!(
        silently(&world, &mut browser, &hinted).await,
        "code",
        "it has expired, and says enough"
    );

    let mut other = Browser::new();
    let ben = Login::new("oidc", "stan-string");
    world.sign_in(&mut other, &ben).await.code();
    assert_eq!(
        silently(&world, &mut other, &hinted).await,
        "login_required"
    );
    let answered_by_ben = Login {
        account: ben.account,
        ..hinted.clone()
    }
    .with("provider", "oidc")
    .with("prompt", "login");
    let outcome = world
        .sign_in_with_step_up(&mut other, &answered_by_ben)
        .await;
    assert_eq!(outcome.summary(), "client: login_required");

    let mut forged = hint.to_owned();
    forged.replace_range(hint.len() - 6..hint.len() - 4, "AA");
    let access_token = tokens.body["access_token"].as_str().expect("a token");
    for bad in [forged.as_str(), access_token, "nonsense"] {
        let page = asked(&world, &mut browser, &ann().with("id_token_hint", bad)).await;
        assert_eq!(at_once(&page), "invalid_request", "{bad}");
    }
    let of_another_client = at_other().with("id_token_hint", hint);
    let page = asked(&world, &mut browser, &of_another_client).await;
    assert_eq!(at_once(&page), "invalid_request");
}

#[actix_web::test]
async fn a_session_ends_when_it_is_not_used_and_at_its_end_whatever_happens() {
    let (world, mut browser) = (world().await, Browser::new());
    signed_in(&world, &mut browser).await;
    for _ in 0..6 {
        world
            .broker
            .clock
            .advance_by(SignedDuration::from_secs(2 * HOUR - 60));
        let login = at_other();
        let told = silently(&world, &mut browser, &login).await;
        if told == "login_required" {
            break; // the policy's own clocks, or the absolute end
        }
    }
    world.broker.clock.advance_by(SignedDuration::from_hours(2));
    assert_eq!(
        silently(&world, &mut browser, &at_other()).await,
        "login_required"
    );
}

#[actix_web::test]
async fn a_planted_or_made_up_cookie_is_no_session() {
    let (world, mut victim) = (world().await, Browser::new());
    let tokens = signed_in(&world, &mut victim).await;
    let name = "__Host-countersign-session";
    let good = victim.cookies["127.0.0.1"][name].clone();
    let sid = tokens.id()["sid"].as_str().expect("a sid").to_owned();
    let path = world.authorize_url(&at_other().with("prompt", "none"));
    let path = format!("{}?{}", path.path(), path.query().unwrap_or_default());
    let answered = async |cookie: String| {
        let page = wire::get(&world.broker.issuer, &path, &[("cookie", &cookie)]).await;
        at_once(&page)
    };
    assert_eq!(answered(format!("{name}={good}")).await, "code");
    for bad in [
        format!("{name}={sid}"),
        format!("{name}={good}; {name}={good}"),
        format!("{name}={}", &good[..good.len() - 2]),
        format!("countersign-session={good}"),
        format!("%5F_Host-countersign-session={good}"),
    ] {
        assert_eq!(answered(bad.clone()).await, "login_required", "{bad}");
    }
}

#[actix_web::test]
async fn the_session_cookie_ends_with_the_browser_and_no_script_reads_it() {
    let (world, mut browser) = (world().await, Browser::new());
    let page = world.sign_in(&mut browser, &ann()).await.code();
    let set = page
        .set_cookies
        .iter()
        .find(|line| line.starts_with("__Host-countersign-session="));
    let attributes = set.expect("the cookie").to_ascii_lowercase();
    for wanted in ["secure", "httponly", "samesite=lax", "path=/"] {
        assert!(attributes.contains(wanted), "{wanted}: {attributes}");
    }
    for unwanted in ["max-age", "expires", "domain"] {
        assert!(!attributes.contains(unwanted), "{unwanted}: {attributes}");
    }
}

#[actix_web::test]
async fn a_person_sees_their_sessions_and_ends_them() {
    let world = world().await;
    let (mut here, mut there) = (Browser::new(), Browser::new());
    let first = signed_in(&world, &mut here).await;
    asked(&world, &mut here, &at_other()).await;
    let second = signed_in(&world, &mut there).await;
    let page = at(&world, &mut here, "/session").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.body.matches("<h2>").count(), 2, "{}", page.body);
    assert!(
        page.body.contains("Another, Example Gallery")
            || page.body.contains("Example Gallery, Another"),
        "{}",
        page.body
    );
    let answer = press(&mut here, &page, "End this session").await;
    assert_eq!(answer.status, 303, "{}", answer.body);
    assert_eq!(
        silently(&world, &mut there, &at_other()).await,
        "login_required"
    );
    let refused = refreshed(&world, &second).await;
    assert_eq!(
        refused.body["error"], "invalid_grant",
        "its clients' tokens ended with it"
    );
    assert_eq!(refreshed(&world, &first).await.status, 200);

    let page = at(&world, &mut here, "/session").await;
    assert_eq!(page.body.matches("<h2>").count(), 1);
    let page = press(&mut here, &page, "Sign out here").await;
    assert!(page.body.contains("You are signed out"), "{}", page.body);
    let page = at(&world, &mut here, "/session").await;
    assert!(page.body.contains("You are not signed in"), "{}", page.body);
    let ended = world.broker.audited(&["session-ended"]);
    assert_eq!(
        ended,
        ["session-ended by-the-person", "session-ended by-the-person"]
    );
}

#[actix_web::test]
async fn all_other_sessions_end_at_once() {
    let world = world().await;
    let mut browsers = [Browser::new(), Browser::new(), Browser::new()];
    for browser in &mut browsers {
        signed_in(&world, browser).await;
    }
    let [here, one, two] = &mut browsers;
    let page = at(&world, here, "/session").await;
    press(here, &page, "End all other sessions").await;
    for (browser, told) in [
        (one, "login_required"),
        (two, "login_required"),
        (here, "code"),
    ] {
        assert_eq!(silently(&world, browser, &at_other()).await, told);
    }
}

/// More sessions of whoever these tokens are of, opened after it, than are listed at once.
async fn many_more(world: &World, tokens: &Tokens) {
    let (store, now) = (world.broker.store(), world.broker.clock.now());
    let sid = SessionId::new(sid_of(tokens)).expect("a session id");
    let first = store.session(&sid, now).await.expect("a store");
    let first = first.expect("a session");
    for n in 1..=120_u8 {
        let attempt = AttemptId::new(format!("{n:032x}")).expect("an attempt");
        let opening = Opening {
            session: Session {
                id: SessionId::of(&attempt),
                ..first.clone()
            },
            attempt,
            ..conformance::opening(n)
        };
        let opening = Opening {
            idle_until: first.expires_at,
            ..opening
        };
        store.open_session(opening, now).await.expect("a session");
    }
}

#[actix_web::test]
async fn however_many_sessions_somebody_has_all_others_end() {
    let (world, mut here) = (world().await, Browser::new());
    let oldest = signed_in(&world, &mut Browser::new()).await;
    many_more(&world, &oldest).await;
    signed_in(&world, &mut here).await;
    let page = at(&world, &mut here, "/session").await;
    let buttons = |page: &Page| page.body.matches("End this session").count();
    assert_eq!(buttons(&page), 99, "and the one of this browser");
    let (_, after) = page.body.split_once("/session?after=").expect("a way on");
    let (after, _) = after.split_once('"').expect("an address");
    let next = at(&world, &mut here, &format!("/session?after={after}")).await;
    assert_eq!(buttons(&next), 22);
    assert!(!next.body.contains("/session?after="), "{}", next.body);
    // Somebody else's session, one that is not there and noise are the beginning.
    let ben = Login::new("oidc", "stan-string");
    let code = world.sign_in(&mut Browser::new(), &ben).await.code();
    let of_another = sid_of(&world.redeem(&code).await);
    for noise in ["sess_0", "%00", &of_another] {
        let first = at(&world, &mut here, &format!("/session?after={noise}")).await;
        assert_eq!(buttons(&first), 99, "{noise}");
    }
    press(&mut here, &page, "End all other sessions").await;
    assert_eq!(refreshed(&world, &oldest).await.status, 400);
    assert_eq!(silently(&world, &mut here, &at_other()).await, "code");
    let account = oldest.access()["sub"].as_str().map(AccountId::new);
    let account = account.expect("a subject").expect("an account id");
    let now = world.broker.clock.now();
    let left = world.broker.store().sessions_of(&account, None, now).await;
    assert_eq!(left.expect("a store").len(), 1);
}

#[actix_web::test]
async fn however_many_sessions_somebody_has_a_sign_out_at_the_provider_ends_them() {
    for (claim, value) in [("sub", "sub-ann-mfa"), ("sid", "s1")] {
        let world = world().await;
        world.share_clock();
        world.oidc.control().set(|b| {
            b.back.claims = vec![Edit::append("sid", "s1")];
        });
        let oldest = signed_in(&world, &mut Browser::new()).await;
        world.oidc.control().set(|b| b.back.claims = Vec::new());
        many_more(&world, &oldest).await;
        let told = json!({
            "iss": world.oidc.base_url(), "aud": countersign_dev_idp::Client::DEVELOPMENT_ID,
            "iat": world.oidc.control().now(), "jti": claim, claim: value,
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        });
        let token = told.as_object().expect("an object").clone();
        let form = [(
            "logout_token".to_owned(),
            world.oidc.control().logout_token(token),
        )];
        let page = Browser::new()
            .post(&url(&world, "/callback/oidc/logout"), &form)
            .await;
        assert_eq!(page.status, 200, "{}", page.body);
        assert!(!lives(&world, &sid_of(&oldest)).await, "by `{claim}`");
    }
}

async fn refreshed(world: &World, tokens: &Tokens) -> Tokens {
    let refresh_token = tokens.body["refresh_token"]
        .as_str()
        .expect("a refresh token");
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token),
        ("redirect_uri", ""),
        ("code_verifier", ""),
    ];
    world.redeem_with(&form).await
}

#[actix_web::test]
async fn nobody_ends_a_session_with_another_persons_form_or_an_old_one() {
    let world = world().await;
    let (mut ann, mut ben) = (Browser::new(), Browser::new());
    signed_in(&world, &mut ann).await;
    world
        .sign_in(&mut ben, &Login::new("oidc", "stan-string"))
        .await
        .code();
    let of_ann = at(&world, &mut ann, "/session").await;
    let fields = |page: &Page| vec![("form".to_owned(), page.field("form").expect("a form"))];
    let end = url(&world, "/session/end");
    let refused = ben.post(&end, &fields(&of_ann)).await;
    assert_eq!(
        (refused.status, refused.reason_code()),
        (400, Some("form-expired"))
    );
    let nobody = Browser::new().post(&end, &fields(&of_ann)).await;
    assert_eq!(
        (nobody.status, nobody.reason_code()),
        (400, Some("signed-out"))
    );
    let confirm = url(&world, "/logout/confirm");
    let refused = ann.post(&confirm, &fields(&of_ann)).await;
    assert_eq!(
        refused.reason_code(),
        Some("form-expired"),
        "one form is not another"
    );
    world.broker.clock.advance_by(SignedDuration::from_mins(61));
    let late = ann.post(&end, &fields(&of_ann)).await;
    assert_eq!(late.reason_code(), Some("form-expired"));
    assert_eq!(silently(&world, &mut ann, &at_other()).await, "code");
    assert_eq!(silently(&world, &mut ben, &at_other()).await, "code");
}

#[actix_web::test]
async fn a_client_signs_a_person_out_with_the_id_token_of_the_session() {
    let (world, mut browser) = (world().await, Browser::new());
    let tokens = signed_in(&world, &mut browser).await;
    let hint = tokens.body["id_token"].as_str().expect("an ID token");
    let path = logout_path(&[
        ("id_token_hint", hint),
        ("post_logout_redirect_uri", AFTER),
        ("state", "a&b"),
    ]);
    world.broker.clock.advance_by(SignedDuration::from_mins(20));
    let page = at(&world, &mut browser, &path).await;
    let to = page.location.as_ref().map(Url::as_str);
    assert_eq!(
        to,
        Some(format!("{AFTER}?state=a%26b").as_str()),
        "{}",
        page.body
    );
    assert_eq!(
        silently(&world, &mut browser, &ann()).await,
        "login_required"
    );
    let access_token = tokens.body["access_token"].as_str().expect("a token");
    let authorization = format!("Bearer {access_token}");
    let told = wire::get(
        &world.broker.issuer,
        "/userinfo",
        &[("authorization", &authorization)],
    )
    .await;
    assert_eq!(told.status, 401);
    assert_eq!(
        refreshed(&world, &tokens).await.body["error"],
        "invalid_grant"
    );
    // Once more: nothing is left to end, and the way back is the same.
    let page = at(&world, &mut browser, &path).await;
    assert_eq!(page.location.as_ref().map(Url::as_str), to);
    let ended = world.broker.audited(&["session-ended"]);
    assert_eq!(ended, ["session-ended logout"]);
}

#[actix_web::test]
async fn a_sign_out_by_form_ends_as_one_by_address() {
    let (world, mut browser) = (world().await, Browser::new());
    let tokens = signed_in(&world, &mut browser).await;
    let hint = tokens.body["id_token"]
        .as_str()
        .expect("an ID token")
        .to_owned();
    let form = [("id_token_hint".to_owned(), hint)];
    let page = browser.post(&url(&world, "/logout"), &form).await;
    assert_eq!(page.status, 303);
    let page = browser.get(&page.location.expect("the same by GET")).await;
    assert!(page.body.contains("You are signed out"), "{}", page.body);
}

#[actix_web::test]
async fn without_an_id_token_of_this_session_the_person_is_asked() {
    let world = world().await;
    let (mut browser, mut elsewhere) = (Browser::new(), Browser::new());
    signed_in(&world, &mut browser).await;
    let of_another = signed_in(&world, &mut elsewhere).await;
    let of_another = of_another.body["id_token"].as_str().expect("an ID token");
    let cases = [
        vec![],
        vec![
            ("client_id", "gallery"),
            ("post_logout_redirect_uri", AFTER),
        ],
        vec![
            ("id_token_hint", of_another),
            ("post_logout_redirect_uri", AFTER),
        ],
    ];
    for parameters in &cases {
        let page = at(&world, &mut browser, &logout_path(parameters)).await;
        assert_eq!(
            (page.status, page.location.as_ref()),
            (200, None),
            "{parameters:?}"
        );
        assert!(page.body.contains("Sign out?"), "{}", page.body);
        assert_eq!(
            silently(&world, &mut browser, &at_other()).await,
            "code",
            "ended without a yes"
        );
    }
    let page = at(&world, &mut browser, &logout_path(&cases[1])).await;
    let page = press(&mut browser, &page, "Sign out</button>").await;
    assert!(page.body.contains("You are signed out"), "{}", page.body);
    assert_eq!(page.link_to(AFTER).as_ref().map(Url::as_str), Some(AFTER));
    assert_eq!(
        silently(&world, &mut browser, &at_other()).await,
        "login_required"
    );
    assert_eq!(silently(&world, &mut elsewhere, &at_other()).await, "code");
}

#[actix_web::test]
async fn a_sign_out_leads_nowhere_it_should_not_and_then_ends_nothing() {
    let (world, mut browser) = (world().await, Browser::new());
    let tokens = signed_in(&world, &mut browser).await;
    let hint = tokens.body["id_token"].as_str().expect("an ID token");
    let bent = format!("{AFTER}?foo=bar");
    for to in [
        "https://evil.example/",
        "//evil.example/",
        bent.as_str(),
        BrokerSetup::REDIRECT_URI,
        "javascript:alert(1)",
    ] {
        let path = logout_path(&[("id_token_hint", hint), ("post_logout_redirect_uri", to)]);
        let page = at(&world, &mut browser, &path).await;
        let code = page.reason_code();
        assert_eq!(
            code,
            Some("post-logout-redirect-uri-not-registered"),
            "{to}"
        );
        assert_eq!(page.location, None);
    }
    let without_client = logout_path(&[("post_logout_redirect_uri", AFTER)]);
    let mut unsigned = hint.rsplit_once('.').expect("a signature").0.to_owned();
    unsigned.push('.');
    let forged = logout_path(&[("id_token_hint", &unsigned)]);
    let of_other = logout_path(&[("id_token_hint", hint), ("client_id", "other")]);
    for path in [without_client, forged, of_other] {
        let page = at(&world, &mut browser, &path).await;
        assert_eq!((page.status, page.location), (400, None), "{path}");
    }
    assert_eq!(silently(&world, &mut browser, &at_other()).await, "code");
}

#[actix_web::test]
async fn a_sign_in_as_somebody_else_takes_the_browser_and_leaves_the_other_session_alone() {
    let (world, mut browser) = (world().await, Browser::new());
    let first = signed_in(&world, &mut browser).await;
    let ben = Login::new("oidc", "stan-string").with("prompt", "select_account");
    let outcome = world.sign_in(&mut browser, &ben).await;
    let second = world.redeem(&outcome.code()).await;
    let hint = second.body["id_token"].as_str().expect("an ID token");
    at(
        &world,
        &mut browser,
        &logout_path(&[("id_token_hint", hint)]),
    )
    .await;
    let sid = |tokens: &Tokens| {
        tokens.id()["sid"]
            .as_str()
            .map(str::to_owned)
            .expect("a sid")
    };
    assert!(!lives(&world, &sid(&second)).await);
    assert!(
        lives(&world, &sid(&first)).await,
        "another person's session was ended"
    );
}

#[actix_web::test]
async fn a_client_that_the_policy_has_dropped_gets_nothing_from_a_session() {
    let (world, mut browser) = (world().await, Browser::new());
    signed_in(&world, &mut browser).await;
    let dropped = "\n[client.other]\ntier = \"manage\"\n";
    let without = world.broker.policy_text.replace(dropped, "");
    world.broker.enforce(&without);
    let told = silently(&world, &mut browser, &at_other()).await;
    assert_eq!(told, "interaction_required");
}

#[actix_web::test]
async fn every_client_of_a_session_is_told_of_its_end_by_a_token_that_is_no_id_token() {
    let (mut gallery, mut other) = (Listener::start(vec![200]), Listener::start(vec![204]));
    let world = world_that_tells(&gallery, &other).await;
    let mut browser = Browser::new();
    let tokens = signed_in(&world, &mut browser).await;
    let page = asked(&world, &mut browser, &at_other()).await;
    assert_eq!(redeemed_by_other(&world, &page).await.status, 200);
    let page = at(&world, &mut browser, "/session").await;
    press(&mut browser, &page, "Sign out here").await;

    let keys = wire::get(&world.broker.issuer, "/jwks.json", &[]).await;
    let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&keys.body).expect("a key set");
    let id = tokens.id();
    for (listener, client) in [(&mut gallery, "gallery"), (&mut other, "other")] {
        let token = listener.heard().await;
        let header = jsonwebtoken::decode_header(&token).expect("a header");
        assert_eq!(header.typ.as_deref(), Some("logout+jwt"));
        let key = keys
            .find(header.kid.as_deref().unwrap_or_default())
            .expect("a published key");
        let key = jsonwebtoken::DecodingKey::from_jwk(key).expect("a key");
        let mut expected = jsonwebtoken::Validation::new(header.alg);
        expected.set_audience(&[client]);
        expected.set_issuer(&[&world.broker.issuer]);
        let claims = jsonwebtoken::decode::<Value>(&token, &key, &expected)
            .expect("a good token")
            .claims;
        assert_eq!((&claims["sub"], &claims["sid"]), (&id["sub"], &id["sid"]));
        let events = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
        assert_eq!(claims["events"], events);
        assert!(
            claims["jti"].is_string() && claims.get("nonce").is_none(),
            "{claims}"
        );
        let life = claims["exp"]
            .as_i64()
            .zip(claims["iat"].as_i64())
            .map(|(exp, iat)| exp - iat);
        assert_eq!(life, Some(120));
        // In our own hands it is nothing.
        let authorization = format!("Bearer {token}");
        let page = wire::get(
            &world.broker.issuer,
            "/userinfo",
            &[("authorization", &authorization)],
        )
        .await;
        assert_eq!(page.status, 401);
        let hinted = ann().with("id_token_hint", &token);
        assert_eq!(
            at_once(&asked(&world, &mut Browser::new(), &hinted).await),
            "invalid_request"
        );
    }
}

#[actix_web::test]
async fn who_could_not_be_told_is_told_later_and_who_refuses_is_not_asked_again() {
    let (mut gallery, mut other) = (Listener::start(vec![503, 200]), Listener::start(vec![400]));
    let world = world_that_tells(&gallery, &other).await;
    world.share_clock();
    let mut browser = Browser::new();
    let tokens = signed_in(&world, &mut browser).await;
    let page = asked(&world, &mut browser, &at_other()).await;
    redeemed_by_other(&world, &page).await;
    let hint = tokens.text("id_token");
    at(
        &world,
        &mut browser,
        &logout_path(&[("id_token_hint", hint)]),
    )
    .await;
    let (first, _) = (gallery.heard().await, other.heard().await);
    world.broker.clock.advance_by(SignedDuration::from_secs(6));
    let second = gallery.heard().await;
    assert_ne!(first, second, "each try has a token of its own");
    world.broker.clock.advance_by(SignedDuration::from_hours(2));
    signed_in(&world, &mut browser).await;
    let page = at(&world, &mut browser, "/session").await;
    press(&mut browser, &page, "Sign out here").await;
    gallery.heard().await;
    assert!(
        other.posted.try_recv().is_err(),
        "a refusal was asked again"
    );
    assert!(gallery.posted.try_recv().is_err(), "told once more");
}

#[actix_web::test]
async fn a_sign_out_at_entra_ends_what_rests_on_its_session() {
    let (world, mut browser, mut elsewhere) = (world().await, Browser::new(), Browser::new());
    world.entra.control().set(|b| {
        b.entra.optional_claims.insert(OptionalClaim::Sid);
    });
    let entra = Login::new("entra", "ann-mfa");
    let code = world.sign_in(&mut browser, &entra).await.code();
    let tokens = world.redeem(&code).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    world.sign_in(&mut elsewhere, &entra).await.code();
    let sid = tokens.id()["sid"].as_str().expect("a sid").to_owned();
    let id = countersign_core::SessionId::new(&*sid).expect("a session id");
    let now = world.broker.clock.now();
    let session = world
        .broker
        .look()
        .session(&id, now)
        .await
        .expect("an answer");
    let at_entra = session
        .and_then(|one| one.evidence.provider_session)
        .expect("Entra's sid");
    let path = |provider: &str, sid: &str| format!("/callback/{provider}/logout?iss=x&sid={sid}");
    for (provider, sid, status) in [
        ("oidc", at_entra.as_str(), 400),
        ("microsoft", &at_entra, 200),
        ("entra", "else", 200),
    ] {
        let page = wire::get(&world.broker.issuer, &path(provider, sid), &[]).await;
        assert_eq!(page.status, status, "{provider}: {}", page.body);
        assert!(lives(&world, &sid_of(&tokens)).await, "{provider}");
    }
    // As in a frame: without any cookie.
    let page = wire::get(&world.broker.issuer, &path("entra", &at_entra), &[]).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert!(!lives(&world, &sid_of(&tokens)).await);
    let again = entra.with("provider", "");
    assert_eq!(
        silently(&world, &mut browser, &again).await,
        "login_required"
    );
}

fn sid_of(tokens: &Tokens) -> String {
    tokens.id()["sid"].as_str().expect("a sid").to_owned()
}

#[actix_web::test]
async fn a_logout_token_of_a_provider_ends_the_session_or_the_person_that_it_names() {
    let world = world().await;
    world.share_clock();
    let mut sessions = Vec::new();
    for (account, sid) in [("ann-mfa", "s1"), ("ann-mfa", "s2"), ("stan-string", "s3")] {
        world
            .oidc
            .control()
            .set(|b| b.back.claims = vec![Edit::append("sid", sid)]);
        let login = Login::new("oidc", account);
        let code = world.sign_in(&mut Browser::new(), &login).await.code();
        sessions.push(sid_of(&world.redeem(&code).await));
    }
    world.oidc.control().set(|b| b.back.claims = Vec::new());
    let alive = async || {
        let mut alive = Vec::new();
        for sid in &sessions {
            alive.push(lives(&world, sid).await);
        }
        alive
    };
    let claims = |changes: Value| {
        let mut claims = json!({
            "iss": world.oidc.base_url(), "aud": countersign_dev_idp::Client::DEVELOPMENT_ID,
            "iat": world.oidc.control().now(), "jti": "1",
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        });
        for (name, value) in changes.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        claims.as_object().expect("an object").clone()
    };
    let told = async |token: String| {
        let form = [("logout_token".to_owned(), token)];
        let page = Browser::new()
            .post(&url(&world, "/callback/oidc/logout"), &form)
            .await;
        page.status
    };
    let signed = |changes: Value| world.oidc.control().logout_token(claims(changes));
    for bad in [
        json!({"sid": "s1", "nonce": "n"}),
        json!({"sid": "s1", "aud": "another"}),
        json!({"sid": "s1", "iss": "https://else.example"}),
        json!({"sid": "s1", "events": {}}),
        json!({"sid": "s1", "iat": 1}),
        json!({}),
    ] {
        assert_eq!(told(signed(bad.clone())).await, 400, "{bad}");
    }
    for signing in [
        Signing::AlgNone,
        Signing::ForeignKey,
        Signing::Corrupted,
        Signing::Hs256PublicPem,
    ] {
        world.oidc.control().set(|b| b.back.signing = signing);
        assert_eq!(told(signed(json!({"sid": "s1"}))).await, 400, "{signing:?}");
    }
    world
        .oidc
        .control()
        .set(|b| b.back.signing = Signing::Proper);
    assert_eq!(alive().await, [true, true, true]);
    assert_eq!(
        told(signed(json!({"sid": "s1", "sub": "somebody-else"}))).await,
        200
    );
    assert_eq!(
        alive().await,
        [true, true, true],
        "that session is another's"
    );
    assert_eq!(told(signed(json!({"sid": "s1"}))).await, 200);
    assert_eq!(alive().await, [false, true, true]);
    let stan = "sub-stan-string";
    assert_eq!(told(signed(json!({"sub": stan}))).await, 200);
    assert_eq!(alive().await, [false, true, false]);
}
