//! Debian's gem 3.3 in front of a registry that takes everything: signing in, pushing, being asked for a code, and yanking.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_core::AccountId;
use countersign_tests::tools::{Gem, Recorder};
use countersign_tests::{BrokerSetup, Browser, Login, Page, World, wire};

use super::let_tools_in;
use crate::linking::{self, Person};

/// A registry that gem reaches through us, and another of its kind, `other`.
struct Bed {
    world: World,
    url: String,
    gem: Gem,
    recorder: Recorder,
}

impl Bed {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut BrokerSetup)) -> Self {
        let recorder = Recorder::start();
        let mut url = String::new();
        let world = World::with(|setup| {
            let_tools_in(setup);
            url = setup.stand_before("rubygems", Some(&recorder.url));
            setup.be_asked_for("other", "rubygems", "http://other.example");
            change(setup);
        })
        .await;
        world.share_clock();
        Self {
            world,
            gem: Gem::new(&url),
            url,
            recorder,
        }
    }

    fn page(&self) -> String {
        format!("{}/registry/rubygems/login", self.world.broker.issuer)
    }

    /// Signs in at the page of this registry: what it shows.
    async fn at_page(&self, browser: &mut Browser, registry: &str, login: &Login) -> Page {
        let to = format!(
            "/registry/{registry}/login/sign-in?provider={}",
            login.provider
        );
        let page = browser.get(&self.world.broker.endpoint(&to)).await;
        self.world.walk(browser, page, login).await
    }

    /// A code for this person, for the tools of this registry.
    async fn code_for(&self, registry: &str, login: &Login) -> String {
        let mut browser = Browser::new();
        let page = self.at_page(&mut browser, registry, login).await;
        let form = page.field("form");
        let form = form.unwrap_or_else(|| panic!("no button: {}", page.body));
        let to = format!("/registry/{registry}/login");
        let fields = [("form".to_owned(), form)];
        let page = browser
            .post(&self.world.broker.endpoint(&to), &fields)
            .await;
        let code = page.body.split("id=\"code\">").nth(1);
        let code = code.and_then(|rest| rest.split('<').next());
        code.unwrap_or_else(|| panic!("no code: {}", page.body))
            .to_owned()
    }

    async fn code(&self) -> String {
        self.code_for("rubygems", &ann()).await
    }

    /// `gem signin` as Ann.
    async fn sign_in(&self) {
        let ended = self.gem.sign_in(&self.code().await).await;
        assert!(ended.success, "{}", ended.shown);
    }

    /// What is answered to who asks for a key with this password.
    async fn ask_for_key(&self, password: &str) -> Page {
        self.ask_from("198.51.100.7", password).await
    }

    /// The same from this address, where proxies are trusted.
    async fn ask_from(&self, address: &str, password: &str) -> Page {
        let basic = STANDARD.encode(format!("ann@example.org:{password}"));
        let authorization = format!("Basic {basic}");
        let headers = [
            ("authorization", authorization.as_str()),
            ("x-forwarded-for", address),
        ];
        wire::send("POST", &self.url, "/api/v1/api_key", &headers, "name=k").await
    }

    /// What is answered to a push with this key and this code.
    async fn push(&self, key: &str, code: &str) -> Page {
        let headers = [("authorization", key), ("otp", code)];
        wire::send("POST", &self.url, "/api/v1/gems", &headers, "gem").await
    }
}

fn ann() -> Login {
    Login::new("oidc", "ann-mfa")
}

const HOUR_AND_A_HALF: i64 = 90 * 60;

#[test]
fn this_is_the_gem_that_was_tried() {
    let said = std::process::Command::new("gem").arg("--version").output();
    let said = said.expect("gem: `tests/run packages` installs it");
    assert!(String::from_utf8_lossy(&said.stdout).starts_with("3.3."));
}

#[actix_web::test]
async fn gem_signs_in_with_a_code_and_pushes_and_yanks() {
    let bed = Bed::new().await;
    bed.sign_in().await;
    let key = bed.gem.key().expect("a key");
    assert!(key.starts_with("csk_"), "the key is not ours");

    let file = bed.gem.package("hello", "1.0.0").await;
    let ended = bed.gem.run(&["push", &file]).end().await;
    assert!(
        ended.success && ended.shown.contains("taken"),
        "{}",
        ended.shown
    );
    let yank = ["yank", "hello", "--version", "1.0.0"];
    let ended = bed.gem.run(&yank).end().await;
    assert!(ended.success, "{}", ended.shown);

    let seen = bed.recorder.take();
    let lines: Vec<&str> = seen.iter().map(|seen| seen.line.as_str()).collect();
    assert_eq!(lines, ["POST /api/v1/gems", "DELETE /api/v1/gems/yank"]);
    for (seen, action) in seen.iter().zip(["publish", "yank"]) {
        assert_eq!(seen.values("x-countersign-action"), [action]);
        assert_eq!(seen.values("authorization"), [] as [&str; 0]);
    }
    // Whoever has no key reads.
    let page = wire::get(&bed.url, "/specs.4.8.gz", &[]).await;
    assert_eq!((page.status, page.body.as_str()), (200, "taken"));
}

