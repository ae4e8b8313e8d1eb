//! Every page of the broker's: readable, reachable by keyboard, on a phone, in the dark; and
//! nothing runs in them. Pictures of all are left in `target/screenshots/`: `PAGE-DEVICE-SCHEME.png`.

use countersign_core::ClientId;
use countersign_dev_idp::Signing;
use countersign_server::{Client, ClientAuthentication, GrantType};
use countersign_tests::{BrokerSetup, Look, Screen, ScreenSettings, wire};
use jiff::civil::{Date, date};
use serde_json::{Value, json};

use super::stage::Stage;

/// How a page is come to.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// An address of the broker's.
    Path(&'static str),
    /// A request with these parameters over the usual ones.
    Request(&'static [(&'static str, &'static str)]),
    /// A sign-in as an account at a provider, up to the first page.
    SignIn(&'static str, &'static str),
    /// The same, with the step-up that follows.
    StepUp(&'static str, &'static str),
    /// The same up to the step-up's notice, and a reload of that.
    Reload(&'static str, &'static str),
    /// A sign-in that takes more than an hour.
    Dawdle(&'static str, &'static str),
    /// A sign-in whose ID token another key has signed.
    Forged(&'static str, &'static str),
}

/// The pages that end a request, and the home page, by reason code.
const ENDS: [(&str, Way); 8] = [
    ("home", Way::Path("/")),
    ("not-found", Way::Path("/nowhere")),
    ("unknown-client", Way::Request(&[("client_id", "nobody")])),
    (
        "redirect-uri-not-registered",
        Way::Request(&[("redirect_uri", "https://evil.example/")]),
    ),
    (
        "invalid-request",
        Way::Path("/callback/oidc?state=x&state=y"),
    ),
    ("unknown-provider", Way::Path("/callback/nobody")),
    ("attempt-missing", Way::Path("/callback/oidc?state=x")),
    ("attempt-expired", Way::Dawdle("oidc", "ann-mfa")),
];

/// The pages on the way, and the ends of a sign-in that lacks a second factor: each advice once.
const SIGN_INS: [(&str, Way); 8] = [
    ("chooser", Way::Request(&[])),
    ("step-up", Way::SignIn("entra", "wes-when-asked")),
    (
        "mfa-absent-microsoft",
        Way::StepUp("microsoft", "omar-ignores"),
    ),
    ("mfa-absent-entra", Way::StepUp("entra", "olaf-ignores")),
    ("mfa-absent-github", Way::SignIn("github", "bob-password")),
    ("mfa-absent-oidc", Way::StepUp("oidc", "bob-password")),
    ("mfa-unknown-entra", Way::StepUp("contoso", "olaf-ignores")),
    ("identity-changed", Way::StepUp("entra", "mallory-switches")),
];

/// The ends of a sign-in for other reasons.
const TROUBLES: [(&str, Way); 6] = [
    ("leg-passed", Way::Reload("entra", "wes-when-asked")),
    ("provider-cancelled", Way::SignIn("oidc", "dana-cancels")),
    ("provider-refused", Way::SignIn("github", "uli-no-token")),
    ("provider-unavailable", Way::SignIn("oidc", "fritz-fails")),
    (
        "provider-misconfigured",
        Way::SignIn("entra", "ulf-unmanaged"),
    ),
    ("id-token-invalid", Way::Forged("oidc", "ann-mfa")),
];

/// The pages before an account's day: the reminder, with a link to the provider's settings and without.
const REMINDERS: [(&str, Way); 2] = [
    ("reminded-github", Way::SignIn("github", "bob-password")),
    ("reminded-oidc", Way::SignIn("oidc", "bob-password")),
];

/// The pages from that day on.
const AFTER_THE_DAY: [(&str, Way); 2] = [
    (
        "mfa-absent-github-since",
        Way::SignIn("github", "bob-password"),
    ),
    ("step-up-since", Way::SignIn("entra", "wes-when-asked")),
];

/// The ends of a sign-in without a verified e-mail address: each advice once.
const WITHOUT_EMAIL: [(&str, Way); 2] = [
    (
        "email-not-verified-github",
        Way::SignIn("github", "una-unverified"),
    ),
    ("email-not-verified-entra", Way::SignIn("entra", "ann-mfa")),
];

impl Way {
    async fn walk(self, stage: &Stage) {
        match self {
            Self::Path(path) => {
                let url = format!("{}{path}", stage.broker());
                stage.screen.goto(&url).await;
            }
            Self::Request(parameters) => stage.screen.goto(&stage.request(parameters)).await,
            Self::SignIn(provider, account) => drop(stage.sign_in(provider, account).await),
            Self::StepUp(provider, account) => {
                stage.sign_in(provider, account).await;
                stage.step_up().await;
                stage.pick(account).await;
                stage.outcome().await;
            }
            Self::Reload(provider, account) => {
                stage.sign_in(provider, account).await;
                stage.screen.reload().await;
            }
            Self::Dawdle(provider, account) => {
                stage.begin(provider).await;
                stage.world.broker.clock.advance(3601);
                stage.pick(account).await;
                stage.outcome().await;
                stage.world.broker.clock.advance(-3601);
            }
            Self::Forged(provider, account) => {
                let control = stage.world.oidc.control();
                control.set(|behaviour| behaviour.back.signing = Signing::ForeignKey);
                stage.sign_in(provider, account).await;
                control.reset();
            }
        }
    }
}

/// Goes to each page and looks at it in every way.
async fn check(pages: &[(&str, Way)]) {
    check_with(|_| {}, pages).await;
}

/// The same with a broker that was changed before it started.
async fn check_with(change: impl FnOnce(&mut BrokerSetup), pages: &[(&str, Way)]) {
    let stage = Stage::with(&ScreenSettings::default(), change).await;
    for (name, way) in pages {
        stage.screen.forget_cookies().await;
        way.walk(&stage).await;
        stage.screen.arrive_at(&[stage.broker()]).await;
        check_reason(&stage, name).await;
        check_keyboard(&stage, name).await;
        check_looks(&stage.screen, name).await;
    }
}

/// The page's name begins with its reason code, where it has one.
async fn check_reason(stage: &Stage, name: &str) {
    if stage.screen.count(".reference").await > 0 {
        let reason = stage.screen.text(".reference code").await;
        assert!(
            name.starts_with(&reason) || name.starts_with("step-up"),
            "{name}: {reason}"
        );
    }
}

/// Looks at the page in every way.
pub(super) async fn check_looks(screen: &Screen, name: &str) {
    for look in Look::ALL {
        check_look(screen, name, look).await;
    }
    // No rule of axe's looks at colours and at sizes together: one of each will do.
    for look in [Look::PHONE_DARK, Look::DESKTOP_LIGHT] {
        check_rules(screen, name, look).await;
    }
}

/// Nothing sticks out of the window. Leaves a picture.
async fn check_look(screen: &Screen, name: &str, look: Look) {
    let shown = format!("{name}-{}", look.name());
    screen.look(look).await;
    let outside = screen.run(OUTSIDE).await;
    assert_eq!(outside, json!([]), "{shown}: out of the window");
    screen.screenshot(&shown).await;
}

/// axe finds nothing wrong.
async fn check_rules(screen: &Screen, name: &str, look: Look) {
    screen.look(look).await;
    let violations = screen.violations().await;
    assert!(violations.is_empty(), "{name} {look:?}: {violations:#?}");
}

/// What sticks out of the window's width; the page itself, if it can be scrolled sideways. A skip
/// link that waits wholly outside does not count.
const OUTSIDE: &str = r"
    const width = document.documentElement.clientWidth;
    const sticksOut = one => {
        const box = one.getBoundingClientRect();
        return box.left < 0 && box.right > 0 || box.right > width + 0.5 || one.scrollWidth > one.clientWidth + 1
            && getComputedStyle(one).display !== 'inline';
    };
    const found = [...document.querySelectorAll('html, body, body *:not(svg *)')].filter(sticksOut);
    return found.map(one => `${one.outerHTML.slice(0, 90)} in ${width}`);";

/// Tab goes through all controls in their order, and each shows that it has the focus.
async fn check_keyboard(stage: &Stage, name: &str) {
    let screen = &stage.screen;
    let count = screen.run(&format!("return {CONTROLS}.length")).await;
    let count = count.as_u64().expect("a number");
    for expected in 0..count {
        screen.press("Tab").await;
        let focused = screen
            .run(&format!("const all = {CONTROLS}; {FOCUSED}"))
            .await;
        assert_eq!(focused["index"], json!(expected), "{name}: {focused}");
        assert_eq!(focused["shows"], json!(true), "{name}: {focused}");
    }
}

const CONTROLS: &str = "[...document.querySelectorAll('a[href], button, input, summary')]";
const FOCUSED: &str = r"
    const one = document.activeElement, style = getComputedStyle(one);
    const shows = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
    return {index: all.indexOf(one), shows, html: one.outerHTML.slice(0, 90)};";

#[actix_web::test]
async fn every_page_that_ends_a_request_is_accessible_on_every_screen() {
    check(&ENDS).await;
}

#[actix_web::test]
async fn every_page_of_a_sign_in_is_accessible_on_every_screen() {
    check(&SIGN_INS).await;
}

#[actix_web::test]
async fn every_page_of_a_sign_in_that_fails_is_accessible_on_every_screen() {
    check(&TROUBLES).await;
}

/// A calendar by which every account is due on one day.
fn due_on(day: Date) -> impl FnOnce(&mut BrokerSetup) {
    move |setup| {
        let calendar = format!(
            "\n[calendar]\nnew_accounts_from = {day}\n\
             existing_accounts = {{ from = {day}, until = {day} }}\nbefore_due = \"remind\"\n"
        );
        setup.policy.push_str(&calendar);
    }
}

#[actix_web::test]
async fn the_reminder_is_accessible_on_every_screen() {
    check_with(due_on(date(2187, 5, 8)), &REMINDERS).await;
}

#[actix_web::test]
async fn what_is_shown_from_an_accounts_day_on_is_accessible_on_every_screen() {
    check_with(due_on(date(2026, 3, 8)), &AFTER_THE_DAY).await;
}

#[actix_web::test]
async fn what_is_shown_without_a_verified_address_is_accessible_on_every_screen() {
    let wanting_email = |setup: &mut BrokerSetup| {
        setup.gallery().may_vouch = true;
        setup.policy = setup
            .policy
            .replace("[tier.publish]", "verified_email = true\n\n[tier.publish]");
    };
    check_with(wanting_email, &WITHOUT_EMAIL).await;
}

#[actix_web::test]
async fn who_is_to_act_for_an_organization_and_did_not_can_read_so_on_every_screen() {
    let tenant = countersign_dev_idp::entra::CONTOSO;
    let stage = Stage::with(&ScreenSettings::default(), |setup| {
        let organization = format!("\n[organization.contoso]\ntenants = [\"{tenant}\"]\n");
        setup.policy.push_str(&organization);
    })
    .await;
    let request = stage.request(&[("organization", "contoso"), ("provider", "github")]);
    stage.screen.goto(&request).await;
    stage.pick("ann-mfa").await;
    assert_eq!(stage.outcome().await, "page: organization-not-shown");
    check_looks(&stage.screen, "organization-not-shown").await;
}

#[actix_web::test]
async fn a_person_sees_and_ends_their_sessions_on_every_screen() {
    let stage = Stage::new().await;
    for _ in 0..2 {
        stage.screen.forget_cookies().await;
        assert_eq!(stage.sign_in("oidc", "ann-mfa").await, "registry: code");
    }
    let at = |path: &str| format!("{}{path}", stage.broker());
    stage.screen.goto(&at("/session")).await;
    assert_eq!(stage.screen.count(".sessions li").await, 2);
    check_looks(&stage.screen, "sessions").await;
    stage.screen.goto(&at("/logout")).await;
    assert_eq!(stage.screen.text("h1").await, "Sign out?");
    check_looks(&stage.screen, "sign-out").await;
    stage.screen.click("button.primary").await;
    stage.screen.arrive_at(&[&at("/logout/confirm")]).await;
    assert_eq!(stage.screen.text("h1").await, "You are signed out");
    check_looks(&stage.screen, "signed-out").await;
    assert_eq!(stage.sign_in("oidc", "ann-mfa").await, "registry: code");
    stage.screen.goto(&at("/session")).await;
    stage.screen.click(".sessions li button").await;
    stage.screen.arrive_at(&[&at("/session/end")]).await;
    assert_eq!(stage.screen.text("h1").await, "You are signed out");
}

#[actix_web::test]
async fn a_person_signs_a_device_in_on_every_screen() {
    let public = ClientAuthentication::Public;
    let mut client = Client::new("Package tool", vec![], public, BrokerSetup::AUDIENCE);
    client.grants = [GrantType::DeviceCode].into();
    let stage = Stage::with(&ScreenSettings::default(), |setup| {
        setup.policy.push_str("\n[client.cli]\ntier = \"manage\"\n");
        let id = ClientId::new("cli").expect("a client id");
        setup.clients.insert(id, client);
    })
    .await;
    let form = "client_id=cli&scope=openid%20packages:manage";
    let program = [("user-agent", "pkg/1.2 (linux; x86_64)")];
    let page = wire::send(
        "POST",
        stage.broker(),
        "/device_authorization",
        &program,
        form,
    )
    .await;
    let codes: Value = serde_json::from_str(&page.body).expect("JSON");
    let user_code = codes["user_code"].as_str().expect("a code");
    let at = |path: &str| format!("{}{path}", stage.broker());
    stage.screen.goto(&at("/device")).await;
    check_looks(&stage.screen, "device-code").await;
    // Typed as a person types it, without the hyphen.
    let typed = user_code.replace('-', "").to_lowercase();
    stage.screen.type_into("#user_code", &typed).await;
    stage.screen.press("Enter").await;
    stage.screen.arrive_at(&[&at("/device?user_code=")]).await;
    assert_eq!(stage.screen.text(".user-code").await, user_code);
    check_looks(&stage.screen, "device").await;
    press_on(&stage, "Continue with Example ID").await;
    stage.pick("ann-mfa").await;
    stage.screen.arrive_at(&[stage.broker()]).await;
    assert_eq!(stage.screen.text("h1").await, "Your device is signed in");
    check_looks(&stage.screen, "device-signed-in").await;
    stage.screen.goto(&at("/device?user_code=BBBB-BBBB")).await;
    assert_eq!(stage.screen.count(".wrong").await, 1);
    check_looks(&stage.screen, "device-code-unknown").await;
}

#[actix_web::test]
async fn a_sign_in_can_be_made_with_the_keyboard_alone() {
    let stage = Stage::new().await;
    stage.screen.goto(&stage.request(&[])).await;
    press_on(&stage, "GitHub").await;
    stage.screen.arrive_at(&["http://127.0.0.2:"]).await;
    press_on(&stage, "ann").await;
    assert_eq!(stage.outcome().await, "registry: code");
}

/// Goes to the control whose text begins so, and presses Enter.
async fn press_on(stage: &Stage, text: &str) {
    for _ in 0..40 {
        stage.screen.press("Tab").await;
        let focused = stage
            .screen
            .run("return document.activeElement.innerText")
            .await;
        if focused
            .as_str()
            .is_some_and(|focused| focused.starts_with(text))
        {
            return stage.screen.press("Enter").await;
        }
    }
    panic!(
        "no way to `{text}` by Tab: {}",
        stage.screen.describe().await
    );
}

/// A client's name that would be more than a name, and is longer than a phone is wide.
const MARKUP: &str = "<b>Gallery</b> & \"Co\" <script>document.title='ran'</script>ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZ";

#[actix_web::test]
async fn markup_in_a_client_s_name_stays_text() {
    let rename = |setup: &mut BrokerSetup| setup.gallery().name = MARKUP.into();
    let stage = Stage::with(&ScreenSettings::default(), rename).await;
    stage.screen.look(Look::PHONE_LIGHT).await;
    for (name, way) in [
        ("chooser", Way::Request(&[])),
        ("step-up", Way::SignIn("entra", "wes-when-asked")),
        ("refusal", Way::SignIn("github", "bob-password")),
    ] {
        way.walk(&stage).await;
        let shown = stage.screen.text("body").await;
        assert!(shown.contains(MARKUP), "{name}: {shown}");
        assert_eq!(stage.screen.count("b, script").await, 0, "{name}");
        check_look(&stage.screen, &format!("markup-{name}"), Look::PHONE_LIGHT).await;
    }
}

#[actix_web::test]
async fn a_provider_s_own_words_are_not_shown() {
    const WORDS: &str = "<script>alert(1)</script> out of order & <b>sorry</b>";
    let stage = Stage::new().await;
    let outcome = stage.sign_in("oidc", "fritz-fails").await;
    assert_eq!(outcome, "page: provider-unavailable");
    let url = stage.screen.url().await;
    assert!(url.query_pairs().any(|(_, value)| value == WORDS), "{url}");
    let source = stage.screen.run("return document.body.outerHTML").await;
    let source = source.as_str().expect("a page");
    for word in ["script>", "alert(", "out of order", "sorry"] {
        assert!(!source.contains(word), "`{word}` in {source}");
    }
}

/// Puts a script into the page, as an injection would, in three ways; says which of them ran.
const INJECT: &str = r#"
    window.ran = [];
    const script = document.createElement('script');
    script.textContent = "ran.push('inline')";
    document.body.append(script);
    const button = document.createElement('button');
    button.setAttribute('onclick', "ran.push('handler')");
    document.body.append(button);
    button.click();
    const link = document.createElement('a');
    link.href = "javascript:void ran.push('address')";
    document.body.append(link);
    link.click();
    const done = arguments[arguments.length - 1];
    setTimeout(() => done(window.ran), 0);"#;

#[actix_web::test]
async fn a_script_that_got_into_a_page_would_not_run() {
    let stage = Stage::new().await;
    stage.begin("github").await;
    let anywhere_else = stage.screen.run_async(INJECT).await;
    assert_eq!(anywhere_else, json!(["inline", "handler", "address"]));
    for way in [
        Way::Path("/"),
        Way::Request(&[]),
        Way::SignIn("entra", "wes-when-asked"),
        Way::SignIn("github", "bob-password"),
        Way::Path("/nowhere"),
    ] {
        way.walk(&stage).await;
        let ran: Value = stage.screen.run_async(INJECT).await;
        assert_eq!(ran, json!([]), "{way:?}");
    }
}
