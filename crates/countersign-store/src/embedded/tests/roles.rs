//! Several processes in one data directory: who may join whom, and what an older version left.
//!
//! A lock belongs to the handle that took it, so two stores in one process stand for two processes.

use std::fs::File;

use super::*;
use crate::conformance::registry_account;

#[tokio::test]
async fn an_import_writes_beside_a_server_and_each_reads_what_the_other_wrote() {
    let (directory, server) = fresh();
    server.put_account_if_absent(account(1)).await.unwrap();
    let import = Embedded::open_for_import(&data(&directory)).unwrap();
    let found = import.account(&account(1).id).await.unwrap();
    assert_eq!(found.unwrap().0, account(1));
    import.put_account_if_absent(account(2)).await.unwrap();
    let found = server.account(&account(2).id).await.unwrap();
    assert_eq!(found.unwrap().0, account(2));
}

#[tokio::test]
async fn compare_and_set_holds_between_processes() {
    let (directory, server) = fresh();
    let import = Embedded::open_for_import(&data(&directory)).unwrap();
    let (mut record, version) = server.put_account_if_absent(account(1)).await.unwrap();
    record.first_mfa_at = Some(at(1));
    let by_server = server.replace_account(record.clone(), version);
    by_server.await.unwrap();
    let by_import = import.replace_account(account(1), version).await;
    assert!(matches!(by_import, Err(StoreError::Conflict)));
    let found = import.account(&account(1).id).await.unwrap();
    assert_eq!(found.unwrap().0, record);
}

#[test]
fn a_server_starts_beside_an_import_and_is_noticed_while_it_runs() {
    let directory = TempDir::new().unwrap();
    let import = Embedded::open_for_import(&data(&directory)).unwrap();
    assert!(!import.is_served().unwrap());
    let server = Embedded::open(&data(&directory)).unwrap();
    assert!(import.is_served().unwrap());
    assert!(refusal(&data(&directory)).contains("another process has the data directory"));
    drop(server);
    assert!(!import.is_served().unwrap());
}

#[test]
fn a_second_import_is_refused() {
    let directory = TempDir::new().unwrap();
    let _first = Embedded::open_for_import(&data(&directory)).unwrap();
    let second = Embedded::open_for_import(&data(&directory));
    assert!(
        matches!(second, Err(StoreError::Unavailable(told)) if told.contains("another import"))
    );
}

#[test]
fn anybody_may_look_beside_all_others_but_not_where_nothing_is() {
    let directory = TempDir::new().unwrap();
    let nothing = Embedded::open_to_look(&data(&directory));
    assert!(matches!(nothing, Err(StoreError::Unavailable(told)) if told.contains("data")));
    assert!(!data(&directory).exists());
    let _server = Embedded::open(&data(&directory)).unwrap();
    let _import = Embedded::open_for_import(&data(&directory)).unwrap();
    let _one = Embedded::open_to_look(&data(&directory)).unwrap();
    let _other = Embedded::open_to_look(&data(&directory)).unwrap();
}

#[test]
fn an_older_countersign_and_a_newer_one_are_never_in_one_directory() {
    // It holds the lock of the databases exclusively for as long as it runs.
    let (directory, store) = fresh();
    let lock = File::open(data(&directory).join("lock")).unwrap();
    assert!(
        lock.try_lock().is_err(),
        "an older one could start beside us"
    );
    drop(store);
    lock.try_lock().unwrap();
    assert!(refusal(&data(&directory)).contains("another process has the data directory"));
}

#[tokio::test]
async fn a_directory_of_the_first_schema_is_brought_up_to_date_with_what_is_in_it() {
    let directory = of_the_first_schema();
    let store = Embedded::open(&data(&directory)).unwrap();
    let (kept, _) = store.account(&account(1).id).await.unwrap().unwrap();
    assert_eq!(kept, account(1));
    let record = registry_account(1);
    store
        .put_registry_account_if_absent(record.clone())
        .await
        .unwrap();
    drop(store);
    let store = Embedded::open(&data(&directory)).unwrap();
    let kept = store.registry_account(&record.name).await.unwrap();
    assert_eq!(kept.unwrap().0, record);
}

#[test]
fn tables_are_not_changed_beneath_another_process() {
    let directory = of_the_first_schema();
    let looked = Embedded::open_to_look(&data(&directory)).unwrap_err();
    assert!(looked.to_string().contains("older Countersign"), "{looked}");
    // Another that looks, so that nobody is alone.
    let lock = File::open(data(&directory).join("lock")).unwrap();
    lock.try_lock_shared().unwrap();
    let told = refusal(&data(&directory));
    assert!(
        told.contains("durable.db") && told.contains("schema 1"),
        "{told}"
    );
    lock.unlock().unwrap();
    Embedded::open_for_import(&data(&directory)).unwrap();
}

/// A data directory as the first schema left it, with an account in it.
fn of_the_first_schema() -> TempDir {
    const RECORD: &str = r#"{"id":"acct_1","identity":{"git-hub":{"host":"github.com","id":1}},
        "profile":{"name":"Zoë \"Z\" N° 1"},"created_at":"2027-01-15T08:00:00Z"}"#;
    let (directory, store) = fresh();
    drop(store);
    let database = Connection::open(data(&directory).join("durable.db")).unwrap();
    database
        .execute_batch("DROP TABLE registry_account; DROP TABLE organization; DROP TABLE signpost; DROP TABLE audit_head; DROP TABLE api_key; PRAGMA user_version = 1")
        .unwrap();
    database
        .execute("INSERT INTO account VALUES ('acct_1', 1, ?1)", [RECORD])
        .unwrap();
    directory
}
