//! Requests that no tool sends, and what of them reaches the registry: through nginx, Caddy, Traefik and Envoy, which ask
//! us, and through our own door. All are tried with the same tables.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use countersign_server::SecretDigest;
use countersign_tests::tools::{AskingProxy, Between, GateNginx, Recorder, Seen};
use countersign_tests::{BrokerSetup, Login, World, payload, wire};
use jiff::SignedDuration;

use super::door::end_keys_in_40_days;
use super::{key_of, let_tools_in};

/// The proxies, each by the name of the registry that it asks for.
const PROXIES: [&str; 4] = ["nginx", "caddy", "traefik", "envoy"];

/// A registry of npm's kind that five ways lead to.
struct Bed {
    world: World,
    recorder: Recorder,
    /// The ways, by name, and where each begins; the door is the first.
    ways: Vec<(&'static str, String)>,
    _nginx: GateNginx,
    _others: [AskingProxy; 3],
}

impl Bed {
    async fn new() -> Self {
        Self::changed(|_| {}).await
    }

    /// The same where something else is changed besides.
    async fn changed(change: impl FnOnce(&mut BrokerSetup)) -> Self {
        let recorder = Recorder::start();
        let urls = PROXIES.map(|_| GateNginx::address());
        let (mut door, mut forward_auth) = (String::new(), String::new());
        let world = World::with(|setup| {
            let_tools_in(setup);
            door = setup.stand_before("npm", Some(&recorder.url));
            for (name, url) in PROXIES.iter().zip(&urls) {
                setup.be_asked_for(name, "npm", url);
            }
            // Its name goes on where that of another ends.
            forward_auth = setup.be_asked_for("envoy-too", "npm", "http://npm.example");
            for registry in setup.registries.values_mut() {
                registry.profile.identity.user = Some("X-Remote-User".to_owned());
            }
            change(setup);
        })
        .await;
        let between = |which: usize| Between {
            url: &urls[which],
            registry: &recorder.url,
            forward_auth: &forward_auth,
            broker: &world.broker.issuer,
            name: PROXIES[which],
        };
        let nginx = GateNginx::start(&between(0));
        let others = [
            AskingProxy::caddy(&between(1)),
            AskingProxy::traefik(&between(2)),
            AskingProxy::envoy(&between(3)),
        ];
        let ways = std::iter::once(("door", door)).chain(PROXIES.into_iter().zip(urls));
        Self {
            world,
            recorder,
            ways: ways.collect(),
            _nginx: nginx,
            _others: others,
        }
    }

    fn door(&self) -> &str {
        &self.ways[0].1
    }

