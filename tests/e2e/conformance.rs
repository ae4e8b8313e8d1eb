//! The plans of the OpenID Foundation's conformance suite, module by module: a test is named like its module and does
//! what the module does.
//!
//! Each file has its plan's modules, in the plan's order, and of those that are not tested why not;
//! `docs/conformance.md` is the same for people. The suite itself is to be run against an installation
//! before a release.
//! <https://gitlab.com/openid/conformance-suite>

mod backchannel_logout;
mod fapi2;
mod op_basic;
mod op_config;
mod rp_basic;
mod rp_initiated_logout;

const DOCUMENTED: &str = include_str!("../../docs/conformance.md");

/// A module of a plan.
type Module = (&'static str, Held);

/// Whether a module is held by a test.
enum Held {
    /// By one of the same name.
    Here,
    /// Not yet, and why.
    Not(&'static str),
}

/// Holds a plan, the tests in its file and the documentation against each other.
fn check_plan(file: &str, prefix: &str, source: &str, plan: &[Module]) {
    // Some modules have an underline or a capital in their names.
    let test_of = |module: &str| {
        let name = module.strip_prefix(prefix).expect("the plan's prefix");
        name.replace('-', "_").to_lowercase()
    };
    let marked = source.split("#[actix_web::test]\nasync fn ").skip(1);
    let tests: Vec<&str> = marked
        .filter_map(|rest| rest.split_once('(').map(|(name, _)| name))
        .collect();
    let held = plan.iter().filter(|(_, held)| matches!(held, Held::Here));
    let held: Vec<String> = held.map(|(module, _)| test_of(module)).collect();
    assert_eq!(tests, held, "the tests of {file}, in the plan's order");
    for (module, held) in plan {
        let row = match held {
            Held::Here => format!("| `{module}` | `{file}::{}` |", test_of(module)),
            Held::Not(why) => format!("| `{module}` | not yet: {why} |"),
        };
        assert!(
            DOCUMENTED.contains(&row),
            "docs/conformance.md lacks `{row}`"
        );
    }
}
