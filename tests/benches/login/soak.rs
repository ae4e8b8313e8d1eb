//! Logins, refreshes and introspections for as long as one likes, at half of what one core of CPU can do, and whether the broker
//! has become any larger by it.
//!
//! Sessions last ten minutes, so that from then on as many go as come; that an attempt was spent is remembered for an hour, and
//! then as much of that goes as comes, too. Whatever grows further is a leak.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::Context;
use countersign_tests::measure::{cpu_us, open_files, percentile, resident_mib, size_mib_of};
use countersign_tests::redis::RedisServer;
use futures_util::future::{join, join_all};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Programs;
use super::driver::{AT_ONCE, Driver, Kind};
use super::process::{Broker, Installation, Upstream};

/// How often a person refreshes after a login, and how often a service asks about each token.
const REFRESHES: u32 = 4;
/// How many visits tell what one costs.
const MEASURED: u32 = 800;
/// What share of one core the broker is to use.
const SHARE: f64 = 0.5;
/// How many rows the table has.
const ROWS: u32 = 12;
/// As a policy says it.
const LIFETIMES: &str =
    "[lifetimes]\ntoken = \"5m\"\nsession = { absolute = \"10m\", idle = \"10m\" }\n";

/// What is asked for on the command line.
#[derive(Debug)]
pub(crate) struct Soak {
    lasts: Duration,
    store: Kept,
}

/// Where sessions are kept.
#[derive(Debug, PartialEq, Eq)]
enum Kept {
    InFiles,
    InRedis,
}

impl Soak {
    /// `soak MINUTES [redis]` among the arguments, if it is there.
    pub(crate) fn asked_for(
        arguments: impl Iterator<Item = String>,
    ) -> anyhow::Result<Option<Self>> {
        let arguments: Vec<String> = arguments.skip_while(|one| one != "soak").collect();
        let mut words = arguments
            .iter()
            .map(String::as_str)
            .filter(|one| *one != "--bench");
        if words.next().is_none() {
            return Ok(None);
        }
        let minutes: u32 = words.next().context("expected `soak MINUTES`")?.parse()?;
        let store = match words.next() {
            None => Kept::InFiles,
            Some("redis") => Kept::InRedis,
            Some(other) => anyhow::bail!("expected `redis` or nothing, found `{other}`"),
        };
        let lasts = Duration::from_secs(u64::from(minutes) * 60);
        Ok(Some(Self { lasts, store }))
    }

    pub(crate) async fn run(self, programs: &Programs) -> anyhow::Result<()> {
        let upstream = Upstream::start(&programs.stand_in)?;
        let home = tempfile::tempdir()?;
        let redis = (self.store == Kept::InRedis).then(RedisServer::start);
        let store = redis.as_ref().map_or(String::new(), |redis| {
            format!("[store.redis]\naddress = \"{}\"\n", redis.address)
        });
        let installation = Installation::write(home.path(), &upstream.base_url, &store)?;
        installation.add_to_policy(LIFETIMES)?;
        let broker = installation.start(&programs.broker).await?;
        let watched = Watched {
            installation,
            broker,
            redis,
        };
        let driver = Driver::new(&watched.broker.issuer);
        let visit_us = watched.one_visit_us(&driver).await?;
        let pace = Duration::from_secs_f64(visit_us * f64::from(AT_ONCE) / SHARE / 1e6);
        println!(
            "a visit (a login, then {REFRESHES} times a refresh and an introspection) takes {visit_us:.0} µs of CPU; \
             {AT_ONCE} people come every {:.0} ms, for {} minutes",
            pace.as_secs_f64() * 1e3,
            self.lasts.as_secs() / 60,
        );
        let span = Span::default();
        let everybody = join_all((0..AT_ONCE).map(|n| {
            let first = pace * n / AT_ONCE;
            come_again(&driver, (first, pace), self.lasts, &span)
        }));
        let (_, told) = join(everybody, watched.tell(&span, self.lasts)).await;
        told
    }
}

