//! Our credential helper, with the tools that call it as they are: cargo, go, docker and skopeo.

use std::os::unix::fs::PermissionsExt;

use countersign_server::GrantType;
use countersign_tests::tools::{Cargo, CargoHttpRegistry, Ended, Helper, Terminal};
use countersign_tests::{BrokerSetup, Browser, Login, TestBroker, World};
use serde_json::{Value, json};
use url::Url;

use super::door::{Door, ann};
use super::{allow, let_tools_in};

const CRATES: &str = "crates-io";
const PUBLISH: [&str; 3] = ["publish", "--no-verify", "--allow-dirty"];

/// The address of a registry at Countersign.
pub(super) fn address(broker: &TestBroker, name: &str) -> String {
    format!("{}/registry/{name}", broker.issuer)
}

/// Lets a tool's sign-in be, once it shows page and code; the page that the person was shown.
pub(super) async fn approve(world: &World, tool: &Terminal, login: &Login) -> String {
    let page = tool
        .address(&format!("{}/device?user_code=", world.broker.issuer))
        .await;
    let code = tool
        .wait_for(|shown| {
            let (_, rest) = shown.split_once("only if the page shows this code: ")?;
            Some(rest.split_once('\n')?.0.to_owned())
        })
        .await;
    let mut browser = Browser::new();
    let shown = browser.get(&Url::parse(&page).expect("an address")).await;
    assert!(shown.body.contains(&code), "{code}: {}", shown.body);
    allow(world, &mut browser, &page, login).await;
    shown.body
}

/// Signs in to a registry.
pub(super) async fn sign_in(world: &World, helper: &Helper, name: &str) -> Ended {
    let address = address(&world.broker, name);
    let login = helper.run(&["login", &address, "--no-browser"]);
    approve(world, &login, &ann()).await;
    let ended = login.end().await;
    assert!(ended.success, "{}", ended.shown);
    ended
}

/// A registry that cargo reaches through us, and a cargo that asks the helper.
struct Bed {
    world: World,
    url: String,
    registry: CargoHttpRegistry,
    helper: Helper,
    cargo: Cargo,
}

impl Bed {
    async fn new(arguments: &[&str]) -> Self {
        Self::changed(arguments, |_| {}).await
    }

    async fn changed(arguments: &[&str], change: impl FnOnce(&mut BrokerSetup)) -> Self {
        let registry = CargoHttpRegistry::start();
        let mut url = String::new();
        let world = World::with(|setup| {
            let_tools_in(setup);
            url = setup.stand_before(CRATES, Some(&registry.url));
            change(setup);
        })
        .await;
        world.share_clock();
        let (helper, mut cargo) = (Helper::new(), Cargo::new(&url));
        let address = address(&world.broker, CRATES);
        let arguments: Vec<&str> = arguments
            .iter()
            .map(|one| {
                if *one == "ADDRESS" {
                    address.as_str()
                } else {
                    one
                }
            })
            .collect();
        cargo.ask(&helper, &arguments);
        Self {
            world,
            url,
            registry,
            helper,
            cargo,
        }
    }

    fn publish(&self, version: &str) -> Terminal {
        self.registry.be_known_as(&self.url);
        self.cargo
            .run(&self.cargo.package("hello", version), &PUBLISH)
    }

    /// What the helper answers to a request of cargo's.
    fn ask(&self, index_url: &str, more: &Value) -> (bool, String) {
        let mut request = json!({"v": 1, "registry": {"index-url": index_url}, "kind": "get", "operation": "publish"});
        request
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        let (success, answer, _) = self.helper.ask(
            "countersign-credential",
            &["--cargo-plugin"],
            &format!("{request}\n"),
        );
        (success, answer)
    }
}

