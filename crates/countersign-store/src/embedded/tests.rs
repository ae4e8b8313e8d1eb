//! The embedded store: the suite, and what only a store in files must do.

mod roles;

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};

use countersign_core::{AccountId, AttemptId, Identity, SessionId};
use rusqlite::Connection;
use tempfile::TempDir;

use super::Embedded;
use super::writer::Writer;
use crate::conformance::{self, account, at, grant, opening};
use crate::{
    Account, CodeDigest, Ended, IssuedToken, KeyMaterial, Opening, Store, StoreError, StoredKey,
    TakenCode,
};

#[tokio::test]
async fn it_passes_the_conformance_suite() {
    let directories = Mutex::new(Vec::new());
    conformance::run(async || {
        let directory = TempDir::new().unwrap();
        let store = Embedded::open(&directory.path().join("data")).unwrap();
        directories.lock().unwrap().push(directory);
        Arc::new(store) as Arc<dyn Store>
    })
    .await;
}

#[test]
fn threads_that_race_for_a_code_get_it_once() {
    let (_directory, store) = fresh();
    block_on(store.open_session(opening(1), at(0))).unwrap();
    let taken: Vec<TakenCode> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| block_on(store.take_code(&code_of(&opening(1)), at(1)))))
            .collect();
        racers
            .into_iter()
            .map(|racer| racer.join().unwrap().unwrap())
            .collect()
    });
    let fresh = |taken: &&TakenCode| matches!(taken, TakenCode::Fresh { .. });
    assert_eq!(taken.iter().filter(fresh).count(), 1);
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let (directory, store) = fresh();
    let key = StoredKey {
        name: "id-token-rs256".into(),
        created_at: at(0),
        material: KeyMaterial(vec![0, 159, 255]),
    };
    store.open_session(opening(1), at(0)).await.unwrap();
    store.open_session(opening(2), at(0)).await.unwrap();
    take(&store, &opening(1)).await;
    store.put_account_if_absent(account(1)).await.unwrap();
    store.put_key_if_absent(key.clone()).await.unwrap();
    drop(store);

    let store = Embedded::open(&data(&directory)).unwrap();
    assert_eq!(
        take(&store, &opening(1)).await,
        TakenCode::Replayed(Ended::Now)
    );
    let taken = take(&store, &opening(2)).await;
    assert!(matches!(taken, TakenCode::Fresh { .. }));
    let listed = store.list_accounts(None, 10).await.unwrap();
    assert_eq!(listed, [account(1)]);
    assert_eq!(store.list_keys().await.unwrap(), [key]);
}

#[test]
fn a_clean_stop_writes_what_still_waits() {
    let (directory, store) = fresh();
    let runtime = runtime();
    // Each is polled once, so that its write is queued, and then abandoned.
    for n in 0..100 {
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = store.open_session(opening(n), at(0)) => {}
                () = std::future::ready(()) => {}
            }
        });
    }
    drop(store);
    let store = Embedded::open(&data(&directory)).unwrap();
    for n in 0..100 {
        let session = runtime.block_on(store.session(&opening(n).session.id, at(1)));
        assert!(session.unwrap().is_some(), "session {n} was lost");
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    const DIRECTORY: &str = "COUNTERSIGN_STORE_TEST_DIRECTORY";
    const THIS: &str = "embedded::tests::what_was_acknowledged_survives_kill_9";
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        write_until_killed(Path::new(&directory));
    }
    let directory = TempDir::new().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", THIS, "--nocapture"])
        .env(DIRECTORY, data(&directory))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut told = String::new();
    while told.lines().count() < 300 {
        let length = output.read_line(&mut told).unwrap();
        assert_ne!(length, 0, "the child ended by itself");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    output.read_to_string(&mut told).unwrap();

    let acknowledged = acknowledged(&told);
    assert!(acknowledged.len() > 250);
    let store = Embedded::open(&data(&directory)).unwrap();
    for n in acknowledged {
        block_on(assert_written(&store, n));
    }
}

