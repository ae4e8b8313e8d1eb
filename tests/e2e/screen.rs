//! What people see: sign-ins in headless Chromium, and every page of the broker's.

mod account;
mod cookies;
mod operators;
mod organizations;
mod pages;
mod passkey;
mod playground;
mod registries;
mod stage;
mod tabs;
mod walks;