#[actix_web::test]
async fn cargo_publishes_by_the_helper_and_goes_on_by_itself_once_its_user_has_signed_in_anew() {
    let bed = Bed::new(&["--no-browser"]).await;
    let ended = sign_in(&bed.world, &bed.helper, CRATES).await;
    assert!(
        ended.says("Signed in to http://127.0.0.1:"),
        "{}",
        ended.shown
    );
    assert!(
        ended.says("your API key `crates.io login` ends at 20"),
        "{}",
        ended.shown
    );
    assert_eq!(bed.helper.mode(), 0o600);
    let list = bed.helper.finish(&["list"]).await;
    assert!(
        list.says(&address(&bed.world.broker, CRATES)),
        "{}",
        list.shown
    );

    let ended = bed.publish("1.0.0").end().await;
    assert!(ended.success, "{}", ended.shown);
    assert_eq!(bed.registry.crates(), ["hello-1.0.0.crate"]);

    // The sign-in is too old for a publish now, and the key lives.
    bed.world.broker.clock.advance(90 * 60);
    let cargo = bed.publish("1.0.1");
    let page = approve(&bed.world, &cargo, &ann()).await;
    assert!(page.contains("Let cargo go on at "), "{page}");
    assert!(
        page.contains("<strong>publish hello 1.0.1</strong>"),
        "{page}"
    );
    let ended = cargo.end().await;
    assert!(
        ended.success && ended.says("Sign in to publish hello 1.0.1 at http"),
        "{}",
        ended.shown
    );
    assert_eq!(bed.registry.crates().len(), 2);

    // The key is over: one sign-in gets another, and cargo goes on.
    bed.world.broker.clock.advance(60 * 60);
    let before = bed.helper.kept();
    let cargo = bed.publish("1.0.2");
    approve(&bed.world, &cargo, &ann()).await;
    let ended = cargo.end().await;
    assert!(ended.success, "{}", ended.shown);
    assert_eq!(bed.registry.crates().len(), 3);
    assert_ne!(bed.helper.kept(), before);
    for ended in [&list, &ended] {
        assert!(
            !ended.shown.contains("csk_") && !ended.shown.contains("csbt_"),
            "{}",
            ended.shown
        );
    }

    let ended = bed
        .helper
        .finish(&["logout", &address(&bed.world.broker, CRATES)])
        .await;
    assert!(
        ended.success && ended.says("Signed out: the key has ended."),
        "{}",
        ended.shown
    );
    assert!(!bed.helper.kept().contains("csk_"));
    let ended = bed.publish("1.0.3").end().await;
    assert!(!ended.success, "{}", ended.shown);
    assert_eq!(bed.registry.crates().len(), 3);
}

#[actix_web::test]
async fn cargo_that_names_the_registry_signs_in_on_its_way_and_is_told_why_it_can_not() {
    let bed = Bed::new(&["cargo", "ADDRESS", "--no-browser"]).await;
    let cargo = bed.publish("1.0.0");
    approve(&bed.world, &cargo, &ann()).await;
    let ended = cargo.end().await;
    assert!(ended.success, "{}", ended.shown);
    assert_eq!(bed.registry.crates(), ["hello-1.0.0.crate"]);

    // Somebody else signs in for it.
    bed.world.broker.clock.advance(90 * 60);
    let cargo = bed.publish("1.0.1");
    approve(&bed.world, &cargo, &Login::new("oidc", "pia-passkey")).await;
    let ended = cargo.end().await;
    assert!(
        !ended.success
            && ended.says(
                "Somebody else signed in than the owner of this API key: run the command again"
            ),
        "{}",
        ended.shown
    );

    // Nobody does in time.
    let cargo = bed.publish("1.0.1");
    cargo
        .address(&format!("{}/device?user_code=", bed.world.broker.issuer))
        .await;
    bed.world.broker.clock.advance(601);
    let ended = cargo.end().await;
    assert!(
        !ended.success
            && ended.says(
                "Nobody has signed in for this, and nobody can any more: run the command again"
            ),
        "{}",
        ended.shown
    );
    assert_eq!(bed.registry.crates(), ["hello-1.0.0.crate"]);
}

