//! A Redis that asks whoever comes for a certificate: what is said to who has the right one, none, or another's.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use countersign_tests::Installation;
use countersign_tests::redis::{Certificates, RedisServer};

use super::Site;
use super::doctor::check;

const OURS: &str = "certificate = \"own.pem\"\nkey = \"own.key\"";

/// Keeps everything there, with these lines about what we show.
fn keep_in(redis: &RedisServer, certificates: &Certificates, ours: &str, here: &Installation) {
    here.write("ca.pem", &certificates.read("ca.pem"));
    show(certificates, here);
    let address = &redis.address;
    here.keep_in_redis(&format!(
        "address = \"{address}\"\n[store.redis.tls]\nca = \"ca.pem\"\n{ours}"
    ));
}

/// Has the certificate and key that these vouch for.
fn show(certificates: &Certificates, here: &Installation) {
    for name in ["own.pem", "own.key"] {
        here.write(name, &certificates.read(name));
    }
}

/// Neither a server nor `doctor` gets in, and both say why.
fn is_turned_away(here: &Installation, said: &str) {
    check(here, "store", "fail", said);
    let output = here.run_on_file("serve");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains(said), "no `{said}` in: {log}");
    assert!(!log.contains("PRIVATE KEY"), "{log}");
}

#[actix_web::test]
async fn a_redis_that_asks_for_certificates_serves_who_has_the_right_one() {
    let certificates = Certificates::make();
    let redis = certificates.server();
    let site = Site::new().await;
    let here = &site.installation;
    keep_in(&redis, &certificates, OURS, here);
    let _program = here.start();
    site.code().await;
    check(here, "store", "ok", "can be used by `default`");
    check(here, "files", "ok", "");
}

#[actix_web::test]
async fn who_has_no_certificate_for_redis_is_told_that_it_asks_for_one() {
    let certificates = Certificates::make();
    let redis = certificates.server();
    let here = Installation::alone();
    keep_in(&redis, &certificates, "", &here);
    is_turned_away(
        &here,
        "it asks for a certificate of ours, and there is none",
    );
}

#[actix_web::test]
async fn a_certificate_of_another_ca_is_told_to_be_refused() {
    let certificates = Certificates::make();
    let redis = certificates.server();
    let here = Installation::alone();
    keep_in(&redis, &certificates, OURS, &here);
    show(&Certificates::make(), &here);
    is_turned_away(&here, "it does not accept our certificate");
}

#[actix_web::test]
async fn a_key_that_is_not_the_certificates_is_told_before_anybody_is_asked() {
    let certificates = Certificates::make();
    let redis = certificates.server();
    let here = Installation::alone();
    keep_in(&redis, &certificates, OURS, &here);
    here.write("own.key", &certificates.read("server.key"));
    is_turned_away(&here, "our certificate for Redis is of no use");
}

#[actix_web::test]
async fn a_key_for_redis_that_others_can_read_is_warned_of_as_any_secret() {
    let certificates = Certificates::make();
    let redis = certificates.server();
    let here = Installation::alone();
    keep_in(&redis, &certificates, OURS, &here);
    let open = Permissions::from_mode(0o644);
    fs::set_permissions(here.path("own.key"), open).expect("its permissions");
    check(&here, "files", "warn", "own.key");
    check(&here, "store", "ok", "can be used by `default`");
}
