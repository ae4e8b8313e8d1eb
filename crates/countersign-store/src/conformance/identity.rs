//! Which account an identity leads to.

use std::sync::Arc;

use countersign_core::{AccountId, Identity, Profile};

use super::doubles::{Dying, Meanwhile, When, race};
use super::{RACERS, account, account_id, at, identity};
use crate::{Account, Store, claim_identity, link_identity, unlink_identity};

pub(super) async fn run(make: &impl AsyncFn() -> Arc<dyn Store>) {
    what_the_account_does_not_list_leads_nowhere(make().await).await;
    what_leads_nowhere_is_there_for_who_shows_it(make().await).await;
    what_was_claimed_for_an_account_to_be_made_is_taken(make().await).await;
    an_identity_is_linked_and_removed(make().await).await;
    one_that_another_account_lists_is_not_linked(make().await).await;
    the_last_identity_is_not_removed(make().await).await;
    what_the_removed_identity_said_is_not_known_any_more(make().await).await;
    for operations in 0..8 {
        a_link_that_is_cut_off_gives_nobody_anything(make().await, operations).await;
        a_removal_that_is_cut_off_leaves_nothing_open(make().await, operations).await;
    }
    who_finds_it_left_behind_as_it_is_linked_does_not_take_it(make().await).await;
    who_removes_it_as_it_is_linked_again_does_not_take_it(make().await).await;
    what_another_has_got_meanwhile_is_not_linked(make().await).await;
    of_many_who_link_one_identity_one_has_it(make().await).await;
    of_many_who_link_and_remove_one_identity_it_leads_where_it_is_listed(make().await).await;
}

/// An identity that nobody has at first.
const OTHER: u8 = 200;

fn other() -> Identity {
    identity(OTHER)
}

/// The `n`th account, which its own identity leads to.
async fn made(store: &Arc<dyn Store>, n: u8) -> AccountId {
    let claimed = store.claim_identity(&identity(n), account_id(n)).await;
    assert_eq!(claimed.unwrap(), account_id(n));
    store.put_account_if_absent(account(n)).await.unwrap();
    account_id(n)
}

async fn leads_to(store: &Arc<dyn Store>, identity: &Identity) -> Option<AccountId> {
    let found = store.account_of(identity).await.unwrap();
    found.map(|(account, _)| account.id)
}

async fn lists(store: &Arc<dyn Store>, account: &AccountId, identity: &Identity) -> bool {
    let found = store.account(account).await.unwrap();
    found.is_some_and(|(account, _)| account.lists(identity))
}

async fn link(store: &Arc<dyn Store>, account: &AccountId) -> bool {
    let linked = link_identity(store.as_ref(), &other(), account, at(1)).await;
    linked.unwrap()
}

async fn unlink(store: &Arc<dyn Store>, account: &AccountId) -> bool {
    let removed = unlink_identity(store.as_ref(), &other(), account, Profile::default()).await;
    removed.unwrap()
}

async fn what_the_account_does_not_list_leads_nowhere(store: Arc<dyn Store>) {
    let mine = made(&store, 1).await;
    store.claim_identity(&other(), mine.clone()).await.unwrap();
    assert_eq!(leads_to(&store, &other()).await, None);
    assert_eq!(leads_to(&store, &identity(1)).await, Some(mine));
}

async fn what_leads_nowhere_is_there_for_who_shows_it(store: Arc<dyn Store>) {
    let left_at = made(&store, 1).await;
    let next = made(&store, 2).await;
    store.claim_identity(&other(), left_at).await.unwrap();
    let claimed = claim_identity(store.as_ref(), &other(), &next, at(2)).await;
    assert_eq!(claimed.unwrap(), next);
    assert!(link(&store, &next).await);
    assert_eq!(leads_to(&store, &other()).await, Some(next));
}

/// As a login and an import do, before they write the first record.
async fn what_was_claimed_for_an_account_to_be_made_is_taken(store: Arc<dyn Store>) {
    let to_be = account_id(OTHER);
    store.claim_identity(&other(), to_be.clone()).await.unwrap();
    let claimed = claim_identity(store.as_ref(), &other(), &account_id(2), at(2)).await;
    assert_eq!(claimed.unwrap(), to_be);
    let mine = made(&store, 1).await;
    assert!(!link(&store, &mine).await);
    store.put_account_if_absent(account(OTHER)).await.unwrap();
    assert_eq!(leads_to(&store, &other()).await, Some(to_be));
}

