//! Who somebody was at the registry before: its ticket makes that theirs, for whoever brings it first, and for nobody else.

use countersign_core::{AccountId, ClientId, OrganizationId};
use countersign_server::{Client, Clock};
use countersign_store::{
    Actor, Admin, Organization, RegistryAccount, RegistryAccountName, RegistryRow, Store, import,
};
use countersign_tests::{BrokerSetup, Browser, Login, Page, Signer, World, wire};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use url::form_urlencoded;

use crate::clients::{ASSERTION_TYPE, add, assertion_claims, keyed, now, post};

const CLAIM: &str = "/account/claim";

/// A registry that vouches: its client `legacy`, and others that may not, or not by this key.
struct Registry {
    world: World,
    signer: Signer,
    other: Signer,
}

impl Registry {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut BrokerSetup)) -> Self {
        let (signer, other) = (Signer::new("ES256"), Signer::new("ES256"));
        let vouching = |signer: &Signer| Client {
            may_vouch: true,
            ..keyed(signer)
        };
        let world = World::with(|setup| {
            setup.policy = setup.policy.replace(
                "scopes = [\"tenants:write\"]\nneeds = \"mfa\"\naccepts = [\"session\", \"tenant\"]",
                "scopes = [\"identities:write\"]\nneeds = \"mfa\"\naccepts = [\"session\", \"tenant\", \"enrolment\"]",
            );
            setup.policy.push_str("\n[client.countersign]\ntier = \"browse\"\n");
            add(setup, "legacy", vouching(&signer));
            add(setup, "other", vouching(&other));
            add(setup, "silent", keyed(&signer));
            setup.gallery().may_vouch = true;
            change(setup);
        })
        .await;
        Self {
            world,
            signer,
            other,
        }
    }

    /// The claims of a good ticket for this account.
    fn claims(&self, account: &str) -> Value {
        let mut claims = assertion_claims(&self.world, "legacy");
        claims.as_object_mut().expect("claims").remove("sub");
        claims["registry_account"] = json!(account);
        claims
    }

    fn of_team(&self, account: &str, organization: &str) -> Value {
        let mut claims = self.claims(account);
        claims["organization"] = json!(organization);
        claims["organization_title"] = json!("The Contoso Team");
        claims
    }

    fn header(&self) -> Value {
        json!({"typ": "account-ticket+jwt", "kid": self.signer.thumbprint()})
    }

    fn sign(&self, claims: &Value) -> String {
        self.signer.sign(&self.header(), claims)
    }

    fn ticket(&self, account: &str) -> String {
        self.sign(&self.claims(account))
    }

    async fn get(&self, browser: &mut Browser, path: &str) -> Page {
        browser.get(&self.world.broker.endpoint(path)).await
    }

    /// What a browser gets that comes with a ticket.
    async fn bring(&self, browser: &mut Browser, ticket: &str) -> Page {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("ticket", ticket)
            .finish();
        self.get(browser, &format!("{CLAIM}?{query}")).await
    }

    /// What somebody sees who signs in so for the ticket that the browser has brought.
    async fn sign_in(&self, browser: &mut Browser, login: &Login) -> Page {
        let to = format!(
            "/sign-in?to={CLAIM}&scope=identities:write&prompt=select_account&provider={}",
            login.provider
        );
        let page = self.get(browser, &to).await;
        self.world.walk(browser, page, login).await
    }

    /// Brings a ticket and signs in: what is asked then.
    async fn arrive(&self, browser: &mut Browser, ticket: &str, login: &Login) -> Page {
        let brought = self.bring(browser, ticket).await;
        let to = brought.location.as_ref().map(|to| to.path().to_owned());
        assert_eq!(to.as_deref(), Some(CLAIM), "{}", brought.body);
        let page = self.sign_in(browser, login).await;
        assert!(page.field("form").is_some(), "{}", page.body);
        page
    }

    /// Says yes to what a page asks: the answer.
    async fn say_yes(&self, browser: &mut Browser, page: &Page) -> Page {
        let sealed = page.field("form").expect("a button");
        self.send(browser, &sealed).await
    }

    async fn send(&self, browser: &mut Browser, sealed: &str) -> Page {
        let form = [("form".to_owned(), sealed.to_owned())];
        let url = self.world.broker.endpoint(CLAIM);
        browser.post(&url, &form).await
    }

    /// All of it.
    async fn claim(&self, ticket: &str, login: &Login) -> Page {
        let mut browser = Browser::new();
        let page = self.arrive(&mut browser, ticket, login).await;
        self.say_yes(&mut browser, &page).await
    }

    async fn known(&self, name: &str) -> Option<RegistryAccount> {
        let found = self
            .world
            .broker
            .look()
            .registry_account(&named(name))
            .await;
        found.expect("a store").map(|(found, _)| found)
    }

    /// Whose account a registry account is.
    async fn owner(&self, name: &str) -> Option<AccountId> {
        self.known(name).await.and_then(|known| known.account)
    }

    async fn organization(&self, id: &str) -> Option<Organization> {
        let id = OrganizationId::new(id).expect("an id");
        let found = self.world.broker.look().organization(&id).await;
        found.expect("a store").map(|(found, _)| found)
    }

    /// Who signs in so, at a client of the registry's.
    async fn account(&self, login: &Login) -> AccountId {
        let world = &self.world;
        let outcome = world.sign_in_with_step_up(&mut Browser::new(), login).await;
        let tokens = world.redeem(&outcome.code()).await;
        AccountId::new(tokens.access()["sub"].as_str().expect("a subject")).expect("an id")
    }

    async fn import(&self, name: &str, created: &str) {
        let row = RegistryRow {
            name: named(name),
            registered_at: created.parse().expect("a time"),
            identity: None,
            verified_email: None,
        };
        let fresh = AccountId::new("acct_imported").expect("an id");
        let store = self.world.broker.store();
        let now = self.world.broker.clock.now();
        import(store.as_ref(), &row, fresh, now)
            .await
            .expect("a row");
    }

    fn audited(&self) -> Vec<String> {
        self.world.broker.audited(&[
            "registry-account-claimed",
            "registry-account-retired",
            "registry-account-not-claimed",
            "organization-told",
        ])
    }
}

