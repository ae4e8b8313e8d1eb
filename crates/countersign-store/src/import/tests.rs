//! What a registry says of its accounts, said once, again, and otherwise.

mod claim;

use std::sync::Arc;

use jiff::civil::date;
use tempfile::TempDir;

use super::*;
use crate::conformance::{Dying, at};
use crate::{Embedded, link_identity, unlink_identity};

const ANN: &str = "ann";
const BOB: &str = "bob";

struct Registry {
    _directory: TempDir,
    store: Arc<Embedded>,
}

fn registry() -> Registry {
    let directory = TempDir::new().unwrap();
    let store = Embedded::open(&directory.path().join("data")).unwrap();
    Registry {
        _directory: directory,
        store: Arc::new(store),
    }
}

impl Registry {
    async fn import(&self, row: &RegistryRow, second: i64) -> Imported {
        let verdict = weigh(self.store.as_ref(), row).await.unwrap();
        let fresh = AccountId::new(format!("acct_{second}")).unwrap();
        let imported = import(self.store.as_ref(), row, fresh, at(second)).await;
        let imported = imported.unwrap();
        assert_eq!(imported, verdict, "what was done is not what was foretold");
        imported
    }

    async fn account(&self, identity: &Identity) -> Account {
        let found = self.store.account_of(identity).await.unwrap();
        found.expect("an account").0
    }

    async fn known(&self, name: &str) -> RegistryAccount {
        let found = self.store.registry_account(&named(name)).await.unwrap();
        found.expect("a registry account").0
    }

    /// A login of somebody whom nothing is known of.
    async fn log_in(&self, identity: &Identity, second: i64) -> Account {
        let fresh = AccountId::new(format!("acct_login{second}")).unwrap();
        let id = self.store.claim_identity(identity, fresh).await.unwrap();
        let account = Account::new(id, identity.clone(), Profile::default(), at(second));
        let put = self.store.put_account_if_absent(account).await;
        put.unwrap().0
    }
}

fn named(name: &str) -> RegistryAccountName {
    RegistryAccountName::new(name).unwrap()
}

fn address(text: &str) -> EmailAddress {
    EmailAddress::new(text).unwrap()
}

fn github(id: u64) -> Identity {
    Identity::GitHub {
        host: "github.com".into(),
        id,
    }
}

fn oidc(issuer: &str) -> Identity {
    Identity::Oidc {
        issuer: issuer.into(),
        subject: "1".into(),
    }
}

fn row(name: &str) -> RegistryRow {
    RegistryRow {
        name: named(name),
        registered_at: "2019-03-04T05:06:07Z".parse().unwrap(),
        identity: None,
        verified_email: None,
    }
}

fn row_of(name: &str, identity: &Identity) -> RegistryRow {
    RegistryRow {
        identity: Some(identity.clone()),
        ..row(name)
    }
}

fn vouched(mut row: RegistryRow, text: &str) -> RegistryRow {
    row.verified_email = Some(address(text));
    row
}

#[tokio::test]
async fn an_identity_nobody_has_seen_gets_an_account_with_the_date_of_the_registry() {
    let registry = registry();
    let row = vouched(row_of(ANN, &github(1)), "ann@example");
    assert_eq!(registry.import(&row, 1).await, Imported::New);
    let account = registry.account(&github(1)).await;
    assert_eq!(account.id.as_str(), "acct_1");
    assert_eq!(account.made_at(), row.registered_at);
    assert_eq!(account.created_at, at(1));
    assert_eq!(account.registry_account, Some(named(ANN)));
    let email = account.vouched_email.unwrap();
    assert_eq!((email.address, email.at), (address("ann@example"), at(1)));
    assert_eq!(registry.known(ANN).await.account, Some(account.id));
}

