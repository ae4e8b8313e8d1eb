//! Traces, as a collector of OpenTelemetry gets them: a login is one, and nobody is named in it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use countersign_dev_idp::{Client, DevIdp, entra};
use countersign_tests::redis::RedisServer;
use countersign_tests::{BrokerSetup, Browser, Page, Program, wire};
use serde_json::{Value, json};

use super::log::Secrets;
use super::{CHALLENGE, Site, VERIFIER};

/// What a browser or a client says of traces, which must not count.
const FORGED: (&str, &str) = (
    "traceparent",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
);

/// A collector that keeps what it gets.
struct Collector {
    address: String,
    got: Arc<Mutex<Vec<(HeaderPairs, String)>>>,
    server: ServerHandle,
}

type HeaderPairs = BTreeMap<String, String>;

impl Collector {
    /// `answer` is the status that it answers with.
    fn start(answer: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let got = Arc::<Mutex<Vec<_>>>::default();
        let keeping = Arc::clone(&got);
        let keep = move |request: HttpRequest, body: String| {
            let pairs = request.headers().iter();
            let text = |value: &actix_web::http::header::HeaderValue| {
                String::from_utf8_lossy(value.as_bytes()).into_owned()
            };
            let headers = pairs.map(|(name, value)| (name.to_string(), text(value)));
            let mut got = keeping.lock().unwrap_or_else(PoisonError::into_inner);
            got.push((headers.collect(), body));
            let status = actix_web::http::StatusCode::from_u16(answer).expect("a status");
            async move { HttpResponse::build(status).body("{}") }
        };
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::PayloadConfig::new(1 << 20))
                .route("/v1/traces", web::post().to(keep.clone()))
        })
        .workers(1)
        .disable_signals()
        .listen(listener)
        .expect("a server")
        .run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self {
            address: format!("http://{address}"),
            got,
            server: handle,
        }
    }

    fn got(&self) -> Vec<(HeaderPairs, String)> {
        let got = self.got.lock().unwrap_or_else(PoisonError::into_inner);
        got.clone()
    }

    fn spans(&self) -> Vec<Span> {
        let bodies = self.got().into_iter().map(|(_, body)| body);
        bodies
            .flat_map(|body| {
                let body: Value = serde_json::from_str(&body).expect("JSON");
                let spans = &body["resourceSpans"][0]["scopeSpans"][0]["spans"];
                spans.as_array().expect("spans").clone()
            })
            .map(Span)
            .collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.server.stop(false)); // the command is sent when it is made; nobody waits for its end
    }
}

#[derive(Debug, Clone)]
struct Span(Value);

impl Span {
    fn text(&self, member: &str) -> &str {
        self.0[member].as_str().unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.text("name")
    }

    fn trace(&self) -> &str {
        self.text("traceId")
    }

    fn attribute(&self, key: &str) -> Option<&Value> {
        let all = self.0["attributes"].as_array().expect("attributes");
        let found = all.iter().find(|one| one["key"] == json!(key))?;
        found["value"].as_object()?.values().next()
    }

    /// By its OTLP number: requests are served, and others called.
    fn is_request(&self) -> bool {
        self.0["kind"] == json!(2)
    }
}

async fn site(collector: &str, more: &str) -> Site {
    let site = Site::new().await;
    let section = format!("[traces]\nendpoint = \"{collector}\"\n{more}\n[log]");
    site.installation
        .replace("countersign.toml", "[log]", &section);
    site
}

async fn stop(mut program: Program) -> Program {
    program.terminate();
    let status = program.ended().await;
    assert_eq!(status.code(), Some(0), "{}", program.log());
    program
}

/// Signs in at Microsoft, where the second factor is missing at first: `/authorize`, two callbacks by form,
/// each with the GET that follows, between them the page of the step-up; then `/token`.
async fn sign_in_with_step_up(site: &Site, secrets: &mut Secrets) {
    let factor = |factor: entra::SecondFactor| {
        site.microsoft.control().set(|behaviour| {
            let mia = behaviour.entra.account_mut("mia-mfa").expect("Mia");
            mia.second_factor = factor;
        });
    };
    let mut browser = Browser::new();
    browser.forged.push(FORGED);
    factor(entra::SecondFactor::Lacking);
    let page = browser.get(&site.authorize_url("microsoft")).await;
    let seen = |browser: &Browser, page: &Page| secrets.see(browser, page);
    let page = site.go_on((&mut browser, page), "mia-mfa", seen).await;
    assert_eq!(page.reason_code(), Some("mfa-absent"), "{}", page.body);
    factor(entra::SecondFactor::Always);
    let mut back = page.primary_link().expect("a way back to the provider");
    back.query_pairs_mut().append_pair("account", "mia-mfa");
    let page = browser.get(&back).await;
    let seen = |browser: &Browser, page: &Page| secrets.see(browser, page);
    let page = site.go_on((&mut browser, page), "mia-mfa", seen).await;
    secrets.see(&browser, &page);
    let code = page.sent_with("code");
    redeem(site, &code.expect("a code"), secrets).await;
}

