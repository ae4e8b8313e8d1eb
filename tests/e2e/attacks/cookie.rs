//! The cookie that binds an attempt to its browser: only what we sealed, where we put it.

use countersign_tests::{Browser, Login, World, wire};
use url::Url;

use super::{assert_refused, callback, has_code, sent_to_provider};

const HOST: &str = "127.0.0.1";

/// The one attempt cookie of this browser.
fn attempt_cookie(browser: &Browser) -> (String, String) {
    let (name, value) = browser.cookies[HOST]
        .iter()
        .find(|(name, _)| name.contains("attempt"))
        .expect("an attempt cookie");
    (name.clone(), value.clone())
}

/// Asks for a callback with this `Cookie` header.
async fn with_cookies(world: &World, answer: &Url, line: &str) -> countersign_tests::Page {
    let target = &answer.as_str()[world.broker.issuer.len()..];
    wire::get(&world.broker.issuer, target, &[("cookie", line)]).await
}

#[actix_web::test]
async fn attempt_cookies_are_bound_to_this_host_and_hidden_from_scripts() {
    let world = World::new().await;
    for (login, same_site) in [
        (Login::new("oidc", "ann-mfa"), "SameSite=Lax"),
        (Login::new("github", "ann-mfa"), "SameSite=Lax"),
        (Login::new("microsoft", "mia-mfa"), "SameSite=None"),
    ] {
        let page = Browser::new().get(&world.authorize_url(&login)).await;
        assert_eq!(page.set_cookies.len(), 1, "{login:?}");
        let cookie = &page.set_cookies[0];
        assert!(
            cookie.starts_with("__Host-countersign-attempt-"),
            "{cookie}"
        );
        for attribute in ["HttpOnly", "Secure", "Path=/", "Max-Age=3600", same_site] {
            assert!(
                cookie.split("; ").any(|one| one == attribute),
                "no {attribute}: {cookie}"
            );
        }
        assert!(!cookie.to_ascii_lowercase().contains("domain"), "{cookie}");
    }
}

#[actix_web::test]
async fn a_sealed_cookie_opens_only_as_it_was_sealed_and_where() {
    let world = World::new().await;
    let mut browser = Browser::new();
    let answer = callback(&world, &mut browser, &Login::new("oidc", "ann-mfa")).await;
    let (name, value) = attempt_cookie(&browser);
    let turned = |at: usize| {
        let mut bytes = value.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).expect("base64url")
    };
    // 12 bytes of nonce, the ciphertext, 16 bytes of tag.
    let mut tampered = vec![
        turned(0),
        turned(10),
        turned(20),
        turned(value.len() / 2),
        turned(value.len() - 20),
        turned(value.len() - 2),
        value[..value.len() - 4].to_owned(),
        value[..16].to_owned(),
        format!("{value}AAAA"),
        format!("{value}="),
        format!("\"{value}\""),
        format!("%{value}"),
        String::new(),
        "AAAA".to_owned(),
        "a".repeat(9_000),
        "{\"id\":\"x\"}".to_owned(),
    ];
    let mut other = Browser::new();
    sent_to_provider(&world, &mut other, &Login::new("oidc", "ann-mfa")).await;
    tampered.push(attempt_cookie(&other).1); // sealed for another name
    for bent in tampered {
        let page = with_cookies(&world, &answer, &format!("{name}={bent}")).await;
        assert_refused(&page, "attempt-missing", &bent);
    }
    let page = with_cookies(&world, &answer, &format!("{name}={value}")).await;
    assert!(has_code(&page), "as it was sealed: {}", page.body);
}

