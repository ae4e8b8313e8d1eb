//! What the policy costs: to load, to decide by, and to try on a recorded log.
//!
//! `cargo bench -p countersign-tests --bench policy` measures files with rules for 10, 1,000 and 100,000
//! organisations, and lets the release program simulate a million recorded decisions.

#[path = "policy/measure.rs"]
mod measure;
#[path = "policy/text.rs"]
mod text;

use std::fs;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use countersign_core::{Policy, Record, decide};
use countersign_tests::MadeUpLog;
use countersign_tests::measure::build_release;
use jiff::{SignedDuration, Timestamp};

use measure::{nanoseconds, program_seconds};

/// For how many organisations a file has rules.
const SIZES: [usize; 3] = [10, 1_000, 100_000];
/// How many lines the simulated log has.
const LINES: usize = 1_000_000;

fn main() -> anyhow::Result<()> {
    // `cargo test --benches` and the like call us without `--bench`: there is nothing to test here.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    println!("one policy file with rules for so many organisations");
    println!("  organisations       file    loading  one decision (CPU)");
    for organizations in SIZES {
        let text = text::policy(organizations);
        let load = nanoseconds(|| drop(black_box(Policy::parse("policy.toml", &text)))) / 1e6;
        let policy = Policy::parse("policy.toml", &text).map_err(|all| anyhow::anyhow!("{all}"))?;
        println!(
            "  {organizations:>13} {:>6.1} MiB {load:>8.2} ms {:>9.0} ns",
            mebibytes(text.len()),
            one_decision_ns(&policy)?,
        );
    }
    simulate(&build_release(&["countersign"])?.join("countersign"))
}

/// Decides on logins of which some are for an organisation, anywhere in the file.
fn one_decision_ns(policy: &Policy) -> anyhow::Result<f64> {
    let records: Vec<Record> = log(policy)?.take(4_096).collect();
    let all = nanoseconds(|| {
        for record in &records {
            black_box(decide(policy, &record.facts, record.time));
        }
    });
    Ok(all / 4_096.0)
}

fn log(policy: &Policy) -> anyhow::Result<MadeUpLog<'_>> {
    let from: Timestamp = "2027-03-01T00:00:00Z".parse()?;
    Ok(MadeUpLog::new(
        (policy, "sha256:measured"),
        from,
        SignedDuration::from_secs(3),
        200_000,
    ))
}

/// Lets the program work on a log of a million lines.
fn simulate(program: &Path) -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let (candidate, against) = (home.path().join("new.toml"), home.path().join("log.jsonl"));
    let old =
        Policy::parse("old.toml", &text::policy(10)).map_err(|all| anyhow::anyhow!("{all}"))?;
    fs::write(&candidate, text::stricter_policy(10))?;
    let mut file = BufWriter::new(fs::File::create(&against)?);
    for record in log(&old)?.take(LINES) {
        serde_json::to_writer(&mut file, &record)?;
        file.write_all(b"\n")?;
    }
    file.flush()?;
    let size = fs::metadata(&against)?.len();
    let mut command = Command::new(program);
    command.args(["policy", "simulate", "--quiet", "--candidate"]);
    command.arg(&candidate).arg("--against").arg(&against);
    let (took, cpu, output) = program_seconds(|| command.output());
    let output = output?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    println!(
        "policy simulate: {LINES} lines ({:.0} MiB) in {took:.1} s, {cpu:.1} s of CPU",
        mebibytes(usize::try_from(size)?),
    );
    print!("{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a size to be read by people")]
fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
