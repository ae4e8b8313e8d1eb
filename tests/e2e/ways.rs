//! Every way in which a token can be had, and everything for which it must not be had.
//!
//! Each way is begun while all is well; then something happens, and it is gone on with. Nobody may end with the scope
//! that the policy gives to nobody any more. Without anything happening, everybody does.

mod tools;

use std::collections::BTreeSet;

use countersign_core::{AccountId, ClientId};
use countersign_dev_idp::entra::CONTOSO;
use countersign_server::api_key::revoke_at;
use countersign_server::{Client, ClientAuthentication, Clock, GrantType, SecretDigest};
use countersign_store::Admin;
use countersign_tests::{BrokerSetup, Browser, Login, Page, TestBroker, World, payload, wire};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan};
use serde_json::Value;
use tools::ToolWay;
use url::{Url, form_urlencoded};

const SECRET: &str = "secret-of-the-service";
/// What everybody is after.
const WANTED: &str = "packages:manage";
const SCOPE: &str = "openid packages:read packages:manage";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A way to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A code that is there already.
    Code,
    /// A sign-in from its beginning.
    SignIn,
    /// A sign-in of somebody who is at the provider.
    AtProvider,
    /// A request that was pushed, by a client that pushes.
    PushedRequest,
    /// A session in the browser, asked without meeting the person.
    Session,
    Refresh,
    /// A device for which somebody has signed in.
    Device,
    /// A device for which nobody has signed in yet.
    DeviceSignIn,
    /// A device for which somebody has said yes, and is at the provider.
    DeviceAtProvider,
    Exchange,
    /// A service as itself: there is no person whom anything could happen to.
    Service,
    /// A registry's own tool.
    Tool(ToolWay),
}

impl Way {
    const ALL: [Self; 21] = [
        Self::Code,
        Self::SignIn,
        Self::AtProvider,
        Self::PushedRequest,
        Self::Session,
        Self::Refresh,
        Self::Device,
        Self::DeviceSignIn,
        Self::DeviceAtProvider,
        Self::Exchange,
        Self::Service,
        Self::Tool(ToolWay::Key),
        Self::Tool(ToolWay::AccessToken),
        Self::Tool(ToolWay::Session),
        Self::Tool(ToolWay::SignIn),
        Self::Tool(ToolWay::StepUp),
        Self::Tool(ToolWay::BoundToken),
        Self::Tool(ToolWay::BoundStepUp),
        Self::Tool(ToolWay::DockerKey),
        Self::Tool(ToolWay::DockerCode),
        Self::Tool(ToolWay::DockerIdentityToken),
    ];

    /// The grant that it ends with; a tool's is none that the token endpoint serves.
    fn grant(self) -> Option<GrantType> {
        Some(match self {
            Self::Code | Self::SignIn | Self::AtProvider | Self::PushedRequest | Self::Session => {
                GrantType::AuthorizationCode
            }
            Self::Refresh => GrantType::RefreshToken,
            Self::Device | Self::DeviceSignIn | Self::DeviceAtProvider => GrantType::DeviceCode,
            Self::Exchange => GrantType::TokenExchange,
            Self::Service => GrantType::ClientCredentials,
            Self::Tool(_) => return None,
        })
    }
}

/// What happens between the beginning and the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// Nothing: the test of the test.
    Nothing,
    /// The login has no second factor, and never had.
    NoMfa,
    /// The exception that let the person in is over.
    ExceptionOver,
    ProviderSwitchedOff,
    ProviderNotAdmitted,
    OrganizationMappedElsewhere,
    AccountLocked,
    /// The identity that signed in leads to the account no more, and whoever removed it came no further.
    IdentityRemoved,
    /// Whatever the person had signed in to was ended, by an operator or by themselves.
    SessionsEnded,
    /// Their keys were.
    KeysRevoked,
    PolicyTightened,
}

impl Event {
    const ALL: [Self; 11] = [
        Self::Nothing,
        Self::NoMfa,
        Self::ExceptionOver,
        Self::ProviderSwitchedOff,
        Self::ProviderNotAdmitted,
        Self::OrganizationMappedElsewhere,
        Self::AccountLocked,
        Self::IdentityRemoved,
        Self::SessionsEnded,
        Self::KeysRevoked,
        Self::PolicyTightened,
    ];

