//! Another identity leads to the same account, by whose it is, and by nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use countersign_core::{AccountId, Identity};
use countersign_dev_idp::{Document, Edit, IssParameter};
use countersign_server::Clock;
use countersign_store::{Around, RegistryAccountName, RegistryRow, Store, StoreError, import};
use countersign_tests::{BrokerSetup, Browser, Login, Page, Tokens, World, wire};
use jiff::SignedDuration;
use serde_json::{Value, json};
use url::Url;

/// A world whose policy wants our pages, and lets identities be linked by who shows MFA.
pub(crate) async fn world() -> World {
    world_with(|_| {}).await
}

pub(crate) async fn world_with(change: impl FnOnce(&mut BrokerSetup)) -> World {
    World::with(|setup| {
        change(setup);
        setup.policy = setup.policy.replace(
            "scopes = [\"tenants:write\"]\nneeds = \"mfa\"\naccepts = [\"session\", \"tenant\"]",
            "scopes = [\"identities:write\"]\nneeds = \"mfa\"\naccepts = [\"session\", \"tenant\", \"enrolment\"]",
        );
        setup.policy.push_str("\n[client.countersign]\ntier = \"browse\"\n");
    })
    .await
}

pub(crate) async fn tokens(world: &World, login: &Login) -> Tokens {
    let outcome = world.sign_in_with_step_up(&mut Browser::new(), login).await;
    world.redeem(&outcome.code()).await
}

pub(crate) fn sub(tokens: &Tokens) -> String {
    tokens.access()["sub"]
        .as_str()
        .expect("a subject")
        .to_owned()
}

/// A person at their account's page.
pub(crate) struct Person<'a> {
    world: &'a World,
    browser: Browser,
}

impl<'a> Person<'a> {
    /// Signs in to the page, with what changing something there needs.
    pub(crate) async fn of(world: &'a World, login: &Login) -> Self {
        let mut person = Self {
            world,
            browser: Browser::new(),
        };
        let to = format!(
            "/sign-in?to=/account&scope=identities:write&provider={}",
            login.provider
        );
        let page = person.get(&to).await;
        let page = person.walk(page, login).await;
        assert!(page.body.contains("Your account"), "{}", page.body);
        person
    }

    fn url(&self, path: &str) -> Url {
        self.world.broker.endpoint(path)
    }

    pub(crate) async fn get(&mut self, path: &str) -> Page {
        let url = self.url(path);
        self.browser.get(&url).await
    }

    async fn walk(&mut self, page: Page, login: &Login) -> Page {
        self.world.walk(&mut self.browser, page, login).await
    }

    /// Presses the button that stands before this text.
    async fn press(&mut self, text: &str) -> Page {
        let sealed = self.button(text).await;
        self.send(&sealed).await
    }

    /// The button that stands before this text.
    async fn button(&mut self, text: &str) -> String {
        let page = self.get("/account").await;
        let place = page.body.find(text);
        let place = place.unwrap_or_else(|| panic!("no `{text}` in {}", page.body));
        let field = "name=\"form\" value=\"";
        let before = &page.body[..place];
        let start = before.rfind(field).expect("a button") + field.len();
        let sealed = before[start..].split('"').next().unwrap_or_default();
        sealed.to_owned()
    }

    pub(crate) async fn send(&mut self, button: &str) -> Page {
        let url = self.url("/account/press");
        self.browser
            .post(&url, &[("form".to_owned(), button.to_owned())])
            .await
    }

    /// Adds the identity that this login is of: the page that follows.
    pub(crate) async fn add(&mut self, title: &str, login: &Login) -> Page {
        let page = self.press(&format!("Add {title}")).await;
        let way = page.primary_link().expect("a way to the provider");
        let page = self.world.go(&mut self.browser, way, login).await;
        match page.primary_link() {
            Some(way) if page.body.contains("One more step") => {
                self.world.go(&mut self.browser, way, login).await
            }
            _ => page,
        }
    }
}

async fn identities(world: &World, account: &str) -> usize {
    let id = AccountId::new(account).expect("an account id");
    let found = world.broker.look().account(&id).await.expect("a store");
    found.expect("an account").0.identities().count()
}

pub(crate) fn oidc() -> Login {
    Login::new("oidc", "ann-mfa")
}

fn github() -> Login {
    Login::new("github", "ann-mfa")
}

