//! Devices without a browser (RFC 8628): somebody signs in for them elsewhere, by the policy that holds for everybody.

use countersign_server::{Client, ClientAuthentication, GrantType};
use countersign_tests::{BrokerSetup, Browser, Login, Page, World, payload, wire};
use serde_json::{Value, json};
use url::Url;

use super::{add, assert_refused, post, read};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
const SCOPE: &str = "openid packages:manage";

/// The usual world with two public clients, `cli` and `other`, that people sign in to for devices; `gallery` is none.
async fn world() -> World {
    world_with(|_| {}).await
}

async fn world_with(change: impl FnOnce(&mut BrokerSetup)) -> World {
    let world = World::with(|setup| {
        for id in ["cli", "other"] {
            let public = ClientAuthentication::Public;
            let mut client = Client::new("Package tool", vec![], public, BrokerSetup::AUDIENCE);
            client.grants = [GrantType::DeviceCode, GrantType::RefreshToken].into();
            add(setup, id, client);
        }
        change(setup);
    })
    .await;
    world.broker.clock.stop();
    world.share_clock();
    world
}

fn ann() -> Login {
    Login::new("oidc", "ann-mfa")
}

/// A device of a client.
struct Device {
    client: &'static str,
    codes: Value,
}

impl Device {
    /// Asks for its codes.
    async fn begin(world: &World, more: &[(&str, &str)]) -> Self {
        let mut form = vec![("client_id", "cli"), ("scope", SCOPE)];
        form.extend(more);
        let headers = [("user-agent", "pkg/1.2 <b>(linux)</b>")];
        let page = post(world, "/device_authorization", &headers, &form).await;
        assert_eq!(page.status, 200, "{}", page.body);
        Self {
            client: "cli",
            codes: read(&page),
        }
    }

    fn code(&self, name: &str) -> &str {
        self.codes[name].as_str().expect("a text")
    }

    /// Where a person says yes or no, with the code filled in.
    fn page(&self) -> Url {
        Url::parse(self.code("verification_uri_complete")).expect("an address")
    }

    /// Asks for its tokens, as often as it may.
    async fn poll(&self, world: &World) -> Page {
        world.broker.clock.advance(5);
        self.poll_at_once(world).await
    }

    async fn poll_at_once(&self, world: &World) -> Page {
        let form = [
            ("grant_type", GRANT),
            ("client_id", self.client),
            ("device_code", self.code("device_code")),
        ];
        post(world, "/token", &[], &form).await
    }
}

/// Says yes to the device, and signs in at a provider; the page that the person is left with.
async fn allow(world: &World, browser: &mut Browser, device: &Device, login: &Login) -> Page {
    let page = browser.get(&device.page()).await;
    let way = format!(
        "{}/device/continue?provider={}&",
        world.broker.issuer, login.provider
    );
    let way = page
        .link_to(&way)
        .unwrap_or_else(|| panic!("no way on: {}", page.body));
    let page = browser.get(&way).await;
    let outcome = world.go_on(browser, page, login).await;
    outcome.into_page()
}

/// Presses the button that says no.
async fn deny(browser: &mut Browser, device: &Device) -> Page {
    let page = browser.get(&device.page()).await;
    let (to, fields) = page.form().expect("a form");
    browser.post(&to, &fields).await
}

fn is_signed_in(page: &Page) -> bool {
    page.status == 200 && page.body.contains("Your device is signed in")
}