    /// Whether it concerns somebody who goes this way: a service is no person, not every tool acts for organisations, and what
    /// has ended only who rests on it.
    fn concerns(self, way: Way) -> bool {
        match self {
            Self::SessionsEnded => return rests_on_session(way),
            Self::KeysRevoked => return matches!(way, Way::Tool(way) if way.rests_on_key()),
            Self::Nothing
            | Self::NoMfa
            | Self::ExceptionOver
            | Self::ProviderSwitchedOff
            | Self::ProviderNotAdmitted
            | Self::OrganizationMappedElsewhere
            | Self::AccountLocked
            | Self::IdentityRemoved
            | Self::PolicyTightened => {}
        }
        match way {
            Way::Service => matches!(self, Self::Nothing | Self::PolicyTightened),
            Way::Tool(way) => way.can_act_for_organization() || organization(self).is_none(),
            Way::Code
            | Way::SignIn
            | Way::AtProvider
            | Way::PushedRequest
            | Way::Session
            | Way::Refresh
            | Way::Device
            | Way::DeviceSignIn
            | Way::DeviceAtProvider
            | Way::Exchange => true,
        }
    }

    /// Who signs in.
    fn login(self) -> Login {
        let login = match self {
            Self::Nothing
            | Self::ProviderSwitchedOff
            | Self::ProviderNotAdmitted
            | Self::AccountLocked
            | Self::IdentityRemoved
            | Self::SessionsEnded
            | Self::KeysRevoked
            | Self::PolicyTightened => Login::new("oidc", "ann-mfa"),
            Self::NoMfa => Login::new("oidc", "bob-password"),
            Self::ExceptionOver => Login::new("entra", "bob-password").with("organization", "bank"),
            Self::OrganizationMappedElsewhere => {
                Login::new("entra", "ann-mfa").with("organization", "contoso")
            }
        };
        login.with("scope", SCOPE)
    }
}

/// Whether a way goes on with a session that is open by then: others begin with a sign-in, which is let in.
fn rests_on_session(way: Way) -> bool {
    match way {
        Way::Code | Way::Refresh | Way::Device | Way::Exchange => true,
        Way::Tool(way) => way.rests_on_session(),
        Way::SignIn
        | Way::AtProvider
        | Way::PushedRequest
        | Way::Session
        | Way::DeviceSignIn
        | Way::DeviceAtProvider
        | Way::Service => false,
    }
}

/// The organisation that the person of this event acts for.
fn organization(event: Event) -> Option<&'static str> {
    match event {
        Event::ExceptionOver => Some("bank"),
        Event::OrganizationMappedElsewhere => Some("contoso"),
        Event::Nothing
        | Event::NoMfa
        | Event::ProviderSwitchedOff
        | Event::ProviderNotAdmitted
        | Event::AccountLocked
        | Event::IdentityRemoved
        | Event::SessionsEnded
        | Event::KeysRevoked
        | Event::PolicyTightened => None,
    }
}

/// A world in which it is twenty seconds to midnight, on the last day of an exception.
async fn world() -> World {
    let world = World::with(|setup| {
        let secret = || ClientAuthentication::Secret(SecretDigest::of(SECRET));
        let uris = || vec![BrokerSetup::REDIRECT_URI.to_owned()];
        let gallery = setup.gallery();
        gallery
            .grants
            .extend([GrantType::RefreshToken, GrantType::DeviceCode]);
        let other = Client::new("Another", uris(), secret(), BrokerSetup::AUDIENCE);
        let mut service = Client::new("Service", vec![], secret(), BrokerSetup::AUDIENCE);
        service.grants = [GrantType::TokenExchange, GrantType::ClientCredentials].into();
        for (id, client) in [("other", other), ("service", service)] {
            let id = ClientId::new(id).expect("a client id");
            setup.clients.insert(id, client);
        }
        tools::stand_before(setup);
        setup.policy = policy(setup);
    })
    .await;
    world.broker.clock.stop();
    world.share_clock();
    let clock = &world.broker.clock;
    let today = TimeZone::UTC.to_datetime(clock.now()).date();
    let midnight = (today + 1.day())
        .to_zoned(TimeZone::UTC)
        .expect("a midnight");
    let left = midnight.timestamp().duration_since(clock.now());
    clock.advance_by(left - SignedDuration::from_secs(20));
    world
}

