//! What every OAuth server does: read parameters, hand out codes once, answer by redirect or form.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use url::Url;

use crate::control::{Received, lock};
use crate::faults::{Edit, edited_parameters};
use crate::{entropy, jwt, page};

/// Parameters by name; of a name given twice, the last.
pub(crate) type Params = BTreeMap<String, String>;

/// Parameters of the query and of a form body together.
pub(crate) fn params(request: &HttpRequest, body: &str) -> Params {
    [request.query_string(), body]
        .into_iter()
        .flat_map(|text| url::form_urlencoded::parse(text.as_bytes()).into_owned())
        .collect()
}

/// The request as the log keeps it.
pub(crate) fn received(request: &HttpRequest, params: &Params) -> Received {
    Received {
        path: request.path().to_owned(),
        params: params.clone(),
        authorization: header(request, "authorization").map(str::to_owned),
    }
}

/// A header's text.
pub(crate) fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

/// A parameter's value, where it is there and not empty.
pub(crate) fn param<'a>(params: &'a Params, name: &str) -> Option<&'a str> {
    params
        .get(name)
        .map(String::as_str)
        .filter(|value| !value.is_empty())
}

/// A list separated by spaces.
pub(crate) fn words(params: &Params, name: &str) -> Vec<String> {
    param(params, name)
        .into_iter()
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
        .collect()
}

/// The scopes asked for.
pub(crate) fn scopes(params: &Params) -> BTreeSet<String> {
    words(params, "scope").into_iter().collect()
}

/// What the `claims` parameter asks of one claim of the ID token: `value` and `values` as one list.
/// <https://openid.net/specs/openid-connect-core-1_0.html#IndividualClaimsRequests>
pub(crate) fn requested_claim(params: &Params, claim: &str) -> Option<RequestedClaim> {
    let claims: Value = serde_json::from_str(param(params, "claims")?).ok()?;
    let request = claims.get("id_token")?.get(claim)?;
    let values = request.get("values").and_then(Value::as_array);
    let values = values
        .into_iter()
        .flatten()
        .chain(request.get("value"))
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    Some(RequestedClaim {
        essential: request.get("essential") == Some(&Value::Bool(true)),
        values,
    })
}

#[derive(Clone, Debug)]
pub(crate) struct RequestedClaim {
    pub(crate) essential: bool,
    pub(crate) values: Vec<String>,
}

/// Client id and secret, from the `Authorization` header or the form.
pub(crate) fn credentials(request: &HttpRequest, form: &Params) -> Option<(String, String)> {
    if let Some(basic) =
        header(request, "authorization").and_then(|text| text.strip_prefix("Basic "))
    {
        let text = String::from_utf8(STANDARD.decode(basic.trim()).ok()?).ok()?;
        let (id, secret) = text.split_once(':')?;
        // RFC 6749 2.3.1: both are form-encoded before they go into the header.
        return Some((form_decoded(id), form_decoded(secret)));
    }
    let id = param(form, "client_id")?.to_owned();
    let secret = param(form, "client_secret").unwrap_or_default().to_owned();
    Some((id, secret))
}

fn form_decoded(text: &str) -> String {
    let mut pairs = url::form_urlencoded::parse(text.as_bytes());
    pairs
        .next()
        .map(|(text, _)| text.into_owned())
        .unwrap_or_default()
}

/// What a PKCE check of a token request says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pkce {
    Fits,
    VerifierMissing,
    VerifierWrong,
    /// RFC 9700 4.8.2: a verifier without an earlier challenge is a downgrade.
    VerifierUnasked,
}

/// Whether the verifier is the challenge's. S256 is the only method.
pub(crate) fn pkce(challenge: Option<&str>, form: &Params) -> Pkce {
    match (challenge, param(form, "code_verifier")) {
        (None, None) => Pkce::Fits,
        (None, Some(_)) => Pkce::VerifierUnasked,
        (Some(_), None) => Pkce::VerifierMissing,
        (Some(challenge), Some(verifier)) if jwt::sha256(verifier) == challenge => Pkce::Fits,
        (Some(_), Some(_)) => Pkce::VerifierWrong,
    }
}

/// Things handed out against a random string: codes (taken once) and access tokens (read).
pub(crate) struct Handed<T> {
    kept: Mutex<Kept<T>>,
}

struct Kept<T> {
    things: HashMap<String, Thing<T>>,
    /// When this many are kept, those at their end are dropped.
    limit: usize,
}

struct Thing<T> {
    value: T,
    ends: i64,
    taken: bool,
}

/// Why a code gives nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nothing {
    Unknown,
    Expired,
    Taken,
}

/// Things kept before the first clearing.
const FIRST_LIMIT: usize = 10_000;

impl<T: Clone> Handed<T> {
    pub(crate) fn new() -> Self {
        Self {
            kept: Mutex::new(Kept {
                things: HashMap::new(),
                limit: FIRST_LIMIT,
            }),
        }
    }

