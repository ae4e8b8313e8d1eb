//! The stand-ins over HTTP, as a relying party sees them.

mod entra;
mod entra_faults;
mod github;
mod oidc;
mod openapi;
mod support;
mod wire;
