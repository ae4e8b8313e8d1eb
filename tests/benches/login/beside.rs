//! How much a second of CPU is good for: Countersign on either store beside npm `oidc-provider`, `countersign-verifier` beside
//! npm `jose`.
//!
//! All take turns, so that what else the machine does hits them alike.

use std::path::Path;

use anyhow::Context;
use countersign_tests::measure::{cpu_us, median, this_thread_us};
use countersign_tests::payload;
use countersign_tests::peers::{NodeVerifier, PlainProvider};
use countersign_tests::redis::RedisServer;
use countersign_verifier::{Expectations, KeySet, verify};
use serde_json::{Value, json};

use super::driver::{Driver, Kind};
use super::process::{
    DEFAULT_CLIENT, INTROSPECTED_CLIENT, Installation, REDIRECT_URI, REFRESHING_CLIENT, RESOURCE,
    SECRET,
};

/// How many turns count.
const ROUNDS: usize = 8;
/// How many come before, to fill caches and connections, and for V8 to compile what is used much.
const WARM_UP_ROUNDS: usize = 2;
/// How many logins are in a turn.
const LOGINS: u32 = 400;
/// How much of what is cheaper, so that the clock's ticks of 10 ms don't matter.
const CHEAPER: u32 = 1_600;

/// What the parts of a contestant cost in one turn, in microseconds of CPU each time.
type Costs = Vec<f64>;

/// Measures all of it.
pub(crate) async fn compare(program: &Path, upstream: &str) -> anyhow::Result<()> {
    let homes = [tempfile::tempdir()?, tempfile::tempdir()?];
    let redis = RedisServer::start();
    let on_redis = format!("[store.redis]\naddress = \"{}\"\n", redis.address);
    let start = async |home: &Path, store: &str| {
        let installation = Installation::write(home, upstream, store)?;
        installation.start(program).await
    };
    let embedded = start(homes[0].path(), "").await?;
    let shared = start(homes[1].path(), &on_redis).await?;
    let node = PlainProvider::start(&clients(), RESOURCE, INTROSPECTED_CLIENT);
    let contestants = [
        Contestant::new("embedded", &embedded.issuer, &[embedded.process()]),
        Contestant::new(
            "Redis",
            &shared.issuer,
            &[shared.process(), redis.process()],
        ),
        Contestant::new("oidc-provider", &node.issuer, &[node.process()]),
    ];
    println!(
        "per second of CPU, {ROUNDS} rounds in turn; ratio of CPU to the first's, its median and range"
    );
    compare_at(&contestants, Kind::Default, LOGINS).await?;
    compare_at(&contestants, Kind::Refresh, CHEAPER).await?;
    compare_at(&contestants, Kind::Introspection, CHEAPER).await?;
    compare_verifiers(&contestants[0].driver).await
}

/// A server and who drives it.
struct Contestant {
    name: &'static str,
    driver: Driver,
    processes: Vec<u32>,
}

impl Contestant {
    fn new(name: &'static str, issuer: &str, processes: &[u32]) -> Self {
        Self {
            name,
            driver: Driver::new(issuer),
            processes: processes.to_vec(),
        }
    }

    /// One turn, after a login of everybody.
    async fn turn(&self, kind: Kind, times: u32) -> anyhow::Result<Costs> {
        let mut people = self.driver.people(kind).await?;
        let before = self.cpu_us()?;
        self.driver.run(kind, &mut people, times).await?;
        let spent = self.cpu_us()?.into_iter().zip(before);
        Ok(spent
            .map(|(after, before)| (after - before) / f64::from(times))
            .collect())
    }

    fn cpu_us(&self) -> anyhow::Result<Vec<f64>> {
        self.processes.iter().map(|one| cpu_us(*one)).collect()
    }
}

async fn compare_at(contestants: &[Contestant], kind: Kind, times: u32) -> anyhow::Result<()> {
    let mut rounds = Vec::new();
    for _ in 0..WARM_UP_ROUNDS + ROUNDS {
        let mut round = Vec::new();
        for one in contestants {
            round.push(one.turn(kind, times).await?);
        }
        rounds.push(round);
    }
    let names: Vec<_> = contestants.iter().map(|one| one.name).collect();
    print(kind.describe(), &names, &rounds[WARM_UP_ROUNDS..]);
    Ok(())
}

/// An access token on ES256, at a service that has the keys already.
async fn compare_verifiers(driver: &Driver) -> anyhow::Result<()> {
    let people = driver.people(Kind::Default).await?;
    let token = people[0]["access_token"].as_str().context("no token")?;
    let jwks = driver.jwks().await?;
    let mut node = NodeVerifier::start(&jwks, &driver.issuer, RESOURCE, token);
    let keys = KeySet::from_jwks(jwks.to_string().as_bytes())?;
    let expected = Expectations::new(&driver.issuer, RESOURCE);
    let issued_at = payload(token)["iat"].as_i64().context("no `iat`")?;
    let mut rounds = Vec::new();
    for _ in 0..WARM_UP_ROUNDS + ROUNDS {
        let before = this_thread_us();
        for _ in 0..CHEAPER {
            verify(token, &keys, &expected, issued_at)?;
        }
        let ours = this_thread_us() - before;
        let before = cpu_us(node.process())?;
        node.verify(CHEAPER);
        let theirs = cpu_us(node.process())? - before;
        rounds.push(
            [ours, theirs]
                .map(|all| vec![all / f64::from(CHEAPER)])
                .into(),
        );
    }
    let names = ["countersign-verifier", "jose"];
    print("a verification", &names, &rounds[WARM_UP_ROUNDS..]);
    Ok(())
}

fn print(what: &str, names: &[&str], rounds: &[Vec<Costs>]) {
    println!("  {what}");
    for (at, name) in names.iter().enumerate() {
        let whole = |round: &Vec<Costs>, at: usize| round[at].iter().sum::<f64>();
        let each = mean(rounds.iter().map(|round| whole(round, at)));
        let ratios = || {
            rounds
                .iter()
                .map(|round| whole(round, at) / whole(round, 0))
        };
        let parts: Vec<_> = (0..rounds[0][at].len())
            .map(|part| mean(rounds.iter().map(|round| round[at][part])))
            .map(|part| format!("{part:.1}"))
            .collect();
        println!(
            "    {name:<22} {:>8.0} /s {:>22} µs   ratio {:.2} ({:.2} to {:.2})",
            1e6 / each,
            parts.join(" + "),
            median(ratios()),
            ratios().fold(f64::INFINITY, f64::min),
            ratios().fold(0.0, f64::max),
        );
    }
}

/// Of eight turns the clock's ticks are lost in the mean.
fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = f64::from(u32::try_from(values.len()).expect("few rounds"));
    values.sum::<f64>() / count
}

/// The same as Countersign's.
fn clients() -> Value {
    let client = |id: &str, algorithm: &str| {
        json!({
            "client_id": id,
            "client_secret": SECRET,
            "redirect_uris": [REDIRECT_URI],
            "response_types": ["code"],
            "grant_types": ["authorization_code"],
            "token_endpoint_auth_method": "client_secret_post",
            "id_token_signed_response_alg": algorithm,
        })
    };
    let mut refreshing = client(REFRESHING_CLIENT, "ES256");
    refreshing["grant_types"] = json!(["authorization_code", "refresh_token"]);
    json!([
        client(DEFAULT_CLIENT, "RS256"),
        client(INTROSPECTED_CLIENT, "ES256"),
        refreshing
    ])
}