/// Whoever has no second factor is let in, and gets little.
fn policy(setup: &BrokerSetup) -> String {
    #[expect(clippy::disallowed_methods, reason = "the day on which the tests run")]
    let today = TimeZone::UTC.to_datetime(jiff::Timestamp::now()).date();
    let browse = "scopes = [\"packages:read\", ";
    let usual = setup
        .policy
        .replace(
            "[client.gallery]\ntier = \"manage\"",
            "[client.gallery]\ntier = \"browse\"",
        )
        .replace(browse, &format!("{browse}\"api-keys:write\", "));
    format!(
        "{usual}\n\
         [api_keys]\nmax_days = 90\naccepts = [\"session\", \"enrolment\", \"tenant\"]\n\
         [client.other]\ntier = \"browse\"\n\
         [client.service]\ntier = \"browse\"\nown_scopes = [\"{WANTED}\"]\n\
         [organization.bank]\ntenants = [\"{CONTOSO}\"]\n\
         [organization.contoso]\ntenants = [\"{CONTOSO}\"]\n\
         [exception.bank]\norganization = \"bank\"\nreason = \"no phones\"\n\
         approved_by = \"security@registry.example\"\nuntil = {today}\nwaives = [\"manage\"]\n"
    )
}

/// What somebody has who is on the way.
enum Begun {
    Nothing,
    Code(String),
    Request(String),
    Browser(Box<Browser>),
    RefreshToken(String),
    AccessToken(String),
    Device(Value),
    Tool(tools::Shown),
    /// A browser that is on its way to the provider; for a device, where it is for one.
    Departed(Box<(Browser, Page)>, Option<Value>),
}

/// What somebody has in the end.
#[derive(Debug)]
struct Got {
    subject: String,
    scopes: BTreeSet<String>,
}

impl Got {
    /// By a token or an assertion.
    fn of(claims: &Value) -> Self {
        let scopes = claims["scope"].as_str().unwrap_or_default();
        Self {
            subject: text(claims, "sub"),
            scopes: scopes.split(' ').map(str::to_owned).collect(),
        }
    }

    /// Whether it is what everybody is after: of this account, where it matters of which.
    fn is_wanted(&self, of: Option<&AccountId>) -> bool {
        self.scopes.contains(WANTED) && of.is_none_or(|of| of.as_str() == self.subject)
    }
}

/// One person on one way.
struct Walk<'a> {
    world: &'a World,
    way: Way,
    login: Login,
    organization: Option<&'static str>,
}

