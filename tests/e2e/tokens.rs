//! Tokens for their whole life: refreshed, told of, revoked; each good for what it is and for nothing else.

use countersign_core::ClientId;
use countersign_server::{
    Client, ClientAuthentication, GrantType, Resource, SecretDigest, SigningAlgorithm,
};
use countersign_tests::{BrokerSetup, Browser, Login, Page, Tokens, World, wire};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use url::Url;

const SECRET: &str = "secret-of-all-the-others";
const ELSEWHERE: &str = "https://elsewhere.example";
const HOUR: i64 = 60 * 60;

fn client(secret: Option<&str>, resource: &str) -> Client {
    let authentication = secret.map_or(ClientAuthentication::Public, |secret| {
        ClientAuthentication::Secret(SecretDigest::of(secret))
    });
    let uris = vec![BrokerSetup::REDIRECT_URI.into()];
    let mut client = Client::new("Another", uris, authentication, resource);
    client.grants.insert(GrantType::RefreshToken);
    client
}

/// The usual world, in which clients may refresh: `gallery` and `other` for one resource, `elsewhere` for
/// another, and `app`, which is public.
async fn world() -> World {
    World::with(|setup| {
        setup.gallery().grants.insert(GrantType::RefreshToken);
        let algorithm = SigningAlgorithm::Es256;
        setup
            .resources
            .insert(ELSEWHERE.into(), Resource { algorithm });
        for (id, secret, resource) in [
            ("other", Some(SECRET), BrokerSetup::AUDIENCE),
            ("elsewhere", Some(SECRET), ELSEWHERE),
            ("app", None, BrokerSetup::AUDIENCE),
        ] {
            let tier = format!("\n[client.{id}]\ntier = \"manage\"\n");
            setup.policy.push_str(&tier);
            let id = ClientId::new(id).expect("a client id");
            setup.clients.insert(id, client(secret, resource));
        }
    })
    .await
}

fn ann() -> Login {
    Login::new("oidc", "ann-mfa")
}

async fn signed_in(world: &World, login: &Login) -> Tokens {
    let code = world.sign_in(&mut Browser::new(), login).await.code();
    let tokens = world.redeem(&code).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    tokens
}

async fn refreshed(world: &World, refresh_token: &str) -> Tokens {
    refreshed_with(world, refresh_token, &[]).await
}

async fn refreshed_with(world: &World, refresh_token: &str, more: &[(&str, &str)]) -> Tokens {
    let mut form = vec![
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token),
        ("redirect_uri", ""),
        ("code_verifier", ""),
    ];
    form.extend(more);
    world.redeem_with(&form).await
}

/// What `/introspect` and `/revoke` answer to a client with a secret.
async fn asked(world: &World, path: &str, client: &str, token: &str) -> Page {
    let secret = match client {
        "gallery" => BrokerSetup::SECRET,
        "app" => "",
        _ => SECRET,
    };
    let form = [
        ("token", token),
        ("client_id", client),
        ("client_secret", secret),
    ];
    posted(world, path, &form).await
}

async fn posted(world: &World, path: &str, form: &[(&str, &str)]) -> Page {
    let form: Vec<(String, String)> = form
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let url = Url::parse(&format!("{}{path}", world.broker.issuer)).expect("an address");
    Browser::new().post(&url, &form).await
}

async fn introspected(world: &World, client: &str, token: &str) -> Value {
    let page = asked(world, "/introspect", client, token).await;
    assert_eq!(page.status, 200, "{}", page.body);
    serde_json::from_str(&page.body).expect("JSON")
}

async fn is_active(world: &World, client: &str, token: &str) -> bool {
    let told = introspected(world, client, token).await;
    // Of a token that is not active nothing else is told (RFC 7662 2.2).
    assert!(
        told["active"] == true || told == json!({"active": false}),
        "{told}"
    );
    told["active"] == true
}

async fn revoked(world: &World, client: &str, token: &str) -> Page {
    asked(world, "/revoke", client, token).await
}

async fn user_info(world: &World, tokens: &Tokens) -> u16 {
    let issuer = &world.broker.issuer;
    wire::user_info(issuer, tokens.text("access_token"))
        .await
        .status
}

fn seconds(value: &Value) -> i64 {
    value.as_i64().expect("seconds")
}

