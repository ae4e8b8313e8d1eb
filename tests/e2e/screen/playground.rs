//! What `cargo dev` starts, walked through from the registry's first page; and its pages.

use countersign_tests::tools::{Npm, Terminal};
use countersign_tests::{Look, Screen, wire};
use playground::{Playground, PlaygroundOptions, Ports};

use super::pages::check_looks;

async fn open() -> (Playground, Screen) {
    open_with(str::to_owned).await
}

/// The same with a policy that was changed.
async fn open_with(change: impl FnOnce(&str) -> String) -> (Playground, Screen) {
    let options = PlaygroundOptions {
        ports: Ports::Any,
        policy: change(playground::POLICY),
        ..PlaygroundOptions::default()
    };
    let playground = Playground::start(options).await.expect("a playground");
    let screen = Screen::open().await;
    screen.goto(playground.url()).await;
    (playground, screen)
}

/// Chooses a provider at the broker and an account there.
async fn sign_in(screen: &Screen, provider: &str, account: &str) {
    screen
        .click(&format!("nav a[href$='provider={provider}']"))
        .await;
    screen.click(&format!("#choice-{account}")).await;
}

#[actix_web::test]
async fn a_person_signs_in_to_the_registry_and_publishes() {
    let (playground, screen) = open().await;
    check_looks(&screen, "registry-browse").await;
    screen.click("#sign-in").await;
    sign_in(&screen, "microsoft", "mia-mfa").await;
    screen.arrive_at(&[playground.url()]).await;
    assert_eq!(screen.text("#level").await, "mfa");
    assert_eq!(screen.text("#basis").await, "session");
    assert_eq!(screen.text("#email").await, "mia@outlook.example");
    screen.goto(&format!("{}/me", playground.url())).await;
    check_looks(&screen, "registry-me").await;

    screen.goto(&format!("{}/publish", playground.url())).await;
    check_looks(&screen, "registry-publish").await;
    screen.type_into("#package-name", "mia-says").await;
    screen.type_into("#package-version", "1.0.0").await;
    screen.click("#publish").await;
    // The token does not reach that far: the registry asks the broker for more, whose session is good for it.
    screen.arrive_at(&[playground.url()]).await;
    check_looks(&screen, "registry-may-publish").await;
    screen.click("#publish").await;
    let listed = screen.text("#packages").await;
    assert!(listed.contains("mia-says"), "{listed}");
}

#[actix_web::test]
async fn a_refused_person_gets_back_to_a_registry_that_says_why() {
    let (playground, screen) = open().await;
    screen.click("#sign-in").await;
    sign_in(&screen, "github", "bob-password").await;
    assert_eq!(screen.text(".reference code").await, "mfa-absent");
    screen.click_link("Back to Sample Registry").await;
    screen.arrive_at(&[playground.url()]).await;
    assert_eq!(screen.text("#detail").await, "access_denied: mfa-absent");
    check_looks(&screen, "registry-trouble").await;
}

/// Signs in for an npm that waits, as this account; what the browser is left with.
async fn allow(npm: &Terminal, screen: &Screen, broker: &str, (provider, account): (&str, &str)) {
    let page = npm.address(&format!("{broker}/device?user_code=")).await;
    screen.forget_cookies().await;
    screen.goto(&page).await;
    screen
        .click(&format!("nav a[href*='provider={provider}&']"))
        .await;
    screen.click(&format!("#choice-{account}")).await;
    screen.arrive_at(&[broker]).await;
}

#[actix_web::test]
async fn a_maintainer_publishes_with_npm_and_anybody_installs() {
    let (playground, screen) = open().await;
    let (broker, url) = (playground.broker_url(), playground.npm_url());
    let ann = Npm::new(url);
    let waiting = ann.run(None, &["login", "--auth-type=web"]);
    let page = waiting
        .address(&format!("{broker}/device?user_code="))
        .await;
    screen.goto(&page).await;
    let site = url.trim_start_matches("http://");
    let heading = format!("Sign in npm to {site}");
    assert_eq!(screen.text("h1").await, heading);
    check_looks(&screen, "npm-login").await;
    allow(&waiting, &screen, broker, ("oidc", "ann-mfa")).await;
    let heading = format!("Signed in for npm at {site}");
    assert_eq!(screen.text("h1").await, heading);
    check_looks(&screen, "npm-signed-in").await;
    let ended = waiting.end().await;
    assert!(ended.success, "{}", ended.shown);

    let package = ann.package("@ann/hello", "1.0.0");
    let published = ann.finish(Some(&package), &["publish"]).await;
    assert!(published.success, "{}", published.shown);
    assert!(published.shown.contains("+ @ann/hello@1.0.0"));
    let again = ann.finish(Some(&package), &["publish"]).await;
    assert!(!again.success, "{}", again.shown);

    let mia = Npm::new(url);
    let waiting = mia.run(None, &["login", "--auth-type=web"]);
    allow(&waiting, &screen, broker, ("microsoft", "mia-mfa")).await;
    assert!(waiting.end().await.success);
    let package = mia.package("@ann/hello", "1.1.0");
    let refused = mia.finish(Some(&package), &["publish"]).await;
    assert!(!refused.success, "{}", refused.shown);
    let why = "this package belongs to somebody else";
    assert!(refused.shown.contains(why), "{}", refused.shown);

    let anybody = Npm::new(url);
    let install = ["install", "@ann/hello", "--prefix=."];
    let installed = anybody.finish(None, &install).await;
    assert!(installed.success, "{}", installed.shown);
    assert!(installed.shown.contains("added 1 package"));
    let forged = [("x-countersign-user", "pia"), ("authorization", "Bearer x")];
    let forged = wire::send("PUT", url, "/hello", &forged, "{}").await;
    assert_eq!(forged.status, 401, "{}", forged.body);
}

