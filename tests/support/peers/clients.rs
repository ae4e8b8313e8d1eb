//! Clients: registries that send people to us and verify what they bring back.

use countersign_server::{Client, ClientAuthentication, GrantType, SecretDigest, SigningAlgorithm};
use serde_json::{Value, json};
use url::Url;

use super::Peer;
use crate::BrokerSetup;

/// The library that a client is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Library {
    /// npm `openid-client`, with its signature checks on.
    OpenIdClient,
    /// PyPI `Authlib`, in a Flask site.
    Authlib,
}

/// How a client is registered.
#[derive(Debug, Clone, Copy)]
pub struct Registration {
    /// Its id, which the policy must know too.
    pub id: &'static str,
    /// How it authenticates at the token endpoint.
    pub authentication: Authentication,
    /// What signs its ID tokens.
    pub algorithm: SigningAlgorithm,
}

/// How a client authenticates at the token endpoint (OpenID Connect Core 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// `client_secret_basic`.
    Basic,
    /// `client_secret_post`.
    Post,
    /// `none`: a public client, by PKCE alone.
    Nothing,
}

impl Authentication {
    fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
            Self::Nothing => "none",
        }
    }

    fn secret(self) -> Option<&'static str> {
        match self {
            Self::Basic | Self::Post => Some(BrokerSetup::SECRET),
            Self::Nothing => None,
        }
    }
}

impl Registration {
    /// The broker's side of it.
    pub fn client(self) -> Client {
        let authentication = match self.authentication.secret() {
            Some(secret) => ClientAuthentication::Secret(SecretDigest::of(secret)),
            None => ClientAuthentication::Public,
        };
        let uris = vec![BrokerSetup::REDIRECT_URI.into()];
        let mut client = Client::new(self.id, uris, authentication, BrokerSetup::AUDIENCE);
        client.id_token_algorithm = self.algorithm;
        client
            .grants
            .extend([GrantType::RefreshToken, GrantType::DeviceCode]);
        client
    }
}

/// A client in a process of its own.
#[derive(Debug)]
pub struct RelyingParty {
    peer: Peer,
}

impl RelyingParty {
    /// Starts a client that knows the broker by its issuer alone.
    pub fn start(library: Library, registration: Registration, issuer: &str) -> Self {
        let argument = json!({
            "issuer": issuer,
            "client_id": registration.id,
            "client_secret": registration.authentication.secret(),
            "redirect_uri": BrokerSetup::REDIRECT_URI,
            "scope": "openid profile email packages:manage",
            "authentication": registration.authentication.as_str(),
            "id_token_algorithm": registration.algorithm.as_str(),
        });
        let peer = match library {
            Library::OpenIdClient => Peer::node("client.mjs", &argument),
            Library::Authlib => Peer::python("client.py", &argument),
        };
        Self { peer }
    }

    /// The authorization request that it makes, with these parameters besides its own.
    pub fn begin(&mut self, parameters: &Value) -> Url {
        let answer = self.peer.ask(&json!({ "begin": parameters }));
        let url = answer["authorize"].as_str().expect("an address");
        Url::parse(url).expect("an address")
    }

    /// Asks for the codes of a device: where a person says yes or no to it.
    pub fn begin_on_device(&mut self) -> Url {
        let answer = self.peer.ask(&json!({ "device": "begin" }));
        let url = answer["verification_uri_complete"].as_str();
        Url::parse(url.unwrap_or_else(|| panic!("no address: {answer}"))).expect("an address")
    }

    /// Asks until somebody has signed in for the device; answers as [`RelyingParty::finish`] does.
    pub fn finish_on_device(&mut self) -> Value {
        self.peer.ask(&json!({ "device": "finish" }))
    }

    /// Refreshes what it got, asks what the new access token is good for, revokes the refresh token, and
    /// asks again: `claims` of the new ID token, `before`, `after`.
    pub fn refresh_and_revoke(&mut self) -> Value {
        self.peer.ask(&json!({ "refresh": true }))
    }

    /// What it makes of the callback: `claims` and `user_info`, or `error`.
    pub fn finish(&mut self, callback: &Url) -> Value {
        self.peer.ask(&json!({ "finish": callback.as_str() }))
    }
}
