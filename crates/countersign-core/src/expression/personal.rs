//! Claims that are personal data: they are not kept, so an expression can't name them.
//!
//! A name, an address or a number says who somebody is, not how they signed in. And what a decision
//! rests on is written to the decision log, where no personal data belongs but the account's id.

/// In lower case. Sources, from the first line to the last:
/// - OpenID Connect Core 5.1, the standard claims, and `sub` of Core 2
///   <https://openid.net/specs/openid-connect-core-1_0.html#StandardClaims>
/// - Entra: <https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference> and
///   <https://learn.microsoft.com/entra/identity-platform/optional-claims-reference>
/// - AD FS: <https://learn.microsoft.com/windows-server/identity/ad-fs/overview/customize-id-token-ad-fs-2016>
/// - the last parts of WS-Federation's claim types, as AD FS and Auth0 pass them on
///   <https://learn.microsoft.com/dotnet/api/system.security.claims.claimtypes>
/// - what logins are called at Cognito (`cognito:username`), Keycloak, GitLab and others
const PERSONAL: [&str; 72] = [
    "sub",
    "name",
    "given_name",
    "family_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "profile",
    "picture",
    "website",
    "email",
    "email_verified",
    "gender",
    "birthdate",
    "zoneinfo",
    "locale",
    "phone_number",
    "phone_number_verified",
    "address",
    "updated_at",
    "formatted",
    "street_address",
    "locality",
    "region",
    "postal_code",
    "country",
    "oid",
    "upn",
    "unique_name",
    "puid",
    "altsecid",
    "ipaddr",
    "fwd",
    "sid",
    "onprem_sid",
    "login_hint",
    "verified_primary_email",
    "verified_secondary_email",
    "ctry",
    "acct_name",
    "home_oid",
    "netid",
    "platf",
    "pwd_url",
    "emails",
    "preferred_language",
    "samaccountname",
    "winaccountname",
    "commonname",
    "ppid",
    "primarysid",
    "userprincipalname",
    "emailaddress",
    "givenname",
    "surname",
    "nameidentifier",
    "homephone",
    "mobilephone",
    "otherphone",
    "streetaddress",
    "postalcode",
    "stateorprovince",
    "dateofbirth",
    "privatepersonalidentifier",
    "thumbprint",
    "username",
    "user_name",
    "user_id",
    "userid",
    "uid",
    "login",
    "mail",
];

/// Whether a claim of this name is personal data, in any case, and under any namespace
/// (`cognito:username`, `https://example.com/email`).
pub(super) fn is_personal(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let last = name.rsplit(['/', ':', '#', '.']).next().unwrap_or_default();
    PERSONAL.contains(&name.as_str()) || PERSONAL.contains(&last)
}
