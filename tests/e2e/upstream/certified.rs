//! npm `oidc-provider`, a certified OpenID provider: what its people prove is what counts, and
//! none of its answers is believed once one part of it is spoiled.

use countersign_tests::peers::{ALGORITHMS, OidcProvider, Unmet};
use countersign_tests::{BrokerSetup, Browser, Login, Outcome, Page, TestBroker};
use serde_json::{Value, json};
use url::Url;

/// `certified` alone can be asked for an `acr`; the others are there for their algorithms.
const POLICY: &str = r#"
version = 1
[proof.certified]
acr = ["urn:example:mfa", "phr"]
amr = ["mfa"]
[proof.certified-ps256]
amr = ["mfa"]
[proof.certified-es256]
amr = ["mfa"]
[proof.certified-eddsa]
amr = ["mfa"]
[methods]
phishing_resistant = { acr = ["phr"] }
[tier.manage]
scopes = ["profile", "email", "packages:manage"]
needs = "mfa"
accepts = ["session"]
[client.gallery]
tier = "manage"
"#;

/// A broker and its provider.
struct Site {
    broker: TestBroker,
    upstream: OidcProvider,
}

impl Site {
    fn new(unmet: Unmet) -> Self {
        let setup = BrokerSetup::new(POLICY);
        let upstream = OidcProvider::start(unmet, &setup.issuer());
        let broker = setup.start(|http| upstream.providers(http));
        Self { broker, upstream }
    }

    /// Signs in; where the provider asks who is there, the person answers `login`.
    async fn sign_in(&self, browser: &mut Browser, request: &Login, login: &Value) -> Outcome {
        let page = browser.get(&self.broker.authorize_url(request)).await;
        self.go_on(browser, page, login).await
    }

    /// Takes the step-up that a page offers.
    async fn step_up(&self, browser: &mut Browser, page: &Page, login: &Value) -> Outcome {
        let to = page.primary_link().expect("a way back to the provider");
        let page = self.upstream.visit(browser, &to, login).await;
        self.go_on(browser, page, login).await
    }

    async fn go_on(&self, browser: &mut Browser, page: Page, login: &Value) -> Outcome {
        let visit =
            async |browser: &mut Browser, to: Url| self.upstream.visit(browser, &to, login).await;
        self.broker.go_on(browser, page, visit).await
    }
}

fn usual() -> Login {
    Login::new("certified", "")
}

/// Ann, by these methods and nothing more.
fn ann(amr: &[&str]) -> Value {
    json!({ "accountId": "ann", "amr": amr })
}

fn with_acr(mut login: Value, acr: &str) -> Value {
    login["acr"] = json!(acr);
    login
}

fn with_mfa() -> Value {
    ann(&["pwd", "otp", "mfa"])
}

fn with_password() -> Value {
    ann(&["pwd"])
}

fn minutes_ago(mut login: Value, minutes: i64) -> Value {
    login["ts"] = json!(now() - minutes * 60);
    login
}

#[expect(
    clippy::disallowed_methods,
    reason = "the provider goes by the machine's clock"
)]
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[actix_web::test]
async fn a_login_with_mfa_passes_and_its_evidence_is_carried() {
    let site = Site::new(Unmet::Refused);
    for (login, acr, amr) in [
        (
            with_mfa(),
            "urn:countersign:mfa",
            &["pwd", "otp", "mfa"][..],
        ),
        (
            with_acr(with_password(), "urn:example:mfa"),
            "urn:countersign:mfa",
            &["pwd", "mfa"],
        ),
        (with_acr(ann(&["hwk"]), "phr"), "phr", &["hwk", "mfa"]),
    ] {
        let login = minutes_ago(login, 5);
        let outcome = site.sign_in(&mut Browser::new(), &usual(), &login).await;
        let tokens = site.broker.redeem(&outcome.code()).await;
        let claims = tokens.id();
        assert_eq!(claims["acr"], json!(acr), "{claims}");
        assert_eq!(claims["amr"], json!(amr), "{claims}");
        assert_eq!(claims["auth_time"], login["ts"], "{claims}");
        assert_eq!(claims["email"], json!("ann@example.test"));
    }
}

#[actix_web::test]
async fn each_algorithm_of_the_provider_is_verified() {
    let site = Site::new(Unmet::Refused);
    for (name, _, _) in ALGORITHMS {
        let request = Login::new(name, "");
        let outcome = site
            .sign_in(&mut Browser::new(), &request, &with_mfa())
            .await;
        assert_eq!(outcome.summary(), "code", "{name}: {}", outcome.page().body);
    }
}