#[track_caller]
fn assert_refused(tokens: &Tokens, (status, error): (u16, &str), why: &str) {
    let found = (tokens.status, &tokens.body["error"]);
    assert_eq!(found, (status, &json!(error)), "{why}: {}", tokens.body);
    for member in ["access_token", "refresh_token", "id_token"] {
        assert_eq!(tokens.body.get(member), None, "{why}");
    }
}

const NOT_GOOD: (u16, &str) = (400, "invalid_grant");

#[actix_web::test]
async fn a_refresh_token_leads_to_new_tokens_that_state_the_same_of_the_login() {
    let world = world().await;
    let first = signed_in(&world, &ann().with("nonce", "n-0S6_WzA2Mj")).await;
    assert!(first.text("refresh_token").starts_with("csrt_"));
    world.broker.clock.advance(HOUR);
    let second = refreshed(&world, first.text("refresh_token")).await;
    assert_eq!(second.status, 200, "{}", second.body);
    assert_ne!(second.text("refresh_token"), first.text("refresh_token"));
    assert_eq!(second.body["scope"], first.body["scope"]);
    let (before, after) = (first.id(), second.id());
    // OpenID Connect Core 12.2.
    for claim in ["iss", "sub", "aud", "azp", "auth_time", "acr", "amr", "sid"] {
        assert_eq!(after[claim], before[claim], "{claim}");
    }
    assert_eq!(after["nonce"], Value::Null);
    assert!(seconds(&after["iat"]) >= seconds(&before["iat"]) + HOUR);
    let (before, after) = (first.access(), second.access());
    for claim in [
        "sub",
        "aud",
        "client_id",
        "acr",
        "amr",
        "auth_time",
        "sid",
        "countersign",
    ] {
        assert_eq!(after[claim], before[claim], "{claim}");
    }
    assert_ne!(after["jti"], before["jti"]);
    assert_eq!(user_info(&world, &second).await, 200);
}

#[actix_web::test]
async fn only_clients_that_may_refresh_get_refresh_tokens() {
    let world = World::new().await;
    let tokens = signed_in(&world, &ann()).await;
    assert_eq!(tokens.body.get("refresh_token"), None);
    assert_eq!(tokens.access()["countersign"]["grant"], Value::Null);
    let refused = refreshed(&world, "csrt_AAAA").await;
    assert_refused(&refused, (400, "unauthorized_client"), "not its grant");
}

#[actix_web::test]
async fn of_fifty_that_refresh_at_once_exactly_one_gets_tokens() {
    let world = world().await;
    let first = signed_in(&world, &ann()).await;
    let issuer = world.broker.issuer.clone();
    let form = format!(
        "grant_type=refresh_token&client_id=gallery&client_secret={}&refresh_token={}",
        BrokerSetup::SECRET,
        first.text("refresh_token")
    );
    let mut racers = JoinSet::new();
    for _ in 0..50 {
        let (issuer, form) = (issuer.clone(), form.clone());
        racers.spawn(async move { wire::send("POST", &issuer, "/token", &[], &form).await });
    }
    let answers = racers.join_all().await;
    let won: Vec<&Page> = answers.iter().filter(|page| page.status == 200).collect();
    // Without `Retry-After`: to send it again would overtake who has won.
    let told_to_wait = answers
        .iter()
        .filter(|page| page.status == 429 && page.header("retry-after").is_none());
    assert_eq!((won.len(), told_to_wait.count()), (1, 49));
    // Nobody was locked out by the race.
    let won: Value = serde_json::from_str(&won[0].body).expect("JSON");
    let next = won["refresh_token"].as_str().expect("a refresh token");
    assert_eq!(refreshed(&world, next).await.status, 200);
}

#[actix_web::test]
async fn a_refresh_token_that_comes_twice_ends_everything_of_its_grant() {
    let world = world().await;
    let first = signed_in(&world, &ann()).await;
    let second = refreshed(&world, first.text("refresh_token")).await;
    assert_eq!(user_info(&world, &second).await, 200);
    world.broker.clock.advance(61);
    let thief = refreshed(&world, first.text("refresh_token")).await;
    assert_refused(&thief, NOT_GOOD, "a thief has the old one");
    let victim = refreshed(&world, second.text("refresh_token")).await;
    assert_refused(&victim, NOT_GOOD, "the grant is ended");
    for tokens in [&first, &second] {
        assert_eq!(user_info(&world, tokens).await, 401);
        assert!(!is_active(&world, "gallery", tokens.text("access_token")).await);
    }
}

