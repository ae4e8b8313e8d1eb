//! twine 7 and uv 0.13 publish to pypiserver 2.4, and pip downloads.

use countersign_tests::tools::{PypiServer, Python};
use countersign_tests::wire;

use super::door::Door;

#[actix_web::test]
async fn twine_and_uv_publish_with_a_key_and_pip_downloads_with_none() {
    let server = PypiServer::start();
    let door = Door::before("pypi", &server.url).await;
    door.demand();
    let (tools, key) = (Python::new(), door.good_key().await);
    let by_twine = tools.wheel("hello", "1.0.0");
    let ended = tools.twine(&door.url, &key, &by_twine).await;
    assert!(ended.success, "{}", ended.shown);
    let by_uv = tools.wheel("hello", "1.1.0");
    let ended = tools.uv(&door.url, &key, &by_uv).await;
    assert!(ended.success, "{}", ended.shown);

    for file in [by_twine, by_uv] {
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name");
        let bytes = std::fs::read(&file).expect("a wheel");
        assert!(server.read(name) == bytes, "{name} is another file");
        let version = name.split('-').nth(1).expect("a version");
        let (ended, downloads) = tools.pip(&door.url, &format!("hello=={version}")).await;
        assert!(ended.success, "{}", ended.shown);
        let downloaded = std::fs::read(downloads.join(name)).expect("a wheel");
        assert!(downloaded == bytes, "{name} is another file");
    }
}

#[actix_web::test]
async fn twine_and_uv_show_why_a_key_is_refused_and_the_index_sees_nothing() {
    let server = PypiServer::start();
    let door = Door::before("pypi", &server.url).await;
    let tools = Python::new();
    let wheel = tools.wheel("hello", "1.0.0");
    for refused in door.refused().await {
        let kind = match refused.status {
            401 => "401 Unauthorized",
            _ => "403 Forbidden",
        };
        let by_twine = tools.twine(&door.url, &refused.key, &wheel).await;
        let of_twine = format!("HTTPError: {kind} from {}/ {}", door.url, refused.words);
        let by_uv = tools.uv(&door.url, &refused.key, &wheel).await;
        let of_uv = format!("status code {kind}. Server says: {}", refused.words);
        for (ended, words) in [(by_twine, of_twine), (by_uv, of_uv)] {
            assert!(!ended.success, "{}", ended.shown);
            assert!(ended.says(&words), "{words}: {}", ended.shown);
        }
    }
    let nobody = wire::send("POST", &door.url, "/", &[], "a form").await;
    assert_eq!(nobody.status, 401, "{}", nobody.body);
    let words = door.words("Sign in to publish: make an API key at KEYS\n");
    assert_eq!(nobody.body, words);
    assert!(server.files().is_empty(), "{:?}", server.files());
}