#[actix_web::test]
async fn a_device_gets_tokens_once_somebody_has_signed_in_for_it() {
    let world = world().await;
    let device = Device::begin(&world, &[]).await;
    assert_eq!(
        (&device.codes["expires_in"], &device.codes["interval"]),
        (&json!(600), &json!(5))
    );
    assert_refused(
        &device.poll(&world).await,
        (400, "authorization_pending"),
        "nobody yet",
    );
    let page = allow(&world, &mut Browser::new(), &device, &ann()).await;
    assert!(is_signed_in(&page), "{}", page.body);

    let audited = world.broker.audited(&["device-allowed", "device-denied"]);
    assert_eq!(audited, ["device-allowed"]);

    let page = device.poll(&world).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let tokens = read(&page);
    let claims = payload(tokens["access_token"].as_str().expect("a token"));
    assert_eq!(claims["client_id"], "cli");
    assert_eq!(claims["acr"], "urn:countersign:mfa");
    assert_eq!(tokens["scope"], SCOPE);
    let refreshed = post(
        &world,
        "/token",
        &[],
        &[
            ("grant_type", "refresh_token"),
            ("client_id", "cli"),
            (
                "refresh_token",
                tokens["refresh_token"].as_str().expect("a token"),
            ),
        ],
    )
    .await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.body);

    // A code that comes twice may be in two hands: what it bought ends.
    assert_refused(&device.poll(&world).await, (400, "invalid_grant"), "spent");
    let access = read(&refreshed)["access_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let told = wire::user_info(&world.broker.issuer, &access).await;
    assert_eq!(told.status, 401, "{}", told.body);
}

#[actix_web::test]
async fn the_same_policy_holds_as_in_the_browser() {
    let world = world().await;
    for (provider, account, code) in [
        ("github", "bob-password", "mfa-absent"),
        ("oidc", "bob-password", "mfa-absent"),
        ("oidc", "dana-cancels", "provider-cancelled"),
    ] {
        let device = Device::begin(&world, &[]).await;
        let login = Login::new(provider, account);
        let mut browser = Browser::new();
        let page = allow(&world, &mut browser, &device, &login).await;
        assert_eq!(page.reason_code(), Some(code), "{}", page.body);
        let refused = (400, "authorization_pending");
        assert_refused(&device.poll(&world).await, refused, "not by this login");
        // The person can try again with another account, from the page that told them.
        let again = page.link_to(device.page().as_str());
        if page.status == 403 {
            assert!(again.is_some(), "a way to try again: {}", page.body);
        }
        let page = allow(&world, &mut browser, &device, &ann()).await;
        assert!(is_signed_in(&page), "{}", page.body);
        assert_eq!(device.poll(&world).await.status, 200);
    }
}

#[actix_web::test]
async fn what_the_device_asked_for_beyond_the_policy_is_asked_of_the_person() {
    let world = world().await;
    let device = Device::begin(&world, &[("acr_values", "phr")]).await;
    let page = allow(&world, &mut Browser::new(), &device, &ann()).await;
    assert!(!is_signed_in(&page), "{}", page.body);
    assert_refused(
        &device.poll(&world).await,
        (400, "authorization_pending"),
        "no phr",
    );
}

#[actix_web::test]
async fn who_says_no_is_heard() {
    let world = world().await;
    let device = Device::begin(&world, &[]).await;
    let mut browser = Browser::new();
    let page = deny(&mut browser, &device).await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains("is not signed in"), "{}", page.body);
    assert_refused(&device.poll(&world).await, (400, "access_denied"), "denied");
    let page = browser.get(&device.page()).await;
    assert_eq!(
        page.status, 404,
        "a code that was answered is none any more"
    );
    assert!(page.body.contains("No device waits with this code"));
    let audited = world.broker.audited(&["device-allowed", "device-denied"]);
    assert_eq!(audited, ["device-denied"]);
}

/// Cross-site: without the cookie of this browser neither the yes nor the no is one.
#[actix_web::test]
async fn nobody_is_led_past_the_question() {
    let world = world().await;
    let device = Device::begin(&world, &[]).await;
    let mut attacker = Browser::new();
    let page = attacker.get(&device.page()).await;
    let set = page
        .set_cookies
        .iter()
        .find(|line| line.contains("countersign-device"));
    let set = set.expect("a cookie").to_lowercase();
    assert!(
        set.contains("samesite=strict") && set.contains("httponly") && set.contains("secure"),
        "{set}"
    );
    let yes = page
        .link_to(&format!("{}/device/continue", world.broker.issuer))
        .expect("a yes");
    let (no, fields) = page.form().expect("a no");
    let mut victims = [Browser::new(), Browser::new()];
    // One who has never been here, and one who looks at the page of a device of their own.
    let own = Device::begin(&world, &[]).await;
    victims[1].get(&own.page()).await;
    for victim in &mut victims {
        let page = victim.get(&yes).await;
        assert_eq!(
            (page.status, page.reason_code()),
            (400, Some("form-expired"))
        );
        assert_eq!(page.location, None);
        let page = victim.post(&no, &fields).await;
        assert_eq!(
            (page.status, page.reason_code()),
            (400, Some("form-expired"))
        );
    }
    // The yes is no no, and what was made for one device says nothing of another.
    let form = yes
        .query_pairs()
        .find(|(name, _)| name == "form")
        .expect("a form")
        .1
        .into_owned();
    let page = attacker.post(&no, &[("form".to_owned(), form)]).await;
    assert_eq!(
        (page.status, page.reason_code()),
        (400, Some("form-expired"))
    );
    assert_refused(
        &device.poll(&world).await,
        (400, "authorization_pending"),
        "no answer",
    );
    assert_refused(
        &own.poll(&world).await,
        (400, "authorization_pending"),
        "no answer",
    );
}

