//! What this installation is, as checked values.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_lc_rs::digest;
use countersign_core::{ClientId, RegistryName};
use countersign_providers::PublishedKeys;
use jiff::SignedDuration;
use subtle::ConstantTimeEq;
use thiserror::Error;
use url::{Host, Url};

use crate::keys::KeyHeader;
use crate::registry::Registry;
use crate::webhook::Webhook;

/// What this installation is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our issuer: scheme, host and port, no path.
    pub issuer: Url,
    /// The clients that may send people here.
    pub clients: BTreeMap<ClientId, Client>,
    /// The registry services that our access tokens are for, by audience.
    pub resources: BTreeMap<String, Resource>,
    /// The registries that we stand in front of, for their own tools.
    pub registries: BTreeMap<RegistryName, Registry>,
    /// Where the registry is told what its people must hear; nothing set: nowhere.
    pub webhook: Option<Webhook>,
}

/// A registry frontend.
#[derive(Debug, Clone)]
pub struct Client {
    /// What people call it.
    pub name: String,
    /// Where people may be sent back to, each compared exactly (RFC 9700 4.1.3).
    pub redirect_uris: Vec<String>,
    /// How it authenticates at the token endpoint.
    pub authentication: ClientAuthentication,
    /// What signs its ID tokens.
    pub id_token_algorithm: SigningAlgorithm,
    /// The audience of its access tokens; one of [`Settings::resources`].
    pub resource: String,
    /// Other audiences that it may ask for (RFC 8707); each one of [`Settings::resources`].
    pub other_resources: BTreeSet<String>,
    /// What it may exchange for tokens.
    pub grants: BTreeSet<GrantType>,
    /// How strictly it is held to; see [`Client::of_profile`].
    pub profile: Profile,
    /// Whether its access tokens must be bound to a key that it shows (RFC 9449 5.2).
    pub must_bind: bool,
    /// Whether it must push its authorization requests (RFC 9126 6).
    pub must_push: bool,
    /// Whether it may vouch for e-mail addresses. Never true of a public one.
    pub may_vouch: bool,
    /// Where people may be sent after they have signed out, each compared exactly
    /// (OpenID Connect RP-Initiated Logout 3.1).
    pub post_logout_redirect_uris: Vec<String>,
    /// Where it is told that a session has ended (OpenID Connect Back-Channel Logout 2.2).
    pub backchannel_logout_uri: Option<Url>,
}

/// How strictly a client is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// What the client itself says.
    Plain,
    /// The FAPI 2.0 security profile, with `private_key_jwt` and DPoP.
    Fapi2,
}

/// What tokens are given for (RFC 7591 2, `grant_types`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GrantType {
    /// A code that somebody brought back who signed in.
    AuthorizationCode,
    /// A refresh token.
    RefreshToken,
    /// Nothing but who the client is: it acts as itself, without any person.
    ClientCredentials,
    /// An access token that a service was given (RFC 8693).
    TokenExchange,
    /// A device code: somebody signs in for a device on another one (RFC 8628).
    DeviceCode,
}

impl GrantType {
    /// All that are served.
    pub const ALL: [Self; 5] = [
        Self::AuthorizationCode,
        Self::RefreshToken,
        Self::ClientCredentials,
        Self::TokenExchange,
        Self::DeviceCode,
    ];

    /// The `grant_type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
            Self::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
        }
    }
}

/// How a client authenticates.
#[derive(Debug, Clone)]
pub enum ClientAuthentication {
    /// Not at all: PKCE is required of it.
    Public,
    /// By a secret, in the `Authorization` header or the form.
    Secret(SecretDigest),
    /// By what it signs with its private key: `private_key_jwt` (RFC 7523 2.2).
    PrivateKey(Arc<PublishedKeys>),
}

impl ClientAuthentication {
    /// Whether anybody could pass for the client.
    pub fn is_public(&self) -> bool {
        match self {
            Self::Public => true,
            Self::Secret(_) | Self::PrivateKey(_) => false,
        }
    }
}

/// SHA-256 of a client's secret: the secret itself is not kept.
#[derive(Clone)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// Takes the digest of a secret.
    pub fn of(secret: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
        Self(bytes)
    }

    /// Whether `given` is the secret, in constant time: the digests have one length.
    pub(crate) fn matches(&self, given: &str) -> bool {
        Self::of(given).0.ct_eq(&self.0).into()
    }
}

impl std::fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A registry service that verifies our access tokens.
#[derive(Debug, Clone)]
pub struct Resource {
    /// What signs the access tokens for it: it is the resource that verifies them.
    pub algorithm: SigningAlgorithm,
}