#[actix_web::test]
async fn the_rest_of_what_maintainers_do_with_npm_works_or_is_refused_in_words() {
    let (playground, screen) = open().await;
    let (broker, url) = (playground.broker_url(), playground.npm_url());
    screen.goto(url).await;
    let typed = screen.text("#type").await;
    assert!(typed.contains(&format!("npm login --registry={url}")));
    check_looks(&screen, "npm-front").await;

    let [ann, mia] = [(); 2].map(|()| Npm::new(url));
    for (npm, login) in [
        (&ann, ("oidc", "ann-mfa")),
        (&mia, ("microsoft", "mia-mfa")),
    ] {
        let waiting = npm.run(None, &["login", "--auth-type=web"]);
        allow(&waiting, &screen, broker, login).await;
        assert!(waiting.end().await.success);
    }
    let check = async |npm: &Npm, line: &str, is_done: bool, words: &str| {
        let arguments: Vec<&str> = line.split(' ').collect();
        let ended = npm.finish(None, &arguments).await;
        assert_eq!(ended.success, is_done, "{line}: {}", ended.shown);
        assert!(ended.says(words), "{line}: {}", ended.shown);
        ended.shown
    };
    for version in ["1.0.0", "1.1.0"] {
        let package = ann.package("@ann/hello", version);
        let published = ann.finish(Some(&package), &["publish"]).await;
        assert!(published.success, "{}", published.shown);
    }
    let anybody = Npm::new(url);
    check(&anybody, "view @ann/hello", true, "@ann/hello@1.1.0").await;
    check(&anybody, "dist-tag ls @ann/hello", true, "latest: 1.1.0").await;
    let account = check(&ann, "whoami", true, "").await;
    check(&anybody, "owner ls @ann/hello", true, account.trim()).await;
    check(
        &ann,
        "dist-tag add @ann/hello@1.0.0 beta",
        true,
        "+beta: @ann/hello@1.0.0",
    )
    .await;
    check(&anybody, "dist-tag ls @ann/hello", true, "beta: 1.0.0").await;
    let not_hers = "this package belongs to somebody else";
    check(&mia, "dist-tag add @ann/hello@1.0.0 mine", false, not_hers).await;
    check(&mia, "unpublish @ann/hello@1.0.0", false, not_hers).await;
    check(
        &ann,
        "dist-tag rm @ann/hello beta",
        true,
        "-beta: @ann/hello@1.0.0",
    )
    .await;
    check(
        &ann,
        "unpublish @ann/hello@1.0.0",
        true,
        "- @ann/hello@1.0.0",
    )
    .await;
    let gone = "No match found for version 1.0.0";
    check(&anybody, "view @ann/hello@1.0.0", false, gone).await;
    check(&ann, "unpublish @ann/hello --force", true, "- @ann/hello").await;
    check(
        &anybody,
        "view @ann/hello",
        false,
        "there is no such package",
    )
    .await;
    check(&anybody, "ping", true, "PONG").await;
    check(&anybody, "whoami", false, "ENEEDAUTH").await;
    check(&ann, "logout", true, "").await;
    assert_eq!(ann.key(), None);
    check(&ann, "whoami", false, "ENEEDAUTH").await;
}

#[actix_web::test]
async fn who_has_no_second_factor_is_told_why_npm_gets_no_key() {
    let (playground, screen) = open().await;
    let (broker, npm) = (playground.broker_url(), Npm::new(playground.npm_url()));
    let waiting = npm.run(None, &["login", "--auth-type=web"]);
    allow(&waiting, &screen, broker, ("github", "bob-password")).await;
    assert_eq!(screen.text(".reference code").await, "mfa-absent");
    check_looks(&screen, "npm-refused").await;
    drop(waiting);
    assert_eq!(npm.key(), None);
    let package = npm.package("hello", "1.0.0");
    let refused = npm.finish(Some(&package), &["publish"]).await;
    assert!(!refused.success, "{}", refused.shown);
    assert!(refused.shown.contains("ENEEDAUTH"), "{}", refused.shown);
}

#[actix_web::test]
async fn who_was_there_before_the_requirement_is_reminded_here_and_there() {
    let (playground, screen) = open().await;
    screen.click("#sign-in").await;
    sign_in(&screen, "github", "vera-password").await;
    assert_eq!(screen.text(".reference code").await, "reminded");
    screen.click("#continue").await;
    screen.arrive_at(&[playground.url()]).await;
    let due = screen.text("#mfa-due").await;
    assert!(due.starts_with("20"), "{due}");
    let banner = screen.text("#banner").await;
    assert!(banner.contains("multi-factor"), "{banner}");
    check_looks(&screen, "registry-banner").await;
}

