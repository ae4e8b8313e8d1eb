//! The end-to-end tests: the real server on loopback, with stand-ins and real peers.

mod sign_in;