impl Walk<'_> {
    async fn begin(&self) -> Begun {
        let issuer = &self.world.broker;
        match self.way {
            Way::SignIn | Way::Service => Begun::Nothing,
            Way::Code => Begun::Code(self.code(&mut Browser::new()).await),
            Way::PushedRequest => {
                let url = self.world.authorize_url(&self.login);
                let mut form: Vec<(String, String)> = url.query_pairs().into_owned().collect();
                form.push(("client_secret".into(), BrokerSetup::SECRET.into()));
                let pushed = ask(issuer, "/par", &form).await;
                Begun::Request(text(&pushed, "request_uri"))
            }
            Way::Session => {
                let mut browser = Browser::new();
                self.code(&mut browser).await;
                Begun::Browser(Box::new(browser))
            }
            Way::Refresh | Way::Exchange => {
                let code = self.code(&mut Browser::new()).await;
                let tokens = redeem(issuer, "gallery", &code).await;
                if self.way == Way::Refresh {
                    Begun::RefreshToken(text(&tokens, "refresh_token"))
                } else {
                    Begun::AccessToken(text(&tokens, "access_token"))
                }
            }
            Way::AtProvider => {
                let mut browser = Browser::new();
                let page = browser.get(&self.world.authorize_url(&self.login)).await;
                Begun::Departed(Box::new((browser, page)), None)
            }
            Way::DeviceAtProvider => {
                let device = self.device().await;
                let mut browser = Browser::new();
                let page = self.depart(&mut browser, issuer, &device).await;
                let page = page.expect("a way to the provider");
                Begun::Departed(Box::new((browser, page)), Some(device))
            }
            Way::DeviceSignIn => Begun::Device(self.device().await),
            Way::Tool(way) => Begun::Tool(tools::begin(way, self).await),
            Way::Device => {
                let device = self.device().await;
                assert!(self.allow(issuer, &device).await, "nobody signed in");
                Begun::Device(device)
            }
        }
    }

    /// What somebody ends with at this replica, where they end with a token.
    async fn end(&self, begun: Begun, at: &TestBroker) -> Option<Got> {
        let answer = match begun {
            Begun::Nothing if self.way == Way::Service => {
                let form = [("grant_type", "client_credentials"), ("scope", WANTED)];
                ask(at, "/token", &of_service(&form)).await
            }
            Begun::Nothing => {
                let mut browser = browser_at(at);
                let code = self
                    .code_at(&mut browser, &self.world.authorize_url(&self.login))
                    .await?;
                redeem(at, "gallery", &code).await
            }
            Begun::Request(uri) => {
                let mut url = self.world.authorize_url(&self.login);
                url.query_pairs_mut()
                    .clear()
                    .append_pair("client_id", "gallery")
                    .append_pair("request_uri", &uri);
                let code = self.code_at(&mut browser_at(at), &url).await?;
                redeem(at, "gallery", &code).await
            }
            Begun::Code(code) => redeem(at, "gallery", &code).await,
            Begun::Browser(browser) => {
                let mut browser = browser.led_to(&at.issuer, &at.address);
                let login = self
                    .login
                    .clone()
                    .with("client_id", "other")
                    .with("prompt", "none");
                let page = browser.get(&self.world.authorize_url(&login)).await;
                redeem(at, "other", &page.sent_with("code")?).await
            }
            Begun::RefreshToken(token) => {
                let form = [("grant_type", "refresh_token"), ("refresh_token", &token)];
                ask(at, "/token", &of_gallery(&form)).await
            }
            Begun::AccessToken(token) => {
                let form = [
                    ("grant_type", GrantType::TokenExchange.as_str()),
                    ("subject_token_type", ACCESS_TOKEN),
                    ("subject_token", &token),
                ];
                ask(at, "/token", &of_service(&form)).await
            }
            Begun::Departed(departed, device) => {
                let (browser, page) = *departed;
                let mut browser = browser.led_to(&at.issuer, &at.address);
                let page = self.signed_in(&mut browser, page).await;
                match device {
                    Some(device) => poll(at, &device).await,
                    None => redeem(at, "gallery", &page.sent_with("code")?).await,
                }
            }
            Begun::Device(device) => {
                if self.way == Way::DeviceSignIn && !self.allow(at, &device).await {
                    return None;
                }
                poll(at, &device).await
            }
            Begun::Tool(shown) => return tools::end(shown, at).await,
        };
        Some(Got::of(&payload(answer["access_token"].as_str()?)))
    }

    /// A code of a sign-in that succeeds.
    async fn code(&self, browser: &mut Browser) -> String {
        let url = self.world.authorize_url(&self.login);
        let code = self.code_at(browser, &url).await;
        code.unwrap_or_else(|| panic!("{:?}: no code", self.way))
    }

    async fn code_at(&self, browser: &mut Browser, url: &Url) -> Option<String> {
        let page = browser.get(url).await;
        self.signed_in(browser, page).await.sent_with("code")
    }

    /// Signs in, with the step-up where one is offered; the page that the person is left with.
    async fn signed_in(&self, browser: &mut Browser, page: Page) -> Page {
        let outcome = self.world.go_on(browser, page, &self.login).await;
        if outcome.summary().starts_with("step-up") {
            let page = outcome.into_page();
            return self
                .world
                .step_up(browser, &page, &self.login)
                .await
                .into_page();
        }
        outcome.into_page()
    }

    async fn device(&self) -> Value {
        let mut form = vec![("scope", SCOPE)];
        form.extend(self.organization.map(|name| ("organization", name)));
        ask(
            &self.world.broker,
            "/device_authorization",
            &of_gallery(&form),
        )
        .await
    }

    /// Says yes to a device; whether it is signed in then.
    async fn allow(&self, at: &TestBroker, device: &Value) -> bool {
        let mut browser = browser_at(at);
        let Some(page) = self.depart(&mut browser, at, device).await else {
            return false;
        };
        let page = self.signed_in(&mut browser, page).await;
        page.body.contains("Your device is signed in")
    }

    /// Says yes to a device, where the provider is among those that are offered.
    async fn depart(&self, browser: &mut Browser, at: &TestBroker, device: &Value) -> Option<Page> {
        let url = text(device, "verification_uri_complete");
        let page = browser.get(&Url::parse(&url).expect("an address")).await;
        let provider = self.login.provider;
        let way = page.link_to(&format!(
            "{}/device/continue?provider={provider}&",
            at.issuer
        ))?;
        Some(browser.get(&way).await)
    }
}