/// The first visit wishes for MFA, the second demands it.
#[actix_web::test]
async fn a_password_alone_is_turned_away_after_an_essential_acr_was_asked_for() {
    for (unmet, expected) in [
        (Unmet::Refused, "client: unmet_authentication_requirements"),
        (Unmet::Ignored, "refused: mfa-absent"),
    ] {
        let site = Site::new(unmet);
        let mut browser = Browser::new();
        let outcome = site.sign_in(&mut browser, &usual(), &with_password()).await;
        assert_eq!(outcome.summary(), "step-up: mfa-absent");
        let outcome = site
            .step_up(&mut browser, outcome.page(), &with_password())
            .await;
        assert_eq!(
            outcome.summary(),
            expected,
            "{unmet:?}: {}",
            outcome.page().body
        );
    }
}

#[actix_web::test]
async fn the_provider_is_asked_for_one_of_the_acr_values_that_prove_mfa() {
    let site = Site::new(Unmet::Refused);
    let mut browser = Browser::new();
    let outcome = site.sign_in(&mut browser, &usual(), &with_password()).await;
    let to = outcome.page().primary_link().expect("a way back");
    let question: Value = {
        let page = site.upstream.arrive(&mut browser, &to).await;
        serde_json::from_str(&page.body).expect("the provider's question")
    };
    assert_eq!(question["reasons"], json!(["essential_acrs"]));
    assert_eq!(
        question["details"]["acr"]["values"],
        json!(["phr", "urn:example:mfa"])
    );
}

#[actix_web::test]
async fn a_second_factor_brought_on_the_second_visit_passes_for_the_same_person_only() {
    let site = Site::new(Unmet::Refused);
    for (second, expected) in [
        (with_acr(ann(&["pwd", "otp"]), "urn:example:mfa"), "code"),
        (
            json!({"accountId": "eve", "acr": "urn:example:mfa", "amr": ["pwd", "otp"]}),
            "refused: identity-changed",
        ),
    ] {
        let mut browser = Browser::new();
        let outcome = site.sign_in(&mut browser, &usual(), &with_password()).await;
        let outcome = site.step_up(&mut browser, outcome.page(), &second).await;
        assert_eq!(outcome.summary(), expected, "{}", outcome.page().body);
    }
}

#[actix_web::test]
async fn what_the_provider_refuses_has_a_reason() {
    let site = Site::new(Unmet::Refused);
    for (login, expected) in [
        (
            json!({"error": "access_denied"}),
            "refused: provider-cancelled",
        ),
        (
            json!({"error": "server_error"}),
            "refused: provider-unavailable",
        ),
        (json!({"error": "made_up"}), "refused: provider-refused"),
    ] {
        let outcome = site.sign_in(&mut Browser::new(), &usual(), &login).await;
        assert_eq!(outcome.summary(), expected, "{login}");
    }
}

#[actix_web::test]
async fn an_old_sign_in_at_the_provider_is_renewed_where_the_client_limits_its_age() {
    let site = Site::new(Unmet::Refused);
    let request = usual().with("max_age", "600");
    let person = || with_acr(with_mfa(), "urn:example:mfa");
    for (second, expected) in [
        (minutes_ago(person(), 0), "code"),
        (
            minutes_ago(person(), 60),
            "client: unmet_authentication_requirements",
        ),
    ] {
        let mut browser = Browser::new();
        let old = minutes_ago(person(), 60);
        let outcome = site.sign_in(&mut browser, &request, &old).await;
        assert_eq!(
            outcome.summary(),
            "step-up: auth-too-old",
            "{}",
            outcome.page().body
        );
        let outcome = site.step_up(&mut browser, outcome.page(), &second).await;
        assert_eq!(outcome.summary(), expected, "{}", outcome.page().body);
    }
}

/// Single sign-on at the provider: it is asked for a fresh login only where a client asks us.
#[actix_web::test]
async fn a_session_at_the_provider_counts_until_its_age_matters() {
    let site = Site::new(Unmet::Refused);
    let mut browser = Browser::new();
    let old = minutes_ago(with_mfa(), 60);
    let nobody = json!({"error": "the person is not asked"});
    let outcome = site.sign_in(&mut browser, &usual(), &old).await;
    assert_eq!(outcome.summary(), "code");
    let outcome = site.sign_in(&mut browser, &usual(), &nobody).await;
    let claims = site.broker.redeem(&outcome.code()).await.id();
    assert_eq!(claims["auth_time"], old["ts"]);

    let limited = usual().with("max_age", "600");
    let fresh = minutes_ago(with_mfa(), 0);
    let outcome = site.sign_in(&mut browser, &limited, &fresh).await;
    let claims = site.broker.redeem(&outcome.code()).await.id();
    assert_eq!(claims["auth_time"], fresh["ts"]);
}

