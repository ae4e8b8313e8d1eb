//! The registry's HTTP client, and how it reads JSON.

use std::time::Duration;

use reqwest::{Client, Response, redirect};
use serde::de::DeserializeOwned;

/// How long a request may take in all; a person is waiting.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Makes the client. A redirect is never an answer here, and the way is never through a proxy.
#[expect(
    clippy::disallowed_methods,
    reason = "the sample is a program of its own, apart from the broker"
)]
pub(super) fn client() -> reqwest::Result<Client> {
    Client::builder()
        .redirect(redirect::Policy::none())
        .timeout(TIMEOUT)
        .no_proxy()
        .build()
}

/// The JSON of an answer, if it is that.
pub(super) async fn json<T: DeserializeOwned>(answer: Response) -> Option<T> {
    serde_json::from_slice(&answer.bytes().await.ok()?).ok()
}
