//! What the tests of this crate sign with: one key of each kind, and a good token to spoil.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://login.registry.example";
pub(crate) const AUDIENCE: &str = "https://registry.example";
pub(crate) const NOW: i64 = 1_790_000_000;

/// A key pair with its `kid`.
pub(crate) struct Signer {
    pub(crate) kid: &'static str,
    pair: Pair,
}

enum Pair {
    Es256(EcdsaKeyPair),
    Rs256(Box<RsaKeyPair>),
    EdDsa(Ed25519KeyPair),
}

pub(crate) static ES256: LazyLock<Signer> = LazyLock::new(|| Signer::es256("es"));
/// The issuer's next key, for the tests of rotation.
#[cfg(feature = "fetch")]
pub(crate) static NEXT_ES256: LazyLock<Signer> = LazyLock::new(|| Signer::es256("es-next"));
/// Another's key under the issuer's `kid`.
pub(crate) static FOREIGN: LazyLock<Signer> = LazyLock::new(|| Signer::es256("es"));
pub(crate) static RS256: LazyLock<Signer> = LazyLock::new(|| Signer {
    kid: "rs",
    pair: Pair::Rs256(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())),
});
pub(crate) static EDDSA: LazyLock<Signer> = LazyLock::new(|| Signer {
    kid: "ed",
    pair: Pair::EdDsa(Ed25519KeyPair::generate().unwrap()),
});

impl Signer {
    fn es256(kid: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self {
            kid,
            pair: Pair::Es256(pair),
        }
    }

    pub(crate) fn alg(&self) -> &'static str {
        match self.pair {
            Pair::Es256(_) => "ES256",
            Pair::Rs256(_) => "RS256",
            Pair::EdDsa(_) => "EdDSA",
        }
    }

    pub(crate) fn header(&self) -> Value {
        json!({"typ": "at+jwt", "alg": self.alg(), "kid": self.kid})
    }

    /// A token with the ordinary header.
    pub(crate) fn token(&self, payload: &Value) -> String {
        self.token_with(&self.header(), payload)
    }

    pub(crate) fn token_with(&self, header: &Value, payload: &Value) -> String {
        self.token_of(&header.to_string(), &payload.to_string())
    }

    /// A token of any text, also of what no JSON library would write.
    pub(crate) fn token_of(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", base64url(header), base64url(payload));
        let signature = base64url(self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test signs with fresh randomness"
    )]
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Es256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::EdDsa(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }

    pub(crate) fn jwk(&self) -> Value {
        match &self.pair {
            Pair::Es256(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "kid": self.kid, "use": "sig", "alg": "ES256",
                    "x": base64url(&point[1..33]), "y": base64url(&point[33..])})
            }
            Pair::EdDsa(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "use": "sig",
                    "x": base64url(pair.public_key())})
            }
            Pair::Rs256(_) => {
                json!({"kty": "RSA", "kid": self.kid, "use": "sig", "alg": "RS256",
                    "n": base64url(self.rsa_modulus()), "e": "AQAB"})
            }
        }
    }

    /// Of the DER of a 2048-bit key with exponent 65537: `30 82 .. .. 02 82 01 01 00 n 02 03 01 00 01`.
    fn rsa_modulus(&self) -> Vec<u8> {
        let der = self.rsa_der();
        assert!(der[4..9] == [0x02, 0x82, 0x01, 0x01, 0x00] && der.ends_with(&[3, 1, 0, 1]));
        der[9..265].to_vec()
    }

    pub(crate) fn rsa_der(&self) -> Vec<u8> {
        let Pair::Rs256(pair) = &self.pair else {
            panic!("not an RSA key")
        };
        pair.public_key().as_ref().to_vec()
    }
}

/// The issuer's key set with these keys.
pub(crate) fn jwks(signers: &[&Signer]) -> Value {
    json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()})
}

/// The payload of a good token.
pub(crate) fn good() -> Value {
    json!({
        "iss": ISSUER, "sub": "acct_01J", "aud": AUDIENCE, "client_id": "gallery",
        "scope": "openid packages:publish", "acr": "urn:countersign:mfa", "amr": ["pwd", "mfa"],
        "auth_time": NOW - 100, "sid": "sess_1", "jti": "t1", "iat": NOW - 10, "exp": NOW + 590,
        "countersign": {"provider": "contoso-entra", "level": "mfa", "basis": "session"},
    })
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
