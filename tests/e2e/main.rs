//! The end-to-end tests: the real server on loopback, with stand-ins and real peers.

mod api;
mod attacks;
mod cases;
mod clients;
mod conformance;
mod downstream;
mod faults;
mod keys;
mod limits;
mod linking;
mod operators;
mod organizations;
mod privacy;
mod process;
mod recheck;
mod redis;
mod registries;
mod reminder;
mod revocations;
mod screen;
mod sessions;
mod sign_in;
mod tickets;
mod tokens;
mod upstream;
mod ways;
