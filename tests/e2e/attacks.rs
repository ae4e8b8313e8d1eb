//! What attackers try, from outside: each ends in a page or an error, never in a code, a token
//! or a session.

mod code;
mod cookie;
mod endpoint;
mod id_token;
mod our_token;
mod parameter;
mod provider;
mod redirect_uri;
mod registry;
mod state;

use countersign_tests::{Browser, Login, Page, World};
use url::Url;

/// The address of the provider that the broker sends this login to, with the account picked.
async fn sent_to_provider(world: &World, browser: &mut Browser, login: &Login) -> Url {
    let page = browser.get(&world.authorize_url(login)).await;
    let url = page.location.unwrap_or_else(|| panic!("{}", page.body));
    picked(url, login)
}

fn picked(mut url: Url, login: &Login) -> Url {
    url.query_pairs_mut()
        .append_pair("account", login.account)
        .append_pair("enrol", login.enrol);
    url
}

/// The callback that the provider sends the browser to by GET: not followed yet.
async fn callback(world: &World, browser: &mut Browser, login: &Login) -> Url {
    let url = sent_to_provider(world, browser, login).await;
    let page = browser.get(&url).await;
    page.location.unwrap_or_else(|| panic!("{}", page.body))
}

/// `url` with a query parameter changed; without a value it is taken out.
fn with_parameter(url: &Url, name: &str, value: Option<&str>) -> Url {
    let mut pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    pairs.retain(|(known, _)| known != name);
    pairs.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    let mut url = url.clone();
    url.query_pairs_mut().clear().extend_pairs(pairs);
    url
}

/// A parameter of an address.
fn parameter(url: &Url, name: &str) -> String {
    let mut pairs = url.query_pairs();
    let found = pairs.find(|(known, _)| known == name);
    found
        .map(|(_, value)| value.into_owned())
        .expect("the parameter")
}

/// The page refuses with this code and sends nobody anywhere.
#[track_caller]
fn assert_refused(page: &Page, code: &str, why: &str) {
    assert_eq!(
        page.reason_code(),
        Some(code),
        "{why}: {} {}",
        page.status,
        page.body
    );
    assert!(
        (400..600).contains(&page.status),
        "{why}: status {}",
        page.status
    );
    assert_eq!(page.location, None, "{why}: was sent on");
}

/// Whether the page sends the browser to the client with a code.
fn has_code(page: &Page) -> bool {
    page.sent_with("code").is_some() && page.sent_with("error").is_none()
}
