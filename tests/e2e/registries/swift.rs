//! What SwiftPM asks a registry that it reads, replayed from the registry's specification: no Swift runs here.
//!
//! <https://github.com/swiftlang/swift-package-manager/blob/main/Documentation/PackageRegistry/Registry.md>

use countersign_tests::tools::FileStore;
use countersign_tests::wire;
use serde_json::{Value, json};

use super::door::Door;

const ZIP: (&str, &str) = ("accept", "application/vnd.swift.registry.v1+zip");
const SWIFT: (&str, &str) = ("accept", "application/vnd.swift.registry.v1+swift");
const JSON: (&str, &str) = ("accept", "application/vnd.swift.registry.v1+json");

#[actix_web::test]
async fn anybody_reads_an_index_of_swift_packages_and_nobody_writes() {
    let store = FileStore::start();
    for (name, content) in [
        ("/mona/LinkedList/1.1.1.zip", "PK"),
        (
            "/mona/LinkedList/1.1.1/Package.swift",
            "// swift-tools-version:5.0",
        ),
        ("/identifiers", r#"{"identifiers": ["mona.LinkedList"]}"#),
    ] {
        store.put(name, content);
    }
    let files = store.files();
    let door = Door::before("swift-package-index", &store.url).await;
    for (target, accept) in [
        ("/mona/LinkedList/1.1.1.zip", ZIP),
        (
            "/mona/LinkedList/1.1.1/Package.swift?swift-version=5.0",
            SWIFT,
        ),
        ("/identifiers?url=https://github.com/mona/LinkedList", JSON),
    ] {
        let found = wire::get(&door.url, target, &[accept]).await;
        let name = target.split('?').next().expect("a path");
        assert_eq!(found.status, 200, "{target}: {}", found.body);
        assert_eq!(found.body.as_bytes(), store.read(name), "{target}");
        let head = wire::send("HEAD", &door.url, target, &[accept], "").await;
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{target}");
    }

    let key = format!("Bearer {}", door.good_key().await);
    for (method, target) in [
        ("PUT", "/mona/LinkedList/1.1.2"),
        ("PUT", "/mona/LinkedList/1.1.1.zip"),
        ("DELETE", "/mona/LinkedList/1.1.1.zip"),
        ("POST", "/login"),
    ] {
        let refused = wire::send(
            method,
            &door.url,
            target,
            &[JSON, ("authorization", &key)],
            "zip",
        )
        .await;
        assert_eq!(refused.status, 403, "{method} {target}: {}", refused.body);
        assert_eq!(refused.headers["content-type"], "application/problem+json");
        let said: Value = serde_json::from_str(&refused.body).expect("JSON");
        let words = "This index is read-only: a package is added by a pull request to its list";
        assert_eq!(
            said,
            json!({"status": 403, "title": "Refused", "detail": words})
        );
    }
    assert_eq!(store.files(), files);
}