#[actix_web::test]
async fn what_cargo_asks_is_answered_as_its_protocol_has_it() {
    let bed = Bed::new(&[]).await;
    let hello = "{\"v\":[1]}\n";
    let said = |words: &str| format!("{hello}{words}\n");
    let unknown = said(r#"{"Err":{"kind":"url-not-supported"}}"#);
    assert_eq!(
        bed.ask("sparse+https://crates.example.org/", &json!({})),
        (true, unknown.clone())
    );
    let named = json!({"kind": "logout", "args": ["cargo", address(&bed.world.broker, CRATES)]});
    let not_found = said(r#"{"Err":{"kind":"not-found"}}"#);
    assert_eq!(bed.ask(&bed.url, &named), (true, not_found));

    sign_in(&bed.world, &bed.helper, CRATES).await;
    let (_, answer) = bed.ask(&bed.url, &json!({"operation": "read"}));
    assert!(
        answer.contains(r#""token":"csk_"#) && answer.contains(r#""cache":"session""#),
        "{answer}"
    );
    let deed = json!({"name": "hello", "vers": "1.0.0", "cksum": "0".repeat(64)});
    let (_, answer) = bed.ask(&format!("sparse+{}/git", bed.url), &deed);
    assert!(
        answer.contains(r#""token":"csbt_"#) && answer.contains(r#""cache":"never""#),
        "{answer}"
    );
    assert!(
        answer.contains(r#""operation_independent":false"#),
        "{answer}"
    );
    for operation in ["yank", "unyank", "owners"] {
        let (_, answer) = bed.ask(&bed.url, &json!({"operation": operation, "name": "hello"}));
        assert!(
            answer.contains(r#""token":"csbt_"#),
            "{operation}: {answer}"
        );
    }

    let not_supported = said(r#"{"Err":{"kind":"operation-not-supported"}}"#);
    for more in [
        json!({"operation": "fly"}),
        json!({"kind": "dance"}),
        json!({"v": 2}),
        json!({"operation": null}),
    ] {
        assert_eq!(
            bed.ask(&bed.url, &more),
            (true, not_supported.clone()),
            "{more}"
        );
    }
    let plain_http = json!({"args": ["http://login.example.org/registry/crates"]});
    let (_, answer) = bed.ask(&bed.url, &plain_http);
    assert!(
        answer.contains("expected the address of a registry at Countersign"),
        "{answer}"
    );
    for garbage in ["x", "{}", "[]", "\u{1b}[2J", "{\"v\":1}"] {
        let (success, answer, _) =
            bed.helper
                .ask("countersign-credential", &["--cargo-plugin"], garbage);
        assert!(
            success && answer.contains("can't read what the tool asks"),
            "{garbage}: {answer}"
        );
    }
    let (success, answer, _) = bed
        .helper
        .ask("countersign-credential", &["--cargo-plugin"], "");
    assert_eq!((success, answer.as_str()), (true, hello));

    let (_, answer) = bed.ask(&bed.url, &json!({"kind": "logout"}));
    assert_eq!(answer, said(r#"{"Ok":{"kind":"logout"}}"#));
    assert_eq!(bed.ask(&bed.url, &json!({"kind": "logout"})).1, unknown);
}

#[actix_web::test]
async fn a_file_that_others_could_read_is_not_used_and_a_broker_that_is_away_is_named() {
    let bed = Bed::new(&["--no-browser"]).await;
    sign_in(&bed.world, &bed.helper, CRATES).await;
    let set = |mode: u32| {
        let rights = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(bed.helper.file(), rights).expect("its rights");
    };
    set(0o644);
    let ended = bed.publish("1.0.0").end().await;
    assert!(
        !ended.success && ended.says("can be read by others, and the keys in it with it"),
        "{}",
        ended.shown
    );
    set(0o600);

    let kept = bed.helper.kept();
    let away = kept.replace(&bed.world.broker.issuer, "http://127.0.0.1:1");
    std::fs::write(bed.helper.file(), away).expect("a file");
    let ended = bed.publish("1.0.0").end().await;
    assert!(
        !ended.success && ended.says("can't reach http://127.0.0.1:1: "),
        "{}",
        ended.shown
    );
    // What answers there is no Countersign.
    let other = kept.replace(&bed.world.broker.issuer, &bed.registry.url);
    std::fs::write(bed.helper.file(), other).expect("a file");
    let ended = bed.publish("1.0.0").end().await;
    assert!(
        !ended.success && ended.says("does not answer as Countersign does: is the address right?"),
        "{}",
        ended.shown
    );
    assert!(bed.registry.crates().is_empty());
}

#[actix_web::test]
async fn a_sign_in_that_is_stopped_refused_or_for_no_registry_keeps_nothing() {
    let bed = Bed::new(&[]).await;
    let at = address(&bed.world.broker, CRATES);
    let mut stopped = bed.helper.run(&["login", &at]);
    stopped.address(&bed.world.broker.issuer).await;
    stopped.type_line("\u{3}");
    let ended = stopped.end().await;
    assert!(
        !ended.success && ended.says("stopped: nobody has signed in"),
        "{}",
        ended.shown
    );

    // Who signs in without a second factor gets no further than the page.
    let refused = bed.helper.run(&["login", &at]);
    approve(&bed.world, &refused, &Login::new("github", "bob-password")).await;
    bed.world.broker.clock.advance(601);
    let ended = refused.end().await;
    assert!(
        !ended.success && ended.says("run the command again"),
        "{}",
        ended.shown
    );

    for (arguments, words) in [
        (
            vec!["login", "https://login.example.org/"],
            "expected the address of a registry at Countersign",
        ),
        (
            vec!["login", "http://login.example.org/registry/crates"],
            "expected the address of a registry",
        ),
        (
            vec!["logout", &at],
            "nobody is signed in there: run `countersign-credential login",
        ),
        (
            vec!["login", &at.replace(CRATES, "nothing")],
            "there is no such registry",
        ),
        (vec![], "expected a command"),
    ] {
        let ended = bed.helper.finish(&arguments).await;
        assert!(
            !ended.success && ended.says(words),
            "{arguments:?}: {}",
            ended.shown
        );
    }
    assert_eq!(bed.helper.kept(), "");
}

#[actix_web::test]
async fn where_a_tools_client_may_not_wait_for_a_person_the_helper_says_so() {
    let bed = Bed::changed(&[], |setup| {
        let tools = setup.clients.get_mut("tools").expect("the client");
        tools.grants.remove(&GrantType::DeviceCode);
    })
    .await;
    let ended = bed
        .helper
        .finish(&["login", &address(&bed.world.broker, CRATES)])
        .await;
    assert!(
        !ended.success
            && ended.says("this client has not this `grant_type` among its `grant_types`"),
        "{}",
        ended.shown
    );
}

#[actix_web::test]
async fn a_helper_is_behind_a_registry_of_any_kind() {
    let door = Door::before("pypi", "http://127.0.0.1:1").await;
    let helper = Helper::new();
    sign_in(&door.world, &helper, "pypi").await;
    assert!(
        helper.kept().contains("\"PyPI login\""),
        "{}",
        helper.kept().len()
    );
}

#[actix_web::test]
async fn the_helper_says_which_it_is_and_all_that_it_takes() {
    let helper = Helper::new();
    let (success, version, _) = helper.ask("countersign-credential", &["--version"], "");
    let number = version.trim().strip_prefix("countersign-credential ");
    let number = number.expect("its name and a number").to_owned();
    assert!(success && number.starts_with(|one: char| one.is_ascii_digit()));
    let of_docker = helper.ask("docker-credential-countersign", &["version"], "");
    let expected = format!("docker-credential-countersign {number}\n");
    assert_eq!((of_docker.0, of_docker.1), (true, expected));
    let (success, help, _) = helper.ask("countersign-credential", &["--help"], "");
    assert!(success);
    for words in [
        "login",
        "logout",
        "list",
        "cargo",
        "go",
        "--version",
        "BROWSER",
        "credentials.json",
        "Exit codes",
    ] {
        assert!(help.contains(words), "{words}: {help}");
    }
}

#[test]
fn a_package_of_the_helper_holds_its_sources_its_licences_and_its_page() {
    let listed = std::process::Command::new(env!("CARGO"))
        .args(["package", "--list", "--allow-dirty", "--offline"])
        .current_dir(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../crates/countersign-credential"
        ))
        .output()
        .expect("cargo");
    let listed = String::from_utf8(listed.stdout).expect("names");
    let is_source = |name: &&str| !name.starts_with("src/") && !name.starts_with(".cargo_vcs");
    let others: Vec<&str> = listed.lines().filter(is_source).collect();
    let expected = [
        "Cargo.lock",
        "Cargo.toml",
        "Cargo.toml.orig",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "credential-helpers.md",
    ];
    assert_eq!(others, expected);
}