async fn redeem(site: &Site, code: &str, secrets: &mut Secrets) {
    let body = format!(
        "grant_type=authorization_code&code={code}&redirect_uri={}&code_verifier={VERIFIER}&client_id=gallery&client_secret={}",
        BrokerSetup::REDIRECT_URI,
        BrokerSetup::SECRET
    );
    let issuer = &site.installation.issuer;
    let page = wire::send("POST", issuer, "/token", &[FORGED], &body).await;
    let answer: Value = serde_json::from_str(&page.body).expect("JSON");
    for name in ["access_token", "id_token"] {
        let token = answer[name].as_str().expect("a token");
        secrets.add(token);
        wire::user_info(issuer, token).await;
    }
    let token = answer["id_token"].as_str().expect("a token");
    let claims = countersign_tests::payload(token);
    for personal in ["sub", "email", "sid", "jti"] {
        if let Some(text) = claims[personal].as_str() {
            secrets.add(text);
        }
    }
    assert!(claims["email"].is_string(), "{claims}");
}

/// The names of the requests of a trace, in the order in which they began.
fn requests(spans: &[Span], trace: &str) -> Vec<String> {
    let mut requests: Vec<&Span> = spans
        .iter()
        .filter(|span| span.is_request() && span.trace() == trace)
        .collect();
    requests.sort_by_key(|span| span.text("startTimeUnixNano").to_owned());
    requests.iter().map(|span| span.name().to_owned()).collect()
}

const LOGIN: [&str; 6] = [
    "GET /authorize",
    "POST /callback/{provider}",
    "GET /callback/{provider}/continue",
    "POST /callback/{provider}",
    "GET /callback/{provider}/continue",
    "POST /token",
];

#[actix_web::test]
async fn a_login_is_one_trace_across_its_requests_with_every_call_and_nothing_secret() {
    let collector = Collector::start(200);
    let headers = "headers = { x-api-key = { file = \"collector.secret\" } }";
    let site = site(&collector.address, headers).await;
    site.installation
        .write("collector.secret", "key-of-the-collector\n");
    let program = site.installation.start();
    let mut secrets = Secrets::default();
    for secret in [
        BrokerSetup::SECRET,
        Client::DEVELOPMENT_SECRET,
        VERIFIER,
        CHALLENGE,
    ] {
        secrets.add(secret);
    }
    for _ in 0..2 {
        sign_in_with_step_up(&site, &mut secrets).await;
    }
    let hostile = "/nowhere/hunter22?code=hunter22";
    wire::send("HUNTER22", &program.issuer, hostile, &[FORGED], "").await;
    secrets.see_token_requests(&site.microsoft);
    stop(program).await;

    let spans = collector.spans();
    let logins: BTreeSet<&str> = spans
        .iter()
        .filter(|span| span.name() == "GET /authorize")
        .map(Span::trace)
        .collect();
    assert_eq!(logins.len(), 2, "two logins are two traces");
    for trace in &logins {
        assert_eq!(requests(&spans, trace), LOGIN);
        check_tree(&spans, trace);
        check_calls(&spans, trace, &site.microsoft);
    }
    let unknown = spans.iter().find(|span| span.name() == "_OTHER");
    assert!(unknown.is_some_and(|span| !logins.contains(span.trace())));
    let all = collector.got();
    let text: String = all.iter().map(|(_, body)| body.as_str()).collect();
    for secret in &secrets.0 {
        assert!(!text.contains(secret.as_str()), "`{secret}` is in a trace");
    }
    for never in [
        "0af7651916cd43dd",
        "b7ad6b7169203331",
        "hunter22",
        "HUNTER22",
        "mia",
        "Mia",
        "@",
    ] {
        assert!(!text.contains(never), "`{never}` is in a trace");
    }
    for (headers, _) in all {
        assert_eq!(headers["x-api-key"], "key-of-the-collector");
    }
}

/// Every request after the first is inside the first, and every call inside its request and in its time.
fn check_tree(spans: &[Span], trace: &str) {
    let spans: Vec<&Span> = spans.iter().filter(|span| span.trace() == trace).collect();
    let by_id: BTreeMap<&str, &Span> = spans.iter().map(|one| (one.text("spanId"), *one)).collect();
    assert_eq!(by_id.len(), spans.len(), "an id that stands twice");
    for span in spans {
        let Some(outer) = by_id.get(span.text("parentSpanId")) else {
            assert_eq!(span.name(), LOGIN[0], "{span:?}");
            continue;
        };
        let outer_is_first = outer.name() == LOGIN[0];
        assert!(outer.is_request(), "{span:?}");
        assert!(!span.is_request() || outer_is_first, "{span:?}");
        let ends = |span: &Span| span.text("endTimeUnixNano").to_owned();
        assert!(span.is_request() || ends(span) <= ends(outer), "{span:?}");
    }
}

