//! What is kept of a person: all of it for them to take away, and none of it once they, an operator or time says so.

use std::collections::BTreeSet;

use countersign_core::{AccountId, Profile};
use countersign_server::Clock;
use countersign_store::kept::{EMBEDDED, Field, Holds, Place, REDIS};
use countersign_store::{Account, RegistryAccountName, RegistryRow, Store, import};
use countersign_tests::{BrokerSetup, Browser, Installation, Login, Tokens, World, kept, wire};
use serde_json::Value;

use crate::linking::{Person, oidc, sub, tokens, world, world_with};

fn refreshing(setup: &mut BrokerSetup) {
    let grants = &mut setup.gallery().grants;
    grants.insert(countersign_server::GrantType::RefreshToken);
}

fn id(account: &str) -> AccountId {
    AccountId::new(account).expect("an account id")
}

/// The registry tells of whoever has this account: their name there, and an address.
async fn told_by_registry(world: &World, account: &str) -> RegistryAccountName {
    let store = world.broker.store();
    let found = store.account(&id(account)).await.expect("a store");
    let row = RegistryRow {
        name: RegistryAccountName::new("ann").expect("a name"),
        registered_at: "2019-03-04T00:00:00Z".parse().expect("a time"),
        identity: Some(found.expect("an account").0.identity),
        verified_email: Some(
            countersign_store::EmailAddress::new("ann@registry.example").expect("an address"),
        ),
    };
    let imported = import(store.as_ref(), &row, id("acct_9"), world.broker.clock.now()).await;
    imported.expect("an import");
    row.name
}

async fn is_active(world: &World, tokens: &Tokens) -> bool {
    let form = [
        ("token", tokens.text("access_token")),
        ("client_id", "gallery"),
        ("client_secret", BrokerSetup::SECRET),
    ];
    let form = form.map(|(n, v)| (n.to_owned(), v.to_owned()));
    let url = world.broker.endpoint("/introspect");
    let page = Browser::new().post(&url, &form).await;
    let said: Value = serde_json::from_str(&page.body).expect("JSON");
    said["active"] == true
}

#[actix_web::test]
async fn a_person_has_themselves_forgotten() {
    let world = world_with(refreshing).await;
    let gallery = tokens(&world, &oidc()).await;
    let mine = sub(&gallery);
    let name = told_by_registry(&world, &mine).await;
    let mut ann = Person::of(&world, &oidc()).await;
    ann.add("GitHub", &Login::new("github", "ann-mfa")).await;

    let all: Value = {
        let file = ann.get("/account/export").await;
        serde_json::from_str(&file.body).expect("JSON")
    };
    assert_eq!(all["account"]["id"], mine.as_str());
    assert_eq!(
        all["registry_account"]["verified_email"],
        "ann@registry.example"
    );
    assert_eq!(all["sessions"].as_array().map(Vec::len), Some(2), "{all}");

    let page = ann.get("/account/erase").await;
    assert!(
        page.body.contains("account <b>ann</b> is yours"),
        "{}",
        page.body
    );
    let button = page.field("form").expect("a button");
    let page = ann.send(&button).await;
    assert!(
        page.body.contains("Your account is erased"),
        "{}",
        page.body
    );

    assert!(!is_active(&world, &gallery).await);
    let access = gallery.text("access_token");
    assert_eq!(
        wire::user_info(&world.broker.issuer, access).await.status,
        401
    );
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", gallery.text("refresh_token")),
        ("redirect_uri", ""),
        ("code_verifier", ""),
    ];
    assert_eq!(world.redeem_with(&form).await.status, 400);
    // The browser is nobody's, and the button is good for nothing.
    let page = ann.get("/account").await;
    assert_eq!(page.status, 303, "{}", page.body);
    let page = ann.send(&button).await;
    assert_eq!(page.status, 303, "{}", page.body);
    let store = world.broker.look();
    assert_eq!(store.account(&id(&mine)).await.expect("a store"), None);
    assert_eq!(store.registry_account(&name).await.expect("a store"), None);

    let lines = world.broker.audit_lines(&["account-erased"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0].subject["account"], mine);
    assert_eq!(lines[0].subject["count"], "2");
    // Both identities begin anew, each for itself.
    let again = sub(&tokens(&world, &oidc()).await);
    let by_github = sub(&tokens(&world, &Login::new("github", "ann-mfa")).await);
    assert_ne!(again, mine);
    assert_ne!(by_github, mine);
    assert_ne!(by_github, again);
}

