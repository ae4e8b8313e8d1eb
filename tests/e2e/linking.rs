//! Another identity leads to the same account, by whose it is, and by nobody else.

use countersign_core::AccountId;
use countersign_store::Store;
use countersign_tests::{Browser, Login, Page, Tokens, World};
use serde_json::Value;
use url::Url;

/// A world whose policy wants our pages, and lets identities be linked by who shows MFA.
async fn world() -> World {
    World::with(|setup| {
        setup.policy = setup.policy.replace(
            "scopes = [\"tenants:write\"]\nneeds = \"mfa\"\naccepts = [\"session\", \"tenant\"]",
            "scopes = [\"identities:write\"]\nneeds = \"mfa\"\naccepts = [\"session\", \"tenant\", \"enrolment\"]",
        );
        setup.policy.push_str("\n[client.countersign]\ntier = \"browse\"\n");
    })
    .await
}

async fn tokens(world: &World, login: &Login) -> Tokens {
    let outcome = world.sign_in_with_step_up(&mut Browser::new(), login).await;
    world.redeem(&outcome.code()).await
}

fn sub(tokens: &Tokens) -> String {
    tokens.access()["sub"]
        .as_str()
        .expect("a subject")
        .to_owned()
}

/// A person at their account's page.
struct Person<'a> {
    world: &'a World,
    browser: Browser,
}

impl<'a> Person<'a> {
    /// Signs in to the page, with what changing something there needs.
    async fn of(world: &'a World, login: &Login) -> Self {
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

    async fn get(&mut self, path: &str) -> Page {
        let url = self.url(path);
        self.browser.get(&url).await
    }

    async fn walk(&mut self, page: Page, login: &Login) -> Page {
        self.world.walk(&mut self.browser, page, login).await
    }

    /// Presses the button that stands before this text.
    async fn press(&mut self, text: &str) -> Page {
        let page = self.get("/account").await;
        let place = page.body.find(text);
        let place = place.unwrap_or_else(|| panic!("no `{text}` in {}", page.body));
        let field = "name=\"form\" value=\"";
        let before = &page.body[..place];
        let start = before.rfind(field).expect("a button") + field.len();
        let sealed = before[start..].split('"').next().unwrap_or_default();
        let url = self.url("/account/press");
        self.browser
            .post(&url, &[("form".to_owned(), sealed.to_owned())])
            .await
    }

    /// Adds the identity that this login is of: the page that follows.
    async fn add(&mut self, title: &str, login: &Login) -> Page {
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

fn oidc() -> Login {
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
