//! The development playground: broker, stand-ins, a sample registry and one of npm's kind on loopback.
//!
//! [`Playground::start`] starts them all; `cargo dev` is that and nothing more.
//! [`SampleRegistry`] alone is the downstream service that the end-to-end tests sign in to.

mod broker;
mod calendar;
mod loopback;
mod npm;
mod options;
mod playground;
mod providers;
mod registry;
mod site;

pub use loopback::Ports;
pub use options::{POLICY, PlaygroundOptions};
pub use playground::Playground;
pub use registry::{RegistrySettings, SampleRegistry};