/// What signs a token (RFC 7518, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SigningAlgorithm {
    /// What an unconfigured OpenID Connect library expects.
    Rs256,
    /// 35 times cheaper to sign, three times dearer to verify.
    Es256,
    /// Cheapest to sign; not every library knows it.
    EdDsa,
}

impl SigningAlgorithm {
    /// The `alg` of RFC 7518 and RFC 8037.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// Settings that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// The issuer is not one that browsers and libraries accept.
    #[error(
        "the issuer must be https (plain http on a loopback address only), without path, query or fragment"
    )]
    Issuer,
    /// A client names a resource that is not configured.
    #[error("client `{client}`: the resource `{resource}` is not configured")]
    Resource {
        /// The client.
        client: ClientId,
        /// The audience it names.
        resource: String,
    },
    /// A registry whose tools are no client's.
    #[error("registry `{registry}`: the client `{client}` is not configured")]
    Registry {
        /// The registry.
        registry: RegistryName,
        /// The client it names.
        client: ClientId,
    },
    /// A client that gets tokens for itself, and that anybody can pass for, or whose id could be an account's.
    #[error(
        "client `{0}`: only a client that authenticates gets tokens for itself or for a token, and its id can't begin with `acct_`"
    )]
    Service(ClientId),
    /// A client that is not as its profile has it.
    #[error("client `{client}`: `profile = \"fapi2\"`: {why}")]
    Profile {
        /// The client.
        client: ClientId,
        /// What is not.
        why: &'static str,
    },
    /// A client with the name of our own pages.
    #[error("client `{0}`: our own pages have this name; choose another")]
    Reserved(ClientId),
    /// A client that anybody can pass for, and that is to be believed.
    #[error(
        "client `{0}`: a public client can't vouch for e-mail addresses: anybody can pass for it"
    )]
    Voucher(ClientId),
    /// A redirect URI that people must not be sent to.
    #[error(
        "client `{client}`: the redirect URI `{uri}` must be https (plain http on a loopback address only), without fragment and user"
    )]
    RedirectUri {
        /// The client.
        client: ClientId,
        /// The redirect URI.
        uri: String,
    },
}

impl Settings {
    /// Our issuer as tokens have it: without the slash that a `Url` ends with (RFC 8414 2 compares strings).
    pub fn issuer(&self) -> &str {
        self.issuer.as_str().trim_end_matches('/')
    }

    /// The audience of the access tokens that the API takes.
    pub(crate) fn api(&self) -> String {
        self.endpoint("/api/v1")
    }

    /// The address of one of our endpoints.
    pub(crate) fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.issuer())
    }

    /// Whether anybody finds our keys by certificates.
    pub(crate) fn needs_root(&self) -> bool {
        let mut all = self
            .registries
            .values()
            .filter_map(|one| one.docker.as_ref());
        all.any(|docker| docker.key_header == KeyHeader::X5c)
    }

    /// Whether each part fits the others.
    pub fn check(&self) -> Result<(), SettingsError> {
        let plain = self.issuer.path() == "/"
            && self.issuer.query().is_none()
            && self.issuer.fragment().is_none();
        if !(plain && is_safe(&self.issuer)) {
            return Err(SettingsError::Issuer);
        }
        for (id, client) in &self.clients {
            client.check(id)?;
            if let Some(why) = client.breach(&self.resources) {
                let client = id.clone();
                return Err(SettingsError::Profile { client, why });
            }
            let missing = |resource: &&String| !self.resources.contains_key(*resource);
            if let Some(resource) = client.audiences().find(missing) {
                let resource = resource.clone();
                return Err(SettingsError::Resource {
                    client: id.clone(),
                    resource,
                });
            }
        }
        let stray = |registry: &&Registry| !self.clients.contains_key(&registry.client);
        let mut registries = self.registries.iter();
        match registries.find(|(_, registry)| stray(registry)) {
            None => Ok(()),
            Some((name, registry)) => Err(SettingsError::Registry {
                registry: name.clone(),
                client: registry.client.clone(),
            }),
        }
    }
}