#[actix_web::test]
async fn a_cookie_that_a_neighbouring_host_may_have_set_is_not_adopted() {
    let world = World::new().await;
    let mut attacker = Browser::new();
    let answer = callback(&world, &mut attacker, &Login::new("oidc", "ann-mfa")).await;
    let (name, value) = attempt_cookie(&attacker);
    let bare = name.trim_start_matches("__Host-");
    // No browser guards the prefix `__Host-` in these names: a sibling may set them with a `Domain`.
    for planted in [
        format!("%5F%5FHost-{bare}"),
        format!("_%5FHost-{bare}"),
        format!("__Host%2D{bare}"),
        format!("\u{2000}{name}"),
        format!("\u{85}{name}"),
        format!("\u{a0}{name}"),
        format!("{name} "),
        format!("\t{name}"),
        format!("__host-{bare}"),
        bare.to_owned(),
    ] {
        let page = with_cookies(&world, &answer, &format!("a=b; {planted}={value}")).await;
        assert_refused(&page, "attempt-missing", &planted);
    }
    for (why, line) in [
        ("two of one name", format!("{name}={value}; {name}={value}")),
        ("a bad one first", format!("{name}=x; {name}={value}")),
        ("a bad one last", format!("{name}={value}; {name}=x")),
        ("an empty one too", format!("{name}=; {name}={value}")),
    ] {
        let page = with_cookies(&world, &answer, &line).await;
        assert_refused(&page, "attempt-missing", why);
    }
}

#[actix_web::test]
async fn cookies_of_others_do_not_keep_anybody_from_signing_in() {
    let world = World::new().await;
    let mut browser = Browser::new();
    let answer = callback(&world, &mut browser, &Login::new("oidc", "ann-mfa")).await;
    let (name, value) = attempt_cookie(&browser);
    let target = &answer.as_str()[world.broker.issuer.len()..];
    let mut request =
        format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncookie: ").into_bytes();
    request.extend_from_slice(b"no-equals; =no-name; bad=%ff%zz; raw=\xff\xfe; quoted=\"a; ");
    request.extend_from_slice(format!("{name}={value}; last=1\r\n\r\n").as_bytes());
    let page = wire::exchange(&world.broker.issuer, &request).await;
    assert!(has_code(&page), "{} {}", page.status, page.body);
}

#[actix_web::test]
async fn a_fifth_attempt_takes_the_oldest_away_and_no_other() {
    let world = World::new().await;
    let login = Login::new("oidc", "ann-mfa");
    let mut browser = Browser::new();
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(callback(&world, &mut browser, &login).await);
    }
    assert_eq!(browser.cookies[HOST].len(), 4);
    // The test's browser keeps cookies by name, a real one by age: the header is written by hand.
    let line: Vec<String> = answers
        .iter()
        .map(|answer| {
            let state = super::parameter(answer, "state");
            let id = state.split_once('.').expect("an id").0.to_owned();
            let name = format!("__Host-countersign-attempt-{id}");
            format!("{name}={}", browser.cookies[HOST][&name])
        })
        .collect();
    let authorize = world.authorize_url(&login);
    let target = &authorize.as_str()[world.broker.issuer.len()..];
    let page = wire::get(
        &world.broker.issuer,
        target,
        &[("cookie", &line.join("; "))],
    )
    .await;
    let oldest = line[0].split_once('=').expect("a cookie").0;
    let removed: Vec<&String> = page
        .set_cookies
        .iter()
        .filter(|one| one.contains("Max-Age=0"))
        .collect();
    assert_eq!(removed.len(), 1, "{:?}", page.set_cookies);
    assert!(removed[0].starts_with(oldest), "{removed:?}");
    assert_eq!(page.set_cookies.len(), 2);

    // With it goes its answer, where that waits for the person.
    let answer = oldest.replace("-attempt-", "-evidence-");
    let line = format!("{}; {answer}=x", line.join("; "));
    let page = wire::get(&world.broker.issuer, target, &[("cookie", &line)]).await;
    let removed = page.set_cookies.iter();
    let removed: Vec<&String> = removed.filter(|one| one.contains("Max-Age=0")).collect();
    assert_eq!(removed.len(), 2, "{removed:?}");
    assert!(removed[1].starts_with(&answer), "{removed:?}");
}