fn named(name: &str) -> RegistryAccountName {
    RegistryAccountName::new(name).expect("a name")
}

fn ann() -> Login {
    Login::new("oidc", "ann-mfa")
}

fn pia() -> Login {
    Login::new("oidc", "pia-passkey")
}

#[track_caller]
fn assert_refused(page: &Page, status: u16, code: &str) {
    let found = (page.status, page.reason_code());
    assert_eq!(found, (status, Some(code)), "{}", page.body);
}

#[actix_web::test]
async fn an_old_account_is_claimed_by_who_brings_its_ticket_and_signs_in_with_mfa() {
    let registry = Registry::new().await;
    registry.import("ann", "2019-03-04T00:00:00Z").await;
    let mut browser = Browser::new();
    let page = registry
        .arrive(&mut browser, &registry.ticket("ann"), &ann())
        .await;
    assert!(page.body.contains("Make “ann” yours"), "{}", page.body);
    assert_eq!(registry.owner("ann").await, None, "before anybody said yes");
    let page = registry.say_yes(&mut browser, &page).await;
    assert_eq!(page.location.expect("a way on").path(), "/account");
    let account = registry.account(&ann()).await;
    assert_eq!(registry.owner("ann").await, Some(account.clone()));
    // The registry's date counts from now on, as with an import.
    let found = registry.world.broker.look().account(&account).await;
    let (record, _) = found.expect("a store").expect("an account");
    assert_eq!(record.made_at().to_string(), "2019-03-04T00:00:00Z");
    let page = registry.get(&mut browser, "/account").await;
    assert!(page.body.contains("<dd>ann</dd>"), "{}", page.body);
    let lines = registry
        .world
        .broker
        .audit_lines(&["registry-account-claimed"]);
    let [line] = lines.as_slice() else {
        panic!("{lines:?}");
    };
    assert_eq!(line.subject["account"], account.as_str());
    assert_eq!(line.subject["client"], "legacy");
    assert_eq!(line.subject["registry-account"].len(), 32);
    assert!(!format!("{line:?}").contains("\"ann\""), "{line:?}");
    // The registry learns whose it is as they sign in there, where it asks who they are.
    for (scope, told) in [
        ("openid profile packages:manage", json!("ann")),
        ("openid packages:manage", Value::Null),
    ] {
        let login = ann().with("scope", scope);
        let outcome = registry.world.sign_in(&mut Browser::new(), &login).await;
        let tokens = registry.world.redeem(&outcome.code()).await;
        assert_eq!(tokens.id()["registry_account"], told, "{scope}");
        let access = tokens.text("access_token");
        let page = wire::user_info(&registry.world.broker.issuer, access).await;
        let person: Value = serde_json::from_str(&page.body).expect("JSON");
        assert_eq!(person["registry_account"], told, "{scope}");
    }
    // The cookie that carried it is gone.
    let page = registry.get(&mut browser, CLAIM).await;
    assert_refused(&page, 400, "ticket-missing");
}

