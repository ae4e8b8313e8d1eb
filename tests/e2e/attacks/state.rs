//! The answer of a provider counts in the browser that asked, at its own callback, once.

use countersign_dev_idp::{Document, Edit, IssParameter};
use countersign_tests::{Browser, Login, Page, World};
use tokio::task::JoinSet;
use url::Url;

use super::{assert_refused, callback, has_code, parameter, sent_to_provider, with_parameter};

/// Lets many browsers ask for the same address at once.
async fn all_at_once(browser: &Browser, url: &Url, times: usize) -> Vec<Page> {
    let mut race = JoinSet::new();
    for _ in 0..times {
        let (mut browser, url) = (browser.clone(), url.clone());
        race.spawn(async move { browser.get(&url).await });
    }
    race.join_all().await
}

#[actix_web::test]
async fn an_answer_counts_only_in_the_browser_that_asked() {
    let world = World::new().await;
    let login = Login::new("oidc", "ann-mfa");
    let (mut victim, mut attacker) = (Browser::new(), Browser::new());
    let answer = callback(&world, &mut attacker, &login).await;
    assert_refused(
        &victim.get(&answer).await,
        "attempt-missing",
        "a browser without attempts",
    );
    let own = callback(&world, &mut victim, &login).await;
    assert_refused(
        &victim.get(&answer).await,
        "attempt-missing",
        "a browser with another attempt",
    );
    let page = attacker.get(&answer).await;
    assert!(has_code(&page), "nothing of that spent the attempt");
    let unused = callback(&world, &mut Browser::new(), &login).await;
    let crossed = with_parameter(&own, "code", Some(&parameter(&unused, "code")));
    let page = victim.get(&crossed).await;
    assert_refused(&page, "provider-refused", "another one's code");
}

#[actix_web::test]
async fn a_state_that_was_made_up_or_bent_is_refused() {
    let world = World::new().await;
    let mut browser = Browser::new();
    let login = Login::new("oidc", "ann-mfa");
    let other = parameter(&callback(&world, &mut browser, &login).await, "state");
    let answer = callback(&world, &mut browser, &login).await;
    let state = parameter(&answer, "state");
    let (id, secret) = state.split_once('.').expect("an id and a secret");
    let (other_id, other_secret) = other.split_once('.').expect("an id and a secret");
    let bent = [
        String::new(),
        ".".to_owned(),
        id.to_owned(),
        format!("{id}."),
        format!(".{secret}"),
        format!("{id}.{secret}A"),
        format!("{id}.{}", &secret[1..]),
        format!("{id}.{other_secret}"),
        format!("{other_id}.{secret}"),
        format!("{}.{secret}", id.to_uppercase()),
        format!(" {state}"),
        format!("{state}\0"),
        format!("{state}\r\nset-cookie: a=b"),
        format!("../{state}"),
        "' OR 1=1 --.x".to_owned(),
        "a".repeat(6_000),
        "\u{1F512}.\u{202E}".to_owned(),
    ];
    for state in bent {
        let page = browser
            .get(&with_parameter(&answer, "state", Some(&state)))
            .await;
        assert_refused(&page, "attempt-missing", &state);
    }
    let without = with_parameter(&answer, "state", None);
    assert_refused(&browser.get(&without).await, "attempt-missing", "no state");
    assert!(
        has_code(&browser.get(&answer).await),
        "the true state still counts"
    );
}

#[actix_web::test]
async fn a_parameter_that_stands_twice_makes_the_answer_void() {
    let world = World::new().await;
    let mut browser = Browser::new();
    let answer = callback(&world, &mut browser, &Login::new("oidc", "ann-mfa")).await;
    for name in ["state", "code", "iss", "unknown"] {
        for value in [
            "other",
            &answer.query_pairs().next().expect("one").1.clone(),
        ] {
            let mut twice = answer.clone();
            twice
                .query_pairs_mut()
                .append_pair(name, value)
                .append_pair(name, value);
            assert_refused(&browser.get(&twice).await, "invalid-request", name);
        }
    }
    let untouched = world.oidc.control().token_requests();
    assert!(untouched.is_empty(), "a void answer was redeemed");
}

