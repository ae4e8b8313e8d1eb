//! The person at the credential helper: whose browser is opened, or is not, and who has two tools wait at once.

use countersign_tests::tools::{Cargo, CrateStore, Helper};
use tokio::time::{Duration, sleep};
use url::Url;

use super::credential_helper::{address, approve};
use super::door::{Door, ann};

const CRATES: &str = "crates-io";
/// Writes down what it is called with.
const RECORD: &str = "echo \"$@\" >> \"$(dirname \"$0\")/opened\"";

async fn door() -> Door {
    Door::before(CRATES, "http://127.0.0.1:1").await
}

/// Waits until a browser was called, some seconds at most; with what.
async fn opened(helper: &Helper) -> String {
    for _ in 0..100 {
        let opened = helper.read("opened");
        if opened.ends_with('\n') {
            return opened.trim_end().to_owned();
        }
        sleep(Duration::from_millis(100)).await;
    }
    String::new()
}

#[actix_web::test]
async fn the_page_is_opened_with_the_persons_browser_and_holds_no_secret_but_the_code_to_compare() {
    let door = door().await;
    let issuer = &door.world.broker.issuer;
    let at = address(&door.world.broker, CRATES);
    for (name, set) in [
        ("a-browser", ("BROWSER", "a-browser")),
        ("a-browser", ("BROWSER", "no-such-browser:a-browser %s")),
        ("xdg-open", ("DISPLAY", ":99")),
        ("xdg-open", ("WAYLAND_DISPLAY", "wayland-0")),
    ] {
        let mut helper = Helper::new();
        helper.script(name, RECORD);
        helper.set(set.0, set.1);
        let login = helper.run(&["login", &at]);
        let shown = login.address(&format!("{issuer}/device?")).await;
        assert_eq!(opened(&helper).await, shown, "{set:?}");
        let page = Url::parse(&shown).expect("an address");
        let query: Vec<_> = page.query_pairs().collect();
        assert_eq!(query.len(), 1, "{page}");
        assert_eq!((&*query[0].0, query[0].1.len()), ("user_code", 9), "{page}");
        assert_eq!(page.fragment(), None, "{page}");
    }
}

#[actix_web::test]
async fn nothing_is_opened_without_a_screen_or_against_the_persons_word() {
    let door = door().await;
    let at = address(&door.world.broker, CRATES);
    let page = format!("{}/device?", door.world.broker.issuer);
    // As over SSH; and with a browser that is not to be opened.
    let mut with_browser = Helper::new();
    with_browser.set("BROWSER", "xdg-open");
    with_browser.set("DISPLAY", ":99");
    for (helper, arguments) in [
        (Helper::new(), vec!["login", at.as_str()]),
        (with_browser, vec!["login", at.as_str(), "--no-browser"]),
    ] {
        helper.script("xdg-open", RECORD);
        let login = helper.run(&arguments);
        approve(&door.world, &login, &ann()).await;
        assert!(login.shown().contains(&page), "{}", login.shown());
        assert!(login.end().await.success);
        assert_eq!(helper.read("opened"), "");
    }
    // Where there is no terminal, nobody is there to see it.
    let mut helper = Helper::new();
    helper.script("xdg-open", RECORD);
    helper.set("BROWSER", "xdg-open");
    let login = actix_web::rt::task::spawn_blocking(move || {
        let ended = helper.ask("countersign-credential", &["login", &at], "");
        (ended, helper.read("opened"))
    });
    while !login.is_finished() {
        sleep(Duration::from_secs(1)).await;
        door.world.broker.clock.advance(601);
    }
    let ((success, _, told), opened) = login.await.expect("its end");
    assert!(!success && told.contains(&page), "{told}");
    assert_eq!(opened, "");
}

#[actix_web::test]
async fn a_browser_that_fails_hangs_or_is_not_there_stops_no_sign_in() {
    let door = door().await;
    let at = address(&door.world.broker, CRATES);
    let hangs = "echo $$ > \"$(dirname \"$0\")/opened\"; exec sleep 600";
    for lines in ["exit 1", hangs, "kill -9 $$", ""] {
        let mut helper = Helper::new();
        if !lines.is_empty() {
            helper.script("a-browser", lines);
        }
        helper.set("BROWSER", "a-browser");
        let login = helper.run(&["login", &at]);
        approve(&door.world, &login, &ann()).await;
        let ended = login.end().await;
        assert!(ended.success, "{lines}: {}", ended.shown);
        let process = helper.read("opened");
        assert_eq!(lines == hangs, !process.is_empty());
        if lines == hangs {
            let kill = std::process::Command::new("kill")
                .arg(process.trim())
                .status();
            assert!(kill.expect("kill").success(), "it has ended before");
        }
    }
}

/// Two cargos of one person, who has signed in nowhere yet.
struct Two {
    door: Door,
    store: CrateStore,
    helper: Helper,
    cargos: [Cargo; 2],
}

impl Two {
    async fn new() -> Self {
        let store = CrateStore::start();
        let door = Door::before(CRATES, &store.url).await;
        let helper = Helper::new();
        let at = address(&door.world.broker, CRATES);
        let cargos = [(); 2].map(|()| {
            let mut cargo = Cargo::of_sparse_index(&door.url);
            cargo.ask(&helper, &["cargo", &at, "--no-browser"]);
            cargo
        });
        Self {
            door,
            store,
            helper,
            cargos,
        }
    }
}

const WAITS: &str = "Another command waits for you to sign in: this one goes on after it.";

#[actix_web::test]
async fn who_has_two_cargos_wait_signs_in_once_and_both_go_on() {
    let two = Two::new().await;
    let [first, second] = &two.cargos;
    let page = format!("{}/device?", two.door.world.broker.issuer);
    let yank = first.run(first.home(), &["yank", "hello@1.0.0"]);
    yank.address(&page).await;
    let add = second.run(second.home(), &["owner", "--add", "bob", "hello"]);
    add.wait_for(|shown| shown.contains(WAITS).then_some(()))
        .await;
    approve(&two.door.world, &yank, &ann()).await;
    for cargo in [yank, add] {
        let ended = cargo.end().await;
        assert!(ended.success, "{}", ended.shown);
    }
    let kept = two.store.kept();
    assert!(kept.is_yanked && kept.owners == ["bob"], "{kept:?}");
    let made = two.door.world.broker.audited(&["api-key-made"]);
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(two.helper.kept().matches("csk_").count(), 1);
}

#[actix_web::test]
async fn where_the_first_of_two_is_stopped_the_second_asks_its_person_itself() {
    let two = Two::new().await;
    let [first, second] = &two.cargos;
    let page = format!("{}/device?", two.door.world.broker.issuer);
    let mut yank = first.run(first.home(), &["yank", "hello@1.0.0"]);
    let shown = yank.address(&page).await;
    let add = second.run(second.home(), &["owner", "--add", "bob", "hello"]);
    add.wait_for(|shown| shown.contains(WAITS).then_some(()))
        .await;
    yank.type_line("\u{3}");
    assert!(!yank.end().await.success);
    assert_ne!(add.address(&page).await, shown);
    approve(&two.door.world, &add, &ann()).await;
    let ended = add.end().await;
    assert!(ended.success, "{}", ended.shown);
    assert!(!two.store.kept().is_yanked);
    assert_eq!(two.store.kept().owners, ["bob"]);
}
