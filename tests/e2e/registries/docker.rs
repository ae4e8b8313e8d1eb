//! Docker's own registry behind our tokens, and what `skopeo` and `docker` do with it and say.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_core::api_keys::PackagePattern;
use countersign_core::registry::Profile;
use countersign_core::{
    AccountId, Basis, ClientId, Level, Login as CoreLogin, RegistryName, Scope,
};
use countersign_server::api_key::{KeyText, id_of};
use countersign_server::{
    Client, ClientAuthentication, Clock, DockerSettings, GrantType, KeyHeader, Registry,
    SecretDigest, SigningAlgorithm, SystemEntropy,
};
use countersign_store::{Admin, ApiKey, MadeBy, MadeUnder};
use countersign_tests::peers::{CommandLine, DockerAddress, DockerRegistry};
use countersign_tests::tools::Helper;
use countersign_tests::{BrokerSetup, Browser, Login, Page, World, payload, wire};
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use super::credential_helper::sign_in;

const PROFILE: &str = include_str!("../../../config/registries/docker.toml");
const POLICY: &str = r#"
[api_keys]
max_days = 90
accepts = ["session", "enrolment", "tenant"]
[tier.retire]
scopes = ["packages:unpublish"]
needs = "mfa"
accepts = ["session"]
max_evidence_age = "15m"
[client.images]
tier = "browse"
[client.other]
tier = "browse"
"#;
const HOUR: i64 = 60 * 60;

/// A world with a registry, `images`, and another that nobody runs, `other`.
struct Harbour {
    world: World,
    address: DockerAddress,
    registry: DockerRegistry,
}

/// A registry `images` at this address, and another, `other`, that nobody runs.
pub(crate) fn with_images(setup: &mut BrokerSetup, address: &str, key_header: KeyHeader) {
    setup.policy.push_str(POLICY);
    for (name, service) in [("images", address), ("other", "other")] {
        let client = Client::new(
            "Images",
            vec![BrokerSetup::REDIRECT_URI.into()],
            ClientAuthentication::Secret(SecretDigest::of(BrokerSetup::SECRET)),
            BrokerSetup::AUDIENCE,
        );
        let id = ClientId::new(name).expect("a client id");
        setup.clients.insert(id.clone(), client);
        let (profile, _) = Profile::load("docker.toml", PROFILE).expect("a profile");
        let name = RegistryName::new(name).expect("a name");
        let registry = Registry {
            name: name.clone(),
            profile,
            client: id,
            public_url: Url::parse(&format!("http://{address}")).expect("a site"),
            proxy_secret: None,
            upstream: None,
            upstream_authorization: None,
            docker: Some(DockerSettings {
                service: service.to_owned(),
                key_header,
                algorithm: SigningAlgorithm::Es256,
            }),
        };
        setup.registries.insert(name, registry);
    }
}

impl Harbour {
    async fn new(key_header: KeyHeader) -> Self {
        Self::with(key_header, |_| {}).await
    }

    async fn with(key_header: KeyHeader, change: impl FnOnce(&mut BrokerSetup)) -> Self {
        let address = DockerAddress::free();
        let world = World::with(|setup| {
            with_images(setup, &address.name(), key_header);
            change(setup);
        })
        .await;
        let certificates = world.broker.vault();
        let now = world.broker.clock.now();
        let how = (key_header, SigningAlgorithm::Es256);
        let certificates = certificates.certificates(how, &SystemEntropy, now).await;
        let issuer = &world.broker.issuer;
        let realm = format!("{issuer}/registry/images/token");
        let registry = DockerRegistry::start(
            &address,
            [issuer, &realm, &address.name()],
            &certificates.expect("certificates"),
        );
        Self {
            world,
            address,
            registry,
        }
    }

