//! Evidence of a Microsoft login: pure, from one or two verified tokens of the same login.

use std::collections::BTreeSet;

use countersign_core::{
    Affiliation, Claim, Claims, Email, Evidence, Identity, Membership, Profile, ProviderId,
    expression,
};
use jiff::Timestamp;
use serde_json::Value;

use super::tenancy::TenantToken;
use crate::id_token::{IdToken, TokenFault};
use crate::oidc::{auth_time, session_name};
use crate::{ProviderError, display_text};

/// What the verified tokens of one login prove. `front` is there in the hybrid flow.
///
/// A claim in one of the two is taken from there; where both have it, they must agree. Of the tokens' other
/// claims those of `keep` are kept.
pub(crate) fn evidence(
    provider: &ProviderId,
    front: Option<&TenantToken>,
    back: &TenantToken,
    keep: &BTreeSet<String>,
    now: Timestamp,
) -> Result<Evidence, ProviderError> {
    if let Some(front) = front {
        check_same_person(front, back)?;
    }
    let tokens: Vec<&IdToken> = front
        .into_iter()
        .chain([back])
        .map(|one| &one.token)
        .collect();
    let kept = expression::kept(keep, |name| agreed(&tokens, name));
    Ok(Evidence {
        provider: provider.clone(),
        identity: Identity::Microsoft {
            tid: back.tid.clone(),
            oid: back.oid.clone(),
        },
        claims: Claims {
            other: kept.other,
            unreadable: kept.unreadable,
            ..claims(&tokens, back.tid.is_consumers(), now)
        },
        profile: profile(&tokens, back.tid.is_consumers()),
        membership: membership(&tokens),
        affiliation: affiliation(&tokens, &back.token, back.tid.is_consumers()),
        provider_session: agreed(&tokens, "sid")
            .value()
            .and_then(|sid| session_name(sid)),
        verified_at: now,
    })
}

/// OpenID Connect Core 3.3.3.6: `iss` and `sub` must be the same; here the tenant and the object too.
/// `aud` is ours in both, which verification has checked.
fn check_same_person(front: &TenantToken, back: &TenantToken) -> Result<(), TokenFault> {
    for name in ["iss", "sub"] {
        if front.token.raw(name) != back.token.raw(name) {
            return Err(TokenFault::Claim(name));
        }
    }
    match (front.tid == back.tid, front.oid == back.oid) {
        (true, true) => Ok(()),
        (false, _) => Err(TokenFault::Claim("tid")),
        (true, false) => Err(TokenFault::Claim("oid")),
    }
}

/// `acr` is the only evidence of a personal account. v2.0 tokens carry no `amr`: one that is there
/// is nothing that Microsoft documents, and is not read.
fn claims(tokens: &[&IdToken], personal: bool, now: Timestamp) -> Claims {
    let acrs = join(tokens, |token| token.texts("acrs"));
    Claims {
        acr: join(tokens, |token| token.text("acr")),
        amr: Claim::Absent,
        acrs: if personal { Claim::Absent } else { acrs },
        two_factor_authentication: Claim::Absent,
        auth_time: join(tokens, |token| auth_time(token, now)),
        ..Claims::default()
    }
}

fn join<T: PartialEq>(tokens: &[&IdToken], read: impl Fn(&IdToken) -> Claim<T>) -> Claim<T> {
    tokens
        .iter()
        .map(|token| read(token))
        .fold(Claim::Absent, Claim::join)
}

/// The most groups, and roles, of a token that are read: Entra itself puts at most 200 groups into one.
const MOST_GROUPS: usize = 200;

/// The person's groups and roles in the tenant. A directory role shows who speaks for a tenant, so that it is read from
/// the token that came from the token endpoint and from no other.
fn affiliation(tokens: &[&IdToken], back: &IdToken, personal: bool) -> Affiliation {
    if personal {
        return Affiliation::default();
    }
    let texts = |token: &IdToken, name: &str| token.texts_at_most(name, MOST_GROUPS);
    let set = |claim: Claim<Vec<String>>| match claim {
        Claim::Value(names) => Claim::Value(names.into_iter().collect::<BTreeSet<String>>()),
        Claim::Malformed => Claim::Malformed,
        Claim::Contradictory => Claim::Contradictory,
        Claim::Absent => Claim::Absent,
    };
    let groups = set(join(tokens, |token| texts(token, "groups")));
    let roles = set(join(tokens, |token| texts(token, "roles")));
    Affiliation {
        groups: both(groups, roles),
        directory_roles: set(texts(back, "wids")),
        github_organizations: Claim::Absent,
    }
}

/// Groups and app roles together: no name of one is a name of the other (a group's is a GUID).
fn both(
    groups: Claim<BTreeSet<String>>,
    roles: Claim<BTreeSet<String>>,
) -> Claim<BTreeSet<String>> {
    match (groups, roles) {
        (Claim::Value(groups), Claim::Value(roles)) => Claim::Value(&groups | &roles),
        (Claim::Absent, one) | (one, Claim::Absent) => one,
        (Claim::Malformed, _) | (_, Claim::Malformed) => Claim::Malformed,
        (Claim::Contradictory, _) | (_, Claim::Contradictory) => Claim::Contradictory,
    }
}

/// What the tokens that have a claim say of it.
fn agreed<'a>(tokens: &[&'a IdToken], name: &str) -> Claim<&'a Value> {
    let said = tokens.iter().filter_map(|token| token.raw(name));
    said.map(Claim::Value).fold(Claim::Absent, Claim::join)
}

fn profile(tokens: &[&IdToken], personal: bool) -> Profile {
    let text = |name: &str, limit| {
        let found = tokens
            .iter()
            .rev()
            .find_map(|token| token.raw(name)?.as_str());
        found.and_then(|text| display_text(text, limit))
    };
    let username = text("preferred_username", 254);
    // An address counts as verified only by what the token says of `email`; a user name is none.
    let by_email = text("email", 254).map(|address| Email {
        verified: personal || is_domain_verified(tokens),
        address,
    });
    let by_username = || {
        let address = username.clone().filter(|name| name.contains('@'))?;
        Some(Email {
            address,
            verified: false,
        })
    };
    Profile {
        name: text("name", 256),
        email: by_email.or_else(by_username),
        login_hint: text("login_hint", 256).or(username),
    }
}

/// `xms_edov`: a boolean by the documentation, `"1"` in the wild. All that say it must agree.
fn is_domain_verified(tokens: &[&IdToken]) -> bool {
    let mut said = tokens
        .iter()
        .filter_map(|token| token.raw("xms_edov"))
        .peekable();
    said.peek().is_some()
        && said.all(|value| *value == Value::Bool(true) || *value == Value::String("1".into()))
}

/// `acct` (0 member, 1 guest) and `idp` (another issuer than the token's own: a guest).
fn membership(tokens: &[&IdToken]) -> Claim<Membership> {
    join(tokens, |token| {
        let foreign = token
            .raw("idp")
            .is_some_and(|idp| Some(idp) != token.raw("iss"));
        match token.raw("acct") {
            _ if foreign => Claim::Value(Membership::Guest),
            None => Claim::Absent,
            Some(acct) if acct.as_u64() == Some(0) => Claim::Value(Membership::Member),
            Some(acct) if acct.as_u64() == Some(1) => Claim::Value(Membership::Guest),
            Some(_) => Claim::Malformed,
        }
    })
}