#[actix_web::test]
async fn two_identities_of_one_person_lead_to_one_account() {
    let world = world().await;
    let first = sub(&tokens(&world, &oidc()).await);
    let mut ann = Person::of(&world, &oidc()).await;
    let page = ann.add("GitHub", &github()).await;
    assert!(page.body.contains("at 127.0.0.2"), "{}", page.body);
    assert_eq!(identities(&world, &first).await, 2);
    // Whichever she signs in with, she is the same, and what is stated is of the login that was made.
    let by_github = tokens(&world, &github()).await;
    assert_eq!(sub(&by_github), first);
    assert_eq!(by_github.access()["countersign"]["provider"], "github");
    assert_eq!(by_github.access()["acr"], "urn:countersign:mfa-enrolled");
    // Saying it again changes nothing.
    ann.add("GitHub", &github()).await;
    assert_eq!(identities(&world, &first).await, 2);
}

#[actix_web::test]
async fn an_identity_that_has_an_account_is_never_taken_from_it() {
    let world = world().await;
    let mine = sub(&tokens(&world, &oidc()).await);
    let other = sub(&tokens(&world, &github()).await);
    assert_ne!(mine, other);
    let mut ann = Person::of(&world, &oidc()).await;
    let page = ann.add("GitHub", &github()).await;
    assert_eq!(
        (page.status, page.reason_code()),
        (409, Some("identity-taken")),
        "{}",
        page.body
    );
    assert_eq!(identities(&world, &mine).await, 1);
    assert_eq!(sub(&tokens(&world, &github()).await), other);
    let refused = world
        .broker
        .audited(&["identity-linked", "identity-not-linked"]);
    assert_eq!(refused, ["identity-not-linked identity-taken"]);
}

/// Ann's address at another provider is another person until she has shown that it is her.
#[actix_web::test]
async fn the_same_address_elsewhere_is_another_account() {
    let world = world().await;
    world.entra.control().set(|behaviour| {
        let nora = behaviour.entra.account_mut("nora-noauth").expect("Nora");
        nora.email = Some("ann@example.org".to_owned());
    });
    let mut subjects: Vec<String> = Vec::new();
    for login in [
        oidc(),
        github(),
        Login::new("entra", "ann-mfa"),
        Login::new("entra", "nora-noauth"),
    ] {
        subjects.push(sub(&tokens(&world, &login).await));
    }
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), 4);
}

#[actix_web::test]
async fn an_identity_without_mfa_is_not_linked() {
    let world = world().await;
    let mine = sub(&tokens(&world, &oidc()).await);
    let mut ann = Person::of(&world, &oidc()).await;
    let page = ann
        .add("GitHub", &Login::new("github", "bob-password"))
        .await;
    assert!(
        matches!(
            page.reason_code(),
            Some("identity-needs-more" | "mfa-absent")
        ),
        "{}",
        page.body
    );
    assert_eq!(identities(&world, &mine).await, 1);
    // Nor one that need not have it yet.
    let calendar = "\n[calendar]\nnew_accounts_from = 2050-01-01\nbefore_due = \"remind\"\n";
    world
        .broker
        .enforce(&format!("{}{calendar}", world.broker.policy_text));
    let page = ann
        .add("GitHub", &Login::new("github", "bob-password"))
        .await;
    assert_eq!(
        page.reason_code(),
        Some("identity-needs-more"),
        "{}",
        page.body
    );
    assert_eq!(identities(&world, &mine).await, 1);
}

#[actix_web::test]
async fn what_one_browser_began_another_does_not_finish() {
    let world = world().await;
    let mine = sub(&tokens(&world, &oidc()).await);
    let mut ann = Person::of(&world, &oidc()).await;
    let page = ann.press("Add GitHub").await;
    let way = page.primary_link().expect("a way to the provider");
    // A link that was begun by one is of no use in another's browser: nobody's identity ends up in her account.
    let mut other = Person::of(&world, &Login::new("oidc", "pia-passkey")).await;
    let stolen = other.browser.get(&way).await;
    assert_eq!(
        stolen.reason_code(),
        Some("form-expired"),
        "{}",
        stolen.body
    );
    // Nor is the provider's answer.
    let left = ann.browser.get(&way).await;
    let at = left.location.expect("a way to the provider");
    let answer = world.at_provider(&mut ann.browser, at, &github()).await;
    let back = answer.location.expect("a way back");
    let page = other.browser.get(&back).await;
    assert_eq!(page.reason_code(), Some("attempt-missing"), "{}", page.body);
    // Who has signed in as somebody else meanwhile finishes nothing for either.
    let to = "/sign-in?to=/account&prompt=select_account&provider=oidc";
    let page = ann.get(to).await;
    ann.walk(page, &Login::new("oidc", "pia-passkey")).await;
    let page = ann.browser.get(&back).await;
    assert_eq!(page.reason_code(), Some("signed-out"), "{}", page.body);
    assert_eq!(identities(&world, &mine).await, 1);
}

