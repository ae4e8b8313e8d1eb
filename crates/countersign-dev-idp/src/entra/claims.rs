//! What Microsoft's ID tokens say: v2.0, and v1.0 where told so.
//!
//! <https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference>

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::demand::Used;
use super::realm::{self, MICROSOFT_ACCOUNTS};
use super::{
    Account, AcrLegs, AcrsShape, Behaviour, GroupMembershipClaims, Guest, OptionalClaim,
    TokenVersion,
};
use crate::entropy;
use crate::jwt;

/// A finished sign-in, as a code or access token stands for it.
#[derive(Clone, Debug)]
pub(super) struct SignIn {
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) nonce: Option<String>,
    pub(super) challenge: Option<String>,
    pub(super) scopes: BTreeSet<String>,
    pub(super) account: Account,
    /// Where the person signed in: the home tenant, or one where they are a guest.
    pub(super) tid: String,
    pub(super) guest: Option<Guest>,
    pub(super) used: Used,
    pub(super) acr: Option<&'static str>,
    pub(super) acrs: Vec<String>,
    pub(super) auth_time: i64,
    /// `max_age` of the request, where it has an effect.
    pub(super) max_age: Option<i64>,
    pub(super) session_id: String,
}

impl SignIn {
    pub(super) fn is_personal(&self) -> bool {
        self.tid == MICROSOFT_ACCOUNTS
    }

    fn oid(&self) -> &str {
        self.guest
            .as_ref()
            .map_or(&self.account.oid, |guest| &guest.oid)
    }

    /// Pairwise: another one for each application.
    pub(super) fn sub(&self) -> String {
        jwt::sha256(&format!("{}/{}/{}", self.tid, self.oid(), self.client_id))
    }
}

/// From which endpoint a token comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leg {
    Front,
    Back,
}

/// The claims of an ID token; hashes come on top.
pub(super) fn id_token(
    sign_in: &SignIn,
    leg: Leg,
    behaviour: &Behaviour,
    base_url: &str,
    now: i64,
) -> Map<String, Value> {
    match behaviour.token_version {
        TokenVersion::V2 => version_2(sign_in, leg, behaviour, base_url, now),
        TokenVersion::V1 => version_1(sign_in, now),
    }
}

fn version_2(
    sign_in: &SignIn,
    leg: Leg,
    behaviour: &Behaviour,
    base_url: &str,
    now: i64,
) -> Map<String, Value> {
    let mut claims = common(sign_in, now);
    put(&mut claims, "ver", "2.0");
    put(&mut claims, "iss", realm::issuer(base_url, &sign_in.tid));
    if sign_in.scopes.contains("profile") {
        put(&mut claims, "oid", sign_in.oid());
        put_some(&mut claims, "name", sign_in.account.name.as_deref());
        put_some(
            &mut claims,
            "preferred_username",
            sign_in.account.preferred_username.as_deref(),
        );
    }
    put(&mut claims, "tid", sign_in.tid.as_str());
    if sign_in.scopes.contains("email") {
        put_some(&mut claims, "email", sign_in.account.email.as_deref());
    }
    if let Some(guest) = &sign_in.guest {
        put(&mut claims, "idp", guest.idp.as_str());
    }
    evidence(&mut claims, sign_in, leg, behaviour);
    optional(&mut claims, sign_in, behaviour);
    memberships(&mut claims, sign_in, behaviour);
    claims
}

/// Shape H: `amr` is there, and the issuer is another one.
fn version_1(sign_in: &SignIn, now: i64) -> Map<String, Value> {
    let mut claims = common(sign_in, now);
    let [without, with] = &sign_in.account.v1_amr;
    let amr = match sign_in.used {
        Used::PasswordAlone => without,
        Used::SecondFactor => with,
    };
    put(&mut claims, "ver", "1.0");
    put(
        &mut claims,
        "iss",
        format!("https://sts.windows.net/{}/", sign_in.tid),
    );
    put(&mut claims, "tid", sign_in.tid.as_str());
    put(&mut claims, "oid", sign_in.oid());
    put(&mut claims, "amr", json!(amr));
    put(&mut claims, "ipaddr", "203.0.113.7");
    put_some(&mut claims, "name", sign_in.account.name.as_deref());
    put_some(
        &mut claims,
        "unique_name",
        sign_in.account.preferred_username.as_deref(),
    );
    put_some(
        &mut claims,
        "upn",
        sign_in.account.preferred_username.as_deref(),
    );
    claims
}

