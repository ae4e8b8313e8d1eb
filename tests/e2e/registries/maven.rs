//! Maven 3.8 deploys to nginx (WebDAV), as to Maven Central and to Clojars.

use countersign_tests::tools::{Artifact, FileStore, Maven};
use countersign_tests::wire;
use serde_json::json;

use super::door::{Door, ann};

const HELLO: Artifact<'_> = Artifact {
    group: "org.example.ann",
    name: "hello",
    version: "1.0.0",
};

#[actix_web::test]
async fn a_deploy_is_ten_requests_with_one_key_for_one_artifact_and_anybody_reads() {
    let store = FileStore::start();
    let door = Door::before("maven-central", &store.url).await;
    door.demand();
    let maven = Maven::new();
    let jar = maven.jar();
    let only_this = json!({"packages": ["org/example/ann/hello"]});
    let key = door.key(&ann(), "tools", only_this).await;
    let repository = format!("{}/maven2", door.url);
    let ended = maven.deploy(&repository, &key, HELLO, &jar).await;
    assert!(ended.success, "{}", ended.shown);
    let files = store.files();
    assert_eq!(files.len(), 9, "{files:?}");

    let path = "/maven2/org/example/ann/hello/1.0.0/hello-1.0.0.jar";
    let bytes = std::fs::read(&jar).expect("the jar");
    assert!(store.read(path) == bytes, "it is another file");
    let read = wire::get(&door.url, path, &[]).await;
    assert!(
        read.body == String::from_utf8_lossy(&bytes),
        "it is another file"
    );
    let head = wire::send("HEAD", &door.url, path, &[], "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.headers["content-length"], bytes.len().to_string());

    let other = Artifact {
        name: "other",
        ..HELLO
    };
    let ended = maven.deploy(&repository, &key, other, &jar).await;
    let words =
        door.words("status: 401 This API key is not for this package. Make an API key at KEYS");
    assert!(!ended.success && ended.says(&words), "{}", ended.shown);
    assert_eq!(store.files(), files);
}

#[actix_web::test]
async fn maven_shows_why_a_key_is_refused_and_the_repository_sees_nothing() {
    let store = FileStore::start();
    let door = Door::before("maven-central", &store.url).await;
    let maven = Maven::new();
    let jar = maven.jar();
    let repository = format!("{}/maven2", door.url);
    for refused in door.refused().await {
        let ended = maven.deploy(&repository, &refused.key, HELLO, &jar).await;
        assert!(!ended.success, "{}", ended.shown);
        let words = format!("status: {} {}", refused.status, refused.words);
        assert!(ended.says(&words), "{words}: {}", ended.shown);
    }
    let path = "/maven2/org/example/ann/hello/1.0.0/hello-1.0.0.jar";
    let nobody = wire::send("PUT", &door.url, path, &[], "a jar").await;
    assert_eq!(nobody.status, 401, "{}", nobody.body);
    assert_eq!(store.files(), Vec::<String>::new());
}

#[actix_web::test]
async fn clojars_takes_what_maven_deploys_by_the_same_keys() {
    let store = FileStore::start();
    let door = Door::before("clojars", &store.url).await;
    let maven = Maven::new();
    let jar = maven.jar();
    let repository = format!("{}/repo", door.url);
    let Some(refused) = door.refused().await.into_iter().next() else {
        panic!("a key that is refused");
    };
    let ended = maven.deploy(&repository, &refused.key, HELLO, &jar).await;
    assert!(
        !ended.success && ended.says(&refused.words),
        "{}",
        ended.shown
    );
    assert_eq!(store.files(), Vec::<String>::new());

    let only_these = json!({"packages": ["org/example/ann/*"]});
    let key = door.key(&ann(), "tools", only_these).await;
    let ended = maven.deploy(&repository, &key, HELLO, &jar).await;
    assert!(ended.success, "{}", ended.shown);
    let path = "/repo/org/example/ann/hello/1.0.0/hello-1.0.0.jar";
    assert!(store.read(path) == std::fs::read(&jar).expect("the jar"));
    let read = wire::get(&door.url, path, &[]).await;
    assert_eq!(read.status, 200);
}