    /// A repository, as tools name it.
    fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address.name())
    }

    fn page(&self) -> String {
        format!("{}/registry/images/login", self.world.broker.issuer)
    }

    /// Signs in at the page: what it shows.
    async fn sign_in(&self, browser: &mut Browser, login: &Login) -> Page {
        let to = format!("/registry/images/login/sign-in?provider={}", login.provider);
        let page = browser.get(&self.world.broker.endpoint(&to)).await;
        self.world.walk(browser, page, login).await
    }

    /// Presses the button for a code: what follows.
    async fn press(&self, browser: &mut Browser, page: &Page) -> Page {
        let form = page.field("form");
        let form = form.unwrap_or_else(|| panic!("no button: {}", page.body));
        let fields = [("form".to_owned(), form)];
        let page = self.world.broker.endpoint("/registry/images/login");
        browser.post(&page, &fields).await
    }

    /// A code for this person, and the browser that they got it in.
    async fn code(&self, login: &Login) -> (Browser, String) {
        let mut browser = Browser::new();
        let page = self.sign_in(&mut browser, login).await;
        let page = self.press(&mut browser, &page).await;
        let code = page.body.split("id=\"code\">").nth(1);
        let code = code.and_then(|rest| rest.split('<').next());
        let code = code.unwrap_or_else(|| panic!("no code: {}", page.body));
        (browser, code.to_owned())
    }

    /// A command line at which this person has signed in.
    async fn signed_in(&self, login: &Login) -> CommandLine {
        let (_, code) = self.code(login).await;
        let line = CommandLine::new();
        let said = line.docker_login(&self.address.name(), "countersign", &code);
        assert!(said.must_go_well().contains("Login Succeeded"));
        line
    }

    /// A key of this person's, for these scopes and packages: put into the store, as whatever makes one does.
    async fn key(&self, login: &Login, scopes: &[&str], packages: &[&str]) -> String {
        let line = self.signed_in(login).await;
        let claims = self
            .refresh(&self.kept(&line), "repository:a:push")
            .await
            .claims();
        let account = claims["sub"].as_str().expect("an account");
        let account = AccountId::new(account).expect("an account id");
        let (store, now) = (self.world.broker.store(), self.world.broker.clock.now());
        let sessions = store
            .sessions_of(&account, None, now)
            .await
            .expect("sessions");
        let evidence = &sessions[0].session.evidence;
        let text = format!("key-for-{}-{}", scopes.join("-"), packages.join("-"));
        let digest = KeyText::parse(&text).expect("a key").digest();
        let key = ApiKey {
            id: id_of(&digest),
            digest,
            owner: Admin::Account(account),
            name: "ci".into(),
            client: ClientId::new("images").expect("a client id"),
            scopes: scopes
                .iter()
                .map(|one| Scope::new(*one).expect("a scope"))
                .collect(),
            packages: packages
                .iter()
                .map(|one| PackagePattern::new(*one).expect("a pattern"))
                .collect(),
            organization: None,
            made_by: MadeBy::Page,
            made_at: now,
            imported_at: None,
            expires_at: None,
            under: Some(MadeUnder {
                identity: evidence.identity.clone(),
                login: CoreLogin::from(evidence),
                level: Level::Mfa,
                basis: Some(Basis::Session),
            }),
            first_notice_at: None,
            told_end: None,
            set_end: None,
            last_used_on: None,
            revoked_at: None,
        };
        store.put_api_key_if_absent(key).await.expect("a key");
        text
    }

    /// What the token endpoint answers by GET.
    async fn ask(&self, parameters: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let query = encoded(parameters);
        let target = format!("/registry/images/token?{query}");
        Answer::of(&wire::get(&self.world.broker.issuer, &target, headers).await)
    }

    /// The same with a password.
    async fn ask_with(&self, password: &str, parameters: &[(&str, &str)]) -> Answer {
        self.ask(
            parameters,
            &[("authorization", &basic("countersign", password))],
        )
        .await
    }

    /// What it answers by POST.
    async fn post(&self, registry: &str, parameters: &[(&str, &str)]) -> Answer {
        let target = format!("/registry/{registry}/token");
        let issuer = &self.world.broker.issuer;
        Answer::of(&wire::send("POST", issuer, &target, &[], &encoded(parameters)).await)
    }

    /// What Docker kept at this command line.
    fn kept(&self, line: &CommandLine) -> String {
        let kept = &line.kept(&self.address.name())["identitytoken"];
        kept.as_str().expect("an identity token").to_owned()
    }

    /// What a refresh with this gets of a repository: `pull push`, or the refusal.
    async fn refresh(&self, kept: &str, scope: &str) -> Answer {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", kept),
            ("scope", scope),
        ];
        self.post("images", &form).await
    }
}

/// What the token endpoint said.
#[derive(Debug)]
struct Answer {
    status: u16,
    body: Value,
}

impl Answer {
    fn of(page: &Page) -> Self {
        Self {
            status: page.status,
            body: serde_json::from_str(&page.body).unwrap_or_default(),
        }
    }

    fn claims(&self) -> Value {
        let token = self.body["token"].as_str();
        payload(token.unwrap_or_else(|| panic!("no token: {self:?}")))
    }

    /// The status, and what is granted or said.
    fn summary(&self) -> String {
        if self.status == 200 {
            return format!("200 {}", self.body["scope"].as_str().unwrap_or("?"));
        }
        let error = &self.body["errors"][0];
        let text = |name: &str| error[name].as_str().unwrap_or("?").to_owned();
        format!("{} {}: {}", self.status, text("code"), text("message"))
    }
}