/// Whoever erased it died with the record written: it is nobody's, and who signs in begins anew and finds nothing of it.
#[actix_web::test]
async fn an_erasure_that_was_cut_off_goes_on_as_the_person_signs_in() {
    let world = world_with(refreshing).await;
    let gallery = tokens(&world, &oidc()).await;
    let mine = sub(&gallery);
    let name = told_by_registry(&world, &mine).await;
    let store = world.broker.store();
    let found = store.account(&id(&mine)).await.expect("a store");
    let (account, version) = found.expect("an account");
    let emptied = Account {
        erasing: true,
        registry_account: account.registry_account.clone(),
        ..Account::new(
            account.id,
            account.identity,
            Profile::default(),
            account.created_at,
        )
    };
    store
        .replace_account(emptied, version)
        .await
        .expect("a change");
    // The report lists this, too, and here it is held.
    kept::note_files(&world.broker.data());
    let held = kept::of_files(&world.broker.data());
    assert!(held.contains("account.record.erasing"), "{held:#?}");
    assert!(!held.contains("account.record.profile.name"), "{held:#?}");

    assert!(!is_active(&world, &gallery).await);
    let access = gallery.text("access_token");
    assert_eq!(
        wire::user_info(&world.broker.issuer, access).await.status,
        401
    );
    assert_ne!(sub(&tokens(&world, &oidc()).await), mine);
    assert_eq!(store.account(&id(&mine)).await.expect("a store"), None);
    assert_eq!(store.registry_account(&name).await.expect("a store"), None);
}

