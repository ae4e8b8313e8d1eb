//! `oidcc-backchannel-rp-initiated-logout-certification-test-plan`: our server tells clients that a session has ended.

use super::Held::Not;
use super::{Module, check_plan};

const NOT_SERVED: &str = "back-channel logout is not served";

const PLAN: [Module; 2] = [
    (
        "oidcc-backchannel-logout-discovery-endpoint-verification",
        Not(NOT_SERVED),
    ),
    ("oidcc-backchannel-rp-initiated-logout", Not(NOT_SERVED)),
];

#[test]
fn every_module_of_the_plan_is_listed() {
    let source = include_str!("backchannel_logout.rs");
    check_plan("backchannel_logout", "oidcc-", source, &PLAN);
}
