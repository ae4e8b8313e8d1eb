//! What an API key gets: freshness is of the moment when it was made, all else of the moment when it is used.

use super::*;
use crate::AccountFacts;

const YEAR: i64 = 365 * 86_400;
const HOUR: i64 = 3600;

/// A key of this login that was made so many seconds after it, for publishing.
fn key(evidence: Login, made: i64) -> Facts {
    let mut facts = facts("lobby", "packages:publish", evidence);
    facts.key_made_at = Some(at(made));
    facts
}

/// The policy, where a tier is to be fresh at every use.
fn at_use() -> Policy {
    let text = POLICY.replace(
        "max_evidence_age = \"12h\"",
        "max_evidence_age = \"12h\"\nfresh_at_use = true",
    );
    Policy::parse("policy.toml", &text).unwrap()
}

#[test]
fn a_login_that_was_fresh_when_the_key_was_made_does_not_age() {
    let made_in_time = key(session_mfa(), 12 * HOUR);
    check(&made_in_time, YEAR, "permit: packages:publish");
    let made_late = key(session_mfa(), 12 * HOUR + 1);
    check(&made_late, YEAR, "refuse: evidence-too-old");
    let mut authenticated_late = key(authenticated(session_mfa(), 0), 301);
    authenticated_late.scopes = BTreeSet::from([Scope::new("tenants:write").unwrap()]);
    check(&authenticated_late, 302, "refuse: auth-too-old");
    authenticated_late.key_made_at = Some(at(300));
    check(&authenticated_late, YEAR, "permit: tenants:write");
}

#[test]
fn what_a_key_permits_ends_with_nothing_that_was_fresh() {
    assert_eq!(permit(&key(session_mfa(), 0), YEAR).not_after(), None);
    let session = facts("lobby", "packages:publish", session_mfa());
    assert_eq!(permit(&session, 0).not_after(), Some(at(12 * HOUR)));
}

#[test]
fn a_key_that_claims_to_be_of_the_future_is_of_now() {
    let ahead = key(session_mfa(), YEAR);
    check(&ahead, 12 * HOUR, "permit: packages:publish");
    check(&ahead, 12 * HOUR + 1, "refuse: evidence-too-old");
}

#[test]
fn where_a_tier_says_so_a_key_must_be_fresh_at_every_use() {
    let policy = at_use();
    let made = key(session_mfa(), 0);
    let of = |seconds| summary(&decide(&policy, &made, at(seconds)));
    assert_eq!(of(12 * HOUR), "permit: packages:publish");
    assert_eq!(of(12 * HOUR + 1), "refuse: evidence-too-old");
    let Decision::Permit(permit) = decide(&policy, &made, at(0)) else {
        panic!("refused");
    };
    assert_eq!(permit.not_after(), Some(at(12 * HOUR)));
}

#[test]
fn the_level_and_the_lock_are_those_of_now() {
    check(&key(password(), 0), 1, "refuse: mfa-absent");
    check(&key(enrolled(), 0), 1, "refuse: basis-not-accepted");
    let mut locked = key(session_mfa(), 0);
    locked.account = AccountFacts {
        locked: true,
        ..locked.account
    };
    check(&locked, 1, "refuse: account-locked");
}

#[test]
fn an_organization_that_was_shown_in_time_is_acted_for_as_long_as_it_is_mapped() {
    let organization = crate::OrganizationId::new("contoso").unwrap();
    let source = crate::Source::Tenant(TenantId::new(TENANT).unwrap());
    let mut acting = key(authenticated(attested("c1"), 0), HOUR);
    acting.scopes = BTreeSet::from([Scope::new("packages:manage").unwrap()]);
    acting.organization = Some(organization.clone());
    check(&acting, YEAR, "refuse: organization-not-shown");
    acting.mappings = vec![crate::Mapping::new(organization, source)];
    check(&acting, YEAR, "permit: packages:manage");
    assert_eq!(permit(&acting, YEAR).belongings().len(), 1);
    acting.key_made_at = Some(at(13 * HOUR));
    check(&acting, YEAR, "refuse: membership-stale");
}