    /// Sends these very bytes to each way; the status of each, and what reached the registry.
    fn send(&self, head: &str, body: &str) -> Vec<(&'static str, u16, Vec<Seen>)> {
        self.ways
            .iter()
            .map(|(way, url)| {
                let host = url.trim_start_matches("http://");
                let text = format!("{head}\r\nHost: {host}\r\nConnection: close\r\n\r\n{body}");
                let answer = exchange(host, &text);
                let status = answer.get(9..12).and_then(|status| status.parse().ok());
                (*way, status.unwrap_or(0), self.recorder.take())
            })
            .collect()
    }
}

fn exchange(host: &str, text: &str) -> String {
    let mut stream = TcpStream::connect(host).expect("it listens");
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).expect("a time-out");
    // Who is refused may be cut off; what it was told counts.
    stream.write_all(text.as_bytes()).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Targets that reach the registry with nobody's credential, as they came.
const OPEN: [&str; 9] = [
    "GET /left-pad",
    "HEAD /left-pad",
    "GET /@alice%2fhello",
    "GET /@alice%2Fhello?write=true",
    "GET /@alice/hello/-/hello-1.0.0.tgz",
    "GET /left-pad/-/left-pad-1.0.0+build.tgz",
    "GET /a%20b",
    "GET /left-pad/?x=%2e%2e%2f&y=//",
    "OPTIONS /left-pad",
];

/// What reaches nothing: a gated request however it is disguised, and whatever could be read in two ways.
const STOPPED: [&str; 45] = [
    "PUT /left-pad",
    "DELETE /left-pad/-rev/1",
    "POST /left-pad",
    "PATCH /left-pad",
    "PROPFIND /left-pad",
    "put /left-pad",
    "TRACE /left-pad",
    "GET /-/package/left-pad/access",
    "HEAD /-/package/left-pad/access",
    "GET /-/package/@alice/hello/access",
    "GET /-/package/left-pad/access/",
    "GET /-/package/left-pad/Access",
    "GET /-/PACKAGE/left-pad/access",
    "GET /-/package/left-pad/acces%73",
    "GET /-/package/left-pad/%61ccess",
    "GET /%2d/package/left-pad/access",
    "GET /-%2fpackage%2fleft-pad%2faccess%2f",
    "GET //-/package/left-pad/access",
    "GET /-//package/left-pad/access",
    "GET /x/../-/package/left-pad/access",
    "GET /x/%2e%2e/-/package/left-pad/access",
    "GET /x/..%2f-/package/left-pad/access",
    "GET /./-/package/left-pad/access",
    "GET /-/package/left-pad/access;x",
    "GET /-/package/left-pad;x/access",
    "GET /-/package/left-pad/access%3fx",
    "GET /-/package/left-pad/access%23x",
    "GET /-/package/left-pad/access%00",
    "GET /-/package/left-pad/access%0a",
    "GET /-/package/left-pad\\access",
    "GET /-/package/left-pad%5caccess",
    "GET /a%252f..%252f-",
    "GET /a%2",
    "GET /a%zz",
    "GET /a%ff",
    "GET /%c0%af",
    "GET /a%2f%2fb",
    "GET *",
    "GET left-pad",
    "GET -too/left-pad",
    "CONNECT registry.example:443",
    "GET /-/user/org.couchdb.user:ann",
    "PUT /-/user/org.couchdb.user:ann",
    "GET /-/user/../../left-pad",
    "GET /-/user/%2e%2e/%2e%2e/left-pad",
];

#[actix_web::test]
async fn what_anybody_may_reaches_the_registry_to_the_byte() {
    let bed = Bed::new().await;
    for line in OPEN {
        for (way, status, seen) in bed.send(&format!("{line} HTTP/1.1"), "") {
            assert_eq!(status, 200, "{way}: {line}");
            assert_eq!(seen.len(), 1, "{way}: {line}: {seen:?}");
            let expected = match way {
                "traefik" => as_traefik_writes(line),
                _ => line,
            };
            assert_eq!(seen[0].line, expected, "{way}");
        }
    }
}

/// What Traefik makes of a target before it asks: the registry gets what we were asked about, but not to the byte.
fn as_traefik_writes(line: &str) -> &str {
    match line {
        "GET /@alice%2fhello" => "GET /@alice%2Fhello",
        other => other,
    }
}

#[actix_web::test]
async fn nothing_that_is_gated_or_ambiguous_reaches_the_registry() {
    let bed = Bed::new().await;
    for line in STOPPED {
        for (way, status, seen) in bed.send(&format!("{line} HTTP/1.1"), "") {
            // What is for another host Caddy answers with nothing, and Traefik with 501.
            let is_elsewhere = matches!(way, "caddy" | "traefik") && line.starts_with("CONNECT");
            assert!(
                status == 0 || is_elsewhere || (400..500).contains(&status),
                "{way}: {line}: {status}"
            );
            assert_eq!(seen, [], "{way}: {line}");
        }
    }
}

/// Headers that make something else of a request that anybody may make.
const BENT: [&str; 8] = [
    "X-Remote-User: admin",
    "X-HTTP-Method-Override: PUT",
    "X-HTTP-Method: DELETE",
    "X-Method-Override: PUT",
    "X-Original-URL: /-/package/left-pad/access",
    "X-Rewrite-URL: /-/package/left-pad/access",
    "Content-Length: 3\r\nContent-Length: 4",
    "Transfer-Encoding: xchunked",
];

/// The same, and who asks, as CGI and its like read them.
const FOLDED: [&str; 10] = [
    "x_remote_user: admin",
    "X_Countersign_User: alice",
    "x_countersign-account: acct_1",
    "X_HTTP_Method_Override: PUT",
    "X_Original_URL: /-/package/left-pad/access",
    "X.Countersign.User: alice",
    "x-remote~user: admin",
    "X_Forwarded_For: 192.0.2.6",
    "x-real_ip: 192.0.2.6",
    "X.Forwarded.Prefix: /evil",
];

#[actix_web::test]
async fn no_header_makes_another_request_of_one() {
    let bed = Bed::new().await;
    for header in BENT {
        for (way, status, seen) in bed.send(&format!("GET /left-pad HTTP/1.1\r\n{header}"), "") {
            assert!(
                status == 0 || (400..=501).contains(&status),
                "{way}: {header}: {status}"
            );
            assert_eq!(seen, [], "{way}: {header}");
        }
    }
    // nginx drops what it takes for somebody else's variables; we refuse it.
    for header in FOLDED {
        for (way, status, seen) in bed.send(&format!("GET /left-pad HTTP/1.1\r\n{header}"), "") {
            let (name, _) = header.split_once(':').expect("a header");
            let reached = |one: &Seen| !one.values(&name.to_ascii_lowercase()).is_empty();
            assert!(!seen.iter().any(reached), "{way}: {header}: {seen:?}");
            assert!(
                way == "nginx" || (400..500).contains(&status),
                "{header}: {status}"
            );
        }
    }
    // A proxy's own words about the request are no client's to say.
    let claims = "X-Original-Method: GET\r\nX-Original-URI: /left-pad";
    for (way, status, seen) in bed.send(&format!("PUT /left-pad HTTP/1.1\r\n{claims}"), "") {
        assert!((400..500).contains(&status), "{way}: {status}");
        assert_eq!(seen, [], "{way}");
    }
}

#[actix_web::test]
async fn a_body_has_one_length() {
    let bed = Bed::new().await;
    let head = "GET /left-pad HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked";
    for (way, status, seen) in bed.send(head, "0\r\n\r\n") {
        if matches!(way, "caddy" | "traefik") {
            // RFC 9112 6.3 (3): the length is overridden, and goes no further.
            assert_eq!((status, seen.len()), (200, 1), "{seen:?}");
            assert_eq!(seen[0].values("content-length"), [""; 0], "{seen:?}");
        } else {
            assert!((400..=501).contains(&status), "{way}: {status}");
            assert_eq!(seen, [], "{way}");
        }
    }
    let key = key_of(&bed.world, bed.door(), &Login::new("oidc", "ann-mfa")).await;
    let head = "PUT /left-pad HTTP/1.1\r\nTransfer-Encoding: chunked";
    let chunks = "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    for (way, status, seen) in bed.send(&format!("{head}\r\nAuthorization: Bearer {key}"), chunks) {
        assert_eq!((status, seen.len()), (200, 1), "{way}: {seen:?}");
        assert_eq!(seen[0].body, 11, "{way}");
    }
    for (way, status, seen) in bed.send(head, chunks) {
        assert_eq!(status, 401, "{way}");
        assert_eq!(seen, [], "{way}");
    }
}