#[actix_web::test]
async fn a_stolen_token_is_found_out_even_while_the_policy_refuses() {
    let world = world().await;
    let first = signed_in(&world, &ann()).await;
    let second = refreshed(&world, first.text("refresh_token")).await;
    let third = refreshed(&world, second.text("refresh_token")).await;
    let usual = world.broker.policy_text.clone();
    world.broker.enforce(&usual.replace(
        "[client.gallery]\ntier = \"manage\"",
        "[client.gallery]\ntier = \"seal\"",
    ));
    let thief = refreshed(&world, first.text("refresh_token")).await;
    assert_refused(&thief, NOT_GOOD, "a thief");
    let said = thief.text("error_description").to_owned();
    assert!(said.starts_with("the refresh token"), "told why: {said}");
    world.broker.enforce(&usual);
    let ended = refreshed(&world, third.text("refresh_token")).await;
    assert_refused(&ended, NOT_GOOD, "the grant is ended");
}

#[actix_web::test]
async fn who_lost_the_answer_asks_again_and_the_lost_token_is_good_no_more() {
    let world = world().await;
    let first = signed_in(&world, &ann()).await;
    let lost = refreshed(&world, first.text("refresh_token")).await;
    let too_soon = refreshed(&world, first.text("refresh_token")).await;
    assert_refused(&too_soon, (429, "temporarily_unavailable"), "at once");
    world.broker.clock.advance(6);
    let again = refreshed(&world, first.text("refresh_token")).await;
    assert_eq!(again.status, 200, "{}", again.body);
    // It was not lost: somebody else has it.
    let stolen = refreshed(&world, lost.text("refresh_token")).await;
    assert_refused(&stolen, NOT_GOOD, "superseded");
    let ended = refreshed(&world, again.text("refresh_token")).await;
    assert_refused(&ended, NOT_GOOD, "two present tokens of one grant");
}

#[actix_web::test]
async fn a_refresh_token_is_its_clients_alone() {
    let world = world().await;
    let tokens = signed_in(&world, &ann()).await;
    let mine = tokens.text("refresh_token");
    let as_other = [("client_id", "other"), ("client_secret", SECRET)];
    let as_app = [("client_id", "app"), ("client_secret", "")];
    let with_wrong_secret = [("client_secret", SECRET)];
    for (who, expected) in [
        (&as_other[..], NOT_GOOD),
        (&as_app[..], NOT_GOOD),
        (&with_wrong_secret[..], (401, "invalid_client")),
    ] {
        let refused = refreshed_with(&world, mine, who).await;
        assert_refused(&refused, expected, &format!("{who:?}"));
    }
    let good = refreshed(&world, mine).await;
    assert_eq!(good.status, 200, "another client's attempt ended it");
}

#[actix_web::test]
async fn a_refresh_may_ask_for_less_and_never_for_more() {
    let world = world().await;
    let login = ann().with("scope", "openid profile packages:manage");
    let first = signed_in(&world, &login).await;
    let token = first.text("refresh_token");
    for scope in [
        "packages:publish",
        "openid packages:publish",
        "openid no:such",
    ] {
        let refused = refreshed_with(&world, token, &[("scope", scope)]).await;
        assert_refused(&refused, (400, "invalid_scope"), scope);
    }
    let less = refreshed_with(&world, token, &[("scope", "packages:manage")]).await;
    assert_eq!(less.body["scope"], "packages:manage");
    assert_eq!(less.body.get("id_token"), None, "without `openid`");
    // RFC 6749 6: the next one is good for all of the grant again.
    let all = refreshed(&world, less.text("refresh_token")).await;
    assert_eq!(all.body["scope"], first.body["scope"]);
}

