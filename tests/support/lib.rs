//! What the end-to-end tests stand on: a broker on loopback, browsers without a screen
//! and with one, a clock that is told the time.
#![expect(
    clippy::missing_panics_doc,
    reason = "what a test stands on fails by panicking"
)]

mod broker;
mod browser;
mod chromium;
mod clock;
mod decisions;
mod follower;
mod gallery;
pub mod kept;
mod landing;
pub mod measure;
mod partition;
pub mod peers;
mod program;
pub mod redis;
mod signer;
mod tokens;
pub mod tools;
pub mod wire;
mod world;

pub use broker::{BrokerSetup, TestBroker};
pub use browser::{Browser, Page};
pub use chromium::{Device, Look, NetworkLog, Screen, ScreenSettings, Tab};
pub use clock::TestClock;
pub use decisions::{Dice, MadeUpLog};
pub use follower::Following;
pub use landing::Landing;
pub use partition::{Partition, Sides};
pub use program::{Installation, Program};
pub use signer::Signer;
pub use tokens::{Tokens, payload};
pub use world::{Login, Outcome, World};
