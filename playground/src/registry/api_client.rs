//! The frontend's calls to the API, over the wire as anybody's.

use countersign_verifier::Scope;
use reqwest::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::http;
use super::packages::Draft;

/// The longest sentence that is read out of a refusal, in characters.
const LONGEST_MESSAGE: usize = 200;

/// Calls the API.
#[derive(Debug)]
pub(super) struct ApiClient {
    http: Client,
    packages: String,
}

/// Why the API did not do it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The token lacks this scope (RFC 6750 3.1).
    Scope(String),
    /// The login behind the token is too weak or too long ago (RFC 9470 3).
    Login {
        acr_values: Option<String>,
        max_age: Option<String>,
    },
    /// The token is not good any more.
    Token,
    /// The package is not taken, and why.
    Package(String),
    /// The API did not answer as it should.
    Unavailable,
}

impl ApiClient {
    pub(super) fn new(http: Client, url: &str) -> Self {
        Self {
            http,
            packages: format!("{url}/api/packages"),
        }
    }

    pub(super) async fn publish(&self, draft: &Draft, token: &SecretString) -> Result<(), Refusal> {
        let body = serde_json::to_vec(draft).map_err(|_| Refusal::Unavailable)?;
        let request = self.http.post(&self.packages).body(body);
        send(request.header(CONTENT_TYPE, "application/json"), token).await
    }

    pub(super) async fn unpublish(&self, name: &str, token: &SecretString) -> Result<(), Refusal> {
        let mut url = reqwest::Url::parse(&self.packages).map_err(|_| Refusal::Unavailable)?;
        url.path_segments_mut()
            .map_err(|()| Refusal::Unavailable)?
            .push(name);
        send(self.http.delete(url), token).await
    }
}

async fn send(request: RequestBuilder, token: &SecretString) -> Result<(), Refusal> {
    let answer = request.bearer_auth(token.expose_secret()).send().await;
    let answer = answer.map_err(|_| Refusal::Unavailable)?;
    if answer.status().is_success() {
        return Ok(());
    }
    match challenge(&answer) {
        Some(challenge) => Err(refusal(&challenge)),
        None => Err(told(answer).await),
    }
}

fn challenge(answer: &Response) -> Option<String> {
    let value = answer.headers().get(WWW_AUTHENTICATE)?;
    value.to_str().ok().map(str::to_owned)
}

fn refusal(challenge: &str) -> Refusal {
    match parameter(challenge, "error") {
        Some("insufficient_scope") => match parameter(challenge, "scope") {
            Some(scope) if is_scope(scope) => Refusal::Scope(scope.to_owned()),
            Some(_) | None => Refusal::Unavailable,
        },
        Some("insufficient_user_authentication") => Refusal::Login {
            acr_values: parameter(challenge, "acr_values").map(str::to_owned),
            max_age: parameter(challenge, "max_age").map(str::to_owned),
        },
        Some(_) | None => Refusal::Token,
    }
}

fn is_scope(text: &str) -> bool {
    text.parse::<Scope>().is_ok_and(|scope| !scope.is_empty())
}

/// A parameter of a challenge; its values hold neither quotes nor backslashes (RFC 6750 3).
fn parameter<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = challenge.strip_prefix("Bearer ")?;
    loop {
        let (key, after) = rest.split_once("=\"")?;
        let (value, after) = after.split_once('"')?;
        if key.trim_start_matches([',', ' ']) == name {
            return Some(value);
        }
        rest = after;
    }
}

/// What a refusal without a challenge says.
async fn told(answer: Response) -> Refusal {
    #[derive(Deserialize)]
    struct Told {
        message: String,
    }
    if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
        return Refusal::Unavailable;
    }
    match http::json::<Told>(answer).await {
        Some(told) => Refusal::Package(told.message.chars().take(LONGEST_MESSAGE).collect()),
        None => Refusal::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_says_what_to_ask_the_broker_for() {
        let scope = r#"Bearer error="insufficient_scope", error_description="The access token lacks a scope", scope="packages:publish""#;
        assert_eq!(
            refusal(scope),
            Refusal::Scope("packages:publish".to_owned())
        );
        let login = r#"Bearer error="insufficient_user_authentication", acr_values="urn:countersign:mfa phr", max_age="300""#;
        assert_eq!(
            refusal(login),
            Refusal::Login {
                acr_values: Some("urn:countersign:mfa phr".to_owned()),
                max_age: Some("300".to_owned()),
            }
        );
        assert_eq!(refusal(r#"Bearer realm="registry""#), Refusal::Token);
        assert_eq!(refusal(r#"Bearer error="invalid_token""#), Refusal::Token);
    }

    #[test]
    fn a_parameter_is_found_by_its_whole_name() {
        assert_eq!(
            parameter(r#"Bearer my_error="a", error="b""#, "error"),
            Some("b")
        );
        assert_eq!(
            parameter(r#"Bearer error_description="error=", scope="b""#, "error"),
            None
        );
        assert_eq!(parameter("Basic realm=\"x\"", "realm"), None);
    }
}
