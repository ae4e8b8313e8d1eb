//! Tokens: a code becomes an ID token and an access token; an access token becomes UserInfo.

mod client;
mod mint;
mod redeem;
mod user_info;

pub(crate) use client::authenticate;
pub(crate) use redeem::redeem;
pub(crate) use user_info::{user_info, user_info_by_form};
