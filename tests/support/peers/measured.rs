//! npm `oidc-provider` and `jose`, for the benchmark to measure Countersign and its verifier beside.

use serde_json::{Value, json};

use super::Peer;

const HOST: &str = "127.0.0.2";

/// An `oidc-provider` that asks nobody anything, in a process of its own.
#[derive(Debug)]
pub struct PlainProvider {
    peer: Peer,
    /// Its endpoints have the paths that Countersign's have.
    pub issuer: String,
}

impl PlainProvider {
    /// Starts it with these clients. Access tokens are for this resource; those of the client `opaque` are no JWTs.
    pub fn start(clients: &Value, resource: &str, opaque: &str) -> Self {
        let argument =
            json!({ "host": HOST, "clients": clients, "resource": resource, "opaque": opaque });
        let mut peer = Peer::node("plain_provider.mjs", &argument);
        let issuer = peer.hear()["issuer"].as_str().map(str::to_owned);
        let issuer = issuer.expect("an issuer");
        Self { peer, issuer }
    }

    /// The process that it is.
    pub fn process(&self) -> u32 {
        self.peer.child.id()
    }
}

/// A service that verifies one access token with `jose`, in a process of its own.
#[derive(Debug)]
pub struct NodeVerifier {
    peer: Peer,
}

impl NodeVerifier {
    /// Starts it.
    pub fn start(jwks: &Value, issuer: &str, audience: &str, token: &str) -> Self {
        let argument =
            json!({ "jwks": jwks, "issuer": issuer, "audience": audience, "token": token });
        let peer = Peer::node("verify.mjs", &argument);
        Self { peer }
    }

    /// Verifies the token so many times.
    pub fn verify(&mut self, times: u32) {
        self.peer.ask(&json!(times));
    }

    /// The process that it is.
    pub fn process(&self) -> u32 {
        self.peer.child.id()
    }
}