/// The child: writes record after record, and says so after each.
fn write_until_killed(directory: &Path) -> ! {
    let store = Embedded::open(directory).unwrap();
    for n in 0.. {
        let (account, opening) = numbered(n);
        block_on(async {
            let claim = store.claim_identity(&account.identity, account.id.clone());
            claim.await.unwrap();
            store.put_account_if_absent(account.clone()).await.unwrap();
            store.open_session(opening.clone(), at(0)).await.unwrap();
            if n % 2 == 1 {
                take(&store, &opening).await;
            }
        });
        println!("written {n} .");
    }
    unreachable!("it is killed")
}

/// The numbers on whole lines; the last line may have been cut off.
fn acknowledged(told: &str) -> Vec<u64> {
    told.lines()
        .filter_map(|line| line.strip_prefix("written ")?.strip_suffix(" ."))
        .map(|number| number.parse().unwrap())
        .collect()
}

async fn assert_written(store: &Embedded, n: u64) {
    let (account, opening) = numbered(n);
    let found = store.account_of(&account.identity).await.unwrap();
    assert_eq!(found.map(|found| found.0), Some(account));
    let session = store.session(&opening.session.id, at(1)).await.unwrap();
    assert_eq!(session.as_ref(), Some(&opening.session));
    match take(store, &opening).await {
        TakenCode::Replayed(_) => assert_eq!(n % 2, 1, "code {n} was never taken"),
        TakenCode::Fresh { .. } => assert_eq!(n % 2, 0, "code {n} can be taken again"),
        TakenCode::Unknown => panic!("code {n} was lost"),
    }
}

fn numbered(n: u64) -> (Account, Opening) {
    let mut account = account(1);
    account.id = AccountId::new(format!("acct_{n}")).unwrap();
    account.identity = Identity::GitHub {
        host: "github.com".into(),
        id: n,
    };
    let mut opening = opening(1);
    opening.attempt = AttemptId::new(format!("{n:032x}")).unwrap();
    opening.session.id = SessionId::of(&opening.attempt);
    (account, opening)
}

#[tokio::test]
async fn the_directory_and_its_files_are_its_owners_alone() {
    let (directory, store) = fresh();
    store.put_account_if_absent(account(1)).await.unwrap();
    store.open_session(opening(1), at(0)).await.unwrap();
    assert_eq!(mode(&data(&directory)), 0o700);
    let mut files = Vec::new();
    for file in fs::read_dir(data(&directory)).unwrap() {
        let file = file.unwrap();
        assert_eq!(mode(&file.path()), 0o600, "{}", file.path().display());
        files.push(file.file_name().into_string().unwrap());
    }
    for expected in ["lock", "state.db-wal", "state.db-shm", "durable.db-wal"] {
        assert!(files.iter().any(|file| file == expected), "{files:?}");
    }
}

#[tokio::test]
async fn accounts_and_keys_wait_for_the_disk_and_sessions_do_not() {
    let (_directory, store) = fresh();
    // https://sqlite.org/pragma.html#pragma_synchronous: 1 is NORMAL, 2 is FULL.
    for (writer, expected) in [(&store.state, 1), (&store.durable, 2)] {
        let synchronous = writer.run(|connection| {
            Ok(connection.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0))?)
        });
        assert_eq!(synchronous.await.unwrap(), expected);
    }
}

#[test]
fn what_others_may_use_is_refused_and_left_alone() {
    for (file, shared, told) in [
        ("", 0o750, "chmod 700"),
        ("", 0o701, "chmod 700"),
        ("durable.db", 0o640, "chmod 600"),
        ("state.db", 0o602, "chmod 600"),
        ("lock", 0o644, "chmod 600"),
        ("state.db-wal", 0o604, "chmod 600"),
    ] {
        let (directory, store) = fresh();
        drop(store);
        let path = data(&directory).join(file);
        if !path.exists() {
            fs::write(&path, "").unwrap();
        }
        fs::set_permissions(&path, Permissions::from_mode(shared)).unwrap();
        let refusal = refusal(&data(&directory));
        assert!(refusal.contains(told), "{refusal}");
        assert!(refusal.contains(file), "{refusal}");
        assert_eq!(mode(&path), shared);
    }
}

