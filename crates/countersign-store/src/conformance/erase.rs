//! Forgetting a person.

use std::sync::Arc;

use countersign_core::{AccountId, Identity, OrganizationId, Profile};

use super::doubles::{Dying, Meanwhile, When};
use super::{account, account_id, address, api_key, at, identity, opening, registry_account};
use crate::{
    Account, Actor, Admin, EraseError, Lock, Organization, Signpost, Store, StoreError, Version,
    VouchedEmail, change_organization, claim_identity, erase_account, erase_account_if,
    link_identity, organizations_by,
};

pub(super) async fn run(make: &impl AsyncFn() -> Arc<dyn Store>) {
    a_record_is_removed_only_by_who_read_it_last(make().await).await;
    nothing_of_a_person_stays(make().await).await;
    what_is_anothers_stays(make().await).await;
    a_locked_account_is_not_forgotten(make().await).await;
    for operations in 0..40 {
        who_is_cut_off_begins_again(make().await, operations).await;
        who_signs_in_goes_on_with_it(make().await, operations).await;
    }
    for when in [
        When::Before("replace_account"),
        When::Before("release_identity"),
        When::Before("remove_account"),
    ] {
        who_signs_in_meanwhile_is_forgotten_too(make().await, when).await;
    }
    who_comes_back_meanwhile_is_not_forgotten_as_unused(make().await).await;
    what_is_linked_meanwhile_leads_nowhere(make().await).await;
}

/// The identity that the person has linked.
const OTHER: u8 = 200;
/// The account's number, and those of its sessions.
const PERSON: u8 = 1;

fn contoso() -> OrganizationId {
    OrganizationId::new("contoso").expect("an id")
}

/// A person of whom all is known that can be.
async fn somebody(store: &Arc<dyn Store>) -> AccountId {
    let id = account_id(PERSON);
    let registry = registry_account(PERSON);
    let known = Account {
        registered_at: Some(registry.registered_at),
        registry_account: Some(registry.name.clone()),
        vouched_email: Some(VouchedEmail {
            address: address(PERSON),
            at: at(1),
        }),
        ..account(PERSON)
    };
    let claimed = store.claim_identity(&identity(PERSON), id.clone()).await;
    assert_eq!(claimed.unwrap(), id);
    let (made, _) = store.put_account_if_absent(known.clone()).await.unwrap();
    assert_eq!(made, known);
    let linked = link_identity(store.as_ref(), &identity(OTHER), &id, at(2)).await;
    assert!(linked.unwrap());
    let registry = crate::RegistryAccount {
        account: Some(id.clone()),
        ..registry
    };
    store
        .put_registry_account_if_absent(registry.clone())
        .await
        .unwrap();
    let owners = [
        Admin::Account(id.clone()),
        Admin::RegistryAccount(registry.name.clone()),
        Admin::Account(account_id(2)),
    ];
    for (n, owner) in (1..).zip(owners) {
        let key = api_key::key(n, owner);
        store.put_api_key_if_absent(key).await.unwrap();
    }
    for n in 1..=2 {
        let mut opening = opening(n);
        opening.session.account = id.clone();
        store.open_session(opening, at(1)).await.unwrap();
    }
    let admins = [
        Admin::Account(id.clone()),
        Admin::RegistryAccount(registry.name),
        Admin::Account(account_id(2)),
    ];
    change_organization(
        store.as_ref(),
        &contoso(),
        |_| {
            let mut told = Organization::new(contoso(), at(0), Actor::Operator);
            told.admins = admins.clone().into();
            Ok::<_, StoreError>(Some(told))
        },
        at(2),
    )
    .await
    .unwrap();
    id
}

async fn leads_to(store: &Arc<dyn Store>, identity: &Identity) -> Option<AccountId> {
    let found = store.account_of(identity).await.unwrap();
    found.map(|(account, _)| account.id)
}

async fn is_forgotten(store: &Arc<dyn Store>) {
    let id = account_id(PERSON);
    assert_eq!(store.account(&id).await.unwrap(), None);
    assert_eq!(store.list_accounts(None, 10).await.unwrap(), []);
    let name = registry_account(PERSON).name;
    assert_eq!(store.registry_account(&name).await.unwrap(), None);
    assert_eq!(store.sessions_of(&id, None, at(5)).await.unwrap(), []);
    for n in [PERSON, OTHER] {
        assert_eq!(leads_to(store, &identity(n)).await, None);
        // Whoever signs in begins anew, under an id of their own.
        let fresh = account_id(n + 10);
        let claimed = claim_identity(store.as_ref(), &identity(n), &fresh, at(2)).await;
        assert_eq!(claimed.unwrap(), fresh);
    }
    let keys = store.list_api_keys(None, 10).await.unwrap();
    let owners: Vec<&Admin> = keys.iter().map(|key| &key.owner).collect();
    assert_eq!(owners, [&Admin::Account(account_id(2))]);
    let (known, _) = store.organization(&contoso()).await.unwrap().unwrap();
    assert_eq!(known.admins, [Admin::Account(account_id(2))].into());
    for admin in [Admin::Account(id), Admin::RegistryAccount(name)] {
        let found = organizations_by(store.as_ref(), &Signpost::Admin(admin)).await;
        assert_eq!(found.unwrap(), []);
    }
}

