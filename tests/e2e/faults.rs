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
mod site;
mod tally;

use std::cell::Cell;
use std::time::Duration;

use futures_util::future::{join, join_all};

use person::Person;
use tally::Tally;

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