#[actix_web::test]
async fn the_policy_of_the_moment_is_asked_with_the_evidence_as_it_was() {
    let world = world().await;
    let login = ann().with("scope", "openid packages:manage packages:publish");
    let first = signed_in(&world, &login).await;
    // The evidence has grown too old for one of the scopes.
    let usual = world.broker.policy_text.clone();
    world
        .broker
        .enforce(&usual.replace("max_evidence_age = \"12h\"", "max_evidence_age = \"1h\""));
    world.broker.clock.advance(HOUR + 1);
    let second = refreshed(&world, first.text("refresh_token")).await;
    assert_eq!(
        second.body["scope"], "openid packages:manage",
        "{}",
        second.body
    );
    assert_eq!(
        second.body["unmet_scopes"][0]["reasons"],
        json!(["evidence-too-old"])
    );
    // Not one of the rest is left.
    let strict = usual.replace("needs = \"mfa\"", "needs = \"phishing-resistant\"");
    let strict = strict.replace(
        "accepts = [\"session\", \"enrolment\", \"tenant\"]",
        "accepts = [\"session\"]",
    );
    world.broker.enforce(&strict.replace(
        "accepts = [\"session\", \"tenant\"]",
        "accepts = [\"session\"]",
    ));
    let token = second.text("refresh_token").to_owned();
    let refused = refreshed(&world, &token).await;
    assert_refused(&refused, NOT_GOOD, "stricter since");
    // It is written down once, and not each time.
    let again = refreshed(&world, &token).await;
    assert_refused(&again, NOT_GOOD, "stricter since");
    let audited = world.broker.audited(&["token-refused"]);
    assert_eq!(audited, ["token-refused phishing-resistant-absent"]);
    assert_eq!(
        refused.body["error_description"],
        "phishing-resistant-absent"
    );
    // The token was not spent: a looser policy restores what the grant had.
    world.broker.enforce(&usual);
    let third = refreshed(&world, &token).await;
    assert_eq!(third.body["scope"], first.body["scope"], "{}", third.body);
}

/// Tokens count in whole seconds. A client that refreshes when its token ends comes within the second in
/// which a scope's evidence becomes too old.
#[actix_web::test]
async fn in_the_second_in_which_evidence_becomes_too_old_a_scope_is_left_out_and_no_more() {
    let world = world().await;
    let policy = world
        .broker
        .policy_text
        .replace("max_evidence_age = \"12h\"", "max_evidence_age = \"9s\"");
    world.broker.enforce(&policy);
    let login = ann().with("scope", "openid packages:manage packages:publish");
    let mut tokens = signed_in(&world, &login).await;
    let mut lasted = 0;
    while tokens.text("scope").contains("packages:publish") {
        assert!(seconds(&tokens.body["expires_in"]) > 0);
        lasted += 1;
        assert!(lasted < 100, "it never becomes too old");
        world
            .broker
            .clock
            .advance_by(SignedDuration::from_millis(333));
        tokens = refreshed(&world, tokens.text("refresh_token")).await;
        assert_eq!(tokens.status, 200, "{}", tokens.body);
    }
    assert!(lasted > 3, "left out too early");
    assert_eq!(tokens.body["scope"], "openid packages:manage");
}

/// A calendar comes into force while people are signed in: the day that their next token tells is kept.
#[actix_web::test]
async fn a_day_that_a_refreshed_token_tells_is_a_promise() {
    let lenient = |setup: &mut BrokerSetup| {
        setup.gallery().grants.insert(GrantType::RefreshToken);
        setup.policy = setup.policy.replace("needs = \"mfa\"", "needs = \"none\"");
        let accepts = [
            "[\"session\", \"enrolment\", \"tenant\"]",
            "[\"session\", \"tenant\"]",
        ];
        for accepts in accepts {
            setup.policy = setup.policy.replace(&format!("accepts = {accepts}\n"), "");
        }
        setup.policy = setup.policy.replace("max_evidence_age = \"12h\"\n", "");
        setup.policy = setup.policy.replace("max_evidence_age = \"15m\"\n", "");
    };
    let world = World::with(lenient).await;
    let login = Login::new("oidc", "bob-password");
    let first = signed_in(&world, &login).await;
    let strict = world.broker.policy_text.replace(
        "scopes = [\"packages:manage\"]\nneeds = \"none\"",
        "scopes = [\"packages:manage\"]\nneeds = \"mfa\"\naccepts = [\"session\"]",
    );
    let calendar = |day: &str| {
        format!(
            "{strict}\n[calendar]\nnew_accounts_from = {day}\n\
             existing_accounts = {{ from = {day}, until = {day} }}\nbefore_due = \"remind\"\n"
        )
    };
    let mut token = first.text("refresh_token").to_owned();
    for day in ["2187-03-21", "2187-05-08"] {
        world.broker.enforce(&calendar(day));
        let tokens = refreshed(&world, &token).await;
        assert_eq!(tokens.status, 200, "{}", tokens.body);
        assert_eq!(tokens.access()["countersign"]["mfa_due"], "2187-03-21");
        tokens.text("refresh_token").clone_into(&mut token);
    }
}