#[actix_web::test]
async fn an_account_that_was_never_imported_is_as_old_as_its_ticket_says() {
    let registry = Registry::new().await;
    let mut claims = registry.claims("ann");
    claims["created"] = json!("2018-01-02");
    registry.claim(&registry.sign(&claims), &ann()).await;
    let known = registry.known("ann").await.expect("a record");
    assert_eq!(known.registered_at.to_string(), "2018-01-02T00:00:00Z");
    registry.claim(&registry.ticket("pia"), &pia()).await;
    let known = registry.known("pia").await.expect("a record");
    assert!(known.registered_at > registry.known("ann").await.expect("a record").registered_at);
    assert_eq!(known.account, Some(registry.account(&pia()).await));
}

/// Each is refused by a page that says little, and leaves everything as it was.
#[actix_web::test]
async fn what_is_no_ticket_of_a_client_that_vouches_is_refused() {
    let registry = Registry::new().await;
    let good = || registry.claims("ann");
    let with = |name: &str, value: Value| {
        let mut claims = good();
        claims[name] = value;
        registry.sign(&claims)
    };
    let headed = |name: &str, value: Value| {
        let mut header = registry.header();
        match value {
            Value::Null => drop(header.as_object_mut().expect("a header").remove(name)),
            value => header[name] = value,
        }
        registry.signer.sign(&header, &good())
    };
    let by_other = {
        let header = json!({"typ": "account-ticket+jwt", "kid": registry.other.thumbprint()});
        registry.other.sign(&header, &good())
    };
    let unsigned = {
        let whole = headed("alg", json!("none"));
        format!("{}.", whole.rsplit_once('.').expect("segments").0)
    };
    let touched = {
        let whole = registry.sign(&good());
        let of_bob = registry.sign(&registry.claims("bob"));
        let (_, signature) = whole.rsplit_once('.').expect("segments");
        let (signed, _) = of_bob.rsplit_once('.').expect("segments");
        format!("{signed}.{signature}")
    };
    let issuer = &registry.world.broker.issuer;
    let now = now(&registry.world);
    let bad = [
        ("another client's key", by_other),
        (
            "a key under another's name",
            headed("kid", json!(registry.other.thumbprint())),
        ),
        ("an unknown kid", headed("kid", json!("nobody's"))),
        ("no signature", unsigned),
        ("another's signature", touched),
        ("HS256", headed("alg", json!("HS256"))),
        ("another algorithm", headed("alg", json!("RS256"))),
        ("no type", headed("typ", Value::Null)),
        ("a JWT's type", headed("typ", json!("JWT"))),
        (
            "an assertion's type",
            headed("typ", json!("client-authentication+jwt")),
        ),
        ("an access token's type", headed("typ", json!("at+jwt"))),
        ("a logout token's type", headed("typ", json!("logout+jwt"))),
        ("its own key", headed("jwk", registry.signer.jwk())),
        ("what must be understood", headed("crit", json!(["exp"]))),
        ("a client that does not vouch", with("iss", json!("silent"))),
        ("a client with a secret", with("iss", json!("gallery"))),
        ("no client", with("iss", json!("nobody"))),
        ("our own pages", with("iss", json!("countersign"))),
        (
            "another registry",
            with("aud", json!("https://login.other.example")),
        ),
        (
            "another registry too",
            with("aud", json!([issuer, "https://login.other.example"])),
        ),
        (
            "an endpoint of ours",
            with("aud", json!(format!("{issuer}/token"))),
        ),
        ("over", with("exp", json!(now - 1))),
        ("too long a life", with("exp", json!(now + 3600))),
        ("from the future", with("iat", json!(now + 120))),
        ("no time of issue", with("iat", Value::Null)),
        ("no name", with("jti", Value::Null)),
        ("no account", with("registry_account", Value::Null)),
        (
            "no name of an account",
            with("registry_account", json!("a\nb")),
        ),
        (
            "a claim that is none",
            with("organisation", json!("contoso")),
        ),
        (
            "a title alone",
            with("organization_title", json!("Contoso")),
        ),
        ("an assertion's claims", with("sub", json!("legacy"))),
        ("nothing", String::new()),
        ("noise", "a.b.c".to_owned()),
        ("dots", "..".to_owned()),
    ];
    for (why, ticket) in bad {
        let mut browser = Browser::new();
        let page = registry.bring(&mut browser, &ticket).await;
        let code = if ticket.is_empty() {
            "ticket-missing"
        } else {
            "ticket-refused"
        };
        assert_eq!(page.reason_code(), Some(code), "{why}: {}", page.body);
        assert!(page.set_cookies.is_empty(), "{why}");
        assert!(ticket.is_empty() || !page.body.contains(&ticket), "{why}");
        assert_refused(
            &registry.get(&mut browser, CLAIM).await,
            400,
            "ticket-missing",
        );
    }
    let twice = format!("{CLAIM}?ticket={0}&ticket={0}", registry.ticket("ann"));
    let page = registry.get(&mut Browser::new(), &twice).await;
    assert_refused(&page, 400, "invalid-request");
    for name in ["ann", "bob"] {
        assert_eq!(registry.known(name).await, None);
    }
    assert_eq!(registry.audited(), [""; 0]);
    assert_eq!(
        registry.claim(&registry.ticket("ann"), &ann()).await.status,
        303
    );
}

