//! What an OpenID Connect provider says when a session of its own has ended (Back-Channel Logout 1.0).

use countersign_core::Identity;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::LoggedOut;
use crate::id_token::{LEEWAY, TokenFault};

/// The member of `events` that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How old a logout token may be: providers send it at once, and try again for a while.
const OLDEST: SignedDuration = SignedDuration::from_mins(10);

/// Reads the claims of a logout token whose signature has been verified: 2.6 of the specification, (4) to (7).
/// A token that comes twice ends nothing twice, so its `jti` is not kept.
pub(super) fn read(
    claims: &Map<String, Value>,
    (issuer, client_id): (&str, &str),
    now: Timestamp,
) -> Result<LoggedOut, TokenFault> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(issuer) {
        return Err(TokenFault::Claim("iss"));
    }
    let is_ours = match claims.get("aud") {
        Some(Value::String(one)) => one == client_id,
        Some(Value::Array(many)) => many.iter().any(|one| one.as_str() == Some(client_id)),
        _ => false,
    };
    if !is_ours {
        return Err(TokenFault::Claim("aud"));
    }
    check_times(claims, now)?;
    if text("jti").is_none() {
        return Err(TokenFault::Claim("jti"));
    }
    let is_logout = claims
        .get("events")
        .and_then(|events| events.get(EVENT))
        .is_some_and(Value::is_object);
    if !is_logout {
        return Err(TokenFault::Claim("events"));
    }
    // A token with a nonce is an ID token that somebody tries to pass off.
    if claims.contains_key("nonce") {
        return Err(TokenFault::Claim("nonce"));
    }
    let person = text("sub").map(|subject| Identity::Oidc {
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
    });
    match (text("sid"), person) {
        (Some(sid), subject) => Ok(LoggedOut::Session {
            sid: sid.to_owned(),
            subject,
        }),
        (None, Some(person)) => Ok(LoggedOut::Person(person)),
        (None, None) => Err(TokenFault::Claim("sub")),
    }
}

fn check_times(claims: &Map<String, Value>, now: Timestamp) -> Result<(), TokenFault> {
    let instant = |name: &str| {
        let seconds = claims.get(name).and_then(Value::as_i64)?;
        Timestamp::from_second(seconds).ok()
    };
    let issued = instant("iat").ok_or(TokenFault::Claim("iat"))?;
    let age = now.duration_since(issued);
    if age < -LEEWAY || age > OLDEST {
        return Err(TokenFault::Claim("iat"));
    }
    match (claims.get("exp"), instant("exp")) {
        (None, _) => Ok(()),
        (Some(_), Some(exp)) if now.duration_since(exp) < LEEWAY => Ok(()),
        (Some(_), _) => Err(TokenFault::Claim("exp")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://id.example";

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    /// The usual token with these members changed, or taken away where null.
    fn read_with(changes: &Value) -> Result<LoggedOut, TokenFault> {
        let mut claims = json!({
            "iss": ISSUER, "aud": "us", "iat": 1_800_000_000, "exp": 1_800_000_120, "jti": "1",
            "sub": "ann", "sid": "s1", "events": { EVENT: {} },
        });
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        read(claims.as_object().unwrap(), (ISSUER, "us"), now())
    }

    #[test]
    fn it_means_a_session_or_where_it_names_none_a_person() {
        let ann = Identity::Oidc {
            issuer: ISSUER.into(),
            subject: "ann".into(),
        };
        let of = |sid: &str, subject| LoggedOut::Session {
            sid: sid.into(),
            subject,
        };
        assert_eq!(read_with(&json!({})), Ok(of("s1", Some(ann.clone()))));
        assert_eq!(read_with(&json!({"sub": null})), Ok(of("s1", None)));
        assert_eq!(read_with(&json!({"sid": null})), Ok(LoggedOut::Person(ann)));
        assert!(read_with(&json!({"aud": ["us"], "exp": null})).is_ok());
    }

    /// The modules of the conformance suite's plan for relying parties, and some more.
    #[test]
    fn each_claim_broken_one_at_a_time() {
        for (changes, named) in [
            (json!({"iss": "https://other.example"}), "iss"),
            (json!({"aud": "them"}), "aud"),
            (json!({"aud": null}), "aud"),
            (json!({"iat": null}), "iat"),
            (json!({"iat": 1_799_999_000}), "iat"),
            (json!({"iat": 1_800_000_100}), "iat"),
            (json!({"exp": 1_799_999_900}), "exp"),
            (json!({"exp": "soon"}), "exp"),
            (json!({"jti": null}), "jti"),
            (json!({"events": null}), "events"),
            (json!({"events": {"http://else.example": {}}}), "events"),
            (json!({"events": { EVENT: "yes" }}), "events"),
            (json!({"nonce": "n"}), "nonce"),
            (json!({"sub": null, "sid": null}), "sub"),
        ] {
            assert_eq!(
                read_with(&changes),
                Err(TokenFault::Claim(named)),
                "{changes}"
            );
        }
    }
}
