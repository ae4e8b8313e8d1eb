//! A real passkey, at a real provider: made on the way, used the next time.

use countersign_tests::peers::{Canaille, Factors, Person};
use countersign_tests::{BrokerSetup, Landing, Login, Screen, TestBroker};
use serde_json::{Value, json};

const POLICY: &str = r#"
version = 1
[proof.canaille]
amr = ["mfa"]
[methods]
[tier.manage]
scopes = ["profile", "email", "packages:manage"]
needs = "mfa"
accepts = ["session"]
[client.gallery]
tier = "manage"
"#;

#[actix_web::test]
async fn a_passkey_counts_when_it_is_made_and_when_it_is_used() {
    let ann = Person::new("ann");
    let landing = Landing::start("127.0.0.3", None);
    let mut setup = BrokerSetup::new(POLICY);
    setup.gallery().redirect_uris = vec![landing.redirect_uri()];
    let people = std::slice::from_ref(&ann);
    // WebAuthn knows no address by number: https://www.w3.org/TR/webauthn-3/#relying-party-identifier
    let place = ("canaille", "localhost");
    let canaille = Canaille::start(place, Factors::PasswordAndPasskey, people, &setup.issuer());
    let broker = setup.start(|http| vec![canaille.provider(http)]);
    let screen = Screen::open().await;
    screen.plug_in_authenticator().await;
    for button in ["#webauthn-register", "#webauthn-authenticate"] {
        screen.forget_cookies().await;
        let request = Login::new("canaille", "").with("redirect_uri", &landing.redirect_uri());
        screen.goto(broker.authorize_url(&request).as_str()).await;
        give_password(&screen, &ann).await;
        screen.click(button).await;
        screen.arrive_at(&[landing.url()]).await;
        let claims = claims(&broker, &landing, &screen).await;
        assert_eq!(claims["amr"], json!(["pwd", "hwk", "mfa"]), "{button}");
        assert_eq!(claims["acr"], json!("urn:countersign:mfa"), "{button}");
    }
}

async fn give_password(screen: &Screen, person: &Person) {
    screen
        .type_into("input[name=login]", person.user_name)
        .await;
    screen.press("Enter").await;
    screen
        .type_into("input[name=password]", person.password)
        .await;
    screen.press("Enter").await;
}

/// The claims of the ID token that the registry gets for the code it was given.
async fn claims(broker: &TestBroker, landing: &Landing, screen: &Screen) -> Value {
    let url = screen.url().await;
    let code = url.query_pairs().find(|(name, _)| name == "code");
    let code = code.expect("a code").1.into_owned();
    let redirect_uri = landing.redirect_uri();
    let changed = [("code", code.as_str()), ("redirect_uri", &redirect_uri)];
    broker.redeem_with(&changed).await.id()
}
