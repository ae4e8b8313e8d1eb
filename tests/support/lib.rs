//! What the end-to-end tests stand on: a broker on loopback, a browser without a screen, a clock
//! that is told the time.

mod broker;
mod browser;
mod clock;
mod tokens;
mod world;

pub use broker::{BrokerSetup, TestBroker};
pub use browser::{Browser, Page};
pub use clock::TestClock;
pub use tokens::{Tokens, payload};
pub use world::{Login, Outcome, World};
