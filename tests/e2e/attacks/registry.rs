//! A registry's door, and what proxies ask: both answer whatever the method is, and whatever is sent there lets nobody through.

use countersign_server::SecretDigest;
use countersign_tests::tools::Recorder;
use countersign_tests::{Page, World, wire};

use super::endpoint::{METHODS, assert_guarded};
use crate::registries::let_tools_in;

const SECRET: &str = "secret-of-the-proxy";

/// A registry `npm` behind a door, which a proxy asks about too, and another, `gate`, which only proxies ask about.
struct Bed {
    world: World,
    recorder: Recorder,
    /// The listener of the door.
    door: String,
    /// The listener for proxies.
    proxies: String,
}

impl Bed {
    async fn new() -> Self {
        let recorder = Recorder::start();
        let (mut door, mut proxies) = (String::new(), String::new());
        let world = World::with(|setup| {
            let_tools_in(setup);
            door = setup.stand_before("npm", Some(&recorder.url));
            let npm = setup.registries.get_mut("npm").expect("the registry");
            npm.proxy_secret = Some(SecretDigest::of(SECRET));
            proxies = setup.be_asked_for("gate", "npm", &door);
        })
        .await;
        Self {
            world,
            recorder,
            door,
            proxies,
        }
    }

    /// The doors: the listener, and below a path.
    fn doors(&self) -> [(&str, &str); 2] {
        [
            (&self.door, ""),
            (&self.world.broker.issuer, "/registry/npm"),
        ]
    }
}

/// What needs somebody's leave whatever the method, what is refused, and what could be read in two ways.
const STOPPED: [&str; 10] = [
    "/-/package/left-pad/access",
    "/-/package/@alice%2fhello/collaborators?next=https://evil.example/",
    "/-/user/org.couchdb.user:evil",
    "/-/npm/v1/tokens",
    "//evil.example/",
    "/%2f%2fevil.example/",
    "/x/../-/package/left-pad/access",
    "/-/package/left-pad;x/access",
    "/%00",
    "/%ff",
];

/// What is answered here, where it is asked for as it should be.
const OURS: [&str; 6] = [
    "/-/v1/login",
    "/-/v1/login?next=https://evil.example/",
    "/-/v1/done",
    "/-/v1/done?s=https://evil.example/&s=%ff",
    "/-/whoami",
    "/-/user/token/evil",
];

/// What nobody who means well shows.
const SHOWN: [&[(&str, &str)]; 8] = [
    &[],
    &[("authorization", "Bearer csk_evil")],
    &[("authorization", "Basic ZXZpbDpldmls")],
    &[("authorization", "Bearer a"), ("authorization", "Bearer b")],
    &[("cookie", "__Host-countersign-session=evil; session=evil")],
    &[("authorization", "Bearer a"), ("npm-otp", "csoc_evil.evil")],
    &[
        ("x-countersign-account", "acct_1"),
        ("x-countersign-user", "root"),
        ("x-countersign-assertion", "e30.e30.evil"),
    ],
    &[
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "host=evil.example"),
        ("x-forwarded-for", "127.0.0.1"),
    ],
];

#[track_caller]
fn assert_stopped(page: &Page, statuses: &[u16], why: &str) {
    assert!(statuses.contains(&page.status), "{why}");
    assert_eq!(page.location, None, "{why}");
    assert_eq!(page.set_cookies.len(), 0, "{why}");
    let told = page.headers.iter().filter(|(name, value)| {
        let is_told = name.starts_with("x-countersign-") || *name == "x-upstream-authorization";
        is_told && !value.is_empty()
    });
    assert_eq!(told.count(), 0, "{why}: {:?}", page.headers);
    assert_guarded(page, why);
}

#[actix_web::test]
async fn whatever_is_sent_to_a_door_reaches_no_registry() {
    let bed = Bed::new().await;
    let page = wire::get(&bed.door, "/left-pad", &[]).await;
    assert_eq!(page.status, 200, "what anybody may does: {}", page.body);
    assert_eq!(bed.recorder.take().len(), 1);
    for (base, prefix) in bed.doors() {
        for target in STOPPED {
            for method in METHODS {
                for shown in SHOWN {
                    let target = format!("{prefix}{target}");
                    let page = wire::send(method, base, &target, shown, "{}").await;
                    let why = format!("{method} {target} {shown:?}: {}", page.status);
                    assert_stopped(&page, &[400, 401, 403, 404], &why);
                    assert_eq!(bed.recorder.take(), [], "{why}");
                }
            }
        }
    }
}

#[actix_web::test]
async fn what_a_door_answers_itself_sends_nobody_elsewhere() {
    let bed = Bed::new().await;
    for (base, prefix) in bed.doors() {
        for target in OURS {
            for method in METHODS {
                for shown in SHOWN {
                    let target = format!("{prefix}{target}");
                    let page = wire::send(method, base, &target, shown, "{}").await;
                    let why = format!("{method} {target} {shown:?}: {}", page.status);
                    assert!((200..500).contains(&page.status), "{why}");
                    assert_eq!(page.location, None, "{why}");
                    assert!(!page.body.contains("evil"), "{why}: {}", page.body);
                }
            }
        }
    }
    // Nobody is let do anything; what reached it, anybody may ask for.
    for seen in bed.recorder.take() {
        let method = seen.line.split(' ').next();
        assert!(
            matches!(method, Some("GET" | "HEAD" | "OPTIONS")),
            "{seen:?}"
        );
    }
}

