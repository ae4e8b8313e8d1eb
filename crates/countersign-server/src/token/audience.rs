//! Whom an access token is for (RFC 8707): one resource, and one that the configuration lets the client ask for.

use countersign_core::ClientId;

use crate::error::{Failure, OAuthError};
use crate::web::{Context, Parameters};

/// The audience: the one that is named, that of the grant, or the client's own.
///
/// Where a grant was asked for with a `resource`, all its tokens are for that one.
pub(super) fn of<'a>(
    client: &ClientId,
    granted: Option<&str>,
    parameters: &Parameters,
    context: &Context<'a>,
) -> Result<&'a str, Failure> {
    let clients = &context.broker.settings.clients;
    let client = clients.get(client).ok_or_else(OAuthError::invalid_client)?;
    let asked = parameters.one("resource");
    let wanted = asked.or(granted).unwrap_or(&client.resource);
    let audience = client.audiences().find(|one| *one == wanted);
    match (audience, asked, granted) {
        (Some(_), Some(asked), Some(granted)) if asked != granted => {
            Err(OAuthError::invalid_target(
                "another `resource` was asked for when the person signed in",
            ))
        }
        (Some(audience), _, _) => Ok(audience),
        (None, _, _) => Err(OAuthError::invalid_target(
            "this client has no such `resource`",
        )),
    }
}