#[actix_web::test]
async fn an_identity_that_is_removed_leads_nowhere_and_what_rests_on_it_ends() {
    let world = world().await;
    let mine = sub(&tokens(&world, &oidc()).await);
    let mut ann = Person::of(&world, &oidc()).await;
    ann.add("GitHub", &github()).await;
    let by_github = tokens(&world, &github()).await;
    let introspected = async |tokens: &Tokens| -> Value {
        let form = [
            ("token", tokens.text("access_token")),
            ("client_id", "gallery"),
            ("client_secret", countersign_tests::BrokerSetup::SECRET),
        ];
        let form = form.map(|(n, v)| (n.to_owned(), v.to_owned()));
        let page = Browser::new()
            .post(&world.broker.endpoint("/introspect"), &form)
            .await;
        serde_json::from_str(&page.body).expect("JSON")
    };
    assert_eq!(introspected(&by_github).await["active"], true);
    let about = |event: &str| {
        let lines = world.broker.audit_lines(&[event]);
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines[0].subject.clone()
    };
    let linked = about("identity-linked");
    assert_eq!(
        (&linked["account"], linked["provider"].as_str()),
        (&mine, "github")
    );
    let page = ann.press("aria-label=\"Remove account").await;
    assert_eq!(page.status, 303, "{}", page.body);
    assert_eq!(introspected(&by_github).await["active"], false);
    // The same identity, and nothing that names it.
    assert_eq!(about("identity-removed"), linked);
    assert_eq!(linked["identity"].len(), 32);
    let ended = world.broker.audited(&["session-ended"]);
    assert_eq!(ended, ["session-ended identity-removed"]);
    assert_eq!(identities(&world, &mine).await, 1);
    // It leads to an account of its own from now on; hers is what it was.
    assert_ne!(sub(&tokens(&world, &github()).await), mine);
    assert_eq!(sub(&tokens(&world, &oidc()).await), mine);
    // The last one has no button, and is not removed by one from before.
    let page = ann.get("/account").await;
    assert!(!page.body.contains("Remove"), "{}", page.body);
}

/// Whoever removed an identity died with the record written: nothing is open by it, it is gone on with, and nobody is locked out.
#[actix_web::test]
async fn a_removal_that_was_cut_off_leaves_nothing_open_and_is_gone_on_with() {
    let world = world().await;
    let mine = sub(&tokens(&world, &github()).await);
    let mut by_github = Person::of(&world, &github()).await;
    by_github.add("Example ID", &oidc()).await;
    let of_github = tokens(&world, &github()).await;
    let mut ann = Person::of(&world, &oidc()).await;
    let button = ann.button("aria-label=\"Remove account").await;
    let id = AccountId::new(&*mine).expect("an account id");
    let store = world.broker.store();
    let (account, version) = store.account(&id).await.expect("a store").expect("hers");
    let cut_off = account.without_identity(&account.identity).expect("two");
    store
        .replace_account(cut_off, version)
        .await
        .expect("a change");

    let token = of_github.text("access_token");
    assert_eq!(
        wire::user_info(&world.broker.issuer, token).await.status,
        401
    );
    let page = by_github.get("/account").await;
    assert!(page.location.is_some_and(|to| to.path() == "/sign-in"));
    let page = by_github.get("/session").await;
    assert!(page.body.contains("You are not signed in"), "{}", page.body);
    let lives = async || {
        let live = store.sessions_of(&id, None, world.broker.clock.now()).await;
        let live = live.expect("a store").into_iter();
        live.filter(|one| one.session.evidence.provider.as_str() == "github")
            .count()
    };
    assert_eq!(lives().await, 3);
    let page = ann.send(&button).await;
    assert_eq!(page.status, 303, "{}", page.body);
    assert_eq!(
        lives().await,
        0,
        "services that verify by themselves are not told"
    );
    assert_ne!(sub(&tokens(&world, &github()).await), mine);
    assert_eq!(sub(&tokens(&world, &oidc()).await), mine);
}