fn encoded(parameters: &[(&str, &str)]) -> String {
    let mut encoded = form_urlencoded::Serializer::new(String::new());
    encoded.extend_pairs(parameters).finish()
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn ann() -> Login {
    Login::new("oidc", "ann-mfa")
}

/// Somebody without a second factor, at a provider that can't be asked for more.
fn without_mfa() -> Login {
    Login::new("github", "bob-password")
}

#[test]
fn these_are_the_programs_that_were_tried() {
    let version = |program: &str| {
        let said = std::process::Command::new(program)
            .arg("--version")
            .output();
        let said = said.expect("the program: `tests/run packages` installs it");
        String::from_utf8_lossy(&said.stdout).into_owned()
    };
    assert!(version("docker-registry").contains(" 2.8."));
    assert!(version("skopeo").contains(" 1.9."));
    let docker = CommandLine::new().docker(&["--version"], "").must_go_well();
    assert!(docker.contains(" 20.10."), "{docker}");
}

#[tokio::test]
async fn who_signs_in_with_mfa_pushes_and_deletes_and_anybody_pulls() {
    let harbour = Harbour::new(KeyHeader::X5c).await;
    let (stranger, image) = (CommandLine::new(), harbour.image("alice/hello"));
    stranger
        .push(&image)
        .must_fail_with("requested access to the resource is denied");
    assert_eq!(harbour.registry.repositories().len(), 0);

    let line = harbour.signed_in(&ann()).await;
    line.push(&image).must_go_well();
    assert_eq!(harbour.registry.repositories(), ["alice"]);
    assert!(stranger.inspect(&image).must_go_well().contains("sha256:"));

    // Docker's own client: it takes what is there into a list, and pushes that.
    let list = harbour.image("alice/hello:list");
    let create = ["manifest", "create", "--insecure", &list, &image];
    line.docker(&create, "").must_go_well();
    let push = ["manifest", "push", "--insecure", &list];
    line.docker(&push, "").must_go_well();
    stranger
        .docker(&["manifest", "create", "--insecure", &list, &image], "")
        .must_go_well();
    stranger.docker(&push, "").must_fail_with("denied");

    stranger
        .delete(&image)
        .must_fail_with("authentication required");
    line.delete(&image).must_go_well();
    let gone = stranger.inspect(&image);
    gone.must_fail_with("manifest unknown");
}

#[tokio::test]
async fn docker_keeps_an_identity_token_and_not_what_was_typed() {
    let harbour = Harbour::new(KeyHeader::X5c).await;
    let (_, code) = harbour.code(&ann()).await;
    let line = CommandLine::new();
    let login = line.docker_login(&harbour.address.name(), "countersign", &code);
    login.must_go_well();
    let kept = line.kept(&harbour.address.name());
    assert_eq!(kept["auth"], STANDARD.encode("countersign:"));
    assert!(!kept.to_string().contains(&code));
    assert!(harbour.kept(&line).starts_with("csdi_"));
    // As later versions sign in once more, with what they have kept.
    let again = harbour.refresh(&harbour.kept(&line), "").await;
    assert_eq!(again.summary(), "200 ");
    let sub = again.claims()["sub"].clone();
    assert!(sub.as_str().is_some_and(|sub| sub.starts_with("acct_")));
    let audited = harbour
        .world
        .broker
        .audited(&["tool-code-made", "tool-signed-in"]);
    assert_eq!(audited, ["tool-code-made", "tool-signed-in"]);
}

#[tokio::test]
async fn a_code_is_good_once_and_taken_twice_it_ends_the_sign_in() {
    let harbour = Harbour::new(KeyHeader::X5c).await;
    let (mut browser, code) = harbour.code(&ann()).await;
    let name = harbour.address.name();
    let (line, thief) = (CommandLine::new(), CommandLine::new());
    line.docker_login(&name, "countersign", &code)
        .must_go_well();
    line.push(&harbour.image("hello")).must_go_well();
    let page = harbour.page();
    thief
        .docker_login(&name, "countersign", &code)
        .must_fail_with(&format!(
            "The one-time code was used before, or is older than five minutes. Sign in: {page}"
        ));
    let over = format!("Your sign-in is over. Sign in: {page}");
    line.push(&harbour.image("hello")).must_fail_with(&over);
    let again = browser.get(&Url::parse(&page).expect("an address")).await;
    assert_eq!(again.status, 303, "the browser is signed out too");
    let ended = harbour.world.broker.audited(&["session-ended"]);
    assert_eq!(ended, ["session-ended code-replayed"]);
}

#[tokio::test]
async fn a_code_is_good_for_five_minutes() {
    let harbour = Harbour::new(KeyHeader::X5c).await;
    let (_, code) = harbour.code(&ann()).await;
    harbour.world.broker.clock.advance(301);
    let said = harbour.ask_with(&code, &[("offline_token", "true")]).await;
    assert!(
        said.summary().contains("older than five minutes"),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_tool_that_keeps_no_identity_token_is_told_so_and_the_code_is_not_spent() {
    let harbour = Harbour::new(KeyHeader::X5c).await;
    let (_, code) = harbour.code(&ann()).await;
    let (line, name) = (CommandLine::new(), harbour.address.name());
    let login = [
        "login",
        "--tls-verify=false",
        "-u",
        "countersign",
        "-p",
        &code,
        &name,
    ];
    // Its words at a login are its own; ours are for whoever asks it why.
    line.skopeo(&login)
        .must_fail_with("invalid username/password");
    let answer = harbour.ask_with(&code, &[]).await;
    assert!(
        answer
            .summary()
            .contains("A one-time code is for docker login"),
        "{answer:?}"
    );
    line.docker_login(&name, "countersign", &code)
        .must_go_well();
}

#[tokio::test]
async fn without_mfa_nobody_gets_a_code_and_the_page_says_why() {
    let harbour = Harbour::new(KeyHeader::X5c).await;
    let (world, mut browser) = (&harbour.world, Browser::new());
    let page = harbour.sign_in(&mut browser, &without_mfa()).await;
    assert_eq!(page.reason_code(), Some("mfa-absent"));
    // Who has a session that is good for less.
    let browse = without_mfa()
        .with("client_id", "images")
        .with("scope", "openid packages:read");
    world.sign_in(&mut browser, &browse).await.code();
    let url = Url::parse(&harbour.page()).expect("an address");
    let page = browser.get(&url).await;
    let why = "This sign-in did not use multi-factor authentication.";
    assert!(page.body.contains(why), "{}", page.body);
    assert_eq!(page.field("form"), None);
    let again = page.primary_link().expect("a way to sign in again");
    assert_eq!(again.path(), "/registry/images/login/sign-in");
    // Nobody presses a button that is not there, nor another person's.
    let (mut other, theirs) = (Browser::new(), ann());
    let page = harbour.sign_in(&mut other, &theirs).await;
    let page = harbour.press(&mut browser, &page).await;
    assert_eq!(page.reason_code(), Some("form-expired"));
}

#[tokio::test]
async fn who_may_no_more_gets_no_code_by_a_button_that_was_shown_before() {
    let harbour = Harbour::new(KeyHeader::X5c).await;
    let mut browser = Browser::new();
    let page = harbour.sign_in(&mut browser, &ann()).await;
    // A page of another registry's has another button.
    let url = harbour.world.broker.endpoint("/registry/other/login");
    let form = [("form".to_owned(), page.field("form").expect("a button"))];
    let elsewhere = browser.post(&url, &form).await;
    assert_eq!(elsewhere.reason_code(), Some("form-expired"));
    harbour.world.broker.clock.advance(13 * HOUR);
    let late = harbour.press(&mut browser, &page).await;
    assert_eq!(late.status, 303);
    assert!(harbour.world.broker.audited(&["tool-code-made"]).is_empty());
}

#[tokio::test]
async fn a_sign_in_that_is_no_longer_enough_still_pulls_and_is_told_why_it_does_not_push() {
    let harbour = Harbour::new(KeyHeader::X5c).await;
    let (line, image) = (harbour.signed_in(&ann()).await, harbour.image("hello"));
    line.push(&image).must_go_well();
    let stricter = harbour.world.broker.policy_text.replace(
        "scopes = [\"packages:publish\"]\nneeds = \"mfa\"\naccepts = [\"session\", \"enrolment\", \"tenant\"]",
        "scopes = [\"packages:publish\"]\nneeds = \"phishing-resistant\"\naccepts = [\"session\"]",
    );
    assert_ne!(stricter, harbour.world.broker.policy_text);
    harbour.world.broker.enforce(&stricter);
    let words = format!(
        "This needs a phishing-resistant sign-in, such as a passkey or a security key. Sign in: {}",
        harbour.page()
    );
    line.push(&harbour.image("other")).must_fail_with(&words);
    line.inspect(&image).must_go_well();
    harbour
        .world
        .broker
        .enforce(&harbour.world.broker.policy_text);
    line.push(&harbour.image("other")).must_go_well();
}

#[tokio::test]
async fn what_wants_fresher_evidence_is_told_so() {
    let harbour = Harbour::new(KeyHeader::X5c).await;
    let line = harbour.signed_in(&ann()).await;
    let kept = harbour.kept(&line);
    let refresh = async |scope| harbour.refresh(&kept, scope).await.summary();
    let delete = "repository:hello:delete";
    let push = "repository:hello:pull,push";
    assert_eq!(refresh(delete).await, format!("200 {delete}"));
    harbour.world.broker.clock.advance(16 * 60);
    let stale = format!(
        "401 UNAUTHORIZED: Your sign-in here was verified too long ago for this. Sign in: {}",
        harbour.page()
    );
    assert_eq!(refresh(delete).await, stale);
    assert_eq!(refresh(push).await, format!("200 {push}"));
    // What of everything is theirs still.
    assert_eq!(
        refresh("repository:hello:*").await,
        "200 repository:hello:pull,push"
    );
}

#[tokio::test]
async fn what_was_kept_ends_at_its_own_time_whatever_it_was_used_for() {
    let harbour = Harbour::with(KeyHeader::X5c, |setup| {
        setup
            .policy
            .push_str("[lifetimes]\nsession = { absolute = \"1d\", idle = \"2h\" }\n");
    })
    .await;
    let line = harbour.signed_in(&ann()).await;
    let kept = harbour.kept(&line);
    let pull = "repository:hello:pull";
    for _ in 0..11 {
        // More than the session lives without being used.
        harbour.world.broker.clock.advance(HOUR);
        let answer = harbour.refresh(&kept, pull).await;
        assert_eq!(answer.summary(), format!("200 {pull}"));
    }
    harbour.world.broker.clock.advance(HOUR);
    let over = format!(
        "401 UNAUTHORIZED: Your sign-in is over. Sign in: {}",
        harbour.page()
    );
    assert_eq!(harbour.refresh(&kept, pull).await.summary(), over);
}

#[tokio::test]
async fn what_was_kept_ends_where_it_is_not_used() {
    let harbour = Harbour::new(KeyHeader::X5c).await;
    let line = harbour.signed_in(&ann()).await;
    harbour.world.broker.clock.advance(2 * HOUR + 1);
    let answer = harbour
        .refresh(&harbour.kept(&line), "repository:a:pull")
        .await;
    assert!(
        answer.summary().contains("Your sign-in is over."),
        "{answer:?}"
    );
}

#[tokio::test]
async fn many_at_once_use_what_was_kept_and_none_ends_it() {
    let harbour = Harbour::new(KeyHeader::X5c).await;
    let line = harbour.signed_in(&ann()).await;
    let kept = harbour.kept(&line);
    for _ in 0..3 {
        let many = (0..20).map(|_| harbour.refresh(&kept, "repository:a:push"));
        for answer in futures_util::future::join_all(many).await {
            assert_eq!(answer.summary(), "200 repository:a:push");
        }
    }
}

#[tokio::test]
async fn a_locked_account_keeps_nothing() {
    let harbour = Harbour::new(KeyHeader::X5c).await;
    let line = harbour.signed_in(&ann()).await;
    let kept = harbour.kept(&line);
    let claims = harbour.refresh(&kept, "repository:a:push").await.claims();
    let account = claims["sub"].as_str().expect("an account").to_owned();
    let account = AccountId::new(account).expect("an account id");
    harbour.world.broker.lock(&account).await;
    let answer = harbour.refresh(&kept, "repository:a:push").await;
    assert!(
        answer
            .summary()
            .starts_with("401 UNAUTHORIZED: The registry has locked your account.")
    );
}

#[tokio::test]
async fn a_token_says_what_the_specification_has_it_say() {
    let harbour = Harbour::new(KeyHeader::X5c).await;
    let scope = "repository:r.example:5000/a:pull";
    let service = harbour.address.name();
    let asked = [
        ("service", service.as_str()),
        ("scope", scope),
        ("scope", "repository:b:pull,push"),
    ];
    let answer = harbour.ask(&asked, &[]).await;
    assert_eq!(answer.body["expires_in"], 300);
    assert_eq!(answer.body["token"], answer.body["access_token"]);
    assert_eq!(answer.body.get("refresh_token"), None);
    let claims = answer.claims();
    assert_eq!(claims["iss"], harbour.world.broker.issuer);
    assert_eq!(claims["aud"], harbour.address.name());
    assert_eq!(claims["sub"], "");
    assert_eq!(claims["nbf"], claims["iat"]);
    assert_eq!(
        claims["exp"].as_i64(),
        claims["iat"].as_i64().map(|iat| iat + 300)
    );
    let access = serde_json::json!([
        { "type": "repository", "name": "b", "actions": ["pull"] },
        { "type": "repository", "name": "r.example:5000/a", "actions": ["pull"] },
    ]);
    assert_eq!(claims["access"], access);
    let line = harbour.signed_in(&ann()).await;
    let claims = harbour
        .refresh(&harbour.kept(&line), "repository:b:push")
        .await
        .claims();
    assert!(
        claims["sub"]
            .as_str()
            .is_some_and(|sub| sub.starts_with("acct_"))
    );
}

#[tokio::test]
async fn no_token_outlives_its_permit() {
    let harbour = Harbour::new(KeyHeader::X5c).await;
    let line = harbour.signed_in(&ann()).await;
    harbour.world.broker.clock.advance(14 * 60);
    let answer = harbour
        .refresh(&harbour.kept(&line), "repository:a:delete")
        .await;
    let lifetime = answer.body["expires_in"].as_i64().expect("a lifetime");
    assert!((1..=60).contains(&lifetime), "{answer:?}");
}

#[tokio::test]
async fn the_registry_takes_no_token_that_is_over_or_another_s() {
    let harbour = Harbour::new(KeyHeader::X5c).await;
    let line = harbour.signed_in(&ann()).await;
    let kept = harbour.kept(&line);
    let push = "repository:a:pull,push";
    let try_it = async |token: &str| {
        let base = format!("http://{}", harbour.address.name());
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        wire::send("POST", &base, "/v2/a/blobs/uploads/", &headers, "")
            .await
            .status
    };
    let token = |answer: &Answer| answer.body["token"].as_str().expect("a token").to_owned();
    let good = token(&harbour.refresh(&kept, push).await);
    assert_eq!(try_it(&good).await, 202);
    let (signed, signature) = good.rsplit_once('.').expect("a signature");
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let touched = format!("{signed}.{other}{}", &signature[1..]);
    assert_eq!(try_it(&touched).await, 401);
    let pull = token(&harbour.ask(&[("scope", "repository:a:pull")], &[]).await);
    assert_eq!(try_it(&pull).await, 401);
    let elsewhere = token(&harbour.refresh(&kept, "repository:b:push").await);
    assert_eq!(try_it(&elsewhere).await, 401);
    // An hour ago by our clock: it is over, by the registry's.
    harbour.world.broker.clock.advance(-HOUR);
    let old = token(&harbour.refresh(&kept, push).await);
    harbour.world.broker.clock.advance(HOUR);
    assert_eq!(try_it(&old).await, 401);
    // Of the same installation, for its gallery.
    let login = ann().with("scope", "openid packages:manage");
    let code = harbour
        .world
        .sign_in(&mut Browser::new(), &login)
        .await
        .code();
    let tokens = harbour.world.redeem(&code).await;
    assert_eq!(try_it(tokens.text("access_token")).await, 401);
}

#[tokio::test]
async fn what_is_of_one_registry_is_nothing_at_another_or_anywhere_else() {
    let harbour = Harbour::with(KeyHeader::X5c, |setup| {
        setup.gallery().grants.insert(GrantType::RefreshToken);
    })
    .await;
    let line = harbour.signed_in(&ann()).await;
    let kept = harbour.kept(&line);
    let form = |token| [("grant_type", "refresh_token"), ("refresh_token", token)];
    let answer = harbour.post("other", &form(&kept)).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    // At the token endpoint of everybody else, as its own client.
    for client in ["images", "gallery"] {
        let changed = [
            ("grant_type", "refresh_token"),
            ("refresh_token", kept.as_str()),
            ("client_id", client),
        ];
        let tokens = harbour.world.redeem_with(&changed).await;
        assert!(tokens.status >= 400, "{tokens:?}");
    }
    let (_, code) = harbour.code(&ann()).await;
    for changed in [vec![("code", code.as_str())], vec![("code", &code[5..])]] {
        let tokens = harbour.world.redeem_with(&changed).await;
        assert!(tokens.status >= 400, "{tokens:?}");
    }
    // And a client's refresh token here.
    let login = ann().with("scope", "openid packages:manage");
    let page = harbour
        .world
        .sign_in(&mut Browser::new(), &login)
        .await
        .code();
    let tokens = harbour.world.redeem(&page).await;
    let theirs = tokens.text("refresh_token");
    let answer = harbour.post("images", &form(theirs)).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    // The code was for nobody's good but its own registry's, and is good there still.
    let good = harbour.ask_with(&code, &[("offline_token", "true")]).await;
    assert_eq!(good.status, 200, "{good:?}");
}

#[tokio::test]
async fn bent_requests_are_refused() {
    let harbour = Harbour::new(KeyHeader::X5c).await;
    let pull = ("scope", "repository:a:pull");
    for (parameters, what) in [
        (vec![("service", "other"), pull], "another `service`"),
        (vec![("service", "a"), ("service", "b")], "stands twice"),
        (
            vec![("offline_token", "true"), ("offline_token", "false")],
            "stands twice",
        ),
        (vec![("scope", "repository:A:pull")], "`scope`"),
        (vec![("scope", "repository:a/../b:pull")], "`scope`"),
    ] {
        let answer = harbour.ask(&parameters, &[]).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.summary().contains(what), "{answer:?}");
    }
    let twice = [
        ("authorization", "Basic YTpi"),
        ("authorization", "Basic YTpi"),
    ];
    for headers in [
        &[("authorization", "Bearer x")][..],
        &[("authorization", "Basic !")],
        &twice,
    ] {
        let answer = harbour.ask(&[pull], headers).await;
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    for form in [
        vec![],
        vec![("grant_type", "client_credentials")],
        vec![("grant_type", "refresh_token")],
        vec![("grant_type", "password"), ("username", "a")],
        vec![
            ("grant_type", "refresh_token"),
            ("refresh_token", "a"),
            ("refresh_token", "b"),
        ],
    ] {
        let answer = harbour.post("images", &form).await;
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    for (path, status) in [
        ("/registry/nowhere/token", 404),
        ("/registry/nowhere/login", 404),
        // Its profile has it that nothing is gated before it.
        ("/registry/images/elsewhere", 403),
    ] {
        let page = wire::get(&harbour.world.broker.issuer, path, &[]).await;
        assert_eq!(page.status, status, "{path}");
    }
    for path in ["token", "login", "login/sign-in"] {
        for method in ["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let path = format!("/registry/images/{path}");
            let page = wire::send(method, &harbour.world.broker.issuer, &path, &[], "").await;
            assert!(page.status < 500, "{method} {path}: {}", page.status);
            let policy = page.header("content-security-policy");
            assert!(policy.is_some_and(|policy| policy.contains("frame-ancestors 'none'")));
            assert_eq!(page.header("cache-control"), Some("no-store"));
        }
    }
}

#[tokio::test]
async fn who_guesses_is_held_up_and_nobody_else_is() {
    let harbour = Harbour::with(KeyHeader::X5c, |setup| {
        let proxy = "127.0.0.1".parse().expect("a network");
        setup.limits.proxies.trusted = Some(vec![proxy]);
    })
    .await;
    let line = harbour.signed_in(&ann()).await;
    let key = harbour.key(&ann(), &["packages:publish"], &[]).await;
    let guess = async |password: &str, from| {
        let basic = basic("countersign", password);
        let headers = [("authorization", basic.as_str()), ("x-forwarded-for", from)];
        harbour
            .ask(&[("scope", "repository:a:pull")], &headers)
            .await
    };
    let guesses = [
        "x",
        "csoc_x",
        "csoc_00000000000000000000000000000000.x",
        "csdi_x",
        "csk_x",
    ];
    harbour.world.broker.clock.stop();
    for password in guesses.into_iter().cycle().take(60) {
        let answer = guess(password, "198.51.100.7").await;
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    let answer = guess("x", "198.51.100.7").await.summary();
    assert!(
        answer.starts_with("429 TOOMANYREQUESTS: too many requests")
            && answer.contains("no API key and no one-time code"),
        "{answer}"
    );
    // A good key passes, whoever else guesses at its address.
    let good = guess(&key, "198.51.100.7").await;
    assert_eq!(good.status, 200, "{good:?}");
    assert_eq!(guess("x", "198.51.100.8").await.status, 401);
    // Who shows nothing, or comes from elsewhere, notices nothing.
    let from = [("x-forwarded-for", "198.51.100.7")];
    let anonymous = harbour.ask(&[("scope", "repository:a:pull")], &from).await;
    assert_eq!(anonymous.status, 200);
    line.push(&harbour.image("hello")).must_go_well();
}

#[tokio::test]
async fn an_api_key_is_for_the_repositories_and_the_actions_that_it_was_made_for() {
    let harbour = Harbour::new(KeyHeader::X5c).await;
    let key = harbour
        .key(&ann(), &["packages:publish"], &["alice/*"])
        .await;
    let (line, name) = (CommandLine::new(), harbour.address.name());
    let login = [
        "login",
        "--tls-verify=false",
        "-u",
        "anybody",
        "-p",
        &key,
        &name,
    ];
    line.skopeo(&login).must_go_well();
    line.push(&harbour.image("alice/hello")).must_go_well();
    let docker = CommandLine::new();
    docker.docker_login(&name, "anybody", &key).must_go_well();
    docker.push(&harbour.image("alice/too")).must_go_well();
    assert_eq!(docker.kept(&name).get("identitytoken"), None);
    line.push(&harbour.image("bob/hello"))
        .must_fail_with("This API key is not for this package.");
    line.inspect(&harbour.image("alice/hello")).must_go_well();
    let summary = async |scope| {
        let asked = [("scope", scope)];
        harbour.ask_with(&key, &asked).await.summary()
    };
    assert_eq!(
        summary("repository:alice/hello:delete").await,
        "401 UNAUTHORIZED: This API key is not for this."
    );
    assert_eq!(
        summary("repository:alice/a:pull,push repository:bob/b:pull").await,
        "200 repository:alice/a:pull,push repository:bob/b:pull"
    );
    assert_eq!(
        summary("repository:alice/a:*").await,
        "200 repository:alice/a:pull,push"
    );
    let pull = harbour
        .ask_with(&key, &[("scope", "repository:bob/b:pull")])
        .await;
    assert_eq!(pull.claims()["sub"], "", "there was no permit");
}

/// The list of all repositories is none of them, though one may be called as it is.
#[tokio::test]
async fn a_key_for_some_repositories_does_not_list_all() {
    let harbour = Harbour::new(KeyHeader::X5c).await;
    let asked = [("scope", "registry:catalog:*")];
    let of_one = harbour
        .key(&ann(), &["packages:unpublish"], &["catalog"])
        .await;
    assert_eq!(
        harbour.ask_with(&of_one, &asked).await.summary(),
        "401 UNAUTHORIZED: This API key is not for this package."
    );
    let of_all = harbour.key(&ann(), &["packages:unpublish"], &[]).await;
    assert_eq!(
        harbour.ask_with(&of_all, &asked).await.summary(),
        "200 registry:catalog:*"
    );
}

#[tokio::test]
async fn an_api_key_is_weighed_at_every_use() {
    let harbour = Harbour::new(KeyHeader::X5c).await;
    let key = harbour.key(&ann(), &["packages:publish"], &[]).await;
    let (line, name) = (CommandLine::new(), harbour.address.name());
    line.docker_login(&name, "anybody", &key).must_go_well();
    line.push(&harbour.image("hello")).must_go_well();
    let stricter = harbour.world.broker.policy_text.replace(
        "[api_keys]",
        "[client.images.stricter.publish]\nneeds = \"phishing-resistant\"\n[api_keys]",
    );
    harbour.world.broker.enforce(&stricter);
    let words = format!(
        "This needs a phishing-resistant sign-in, such as a passkey or a security key. Sign in with multi-factor \
         authentication and make a new API key at {}/account/keys",
        harbour.world.broker.issuer
    );
    line.push(&harbour.image("hello")).must_fail_with(&words);
    line.inspect(&harbour.image("hello")).must_go_well();
    harbour
        .world
        .broker
        .enforce(&harbour.world.broker.policy_text);
    line.push(&harbour.image("hello")).must_go_well();
    // It can't be used at another registry, and not after its end.
    let form = [
        ("grant_type", "password"),
        ("username", "x"),
        ("password", &key),
    ];
    let push = ("scope", "repository:a:push");
    let elsewhere = harbour.post("other", &[&form[..], &[push]].concat()).await;
    assert_eq!(
        elsewhere.summary(),
        "401 UNAUTHORIZED: This API key is for another registry."
    );
    let here = harbour.post("images", &[&form[..], &[push]].concat()).await;
    assert_eq!(here.summary(), "200 repository:a:push");
    harbour.world.broker.clock.advance(91 * 24 * HOUR);
    let ended = harbour.ask_with(&key, &[push]).await;
    assert_eq!(
        ended.summary(),
        "401 UNAUTHORIZED: This API key has ended. Make a new one."
    );
}

#[tokio::test]
async fn a_rotation_of_keys_asks_for_no_other_file_at_the_registry() {
    let harbour = Harbour::new(KeyHeader::X5c).await;
    let line = harbour.signed_in(&ann()).await;
    line.push(&harbour.image("before")).must_go_well();
    let vault = harbour.world.broker.vault();
    let now = harbour.world.broker.clock.now();
    let keys = vault.list(now).await.expect("keys");
    let signs = keys
        .iter()
        .find(|key| key.name == "sign-es256")
        .expect("a key");
    vault
        .retire(&signs.id, &SystemEntropy, now)
        .await
        .expect("a withdrawal");
    harbour.world.broker.keys.tick().await.expect("keys");
    line.push(&harbour.image("after")).must_go_well();
}

#[tokio::test]
async fn the_registry_finds_the_key_by_its_libtrust_name() {
    let harbour = Harbour::new(KeyHeader::Libtrust).await;
    let line = harbour.signed_in(&ann()).await;
    line.push(&harbour.image("hello")).must_go_well();
}

#[tokio::test]
async fn a_key_set_in_a_file_verifies_a_token_by_its_kid() {
    let harbour = Harbour::new(KeyHeader::Kid).await;
    let answer = harbour.ask(&[("scope", "repository:a:pull")], &[]).await;
    let token = answer.body["token"].as_str().expect("a token");
    let vault = harbour.world.broker.vault();
    let now = harbour.world.broker.clock.now();
    let keys = vault
        .key_set(SigningAlgorithm::Es256, &SystemEntropy, now)
        .await;
    let keys: jsonwebtoken::jwk::JwkSet =
        serde_json::from_str(&keys.expect("a key set")).expect("a key set");
    let header = jsonwebtoken::decode_header(token).expect("a header");
    let key = keys.find(&header.kid.expect("a kid")).expect("the key");
    let key = jsonwebtoken::DecodingKey::from_jwk(key).expect("a key");
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    validation.set_audience(&[harbour.address.name()]);
    let decoded = jsonwebtoken::decode::<BTreeMap<String, Value>>(token, &key, &validation);
    decoded.expect("a good token");
}

#[tokio::test]
async fn docker_and_skopeo_push_with_the_key_that_our_helper_keeps() {
    let harbour = Harbour::with(KeyHeader::X5c, |setup| {
        let images = setup.clients.get_mut("images").expect("the client");
        images.grants.insert(GrantType::DeviceCode);
    })
    .await;
    harbour.world.share_clock();
    let (helper, name) = (Helper::new(), harbour.address.name());
    let ask = |action: &str, input: &str| {
        let program = "docker-credential-countersign";
        let (success, shown, _) = helper.ask(program, &[action], input);
        (success, shown.trim_end().to_owned())
    };
    let not_found = (false, "credentials not found in native keychain".to_owned());
    assert_eq!(ask("get", &name), not_found);
    assert_eq!(ask("list", ""), (true, "{}".to_owned()));
    sign_in(&harbour.world, &helper, "images").await;

    let mut line = CommandLine::new();
    line.ask(&helper, &name);
    let image = harbour.image("alice/hello");
    line.push(&image).must_go_well();
    let list = harbour.image("alice/hello:list");
    let create = ["manifest", "create", "--insecure", &list, &image];
    line.docker(&create, "").must_go_well();
    line.docker(&["manifest", "push", "--insecure", &list], "")
        .must_go_well();
    assert_eq!(
        ask("list", ""),
        (true, format!("{{\"{name}\":\"countersign\"}}"))
    );
    assert_eq!(ask("get", "registry.example.org"), not_found);
    assert_eq!(ask("get", ""), not_found);
    for (action, input, words) in [
        ("store", "x", "no credentials of Docker's"),
        (
            "fly",
            "",
            "expected `get`, `store`, `erase`, `list` or `version`",
        ),
    ] {
        let (success, shown) = ask(action, input);
        assert!(!success && shown.contains(words), "{shown}");
    }

    // What Docker itself has kept comes first, and goes first.
    let other = json!({"ServerURL": name, "Username": "ann", "Secret": "s"}).to_string();
    assert_eq!(ask("store", &other), (true, String::new()));
    assert_eq!(ask("get", &name), (true, other));
    line.docker(&["logout", &name], "").must_go_well();
    assert_eq!(ask("get", &name), not_found);
    line.push(&image)
        .must_fail_with("requested access to the resource is denied");
}
