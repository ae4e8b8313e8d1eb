//! Evidence of an OpenID Connect login: pure, from a verified ID token and UserInfo.

use std::collections::BTreeSet;

use countersign_core::{
    Affiliation, Claim, Claims, Email, Evidence, Identity, Profile, expression,
};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::OidcSettings;
use crate::display_text;
use crate::id_token::IdToken;

/// Whether a provider's `email_verified` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailTrust {
    /// The operator knows that this provider verifies addresses.
    Trusted,
    /// Its word does not count.
    Ignored,
}

/// What a verified ID token proves. `person` is UserInfo of the same subject, or empty; of the token's other
/// claims those of `keep` are kept.
pub(crate) fn evidence(
    settings: &OidcSettings,
    issuer: &str,
    token: &IdToken,
    person: &Map<String, Value>,
    keep: &BTreeSet<String>,
    now: Timestamp,
) -> Evidence {
    let text = |name: &str| {
        let value = token.raw(name).or_else(|| person.get(name))?;
        value.as_str().map(str::to_owned)
    };
    let address = text("email").and_then(|email| display_text(&email, 254));
    let login_hint = address.clone().or_else(|| text("preferred_username"));
    // From the ID token alone: UserInfo is not signed.
    let kept = expression::kept(keep, |name| {
        token.raw(name).map_or(Claim::Absent, Claim::Value)
    });
    Evidence {
        provider: settings.name.clone(),
        identity: Identity::Oidc {
            issuer: issuer.to_owned(),
            subject: token.subject().to_owned(),
        },
        claims: Claims {
            acr: token.text("acr"),
            amr: token.texts("amr"),
            acrs: Claim::Absent,
            two_factor_authentication: Claim::Absent,
            auth_time: auth_time(token, now),
            other: kept.other,
            unreadable: kept.unreadable,
        },
        profile: Profile {
            name: text("name").and_then(|name| display_text(&name, 256)),
            email: address.map(|address| Email {
                verified: is_verified(settings.email_trust, token, person),
                address,
            }),
            login_hint: login_hint.and_then(|hint| display_text(&hint, 256)),
        },
        membership: Claim::Absent,
        affiliation: Affiliation {
            groups: groups(settings.groups_claim.as_deref(), token),
            ..Affiliation::default()
        },
        provider_session: token.raw("sid").and_then(session_name),
        verified_at: now,
    }
}

/// The most groups of a token that are read: the same as of Entra's.
const MOST_GROUPS: usize = 200;

/// The person's groups, by the claim that lists them; one text is one group. From the ID token alone: UserInfo is not signed.
fn groups(claim: Option<&str>, token: &IdToken) -> Claim<BTreeSet<String>> {
    match claim.map(|name| token.texts_at_most(name, MOST_GROUPS)) {
        None | Some(Claim::Absent) => Claim::Absent,
        Some(Claim::Value(names)) => Claim::Value(names.into_iter().collect()),
        Some(Claim::Malformed) => Claim::Malformed,
        Some(Claim::Contradictory) => Claim::Contradictory,
    }
}

/// `auth_time`, if it can be true: not in the future, and not the epoch, which some send for "unknown".
pub(crate) fn auth_time(token: &IdToken, now: Timestamp) -> Claim<Timestamp> {
    match token.instant("auth_time") {
        Claim::Value(at) if at > now + crate::id_token::LEEWAY || at <= Timestamp::UNIX_EPOCH => {
            Claim::Malformed
        }
        other => other,
    }
}

/// The longest `sid` that is kept, in bytes.
const LONGEST_SESSION_NAME: usize = 255;

/// The provider's name of its session. One that can't be kept is as good as none: it decides nothing.
pub(crate) fn session_name(sid: &Value) -> Option<String> {
    let sid = sid.as_str()?;
    let can_be_kept =
        (1..=LONGEST_SESSION_NAME).contains(&sid.len()) && !sid.contains(char::is_control);
    can_be_kept.then(|| sid.to_owned())
}

/// `email_verified` counts when it is the boolean `true` in the document that has the address.
fn is_verified(trust: EmailTrust, token: &IdToken, person: &Map<String, Value>) -> bool {
    let verified = match token.raw("email") {
        Some(_) => token.raw("email_verified"),
        None => person.get("email_verified"),
    };
    trust == EmailTrust::Trusted && verified == Some(&Value::Bool(true))
}
