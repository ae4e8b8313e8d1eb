//! Which client calls the token endpoint or the API (RFC 6749 2.3.1).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_core::ClientId;
use url::form_urlencoded;

use super::assertion;
use crate::error::{Failure, OAuthError};
use crate::limits::PassedFor;
use crate::settings::{Client, ClientAuthentication};
use crate::web::{Context, Parameters};

/// Authenticates a client that nobody else can pass for (RFC 7662 2.1): what others ask, anybody could.
pub(super) async fn authenticate_confidential(
    parameters: &Parameters,
    context: &Context<'_>,
) -> Result<ClientId, Failure> {
    let id = authenticate(parameters, context).await?;
    let client = context.broker.settings.clients.get(&id);
    match client {
        Some(client) if !client.authentication.is_public() => Ok(id),
        Some(_) | None => Err(OAuthError::invalid_client()),
    }
}

/// Authenticates the client, by exactly one method.
pub(crate) async fn authenticate(
    parameters: &Parameters,
    context: &Context<'_>,
) -> Result<ClientId, Failure> {
    let presented = Presented::read(parameters, context)?;
    let Context {
        broker,
        request,
        now,
        ..
    } = context;
    let known = broker.settings.clients.get_key_value(&presented.id);
    let known_id = known.map(|(id, _)| id);
    let limits = &broker.limits;
    let free = limits.may_authenticate(known_id, request, *now);
    free.map_err(OAuthError::too_many)?;
    let shown = match known {
        Some((_, client)) => shows(presented, client, context).await,
        None => Err(OAuthError::invalid_client()),
    };
    if shown.as_ref().is_err_and(OAuthError::is_of_client) {
        limits.failed(known_id, request, *now).await;
    }
    let id = shown?;
    let passed_for = known.map_or(PassedFor::Anybody, |(_, client)| {
        PassedFor::of(&client.authentication)
    });
    let asked = limits.may_ask(&id, passed_for, request, *now);
    asked.map_err(OAuthError::too_many)?;
    Ok(id)
}

/// Whether a client is who it says, by what it presents.
async fn shows(
    Presented { id, credential }: Presented<'_>,
    client: &Client,
    context: &Context<'_>,
) -> Result<ClientId, Failure> {
    match (&client.authentication, credential) {
        (ClientAuthentication::Public, Credential::Nothing) => Ok(id),
        (ClientAuthentication::Secret(digest), Credential::Secret(secret))
            if digest.matches(&secret) =>
        {
            Ok(id)
        }
        (ClientAuthentication::PrivateKey(keys), Credential::Assertion(assertion)) => {
            assertion::check(assertion, &id, keys, context).await?;
            Ok(id)
        }
        (
            ClientAuthentication::Public
            | ClientAuthentication::Secret(_)
            | ClientAuthentication::PrivateKey(_),
            _,
        ) => Err(OAuthError::invalid_client()),
    }
}

/// Who a client says that it is, and by what.
struct Presented<'a> {
    id: ClientId,
    credential: Credential<'a>,
}

enum Credential<'a> {
    Nothing,
    Secret(String),
    Assertion(&'a str),
}

impl<'a> Presented<'a> {
    fn read(parameters: &'a Parameters, context: &Context<'_>) -> Result<Self, Failure> {
        let form_id = parameters.one("client_id");
        let secret = parameters.one("client_secret");
        let assertion = assertion_of(parameters)?;
        let mut headers = context.request.headers().get_all("authorization");
        let basic = match (headers.next(), headers.next()) {
            (None, _) => None,
            (Some(header), None) => {
                let read = header.to_str().ok().and_then(basic);
                Some(read.ok_or_else(OAuthError::invalid_client)?)
            }
            (Some(_), Some(_)) => return Err(OAuthError::invalid_client()),
        };
        let (id, credential) = match (basic, secret, assertion) {
            (Some((id, secret)), None, None) => (Some(id), Credential::Secret(secret)),
            (None, Some(secret), None) => (None, Credential::Secret(secret.to_owned())),
            (None, None, Some(assertion)) => {
                let id = assertion::claimed_client(assertion);
                let id = id.ok_or_else(OAuthError::invalid_client)?;
                (Some(id.to_string()), Credential::Assertion(assertion))
            }
            (None, None, None) => (None, Credential::Nothing),
            // RFC 6749 2.3: a client must not use more than one method in a request.
            (_, _, _) => {
                return Err(OAuthError::invalid_request(
                    "the client authenticates in more than one way",
                ));
            }
        };
        let id = match (id, form_id) {
            (Some(id), Some(form_id)) if id != form_id => None,
            (Some(id), _) => ClientId::new(id).ok(),
            (None, Some(form_id)) => ClientId::new(form_id).ok(),
            (None, None) => None,
        };
        Ok(Self {
            id: id.ok_or_else(OAuthError::invalid_client)?,
            credential,
        })
    }
}

/// RFC 7521 4.2: the assertion, and what kind it is.
fn assertion_of(parameters: &Parameters) -> Result<Option<&str>, Failure> {
    match (
        parameters.one("client_assertion"),
        parameters.one("client_assertion_type"),
    ) {
        (None, None) => Ok(None),
        (Some(assertion), Some(assertion::TYPE)) => Ok(Some(assertion)),
        (_, _) => Err(OAuthError::invalid_client()),
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