#[actix_web::test]
async fn a_session_in_the_browser_never_answers_for_a_device_nor_is_it_the_device_s() {
    let world = world().await;
    let mut browser = Browser::new();
    world.sign_in(&mut browser, &ann()).await.code();
    let before = browser.cookies["127.0.0.1"]["__Host-countersign-session"].clone();
    let device = Device::begin(&world, &[]).await;
    let page = browser.get(&device.page()).await;
    let way = page.link_to(&format!(
        "{}/device/continue?provider=oidc",
        world.broker.issuer
    ));
    let page = browser.get(&way.expect("a way on")).await;
    let to = page.location.clone().expect("a way to the provider");
    assert!(to.as_str().starts_with(world.oidc.base_url()), "{to}");
    let page = world.go_on(&mut browser, page, &ann()).await.into_page();
    assert!(is_signed_in(&page), "{}", page.body);
    assert_eq!(
        browser.cookies["127.0.0.1"]["__Host-countersign-session"],
        before
    );
    let tokens = read(&device.poll(&world).await);

    // The page of sessions shows both.
    let page = Url::parse(&format!("{}/session", world.broker.issuer)).expect("an address");
    let sessions = browser.get(&page);
    let sessions = sessions.await;
    assert!(
        sessions.body.contains("Package tool") && sessions.body.matches("<li>").count() == 2,
        "{}",
        sessions.body
    );
    // Who ends the session of the browser leaves the device alone.
    let (to, fields) = sessions.form().expect("a button");
    assert!(
        browser
            .post(&to, &fields[..1])
            .await
            .body
            .contains("signed out")
    );
    let access = tokens["access_token"].as_str().expect("a token");
    assert_eq!(
        wire::user_info(&world.broker.issuer, access).await.status,
        200,
        "it goes on"
    );
}

#[actix_web::test]
async fn two_who_sign_in_for_one_device_are_not_both_heard() {
    let world = world().await;
    let device = Device::begin(&world, &[]).await;
    let mut first = Browser::new();
    let mut second = Browser::new();
    let way = format!("{}/device/continue?provider=oidc", world.broker.issuer);
    let mut begun = Vec::new();
    for browser in [&mut first, &mut second] {
        let page = browser.get(&device.page()).await;
        begun.push(browser.get(&page.link_to(&way).expect("a way on")).await);
    }
    let late = begun.pop().expect("the second");
    let page = begun.pop().expect("the first");
    let page = world.go_on(&mut first, page, &ann()).await.into_page();
    assert!(is_signed_in(&page), "{}", page.body);
    let page = world
        .go_on(&mut second, late, &Login::new("github", "ann-mfa"))
        .await
        .into_page();
    assert_eq!(
        (page.status, page.reason_code()),
        (400, Some("device-code-ended"))
    );
    // Nothing is left of the second, whom nobody heard.
    let mut browser = Browser::new();
    let again = Login::new("github", "ann-mfa");
    world.sign_in(&mut browser, &again).await.code();
    let sessions = Url::parse(&format!("{}/session", world.broker.issuer)).expect("an address");
    let sessions = browser.get(&sessions).await.body;
    assert_eq!(sessions.matches("<li>").count(), 1, "{sessions}");
    assert_eq!(device.poll(&world).await.status, 200);
}

