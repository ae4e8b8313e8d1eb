//! What the program says of itself, of its command line and of its files, and how it ends then.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use countersign_tests::{BrokerSetup, Installation};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// The exit code, stdout and stderr.
fn parts(output: &Output) -> (Option<i32>, String, String) {
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn help_and_version_go_to_stdout_and_end_well() {
    let here = Installation::alone();
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["serve", "--help"],
        &["check", "--help"],
        &["help", "serve"],
    ] {
        let (code, out, err) = parts(&here.run(arguments));
        assert_eq!((code, err.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(out.contains("Usage: countersign"), "{arguments:?}: {out}");
        let longest = out.lines().map(|line| line.chars().count()).max();
        assert!(
            longest <= Some(100),
            "{arguments:?}: a line of {longest:?} characters"
        );
    }
    let (_, out, _) = parts(&here.run(&["--help"]));
    for expected in ["serve", "check", "never from the", "Exit codes"] {
        assert!(out.contains(expected), "no `{expected}` in: {out}");
    }
    for command in ["serve", "check"] {
        let (_, out, _) = parts(&here.run(&[command, "--help"]));
        for expected in [
            "--config",
            "COUNTERSIGN_CONFIG",
            "/etc/countersign/countersign.toml",
        ] {
            assert!(
                out.contains(expected),
                "{command}: no `{expected}` in: {out}"
            );
        }
        assert!(!out.contains("--secret"), "{out}");
    }
    let (code, out, err) = parts(&here.run(&["--version"]));
    let version = format!("countersign {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((code, out, err), (Some(0), version, String::new()));
}

#[test]
fn a_wrong_command_line_ends_with_two() {
    let here = Installation::alone();
    for arguments in [
        &[][..],
        &["sirve"],
        &["serve", "--secret", "x"],
        &["serve", "more"],
        &["check", "--config"],
        &["--config", "x"],
    ] {
        let (code, out, err) = parts(&here.run(arguments));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {err}");
        let helps = err.contains("Usage: countersign") || err.contains("'--help'");
        assert!(helps, "{arguments:?}: {err}");
    }
}

#[test]
fn check_tells_what_was_read_and_what_to_register() {
    let here = Installation::alone();
    let (code, out, err) = parts(&here.run_on_file("check"));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let expected = ["oidc", "microsoft", "github"]
        .map(|one| format!("register the redirect URI: {}/callback/{one}", here.issuer));
    for line in expected {
        assert!(out.contains(&line), "no `{line}` in: {out}");
    }
    assert!(out.starts_with("ok: "), "{out}");
    for secret in [BrokerSetup::SECRET, "countersign-dev-secret"] {
        assert!(!out.contains(secret), "a secret is in: {out}");
    }
    assert!(!here.path("data").exists(), "check made the data directory");
}

#[test]
fn check_finds_its_file_by_the_environment_too() {
    let here = Installation::alone();
    let mut command = here.command(&["check"]);
    command.env("COUNTERSIGN_CONFIG", here.path("countersign.toml"));
    assert_eq!(command.output().expect("it runs").status.code(), Some(0));
}

#[test]
fn check_tells_all_mistakes_of_both_files_at_once_each_at_its_place() {
    let here = Installation::alone();
    here.replace("countersign.toml", "level = \"trace\"", "level = \"loud\"");
    here.replace(
        "countersign.toml",
        "secret = { file = \"gallery.secret\" }",
        "secret = \"hunter2\"",
    );
    here.replace(
        "countersign.toml",
        "url = \"http",
        "adress = \"x\"\nurl = \"http",
    );
    here.replace("policy.toml", "needs = \"none\"", "needs = \"nothing\"");
    here.replace("policy.toml", "[client.gallery]", "[client.galery]");
    for command in ["check", "serve"] {
        let (code, out, err) = parts(&here.run_on_file(command));
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        for (file, line, about) in [
            ("countersign.toml", 10, "loud"),
            ("countersign.toml", 14, "secret"),
            ("countersign.toml", 27, "adress"),
            ("policy.toml", 10, "nothing"),
            ("policy.toml", 15, "galery"),
        ] {
            let place = format!("{}:{line}:", here.path(file).display());
            let told = err
                .lines()
                .any(|one| one.starts_with(&place) && one.contains(about));
            assert!(
                told,
                "{command}: nothing at `{place}` about `{about}` in:\n{err}"
            );
        }
        assert!(!err.contains("hunter2"), "a secret is in: {err}");
    }
}

#[test]
fn a_file_or_a_secret_that_cannot_be_read_is_named() {
    let missing = |spoil: &dyn Fn(&Installation), expected: &[&str]| {
        let here = Installation::alone();
        spoil(&here);
        for command in ["check", "serve"] {
            let (code, out, err) = parts(&here.run_on_file(command));
            assert_eq!((code, out.as_str()), (Some(1), ""), "{expected:?}: {err}");
            for part in expected {
                assert!(err.contains(part), "{command}: no `{part}` in: {err}");
            }
        }
    };
    let remove = |name: &'static str| {
        move |here: &Installation| fs::remove_file(here.path(name)).expect("a file")
    };
    missing(
        &remove("countersign.toml"),
        &["can't read", "countersign.toml"],
    );
    missing(
        &remove("policy.toml"),
        &["countersign.toml:6:", "policy.toml"],
    );
    missing(
        &remove("gallery.secret"),
        &["countersign.toml:14:", "gallery.secret"],
    );
    missing(
        &|here| here.write("gallery.secret", ""),
        &["countersign.toml:14:", "gallery.secret"],
    );
    missing(
        &|here| {
            fs::remove_file(here.path("policy.toml")).expect("a file");
            fs::create_dir(here.path("policy.toml")).expect("a directory");
        },
        &["countersign.toml:6:", "policy.toml"],
    );
    missing(
        &|here| {
            fs::write(here.path("policy.toml"), b"version = 1 # \xff\n").expect("a file");
        },
        &["policy.toml"],
    );
    missing(
        &|here| {
            here.replace(
                "countersign.toml",
                Installation::UPSTREAM_VARIABLE,
                "NOT_SET_ANYWHERE",
            );
        },
        &["countersign.toml:19:", "NOT_SET_ANYWHERE", "is not set"],
    );
    missing(
        &|here| here.write("countersign.toml", "version = \n"),
        &["countersign.toml:1:"],
    );
    missing(
        &|here| here.write("countersign.toml", ""),
        &["countersign.toml:1:", "server"],
    );
}

#[test]
fn a_secret_that_others_can_read_is_warned_of() {
    let here = Installation::alone();
    let path = here.path("gallery.secret");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("permissions");
    let (code, _, err) = parts(&here.run_on_file("check"));
    assert_eq!(code, Some(0), "{err}");
    assert!(
        err.starts_with("warning: ") && err.contains("gallery.secret") && err.contains("chmod 600"),
        "{err}"
    );
}