/// Whoever may not change who gets in may not do this either, and nobody does it for another.
#[actix_web::test]
async fn nobody_forgets_themselves_or_another_by_a_weak_session() {
    let world = world().await;
    let mine = sub(&tokens(&world, &oidc()).await);
    let mut ann = Person::of(&world, &oidc()).await;
    let page = ann.get("/account").await;
    assert!(
        page.body.contains("href=\"/account/erase\""),
        "{}",
        page.body
    );
    let page = ann.get("/account/erase").await;
    let hers = page.field("form").expect("a button");
    // Another person, with as good a session.
    let mut pia = Person::of(&world, &Login::new("oidc", "pia-passkey")).await;
    let page = pia.send(&hers).await;
    assert_eq!(page.reason_code(), Some("form-expired"), "{}", page.body);
    // Her own, once what it rests on is too long ago.
    world.broker.clock.advance(16 * 60);
    for page in [ann.send(&hers).await, ann.get("/account/erase").await] {
        let to = page.location.as_ref().map(|to| to.path().to_owned());
        assert_eq!((page.status, to.as_deref()), (303, Some("/sign-in")));
    }
    let page = ann.get("/account").await;
    assert!(
        page.body.contains("sign in again as above"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("/account/erase"), "{}", page.body);
    let store = world.broker.look();
    assert!(store.account(&id(&mine)).await.expect("a store").is_some());
    assert_eq!(world.broker.audited(&["account-erased"]), [""; 0]);
}

/// `lifetimes.unused_account`: whoever does not sign in for so long is forgotten, once a day, by one replica.
#[actix_web::test]
async fn who_does_not_sign_in_for_long_is_forgotten() {
    let world = world_with(|setup| {
        setup
            .policy
            .push_str("\n[lifetimes]\nunused_account = \"90d\"\n");
    })
    .await;
    let clock = &world.broker.clock;
    let tick = async || {
        let now = clock.now();
        let ticked = world.broker.retention.tick(now, async || {}).await;
        ticked.expect("a store")
    };
    let away = sub(&tokens(&world, &oidc()).await);
    let locked = sub(&tokens(&world, &Login::new("oidc", "pia-passkey")).await);
    let back = Login::new("github", "ann-mfa");
    let comes_back = sub(&tokens(&world, &back).await);
    world.broker.lock(&id(&locked)).await;
    let never_seen = {
        let row = RegistryRow {
            name: RegistryAccountName::new("zoe").expect("a name"),
            registered_at: clock.now(),
            identity: Some(countersign_core::Identity::GitHub {
                host: "github.example".to_owned(),
                id: 4711,
            }),
            verified_email: None,
        };
        let store = world.broker.store();
        let done = import(store.as_ref(), &row, id("acct_77"), clock.now()).await;
        done.expect("an import");
        "acct_77"
    };
    assert_eq!(tick().await, 0);
    clock.advance(80 * 86_400);
    world.share_clock();
    assert_eq!(sub(&tokens(&world, &back).await), comes_back);
    assert_eq!(tick().await, 0, "nobody is due yet");
    clock.advance(17 * 86_400);
    assert_eq!(tick().await, 1);
    assert_eq!(tick().await, 0, "once a day");
    let store = world.broker.look();
    for (account, is_known) in [
        (&*away, false),
        (&*locked, true),
        (&*comes_back, true),
        (never_seen, true),
    ] {
        let found = store.account(&id(account)).await.expect("a store");
        assert_eq!(found.is_some(), is_known, "{account}");
    }
    let lines = world.broker.audited(&["account-erased"]);
    assert_eq!(lines, ["account-erased unused"]);
    // Nobody says so: nobody is forgotten.
    world.broker.enforce(
        &world
            .broker
            .policy_text
            .replace("unused_account = \"90d\"\n", ""),
    );
    clock.advance(400 * 86_400);
    assert_eq!(tick().await, 0);
}

/// Also what hardly any test asks for: the report lists it, and a store must have held it.
#[actix_web::test]
async fn what_a_client_asks_for_is_kept_with_its_code_and_its_grant() {
    let world = world_with(refreshing).await;
    let jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    let asking = oidc()
        .with("resource", BrokerSetup::AUDIENCE)
        .with("dpop_jkt", jkt);
    world.sign_in(&mut Browser::new(), &asking).await.code();
    let leveled = oidc().with("acr_values", "urn:countersign:mfa");
    let tokens = tokens(&world, &leveled).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    let mut ann = Person::of(&world, &oidc()).await;
    ann.add("Microsoft Entra ID", &Login::new("entra", "ann-mfa"))
        .await;
    let held = kept::of_files(&world.broker.data());
    for field in [
        "sign_in.code.resource",
        "sign_in.code.dpop_jkt",
        "client_grant.client_grant.acr_values",
        "account.record.linked.identity.microsoft.tid",
    ] {
        assert!(held.contains(field), "no {field} in {held:#?}");
    }
}

/// Not one of the others: it is told by `tests/run` when they have all run, and looks at what their stores held (`kept`).
#[test]
#[ignore = "`tests/run` asks for it once all others have run"]
fn the_report_lists_what_the_stores_of_all_tests_held_and_nothing_else() {
    let gathered = std::fs::read_to_string(kept::gathered_at());
    let gathered = gathered.expect("the fields that the other tests have found: run them first");
    let found: BTreeSet<&str> = gathered.lines().collect();
    let (redis, embedded): (BTreeSet<&str>, BTreeSet<&str>) =
        found.iter().partition(|at| at.starts_with("redis "));
    let redis = redis.iter().filter_map(|at| at.strip_prefix("redis "));
    let redis: BTreeSet<&str> = redis.collect();
    for (store, places, found) in [
        ("the embedded store", EMBEDDED, &embedded),
        ("Redis", REDIS, &redis),
    ] {
        let covers = |at: &&&str| places.iter().any(|place| place.covers(at));
        let unlisted: Vec<_> = found.iter().filter(|at| !covers(at)).collect();
        assert!(
            unlisted.is_empty(),
            "{store} holds what the report does not list (store/src/kept.rs): {unlisted:#?}"
        );
    }
    let mut unseen = unseen(EMBEDDED, &embedded);
    let in_redis = self::unseen(REDIS, &redis);
    // A document has the same fields wherever it is: one sight of each is enough.
    let is_document = |at: &String| at.contains(": ");
    unseen.retain(|at| !is_document(at) || in_redis.contains(at));
    unseen.extend(in_redis.into_iter().filter(|at| !is_document(at)));
    assert!(
        unseen.is_empty(),
        "the report lists what no test has seen a store hold (store/src/kept.rs): {unseen:#?}"
    );
}

/// The values that nobody has seen at their place, and the fields that nobody has seen in any document of their kind
/// (`KIND: FIELD`).
fn unseen(places: &[Place], found: &BTreeSet<&str>) -> Vec<String> {
    let mut unseen = Vec::new();
    for place in places {
        match place.holds {
            Holds::Value(..) if found.contains(place.at) => {}
            Holds::Value(..) => unseen.push(place.at.to_owned()),
            Holds::Document(document) => {
                let alike = places.iter().filter(|one| one.holds == place.holds);
                let alike: Vec<_> = alike.map(|one| format!("{}.", one.at)).collect();
                let is_seen = |field: &&Field| {
                    let within = |at: &&str| {
                        let mut within = alike.iter().filter_map(|place| at.strip_prefix(place));
                        within.any(|path| field.covers(path))
                    };
                    found.iter().any(within)
                };
                let fields = document.fields.iter().filter(|field| !is_seen(field));
                unseen.extend(fields.map(|field| format!("{}: {}", document.kind, field.path)));
            }
        }
    }
    unseen
}

#[test]
fn the_report_says_what_is_kept_and_for_how_long() {
    let here = Installation::alone();
    let configuration = here.path("countersign.toml").display().to_string();
    let report = |more: &[&str]| {
        let all = [&["privacy", "report", "--config", &configuration], more].concat();
        let output = here.command(&all).output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let text = report(&[]);
    for told in [
        "account.record.profile.name: the name, as the provider told it last [name]",
        "until it is erased\n",
        "until the session ends: 12h at most",
        "audit.jsonl), until 400 days",
    ] {
        assert!(text.contains(told), "no `{told}` in {text}");
    }
    assert!(text.lines().count() > report(&["--personal"]).lines().count());
    let unused = "version = 1\nlifetimes = { unused_account = \"1095d\" }";
    here.replace("policy.toml", "version = 1", unused);
    let json: Value = serde_json::from_str(&report(&["--format", "json"])).expect("JSON");
    let fields = json["fields"].as_array().expect("fields");
    let email = fields
        .iter()
        .find(|one| one["at"] == "account.record.profile.email.address");
    let email = email.expect("the e-mail address");
    assert_eq!(email["personal"], "email");
    assert_eq!(
        email["until_at_most"],
        "it is erased, or nobody has signed in for 1095 days"
    );
}
