//! Which token a request carries.

use crate::error::Error;

/// Takes the token out of the value of an `Authorization` header.
///
/// Tokens in the query or in the body (RFC 6750, sections 2.2 and 2.3) are not read: they end up in
/// logs and histories. Another scheme, such as `Basic`, counts as no token.
///
/// ```
/// use countersign_verifier::bearer;
/// assert_eq!(bearer(Some("Bearer eyJ0.eyJp.c2ln")), Ok("eyJ0.eyJp.c2ln"));
/// ```
pub fn bearer(authorization: Option<&str>) -> Result<&str, Error> {
    let value = authorization.ok_or(Error::NoCredentials)?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    // RFC 9110, section 11.1: the scheme's name is case-insensitive.
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Error::NoCredentials);
    }
    let token = token.trim_matches(' ');
    if is_b64token(token) {
        Ok(token)
    } else {
        Err(Error::MalformedRequest)
    }
}

/// How a request presents its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented<'a> {
    /// `Authorization: Bearer …`: whoever has it may use it.
    Bearer(&'a str),
    /// `Authorization: DPoP …`, with a proof in the header `DPoP` (RFC 9449, section 7.1).
    Dpop {
        /// The token.
        token: &'a str,
        /// The proof.
        proof: &'a str,
    },
}

/// Takes the token out of the value of an `Authorization` header, and the proof that comes with it out of
/// the values of the `DPoP` headers.
///
/// ```
/// use countersign_verifier::{Presented, presented};
/// assert_eq!(presented(Some("Bearer a.b.c"), &[]), Ok(Presented::Bearer("a.b.c")));
/// let with_proof = Presented::Dpop { token: "a.b.c", proof: "d.e.f" };
/// assert_eq!(presented(Some("DPoP a.b.c"), &["d.e.f"]), Ok(with_proof));
/// assert!(presented(Some("DPoP a.b.c"), &[]).is_err());
/// ```
pub fn presented<'a>(
    authorization: Option<&'a str>,
    proofs: &[&'a str],
) -> Result<Presented<'a>, Error> {
    let value = authorization.ok_or(Error::NoCredentials)?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("dpop") => {
            let token = token.trim_matches(' ');
            match *proofs {
                _ if !is_b64token(token) => Err(Error::MalformedRequest),
                [proof] => Ok(Presented::Dpop { token, proof }),
                [] => Err(Error::BadProof("the request has none")),
                [..] => Err(Error::BadProof("there are two")),
            }
        }
        Some(_) | None => bearer(authorization).map(Presented::Bearer),
    }
}

/// RFC 6750, section 2.1: letters, digits and `-._~+/`, then `=` signs.
/// <https://www.rfc-editor.org/rfc/rfc6750#section-2.1>
fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    !body.is_empty()
        && body
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_found_whatever_the_case_of_the_scheme() {
        for header in ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c "] {
            assert_eq!(bearer(Some(header)), Ok("a.b.c"), "{header:?}");
        }
    }

    #[test]
    fn no_header_and_another_scheme_are_no_credentials() {
        for header in [
            None,
            Some(""),
            Some("Basic dTpw"),
            Some("Bearerx a.b.c"),
            Some("DPoP a.b.c"),
        ] {
            assert_eq!(bearer(header), Err(Error::NoCredentials), "{header:?}");
        }
    }

    #[test]
    fn a_bearer_header_without_one_token_is_malformed() {
        for header in [
            "Bearer",
            "Bearer ",
            "Bearer a b",
            "Bearer a,b",
            "Bearer a\tb",
            "Bearer =",
        ] {
            assert_eq!(
                bearer(Some(header)),
                Err(Error::MalformedRequest),
                "{header:?}"
            );
        }
    }
}
