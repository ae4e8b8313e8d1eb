//! What a login costs the broker, against the cryptography that it can't do without.
//!
//! `cargo bench -p countersign-tests --bench login` builds the release programs, starts the broker
//! and the stand-in as processes of their own, signs people in by the thousand, and reads the
//! broker's CPU time (user and system) from `/proc`. The floor (the signatures alone) is measured
//! in the same run, in this process, so that the ratio holds on any machine. Then what the broker does in
//! a second of CPU on either of its stores, beside npm `oidc-provider`.
//!
//! `cargo bench -p countersign-tests --bench login -- soak 60` does something else: an hour of it, at half of what a core can do
//! ([`soak`]); `soak 60 redis` does it on Redis. `COUNTERSIGN_BIN` names another build to be measured.

#[path = "login/beside.rs"]
mod beside;
#[path = "login/driver.rs"]
mod driver;
#[path = "login/floor.rs"]
mod floor;
#[path = "login/process.rs"]
mod process;
#[path = "login/soak.rs"]
mod soak;

use std::path::{Path, PathBuf};

use countersign_tests::measure::{build_release, cpu_us, resident_mib};

use driver::{AT_ONCE, Driver, Kind};
use floor::Floor;
use process::{Broker, Upstream};

/// How many logins are measured of each kind.
const LOGINS: u32 = 4_000;
/// How many come before, to fill caches and connections.
const WARM_UP: u32 = 400;
/// How often the broker is started for the median.
const STARTS: usize = 15;

fn main() -> anyhow::Result<()> {
    // `cargo test --benches` and the like call us without `--bench`: there is nothing to test here.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let soak = soak::Soak::asked_for(std::env::args())?;
    let programs = Programs::build()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match soak {
        Some(soak) => runtime.block_on(soak.run(&programs)),
        None => runtime.block_on(measure(&programs)),
    }
}

/// What is started.
struct Programs {
    broker: PathBuf,
    stand_in: PathBuf,
}

impl Programs {
    fn build() -> anyhow::Result<Self> {
        let built = build_release(&["countersign-dev-idp"])?;
        let other = std::env::var_os("COUNTERSIGN_BIN");
        Ok(Self {
            broker: match other {
                Some(other) => other.into(),
                None => build_release(&["countersign"])?.join("countersign"),
            },
            stand_in: built.join("countersign-dev-idp"),
        })
    }
}

async fn measure(programs: &Programs) -> anyhow::Result<()> {
    let upstream = Upstream::start(&programs.stand_in)?;
    let home = tempfile::tempdir()?;
    let broker = process::Installation::write(home.path(), &upstream.base_url, "")?;
    println!("start");
    let first = broker.start(&programs.broker).await?;
    println!(
        "  the very first, which makes the keys    {:>8.1} ms",
        first.started_in_ms()
    );
    drop(first);
    println!(
        "  with a data directory, median of {STARTS}     {:>8.1} ms",
        median_start(&broker, &programs.broker).await?
    );

    let running = broker.start(&programs.broker).await?;
    println!("memory, resident");
    println!(
        "  idle, just started                      {:>8.1} MiB",
        resident_mib(running.process())?
    );

    let floor = Floor::measure();
    floor.print();
    println!(
        "one of each, CPU of the broker: {LOGINS} times each, {AT_ONCE} at once, {WARM_UP} before"
    );
    let driver = Driver::new(&running.issuer);
    for kind in Kind::ALL {
        let measured = one_us(&driver, &running, kind).await?;
        let least = floor.of(kind);
        println!(
            "  {:<39} {measured:>8.1} µs   floor {least:>6.1} µs   ratio {:.2}",
            kind.describe(),
            measured / least,
        );
    }
    println!("memory, resident");
    println!(
        "  after {:>5} logins                      {:>8.1} MiB",
        LOGINS * 3,
        resident_mib(running.process())?
    );
    drop(running);
    beside::compare(&programs.broker, &upstream.base_url).await
}

async fn one_us(driver: &Driver, broker: &Broker, kind: Kind) -> anyhow::Result<f64> {
    let mut people = driver.people(kind).await?;
    driver.run(kind, &mut people, WARM_UP).await?;
    let before = cpu_us(broker.process())?;
    driver.run(kind, &mut people, LOGINS).await?;
    Ok((cpu_us(broker.process())? - before) / f64::from(LOGINS))
}

async fn median_start(broker: &process::Installation, program: &Path) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        times.push(broker.start(program).await?.started_in_ms());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[STARTS / 2])
}