#[actix_web::test]
async fn an_old_version_of_http_is_no_way_past_the_check() {
    let bed = Bed::new().await;
    for (way, status, seen) in bed.send("PUT /left-pad HTTP/1.0\r\nContent-Length: 5", "hello") {
        assert_eq!(status, if way == "envoy" { 426 } else { 401 }, "{way}");
        assert_eq!(seen, [], "{way}");
    }
}

#[actix_web::test]
async fn where_we_do_not_answer_nobody_gets_through() {
    let recorder = Recorder::start();
    let nobody = GateNginx::address();
    let urls = PROXIES.map(|_| GateNginx::address());
    let between = |which: usize| Between {
        url: &urls[which],
        registry: &recorder.url,
        forward_auth: &nobody,
        broker: &nobody,
        name: "npm",
    };
    let _running = (
        GateNginx::start(&between(0)),
        AskingProxy::caddy(&between(1)),
        AskingProxy::traefik(&between(2)),
        AskingProxy::envoy(&between(3)),
    );
    for url in &urls {
        let host = url.trim_start_matches("http://");
        for line in ["GET /left-pad", "PUT /left-pad", "GET /-/whoami"] {
            let text = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let answer = exchange(host, &text);
            assert!(answer.starts_with("HTTP/1.1 5"), "{url}: {line}: {answer}");
            assert_eq!(recorder.take(), [], "{url}: {line}");
        }
    }
}