#[actix_web::test]
async fn a_device_code_is_for_its_client_and_one_of_nobody_is_none() {
    let world = world().await;
    let mut device = Device::begin(&world, &[]).await;
    allow(&world, &mut Browser::new(), &device, &ann()).await;
    device.client = "other";
    assert_refused(
        &device.poll(&world).await,
        (400, "invalid_grant"),
        "another's",
    );
    device.client = "cli";
    let other = Device::begin(&world, &[]).await;
    allow(&world, &mut Browser::new(), &other, &ann()).await;
    let tokens = read(&other.poll(&world).await);
    let [access, id, refresh] = ["access_token", "id_token", "refresh_token"]
        .map(|name| tokens[name].as_str().expect("a token"));
    let code = super::code(&world, "gallery").await;
    for wrong in [
        "x",
        "eyJhbGciOiJub25lIn0.e30.",
        device.code("user_code"),
        access,
        id,
        refresh,
        &code,
    ] {
        let form = [
            ("grant_type", GRANT),
            ("client_id", "cli"),
            ("device_code", wrong),
        ];
        let page = post(&world, "/token", &[], &form).await;
        assert_refused(&page, (400, "invalid_grant"), wrong);
    }
    // Neither is it a code of the other grant, nor a refresh token.
    for (grant, name) in [
        ("authorization_code", "code"),
        ("refresh_token", "refresh_token"),
    ] {
        let form = [
            ("grant_type", grant),
            ("client_id", "cli"),
            (name, device.code("device_code")),
        ];
        let page = post(&world, "/token", &[], &form).await;
        let error = read(&page)["error"].clone();
        assert!(
            page.status == 400 && (error == "invalid_grant" || error == "unauthorized_client"),
            "{}",
            page.body
        );
    }
    let sealed = device.code("device_code");
    let page = wire::user_info(&world.broker.issuer, sealed).await;
    assert_eq!(page.status, 401, "it is no access token");
    let gallery = [
        ("client_id", "gallery"),
        ("client_secret", BrokerSetup::SECRET),
        ("token", sealed),
    ];
    let page = post(&world, "/introspect", &[], &gallery).await;
    assert_eq!(read(&page), json!({"active": false}));
    assert_eq!(post(&world, "/revoke", &[], &gallery).await.status, 200);
    let uri = format!(
        "{}/authorize?client_id=gallery&request_uri=urn:ietf:params:oauth:request_uri:{sealed}",
        world.broker.issuer
    );
    let page = Browser::new()
        .get(&Url::parse(&uri).expect("an address"))
        .await;
    assert_eq!(
        (page.status, page.reason_code()),
        (400, Some("request-uri-not-good"))
    );
    assert_eq!(
        device.poll(&world).await.status,
        200,
        "and it is good still"
    );
}

#[actix_web::test]
async fn only_who_is_registered_for_it_may_ask_and_only_for_what_there_is() {
    let world = world().await;
    let gallery = [
        ("client_id", "gallery"),
        ("client_secret", BrokerSetup::SECRET),
        ("scope", SCOPE),
    ];
    let page = post(&world, "/device_authorization", &[], &gallery).await;
    assert_refused(&page, (400, "unauthorized_client"), "not registered for it");
    for (form, expected) in [
        (&[("client_id", "nobody")][..], (401, "invalid_client")),
        (&[("scope", SCOPE)], (401, "invalid_client")),
        (&[("client_id", "cli")], (400, "invalid_scope")),
        (
            &[("client_id", "cli"), ("scope", "no:such")],
            (400, "invalid_scope"),
        ),
        (
            &[
                ("client_id", "cli"),
                ("scope", SCOPE),
                ("resource", "https://evil.example"),
            ],
            (400, "invalid_target"),
        ),
        (
            &[
                ("client_id", "cli"),
                ("scope", SCOPE),
                ("organization", "a b"),
            ],
            (400, "invalid_request"),
        ),
        (
            &[("client_id", "cli"), ("scope", SCOPE), ("scope", SCOPE)],
            (400, "invalid_request"),
        ),
    ] {
        let page = post(&world, "/device_authorization", &[], form).await;
        assert_refused(&page, expected, &format!("{form:?}"));
    }
    let form = [
        ("grant_type", GRANT),
        ("client_id", "gallery"),
        ("client_secret", BrokerSetup::SECRET),
    ];
    let page = post(&world, "/token", &[], &form).await;
    assert_refused(&page, (400, "unauthorized_client"), "not its grant");
}

