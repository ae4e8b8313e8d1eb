//! The log, at its most talkative, holds no secret, no code and no token.

use std::collections::BTreeSet;

use countersign_dev_idp::{Behaviour, Client, DevIdp, Endpoint, Signing, WireFault};
use countersign_server::{Clock, SystemClock};
use countersign_tests::{BrokerSetup, Browser, Installation, Page, Signer, wire};
use serde_json::{Value, json};

use super::{CHALLENGE, Site, VERIFIER};

/// Parameters of addresses and forms that nobody may read in a log.
const SENSITIVE: [&str; 7] = [
    "code",
    "state",
    "nonce",
    "id_token",
    "code_challenge",
    "code_verifier",
    "client_secret",
];

/// What a login had to show that must not be logged.
#[derive(Default)]
pub(super) struct Secrets(pub(super) BTreeSet<String>);

impl Secrets {
    pub(super) fn add(&mut self, text: &str) {
        assert!(text.len() >= 8, "`{text}` would be found by chance");
        self.0.insert(text.to_owned());
    }

    pub(super) fn see(&mut self, browser: &Browser, page: &Page) {
        let addresses = [Some(&page.url), page.location.as_ref()];
        let fields = page.form().map(|(_, fields)| fields).unwrap_or_default();
        let pairs: Vec<(String, String)> = addresses
            .into_iter()
            .flatten()
            .flat_map(|url| url.query_pairs().into_owned())
            .chain(fields)
            .collect();
        for (name, value) in pairs {
            if SENSITIVE.contains(&name.as_str()) {
                self.add(&value);
                // The part of a code or a state that is secret, without the attempt's name.
                if let Some((_, secret)) = value.split_once('.') {
                    self.add(secret);
                }
            }
        }
        for (name, value) in browser.cookies.values().flatten() {
            if name.starts_with("__Host-") {
                self.add(value);
            }
        }
    }

    pub(super) fn see_token_requests(&mut self, idp: &DevIdp) {
        for request in idp.control().token_requests() {
            for (name, value) in &request.params {
                if SENSITIVE.contains(&name.as_str()) {
                    self.add(value);
                }
            }
            if let Some(header) = &request.authorization {
                self.add(header);
            }
        }
    }
}

/// Ways to go wrong at a provider, for the log to tell.
fn troubles() -> Vec<fn(&mut Behaviour)> {
    vec![
        |_| {},
        |b| b.back.signing = Signing::ForeignKey,
        |b| b.front.signing = Signing::Corrupted,
        |b| {
            b.wire.insert(Endpoint::Token, WireFault::status(500));
        },
        |b| {
            b.wire.insert(Endpoint::Token, WireFault::status(404));
        },
        |b| {
            b.wire.insert(Endpoint::UserInfo, WireFault::status(404));
        },
        |b| {
            b.clients
                .iter_mut()
                .for_each(|client| client.secret = "another-secret".into());
        },
    ]
}

#[actix_web::test]
async fn no_secret_code_or_token_is_in_any_log() {
    let site = Site::new().await;
    let mut secrets = Secrets::default();
    for secret in [
        BrokerSetup::SECRET,
        Client::DEVELOPMENT_SECRET,
        VERIFIER,
        CHALLENGE,
    ] {
        secrets.add(secret);
    }
    let mut program = site.installation.start();
    for (idp, provider, accounts) in [
        (
            &site.oidc,
            "oidc",
            ["ann-mfa", "bob-password", "fritz-fails"],
        ),
        (
            &site.microsoft,
            "microsoft",
            ["mia-mfa", "omar-ignores", "dora-cancels"],
        ),
        (
            &site.github,
            "github",
            ["ann-mfa", "bob-password", "dana-cancels"],
        ),
    ] {
        for trouble in troubles() {
            idp.control().set(trouble);
            let page = site
                .sign_in(provider, accounts[0], |browser, page| {
                    secrets.see(browser, page);
                })
                .await;
            if let Some(code) = page.sent_with("code") {
                secrets.see(&Browser::new(), &page);
                redeem_well_and_badly(&site, &code, &mut secrets).await;
            }
            idp.control().reset();
        }
        for account in accounts {
            site.sign_in(provider, account, |browser, page| {
                secrets.see(browser, page);
            })
            .await;
        }
        secrets.see_token_requests(idp);
    }
    program.terminate();
    program.ended().await;
    let log = program.log();
    for told in [
        "permitted",
        "id-token-invalid",
        "provider-unavailable",
        "code-replayed",
        "provider-misconfigured",
        "mfa-absent",
    ] {
        assert!(log.contains(told), "the log does not tell of `{told}`");
    }
    assert!(
        secrets.0.len() > 100,
        "{} secrets were seen",
        secrets.0.len()
    );
    for secret in &secrets.0 {
        assert!(!log.contains(secret.as_str()), "`{secret}` is in the log");
    }
    check_files(&site.installation, &secrets);
}

