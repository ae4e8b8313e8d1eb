//! Verifies Countersign's access tokens in a registry service.
//!
#![cfg_attr(feature = "fetch", doc = "```no_run")]
#![cfg_attr(not(feature = "fetch"), doc = "```ignore")]
//! use countersign_verifier::{Error, Verifier, bearer};
//!
//! # struct Api { verifier: Verifier }
//! # impl Api {
//! # fn new() -> Result<Self, Error> {
//! // Once, at start: the broker's issuer, and the audience that stands for this service.
//! let verifier = Verifier::new("https://login.registry.example", "https://registry.example")?;
//! # Ok(Self { verifier }) }
//!
//! // For each request: who is it, and may they publish?
//! async fn publisher(&self, authorization: Option<&str>) -> Result<String, Error> {
//!     let token = self.verifier.verify(bearer(authorization)?).await?;
//!     token.require_scope("packages:publish")?;
//!     Ok(token.claims().sub.clone())
//! }
//! # }
//!
//! // Where it fails: the status, and the header that says what to do next.
//! fn refusal(error: &Error) -> (u16, Option<String>) {
//!     (error.status(), error.challenge().map(|c| c.to_string())) // WWW-Authenticate
//! }
//! ```
//!
//! **Check the scope.** The broker's policy has decided, for this very login, which scopes it is good
//! for. Only a service that is stricter than that policy looks at
//! [`acr`](AccessToken::require_acr) or at the [age of the login](AccessToken::require_max_age).
//!
//! **What ends before its time.** A token is good until it expires, also where its session has ended meanwhile. A
//! service that wants to know within a second follows the broker's feed, as a client of the broker's:
//!
#![cfg_attr(feature = "fetch", doc = "```no_run")]
#![cfg_attr(not(feature = "fetch"), doc = "```ignore")]
//! # use countersign_verifier::{Error, FeedClient, Silence, Verifier};
//! # fn start(verifier: Verifier, secret: String) -> Result<(), Error> {
//! let client = FeedClient::with_secret("registry-api", secret);
//! let follower = verifier.follow(client, Silence::Accept)?; // or `RefuseAfter`, to fail closed
//! tokio::spawn(follower.run());
//! # Ok(()) }
//! ```
//!
//! From then on [`Verifier::verify`] refuses what has ended, with [`Error::Revoked`].
//!
//! Without the feature `fetch` (on by default) the crate has neither network nor clock: get the
//! issuer's key set yourself, and call [`verify()`] with it and with the time.
#![warn(missing_docs)]

mod access_token;
mod bearer;
#[cfg(feature = "fetch")]
mod cache;
mod challenge;
mod claims;
mod dpop;
#[cfg(feature = "fetch")]
mod ended;
mod error;
#[cfg(feature = "fetch")]
mod fetch;
#[cfg(feature = "fetch")]
mod follow;
mod json;
mod keys;
#[cfg(test)]
mod testing;
#[cfg(feature = "fetch")]
mod verifier;
mod verify;

pub use access_token::AccessToken;
pub use bearer::{Presented, bearer, presented};
pub use challenge::Challenge;
pub use claims::{Actor, Claims, Confirmation, CountersignClaim, Scope, ScopeError};
pub use dpop::{DPOP_ALGORITHMS, DpopProof, Target};
#[cfg(feature = "fetch")]
pub use ended::{FeedStatus, Silence};
pub use error::Error;
#[cfg(feature = "fetch")]
pub use follow::{FeedClient, Follower};
pub use keys::KeySet;
#[cfg(feature = "fetch")]
pub use verifier::Verifier;
pub use verify::{
    Expectations, danger_id_token_of_any_time, danger_whoever_presents, verify, verify_with_proof,
};