async fn a_record_is_removed_only_by_who_read_it_last(store: Arc<dyn Store>) {
    let id = account_id(1);
    let (record, first) = store.put_account_if_absent(account(1)).await.unwrap();
    let second = store.replace_account(record, first).await.unwrap();
    for stale in [first, Version(0), Version(u64::MAX)] {
        let refused = store.remove_account(&id, stale).await;
        assert!(matches!(refused, Err(StoreError::Conflict)), "{stale:?}");
    }
    assert!(store.account(&id).await.unwrap().is_some());
    store.remove_account(&id, second).await.unwrap();
    assert_eq!(store.account(&id).await.unwrap(), None);
    assert_eq!(store.list_accounts(None, 10).await.unwrap(), []);
    let again = store.remove_account(&id, second).await;
    assert!(matches!(again, Err(StoreError::Conflict)));

    let registry = registry_account(1);
    let put = store.put_registry_account_if_absent(registry.clone()).await;
    let (_, version) = put.unwrap();
    let stale = Version(version.0 + 1);
    let refused = store.remove_registry_account(&registry.name, stale).await;
    assert!(matches!(refused, Err(StoreError::Conflict)));
    let removed = store.remove_registry_account(&registry.name, version).await;
    removed.unwrap();
    let found = store.registry_account(&registry.name).await.unwrap();
    assert_eq!(found, None);
}

async fn nothing_of_a_person_stays(store: Arc<dyn Store>) {
    let id = somebody(&store).await;
    let erased = erase_account(store.as_ref(), &id, at(5)).await;
    assert_eq!(erased.unwrap(), Some(2), "sessions");
    let again = erase_account(store.as_ref(), &id, at(6)).await;
    assert_eq!(again.unwrap(), None);
    is_forgotten(&store).await;
}

async fn what_is_anothers_stays(store: Arc<dyn Store>) {
    let id = somebody(&store).await;
    let name = registry_account(PERSON).name;
    // The registry has given the name to another since, and the identity that was linked leads elsewhere.
    let (record, version) = store.registry_account(&name).await.unwrap().unwrap();
    let anothers = crate::RegistryAccount {
        account: Some(account_id(2)),
        ..record
    };
    store
        .replace_registry_account(anothers.clone(), version)
        .await
        .unwrap();
    store.release_identity(&identity(OTHER), &id).await.unwrap();
    let claimed = store.claim_identity(&identity(OTHER), account_id(2)).await;
    assert_eq!(claimed.unwrap(), account_id(2));
    erase_account(store.as_ref(), &id, at(5)).await.unwrap();
    let (kept, _) = store.registry_account(&name).await.unwrap().unwrap();
    assert_eq!(kept, anothers);
    let claimed = store.claim_identity(&identity(OTHER), account_id(3)).await;
    assert_eq!(claimed.unwrap(), account_id(2));
}

async fn a_locked_account_is_not_forgotten(store: Arc<dyn Store>) {
    let id = somebody(&store).await;
    let (known, version) = store.account(&id).await.unwrap().unwrap();
    let locked = Account {
        locked: Some(Lock {
            at: at(3),
            reason: "reported".to_owned(),
        }),
        ..known
    };
    store
        .replace_account(locked.clone(), version)
        .await
        .unwrap();
    let refused = erase_account(store.as_ref(), &id, at(5)).await;
    assert!(matches!(refused, Err(EraseError::Locked)));
    assert_eq!(leads_to(&store, &identity(PERSON)).await, Some(id.clone()));
    let (kept, _) = store.account(&id).await.unwrap().unwrap();
    assert_eq!(kept, locked);
    assert_eq!(store.sessions_of(&id, None, at(5)).await.unwrap().len(), 2);
}

/// However far it got: it is the person's as it was, or nobody's and without a word of them; and it is gone on with.
async fn who_is_cut_off_begins_again(store: Arc<dyn Store>, operations: usize) {
    let id = somebody(&store).await;
    let before = store.account(&id).await.unwrap();
    let dying = Dying::after(&store, operations);
    let cut_off = erase_account(&dying, &id, at(5)).await;
    if let Some((left, version)) = store.account(&id).await.unwrap() {
        assert!(cut_off.is_err(), "after {operations}");
        let leads = leads_to(&store, &identity(PERSON)).await;
        if left.erasing {
            assert_eq!(left.profile, Profile::default(), "after {operations}");
            assert_eq!(left.vouched_email, None);
            assert_eq!(leads, None);
        } else {
            assert_eq!(before, Some((left, version)), "after {operations}");
            assert_eq!(leads, Some(id.clone()));
            assert_eq!(store.sessions_of(&id, None, at(5)).await.unwrap().len(), 2);
        }
    }
    erase_account(store.as_ref(), &id, at(6)).await.unwrap();
    is_forgotten(&store).await;
}