/// Both are signed by the same client with the same key, for the same reader.
#[actix_web::test]
async fn a_ticket_is_no_assertion_and_an_assertion_no_ticket() {
    let registry = Registry::new().await;
    let introspected = async |assertion: &str| {
        let form = [
            ("token", "none"),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion),
        ];
        post(&registry.world, "/introspect", &[], &form)
            .await
            .status
    };
    let claims = assertion_claims(&registry.world, "legacy");
    let kid = json!({"kid": registry.signer.thumbprint()});
    // The claims of an assertion under the type of a ticket, and a ticket, that says it is of the client.
    assert_eq!(introspected(&registry.sign(&claims)).await, 401);
    let mut both = registry.claims("ann");
    both["sub"] = json!("legacy");
    assert_eq!(introspected(&registry.sign(&both)).await, 401);
    assert_eq!(introspected(&registry.ticket("ann")).await, 401);
    // As an assertion the same is good, and no ticket.
    let as_assertion = registry.signer.sign(&kid, &both);
    let page = registry.bring(&mut Browser::new(), &as_assertion).await;
    assert_refused(&page, 403, "ticket-refused");
    assert_eq!(introspected(&as_assertion).await, 200);
    // Nor are our own tokens, or a provider's.
    let outcome = registry.world.sign_in(&mut Browser::new(), &ann()).await;
    let tokens = registry.world.redeem(&outcome.code()).await;
    for token in ["access_token", "id_token"] {
        let page = registry
            .bring(&mut Browser::new(), tokens.text(token))
            .await;
        assert_refused(&page, 403, "ticket-refused");
    }
}