    /// Keeps a value until `ends`, and gives the string it is kept under.
    pub(crate) fn hand_out(&self, prefix: &str, value: T, now: i64, ends: i64) -> String {
        let name = format!("{prefix}{}", entropy::token());
        let mut kept = lock(&self.kept);
        if kept.things.len() >= kept.limit {
            kept.things
                .retain(|_, thing| thing.ends > now && !thing.taken);
            // Twice what is left, so that clearing stays cheap under load.
            kept.limit = FIRST_LIMIT.max(2 * kept.things.len());
        }
        let thing = Thing {
            value,
            ends,
            taken: false,
        };
        kept.things.insert(name.clone(), thing);
        name
    }

    /// The value, the first time and in time.
    pub(crate) fn take(&self, name: &str, now: i64) -> Result<T, Nothing> {
        let mut kept = lock(&self.kept);
        let thing = kept.things.get_mut(name).ok_or(Nothing::Unknown)?;
        if thing.taken {
            return Err(Nothing::Taken);
        }
        if thing.ends <= now {
            return Err(Nothing::Expired);
        }
        thing.taken = true;
        Ok(thing.value.clone())
    }

    /// The value, any number of times, in time, until it is taken.
    pub(crate) fn read(&self, name: &str, now: i64) -> Option<T> {
        let kept = lock(&self.kept);
        let thing = kept.things.get(name)?;
        (thing.ends > now && !thing.taken).then(|| thing.value.clone())
    }
}

/// How the answer travels to the redirect URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseMode {
    Query,
    Fragment,
    FormPost,
}

impl ResponseMode {
    /// The mode asked for, or the response type's own.
    pub(crate) fn of(params: &Params, usual: ResponseMode) -> Option<Self> {
        match param(params, "response_mode") {
            None => Some(usual),
            Some("query") => Some(ResponseMode::Query),
            Some("fragment") => Some(ResponseMode::Fragment),
            Some("form_post") => Some(ResponseMode::FormPost),
            Some(_) => None,
        }
    }
}

/// The answer, on its way.
pub(crate) fn deliver(
    redirect_uri: &str,
    mode: ResponseMode,
    parameters: Vec<(String, String)>,
    edits: &[Edit],
) -> HttpResponse {
    let parameters = edited_parameters(parameters, edits);
    let Ok(mut target) = Url::parse(redirect_uri) else {
        return HttpResponse::BadRequest().body("redirect_uri is no URL");
    };
    match mode {
        ResponseMode::FormPost => return page::form_post(redirect_uri, &parameters),
        ResponseMode::Query => {
            target.query_pairs_mut().extend_pairs(parameters);
        }
        ResponseMode::Fragment => {
            let mut fragment = url::form_urlencoded::Serializer::new(String::new());
            target.set_fragment(Some(&fragment.extend_pairs(parameters).finish()));
        }
    }
    HttpResponse::Found()
        .insert_header(("location", target.as_str()))
        .insert_header(("cache-control", "no-store"))
        .finish()
}

/// Name and value, for building answers.
pub(crate) fn pair(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_taken_once_and_in_time() {
        let codes = Handed::new();
        let code = codes.hand_out("", 7, 100, 160);
        assert_eq!(codes.take("other", 100), Err(Nothing::Unknown));
        assert_eq!(codes.take(&code, 160), Err(Nothing::Expired));
        assert_eq!(codes.take(&code, 159), Ok(7));
        assert_eq!(codes.take(&code, 159), Err(Nothing::Taken));
    }

    #[test]
    fn what_is_at_its_end_makes_room() {
        let codes = Handed::new();
        let first = codes.hand_out("", 1, 0, 10);
        let lasting = codes.hand_out("", 2, 0, 1_000);
        for _ in 0..FIRST_LIMIT {
            codes.hand_out("", 3, 50, 60);
        }
        assert_eq!(codes.take(&first, 5), Err(Nothing::Unknown));
        assert_eq!(codes.take(&lasting, 5), Ok(2));
    }

    #[test]
    fn a_verifier_fits_its_challenge_alone() {
        // RFC 7636 appendix B.
        let challenge = Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        let verifier = |text: &str| Params::from([pair("code_verifier", text)]);
        let right = verifier("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(pkce(challenge, &right), Pkce::Fits);
        assert_eq!(pkce(challenge, &verifier("other")), Pkce::VerifierWrong);
        assert_eq!(pkce(challenge, &Params::new()), Pkce::VerifierMissing);
        assert_eq!(pkce(None, &right), Pkce::VerifierUnasked);
    }

    #[test]
    fn a_requested_claim_is_read_with_value_and_values() {
        let claims =
            r#"{"id_token":{"acrs":{"essential":true,"value":"c1"},"acr":{"values":["a","b"]}}}"#;
        let params = Params::from([pair("claims", claims)]);
        let acrs = requested_claim(&params, "acrs").unwrap();
        assert!(acrs.essential);
        assert_eq!(acrs.values, ["c1"]);
        assert_eq!(requested_claim(&params, "acr").unwrap().values, ["a", "b"]);
        assert!(requested_claim(&params, "amr").is_none());
    }
}