fn browser_at(at: &TestBroker) -> Browser {
    Browser::new().led_to(&at.issuer, &at.address)
}

fn of_gallery(form: &[(&str, &str)]) -> Vec<(String, String)> {
    with_client("gallery", BrokerSetup::SECRET, form)
}

fn of_service(form: &[(&str, &str)]) -> Vec<(String, String)> {
    with_client("service", SECRET, form)
}

fn with_client(id: &str, secret: &str, form: &[(&str, &str)]) -> Vec<(String, String)> {
    let client = [("client_id", id), ("client_secret", secret)];
    let all = client.iter().chain(form);
    all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

async fn ask(at: &TestBroker, path: &str, form: &[(String, String)]) -> Value {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let page = wire::send("POST", &at.address, path, &[], &body).await;
    serde_json::from_str(&page.body).unwrap_or_else(|_| panic!("no JSON: {}", page.body))
}

async fn poll(at: &TestBroker, device: &Value) -> Value {
    let code = text(device, "device_code");
    let grant = GrantType::DeviceCode.as_str();
    let form = [("grant_type", grant), ("device_code", &code)];
    ask(at, "/token", &of_gallery(&form)).await
}

async fn redeem(at: &TestBroker, client: &str, code: &str) -> Value {
    let secret = if client == "gallery" {
        BrokerSetup::SECRET
    } else {
        SECRET
    };
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", BrokerSetup::REDIRECT_URI),
        (
            "code_verifier",
            "dBjftJeZ4CVP-mBJL1Ia4lOTjFWOEjhYDk3jJMOYtTk",
        ),
    ];
    ask(at, "/token", &with_client(client, secret, &form)).await
}

fn text(answer: &Value, name: &str) -> String {
    let value = answer[name].as_str();
    value
        .unwrap_or_else(|| panic!("no `{name}` in {answer}"))
        .to_owned()
}

/// Lets it happen; the replica that is asked from then on.
async fn happen(event: Event, world: &World, subject: Option<AccountId>) -> TestBroker {
    let usual = &world.broker.policy_text;
    let changed = |old: &str, new: &str| {
        assert!(usual.contains(old), "no `{old}`");
        usual.replace(old, new)
    };
    let replica = match event {
        Event::ProviderSwitchedOff => world.replica_without("oidc"),
        Event::Nothing
        | Event::NoMfa
        | Event::ExceptionOver
        | Event::ProviderNotAdmitted
        | Event::OrganizationMappedElsewhere
        | Event::AccountLocked
        | Event::IdentityRemoved
        | Event::SessionsEnded
        | Event::KeysRevoked
        | Event::PolicyTightened => world.replica(),
    };
    match event {
        Event::Nothing | Event::NoMfa | Event::ProviderSwitchedOff => {}
        Event::ExceptionOver => world.broker.clock.advance(25),
        Event::ProviderNotAdmitted => {
            // Of those whom people sign in to: what a service exchanges is theirs.
            let text = ["gallery", "other"]
                .iter()
                .fold(usual.clone(), |text, client| {
                    let named = format!("[client.{client}]\ntier = \"browse\"\n");
                    assert!(text.contains(&named), "no `{named}`");
                    let listed = format!("{named}providers = [\"github\", \"entra\"]\n");
                    text.replace(&named, &listed)
                });
            replica.enforce(&text);
        }
        Event::OrganizationMappedElsewhere => {
            replica.enforce(&changed(CONTOSO, "22222222-2222-4222-8222-222222222222"));
        }
        Event::AccountLocked => {
            world.broker.lock(&subject.expect("an account")).await;
        }
        Event::IdentityRemoved => {
            world.broker.unlist(&subject.expect("an account")).await;
        }
        Event::SessionsEnded => end_sessions(world, &subject.expect("an account")).await,
        Event::KeysRevoked => revoke_keys(world, &subject.expect("an account")).await,
        Event::PolicyTightened => {
            let text = changed(
                "scopes = [\"packages:manage\"]\nneeds = \"mfa\"\naccepts = [\"session\", \"enrolment\", \"tenant\"]",
                "scopes = [\"packages:manage\"]\nneeds = \"phishing-resistant\"\naccepts = [\"session\"]",
            );
            let own = format!("own_scopes = [\"{WANTED}\"]");
            replica.enforce(&text.replace(&own, ""));
        }
    }
    replica
}