async fn an_identity_is_linked_and_removed(store: Arc<dyn Store>) {
    let mine = made(&store, 1).await;
    for _ in 0..2 {
        assert!(link(&store, &mine).await);
        assert_eq!(leads_to(&store, &other()).await, Some(mine.clone()));
    }
    let (found, _) = store.account(&mine).await.unwrap().unwrap();
    assert_eq!(found.identities().count(), 2);
    for _ in 0..2 {
        assert!(unlink(&store, &mine).await);
        assert_eq!(leads_to(&store, &other()).await, None);
        assert!(!lists(&store, &mine, &other()).await);
    }
    let next = made(&store, 2).await;
    assert!(link(&store, &next).await, "it was not given up");
    // It is another's by now, and stays so.
    assert!(unlink(&store, &mine).await);
    assert_eq!(leads_to(&store, &other()).await, Some(next));
}

async fn one_that_another_account_lists_is_not_linked(store: Arc<dyn Store>) {
    let (mine, another) = (made(&store, 1).await, made(&store, 2).await);
    assert!(link(&store, &another).await);
    assert!(!link(&store, &mine).await);
    assert!(!lists(&store, &mine, &other()).await);
    assert_eq!(leads_to(&store, &other()).await, Some(another));
}

async fn the_last_identity_is_not_removed(store: Arc<dyn Store>) {
    let mine = made(&store, 1).await;
    let only = identity(1);
    let removed = unlink_identity(store.as_ref(), &only, &mine, Profile::default()).await;
    assert!(!removed.unwrap());
    assert_eq!(leads_to(&store, &only).await, Some(mine.clone()));
    let (found, _) = store.account(&mine).await.unwrap().unwrap();
    assert_eq!(found, account(1));
}

async fn what_the_removed_identity_said_is_not_known_any_more(store: Arc<dyn Store>) {
    let mine = made(&store, 1).await;
    assert!(link(&store, &mine).await);
    let (found, version) = store.account(&mine).await.unwrap().unwrap();
    let named = |name: &str| Profile {
        name: Some(name.to_owned()),
        ..Profile::default()
    };
    let seen = Account {
        profile: named("of the other"),
        ..found
    };
    store.replace_account(seen, version).await.unwrap();
    let removed = unlink_identity(store.as_ref(), &other(), &mine, named("of the first")).await;
    assert!(removed.unwrap());
    let (found, _) = store.account(&mine).await.unwrap().unwrap();
    assert_eq!(found.profile, named("of the first"));
}

async fn a_link_that_is_cut_off_gives_nobody_anything(store: Arc<dyn Store>, operations: usize) {
    let mine = made(&store, 1).await;
    let dying = Dying::after(&store, operations);
    let cut_off = link_identity(&dying, &other(), &mine, at(1)).await;
    let (is_listed, leads) = (
        lists(&store, &mine, &other()).await,
        leads_to(&store, &other()).await,
    );
    // What is shown leads there, and what is not shown leads nowhere.
    assert_eq!(
        leads.is_some(),
        is_listed,
        "after {operations}: {cut_off:?}"
    );
    // Whoever shows it next has it, wherever they were cut off: who began, or another.
    let next = if operations.is_multiple_of(2) {
        mine.clone()
    } else {
        made(&store, 2).await
    };
    let has = if is_listed { &mine } else { &next };
    assert_eq!(link(&store, &next).await, *has == next);
    assert_eq!(leads_to(&store, &other()).await.as_ref(), Some(has));
    assert!(lists(&store, has, &other()).await);
}

async fn a_removal_that_is_cut_off_leaves_nothing_open(store: Arc<dyn Store>, operations: usize) {
    let mine = made(&store, 1).await;
    assert!(link(&store, &mine).await);
    let dying = Dying::after(&store, operations);
    let cut_off = unlink_identity(&dying, &other(), &mine, Profile::default()).await;
    let (is_listed, leads) = (
        lists(&store, &mine, &other()).await,
        leads_to(&store, &other()).await,
    );
    assert_eq!(
        leads.is_some(),
        is_listed,
        "after {operations}: {cut_off:?}"
    );
    assert!(unlink(&store, &mine).await, "it is not gone on with");
    assert_eq!(leads_to(&store, &other()).await, None);
    let next = made(&store, 2).await;
    assert!(link(&store, &next).await);
    assert_eq!(leads_to(&store, &other()).await, Some(next));
}