#[actix_web::test]
async fn no_refresh_restates_what_the_login_proved() {
    let world = World::with(|setup| {
        setup.gallery().grants.insert(GrantType::RefreshToken);
        setup.policy = setup.policy.replace(
            "[client.gallery]\ntier = \"manage\"",
            "[client.gallery]\ntier = \"browse\"",
        );
    });
    let world = world.await;
    let login = Login::new("oidc", "bob-password").with("scope", "openid packages:read");
    let first = signed_in(&world, &login).await;
    assert_eq!(first.access()["acr"], "urn:countersign:single");
    // The operator begins to count what this login showed.
    let counted = "\"urn:dev-idp:mfa\", \"phr\", \"urn:dev-idp:single\"";
    let looser = world
        .broker
        .policy_text
        .replace("\"urn:dev-idp:mfa\", \"phr\"", counted);
    assert_ne!(looser, world.broker.policy_text);
    world.broker.enforce(&looser);
    let refused = refreshed(&world, first.text("refresh_token")).await;
    assert_refused(&refused, NOT_GOOD, "it would be laundered");
    assert_eq!(refused.body["error_description"], "weighed-otherwise");
    world.broker.enforce(&world.broker.policy_text);
    assert_eq!(
        refreshed(&world, first.text("refresh_token")).await.status,
        200
    );
}

#[actix_web::test]
async fn a_session_ends_when_it_is_not_used_and_at_its_end_anyway() {
    let world = world().await;
    world.share_clock();
    let idle = signed_in(&world, &ann()).await;
    world.broker.clock.advance(2 * HOUR);
    let refused = refreshed(&world, idle.text("refresh_token")).await;
    assert_refused(&refused, NOT_GOOD, "not used for two hours");
    let mut tokens = signed_in(&world, &ann()).await;
    for hour in 1..12 {
        world.broker.clock.advance(HOUR);
        tokens = refreshed(&world, tokens.text("refresh_token")).await;
        assert_eq!(tokens.status, 200, "after {hour} hours: {}", tokens.body);
    }
    world.broker.clock.advance(HOUR - 60);
    let last = refreshed(&world, tokens.text("refresh_token")).await;
    assert!(
        seconds(&last.body["expires_in"]) <= 60,
        "no token outlives its session"
    );
    world.broker.clock.advance(60);
    let refused = refreshed(&world, last.text("refresh_token")).await;
    assert_refused(&refused, NOT_GOOD, "after twelve hours");
}

#[actix_web::test]
async fn each_kind_of_token_is_refused_where_another_belongs() {
    let world = world().await;
    let code = world.sign_in(&mut Browser::new(), &ann()).await.code();
    let code = code.sent_with("code").expect("a code");
    let tokens = signed_in(&world, &ann()).await;
    let [access, id, refresh] =
        ["access_token", "id_token", "refresh_token"].map(|name| tokens.text(name).to_owned());
    let garbage = ["csrt_", "csrt_!", "", ".", "a.b.c"].map(str::to_owned);
    for wrong in [&code, &access, &id].into_iter().chain(&garbage) {
        let expected = match wrong.as_str() {
            "" => (400, "invalid_request"),
            _ => NOT_GOOD,
        };
        let answer = refreshed(&world, wrong).await;
        assert_refused(&answer, expected, &format!("`{wrong}` as a refresh token"));
    }
    for wrong in [&access, &id, &refresh].into_iter().chain(&garbage) {
        let answer = world.redeem_with(&[("code", wrong)]).await;
        assert_refused(&answer, NOT_GOOD, &format!("`{wrong}` as a code"));
    }
    for wrong in [&code, &id, &refresh] {
        let page = wire::user_info(&world.broker.issuer, wrong).await;
        assert_eq!(page.status, 401, "`{wrong}` as an access token");
    }
    for wrong in [&code, &id] {
        assert!(!is_active(&world, "gallery", wrong).await, "`{wrong}`");
        assert_eq!(revoked(&world, "gallery", wrong).await.status, 200);
    }
    // Nothing of that has ended anything.
    assert!(is_active(&world, "gallery", &access).await);
    assert!(is_active(&world, "gallery", &refresh).await);
    assert_eq!(world.redeem_with(&[("code", &code)]).await.status, 200);
}