#[actix_web::test]
async fn codes_end_with_their_time() {
    let world = world().await;
    let device = Device::begin(&world, &[]).await;
    let late = Device::begin(&world, &[]).await;
    let mut browser = Browser::new();
    let page = browser.get(&late.page()).await;
    let way = format!("{}/device/continue?provider=oidc", world.broker.issuer);
    let begun = browser.get(&page.link_to(&way).expect("a way on")).await;
    world.broker.clock.advance(540);
    // Who is signed in for at the last moment has its tokens.
    assert!(is_signed_in(
        &allow(&world, &mut browser, &device, &ann()).await
    ));
    world.broker.clock.advance(35);
    assert_eq!(device.poll_at_once(&world).await.status, 200);
    let page = world.go_on(&mut browser, begun, &ann()).await.into_page();
    assert_eq!(
        (page.status, page.reason_code()),
        (400, Some("device-code-ended"))
    );
    assert_refused(&late.poll(&world).await, (400, "expired_token"), "over");
    world.broker.clock.advance(600);
    assert_refused(
        &late.poll(&world).await,
        (400, "expired_token"),
        "long over",
    );
}

#[actix_web::test]
async fn who_asks_too_often_is_told_to_slow_down() {
    let world = world().await;
    let device = Device::begin(&world, &[]).await;
    let pending = (400, "authorization_pending");
    assert_refused(&device.poll_at_once(&world).await, pending, "first");
    assert_refused(
        &device.poll_at_once(&world).await,
        pending,
        "one too soon is forgiven",
    );
    assert_refused(
        &device.poll_at_once(&world).await,
        (400, "slow_down"),
        "third",
    );
    assert_refused(&device.poll(&world).await, pending, "in time again");
    let other = Device::begin(&world, &[]).await;
    assert_refused(
        &other.poll_at_once(&world).await,
        pending,
        "another is not held up",
    );
}

#[actix_web::test]
async fn codes_are_typed_as_people_type_and_shown_with_what_is_known_of_the_device() {
    let world = world().await;
    let device = Device::begin(&world, &[]).await;
    let typed = device.code("user_code").to_lowercase().replace('-', " ");
    let mut url = Url::parse(device.code("verification_uri")).expect("an address");
    let mut browser = Browser::new();
    let page = browser.get(&url).await;
    assert!(
        page.status == 200 && page.body.contains("name=\"user_code\""),
        "{}",
        page.body
    );
    url.query_pairs_mut().append_pair("user_code", &typed);
    let page = browser.get(&url).await;
    assert_eq!(page.status, 200, "{}", page.body);
    for shown in [
        device.code("user_code"),
        "Package tool",
        "pkg/1.2 &#60;b&#62;(linux)&#60;/b&#62;",
        SCOPE.split(' ').next_back().expect("a scope"),
    ] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    for (wrong, status) in [("AAAA-AAAA", 400), ("<script>", 400), ("BBBB-BBBB", 404)] {
        let page = browser.get(&with_code(&url, wrong)).await;
        assert_eq!(page.status, status, "{wrong}");
        assert!(page.body.contains("role=\"alert\"") && !page.body.contains("<script>"));
    }
}

fn with_code(url: &Url, code: &str) -> Url {
    let mut url = url.clone();
    url.query_pairs_mut().clear().append_pair("user_code", code);
    url
}

#[actix_web::test]
async fn what_a_device_asked_for_is_what_its_tokens_are_for() {
    let world = world().await;
    let device = Device::begin(&world, &[("resource", BrokerSetup::AUDIENCE)]).await;
    allow(&world, &mut Browser::new(), &device, &ann()).await;
    let form = [
        ("grant_type", GRANT),
        ("client_id", "cli"),
        ("device_code", device.code("device_code")),
        ("scope", "packages:publish"),
        ("redirect_uri", "https://evil.example"),
    ];
    let page = post(&world, "/token", &[], &form).await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert_eq!(
        read(&page)["scope"],
        SCOPE,
        "the token request asks for nothing more"
    );
}