#[actix_web::test]
async fn a_ticket_that_was_brought_is_of_no_use_to_anybody_else() {
    let registry = Registry::new().await;
    let ticket = registry.ticket("ann");
    let mut hers = Browser::new();
    registry.bring(&mut hers, &ticket).await;
    // Somebody has read the address: in a log of a proxy's, over her shoulder.
    for _ in 0..2 {
        let page = registry.bring(&mut Browser::new(), &ticket).await;
        assert_refused(&page, 409, "ticket-used");
        assert!(page.set_cookies.is_empty());
    }
    // Written down once, however often it is tried.
    assert_eq!(
        registry.audited(),
        ["registry-account-not-claimed ticket-used"]
    );
    // She may go back and come again.
    let page = registry.bring(&mut hers, &ticket).await;
    assert_eq!(page.status, 303);
    let page = registry.sign_in(&mut hers, &ann()).await;
    assert_eq!(registry.say_yes(&mut hers, &page).await.status, 303);
    let owner = registry.owner("ann").await;
    assert_eq!(owner, Some(registry.account(&ann()).await));
    // After that, it is used: for others, and for her in another browser.
    for login in [pia(), ann()] {
        let mut browser = Browser::new();
        registry.sign_in(&mut browser, &login).await;
        let page = registry.bring(&mut browser, &ticket).await;
        assert_refused(&page, 409, "ticket-used");
    }
    assert_eq!(registry.owner("ann").await, owner);
}

#[actix_web::test]
async fn of_many_browsers_that_bring_one_ticket_one_may_go_on_at_whichever_server() {
    let registry = Registry::new().await;
    let replica = registry.world.replica();
    let target = format!("{CLAIM}?ticket={}", registry.ticket("ann"));
    let mut racers = JoinSet::new();
    for n in 0..30 {
        let broker = if n % 2 == 0 {
            &registry.world.broker
        } else {
            &replica
        };
        let (address, target) = (broker.address.clone(), target.clone());
        racers.spawn(async move { wire::get(&address, &target, &[]).await.status });
    }
    let answers = racers.join_all().await;
    let count = |status: u16| answers.iter().filter(|one| **one == status).count();
    assert_eq!((count(303), count(409)), (1, 29), "{answers:?}");
}

#[actix_web::test]
async fn what_one_browser_began_another_does_not_finish() {
    let registry = Registry::new().await;
    let mut hers = Browser::new();
    let page = registry
        .arrive(&mut hers, &registry.ticket("ann"), &ann())
        .await;
    let button = page.field("form").expect("a button");
    // Her button is no other session's, whoever is signed in there, and nobody's without one.
    for login in [pia(), ann()] {
        let mut other = Browser::new();
        registry
            .arrive(&mut other, &registry.ticket("another"), &login)
            .await;
        assert_refused(
            &registry.send(&mut other, &button).await,
            400,
            "form-expired",
        );
    }
    let page = registry.send(&mut Browser::new(), &button).await;
    assert_eq!(page.location.expect("a way").path(), "/sign-in");
    // Nor is the ticket that waits in her browser, if somebody moves it: it waits for whoever has the browser.
    let mut nobody = Browser::new();
    assert_refused(
        &registry.get(&mut nobody, CLAIM).await,
        400,
        "ticket-missing",
    );
    // A sign-in that she began ends in no other browser.
    let to =
        format!("/sign-in?to={CLAIM}&scope=identities:write&prompt=select_account&provider=oidc");
    let left = registry.get(&mut hers, &to).await;
    let at = left.location.expect("a way to the provider");
    let answer = registry.world.at_provider(&mut hers, at, &ann()).await;
    let back = answer.location.expect("a way back");
    assert_refused(&nobody.get(&back).await, 400, "attempt-missing");
    // Who has signed in as somebody else meanwhile has buttons of their own.
    registry.sign_in(&mut hers, &pia()).await;
    assert_refused(
        &registry.send(&mut hers, &button).await,
        400,
        "form-expired",
    );
    for name in ["ann", "another"] {
        assert_eq!(registry.owner(name).await, None);
    }
}

