//! What a tool shows of who sends it, in the places that the registry's profile names.
//!
//! A tool has one credential. Where two places hold different ones, which of them counts is what an attacker would choose,
//! so neither does; and what stands in the one place that everybody uses and can't be read is never passed over.

use actix_web::http::header::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_core::registry::{Form, Source};
use url::form_urlencoded;

/// The longest credential, in bytes.
const LONGEST: usize = 16 * 1024;

/// What a request shows.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing.
    Nothing,
    /// This secret.
    Secret(String),
    /// The cookie of a browser that is signed in here, which is looked at elsewhere.
    Session,
    /// Something, and it is no credential.
    Unreadable,
}

/// What a request shows in these places. `query` is that of its target.
pub(super) fn shown(sources: &[Source], headers: &HeaderMap, query: Option<&str>) -> Shown {
    let mut found = Shown::Nothing;
    let mut is_read = false;
    for source in sources {
        let next = match source {
            Source::Authorization { scheme, form, user } => {
                let read = authorization(scheme.as_deref(), *form, user.as_deref(), headers);
                is_read |= read != Shown::Unreadable;
                if read == Shown::Unreadable {
                    continue;
                }
                read
            }
            Source::Header(name) => header(name, headers),
            Source::Query(name) => parameter(name, query),
            Source::Session => Shown::Session,
        };
        found = match (found, next) {
            (one, Shown::Nothing) | (Shown::Nothing, one) => one,
            // Browsers send their cookies along with whatever else there is.
            (Shown::Secret(one), Shown::Session) | (Shown::Session, Shown::Secret(one)) => {
                Shown::Secret(one)
            }
            (one, other) if one == other => one,
            (_, _) => return Shown::Unreadable,
        };
    }
    let has_header = headers.contains_key("authorization");
    if has_header && !is_read && found == Shown::Nothing {
        return Shown::Unreadable;
    }
    found
}

fn authorization(
    scheme: Option<&str>,
    form: Form,
    user: Option<&str>,
    headers: &HeaderMap,
) -> Shown {
    let value = match only(headers, "authorization") {
        Ok(Some(value)) => value,
        Ok(None) => return Shown::Nothing,
        Err(Twice) => return Shown::Unreadable,
    };
    let rest = match scheme {
        Some(scheme) => match value.split_once(' ') {
            Some((found, rest)) if found.eq_ignore_ascii_case(scheme) => rest.trim_matches(' '),
            Some(_) | None => return Shown::Unreadable,
        },
        None => value,
    };
    let password = match form {
        Form::Plain => return credential(rest.to_owned()),
        Form::Pair => password(rest, user),
        Form::Base64Pair => decoded(rest).and_then(|pair| password(&pair, user)),
    };
    // People type it, and may type spaces into a code.
    let is_good = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    password.map_or(Shown::Unreadable, |text| secret(text, is_good))
}

fn header(name: &str, headers: &HeaderMap) -> Shown {
    match only(headers, name) {
        Ok(Some(value)) => credential(value.to_owned()),
        Ok(None) => Shown::Nothing,
        Err(Twice) => Shown::Unreadable,
    }
}

fn parameter(name: &str, query: Option<&str>) -> Shown {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let mut named = pairs.filter(|(found, _)| found == name);
    match (named.next(), named.next()) {
        (None, _) => Shown::Nothing,
        (Some((_, value)), None) => credential(value.into_owned()),
        (Some(_), Some(_)) => Shown::Unreadable,
    }
}

/// A credential is visible ASCII: an access token (RFC 6750 2.1) or a key of ours.
fn credential(text: String) -> Shown {
    secret(text, u8::is_ascii_graphic)
}

fn secret(text: String, is_good: impl Fn(&u8) -> bool) -> Shown {
    let is_good = !text.is_empty() && text.len() <= LONGEST && text.as_bytes().iter().all(is_good);
    if is_good {
        Shown::Secret(text)
    } else {
        Shown::Unreadable
    }
}

/// RFC 7617 2: what follows the first colon.
fn password(pair: &str, user: Option<&str>) -> Option<String> {
    let (name, password) = pair.split_once(':')?;
    user.is_none_or(|user| user == name)
        .then(|| password.to_owned())
}

fn decoded(text: &str) -> Option<String> {
    let bytes = STANDARD.decode(text).ok()?;
    String::from_utf8(bytes).ok()
}

/// A header that stands twice.
struct Twice;

