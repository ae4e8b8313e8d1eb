//! PyPI `Canaille`: an identity server with real passwords, one-time codes and passkeys.

use aws_lc_rs::hmac;
use countersign_core::ProviderId;
use countersign_providers::oidc::{EmailTrust, OidcSettings, People, SigningAlgorithm};
use countersign_providers::{Credentials, Http, Oidc, Provider};
use secrecy::SecretString;
use serde_json::json;
use url::Url;

use super::Peer;
use crate::{Browser, Page};

const SECRET: &str = "secret-of-the-broker-at-canaille";

/// What Canaille asks of everybody who signs in: its factors are per server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Factors {
    /// A password and nothing else.
    Password,
    /// A password, then a code of an authenticator app. Who has no app yet sets it up on the way.
    PasswordAndCode,
    /// A password, then a passkey, which must be made in a browser that knows WebAuthn.
    PasswordAndPasskey,
}

/// Somebody with an account at Canaille.
#[derive(Debug, Clone)]
pub struct Person {
    /// The name to sign in with, and the account's `sub`.
    pub user_name: &'static str,
    /// The password.
    pub password: &'static str,
    /// The authenticator app, if it is set up.
    pub app: Option<AuthenticatorApp>,
}

/// An authenticator app (RFC 6238), by its key.
#[derive(Debug, Clone)]
pub struct AuthenticatorApp(Vec<u8>);

/// The server in a process of its own.
#[derive(Debug)]
pub struct Canaille {
    name: &'static str,
    issuer: Url,
    _peer: Peer,
}

impl Canaille {
    /// Starts it on `host` (`localhost` for passkeys, which no address by number can have), with
    /// these people. It is the provider `name` of the broker of this issuer.
    pub fn start(
        (name, host): (&'static str, &str),
        factors: Factors,
        people: &[Person],
        broker: &str,
    ) -> Self {
        let argument = json!({
            "host": host,
            "factors": factors.names(),
            "client": {
                "client_id": name,
                "client_secret": SECRET,
                "client_name": "Countersign",
                // Canaille trusts loopback addresses and asks nobody for consent.
                "client_uri": "http://127.0.0.1",
                "redirect_uris": [format!("{broker}/callback/{name}")],
            },
            "people": people.iter().map(Person::record).collect::<Vec<_>>(),
        });
        let mut peer = Peer::python("canaille_server.py", &argument);
        let issuer = peer.hear()["issuer"].as_str().map(Url::parse);
        Self {
            name,
            issuer: issuer.expect("an issuer").expect("an address"),
            _peer: peer,
        }
    }

    /// The broker's side of it.
    pub fn provider(&self, http: &Http) -> Provider {
        let settings = OidcSettings {
            name: ProviderId::new(self.name).expect("a name"),
            title: "Canaille".into(),
            issuer: self.issuer.clone(),
            credentials: Credentials {
                client_id: self.name.into(),
                secret: SecretString::from(SECRET),
            },
            scopes: vec!["profile".into(), "email".into()],
            algorithm: SigningAlgorithm::Rs256,
            email_trust: EmailTrust::Trusted,
            enrolment_url: None,
            recheck: None,
            people: People::Anybodys,
            groups_claim: None,
        };
        Provider::Oidc(Oidc::new(settings, http.clone()))
    }

    /// What a person does there: fills in each form that Canaille shows, and once more if it comes
    /// again, because a code can run out while it is typed. Gives the answer that sends them back,
    /// or the page that they can't get past.
    pub async fn visit(&self, browser: &mut Browser, to: &Url, person: &mut Person) -> Page {
        let within = |url: &Url| url.origin() == self.issuer.origin();
        let mut page = browser.follow(to, within).await;
        let mut filled_in = Vec::new();
        while page.location.is_none()
            && filled_in.iter().filter(|url| **url == page.url).count() < 2
        {
            let Some(answer) = person.answer(&page) else {
                return page;
            };
            filled_in.push(page.url.clone());
            let token = page.field("csrf_token").expect("a form");
            let form = [("csrf_token".into(), token), answer];
            page = browser.post(&page.url, &form).await;
            if let Some(next) = page.location.clone().filter(within) {
                page = browser.follow(&next, within).await;
            }
        }
        page
    }
}

impl Factors {
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Password => &["password"],
            Self::PasswordAndCode => &["password", "otp"],
            Self::PasswordAndPasskey => &["password", "fido2"],
        }
    }
}

impl Person {
    /// Somebody with a password and no second factor.
    pub fn new(user_name: &'static str) -> Self {
        Self {
            user_name,
            password: "correct horse battery staple",
            app: None,
        }
    }

    /// With an authenticator app that Canaille knows.
    #[must_use]
    pub fn with_app(self) -> Self {
        let key = format!("key-of-{}", self.user_name).into_bytes();
        Self {
            app: Some(AuthenticatorApp(key)),
            ..self
        }
    }

    fn record(&self) -> serde_json::Value {
        let mut record = json!({
            "user_name": self.user_name,
            "family_name": self.user_name,
            "formatted_name": format!("{} of the tests", self.user_name),
            "emails": [format!("{}@example.test", self.user_name)],
            "password": self.password,
        });
        if let Some(AuthenticatorApp(key)) = &self.app {
            record["secret_token"] = json!(String::from_utf8_lossy(key));
        }
        record
    }

    /// What they fill in on a page of Canaille's, if they can.
    fn answer(&mut self, page: &Page) -> Option<(String, String)> {
        let field = |name: &str, value: String| Some((name.to_owned(), value));
        match page.url.path() {
            "/login" => field("login", self.user_name.to_owned()),
            "/auth/password" => field("password", self.password.to_owned()),
            "/auth/otp" => field("otp", self.app.as_ref()?.code()),
            "/auth/otp-setup" => {
                let app = AuthenticatorApp::from_page(&page.body)?;
                let code = app.code();
                self.app = Some(app);
                field("otp", code)
            }
            _ => None,
        }
    }
}

impl AuthenticatorApp {
    /// An app that Canaille does not know.
    pub fn stranger() -> Self {
        Self(b"key-of-a-stranger".to_vec())
    }

    /// Reads the key from the `otpauth` address that the page shows as a QR code.
    fn from_page(body: &str) -> Option<Self> {
        let (_, rest) = body.split_once("secret=")?;
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric())?;
        base32(&rest[..end]).map(Self)
    }

    /// The code of this moment: RFC 6238, SHA-1, six digits, 30 s.
    #[expect(
        clippy::disallowed_methods,
        reason = "Canaille goes by the machine's clock"
    )]
    fn code(&self) -> String {
        let steps = jiff::Timestamp::now().as_second() / 30;
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let digest = hmac::sign(&key, &steps.to_be_bytes());
        let digest = digest.as_ref();
        // RFC 4226 5.3: the last four bits say where the number stands.
        let offset = usize::from(digest[19] & 15);
        let number = digest[offset..offset + 4]
            .iter()
            .fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
    }
}

/// RFC 4648 6, without padding.
fn base32(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for c in text.chars() {
        held = held << 5 | u32::try_from(ALPHABET.find(c)?).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).ok()?);
        }
    }
    Some(bytes)
}