#[actix_web::test]
async fn a_yes_that_is_said_twice_comes_to_the_same() {
    let registry = Registry::new().await;
    let mut browser = Browser::new();
    let ticket = registry.sign(&registry.of_team("team", "contoso"));
    let of_ann = registry.arrive(&mut browser, &ticket, &ann()).await;
    let of_ann = of_ann.field("form").expect("a button");
    assert_eq!(registry.send(&mut browser, &of_ann).await.status, 303);
    // Pressed again, as after an answer that was lost, it comes to the same.
    let before = registry
        .organization("contoso")
        .await
        .expect("an organization");
    assert_eq!(registry.send(&mut browser, &of_ann).await.status, 303);
    assert_eq!(registry.organization("contoso").await, Some(before.clone()));
}

#[actix_web::test]
async fn a_ticket_that_one_account_has_used_is_refused_to_another_in_the_same_browser() {
    let registry = Registry::new().await;
    let mut browser = Browser::new();
    let ticket = registry.sign(&registry.of_team("team", "contoso"));
    registry.arrive(&mut browser, &ticket, &ann()).await;
    let kept = browser.cookies["127.0.0.1"]["__Host-countersign-ticket"].clone();
    let page = registry.get(&mut browser, CLAIM).await;
    assert_eq!(registry.say_yes(&mut browser, &page).await.status, 303);
    // A browser need not forget a cookie because it is told to.
    let jar = browser.cookies.get_mut("127.0.0.1").expect("cookies");
    jar.insert("__Host-countersign-ticket".to_owned(), kept);
    let page = registry.sign_in(&mut browser, &pia()).await;
    let page = registry.say_yes(&mut browser, &page).await;
    assert_refused(&page, 409, "ticket-used");
    let admins = registry.organization("contoso").await.expect("it").admins;
    assert_eq!(admins.len(), 1, "{admins:?}");
    let refused = registry.audited().pop();
    assert_eq!(
        refused.as_deref(),
        Some("registry-account-not-claimed ticket-used")
    );
}

#[actix_web::test]
async fn an_account_that_is_somebodys_is_never_taken_and_nobody_has_two() {
    let registry = Registry::new().await;
    registry.claim(&registry.ticket("ann"), &ann()).await;
    let mine = registry.known("ann").await;
    let page = registry.claim(&registry.ticket("ann"), &pia()).await;
    assert_refused(&page, 409, "registry-account-taken");
    let page = registry.claim(&registry.ticket("second"), &ann()).await;
    assert_refused(&page, 409, "registry-account-second");
    // The same address elsewhere is another person.
    let page = registry
        .claim(&registry.ticket("ann"), &Login::new("github", "ann-mfa"))
        .await;
    assert_refused(&page, 409, "registry-account-taken");
    assert_eq!(registry.known("ann").await, mine);
    assert_eq!(registry.known("second").await, None);
    // Hers stays hers, with a ticket more.
    let page = registry.claim(&registry.ticket("ann"), &ann()).await;
    assert_eq!(page.status, 303);
    assert_eq!(registry.known("ann").await, mine);
    assert_eq!(
        registry.audited(),
        [
            "registry-account-claimed",
            "registry-account-not-claimed registry-account-taken",
            "registry-account-not-claimed registry-account-second",
            "registry-account-not-claimed registry-account-taken",
            "registry-account-claimed",
        ]
    );
}

