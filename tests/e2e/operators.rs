//! Operators in the browser: who is one, what they see, what they do; and that nobody else does.

use countersign_core::{Mapping, OrganizationId, Policy, Source};
use countersign_server::Clock;
use countersign_store::organization::{self, AskedException, Told, claim};
use countersign_store::{Actor, Connection, Proof, Standing, Store};
use countersign_tests::{Browser, Login, Page, World};

use crate::linking::{oidc, sub, tokens};

/// A world whose policy lists what operators may, and names nobody yet.
async fn world() -> World {
    World::with(|setup| {
        setup.policy = setup.policy.replace(
            "scopes = [\"tenants:write\"]",
            "scopes = [\"tenants:write\", \"exceptions:request\", \"operator:read\", \"operator:write\"]",
        );
        setup
            .policy
            .push_str("\n[client.countersign]\ntier = \"browse\"\n");
    })
    .await
}

/// Names these accounts as operators', and nobody else.
fn name(world: &World, accounts: &[&str]) {
    let text = &world.broker.policy_text;
    world
        .broker
        .enforce(&format!("{text}\n[operators]\naccounts = {accounts:?}\n"));
}

/// Somebody in their browser.
struct Person<'a> {
    world: &'a World,
    browser: Browser,
}

impl<'a> Person<'a> {
    fn new(world: &'a World) -> Self {
        let browser = Browser::new();
        Self { world, browser }
    }

    async fn get(&mut self, path: &str) -> Page {
        let url = self.world.broker.endpoint(path);
        self.browser.get(&url).await
    }

    /// Goes to a page of operators' and signs in on the way, if that is where it leads.
    async fn arrive(&mut self, path: &str, login: &Login) -> Page {
        let page = self.get(path).await;
        self.walk(page, login).await
    }

    async fn walk(&mut self, page: Page, login: &Login) -> Page {
        let page = self.world.walk(&mut self.browser, page, login).await;
        match page.primary_link() {
            Some(way) if page.body.contains("One more step") => {
                self.world.go(&mut self.browser, way, login).await
            }
            _ => page,
        }
    }

    /// An operator, who has signed in with all that it takes.
    async fn operator(world: &'a World, login: &Login) -> Self {
        let mut person = Self::new(world);
        let to = format!(
            "/sign-in?to=/operator&scope=operator:write&provider={}",
            login.provider
        );
        let page = person.arrive(&to, login).await;
        assert!(page.body.contains("What waits"), "{}", page.body);
        person
    }

    /// The sealed form of the button that says this, on this page.
    async fn button(&mut self, path: &str, label: &str) -> String {
        let page = self.get(path).await;
        sealed(&page, label)
    }