#[actix_web::test]
async fn a_push_with_stale_evidence_is_asked_for_a_code_and_goes_on_with_one_from_the_page() {
    let bed = Bed::new().await;
    bed.sign_in().await;
    let file = bed.gem.package("hello", "1.0.0").await;
    bed.world.broker.clock.advance(HOUR_AND_A_HALF);
    let push = ["push", file.as_str()];

    // Whoever knows no code is told where there is one.
    let mut gem = bed.gem.run(&push);
    gem.wait_for(|shown| shown.contains("Code:").then_some(()))
        .await;
    gem.type_line("");
    let ended = gem.end().await;
    assert!(!ended.success, "{}", ended.shown);
    let told = format!(
        "Sign in again and get a code at {}, run the command again",
        bed.page()
    );
    assert!(ended.shown.contains(&told), "{}", ended.shown);
    assert_eq!(bed.recorder.take(), []);

    let code = bed.code().await;
    let mut gem = bed.gem.run(&push);
    gem.wait_for(|shown| shown.contains("Code:").then_some(()))
        .await;
    gem.type_line(&code);
    let ended = gem.end().await;
    assert!(
        ended.success && ended.shown.contains("taken"),
        "{}",
        ended.shown
    );
    // The same code confirms what follows at once, as one command may make several requests.
    let yank = ["yank", "hello", "--version", "1.0.0", "--otp", &code];
    let ended = bed.gem.run(&yank).end().await;
    assert!(ended.success, "{}", ended.shown);
    let seen = bed.recorder.take();
    assert_eq!(seen.len(), 2);
    for seen in seen {
        assert_eq!(seen.values("otp"), [] as [&str; 0], "the code is ours");
    }
}

#[actix_web::test]
async fn a_code_is_a_password_once_and_for_its_own_registry() {
    let bed = Bed::new().await;
    let code = bed.code().await;
    let page = bed.ask_for_key(&code).await;
    assert_eq!(page.status, 200);
    assert!(page.body.starts_with("csk_"), "no key");

    // However somebody types it.
    let typed = bed.code().await.replace('-', " ").to_lowercase();
    assert_eq!(bed.ask_for_key(&typed).await.status, 200);

    let other = bed.code_for("other", &ann()).await;
    let late = bed.code().await;
    bed.world.broker.clock.advance(6 * 60);
    for password in [code.as_str(), &other, &late, "hunter2", ""] {
        let page = bed.ask_for_key(password).await;
        assert_eq!(page.status, 401);
        let words = format!(
            "The one-time code was used before, or is older than five minutes. Get a code at {} and type it as the password.\n",
            bed.page()
        );
        assert_eq!(page.body, words);
    }
    // gem shows it.
    let ended = bed.gem.sign_in("hunter2").await;
    assert!(!ended.success, "{}", ended.shown);
    assert!(
        ended.shown.contains("was used before") && ended.shown.contains(&bed.page()),
        "{}",
        ended.shown
    );
}

#[actix_web::test]
async fn who_guesses_codes_is_held_up_and_nobody_else_is() {
    let bed = Bed::with(|setup| {
        let proxy = "127.0.0.1".parse().expect("a network");
        setup.limits.proxies.trusted = Some(vec![proxy]);
    })
    .await;
    bed.world.broker.clock.stop();
    for n in 0..60 {
        assert_eq!(bed.ask_for_key("hunter2").await.status, 401, "{n}");
    }
    let page = bed.ask_for_key("hunter2").await;
    assert_eq!(page.status, 429);
    assert!(page.headers.contains_key("retry-after"));
    assert!(page.body.contains(&bed.page()), "{}", page.body);
    let elsewhere = bed.ask_from("198.51.100.8", "hunter2").await;
    assert_eq!(elsewhere.status, 401);
    // A code that is good is no guess, whoever else guesses at its address.
    let code = bed.code().await;
    assert_eq!(bed.ask_for_key(&code).await.status, 200);
}

