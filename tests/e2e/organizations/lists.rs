//! Lists of organizations come in pages, for services and for persons, by API and in the browser.

use std::collections::BTreeSet;

use countersign_tests::{Login, Page, World};
use serde_json::{Value, json};

use super::connect::{Admin, world};
use super::{Registry, api, call, in_days, signed_in};

/// Tells of so many that this account administers, and of one that it does not between any two.
async fn told_of(world: &World, account: &str, count: usize) -> BTreeSet<String> {
    let registry = Registry::of(world).await;
    let name = |n: usize| format!("org-{n:03}");
    let all = (0..2 * count).map(|n| {
        let admin = if n % 2 == 0 { account } else { "acct_other" };
        json!({"id": name(n), "title": format!("The {n}th"), "admins": [format!("account:{admin}")]})
    });
    let body = json!({"organizations": all.collect::<Vec<_>>()});
    let (status, told) = registry
        .call("POST", "/organizations", &body.to_string())
        .await;
    assert_eq!(status, 200, "{told}");
    (0..count).map(|n| name(2 * n)).collect()
}

/// All that a list names, page by page.
async fn listed(world: &World, token: &str, query: &str) -> Vec<String> {
    let (mut names, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/organizations?limit=7{query}{after}");
        let page = super::read(&call(world, "GET", &path, token, "").await);
        let some = page["organizations"].as_array().expect("a list");
        assert!(some.len() <= 7);
        let id = |one: &Value| one["id"].as_str().expect("an id").to_owned();
        names.extend(some.iter().map(id));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return names,
        }
    }
}

#[actix_web::test]
async fn a_person_lists_all_that_they_administer_and_nothing_else() {
    let world = world().await;
    let login = Login::new("oidc", "ann-mfa")
        .with("scope", "openid tenants:write")
        .with("resource", &api(&world.broker));
    let tokens = signed_in(&world, &login).await;
    let account = tokens.access()["sub"].as_str().expect("an id").to_owned();
    let theirs = told_of(&world, &account, 21).await;
    let token = tokens.text("access_token");
    let all = listed(&world, token, "").await;
    assert_eq!(all, theirs.iter().cloned().collect::<Vec<_>>());
    let some = listed(&world, token, "&begins_with=org-01").await;
    assert_eq!(
        some,
        ["org-010", "org-012", "org-014", "org-016", "org-018"]
    );
    // Neither by its whole name is somebody else's found.
    assert_eq!(
        listed(&world, token, "&begins_with=org-002").await,
        ["org-002"]
    );
    assert_eq!(listed(&world, token, "&begins_with=org-003").await, [""; 0]);
    // What is said to be for services changes nothing.
    assert_eq!(listed(&world, token, "&asking=true").await, all);
}

#[actix_web::test]
async fn those_that_wait_for_an_answer_come_page_by_page() {
    let world = world().await;
    let registry = Registry::of(&world).await;
    let names = told_of(&world, "acct_1", 9).await;
    let wish = json!({"waives": ["manage"], "reason": "no phones", "until": in_days(&world, 9)});
    for name in &names {
        let path = format!("/organizations/{name}/exceptions");
        let (status, told) = registry.call("POST", &path, &wish.to_string()).await;
        assert_eq!(status, 201, "{told}");
    }
    let asking = listed(&world, &registry.token, "&asking=true").await;
    assert_eq!(asking, names.into_iter().collect::<Vec<_>>());
    let one = listed(&world, &registry.token, "&asking=true&begins_with=org-004").await;
    assert_eq!(one, ["org-004"]);
}

/// The names of the organizations that a page links to.
fn linked(page: &Page) -> Vec<String> {
    let links = page.body.split("href=\"/organizations/").skip(1);
    links
        .filter_map(|rest| rest.split_once('"').map(|(name, _)| name.to_owned()))
        .collect()
}

fn next(page: &Page) -> Option<String> {
    let (before, _) = page.body.split_once("\">Next</a>")?;
    let (_, href) = before.rsplit_once("href=\"")?;
    Some(href.replace("&#38;", "&").replace("&amp;", "&"))
}

#[actix_web::test]
async fn the_page_shows_twenty_and_leads_on_and_finds_by_name() {
    let world = world().await;
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    let page = admin.get("/organizations").await;
    assert_eq!(linked(&page), ["contoso"]);
    assert!(!page.body.contains("<form") && next(&page).is_none());

    let registry = Registry::of(&world).await;
    let (_, contoso) = registry.call("GET", "/organizations/contoso", "").await;
    let account = contoso["admins"][0].as_str().expect("an admin");
    let account = account.strip_prefix("account:").expect("an account");
    let mut theirs = told_of(&world, account, 45).await;
    theirs.insert("contoso".to_owned());
    let (mut seen, mut sizes) = (Vec::new(), Vec::new());
    let mut path = "/organizations".to_owned();
    loop {
        let page = admin.get(&path).await;
        let names = linked(&page);
        sizes.push(names.len());
        seen.extend(names);
        match next(&page) {
            Some(href) => path = href,
            None => break,
        }
    }
    assert_eq!(sizes, [20, 20, 6]);
    assert_eq!(seen, theirs.into_iter().collect::<Vec<_>>());

    let found = admin.get("/organizations?begins_with=org-08").await;
    let expected = ["org-080", "org-082", "org-084", "org-086", "org-088"];
    assert_eq!(linked(&found), expected);
    assert!(found.body.contains("value=\"org-08\""), "{}", found.body);
    // Those of a search lead on to more of it.
    let many = admin.get("/organizations?begins_with=org-0").await;
    let href = next(&many).expect("a way on");
    assert!(href.contains("begins_with=org-0"), "{href}");
    assert_eq!(linked(&admin.get(&href).await).len(), 20);
    for none in ["org-001", "%22%3E%3Cscript%3E", "no%20name"] {
        let page = admin
            .get(&format!("/organizations?begins_with={none}"))
            .await;
        assert_eq!((page.status, linked(&page)), (200, vec![]), "{none}");
        assert!(page.body.contains("No name of yours begins with"), "{none}");
        assert!(!page.body.contains("<script"), "{}", page.body);
    }
    // What is no place in the list is its beginning.
    let first = admin.get("/organizations?after=no%20name").await;
    assert_eq!(linked(&first).len(), 20);
}
