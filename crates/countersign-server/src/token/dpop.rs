//! Tokens that are bound to a key of the client's (DPoP, RFC 9449): the proof of a request to us.
//!
//! A proof repeats a `nonce` of ours, which is the time in words that only we can make: nothing is kept for
//! it. What is kept is that a proof came, until no proof of its time is taken any more, on every replica.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::ClientId;
use countersign_store::StoreError;
use countersign_verifier::{AccessToken, Confirmation, DpopProof, Error, Target};
use jiff::{SignedDuration, Timestamp};

use super::{issued, unavailable};
use crate::error::{Failure, OAuthError};
use crate::keys::Vault;
use crate::once::{Kind, is_first};
use crate::secret;
use crate::web::Context;
use crate::{BuildError, Entropy};

/// The name of the key in the store.
const KEY: &str = "dpop-nonce-hmac";
/// How long a nonce is the newest, in seconds; the one before it is good too.
const WINDOW: i64 = 120;
/// For so long a proof is remembered: longer than its nonce and its `iat` are good.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(6);

/// Makes nonces, and knows them again.
#[derive(Debug)]
pub(crate) struct Nonces {
    key: hmac::Key,
}

impl Nonces {
    /// The key of this installation. Made if there is none yet.
    pub(crate) async fn load_or_make(
        vault: &Vault,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<Self, BuildError> {
        let secret = secret::load_or_make(KEY, vault, entropy, now).await?;
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
        })
    }

    /// The nonce of this moment.
    pub(crate) fn newest(&self, now: Timestamp) -> String {
        let tag = hmac::sign(&self.key, &window(now).to_be_bytes());
        URL_SAFE_NO_PAD.encode(tag)
    }

    fn is_good(&self, nonce: &str, now: Timestamp) -> bool {
        let Ok(tag) = URL_SAFE_NO_PAD.decode(nonce) else {
            return false;
        };
        [window(now), window(now) - 1]
            .iter()
            .any(|window| hmac::verify(&self.key, &window.to_be_bytes(), &tag).is_ok())
    }
}

fn window(now: Timestamp) -> i64 {
    now.as_second().div_euclid(WINDOW)
}

/// A good proof of this request, which may have come before.
pub(crate) struct Proof(DpopProof);

/// A key that the client has shown, by a proof that came for the first time.
pub(crate) struct ShownKey(String);

impl Proof {
    /// The thumbprint of its key.
    pub(crate) fn thumbprint(&self) -> &str {
        self.0.thumbprint()
    }
}

impl ShownKey {
    pub(super) fn thumbprint(&self) -> &str {
        &self.0
    }

    pub(super) fn confirmation(&self) -> Confirmation {
        Confirmation::of_key(&self.0)
    }
}

/// The proof of a request to an endpoint of ours for clients. `None` where there is none and none is needed.
pub(crate) fn proof_of(client: &ClientId, context: &Context<'_>) -> Result<Option<Proof>, Failure> {
    let clients = &context.broker.settings.clients;
    let must_bind = clients.get(client).is_none_or(|client| client.must_bind);
    let read = match (header(context), must_bind) {
        (Ok(Some(proof)), _) => self::read(proof, None, context).map(|proof| Some(Proof(proof))),
        (Ok(None), false) => Ok(None),
        // RFC 9449 5.2.
        (Ok(None), true) => Err(Error::BadProof("this client must send one")),
        (Err(error), _) => Err(error),
    };
    read.map_err(|error| refused(&error, context))
}

/// Takes the proof of a request that is otherwise good: once.
pub(crate) async fn spend(
    proof: Option<Proof>,
    context: &Context<'_>,
) -> Result<Option<ShownKey>, Failure> {
    let Some(Proof(proof)) = proof else {
        return Ok(None);
    };
    match is_new(&proof, context).await {
        Ok(true) => Ok(Some(ShownKey(proof.thumbprint().to_owned()))),
        Ok(false) => Err(refused(&Error::BadProof("it came before"), context)),
        Err(error) => Err(unavailable(&error, context)),
    }
}

/// An access token of ours, presented with a proof at this endpoint.
pub(super) async fn verified(token: &str, context: &Context<'_>) -> Result<AccessToken, Error> {
    let proof = header(context)?.ok_or(Error::BadProof("the request has none"))?;
    let proof = read(proof, Some(token), context)?;
    let verified = issued::verified(token, context).await?;
    verified.require_bound_to(&proof)?;
    match is_new(&proof, context).await {
        Ok(true) => Ok(verified),
        Ok(false) => Err(Error::BadProof("it came before")),
        Err(error) => Err(Error::Unavailable(error.to_string())),
    }
}

async fn is_new(proof: &DpopProof, context: &Context<'_>) -> Result<bool, StoreError> {
    // A client names its proofs as it likes: each key has names of its own.
    let names = [proof.thumbprint(), proof.id()];
    is_first(Kind::DpopProof, &names, context.now + REMEMBERED, context).await
}

fn read(proof: &str, token: Option<&str>, context: &Context<'_>) -> Result<DpopProof, Error> {
    let url = context.broker.settings.endpoint(context.request.path());
    let target = Target {
        method: context.request.method().as_str(),
        url: &url,
    };
    let proof = DpopProof::verify(proof, target, token, context.now.as_second())?;
    let nonces = &context.broker.nonces;
    match proof.nonce() {
        Some(nonce) if nonces.is_good(nonce, context.now) => Ok(proof),
        // RFC 9449 8, 9: the client is given one with this answer, and asks again.
        Some(_) | None => Err(Error::NonceNeeded),
    }
}

/// RFC 9449 4.3 (1): one header, or none.
fn header<'a>(context: &Context<'a>) -> Result<Option<&'a str>, Error> {
    let mut headers = context.request.headers().get_all("dpop");
    match (headers.next(), headers.next()) {
        (None, _) => Ok(None),
        (Some(one), None) => one
            .to_str()
            .map(Some)
            .map_err(|_| Error::BadProof("it is no JWT")),
        (Some(_), Some(_)) => Err(Error::BadProof("there are two")),
    }
}

fn refused(error: &Error, context: &Context<'_>) -> Failure {
    tracing::info!(code = "dpop-proof-refused", request = %context.request_id, cause = %error, "a proof is not good");
    match error {
        Error::NonceNeeded => OAuthError::bad(
            "use_dpop_nonce",
            "the proof must have the `nonce` of the header `DPoP-Nonce`",
        ),
        _ => OAuthError::bad(
            "invalid_dpop_proof",
            "the proof in the header `DPoP` is missing, twice there, used before, or not of this request",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_for_its_time_and_the_next_and_no_longer() {
        let nonces = |byte| Nonces {
            key: hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]),
        };
        let at = |second| Timestamp::from_second(second).unwrap();
        let mine = nonces(7);
        let nonce = mine.newest(at(1_200));
        for good in [1_200, 1_319, 1_439] {
            assert!(mine.is_good(&nonce, at(good)), "{good}");
        }
        for bad in [1_440, 9_999, 1_199, 0] {
            assert!(!mine.is_good(&nonce, at(bad)), "{bad}");
        }
        assert!(
            !nonces(8).is_good(&nonce, at(1_200)),
            "another installation's"
        );
        for made_up in ["", "AAAA", "!", &nonce[1..]] {
            assert!(!mine.is_good(made_up, at(1_200)), "{made_up}");
        }
    }
}
