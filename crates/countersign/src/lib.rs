//! What `countersign.toml` says, as checked values: a library, so that tests and the playground
//! load the very files that operators write.
//!
//! [`config::load`] is the way in. Files and environment variables come through
//! [`Surroundings`], so that a test needs neither. [`decisions`] reads the log that a server has
//! written, [`schema`] tells editors the shape of `policy.toml`. Here are no rules of the product: the policy's are in `countersign-core`, the
//! protocol's in `countersign-server`.

pub mod config;
pub mod decisions;
pub mod schema;
mod surroundings;

pub use surroundings::{Contents, Machine, Surroundings};