#[tokio::test]
async fn the_account_of_a_login_is_told_what_the_registry_knows() {
    let registry = registry();
    let before = registry.log_in(&github(1), 0).await;
    let mut row = vouched(row_of(ANN, &github(1)), "ann@example");
    assert_eq!(registry.import(&row, 1).await, Imported::New);
    let account = registry.account(&github(1)).await;
    assert_eq!(account.id, before.id);
    assert_eq!(account.created_at, before.created_at);
    assert_eq!(account.made_at(), row.registered_at);
    // An account is never younger than its first login here.
    row = row_of(BOB, &github(2));
    row.registered_at = at(1_000);
    registry.log_in(&github(2), 2).await;
    registry.import(&row, 3).await;
    assert_eq!(registry.account(&github(2)).await.made_at(), at(2));
}

#[tokio::test]
async fn a_registry_account_without_an_identity_waits_for_its_owner() {
    let registry = registry();
    let row = vouched(row(ANN), "ann@example");
    assert_eq!(registry.import(&row, 1).await, Imported::New);
    assert_eq!(registry.import(&row, 2).await, Imported::Unchanged);
    let known = registry.known(ANN).await;
    assert_eq!(known.account, None);
    assert_eq!(known.registered_at, row.registered_at);
    assert_eq!(registry.store.list_accounts(None, 9).await.unwrap(), []);
    let with_identity = row_of(ANN, &github(1));
    assert_eq!(registry.import(&with_identity, 3).await, Imported::Changed);
    assert_eq!(
        registry.import(&with_identity, 4).await,
        Imported::Unchanged
    );
    let account = registry.account(&github(1)).await;
    assert_eq!(account.registry_account, Some(named(ANN)));
    assert_eq!(registry.known(ANN).await.account, Some(account.id));
    // And a file that does not know the identity any more takes nothing back.
    assert_eq!(registry.import(&row, 5).await, Imported::Unchanged);
}

#[tokio::test]
async fn a_row_brought_in_again_changes_nothing() {
    let registry = registry();
    let row = vouched(row_of(ANN, &github(1)), "ann@example");
    registry.import(&row, 1).await;
    let before = registry.store.account_of(&github(1)).await.unwrap();
    let known = registry.store.registry_account(&row.name).await.unwrap();
    assert_eq!(registry.import(&row, 2).await, Imported::Unchanged);
    let mut by_day = row.clone();
    by_day.registered_at = "2019-03-04T00:00:00Z".parse().unwrap();
    assert_eq!(registry.import(&by_day, 3).await, Imported::Unchanged);
    assert_eq!(registry.store.account_of(&github(1)).await.unwrap(), before);
    let after = registry.store.registry_account(&row.name).await.unwrap();
    assert_eq!(after, known);
}

#[tokio::test]
async fn what_contradicts_is_told_and_left_as_it_is() {
    let registry = registry();
    registry.import(&row_of(ANN, &github(1)), 1).await;
    registry.import(&row(BOB), 1).await;
    let ann = registry.store.account_of(&github(1)).await.unwrap();
    let day = Contradiction::RegisteredOn(date(2019, 3, 4));
    for time in ["2019-03-03T23:59:59Z", "2019-03-05T00:00:00Z"] {
        let mut other_day = row_of(ANN, &github(1));
        other_day.registered_at = time.parse().unwrap();
        let told = registry.import(&other_day, 2).await;
        assert_eq!(told, Imported::Contradicts(day.clone()), "{time}");
    }
    let told = registry.import(&row_of(ANN, &github(2)), 3).await;
    assert_eq!(told, Imported::Contradicts(Contradiction::OtherIdentity));
    let anns = Contradiction::OtherRegistryAccount(named(ANN));
    for name in [BOB, "bob-2"] {
        let told = registry.import(&row_of(name, &github(1)), 4).await;
        assert_eq!(told, Imported::Contradicts(anns.clone()), "{name}");
    }
    // Nor where the other identity has an account of its own.
    registry.log_in(&github(3), 5).await;
    let told = registry.import(&row_of(ANN, &github(3)), 6).await;
    assert_eq!(told, Imported::Contradicts(Contradiction::OtherIdentity));
    assert_eq!(registry.store.account_of(&github(1)).await.unwrap(), ann);
    assert_eq!(registry.store.account_of(&github(2)).await.unwrap(), None);
    assert_eq!(registry.known(BOB).await.account, None);
    let bob_2 = registry.store.registry_account(&named("bob-2")).await;
    assert_eq!(bob_2.unwrap(), None);
}