#[actix_web::test]
async fn prompt_login_signs_the_person_in_again_and_prompt_none_asks_nobody() {
    let site = Site::new(Unmet::Refused);
    let mut browser = Browser::new();
    let silently = usual().with("prompt", "none");
    let outcome = site.sign_in(&mut browser, &silently, &with_mfa()).await;
    assert_eq!(outcome.summary(), "client: login_required");

    let old = minutes_ago(with_mfa(), 60);
    let outcome = site.sign_in(&mut browser, &usual(), &old).await;
    assert_eq!(outcome.summary(), "code");
    let again = usual().with("prompt", "login");
    let fresh = minutes_ago(with_mfa(), 0);
    let outcome = site.sign_in(&mut browser, &again, &fresh).await;
    let claims = site.broker.redeem(&outcome.code()).await.id();
    assert_eq!(claims["auth_time"], fresh["ts"]);
}

#[actix_web::test]
async fn an_answer_with_one_thing_wrong_is_refused() {
    let mut site = Site::new(Unmet::Refused);
    let token = "refused: id-token-invalid";
    let answer = "refused: provider-answer-invalid";
    for (fault, expected) in [
        (json!({"claims": {"nonce": "of-another-login"}}), token),
        (json!({"claims": {"nonce": null}}), token),
        (json!({"claims": {"aud": "another-client"}}), token),
        (
            json!({"claims": {"aud": ["certified", "another-client"]}}),
            token,
        ),
        (json!({"claims": {"azp": "another-client"}}), token),
        (json!({"claims": {"iss": "https://evil.example"}}), token),
        (json!({"claims": {"iss": null}}), token),
        (json!({"claims": {"sub": null}}), token),
        (json!({"claims": {"exp": now() - 3600}}), token),
        (json!({"claims": {"exp": null}}), token),
        (json!({"claims": {"iat": now() + 3600}}), token),
        (json!({"claims": {"nbf": now() + 3600}}), token),
        (
            json!({"claims": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}}),
            token,
        ),
        (json!({"header": {"kid": null}}), token),
        (json!({"header": {"kid": "unknown"}}), token),
        (json!({"header": {"kid": "p256"}}), token),
        (json!({"header": {"typ": "at+jwt"}}), token),
        (json!({"signature": "none"}), token),
        (json!({"signature": "symmetric"}), token),
        (json!({"signature": "foreign"}), token),
        (json!({"signature": "changed"}), token),
        (json!({"callback": {"iss": "https://evil.example"}}), answer),
        (json!({"callback": {"iss": null}}), answer),
        (json!({"callback": {"code": null}}), answer),
        (
            json!({"callback": {"code": "made-up"}}),
            "refused: provider-refused",
        ),
        (
            json!({"callback": {"state": "of-another-login"}}),
            "refused: attempt-missing",
        ),
        (
            json!({"claims": {"email": null}, "user_info": {"sub": "eve"}}),
            answer,
        ),
        (
            json!({"claims": {"email": null}, "user_info": {"sub": null}}),
            answer,
        ),
        // Evidence of the wrong type is no evidence.
        (
            json!({"claims": {"amr": {"mfa": true}}}),
            "step-up: evidence-malformed",
        ),
        (
            json!({"claims": {"amr": ["mfa", 1]}}),
            "step-up: evidence-malformed",
        ),
        // And with nothing wrong it passes, so that it was the fault which was refused.
        (json!({}), "code"),
    ] {
        site.upstream.spoil(&fault);
        let outcome = site
            .sign_in(&mut Browser::new(), &usual(), &with_mfa())
            .await;
        assert_eq!(
            outcome.summary(),
            expected,
            "{fault}: {}",
            outcome.page().body
        );
    }
}

/// OpenID Connect Core 5.4: claims may come from UserInfo instead.
#[actix_web::test]
async fn an_email_address_is_taken_from_user_info_where_the_id_token_has_none() {
    let mut site = Site::new(Unmet::Refused);
    site.upstream.spoil(&json!({"claims": {"email": null}}));
    let outcome = site
        .sign_in(&mut Browser::new(), &usual(), &with_mfa())
        .await;
    let claims = site.broker.redeem(&outcome.code()).await.id();
    assert_eq!(claims["email"], json!("ann@example.test"));
    assert_eq!(claims["email_verified"], json!(true));
}