#[actix_web::test]
async fn a_code_confirms_for_who_it_was_shown_to_and_nobody_else() {
    let bed = Bed::new().await;
    bed.sign_in().await;
    let key = bed.gem.key().expect("a key");
    bed.world.broker.clock.advance(HOUR_AND_A_HALF);

    let page = bed.push(&key, "").await;
    assert_eq!(page.status, 401);
    let without = [("authorization", key.as_str())];
    let page = wire::send("POST", &bed.url, "/api/v1/gems", &without, "gem").await;
    assert_eq!(page.status, 401);
    let asks = format!(
        "You have enabled multifactor authentication: get a code at {}\n",
        bed.page()
    );
    assert_eq!(page.body, asks);

    let of_another = bed
        .code_for("rubygems", &Login::new("github", "ann-mfa"))
        .await;
    let of_other = bed.code_for("other", &ann()).await;
    let code = bed.code().await;
    // What is shown is what a person types, in whatever way: sixteen letters, in fours.
    let letters: String = code.chars().filter(|one| *one != '-').collect();
    assert_eq!((code.len(), letters.len()), (19, 16), "another form");
    let other = if letters.ends_with('B') { "C" } else { "B" };
    let bent = format!("{}{other}", &code[..code.len() - 1]);
    let words =
        "Your sign-in here was verified too long ago for this. Sign in again and get a code at";
    for no_good in ["123456", &of_another, &of_other, &bent] {
        let page = bed.push(&key, no_good).await;
        assert_eq!(page.status, 401, "{no_good}");
        assert!(page.body.starts_with(words), "{}", page.body);
    }
    assert_eq!(bed.recorder.take(), []);
    // Without a key it is nothing.
    let page = bed.push(&code, &code).await;
    assert_eq!(page.status, 401);
    assert_eq!(bed.recorder.take(), []);

    assert_eq!(bed.push(&key, &code).await.status, 200);
    let small = letters.to_ascii_lowercase();
    assert_eq!(bed.push(&key, &small).await.status, 200);
    bed.world.broker.clock.advance(6 * 60);
    assert_eq!(bed.push(&key, &code).await.status, 401);
}

/// Whoever removed an identity died with the record written and its sessions open.
#[actix_web::test]
async fn a_code_of_an_identity_that_is_the_account_s_no_more_confirms_nothing() {
    let bed = Bed::with(|setup| {
        let tenants = "scopes = [\"tenants:write\"]\nneeds = \"mfa\"\naccepts = [\"session\", \"tenant\"]";
        assert!(setup.policy.contains(tenants), "the usual policy");
        let identities = "scopes = [\"identities:write\"]\nneeds = \"mfa\"\naccepts = [\"session\", \"enrolment\"]";
        setup.policy = setup.policy.replace(tenants, identities);
    })
    .await;
    let (world, github) = (&bed.world, Login::new("github", "ann-mfa"));
    bed.sign_in().await;
    let key = bed.gem.key().expect("a key");
    Person::of(world, &ann()).await.add("GitHub", &github).await;
    world.broker.clock.advance(HOUR_AND_A_HALF);
    let code = bed.code_for("rubygems", &github).await;
    assert_eq!(bed.push(&key, &code).await.status, 200);

    let mine = linking::sub(&linking::tokens(world, &ann()).await);
    let store = world.broker.store();
    let id = AccountId::new(&*mine).expect("an account id");
    let (account, version) = store.account(&id).await.expect("a store").expect("hers");
    let removed = account.identities().find(|one| **one != account.identity);
    let removed = removed.expect("GitHub's").clone();
    let account = account.without_identity(&removed).expect("one more");
    let written = store.replace_account(account, version).await;
    written.expect("a change");
    assert_eq!(bed.push(&key, &code).await.status, 401);
    // Of the one that is left, it does.
    let code = bed.code().await;
    assert_eq!(bed.push(&key, &code).await.status, 200);
}

#[actix_web::test]
async fn without_a_second_factor_nobody_gets_a_code() {
    let bed = Bed::new().await;
    let login = Login::new("github", "bob-password");
    let page = bed.at_page(&mut Browser::new(), "rubygems", &login).await;
    assert_eq!(page.reason_code(), Some("mfa-absent"), "{}", page.body);
}

#[actix_web::test]
async fn what_gem_names_to_who_has_no_account_leads_to_the_page() {
    let bed = Bed::new().await;
    let page = wire::get(&bed.url, "/sign_up", &[]).await;
    assert_eq!(page.status, 303);
    assert_eq!(page.location.map(String::from), Some(bed.page()));
}

#[actix_web::test]
async fn a_newer_gem_that_asks_for_a_page_to_wait_at_goes_on_to_ask_for_a_code() {
    let bed = Bed::new().await;
    let path = "/api/v1/webauthn_verification";
    let page = wire::send("POST", &bed.url, path, &[("authorization", "k")], "").await;
    assert_eq!(page.status, 403, "anything but a success");
}
