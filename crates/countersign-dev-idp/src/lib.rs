//! Stand-ins for Entra, Microsoft accounts, GitHub and plain OpenID Connect, for development and tests.
//!
//! Each is an HTTP server on loopback that behaves as the real provider does, as far as a relying
//! party can see, and misbehaves on request. It shares no code with the broker, so that a mistake
//! there isn't made twice. In a browser it shows a page of accounts to pick; a test appends
//! `&account=ID` to the authorization URL and has the answer at once.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use countersign_dev_idp::{DevIdp, Edit};
//!
//! let idp = DevIdp::entra("127.0.0.2:0").await?;
//! idp.control().set(|behaviour| behaviour.back.claims.push(Edit::remove("nonce")));
//! println!("{}/common/v2.0/.well-known/openid-configuration", idp.base_url());
//! idp.stop().await;
//! # Ok(())
//! # }
//! ```

mod clients;
mod control;
mod der;
pub mod entra;
mod entropy;
mod faults;
pub mod github;
mod jwt;
mod keys;
mod oauth;
pub mod oidc;
mod page;
mod server;

pub use clients::{Client, RedirectUris};
pub use control::{Behaviour, Control, IssParameter, KeyPhase, Received};
pub use faults::{Document, Edit, Edits, Endpoint, Signing, TokenFaults, WireAnswer, WireFault};
pub use keys::Algorithm;

/// A running stand-in. It stops when dropped.
#[derive(Debug)]
pub struct DevIdp {
    server: server::Running,
}

impl DevIdp {
    /// Entra and Microsoft accounts at one authority, as Microsoft has them. `bind` is `127.0.0.2:0` or alike.
    pub async fn entra(bind: &str) -> std::io::Result<Self> {
        Self::start::<entra::Entra>(bind).await
    }

    /// GitHub in the layout of an Enterprise Server: `/login/oauth/…` and `/api/v3/…`.
    pub async fn github(bind: &str) -> std::io::Result<Self> {
        Self::start::<github::GitHub>(bind).await
    }

    /// An OpenID Provider with issuer [`DevIdp::base_url`].
    pub async fn oidc(bind: &str) -> std::io::Result<Self> {
        Self::start::<oidc::Oidc>(bind).await
    }

    async fn start<K: server::Kind>(bind: &str) -> std::io::Result<Self> {
        let server = server::start::<K>(bind).await?;
        Ok(Self { server })
    }

    /// Such as `http://127.0.0.2:40123`, without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.server.base_url
    }

    /// The handle that changes behaviour and reads what arrived.
    pub fn control(&self) -> &Control {
        &self.server.control
    }

    /// Stops at once and waits until it has stopped.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}
