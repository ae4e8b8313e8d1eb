//! A client says who it is by a JWT that it signs: `private_key_jwt` (RFC 7523 3, OpenID Connect Core 9).
//!
//! Its keys are in the configuration, or where that says; nothing that the JWT itself says of keys counts.
//! Each is good once, on whichever replica, and for minutes only.

use countersign_core::ClientId;
use countersign_providers::{PublishedKeys, SignedJwt};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::unavailable;
use crate::client_jwt::{self, AHEAD, LONGEST_ID, NotVerified, instant};
use crate::error::{Failure, OAuthError};
use crate::once::{Kind, is_first};
use crate::settings::Profile;
use crate::web::Context;

/// The `client_assertion_type` of RFC 7523 2.2.
pub(super) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The `typ` of what a client signs to say who it is: none, `JWT`, or the one that has been made for it
/// (draft-ietf-oauth-rfc7523bis 4).
const TYPES: [&str; 2] = ["JWT", "client-authentication+jwt"];

/// How far ahead its end may lie. Libraries make them for one minute, some for five.
const LONGEST_LIFE: SignedDuration = SignedDuration::from_mins(10);

/// The client that an assertion says it is of. Nothing is verified yet.
pub(super) fn claimed_client(assertion: &str) -> Option<ClientId> {
    let jwt = SignedJwt::parse(assertion).ok()?;
    ClientId::new(jwt.claimed("sub")?).ok()
}

/// Checks an assertion of this client, and remembers it.
pub(super) async fn check(
    assertion: &str,
    client: &ClientId,
    keys: &PublishedKeys,
    context: &Context<'_>,
) -> Result<(), Failure> {
    let claims = verified(assertion, client, keys, context).await?;
    let audiences = audiences(client, context);
    let read = Claims::read(&claims, client, &audiences, context.now);
    let claims = read.map_err(|why| refused(client, why, context))?;
    let names = [client.as_str(), claims.id];
    match is_first(Kind::ClientAssertion, &names, claims.expires_at, context).await {
        Ok(true) => Ok(()),
        // RFC 7523 3 (7), OpenID Connect Core 9: used once.
        Ok(false) => Err(refused(client, "its `jti` was used before", context)),
        Err(error) => Err(unavailable(&error, context)),
    }
}

async fn verified(
    assertion: &str,
    client: &ClientId,
    keys: &PublishedKeys,
    context: &Context<'_>,
) -> Result<Map<String, Value>, Failure> {
    let verified = client_jwt::verified(assertion, &TYPES, (client, keys), context).await;
    verified.map_err(|error| match error {
        NotVerified::NoKeys => OAuthError::unavailable(),
        NotVerified::Refused(why) => refused(client, &why, context),
    })
}

/// By which names an assertion may say that it is for us.
enum Audiences {
    /// The issuer, as a text (FAPI 2.0 5.3.2.1 (8)): what is for one endpoint could be sent on to another.
    Issuer(String),
    /// RFC 7523 3 (3): ourselves. RFC 9126 2 has clients name the endpoint, and libraries do.
    Any([String; 3]),
}

fn audiences(client: &ClientId, context: &Context<'_>) -> Audiences {
    let settings = &context.broker.settings;
    let issuer = settings.issuer().to_owned();
    match client_jwt::profile(client, context) {
        Profile::Fapi2 => Audiences::Issuer(issuer),
        Profile::Plain => Audiences::Any([
            issuer,
            settings.endpoint("/token"),
            settings.endpoint(context.request.path()),
        ]),
    }
}

impl Audiences {
    /// One audience, and it is one of these: with a second, whoever that is could use it here.
    fn hold(&self, audience: Option<&Value>) -> bool {
        match (self, audience) {
            (Self::Issuer(issuer), Some(Value::String(one))) => one == issuer,
            (Self::Any(names), Some(Value::String(one))) => names.contains(one),
            (Self::Any(names), Some(Value::Array(many))) => match many.as_slice() {
                [Value::String(one)] => names.contains(one),
                _ => false,
            },
            (Self::Issuer(_) | Self::Any(_), _) => false,
        }
    }
}

/// What of an assertion is needed further.
#[derive(Debug, PartialEq, Eq)]
struct Claims<'a> {
    id: &'a str,
    expires_at: Timestamp,
}

