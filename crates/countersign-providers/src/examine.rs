//! What a provider says of itself when nobody signs in: for an operator who wants to know what is wrong.
//!
//! Each step is one request, and tells what came of it; what is good enough is the caller's to judge. Nothing is
//! sent that the provider does not tell everybody: no secret, and no code.

use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use url::Url;

use crate::http::{Http, Reach, by_status};
use crate::key_set::KeySet;
use crate::metadata::Metadata;
use crate::oidc::SigningAlgorithm;
use crate::{Provider, ProviderError};

/// How far its clock and ours may differ: an ID token is refused that is further from now than this.
pub const MOST_CLOCK_DIFFERENCE: SignedDuration = crate::id_token::LEEWAY;

/// One request, and what came of it.
#[derive(Debug)]
pub struct Step {
    /// What was asked for.
    pub what: Asked,
    /// Where.
    pub url: Url,
    /// What was found.
    pub found: Result<Reply, ProviderError>,
}

/// What a provider is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Its description (OpenID Connect Discovery 4), which must name the issuer that is configured.
    Description,
    /// The keys that it signs ID tokens with.
    Keys,
    /// The page that people are sent to.
    SignIn,
    /// The API that is asked for the person (GitHub).
    Api,
}

/// An answer that is as it should be.
#[derive(Debug, Clone, Copy)]
pub struct Reply {
    /// How long it took.
    pub took: SignedDuration,
    /// How far the provider's clock is ahead of ours, to the second, where it tells the time.
    pub ahead: Option<SignedDuration>,
    /// Of a key set: how many keys we can verify with.
    pub keys: Option<usize>,
}

/// An answer to a plain GET.
#[derive(Debug)]
pub struct Look {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: http::HeaderMap,
    /// Its body, within the cap.
    pub body: Vec<u8>,
    /// How long it took, and what time it is there.
    pub reply: Reply,
}

impl Provider {
    /// Asks the provider for what it tells everybody, one after the other; stops at the first that fails and that
    /// the rest would rest on.
    pub async fn examine(&self, now: &dyn Fn() -> Timestamp) -> Vec<Step> {
        match self {
            Self::Microsoft(one) => one.examine(now).await,
            Self::GitHub(one) => one.examine(now).await,
            Self::Oidc(one) => one.examine(now).await,
        }
    }
}

impl Http {
    /// Gets an address, whatever its status.
    pub async fn look(
        &self,
        url: &Url,
        now: &dyn Fn() -> Timestamp,
    ) -> Result<Look, ProviderError> {
        self.look_within(url, Reach::of(url), now).await
    }

    pub(crate) async fn look_within(
        &self,
        url: &Url,
        reach: Reach,
        now: &dyn Fn() -> Timestamp,
    ) -> Result<Look, ProviderError> {
        let request = http::Request::get(url.as_str())
            .header("accept", "application/json, text/html;q=0.9, */*;q=0.8")
            .body(Vec::new())
            .map_err(|_| ProviderError::Answer("an address that can't be asked"))?;
        let before = now();
        let (parts, body) = self.send(request, reach).await?.into_parts();
        let took = now().duration_since(before);
        let reply = Reply {
            took,
            ahead: date(&parts.headers).map(|date| ahead(date, before, took)),
            keys: None,
        };
        Ok(Look {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
            reply,
        })
    }
}

/// A provider that describes itself: where, and what its description must be.
pub(crate) struct Described<'a> {
    pub(crate) http: &'a Http,
    pub(crate) reach: Reach,
    pub(crate) url: Url,
    /// Whether this is the issuer that is configured.
    pub(crate) is_issuer: &'a (dyn Fn(&str) -> bool + Sync),
    pub(crate) algorithm: SigningAlgorithm,
}