/// Seconds that an ID token lives: as in Microsoft's samples, for work and for personal accounts.
const WORK_LIFETIME: i64 = 3_900;
const PERSONAL_LIFETIME: i64 = 86_700;

fn common(sign_in: &SignIn, now: i64) -> Map<String, Value> {
    let lifetime = if sign_in.is_personal() {
        PERSONAL_LIFETIME
    } else {
        WORK_LIFETIME
    };
    // `max_age` shortens the token: it ends when the sign-in is too old.
    let too_old = sign_in
        .max_age
        .map_or(i64::MAX, |age| sign_in.auth_time.saturating_add(age));
    let mut claims = Map::new();
    put(&mut claims, "aud", sign_in.client_id.as_str());
    put(&mut claims, "iat", now);
    put(&mut claims, "nbf", now);
    put(&mut claims, "exp", (now + lifetime).min(too_old));
    put(&mut claims, "sub", sign_in.sub());
    put_some(&mut claims, "nonce", sign_in.nonce.as_deref());
    put(&mut claims, "aio", entropy::token());
    put(&mut claims, "rh", "0.opaque.");
    put(&mut claims, "uti", entropy::token());
    if sign_in.max_age.is_some() {
        put(&mut claims, "auth_time", sign_in.auth_time);
    }
    claims
}

fn evidence(claims: &mut Map<String, Value>, sign_in: &SignIn, leg: Leg, behaviour: &Behaviour) {
    let carries_acr = match behaviour.acr_legs {
        AcrLegs::FrontOnly => leg == Leg::Front,
        AcrLegs::BackOnly => leg == Leg::Back,
        AcrLegs::Both => true,
        AcrLegs::Neither => false,
    };
    if carries_acr {
        put_some(claims, "acr", sign_in.acr);
    }
    if let Some(first) = sign_in.acrs.first() {
        match behaviour.acrs_shape {
            AcrsShape::Array => put(claims, "acrs", json!(sign_in.acrs)),
            AcrsShape::String => put(claims, "acrs", first.as_str()),
        }
    }
}

fn optional(claims: &mut Map<String, Value>, sign_in: &SignIn, behaviour: &Behaviour) {
    let account = &sign_in.account;
    for claim in &behaviour.optional_claims {
        match claim {
            OptionalClaim::Acct => put(claims, "acct", i32::from(sign_in.guest.is_some())),
            OptionalClaim::AuthTime => put(claims, "auth_time", sign_in.auth_time),
            OptionalClaim::LoginHint => put(claims, "login_hint", format!("O.{}", account.id)),
            OptionalClaim::Sid => put(claims, "sid", sign_in.session_id.as_str()),
            OptionalClaim::Upn => put(claims, "upn", upn(sign_in)),
            OptionalClaim::VerifiedPrimaryEmail => {
                put(claims, "verified_primary_email", json!([account.email]));
            }
            OptionalClaim::XmsEdov => {
                if let Some(verified) = &account.email_domain_owner_verified {
                    put(claims, "xms_edov", verified.clone());
                }
            }
        }
    }
}

/// Personal accounts are in no directory.
fn memberships(claims: &mut Map<String, Value>, sign_in: &SignIn, behaviour: &Behaviour) {
    if sign_in.is_personal() {
        return;
    }
    let (account, is_guest) = (&sign_in.account, sign_in.guest.is_some());
    let (has_roles, has_groups) = match behaviour.group_membership_claims {
        GroupMembershipClaims::None => (false, false),
        GroupMembershipClaims::DirectoryRole => (true, false),
        GroupMembershipClaims::All => (true, true),
    };
    if has_roles {
        put(claims, "wids", json!(account.wids(is_guest)));
    }
    if has_groups && !is_guest && !account.groups.is_empty() {
        put(claims, "groups", json!(account.groups));
    }
    if !is_guest && !account.app_roles.is_empty() {
        put(claims, "roles", json!(account.app_roles));
    }
}

/// A guest's is made up from the address at home.
fn upn(sign_in: &SignIn) -> String {
    let address = sign_in
        .account
        .preferred_username
        .clone()
        .unwrap_or_default();
    if sign_in.guest.is_some() {
        format!("{}#EXT#@contoso.onmicrosoft.com", address.replace('@', "_"))
    } else {
        address
    }
}

fn put(claims: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    claims.insert(name.to_owned(), value.into());
}

fn put_some(claims: &mut Map<String, Value>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        put(claims, name, value);
    }
}
