//! `oidcc-backchannel-rp-initiated-logout-certification-test-plan`: our server tells clients that a session has ended.

use super::Held::Not;
use super::{Module, check_plan};

const NOT_YET: &str = "its module has no test of its own here yet; `sessions::every_client_of_a_session_is_told_of_its_end_by_a_token_that_is_no_id_token` holds what it asks for";

const PLAN: [Module; 2] = [
    (
        "oidcc-backchannel-logout-discovery-endpoint-verification",
        Not(NOT_YET),
    ),
    ("oidcc-backchannel-rp-initiated-logout", Not(NOT_YET)),
];

#[test]
fn every_module_of_the_plan_is_listed() {
    let source = include_str!("backchannel_logout.rs");
    check_plan("backchannel_logout", "oidcc-", source, &PLAN);
}