/// Whoever linked one died before it was listed: it leads nowhere, and may be had by who shows it.
#[actix_web::test]
async fn a_link_that_was_cut_off_is_no_way_in_and_keeps_nobody_out() {
    let world = world().await;
    let mine = sub(&tokens(&world, &oidc()).await);
    let theirs = sub(&tokens(&world, &github()).await);
    let id = AccountId::new(&*theirs).expect("an account id");
    world.broker.unlist(&id).await;
    // Her own, from before, if she shows it; so it would be anybody's who shows it.
    let mut ann = Person::of(&world, &oidc()).await;
    ann.add("GitHub", &github()).await;
    assert_eq!(identities(&world, &mine).await, 2);
    assert_eq!(sub(&tokens(&world, &github()).await), mine);
}

/// However the provider spells its issuer, who was imported is one identity: listed once, and gone when it is removed.
#[actix_web::test]
async fn an_imported_identity_whose_issuer_ends_with_a_slash_is_removed() {
    let world = world().await;
    let issuer = world.oidc.base_url().to_owned();
    let spelled = format!("{issuer}/");
    world.oidc.control().set(|behaviour| {
        let edit = Edit::set("issuer", spelled.as_str());
        behaviour.edits.insert(Document::Discovery, vec![edit]);
        behaviour.oidc.iss_parameter = IssParameter::Wrong(spelled.clone());
        behaviour.back.claims = vec![Edit::set("iss", spelled.as_str())];
    });
    let row = RegistryRow {
        name: RegistryAccountName::new("ann").expect("a name"),
        registered_at: "2019-03-04T00:00:00Z".parse().expect("a time"),
        identity: Some(Identity::Oidc {
            issuer,
            subject: "sub-ann-mfa".into(),
        }),
        verified_email: None,
    };
    let fresh = AccountId::new("acct_imported").expect("an account id");
    let now = world.broker.clock.now();
    let imported = import(world.broker.store().as_ref(), &row, fresh, now).await;
    imported.expect("a store");
    let by_oidc = tokens(&world, &oidc()).await;
    assert_eq!(sub(&by_oidc), "acct_imported");
    let mut ann = Person::of(&world, &oidc()).await;
    ann.add("GitHub", &github()).await;
    assert_eq!(identities(&world, "acct_imported").await, 2);
    let mut by_github = Person::of(&world, &github()).await;
    let page = by_github.press("aria-label=\"Remove sub-ann-mfa").await;
    assert_eq!(page.status, 303, "{}", page.body);
    let token = by_oidc.text("access_token");
    assert_eq!(
        wire::user_info(&world.broker.issuer, token).await.status,
        401
    );
    let id = AccountId::new("acct_imported").expect("an account id");
    let live = world.broker.store().sessions_of(&id, None, now).await;
    let live = live.expect("a store");
    assert!(
        live.iter()
            .all(|one| one.session.evidence.provider.as_str() == "github"),
        "{live:?}"
    );
    assert_ne!(sub(&tokens(&world, &oidc()).await), "acct_imported");
}

/// What tokens say of a person is what the identity said that signed in; and nothing stays of one that was removed.
#[actix_web::test]
async fn an_address_is_stated_by_the_identity_that_it_is_of_alone() {
    let world = world().await;
    world.oidc.control().set(|behaviour| {
        let ann = behaviour.oidc.account_mut("ann-mfa").expect("Ann");
        ann.email = Some("ann@employer.example".to_owned());
    });
    let scope = "openid profile email";
    let (by_github, by_oidc) = (github().with("scope", scope), oidc().with("scope", scope));
    let mine = sub(&tokens(&world, &by_github).await);
    let mut ann = Person::of(&world, &github()).await;
    ann.add("Example ID", &oidc()).await;
    let first = tokens(&world, &by_github).await;
    let last = tokens(&world, &by_oidc).await;
    assert_eq!((sub(&first), sub(&last)), (mine.clone(), mine.clone()));
    let said = async |tokens: &Tokens| -> Value {
        let page = wire::user_info(&world.broker.issuer, tokens.text("access_token")).await;
        serde_json::from_str(&page.body).unwrap_or_default()
    };
    let of_github = said(&first).await["email"].clone();
    assert_eq!(first.id()["email"], of_github);
    assert_eq!(said(&last).await["email"], "ann@employer.example");
    assert_ne!(of_github, "ann@employer.example");
    let profile = async || {
        let id = AccountId::new(&*mine).expect("an account id");
        let found = world.broker.look().account(&id).await.expect("a store");
        let email = found.expect("an account").0.profile.email;
        email.map(|email| email.address)
    };
    assert_eq!(profile().await.as_deref(), Some("ann@employer.example"));
    let page = ann.press("aria-label=\"Remove sub-ann-mfa").await;
    assert_eq!(page.status, 303, "{}", page.body);
    assert_eq!(json!(profile().await), of_github);
    assert_eq!(said(&first).await["email"], of_github);
}