/// The calls to the provider and to the store are there, with what came of them.
fn check_calls(spans: &[Span], trace: &str, provider: &DevIdp) {
    let of = |inside: &str| -> Vec<&Span> {
        let requests: BTreeSet<&str> = spans
            .iter()
            .filter(|span| span.trace() == trace && span.name() == inside)
            .map(|span| span.text("spanId"))
            .collect();
        let is_inside = |span: &&Span| requests.contains(span.text("parentSpanId"));
        spans.iter().filter(is_inside).collect()
    };
    let called: Vec<&Span> = of("POST /callback/{provider}")
        .into_iter()
        .filter(|span| span.attribute("server.address").is_some())
        .collect();
    let redeemed = called.iter().filter(|span| span.name() == "POST");
    assert_eq!(redeemed.count(), 2, "{called:?}");
    for span in called {
        let host = url::Url::parse(provider.base_url()).expect("an address");
        assert_eq!(
            span.attribute("server.address"),
            Some(&json!(host.host_str()))
        );
        assert_eq!(
            span.attribute("http.response.status_code"),
            Some(&json!("200"))
        );
    }
    let stored = |inside: &str, operation: &str| {
        let found = of(inside).into_iter().filter(|one| {
            one.attribute("db.operation.name") == Some(&json!(operation)) && one.name() == operation
        });
        assert_eq!(found.count(), 1, "{operation} in {inside}");
    };
    stored("GET /callback/{provider}/continue", "open_session");
    stored("POST /token", "take_code");
    let token = spans.iter().find(|span| span.name() == "POST /token");
    let token = token.expect("a span");
    assert_eq!(token.attribute("http.route"), Some(&json!("/token")));
    assert_eq!(
        token.attribute("http.response.status_code"),
        Some(&json!("200"))
    );
    assert_eq!(
        token
            .attribute("request.id")
            .map(|id| id.as_str().expect("text").len()),
        Some(16)
    );
}

/// The code is kept where both replicas find it, and with it the trace.
#[actix_web::test]
async fn a_trace_goes_on_at_another_replica() {
    let collector = Collector::start(200);
    let redis = RedisServer::start();
    let site = site(&collector.address, "").await;
    site.installation
        .keep_in_redis(&format!("address = \"{}\"", redis.address));
    let (one, other) = (
        site.installation.start(),
        site.installation.start_replica(None),
    );
    let code = site.code().await;
    let body = format!(
        "grant_type=authorization_code&code={code}&redirect_uri={}&code_verifier={VERIFIER}&client_id=gallery&client_secret={}",
        BrokerSetup::REDIRECT_URI,
        BrokerSetup::SECRET
    );
    let page = wire::send("POST", &other.issuer, "/token", &[], &body).await;
    assert_eq!(page.status, 200, "{}", page.body);
    stop(one).await;
    stop(other).await;
    let spans = collector.spans();
    let first = spans.iter().find(|span| span.name() == "GET /authorize");
    let trace = first.expect("a span").trace();
    let expected = ["GET /authorize", "GET /callback/{provider}", "POST /token"];
    assert_eq!(requests(&spans, trace), expected);
}

#[actix_web::test]
async fn of_no_share_nothing_is_sent_and_logins_that_began_untraced_go_on() {
    let collector = Collector::start(200);
    let site = Site::new().await;
    let program = site.installation.start();
    let mut browser = Browser::new();
    let page = browser.get(&site.authorize_url("oidc")).await;
    program.kill();
    let section = format!(
        "[traces]\nendpoint = \"{}\"\nsample = 0.0\n[log]",
        collector.address
    );
    site.installation
        .replace("countersign.toml", "[log]", &section);
    let program = site.installation.start();
    let page = site.go_on((&mut browser, page), "ann-mfa", |_, _| {}).await;
    let code = page.sent_with("code").expect("a code");
    assert_eq!(site.redeem(&code).await.status, 200);
    stop(program).await;
    assert!(collector.got().is_empty());
}

/// Signs in, and answers how long that took.
async fn time_of_login(site: &Site) -> Duration {
    let began = tokio::time::Instant::now();
    let code = site.code().await;
    assert_eq!(site.redeem(&code).await.status, 200);
    began.elapsed()
}

#[actix_web::test]
async fn a_collector_that_is_gone_hangs_or_refuses_slows_nobody_and_is_told_of_once() {
    let refusing = Collector::start(503);
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let gone = format!("http://{}", closed.local_addr().expect("an address"));
    drop(closed);
    // It takes connections, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let hanging = format!("http://{}", silent.local_addr().expect("an address"));
    let bound = Duration::from_secs(8);
    for (name, address, told) in [
        ("gone", gone, "traces-failing"),
        ("hanging", hanging, "traces-lost"),
        ("refusing", refusing.address.clone(), "it answers 503"),
    ] {
        let site = site(&address, "").await;
        let program = site.installation.start();
        for _ in 0..3 {
            assert!(time_of_login(&site).await < bound, "{name}");
            tokio::time::sleep(Duration::from_millis(1100)).await;
        }
        let stopping = tokio::time::Instant::now();
        let program = stop(program).await;
        assert!(stopping.elapsed() < bound, "{name}");
        let log = program.log();
        assert_eq!(log.matches(told).count(), 1, "{name}: {log}");
        assert!(log.matches("traces-failing").count() <= 1, "{name}: {log}");
    }
}
