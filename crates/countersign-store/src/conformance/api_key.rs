//! API keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_core::api_keys::PackagePattern;
use countersign_core::{
    ApiKeyId, Basis, Claim, Identity, Level, Login, Membership, ProviderId, Scope, Source, TenantId,
};

use super::doubles::race;
use super::{RACERS, account, account_id, at, client_id, digest, identity, registry_account};
use crate::{
    Account, Admin, ApiKey, Changed, KeyDigest, KeyOwner, MadeBy, MadeUnder, Store, StoreError,
    Version, all_keys_of, change_api_key,
};

pub(super) async fn run(make: &impl AsyncFn() -> Arc<dyn Store>) {
    all_that_is_known_of_a_key_is_kept(make().await).await;
    the_first_record_of_a_key_stays(make().await).await;
    a_key_is_replaced_and_removed_only_by_who_read_it_last(make().await).await;
    of_many_who_change_a_key_all_are_heard(make().await).await;
    keys_are_listed_page_by_page(make().await).await;
    keys_are_found_by_whose_they_are(make().await).await;
}

/// The `n`th key.
pub(super) fn key(n: u8, owner: KeyOwner) -> ApiKey {
    ApiKey {
        id: id(n),
        digest: KeyDigest(digest(n)),
        owner,
        name: format!("Zoë \"Z\" N° {n}"),
        client: client_id("registry"),
        scopes: BTreeSet::from([Scope::new("packages:publish").expect("a scope")]),
        packages: BTreeSet::from([PackagePattern::new("@zoe/*").expect("a pattern")]),
        organization: None,
        made_by: MadeBy::Page,
        made_at: at(0),
        imported_at: None,
        expires_at: Some(at(90 * 86_400)),
        under: Some(MadeUnder {
            identity: identity(n),
            login: Login::new(ProviderId::new("github").expect("a name"), at(0)),
            level: Level::Mfa,
            basis: Some(Basis::Enrolment),
        }),
        first_notice_at: None,
        told_end: None,
        set_end: None,
        last_used_on: None,
        revoked_at: None,
    }
}

/// Ids all over the ranges that a store may have.
fn id(n: u8) -> ApiKeyId {
    ApiKeyId::new(format!("key_{:02x}{n:030x}", n.wrapping_mul(37))).expect("an id")
}

fn of(n: u8) -> KeyOwner {
    Admin::Account(account_id(n))
}

async fn found(store: &Arc<dyn Store>, n: u8) -> Option<(ApiKey, Version)> {
    store.api_key(&id(n)).await.unwrap()
}

async fn all_that_is_known_of_a_key_is_kept(store: Arc<dyn Store>) {
    assert_eq!(found(&store, 1).await, None);
    let known = ApiKey {
        organization: countersign_core::OrganizationId::new("contoso").ok(),
        imported_at: Some(at(1)),
        first_notice_at: Some(at(2)),
        told_end: Some(at(3)),
        set_end: Some(at(4)),
        last_used_on: Some(jiff::civil::date(2027, 1, 2)),
        revoked_at: Some(at(5)),
        ..key(1, of(1))
    };
    let of_tenant = ApiKey {
        under: Some(MadeUnder {
            identity: Identity::Microsoft {
                tid: tenant(),
                oid: "0b7e1a52-7f0f-4b3a-9f2c-4d0f2f0e9a11".to_owned(),
            },
            login: Login {
                tenant: Some(tenant()),
                membership: Claim::Value(Membership::Member),
                groups: Claim::Value(BTreeSet::from(["release".to_owned()])),
                email_verified: true,
                ..key(2, of(1)).under.expect("a login").login
            },
            level: Level::None,
            basis: None,
        }),
        ..key(2, of(1))
    };
    let by_issuer = ApiKey {
        under: key(3, of(1)).under.map(|under| MadeUnder {
            identity: Identity::Oidc {
                issuer: "https://id.example".to_owned(),
                subject: "ann".to_owned(),
            },
            login: Login {
                belongs: BTreeSet::from([Source::Issuer("https://id.example".to_owned())]),
                ..under.login
            },
            ..under
        }),
        ..key(3, of(1))
    };
    for (n, known) in (1..).zip([known, of_tenant, by_issuer]) {
        store.put_api_key_if_absent(known.clone()).await.unwrap();
        assert_eq!(found(&store, n).await.map(|(key, _)| key), Some(known));
    }
}

fn tenant() -> TenantId {
    TenantId::new("11111111-1111-4111-8111-111111111111").expect("a tenant")
}

