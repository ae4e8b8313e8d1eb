use super::*;
use crate::document::Problems;

const PROFILE: &str = r#"
version = 1
title = "Example"

[paths]
encoded_slash = true

[credential]
sources = [{ authorization = "Bearer" }]

[actions]
publish = "packages:publish"
unpublish = "packages:unpublish"
tokens = "tokens:write"

[[rule]]
methods = ["POST"]
paths = ["/-/npm/v1/security/advisories/bulk"]
open = true

[[rule]]
methods = ["GET"]
paths = ["/-/npm/v1/tokens", "/-/whoami"]
gated = "tokens"

[[rule]]
paths = ["/-/v1/login"]
ours = "npm-login"

[[rule]]
methods = ["DELETE", "PUT"]
paths = ["/{package**}/-/{file}/-rev/{rev}"]
gated = "unpublish"

[[rule]]
methods = ["PUT"]
paths = ["/{package}"]
gated = "publish"

[default]
read = { open = true }
write = { refused = "nobody does that here" }
"#;

fn load(text: &str) -> Result<Profile, Problems> {
    Profile::load("own.toml", text).map(|(profile, _)| profile)
}

/// What is said of a request: `gated publish (package=@a/b)`.
#[track_caller]
fn check(method: &str, target: &str, expected: &str) {
    let profile = load(PROFILE).unwrap();
    let found = match profile.sort(method, target) {
        Ok(sorted) => {
            let access = match sorted.access {
                Access::Open => "open".to_owned(),
                Access::Gated(action) => format!("gated {action}"),
                Access::Ours(answer) => format!("ours {}", answer.as_str()),
                Access::Refused(words) => format!("refused {words}"),
            };
            let package = sorted.package().map(|name| format!(" {name}"));
            format!("{access}{}", package.unwrap_or_default())
        }
        Err(ambiguous) => ambiguous.to_string(),
    };
    assert_eq!(found, expected, "{method} {target}");
}

#[test]
fn the_first_rule_that_fits_decides_and_then_the_default() {
    check("GET", "/left-pad", "open");
    check("HEAD", "/-/whoami", "gated tokens");
    check("GET", "/-/whoami?x=1", "gated tokens");
    check("POST", "/-/whoami", "refused nobody does that here");
    check("POST", "/-/npm/v1/security/advisories/bulk", "open");
    check("POST", "/-/v1/login", "ours npm-login");
    check("PUT", "/@alice%2fhello", "gated publish @alice/hello");
    check("PUT", "/@alice%2Fhello", "gated publish @alice/hello");
    check("PUT", "/%40alice%2fhello", "gated publish @alice/hello");
    check("PUT", "/left-pad", "gated publish left-pad");
    check(
        "DELETE",
        "/@alice/hello/-/hello-1.0.0.tgz/-rev/3",
        "gated unpublish @alice/hello",
    );
    check("PROPFIND", "/left-pad", "refused nobody does that here");
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for (target, expected) in [
        ("", Ambiguous::NotAPath),
        ("*", Ambiguous::NotAPath),
        ("http://evil.example/x", Ambiguous::NotAPath),
        ("x", Ambiguous::NotAPath),
        ("//x", Ambiguous::EmptySegment),
        ("/a//b", Ambiguous::EmptySegment),
        ("/a/../b", Ambiguous::DotSegment),
        ("/a/./b", Ambiguous::DotSegment),
        ("/..", Ambiguous::DotSegment),
        ("/a/.", Ambiguous::DotSegment),
        ("/a/%2e%2e/b", Ambiguous::HiddenBehindEscape),
        ("/a/.%2e/b", Ambiguous::HiddenBehindEscape),
        ("/..%2fb", Ambiguous::EscapedSlash),
        ("/@a%2f..", Ambiguous::DotSegment),
        ("/%2fb", Ambiguous::EscapedSlash),
        ("/a%2f%2fb", Ambiguous::EscapedSlash),
        ("/a%2f", Ambiguous::EscapedSlash),
        ("/-%2fwhoami", Ambiguous::EscapedSlash),
        ("/@a%2f", Ambiguous::EmptySegment),
        ("/@%2fa", Ambiguous::EmptySegment),
        ("/@a%2fb%2fc", Ambiguous::EscapedSlash),
        ("/-/whoa%6di", Ambiguous::HiddenBehindEscape),
        ("/-/wh%6Fami", Ambiguous::HiddenBehindEscape),
        ("/%2D/whoami", Ambiguous::HiddenBehindEscape),
        ("/a%252fb", Ambiguous::HiddenBehindEscape),
        ("/a%5cb", Ambiguous::HiddenBehindEscape),
        ("/a%00", Ambiguous::HiddenBehindEscape),
        ("/a%0d%0a", Ambiguous::HiddenBehindEscape),
        ("/a%3fb", Ambiguous::HiddenBehindEscape),
        ("/a%23b", Ambiguous::HiddenBehindEscape),
        ("/a%3bb", Ambiguous::HiddenBehindEscape),
        ("/a;b/c", Ambiguous::Character),
        ("/a\\b", Ambiguous::Character),
        ("/a b", Ambiguous::Character),
        ("/a#b", Ambiguous::Character),
        ("/a?b#c", Ambiguous::Character),
        ("/a?b c", Ambiguous::Character),
        ("/a?b\u{e9}", Ambiguous::Character),
        ("/\u{e9}", Ambiguous::Character),
        ("/a\u{0}", Ambiguous::Character),
        ("/a%", Ambiguous::Escape),
        ("/a%4", Ambiguous::Escape),
        ("/a%zz", Ambiguous::Escape),
        ("/a%+1", Ambiguous::Escape),
        ("/a%ff", Ambiguous::Escape),
        ("/%c0%ae%c0%ae/b", Ambiguous::Escape),
    ] {
        check("GET", target, &expected.to_string());
    }
    let long = format!("/{}", "a".repeat(8192));
    check("GET", &long, &Ambiguous::TooLong.to_string());
    for method in ["", "get", "GET ", "TRACE", "CONNECT", "G\u{e9}T", "X-Y"] {
        check(method, "/", &Ambiguous::Method.to_string());
    }
}