/// A store that counts how often a provider's token was put into it.
#[derive(Debug)]
struct Counting {
    store: Arc<dyn Store>,
    kept: Arc<AtomicUsize>,
}

impl Around for Counting {
    fn within(&self) -> &dyn Store {
        self.store.as_ref()
    }

    async fn around<T: Send>(
        &self,
        operation: &'static str,
        done: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let is_it = operation == "keep_token";
        self.kept.fetch_add(usize::from(is_it), Ordering::Relaxed);
        done.await
    }
}

/// Who links an identity is not signed in by it: there is no session that anything could be kept for.
#[actix_web::test]
async fn nothing_is_kept_to_ask_the_provider_of_a_linked_identity_again_with() {
    let world = world_with(|setup| setup.recheck = Some(SignedDuration::from_hours(1))).await;
    let kept = Arc::new(AtomicUsize::new(0));
    let replica = world.replica_at(|store| {
        let kept = kept.clone();
        Arc::new(Counting { store, kept })
    });
    let scopes = || {
        let asked = world.oidc.control().authorize_requests();
        let last = asked.last().expect("a request");
        last.param("scope").expect("scopes").to_owned()
    };
    let mut pia = Person::of(&world, &Login::new("oidc", "pia-passkey")).await;
    assert!(scopes().contains("offline_access"), "{}", scopes());
    pia.browser = pia.browser.led_to(&world.broker.issuer, &replica.address);
    for (title, login) in [("GitHub", github()), ("Example ID", oidc())] {
        let page = pia.add(title, &login).await;
        assert!(page.body.contains("Your account"), "{}", page.body);
    }
    let account = sub(&tokens(&world, &github()).await);
    assert_eq!(identities(&world, &account).await, 3);
    assert!(!scopes().contains("offline_access"), "{}", scopes());
    assert_eq!(kept.load(Ordering::Relaxed), 0);
    // Where somebody is signed in by it there is.
    let mut browser = Browser::new().led_to(&world.broker.issuer, &replica.address);
    world.sign_in(&mut browser, &oidc()).await.code();
    assert!(scopes().contains("offline_access"), "{}", scopes());
    assert_eq!(kept.load(Ordering::Relaxed), 1);
}

#[actix_web::test]
async fn the_first_identity_can_be_changed_for_another() {
    let world = world().await;
    let mine = sub(&tokens(&world, &oidc()).await);
    let mut ann = Person::of(&world, &oidc()).await;
    ann.add("GitHub", &github()).await;
    let mut again = Person::of(&world, &github()).await;
    // What the two pages showed before either was pressed: one of them comes too late.
    let page = again.press("aria-label=\"Remove sub-ann-mfa").await;
    assert_eq!(page.status, 303, "{}", page.body);
    assert_eq!(sub(&tokens(&world, &github()).await), mine);
    assert_ne!(sub(&tokens(&world, &oidc()).await), mine);
    let gone = ann.get("/account").await;
    assert!(gone.location.is_some_and(|to| to.path() == "/sign-in"));
}

#[actix_web::test]
async fn a_person_takes_all_that_is_kept_of_them_away() {
    let world = world().await;
    let mut ann = Person::of(&world, &oidc()).await;
    let page = ann.get("/account/export").await;
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let told: Value = serde_json::from_str(&page.body).expect("JSON");
    assert_eq!(told["account"]["profile"]["name"], "Ann");
    assert_eq!(told["sessions"].as_array().map(Vec::len), Some(1));
    let nobody = Browser::new()
        .get(&world.broker.endpoint("/account/export"))
        .await;
    assert!(nobody.location.is_some_and(|to| to.path() == "/sign-in"));
}
