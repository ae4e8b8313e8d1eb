//! `[client.NAME]` and `[resource."AUDIENCE"]`: who sends people here, and who verifies our tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign_core::ClientId;
use countersign_core::document::{Key, Table, Value};
use countersign_providers::PublishedKeys;
use countersign_server::{
    Client, ClientAuthentication, GrantType, Profile, Resource, SecretDigest, SigningAlgorithm,
};
use secrecy::ExposeSecret;

use super::address;
use super::file::{Reader, at_least_one, only_true, text};

const ALGORITHMS: [(&str, SigningAlgorithm); 3] = [
    ("RS256", SigningAlgorithm::Rs256),
    ("ES256", SigningAlgorithm::Es256),
    ("EdDSA", SigningAlgorithm::EdDsa),
];

impl Reader<'_> {
    pub(super) fn clients(&mut self, value: &Value<'_>) -> Option<BTreeMap<ClientId, Client>> {
        let clients = value.entries(|key, value| self.client(key, value))?;
        at_least_one(value, !clients.is_empty())?;
        Some(clients)
    }

    fn client(&mut self, key: &Key<'_>, value: &Value<'_>) -> Option<(ClientId, Client)> {
        let id = key.parsed(ClientId::new);
        // Known even if the rest of it is wrong: a policy that names it is right to.
        self.clients.extend(id.clone());
        let client = value.table(|table| {
            let name = table.required("name", text);
            let uris = table.optional("redirect_uris", redirect_uris);
            let authentication = self.authentication(table);
            let algorithm = table.optional("id_token_signed_response_alg", |value| {
                Some((value.one_of(&ALGORITHMS)?, value.clone()))
            });
            let resource = table.required("resource", |value| value.parsed(address::audience));
            self.named_resources.extend(resource.clone());
            let others = table.optional("other_resources", |value| {
                value.set(|item| item.parsed(address::audience))
            });
            self.named_resources
                .extend(others.iter().flatten().flatten().cloned());
            let grants = table.optional("grant_types", grant_types);
            let redirect_uris = match (uris, &grants) {
                (Some(uris), Some(grants)) => redirect_uris_for(uris, grants.as_ref(), table),
                (_, _) => None,
            };
            let must_push = table.optional("require_pushed_authorization_requests", only_true);
            let must_bind = table.optional("dpop_bound_access_tokens", only_true);
            let profile = profile(table, authentication.as_ref());
            let may_vouch = vouches(table, authentication.as_ref());
            let after_logout = table.optional("post_logout_redirect_uris", self::redirect_uris);
            let backchannel =
                table.optional("backchannel_logout_uri", |value| value.parsed(address::web));
            let mut client = Client::new(name?, redirect_uris?, authentication?, resource?);
            let profile = profile?;
            if let Some((algorithm, place)) = algorithm? {
                if profile == Profile::Fapi2 && algorithm == SigningAlgorithm::Rs256 {
                    place.report(
                        "`profile = \"fapi2\"` takes no RS256; expected \"ES256\" or \"EdDSA\"",
                    );
                    return None;
                }
                client.id_token_algorithm = algorithm;
            }
            client.grants = grants?.unwrap_or(client.grants);
            client.may_vouch = may_vouch?;
            client.backchannel_logout_uri = backchannel?;
            client.post_logout_redirect_uris = after_logout?.unwrap_or_default();
            client.other_resources = others?.unwrap_or_default();
            client.must_bind = must_bind?.is_some();
            client.must_push = must_push?.is_some();
            Some(client.of_profile(profile))
        });
        Some((id?, client?))
    }

    fn authentication(&mut self, table: &mut Table<'_>) -> Option<ClientAuthentication> {
        let secret = table.optional("secret", |value| self.secret(value));
        let public = table.optional("public", only_true);
        let keys = table.optional("jwks", |value| self.keys(value));
        let keys_at = table.optional("jwks_uri", |value| value.parsed(address::web));
        let secret = secret?.map(|secret| SecretDigest::of(secret.expose_secret()));
        let keys_at = keys_at?.map(PublishedKeys::at);
        let ways = [
            secret.map(ClientAuthentication::Secret),
            public?.map(|()| ClientAuthentication::Public),
            keys?.map(|keys| ClientAuthentication::PrivateKey(Arc::new(keys))),
            keys_at.map(|keys| ClientAuthentication::PrivateKey(Arc::new(keys))),
        ];
        let mut ways = ways.into_iter().flatten();
        match (ways.next(), ways.next()) {
            (Some(way), None) => Some(way),
            (None, _) => {
                table.report_missing(
                    "secret",
                    ": `{ file = \"PATH\" }` or `{ env = \"NAME\" }`; or `jwks` or `jwks_uri` of a client \
                     that signs with a key; for an app that can't keep a secret write `public = true` instead",
                );
                None
            }
            (Some(_), Some(_)) => {
                table.report(
                    "has more than one of `secret`, `public`, `jwks` and `jwks_uri`; expected one of them",
                );
                None
            }
        }
    }

    /// `{ file = "…" }`: the public keys of a client that authenticates by its private one.
    fn keys(&mut self, value: &Value<'_>) -> Option<PublishedKeys> {
        value.table(|table| table.required("file", |value| self.keys_of_file(value)))
    }

    fn keys_of_file(&mut self, value: &Value<'_>) -> Option<PublishedKeys> {
        let path = self.path(value)?;
        let contents = self.outside.file(&path);
        let keys = match &contents {
            Ok(contents) => {
                PublishedKeys::from_json(&contents.text).map_err(|fault| fault.to_string())
            }
            Err(error) => Err(format!("can't be read: {error}")),
        };
        keys.map_err(|fault| value.report(format_args!("`{}`: {fault}", path.display())))
            .ok()
    }

    pub(super) fn resources(&mut self, value: &Value<'_>) -> Option<BTreeMap<String, Resource>> {
        value.entries(|key, value| {
            let audience = key.parsed(address::audience);
            if let Some(audience) = &audience {
                self.resources.insert(audience.clone(), value.place());
            }
            let algorithm = value.table(|table| {
                algorithm(
                    table,
                    "access_token_signed_response_alg",
                    RESOURCE.algorithm,
                )
            });
            Some((
                audience?,
                Resource {
                    algorithm: algorithm?,
                },
            ))
        })
    }
}