#[actix_web::test]
async fn the_registry_is_told_who_asks_by_us_alone() {
    let bed = Bed::new().await;
    let forged = "X-Countersign-Account: acct_evil\r\nx-countersign-user: evil\r\nX-Countersign-Assertion: evil\r\n\
                  X-Countersign-Action: publish\r\nAuthorization: Bearer evil";
    let open = forged.rsplit_once("\r\n").expect("lines").0;
    for (way, status, seen) in bed.send(&format!("GET /left-pad HTTP/1.1\r\n{open}"), "") {
        assert_eq!(status, 200, "{way}");
        let told = seen[0]
            .headers
            .iter()
            .filter(|(name, value)| name.starts_with("x-countersign") && !value.is_empty());
        assert_eq!(told.count(), 0, "{way}: {seen:?}");
    }
    for (way, status, seen) in bed.send(&format!("PUT /left-pad HTTP/1.1\r\n{forged}"), "") {
        assert_eq!(status, 401, "{way}");
        assert_eq!(seen, [], "{way}");
    }
    let key = key_of(&bed.world, bed.door(), &Login::new("oidc", "ann-mfa")).await;
    let forged = forged.replace("Bearer evil", &format!("Bearer {key}"));
    for (way, status, seen) in bed.send(
        &format!("PUT /left-pad HTTP/1.1\r\n{forged}\r\nContent-Length: 5"),
        "hello",
    ) {
        assert_eq!(status, 200, "{way}");
        let seen = &seen[0];
        assert_eq!(seen.body, 5, "{way}");
        assert_eq!(
            seen.values("authorization"),
            Vec::<&str>::new(),
            "{way}: the key reached the registry"
        );
        let account = seen.values("x-countersign-account");
        assert!(
            matches!(account[..], [one] if one.starts_with("acct_") && one != "acct_evil"),
            "{way}: {account:?}"
        );
        assert_eq!(seen.values("x-countersign-action"), ["publish"], "{way}");
        let assertion = seen.values("x-countersign-assertion");
        let claims = payload(assertion.first().expect("an assertion"));
        assert_eq!(claims["sub"], account[0], "{way}");
        assert_eq!(claims["request"]["target"], "/left-pad", "{way}");
        assert_eq!(claims["acr"], "urn:countersign:mfa", "{way}");
    }
}

