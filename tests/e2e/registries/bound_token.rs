//! What credential helpers get: a key for who signs in, and for a key a token that is good for one thing. And what such a token
//! is not good for: anything else, by any way.

use std::io::{Read, Write};

use aws_lc_rs::digest::{SHA256, digest};
use countersign_core::registry::Checksum;
use countersign_core::{AccountId, RegistryName};
use countersign_server::Clock;
use countersign_store::Session;
use countersign_tests::tools::Recorder;
use countersign_tests::{Browser, Login, Page, wire};
use serde_json::{Value, json};
use url::Url;

use super::allow;
use super::door::{Door, ann};
use crate::linking;

const NAME: &str = "crates-io";
const NEW: &str = "/api/v1/crates/new";

/// A registry of cargo's kind at our door, which writes down what reaches it whole.
struct Bed {
    door: Door,
    recorder: Recorder,
    /// Where a proxy asks about its requests.
    forward_auth: String,
}

/// What stands in an upload of cargo's.
fn upload(name: &str, version: &str, archive: &str) -> String {
    framed(
        &json!({"name": name, "vers": version, "deps": []}).to_string(),
        archive,
    )
}

/// Lengths whose bytes are ASCII, since the test's requests are text.
fn framed(object: &str, archive: &str) -> String {
    let length = |text: &str| {
        let bytes = u32::try_from(text.len()).expect("short").to_le_bytes();
        String::from_utf8(bytes.into()).expect("a length of ASCII bytes")
    };
    format!("{}{object}{}{archive}", length(object), length(archive))
}

fn sha256(archive: &str) -> String {
    let digest = digest(&SHA256, archive.as_bytes());
    let bytes = digest.as_ref().try_into().expect("32 bytes");
    Checksum(bytes).to_string()
}

impl Bed {
    async fn new() -> Self {
        let recorder = Recorder::start();
        let mut forward_auth = String::new();
        let door = Door::changed(NAME, &recorder.url, |setup| {
            let name = RegistryName::new(NAME).expect("a name");
            let with_door = setup.registries[&name].clone();
            for name in ["behind-a-proxy", "other"] {
                setup.be_asked_for(name, NAME, "http://127.0.0.1:1");
            }
            forward_auth = setup.be_asked_for(NAME, NAME, "http://127.0.0.1:1");
            setup.registries.insert(name, with_door);
        })
        .await;
        Self {
            door,
            recorder,
            forward_auth,
        }
    }

