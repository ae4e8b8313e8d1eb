//! What the playground can be told.

use std::path::PathBuf;

use crate::Ports;

/// The playground's policy, as it stands in `playground/policy.toml`.
pub const POLICY: &str = include_str!("../policy.toml");

/// What the playground can be told.
#[derive(Debug, Clone)]
pub struct PlaygroundOptions {
    /// Which ports to listen on.
    pub ports: Ports,
    /// The broker's data directory; without one, a temporary directory that goes when it stops.
    pub data: Option<PathBuf>,
    /// The name of the policy's file, for its errors.
    pub policy_file: String,
    /// The text of the policy. Where it has no calendar, one that counts from today is added.
    pub policy: String,
}

impl Default for PlaygroundOptions {
    fn default() -> Self {
        Self {
            ports: Ports::default(),
            data: None,
            policy_file: "playground/policy.toml".to_owned(),
            policy: POLICY.to_owned(),
        }
    }
}
