//! Whether it stays quick as a registry grows: a million accounts and a hundred thousand organisations in either store, beside a
//! tenth and a hundredth of that.
//!
//! `cargo bench -p countersign-tests --bench scale` fills three installations on files and three on Redis by the commands that
//! operators use, kills the largest import on its way, and then lets all six take turns: look-ups by the store's own interface,
//! pages and lists by HTTP, one request after the other.

#[path = "scale/made_up.rs"]
mod made_up;
#[path = "scale/place.rs"]
mod place;

use countersign_dev_idp::DevIdp;
use countersign_tests::measure::{build_release, percentile};
use countersign_tests::redis::RedisServer;

use made_up::MadeUp;
use place::{Place, What};

/// How many accounts; of organisations there are a tenth.
const SIZES: [u32; 3] = [10_000, 100_000, 1_000_000];
/// How often everything is measured.
const TIMES: u32 = 1_000;
/// How often it is done before.
const WARM_UP: u32 = 50;

fn main() -> anyhow::Result<()> {
    // `cargo test --benches` and the like call us without `--bench`: there is nothing to test here.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    // The same as for the other benchmarks, so that neither builds anew what the other has.
    build_release(&["countersign", "countersign-dev-idp"])?;
    actix_web::rt::System::new().block_on(measure())
}

async fn measure() -> anyhow::Result<()> {
    let provider = DevIdp::oidc("127.0.0.2:0").await?;
    for size in SIZES {
        let all = MadeUp::of(size, &provider);
        let known = |behaviour: &mut countersign_dev_idp::Behaviour| {
            behaviour.oidc.accounts.extend(all.people());
        };
        provider.control().set(known);
    }
    let servers = SIZES.map(|_| RedisServer::start());
    let mut places = Vec::new();
    for redis in [None, Some(&servers)] {
        for (n, size) in SIZES.into_iter().enumerate() {
            let made_up = MadeUp::of(size, &provider);
            places.push(Place::fill(made_up, redis.map(|servers| &servers[n]))?);
        }
    }
    for place in &mut places {
        place.open().await?;
    }
    print_head(&places);
    for what in What::ALL {
        print_row(what, &places).await?;
    }
    println!(
        "| resident memory of the server, MiB{}",
        columns(&places, Place::resident)
    );
    println!("| memory of Redis, MiB{}", columns(&places, Place::memory));
    println!("| files, MiB{}", columns(&places, Place::disk));
    Ok(())
}

fn print_head(places: &[Place<'_>]) {
    println!("median and 99th of 100, in ms, of {TIMES}");
    let names = places.iter().map(|place| format!(" | {}", place.name()));
    println!("| {} |", names.collect::<String>());
    println!("|---{}|", "|---".repeat(places.len()));
}

/// All take turns, so that what else the machine does hits them alike.
async fn print_row(what: What, places: &[Place<'_>]) -> anyhow::Result<()> {
    let mut times = vec![Vec::new(); places.len()];
    for n in 0..WARM_UP + TIMES {
        for (place, times) in places.iter().zip(&mut times) {
            let took = place.time_ms(what, n).await?;
            if n >= WARM_UP {
                times.push(took);
            }
        }
    }
    let cells = times.iter_mut().map(|times| {
        let (half, most) = (percentile(times, 50), percentile(times, 99));
        format!(" | {half:.2}, {most:.2}")
    });
    println!("| {}{} |", what.describe(), cells.collect::<String>());
    Ok(())
}

fn columns<'a>(places: &[Place<'a>], of: impl Fn(&Place<'a>) -> Option<f64>) -> String {
    let cell = |place| of(place).map_or("–".to_owned(), |size| format!("{size:.0}"));
    let cells = places.iter().map(|place| format!(" | {}", cell(place)));
    cells.collect::<String>() + " |"
}