/// Between two looks of who finds it left behind it is linked there after all.
async fn who_finds_it_left_behind_as_it_is_linked_does_not_take_it(store: Arc<dyn Store>) {
    for when in [
        When::Before("release_identity"),
        When::After("release_identity"),
    ] {
        let (mine, another) = (made(&store, 1).await, made(&store, 2).await);
        store.claim_identity(&other(), mine.clone()).await.unwrap();
        let linking = {
            let (store, mine) = (store.clone(), mine.clone());
            async move { assert!(link(&store, &mine).await) }
        };
        let meanwhile = Meanwhile::new(&store, when, linking);
        let claimed = claim_identity(&meanwhile, &other(), &another, at(2)).await;
        assert_eq!(claimed.unwrap(), mine, "{when:?}");
        assert_eq!(leads_to(&store, &other()).await, Some(mine.clone()));
        assert!(unlink(&store, &mine).await);
    }
}

async fn who_removes_it_as_it_is_linked_again_does_not_take_it(store: Arc<dyn Store>) {
    for when in [
        When::After("replace_account"),
        When::Before("release_identity"),
        When::After("release_identity"),
    ] {
        let mine = made(&store, 1).await;
        assert!(link(&store, &mine).await);
        let again = {
            let (store, mine) = (store.clone(), mine.clone());
            async move { assert!(link(&store, &mine).await) }
        };
        let meanwhile = Meanwhile::new(&store, when, again);
        let removed = unlink_identity(&meanwhile, &other(), &mine, Profile::default()).await;
        removed.unwrap();
        assert!(lists(&store, &mine, &other()).await);
        assert_eq!(leads_to(&store, &other()).await, Some(mine), "{when:?}");
    }
}

/// While one links it another signs in with it, finds it left behind, and has an account of its own.
async fn what_another_has_got_meanwhile_is_not_linked(store: Arc<dyn Store>) {
    let mine = made(&store, 1).await;
    let new = account_id(OTHER);
    let signing_in = {
        let (store, new) = (store.clone(), new.clone());
        async move {
            let claimed = claim_identity(store.as_ref(), &other(), &new, at(2)).await;
            assert_eq!(claimed.unwrap(), new);
            store.put_account_if_absent(account(OTHER)).await.unwrap();
        }
    };
    let meanwhile = Meanwhile::new(&store, When::Before("replace_account"), signing_in);
    let linked = link_identity(&meanwhile, &other(), &mine, at(1)).await;
    assert!(!linked.unwrap());
    assert!(!lists(&store, &mine, &other()).await);
    assert_eq!(leads_to(&store, &other()).await, Some(new));
}

async fn of_many_who_link_one_identity_one_has_it(store: Arc<dyn Store>) {
    for n in 1..=RACERS {
        made(&store, n).await;
    }
    // Whoever finds the others' halves may take it from all of them, and some may have to begin anew.
    race(&store, |store, n| async move {
        let linked = link_identity(store.as_ref(), &other(), &account_id(n), at(1)).await;
        linked.is_ok()
    })
    .await;
    let has = leads_to(&store, &other()).await;
    for n in 1..=RACERS {
        let is_listed = lists(&store, &account_id(n), &other()).await;
        assert_eq!(
            is_listed,
            has == Some(account_id(n)),
            "{n}, and {has:?} has it"
        );
    }
}

async fn of_many_who_link_and_remove_one_identity_it_leads_where_it_is_listed(
    store: Arc<dyn Store>,
) {
    let mine = made(&store, 1).await;
    race(&store, |store, n| {
        let mine = mine.clone();
        async move {
            if n % 2 == 0 {
                link_identity(store.as_ref(), &other(), &mine, at(1))
                    .await
                    .ok();
            } else {
                unlink(&store, &mine).await;
            }
        }
    })
    .await;
    let is_listed = lists(&store, &mine, &other()).await;
    let has = leads_to(&store, &other()).await;
    assert_eq!(has.is_some(), is_listed);
    if !is_listed {
        assert!(link(&store, &mine).await);
    }
}