#[actix_web::test]
async fn introspection_tells_those_who_may_know_and_nobody_else() {
    let world = world().await;
    let tokens = signed_in(&world, &ann()).await;
    let (access, refresh) = (tokens.text("access_token"), tokens.text("refresh_token"));
    let claims = tokens.access();
    for client in ["gallery", "other"] {
        let told = introspected(&world, client, access).await;
        assert_eq!(
            (&told["active"], &told["token_type"]),
            (&json!(true), &json!("Bearer"))
        );
        for member in [
            "iss",
            "sub",
            "aud",
            "client_id",
            "scope",
            "acr",
            "amr",
            "sid",
            "jti",
            "iat",
            "exp",
            "countersign",
        ] {
            assert_eq!(told[member], claims[member], "{member}");
        }
    }
    assert!(!is_active(&world, "elsewhere", access).await, "not for it");
    let told = introspected(&world, "gallery", refresh).await;
    assert_eq!(
        (&told["active"], &told["sub"]),
        (&json!(true), &claims["sub"]),
        "{told}"
    );
    assert_eq!(told.get("exp"), None, "any refresh puts it off");
    for client in ["other", "elsewhere"] {
        assert!(!is_active(&world, client, refresh).await, "{client}");
    }
    // One that is spent is not good, and to ask is not to use it.
    let next = refreshed(&world, refresh).await;
    assert!(!is_active(&world, "gallery", refresh).await);
    assert!(is_active(&world, "gallery", next.text("refresh_token")).await);
    world.broker.clock.advance(600);
    assert!(!is_active(&world, "gallery", access).await, "expired");
}

#[actix_web::test]
async fn only_a_client_with_a_secret_may_ask() {
    let world = world().await;
    let tokens = signed_in(&world, &ann()).await;
    let token = tokens.text("access_token");
    for (form, status, error) in [
        (&[("token", token)][..], 401, "invalid_client"),
        (
            &[("token", token), ("client_id", "app")][..],
            401,
            "invalid_client",
        ),
        (
            &[
                ("token", token),
                ("client_id", "nobody"),
                ("client_secret", SECRET),
            ][..],
            401,
            "invalid_client",
        ),
        (
            &[
                ("token", token),
                ("client_id", "other"),
                ("client_secret", "wrong"),
            ][..],
            401,
            "invalid_client",
        ),
        (
            &[("client_id", "other"), ("client_secret", SECRET)][..],
            400,
            "invalid_request",
        ),
        (
            &[
                ("token", token),
                ("token", token),
                ("client_id", "other"),
                ("client_secret", SECRET),
            ][..],
            400,
            "invalid_request",
        ),
    ] {
        let page = posted(&world, "/introspect", form).await;
        let told: Value = serde_json::from_str(&page.body).expect("JSON");
        assert_eq!(
            (page.status, &told["error"]),
            (status, &json!(error)),
            "{form:?}"
        );
        assert_eq!(page.header("www-authenticate").is_some(), status == 401);
        assert_eq!(told.get("active"), None);
        let page = posted(&world, "/revoke", form).await;
        // Anybody may say to be a public client, and end what is that client's.
        let is_public = form.contains(&("client_id", "app"));
        let expected = if is_public { 400 } else { status };
        assert_eq!(page.status, expected, "{form:?}: {}", page.body);
    }
    assert!(is_active(&world, "gallery", token).await);
    let page = asked(&world, "/introspect", "gallery", token).await;
    assert_eq!(page.header("cache-control"), Some("no-store"));
}