#[test]
fn an_escaped_slash_is_for_registries_whose_names_have_one() {
    let without = PROFILE.replace("encoded_slash = true", "encoded_slash = false");
    let profile = load(&without).unwrap();
    let sorted = profile.sort("PUT", "/@alice%2fhello");
    assert_eq!(sorted.unwrap_err(), Ambiguous::EscapedSlash);
}

#[test]
fn what_stops_somebody_fits_what_a_server_may_take_for_the_same() {
    check("GET", "/-/WhoAmI", "gated tokens");
    check("GET", "/-/whoami/", "gated tokens");
    check("GET", "/-/NPM/v1/Tokens/?x", "gated tokens");
    check("PUT", "/left-pad/", "gated publish left-pad");
    check("DELETE", "/@a/b/-/b-1.tgz/-REV/3/", "gated unpublish @a/b");
    // And what lets anybody in does not.
    let refused = "refused nobody does that here";
    check("POST", "/-/npm/v1/security/advisories/BULK", refused);
    check("POST", "/-/npm/v1/security/advisories/bulk/", refused);
}

#[test]
fn names_and_literals_fit_to_the_letter() {
    let fit = |template: &str, path: &str| {
        let target = Target::parse(path, Writing::default()).unwrap();
        let template = Template::new(template).unwrap();
        let names = template.fit(target.segments(), Fit::ToTheLetter);
        names.map(|names| {
            let told: Vec<String> = names.iter().map(|(k, v)| format!("{k}={v}")).collect();
            told.join(" ")
        })
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(fit("/", "/"), some(""));
    assert_eq!(fit("/a/", "/a/"), some(""));
    assert_eq!(fit("/a", "/a/"), None);
    assert_eq!(fit("/{a}", "/"), None);
    assert_eq!(fit("/{a**}", "/"), None);
    assert_eq!(fit("/{a**}", "/x/y"), some("a=x/y"));
    assert_eq!(fit("/{a**}", "/x/"), None);
    assert_eq!(fit("/{a**}/", "/x/"), some("a=x"));
    assert_eq!(
        fit(
            "/repo/{package**}/{version}/{file}",
            "/repo/com/example/app/1.0/app.jar"
        ),
        some("file=app.jar package=com/example/app version=1.0")
    );
    assert_eq!(
        fit("/repo/{package**}/{version}/{file}", "/repo/1.0/app.jar"),
        None
    );
}

#[track_caller]
fn check_template(text: &str, expected: TemplateError) {
    assert_eq!(Template::new(text), Err(expected), "{text}");
}

#[test]
fn a_template_says_what_is_wrong_with_it() {
    check_template("a", TemplateError::NotAPath);
    check_template("/a//b", TemplateError::Segment);
    check_template("/a b", TemplateError::Segment);
    check_template("/a%2f", TemplateError::Segment);
    check_template("/../b", TemplateError::Segment);
    check_template("/{}", TemplateError::Segment);
    check_template("/x{a}", TemplateError::Segment);
    check_template("/{A}", TemplateError::Segment);
    check_template("/{a}/{a}", TemplateError::Repeated);
    check_template("/{a**}/x/{b**}", TemplateError::TwoSeveral);
}

#[test]
fn a_template_covers_what_fits_it_in_any_case() {
    let covers = |one: &str, other: &str| {
        let [one, other] = [one, other].map(|text| Template::new(text).unwrap());
        one.covers(&other)
    };
    for (one, other) in [
        ("/{a}", "/x"),
        ("/{a}", "/{b}"),
        ("/{a**}", "/{b}/x"),
        ("/{a**}", "/{b**}"),
        ("/{a**}", "/x/{b**}/y"),
        ("/x/{a**}", "/x/y/z"),
        ("/{a**}/y", "/x/{b**}/y"),
        ("/{a**}/", "/x/"),
    ] {
        assert!(covers(one, other), "{one} {other}");
    }
    for (one, other) in [
        ("/x", "/{a}"),
        ("/{a}", "/"),
        ("/{a}", "/{b**}"),
        ("/{a}/{b}", "/x"),
        ("/{a**}", "/x/"),
        ("/x/{a**}", "/x"),
        ("/x/{a**}", "/{b**}"),
        ("/{a**}/y", "/{b**}"),
        ("/{a**}/y", "/y"),
    ] {
        assert!(!covers(one, other), "{one} {other}");
    }
}

#[track_caller]
fn check_problem(from: &str, to: &str, expected: &str) {
    assert!(PROFILE.contains(from), "{from}");
    let problems = load(&PROFILE.replacen(from, to, 1))
        .unwrap_err()
        .to_string();
    assert!(problems.contains(expected), "{problems}");
}

#[test]
fn every_mistake_has_its_place() {
    check_problem("title = \"Example\"\n", "", "`title` is missing");
    check_problem(
        "version = 1",
        "version = 2",
        "`version`: expected a whole number from 1 to 1",
    );
    check_problem(
        "tokens = \"tokens:write\"\n",
        "",
        "`actions.tokens` is missing: which scope of the policy",
    );
    check_problem(
        "tokens = \"tokens:write\"\n",
        "tokens = \"operator:write\"\n",
        "own.toml:14:10: `actions.tokens`: this scope is for no tool",
    );
    check_problem(
        "\"POST\"",
        "\"post\"",
        "own.toml:17:12: `rule.methods`: expected a method in capital letters",
    );
    check_problem(
        "\"GET\"",
        "\"HEAD\"",
        "a rule for `GET` is one for `HEAD` too",
    );
    check_problem(
        "ours = \"npm-login\"",
        "ours = \"npm-logon\"",
        "did you mean `npm-login`?",
    );
    check_problem(
        "open = true",
        "open = true\ngated = \"publish\"",
        "expected exactly one of `open = true`",
    );
    check_problem("open = true", "open = false", "leave it out");
    check_problem(
        "methods = [\"PUT\"]\npaths = [\"/{package}\"]",
        "methods = [\"DELETE\"]\npaths = [\"/{package}/-/{file}/-rev/{rev}\"]",
        "is never reached: the one at own.toml:30:1 fits every such request",
    );
    check_problem(
        "[{ authorization = \"Bearer\" }]",
        "[{ authorization = \"Bearer\", header = \"X\" }]",
        "expected exactly one of",
    );
    check_problem(
        "[{ authorization = \"Bearer\" }]",
        "[{ header = \"Cookie\" }]",
        "expected the name of a header that means nothing else",
    );
    check_problem(
        "[default]",
        "[identity]\nuser_header = \"X-Countersign-User\"\n[default]",
        "expected the name of a header that means nothing else",
    );
    check_problem(
        "[default]",
        "[identity]\nuser_header = \"X_Remote_User\"\n[default]",
        "expected the name of a header: letters, digits and `-`",
    );
    check_problem(
        "[default]",
        "[identity]\nuser_header = \"X-Remote\"\nemail_header = \"x-remote\"\n[default]",
        "`user_header` and `email_header` are the same",
    );
    check_problem(
        "[{ authorization = \"Bearer\" }]",
        "[]",
        "`credential.sources` is missing",
    );
    check_problem(
        "[default]",
        "[exchange]\nshape = \"npm\"\n[default]",
        "trusted publishing",
    );
    check_problem(
        "[default]",
        "[refusal]\nstatus = 404\n[default]",
        "expected 401 or 403",
    );
    check_problem(
        "nobody does that here",
        "caf\u{e9}",
        "expected a text of 1 to 300 characters of ASCII",
    );
}

#[test]
fn an_installation_says_otherwise_where_it_wants() {
    let base = load(PROFILE).unwrap();
    let over = r#"
        title = "Ours"
        [actions]
        read = "packages:read"
        [[rule]]
        methods = ["GET"]
        paths = ["/public"]
        open = true
        [default]
        read = { gated = "read" }
        write = { refused = "no" }
    "#;
    let profile = document_of(over, &base).unwrap();
    assert_eq!(profile.title, "Ours");
    let access = |method, target| profile.sort(method, target).unwrap().access.clone();
    assert_eq!(access("GET", "/public"), Access::Open);
    assert_eq!(access("GET", "/left-pad"), Access::Gated("read".to_owned()));
    assert_eq!(
        access("PUT", "/left-pad"),
        Access::Gated("publish".to_owned())
    );
    assert_eq!(profile.sources, base.sources);
}

fn document_of(over: &str, base: &Profile) -> Result<Profile, Problems> {
    crate::document::read("over.toml", over, |table| Profile::read(table, Some(base)))
}

#[test]
fn a_body_is_looked_into_where_somebody_needs_leave_and_the_path_names_no_package() {
    let publish = "methods = [\"PUT\"]\npaths = [\"/{package}\"]\ngated = \"publish\"\n";
    let with = |rule: &str| load(&PROFILE.replace(publish, rule));
    let by_body =
        "methods = [\"PUT\"]\npaths = [\"/new\"]\ngated = \"publish\"\nbody = \"cargo\"\n";
    let profile = with(by_body).unwrap();
    let sorted = profile.sort("PUT", "/new").unwrap();
    assert_eq!(
        (sorted.body, sorted.package()),
        (Some(BodyForm::Cargo), None)
    );
    assert!(profile.is_named_in_body("publish"));
    assert!(!profile.is_named_in_body("unpublish"));
    assert!(profile.names_packages("publish"));
    assert!(profile.names_packages("unpublish"));
    assert!(!profile.names_packages("tokens"));
    let by_default = PROFILE.replace(
        "refused = \"nobody does that here\"",
        "gated = \"unpublish\"",
    );
    assert!(!load(&by_default).unwrap().names_packages("unpublish"));
    assert_eq!(
        load(PROFILE).unwrap().sort("PUT", "/new").unwrap().body,
        None
    );
    for rule in [
        by_body.replace("/new", "/{package}"),
        by_body.replace("/new", "/{version}/new"),
        by_body.replace("gated = \"publish\"", "open = true"),
        by_body.replace("cargo", "multipart"),
    ] {
        let problems = with(&rule).unwrap_err().to_string();
        assert!(problems.contains("body"), "{rule}: {problems}");
    }
}
