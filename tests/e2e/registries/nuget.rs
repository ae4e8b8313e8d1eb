//! NuGet's own client 5.8 pushes to a store of files, and installs from it.

use countersign_tests::tools::{FileStore, NuGet};
use countersign_tests::wire;
use serde_json::json;

use super::door::{Door, ann};

const PUSH: &str = "/api/v2/package";
const HELLO: [&str; 2] = ["Hello.Ann", "1.0.0"];

#[actix_web::test]
async fn nuget_pushes_with_a_key_and_installs_with_none() {
    let store = FileStore::start();
    let door = Door::before("nuget", &store.url).await;
    door.demand();
    let nuget = NuGet::new();
    let package = nuget.package(HELLO[0], HELLO[1]);
    let bytes = std::fs::read(&package).expect("a package");
    let key = door.key(&ann(), "tools", json!({"days": 80})).await;
    let ended = nuget
        .push(&format!("{}{PUSH}", door.url), &key, &package)
        .await;
    assert!(ended.success, "{}", ended.shown);
    assert!(ended.says("Your package was pushed."), "{}", ended.shown);
    // The form that it came in, whole.
    let form = store.read("/pushed");
    assert!(
        form.windows(bytes.len()).any(|part| part == bytes),
        "another file came"
    );

    // Its owner is told that it ends.
    door.end_keys_in_40_days();
    let ended = nuget
        .push(&format!("{}{PUSH}", door.url), &key, &package)
        .await;
    let notice = "WARNING: Your API key `a tool` ends on ";
    assert!(ended.success && ended.says(notice), "{}", ended.shown);

    shelve(&store, &door.url, &bytes);
    let (ended, installed) = nuget
        .install(&format!("{}/v3/index.json", door.url), HELLO)
        .await;
    assert!(ended.success, "{}", ended.shown);
    assert!(
        std::fs::read(installed).expect("a package") == bytes,
        "another file came"
    );
}

/// What a gallery does with a package that was pushed: it stands in the feed (<https://learn.microsoft.com/nuget/api/overview>).
fn shelve(store: &FileStore, url: &str, package: &[u8]) {
    let [name, version] = [HELLO[0].to_lowercase(), HELLO[1].to_owned()];
    let index = json!({"version": "3.0.0", "resources": [
        {"@id": format!("{url}/v3/flat/"), "@type": "PackageBaseAddress/3.0.0"},
        {"@id": format!("{url}/v3/registration/"), "@type": "RegistrationsBaseUrl/3.4.0"},
    ]});
    let flat = format!("{url}/v3/flat/{name}/{version}/{name}.{version}.nupkg");
    let entry = json!({"id": HELLO[0], "version": version, "listed": true, "packageContent": flat});
    let leaf = json!({"@id": format!("{url}/v3/registration/{name}/{version}.json"), "catalogEntry": entry, "packageContent": flat});
    let page =
        json!({"@id": "#page", "lower": version, "upper": version, "count": 1, "items": [leaf]});
    let registration = json!({"count": 1, "items": [page]});
    store.put("/v3/index.json", index.to_string());
    store.put(
        &format!("/v3/registration/{name}/index.json"),
        registration.to_string(),
    );
    store.put(
        &format!("/v3/flat/{name}/index.json"),
        json!({"versions": [version]}).to_string(),
    );
    store.put(
        &format!("/v3/flat/{name}/{version}/{name}.{version}.nupkg"),
        package,
    );
}

#[actix_web::test]
async fn nuget_shows_why_a_key_is_refused_and_the_gallery_sees_nothing() {
    let store = FileStore::start();
    let door = Door::before("nuget", &store.url).await;
    let nuget = NuGet::new();
    let package = nuget.package(HELLO[0], HELLO[1]);
    let to = format!("{}{PUSH}", door.url);
    for refused in door.refused().await {
        let ended = nuget.push(&to, &refused.key, &package).await;
        assert!(!ended.success, "{}", ended.shown);
        let words = format!("403 ({})", refused.words);
        assert!(ended.says(&words), "{words}: {}", ended.shown);
    }
    let nobody = wire::send("PUT", &door.url, "/api/v2/package/", &[], "a form").await;
    assert_eq!(nobody.status, 403, "{}", nobody.body);

    // A key for this package alone takes it off the lists, and no other; nor does it push, since only the form says what.
    let only_this = json!({"packages": ["Hello.Ann"]});
    let key = door.key(&ann(), "tools", only_this).await;
    let words = door.words("403 (This API key is not for this package. Make an API key at KEYS)");
    for ended in [
        nuget.delete(&to, &key, ["Other", "1.0.0"]).await,
        nuget.push(&to, &key, &package).await,
    ] {
        assert!(!ended.success && ended.says(&words), "{}", ended.shown);
    }
    assert_eq!(store.files(), Vec::<String>::new());
}