impl Client {
    /// A client as it is unless more is said: people sign in to it by a code, and nothing else.
    pub fn new(
        name: impl Into<String>,
        redirect_uris: Vec<String>,
        authentication: ClientAuthentication,
        resource: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            redirect_uris,
            authentication,
            id_token_algorithm: SigningAlgorithm::Rs256,
            resource: resource.into(),
            other_resources: BTreeSet::new(),
            grants: BTreeSet::from([GrantType::AuthorizationCode]),
            profile: Profile::Plain,
            must_bind: false,
            must_push: false,
            may_vouch: false,
            post_logout_redirect_uris: Vec::new(),
            backchannel_logout_uri: None,
        }
    }

    /// The same client, held to this profile: what follows from it is switched on.
    #[must_use]
    pub fn of_profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        match profile {
            Profile::Plain => {}
            Profile::Fapi2 => {
                self.must_push = true;
                self.must_bind = true;
                if self.id_token_algorithm == SigningAlgorithm::Rs256 {
                    self.id_token_algorithm = SigningAlgorithm::Es256;
                }
            }
        }
        self
    }

    /// What of it is not as its profile has it.
    fn breach(&self, resources: &BTreeMap<String, Resource>) -> Option<&'static str> {
        if self.profile == Profile::Plain {
            return None;
        }
        let by_rsa = |audience| {
            let resource = resources.get(audience);
            resource.is_some_and(|one| one.algorithm == SigningAlgorithm::Rs256)
        };
        let keyed = matches!(self.authentication, ClientAuthentication::PrivateKey(_));
        [
            // FAPI 2.0 5.3.2.1 (6), 5.3.2.2 (3), 5.3.2.1 (4), 5.4.1.
            (
                !keyed,
                "its client must authenticate by a key (`jwks` or `jwks_uri`)",
            ),
            (!self.must_push, "its requests must be pushed"),
            // FAPI 2.0 knows codes that come back to the browser that began, and no others.
            (
                self.may(GrantType::DeviceCode),
                "nobody signs in to it on a device",
            ),
            (!self.must_bind, "its tokens must be bound to a key"),
            (
                self.id_token_algorithm == SigningAlgorithm::Rs256,
                "RS256 signs no ID token: choose ES256 or EdDSA",
            ),
            (
                self.audiences().any(by_rsa),
                "RS256 signs no access token: choose ES256 or EdDSA for its resources",
            ),
        ]
        .into_iter()
        .find_map(|(is_broken, why)| is_broken.then_some(why))
    }

    /// How long a code of this client may live. FAPI 2.0 5.3.2.1 (11): 60 seconds at most.
    pub(crate) fn code_lifetime(&self, by_policy: SignedDuration) -> SignedDuration {
        match self.profile {
            Profile::Plain => by_policy,
            Profile::Fapi2 => by_policy.min(SignedDuration::from_secs(60)),
        }
    }

    /// The audiences that its access tokens may have.
    pub fn audiences(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.resource).chain(&self.other_resources)
    }

    /// Whether it may exchange this for tokens.
    pub fn may(&self, grant: GrantType) -> bool {
        self.grants.contains(&grant)
    }

    fn check(&self, id: &ClientId) -> Result<(), SettingsError> {
        if id.as_str() == ClientId::OWN {
            return Err(SettingsError::Reserved(id.clone()));
        }
        if self.may_vouch && self.authentication.is_public() {
            return Err(SettingsError::Voucher(id.clone()));
        }
        let is_unfit = self.authentication.is_public() || id.as_str().starts_with("acct_");
        let acts = self.may(GrantType::ClientCredentials) || self.may(GrantType::TokenExchange);
        if acts && is_unfit {
            return Err(SettingsError::Service(id.clone()));
        }
        let is_good = |uri: &&String| {
            Url::parse(uri).is_ok_and(|url| is_safe(&url) && url.fragment().is_none())
        };
        let uris = self
            .redirect_uris
            .iter()
            .chain(&self.post_logout_redirect_uris);
        match uris.into_iter().find(|uri| !is_good(uri)) {
            None => Ok(()),
            Some(uri) => Err(SettingsError::RedirectUri {
                client: id.clone(),
                uri: uri.clone(),
            }),
        }
    }

    /// Whether only the client itself receives what is sent to `uri`. What listens on a loopback address
    /// may be any program: there a person must be met (RFC 8252 8.6).
    pub(crate) fn is_assured_at(&self, uri: &str) -> bool {
        let is_local =
            || Url::parse(uri).is_ok_and(|uri| countersign_providers::http::is_loopback(&uri));
        !(matches!(self.authentication, ClientAuthentication::Public) && is_local())
    }

    /// Whether `uri` is registered for the way back after a sign-out, to the letter.
    pub fn allows_post_logout_redirect(&self, uri: &str) -> bool {
        self.post_logout_redirect_uris
            .iter()
            .any(|registered| registered == uri)
    }

    /// Whether `uri` is registered: to the letter, but for the port of a loopback address
    /// given by number (RFC 8252 7.3), and that for public clients only.
    pub(crate) fn allows_redirect(&self, uri: &str) -> bool {
        self.redirect_uris
            .iter()
            .any(|registered| registered == uri)
            || (self.authentication.is_public()
                && self
                    .redirect_uris
                    .iter()
                    .any(|registered| is_same_but_port(registered, uri)))
    }
}

