//! What it costs to keep accounts and sessions: memory of Redis, and memory and disk of the embedded store.
//!
//! `cargo bench -p countersign-tests --bench memory` keeps 100,000 accounts and then a session of each in either store, through
//! the interface that the server uses. A session is what a login leaves behind whose code was redeemed by a client that refreshes.

use countersign_core::{
    AccountId, AttemptId, Claim, Claims, GrantId, Identity, Profile, SessionId,
};
use countersign_store::conformance::{at, grant, opening};
use countersign_store::{Account, CodeDigest, Embedded, Grant, Opening, Redis, Store, StoreError};
use countersign_tests::measure::{resident_mib, size_mib};
use countersign_tests::redis::RedisServer;
use futures_util::{StreamExt, TryStreamExt, stream};

/// How many accounts, and sessions.
const COUNT: u32 = 100_000;
/// How many are written at once, so that the stores commit together what waits together.
const AT_ONCE: usize = 64;

fn main() -> anyhow::Result<()> {
    // `cargo test --benches` and the like call us without `--bench`: there is nothing to test here.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        println!("{COUNT} of each                        accounts     sessions");
        // First, so that what the other leaves behind in this process is not put down to it.
        embedded().await?;
        redis().await
    })
}

async fn redis() -> anyhow::Result<()> {
    let server = RedisServer::start();
    let store = Redis::new(server.settings())?;
    // The first connection and the scripts are not of what is kept.
    store.list_keys().await?;
    let used = || Ok(server.used_memory_mib());
    let [accounts, sessions] = cost_of(&store, used).await?;
    println!("Redis, used_memory                  {accounts:>8.1} MiB {sessions:>8.1} MiB");
    Ok(())
}

async fn embedded() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let directory = home.path().join("data");
    let open = || Embedded::open(&directory);
    // Of this process, of which the store is the greater part.
    let resident = || resident_mib(std::process::id());
    let on_disk = || size_mib(&directory);
    let store = open()?;
    let before = (on_disk()?, resident()?);
    keep_accounts(&store).await?;
    drop(store); // what is in its log goes to its file
    let between = on_disk()?;
    let store = open()?;
    keep_sessions(&store).await?;
    let more = resident()? - before.1;
    drop(store);
    let after = on_disk()?;
    println!(
        "embedded, on disk                   {:>8.1} MiB {:>8.1} MiB",
        between - before.0,
        after - between
    );
    println!("embedded, memory, with both         {more:>21.1} MiB");
    Ok(())
}

/// How much more there is after accounts were kept, and then after sessions were.
async fn cost_of(
    store: &impl Store,
    size: impl Fn() -> anyhow::Result<f64>,
) -> anyhow::Result<[f64; 2]> {
    let before = size()?;
    keep_accounts(store).await?;
    let between = size()?;
    keep_sessions(store).await?;
    Ok([between - before, size()? - between])
}

async fn keep_accounts(store: &impl Store) -> anyhow::Result<()> {
    keep_all(|n| keep_account(store, n)).await
}

async fn keep_sessions(store: &impl Store) -> anyhow::Result<()> {
    keep_all(|n| keep_session(store, n)).await
}

async fn keep_all<F>(keep: impl Fn(u32) -> F) -> anyhow::Result<()>
where
    F: Future<Output = Result<(), StoreError>>,
{
    let all = stream::iter(0..COUNT).map(keep).buffer_unordered(AT_ONCE);
    Ok(all.try_for_each(async |()| Ok(())).await?)
}

async fn keep_account(store: &impl Store, n: u32) -> Result<(), StoreError> {
    let id = store.claim_identity(&identity(n), account_id(n)).await?;
    let account = Account::new(id, identity(n), profile(n), at(0));
    store.put_account_if_absent(account).await.map(drop)
}

async fn keep_session(store: &impl Store, n: u32) -> Result<(), StoreError> {
    let (opening, grant) = login(n);
    let code = CodeDigest {
        session: opening.session.id.clone(),
        digest: opening.code_digest,
    };
    store.open_session(opening, at(0)).await?;
    store.take_code(&code, at(1)).await?;
    store.open_grant(grant).await
}

/// What the nth person's login leaves behind, at a plain OpenID Connect provider that tells `acr`, `amr` and `auth_time`.
fn login(n: u32) -> (Opening, Grant) {
    let mut opening = opening(1);
    opening.attempt = AttemptId::new(scattered(n)).expect("an attempt");
    opening.code_digest[..4].copy_from_slice(&n.to_be_bytes());
    let session = &mut opening.session;
    session.id = SessionId::of(&opening.attempt);
    session.account = account_id(n);
    session.evidence.identity = identity(n);
    session.evidence.profile = profile(n);
    session.evidence.provider_session = Some(format!("provider-session-{n}"));
    session.evidence.claims = Claims {
        acr: Claim::Value("urn:example:mfa".into()),
        amr: Claim::Value(vec!["pwd".into(), "otp".into(), "mfa".into()]),
        auth_time: Claim::Value(at(0)),
        ..Claims::default()
    };
    let mut grant = grant(1);
    grant.id = GrantId::new(format!("grant_{}", scattered(n))).expect("a grant");
    grant.session = session.id.clone();
    (opening, grant)
}

/// As random ids would be.
fn scattered(n: u32) -> String {
    let scattered = u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    format!("{scattered:032x}")
}

fn account_id(n: u32) -> AccountId {
    AccountId::new(format!("acct_{}", &scattered(n)[..26])).expect("an account")
}

fn identity(n: u32) -> Identity {
    Identity::GitHub {
        host: "github.com".into(),
        id: u64::from(n),
    }
}

fn profile(n: u32) -> Profile {
    Profile {
        name: Some(format!("Person N° {n}")),
        login_hint: Some(format!("person-{n}@example.org")),
        ..Profile::default()
    }
}