#[actix_web::test]
async fn an_answer_is_taken_at_the_callback_of_its_own_provider_only() {
    let world = World::new().await;
    let mut browser = Browser::new();
    let answer = callback(&world, &mut browser, &Login::new("oidc", "ann-mfa")).await;
    for (other, code) in [
        ("github", "attempt-missing"),
        ("contoso", "attempt-missing"),
        ("microsoft", "attempt-missing"),
        ("gone", "unknown-provider"),
        ("OIDC", "unknown-provider"),
        ("oidc%2f", "unknown-provider"),
        ("..%2foidc", "unknown-provider"),
    ] {
        let text = answer
            .as_str()
            .replace("/callback/oidc", &format!("/callback/{other}"));
        let page = browser.get(&Url::parse(&text).expect("an address")).await;
        assert_refused(&page, code, other);
    }
    for idp in [&world.oidc, &world.github, &world.entra] {
        let asked = idp.control().token_requests();
        assert!(
            asked.is_empty(),
            "a code went to a token endpoint: {asked:?}"
        );
    }
    // A GET at a provider that was told to answer by form_post.
    let login = Login::new("microsoft", "mia-mfa");
    let state = parameter(
        &sent_to_provider(&world, &mut browser, &login).await,
        "state",
    );
    let forged = format!(
        "{}/callback/microsoft?code=x&state={state}",
        world.broker.issuer
    );
    let page = browser.get(&Url::parse(&forged).expect("an address")).await;
    assert_refused(&page, "invalid-request", "by another channel");
}

#[actix_web::test]
async fn an_answer_that_names_another_issuer_is_refused_before_its_code_goes_anywhere() {
    let world = World::new().await;
    let check = async |login: &Login, expected: &str, why: &str| {
        let outcome = world.sign_in(&mut Browser::new(), login).await;
        assert_eq!(outcome.summary(), expected, "{why}: {login:?}");
    };
    let oidc = Login::new("oidc", "ann-mfa");
    let other = format!("{}/login/oauth", world.github.base_url());
    for wrong in [
        other.as_str(),
        "https://evil.example",
        "",
        &format!("{}/", world.oidc.base_url()),
    ] {
        let edit = Edit::set("iss", wrong);
        world.oidc.control().set(|b| {
            b.edits.insert(Document::Callback, vec![edit]);
        });
        check(&oidc, "refused: provider-answer-invalid", wrong).await;
        world.oidc.control().reset();
    }
    world
        .oidc
        .control()
        .set(|b| b.oidc.iss_parameter = IssParameter::Withheld);
    check(
        &oidc,
        "refused: provider-answer-invalid",
        "promised and not sent",
    )
    .await;
    world.oidc.control().reset();
    for (idp, login) in [
        (&world.github, Login::new("github", "ann-mfa")),
        (&world.entra, Login::new("contoso", "ann-mfa")),
        (&world.entra, Login::new("entra", "ann-mfa")),
        (&world.entra, Login::new("microsoft", "mia-mfa")),
    ] {
        let edit = Edit::set("iss", world.oidc.base_url());
        idp.control().set(|b| {
            b.edits.insert(Document::Callback, vec![edit]);
        });
        check(
            &login,
            "refused: provider-answer-invalid",
            "iss of the other",
        )
        .await;
        idp.control().reset();
    }
    for idp in [&world.oidc, &world.github, &world.entra] {
        assert!(
            idp.control().token_requests().is_empty(),
            "a code was redeemed"
        );
    }
}

#[actix_web::test]
async fn a_callback_that_is_replayed_gives_no_second_code() {
    let world = World::new().await;
    for (provider, account) in [("oidc", "ann-mfa"), ("github", "ann-mfa")] {
        let mut browser = Browser::new();
        let answer = callback(&world, &mut browser, &Login::new(provider, account)).await;
        let mut keeper = browser.clone(); // a browser that keeps its cookies, whatever it is told
        assert!(has_code(&browser.get(&answer).await));
        assert_refused(
            &browser.get(&answer).await,
            "attempt-missing",
            "the same browser",
        );
        assert_refused(
            &keeper.get(&answer).await,
            "provider-refused",
            "one that kept its cookies",
        );
    }
}

#[actix_web::test]
async fn of_many_callbacks_at_once_exactly_one_gives_a_code() {
    let world = World::new().await;
    let mut browser = Browser::new();
    let answer = callback(&world, &mut browser, &Login::new("oidc", "ann-mfa")).await;
    let pages = all_at_once(&browser, &answer, 12).await;
    assert_eq!(
        pages.iter().filter(|page| has_code(page)).count(),
        1,
        "by GET"
    );
    let next = posted(&world, &mut browser).await;
    let pages = all_at_once(&browser, &next, 12).await;
    assert_eq!(
        pages.iter().filter(|page| has_code(page)).count(),
        1,
        "after a form_post"
    );
    for page in pages.iter().filter(|page| !has_code(page)) {
        assert_refused(page, "attempt-spent", "the slower ones");
    }
}

