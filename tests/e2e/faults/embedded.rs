//! One broker with the embedded store, killed again and again.

use std::rc::Rc;
use std::sync::Arc;

use countersign_tests::Program;

use super::person::Person;
use super::site::{Servers, Site};
use super::tally::{Table, Tally};
use super::{conclude, hold, in_background, look_for_all, rounds, under_load};

/// How often it is killed in a round.
const KILLS: u32 = 5;

#[actix_web::test]
async fn a_broker_that_is_killed_again_and_again_loses_nothing() {
    let Site {
        installation,
        provider: _provider,
    } = Site::new().await;
    let installation = Arc::new(installation);
    let servers = Rc::new(Servers {
        issuer: installation.issuer.clone(),
        each: vec![installation.issuer.clone()],
        are_mortal: true,
    });
    let mut people = Person::all(&servers);
    let mut broker = Some(installation.start());
    let mut table = Table::default();
    for kill in 0..KILLS * rounds() {
        let tally = Tally::new();
        let killed = async {
            tokio::time::sleep(hold(kill) / 4).await;
            let installation = Arc::clone(&installation);
            let old = broker.take();
            let again = in_background(move || {
                old.into_iter().for_each(Program::kill);
                installation.start()
            });
            broker = Some(again.await);
        };
        under_load(&mut people, &tally, killed).await;
        look_for_all(&mut people, &tally).await;
        table.add("`kill -9` of the broker", &tally);
    }
    conclude(&mut people, table).await;
}