/// One person's visits.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
async fn come_again(
    driver: &Driver,
    (first, pace): (Duration, Duration),
    lasts: Duration,
    span: &Span,
) {
    let began = Instant::now();
    sleep(first).await;
    let mut ticks = interval(pace);
    // What a busy machine holds up is not made up for by a burst.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while began.elapsed() < lasts {
        ticks.tick().await;
        if let Err(error) = visit(driver, span).await {
            span.0.borrow_mut().errors.push(format!("{error:#}"));
        }
    }
}

/// A login, and what follows it.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
async fn visit(driver: &Driver, span: &Span) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut tokens = driver.login(Kind::Refresh).await?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    span.0.borrow_mut().logins_ms.push(took);
    for _ in 0..REFRESHES {
        driver.refresh(&mut tokens).await?;
        span.0.borrow_mut().refreshes += 1;
        driver.introspect(Kind::Refresh, &tokens).await?;
        span.0.borrow_mut().introspections += 1;
    }
    Ok(())
}

/// What happened since the last row.
#[derive(Debug, Default)]
struct Span(RefCell<Count>);

#[derive(Debug, Default)]
struct Count {
    /// How long each took.
    logins_ms: Vec<f64>,
    refreshes: u32,
    introspections: u32,
    errors: Vec<String>,
}

/// What is looked at meanwhile.
struct Watched {
    installation: Installation,
    broker: Broker,
    redis: Option<RedisServer>,
}

impl Watched {
    /// What a visit costs the broker (and Redis), with so many people at once.
    async fn one_visit_us(&self, driver: &Driver) -> anyhow::Result<f64> {
        let before = self.cpu_us()?;
        let span = Span::default();
        let all = join_all((0..AT_ONCE).map(async |_| {
            for _ in 0..MEASURED / AT_ONCE {
                visit(driver, &span).await?;
            }
            anyhow::Ok(())
        }));
        all.await.into_iter().collect::<anyhow::Result<()>>()?;
        Ok((self.cpu_us()? - before) / f64::from(MEASURED))
    }

    fn cpu_us(&self) -> anyhow::Result<f64> {
        let redis = self.redis.as_ref().map(|redis| cpu_us(redis.process()));
        Ok(cpu_us(self.broker.process())? + redis.transpose()?.unwrap_or_default())
    }

    /// Prints the rows of the table as time passes, and fails where anything has.
    async fn tell(&self, span: &Span, lasts: Duration) -> anyhow::Result<()> {
        println!(
            "| minutes | logins | refreshes | introspections | errors | of a core | a login, median and 99 of 100, ms | resident MiB | store MiB | open files |\n\
             |---|---|---|---|---|---|---|---|---|---|"
        );
        let mut failed = 0;
        for row in 1..=ROWS {
            let before = self.cpu_us()?;
            sleep(lasts / ROWS).await;
            let count = span.0.take();
            let spent = (self.cpu_us()? - before) / 1e6;
            let minutes = (lasts * row / ROWS).as_secs_f64() / 60.0;
            println!(
                "| {minutes:.0} {}",
                self.row(count, spent, lasts / ROWS, &mut failed)?
            );
        }
        anyhow::ensure!(failed == 0, "{failed} errors");
        Ok(())
    }

    fn row(
        &self,
        mut count: Count,
        cpu: f64,
        lasted: Duration,
        failed: &mut usize,
    ) -> anyhow::Result<String> {
        for error in count.errors.iter().take(3) {
            eprintln!("{error}");
        }
        *failed += count.errors.len();
        anyhow::ensure!(!count.logins_ms.is_empty(), "nobody got in");
        let logins = count.logins_ms.len();
        let store = match &self.redis {
            Some(redis) => redis.used_memory_mib(),
            // The logs grow, as they must.
            None => size_mib_of(&self.installation.data_directory(), |name| {
                name.contains(".db")
            })?,
        };
        let process = self.broker.process();
        Ok(format!(
            "| {logins} | {} | {} | {} | {:.2} | {:.1} and {:.1} | {:.1} | {store:.0} | {} |",
            count.refreshes,
            count.introspections,
            count.errors.len(),
            cpu / lasted.as_secs_f64(),
            percentile(&mut count.logins_ms, 50),
            percentile(&mut count.logins_ms, 99),
            resident_mib(process)?,
            open_files(process)?,
        ))
    }
}
