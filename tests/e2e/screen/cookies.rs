//! Which cookies a browser sends along with a provider's cross-site POST.

use countersign_tests::{Landing, NetworkLog, ScreenSettings};
use serde_json::{Value, json};

use super::stage::Stage;

/// The cookie that shows what `SameSite=Lax` does; set on the broker's host, by a server beside it.
const CONTROL: &str = "control=1; Path=/; SameSite=Lax";

#[actix_web::test]
async fn a_form_post_brings_the_attempt_cookie_and_no_lax_cookie() {
    let settings = ScreenSettings {
        network_log: NetworkLog::Kept,
        ..ScreenSettings::default()
    };
    let stage = Stage::with(&settings, |_| {}).await;
    // Ports do not separate cookies (RFC 6265 8.5): this one is the broker's too.
    let neighbour = Landing::start("127.0.0.1", Some(CONTROL));
    stage.screen.goto(neighbour.url()).await;
    assert_eq!(stage.screen.cookie_names(stage.broker()).await, ["control"]);
    stage.screen.network_log().await;

    assert_eq!(
        stage.sign_in("microsoft", "mia-mfa").await,
        "registry: code"
    );
    let log = stage.screen.network_log().await;
    let callback = format!("{}/callback/microsoft", stage.broker());
    let posted = request_to(&log, "POST", &callback);
    assert_eq!(posted["headers"]["Sec-Fetch-Site"], "cross-site");
    let sent = cookies_sent(&posted);
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(
        sent[0].starts_with("__Host-countersign-attempt-"),
        "{sent:?}"
    );
    // The GET that follows is the browser's own: it brings every cookie, of both kinds.
    let followed = request_to(&log, "GET", &format!("{callback}/continue"));
    let sent = cookies_sent(&followed);
    assert_eq!(sent.len(), 3, "{sent:?}");
    assert!(sent.contains(&"control".to_owned()), "{sent:?}");
}

#[actix_web::test]
async fn a_form_post_sign_in_works_where_third_party_cookies_are_blocked() {
    let mut settings = ScreenSettings::default();
    for (name, value) in [
        ("profile.block_third_party_cookies", json!(true)),
        ("profile.cookie_controls_mode", json!(1)),
    ] {
        settings.preferences.insert(name.to_owned(), value);
    }
    let stage = Stage::with(&settings, |_| {}).await;
    assert_eq!(
        stage.sign_in("microsoft", "mia-mfa").await,
        "registry: code"
    );
}

/// What was really sent in the one request with this method to this address.
fn request_to(log: &[Value], method: &str, address: &str) -> Value {
    let of_kind = |kind: &'static str| {
        let events = log.iter().filter(move |event| event["method"] == kind);
        events.map(|event| &event["params"])
    };
    let is_wanted = |params: &Value| {
        let request = &params["request"];
        let url = request["url"].as_str().unwrap_or_default();
        request["method"] == method && url.split('?').next() == Some(address)
    };
    let wanted = of_kind("Network.requestWillBeSent").find(|params| is_wanted(params));
    let id = &wanted.unwrap_or_else(|| panic!("no {method} {address}"))["requestId"];
    // Redirects keep their request's id: in both lists its events stand in one order.
    let hop = of_kind("Network.requestWillBeSent")
        .filter(|params| params["requestId"] == *id)
        .position(is_wanted);
    of_kind("Network.requestWillBeSentExtraInfo")
        .filter(|params| params["requestId"] == *id)
        .nth(hop.unwrap_or_default())
        .expect("what was sent")
        .clone()
}

/// The names of the cookies in the request's header.
fn cookies_sent(request: &Value) -> Vec<String> {
    let line = request["headers"]["Cookie"].as_str().unwrap_or_default();
    let pairs = line.split("; ").filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, _)| name.to_owned()).collect()
}