#[test]
fn a_file_in_place_of_the_directory_is_refused() {
    let directory = TempDir::new().unwrap();
    fs::write(data(&directory), "").unwrap();
    assert!(refusal(&data(&directory)).contains("is not a directory"));
}

#[test]
fn a_second_store_in_the_same_directory_is_refused() {
    let (directory, store) = fresh();
    assert!(refusal(&data(&directory)).contains("another process has the data directory"));
    block_on(store.open_session(opening(1), at(0))).unwrap();
    drop(store);
    Embedded::open(&data(&directory)).unwrap();
}

#[test]
fn the_schema_of_a_newer_version_is_refused() {
    for (file, version) in [("state.db", 99), ("durable.db", 99), ("state.db", -1)] {
        let (directory, store) = fresh();
        drop(store);
        let database = Connection::open(data(&directory).join(file)).unwrap();
        database
            .pragma_update(None, "user_version", version)
            .unwrap();
        drop(database);
        let refusal = refusal(&data(&directory));
        assert!(refusal.contains("newer Countersign"), "{refusal}");
        assert!(refusal.contains(file), "{refusal}");
    }
}

#[test]
fn a_database_of_something_else_is_refused() {
    let (directory, store) = fresh();
    drop(store);
    let path = data(&directory).join("state.db");
    fs::write(&path, "").unwrap();
    let database = Connection::open(&path).unwrap();
    database.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(database);
    assert!(refusal(&data(&directory)).contains("something else"));

    fs::write(
        &path,
        "This is not a database, whatever its name says.".repeat(100),
    )
    .unwrap();
    let error = Embedded::open(&data(&directory)).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    assert!(error.to_string().contains("state.db"), "{error}");
}

#[tokio::test]
async fn a_row_that_can_not_be_read_is_reported_by_table_and_key() {
    let (directory, store) = fresh();
    store.open_session(opening(1), at(0)).await.unwrap();
    store.put_account_if_absent(account(1)).await.unwrap();
    let Account { id, identity, .. } = account(1);
    store.claim_identity(&identity, id.clone()).await.unwrap();
    damage(
        &directory,
        "state.db",
        "UPDATE sign_in SET session = '{\"id\":7}'",
    );
    damage(
        &directory,
        "durable.db",
        "UPDATE account SET record = CAST(x'ff' AS TEXT)",
    );

    let table = "`sign_in`, key `sess_00000000000000000000000000000001`";
    let session = opening(1).session.id;
    assert_corrupt(store.session(&session, at(1)).await, table);
    let code = code_of(&opening(1));
    assert_corrupt(store.take_code(&code, at(1)).await, table);
    let table = "`account`, key `acct_1`";
    assert_corrupt(store.account(&id).await, table);
    assert_corrupt(store.account_of(&identity).await, table);
    assert_corrupt(store.list_accounts(None, 10).await, table);
    assert_corrupt(store.put_account_if_absent(account(1)).await, table);

    damage(
        &directory,
        "durable.db",
        "UPDATE identity SET account = 'nobody'",
    );
    let claimed = store.claim_identity(&identity, id).await;
    assert_corrupt(claimed, "`identity`, key `github github.com 1`");
}

#[tokio::test]
async fn a_record_under_the_key_of_another_is_reported() {
    let (directory, store) = fresh();
    store.put_account_if_absent(account(1)).await.unwrap();
    store.open_session(opening(1), at(0)).await.unwrap();
    damage(&directory, "durable.db", "UPDATE account SET id = 'acct_2'");
    damage(
        &directory,
        "state.db",
        "UPDATE sign_in SET session_id = 'sess_2'",
    );
    assert_corrupt(store.account(&account(2).id).await, "another account");
    let other = SessionId::new("sess_2").unwrap();
    assert_corrupt(store.session(&other, at(1)).await, "another session");
}