/// Signs in by `form_post`, up to the GET that finishes it.
async fn posted(world: &World, browser: &mut Browser) -> Url {
    let url = sent_to_provider(world, browser, &Login::new("microsoft", "mia-mfa")).await;
    let page = browser.get(&url).await;
    let (to, fields) = page.form().expect("a form");
    let page = browser.post(&to, &fields).await;
    page.location.unwrap_or_else(|| panic!("{}", page.body))
}

#[actix_web::test]
async fn a_verified_answer_waits_five_minutes_and_serves_its_own_attempt_only() {
    let world = World::new().await;
    let mut browser = Browser::new();
    let first = posted(&world, &mut browser).await;
    let second = posted(&world, &mut browser).await;
    let jar = browser.cookies.get_mut("127.0.0.1").expect("cookies");
    let evidence: Vec<String> = jar
        .keys()
        .filter(|name| name.contains("evidence"))
        .cloned()
        .collect();
    assert_eq!(evidence.len(), 2);
    let (one, other) = (jar[&evidence[0]].clone(), jar[&evidence[1]].clone());
    jar.insert(evidence[0].clone(), other);
    jar.insert(evidence[1].clone(), one);
    let mut crossed = browser.clone();
    assert_refused(
        &crossed.get(&first).await,
        "attempt-missing",
        "evidence of another attempt",
    );
    browser.cookies = crossed.cookies;
    let third = posted(&world, &mut browser).await;
    world.broker.clock.advance(5 * 60 + 1);
    assert_refused(
        &browser.get(&third).await,
        "attempt-missing",
        "evidence that waited too long",
    );
    assert_ne!(first, second);
}

#[actix_web::test]
async fn an_attempt_ends_after_an_hour() {
    let world = World::new().await;
    let mut browser = Browser::new();
    let answer = callback(&world, &mut browser, &Login::new("oidc", "ann-mfa")).await;
    world.broker.clock.advance(3_600);
    assert_refused(
        &browser.get(&answer).await,
        "attempt-expired",
        "an hour later",
    );
    assert!(world.oidc.control().token_requests().is_empty());
}

/// Signs in with nothing demanded of the provider: its answer, and the page that offers the step-up.
async fn weak_first_leg(world: &World, browser: &mut Browser, login: &Login) -> (Url, Page) {
    let url = sent_to_provider(world, browser, login).await;
    let page = browser.get(&with_parameter(&url, "acr_values", None)).await;
    let answer = page.location.expect("a callback");
    let page = browser.get(&answer).await;
    assert_eq!(page.reason_code(), Some("mfa-absent"), "{}", page.body);
    (answer, page)
}

#[actix_web::test]
async fn a_step_up_made_by_another_person_is_refused() {
    let world = World::new().await;
    for login in [
        Login::new("entra", "mallory-switches"),
        Login::new("microsoft", "max-switches"),
    ] {
        let outcome = world
            .sign_in_with_step_up(&mut Browser::new(), &login)
            .await;
        assert_eq!(outcome.summary(), "refused: identity-changed", "{login:?}");
    }
    let (mut browser, login) = (Browser::new(), Login::new("oidc", "mallory-switches"));
    let (_, page) = weak_first_leg(&world, &mut browser, &login).await;
    let outcome = world.step_up(&mut browser, &page, &login).await;
    assert_eq!(outcome.summary(), "refused: identity-changed", "{login:?}");
}

#[actix_web::test]
async fn the_answer_of_the_first_leg_does_not_count_in_the_second() {
    let world = World::new().await;
    let (mut browser, login) = (Browser::new(), Login::new("oidc", "wes-when-asked"));
    let (answer, page) = weak_first_leg(&world, &mut browser, &login).await;
    let step_up = page.primary_link().expect("a way back to the provider");
    let again = browser.get(&answer).await;
    assert_refused(&again, "leg-passed", "the first answer again");
    let state = parameter(&step_up, "state");
    let old_code = with_parameter(&answer, "state", Some(&state));
    let page = browser.get(&old_code).await;
    assert_refused(&page, "provider-refused", "the first code again");
}
