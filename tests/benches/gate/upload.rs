//! What the gate adds to an upload of 100 MB: straight to the registry, through nginx that asks nobody, through nginx that asks us,
//! and through our own door.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use anyhow::Context;
use countersign_tests::measure::{cpu_of_all_us, median, with_children};
use countersign_tests::tools::{Between, GateNginx};

use super::bed::Bed;

const LENGTH: usize = 100_000_000;
/// How much is sent at once.
static PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];
const ROUNDS: usize = 9;

/// A way to the registry, and the processes on it.
struct Way {
    name: &'static str,
    url: String,
    processes: Vec<u32>,
}

/// Compares the ways.
pub(crate) fn compare(bed: &Bed) -> anyhow::Result<()> {
    let (plain, asking) = (GateNginx::address(), GateNginx::address());
    let between = Between {
        url: &asking,
        registry: &bed.upstream.url,
        forward_auth: &bed.forward_auth,
        broker: &bed.issuer,
        name: "gated",
    };
    let gate = GateNginx::start(&between);
    let open = GateNginx::asking_nobody(&plain, &bed.upstream.url);
    let nginx = with_children(gate.process())?;
    let ways = [
        Way {
            name: "straight",
            url: bed.upstream.url.clone(),
            processes: Vec::new(),
        },
        Way {
            name: "nginx",
            url: plain.clone(),
            processes: with_children(open.process())?,
        },
        Way {
            name: "nginx that asks us",
            url: asking.clone(),
            processes: nginx.into_iter().chain([bed.process()]).collect(),
        },
        Way {
            name: "our door",
            url: bed.door.clone(),
            processes: vec![bed.process()],
        },
    ];
    let mut rounds = Vec::new();
    for _ in 0..=ROUNDS {
        let round: anyhow::Result<Vec<_>> = ways.iter().map(|way| way.turn(&bed.key)).collect();
        rounds.push(round?);
        bed.upstream.take();
    }
    print(&ways, &rounds[1..]);
    Ok(())
}

impl Way {
    /// One upload: how long it took, and the CPU of what is on the way, in milliseconds.
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    fn turn(&self, key: &str) -> anyhow::Result<(f64, f64)> {
        let before = cpu_of_all_us(&self.processes)?;
        let began = Instant::now();
        upload(&self.url, key).with_context(|| self.name)?;
        let took = began.elapsed().as_secs_f64() * 1e3;
        Ok((took, (cpu_of_all_us(&self.processes)? - before) / 1e3))
    }
}

fn upload(url: &str, key: &str) -> anyhow::Result<()> {
    let host = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host)?;
    let head = format!(
        "PUT /left-pad HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nContent-Length: {LENGTH}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let mut left = LENGTH;
    while left > 0 {
        let piece = left.min(PIECE.len());
        stream.write_all(&PIECE[..piece])?;
        left -= piece;
    }
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    anyhow::ensure!(
        status == *b"HTTP/1.1 200",
        "{}",
        String::from_utf8_lossy(&status)
    );
    Ok(())
}

fn print(ways: &[Way], rounds: &[Vec<(f64, f64)>]) {
    println!("an upload of 100 MB: medians of {ROUNDS} rounds");
    for (at, way) in ways.iter().enumerate() {
        let took = median(rounds.iter().map(|round| round[at].0));
        let spent = median(rounds.iter().map(|round| round[at].1));
        let ratio = median(rounds.iter().map(|round| round[at].0 / round[0].0));
        println!(
            "  {:<22} {took:>8.0} ms   {ratio:.2} of the first's   CPU on the way {spent:>6.0} ms",
            way.name
        );
    }
}