#[tokio::test]
async fn the_last_word_on_an_address_counts_and_the_same_word_again_is_none() {
    let registry = registry();
    let old = vouched(row_of(ANN, &github(1)), "old@example");
    let new = vouched(row_of(ANN, &github(1)), "new@example");
    registry.import(&old, 1).await;
    assert_eq!(registry.import(&new, 2).await, Imported::Changed);
    let account = registry.account(&github(1)).await;
    assert_eq!(
        account.vouched_email.unwrap().address,
        address("new@example")
    );
    // The registry takes it back by API. The same file again does not vouch anew.
    let (mut account, version) = registry
        .store
        .account_of(&github(1))
        .await
        .unwrap()
        .unwrap();
    account.vouched_email = None;
    registry
        .store
        .replace_account(account, version)
        .await
        .unwrap();
    assert_eq!(registry.import(&new, 3).await, Imported::Unchanged);
    assert_eq!(registry.account(&github(1)).await.vouched_email, None);
    // A row without an address says nothing of it.
    let silent = row_of(ANN, &github(1));
    assert_eq!(registry.import(&silent, 4).await, Imported::Unchanged);
    assert_eq!(registry.import(&old, 5).await, Imported::Changed);
    let account = registry.account(&github(1)).await;
    assert_eq!(account.vouched_email.unwrap().at, at(5));
    // By the name alone, too.
    let by_name = vouched(row(ANN), "third@example");
    assert_eq!(registry.import(&by_name, 6).await, Imported::Changed);
    assert_eq!(registry.import(&by_name, 7).await, Imported::Unchanged);
    let account = registry.account(&github(1)).await;
    assert_eq!(
        account.vouched_email.unwrap().address,
        address("third@example")
    );
}

#[tokio::test]
async fn an_import_leaves_the_day_told_and_the_first_mfa_alone() {
    let registry = registry();
    let before = registry.log_in(&github(1), 0).await;
    let (mut account, version) = registry.store.account(&before.id).await.unwrap().unwrap();
    account.told_due = Some(date(2027, 4, 1));
    account.first_mfa_at = Some(at(0));
    registry
        .store
        .replace_account(account, version)
        .await
        .unwrap();
    registry.import(&row_of(ANN, &github(1)), 1).await;
    let account = registry.account(&github(1)).await;
    assert_eq!(account.told_due, Some(date(2027, 4, 1)));
    assert_eq!(account.first_mfa_at, Some(at(0)));
}

#[tokio::test]
async fn every_spelling_of_an_identity_leads_to_the_one_account() {
    let registry = registry();
    let spellings = [oidc("https://id.example"), oidc("https://id.example/")];
    registry.import(&row_of(ANN, &spellings[0]), 1).await;
    let accounts = [
        registry.account(&spellings[0]).await,
        registry.account(&spellings[1]).await,
    ];
    assert_eq!(accounts[0], accounts[1]);
    let again = registry.import(&row_of(ANN, &spellings[1]), 2).await;
    assert_eq!(again, Imported::Unchanged);
    // Who has signed in before is not somebody else.
    let before = registry.log_in(&oidc("https://sso.example/"), 3).await;
    let row = row_of(BOB, &oidc("https://sso.example"));
    registry.import(&row, 4).await;
    let account = registry.account(&oidc("https://sso.example/")).await;
    assert_eq!(account.id, before.id);
    assert_eq!(account.registry_account, Some(named(BOB)));
}

/// What the import brought in, and a login spelled otherwise, is one identity: listed once, and gone when it is removed.
#[tokio::test]
async fn an_identity_that_was_imported_is_removed_however_it_is_spelled() {
    let registry = registry();
    let (imported, arrives) = (oidc("https://id.example"), oidc("https://id.example/"));
    registry.import(&row_of(ANN, &imported), 1).await;
    let store = registry.store.as_ref();
    let id = registry.account(&arrives).await.id;
    assert!(link_identity(store, &arrives, &id, at(2)).await.unwrap());
    assert_eq!(registry.account(&arrives).await.identities().count(), 1);
    assert!(link_identity(store, &github(1), &id, at(3)).await.unwrap());
    let profile = Profile::default();
    assert!(
        unlink_identity(store, &arrives, &id, profile)
            .await
            .unwrap()
    );
    for spelled in [&imported, &arrives] {
        assert_eq!(store.account_of(spelled).await.unwrap(), None);
    }
    assert_eq!(registry.account(&github(1)).await.id, id);
}