impl Described<'_> {
    /// Its description, and what that names.
    pub(crate) async fn examine(self, now: &dyn Fn() -> Timestamp) -> Vec<Step> {
        let found = self.document::<Metadata>(&self.url, now).await;
        let found = found.and_then(|(metadata, reply)| {
            self.reach.check(&metadata.authorization_endpoint)?;
            self.reach.check(&metadata.jwks_uri)?;
            if (self.is_issuer)(&metadata.issuer) {
                Ok((metadata, reply))
            } else {
                Err(ProviderError::Answer(
                    "its description names another issuer",
                ))
            }
        });
        let step = |what, url: &Url, found| Step {
            what,
            url: url.clone(),
            found,
        };
        match found {
            Err(error) => vec![step(Asked::Description, &self.url, Err(error))],
            Ok((metadata, reply)) => {
                let keys = self.keys(&metadata.jwks_uri, now).await;
                let page = &metadata.authorization_endpoint;
                let sign_in = self.http.look_within(page, self.reach, now).await;
                vec![
                    step(Asked::Description, &self.url, Ok(reply)),
                    step(Asked::Keys, &metadata.jwks_uri, keys),
                    step(Asked::SignIn, page, sign_in.and_then(|look| answers(&look))),
                ]
            }
        }
    }

    async fn keys(&self, url: &Url, now: &dyn Fn() -> Timestamp) -> Result<Reply, ProviderError> {
        let (keys, reply) = self.document::<KeySet>(url, now).await?;
        match keys.count(self.algorithm) {
            0 => Err(ProviderError::Answer(
                "no key of its key set is for the algorithm that is configured (`id_token_signed_response_alg`)",
            )),
            count => Ok(Reply {
                keys: Some(count),
                ..reply
            }),
        }
    }

    async fn document<T: DeserializeOwned>(
        &self,
        url: &Url,
        now: &dyn Fn() -> Timestamp,
    ) -> Result<(T, Reply), ProviderError> {
        let look = self.http.look_within(url, self.reach, now).await?;
        if look.status != 200 {
            return Err(by_status(look.status));
        }
        let read = serde_json::from_slice(&look.body);
        let read =
            read.map_err(|_| ProviderError::Answer("not the JSON document that was expected"))?;
        Ok((read, look.reply))
    }
}

/// Whether something answers that is not broken: without the parameters of a login a provider complains.
pub(crate) fn answers(look: &Look) -> Result<Reply, ProviderError> {
    match look.status {
        500.. => Err(by_status(look.status)),
        _ => Ok(look.reply),
    }
}

/// The time that an answer was made at (RFC 9110 6.6.1).
fn date(headers: &http::HeaderMap) -> Option<Timestamp> {
    let text = headers.get("date")?.to_str().ok()?;
    let parser = jiff::fmt::rfc2822::DateTimeParser::new();
    parser.parse_timestamp(text).ok()
}

/// How far a clock is ahead that showed `date` in the midst of a request. It shows whole seconds, so half a second
/// is added; what is left is good to about a second.
fn ahead(date: Timestamp, before: Timestamp, took: SignedDuration) -> SignedDuration {
    let middle = before + took / 2;
    (date + SignedDuration::from_millis(500)).duration_since(middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_compared_with_the_middle_of_the_request() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let before = at("2027-03-08T10:00:00Z");
        let check = |date: &str, took: i64, expected: i64| {
            let took = SignedDuration::from_millis(took);
            let found = ahead(at(date), before, took).as_millis();
            assert_eq!(found, i128::from(expected), "{date}");
        };
        check("2027-03-08T10:00:00Z", 1_000, 0);
        check("2027-03-08T10:00:30Z", 1_000, 30_000);
        check("2027-03-08T09:58:00Z", 3_000, -121_000);
    }

    #[test]
    fn the_date_of_an_answer_is_read_as_http_writes_it() {
        let mut headers = http::HeaderMap::new();
        assert_eq!(date(&headers), None);
        headers.insert("date", "Mon, 08 Mar 2027 10:00:00 GMT".parse().unwrap());
        assert_eq!(date(&headers), "2027-03-08T10:00:00Z".parse().ok());
        headers.insert("date", "yesterday".parse().unwrap());
        assert_eq!(date(&headers), None);
    }
}
