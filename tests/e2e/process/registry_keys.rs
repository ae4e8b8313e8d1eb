//! `countersign jwks` and `countersign root-certificate`: what registries are given in files.

use countersign_tests::Installation;
use serde_json::Value;

/// An installation with a registry `images`, which says this of its tokens.
fn installation(docker: &str) -> Installation {
    let here = Installation::alone();
    let registry = format!(
        "[registry.images]\nprofile = \"docker\"\nclient = \"gallery\"\n\
         public_url = \"https://images.example\"\n{docker}\n[log]"
    );
    here.replace("countersign.toml", "[log]", &registry);
    here
}

fn run(here: &Installation, command: &str, registry: &str) -> (bool, String, String) {
    let file = here.path("countersign.toml").display().to_string();
    let output = here.run(&[command, "--registry", registry, "--config", &file]);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn there_is_one_root_and_it_stays() {
    let here = installation("");
    let _server = here.start();
    let (well, first, told) = run(&here, "root-certificate", "images");
    assert!(well, "{told}");
    assert!(first.starts_with("-----BEGIN CERTIFICATE-----\n"));
    assert_eq!(first.matches("BEGIN CERTIFICATE").count(), 1);
    let of = |certificate: &str| {
        here.write("root.pem", certificate);
        let said = std::process::Command::new("openssl")
            .args(["x509", "-noout", "-subject", "-serial", "-dates", "-pubkey"])
            .args(["-ext", "basicConstraints,keyUsage", "-in"])
            .arg(here.path("root.pem"))
            .output()
            .expect("openssl");
        String::from_utf8(said.stdout).expect("UTF-8")
    };
    let said = of(&first);
    for expected in [
        "Countersign root ",
        "CA:TRUE, pathlen:0",
        "Certificate Sign",
        "notAfter=Dec 31",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    let (_, again, _) = run(&here, "root-certificate", "images");
    assert_eq!(of(&again), said);
}

#[test]
fn a_key_set_is_for_who_finds_keys_by_it() {
    let here = installation("[registry.images.docker]\nkey_header = \"kid\"");
    let _server = here.start();
    let (well, keys, told) = run(&here, "jwks", "images");
    assert!(well, "{told}");
    let keys: Value = serde_json::from_str(&keys).expect("a key set");
    let keys = keys["keys"].as_array().expect("keys");
    assert!(!keys.is_empty());
    assert!(
        keys.iter()
            .all(|key| key["alg"] == "ES256" && key["d"].is_null())
    );
    let (well, certificates, _) = run(&here, "root-certificate", "images");
    assert!(well);
    assert_eq!(
        certificates.matches("BEGIN CERTIFICATE").count(),
        keys.len()
    );

    let by_certificate = installation("");
    let (well, _, told) = run(&by_certificate, "jwks", "images");
    assert!(!well);
    assert!(
        told.contains("`countersign root-certificate` writes them"),
        "{told}"
    );
}

#[test]
fn what_is_no_registry_with_tokens_has_none() {
    let here = installation("");
    let (well, _, told) = run(&here, "root-certificate", "nowhere");
    assert!(!well);
    assert_eq!(told, "there is no `[registry.nowhere]`\n");
    here.replace(
        "countersign.toml",
        "profile = \"docker\"",
        "profile = \"pypi\"",
    );
    let (well, _, told) = run(&here, "root-certificate", "images");
    assert!(!well);
    assert!(told.contains("without tokens of its own"), "{told}");
}

#[test]
fn what_a_registry_can_t_verify_by_is_a_mistake_at_its_place() {
    for (docker, mistake) in [
        ("key_header = \"jwk\"", "key_header"),
        ("algorithm = \"EdDSA\"", "algorithm"),
        ("service = \"\"", "auth.token.service"),
        ("servise = \"x\"", "servise"),
    ] {
        let here = installation(&format!("[registry.images.docker]\n{docker}"));
        let (well, _, told) = run(&here, "root-certificate", "images");
        assert!(!well);
        assert!(told.contains(mistake), "{told}");
        assert!(told.contains("countersign.toml:"), "{told}");
    }
    let here = installation("[registry.images.docker]\nservice = \"images\"");
    here.replace(
        "countersign.toml",
        "profile = \"docker\"",
        "profile = \"pypi\"",
    );
    let (well, _, told) = run(&here, "root-certificate", "images");
    assert!(!well);
    assert!(
        told.contains("has a `docker`, and its profile has no tokens"),
        "{told}"
    );
}