fn only<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Twice> {
    let mut values = headers.get_all(name);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Twice),
        (Some(_), Some(_)) => Err(Twice),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn basic(user: Option<&str>) -> Source {
        Source::Authorization {
            scheme: Some("Basic".to_owned()),
            form: Form::Base64Pair,
            user: user.map(str::to_owned),
        }
    }

    fn bearer(form: Form) -> Source {
        Source::Authorization {
            scheme: Some("Bearer".to_owned()),
            form,
            user: None,
        }
    }

    fn raw() -> Source {
        Source::Authorization {
            scheme: None,
            form: Form::Plain,
            user: None,
        }
    }

    #[track_caller]
    fn check(sources: &[Source], lines: &[&str], query: Option<&str>, expected: &str) {
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            let name = HeaderName::try_from(name).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let found = match shown(sources, &headers, query) {
            Shown::Nothing => "nothing".to_owned(),
            Shown::Secret(secret) => format!("secret {secret}"),
            Shown::Session => "session".to_owned(),
            Shown::Unreadable => "unreadable".to_owned(),
        };
        assert_eq!(found, expected, "{lines:?}");
    }

    #[test]
    fn each_tool_s_credential_is_found_where_it_puts_it() {
        let pypi = [basic(Some("__token__"))];
        // __token__:k1
        check(
            &pypi,
            &["Authorization: Basic X190b2tlbl9fOmsx"],
            None,
            "secret k1",
        );
        check(
            &pypi,
            &["authorization: basic X190b2tlbl9fOmsx"],
            None,
            "secret k1",
        );
        // ann:k1
        check(
            &pypi,
            &["Authorization: Basic YW5uOmsx"],
            None,
            "unreadable",
        );
        check(
            &[basic(None)],
            &["Authorization: Basic YW5uOmsx"],
            None,
            "secret k1",
        );
        // ann:bc df
        check(
            &[basic(None)],
            &["Authorization: Basic YW5uOmJjIGRm"],
            None,
            "secret bc df",
        );
        // ann:a, and a line end
        check(
            &[basic(None)],
            &["Authorization: Basic YW5uOmEK"],
            None,
            "unreadable",
        );
        check(&[raw()], &["Authorization: k1"], None, "secret k1");
        check(&[raw()], &["Authorization: Bearer k1"], None, "unreadable");
        let npm = [bearer(Form::Plain)];
        check(&npm, &["Authorization: Bearer k1"], None, "secret k1");
        check(&npm, &[], None, "nothing");
        let maven = [basic(None), bearer(Form::Base64Pair)];
        check(
            &maven,
            &["Authorization: Bearer YW5uOmsx"],
            None,
            "secret k1",
        );
        check(
            &maven,
            &["Authorization: Basic YW5uOmsx"],
            None,
            "secret k1",
        );
        let packagist = [bearer(Form::Pair), Source::Query("apiToken".to_owned())];
        check(
            &packagist,
            &["Authorization: Bearer ann:k1"],
            None,
            "secret k1",
        );
        check(
            &packagist,
            &[],
            Some("username=ann&apiToken=k1"),
            "secret k1",
        );
        let nuget = [Source::Header("x-nuget-apikey".to_owned())];
        check(&nuget, &["X-NuGet-ApiKey: k1"], None, "secret k1");
        check(&[Source::Session], &["Cookie: a=b"], None, "session");
    }

    #[test]
    fn what_is_there_and_no_credential_is_never_passed_over() {
        let npm = [bearer(Form::Plain)];
        for line in [
            "Authorization: Basic YW5uOmsx",
            "Authorization: Digest username=\"ann\"",
            "Authorization: Bearer",
            "Authorization: Bearer ",
            "Authorization: Bearer a b",
            "Authorization: k1",
        ] {
            check(&npm, &[line], None, "unreadable");
        }
        check(
            &[basic(None)],
            &["Authorization: Basic !!!"],
            None,
            "unreadable",
        );
        check(
            &[basic(None)],
            &["Authorization: Basic YW5u"],
            None,
            "unreadable",
        );
        let nuget = [Source::Header("x-nuget-apikey".to_owned())];
        check(&nuget, &["Authorization: Bearer k1"], None, "unreadable");
    }

    #[test]
    fn of_two_credentials_none_counts() {
        let both = [bearer(Form::Plain), Source::Header("x-api-key".to_owned())];
        let line = "Authorization: Bearer k1";
        check(&both, &[line, "X-API-Key: k2"], None, "unreadable");
        check(&both, &[line, "X-API-Key: k1"], None, "secret k1");
        check(&both, &[line, line], None, "unreadable");
        check(
            &both,
            &["X-API-Key: k1", "X-API-Key: k1"],
            None,
            "unreadable",
        );
        let query = [Source::Query("t".to_owned())];
        check(&query, &[], Some("t=k1&t=k1"), "unreadable");
        let browser = [Source::Session, bearer(Form::Plain)];
        check(&browser, &[line, "Cookie: a=b"], None, "secret k1");
    }
}