#[actix_web::test]
async fn who_shows_no_second_factor_or_need_not_yet_or_is_locked_claims_nothing() {
    let registry = Registry::new().await;
    let weak = Login::new("github", "bob-password");
    let mut browser = Browser::new();
    registry.bring(&mut browser, &registry.ticket("ann")).await;
    let page = registry.sign_in(&mut browser, &weak).await;
    assert!(page.body.contains("Make “ann” yours"), "{}", page.body);
    assert_eq!(page.field("form"), None, "{}", page.body);
    // Nor whom the calendar lets in until a day of theirs.
    let policy = &registry.world.broker.policy_text;
    let calendar = "\n[calendar]\nnew_accounts_from = 2050-01-01\nbefore_due = \"remind\"\n";
    let policy_text = format!("{policy}{calendar}");
    registry.world.broker.enforce(&policy_text);
    let page = registry.sign_in(&mut browser, &weak).await;
    assert!(page.body.contains("Make “ann” yours"), "{}", page.body);
    assert_eq!(page.field("form"), None, "{}", page.body);
    registry.world.broker.enforce(policy);
    // The ticket waits: with a second factor they go on.
    let page = registry.sign_in(&mut browser, &ann()).await;
    let button = page.field("form").expect("a button");
    let account = registry.account(&ann()).await;
    registry.world.broker.lock(&account).await;
    let page = registry.send(&mut browser, &button).await;
    assert_eq!(page.location.expect("a way").path(), "/sign-in");
    let page = registry.sign_in(&mut browser, &ann()).await;
    assert_eq!(page.reason_code(), Some("account-locked"), "{}", page.body);
    assert_eq!(registry.known("ann").await, None);
    assert_eq!(registry.audited(), [""; 0]);
}

#[actix_web::test]
async fn what_was_brought_waits_an_hour_and_no_longer() {
    let registry = Registry::new().await;
    let clock = registry.world.broker.clock.clone();
    let mut browser = Browser::new();
    registry.bring(&mut browser, &registry.ticket("ann")).await;
    let page = registry.sign_in(&mut browser, &ann()).await;
    assert!(page.field("form").is_some(), "{}", page.body);
    clock.advance(10 * 60);
    let page = registry.get(&mut browser, CLAIM).await;
    let button = page.field("form").expect("a button");
    // The button is good for an hour of its own.
    clock.advance(51 * 60);
    assert_refused(
        &registry.get(&mut browser, CLAIM).await,
        400,
        "ticket-missing",
    );
    let page = registry.send(&mut browser, &button).await;
    assert_refused(&page, 400, "ticket-missing");
    assert_eq!(registry.known("ann").await, None);
}

#[actix_web::test]
async fn no_ticket_is_taken_where_the_policy_lets_nobody_link() {
    let registry = Registry::with(|setup| {
        setup.policy = setup
            .policy
            .replace("\"identities:write\"", "\"tenants:write\"");
    })
    .await;
    let page = registry
        .bring(&mut Browser::new(), &registry.ticket("ann"))
        .await;
    assert_refused(&page, 403, "ticket-refused");
}

#[actix_web::test]
async fn a_client_whose_keys_cant_be_had_vouches_for_nothing() {
    let registry = Registry::with(|setup| {
        let url = url::Url::parse("http://127.0.0.1:9/jwks").expect("an address");
        let keys = countersign_providers::PublishedKeys::at(url);
        let client = setup
            .clients
            .get_mut(&ClientId::new("legacy").expect("an id"));
        client.expect("a client").authentication =
            countersign_server::ClientAuthentication::PrivateKey(std::sync::Arc::new(keys));
    })
    .await;
    let page = registry
        .bring(&mut Browser::new(), &registry.ticket("ann"))
        .await;
    assert_refused(&page, 503, "store-unavailable");
}

