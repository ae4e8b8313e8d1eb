//! Several servers on one Redis: whichever is asked, the answer is the same.

use std::time::Duration;

use countersign_tests::redis::{RedisCluster, RedisServer};
use countersign_tests::{BrokerSetup, Browser, Following, Page, Program, wire};
use countersign_verifier::{Error, Silence};
use serde_json::{Value, json};
use url::Url;

use crate::process::revocations::commands_end_connections;
use crate::process::{Site, VERIFIER};

struct Replicas {
    site: Site,
    servers: [Program; 2],
    redis: RedisServer,
}

impl Replicas {
    async fn start() -> Self {
        let redis = RedisServer::start();
        let site = Site::new().await;
        let grants = "[client.gallery]\ngrant_types = [\"authorization_code\", \"refresh_token\"]";
        site.installation
            .replace("countersign.toml", "[client.gallery]", grants);
        site.installation
            .keep_in_redis(&format!("address = \"{}\"", redis.address));
        let servers = [
            site.installation.start(),
            site.installation.start_replica(None),
        ];
        Self {
            site,
            servers,
            redis,
        }
    }

    async fn post(&self, server: usize, path: &str, form: &[(&str, &str)]) -> Page {
        let client = [
            ("client_id", "gallery"),
            ("client_secret", BrokerSetup::SECRET),
        ];
        let form: Vec<(String, String)> = form
            .iter()
            .chain(&client)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let url =
            Url::parse(&format!("{}{path}", self.servers[server].issuer)).expect("an address");
        Browser::new().post(&url, &form).await
    }

    async fn redeem(&self, server: usize, code: &str) -> (u16, Value) {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", BrokerSetup::REDIRECT_URI),
            ("code_verifier", VERIFIER),
        ];
        answer(&self.post(server, "/token", &form).await)
    }

    async fn refresh(&self, server: usize, token: &str) -> (u16, Value) {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        answer(&self.post(server, "/token", &form).await)
    }

    async fn is_active(&self, server: usize, token: &str) -> bool {
        let (_, body) = answer(&self.post(server, "/introspect", &[("token", token)]).await);
        body["active"] == json!(true)
    }
}

fn answer(page: &Page) -> (u16, Value) {
    let body = serde_json::from_str(&page.body).unwrap_or(json!(page.body));
    (page.status, body)
}

fn text<'a>(body: &'a Value, name: &str) -> &'a str {
    body[name]
        .as_str()
        .unwrap_or_else(|| panic!("no `{name}` in {body}"))
}

#[actix_web::test]
async fn what_one_server_begins_another_ends() {
    let all = Replicas::start().await;
    let code = all.site.code().await;
    let (status, tokens) = all.redeem(1, &code).await;
    assert_eq!(status, 200, "{tokens}");
    let first = text(&tokens, "refresh_token");
    let (status, next) = all.refresh(0, first).await;
    assert_eq!(status, 200, "{next}");
    let (status, late) = all.refresh(1, first).await;
    assert_eq!(status, 429, "spent at the other server: {late}");
    let access = text(&next, "access_token");
    assert!(all.is_active(0, access).await && all.is_active(1, access).await);

    all.post(0, "/revoke", &[("token", access)]).await;
    assert!(
        !all.is_active(1, access).await,
        "revoked at the other server"
    );
    let page = wire::user_info(&all.servers[1].issuer, access).await;
    assert_eq!(page.status, 401, "revoked at the other server");
    let refresh_token = text(&next, "refresh_token");
    all.post(1, "/revoke", &[("token", refresh_token)]).await;
    let (_, refused) = all.refresh(0, refresh_token).await;
    assert_eq!(
        refused["error"],
        json!("invalid_grant"),
        "its grant was ended at the other server"
    );

    let (_, replayed) = all.redeem(0, &code).await;
    assert_eq!(
        replayed["error"],
        json!("invalid_grant"),
        "spent at the other server"
    );
    let keys = async |server: &Program| wire::get(&server.issuer, "/jwks.json", &[]).await.body;
    assert_eq!(keys(&all.servers[0]).await, keys(&all.servers[1]).await);
}

#[actix_web::test]
async fn of_many_who_redeem_a_code_at_all_servers_one_gets_tokens() {
    let all = Replicas::start().await;
    let code = all.site.code().await;
    let redeem = |n: usize| all.redeem(n % 2, &code);
    let answers = futures_util::future::join_all((0..16).map(redeem)).await;
    let tokens = answers.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(tokens, 1, "{answers:?}");
}

#[actix_web::test]
async fn a_redis_that_goes_away_is_a_clear_answer_and_comes_back() {
    let mut all = Replicas::start().await;
    let code = all.site.code().await;
    all.redis.kill();
    let (status, body) = all.redeem(0, &code).await;
    assert_eq!(
        (status, &body["error"]),
        (503, &json!("temporarily_unavailable"))
    );
    let (status, _) = all.servers[0]
        .readyz(|body| body["status"] == json!("unready"))
        .await;
    assert_eq!(status, 503);
    let page = all.site.sign_in("oidc", "ann-mfa", |_, _| {}).await;
    assert_eq!(page.status, 503, "{}", page.body);
    all.redis.start_again();
    all.servers[0]
        .readyz(|body| body["status"] == json!("ready"))
        .await;
    let (status, body) = all.redeem(0, &code).await;
    assert_eq!(status, 200, "{body}");
}