async fn the_first_record_of_a_key_stays(store: Arc<dyn Store>) {
    let answers = race(&store, async |store, racer| {
        let (kept, _) = store
            .put_api_key_if_absent(key(1, of(racer)))
            .await
            .unwrap();
        kept
    })
    .await;
    let (kept, _) = found(&store, 1).await.unwrap();
    assert!(answers.iter().all(|one| *one == kept));
    // Who came second has it nowhere.
    for n in 1..=RACERS {
        let theirs = store.api_keys_of(&of(n), None, 10).await.unwrap();
        assert_eq!(theirs.len(), usize::from(of(n) == kept.owner), "{n}");
    }
}

async fn a_key_is_replaced_and_removed_only_by_who_read_it_last(store: Arc<dyn Store>) {
    let first = key(1, of(1));
    let missing = store.replace_api_key(first.clone(), Version(1)).await;
    assert!(matches!(missing, Err(StoreError::Conflict)));
    let (_, version) = store.put_api_key_if_absent(first.clone()).await.unwrap();
    let revoked = ApiKey {
        revoked_at: Some(at(9)),
        ..first.clone()
    };
    let next = store
        .replace_api_key(revoked.clone(), version)
        .await
        .unwrap();
    let late = store.replace_api_key(first.clone(), version).await;
    assert!(matches!(late, Err(StoreError::Conflict)));
    let late = store.remove_api_key(&first, version).await;
    assert!(matches!(late, Err(StoreError::Conflict)));
    assert_eq!(found(&store, 1).await, Some((revoked, next)));
    store.remove_api_key(&first, next).await.unwrap();
    assert_eq!(found(&store, 1).await, None);
    assert!(
        store
            .api_keys_of(&of(1), None, 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(store.list_api_keys(None, 10).await.unwrap().is_empty());
}

async fn of_many_who_change_a_key_all_are_heard(store: Arc<dyn Store>) {
    store.put_api_key_if_absent(key(1, of(1))).await.unwrap();
    let add = |store: Arc<dyn Store>, racer: u8| async move {
        let pattern = PackagePattern::new(format!("package-{racer}")).expect("a pattern");
        loop {
            let pattern = pattern.clone();
            let add = |key: &ApiKey| {
                let mut key = key.clone();
                key.packages.insert(pattern.clone());
                Some(key)
            };
            match change_api_key(store.as_ref(), &id(1), add).await {
                Ok(found) => break found.map(|(_, changed)| changed),
                Err(StoreError::Conflict) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    let answers = race(&store, add).await;
    assert!(answers.iter().all(|one| *one == Some(Changed::Yes)));
    let (kept, _) = found(&store, 1).await.unwrap();
    assert_eq!(kept.packages.len(), usize::from(RACERS) + 1);
    let none = change_api_key(store.as_ref(), &id(1), |_| None).await;
    assert_eq!(none.unwrap(), Some((kept, Changed::No)));
    let unknown = change_api_key(store.as_ref(), &id(2), |key| Some(key.clone())).await;
    assert_eq!(unknown.unwrap(), None);
}

async fn keys_are_listed_page_by_page(store: Arc<dyn Store>) {
    let mut expected = Vec::new();
    for n in 1..=25 {
        let owner = of(n % 3 + 1);
        store.put_api_key_if_absent(key(n, owner)).await.unwrap();
        expected.push(id(n));
    }
    expected.sort();
    let mut listed: Vec<ApiKeyId> = Vec::new();
    loop {
        let page = store.list_api_keys(listed.last(), 7).await.unwrap();
        let is_last = page.len() < 7;
        listed.extend(page.into_iter().map(|key| key.id));
        if is_last {
            break;
        }
    }
    assert_eq!(listed, expected);
}

async fn keys_are_found_by_whose_they_are(store: Arc<dyn Store>) {
    let registry = registry_account(1).name;
    let owner = Account {
        registry_account: Some(registry.clone()),
        ..account(1)
    };
    let owners = [of(1), Admin::RegistryAccount(registry), of(2)];
    for n in 1..=24 {
        let owner = owners[usize::from(n) % 3].clone();
        store.put_api_key_if_absent(key(n, owner)).await.unwrap();
    }
    let mut paged: Vec<ApiKey> = Vec::new();
    loop {
        let after = paged.last().map(|key| key.id.clone());
        let page = store.api_keys_of(&of(2), after.as_ref(), 3).await.unwrap();
        let is_last = page.len() < 3;
        paged.extend(page);
        if is_last {
            break;
        }
    }
    let numbers: BTreeSet<_> = paged.iter().map(|key| key.id.clone()).collect();
    let expected: BTreeSet<_> = (1..=24).filter(|n| n % 3 == 2).map(id).collect();
    assert_eq!((numbers, paged.len()), (expected, 8));
    assert!(paged.is_sorted_by(|one, next| one.id < next.id));
    let of_person = all_keys_of(store.as_ref(), &owner).await.unwrap();
    assert_eq!(of_person.len(), 16);
    assert!(of_person.iter().all(|key| key.owner != of(2)));
}