/// A ticket is as good as a password until it is brought: neither a good one nor a bad one is in a log.
#[actix_web::test]
async fn no_ticket_is_in_any_log() {
    let signer = Signer::new("ES256");
    let site = Site::new().await;
    let client = "[client.legacy]\nname = \"Legacy\"\ngrant_types = [\"client_credentials\"]\njwks = { file = \"legacy.json\" }\nvouches = true\nresource = \"https://registry.example\"\n[client.gallery]";
    let policy = "[client.countersign]\ntier = \"browse\"\n[client.legacy]\ntier = \"browse\"\n[client.gallery]";
    let scopes = "scopes = [\"identities:write\", \"packages:manage\"]";
    let installation = &site.installation;
    installation.write("legacy.json", &signer.key_set().to_string());
    installation.replace("countersign.toml", "[client.gallery]", client);
    installation.replace("policy.toml", "[client.gallery]", policy);
    installation.replace("policy.toml", "scopes = [\"packages:manage\"]", scopes);
    let mut program = site.installation.start();
    let issuer = &site.installation.issuer;
    let now = SystemClock.now().as_second();
    let mut secrets = Secrets::default();
    for (name, expected) in [("ann", 303), ("a\nb", 403)] {
        let claims = json!({
            "iss": "legacy", "aud": issuer, "iat": now, "exp": now + 60, "jti": name.trim(),
            "registry_account": name,
        });
        let ticket = signer.sign(&json!({"typ": "account-ticket+jwt"}), &claims);
        for part in ticket.split('.') {
            secrets.add(part);
        }
        let target = format!("/account/claim?ticket={ticket}");
        let page = wire::get(issuer, &target, &[]).await;
        assert_eq!(page.status, expected, "{}", page.body);
        let again = wire::get(issuer, &target, &[]).await;
        secrets.see(&Browser::new(), &again);
        assert!(!again.body.contains(&ticket), "{}", again.body);
    }
    program.terminate();
    program.ended().await;
    let log = program.log();
    for told in ["ticket-used", "ticket-refused"] {
        assert!(log.contains(told), "the log does not tell of `{told}`");
    }
    for secret in &secrets.0 {
        assert!(!log.contains(secret.as_str()), "`{secret}` is in the log");
    }
    check_files(&site.installation, &secrets);
}

/// Redeems a code, shows its token, comes again with the code, and with a wrong secret.
async fn redeem_well_and_badly(site: &Site, code: &str, secrets: &mut Secrets) {
    let tokens = site.redeem(code).await;
    let issuer = &site.installation.issuer;
    for name in ["access_token", "id_token"] {
        let token = tokens.text(name);
        secrets.add(token);
        secrets.add(token.rsplit('.').next().expect("a signature"));
        wire::user_info(issuer, token).await;
    }
    wire::get(
        issuer,
        &format!("/userinfo?access_token={}", tokens.text("access_token")),
        &[],
    )
    .await;
    site.redeem(code).await;
    let body = format!(
        "grant_type=authorization_code&code={code}&client_id=gallery&client_secret=a-wrong-guess"
    );
    secrets.add("a-wrong-guess");
    wire::send("POST", issuer, "/token", &[], &body).await;
    wire::send("GET", issuer, &format!("/token?{body}"), &[], "").await;
}

/// Nor does the data directory keep what only the other side may know.
fn check_files(installation: &Installation, secrets: &Secrets) {
    for entry in std::fs::read_dir(installation.path("data")).expect("files") {
        let path = entry.expect("a file").path();
        let bytes = std::fs::read(&path).expect("a file");
        let text = String::from_utf8_lossy(&bytes);
        // The client's nonce and challenge are kept until its code is redeemed: they are no secrets.
        for secret in secrets
            .0
            .iter()
            .filter(|one| !["nonce-of-the-client", CHALLENGE].contains(&one.as_str()))
        {
            assert!(
                !text.contains(secret.as_str()),
                "`{secret}` is in {}",
                path.display()
            );
        }
    }
}

/// The lines of the log while it served.
fn lines(log: &str) -> Vec<Value> {
    let lines = log.lines().map(|line| {
        serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("no JSON: {line}"))
    });
    lines
        .skip_while(|line| line["message"] != json!("ready"))
        .skip(1)
        .take_while(|line| line["code"] != json!("stopping"))
        .collect()
}

#[actix_web::test]
async fn every_line_of_a_request_has_its_id_and_one_line_tells_how_it_ended() {
    let site = Site::new().await;
    let mut program = site.installation.start();
    let issuer = &site.installation.issuer;
    site.code().await;
    let refused = site.sign_in("github", "bob-password", |_, _| {}).await;
    let forged = [("x-request-id", "of-the-client")];
    let page = wire::get(issuer, "/nowhere?code=hunter22&x=1", &forged).await;
    let too_long = format!("/{}", "x".repeat(9000));
    let long = wire::get(issuer, &too_long, &[]).await;
    program.terminate();
    program.ended().await;
    let log = program.log();
    assert!(!log.contains("hunter22") && !log.contains("of-the-client"));
    let lines = lines(&log);
    // What is said at the start belongs to no request.
    let of_requests = lines
        .iter()
        .filter(|line| line["code"] != "addresses-unknown");
    for line in of_requests {
        let id = line["span"]["id"]
            .as_str()
            .unwrap_or_else(|| panic!("no id: {line}"));
        assert_eq!(line["request"], json!(id), "{line}");
    }
    for (page, method, path, status) in [
        (&refused, "GET", "/callback/github", 403),
        (&page, "GET", "/nowhere", 404),
        (&long, "GET", &too_long[..128], 414),
    ] {
        let id = &page.headers["x-request-id"];
        let mut answered = lines.iter().filter(|line| line["request"] == json!(id));
        let line = answered.next_back().expect("a line of this request");
        assert_eq!(line["code"], json!("answered"), "{line}");
        assert_eq!(line["method"], json!(method), "{line}");
        assert_eq!(line["path"], json!(path), "{line}");
        assert_eq!(line["status"], json!(status), "{line}");
        assert!(line["milliseconds"].is_u64(), "{line}");
        assert!(answered.all(|line| line["code"] != json!("answered")));
    }
    let id = &refused.headers["x-request-id"];
    assert!(refused.body.contains(id), "the page has another id");
}