fn is_same_but_port(registered: &str, given: &str) -> bool {
    let (Ok(known), Ok(mut url)) = (Url::parse(registered), Url::parse(given)) else {
        return false;
    };
    // What was parsed must be what stands there: a `Url` tidies up what an attacker may have bent.
    let is_as_written = url.as_str() == given;
    let is_number = matches!(url.host(), Some(Host::Ipv4(_) | Host::Ipv6(_)));
    is_as_written
        && is_number
        && countersign_providers::http::is_loopback(&url)
        && url.set_port(known.port()).is_ok()
        && url == known
}

fn is_safe(url: &Url) -> bool {
    let scheme = match url.scheme() {
        "https" => true,
        "http" => countersign_providers::http::is_loopback(url),
        _ => false,
    };
    scheme && url.username().is_empty() && url.password().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(authentication: ClientAuthentication, uri: &str) -> Client {
        let resource = "https://registry.example";
        Client::new("Gallery", vec![uri.into()], authentication, resource)
    }

    #[test]
    fn a_redirect_uri_is_compared_to_the_letter() {
        let registered = "https://registry.example/callback";
        let client = client(
            ClientAuthentication::Secret(SecretDigest::of("x")),
            registered,
        );
        assert!(client.allows_redirect(registered));
        for bent in [
            "https://registry.example/callback/",
            "https://registry.example/callback?x=1",
            "https://registry.example/callback#",
            "https://registry.example/callback/../callback",
            "https://REGISTRY.example/callback",
            "HTTPS://registry.example/callback",
            "https://registry.example:443/callback",
            "https://user@registry.example/callback",
            "https://registry.example\\@evil.example/callback",
            "https://registry.example.evil.example/callback",
            "https://evil.example/https://registry.example/callback",
            "https://registry.example/%63allback",
            "http://registry.example/callback",
            "//registry.example/callback",
            "",
        ] {
            assert!(!client.allows_redirect(bent), "`{bent}` was taken");
        }
    }

    #[test]
    fn a_native_app_may_listen_on_any_port_of_a_loopback_address_given_by_number() {
        let app = client(ClientAuthentication::Public, "http://127.0.0.1/callback");
        assert!(app.allows_redirect("http://127.0.0.1:51004/callback"));
        for bent in [
            "http://127.0.0.1:51004/other",
            "http://127.0.0.1:51004/callback#",
            "http://localhost:51004/callback",
            "http://localhost.evil.example:51004/callback",
            "http://127.0.0.1:51004@evil.example/callback",
            "http://127.1:51004/callback",
            "https://127.0.0.1:51004/callback",
        ] {
            assert!(!app.allows_redirect(bent), "`{bent}` was taken");
        }
        let by_name = client(ClientAuthentication::Public, "http://localhost/callback");
        assert!(!by_name.allows_redirect("http://localhost:51004/callback"));
        let confidential = ClientAuthentication::Secret(SecretDigest::of("x"));
        let web = client(confidential, "http://127.0.0.1/callback");
        assert!(!web.allows_redirect("http://127.0.0.1:51004/callback"));
    }

    #[test]
    fn a_public_client_is_never_believed() {
        let uri = "http://127.0.0.1/callback";
        let id = ClientId::new("tool").unwrap();
        let mut public = client(ClientAuthentication::Public, uri);
        public.check(&id).unwrap();
        public.may_vouch = true;
        assert_eq!(public.check(&id), Err(SettingsError::Voucher(id.clone())));
        let secret = ClientAuthentication::Secret(SecretDigest::of("x"));
        let mut confidential = client(secret, uri);
        confidential.may_vouch = true;
        confidential.check(&id).unwrap();
    }

    #[test]
    fn a_secret_matches_itself_only() {
        let digest = SecretDigest::of("correct horse");
        assert!(digest.matches("correct horse"));
        assert!(!digest.matches("correct horse "));
        assert!(!digest.matches(""));
        assert_eq!(format!("{digest:?}"), "[redacted]");
    }
}