#[actix_web::test]
async fn a_teams_account_becomes_an_organization_whose_members_sign_in_as_themselves() {
    let registry = Registry::new().await;
    registry.import("team", "2019-03-04T00:00:00Z").await;
    let mut browser = Browser::new();
    let ticket = registry.sign(&registry.of_team("team", "contoso"));
    let page = registry.arrive(&mut browser, &ticket, &ann()).await;
    assert!(
        page.body.contains("Join The Contoso Team as yourself"),
        "{}",
        page.body
    );
    let page = registry.say_yes(&mut browser, &page).await;
    assert_eq!(
        page.location.expect("a way on").path(),
        "/organizations/contoso"
    );
    let page = registry.get(&mut browser, "/organizations/contoso").await;
    assert!(page.body.contains("The Contoso Team"), "{}", page.body);
    // Another of the team, with a ticket of their own; a third title is nobody's business.
    let mut more = registry.of_team("team", "contoso");
    more["organization_title"] = json!("Another title");
    assert_eq!(
        registry.claim(&registry.sign(&more), &pia()).await.status,
        303
    );
    let known = registry.organization("contoso").await.expect("it");
    assert_eq!(known.title.as_deref(), Some("The Contoso Team"));
    assert_eq!(
        known.told_by,
        Actor::Client(ClientId::new("legacy").expect("an id"))
    );
    let both = [
        registry.account(&ann()).await,
        registry.account(&pia()).await,
    ];
    assert_eq!(known.admins, both.clone().map(Admin::Account).into());
    // Nobody is the team any more, and nobody's own account changed.
    let retired = registry.known("team").await.expect("a record");
    assert_eq!(retired.account, None);
    assert_eq!(
        retired.organization.as_ref().map(OrganizationId::as_str),
        Some("contoso")
    );
    assert_eq!(retired.registered_at.to_string(), "2019-03-04T00:00:00Z");
    for account in both {
        let found = registry.world.broker.look().account(&account).await;
        let (account, _) = found.expect("a store").expect("an account");
        assert_eq!(account.registry_account, None);
    }
    let page = registry.claim(&registry.ticket("team"), &ann()).await;
    assert_refused(&page, 409, "registry-account-retired");
    let elsewhere = registry.sign(&registry.of_team("team", "fabrikam"));
    assert_refused(
        &registry.claim(&elsewhere, &ann()).await,
        409,
        "registry-account-retired",
    );
    assert_eq!(registry.organization("fabrikam").await, None);
    assert_eq!(registry.known("team").await, Some(retired));
    assert_eq!(
        registry.audited(),
        [
            "organization-told",
            "registry-account-retired",
            "organization-told",
            "registry-account-retired",
            "registry-account-not-claimed registry-account-retired",
            "registry-account-not-claimed registry-account-retired",
        ]
    );
}

#[actix_web::test]
async fn a_team_joins_no_organization_that_another_told_of_and_takes_no_account_that_is_somebodys()
{
    let registry = Registry::new().await;
    let store = registry.world.broker.store();
    let at = registry.world.broker.clock.now();
    for (n, told_by) in [
        Actor::Client(ClientId::new("other").expect("an id")),
        Actor::Operator,
        Actor::File,
    ]
    .into_iter()
    .enumerate()
    {
        let id = OrganizationId::new(format!("fabrikam-{n}")).expect("an id");
        let theirs = Organization::new(id.clone(), at, told_by);
        let put = store.put_organization_if_absent(theirs.clone()).await;
        put.expect("a store");
        let ticket = registry.sign(&registry.of_team("team", id.as_str()));
        let page = registry.claim(&ticket, &ann()).await;
        assert_refused(&page, 409, "organization-taken");
        assert_eq!(registry.organization(id.as_str()).await, Some(theirs));
        assert_eq!(registry.known("team").await, None);
    }
    registry.claim(&registry.ticket("pia"), &pia()).await;
    let before = registry.known("pia").await;
    let ticket = registry.sign(&registry.of_team("pia", "contoso"));
    assert_refused(
        &registry.claim(&ticket, &ann()).await,
        409,
        "registry-account-taken",
    );
    assert_eq!(registry.known("pia").await, before);
    assert_eq!(registry.organization("contoso").await, None);
}