#[actix_web::test]
async fn what_was_left_out_of_a_token_is_named_and_sent_for() {
    let (playground, screen) = open_with(|policy| {
        policy.replace(
            "[client.gallery]\ntier = \"manage\"",
            "[client.gallery]\ntier = \"browse\"",
        )
    })
    .await;
    let wish = format!("{}/sign-in?scope=packages:publish", playground.url());
    screen.goto(&wish).await;
    sign_in(&screen, "github", "bob-password").await;
    screen.arrive_at(&[playground.url()]).await;
    let unmet = screen.text("#unmet").await;
    assert!(unmet.contains("packages:publish (mfa-absent)"), "{unmet}");
    let wanted = screen.text("#wanted").await;
    assert!(wanted.contains("urn:countersign:mfa-enrolled"), "{wanted}");
    check_looks(&screen, "registry-left-out").await;

    screen.goto(&format!("{}/publish", playground.url())).await;
    let notice = screen.text("#notice").await;
    assert!(notice.contains("packages:publish (mfa-absent)"), "{notice}");
    screen.type_into("#package-name", "bob-says").await;
    screen.type_into("#package-version", "1.0.0").await;
    screen.click("#publish").await;
    // Straight to the broker, and to the provider that they use.
    screen.arrive_at(&["http://127.0.0.2:"]).await;
    screen.click("#choice-bob-password").await;
    screen.arrive_at(&[playground.url()]).await;
    assert_eq!(screen.text("#code").await, "not-granted");
    assert_eq!(screen.text("#detail").await, "packages:publish mfa-absent");
}

#[actix_web::test]
async fn the_stand_ins_pages_are_accessible_too() {
    let (playground, screen) = open().await;
    let broker = playground.broker_url();
    let chooser = format!("{}/sign-in", playground.url());
    for provider in ["microsoft", "entra", "github", "oidc"] {
        screen.look(Look::DESKTOP_LIGHT).await;
        screen.goto(&chooser).await;
        screen
            .click(&format!("nav a[href$='provider={provider}']"))
            .await;
        screen.arrive_at(&["http://127.0.0.2:"]).await;
        check_looks(&screen, &format!("stand-in-{provider}")).await;
    }
    screen.click("#choice-eve-enrols").await;
    check_looks(&screen, "stand-in-enrol").await;
    screen.goto(&chooser).await;
    sign_in(&screen, "entra", "paul-blocked").await;
    check_looks(&screen, "stand-in-blocked").await;
    assert!(!screen.url().await.as_str().starts_with(broker));
}

#[actix_web::test]
async fn an_admin_connects_contosos_tenant_and_its_members_act_for_it() {
    let (playground, screen) = open().await;
    let broker = playground.broker_url().to_owned();
    screen.click("#sign-in").await;
    sign_in(&screen, "oidc", "ann-mfa").await;
    screen.arrive_at(&[playground.url()]).await;
    // Nobody acts for anything yet.
    assert_eq!(screen.count("#acts-for").await, 0);
    screen.click("#organizations").await;
    screen.arrive_at(&[&broker]).await;
    assert_eq!(screen.text("h1").await, "Your organizations");
    check_looks(&screen, "organizations").await;
    screen.click("a[href='/organizations/contoso']").await;
    let contoso = format!("{broker}/organizations/contoso");
    screen.arrive_at(&[&contoso]).await;
    check_looks(&screen, "organization").await;
    screen.click("form:has(#tenant-entra) button").await;
    screen
        .arrive_at(&[&format!("{contoso}/connect/start")])
        .await;
    check_looks(&screen, "organization-leave").await;
    screen.click(".button.primary").await;
    screen.arrive_at(&["http://127.0.0.2:"]).await;
    screen.click("#choice-ada-admin").await;
    screen.arrive_at(&[&broker]).await;
    assert_eq!(screen.text("h1").await, "Connect Contoso");
    screen.click("summary").await;
    check_looks(&screen, "organization-connect").await;
    screen.type_into("#mfa", "c7").await;
    screen.click("button.primary").await;
    let button = screen.text("a[href*='/disconnect?']").await;
    assert_eq!(button, "Disconnect");
    let shown = screen.text("main").await;
    assert!(
        shown.contains("in force") && shown.contains("c7"),
        "{shown}"
    );
    check_looks(&screen, "organization-connected").await;
    screen.click("a[href*='/disconnect?']").await;
    screen.arrive_at(&[&format!("{contoso}/disconnect")]).await;
    check_looks(&screen, "organization-disconnect").await;

    screen.forget_cookies().await;
    screen.goto(&format!("{}/sign-in", playground.url())).await;
    sign_in(&screen, "entra", "ann-mfa").await;
    screen.arrive_at(&[playground.url()]).await;
    assert_eq!(screen.text("#acts-for").await, "contoso");
    check_looks(&screen, "registry-acts-for").await;
}