/// What holds for a resource that a client names and nobody describes.
pub(super) const RESOURCE: Resource = Resource {
    algorithm: SigningAlgorithm::Es256,
};

fn algorithm(
    table: &mut Table<'_>,
    key: &'static str,
    default: SigningAlgorithm,
) -> Option<SigningAlgorithm> {
    table.optional_or(key, default, |value| value.one_of(&ALGORITHMS))
}

/// What follows from a profile is switched on by it; what contradicts it is told here.
fn profile(
    table: &mut Table<'_>,
    authentication: Option<&ClientAuthentication>,
) -> Option<Profile> {
    let profile = table.optional_or("profile", Profile::Plain, |value| {
        value.one_of(&[("fapi2", Profile::Fapi2)])
    })?;
    match (profile, authentication) {
        (Profile::Fapi2, Some(ClientAuthentication::Public | ClientAuthentication::Secret(_))) => {
            table.report(
                "has `profile = \"fapi2\"`, which needs `jwks` or `jwks_uri` (mutual TLS is not served)",
            );
            None
        }
        (Profile::Fapi2, Some(ClientAuthentication::PrivateKey(_)) | None)
        | (Profile::Plain, _) => Some(profile),
    }
}

/// The grants that a client may use, by their names in RFC 7591 2.
fn grant_types(value: &Value<'_>) -> Option<BTreeSet<GrantType>> {
    let named = GrantType::ALL.map(|grant| (grant.as_str(), grant));
    let grants = value.set(|item| item.one_of(&named))?;
    let brings_people = |grant: &GrantType| match grant {
        GrantType::AuthorizationCode | GrantType::DeviceCode => true,
        GrantType::RefreshToken | GrantType::ClientCredentials | GrantType::TokenExchange => false,
    };
    let has_people = grants.iter().any(brings_people);
    if !has_people && (grants.is_empty() || grants.contains(&GrantType::RefreshToken)) {
        value.report(
            "expected `authorization_code` or `urn:ietf:params:oauth:grant-type:device_code` among them: people \
             sign in by these",
        );
        return None;
    }
    Some(grants)
}

/// Whether its word counts, on e-mail addresses by API (with a `secret`) or on accounts by tickets (with a key): never where
/// anybody can pass for it.
fn vouches(table: &mut Table<'_>, as_whom: Option<&ClientAuthentication>) -> Option<bool> {
    let vouches = table.optional("vouches", |value| {
        only_true(value)?;
        match as_whom {
            Some(ClientAuthentication::Secret(_) | ClientAuthentication::PrivateKey(_)) | None => Some(()),
            Some(ClientAuthentication::Public) => {
                value.report("anybody can pass for a public client; give it a `secret` or a key (`jwks`, `jwks_uri`), or leave this out");
                None
            }
        }
    });
    Some(vouches?.is_some())
}

/// Where people are sent back to. A client that nobody signs in to has no such place.
fn redirect_uris_for(
    uris: Option<Vec<String>>,
    grants: Option<&BTreeSet<GrantType>>,
    table: &Table<'_>,
) -> Option<Vec<String>> {
    let has_people = grants.is_none_or(|grants| grants.contains(&GrantType::AuthorizationCode));
    match (uris, has_people) {
        (Some(uris), true) => Some(uris),
        (None, false) => Some(Vec::new()),
        (None, true) => {
            table.report_missing("redirect_uris", "");
            None
        }
        (Some(_), false) => {
            table.report("has `redirect_uris`, and nobody is sent back to it by its `grant_types`");
            None
        }
    }
}

fn redirect_uris(value: &Value<'_>) -> Option<Vec<String>> {
    let uris = value.set(|item| item.parsed(address::redirect_uri))?;
    at_least_one(value, !uris.is_empty())?;
    Some(uris.into_iter().collect())
}