#[actix_web::test]
async fn a_door_that_is_nobody_s_opens_to_nobody() {
    let bed = Bed::new().await;
    let issuer = &bed.world.broker.issuer;
    for target in [
        "/registry/evil/left-pad",
        "/registry/gate/left-pad",
        "/registry//left-pad",
        "/registry/../npm/left-pad",
        "/registry/%6epm/left-pad",
        "/registry/npm",
        "/registry/npm/token",
        "/registry/npm/login",
        "/registry/npm/login/sign-in?provider=oidc",
        "/forward-auth/npm",
        "/forward-auth/evil",
        "/forward-auth/npm/left-pad",
    ] {
        for method in METHODS {
            let page = wire::send(method, issuer, target, &[], "").await;
            let why = format!("{method} {target}: {}", page.status);
            assert_stopped(&page, &[400, 401, 403, 404, 405], &why);
        }
    }
    assert_eq!(bed.recorder.take(), []);
}

/// How each kind of proxy says which request it holds: what stands behind the registry's name in the address, and headers.
fn said<'a>(method: &'a str, target: &'a str) -> [(String, Vec<(&'a str, &'a str)>); 3] {
    let by = |of_method, of_target| vec![(of_method, method), (of_target, target)];
    [
        (String::new(), by("x-original-method", "x-original-uri")),
        (String::new(), by("x-forwarded-method", "x-forwarded-uri")),
        (target.to_owned(), Vec::new()),
    ]
}

#[actix_web::test]
async fn whatever_a_proxy_asks_about_it_is_told_to_let_nobody_through() {
    let bed = Bed::new().await;
    let secret = ("x-countersign-proxy-secret", SECRET);
    let ways = [
        (&bed.proxies, "/forward-auth/gate", None),
        (&bed.world.broker.issuer, "/forward-auth/npm", Some(secret)),
    ];
    for (base, path, secret) in ways {
        for method in METHODS {
            for target in STOPPED {
                for (rest, said) in said(method, target) {
                    for shown in SHOWN {
                        let headers: Vec<_> =
                            said.iter().chain(&secret).chain(shown).copied().collect();
                        let asked = format!("{path}{rest}");
                        let page = wire::send(method, base, &asked, &headers, "").await;
                        let why = format!("{method} {asked} {headers:?}: {}", page.status);
                        assert_stopped(&page, &[401, 403], &why);
                    }
                }
            }
        }
        for (rest, said) in said("GET", "/left-pad") {
            let headers: Vec<_> = said.into_iter().chain(secret).collect();
            let page = wire::get(base, &format!("{path}{rest}"), &headers).await;
            assert_eq!(page.status, 200, "what anybody may: {headers:?}");
        }
    }
}

#[actix_web::test]
async fn who_does_not_show_the_proxy_s_secret_is_told_nothing() {
    let bed = Bed::new().await;
    let open = [
        ("x-original-method", "GET"),
        ("x-original-uri", "/left-pad"),
    ];
    let longer = format!("{SECRET}x");
    for given in ["", "evil", &SECRET[1..], &longer, "Secret-of-the-proxy"] {
        for (registry, secret) in [("npm", given), ("gate", SECRET), ("evil", SECRET)] {
            for method in METHODS {
                let given = ("x-countersign-proxy-secret", secret);
                let headers: Vec<_> = open.into_iter().chain([given]).collect();
                let path = format!("/forward-auth/{registry}");
                let page = wire::send(method, &bed.world.broker.issuer, &path, &headers, "").await;
                let why = format!("{method} {path}: {}", page.status);
                assert_stopped(&page, &[403, 404], &why);
            }
        }
    }
}

/// A request of which it is said twice what it is, or not what it is.
const UNSAID: [&[(&str, &str)]; 9] = [
    &[],
    &[("x-original-method", "GET")],
    &[("x-original-uri", "/left-pad")],
    &[("x-forwarded-uri", "/left-pad")],
    &[
        ("x-original-method", "GET"),
        ("x-forwarded-uri", "/left-pad"),
    ],
    &[
        ("x-original-method", "GET"),
        ("x-original-uri", "/left-pad"),
        ("x-forwarded-uri", "/left-pad"),
    ],
    &[("x-original-method", "GET"), ("x-original-uri", "left-pad")],
    &[
        ("x-original-method", "GET"),
        ("x-original-uri", "http://evil.example/left-pad"),
    ],
    &[("x-original-method", ""), ("x-original-uri", "/left-pad")],
];

#[actix_web::test]
async fn a_proxy_that_does_not_say_what_it_asks_about_is_told_to_let_nobody_through() {
    let bed = Bed::new().await;
    for said in UNSAID {
        for method in METHODS {
            let page = wire::send(method, &bed.proxies, "/forward-auth/gate", said, "").await;
            assert_stopped(
                &page,
                &[401, 403],
                &format!("{method} {said:?}: {}", page.status),
            );
        }
    }
    let said = [
        ("x-original-method", "GET"),
        ("x-original-uri", "/left-pad"),
    ];
    for method in METHODS {
        let page = wire::send(
            method,
            &bed.proxies,
            "/forward-auth/gate/left-pad",
            &said,
            "",
        )
        .await;
        assert_stopped(
            &page,
            &[401, 403],
            &format!("{method} twice: {}", page.status),
        );
    }
}