/// Registries limit and log by it.
#[actix_web::test]
async fn no_client_says_at_which_address_it_is() {
    let bed = Bed::new().await;
    let forged = "X-Forwarded-For: 192.0.2.6\r\nForwarded: for=192.0.2.6\r\nX-Real-IP: 192.0.2.6\r\nX-Forwarded-Host: evil.example\r\n\
                  X-Forwarded-Proto: evil\r\nX-Forwarded-Port: 666\r\nX-Forwarded-Prefix: /evil\r\n\
                  X-Forwarded-Server: evil\r\nX-Forwarded-Scheme: evil\r\nX-Forwarded-Ssl: evil\r\nX-Forwarded-User: evil\r\nX-Forwarded-Email: evil";
    for (way, status, seen) in bed.send(&format!("GET /left-pad HTTP/1.1\r\n{forged}"), "") {
        assert_eq!((status, seen.len()), (200, 1), "{way}: {seen:?}");
        for (name, value) in &seen[0].headers {
            let is_forged = ["192.0.2.6", "evil", "666"]
                .iter()
                .any(|one| value.contains(one));
            assert!(!is_forged, "{way}: {name}: {value}");
        }
        let addresses = seen[0].values("x-forwarded-for").join(",");
        let last = addresses.rsplit(',').next().map(str::trim);
        // Of an address of this machine we say nothing: without `trusted_proxies` it may be a proxy's.
        let expected = if way == "door" { "" } else { "127.0.0.1" };
        assert_eq!(last, Some(expected), "{way}");
    }
}

#[actix_web::test]
async fn no_client_takes_away_who_asks_or_goes_on_in_another_protocol() {
    let bed = Bed::new().await;
    let key = key_of(&bed.world, bed.door(), &Login::new("oidc", "ann-mfa")).await;
    let named = "Connection: X-Countersign-Account, X-Countersign-User, X-Countersign-Assertion";
    let head = format!("PUT /left-pad HTTP/1.1\r\nAuthorization: Bearer {key}\r\n{named}");
    for (way, status, seen) in bed.send(&format!("{head}\r\nContent-Length: 5"), "hello") {
        assert_eq!(status, 200, "{way}");
        for header in ["x-countersign-account", "x-countersign-assertion"] {
            assert_eq!(seen[0].values(header).len(), 1, "{way}: {header}");
        }
    }
    for protocol in ["websocket", "h2c"] {
        for named in ["", "\r\nConnection: Upgrade"] {
            let head = format!("GET /left-pad HTTP/1.1\r\nUpgrade: {protocol}{named}");
            for (way, status, seen) in bed.send(&head, "") {
                let is_refused = protocol == "websocket"
                    && (way == "door" || way == "envoy" && !named.is_empty());
                assert_eq!(status, if is_refused { 403 } else { 200 }, "{way}{named}");
                let reached = seen.iter().flat_map(|one| one.values("upgrade"));
                assert_eq!(reached.count(), 0, "{way}: {protocol}{named}");
            }
        }
    }
}