#[actix_web::test]
async fn a_start_without_redis_says_where_it_is_looked_for() {
    let site = Site::new().await;
    site.installation.keep_in_redis("address = \"127.0.0.1:9\"");
    let output = site.installation.run_on_file("serve");
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    for expected in [
        "`store.redis` in",
        "127.0.0.1:9",
        "must be running and reachable",
    ] {
        assert!(told.contains(expected), "{told}");
    }
    let checked = site.installation.run_on_file("check");
    let told = String::from_utf8_lossy(&checked.stdout);
    assert!(told.contains("Redis at `127.0.0.1:9`"), "{told}");
}

#[actix_web::test]
async fn accounts_are_imported_into_redis_and_shown_from_it() {
    let redis = RedisServer::start();
    let site = Site::new().await;
    site.installation
        .keep_in_redis(&format!("address = \"{}\"", redis.address));
    let table = "account,created,provider,tenant,subject\nann,2024-05-06,github,,583231\nbob,2024-05-07,,,\n";
    site.installation.write("accounts.csv", table);
    let configuration = site
        .installation
        .path("countersign.toml")
        .display()
        .to_string();
    let file = site.installation.path("accounts.csv").display().to_string();
    let run = |words: &[&str]| {
        let mut all = vec!["accounts"];
        all.extend(words);
        all.extend(["--config", &configuration]);
        let output = site.installation.run(&all);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{told}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        told
    };
    assert!(run(&["import", &file, "--dry-run"]).contains("2 new"));
    assert!(run(&["import", &file]).contains("2 new"));
    assert!(run(&["import", &file]).contains("2 as they were"));
    assert!(run(&["show", "ann"]).contains("2024-05-06"));
}

/// Three servers on a cluster, where what ends and what tells of it are at different nodes. One is followed; the
/// end comes at each in turn, and each is killed as soon as it has said that it has ended something.
#[actix_web::test]
async fn what_ends_at_any_server_is_refused_by_who_follows_another_within_a_second() {
    let cluster = RedisCluster::start();
    let site = Site::new().await;
    let grants = "[client.gallery]\ngrant_types = [\"authorization_code\", \"refresh_token\"]";
    site.installation
        .replace("countersign.toml", "[client.gallery]", grants);
    let nodes: Vec<String> = cluster
        .nodes
        .iter()
        .map(|node| format!("\"{}\"", node.address))
        .collect();
    site.installation
        .keep_in_redis(&format!("cluster = [{}]", nodes.join(", ")));
    let followed = site.installation.start();
    let mut others = vec![
        site.installation.start_replica(None),
        site.installation.start_replica(None),
    ];
    let following = Following::start(&site.installation.issuer, Silence::Accept).await;
    let mut waits = Vec::new();
    for nth in 0..12 {
        let all: Vec<&str> = [&followed]
            .into_iter()
            .chain(&others)
            .map(|server| server.issuer.as_str())
            .collect();
        let at = all[nth % 3];
        let (status, tokens) = answer(&post(at, "/token", &redeem(&site.code().await)).await);
        assert_eq!(status, 200, "{tokens}");
        let token = text(&tokens, "access_token");
        assert_eq!(following.verdict(token).await, Ok(()));
        let name = ["access_token", "refresh_token"][nth % 2];
        let page = post(at, "/revoke", &pairs(&[("token", text(&tokens, name))])).await;
        assert_eq!(page.status, 200, "{}", page.body);
        waits.push(following.refuses(token).await);
    }
    waits.sort();
    println!("cluster, three servers: refused after {waits:?}");
    // One of them may have waited for a busy machine.
    assert!(waits[10] < Duration::from_secs(1), "{waits:?}");

    while let Some(doomed) = others.pop() {
        let form = redeem(&site.code().await);
        let (status, tokens) = answer(&post(&followed.issuer, "/token", &form).await);
        assert_eq!(status, 200, "{tokens}");
        let refresh_token = text(&tokens, "refresh_token");
        let page = post(
            &doomed.issuer,
            "/revoke",
            &pairs(&[("token", refresh_token)]),
        )
        .await;
        assert_eq!(page.status, 200, "{}", page.body);
        doomed.kill();
        let token = text(&tokens, "access_token");
        let took = following.refuses(token).await;
        // How soon is seen above: here it is that it comes, though the server that was asked is gone.
        assert!(took < Duration::from_secs(5), "{took:?}");
        let fresh = Following::start(&site.installation.issuer, Silence::Accept).await;
        assert_eq!(fresh.verdict(token).await, Err(Error::Revoked));
    }
}

/// The feed and the organisations are in different slots, and the commands are processes of their own.
#[actix_web::test]
async fn a_connection_that_a_command_ends_ends_tokens_at_every_server() {
    let replicas = Replicas::start().await;
    commands_end_connections(&replicas.site).await;
}

fn pairs(some: &[(&str, &str)]) -> Vec<(String, String)> {
    let client = [
        ("client_id", "gallery"),
        ("client_secret", BrokerSetup::SECRET),
    ];
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    client.iter().chain(some).map(owned).collect()
}

fn redeem(code: &str) -> Vec<(String, String)> {
    pairs(&[
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", BrokerSetup::REDIRECT_URI),
        ("code_verifier", VERIFIER),
    ])
}

async fn post(server: &str, path: &str, form: &[(String, String)]) -> Page {
    let url = Url::parse(&format!("{server}{path}")).expect("an address");
    Browser::new().post(&url, form).await
}
