//! What a client sends to the token endpoint, read: by GET (`token.md`), or by POST as OAuth has it (`oauth.md`).
//!
//! `account` and `client_id` are what a client calls itself and its user, and are not looked at.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use url::form_urlencoded;

use super::scope::{Asked, NotAScope};
use crate::error::{DockerError, Failure};
use crate::web::{Context, Parameters};

/// The longest user name and password, in bytes; what we give is far shorter.
const LONGEST: usize = 4096;

/// A request for a token.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) asked: Asked,
    pub(super) shown: Shown,
    pub(super) keeping: Keeping,
}

/// By what somebody shows who they are.
#[derive(Debug)]
pub(super) enum Shown {
    /// By nothing.
    Nothing,
    /// As Basic has it (RFC 7617), or the grant `password`.
    Password {
        user: String,
        password: SecretString,
    },
    /// By what they kept of a `docker login`.
    IdentityToken(SecretString),
}

/// Whether the client would keep something in the place of the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeping {
    Nothing,
    IdentityToken,
}

/// By GET: everything in the query, and the password in the header.
pub(super) fn by_query(service: &str, context: &Context<'_>) -> Result<Wanted, Failure> {
    let query = context.request.query_string().as_bytes();
    let parameters = parameters(query, service)?;
    let keeping = match parameters.one("offline_token") {
        Some("true" | "1") => Keeping::IdentityToken,
        Some(_) | None => Keeping::Nothing,
    };
    Ok(Wanted {
        asked: asked(query)?,
        shown: in_header(context)?,
        keeping,
    })
}

/// By POST: everything in the form.
pub(super) fn by_form(
    form: &[u8],
    service: &str,
    context: &Context<'_>,
) -> Result<Wanted, Failure> {
    let mut parameters = parameters(form, service)?;
    if !matches!(in_header(context)?, Shown::Nothing) {
        return Err(unreadable("a password in the header, besides the form"));
    }
    let keeping = match parameters.one("access_type") {
        Some("offline") => Keeping::IdentityToken,
        Some(_) | None => Keeping::Nothing,
    };
    let mut take = |name| parameters.take(name).filter(|text| text.len() <= LONGEST);
    let shown = match take("grant_type").as_deref() {
        Some("refresh_token") => {
            let token = take("refresh_token").ok_or_else(|| unreadable("no `refresh_token`"))?;
            Shown::IdentityToken(token.into())
        }
        Some("password") => {
            let password = take("password").ok_or_else(|| unreadable("no `password`"))?;
            Shown::Password {
                user: take("username").unwrap_or_default(),
                password: password.into(),
            }
        }
        Some(_) | None => {
            return Err(DockerError::unsupported(
                "`grant_type` is neither `password` nor `refresh_token`",
            ));
        }
    };
    Ok(Wanted {
        asked: asked(form)?,
        shown,
        keeping,
    })
}

/// All but the scopes, which alone may stand more than once; they are for this registry.
fn parameters(encoded: &[u8], service: &str) -> Result<Parameters, Failure> {
    let parameters = Parameters::read(encoded);
    let once = [
        "service",
        "offline_token",
        "access_type",
        "grant_type",
        "refresh_token",
        "username",
        "password",
    ];
    if once.iter().any(|name| parameters.has_twice(name)) {
        return Err(unreadable("a parameter that stands twice"));
    }
    match parameters.one("service") {
        Some(named) if named != service => {
            Err(unreadable("another `service` than this registry's"))
        }
        Some(_) | None => Ok(parameters),
    }
}

fn asked(encoded: &[u8]) -> Result<Asked, Failure> {
    let pairs = form_urlencoded::parse(encoded).filter(|(name, _)| name == "scope");
    let scopes: Vec<String> = pairs.map(|(_, value)| value.into_owned()).collect();
    let asked = Asked::read(scopes.iter().map(String::as_str));
    asked.map_err(|NotAScope| unreadable("a `scope` that is none, or too many of them"))
}

/// RFC 7617 2: one header, one scheme; a user name has no colon, a password may.
fn in_header(context: &Context<'_>) -> Result<Shown, Failure> {
    let mut headers = context.request.headers().get_all("authorization");
    let (header, more) = (headers.next(), headers.next());
    let Some(header) = header else {
        return Ok(Shown::Nothing);
    };
    let pair = header
        .to_str()
        .ok()
        .filter(|_| more.is_none())
        .and_then(basic);
    let (user, password) =
        pair.ok_or_else(|| unreadable("an `Authorization` that is not Basic"))?;
    if user.is_empty() && password.is_empty() {
        // What some clients send who have nothing.
        return Ok(Shown::Nothing);
    }
    let password = password.into();
    Ok(Shown::Password { user, password })
}

fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > LONGEST {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim_start()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn unreadable(what: &'static str) -> Failure {
    DockerError::unsupported(format!("the request has {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_read_as_the_rfc_has_it() {
        let read = |header: &str| basic(header);
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        // RFC 7617 2.
        assert_eq!(
            read("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            pair("Aladdin", "open sesame")
        );
        assert_eq!(read("bAsIc YTpiOmM="), pair("a", "b:c"));
        for bent in [
            "",
            "Basic",
            "Basic !",
            "Bearer YTpi",
            "Basic YQ==",
            "Basic /w==",
        ] {
            assert_eq!(read(bent), None, "{bent}");
        }
        let long = STANDARD.encode("a:b".repeat(LONGEST));
        assert_eq!(read(&format!("Basic {long}")), None);
    }
}