impl<'a> Claims<'a> {
    /// RFC 7523 3; what is wrong, in words.
    fn read(
        claims: &'a Map<String, Value>,
        client: &ClientId,
        audiences: &Audiences,
        now: Timestamp,
    ) -> Result<Self, &'static str> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        for (name, why) in [
            ("iss", "its `iss` is not the client"),
            ("sub", "its `sub` is not the client"),
        ] {
            if text(name) != Some(client.as_str()) {
                return Err(why);
            }
        }
        if !audiences.hold(claims.get("aud")) {
            return Err("its `aud` is not this server, or not only");
        }
        let expires_at = expiry(claims, now)?;
        for name in ["iat", "nbf"] {
            let ahead = |then: Timestamp| then.duration_since(now) > AHEAD;
            if claims.contains_key(name) && instant(claims, name).is_none_or(ahead) {
                return Err("its `iat` or `nbf` lies in the future, or is no time");
            }
        }
        let id = text("jti").filter(|id| (1..=LONGEST_ID).contains(&id.len()));
        let id = id.ok_or("its `jti` is missing, or longer than 256 bytes")?;
        Ok(Self { id, expires_at })
    }
}

fn expiry(claims: &Map<String, Value>, now: Timestamp) -> Result<Timestamp, &'static str> {
    let expires_at = instant(claims, "exp").ok_or("its `exp` is missing, or is no time")?;
    let left = expires_at.duration_since(now);
    if left <= SignedDuration::ZERO {
        return Err("it has expired");
    }
    if left > LONGEST_LIFE {
        return Err("its `exp` lies more than ten minutes ahead");
    }
    Ok(expires_at)
}

fn refused(client: &ClientId, why: &str, context: &Context<'_>) -> Failure {
    tracing::info!(code = "client-assertion-refused", request = %context.request_id, %client, cause = why, "a client's assertion is not good");
    OAuthError::invalid_client()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn read(claims: &Value) -> Result<i64, &'static str> {
        let client = ClientId::new("gallery").unwrap();
        let names = [
            "https://login.example",
            "https://login.example/token",
            "https://login.example/par",
        ];
        let audiences = Audiences::Any(names.map(str::to_owned));
        let now = Timestamp::from_second(NOW).unwrap();
        let claims = claims.as_object().unwrap();
        Claims::read(claims, &client, &audiences, now).map(|claims| claims.expires_at.as_second())
    }

    fn good() -> Value {
        json!({
            "iss": "gallery", "sub": "gallery", "aud": "https://login.example",
            "jti": "1", "iat": NOW, "exp": NOW + 60,
        })
    }

    #[track_caller]
    fn check(name: &str, value: Value, expected: Result<i64, ()>) {
        let mut claims = good();
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        assert_eq!(read(&claims).map_err(drop), expected, "{claims}");
    }

    #[test]
    fn an_assertion_is_of_the_client_for_us_for_minutes_and_has_a_name() {
        let fine = Ok(NOW + 60);
        check("jti", json!("another"), fine);
        for (name, good) in [
            ("aud", json!("https://login.example/token")),
            ("aud", json!(["https://login.example"])),
            ("iat", Value::Null),
            ("iat", json!(NOW + 10)),
            ("iat", json!(NOW - 3600)),
            ("nbf", json!(NOW + 10)),
            ("unknown", json!(["ignored"])),
        ] {
            check(name, good, fine);
        }
        check("exp", json!(NOW + 600), Ok(NOW + 600));
        check("exp", json!(f64::from(1_800_000_060) + 0.5), fine);
        for (name, bad) in [
            ("iss", json!("other")),
            ("iss", Value::Null),
            ("sub", json!("other")),
            ("sub", json!(["gallery"])),
            ("aud", Value::Null),
            ("aud", json!("https://login.example/")),
            ("aud", json!("https://evil.example")),
            ("aud", json!([])),
            (
                "aud",
                json!(["https://login.example", "https://evil.example"]),
            ),
            (
                "aud",
                json!(["https://login.example", "https://login.example/token"]),
            ),
            ("exp", Value::Null),
            ("exp", json!(NOW)),
            ("exp", json!(NOW - 1)),
            ("exp", json!(NOW + 601)),
            ("exp", json!("1800000060")),
            ("exp", json!(1e300)),
            ("iat", json!(NOW + 61)),
            ("iat", json!("1800000000")),
            ("nbf", json!(NOW + 61)),
            ("jti", Value::Null),
            ("jti", json!("")),
            ("jti", json!(1)),
            ("jti", json!("j".repeat(257))),
        ] {
            check(name, bad, Err(()));
        }
    }
}
