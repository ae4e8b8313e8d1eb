//! What nobody may lose: whoever has been let in stays so, whatever happens to what keeps that.
//!
//! People sign in, redeem their codes and refresh, each step at another server, and now and then present the same code or token
//! at two servers at once ([`person`]). Meanwhile servers of Redis, or the broker itself, are killed, frozen,
//! restarted and cut off. After each fault all that was acknowledged is looked for at every broker. Each run prints a
//! table ([`tally`]).
//!
//! CI makes one round. `COUNTERSIGN_FAULT_ROUNDS=20` makes twenty, each with another length of every fault.

mod cluster;
mod embedded;
mod person;
mod sentinel;
mod site;
mod tally;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign_tests::Program;
use futures_util::future::{join, join_all};

use person::Person;
use site::{Servers, Site};
use tally::{Table, Tally};

/// How long nobody may get in, at most: those of the tests change their primary in two seconds, on a busy machine in more.
const LONGEST_GAP: Duration = Duration::from_secs(30);

/// What can happen to servers of one kind.
trait Fault: Copy + Send + 'static {
    type Servers: Send + 'static;

    /// In each round all of them happen.
    const ALL: &[Self];

    fn name(self) -> &'static str;

    /// Breaks it, and mends it again. Says how long it took until a replica was primary, where one must.
    fn happen(self, servers: &mut Self::Servers, hold: Duration) -> Option<Duration>;
}

/// Three brokers, each of a group of its own or of ours, keep what they know where these lines of `[store.redis]` say, and
/// people sign in there while every fault happens.
async fn go_through_all<F: Fault>(
    redis: F::Servers,
    site: &Site,
    (lines, groups): (&str, [Option<u32>; 3]),
) {
    site.installation.keep_in_redis(lines);
    let brokers = groups.map(|group| site.installation.start_replica(group));
    let address = |broker: &Program| broker.issuer.clone();
    let servers = Rc::new(Servers {
        issuer: site.installation.issuer.clone(),
        each: brokers.iter().map(address).collect(),
        are_mortal: false,
    });
    let mut people = Person::all(&servers);
    let mut table = Table::default();
    let redis = Arc::new(Mutex::new(redis));
    for round in 0..rounds() {
        for fault in F::ALL.iter().copied() {
            let tally = Tally::new();
            let redis = Arc::clone(&redis);
            let happening = in_background(move || {
                let mut redis = redis.lock().expect("no fault failed before");
                fault.happen(&mut redis, hold(round))
            });
            let happening = async { tally.taken_over(happening.await) };
            under_load(&mut people, &tally, happening).await;
            look_for_all(&mut people, &tally).await;
            table.add(fault.name(), &tally);
        }
    }
    conclude(&mut people, table).await;
}

/// Prints the table, and fails where something was lost, good twice or unclear.
async fn conclude(people: &mut [Person], mut table: Table) {
    let tally = Tally::new();
    settle(people, &tally).await;
    table.add("after all of them", &tally);
    table.conclude(LONGEST_GAP);
}

/// Does what blocks while the people go on.
async fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.expect("what was to be done")
}

/// How many rounds are made.
fn rounds() -> u32 {
    let asked = std::env::var("COUNTERSIGN_FAULT_ROUNDS");
    asked.map_or(1, |text| text.parse().expect("a number of rounds"))
}

/// How long a fault lasts in this round, besides what it takes until it has its effect.
fn hold(round: u32) -> Duration {
    Duration::from_millis(500) + Duration::from_millis(1_100) * (round % 5)
}

/// Lets this happen while people sign in, and goes on until each of them has got in again.
async fn under_load(people: &mut [Person], tally: &Tally, fault: impl Future<Output = ()>) {
    let count = people.len();
    let is_over = Cell::new(false);
    let stream = join_all(people.iter_mut().map(|one| one.go_on(&is_over, tally)));
    let fault = async {
        tally.everybody_signs_in(count).await;
        fault.await;
        tally.everybody_signs_in(count).await;
        is_over.set(true);
    };
    join(stream, fault).await;
}

/// Looks for all that was acknowledged, at every server.
async fn look_for_all(people: &mut [Person], tally: &Tally) {
    join_all(people.iter_mut().map(|one| one.look_for_all(tally))).await;
}

/// The same at the end, when what was refused on the way must be had, too.
async fn settle(people: &mut [Person], tally: &Tally) {
    join_all(people.iter_mut().map(|one| one.settle(tally))).await;
    look_for_all(people, tally).await;
}