#[tokio::test]
async fn a_session_that_is_not_named_after_its_attempt_is_not_written() {
    let (_directory, store) = fresh();
    let mut foreign = opening(1);
    foreign.session = opening(2).session;
    let refused = store.open_session(foreign, at(0)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    store.open_session(opening(1), at(0)).await.unwrap();
}

#[tokio::test]
async fn expired_rows_go_in_passing_as_new_ones_come() {
    let (directory, store) = fresh();
    for n in 0..100 {
        store.open_session(opening(n), at(0)).await.unwrap();
    }
    for n in 100..200 {
        let mut later = opening(n);
        later.session.expires_at = at(100_000);
        store.open_session(later, at(50_000)).await.unwrap();
    }
    assert_eq!(sign_ins(&directory), 100);
}

#[tokio::test]
async fn a_sweep_forgets_however_many_have_expired() {
    let (directory, store) = fresh();
    for n in 0..=200 {
        store.open_session(opening(n), at(0)).await.unwrap();
    }
    let mut long = opening(201);
    long.session.expires_at = at(100_000);
    store.open_session(long, at(0)).await.unwrap();
    assert_eq!(sign_ins(&directory), 202);
    store.sweep(at(50_000)).await.unwrap();
    assert_eq!(sign_ins(&directory), 1);
}

#[tokio::test]
async fn a_sweep_forgets_grants_and_revoked_tokens_at_their_end() {
    let (directory, store) = fresh();
    for n in 0..=200 {
        store.open_grant(grant(n)).await.unwrap();
        let token = IssuedToken {
            jti: n.to_string(),
            session: grant(n).session,
            grant: None,
            expires_at: at(600),
        };
        store.revoke_token(token, at(0)).await.unwrap();
    }
    let rows = || ["client_grant", "revoked_token"].map(|table| count(&directory, table));
    store.sweep(at(599)).await.unwrap();
    assert_eq!(rows(), [201, 201]);
    store.sweep(at(600)).await.unwrap();
    assert_eq!(rows(), [201, 0]);
    store.sweep(grant(0).expires_at).await.unwrap();
    assert_eq!(rows(), [0, 0]);
}

/// As the first schema left it: sessions and codes, and no table for grants.
#[tokio::test]
async fn sessions_of_the_first_schema_live_on_and_can_be_refreshed() {
    let (directory, store) = fresh();
    store.open_session(opening(1), at(0)).await.unwrap();
    drop(store);
    let database = Connection::open(data(&directory).join("state.db")).unwrap();
    let back = "DROP TABLE client_grant; DROP TABLE revoked_token; DROP TABLE seen_once; DROP TABLE further_code; \
        DROP TABLE bucket; DROP TABLE device_request; DROP TABLE ended; DROP TABLE kept_token; DROP TABLE logout_notice; DROP INDEX sign_in_account_id; DROP INDEX sign_in_provider_session; \
        ALTER TABLE sign_in DROP COLUMN account_id; ALTER TABLE sign_in DROP COLUMN provider_session; \
        ALTER TABLE sign_in DROP COLUMN client_id; PRAGMA user_version = 1";
    database.execute_batch(back).unwrap();
    drop(database);
    let store = Embedded::open(&data(&directory)).unwrap();
    let taken = store.take_code(&code_of(&opening(1)), at(1)).await.unwrap();
    assert!(matches!(taken, TakenCode::Fresh { .. }), "{taken:?}");
    let grant = grant(1);
    store.open_grant(grant.clone()).await.unwrap();
    let found = store.grant(&grant.session, &grant.id, at(2)).await.unwrap();
    assert_eq!(found.map(|found| found.grant), Some(grant));
}

fn sign_ins(directory: &TempDir) -> i64 {
    count(directory, "sign_in")
}

fn count(directory: &TempDir, table: &str) -> i64 {
    let database = Connection::open(data(directory).join("state.db")).unwrap();
    let count = format!("SELECT count(*) FROM {table}");
    database.query_row(&count, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_full_disk_refuses_writes_until_there_is_room_again() {
    let (_directory, store) = fresh();
    let room = |pages: i64| {
        store.state.run(move |connection| {
            let sql = format!("PRAGMA max_page_count = {pages}");
            Ok(connection.query_row(&sql, [], |row| row.get::<_, i64>(0))?)
        })
    };
    room(1).await.unwrap();
    let mut written = 0;
    let refusal = loop {
        match store.open_session(opening(written), at(0)).await {
            Ok(()) => written += 1,
            Err(refusal) => break refusal,
        }
    };
    assert!(matches!(&refusal, StoreError::Unavailable(cause) if cause.contains("full")));
    room(1_000_000).await.unwrap();
    store.open_session(opening(written), at(0)).await.unwrap();
    for n in 0..=written {
        let session = store.session(&opening(n).session.id, at(1)).await;
        assert!(session.unwrap().is_some(), "session {n} was lost");
    }
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let (writer, release) = held_writer().await;
    let answers: Vec<_> = (0..3000)
        .map(|_| {
            let writer = writer.clone();
            tokio::spawn(async move { writer.run(|_| Ok(())).await })
        })
        .collect();
    // tokio runs some 60 of them at each turn.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    let mut refused = 0;
    for answer in answers {
        match answer.await.unwrap() {
            Ok(()) => {}
            Err(StoreError::Unavailable(cause)) => {
                assert_eq!(cause, "too many writes wait");
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(
        (900..1000).contains(&refused),
        "{refused} of 3000 were refused"
    );
}

#[tokio::test]
async fn a_write_that_fails_undoes_itself_and_no_other() {
    let (writer, release) = held_writer().await;
    let answers = batch(&writer, |n| {
        move |connection: &Connection| {
            connection.execute("INSERT INTO child VALUES (?1, NULL)", [n])?;
            if n == 2 {
                return Err(StoreError::Conflict);
            }
            Ok(())
        }
    });
    let answers = answers.released_by(release).await;
    let failed: Vec<bool> = answers.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, true, false]);
    assert!(matches!(answers[1], Err(StoreError::Conflict)));
    assert_eq!(children(&writer).await, [1, 3]);
}

#[tokio::test]
async fn a_write_that_fails_alone_undoes_itself_too() {
    let (writer, release) = held_writer().await;
    release.send(()).unwrap();
    for undone_by_sqlite in ["", "ROLLBACK"] {
        let write = move |connection: &Connection| {
            connection.execute("INSERT INTO child VALUES (1, NULL)", [])?;
            connection.execute_batch(undone_by_sqlite)?;
            Err::<(), _>(StoreError::Conflict)
        };
        assert!(writer.run(write).await.is_err());
        assert_eq!(children(&writer).await, [] as [i64; 0]);
    }
    let insert =
        |connection: &Connection| Ok(connection.execute("INSERT INTO child VALUES (1, NULL)", [])?);
    writer.run(insert).await.unwrap();
    assert_eq!(children(&writer).await, [1]);
}

#[tokio::test]
async fn a_commit_that_fails_is_told_to_all_and_ends_there() {
    let (writer, release) = held_writer().await;
    let answers = batch(&writer, |n| {
        move |connection: &Connection| {
            // A foreign key that is checked at the commit: the second breaks it.
            let parent = (n == 2).then_some(7);
            connection.execute("INSERT INTO child VALUES (?1, ?2)", (n, parent))?;
            Ok(())
        }
    });
    for answer in answers.released_by(release).await {
        assert!(matches!(answer, Err(StoreError::Unavailable(_))));
    }
    assert_eq!(children(&writer).await, [] as [i64; 0]);
    let insert =
        |connection: &Connection| Ok(connection.execute("INSERT INTO child VALUES (4, NULL)", [])?);
    writer.run(insert).await.unwrap();
    assert_eq!(children(&writer).await, [4]);
}

#[tokio::test]
async fn a_transaction_that_sqlite_undid_is_told_to_all() {
    let (writer, release) = held_writer().await;
    let answers = batch(&writer, |n| {
        move |connection: &Connection| {
            connection.execute("INSERT INTO child VALUES (?1, NULL)", [n])?;
            if n == 2 {
                // As SQLite itself may do when the disk is full.
                connection.execute_batch("ROLLBACK")?;
                return Err(StoreError::Conflict);
            }
            Ok(())
        }
    });
    for answer in answers.released_by(release).await {
        assert!(matches!(answer, Err(StoreError::Unavailable(_))));
    }
    assert_eq!(children(&writer).await, [] as [i64; 0]);
}

/// A writer that is busy until it is released, so that what is queued meanwhile is one batch.
async fn held_writer() -> (Arc<Writer>, mpsc::Sender<()>) {
    let connection = Connection::open_in_memory().unwrap();
    let tables = "CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE child (id INTEGER, \
        parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)";
    connection.execute_batch(tables).unwrap();
    connection
        .pragma_update(None, "foreign_keys", true)
        .unwrap();
    let writer = Arc::new(Writer::start("held", connection).unwrap());
    let (started, has_started) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let hold = writer.clone();
    tokio::spawn(async move {
        hold.run(move |_| {
            started.send(()).unwrap();
            released.recv().unwrap();
            Ok(())
        })
        .await
    });
    tokio::task::yield_now().await;
    has_started.recv().unwrap();
    (writer, release)
}

struct Batch(Vec<tokio::task::JoinHandle<Result<(), StoreError>>>);

/// Three writes, numbered from 1.
fn batch<W>(writer: &Arc<Writer>, work: impl Fn(i64) -> W) -> Batch
where
    W: FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static,
{
    let write = |n| {
        let (writer, work) = (writer.clone(), work(n));
        tokio::spawn(async move { writer.run(work).await })
    };
    Batch((1..=3).map(write).collect())
}

impl Batch {
    async fn released_by(self, release: mpsc::Sender<()>) -> Vec<Result<(), StoreError>> {
        // Lets the three queue their writes, in this order.
        tokio::task::yield_now().await;
        release.send(()).unwrap();
        let mut answers = Vec::new();
        for write in self.0 {
            answers.push(write.await.unwrap());
        }
        answers
    }
}

async fn children(writer: &Writer) -> Vec<i64> {
    let list = |connection: &Connection| {
        let mut statement = connection.prepare("SELECT id FROM child ORDER BY id")?;
        let ids = statement.query_map([], |row| row.get(0))?;
        Ok(ids.collect::<Result<_, _>>()?)
    };
    writer.run(list).await.unwrap()
}

fn fresh() -> (TempDir, Embedded) {
    let directory = TempDir::new().unwrap();
    let store = Embedded::open(&data(&directory)).unwrap();
    (directory, store)
}

fn data(directory: &TempDir) -> std::path::PathBuf {
    directory.path().join("data")
}

fn refusal(directory: &Path) -> String {
    match Embedded::open(directory) {
        Err(StoreError::Unavailable(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Changes rows behind the store's back, as a person with `sqlite3` could.
fn damage(directory: &TempDir, file: &str, sql: &str) {
    let database = Connection::open(data(directory).join(file)).unwrap();
    assert_eq!(database.execute(sql, []).unwrap(), 1);
}

fn assert_corrupt<T: std::fmt::Debug>(answer: Result<T, StoreError>, named: &str) {
    let error = answer.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    assert!(error.to_string().contains(named), "{error}");
}

fn code_of(opening: &Opening) -> CodeDigest {
    CodeDigest {
        session: opening.session.id.clone(),
        digest: opening.code_digest,
    }
}

async fn take(store: &Embedded, opening: &Opening) -> TakenCode {
    store.take_code(&code_of(opening), at(1)).await.unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    runtime().block_on(work)
}