async fn end_sessions(world: &World, account: &AccountId) {
    let (now, store) = (world.broker.clock.now(), world.broker.store());
    let open = store.sessions_of(account, None, now).await;
    let open = open.expect("a store");
    assert!(!open.is_empty(), "nobody has signed in");
    for one in open {
        let ended = store.end_session(&one.session.id, now).await;
        ended.expect("an end");
    }
}

async fn revoke_keys(world: &World, account: &AccountId) {
    let (now, store) = (world.broker.clock.now(), world.broker.store());
    let keys = store
        .api_keys_of(&Admin::Account(account.clone()), None, 100)
        .await;
    let keys = keys.expect("a store");
    assert!(!keys.is_empty(), "nobody has a key");
    for key in keys {
        let revoked = revoke_at(store.as_ref(), &key.id, now).await;
        revoked.expect("a change");
    }
}

/// The account of whoever signs in here.
async fn account(world: &World, login: &Login) -> AccountId {
    let page = world.sign_in(&mut Browser::new(), login).await.code();
    let tokens = world.redeem(&page).await;
    let subject = tokens.access()["sub"]
        .as_str()
        .expect("a subject")
        .to_owned();
    AccountId::new(subject).expect("an account id")
}

#[actix_web::test]
async fn nobody_gets_by_any_way_what_the_policy_gives_them_no_more() {
    for event in Event::ALL {
        for way in Way::ALL.into_iter().filter(|way| event.concerns(*way)) {
            let world = world().await;
            let walk = Walk {
                world: &world,
                way,
                login: event.login(),
                organization: organization(event),
            };
            let subject = match event {
                Event::AccountLocked
                | Event::IdentityRemoved
                | Event::SessionsEnded
                | Event::KeysRevoked => Some(account(&world, &walk.login).await),
                _ => None,
            };
            let begun = walk.begin().await;
            let replica = happen(event, &world, subject.clone()).await;
            let got = walk.end(begun, &replica).await;
            // Who signs in with an identity that was removed gets all of it, as somebody else.
            let has_it = got
                .as_ref()
                .is_some_and(|got| got.is_wanted(subject.as_ref()));
            assert_eq!(
                has_it,
                event == Event::Nothing,
                "{event:?} by {way:?}: {got:?}"
            );
        }
    }
}

/// The exception and the mapping do let in, as long as they are there.
#[actix_web::test]
async fn what_is_taken_away_later_counts_before() {
    for event in [Event::ExceptionOver, Event::OrganizationMappedElsewhere] {
        for way in Way::ALL.into_iter().filter(|way| event.concerns(*way)) {
            let world = world().await;
            let walk = Walk {
                world: &world,
                way,
                login: event.login(),
                organization: organization(event),
            };
            let begun = walk.begin().await;
            let got = walk.end(begun, &world.broker).await;
            let has_it = got.as_ref().is_some_and(|got| got.is_wanted(None));
            assert!(has_it, "{event:?} by {way:?}: {got:?}");
        }
    }
}

#[actix_web::test]
async fn every_grant_that_is_served_has_its_row() {
    let world = World::new().await;
    let page = wire::get(
        &world.broker.address,
        "/.well-known/openid-configuration",
        &[],
    )
    .await;
    let metadata: Value = serde_json::from_str(&page.body).expect("JSON");
    let served = metadata["grant_types_supported"]
        .as_array()
        .expect("a list");
    let served: BTreeSet<&str> = served
        .iter()
        .map(|one| one.as_str().expect("a name"))
        .collect();
    let walked = Way::ALL.into_iter().filter_map(Way::grant);
    let walked: BTreeSet<&str> = walked.map(GrantType::as_str).collect();
    assert_eq!(served, walked, "a new grant needs its `Way`");
}