#[actix_web::test]
async fn a_revoked_refresh_token_takes_its_grant_along_and_nothing_else() {
    let world = world().await;
    let first = signed_in(&world, &ann()).await;
    let bystander = signed_in(&world, &ann()).await;
    let second = refreshed(&world, first.text("refresh_token")).await;
    // By another client nothing is ended.
    assert_eq!(
        revoked(&world, "other", second.text("refresh_token"))
            .await
            .status,
        200
    );
    assert_eq!(user_info(&world, &second).await, 200);
    // Not even the good one is needed: who has lost track may end it all.
    let page = revoked(&world, "gallery", first.text("refresh_token")).await;
    assert_eq!((page.status, page.body.as_str()), (200, ""));
    for tokens in [&first, &second] {
        assert_eq!(user_info(&world, tokens).await, 401);
        assert!(!is_active(&world, "other", tokens.text("access_token")).await);
    }
    let refused = refreshed(&world, second.text("refresh_token")).await;
    assert_refused(&refused, NOT_GOOD, "revoked");
    assert_eq!(user_info(&world, &bystander).await, 200);
    let again = revoked(&world, "gallery", first.text("refresh_token")).await;
    assert_eq!(again.status, 200, "revoked already");
}

#[actix_web::test]
async fn a_revoked_access_token_ends_alone_whatever_the_hint_says() {
    let world = world().await;
    let tokens = signed_in(&world, &ann()).await;
    let access = tokens.text("access_token");
    let others = revoked(&world, "other", access).await;
    assert_eq!(others.status, 400, "{}", others.body);
    assert_eq!(user_info(&world, &tokens).await, 200);
    for hint in ["refresh_token", "no_such_kind"] {
        let form = [
            ("token", access),
            ("token_type_hint", hint),
            ("client_id", "gallery"),
            ("client_secret", BrokerSetup::SECRET),
        ];
        assert_eq!(posted(&world, "/revoke", &form).await.status, 200, "{hint}");
    }
    assert_eq!(user_info(&world, &tokens).await, 401);
    assert!(!is_active(&world, "other", access).await);
    let next = refreshed(&world, tokens.text("refresh_token")).await;
    assert_eq!(
        user_info(&world, &next).await,
        200,
        "it took the grant along"
    );
}

#[actix_web::test]
async fn a_public_client_refreshes_and_revokes_its_own() {
    let world = world().await;
    let as_app = [("client_id", "app"), ("client_secret", "")];
    let login = ann().with("client_id", "app");
    let code = world.sign_in(&mut Browser::new(), &login).await.code();
    let code = code.sent_with("code").expect("a code");
    let tokens = world
        .redeem_with(&[&[("code", code.as_str())][..], &as_app].concat())
        .await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    let next = refreshed_with(&world, tokens.text("refresh_token"), &as_app).await;
    assert_eq!(next.status, 200, "{}", next.body);
    assert_eq!(
        revoked(&world, "app", next.text("refresh_token"))
            .await
            .status,
        200
    );
    let refused = refreshed_with(&world, next.text("refresh_token"), &as_app).await;
    assert_refused(&refused, NOT_GOOD, "revoked");
}

#[actix_web::test]
async fn a_code_that_comes_twice_ends_what_it_bought() {
    let world = world().await;
    let page = world.sign_in(&mut Browser::new(), &ann()).await.code();
    let tokens = world.redeem(&page).await;
    assert_refused(&world.redeem(&page).await, NOT_GOOD, "the second time");
    let refused = refreshed(&world, tokens.text("refresh_token")).await;
    assert_refused(&refused, NOT_GOOD, "its session is ended");
    assert!(!is_active(&world, "gallery", tokens.text("access_token")).await);
}

const SIGNED: &str = "application/token-introspection+jwt";

/// What `/introspect` answers to a client that accepts this.
async fn introspected_as(world: &World, client: &str, token: &str, accept: &str) -> Page {
    let secret = match client {
        "gallery" => BrokerSetup::SECRET,
        _ => SECRET,
    };
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("token", token)
        .append_pair("client_id", client)
        .append_pair("client_secret", secret);
    let headers = [("accept", accept)];
    let issuer = &world.broker.issuer;
    wire::send("POST", issuer, "/introspect", &headers, &form.finish()).await
}

