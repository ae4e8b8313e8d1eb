//! PyPI `Canaille`: a password and a real one-time code count, a password alone does not.
//!
//! It says `amr` and no `acr`, and writes `auth_time` as a float.

use countersign_tests::peers::{AuthenticatorApp, Canaille, Factors, Person};
use countersign_tests::{BrokerSetup, Browser, Login, Outcome, Page, TestBroker};
use serde_json::json;
use url::Url;

/// `plain` is the same software without a second factor.
const POLICY: &str = r#"
version = 1
[proof.canaille]
amr = ["mfa"]
[proof.plain]
amr = ["mfa"]
[methods]
[tier.manage]
scopes = ["profile", "email", "packages:manage"]
needs = "mfa"
accepts = ["session"]
[client.gallery]
tier = "manage"
"#;

/// A broker with one Canaille.
struct Site {
    broker: TestBroker,
    canaille: Canaille,
}

impl Site {
    fn new(name: &'static str, factors: Factors, people: &[Person]) -> Self {
        let setup = BrokerSetup::new(POLICY);
        let canaille = Canaille::start((name, "127.0.0.2"), factors, people, &setup.issuer());
        let broker = setup.start(|http| vec![canaille.provider(http)]);
        Self { broker, canaille }
    }

    async fn sign_in(
        &self,
        browser: &mut Browser,
        request: &Login,
        person: &mut Person,
    ) -> Outcome {
        let page = browser.get(&self.broker.authorize_url(request)).await;
        self.go_on(browser, page, person).await
    }

    async fn step_up(&self, browser: &mut Browser, page: &Page, person: &mut Person) -> Outcome {
        let to = page.primary_link().expect("a way back to the provider");
        let page = self.canaille.visit(browser, &to, person).await;
        self.go_on(browser, page, person).await
    }

    async fn go_on(&self, browser: &mut Browser, page: Page, person: &mut Person) -> Outcome {
        let visit =
            async |browser: &mut Browser, to: Url| self.canaille.visit(browser, &to, person).await;
        self.broker.go_on(browser, page, visit).await
    }
}

#[actix_web::test]
async fn a_password_and_a_code_pass_and_a_wrong_code_stays_at_the_provider() {
    let ann = Person::new("ann").with_app();
    let site = Site::new(
        "canaille",
        Factors::PasswordAndCode,
        std::slice::from_ref(&ann),
    );
    let request = Login::new("canaille", "");

    let mut thief = Person {
        app: Some(AuthenticatorApp::stranger()),
        ..ann.clone()
    };
    let outcome = site
        .sign_in(&mut Browser::new(), &request, &mut thief)
        .await;
    assert_eq!(outcome.summary(), "at-provider");

    let mut browser = Browser::new();
    let outcome = site.sign_in(&mut browser, &request, &mut ann.clone()).await;
    let claims = site.broker.redeem(&outcome.code()).await.id();
    assert_eq!(claims["acr"], json!("urn:countersign:mfa"), "{claims}");
    assert_eq!(claims["amr"], json!(["pwd", "otp", "mfa"]));
    assert_eq!(claims["email"], json!("ann@example.test"));
    assert!(claims["auth_time"].is_i64(), "{claims}");

    // Its session is remembered there, and its evidence with it.
    let mut nobody = Person::new("nobody");
    let outcome = site.sign_in(&mut browser, &request, &mut nobody).await;
    assert_eq!(outcome.summary(), "code");
}

#[actix_web::test]
async fn who_has_no_app_yet_sets_it_up_on_the_way() {
    let mut eve = Person::new("eve");
    let site = Site::new(
        "canaille",
        Factors::PasswordAndCode,
        std::slice::from_ref(&eve),
    );
    let request = Login::new("canaille", "");
    let outcome = site.sign_in(&mut Browser::new(), &request, &mut eve).await;
    assert_eq!(outcome.summary(), "code", "{}", outcome.page().body);
    assert!(eve.app.is_some(), "Canaille asked for no app");
    // From now on the code is asked for.
    let outcome = site.sign_in(&mut Browser::new(), &request, &mut eve).await;
    let claims = site.broker.redeem(&outcome.code()).await.id();
    assert_eq!(claims["amr"], json!(["pwd", "otp", "mfa"]));
}

/// The person signs in again on the second visit, and has nothing more to show.
#[actix_web::test]
async fn a_password_alone_is_turned_away_after_one_more_visit() {
    let mut bob = Person::new("bob");
    let site = Site::new("plain", Factors::Password, std::slice::from_ref(&bob));
    let mut browser = Browser::new();
    let outcome = site
        .sign_in(&mut browser, &Login::new("plain", ""), &mut bob)
        .await;
    assert_eq!(outcome.summary(), "step-up: mfa-absent");
    let outcome = site.step_up(&mut browser, outcome.page(), &mut bob).await;
    assert_eq!(outcome.summary(), "refused: mfa-absent");
}

#[actix_web::test]
async fn prompt_login_signs_the_person_in_again_and_prompt_none_asks_nobody() {
    let mut ann = Person::new("ann").with_app();
    let site = Site::new(
        "canaille",
        Factors::PasswordAndCode,
        std::slice::from_ref(&ann),
    );
    let mut browser = Browser::new();
    let silently = Login::new("canaille", "").with("prompt", "none");
    let outcome = site.sign_in(&mut browser, &silently, &mut ann).await;
    assert_eq!(outcome.summary(), "client: login_required");

    let outcome = site
        .sign_in(&mut browser, &Login::new("canaille", ""), &mut ann)
        .await;
    assert_eq!(outcome.summary(), "code");
    let again = Login::new("canaille", "").with("prompt", "login");
    let mut nobody = Person {
        app: None,
        ..ann.clone()
    };
    let outcome = site.sign_in(&mut browser, &again, &mut nobody).await;
    assert_eq!(outcome.summary(), "at-provider", "the session was enough");
    let outcome = site.sign_in(&mut browser, &again, &mut ann).await;
    assert_eq!(outcome.summary(), "code", "{}", outcome.page().body);
}