/// What Traefik can't hand on, and what Caddy's sample does by a line that it has as a comment, docs/registries/README.md says.
#[actix_web::test]
async fn what_is_for_the_registry_and_what_is_for_the_tool_each_is_handed() {
    const SECRET: &str = "Basic Y291bnRlcnNpZ246cw==";
    let bed = Bed::changed(|setup| {
        for registry in setup.registries.values_mut() {
            registry.upstream_authorization = Some(SECRET.into());
            // It lives longer than until all of them end.
            registry.profile.sign_in.key_lifetime = SignedDuration::from_hours(60 * 24);
        }
    })
    .await;
    let key = key_of(&bed.world, bed.door(), &Login::new("oidc", "ann-mfa")).await;
    end_keys_in_40_days(&bed.world.broker);
    for (way, site) in &bed.ways {
        let host = site.trim_start_matches("http://");
        let send = |head: &str| {
            let end = format!("Host: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let answer = exchange(host, &format!("{head}\r\n{end}"));
            assert!(answer.starts_with("HTTP/1.1 200"), "{way}: {answer}");
            let reached = bed.recorder.take();
            let shown = reached[0].values("authorization");
            let shown: Vec<String> = shown.into_iter().map(str::to_owned).collect();
            (
                answer
                    .to_ascii_lowercase()
                    .contains("npm-notice: your api key"),
                shown,
            )
        };
        let put = format!("PUT /left-pad HTTP/1.1\r\nAuthorization: Bearer {key}");
        let known = if matches!(*way, "caddy" | "traefik") {
            vec![]
        } else {
            vec![SECRET.to_owned()]
        };
        assert_eq!(send(&put), (*way != "traefik", known), "{way}");
        // To strangers the registry shows what it shows to strangers.
        assert_eq!(send("GET /left-pad HTTP/1.1"), (false, vec![]), "{way}");
    }
}

/// Where there is nothing to be told, nobody is told anything.
#[actix_web::test]
async fn a_tool_is_shown_no_notice_where_there_is_none() {
    let bed = Bed::new().await;
    let key = key_of(&bed.world, bed.door(), &Login::new("oidc", "ann-mfa")).await;
    for (method, target) in [("GET", "/left-pad"), ("PUT", "/left-pad")] {
        for (_, site) in &bed.ways {
            let host = site.trim_start_matches("http://");
            let answer = exchange(
                host,
                &format!(
                    "{method} {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\
                     Content-Length: 0\r\nConnection: close\r\n\r\n"
                ),
            );
            assert!(answer.starts_with("HTTP/1.1 200"), "{site}: {answer}");
            assert!(
                !answer.to_ascii_lowercase().contains("npm-notice"),
                "{site}: {answer}"
            );
        }
    }
}

#[actix_web::test]
async fn a_large_upload_is_passed_on_while_it_comes_and_a_refused_one_hears_why() {
    let bed = Bed::new().await;
    let key = key_of(&bed.world, bed.door(), &Login::new("oidc", "ann-mfa")).await;
    let body = "x".repeat(8 * 1024 * 1024);
    let length = body.len();
    for expect in ["", "\r\nExpect: 100-continue"] {
        let head = format!("PUT /left-pad HTTP/1.1\r\nContent-Length: {length}{expect}");
        for (way, status, seen) in
            bed.send(&format!("{head}\r\nAuthorization: Bearer {key}"), &body)
        {
            assert!(matches!(status, 100 | 200), "{way}{expect}: {status}");
            assert_eq!(seen[0].body, length as u64, "{way}{expect}");
        }
        for (way, status, seen) in bed.send(&head, &body) {
            assert!(matches!(status, 100 | 401), "{way}{expect}: {status}");
            assert_eq!(seen, [], "{way}{expect}");
        }
    }
}

/// A proxy takes anything but 2xx, 401 and 403 for a fault of ours.
#[actix_web::test]
async fn who_may_not_ask_for_a_registry_is_answered_403_whatever_is_wrong() {
    let (secret, mut listener) = ("of-the-proxy", String::new());
    let world = World::with(|setup| {
        let_tools_in(setup);
        setup.be_asked_for("tools", "npm", "http://npm.example");
        listener = setup.be_asked_for("closed", "npm", "http://npm.example");
        let tools = setup.registries.values_mut();
        for one in tools.filter(|one| one.name.as_str() == "tools") {
            one.proxy_secret = Some(SecretDigest::of(secret));
        }
    })
    .await;
    let asked = [
        ("x-original-method", "GET"),
        ("x-original-uri", "/left-pad"),
    ];
    let ask = async |site: &str, name: &str, shown: Option<&str>| {
        let shown = shown.map(|shown| ("x-countersign-proxy-secret", shown));
        let headers: Vec<_> = asked.into_iter().chain(shown).collect();
        let page = wire::get(site, &format!("/forward-auth/{name}"), &headers).await;
        page.status
    };
    let issuer = &world.broker.issuer;
    assert_eq!(ask(issuer, "tools", Some(secret)).await, 200);
    assert_eq!(ask(&listener, "tools", None).await, 200);
    for (site, name, shown) in [
        (issuer, "tools", None),
        (issuer, "tools", Some("")),
        (issuer, "tools", Some("of-the-prox")),
        (issuer, "tools", Some("of-the-proxyy")),
        (issuer, "closed", Some(secret)),
        (issuer, "nobody", Some(secret)),
        (&listener, "nobody", None),
        (&listener, "nobody", Some(secret)),
    ] {
        assert_eq!(ask(site, name, shown).await, 403, "{site} {name} {shown:?}");
    }
}