    async fn send(&mut self, path: &str, form: &str, more: &[(&str, &str)]) -> Page {
        let url = self.world.broker.endpoint(&format!("{path}/press"));
        let mut fields = vec![("form".to_owned(), form.to_owned())];
        fields.extend(more.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        self.browser.post(&url, &fields).await
    }

    /// Presses the button that says this, with what the form takes besides.
    async fn press(&mut self, path: &str, label: &str, more: &[(&str, &str)]) -> Page {
        let form = self.button(path, label).await;
        self.send(path, &form, more).await
    }

    /// Presses it, and says yes to the question that follows.
    async fn press_and_confirm(&mut self, path: &str, label: &str) -> Page {
        let page = self.press(path, label, &[]).await;
        assert_eq!(page.status, 200, "{}", page.body);
        let form = page.field("form").expect("a question with a button");
        self.send(path, &form, &[]).await
    }
}

/// The sealed form before this label.
fn sealed(page: &Page, label: &str) -> String {
    let place = page.body.find(&format!(">{label}</button>"));
    let place = place.unwrap_or_else(|| panic!("no `{label}` in {}", page.body));
    let field = "name=\"form\" value=\"";
    let before = &page.body[..place];
    let start = before.rfind(field).expect("a form") + field.len();
    let text = before[start..].split('"').next();
    text.unwrap_or_default().to_owned()
}

fn leads_to(page: &Page) -> (u16, Option<String>) {
    let to = page.location.as_ref().map(|to| to.path().to_owned());
    (page.status, to)
}

fn pia() -> Login {
    Login::new("oidc", "pia-passkey")
}

/// The registry tells of an organisation with a connection to Contoso's tenant.
async fn connected(world: &World, id: &str, standing: Standing) {
    let (shared, now) = (world.broker.store(), world.broker.clock.now());
    let store: &dyn Store = shared.as_ref();
    let id = OrganizationId::new(id).expect("an id");
    let told = Told {
        title: Some(format!("{id} Ltd")),
        admins: [].into(),
    };
    let told = organization::tell(store, &id, &told, &Actor::Operator, now).await;
    told.expect("it is told");
    let source = format!("tenant:{}", countersign_dev_idp::entra::CONTOSO);
    let source: Source = source.parse().expect("a source");
    let connection = Connection {
        mapping: Mapping::new(id.clone(), source),
        standing,
        proof: match standing {
            Standing::AwaitingApproval => Proof::Member {
                token: "0".repeat(32),
            },
            Standing::InForce | Standing::Disputed | Standing::Refused => Proof::Operator {
                reason: "told by phone".to_owned(),
            },
        },
        made_by: Actor::Operator,
        made_at: now,
    };
    let made = claim(store, &Policy::default(), &id, &connection, now).await;
    made.expect("it is claimed");
}

async fn standing(world: &World, id: &str) -> Option<Standing> {
    let id = OrganizationId::new(id).expect("an id");
    let found = world.broker.look().organization(&id).await;
    let (found, _) = found.expect("a store").expect("an organization");
    found.connections.first().map(|one| one.standing)
}

const PAGES: [&str; 6] = [
    "/operator",
    "/operator/organizations",
    "/operator/organizations/contoso",
    "/operator/accounts",
    "/operator/accounts/acct_1",
    "/operator/audit-log",
];

#[actix_web::test]
async fn who_is_not_named_sees_nothing_whatever_they_show_and_is_told_how_to_be() {
    let world = world().await;
    let ann = sub(&tokens(&world, &oidc()).await);
    let mut person = Person::new(&world);
    let page = person
        .arrive(
            "/sign-in?to=/operator&scope=operator:read&provider=oidc",
            &oidc(),
        )
        .await;
    assert_eq!(page.status, 403, "{}", page.body);
    for path in PAGES {
        let page = person.get(path).await;
        assert_eq!(page.status, 403, "{path}: {}", page.body);
        assert_eq!(page.reason_code(), Some("not-an-operator"), "{path}");
        assert!(page.body.contains(&ann), "{path}: {}", page.body);
    }
    let page = person.get("/account").await;
    assert!(!page.body.contains("href=\"/operator\""), "{}", page.body);
    // Another is named: that changes nothing for her.
    name(&world, &["acct_1"]);
    assert_eq!(person.get("/operator").await.status, 403);
    // She is, and it holds at once.
    name(&world, &[&ann]);
    let page = person.get("/operator").await;
    assert_eq!(page.status, 200, "{}", page.body);
    let page = person.get("/account").await;
    assert!(page.body.contains("href=\"/operator\""), "{}", page.body);
    // And is no more.
    name(&world, &["acct_1"]);
    let page = person.get("/operator/accounts").await;
    assert_eq!(page.reason_code(), Some("not-an-operator"));
}

#[actix_web::test]
async fn an_operator_without_a_fresh_second_factor_is_asked_for_it_and_led_in_no_circle() {
    let world = world().await;
    let bob = Login::new("oidc", "bob-password");
    let mut person = Person::new(&world);
    let page = person.get("/sign-in?to=/account&provider=oidc").await;
    let page = person.walk(page, &bob).await;
    assert!(page.body.contains("Your account"), "{}", page.body);
    let store = world.broker.look();
    let accounts = store.list_accounts(None, 10).await.expect("a store");
    let id = accounts[0].id.to_string();
    name(&world, &[&id]);
    for path in PAGES {
        let page = person.get(path).await;
        assert_eq!(page.status, 403, "{path}: {}", page.body);
        assert_eq!(page.reason_code(), Some("sign-in-not-enough"), "{path}");
    }
    // The way there leads to the provider, which has no second factor of his; he comes back to the same page.
    let page = person.get("/operator").await;
    let way = page.primary_link().expect("a way to sign in");
    let way = way.path().to_owned();
    assert_eq!(way, "/sign-in");

    // Whose sign-in was too long ago may look and do nothing more; each button leads to signing in.
    let ann = sub(&tokens(&world, &oidc()).await);
    name(&world, &[&ann]);
    let mut operator = Person::operator(&world, &oidc()).await;
    let path = format!("/operator/accounts/{id}");
    let lock = operator.button(&path, "Lock").await;
    world.broker.clock.advance(16 * 60);
    let page = operator.get(&path).await;
    assert_eq!(
        page.reason_code(),
        Some("sign-in-not-enough"),
        "{}",
        page.body
    );
    let page = operator.send(&path, &lock, &[("reason", "x")]).await;
    assert_eq!(page.status, 403, "{}", page.body);
    let found = store.account(&accounts[0].id).await.expect("a store");
    assert_eq!(found.expect("an account").0.locked, None);
}

#[actix_web::test]
async fn an_operator_locks_unlocks_signs_out_and_erases_and_each_is_written_down() {
    let world = world().await;
    let ann = sub(&tokens(&world, &oidc()).await);
    let pia_id = sub(&tokens(&world, &pia()).await);
    name(&world, &[&ann]);
    let mut operator = Person::operator(&world, &oidc()).await;
    let page = operator.get("/operator/accounts").await;
    for id in [&ann, &pia_id] {
        assert!(page.body.contains(id.as_str()), "{}", page.body);
    }
    let path = format!("/operator/accounts/{pia_id}");
    let page = operator
        .get(&format!("/operator/accounts?account={pia_id}"))
        .await;
    assert_eq!(leads_to(&page), (303, Some(path.clone())));
    let page = operator
        .get("/operator/accounts?account=%3Cscript%3Ex")
        .await;
    assert!(
        page.body.contains("Nobody who has signed in"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("<script>"), "{}", page.body);

    // Signed out of the one session, after a question.
    let page = operator.press_and_confirm(&path, "End all sessions").await;
    assert_eq!(leads_to(&page), (303, Some(path.clone())), "{}", page.body);
    let page = operator.get(&path).await;
    assert!(page.body.contains("None is open."), "{}", page.body);

    // Locked, with a reason that other operators see.
    tokens(&world, &pia()).await;
    let page = operator.press(&path, "Lock", &[("reason", "  ")]).await;
    assert_eq!(page.status, 400, "{}", page.body);
    assert!(page.body.contains("say why, in at most"), "{}", page.body);
    let page = operator
        .press(&path, "Lock", &[("reason", "taken <over>")])
        .await;
    assert_eq!(leads_to(&page), (303, Some(path.clone())), "{}", page.body);
    let page = operator.get(&path).await;
    assert!(page.body.contains("taken &#60;over&#62;"), "{}", page.body);
    assert!(page.body.contains("None is open."), "{}", page.body);
    let outcome = world
        .sign_in_with_step_up(&mut Browser::new(), &pia())
        .await;
    assert_eq!(outcome.page().reason_code(), Some("account-locked"));
    // What is locked is not erased, by no way.
    assert!(!page.body.contains("Erase the account"), "{}", page.body);

    let page = operator.press(&path, "Unlock", &[]).await;
    assert_eq!(leads_to(&page), (303, Some(path.clone())), "{}", page.body);
    assert_eq!(sub(&tokens(&world, &pia()).await), pia_id);

    let page = operator.press_and_confirm(&path, "Erase the account").await;
    assert_eq!(
        leads_to(&page),
        (303, Some("/operator/accounts".to_owned()))
    );
    assert_eq!(operator.get(&path).await.status, 404);
    assert_ne!(sub(&tokens(&world, &pia()).await), pia_id);

    let events = ["account-locked", "account-unlocked", "account-erased"];
    let by = format!("account:{ann}");
    for line in world.broker.audit_lines(&events) {
        assert_eq!(line.actor, by, "{line:?}");
        assert_eq!(line.subject["account"], pia_id, "{line:?}");
    }
    assert_eq!(world.broker.audited(&events), events);
    let ended = world.broker.audited(&["session-ended"]);
    assert!(
        ended.contains(&"session-ended by-an-operator".to_owned()),
        "{ended:?}"
    );
}

#[actix_web::test]
async fn a_button_is_good_for_its_operator_on_its_page_and_their_own_account_is_not_locked() {
    let world = world().await;
    let ann = sub(&tokens(&world, &oidc()).await);
    let pia_id = sub(&tokens(&world, &pia()).await);
    let una = Login::new("oidc", "una-unverified");
    let una_id = sub(&tokens(&world, &una).await);
    name(&world, &[&ann, &pia_id]);
    let mut first = Person::operator(&world, &oidc()).await;
    let mut second = Person::operator(&world, &pia()).await;
    let path = format!("/operator/accounts/{una_id}");
    let lock = first.button(&path, "Lock").await;
    let reason = [("reason", "x")];
    // Another operator's browser; another account's page; no button at all.
    for (page, what) in [
        (second.send(&path, &lock, &reason).await, "another's"),
        (
            first
                .send(&format!("/operator/accounts/{pia_id}"), &lock, &reason)
                .await,
            "another page's",
        ),
        (first.send(&path, "", &reason).await, "none"),
        (first.send(&path, &lock[1..], &reason).await, "cut"),
    ] {
        assert_eq!(page.reason_code(), Some("form-expired"), "{what}");
    }
    let mut stranger = Person::new(&world);
    let page = stranger.send(&path, &lock, &reason).await;
    assert_eq!(leads_to(&page), (303, Some("/sign-in".to_owned())));
    // Their own: there is no button, and another's button is not theirs.
    let own = format!("/operator/accounts/{ann}");
    let page = first.get(&own).await;
    assert!(page.body.contains("your own account"), "{}", page.body);
    assert!(!page.body.contains(">Lock</button>"), "{}", page.body);
    let events = ["account-locked"];
    assert_eq!(world.broker.audited(&events), [""; 0]);
    // Whoever is an operator no more presses nothing.
    name(&world, &[&pia_id]);
    let page = first.send(&path, &lock, &reason).await;
    assert_eq!(page.reason_code(), Some("not-an-operator"), "{}", page.body);
    assert_eq!(world.broker.audited(&events), [""; 0]);
    name(&world, &[&ann]);
    let page = first.send(&path, &lock, &reason).await;
    assert_eq!(page.status, 303, "{}", page.body);
    assert_eq!(world.broker.audited(&events), events);
}

#[actix_web::test]
async fn an_operator_answers_what_waits_and_it_waits_no_more() {
    let world = world().await;
    let ann = sub(&tokens(&world, &oidc()).await);
    name(&world, &[&ann]);
    connected(&world, "contoso", Standing::InForce).await;
    connected(&world, "fabrikam", Standing::InForce).await;
    assert_eq!(standing(&world, "fabrikam").await, Some(Standing::Disputed));
    let (shared, now) = (world.broker.store(), world.broker.clock.now());
    let contoso = OrganizationId::new("contoso").expect("an id");
    let today = countersign_core::calendar::day_of(now);
    let asked = AskedException {
        name: countersign_core::ExceptionName::new("asked-1").expect("a name"),
        waives: ["publish".to_owned()].into(),
        reason: "rooms without <phones>".to_owned(),
        until: today,
        asked_by: Actor::Operator,
        asked_at: now,
        answer: None,
    };
    let asking = organization::ask(shared.as_ref(), &contoso, &asked).await;
    asking.expect("it is asked for");

    let mut operator = Person::operator(&world, &oidc()).await;
    let page = operator.get("/operator").await;
    for text in ["contoso Ltd", "an exception in publish", "is disputed"] {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    let path = "/operator/organizations/contoso";
    let page = operator.get(path).await;
    assert!(
        page.body.contains("rooms without &#60;phones&#62;"),
        "{}",
        page.body
    );
    let until = today.to_string();
    for (fields, status) in [
        (vec![("reason", "yes"), ("until", until.as_str())], 400),
        (vec![("verdict", "granted"), ("reason", "yes")], 400),
        (vec![("verdict", "granted"), ("until", until.as_str())], 400),
        (
            vec![
                ("verdict", "granted"),
                ("until", "2001-01-01"),
                ("reason", "yes"),
            ],
            400,
        ),
        (
            vec![
                ("verdict", "granted"),
                ("until", until.as_str()),
                ("reason", "seen on site"),
            ],
            303,
        ),
    ] {
        let page = operator.press(path, "Grant it", &fields).await;
        assert_eq!(page.status, status, "{fields:?}: {}", page.body);
    }
    let page = operator.get(path).await;
    assert!(page.body.contains("seen on site"), "{}", page.body);
    let refused = [("verdict", "refused"), ("reason", "over")];
    let page = operator.press(path, "End it", &refused).await;
    assert_eq!(page.status, 303, "{}", page.body);

    // The dispute, after a question that says what it does.
    let path = "/operator/organizations/fabrikam";
    let page = operator.get(path).await;
    assert!(page.body.contains(">contoso Ltd</a> too"), "{}", page.body);
    let page = operator
        .press_and_confirm(path, "Transfer it to this one")
        .await;
    assert_eq!(
        leads_to(&page),
        (303, Some(path.to_owned())),
        "{}",
        page.body
    );
    assert_eq!(standing(&world, "fabrikam").await, Some(Standing::InForce));
    assert_eq!(standing(&world, "contoso").await, None);
    let page = operator.press_and_confirm(path, "Disconnect").await;
    assert_eq!(page.status, 303, "{}", page.body);
    assert_eq!(standing(&world, "fabrikam").await, None);
    let page = operator.get("/operator").await;
    assert!(page.body.contains("Nothing. Exceptions"), "{}", page.body);
    // What was settled meanwhile is told, not done twice.
    let page = operator.get(path).await;
    assert!(page.body.contains("connected to nothing"), "{}", page.body);

    let events = [
        "exception-granted",
        "exception-refused",
        "connection-settled",
        "organization-disconnected",
    ];
    let by = format!("account:{ann}");
    let lines = world.broker.audit_lines(&events);
    let told: Vec<(&str, &str)> = lines
        .iter()
        .map(|line| (line.event.as_str(), line.actor.as_str()))
        .collect();
    assert_eq!(told, events.map(|event| (event, by.as_str())));
}

#[actix_web::test]
async fn a_claim_that_awaits_approval_is_approved_or_refused() {
    let world = world().await;
    let ann = sub(&tokens(&world, &oidc()).await);
    name(&world, &[&ann]);
    let mut operator = Person::operator(&world, &oidc()).await;
    for (id, label, expected) in [
        ("contoso", "Approve", Standing::InForce),
        ("fabrikam", "Refuse", Standing::Refused),
    ] {
        let path = format!("/operator/organizations/{id}");
        connected(&world, id, Standing::AwaitingApproval).await;
        assert_eq!(standing(&world, id).await, Some(Standing::AwaitingApproval));
        let page = match label {
            "Approve" => operator.press_and_confirm(&path, label).await,
            _ => operator.press(&path, label, &[]).await,
        };
        assert_eq!(page.status, 303, "{}", page.body);
        assert_eq!(standing(&world, id).await, Some(expected), "{label}");
    }
}

#[actix_web::test]
async fn lists_are_searched_and_paged() {
    let world = world().await;
    let ann = sub(&tokens(&world, &oidc()).await);
    name(&world, &[&ann]);
    let mut operator = Person::operator(&world, &oidc()).await;
    let page = operator.get("/operator/organizations").await;
    assert!(page.body.contains("There are none yet"), "{}", page.body);
    let (shared, now) = (world.broker.store(), world.broker.clock.now());
    for n in 0..120 {
        let id = OrganizationId::new(format!("team-{n:03}")).expect("an id");
        let told = Told {
            title: None,
            admins: [].into(),
        };
        let told = organization::tell(shared.as_ref(), &id, &told, &Actor::Operator, now).await;
        told.expect("it is told");
    }
    let mut seen = Vec::new();
    let mut path = "/operator/organizations?begins_with=team-".to_owned();
    loop {
        let page = operator.get(&path).await;
        let rows = page.body.matches("href=\"/operator/organizations/team-");
        seen.push(rows.count());
        let Some(next) = page.body.split("rel=\"next\" href=\"").nth(1) else {
            break;
        };
        let next = next.split('"').next().expect("an address");
        path = next.replace("&#38;", "&").replace("&amp;", "&");
    }
    assert_eq!(seen, [50, 50, 20]);
    let page = operator
        .get("/operator/organizations?begins_with=team-11")
        .await;
    assert_eq!(page.body.matches("organizations/team-11").count(), 10);
    for beyond in [
        "/operator/organizations?after=zzz",
        "/operator/accounts?after=acct_zzz",
        "/operator?after=zzz",
    ] {
        let page = operator.get(beyond).await;
        let told = page.body.contains("These were all") || page.body.contains("Nothing here");
        assert!(told, "{beyond}: {}", page.body);
    }
    for nothing in ["zzz", "a%20b", "%3Cb%3E"] {
        let page = operator
            .get(&format!("/operator/organizations?begins_with={nothing}"))
            .await;
        assert_eq!(page.status, 200, "{nothing}");
        assert!(
            page.body.contains("No organization’s name"),
            "{}",
            page.body
        );
        assert!(!page.body.contains("<b>"), "{}", page.body);
    }
}

#[actix_web::test]
async fn the_audit_log_is_searched_in_the_page_as_by_api() {
    let world = world().await;
    let ann = sub(&tokens(&world, &oidc()).await);
    let pia_id = sub(&tokens(&world, &pia()).await);
    name(&world, &[&ann]);
    let mut operator = Person::operator(&world, &oidc()).await;
    world.broker.audited(&["signed-in"]); // until they are on the disk
    let entries = |page: &Page| page.body.matches("<strong>").count();
    let page = operator.get("/operator/audit-log").await;
    let all = entries(&page);
    assert!(all >= 5, "{}", page.body);
    assert!(
        page.body
            .contains(&format!("href=\"/operator/accounts/{pia_id}\"")),
        "{}",
        page.body
    );
    let page = operator
        .get(&format!(
            "/operator/audit-log?subject={pia_id}&event=account-made"
        ))
        .await;
    assert_eq!(entries(&page), 1, "{}", page.body);
    assert!(
        page.body.contains("<option selected>account-made"),
        "{}",
        page.body
    );
    let page = operator
        .get("/operator/audit-log?actor=operator&since=2001-01-01")
        .await;
    assert!(page.body.contains("Nothing that fits"), "{}", page.body);
    for wrong in ["since=yesterday", "before=1", "until=2027-13-01"] {
        let page = operator.get(&format!("/operator/audit-log?{wrong}")).await;
        assert_eq!(page.status, 200, "{wrong}");
        assert!(
            page.body.contains("role=\"alert\""),
            "{wrong}: {}",
            page.body
        );
    }
}