#[tokio::test]
async fn a_row_that_was_cut_off_after_any_write_is_completed_by_the_next_run() {
    for rows in [
        vec![vouched(row_of(ANN, &github(1)), "ann@example")],
        vec![row(ANN), vouched(row_of(ANN, &github(1)), "ann@example")],
        vec![
            vouched(row_of(ANN, &github(1)), "old@example"),
            vouched(row_of(ANN, &github(1)), "ann@example"),
        ],
    ] {
        for writes in 0..4 {
            check_cut_off(&rows, writes).await;
        }
    }
}

/// The last of these rows fails after so many writes; then all are brought in again.
async fn check_cut_off(rows: &[RegistryRow], writes: usize) {
    let registry = registry();
    let (last, before) = rows.split_last().unwrap();
    for row in before {
        registry.import(row, 1).await;
    }
    let dying = Dying::after_writes(registry.store.clone(), writes);
    let fresh = AccountId::new("acct_dying").unwrap();
    let ended = import(&dying, last, fresh, at(2)).await;
    assert!(ended.is_ok() || writes < 3, "{ended:?}");
    registry.import(last, 3).await;
    assert_eq!(registry.import(last, 4).await, Imported::Unchanged);
    let account = registry.account(&github(1)).await;
    assert_eq!(account.registry_account, Some(named(ANN)));
    assert_eq!(account.made_at(), last.registered_at);
    let email = account.vouched_email.map(|email| email.address);
    assert_eq!(email, Some(address("ann@example")), "after {writes} writes");
    assert_eq!(registry.known(ANN).await.account, Some(account.id));
}

#[tokio::test]
async fn a_row_that_was_cut_off_and_then_corrected_is_taken_as_corrected() {
    let registry = registry();
    let dying = Dying::after_writes(registry.store.clone(), 2);
    let fresh = AccountId::new("acct_dying").unwrap();
    let ended = import(&dying, &row_of(ANN, &github(1)), fresh, at(1)).await;
    assert!(ended.is_err());
    let corrected = row_of(ANN, &github(2));
    assert_eq!(registry.import(&corrected, 2).await, Imported::Changed);
    assert_eq!(registry.import(&corrected, 3).await, Imported::Unchanged);
    let account = registry.account(&github(2)).await;
    assert_eq!(registry.known(ANN).await.account, Some(account.id));
    let other = registry.store.account_of(&github(1)).await.unwrap();
    assert_eq!(other, None, "two people have one account");
}

#[tokio::test]
async fn many_imports_and_logins_at_once_agree_on_one_account() {
    let registry = registry();
    let mut all = tokio::task::JoinSet::new();
    for n in 0..40 {
        let store = registry.store.clone();
        all.spawn(async move {
            if n % 2 == 0 {
                let fresh = AccountId::new(format!("acct_{n}")).unwrap();
                let row = vouched(row_of(ANN, &github(1)), "ann@example");
                import(store.as_ref(), &row, fresh, at(n)).await.unwrap();
            } else {
                let fresh = AccountId::new(format!("acct_login{n}")).unwrap();
                let id = store.claim_identity(&github(1), fresh).await.unwrap();
                let login = Account::new(id, github(1), Profile::default(), at(n));
                store.put_account_if_absent(login).await.unwrap();
            }
        });
    }
    while let Some(ended) = all.join_next().await {
        ended.unwrap();
    }
    assert_eq!(
        registry.store.list_accounts(None, 9).await.unwrap().len(),
        1
    );
    let account = registry.account(&github(1)).await;
    assert_eq!(account.registry_account, Some(named(ANN)));
    assert!(account.vouched_email.is_some());
}
