//! Which client calls the token endpoint or the API (RFC 6749 2.3.1).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_core::ClientId;
use url::form_urlencoded;

use crate::error::{Failure, OAuthError};
use crate::settings::ClientAuthentication;
use crate::web::{Context, Parameters};

/// Authenticates a client that has a secret (RFC 7662 2.1): what others ask, anybody could.
pub(super) fn authenticate_with_secret(
    parameters: &Parameters,
    context: &Context<'_>,
) -> Result<ClientId, Failure> {
    let id = authenticate(parameters, context)?;
    let client = context.broker.settings.clients.get(&id);
    match client.map(|client| &client.authentication) {
        Some(ClientAuthentication::Secret(_)) => Ok(id),
        Some(ClientAuthentication::Public) | None => Err(OAuthError::invalid_client()),
    }
}

/// Authenticates the client, by exactly one method.
pub(crate) fn authenticate(
    parameters: &Parameters,
    context: &Context<'_>,
) -> Result<ClientId, Failure> {
    let (id, secret) = presented(parameters, context)?;
    let id = ClientId::new(id).map_err(|_| OAuthError::invalid_client())?;
    let client = context
        .broker
        .settings
        .clients
        .get(&id)
        .ok_or_else(OAuthError::invalid_client)?;
    let is_who_it_says = match (&client.authentication, secret) {
        (ClientAuthentication::Public, None) => true,
        (ClientAuthentication::Secret(digest), Some(secret)) => digest.matches(&secret),
        (ClientAuthentication::Public, Some(_)) | (ClientAuthentication::Secret(_), None) => false,
    };
    is_who_it_says
        .then_some(id)
        .ok_or_else(OAuthError::invalid_client)
}

fn presented(
    parameters: &Parameters,
    context: &Context<'_>,
) -> Result<(String, Option<String>), Failure> {
    let form_id = parameters.one("client_id").map(str::to_owned);
    let form_secret = parameters.one("client_secret").map(str::to_owned);
    let mut headers = context.request.headers().get_all("authorization");
    match (headers.next(), headers.next(), form_id, form_secret) {
        (None, _, Some(id), secret) => Ok((id, secret)),
        (Some(header), None, form_id, None) => {
            let (id, secret) = header
                .to_str()
                .ok()
                .and_then(basic)
                .ok_or_else(OAuthError::invalid_client)?;
            match form_id {
                Some(form_id) if form_id != id => Err(OAuthError::invalid_client()),
                Some(_) | None => Ok((id, Some(secret))),
            }
        }
        // RFC 6749 2.3: a client must not use more than one method in a request.
        (Some(_), _, _, Some(_)) => Err(OAuthError::invalid_request(
            "the client authenticates in two ways",
        )),
        (_, _, _, _) => Err(OAuthError::invalid_client()),
    }
}

/// RFC 6749 2.3.1: id and secret are form-urlencoded before they are joined and base64-encoded.
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let joined = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = joined.split_once(':')?;
    Some((form_decoded(id)?, form_decoded(secret)?))
}

fn form_decoded(text: &str) -> Option<String> {
    // A `&` or `=` would be read as the form's own; encoded as they must be they do not occur.
    let plain = text.replace('&', "%26").replace('=', "%3D");
    let (name, _) = form_urlencoded::parse(plain.as_bytes()).next()?;
    Some(name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(joined: &str) -> String {
        format!("Basic {}", STANDARD.encode(joined))
    }

    #[test]
    fn id_and_secret_are_form_urlencoded_in_the_header() {
        let read = |joined: &str| basic(&header(joined)).unwrap();
        assert_eq!(read("gallery:plain"), ("gallery".into(), "plain".into()));
        assert_eq!(
            read("gallery:a%3Ab+c%26d"),
            ("gallery".into(), "a:b c&d".into())
        );
        assert_eq!(read("gallery:a&b=c"), ("gallery".into(), "a&b=c".into()));
        assert_eq!(read("gallery:a:b").1, "a:b");
    }

    #[test]
    fn what_is_not_basic_is_not_read() {
        for bad in [
            "Bearer abc",
            "Basic",
            "Basic !!!",
            &header("no colon"),
            "",
            &header(":secret"),
        ] {
            assert!(basic(bad).is_none(), "`{bad}` was read");
        }
    }
}
