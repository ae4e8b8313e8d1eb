//! Organizations are listed whole while others are removed.

use countersign_core::OrganizationId;
use countersign_store::{Actor, Organization, Redis, Store, conformance};
use countersign_tests::redis::RedisServer;

/// Between the look at the index and the look at the records some are removed.
#[tokio::test]
async fn what_is_gone_since_the_index_was_read_hides_nothing_behind_it() {
    let server = RedisServer::start();
    let settings = server.settings();
    let store = Redis::new(settings.clone()).expect("a store");
    let id = |name: &str| OrganizationId::new(name).expect("a name");
    for name in ["a-04", "a-05", "a-06", "b-01", "b-02"] {
        let one = Organization::new(id(name), conformance::at(0), Actor::Operator);
        store
            .put_organization_if_absent(one)
            .await
            .expect("it is kept");
    }
    let index = format!("{}organizations:{{org-a}}", settings.key_prefix.as_str());
    for gone in ["a-01", "a-02", "a-03", "a-055"] {
        assert_eq!(server.ask(&["ZADD", &index, "0", gone]).trim(), "1");
    }
    for limit in 1..8 {
        let mut listed: Vec<OrganizationId> = Vec::new();
        loop {
            let page = store.list_organizations(listed.last(), limit).await;
            let page = page.expect("a page");
            listed.extend(page.iter().map(|one| one.id.clone()));
            // As its callers have it: a short page is the last.
            if page.len() < limit {
                break;
            }
        }
        let expected = ["a-04", "a-05", "a-06", "b-01", "b-02"].map(id);
        assert_eq!(listed, expected, "{limit} at a time");
    }
}