/// The claims of a signed answer, verified by a library of others.
async fn verified_answer(world: &World, page: &Page, client: &str) -> Value {
    assert_eq!(page.status, 200, "{}", page.body);
    assert_eq!(page.header("content-type"), Some(SIGNED));
    let header = jsonwebtoken::decode_header(&page.body).expect("a header");
    assert_eq!(header.typ.as_deref(), Some("token-introspection+jwt"));
    let keys = wire::get(&world.broker.issuer, "/jwks.json", &[]).await;
    let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&keys.body).expect("a key set");
    let key = keys.find(header.kid.as_deref().unwrap_or_default());
    let key = jsonwebtoken::DecodingKey::from_jwk(key.expect("a published key")).expect("a key");
    let mut expected = jsonwebtoken::Validation::new(header.alg);
    expected.set_audience(&[client]);
    expected.set_issuer(&[&world.broker.issuer]);
    expected.required_spec_claims = ["iss", "aud"].map(str::to_owned).into();
    let told = jsonwebtoken::decode::<Value>(&page.body, &key, &expected);
    told.expect("a good answer").claims
}

#[actix_web::test]
async fn who_asks_for_a_signed_answer_has_one_that_is_told_to_them_alone() {
    let world = world().await;
    let tokens = signed_in(&world, &ann()).await;
    let access = tokens.text("access_token");
    let page = introspected_as(&world, "other", access, SIGNED).await;
    let claims = verified_answer(&world, &page, "other").await;
    let plain = introspected(&world, "other", access).await;
    assert_eq!(claims["token_introspection"], plain);
    let names: Vec<&String> = claims.as_object().expect("claims").keys().collect();
    assert_eq!(names, ["aud", "iat", "iss", "token_introspection"]);

    // Of what is none of a caller's business nothing is told, signed or not.
    for (client, token) in [("elsewhere", access), ("other", "made-up")] {
        let page = introspected_as(&world, client, token, SIGNED).await;
        let claims = verified_answer(&world, &page, client).await;
        assert_eq!(claims["token_introspection"], json!({"active": false}));
    }
    // It is no token of any kind.
    let issuer = &world.broker.issuer;
    assert_eq!(wire::user_info(issuer, &page.body).await.status, 401);
    assert!(!is_active(&world, "other", &page.body).await);
    let verifier = countersign_verifier::Verifier::new(issuer, "other").expect("a verifier");
    let refused = verifier.verify(&page.body).await;
    assert_eq!(refused, Err(countersign_verifier::Error::WrongType));
    let query = format!("/logout?id_token_hint={}", page.body);
    let refused = wire::get(issuer, &query, &[]).await;
    assert_eq!(refused.status, 400, "{}", refused.body);
}

#[actix_web::test]
async fn a_signed_answer_is_for_who_names_it_and_an_error_is_json() {
    let world = world().await;
    let tokens = signed_in(&world, &ann()).await;
    let access = tokens.text("access_token");
    for (accept, is_signed) in [
        (SIGNED, true),
        (
            "application/json, Application/Token-Introspection+JWT;q=0.5",
            true,
        ),
        ("*/*", false),
        ("application/*", false),
        ("application/json", false),
        ("application/jwt", false),
        ("application/token-introspection+jwt;q=0", false),
    ] {
        let page = introspected_as(&world, "gallery", access, accept).await;
        let expected = if is_signed {
            SIGNED
        } else {
            "application/json"
        };
        assert_eq!(page.header("content-type"), Some(expected), "{accept}");
        assert_eq!(page.header("cache-control"), Some("no-store"));
    }
    let page = introspected_as(&world, "nobody", access, SIGNED).await;
    assert_eq!(page.status, 401);
    assert_eq!(page.header("content-type"), Some("application/json"));
}

#[actix_web::test]
async fn the_metadata_names_what_introspection_is_signed_by() {
    let world = world().await;
    let page = wire::get(
        &world.broker.issuer,
        "/.well-known/oauth-authorization-server",
        &[],
    )
    .await;
    let metadata: Value = serde_json::from_str(&page.body).expect("JSON");
    let signed = &metadata["introspection_signing_alg_values_supported"];
    assert_eq!(*signed, metadata["id_token_signing_alg_values_supported"]);
    assert!(signed.as_array().is_some_and(|all| !all.is_empty()));
}
