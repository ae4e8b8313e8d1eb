//! What people see: sign-ins in headless Chromium, and every page of the broker's.

mod stage;
mod walks;