/// Whoever signs in, while it is cut off, begins anew, and what was left of it goes.
async fn who_signs_in_goes_on_with_it(store: Arc<dyn Store>, operations: usize) {
    let id = somebody(&store).await;
    let dying = Dying::after(&store, operations);
    drop(erase_account(&dying, &id, at(5)).await);
    let left = store.account(&id).await.unwrap();
    if left.is_some_and(|(left, _)| !left.erasing) {
        return;
    }
    for n in [PERSON, OTHER] {
        let fresh = account_id(n + 10);
        let claimed = claim_identity(store.as_ref(), &identity(n), &fresh, at(2)).await;
        assert_eq!(claimed.unwrap(), fresh, "after {operations}");
    }
    let name = registry_account(PERSON).name;
    assert_eq!(store.registry_account(&name).await.unwrap(), None);
    let (known, _) = store.organization(&contoso()).await.unwrap().unwrap();
    assert_eq!(known.admins, [Admin::Account(account_id(2))].into());
    // Cut off at the very last step, nothing but ids is left, and nobody finds it by an identity.
    let left = store.account(&id).await.unwrap();
    assert!(left.is_none_or(|(left, _)| left.profile == Profile::default()));
}

async fn who_signs_in_meanwhile_is_forgotten_too(store: Arc<dyn Store>, when: When) {
    let id = somebody(&store).await;
    let signing_in = {
        let (store, id) = (store.clone(), id.clone());
        async move {
            let (known, version) = store.account(&id).await.unwrap().unwrap();
            let seen = Account {
                profile: account(PERSON).profile,
                first_mfa_at: Some(at(4)),
                ..known
            };
            store.replace_account(seen, version).await.unwrap();
            let mut opening = opening(3);
            opening.session.account = id;
            store.open_session(opening, at(4)).await.unwrap();
        }
    };
    let meanwhile = Meanwhile::new(&store, when, signing_in);
    let erased = erase_account(&meanwhile, &id, at(5)).await;
    assert_eq!(erased.unwrap(), Some(3), "{when:?}");
    is_forgotten(&store).await;
}

/// Whoever is forgotten since they did not come, and comes between two steps of that, keeps their account.
async fn who_comes_back_meanwhile_is_not_forgotten_as_unused(store: Arc<dyn Store>) {
    let id = somebody(&store).await;
    let is_due = |account: &Account| account.seen_on.is_none();
    let coming_back = {
        let (store, id) = (store.clone(), id.clone());
        async move {
            let (known, version) = store.account(&id).await.unwrap().unwrap();
            let seen = Account {
                seen_on: Some(jiff::civil::date(2027, 3, 8)),
                ..known
            };
            store.replace_account(seen, version).await.unwrap();
            let mut opening = opening(3);
            opening.session.account = id;
            store.open_session(opening, at(4)).await.unwrap();
        }
    };
    let meanwhile = Meanwhile::new(&store, When::Before("replace_account"), coming_back);
    let erased = erase_account_if(&meanwhile, &id, is_due, at(5)).await;
    assert_eq!(erased.unwrap(), None);
    assert_eq!(leads_to(&store, &identity(PERSON)).await, Some(id.clone()));
    let (kept, _) = store.account(&id).await.unwrap().unwrap();
    assert_eq!(kept.profile, account(PERSON).profile);
    assert_eq!(store.sessions_of(&id, None, at(5)).await.unwrap().len(), 3);
    let name = registry_account(PERSON).name;
    assert!(store.registry_account(&name).await.unwrap().is_some());
    let (known, _) = store.organization(&contoso()).await.unwrap().unwrap();
    assert_eq!(known.admins.len(), 3);
}

async fn what_is_linked_meanwhile_leads_nowhere(store: Arc<dyn Store>) {
    let id = somebody(&store).await;
    let third = identity(OTHER + 1);
    let erasing = {
        let (store, id) = (store.clone(), id.clone());
        async move {
            erase_account(store.as_ref(), &id, at(5)).await.unwrap();
        }
    };
    let meanwhile = Meanwhile::new(&store, When::Before("replace_account"), erasing);
    let linked = link_identity(&meanwhile, &third, &id, at(5)).await;
    assert!(matches!(linked, Err(StoreError::Conflict)), "{linked:?}");
    let fresh = account_id(9);
    let claimed = claim_identity(store.as_ref(), &third, &fresh, at(2)).await;
    assert_eq!(claimed.unwrap(), fresh, "it is not taken for ever");
    is_forgotten(&store).await;
}