    async fn ask(&self, registry: &str, what: &str, key: &str, body: &Value) -> Page {
        let issuer = &self.door.world.broker.issuer;
        let bearer = format!("Bearer {key}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        let path = format!("/registry/{registry}/credential/{what}");
        wire::send("POST", issuer, &path, &headers, &body.to_string()).await
    }

    /// A token for publishing this archive as `hello 1.0.0`.
    async fn token(&self, key: &str, archive: &str) -> String {
        let told = self.ask(NAME, "token", key, &publish(archive)).await;
        assert_eq!(told.status, 200, "{}", told.body);
        let told = read(&told);
        assert_eq!(told["expires_in"], 300);
        assert_eq!(
            told["bound"],
            json!(["operation", "package", "version", "checksum"])
        );
        text(&told, "token")
    }

    /// Sends it to the door; what is answered, and how many uploads reached the registry whole.
    async fn send(&self, (method, target): (&str, &str), token: &str, body: &str) -> (Page, usize) {
        let headers = [("authorization", token)];
        let page = wire::send(method, &self.door.url, target, &headers, body).await;
        (page, self.recorder.take().len())
    }

    async fn put(&self, token: &str, body: &str) -> (Page, usize) {
        self.send(("PUT", NEW), token, body).await
    }

    #[track_caller]
    fn must_be_stopped((page, reached): &(Page, usize), status: u16, words: &str) {
        assert_eq!(
            (page.status, *reached),
            (status, 0),
            "{words}: {}",
            page.body
        );
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }

    /// What the address answers at which a helper asks, some seconds later.
    async fn done(&self, waiting: &Value) -> Page {
        self.door.world.broker.clock.advance(10);
        let done = Url::parse(&text(waiting, "done")).expect("an address");
        Browser::new().get(&done).await
    }

    async fn allow(&self, waiting: &Value, login: &Login) -> Page {
        let page = text(waiting, "verification_uri_complete");
        allow(&self.door.world, &mut Browser::new(), &page, login).await
    }
}

fn publish(archive: &str) -> Value {
    json!({"operation": "publish", "package": "hello", "version": "1.0.0", "checksum": sha256(archive)})
}

fn read(page: &Page) -> Value {
    serde_json::from_str(&page.body).unwrap_or_else(|_| panic!("JSON: {}", page.body))
}

fn text(value: &Value, member: &str) -> String {
    value[member]
        .as_str()
        .unwrap_or_else(|| panic!("{member}: {value}"))
        .to_owned()
}

#[track_caller]
fn assert_told(page: &Page, status: u16, code: &str, words: &str) {
    assert_eq!(page.status, status, "{}", page.body);
    let told = read(page);
    assert_eq!(told["code"], code, "{told}");
    assert!(text(&told, "message").contains(words), "{told}");
    assert!(told["request_id"].is_string(), "{told}");
}

#[actix_web::test]
async fn a_helper_gets_a_key_for_who_signs_in_once() {
    let bed = Bed::new().await;
    let waiting = read(&bed.ask(NAME, "sign-in", "", &json!({})).await);
    let issuer = &bed.door.world.broker.issuer;
    assert_eq!(
        text(&waiting, "verification_uri"),
        format!("{issuer}/device")
    );
    assert!(text(&waiting, "verification_uri_complete").ends_with(&text(&waiting, "user_code")));
    assert_eq!(text(&waiting, "registry"), format!("{}/", bed.door.url));
    assert_eq!(
        (&waiting["expires_in"], &waiting["interval"]),
        (&json!(600), &json!(5))
    );

    let pending = bed.done(&waiting).await;
    assert_eq!(
        (pending.status, pending.header("retry-after")),
        (202, Some("5"))
    );
    bed.allow(&waiting, &ann()).await;
    let done = bed.done(&waiting).await;
    assert_eq!(done.status, 200, "{}", done.body);
    let done = read(&done);
    assert_eq!(text(&done, "name"), "crates.io login");
    assert!(text(&done, "expires_at").ends_with('Z'), "{done}");
    let key = text(&done, "key");
    assert_told(
        &bed.done(&waiting).await,
        403,
        "sign-in-ended",
        "run the command again",
    );

    let token = bed.token(&key, "abc").await;
    let signed_out = bed.ask(NAME, "sign-out", &key, &json!({})).await;
    assert_eq!(signed_out.status, 204, "{}", signed_out.body);
    let again = bed.ask(NAME, "sign-out", &key, &json!({})).await;
    assert_told(&again, 401, "api-key-not-good", "has ended");
    let stopped = bed.put(&token, &upload("hello", "1.0.0", "abc")).await;
    Bed::must_be_stopped(&stopped, 401, "This API key has ended.");
}

#[actix_web::test]
async fn what_a_helper_asks_with_is_no_other_tools_and_ends_with_its_time() {
    let mut npm = String::new();
    let door = Door::changed(NAME, "http://127.0.0.1:1", |setup| {
        npm = setup.stand_before("npm", None);
    })
    .await;
    let broker = &door.world.broker;
    let begun = wire::send(
        "POST",
        &broker.issuer,
        "/registry/npm/credential/sign-in",
        &[],
        "",
    )
    .await;
    let waiting = read(&begun);
    let by_npm = wire::send("POST", &npm, "/-/v1/login", &[], "{}").await;
    let by_npm = read(&by_npm);
    for (page, login) in [
        (text(&waiting, "verification_uri_complete"), ann()),
        (text(&by_npm, "loginUrl"), ann()),
    ] {
        allow(&door.world, &mut Browser::new(), &page, &login).await;
    }
    broker.clock.advance(10);
    let secret = |address: String| {
        Url::parse(&address)
            .expect("an address")
            .query()
            .expect("a query")
            .to_owned()
    };
    let (ours, its) = (
        secret(text(&waiting, "done")),
        secret(text(&by_npm, "doneUrl")),
    );
    let at_npm = wire::get(&npm, &format!("/-/v1/done?{ours}"), &[]).await;
    assert_eq!(at_npm.status, 404, "{}", at_npm.body);
    for query in [
        its,
        ours.replace("s=", "s=x"),
        "s=".to_owned(),
        String::new(),
        format!("{ours}&{ours}"),
    ] {
        let target = format!("/registry/npm/credential/done?{query}");
        let page = wire::get(&broker.issuer, &target, &[]).await;
        assert_told(&page, 403, "sign-in-ended", "run the command again");
    }
    // Another registry's is none either; of who waited too long there is nothing.
    let elsewhere = format!("/registry/{NAME}/credential/done?{ours}");
    let shared = wire::get(&broker.issuer, &elsewhere, &[]).await;
    assert_told(&shared, 403, "sign-in-ended", "run the command again");
    let late = read(
        &wire::send(
            "POST",
            &broker.issuer,
            "/registry/npm/credential/sign-in",
            &[],
            "",
        )
        .await,
    );
    broker.clock.advance(601);
    let late = secret(text(&late, "done"));
    let late = wire::get(
        &broker.issuer,
        &format!("/registry/npm/credential/done?{late}"),
        &[],
    )
    .await;
    assert_told(&late, 403, "sign-in-ended", "run the command again");
}

#[actix_web::test]
async fn a_token_is_good_for_its_own_upload_and_no_other_reaches_the_registry_whole() {
    let bed = Bed::new().await;
    let key = bed.door.good_key().await;
    for archive in ["abc".to_owned(), String::new(), "x".repeat(0x0004_0404)] {
        let token = bed.token(&key, &archive).await;
        let (page, reached) = bed.put(&token, &upload("hello", "1.0.0", &archive)).await;
        assert_eq!((page.status, reached), (200, 1), "{}", page.body);
        let mut other = archive.clone();
        other.pop();
        other.push('!');
        let same = upload("hello", "1.0.0", &archive);
        for (body, words) in [
            (upload("hello", "1.0.0", &other), "other contents"),
            (upload("hullo", "1.0.0", &archive), "another package"),
            (upload("hello", "1.0.1", &archive), "another version"),
            (format!("{same}!"), "other contents"),
            (
                framed(
                    r#"{"name":"hello","Name":"hullo","vers":"1.0.0"}"#,
                    &archive,
                ),
                "can't be read",
            ),
            (archive.clone(), "This request is refused"),
            (String::new(), "can't be read"),
        ] {
            Bed::must_be_stopped(&bed.put(&token, &body).await, 403, words);
        }
        for (method, target) in [
            ("DELETE", "/api/v1/crates/hello/1.0.0/yank"),
            ("PUT", "/api/v1/crates/hello/owners"),
        ] {
            let stopped = bed.send((method, target), &token, "").await;
            Bed::must_be_stopped(&stopped, 403, "for something else");
        }
        bed.door.world.broker.clock.advance(301);
        Bed::must_be_stopped(&bed.put(&token, &same).await, 403, "its time is over");
    }
    let token = bed.token(&key, "abc").await;
    let compressed = [
        ("authorization", token.as_str()),
        ("content-encoding", "gzip"),
    ];
    let page = wire::send(
        "PUT",
        &bed.door.url,
        NEW,
        &compressed,
        &upload("hello", "1.0.0", "abc"),
    )
    .await;
    Bed::must_be_stopped(&(page, bed.recorder.take().len()), 403, "can't be read");
    // Nothing is read for who shows nothing.
    let page = wire::send("PUT", &bed.door.url, NEW, &[], "x").await;
    Bed::must_be_stopped(&(page, bed.recorder.take().len()), 401, "make an API key");
}

#[actix_web::test]
async fn a_token_for_what_the_path_names_is_for_that_package_and_version() {
    let bed = Bed::new().await;
    let key = bed.door.good_key().await;
    let wanted = json!({"operation": "yank", "package": "hello", "version": "1.0.0"});
    let told = read(&bed.ask(NAME, "token", &key, &wanted).await);
    assert_eq!(told["bound"], json!(["operation", "package", "version"]));
    let token = text(&told, "token");
    for (target, words) in [
        ("/api/v1/crates/hello/1.0.1/yank", "another version"),
        ("/api/v1/crates/hullo/1.0.0/yank", "another package"),
    ] {
        Bed::must_be_stopped(&bed.send(("DELETE", target), &token, "").await, 403, words);
    }
    let yank = ("DELETE", "/api/v1/crates/hello/1.0.0/yank");
    let (page, reached) = bed.send(yank, &token, "").await;
    assert_eq!((page.status, reached), (200, 1), "{}", page.body);
    Bed::must_be_stopped(
        &bed.put(&token, &upload("hello", "1.0.0", "abc")).await,
        403,
        "something else",
    );
}

#[actix_web::test]
async fn what_is_not_fresh_enough_is_confirmed_by_the_keys_owner_for_that_very_upload() {
    let bed = Bed::new().await;
    let key = bed.door.good_key().await;
    bed.door.demand();
    bed.door.world.broker.clock.advance(90 * 60);
    let body = upload("hello", "1.0.0", "abc");
    let stale = "Your sign-in here was verified too long ago for this.";
    Bed::must_be_stopped(&bed.put(&key, &body).await, 403, stale);

    let asked = bed.ask(NAME, "token", &key, &publish("abc")).await;
    assert_told(&asked, 401, "evidence-too-old", stale);
    let waiting = read(&asked);
    let page = Browser::new()
        .get(&Url::parse(&text(&waiting, "verification_uri_complete")).expect("an address"))
        .await;
    assert!(
        page.body.contains("<strong>publish hello 1.0.0</strong>"),
        "{}",
        page.body
    );
    bed.allow(&waiting, &Login::new("oidc", "pia-passkey"))
        .await;
    assert_told(
        &bed.done(&waiting).await,
        403,
        "other-account",
        "Somebody else signed in",
    );

    let waiting = read(&bed.ask(NAME, "token", &key, &publish("abc")).await);
    bed.allow(&waiting, &ann()).await;
    let done = bed.done(&waiting).await;
    assert_eq!(done.status, 200, "{}", done.body);
    let token = text(&read(&done), "token");
    Bed::must_be_stopped(
        &bed.put(&token, &upload("hello", "1.0.1", "abc")).await,
        403,
        "another version",
    );
    Bed::must_be_stopped(&bed.put(&key, &body).await, 403, stale);
    let (page, reached) = bed.put(&token, &body).await;
    assert_eq!((page.status, reached), (200, 1), "{}", page.body);
}

#[actix_web::test]
async fn a_key_for_some_packages_uploads_those() {
    let bed = Bed::new().await;
    let key = bed
        .door
        .key(&ann(), "tools", json!({"packages": ["hello", "alice-*"]}))
        .await;
    for name in ["hello", "alice-x"] {
        let (page, reached) = bed.put(&key, &upload(name, "1.0.0", "abc")).await;
        assert_eq!((page.status, reached), (200, 1), "{}", page.body);
    }
    let not_for = "This API key is not for this package.";
    for name in ["hullo", "alice_x", "Hello"] {
        Bed::must_be_stopped(
            &bed.put(&key, &upload(name, "1.0.0", "abc")).await,
            401,
            not_for,
        );
    }
    bed.token(&key, "abc").await;
    let wanted = json!({"operation": "publish", "package": "hullo"});
    assert_told(
        &bed.ask(NAME, "token", &key, &wanted).await,
        401,
        "api-key-not-good",
        not_for,
    );
    // Behind a proxy nobody sees which package it is.
    let unseen = bed
        .ask("behind-a-proxy", "token", &key, &publish("abc"))
        .await;
    assert_told(&unseen, 401, "api-key-not-good", not_for);
}

#[actix_web::test]
async fn where_a_proxy_asks_a_token_is_for_the_operation_and_one_for_an_upload_is_refused() {
    let bed = Bed::new().await;
    let key = bed.door.good_key().await;
    let ask = async |registry: &str, (method, target): (&str, &str), token: &str| {
        let path = format!("/forward-auth/{registry}");
        let headers = [
            ("x-original-method", method),
            ("x-original-uri", target),
            ("authorization", token),
        ];
        wire::get(&bed.forward_auth, &path, &headers).await
    };
    let told = read(
        &bed.ask("behind-a-proxy", "token", &key, &publish("abc"))
            .await,
    );
    assert_eq!(told["bound"], json!(["operation"]));
    let token = text(&told, "token");
    let put = ("PUT", NEW);
    let page = ask("behind-a-proxy", put, &token).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let page = ask("behind-a-proxy", put, &token).await;
    assert_eq!(page.status, 403);
    assert!(page.body.contains("is for one request"), "{}", page.body);
    for (registry, request) in [
        (
            "behind-a-proxy",
            ("DELETE", "/api/v1/crates/hello/1.0.0/yank"),
        ),
        ("other", put),
        (NAME, put),
    ] {
        let page = ask(registry, request, &token).await;
        assert_eq!(page.status, 403, "{registry}: {}", page.body);
    }
    let bound = bed.token(&key, "abc").await;
    let page = ask(NAME, put, &bound).await;
    assert_eq!(page.status, 403);
    assert!(
        page.body.contains("can't be seen here: use an API key"),
        "{}",
        page.body
    );
    // At the door that one is for another package, whatever it is.
    Bed::must_be_stopped(
        &bed.put(&token, &upload("hello", "1.0.0", "abc")).await,
        403,
        "not known here",
    );
}

#[actix_web::test]
async fn what_asks_for_a_token_is_a_key_of_this_registrys_and_says_what_for() {
    let bed = Bed::new().await;
    let key = bed.door.good_key().await;
    let of_another = bed.door.key(&ann(), "gallery", json!({})).await;
    let bound = bed.token(&key, "abc").await;
    for none in [
        "",
        "x",
        &of_another,
        &bound,
        "csk_0000000000000000000000000000000000000000",
        "csbt_x",
    ] {
        let page = bed.ask(NAME, "token", none, &publish("abc")).await;
        assert_told(
            &page,
            401,
            "api-key-not-good",
            "not known here, or has ended",
        );
        assert_eq!(page.header("www-authenticate"), Some("Bearer"));
    }
    for (wanted, words) in [
        (json!({"operation": "fly"}), "manage, owners, publish, yank"),
        (json!({}), "expected an object"),
        (json!([]), "expected an object"),
        (
            json!({"operation": "publish", "more": 1}),
            "expected an object",
        ),
        (
            json!({"operation": "publish", "checksum": "abc"}),
            "expected an object",
        ),
        (
            json!({"operation": "yank", "checksum": sha256("")}),
            "uploads an archive",
        ),
        (
            json!({"operation": "publish", "package": ""}),
            "1 to 256 characters",
        ),
        (
            json!({"operation": "publish", "package": "a b"}),
            "1 to 256 characters",
        ),
        (
            json!({"operation": "publish", "version": "1\u{1b}[2J"}),
            "1 to 256 characters",
        ),
        (
            json!({"operation": "publish", "package": "a".repeat(257)}),
            "1 to 256 characters",
        ),
    ] {
        assert_told(
            &bed.ask(NAME, "token", &key, &wanted).await,
            400,
            "invalid-request",
            words,
        );
    }
    let nowhere = bed.ask("nothing", "token", &key, &publish("abc")).await;
    assert_told(&nowhere, 404, "not-found", "no such registry");
}

/// A body that ends with the connection, whatever its length is said to be, would be whole to the registry before it is to us.
#[actix_web::test]
async fn an_upload_that_becomes_another_protocol_is_refused() {
    let bed = Bed::new().await;
    let key = bed.door.good_key().await;
    let token = bed.token(&key, "archive").await;
    let short = upload("hello", "1.0.0", "another").replace("another", "anothe");
    let host = bed.door.url.trim_start_matches("http://");
    for upgrade in ["websocket", "h2c, WebSocket", "x"] {
        let head = format!(
            "PUT {NEW} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\nConnection: Upgrade\r\n\
             Upgrade: {upgrade}\r\nContent-Length: {}\r\n\r\n{short}",
            short.len()
        );
        let mut stream = std::net::TcpStream::connect(host).expect("it listens");
        stream.write_all(head.as_bytes()).expect("it reads");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 403", "{upgrade}");
        assert_eq!(bed.recorder.take(), [], "{upgrade}");
    }
}

#[actix_web::test]
async fn of_an_upload_nothing_is_read_for_a_credential_that_is_nobodys() {
    let bed = Bed::new().await;
    // Its object is announced, and never comes.
    let announced = [0, 0, 8, 0].map(char::from).iter().collect::<String>();
    for (credential, status) in [
        ("x", 401),
        ("csbt_x", 403),
        ("csk_000000000000000000000000000000000000000000", 401),
    ] {
        let (page, reached) = bed.put(credential, &announced).await;
        let found = (page.status, reached);
        assert_eq!(found, (status, 0), "{credential}: {}", page.body);
        assert!(!page.body.contains("can't be read"), "{}", page.body);
    }
    let key = bed.door.good_key().await;
    let (page, _) = bed.put(&key, &announced).await;
    assert!(page.body.contains("can't be read"), "{}", page.body);
}

#[actix_web::test]
async fn a_token_for_an_upload_names_its_package() {
    let bed = Bed::new().await;
    let key = bed.door.good_key().await;
    for wanted in [
        json!({"operation": "publish"}),
        json!({"operation": "publish", "checksum": sha256("a")}),
        // So do those for what all requests name it by in the path.
        json!({"operation": "yank", "version": "1.0.0"}),
        json!({"operation": "owners"}),
    ] {
        let told = bed.ask(NAME, "token", &key, &wanted).await;
        let words = "is of one `package`, which is to be named";
        assert_told(&told, 400, "invalid-request", words);
    }
}

#[actix_web::test]
async fn a_token_that_names_no_package_is_for_one_request() {
    let bed = Bed::new().await;
    let scopes = json!({"scopes": ["packages:manage", "packages:unpublish"]});
    let key = bed.door.key(&ann(), "tools", scopes).await;
    let token = async |wanted: &Value| {
        let told = bed.ask(NAME, "token", &key, wanted).await;
        assert_eq!(told.status, 200, "{}", told.body);
        text(&read(&told), "token")
    };
    let manage = token(&json!({"operation": "manage"})).await;
    let me = ("GET", "/api/v1/me");
    // One that is for something else takes nothing of it.
    let yank = ("DELETE", "/api/v1/crates/hello/1.0.0/yank");
    Bed::must_be_stopped(&bed.send(yank, &manage, "").await, 403, "something else");
    let (page, reached) = bed.send(me, &manage, "").await;
    assert_eq!((page.status, reached), (200, 1), "{}", page.body);
    for again in [me, ("GET", "/api/v1/me/updates"), ("POST", "/anything")] {
        let sent = bed.send(again, &manage, "").await;
        Bed::must_be_stopped(&sent, 403, "used before, and is for one request");
    }
    // A package is what the other kind is held to: one command of cargo's makes several requests.
    let named = json!({"operation": "yank", "package": "hello", "version": "1.0.0"});
    let named = token(&named).await;
    for _ in 0..2 {
        assert_eq!(bed.send(yank, &named, "").await.0.status, 200);
    }
}

#[actix_web::test]
async fn what_a_tool_s_user_signed_in_for_ends_by_itself_within_minutes() {
    let bed = Bed::new().await;
    let (broker, key) = (&bed.door.world.broker, bed.door.good_key().await);
    bed.door.demand();
    broker.clock.advance(2 * 60 * 60);
    let waiting = read(&bed.ask(NAME, "token", &key, &publish("abc")).await);
    bed.allow(&waiting, &ann()).await;
    let token = text(&read(&bed.done(&waiting).await), "token");
    let (page, _) = bed.put(&token, &upload("hello", "1.0.0", "abc")).await;
    assert_eq!(page.status, 200, "{}", page.body);

    let open = async || {
        let (now, store) = (broker.clock.now(), broker.store());
        let sub = linking::sub(&linking::tokens(&bed.door.world, &ann()).await);
        let account = AccountId::new(&*sub).expect("an account id");
        let all = store.sessions_of(&account, None, now).await;
        let all = all.expect("a store").into_iter().map(|one| one.session);
        let begun = |session: &Session| now.duration_since(session.opened_at).as_mins() < 120;
        all.filter(begun).collect::<Vec<_>>()
    };
    let minutes = |session: &Session| {
        session
            .expires_at
            .duration_since(session.opened_at)
            .as_mins()
    };
    let short = open().await.into_iter().filter(|one| minutes(one) <= 15);
    assert_eq!(short.count(), 1, "that of the step-up");
    broker.clock.advance(15 * 60);
    let left = open().await;
    assert!(left.iter().all(|one| minutes(one) > 15), "{left:?}");
}
